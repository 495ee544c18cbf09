package ticketing

import (
	"icewatch/detections"
	"icewatch/soc/veil"
)

// addressFields are the fields that a party's address may be of: what is hidden
// of one of them is hidden of a party.
var addressFields = []string{"source.ip", "destination.ip", "client.ip", "server.ip", "host.ip"}

// cover is how a text of a field is shown.
type cover func(field, text string) string

func (c cover) text(t detections.Text) detections.Text {
	return detections.Text{ZH: c("message", t.ZH), EN: c("message", t.EN)}
}

func (c cover) texts(list []detections.Text) []detections.Text {
	out := make([]detections.Text, len(list))
	for i := range list {
		out[i] = c.text(list[i])
	}
	return out
}

func (c cover) address(v *veil.Veil, ip string) string {
	for _, field := range addressFields {
		if v.Touches(field) {
			if shown := c(field, ip); shown != ip {
				return shown
			}
		}
	}
	return c("message", ip)
}

func (c cover) party(v *veil.Veil, p *detections.Party) *detections.Party {
	if p == nil {
		return nil
	}
	out := *p
	out.IP, out.User, out.Name = c.address(v, p.IP), c("user.name", p.User), c("host.name", p.Name)
	return &out
}

func (c cover) timeline(list []TimelineEntry) {
	for i := range list {
		if list[i].Kind != "comment" { // what a colleague writes is his to answer for
			list[i].Text = c.text(list[i].Text)
		}
	}
}

// said are the fields of an alert, and what else it names that is of a field.
func (a *Alert) said() []veil.Said {
	out := []veil.Said{{Field: "source.ip", Value: a.SourceIP}, {Field: "user.name", Value: a.User}}
	for name, value := range a.Fields {
		out = append(out, veil.Said{Field: name, Value: value})
	}
	for _, p := range a.Group {
		out = append(out, veil.Said{Field: p.Field, Value: p.Value})
	}
	for _, m := range a.Evidence {
		out = append(out, veil.Said{Field: m.Field, Value: m.Value})
	}
	return append(out, saidOf(a.Attacker, a.Victim)...)
}

func saidOf(parties ...*detections.Party) (out []veil.Said) {
	for _, p := range parties {
		if p == nil {
			continue
		}
		for _, field := range addressFields {
			out = append(out, veil.Said{Field: field, Value: p.IP})
		}
		out = append(out, veil.Said{Field: "user.name", Value: p.User}, veil.Said{Field: "host.name", Value: p.Name})
	}
	return out
}

// veiled hides of an alert what is hidden of its events: fields, and what cites
// them.
func (a *Alert) veiled(v *veil.Veil) cover {
	if v == nil {
		return v.Over(nil)
	}
	c := cover(v.Over(a.said()))
	fields := make(map[string]string, len(a.Fields))
	for name, value := range a.Fields {
		fields[name] = c(name, value)
	}
	labels := map[string]string{"source_ip": "source.ip", "host": "host.name"}
	group := make([]detections.Pair, len(a.Group))
	for i, p := range a.Group {
		group[i] = detections.Pair{Field: p.Field, Value: c(p.Field, p.Value)}
		labels[labelName(p.Field)] = p.Field
	}
	evidence := make([]detections.Match, len(a.Evidence))
	for i, m := range a.Evidence {
		m.Value = c(m.Field, m.Value)
		evidence[i] = m
	}
	shown := make(map[string]string, len(a.Labels))
	for name, value := range a.Labels {
		if labels[name] == "" {
			labels[name] = "message"
		}
		shown[name] = c(labels[name], value)
	}
	a.Fields, a.Group, a.Evidence, a.Labels = fields, group, evidence, shown
	a.SourceIP, a.User = c("source.ip", a.SourceIP), c("user.name", a.User)
	a.Title, a.Rule.Sentence, a.Rule.Advice, a.VerdictReason = c.text(a.Title), c.text(a.Rule.Sentence), c.text(a.Rule.Advice), c.text(a.VerdictReason)
	a.Reasons = c.texts(a.Reasons)
	a.Attacker, a.Victim = c.party(v, a.Attacker), c.party(v, a.Victim)
	return c
}

// veiled hides of an incident the addresses and accounts that are hidden of
// events. more is what its texts may cite besides.
func (i *Incident) veiled(v *veil.Veil, more ...veil.Said) cover {
	if v == nil {
		return v.Over(nil)
	}
	said := more
	for _, ip := range i.Actors {
		said = append(said, saidOf(&detections.Party{IP: ip})...)
	}
	for _, list := range [][]detections.Party{i.Attackers, i.Victims} {
		for n := range list {
			said = append(said, saidOf(&list[n])...)
		}
	}
	c := cover(v.Over(said))
	actors := make([]string, len(i.Actors))
	for n, ip := range i.Actors {
		actors[n] = c.address(v, ip)
	}
	parties := func(list []detections.Party) []detections.Party {
		out := make([]detections.Party, len(list))
		for n := range list {
			out[n] = *c.party(v, &list[n])
		}
		return out
	}
	i.Title, i.Reasons, i.Actors = c.text(i.Title), c.texts(i.Reasons), actors
	i.Attackers, i.Victims = parties(i.Attackers), parties(i.Victims)
	return c
}

// veiled hides of an incident's detail what is hidden of its alerts.
func (d *IncidentDetail) veiled(v *veil.Veil) {
	if v == nil {
		return
	}
	var said []veil.Said
	for n := range d.Alerts {
		said = append(said, d.Alerts[n].said()...)
	}
	c := d.Incident.veiled(v, said...)
	for n := range d.Alerts {
		d.Alerts[n].veiled(v)
	}
	c.timeline(d.Timeline)
}

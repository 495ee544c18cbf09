package parse

import (
	"slices"
	"strings"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// attributes takes what came beside the data. Names with a dot are fields of
// the suite's own collectors (log.file.path, log.offset, host.name,
// icewatch.index, event.dataset, agent.id, agent.type, cloudevents.*, kafka.*). All others are what a Loki client pushed: the stream's labels
// together are icewatch.labels, the entry's structured metadata, which stand
// behind intake.MetadataMark, icewatch.metadata. Each is a field labels.<name>
// as well, and the usual ones also fill ECS fields that the text left empty.
func (p *Parser) attributes(attrs []intake.Attr) {
	mark := slices.IndexFunc(attrs, func(a intake.Attr) bool { return a.Name == intake.MetadataMark })
	pushed := attrs
	if mark >= 0 {
		pushed = attrs[:mark]
		if p.rec.Time != 0 {
			p.ev.Time = p.rec.Time
		}
		if metadata := attrs[mark+1:]; len(metadata) > 0 {
			p.put(event.Metadata, p.metadata.text(metadata))
		}
	}
	labels := false
	for i := range attrs {
		a := &attrs[i]
		if own(a.Name) {
			id, ok := p.reg.Intern(a.Name)
			switch {
			case ok && id == event.EventDataset:
				p.datasetBySender(a.Value)
			case ok && a.Name == "agent.id":
				p.ev.Set(id, a.Value) // by its certificate: whatever the text says
			case i == mark, !ok || p.ev.Has(id):
			case id == event.LogOffset:
				p.number(id, a.Value)
			default:
				p.put(id, a.Value)
			}
			continue
		}
		labels = true
	}
	if !labels {
		return
	}
	p.put(event.Labels, p.labels.text(pushed))
	for i := range attrs {
		a := &attrs[i]
		if own(a.Name) {
			continue
		}
		p.path = append(append(p.path[:0], "labels."...), a.Name...)
		if mark >= 0 && i > mark && slices.ContainsFunc(pushed, func(l intake.Attr) bool { return l.Name == a.Name }) {
			continue // The field is the label's; icewatch.metadata has the other.
		}
		p.free(view(p.path), a.Value, event.String)
		switch a.Name {
		case "host", "hostname", "node", "node_name", "nodename":
			p.ev.SetDefault(event.HostName, a.Value)
		case "service_name", "service", "app", "container", "unit":
			p.ev.SetDefault(event.ServiceName, a.Value)
		case "filename", "__path__":
			p.ev.SetDefault(event.LogFilePath, a.Value)
		case "level", "detected_level", "severity":
			if a.Value != "unknown" {
				p.ev.SetDefault(event.LogLevel, a.Value)
			}
		}
	}
}

// own tells whether an attribute was named by one of our collectors.
func own(name string) bool {
	switch name {
	case "log.file.path", "log.offset", "host.name", "icewatch.index", "event.dataset", "agent.id", "agent.type":
		return true
	}
	return hasPrefix(name, "cloudevents.") || hasPrefix(name, "kafka.") || name == intake.MetadataMark
}

// datasetBySender takes the dataset that the sender named beside the data, where
// the data themselves told no more than their form.
func (p *Parser) datasetBySender(name string) {
	switch p.ev.Text(event.EventDataset) {
	case "json.log", "generic.log", "syslog.log":
		p.ev.Set(event.EventDataset, name)
	case "":
		p.put(event.EventDataset, name)
	}
}

// labelCache keeps the JSON text of the latest set of labels: the records of a
// stream follow each other.
type labelCache struct {
	attrs []intake.Attr
	json  string
}

func (c *labelCache) text(attrs []intake.Attr) string {
	if slices.Equal(c.attrs, attrs) {
		return c.json
	}
	b := []byte{'{'}
	c.attrs = c.attrs[:0]
	for _, a := range attrs {
		c.attrs = append(c.attrs, intake.Attr{Name: strings.Clone(a.Name), Value: strings.Clone(a.Value)})
		if own(a.Name) {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = event.AppendJSON(b, a.Name)
		b = append(b, ':')
		b = event.AppendJSON(b, a.Value)
	}
	c.json = string(append(b, '}'))
	return c.json
}

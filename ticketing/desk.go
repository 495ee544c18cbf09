package ticketing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/ticketing/disposal"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/webhook"
	"icewatch/ticketing/workorder"
)

// Desk is the service as the rooms see it that act on alerts and incidents by
// rule: disposal rules and work orders. They see everything, whoever asked.
type Desk struct{ *Service }

var (
	_ workorder.Tickets = Desk{}
	_ disposal.Tickets  = Desk{}
)

// isIncident tells ids of incidents from those of alerts.
func isIncident(id string) bool { return strings.HasPrefix(id, "INC-") }

// Subject implements workorder.Tickets.
func (d Desk) Subject(ctx context.Context, id string) (workorder.Subject, error) {
	missing := fmt.Errorf("%w: there is no alert or incident %q", workorder.ErrNotFound, id)
	if isIncident(id) {
		list, err := readIncidents(ctx, d.db, []string{id})
		if err != nil {
			return workorder.Subject{}, fmt.Errorf("ticketing: %w", err)
		}
		if len(list) == 0 {
			return workorder.Subject{}, missing
		}
		i := list[0]
		s := workorder.Subject{ID: i.ID, Kind: "incident", Tenant: i.Tenant, Title: i.doc.Title.ZH, TitleEN: i.doc.Title.EN, Severity: string(severityOf(i.Severity)), Priority: priorityOf(i.Priority),
			Status: string(i.Status), Resolution: i.Resolution, Assignee: i.Assignee, Team: i.Team, Owner: i.doc.Owner, Unit: i.Unit, Link: d.link("incidents", i.ID),
			OpenedAt: when(i.OpenedAt), Due: when(i.Due), Labels: map[string]string{}, Facts: i.Kept}
		s.Item, s.System = namesOf(i.doc.CI, i.doc.System)
		var why []string
		for _, r := range i.doc.Reasons {
			why = append(why, firstOf(r.ZH, r.EN))
		}
		s.Description = strings.Join(why, "\n")
		return s, nil
	}
	list, err := readAlerts(ctx, d.db, []string{id})
	if err != nil {
		return workorder.Subject{}, fmt.Errorf("ticketing: %w", err)
	}
	if len(list) == 0 {
		return workorder.Subject{}, missing
	}
	a := list[0]
	s := workorder.Subject{ID: a.ID, Kind: "alert", Tenant: a.Tenant, Title: a.doc.Title.ZH, TitleEN: a.doc.Title.EN, Severity: string(severityOf(a.Severity)), Priority: priorityOf(a.Priority),
		Status: string(a.Status), Resolution: a.Resolution, Assignee: a.Assignee, Owner: a.doc.Owner, Unit: a.Unit, Link: d.link("alerts", a.ID),
		OpenedAt: when(a.CreatedAt), Labels: a.routable(), Facts: a.Kept, Description: firstOf(a.doc.Rule.Title.ZH, a.doc.Rule.Title.EN)}
	s.Item, s.System = namesOf(a.doc.CI, a.doc.System)
	for name, v := range map[string]string{"attacker": a.alertRow.Attacker, "victim": a.alertRow.Victim} {
		if _, own := s.Labels[name]; !own && v != "" {
			s.Labels[name] = v
		}
	}
	return s, nil
}

func namesOf(ci *CI, sys *System) (item, system string) {
	if ci != nil {
		item = firstOf(ci.Name, ci.ID)
	}
	if sys != nil {
		system = firstOf(sys.Name, sys.ID)
	}
	return item, system
}

// Happened implements workorder.Tickets and disposal.Tickets.
func (d Desk) Happened(ctx context.Context, after int64, limit int) ([]workorder.Change, error) {
	list, err := d.Service.Happened(ctx, after, limit)
	out := make([]workorder.Change, 0, len(list))
	for _, h := range list {
		out = append(out, workorder.Change{Seq: h.Seq, Object: h.Object, Kind: h.Kind, Actor: h.Actor, Text: firstOf(h.Text.ZH, h.Text.EN), Time: h.Time.Time})
	}
	return out, err
}

// RaisedAfter implements disposal.Tickets.
func (d Desk) RaisedAfter(ctx context.Context, at int64, id string, limit int) ([]disposal.Raised, error) {
	var rows []alertRow
	err := d.db.NewSelect().Model(&rows).Column("id", "created_at").Where("(created_at, id) > (?, ?)", at, id).OrderExpr("created_at, id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: read the alerts after %q: %w", id, err)
	}
	out := make([]disposal.Raised, 0, len(rows))
	for _, r := range rows {
		out = append(out, disposal.Raised{ID: r.ID, At: r.CreatedAt})
	}
	return out, nil
}

// Assign implements disposal.Tickets.
func (d Desk) Assign(ctx context.Context, id, actor, user string) (err error) {
	by := Actor{Name: actor, Reach: reach.All()}
	if isIncident(id) {
		_, err = d.AssignIncident(ctx, by, id, user)
		return err
	}
	_, err = d.AssignAlert(ctx, by, id, user)
	return err
}

// Close implements workorder.Tickets and disposal.Tickets.
func (d Desk) Close(ctx context.Context, id, actor, resolution, comment string) (err error) {
	by, how := Actor{Name: actor, Reach: reach.All()}, Close{Resolution: resolution, Comment: comment}
	if isIncident(id) {
		_, err = d.CloseIncident(ctx, by, id, how)
	} else {
		_, err = d.CloseAlert(ctx, by, id, how)
	}
	var c *Conflict
	if errors.As(err, &c) && c.Status == StatusClosed {
		return nil
	}
	return err
}

// Tell implements disposal.Tickets.
func (d Desk) Tell(ctx context.Context, receiver string, sub workorder.Subject, kind, unique, why string) error {
	told := 0
	err := d.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		w, incident, err := d.notice(ctx, tx, sub)
		if err != nil {
			return err
		}
		w.Annotations["description"], w.Annotations["description_en"] = "处置规则："+why, "Disposal rule: "+why
		told, err = d.out.Enqueue(ctx, tx, outbox.Message{IncidentID: incident, Tenant: sub.Tenant, Facts: sub.Facts, Kind: kind, Only: receiver, Thread: sub.ID, Unique: unique + "\x00" + sub.ID,
			Render: func(to outbox.Addressee) ([]byte, error) {
				return json.Marshal(webhook.New(to.Name, d.cfg.ExternalURL, map[string]string{sub.Kind: sub.ID}, []webhook.Alert{w}, 1))
			}})
		return err
	})
	if err != nil {
		return err
	}
	if told == 0 {
		return fmt.Errorf("ticketing: the contact point %q is gone, switched off, or not told of the tenant %q", receiver, sub.Tenant)
	}
	d.out.Wake()
	return nil
}

// notice is an alert or incident as contact points are told of it.
func (d Desk) notice(ctx context.Context, tx bun.Tx, sub workorder.Subject) (w webhook.Alert, incident string, err error) {
	if isIncident(sub.ID) {
		list, err := readIncidents(ctx, tx, []string{sub.ID})
		if err != nil || len(list) == 0 {
			return w, "", cmp.Or(err, fmt.Errorf("incident %q: %w", sub.ID, ErrNotFound))
		}
		return d.notifiedIncident(list[0]), sub.ID, nil
	}
	list, err := readAlerts(ctx, tx, []string{sub.ID})
	if err != nil || len(list) == 0 {
		return w, "", cmp.Or(err, fmt.Errorf("alert %q: %w", sub.ID, ErrNotFound))
	}
	return d.notifiedAlone(list[0]), "", nil
}

// Announcement is something that is told and is no alert: a report, an early
// warning.
type Announcement struct {
	ID         string // the same is told once to a contact point
	Kind       string // report, notice
	Tenant     string // whose; "" for the city's, which only contact points of all tenants are told
	Title      string
	Text       string
	Severity   string // "" for none
	Path       string // of the console's page
	Attachment string // reference of what goes with it; see outbox.AttachmentKey
}

// Announce tells a contact point, or with "" those that are told of everything
// of the tenant, within a transaction, and returns how many were told. Call
// Woken after the commit.
func (d Desk) Announce(ctx context.Context, tx bun.Tx, receiver string, a Announcement) (int, error) {
	link := strings.TrimRight(d.cfg.ExternalURL, "/") + a.Path
	w := webhook.Alert{Status: webhook.Firing, StartsAt: d.now(), GeneratorURL: link, Labels: map[string]string{"alertname": a.Kind},
		Annotations: map[string]string{"summary": a.Title, "summary_en": a.Title, "description": a.Text, "description_en": a.Text, "incident_url": link}}
	for name, v := range map[string]string{"tenant": a.Tenant, "severity": a.Severity} {
		if v != "" {
			w.Labels[name] = v
		}
	}
	if a.Attachment != "" {
		w.Annotations[outbox.AttachmentKey] = a.Attachment
	}
	return d.out.Enqueue(ctx, tx, outbox.Message{Tenant: a.Tenant, Kind: a.Kind, Only: receiver, Thread: a.ID, Unique: a.ID + "\x00" + a.Tenant,
		Render: func(to outbox.Addressee) ([]byte, error) {
			return json.Marshal(webhook.New(to.Name, d.cfg.ExternalURL, map[string]string{a.Kind: a.ID}, []webhook.Alert{w}, 1))
		}})
}

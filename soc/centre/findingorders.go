package centre

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/workorder"
)

// ofFindings tells by its id whether a thing is a work order of findings.
func ofFindings(id string) bool { return strings.HasPrefix(id, finding.OrderPrefix) }

// orderTickets is what work orders in other systems are of: alerts, incidents, and the
// suite's own work orders of findings.
type orderTickets struct {
	ticketing.Desk
	c *centre
}

// maxTold is how many findings another system is told of by name.
const maxTold = 100

// Subject implements workorder.Tickets.
func (t orderTickets) Subject(ctx context.Context, id string) (workorder.Subject, error) {
	if !ofFindings(id) {
		return t.Desk.Subject(ctx, id)
	}
	o, list, facts, err := t.c.exposure.findings.OrderFacts(ctx, id)
	if errors.Is(err, finding.ErrNotFound) {
		return workorder.Subject{}, fmt.Errorf("%w: there is no work order %q of findings", workorder.ErrNotFound, id)
	}
	if err != nil {
		return workorder.Subject{}, err
	}
	sub := workorder.Subject{ID: o.ID, Kind: "findings", Tenant: o.Tenant, Title: o.Title, TitleEN: o.Title, Status: o.State, Resolution: o.Note, Assignee: o.Owner, Owner: o.Owner,
		Link: strings.TrimRight(t.c.Config.HTTP.ExternalURL, "/") + "/finding-orders/" + o.ID, OpenedAt: o.MadeAt, Due: o.Due, Facts: facts, Labels: map[string]string{}}
	worst := 0
	var lines []string
	for i := range list {
		f := &list[i]
		for n, l := range detections.Levels {
			if l == f.Level && n >= worst {
				worst, sub.Severity = n, string(l)
			}
		}
		if i < maxTold {
			lines = append(lines, fmt.Sprintf("%s  %s  %s:%d  %s  [%s]", f.Weakness, cmp.Or(f.Name, f.Host), f.Host, f.Port, cmp.Or(f.Title.ZH, f.Title.EN), f.State))
		}
	}
	if len(list) > maxTold {
		lines = append(lines, fmt.Sprintf("+%d", len(list)-maxTold))
	}
	if len(list) > 0 {
		sub.Item, sub.System, sub.Unit = cmp.Or(list[0].Name, list[0].Host), list[0].System, list[0].Unit
	}
	sub.Description = strings.Join(lines, "\n")
	return sub, nil
}

// Note implements workorder.Tickets.
func (t orderTickets) Note(ctx context.Context, tx bun.IDB, object, kind, actor string, text detections.Text, data map[string]any) error {
	if ofFindings(object) {
		return t.c.exposure.findings.NoteOrder(ctx, object, actor, text)
	}
	return t.Desk.Note(ctx, tx, object, kind, actor, text, data)
}

// Close implements workorder.Tickets: an order of findings that is done elsewhere is done
// here, and its findings are to be looked at again.
func (t orderTickets) Close(ctx context.Context, id, actor, resolution, comment string) error {
	if !ofFindings(id) {
		return t.Desk.Close(ctx, id, actor, resolution, comment)
	}
	_, err := t.c.exposure.findings.EndOrder(ctx, reach.All(), actor, id, finding.OrderDone, comment)
	if errors.Is(err, finding.ErrConflict) {
		return nil // it has ended
	}
	return err
}

// tellFindingOrder tells the systems that have a work order of findings what happened to it.
func (c *centre) tellFindingOrder(ctx context.Context, e finding.FindingOrderEvent) error {
	return c.dispatch.Orders.Tell(ctx, fmt.Sprintf("%s-%d", e.Order, e.ID),
		workorder.Change{Seq: e.ID, Object: e.Order, Kind: "findings", Actor: e.Actor, Text: cmp.Or(e.Text.ZH, e.Text.EN), Time: e.At})
}

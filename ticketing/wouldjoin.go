package ticketing

import (
	"context"
	"fmt"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// Joined is the incident that would have taken in an alert that was not raised.
type Joined struct {
	ID    string
	Title detections.Text
	By    string // "alert": the same alert was raised and is in it; else the link that draws alerts in, linkItem or linkActor
}

// WouldJoin tells of alerts of the past, each as one occurrence from its first to
// its last firing, which incident would have taken it in: that which holds the
// alert of the same key and time, else that of its tenant which is about its item
// or whose actor is its, and whose time reaches it as correlation.reaches says.
// The latest opened goes first. What the policy of incidents says of alerts is
// not asked: it rests on all that was open at the time. Only incidents within
// the reach are told of.
func (s *Service) WouldJoin(ctx context.Context, within reach.Reach, list []detections.Occurrence) ([]Joined, error) {
	out := make([]Joined, len(list))
	batch := make([]*detections.Occurrence, len(list))
	for i := range list {
		batch[i] = &list[i]
	}
	subjects, err := s.subjects(ctx, batch)
	if err != nil {
		return nil, err
	}
	window := s.live.window
	for i, o := range batch {
		from, to := o.From.UnixMilli(), o.Time.UnixMilli()
		find := func(by, where string, args ...any) error {
			if out[i].ID != "" {
				return nil
			}
			var rows []incidentRow
			q := within.Within(s.db.NewSelect().Model(&rows), "i").Where("i.tenant = ?", o.Tenant).Where(where, args...)
			if by != "alert" {
				q = q.Where("i.last_seen >= ? AND i.first_seen <= ? AND i.opened_at <= ?", from-window, to+window, to+window)
			}
			if err := q.OrderExpr("i.opened_at DESC, i.id DESC").Limit(1).Scan(ctx); err != nil {
				return fmt.Errorf("ticketing: which incident would have taken in an alert of %s: %w", o.Rule.ID, err)
			}
			for k := range rows {
				x := incident{incidentRow: rows[k]}
				if err := x.unpack(); err != nil {
					return err
				}
				out[i] = Joined{ID: x.ID, Title: x.doc.Title, By: by}
			}
			return nil
		}
		err := find("alert", "i.id IN (SELECT a.incident_id FROM ticketing_alerts AS a WHERE a.key = ? AND a.first_seen <= ? AND a.last_seen >= ? AND a.incident_id <> '')", keyOf(o), to, from)
		for _, l := range []link{{linkItem, subjects[o].item}, {linkActor, subjects[o].actor}} {
			if err == nil && l.value != "" {
				err = find(l.kind, "i.id IN (?)", s.db.NewSelect().Model((*linkRow)(nil)).Column("incident_id").Where("l.kind = ? AND l.value = ?", l.kind, l.value))
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

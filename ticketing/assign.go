package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/webhook"
)

// Assigner says whose an incident is when it opens. It is asked within a write
// transaction and must not use the database. ticketing/duty implements it.
type Assigner interface {
	Assign(q Assignment) Assigned
}

// Assignment asks whose an incident is.
type Assignment struct {
	Tenant   string
	System   *System
	Priority string
	Owner    string // of the item or its system, as the CMDB says it; "" where it does not
	At       time.Time
}

// Assigned says whose an incident is: no team where nobody looks after it.
type Assigned struct {
	Team     string // id
	TeamName detections.Text
	Assignee string // name of a user; "" where nobody is on duty
	Why      []detections.Text
}

// assign gives a fresh incident to whoever is on duty for it.
func (s *Service) assign(i *incident, now time.Time) []timelineRow {
	if s.assigner == nil {
		return nil
	}
	a := s.assigner.Assign(Assignment{Tenant: i.Tenant, System: i.doc.System, Priority: priorityOf(i.Priority), Owner: i.doc.Owner, At: now})
	if a.Team == "" {
		return nil
	}
	i.Team, i.Assignee = a.Team, a.Assignee
	t := detections.Text{ZH: "转给班组 " + a.TeamName.ZH, EN: "Given to the team " + a.TeamName.EN}
	if a.Assignee != "" {
		t = detections.Text{ZH: "按值班表指派给 " + a.Assignee + "（" + a.TeamName.ZH + "）", EN: "Assigned by the duty roster to " + a.Assignee + " (" + a.TeamName.EN + ")"}
	}
	return []timelineRow{entry(i.ID, now, "assigned", SystemActor, t, map[string]any{"assignee": a.Assignee, "team": a.Team, "why": orEmpty(a.Why)})}
}

// Waiting is an incident of a team that nobody has acknowledged.
type Waiting struct {
	ID       string
	Tenant   string
	Team     string
	Priority string
	Opened   time.Time
	// Episode grows each time the incident is opened anew: what was begun for
	// an episode before is over.
	Episode int64
}

const episode = "(SELECT coalesce(max(seq), 0) FROM ticketing_timeline AS t WHERE t.object = i.id AND t.kind = 'reopened') AS episode"

type waitingRow struct {
	ID       string
	Tenant   string
	Team     string
	Priority int
	OpenedAt int64
	Episode  int64
	Since    int64
}

// Unacknowledged lists the incidents of teams that nobody has acknowledged, the
// oldest first. Those of which silences held back even the opening are not
// among them.
func (s *Service) Unacknowledged(ctx context.Context) ([]Waiting, error) {
	return s.waiting(ctx, s.db, "")
}

// StillWaiting reads one of them, within a write transaction perhaps; ok is false where
// it was acknowledged or closed, is gone, or is no team's.
func (s *Service) StillWaiting(ctx context.Context, db bun.IDB, id string) (w Waiting, ok bool, err error) {
	list, err := s.waiting(ctx, db, id)
	if err != nil || len(list) == 0 {
		return w, false, err
	}
	return list[0], true, nil
}

func (s *Service) waiting(ctx context.Context, db bun.IDB, id string) ([]Waiting, error) {
	q := db.NewSelect().Model((*incidentRow)(nil)).Column("id", "tenant", "team", "priority", "opened_at").ColumnExpr(episode).
		ColumnExpr("(SELECT coalesce(max(t.at), 0) FROM ticketing_timeline AS t WHERE t.object = i.id AND t.kind = 'reopened') AS since").
		Where("status = ? AND team <> '' AND muted_kind <> ?", StatusOpen, mutedWhole).OrderExpr("opened_at, id")
	if id != "" {
		q = q.Where("id = ?", id)
	}
	var rows []waitingRow
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("ticketing: read the incidents that wait to be acknowledged: %w", err)
	}
	out := make([]Waiting, 0, len(rows))
	for _, r := range rows {
		out = append(out, Waiting{ID: r.ID, Tenant: r.Tenant, Team: r.Team, Priority: priorityOf(r.Priority), Opened: when(max(r.OpenedAt, r.Since)), Episode: r.Episode})
	}
	return out, nil
}

// Call is one call of people about an incident that waits.
type Call struct {
	Incident  string
	Unique    string            // tells it from the incident's other calls
	People    map[string]string // by user name the link by which he acknowledges; "" for none
	Receivers []string          // by which; none named: all that are told of the tenant
	Why       detections.Text   // which level, and why these people
}

// CallOut tells receivers whom to call, within the transaction that remembers
// that it was done, and writes it into the incident's timeline. Each person is
// a notification of his own, since each has his own link. Wake the outbox after
// the commit with Woken.
func (s *Service) CallOut(ctx context.Context, tx bun.Tx, c Call) error {
	list, err := readIncidents(ctx, tx, []string{c.Incident})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("ticketing: call about incident %q: %w", c.Incident, ErrNotFound)
	}
	i, told := list[0], 0
	only := c.Receivers
	if len(only) == 0 {
		only = []string{""}
	}
	people := slices.Sorted(maps.Keys(c.People))
	for _, person := range people {
		for _, receiver := range only {
			n, err := s.out.Enqueue(ctx, tx, outbox.Message{
				IncidentID: i.ID, Tenant: i.Tenant, Facts: i.Kept, Kind: "escalation", Only: receiver, Unique: c.Unique + "\x00" + person,
				Render: func(to outbox.Addressee) ([]byte, error) {
					w := s.notifiedIncident(i)
					w.Labels["alertname"], w.Labels["on_call"] = "escalation", person
					w.Annotations["description"], w.Annotations["description_en"] = c.Why.ZH, c.Why.EN
					if link := c.People[person]; link != "" {
						w.Annotations["acknowledge_url"] = link
					}
					return json.Marshal(webhook.New(to.Name, s.cfg.ExternalURL, map[string]string{"incident": i.ID, "on_call": person}, []webhook.Alert{w}, 1))
				},
			})
			if err != nil {
				return err
			}
			told += n
		}
	}
	t := detections.Text{ZH: c.Why.ZH + "：呼叫 " + strings.Join(people, "、"), EN: c.Why.EN + ": called " + strings.Join(people, ", ")}
	switch {
	case len(people) == 0:
		t = detections.Text{ZH: c.Why.ZH + "：此刻无人可呼叫", EN: c.Why.EN + ": there is nobody to call at this moment"}
	case told == 0:
		t.ZH, t.EN = t.ZH+"（没有接收方会通知他们）", t.EN+" (there is no receiver that would tell them)"
	}
	return saveTimeline(ctx, tx, []timelineRow{entry(i.ID, s.now(), "escalated", SystemActor, t, map[string]any{"people": people, "receivers": c.Receivers})})
}

// Woken has what CallOut wrote be delivered at once.
func (s *Service) Woken() { s.out.Wake() }

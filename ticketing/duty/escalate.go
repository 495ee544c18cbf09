package duty

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/ticketing"
)

// Incidents is what escalation asks of ticketing.
type Incidents interface {
	Unacknowledged(ctx context.Context) ([]ticketing.Waiting, error)
	StillWaiting(ctx context.Context, db bun.IDB, id string) (ticketing.Waiting, bool, error)
	CallOut(ctx context.Context, tx bun.Tx, c ticketing.Call) error
	Woken()
	AcknowledgeIncident(ctx context.Context, by ticketing.Actor, id, comment string) (ticketing.Incident, error)
	Incident(ctx context.Context, within reach.Reach, id string) (ticketing.IncidentDetail, error)
}

type escalationRow struct {
	bun.BaseModel `bun:"table:duty_escalations,alias:e"`
	Incident      string `bun:"incident,pk"`
	Episode       int64  `bun:"episode"`
	Team          string `bun:"team"`
	Priority      string `bun:"priority"`
	Round         int    `bun:"round"`
	Step          int    `bun:"step"`
	Calls         int    `bun:"calls"`
	NextAt        int64  `bun:"next_at"`
}

type callRow struct {
	bun.BaseModel `bun:"table:duty_calls,alias:c"`
	Incident      string `bun:"incident,pk"`
	Episode       int64  `bun:"episode,pk"`
	Call          int    `bun:"call,pk"`
	At            int64  `bun:"at"`
	Team          string `bun:"team"`
	People        string `bun:"people"`
	Why           string `bun:"why"`
}

// Run calls people until ctx ends. All it acts on stands in SQL: after a crash
// it goes on where it was, and what was called is not called again.
func (s *Store) Run(ctx context.Context) {
	var pruned time.Time
	for ctx.Err() == nil {
		wait, err := s.Escalate(ctx)
		if err == nil {
			if now := s.now(); now.Sub(pruned) > time.Hour || now.Before(pruned) {
				pruned, err = now, s.prune(ctx, now)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.deps.Log.Error("duty: escalation waits", "error", err)
			wait = 5 * time.Second
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-time.After(wait):
		}
	}
}

// look is how long Run sleeps at most: a priority may have changed, or a clock.
const look = time.Second

// Escalate does what is due and says how long nothing more is. After a time
// in which nothing ran an incident is called about once and not for each step
// that was missed: whoever is called has the time of his step.
func (s *Store) Escalate(ctx context.Context) (wait time.Duration, err error) {
	wait = look
	if s.deps.Incidents == nil {
		return wait, nil
	}
	waiting, err := s.deps.Incidents.Unacknowledged(ctx)
	if err != nil {
		return wait, err
	}
	var rows []escalationRow
	if err := s.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return wait, fmt.Errorf("duty: read the escalations: %w", err)
	}
	at := make(map[string]escalationRow, len(rows))
	for _, r := range rows {
		at[r.Incident] = r
	}
	called, roster := false, s.Roster()
	for _, w := range waiting {
		if _, ok := roster.Team(w.Team); !ok {
			continue // the team is gone: nobody is called
		}
		row, known := at[w.ID]
		delete(at, w.ID)
		if known && row.current(w) && (row.NextAt == 0 || row.NextAt > s.now().UnixMilli()) {
			if left := time.UnixMilli(row.NextAt).Sub(s.now()); row.NextAt > 0 {
				wait = min(wait, max(left, time.Millisecond))
			}
			continue
		}
		did, err := s.advance(ctx, w.ID)
		if err != nil {
			return wait, fmt.Errorf("escalate %s: %w", w.ID, err)
		}
		called = called || did
		wait = min(wait, 10*time.Millisecond) // what comes next is known at the next look
	}
	for id := range at {
		if err := s.end(ctx, id); err != nil {
			return wait, err
		}
	}
	if called {
		s.deps.Incidents.Woken()
	}
	return wait, nil
}

// current tells whether the row is of the incident as it is now.
func (e *escalationRow) current(w ticketing.Waiting) bool {
	return e.Episode == w.Episode && e.Team == w.Team && e.Priority == w.Priority
}

// advance begins the escalation of an incident or does its step that is due, in
// one transaction with the notifications and their record.
func (s *Store) advance(ctx context.Context, id string) (called bool, err error) {
	roster := s.Roster()
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		called = false
		w, ok, err := s.deps.Incidents.StillWaiting(ctx, tx, id)
		if err != nil || !ok {
			return err
		}
		now := s.now()
		var rows []escalationRow
		if err := tx.NewSelect().Model(&rows).Where("incident = ?", id).Scan(ctx); err != nil {
			return fmt.Errorf("duty: read the escalation of %s: %w", id, err)
		}
		team, has := roster.Team(w.Team)
		if !has {
			return nil // the team is gone: nobody is called
		}
		p := team.PolicyFor(w.Priority)
		var e escalationRow
		if len(rows) > 0 && rows[0].current(w) {
			e = rows[0]
		} else {
			since := w.Opened
			e = escalationRow{Incident: id, Episode: w.Episode, Team: w.Team, Priority: w.Priority}
			if len(rows) > 0 && rows[0].Episode == w.Episode {
				// More or less urgent than it was, or another team's: its steps
				// begin anew, now.
				since, e.Calls = now, rows[0].Calls
			}
			if d, ok := p.wait(Place{}); ok {
				e.NextAt = since.Add(d).UnixMilli()
			}
		}
		for e.NextAt > 0 && e.NextAt <= now.UnixMilli() && !called {
			at := Place{e.Round, e.Step}
			if _, ok := p.wait(at); !ok {
				e.NextAt = 0 // the policy got shorter meanwhile
				break
			}
			if err := s.call(ctx, tx, roster, team, &p, at, w, &e, now); err != nil {
				return err
			}
			called = true
			next := p.next(at)
			e.Round, e.Step, e.NextAt = next.Round, next.Step, 0
			if d, ok := p.wait(next); ok {
				e.NextAt = now.Add(d).UnixMilli()
			}
		}
		_, err = tx.NewInsert().Model(&e).On("CONFLICT (incident) DO UPDATE").
			Set("episode = EXCLUDED.episode, team = EXCLUDED.team, priority = EXCLUDED.priority, round = EXCLUDED.round, step = EXCLUDED.step, calls = EXCLUDED.calls, next_at = EXCLUDED.next_at").
			Returning("NULL").Exec(ctx)
		if err != nil {
			return fmt.Errorf("duty: write the escalation of %s: %w", id, err)
		}
		return nil
	})
	return called && err == nil, err
}

func (s *Store) call(ctx context.Context, tx bun.Tx, roster *Roster, team *Team, p *Policy, at Place, w ticketing.Waiting, e *escalationRow, now time.Time) error {
	people, why := roster.called(team, p, at, now)
	e.Calls++
	c := ticketing.Call{Incident: w.ID, Unique: fmt.Sprintf("%d/%d", w.Episode, e.Calls), People: map[string]string{}, Receivers: team.Receivers, Why: why}
	for _, person := range people {
		link, err := s.link(ctx, tx, w, person, now)
		if err != nil {
			return err
		}
		c.People[person] = link
	}
	list, err1 := json.Marshal(orEmpty(people))
	text, err2 := json.Marshal(why)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("duty: encode a call: %v %v", err1, err2)
	}
	row := callRow{Incident: w.ID, Episode: w.Episode, Call: e.Calls, At: now.UnixMilli(), Team: team.ID, People: string(list), Why: string(text)}
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("duty: write call %d about %s: %w", e.Calls, w.ID, err)
	}
	return s.deps.Incidents.CallOut(ctx, tx, c)
}

// end forgets where the escalation of an incident stood that does not wait any
// more. Its calls stay on record.
func (s *Store) end(ctx context.Context, id string) error {
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, waits, err := s.deps.Incidents.StillWaiting(ctx, tx, id); err != nil || waits {
			return err
		}
		if _, err := tx.NewDelete().Model((*escalationRow)(nil)).Where("incident = ?", id).Exec(ctx); err != nil {
			return fmt.Errorf("duty: end the escalation of %s: %w", id, err)
		}
		return nil
	})
}

// keepCalls is how long calls stay on record: five years of reports.
const keepCalls = 5 * 366 * 24 * time.Hour

func (s *Store) prune(ctx context.Context, now time.Time) error {
	_, err := s.db.NewDelete().Model((*callRow)(nil)).Where("at < ?", now.Add(-keepCalls).UnixMilli()).Exec(ctx)
	if err == nil {
		_, err = s.db.NewDelete().Model((*linkRow)(nil)).Where("expires_at < ?", now.Add(-30*24*time.Hour).UnixMilli()).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("duty: forget what is old: %w", err)
	}
	return nil
}

// Called is one call about an incident.
type Called struct {
	At     time.Time `json:"at"`
	Team   string    `json:"team"`
	People []string  `json:"people" nullable:"false"`
	Why    Text      `json:"why"`
}

// Progress is how the escalation of an incident goes.
type Progress struct {
	Calls  []Called   `json:"calls" nullable:"false" doc:"Oldest first"`
	NextAt *time.Time `json:"next_at,omitempty" doc:"When the next call is due; absent where none is"`
	Next   []string   `json:"next" nullable:"false" doc:"Who would be called then, by the roster of now"`
	Why    *Text      `json:"why,omitempty"`
}

// Progress reads how the escalation of an incident goes. The caller has seen to
// it that the incident is within reach.
func (s *Store) Progress(ctx context.Context, incident string) (Progress, error) {
	out := Progress{Calls: []Called{}, Next: []string{}}
	var calls []callRow
	if err := s.db.NewSelect().Model(&calls).Where("incident = ?", incident).OrderExpr("at, call").Scan(ctx); err != nil {
		return out, fmt.Errorf("duty: read the calls about %s: %w", incident, err)
	}
	for _, c := range calls {
		v := Called{At: time.UnixMilli(c.At).UTC(), Team: c.Team, People: []string{}}
		if err := json.Unmarshal([]byte(c.People), &v.People); err != nil {
			return out, fmt.Errorf("duty: read call %d about %s: %w", c.Call, incident, err)
		}
		if err := json.Unmarshal([]byte(c.Why), &v.Why); err != nil {
			return out, fmt.Errorf("duty: read call %d about %s: %w", c.Call, incident, err)
		}
		out.Calls = append(out.Calls, v)
	}
	var rows []escalationRow
	if err := s.db.NewSelect().Model(&rows).Where("incident = ? AND next_at > 0", incident).Scan(ctx); err != nil {
		return out, fmt.Errorf("duty: read the escalation of %s: %w", incident, err)
	}
	for _, e := range rows {
		roster := s.Roster()
		if t, ok := roster.Team(e.Team); ok {
			at, p := time.UnixMilli(e.NextAt).UTC(), t.PolicyFor(e.Priority)
			people, why := roster.called(t, &p, Place{e.Round, e.Step}, at)
			out.NextAt, out.Next, out.Why = &at, orEmpty(people), &why
		}
	}
	return out, nil
}

package finding

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// maxChosen is how many findings are changed at once.
const maxChosen = 1000

// FindingEvent is something that happened to a finding.
type FindingEvent struct {
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Comment string    `json:"comment,omitempty"`
	Change  string    `json:"change,omitempty" doc:"What undo names"`
	Undone  bool      `json:"undone,omitempty"`
}

type historyRow struct {
	bun.BaseModel `bun:"table:exposure_finding_history,alias:h"`
	ID            int64  `bun:"id,pk,autoincrement"`
	Finding       string `bun:"finding"`
	At            int64  `bun:"at"`
	Actor         string `bun:"actor"`
	Action        string `bun:"action"`
	Comment       string `bun:"comment"`
	Change        string `bun:"change"`
	Before        string `bun:"before"`
	Revision      int64  `bun:"revision"`
	Undone        int    `bun:"undone"`
}

// writing gathers rows and history of one transaction.
type writing struct {
	change, actor string
	at            time.Time
	rows          []*row
	history       []historyRow
}

// put notes a finding to write. old is its row as it was, nil of a new one.
func (w *writing) put(f *Finding, old *row, facts reach.Kept, reminded int, action, comment string) error {
	before := ""
	if old != nil {
		f.Revision = old.Revision + 1
		b, err := json.Marshal(old)
		if err != nil {
			return fmt.Errorf("finding: %w", err)
		}
		before = string(b)
	}
	r, err := f.pack(facts, reminded)
	if err != nil {
		return err
	}
	w.rows = append(w.rows, r)
	// That it was merely seen again is no event of its life, but an undo needs it.
	w.history = append(w.history, historyRow{Finding: f.ID, At: w.at.UnixMilli(), Actor: w.actor, Action: action, Comment: clip(comment, 2000), Change: w.change, Before: before, Revision: f.Revision})
	return nil
}

// quiet notes a finding that was merely seen again: without an event, and only where
// something else than the time changed, or that is a day old.
func (w *writing) quiet(was, next *Finding, old *row, facts reach.Kept) error {
	same := *next
	same.LastSeen = was.LastSeen
	a, err := json.Marshal(kept{Finding: *was, Exposure: was.exposure, Criticality: was.criticality})
	if err != nil {
		return fmt.Errorf("finding: %w", err)
	}
	b, err := json.Marshal(kept{Finding: same, Exposure: same.exposure, Criticality: same.criticality})
	if err != nil {
		return fmt.Errorf("finding: %w", err)
	}
	if string(a) == string(b) && old.Kept == facts && next.LastSeen.Sub(was.LastSeen) < 20*time.Hour {
		return nil
	}
	r, err := next.pack(facts, old.Reminded)
	if err != nil {
		return err
	}
	w.rows = append(w.rows, r)
	return nil
}

// columns are those of a row that a write changes.
var columns = []string{"tenant", "item_id", "system_id", "unit_id", "zone", "host", "port", "weakness", "state", "level", "priority", "owner", "engines", "exploited", "attacked_at", "first_seen", "last_seen", "due_at", "closed_at",
	"until", "reminded", "revision", "words", "doc", "reach_unit", "reach_region", "reach_industry", "reach_labels"}

func upsert(ctx context.Context, tx bun.Tx, rows []*row) error {
	q := tx.NewInsert().Model(&rows).On("CONFLICT (id) DO UPDATE")
	for _, c := range columns {
		q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
	}
	if _, err := q.Exec(ctx); err != nil {
		return fmt.Errorf("finding: keep findings: %w", err)
	}
	return nil
}

func (w *writing) flush(ctx context.Context, tx bun.Tx) error {
	for part := range slices.Chunk(w.rows, 100) {
		if err := upsert(ctx, tx, part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(w.history, 200) {
		if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
			return fmt.Errorf("finding: keep history: %w", err)
		}
	}
	w.rows, w.history = nil, nil
	return nil
}

// rows reads findings by id, those within reach.
func (s *Service) rows(ctx context.Context, db bun.IDB, r reach.Reach, ids []string) (map[string]*row, error) {
	var list []row
	if err := r.Within(db.NewSelect().Model(&list).Where("f.id IN (?)", bun.In(ids)), "f").Scan(ctx); err != nil {
		return nil, fmt.Errorf("finding: read findings: %w", err)
	}
	out := make(map[string]*row, len(list))
	for i := range list {
		out[list[i].ID] = &list[i]
	}
	return out, nil
}

// FindingChange is what people do to findings.
type FindingChange struct {
	State   State            `json:"state,omitempty" enum:"open,verified,repair,fixed,closed,exception,false_positive"`
	Owner   *string          `json:"owner,omitempty" maxLength:"200" doc:"Who repairs it; empty takes the owner away"`
	Level   detections.Level `json:"level,omitempty" enum:"informational,low,medium,high,critical" doc:"In place of the engines' level"`
	Until   time.Time        `json:"until,omitzero" required:"false" doc:"Until when an exception holds, at most 366 days ahead"`
	Comment string           `json:"comment,omitempty" maxLength:"2000" doc:"Needed for an exception and a false positive"`
}

// Change changes findings, all or none, and returns what undo names.
func (s *Service) Change(ctx context.Context, r reach.Reach, actor string, ids []string, c FindingChange) (string, error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	now := s.now()
	switch {
	case len(ids) == 0 || len(ids) > maxChosen:
		return "", fmt.Errorf("%w: choose 1 to %d findings", ErrInvalid, maxChosen)
	case c.State != "" && !slices.Contains(States, c.State):
		return "", fmt.Errorf("%w: there is no state %q", ErrInvalid, clip(string(c.State), 40))
	case c.Level != "" && !slices.Contains(detections.Levels, c.Level):
		return "", fmt.Errorf("%w: there is no level %q", ErrInvalid, clip(string(c.Level), 40))
	case c.State == "" && c.Owner == nil && c.Level == "" && strings.TrimSpace(c.Comment) == "":
		return "", fmt.Errorf("%w: nothing is to be changed: give a state, an owner, a level or a comment", ErrInvalid)
	case (c.State == Exception || c.State == FalsePositive) && strings.TrimSpace(c.Comment) == "":
		return "", fmt.Errorf("%w: say why in comment: it is what the next one reads", ErrInvalid)
	case c.State == Exception && (!c.Until.After(now) || c.Until.After(now.AddDate(0, 0, 366))):
		return "", fmt.Errorf("%w: an exception ends: give until, from now to 366 days ahead", ErrInvalid)
	case c.State != Exception && !c.Until.IsZero():
		return "", fmt.Errorf("%w: until is of exceptions alone", ErrInvalid)
	}
	change := rand.Text()
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		had, err := s.rows(ctx, tx, r, ids)
		if err != nil {
			return err
		}
		w := writing{change: change, actor: actor, at: now}
		for _, id := range ids {
			old := had[id]
			if old == nil {
				return fmt.Errorf("%w: %s", ErrNotFound, clip(id, 60))
			}
			f, err := old.unpack(now)
			if err != nil {
				return err
			}
			var done []string
			if c.State != "" && c.State != f.State {
				if !slices.Contains(ways[f.State], c.State) {
					return fmt.Errorf("%w: %s is %s: from there no way leads to %s", ErrConflict, f.ID, f.State, c.State)
				}
				done = append(done, "state "+string(c.State))
				f.State, f.Until, f.Closed = c.State, time.Time{}, time.Time{}
				if c.State == Closed || c.State == FalsePositive {
					f.Closed = now
				}
			}
			if c.State == Exception {
				f.Until = c.Until.UTC()
				if len(done) == 0 {
					done = append(done, "exception until "+f.Until.Format(time.DateOnly))
				}
			}
			if c.Owner != nil && *c.Owner != f.Owner {
				f.Owner = clip(strings.TrimSpace(*c.Owner), 200)
				done = append(done, "owner "+cmp.Or(f.Owner, "nobody"))
			}
			if c.Level != "" && c.Level != f.Level {
				f.Level, f.Score = c.Level, 0
				f.rate()
				f.Due = s.Policy().due(&f)
				done = append(done, "level "+string(c.Level))
			}
			if len(done) == 0 {
				done = append(done, "comment")
			}
			if err := w.put(&f, old, old.Kept, old.Reminded, strings.Join(done, ", "), strings.TrimSpace(c.Comment)); err != nil {
				return err
			}
		}
		return w.flush(ctx, tx)
	})
	if err != nil {
		return "", err
	}
	return change, nil
}

// Undo takes back what was done at once: a change by hand, or a report taken in. It
// answers how many findings that was. Where something happened to one of them since,
// nothing is taken back.
func (s *Service) Undo(ctx context.Context, r reach.Reach, actor, change string) (int, error) {
	if change == "" {
		return 0, ErrNotFound
	}
	n := 0
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		var list []historyRow
		if err := tx.NewSelect().Model(&list).Where("h.change = ?", change).Order("h.id").Scan(ctx); err != nil {
			return fmt.Errorf("finding: what was done: %w", err)
		}
		if len(list) == 0 {
			return ErrNotFound
		}
		now := s.now()
		for part := range slices.Chunk(list, 300) {
			ids := make([]string, len(part))
			for i := range part {
				ids[i] = part[i].Finding
				if part[i].Undone != 0 {
					return fmt.Errorf("%w: it was taken back already", ErrConflict)
				}
			}
			had, err := s.rows(ctx, tx, r, ids)
			if err != nil {
				return err
			}
			var back []*row
			var gone []string
			var history []historyRow
			for i := range part {
				h := &part[i]
				is := had[h.Finding]
				if is == nil {
					return ErrNotFound // beyond reach: none of it is taken back
				}
				if is.Revision != h.Revision {
					return fmt.Errorf("%w: something happened to %s since", ErrConflict, h.Finding)
				}
				if h.Before == "" {
					was, err := json.Marshal(is)
					if err != nil {
						return fmt.Errorf("finding: %w", err)
					}
					gone = append(gone, h.Finding)
					// What it was stays: who follows findings learns whose it was.
					history = append(history, historyRow{Finding: h.Finding, At: now.UnixMilli(), Actor: actor, Action: "undone", Comment: h.Action, Before: string(was), Revision: is.Revision + 1})
					continue
				}
				var was row
				if err := json.Unmarshal([]byte(h.Before), &was); err != nil {
					return fmt.Errorf("finding: what %s was cannot be read: %w", h.Finding, err)
				}
				was.Revision = is.Revision + 1
				f, err := was.unpack(now)
				if err != nil {
					return err
				}
				f.Revision = was.Revision
				again, err := f.pack(was.Kept, was.Reminded)
				if err != nil {
					return err
				}
				back = append(back, again)
				history = append(history, historyRow{Finding: h.Finding, At: now.UnixMilli(), Actor: actor, Action: "undone", Comment: h.Action, Revision: was.Revision})
			}
			if len(back) > 0 {
				if err := upsert(ctx, tx, back); err != nil {
					return err
				}
			}
			if len(history) > 0 {
				if _, err := tx.NewInsert().Model(&history).Exec(ctx); err != nil {
					return fmt.Errorf("finding: keep history: %w", err)
				}
			}
			if len(gone) > 0 {
				if _, err := tx.NewDelete().Table("exposure_findings").Where("id IN (?)", bun.In(gone)).Exec(ctx); err != nil {
					return fmt.Errorf("finding: take findings back: %w", err)
				}
			}
			n += len(part)
		}
		for _, table := range []string{"exposure_finding_history", "exposure_finding_imports"} {
			if _, err := tx.NewUpdate().Table(table).Set("undone = 1").Where("change = ?", change).Exec(ctx); err != nil {
				return fmt.Errorf("finding: note what was taken back: %w", err)
			}
		}
		return s.undoOrders(ctx, tx, actor, change, s.now())
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

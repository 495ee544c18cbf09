// Package usage knows what each tenant brings, what it may bring, and who
// sends. The intake asks the Gate before it takes anything; what the engine
// then made of it comes back and is kept by day in the Ledger. Sources tells
// who sends how much, and who fell silent.
//
// Both ends count. The intake knows at once, but only of events whose owner
// token or listener name; the engine knows whose each event is, and counts each
// once through all crashes, but later. A day's figure is the engine's; what a
// tenant may still bring goes by whichever of the two is ahead.
package usage

import (
	"context"
	"embed"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/engine"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Keep is how long the figures of a day are kept.
const Keep = 400

// Ledger keeps the figures by day and the quotas. It is safe for concurrent use.
type Ledger struct {
	db       *state.DB
	zone     *time.Location
	standard func() Quota

	mu     sync.Mutex // held by who changes what follows
	quotas atomic.Pointer[map[string]Quota]
	known  map[dayKey]engine.Used // what the table holds of the engine's present count
	count  string                 // that count
}

type dayKey struct{ day, tenant string }

// Open opens the ledger. standard is the quota of tenants without one of their
// own; the days are those of the machine's time zone.
func Open(ctx context.Context, db *state.DB, standard func() Quota) (*Ledger, error) {
	if err := db.Migrate(ctx, "usage", migrations); err != nil {
		return nil, fmt.Errorf("usage: %w", err)
	}
	l := &Ledger{db: db, zone: time.Local, standard: standard, known: map[dayKey]engine.Used{}}
	return l, l.loadQuotas(ctx)
}

// Zone is the time zone of the days.
func (l *Ledger) Zone() *time.Location { return l.zone }

// Day is the day of t.
func (l *Ledger) Day(t time.Time) string { return t.In(l.zone).Format(time.DateOnly) }

// midnight is when the day of t ends.
func (l *Ledger) midnight(t time.Time) time.Time {
	t = t.In(l.zone)
	return time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, l.zone)
}

type usedRow struct {
	bun.BaseModel `bun:"table:usage_days,alias:d"`
	Day           string `bun:"day,pk"`
	Tenant        string `bun:"tenant,pk"`
	Count         string `bun:"count,pk"`
	Events        int64  `bun:"events"`
	Bytes         int64  `bun:"bytes"`
	LateEvents    int64  `bun:"late_events"`
	LateBytes     int64  `bun:"late_bytes"`
}

// rowsPerStatement bounds a statement.
const rowsPerStatement = 200

// Take takes over what the engine counted.
func (l *Ledger) Take(ctx context.Context, u engine.Usage) error {
	if u.Count == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if u.Count != l.count {
		l.count, l.known = u.Count, map[dayKey]engine.Used{}
	}
	var rows []usedRow
	for day, tenants := range u.Days {
		for slug, used := range tenants {
			if l.known[dayKey{day, slug}] != *used {
				rows = append(rows, usedRow{Day: day, Tenant: slug, Count: u.Count, Events: int64(used.Events), Bytes: int64(used.Bytes),
					LateEvents: int64(used.LateEvents), LateBytes: int64(used.LateBytes)})
			}
		}
	}
	for len(rows) > 0 {
		part := rows[:min(len(rows), rowsPerStatement)]
		rows = rows[len(part):]
		_, err := l.db.NewInsert().Model(&part).On("CONFLICT (day, tenant, count) DO UPDATE").
			Set("events = EXCLUDED.events, bytes = EXCLUDED.bytes, late_events = EXCLUDED.late_events, late_bytes = EXCLUDED.late_bytes").Returning("NULL").Exec(ctx)
		if err != nil {
			return fmt.Errorf("usage: keep what the engine counted: %w", err)
		}
		for _, r := range part {
			l.known[dayKey{r.Day, r.Tenant}] = *u.Days[r.Day][r.Tenant]
		}
	}
	return nil
}

type intakeRow struct {
	bun.BaseModel `bun:"table:usage_intake,alias:i"`
	Day           string `bun:"day,pk"`
	Tenant        string `bun:"tenant,pk"`
	Events        int64  `bun:"events"`
	Bytes         int64  `bun:"bytes"`
	RefusedEvents int64  `bun:"refused_events"`
	RefusedBytes  int64  `bun:"refused_bytes"`
}

// keepIntake writes the intake's own figures.
func (l *Ledger) keepIntake(ctx context.Context, rows []intakeRow) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), rowsPerStatement)]
		rows = rows[len(part):]
		_, err := l.db.NewInsert().Model(&part).On("CONFLICT (day, tenant) DO UPDATE").
			Set("events = EXCLUDED.events, bytes = EXCLUDED.bytes, refused_events = EXCLUDED.refused_events, refused_bytes = EXCLUDED.refused_bytes").Returning("NULL").Exec(ctx)
		if err != nil {
			return fmt.Errorf("usage: keep what the intake counted: %w", err)
		}
	}
	return nil
}

// Figures are what a tenant brought in a day, or in several.
type Figures struct {
	Day           string `json:"day,omitempty"`
	Tenant        string `json:"tenant,omitempty"`
	Events        uint64 `json:"events" doc:"Stored"`
	Bytes         uint64 `json:"raw_bytes" doc:"Raw text of these, as it came"`
	RefusedEvents uint64 `json:"refused_events" doc:"Not taken because of the quota; a sender that tries again counts again"`
	RefusedBytes  uint64 `json:"refused_bytes"`
	late          engine.Used
	taken         engine.Used
}

// Days returns the figures by day and tenant from the first day to the last,
// both included, ordered by day and tenant. tenant "" is all.
func (l *Ledger) Days(ctx context.Context, first, last, tenant string) ([]Figures, error) {
	rows, err := l.db.Read.QueryContext(ctx, `
		SELECT day, tenant, sum(events), sum(bytes), sum(refused_events), sum(refused_bytes), sum(late_events), sum(late_bytes), sum(taken_events), sum(taken_bytes) FROM (
			SELECT day, tenant, events, bytes, 0 AS refused_events, 0 AS refused_bytes, late_events, late_bytes, 0 AS taken_events, 0 AS taken_bytes FROM usage_days
			UNION ALL SELECT day, tenant, 0, 0, refused_events, refused_bytes, 0, 0, events, bytes FROM usage_intake)
		WHERE day >= ? AND day <= ? AND (? = '' OR tenant = ?) GROUP BY day, tenant ORDER BY day, tenant`, first, last, tenant, tenant)
	if err != nil {
		return nil, fmt.Errorf("usage: read the days from %s to %s: %w", first, last, err)
	}
	defer rows.Close()
	out := []Figures{}
	for rows.Next() {
		var f Figures
		if err := rows.Scan(&f.Day, &f.Tenant, &f.Events, &f.Bytes, &f.RefusedEvents, &f.RefusedBytes, &f.late.LateEvents, &f.late.LateBytes, &f.taken.Events, &f.taken.Bytes); err != nil {
			return nil, fmt.Errorf("usage: read the days from %s to %s: %w", first, last, err)
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// Sum adds figures of several days up by tenant, in the order they first come.
func Sum(days []Figures) []Figures {
	at := map[string]int{}
	var out []Figures
	for _, f := range days {
		i, ok := at[f.Tenant]
		if !ok {
			i = len(out)
			at[f.Tenant] = i
			out = append(out, Figures{Tenant: f.Tenant})
		}
		s := &out[i]
		s.Events, s.Bytes = s.Events+f.Events, s.Bytes+f.Bytes
		s.RefusedEvents, s.RefusedBytes = s.RefusedEvents+f.RefusedEvents, s.RefusedBytes+f.RefusedBytes
	}
	return out
}

// Trim forgets the days older than Keep.
func (l *Ledger) Trim(ctx context.Context, now time.Time) error {
	oldest := l.Day(now.AddDate(0, 0, -Keep))
	return l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, table := range []string{"usage_days", "usage_intake"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE day < ?", oldest); err != nil {
				return fmt.Errorf("usage: forget the days before %s: %w", oldest, err)
			}
		}
		return nil
	})
}

package risk

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// TrendDays is how many days of scores are kept and shown.
const TrendDays = 15

// memory is for how long an alert counts.
const memory = 45 * 24 * time.Hour

// quiet is how long an asset may send no logs and still counts as heard.
const quiet = 24 * time.Hour

// Alert is a threat with what it is about.
type Alert struct {
	Threat
	Item, System string // ids; "" where there is none
	IncidentID   string
}

// Alerts is what is asked about alerts.
type Alerts interface {
	// About lists the alerts last seen since then about any of some items or
	// business systems.
	About(ctx context.Context, ids []string, since time.Time) ([]Alert, error)
	// Stirred names the items and systems whose alerts something happened to
	// after a mark, and those of alerts last seen since then; it returns the
	// next mark.
	Stirred(ctx context.Context, after int64, seen time.Time) (ids []string, next int64, err error)
}

// Findings lists what scans and assessments found wrong with items, by id.
type Findings interface {
	Of(ctx context.Context, ids []string) (map[string][]Finding, error)
	// Stirred names the items and systems whose findings something happened to after
	// a mark, and returns the next mark; the same mark where there was nothing.
	Stirred(ctx context.Context, after int64) (ids []string, next int64, err error)
}

// Deps is what the service needs of others.
type Deps struct {
	Items    *cmdb.Service
	Alerts   Alerts
	Findings Findings // optional
	// Heard names the items from which logs came between two times. Optional:
	// without it whether logs arrive is left out of the score.
	Heard  func(ctx context.Context, from, to time.Time) ([]string, error)
	Policy func() Policy // default DefaultPolicy
	Log    *slog.Logger
	Clock  func() time.Time
}

// Service keeps the scores up to date. It is safe for concurrent use; Run is
// what does the work.
type Service struct {
	db *cmdb.Database
	Deps
}

// Open brings the tables up to date.
func Open(ctx context.Context, d Deps) (*Service, error) {
	if d.Items == nil || d.Alerts == nil {
		return nil, errors.New("risk: open: Items and Alerts are required")
	}
	if d.Policy == nil {
		d.Policy = func() Policy { return DefaultPolicy }
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	s := &Service{db: d.Items.Database(), Deps: d}
	if err := s.db.Migrate(ctx, "cmdb_risk", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("risk: %w", err)
	}
	return s, nil
}

func (s *Service) now() time.Time { return s.Clock().UTC().Truncate(time.Millisecond) }

// Run follows alerts, findings and items until ctx ends. What changed is scored within
// seconds, what time changes within the hour, and everything once a day. Where
// much changes it rests so long between its rounds that intake and alerts have
// the machine for themselves.
func (s *Service) Run(ctx context.Context) {
	for {
		began := time.Now()
		if err := s.Follow(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("risk: scores are not up to date", "error", err)
		}
		select {
		case <-time.After(rest(time.Since(began))):
		case <-ctx.Done():
			return
		}
	}
}

// rest is how long to wait after a round of work.
func rest(work time.Duration) time.Duration {
	return min(max(25*work, 2*time.Second), 30*time.Second)
}

// The marks of how far the work has come.
const (
	markItems   = "items"  // entry of the CMDB's history
	markAlerts  = "alerts" // entry of ticketing's timelines
	markFound   = "found"  // entry of the findings' history
	markSeen    = "seen"   // until when firings were looked at, milliseconds
	markHour    = "hour"   // when what time changes was scored last
	markDay     = "day"    // the day and policy for which everything was scored
	markAt      = "at"     // the last item of that, as long as it goes on
	markHeard   = "heard"  // until when logs were looked for, milliseconds
	heardStride = 5 * time.Minute
	// seenStride is how often alerts that only fire again are looked at: that
	// moves the time from which they fade, by days, and no more.
	seenStride = 5 * time.Minute
)

// Follow scores once what has to be scored now.
func (s *Service) Follow(ctx context.Context) error {
	marks, err := s.marks(ctx)
	if err != nil {
		return err
	}
	now := s.now()
	if err := s.listen(ctx, marks, now); err != nil {
		return err
	}
	// Marks are moved once what they stand for is done: after a crash it is done
	// again, which changes nothing.
	for {
		ids, next, err := s.Items.Stirred(ctx, number(marks[markItems]))
		if err != nil {
			return err
		}
		if next == number(marks[markItems]) {
			break
		}
		if ids, err = s.withMembers(ctx, ids); err != nil {
			return err
		}
		if err := s.refresh(ctx, ids, now); err != nil {
			return err
		}
		if err := s.mark(ctx, marks, markItems, strconv.FormatInt(next, 10)); err != nil {
			return err
		}
	}
	for s.Findings != nil {
		ids, next, err := s.Findings.Stirred(ctx, number(marks[markFound]))
		if err != nil {
			return err
		}
		if next == number(marks[markFound]) {
			break
		}
		if err := s.refresh(ctx, ids, now); err != nil {
			return err
		}
		if err := s.mark(ctx, marks, markFound, strconv.FormatInt(next, 10)); err != nil {
			return err
		}
	}
	var seen time.Time
	lookedAt := time.UnixMilli(number(marks[markSeen]))
	again := now.Sub(lookedAt) >= seenStride
	if again && lookedAt.UnixMilli() > 0 {
		seen = lookedAt.Add(-time.Minute)
	}
	for {
		ids, next, err := s.Alerts.Stirred(ctx, number(marks[markAlerts]), seen)
		if err != nil {
			return err
		}
		if err := s.refresh(ctx, ids, now); err != nil {
			return err
		}
		done := next == number(marks[markAlerts])
		if err := s.mark(ctx, marks, markAlerts, strconv.FormatInt(next, 10)); err != nil {
			return err
		}
		if done {
			break
		}
		seen = time.Time{} // once is enough
	}
	if again {
		if err := s.mark(ctx, marks, markSeen, strconv.FormatInt(now.UnixMilli(), 10)); err != nil {
			return err
		}
	}
	if err := s.everything(ctx, marks, now); err != nil {
		return err
	}
	return s.hourly(ctx, marks, now)
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // an absent mark is 0
	return n
}

type markRow struct {
	bun.BaseModel `bun:"table:cmdb_risk_marks,alias:m"`
	Name          string `bun:"name,pk"`
	Value         string `bun:"value"`
}

func (s *Service) marks(ctx context.Context) (map[string]string, error) {
	var rows []markRow
	if err := s.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("risk: read the marks: %w", err)
	}
	out := map[string]string{}
	for _, r := range rows {
		out[r.Name] = r.Value
	}
	return out, nil
}

func (s *Service) mark(ctx context.Context, marks map[string]string, name, value string) error {
	if marks[name] == value {
		return nil
	}
	row := markRow{Name: name, Value: value}
	if _, err := s.db.NewInsert().Model(&row).On("CONFLICT (name) DO UPDATE").Set("value = EXCLUDED.value").Exec(ctx); err != nil {
		return fmt.Errorf("risk: move the mark %s: %w", name, err)
	}
	marks[name] = value
	return nil
}

// withMembers adds the members of systems among some items: what a system is
// counts for each of them.
func (s *Service) withMembers(ctx context.Context, ids []string) ([]string, error) {
	items, err := s.Items.Some(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range items {
		if items[i].Class != cmdb.BusinessSystem {
			continue
		}
		for after := ""; ; {
			members, err := s.Items.MembersOf(ctx, items[i].ID, after)
			if err != nil {
				return nil, err
			}
			ids = append(ids, members...)
			if len(members) == 0 {
				break
			}
			after = members[len(members)-1]
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// everything scores all assets once a day, and when the policy is another.
func (s *Service) everything(ctx context.Context, marks map[string]string, now time.Time) error {
	policy, err := json.Marshal(s.Policy())
	if err != nil {
		return err
	}
	want := strconv.FormatInt(dayOf(now), 10) + " " + string(policy)
	if marks[markDay] == want {
		return nil
	}
	for {
		ids, err := s.Items.Assets(ctx, marks[markAt])
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		if err := s.refresh(ctx, ids, now); err != nil {
			return err
		}
		if err := s.mark(ctx, marks, markAt, ids[len(ids)-1]); err != nil {
			return err
		}
	}
	if _, err := s.db.NewDelete().Table("cmdb_risk_days").Where("day < ?", dayOf(now)-2*TrendDays).
		// The newest entry of an item stays: it says what the score was all the time since.
		Where("EXISTS (SELECT 1 FROM cmdb_risk_days AS n WHERE n.item_id = cmdb_risk_days.item_id AND n.day > cmdb_risk_days.day AND n.day < ?)", dayOf(now)-TrendDays).Exec(ctx); err != nil {
		return fmt.Errorf("risk: forget old scores: %w", err)
	}
	if err := s.mark(ctx, marks, markAt, ""); err != nil {
		return err
	}
	return s.mark(ctx, marks, markDay, want)
}

// hourly scores what time alone changes.
func (s *Service) hourly(ctx context.Context, marks map[string]string, now time.Time) error {
	hour := strconv.FormatInt(now.Unix()/3600, 10)
	if marks[markHour] == hour {
		return nil
	}
	for after := ""; ; {
		var ids []string
		if err := s.db.NewSelect().Model((*row)(nil)).Column("r.item_id").Where("r.moving = 1 AND r.item_id > ?", after).Order("r.item_id").Limit(1000).Scan(ctx, &ids); err != nil {
			return fmt.Errorf("risk: what time changes: %w", err)
		}
		if len(ids) == 0 {
			return s.mark(ctx, marks, markHour, hour)
		}
		if err := s.refresh(ctx, ids, now); err != nil {
			return err
		}
		after = ids[len(ids)-1]
	}
}

// listen notes from which items logs came.
func (s *Service) listen(ctx context.Context, marks map[string]string, now time.Time) error {
	last := time.UnixMilli(number(marks[markHeard]))
	if s.Heard == nil || now.Sub(last) < heardStride {
		return nil
	}
	ids, err := s.Heard(ctx, now.Add(-heardStride), now)
	if err != nil {
		// The engine may be away for a moment; scores go by what was heard before.
		s.Log.Debug("risk: from which items logs come is not known at the moment", "error", err)
		return nil
	}
	var again []string
	for part := range slices.Chunk(ids, chunk) {
		var silent []string
		q := s.db.NewSelect().Model((*row)(nil)).Column("r.item_id").Where("r.item_id IN (?)", bun.In(part))
		if err := q.Where("r.heard_at < ?", now.Add(-quiet).UnixMilli()).Scan(ctx, &silent); err != nil {
			return fmt.Errorf("risk: which items were silent: %w", err)
		}
		again = append(again, silent...)
		// An hour's exactness is enough, and spares most of the writing.
		if _, err := s.db.NewUpdate().Model((*row)(nil)).Set("heard_at = ?", now.UnixMilli()).
			Where("item_id IN (?)", bun.In(part)).Where("heard_at < ?", now.Add(-time.Hour).UnixMilli()).Exec(ctx); err != nil {
			return fmt.Errorf("risk: note from which items logs came: %w", err)
		}
	}
	if err := s.refresh(ctx, again, now); err != nil {
		return err
	}
	return s.mark(ctx, marks, markHeard, strconv.FormatInt(now.UnixMilli(), 10))
}

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

package finding

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"
)

const (
	every    = time.Minute
	lookBack = 24 * time.Hour // for attacks, after the suite was down
	// seenFor is for how long it is kept that a finding was merely seen again, which
	// only the undo of a report needs.
	seenFor = 30 * 24 * time.Hour
)

// The weaknesses that techniques of ATT&CK are tried on.
var techniques = map[string][]string{
	"T1110": {"CWE-521", "CWE-1392", "CWE-1393", "CWE-798", "CWE-287", "CWE-307"}, // brute force
}

// Techniques are those that findings are marked by.
func Techniques() []string { return slices.Sorted(maps.Keys(techniques)) }

// Run follows time and attacks until ctx ends: exceptions end, deadlines are
// reminded of, and findings are marked on which attacks are seen.
func (s *Service) Run(ctx context.Context) {
	for {
		if err := s.Follow(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("finding: findings are not up to date; it is tried again", "error", err)
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
}

// Follow does once what Run does all the time.
func (s *Service) Follow(ctx context.Context) error {
	if err := s.expire(ctx); err != nil {
		return err
	}
	if err := s.attacked(ctx); err != nil {
		return err
	}
	if err := s.followOrders(ctx); err != nil {
		return err
	}
	if err := s.remind(ctx); err != nil {
		return err
	}
	if _, err := s.db.NewDelete().Table("exposure_finding_history").Where("action = 'seen' AND at < ?", s.now().Add(-seenFor).UnixMilli()).Exec(ctx); err != nil {
		return fmt.Errorf("finding: forget old history: %w", err)
	}
	return nil
}

// expire opens findings again whose exception has ended.
func (s *Service) expire(ctx context.Context) error {
	return s.each(ctx, func(q *bun.SelectQuery, now time.Time) *bun.SelectQuery {
		return q.Where("f.state = ? AND f.until <= ?", Exception, now.UnixMilli())
	}, func(f *Finding) string {
		f.State, f.Until = StateOpen, time.Time{}
		return "exception ended"
	})
}

// each changes the findings that a condition picks.
func (s *Service) each(ctx context.Context, where func(*bun.SelectQuery, time.Time) *bun.SelectQuery, change func(*Finding) (action string)) error {
	now := s.now()
	return s.some(ctx, func(ctx context.Context, db bun.IDB) ([]row, error) {
		var rows []row
		err := where(db.NewSelect().Model(&rows), now).Limit(200).Scan(ctx)
		return rows, err
	}, change)
}

func (s *Service) some(ctx context.Context, pick func(context.Context, bun.IDB) ([]row, error), change func(*Finding) string) error {
	for {
		// Without anything to do no writer of the CMDB has to wait.
		rows, err := pick(ctx, s.db.DB)
		if err != nil {
			return fmt.Errorf("finding: follow: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		n := 0
		err = s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
			rows, err := pick(ctx, tx)
			if err != nil {
				return err
			}
			now := s.now()
			w := writing{actor: "icewatch", at: now}
			for i := range rows {
				f, err := rows[i].unpack(now)
				if err != nil {
					return err
				}
				action := change(&f)
				if action == "" {
					continue
				}
				n++
				if err := w.put(&f, &rows[i], rows[i].Kept, rows[i].Reminded, action, ""); err != nil {
					return err
				}
			}
			return w.flush(ctx, tx)
		})
		if err != nil {
			return fmt.Errorf("finding: follow: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// attacked marks findings on which attacks were seen: by the CVE that the alert's
// rule names, or by a technique that is tried on such a weakness, on the same asset.
func (s *Service) attacked(ctx context.Context) error {
	if s.Attacks == nil {
		return nil
	}
	now := s.now()
	var mark string
	if err := s.db.NewSelect().Table("exposure_finding_marks").Column("value").Where("name = 'attacks'").Scan(ctx, &mark); err != nil {
		mark = "" // none yet
	}
	ms, _ := strconv.ParseInt(mark, 10, 64) // an absent mark is 0
	since := when(ms)
	if since.Before(now.Add(-lookBack)) {
		since = now.Add(-lookBack)
	}
	// Alerts come late at times.
	list, err := s.Attacks(ctx, since.Add(-5*time.Minute))
	if err != nil {
		return fmt.Errorf("finding: which attacks were seen: %w", err)
	}
	worth, err := s.weakItems(ctx, list)
	if err != nil {
		return fmt.Errorf("finding: which of what was attacked has findings: %w", err)
	}
	for _, a := range list {
		if !worth[a.Item] {
			continue
		}
		var weak []string
		for _, t := range a.Techniques {
			for name, cwes := range techniques {
				if t == name || (len(t) > len(name) && t[:len(name)+1] == name+".") {
					weak = append(weak, cwes...)
				}
			}
		}
		if len(weak) == 0 && len(a.CVEs) == 0 {
			continue // tried on none that is known
		}
		pick := func(ctx context.Context, db bun.IDB) ([]row, error) {
			var rows []row
			err := db.NewSelect().Model(&rows).Where("f.item_id = ? AND f.state IN (?) AND f.attacked_at < ?", a.Item, bun.In(counting), a.At.UnixMilli()).Limit(1000).Scan(ctx)
			rows = slices.DeleteFunc(rows, func(r row) bool {
				if slices.Contains(a.CVEs, r.Weakness) {
					return false
				}
				f, err := r.unpack(now)
				return err != nil || !slices.ContainsFunc(f.CWEs, func(c string) bool { return slices.Contains(weak, c) })
			})
			return rows, err
		}
		err := s.some(ctx, pick, func(f *Finding) string {
			f.Attacked = a.At
			if !slices.Contains(f.Alerts, a.Alert) {
				f.Alerts = append([]string{a.Alert}, f.Alerts...)
			}
			f.Alerts = f.Alerts[:min(len(f.Alerts), 10)]
			f.rate()
			f.Due = s.Policy().due(f)
			return "attack seen"
		})
		if err != nil {
			return err
		}
	}
	if _, err := s.db.ExecContext(ctx, "INSERT INTO exposure_finding_marks (name, value) VALUES ('attacks', ?) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value", strconv.FormatInt(now.UnixMilli(), 10)); err != nil {
		return fmt.Errorf("finding: note which attacks were looked at: %w", err)
	}
	return nil
}

// itemsAtOnce is how many items one statement names.
const itemsAtOnce = 500

// weakItems are those of the items that attacks were seen on that have findings
// which count.
func (s *Service) weakItems(ctx context.Context, list []Attack) (map[string]bool, error) {
	out := map[string]bool{}
	var items []string
	for _, a := range list {
		if a.Item != "" {
			items = append(items, a.Item)
		}
	}
	slices.Sort(items)
	for part := range slices.Chunk(slices.Compact(items), itemsAtOnce) {
		var have []string
		if err := s.db.NewSelect().Model((*row)(nil)).Distinct().Column("item_id").Where("f.item_id IN (?) AND f.state IN (?)", bun.In(part), bun.In(counting)).Scan(ctx, &have); err != nil {
			return nil, err
		}
		for _, id := range have {
			out[id] = true
		}
	}
	return out, nil
}

// maxReminded is how many findings one reminder names.
const maxReminded = 50

// remind tells of deadlines that come, and of those that passed.
func (s *Service) remind(ctx context.Context) error {
	p, now := s.Policy(), s.now()
	if s.Tell == nil || p.Receiver == "" {
		return nil
	}
	for step, until := range map[int]time.Time{1: now.AddDate(0, 0, p.Remind), 2: now} {
		var tenants []string
		where := func(q *bun.SelectQuery) *bun.SelectQuery {
			q = q.Where("f.due_at > 0 AND f.due_at <= ? AND f.reminded < ? AND f.state IN (?)", until.UnixMilli(), step, bun.In(counting))
			if step == 1 {
				q = q.Where("f.due_at > ?", now.UnixMilli())
			}
			return q
		}
		if err := where(s.db.NewSelect().Model((*row)(nil))).ColumnExpr("DISTINCT f.tenant").Scan(ctx, &tenants); err != nil {
			return fmt.Errorf("finding: reminders: %w", err)
		}
		for _, tenant := range tenants {
			var rows []row
			if err := where(s.db.NewSelect().Model(&rows)).Where("f.tenant = ?", tenant).Order("f.due_at", "f.id").Limit(maxReminded).Scan(ctx); err != nil {
				return fmt.Errorf("finding: reminders: %w", err)
			}
			list := make([]Finding, len(rows))
			ids := make([]string, len(rows))
			for i := range rows {
				var err error
				if list[i], err = rows[i].unpack(now); err != nil {
					return err
				}
				ids[i] = rows[i].ID
			}
			if len(ids) == 0 {
				continue
			}
			// The same is told once, also where noting it fails.
			unique := fmt.Sprintf("%d %s %d", step, ids[0], rows[0].DueAt)
			if err := s.Tell(ctx, p.Receiver, unique, list, step == 2); err != nil {
				s.Log.Warn("finding: a reminder of deadlines is not sent", "receiver", p.Receiver, "tenant", tenant, "error", err)
				continue // it is tried again
			}
			if _, err := s.db.NewUpdate().Table("exposure_findings").Set("reminded = ?", step).Where("id IN (?)", bun.In(ids)).Exec(ctx); err != nil {
				return fmt.Errorf("finding: note reminders: %w", err)
			}
		}
	}
	return nil
}

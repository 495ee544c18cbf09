package ticketing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// How flapping is damped. An alert whose source says again and again that it
// fires and that it has recovered is held open once it has changed more than
// Changes times within Window: what changes then is counted, and nobody is told.
// Once nothing has changed for Calm, the alert is what its source said last: it
// closes as recovered, or goes on firing. So there is one notification when the
// alert begins to flap and one when it is over. Nagios' detection works so as
// well, with two thresholds in place of a time of calm.
//
// Changes are counted in SQL: each further generation of an alert's key is one,
// and each that recovered. A restart forgets none.

// Flaps are the options of damping.
type Flaps struct {
	Changes int           `yaml:"changes"` // more than so many begin it; default 6, negative never
	Window  time.Duration `yaml:"window"`  // default 30m
	Calm    time.Duration `yaml:"calm"`    // default 15m
}

func (f Flaps) withDefaults() Flaps {
	if f.Changes == 0 {
		f.Changes = 6
	}
	if f.Window == 0 {
		f.Window = 30 * time.Minute
	}
	if f.Calm == 0 {
		f.Calm = 15 * time.Minute
	}
	return f
}

func (f Flaps) validate() error {
	switch {
	case f.Changes == 1:
		return fmt.Errorf("changes: 1: want 2 and more, or -1 for never: every alert that recovers has changed once")
	case f.Window < time.Second || f.Window > 7*24*time.Hour:
		return fmt.Errorf("window: %s: want 1s to 168h", f.Window)
	case f.Calm < time.Second || f.Calm > 7*24*time.Hour:
		return fmt.Errorf("calm: %s: want 1s to 168h", f.Calm)
	}
	return nil
}

// Flapping says of an alert that it is held as flapping.
type Flapping struct {
	Since     Time `json:"since" format:"date-time"`
	Changes   int  `json:"changes" doc:"Between firing and recovered, those that began it among them"`
	Last      Time `json:"last" format:"date-time" doc:"When it changed last"`
	Recovered bool `json:"recovered" doc:"What its source said last"`
}

// changed counts one more change. It makes a new value, since a transaction may
// fail.
func (f Flapping) changed(now time.Time, recovered bool) *Flapping {
	f.Changes, f.Last, f.Recovered = f.Changes+1, Time{now}, recovered
	return &f
}

// changesOf counts how often the alerts of keys changed lately.
func (s *Service) changesOf(ctx context.Context, tx bun.Tx, keys []string, now time.Time) (map[string]int, error) {
	out, since := map[string]int{}, now.Add(-s.cfg.Flapping.Window).UnixMilli()
	for part := range slices.Chunk(keys, idsPerStatement) {
		var rows []struct {
			Key string `bun:"key"`
			N   int    `bun:"n"`
		}
		err := tx.NewSelect().Model((*alertRow)(nil)).Column("key").
			ColumnExpr("sum((generation > 1 AND created_at > ?) + (resolution = ? AND closed_at > ?)) AS n", since, Recovered, since).
			Where("key IN (?)", bun.In(part)).Where("created_at > ? OR closed_at > ?", since, since).Group("key").Scan(ctx, &rows)
		if err != nil {
			return nil, fmt.Errorf("count the changes of %d alerts: %w", len(part), err)
		}
		for _, r := range rows {
			out[r.Key] = r.N
		}
	}
	return out, nil
}

// flap begins to hold an alert as flapping.
func (s *Service) flap(a *alert, changes int, recovered bool, now time.Time) {
	a.doc.Flapping, a.Flapping = &Flapping{Since: Time{now}, Changes: changes, Last: Time{now}, Recovered: recovered}, true
	s.flaps.Store(true)
}

// flapReopened begins to hold those of the alerts as flapping that have opened
// again too often, and returns what their timelines say.
func (s *Service) flapReopened(ctx context.Context, tx bun.Tx, touched []*alert, now time.Time) ([]timelineRow, error) {
	var keys []string
	for _, a := range touched {
		if a.fresh && a.Generation > 1 && s.cfg.Flapping.Changes > 0 {
			keys = append(keys, a.Key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	counts, err := s.changesOf(ctx, tx, keys, now)
	if err != nil {
		return nil, err
	}
	var entries []timelineRow
	for _, a := range touched {
		if n := counts[a.Key] + 1; a.fresh && a.Generation > 1 && n > s.cfg.Flapping.Changes {
			s.flap(a, n, false, now)
			entries = append(entries, s.flapEntry(a.ID, a.doc.Flapping, now))
		}
	}
	return entries, nil
}

func (s *Service) flapEntry(object string, f *Flapping, now time.Time) timelineRow {
	return entry(object, now, "flapping", SystemActor, detections.Text{
		ZH: fmt.Sprintf("告警抖动：%s 内变化 %d 次，此后的变化只计数，稳定 %s 后再通知", s.cfg.Flapping.Window, f.Changes, s.cfg.Flapping.Calm),
		EN: fmt.Sprintf("The alert flaps: it changed %d times within %s. What changes now is counted alone; it is told of again when it has been calm for %s", f.Changes, s.cfg.Flapping.Window, s.cfg.Flapping.Calm)},
		map[string]any{"changes": f.Changes})
}

// dampRecovery tells whether an open alert that recovers is held open because it
// flaps, and writes down that it changed. The transaction is that of Recover.
func (s *Service) dampRecovery(ctx context.Context, tx bun.Tx, a *alert, now time.Time) (held bool, err error) {
	if f := a.doc.Flapping; f != nil {
		if f.Recovered {
			return true, nil // it is said again
		}
		a.doc.Flapping = f.changed(now, true)
	} else {
		if s.cfg.Flapping.Changes < 0 {
			return false, nil
		}
		counts, err := s.changesOf(ctx, tx, []string{a.Key}, now)
		if err != nil {
			return false, err
		}
		n := counts[a.Key] + 1
		if n <= s.cfg.Flapping.Changes {
			return false, nil
		}
		s.flap(a, n, true, now)
		if err := s.tellFlapping(ctx, tx, a, "begins", s.flapEntry(a.ID, a.doc.Flapping, now), now); err != nil {
			return false, err
		}
	}
	if err := saveAlerts(ctx, tx, []*alert{a}); err != nil {
		return false, err
	}
	s.live.drop(a)
	return true, nil
}

// tellFlapping writes down that an alert flaps, or does no more, and tells those
// who know its incident.
func (s *Service) tellFlapping(ctx context.Context, tx bun.Tx, a *alert, what string, said timelineRow, now time.Time) error {
	entries := []timelineRow{said}
	if !a.Held || a.IncidentID == "" {
		return saveTimeline(ctx, tx, entries)
	}
	list, err := readIncidents(ctx, tx, []string{a.IncidentID})
	if err != nil {
		return err
	}
	for _, i := range list {
		if i.Status == StatusClosed {
			continue
		}
		said.Object = i.ID
		entries = append(entries, said)
		// What is told is read from SQL: so the alert has to be there first.
		if err := saveAlerts(ctx, tx, []*alert{a}); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, i, "changed", fmt.Sprintf("flapping %s %s %d", what, a.ID, now.UnixMilli()), now); err != nil {
			return err
		}
		i.ToldAt, i.TellAt = now.UnixMilli(), 0
		if err := s.saveIncident(ctx, tx, i); err != nil {
			return err
		}
	}
	return saveTimeline(ctx, tx, entries)
}

// calmDown ends the flapping of alerts that have not changed for long enough.
func (s *Service) calmDown(ctx context.Context, now time.Time) error {
	if !s.flaps.Swap(false) {
		return nil
	}
	left := true // where it fails it is tried again
	defer func() {
		if left {
			s.flaps.Store(true)
		}
	}()
	var rows []alertRow
	if err := s.db.NewSelect().Model(&rows).Where("flapping = 1").OrderExpr("id").Scan(ctx); err != nil {
		return fmt.Errorf("read the alerts that flap: %w", err)
	}
	waiting := false
	for _, r := range rows {
		a := &alert{alertRow: r}
		if err := a.unpack(); err != nil {
			return err
		}
		if f := a.doc.Flapping; a.Status != StatusClosed && f != nil && now.Sub(f.Last.Time) < s.cfg.Flapping.Calm {
			waiting = true
			continue
		}
		if err := s.calm(ctx, a.ID, now); err != nil {
			return err
		}
	}
	left = waiting
	return nil
}

// calm ends the flapping of one alert.
func (s *Service) calm(ctx context.Context, id string, now time.Time) error {
	var over *alert
	err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		over = nil
		list, err := readAlerts(ctx, tx, []string{id})
		if err != nil || len(list) == 0 {
			return err
		}
		a := list[0]
		f := a.doc.Flapping
		if f != nil && a.Status != StatusClosed && now.Sub(f.Last.Time) < s.cfg.Flapping.Calm {
			return nil // it has changed just now
		}
		a.doc.Flapping, a.Flapping = nil, false
		if f != nil && a.Status != StatusClosed {
			if f.Recovered {
				over = a
			} else if err := s.tellFlapping(ctx, tx, a, "ends", entry(a.ID, now, "flapping", SystemActor, detections.Text{
				ZH: fmt.Sprintf("抖动结束，共变化 %d 次，告警仍在触发", f.Changes), EN: fmt.Sprintf("The alert flaps no more after %d changes, and fires still", f.Changes)},
				map[string]any{"changes": f.Changes}), now); err != nil {
				return err
			}
		}
		if err := saveAlerts(ctx, tx, []*alert{a}); err != nil {
			return err
		}
		s.live.drop(a)
		return nil
	})
	if err != nil {
		return fmt.Errorf("ticketing: end the flapping of alert %s: %w", id, err)
	}
	s.out.Wake()
	if over == nil {
		return nil
	}
	return s.recover(ctx, over.Tenant, over.Key[len(over.Tenant)+1:], detections.Text{ZH: "抖动结束，告警已恢复", EN: "It flaps no more and has recovered"}, false)
}

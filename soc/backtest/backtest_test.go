package backtest_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/detections/suppression"
	"icewatch/soc/backtest"
	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/lake/arrivals"
	"icewatch/test/bench/backtest/city"
)

var flood = engine.Flood{Rate: 20, Window: 10 * time.Second, Interval: 10 * time.Second}

// past fills a lake with the stream and returns what was raised meanwhile.
func past(t *testing.T, events int) (reader func() *backtest.Reader, from, to time.Time, live map[string][]string) {
	t.Helper()
	l, err := lake.Open(lake.Options{Dir: filepath.Join(t.TempDir(), "lake"), Classes: []lake.Class{{Name: lake.Standard, Retention: 60 * 24 * time.Hour}}, Memory: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	a, err := arrivals.Open(t.Context(), filepath.Join(t.TempDir(), "arrivals.db"), city.Epoch, 0, 60*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	span := 6 * time.Hour
	start := time.Now().Add(-3 * 24 * time.Hour).Truncate(time.Hour)
	s := city.New(events, start, span, event.NewRegistry(0))
	store := city.NewStore(l, a, s.Reg)
	last := uint64(0)
	live, err = city.Live(s, flood, func(seq uint64, came time.Time, evs []event.Event) error {
		last = seq
		return store.Take(t.Context(), seq, came, evs)
	})
	if err == nil {
		err = store.Finish(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() *backtest.Reader {
		return &backtest.Reader{Lake: l, Arrivals: a, Epoch: city.Epoch, Last: last, Accounts: city.Accounts, Everyone: city.Accounts}
	}, start, start.Add(span + time.Hour), live
}

// TestEqualsLive holds a backtest to what the live engine raised on the same
// stream, id by id: of a correlation of a correlation, of single rules, and of one
// that floods.
func TestEqualsLive(t *testing.T) {
	t.Parallel()
	reader, from, to, live := past(t, 60_000)
	for _, rule := range []string{city.Guessed, city.Tool, city.Floods} {
		t.Run(rule[len(rule)-1:], func(t *testing.T) {
			t.Parallel()
			b := city.Bundle()
			if rule == city.Tool {
				// Alone nothing counts it.
				b.SetDisabled([]string{city.Many, city.Guessed, city.Floods, "7a1d2c9e-0001-4c1e-9d55-000000000001", "7a1d2c9e-0001-4c1e-9d55-000000000002"})
			}
			var ids []string
			j, err := backtest.NewJudge(backtest.Options{Bundle: b, Rules: []string{rule}, From: from, To: to, Each: func(o *detections.Occurrence) { ids = append(ids, o.ID) }, Engine: engine.Options{Flood: flood}})
			if err != nil {
				t.Fatal(err)
			}
			told := 0
			out, err := reader().Run(t.Context(), j, func(backtest.Advance) { told++ })
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Sorted(slices.Values(live[rule]))
			got := slices.Sorted(slices.Values(ids))
			if !slices.Equal(got, want) {
				t.Errorf("%d occurrences, live %d; filter %s; %+v", len(got), len(want), out.Filter, out.Advance)
			}
			if len(want) == 0 {
				t.Error("the live engine raised nothing: the stream shows nothing")
			}
			if out.Events != 60_000 || out.Share != 1 || told == 0 || len(out.Samples) == 0 || out.Alerts == 0 {
				t.Errorf("%+v", out.Advance)
			}
			if rule == city.Tool && out.Read > 2*out.Occurrences {
				t.Errorf("%d events read for %d occurrences: it does not prune", out.Read, out.Occurrences)
			}
			if rule == city.Floods && out.Held == 0 {
				t.Error("it never flooded")
			}
			n := uint64(0)
			for _, d := range out.Days {
				n += d.Occurrences
			}
			if n != out.Occurrences {
				t.Errorf("%d on days, %d in all", n, out.Occurrences)
			}
		})
	}
	t.Run("tenant and suppression", func(t *testing.T) {
		t.Parallel()
		j, err := backtest.NewJudge(backtest.Options{Bundle: city.Bundle(), Rules: []string{city.Tool}, From: from, To: to, Suppressions: []suppression.Suppression{{
			ID: "6b0f5d9a-8d3e-4d7e-9a51-4f5a8c1d2e3f", Name: "test", Rules: []string{city.Tool}, Tenants: []string{"tax"}, Owner: "a", Reason: "a test of the tool by its owners", Expires: time.Now().Add(time.Hour)}}})
		if err != nil {
			t.Fatal(err)
		}
		r := reader()
		r.Accounts = city.Accounts[:2]
		out, err := r.Run(t.Context(), j, nil)
		if err != nil {
			t.Fatal(err)
		}
		tax := uint64(0)
		for _, a := range out.List {
			if a.Tenant == "tax" {
				tax += a.Occurrences
			} else if a.Tenant != "health" {
				t.Errorf("an alert of %s", a.Tenant)
			}
		}
		if tax == 0 || out.Suppressed != tax || out.Occurrences == tax {
			t.Errorf("%d of tenant tax, %d suppressed, %d in all", tax, out.Suppressed, out.Occurrences)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		j, err := backtest.NewJudge(backtest.Options{Bundle: city.Bundle(), From: from, To: to})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		out, err := reader().Run(ctx, j, func(backtest.Advance) { cancel() })
		if !errors.Is(err, context.Canceled) || out.Stopped != "cancelled" || out.Share == 1 {
			t.Errorf("%v, %q, %v", err, out.Stopped, out.Share)
		}
	})
}

// TestNoRules asks for nothing.
func TestNoRules(t *testing.T) {
	t.Parallel()
	if _, err := backtest.NewJudge(backtest.Options{}); err == nil {
		t.Error("no rules are no fault")
	}
}

package engine

import (
	"reflect"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/event"
)

const story = `title: Failure
id: failure
logsource: {product: t}
detection:
  s: {event.outcome: failure}
  condition: s
---
title: Success
id: success
logsource: {product: t}
detection:
  s: {event.outcome: success}
  condition: s
---
title: Guessing
id: guessing
correlation:
  type: event_count
  rules: [failure]
  group-by: [source.ip]
  timespan: 1m
  condition: {gte: 3}
---
title: Guessed
id: guessed
date: 2026-01-01
modified: 2026-11-26
correlation:
  type: temporal_ordered
  rules: [guessing, success]
  group-by: [source.ip]
  timespan: 10m
level: critical
---
title: Silence
id: silence
correlation:
  type: event_count
  rules: [success]
  group-by: [source.ip]
  timespan: 20m
icewatch: {absence: true, lateness: 1m}
`

// outcomes makes events a second apart, 'f' for a failure and 's' for a success.
func outcomes(s *stream, list string) []*event.Event {
	var out []*event.Event
	for _, c := range list {
		ev := s.next(time.Second, "10.0.0.1")
		ev.Set(event.EventOutcome, map[rune]string{'f': "failure", 's': "success"}[c])
		out = append(out, ev)
	}
	return out
}

func TestChainAndSilence(t *testing.T) {
	t.Parallel()
	e, _ := fresh(t, event.NewRegistry(0), map[string]string{"a.yml": story})
	s := newStream()
	if got := collect(e, outcomes(s, "sff")...); len(got) != 0 {
		t.Fatalf("raised %+v", got)
	}
	got := collect(e, outcomes(s, "fffs")...)
	if len(got) != 1 || got[0].Rule.ID != "guessed" || got[0].Rule.Version != "2026-11-26" || len(got[0].Rule.Hash) != 64 || got[0].Tenant == "" || got[0].Fields["event.outcome"] != "success" {
		t.Fatalf("raised %+v", got)
	}
	var silent []detections.Occurrence
	tick := func(after time.Duration) {
		e.Tick(s.at.Add(after), func(o detections.Occurrence) { silent = append(silent, o) })
	}
	if tick(20 * time.Minute); len(silent) != 0 {
		t.Fatalf("the lateness is not waited for: %+v", silent)
	}
	if tick(22 * time.Minute); len(silent) != 1 || silent[0].Rule.ID != "silence" || !silent[0].Time.Equal(s.at.Add(20*time.Minute)) || silent[0].Fields["source.ip"] != "10.0.0.1" || silent[0].Tenant != got[0].Tenant {
		t.Fatalf("silence raises %+v", silent)
	}
	if tick(2 * time.Hour); len(silent) != 1 {
		t.Errorf("one silence is raised %d times", len(silent))
	}
}

// TestChainOverRestarts stops at each place of a chain.
func TestChainOverRestarts(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	all := outcomes(newStream(), "ffffssfff")
	e, set := fresh(t, reg, map[string]string{"a.yml": story})
	want := collect(e, all...)
	if len(want) != 1 {
		t.Fatalf("%d raised", len(want))
	}
	for cut := range all {
		first := New(Options{Registry: reg, Log: quiet})
		first.Swap(set)
		got := collect(first, all[:cut]...)
		kept, err := first.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		next := New(Options{Registry: reg, Log: quiet})
		next.Swap(set)
		if err := next.Restore(kept); err != nil {
			t.Fatal(err)
		}
		if got = append(got, collect(next, all[cut:]...)...); !reflect.DeepEqual(got, want) {
			t.Errorf("cut at %d: got %+v, want %+v", cut, got, want)
		}
	}
	// What a replay repeats was counted already.
	again := New(Options{Registry: reg, Log: quiet})
	again.Swap(set)
	collect(again, all...)
	if got := collect(again, all...); len(got) != 0 || again.Stats().Duplicates == 0 {
		t.Errorf("a replay raises %+v, stats %+v", got, again.Stats())
	}
}

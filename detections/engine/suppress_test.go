package engine

import (
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/suppression"
	"icewatch/soc/event"
)

// TestAFloodKeepsApartWhatSuppressionsTellApart has a scanner's noise bury somebody
// else's work from the same address: what stands for many firings stands either for
// those that a suppression meets or for the others.
func TestAFloodKeepsApartWhatSuppressionsTellApart(t *testing.T) {
	t.Parallel()
	e := flooded(t, Flood{Rate: 1, Window: 10 * time.Second, Interval: 10 * time.Second})
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	set, faults := suppression.Compile([]suppression.Suppression{{ID: "scanner", Name: "n", Owner: "o", Reason: "r", Expires: at.AddDate(0, 1, 0), Rules: []string{"noisy"},
		Detection: map[string]any{"s": map[string]any{"user.name": "scanner"}, "condition": "s"}}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	e.Suppress(set)
	s := newStream()
	var got []detections.Occurrence
	for n := range 400 {
		ev := s.next(100*time.Millisecond, "10.0.0.1")
		ev.Set(event.UserName, map[bool]string{true: "mallory", false: "scanner"}[n%40 == 7])
		got = append(got, collect(e, ev)...)
	}
	last := s.next(time.Minute, "10.0.0.9")
	last.Set(event.EventOutcome, "failure")
	got = append(got, collect(e, last)...)
	suppressed, raised, joined := 0, 0, 0
	for i := range got {
		o := &got[i]
		if o.Firings > 1 {
			joined++
		}
		if set.Match(o, suppression.AssetOf(o), at) != "" {
			suppressed += o.Count
		} else {
			raised += o.Count
		}
	}
	if suppressed != 390 || raised != 10 || joined == 0 {
		t.Errorf("%d events suppressed, %d raised, %d occurrences stand for several; want 390, 10, some", suppressed, raised, joined)
	}
	// Without a suppression that asks for it nothing is kept apart, and what stands for
	// several is met by none.
	e = flooded(t, Flood{Rate: 1, Window: 10 * time.Second, Interval: 10 * time.Second})
	s = newStream()
	for range 400 {
		ev := s.next(100*time.Millisecond, "10.0.0.1")
		ev.Set(event.UserName, "scanner")
		for _, o := range collect(e, ev) {
			if met := set.Match(&o, suppression.AssetOf(&o), at) != ""; met != (o.Firings <= 1) {
				t.Errorf("an occurrence of %d firings, met %v", o.Firings, met)
			}
		}
	}
}

package maintenance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestSpans holds the spans of random windows against asking quarter hour by
// quarter hour, over changes of summer time too.
func TestSpans(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
	quarter := func(n int) time.Time { return start.Add(time.Duration(rnd.IntN(n)) * 15 * time.Minute) }
	zones := []string{"Asia/Shanghai", "Europe/Berlin", "UTC"}
	for round := range 200 {
		var s Schedule
		for i := range 1 + rnd.IntN(4) {
			w := Window{ID: fmt.Sprint("w", i), Name: "w"}
			switch rnd.IntN(3) {
			case 0:
				w.Start = quarter(1000)
				w.End = w.Start.Add(time.Duration(1+rnd.IntN(300)) * 15 * time.Minute)
			case 1:
				w.End = quarter(1500)
				fallthrough
			default:
				clock := func() string { return fmt.Sprintf("%02d:%02d", rnd.IntN(24), 15*rnd.IntN(4)) }
				w.Weekly = &Weekly{Days: []string{Weekdays[rnd.IntN(7)], Weekdays[rnd.IntN(7)]}, From: clock(), To: clock(), Zone: zones[rnd.IntN(3)]}
			}
			switch rnd.IntN(3) {
			case 0:
				w.Items = []string{"host"}
			case 1:
				w.Systems = []string{"sys"}
			default:
				w.Tenants = []string{"tax"}
			}
			s.Windows = append(s.Windows, w)
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		c := New(s)
		from := quarter(400)
		to := from.Add(time.Duration(1+rnd.IntN(1200)) * 15 * time.Minute)
		spans := c.Spans("sys", "tax", from, to)
		for i, x := range spans {
			if !x.From.Before(x.To) || i > 0 && !spans[i-1].To.Before(x.From) || x.From.Before(from) || x.To.After(to) {
				t.Fatalf("round %d: %v", round, spans)
			}
		}
		for at := from; at.Before(to); at = at.Add(15 * time.Minute) {
			in := false
			for _, x := range spans {
				in = in || !at.Before(x.From) && at.Before(x.To)
			}
			if want := len(c.InForce("", "sys", "tax", at)) > 0; in != want {
				t.Fatalf("round %d: at %s %v, want %v: %v of %+v", round, at, in, want, spans, s)
			}
		}
	}
}

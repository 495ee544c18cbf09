package sla

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestMeasure holds uptimes to a count minute by minute.
func TestMeasure(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	const before, end = 100, 700 // the time that is asked about
	for round := range 2000 {
		spans := func(most int) (list []Span) {
			for range rnd.IntN(most + 1) {
				from := rnd.IntN(900)
				s := Span{minute(from), minute(from + rnd.IntN(200))}
				if rnd.IntN(8) == 0 {
					s.To = time.Time{}
				}
				list = append(list, s)
			}
			return list
		}
		outages, planned := spans(6), spans(4)
		for i := range planned {
			if planned[i].To.IsZero() {
				planned[i].To = minute(2000)
			}
		}
		in := func(list []Span, at time.Time) bool {
			for _, s := range list {
				if !at.Before(s.From) && (s.To.IsZero() || at.Before(s.To)) {
					return true
				}
			}
			return false
		}
		var service, window, down, both, longest, outage, count int
		for m := before; m <= end; m++ {
			at := minute(m)
			d, w := m < end && in(outages, at), in(planned, at)
			if !d { // an outage ends
				if outage > 0 {
					count++
					longest = max(longest, outage)
				}
				outage = 0
			}
			switch {
			case m == end:
			case w && d:
				window, both = window+1, both+1
			case w:
				window++
			case d:
				service, down, outage = service+1, down+1, outage+1
			default:
				service++
			}
		}
		u := Measure(minute(before), minute(end), outages, planned)
		want := Uptime{ServiceSeconds: int64(60 * service), PlannedSeconds: int64(60 * window), DownSeconds: int64(60 * down), DownPlanned: int64(60 * both), Availability: 100,
			Outages: count, LongestSeconds: int64(60 * longest), Down: in(outages, minute(end-1))}
		if service > 0 {
			want.Availability = 100 * float64(service-down) / float64(service)
		}
		if count > 0 {
			want.MTBFSeconds, want.MTTRSeconds = int64(60*(service-down)/count), int64(60*down/count)
		}
		if math.Abs(u.Availability-want.Availability) > 1e-9 {
			t.Fatalf("round %d: %v%%, want %v%%", round, u.Availability, want.Availability)
		}
		u.Availability = want.Availability
		if u != want {
			t.Fatalf("round %d: %+v\nwant %+v\noutages %v\nplanned %v", round, u, want, outages, planned)
		}
	}
}

func TestStability(t *testing.T) {
	t.Parallel()
	terms := DefaultTerms(nil)
	for level, want := range map[int]float64{0: 99.5, 2: 99.5, 3: 99.9, 4: 99.9} {
		if got, ok := terms.StabilityOf("x", level); !ok || got.Percent != want {
			t.Errorf("level %d: %v, want %v", level, got, want)
		}
	}
	terms.Stability = []Stability{{Level: 3, Percent: 99}, {Systems: []string{"hall"}, Percent: 98, Outages: 2}}
	if got, _ := terms.StabilityOf("hall", 4); got.Percent != 98 {
		t.Errorf("what names the system: %v", got)
	}
	if got, ok := terms.StabilityOf("x", 2); ok {
		t.Errorf("nothing is agreed for it: %v", got)
	}
	if err := terms.Check(); err != nil {
		t.Error(err)
	}
	s := terms.Stability[1]
	const day = 24 * 3600
	for name, c := range map[string]struct {
		u    Uptime
		want bool
	}{
		"kept":              {Uptime{Availability: 98, Outages: 2, ServiceSeconds: day}, true},
		"down too long":     {Uptime{Availability: 97.99, ServiceSeconds: day}, false},
		"down too often":    {Uptime{Availability: 99, Outages: 3, ServiceSeconds: day}, false},
		"more time, more":   {Uptime{Availability: 99, Outages: 4, ServiceSeconds: 60 * day}, true},
		"and no more still": {Uptime{Availability: 99, Outages: 5, ServiceSeconds: 60 * day}, false},
	} {
		if got := s.Met(c.u); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, bad := range map[string]Stability{"percent": {}, "level": {Percent: 99, Level: 6}, "more than all": {Percent: 101}, "no number": {Percent: math.NaN()}, "nobody": {Percent: 9, Systems: []string{""}}, "outages": {Percent: 9, Outages: -1}} {
		terms.Stability = []Stability{bad}
		if terms.Check() == nil {
			t.Errorf("%s is taken: %+v", name, bad)
		}
	}
}

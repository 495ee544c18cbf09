package correlation

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"icewatch/soc/event"
)

// benchMatches are matches of many groups, one behind the other in time.
func benchMatches(groups int) []Match {
	list := make([]Match, groups)
	fields := map[string]string{"source.ip": "203.0.113.9", "host.name": "web-1"}
	for i := range list {
		list[i] = Match{Event: event.ID{Epoch: "e"}, Tenant: "t", Group: []string{fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)},
			Values: []string{fmt.Sprint(i % 7)}, Fields: inOrder(fields)}
	}
	return list
}

func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct{ name, kind, condition string }{
		{"event_count", "event_count", "gte: 100"}, {"event_count_flood", "event_count", "gte: 3"}, {"value_count", "value_count", "field: v, gte: 10"},
		{"value_sum", "value_sum", "field: v, gte: 1000"}, {"value_avg", "value_avg", "field: v, gte: 5"}, {"temporal", "temporal", "gte: 1"},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := New([]Rule{rule(b, c.kind, "1m", c.condition)}, Options{})
			emit := func(Firing) {}
			list := benchMatches(10_000)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				m := list[i%len(list)]
				m.Time = int64(i) * int64(100*time.Microsecond) // a match of each group a second
				m.Arrived, m.Event.Sequence = m.Time, uint64(i)
				s.Add(0, m, emit)
			}
		})
	}
}

// BenchmarkGroups measures what live groups take of memory, three events each.
func BenchmarkGroups(b *testing.B) {
	for b.Loop() {
		const groups = 1_000_000
		heap := func() int64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		s := New([]Rule{rule(b, "event_count", "1h", "gte: 100")}, Options{MaxBytes: 1 << 30})
		for i := range 3 * groups {
			g := i % groups
			s.Add(0, Match{Time: int64(i) * int64(time.Microsecond), Event: event.ID{Epoch: "e", Sequence: uint64(i)}, Tenant: "t",
				Group: []string{fmt.Sprintf("10.%d.%d.%d", g>>16&255, g>>8&255, g&255)}}, func(Firing) {})
		}
		used := heap() - before
		st := s.Stats()
		if st.Groups != groups {
			b.Fatalf("%d groups are live, stats %+v", st.Groups, st)
		}
		b.ReportMetric(float64(used)/groups, "B/group")
		b.ReportMetric(float64(st.Bytes)/groups, "estimated-B/group")
		b.ReportMetric(float64(used)/1e6, "MB")
	}
}

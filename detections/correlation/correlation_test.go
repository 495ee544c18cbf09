package correlation

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

const second = int64(time.Second)

func rule(t testing.TB, kind, span, condition string) Rule {
	t.Helper()
	text := fmt.Sprintf("title: c\nid: c\ncorrelation:\n  type: %s\n  rules: [b]\n  group-by: [h]\n  timespan: %s\n  condition: {%s}\n", kind, span, condition)
	rules, errs := sigma.Parse([]byte(text), nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return Rule{ID: "c", Fingerprint: "1", Sigma: rules[0].Correlation}
}

// at makes a match at a second, in a group, with a value.
func at(sec int64, group, value string) Match {
	return Match{Time: sec * second, Arrived: 1_000_000*second + sec*second, Event: event.ID{Epoch: "e", Sequence: uint64(sec)}, Tenant: "t",
		Group: []string{group}, Values: []string{value}, Fields: inOrder(map[string]string{"sec": fmt.Sprint(sec)})}
}

func run(s *State, list []Match) []Firing {
	var out []Firing
	for _, m := range list {
		s.Add(0, m, func(f Firing) { out = append(out, f) })
	}
	return out
}

func seconds(list ...int64) []Match {
	var out []Match
	for _, sec := range list {
		out = append(out, at(sec, "h", "v"))
	}
	return out
}

func TestEventCount(t *testing.T) {
	t.Parallel()
	f := func(name, condition string, list []Match, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			s := New([]Rule{rule(t, "event_count", "10s", condition)}, Options{Lateness: 5 * time.Second})
			got := []string{}
			emit := func(f Firing) { got = append(got, fmt.Sprintf("%d-%d:%g", f.From/second, f.To/second, f.Count)) }
			for _, m := range list {
				s.Add(0, m, emit)
			}
			s.Advance(2_000_000*second, emit) // whatever is open is over by then
			if !slices.Equal(got, append([]string{}, want...)) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	f("threshold not reached", "gte: 3", seconds(1, 2))
	f("threshold reached", "gte: 3", seconds(1, 2, 3), "1-3:3")
	f("greater than", "gt: 3", seconds(1, 2, 3, 4), "1-4:4")
	f("too far apart", "gte: 3", seconds(1, 7, 11))
	f("the window slides", "gte: 3", seconds(1, 9, 12, 13), "9-13:3")
	f("the same window fires once", "gte: 3", seconds(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), "1-3:3")
	f("the next window fires again", "gte: 3", seconds(1, 2, 3, 4, 11, 12, 13), "1-3:3", "11-13:3")
	f("order does not matter", "gte: 3", seconds(3, 1, 2), "1-3:3")
	f("a late event counts in its window", "gte: 3", seconds(1, 2, 12, 8), "1-8:3")
	f("too late does not count", "gte: 3", seconds(1, 2, 30, 3))
	f("groups are apart", "gte: 3", []Match{at(1, "a", ""), at(2, "b", ""), at(3, "a", "")})
	f("fewer than, judged when over", "lt: 3", seconds(1, 2, 30), "1-2:2", "30-30:1")
	f("exactly", "eq: 2", seconds(1, 2, 30), "1-2:2")
	f("exactly, but more came", "eq: 2", seconds(1, 2, 3, 30))
	f("not equal", "neq: 2", seconds(1, 2, 3), "1-3:3")
	f("a range", "gte: 2, lte: 3", seconds(1, 2, 3, 30, 31, 32, 33), "1-3:3")
}

func TestValueCount(t *testing.T) {
	t.Parallel()
	f := func(name string, list []Match, want ...float64) {
		t.Helper()
		s := New([]Rule{rule(t, "value_count", "10s", "field: v, gte: 3")}, Options{})
		var got []float64
		for _, f := range run(s, list) {
			got = append(got, f.Count)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	f("repeats are one", []Match{at(1, "h", "a"), at(2, "h", "a"), at(3, "h", "b")})
	f("three values", []Match{at(1, "h", "a"), at(2, "h", "b"), at(3, "h", "c")}, 3)
	f("never three within the span", []Match{at(1, "h", "a"), at(9, "h", "b"), at(12, "h", "c")})
	flood := []Match{at(1, "h", "a"), at(1, "h", "b")}
	flood[1].Event.Sequence = 99
	for i := range 20_000 {
		flood = append(flood, at(2, "h", "a"))
		flood[i+2].Event.Sequence = uint64(100 + i)
	}
	f("a flood of one value drops no other", append(flood, at(3, "h", "c")), 3)
}

func TestWeightAndTenant(t *testing.T) {
	t.Parallel()
	s := New([]Rule{rule(t, "event_count", "10s", "gte: 5")}, Options{})
	m := at(1, "h", "")
	m.Weight = 5
	got := run(s, []Match{m})
	if len(got) != 1 || got[0].Events != 5 || got[0].Tenant != "t" || len(got[0].IDs) != 1 {
		t.Errorf("got %+v", got)
	}
	other := at(1, "h", "")
	other.Tenant, other.Weight = "u", 4
	if got := run(s, []Match{other}); len(got) != 0 {
		t.Errorf("tenants add up: %+v", got)
	}
}

// oracle finds by brute force whether some span holds enough.
func oracle(list []Match, span, threshold int64, distinct bool) bool {
	for _, first := range list {
		n, values := int64(0), map[string]bool{}
		for _, m := range list {
			if m.Time >= first.Time && m.Time < first.Time+span {
				n++
				values[m.Values[0]] = true
			}
		}
		if distinct {
			n = int64(len(values))
		}
		if n >= threshold {
			return true
		}
	}
	return false
}

// TestFirstFiringAgainstOracle compares, on random streams with reordering
// inside the lateness, after each event whether anything has fired so far.
func TestFirstFiringAgainstOracle(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 4000 {
		distinct := round%2 == 0
		kind, condition := "event_count", "gte: 4"
		if distinct {
			kind, condition = "value_count", "field: v, gte: 4"
		}
		s := New([]Rule{rule(t, kind, "10s", condition)}, Options{Lateness: 8 * time.Second})
		var list []Match
		clock, fired := int64(100), false
		for i := range 20 {
			clock += int64(rng.IntN(5))
			m := at(clock-int64(rng.IntN(8)), "h", string(rune('a'+rng.IntN(6))))
			m.Arrived, m.Event.Sequence = 1_000_000*second+clock*second, uint64(i)
			list = append(list, m)
			s.Add(0, m, func(f Firing) {
				fired = true
				if !s.rules[0].Sigma.Met(f.Count) || f.To-f.From >= 10*second {
					t.Fatalf("a window of %v holds %g", time.Duration(f.To-f.From), f.Count)
				}
			})
			if want := oracle(list, 10*second, 4, distinct); want != fired {
				t.Fatalf("%s round %d: fired %v, oracle %v, times %v", kind, round, fired, want, list)
			}
			if fired {
				break
			}
		}
	}
}

// TestSnapshotAnywhere stops a random stream at a random place, goes on from
// the snapshot, and expects what an undisturbed run gives, id by id.
func TestSnapshotAnywhere(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 400 {
		conditions := []string{"gte: 4", "field: v, gte: 3", "lt: 3", "eq: 4"}
		kinds := []string{"event_count", "value_count", "event_count", "event_count"}
		k := round % len(kinds)
		mk := func() *State {
			return New([]Rule{rule(t, kinds[k], "10s", conditions[k])}, Options{Lateness: 5 * time.Second})
		}
		var list []Match
		clock := int64(100)
		for range 60 {
			clock += int64(rng.IntN(4))
			list = append(list, at(clock, string(rune('a'+rng.IntN(3))), string(rune('a'+rng.IntN(5)))))
		}
		want := run(mk(), list)
		first, cut := mk(), rng.IntN(len(list))
		got := run(first, list[:cut])
		second := mk()
		if _, err := second.Restore(first.Snapshot()); err != nil {
			t.Fatal(err)
		}
		got = append(got, run(second, list[cut:])...)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d, cut at %d:\ngot  %+v\nwant %+v", round, cut, got, want)
		}
		inherited := mk()
		inherited.Inherit(second)
		if !slices.Equal(inherited.Snapshot(), second.Snapshot()) {
			t.Fatal("inherited state differs")
		}
	}
}

func TestReplayRaisesTheSameIDs(t *testing.T) {
	t.Parallel()
	ids := func(list []Match) []string {
		var out []string
		for _, f := range run(New([]Rule{rule(t, "event_count", "10s", "gte: 3")}, Options{}), list) {
			out = append(out, f.ID)
		}
		return out
	}
	all := ids(seconds(101, 102, 103, 104, 120, 121, 122))
	if len(all) != 2 || all[0] == all[1] {
		t.Fatalf("ids %v", all)
	}
	if again := ids(seconds(101, 102, 103, 104, 120, 121, 122)); !slices.Equal(all, again) {
		t.Errorf("a replay gives %v, not %v", again, all)
	}
	if late := ids(seconds(102, 103, 104)); len(late) != 1 || late[0] != all[0] {
		t.Errorf("a replay that starts one event later gives %v, not %v", late, all[:1])
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	s := New([]Rule{rule(t, "event_count", "10s", "gte: 3")}, Options{MaxGroups: 100})
	for i := range 1000 {
		run(s, []Match{at(1, fmt.Sprint("h", i), "")})
	}
	if st := s.Stats(); st.Groups != 100 || st.Evicted != 900 {
		t.Errorf("stats %+v", st)
	}
	s.Advance(2_000_000*second, nil)
	if st := s.Stats(); st.Groups != 0 || s.rules[0].first != nil || len(s.index.cells) != 0 {
		t.Errorf("silent groups stay: %+v", st)
	}
	long := New([]Rule{rule(t, "event_count", "10s", "gte: 3")}, Options{})
	run(long, []Match{at(1, strings.Repeat("x", 1<<20), "")})
	if n := len(long.Snapshot()); n > 4096 {
		t.Errorf("a group's name of a megabyte is kept: snapshot of %d bytes", n)
	}
}

func FuzzRestore(f *testing.F) {
	s := New([]Rule{rule(f, "event_count", "10s", "lt: 3")}, Options{})
	run(s, seconds(1, 2, 30))
	f.Add(s.Snapshot())
	f.Add([]byte{})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New([]Rule{rule(t, "event_count", "10s", "lt: 3")}, Options{})
		if _, err := s.Restore(data); err != nil {
			return
		}
		run(s, seconds(100, 101)) // whatever came in must be usable
		s.Advance(2_000_000*second, func(Firing) {})
	})
}

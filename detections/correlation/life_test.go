package correlation

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAChangedRule tells which windows go on when a rule changes, over a swap
// and over a restart.
func TestAChangedRule(t *testing.T) {
	t.Parallel()
	const span = "10s"
	flood := func(n int) (list []Match) {
		for range n {
			list = append(list, at(1, "a", ""))
		}
		return list
	}
	for name, c := range map[string]struct {
		was, is       string // conditions
		fingerprint   string // of the rule as it is
		before, after []Match
		fires         int // after the change
		closed        []Closed
	}{
		"its texts":                            {"gte: 3", "gte: 3", "", seconds(1, 2), seconds(3), 1, nil},
		"a lower threshold":                    {"gte: 5", "gte: 3", "", seconds(1, 2), seconds(3), 1, []Closed{{"c", Rejudge, 0, 1}}},
		"a higher threshold":                   {"gte: 4", "gte: 5", "", seconds(1, 2, 3), seconds(4), 0, []Closed{{"c", Rejudge, 0, 1}}},
		"a higher threshold that is met":       {"gte: 4", "gte: 5", "", seconds(1, 2, 3), seconds(4, 5), 1, []Closed{{"c", Rejudge, 0, 1}}},
		"a higher threshold, events let go of": {"gte: 3", "gte: 50", "", flood(60), flood(49), 0, []Closed{{"c", Rejudge, 1, 0}}},
		"what fired does not fire again":       {"gte: 3", "gte: 2", "", seconds(1, 2, 3), seconds(4, 5), 0, []Closed{{"c", Rejudge, 0, 1}}},
		"what it counts":                       {"gte: 3", "gte: 3", "other", seconds(1, 2), seconds(3), 0, []Closed{{"c", Recount, 1, 0}}},
	} {
		make := func(condition, fingerprint string) *State {
			r := rule(t, "event_count", span, condition)
			r.Fingerprint, r.Terms = fingerprint, condition
			return New([]Rule{r}, Options{})
		}
		n := uint64(0)
		number := func(list []Match) []Match { // an identity of its own for each
			list = slices.Clone(list)
			for i := range list {
				n++
				list[i].Event.Sequence = n
			}
			return list
		}
		before, after := number(c.before), number(c.after)
		for _, way := range []string{"swap", "restart"} {
			old, next := make(c.was, ""), make(c.is, c.fingerprint)
			run(old, before)
			var closed []Closed
			if way == "swap" {
				closed = next.Inherit(old)
			} else {
				var err error
				if closed, err = next.Restore(old.Snapshot()); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(closed, c.closed) {
				t.Errorf("a change of %s over a %s: closed %+v, want %+v", name, way, closed, c.closed)
			}
			if fired := run(next, after); len(fired) != c.fires {
				t.Errorf("a change of %s over a %s: %d fire afterwards, want %d", name, way, len(fired), c.fires)
			}
		}
	}
	gone := New(nil, Options{})
	old := New([]Rule{rule(t, "event_count", span, "gte: 3")}, Options{})
	run(old, seconds(1))
	if closed := gone.Inherit(old); !slices.Equal(closed, []Closed{{"c", Gone, 1, 0}}) {
		t.Errorf("a rule that is gone closes %+v", closed)
	}
	if closed, err := gone.Restore([]byte{2}); err != nil || !slices.Equal(closed, []Closed{{Why: Older}}) {
		t.Errorf("a snapshot of an earlier version closes %+v, error %v", closed, err)
	}
}

// account sums what the groups take.
func (s *State) account() (groups int, bytes int64) {
	for _, r := range s.rules {
		for g := r.first; g != nil; g = g.after {
			groups++
			bytes += g.size()
		}
	}
	for _, c := range s.index.cells {
		for ; c != nil; c = c.alike {
			bytes += c.size()
		}
	}
	return groups, bytes
}

// TestEvictionByBytes has more groups come than the memory holds, of rules that
// keep much and of rules that keep little.
func TestEvictionByBytes(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	mk := func() *State {
		rising, over := rule(t, "event_count", "1h", "gte: 100"), rule(t, "value_avg", "1h", "field: v, gte: 100")
		rising.ID, over.ID = "rising", "over"
		return New([]Rule{rising, over}, Options{MaxBytes: limit})
	}
	s := mk()
	rng := rand.New(rand.NewPCG(3, 4))
	touched := map[string]int{}
	for i := range 5000 {
		group := fmt.Sprint("host-", rng.IntN(2000))
		for place := range s.rules {
			m := at(1, group, "1")
			m.Time += int64(i) * int64(time.Second/2)
			m.Arrived = m.Time
			m.Event.Sequence = uint64(i + 1)
			m.Fields = inOrder(map[string]string{"message": strings.Repeat("x", rng.IntN(300))})
			s.Add(place, m, func(f Firing) { t.Fatalf("%+v fires", f) })
			touched[fmt.Sprint(place, group)] = 2*i + place
		}
		if groups, bytes := s.account(); bytes != s.bytes || groups != s.groups || bytes > limit {
			t.Fatalf("after %d events %d groups of %d bytes are there, accounted for are %d of %d, the limit is %d", i, groups, bytes, s.groups, s.bytes, limit)
		}
	}
	st := s.Stats()
	if st.Evicted == 0 || st.EvictedBy["rising"]+st.EvictedBy["over"] != st.Evicted || st.EvictedBy["rising"] == 0 || st.EvictedBy["over"] == 0 {
		t.Errorf("stats %+v", st)
	}
	// Those that are there are the ones that were touched last, but for as much of
	// the timespan as touch lets pass.
	live, oldest := map[string]bool{}, math.MaxInt
	for place, r := range s.rules {
		for g := r.first; g != nil; g = g.after {
			_, values := splitKey(g.cell.key)
			name := fmt.Sprint(place, values[0])
			live[name], oldest = true, min(oldest, touched[name])
		}
	}
	slack := 2 * int(time.Hour/64/(time.Second/2)+1)
	for name, at := range touched {
		if !live[name] && at > oldest+slack {
			t.Fatalf("of %d groups that are there one was touched %d steps before %s, which is not there", len(live), at-oldest, name)
		}
	}
	// Less memory at the next start holds fewer of them.
	small := New([]Rule{s.rules[0].Rule, s.rules[1].Rule}, Options{MaxBytes: limit / 4})
	if _, err := small.Restore(s.Snapshot()); err != nil {
		t.Fatal(err)
	}
	if _, bytes := small.account(); bytes != small.bytes || bytes > limit/4 || small.Stats().Evicted == 0 {
		t.Errorf("restored within %d bytes: %d are there, accounted for are %d, stats %+v", limit/4, bytes, small.bytes, small.Stats())
	}
}

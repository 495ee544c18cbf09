package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/ruleset"
	"icewatch/rules"
	"icewatch/soc/event"
)

const noisy = `title: Noisy
id: noisy
logsource: {product: t}
detection:
  s: {event.outcome: success}
  condition: s
level: low
icewatch:
  group_by: [source.ip]
  sentence: {zh: '{count} 次', en: '{count} from {source.ip}'}
---
title: Quiet
id: quiet
logsource: {product: t}
detection:
  s: {user.name: alice}
  condition: s
icewatch:
  group_by: [event.code]
`

// stream gives events of a source, each some milliseconds after the one before.
type stream struct {
	at  time.Time
	seq uint64
}

func newStream() *stream { return &stream{at: time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)} }

func (s *stream) next(after time.Duration, ip string) *event.Event {
	s.at = s.at.Add(after)
	s.seq++
	ev := makeEvent(s.seq, 0, "success", ip)
	ev.Time, ev.Created = s.at.UnixNano(), s.at.UnixNano()
	return ev
}

func flooded(t *testing.T, f Flood) *Engine {
	t.Helper()
	reg := event.NewRegistry(0)
	e := New(Options{Registry: reg, Log: quiet, Flood: f})
	e.Swap(compileFiles(t, reg, map[string]string{"a.yml": noisy}))
	return e
}

// total sums what occurrences stand for.
func total(list []detections.Occurrence) (events, held int) {
	for _, o := range list {
		events += o.Count
		held += o.Held
	}
	return events, held
}

// TestFloodIsThrottledByName follows a flood of one group from its beginning to
// its end.
func TestFloodIsThrottledByName(t *testing.T) {
	t.Parallel()
	e := flooded(t, Flood{Rate: 10, Window: 10 * time.Second, Interval: 10 * time.Second})
	s := newStream()
	var all []detections.Occurrence
	send := func(n int, after time.Duration, ip string) (got []detections.Occurrence) {
		for range n {
			got = append(got, collect(e, s.next(after, ip))...)
		}
		all = append(all, got...)
		return got
	}
	// A burst within the bound is raised one by one.
	if got := send(100, 10*time.Millisecond, "10.0.0.1"); len(got) != 100 || len(e.Throttled()) != 0 {
		t.Fatalf("%d of 100 raised, throttled %v", len(got), e.Throttled())
	}
	// The next one in the window makes it a flood: one is let through, the rest wait.
	if got := send(1000, time.Millisecond, "10.0.0.1"); len(got) != 1 || got[0].Held != 0 {
		t.Fatalf("%d raised in the flood", len(got))
	}
	list := e.Throttled()
	if len(list) != 1 || list[0].Rule != "noisy" || list[0].State != Flooding || list[0].Held != 999 || !list[0].Since.Equal(s.at.Add(-999*time.Millisecond)) ||
		!strings.Contains(list[0].Reason.EN, "999 matches were held back") || list[0].Reason.ZH == "" {
		t.Fatalf("throttled %+v", list)
	}
	// Another group is heard at once, and another rule is not touched.
	if got := send(1, time.Millisecond, "10.0.0.2"); len(got) != 1 {
		t.Error("the first of another group waits")
	}
	ev := s.next(time.Millisecond, "10.0.0.3")
	ev.Set(event.UserName, "alice")
	ev.Set(event.EventOutcome, "failure")
	if got := collect(e, ev); len(got) != 1 || got[0].Rule.ID != "quiet" {
		t.Errorf("another rule is not raised: %v", got)
	}
	// After the interval comes one that stands for all that waited.
	got := send(1, 10*time.Second, "10.0.0.1")
	if len(got) != 1 || got[0].Held != 999 || got[0].Count != 999 || len(got[0].EventIDs) != maxHeldIDs || got[0].EventIDs[99] != "e-1100-0" || got[0].Rule.Sentence.EN != "999 from 10.0.0.1" {
		t.Fatalf("got %d: %+v", len(got), got)
	}
	if got[0].From.After(s.at.Add(-10*time.Second)) || got[0].Time.Sub(got[0].From) != 998*time.Millisecond {
		t.Errorf("it says from %v to %v", got[0].From, got[0].Time)
	}
	// The flood ends by itself, and what still waits is raised.
	send(1, 11*time.Second, "10.0.0.1")
	send(1, time.Second, "10.0.0.1")
	if list := e.Throttled(); len(list) != 0 {
		t.Errorf("still throttled: %+v", list)
	}
	if got := send(5, time.Second, "10.0.0.1"); len(got) != 5 {
		t.Errorf("%d of 5 raised after the flood", len(got))
	}
	if events, held := total(all); events != int(s.seq)-1 || uint64(held) != e.Stats().Held {
		t.Errorf("the occurrences stand for %d events of %d, %d held of %d", events, s.seq-1, held, e.Stats().Held)
	}
	seen := map[string]bool{}
	for _, o := range all {
		if seen[o.ID] {
			t.Errorf("the id %s is there twice", o.ID)
		}
		seen[o.ID] = true
	}
}

// TestFloodOfManyGroups is bounded in occurrences and in memory.
func TestFloodOfManyGroups(t *testing.T) {
	t.Parallel()
	e := flooded(t, Flood{Rate: 10})
	s := newStream()
	var all []detections.Occurrence
	for i := range 20_000 {
		all = append(all, collect(e, s.next(time.Millisecond/10, fmt.Sprintf("10.0.%d.%d", i/250, i%250)))...)
	}
	if n := len(e.rules[0].record.flood.index); n > maxFloodGroups+1 {
		t.Errorf("%d groups are told apart", n)
	}
	all = append(all, collect(e, s.next(11*time.Second, "10.9.9.9"))...)
	all = append(all, collect(e, s.next(11*time.Second, "10.9.9.9"), s.next(2*time.Second, "10.9.9.9"))...)
	if len(all) > 2*maxFloodGroups {
		t.Errorf("%d occurrences", len(all))
	}
	if events, _ := total(all); events != int(s.seq) {
		t.Errorf("the occurrences stand for %d events of %d", events, s.seq)
	}
	rest := 0
	for _, o := range all {
		if len(o.Group) == 0 {
			rest += o.Count
			if o.Tenant != "tax" || o.Rule.ID != "noisy" {
				t.Errorf("the rest is %+v", o)
			}
		}
	}
	if rest < 18_000 {
		t.Errorf("%d events are raised without a group", rest)
	}
}

// TestFloodReplays runs the same events with a restart in between, from each of
// several places: the same occurrences are raised.
func TestFloodReplays(t *testing.T) {
	t.Parallel()
	opts := Flood{Rate: 5, Window: 2 * time.Second, Interval: 3 * time.Second}
	reg := event.NewRegistry(0)
	set := compileFiles(t, reg, map[string]string{"a.yml": noisy})
	fresh := func() *Engine {
		e := New(Options{Registry: reg, Log: quiet, Flood: opts})
		e.Swap(set)
		return e
	}
	run := func(cut int) (out []detections.Occurrence) {
		e, s := fresh(), newStream()
		for i := range 600 {
			if i == cut {
				snap, err := e.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				e = fresh()
				if err := e.Restore(snap); err != nil {
					t.Fatal(err)
				}
			}
			after := 20 * time.Millisecond
			if i%200 > 150 {
				after = 700 * time.Millisecond
			}
			out = append(out, collect(e, s.next(after, fmt.Sprintf("10.0.0.%d", i%3)))...)
		}
		return out
	}
	want := run(-1)
	if _, held := total(want); held < 100 {
		t.Fatalf("only %d are held back", held)
	}
	for _, cut := range []int{1, 20, 77, 150, 151, 180, 250, 400, 599} {
		got := run(cut)
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			t.Errorf("a restart before event %d raises %d occurrences, not the same %d", cut, len(got), len(want))
		}
	}
}

func TestFloodOverSwaps(t *testing.T) {
	t.Parallel()
	e := flooded(t, Flood{Rate: 1})
	s := newStream()
	var all []detections.Occurrence
	send := func(n int) {
		for range n {
			all = append(all, collect(e, s.next(time.Millisecond, "10.0.0.1"))...)
		}
	}
	send(50)
	other := "title: New\nid: n\nlogsource: {product: t}\ndetection:\n  s: {x: y}\n  condition: s\n"
	e.Swap(compileFiles(t, e.reg, map[string]string{"a.yml": noisy, "b.yml": other}))
	send(50)
	if list := e.Throttled(); len(list) != 1 || list[0].Held != 89 {
		t.Errorf("a swap forgets the flood of an unchanged rule: %+v", list)
	}
	e.Swap(compileFiles(t, e.reg, map[string]string{"b.yml": other}))
	if list := e.Throttled(); len(list) != 0 {
		t.Errorf("a rule that is gone is throttled: %+v", list)
	}
	e.Tick(s.at, func(o detections.Occurrence) { all = append(all, o) })
	if events, _ := total(all); events != 100 {
		t.Errorf("the occurrences stand for %d events of 100: what was held back went with its rule", events)
	}
}

// TestTickEndsAFloodInSilence needs no further event.
func TestTickEndsAFloodInSilence(t *testing.T) {
	t.Parallel()
	e := flooded(t, Flood{Rate: 1})
	s := newStream()
	got := 0
	for range 100 {
		events, _ := total(collect(e, s.next(time.Millisecond, "10.0.0.1")))
		got += events
	}
	tick := func(after time.Duration) {
		e.Tick(s.at.Add(after), func(o detections.Occurrence) { got += o.Count })
	}
	if tick(5 * time.Second); got != 11 {
		t.Errorf("%d events are raised before the interval is over", got)
	}
	if tick(11 * time.Second); got != 100 {
		t.Errorf("%d of 100 events are raised", got)
	}
	tick(22 * time.Second)
	if list := e.Throttled(); len(list) != 0 {
		t.Errorf("still throttled: %+v", list)
	}
}

// TestCorrelationsAreThrottledToo floods with windows of many groups.
func TestCorrelationsAreThrottledToo(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e := New(Options{Registry: reg, Log: quiet, Flood: Flood{Rate: 1}})
	e.Swap(compileFiles(t, reg, map[string]string{"a.yml": base}))
	s := newStream()
	var all []detections.Occurrence
	for i := range 300 {
		ev := s.next(time.Millisecond, fmt.Sprintf("10.0.0.%d", i/3))
		ev.Set(event.EventOutcome, "failure")
		all = append(all, collect(e, ev)...)
	}
	list := e.Throttled()
	if len(list) != 1 || list[0].Rule != "many" || len(all) != 100 { // each group has its first
		t.Errorf("%d raised, throttled %+v", len(all), list)
	}
	if st := e.Stats(); st.Hits["base"] != 300 || st.Hits["many"] != 100 {
		t.Errorf("hits %v: a silent rule is never throttled", st.Hits)
	}
}

func TestSlowness(t *testing.T) {
	t.Parallel()
	o := Slow{Share: 0.2}.orDefault()
	var s slowness
	now := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	all, lap := time.Duration(0), 0
	// step lets a lap of 2 s pass of which the rule takes a share.
	step := func(share float64) string {
		now, lap, all = now.Add(2*time.Second), lap+1, all+time.Duration(share*float64(2*time.Second))
		switch off, on := s.judge(now, lap, all, 2*time.Second, o); {
		case off:
			return "aside"
		case on:
			return "again"
		}
		return ""
	}
	f := func(want string, shares ...float64) {
		t.Helper()
		for i, share := range shares {
			last := ""
			if i == len(shares)-1 {
				last = want
			}
			if got := step(share); got != last {
				t.Fatalf("lap %d at a share of %g: %q, want %q", i, share, got, last)
			}
		}
	}
	wait := func(laps int) {
		t.Helper()
		for i := range laps {
			want := ""
			if i == laps-1 {
				want = "again"
			}
			if got := step(0); got != want {
				t.Fatalf("lap %d of the pause: %q, want %q", i, got, want)
			}
		}
	}
	f("", 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
	f("", 3, 0, 0, 0, 0, 0) // one outlier is no evidence
	f("", 0.5, 0.5, 0.5, 0.5, 0.1)
	f("aside", 0.5, 0.5, 0.5, 0.5, 0.5)
	if s.pause != time.Minute || !s.until.Equal(now.Add(time.Minute)) || s.load < 0.49 {
		t.Errorf("pause %v until %v, load %g", s.pause, s.until, s.load)
	}
	wait(30)
	f("aside", 0.5, 0.5, 0.5, 0.5, 0.5)
	wait(60) // twice as long
	for range 50 {
		f("", 0.1)
	}
	f("aside", 0.5, 0.5, 0.5, 0.5, 0.5)
	if s.pause != time.Minute {
		t.Errorf("a rule that was fine for long is punished for what it did before: %v", s.pause)
	}
	for range 10 {
		s.pause, s.since, s.until = max(s.pause, time.Minute), time.Time{}, time.Time{}
		f("aside", 1, 1, 1, 1, 1)
	}
	if s.pause != longestPause {
		t.Errorf("the pause doubled to %v", s.pause)
	}
	o.Share, s = 0, slowness{}
	f("", 1, 1, 1, 1, 1, 1, 1)
}

// TestSlowRuleIsSetAside has a rule whose condition is dear on purpose: the
// fake clock says that a lap took less than it did.
func TestSlowRuleIsSetAside(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	now := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	e := New(Options{Registry: reg, Log: quiet, Slow: Slow{Share: 0.2, Window: 5 * time.Microsecond, Pause: time.Minute}, Now: func() time.Time { return now }})
	files := map[string]string{"a.yml": "title: Dear\nid: dear\nlogsource: {product: t}\ndetection:\n  s: {text|re: '(a+b+)+c(x|y|z)*[0-9]{3,9}$'}\n  condition: s\n", "b.yml": noisy}
	e.Swap(compileFiles(t, reg, files))
	text, _ := reg.Intern("text")
	s := newStream()
	lap := func() (raised int) {
		for range 200 {
			ev := s.next(time.Millisecond, "10.0.0.1")
			ev.Add(text, strings.Repeat("aabc", 2000))
			raised += len(collect(e, ev))
		}
		now = now.Add(time.Microsecond) // a lap, in which the rule took far longer
		e.Judge()
		return raised
	}
	for range laps + 1 {
		if n := lap(); n != 200 {
			t.Fatalf("%d of 200 raised", n)
		}
	}
	list := e.Throttled()
	at := -1
	for i := range list {
		if list[i].Rule == "dear" {
			at = i
		}
	}
	if at < 0 || list[at].State != SetAside || !list[at].Until.Equal(now.Add(time.Minute)) {
		t.Fatalf("throttled %+v", list)
	}
	asked := e.Report().Costs["dear"].Asked
	e.Swap(compileFiles(t, reg, files))
	if n := e.Report().Costs["dear"]; n.Asked != asked || asked != 200*(laps+1) || n.Seconds == 0 || n.Share < 0.5 {
		t.Errorf("costs over a swap: %+v, before asked %d", n, asked)
	}
	lap()
	if n := e.Report().Costs["dear"].Asked; n != asked {
		t.Error("a rule that is set aside is asked after a swap")
	}
	now = now.Add(time.Minute)
	e.Judge()
	lap()
	if n := e.Report().Costs["dear"].Asked; n == asked {
		t.Error("a rule is not asked again after its pause")
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, set := fresh(t, reg, map[string]string{"a.yml": noisy})
	s := newStream()
	for i := range 10 {
		ev := s.next(time.Second, "10.0.0.1")
		if i%2 == 0 {
			ev.Set(event.EventOutcome, "failure")
		}
		collect(e, ev)
	}
	r := e.Report()
	c := r.Costs["noisy"]
	if hits := e.Hits(); len(hits) != 1 || hits["noisy"] != c.Hits {
		t.Errorf("hits %v, want %d of noisy", hits, c.Hits)
	}
	if r.Version != set.Version() || r.Swaps != 1 || r.Events != 10 || r.Rules != 2 || r.Program == 0 || c.Hits != 5 || c.HitRate != 0.5 || c.Asked < 5 || c.Selectivity <= 0 || !c.LastHit.Equal(s.at) {
		t.Errorf("report %+v", r)
	}
	if quiet := r.Costs["quiet"]; quiet.Hits != 0 || !quiet.LastHit.IsZero() {
		t.Errorf("cost %+v", quiet)
	}
	changed := strings.Replace(noisy, "event.outcome: success", "event.outcome: [success, unknown]", 1)
	e.Swap(compileFiles(t, reg, map[string]string{"a.yml": changed}))
	collect(e, s.next(time.Second, "10.0.0.1"))
	r = e.Report()
	if hits := e.Hits(); hits["noisy"] != 1 {
		t.Errorf("hits of a changed rule: %v", hits)
	}
	if c := r.Costs["noisy"]; c.Hits != 1 || c.HitRate != 1 {
		t.Errorf("a changed rule goes by the cost of what it was: %+v", c)
	}
	if len(r.Sets) != 2 || r.Sets[0].Events != 10 || r.Sets[1].Events != 1 {
		t.Errorf("sets %+v", r.Sets)
	}
}

// The brief of a report has the costs of the costliest alone, and all else.
func TestBrief(t *testing.T) {
	t.Parallel()
	const rules = 40
	e, whole := manyRules(t, rules, 640)
	ids := make([]string, 0, rules)
	for id, c := range whole.Costs {
		if c.Seconds > 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) < 30 {
		t.Fatalf("%d of %d rules took time", len(ids), rules)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(whole.Costs[b].Seconds, whole.Costs[a].Seconds), cmp.Compare(a, b))
	})
	for _, n := range []int{0, 1, 7, len(ids), 1000} {
		brief := e.Brief(n)
		for i, id := range ids {
			got, told := brief.Costs[id]
			if told != (i < n) || told && got != whole.Costs[id] {
				t.Errorf("the %d costliest: number %d is %+v, %v, want %+v", n, i, got, told, whole.Costs[id])
			}
		}
		if len(brief.Costs) != min(n, len(ids)) {
			t.Errorf("the %d costliest are %d", n, len(brief.Costs))
		}
		if brief.Costs = whole.Costs; !reflect.DeepEqual(brief, whole) {
			t.Errorf("brief %+v, want %+v", brief, whole)
		}
	}
}

// manyRules is an engine of many rules that has judged events, and its report.
func manyRules(t testing.TB, n, events int) (*Engine, Report) {
	t.Helper()
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("r%04d.yml", i)] = fmt.Sprintf("title: T\nid: r%04d\ndetection: {s: {user.name|re: '^a.*x%d$'}, condition: s}\n", i, i)
	}
	reg := event.NewRegistry(0)
	e, _ := fresh(t, reg, files)
	name := "a" // what every rule looks into and none meets
	for i := range n {
		name += fmt.Sprintf(" x%d", i)
	}
	s := newStream()
	for range events {
		ev := s.next(time.Millisecond, "10.0.0.1")
		ev.Set(event.UserName, name+".")
		collect(e, ev)
	}
	return e, e.Report()
}

// BenchmarkReport tells of 1,000 rules, as the engine's process does over its
// socket: every rule, and the twenty costliest.
func BenchmarkReport(b *testing.B) {
	e, _ := manyRules(b, 1000, 65)
	f := func(name string, report func() Report) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				data, err := json.Marshal(report())
				if err != nil {
					b.Fatal(err)
				}
				var r Report
				if err := json.Unmarshal(data, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	f("whole", e.Report)
	f("brief", func() Report { return e.Brief(20) })
}

// TestUnfed: a rule lacks data until an event of its log source comes, and a
// swap does not forget that one did.
func TestUnfed(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	rule := func(id, product string) string {
		return "title: T\nid: " + id + "\nlogsource: {product: " + product + "}\ndetection: {s: {user.name: root}, condition: s}\n"
	}
	files := map[string]string{"logsources.yml": "logsources:\n- {product: web, any: [{event.module: nginx}]}\n- {product: wall, any: [{event.module: asa}]}\n", "a.yml": rule("a", "web"), "b.yml": rule("b", "wall")}
	e, _ := fresh(t, reg, files)
	unfed := func(want ...string) {
		t.Helper()
		var got []string
		for id, c := range e.Report().Costs {
			if c.Unfed {
				got = append(got, id)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%v lack data, want %v", got, want)
		}
	}
	unfed("a", "b")
	s := newStream()
	ev := s.next(time.Second, "10.0.0.1")
	ev.Set(event.EventModule, "nginx")
	collect(e, ev)
	unfed("b")
	files["c.yml"] = rule("c", "wall")
	e.Swap(compileFiles(t, reg, files))
	unfed("b", "c")
}

// TestSwapsDoNotAddUp swaps often, with state in each rule.
func TestSwapsDoNotAddUp(t *testing.T) {
	reg := event.NewRegistry(0)
	e := New(Options{Registry: reg, Log: quiet, Flood: Flood{Rate: 5}})
	s := newStream()
	var cache ruleset.Cache
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, "title: R\nid: r%d\nlogsource: {product: t}\ndetection:\n  s: {field%d|contains: [some, text%d]}\n  condition: s\n---\n", i, i%50, i)
	}
	swap := func(i int) {
		own := strings.ReplaceAll(noisy, "id: noisy", fmt.Sprintf("id: noisy%d", i))
		e.Swap(compileIn(t, &cache, reg, map[string]string{"a.yml": own, "b.yml": base, "c.yml": strings.TrimSuffix(many.String(), "---\n")}))
		for range 50 {
			collect(e, s.next(time.Millisecond, "10.0.0.1"))
		}
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i := range 10 {
		swap(i)
	}
	before := heap()
	for i := range 100 {
		swap(10 + i)
	}
	if after := heap(); after > before+before/10+1<<20 {
		t.Errorf("100 swaps leave %d KiB behind, from %d KiB", (after-before)>>10, before>>10)
	}
	if r := e.Report(); len(r.Sets) != maxSets || r.Swaps != 110 || len(e.flooding) != 1 || len(e.leftover) != 0 {
		t.Errorf("%d sets, %d swaps, %d floods, %d leftover", len(r.Sets), r.Swaps, len(e.flooding), len(e.leftover))
	}
}

// TestEveryEventIsJudgedByOneSet swaps while events flow.
func TestEveryEventIsJudgedByOneSet(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	mark := "title: Mark\nid: mark\nlogsource: {product: t}\ndetection:\n  s: {event.outcome: success}\n  condition: s\n"
	set := func(i int) map[string]string {
		return map[string]string{"a.yml": mark, "b.yml": fmt.Sprintf("title: V\nid: v\nlogsource: {product: t}\ndetection:\n  s: {x: y%d}\n  condition: s\n", i)}
	}
	e := New(Options{Registry: reg, Log: quiet})
	var cache ruleset.Cache
	e.Swap(compileIn(t, &cache, reg, set(0)))
	stop, done := make(chan bool), make(chan map[string]int)
	s := newStream()
	go func() {
		got := map[string]int{}
		for {
			select {
			case <-stop:
				done <- got
				return
			default:
				for _, o := range collect(e, s.next(time.Millisecond, "10.0.0.1")) {
					got[o.EventIDs[0]]++
				}
			}
		}
	}()
	for i := range 9 {
		e.Swap(compileIn(t, &cache, reg, set(i+1)))
	}
	close(stop)
	got := <-done
	sum := uint64(0)
	for _, u := range e.Report().Sets {
		sum += u.Events
	}
	if uint64(len(got)) != s.seq || sum != s.seq {
		t.Errorf("%d events, %d raised, %d judged", s.seq, len(got), sum)
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("the event %s is raised %d times", id, n)
		}
	}
}

func TestOldSnapshotsAreRead(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, set := fresh(t, reg, map[string]string{"a.yml": base})
	all := failures(3)
	want := collect(e, all...)
	old := New(Options{Registry: reg, Log: quiet})
	old.Swap(set)
	collect(old, all[:2]...)
	windows := old.state.Snapshot() // all that a snapshot was before floods were
	next := New(Options{Registry: reg, Log: quiet})
	next.Swap(set)
	if err := next.Restore(windows); err != nil {
		t.Fatal(err)
	}
	if got := collect(next, all[2:]...); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for _, bad := range []string{"\xe2", "\xe2\x05", "\xe2\x02{}", "\xe2\x02[]\x01"} {
		if err := next.Restore([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestReportsDoNotAddUp asks for the costs again and again.
func TestReportsDoNotAddUp(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, set := fresh(t, reg, map[string]string{"a.yml": noisy})
	s := newStream()
	collect(e, s.next(time.Second, "10.0.0.1"))
	e.Swap(set)
	for range 3 {
		collect(e, s.next(time.Second, "10.0.0.1"))
		e.Judge()
		if c := e.Report().Costs["noisy"]; c.Hits != s.seq || c.Asked != s.seq {
			t.Errorf("%d events, cost %+v", s.seq, c)
		}
	}
}

// BenchmarkSwap puts the public rules in force again and again.
func BenchmarkSwap(b *testing.B) {
	const dir = "../../../shared/corpora/sigma/rules"
	if _, err := os.Stat(dir); err != nil {
		b.Skipf("the public rules are not here: %v", err)
	}
	reg := event.NewRegistry(0)
	set, _ := ruleset.Compile(ruleset.Load([]ruleset.Source{{Name: "builtin", FS: rules.FS}, {Name: "public", FS: os.DirFS(dir)}}), reg)
	e := New(Options{Registry: reg, Log: quiet})
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		e.Swap(set)
	}
}

package processing

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/search/clause"
)

func eventOf(reg *event.Registry, tenant string, pairs ...string) *event.Event {
	ev := &event.Event{Tenant: tenant, Time: time.Date(2026, 11, 26, 2, 30, 0, 0, time.UTC).UnixNano()} // a Thursday, 10:30 in Beijing
	for i := 0; i < len(pairs); i += 2 {
		id, _ := reg.Intern(pairs[i])
		ev.Add(id, pairs[i+1])
	}
	return ev
}

func is(field, operator string, values ...string) clause.Clause {
	return clause.Clause{Field: field, Operator: operator, Values: values}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	ev := eventOf(reg, "harbin", "event.dataset", "nginx.access", "http.response.status_code", "503", "source.ip", "10.2.3.4",
		"url.path", "/api/v2/users", "host.ip", "192.0.2.1", "host.ip", "2001:db8::7", "user.name", "Root", "empty", "")
	for _, tc := range []struct {
		c    clause.Clause
		want bool
	}{
		{is("event.dataset", "equals", "nginx.access"), true},
		{is("event.dataset", "equals", "nginx"), false},
		{is("nothing", "equals", ""), false},
		{is("event.dataset", "not_equals", "x"), true},
		{is("nothing", "not_equals", "x"), true},
		{is("user.name", "in", "root", "Root"), true},
		{is("user.name", "not_in", "root", "Root"), false},
		{is("url.path", "starts_with", "/api/"), true},
		{is("url.path", "ends_with", "/users"), true},
		{is("url.path", "substring", "v2"), true},
		{is("url.path", "wildcard", "/api/v?/*"), true},
		{is("url.path", "wildcard", "/api/v?"), false},
		{is("url.path", "matches", `^/api/v\d+/`), true},
		{is("url.path", "not_matches", `^/static/`), true},
		{is("http.response.status_code", "greater_equal", "500"), true},
		{is("http.response.status_code", "greater", "503"), false},
		{is("http.response.status_code", "less", "503.5"), true},
		{is("http.response.status_code", "less_equal", "503"), true},
		{is("http.response.status_code", "range", "500", "599"), true},
		{is("url.path", "greater", "1"), false},
		{is("source.ip", "cidr", "10.0.0.0/8"), true},
		{is("source.ip", "cidr", "10.2.3.4"), true},
		{is("host.ip", "cidr", "2001:db8::/32"), true}, // the second of two values
		{is("source.ip", "ip_range", "10.2.3.1", "10.2.3.9"), true},
		{is("source.ip", "ip_range", "10.2.3.5", "10.2.3.9"), false},
		{is("user.name", "exists"), true},
		{is("empty", "exists"), false},
		{is("empty", "missing"), true},
		{is("nothing", "missing"), true},
		{is("user.name", "missing"), false},
		{is("icewatch.tenant", "equals", "harbin"), true},
		{is("icewatch.tenant", "not_equals", "harbin"), false},
		{is("icewatch.tenant", "missing"), false},
		{is("@timestamp", "day_range", "08:00", "18:00", "8h"), true},
		{is("@timestamp", "day_range", "08:00", "18:00"), false},
		{is("@timestamp", "week_range", "Mon", "Fri", "8h"), true},
		{is("@timestamp", "week_range", "Sat", "Sat"), false},
		{clause.Clause{Join: clause.All, Clauses: []clause.Clause{is("user.name", "exists"), is("url.path", "exists")}}, true},
		{clause.Clause{Join: clause.All}, true},
		{clause.Clause{Join: clause.Any, Clauses: []clause.Clause{is("x", "exists"), is("url.path", "exists")}}, true},
		{clause.Clause{Join: clause.Any, Clauses: []clause.Clause{is("x", "exists"), is("y", "exists")}}, false},
		{clause.Clause{Join: clause.Not, Clauses: []clause.Clause{is("x", "exists")}}, true},
	} {
		set, problems := Compile([]Rule{{ID: "r", Name: "r", Enabled: true, When: &tc.c, Tags: []string{"hit"}}}, reg)
		if len(problems) > 0 {
			t.Errorf("%+v: %v", tc.c, problems)
			continue
		}
		e := *ev
		e.Fields = slices.Clone(ev.Fields)
		set.Apply(&e)
		if got := e.Text(event.Tags) == "hit"; got != tc.want {
			t.Errorf("%+v: %v", tc.c, got)
		}
	}
}

func TestBadRulesSayWhere(t *testing.T) {
	t.Parallel()
	good := is("user.name", "exists")
	for _, tc := range []struct {
		r    Rule
		want string
	}{
		{Rule{Name: " "}, "needs a name"},
		{Rule{Name: "x"}, "needs a condition"},
		{Rule{Name: "x", When: &good}, "does nothing"},
		{Rule{Name: "x", When: &clause.Clause{Text: "error"}, Drop: true}, "LogsQL"},
		{Rule{Name: "x", When: &clause.Clause{Join: clause.All, Clauses: []clause.Clause{good, is("message", "contains", "x")}}, Drop: true}, "clauses[1]: the operator contains"},
		{Rule{Name: "x", When: &clause.Clause{Field: "a", Operator: "equals"}, Drop: true}, "takes 1 values"},
		{Rule{Name: "x", When: &clause.Clause{Operator: "equals", Values: []string{"a"}}, Drop: true}, "names no field"},
		{Rule{Name: "x", When: &clause.Clause{Field: "a", Operator: "matches", Values: []string{"("}}, Drop: true}, "parsing regexp"},
		{Rule{Name: "x", When: &clause.Clause{Field: "a", Operator: "greater", Values: []string{"10KB"}}, Drop: true}, "no number"},
		{Rule{Name: "x", When: &clause.Clause{Field: "@timestamp", Operator: "day_range", Values: []string{"18:00", "08:00"}}, Drop: true}, "no part of a day"},
		{Rule{Name: "x", When: &clause.Clause{Field: "@timestamp", Operator: "equals", Values: []string{"x"}}, Drop: true}, ""},
		{Rule{Name: "x", When: &good, Tags: []string{""}}, "tags[0]"},
		{Rule{Name: "x", When: &good, Labels: []Label{{"Owner", "x"}}}, "labels[0].name"},
		{Rule{Name: "x", When: &good, Labels: []Label{{"owner", "{}"}}}, "labels[0].value"},
		{Rule{Name: "x", When: &good, Labels: []Label{{"owner", "{user"}}}, "labels[0].value"},
		{Rule{Name: "x", When: &good, Fold: &Fold{Seconds: 5}}, "fold.keys"},
		{Rule{Name: "x", When: &good, Fold: &Fold{Keys: []string{"a"}, Seconds: 601}}, "fold.seconds"},
		{Rule{Name: "x", When: &good, Mask: &Mask{Method: "hash", Fields: []string{"a"}}}, "mask: the method"},
		{Rule{Name: "x", When: &good, Mask: &Mask{Method: "full"}}, "mask: "},
		{Rule{Name: "x", When: &good, Mask: &Mask{Method: "full", Fields: []string{"event.dataset"}}}, "cannot be masked"},
		{Rule{Name: "x", When: &good, Drop: true, Fold: &Fold{Keys: []string{"a"}, Seconds: 60}}, "choose one"},
	} {
		tc.r.ID, tc.r.Enabled = "r", true
		_, problems := Compile([]Rule{tc.r}, event.NewRegistry(0))
		if err := problems["r"]; err == nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.r, err, tc.want)
		}
	}
}

func TestTagsAndLabels(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	ssh, tagged := is("process.name", "equals", "sshd"), is("tags", "equals", "remote")
	set, problems := Compile([]Rule{
		{ID: "a", Name: "a", Enabled: true, When: &ssh, Tags: []string{"remote", "login"}, Labels: []Label{{"purpose", "audit of {host.name} for {icewatch.tenant}"}, {"missing", "{no.such}"}, {"kept", "new"}}},
		{ID: "b", Name: "b", Enabled: true, When: &tagged, Labels: []Label{{"chain", "yes"}}},
		{ID: "c", Name: "c", Enabled: true, Tenant: "other", When: &ssh, Tags: []string{"never"}},
		{ID: "d", Name: "d", When: &ssh, Tags: []string{"off"}},
		{ID: "e", Name: "e", Enabled: true, When: &ssh, Drop: true},
		{ID: "f", Name: "f", Enabled: true, When: &ssh, Fold: &Fold{Keys: []string{"host.name"}, Seconds: 60}},
	}, reg)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	ev := eventOf(reg, "harbin", "process.name", "sshd", "host.name", "h1", "tags", "login", "labels.kept", "old")
	out := set.Apply(ev)
	if !out.Drop || out.Window != 0 {
		t.Errorf("the first rule decides: %+v", out)
	}
	got := map[string][]string{}
	for _, f := range ev.Fields {
		got[reg.Name(f.ID)] = append(got[reg.Name(f.ID)], f.Value)
	}
	for name, want := range map[string]string{"tags": "login remote", "labels.purpose": "audit of h1 for harbin", "labels.missing": "", "labels.kept": "old", "labels.chain": "yes"} {
		if strings.Join(got[name], " ") != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if n := set.Counts(); n["a"] != 1 || n["b"] != 1 || n["c"] != 0 || n["f"] != 1 {
		t.Error(n)
	}
}

func TestMaskHidesEverywhere(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	all := clause.Clause{Join: clause.All}
	set, problems := Compile([]Rule{
		{ID: "a", Name: "a", Enabled: true, When: &all, Mask: &Mask{Fields: []string{"user.name"}, Method: "keep", First: 1}},
		{ID: "b", Name: "b", Enabled: true, When: &all, Mask: &Mask{Pattern: `\b1[3-9][0-9]{9}\b`, Method: "keep", First: 3, Last: 4}},
	}, reg)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	ev := eventOf(reg, "t", "user.name", "zhangwei", "message", "zhangwei called 13812345678", "phone", "13812345678", "event.dataset", "zhangwei")
	ev.Fields[2].Kind = event.Number
	ev.Add(event.Aside, "sum")
	ev.Raw = "<14>zhangwei called 13812345678"
	set.Apply(ev)
	got := []string{ev.Raw}
	for _, f := range ev.Fields {
		got = append(got, reg.Name(f.ID)+"="+f.Value)
		if f.Kind != event.String {
			t.Errorf("%s is still a number", f.Value)
		}
	}
	want := []string{"<14>z*** called 138***5678", "user.name=z***", "message=z*** called 138***5678", "phone=138***5678", "event.dataset=zhangwei", "icewatch.marks=masked"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	plain := eventOf(reg, "t", "message", "nothing to hide")
	if set.Apply(plain); plain.Has(event.Marks) {
		t.Error("an event of which nothing is hidden is marked")
	}
}

// lakeOf is what a lake would hold: rows by id, each counted.
type lakeOf map[string]int

func (l lakeOf) total() (n int) {
	for _, c := range l {
		n += c
	}
	return n
}

// world is a bus of batches and the way from it to a lake.
type world struct {
	reg     *event.Registry
	batches [][]*event.Event
	at      []time.Time
	lake    lakeOf
}

// run works the batches after stored up to last, as the engine does, and
// returns what a checkpoint at each batch would say.
func (w *world) run(set *Set, stored, last uint64, settled map[int64]uint64) []map[int64]uint64 {
	f := NewFolder[int](settled)
	var marks []map[int64]uint64
	keep := func(id string, n int) {
		if _, ok := w.lake[id]; !ok {
			w.lake[id] = n
		}
	}
	for seq := stored + 1; seq <= last; seq++ {
		at := w.at[seq-1]
		for k, s := range f.Advance(at) {
			n, _ := strconv.Atoi(s.Event.Text(event.RepeatCount))
			keep(fmt.Sprintf("%d-%d", seq, len(w.batches[seq-1])+k), n)
		}
		for i, ev := range w.batches[seq-1] {
			e := *ev
			e.Fields = slices.Clone(ev.Fields)
			out := set.Apply(&e)
			store := true
			if out.Window > 0 {
				store, _ = f.Take(out, seq, at, &e, 0)
			}
			if store {
				keep(fmt.Sprintf("%d-%d", seq, i), 1)
			}
		}
		marks = append(marks, f.Settled(seq))
	}
	return marks
}

// TestFoldingCountsExactlyOverCrashes kills the way at random batches, with
// rows beyond the checkpoint in the lake or not, and asks that the lake's
// counts are the number of events in the end.
func TestFoldingCountsExactlyOverCrashes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		reg := event.NewRegistry(0)
		a, b := is("kind", "equals", "a"), is("kind", "in", "b", "c")
		set, problems := Compile([]Rule{
			{ID: "a", Name: "a", Enabled: true, When: &a, Fold: &Fold{Keys: []string{"host.name"}, Seconds: 7}},
			{ID: "b", Name: "b", Enabled: true, When: &b, Fold: &Fold{Keys: []string{"kind", "host.name"}, Seconds: 20}},
		}, reg)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		w := &world{reg: reg, lake: lakeOf{}}
		clock := time.Unix(1_790_000_000, 0)
		events := 0
		for range 60 {
			clock = clock.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			var batch []*event.Event
			for range rnd.IntN(6) {
				batch = append(batch, eventOf(reg, "t", "kind", string("abcd"[rnd.IntN(4)]), "host.name", "h"+strconv.Itoa(rnd.IntN(3))))
				events++
			}
			w.batches, w.at = append(w.batches, batch), append(w.at, clock)
		}
		// The end of all windows.
		w.batches, w.at = append(w.batches, nil), append(w.at, clock.Add(time.Minute))
		last := uint64(len(w.batches))
		stored, settled := uint64(0), map[int64]uint64(nil)
		for stored < last {
			until := stored + 1 + rnd.Uint64N(last-stored)
			before := lakeOf{}
			for id, n := range w.lake {
				before[id] = n
			}
			marks := w.run(set, stored, until, settled)
			if until == last {
				break
			}
			// Killed. Up to the durable batch all rows are in the lake, of those after it some.
			durable := stored + rnd.Uint64N(until-stored+1)
			for id := range w.lake {
				seq, _ := strconv.ParseUint(id[:strings.IndexByte(id, '-')], 10, 64)
				if _, had := before[id]; !had && seq > durable && rnd.IntN(2) == 0 {
					delete(w.lake, id)
				}
			}
			if durable == stored {
				continue
			}
			settled = marks[durable-stored-1]
			stored = durable
			for _, s := range settled {
				stored = min(stored, s)
			}
		}
		if n := w.lake.total(); n != events {
			t.Fatalf("seed %d: %d events count as %d", seed, events, n)
		}
		if len(w.lake) >= events {
			t.Fatalf("seed %d: nothing was folded", seed)
		}
	}
}

func TestFolderBoundsItsKeys(t *testing.T) {
	t.Parallel()
	f := NewFolder[int](nil)
	f.most = 2
	reg := event.NewRegistry(0)
	at := time.Unix(1_790_000_000, 0)
	stored := 0
	for i := range 6 {
		if store, _ := f.Take(Outcome{Window: 60, Key: [2]uint64{uint64(i % 3)}}, 1, at, eventOf(reg, "t"), 0); store {
			stored++
		}
	}
	if stored != 4 || f.Folded() != 2 { // the third key is stored each time
		t.Errorf("%d stored, %d folded", stored, f.Folded())
	}
	if f.Due(at) || !f.Due(at.Add(time.Minute)) {
		t.Error("the window ends with its minute")
	}
	if list := f.Advance(at.Add(time.Minute)); len(list) != 2 {
		t.Errorf("%d events stand for repeats", len(list))
	}
	if f.Settled(9) != nil {
		t.Error("no window is open")
	}
}

func BenchmarkApply(b *testing.B) {
	reg := event.NewRegistry(0)
	var rules []Rule
	for i := range 50 {
		c := clause.Clause{Join: clause.All, Clauses: []clause.Clause{is("event.dataset", "equals", "set"+strconv.Itoa(i)), is("source.ip", "cidr", "10.0.0.0/8")}}
		rules = append(rules, Rule{ID: strconv.Itoa(i), Name: "r", Enabled: true, When: &c, Drop: true})
	}
	set, _ := Compile(rules, reg)
	ev := eventOf(reg, "t", "event.dataset", "set49", "source.ip", "10.1.1.1", "user.name", "x", "message", "text", "url.path", "/x")
	b.ReportAllocs()
	for b.Loop() {
		set.Apply(ev)
	}
}

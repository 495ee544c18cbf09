package engine

import (
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"icewatch/detections"
	"icewatch/detections/ruleset"
	"icewatch/rules"
	"icewatch/soc/event"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

const base = `title: Failure
id: base
name: failure
logsource: {product: t}
detection:
  s: {event.outcome: failure}
  condition: s
---
title: Many failures
id: many
tags: [attack.credential-access, attack.t1110]
correlation:
  type: event_count
  rules: [failure]
  group-by: [source.ip, host.name]
  timespan: 1m
  condition: {gte: 3}
level: high
icewatch:
  title: {zh: 多次失败, en: Many failures}
  sentence: {zh: '{source.ip} 失败 {count} 次', en: '{source.ip} failed {count} times on {nowhere}'}
  advice: {zh: 检查, en: Check}
---
title: Success {of} a user
id: success
logsource: {product: t}
detection:
  s: {event.outcome: success}
  condition: s
level: low
`

// fresh makes an engine with rules given as files beside the built-in policies.
func fresh(t testing.TB, reg *event.Registry, files map[string]string) (*Engine, *ruleset.Set) {
	t.Helper()
	set := compileFiles(t, reg, files)
	e := New(Options{Registry: reg, Log: quiet})
	e.Swap(set)
	return e, set
}

func compileFiles(t testing.TB, reg *event.Registry, files map[string]string) *ruleset.Set {
	t.Helper()
	return compileIn(t, new(ruleset.Cache), reg, files)
}

// compileIn compiles with what the cache knows of the set before.
func compileIn(t testing.TB, cache *ruleset.Cache, reg *event.Registry, files map[string]string) *ruleset.Set {
	t.Helper()
	mine := fstest.MapFS{}
	for name, text := range files {
		mine[name] = &fstest.MapFile{Data: []byte(text)}
	}
	b := ruleset.Load([]ruleset.Source{{Name: "builtin", FS: rules.FS}})
	kept := b.Files[:0]
	for _, f := range b.Files {
		if strings.HasSuffix(f.Path, ".rego") || strings.HasSuffix(f.Path, "logsources.yml") {
			kept = append(kept, f)
		}
	}
	b.Files = append(kept, ruleset.Load([]ruleset.Source{{Name: "mine", FS: mine}}).Files...)
	set, problems := cache.Compile(b, reg, ruleset.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

func makeEvent(seq uint64, sec int, outcome, ip string) *event.Event {
	at := time.Date(2026, 3, 2, 1, 0, sec, 0, time.UTC).UnixNano()
	ev := &event.Event{ID: event.ID{Epoch: "e", Sequence: seq}, Time: at, Created: at, Tenant: "tax", Raw: "raw"}
	ev.Add(event.EventModule, "t") // the product of the rules here
	ev.Add(event.EventOutcome, outcome)
	ev.Add(event.SourceIP, ip)
	ev.Add(event.HostName, "web-1")
	ev.Add(event.UserName, "root")
	ev.Add(event.EventType, "start")
	ev.Add(event.EventType, "denied")
	ev.Add(event.CICriticality, "5")
	return ev
}

func collect(e *Engine, events ...*event.Event) []detections.Occurrence {
	var out []detections.Occurrence
	for _, ev := range events {
		e.Process(ev, func(o detections.Occurrence) { out = append(out, o) })
	}
	return out
}

func TestOccurrence(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, _ := fresh(t, reg, map[string]string{"a.yml": base})
	ev := makeEvent(7, 0, "success", "203.0.113.9")
	got := collect(e, ev)
	if len(got) != 1 {
		t.Fatalf("%d occurrences", len(got))
	}
	o := got[0]
	clear(ev.Fields) // the pipeline reuses the event's memory
	if len(o.ID) != 32 || len(o.Key) != 32 || o.ID == o.Key {
		t.Errorf("id %q, key %q", o.ID, o.Key)
	}
	if o.Rule.ID != "success" || o.Rule.Title.EN != "Success {of} a user" || o.Rule.Sentence.EN != "Success (of) a user on web-1" || o.Rule.Kind != "sigma" {
		t.Errorf("rule %+v", o.Rule)
	}
	if o.Tenant != "tax" || o.Count != 1 || !o.Time.Equal(o.From) || len(o.EventIDs) != 1 || o.EventIDs[0] != "e-7-0" {
		t.Errorf("occurrence %+v", o)
	}
	if want := []detections.Pair{{Field: "host.name", Value: "web-1"}, {Field: "source.ip", Value: "203.0.113.9"}, {Field: "user.name", Value: "root"}}; !reflect.DeepEqual(o.Group, want) {
		t.Errorf("group %v", o.Group)
	}
	if want := []detections.Match{{Selection: "s", Field: "event.outcome", Value: "success"}}; !reflect.DeepEqual(o.Evidence, want) {
		t.Errorf("evidence %v", o.Evidence)
	}
	if o.Fields["event.type"] != `["start","denied"]` || o.Fields["icewatch.tenant"] != "tax" || o.Fields["event.id"] != "e-7-0" || o.Fields["@timestamp"] != "2026-03-02T01:00:00Z" {
		t.Errorf("fields %v", o.Fields)
	}
	again := collect(e, makeEvent(7, 0, "success", "203.0.113.9"))
	if again[0].ID != o.ID || again[0].Key != o.Key {
		t.Error("a replay raises another occurrence")
	}
	if next := collect(e, makeEvent(8, 0, "success", "203.0.113.9")); next[0].ID == o.ID || next[0].Key != o.Key {
		t.Error("the next event has to be another occurrence of the same alert")
	}
}

func TestItemStandsForItsName(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, _ := fresh(t, reg, map[string]string{"a.yml": base})
	ev := makeEvent(1, 0, "success", "203.0.113.9")
	ev.Add(event.CIID, "host-1")
	o := collect(e, ev)[0]
	if o.Group[0] != (detections.Pair{Field: "icewatch.ci.id", Value: "host-1"}) || len(o.Group) != 3 {
		t.Errorf("group %v", o.Group)
	}
}

func failures(n int) []*event.Event {
	var out []*event.Event
	for i := range n {
		out = append(out, makeEvent(uint64(i+1), i, "failure", "203.0.113.9"))
	}
	return out
}

func TestCorrelation(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, _ := fresh(t, reg, map[string]string{"a.yml": base})
	got := collect(e, failures(5)...)
	if len(got) != 1 {
		t.Fatalf("%d occurrences: the base rule is silent, the window fires once", len(got))
	}
	o := got[0]
	if o.Rule.ID != "many" || o.Rule.Kind != "correlation" || o.Count != 3 || len(o.EventIDs) != 3 || o.Tenant != "tax" || o.Time.Sub(o.From) != 2*time.Second {
		t.Errorf("occurrence %+v", o)
	}
	if o.Rule.Sentence.ZH != "203.0.113.9 失败 3 次" || o.Rule.Sentence.EN != "203.0.113.9 failed 3 times on (unknown)" {
		t.Errorf("sentence %+v", o.Rule.Sentence)
	}
	if !reflect.DeepEqual(o.Rule.Tactics, []string{"credential-access"}) || !reflect.DeepEqual(o.Rule.Techniques, []string{"T1110"}) {
		t.Errorf("rule %+v", o.Rule)
	}
	st := e.Stats()
	if st.Events != 5 || st.Hits["base"] != 5 || st.Hits["many"] != 1 || st.Groups != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestSnapshotKeepsWindows(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, set := fresh(t, reg, map[string]string{"a.yml": base})
	all := failures(3)
	want := collect(e, all...)
	first := New(Options{Registry: reg, Log: quiet})
	first.Swap(set)
	collect(first, all[:2]...)
	snap, err := first.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	second := New(Options{Registry: reg, Log: quiet})
	second.Swap(set)
	if err := second.Restore(snap); err != nil {
		t.Fatal(err)
	}
	if got := collect(second, all[2:]...); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if err := second.Restore([]byte("nonsense")); err == nil {
		t.Error("a damaged snapshot is taken")
	}
	if got := collect(second, all...); len(got) != 1 {
		t.Error("the engine does not go on after a damaged snapshot")
	}
}

func TestSwapKeepsWindowsOfUnchangedRules(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, _ := fresh(t, reg, map[string]string{"a.yml": base})
	all := failures(3)
	collect(e, all[:2]...)
	e.Swap(compileFiles(t, reg, map[string]string{"a.yml": base, "b.yml": "title: New\nid: n\nlogsource: {product: t}\ndetection:\n  s: {x: y}\n  condition: s\n"}))
	if got := collect(e, all[2]); len(got) != 1 || got[0].Count != 3 {
		t.Errorf("a new rule beside it loses the window: %+v", got)
	}
	collect(e, makeEvent(11, 30, "failure", "198.51.100.1"), makeEvent(12, 31, "failure", "198.51.100.1"))
	e.Swap(compileFiles(t, reg, map[string]string{"a.yml": strings.Replace(base, "event.outcome: failure", "event.outcome: ['failure', 'x']", 1)}))
	if got := collect(e, makeEvent(13, 32, "failure", "198.51.100.1")); len(got) != 0 {
		t.Errorf("a changed base rule keeps the window: %+v", got)
	}
}

func TestTenantsAndCity(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	f := func(text string, want int) {
		t.Helper()
		e, _ := fresh(t, reg, map[string]string{"a.yml": text})
		list := failures(3)
		for i, ev := range list {
			ev.Tenant = fmt.Sprint("tenant-", i)
		}
		got := collect(e, list...)
		if len(got) != want {
			t.Fatalf("got %d occurrences, want %d", len(got), want)
		}
		if want == 1 && got[0].Tenant != "tenant-2" {
			t.Errorf("tenant %q", got[0].Tenant)
		}
	}
	f(base, 0)
	f(strings.Replace(base, "  advice:", "  scope: city\n  advice:", 1), 1)
}

func TestNothingToGroupByIsNotCounted(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, _ := fresh(t, reg, map[string]string{"a.yml": base})
	list := failures(5)
	for _, ev := range list {
		ev.Delete(event.SourceIP)
		ev.Delete(event.HostName)
	}
	if got := collect(e, list...); len(got) != 0 {
		t.Errorf("unrelated events add up: %+v", got)
	}
}

func TestSilentBeforeSwap(t *testing.T) {
	t.Parallel()
	e := New(Options{Registry: event.NewRegistry(0), Log: quiet})
	if got := collect(e, failures(3)...); len(got) != 0 {
		t.Error("an engine without rules fires")
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		o := &detections.Occurrence{Count: 9, Fields: map[string]string{"a.b": "x", "long": strings.Repeat("长", 400), "host.name": "web"}}
		if got := newTemplate(detections.Text{EN: text}).fill(o, 3).EN; got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("plain", "plain")
	f("{a.b} and {a.b}", "x and x")
	f("{count} of {events}", "3 of 9")
	f("{nothing}", "(unknown)")
	f("open { a.b } and {", "open { a.b } and {")
	f("{icewatch.ci.name}", "web")
	f("{long}", strings.Repeat("长", 170)+"…")
}

func BenchmarkProcess(b *testing.B) {
	reg := event.NewRegistry(0)
	set, _ := ruleset.Compile(ruleset.Load([]ruleset.Source{{Name: "builtin", FS: rules.FS}}), reg)
	e := New(Options{Registry: reg, Log: quiet})
	e.Swap(set)
	ev := makeEvent(1, 0, "success", "10.1.2.3")
	ev.Add(event.EventDataset, "nginx.access")
	ev.Set(event.EventModule, "nginx")
	ev.Add(event.EventCategory, "web")
	ev.Add(event.URLOriginal, "/index.html?id=12&name=committee")
	ev.Add(event.URLPath, "/index.html")
	ev.Add(event.UserAgentOriginal, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36")
	ev.SetInt(event.HTTPResponseStatus, 200)
	emit := func(detections.Occurrence) {}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		e.Process(ev, emit)
	}
}

package decisions

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/state"
)

func openLog(t *testing.T, opts Options) *Log {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), db, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; db.Close() })
	return l
}

func set(t *testing.T, l *Log) *policy.Set {
	t.Helper()
	shelf, err := policy.OpenShelf("", policy.Keys{}, l.Record)
	if err != nil {
		t.Fatal(err)
	}
	s, problems, err := shelf.Load([]policy.File{{Source: "s", Path: "s/p.rego", Data: []byte(`package icewatch.priority
default seen := {}
seen := input.fields
decision := {"priority": {"low": "P4", "high": "P2"}[input.rule.level], "reasons": [{"zh": "字段", "en": sprintf("%d fields", [count(seen)])}]}
`)}})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return s
}

func ask(t *testing.T, s *policy.Set, tenant, alert string, level detections.Level, fields map[string]string) {
	t.Helper()
	// The error is what the log has to tell of.
	_, _ = s.Priority(t.Context(), policy.Alert{ID: alert, Tenant: tenant, Rule: policy.Rule{Level: level}, Fields: fields})
}

func TestLog(t *testing.T) {
	t.Parallel()
	l := openLog(t, Options{Service: "one"})
	s := set(t, l)
	ask(t, s, "tax", "a1", "high", map[string]string{"process.command_line": "mysql --password=geheim -u root", "user.password": "geheim", "http.token": "geheim", "user.name": "wang_1"})
	ask(t, s, "seal", "a2", "high", map[string]string{"url.query": "a=1&token=geheim&b=2"})
	ask(t, s, "seal", "a3", "nosuch", nil)
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	find := func(q Query) string {
		t.Helper()
		list, _, err := l.Find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, d := range list {
			out = append(out, d.Custom.Alert)
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		name string
		q    Query
		want string
	}{
		{"all, the newest first", Query{Limit: 10}, "a3 a2 a1"},
		{"one page", Query{Limit: 2}, "a3 a2"},
		{"of a tenant", Query{Limit: 10, Tenants: []string{"seal"}}, "a3 a2"},
		{"of no tenant", Query{Limit: 10, Tenants: []string{}}, ""},
		{"of an alert", Query{Limit: 10, Alert: "a2"}, "a2"},
		{"that failed", Query{Limit: 10, Failed: true}, "a3"},
		{"by path", Query{Limit: 10, Path: "icewatch/priority"}, "a3 a2 a1"},
		{"by another path", Query{Limit: 10, Path: "icewatch/incident"}, ""},
		{"by a text", Query{Limit: 10, Text: "wang_1"}, "a1"},
		{"a text is no pattern", Query{Limit: 10, Text: "wang%1"}, ""},
		{"no secret is kept", Query{Limit: 10, Text: "geheim"}, ""},
	} {
		if got := find(c.q); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	list, _, _ := l.Find(t.Context(), Query{Alert: "a1", Limit: 1})
	e := list[0].Event
	if e.Path != "icewatch/priority/decision" || e.DecisionID == "" || len(e.Custom.InputDigest) != 64 || e.Bundles["icewatch.priority"].Revision == "" || e.Labels["id"] != "one" {
		t.Errorf("event %+v", e)
	}
	if got := fmt.Sprint(e.Erased, e.Masked); got != "[/input/fields/http.token /input/fields/user.password] [/input/fields/process.command_line]" {
		t.Errorf("taken out: %s", got)
	}
	if e.Metrics["timer_rego_query_eval_ns"] <= 0 {
		t.Errorf("metrics %v", e.Metrics)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := openLog(t, Options{Keep: 5, Rate: 20, Clock: func() time.Time { return now }})
	s := set(t, l)
	for i := range 30 {
		ask(t, s, "t", fmt.Sprint("a", i), "high", map[string]string{"n": fmt.Sprint(i)})
	}
	if l.Dropped() < 10 {
		t.Errorf("%d dropped: 20 of 31 decisions in one second are taken", l.Dropped())
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, more, err := l.Find(t.Context(), Query{Limit: 100})
	if err != nil || more || len(list) != 5 {
		t.Fatalf("%d kept of 5, %v, %v", len(list), more, err)
	}
	if page, more, _ := l.Find(t.Context(), Query{Limit: 3, Before: list[1].Seq}); len(page) != 3 || page[0].Seq != list[2].Seq || more {
		t.Errorf("the page after: %d, %v", len(page), more)
	}
}

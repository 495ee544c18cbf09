package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"icewatch/soc/audit"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline"
	"icewatch/soc/retention"
)

// sink is an intake that refuses the first calls.
type sink struct {
	mu      sync.Mutex
	refuse  int
	records []intake.Record
}

func (s *sink) Append(_ context.Context, recs []intake.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return errors.New("full")
	}
	s.records = append(s.records, recs...)
	return nil
}

// run feeds the records and returns what arrived.
func run(t *testing.T, refuse int, recs ...audit.Record) []intake.Record {
	t.Helper()
	f := New("soc-1", slog.New(slog.DiscardHandler))
	f.NameRoles(func(id string) (zh, en string) {
		if id == "admin" {
			return "管理员", ""
		}
		return "", ""
	})
	for _, rec := range recs {
		f.Watch(rec)
	}
	s := &sink{refuse: refuse}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.Run(ctx, s); close(done) }()
	for range 500 {
		s.mu.Lock()
		n := len(s.records)
		s.mu.Unlock()
		if n > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	<-done
	return s.records
}

// An event passes the suite's own parser with its fields, and stays the
// suite's whatever a record holds.
func TestEventsPassThePipeline(t *testing.T) {
	t.Parallel()
	changes, err := audit.Diff(map[string]any{"roles": []string{"viewer"}}, map[string]any{"roles": []string{"viewer", "admin"}, "password": "x"})
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := json.Marshal(changes)
	at := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	recs := run(t, 0,
		audit.Record{Time: at, Kind: audit.KindSignIn, Actor: "li\n\"x\"", Action: "login-totp", Result: audit.Denied, Address: "::ffff:203.0.113.9", Client: "curl/8",
			Channel: "password", Detail: "wrong code", Findings: []string{"new_device"}},
		audit.Record{Time: at, Kind: audit.KindChange, Actor: "admin", Action: "update-user", Object: "user:li", Result: audit.OK, Address: "local", Detail: "kept to the log", Changes: raw},
		audit.Record{Time: at, Kind: audit.KindRead, Actor: "admin", Action: "search", Result: audit.OK})
	if len(recs) != 2 {
		t.Fatalf("%d events, want 2: reads are not copied", len(recs))
	}
	reg := event.NewRegistry(0)
	p := pipeline.New(pipeline.Options{Registry: reg, Keeping: &retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: 24 * time.Hour}}}, Future: time.Hour})
	p.SetDirectory(pipeline.Directory{"city": {Account: 2}})
	want := []map[string]string{
		{"event.action": "sign-in", "event.category": "authentication", "event.outcome": "failure", "event.dataset": "icewatch.audit", "event.kind": "event",
			"source.ip": "203.0.113.9", "user.name": "li\n\"x\"", "user_agent.original": "curl/8", "icewatch.audit.reason": "wrong code",
			"icewatch.audit.findings": "new_device", "icewatch.collector": "icewatch", "icewatch.audit.channel": "password"},
		{"event.action": "update-user", "event.category": "iam", "event.outcome": "success", "user.target.name": "li", "user.changes.roles": "admin", "icewatch.audit.roles.zh": "管理员", "icewatch.audit.roles.en": "管理员", "source.address": "local",
			"icewatch.audit.reason": ""},
	}
	for i := range recs {
		var ev event.Event
		p.Fill(&recs[i], event.ID{}, &ev)
		if ev.Tenant != "city" || !ev.Timestamp().Equal(at) || ev.Has(event.Marks) {
			t.Errorf("tenant %q, time %s, marks %q", ev.Tenant, ev.Timestamp(), ev.Text(event.Marks))
		}
		for name, text := range want[i] {
			id, _ := reg.Intern(name)
			if got := ev.Text(id); got != text {
				t.Errorf("%s is %q, want %q", name, got, text)
			}
		}
	}
}

func TestEachAttemptCounts(t *testing.T) {
	t.Parallel()
	const attempts = maxWaiting + 5000
	recs := make([]audit.Record, attempts)
	for i := range recs {
		recs[i] = audit.Record{Kind: audit.KindSignIn, Actor: "admin", Action: "login", Result: audit.Denied, Address: "203.0.113.9"}
	}
	got := run(t, 2, recs...)
	count := 0
	for i := range got {
		var ev struct {
			Repeat int `json:"icewatch.repeat"`
		}
		if err := json.Unmarshal(got[i].Data, &ev); err != nil {
			t.Fatal(err)
		}
		count += max(1, ev.Repeat)
	}
	if count != attempts || len(got) != maxWaiting+1 {
		t.Errorf("%d events count for %d, want %d for %d", len(got), count, maxWaiting+1, attempts)
	}
}

func TestSuccessKnowsTheFailuresBefore(t *testing.T) {
	t.Parallel()
	f := New("soc-1", slog.New(slog.DiscardHandler))
	now := time.Now()
	f.now = func() time.Time { return now }
	attempt := func(user, result string) int {
		t.Helper()
		rec := f.event(&audit.Record{Kind: audit.KindSignIn, Actor: user, Result: result})
		var ev struct {
			Before int `json:"icewatch.audit.failures_before"`
		}
		if err := json.Unmarshal(rec.Data, &ev); err != nil {
			t.Fatal(err)
		}
		return ev.Before
	}
	for range 9 {
		attempt("li", audit.Denied)
	}
	attempt("wang", audit.Denied)
	if n := attempt("Li", audit.OK); n != 9 {
		t.Errorf("%d failures before, want 9", n)
	}
	if n := attempt("li", audit.OK); n != 0 {
		t.Errorf("%d failures before, want 0", n)
	}
	now = now.Add(time.Hour)
	if n := attempt("wang", audit.OK); n != 0 {
		t.Errorf("%d failures before, want them forgotten", n)
	}
	for i := range 3 * maxAccounts {
		attempt(fmt.Sprint("user", i), audit.Denied)
	}
	if len(f.failures) > maxAccounts {
		t.Errorf("%d accounts are remembered", len(f.failures))
	}
}

func TestCategory(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]string{"create-user": "iam", "list-users": "iam", "set-password-policy": "iam", "import-cmdb": "configuration",
		"set-audit": "configuration", "rotate-keys": "configuration", "grant-role": "iam", "update-me": "iam"} {
		if got := category(&audit.Record{Kind: audit.KindChange, Action: action}); !slices.Contains(got, want) {
			t.Errorf("%s is %v, want %s", action, got, want)
		}
	}
}

package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/export"
	"icewatch/soc/lake"
	"icewatch/soc/reach"
	"icewatch/soc/saved"
	"icewatch/soc/search"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
)

// fixture is the room with the clock and all others in the test's hands.
type fixture struct {
	*Service
	t     *testing.T
	db    *state.DB
	deps  Deps
	clock time.Time

	mu      sync.Mutex
	rows    []string // what the lake answers
	count   uint64   // what it counts
	fail    error
	reach   reach.Reach
	away    error
	asked   []search.Request
	raised  []detections.Occurrence
	exports []export.Request
	alarms  map[string]string
	told    []string
}

func (f *fixture) Query(_ context.Context, r search.Request, emit func([]byte) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	if f.fail != nil {
		return f.fail
	}
	for _, row := range f.rows {
		if err := emit([]byte(row)); err != nil {
			return err
		}
	}
	return nil
}

func (f *fixture) Histogram(_ context.Context, r search.Request, _ int) (search.Histogram, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	return search.Histogram{Total: f.count}, f.fail
}

var (
	lin  = saved.Asker{User: "u-lin", Name: "lin"}
	boss = saved.Asker{User: "u-boss", Name: "boss", Manage: true}
)

func ownerOf(a saved.Asker) export.Owner { return export.Owner{ID: a.User, Name: a.Name} }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: time.Date(2026, 5, 4, 10, 0, 30, 0, time.UTC), reach: reach.Tenants("a"), alarms: map[string]string{}}
	var err error
	if f.db, err = state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.db.Close() })
	searches, err := saved.Open(t.Context(), f.db, saved.Checks{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.deps = Deps{Search: f, Searches: searches, Log: slog.New(slog.DiscardHandler),
		Shape: func(q string) (export.Shape, error) {
			s, err := lake.ShapeOf(q)
			return export.Shape{Pipes: s.Pipes, Slices: s.Slices}, err
		},
		Raise: func(_ context.Context, o detections.Occurrence) error { f.raised = append(f.raised, o); return nil },
		Export: func(_ context.Context, _ export.Owner, q export.Request) (export.Job, error) {
			f.exports = append(f.exports, q)
			return export.Job{ID: fmt.Sprint("export_", len(f.exports)), Origin: q.Origin}, nil
		},
		Receiver: func(_ context.Context, name string) (bool, error) { return name == "hook", nil },
		Tell: func(_ context.Context, receiver, tenant, unique string, body []byte) error {
			f.told = append(f.told, strings.Join([]string{receiver, tenant, unique, string(body)}, " "))
			return nil
		},
		Alarm: func(_ context.Context, a Alarm) { f.alarms[a.Key] = a.Detail.EN },
		Clear: func(key string) { delete(f.alarms, key) },
		Link:  func(page, id string) string { return "https://soc/" + page + "/" + id }}
	f.open()
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.Service, err = Open(f.t.Context(), f.db, f.deps); err != nil {
		f.t.Fatal(err)
	}
	f.now = func() time.Time { return f.clock }
	f.as = func(_ context.Context, _ export.Owner, _, _ string, start time.Time) (reach.Reach, time.Time, error) {
		return f.reach, start, f.away
	}
	f.base = f.t.Context()
}

// every five minutes, more than ten rows in five minutes.
func content() Content {
	return Content{Name: "登录失败", Query: "login failed", Tenant: "a", Schedule: "*/5 * * * *", TimeZone: "UTC", Window: "5m", Delay: "30s",
		Condition: Condition{Kind: OnRows, Op: ">", Value: 10}, Action: Action{Kind: Alert, Severity: detections.High}}
}

func (f *fixture) create(c Content) Monitor {
	f.t.Helper()
	m, err := f.Create(f.t.Context(), lin, ownerOf(lin), c, true)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// pass lets time pass and runs what is due.
func (f *fixture) pass(d time.Duration) {
	f.t.Helper()
	f.clock = f.clock.Add(d)
	f.startDue(f.t.Context(), make(chan struct{}, 1))
	f.group.Wait()
}

func (f *fixture) get(id string) Monitor {
	f.t.Helper()
	m, err := f.Get(f.t.Context(), lin, id)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

func TestAnAlertForEachTimeOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.count, f.rows = 11, []string{`{"@timestamp":"2026-05-04T10:04:00Z","event.id":"e-1","user.name":"wang"}`, `{"@timestamp":"2026-05-04T10:03:00Z","event.id":"e-2"}`}
	m := f.create(content())
	if m.Health != "new" || m.State != Active || !m.NextAt.Equal(time.Date(2026, 5, 4, 10, 5, 0, 0, time.UTC)) {
		t.Errorf("a new monitor: %+v", m)
	}
	f.pass(4*time.Minute + 45*time.Second) // 10:05:15: due, but events may still come
	if len(f.raised) != 0 {
		t.Fatal("it ran before its delay was over")
	}
	f.pass(20 * time.Second)
	if len(f.raised) != 1 {
		t.Fatalf("%d raised", len(f.raised))
	}
	q := f.asked[0]
	if q.Start.Format("15:04:05") != "10:00:00" || q.End.Format("15:04:05") != "10:05:00" || q.Query != "login failed" || q.Reach.Key() != reach.Tenants("a").Key() {
		t.Errorf("it asked for %+v", q)
	}
	o := f.raised[0]
	if o.Tenant != "a" || o.Rule.Level != detections.High || o.Priority != "P2" || o.Count != 11 || o.Fields["user.name"] != "wang" || strings.Join(o.EventIDs, " ") != "e-1 e-2" || o.Rule.Title.ZH != "登录失败" {
		t.Errorf("it raised %+v", o)
	}
	m = f.get(m.ID)
	if m.LastRun == nil || m.LastRun.Outcome != Met || m.LastRun.Rows != 11 || m.LastRun.Occurrence != o.ID || m.Health != "ok" || m.NextAt.Format("15:04") != "10:10" {
		t.Errorf("after it: %+v, last run %+v", m, m.LastRun)
	}

	// Killed between raising and writing down: the same time runs again, and
	// raises the same.
	if _, err := f.db.NewRaw("UPDATE monitors SET due_at = ?", time.Date(2026, 5, 4, 10, 5, 0, 0, time.UTC).UnixMilli()).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.open()
	f.pass(0)
	if len(f.raised) != 2 || f.raised[1].ID != o.ID {
		t.Errorf("run again it raised another: %v", f.raised)
	}
	f.pass(5 * time.Minute)
	if len(f.raised) != 3 || f.raised[2].ID == o.ID || f.raised[2].Rule.ID != o.Rule.ID {
		t.Errorf("the next time raised %v", f.raised[2:])
	}
	f.count = 10
	f.pass(5 * time.Minute)
	if m := f.get(m.ID); len(f.raised) != 3 || m.LastRun.Outcome != NotMet || m.LastRun.Rows != 10 {
		t.Errorf("10 are not more than 10: %+v", m.LastRun)
	}
}

func TestDowntime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.count = 0
	m := f.create(content())
	f.pass(2*time.Hour + 2*time.Minute) // 12:02:30
	runs, total, _, err := f.Runs(t.Context(), lin, m.ID, 10, "")
	if err != nil || total != 1 || !runs[0].CatchUp || runs[0].Missed != 23 || runs[0].WindowEnd.Format("15:04") != "12:00" {
		t.Fatalf("%v: %d runs: %+v", err, total, runs)
	}
	if got := f.get(m.ID).NextAt.Format("15:04"); got != "12:05" {
		t.Errorf("next at %s", got)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	figures := []string{`{"user":"a","n":"3"}`, `{"user":"b","n":"12"}`, `{"user":"c","n":"7.5"}`, `{"user":"d","n":"many"}`}
	for name, c := range map[string]struct {
		query string
		cond  Condition
		count uint64
		rows  []string
		met   bool
		shown string
		field string // of the row that the alert shows
		fault string
	}{
		"no rows, which was asked": {query: "x", cond: Condition{Kind: OnRows, Op: "=", Value: 0}, met: true},
		"fewer rows":               {query: "x", cond: Condition{Kind: OnRows, Op: "<", Value: 5}, count: 4, met: true},
		"not fewer":                {query: "x", cond: Condition{Kind: OnRows, Op: "<", Value: 4}, count: 4},
		"rows of a query's pipes":  {query: "x | stats by (user) count() n", cond: Condition{Kind: OnRows, Op: ">=", Value: 4}, rows: figures, met: true, field: "a"},
		"a figure":                 {query: "x | stats by (user) count() n", cond: Condition{Kind: OnValue, Op: ">", Value: 7, Field: "n"}, rows: figures, met: true, shown: "12", field: "b"},
		"no figure":                {query: "x | stats by (user) count() n", cond: Condition{Kind: OnValue, Op: ">", Value: 12, Field: "n"}, rows: figures, shown: "12"},
		"the least figure":         {query: "x | stats by (user) count() n", cond: Condition{Kind: OnValue, Op: "<=", Value: 3, Field: "n"}, rows: figures, met: true, shown: "3", field: "a"},
		"a field there is not":     {query: "x | stats by (user) count() n", cond: Condition{Kind: OnValue, Op: ">", Value: 1, Field: "total"}, rows: figures, fault: `"total"`},
		"no rows to look at":       {query: "x | stats by (user) count() n", cond: Condition{Kind: OnValue, Op: ">", Value: 1, Field: "n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.count, f.rows = c.count, c.rows
			doc := content()
			doc.Query, doc.Condition = c.query, c.cond
			m := f.create(doc)
			f.pass(6 * time.Minute)
			run := f.get(m.ID).LastRun
			switch {
			case c.fault != "":
				if run.Outcome != Failed || !strings.Contains(run.Error, c.fault) {
					t.Errorf("%s: %s", run.Outcome, run.Error)
				}
				return
			case run.Outcome == Failed:
				t.Fatal(run.Error)
			case (run.Outcome == Met) != c.met || len(f.raised) > 0 != c.met:
				t.Errorf("%s, %d raised", run.Outcome, len(f.raised))
			case run.Value != c.shown:
				t.Errorf("it looked at %q, want %q", run.Value, c.shown)
			case c.met && f.raised[0].Fields["user"] != c.field:
				t.Errorf("the alert shows %v", f.raised[0].Fields)
			}
		})
	}
}

func TestTheOwnerGoesAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.create(content())
	f.away = export.Away("the account lin is disabled, locked or gone")
	f.pass(6 * time.Minute)
	got := f.get(m.ID)
	if got.State != Paused || !strings.Contains(got.PausedReason, "lin is disabled") || f.alarms[alarmKey(m.ID)] == "" {
		t.Fatalf("%+v, alarms %v", got, f.alarms)
	}
	f.pass(time.Hour)
	if _, total, _, _ := f.Runs(t.Context(), lin, m.ID, 10, ""); total != 1 {
		t.Errorf("a paused monitor ran %d times", total)
	}
	f.away = nil
	if done, _, err := f.Batch(t.Context(), boss, []string{m.ID}, Enable); err != nil || len(done) != 1 {
		t.Fatal(err)
	}
	f.pass(6 * time.Minute)
	if got := f.get(m.ID); got.State != Active || got.LastRun.Outcome != NotMet || len(f.alarms) != 0 {
		t.Errorf("enabled again: %+v, alarms %v", got.LastRun, f.alarms)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.create(content())
	f.fail = fmt.Errorf("%w: restarting", search.ErrUnavailable)
	for n := 1; n <= 3; n++ {
		f.pass(5 * time.Minute)
		got := f.get(m.ID)
		if got.Failures != n || (got.Health == "warning") != (n >= 3) || (len(f.alarms) > 0) != (n >= 3) || got.LastRun.Error != "the engine was not available" {
			t.Errorf("after %d failures: %s, %d, %v, %s", n, got.Health, got.Failures, f.alarms, got.LastRun.Error)
		}
	}
	f.fail = nil
	f.pass(5 * time.Minute)
	if got := f.get(m.ID); got.Failures != 0 || got.Health != "ok" || len(f.alarms) != 0 {
		t.Errorf("after a success: %+v, %v", got, f.alarms)
	}
	// Whose would the alert be?
	c := content()
	c.Name, c.Tenant = "both", ""
	f.reach = reach.Tenants("a", "b")
	both := f.create(c)
	f.count = 20
	f.pass(5 * time.Minute)
	if run := f.get(both.ID).LastRun; run.Outcome != Failed || !strings.Contains(run.Error, "name the tenant") {
		t.Errorf("an alert over two tenants: %+v", run)
	}
	f.reach = reach.All()
	f.rows = []string{`{"user.name":"wang","icewatch.ci.tenant":"b"}`}
	f.pass(5 * time.Minute)
	if o := f.raised[len(f.raised)-1]; o.Tenant != tenancy.City || o.Fields["user.name"] != "" || o.Fields["icewatch.ci.tenant"] != "" {
		t.Errorf("an alert of the city shows a tenant's row: %+v", o)
	}
}

func TestExports(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.count = 50
	c := content()
	c.Action = Action{Kind: Export, Format: export.CSV, Receiver: "hook", Fields: []string{"user.name"}}
	m := f.create(c)
	f.pass(6 * time.Minute)
	run := f.get(m.ID).LastRun
	if run.Export != "export_1" || run.Outcome != Met || f.exports[0].Origin != Origin(m.ID) || f.exports[0].End.Format("15:04") != "10:05" {
		t.Fatalf("%+v %+v", run, f.exports)
	}
	file := func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader([]byte("user.name\nwang\n"))), nil
	}
	f.Exported(t.Context(), export.Job{ID: "export_1", Origin: Origin(m.ID), State: export.Done, Format: export.CSV, Bytes: 15}, file)
	if len(f.told) != 1 || !strings.HasPrefix(f.told[0], "hook a export_1 {") || !strings.Contains(f.told[0], `"content":"user.name\nwang\n"`) || !strings.Contains(f.told[0], "https://soc/exports/export_1") {
		t.Errorf("told %q", f.told)
	}
	f.Exported(t.Context(), export.Job{ID: "export_1", Origin: Origin(m.ID), State: export.Failed, Error: "too large"}, nil)
	if run := f.get(m.ID).LastRun; run.Outcome != Failed || !strings.Contains(run.Error, "too large") {
		t.Errorf("its export failed: %+v", run)
	}
	f.Exported(t.Context(), export.Job{ID: "export_9", Origin: export.OriginUser}, nil)
	f.Exported(t.Context(), export.Job{ID: "export_9", Origin: "monitor:gone"}, nil)
	if len(f.told) != 2 {
		t.Errorf("told %d times", len(f.told))
	}
}

func TestRunNow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.count = 20
	m := f.create(content())
	run, err := f.RunNow(t.Context(), lin, m.ID, true)
	if err != nil || !run.Manual || run.Outcome != Running {
		t.Fatalf("%v %+v", err, run)
	}
	f.group.Wait()
	if last := f.get(m.ID).LastRun; last.Outcome != Met || len(f.raised) != 0 {
		t.Errorf("a look: %+v, %d raised", last, len(f.raised))
	}
	for range 2 {
		if _, err := f.RunNow(t.Context(), lin, m.ID, false); err != nil {
			t.Fatal(err)
		}
		f.group.Wait()
	}
	if len(f.raised) != 2 || f.raised[0].ID == f.raised[1].ID || f.raised[0].Rule.ID != f.raised[1].Rule.ID {
		t.Errorf("twice by hand raised %v", f.raised)
	}
	if _, err := f.RunNow(t.Context(), saved.Asker{User: "u-other"}, m.ID, true); !errors.Is(err, saved.ErrNotFound) {
		t.Errorf("another's monitor: %v", err)
	}
}

func TestKeeping(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	from, err := f.deps.Searches.CreateSearch(ctx, lin, saved.Content{Name: "s", Query: "from a search", Tenant: "a", Time: saved.Range{Since: "15m"}})
	if err != nil {
		t.Fatal(err)
	}
	c := content()
	c.Search, c.Query, c.Window = from.ID, "", ""
	m := f.create(c)
	if m.Query != "from a search" || m.Window != "15m" || m.SearchChanged {
		t.Errorf("made from a search: %+v", m)
	}
	change := from.Content()
	change.Query = "changed"
	if _, _, err := f.deps.Searches.UpdateSearch(ctx, lin, from.ID, 1, change); err != nil {
		t.Fatal(err)
	}
	if m = f.get(m.ID); !m.SearchChanged || m.Query != "from a search" {
		t.Errorf("the search was changed: %+v", m)
	}
	next := m.Content()
	next.Name = "another name"
	if _, _, err := f.Update(ctx, lin, ownerOf(lin), m.ID, 9, next, true); !errors.Is(err, saved.ErrConflict) {
		t.Errorf("an old revision: %v", err)
	}
	if _, _, err := f.Update(ctx, saved.Asker{User: "u-other"}, ownerOf(lin), m.ID, 1, next, true); err == nil {
		t.Error("another's monitor is changed")
	}
	next.Search = ""
	_, after, err := f.Update(ctx, boss, ownerOf(boss), m.ID, 1, next, true)
	if err != nil || after.Owner.Name != "boss" {
		t.Errorf("who changes it owns it: %v %+v", err, after.Owner)
	}
	if _, err := f.Get(ctx, lin, m.ID); !errors.Is(err, saved.ErrNotFound) {
		t.Errorf("who owned it before sees it: %v", err)
	}
	copied, err := f.Copy(ctx, boss, ownerOf(boss), m.ID, "")
	if err != nil || copied.Name != "another name (2)" || copied.Enabled || copied.State != Disabled || copied.NextAt != nil {
		t.Errorf("%v: a copy: %+v", err, copied)
	}
	if items, total, _, err := f.List(ctx, boss, Query{Text: "ANOTHER", State: Disabled, Limit: 10}); err != nil || total != 1 || items[0].ID != copied.ID {
		t.Errorf("%v: found %+v", err, items)
	}
	done, failed, err := f.Batch(ctx, boss, []string{m.ID, "monitor_none", copied.ID}, Remove)
	if err != nil || len(done) != 2 || len(failed) != 1 || failed[0].ID != "monitor_none" {
		t.Errorf("%v: %v %v", err, done, failed)
	}
	for want, change := range map[string]func(*Content){
		"name:":                      func(c *Content) { c.Name = "" },
		"query: ":                    func(c *Content) { c.Query = "a | stats (" },
		"one tenant is right":        func(c *Content) { c.Tenant = "a,b" },
		"five fields are right":      func(c *Content) { c.Schedule = "* * *" },
		"once a minute":              func(c *Content) { c.Schedule = "@every 10s" },
		"never comes":                func(c *Content) { c.Schedule = "0 0 31 2 *" },
		"stands beside the schedule": func(c *Content) { c.Schedule = "TZ=UTC * * * * *" },
		"no time zone":               func(c *Content) { c.TimeZone = "Mars/Olympus" },
		"window":                     func(c *Content) { c.Window = "" },
		"delay":                      func(c *Content) { c.Delay = "25h" },
		"condition.op":               func(c *Content) { c.Condition.Op = "~" },
		"condition.kind":             func(c *Content) { c.Condition.Kind = "" },
		"condition.field":            func(c *Content) { c.Condition.Kind = OnValue },
		"condition.value":            func(c *Content) { c.Condition.Value = -1 },
		"action.kind":                func(c *Content) { c.Action.Kind = "mail" },
		"action.severity":            func(c *Content) { c.Action.Severity = "bad" },
		"action.format":              func(c *Content) { c.Action = Action{Kind: Export, Format: "pdf"} },
		`action.fields: "a" is`:      func(c *Content) { c.Action = Action{Kind: Export, Format: export.CSV, Fields: []string{"a", "a"}} },
		"action.fields: there are":   func(c *Content) { c.Action = Action{Kind: Export, Format: export.CSV, Fields: make([]string, 1001)} },
		"no webhook receiver":        func(c *Content) { c.Action = Action{Kind: Export, Format: "csv", Receiver: "nowhere"} },
		"group: ":                    func(c *Content) { c.Group = "group_none" },
	} {
		c := content()
		change(&c)
		if _, err := f.Create(ctx, lin, ownerOf(lin), c, true); !errors.Is(err, saved.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestSchedulesKnowSummerTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
	s, err := ParseSchedule("30 8 * * *", "Europe/Berlin", now)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for x := range s.After(now, 3) {
		got = append(got, x.Format("02 15:04"))
	}
	if fmt.Sprint(got) != "[28 07:30 29 06:30 30 06:30]" {
		t.Errorf("8:30 in Berlin is %v", got)
	}
}

// FuzzSchedule: whatever is accepted has a next time, at least a minute apart.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "0 8 * * 1-5", "@hourly", "@every 90s", "0 0 29 2 *"} {
		f.Add(s, "Asia/Shanghai")
	}
	now := time.Date(2026, 5, 4, 10, 0, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text, zone string) {
		s, err := ParseSchedule(text, zone, now)
		if err != nil {
			return
		}
		last := time.Time{}
		for x := range s.After(now, 5) {
			if !x.After(now) || x.Sub(last) < shortest {
				t.Fatalf("%q in %q: %v after %v", text, zone, x, last)
			}
			last = x
		}
		if last.IsZero() {
			t.Fatalf("%q in %q never comes", text, zone)
		}
	})
}

func TestWhatReceiversAreTold(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(told{Kind: "export", Export: export.Job{ID: "export_1"}})
	if err != nil || !strings.Contains(string(b), `"export":{"id":"export_1"`) {
		t.Errorf("%v %s", err, b)
	}
}

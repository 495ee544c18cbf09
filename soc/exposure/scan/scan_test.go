package scan

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/credential"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/scope"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
)

// enrolled stands for the fleet, whose own tests show that a scanner enrols.
type enrolled struct{ seen []string }

func (r *enrolled) Seen(id, _, _ string) error { r.seen = append(r.seen, id); return nil }

func (r *enrolled) Hosts(a fleet.Asker, q fleet.HostQuery) []fleet.Host {
	return []fleet.Host{{ID: "S1", Name: "scanner-1", Tenant: "a", Kind: fleet.Scanning, State: fleet.Online}}
}

type world struct {
	*Service
	t     *testing.T
	cmdb  *cmdb.Service
	scope *scope.Service
	at    time.Time
	state *state.DB
	box   *seal.Box
	hosts []Seen
}

func (w *world) open() {
	w.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	clock := func() time.Time { return w.at }
	found, err := finding.Open(w.t.Context(), w.cmdb.Database(), finding.Deps{Items: w.cmdb, Log: quiet, Clock: clock})
	if err != nil {
		w.t.Fatal(err)
	}
	secrets, err := credential.Open(w.t.Context(), w.state, w.box)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service, err = Open(w.t.Context(), Deps{Database: w.cmdb.Database(), Secrets: secrets, Scope: w.scope, Items: w.cmdb, Findings: found, Fleet: &enrolled{}, Log: quiet, Now: clock,
		Seen: func(_ context.Context, _ ScanRun, _ string, list []Seen) (ScanDiscovery, error) {
			w.hosts = list
			return ScanDiscovery{Hosts: len(list)}, nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
}

var scanner = fleet.Agent{ID: "S1", Name: "scanner-1", Tenant: "a", Kind: fleet.Scanning}

// ask asks as the scanner; it must be told something at once.
func (w *world) ask(c wire.Checkin) wire.Orders {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	out, err := w.Checkin(ctx, scanner, wire.Encode(c))
	if err != nil {
		w.t.Fatal(err)
	}
	var o wire.Orders
	if err := json.Unmarshal(out, &o); err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) send(list ...wire.Result) {
	w.t.Helper()
	for i := range list {
		list[i].At = w.at.UnixMilli()
	}
	body, err := wire.Pack(list)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.TakeResults(w.t.Context(), scanner, body); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) run(id string) ScanRun {
	w.t.Helper()
	x, err := w.Get(w.t.Context(), reach.All(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func onBoth(t *testing.T, test func(w *world)) {
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		w := &world{t: t, cmdb: c, at: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC), box: seal.Ephemeral(credential.Sealed()...)}
		var err error
		if w.state, err = state.Open(t.Context(), filepath.Join(t.TempDir(), "own.db")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.state.Close() })
		if w.scope, err = scope.Open(t.Context(), c.Database(), func() time.Time { return w.at }); err != nil {
			t.Fatal(err)
		}
		w.open()
		test(w)
	})
}

func (w *world) approve(cidr string) string {
	w.t.Helper()
	x, err := w.scope.Ask(w.t.Context(), reach.All(), "wang", scope.ScanRangeDraft{Tenant: "a", CIDR: cidr, Reason: "test", Days: 30})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.scope.Decide(w.t.Context(), reach.All(), "li", x.ID, true, ""); err != nil {
		w.t.Fatal(err)
	}
	return x.ID
}

func TestScanAndRetest(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		d := ScanTaskDraft{Tenant: "a", Name: "weekly", Kind: wire.KindCheck, Targets: []string{"10.0.0.0/24"}, Cron: "0 2 * * 6", Credentials: []ScanCredential{{Kind: "ssh", Name: "root", User: "root", Secret: "hunter2"}}}
		task, err := w.PutTask(ctx, reach.All(), "wang", "", d)
		if err != nil || !task.Credentials[0].Held || task.Credentials[0].Secret != "" || task.Next.IsZero() {
			w.t.Fatal(task, err)
		}
		if _, err := w.Start(ctx, reach.All(), "wang", task.ID); !errors.Is(err, ErrConflict) {
			w.t.Fatalf("nothing is approved: %v", err)
		}
		w.approve("10.0.0.0/25")
		if _, err := w.Start(ctx, reach.Tenants("b"), "wang", task.ID); !errors.Is(err, ErrNotFound) {
			w.t.Errorf("another tenant's task: %v", err)
		}
		r, err := w.Start(ctx, reach.All(), "wang", task.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.Start(ctx, reach.All(), "wang", task.ID); !errors.Is(err, ErrConflict) {
			w.t.Errorf("twice at once: %v", err)
		}
		o := w.ask(wire.Checkin{Version: "1"})
		if len(o.Runs) != 1 || o.Runs[0].ID != r.ID || o.Runs[0].Scope.Ranges[0] != "10.0.0.0/25" || o.Runs[0].Credentials[0].Secret != "hunter2" || o.Runs[0].Unsafe {
			w.t.Fatalf("%+v", o)
		}
		// Neither the run's row nor the task's holds the secret.
		var n int
		if err := w.cmdb.Database().NewRaw("SELECT count(*) FROM exposure_scan_runs WHERE orders LIKE '%hunter2%' OR doc LIKE '%hunter2%'").Scan(ctx, &n); err != nil || n != 0 {
			w.t.Error("the secret is in the clear", n, err)
		}
		list := []wire.Result{
			{Run: r.ID, Seq: 1, Kind: wire.KindHost, Host: &wire.Host{Address: "10.0.0.5", Names: []string{"web-5"}, Found: []string{"ping"}}},
			{Run: r.ID, Seq: 2, Kind: wire.KindService, Service: &wire.Service{Address: "10.0.0.5", Port: 6379, Protocol: "tcp", Name: "redis"}},
			{Run: r.ID, Seq: 3, Kind: wire.KindWeakness, Weakness: &wire.Weakness{Check: "redis-open", Engine: "icewatch", Title: "Redis without password", TitleZH: "Redis 未授权访问", Severity: "critical", Address: "10.0.0.5", Port: 6379, Protocol: "tcp"}},
			{Run: r.ID, Seq: 4, Kind: wire.KindWeakness, Weakness: &wire.Weakness{Check: "redis-open", Engine: "icewatch", Title: "out of bounds", Severity: "high", Address: "10.0.0.200", Port: 6379, Protocol: "tcp"}},
		}
		w.send(list...)
		w.send(list...) // the answer was lost
		found, total, err := w.Findings.List(ctx, reach.All(), finding.Question{Limit: 10})
		if err != nil || total != 1 || found[0].Weakness != Engine+":redis-open" || found[0].Tenant != "a" {
			w.t.Fatalf("%+v, %v", found, err)
		}
		if list, total, err := w.Results(ctx, reach.All(), r.ID, ResultQuestion{Limit: 10}); err != nil || total != 3 || len(list) != 3 {
			w.t.Fatalf("%d results, %v", total, err)
		}
		if _, _, err := w.Results(ctx, reach.Tenants("b"), r.ID, ResultQuestion{Limit: 10}); !errors.Is(err, ErrNotFound) {
			w.t.Errorf("another tenant's results: %v", err)
		}
		// The suite is killed, and the scanner too: it asks for the credentials again.
		w.open()
		if o := w.ask(wire.Checkin{Version: "1", Wants: []string{r.ID}, Runs: []wire.RunState{{ID: r.ID, State: wire.StateRunning, Progress: wire.Progress{HostsDone: 3, HostsTotal: 126}}}}); len(o.Runs) != 1 || o.Runs[0].Credentials[0].Secret != "hunter2" {
			w.t.Fatalf("%+v", o)
		}
		if x := w.run(r.ID); x.State != Running || x.Progress.HostsTotal != 126 {
			w.t.Errorf("%+v", x)
		}
		w.send(wire.Result{Run: r.ID, Seq: 5, Kind: wire.KindEnd, End: &wire.End{State: wire.EndDone, Progress: wire.Progress{HostsDone: 126, HostsTotal: 126, Found: 1}}})
		w.Step(ctx)
		if x := w.run(r.ID); x.State != Done || x.Progress.HostsDone != 126 || x.Discovery.Hosts != 1 || len(x.Notes) != 1 || !strings.Contains(x.Notes[0], "10.0.0.200") {
			w.t.Errorf("%+v", x)
		}
		if len(w.hosts) != 1 || w.hosts[0].Address != "10.0.0.5" || len(w.hosts[0].Services) != 1 {
			w.t.Errorf("%+v", w.hosts)
		}
		// It is repaired: the same check looks again.
		w.at = w.at.Add(time.Hour)
		if _, err := w.Retest(ctx, reach.Tenants("b"), "wang", []string{found[0].ID}); !errors.Is(err, finding.ErrNotFound) {
			w.t.Errorf("another tenant's finding: %v", err)
		}
		again, err := w.Retest(ctx, reach.All(), "wang", []string{found[0].ID})
		if err != nil || len(again) != 1 {
			w.t.Fatal(again, err)
		}
		o = w.ask(wire.Checkin{Version: "1"})
		if len(o.Runs) != 1 || len(o.Runs[0].Retest) != 1 || o.Runs[0].Retest[0].Check != "redis-open" || o.Runs[0].Retest[0].Port != 6379 {
			w.t.Fatalf("%+v", o)
		}
		w.at = w.at.Add(time.Minute)
		w.send(wire.Result{Run: again[0].ID, Seq: 1, Kind: wire.KindAbsent, Absent: &wire.Absent{Finding: found[0].ID, Check: "redis-open", Target: "10.0.0.5", Port: 6379, Reason: "clean"}},
			wire.Result{Run: again[0].ID, Seq: 2, Kind: wire.KindAbsent, Absent: &wire.Absent{Finding: "f0", Check: "redis-open", Target: "10.0.0.5", Port: 6379, Reason: "clean"}},
			wire.Result{Run: again[0].ID, Seq: 3, Kind: wire.KindEnd, End: &wire.End{State: wire.EndDone}})
		w.Step(ctx)
		if f, _, err := w.Findings.Get(ctx, reach.All(), found[0].ID); err != nil || f.State != finding.Closed {
			w.t.Errorf("%+v, %v", f, err)
		}
		if x := w.run(again[0].ID); x.State != Done || x.Closed != 1 || len(x.Notes) != 1 {
			w.t.Errorf("%+v", x)
		}
	})
}

func TestPauseCancelAndWithdrawnRanges(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		id := w.approve("10.0.0.0/24")
		task, err := w.PutTask(ctx, reach.All(), "wang", "", ScanTaskDraft{Tenant: "a", Name: "d", Kind: wire.KindDiscover})
		if err != nil {
			w.t.Fatal(err)
		}
		r, err := w.Start(ctx, reach.All(), "wang", task.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		w.ask(wire.Checkin{})
		running := wire.Checkin{Runs: []wire.RunState{{ID: r.ID, State: wire.StateRunning}}}
		if _, err := w.Pause(ctx, reach.All(), "wang", r.ID, true); err != nil {
			w.t.Fatal(err)
		}
		if o := w.ask(running); len(o.Pause) != 1 || w.run(r.ID).State != Paused {
			w.t.Errorf("%+v", o)
		}
		if x, err := w.Pause(ctx, reach.All(), "wang", r.ID, false); err != nil || x.State != Running {
			w.t.Fatal(x, err)
		}
		// What is no longer approved is no longer scanned.
		if _, err := w.scope.Withdraw(ctx, reach.All(), "li", id, ""); err != nil {
			w.t.Fatal(err)
		}
		w.Step(ctx)
		if o := w.ask(running); len(o.Cancel) != 1 || w.run(r.ID).State != Cancelling {
			w.t.Errorf("%+v, %+v", o, w.run(r.ID))
		}
		w.send(wire.Result{Run: r.ID, Seq: 1, Kind: wire.KindEnd, End: &wire.End{State: wire.EndCancelled}})
		w.Step(ctx)
		if x := w.run(r.ID); x.State != Cancelled || !strings.Contains(x.Reason, "approved") {
			w.t.Errorf("%+v", x)
		}
		if err := w.DeleteTask(ctx, reach.Tenants("b"), task.ID); !errors.Is(err, ErrNotFound) {
			w.t.Errorf("another tenant's task: %v", err)
		}
		if err := w.DeleteTask(ctx, reach.All(), task.ID); err != nil || len(w.Tasks(reach.All())) != 0 {
			w.t.Error(err)
		}
	})
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		w.approve("10.0.0.0/24")
		w.Workday = func(d time.Time) bool { return d.Weekday() != time.Saturday && d.Weekday() != time.Sunday }
		// 2026-03-02 is a Monday, 16:00 in Shanghai.
		task, err := w.PutTask(ctx, reach.All(), "wang", "", ScanTaskDraft{Tenant: "a", Name: "d", Kind: wire.KindDiscover, Cron: "30 2 * * *", Calendar: RestDays})
		if want := time.Date(2026, 3, 6, 18, 30, 0, 0, time.UTC); err != nil || !task.Next.Equal(want) {
			w.t.Fatal(task.Next, err)
		}
		w.Step(ctx)
		if list, _, _ := w.Runs(ctx, reach.All(), RunQuestion{Limit: 10}); len(list) != 0 {
			w.t.Error("it began too early")
		}
		w.at = task.Next
		w.Step(ctx)
		w.Step(ctx)
		if list, total, err := w.Runs(ctx, reach.All(), RunQuestion{Limit: 10}); err != nil || total != 1 || list[0].Trigger != "schedule" {
			w.t.Error(list, err)
		}
		if list, total, err := w.Runs(ctx, reach.Tenants("b"), RunQuestion{Limit: 10}); err != nil || total != 0 || len(list) != 0 {
			w.t.Error("another tenant sees runs", list, err)
		}
		for _, bad := range []ScanTaskDraft{{Cron: "* * * * *"}, {Cron: "x"}, {Targets: []string{"10.0.0.0/33"}}, {Targets: []string{"ftp://x"}}, {TCP: []string{"0"}}, {Kind: "destroy"}, {Kind: wire.KindDeep}, {Windows: []ScanWindow{{From: "25:00", To: "1:00"}}}, {Scanner: ""}} {
			bad.Tenant, bad.Name = "a", ""
			if _, err := w.PutTask(ctx, reach.All(), "x", "", bad); !errors.Is(err, ErrInvalid) {
				w.t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

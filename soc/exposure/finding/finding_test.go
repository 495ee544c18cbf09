package finding

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/detections"
	"icewatch/soc/exposure/library"
	"icewatch/soc/reach"
)

const items = `{"id":"org-1","class":"organisation","name":"税务局"}
{"id":"sys-a","class":"business_system","name":"电子税务局","tenant":"a","organisation":"org-1","criticality":5,"owner":"张三"}
{"id":"web-1","class":"host","name":"web-1","tenant":"a","system":"sys-a","addresses":["10.0.0.1"],"criticality":5,"attributes":{"exposure":"internet"}}
{"id":"db-1","class":"host","name":"db-1","tenant":"a","system":"sys-a","addresses":["10.0.0.2"],"criticality":2,"attributes":{"exposure":"isolated"}}
{"id":"other","class":"host","name":"other","tenant":"b","addresses":["10.0.0.3"]}
`

const known = `{"vulnerabilities":[{"cveID":"CVE-2021-44228","vendorProject":"Apache","product":"Log4j2","vulnerabilityName":"Log4Shell","dateAdded":"2021-12-10","shortDescription":"x","requiredAction":"Apply updates.","dueDate":"2021-12-24"}]}`

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func setup(t *testing.T, c *cmdb.Service) (*Service, *clock) {
	t.Helper()
	cmdbtest.Import(t, c, items)
	quiet := slog.New(slog.DiscardHandler)
	lib, err := library.Open(t.Context(), c.Database(), library.Options{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := lib.Add(t.Context(), "t", "kev.json", library.FormatKEV, bytes.NewReader([]byte(known))); err != nil || got.State != library.Done {
		t.Fatal(got, err)
	}
	k := &clock{time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)}
	s, err := Open(t.Context(), c.Database(), Deps{Items: c, Library: lib, Log: quiet, Clock: k.now})
	if err != nil {
		t.Fatal(err)
	}
	return s, k
}

func take(t *testing.T, s *Service, how Take, list ...Sighting) Taken {
	t.Helper()
	if how.Within.Nothing() {
		how.Within = reach.All()
	}
	how.Actor = "importer"
	got, err := s.Take(t.Context(), list, how)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func log4j(engine, address string, at time.Time) Sighting {
	return Sighting{Address: address, Port: 8080, Protocol: "tcp", Engine: engine, Check: "156014", CVEs: []string{"CVE-2021-44228"}, Title: detections.Text{EN: "Apache Log4j RCE"}, Level: detections.Critical, Score: 10, At: at}
}

func list(t *testing.T, s *Service, r reach.Reach, q Question) []Finding {
	t.Helper()
	got, total, err := s.List(t.Context(), r, q)
	if err != nil || total != len(got) {
		t.Fatal(got, total, err)
	}
	return got
}

func TestLifeOfAFinding(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		ctx, all := t.Context(), reach.All()
		// A dry run keeps nothing; then two engines report the same one.
		if got := take(t, s, Take{DryRun: true}, log4j("nessus", "10.0.0.1", k.at)); got.New != 1 || got.Change != "" {
			t.Errorf("%+v", got)
		}
		first := take(t, s, Take{}, log4j("nessus", "10.0.0.1", k.at), log4j("nessus", "10.0.0.2", k.at))
		if first.New != 2 || first.Again != 0 {
			t.Fatalf("%+v", first)
		}
		k.at = k.at.Add(time.Hour)
		if got := take(t, s, Take{}, log4j("nuclei", "10.0.0.1", k.at)); got.New != 0 || got.Again != 1 {
			t.Fatalf("%+v", got)
		}
		got := list(t, s, all, Question{})
		if len(got) != 2 || got[0].Item != "web-1" || got[0].Owner != "张三" || got[0].Unit != "org-1" || !got[0].Exploited || !slices.Equal(got[0].Engines, []string{"nessus", "nuclei"}) {
			t.Fatalf("%+v", got)
		}
		f := got[0]
		if f.Priority <= got[1].Priority || !strings.Contains(f.Why.ZH, "暴露在互联网") || !strings.Contains(f.Why.EN, "attackers are known to use it") || !f.Due.Equal(f.FirstSeen.AddDate(0, 0, 3)) {
			t.Errorf("priority %d and %d, %+v, due %s", f.Priority, got[1].Priority, f.Why, f.Due)
		}
		// Verified, in repair, fixed; the re-test sees it again, then not.
		for _, state := range []State{Verified, Repair, Fixed} {
			if _, err := s.Change(ctx, all, "li", []string{f.ID}, FindingChange{State: state}); err != nil {
				t.Fatal(state, err)
			}
		}
		k.at = k.at.Add(time.Hour)
		take(t, s, Take{}, log4j("nuclei", "10.0.0.1", k.at))
		if f, _, _ = s.Get(ctx, all, f.ID); f.State != StateOpen {
			t.Errorf("seen again after the repair: %s", f.State)
		}
		if _, err := s.Change(ctx, all, "li", []string{f.ID}, FindingChange{State: Closed, Comment: "patched"}); err != nil {
			t.Fatal(err)
		}
		k.at = k.at.Add(time.Hour)
		if got := take(t, s, Take{}, log4j("nessus", "10.0.0.1", k.at)); got.Reopened != 1 {
			t.Errorf("%+v", got)
		}
		_, history, err := s.Get(ctx, all, f.ID)
		if err != nil || len(history) != 7 || history[0].Action != "came back" {
			t.Errorf("%+v, %v", history, err)
		}
		// What only one engine reported, and no longer does where it looked, is gone
		// after the re-test.
		second := got[1].ID
		complete := Take{Engine: "nessus", Complete: []Place{{Host: "10.0.0.2"}}}
		if got := take(t, s, complete); got.Gone != 1 {
			t.Errorf("%+v", got)
		}
		if got := take(t, s, complete); got.Gone != 1 {
			t.Errorf("%+v", got)
		}
		if f, _, _ := s.Get(ctx, all, second); f.State != Closed || f.Closed.IsZero() {
			t.Errorf("%+v", f)
		}
	})
}

func TestChangesAndUndo(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		ctx, all := t.Context(), reach.All()
		imported := take(t, s, Take{}, log4j("nessus", "10.0.0.1", k.at), log4j("nessus", "10.0.0.2", k.at), log4j("nessus", "10.0.0.3", k.at))
		rows := list(t, s, all, Question{})
		ids := []string{rows[0].ID, rows[1].ID}
		owner := "wang"
		change, err := s.Change(ctx, all, "li", ids, FindingChange{State: Repair, Owner: &owner, Level: detections.Low})
		if err != nil {
			t.Fatal(err)
		}
		if got := list(t, s, all, Question{Owner: "wang", States: []State{Repair}, Levels: []detections.Level{detections.Low}}); len(got) != 2 {
			t.Errorf("%+v", got)
		}
		if _, err := s.Undo(ctx, all, "li", imported.Change); !errors.Is(err, ErrConflict) {
			t.Errorf("undo of the report after a change: %v", err)
		}
		if n, err := s.Undo(ctx, all, "li", change); err != nil || n != 2 {
			t.Errorf("%d, %v", n, err)
		}
		if got := list(t, s, all, Question{States: []State{StateOpen}, Levels: []detections.Level{detections.Critical}}); len(got) != 3 {
			t.Errorf("%+v", got)
		}
		if _, err := s.Undo(ctx, all, "li", change); !errors.Is(err, ErrConflict) {
			t.Errorf("undo twice: %v", err)
		}
		for _, bad := range []FindingChange{{}, {State: "gone"}, {State: Exception, Comment: "x"}, {State: Exception, Until: k.at.Add(time.Hour)}, {State: FalsePositive}, {State: Verified, Until: k.at.Add(time.Hour)}} {
			if _, err := s.Change(ctx, all, "li", ids, bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		// An exception ends by itself.
		if _, err := s.Change(ctx, all, "li", ids[:1], FindingChange{State: Exception, Until: k.at.AddDate(0, 0, 5), Comment: "被 WAF 拦截"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Change(ctx, all, "li", ids, FindingChange{State: FalsePositive, Comment: "no"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Change(ctx, all, "li", ids, FindingChange{State: Repair}); !errors.Is(err, ErrConflict) {
			t.Errorf("from a false positive to repair: %v", err)
		}
		if _, err := s.Change(ctx, all, "li", ids[1:], FindingChange{State: StateOpen}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Change(ctx, all, "li", ids[1:], FindingChange{State: Exception, Until: k.at.AddDate(0, 0, 5), Comment: "later"}); err != nil {
			t.Fatal(err)
		}
		k.at = k.at.AddDate(0, 0, 6)
		if err := s.Follow(ctx); err != nil {
			t.Fatal(err)
		}
		f, history, err := s.Get(ctx, all, ids[1])
		if err != nil || f.State != StateOpen || !f.Until.IsZero() || !f.Overdue || history[0].Action != "exception ended" {
			t.Errorf("%+v, %+v, %v", f, history, err)
		}
	})
}

func TestWhoseItIs(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		ctx := t.Context()
		onlyA := reach.Tenants("a")
		if _, err := s.Take(ctx, []Sighting{log4j("nessus", "10.0.0.3", k.at)}, Take{Within: onlyA}); !errors.Is(err, ErrInvalid) {
			t.Errorf("another tenant's asset: %v", err)
		}
		if _, err := s.Take(ctx, []Sighting{log4j("nessus", "10.9.9.9", k.at)}, Take{Within: onlyA}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "say whose it is") {
			t.Errorf("an unknown asset of nobody: %v", err)
		}
		if _, err := s.Take(ctx, []Sighting{log4j("nessus", "10.9.9.9", k.at)}, Take{Within: onlyA, Tenant: "b"}); !errors.Is(err, ErrInvalid) {
			t.Errorf("an unknown asset of another tenant: %v", err)
		}
		if got := take(t, s, Take{Tenant: "a"}, log4j("nessus", "10.9.9.9", k.at), log4j("nessus", "10.0.0.1", k.at), log4j("nessus", "10.0.0.3", k.at)); got.New != 3 || !slices.Equal(got.Unknown, []string{"10.9.9.9"}) {
			t.Errorf("%+v", got)
		}
		mine := list(t, s, onlyA, Question{})
		if len(mine) != 2 || len(list(t, s, reach.None(), Question{})) != 0 {
			t.Errorf("%+v", mine)
		}
		theirs := list(t, s, reach.Tenants("b"), Question{})
		if len(theirs) != 1 || theirs[0].Tenant != "b" {
			t.Fatalf("%+v", theirs)
		}
		if _, _, err := s.Get(ctx, onlyA, theirs[0].ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("get: %v", err)
		}
		if _, err := s.Change(ctx, onlyA, "x", []string{mine[0].ID, theirs[0].ID}, FindingChange{State: Verified}); !errors.Is(err, ErrNotFound) {
			t.Errorf("change: %v", err)
		}
		if f, _, _ := s.Get(ctx, onlyA, mine[0].ID); f.State != StateOpen {
			t.Error("a change that was refused was made in part")
		}
		change, err := s.Change(ctx, reach.All(), "x", []string{theirs[0].ID}, FindingChange{State: Verified})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Undo(ctx, onlyA, "x", change); !errors.Is(err, ErrNotFound) {
			t.Errorf("undo: %v", err)
		}
		a, err := s.Figures(ctx, onlyA)
		if err != nil || a.Counting != 2 || a.Assets != 2 || len(a.Units) != 2 || a.Trend[29].New != 2 {
			t.Errorf("%+v, %v", a, err)
		}
		counts, err := ForPortrait{s}.Of(ctx, onlyA, []string{"web-1", "other"})
		if err != nil || counts["critical"] != 1 {
			t.Errorf("%v, %v", counts, err)
		}
		risks, err := ForRisk{s}.Of(ctx, []string{"web-1", "other"})
		if err != nil || len(risks["web-1"]) != 1 || len(risks["other"]) != 1 || risks["web-1"][0].Severity != detections.Critical {
			t.Errorf("%v, %v", risks, err)
		}
		stirred, next, err := ForRisk{s}.Stirred(ctx, 0)
		if err != nil || !slices.Contains(stirred, "web-1") || !slices.Contains(stirred, "sys-a") || !slices.Contains(stirred, "other") || next == 0 {
			t.Errorf("%v, %d, %v", stirred, next, err)
		}
		if again, same, err := (ForRisk{s}).Stirred(ctx, next); err != nil || len(again) != 0 || same != next {
			t.Errorf("%v, %d, %v", again, same, err)
		}
	})
}

func TestAttacksAndReminders(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		ctx, all := t.Context(), reach.All()
		weak := Sighting{Address: "10.0.0.2", Port: 22, Engine: "nuclei", Check: "ssh-weak-password", CWEs: []string{"CWE-521"}, Title: detections.Text{ZH: "SSH 弱口令"}, Level: detections.Medium, At: k.at}
		plain := Sighting{Address: "10.0.0.2", Port: 80, Engine: "nuclei", Check: "banner", Title: detections.Text{EN: "Banner"}, Level: detections.Low, At: k.at}
		take(t, s, Take{}, log4j("nessus", "10.0.0.1", k.at), weak, plain)
		s.Attacks = func(context.Context, time.Time) ([]Attack, error) {
			return []Attack{{Alert: "A-1", Item: "web-1", CVEs: []string{"CVE-2021-44228"}, At: k.at.Add(time.Minute)}, {Alert: "A-2", Item: "db-1", Techniques: []string{"T1110.001"}, At: k.at.Add(time.Minute)}}, nil
		}
		var told []string
		s.Tell = func(_ context.Context, receiver, _ string, list []Finding, over bool) error {
			for _, f := range list {
				word := "soon"
				if over {
					word = "over"
				}
				told = append(told, receiver+" "+f.Weakness+" "+word)
			}
			return nil
		}
		policy := DefaultPolicy
		policy.Receiver = "sec"
		s.Policy = func() Policy { return policy }
		if err := s.Follow(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Follow(ctx); err != nil { // the same again: nothing twice
			t.Fatal(err)
		}
		attacked := list(t, s, all, Question{Attacked: true})
		if len(attacked) != 2 || !slices.Equal(attacked[0].Alerts, []string{"A-1"}) || !strings.Contains(attacked[0].Why.ZH, "已发现针对它的攻击") {
			t.Errorf("%+v", attacked)
		}
		if len(told) != 0 {
			t.Errorf("told too early: %v", told)
		}
		for range 40 {
			k.at = k.at.AddDate(0, 0, 1)
			if err := s.Follow(ctx); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(told)
		want := []string{"sec CVE-2021-44228 over", "sec CVE-2021-44228 soon", "sec nuclei:ssh-weak-password over", "sec nuclei:ssh-weak-password soon"}
		if !slices.Equal(told, want) {
			t.Errorf("told %v", told)
		}
		if got := list(t, s, all, Question{Overdue: true}); len(got) != 2 {
			t.Errorf("%+v", got)
		}
	})
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	if err := DefaultPolicy.Check(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Policy){func(p *Policy) { p.Critical = 0 }, func(p *Policy) { p.High = 400 }, func(p *Policy) { p.Critical = 60 }, func(p *Policy) { p.Remind = -1 }, func(p *Policy) { p.Receiver = strings.Repeat("x", 201) }} {
		p := DefaultPolicy
		if change(&p); p.Check() == nil {
			t.Errorf("%+v passes", p)
		}
	}
}

// TestSearchByAnyCombination holds each condition of a list, and all of them together.
func TestSearchByAnyCombination(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		take(t, s, Take{Tenant: "a"},
			Sighting{Address: "10.0.0.1", Port: 443, Protocol: "tcp", Service: "https", Engine: "nessus", Check: "1", CVEs: []string{"CVE-2021-44228"}, CWEs: []string{"CWE-502"}, Title: detections.Text{ZH: "远程代码执行", EN: "Log4Shell"}, Level: detections.Critical, At: k.at},
			Sighting{Host: "shop.example", Port: 22, Service: "ssh", Engine: "openvas", Check: "2", Title: detections.Text{ZH: "SSH 弱口令"}, Level: detections.High, At: k.at})
		both := Question{Title: "执行", Levels: []detections.Level{detections.Critical}, Class: "cwe-502", States: []State{StateOpen}, Engine: "nessus", Host: "10.0.0.1", Port: 443, Service: "HTTPS", Weakness: "cve-2021-44228", Words: "log4shell", Owner: "张三"}
		for name, q := range map[string]Question{"title": {Title: "远程"}, "class": {Class: "CWE-502"}, "engine": {Engine: "nessus"}, "host": {Host: "10.0.0.1"}, "asset": {Host: "web-1"}, "port": {Port: 443}, "service": {Service: "https"}, "weakness": {Weakness: "CVE-2021-44228"}, "words": {Words: "log4shell"}, "unit": {Unit: "org-1"}, "all": both} {
			if got := list(t, s, reach.All(), q); len(got) != 1 || got[0].Item != "web-1" {
				t.Errorf("%s: %+v", name, got)
			}
		}
		for name, q := range map[string]Question{"title": {Title: "弱口令"}, "host": {Host: "Shop.Example"}, "service": {Service: "ssh"}, "check": {Weakness: "openvas:2"}} {
			if got := list(t, s, reach.All(), q); len(got) != 1 || got[0].Port != 22 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		for name, q := range map[string]Question{"part of a service": {Service: "http"}, "part of a host": {Host: "10.0.0"}, "a sign of LIKE": {Service: "%"}} {
			if got := list(t, s, reach.All(), q); len(got) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		figures, err := s.Figures(t.Context(), reach.All())
		if err != nil || len(figures.Units) != 2 || figures.Units[1].Name+figures.Units[0].Name != "税务局" {
			t.Errorf("%+v, %v", figures.Units, err)
		}
	})
}

// TestReportsTakenIn lists what was taken in to who may see it, and marks what was taken back.
func TestReportsTakenIn(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		got := take(t, s, Take{Tenant: "a", Engine: "nessus", Report: &ReportNote{"a.nessus", 3}}, log4j("nessus", "10.0.0.1", k.at))
		k.at = k.at.Add(time.Minute)
		take(t, s, Take{Tenant: "b", Engine: "nmap", Report: &ReportNote{"b.xml", 1}}, log4j("nmap", "10.0.0.3", k.at))
		take(t, s, Take{Tenant: "b", Engine: "nmap", DryRun: true, Report: &ReportNote{"dry.xml", 1}}, log4j("nmap", "10.0.0.3", k.at))
		_, mark, err := ForRisk{s}.Stirred(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Undo(t.Context(), reach.All(), "li", got.Change); err != nil {
			t.Fatal(err)
		}
		// It is gone, and whose it was is told still.
		if gone, _, err := (ForRisk{s}).Stirred(t.Context(), mark); err != nil || !slices.Contains(gone, "web-1") || !slices.Contains(gone, "sys-a") || slices.Contains(gone, "other") {
			t.Errorf("%v, %v", gone, err)
		}
		all, err := s.Reports(t.Context(), reach.All(), "li")
		if err != nil || len(all) != 2 || all[0].Name != "b.xml" || !all[1].Undone || all[1].New != 1 || all[1].Hosts != 3 {
			t.Errorf("%+v, %v", all, err)
		}
		for who, want := range map[string]int{"li": 1, "importer": 2} {
			if list, err := s.Reports(t.Context(), reach.Tenants("a"), who); err != nil || len(list) != want {
				t.Errorf("%s sees %+v, %v", who, list, err)
			}
		}
	})
}

// TestCoverage counts what was looked at, whether something was found or not.
func TestCoverage(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		take(t, s, Take{Tenant: "a", Engine: "nessus", Looked: []Place{{Host: "10.0.0.2"}, {Host: "10.9.9.9"}, {Host: "nobody"}}}, log4j("nessus", "10.0.0.1", k.at))
		take(t, s, Take{DryRun: true, Looked: []Place{{Host: "10.0.0.3"}}})
		figures := func(r reach.Reach) (int, int) {
			got, err := s.Figures(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return got.Looked, got.Known
		}
		if looked, known := figures(reach.All()); looked != 2 || known != 3 {
			t.Errorf("%d of %d", looked, known)
		}
		if looked, known := figures(reach.Tenants("b")); looked != 0 || known != 1 {
			t.Errorf("another tenant: %d of %d", looked, known)
		}
		// Who reaches one tenant looks at nothing of another.
		take(t, s, Take{Within: reach.Tenants("a"), Looked: []Place{{Host: "10.0.0.3"}}})
		k.at = k.at.AddDate(0, 0, 31)
		if looked, _ := figures(reach.All()); looked != 0 {
			t.Errorf("after a month: %d", looked)
		}
	})
}

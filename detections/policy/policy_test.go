package policy_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/detections/ruleset"
	"icewatch/rules"
)

func builtin(t testing.TB) []policy.File {
	t.Helper()
	return ruleset.Load([]ruleset.Source{{Name: "builtin", FS: rules.FS}}).Policies()
}

func prepared(t testing.TB, more ...policy.File) (*policy.Set, []policy.Problem) {
	t.Helper()
	return policy.New(append(builtin(t), more...), policy.Keys{})
}

func TestPriority(t *testing.T) {
	t.Parallel()
	s, problems := prepared(t)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	f := func(level detections.Level, criticality int, labels []string, want string) {
		t.Helper()
		j, err := s.Priority(context.Background(), policy.Alert{Tenant: "t",
			Rule: policy.Rule{ID: "r", Level: level}, Item: policy.Item{Criticality: criticality}, Actor: policy.Actor{Labels: labels}})
		got, reasons := j.Priority, j.Reasons
		if err != nil || got != want {
			t.Errorf("%s on %d: got %s, %v, want %s", level, criticality, got, err, want)
		}
		if len(reasons) < 2 {
			t.Errorf("%s on %d: reasons %v", level, criticality, reasons)
		}
		for _, r := range reasons {
			if r.ZH == "" || r.EN == "" {
				t.Errorf("a reason in one language: %+v", r)
			}
		}
	}
	f("critical", 5, nil, "P1")
	f("critical", 1, nil, "P2")
	f("critical", 0, nil, "P1")
	f("high", 5, nil, "P1")
	f("high", 0, nil, "P2")
	f("high", 1, nil, "P3")
	f("medium", 5, nil, "P2")
	f("medium", 3, nil, "P3")
	f("low", 3, nil, "P4")
	f("informational", 5, nil, "P4")
	f("critical", 5, []string{"approved-scanner"}, "P4")
}

var start = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)

func alert(id string, minute int, tactics []string, techniques ...string) policy.Alert {
	at := start.Add(time.Duration(minute) * time.Minute)
	return policy.Alert{ID: id, Tenant: "t", Rule: policy.Rule{ID: "rule-" + id, Level: "medium", Tactics: tactics, Techniques: techniques},
		Item: policy.Item{ID: "host-1", Name: "web-1"}, Actor: policy.Actor{IP: "203.0.113.9"}, Priority: "P3", Status: "open", First: at, Last: at}
}

func asked(a policy.Alert, related []policy.Alert) policy.IncidentInput {
	in := policy.IncidentInput{Alert: a}
	for i := range related {
		in.Related = append(in.Related, &related[i])
	}
	return in
}

func TestIncident(t *testing.T) {
	t.Parallel()
	s, problems := prepared(t)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	f := func(name string, want bool, a policy.Alert, related ...policy.Alert) {
		t.Helper()
		d, err := s.Incident(context.Background(), asked(a, related))
		if err != nil || d.Open != want {
			t.Errorf("%s: open %v (%v), %v", name, d.Open, d.Reasons, err)
		}
		if d.Open && (len(d.Reasons) == 0 || !d.Join) {
			t.Errorf("%s: opens without reason or without joining: %+v", name, d)
		}
	}
	with := func(a policy.Alert, change func(*policy.Alert)) policy.Alert { change(&a); return a }
	scan := alert("scan", 0, []string{"discovery"}, "T1046")
	guess := alert("guess", 1, []string{"credential-access"}, "T1110.001")
	login := with(alert("login", 2, []string{"initial-access"}), func(a *policy.Alert) { a.Rule.Tags = []string{"icewatch.login-success"} })
	root := with(alert("root", 3, []string{"privilege-escalation"}), func(a *policy.Alert) { a.Actor.IP = "" })
	out := with(alert("out", 4, []string{"command-and-control"}), func(a *policy.Alert) { a.Actor.IP = "10.1.2.3" })
	many := alert("many", 0, []string{"persistence", "execution", "discovery"})
	scanner := func(a *policy.Alert) { a.Actor.Labels = []string{"approved-scanner"} }
	p1 := func(a *policy.Alert) { a.Priority = "P1" }
	elsewhere := func(a *policy.Alert) { a.Item = policy.Item{ID: "host-2"} }
	unknown := func(a *policy.Alert) { a.Item.ID = "" }

	f("a lone alert", false, guess)
	f("a lone alert of three tactics", false, many)
	f("a lone P1", true, with(guess, p1))
	f("a P1 of the approved scanner", false, with(with(guess, p1), scanner))
	f("two tactics", false, root, guess)
	f("three tactics", true, root, guess, out)
	f("three tactics, one closed", false, root, guess, with(out, func(a *policy.Alert) { a.Status = "closed" }))
	f("three tactics, one by the scanner", false, root, guess, with(out, scanner))
	f("guessing then success", true, login, guess)
	f("guessing then success, told backwards", true, guess, login)
	f("success before guessing", false, guess, with(login, func(a *policy.Alert) { a.First, a.Last = start, start }))
	f("success of another address", false, with(login, func(a *policy.Alert) { a.Actor.IP = "198.51.100.1" }), guess)
	f("success on another item", false, with(login, elsewhere), guess)
	f("items known by name only", true, with(login, unknown), with(guess, unknown))
	f("a scan elsewhere by the same actor", false, with(scan, elsewhere), guess, root)
	f("the third tactic here, the scan elsewhere", true, root, guess, with(scan, elsewhere))
}

func TestOverrideAndFallback(t *testing.T) {
	t.Parallel()
	ask := func(s *policy.Set) string {
		j, err := s.Priority(context.Background(), policy.Alert{Rule: policy.Rule{Level: "low"}})
		if err != nil {
			t.Error(err)
		}
		return j.Priority
	}
	f := func(name, module, want, problem string) {
		t.Helper()
		s, problems := prepared(t, policy.File{Source: "mine", Path: "mine/priority.rego", Data: []byte(module)})
		if got := ask(s); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		text := ""
		for _, p := range problems {
			text += p.Path + ": " + p.Reason + "\n"
		}
		if problem == "" && text != "" || !strings.Contains(text, problem) {
			t.Errorf("%s: problems %q, want %q", name, text, problem)
		}
	}
	f("an own policy replaces the built-in one", "package icewatch.priority\ndecision := {\"priority\": \"P1\", \"reasons\": []}\n", "P1", "")
	f("another package lives beside it", "package my.lists\nnames := {\"a\"}\n", "P4", "")
	f("a syntax error is named, the built-in stays", "package icewatch.priority\ndecision := {\n", "P4", "mine/priority.rego")
	f("a compile error", "package icewatch.priority\ndecision := nosuch(1)\n", "P4", "nosuch")
	f("no decision", "package icewatch.priority\nx := 1\n", "P4", "undefined")
	f("a decision of the wrong shape", "package icewatch.priority\ndecision := \"P1\"\n", "P4", "wrong shape")
	f("a priority there is not", "package icewatch.priority\ndecision := {\"priority\": \"P9\"}\n", "P4", "P9")
	f("the network is out of reach", "package icewatch.priority\ndecision := {\"priority\": \"P1\", \"reasons\": [x | x := http.send({\"url\": \"http://x\", \"method\": \"get\"})]}\n", "P4", "http.send")
	f("an endless policy", "package icewatch.priority\ndecision := {\"priority\": \"P1\", \"reasons\": [x | some a in numbers.range(1, 100000); some b in numbers.range(1, 100000); a * b == -1; x := a]}\n", "P4", "took longer")
}

func TestNoPolicyFallsBackToTheLevel(t *testing.T) {
	t.Parallel()
	s, _ := policy.New(nil, policy.Keys{})
	j, err := s.Priority(context.Background(), policy.Alert{Rule: policy.Rule{Level: "high"}})
	if j.Priority != "P2" || err == nil || len(j.Reasons) != 1 {
		t.Errorf("got %+v, %v", j, err)
	}
	if d, err := s.Incident(context.Background(), policy.IncidentInput{}); err == nil || d.Open {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestFromOccurrence(t *testing.T) {
	t.Parallel()
	a := policy.FromOccurrence(&detections.Occurrence{Tenant: "t", Fields: map[string]string{
		"icewatch.ci.id": "h", "icewatch.ci.criticality": "4", "icewatch.ci.labels": `["a","b"]`, "icewatch.source.ci.labels": "x, y",
		"icewatch.source.internal": "true", "source.ip": "10.0.0.1", "host.name": "web"}})
	if a.Item.Criticality != 4 || len(a.Item.Labels) != 2 || len(a.Actor.Labels) != 2 || !a.Actor.Internal || a.Item.Name != "web" {
		t.Errorf("got %+v", a)
	}
}

package duty

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
	"icewatch/ticketing"
)

func TestAnIncidentGoesToWhoIsOnDuty(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	team := w.team(Content{Tenants: []string{"tax"}, Head: "boss", Lines: []Line{dayLine("first", "qian", "sun"), dayLine("second", "li")}})
	i := w.incident("tax", "P1")
	if i.Team != team.ID || i.Assignee != "qian" {
		t.Fatalf("assigned to %q of %q, want qian of %s", i.Assignee, i.Team, team.ID)
	}
	d, err := w.tickets.Incident(t.Context(), reach.All(), i.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(d.Timeline, func(e ticketing.TimelineEntry) bool { return e.Kind == "assigned" && e.Data["why"] != nil }) {
		t.Errorf("the timeline does not say why: %+v", d.Timeline)
	}
	if other := w.incident("edu", "P1"); other.Team != "" || other.Assignee != "" {
		t.Errorf("an incident of nobody's team is assigned to %q of %q", other.Assignee, other.Team)
	}
	w.forward(24 * time.Hour)
	if next := w.incident("tax", "P2"); next.Assignee != "sun" {
		t.Errorf("a day later it goes to %q, want sun", next.Assignee)
	}
}

func TestEscalation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.team(Content{Head: "boss", Lines: []Line{dayLine("first", "qian"), dayLine("second", "li he")}, Policies: []Policy{
		{Priorities: []string{"P1"}, Repeat: 1, RepeatAfter: 10, HeadAfter: 20, Steps: []Step{{Lines: []string{"first"}}, {After: 5, Lines: []string{"second"}, Users: []string{"qian"}}}},
		{Steps: []Step{{After: 30, Lines: []string{"first"}}}}}})
	urgent, calm, acked := w.incident("tax", "P1"), w.incident("tax", "P3"), w.incident("tax", "P1")
	see := func(id string, want ...string) {
		t.Helper()
		if err := w.settle(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range w.calls(id) {
			got = append(got, strings.Join(c.People, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: called %q, want %q", id, got, want)
		}
	}
	see(urgent.ID, "qian")
	see(calm.ID)
	if _, err := w.tickets.AcknowledgeIncident(t.Context(), all, acked.ID, ""); err != nil {
		t.Fatal(err)
	}
	w.forward(5*time.Minute - time.Millisecond)
	see(urgent.ID, "qian")
	w.forward(time.Millisecond)
	see(urgent.ID, "qian", "he li qian")
	see(acked.ID, "qian")
	if p, err := w.duty.Progress(t.Context(), urgent.ID); err != nil || p.NextAt == nil || !slices.Equal(p.Next, []string{"qian"}) {
		t.Errorf("the next call is not told of: %+v, %v", p, err)
	}
	w.forward(10 * time.Minute)
	see(urgent.ID, "qian", "he li qian", "qian")
	w.forward(3 * time.Hour) // the suite was down: one step, not all that were missed
	w.restart()
	see(urgent.ID, "qian", "he li qian", "qian", "he li qian")
	see(calm.ID, "qian")
	w.forward(20 * time.Minute)
	see(urgent.ID, "qian", "he li qian", "qian", "he li qian", "boss")
	w.forward(24 * time.Hour)
	see(urgent.ID, "qian", "he li qian", "qian", "he li qian", "boss")
	see(calm.ID, "qian")
	if _, err := w.tickets.AcknowledgeIncident(t.Context(), all, urgent.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.tickets.ReopenIncident(t.Context(), all, urgent.ID); err != nil {
		t.Fatal(err)
	}
	w.forward(time.Minute)
	see(urgent.ID, "qian", "he li qian", "qian", "he li qian", "boss", "qian") // anew
	if n := len(w.pages("escalation")); n != 1+3+1+3+1+1+1+1 {
		t.Errorf("%d notifications of calls wait, want one a person and call", n)
	}
}

// TestEscalationSurvives runs random policies while writes fail and the suite
// starts anew at random, and counts on its own what has to be called when: a
// call is neither lost nor doubled, and none comes early.
func TestEscalationSurvives(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t)
		p := Policy{Repeat: r.IntN(3), HeadAfter: r.IntN(2) * (1 + r.IntN(30))}
		for range 1 + r.IntN(4) {
			p.Steps = append(p.Steps, Step{After: 1 + r.IntN(20), Lines: []string{"first"}})
		}
		w.team(Content{Head: "boss", Lines: []Line{dayLine("first", "qian")}, Policies: []Policy{p}})
		i := w.incident("tax", "P1")
		var delays []int // minutes between what is called
		for range p.Repeat + 1 {
			for _, s := range p.Steps {
				delays = append(delays, s.After)
			}
		}
		if p.HeadAfter > 0 {
			delays = append(delays, p.HeadAfter)
		}
		w.fault = func() error {
			if r.IntN(3) == 0 {
				return errors.New("the disk is full")
			}
			return nil
		}
		due, called := i.OpenedAt.Time.Add(time.Duration(delays[0])*time.Minute), 0
		for range 400 {
			w.forward(time.Duration(r.IntN(180)) * time.Second)
			if r.IntN(4) == 0 {
				w.restart()
			}
			_, err := w.duty.Escalate(t.Context())
			got := w.calls(i.ID)
			switch {
			case called < len(delays) && !w.now().Before(due) && err == nil:
				called++
				if called < len(delays) {
					due = w.now().Add(time.Duration(delays[called]) * time.Minute)
				}
			case err != nil && !strings.Contains(err.Error(), "disk is full"):
				t.Fatal(err)
			}
			if len(got) != called {
				t.Fatalf("seed %d, %+v: %d calls at %s, counted %d; %v", seed, p, len(got), w.now(), called, err)
			}
			if called > 0 && len(w.pages("escalation")) != called {
				t.Fatalf("seed %d: %d notifications for %d calls", seed, len(w.pages("escalation")), called)
			}
		}
		if called != len(delays) {
			t.Fatalf("seed %d: %d of %d calls were made", seed, called, len(delays))
		}
	}
}

func TestAChangeOfPriorityBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.team(Content{Lines: []Line{dayLine("first", "qian"), dayLine("second", "li")}, Policies: []Policy{
		{Priorities: []string{"P1"}, Steps: []Step{{Lines: []string{"second"}}}}, {Steps: []Step{{After: 600, Lines: []string{"first"}}}}}})
	i := w.incident("tax", "P4")
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.ExecContext(t.Context(), "UPDATE ticketing_incidents SET priority = 1 WHERE id = ?", i.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	if got := w.calls(i.ID); len(got) != 1 || !slices.Equal(got[0].People, []string{"li"}) {
		t.Errorf("after it became urgent: %+v", got)
	}
}

// links of the pages that wait, by person.
func links(t *testing.T, w *world) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, body := range w.pages("escalation") {
		var p struct {
			Alerts []struct{ Labels, Annotations map[string]string }
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		for _, a := range p.Alerts {
			link, ok := strings.CutPrefix(a.Annotations["acknowledge_url"], "https://soc.example.org"+LinkPath)
			if !ok {
				t.Fatalf("no link in %s", body)
			}
			out[a.Labels["on_call"]] = link
		}
	}
	return out
}

func TestLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.team(Content{Lines: []Line{dayLine("first", "qian sun")}})
	i := w.incident("tax", "P1")
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	token := links(t, w)
	public := regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`) // what a path without sign-in may hold
	if len(token) != 2 || token["qian"] == token["sun"] || !public.MatchString(token["qian"]) {
		t.Fatalf("links: %v", token)
	}
	everything := func(context.Context, string) (reach.Reach, error) { return reach.All(), nil }
	for range 3 { // a mail filter looks, and looks again
		p, err := w.duty.Link(t.Context(), token["qian"], everything)
		if err != nil || p.Person != "qian" || p.Incident.ID != i.ID {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if got := w.read(i.ID); got.Status != ticketing.StatusOpen {
		t.Fatal("looking at a link acknowledged the incident")
	}
	for name, bad := range map[string]string{"nothing": "", "noise": "AAAA", "another length": token["qian"] + "AAAAAAAA", "another last letter": flip(token["qian"], len(token["qian"])-3), "another first letter": flip(token["qian"], 2), "another expiry": flip(token["qian"], 40)} {
		if _, err := w.duty.UseLink(t.Context(), bad, everything); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.duty.UseLink(t.Context(), token["qian"], func(context.Context, string) (reach.Reach, error) { return reach.Tenants("edu"), nil }); !errors.Is(err, ticketing.ErrNotFound) {
		t.Errorf("somebody who may not see the incident any more: %v", err)
	}
	w.restart() // the key is kept
	if p, err := w.duty.UseLink(t.Context(), token["qian"], everything); err != nil || p.Incident.AcknowledgedBy != "qian" {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := w.duty.UseLink(t.Context(), token["qian"], everything); !errors.Is(err, ErrLinkUsed) {
		t.Errorf("the second time: %v", err)
	}
	var conflict *ticketing.Conflict
	if _, err := w.duty.UseLink(t.Context(), token["sun"], everything); !errors.As(err, &conflict) || conflict.By != "qian" {
		t.Errorf("the other one's link: %v", err)
	}
	if _, err := w.tickets.ReopenIncident(t.Context(), all, i.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.duty.UseLink(t.Context(), token["sun"], everything); !errors.Is(err, ErrLinkOver) {
		t.Errorf("a link of the time before it was opened anew: %v", err)
	}
	w.forward(linkLives)
	if _, err := w.duty.Link(t.Context(), token["sun"], everything); !errors.Is(err, ErrExpired) {
		t.Errorf("a day later: %v", err)
	}
}

func flip(s string, at int) string {
	c := byte('A')
	if s[at] == c {
		c = 'B'
	}
	return s[:at] + string(c) + s[at+1:]
}

func TestSwap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	team := w.team(Content{Tenants: []string{"tax"}, Lines: []Line{dayLine("first", "qian", "sun")}})
	as := func(name string) ticketing.Actor { return ticketing.Actor{Name: name} } // whoever stands in it sees his team
	day := func(n int) Period {
		from := shanghai(t, "2026-11-26 00:00").AddDate(0, 0, n)
		return Period{Line: "first", From: from, To: from.AddDate(0, 0, 1)}
	}
	on := func(n int, want string) {
		t.Helper()
		r := w.duty.Roster()
		l, _ := r.Teams[0].Line("first")
		if got := r.On(&r.Teams[0], l, day(n).From.Add(time.Hour)); strings.Join(got.People, " ") != want {
			t.Errorf("day %d: %v, want %s", n, got.People, want)
		}
	}
	back := day(3)
	s, err := w.duty.Propose(t.Context(), as("qian"), Swap{Team: team.ID, Taker: "sun", Give: day(2), Back: &back})
	if err != nil {
		t.Fatal(err)
	}
	on(2, "qian")
	act := func(who, action string, want error) {
		t.Helper()
		if _, err := w.duty.Swap(t.Context(), as(who), s.ID, action); !errors.Is(err, want) {
			t.Errorf("%s by %s: %v, want %v", action, who, err, want)
		}
	}
	act("qian", "accept", ErrConflict)
	act("li", "accept", ErrNotFound)
	act("sun", "undo", ErrConflict)
	act("sun", "explode", ErrInvalid)
	act("sun", "accept", nil)
	on(2, "sun")
	on(3, "qian")
	act("sun", "decline", ErrConflict)
	act("sun", "undo", nil)
	on(2, "sun") // not before both consent
	act("sun", "undo", ErrConflict)
	act("qian", "keep", nil)
	act("qian", "undo", nil)
	act("sun", "undo", nil)
	on(2, "qian")
	on(3, "sun")
	act("sun", "accept", ErrConflict)

	for name, bad := range map[string]Swap{
		"not on duty": {Team: team.ID, Taker: "sun", Give: day(1)},
		"has begun":   {Team: team.ID, Taker: "sun", Give: day(0)},
		"there":       {Team: team.ID, Taker: "sun", Give: day(2), Back: &Period{Line: "first", From: day(4).From, To: day(4).To}},
	} {
		if _, err := w.duty.Propose(t.Context(), as("qian"), bad); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]Swap{"himself": {Team: team.ID, Taker: "qian", Give: day(2)}, "nobody": {Team: team.ID, Taker: "nobody", Give: day(2)}, "line": {Team: team.ID, Taker: "sun", Give: Period{Line: "x", From: day(2).From, To: day(2).To}}} {
		if _, err := w.duty.Propose(t.Context(), as("qian"), bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.duty.Propose(t.Context(), as("li"), Swap{Team: team.ID, Taker: "sun", Give: day(2)}); !errors.Is(err, ErrNotFound) {
		t.Errorf("somebody outside the team: %v", err)
	}
}

// TestReach says who sees and who changes which teams.
func TestReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	everybody, tax, both := w.team(Content{Name: Text{ZH: "a"}, Lines: []Line{dayLine("first", "qian")}}),
		w.team(Content{Name: Text{ZH: "b"}, Tenants: []string{"tax"}, Lines: []Line{dayLine("first", "sun")}}),
		w.team(Content{Name: Text{ZH: "c"}, Tenants: []string{"tax", "edu"}, Lines: []Line{dayLine("first", "li")}})
	actor := func(name string, tenants ...string) ticketing.Actor {
		return ticketing.Actor{Name: name, Reach: reach.Tenants(tenants...)}
	}
	for _, f := range []struct {
		by           ticketing.Actor
		sees, change []Team
	}{
		{all, []Team{everybody, tax, both}, []Team{everybody, tax, both}},
		{actor("x", "tax"), []Team{tax, both}, []Team{tax}},
		{actor("x", "edu", "tax"), []Team{tax, both}, []Team{tax, both}},
		{actor("x"), nil, nil},
		{actor("qian"), []Team{everybody}, nil},
	} {
		var seen []string
		for _, team := range w.duty.Teams(f.by) {
			seen = append(seen, team.ID)
		}
		for _, team := range []Team{everybody, tax, both} {
			is := func(list []Team) bool {
				return slices.ContainsFunc(list, func(o Team) bool { return o.ID == team.ID })
			}
			if got := slices.Contains(seen, team.ID); got != is(f.sees) {
				t.Errorf("%s %v sees %s: %v", f.by.Name, f.by.Reach, team.Name.ZH, got)
			}
			_, err := w.duty.Put(t.Context(), f.by, team.ID, 0, team.Content)
			if (err == nil) != is(f.change) {
				t.Errorf("%s changes %s: %v", f.by.Name, team.Name.ZH, err)
			}
			if err != nil && is(f.sees) == errors.Is(err, ErrNotFound) {
				t.Errorf("%s changes %s, which it sees: %v", f.by.Name, team.Name.ZH, err)
			}
		}
	}
	if _, err := w.duty.Put(t.Context(), actor("x", "tax"), "", 0, Content{Name: Text{ZH: "d"}, Lines: []Line{dayLine("first", "x")}}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a team for everybody, made by one who sees a tenant: %v", err)
	}
	if _, err := w.duty.Put(t.Context(), all, tax.ID, 99, tax.Content); !errors.Is(err, ErrConflict) {
		t.Errorf("a revision that is not the one in force: %v", err)
	}
	if _, err := w.duty.Put(t.Context(), all, "", 0, Content{Name: Text{ZH: "d"}, Lines: []Line{dayLine("first", "nobody")}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a user who does not exist: %v", err)
	}
	o, err := w.duty.AddOverride(t.Context(), ticketing.Actor{Name: "sun"}, Override{Team: tax.ID, Line: "first", From: w.now(), To: w.now().Add(time.Hour), People: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.duty.RemoveOverride(t.Context(), actor("y", "edu"), o.ID); !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrNotFound) {
		t.Errorf("a stranger takes an override back: %v", err)
	}
	if _, err := w.duty.RemoveOverride(t.Context(), all, o.ID); err != nil {
		t.Error(err)
	}
	if _, err := w.duty.Delete(t.Context(), all, tax.ID); err != nil {
		t.Error(err)
	}
	if _, err := w.duty.Team(all, tax.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a team that was deleted: %v", err)
	}
}

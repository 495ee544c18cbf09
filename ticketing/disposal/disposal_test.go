package disposal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/ticketing/workorder"
)

// tickets are alerts and incidents in memory; did is what was done to them.
type tickets struct {
	subjects map[string]workorder.Subject
	line     []workorder.Change
	raised   []Raised
	did      []string
	told     map[string]bool
	broken   error
}

func (k *tickets) Subject(_ context.Context, id string) (workorder.Subject, error) {
	s, ok := k.subjects[id]
	if !ok {
		return s, fmt.Errorf("%w: %s", workorder.ErrNotFound, id)
	}
	return s, nil
}

func (k *tickets) Happened(_ context.Context, after int64, limit int) ([]workorder.Change, error) {
	return k.line[after:min(len(k.line), int(after)+limit)], nil
}

func (k *tickets) LastHappened(context.Context) (int64, error) { return int64(len(k.line)), nil }

func (k *tickets) RaisedAfter(_ context.Context, at int64, id string, limit int) (out []Raised, err error) {
	for _, r := range k.raised {
		if r.At > at || r.At == at && r.ID > id {
			out = append(out, r)
		}
	}
	return out[:min(len(out), limit)], nil
}

func (k *tickets) Assign(_ context.Context, id, _, user string) error {
	if k.broken != nil {
		return k.broken
	}
	k.did = append(k.did, "assign "+id+" "+user)
	return nil
}

func (k *tickets) Close(_ context.Context, id, _, resolution, comment string) error {
	if sub := k.subjects[id]; sub.Status != "closed" {
		sub.Status = "closed"
		k.subjects[id] = sub
		k.did = append(k.did, "close "+id+" "+resolution+" "+comment)
	}
	return nil
}

func (k *tickets) Tell(_ context.Context, receiver string, sub workorder.Subject, kind, unique, _ string) error {
	if key := receiver + unique + sub.ID; !k.told[key] {
		k.told[key] = true
		k.did = append(k.did, "tell "+receiver+" "+kind+" "+sub.ID)
	}
	return nil
}

type fixture struct {
	*testing.T
	*Service
	tickets *tickets
	now     time.Time
	dir     string
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, now: time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC), tickets: &tickets{subjects: map[string]workorder.Subject{}, told: map[string]bool{}}, dir: t.TempDir()}
	db, err := state.Open(t.Context(), filepath.Join(f.dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f.Service, err = Open(t.Context(), db, Deps{Tickets: f.tickets, Clock: func() time.Time { return f.now },
		WorkOrder: func(_ context.Context, connection, object, rule string) error {
			f.tickets.did = append(f.tickets.did, "order "+connection+" "+object)
			return nil
		},
		Owner:  func(_ context.Context, owner string) string { return map[string]string{"周敏": "zhoumin"}[owner] },
		OnDuty: func(team string, _ time.Time) string { return map[string]string{"net": "wang"}[team] }})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) rule(c Content) Rule {
	f.Helper()
	c.Enabled = true
	r, err := f.Add(f.Context(), "li", c)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

func (f *fixture) happen(sub workorder.Subject, kind string) {
	sub.OpenedAt = f.now
	f.tickets.subjects[sub.ID] = sub
	f.tickets.line = append(f.tickets.line, workorder.Change{Seq: int64(len(f.tickets.line)) + 1, Object: sub.ID, Kind: kind})
}

func (f *fixture) expect(want ...string) {
	f.Helper()
	if err := f.Step(f.Context()); err != nil {
		f.Fatal(err)
	}
	if !slices.Equal(f.tickets.did, want) {
		f.Errorf("did\n%s, want\n%s", strings.Join(f.tickets.did, "\n"), strings.Join(want, "\n"))
	}
	f.tickets.did = nil
}

func TestRules(t *testing.T) {
	f := open(t)
	f.rule(Content{Name: "owner", On: OnIncident, Severities: []string{"critical"}, Assign: &Assign{To: ToOwner, User: "chief"}, WorkOrder: "wc1"})
	f.rule(Content{Name: "network", On: OnIncident, Matchers: []string{`system=~"net.*"`}, Assign: &Assign{To: ToOnDuty, Team: "net"}, Last: true})
	told := f.rule(Content{Name: "told", On: OnIncident, Tell: &Tell{Receivers: []string{"desk"}, Recovery: true}, Escalate: &Escalate{After: 30, User: "chief", Receivers: []string{"phone"}}})
	f.rule(Content{Name: "alerts", On: OnAlert, Tenants: []string{"tax"}, Assign: &Assign{To: ToUser, User: "li"}})

	incident := func(id, severity, system, owner string) workorder.Subject {
		return workorder.Subject{ID: id, Kind: "incident", Tenant: "tax", Status: "open", Severity: severity, System: system, Owner: owner}
	}
	f.happen(incident("INC-1", "critical", "seal", "周敏"), "opened")
	f.expect("assign INC-1 zhoumin", "order wc1 INC-1", "tell desk opened INC-1")
	f.happen(incident("INC-2", "critical", "seal", "nobody"), "opened")
	f.happen(incident("INC-3", "low", "network", ""), "opened")
	f.expect("assign INC-2 chief", "order wc1 INC-2", "tell desk opened INC-2", "assign INC-3 wang")
	f.expect()

	// Nobody acknowledges the second one: it goes on, once. The first is closed: those who were told hear of it.
	first := f.tickets.subjects["INC-1"]
	first.Status = "closed"
	f.happen(first, "closed")
	f.expect("tell desk resolved INC-1")
	f.now = f.now.Add(31 * time.Minute)
	f.expect("assign INC-2 chief", "tell phone escalation INC-2")
	f.expect()

	// An alert, once it is old enough.
	f.tickets.subjects["al-1"] = workorder.Subject{ID: "al-1", Kind: "alert", Tenant: "tax", Status: "open", OpenedAt: f.now}
	f.tickets.subjects["al-2"] = workorder.Subject{ID: "al-2", Kind: "alert", Tenant: "seal", Status: "open", OpenedAt: f.now}
	f.tickets.raised = []Raised{{"al-1", f.now.UnixMilli()}, {"al-2", f.now.UnixMilli()}}
	f.expect()
	f.now = f.now.Add(2 * time.Second)
	f.expect("assign al-1 li")

	// What cannot be done is written down, and the rest is done.
	f.tickets.broken = errors.New("it is closed")
	f.happen(incident("INC-4", "critical", "seal", "周敏"), "opened")
	f.expect("order wc1 INC-4", "tell desk opened INC-4")
	list, total, _, err := f.Records(t.Context(), RecordQuery{Reach: reach.Tenants("tax"), Failed: true})
	if err != nil || total != 1 || list[0].Object != "INC-4" || list[0].Done[0].Error != "it is closed" || list[0].Done[1].Error != "" {
		t.Errorf("%+v %v", list, err)
	}
	if _, total, _, err := f.Records(t.Context(), RecordQuery{Reach: reach.Tenants("seal")}); err != nil || total != 0 {
		t.Errorf("of another tenant: %d %v", total, err)
	}
	all, total, next, err := f.Records(t.Context(), RecordQuery{Reach: reach.All(), Rule: told.ID, Limit: 2})
	if err != nil || total != 3 || len(all) != 2 || next == "" {
		t.Errorf("%d of %d, next %q, %v", len(all), total, next, err)
	}

	// A deleted rule does nothing; a restored one sees what is new.
	if _, err := f.Delete(t.Context(), "li", told.ID); err != nil {
		t.Fatal(err)
	}
	f.happen(incident("INC-5", "low", "seal", ""), "opened")
	f.expect()
	if _, err := f.Restore(t.Context(), "li", told.ID); err != nil {
		t.Fatal(err)
	}
	f.happen(incident("INC-6", "low", "seal", ""), "opened")
	f.expect("tell desk opened INC-6")
}

func TestInForce(t *testing.T) {
	zone := time.FixedZone("CST", 8*3600)
	at := func(text string) time.Time {
		v, err := time.ParseInLocation("Mon 2006-01-02 15:04", text, zone)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	night := []Hours{{Days: []int{5}, From: "18:00", To: "08:00"}}
	for _, c := range []struct {
		times []Hours
		at    string
		want  bool
	}{
		{nil, "Thu 2026-11-26 03:00", true},
		{[]Hours{{From: "09:00", To: "18:00"}}, "Thu 2026-11-26 09:00", true},
		{[]Hours{{From: "09:00", To: "18:00"}}, "Thu 2026-11-26 18:00", false},
		{[]Hours{{Days: []int{7}, From: "00:00", To: "00:00"}}, "Sun 2026-11-29 13:00", true},
		{night, "Fri 2026-11-27 17:59", false}, {night, "Fri 2026-11-27 18:00", true}, {night, "Sat 2026-11-28 07:59", true},
		{night, "Sat 2026-11-28 08:00", false}, {night, "Fri 2026-11-27 07:00", false}, {night, "Sat 2026-11-28 19:00", false},
		{[]Hours{{Days: []int{7}, From: "22:00", To: "06:00"}}, "Mon 2026-11-30 05:00", true},
	} {
		r := Content{Times: c.times}
		if got := r.inForce(at(c.at)); got != c.want {
			t.Errorf("%v at %s: %v", c.times, c.at, got)
		}
	}
}

func TestRefused(t *testing.T) {
	f := open(t)
	ok := Content{Name: "r", On: OnIncident, Assign: &Assign{To: ToUser, User: "li"}}
	for want, change := range map[string]func(c *Content){
		"name":                   func(c *Content) { c.Name = "" },
		"on: ":                   func(c *Content) { c.On = "case" },
		"severities[0]":          func(c *Content) { c.Severities = []string{"bad"} },
		"priorities[0]":          func(c *Content) { c.Priorities = []string{"P9"} },
		"matchers":               func(c *Content) { c.Matchers = []string{`a=~"("`} },
		"zone":                   func(c *Content) { c.Zone = "Mars/Base" },
		"times[0].from":          func(c *Content) { c.Times = []Hours{{From: "25:00", To: "01:00"}} },
		"times[0].days":          func(c *Content) { c.Times = []Hours{{Days: []int{8}, From: "01:00", To: "02:00"}} },
		"does nothing":           func(c *Content) { c.Assign = nil },
		"assign.user":            func(c *Content) { c.Assign = &Assign{To: ToUser} },
		"assign.team":            func(c *Content) { c.Assign = &Assign{To: ToOnDuty} },
		"tell.receivers":         func(c *Content) { c.Tell = &Tell{} },
		"escalate.after_minutes": func(c *Content) { c.Escalate = &Escalate{User: "li"} },
	} {
		c := ok
		change(&c)
		if _, err := f.Add(t.Context(), "li", c); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	r := f.rule(ok)
	if _, err := f.Change(t.Context(), "li", r.ID, r.Revision+1, 0, ok); !errors.Is(err, ErrConflict) {
		t.Errorf("what was read is another: %v", err)
	}
	if _, err := f.Change(t.Context(), "li", "dr-none", 0, 0, ok); !errors.Is(err, ErrNotFound) {
		t.Errorf("of no rule: %v", err)
	}
}

// What is known to be a false alarm is closed, the rest is not, and a rule cannot
// close everything.
func TestClose(t *testing.T) {
	f := open(t)
	dismiss := &Closing{Resolution: "false_positive", Comment: "经批准的扫描"}
	f.rule(Content{Name: "误报", On: OnAlert, Matchers: []string{"attacker=10.1.1.9", `risk="NAI"`}, Close: dismiss})
	for id, attacker := range map[string]string{"a1": "10.1.1.9", "a2": "10.1.1.8"} {
		f.tickets.subjects[id] = workorder.Subject{ID: id, Kind: "alert", Tenant: "tax", Status: "open", OpenedAt: f.now, Labels: map[string]string{"attacker": attacker, "risk": "NAI"}}
		f.tickets.raised = append(f.tickets.raised, Raised{ID: id, At: f.now.UnixMilli() + 1})
	}
	f.now = f.now.Add(time.Minute)
	for range 2 {
		if err := f.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"close a1 false_positive 误报：经批准的扫描"}; !slices.Equal(f.tickets.did, want) {
		t.Errorf("did %v, want %v", f.tickets.did, want)
	}
	for want, c := range map[string]Content{
		"a rule that closes everything": {Name: "x", On: OnAlert, Close: dismiss},
		"close.resolution":              {Name: "x", On: OnAlert, Severities: []string{"low"}, Close: &Closing{Resolution: "gone", Comment: "x"}},
		"close.comment":                 {Name: "x", On: OnAlert, Severities: []string{"low"}, Close: &Closing{Resolution: "benign", Comment: " "}},
		"escalate":                      {Name: "x", On: OnAlert, Severities: []string{"low"}, Close: dismiss, Escalate: &Escalate{After: 1, User: "li"}},
	} {
		if _, err := f.Add(t.Context(), "li", c); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

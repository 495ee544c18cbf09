package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// lake answers each question with the rows of the field that it counts by.
type lake struct {
	rows  map[string][]map[string]string
	asked []search.Request
	err   error
}

func (l *lake) Query(_ context.Context, req search.Request, emit func([]byte) error) error {
	l.asked = append(l.asked, req)
	if l.err != nil {
		return l.err
	}
	for field, rows := range l.rows {
		if !strings.Contains(req.Query, `"icewatch.zone", "`+field+`")`) {
			continue
		}
		for _, r := range rows {
			text, _ := json.Marshal(r)
			if err := emit(text); err != nil {
				return err
			}
		}
	}
	return nil
}

var start = time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)

func sighted(field, value, tenant, events string, more ...string) map[string]string {
	r := map[string]string{field: value, "icewatch.tenant": tenant, "events": events, "first": start.Format(time.RFC3339Nano), "last": start.Add(30 * time.Second).Format(time.RFC3339Nano), "sources": `["fw"]`}
	for i := 0; i+1 < len(more); i += 2 {
		r[more[i]] = more[i+1]
	}
	return r
}

func texts(list []Candidate) string {
	var out []string
	for _, c := range list {
		out = append(out, c.Value)
	}
	return strings.Join(out, " ")
}

// TestInbox sees unknown addresses and names, approves some, sets others aside
// for a while, and lets a rule take the next.
func TestInbox(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, s *cmdb.Service) {
		ctx := t.Context()
		cmdbtest.Import(t, s, `{"class":"host","name":"known","tenant":"a","zone":"office","addresses":["10.0.0.9"],"hostnames":["web-9"]}`)
		now := start.Add(5 * time.Minute)
		policy := DefaultPolicy
		policy.Ranges = []string{"203.0.113.0/24"}
		l := &lake{rows: map[string][]map[string]string{
			"source.ip": {
				sighted("source.ip", "10.0.0.1", "a", "7", "icewatch.zone", "office"),
				sighted("source.ip", "10.0.0.9", "a", "7", "icewatch.zone", "office"), // known there
				sighted("source.ip", "10.0.0.9", "a", "7"),                            // and not in the default zone
				sighted("source.ip", "198.51.100.1", "a", "7"),                        // not ours
				sighted("source.ip", "203.0.113.5", "b", "7"),
				sighted("source.ip", "no address", "b", "7"),
			},
			"destination.ip": {sighted("destination.ip", "::ffff:10.0.0.1", "a", "3", "icewatch.zone", "office", "ports", `["443","22","70000"]`, "sources", `["ids"]`)},
			"host.name":      {sighted("host.name", "WEB-9", "a", "2"), sighted("host.name", "New-1.", "a", "2", "other", "10.0.0.77"), sighted("host.name", "10.0.0.1", "a", "2")},
		}}
		b, err := Open(ctx, s.Database(), Deps{Lake: l, Items: s, Policy: func() Policy { return policy }, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		look := func() {
			t.Helper()
			if err := b.Look(ctx); err != nil {
				t.Fatal(err)
			}
		}
		list := func(r reach.Reach, state string) []Candidate {
			t.Helper()
			out, total, err := b.List(ctx, r, Filter{State: state, Limit: 100})
			if err != nil || total != len(out) {
				t.Fatal(total, err)
			}
			return out
		}
		look()
		all := list(reach.All(), "")
		if got := texts(all); got != "new-1 203.0.113.5 10.0.0.9 10.0.0.1" {
			t.Fatalf("candidates: %s", got)
		}
		c := all[3]
		if c.Events != 7 || c.Zone != "office" || len(c.Sources) != 2 || len(c.Ports) != 2 || c.Ports[0] != (Port{22, "ssh"}) || !c.FirstSeen.Equal(start) {
			t.Errorf("%+v", c)
		}
		if got := texts(list(reach.Tenants("b"), "")); got != "203.0.113.5" {
			t.Errorf("tenant b sees %s", got)
		}
		if st := b.Status(); st.Until == nil || !st.Until.Equal(now.Add(-grace)) || st.Error != "" {
			t.Errorf("%+v", st)
		}

		// Each event is looked at once, and a look that failed is repeated.
		asked := len(l.asked)
		look()
		if len(l.asked) != asked {
			t.Error("the same minute was looked at twice")
		}
		now = now.Add(time.Minute)
		l.err = errors.New("away")
		if b.Look(ctx) == nil || b.Status().Error == "" {
			t.Error("a lake that is away is no error")
		}
		l.err = nil
		look()
		if last := l.asked[len(l.asked)-1]; !last.Start.Equal(now.Add(-grace-time.Minute)) || !last.End.Equal(now.Add(-grace)) {
			t.Errorf("looked at %s to %s", last.Start, last.End)
		}
		if got := list(reach.All(), "")[3]; got.Events != 14 {
			t.Errorf("%d events after two looks, want 14", got.Events)
		}

		// Made into an item, with the name that was seen beside it or the address.
		if _, err := b.Approve(ctx, reach.Tenants("b"), "li", []int64{c.ID}, Making{Class: "host"}); !errors.Is(err, ErrInvalid) {
			t.Errorf("approved out of reach: %v", err)
		}
		report, err := b.Approve(ctx, reach.All(), "li", []int64{c.ID}, Making{Class: "host", Labels: []string{"found"}})
		if err != nil || report.Created != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		it, err := s.Get(ctx, reach.All(), report.IDs[0])
		if err != nil || it.Name != "10.0.0.1" || it.Zone != "office" || it.Tenant != "a" || it.Labels[0] != "found" {
			t.Errorf("%+v, %v", it, err)
		}
		if report, err := b.Approve(ctx, reach.All(), "li", []int64{all[0].ID}, Making{Class: "nothing"}); err != nil || len(report.Errors) != 1 {
			t.Errorf("an item of no class: %+v, %v", report, err)
		}

		// Set aside, back by hand, and back by itself.
		ids := []int64{all[1].ID, all[2].ID}
		if err := b.Ignore(ctx, reach.All(), "li", ids, 1, "a guest"); err != nil {
			t.Fatal(err)
		}
		if got := list(reach.All(), Ignored); len(got) != 2 || got[0].Note != "a guest" || got[0].IgnoredUntil == nil {
			t.Errorf("%+v", got)
		}
		if err := b.Reopen(ctx, reach.All(), "li", ids[:1]); err != nil {
			t.Error(err)
		}
		if got := texts(list(reach.All(), Waiting)); got != "new-1 203.0.113.5" {
			t.Errorf("waiting: %s", got)
		}
		now = now.Add(25 * time.Hour)
		if got := texts(list(reach.All(), Waiting)); got != "new-1 203.0.113.5 10.0.0.9" {
			t.Errorf("waiting after a day: %s", got)
		}

		// A rule previews what it takes, and takes it at the next look.
		rule := Rule{Name: "guests", Range: "203.0.113.0/24", MinEvents: 5, Making: Making{Class: "host"}}
		if got, n, err := b.Preview(ctx, reach.All(), rule, 10); err != nil || n != 1 || texts(got) != "203.0.113.5" {
			t.Errorf("%+v, %d, %v", got, n, err)
		}
		policy.Rules = []Rule{rule}
		look()
		if got := list(reach.All(), Approved); len(got) != 2 || got[0].Value != "203.0.113.5" || got[0].DecidedBy != "inbox rule guests" || got[0].ItemID == "" {
			t.Errorf("%+v", got)
		}
		// What was made and deleted again waits once it is seen again.
		if err := s.Delete(ctx, reach.All(), "li", it.ID); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		for _, r := range l.rows["source.ip"] {
			r["last"] = now.Format(time.RFC3339Nano)
		}
		look()
		if got := texts(list(reach.All(), Waiting)); got != "new-1 10.0.0.9 10.0.0.1" {
			t.Errorf("waiting in the end: %s", got)
		}
	})
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	if err := DefaultPolicy.Check(); err != nil {
		t.Error(err)
	}
	class := Making{Class: "host"}
	for text, p := range map[string]Policy{
		"did you mean 10.0.0.0/8":  {Ranges: []string{"10.1.0.0/8"}},
		"want 0 to 3600":           {Delay: 9999},
		"no range":                 {Ranges: []string{"10.1.0.0"}},
		"approve everything":       {Rules: []Rule{{Name: "x", Making: class}}},
		"class is missing":         {Rules: []Rule{{Name: "x", Kind: Address}}},
		"name is missing":          {Rules: []Rule{{Kind: Address, Making: class}}},
		"there twice":              {Rules: []Rule{{Name: "x", Kind: Address, Making: class}, {Name: "x", Kind: Address, Making: class}}},
		"hostname":                 {Rules: []Rule{{Name: "x", Hostname: "[", Making: class}}},
		"want address or hostname": {Rules: []Rule{{Name: "x", Kind: "other", Making: class}}},
	} {
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
}

func TestRule(t *testing.T) {
	t.Parallel()
	address := &Candidate{Kind: Address, Value: "10.1.2.3", Other: "Web-7", Zone: "office", Tenant: "a", Events: 5}
	name := &Candidate{Kind: Hostname, Value: "web-7", Other: "10.1.2.3", Zone: "default", Tenant: "b", Events: 50}
	for _, c := range []struct {
		rule           Rule
		address, named bool
	}{
		{Rule{Kind: Address}, true, false},
		{Rule{Range: "10.1.0.0/16"}, true, true},
		{Rule{Range: "10.2.0.0/16"}, false, false},
		{Rule{Hostname: "web-*"}, true, true},
		{Rule{Hostname: "db-?"}, false, false},
		{Rule{Zone: "office"}, true, false},
		{Rule{Tenants: []string{"b", "c"}}, false, true},
		{Rule{Hostname: "web-*", MinEvents: 10}, false, true},
	} {
		if a, n := c.rule.Match(address), c.rule.Match(name); a != c.address || n != c.named {
			t.Errorf("%+v: %v %v, want %v %v", c.rule, a, n, c.address, c.named)
		}
	}
}

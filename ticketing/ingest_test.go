package ticketing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/enrich"
	"icewatch/soc/reach"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.7", time.Minute, map[string]string{"user.name": "second"}))
	late := fire(ruleGuess, sealWeb, "203.0.113.7", 0, map[string]string{"user.name": "first"})
	late.Rule.Level, late.Priority, late.Reasons = detections.High, "P2", []detections.Text{{EN: "worse"}}
	ingest(t, s, late)
	list := allAlerts(t, s)
	if len(list) != 1 {
		t.Fatalf("%d alerts, want 1", len(list))
	}
	a := list[0]
	if a.Count != 6 || a.Occurrences != 2 {
		t.Errorf("count %d, occurrences %d, want 6 and 2", a.Count, a.Occurrences)
	}
	if !a.FirstSeen.Equal(start.Add(-2*time.Second)) || !a.LastSeen.Equal(start.Add(time.Minute)) {
		t.Errorf("seen %s to %s", a.FirstSeen, a.LastSeen)
	}
	if a.Severity != detections.High || a.Priority != "P2" || a.Reasons[0].EN != "worse" {
		t.Errorf("severity %s, priority %s, reasons %v: want the gravest", a.Severity, a.Priority, a.Reasons)
	}
	if a.User != "second" || a.Fields["user.name"] != "second" {
		t.Errorf("user %q: want that of the latest event", a.User)
	}
	if len(a.EventIDs) != 4 || a.CI.ID != sealWeb.id || a.System.Name != sealWeb.system || a.SourceIP != "203.0.113.7" {
		t.Errorf("alert %+v", a)
	}
	d, err := s.Alert(t.Context(), reach.All(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Occurrences) != 2 || d.Occurrences[0].Time.Before(d.Occurrences[1].Time.Time) || d.Timeline[0].Kind != "opened" {
		t.Errorf("detail %+v", d)
	}
}

// TestBounds: an alert that fires for ever stays small, and keeps the latest.
func TestBounds(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	for i := range 30 {
		o := fire(ruleGuess, sealWeb, "203.0.113.7", time.Duration(i)*time.Second, map[string]string{"event.original": strings.Repeat("长", 10_000)})
		o.EventIDs = nil
		for k := range 10 {
			o.EventIDs = append(o.EventIDs, fmt.Sprintf("e1-%d-%d", i, k))
		}
		ingest(t, s, o)
	}
	a := allAlerts(t, s)[0]
	if len(a.EventIDs) != maxEvents || a.EventIDs[0] != "e1-20-0" || a.EventIDs[99] != "e1-29-9" {
		t.Errorf("%d events from %s to %s", len(a.EventIDs), a.EventIDs[0], a.EventIDs[len(a.EventIDs)-1])
	}
	if v := a.Fields["event.original"]; len(v) > maxFieldBytes+3 || !strings.HasSuffix(v, "长…") {
		t.Errorf("a long field has %d bytes and ends in %q", len(v), v[len(v)-6:])
	}
	d, _ := s.Alert(t.Context(), reach.All(), a.ID)
	if len(d.Occurrences) != maxRecent || d.OccurrencesTotal != 30 {
		t.Errorf("%d occurrences of %d", len(d.Occurrences), d.OccurrencesTotal)
	}
}

// TestAfterClosing: a key that fires again after closing makes one new alert,
// and a replay of the old occurrences makes none.
func TestAfterClosing(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	old := fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil)
	ingest(t, s, old)
	first := allAlerts(t, s)[0].ID
	by := Actor{Name: "li.na", Reach: reach.All()}
	if _, err := s.CloseAlert(t.Context(), by, first, Close{Resolution: "benign"}); err != nil {
		t.Fatal(err)
	}
	ingest(t, s, old)
	if n := len(allAlerts(t, s)); n != 1 {
		t.Fatalf("a replay after closing made %d alerts", n)
	}
	again := fire(ruleGuess, sealWeb, "203.0.113.7", time.Hour, nil)
	for range 3 {
		ingest(t, s, again, old)
	}
	list := allAlerts(t, s)
	if len(list) != 2 {
		t.Fatalf("%d alerts, want 2", len(list))
	}
	second := list[slices.IndexFunc(list, func(a Alert) bool { return a.ID != first })]
	if second.ID != alertID("e-seal/"+again.Key, 2) || second.Count != 3 || second.Status != StatusOpen {
		t.Errorf("second alert %+v", second)
	}
	var c *Conflict
	if _, err := s.ReopenAlert(t.Context(), by, first); !errors.As(err, &c) || !strings.Contains(c.Reason, second.ID) {
		t.Errorf("reopening the first beside the second: %v", err)
	}
	if _, err := s.CloseAlert(t.Context(), by, second.ID, Close{Resolution: "benign"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReopenAlert(t.Context(), by, first); err != nil {
		t.Errorf("reopening the first: %v", err)
	}
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.7", 2*time.Hour, nil))
	if n := len(allAlerts(t, s)); n != 2 {
		t.Errorf("%d alerts after the reopened one fired again, want 2", n)
	}
}

// TestConcurrent: the same occurrences from several sides at once, while
// people work, are taken in once.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, realPolicy())
	occs := append(intrusion(sealWeb, "203.0.113.7", 0), intrusion(taxWeb, "203.0.113.9", 0)...)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range occs {
				o := occs[(i*7+n)%len(occs)]
				if err := s.Ingest(t.Context(), []detections.Occurrence{o}); err != nil {
					t.Error(err)
				}
				if n == 0 {
					list, _, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All()})
					if err != nil {
						t.Error(err)
					}
					for _, a := range list {
						_, _ = s.CommentAlert(t.Context(), Actor{Name: "li.na", Reach: reach.All()}, a.ID, "同时")
					}
				}
			}
		})
	}
	wg.Wait()
	events := 0
	for _, a := range allAlerts(t, s) {
		events += a.Count
	}
	if events != 3*len(occs) {
		t.Errorf("%d events, want %d", events, 3*len(occs))
	}
	if n := len(allIncidents(t, s)); n != 2 {
		t.Errorf("%d incidents, want 2", n)
	}
}

// TestPolicyFails: a policy that fails loses no alert, and its incident opens
// when it works again.
func TestPolicyFails(t *testing.T) {
	t.Parallel()
	broken := true
	s, c := newService(t, policyFunc(func(in policy.IncidentInput) (policy.Decision, error) {
		if broken {
			return policy.Decision{}, errors.New("boom")
		}
		return simplePolicy(in)
	}))
	critical := ruleGuess
	critical.level = detections.Critical
	ingest(t, s, fire(critical, sealWeb, "203.0.113.7", 0, nil))
	if len(allAlerts(t, s)) != 1 || len(allIncidents(t, s)) != 0 || s.Stats().PolicyErrors != 1 {
		t.Fatal("the alert was not kept, or an incident opened on a failed policy")
	}
	broken = false
	c.forward(time.Minute)
	if err := s.judgeAgain(t.Context(), s.now()); err != nil {
		t.Fatal(err)
	}
	if len(allIncidents(t, s)) != 1 {
		t.Fatal("the incident did not open once the policy worked")
	}
	if err := s.judgeAgain(t.Context(), s.now()); err != nil || len(allIncidents(t, s)) != 1 {
		t.Fatalf("judged twice: %v", err)
	}
}

func TestIncompleteOccurrence(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	o := detections.Occurrence{Rule: detections.RuleRef{ID: "bare"}, Tenant: "tax", Fields: map[string]string{"message": "x\x00y\xff"}}
	ingest(t, s, o, o)
	ingest(t, s, o)
	list := allAlerts(t, s)
	if len(list) != 1 || list[0].Count != 1 || list[0].Title.ZH != "bare" || list[0].Severity != detections.Informational || list[0].Priority != "P4" {
		t.Errorf("alerts %+v", list)
	}
	if err := s.Ingest(t.Context(), nil); err != nil {
		t.Error(err)
	}
	old := fire(ruleScan, sealWeb, "203.0.113.7", 0, nil)
	old.Time, old.From = time.Unix(-1000, 0), time.Unix(-2000, 0)
	ingest(t, s, old)
	if n := len(allAlerts(t, s)); n != 2 {
		t.Errorf("%d alerts", n)
	}
}

type itemMap map[string]enrich.Item

func (m itemMap) Item(_ context.Context, id string) (enrich.Item, bool, error) {
	i, ok := m[id]
	return i, ok, nil
}

func TestSubject(t *testing.T) {
	t.Parallel()
	web := enrich.Item{ID: "ci-web", Name: "web", Class: "host", Tenant: "e-seal", Criticality: 5, Owner: "周敏", SystemID: "sys", SystemName: "印章"}
	items := itemMap{"ci-web": web, "ci-tax": {ID: "ci-tax", Name: "tax", Tenant: "tax"}}
	s, _ := newService(t, nil)
	s.items = items
	f := func(name string, fields map[string]string, item, actor string) {
		t.Helper()
		o := detections.Occurrence{Tenant: "e-seal", Fields: fields}
		all, err := s.subjects(t.Context(), []*detections.Occurrence{&o})
		if err != nil {
			t.Fatal(err)
		}
		if got := all[&o]; got.item != item || got.actor != actor {
			t.Errorf("%s: item %q, actor %q; want %q, %q", name, got.item, got.actor, item, actor)
		}
	}
	f("nothing known", map[string]string{}, "", "")
	f("on the host itself", map[string]string{"icewatch.ci.id": "ci-web", "source.ip": "203.0.113.7"}, "ci-web", "203.0.113.7")
	f("mapped address", map[string]string{"icewatch.ci.id": "ci-web", "source.ip": "::ffff:203.0.113.7"}, "ci-web", "203.0.113.7")
	f("IPv6", map[string]string{"icewatch.ci.id": "ci-web", "source.ip": "2001:db8::1"}, "ci-web", "2001:db8::1")
	f("a firewall tells of an attack", map[string]string{"icewatch.ci.id": "ci-fw", "source.ip": "203.0.113.7", "destination.ip": "10.0.0.1", "icewatch.destination.ci.id": "ci-web"}, "ci-web", "203.0.113.7")
	f("a firewall tells of another tenant's item", map[string]string{"icewatch.ci.id": "ci-fw", "source.ip": "203.0.113.7", "destination.ip": "10.0.0.1", "icewatch.destination.ci.id": "ci-tax"}, "ci-fw", "203.0.113.7")
	f("a firewall tells of an outbound connection", map[string]string{"icewatch.ci.id": "ci-fw", "source.ip": "10.0.0.1", "icewatch.source.internal": "true", "icewatch.source.ci.id": "ci-web", "destination.ip": "198.51.100.1"}, "ci-web", "")
	f("the host connects out itself", map[string]string{"icewatch.ci.id": "ci-web", "source.ip": "10.0.0.1", "icewatch.source.ci.id": "ci-web", "icewatch.source.internal": "true", "destination.ip": "10.0.0.2", "icewatch.destination.ci.id": "ci-db"}, "ci-web", "")
	f("an internal client", map[string]string{"icewatch.ci.id": "ci-web", "source.ip": "10.0.0.9", "icewatch.source.internal": "true"}, "ci-web", "")
	f("a labelled partner scanner outside", map[string]string{"icewatch.ci.id": "ci-web", "source.ip": "203.0.113.7", "icewatch.source.ci.id": "p", "icewatch.source.ci.labels": `["x","approved-scanner"]`}, "ci-web", "")
	f("an unknown private address", map[string]string{"icewatch.ci.id": "ci-web", "source.ip": "10.0.0.9", "icewatch.zone": "dmz"}, "ci-web", "dmz|10.0.0.9")
	f("the host's own address", map[string]string{"host.name": "h1", "host.ip": "203.0.113.1,10.0.0.1", "source.ip": "203.0.113.1"}, "host:/h1", "")
	f("a host the CMDB does not know", map[string]string{"host.name": "Web-X", "icewatch.zone": "dmz", "source.ip": "203.0.113.7"}, "host:dmz/web-x", "203.0.113.7")
	f("no address", map[string]string{"icewatch.ci.id": "ci-web", "source.ip": "not-an-address"}, "ci-web", "")
	f("loopback", map[string]string{"icewatch.ci.id": "ci-web", "source.ip": "127.0.0.1"}, "ci-web", "")
}

// TestUnknownHost: without a CMDB an intrusion is one incident all the same.
func TestUnknownHost(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, realPolicy())
	occs := intrusion(sealWeb, "203.0.113.7", 0)
	for i := range occs {
		for k := range occs[i].Fields {
			if strings.HasPrefix(k, "icewatch.") {
				delete(occs[i].Fields, k)
			}
		}
		occs[i].Group = slices.DeleteFunc(occs[i].Group, func(p detections.Pair) bool { return p.Field == "icewatch.ci.id" })
		ingest(t, s, occs[i])
	}
	list := allIncidents(t, s)
	if len(list) != 1 || list[0].CI == nil || list[0].CI.Name != sealWeb.name || list[0].AlertCount != 5 {
		t.Errorf("incidents %+v", list)
	}
}

func TestCompareEventIDs(t *testing.T) {
	t.Parallel()
	ordered := []string{"a-9-0", "a-10-0", "a-10-2", "a-10-10", "a-100-0", "b-1-0"}
	for i := range ordered {
		for j := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := compareEventIDs(ordered[i], ordered[j]); got != want {
				t.Errorf("%s and %s: %d, want %d", ordered[i], ordered[j], got, want)
			}
		}
	}
}

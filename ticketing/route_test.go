package ticketing

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/egress"
	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/ticketing/channel"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/routing"
	"icewatch/ticketing/webhook"
)

// routedService is a service whose contact points "a", "b" and "c" are hooks,
// and whose city tree is given.
func routedService(t testing.TB, db *state.DB, c *clock, tree routing.Tree, policy Policy) (*Service, *routing.Store, map[string]*hook) {
	t.Helper()
	guard, err := egress.New(egress.Options{Allow: []string{"127.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	routes, err := routing.Open(t.Context(), db, routing.Deps{Clock: c.now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s := openService(t, db, c, Deps{Policy: policy, Routes: routes, Egress: guard, Config: Config{ExternalURL: "https://soc.example/"}})
	hooks := map[string]*hook{}
	for _, name := range []string{"a", "b", "c"} {
		hooks[name] = newHook(t, nil)
		settings, _ := json.Marshal(channel.Webhook{URL: hooks[name].URL})
		if _, err := s.Outbox().AddContact(t.Context(), "test", outbox.Contact{Name: name, Kind: "webhook", Settings: settings, SendResolved: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := routes.Save(t.Context(), "", "test", "", 0, tree); err != nil {
		t.Fatal(err)
	}
	return s, routes, hooks
}

// step moves the clock and does what is due then.
func (c *clock) step(t testing.TB, s *Service, d time.Duration) {
	t.Helper()
	c.forward(d)
	for _, f := range []func() error{
		func() error { return s.tellDue(t.Context(), s.now()) },
		func() error { return s.breaches(t.Context(), s.now()) },
		func() error { return s.dispatch(t.Context(), s.now()) },
	} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
}

// sent lists what contact points were told, in order: kind and how many alerts
// go on and are over.
func sent(t testing.TB, s *Service, contact string) []string {
	t.Helper()
	list, _, _, err := s.Outbox().Deliveries(t.Context(), outbox.DeliveryQuery{Reach: reach.All(), Receiver: contact, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	out := []string{}
	for _, d := range list {
		whole, _, err := s.Outbox().Delivery(t.Context(), reach.All(), d.Delivery)
		if err != nil {
			t.Fatal(err)
		}
		var p webhook.Payload
		if err := json.Unmarshal([]byte(whole.Body), &p); err != nil {
			t.Fatal(err)
		}
		firing := 0
		for _, a := range p.Alerts {
			if a.Status == webhook.Firing {
				firing++
			}
		}
		out = append(out, fmt.Sprintf("%s %d/%d", d.Kind, firing, len(p.Alerts)-firing))
	}
	return out
}

func expectSent(t testing.TB, s *Service, contact string, want ...string) {
	t.Helper()
	if got := sent(t, s, contact); !slices.Equal(got, want) {
		t.Errorf("%s was told %q, want %q", contact, got, want)
	}
}

// TestRoutes: an incident goes by the tree: group_wait, group_interval,
// repeat_interval, its end, and nobody beside the route.
func TestRoutes(t *testing.T) {
	t.Parallel()
	c := newClock()
	tree := routing.Tree{Root: routing.Route{GroupWait: "30s", GroupInterval: "10m", RepeatInterval: "4h", Routes: []routing.Route{
		{Name: "seal", Matchers: []string{`tenant="e-seal"`}, Receivers: []string{"a"}},
		{Name: "tax", Matchers: []string{`tenant="tax"`}, Receivers: []string{"b"}},
	}}}
	s, routes, _ := routedService(t, openDB(t), c, tree, nil)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	i := allIncidents(t, s)[0]
	c.step(t, s, 10*time.Second)
	expectSent(t, s, "a")
	c.step(t, s, 20*time.Second)
	expectSent(t, s, "a", "opened 1/0")
	// Two more alerts join: one notification, once the interval has passed.
	ingest(t, s, fire(ruleSudo, sealWeb, "", time.Minute, nil), fire(ruleOutbound, sealWeb, "", time.Minute, nil))
	c.step(t, s, 5*time.Minute)
	expectSent(t, s, "a", "opened 1/0")
	c.step(t, s, 5*time.Minute)
	expectSent(t, s, "a", "opened 1/0", "changed 3/0")
	// The response is late: that does not wait.
	c.step(t, s, 6*time.Minute)
	expectSent(t, s, "a", "opened 1/0", "changed 3/0", "sla 3/0")
	if _, err := s.AcknowledgeIncident(t.Context(), Actor{Name: "li", Reach: reach.All()}, i.ID, ""); err != nil {
		t.Fatal(err)
	}
	c.step(t, s, 3*time.Hour)
	c.step(t, s, time.Hour)
	got := sent(t, s, "a")
	if !slices.Contains(got, "repeat 3/0") && !slices.Contains(got, "sla 3/0") {
		t.Errorf("nothing is repeated: %q", got)
	}
	before := len(got)
	if _, err := s.CloseIncident(t.Context(), Actor{Name: "li", Reach: reach.All()}, i.ID, Close{Resolution: "true_positive"}); err != nil {
		t.Fatal(err)
	}
	c.step(t, s, 10*time.Minute)
	c.step(t, s, 10*time.Minute)
	if got = sent(t, s, "a"); len(got) != before+1 || got[before] != "resolved 0/3" {
		t.Errorf("the end: %q", got[before:])
	}
	expectSent(t, s, "b")
	expectSent(t, s, "c")
	if n, err := s.db.NewSelect().Table("routing_groups").Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d groups stay, %v", n, err)
	}
	// A dry run says the same.
	set, _, err := s.RoutingLabels(t.Context(), reach.All(), allAlerts(t, s)[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := routes.Where(t.Context(), set, c.now(), routing.ScopesOf(set["tenant"]), nil)
	if err != nil || len(hits) != 1 || strings.Join(hits[0].Path, "/") != "root/seal" || hits[0].Receivers[0] != "a" || hits[0].GroupLabels["incident"] != i.ID {
		t.Errorf("where: %+v, %v", hits, err)
	}
	if _, _, err := s.RoutingLabels(t.Context(), reach.Tenants("tax"), allAlerts(t, s)[0].ID); err == nil {
		t.Error("the labels of another tenant's alert are shown")
	}
}

// TestDirect: a direct route tells of alerts that make no incident, together by
// what it groups them by, never two tenants in one notification.
func TestDirect(t *testing.T) {
	t.Parallel()
	c, yes := newClock(), true
	tree := routing.Tree{Root: routing.Route{Routes: []routing.Route{
		{Name: "direct", Direct: &yes, Matchers: []string{`severity=~"medium|low"`}, Receivers: []string{"a"}, GroupBy: []string{"alertname"}, GroupWait: "10s", GroupInterval: "1m", Continue: true},
		{Name: "incidents", Receivers: []string{"b"}, GroupWait: "0s"},
	}}}
	s, _, _ := routedService(t, openDB(t), c, tree, nil)
	ingest(t, s, fire(ruleProbe, sealWeb, "203.0.113.7", 0, nil), fire(ruleProbe, sealWeb, "203.0.113.8", 0, nil), fire(ruleProbe, taxWeb, "203.0.113.9", 0, nil))
	c.step(t, s, 10*time.Second)
	if got := sent(t, s, "a"); len(got) != 2 || !slices.Contains(got, "opened 2/0") || !slices.Contains(got, "opened 1/0") {
		t.Errorf("told %q", got)
	}
	// It fires again: nothing new.
	ingest(t, s, fire(ruleProbe, sealWeb, "203.0.113.7", time.Second, nil))
	c.step(t, s, 10*time.Minute)
	if got := sent(t, s, "a"); len(got) != 2 {
		t.Errorf("told %q", got)
	}
	for _, a := range allAlerts(t, s) {
		if a.SourceIP == "203.0.113.7" {
			if _, err := s.CloseAlert(t.Context(), Actor{Name: "li", Reach: reach.All()}, a.ID, Close{Resolution: "benign"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.step(t, s, time.Minute)
	if got := sent(t, s, "a"); len(got) != 3 || got[2] != "changed 1/1" {
		t.Errorf("told %q", got)
	}
	expectSent(t, s, "b")
	// What one tenant's people see of it is their own.
	list, _, _, err := s.Outbox().Deliveries(t.Context(), outbox.DeliveryQuery{Reach: reach.Tenants("tax"), Limit: 10})
	if err != nil || len(list) != 1 || list[0].Tenant != "tax" || list[0].Route != "root / direct" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestTenantsTree: a tenant's own tree sees its alerts alone.
func TestTenantsTree(t *testing.T) {
	t.Parallel()
	c := newClock()
	s, routes, _ := routedService(t, openDB(t), c, routing.Tree{Root: routing.Route{Receivers: []string{"a"}, GroupWait: "0s"}}, nil)
	if _, err := routes.Save(t.Context(), "tax", "test", "", 0, routing.Tree{Root: routing.Route{Receivers: []string{"b"}, GroupWait: "0s"}}); err != nil {
		t.Fatal(err)
	}
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil), fire(criticalRule("P1"), taxWeb, "203.0.113.7", 0, nil))
	c.step(t, s, time.Second)
	expectSent(t, s, "a", "opened 1/0", "opened 1/0")
	expectSent(t, s, "b", "opened 1/0")
}

// TestEscalateRoute: who has not acknowledged in time has others told, once.
func TestEscalateRoute(t *testing.T) {
	t.Parallel()
	for _, acknowledged := range []bool{false, true} {
		c := newClock()
		s, _, _ := routedService(t, openDB(t), c, routing.Tree{Root: routing.Route{Receivers: []string{"a"}, GroupWait: "0s", EscalateAfter: "5m", EscalateTo: []string{"c"}}}, nil)
		ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
		c.step(t, s, time.Second)
		if acknowledged {
			if _, err := s.AcknowledgeIncident(t.Context(), Actor{Name: "li", Reach: reach.All()}, allIncidents(t, s)[0].ID, ""); err != nil {
				t.Fatal(err)
			}
		}
		c.step(t, s, 4*time.Minute)
		expectSent(t, s, "c")
		c.step(t, s, time.Minute)
		c.step(t, s, time.Minute)
		if want := map[bool][]string{false: {"escalation 1/0"}, true: {}}[acknowledged]; !slices.Equal(sent(t, s, "c"), want) {
			t.Errorf("acknowledged %v: %q", acknowledged, sent(t, s, "c"))
		}
	}
}

// TestHeldByTime: what happens in a muted interval is told of after it, unless
// it is over by then.
func TestHeldByTime(t *testing.T) {
	t.Parallel()
	c := newClock()
	from, to := c.now().UTC().Add(-time.Minute).Format("15:04"), c.now().UTC().Add(20*time.Minute).Format("15:04")
	tree := routing.Tree{Intervals: []routing.Interval{{Name: "deployments", Times: []routing.Span{{Times: []routing.Clock{{Start: from, End: to}}, Location: "UTC"}}}},
		Root: routing.Route{Routes: []routing.Route{{Name: "quiet", MuteTimes: []string{"deployments"}, Receivers: []string{"a"}, GroupWait: "0s"}}}}
	s, _, _ := routedService(t, openDB(t), c, tree, nil)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil), fire(criticalRule("P1"), taxWeb, "203.0.113.7", 0, nil))
	c.step(t, s, time.Minute)
	expectSent(t, s, "a")
	for _, i := range allIncidents(t, s) {
		if i.Tenant == "tax" {
			if _, err := s.CloseIncident(t.Context(), Actor{Name: "li", Reach: reach.All()}, i.ID, Close{Resolution: "benign"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 40 {
		c.step(t, s, time.Minute)
	}
	if got := sent(t, s, "a"); len(got) == 0 || !strings.HasSuffix(got[0], " 1/0") {
		t.Fatalf("told %q", got)
	}
	for _, d := range sentTenants(t, s, "a") {
		if d != "e-seal" {
			t.Errorf("told of %s, which was over", d)
		}
	}
}

func sentTenants(t testing.TB, s *Service, contact string) (out []string) {
	list, _, _, err := s.Outbox().Deliveries(t.Context(), outbox.DeliveryQuery{Reach: reach.All(), Receiver: contact, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		out = append(out, d.Tenant)
	}
	return out
}

// TestRoutesOverCrashes: whatever moment the suite breaks off at, what a group
// has to tell is told once. Each step is broken off before its commit, then
// done again by a service that has only SQL.
func TestRoutesOverCrashes(t *testing.T) {
	t.Parallel()
	c, db := newClock(), openDB(t)
	tree := routing.Tree{Root: routing.Route{Receivers: []string{"a"}, GroupWait: "30s", GroupInterval: "1m", EscalateAfter: "2m", EscalateTo: []string{"c"}}}
	s, _, _ := routedService(t, db, c, tree, nil)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	again := func() {
		t.Helper()
		routes, err := routing.Open(t.Context(), db, routing.Deps{Clock: c.now})
		if err != nil {
			t.Fatal(err)
		}
		s = openService(t, db, c, Deps{Routes: routes, Config: Config{ExternalURL: "https://soc.example/"}})
	}
	for n := range 20 {
		again()
		c.step(t, s, 15*time.Second)
		if n == 7 {
			ingest(t, s, fire(ruleSudo, sealWeb, "", time.Minute, nil))
		}
	}
	got := sent(t, s, "a")
	if len(got) < 2 || got[0] != "opened 1/0" || strings.Count(strings.Join(got, ","), "opened") != 1 {
		t.Errorf("told %q", got)
	}
	if got := sent(t, s, "c"); len(got) != 1 {
		t.Errorf("escalated %q", got)
	}
}

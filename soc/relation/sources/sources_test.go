package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/detections"
	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/flows"
	"icewatch/soc/flows/ledger"
	"icewatch/soc/intake"
	"icewatch/soc/lake"
	"icewatch/soc/pipeline"
	"icewatch/soc/reach"
	"icewatch/soc/relation"
	"icewatch/soc/retention"
	"icewatch/soc/search"
	"icewatch/ticketing"
)

// town is a real lake, fed by the real pipeline, with what the other rooms say
// beside it.
type town struct {
	t      testing.TB
	lake   *lake.Lake
	alerts []ticketing.Alert
	items  map[string]cmdb.Item
	links  map[string][]cmdb.Relation
	base   time.Time
}

func newTown(t testing.TB, items map[string]cmdb.Item, events ...map[string]any) *town {
	t.Helper()
	const keep = 30 * 24 * time.Hour
	lk, err := lake.Open(lake.Options{Dir: filepath.Join(t.TempDir(), "lake"), Classes: []lake.Class{{Name: retention.Standard, Retention: keep}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lk.Close() })
	reg := event.NewRegistry(0)
	pipe := pipeline.New(pipeline.Options{Registry: reg, Keeping: &retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: keep}}}, Future: time.Hour})
	pipe.SetDirectory(pipeline.Directory{"seal": pipeline.Place{Account: 100}, "hall": pipeline.Place{Account: 101}})
	snap := enrich.Snapshot{}
	for _, it := range items {
		var addresses []string
		for _, a := range it.Addresses {
			if !strings.Contains(a, "/") {
				addresses = append(addresses, a)
			}
		}
		snap.Items = append(snap.Items, enrich.Item{ID: it.ID, Class: it.Class, Name: it.Name, Tenant: it.Tenant, Zone: it.Zone, Addresses: addresses, Hostnames: []string{strings.ToLower(it.Name)}})
	}
	index, err := enrich.NewIndex(snap)
	if err != nil {
		t.Fatal(err)
	}
	pipe.SetIndex(index)
	w := lk.NewWriter(reg)
	v := &town{t: t, lake: lk, items: items, base: time.Now().Add(-3 * time.Hour).Truncate(time.Hour)}
	for i, e := range events {
		tenant, _ := e["tenant"].(string)
		delete(e, "tenant")
		at := v.base.Add(time.Duration(i) * time.Minute)
		e["@timestamp"] = at.Format(time.RFC3339)
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		rec := intake.Record{Tenant: tenant, Zone: "gov", Format: intake.JSON, Collector: "test", Received: at.UnixNano(), Data: data}
		var ev event.Event
		place := pipe.Fill(&rec, event.ID{Epoch: "e", Sequence: uint64(i + 1)}, &ev)
		if err := w.Add(&ev, lake.Space{Account: place.Account, Class: place.Class}, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	lk.Flush()
	return v
}

func (v *town) Query(ctx context.Context, req search.Request, emit func([]byte) error) error {
	slugs, all := req.Reach.TenantSlugs()
	var accounts []uint32
	for slug, n := range map[string]uint32{"seal": 100, "hall": 101} {
		if all || slices.Contains(slugs, slug) {
			accounts = append(accounts, n)
		}
	}
	return v.lake.Rows(ctx, lake.Query{Accounts: accounts, Filter: req.Reach.LogsQL(), LogsQL: req.Query, Start: req.Start, End: req.End.Add(-1), Limit: req.Limit}, emit)
}

// Flows: no exporter is there, and the CMDB's addresses are those of items.
func (v *town) Edges(context.Context, flows.Range, []ledger.Place, bool, int) ([]ledger.Edge, bool, bool, error) {
	return nil, false, false, nil
}

func (v *town) Names(_ context.Context, _ reach.Reach, peers []*flows.Peer) error {
	for _, p := range peers {
		p.Internal = strings.HasPrefix(p.Address, "10.")
		for _, it := range v.items {
			if it.Zone == p.Zone && slices.Contains(it.Addresses, p.Address) {
				p.CI = &flows.Item{ID: it.ID, Name: it.Name, Class: it.Class}
			}
		}
	}
	return nil
}

func (v *town) Alerts(_ context.Context, q ticketing.AlertQuery) (list []ticketing.Alert, total int, next string, err error) {
	for _, a := range v.alerts {
		if q.CI != "" && a.Victim != nil && a.Victim.Item == q.CI || q.Attacker != "" && a.Attacker != nil && a.Attacker.IP == q.Attacker || q.Victim != "" && a.Victim != nil && a.Victim.IP == q.Victim || q.Q != "" && a.Victim != nil && a.Victim.Name == q.Q {
			list = append(list, a)
		}
	}
	return list, len(list), "", nil
}

func (v *town) Get(_ context.Context, _ reach.Reach, id string) (cmdb.Item, error) {
	it, ok := v.items[id]
	if !ok {
		return it, cmdb.ErrNotFound
	}
	return it, nil
}

func (v *town) RelationsOf(_ context.Context, _ reach.Reach, id string, _ cmdb.RelationFilter) (cmdb.RelationPage, error) {
	return cmdb.RelationPage{Relations: v.links[id]}, nil
}

// around draws what an entity met, as lines that a person can read.
func (v *town) around(within reach.Reach, id string, f relation.Filter) []string {
	v.t.Helper()
	rooms := Rooms{Flows: v, Search: v, Alerts: v, Items: v}
	q := relation.Question{Start: v.base.Add(-time.Hour), End: v.base.Add(3 * time.Hour), Limit: 100, Filter: f}
	var err error
	if q.Nodes, err = rooms.Settle(context.Background(), within, q, []string{id}); err != nil {
		v.t.Fatal(err)
	}
	g, err := relation.Neighbours(context.Background(), rooms.Sources(within), q, time.UTC)
	if err != nil {
		v.t.Fatal(err)
	}
	if len(g.Partial) > 0 {
		v.t.Fatalf("%+v", g.Partial)
	}
	lines := []string{}
	for _, e := range g.Edges {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s → %s %s %d ×%d %s", e.Kind, e.From, e.To, e.Label, e.Port, e.Count, e.Outcome)))
		if e.Query == "" {
			continue
		}
		// What is said to be behind an edge is found again.
		n := 0
		err := v.Query(context.Background(), search.Request{Reach: within, Query: e.Query, Start: v.base.Add(-time.Hour), End: v.base.Add(3 * time.Hour), Limit: 1000}, func([]byte) error { n++; return nil })
		if err != nil || n == 0 {
			v.t.Errorf("%s finds %d events: %v", e.Query, n, err)
		}
	}
	slices.Sort(lines)
	return lines
}

func (v *town) want(within reach.Reach, id string, f relation.Filter, want ...string) {
	v.t.Helper()
	slices.Sort(want)
	if got := v.around(within, id, f); !slices.Equal(got, want) {
		v.t.Errorf("around %s:\n%s\nwant:\n%s", id, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestEvents reads sign-ins, programs, requests and connections out of what
// was logged, from whichever end they are asked for, and nothing beyond a reach.
func TestEvents(t *testing.T) {
	t.Parallel()
	signIn := func(tenant, source, host, user, outcome string) map[string]any {
		return map[string]any{"tenant": tenant, "event.category": []string{"authentication"}, "event.outcome": outcome, "source.ip": source, "host.name": host, "user.name": user}
	}
	v := newTown(t, nil,
		signIn("seal", "10.1.0.9", "web-01", "li", "failure"),
		signIn("seal", "10.1.0.9", "web-01", "li", "success"),
		signIn("hall", "10.1.0.9", "hall-01", "wang", "success"),
		map[string]any{"tenant": "seal", "event.category": "process", "host.name": "web-01", "user.name": "li", "process.name": "nc", "process.parent.name": "bash"},
		map[string]any{"tenant": "seal", "event.category": "web", "source.ip": "203.0.113.9", "url.domain": "Seal.Example.CN", "destination.ip": "10.1.0.5", "destination.port": 443, "network.transport": "tcp", "event.outcome": "success"},
		map[string]any{"tenant": "seal", "event.category": "network", "source.ip": "10.1.0.5", "destination.ip": "10.1.0.7", "destination.port": 5432, "network.transport": "tcp", "event.outcome": "failure"},
		map[string]any{"tenant": "seal", "event.category": "network", "source.ip": "10.1.0.5", "dns.question.name": "evil.example", "host.name": "dns-01"},
		map[string]any{"tenant": "seal", "event.category": "host", "host.name": "web-01", "host.ip": []string{"127.0.0.1", "10.1.0.5"}},
		map[string]any{"tenant": "seal", "event.dataset": "flow.netflow", "event.category": "network", "source.ip": "10.1.0.5", "destination.ip": "10.1.0.99", "destination.port": 22, "network.transport": "tcp"},
		map[string]any{"tenant": "seal", "message": "changed his password", "user.name": "li", "host.name": "idm-01"},
	)
	all, seal := reach.All(), reach.All().Narrow([]string{"seal"})
	v.want(all, "ip:gov|10.1.0.9", relation.Filter{},
		"signin ip:gov|10.1.0.9 → host:web-01 li 0 ×2 mixed", "signin ip:gov|10.1.0.9 → user:li  0 ×2 mixed",
		"signin ip:gov|10.1.0.9 → host:hall-01 wang 0 ×1 success", "signin ip:gov|10.1.0.9 → user:wang  0 ×1 success")
	v.want(seal, "ip:gov|10.1.0.9", relation.Filter{},
		"signin ip:gov|10.1.0.9 → host:web-01 li 0 ×2 mixed", "signin ip:gov|10.1.0.9 → user:li  0 ×2 mixed")
	v.want(reach.None(), "ip:gov|10.1.0.9", relation.Filter{})
	v.want(all, "ip:edu|10.1.0.9", relation.Filter{})
	v.want(all, "user:li", relation.Filter{}, "signin ip:gov|10.1.0.9 → user:li  0 ×2 mixed", "signin user:li → host:web-01  0 ×2 mixed",
		"process user:li → process:web-01|nc  0 ×1", "access user:li → host:idm-01  0 ×1")
	v.want(all, "host:web-01", relation.Filter{}, "signin ip:gov|10.1.0.9 → host:web-01 li 0 ×2 mixed", "signin user:li → host:web-01  0 ×2 mixed",
		"process host:web-01 → process:web-01|nc  0 ×1", "same host:web-01 → ip:gov|10.1.0.5  0 ×1")
	v.want(all, "process:web-01|bash", relation.Filter{}, "process process:web-01|bash → process:web-01|nc  0 ×1")
	v.want(all, "domain:seal.example.cn", relation.Filter{}, "request ip:*|203.0.113.9 → domain:seal.example.cn https 443 ×1 success")
	v.want(all, "ip:gov|10.1.0.5", relation.Filter{}, "access ip:gov|10.1.0.5 → ip:gov|10.1.0.7 postgresql 5432 ×1 failure",
		"request ip:gov|10.1.0.5 → domain:evil.example  0 ×1", "same host:web-01 → ip:gov|10.1.0.5  0 ×1")
	v.want(all, "ip:gov|10.1.0.5", relation.Filter{Ports: []relation.Ports{{From: 5000, To: 6000}}}, "access ip:gov|10.1.0.5 → ip:gov|10.1.0.7 postgresql 5432 ×1 failure")
	v.want(all, "ip:gov|10.1.0.5", relation.Filter{Abnormal: []string{relation.Refused}}, "access ip:gov|10.1.0.5 → ip:gov|10.1.0.7 postgresql 5432 ×1 failure")
	v.want(all, "ip:gov|10.1.0.5", relation.Filter{Kinds: []relation.Kind{relation.Same}}, "same host:web-01 → ip:gov|10.1.0.5  0 ×1")

	v.want(all, "ip:10.1.0.9", relation.Filter{Kinds: []relation.Kind{relation.SignIn}}, // in whichever zone it was seen
		"signin ip:gov|10.1.0.9 → host:web-01 li 0 ×2 mixed", "signin ip:gov|10.1.0.9 → user:li  0 ×2 mixed",
		"signin ip:gov|10.1.0.9 → host:hall-01 wang 0 ×1 success", "signin ip:gov|10.1.0.9 → user:wang  0 ×1 success")
	v.want(reach.None(), "ip:10.1.0.9", relation.Filter{})
}

// TestAlertsAndItems draws alerts from attacker to victim, one edge a rule, and
// marks what else lies between the two; and the CMDB's relations and names.
func TestAlertsAndItems(t *testing.T) {
	t.Parallel()
	v := newTown(t,
		map[string]cmdb.Item{"web-1": {ID: "web-1", Class: "host", Name: "web-01", Tenant: "seal", Zone: "gov", Addresses: []string{"10.1.0.5", "10.1.0.0/24", "10.1.0.6"}}},
		map[string]any{"tenant": "seal", "event.category": "authentication", "source.ip": "10.1.0.9", "host.name": "web-01", "user.name": "li", "event.outcome": "success"},
		map[string]any{"tenant": "hall", "event.category": "authentication", "source.ip": "10.1.0.9", "host.name": "web-01", "user.name": "wu", "event.outcome": "success"}, // another machine of the name
		map[string]any{"tenant": "seal", "event.category": "network", "source.ip": "203.0.113.9", "destination.ip": "10.1.0.5", "destination.port": 443, "network.transport": "tcp"},
		map[string]any{"tenant": "seal", "event.category": "network", "source.ip": "203.0.113.8", "destination.ip": "10.1.0.5", "destination.port": 443, "network.transport": "tcp"},
	)
	v.links = map[string][]cmdb.Relation{"web-1": {{Type: "runs_on", Forward: true, Item: cmdb.Ref{ID: "vm-7", Class: "host", Name: "vm-7"}}, {Type: "depends_on", Item: cmdb.Ref{ID: "app", Class: "application", Name: "seal"}}}}
	at := func(minutes int) ticketing.Time {
		return ticketing.Time{Time: v.base.Add(time.Duration(minutes) * time.Minute)}
	}
	attacker, victim := &detections.Party{IP: "203.0.113.9"}, &detections.Party{IP: "10.1.0.5", Zone: "网段一", Item: "web-1"}
	for i := range 7 {
		v.alerts = append(v.alerts, ticketing.Alert{ID: fmt.Sprint("A-", i), Rule: detections.RuleRef{ID: "sqli"}, Severity: "high", Count: 2, FirstSeen: at(i), LastSeen: at(i + 1), Attacker: attacker, Victim: victim,
			Phases: []string{"exploitation"}, Fields: map[string]string{"destination.port": "443", "network.transport": "tcp"}})
	}
	v.alerts = append(v.alerts,
		ticketing.Alert{ID: "A-future", Rule: detections.RuleRef{ID: "sqli"}, Count: 1, FirstSeen: at(999), LastSeen: at(999), Attacker: attacker, Victim: victim},
		ticketing.Alert{ID: "A-item", Rule: detections.RuleRef{ID: "brute"}, Count: 1, FirstSeen: at(2), LastSeen: at(2), Attacker: &detections.Party{IP: "203.0.113.7"}, Victim: &detections.Party{Name: "web-01", Item: "web-1"}},
		ticketing.Alert{ID: "A-nobody", Rule: detections.RuleRef{ID: "odd"}, Count: 1, FirstSeen: at(1), LastSeen: at(1), Victim: victim})
	around := []string{
		"alert ip:*|203.0.113.9 → ip:gov|10.1.0.5 https 443 ×14", "access ip:*|203.0.113.9 → ip:gov|10.1.0.5 https 443 ×1", "access ip:*|203.0.113.8 → ip:gov|10.1.0.5 https 443 ×1",
		"alert ip:*|203.0.113.7 → ip:gov|10.1.0.5 brute 0 ×1", "signin ip:gov|10.1.0.9 → ip:gov|10.1.0.5 li 0 ×1 success", "signin user:li → ip:gov|10.1.0.5  0 ×1 success",
		"relation ip:gov|10.1.0.5 → item:vm-7 runs_on 0 ×1", "relation item:app → ip:gov|10.1.0.5 depends_on 0 ×1", "same ip:gov|10.1.0.5 → ip:gov|10.1.0.6 web-01 0 ×0"}
	v.want(reach.All(), "ip:gov|10.1.0.5", relation.Filter{}, around...)
	v.want(reach.All(), "item:web-1", relation.Filter{}, around...)
	v.want(reach.All(), "ip:10.1.0.5", relation.Filter{}, around...)
	v.want(reach.All().Narrow([]string{"seal"}), "host:web-01", relation.Filter{}, around...) // by its name alone
	v.want(reach.All(), "user:wu", relation.Filter{}, "signin ip:gov|10.1.0.9 → user:wu  0 ×1 success", "signin user:wu → host:web-01  0 ×1 success")
	v.want(reach.All(), "ip:gov|203.0.113.9", relation.Filter{Abnormal: []string{relation.Alerted}},
		"alert ip:*|203.0.113.9 → ip:gov|10.1.0.5 https 443 ×14", "access ip:*|203.0.113.9 → ip:gov|10.1.0.5 https 443 ×1")

	found, err := Rooms{Alerts: v, Flows: v, Items: v}.Sources(reach.All())[0].Edges(context.Background(), relation.Question{Nodes: []relation.Ref{relation.AtPlace("gov", "10.1.0.5")}, Start: v.base.Add(-time.Hour), End: v.base.Add(3 * time.Hour)})
	if err != nil || len(found.Edges) != 2 || len(found.Edges[1].Alerts) != 5 || found.Edges[1].Alerts[0].ID != "A-6" {
		t.Errorf("%+v, %v", found, err)
	}
	if n := found.Nodes["ip:gov|10.1.0.5"]; n.Name != "web-01" || n.Item != "web-1" || !n.Internal {
		t.Errorf("the victim is %+v", n)
	}
}

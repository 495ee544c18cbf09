package flows

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/flows/ledger"
	"icewatch/soc/intake"
	"icewatch/soc/lake"
	"icewatch/soc/pipeline"
	"icewatch/soc/reach"
	"icewatch/soc/retention"
	"icewatch/soc/search"
	"icewatch/soc/veil"
)

// city is a real lake and a real ledger, fed by the real pipeline, with the
// service over them.
type city struct {
	*Service
	t       testing.TB
	lake    *lake.Lake
	ledger  *ledger.Ledger
	index   *enrich.Index
	pipe    *pipeline.Pipeline
	writer  *lake.Writer
	account map[string]uint32
	n       uint64
	base    time.Time
}

func newCity(t testing.TB) *city {
	t.Helper()
	const keep = 30 * 24 * time.Hour
	lk, err := lake.Open(lake.Options{Dir: filepath.Join(t.TempDir(), "lake"), Classes: []lake.Class{{Name: retention.Standard, Retention: keep}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lk.Close() })
	l, err := ledger.Open(context.Background(), filepath.Join(t.TempDir(), "edges.db"), "e", ledger.Options{FlushInterval: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	x, err := enrich.NewIndex(enrich.Snapshot{
		Networks: []enrich.Network{{Zone: "gov", CIDR: "10.1.0.0/16", Tenant: "seal"}, {Zone: "gov", CIDR: "10.2.0.0/16", Tenant: "hall"}, {Zone: "edu", CIDR: "10.1.0.0/16", Tenant: "hall"}},
		Items: []enrich.Item{
			{ID: "r1", Class: "network_device", Name: "border", Zone: "gov", Addresses: []string{"10.90.0.1"}},
			{ID: "r2", Class: "network_device", Name: "border-edu", Zone: "edu", Addresses: []string{"10.90.0.1"}},
			{ID: "h1", Class: "host", Name: "seal-web-1", Tenant: "seal", Zone: "gov", Addresses: []string{"10.1.0.5"}, Labels: []string{"dmz"}, SystemID: "bs-seal", SystemName: "电子印章"},
			{ID: "h2", Class: "host", Name: "hall-web-1", Tenant: "hall", Zone: "gov", Addresses: []string{"10.2.0.5"}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	reg := event.NewRegistry(0)
	policy := retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: keep}}}
	c := &city{t: t, lake: lk, ledger: l, index: x, writer: lk.NewWriter(reg), account: map[string]uint32{"unassigned": 1, "seal": 100, "hall": 101},
		pipe: pipeline.New(pipeline.Options{Registry: reg, Keeping: &policy, Future: time.Hour}), base: time.Now().Add(-2 * time.Hour).Truncate(time.Hour)}
	c.pipe.SetIndex(x)
	dir := pipeline.Directory{}
	for slug, n := range c.account {
		dir[slug] = pipeline.Place{Account: n}
	}
	c.pipe.SetDirectory(dir)
	c.Service = New(c, c)
	return c
}

// Query implements Searcher.
func (c *city) Query(ctx context.Context, req search.Request, emit func([]byte) error) error {
	slugs, all := req.Reach.TenantSlugs()
	var accounts []uint32
	for slug, n := range c.account {
		if all || slices.Contains(slugs, slug) {
			accounts = append(accounts, n)
		}
	}
	return c.lake.Rows(ctx, lake.Query{Accounts: accounts, Filter: req.Reach.LogsQL(), LogsQL: req.Query, Start: req.Start, End: req.End.Add(-1), Limit: req.Limit}, emit)
}

// Edges implements Ledger.
func (c *city) Edges(ctx context.Context, q ledger.Query) ([]ledger.Edge, bool, error) {
	return c.ledger.Edges(ctx, q)
}

// Places implements Ledger.
func (c *city) Places(_ context.Context, places []ledger.Place) (items []*enrich.Item, internal []bool, err error) {
	for _, p := range places {
		addr, _ := netip.ParseAddr(p.Address) // one that is hidden is none
		items, internal = append(items, nil), append(internal, c.index.Internal(p.Zone, addr))
		if it, ok := c.index.At(p.Zone, addr); ok {
			items[len(items)-1] = &it
		}
	}
	return items, internal, nil
}

// send feeds one flow that ended so long after the base.
func (c *city) send(zone, from string, fromPort int, to string, toPort int, bytes, sampling int, after time.Duration) {
	c.t.Helper()
	end := c.base.Add(after)
	text := fmt.Sprintf(`{"type":"netflow9","exporter":"10.90.0.1","domain":1,"sequence":1,"sampling":%d,"start":%d,"end":%d,"flow":{"sourceIPv4Address":%q,"destinationIPv4Address":%q,`+
		`"sourceTransportPort":%d,"destinationTransportPort":%d,"protocolIdentifier":6,"octetDeltaCount":%d,"packetDeltaCount":2,"ingressInterface":3,"egressInterface":4,"bgpSourceAsNumber":64500,"bgpDestinationAsNumber":0}}`,
		sampling, end.Add(-time.Minute).UnixMilli(), end.UnixMilli(), from, to, fromPort, toPort, bytes)
	rec := intake.Record{Zone: zone, Format: intake.Flow, Collector: "netflow", Peer: netip.MustParseAddr("10.90.0.1"), Received: time.Now().UnixNano(), Time: end.UnixNano(), Data: []byte(text)}
	c.n++
	var ev event.Event
	place := c.pipe.Fill(&rec, event.ID{Epoch: "e", Sequence: c.n}, &ev)
	if err := c.writer.Add(&ev, lake.Space{Account: place.Account, Class: place.Class}, ""); err != nil {
		c.t.Fatal(err)
	}
	c.ledger.Observe(&ev)
	c.ledger.Done(c.n)
}

func (c *city) settle() {
	c.t.Helper()
	if err := c.writer.Flush(); err != nil {
		c.t.Fatal(err)
	}
	c.lake.Flush()
	if err := c.ledger.Save(context.Background()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *city) within(r reach.Reach) Range {
	return Range{Reach: r, Start: c.base, End: c.base.Add(2 * time.Hour)}
}

// day sends the flows of the tests: a citizen reads from seal-web-1 (gov), a
// sampled backup runs from hall to seal, and zone edu has the same addresses.
func day(t *testing.T) *city {
	c := newCity(t)
	c.send("gov", "198.18.0.9", 50000, "10.1.0.5", 443, 1000, 0, 10*time.Minute)
	c.send("gov", "10.1.0.5", 443, "198.18.0.9", 50000, 90000, 0, 10*time.Minute)
	c.send("gov", "10.2.0.5", 40000, "10.1.0.6", 22, 500, 100, 70*time.Minute)
	c.send("gov", "198.18.0.10", 50001, "10.2.0.5", 443, 7, 0, 70*time.Minute)
	c.send("edu", "198.18.0.9", 50000, "10.1.0.5", 443, 3, 0, 71*time.Minute)
	c.settle()
	return c
}

func keys(list []Entry) (out []string) {
	for _, e := range list {
		out = append(out, fmt.Sprintf("%s=%d", e.Key, e.Bytes))
	}
	return out
}

func TestTop(t *testing.T) {
	t.Parallel()
	c := day(t)
	f := func(r reach.Reach, by string, want ...string) Top {
		t.Helper()
		top, err := c.Top(context.Background(), c.within(r), by, "bytes", 10)
		if err != nil {
			t.Fatalf("%s: %v", by, err)
		}
		if got := keys(top.Items); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", by, got, want)
		}
		return top
	}
	top := f(reach.All(), "source", "gov|10.1.0.5=90000", "gov|10.2.0.5=50000", "gov|198.18.0.9=1000", "gov|198.18.0.10=7", "edu|198.18.0.9=3")
	if top.Total != (Sums{141010, 8 + 200, 5}) || top.Items[0].Share < 0.63 || top.Items[0].Share > 0.64 {
		t.Errorf("total %+v, share %v", top.Total, top.Items[0].Share)
	}
	if p := top.Items[0].Peer; !p.Internal || p.CI == nil || p.CI.Name != "seal-web-1" || p.CI.System.Name != "电子印章" || !slices.Equal(p.CI.Labels, []string{"dmz"}) {
		t.Errorf("%+v", p)
	}
	f(reach.All(), "destination", "gov|198.18.0.9=90000", "gov|10.1.0.6=50000", "gov|10.1.0.5=1000", "gov|10.2.0.5=7", "edu|10.1.0.5=3")
	f(reach.All(), "host", "gov|10.1.0.5=91000", "gov|198.18.0.9=91000", "gov|10.2.0.5=50007", "gov|10.1.0.6=50000", "gov|198.18.0.10=7", "edu|10.1.0.5=3", "edu|198.18.0.9=3")
	f(reach.All(), "port", "443=91010", "22=50000")
	if top := f(reach.All(), "service", "tcp/443=91010", "tcp/22=50000"); top.Items[1].Service != "ssh" {
		t.Errorf("%+v", top.Items[1])
	}
	f(reach.All(), "protocol", "tcp=141010")
	f(reach.All(), "conversation", "gov|10.1.0.5|198.18.0.9=91000", "gov|10.1.0.6|10.2.0.5=50000", "gov|10.2.0.5|198.18.0.10=7", "edu|10.1.0.5|198.18.0.9=3")
	f(reach.All(), "exporter", "gov|10.90.0.1=141007", "edu|10.90.0.1=3")
	f(reach.All(), "interface", "gov|10.90.0.1|3=141007", "gov|10.90.0.1|4=141007", "edu|10.90.0.1|3=3", "edu|10.90.0.1|4=3")
	f(reach.All(), "as", "64500=141010")
	// A tenant's analyst: seal's flows alone, and names of nobody else's items.
	top = f(reach.Tenants("seal"), "source", "gov|10.1.0.5=90000", "gov|10.2.0.5=50000", "gov|198.18.0.9=1000")
	if p := top.Items[1].Peer; p.CI != nil || !p.Internal {
		t.Errorf("another tenant's item is named: %+v", p)
	}
	f(reach.None(), "source")

	flows, err := c.Top(context.Background(), c.within(reach.All()), "source", "flows", 1)
	if err != nil || len(flows.Items) != 1 || flows.Items[0].Flows != 1 {
		t.Errorf("%+v, %v", flows, err)
	}
	r := c.within(reach.All())
	r.Zone, r.Filter = "edu", "server.port:443"
	if top, err := c.Top(context.Background(), r, "source", "bytes", 10); err != nil || !slices.Equal(keys(top.Items), []string{"edu|198.18.0.9=3"}) {
		t.Errorf("%v, %v", top, err)
	}
	for _, wrong := range []func() (Top, error){
		func() (Top, error) { return c.Top(context.Background(), r, "colour", "bytes", 1) },
		func() (Top, error) { return c.Top(context.Background(), r, "host", "colour", 1) },
		func() (Top, error) {
			r.Filter = `* | stats count()`
			return c.Top(context.Background(), r, "host", "bytes", 1)
		},
		func() (Top, error) { r.Filter = `x) or (y`; return c.Top(context.Background(), r, "host", "bytes", 1) },
	} {
		if top, err := wrong(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v, %v", top, err)
		}
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	c := day(t)
	for _, by := range Dimensions {
		s, err := c.Series(context.Background(), c.within(reach.All()), by, "bytes", 2, 2)
		if err != nil {
			t.Fatalf("%s: %v", by, err)
		}
		if len(s.Times) != 2 || s.StepMS != time.Hour.Milliseconds() || !slices.Equal(s.Total, []int64{91000, 50010}) || len(s.Series) == 0 {
			t.Fatalf("%s: %+v", by, s)
		}
		for _, curve := range s.Series {
			sum := int64(0)
			for _, v := range curve.Values {
				sum += v
			}
			if sum != curve.Bytes {
				t.Errorf("%s: %s has %d in all and %v over time", by, curve.Key, curve.Bytes, curve.Values)
			}
		}
	}
	s, err := c.Series(context.Background(), c.within(reach.All()), "source", "bytes", 1, 2)
	if err != nil || !slices.Equal(s.Series[0].Values, []int64{90000, 0}) || !slices.Equal(s.Other, []int64{1000, 50010}) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestConversations(t *testing.T) {
	t.Parallel()
	c := day(t)
	got, err := c.Conversations(context.Background(), c.within(reach.All()), "bytes", 10, "")
	if err != nil || len(got.Items) != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	first := got.Items[0]
	if first.A.Address != "10.1.0.5" || first.BytesAB != 90000 || first.BytesBA != 1000 || first.Flows != 2 || len(first.Services) != 1 || first.Services[0] != (Port{443, "tcp", "https"}) ||
		!first.FirstSeen.Equal(c.base.Add(10*time.Minute)) || first.A.CI == nil {
		t.Errorf("%+v", first)
	}
	got, err = c.Conversations(context.Background(), c.within(reach.All()), "bytes", 10, "gov|198.18.0.9")
	if err != nil || len(got.Items) != 1 || got.Items[0].A.Address != "198.18.0.9" || got.Items[0].BytesAB != 1000 || got.Items[0].BytesBA != 90000 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Conversations(context.Background(), c.within(reach.All()), "bytes", 10, "seal-web-1"); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestMap(t *testing.T) {
	t.Parallel()
	c := day(t)
	center := []ledger.Place{{Zone: "gov", Address: "10.1.0.6"}}
	one := func(r Range, depth, limit int) Map {
		t.Helper()
		m, err := c.Map(context.Background(), r, center, depth, limit)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	ids := func(m Map) (out []string) {
		for _, n := range m.Nodes {
			out = append(out, fmt.Sprintf("%d:%s", n.Depth, n.ID))
		}
		slices.Sort(out)
		return out
	}
	all := c.within(reach.All())
	if m := one(all, 1, 10); !slices.Equal(ids(m), []string{"0:gov|10.1.0.6", "1:gov|10.2.0.5"}) || len(m.Edges) != 1 || m.Edges[0].Service != "ssh" || m.Edges[0].BytesToServer != 50000 || m.Truncated {
		t.Errorf("%+v", m)
	}
	m := one(all, 2, 10)
	if !slices.Equal(ids(m), []string{"0:gov|10.1.0.6", "1:gov|10.2.0.5", "2:gov|198.18.0.10"}) || len(m.Edges) != 2 {
		t.Errorf("%+v", m)
	}
	if m := one(all, 3, 1); !m.Truncated || len(m.Edges) != 1 {
		t.Errorf("%+v", m)
	}
	// seal sees its own flow and not hall's behind it.
	seal := c.within(reach.Tenants("seal"))
	if m := one(seal, 3, 10); !slices.Equal(ids(m), []string{"0:gov|10.1.0.6", "1:gov|10.2.0.5"}) {
		t.Errorf("%+v", m)
	}
	if m := one(c.within(reach.None()), 3, 10); len(m.Edges) != 0 {
		t.Errorf("%+v", m)
	}
	// A reach with a filter of rows is answered by the rows, with the same sums.
	filtered := c.within(reach.All().WithLogs(`"server.port":22`))
	n := one(filtered, 2, 10)
	if len(n.Edges) != 1 || n.Edges[0].BytesToServer != 50000 || n.Edges[0].Flows != 1 || n.Edges[0].Days != 1 {
		t.Errorf("%+v", n)
	}
}

// TestVeil sees that the ledger shows no address that is hidden in rows.
func TestVeil(t *testing.T) {
	t.Parallel()
	c := day(t)
	rule := func(r veil.Rule) *veil.Veil {
		t.Helper()
		r.ID, r.Method = "r", veil.Full
		r, err := r.Compile()
		if err != nil {
			t.Fatal(err)
		}
		v, err := veil.New([]veil.Rule{r}, []byte("secret of the test"))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	r := c.within(reach.All().WithVeil(rule(veil.Rule{Pattern: `198\.18\.[0-9.]+`})))
	m, err := c.Map(context.Background(), r, []ledger.Place{{Zone: "gov", Address: "10.2.0.5"}}, 1, 10)
	if err != nil || len(m.Edges) != 2 || strings.Contains(fmt.Sprint(m), "198.18.") {
		t.Errorf("%+v, %v", m, err)
	}
	if !needsRows(c.within(reach.All().WithVeil(rule(veil.Rule{Fields: []string{"source.ip"}})))) {
		t.Error("where source.ip is hidden whole the ledger must not be asked")
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	c := day(t)
	p, err := c.Profile(context.Background(), c.within(reach.All()), ledger.Place{Zone: "gov", Address: "10.2.0.5"})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Offers) != 1 || p.Offers[0].Port != 443 || p.Offers[0].BytesIn != 7 || p.Offers[0].Peers != 1 || p.Offers[0].InternalPeers != 0 {
		t.Errorf("offers %+v", p.Offers)
	}
	if len(p.Uses) != 1 || p.Uses[0].Service != "ssh" || p.Uses[0].BytesOut != 50000 || p.Uses[0].InternalPeers != 1 {
		t.Errorf("uses %+v", p.Uses)
	}
	if len(p.Hours) != 2 || p.Hours[0].Flows != 0 || p.Hours[1].BytesOut != 50000 || p.Hours[1].BytesIn != 7 || p.Hours[1].Flows != 2 {
		t.Errorf("hours %+v", p.Hours)
	}
	if p.Peers.Internal != 1 || p.Peers.External != 1 || len(p.NewPeers) != 2 || p.Peer.CI == nil || !p.LastSeen.Equal(c.base.Add(70*time.Minute)) {
		t.Errorf("%+v", p)
	}
	// The same address of another zone is another end.
	if p, err := c.Profile(context.Background(), c.within(reach.All()), ledger.Place{Zone: "edu", Address: "10.2.0.5"}); err != nil || len(p.Offers)+len(p.Uses) != 0 || p.Hours[1].Flows != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	c.now = func() time.Time { return time.Now().Add(48 * time.Hour) }
	if p, err := c.Profile(context.Background(), c.within(reach.All()), ledger.Place{Zone: "gov", Address: "10.2.0.5"}); err != nil || len(p.NewPeers) != 0 {
		t.Errorf("two days later: %+v, %v", p.NewPeers, err)
	}
}

func TestParsePlace(t *testing.T) {
	t.Parallel()
	f := func(text, zone, want string) {
		t.Helper()
		p, ok := ParsePlace(text, zone)
		if got := p.Zone + "|" + p.Address; ok != (want != "") || ok && got != want {
			t.Errorf("%q in %q is %q, %v", text, zone, got, ok)
		}
	}
	f("10.1.2.3", "", "default|10.1.2.3")
	f("10.1.2.3", "gov", "gov|10.1.2.3")
	f("edu|10.1.2.3", "gov", "edu|10.1.2.3")
	f("::ffff:10.1.2.3", "gov", "gov|10.1.2.3")
	f("fe80::1%eth0", "gov", "gov|fe80::1")
	f("seal-web-1", "gov", "")
	f(strings.Repeat("1", 100), "", "")
}

// BenchmarkQuestions asks about 100,000 flows of a city of 2,000 hosts.
func BenchmarkQuestions(b *testing.B) {
	c := newCity(b)
	for i := range 100_000 {
		c.send("gov", fmt.Sprintf("198.18.%d.%d", i%40, i/7%50), 1024+i%50000, fmt.Sprintf("10.1.%d.%d", i%4, i%60), []int{443, 22, 5432, 8080}[i%4], 100+i%9000, 0, time.Duration(i%7000)*time.Second)
	}
	c.settle()
	r := c.within(reach.All())
	for name, ask := range map[string]func() error{
		"top/source":       func() error { _, err := c.Top(context.Background(), r, "source", "bytes", 10); return err },
		"top/host":         func() error { _, err := c.Top(context.Background(), r, "host", "bytes", 10); return err },
		"top/conversation": func() error { _, err := c.Top(context.Background(), r, "conversation", "bytes", 10); return err },
		"series/service":   func() error { _, err := c.Series(context.Background(), r, "service", "bytes", 5, 60); return err },
		"conversations":    func() error { _, err := c.Conversations(context.Background(), r, "bytes", 50, ""); return err },
		"map": func() error {
			_, err := c.Map(context.Background(), r, []ledger.Place{{Zone: "gov", Address: "10.1.0.4"}}, 2, 300)
			return err
		},
		"profile": func() error {
			_, err := c.Profile(context.Background(), r, ledger.Place{Zone: "gov", Address: "10.1.0.4"})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package ledger

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/pipeline/parse"
	"icewatch/soc/reach"
	"icewatch/soc/reach/reachtest"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// flow is one flow from client to server or, where back is set, the way back.
type flow struct {
	tenant, unit, zone, client, server string
	port                               int
	bytes                              int64
	at                                 time.Time
	back                               bool
}

func (f flow) event() *event.Event {
	ev := &event.Event{Tenant: f.tenant, Time: f.at.UnixNano()}
	source, dest := f.client, f.server
	if f.back {
		source, dest = dest, source
	}
	ev.Set(event.EventDataset, parse.DatasetNetFlow)
	ev.Set(event.Zone, f.zone)
	ev.Set(event.SourceIP, source)
	ev.Set(event.DestIP, dest)
	ev.Set(event.ClientIP, f.client)
	ev.Set(event.ServerIP, f.server)
	ev.SetInt(event.ServerPort, int64(f.port))
	ev.SetInt(event.NetworkIANANumber, 6)
	ev.SetInt(event.FlowSourceBytes, f.bytes)
	ev.SetInt(event.FlowPackets, 2)
	ev.Set(event.EventStart, f.at.Add(-time.Minute).Format(time.RFC3339))
	ev.Set(event.SourceInternal, strconv.FormatBool(source[:3] == "10."))
	ev.Set(event.DestInternal, strconv.FormatBool(dest[:3] == "10."))
	if f.unit != "" {
		ev.Set(event.ReachUnit, f.unit)
	}
	return ev
}

func open(t testing.TB, path string, opts Options) *Ledger {
	t.Helper()
	l, err := Open(context.Background(), path, "epoch", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func edges(t testing.TB, l *Ledger, r reach.Reach, limit int, places ...Place) ([]Edge, bool) {
	t.Helper()
	q := Query{Places: places, Limit: limit}
	if err := q.Within(r); err != nil {
		t.Fatal(err)
	}
	list, more, err := l.Edges(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return list, more
}

func TestEdges(t *testing.T) {
	t.Parallel()
	l := open(t, filepath.Join(t.TempDir(), "edges.db"), Options{})
	for i, f := range []flow{
		{tenant: "seal", zone: "gov", client: "198.18.0.9", server: "10.1.0.5", port: 443, bytes: 100, at: noon},
		{tenant: "seal", zone: "gov", client: "198.18.0.9", server: "10.1.0.5", port: 443, bytes: 9000, at: noon, back: true},
		{tenant: "seal", zone: "gov", client: "198.18.0.9", server: "10.1.0.5", port: 443, bytes: 100, at: noon.Add(-48 * time.Hour)},
		{tenant: "seal", zone: "edu", client: "198.18.0.9", server: "10.1.0.5", port: 443, bytes: 7, at: noon},
		{tenant: "seal", zone: "gov", client: "10.1.0.5", server: "10.1.0.6", port: 5432, bytes: 50, at: noon},
		{tenant: "hall", zone: "gov", client: "10.1.0.5", server: "10.1.0.6", port: 5432, bytes: 60, at: noon.Add(24 * time.Hour)},
	} {
		l.Observe(f.event())
		done(t, l, uint64(i+1))
	}
	l.Observe(&event.Event{Tenant: "seal", Fields: []event.Field{{ID: event.EventDataset, Value: "sshd.auth"}}})
	if err := l.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	at := Place{"gov", "10.1.0.5"}
	got, more := edges(t, l, reach.All(), 10, at)
	want := []Edge{
		{Zone: "gov", Client: "198.18.0.9", Server: "10.1.0.5", Port: 443, Protocol: 6, FirstSeen: noon.Add(-48*time.Hour - time.Minute), LastSeen: noon,
			Days: 2, BytesToServer: 200, BytesToClient: 9000, Packets: 6, Flows: 3, ServerInternal: true},
		{Zone: "gov", Client: "10.1.0.5", Server: "10.1.0.6", Port: 5432, Protocol: 6, FirstSeen: noon.Add(-time.Minute), LastSeen: noon.Add(24 * time.Hour),
			Days: 2, BytesToServer: 110, Packets: 4, Flows: 2, ClientInternal: true, ServerInternal: true},
	}
	if !reflect.DeepEqual(got, want) || more {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got, more := edges(t, l, reach.All(), 1, at); len(got) != 1 || !more {
		t.Errorf("%d edges, more %v", len(got), more)
	}
	if got, _ := edges(t, l, reach.Tenants("hall"), 10, at); len(got) != 1 || got[0].BytesToServer != 60 {
		t.Errorf("another tenant's: %+v", got)
	}
	if got, _ := edges(t, l, reach.None(), 10, at); len(got) != 0 {
		t.Errorf("without reach: %+v", got)
	}
	if got, _, err := l.Edges(context.Background(), Query{Places: []Place{at}, Limit: 10}); err != nil || len(got) != 0 {
		t.Errorf("a query that names no reach sees %+v, %v", got, err)
	}
	q := Query{Places: []Place{at}, Limit: 10, Since: noon.Add(time.Hour)}
	if err := q.Within(reach.All()); err != nil {
		t.Fatal(err)
	}
	if got, _, err := l.Edges(context.Background(), q); err != nil || len(got) != 1 || got[0].Flows != 1 {
		t.Errorf("seen since: %+v, %v", got, err)
	}
}

// TestReach holds the ledger against an oracle: whatever the data scope, it
// shows the sums of the flows that the scope shows.
func TestReach(t *testing.T) {
	t.Parallel()
	rnd := reachtest.Random(t)
	var slugs []string
	for i := range 8 {
		slugs = append(slugs, fmt.Sprintf("t%d", i))
	}
	town := reachtest.NewTown(rnd, slugs...)
	l := open(t, filepath.Join(t.TempDir(), "edges.db"), Options{})
	type seen struct {
		facts  reach.Facts
		client string
		bytes  int64
	}
	var all []seen
	for range 600 {
		slug := town.Slug(rnd)
		s := seen{town.Row(rnd, slug), fmt.Sprintf("198.18.0.%d", rnd.IntN(6)), rnd.Int64N(1000)}
		ev := flow{tenant: slug, zone: "gov", client: s.client, server: "10.1.0.5", port: 443, bytes: s.bytes, at: noon}.event()
		for id, v := range map[event.FieldID]string{event.ReachUnit: s.facts.Unit, event.ReachRegion: s.facts.Region, event.ReachIndustry: s.facts.Industry, event.ReachLabels: reach.JoinLabels(s.facts.Labels)} {
			if v != "" {
				ev.Set(id, v)
			}
		}
		l.Observe(ev)
		all = append(all, s)
	}
	if err := l.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 60 {
		x := town.NewTerm(rnd, 3)
		e, err := reach.Parse(x.Text())
		if err != nil {
			t.Fatal(err)
		}
		want, got := map[string]int64{}, map[string]int64{}
		for _, s := range all {
			if x.Shows(town, s.facts) {
				want[s.client] += s.bytes
			}
		}
		list, _ := edges(t, l, e.Compile(town.Directory()), 1000, Place{"gov", "10.1.0.5"})
		for _, e := range list {
			got[e.Client] += e.BytesToServer
		}
		if !maps.Equal(got, want) {
			t.Fatalf("scope %s shows %v, want %v", x.Text(), got, want)
		}
	}
}

// TestReplay feeds the same batches again and again, as after crashes: each
// flow counts once.
func TestReplay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edges.db")
	rnd := rand.New(rand.NewPCG(1, 2))
	var batches [][]flow
	for range 60 {
		var b []flow
		for range 50 {
			b = append(b, flow{tenant: "seal", unit: []string{"", "u1"}[rnd.IntN(2)], zone: "gov", client: fmt.Sprintf("198.18.0.%d", rnd.IntN(20)), server: "10.1.0.5", port: 440 + rnd.IntN(4),
				bytes: rnd.Int64N(1000), at: noon.Add(time.Duration(rnd.IntN(100)) * time.Hour), back: rnd.IntN(2) == 0})
		}
		batches = append(batches, b)
	}
	total := int64(0)
	for _, b := range batches {
		for _, f := range b {
			total += f.bytes
		}
	}
	straight := open(t, filepath.Join(t.TempDir(), "straight.db"), Options{FlushInterval: time.Nanosecond})
	feed(t, straight, batches, len(batches))
	for len(batches) > 0 {
		l, err := Open(context.Background(), path, "epoch", Options{FlushInterval: time.Duration(1 + rnd.IntN(int(3*time.Millisecond)))})
		if err != nil {
			t.Fatal(err)
		}
		from := int(l.Position())
		if from == len(batches) {
			got, _ := edges(t, l, reach.All(), 1000, Place{"gov", "10.1.0.5"})
			want, _ := edges(t, straight, reach.All(), 1000, Place{"gov", "10.1.0.5"})
			sum := int64(0)
			for _, e := range got {
				sum += e.BytesToClient + e.BytesToServer
			}
			if !reflect.DeepEqual(got, want) || sum != total {
				t.Errorf("%d edges with %d bytes; want %d edges with %d bytes", len(got), sum, len(want), total)
			}
			_ = l.Close()
			return
		}
		feed(t, l, batches, from+1+rnd.IntN(len(batches)-from))
		_ = l.db.Close() // a crash: what is pending is gone
	}
}

func done(t testing.TB, l *Ledger, batch uint64) {
	t.Helper()
	l.Done(batch)
	if err := l.Save(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func feed(t *testing.T, l *Ledger, batches [][]flow, to int) {
	t.Helper()
	for i := int(l.Position()); i < to; i++ {
		for _, f := range batches[i] {
			l.Observe(f.event())
		}
		done(t, l, uint64(i+1))
	}
}

func TestAnotherBus(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edges.db")
	l := open(t, path, Options{})
	l.Observe(flow{tenant: "seal", zone: "", client: "198.18.0.9", server: "10.1.0.5", port: 443, bytes: 100, at: noon}.event())
	done(t, l, 7)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Open(context.Background(), path, "other", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, _ := edges(t, l, reach.All(), 9, Place{"", "10.1.0.5"}); l.Position() != 0 || len(got) != 1 || got[0].Zone != DefaultZone {
		t.Errorf("position %d, edges %+v", l.Position(), got)
	}
}

func TestEviction(t *testing.T) {
	t.Parallel()
	l := open(t, filepath.Join(t.TempDir(), "edges.db"), Options{EdgesPerTenant: 100})
	observe := func(batch uint64, flows ...flow) {
		t.Helper()
		for _, f := range flows {
			l.Observe(f.event())
		}
		l.through = batch
		if err := l.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	observe(1, flow{tenant: "seal", zone: "gov", client: "10.1.0.9", server: "10.1.0.5", port: 5432, at: noon.Add(-1000 * time.Hour)},
		flow{tenant: "hall", zone: "gov", client: "198.18.9.9", server: "10.1.0.5", port: 80, at: noon.Add(-2000 * time.Hour)})
	for n := range 30 {
		var list []flow
		for i := range 10 {
			list = append(list, flow{tenant: "seal", zone: "gov", client: fmt.Sprintf("198.18.%d.%d", n, i), server: "10.1.0.5", port: 443, at: noon.Add(time.Duration(n) * time.Hour)})
		}
		observe(uint64(n+2), list...)
	}
	got, _ := edges(t, l, reach.Tenants("seal"), 1000, Place{"gov", "10.1.0.5"})
	if len(got) > 100 || len(got) < 90 {
		t.Fatalf("%d edges are left", len(got))
	}
	if !slices.ContainsFunc(got, func(e Edge) bool { return e.Client == "10.1.0.9" }) {
		t.Error("an edge within the city gave way to visitors")
	}
	if slices.ContainsFunc(got, func(e Edge) bool { return e.Client == "198.18.0.0" }) {
		t.Error("the oldest visitor is still there")
	}
	if got, _ := edges(t, l, reach.Tenants("hall"), 1000, Place{"gov", "10.1.0.5"}); len(got) != 1 {
		t.Error("another tenant's edge gave way")
	}
	st := l.Stats()
	if st.Evicted != 301-uint64(len(got)) || st.Edges != len(got)+1 {
		t.Errorf("%+v with %d edges", st, len(got))
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	f := func(want int, list ...int64) {
		t.Helper()
		var whole days
		for _, d := range list {
			whole.add(d)
		}
		var a, b days
		for i, d := range list {
			if i%2 == 0 {
				a.add(d)
			} else {
				b.add(d)
			}
		}
		a.merge(b)
		if whole.count() != want || a.count() != want || len(whole.bits) > maxDays/8+1 {
			t.Errorf("%v: %d days, merged %d, want %d, in %d bytes", list, whole.count(), a.count(), want, len(whole.bits))
		}
	}
	f(0)
	f(1, 20000, 20000)
	f(3, 20000, 20001, 20100)
	f(3, 20100, 20000, 20001)
	f(1, 20000, 30000) // only the last 512 days are told apart
	f(1, 30000, 20000)
	f(2, 20000, 20511)
}

func BenchmarkObserve(b *testing.B) {
	l := open(b, filepath.Join(b.TempDir(), "edges.db"), Options{})
	var list []*event.Event
	for i := range 2000 {
		list = append(list, flow{tenant: "seal", zone: "gov", client: fmt.Sprintf("198.18.%d.%d", i/250, i%250), server: "10.1.0.5", port: 443, bytes: 100, at: noon}.event())
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		l.Observe(list[n%len(list)])
		if n++; n%500 == 0 {
			done(b, l, uint64(n))
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}

func BenchmarkFlush(b *testing.B) {
	l := open(b, filepath.Join(b.TempDir(), "edges.db"), Options{})
	n := 0
	const each = 10_000
	for b.Loop() {
		for range each {
			n++
			l.Observe(flow{tenant: "seal", zone: "gov", client: fmt.Sprintf("198.%d.%d.%d", 18+n/62500%4, n/250%250, n%250), server: "10.1.0.5", port: 443, bytes: 100, at: noon}.event())
		}
		if err := l.flush(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*each/b.Elapsed().Seconds(), "edges/s")
}

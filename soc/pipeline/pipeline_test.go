package pipeline

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/retention"
)

func newPipeline(t testing.TB) *Pipeline {
	t.Helper()
	x, err := enrich.NewIndex(enrich.Snapshot{
		Networks: []enrich.Network{{Zone: "gov", CIDR: "10.1.0.0/16", Tenant: "seal"}, {Zone: "gov", CIDR: "10.1.9.0/24", Tenant: "hall"}},
		Items: []enrich.Item{
			{ID: "h1", Class: "host", Name: "seal-web-1", Tenant: "seal", Zone: "gov", Addresses: []string{"10.1.0.5"}, Hostnames: []string{"seal-web-1"}},
			{ID: "h2", Class: "host", Name: "hall-web-1", Tenant: "hall", Zone: "gov", Addresses: []string{"10.2.0.5"}, Hostnames: []string{"hall-web-1"}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Registry: event.NewRegistry(0), Keeping: &retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: 30 * 24 * time.Hour}}}, Future: time.Hour,
		Relays: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, NamesPerTenant: 20, StreamsPerTenant: 3})
	p.SetIndex(x)
	p.SetDirectory(Directory{"unassigned": {Account: 1}, "seal": {Account: 100}, "hall": {Account: 101}})
	return p
}

func fill(p *Pipeline, rec intake.Record) *event.Event {
	if rec.Received == 0 {
		rec.Received = time.Now().UnixNano()
	}
	ev := &event.Event{}
	p.Fill(&rec, event.ID{Epoch: "e", Sequence: 1}, ev)
	return ev
}

func TestWhoseAnEventIs(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	f := func(what, want, tenant, peer, line string) {
		t.Helper()
		rec := intake.Record{Tenant: tenant, Zone: "gov", Format: intake.Syslog, Data: []byte(line)}
		if peer != "" {
			rec.Peer = netip.MustParseAddr(peer)
		}
		if ev := fill(p, rec); ev.Tenant != want {
			t.Errorf("%s: %s, want %s", what, ev.Tenant, want)
		}
	}
	seal := "<38>1 2026-01-01T00:00:00Z seal-web-1 app - - - x"
	f("token or listener decides", "hall", "hall", "10.1.0.5", seal)
	f("the item at the address", "hall", "", "10.2.0.5", seal)
	f("the narrowest network", "hall", "", "10.1.9.77", seal)
	f("the wider network", "seal", "", "10.1.8.1", seal)
	f("a relay hands on the device's name", "seal", "", "127.0.0.1", seal)
	f("v4 in v6 is the same relay", "seal", "", "::ffff:127.0.0.1", seal)
	f("a stranger cannot choose by name", "unassigned", "", "203.0.113.9", seal)
	f("nobody's", "unassigned", "", "127.0.0.1", "<38>1 2026-01-01T00:00:00Z who-knows app - - - x")
	f("a tenant that is not there", "unassigned", "gone", "10.1.0.5", seal)
	f("without a sender", "unassigned", "", "", "<38>1 2026-01-01T00:00:00Z - app - - - x")
}

func TestAStrangerNamesNoHost(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	f := func(peer, host, item string) {
		t.Helper()
		ev := fill(p, intake.Record{Zone: "gov", Format: intake.Syslog, Peer: netip.MustParseAddr(peer),
			Data: []byte("<38>1 2026-01-01T00:00:00Z seal-web-1 sshd 1 - - Failed password for root from 203.0.113.9 port 4 ssh2")})
		if ev.Text(event.HostName) != host || ev.Text(event.CIID) != item || ev.Text(event.SyslogHostname) != "seal-web-1" {
			t.Errorf("from %s: host.name %q, item %q, name in the header %q; want %q, %q", peer, ev.Text(event.HostName), ev.Text(event.CIID), ev.Text(event.SyslogHostname), host, item)
		}
	}
	f("203.0.113.200", "203.0.113.200", "") // a stranger
	f("127.0.0.1", "seal-web-1", "h1")      // a relay
	f("10.1.0.5", "seal-web-1", "h1")       // the device itself
	f("10.2.0.5", "seal-web-1", "h2")       // another device under a false name
	f("10.1.8.8", "seal-web-1", "h1")       // of the tenant's own network
}

func TestTimesOutOfRangeAreClampedAndKept(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	now := time.Now().UTC()
	f := func(at time.Time, clamped bool) {
		t.Helper()
		ev := fill(p, intake.Record{Tenant: "seal", Format: intake.JSON, Received: now.UnixNano(),
			Data: fmt.Appendf(nil, `{"@timestamp":%q,"message":"x"}`, at.Format(time.RFC3339Nano))})
		got := ev.Time == now.UnixNano()
		if got != clamped || ev.Has(event.TimeOriginal) != clamped || ev.Has(event.Marks) != clamped {
			t.Errorf("%s: clamped %v, want %v (time_original %q)", at, got, clamped, ev.Text(event.TimeOriginal))
		}
		if !clamped && ev.Time != at.UnixNano() {
			t.Errorf("%s became %s", at, ev.Timestamp())
		}
	}
	f(time.Unix(0, 0).UTC(), true)
	f(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), true)
	f(now.Add(-29*24*time.Hour), false)
	f(now.Add(-31*24*time.Hour), true)
	f(now.Add(59*time.Minute), false)
	f(now.Add(61*time.Minute), true)
}

func TestATenantsNamesAreBounded(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	seen := map[string]bool{}
	over := map[string]any{}
	for i := range 10 {
		ev := fill(p, intake.Record{Tenant: "seal", Format: intake.JSON,
			Data: fmt.Appendf(nil, `{"message":"x","a_%d":%d,"b_%d":"%d","c_%d":true,"d_%d":[1,"two"]}`, i, i, i, i, i, i)})
		for _, f := range ev.Fields {
			if !event.IsKnown(f.ID) {
				seen[p.opts.Registry.Name(f.ID)] = true
			}
		}
		if text := ev.Text(event.Overflow); text != "" {
			var m map[string]any
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			for k, v := range m {
				over[k] = v
			}
			if !ev.Has(event.Marks) {
				t.Error("an overflow without a mark")
			}
		}
	}
	if len(seen) > 20 || len(seen)+len(over) < 40 {
		t.Fatalf("%d names of their own, %d in overflow: 20 and the other 20 are due", len(seen), len(over))
	}
	if v, ok := over["d_9"].([]any); !ok || len(v) != 2 || v[0] != 1.0 || v[1] != "two" {
		t.Errorf("an array in overflow: %v", over["d_9"])
	}
	if ev := fill(p, intake.Record{Tenant: "hall", Format: intake.JSON, Data: []byte(`{"other":1}`)}); ev.Has(event.Overflow) {
		t.Error("one tenant's names count against another")
	}
	// Known fields are never taken out.
	if ev := fill(p, intake.Record{Tenant: "seal", Format: intake.JSON, Data: []byte(`{"source":{"ip":"10.0.0.1"}}`)}); ev.Text(event.SourceIP) != "10.0.0.1" {
		t.Error("a field of the schema is gone")
	}
}

func TestForgedDatasetsOpenNoStreamsWithoutEnd(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	var got []string
	for _, dataset := range []string{"a", "windows.security", "a", "windows.sysmon_operational", "c", "d", "windows.system", ""} {
		ev := &event.Event{Tenant: "seal"}
		if dataset != "" {
			ev.Set(event.EventDataset, dataset)
		}
		got = append(got, p.Stream(ev))
	}
	if want := []string{"a", "windows", "a", "windows", "c", "", "windows", ""}; !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
}

func TestSeen(t *testing.T) {
	t.Parallel()
	s := NewSeen(3)
	at := func(seq uint64) event.ID { return event.ID{Epoch: "e", Sequence: seq} }
	f := func(tenant, id string, seq uint64, want bool) {
		t.Helper()
		if got := s.Repeated(tenant, id, at(seq)); got != want {
			t.Errorf("%s/%s in batch %d: repeated %v, want %v", tenant, id, seq, got, want)
		}
	}
	if s.Floor(9) != 9 {
		t.Error("an empty memory needs nothing before the newest batch")
	}
	f("a", "x", 1, false)
	f("a", "x", 2, true)
	f("a", "x", 1, false) // the same event again, on a replay
	f("b", "x", 2, false) // another tenant's id
	f("a", "y", 3, false)
	if s.Floor(9) != 1 {
		t.Errorf("floor %d", s.Floor(9))
	}
	f("a", "z", 4, false) // a/x is the oldest and is forgotten
	f("a", "x", 5, false)
	if s.Len() != 3 || s.Floor(9) != 3 {
		t.Errorf("%d remembered from %d on", s.Len(), s.Floor(9))
	}
}

func BenchmarkFill(b *testing.B) {
	p := newPipeline(b)
	rec := intake.Record{Zone: "gov", Collector: "syslog-tcp", Format: intake.Syslog, Peer: netip.MustParseAddr("127.0.0.1"), Received: time.Now().UnixNano(),
		Data: []byte("<38>1 2026-11-23T08:00:00.123Z seal-web-1 sshd 4242 - - Failed password for invalid user admin from 203.0.113.7 port 4242 ssh2")}
	var ev event.Event
	b.ReportAllocs()
	for b.Loop() {
		p.Fill(&rec, event.ID{Epoch: "e", Sequence: 1}, &ev)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

package beat

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

func count(c *Counter, at time.Time, tenant, dataset, host string, rec intake.Record) {
	ev := &event.Event{Tenant: tenant}
	ev.Add(event.EventDataset, dataset)
	if host != "" {
		ev.Add(event.HostName, host)
	}
	ev.Add(event.CISystem, "bs1")
	rec.Received = at.UnixNano()
	c.Count(ev, &rec)
}

func TestCounter(t *testing.T) {
	t.Parallel()
	c := NewCounter("run")
	at := time.Unix(1_800_000_000, 0)
	tcp := intake.Record{Collector: "syslog-tcp", Zone: "gov", Peer: netip.MustParseAddr("10.1.2.3")}
	for i := range 10 {
		count(c, at.Add(time.Duration(i)*time.Minute), "tax", "nginx.access", "web-1", tcp)
	}
	count(c, at, "tax", "nginx.error", "web-1", tcp)
	count(c, at, "tax", "x", "", intake.Record{Collector: "files"})
	count(c, at, "city", "icewatch.audit", "", intake.Record{Collector: intake.Own})
	got := map[Key]Beat{}
	for _, b := range c.Tell(0).Beats {
		got[b.Key] = b
	}
	web := got[Key{"tax", "nginx.access", "web-1"}]
	if len(got) != 3 || len(web.Counts) != 2 || web.Counts[0].Events+web.Counts[1].Events != 10 || web.Last != at.Add(9*time.Minute).UnixNano() || web.Peer != "10.1.2.3" || web.System != "bs1" || web.Zone != "gov" {
		t.Errorf("%+v", got)
	}
	if got[Key{"tax", "x", "files"}].Counts[0].Slot != SlotOf(at) {
		t.Errorf("%+v", got)
	}
	if b := c.Tell(SlotOf(at) + 1).Beats; len(b) != 1 || len(b[0].Counts) != 1 {
		t.Errorf("%+v", b)
	}
	count(c, at.Add(4*time.Hour), "tax", "nginx.error", "web-1", tcp)
	if b := c.Tell(0).Beats; len(b) != 1 {
		t.Errorf("what is quiet is told on: %+v", b)
	}
	for i := range maxKeys + 10 {
		count(c, at.Add(4*time.Hour), "tax", "flood", fmt.Sprint(i), tcp)
	}
	if b := c.Tell(0).Beats; len(b) != maxKeys+1 {
		t.Errorf("%d sources are told apart", len(b))
	}
}

func BenchmarkCount(b *testing.B) {
	c := NewCounter("run")
	var evs []*event.Event
	for i := range 200 {
		ev := &event.Event{Tenant: "tax"}
		ev.Add(event.HostName, fmt.Sprint("host-", i))
		for range 20 {
			ev.Add(event.Message, "x")
		}
		ev.Add(event.EventDataset, "nginx.access")
		evs = append(evs, ev)
	}
	rec := intake.Record{Collector: "c", Received: 1_800_000_000_000_000_000}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Count(evs[i%len(evs)], &rec)
	}
}

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
	for _, b := range c.Tell(Mark{}, 0).Beats {
		got[b.Key] = b
	}
	web := got[Key{"tax", "nginx.access", "web-1"}]
	if len(got) != 3 || len(web.Counts) != 2 || web.Counts[0].Events+web.Counts[1].Events != 10 || web.Last != at.Add(9*time.Minute).UnixNano() || web.Peer != "10.1.2.3" || web.System != "bs1" || web.Zone != "gov" {
		t.Errorf("%+v", got)
	}
	if got[Key{"tax", "x", "files"}].Counts[0].Slot != SlotOf(at) {
		t.Errorf("%+v", got)
	}
	if b := c.Tell(Mark{}, SlotOf(at)+1).Beats; len(b) != 3 || len(b[0].Counts)+len(b[1].Counts)+len(b[2].Counts) != 1 {
		t.Errorf("%+v", b)
	}
	// Told on, there are those alone that were counted since, by their number.
	mark := c.Tell(Mark{}, 0).Mark
	if b := c.Tell(mark, 0).Beats; len(b) != 0 {
		t.Errorf("%+v", b)
	}
	count(c, at.Add(9*time.Minute), "tax", "nginx.access", "web-1", tcp)
	count(c, at, "tax", "y", "", intake.Record{Collector: "files"})
	for range 2 { // the first answer may have been lost
		b := c.Tell(mark, 0).Beats
		if len(b) != 2 {
			t.Fatalf("%+v", b)
		}
		if b[0].New {
			b[0], b[1] = b[1], b[0]
		}
		if b[0].New || b[0].Number != web.Number || b[0].Key != (Key{}) || len(b[0].Counts) != 2 || !b[1].New || b[1].Dataset != "y" || b[1].Number == web.Number {
			t.Errorf("%+v", b)
		}
	}
	if b := c.Tell(Mark{"another", mark.Round}, 0).Beats; len(b) != 4 {
		t.Errorf("%+v", b)
	}
	count(c, at.Add(4*time.Hour), "tax", "nginx.error", "web-1", tcp)
	b := c.Tell(Mark{}, 0).Beats
	if len(b) != 1 {
		t.Errorf("what is quiet is told on: %+v", b)
	}
	for i := range maxKeys + 10 {
		count(c, at.Add(4*time.Hour), "tax", "flood", fmt.Sprint(i), tcp)
	}
	b = c.Tell(Mark{}, 0).Beats
	numbers := map[uint64]bool{}
	for _, x := range b {
		numbers[x.Number] = true
	}
	if len(b) != maxKeys+1 || len(numbers) != len(b) {
		t.Errorf("%d sources are told apart, by %d numbers", len(b), len(numbers))
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

package rhythm

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/rhythm/beat"
	"icewatch/soc/watch"
)

// desk is what ticketing would be told.
type desk struct {
	mu   sync.Mutex
	told []string
}

func (d *desk) Ingest(_ context.Context, occs []detections.Occurrence) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range occs {
		d.told = append(d.told, fmt.Sprintf("raised %s of %s, system %s, owner %s", o.Rule.ID, o.Fields["source"], o.Fields["system_name"], o.Fields["owner"]))
	}
	return nil
}

func (d *desk) Recover(_ context.Context, _, key string, _ detections.Text) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, "over "+key)
	return nil
}

func (d *desk) LastAlert(context.Context, string, string) (string, error) { return "1", nil }

// The whole way, by a clock of its own: events are counted as they pass, learnt
// for two weeks, and a source that is cut off raises an alarm that names its
// system and owner, which ends when it sends again; a nightly batch raises none.
func TestCutOff(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	var d desk
	w, err := watch.Open(t.Context(), c.db, &d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	counter := beat.NewCounter("one")
	send := func(at time.Time, host, dataset string, n int) {
		ev := &event.Event{Tenant: "tax"}
		ev.Add(event.EventDataset, dataset)
		ev.Add(event.HostName, host)
		ev.Add(event.CISystemName, "电子税务")
		ev.Add(event.CIOwner, "张三")
		rec := intake.Record{Collector: "syslog-tcp", Peer: netip.MustParseAddr("10.1.2.3"), Received: at.UnixNano()}
		for range n {
			counter.Count(ev, &rec)
		}
	}
	var cut time.Time
	live := true
	pass := func(span time.Duration) {
		for end := c.now.Add(span); c.now.Before(end); c.now = c.now.Add(beat.Span) {
			if live {
				send(c.now.Add(time.Minute), "web-1", "nginx.access", 20)
			}
			if m := c.now.Hour()*60 + c.now.Minute(); m >= 2*60 && m < 2*60+45 {
				send(c.now.Add(time.Minute), "batch-1", "app.settlement", 50)
			}
			now := c.now.Add(beat.Span)
			b := counter.Tell(c.k.From())
			text, err := b.AppendBinary(nil) // as the engine tells the centre
			if err == nil {
				b, err = beat.Parse(text)
			}
			if err != nil {
				t.Fatal(err)
			}
			c.k.Take(b, now, 15*time.Minute)
			w.Hold(t.Context(), "silence", c.k.Alarms(now))
			if len(d.told) > 0 && cut.IsZero() && !live {
				cut = now
			}
		}
	}
	pass(14*day + 11*time.Hour)
	if len(d.told) > 0 {
		t.Fatalf("in two weeks as ever: %q", d.told)
	}
	live = false
	from := c.now
	pass(2 * time.Hour)
	if took := cut.Sub(from); cut.IsZero() || took > 30*time.Minute {
		t.Errorf("the source that was cut off alarms after %s", took)
	}
	live = true
	pass(2 * day)
	want := []string{"raised icewatch-self-source-silent of web-1, system 电子税务, owner 张三", "over icewatch-self-source-silent/source-silent/tax/web-1"}
	if !slices.Equal(d.told, want) {
		t.Errorf("told %q", d.told)
	}
}

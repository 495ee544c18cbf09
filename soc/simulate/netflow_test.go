package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/collectors/flow"
)

// TestFlowsAreOfTheSameCity sees that the flows that a real collector decodes
// are the connections that the city's logs tell of.
func TestFlowsAreOfTheSameCity(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	cfg := *flow.NewFactory().DefaultConfig().(*flow.Config)
	cfg.Listen = "127.0.0.1:0"
	c, err := flow.New(cfg, collectors.Deps{Sink: &sink})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	city := NewCity(7, "")
	rnd := rand.New(rand.NewPCG(1, 2))
	s := &flowSender{conn: conn, exporter: netip.MustParseAddr("10.90.0.1"), domain: 7, started: time.Now().Add(-time.Hour)}
	b := newBackground(city, "run")
	var want []connection
	now := time.Now()
	for range 2000 {
		o := b.next(now)
		if o.channel == ChannelElastic || o.channel == ChannelLoki {
			continue
		}
		want = append(want, city.connections(o.host, o.app, o.text, rnd)...)
	}
	if len(want) < 500 {
		t.Fatalf("2000 messages tell of %d connections", len(want))
	}
	s.add(want)
	s.export(now)
	got := sink.Wait(t, 2*len(want))
	if err := c.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		for side, rec := range got[2*i : 2*i+2] {
			var m struct {
				Domain int
				End    int64
				Flow   struct {
					Source   string `json:"sourceIPv4Address"`
					Dest     string `json:"destinationIPv4Address"`
					FromPort uint16 `json:"sourceTransportPort"`
					ToPort   uint16 `json:"destinationTransportPort"`
					Bytes    uint32 `json:"octetDeltaCount"`
					Exporter string `json:"exporterIPv4Address"`
				}
			}
			if err := json.Unmarshal(rec.Data, &m); err != nil {
				t.Fatal(err)
			}
			line := fmt.Sprintf("%s:%d to %s:%d, %d bytes", m.Flow.Source, m.Flow.FromPort, m.Flow.Dest, m.Flow.ToPort, m.Flow.Bytes)
			expect := fmt.Sprintf("%s:%d to %s:%d, %d bytes", w.client, w.clientPort, w.server, w.serverPort, w.sent)
			if side == 1 {
				expect = fmt.Sprintf("%s:%d to %s:%d, %d bytes", w.server, w.serverPort, w.client, w.clientPort, w.answered)
			}
			if line != expect || m.Flow.Exporter != "10.90.0.1" || m.Domain != 7 || now.UnixMilli()-m.End > 1001 || m.End-now.UnixMilli() > 1 {
				t.Fatalf("got %s of %s in %d, ended %d; want %s at %d", line, m.Flow.Exporter, m.Domain, m.End, expect, now.UnixMilli())
			}
		}
	}
}

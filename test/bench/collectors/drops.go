package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"icewatch/soc/simulate"
)

// dropBuffer is too small for what drops sends, so that the kernel drops much.
const dropBuffer = 128 << 10

// drops sends datagrams as fast as it can to listeners with a small buffer: what
// was lost must be counted, to the last datagram.
func (b *bench) drops(ctx context.Context) error {
	flood := func(kind string, datagrams [][]byte, each int64) error {
		t, err := b.startTaker(kind, dropBuffer, true)
		if err != nil {
			return err
		}
		conn, err := net.Dial("udp", t.address)
		if err != nil {
			t.kill()
			return err
		}
		defer conn.Close()
		for i, d := range datagrams {
			if _, err := conn.Write(d); err != nil {
				t.kill()
				return err
			}
			if i == 0 { // a template must be known before the others come
				if err := until("taking the first datagram", func() bool { return t.count.Load() > 0 }); err != nil {
					t.kill()
					return err
				}
			}
		}
		if err := t.stop(); err != nil {
			return err
		}
		lost := int64(len(datagrams)) - t.stored/each
		fmt.Printf("%s: %d datagrams were sent, %d are on the bus, %d were counted as dropped\n", kind, len(datagrams), t.stored/each, t.dropped)
		if t.stored%each != 0 || lost != t.dropped {
			b.faults = append(b.faults, fmt.Sprintf("%s: %d datagrams were lost and %d counted as dropped", kind, lost, t.dropped))
		}
		if lost == 0 {
			b.faults = append(b.faults, kind+": no datagram was lost, so that counting was not tried")
		}
		return nil
	}
	if err := flood("syslog_udp", b.syslogMessages(100_000), 1); err != nil {
		return err
	}
	return flood("flow", simulate.NetFlow(b.seed, 50_000, flowsPerPacket, time.Now()), flowsPerPacket)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"icewatch/soc/simulate"
	"icewatch/test/bench/suite"
)

const (
	flowsPerPacket = 24
	flowBuffer     = 16 << 20 // of the suite's socket, its default

	// Packets that were sent and not yet taken, at most. The suite's are taken
	// when they are durable, many together, and wait in the buffer that it asks
	// for; goflow2 keeps a socket's default buffer, and writes each at once.
	ourWindow   = 4096
	theirWindow = 64

	// theirShare is what part of the flows goflow2 gets: it takes several
	// microseconds for each.
	theirShare = 10
)

// netflow measures NetFlow v9 until the flows are decoded, and until they are
// durable on the bus, in turn with goflow2 until it has written them to a pipe, as protobuf, which takes it a
// fraction of the time of JSON. The sender waits where too much is on its way, so
// that neither loses any.
func (b *bench) netflow(ctx context.Context) error {
	if b.goflow2 == "" {
		return errors.New("the peer of NetFlow is missing: -goflow2 names it, and test/peers/goflow2.sh builds it")
	}
	packets := simulate.NetFlow(b.seed, max(2, b.flows/flowsPerPacket), flowsPerPacket, time.Now())
	total := int64(len(packets) * flowsPerPacket)
	ourRound := func(onBus bool) (round, error) {
		t, err := b.startTaker("flow", flowBuffer, onBus)
		if err != nil {
			return round{}, err
		}
		r, err := measureFlows(t.process, t.address, packets, ourWindow, t.count.Load)
		if err != nil {
			t.kill()
			return r, err
		}
		if err := t.stop(); err != nil {
			return r, err
		}
		if t.stored != total {
			return r, fmt.Errorf("of %d flows %d were taken", total, t.stored)
		}
		return r, nil
	}
	var ours, decoded, theirs []round
	for range b.rounds {
		r, err := ourRound(true)
		if err != nil {
			return err
		}
		ours = append(ours, r)
		if r, err = ourRound(false); err != nil {
			return err
		}
		decoded = append(decoded, r)
		if r, err = b.goflow2Round(packets[:max(2, len(packets)/theirShare)]); err != nil {
			return fmt.Errorf("goflow2: %w", err)
		}
		theirs = append(theirs, r)
	}
	fmt.Printf("NetFlow v9: %d flows a round, %d a packet of %d bytes; the peer is goflow2, protobuf to a pipe, and gets a tenth of them\n", total, flowsPerPacket, len(packets[1]))
	rate, cpu := tell("icewatch, durable on the bus", "flows", ours)
	peer, peerCPU := tell("goflow2, written to a pipe", "flows", theirs)
	plain, alone := tell("icewatch, decoded and kept nowhere", "flows", decoded)
	fmt.Printf("BENCH collectors.netflow9 %.0f flows/s\n", plain)
	fmt.Printf("BENCH collectors.netflow9_core %.0f flows/s\n", 1e6/alone)
	fmt.Printf("BENCH collectors.netflow9_durable %.0f flows/s\n", rate)
	fmt.Printf("BENCH collectors.netflow9_durable_core %.0f flows/s\n", 1e6/cpu)
	fmt.Printf("BENCH collectors.netflow_vs_goflow2 %.2f ratio\n", rate/peer) // durable beside not
	fmt.Printf("BENCH collectors.netflow_cpu_vs_goflow2 %.2f ratio\n", peerCPU/cpu)
	b.aim("NetFlow v9 decoded", plain, aimFlows, "flows a second")
	return nil
}

// measureFlows sends the packets while what count tells keeps up.
func measureFlows(p *process, address string, packets [][]byte, window int64, count func() int64) (round, error) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return round{}, err
	}
	defer conn.Close()
	total := int64(len(packets) * flowsPerPacket)
	// The template must be known before the others come.
	if _, err := conn.Write(packets[0]); err != nil {
		return round{}, err
	}
	if err := until("taking the template", func() bool { return count() >= flowsPerPacket }); err != nil {
		return round{}, err
	}
	return measure(p, total-flowsPerPacket, func() error {
		waited := time.Now()
		for i, packet := range packets[1:] {
			for int64(i+1)-count()/flowsPerPacket > window {
				if time.Sleep(200 * time.Microsecond); time.Since(waited) > patience {
					return fmt.Errorf("%d packets were sent and %d flows were taken within %s: some were lost", i+1, count(), patience)
				}
			}
			waited = time.Now()
			if _, err := conn.Write(packet); err != nil {
				return err
			}
		}
		return nil
	}, func() bool { return count() >= total })
}

// flowEnd stands behind each flow that goflow2 writes; protobuf hardly ever
// holds it.
const flowEnd = "\xff\xfe<end>\xff\n"

// ends counts the flows that are written to it.
type ends struct {
	n    atomic.Int64
	rest []byte // of what was written, as much as may begin an end
}

// Write implements io.Writer.
func (e *ends) Write(b []byte) (int, error) {
	e.rest = append(e.rest, b...)
	e.n.Add(int64(bytes.Count(e.rest, []byte(flowEnd))))
	if at := bytes.LastIndex(e.rest, []byte(flowEnd)); at >= 0 {
		e.rest = e.rest[at+len(flowEnd):]
	}
	e.rest = append([]byte(nil), e.rest[max(0, len(e.rest)-len(flowEnd)+1):]...)
	return len(b), nil
}

func (b *bench) goflow2Round(packets [][]byte) (round, error) {
	address, err := suite.FreeAddress()
	if err != nil {
		return round{}, err
	}
	p := newProcess(b.goflow2, "-listen", "netflow://"+address, "-addr", "", "-loglevel", "warn", "-format", "bin", "-transport", "file", "-transport.file.sep", flowEnd)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return round{}, err
	}
	if err := p.start(); err != nil {
		return round{}, err
	}
	defer p.kill()
	var taken ends
	go func() { _, _ = io.CopyBuffer(&taken, out, make([]byte, 1<<20)) }()
	_, port, _ := net.SplitHostPort(address)
	if err := until("the start of goflow2", func() bool { return listensUDP(port) }); err != nil {
		return round{}, err
	}
	return measureFlows(p, address, packets, theirWindow, taken.n.Load)
}

// listensUDP tells whether somebody has the port.
func listensUDP(port string) bool {
	c, err := net.ListenPacket("udp", "127.0.0.1:"+port)
	if err != nil {
		return true
	}
	_ = c.Close()
	return false
}

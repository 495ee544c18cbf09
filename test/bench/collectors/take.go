package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/flow"
	"icewatch/collectors/syslog"
	"icewatch/soc/bus"
	"icewatch/soc/intake"
)

// A taker of the suite runs in a process of its own, as its peers do: one
// collector whose records go to a bus on the disk.

// counting counts what the bus has made durable.
type counting struct {
	intake.Sink
	n atomic.Int64
}

// Append implements intake.Sink.
func (c *counting) Append(ctx context.Context, recs []intake.Record) error {
	err := c.Sink.Append(ctx, recs)
	if err == nil {
		c.n.Add(int64(len(recs)))
	}
	return err
}

// nothing is a sink that keeps nothing, for what decoding alone takes.
type nothing struct{}

// Append implements intake.Sink.
func (nothing) Append(context.Context, []intake.Record) error { return nil }

// take runs the collector of a kind until in ends: on a bus in the folder, or
// where that is "" on a sink that keeps nothing. It writes "ready
// ADDRESS", then "count RECORDS" as these become durable, and at last "end
// RECORDS DROPPED", the datagrams that the kernel had no room for. buffer is the
// kernel's buffer in bytes.
func take(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("take: kind, folder and buffer are wanted, not %q", args)
	}
	kind, dir := args[0], args[1]
	buffer, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	ctx := context.Background()
	sink := &counting{Sink: nothing{}}
	if dir != "" {
		server, err := bus.Open(ctx, bus.Options{Dir: filepath.Join(dir, "bus"), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		defer server.Close()
		publisher, err := server.Publisher()
		if err != nil {
			return err
		}
		defer publisher.Close()
		sink.Sink = publisher
	}
	factory := map[string]func() collectors.Factory{"syslog_tcp": syslog.NewTCPFactory, "syslog_udp": syslog.NewUDPFactory, "flow": flow.NewFactory}[kind]
	if factory == nil {
		return fmt.Errorf("take: there is no kind %q", kind)
	}
	cfg := factory().DefaultConfig()
	switch c := cfg.(type) {
	case *syslog.TCPConfig:
		c.Listen = "127.0.0.1:0"
	case *syslog.UDPConfig:
		c.Listen, c.ReceiveBuffer = "127.0.0.1:0", buffer
	case *flow.Config:
		c.Listen, c.ReceiveBuffer = "127.0.0.1:0", buffer
	}
	c, err := factory().New(cfg, collectors.Deps{Sink: sink, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "ready %s\n", c.(interface{ Addr() net.Addr }).Addr())
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in)
		close(ended)
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for said := int64(0); ; {
		select {
		case <-tick.C:
			if n := sink.n.Load(); n != said {
				said = n
				fmt.Fprintf(out, "count %d\n", n)
			}
			continue
		case <-ended:
		}
		break
	}
	if err := c.Stop(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "end %d %d\n", sink.n.Load(), c.Health().Dropped)
	return nil
}

// suiteTaker is a taker of the suite as the measuring process sees it.
type suiteTaker struct {
	*process
	in      io.Closer
	address string
	count   atomic.Int64
	stored  int64 // at the end
	dropped int64
	ended   chan error
}

// startTaker starts a taker of the suite, on a bus or on a sink that keeps
// nothing.
func (b *bench) startTaker(kind string, buffer int, onBus bool) (*suiteTaker, error) {
	dir := ""
	if onBus {
		var err error
		if dir, err = b.folder(kind); err != nil {
			return nil, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := &suiteTaker{process: newProcess(self, "take", kind, dir, strconv.Itoa(buffer)), ended: make(chan error, 1)}
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := t.start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "ready ") {
		t.kill()
		return nil, fmt.Errorf("the taker %s did not begin: %q", kind, lines.Text())
	}
	t.address = strings.TrimPrefix(lines.Text(), "ready ")
	go func() {
		for lines.Scan() {
			var n int64
			if _, err := fmt.Sscanf(lines.Text(), "count %d", &n); err == nil {
				t.count.Store(n)
			} else if _, err := fmt.Sscanf(lines.Text(), "end %d %d", &t.stored, &t.dropped); err == nil {
				t.ended <- nil
				return
			}
		}
		t.ended <- fmt.Errorf("the taker %s ended early", kind)
	}()
	return t, nil
}

// stop has the taker store what it holds and end.
func (t *suiteTaker) stop() error {
	_ = t.in.Close()
	select {
	case err := <-t.ended:
		t.kill()
		return err
	case <-time.After(patience):
		t.kill()
		return fmt.Errorf("a taker did not end within %s", patience)
	}
}

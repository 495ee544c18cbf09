package syslog

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/batch"
	"icewatch/collectors/datagram"
)

// UDP is a UDP listener.
type UDP struct {
	cfg      UDPConfig
	deps     collectors.Deps
	counters *collectors.Counters
	batch    *batch.Batcher
	socket   *datagram.Socket
	counted  time.Time // when the kernel's drops were last read, by run alone

	started, stopping atomic.Bool
	wg                sync.WaitGroup
}

var _ collectors.Collector = (*UDP)(nil)

// NewUDP makes a UDP listener.
func NewUDP(cfg UDPConfig, deps collectors.Deps) (*UDP, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.ReceiveBuffer < 0 || cfg.ReceiveBuffer > datagram.MaxBuffer {
		return nil, fmt.Errorf("syslog: %s: receive_buffer must be between 0 and 1 GiB, not %d", cfg.ID, cfg.ReceiveBuffer)
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	return &UDP{cfg: cfg, deps: deps, counters: collectors.NewCounters(deps.Metrics, cfg.ID)}, nil
}

// Start listens.
func (u *UDP) Start(ctx context.Context) (err error) {
	if u.socket, err = datagram.Listen(ctx, u.cfg.Listen, u.cfg.ReceiveBuffer, u.deps.Log, u.cfg.ID); err != nil {
		return fmt.Errorf("syslog: %s: %w", u.cfg.ID, err)
	}
	u.batch = batch.New(u.deps, u.counters, u.cfg.ID, u.cfg.FlushInterval)
	u.counters.Running(true)
	u.started.Store(true)
	u.wg.Go(func() {
		u.counted = time.Now()
		u.socket.Run(u.take, func(err error) {
			u.counters.Failed(err)
			u.deps.Log.Warn("reading syslog datagrams failed", "collector", u.cfg.ID, "error", err)
		})
	})
	return nil
}

// Addr is the address in use.
func (u *UDP) Addr() net.Addr { return u.socket.Addr() }

// Health tells how the listener fares, with the kernel's drops as of now.
func (u *UDP) Health() collectors.Health {
	listen := u.cfg.Listen
	if u.started.Load() {
		listen = u.Addr().String()
		u.counters.Dropped(int(u.socket.Dropped()))
	}
	return u.counters.Health(u.cfg.ID, "syslog_udp", listen)
}

// dropsEvery is how often the kernel's figure is read while nobody asks.
const dropsEvery = 5 * time.Second

func (u *UDP) take(d *datagram.Datagrams) {
	now := time.Now()
	u.batch.Lock()
	for i := range d.Len() {
		text, cut := d.Data(i)
		if text = trimEnd(text); len(text) == 0 {
			u.counters.Rejected(1) // An empty datagram says nothing.
			continue
		}
		rec := u.cfg.newRecord(d.Peer(i), now)
		if cut {
			rec.Marks = marksTruncated
		}
		u.batch.Add(rec, text)
	}
	u.batch.Unlock()
	if now.Sub(u.counted) > dropsEvery {
		u.counted = now
		u.counters.Dropped(int(u.socket.Dropped()))
	}
}

// Stop reads what the kernel holds, hands everything to the sink and closes.
func (u *UDP) Stop(ctx context.Context) error {
	if !u.started.Load() || u.stopping.Swap(true) {
		return nil
	}
	u.socket.Stop()
	defer context.AfterFunc(ctx, u.batch.Cancel)()
	u.wg.Wait()
	u.counters.Dropped(int(u.socket.Dropped()))
	_ = u.socket.Close()
	lost := u.batch.Close(ctx)
	u.counters.Running(false)
	if lost > 0 {
		return fmt.Errorf("syslog: %s: %d messages could not be stored before the end: %w", u.cfg.ID, lost, context.Cause(ctx))
	}
	return nil
}

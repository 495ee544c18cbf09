package syslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"icewatch/collectors"
	"icewatch/collectors/batch"
)

const (
	firstBuffer = 16 << 10
	minRead     = 4 << 10
	fastBuffer  = 128 << 10 // what a busy connection's buffer grows to
	largeBuffer = 1 << 20   // a buffer beyond takes one of largeTokens
	largeTokens = 8         // so that many senders of giants cannot exhaust memory
	nulWait     = 50 * time.Millisecond
	drainQuiet  = 50 * time.Millisecond // silence that ends a connection at Stop

	handshakeTimeout = 15 * time.Second
)

// TCP is a TCP listener.
type TCP struct {
	cfg      TCPConfig
	deps     collectors.Deps
	counters *collectors.Counters
	batch    *batch.Batcher
	listener net.Listener
	large    chan struct{}

	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	stopping atomic.Bool
	deadline atomic.Int64 // Unix nanoseconds at which the drain ends
	wg       sync.WaitGroup
	started  atomic.Bool
}

var _ collectors.Collector = (*TCP)(nil)

// NewTCP makes a TCP listener.
func NewTCP(cfg TCPConfig, deps collectors.Deps) (*TCP, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.MaxConnections <= 0 || cfg.MaxMessage < 1024 || cfg.MaxMessage > 256<<20 || cfg.IdleTimeout <= 0 || cfg.DrainTime < 0 {
		return nil, fmt.Errorf("syslog: %s: max_connections (%d) and idle_timeout (%v) must be above 0, max_message (%d) between 1 KiB and 256 MiB",
			cfg.ID, cfg.MaxConnections, cfg.IdleTimeout, cfg.MaxMessage)
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	return &TCP{cfg: cfg, deps: deps, counters: collectors.NewCounters(deps.Metrics, cfg.ID),
		conns: make(map[net.Conn]struct{}), large: make(chan struct{}, largeTokens)}, nil
}

// Start listens.
func (t *TCP) Start(ctx context.Context) error {
	open := t.cfg.Open
	if open == nil {
		open = func() (net.Listener, error) {
			lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 20 * time.Second, Count: 5}}
			return lc.Listen(ctx, "tcp", t.cfg.Listen)
		}
	}
	l, err := open()
	if err != nil {
		return fmt.Errorf("syslog: %s: listen on %s over TCP: %w", t.cfg.ID, t.cfg.Listen, err)
	}
	t.listener = l
	t.batch = batch.New(t.deps, t.counters, t.cfg.ID, t.cfg.FlushInterval)
	t.counters.Running(true)
	t.started.Store(true)
	t.wg.Add(1)
	go t.accept()
	return nil
}

// Addr is the address in use; it tells the port where the configuration left
// it open.
func (t *TCP) Addr() net.Addr { return t.listener.Addr() }

// Health tells how the listener fares.
func (t *TCP) Health() collectors.Health {
	listen := t.cfg.Listen
	if t.started.Load() {
		listen = t.listener.Addr().String()
	}
	kind := "syslog_tcp"
	if t.cfg.Open != nil {
		kind = "syslog_tls"
	}
	return t.counters.Health(t.cfg.ID, kind, listen)
}

func (t *TCP) accept() {
	defer t.wg.Done()
	wait := 5 * time.Millisecond
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			if t.stopping.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: it passes.
			t.counters.Failed(err)
			t.deps.Log.Warn("a syslog connection could not be accepted", "collector", t.cfg.ID, "error", err)
			time.Sleep(wait)
			wait = min(2*wait, time.Second)
			continue
		}
		wait = 5 * time.Millisecond
		t.mu.Lock()
		full := len(t.conns) >= t.cfg.MaxConnections
		if !full {
			t.conns[conn] = struct{}{}
			t.wg.Add(1)
		}
		t.mu.Unlock()
		if full {
			t.counters.Rejected(1)
			t.deps.Log.Warn("a syslog connection was refused: there are too many", "collector", t.cfg.ID, "peer", conn.RemoteAddr(), "limit", t.cfg.MaxConnections)
			conn.Close()
			continue
		}
		go t.serve(conn)
	}
}

func (t *TCP) serve(conn net.Conn) {
	defer t.wg.Done()
	defer func() {
		conn.Close()
		t.mu.Lock()
		delete(t.conns, conn)
		t.mu.Unlock()
	}()
	var peer netip.Addr
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		peer = a.AddrPort().Addr().Unmap()
	}
	if secured, ok := conn.(interface{ HandshakeContext(context.Context) error }); ok {
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
		err := secured.HandshakeContext(ctx)
		cancel()
		if err != nil {
			t.counters.Rejected(1)
			t.deps.Log.Warn("a syslog connection was refused", "collector", t.cfg.ID, "peer", peer, "error", err)
			return
		}
	}
	f := &framer{buf: make([]byte, firstBuffer), max: t.cfg.MaxMessage}
	large := false
	defer func() {
		if large {
			<-t.large
		}
	}()
	for {
		if !large && f.end-f.start > largeBuffer/2 {
			// The token is taken before the buffer grows, so at most so many
			// giants are in memory; other senders of giants wait.
			t.large <- struct{}{}
			large = true
		}
		if !f.room(minRead) {
			// It cannot be: the framer yields a cut message before.
			t.deps.Log.Error("a syslog connection is closed: its buffer is full", "collector", t.cfg.ID, "peer", peer)
			t.counters.Rejected(1)
			return
		}
		t.setDeadline(conn, f.waitNUL)
		space := f.buf[f.end:]
		n, err := conn.Read(space)
		f.end += n
		e := open
		if err != nil {
			e = t.ending(err, f.waitNUL)
		}
		t.take(f, peer, e)
		switch e {
		case eof:
			if !errors.Is(err, io.EOF) {
				t.deps.Log.Debug("a syslog connection broke", "collector", t.cfg.ID, "peer", peer, "error", err)
			}
			return
		case stopped:
			if n := unread(conn); n > 0 {
				t.deps.Log.Warn("a syslog connection is closed though more has come", "collector", t.cfg.ID, "peer", peer, "bytes", n)
			}
			return
		}
		if n == len(space) && len(f.buf) < fastBuffer {
			f.room(2 * len(f.buf))
		}
		if f.start == f.end && len(f.buf) > largeBuffer {
			f.buf, f.start, f.end = make([]byte, firstBuffer), 0, 0
			if large {
				<-t.large
				large = false
			}
		}
	}
}

func (t *TCP) setDeadline(conn net.Conn, waitNUL bool) {
	before := t.stopping.Load()
	conn.SetReadDeadline(t.readDeadline(waitNUL))
	if !before && t.stopping.Load() {
		// Stop came in between, and its deadline was overwritten.
		conn.SetReadDeadline(t.readDeadline(waitNUL))
	}
}

// readDeadline tells until when a read may wait.
func (t *TCP) readDeadline(waitNUL bool) time.Time {
	now := time.Now()
	switch {
	case t.stopping.Load():
		end := time.Unix(0, t.deadline.Load())
		if quiet := now.Add(drainQuiet); quiet.Before(end) {
			return quiet
		}
		return end
	case waitNUL:
		return now.Add(nulWait)
	}
	return now.Add(t.cfg.IdleTimeout)
}

// ending tells what an error of Read means for the bytes that wait.
func (t *TCP) ending(err error, waitNUL bool) ending {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return eof
	}
	if t.stopping.Load() {
		// Stop shortens the deadline of a read that waits. Then the connection
		// gets one more read, with the drain's deadline.
		return stopped
	}
	if waitNUL {
		return idle
	}
	return eof
}

// take hands all complete messages to the batcher.
func (t *TCP) take(f *framer, peer netip.Addr, e ending) {
	msg, marks, ok := f.next(e)
	if !ok {
		return
	}
	rec := t.cfg.newRecord(peer, time.Now())
	t.batch.Lock()
	for ; ok; msg, marks, ok = f.next(e) {
		rec.Marks = marks
		t.batch.Add(rec, msg)
	}
	t.batch.Unlock()
}

// Stop reads what the senders have already sent, bounded by the drain time,
// hands everything to the sink and closes.
func (t *TCP) Stop(ctx context.Context) error {
	if !t.started.Load() {
		return nil
	}
	end := time.Now().Add(t.cfg.DrainTime)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	if !t.deadline.CompareAndSwap(0, end.UnixNano()) {
		return nil // It has been stopped before.
	}
	t.stopping.Store(true)
	t.listener.Close()
	t.mu.Lock()
	for conn := range t.conns {
		conn.SetReadDeadline(time.Now().Add(drainQuiet))
	}
	t.mu.Unlock()
	// A connection may wait for room in the batcher: where the sink does not
	// take anything, ctx is what ends that.
	defer context.AfterFunc(ctx, t.batch.Cancel)()
	t.wg.Wait()
	lost := t.batch.Close(ctx)
	t.counters.Running(false)
	if lost > 0 {
		return fmt.Errorf("syslog: %s: %d messages could not be stored before the end: %w", t.cfg.ID, lost, context.Cause(ctx))
	}
	return nil
}

// unread tells how many bytes the kernel holds for a connection.
func unread(conn net.Conn) int {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return n
}

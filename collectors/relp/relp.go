// Package relp takes in syslog over RELP, the Reliable Event Logging Protocol
// of rsyslog (imrelp's side), plain or over TLS. A message is acknowledged only
// once it is durable, so that a sender that keeps what is not acknowledged loses
// nothing over a broken connection or a restart. It may send some again then:
// the protocol has no ids, and a message that arrives twice is stored twice.
package relp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/collectors"
	"icewatch/soc/intake"
)

// Config is the configuration of a listener.
type Config struct {
	ID     string `yaml:"id" json:"-"` // unique name, stored as icewatch.collector
	Listen string `yaml:"listen" json:"listen" maxLength:"300" doc:"Address and port, such as :2515 or 10.1.2.3:2515"`
	Tenant string `yaml:"tenant" json:"-"` // slug of the tenant all messages belong to; empty leaves it to the pipeline
	Zone   string `yaml:"zone" json:"-"`   // network zone of the senders
	// MaxConnections bounds the open connections; further ones are closed at
	// once and counted as rejected.
	MaxConnections int `yaml:"max_connections" json:"max_connections" minimum:"1" maximum:"100000" doc:"Open connections; further ones are closed at once"`
	// IdleTimeout closes a connection without traffic; a sender opens another
	// and loses nothing.
	IdleTimeout time.Duration `yaml:"idle_timeout" json:"-"`
	// MaxMessage bounds one message in bytes. What is longer is cut there and
	// marked; what is longer than intake.MaxData is kept aside whole.
	MaxMessage int `yaml:"max_message" json:"max_message" minimum:"1024" maximum:"268435456" doc:"Bytes of a message; what is longer is cut, and marked"`
	// TLS asks whoever makes the collector to give it an Open for TLS.
	TLS bool `yaml:"-" json:"tls" doc:"TLS by the suite's certificate; senders show one of their own where syslog.client_ca asks for it"`
	// Open opens the address, where it is not plain TCP.
	Open func() (net.Listener, error) `yaml:"-" json:"-"`
}

// What is acknowledged together: all that has arrived, up to these.
const (
	maxWindow      = 1024
	maxWindowBytes = 1 << 20
)

const (
	firstRetry       = 10 * time.Millisecond
	lastRetry        = 500 * time.Millisecond
	handshakeTimeout = 15 * time.Second
)

// NewFactory returns the factory of listeners, "relp".
func NewFactory() collectors.Factory {
	return collectors.Factory{
		Type: "relp",
		DefaultConfig: func() any {
			return &Config{ID: "relp", Listen: ":2514", MaxConnections: 1024, IdleTimeout: time.Hour, MaxMessage: 16 << 20}
		},
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("relp: its configuration is expected, not %T", cfg)
			}
			return New(*c, deps)
		},
	}
}

// Listener is a RELP listener.
type Listener struct {
	cfg      Config
	deps     collectors.Deps
	counters *collectors.Counters
	listener net.Listener

	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	stopping atomic.Bool
	started  atomic.Bool
	lost     atomic.Int64 // messages read but neither stored nor acknowledged
	wg       sync.WaitGroup
	// ctx is for the sink; it ends when Stop has waited long enough.
	ctx    context.Context
	cancel context.CancelFunc
}

var _ collectors.Collector = (*Listener)(nil)

// New makes a listener.
func New(cfg Config, deps collectors.Deps) (*Listener, error) {
	if cfg.ID == "" {
		return nil, fmt.Errorf("relp: a listener on %q has no id", cfg.Listen)
	}
	if _, _, err := net.SplitHostPort(cfg.Listen); err != nil {
		return nil, fmt.Errorf("relp: %s: listen must be [host]:port: %w", cfg.ID, err)
	}
	if cfg.MaxConnections <= 0 || cfg.MaxMessage < 1024 || cfg.MaxMessage > 256<<20 || cfg.IdleTimeout <= 0 {
		return nil, fmt.Errorf("relp: %s: max_connections (%d) and idle_timeout (%v) must be above 0, max_message (%d) between 1 KiB and 256 MiB",
			cfg.ID, cfg.MaxConnections, cfg.IdleTimeout, cfg.MaxMessage)
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	if cfg.Open == nil {
		cfg.Open = func() (net.Listener, error) { return net.Listen("tcp", cfg.Listen) }
	}
	l := &Listener{cfg: cfg, deps: deps, counters: collectors.NewCounters(deps.Metrics, cfg.ID), conns: map[net.Conn]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, nil
}

// Start listens.
func (l *Listener) Start(context.Context) error {
	ln, err := l.cfg.Open()
	if err != nil {
		return fmt.Errorf("relp: %s: listen on %s: %w", l.cfg.ID, l.cfg.Listen, err)
	}
	l.listener = ln
	l.counters.Running(true)
	l.started.Store(true)
	l.wg.Go(l.accept)
	return nil
}

// Addr is the address in use; it tells the port where the configuration left
// it open.
func (l *Listener) Addr() net.Addr { return l.listener.Addr() }

// Health tells how the listener fares.
func (l *Listener) Health() collectors.Health {
	listen := l.cfg.Listen
	if l.started.Load() {
		listen = l.listener.Addr().String()
	}
	return l.counters.Health(l.cfg.ID, "relp", listen)
}

func (l *Listener) accept() {
	wait := firstRetry
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			if l.stopping.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: it passes.
			l.counters.Failed(err)
			l.deps.Log.Warn("a RELP connection could not be accepted", "collector", l.cfg.ID, "error", err)
			time.Sleep(wait)
			wait = min(2*wait, time.Second)
			continue
		}
		wait = firstRetry
		l.mu.Lock()
		full := len(l.conns) >= l.cfg.MaxConnections
		if !full {
			l.conns[conn] = struct{}{}
		}
		l.mu.Unlock()
		if full {
			l.counters.Rejected(1)
			l.deps.Log.Warn("a RELP connection was refused: there are too many", "collector", l.cfg.ID, "peer", conn.RemoteAddr(), "limit", l.cfg.MaxConnections)
			conn.Close()
			continue
		}
		l.wg.Go(func() {
			err := l.serve(conn)
			conn.Close()
			l.mu.Lock()
			delete(l.conns, conn)
			l.mu.Unlock()
			switch {
			case err == nil:
			case errors.Is(err, errFrame), errors.Is(err, errRefused):
				l.counters.Rejected(1)
				l.deps.Log.Warn("a RELP connection is closed", "collector", l.cfg.ID, "peer", conn.RemoteAddr(), "error", err)
			default:
				l.deps.Log.Debug("a RELP connection ended", "collector", l.cfg.ID, "peer", conn.RemoteAddr(), "error", err)
			}
		})
	}
}

// errRefused marks what the peer may not do.
var errRefused = errors.New("refused")

// serve works one connection until it ends. nil means that it ended as the
// protocol has it.
func (l *Listener) serve(conn net.Conn) error {
	var peer netip.Addr
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		peer = a.AddrPort().Addr().Unmap()
	}
	if secured, ok := conn.(interface{ HandshakeContext(context.Context) error }); ok {
		ctx, cancel := context.WithTimeout(l.ctx, handshakeTimeout)
		err := secured.HandshakeContext(ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("%w: TLS: %w", errRefused, err)
		}
	}
	r := &reader{r: bufio.NewReaderSize(conn, 64<<10), max: l.cfg.MaxMessage}
	w := &window{listener: l, conn: conn, peer: peer}
	opened := false
	for {
		if r.r.Buffered() == 0 || w.full() {
			if err := w.settle(); err != nil {
				return err
			}
			if l.stopping.Load() {
				return bye(conn)
			}
		}
		l.setDeadline(conn)
		f, err := r.next()
		if err != nil {
			if settled := w.settle(); settled != nil {
				return settled
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if l.stopping.Load() {
				return bye(conn)
			}
			return err
		}
		switch f.command {
		case "open":
			text, err := offers(f.data)
			if err != nil {
				_, _ = conn.Write(answer(nil, f.txnr, 500, err.Error()))
				return fmt.Errorf("%w: %w", errRefused, err)
			}
			opened = true
			w.answers = answer(w.answers, f.txnr, 200, text)
		case "syslog":
			if !opened {
				_, _ = conn.Write(answer(nil, f.txnr, 500, "no session is open"))
				return fmt.Errorf("%w: a message before a session was opened", errRefused)
			}
			w.add(f)
		case "close":
			if err := w.settle(); err != nil {
				return err
			}
			_, err := conn.Write(append(answer(nil, f.txnr, 200, "OK"), "0 serverclose 0\n"...))
			return err
		default:
			w.answers = answer(w.answers, f.txnr, 500, fmt.Sprintf("command %q is not known", f.command))
		}
	}
}

// bye ends a session from our side. What the client sent since is not stored
// and not acknowledged; it is read all the same, for a connection closed over
// unread bytes may take acknowledgements with it that are on their way.
func bye(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("0 serverclose 0\n")); err != nil {
		return err
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, conn)
	}
	return nil
}

func (l *Listener) setDeadline(conn net.Conn) {
	for {
		stopping, until := l.stopping.Load(), time.Now()
		if !stopping {
			until = until.Add(l.cfg.IdleTimeout)
		}
		conn.SetReadDeadline(until)
		if stopping || !l.stopping.Load() {
			return // Else Stop came in between, and its deadline was overwritten.
		}
	}
}

// window is what of a connection has been read and is neither stored nor
// acknowledged yet.
type window struct {
	listener *Listener
	conn     net.Conn
	peer     netip.Addr

	records []intake.Record
	ends    []int  // where each record's text ends in text
	text    []byte // of all records
	answers []byte // what the client is told once all is stored
}

func (w *window) full() bool { return len(w.records) >= maxWindow || len(w.text) >= maxWindowBytes }

// add copies a message.
func (w *window) add(f frame) {
	l := w.listener
	rec := intake.Record{Tenant: l.cfg.Tenant, Zone: l.cfg.Zone, Collector: l.cfg.ID, Format: intake.Syslog, Peer: w.peer, Received: time.Now().UnixNano()}
	if f.cut {
		rec.Marks = []string{collectors.MarkTruncated}
	}
	text := f.data
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == 0) {
		text = text[:len(text)-1]
	}
	if len(text) > intake.MaxData {
		rec.Data = text
		if err := collectors.Fit(l.deps.Aside, &rec); err != nil {
			l.deps.Log.Warn("a long message could not be kept whole", "collector", l.cfg.ID, "peer", w.peer, "error", err)
		}
		text, rec.Data = rec.Data, nil
	}
	if len(text) > 0 { // An empty message is acknowledged and is no event.
		w.text = append(w.text, text...)
		w.ends = append(w.ends, len(w.text))
		w.records = append(w.records, rec)
	}
	w.answers = answer(w.answers, f.txnr, 200, "OK")
}

// settle stores what was read and tells the client so.
func (w *window) settle() error {
	if n := len(w.records); n > 0 {
		from := 0
		for i, end := range w.ends {
			w.records[i].Data = w.text[from:end:end]
			from = end
		}
		if err := w.store(); err != nil {
			w.listener.lost.Add(int64(n))
			return err
		}
		w.listener.counters.Received(n, len(w.text))
		clear(w.records)
		w.records, w.ends, w.text = w.records[:0], w.ends[:0], w.text[:0]
		if cap(w.text) > 4*maxWindowBytes {
			w.text = nil
		}
	}
	if len(w.answers) == 0 {
		return nil
	}
	w.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err := w.conn.Write(w.answers)
	w.answers = w.answers[:0]
	return err
}

// store hands the records to the sink, again and again until it takes them or
// the drain at the end is over: meanwhile the client waits.
func (w *window) store() error {
	l := w.listener
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := l.deps.Sink.Append(l.ctx, w.records)
		if err == nil {
			l.counters.Failed(nil)
			return nil
		}
		l.counters.Failed(err)
		if errors.Is(err, intake.ErrClosed) || l.ctx.Err() != nil {
			return err
		}
		if !errors.Is(err, intake.ErrFull) {
			l.deps.Log.Error("messages could not be stored and wait", "collector", l.cfg.ID, "records", len(w.records), "error", err)
		}
		select {
		case <-time.After(wait):
		case <-l.ctx.Done():
		}
	}
}

// Stop stores and acknowledges what has arrived, tells the senders that the
// session ends and closes. What it could not store its senders still have.
func (l *Listener) Stop(ctx context.Context) error {
	if !l.started.Load() || !l.stopping.CompareAndSwap(false, true) {
		return nil
	}
	l.listener.Close()
	l.mu.Lock()
	for conn := range l.conns {
		conn.SetReadDeadline(time.Now())
	}
	l.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		l.cancel()
		l.mu.Lock()
		defer l.mu.Unlock()
		for conn := range l.conns {
			conn.Close()
		}
	})
	l.wg.Wait()
	stop()
	l.cancel()
	l.counters.Running(false)
	if n := l.lost.Load(); n > 0 {
		return fmt.Errorf("relp: %s: %d messages were not stored before the end; their senders were not told that they were, and still have them: %w", l.cfg.ID, n, context.Cause(ctx))
	}
	return nil
}

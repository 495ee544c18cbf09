// Package listener serves the agents' API (wire): HTTP/2 by TLS 1.3 with the fleet's
// own certificates. Whoever is enrolled shows a certificate; who that is, and whose,
// comes from there alone. What an agent sends is answered once it is durable on the bus,
// and a batch that is sent again is stored once.
package listener

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"icewatch/collectors"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/ca"
	"icewatch/collectors/fleet/release"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
)

// ID is the collector's name in events and figures.
const ID = "agent"

// Bounds.
const (
	maxConnections = 25_000
	enrolsAtOnce   = 8
	unpackAtOnce   = 8 // batches read and unpacked at a time: bounds memory
	bodyTime       = time.Minute
	enrolTries     = 30 // failed ones of an address in a minute
)

// Options are what the listener needs.
type Options struct {
	Listen    string
	Zone      string // network zone of the hosts
	Fleet     *fleet.Service
	Catalogue *metrics.Catalogue
	Samples   metrics.Sink
	Held      metrics.Limits
	Scans     Scans // nil where nothing is scanned
}

// Scans is the room that scanners are told what to look at by, and that takes what they
// found. Its errors are the fleet's.
type Scans interface {
	// Checkin takes what a scanner tells, JSON, and answers when there is something to
	// tell it.
	Checkin(ctx context.Context, scanner fleet.Agent, body []byte) (orders []byte, err error)
	// TakeResults takes a batch's body, durably.
	TakeResults(ctx context.Context, scanner fleet.Agent, body []byte) error
	// Templates opens a file of templates by its SHA-256 in hex.
	Templates(sum string) (*os.File, error)
}

// Listener is the collector.
type Listener struct {
	opts     Options
	deps     collectors.Deps
	counters *collectors.Counters
	server   *http.Server
	ln       net.Listener
	served   chan error
	unpack   chan struct{}
	enrols   chan struct{}
	polls    context.Context // ends when the suite stops: checkins are answered
	stop     context.CancelFunc

	conns   sync.Map // net.Conn → *connection
	sending sending

	mu    sync.Mutex
	tries map[string]int // failed enrolments by address, this minute
	since time.Time
}

// New makes the listener.
func New(opts Options, deps collectors.Deps) (*Listener, error) {
	if err := deps.Check(); err != nil {
		return nil, err
	}
	l := &Listener{opts: opts, deps: deps, counters: collectors.NewCounters(deps.Metrics, ID), served: make(chan error, 1),
		unpack: make(chan struct{}, unpackAtOnce), enrols: make(chan struct{}, enrolsAtOnce), tries: map[string]int{}}
	l.polls, l.stop = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathEnrol, l.enrol)
	mux.HandleFunc("POST "+wire.PathRenew, l.known(l.renew))
	mux.HandleFunc("POST "+wire.PathCheckin, l.collecting(l.checkin))
	mux.HandleFunc("POST "+wire.PathLogs, l.collecting(l.batch("logs", l.logs)))
	mux.HandleFunc("POST "+wire.PathMetrics, l.collecting(l.batch("metrics", l.metrics)))
	mux.HandleFunc("POST "+wire.PathInventory, l.collecting(l.batch("inventory", l.inventory)))
	l.scanning(mux)
	mux.HandleFunc("GET "+wire.PathPackages+"{sum}", l.known(l.pack))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, wire.CodeAbsent, "this is the listener for icewatch's agents; it has no such path")
	})
	l.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(discarding{deps.Log.Handler()}, slog.LevelDebug),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 16, MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 512 << 10, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: time.Minute},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, &connection{conn: c})
		},
		ConnState: l.state,
	}
	return l, nil
}

// discarding makes the HTTP server's own lines (failed handshakes of scanners) debug.
type discarding struct{ slog.Handler }

type connKey struct{}

// connection is what is remembered of an open connection.
type connection struct {
	conn   net.Conn
	once   sync.Once
	mu     sync.Mutex
	detach func()
	closed bool
}

// state forgets connections that end.
func (l *Listener) state(c net.Conn, st http.ConnState) {
	if st != http.StateClosed && st != http.StateHijacked {
		return
	}
	if v, ok := l.conns.LoadAndDelete(c); ok {
		x := v.(*connection)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.closed = true
		if x.detach != nil {
			x.detach()
		}
	}
}

// Start implements collectors.Collector.
func (l *Listener) Start(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", l.opts.Listen)
	if err != nil {
		return fmt.Errorf("agents.listen: %w", err)
	}
	authority := l.opts.Fleet.Authority()
	l.ln = ln
	// TLS checks who signed a certificate and who holds its key; whether it still counts
	// each request asks anew (known), so that a revoked agent is told so, instead of
	// taking the suite for unreachable.
	l.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: authority.Server, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: authority.Pool(), NextProtos: []string{"h2", "http/1.1"}}
	l.counters.Running(true)
	go func() { l.served <- l.server.ServeTLS(netutil.LimitListener(ln, maxConnections), "", "") }()
	return nil
}

// Address is where it listens.
func (l *Listener) Address() net.Addr { return l.ln.Addr() }

// Stop implements collectors.Collector.
func (l *Listener) Stop(ctx context.Context) error {
	l.stop()
	defer l.counters.Running(false)
	if l.ln == nil {
		return nil
	}
	err := l.server.Shutdown(ctx)
	if err != nil {
		_ = l.server.Close()
	}
	if served := <-l.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Health implements collectors.Collector.
func (l *Listener) Health() collectors.Health { return l.counters.Health(ID, "agents", l.opts.Listen) }

func answer(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "2")
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(wire.Encode(wire.Error{Code: code, Detail: detail}))
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(wire.Encode(v))
}

// refuse words an error of the fleet.
func (l *Listener) refuse(w http.ResponseWriter, err error) {
	var over *intake.OverQuota
	switch {
	case errors.Is(err, fleet.ErrRevoked):
		answer(w, http.StatusForbidden, wire.CodeRevoked, err.Error())
	case errors.Is(err, fleet.ErrIdentity):
		answer(w, http.StatusUnauthorized, wire.CodeIdentity, err.Error())
	case errors.Is(err, fleet.ErrToken):
		answer(w, http.StatusUnauthorized, wire.CodeToken, err.Error())
	case errors.Is(err, fleet.ErrInvalid), errors.Is(err, ca.ErrRequest), errors.Is(err, metrics.ErrNoTenant):
		answer(w, http.StatusBadRequest, wire.CodeMalformed, err.Error())
	case errors.As(err, &over):
		w.Header().Set("Retry-After", strconv.Itoa(over.RetryAfter(time.Now())))
		answer(w, http.StatusTooManyRequests, wire.CodeQuota, err.Error())
	case errors.Is(err, intake.ErrFull), errors.Is(err, intake.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		answer(w, http.StatusServiceUnavailable, wire.CodeBusy, "the suite is full or stopping: send again")
	default:
		l.counters.Failed(err)
		l.deps.Log.Error("fleet: an agent's request failed", "error", err)
		answer(w, http.StatusServiceUnavailable, wire.CodeBusy, "the suite could not store it: send again")
	}
}

// known serves an enrolled agent.
func (l *Listener) known(serve func(http.ResponseWriter, *http.Request, fleet.Agent)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			l.refuse(w, fleet.ErrIdentity)
			return
		}
		a, err := l.opts.Fleet.Authenticate(r.TLS.PeerCertificates[0])
		if err != nil {
			l.counters.Rejected(1)
			w.Header().Set("Connection", "close")
			l.refuse(w, err)
			return
		}
		if c, ok := r.Context().Value(connKey{}).(*connection); ok {
			c.once.Do(func() {
				l.conns.Store(c.conn, c)
				detach := l.opts.Fleet.Attach(a.ID, func() { _ = c.conn.Close() })
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.detach = detach; c.closed {
					detach()
				}
			})
		}
		serve(w, r, a)
	}
}

// body reads a request's body within its bound.
func body(w http.ResponseWriter, r *http.Request, most int64) ([]byte, bool) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		answer(w, http.StatusRequestEntityTooLarge, wire.CodeTooLarge, fmt.Sprintf("the body exceeds %d bytes: send it in smaller pieces", most))
		return nil, false
	case err != nil:
		answer(w, http.StatusBadRequest, wire.CodeMalformed, "the body ended early")
		return nil, false
	}
	return data, true
}

func message(w http.ResponseWriter, r *http.Request, most int64, into any) bool {
	data, ok := body(w, r, most)
	if !ok {
		return false
	}
	if err := json.Unmarshal(data, into); err != nil {
		answer(w, http.StatusBadRequest, wire.CodeMalformed, "the body is not the JSON that is wanted: "+err.Error())
		return false
	}
	return true
}

// from is the address a request came from.
func from(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// tried counts a failed enrolment, and tells whether an address has had too many.
func (l *Listener) tried(address string, failed bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.since) > time.Minute {
		clear(l.tries)
		l.since = now
	}
	if failed && len(l.tries) < 100_000 {
		l.tries[address]++
	}
	return l.tries[address] >= enrolTries
}

func (l *Listener) enrol(w http.ResponseWriter, r *http.Request) {
	address := from(r)
	if l.tried(address, false) {
		w.Header().Set("Retry-After", "60")
		answer(w, http.StatusTooManyRequests, wire.CodeBusy, "too many failed enrolments from this address: wait a minute")
		return
	}
	select {
	case l.enrols <- struct{}{}:
		defer func() { <-l.enrols }()
	case <-r.Context().Done():
		return
	}
	var q wire.EnrolRequest
	if !message(w, r, 64<<10, &q) {
		l.tried(address, true)
		return
	}
	a, err := l.opts.Fleet.Enrol(r.Context(), q, address)
	if err != nil {
		l.tried(address, true)
		l.counters.Rejected(1)
		l.deps.Log.Warn("fleet: an enrolment was refused", "from", address, "error", err)
		l.refuse(w, err)
		return
	}
	reply(w, a)
}

func (l *Listener) renew(w http.ResponseWriter, r *http.Request, a fleet.Agent) {
	var q wire.RenewRequest
	if !message(w, r, 64<<10, &q) {
		return
	}
	out, err := l.opts.Fleet.Renew(r.Context(), a.ID, q.CSR)
	if err != nil {
		l.refuse(w, err)
		return
	}
	reply(w, out)
}

func (l *Listener) checkin(w http.ResponseWriter, r *http.Request, a fleet.Agent) {
	var q wire.Checkin
	if !message(w, r, wire.MaxCheckin, &q) {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(l.polls, cancel)()
	out, err := l.opts.Fleet.Checkin(ctx, a.ID, from(r), q)
	if err != nil {
		l.refuse(w, err)
		return
	}
	reply(w, out)
}

func (l *Listener) pack(w http.ResponseWriter, r *http.Request, _ fleet.Agent) {
	f, err := l.opts.Fleet.Package(strings.ToLower(r.PathValue("sum")))
	if errors.Is(err, release.ErrAbsent) {
		answer(w, http.StatusNotFound, wire.CodeAbsent, err.Error())
		return
	}
	if err != nil {
		l.refuse(w, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f.File)
}

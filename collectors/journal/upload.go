package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/collectors"
	"icewatch/soc/intake"
)

// UploadConfig is the configuration of a listener.
type UploadConfig struct {
	ID     string `yaml:"id" json:"-"`     // unique name, stored as icewatch.collector
	Tenant string `yaml:"tenant" json:"-"` // slug of the tenant all entries belong to; empty leaves it to the pipeline
	Zone   string `yaml:"zone" json:"-"`   // network zone of the senders

	Listen  string   `yaml:"listen" json:"listen" maxLength:"300" doc:"Address and port, such as :19532, which is what systemd-journal-upload expects"`
	TLS     bool     `yaml:"-" json:"tls" doc:"HTTPS by the suite's certificate; senders show one of their own where syslog.client_ca asks for it"`
	Sources []string `yaml:"sources" json:"sources,omitempty" maxItems:"200" doc:"Networks that may send, such as 10.1.0.0/16. None: all may"`
	// MaxConnections bounds the open connections; further ones wait.
	MaxConnections int `yaml:"max_connections" json:"max_connections" minimum:"1" maximum:"10000" doc:"Open connections; further ones are closed at once"`
	// Open opens the address, where it is not plain TCP.
	Open func() (net.Listener, error) `yaml:"-" json:"-"`
}

// KindUpload is the word for the listener in configurations.
const KindUpload = "journal_upload"

// NewUploadFactory returns the factory of listeners.
func NewUploadFactory() collectors.Factory {
	return collectors.Factory{
		Type: KindUpload,
		DefaultConfig: func() any {
			return &UploadConfig{ID: "journal-upload", Listen: ":19532", MaxConnections: 1024}
		},
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*UploadConfig)
			if !ok {
				return nil, fmt.Errorf("journal: configuration of a listener expected, not %T", cfg)
			}
			return NewUpload(*c, deps)
		},
	}
}

// Upload is a listener for systemd-journal-upload.
type Upload struct {
	cfg      UploadConfig
	sources  []netip.Prefix
	deps     collectors.Deps
	counters *collectors.Counters
	listener net.Listener
	server   *http.Server

	started, stopped atomic.Bool
	ctx              context.Context // for the sink; ends when Stop has waited long enough
	cancel           context.CancelFunc
	stop             chan struct{}
	wg               sync.WaitGroup
}

var _ collectors.Collector = (*Upload)(nil)

// NewUpload makes a listener.
func NewUpload(cfg UploadConfig, deps collectors.Deps) (*Upload, error) {
	if cfg.ID == "" {
		return nil, fmt.Errorf("journal: a listener on %q has no id", cfg.Listen)
	}
	if _, _, err := net.SplitHostPort(cfg.Listen); err != nil {
		return nil, fmt.Errorf("journal: %s: listen: %q is not an address; one such as :19532 is expected", cfg.ID, cfg.Listen)
	}
	if cfg.MaxConnections < 1 {
		return nil, fmt.Errorf("journal: %s: max_connections must be above 0, not %d", cfg.ID, cfg.MaxConnections)
	}
	u := &Upload{cfg: cfg, deps: deps, stop: make(chan struct{})}
	for _, s := range cfg.Sources {
		p, err := netip.ParsePrefix(s)
		if a, e := netip.ParseAddr(s); err != nil && e == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("journal: %s: sources: %q is not a network; one such as 10.1.0.0/16 is expected", cfg.ID, s)
		}
		u.sources = append(u.sources, p.Masked())
	}
	if err := u.deps.Check(); err != nil {
		return nil, err
	}
	if u.cfg.Open == nil {
		u.cfg.Open = func() (net.Listener, error) { return net.Listen("tcp", cfg.Listen) }
	}
	u.counters = collectors.NewCounters(u.deps.Metrics, cfg.ID)
	return u, nil
}

// Bounds of the connections.
const (
	headTime = 10 * time.Second
	idleTime = 5 * time.Minute
	maxHead  = 16 << 10
)

// Start listens.
func (u *Upload) Start(context.Context) (err error) {
	if u.listener, err = u.cfg.Open(); err != nil {
		return fmt.Errorf("journal: %s: listen on %s: %w", u.cfg.ID, u.cfg.Listen, err)
	}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload", u.upload)
	u.server = &http.Server{Handler: mux, ReadHeaderTimeout: headTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHead,
		ErrorLog: slog.NewLogLogger(u.deps.Log.With("collector", u.cfg.ID).Handler(), slog.LevelDebug)}
	u.counters.Running(true)
	u.started.Store(true)
	u.wg.Go(func() {
		if err := u.server.Serve(newLimited(u.listener, u.cfg.MaxConnections, u.allowed, u.counters)); !errors.Is(err, http.ErrServerClosed) {
			u.counters.Failed(err)
			u.deps.Log.Error("the listener for journals ended", "collector", u.cfg.ID, "error", err)
		}
	})
	return nil
}

func (u *Upload) allowed(a netip.Addr) bool {
	for _, p := range u.sources {
		if p.Contains(a) {
			return true
		}
	}
	return len(u.sources) == 0
}

// Addr is the address in use.
func (u *Upload) Addr() net.Addr { return u.listener.Addr() }

// Health tells how the listener fares.
func (u *Upload) Health() collectors.Health {
	listen := u.cfg.Listen
	if u.started.Load() {
		listen = u.Addr().String()
	}
	return u.counters.Health(u.cfg.ID, KindUpload, listen)
}

// A batch goes to the sink when it has this many entries or bytes, and when
// the sender makes a pause.
const (
	batchEntries = 1024
	batchBytes   = 512 << 10
)

// mediaType is that of the export format.
const mediaType = "application/vnd.fdo.journal"

// upload takes one body in, as long as it lasts: a sender that follows its
// journal never ends it. It is answered when all of it is on the disk.
func (u *Upload) upload(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != mediaType {
		u.counters.Rejected(1)
		http.Error(w, "the Content-Type "+mediaType+" is expected", http.StatusUnsupportedMediaType)
		return
	}
	if r.Header.Get("Content-Encoding") != "" {
		u.counters.Rejected(1)
		http.Error(w, "compressed bodies are not read here: switch Compression= of journal-upload.conf off", http.StatusUnsupportedMediaType)
		return
	}
	base := intake.Record{Tenant: u.cfg.Tenant, Zone: u.cfg.Zone, Collector: u.cfg.ID, Peer: peerOf(r.RemoteAddr)}
	// When the suite stops, what is read so far is stored, and the sender goes on later.
	control := http.NewResponseController(w)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-u.stop:
			_ = control.SetReadDeadline(time.Now())
		case <-ended:
		}
	}()
	n, err := u.take(NewReader(r.Body), base)
	var syntax *SyntaxError
	switch {
	case err == nil && n == 0:
		u.counters.Rejected(1)
		http.Error(w, errNoEntry.Error(), http.StatusBadRequest)
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "OK.\n")
	case errors.As(err, &syntax):
		u.counters.Rejected(1)
		u.deps.Log.Warn("a journal sent here cannot be read", "collector", u.cfg.ID, "peer", base.Peer, "stored", n, "error", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.Is(err, errStore):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		// The connection broke. The sender goes on behind the last entry of which
		// it knows; what was stored is stored once.
		http.Error(w, "the body ends too early", http.StatusBadRequest)
	}
}

var errStore = errors.New("the entries could not be stored; send them again later")

// take stores the entries of a stream. It returns how many are stored.
func (u *Upload) take(in *Reader, base intake.Record) (stored int, err error) {
	var recs []intake.Record
	size := 0
	for {
		e, err := in.Next()
		if err == nil {
			rec := e.Record(base)
			if err := collectors.Fit(u.deps.Aside, &rec); err != nil {
				u.deps.Log.Warn("a long entry could not be kept whole", "collector", u.cfg.ID, "error", err)
			}
			recs, size = append(recs, rec), size+len(rec.Data)
			if len(recs) < batchEntries && size < batchBytes && in.Buffered() > 0 {
				continue
			}
		}
		if len(recs) > 0 {
			if failure := u.store(recs); failure != nil {
				return stored, errors.Join(errStore, failure)
			}
			u.counters.Received(len(recs), size)
			stored += len(recs)
			clear(recs)
			recs, size = recs[:0], 0
		}
		if err == io.EOF {
			return stored, nil
		}
		if err != nil {
			return stored, err
		}
	}
}

// store hands records over, and waits while the disk is full: the sender waits
// then, since nothing more is read.
func (u *Upload) store(recs []intake.Record) error {
	wait := 10 * time.Millisecond
	for {
		err := u.deps.Sink.Append(u.ctx, recs)
		if err == nil {
			u.counters.Failed(nil)
			return nil
		}
		u.counters.Failed(err)
		var over *intake.OverQuota
		if errors.As(err, &over) || errors.Is(err, intake.ErrClosed) || u.ctx.Err() != nil {
			u.counters.Rejected(len(recs))
			return err
		}
		select {
		case <-time.After(wait):
		case <-u.ctx.Done():
		}
		wait = min(2*wait, 500*time.Millisecond)
	}
}

// Stop ends the connections. What was read is stored; the rest is sent again.
func (u *Upload) Stop(ctx context.Context) error {
	if !u.started.Load() || u.stopped.Swap(true) {
		return nil
	}
	close(u.stop)
	defer context.AfterFunc(ctx, u.cancel)()
	err := u.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("journal: %s: connections were broken off; their senders send again what was not stored: %w", u.cfg.ID, err), u.server.Close())
	}
	u.wg.Wait()
	u.cancel()
	u.counters.Running(false)
	return err
}

// limited is a listener that closes what is not allowed, and what is too many.
type limited struct {
	net.Listener
	slots    chan struct{}
	allowed  func(netip.Addr) bool
	counters *collectors.Counters
}

func newLimited(l net.Listener, most int, allowed func(netip.Addr) bool, counters *collectors.Counters) *limited {
	return &limited{l, make(chan struct{}, most), allowed, counters}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.allowed(peerOf(strings.TrimSpace(c.RemoteAddr().String()))) {
			select {
			case l.slots <- struct{}{}:
				return &limitedConn{Conn: c, slots: l.slots}, nil
			default:
			}
		}
		l.counters.Rejected(1)
		_ = c.Close()
	}
}

type limitedConn struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}

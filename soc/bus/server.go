// Package bus is the durable queue between collectors, engine and centre: NATS
// JetStream, embedded, with every message fsynced before it is acknowledged.
// Raw batches wait on it until the engine has stored them, samples of metrics
// until the metric lake has them on its disk, occurrences until ticketing has
// taken them, and the newest rules and enrichment snapshot for
// whoever asks. The engine connects over a unix socket; no port is opened.
package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The streams and subjects of the bus.
const (
	rawStream        = "RAW"
	rawSubject       = "raw.v1"
	occurrenceStream = "OCCURRENCES"
	occurrenceSubj   = "occurrences.v1"
	metricStream     = "METRICS"
	metricSubject    = "metrics.v1"
	controlStream    = "CONTROL"
	controlPrefix    = "control."
	epochKey         = "icewatch_epoch"

	// controlMemory bounds what the control stream holds, in bytes.
	controlMemory = 256 << 20

	// maxPayload is the largest message; a raw batch stays well below it.
	maxPayload = 8 << 20
)

// Options say where the bus lives and how much it may hold.
type Options struct {
	Dir     string // folder of its own
	MaxSize int64  // bytes of raw batches not yet stored; then intake pushes back
	// MaxMetrics is how many bytes of samples may wait; 0 is 2 GiB. Then their
	// intake pushes back.
	MaxMetrics int64
	// MinFree is how many bytes must stay free on the disk; below it intake
	// stops cleanly; LeastFree at least.
	MinFree int64
	// Damaged is the folder for what is found damaged; "" is one below Dir.
	Damaged string
	// Floor tells up to which number messages of an epoch are known to have
	// been given out; nil knows of none.
	Floor func(epoch string) uint64
	Log   *slog.Logger
}

// Server is the embedded bus of the centre.
type Server struct {
	opts Options
	ns   *server.Server
	log  *slog.Logger

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	wg       sync.WaitGroup
}

// Open starts the bus and makes its streams where they are missing.
func Open(ctx context.Context, opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.MaxSize <= 0 {
		opts.MaxSize = 8 << 30
	}
	if opts.MaxMetrics <= 0 {
		opts.MaxMetrics = 2 << 30
	}
	if opts.Damaged == "" {
		opts.Damaged = filepath.Join(opts.Dir, "damaged")
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	// JetStream would wait in vain for a folder it cannot write.
	probe := filepath.Join(opts.Dir, ".writable")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return nil, fmt.Errorf("bus: its folder %s cannot be written, look at the disk and how it is mounted: %w", opts.Dir, err)
	}
	if err := os.Remove(probe); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	check := &checker{dir: opts.Dir, damaged: opts.Damaged, floor: opts.Floor, log: opts.Log}
	if err := check.check(); err != nil {
		return nil, err
	}
	ns, err := server.NewServer(&server.Options{
		ServerName: "icewatch", DontListen: true, JetStream: true, StoreDir: opts.Dir,
		SyncAlways: true, MaxPayload: maxPayload, MaxPending: 256 << 20, NoSigs: true, NoLog: true,
		JetStreamMaxMemory: controlMemory + 64<<20, JetStreamMaxStore: opts.MaxSize + opts.MaxMetrics + 4<<30,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	ns.SetLoggerV2(logger{opts.Log}, false, false, false)
	go ns.Start()
	if !ns.ReadyForConnections(60 * time.Second) {
		ns.Shutdown()
		return nil, fmt.Errorf("bus: not ready within 60 s; its folder is %s", opts.Dir)
	}
	s := &Server{opts: opts, ns: ns, log: opts.Log, conns: map[net.Conn]struct{}{}}
	if err := s.makeStreams(ctx); err != nil {
		s.Close()
		return nil, err
	}
	for _, name := range Streams {
		if err := check.keepMeta(name); err != nil {
			opts.Log.Warn("bus: there is no copy of a stream's description; without one it cannot be mended", "stream", name, "error", err)
		}
	}
	return s, nil
}

func (s *Server) makeStreams(ctx context.Context) error {
	c, err := s.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	epoch := strconv.FormatInt(time.Now().UnixMilli(), 36)
	for _, cfg := range []jetstream.StreamConfig{
		{Name: rawStream, Subjects: []string{rawSubject}, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
			Storage: jetstream.FileStorage, MaxBytes: s.opts.MaxSize, Metadata: map[string]string{epochKey: epoch}, Duplicates: sameMessage},
		{Name: occurrenceStream, Subjects: []string{occurrenceSubj}, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
			Storage: jetstream.FileStorage, MaxBytes: 1 << 30, Duplicates: time.Second},
		{Name: metricStream, Subjects: []string{metricSubject}, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
			Storage: jetstream.FileStorage, MaxBytes: s.opts.MaxMetrics, Metadata: map[string]string{epochKey: epoch}, Duplicates: sameMessage},
		// What steers the engine is published anew at each start, so that it
		// needs no disk: the suite starts on a full one, too.
		{Name: controlStream, Subjects: []string{controlPrefix + ">"}, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
			Storage: jetstream.MemoryStorage, MaxBytes: controlMemory, MaxMsgsPerSubject: 1, Duplicates: time.Second},
	} {
		old, err := c.js.Stream(ctx, cfg.Name)
		if err == nil && old.CachedInfo().Config.Storage != cfg.Storage {
			// Earlier versions kept the control stream on the disk.
			if err = c.js.DeleteStream(ctx, cfg.Name); err == nil {
				err = jetstream.ErrStreamNotFound
			}
		}
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			_, err = c.js.CreateStream(ctx, cfg)
		case err == nil:
			if cfg.Metadata != nil {
				cfg.Metadata[epochKey] = old.CachedInfo().Config.Metadata[epochKey]
			}
			_, err = c.js.UpdateStream(ctx, cfg)
		}
		if err != nil {
			return fmt.Errorf("bus: stream %s: %w", cfg.Name, err)
		}
	}
	return nil
}

// Client connects to the bus from within this process.
func (s *Server) Client() (*Client, error) {
	return connect(s.log, nats.InProcessServer(s.ns))
}

// ListenUnix serves other processes of the suite on a unix socket. The
// socket's file permissions are what admits a client.
func (s *Server) ListenUnix(path string) error {
	_ = os.Remove(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("bus: %w", err), l.Close())
	}
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	s.wg.Add(1)
	go s.accept(l)
	return nil
}

func (s *Server) accept(l net.Listener) {
	defer s.wg.Done()
	for {
		outer, err := l.Accept()
		if err != nil {
			return
		}
		inner, err := s.ns.InProcessConn()
		if err != nil {
			s.log.Warn("bus: refused a connection", "error", err)
			_ = outer.Close()
			continue
		}
		s.mu.Lock()
		s.conns[outer], s.conns[inner] = struct{}{}, struct{}{}
		s.mu.Unlock()
		pipe := func(dst, src net.Conn) {
			defer s.wg.Done()
			_, _ = io.CopyBuffer(dst, src, make([]byte, 64<<10))
			_ = dst.Close()
			_ = src.Close()
			s.mu.Lock()
			delete(s.conns, src)
			s.mu.Unlock()
		}
		s.wg.Add(2)
		go pipe(inner, outer)
		go pipe(outer, inner)
	}
}

// Close stops the bus. What was acknowledged stays on the disk.
func (s *Server) Close() {
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// logger hands the server's own messages to slog.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(f string, a ...any) { l.log.Debug("bus: " + fmt.Sprintf(f, a...)) }
func (l logger) Warnf(f string, a ...any)   { l.log.Warn("bus: " + fmt.Sprintf(f, a...)) }
func (l logger) Fatalf(f string, a ...any)  { l.log.Error("bus: " + fmt.Sprintf(f, a...)) }
func (l logger) Errorf(f string, a ...any)  { l.log.Error("bus: " + fmt.Sprintf(f, a...)) }
func (l logger) Debugf(f string, a ...any)  {}
func (l logger) Tracef(f string, a ...any)  {}

// Package forward sends every audit record to receivers outside of the suite,
// by syslog or Kafka, at least once each: how far a receiver has come is kept
// in SQL and survives restarts. What is outside is a witness too, since each
// record carries its number and hash.
package forward

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"icewatch/soc/audit"
	"icewatch/soc/state"
)

const (
	// batch is how many records are handed over at a time.
	batch = 200
	// poll is how often a worker that is up to date looks for more.
	poll = 500 * time.Millisecond
	// firstWait and longestWait bound the pause after a failure; it doubles.
	firstWait   = time.Second
	longestWait = time.Minute
	// again is for how long what was sent is sent once more when the
	// connection breaks: the receiver may not have read what it received.
	again = 10 * time.Second
)

// Log is what is forwarded; audit.Log is one.
type Log interface {
	After(ctx context.Context, seq int64, limit int) ([]audit.Record, error)
	Head(ctx context.Context) (seq int64, at time.Time, err error)
}

// Options of a Forwarder.
type Options struct {
	// Dial opens connections; receivers are named by users, so it should judge
	// where they lead (soc/egress). nil is a plain dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Secrets is the folder of password files.
	Secrets string
	Log     *slog.Logger
}

// Forwarder runs one worker for each target.
type Forwarder struct {
	db   *state.DB
	log  Log
	o    Options
	host string

	change chan struct{}
	mu     sync.Mutex
	config Config
	status map[string]*progress
}

// progress is how far a target has come.
type progress struct {
	seq   int64
	sent  int64
	at    time.Time
	fault string
}

// sender speaks a receiver's protocol.
type sender interface {
	// send returns nil once the receiver has the records, as far as its
	// protocol lets one know.
	send(ctx context.Context, recs []audit.Record) error
	// sure tells whether nil means that the receiver has stored them.
	sure() bool
	close()
}

// New makes a forwarder that sends nothing before Run.
func New(db *state.DB, log Log, o Options) *Forwarder {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "-"
	}
	return &Forwarder{db: db, log: log, o: o, host: host, change: make(chan struct{}, 1), status: map[string]*progress{}}
}

// Set puts a configuration in force. It does not wait.
func (f *Forwarder) Set(c Config) {
	f.mu.Lock()
	f.config = c
	f.mu.Unlock()
	select {
	case f.change <- struct{}{}:
	default:
	}
}

// Run forwards until ctx ends.
func (f *Forwarder) Run(ctx context.Context) {
	for ctx.Err() == nil {
		f.mu.Lock()
		config := f.config
		kept := map[string]*progress{}
		for _, t := range config.Targets {
			kept[t.Name] = f.status[t.Name]
			if kept[t.Name] == nil {
				kept[t.Name] = &progress{}
			}
			kept[t.Name].fault = ""
		}
		f.status = kept
		f.mu.Unlock()

		running, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for _, t := range config.Targets {
			if !t.Off {
				wg.Go(func() { f.work(running, t) })
			}
		}
		select {
		case <-f.change:
		case <-ctx.Done():
		}
		stop()
		wg.Wait()
	}
}

// work forwards to one target.
func (f *Forwarder) work(ctx context.Context, t Target) {
	var s sender
	defer func() {
		if s != nil {
			s.close()
		}
	}()
	wait := firstWait
	pause := func(d time.Duration) bool {
		select {
		case <-time.After(d):
			return true
		case <-ctx.Done():
			return false
		}
	}
	fail := func(err error) bool {
		if ctx.Err() != nil {
			return false
		}
		f.note(t.Name, func(p *progress) {
			if p.fault == "" {
				f.o.Log.Warn("audit records wait for a receiver", "target", t.Name, "receiver", t.where(), "error", err)
			}
			p.fault = err.Error()
		})
		if s != nil {
			s.close()
			s = nil
		}
		ok := pause(wait)
		wait = min(2*wait, longestWait)
		return ok
	}
	var seq int64
	for {
		var err error
		if seq, err = f.position(ctx, t); err == nil {
			break
		}
		if !fail(err) {
			return
		}
	}
	f.note(t.Name, func(p *progress) { p.seq = seq })
	safe, safeAt := seq, time.Now() // up to where nothing is sent again
	var last time.Time              // when the receiver last took something
	for {
		recs, err := f.log.After(ctx, seq, batch)
		if err == nil && len(recs) == 0 {
			if !pause(poll) {
				return
			}
			continue
		}
		if err == nil && s == nil {
			s, err = f.open(ctx, t)
		}
		if err == nil {
			if err = s.send(ctx, recs); err != nil && ctx.Err() == nil && seq != safe && time.Since(last) < again {
				seq = safe
				_ = f.keep(ctx, t.Name, seq) // at worst a restart sends less again
			}
		}
		if err != nil {
			if !fail(err) {
				return
			}
			continue
		}
		if s.sure() || time.Since(safeAt) > again {
			safe, safeAt = seq, time.Now()
		}
		seq = recs[len(recs)-1].Seq
		if s.sure() {
			safe = seq
		}
		wait, last = firstWait, time.Now()
		f.note(t.Name, func(p *progress) {
			if p.fault != "" {
				f.o.Log.Info("audit records reach the receiver again", "target", t.Name, "receiver", t.where())
			}
			p.seq, p.sent, p.at, p.fault = seq, p.sent+int64(len(recs)), time.Now().UTC(), ""
		})
		if err := f.keep(ctx, t.Name, seq); err != nil && !fail(err) {
			return
		}
	}
}

func (f *Forwarder) open(ctx context.Context, t Target) (sender, error) {
	if t.Kind == KindKafka {
		return openKafka(&t, f.o)
	}
	return openSyslog(ctx, &t, f.host, f.o)
}

func (f *Forwarder) note(name string, change func(*progress)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.status[name]; p != nil {
		change(p)
	}
}

// position reads how far a target has come, or gives a new one its beginning.
func (f *Forwarder) position(ctx context.Context, t Target) (seq int64, err error) {
	err = f.db.Read.QueryRowContext(ctx, "SELECT seq FROM audit_forward WHERE target = ?", t.Name).Scan(&seq)
	if err == nil {
		return seq, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read the position of %s: %w", t.Name, err)
	}
	if t.From != "start" {
		if seq, _, err = f.log.Head(ctx); err != nil {
			return 0, err
		}
	}
	return seq, f.keep(ctx, t.Name, seq)
}

func (f *Forwarder) keep(ctx context.Context, name string, seq int64) error {
	// A position reached must not be lost because the suite stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := f.db.ExecContext(ctx, "INSERT OR REPLACE INTO audit_forward (target, seq) VALUES (?, ?)", name, seq); err != nil {
		return fmt.Errorf("keep the position of %s: %w", name, err)
	}
	return nil
}

// The states of a target.
const (
	StateOK       = "ok"
	StateRetrying = "retrying"
	StateOff      = "off"
)

// Status is how a target fares.
type Status struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	Address  string    `json:"address"`
	State    string    `json:"state" doc:"ok, retrying or off"`
	Error    string    `json:"error,omitempty" doc:"Of the last attempt, while it is retried"`
	Position int64     `json:"position" doc:"Up to which record the receiver has them"`
	Head     int64     `json:"head" doc:"The newest record"`
	Lag      int64     `json:"lag" doc:"Records that wait"`
	LagTime  float64   `json:"lag_seconds" doc:"How long the oldest of them waits"`
	Sent     int64     `json:"sent_total" doc:"Since the start; what is sent again counts again"`
	LastSent time.Time `json:"last_sent,omitzero"`
}

// Status tells how each target fares.
func (f *Forwarder) Status(ctx context.Context) ([]Status, error) {
	head, _, err := f.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	out := make([]Status, len(f.config.Targets))
	for i, t := range f.config.Targets {
		out[i] = Status{Name: t.Name, Kind: t.Kind, Address: t.where(), State: StateOK, Head: head}
		if p := f.status[t.Name]; p != nil {
			out[i].Position, out[i].Sent, out[i].LastSent, out[i].Error = p.seq, p.sent, p.at, p.fault
		}
		if out[i].Error != "" {
			out[i].State = StateRetrying
		}
		if t.Off {
			out[i].State = StateOff
		}
	}
	f.mu.Unlock()
	for i := range out {
		s := &out[i]
		next, err := f.log.After(ctx, s.Position, 1)
		if err != nil {
			return nil, err
		}
		if len(next) > 0 {
			s.Lag = max(1, head-s.Position)
			s.LagTime = max(0, time.Since(next[0].Time).Seconds())
		}
	}
	return out, nil
}

// Package decisions keeps the log of what policies decided and why, in the
// format of OPA's decision logs: the newest of them, bounded in number and in
// how many a second are taken, with secrets taken out.
package decisions

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections/policy"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options bound the log. Zero values take the defaults.
type Options struct {
	Keep    int    // decisions that are kept; default 100,000, about 100 MB
	Rate    int    // decisions taken a second, as OPA's max_decisions_per_second; default 100
	Service string // names the process in each event
	Log     *slog.Logger
	Clock   func() time.Time // default time.Now
}

const (
	defaultKeep = 100_000
	defaultRate = 100
	waiting     = 2048                   // records that wait to be written
	flushEvery  = 500 * time.Millisecond // how long one waits
	perWrite    = 50                     // rows of one statement
)

// Log is the log. It is safe for concurrent use.
type Log struct {
	db      *state.DB
	opts    Options
	queue   chan *policy.Record
	flush   chan chan struct{}
	dropped atomic.Int64

	mu     sync.Mutex // guards the rate
	second int64
	taken  int
}

// Open brings the log's table up to date. Run must run for records to be kept.
func Open(ctx context.Context, db *state.DB, opts Options) (*Log, error) {
	if opts.Keep <= 0 {
		opts.Keep = defaultKeep
	}
	if opts.Rate <= 0 {
		opts.Rate = defaultRate
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if err := db.Migrate(ctx, "policy_decisions", migrations); err != nil {
		return nil, err
	}
	return &Log{db: db, opts: opts, queue: make(chan *policy.Record, waiting), flush: make(chan chan struct{})}, nil
}

// Record takes a decision. It never blocks: what is beyond the bounds is counted
// as dropped.
func (l *Log) Record(r *policy.Record) {
	l.mu.Lock()
	if now := l.opts.Clock().Unix(); now != l.second {
		l.second, l.taken = now, 0
	}
	l.taken++
	over := l.taken > l.opts.Rate
	l.mu.Unlock()
	if over {
		l.dropped.Add(1)
		return
	}
	select {
	case l.queue <- r:
	default:
		l.dropped.Add(1)
	}
}

// Dropped counts the decisions since the start that were not kept, since there
// were more a second than the log takes.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Run writes records until ctx ends, then those that wait.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			l.drain(last)
			return
		case done := <-l.flush:
			l.drain(ctx)
			close(done)
		case <-tick.C:
			l.drain(ctx)
		}
	}
}

// Flush waits until what was recorded before is kept.
func (l *Log) Flush(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case l.flush <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type row struct {
	bun.BaseModel `bun:"table:policy_decisions,alias:d"`
	Seq           int64  `bun:"seq,pk,autoincrement"`
	ID            string `bun:"id"`
	At            int64  `bun:"at"`
	Path          string `bun:"path"`
	Tenant        string `bun:"tenant"`
	Alert         string `bun:"alert"`
	Failed        bool   `bun:"failed"`
	Doc           string `bun:"doc"`
}

// drain writes what waits.
func (l *Log) drain(ctx context.Context) {
	var rows []row
	for {
		var r *policy.Record
		select {
		case r = <-l.queue:
		default:
		}
		if r == nil || len(rows) == perWrite {
			if err := l.write(ctx, rows); err != nil {
				l.dropped.Add(int64(len(rows)))
				l.opts.Log.Error("policy: decisions are not kept", "decisions", len(rows), "error", err)
			}
			rows = rows[:0]
		}
		if r == nil {
			return
		}
		e, err := r.Event(l.opts.Service)
		if err == nil {
			var doc []byte
			if doc, err = json.Marshal(e); err == nil {
				rows = append(rows, row{ID: r.ID, At: r.At.UnixMilli(), Path: r.Path, Tenant: r.Tenant, Alert: r.Alert, Failed: r.Err != nil, Doc: string(doc)})
			}
		}
		if err != nil {
			l.dropped.Add(1)
			l.opts.Log.Error("policy: a decision is not kept", "decision", r.ID, "error", err)
		}
	}
}

func (l *Log) write(ctx context.Context, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	return l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		put := state.NewPut(tx, "policy_decisions", []string{"id", "at", "path", "tenant", "alert", "failed", "doc"}, "")
		defer put.Close()
		for i := range rows {
			r := &rows[i]
			if err := put.Row(ctx, r.ID, r.At, r.Path, r.Tenant, r.Alert, r.Failed, r.Doc); err != nil {
				return fmt.Errorf("write %d decisions: %w", len(rows), err)
			}
		}
		// Numbers follow each other, so the oldest are found without counting.
		if _, err := tx.Tx.ExecContext(ctx, "DELETE FROM policy_decisions WHERE seq <= (SELECT max(seq) FROM policy_decisions) - ?", l.opts.Keep); err != nil {
			return fmt.Errorf("drop the oldest decisions: %w", err)
		}
		return nil
	})
}

// Query chooses decisions, the newest first.
type Query struct {
	Tenants []string // nil for all
	Alert   string
	Path    string // begins with
	Failed  bool   // only those where the policy gave no answer
	Text    string // somewhere in the event
	Before  int64  // of a page before; 0 for the newest
	Limit   int    // 1 to 500
}

// Decision is an event of the log with its number.
type Decision struct {
	Seq int64 `json:"seq"`
	policy.Event
}

// Find answers a query, and whether there are more.
func (l *Log) Find(ctx context.Context, q Query) (list []Decision, more bool, err error) {
	limit := min(max(q.Limit, 1), 500)
	var rows []row
	s := l.db.NewSelect().Model(&rows).OrderExpr("seq DESC").Limit(int64(limit + 1))
	if q.Tenants != nil {
		s = s.Where("tenant IN (?)", bun.In(append([]string{"\x00"}, q.Tenants...)))
	}
	if q.Alert != "" {
		s = s.Where("alert = ?", q.Alert)
	}
	if q.Path != "" {
		s = s.Where("substr(path, 1, ?) = ?", len(q.Path), q.Path)
	}
	if q.Failed {
		s = s.Where("failed = ?", true)
	}
	if q.Text != "" {
		s = s.Where(`doc LIKE ? ESCAPE '\'`, "%"+strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(q.Text)+"%")
	}
	if q.Before > 0 {
		s = s.Where("seq < ?", q.Before)
	}
	if err := s.Scan(ctx); err != nil {
		return nil, false, fmt.Errorf("policy: read decisions: %w", err)
	}
	more = len(rows) > limit
	list = make([]Decision, 0, min(len(rows), limit))
	for _, r := range rows[:min(len(rows), limit)] {
		d := Decision{Seq: r.Seq}
		if err := json.Unmarshal([]byte(r.Doc), &d.Event); err != nil {
			return nil, false, fmt.Errorf("policy: read decision %s: %w", r.ID, err)
		}
		list = append(list, d)
	}
	return list, more, nil
}

// Package book keeps the backtests that people ask for: they run one after the
// other in the background, and what came of each is its owner's until he removes
// it or asks for many others.
package book

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/backtest"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The states of a backtest.
const (
	Queued    = "queued"
	Running   = "running"
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
)

var (
	// ErrNotFound says that there is no such backtest, or that it is somebody else's.
	ErrNotFound = errors.New("there is no such backtest, or it is not yours")
	// ErrBusy says that too many wait.
	ErrBusy = errors.New("too many backtests wait: try again when one has ended")
)

// Bounds.
const (
	maxWaiting    = 20 // of everybody
	maxWaitingOwn = 5  // of one owner
	maxKept       = 50 // results of one owner
	maxField      = 1 << 10
	maxFindings   = 8 << 20
)

// BacktestSpec is what is asked for.
type BacktestSpec struct {
	Rule        string    `json:"rule,omitempty" doc:"Id of the rule, where it is one in force"`
	Source      string    `json:"source" doc:"What was judged, YAML"`
	Suppression string    `json:"suppression,omitempty" doc:"Suppressions, YAML"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Tenant      string    `json:"tenant,omitempty" doc:"Slugs separated by commas; all within reach where empty"`
}

// Backtest is one of them.
type Backtest struct {
	ID        string             `json:"id"`
	Title     string             `json:"title"`
	Request   BacktestSpec       `json:"request"`
	State     string             `json:"state" enum:"queued,running,done,failed,cancelled"`
	Error     string             `json:"error,omitempty"`
	Progress  backtest.Advance   `json:"progress"`
	CreatedAt time.Time          `json:"created_at"`
	StartedAt time.Time          `json:"started_at,omitzero"`
	EndedAt   time.Time          `json:"ended_at,omitzero"`
	Findings  *backtest.Findings `json:"findings,omitempty" doc:"Not in lists"`
}

// Work runs a backtest: ctx ends it, tell says how far it has come.
type Work func(ctx context.Context, tell func(backtest.Advance)) (backtest.Findings, error)

// Book keeps them. It is safe for concurrent use.
type Book struct {
	db  *state.DB
	log *slog.Logger

	mu   sync.Mutex
	jobs map[string]*job // that wait or run
	wait []*job
	wake chan struct{}
}

type job struct {
	Backtest
	owner  string
	within *Within
	work   Work
	cancel context.CancelFunc
	ended  bool
}

type row struct {
	bun.BaseModel `bun:"table:backtests,alias:b"`

	ID        string `bun:"id,pk"`
	Owner     string `bun:"owner"`
	State     string `bun:"state"`
	CreatedAt int64  `bun:"created_at"`
	EndedAt   int64  `bun:"ended_at"`
	Doc       string `bun:"doc"`
	Findings  string `bun:"findings"`
}

// kept is a backtest as its row keeps it.
type kept struct {
	Backtest
	Within *Within `json:"within,omitempty"`
}

// Open opens the book. What ran when the suite ended has failed.
func Open(ctx context.Context, db *state.DB, log *slog.Logger) (*Book, error) {
	if err := db.Migrate(ctx, "backtests", migrations); err != nil {
		return nil, err
	}
	b := &Book{db: db, log: log, jobs: map[string]*job{}, wake: make(chan struct{}, 1)}
	var rows []row
	if err := db.NewSelect().Model(&rows).Where("state IN (?, ?)", Queued, Running).Scan(ctx); err != nil {
		return nil, fmt.Errorf("backtests: %w", err)
	}
	for i := range rows {
		k, err := rows[i].view()
		if err != nil {
			return nil, err
		}
		j := job{owner: rows[i].Owner, within: k.Within, Backtest: k.Backtest}
		j.State, j.Error, j.EndedAt = Failed, "the suite was started anew meanwhile: run it again", time.Now().UTC()
		if err := b.save(ctx, &j); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// save writes a backtest down.
func (b *Book) save(ctx context.Context, j *job) error {
	findings := ""
	if j.Findings != nil {
		data, err := json.Marshal(j.Findings)
		if err == nil && len(data) > maxFindings {
			j.Findings.Samples = j.Findings.Samples[:0]
			data, err = json.Marshal(j.Findings)
		}
		if err != nil {
			return fmt.Errorf("backtests: %s: %w", j.ID, err)
		}
		findings = string(data)
	}
	doc := kept{Backtest: j.Backtest, Within: j.within}
	doc.Findings = nil
	data, err := json.Marshal(&doc)
	if err != nil {
		return fmt.Errorf("backtests: %s: %w", j.ID, err)
	}
	ended := int64(0)
	if !j.EndedAt.IsZero() {
		ended = j.EndedAt.UnixMilli()
	}
	r := row{ID: j.ID, Owner: j.owner, State: j.State, CreatedAt: j.CreatedAt.UnixMilli(), EndedAt: ended, Doc: string(data), Findings: findings}
	_, err = b.db.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").Set("state = EXCLUDED.state, ended_at = EXCLUDED.ended_at, doc = EXCLUDED.doc, findings = EXCLUDED.findings").Exec(ctx)
	if err != nil {
		return fmt.Errorf("backtests: write down %s: %w", j.ID, err)
	}
	return nil
}

// Start puts a backtest in line. within is what its owner sees now: what comes of
// it is shown to who sees that.
func (b *Book) Start(ctx context.Context, owner, title string, within *Within, r BacktestSpec, work Work) (Backtest, error) {
	j := &job{owner: owner, within: within, work: work, Backtest: Backtest{ID: "bt_" + strings.ToLower(rand.Text()[:16]), Title: title, Request: r, State: Queued, CreatedAt: time.Now().UTC().Truncate(time.Millisecond)}}
	b.mu.Lock()
	own := 0
	for _, x := range b.jobs {
		if x.owner == owner {
			own++
		}
	}
	if len(b.jobs) >= maxWaiting || own >= maxWaitingOwn {
		b.mu.Unlock()
		return Backtest{}, ErrBusy
	}
	b.jobs[j.ID] = j
	b.mu.Unlock()
	err := b.save(ctx, j)
	if err == nil {
		err = b.forget(ctx, owner)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		delete(b.jobs, j.ID)
		return Backtest{}, err
	}
	b.wait = append(b.wait, j)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return j.Backtest, nil
}

// forget removes an owner's oldest results beyond those that are kept.
func (b *Book) forget(ctx context.Context, owner string) error {
	var old []string
	err := b.db.NewSelect().Model((*row)(nil)).Column("id").Where("owner = ? AND ended_at > 0", owner).OrderExpr("created_at DESC, id").Offset(maxKept-1).Limit(1000).Scan(ctx, &old)
	if err == nil && len(old) > 0 {
		_, err = b.db.NewDelete().Model((*row)(nil)).Where("id IN (?)", bun.In(old)).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("backtests: remove old ones: %w", err)
	}
	return nil
}

// Run runs what waits, one after the other, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	for {
		b.mu.Lock()
		var j *job
		if len(b.wait) > 0 {
			j, b.wait = b.wait[0], b.wait[1:]
		}
		b.mu.Unlock()
		if j == nil {
			select {
			case <-b.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		b.run(ctx, j)
	}
}

func (b *Book) run(ctx context.Context, j *job) {
	// What came of it is written down even where the suite ends.
	keep := context.WithoutCancel(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.mu.Lock()
	if j.ended {
		b.mu.Unlock()
		return
	}
	j.State, j.StartedAt, j.cancel = Running, time.Now().UTC().Truncate(time.Millisecond), cancel
	copied := *j
	b.mu.Unlock()
	if err := b.save(keep, &copied); err != nil {
		b.log.Warn("backtests: that one runs is not written down", "error", err)
	}
	findings, err := j.work(ctx, func(p backtest.Advance) {
		b.mu.Lock()
		j.Progress = p
		b.mu.Unlock()
	})
	shorten(&findings)
	b.mu.Lock()
	j.State, j.EndedAt = Done, time.Now().UTC().Truncate(time.Millisecond)
	switch {
	case ctx.Err() != nil:
		j.State = Cancelled
	case err != nil:
		j.State, j.Error = Failed, err.Error()
	}
	if err == nil {
		j.Findings, j.Progress = &findings, findings.Advance
	}
	copied = *j
	b.mu.Unlock()
	if err := b.save(keep, &copied); err != nil {
		b.log.Error("backtests: a result is not written down", "backtest", j.ID, "error", err)
	}
	b.mu.Lock()
	delete(b.jobs, j.ID)
	b.mu.Unlock()
}

// shorten cuts long values of samples: the events themselves are in the lake.
func shorten(f *backtest.Findings) {
	for i := range f.Samples {
		for name, v := range f.Samples[i].Fields {
			if len(v) > maxField {
				f.Samples[i].Fields[name] = strings.ToValidUTF8(v[:maxField], "") + "…"
			}
		}
	}
}

// Get returns a backtest with its findings.
func (b *Book) Get(ctx context.Context, who Asker, id string) (Backtest, error) {
	b.mu.Lock()
	if j := b.jobs[id]; j != nil && j.owner == who.Owner && who.sees(j.within) {
		defer b.mu.Unlock()
		return j.Backtest, nil
	}
	b.mu.Unlock()
	var r row
	err := b.db.NewSelect().Model(&r).Where("id = ? AND owner = ?", id, who.Owner).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Backtest{}, ErrNotFound
	}
	if err != nil {
		return Backtest{}, fmt.Errorf("backtests: read %s: %w", id, err)
	}
	k, err := r.view()
	if err == nil && !who.sees(k.Within) {
		return Backtest{}, ErrNotFound
	}
	return k.Backtest, err
}

func (r *row) view() (t kept, err error) {
	if err = json.Unmarshal([]byte(r.Doc), &t); err == nil && r.Findings != "" {
		t.Findings = &backtest.Findings{}
		err = json.Unmarshal([]byte(r.Findings), t.Findings)
	}
	if err != nil {
		return kept{}, fmt.Errorf("backtests: %s: %w", r.ID, err)
	}
	return t, nil
}

// List lists an owner's backtests, the newest first, of a rule where one is named.
func (b *Book) List(ctx context.Context, who Asker, rule string) ([]Backtest, error) {
	var rows []row
	err := b.db.NewSelect().Model(&rows).ExcludeColumn("findings").Where("owner = ?", who.Owner).OrderExpr("created_at DESC, id").Limit(maxKept + maxWaiting).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("backtests: list: %w", err)
	}
	out := []Backtest{}
	for i := range rows {
		k, err := rows[i].view()
		if err != nil {
			return nil, err
		}
		if !who.sees(k.Within) {
			continue
		}
		t := k.Backtest
		b.mu.Lock()
		if j := b.jobs[t.ID]; j != nil {
			t = j.Backtest
		}
		b.mu.Unlock()
		if t.Findings = nil; rule == "" || t.Request.Rule == rule {
			out = append(out, t)
		}
	}
	return out, nil
}

// Cancel ends a backtest; one that has ended stays as it is.
func (b *Book) Cancel(ctx context.Context, who Asker, id string) (Backtest, error) {
	b.mu.Lock()
	j := b.jobs[id]
	if j == nil || j.owner != who.Owner || !who.sees(j.within) {
		b.mu.Unlock()
		return b.Get(ctx, who, id)
	}
	if j.cancel != nil {
		j.cancel()
		defer b.mu.Unlock()
		return j.Backtest, nil
	}
	j.ended, j.State, j.EndedAt = true, Cancelled, time.Now().UTC().Truncate(time.Millisecond)
	delete(b.jobs, id)
	copied := *j
	b.mu.Unlock()
	return copied.Backtest, b.save(ctx, &copied)
}

// Delete removes a backtest; one that waits or runs is ended first.
func (b *Book) Delete(ctx context.Context, who Asker, id string) error {
	t, err := b.Cancel(ctx, who, id)
	if err != nil {
		return err
	}
	if t.State == Running {
		return fmt.Errorf("%w: it is being ended, remove it then", ErrBusy)
	}
	if _, err := b.db.NewDelete().Model((*row)(nil)).Where("id = ? AND owner = ?", id, who.Owner).Exec(ctx); err != nil {
		return fmt.Errorf("backtests: remove %s: %w", id, err)
	}
	return nil
}

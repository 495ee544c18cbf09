// Package arrivals remembers when which batches of the bus came, how many
// events of them were stored, and of which times these are. Who reads the lake
// in the order in which events came, as forwarding does, needs it: the lake is
// sorted by the time of the events, and without knowing that time every look
// for the batches after a number would have to look at everything that is kept.
//
// Batches are noted in stretches of a few seconds. What is noted reaches the
// disk before the engine's checkpoint passes it, and what the engine reads from
// the bus again is noted again; so there is no batch before the checkpoint
// that a stretch does not cover, and a stretch may only name too much.
package arrivals

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/lake"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// A stretch ends with so many events, or so much time.
	stretchEvents = 20_000
	stretchTime   = 10 * time.Second
	// unknownBatches is how many batches are looked for at a time where it is
	// not known what is in them.
	unknownBatches = 16
)

// Ledger is the opened list. It is safe for concurrent use.
type Ledger struct {
	db    *state.DB
	epoch string

	mu    sync.Mutex
	open  []stretch // not on the disk yet; the last one still grows
	total uint64    // events of all stretches

	keep   time.Duration
	pruned time.Time
}

// stretch is a run of batches.
type stretch struct {
	first, last uint64
	came, ended time.Time
	events      uint64
	total       uint64 // with those before
	spans       []lake.Span
	closed      bool // it does not grow any more
}

type row struct {
	bun.BaseModel `bun:"table:arrivals"`

	Epoch  string `bun:"epoch,pk"`
	First  uint64 `bun:"first,pk"`
	Last   uint64 `bun:"last,pk"`
	Came   int64  `bun:"came"`
	Ended  int64  `bun:"ended"`
	Events uint64 `bun:"events"`
	Total  uint64 `bun:"total"`
	Spans  string `bun:"spans"`
}

func (r *row) stretch() (stretch, error) {
	s := stretch{first: r.First, last: r.Last, came: time.UnixMilli(r.Came).UTC(), ended: time.UnixMilli(r.Ended).UTC(), events: r.Events, total: r.Total}
	var pairs [][2]int64
	if err := json.Unmarshal([]byte(r.Spans), &pairs); err != nil {
		return s, fmt.Errorf("arrivals: the times of the batches %d to %d: %w", r.First, r.Last, err)
	}
	for _, p := range pairs {
		s.spans = append(s.spans, lake.Span{From: p[0], To: p[1]})
	}
	return s, nil
}

func (s *stretch) row(epoch string) row {
	pairs := make([][2]int64, len(s.spans))
	for i, x := range s.spans {
		pairs[i] = [2]int64{x.From, x.To}
	}
	b, _ := json.Marshal(pairs) // figures always encode
	return row{Epoch: epoch, First: s.first, Last: s.last, Came: s.came.UnixMilli(), Ended: s.ended.UnixMilli(), Events: s.events, Total: s.total, Spans: string(b)}
}

// Open opens the list in a file for an epoch of the bus, of which the engine
// has stored all batches up to one. What the file has beyond it, the engine
// will note again. Stretches are kept for as long as keep says.
func Open(ctx context.Context, path, epoch string, stored uint64, keep time.Duration) (*Ledger, error) {
	db, err := state.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("arrivals: %w", err)
	}
	l := &Ledger{db: db, epoch: epoch, keep: keep}
	err = db.Migrate(ctx, "arrivals", migrations)
	if err == nil {
		_, err = db.NewDelete().Model((*row)(nil)).Where("epoch <> ? OR first > ?", epoch, stored).Exec(ctx)
	}
	if err == nil {
		err = db.Read.NewRaw("SELECT COALESCE(MAX(total), 0) FROM arrivals").Scan(ctx, &l.total)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("arrivals: %w", err), db.Close())
	}
	return l, nil
}

// Close closes the file. What was not saved is gone.
func (l *Ledger) Close() error { return l.db.Close() }

// Add notes a batch whose events the lake has: when the bus took it, how many
// events were stored of it, and their times. Batches come in order.
func (l *Ledger) Add(seq uint64, came time.Time, events int, spans []lake.Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += uint64(events)
	if n := len(l.open); n > 0 {
		s := &l.open[n-1]
		if !s.closed && s.events+uint64(events) <= stretchEvents && came.Sub(s.came) < stretchTime && seq > s.last {
			s.last, s.ended, s.events, s.total = seq, came, s.events+uint64(events), l.total
			s.spans = lake.Join(append(s.spans, spans...))
			return
		}
	}
	l.open = append(l.open, stretch{seq, seq, came, came, uint64(events), l.total, slices.Clone(spans), false})
}

// Save brings to the disk what was noted of the batches up to one.
func (l *Ledger) Save(ctx context.Context, upTo uint64) error {
	l.mu.Lock()
	n := 0
	var rows []row
	for ; n < len(l.open) && l.open[n].first <= upTo; n++ {
		l.open[n].closed = true
		rows = append(rows, l.open[n].row(l.epoch))
	}
	l.mu.Unlock()
	if n == 0 {
		return nil
	}
	err := l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// Of the same batches noted a second time the times are the same.
		if _, err := tx.NewInsert().Model(&rows).Replace().Exec(ctx); err != nil {
			return err
		}
		if time.Since(l.pruned) < time.Hour {
			return nil
		}
		l.pruned = time.Now()
		_, err := tx.NewDelete().Model((*row)(nil)).Where("ended < ?", l.pruned.Add(-l.keep).UnixMilli()).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("arrivals: note the batches up to %d: %w", upTo, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.Delete(l.open, 0, n)
	return nil
}

// look is how many stretches are looked at a time.
const look = 256

// since returns stretches that reach to a batch or beyond, by their first
// batch: all that are known, or the first look of them.
func (l *Ledger) since(ctx context.Context, seq uint64) ([]stretch, error) {
	// First what is not on the disk yet: it may get there meanwhile, and to see
	// a stretch twice is no harm.
	l.mu.Lock()
	var fresh []stretch
	for _, s := range l.open {
		if s.last >= seq {
			s.spans = slices.Clone(s.spans)
			fresh = append(fresh, s)
		}
	}
	l.mu.Unlock()
	var rows []row
	err := l.db.NewSelect().Model(&rows).Where("epoch = ?", l.epoch).Where("last >= ?", seq).Order("last", "first").Limit(look).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("arrivals: the batches from %d on: %w", seq, err)
	}
	list := make([]stretch, 0, len(rows)+len(fresh))
	for i := range rows {
		s, err := rows[i].stretch()
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	if len(rows) < look {
		list = append(list, fresh...)
	}
	slices.SortStableFunc(list, func(a, b stretch) int { return cmp.Compare(a.first, b.first) })
	return list, nil
}

// Page is what to ask of the lake next.
type Page struct {
	Through uint64      // the last batch of it
	Spans   []lake.Span // times of its events; nil where nothing is known of them
}

// Next cuts a page out of the batches from one to another: as many as bring
// about so many events, and at least one. from must not lie behind to.
func (l *Ledger) Next(ctx context.Context, from, to uint64, events int) (Page, error) {
	list, err := l.since(ctx, from)
	if err != nil {
		return Page{}, err
	}
	if len(list) == 0 || list[0].first > from {
		p := Page{Through: min(to, from+unknownBatches-1)}
		if len(list) > 0 {
			p.Through = min(p.Through, list[0].first-1)
		}
		return p, nil
	}
	p, room := Page{Through: from - 1}, uint64(max(events, 1))
	for i := range list {
		s := &list[i]
		if s.first > p.Through+1 || p.Through >= to {
			break
		}
		if s.last <= p.Through {
			continue
		}
		batches, left := s.last-s.first+1, s.last-p.Through
		brings := s.events * left / batches
		if brings > room {
			if p.Through >= from {
				break
			}
			p.Through += max(1, left*room/brings)
			break
		}
		room -= brings
		p.Through = s.last
	}
	p.Through = min(p.Through, to)
	p.Spans = []lake.Span{}
	for i := range list {
		if list[i].first <= p.Through {
			p.Spans = append(p.Spans, list[i].spans...)
		}
	}
	p.Spans = lake.Join(p.Spans)
	return p, nil
}

// Behind tells how many events were stored of the batches from one on, about,
// and when that batch came; the zero time says that there is none yet.
func (l *Ledger) Behind(ctx context.Context, from uint64) (events uint64, came time.Time, err error) {
	list, err := l.since(ctx, from)
	if err != nil || len(list) == 0 {
		return 0, time.Time{}, err
	}
	s := list[0]
	l.mu.Lock()
	total := l.total
	l.mu.Unlock()
	before := s.total - s.events
	came = s.came
	if from > s.first {
		done, batches := from-s.first, s.last-s.first+1
		before += s.events * done / batches
		came = came.Add(time.Duration(float64(s.ended.Sub(s.came)) * float64(done) / float64(batches)))
	}
	return total - min(before, total), came, nil
}

// Since returns the first batch of the stretch in which the bus reached a time,
// so a few seconds before it. ok is false where no batch is that young.
func (l *Ledger) Since(ctx context.Context, t time.Time) (seq uint64, ok bool, err error) {
	var first []uint64
	err = l.db.NewSelect().Model((*row)(nil)).Column("first").Where("epoch = ?", l.epoch).Where("ended >= ?", t.UnixMilli()).Order("last").Limit(1).Scan(ctx, &first)
	if err != nil {
		return 0, false, fmt.Errorf("arrivals: the batch of %s: %w", t.Format(time.RFC3339), err)
	}
	if len(first) > 0 {
		return first[0], true, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.open {
		if !s.ended.Before(t) {
			return s.first, true, nil
		}
	}
	return 0, false, nil
}

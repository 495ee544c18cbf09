package lake

import (
	"fmt"
	"math"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// The library keeps the rows of a stream in blocks, and a block that is not full
// is decoded, joined with others and encoded anew in each merge of parts, which
// costs as much as encoding it at first. A full one is only copied. So rows wait
// for others of their stream until they fill a block.

// How the library counts the size of a row, and when it calls a block full.
const (
	blockSize     = 2 << 20
	rowOverhead   = len(time.RFC3339Nano)
	fieldOverhead = 2
)

// streamKey names a stream of one store.
type streamKey struct {
	store   *store
	account uint32
	name    string
	shape   string // of the only kind of rows in it, see kind; "": of several kinds
}

// gathered are the rows of a stream that wait.
type gathered struct {
	rows  *logstorage.LogRows
	size  int
	since time.Time // when the first came, or a part of the wait before, see early
	seq   uint64    // the batch of the first
	taken bool
}

// gatherer holds the rows of each stream until they are taken.
type gatherer struct {
	streams map[streamKey]*gathered
	full    bool          // one of them fills a block
	ready   Load          // of those that did before
	size    int           // of all in streams
	wait    time.Duration // how long rows wait, as far as is known
	turn    float64
}

// early is by how much sooner than rows may wait those of a stream are due: by up
// to half, another part for each stream, or those that began together would be
// handed over together and hold up what comes behind them.
func (g *gatherer) early() time.Duration {
	const golden = 0.618 // parts of a turn that lie far from one another
	g.turn = math.Mod(g.turn+golden, 1)
	return time.Duration(g.turn * float64(g.wait) / 2)
}

func newGatherer() gatherer { return gatherer{streams: map[streamKey]*gathered{}} }

// gather counts a row of a kind and a batch in and returns the rows that it is
// to be added to.
func (g *gatherer) gather(k *kind, seq uint64, now time.Time, size int) *logstorage.LogRows {
	k.bytes += size
	s := k.to
	if s == nil || s.taken || s.size >= blockSize {
		key := k.key
		if !k.own {
			key.shape = ""
		}
		if s = g.streams[key]; s != nil && s.size >= blockSize {
			g.release(key, s)
			s = nil
		}
		if s == nil {
			s = &gathered{rows: logstorage.GetLogRows(nil, nil, nil, nil, ""), since: now.Add(-g.early()), seq: seq}
			g.streams[key] = s
		}
		k.to = s
	}
	s.size += size
	g.size += size
	g.full = g.full || s.size >= blockSize
	return s.rows
}

// release moves what a stream gathered to what is ready.
func (g *gatherer) release(key streamKey, s *gathered) {
	s.taken = true
	g.ready.add(key.store, s.rows)
	g.size -= s.size
	delete(g.streams, key)
}

// Full tells whether the rows of a stream fill a block, so that Take takes them
// whatever their age.
func (g *gatherer) Full() bool { return g.full }

// Size is how many bytes the rows have that wait, as the library counts them.
func (g *gatherer) Size() int { return g.size }

// Oldest is the lowest sequence of a batch that any waiting row came in; ok is
// false where none waits. All rows of the batches before it were taken.
func (g *gatherer) Oldest() (seq uint64, ok bool) {
	for _, s := range g.streams {
		if !ok || s.seq < seq {
			seq, ok = s.seq, true
		}
	}
	return seq, ok
}

// Take takes out the rows of streams that fill a block and of those whose first
// row has waited since before the given time or from then on. It returns nil
// where there are none.
func (g *gatherer) Take(before time.Time) *Load {
	g.full = false
	for key, s := range g.streams {
		if s.size >= blockSize || !s.since.After(before) {
			g.release(key, s)
		}
	}
	if len(g.ready.parts) == 0 {
		return nil
	}
	l := g.ready
	g.ready = Load{}
	return &l
}

// Flush hands everything that waits to the stores. After an error what could
// not be handed over is still there.
func (g *gatherer) Flush() error {
	g.full = false
	for key, s := range g.streams {
		g.release(key, s)
	}
	return g.ready.Hand()
}

// Load are rows on their way to the stores.
type Load struct{ parts []part }

// part are the rows of a load for one store.
type part struct {
	store *store
	rows  []*logstorage.LogRows // each of one stream
	count int
}

func (l *Load) add(to *store, rows *logstorage.LogRows) {
	for i := range l.parts {
		if p := &l.parts[i]; p.store == to {
			p.rows, p.count = append(p.rows, rows), p.count+rows.RowsCount()
			return
		}
	}
	l.parts = append(l.parts, part{to, []*logstorage.LogRows{rows}, rows.RowsCount()})
}

// Hand gives the rows to the stores; a nil load has none. After an error, what could not be handed
// over is still there, and Hand may be called again, unless it is ErrLost.
func (l *Load) Hand() error {
	for l != nil && len(l.parts) > 0 {
		p := l.parts[0]
		if err := p.store.Add(p.rows); err != nil {
			return fmt.Errorf("lake: the class %s: %w", p.store.name, err)
		}
		p.store.taken.Add(uint64(p.count))
		for _, rows := range p.rows {
			logstorage.PutLogRows(rows)
		}
		l.parts = l.parts[1:]
	}
	return nil
}

package lake

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rows of one kind, which are of one dataset and have the same fields, are
// cheapest to keep beside one another: their blocks have no column that is empty
// for most rows, and what a column holds is alike. A block of all events of
// Windows has some three hundred columns, one of its network connections thirty,
// in two thirds of the bytes.
//
// A block of few rows costs most, though. So a kind has a stream of its own while
// so many of it come that they fill half a block before they are handed over, and
// shares its dataset's with the others else.

const (
	weighEvery = 5 * time.Second // how often it is looked which kinds are worth a stream
	maxOwn     = 64              // kinds that have one, at most
	worthOwn   = blockSize / 2   // bytes of a kind that come while rows wait, to get one
	worthOwned = blockSize / 4   // to keep it
)

// kind are the rows of one kind in the space of a tenant.
type kind struct {
	key   streamKey // with the shape, whether it has its own stream or not
	own   bool
	bytes int       // that came since kinds were weighed
	to    *gathered // where its last row went
}

// kind finds or makes the kind of the rows that the plan at hand lays out.
func (w *Writer) kind(s *store, account uint32, stream string) *kind {
	key := streamKey{s, account, stream, w.plan.shape}
	k := w.plan.kinds[key]
	if k == nil {
		key.name = strings.Clone(stream) // it may lie in the raw text
		k = &kind{key: key}
		w.plan.kinds[key] = k
	}
	return k
}

// shapeOf tells rows with other fields apart: of the fields' names, in their
// order, it makes a short text that is the same after a restart.
func shapeOf(names []string) string {
	h := fnv.New64a()
	for _, n := range names {
		h.Write([]byte(n))
		h.Write([]byte{0})
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// Waiting tells the writer how long rows wait for others of their stream before
// they are handed over, by which it finds which kinds of events are worth a
// stream of their own. Until it is told, none is.
func (w *Writer) Waiting(wait time.Duration, now time.Time) {
	w.wait = wait
	since := now.Sub(w.weighed)
	if since < weighEvery {
		return
	}
	w.weighed = now
	var worth []*kind
	for _, p := range w.plans {
		for _, k := range p.kinds {
			need := worthOwn
			if k.own {
				need = worthOwned
			}
			if k.own = false; float64(k.bytes)*wait.Seconds() >= float64(need)*since.Seconds() {
				worth = append(worth, k)
			}
		}
	}
	slices.SortFunc(worth, func(a, b *kind) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, k := range worth[:min(len(worth), maxOwn)] {
		k.own = true
	}
	for _, p := range w.plans {
		for _, k := range p.kinds {
			k.bytes, k.to = 0, nil
		}
	}
}

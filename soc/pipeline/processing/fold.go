package processing

import (
	"slices"
	"time"

	"icewatch/soc/event"
)

// Folder folds repeats. Of the events of one key the first within a window is
// kept as it is, at once; those that repeat it within the same window are
// counted, and when the window is over one event stands for them: the first of
// the repeats, with their number in icewatch.repeat.count, and with event.start
// and event.end, the times of the first and the last of them. So the number of
// events is the number of rows, each counted once or icewatch.repeat.count
// times.
//
// Windows are stretches of the bus's own clock that begin at whole multiples of
// their length: to which one an event belongs depends on nothing but when the
// bus took it, so that reading the bus again after a crash folds the same.
//
// A Folder is for one goroutine. With the first repeat it keeps a T, which it
// gives back with the event that stands for the repeats.
type Folder[T any] struct {
	classes []*class[T] // by length
	most    int
	folded  uint64
}

// class are the windows of one length, of which one is open at a time.
type class[T any] struct {
	seconds int64
	ends    int64 // Unix nanoseconds
	runs    map[[2]uint64]*run[T]
	order   []*run[T]
	settled uint64 // batches up to it are of windows that are over
	passed  uint64 // as settled, as the checkpoint had it: what is of these batches is stored
}

// run are the events of one key within a window.
type run[T any] struct {
	count       int
	first, last int64       // times of the repeats
	ev          event.Event // the first repeat
	extra       T
}

// Summary is an event that stands for repeats.
type Summary[T any] struct {
	Event event.Event
	Extra T // what Take was given with it
}

// maxRuns bounds the keys of the open windows of one length. Further keys are
// stored as they come.
const maxRuns = 100_000

// NewFolder makes a folder. settled is what Settled told of the checkpoint from
// which the bus is read again.
func NewFolder[T any](settled map[int64]uint64) *Folder[T] {
	f := &Folder[T]{most: maxRuns}
	for seconds, seq := range settled {
		f.class(seconds).passed = seq
	}
	return f
}

func (f *Folder[T]) class(seconds int64) *class[T] {
	at, ok := slices.BinarySearchFunc(f.classes, seconds, func(c *class[T], s int64) int { return int(c.seconds - s) })
	if !ok {
		f.classes = slices.Insert(f.classes, at, &class[T]{seconds: seconds, runs: map[[2]uint64]*run[T]{}})
	}
	return f.classes[at]
}

// Advance ends the windows that are over at the time of a batch, and returns
// the events that stand for their repeats, always in the same order.
func (f *Folder[T]) Advance(at time.Time) (list []Summary[T]) {
	now := at.UnixNano()
	var over []*class[T]
	for _, c := range f.classes {
		if c.ends != 0 && c.ends <= now {
			over = append(over, c)
		}
	}
	slices.SortStableFunc(over, func(a, b *class[T]) int {
		switch {
		case a.ends < b.ends:
			return -1
		case a.ends > b.ends:
			return 1
		}
		return 0
	})
	for _, c := range over {
		for _, r := range c.order {
			if r.count == 0 {
				continue
			}
			ev := r.ev
			ev.SetInt(event.RepeatCount, int64(r.count))
			ev.Set(event.EventStart, stamp(r.first))
			ev.Set(event.EventEnd, stamp(r.last))
			list = append(list, Summary[T]{ev, r.extra})
		}
		clear(c.runs)
		c.order = c.order[:0]
		c.ends = 0
	}
	return list
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// Take tells whether an event is to be stored: it is the first of its key in
// its window, or there are too many keys. Else it is counted, and extra comes
// back with the event that stands for it. done tells that the event was dealt
// with before the checkpoint: whatever became of it is stored.
//
// Batches come in their order, and Advance is called before the events of each.
func (f *Folder[T]) Take(out Outcome, seq uint64, at time.Time, ev *event.Event, extra T) (store, done bool) {
	c := f.class(out.Window)
	if seq <= c.passed {
		return false, true
	}
	if c.ends == 0 {
		length := c.seconds * int64(time.Second)
		c.ends = (at.UnixNano()/length + 1) * length
		c.settled = seq - 1
	}
	r, ok := c.runs[out.Key]
	if !ok {
		if len(c.runs) >= f.most {
			return true, false
		}
		r = &run[T]{}
		c.runs[out.Key] = r
		c.order = append(c.order, r)
		return true, false
	}
	if r.count == 0 {
		r.ev, r.first, r.last, r.extra = clone(ev), ev.Time, ev.Time, extra
	}
	r.count++
	r.first, r.last = min(r.first, ev.Time), max(r.last, ev.Time)
	f.folded++
	return false, false
}

// Due tells whether a window with repeats in it is over at now, so that it ends
// with the next batch.
func (f *Folder[T]) Due(now time.Time) bool {
	for _, c := range f.classes {
		if c.ends != 0 && c.ends <= now.UnixNano() && slices.ContainsFunc(c.order, func(r *run[T]) bool { return r.count > 0 }) {
			return true
		}
	}
	return false
}

// Settled tells after the batch seq, by length in seconds, up to which batch
// everything is of windows that are over; nil where that is seq for all.
func (f *Folder[T]) Settled(seq uint64) map[int64]uint64 {
	var out map[int64]uint64
	if slices.ContainsFunc(f.classes, func(c *class[T]) bool { return c.ends != 0 || c.passed > seq }) {
		out = make(map[int64]uint64, len(f.classes))
		for _, c := range f.classes {
			out[c.seconds] = max(seq, c.passed)
			if c.ends != 0 {
				out[c.seconds] = c.settled
			}
		}
	}
	return out
}

// Folded counts the events that others stand for.
func (f *Folder[T]) Folded() uint64 { return f.folded }

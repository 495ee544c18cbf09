package correlation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
)

// snapshotVersion is the first byte of a snapshot: the state's own version.
// Those before knew fewer types and kept other things of a group.
const snapshotVersion = 4

var errSnapshot = errors.New("correlation: the snapshot is damaged")

// Why says what became of the windows of a rule when the rules changed.
type Why string

// The reasons why windows are closed.
const (
	Gone    Why = "gone"    // the rule is not in force any more
	Recount Why = "recount" // it counts something else, or over another time
	// Rejudge: it counts the same and judges otherwise. Groups of which all
	// events are still there go on under the new condition; those of which the
	// former one had let go of some are closed.
	Rejudge Why = "rejudge"
	Older   Why = "older" // the snapshot is of an earlier version and was left out
)

// Closed says that open windows of a rule ended unjudged, and what went on.
type Closed struct {
	Rule   string // id; "" for Older
	Why    Why
	Groups int // whose windows were closed; 0 for Older, where it is not known
	Kept   int // whose windows go on, judged by the rule as it is now
}

// Snapshot writes the state down. Restore reads it.
func (s *State) Snapshot() []byte {
	// About as long as the last: growing from nothing costs as much as writing.
	w := &writer{b: append(make([]byte, 0, s.written+s.written/8+1), snapshotVersion)}
	w.int(s.clock)
	w.int(s.swept)
	w.texts(s.epochs)
	w.uint(uint64(len(s.rules)))
	for _, r := range s.rules {
		w.text(r.ID)
		w.text(r.Fingerprint)
		w.text(r.Terms)
		w.uint(uint64(r.live))
		for g := r.first; g != nil; g = g.after {
			w.group(g)
		}
	}
	s.written = len(w.b)
	return w.b
}

func (w *writer) group(g *group) {
	w.text(g.cell.key)
	w.int(g.newest)
	w.int(g.touched)
	w.int(g.touched - g.queued)
	if g.thinned {
		w.uint(1)
	} else {
		w.uint(0)
	}
	var fired []int64
	if g.extras != nil {
		fired = g.extras.fired
	}
	w.uint(uint64(len(fired)))
	for _, c := range fired {
		w.int(c)
	}
	w.uint(uint64(len(g.entries)))
	before := int64(0)
	for i := range g.entries {
		e := &g.entries[i]
		w.int(e.time - before)
		before = e.time
		w.uint(e.seq)
		w.uint(uint64(e.index))
		w.uint(uint64(e.epoch))
		w.uint(e.value)
		w.uint(uint64(e.weight))
		x := g.extra(e)
		w.text(x.fields)
		w.text(x.links)
	}
}

// Restore replaces the state by a snapshot's. Windows of rules that changed
// since go on where they can, as with Inherit. On an error the state is empty.
func (s *State) Restore(data []byte) ([]Closed, error) {
	s.clear()
	r := &reader{b: data}
	switch version := r.byte(); {
	case r.bad:
		return nil, errSnapshot
	case version < snapshotVersion:
		return []Closed{{Why: Older}}, nil
	case version != snapshotVersion:
		return nil, fmt.Errorf("correlation: snapshot version %d is not %d", version, snapshotVersion)
	}
	heirs := s.byID()
	s.clock, s.swept = r.int(), r.int()
	for _, name := range r.texts() {
		s.intern(name)
	}
	var closed []Closed
	for n := r.count(); n > 0 && !r.bad; n-- {
		old := Rule{ID: r.text(), Fingerprint: r.text(), Terms: r.text()}
		h := s.inherit(heirs[old.ID], &old)
		for groups := r.count(); groups > 0 && !r.bad; groups-- {
			key := r.text()
			if g := r.group(len(s.epochs)); !r.bad {
				h.take(key, g)
			}
		}
		closed = h.report(closed)
	}
	if r.bad || len(r.b) > 0 {
		s.clear()
		return nil, errSnapshot
	}
	s.evict(nil)
	return closed, nil
}

// Inherit takes over the windows of another state, which must not be used any
// more, and tells what became of those of rules that changed.
func (s *State) Inherit(old *State) []Closed {
	s.clock, s.swept, s.stats = old.clock, old.swept, old.stats
	s.epochs, s.epoch, s.written = old.epochs, old.epoch, old.written
	heirs := s.byID()
	var closed []Closed
	for _, r := range old.rules {
		to := heirs[r.ID]
		if to != nil {
			to.evicted = r.evicted
		}
		h := s.inherit(to, &r.Rule)
		for g := r.first; g != nil; {
			next := g.after
			h.take(g.cell.key, g)
			g = next
		}
		closed = h.report(closed)
	}
	s.evict(nil)
	return closed
}

func (s *State) byID() map[string]*ruleState {
	m := make(map[string]*ruleState, len(s.rules))
	for _, r := range s.rules {
		m[r.ID] = r
	}
	return m
}

// heritage is what goes over from a rule as it was to the rule as it is.
type heritage struct {
	Closed
	state *State
	to    *ruleState // nil where nothing can
}

func (s *State) inherit(to *ruleState, old *Rule) *heritage {
	h := &heritage{state: s, to: to, Closed: Closed{Rule: old.ID}}
	switch {
	case to == nil:
		h.Why = Gone
	case to.Fingerprint != old.Fingerprint:
		h.Why, h.to = Recount, nil
	case to.Terms != old.Terms:
		h.Why = Rejudge
	}
	return h
}

// take lets a group go on, or closes its windows.
func (h *heritage) take(name string, g *group) {
	key := []byte(name)
	switch {
	case h.to == nil || h.Why == Rejudge && g.thinned:
		h.Groups++
	case h.state.index.find(key).find(h.to) == nil:
		h.Kept++
		g.quiet = 0 // under the rule as it was
		h.state.keep(h.to, key, g)
	}
}

// report adds what is worth telling.
func (h *heritage) report(list []Closed) []Closed {
	if h.Why == "" || h.Groups+h.Kept == 0 {
		return list
	}
	return append(list, h.Closed)
}

func (s *State) clear() {
	for _, r := range s.rules {
		r.live, r.first, r.last = 0, nil, nil
	}
	s.index = newIndex()
	s.groups, s.bytes, s.clock, s.swept = 0, 0, 0, 0
	s.epochs, s.epoch = nil, map[string]uint16{}
}

// encodeFields writes flat fields down, one pair behind the other. It returns the
// memory that it worked in, too.
func encodeFields(fields iter.Seq2[string, string], scratch []byte) (string, []byte) {
	w := &writer{b: scratch}
	for name, value := range fields {
		w.text(name)
		w.text(value)
	}
	return string(w.b), w.b
}

func decodeFields(text string) map[string]string {
	if text == "" {
		return nil
	}
	r := &reader{b: []byte(text)}
	m := map[string]string{}
	for len(r.b) > 0 && !r.bad {
		name := r.text()
		m[name] = r.text()
	}
	return m
}

// encodeLinks writes down what correlations look at of an event.
func encodeLinks(tenant string, links []Link) string {
	w := &writer{}
	w.text(tenant)
	w.links(links)
	return string(w.b)
}

func (w *writer) links(links []Link) {
	w.uint(uint64(len(links)))
	for _, l := range links {
		if l.None {
			w.uint(1)
			continue
		}
		w.uint(0)
		w.texts(l.Group)
		w.texts(l.Values)
		w.links(l.Then)
	}
}

func decodeLinks(text string) (tenant string, links []Link) {
	if text == "" {
		return "", nil
	}
	r := &reader{b: []byte(text)}
	tenant = r.text()
	return tenant, r.links(0)
}

// maxChain bounds how deep links go, against damaged snapshots.
const maxChain = 64

func (r *reader) links(depth int) (links []Link) {
	for n := r.count(); n > 0 && !r.bad; n-- {
		if depth > maxChain {
			r.bad = true
			break
		}
		l := Link{None: r.uint() == 1}
		if !l.None {
			l.Group, l.Values, l.Then = r.texts(), r.texts(), r.links(depth+1)
		}
		links = append(links, l)
	}
	return links
}

type writer struct{ b []byte }

func (w *writer) int(v int64)   { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) uint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) texts(list []string) {
	w.uint(uint64(len(list)))
	for _, s := range list {
		w.text(s)
	}
}

// reader never reads past its end: bad is set and zeros are returned.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	return taken(r, v, n)
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	return taken(r, v, n)
}

func taken[T int64 | uint64](r *reader, v T, n int) T {
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of things that follow, each at least a byte long.
func (r *reader) count() int {
	v := r.uint()
	if v > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(v)
}

func (r *reader) text() string {
	n := r.count()
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) texts() (list []string) {
	for n := r.count(); n > 0 && !r.bad; n-- {
		list = append(list, r.text())
	}
	return list
}

// group reads a group whose entries refer to known epochs.
func (r *reader) group(epochs int) *group {
	g := &group{newest: r.int(), touched: r.int()}
	g.queued = g.touched - r.int()
	g.thinned = r.uint() == 1
	for n := r.count(); n > 0 && !r.bad; n-- {
		more := g.more()
		more.fired = append(more.fired, r.int())
	}
	at := int64(0)
	for n := r.count(); n > 0 && !r.bad; n-- {
		step := r.int()
		at += step
		e := entry{time: at, seq: r.uint(), index: uint32(r.uint())}
		epoch := r.uint()
		e.value, e.weight, e.epoch = r.uint(), uint32(r.uint()), uint16(epoch)
		if x := (extra{fields: r.text(), links: r.text()}); x != (extra{}) {
			e.extra = g.hold(x)
		}
		first := len(g.entries) == 0
		if epoch >= uint64(epochs) || at < -maxTime || at > maxTime || !first && (step < 0 || g.entries[len(g.entries)-1].order(&e) >= 0) {
			r.bad = true
			break
		}
		g.entries = append(g.entries, e)
		g.heavy = g.heavy || e.weight > 1
	}
	if len(g.entries) > 0 && g.newest < at || g.newest < -maxTime || g.newest > maxTime || g.touched < -maxTime || g.touched > maxTime || g.queued > g.touched || g.queued < -maxTime {
		r.bad = true
	}
	return g
}

// maxTime bounds times, in Unix nanoseconds, so that sums of them stay right.
const maxTime = math.MaxInt64 / 4

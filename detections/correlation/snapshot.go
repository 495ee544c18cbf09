package correlation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"icewatch/soc/event"
)

// snapshotVersion is the first byte of a snapshot.
const snapshotVersion = 1

var errSnapshot = errors.New("correlation: the snapshot is damaged")

// Snapshot writes the state down. Restore reads it.
func (s *State) Snapshot() []byte {
	w := &writer{b: []byte{snapshotVersion}}
	w.int(s.clock)
	w.uint(uint64(len(s.rules)))
	for _, r := range s.rules {
		w.text(r.rule.ID)
		w.text(r.rule.Fingerprint)
		w.uint(uint64(r.order.Len()))
		for el := r.order.Front(); el != nil; el = el.Next() {
			g := el.Value.(*group)
			w.text(g.tenant)
			w.texts(g.values)
			w.int(g.until)
			w.int(g.newest)
			w.int(g.touched)
			w.uint(uint64(len(g.entries)))
			for _, e := range g.entries {
				w.int(e.time)
				w.uint(e.value)
				w.uint(uint64(e.weight))
				w.text(e.id.Epoch)
				w.uint(e.id.Sequence)
				w.uint(uint64(e.id.Index))
			}
			if g.pending == nil {
				w.uint(0)
				continue
			}
			w.uint(1)
			w.int(g.pending.from)
			w.int(g.pending.last)
			w.fields(g.pending.fields)
			w.fields(g.pending.after)
		}
	}
	return w.b
}

// Restore replaces the state by a snapshot's. Rules that are not here any
// more, or whose fingerprint differs, lose their windows; dropped counts them.
// On an error the state is empty.
func (s *State) Restore(data []byte) (dropped int, err error) {
	s.clear()
	r := &reader{b: data}
	if version := r.byte(); version != snapshotVersion {
		return 0, fmt.Errorf("correlation: snapshot version %d is not %d", version, snapshotVersion)
	}
	byID := map[string]int{}
	for i, rs := range s.rules {
		byID[rs.rule.ID] = i
	}
	s.clock = r.int()
	for n := r.count(); n > 0 && !r.bad; n-- {
		id, fingerprint := r.text(), r.text()
		at, known := byID[id]
		known = known && s.rules[at].rule.Fingerprint == fingerprint
		for groups := r.count(); groups > 0 && !r.bad; groups-- {
			g := r.group()
			if r.bad {
				break
			}
			if !known {
				dropped++
				continue
			}
			s.adopt(at, g)
		}
	}
	if r.bad || len(r.b) > 0 {
		s.clear()
		return 0, errSnapshot
	}
	return dropped, nil
}

// adopt takes a group without its sums into a rule.
func (s *State) adopt(rule int, g *group) {
	g.rule, g.key, g.weight, g.distinct = rule, groupKey(g.tenant, g.values), 0, nil
	if s.rules[rule].distinct {
		g.distinct = map[uint64]int{}
	}
	for _, e := range g.entries {
		g.weight += int64(e.weight)
		if g.distinct != nil {
			g.distinct[e.value]++
		}
	}
	if s.rules[rule].groups[g.key] == nil {
		s.keep(g)
	}
}

// Inherit takes over the windows of another state, which must not be used any
// more, for the rules that both have with the same fingerprint.
func (s *State) Inherit(old *State) {
	s.clock, s.swept = old.clock, old.swept
	s.stats = old.stats
	byID := map[string]int{}
	for i, r := range s.rules {
		byID[r.rule.ID] = i
	}
	for _, r := range old.rules {
		at, ok := byID[r.rule.ID]
		if !ok || s.rules[at].rule.Fingerprint != r.rule.Fingerprint {
			continue
		}
		for el := r.order.Front(); el != nil; el = el.Next() {
			s.adopt(at, el.Value.(*group))
		}
	}
}

func (s *State) clear() {
	for _, r := range s.rules {
		r.groups = map[string]*group{}
		r.order.Init()
	}
	s.groups, s.clock, s.swept = 0, 0, 0
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

func (w *writer) fields(m map[string]string) {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	w.uint(uint64(len(names)))
	for _, k := range names {
		w.text(k)
		w.text(m[k])
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

func (r *reader) fields() map[string]string {
	n := r.count()
	if n == 0 {
		return nil
	}
	m := make(map[string]string, min(n, 1024))
	for ; n > 0 && !r.bad; n-- {
		k := r.text()
		m[k] = r.text()
	}
	return m
}

func (r *reader) group() *group {
	g := &group{tenant: r.text()}
	for n := r.count(); n > 0 && !r.bad; n-- {
		g.values = append(g.values, r.text())
	}
	g.until, g.newest, g.touched = r.int(), r.int(), r.int()
	epoch := ""
	for n := r.count(); n > 0 && !r.bad; n-- {
		e := entry{time: r.int(), value: r.uint(), weight: int(r.uint())}
		id := event.ID{Epoch: r.text(), Sequence: r.uint(), Index: uint32(r.uint())}
		if id.Epoch == epoch {
			id.Epoch = epoch // one copy of the same text
		}
		epoch = id.Epoch
		e.id = id
		g.entries = append(g.entries, e)
	}
	if r.uint() == 1 {
		g.pending = &pending{from: r.int(), last: r.int()}
		g.pending.fields, g.pending.after = r.fields(), r.fields()
	}
	return g
}

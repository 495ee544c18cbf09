package correlation

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"unsafe"
)

// extra is what few entries keep: encoded, see snapshot.go.
type extra struct {
	fields string // flat fields of the event, where the window is judged when over
	links  string // what the correlations that count this one look at, with the tenant
}

// extras are those of a group's entries, and what else few groups have. They
// stand apart so that entries hold no pointers: the garbage collector passes by
// a million groups' events.
type extras struct {
	list  []extra
	free  []uint32 // places in list that hold nothing
	bytes int64    // that the list refers to
	fired []int64  // cells that fired and may still be met, ascending; rising only
}

func (x *extras) size() int64 {
	if x == nil {
		return 0
	}
	return int64(unsafe.Sizeof(*x)) + int64(cap(x.list))*int64(unsafe.Sizeof(extra{})) + 4*int64(cap(x.free)) + 8*int64(cap(x.fired)) + x.bytes
}

// more gives the group's extras to be filled.
func (g *group) more() *extras {
	if g.extras == nil {
		g.extras = &extras{}
	}
	return g.extras
}

// hold keeps an extra and returns what an entry refers to it by, never 0.
func (g *group) hold(x extra) uint32 {
	all := g.more()
	all.bytes += int64(len(x.fields) + len(x.links))
	if n := len(all.free); n > 0 {
		at := all.free[n-1]
		all.free = all.free[:n-1]
		all.list[at] = x
		return at + 1
	}
	all.list = append(all.list, x)
	return uint32(len(all.list))
}

// extra is what an entry keeps, the zero value where that is nothing.
func (g *group) extra(e *entry) extra {
	if e.extra == 0 {
		return extra{}
	}
	return g.extras.list[e.extra-1]
}

// release drops what an entry keeps.
func (g *group) release(e *entry) {
	if e.extra == 0 {
		return
	}
	all := g.extras
	x := &all.list[e.extra-1]
	all.bytes -= int64(len(x.fields) + len(x.links))
	*x = extra{}
	all.free = append(all.free, e.extra-1)
	e.extra = 0
	if len(all.free) == len(all.list) {
		if all.list, all.free = all.list[:0], all.free[:0]; len(all.fired) == 0 {
			g.extras = nil
		}
	}
}

// forget drops the fields that an entry keeps.
func (g *group) forget(e *entry) {
	x := g.extra(e)
	switch {
	case x.fields == "":
	case x.links == "":
		g.release(e)
	default:
		g.extras.bytes -= int64(len(x.fields))
		g.extras.list[e.extra-1].fields = ""
	}
}

// inOrder gives flat fields by name, so that what is written of them is the same
// every time.
func inOrder(m map[string]string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

// content is the fields of an event, written down at most once for all groups
// that keep them.
type content struct {
	of      entry // the event, by time and identity
	fields  iter.Seq2[string, string]
	encoded string
	scratch []byte
}

func (c *content) encode() string {
	if c.encoded == "" {
		c.encoded, c.scratch = encodeFields(c.fields, c.scratch[:0])
	}
	return c.encoded
}

// copy gives the fields, nil where none are known.
func (c *content) copy() map[string]string {
	if c == nil || c.fields == nil {
		return nil
	}
	m := map[string]string{}
	for name, value := range c.fields {
		m[name] = strings.Clone(value)
	}
	return m
}

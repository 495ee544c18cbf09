package correlation

import (
	"encoding/binary"
	"hash/maphash"
	"unsafe"
)

// cell is the groups of all rules that have the same values to group by. Most
// rules that count an event group by the same few fields: they find their groups
// by one look.
type cell struct {
	key    string
	check  uint64 // second half of the key's hash
	alike  *cell  // another one with the same first half
	groups []member
}

// member is a rule's group in a cell.
type member struct {
	of *ruleState
	*group
}

// size is what a cell takes with its place in the map.
func (c *cell) size() int64 {
	return int64(unsafe.Sizeof(*c)) + 24 + int64(len(c.key)) + int64(cap(c.groups))*int64(unsafe.Sizeof(member{}))
}

// find gives a rule's group, nil where there is none.
func (c *cell) find(r *ruleState) *group {
	if c == nil {
		return nil
	}
	for i := range c.groups {
		if c.groups[i].of == r {
			return c.groups[i].group
		}
	}
	return nil
}

// index finds cells by their keys: by 128 bits of a hash under seeds that nobody
// outside knows, so that the keys themselves need not be looked at.
type index struct {
	cells  map[uint64]*cell // by the first half
	seeds  [2]maphash.Seed
	recent [4]*cell // found last
	turn   uint8
}

func newIndex() index {
	return index{cells: map[uint64]*cell{}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// find gives the cell of a key, nil where there is none.
func (x *index) find(key []byte) *cell {
	for _, c := range x.recent {
		if c != nil && c.key == string(key) {
			return c
		}
	}
	c := x.cells[maphash.Bytes(x.seeds[0], key)]
	if c == nil {
		return nil
	}
	for check := maphash.Bytes(x.seeds[1], key); c != nil && c.check != check; c = c.alike {
	}
	x.found(c)
	return c
}

func (x *index) found(c *cell) {
	x.recent[x.turn%4] = c
	x.turn++
}

// make puts a cell for a key that has none.
func (x *index) make(key string) *cell {
	first := maphash.String(x.seeds[0], key)
	c := &cell{key: key, check: maphash.String(x.seeds[1], key), alike: x.cells[first]}
	x.cells[first] = c
	x.found(c)
	return c
}

func (x *index) remove(c *cell) {
	for i := range x.recent {
		if x.recent[i] == c {
			x.recent[i] = nil
		}
	}
	hash := maphash.String(x.seeds[0], c.key)
	first := x.cells[hash]
	switch {
	case first != c:
		for first.alike != c {
			first = first.alike
		}
		first.alike = c.alike
	case c.alike != nil:
		x.cells[hash] = c.alike
	default:
		delete(x.cells, hash)
	}
}

// find gives the group of an event, nil where there is none yet, and leaves its
// key in s.scratch.
func (s *State) find(r *ruleState, tenant string, values []string) *group {
	if r.City {
		tenant = ""
	}
	s.scratch = appendKey(s.scratch[:0], tenant, values)
	return s.index.find(s.scratch).find(r)
}

// keep takes in a group that the rule has not.
func (s *State) keep(r *ruleState, key []byte, g *group) {
	c := s.index.find(key)
	if c == nil {
		c = s.index.make(string(key))
		s.bytes += c.size()
	}
	s.bytes -= c.size()
	c.groups = append(c.groups, member{r, g})
	g.cell = c
	r.link(g)
	r.live++
	s.groups++
	s.bytes += c.size() + g.size()
}

func (s *State) drop(r *ruleState, g *group) {
	r.unlink(g)
	r.live--
	s.groups--
	s.bytes -= g.size()
	c := g.cell
	for i := range c.groups {
		if c.groups[i].of == r {
			last := len(c.groups) - 1
			c.groups[i], c.groups[last] = c.groups[last], member{}
			c.groups = c.groups[:last]
			break
		}
	}
	if len(c.groups) == 0 {
		s.index.remove(c)
		s.bytes -= c.size()
	}
}

// appendKey is injective: each part is preceded by its length.
func appendKey(b []byte, tenant string, values []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(tenant)))
	b = append(b, tenant...)
	for _, v := range values {
		if len(v) > maxGroupValueSize {
			v = v[:maxGroupValueSize]
		}
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	return b
}

// splitKey reads what appendKey wrote.
func splitKey(key string) (tenant string, values []string) {
	r := &reader{b: []byte(key)}
	tenant = r.text()
	for len(r.b) > 0 && !r.bad {
		values = append(values, r.text())
	}
	return tenant, values
}

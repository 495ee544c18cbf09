package match

import (
	"encoding/binary"
	"slices"

	"icewatch/detections/logsource"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// routes are the log sources of the rules, as conditions on an event.
type routes struct {
	list []route
	asks []bool // by field id: whether any condition looks at it
}

// route is a log source as conditions: all clauses hold.
type route []clause

// clause is one entry of the routing table. trust is whether it holds for an
// event that says nothing of it.
type clause struct {
	alternatives [][]condition
	trust        bool
}

// condition compares one field with values; an unspecific value says nothing.
// Where it says nothing although it is needed, its alternative fails.
type condition struct {
	slot       int32
	needed     bool
	tests      []test
	unspecific []test
}

func (c *compiler) route(ls sigma.Logsource) (int32, error) {
	if c.table == nil {
		return -1, nil
	}
	if at, ok := c.byLogs[ls]; ok {
		return at, nil
	}
	var rt route
	for _, cl := range c.table.Resolve(ls) {
		out, err := c.clause(cl)
		if err != nil {
			return -1, err
		}
		rt = append(rt, out)
	}
	at := int32(-1)
	if len(rt) > 0 {
		at = int32(len(c.p.routes.list))
		c.p.routes.list = append(c.p.routes.list, rt)
	}
	c.byLogs[ls] = at
	return at, nil
}

func (c *compiler) clause(cl logsource.Clause) (clause, error) {
	out := clause{trust: cl.Trust || !c.table.Strict}
	for _, alt := range cl.Alternatives {
		var conds []condition
		for _, cond := range alt {
			slot, err := c.slot(cond.Fields...)
			if err != nil {
				return out, err
			}
			r := &c.p.routes
			for _, id := range c.p.slots[slot].ids {
				for int(id) >= len(r.asks) {
					r.asks = append(r.asks, false)
				}
				r.asks[id] = true
			}
			made := condition{slot: slot, tests: patterns(cond.Values), needed: cond.Needed}
			for _, name := range cond.Fields {
				made.unspecific = append(made.unspecific, patterns(c.table.Unspecific[name])...)
			}
			conds = append(conds, made)
		}
		out.alternatives = append(out.alternatives, conds)
	}
	return out, nil
}

func patterns(values []string) []test {
	var out []test
	for _, v := range values {
		out = append(out, compilePattern(&sigma.Value{Pattern: sigma.ParsePattern(v)}))
	}
	return out
}

// plan is what has to be looked at in the events of some log sources: the
// columns of their groups by field, as starts[id]:starts[id+1] of columns.
// keywords are the columns for fields beyond those and for the raw text.
type plan struct {
	starts   []uint32
	columns  []*column
	keywords []*column
	always   []int32

	number uint32         // of the plan, from 1 on
	uses   uint32         // events so far
	fields [1 << 10]field // by the last bits of a field's id, see Matcher.look
	recent []recent       // the last values; the first place stands for none
}

// of returns the columns for a field.
func (pl *plan) of(id event.FieldID) []*column {
	if int(id)+1 < len(pl.starts) {
		return pl.columns[pl.starts[id]:pl.starts[id+1]]
	}
	if len(pl.keywords) > 0 && !ours(id) {
		return pl.keywords
	}
	return nil
}

func (p *Program) plan(active []bool) *plan {
	pl := &plan{}
	byID := make([][]*column, p.lastID()+1)
	for g := range p.groups {
		if !active[g] {
			continue
		}
		pl.always = append(pl.always, p.groups[g].always...)
		var keywords *column
		searched := map[event.FieldID]bool{}
		for _, c := range p.groups[g].columns {
			ids := p.slots[c.slot].ids
			if len(ids) == 0 {
				keywords = c
			}
			for _, id := range ids {
				byID[id] = append(byID[id], c)
				searched[id] = searched[id] || c.keywords
			}
		}
		if keywords == nil {
			continue
		}
		pl.keywords = append(pl.keywords, keywords)
		for id := range byID {
			if f := event.FieldID(id); !ours(f) && !searched[f] {
				byID[id] = append(byID[id], keywords)
			}
		}
	}
	pl.starts = make([]uint32, len(byID)+1)
	for id, columns := range byID {
		pl.columns = append(pl.columns, columns...)
		pl.starts[id+1] = uint32(len(pl.columns))
	}
	return pl
}

// lastID is the highest number of a field that any column is for.
func (p *Program) lastID() event.FieldID {
	last := event.FieldID(0)
	for _, g := range p.groups {
		for _, c := range g.columns {
			for _, id := range p.slots[c.slot].ids {
				last = max(last, id)
			}
		}
	}
	return last
}

// Bounds of what a router remembers. Beyond them it begins anew: events
// without end of new log sources cost time, never memory.
const (
	maxRoutes   = 4096
	maxPlans    = 512
	maxKeyValue = 200 // bytes of a value that is remembered
)

// router finds the plan of an event. Log sources show by few fields with few
// values, so what they led to is remembered by those values.
type router struct {
	p      *Program
	whole  *plan // where every rule applies to every event
	known  map[string]*plan
	plans  map[string]*plan // by the groups that are active
	key    []byte
	active []bool
	fed    []bool // groups of which there was an event

	numbers uint32             // plans so far
	joined  map[string]*column // columns that were made of several, by their numbers
}

func (r *router) init(p *Program) {
	r.p, r.active, r.fed, r.joined = p, make([]bool, len(p.groups)), make([]bool, len(p.groups)), map[string]*column{}
	if len(p.routes.list) == 0 {
		for i := range r.active {
			r.active[i], r.fed[i] = true, true
		}
		r.whole = r.make()
		return
	}
	r.known, r.plans = map[string]*plan{}, map[string]*plan{}
}

func (r *router) plan(m *Matcher) *plan {
	if r.whole != nil {
		return r.whole
	}
	asks := r.p.routes.asks
	key, keep := r.key[:0], true
	for i := range m.ev.Fields {
		f := &m.ev.Fields[i]
		if int(f.ID) >= len(asks) || !asks[f.ID] || f.Kind == event.Null {
			continue
		}
		if len(f.Value) > maxKeyValue {
			keep = false
			break
		}
		key = append(key, byte(f.ID), byte(f.ID>>8), byte(f.ID>>16), byte(len(f.Value)))
		key = append(key, f.Value...)
	}
	r.key = key
	if !keep {
		return r.resolve(m)
	}
	if pl := r.known[string(key)]; pl != nil {
		return pl
	}
	pl := r.resolve(m)
	if len(r.known) >= maxRoutes {
		clear(r.known)
	}
	r.known[string(key)] = pl
	return pl
}

// resolve asks every log source about the event.
func (r *router) resolve(m *Matcher) *plan {
	set := make([]byte, len(r.p.groups))
	for g := range r.p.groups {
		at := r.p.groups[g].route
		r.active[g] = at < 0 || m.routed(r.p.routes.list[at])
		if r.active[g] {
			set[g], r.fed[g] = 1, true
		}
	}
	if pl := r.plans[string(set)]; pl != nil {
		return pl
	}
	if len(r.plans) >= maxPlans {
		clear(r.plans)
		clear(r.known)
	}
	pl := r.make()
	r.plans[string(set)] = pl
	return pl
}

// make makes the plan of the groups that are active.
func (r *router) make() *plan {
	pl := r.p.plan(r.active)
	if r.numbers++; r.numbers == 0 { // none may look like a plan of old
		r.numbers = 1
	}
	pl.number = r.numbers
	return pl
}

// Bounds of joining columns. What a value is remembered to hold stays true: the
// terms are the same.
const (
	joinAfter = 256  // events that a plan has had before its columns are joined
	maxJoined = 512  // terms of a column that is made of several
	maxJoins  = 4096 // such columns
)

// join makes one column of those that a plan has for one field, where they are
// small: one pass over a value finds the texts of all log sources.
func (r *router) join(pl *plan) {
	starts, columns := make([]uint32, len(pl.starts)), make([]*column, 0, len(pl.columns))
	for id := 0; id+1 < len(pl.starts); id++ {
		columns = append(columns, r.joinOf(pl.columns[pl.starts[id]:pl.starts[id+1]])...)
		starts[id+1] = uint32(len(columns))
	}
	pl.starts, pl.columns, pl.keywords = starts, columns, r.joinOf(pl.keywords)
}

// joinOf returns columns in which small ones are joined.
func (r *router) joinOf(columns []*column) []*column {
	small, terms := 0, 0
	for _, c := range columns {
		if n := len(c.list); terms+n <= maxJoined {
			small, terms = small+1, terms+n
		}
	}
	if small < 2 {
		return columns
	}
	var out, join []*column
	r.key, terms = r.key[:0], 0
	for _, c := range columns {
		if n := len(c.list); terms+n <= maxJoined {
			terms += n
			join = append(join, c)
			r.key = binary.LittleEndian.AppendUint32(r.key, uint32(c.at))
		} else {
			out = append(out, c)
		}
	}
	one := r.joined[string(r.key)]
	if one == nil {
		var list []int32
		for _, c := range join {
			list = append(list, c.list...)
		}
		slices.Sort(list)
		one = newColumn(join[0].slot, r.p.terms, slices.Compact(list))
		if len(r.joined) >= maxJoins {
			clear(r.joined)
		}
		r.joined[string(r.key)] = one
	}
	return append(out, one)
}

// routed tells whether the event is of the log source. A field that the event
// does not have, or that holds an unspecific value, says nothing for or
// against it.
func (m *Matcher) routed(rt route) bool {
	for i := range rt {
		if !m.clause(&rt[i]) {
			return false
		}
	}
	return true
}

func (m *Matcher) clause(c *clause) bool {
	spoke := false
	for _, alt := range c.alternatives {
		fits, said := true, false
		for i := range alt {
			cond := &alt[i]
			if m.specific(cond) {
				said = true
				fits = fits && m.anyOf(cond.tests, cond.slot)
			} else if cond.needed {
				fits = false
			}
		}
		spoke = spoke || said
		if fits && said {
			return true
		}
	}
	return !spoke && c.trust
}

// specific tells whether a value of the condition's field says something.
func (m *Matcher) specific(c *condition) bool {
	for i := m.next(c.slot, -1); i >= 0; i = m.next(c.slot, i) {
		if m.kind(i) == event.Null || m.value(i) == "" {
			continue
		}
		said := true
		for j := range c.unspecific {
			if m.meets(&c.unspecific[j], i) {
				said = false
				break
			}
		}
		if said {
			return true
		}
	}
	return false
}

func (m *Matcher) anyOf(tests []test, slot int32) bool {
	for i := m.next(slot, -1); i >= 0; i = m.next(slot, i) {
		for j := range tests {
			if m.kind(i) != event.Null && m.meets(&tests[j], i) {
				return true
			}
		}
	}
	return false
}

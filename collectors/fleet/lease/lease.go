// Package lease gives the tasks of a group to its members, so that each task runs on
// one member at a time and moves to another when its holder is dead.
//
// A member holds a task for TTL counted from when it asked; the table here counts the
// same span from when it answered, which is later. So the holder has stopped
// when the table thinks that its lease is over, whatever the clocks say, and only then
// the task is given away. Nothing is stored: after a start the table waits for one TTL,
// in which holders from before tell what they hold and keep it.
package lease

import (
	"cmp"
	"slices"
	"time"
)

// TTL is how long a lease lasts without word, Renew how often a member asks.
const (
	TTL   = 15 * time.Second
	Renew = 5 * time.Second
)

// Grant is a task that a member holds.
type Grant struct {
	Task  string
	Fence int64
}

// Move is a task that changed its holder.
type Move struct {
	Task, From, To string
}

type task struct {
	group  string
	weight int
	holder string
	fence  int64
	until  time.Time // when the holder's lease is over
	taken  bool      // it is to be given to another once the lease is over
	last   string    // who held it before
	since  time.Time // without a holder
}

type member struct {
	group string
	seen  time.Time
	fresh bool // its tasks changed since it was told
}

// Table knows tasks, members and leases. It is not safe for concurrent use.
type Table struct {
	born    time.Time
	tasks   map[string]*task
	members map[string]*member
}

// New makes a table that was started at now.
func New(now time.Time) *Table {
	return &Table{born: now, tasks: map[string]*task{}, members: map[string]*member{}}
}

// SetTask adds a task of a group, or changes one. weight is what it costs, 1 or more.
func (t *Table) SetTask(id, group string, weight int, now time.Time) {
	x := t.tasks[id]
	if x == nil {
		t.tasks[id] = &task{group: group, weight: max(weight, 1), since: now}
		return
	}
	x.weight = max(weight, 1)
	if x.group != group {
		x.group, x.taken = group, true
	}
	if m := t.members[x.holder]; m != nil {
		m.fresh = true
	}
}

// RemoveTask takes a task away; its holder learns it with the next word.
func (t *Table) RemoveTask(id string) {
	if x := t.tasks[id]; x != nil {
		if m := t.members[x.holder]; m != nil {
			m.fresh = true
		}
		delete(t.tasks, id)
	}
}

// Ask notes that a member asks, and what it says it holds, before it is answered.
func (t *Table) Ask(id, group string, holds []Grant, now time.Time) {
	m := t.members[id]
	if m == nil {
		m = &member{fresh: true}
		t.members[id] = m
	}
	m.seen = now
	if m.group != group {
		m.group, m.fresh = group, true
		for _, x := range t.tasks {
			if x.holder == id && x.group != group {
				x.taken = true
			}
		}
	}
	for _, g := range holds {
		x := t.tasks[g.Task]
		switch {
		case x == nil || x.group != group:
			m.fresh = true // it must stop
		case x.holder == "" && x.fence == 0 && now.Sub(t.born) < TTL:
			// From before this table began.
			x.holder, x.fence, x.until = id, g.Fence, now.Add(TTL)
		case x.holder != id || x.fence != g.Fence:
			m.fresh = true
		}
	}
}

// Leave takes a member away that is known to have stopped, or that may not be trusted.
// Its leases run out.
func (t *Table) Leave(id string) {
	for _, x := range t.tasks {
		if x.holder == id {
			x.taken = true
		}
	}
	delete(t.members, id)
}

// Answer is what a member holds from now on; told resets Changed.
func (t *Table) Answer(id string, now time.Time) []Grant {
	m := t.members[id]
	if m == nil {
		return nil
	}
	m.fresh = false
	var out []Grant
	for name, x := range t.tasks {
		if x.holder == id && !x.taken && now.Before(x.until) {
			x.until = now.Add(TTL)
			out = append(out, Grant{name, x.fence})
		}
	}
	slices.SortFunc(out, func(a, b Grant) int { return cmp.Compare(a.Task, b.Task) })
	return out
}

// Changed tells whether a member should be told of its tasks at once.
func (t *Table) Changed(id string) bool { m := t.members[id]; return m != nil && m.fresh }

// Holder tells who runs a task; "" nobody.
func (t *Table) Holder(task string) string {
	if x := t.tasks[task]; x != nil {
		return x.holder
	}
	return ""
}

// Load is the weight of the tasks of each member of a group that is alive.
func (t *Table) Load(group string, now time.Time) map[string]int {
	out := map[string]int{}
	for id, m := range t.members {
		if m.group == group && now.Sub(m.seen) < 2*Renew+time.Second {
			out[id] = 0
		}
	}
	for _, x := range t.tasks {
		if _, ok := out[x.holder]; ok && !x.taken {
			out[x.holder] += x.weight
		}
	}
	return out
}

// imbalance is by how much one member must carry more than another before a task moves
// for that alone.
const imbalance = 2

// Step takes tasks whose lease is over, gives those without a holder to the
// least loaded members, and evens out. It names the members to be told, and what moved.
func (t *Table) Step(now time.Time) (tell []string, moved []Move) {
	if now.Sub(t.born) < TTL {
		// Who holds what from before is not known yet: a group that never had a holder
		// waits as well, once after a start.
		return nil, nil
	}
	groups := map[string][]string{}
	for id, x := range t.tasks {
		if x.holder != "" && !now.Before(x.until) {
			x.last, x.holder, x.taken, x.since = x.holder, "", false, now
		}
		groups[x.group] = append(groups[x.group], id)
	}
	told := map[string]bool{}
	for group, ids := range groups {
		load := t.Load(group, now)
		if len(load) == 0 {
			continue
		}
		slices.SortFunc(ids, func(a, b string) int {
			return cmp.Or(cmp.Compare(t.tasks[b].weight, t.tasks[a].weight), cmp.Compare(a, b))
		})
		for _, id := range ids {
			x := t.tasks[id]
			if x.holder != "" {
				continue
			}
			to := least(load)
			x.holder, x.fence, x.until = to, max(now.UnixMilli(), x.fence+1), now.Add(TTL)
			load[to] += x.weight
			t.members[to].fresh, told[to] = true, true
			moved = append(moved, Move{id, x.last, to})
		}
		// Even out, one task a step: the holder is told to stop, and the task is given away
		// when its lease is over.
		low := least(load)
		for _, id := range ids {
			x := t.tasks[id]
			if n, ok := load[x.holder]; ok && !x.taken && n-x.weight >= load[low]+x.weight && n-load[low] >= imbalance {
				x.taken = true
				t.members[x.holder].fresh, told[x.holder] = true, true
				break
			}
		}
	}
	for id, m := range t.members {
		if now.Sub(m.seen) > 10*TTL {
			delete(t.members, id)
		}
	}
	for id := range told {
		tell = append(tell, id)
	}
	slices.Sort(tell)
	return tell, moved
}

func least(load map[string]int) string {
	best := ""
	for id, n := range load {
		if best == "" || n < load[best] || n == load[best] && id < best {
			best = id
		}
	}
	return best
}

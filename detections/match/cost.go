package match

import "time"

// Cost is what one rule has cost and brought since the matcher was made.
type Cost struct {
	Asked uint64        // events for which its condition was evaluated
	Hits  uint64        // events that met it
	Time  time.Duration // spent on its condition, extrapolated from a sample of events
}

// sampled is the part of the events of which the time is taken: one in so many.
const sampled = 64

// Costs returns what each rule has cost, by index.
func (m *Matcher) Costs() []Cost {
	out := make([]Cost, len(m.costs))
	copy(out, m.costs)
	return out
}

// SetAside has a rule not asked any more, or asked again.
func (m *Matcher) SetAside(rule int, off bool) {
	if off && m.aside == nil {
		m.aside = make([]bool, len(m.p.rules))
	}
	if m.aside != nil {
		m.aside[rule] = off
	}
}

// ask evaluates a rule's condition and keeps the account of it.
func (m *Matcher) ask(rule int32) bool {
	c := &m.costs[rule]
	c.Asked++
	var begun time.Time
	timed := m.events%sampled == 0
	if timed {
		begun = time.Now()
	}
	ok := m.holds(&m.p.rules[rule].cond)
	if timed {
		c.Time += sampled * time.Since(begun)
	}
	if ok {
		c.Hits++
	}
	return ok
}

// Size is about how many bytes the program keeps.
func (p *Program) Size() int {
	size := len(p.slots)*4 + len(p.preds)*200 + len(p.rules)*96
	for i := range p.needs {
		size += 80 + len(p.needs[i].present)*4
		for text, list := range p.needs[i].texts {
			size += 48 + len(text) + len(list)*4
		}
		size += len(p.needs[i].numbers) * 48
	}
	return size
}

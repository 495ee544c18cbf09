package pack

import (
	"cmp"
	"fmt"
	"slices"

	"icewatch/soc/event"
)

// index makes the ways to the logs: by program, anchor, condition and dataset.
func (s *Set) index() error {
	slices.SortStableFunc(s.logs, func(a, b *Log) int { return cmp.Compare(b.priority, a.priority) })
	anchors := map[string][]*Log{}
	shared := s.shared()
	for rank, l := range s.logs {
		l.rank = rank
		if l.head != nil {
			for _, code := range l.codes {
				l.head.logs[code] = append(l.head.logs[code], l)
			}
			if l.head.sought {
				continue // One of the logs of a head stands in the index for all.
			}
			l.head.sought = true
		}
		switch {
		case l.BuiltIn:
			s.datasets[l.Dataset] = l
		case len(l.when) > 0:
			s.member(l, shared)
		default:
			for _, p := range l.programs {
				s.programs[p] = append(s.programs[p], l)
			}
			for _, a := range l.anchors {
				anchors[a] = append(anchors[a], l)
			}
		}
	}
	var ok bool
	if s.anchors, ok = newAutomaton(anchors); !ok {
		s.anchors, _ = newAutomaton(nil)
		return fmt.Errorf("the packs have too many anchors: together they may have %d letters", maxStates)
	}
	return nil
}

// memberKey is a value that a field must have; any, where it may be any.
type memberKey struct {
	id    event.FieldID
	value string
	any   bool
}

func (c *condition) keys() (out []memberKey) {
	for _, id := range c.ids {
		if len(c.values) == 0 {
			out = append(out, memberKey{id: id, any: true})
		}
		for _, v := range c.values {
			out = append(out, memberKey{id: id, value: v})
		}
	}
	return out
}

// shared counts the logs that want a field to have a value.
func (s *Set) shared() map[memberKey]int {
	out := map[memberKey]int{}
	for _, l := range s.logs {
		for i := range l.when {
			for _, k := range l.when[i].keys() {
				out[k]++
			}
		}
	}
	return out
}

// member files a log under the condition that tells it best from others.
func (s *Set) member(l *Log, shared map[memberKey]int) {
	var best []memberKey
	least := 0
	for i := range l.when {
		keys := l.when[i].keys()
		cost := 0
		for _, k := range keys {
			if k.any {
				cost += 1000 // Whatever has the field would be tried.
			}
			cost += shared[k]
		}
		if best == nil || cost < least {
			best, least = keys, cost
		}
	}
	for _, k := range best {
		m := s.members[k.id]
		if m == nil {
			m = &member{}
			s.members[k.id] = m
			for uint(k.id)>>6 >= uint(len(s.telling)) {
				s.telling = append(s.telling, 0)
			}
			s.telling[uint(k.id)>>6] |= 1 << (k.id & 63)
		}
		if k.any {
			m.any = append(m.any, l)
			continue
		}
		if m.values == nil {
			m.values = map[string][]*Log{}
		}
		m.values[k.value] = append(m.values[k.value], l)
	}
}

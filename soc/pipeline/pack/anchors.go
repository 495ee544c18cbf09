package pack

// maxScan bounds how far into a line anchors are sought: what tells a product
// from another stands near the start.
const maxScan = 4096

// automaton finds all anchors of all types of log in one pass over a text
// (Aho and Corasick, 1975). Bytes that no anchor has share a column.
type automaton struct {
	class [256]uint8
	width int
	next  []uint16 // by state and class
	hits  [][]*Log // by state; nil in most
}

// maxStates bounds the automaton: a state is a number of 16 bits.
const maxStates = 1 << 16

// newAutomaton builds the automaton of the anchors; ok is false where they are
// too many for it.
func newAutomaton(anchors map[string][]*Log) (a *automaton, ok bool) {
	a = &automaton{width: 1}
	for text := range anchors {
		for i := 0; i < len(text); i++ {
			if c := text[i]; a.class[c] == 0 && a.width < 255 {
				a.class[c] = uint8(a.width)
				a.width++
			}
		}
	}
	const none = 0 // the root is never a child
	row := func(s int) []uint16 { return a.next[s*a.width : (s+1)*a.width] }
	grow := func() int {
		a.next = append(a.next, make([]uint16, a.width)...)
		a.hits = append(a.hits, nil)
		return len(a.hits) - 1
	}
	grow()
	for text, logs := range anchors {
		s := 0
		for i := 0; i < len(text); i++ {
			c := a.class[text[i]]
			if row(s)[c] == none {
				if len(a.hits) == maxStates {
					return nil, false
				}
				made := grow()
				row(s)[c] = uint16(made)
			}
			s = int(row(s)[c])
		}
		a.hits[s] = append(a.hits[s], logs...)
	}
	// Breadth first: a state without a child goes where its longest suffix goes.
	suffix := make([]uint16, len(a.hits))
	var queue []uint16
	for _, child := range row(0) {
		if child != none {
			queue = append(queue, child)
		}
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		back := row(int(suffix[s]))
		a.hits[s] = append(a.hits[s], a.hits[suffix[s]]...)
		for c, child := range row(int(s)) {
			if child == none {
				row(int(s))[c] = back[c]
				continue
			}
			suffix[child] = back[c]
			queue = append(queue, child)
		}
	}
	return a, true
}

// find appends the logs whose anchors are in text, some more than once.
func (a *automaton) find(text string, out []*Log) []*Log {
	if len(text) > maxScan {
		text = text[:maxScan]
	}
	s := 0
	for i := 0; i < len(text); i++ {
		s = int(a.next[s*a.width+int(a.class[text[i]])])
		if h := a.hits[s]; h != nil {
			out = append(out, h...)
		}
	}
	return out
}

package pack

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxCaptures bounds the captures of a pattern and the columns of a CSV line.
const maxCaptures = 128

// maxSteps bounds the places at which one pattern tries to go on in one line.
const maxSteps = 4096

// A pattern is literal text with captures: {name}, {name:type} or
// {name=one|two}. (? … ?) may be absent. A blank stands for one or more.
type pattern struct {
	nodes []node
	need  string // a literal that every text of it holds; "" where what led to it has shown that
}

type operation uint8

const (
	opLiteral operation = iota
	opBlank
	opCapture
	opWords
	opOptional
)

type node struct {
	op     operation
	text   string   // opLiteral
	words  []string // opWords, the longest first
	kind   *kind    // opCapture
	slot   int      // -1 keeps nothing
	after  int      // opOptional: where it goes on without
	next   string   // the one literal that must follow a capture, if there is one
	follow *byteSet // what the text behind a capture can begin with; nil is anything
	last   bool     // nothing follows the capture
	vacant bool     // what follows the capture may be absent altogether
}

type byteSet [256]bool

// kind is a type of capture.
type kind struct {
	name   string
	bytes  func(c byte) bool // nil is any
	empty  bool
	greedy bool
	number bool
	check  func(s string) bool
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isIP(s string) bool {
	if len(s) < 2 || len(s) > 64 || !strings.ContainsAny(s, ".:") || !isHex(s[0]) && s[0] != ':' {
		return false
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

// kinds are the types of captures.
func kinds() map[string]*kind {
	out := map[string]*kind{}
	for _, k := range []*kind{
		{name: "text", empty: true},
		{name: "some"},
		{name: "rest", empty: true, greedy: true},
		{name: "word", bytes: func(c byte) bool { return c > ' ' }},
		{name: "name", greedy: true, bytes: func(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' || c == '-' || c == '.' || c >= 0x80 }},
		{name: "int", greedy: true, number: true, bytes: func(c byte) bool { return isDigit(c) || c == '-' }, check: isInt},
		{name: "digits", greedy: true, bytes: isDigit},
		{name: "number", greedy: true, number: true, bytes: func(c byte) bool { return isDigit(c) || c == '.' || c == '-' }, check: isNumber},
		{name: "port", greedy: true, number: true, bytes: isDigit, check: isPort},
		{name: "ip", greedy: true, bytes: func(c byte) bool { return isHex(c) || c == '.' || c == ':' || c == '%' }, check: isIP},
		{name: "host", greedy: true, bytes: func(c byte) bool {
			return isLetter(c) || isDigit(c) || strings.IndexByte("._-:%", c) >= 0
		}},
		{name: "hex", greedy: true, bytes: func(c byte) bool { return isHex(c) || c == 'x' || c == 'X' }},
		{name: "mac", greedy: true, bytes: func(c byte) bool { return isHex(c) || c == ':' || c == '-' || c == '.' }, check: func(s string) bool { return len(s) == 17 || len(s) == 14 }},
		{name: "upper", greedy: true, bytes: func(c byte) bool { return c >= 'A' && c <= 'Z' || c == '_' || isDigit(c) }},
		{name: "interface", greedy: true, check: func(s string) bool { return s[len(s)-1] != '.' && s[len(s)-1] != ':' },
			bytes: func(c byte) bool {
				return isLetter(c) || isDigit(c) || strings.IndexByte("/-_.:", c) >= 0
			}},
		{name: "time"},
	} {
		out[k.name] = k
	}
	return out
}

func isInt(s string) bool {
	s = strings.TrimPrefix(s, "-")
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != "" && len(s) < 20 && (len(s) == 1 || s[0] != '0')
}

// isNumber tells whether s is a number as JSON has them, without an exponent.
func isNumber(s string) bool {
	whole, fraction, cut := strings.Cut(s, ".")
	if !isInt(whole) {
		return false
	}
	for i := 0; i < len(fraction); i++ {
		if !isDigit(fraction[i]) {
			return false
		}
	}
	return !cut || fraction != ""
}

func isPort(s string) bool { return len(s) <= 5 && isInt(s) && s[0] != '-' }

// compilePattern reads a pattern. slot gives a name its place among the
// captures.
func compilePattern(src string, types map[string]*kind, slot func(name string, k *kind) (int, error)) (*pattern, error) {
	p := &pattern{}
	var open []int
	for i := 0; i < len(src); {
		rest := src[i:]
		switch {
		case strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}"):
			p.literal(rest[:1])
			i += 2
		case rest[0] == '{':
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return nil, fmt.Errorf("pattern: %q does not end: a } is missing (a brace itself is written {{)", rest)
			}
			n, err := capture(rest[1:end], types, slot)
			if err != nil {
				return nil, err
			}
			if len(p.nodes) > 0 && n.op == opCapture && p.nodes[len(p.nodes)-1].op == opCapture && p.nodes[len(p.nodes)-1].kind.bytes == nil {
				return nil, fmt.Errorf("pattern: nothing parts {%s} from the text before it", rest[1:end])
			}
			p.nodes = append(p.nodes, n)
			i += end + 1
		case strings.HasPrefix(rest, "(?"):
			open = append(open, len(p.nodes))
			p.nodes = append(p.nodes, node{op: opOptional})
			i += 2
		case strings.HasPrefix(rest, "?)"):
			if len(open) == 0 {
				return nil, fmt.Errorf("pattern: ?) without a (? before it")
			}
			p.nodes[open[len(open)-1]].after = len(p.nodes)
			open = open[:len(open)-1]
			p.nodes = append(p.nodes, node{op: opLiteral}) // so that what follows is not joined to the group
			i += 2
		case rest[0] == ' ' || rest[0] == '\t':
			if len(p.nodes) == 0 || p.nodes[len(p.nodes)-1].op != opBlank {
				p.nodes = append(p.nodes, node{op: opBlank})
			}
			i++
		default:
			n := strings.IndexAny(rest[1:], "{}(? \t") + 1
			if n <= 0 {
				n = len(rest)
			}
			p.literal(rest[:n])
			i += n
		}
	}
	if len(open) > 0 {
		return nil, fmt.Errorf("pattern: a (? has no ?)")
	}
	if len(p.nodes) == 0 {
		return nil, fmt.Errorf("pattern: it is empty")
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		if n.op != opCapture {
			continue
		}
		n.last, n.vacant = i+1 == len(p.nodes), p.vacant(i+1)
		var follow byteSet
		if !p.first(i+1, &follow) {
			n.follow = &follow
		}
		if !n.last && p.nodes[i+1].op == opLiteral {
			n.next = p.nodes[i+1].text
		}
	}
	return p, nil
}

func (p *pattern) literal(s string) {
	if n := len(p.nodes); n > 0 && p.nodes[n-1].op == opLiteral && p.nodes[n-1].text != "" {
		p.nodes[n-1].text += s
		return
	}
	p.nodes = append(p.nodes, node{op: opLiteral, text: s})
}

// vacant tells whether the pattern from node i on matches an empty text.
func (p *pattern) vacant(i int) bool {
	for i < len(p.nodes) {
		switch n := &p.nodes[i]; {
		case n.op == opOptional:
			i = n.after
			continue
		case n.op == opLiteral && n.text == "", n.op == opBlank, n.op == opCapture && n.kind.empty:
		default:
			return false
		}
		i++
	}
	return true
}

// first collects what the text at node i can begin with. It returns true where
// that is anything.
func (p *pattern) first(i int, follow *byteSet) bool {
	if i >= len(p.nodes) {
		return true
	}
	switch n := &p.nodes[i]; n.op {
	case opLiteral:
		if n.text == "" {
			return p.first(i+1, follow)
		}
		follow[n.text[0]] = true
	case opBlank:
		follow[' '], follow['\t'] = true, true
	case opWords:
		for _, w := range n.words {
			follow[w[0]] = true
		}
	case opOptional:
		body := p.first(i+1, follow)
		return p.first(n.after, follow) || body
	case opCapture:
		if n.kind.bytes == nil || n.kind.empty {
			return true
		}
		for c := range follow {
			follow[c] = follow[c] || n.kind.bytes(byte(c))
		}
	}
	return false
}

// capture reads what stands between braces.
func capture(src string, types map[string]*kind, slot func(string, *kind) (int, error)) (n node, err error) {
	name, words, isWords := strings.Cut(src, "=")
	if isWords {
		n = node{op: opWords, words: strings.Split(words, "|")}
		if slices.Contains(n.words, "") {
			return n, fmt.Errorf("pattern: {%s} lists an empty word; (?{%s=…}?) is one that may be absent", src, name)
		}
		slices.SortStableFunc(n.words, func(a, b string) int { return len(b) - len(a) })
		n.slot, err = slot(name, types["text"])
		return n, err
	}
	name, typ, ok := strings.Cut(src, ":")
	if !ok {
		typ = "text"
		if name == timeName {
			typ = "time"
		}
	}
	k, ok := types[typ]
	if !ok {
		return n, fmt.Errorf("pattern: {%s}: there is no type %q; there are %s", src, typ, strings.Join(kindNames(types), ", "))
	}
	n = node{op: opCapture, kind: k}
	n.slot, err = slot(name, k)
	return n, err
}

func kindNames(types map[string]*kind) []string {
	var names []string
	for name := range types {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// longest returns the longest literal that every line of the pattern has, with
// the single blanks within.
func (p *pattern) longest() string {
	best, now := "", ""
	skip := 0
	take := func() {
		if now = strings.TrimRight(now, " "); len(now) > len(best) {
			best = now
		}
		now = ""
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		switch {
		case i < skip:
		case n.op == opOptional:
			take()
			skip = n.after
		case n.op == opLiteral:
			now += n.text
		default:
			take()
		}
	}
	take()
	return best
}

// matcher walks one text along one pattern.
type matcher struct {
	p     *pattern
	s     string
	m     *Match
	steps int
	full  bool // the pattern must end with the text
}

func (p *pattern) read(text string, m *Match) bool {
	if !strings.Contains(text, p.need) {
		return false
	}
	m.m = matcher{p: p, s: text, m: m}
	return m.m.at(0, 0)
}

// at matches the nodes from i with the text from pos.
func (m *matcher) at(i, pos int) bool {
	for i < len(m.p.nodes) {
		n := &m.p.nodes[i]
		switch n.op {
		case opLiteral:
			if !strings.HasPrefix(m.s[pos:], n.text) {
				return false
			}
			pos += len(n.text)
		case opBlank:
			start := pos
			for pos < len(m.s) && (m.s[pos] == ' ' || m.s[pos] == '\t') {
				pos++
			}
			if pos == start && pos < len(m.s) {
				return false
			}
		case opWords:
			for _, w := range n.words {
				if strings.HasPrefix(m.s[pos:], w) && m.at(i+1, pos+len(w)) {
					m.keep(n, pos, pos+len(w))
					return true
				}
			}
			return false
		case opOptional:
			if m.at(i+1, pos) {
				return true
			}
			i = n.after
			continue
		case opCapture:
			return m.capture(n, i, pos)
		}
		i++
	}
	return !m.full || pos == len(m.s)
}

// keep stores a value. Values are kept from the last capture to the first, as
// the ways that match are found.
func (m *matcher) keep(n *node, from, to int) {
	if n.slot >= 0 {
		m.m.values[n.slot] = m.s[from:to]
	}
}

// capture tries the ends that a capture can have.
func (m *matcher) capture(n *node, i, pos int) bool {
	limit := len(m.s)
	if n.kind.bytes != nil {
		limit = pos
		for limit < len(m.s) && n.kind.bytes(m.s[limit]) {
			limit++
		}
	}
	least := pos
	if !n.kind.empty {
		least++
	}
	switch {
	case limit < least:
		return false
	case n.last && (!n.kind.greedy || n.kind.check == nil):
		return m.ends(n, i, pos, limit)
	case n.kind.greedy:
		for end := limit; end >= least && m.steps <= maxSteps; end-- {
			if n.last && end < limit && (isLetter(m.s[end]) || isDigit(m.s[end])) {
				return false // What ends a text gives off signs, not a part of itself.
			}
			if m.ends(n, i, pos, end) {
				return true
			}
		}
		return false
	case n.vacant && !m.full:
		// What follows may be absent altogether: it is there only where it
		// ends the text.
		m.full = true
		found := m.shortest(n, i, pos, least, limit)
		m.full = false
		return found || m.ends(n, i, pos, limit)
	}
	return m.shortest(n, i, pos, least, limit)
}

func (m *matcher) shortest(n *node, i, pos, least, limit int) bool {
	for end := least; end <= limit && m.steps <= maxSteps; end++ {
		if n.next != "" {
			j := strings.Index(m.s[end:], n.next)
			if j < 0 || end+j > limit {
				return false
			}
			end += j
		}
		if m.ends(n, i, pos, end) {
			return true
		}
	}
	return false
}

// ends tells whether a capture can end at end, and keeps it then.
func (m *matcher) ends(n *node, i, pos, end int) bool {
	if end < len(m.s) && n.follow != nil && !n.follow[m.s[end]] || end == len(m.s) && !n.vacant {
		return false
	}
	m.steps++
	if n.kind.check != nil && !n.kind.check(m.s[pos:end]) || !m.at(i+1, end) {
		return false
	}
	m.keep(n, pos, end)
	return true
}

package match

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"icewatch/detections/sigma"
)

// column is the index of all terms that a group compares one field to.
//
// Texts are found by four of their bytes, a gram: the one that is rarest among
// the texts of the column. A pass over a value asks a bit set about the four
// bytes at each position, and only where it says yes the table behind it and
// then the text itself. Where an Aho-Corasick automaton waits for one memory
// access a byte, and with ten thousand texts for the second-level cache, these
// look-ups do not wait for one another and the bit set stays in the first.
type column struct {
	slot     int32
	at       int32   // place among the columns of the program
	list     []int32 // its terms
	keywords bool    // the keyword search of the group is in it

	any   []int32 // termAny
	there []int32 // termPresent
	empty []int32 // the empty text, whole
	loose []int32 // gates of regular expressions, found in any value beyond ASCII

	filter []uint64
	shift  uint8 // of a hash, to a bit of the filter
	table  []bucket
	places []place
	pairs  *[1 << 10]uint64 // first bytes of texts too short for a gram
	ones   []place          // texts of one byte

	longest    int  // bytes of the longest text
	stride     int  // how many positions are between those looked at
	whole      bool // texts may be anywhere; else only at the ends
	head, tail int  // how far from the ends texts reach

	numbers  map[int64][]int32
	fraction []int32 // number terms that are not whole, compared one by one
	numeric  []int32 // all number terms
	networks []networks
}

// bucket is an entry of the hash table; no places mean that it is free.
type bucket struct {
	gram     uint32
	from, to int32 // of places
}

// place is where in a term's text its gram is.
type place struct {
	text  string // folded
	term  int32
	gram  int16 // where the gram begins, -1 where it takes in the edge before the text
	kind  termKind
	cased bool
}

// networks are the network terms of one address family and prefix length.
type networks struct {
	bits  int
	six   bool
	terms map[netip.Prefix][]int32
}

// margin is how many zero bytes follow a folded value; one stands before it.
// They let a gram take in an edge of the value.
const margin = 8

const (
	gramLength = 4
	spread     = 0x9E3779B1 // Knuth's multiplicative hash
	pairMark   = 0xFFFF0000 // marks a pair in the table; no UTF-8 text holds such bytes
)

func hash(gram uint32) uint32 { return gram * spread }

// maxKeywords is up to how many terms of the keyword search go into the column
// of each field too, so that one pass over a value finds both.
const maxKeywords = 256

// columns builds the columns of a group, the keyword search among them.
func (c *compiler) columns(g *groupCompiler) []*column {
	bySlot := map[int32][]int32{}
	var slots []int32
	var keywords []int32
	for _, at := range g.mine {
		slot := c.p.terms[at].slot
		if _, ok := bySlot[slot]; !ok {
			slots = append(slots, slot)
		}
		bySlot[slot] = append(bySlot[slot], at)
		if len(c.p.slots[slot].ids) == 0 {
			keywords = bySlot[slot]
		}
	}
	out := make([]*column, len(slots))
	var wg sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, slot := range slots {
		s := &c.p.slots[slot]
		terms := bySlot[slot]
		merged := len(s.ids) > 0 && len(keywords) > 0 && len(keywords) <= maxKeywords && !slices.ContainsFunc(s.ids, ours)
		if merged {
			terms = append(terms[:len(terms):len(terms)], keywords...)
		}
		turns <- struct{}{}
		wg.Go(func() {
			out[i] = newColumn(slot, c.p.terms, terms)
			out[i].keywords = merged
			<-turns
		})
	}
	wg.Wait()
	return out
}

// newColumn builds the index of some terms.
func newColumn(slot int32, terms []term, list []int32) *column {
	col := &column{slot: slot, list: list}
	var texts []int32
	for _, at := range list {
		t := &terms[at]
		switch t.kind {
		case termAny:
			col.any = append(col.any, at)
		case termPresent:
			col.there = append(col.there, at)
		case termNumber:
			col.number(at, t.number)
		case termNetwork:
			col.network(at, t.network)
		default:
			if t.kind == termGate {
				col.loose = append(col.loose, at)
			}
			switch {
			case t.text != "":
				texts = append(texts, at)
			case t.kind == termExact:
				col.empty = append(col.empty, at)
			default: // every value begins, ends with and contains the empty text
				col.any = append(col.any, at)
			}
		}
	}
	col.index(terms, texts)
	return col
}

func (c *column) number(at int32, n sigma.Number) {
	c.numeric = append(c.numeric, at)
	if !n.Integer {
		c.fraction = append(c.fraction, at)
		return
	}
	if c.numbers == nil {
		c.numbers = map[int64][]int32{}
	}
	c.numbers[n.Int] = append(c.numbers[n.Int], at)
}

func (c *column) network(at int32, n sigma.Prefix) {
	p := n.Masked()
	i := slices.IndexFunc(c.networks, func(n networks) bool { return n.bits == p.Bits() && n.six == p.Addr().Is6() })
	if i < 0 {
		i = len(c.networks)
		c.networks = append(c.networks, networks{bits: p.Bits(), six: p.Addr().Is6(), terms: map[netip.Prefix][]int32{}})
	}
	c.networks[i].terms[p] = append(c.networks[i].terms[p], at)
}

// mark is a gram and where in its text it begins, -1 where it takes in the
// zero byte before.
type mark struct {
	gram uint32
	at   int16
}

// maxMarkAt bounds how far into a text its gram is looked for.
const maxMarkAt = 1 << 10

// long is from which length on texts are found by looking at each fourth
// position only: any seven bytes hold a gram that begins at one of those.
const (
	stride = 4
	long   = gramLength + stride - 1
)

// marks lists the ways to find a text, each as the grams it takes. Those tied
// to an edge of the value may take in the zero bytes beyond it.
func marks(kind termKind, text string, stride int) [][]mark {
	padded, first := text, 0
	if kind == termPrefix || kind == termExact {
		padded, first = "\x00"+padded, -1
	}
	if kind == termSuffix || kind == termExact {
		padded += "\x00\x00\x00"
	}
	var all []mark
	for i := 0; i+gramLength <= len(padded) && i < maxMarkAt; i++ {
		all = append(all, mark{gram: binary.LittleEndian.Uint32([]byte(padded[i : i+gramLength])), at: int16(i + first)})
	}
	if all == nil { // pairs, for what is too short
		for i := 0; i+2 <= len(padded); i++ {
			all = append(all, mark{gram: pairMark | uint32(padded[i]) | uint32(padded[i+1])<<8, at: int16(i + first)})
		}
		stride = 1
	}
	var out [][]mark
	if first < 0 { // it stands at one place, so one gram will do
		for i := 0; i < len(all); i += stride {
			out = append(out, all[i:i+1])
		}
		return out
	}
	for i := 0; i+stride <= len(all); i++ {
		out = append(out, all[i:i+stride])
	}
	return out
}

// index builds the tables over the texts.
func (c *column) index(terms []term, list []int32) {
	texts := make([]string, len(list))
	c.stride = stride
	for i, at := range list {
		t := &terms[at]
		texts[i] = lower(t.text)
		n := len(texts[i])
		c.longest = max(c.longest, n)
		switch t.kind {
		case termPrefix:
			c.head = max(c.head, n)
		case termSuffix:
			c.tail = max(c.tail, n)
			n += gramLength - 1
		case termExact:
			c.head, c.tail = max(c.head, n), max(c.tail, n)
		default:
			c.whole = true
		}
		if n < long && t.kind != termPrefix && t.kind != termExact {
			c.stride = 1
		}
	}
	ways := make([][][]mark, len(list))
	common := map[uint32]int{}
	for i, at := range list {
		ways[i] = marks(terms[at].kind, texts[i], c.stride)
		for _, way := range ways[i] {
			for _, m := range way {
				common[m.gram]++
			}
		}
	}
	grams := map[uint32][]place{}
	cost := func(way []mark) (n int) {
		for _, m := range way {
			n += common[m.gram]<<10 + len(grams[m.gram])
		}
		return n
	}
	for i, at := range list {
		t := &terms[at]
		p := place{text: texts[i], term: at, kind: t.kind, cased: t.cased}
		if len(ways[i]) == 0 {
			c.ones = append(c.ones, p)
			continue
		}
		best := slices.MinFunc(ways[i], func(a, b []mark) int { return cost(a) - cost(b) })
		for _, m := range best {
			p.gram = m.at
			grams[m.gram] = append(grams[m.gram], p)
		}
	}
	c.fill(grams)
}

// maxFilter bounds the bit set, in bits: 32 KiB.
const maxFilter = 18

func (c *column) fill(grams map[uint32][]place) {
	if len(grams) == 0 {
		return
	}
	width := min(max(bits.Len(uint(len(grams)*32)), 6), maxFilter)
	c.filter = make([]uint64, 1<<(width-6))
	c.shift = uint8(32 - width)
	c.table = make([]bucket, 1<<bits.Len(uint(len(grams)*2)))
	keys := make([]uint32, 0, len(grams))
	for gram := range grams {
		keys = append(keys, gram)
	}
	slices.Sort(keys) // so that a program is the same each time
	for _, gram := range keys {
		from := int32(len(c.places))
		c.places = append(c.places, grams[gram]...)
		i := hash(gram) >> 7 & uint32(len(c.table)-1)
		for c.table[i].to > c.table[i].from {
			i = (i + 1) & uint32(len(c.table)-1)
		}
		c.table[i] = bucket{gram: gram, from: from, to: int32(len(c.places))}
		if gram&pairMark == pairMark {
			if c.pairs == nil {
				c.pairs = new([1 << 10]uint64)
			}
			c.pairs[uint16(gram)>>6] |= 1 << (gram & 63)
			continue
		}
		h := hash(gram) >> c.shift
		c.filter[h>>6] |= 1 << (h & 63)
	}
}

// find returns the places of a gram.
func (c *column) find(gram uint32) []place {
	for i := hash(gram) >> 7 & uint32(len(c.table)-1); ; i = (i + 1) & uint32(len(c.table)-1) {
		b := &c.table[i]
		if b.to == b.from {
			return nil
		}
		if b.gram == gram {
			return c.places[b.from:b.to]
		}
	}
}

func (c *column) texts() bool { return len(c.table) > 0 || len(c.ones) > 0 || len(c.empty) > 0 }

func (c *column) size() int {
	n := int(unsafe.Sizeof(*c)) + 4*len(c.list) + 8*len(c.filter) + len(c.table)*int(unsafe.Sizeof(bucket{})) + len(c.places)*int(unsafe.Sizeof(place{}))
	if c.pairs != nil {
		n += len(c.pairs) * 8
	}
	return n + 48*len(c.numbers)
}

// scan finds the texts of the column in the folded value at position i.
func (m *Matcher) scan(c *column, i int32) {
	f := &m.forms[i]
	b := m.arena.buf[f.start-1 : f.start+f.length+margin]
	n := f.length
	to := n
	if m.known > 0 && f.ascii {
		// Only a text that begins before what is known is news.
		if m.known == n {
			return
		}
		to = min(n, n-m.known+c.longest)
	}
	if c.filter != nil {
		// A gram may begin with the zero byte before the value and end with those
		// behind it. b[p] begins the gram of position p-1.
		if c.whole || n <= c.head+c.tail+2*gramLength {
			m.grams(c, b, 0, to, i)
		} else {
			m.grams(c, b, 0, c.head, i)
			m.grams(c, b, (n-c.tail)&^(stride-1), n, i)
		}
	}
	if c.pairs != nil {
		m.pairs(c, b, to, n, i)
	}
	for k := range c.ones {
		m.one(&c.ones[k], b, n, i)
	}
}

// pairs finds the texts that are too short for a gram and begin up to a position.
func (m *Matcher) pairs(c *column, b []byte, to, n int, i int32) {
	pairs := c.pairs
	for p := 0; p <= to; p += 4 {
		x := binary.LittleEndian.Uint64(b[p:]) // beyond the value there are zeros, and margin enough
		x0, x1, x2, x3 := uint16(x), uint16(x>>8), uint16(x>>16), uint16(x>>24)
		if (pairs[x0>>6]>>(x0&63)|pairs[x1>>6]>>(x1&63)|pairs[x2>>6]>>(x2&63)|pairs[x3>>6]>>(x3&63))&1 == 0 {
			continue
		}
		for k := range 4 {
			if pair := uint16(x >> (8 * k)); pairs[pair>>6]>>(pair&63)&1 != 0 {
				m.places(c.find(pairMark|uint32(pair)), b, p+k, n, i)
			}
		}
	}
}

// one finds a text of one byte.
func (m *Matcher) one(one *place, b []byte, n int, i int32) {
	if m.terms[one.term] == m.epoch && !m.memory.writing {
		return
	}
	for p := 1; p <= n; p++ {
		at := bytes.IndexByte(b[p:n+1], one.text[0])
		if at < 0 {
			return
		}
		if p += at; m.stands(one, b, p, n, i) {
			m.found(one.term, i)
			return
		}
	}
}

// grams asks the filter about the grams that begin at from to to.
func (m *Matcher) grams(c *column, b []byte, from, to int, i int32) {
	filter, shift := c.filter, c.shift
	if c.stride > 1 {
		m.sparse(c, b, from, to, i)
		return
	}
	for p := from; p <= to; p += 4 {
		x := binary.LittleEndian.Uint64(b[p:])
		h0, h1, h2, h3 := hash(uint32(x))>>shift, hash(uint32(x>>8))>>shift, hash(uint32(x>>16))>>shift, hash(uint32(x>>24))>>shift
		if (filter[h0>>6]>>(h0&63)|filter[h1>>6]>>(h1&63)|filter[h2>>6]>>(h2&63)|filter[h3>>6]>>(h3&63))&1 != 0 {
			for k := range 4 {
				gram := uint32(x >> (8 * k))
				if h := hash(gram) >> shift; filter[h>>6]>>(h&63)&1 != 0 {
					m.places(c.find(gram), b, p+k, len(b)-1-margin, i)
				}
			}
		}
	}
}

// sparse is grams for a column of long texts: each fourth position.
func (m *Matcher) sparse(c *column, b []byte, from, to int, i int32) {
	filter, shift := c.filter, c.shift
	for p := from; p <= to; p += 2 * stride {
		x := binary.LittleEndian.Uint64(b[p:])
		h0, h1 := hash(uint32(x))>>shift, hash(uint32(x>>32))>>shift
		if (filter[h0>>6]>>(h0&63)|filter[h1>>6]>>(h1&63))&1 != 0 {
			for k := range 2 {
				gram := uint32(x >> (32 * k))
				if h := hash(gram) >> shift; filter[h>>6]>>(h&63)&1 != 0 {
					m.places(c.find(gram), b, p+stride*k, len(b)-1-margin, i)
				}
			}
		}
	}
}

// places looks whether the texts of a gram at p stand there.
func (m *Matcher) places(list []place, b []byte, p, n int, i int32) {
	for k := range list {
		if pl := &list[k]; (m.memory.writing || m.terms[pl.term] != m.epoch) && m.stands(pl, b, p-int(pl.gram), n, i) {
			m.found(pl.term, i)
		}
	}
}

// stands tells whether the text begins at b[p], as its kind asks.
func (m *Matcher) stands(pl *place, b []byte, p, n int, i int32) bool {
	end := p + len(pl.text)
	if p < 1 || end > n+1 {
		return false
	}
	if (pl.kind == termPrefix || pl.kind == termExact) && p != 1 || (pl.kind == termSuffix || pl.kind == termExact) && end != n+1 {
		return false
	}
	if string(b[p:end]) != pl.text {
		return false
	}
	return !pl.cased || m.casedAs(pl, p-1, i)
}

// casedAs compares letter case too. Beyond ASCII folding may move the text: it
// is looked for anew.
func (m *Matcher) casedAs(pl *place, at int, i int32) bool {
	want, value := m.p.terms[pl.term].text, m.value(i)
	if m.forms[i].ascii {
		return value[at:at+len(want)] == want
	}
	return holds(pl.kind, value, want)
}

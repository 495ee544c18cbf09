package columns

import (
	"slices"
	"sync"

	"github.com/bits-and-blooms/bitset"
)

// pageItems is how many item numbers share a page. Within one an item needs two
// bytes, and a change moves no more than a page.
const pageItems = 1 << 12

// maxVerdicts is how many outcomes of Column.Judge are kept.
const maxVerdicts = 64

// Column is the texts of one field: none, one or several of each item. A nil
// Column has none. It is read within Table.Read only.
type Column struct {
	texts  *dictionary
	shared bool // with the column that this one's texts refer to
	pages  []page
	filled int // texts of all items

	judging  sync.Mutex
	verdicts map[string]*verdict
}

// page is the texts of some items, side by side in the order of the items.
type page struct {
	item []uint16 // from the page's first on
	code []uint32
}

// verdict is what was found of the texts known at the time.
type verdict struct {
	codes *bitset.BitSet
	known uint32
}

// span is where an item's texts are in its page.
func (p *page) span(item uint16) (from, to int) {
	n := len(p.item)
	if n == 0 || p.item[n-1] < item {
		return n, n
	}
	from, _ = slices.BinarySearch(p.item, item)
	for to = from; to < n && p.item[to] == item; to++ {
	}
	return from, to
}

// set puts others in place of an item's texts.
func (c *Column) set(item int32, values []string) {
	at := int(item) / pageItems
	if at >= len(c.pages) {
		if len(values) == 0 {
			return
		}
		c.pages = append(c.pages, make([]page, at+1-len(c.pages))...)
	}
	p, within := &c.pages[at], uint16(item%pageItems)
	from, to := p.span(within)
	if from == to && len(values) == 0 {
		return
	}
	items, codes := make([]uint16, 0, 4), make([]uint32, 0, 4)
	for _, v := range values {
		if code := c.texts.number(v); !slices.Contains(codes, code) {
			items, codes = append(items, within), append(codes, code)
		}
	}
	p.item = slices.Replace(p.item, from, to, items...)
	p.code = slices.Replace(p.code, from, to, codes...)
	c.filled += len(codes) - (to - from)
}

// tidy numbers the texts anew where most are no item's any more.
func (c *Column) tidy() {
	if c.shared || int(c.texts.n) < 1024+2*c.filled {
		return
	}
	old := c.texts
	c.texts, c.verdicts = newDictionary(), nil
	for i := range c.pages {
		for j, code := range c.pages[i].code {
			c.pages[i].code[j] = c.texts.number(string(old.texts.at(code)))
		}
	}
}

// clip gives back the room that pages have to grow.
func (c *Column) clip() {
	for i := range c.pages {
		c.pages[i].item, c.pages[i].code = slices.Clone(c.pages[i].item), slices.Clone(c.pages[i].code)
	}
}

// holders are the items that have one of the texts marked.
func (c *Column) holders(codes *bitset.BitSet) *bitset.BitSet {
	out := bitset.New(uint(len(c.pages)) * pageItems)
	marked, into := codes.Words(), out.Words()
	for i := range c.pages {
		p, base := &c.pages[i], i*pageItems
		for j, code := range p.code {
			if w := code >> 6; int(w) < len(marked) && marked[w]>>(code&63)&1 != 0 {
				at := base + int(p.item[j])
				into[at>>6] |= 1 << (at & 63)
			}
		}
	}
	return out
}

// Filled are the items that have any text.
func (c *Column) Filled() *bitset.BitSet {
	if c == nil {
		return &bitset.BitSet{}
	}
	out := bitset.New(uint(len(c.pages)) * pageItems)
	into := out.Words()
	for i := range c.pages {
		for _, item := range c.pages[i].item {
			at := i*pageItems + int(item)
			into[at>>6] |= 1 << (at & 63)
		}
	}
	return out
}

// Equal are the items that have one of the texts.
func (c *Column) Equal(values ...string) *bitset.BitSet {
	if c == nil {
		return &bitset.BitSet{}
	}
	codes := bitset.New(uint(c.texts.n))
	for _, v := range values {
		if code, ok := c.texts.find(v); ok {
			codes.Set(uint(code))
		}
	}
	if codes.None() {
		return &bitset.BitSet{}
	}
	return c.holders(codes)
}

// Contain are the items that have a text which contains part, itself in lower
// case, whatever the text's case.
func (c *Column) Contain(part string) *bitset.BitSet {
	if c == nil {
		return &bitset.BitSet{}
	}
	codes := c.texts.contain(part)
	if codes.None() {
		return &bitset.BitSet{}
	}
	return c.holders(codes)
}

// Where are the items that have a text for which fn is true. fn must not keep
// the text.
func (c *Column) Where(fn func(text []byte) bool) *bitset.BitSet {
	if c == nil {
		return &bitset.BitSet{}
	}
	codes := bitset.New(uint(c.texts.n))
	for code := range c.texts.n {
		if fn(c.texts.texts.at(code)) {
			codes.Set(uint(code))
		}
	}
	return c.holders(codes)
}

// Judge is Where for an fn that is costly and asked again and again: what it
// says of a text is kept under key, which must stand for fn.
func (c *Column) Judge(key string, fn func(text []byte) bool) *bitset.BitSet {
	if c == nil {
		return &bitset.BitSet{}
	}
	c.judging.Lock()
	v := c.verdicts[key]
	if v == nil {
		if c.verdicts == nil || len(c.verdicts) >= maxVerdicts {
			c.verdicts = map[string]*verdict{}
		}
		v = &verdict{codes: &bitset.BitSet{}}
		c.verdicts[key] = v
	}
	if v.known < c.texts.n {
		codes := v.codes.Clone() // others may be reading it
		for code := v.known; code < c.texts.n; code++ {
			if fn(c.texts.texts.at(code)) {
				codes.Set(uint(code))
			}
		}
		v = &verdict{codes, c.texts.n}
		c.verdicts[key] = v
	}
	c.judging.Unlock()
	return c.holders(v.codes)
}

// To are the items whose texts name one of some items by theirs in the column
// that this one refers to; see New.
func (c *Column) To(names *Column, items *bitset.BitSet) *bitset.BitSet {
	if c == nil || names == nil {
		return &bitset.BitSet{}
	}
	codes := bitset.New(uint(names.texts.n))
	at := names.reader()
	for item, ok := items.NextSet(0); ok; item, ok = items.NextSet(item + 1) {
		if code, ok := at.first(int32(item)); ok {
			codes.Set(uint(code))
		}
	}
	return c.holders(codes)
}

// Each calls fn for every text with how many of some items have it.
func (c *Column) Each(items *bitset.BitSet, fn func(text string, n int)) {
	if c == nil {
		return
	}
	counts := make([]int, c.texts.n)
	for i := range c.pages {
		p := &c.pages[i]
		for j, item := range p.item {
			if items.Test(uint(i*pageItems) + uint(item)) {
				counts[p.code[j]]++
			}
		}
	}
	for code, n := range counts {
		if n > 0 {
			fn(string(c.texts.texts.at(uint32(code))), n)
		}
	}
}

// First is an item's first text, "" where it has none.
func (c *Column) First(item int32) string {
	if c == nil {
		return ""
	}
	r := c.reader()
	if code, ok := r.first(item); ok {
		return string(c.texts.texts.at(code))
	}
	return ""
}

// reader reads texts of items in rising order.
type reader struct {
	column *Column
	page   int
	at     int
}

func (c *Column) reader() reader { return reader{column: c, page: -1} }

// first is the number of an item's first text.
func (r *reader) first(item int32) (uint32, bool) {
	n := int(item) / pageItems
	if n >= len(r.column.pages) {
		return 0, false
	}
	p, within := &r.column.pages[n], uint16(item%pageItems)
	if n != r.page {
		r.page, r.at = n, 0
	}
	// The next item is seldom far: a few steps, then a search.
	for steps := 0; r.at < len(p.item) && p.item[r.at] < within; steps++ {
		if steps == 8 {
			i, _ := slices.BinarySearch(p.item[r.at:], within)
			r.at += i
			break
		}
		r.at++
	}
	if r.at < len(p.item) && p.item[r.at] == within {
		return p.code[r.at], true
	}
	return 0, false
}

func (c *Column) size() (n int) {
	if !c.shared {
		n = c.texts.size()
	}
	n += 48 * cap(c.pages)
	for i := range c.pages {
		n += 2*cap(c.pages[i].item) + 4*cap(c.pages[i].code)
	}
	return n
}

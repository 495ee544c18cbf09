package columns

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/bits-and-blooms/bitset"
)

// blockTexts is how many texts share a block: small enough that growing one is
// cheap, large enough that a search runs through long stretches of memory.
const blockTexts = 1 << 14

// texts are many texts one behind the other, by their numbers.
type texts struct{ blocks []block }

type block struct {
	bytes []byte
	end   []uint32 // of each text in bytes
}

func (t *texts) add(s []byte) {
	if len(t.blocks) == 0 || len(t.blocks[len(t.blocks)-1].end) == blockTexts {
		if n := len(t.blocks); n > 0 {
			full := &t.blocks[n-1]
			full.bytes, full.end = slices.Clone(full.bytes), slices.Clone(full.end) // without room to grow
		}
		t.blocks = append(t.blocks, block{})
	}
	b := &t.blocks[len(t.blocks)-1]
	b.bytes = append(b.bytes, s...)
	b.end = append(b.end, uint32(len(b.bytes)))
}

func (t *texts) at(code uint32) []byte { return t.blocks[code/blockTexts].at(int(code % blockTexts)) }

func (b *block) at(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = b.end[i-1]
	}
	return b.bytes[start:b.end[i]]
}

// contain marks the texts that contain needle. It looks through a block as one
// text, which is many times faster than text by text.
func (t *texts) contain(needle []byte, marked *bitset.BitSet) {
	for n := range t.blocks {
		b, base := &t.blocks[n], uint(n)*blockTexts
		for at, code := 0, 0; ; {
			i := bytes.Index(b.bytes[at:], needle)
			if i < 0 {
				break
			}
			at += i
			for int(b.end[code]) <= at {
				code++
			}
			if at+len(needle) > int(b.end[code]) {
				at++ // it runs from one text into the next
				continue
			}
			marked.Set(base + uint(code))
			at = int(b.end[code])
		}
	}
}

func (t *texts) size() (n int) {
	for i := range t.blocks {
		n += cap(t.blocks[i].bytes) + 4*cap(t.blocks[i].end)
	}
	return n
}

// dictionary numbers the different texts of a column, from 0 on.
type dictionary struct {
	n      uint32
	texts  texts
	folded *texts   // in lower case; nil while all are lower case as they are
	slots  []uint32 // hash table of numbers, plus 1; 0 is free
	seed   maphash.Seed

	ordering sync.Mutex
	order    []uint32 // the numbers in the order of their texts
	rank     []uint32 // the place of each number in it
}

func newDictionary() *dictionary { return &dictionary{seed: maphash.MakeSeed()} }

// slot is where a text is, or would be, in the hash table.
func (d *dictionary) slot(s []byte) int {
	mask := len(d.slots) - 1
	for at := int(maphash.Bytes(d.seed, s)) & mask; ; at = (at + 1) & mask {
		if code := d.slots[at]; code == 0 || bytes.Equal(d.texts.at(code-1), s) {
			return at
		}
	}
}

// find is the number of a text that is known.
func (d *dictionary) find(s string) (uint32, bool) {
	if len(d.slots) == 0 {
		return 0, false
	}
	code := d.slots[d.slot([]byte(s))]
	return code - 1, code != 0
}

// number is the number of a text, which is a new one where it is not known.
func (d *dictionary) number(s string) uint32 {
	if int(d.n)*4 >= len(d.slots)*3 {
		d.slots = make([]uint32, max(8, 2*len(d.slots)))
		for code := range d.n {
			d.slots[d.slot(d.texts.at(code))] = code + 1
		}
	}
	text := []byte(s)
	at := d.slot(text)
	if code := d.slots[at]; code != 0 {
		return code - 1
	}
	d.n++
	d.slots[at] = d.n
	d.texts.add(text)
	switch {
	case d.folded != nil:
		d.folded.add(bytes.ToLower(text))
	case !isLower(s):
		d.folded = &texts{}
		for code := range d.n {
			d.folded.add(bytes.ToLower(d.texts.at(code)))
		}
	}
	return d.n - 1
}

func isLower(s string) bool {
	for _, r := range s {
		if r < utf8.RuneSelf && ('A' > r || r > 'Z') {
			continue
		}
		if unicode.ToLower(r) != r {
			return false
		}
	}
	return true
}

// contain marks the texts that contain one in lower case, whatever their case.
func (d *dictionary) contain(needle string) *bitset.BitSet {
	marked := bitset.New(uint(d.n))
	switch {
	case needle == "":
		marked.FlipRange(0, uint(d.n))
	case d.folded != nil:
		d.folded.contain([]byte(needle), marked)
	default:
		d.texts.contain([]byte(needle), marked)
	}
	return marked
}

// ranks are the places of all numbers in the order of their texts. What came
// since the last call is sorted and merged into what is in order already.
func (d *dictionary) ranks() []uint32 {
	d.ordering.Lock()
	defer d.ordering.Unlock()
	if len(d.rank) == int(d.n) {
		return d.rank
	}
	// Most texts differ in their first bytes, which lie side by side here.
	type entry struct {
		start uint64
		code  uint32
	}
	fresh := make([]entry, 0, int(d.n)-len(d.order))
	for code := uint32(len(d.order)); code < d.n; code++ {
		var start [8]byte
		copy(start[:], d.texts.at(code))
		e := entry{code: code}
		for _, b := range start {
			e.start = e.start<<8 | uint64(b)
		}
		fresh = append(fresh, e)
	}
	slices.SortFunc(fresh, func(a, b entry) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return bytes.Compare(d.texts.at(a.code), d.texts.at(b.code))
	})
	merged := make([]uint32, 0, d.n)
	old := d.order
	for _, e := range fresh {
		n, _ := slices.BinarySearchFunc(old, d.texts.at(e.code), func(code uint32, text []byte) int { return bytes.Compare(d.texts.at(code), text) })
		merged = append(append(merged, old[:n]...), e.code)
		old = old[n:]
	}
	d.order = append(merged, old...)
	d.rank = make([]uint32, d.n)
	for place, code := range d.order {
		d.rank[code] = uint32(place)
	}
	return d.rank
}

// place is where a text is in the order, or would be.
func (d *dictionary) place(s string) (place uint32, known bool) {
	d.ranks()
	n, known := slices.BinarySearchFunc(d.order, []byte(s), func(code uint32, text []byte) int { return bytes.Compare(d.texts.at(code), text) })
	return uint32(n), known
}

func (d *dictionary) size() int {
	n := d.texts.size() + 4*(cap(d.slots)+cap(d.order)+cap(d.rank))
	if d.folded != nil {
		n += d.folded.size()
	}
	return n
}

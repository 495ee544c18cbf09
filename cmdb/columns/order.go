package columns

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/bits-and-blooms/bitset"
)

// Order says how a list is sorted. Items without a value come last, whichever
// way; those of one value come as they were made.
type Order struct {
	Columns    []string // by texts: at most two, the first counts most; none is as the items were made
	Numeric    bool     // the texts of the one column are numbers
	Number     string   // by a column of numbers instead
	Descending bool
}

// Mark is the place of one item in an order, however the table changes.
type Mark struct {
	Texts  []string `json:"t,omitempty"`
	Number int64    `json:"n,omitempty"`
	Item   int32    `json:"i"`
}

// ranked is an item with a number that sorts as its values do.
type ranked struct {
	key  uint64
	item int32
}

func (a ranked) compare(b ranked) int {
	if c := cmp.Compare(a.key, b.key); c != 0 {
		return c
	}
	return cmp.Compare(a.item, b.item)
}

// last is the key of items without a value.
const last = math.MaxUint64

// ranker makes keys of items in rising order, and of marks.
type ranker struct {
	v       View
	o       Order
	columns []*Column
	readers []reader
	ranks   [][]uint32
	numbers []uint64 // keys of the texts of a numeric column
}

func (v View) ranker(o Order) *ranker {
	r := &ranker{v: v, o: o}
	for _, name := range o.Columns {
		c := v.t.columns[name]
		if c == nil {
			c = &Column{texts: newDictionary()}
		}
		r.columns, r.readers = append(r.columns, c), append(r.readers, c.reader())
		if !o.Numeric {
			r.ranks = append(r.ranks, c.texts.ranks())
			continue
		}
		r.numbers = make([]uint64, c.texts.n)
		for code := range c.texts.n {
			r.numbers[code] = numberKey(string(c.texts.texts.at(code)))
		}
	}
	return r
}

// numberKey sorts as the number that a text is; no number comes last.
func numberKey(text string) uint64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) {
		return last
	}
	return floatKey(f)
}

func floatKey(f float64) uint64 {
	bits := math.Float64bits(f)
	if bits>>63 != 0 {
		return ^bits
	}
	return bits | 1<<63
}

func (r *ranker) directed(key uint64) uint64 {
	if r.o.Descending && key != last {
		return ^key
	}
	return key
}

// key is the key of an item; calls are for items in rising order. Of texts it
// leaves a free number beside each, for what is not there any more.
func (r *ranker) key(item int32) uint64 {
	switch {
	case r.o.Number != "":
		return r.directed(floatKey(float64(r.v.Number(r.o.Number, item))))
	case r.o.Numeric:
		if code, ok := r.readers[0].first(item); ok {
			return r.directed(r.numbers[code])
		}
		return last
	}
	if len(r.readers) == 0 {
		return 0 // as they were made
	}
	key, filled := uint64(0), false
	for i := range r.readers {
		place := uint64(math.MaxUint32)
		if code, ok := r.readers[i].first(item); ok {
			place, filled = 2*uint64(r.ranks[i][code])+1, true
		}
		key = key<<32 | place
	}
	if !filled {
		return last
	}
	return r.directed(key)
}

// of is the key of a mark.
func (r *ranker) of(m Mark) ranked {
	out := ranked{key: last, item: m.Item}
	switch {
	case r.o.Number != "":
		out.key = r.directed(floatKey(float64(m.Number)))
	case len(r.columns) == 0:
		out.key = 0
	case r.o.Numeric:
		if len(m.Texts) > 0 && m.Texts[0] != "" {
			out.key = r.directed(numberKey(m.Texts[0]))
		}
	case !slices.ContainsFunc(m.Texts, func(t string) bool { return t != "" }):
	default:
		key := uint64(0)
		for i, c := range r.columns {
			at := uint64(math.MaxUint32)
			if i < len(m.Texts) && m.Texts[i] != "" {
				place, known := c.texts.place(m.Texts[i])
				if at = 2 * uint64(place); known {
					at++
				}
			}
			key = key<<32 | at
		}
		out.key = r.directed(key)
	}
	return out
}

// Sorted are the first limit of some items in an order, after a mark where one
// is given.
func (v View) Sorted(items *bitset.BitSet, o Order, after *Mark, limit int) []int32 {
	r := v.ranker(o)
	var best []ranked
	var start ranked
	if after != nil {
		start = r.of(*after)
	}
	worst := ranked{last, math.MaxInt32}
	room := 4*limit + 1024
	shrink := func() {
		slices.SortFunc(best, ranked.compare)
		if len(best) > limit {
			best = best[:limit]
			worst = best[limit-1]
		}
	}
	for item, ok := items.NextSet(0); ok; item, ok = items.NextSet(item + 1) {
		x := ranked{r.key(int32(item)), int32(item)}
		if after != nil && x.compare(start) <= 0 || x.compare(worst) > 0 {
			continue
		}
		if best = append(best, x); len(best) >= room {
			shrink()
		}
	}
	shrink()
	out := make([]int32, len(best))
	for i := range best {
		out[i] = best[i].item
	}
	return out
}

// Mark is the place of an item in an order.
func (v View) Mark(item int32, o Order) Mark {
	m := Mark{Item: item}
	if o.Number != "" {
		m.Number = v.Number(o.Number, item)
	}
	for _, name := range o.Columns {
		m.Texts = append(m.Texts, v.t.columns[name].First(item))
	}
	return m
}

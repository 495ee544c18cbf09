// Package columns holds in memory what the CMDB's items are found by, so that
// any filter over a million items takes milliseconds on any database. Each
// field is a column: its different texts once, each under a number, and the
// numbers of every item's texts. A condition first finds texts, then the items
// that have them: a search by a part of a text looks through each text once,
// however many items have it, and a set of items is a bit for each, so that
// and, or and not cost microseconds.
//
// Items are numbers, the smaller the better. An item needs 6 bytes for each text
// of its own, a different text its length and 12 bytes more.
package columns

import (
	"slices"
	"sync"

	"github.com/bits-and-blooms/bitset"
)

// Table is the columns of all items. It is safe for concurrent use: searches
// run side by side, changes wait for them.
type Table struct {
	mu      sync.RWMutex
	items   *bitset.BitSet
	columns map[string]*Column
	numbers map[string][]int64
	refer   map[string]string
}

// New makes an empty table. The texts of a column in refer name items by their
// texts in another one, which has one of each item; see Column.To.
func New(refer map[string]string) *Table {
	return &Table{items: &bitset.BitSet{}, columns: map[string]*Column{}, numbers: map[string][]int64{}, refer: refer}
}

// Change runs fn, whose changes are seen all at once.
func (t *Table) Change(fn func(Editor)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fn(Editor{t})
	for _, c := range t.columns {
		c.tidy()
	}
}

// Clip gives back the memory that columns have ready to grow: after they were
// filled.
func (t *Table) Clip() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.columns {
		c.clip()
	}
	for name, list := range t.numbers {
		t.numbers[name] = slices.Clone(list)
	}
}

// Editor changes a table, within Table.Change only.
type Editor struct{ t *Table }

// Put makes an item be there, with no texts yet.
func (e Editor) Put(item int32) {
	if e.t.items.Test(uint(item)) {
		e.wipe(item)
	}
	e.t.items.Set(uint(item))
}

// Drop takes an item away.
func (e Editor) Drop(item int32) {
	if e.t.items.Test(uint(item)) {
		e.wipe(item)
		e.t.items.Clear(uint(item))
	}
}

func (e Editor) wipe(item int32) {
	for _, c := range e.t.columns {
		c.set(item, nil)
	}
}

// First is an item's first text in a column, "" where it has none.
func (e Editor) First(item int32, column string) string { return e.t.columns[column].First(item) }

// Text sets an item's texts in a column.
func (e Editor) Text(item int32, column string, values ...string) {
	c := e.t.columns[column]
	if c == nil {
		if len(values) == 0 {
			return
		}
		c = &Column{texts: newDictionary()}
		e.t.columns[column] = c
		if to := e.t.refer[column]; to != "" {
			if e.t.columns[to] == nil {
				e.t.columns[to] = &Column{texts: newDictionary(), shared: true}
			}
			e.t.columns[to].shared, c.shared = true, true
			c.texts = e.t.columns[to].texts
		}
	}
	c.set(item, values)
}

// Number sets an item's number in a column of numbers.
func (e Editor) Number(item int32, column string, value int64) {
	list := e.t.numbers[column]
	if n := int(item) + 1 - len(list); n > 0 {
		list = append(list, make([]int64, n)...)
	}
	list[item] = value
	e.t.numbers[column] = list
}

// Read runs fn on one moment of the table.
func (t *Table) Read(fn func(View) error) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return fn(View{t})
}

// View reads a table, within Table.Read only.
type View struct{ t *Table }

// Items are all items; the caller may change the set.
func (v View) Items() *bitset.BitSet { return v.t.items.Clone() }

// Column is the column of a name, nil where no item has a text in it.
func (v View) Column(name string) *Column { return v.t.columns[name] }

// Columns calls fn for every column.
func (v View) Columns(fn func(name string, c *Column)) {
	for name, c := range v.t.columns {
		fn(name, c)
	}
}

// Numbers are the items whose number in a column fn is true of.
func (v View) Numbers(column string, fn func(int64) bool) *bitset.BitSet {
	out := bitset.New(v.t.items.Len())
	list := v.t.numbers[column]
	for item, ok := v.t.items.NextSet(0); ok && int(item) < len(list); item, ok = v.t.items.NextSet(item + 1) {
		if fn(list[item]) {
			out.Set(item)
		}
	}
	return out
}

// Number is an item's number in a column.
func (v View) Number(column string, item int32) int64 {
	if list := v.t.numbers[column]; int(item) < len(list) {
		return list[item]
	}
	return 0
}

// Stats are a table's sizes.
type Stats struct{ Items, Columns, Texts, Bytes int }

// Stats returns the table's sizes.
func (t *Table) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := Stats{Items: int(t.items.Count()), Columns: len(t.columns) + len(t.numbers), Bytes: len(t.items.Words()) * 8}
	for _, c := range t.columns {
		s.Bytes += c.size()
		if !c.shared {
			s.Texts += int(c.texts.n)
		}
	}
	for _, list := range t.numbers {
		s.Bytes += 8 * cap(list)
	}
	return s
}

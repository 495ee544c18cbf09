package ticketing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"icewatch/ticketing/topology"
)

// Bounds of a walk towards causes, and of what is looked at together.
const (
	causeDepth    = 8
	causeLimit    = 4096
	maxDependents = 10_000
	maxTogether   = 20_000 // failing items
	causesFor     = 10 * time.Minute
)

// failing is what memory knows of an item that fails.
type failing struct {
	id     string
	number int32
	causes []topology.Cause
	asked  time.Time
}

// faults are the items that fail and who may have brought them down.
type faults struct {
	relations Relations
	options   Faults
	names     faultNames

	settling sync.Mutex // one at a time; guards what follows
	items    map[string]*failing
	numbers  map[int32]*failing
	watched  map[int32]map[int32]bool // by cause: failing items that it may explain
	strange  int32                    // the last number given to an item that the CMDB does not know
	read     bool                     // what SQL has at the start

	mu    sync.Mutex // guards due
	due   map[string]time.Time
	walks uint64 // made so far
}

func newFaults(relations Relations, options Faults) *faults {
	return &faults{relations: relations, options: options, items: map[string]*failing{}, numbers: map[int32]*failing{},
		watched: map[int32]map[int32]bool{}, due: map[string]time.Time{}}
}

// note takes items that have begun to fail, or have further alerts.
func (f *faults) note(items []string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range items {
		if _, waits := f.due[id]; !waits {
			f.due[id] = at
		}
	}
}

// next is when the next item has waited long enough; zero where none waits.
func (f *faults) next() (next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.due {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// take returns the items that have waited long enough.
func (f *faults) take(now time.Time) (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, at := range f.due {
		if !at.After(now) {
			ids = append(ids, id)
			delete(f.due, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// know walks towards the causes of items that it has not asked for lately.
func (f *faults) know(ctx context.Context, ids []string, now time.Time) error {
	var ask []string
	for _, id := range ids {
		if x := f.items[id]; x == nil || now.Sub(x.asked) > causesFor {
			ask = append(ask, id)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	numbers, err := f.relations.Numbers(ctx, ask)
	if err != nil {
		return fmt.Errorf("ticketing: read the numbers of %d failing items: %w", len(ask), err)
	}
	for _, id := range ask {
		number, known := numbers[id]
		if !known {
			f.strange--
			number = f.strange
		}
		x := &failing{id: id, number: number, asked: now}
		if known {
			f.walks++
			if x.causes, err = f.relations.Causes(ctx, number, causeDepth, causeLimit); err != nil {
				return fmt.Errorf("ticketing: look for what may have brought %s down: %w", id, err)
			}
		}
		f.forget(id)
		f.items[id], f.numbers[number] = x, x
		for _, c := range x.causes {
			if f.watched[c.Item] == nil {
				f.watched[c.Item] = map[int32]bool{}
			}
			f.watched[c.Item][number] = true
		}
	}
	return nil
}

// forget lets go of an item that fails no more.
func (f *faults) forget(id string) {
	x := f.items[id]
	if x == nil {
		return
	}
	for _, c := range x.causes {
		if delete(f.watched[c.Item], x.number); len(f.watched[c.Item]) == 0 {
			delete(f.watched, c.Item)
		}
	}
	delete(f.items, id)
	delete(f.numbers, x.number)
}

// around lists the failing items that have to do with some, through any number
// of others: one may explain another, or a third explain both.
func (f *faults) around(ids []string) (list []*failing, more bool) {
	seen := map[int32]bool{}
	put := func(x *failing) {
		if x != nil && !seen[x.number] {
			seen[x.number] = true
			list = append(list, x)
		}
	}
	for _, id := range ids {
		put(f.items[id])
	}
	causes := map[int32]bool{}
	for i := 0; i < len(list); i++ {
		if len(list) > maxTogether {
			return list[:maxTogether], true
		}
		x := list[i]
		for _, number := range slices.Sorted(maps.Keys(f.watched[x.number])) {
			put(f.numbers[number])
		}
		for _, c := range x.causes {
			if causes[c.Item] {
				continue
			}
			causes[c.Item] = true
			put(f.numbers[c.Item])
			for _, number := range slices.Sorted(maps.Keys(f.watched[c.Item])) {
				put(f.numbers[number])
			}
		}
	}
	return list, false
}

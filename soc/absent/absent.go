// Package absent tells of keys that a table certainly does not have, so that what
// is new need not be looked for. It is a chain of Bloom filters: it takes some
// ten bits a key, forgets nothing, and at times, one in a hundred, cannot tell of
// a key that is new.
package absent

import (
	"hash/maphash"
	"math/bits"
	"sync"
)

// Keys of the first filter; each further one takes twice as many. A key takes
// bitsPerKey bits, of which probes are set.
const (
	firstKeys  = 1 << 16
	bitsPerKey = 12
	probes     = 7
)

var seed = maphash.MakeSeed()

// Set holds keys. The zero value holds none. It is safe for concurrent use.
type Set struct {
	mu      sync.RWMutex
	filters []filter // the last one takes keys
}

type filter struct {
	bits []uint64
	left int // keys that it still takes
}

// Add takes a key in.
func (s *Set) Add(key string) {
	h := maphash.String(seed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.filters)
	if n == 0 || s.filters[n-1].left == 0 {
		keys := firstKeys << n
		s.filters = append(s.filters, filter{bits: make([]uint64, 1<<bits.Len(uint(keys*bitsPerKey/64-1))), left: keys})
		n++
	}
	f := &s.filters[n-1]
	f.left--
	f.each(h, func(word *uint64, bit uint64) bool { *word |= bit; return true })
}

// Lacks tells that a key was never added. It may be false for such a key, too.
func (s *Set) Lacks(key string) bool {
	h := maphash.String(seed, key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range s.filters {
		if s.filters[i].each(h, func(word *uint64, bit uint64) bool { return *word&bit != 0 }) {
			return false
		}
	}
	return true
}

// each goes through the bits of a hash while do says so, and tells whether it
// always did.
func (f *filter) each(h uint64, do func(word *uint64, bit uint64) bool) bool {
	step := h>>32 | 1
	for range probes {
		if at := h & uint64(len(f.bits)*64-1); !do(&f.bits[at/64], 1<<(at%64)) {
			return false
		}
		h += step
		step += h << 7 >> 11
	}
	return true
}

package pipeline

import (
	"hash/maphash"

	"icewatch/soc/event"
)

// Seen remembers the senders' own ids, so that an event sent again is stored
// once. It holds the newest ones up to a limit. It is for one goroutine.
type Seen struct {
	seed  [2]maphash.Seed
	first map[[2]uint64]place
	ring  []entry
	next  int
	limit int
}

type place struct {
	seq   uint64
	index uint32
}

type entry struct {
	key [2]uint64
	seq uint64
}

// NewSeen makes a memory of at most limit ids.
func NewSeen(limit int) *Seen {
	return &Seen{seed: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, first: map[[2]uint64]place{}, limit: max(limit, 1)}
}

// Repeated takes note of an id and tells whether an earlier event brought the
// same one. Asked again about the event that brought it first, it says no.
func (s *Seen) Repeated(tenant, senderID string, id event.ID) bool {
	key := [2]uint64{}
	for i := range key {
		var h maphash.Hash
		h.SetSeed(s.seed[i])
		h.WriteString(tenant)
		h.WriteByte(0)
		h.WriteString(senderID)
		key[i] = h.Sum64()
	}
	at := place{id.Sequence, id.Index}
	if old, ok := s.first[key]; ok {
		if at.seq < old.seq || at.seq == old.seq && at.index < old.index {
			// Restored out of order: the earlier one is the first.
			s.first[key] = at
			return false
		}
		return old != at
	}
	if len(s.ring) < s.limit {
		s.ring = append(s.ring, entry{key, id.Sequence})
	} else {
		delete(s.first, s.ring[s.next].key)
		s.ring[s.next] = entry{key, id.Sequence}
		s.next = (s.next + 1) % s.limit
	}
	s.first[key] = at
	return false
}

// Floor is the sequence of the oldest id remembered, or of the newest batch
// where there is none: from there on ids must be read to restore the memory.
func (s *Seen) Floor(newest uint64) uint64 {
	if len(s.ring) == 0 {
		return newest
	}
	if len(s.ring) < s.limit {
		return s.ring[0].seq
	}
	return s.ring[s.next].seq
}

// Len is how many ids are remembered.
func (s *Seen) Len() int { return len(s.first) }

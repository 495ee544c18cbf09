package enrich

// shared keeps values once that many items have, by number, until none has them
// any more.
type shared[T comparable] struct {
	list []T
	uses []int32
	of   map[T]uint32
	free []uint32
}

// take returns the number of a value that one more item has.
func (s *shared[T]) take(v T) uint32 {
	if n, ok := s.of[v]; ok {
		s.uses[n]++
		return n
	}
	if s.of == nil {
		s.of = map[T]uint32{}
	}
	var n uint32
	if last := len(s.free) - 1; last >= 0 {
		n, s.free = s.free[last], s.free[:last]
		s.list[n], s.uses[n] = v, 1
	} else {
		n = uint32(len(s.list))
		s.list, s.uses = append(s.list, v), append(s.uses, 1)
	}
	s.of[v] = n
	return n
}

// give says that one item fewer has a value.
func (s *shared[T]) give(n uint32) {
	if s.uses[n]--; s.uses[n] > 0 {
		return
	}
	delete(s.of, s.list[n])
	var none T
	s.list[n] = none
	s.free = append(s.free, n)
}

// inUse is how many different values there are.
func (s *shared[T]) inUse() int { return len(s.of) }

package policy

// Forget drops the answers that are kept in memory.
func (s *Set) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.cache)
}

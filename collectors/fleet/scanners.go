package fleet

import "icewatch/collectors/fleet/wire"

// Seen notes that a scanner asked for what it is to do. It tells the address it came
// from and the version of its program.
func (s *Service) Seen(id, from, version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.agents[id]
	if m == nil || !m.RevokedAt.IsZero() {
		return ErrRevoked
	}
	now := s.now().UTC()
	if was := m.standing(now); was == Offline || was == Never {
		s.noteAgent(m, "scanner", "online", true, "")
		m.dirty = true
	}
	version = plain(version, 64)
	if version != m.Version && m.Version != "" {
		s.noteAgent(m, "scanner", "version-changed", true, m.Version+" → "+version)
		m.dirty = true
	}
	m.SeenAt, m.Address, m.Version, m.State = now, from, version, wire.StateHealthy
	return nil
}

package flow

import (
	"math"
	"net/netip"
	"time"
)

// sessionKey tells exporters apart: their address, what they speak and, within
// that, the observation domain (source id, engine, sub-agent). The port is not
// of it: it changes with each start of an exporter, its templates need not.
type sessionKey struct {
	peer    netip.Addr
	agent   netip.Addr // of sFlow
	version uint16     // 5, 9 or 10; 0 for sFlow
	domain  uint32
}

// session is what is remembered of one exporter's domain.
type session struct {
	key        sessionKey
	peer       []byte // its address as JSON
	templates  map[uint16]*template
	samplers   map[uint64]uint32 // packets to one sampled, by sampler
	sampling   uint32            // of records that name no sampler; 0 where it is not known
	interfaces map[uint32]string
	waiting    []waitingSet
	waitBytes  int
	expected   uint32 // next sequence number
	sequenced  bool
	seen       time.Time
	stats      ExporterStats
}

func (d *decoder) session(key sessionKey) *session {
	s := d.sessions[key]
	if s == nil {
		if len(d.sessions) >= maxSessions {
			d.forgetOldest()
		}
		s = newSession(key)
		d.sessions[key] = s
	}
	s.seen = d.now()
	return s
}

func newSession(key sessionKey) *session {
	s := &session{key: key, peer: []byte(`"` + key.peer.String() + `"`), templates: map[uint16]*template{}, samplers: map[uint64]uint32{}, interfaces: map[uint32]string{}}
	s.stats.Exporter, s.stats.Domain = key.peer.String(), key.domain
	if key.agent.IsValid() {
		s.stats.Exporter = key.agent.String()
	}
	s.stats.Kind = map[uint16]string{0: "sflow", 5: "netflow5", 9: "netflow9", 10: "ipfix"}[key.version]
	return s
}

// forgetOldest makes room for another session.
func (d *decoder) forgetOldest() {
	var oldest *session
	for _, s := range d.sessions {
		if oldest == nil || s.seen.Before(oldest.seen) {
			oldest = s
		}
	}
	d.waiting -= oldest.waitBytes
	delete(d.sessions, oldest.key)
	d.evicted++
	d.changed = true
}

// sequence compares a message's number with the one expected. units is by how
// much this message moves it on.
func (s *session) sequence(n, units uint32) {
	if gap := n - s.expected; s.sequenced && gap != 0 {
		switch {
		case gap < 1<<30:
			s.stats.Gaps++
			s.stats.Lost += uint64(gap)
		case -gap < 1000:
			// A datagram that was overtaken: it had been counted as lost.
			s.stats.Lost -= min(s.stats.Lost, uint64(units))
			return
		default:
			s.stats.Restarts++
		}
	}
	s.expected, s.sequenced = n+units, true
}

func (s *session) interfaceName(b []byte, key string, index uint64, first *bool) []byte {
	name, ok := s.interfaces[uint32(index)]
	if !ok || index > math.MaxUint32 {
		return b
	}
	if !*first {
		b = append(b, ',')
	}
	*first = false
	return appendValue(append(b, key...), text, []byte(name))
}

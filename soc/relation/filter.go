package relation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"icewatch/detections"
)

// Ports is a range of ports, both ends included.
type Ports struct{ From, To int }

// Filter says which edges count. Empty lists do not filter; the values of a
// list are alternatives.
type Filter struct {
	Kinds      []Kind
	Ports      []Ports
	Transports []string // tcp, udp, icmp …
	Abnormal   []string // of AbnormalKinds
	Phases     []string // of detections.Phases
}

// maxPorts bounds the ranges of a filter.
const maxPorts = 64

// ParsePorts reads "22,80,8000-8999"; "" is no range.
func ParsePorts(text string) ([]Ports, error) {
	var out []Ports
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
		b, errB := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
		if errA != nil || errB != nil || a > b {
			return nil, fmt.Errorf("%w: port %q: want a port from 0 to 65535 or a range like 8000-8999", ErrInvalid, clip(part))
		}
		if out = append(out, Ports{int(a), int(b)}); len(out) > maxPorts {
			return nil, fmt.Errorf("%w: more than %d ports or ranges", ErrInvalid, maxPorts)
		}
	}
	return out, nil
}

// Check tells what of the filter nobody knows.
func (f *Filter) Check() error {
	for _, k := range f.Kinds {
		if !slices.Contains(Kinds, k) {
			return fmt.Errorf("%w: kind %q: want some of %v", ErrInvalid, k, Kinds)
		}
	}
	for _, a := range f.Abnormal {
		if !slices.Contains(AbnormalKinds, a) {
			return fmt.Errorf("%w: abnormal %q: want some of %s", ErrInvalid, a, strings.Join(AbnormalKinds, ", "))
		}
	}
	for _, p := range f.Phases {
		if !slices.Contains(detections.Phases, p) {
			return fmt.Errorf("%w: phase %q: want some of %s", ErrInvalid, p, strings.Join(detections.Phases, ", "))
		}
	}
	for _, t := range f.Transports {
		if t == "" || len(t) > 32 || strings.ContainsFunc(t, func(c rune) bool { return c < '0' || c > '9' && c < 'a' || c > 'z' && c != '-' }) && !strings.Contains(t, "-") {
			return fmt.Errorf("%w: protocol %q: want a name like tcp, udp or icmp", ErrInvalid, clip(t))
		}
	}
	return nil
}

// Wants tells whether edges of a kind can pass at all.
func (f *Filter) Wants(k Kind) bool {
	if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, k) {
		return false
	}
	switch k {
	case Relation, Same, Started: // they have no port and nothing unusual
		return len(f.Ports) == 0 && len(f.Transports) == 0 && len(f.Abnormal) == 0 && len(f.Phases) == 0
	}
	return true
}

// Match tells whether an edge counts, once it was marked.
func (f *Filter) Match(e *Edge) bool {
	if !f.Wants(e.Kind) {
		return false
	}
	if len(f.Ports) > 0 && !slices.ContainsFunc(f.Ports, func(p Ports) bool { return e.Port > 0 && e.Port >= p.From && e.Port <= p.To }) {
		return false
	}
	if len(f.Transports) > 0 && !slices.Contains(f.Transports, e.Transport) {
		return false
	}
	any := func(want, have []string) bool {
		return len(want) == 0 || slices.ContainsFunc(want, func(w string) bool { return slices.Contains(have, w) })
	}
	return any(f.Abnormal, e.Abnormal) && any(f.Phases, e.Phases)
}

// Package scope holds a scanner to what was approved. It judges addresses by a
// run's ranges and exclusions and what the scanner's host allows, has the only
// dialer that a scanner's sockets come from, whoever asks for them, and lists the
// addresses of a run's targets.
//
// Deny is the default: what no range names is refused, an exclusion beats every
// range, and a name is reached only where it was a target and by the addresses
// that it had when it was judged. Refusals are counted and told.
package scope

import (
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"icewatch/collectors/scanner/wire"
)

// ErrOutside says that an address may not be touched.
var ErrOutside = errors.New("outside the approved ranges")

// Scope is what may be touched. It does not change.
type Scope struct {
	allowed []span // disjoint, in order: ranges ∩ local − exclusions
	expires time.Time
	now     func() time.Time

	refused atomic.Int64
	tell    func(wire.Refused)
	mu      sync.Mutex
	told    map[string]bool // refusals that were told, so that each is told once
}

// maxTold bounds how many different refusals are told of a run; all are counted.
const maxTold = 1000

// New makes the scope of a run. local narrows it to what the scanner's host allows;
// nil does not narrow, an empty list allows nothing. tell is called once for each
// different refusal; it may be nil.
func New(s wire.Scope, local []string, tell func(wire.Refused)) (*Scope, error) {
	if len(s.Ranges) == 0 {
		return nil, errors.New("no range is approved, so that nothing may be touched")
	}
	allowed, err := spans("ranges", s.Ranges)
	if err != nil {
		return nil, err
	}
	if local != nil {
		narrow, err := spans("allow", local)
		if err != nil {
			return nil, err
		}
		allowed = intersect(allowed, narrow)
	}
	without, err := spans("exclusions", s.Exclusions)
	if err != nil {
		return nil, err
	}
	out := &Scope{allowed: subtract(allowed, without), now: time.Now, tell: tell, told: map[string]bool{}}
	if s.Expires > 0 {
		out.expires = time.Unix(s.Expires, 0)
	}
	return out, nil
}

// Allows tells whether an address may be touched now, and why not.
func (s *Scope) Allows(a netip.Addr) error {
	if !s.expires.IsZero() && !s.now().Before(s.expires) {
		return fmt.Errorf("%w: the approval ended at %s", ErrOutside, s.expires.UTC().Format(time.RFC3339))
	}
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a == broadcast {
		return fmt.Errorf("%w: %s is no address of one host", ErrOutside, a)
	}
	i, found := slices.BinarySearchFunc(s.allowed, a, func(r span, a netip.Addr) int {
		switch {
		case a.Less(r.from):
			return 1
		case r.to.Less(a):
			return -1
		}
		return 0
	})
	if !found || i >= len(s.allowed) {
		return fmt.Errorf("%w: %s", ErrOutside, a)
	}
	return nil
}

var broadcast = netip.MustParseAddr("255.255.255.255")

// Refuse counts a refusal and tells of it once.
func (s *Scope) Refuse(target, why, by string) {
	s.refused.Add(1)
	key := by + "\x00" + target
	s.mu.Lock()
	known := s.told[key] || len(s.told) >= maxTold
	if !known {
		s.told[key] = true
	}
	s.mu.Unlock()
	if !known && s.tell != nil {
		s.tell(wire.Refused{Target: target, Why: why, By: by})
	}
}

// Refused is how many targets and sockets were refused.
func (s *Scope) Refused() int64 { return s.refused.Load() }

// Control returns a net.Dialer's Control that lets no socket of by connect outside
// the scope, whatever resolved its address.
func (s *Scope) Control(by string) func(network, address string, c syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address // Raw sockets have no port.
		}
		a, err := netip.ParseAddr(host)
		if err == nil {
			err = s.Allows(a)
		} else {
			err = fmt.Errorf("%w: %q is no address", ErrOutside, host)
		}
		if err != nil {
			s.Refuse(address, err.Error(), by)
		}
		return err
	}
}

// span is from and to with all between, of one family.
type span struct{ from, to netip.Addr }

func spans(field string, ranges []string) ([]span, error) {
	out := make([]span, 0, len(ranges))
	for i, s := range ranges {
		p, err := wire.ParseRange(s)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, err)
		}
		out = append(out, span{p.Addr(), last(p)})
	}
	return merge(out), nil
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// merge sorts spans and joins those that overlap or touch.
func merge(in []span) []span {
	slices.SortFunc(in, func(a, b span) int { return a.from.Compare(b.from) })
	var out []span
	for _, s := range in {
		if n := len(out); n > 0 {
			l := &out[n-1]
			if l.from.Is4() == s.from.Is4() && (!l.to.Less(s.from) || l.to.Next() == s.from) {
				if l.to.Less(s.to) {
					l.to = s.to
				}
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

func intersect(a, b []span) []span {
	var out []span
	for i, j := 0, 0; i < len(a) && j < len(b); {
		from, to := a[i].from, a[i].to
		if from.Less(b[j].from) {
			from = b[j].from
		}
		if b[j].to.Less(to) {
			to = b[j].to
		}
		if from.Is4() == to.Is4() && !to.Less(from) {
			out = append(out, span{from, to})
		}
		if a[i].to.Less(b[j].to) {
			i++
		} else {
			j++
		}
	}
	return out
}

func subtract(a, without []span) []span {
	out := slices.Clone(a)
	for _, w := range without {
		var next []span
		for _, s := range out {
			if s.from.Is4() != w.from.Is4() || w.to.Less(s.from) || s.to.Less(w.from) {
				next = append(next, s)
				continue
			}
			if s.from.Less(w.from) {
				next = append(next, span{s.from, w.from.Prev()})
			}
			if w.to.Less(s.to) {
				next = append(next, span{w.to.Next(), s.to})
			}
		}
		out = next
	}
	return out
}

// size is how many addresses a span has, at most limit.
func (s span) size(limit int64) int64 {
	n := new(big.Int).Sub(number(s.to), number(s.from))
	if !n.IsInt64() || n.Int64() >= limit {
		return limit
	}
	return n.Int64() + 1
}

func number(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }

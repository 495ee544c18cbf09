package sigma

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Wild is a wildcard of a pattern.
type Wild uint8

// The wildcards.
const (
	Literal     Wild = iota
	Star             // any text, none included
	Single           // exactly one character
	Placeholder      // a %name% without values, see Options.KeepPlaceholders; Text is the name
)

// Part is a literal or a wildcard.
type Part struct {
	Wild Wild
	Text string // of a literal, never empty; of a placeholder its name
}

// Pattern is a text with wildcards. No parts at all is the empty text.
type Pattern []Part

// ParsePattern reads a value under Sigma's escaping rules: a backslash before
// *, ? or another backslash makes that character plain; before anything else
// it stands for itself.
func ParsePattern(s string) Pattern {
	var p Pattern
	if !strings.ContainsAny(s, `*?\`) {
		if s == "" {
			return nil
		}
		return Pattern{{Text: s}}
	}
	lit := make([]byte, 0, len(s))
	flush := func() {
		if len(lit) > 0 {
			p = append(p, Part{Text: string(lit)})
			lit = lit[:0]
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '*' || s[i+1] == '?' || s[i+1] == '\\'):
			i++
			lit = append(lit, s[i])
		case c == '*':
			flush()
			p = p.appendStar()
		case c == '?':
			flush()
			p = append(p, Part{Wild: Single})
		default:
			lit = append(lit, c)
		}
	}
	flush()
	return p
}

func (p Pattern) appendStar() Pattern {
	if len(p) > 0 && p[len(p)-1].Wild == Star {
		return p
	}
	return append(p, Part{Wild: Star})
}

func (p Pattern) prependStar() Pattern {
	if len(p) > 0 && p[0].Wild == Star {
		return p
	}
	return append(Pattern{{Wild: Star}}, p...)
}

// Plain returns the text of a pattern without wildcards.
func (p Pattern) Plain() (string, bool) {
	switch {
	case len(p) == 0:
		return "", true
	case len(p) == 1 && p[0].Wild == Literal:
		return p[0].Text, true
	}
	return "", false
}

// Number is a number of a rule. Integers keep all their digits.
type Number struct {
	Int     int64
	Float   float64
	Integer bool
}

// ParseNumber reads a plain decimal number: digits with sign, fraction and
// exponent. It refuses what only a programming language calls a number
// (hexadecimal, infinity, underscores, surrounding space).
func ParseNumber(s string) (Number, bool) {
	if len(s) == 0 || len(s) > 64 {
		return Number{}, false
	}
	integer := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
		case (c == '-' || c == '+') && i == 0 && len(s) > 1:
		case c == '.' || c == 'e' || c == 'E' || c == '-' || c == '+':
			integer = false
		default:
			return Number{}, false
		}
	}
	if integer {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return Number{Int: n, Float: float64(n), Integer: true}, true
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return Number{}, false
	}
	return fromFloat(f), true
}

func fromFloat(f float64) Number {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return Number{Int: int64(f), Float: f, Integer: true}
	}
	return Number{Float: f}
}

// Compare returns -1, 0 or 1.
func (n Number) Compare(o Number) int {
	if n.Integer && o.Integer {
		switch {
		case n.Int < o.Int:
			return -1
		case n.Int > o.Int:
			return 1
		}
		return 0
	}
	switch {
	case n.Float < o.Float:
		return -1
	case n.Float > o.Float:
		return 1
	}
	return 0
}

// Is tells whether n stands in the relation to o.
func (n Number) Is(r Relation, o Number) bool {
	c := n.Compare(o)
	switch r {
	case LT:
		return c < 0
	case LTE:
		return c <= 0
	case GT:
		return c > 0
	case GTE:
		return c >= 0
	}
	return c == 0
}

// Prefix is a network.
type Prefix struct{ netip.Prefix }

// parseCIDR reads a network, or an address as the network of it alone. A
// network of IPv4 addresses written as IPv6 is that IPv4 network.
func parseCIDR(s string) (Prefix, error) {
	var p netip.Prefix
	a, err := netip.ParseAddr(s)
	if err == nil {
		p = netip.PrefixFrom(a.WithZone(""), a.BitLen())
	} else if p, err = netip.ParsePrefix(s); err != nil {
		return Prefix{}, fmt.Errorf("%q is no network such as 10.0.0.0/8 or fd00::/8", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return Prefix{p.Masked()}, nil
}

// Holds tells whether the text is an address inside the network. An IPv4
// address written as IPv6 (::ffff:10.0.0.1, as Windows logs it) is that IPv4
// address.
func (p Prefix) Holds(s string) bool {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return false
	}
	a = a.WithZone("")
	return p.Contains(a) || a.Is4In6() && p.Contains(a.Unmap())
}

package clause

import (
	"fmt"
	"net/netip"
	"strings"
)

// ipv6Pattern is the expression that the addresses of a network match however
// they are written: short or long, with "::" in whatever place it may stand,
// in either case, with a zone or a dotted end. It carries the network in the
// name of its group, from which ipv6Network reads it back.
func ipv6Pattern(p netip.Prefix) string {
	raw := p.Addr().As16()
	bits := p.Bits()
	var groups [8]string
	var zero [8]bool // the group may be left out by "::"
	for g := range groups {
		// Each of the four digits is a class of those that are allowed there.
		var digits [4][2]byte // lowest and highest
		zero[g] = true
		for d := range digits {
			at := g*16 + d*4
			v := raw[at/8] >> 4
			if d%2 == 1 {
				v = raw[at/8] & 15
			}
			fixed := min(max(bits-at, 0), 4)
			free := byte(1)<<(4-fixed) - 1
			digits[d] = [2]byte{v &^ free, v | free}
			zero[g] = zero[g] && digits[d][0] == 0
		}
		// Leading zeros may be left out.
		var forms []string
		for d := range digits {
			var b strings.Builder
			for _, c := range digits[d:] {
				b.WriteString(hexClass(c[0], c[1]))
			}
			forms = append(forms, b.String())
			if digits[d][0] != 0 {
				break
			}
		}
		groups[g] = "(?:" + strings.Join(forms, "|") + ")"
		if bits <= g*16 {
			groups[g] = "[0-9a-f]{1,4}"
		}
	}
	// The last two groups may be written as an IPv4 address.
	const dotted = `(?:[0-9]{1,3}\.){3}[0-9]{1,3}`
	join := func(from, to int) []string {
		if from >= to {
			return []string{""}
		}
		forms := []string{strings.Join(groups[from:to], ":")}
		if to == 8 && from <= 6 && bits <= 96 {
			forms = append(forms, strings.Join(append(append([]string{}, groups[from:6]...), dotted), ":"))
		}
		return forms
	}
	forms := join(0, 8)
	for from := 0; from < 8; from++ {
		for to := from + 1; to <= 8 && zero[to-1]; to++ {
			for _, end := range join(to, 8) {
				forms = append(forms, strings.Join(groups[:from], ":")+"::"+end)
			}
		}
	}
	return fmt.Sprintf("(?i)^(?P<ipv6_%x_%d>%s)(?:%%.+)?$", raw, bits, strings.Join(forms, "|"))
}

func hexClass(low, high byte) string {
	const digits = "0123456789abcdef"
	switch {
	case low == high:
		return digits[low : low+1]
	case low == 0 && high == 15:
		return "[0-9a-f]"
	}
	return "[" + digits[low:high+1] + "]"
}

// ipv6Network reads the network out of what ipv6Pattern wrote.
func ipv6Network(expression string) (string, bool) {
	var raw []byte
	var bits int
	rest, ok := strings.CutPrefix(expression, "(?i)^(?P<ipv6_")
	if !ok {
		return "", false
	}
	if n, err := fmt.Sscanf(rest, "%32x_%d>", &raw, &bits); n != 2 || err != nil || len(raw) != 16 || bits < 0 || bits > 128 {
		return "", false
	}
	p := netip.PrefixFrom(netip.AddrFrom16([16]byte(raw)), bits)
	if ipv6Pattern(p) != expression {
		return "", false
	}
	return p.String(), true
}

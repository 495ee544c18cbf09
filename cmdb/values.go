package cmdb

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"icewatch/cmdb/model"
)

// Bounds of one item.
const (
	maxName      = 200 // characters
	maxZone      = 63
	maxLabel     = 64
	maxHostname  = 253
	maxAttrValue = 4000
	maxAttrs     = 200 // attributes of one item
	maxValues    = 1000
)

var (
	idPattern        = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
	attributePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,62}$`)
)

// checkText returns s without outer spaces, or why it cannot be kept.
func checkText(s string, limit int) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%q is not valid UTF-8", s)
	case utf8.RuneCountInString(s) > limit:
		return "", fmt.Errorf("it is longer than %d characters", limit)
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", fmt.Errorf("%q contains a control character", s)
	}
	return s, nil
}

// checkAttrValue is checkText, but lines and tabs may stay.
func checkAttrValue(s string) (string, error) {
	s = strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
	switch {
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%q is not valid UTF-8", s)
	case utf8.RuneCountInString(s) > maxAttrValue:
		return "", fmt.Errorf("it is longer than %d characters", maxAttrValue)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return "", fmt.Errorf("%q contains a control character", s)
	}
	return s, nil
}

// checkAddress returns the canonical form of an address of a class.
func checkAddress(kind, s string) (string, error) {
	s = strings.TrimSpace(s)
	if kind == model.CIDRs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return "", fmt.Errorf("%q is not an address range such as 10.1.0.0/16 or 2001:db8::/48", s)
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return "", fmt.Errorf("%q mixes IPv4 and IPv6", s)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if m := p.Masked(); m != p {
			return "", fmt.Errorf("%q has bits set beyond its mask: did you mean %s?", s, m)
		}
		return p.String(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return "", fmt.Errorf("%q is not an IP address such as 10.1.2.3 or 2001:db8::1", s)
	}
	if a.Zone() != "" {
		return "", fmt.Errorf("%q carries an interface name: leave out %%%s", s, a.Zone())
	}
	return a.Unmap().String(), nil
}

// checkHostname returns a host name in lower case without the root's dot.
// Anything a device might put into a log's host field is allowed, but no
// spaces and none of the signs lists and quotes are made of.
func checkHostname(s string) (string, error) {
	t := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), "."))
	switch {
	case t == "":
		return "", fmt.Errorf("%q is not a host name", s)
	case !utf8.ValidString(t) || utf8.RuneCountInString(t) > maxHostname:
		return "", fmt.Errorf("%q is longer than %d characters or no valid UTF-8", s, maxHostname)
	case strings.HasPrefix(t, ".") || strings.HasPrefix(t, "-") || strings.HasSuffix(t, ".") || strings.Contains(t, "..") ||
		strings.ContainsFunc(t, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune("-_.", r)
		}):
		return "", fmt.Errorf("%q is not a host name", s)
	}
	if _, err := netip.ParseAddr(t); err == nil {
		return "", fmt.Errorf("%q is an address: it belongs under addresses", s)
	}
	return t, nil
}

// checkLabel returns a label in canonical form.
func checkLabel(s string) (string, error) {
	t, err := checkText(s, maxLabel)
	switch {
	case err != nil:
		return "", err
	case t == "":
		return "", fmt.Errorf("a label is empty")
	case strings.ContainsAny(t, ";；"):
		return "", fmt.Errorf("%q contains the sign that separates labels", t)
	}
	return t, nil
}

// checkCriticality reads 1 to 5.
func checkCriticality(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number: want 1 (least) to 5 (most)", s)
	}
	if n < 1 || n > 5 {
		return 0, fmt.Errorf("%d is out of range: want 1 (least) to 5 (most)", n)
	}
	return n, nil
}

// checkList runs check over the values, and drops empty and repeated ones.
func checkList(values []string, check func(string) (string, error)) ([]string, []error) {
	if len(values) > maxValues {
		return nil, []error{fmt.Errorf("%d values: want at most %d", len(values), maxValues)}
	}
	var out []string
	var errs []error
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		if strings.TrimSpace(v) == "" {
			continue
		}
		c, err := check(v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	return slices.Clip(out), errs
}

// canonicalAddress returns an address or CIDR as the tables have it, or s where
// it is neither: then nothing matches it.
func canonicalAddress(s string) string {
	for _, kind := range []string{model.IPs, model.CIDRs} {
		if a, err := checkAddress(kind, s); err == nil {
			return a
		}
	}
	return s
}

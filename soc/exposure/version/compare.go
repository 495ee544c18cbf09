// Package version says which installed software is affected by which known
// vulnerability. It compares versions as the distribution of each does and goes
// by the distribution's own data, in which a repair that was brought back to an
// old version counts as one.
package version

import (
	"cmp"
	"fmt"
	"strings"
)

// Scheme is a way of ordering versions.
type Scheme string

// The schemes. Loose orders what has no rules of its own: upstream releases, Maven,
// Ruby, Python.
const (
	Dpkg   Scheme = "dpkg"
	RPM    Scheme = "rpm"
	APK    Scheme = "apk"
	Semver Scheme = "semver"
	Loose  Scheme = "loose"
)

// maxVersion is the longest version that is compared.
const maxVersion = 256

// Compare orders two versions: negative where a is the older one. What is no
// version of the scheme is an error that says what is wrong with it.
func Compare(s Scheme, a, b string) (int, error) {
	for _, v := range []*string{&a, &b} {
		*v = strings.TrimSpace(*v)
		if err := check(s, *v); err != nil {
			return 0, err
		}
	}
	switch s {
	case Dpkg:
		return dpkg(a, b), nil
	case RPM:
		return rpm(a, b), nil
	case APK:
		return apk(a, b), nil
	case Semver:
		return semver(a, b), nil
	case Loose:
		return loose(a, b), nil
	}
	return 0, fmt.Errorf("version: there is no scheme %q", s)
}

func check(s Scheme, v string) error {
	bad := func(why string) error {
		if len(v) > 60 {
			v = v[:60] + "…"
		}
		return fmt.Errorf("version: %q is no version of %s: %s", v, s, why)
	}
	switch {
	case v == "":
		return bad("it is empty")
	case len(v) > maxVersion:
		return bad("it is too long")
	}
	for i := 0; i < len(v); i++ {
		if c := v[i]; c <= ' ' || c > '~' {
			return bad("it holds blanks or signs that no version has")
		}
	}
	if s == Dpkg || s == RPM {
		if e, _, ok := strings.Cut(v, ":"); ok && (e == "" || len(e) > 9 || strings.Trim(e, "0123456789") != "") {
			return bad("the epoch before the colon is no number")
		}
	}
	if s == Dpkg {
		_, rest := epoch(v)
		if rest == "" || rest[0] == '-' {
			return bad("the upstream version is empty")
		}
	}
	return nil
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// epoch splits off the number before a colon; none is 0.
func epoch(v string) (int, string) {
	e, rest, ok := strings.Cut(v, ":")
	if !ok {
		return 0, v
	}
	n := 0
	for i := 0; i < len(e) && n < 1_000_000_000; i++ {
		n = 10*n + int(e[i]-'0')
	}
	return n, rest
}

// dpkg is the order of deb-version(7).
func dpkg(a, b string) int {
	ea, a := epoch(a)
	eb, b := epoch(b)
	if ea != eb {
		return cmp.Compare(ea, eb)
	}
	ua, ra := revision(a)
	ub, rb := revision(b)
	if c := verrevcmp(ua, ub); c != 0 {
		return c
	}
	return verrevcmp(ra, rb)
}

// revision splits at the last hyphen.
func revision(v string) (string, string) {
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return v[:i], v[i+1:]
	}
	return v, ""
}

// order is a sign's weight: a tilde before the end, the end before letters, these
// before all others.
func order(s string, i int) int {
	switch {
	case i >= len(s) || digit(s[i]):
		return 0
	case letter(s[i]):
		return int(s[i])
	case s[i] == '~':
		return -1
	}
	return int(s[i]) + 256
}

func verrevcmp(a, b string) int {
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		for (i < len(a) && !digit(a[i])) || (j < len(b) && !digit(b[j])) {
			if oa, ob := order(a, i), order(b, j); oa != ob {
				return cmp.Compare(oa, ob)
			}
			i, j = i+1, j+1
		}
		var c int
		if c, i, j = numbers(a, b, i, j); c != 0 {
			return c
		}
	}
	return 0
}

// numbers compares the digits that stand at two places, of any length.
func numbers(a, b string, i, j int) (int, int, int) {
	for i < len(a) && a[i] == '0' {
		i++
	}
	for j < len(b) && b[j] == '0' {
		j++
	}
	first := 0
	for i < len(a) && j < len(b) && digit(a[i]) && digit(b[j]) {
		if first == 0 {
			first = cmp.Compare(a[i], b[j])
		}
		i, j = i+1, j+1
	}
	switch {
	case i < len(a) && digit(a[i]):
		return 1, i, j
	case j < len(b) && digit(b[j]):
		return -1, i, j
	}
	return first, i, j
}

// rpm is the order of rpmvercmp on epoch, version and release. Where one has no
// release, releases do not count.
func rpm(a, b string) int {
	ea, a := epoch(a)
	eb, b := epoch(b)
	if ea != eb {
		return cmp.Compare(ea, eb)
	}
	va, ra := revision(a)
	vb, rb := revision(b)
	if c := rpmvercmp(va, vb); c != 0 || ra == "" || rb == "" {
		return c
	}
	return rpmvercmp(ra, rb)
}

func rpmvercmp(a, b string) int {
	i, j := 0, 0
	special := func(c byte) bool { return digit(c) || letter(c) || c == '~' || c == '^' }
	for i < len(a) || j < len(b) {
		for i < len(a) && !special(a[i]) {
			i++
		}
		for j < len(b) && !special(b[j]) {
			j++
		}
		at, bt := i < len(a) && a[i] == '~', j < len(b) && b[j] == '~'
		if at || bt {
			if at && bt {
				i, j = i+1, j+1
				continue
			}
			if at {
				return -1
			}
			return 1
		}
		ac, bc := i < len(a) && a[i] == '^', j < len(b) && b[j] == '^'
		if ac || bc {
			switch {
			case ac && bc:
				i, j = i+1, j+1
				continue
			case i >= len(a):
				return -1
			case j >= len(b):
				return 1
			case ac:
				return -1
			}
			return 1
		}
		if i >= len(a) || j >= len(b) {
			break
		}
		if digit(a[i]) {
			if !digit(b[j]) {
				return 1 // a number is newer than letters
			}
			var c int
			if c, i, j = numbers(a, b, i, j); c != 0 {
				return c
			}
			continue
		}
		if digit(b[j]) {
			return -1
		}
		x, y := i, j
		for i < len(a) && letter(a[i]) {
			i++
		}
		for j < len(b) && letter(b[j]) {
			j++
		}
		if c := strings.Compare(a[x:i], b[y:j]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a)-min(i, len(a)), len(b)-min(j, len(b)))
}

// apkSuffix are apk's suffixes: those before a release and those after it.
var apkSuffix = map[string]int{"alpha": -4, "beta": -3, "pre": -2, "rc": -1, "cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}

// apk is the order of apk-tools: numbers, a letter, suffixes, the release after -r.
func apk(a, b string) int {
	va, ra := apkRelease(a)
	vb, rb := apkRelease(b)
	va, sa, hadA := strings.Cut(va, "_")
	vb, sb, hadB := strings.Cut(vb, "_")
	pa, pb := strings.Split(va, "."), strings.Split(vb, ".")
	for i := 0; i < len(pa) || i < len(pb); i++ {
		if i >= len(pa) {
			return -1
		}
		if i >= len(pb) {
			return 1
		}
		c, x, y := numbers(pa[i], pb[i], 0, 0)
		if c == 0 {
			c = strings.Compare(pa[i][x:], pb[i][y:])
		}
		if c != 0 {
			return c
		}
	}
	var la, lb []string
	if hadA {
		la = strings.Split(sa, "_")
	}
	if hadB {
		lb = strings.Split(sb, "_")
	}
	for i := 0; i < len(la) || i < len(lb); i++ {
		wa, na := 0, ""
		if i < len(la) {
			wa, na = apkWord(la[i])
		}
		wb, nb := 0, ""
		if i < len(lb) {
			wb, nb = apkWord(lb[i])
		}
		if wa != wb {
			return cmp.Compare(wa, wb)
		}
		if c, _, _ := numbers(na, nb, 0, 0); c != 0 {
			return c
		}
	}
	c, _, _ := numbers(ra, rb, 0, 0)
	return c
}

func apkRelease(v string) (string, string) {
	if i := strings.LastIndex(v, "-r"); i > 0 && strings.Trim(v[i+2:], "0123456789") == "" {
		return v[:i], v[i+2:]
	}
	return v, ""
}

func apkWord(s string) (int, string) {
	i := 0
	for i < len(s) && letter(s[i]) {
		i++
	}
	return apkSuffix[s[:i]], s[i:]
}

// semver is the precedence of Semantic Versioning 2.0.0; a v before it and missing
// parts are let pass.
func semver(a, b string) int {
	va, pa := semverParts(a)
	vb, pb := semverParts(b)
	la, lb := strings.Split(va, "."), strings.Split(vb, ".")
	for i := 0; i < len(la) || i < len(lb); i++ {
		x, y := "0", "0"
		if i < len(la) {
			x = la[i]
		}
		if i < len(lb) {
			y = lb[i]
		}
		if c := identifier(x, y); c != 0 {
			return c
		}
	}
	switch {
	case pa == pb:
		return 0
	case pa == "":
		return 1
	case pb == "":
		return -1
	}
	la, lb = strings.Split(pa, "."), strings.Split(pb, ".")
	for i := 0; i < len(la) && i < len(lb); i++ {
		if c := identifier(la[i], lb[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(la), len(lb))
}

func semverParts(v string) (string, string) {
	v, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(v, "v"), "V"), "+")
	v, pre, _ := strings.Cut(v, "-")
	return v, pre
}

// identifier compares two identifiers: numbers by value, before words.
func identifier(x, y string) int {
	nx, ny := x != "" && strings.Trim(x, "0123456789") == "", y != "" && strings.Trim(y, "0123456789") == ""
	switch {
	case nx && ny:
		c, _, _ := numbers(x, y, 0, 0)
		return c
	case nx:
		return -1
	case ny:
		return 1
	}
	return strings.Compare(x, y)
}

// before are the words of versions that come before a release.
var before = map[string]int{"dev": -6, "snapshot": -5, "alpha": -4, "a": -4, "beta": -3, "b": -3, "milestone": -2, "m": -2, "pre": -1, "preview": -1, "rc": -1, "cr": -1, "c": -1}

// plain are words that say no more than that it is a release.
var plain = map[string]bool{"final": true, "ga": true, "release": true, "v": true}

// loose compares part by part: numbers by value, words of pre-releases before the
// end, other words after it. Trailing zeros do not count.
func loose(a, b string) int {
	pa, pb := parts(a), parts(b)
	for i := 0; i < len(pa) || i < len(pb); i++ {
		x, y := "0", "0"
		if i < len(pa) {
			x = pa[i]
		}
		if i < len(pb) {
			y = pb[i]
		}
		nx, ny := digit(x[0]), digit(y[0])
		switch {
		case nx && ny:
			if c, _, _ := numbers(x, y, 0, 0); c != 0 {
				return c
			}
		case nx || ny:
			// A word against a number that is there, or against the end.
			word, sign := y, 1
			there := i < len(pa)
			if ny {
				word, sign, there = x, -1, i < len(pb)
			}
			if before[word] < 0 || there {
				return sign
			}
			return -sign
		default:
			wx, wy := before[x], before[y]
			if wx != wy {
				return cmp.Compare(wx, wy)
			}
			if wx == 0 && x != y {
				return strings.Compare(x, y)
			}
		}
	}
	return 0
}

// parts are the numbers and words of a version, in lower case.
func parts(v string) []string {
	v, _, _ = strings.Cut(strings.ToLower(v), "+")
	var out []string
	for i := 0; i < len(v); {
		j := i
		switch {
		case digit(v[i]):
			for j < len(v) && digit(v[j]) {
				j++
			}
			out = append(out, v[i:j])
		case letter(v[i]):
			for j < len(v) && letter(v[j]) {
				j++
			}
			if w := v[i:j]; !plain[w] {
				out = append(out, w)
			}
		default:
			j++
		}
		i = j
	}
	return out
}

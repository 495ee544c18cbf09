package naive

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"
)

// test tells whether a subject is what one value of a rule asks for.
type test func(r *Rule, ev *Event, s subject) bool

// chain is the modifiers of one field. Value Modifiers: they "can also be
// chained" and "are applied in the given order to the value".
type chain struct {
	names        []string
	keyword      bool // there is no field
	placeholders map[string][]string
}

// modifierNames are all that the specification's appendix knows.
var modifierNames = strings.Fields(`all startswith endswith contains exists cased neq windash re i m s
	base64 base64offset utf16le utf16be utf16 wide lt lte gt gte minute hour day week month year cidr expand fieldref`)

func readChain(names []string, keyword bool, placeholders map[string][]string) (*chain, error) {
	for _, n := range names {
		if !slices.Contains(modifierNames, n) {
			return nil, fmt.Errorf("there is no modifier %q", n)
		}
	}
	return &chain{names, keyword, placeholders}, nil
}

func (c *chain) has(name string) bool { return slices.Contains(c.names, name) }

// among is the first modifier of the chain that is one of these, or "".
func (c *chain) among(names ...string) string {
	for _, n := range c.names {
		if slices.Contains(names, n) {
			return n
		}
	}
	return ""
}

// anyValue holds where one of the values that are not null passes.
func anyValue(passes func(r *Rule, ev *Event, v *value) bool) test {
	return func(r *Rule, ev *Event, s subject) bool {
		for _, v := range s.values {
			if !v.null && passes(r, ev, v) {
				return true
			}
		}
		return false
	}
}

// tests makes the tests of one written value: it is met where one of them is.
func (c *chain) tests(n *yaml.Node) ([]test, error) {
	switch {
	case c.has("exists"):
		return c.exists(n)
	case c.has("fieldref"):
		return []test{c.fieldref(n.Value)}, nil
	case c.among("lt", "lte", "gt", "gte", "minute", "hour", "day", "week", "month", "year") != "":
		return c.compare(n)
	case n.ShortTag() == "!!null":
		return c.null()
	case c.has("re"):
		return c.regex(n.Value)
	case c.has("cidr"):
		return c.cidr(n.Value)
	case c.isNumber(n):
		want, ok := ruleNumber(n)
		if !ok {
			return nil, errors.New("it is no number")
		}
		return []test{anyValue(func(_ *Rule, _ *Event, v *value) bool {
			got, ok := toNumber(v.text)
			return ok && relation("", got, want)
		})}, nil
	}
	return c.patterns(n.Value)
}

// exists: "Defines that a certain field has to exist or must not exist in a log
// event by providing a boolean value. Note that this check only verifies the
// presence of a field, not its value, be it empty or null."
func (c *chain) exists(n *yaml.Node) ([]test, error) {
	var want bool
	if c.keyword || n.Decode(&want) != nil {
		return nil, errors.New("exists needs a field, and true or false")
	}
	return []test{func(_ *Rule, _ *Event, s subject) bool { return s.there == want }}, nil
}

// null: Special Field Values, "A null value is defined with null". An event
// says so by a null or by not having the field.
func (c *chain) null() ([]test, error) {
	if c.keyword {
		return nil, errors.New("null is no keyword")
	}
	return []test{func(_ *Rule, _ *Event, s subject) bool {
		return !s.there || slices.ContainsFunc(s.values, func(v *value) bool { return v.null })
	}}, nil
}

// fieldref: "A field reference can be used to compare fields of matched events
// directly at query/matching time." One of the values has to be, begin with,
// end with or contain one of the other field's values, as texts.
func (c *chain) fieldref(name string) test {
	return anyValue(func(r *Rule, ev *Event, v *value) bool {
		for _, o := range r.subject(name, ev).values {
			if o.null {
				continue
			}
			a, b := v.small, o.small
			if c.has("cased") {
				a, b = v.plain, o.plain
			}
			if newPattern(c.affixes(slices.Clone(b))).fits(a) {
				return true
			}
		}
		return false
	})
}

// affixes applies contains, startswith and endswith to a field reference, in
// whatever order they stand.
func (c *chain) affixes(chars []rune) []rune {
	if c.has("contains") || c.has("endswith") {
		chars = slices.Insert(chars, 0, star)
	}
	if c.has("contains") || c.has("startswith") {
		chars = append(chars, star)
	}
	return chars
}

// compare: Numeric Modifiers, "Field is less than the value" and so on; Time
// Modifiers, "it extracts a numeric value from a date".
func (c *chain) compare(n *yaml.Node) ([]test, error) {
	want, ok := ruleNumber(n)
	if !ok {
		return nil, errors.New("it is no number")
	}
	part, relates := c.among("minute", "hour", "day", "week", "month", "year"), c.among("lt", "lte", "gt", "gte")
	return []test{anyValue(func(_ *Rule, _ *Event, v *value) bool {
		text := v.text
		if part != "" {
			got, ok := datePart(text, part)
			if !ok {
				return false
			}
			text = strconv.Itoa(got)
		}
		got, ok := toNumber(text)
		return ok && relation(relates, got, want)
	})}, nil
}

// isNumber tells whether a value is compared as a number: it is written as one,
// it stands for a field, and no modifier makes a text of it.
func (c *chain) isNumber(n *yaml.Node) bool {
	tag := n.ShortTag()
	return (tag == "!!int" || tag == "!!float") && !c.keyword &&
		c.among("contains", "startswith", "endswith", "windash", "wide", "utf16", "utf16le", "utf16be", "base64", "base64offset") == ""
}

// ruleNumber reads a number of a rule in any of YAML's ways of writing one.
func ruleNumber(n *yaml.Node) (number, bool) {
	var i int64
	switch n.ShortTag() {
	case "!!int":
		if n.Decode(&i) == nil {
			return number{true, i, float64(i)}, true
		}
	case "!!float", "!!str":
	default:
		return number{}, false
	}
	return toNumber(strings.ReplaceAll(n.Value, "_", ""))
}

// regex: "Value is handled as a regular expression by backends. Regex is
// matched case-sensitive by default." i: "to enable case-insensitive matching",
// m: "^ / $ match the start/end of line", s: "dot (.) matches all characters,
// including the newline character". It may match anywhere in the value; with
// startswith "at the beginning of the field's content", with endswith at its
// end.
func (c *chain) regex(expr string) ([]test, error) {
	var made []string
	for _, e := range c.expand(expr) {
		if !c.has("m") {
			e = dollars(e)
		}
		for _, n := range c.names {
			switch n {
			case "startswith":
				e = `\A(?:` + e + `)`
			case "endswith":
				e = `(?:` + e + `)\z`
			}
		}
		if flags := c.flags(); flags != "" {
			e = "(?" + flags + ")" + e
		}
		made = append(made, e)
	}
	var out []test
	for _, e := range made {
		re, err := regexp.Compile(e)
		if err != nil {
			return nil, err
		}
		out = append(out, anyValue(func(_ *Rule, _ *Event, v *value) bool { return re.MatchString(v.text) }))
	}
	return out, nil
}

// dollars makes of the dollars of an expression what they are in PCRE, "the
// supported flavor": the end of the text, or before a newline that ends it.
func dollars(expr string) string {
	var out strings.Builder
	class := 0 // characters since a class began, its bracket included
	for i := 0; i < len(expr); i++ {
		switch b := expr[i]; {
		case b == '\\' && i+1 < len(expr):
			out.WriteString(expr[i : i+2])
			i++
			class += 2 * min(class, 1)
			continue
		case b == '[' && class == 0:
			class = 1
			out.WriteByte(b)
			if strings.HasPrefix(expr[i+1:], "^") {
				out.WriteByte('^')
				i++
			}
			continue
		case b == ']' && class > 1:
			class = 0
			out.WriteByte(b)
			continue
		case b == '$' && class == 0:
			out.WriteString(`(?:\n?\z)`)
			continue
		default:
			out.WriteByte(b)
		}
		if class > 0 {
			class++
		}
	}
	return out.String()
}

func (c *chain) flags() string {
	flags := ""
	for _, f := range []string{"i", "m", "s"} {
		if c.has(f) {
			flags += f
		}
	}
	return flags
}

// cidr: "The value is handled as an CIDR by backends. Supports both IPv4 and
// IPv6 notations." An IPv4 address may be written as IPv6 (RFC 4291, 2.5.5.2),
// in the rule and in the event; a zone says nothing of the network.
func (c *chain) cidr(written string) ([]test, error) {
	var out []test
	for _, w := range c.expand(written) {
		network, err := netip.ParsePrefix(w)
		if err != nil {
			address, err := netip.ParseAddr(w)
			if err != nil {
				return nil, err
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		out = append(out, anyValue(func(_ *Rule, _ *Event, v *value) bool {
			address, err := netip.ParseAddr(v.text)
			return err == nil && len(v.text) <= longest && (sameBits(network.Addr(), address, network.Bits()) ||
				network.Addr().Is4In6() && network.Bits() >= 96 && sameBits(network.Addr().Unmap(), address.Unmap(), network.Bits()-96) ||
				sameBits(network.Addr(), address.Unmap(), network.Bits()))
		}))
	}
	return out, nil
}

// sameBits compares the first bits of two addresses of the same family.
func sameBits(a, b netip.Addr, bits int) bool {
	x, y := a.AsSlice(), b.AsSlice()
	if len(x) != len(y) {
		return false
	}
	for i := range bits {
		if (x[i/8]^y[i/8])>>(7-i%8)&1 == 1 {
			return false
		}
	}
	return true
}

// patterns applies the modifiers that change texts, one after the other; the
// whole value of the field has to be one of what they make. A keyword is
// "applied to the full log message", so it may stand anywhere in a value.
func (c *chain) patterns(written string) ([]test, error) {
	var texts [][]rune
	for _, w := range c.expand(written) {
		texts = append(texts, wildcards(w))
	}
	for _, name := range c.names {
		var next [][]rune
		switch name {
		case "utf16le", "wide", "utf16be", "utf16", "base64", "base64offset":
			for _, t := range texts {
				all, err := permutations(t)
				if err != nil {
					return nil, err
				}
				next = append(next, all...)
			}
			texts, next = next, nil
		}
		for _, t := range texts {
			made, err := modify(name, t)
			if err != nil {
				return nil, err
			}
			next = append(next, made...)
		}
		texts = next
	}
	var out []test
	for _, t := range texts {
		// What an encoding made is read as text again.
		t = onPlain(t, func(s string) string { return s })
		if c.keyword && c.among("contains", "startswith", "endswith") == "" {
			t = append(slices.Insert(t, 0, star), star)
		}
		cased := c.has("cased")
		if !cased {
			t = small(t)
		}
		p := newPattern(t)
		out = append(out, anyValue(func(_ *Rule, _ *Event, v *value) bool {
			if cased {
				return p.fits(v.plain)
			}
			return p.fits(v.small)
		}))
	}
	if len(out) == 0 {
		return nil, errors.New("nothing is left of it")
	}
	return out, nil
}

// modify applies one modifier to one text and gives what it becomes.
func modify(name string, t []rune) ([][]rune, error) {
	t = slices.Clone(t)
	switch name {
	case "contains": // "Puts * wildcards around the values"
		return [][]rune{append(slices.Insert(t, 0, star), star)}, nil
	case "startswith": // "replaces e.g. 'adm*'"
		return [][]rune{append(t, star)}, nil
	case "endswith": // "replaces e.g. '*\cmd.exe'"
		return [][]rune{slices.Insert(t, 0, star)}, nil
	case "windash":
		return [][]rune{windash(t)}, nil
	case "utf16le", "wide": // "cmd > 63 00 6d 00 64 00"; wide is "an alias for the utf16le modifier"
		return [][]rune{onPlain(t, utf16le)}, nil
	case "utf16be": // "cmd > 00 63 00 6d 00 64"
		return [][]rune{onPlain(t, utf16be)}, nil
	case "utf16": // "Prepends a byte order mark and encodes UTF16, cmd > FF FE 63 00 6d 00 64 00"
		return [][]rune{append(characters("\xff\xfe"), onPlain(t, utf16le)...)}, nil
	case "base64", "base64offset":
		if !isPlain(t) {
			return nil, errors.New("a wildcard cannot be encoded")
		}
		if name == "base64" { // "The value is encoded with Base64."
			return [][]rune{characters(base64.StdEncoding.EncodeToString([]byte(text(t))))}, nil
		}
		return base64offset([]byte(text(t))), nil
	}
	return [][]rune{t}, nil
}

// windash: "Creates all possible permutations of the -, /, – (en dash), — (em
// dash), and ― (horizontal bar) characters": each of them stands for all.
func windash(t []rune) []rune {
	for i, r := range t {
		if r >= 0 && strings.ContainsRune(dashes, r) {
			t[i] = dash
		}
	}
	return t
}

// permutations writes the dashes out, for what encodes them.
func permutations(t []rune) ([][]rune, error) {
	made := [][]rune{nil}
	for _, r := range t {
		choices := []rune{r}
		if r == dash {
			choices = []rune(dashes)
		}
		var next [][]rune
		for _, m := range made {
			for _, c := range choices {
				next = append(next, append(slices.Clone(m), c))
			}
		}
		if made = next; len(made) > 1024 {
			return nil, errors.New("the permutations of its dashes are too many to encode")
		}
	}
	return made, nil
}

func utf16le(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func utf16be(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return string(b)
}

// base64offset: "There are three variants for shifts by zero to two bytes and
// except the first and last byte the encoded values have a static part in the
// middle that can be recognized." A character of Base64 is static where all of
// its six bits come from the value.
func base64offset(value []byte) [][]rune {
	var out [][]rune
	for shift := range 3 {
		long := append(make([]byte, shift), value...)
		encoded := base64.RawStdEncoding.EncodeToString(append(long, 0, 0, 0))
		var static []rune
		for i, r := range encoded {
			if 6*i >= 8*shift && 6*i+6 <= 8*(shift+len(value)) {
				static = append(static, r)
			}
		}
		if len(static) > 0 {
			out = append(out, static)
		}
	}
	return out
}

var placeholder = regexp.MustCompile(`%[A-Za-z0-9_.\-]+%`)

// expand: Placeholders, "placeholders are only handled if the expand modifier is
// applied to the value", "A plain percent character can be used by escaping it
// with a backslash". A placeholder becomes "a single, multiple or-linked values
// or patterns"; one without values is left as it is here, because the parser
// under test rejects the rule.
func (c *chain) expand(written string) []string {
	if !c.has("expand") {
		return []string{written}
	}
	for i := 0; i < len(written); i++ {
		if strings.HasPrefix(written[i:], `\\`) {
			i++ // an escaped backslash escapes nothing
			continue
		}
		if strings.HasPrefix(written[i:], `\%`) {
			return prefixed(written[:i]+"%", c.expand(written[i+2:]))
		}
		at := placeholder.FindString(written[i:])
		if at == "" || !strings.HasPrefix(written[i:], at) {
			continue
		}
		var out []string
		for _, v := range c.placeholders[strings.Trim(at, "%")] {
			out = append(out, prefixed(written[:i]+v, c.expand(written[i+len(at):]))...)
		}
		return out
	}
	return []string{written}
}

func prefixed(start string, rests []string) []string {
	var out []string
	for _, r := range rests {
		out = append(out, start+r)
	}
	return out
}

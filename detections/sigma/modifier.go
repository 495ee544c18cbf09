package sigma

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxExpansion bounds how many values one written value may become through
// windash, expand and base64offset.
const maxExpansion = 1024

// scalar is a value on its way through the modifiers.
type scalar struct {
	node    *yaml.Node
	tag     string // !!str, !!int, !!float, !!bool, !!null
	raw     string // text as YAML gives it, wildcards unparsed
	pattern Pattern
	literal bool // pattern is set and raw no longer counts
	dash    bool
	regex   bool
	cidr    bool
}

// pat returns the value as a pattern; raw modifiers must not follow it.
func (s *scalar) pat() Pattern {
	if !s.literal {
		s.pattern, s.literal = ParsePattern(s.raw), true
	}
	return s.pattern
}

// modifiers is what the chain after a field name says.
type modifiers struct {
	names      []string
	all        bool
	negate     bool
	cased      bool
	exists     bool
	fieldref   bool
	contains   bool
	startswith bool
	endswith   bool
	compare    bool
	relation   Relation
	time       TimePart
	regex      bool
	flags      string // of the regular expression
}

var relations = map[string]Relation{"lt": LT, "lte": LTE, "gt": GT, "gte": GTE}

var timeParts = map[string]TimePart{"minute": Minute, "hour": Hour, "day": Day, "week": Week, "month": Month, "year": Year}

// transforms are the modifiers that change values one by one.
var transforms = map[string]func(*scalar, *Options) ([]*scalar, *Error){
	"contains":     contains,
	"startswith":   startswith,
	"endswith":     endswith,
	"windash":      windash,
	"utf16le":      encoder(utf16LE),
	"wide":         encoder(utf16LE),
	"utf16be":      encoder(utf16BE),
	"utf16":        encoder(utf16BOM),
	"base64":       base64Plain,
	"base64offset": base64Offset,
	"expand":       expand,
}

// readModifiers checks a chain of modifier names for what each may follow.
func readModifiers(names []string, line int) (modifiers, *Error) {
	m := modifiers{names: names}
	for i, name := range names {
		switch name {
		case "all":
			m.all = true
		case "neq":
			m.negate = true
		case "cased":
			m.cased = true
		case "exists":
			m.exists = true
		case "fieldref":
			m.fieldref = true
		case "contains":
			m.contains = true
		case "startswith":
			m.startswith = true
		case "endswith":
			m.endswith = true
		case "re":
			m.regex = true
		case "i", "m", "s":
			if !m.regex {
				return m, errorf(line, "modifier %q is a flag of re and has to follow it", name)
			}
			if !strings.Contains(m.flags, name) {
				m.flags += name
			}
		case "cidr":
		case "lt", "lte", "gt", "gte":
			if m.compare {
				return m, errorf(line, "modifier %q: one comparison is possible per field; write the field twice for a range", name)
			}
			m.compare, m.relation = true, relations[name]
		case "minute", "hour", "day", "week", "month", "year":
			if m.time != NoTime {
				return m, errorf(line, "modifier %q: only one part of a date can be taken", name)
			}
			m.time = timeParts[name]
		default:
			if _, ok := transforms[name]; !ok {
				return m, errorf(line, "unknown modifier %q", name)
			}
		}
		if (name == "re" || name == "cidr" || name == "exists" || name == "fieldref") && i > 0 {
			for _, before := range names[:i] {
				switch before {
				case "all", "neq", "cased", "expand":
				case "contains", "startswith", "endswith":
					if name != "fieldref" {
						return m, errorf(line, "modifier %q cannot follow %q", name, before)
					}
				default:
					return m, errorf(line, "modifier %q cannot follow %q", name, before)
				}
			}
		}
	}
	switch {
	case m.exists && (m.compare || m.regex || m.fieldref || m.time != NoTime):
		return m, errorf(line, "modifier \"exists\" goes with no other comparison")
	case m.regex && (m.compare || m.time != NoTime || m.fieldref):
		return m, errorf(line, "modifier \"re\" goes with no other comparison")
	}
	return m, nil
}

func contains(s *scalar, _ *Options) ([]*scalar, *Error) {
	if s.regex {
		return []*scalar{s}, nil // a regular expression is unanchored anyway
	}
	s.pattern = s.pat().prependStar().appendStar()
	return []*scalar{s}, nil
}

func startswith(s *scalar, _ *Options) ([]*scalar, *Error) {
	if s.regex {
		s.raw = "^(?:" + s.raw + ")"
		return []*scalar{s}, nil
	}
	s.pattern = s.pat().appendStar()
	return []*scalar{s}, nil
}

func endswith(s *scalar, _ *Options) ([]*scalar, *Error) {
	if s.regex {
		s.raw = "(?:" + s.raw + ")$"
		return []*scalar{s}, nil
	}
	s.pattern = s.pat().prependStar()
	return []*scalar{s}, nil
}

func windash(s *scalar, _ *Options) ([]*scalar, *Error) {
	s.pat()
	s.dash = true
	return []*scalar{s}, nil
}

// Dashes are the characters that windash makes interchangeable.
const Dashes = "-/\u2013\u2014\u2015"

// spreadDashes writes out what the dash flag stands for, because an encoded
// dash is no longer one character.
func spreadDashes(s *scalar) ([]*scalar, *Error) {
	if !s.dash {
		return []*scalar{s}, nil
	}
	text, plain := s.pattern.Plain()
	if !plain {
		return nil, errorf(s.node.Line, "windash before an encoding needs a value without wildcards")
	}
	texts := []string{""}
	for _, r := range text {
		options := []string{string(r)}
		if strings.ContainsRune(Dashes, r) {
			options = strings.Split(Dashes, "")
		}
		next := make([]string, 0, len(texts)*len(options))
		for _, t := range texts {
			for _, o := range options {
				next = append(next, t+o)
			}
		}
		if texts = next; len(texts) > maxExpansion {
			return nil, errorf(s.node.Line, "windash before an encoding makes more than %d values of %q", maxExpansion, text)
		}
	}
	out := make([]*scalar, len(texts))
	for i, t := range texts {
		out[i] = &scalar{node: s.node, tag: s.tag, raw: t, pattern: Pattern{{Text: t}}, literal: true}
	}
	return out, nil
}

func encoder(enc func(string) string) func(*scalar, *Options) ([]*scalar, *Error) {
	return func(s *scalar, _ *Options) ([]*scalar, *Error) {
		s.pat()
		out, err := spreadDashes(s)
		if err != nil {
			return nil, err
		}
		for _, v := range out {
			next := make(Pattern, len(v.pattern))
			for i, part := range v.pattern {
				if part.Wild == Single {
					return nil, errorf(s.node.Line, "a UTF-16 encoding cannot hold the wildcard ?")
				}
				if next[i] = part; part.Wild == Literal {
					next[i].Text = enc(part.Text)
				}
			}
			v.pattern = next
		}
		return out, nil
	}
}

func utf16LE(s string) string {
	b := make([]byte, 0, 2*len(s))
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func utf16BE(s string) string {
	b := make([]byte, 0, 2*len(s))
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return string(b)
}

func utf16BOM(s string) string { return "\xff\xfe" + utf16LE(s) }

func plainFor(s *scalar, name string) ([]*scalar, *Error) {
	s.pat()
	out, err := spreadDashes(s)
	if err != nil {
		return nil, err
	}
	for _, v := range out {
		if _, ok := v.pattern.Plain(); !ok {
			return nil, errorf(s.node.Line, "modifier %q cannot encode the wildcard in %q", name, s.raw)
		}
	}
	return out, nil
}

func base64Plain(s *scalar, _ *Options) ([]*scalar, *Error) {
	out, err := plainFor(s, "base64")
	if err != nil {
		return nil, err
	}
	for _, v := range out {
		text, _ := v.pattern.Plain()
		v.pattern = literal(base64.StdEncoding.EncodeToString([]byte(text)))
	}
	return out, nil
}

// base64Offset gives the three texts under which a value can appear inside a
// longer encoded text, each without the characters its neighbours share.
func base64Offset(s *scalar, _ *Options) ([]*scalar, *Error) {
	plain, err := plainFor(s, "base64offset")
	if err != nil {
		return nil, err
	}
	var out []*scalar
	for _, v := range plain {
		text, _ := v.pattern.Plain()
		for offset := range 3 {
			enc := base64.StdEncoding.EncodeToString([]byte("   "[:offset] + text))
			start := [3]int{0, 2, 3}[offset]
			cut := [3]int{0, 3, 2}[(len(text)+offset)%3]
			if len(enc)-cut <= start {
				continue
			}
			out = append(out, &scalar{node: s.node, tag: s.tag, raw: s.raw, literal: true, pattern: literal(enc[start : len(enc)-cut])})
		}
	}
	if len(out) == 0 {
		return nil, errorf(s.node.Line, "base64offset: %q is too short to leave a part that is always the same", s.raw)
	}
	return out, nil
}

func literal(text string) Pattern {
	if text == "" {
		return nil
	}
	return Pattern{{Text: text}}
}

var placeholder = regexp.MustCompile(`\\%|%[A-Za-z0-9_.\-]+%`)

// expand replaces %name% by the values the options hold for it.
func expand(s *scalar, opts *Options) ([]*scalar, *Error) {
	if s.literal {
		return nil, errorf(s.node.Line, "modifier \"expand\" has to come before the modifiers that change the text")
	}
	texts := []string{""}
	last := 0
	for _, at := range placeholder.FindAllStringIndex(s.raw, -1) {
		name := s.raw[at[0]:at[1]]
		values := []string{"%"}
		if name != `\%` {
			if values = opts.Placeholders[strings.Trim(name, "%")]; len(values) == 0 {
				return nil, errorf(s.node.Line, "placeholder %s has no values here", name)
			}
		}
		next := make([]string, 0, len(texts)*len(values))
		for _, t := range texts {
			for _, v := range values {
				next = append(next, t+s.raw[last:at[0]]+v)
			}
		}
		if texts, last = next, at[1]; len(texts) > maxExpansion {
			return nil, errorf(s.node.Line, "placeholders in %q make more than %d values", s.raw, maxExpansion)
		}
	}
	out := make([]*scalar, len(texts))
	for i, t := range texts {
		out[i] = &scalar{node: s.node, tag: s.tag, raw: t + s.raw[last:]}
	}
	return out, nil
}

// value turns a scalar that went through the chain into a value.
func (m *modifiers) value(s *scalar, keyword bool) (Value, *Error) {
	v := Value{Line: s.node.Line, Text: s.node.Value, Cased: m.cased, Dash: s.dash}
	fail := func(format string, args ...any) (Value, *Error) { return v, errorf(s.node.Line, format, args...) }
	switch {
	case m.exists:
		if s.tag != "!!bool" {
			return fail("modifier \"exists\" needs true or false, not %q", s.raw)
		}
		v.Op, v.Exists = OpExists, strings.EqualFold(s.raw, "true")
	case m.compare || m.time != NoTime:
		n, ok := number(s)
		if !ok {
			return fail("modifier %q needs a number, not %q", strings.Join(m.names, "|"), s.raw)
		}
		v.Op, v.Number, v.Relation, v.Time = OpCompare, n, m.relation, m.time
	case m.fieldref:
		if s.tag == "!!null" || s.raw == "" {
			return fail("modifier \"fieldref\" needs the name of a field")
		}
		v.Op, v.Field = OpFieldRef, s.raw
		switch {
		case m.contains || m.startswith && m.endswith:
			v.Affix = Contains
		case m.startswith:
			v.Affix = StartsWith
		case m.endswith:
			v.Affix = EndsWith
		}
	case s.tag == "!!null":
		if len(m.names) > 0 && !onlyLogic(m.names) {
			return fail("modifier %q cannot be applied to null", strings.Join(m.names, "|"))
		}
		if keyword {
			return fail("null cannot be searched as a keyword")
		}
		v.Op = OpNull
	case s.regex:
		expr := s.raw
		if m.flags != "" {
			expr = "(?" + m.flags + ")" + expr
		}
		if err := checkRegex(expr); err != nil {
			return fail("regular expression %q: %v", s.raw, err)
		}
		v.Op, v.Regex = OpRegex, expr
	case s.cidr:
		p, err := parseCIDR(s.raw)
		if err != nil {
			return fail("modifier \"cidr\": %v", err)
		}
		v.Op, v.CIDR = OpCIDR, p
	case (s.tag == "!!int" || s.tag == "!!float") && !s.literal && !keyword:
		n, ok := number(s)
		if !ok {
			return fail("%q is not a usable number", s.raw)
		}
		v.Op, v.Number = OpNumber, n
	default:
		p := s.pat()
		if keyword && !m.contains && !m.startswith && !m.endswith {
			p = p.prependStar().appendStar()
		}
		v.Pattern = p
	}
	return v, nil
}

func onlyLogic(names []string) bool {
	for _, n := range names {
		if n != "all" && n != "neq" && n != "cased" {
			return false
		}
	}
	return true
}

func number(s *scalar) (Number, bool) {
	switch s.tag {
	case "!!int":
		var i int64
		if s.node.Decode(&i) == nil {
			return Number{Int: i, Float: float64(i), Integer: true}, true
		}
	case "!!float", "!!str":
	default:
		return Number{}, false
	}
	return ParseNumber(strings.ReplaceAll(s.raw, "_", ""))
}

// checkRegex compiles an expression once to find out whether it can be used.
// Go's engine runs in linear time and therefore has no look-around and no
// back-references; nor does the flavour that Sigma's specification names.
func checkRegex(expr string) error {
	if !utf8.ValidString(expr) {
		return errNotUTF8
	}
	_, err := regexp.Compile(expr)
	return err
}

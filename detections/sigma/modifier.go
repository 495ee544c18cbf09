package sigma

import (
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unsafe"

	"go.yaml.in/yaml/v3"
)

// Bounds of what modifiers may make of a document.
const (
	maxExpansion = 1024     // values that one written value may become
	maxValue     = 64 << 10 // bytes of one written value
	maxRoom      = 16 << 20 // bytes of all values of a document after expansion
)

// comparison is what a chain of modifiers makes of its values.
type comparison uint8

const (
	asText comparison = iota // text with wildcards, number or null
	asRegex
	asNetwork
	asPresence
	asReference
	asNumber // less, greater…, of a number or of a part of a date
)

// modifier is what the specification says of one modifier: the comparison it
// asks for, if it asks for one, and those it goes with.
type modifier struct {
	asks comparison
	with []comparison
	do   func(*reader, *scalar) ([]*scalar, *Error) // changes texts, one by one
}

var (
	everywhere = []comparison{asText, asRegex, asNetwork, asPresence, asReference, asNumber}
	affixable  = []comparison{asText, asRegex, asReference}
	textual    = []comparison{asText}
	expandable = []comparison{asText, asRegex, asNetwork, asNumber}
)

// modifiersKnown lists every modifier of the specification's appendix.
func modifiersKnown() map[string]modifier {
	known := map[string]modifier{
		"all":    {with: everywhere},
		"neq":    {with: everywhere},
		"cased":  {with: everywhere},
		"exists": {asks: asPresence, with: []comparison{asPresence}},

		"contains":   {with: affixable, do: contains},
		"startswith": {with: affixable, do: startswith},
		"endswith":   {with: affixable, do: endswith},
		"windash":    {with: textual, do: windash},
		"expand":     {with: expandable, do: expand},

		"utf16le":      {with: textual, do: encoder(utf16LE, "")},
		"wide":         {with: textual, do: encoder(utf16LE, "")},
		"utf16be":      {with: textual, do: encoder(utf16BE, "")},
		"utf16":        {with: textual, do: encoder(utf16LE, "\xff\xfe")},
		"base64":       {with: textual, do: base64Plain},
		"base64offset": {with: textual, do: base64Offset},

		"re":       {asks: asRegex, with: []comparison{asRegex}},
		"cidr":     {asks: asNetwork, with: []comparison{asNetwork}},
		"fieldref": {asks: asReference, with: []comparison{asReference}},
	}
	for name := range relations {
		known[name] = modifier{asks: asNumber, with: []comparison{asNumber}}
	}
	for name := range timeParts {
		known[name] = modifier{asks: asNumber, with: []comparison{asNumber}}
	}
	for _, flag := range []string{"i", "m", "s"} {
		known[flag] = modifier{with: []comparison{asRegex}}
	}
	return known
}

var known = modifiersKnown()

var relations = map[string]Relation{"lt": LT, "lte": LTE, "gt": GT, "gte": GTE}

var timeParts = map[string]TimePart{"minute": Minute, "hour": Hour, "day": Day, "week": Week, "month": Month, "year": Year}

// timeRange is what a part of a date can be. An ISO year has up to 53 weeks.
var timeRange = map[TimePart][2]int64{Minute: {0, 59}, Hour: {0, 23}, Day: {1, 31}, Week: {1, 53}, Month: {1, 12}, Year: {0, 9999}}

// modifiers is what the chain after a field name says.
type modifiers struct {
	names    []string
	as       comparison
	all      bool
	negate   bool
	cased    bool
	affix    Affix // Whole where there is none
	relation Relation
	time     TimePart
	flags    string // of the regular expression
}

// String renders the chain as written.
func (m *modifiers) String() string { return strings.Join(m.names, "|") }

// readModifiers checks a chain of modifier names for what goes together.
func readModifiers(names []string, line int) (*modifiers, *Error) {
	m := &modifiers{names: names}
	asking := "" // the modifier that asked for the comparison
	for i, name := range names {
		spec, ok := known[name]
		if !ok {
			if lower := strings.ToLower(name); lower != name && known[lower].with != nil {
				return nil, errorf(line, "unknown modifier %q: modifiers are written in lower case, %q", name, lower)
			}
			return nil, errorf(line, "unknown modifier %q; known are all, base64, base64offset, cased, cidr, contains, day, endswith, exists, expand, fieldref, gt, gte, hour, lt, lte, minute, month, neq, re (with i, m, s), startswith, utf16, utf16be, utf16le, week, wide, windash, year", name)
		}
		for _, before := range names[:i] {
			if before == name && name != "base64" {
				return nil, errorf(line, "modifier %q stands twice", name)
			}
		}
		if spec.asks != asText {
			if m.as != asText && m.as != spec.asks {
				return nil, errorf(line, "modifier %q does not go with %q: a field is compared in one way", name, asking)
			}
			m.as, asking = spec.asks, name
		}
	}
	seenRegex := false
	for _, name := range names {
		fits := false
		for _, c := range known[name].with {
			fits = fits || c == m.as
		}
		flag := name == "i" || name == "m" || name == "s"
		switch {
		case flag && !seenRegex:
			return nil, errorf(line, "modifier %q is a flag of re and has to follow it", name)
		case !fits:
			return nil, errorf(line, "modifier %q does not go with %q", name, asking)
		case m.as == asRegex && known[name].do != nil && name != "expand" && !seenRegex:
			return nil, errorf(line, "modifier \"re\" cannot follow %q: it takes the value as it is written", name)
		}
		switch name {
		case "all":
			m.all = true
		case "neq":
			m.negate = true
		case "cased":
			m.cased = true
		case "re":
			seenRegex = true
		case "i", "m", "s":
			m.flags += name
		case "lt", "lte", "gt", "gte":
			if m.relation != EQ {
				return nil, errorf(line, "modifier %q: one comparison is possible per field; write the field twice for a range", name)
			}
			m.relation = relations[name]
		case "minute", "hour", "day", "week", "month", "year":
			if m.time != NoTime {
				return nil, errorf(line, "modifier %q: only one part of a date can be taken", name)
			}
			m.time = timeParts[name]
		case "contains", "startswith", "endswith":
			m.affix = m.affix.with(name)
		}
	}
	return m, nil
}

// with adds an affix: a text that both starts and ends anywhere is contained.
func (a Affix) with(name string) Affix {
	added := map[string]Affix{"contains": Contains, "startswith": StartsWith, "endswith": EndsWith}[name]
	if a == Whole || a == added {
		return added
	}
	return Contains
}

// scalar is a value on its way through the modifiers.
type scalar struct {
	node    *yaml.Node
	tag     string // !!str, !!int, !!float, !!bool, !!null
	raw     string // text as YAML gives it, wildcards unparsed
	pattern Pattern
	literal bool // pattern is set and raw no longer counts
	dash    bool
}

// pat returns the value as a pattern; what changes raw must not follow it.
func (s *scalar) pat() Pattern {
	if !s.literal {
		s.pattern, s.literal = ParsePattern(s.raw), true
	}
	return s.pattern
}

// values sends the written values through the chain of modifiers: each
// becomes one value, or several of which any may be met.
func (r *reader) values(m *modifiers, nodes []*yaml.Node, keyword bool) ([][]Value, *Error) {
	out := make([][]Value, 0, len(nodes))
	for _, n := range nodes {
		tag := n.ShortTag()
		switch tag {
		case "!!str", "!!int", "!!float", "!!bool", "!!null":
		default: // dates and whatever else YAML knows are text to Sigma
			tag = "!!str"
		}
		if len(n.Value) > maxValue {
			return nil, errorf(n.Line, "a value is longer than %d KiB", maxValue>>10)
		}
		list := []*scalar{{node: n, tag: tag, raw: n.Value}}
		for _, name := range m.names {
			do := known[name].do
			if do == nil || m.as != asText && name != "expand" {
				continue // affixes of other comparisons are seen to at their end
			}
			if tag == "!!null" {
				return nil, errorf(n.Line, "modifier %q cannot be applied to null", name)
			}
			next := make([]*scalar, 0, len(list))
			for _, s := range list {
				made, err := do(r, s)
				if err != nil {
					return nil, err
				}
				next = append(next, made...)
			}
			if list = next; len(list) > maxExpansion {
				return nil, errorf(n.Line, "modifiers make more than %d values of %q", maxExpansion, shorten(n.Value))
			}
		}
		values := make([]Value, 0, len(list))
		for _, s := range list {
			v, err := r.value(m, s, keyword)
			if err != nil {
				return nil, err
			}
			if r.room -= v.size(); r.room < 0 {
				return nil, errorf(n.Line, "the values of the document are more than %d MiB once modifiers are applied", maxRoom>>20)
			}
			values = append(values, v)
		}
		out = append(out, values)
	}
	return out, nil
}

// value turns a scalar that went through the chain into a value.
func (r *reader) value(m *modifiers, s *scalar, keyword bool) (Value, *Error) {
	v := Value{Line: s.node.Line, Text: s.node.Value, Cased: m.cased, Dash: s.dash}
	fail := func(format string, args ...any) (Value, *Error) { return v, errorf(s.node.Line, format, args...) }
	null := s.tag == "!!null"
	if null && m.as != asText {
		return fail("modifier %q cannot be applied to null", m)
	}
	if m.as != asText && m.as != asReference && s.literal {
		return fail("a placeholder without a value of its own cannot stand in %q", s.raw)
	}
	switch m.as {
	case asPresence:
		if s.tag != "!!bool" {
			return fail("modifier \"exists\" needs true or false, not %q", s.raw)
		}
		v.Op, v.Exists = OpExists, strings.EqualFold(s.raw, "true")
	case asNumber:
		n, ok := number(s)
		if !ok {
			return fail("modifier %q needs a number, not %q", m, s.raw)
		}
		if span := timeRange[m.time]; m.time != NoTime && m.relation == EQ && (!n.Integer || n.Int < span[0] || n.Int > span[1]) {
			return fail("modifier %q gives %d to %d: %s can never be met", m, span[0], span[1], s.raw)
		}
		v.Op, v.Number, v.Relation, v.Time = OpCompare, n, m.relation, m.time
	case asReference:
		if s.tag != "!!str" || s.raw == "" {
			return fail("modifier \"fieldref\" needs the name of a field, not %q", s.raw)
		}
		v.Op, v.Field, v.Affix = OpFieldRef, s.raw, m.affix
	case asRegex:
		expr, size, err := regex(s.raw, m.flags, m.affix)
		if err != nil {
			return fail("regular expression %q: %v", shorten(s.raw), err)
		}
		r.room -= size * int(unsafe.Sizeof(syntax.Inst{}))
		v.Op, v.Regex = OpRegex, expr
	case asNetwork:
		p, err := parseCIDR(s.raw)
		if err != nil {
			return fail("modifier \"cidr\": %v", err)
		}
		v.Op, v.CIDR = OpCIDR, p
	default:
		switch {
		case null && keyword:
			return fail("null cannot be searched as a keyword")
		case null:
			v.Op = OpNull
		case (s.tag == "!!int" || s.tag == "!!float") && !s.literal && !keyword:
			n, ok := number(s)
			if !ok {
				return fail("%q is not a usable number: put it in quotes to compare it as text", s.raw)
			}
			if n.Integer && s.tag == "!!int" && strconv.FormatInt(n.Int, 10) != s.raw {
				r.warn(s.node.Line, "%s without quotes is the number %d to YAML: put it in quotes to compare it as it is written", s.raw, n.Int)
			}
			v.Op, v.Number = OpNumber, n
		default:
			v.Pattern = s.pat()
			if keyword && m.affix == Whole {
				v.Pattern = v.Pattern.prependStar().appendStar()
			}
		}
	}
	return v, nil
}

// size is about how many bytes the value keeps.
func (v *Value) size() int {
	n := 64 + len(v.Regex) + len(v.Field)
	for _, p := range v.Pattern {
		n += len(p.Text) + 24
	}
	return n
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

func contains(_ *reader, s *scalar) ([]*scalar, *Error) {
	s.pattern = s.pat().prependStar().appendStar()
	return []*scalar{s}, nil
}

func startswith(_ *reader, s *scalar) ([]*scalar, *Error) {
	s.pattern = s.pat().appendStar()
	return []*scalar{s}, nil
}

func endswith(_ *reader, s *scalar) ([]*scalar, *Error) {
	s.pattern = s.pat().prependStar()
	return []*scalar{s}, nil
}

func windash(_ *reader, s *scalar) ([]*scalar, *Error) {
	s.pat()
	s.dash = true
	return []*scalar{s}, nil
}

// placeholder finds %name%, and the backslashes that keep a percent sign plain.
var placeholder = regexp.MustCompile(`\\\\|\\%|%[A-Za-z0-9_.\-]+%`)

// expand replaces %name% by the values the options hold for it. Every
// combination of the values of several placeholders is a value.
func expand(r *reader, s *scalar) ([]*scalar, *Error) {
	if s.literal {
		return nil, errorf(s.node.Line, "modifier \"expand\" has to come before the modifiers that change the text")
	}
	type part struct {
		raw  string
		name string // of a placeholder that stays
	}
	lists := [][]part{nil}
	add := func(options ...part) *Error {
		if len(lists)*len(options) > maxExpansion {
			return errorf(s.node.Line, "placeholders in %q make more than %d values", s.raw, maxExpansion)
		}
		next := make([][]part, 0, len(lists)*len(options))
		for _, l := range lists {
			for _, o := range options {
				next = append(next, append(l[:len(l):len(l)], o))
			}
		}
		lists = next
		return nil
	}
	last, stays := 0, false
	for _, at := range placeholder.FindAllStringIndex(s.raw, -1) {
		found := s.raw[at[0]:at[1]]
		if found == `\\` {
			continue
		}
		options := []part{{raw: "%"}}
		if found != `\%` {
			name := strings.Trim(found, "%")
			values := r.opts.Placeholders[name]
			options = options[:0]
			for _, v := range values {
				options = append(options, part{raw: v})
			}
			if len(values) == 0 {
				if !r.opts.KeepPlaceholders {
					return nil, errorf(s.node.Line, "placeholder %s has no values: give them in a file placeholders.yml of a rule folder, as %s: [value, …]", found, name)
				}
				options, stays = append(options, part{name: name}), true
			}
		}
		if err := add(part{raw: s.raw[last:at[0]]}); err != nil {
			return nil, err
		}
		if err := add(options...); err != nil {
			return nil, err
		}
		last = at[1]
	}
	if err := add(part{raw: s.raw[last:]}); err != nil {
		return nil, err
	}
	out := make([]*scalar, len(lists))
	for i, l := range lists {
		v := &scalar{node: s.node, tag: s.tag}
		for _, p := range l {
			if v.raw += p.raw; len(v.raw) > maxValue {
				return nil, errorf(s.node.Line, "placeholders make a value longer than %d KiB of %q", maxValue>>10, s.raw)
			}
		}
		if stays {
			v.literal = true
			run := ""
			for _, p := range l {
				if p.name == "" {
					run += p.raw
					continue
				}
				v.pattern = append(append(v.pattern, ParsePattern(run)...), Part{Wild: Placeholder, Text: p.name})
				run = ""
			}
			v.pattern = append(v.pattern, ParsePattern(run)...)
			v.raw = s.raw
		}
		out[i] = v
	}
	return out, nil
}

package naive_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
)

// world makes random rules and events out of the same pieces, so that they
// match often and literals begin, end and contain one another.
type world struct {
	*rand.Rand
	pieces []string
	fields []string
	sql    bool // only what SQLite can express, see peerLimits
}

// newWorld chooses the pieces of one program.
func newWorld(rng *rand.Rand) *world {
	w := &world{Rand: rng}
	w.fields = []string{"Image", "CommandLine", "a", "b.c", "EventID", "Größe", "with space"}[:3+rng.IntN(5)]
	base := []string{
		`C:\Windows\System32\cmd.exe`, "powershell.exe -enc", " -f ", "/c", "–x", "—―", "a", "B", "ab", "aba", "É", "straße", "ΣΟΦΟΣ", "ſK", "İı", "Ångström",
		"1", "10", "4688", "-3", "1.5", "1e3", "%name%", "*", "?", `\`, `\\host\share`, `\*`, "\t", "\n", "\r\n", "密码", "😀", "\u00a0", "user@example.org",
		"10.1.2.3", "::ffff:10.0.0.1", "fe80::1%eth0", "2001:db8::1", "2024-05-01T19:04:05Z", "2024-12-31", "23:59", "true", "null",
		"xxxxxxxx", "abcabcabcabd", "aaaaaaab", "the quick brown fox", "\xff\xfe", "é\xc3",
	}
	w.choose(base)
	return w
}

// newSQLWorld chooses pieces of ASCII for rules that SQLite can answer.
func newSQLWorld(rng *rand.Rand) *world {
	w := &world{Rand: rng, sql: true, fields: []string{"Image", "CommandLine", "a", "b.c", "EventID", "with space"}}
	w.choose([]string{
		`C:\Windows\System32\cmd.exe`, "powershell.exe -enc", " -f ", "/c", "a", "B", "ab", "aba", "1", "10", "4688", "-3", "%name%", "100%", "a_b", "*", "?", `\`, `\\host\share`,
		`\*`, "[x]", "it's", `"quoted"`, "user@example.org", "xxxxxxxx", "abcabcabcabd", "aaaaaaab", "the quick brown fox",
	})
	return w
}

// choose takes some of the pieces, parts of them and compositions.
func (w *world) choose(base []string) {
	rng := w.Rand
	for range 6 + rng.IntN(10) {
		w.pieces = append(w.pieces, pick(w, base))
	}
	if rng.IntN(4) == 0 {
		w.pieces = append(w.pieces, strings.Repeat(pick(w, base), 1+rng.IntN(300)))
	}
	// Parts and compositions of what is there already.
	for range 6 {
		p := pick(w, w.pieces)
		switch rng.IntN(3) {
		case 0:
			p = p[:boundary(p, rng.IntN(len(p)+1))]
		case 1:
			p = p[boundary(p, rng.IntN(len(p)+1)):]
		default:
			p += pick(w, w.pieces)
		}
		if p != "" {
			w.pieces = append(w.pieces, p)
		}
	}
}

// boundary moves an index to the beginning of a character.
func boundary(s string, i int) int {
	for i < len(s) && i > 0 && s[i]&0xC0 == 0x80 {
		i--
	}
	return i
}

func pick[T any](w *world, list []T) T { return list[w.IntN(len(list))] }

func (w *world) chance(of int) bool { return w.IntN(of) == 0 }

// text is a plain text: one piece, some in a row, or none.
func (w *world) text() string {
	s := ""
	for range []int{1, 1, 1, 1, 0, 2, 3}[w.IntN(7)] {
		s += pick(w, w.pieces)
	}
	switch w.IntN(8) {
	case 0:
		s = strings.ToUpper(s)
	case 1:
		s = strings.ToLower(s)
	}
	return s
}

// valid is a text that a YAML file can hold.
func (w *world) valid() string { return strings.ToValidUTF8(w.text(), "\uFFFD") }

// written is a text with wildcards and escapes as a rule writes it.
func (w *world) written() string {
	s := w.valid()
	if w.chance(3) {
		// The text means itself.
		s = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`).Replace(s)
	}
	for w.chance(4) {
		at := boundary(s, w.IntN(len(s)+1))
		s = s[:at] + pick(w, []string{"*", "?", "*", `\*`, `\\`, `\?`, `\`, "**", "*?", "??"}) + s[at:]
	}
	return s
}

// keyword is a text to be searched. SQLite has one text of all values, in which
// wildcards could reach from one value into the next.
func (w *world) keyword() string {
	if w.sql {
		return strings.NewReplacer("*", "x", "?", "y").Replace(w.valid() + "e")
	}
	return w.written()
}

// list writes some values, now and then many.
func (w *world) list(value func() string) []string {
	n := []int{1, 1, 1, 2, 2, 3, 3, 5, 9, 40}[w.IntN(10)]
	var out []string
	for range n {
		out = append(out, value())
	}
	return out
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// item writes a field's modifiers and its values.
func (w *world) item(keyword bool) (modifiers string, values []string) {
	text := func() string { return quoted(w.written()) }
	logic := func() {
		if w.chance(4) {
			modifiers += "|all"
		}
		if w.chance(6) {
			modifiers += "|neq"
		}
	}
	kind := w.IntN(20)
	if keyword && kind >= 14 {
		kind -= 10
	}
	if w.sql {
		kind = pick(w, []int{0, 2, 6, 6, 6, 6, 16, 17, 18, 18})
		if keyword {
			kind, text = 6, func() string { return quoted(w.keyword()) }
		}
	}
	switch kind {
	case 0: // encodings
		value := func() string {
			// A wildcard cannot be encoded.
			return quoted(strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`).Replace(w.valid() + "xyz"))
		}
		wide := "|utf16le"
		if w.sql {
			wide = "|wide" // pySigma knows this name only
		}
		modifiers = pick(w, []string{"|wide", wide, "|utf16be", "|utf16", ""}) + pick(w, []string{"|base64", "|base64offset"})
		if w.chance(5) && !w.sql {
			modifiers = "|windash" + modifiers
			value = func() string { return quoted(pick(w, []string{"-a", " /c ", "x–", "a b"})) }
		}
		modifiers += pick(w, []string{"|contains", "|contains", "", "|startswith", "|endswith"})
		values = w.list(value)
	case 1: // UTF-16 bare: of ASCII, beyond which the bytes are no text
		modifiers = pick(w, []string{"|wide", "|utf16be", "|contains|wide", "|utf16le|startswith"})
		values = w.list(func() string { return quoted(pick(w, []string{"a", "ab", "Cmd*", "x y"})) })
	case 2, 3:
		modifiers = "|re"
		for _, f := range []string{"|i", "|m", "|s"} {
			if w.chance(3) {
				modifiers += f
			}
		}
		if !w.sql { // pySigma forgets the edge
			modifiers += pick(w, []string{"", "", "", "", "|startswith", "|endswith", "|contains"})
		}
		values = w.list(func() string { return quoted(w.regex(0)) })
	case 4:
		modifiers = "|cidr"
		values = w.list(func() string {
			return pick(w, []string{"10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "'::/0'", "'fe80::/10'", "'2001:db8::/32'", "10.1.2.0/31", "'::1'", "'::ffff:0:0/96'"})
		})
	case 5:
		modifiers = "|expand"
		if w.chance(2) {
			modifiers += pick(w, []string{"|contains", "|windash", "|startswith|cased", "|base64"})
		}
		values = w.list(func() string {
			return quoted(pick(w, []string{"%one%", "x%two%", "%two%%two%", `\%one%`, `\%x%one%y`, "100%", w.valid()}))
		})
		if strings.Contains(modifiers, "base64") {
			values = []string{`"%one%"`, `"%two%"`}
		}
	case 6, 7, 8, 9, 10, 11, 12, 13: // texts
		affix := pick(w, []string{"", "|contains", "|contains", "|startswith", "|endswith"})
		for _, m := range []string{"|windash", "|cased", affix} {
			if m == "|windash" && w.sql || m == affix && w.sql && keyword {
				continue // pySigma changes fewer dashes, and its keywords stand anywhere
			}
			if m == affix || w.chance(5) {
				if w.chance(2) {
					modifiers += m
				} else {
					modifiers = m + modifiers
				}
			}
		}
		values = w.list(text)
	case 14:
		modifiers = pick(w, []string{"|lt", "|lte", "|gt", "|gte"})
		values = w.list(w.number)
	case 15:
		modifiers = pick(w, []string{"|minute", "|hour", "|day", "|week", "|month", "|year"}) + pick(w, []string{"", "|lt", "|gte", "|lte", "|gt"})
		values = w.list(func() string { return pick(w, []string{"0", "1", "4", "5", "12", "19", "59", "2024"}) })
	case 16:
		modifiers, values = "|exists", []string{pick(w, []string{"true", "false"})}
		if w.chance(5) {
			modifiers += "|neq"
		}
		return modifiers, values
	case 17:
		modifiers = "|fieldref"
		for _, m := range []string{"|contains", "|startswith", "|endswith", "|cased"} {
			if w.sql && (m == "|cased" || modifiers != "|fieldref") {
				continue // pySigma takes one affix, after fieldref
			}
			if w.chance(4) {
				if w.chance(2) || w.sql {
					modifiers += m
				} else {
					modifiers = m + modifiers
				}
			}
		}
		values = w.list(func() string { return quoted(pick(w, w.fields)) })
	default: // numbers, booleans, null and texts beside one another
		values = w.list(func() string {
			switch k := w.IntN(5); {
			case k == 0 && w.sql:
				return pick(w, []string{"null", `""`})
			case k == 0:
				return pick(w, []string{"null", "true", "false", `""`, "''"})
			case k < 3 && w.sql:
				return pick(w, []string{"1", "10", "4688", "-3"})
			case k < 3:
				return w.number()
			}
			return text()
		})
	}
	logic()
	return modifiers, values
}

func (w *world) number() string {
	return pick(w, []string{"1", "10", "4688", "-3", "1.5", "0", "0x10", "1000", "9007199254740993", "9007199254740992", "-1.5e3", "1_000", "18446744073709551616"})
}

// regex writes an expression that is often met.
func (w *world) regex(depth int) string {
	literal := func() string { return regexp.QuoteMeta(w.valid()) }
	if depth > 2 {
		return literal()
	}
	switch w.IntN(12) {
	case 0:
		return "^" + w.regex(depth+1)
	case 1:
		return w.regex(depth+1) + "$"
	case 2:
		return w.regex(depth+1) + ".*" + w.regex(depth+1)
	case 3:
		return "(" + w.regex(depth+1) + "|" + w.regex(depth+1) + ")"
	case 4:
		return "(?:" + w.regex(depth+1) + ")" + pick(w, []string{"?", "*", "+", "{2}", "{0,3}"})
	case 5:
		return pick(w, []string{"[a-z]", "[^a-z]", `\d+`, `\s`, `\w{2,}`, ".", `[\x41-\x5a]+`, `\b`, "[éÉ]", "[k-s]"})
	case 6:
		return w.regex(depth+1) + "|" + literal()
	case 7:
		return literal() + pick(w, []string{"?", "*", "+"})
	case 8:
		if !w.sql { // Python takes flags at the beginning only
			return "(?i)" + literal()
		}
	}
	return literal()
}

// rule writes a rule with one value on a line, so that lines can be left out.
func (w *world) rule() string {
	var b strings.Builder
	b.WriteString("title: x\nid: x\nlogsource:\n")
	fmt.Fprintf(&b, "  product: %s\n", pick(w, []string{"windows", "linux", "unknown"}))
	if w.chance(2) {
		fmt.Fprintf(&b, "  category: %s\n", pick(w, []string{"process_creation", "file_event"}))
	}
	if w.chance(3) {
		fmt.Fprintf(&b, "  service: %s\n", pick(w, []string{"security", "sysmon"}))
	}
	b.WriteString("detection:\n")
	var names []string
	for i := range 1 + w.IntN(4) {
		name := pick(w, []string{"sel_", "filter_", "_own_"}) + string(rune('a'+i))
		names = append(names, name)
		fmt.Fprintf(&b, "  %s:\n", name)
		switch w.IntN(6) {
		case 0: // keywords
			for _, v := range w.list(func() string { return quoted(w.keyword()) }) {
				fmt.Fprintf(&b, "    - %s\n", v)
			}
		case 1: // a list of maps, keywords and lists
			for range 1 + w.IntN(3) {
				switch w.IntN(5) {
				case 0:
					fmt.Fprintf(&b, "    - %s\n", quoted(w.keyword()))
				case 1:
					b.WriteString("    -\n")
					w.fieldsOf(&b, "      - ", "        ")
				default:
					b.WriteString("    -\n")
					w.fieldsOf(&b, "      ", "      ")
				}
			}
		default:
			w.fieldsOf(&b, "    ", "    ")
		}
	}
	if w.chance(10) {
		fmt.Fprintf(&b, "  condition:\n    - %s\n    - %s\n", w.condition(names, 0), w.condition(names, 0))
	} else {
		fmt.Fprintf(&b, "  condition: %s\n", w.condition(names, 0))
	}
	return b.String()
}

// fieldsOf writes a map.
func (w *world) fieldsOf(b *strings.Builder, first, indent string) {
	used := map[string]bool{}
	for i := range 1 + w.IntN(3) {
		field := pick(w, w.fields)
		if w.chance(10) {
			field = ""
		}
		modifiers, values := w.item(field == "")
		if used[field+modifiers] {
			continue
		}
		used[field+modifiers] = true
		lead := indent
		if i == 0 {
			lead = first
		}
		fmt.Fprintf(b, "%s%s:\n", lead, quoted(field+modifiers))
		for _, v := range values {
			fmt.Fprintf(b, "%s  - %s\n", indent, v)
		}
	}
}

func (w *world) condition(names []string, depth int) string {
	name := pick(w, names)
	switch k := w.IntN(11); {
	case depth > 3 || k < 3:
		return name
	case k == 3:
		return "not " + w.condition(names, depth+1)
	case k == 4:
		return w.condition(names, depth+1) + " and " + w.condition(names, depth+1)
	case k == 5:
		return w.condition(names, depth+1) + " or " + w.condition(names, depth+1)
	case k == 6:
		return "(" + w.condition(names, depth+1) + " or not " + w.condition(names, depth+1) + ")"
	case k == 7:
		return "(" + w.condition(names, depth+1) + ") and not (" + w.condition(names, depth+1) + ")"
	case k == 8:
		return pick(w, []string{"all", "1", "any", "all"}) + " of " + name[:strings.LastIndex(name, "_")+1] + "*"
	case k == 9 && !strings.HasPrefix(name, "_"):
		return pick(w, []string{"all", "1"}) + " of them"
	}
	n := 0
	for _, other := range names {
		if !strings.HasPrefix(other, "_") {
			n++
		}
	}
	if n < 2 || w.sql {
		return name
	}
	return fmt.Sprintf("%d OF *_*", 1+w.IntN(n))
}

// event makes an event of the same pieces and of what the rules' values may
// stand for.
func (w *world) event() sample {
	var s sample
	if w.sql {
		for _, name := range w.fields {
			if w.chance(2) {
				s.values = append(s.values, named{name, pick(w, []any{w.text(), w.text(), w.text() + w.text(), json.Number("4688"), json.Number("-3")})})
			}
		}
		return s
	}
	for range w.IntN(8) {
		name := pick(w, w.fields)
		if w.chance(12) {
			name = "unknown to the rules"
		}
		for range []int{1, 1, 1, 2, 3}[w.IntN(5)] {
			s.values = append(s.values, named{name, w.value()})
		}
	}
	for _, f := range []string{"Channel", "Kind", "Service", "winlog.channel", "event.code", "event.module"} {
		if w.chance(3) {
			s.values = append(s.values, named{f, pick(w, []any{"Security", "sysmon/operational", "windows", "WINDOWS", "linux", "linux_audit", "unknown.log", "file", "process 1", json.Number("4688"), "11", "generic", "json", "", nil})})
		}
	}
	w.Shuffle(len(s.values), func(i, j int) { s.values[i], s.values[j] = s.values[j], s.values[i] })
	if w.chance(5) {
		s.raw = strings.TrimLeft(w.text(), "{")
		if w.chance(2) { // the message behind a head, or alone
			message := w.text()
			s.raw = strings.TrimLeft(pick(w, []string{"", s.raw})+message, "{")
			s.values = append(s.values, named{"message", message})
		}
	}
	return s
}

func (w *world) value() any {
	switch w.IntN(14) {
	case 0:
		return nil
	case 1:
		return json.Number(pick(w, []string{"1", "10", "4688", "1.5", "-3", "1e3", "9007199254740993", "1.0", "16", "-1500", "100000000000000000000"}))
	case 2:
		return w.chance(2)
	case 3: // encoded
		raw := w.text()
		if w.chance(2) {
			var b []byte
			for _, u := range utf16.Encode([]rune(raw)) {
				b = append(b, byte(u), byte(u>>8))
			}
			raw = string(b)
		}
		return base64.StdEncoding.EncodeToString([]byte(raw))
	case 4:
		return pick(w, []string{"10.1.2.3", "::ffff:10.0.0.1", "fe80::1%eth0", "10.1.2.3x", "2001:db8::ff", "::ffff:10.1.2.2%lo", "::1", "010.1.2.3"})
	case 5:
		return pick(w, []string{"2024-05-01T19:04:05Z", "2024-05-01 19:04:05.123", "2024-12-31", "19:04", "1/5/2024 0:59:00", "Wed, 01 May 2024 12:00:00 GMT", "2024-05-01T00:00:00+0200", "no date"})
	case 6: // letters that fold in ways of their own
		return strings.Map(func(r rune) rune {
			if w.chance(3) {
				return unicode.SimpleFold(r)
			}
			return r
		}, w.text())
	case 7: // something around it
		return w.text() + pick(w, w.pieces) + w.text()
	case 8:
		return strings.NewReplacer("-", "/", "/", "―").Replace(w.text())
	}
	return w.text()
}

// placeholders are the values for the modifier expand.
var placeholders = map[string][]string{"one": {"a"}, "two": {"B", "cmd*", "1"}}

// routing is a table for the log sources of the rules above.
const routing = `
fields:
  channel: [Channel, winlog.channel]
  id: [EventID, event.code]
named: [linux, unknown]
unspecific:
  Channel: [json]
  event.module: [generic]
logsources:
  - product: windows
    any:
      - channel: [Security, 'sysmon/*']
      - Kind: windows
  - {product: windows, service: sysmon, any: [{channel: 'Sysmon/*'}]}
  - {service: security, trust: true, any: [{Service: security}, {channel: security, Kind!: windows}]}
  - {product: linux, any: [{Kind: linux}, {Channel!: '*', Service: linux}]}
  - {category: process_creation, any: [{id: [1, 4688]}, {Kind: 'process ?'}]}
  - {product: windows, category: file_event, any: [{id: 11, channel!: '*sysmon*'}, {Kind: file}]}
`

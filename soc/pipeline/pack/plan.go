package pack

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"icewatch/soc/event"
)

// timeName is the name of the capture that gives the event's time.
const timeName = "@timestamp"

// Writer takes what a match makes of a line. Its owner is the parser, which
// knows what the event has already.
type Writer interface {
	// Put fills a field: the first value that a pack gives counts.
	Put(id event.FieldID, kind event.Kind, value string)
	// Add gives a field one more value of several.
	Add(id event.FieldID, value string)
	// Given tells whether the present pack has filled the field.
	Given(id event.FieldID) bool
	// Named returns the value of a field that was read before.
	Named(id event.FieldID) string
	// Pair takes a pair of a text of pairs as a field of its name behind prefix.
	Pair(prefix, name, value string)
	// Request takes a line METHOD TARGET HTTP/VERSION.
	Request(line string)
	// Time takes the event's time; layout is Go's, "" for the usual forms.
	Time(text, layout string)
	// Invalid is told of a value that cannot be what its field holds.
	Invalid(id event.FieldID, value string)
}

// plan is what becomes of the parts of a line.
type plan struct {
	numbers []bool // by capture: it holds a number
	moves   []move
	choices []choice
	set     []constant
	common  []constant
	times   []ref
	layout  string
	zone    string // behind the time's text
}

// ref is a part of a line: a capture or, with slot -1, a field.
type ref struct {
	slot int
	id   event.FieldID
}

type target struct {
	id         event.FieldID
	ip, domain event.FieldID // of an address
	number     bool
	address    bool // only an IP address will do
	named      bool // an IP address will not do
	line       bool // a request line
}

type move struct {
	from []ref
	as   func(string) string
	to   target
}

type choice struct {
	on    []ref // the first that has a value
	cases map[string][]constant
	other []constant
}

type constant struct {
	to    target
	value string
}

// Apply writes what the match found.
func (m *Match) Apply(w Writer) {
	l := m.Log
	if l.pairs != nil {
		l.pairs.each(m.values[l.pairs.slot], w)
	}
	p := &l.plan
	if text := m.timeText(w); text != "" {
		w.Time(text+p.zone, p.layout)
	}
	for i := range p.moves {
		mv := &p.moves[i]
		for _, from := range mv.from {
			v := m.value(from, w)
			switch v {
			case "", "-", "?", "N/A", "(null)":
				continue // What programs write for nothing.
			}
			if mv.as != nil {
				if v = mv.as(v); v == "" {
					continue
				}
			}
			mv.to.put(v, w)
			break
		}
	}
	for i := range p.choices {
		c := &p.choices[i]
		v := ""
		for _, r := range c.on {
			if v = m.value(r, w); v != "" {
				break
			}
		}
		set, ok := c.cases[v]
		if !ok && v != "" {
			set = c.other
		}
		constants(set, w)
	}
	constants(p.set, w)
	constants(p.common, w)
}

func (m *Match) value(r ref, w Writer) string {
	if r.slot >= 0 {
		return m.values[r.slot]
	}
	return w.Named(r.id)
}

func (m *Match) timeText(w Writer) string {
	switch times := m.Log.plan.times; len(times) {
	case 0:
		return ""
	case 1:
		return m.value(times[0], w)
	default:
		text := m.value(times[0], w)
		for _, r := range times[1:] {
			text += " " + m.value(r, w)
		}
		return text
	}
}

// put writes a value where it can be what the field holds.
func (t *target) put(v string, w Writer) {
	switch {
	case t.line:
		w.Request(v)
	case t.ip != 0:
		w.Put(t.id, event.String, v)
		if isIP(v) {
			w.Put(t.ip, event.String, v)
		} else {
			w.Put(t.domain, event.String, v)
		}
	case t.address && !isIP(v), t.number && !isNumber(v):
		w.Invalid(t.id, v)
	case t.named && isIP(v):
	case t.number:
		w.Put(t.id, event.Number, v)
	default:
		w.Put(t.id, event.String, v)
	}
}

// constants writes fixed values; several of one field follow each other.
func constants(set []constant, w Writer) {
	for i := 0; i < len(set); {
		n := i + 1
		for n < len(set) && set[n].to.id == set[i].to.id {
			n++
		}
		if !w.Given(set[i].to.id) {
			set[i].to.put(set[i].value, w)
			for _, c := range set[i+1 : n] {
				w.Add(c.to.id, c.value)
			}
		}
		i = n
	}
}

// conversion is what `as` names.
func conversion(as string) (func(string) string, error) {
	switch as {
	case "":
		return nil, nil
	case "lower":
		return strings.ToLower, nil
	case "upper":
		return strings.ToUpper, nil
	case "seconds":
		return func(s string) string { return scale(s, 1e9) }, nil
	case "milliseconds":
		return func(s string) string { return scale(s, 1e6) }, nil
	case "microseconds":
		return func(s string) string { return scale(s, 1e3) }, nil
	case "kilobytes":
		return func(s string) string { return scale(s, 1024) }, nil
	case "hex":
		return func(s string) string {
			n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(s), "0x"), 16, 63)
			if err != nil {
				return ""
			}
			return strconv.FormatUint(n, 10)
		}, nil
	case "integer": // without zeros in front
		return func(s string) string {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return ""
			}
			return strconv.FormatInt(n, 10)
		}, nil
	case "basename":
		return func(s string) string { return s[strings.LastIndexAny(s, `/\`)+1:] }, nil
	case "name": // without the dot at the end of a domain
		return func(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }, nil
	case "ip": // of address:port, [address]:port, address:port:interface or ::ffff:address
		return func(s string) string { host, _ := split(s); return host }, nil
	case "port":
		return func(s string) string { _, port := split(s); return port }, nil
	case "unhex":
		return unhex, nil
	}
	return nil, fmt.Errorf("as %q: it is lower, upper, seconds, milliseconds, microseconds, kilobytes, hex, integer, basename, name, ip, port or unhex", as)
}

// scale multiplies a count, as a whole number.
func scale(s string, by float64) string {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f*by) > 9e18 {
		return ""
	}
	return strconv.FormatInt(int64(math.Round(f*by)), 10)
}

// split parts an address from the port behind it.
func split(s string) (host, port string) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, port, _ = strings.Cut(rest, "]")
		return host, strings.TrimPrefix(port, ":")
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.IndexByte(s, ':') == i {
		return s[:i], s[i+1:]
	}
	if i := strings.IndexByte(s, ':'); i > 0 && strings.IndexByte(s[:i], '.') > 0 && isIP(s[:i]) {
		port, _, _ = strings.Cut(s[i+1:], ":") // address:port:interface, as SonicOS has it
		return s[:i], port
	}
	host = s
	if rest, ok := strings.CutPrefix(s, "::ffff:"); ok && isIP(rest) {
		host = rest
	}
	return host, ""
}

// unhex reads text that auditd writes as hexadecimal digits; other text stays.
func unhex(s string) string {
	if len(s)%2 != 0 || len(s) < 4 {
		return s
	}
	b := make([]byte, len(s)/2)
	for i := range b {
		n, err := strconv.ParseUint(s[2*i:2*i+2], 16, 8)
		if err != nil {
			return s
		}
		if b[i] = byte(n); n == 0 {
			b[i] = ' '
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

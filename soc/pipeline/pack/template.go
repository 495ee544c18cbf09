package pack

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// codeMark stands in a template for the log's code.
const codeMark = "$code"

// expand gives a log what the templates that it uses say, in their order; what
// the log says itself comes last and wins, and maps are merged by key.
func (d *logDocument) expand(doc *document) (*logDocument, error) {
	if len(d.Use) == 0 && d.Head == "" && len(d.Code) == 0 {
		return d, nil
	}
	out := &logDocument{}
	for _, name := range d.Use {
		t, ok := doc.Templates[name]
		if !ok {
			return nil, fmt.Errorf("use: the pack has no template %q; it has %s", name, strings.Join(sorted(doc.Templates), ", "))
		}
		if len(t.Use) > 0 || len(t.Code) > 0 {
			return nil, fmt.Errorf("template %q: use and code are a log's, not a template's", name)
		}
		out.merge(&t)
	}
	out.merge(d)
	if len(out.Code) == 0 && (out.Head != "" || out.mentionsCode()) {
		return nil, fmt.Errorf("code is wanted: what it uses has %s", codeMark)
	}
	for name, values := range out.When {
		if slices.Contains(values, codeMark) {
			out.When[name] = out.Code
		}
	}
	for _, c := range out.Code {
		if c == "" || strings.ContainsAny(c, "|{}") {
			return nil, fmt.Errorf("code %q: a word without |, { and } was expected", c)
		}
	}
	if out.Head != "" {
		if len(out.Pattern) == 0 {
			return nil, fmt.Errorf("head goes with pattern")
		}
		head := strings.ReplaceAll(out.Head, codeMark, strings.Join(out.Code, "|"))
		patterns := make(list, 0, len(out.Pattern))
		for _, p := range out.Pattern {
			patterns = append(patterns, head+p)
		}
		out.Pattern = patterns
	}
	return out, nil
}

func (d *logDocument) mentionsCode() bool {
	for _, values := range d.When {
		if slices.Contains(values, codeMark) {
			return true
		}
	}
	return false
}

// merge takes over what o says.
func (d *logDocument) merge(o *logDocument) {
	for _, f := range []struct {
		to   *string
		from string
	}{{&d.Name, o.Name}, {&d.Dataset, o.Dataset}, {&d.BuiltIn, o.BuiltIn}, {&d.Format, o.Format}, {&d.Head, o.Head}} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	for _, f := range []struct {
		to   *list
		from list
	}{{&d.Programs, o.Programs}, {&d.Anchors, o.Anchors}, {&d.Pattern, o.Pattern}, {&d.Regexp, o.Regexp}, {&d.Code, o.Code}} {
		if len(f.from) > 0 {
			*f.to = f.from
		}
	}
	if o.Priority != 0 {
		d.Priority = o.Priority
	}
	if o.CSV != nil {
		d.CSV = o.CSV
	}
	if o.Pairs != nil {
		d.Pairs = o.Pairs
	}
	if o.Time != nil {
		d.Time = o.Time
	}
	d.When = merged(d.When, o.When)
	d.Where = merged(d.Where, o.Where)
	d.Fields = merged(d.Fields, o.Fields)
	d.Set = merged(d.Set, o.Set)
	for part, cases := range o.Switch {
		d.Switch = merged(d.Switch, map[string]switchDocument{part: merged(d.Switch[part], cases)})
	}
	d.Risk.merge(o.Risk)
	d.Level.merge(o.Level)
}

// merged is a with what b has, in a map of its own.
func merged[M ~map[string]V, V any](a, b M) M {
	if len(b) == 0 {
		return a
	}
	out := make(M, len(a)+len(b))
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

// opening is the beginning that the messages of a catalogue share. It is sought
// once for all of them, and the code in it says which of them are tried.
type opening struct {
	reader *pattern
	slot   int // of the code
	names  int
	sought bool
	logs   map[string][]*Log // by code, in the order of their rank
}

// headKind is a code: the shortest text up to what follows it in the head.
var headKind = &kind{name: "code", bytes: func(c byte) bool { return c >= ' ' }}

// compileHead reads a head: a pattern in which one {name=$code} is the code.
func compileHead(src string, types map[string]*kind) (*opening, error) {
	if strings.Count(src, "="+codeMark+"}") != 1 {
		return nil, fmt.Errorf("head %q: one {name=%s} was expected in it, where the code stands", src, codeMark)
	}
	known := map[string]*kind{headKind.name: headKind}
	for name, k := range types {
		known[name] = k
	}
	const mark = "\x00"
	h := &opening{slot: -1, logs: map[string][]*Log{}}
	var names []string
	marked := strings.Replace(src, "="+codeMark+"}", mark+":"+headKind.name+"}", 1) + "{:rest}" // what follows
	p, err := compilePattern(marked, known, func(name string, _ *kind) (int, error) {
		if name == "" || name == "_" {
			return -1, nil
		}
		if len(names) == maxCaptures {
			return 0, fmt.Errorf("head %q: it has more than %d captures", src, maxCaptures)
		}
		if strings.HasSuffix(name, mark) {
			h.slot = len(names)
		}
		names = append(names, name)
		return len(names) - 1, nil
	})
	if err != nil {
		return nil, err
	}
	h.reader, h.names = p, len(names)
	return h, nil
}

// text recognises a message by the head and then by the logs of its code.
func (h *opening) text(text string, m *Match) bool {
	clear(m.values[:h.names])
	if !h.reader.read(text, m) {
		return false
	}
	for _, l := range h.logs[m.values[h.slot]] {
		if l.text(text, m) {
			return true
		}
	}
	return false
}

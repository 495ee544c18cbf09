package pack

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"icewatch/soc/event"
)

// Formats of records whose parts have names: code reads them, packs say what
// the names mean.
const (
	JSON = "json"
	KV   = "kv"
	CEF  = "cef"
	LEEF = "leef"
	W3C  = "w3c" // logs that name their columns: W3C extended, Zeek

	anyFormat = "any"
)

// minAnchor is how short an anchor may be.
const minAnchor = 3

// Compile reads the packs of the sources and makes a set of those that are
// sound, in which the fields are those of reg. What is wrong is told, and the
// rest is in force.
func Compile(sources []Source, reg *event.Registry) (*Set, []Problem) {
	docs, problems := read(sources)
	s := &Set{programs: map[string][]*Log{}, members: map[event.FieldID]*member{}, datasets: map[string]*Log{}, byID: map[string]*Log{}}
	c := compiler{reg: reg, types: kinds()}
	for _, doc := range docs {
		c.heads, c.prefixes = map[string]*opening{}, doc.Prefixes
		info := Info{ID: doc.id, Vendor: doc.Vendor, Product: doc.Product, Module: doc.Module, Class: doc.Class, Reference: doc.Reference, Source: doc.source}
		for i := range doc.Logs {
			l, err := c.log(doc, &doc.Logs[i])
			if err == nil && s.byID[l.ID] != nil {
				err = errors.New("another log of the pack has this name")
			}
			if err != nil {
				problems = append(problems, Problem{Path: doc.file, Line: doc.line(i), Reason: fmt.Sprintf("log %q: %v", doc.Logs[i].Name, err)})
				continue
			}
			s.byID[l.ID] = l
			s.logs = append(s.logs, l)
			info.Logs = append(info.Logs, l.LogInfo)
		}
		s.packs = append(s.packs, info)
	}
	if err := s.index(); err != nil {
		problems = append(problems, Problem{Reason: err.Error()})
	}
	return s, problems
}

type compiler struct {
	reg      *event.Registry
	types    map[string]*kind
	heads    map[string]*opening // of the pack
	prefixes list                // of the names of the fields that the pack reads
}

func (c *compiler) log(doc *document, d *logDocument) (*Log, error) {
	if d.Name == "" || strings.ContainsAny(d.Name, "/ ") {
		return nil, errors.New("name is wanted, a word without / and blanks")
	}
	d, err := d.expand(doc)
	if err != nil {
		return nil, err
	}
	l := &Log{Pack: doc.id, Module: doc.Module, priority: d.Priority, programs: d.Programs}
	l.LogInfo = LogInfo{ID: doc.id + "/" + d.Name, Name: d.Name, Dataset: doc.Module + "." + cmp.Or(d.Dataset, "log")}
	if d.BuiltIn != "" {
		l.Dataset, l.LogInfo.BuiltIn = d.BuiltIn, true
		return l, nil
	}
	if err := c.recognise(l, d); err != nil {
		return nil, err
	}
	if err := c.plan(l, doc, d); err != nil {
		return nil, err
	}
	return l, nil
}

// slot returns the place of a capture, -1 for those that keep nothing.
func (l *Log) slot(name string, k *kind) (int, error) {
	if name == "" || name == "_" {
		return -1, nil
	}
	if i := slices.Index(l.names, name); i >= 0 {
		l.plan.numbers[i] = l.plan.numbers[i] && k.number
		return i, nil
	}
	if len(l.names) == maxCaptures {
		return 0, fmt.Errorf("it has more than %d captures", maxCaptures)
	}
	l.names = append(l.names, name)
	l.plan.numbers = append(l.plan.numbers, k.number)
	return len(l.names) - 1, nil
}

// recognise compiles how lines of the log are told from others.
func (c *compiler) recognise(l *Log, d *logDocument) (err error) {
	ways := 0
	for _, has := range []bool{len(d.Pattern) > 0, len(d.Regexp) > 0, d.CSV != nil, len(d.When) > 0} {
		if has {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("it wants one of pattern, regexp, csv, when (with format), or builtin")
	}
	l.anchors = d.Anchors
	if d.Head != "" {
		if len(d.Anchors) == 0 && len(d.Programs) == 0 {
			return errors.New("head: it wants anchors or programs, by which all messages of it are found")
		}
		if l.head = c.heads[d.Head]; l.head == nil {
			if l.head, err = compileHead(d.Head, c.types); err != nil {
				return err
			}
			c.heads[d.Head] = l.head
		}
		l.codes = d.Code
	}
	for _, src := range d.Pattern {
		p, err := compilePattern(src, c.types, l.slot)
		if err != nil {
			return err
		}
		l.readers = append(l.readers, p)
		if len(d.Anchors) == 0 && len(d.Programs) == 0 {
			a := p.longest()
			if len(a) < minAnchor {
				return fmt.Errorf("pattern %q: no literal of it has %d letters: give anchors or programs", src, minAnchor)
			}
			l.anchors = append(l.anchors, a)
		} else {
			// Anchors such as " INFO " are in many lines: whether the pattern's own
			// words are there, is known faster than whether all of it fits.
			p.need = p.longest()
		}
	}
	for _, src := range d.Regexp {
		r, err := compileRegexp(src, func(name string) (int, error) { return l.slot(name, c.types["text"]) })
		if err != nil {
			return err
		}
		l.readers = append(l.readers, r)
	}
	if d.CSV != nil {
		r, err := compileCSV(d.CSV, func(name string) (int, error) { return l.slot(name, c.types["text"]) })
		if err != nil {
			return err
		}
		l.readers = append(l.readers, r)
	}
	if len(d.When) > 0 {
		return c.conditions(l, d)
	}
	if len(l.anchors) == 0 && len(l.programs) == 0 {
		return errors.New("it wants anchors (texts that every line has) or programs: a regular expression or a CSV line is not tried on every line")
	}
	for _, a := range l.anchors {
		if len(a) < minAnchor {
			return fmt.Errorf("anchor %q: it wants %d letters at least", a, minAnchor)
		}
	}
	for _, name := range sorted(d.Where) {
		i := slices.Index(l.names, name)
		if i < 0 {
			return fmt.Errorf("where: nothing captures %q", name)
		}
		l.where = append(l.where, whereTerm{i, given(d.Where[name])})
	}
	if d.Pairs != nil {
		i := slices.Index(l.names, d.Pairs.Of)
		if i < 0 {
			return fmt.Errorf("pairs: nothing captures %q", d.Pairs.Of)
		}
		l.pairs = &Pairs{Separator: cmp.Or(d.Pairs.Separator, " "), Assign: cmp.Or(d.Pairs.Assign, "="), prefix: l.Module + ".", slot: i}
		if d.Pairs.Prefix != nil {
			l.pairs.prefix = *d.Pairs.Prefix
		}
	}
	return nil
}

// given are the values of a condition; * stands for any.
func given(values list) []string {
	if slices.Contains(values, "*") {
		return nil
	}
	return values
}

func (c *compiler) conditions(l *Log, d *logDocument) error {
	switch d.Format {
	case JSON, KV, CEF, LEEF, W3C, anyFormat:
		l.format = d.Format
	default:
		return fmt.Errorf("format %q: with when it is %s, %s, %s, %s, %s or %s", d.Format, JSON, KV, CEF, LEEF, W3C, anyFormat)
	}
	if len(d.Where) > 0 || d.Pairs != nil {
		return errors.New("where and pairs go with pattern, regexp and csv")
	}
	for _, names := range sorted(d.When) {
		cond := condition{values: given(d.When[names])}
		for name := range strings.SplitSeq(names, "|") {
			for _, name := range c.prefixed(name) {
				id, ok := c.reg.Intern(name)
				if !ok {
					return fmt.Errorf("when: no more names of fields can be taken in, such as %q", name)
				}
				cond.ids = append(cond.ids, id)
			}
		}
		l.when = append(l.when, cond)
	}
	return nil
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// plan compiles what becomes of the parts.
func (c *compiler) plan(l *Log, doc *document, d *logDocument) error {
	p := &l.plan
	for i, name := range l.names {
		if name == timeName {
			p.times = append(p.times, ref{slot: i})
			continue
		}
		if strings.Contains(name, ".") || name == "message" {
			t, err := c.target(name)
			if err != nil {
				return err
			}
			t.number = t.number || p.numbers[i]
			p.moves = append(p.moves, move{from: []ref{{slot: i}}, to: t})
		}
	}
	for _, name := range sorted(d.Fields) {
		f := d.Fields[name]
		if len(f.From) == 0 {
			return fmt.Errorf("fields: %s has no from", name)
		}
		t, err := c.target(name)
		if err != nil {
			return err
		}
		m := move{to: t}
		if m.as, err = conversion(f.As); err != nil {
			return fmt.Errorf("fields: %s: %w", name, err)
		}
		for _, from := range f.From {
			refs, err := c.refs(l, from)
			if err != nil {
				return fmt.Errorf("fields: %s: %w", name, err)
			}
			m.from = append(m.from, refs...)
			if r := refs[0]; r.slot >= 0 && m.as == nil && len(f.From) == 1 {
				m.to.number = m.to.number || p.numbers[r.slot]
			}
		}
		p.moves = append(p.moves, m)
	}
	if d.Time != nil {
		p.times = nil
		for _, from := range d.Time.From {
			refs, err := c.refs(l, from)
			if err != nil {
				return fmt.Errorf("time: %w", err)
			}
			p.times = append(p.times, refs[0])
		}
		if len(p.times) == 0 {
			return errors.New("time: it has no from")
		}
		p.layout = d.Time.Layout
		switch {
		case d.Time.Zone == "":
		case d.Time.Zone != "UTC":
			return fmt.Errorf("time: zone %q: it is UTC, or left out where the server's own counts", d.Time.Zone)
		case p.layout != "":
			return errors.New("time: zone goes without a layout, which may name the zone itself")
		default:
			p.zone = " UTC"
		}
		if p.layout != "" && time.Unix(1e9, 0).UTC().Format(p.layout) == p.layout {
			return fmt.Errorf("time: layout %q writes no part of a time: it is written as Go has it, 2006-01-02 15:04:05", p.layout)
		}
	}
	for _, name := range sorted(d.Switch) {
		refs, err := c.refs(l, name)
		if err != nil {
			return fmt.Errorf("switch: %w", err)
		}
		sw := choice{on: refs, cases: map[string][]constant{}}
		for _, values := range sorted(d.Switch[name]) {
			set, err := c.constants(d.Switch[name][values])
			if err != nil {
				return fmt.Errorf("switch: %s: %w", name, err)
			}
			if values == "*" {
				sw.other = set
				continue
			}
			for v := range strings.SplitSeq(values, "|") {
				sw.cases[v] = set
			}
		}
		p.choices = append(p.choices, sw)
	}
	if err := c.grade(l, "risk", &d.Risk, c.risk); err != nil {
		return err
	}
	if err := c.grade(l, "level", &d.Level, c.level); err != nil {
		return err
	}
	set, err := c.constants(d.Set)
	if err != nil {
		return err
	}
	p.set = append(p.set, set...)
	common := map[string]list{}
	for name, v := range doc.Set {
		common[name] = v
	}
	if doc.Type != "" {
		common["observer.vendor"], common["observer.product"], common["observer.type"] = list{doc.Vendor}, list{doc.Product}, list{doc.Type}
	}
	p.common, err = c.constants(common)
	return err
}

// prefixed are the names that a field which the pack reads may have.
func (c *compiler) prefixed(name string) []string {
	if len(c.prefixes) == 0 || strings.Contains(name, ".") {
		return []string{name}
	}
	out := make([]string, 0, len(c.prefixes))
	for _, p := range c.prefixes {
		out = append(out, p+name)
	}
	return out
}

// refs are the places of a part: a capture, or a field by its names.
func (c *compiler) refs(l *Log, name string) ([]ref, error) {
	if i := slices.Index(l.names, name); i >= 0 {
		return []ref{{slot: i}}, nil
	}
	if len(l.when) == 0 && l.pairs == nil {
		return nil, fmt.Errorf("nothing captures %q", name)
	}
	names := c.prefixed(name)
	if l.pairs != nil {
		names = []string{l.pairs.prefix + name}
	}
	var out []ref
	for _, name := range names {
		id, ok := c.reg.Intern(name)
		if !ok {
			return nil, fmt.Errorf("no more names of fields can be taken in, such as %q", name)
		}
		out = append(out, ref{slot: -1, id: id})
	}
	return out, nil
}

func (c *compiler) constants(set map[string]list) ([]constant, error) {
	var out []constant
	for _, name := range sorted(set) {
		t, err := c.target(name)
		if err != nil {
			return nil, err
		}
		for _, v := range set[name] {
			out = append(out, constant{t, v})
		}
	}
	return out, nil
}

// ecsGroups are the groups of the Elastic Common Schema in which the last word
// of a name says what the field holds.
var ecsGroups = []string{"source", "destination", "client", "server", "host", "event", "process", "http", "file", "network", "observer", "url", "dns", "log", "error", "related"}

// target finds a field to fill.
func (c *compiler) target(name string) (target, error) {
	if strings.HasPrefix(name, "icewatch.") || name == timeName || strings.HasPrefix(name, "_") {
		return target{}, fmt.Errorf("%s is the suite's own: a pack cannot fill it", name)
	}
	var t target
	for _, f := range []struct {
		id   *event.FieldID
		name string
	}{{&t.id, name}, {&t.ip, strings.TrimSuffix(name, "address") + "ip"}, {&t.domain, strings.TrimSuffix(name, "address") + "domain"}} {
		if f.id != &t.id && (!strings.HasSuffix(name, ".address") || strings.HasPrefix(name, "email.")) {
			break
		}
		var ok bool
		if *f.id, ok = c.reg.Intern(f.name); !ok {
			return t, fmt.Errorf("no more names of fields can be taken in, such as %q", f.name)
		}
	}
	group, last := name[:max(0, strings.IndexByte(name, '.'))], name[strings.LastIndexByte(name, '.')+1:]
	if !slices.Contains(ecsGroups, group) {
		return t, nil // A field of the pack's own holds what it holds.
	}
	switch last {
	case "ip":
		t.address = true
	case "domain":
		t.named = true
	case "port", "bytes", "packets", "pid", "status_code", "duration", "severity", "sequence", "exit_code", "size", "number":
		t.number = true
	}
	t.line = name == "http.request.line"
	return t, nil
}

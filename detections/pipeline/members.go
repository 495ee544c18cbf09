package pipeline

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
)

// members are the entries of a YAML map, taken one by one. What nobody takes
// is a mistake: a parameter that has no effect must not look as if it had one.
// The first mistake is kept and reported by done.
type members struct {
	what  string // whose entries they are, for messages
	line  int
	keys  []string // in the order of the file
	at    map[string]*yaml.Node
	lines map[string]int
	taken map[string]bool
	err   *sigma.Error
}

func resolve(n *yaml.Node) *yaml.Node {
	for range 32 {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

func read(n *yaml.Node, what string) *members {
	n = resolve(n)
	m := &members{what: what, line: n.Line, at: map[string]*yaml.Node{}, lines: map[string]int{}, taken: map[string]bool{}}
	if n.Kind != yaml.MappingNode {
		m.err = errorf(n.Line, "%s has to be a map", what)
		return m
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		name := key.Value
		if key.ShortTag() == "!!null" {
			name = ""
		}
		if _, twice := m.at[name]; twice {
			m.fail(errorf(key.Line, "%q stands twice in %s", name, what))
		}
		m.keys = append(m.keys, name)
		m.at[name], m.lines[name] = resolve(n.Content[i+1]), key.Line
	}
	return m
}

func (m *members) fail(err *sigma.Error) {
	if m.err == nil {
		m.err = err
	}
}

// done returns the first mistake.
func (m *members) done() *sigma.Error {
	for _, k := range m.keys {
		if !m.taken[k] {
			m.fail(errorf(m.lines[k], "%s has no parameter %q", m.what, k))
		}
	}
	return m.err
}

// take returns an entry's value, nil where it is absent or null.
func (m *members) take(key string) *yaml.Node {
	m.taken[key] = true
	n := m.at[key]
	if n == nil || n.ShortTag() == "!!null" {
		return nil
	}
	return n
}

// need is take for an entry that has to be there.
func (m *members) need(key string) *yaml.Node {
	n := m.take(key)
	if n == nil {
		m.fail(errorf(m.line, "%s needs %q", m.what, key))
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Line: m.line}
	}
	return n
}

func (m *members) scalar(n *yaml.Node, key string) string {
	if n.Kind != yaml.ScalarNode {
		m.fail(errorf(n.Line, "%q of %s has to be a single value", key, m.what))
	}
	return n.Value
}

func (m *members) text(key, absent string) string {
	if n := m.take(key); n != nil {
		return m.scalar(n, key)
	}
	return absent
}

func (m *members) needText(key string) string { return m.scalar(m.need(key), key) }

// choice is a text that is one of some; the first one is meant where it is absent.
func (m *members) choice(key string, options ...string) string {
	s := m.text(key, options[0])
	if !slices.Contains(options, s) {
		m.fail(errorf(m.lines[key], "%q of %s is one of %s, not %q", key, m.what, strings.Join(options, ", "), s))
	}
	return s
}

func (m *members) boolean(key string, absent bool) bool {
	n := m.take(key)
	if n == nil {
		return absent
	}
	var b bool
	if n.ShortTag() != "!!bool" || n.Decode(&b) != nil {
		m.fail(errorf(n.Line, "%q of %s is true or false", key, m.what))
	}
	return b
}

func (m *members) number(key string, absent int) int {
	n := m.take(key)
	if n == nil {
		return absent
	}
	v, err := strconv.Atoi(n.Value)
	if err != nil {
		m.fail(errorf(n.Line, "%q of %s is a whole number, not %q", key, m.what, n.Value))
	}
	return v
}

// texts is one text or a list of them; nil where the entry is absent.
func (m *members) texts(key string) []string {
	n := m.take(key)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return []string{m.scalar(n, key)}
	}
	out := make([]string, 0, len(n.Content))
	for _, c := range n.Content {
		out = append(out, m.scalar(resolve(c), key))
	}
	return out
}

// needTexts is texts that has to hold at least one.
func (m *members) needTexts(key string) []string {
	m.need(key)
	list := m.texts(key)
	if len(list) == 0 {
		m.fail(errorf(m.line, "%q of %s needs at least one value", key, m.what))
	}
	return list
}

func (m *members) list(key string) []*yaml.Node {
	n := m.need(key)
	if n.Kind != yaml.SequenceNode {
		m.fail(errorf(n.Line, "%q of %s has to be a list", key, m.what))
		return nil
	}
	return n.Content
}

// sub is a map within the map; nil where it is absent.
func (m *members) sub(key string) *members {
	n := m.take(key)
	if n == nil {
		return nil
	}
	sub := read(n, strconv.Quote(key)+" of "+m.what)
	m.fail(sub.err)
	return sub
}

// mapping is a map from texts to a text or several.
type mapping struct {
	from []string // in the order of the file
	to   map[string][]string
}

func (m *members) mapping(key string, required bool) mapping {
	out := mapping{to: map[string][]string{}}
	if required {
		m.need(key)
	}
	sub := m.sub(key)
	if sub == nil {
		return out
	}
	for _, k := range sub.keys {
		out.from = append(out.from, k)
		out.to[k] = sub.needTexts(k)
	}
	m.fail(sub.done())
	return out
}

// regex reads an expression of Python's syntax as far as Go's has it.
func (m *members) regex(key, expr string, anchored bool) *regexp.Regexp {
	if anchored {
		expr = `\A(?:` + expr + `)`
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		m.fail(errorf(m.lines[key], "%q of %s is no regular expression of RE2's syntax: %v", key, m.what, err))
		return regexp.MustCompile("")
	}
	return re
}

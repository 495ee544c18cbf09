// Package mutation makes mutants of rules: the same rule with one item of its
// condition dropped or negated. A test of the rule that fails for a mutant kills
// it; a mutant that no test kills shows what the tests do not hold the rule to.
//
// An item is a field with its values in a selection, a list of keywords, an
// alternative of a list of maps, or a selection that the condition refers to. Of
// a correlation it is a rule that is counted, a field of group-by, a bound of the
// condition, the order, the field whose values count, and the timespan.
package mutation

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
)

// What is done to an item.
const (
	Dropped = "dropped"
	Negated = "negated"
)

// Mutant is a rule with one item changed.
type Mutant struct {
	Item   string // path of the item, such as selection.event.action or condition.filter_known
	Change string // Dropped or Negated
	Line   int    // of the item in the rule's document, from 1; 0 where it is not known
	Source string // YAML text of the rule with the change
}

// The names by which a field that no event has is true or false. A selection of
// it stands for what was dropped.
const (
	field = "icewatch.mutant"
	yes   = field + "|exists"
)

// Of makes the mutants of a rule, in the order of its document. Filters have
// none: they show in the rules that they narrow.
func Of(r *sigma.Rule) ([]Mutant, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(r.Source), &doc); err != nil {
		return nil, fmt.Errorf("mutants of %q: %w", r.Title, err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("mutants of %q: the document is not a map", r.Title)
	}
	m := &maker{rule: r, root: doc.Content[0]}
	switch {
	case r.Detection != nil:
		m.detection(value(m.root, "detection"))
	case r.Correlation != nil:
		m.correlation(value(m.root, "correlation"))
	}
	return m.out, m.err
}

// value is the node of a key; nil where there is none.
func value(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return behind(n.Content[i+1])
		}
	}
	return nil
}

// behind is the node that an alias stands for.
func behind(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

type maker struct {
	rule *sigma.Rule
	root *yaml.Node
	out  []Mutant
	err  error
}

// add takes the document as it stands for a mutant.
func (m *maker) add(item, change string, line int) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(m.root); err != nil {
		m.err = fmt.Errorf("mutant %s %s of %q: %w", item, change, m.rule.Title, err)
		return
	}
	m.out = append(m.out, Mutant{Item: item, Change: change, Line: line, Source: b.String()})
}

// with swaps a node's content for the time of one mutant.
func (m *maker) with(n *yaml.Node, other yaml.Node, item, change string, line int) {
	before := *n
	*n = other
	m.add(item, change, line)
	*n = before
}

func scalar(tag, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

func (m *maker) detection(n *yaml.Node) {
	if n == nil {
		return
	}
	single := map[string]bool{} // selections of one item: dropping or negating that is doing it to the selection
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], behind(n.Content[i+1])
		if key.Value == "condition" || key.Value == "timeframe" {
			continue
		}
		before := len(m.out)
		m.selection(val, key.Value)
		single[key.Value] = len(m.out)-before == 2
	}
	m.condition(n, single)
}

// selection makes the mutants of a map, a list of maps or a list of keywords.
func (m *maker) selection(n *yaml.Node, at string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			m.item(n, i, at+"."+n.Content[i].Value)
		}
	case yaml.SequenceNode:
		words := true
		for _, e := range n.Content {
			words = words && behind(e).Kind == yaml.ScalarNode
		}
		if words {
			m.keywords(n, at)
			return
		}
		for i, e := range n.Content {
			place := fmt.Sprintf("%s[%d]", at, i+1)
			if len(n.Content) > 1 {
				less := *n
				less.Content = slices.Delete(slices.Clone(n.Content), i, i+1)
				m.with(n, less, place, Dropped, e.Line)
			}
			if behind(e).Kind == yaml.MappingNode {
				m.selection(behind(e), place)
			}
		}
	default:
		m.keywords(n, at)
	}
}

// keywords makes the mutants of a search over all values.
func (m *maker) keywords(n *yaml.Node, at string) {
	list := *n
	line := n.Line
	m.with(n, yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("!!str", yes), scalar("!!bool", "false")}}, at, Dropped, line)
	m.with(n, yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("!!str", "|neq"), &list}}, at, Negated, line)
}

// item makes the mutants of a field with its values: the i-th node of a map is
// its key.
func (m *maker) item(n *yaml.Node, i int, at string) {
	key, val := n.Content[i], n.Content[i+1]
	restore := func() { n.Content[i], n.Content[i+1] = key, val }
	n.Content[i], n.Content[i+1] = scalar("!!str", yes), scalar("!!bool", "false")
	m.add(at, Dropped, key.Line)
	restore()
	parts := strings.Split(key.Value, "|")
	switch {
	case slices.Contains(parts[1:], "exists") && behind(val).Kind == yaml.ScalarNode:
		n.Content[i+1] = scalar("!!bool", strconv.FormatBool(!strings.EqualFold(behind(val).Value, "true")))
	case slices.Contains(parts[1:], "neq"):
		n.Content[i] = scalar("!!str", strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "neq" }), "|"))
	default:
		n.Content[i] = scalar("!!str", key.Value+"|neq")
	}
	m.add(at, Negated, key.Line)
	restore()
}

// Renarrow lets a filter hold for the rules with these ids, and for no other.
func Renarrow(source string, ids []string) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(source), &doc); err != nil {
		return "", fmt.Errorf("a filter for mutants: %w", err)
	}
	if len(doc.Content) != 1 {
		return "", fmt.Errorf("a filter for mutants: the document is not a map")
	}
	n := value(doc.Content[0], "filter")
	if n == nil {
		return "", fmt.Errorf("a filter for mutants: the document has no filter")
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, id := range ids {
		list.Content = append(list.Content, scalar("!!str", id))
	}
	if had := value(n, "rules"); had != nil {
		*had = *list
	} else {
		n.Content = append(n.Content, scalar("!!str", "rules"), list)
	}
	text, err := yaml.Marshal(doc.Content[0])
	if err != nil {
		return "", fmt.Errorf("a filter for mutants: %w", err)
	}
	return string(text), nil
}

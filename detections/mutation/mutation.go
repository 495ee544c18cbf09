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
	"maps"
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

// condition makes the mutants of the references to selections.
func (m *maker) condition(n *yaml.Node, single map[string]bool) {
	node := value(n, "condition")
	root := m.rule.Detection.Condition
	if node == nil || root == nil {
		return
	}
	names := m.rule.Detection.Selections
	used := map[int]int{}
	count(root, used)
	replace := func(e *sigma.Expr, item, change string) {
		text, ok := render(e, names)
		if !ok {
			return // of several out of many: too long to write out
		}
		m.with(node, *scalar("!!str", text), item, change, node.Line)
	}
	var walk func(e *sigma.Expr, rebuild func(*sigma.Expr) *sigma.Expr, negated bool)
	walk = func(e *sigma.Expr, rebuild func(*sigma.Expr) *sigma.Expr, negated bool) {
		switch e.Op {
		case sigma.ExprSelection:
			name := names[e.Selection].Name
			if !single[name] || used[e.Selection] > 1 {
				replace(rebuild(&sigma.Expr{Op: sigma.ExprNot, Args: []*sigma.Expr{e}}), "condition."+name, Negated)
			}
		case sigma.ExprNot:
			walk(e.Args[0], func(x *sigma.Expr) *sigma.Expr {
				return rebuild(&sigma.Expr{Op: sigma.ExprNot, Args: []*sigma.Expr{x}})
			}, !negated)
		default:
			for i, arg := range e.Args {
				if len(e.Args) > 1 {
					name := "condition." + label(arg, names)
					same := arg.Op == sigma.ExprSelection && single[names[arg.Selection].Name] && used[arg.Selection] == 1 && e.Op == sigma.ExprAnd
					if !same { // dropping the only item of a selection that has to hold is the same
						less := *e
						less.Args = slices.Delete(slices.Clone(e.Args), i, i+1)
						if e.Op == sigma.ExprAtLeast {
							less.N = min(less.N, len(less.Args))
						}
						replace(rebuild(&less), name, Dropped)
					}
				}
				walk(arg, func(x *sigma.Expr) *sigma.Expr {
					other := *e
					other.Args = slices.Clone(e.Args)
					other.Args[i] = x
					return rebuild(&other)
				}, negated)
			}
		}
	}
	walk(root, func(e *sigma.Expr) *sigma.Expr { return e }, false)
}

func count(e *sigma.Expr, used map[int]int) {
	if e.Op == sigma.ExprSelection {
		used[e.Selection]++
	}
	for _, a := range e.Args {
		count(a, used)
	}
}

// label names a part of a condition.
func label(e *sigma.Expr, names []*sigma.Selection) string {
	switch e.Op {
	case sigma.ExprSelection:
		return names[e.Selection].Name
	case sigma.ExprNot:
		return "not " + label(e.Args[0], names)
	}
	word := map[sigma.ExprOp]string{sigma.ExprAnd: " and ", sigma.ExprOr: " or "}[e.Op]
	var parts []string
	for _, a := range e.Args {
		parts = append(parts, label(a, names))
	}
	if word == "" {
		return fmt.Sprintf("%d of (%s)", e.N, strings.Join(parts, ", "))
	}
	return "(" + strings.Join(parts, word) + ")"
}

// maxChoices bounds how many combinations "N of" is written out as.
const maxChoices = 64

// render writes a condition; false where it would be too long.
func render(e *sigma.Expr, names []*sigma.Selection) (string, bool) {
	switch e.Op {
	case sigma.ExprSelection:
		return names[e.Selection].Name, true
	case sigma.ExprNot:
		inner, ok := render(e.Args[0], names)
		return "not (" + inner + ")", ok
	case sigma.ExprAtLeast:
		choices := combinations(len(e.Args), e.N)
		if len(choices) == 0 {
			return "", false
		}
		either := &sigma.Expr{Op: sigma.ExprOr}
		for _, c := range choices {
			all := &sigma.Expr{Op: sigma.ExprAnd}
			for _, i := range c {
				all.Args = append(all.Args, e.Args[i])
			}
			either.Args = append(either.Args, all)
		}
		return render(either, names)
	}
	word := " and "
	if e.Op == sigma.ExprOr {
		word = " or "
	}
	parts := make([]string, len(e.Args))
	for i, a := range e.Args {
		text, ok := render(a, names)
		if !ok {
			return "", false
		}
		parts[i] = text
	}
	return "(" + strings.Join(parts, word) + ")", true
}

// combinations are the ways to choose k of n; none where there are too many.
func combinations(n, k int) [][]int {
	var out [][]int
	pick := make([]int, 0, k)
	var walk func(from int) bool
	walk = func(from int) bool {
		if len(pick) == k {
			out = append(out, slices.Clone(pick))
			return len(out) <= maxChoices
		}
		for i := from; i < n; i++ {
			pick = append(pick, i)
			ok := walk(i + 1)
			pick = pick[:len(pick)-1]
			if !ok {
				return false
			}
		}
		return true
	}
	if !walk(0) {
		return nil
	}
	return out
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

// correlation makes the mutants of a correlation.
func (m *maker) correlation(n *yaml.Node) {
	c := m.rule.Correlation
	if n == nil || c == nil {
		return
	}
	expression := len(c.Cases) > 0
	for _, key := range []string{"rules", "group-by"} {
		list := value(n, key)
		if list == nil || list.Kind != yaml.SequenceNode || key == "rules" && (len(list.Content) < 2 || expression) {
			continue
		}
		for i, e := range list.Content {
			less := *list
			less.Content = slices.Delete(slices.Clone(list.Content), i, i+1)
			item := key + "." + behind(e).Value
			if len(less.Content) > 0 {
				m.with(list, less, item, Dropped, e.Line)
			} else {
				m.without(n, key, item, e.Line)
			}
		}
	}
	if span := value(n, "timespan"); span != nil && !c.Absent {
		m.with(span, *scalar("!!str", "366d"), "timespan", Dropped, span.Line)
	}
	if t := value(n, "type"); t != nil {
		switch c.Type {
		case "temporal_ordered":
			if !expression {
				m.with(t, *scalar("!!str", "temporal"), "order", Dropped, t.Line)
			}
		case "value_count":
			if cond := value(n, "condition"); cond != nil && cond.Kind == yaml.MappingNode {
				kind := *t
				*t = *scalar("!!str", "event_count")
				m.without(cond, "field", "condition.field", cond.Line)
				*t = kind
			}
		}
	}
	cond := value(n, "condition")
	if cond == nil || c.Absent {
		return
	}
	if cond.Kind == yaml.ScalarNode {
		m.expression(cond)
		return
	}
	for i := 0; i+1 < len(cond.Content); i += 2 {
		key, val := cond.Content[i], behind(cond.Content[i+1])
		opposite := map[string]string{"gt": "lte", "gte": "lt", "lt": "gte", "lte": "gt", "eq": "neq", "neq": "eq"}[key.Value]
		if opposite == "" {
			continue
		}
		item := "condition." + key.Value
		k, v := *key, *val
		if c.Numeric() || len(c.Bounds) > 1 {
			*key, *val = *scalar("!!str", "gte"), *scalar("!!int", "0")
			if clash := slices.ContainsFunc(c.Bounds, func(b sigma.Bound) bool { return b.Relation == "gte" }); clash && k.Value != "gte" {
				*key, *val = *scalar("!!str", "neq"), *scalar("!!float", "-1")
				if !c.Numeric() {
					*val = *scalar("!!int", "0")
				}
			}
			m.add(item, Dropped, k.Line)
		} else if n, err := strconv.Atoi(v.Value); err == nil && !(key.Value == "gte" && n <= 1) && !(key.Value == "gt" && n <= 0) {
			*key, *val = *scalar("!!str", "gte"), *scalar("!!int", "1")
			m.add(item, Dropped, k.Line)
		}
		if n, err := strconv.Atoi(v.Value); err != nil || !(key.Value == "gte" && n <= 1) && !(key.Value == "gt" && n <= 0) || c.Numeric() {
			*key, *val = *scalar("!!str", opposite), v
			m.add(item, Negated, k.Line)
		}
		*key, *val = k, v
	}
}

// without leaves a key out for the time of one mutant.
func (m *maker) without(n *yaml.Node, key, item string, line int) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			less := *n
			less.Content = slices.Delete(slices.Clone(n.Content), i, i+2)
			m.with(n, less, item, Dropped, line)
			return
		}
	}
}

// expression makes the mutants of a temporal condition in words: each name
// negated, or no longer so.
func (m *maker) expression(cond *yaml.Node) {
	text := strings.NewReplacer("(", " ( ", ")", " ) ").Replace(cond.Value)
	words := strings.Fields(text)
	operators := map[string]bool{"and": true, "or": true, "not": true, "(": true, ")": true}
	for i, w := range words {
		if operators[strings.ToLower(w)] {
			continue
		}
		other := slices.Clone(words)
		if i > 0 && strings.EqualFold(words[i-1], "not") {
			other = slices.Delete(other, i-1, i)
		} else {
			other = slices.Insert(other, i, "not")
		}
		m.with(cond, *scalar("!!str", strings.Join(other, " ")), "condition."+w, Negated, cond.Line)
	}
}

// Shape is what is left of a rule when its literals are taken out: its log
// source, the fields with their modifiers and how the condition joins them, in an
// order that does not depend on how they are written; of a correlation its type,
// its fields, and the shapes of what it counts. Two rules of one shape are one
// model with two lists of values.
//
// The fields in kinds say what kind of event it is, as the log source does: their
// values belong to the shape. of gives the shape of a rule by its name or id.
func Shape(r *sigma.Rule, kinds map[string]bool, of func(string) string) string {
	switch {
	case r.Detection != nil:
		s := &shaper{kinds: kinds}
		return r.Logsource.String() + " " + s.expr(r.Detection.Condition, r.Detection.Selections)
	case r.Correlation != nil:
		c := r.Correlation
		var counted, relations []string
		for _, name := range c.Rules {
			counted = append(counted, "{"+of(name)+"}")
		}
		if c.Type != "temporal_ordered" {
			slices.Sort(counted)
		}
		for _, b := range c.Bounds {
			relations = append(relations, b.Relation)
		}
		slices.Sort(relations)
		var cases []string
		for _, one := range c.Cases {
			cases = append(cases, fmt.Sprint(one.Present, one.Absent))
		}
		return fmt.Sprintf("%s absent=%v city=%v by=%q fields=%q %v %v %v", c.Type, c.Absent, r.Custom.Scope == "city", slices.Sorted(slices.Values(c.GroupBy)), c.Fields, relations, cases, counted)
	}
	return ""
}

type shaper struct{ kinds map[string]bool }

func (s *shaper) expr(e *sigma.Expr, list []*sigma.Selection) string {
	if e == nil {
		return ""
	}
	switch e.Op {
	case sigma.ExprSelection:
		return s.group(list[e.Selection].Root)
	case sigma.ExprNot:
		return "not(" + s.expr(e.Args[0], list) + ")"
	}
	var parts []string
	for _, a := range e.Args {
		parts = append(parts, s.expr(a, list))
	}
	slices.Sort(parts)
	if e.Op == sigma.ExprOr {
		parts = slices.Compact(parts) // two alternatives of one shape are a longer list
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return fmt.Sprintf("%d/%d(%s)", e.Op, e.N, strings.Join(parts, " "))
}

func (s *shaper) group(g *sigma.Group) string {
	if g == nil {
		return ""
	}
	var parts []string
	for _, it := range g.Items {
		how := map[string]bool{}
		for _, v := range it.Values {
			how[kind(v)] = true
		}
		text := fmt.Sprintf("%s|%v|%v|%s", it.Field, it.All && len(it.Values) > 1, it.Negate, strings.Join(slices.Sorted(maps.Keys(how)), "+"))
		if s.kinds[it.Field] {
			var values []string
			for _, v := range it.Values {
				values = append(values, strings.ToLower(v.Text))
			}
			slices.Sort(values)
			text += "=" + strings.Join(values, ",")
		}
		parts = append(parts, text)
	}
	for _, sub := range g.Groups {
		parts = append(parts, s.group(sub))
	}
	slices.Sort(parts)
	if !g.All {
		parts = slices.Compact(parts)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return fmt.Sprintf("all=%v[%s]", g.All, strings.Join(parts, " "))
}

// kind is how a value is compared, without the value.
func kind(v sigma.Value) string {
	switch v.Op {
	case sigma.OpPattern:
		if len(v.Pattern) == 1 && v.Pattern[0].Wild == sigma.Star {
			return "any"
		}
		form := ""
		for i, p := range v.Pattern {
			if p.Wild == sigma.Star && (i == 0 || i == len(v.Pattern)-1) {
				form += map[bool]string{true: "<", false: ">"}[i == 0]
			}
		}
		return "text" + form
	case sigma.OpCompare:
		return fmt.Sprintf("compare%d.%d", v.Relation, v.Time)
	case sigma.OpRegex:
		return "regex"
	case sigma.OpCIDR:
		return "network"
	case sigma.OpExists:
		return fmt.Sprintf("exists=%v", v.Exists)
	case sigma.OpNull:
		return "null"
	case sigma.OpFieldRef:
		return "field=" + v.Field
	}
	return "number"
}

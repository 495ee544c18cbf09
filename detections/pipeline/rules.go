package pipeline

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
)

// actions are the transformations, by pySigma's names and then our own.
var actions = map[string]func(*members) action{
	"field_name_mapping":        nameMapping,
	"field_name_prefix_mapping": namePrefixMapping,
	"field_name_prefix":         namePrefix,
	"field_name_suffix":         nameSuffix,
	"field_name_transform":      nameTransform,

	"map_string":     mapString,
	"replace_string": replaceString,
	"set_value":      setValue,
	"convert_type":   convertType,
	"case":           changeCase,

	"value_placeholders":    valuePlaceholders,
	"wildcard_placeholders": wildcardPlaceholders,

	"drop_detection_item":    func(*members) action { return drop{} },
	"hashes_fields":          hashesFields,
	"detection_item_failure": itemFailure,

	"rule_failure":                 ruleFailure,
	"strict_field_mapping_failure": func(*members) action { return whole(strict) },
	"add_condition":                addCondition,
	"change_logsource":             changeLogsource,
	"add_field":                    addField,
	"remove_field":                 removeField,
	"set_field":                    setField,
	"set_state":                    setState,
	"set_custom_attribute":         setCustomAttribute,

	"split_field": splitField, // and any_of, see parseNested
}

// unsupported are transformations of pySigma that are known and have no
// meaning here, with the reason.
var unsupported = map[string]string{
	"regex":                         "it makes regular expressions for query languages that know letter case only; rules ignore it here anyway",
	"query_expression_placeholders": "it writes expressions of a query language",
	"file_placeholders":             "pipelines read no other files; give the values in vars and use value_placeholders",
	"http_placeholders":             "pipelines read nothing from the network; give the values in vars and use value_placeholders",
	"command_placeholders":          "pipelines run no programs; give the values in vars and use value_placeholders",
	"extract_fields":                "a value with wildcards cannot be taken apart by an expression; use map_string, replace_string or split_field",
}

// whole is a transformation of the rule as a whole.
type whole func(t *run) error

func (f whole) apply(t *run, _ *step) error { return f(t) }

// nest runs its steps as if they stood in its place.
type nest []*step

func (n nest) apply(t *run, _ *step) error {
	for _, s := range n {
		if err := t.step(t.pipeline, s); err != nil {
			return err
		}
	}
	return nil
}

// drop takes items out of a rule.
type drop struct{}

func (drop) apply(t *run, s *step) error {
	return t.rewrite(s, func(*sigma.Item) (rewritten, error) { return rewritten{}, nil })
}

func itemFailure(m *members) action { return failing(m.needText("message")) }

// failing refuses rules that have an item of the kind.
type failing string

func (f failing) apply(t *run, s *step) error {
	return t.rewrite(s, func(it *sigma.Item) (rewritten, error) {
		return rewritten{}, fmt.Errorf("field %q of line %d: %s", it.Field, it.Line, string(f))
	})
}

func ruleFailure(m *members) action {
	message := m.needText("message")
	return whole(func(*run) error { return errors.New(message) })
}

// strict refuses rules with a field that no mapping named.
func strict(t *run) error {
	var missing []string
	t.anyItem(func(it *sigma.Item) bool {
		for _, name := range namesOf(it) {
			if name != "" && !t.mapped[name] {
				missing = appendNew(missing, name)
			}
		}
		return false
	})
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("these fields are not mapped: %q", missing)
	}
	return nil
}

func changeLogsource(m *members) action {
	ls := sigma.Logsource{Category: m.text("category", ""), Product: m.text("product", ""), Service: m.text("service", "")}
	return whole(func(t *run) error {
		if t.rule.Correlation == nil {
			t.rule.Logsource = ls
		}
		return nil
	})
}

func addField(m *members) action {
	list := m.needTexts("field")
	return whole(func(t *run) error { t.listed = append(t.listed, each(list)...); return nil })
}

func setField(m *members) action {
	list := m.texts("fields")
	return whole(func(t *run) error { t.listed = each(list); return nil })
}

func removeField(m *members) action {
	list := m.needTexts("field")
	return whole(func(t *run) error {
		t.listed = slices.DeleteFunc(t.listed, func(names []string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(list, n) })
		})
		return nil
	})
}

func setState(m *members) action {
	key, val := m.needText("key"), m.needText("val")
	return whole(func(t *run) error { t.state[key] = val; return nil })
}

func setCustomAttribute(m *members) action {
	key := m.needText("attribute")
	val := m.needText("value")
	return whole(func(t *run) error { t.custom[key] = val; return nil })
}

// addCondition asks one more thing of a rule: fields with values, written as
// in a rule's selection.
func addCondition(m *members) action {
	n, name := m.need("conditions"), m.text("name", "_added")
	template, negated := m.boolean("template", false), m.boolean("negated", false)
	if m.err != nil {
		return nil
	}
	filled := func(ls sigma.Logsource) (*sigma.Group, error) {
		from := n
		if template {
			from = substitute(n, ls)
		}
		g, err := selection(from)
		if err != nil {
			return nil, errorf(n.Line, "conditions: %v", err)
		}
		return g, nil
	}
	if _, err := filled(sigma.Logsource{Category: "a", Product: "b", Service: "c"}); err != nil {
		m.fail(errorf(n.Line, "%s: %s", m.what, err.(*sigma.Error).Reason))
	}
	return addedCondition{name, negated, filled}
}

type addedCondition struct {
	name    string
	negated bool
	group   func(sigma.Logsource) (*sigma.Group, error)
}

func (a addedCondition) apply(t *run, s *step) error {
	d := t.rule.Detection
	if d == nil {
		return nil
	}
	g, err := a.group(t.rule.Logsource)
	if err != nil {
		return err
	}
	added := &sigma.Expr{Op: sigma.ExprSelection, Selection: len(d.Selections)}
	d.Selections = append(d.Selections, &sigma.Selection{Name: a.name, Line: t.rule.Line, Root: g})
	t.roots = append(t.roots, g)
	if a.negated {
		added = &sigma.Expr{Op: sigma.ExprNot, Args: []*sigma.Expr{added}}
	}
	d.Condition = &sigma.Expr{Op: sigma.ExprAnd, Args: []*sigma.Expr{added, d.Condition}}
	var mark func(*sigma.Group)
	mark = func(g *sigma.Group) {
		for _, it := range g.Items {
			it.Line = t.rule.Line // the line of the pipeline means nothing in the rule
			t.mark(it, s.id)
		}
		for _, sub := range g.Groups {
			mark(sub)
		}
	}
	mark(g)
	return nil
}

// selection reads a selection with the parser of rules.
func selection(n *yaml.Node) (*sigma.Group, error) {
	type source struct {
		Product string `yaml:"product"`
	}
	doc, err := yaml.Marshal(struct {
		Title     string         `yaml:"title"`
		Logsource source         `yaml:"logsource"`
		Detection map[string]any `yaml:"detection"`
	}{"added by a pipeline", source{"any"}, map[string]any{"added": n, "condition": "added"}})
	if err != nil {
		return nil, err
	}
	rules, errs := sigma.Parse(doc, nil)
	if len(errs) > 0 {
		return nil, errors.New(errs[0].Reason)
	}
	return rules[0].Detection.Selections[0].Root, nil
}

// substitute fills $category, $product and $service in the values of a
// selection. Other words after a dollar stay.
func substitute(n *yaml.Node, ls sigma.Logsource) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			c.Content[i] = child // the name of a field
			continue
		}
		c.Content[i] = substitute(resolve(child), ls)
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		c.Value = os.Expand(n.Value, func(name string) string {
			switch name {
			case "category":
				return ls.Category
			case "product":
				return ls.Product
			case "service":
				return ls.Service
			case "$":
				return "$"
			}
			return "${" + name + "}"
		})
	}
	return &c
}

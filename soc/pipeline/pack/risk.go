package pack

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The fields that say which risk an event is of, by the tiers of the suite's
// taxonomy (GB/Z 20986, rules/taxonomy.yml), and how grave.
const (
	RiskClass    = "icewatch.risk.class"
	RiskSubclass = "icewatch.risk.subclass"
	RiskType     = "icewatch.risk.type"
	RiskLevel    = "icewatch.risk.level"
)

// levels are the grades of risk, the gravest first.
var levels = []string{"critical", "high", "medium", "low", "info"}

// grading says what a log is graded as: always, or by the value of a part.
type grading struct {
	always string
	by     map[string]map[string]string
}

// UnmarshalYAML reads a grade, or grades by part and value: {part: {value: grade}}.
func (g *grading) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		g.always = n.Value
		return nil
	}
	return n.Decode(&g.by)
}

func (g *grading) merge(o grading) {
	if o.always != "" {
		g.always = o.always
	}
	for part, cases := range o.by {
		g.by = merged(g.by, map[string]map[string]string{part: merged(g.by[part], cases)})
	}
}

// grade compiles a grading; set makes the fields of a grade.
func (c *compiler) grade(l *Log, what string, g *grading, set func(l *Log, grade string) ([]constant, error)) error {
	for _, part := range sorted(g.by) {
		on, err := c.refs(l, part)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		ch := choice{on: on, cases: map[string][]constant{}}
		for _, values := range sorted(g.by[part]) {
			fields, err := set(l, g.by[part][values])
			if err != nil {
				return fmt.Errorf("%s: %s: %w", what, part, err)
			}
			if values == "*" {
				ch.other = fields
				continue
			}
			for v := range strings.SplitSeq(values, "|") {
				ch.cases[v] = fields
			}
		}
		l.plan.choices = append(l.plan.choices, ch)
	}
	if g.always == "" {
		return nil
	}
	fields, err := set(l, g.always)
	l.plan.set = append(l.plan.set, fields...)
	return err
}

// risk are the fields of a risk: the codes of its tiers with dots between them.
func (c *compiler) risk(l *Log, code string) (out []constant, err error) {
	tiers := strings.Split(code, ".")
	if len(tiers) > 3 || tiers[0] == "" {
		return nil, fmt.Errorf("risk %q: the codes of one to three tiers with dots between them were expected, such as NAI.VAI.sql-injection", code)
	}
	l.risks = append(l.risks, code)
	for i, tier := range tiers {
		field, err := c.own([]string{RiskClass, RiskSubclass, RiskType}[i], tier)
		if err != nil {
			return nil, err
		}
		out = append(out, field)
	}
	return out, nil
}

// level is the field of a grade of risk.
func (c *compiler) level(_ *Log, grade string) ([]constant, error) {
	for _, known := range levels {
		if grade == known {
			field, err := c.own(RiskLevel, grade)
			return []constant{field}, err
		}
	}
	return nil, fmt.Errorf("level %q: it is %s", grade, strings.Join(levels, ", "))
}

// own is a value of a field of the suite's own.
func (c *compiler) own(name, value string) (constant, error) {
	id, ok := c.reg.Intern(name)
	if !ok {
		return constant{}, fmt.Errorf("no more names of fields can be taken in, such as %q", name)
	}
	return constant{target{id: id}, value}, nil
}

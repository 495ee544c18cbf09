// Package output decides what the alerts of a rule say where that depends on the
// event: of the outputs that a rule lists (icewatch.outputs), the first whose
// condition holds gives the firing its level, texts, tags, article of the
// knowledge base and fields of its own. An output may have outputs below it, which
// say more where their conditions hold as well.
//
// Conditions are the searches of a Sigma rule on what the alert would show: the
// fields of its last event, its group, and what was made of them, such as
// alert.verdict (detections/suppression lists these).
package output

import (
	"fmt"
	"slices"
	"strconv"

	"icewatch/detections"
	"icewatch/detections/match"
	"icewatch/detections/sigma"
	"icewatch/detections/suppression"
	"icewatch/soc/event"
)

// FieldPrefix stands before the names of the fields that outputs set, so that
// none takes the place of what an event or its enrichment says.
const FieldPrefix = "icewatch.output."

// Set is the outputs of one rule, compiled. It is used by one goroutine at a time.
type Set struct {
	top     []node
	fields  []string // that the conditions look at
	ids     []event.FieldID
	matcher *match.Matcher // nil where no output has a condition
	ev      event.Event
	holds   []bool // by index of the program's rules
	note    func(rule int, _ func() []detections.Match)
}

type node struct {
	out   *sigma.Output
	name  string // its place, such as 2.1
	rule  int    // of the program; -1 where it always holds
	below []node
}

// Compile prepares the outputs of a rule; nil where it has none. The error names
// the line that is wrong.
func Compile(outputs []sigma.Output) (*Set, error) {
	if len(outputs) == 0 {
		return nil, nil
	}
	s := &Set{}
	var rules []*sigma.Rule
	if err := s.nodes(outputs, "", &s.top, &rules); err != nil {
		return nil, err
	}
	if len(rules) == 0 {
		return s, nil
	}
	reg := event.NewRegistry(0)
	for _, name := range s.fields {
		id, _ := reg.Intern(name) // without bound
		s.ids = append(s.ids, id)
	}
	program, errs := match.Compile(rules, reg, nil)
	for i, err := range errs {
		if err != nil {
			return nil, &sigma.Error{Line: rules[i].Line, Reason: fmt.Sprintf("icewatch.outputs %s: %s", rules[i].ID, err)}
		}
	}
	s.matcher, s.holds = program.NewMatcher(), make([]bool, len(rules))
	s.note = func(rule int, _ func() []detections.Match) { s.holds[rule] = true } // once, so that choosing allocates nothing
	return s, nil
}

func (s *Set) nodes(outputs []sigma.Output, above string, into *[]node, rules *[]*sigma.Rule) error {
	for i := range outputs {
		o := &outputs[i]
		n := node{out: o, name: above + strconv.Itoa(i+1), rule: -1}
		if o.When != nil {
			for _, name := range o.When.Names() {
				if name == "" {
					return &sigma.Error{Line: o.Line, Reason: "icewatch.outputs " + n.name + ": a search in all values: name the field that has to hold the value"}
				}
				if !slices.Contains(s.fields, name) {
					s.fields = append(s.fields, name)
				}
			}
			n.rule = len(*rules)
			*rules = append(*rules, &sigma.Rule{ID: n.name, Detection: o.When, Line: o.Line})
		}
		if err := s.nodes(o.Then, n.name+".", &n.below, rules); err != nil {
			return err
		}
		*into = append(*into, n)
	}
	return nil
}

// Choose calls use with each output that counts for an occurrence, from the top
// down, so that a later one says more than those before, and returns the place of
// the last, such as 2.1; "" where none counts. Each condition that holds costs one
// small allocation, and a field with several values its own; the rest none.
func (s *Set) Choose(o *detections.Occurrence, use func(*sigma.Output)) string {
	if s.matcher != nil {
		clear(s.holds)
		s.ev.Reset()
		for i, name := range s.fields {
			suppression.Put(&s.ev, s.ids[i], suppression.Value(o, name))
		}
		s.matcher.Match(&s.ev, s.note)
		s.ev.Reset()
	}
	name := ""
	for list := s.top; ; {
		at := slices.IndexFunc(list, func(n node) bool { return n.rule < 0 || s.holds[n.rule] })
		if at < 0 {
			return name
		}
		use(list[at].out)
		name, list = list[at].name, list[at].below
	}
}

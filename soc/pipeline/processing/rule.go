// Package processing is what administrators make of events between parsing and
// storing: they tag them, add fields to them, hide parts of them for good, fold
// repeats of them into one, and leave them out of the lake. Rules see an event
// after it is parsed, owned and enriched. Detection sees it tagged and masked;
// folding and leaving out concern the lake alone.
//
// A Set is the rules compiled; a Folder folds. How rules are kept is said in
// rulestore, how the engine keeps counts exact over a crash in soc/engine.
package processing

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"icewatch/soc/search/clause"
	"icewatch/soc/veil"
)

// Rule is what is done to the events that a condition holds for.
type Rule struct {
	ID          string         `json:"id" readOnly:"true" required:"false"`
	Name        string         `json:"name" minLength:"1" maxLength:"100"`
	Description string         `json:"description" required:"false" maxLength:"1000"`
	Enabled     bool           `json:"enabled" required:"false"`
	Tenant      string         `json:"tenant" required:"false" maxLength:"64" doc:"Whose events; empty is everybody's"`
	When        *clause.Clause `json:"when" doc:"Which events. The tree is that of searches by clicks; of its operators those that need no index of words."`
	Tags        []string       `json:"tags" required:"false" nullable:"false" maxItems:"20" doc:"Added to the field tags"`
	Labels      []Label        `json:"labels" required:"false" nullable:"false" maxItems:"20" doc:"Fields labels.<name> that are added where the event has none of that name"`
	Mask        *Mask          `json:"mask,omitempty" required:"false" doc:"What is hidden for good, from everybody and from detection too"`
	Fold        *Fold          `json:"fold,omitempty" required:"false" doc:"Repeats are kept as one event that counts them"`
	Drop        bool           `json:"drop" required:"false" doc:"The events are not stored. Detection sees them all the same, and they are counted."`
}

// Label is a field that is added to an event.
type Label struct {
	Name  string `json:"name" minLength:"1" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Value string `json:"value" minLength:"1" maxLength:"500" doc:"{field} stands for the value of that field; where the event has no such field the label is not added"`
}

// Mask says what of an event is hidden before it is stored. What its parts mean
// is said in soc/veil; a value hidden in one field is hidden in the raw text and
// wherever else it stands.
type Mask struct {
	Fields  []string `json:"fields" required:"false" nullable:"false" maxItems:"50" doc:"Of which values; none is every text of the event, and needs a pattern"`
	Pattern string   `json:"pattern" required:"false" maxLength:"1000" doc:"What of the values, a regular expression (RE2); empty is all"`
	Check   string   `json:"check" required:"false" enum:",luhn,id-card"`
	Method  string   `json:"method" enum:"full,keep" doc:"Hidden wholly, or but for the first and last characters"`
	First   int      `json:"first" required:"false" minimum:"0" maximum:"64"`
	Last    int      `json:"last" required:"false" minimum:"0" maximum:"64"`
}

func (m *Mask) veil() (*veil.Veil, error) {
	if m.Method == veil.Hash {
		return nil, fmt.Errorf("the method is %q; it must be one of full and keep", m.Method)
	}
	return veil.New([]veil.Rule{{Fields: m.Fields, Pattern: m.Pattern, Check: m.Check, Method: m.Method, First: m.First, Last: m.Last}}, nil)
}

// Fold says which events are repeats of one another.
type Fold struct {
	Keys    []string `json:"keys" minItems:"1" maxItems:"10" nullable:"false" doc:"Fields in which repeats agree"`
	Seconds int      `json:"seconds" minimum:"1" maximum:"600" doc:"Within this time by the clock: 60 is within the same minute"`
}

// Limits of rules.
const (
	MaxRules   = 200
	maxSeconds = 600
)

// ErrInvalid says that a rule cannot be; what wraps it says why.
var ErrInvalid = errors.New("the processing rule is not valid")

var labelName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// Check tells what is wrong with a rule: ErrInvalid with where and why.
func (r *Rule) Check() error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
	}
	if strings.TrimSpace(r.Name) == "" {
		return invalid("it needs a name")
	}
	if r.When == nil {
		return invalid("when: it needs a condition")
	}
	if _, err := clause.Render(r.When); err != nil {
		return invalid("when: %w", err)
	}
	for i, tag := range r.Tags {
		if tag != strings.TrimSpace(tag) || tag == "" || len(tag) > 64 {
			return invalid("tags[%d]: %q is no tag; it has 1 to 64 bytes and no blanks around it", i, tag)
		}
	}
	for i, l := range r.Labels {
		if !labelName.MatchString(l.Name) {
			return invalid("labels[%d].name: %q must begin with a small letter and be made of small letters, digits and _", i, l.Name)
		}
		if _, err := template(l.Value); err != nil {
			return invalid("labels[%d].value: %w", i, err)
		}
	}
	if r.Mask != nil {
		if _, err := r.Mask.veil(); err != nil {
			return invalid("mask: %w", err)
		}
	}
	if f := r.Fold; f != nil {
		if len(f.Keys) == 0 || len(f.Keys) > 10 {
			return invalid("fold.keys: 1 to 10 fields, not %d", len(f.Keys))
		}
		for i, k := range f.Keys {
			if k == "" || k == "@timestamp" {
				return invalid("fold.keys[%d]: %q cannot be what repeats agree in", i, k)
			}
		}
		if f.Seconds < 1 || f.Seconds > maxSeconds {
			return invalid("fold.seconds: 1 to %d, not %d", maxSeconds, f.Seconds)
		}
		if r.Drop {
			return invalid("it both folds events and leaves them out; choose one")
		}
	}
	if len(r.Tags) == 0 && len(r.Labels) == 0 && r.Mask == nil && r.Fold == nil && !r.Drop {
		return invalid("it does nothing: give it tags, labels, mask, fold or drop")
	}
	return nil
}

// part is a piece of a label's value: text, or a field's name.
type part struct {
	text  string
	field string
}

// template parts a label's value.
func template(value string) ([]part, error) {
	var parts []part
	for value != "" {
		open := strings.IndexByte(value, '{')
		if open < 0 {
			return append(parts, part{text: value}), nil
		}
		end := strings.IndexByte(value[open:], '}')
		if end < 2 {
			return nil, fmt.Errorf("%q: a { begins the name of a field, which } ends", value[open:])
		}
		if open > 0 {
			parts = append(parts, part{text: value[:open]})
		}
		parts = append(parts, part{field: value[open+1 : open+end]})
		value = value[open+end+1:]
	}
	return parts, nil
}

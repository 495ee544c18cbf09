package model

import (
	"fmt"
	"slices"
	"strings"
)

// Transition says which values may follow one of an enumeration, such as the
// states of a life cycle.
type Transition struct {
	From string   `json:"from" yaml:"from" doc:"A value; empty is that of an item which has none"`
	To   []string `json:"to" yaml:"to" nullable:"false" doc:"The values that may follow, an empty one for none any more; none at all: it is the last"`
}

// Next lists the values that may follow one, and tells whether any may: where
// the attribute has no transitions, and from none where they say nothing of it.
func (a *Attribute) Next(from string) (to []string, any bool) {
	for _, t := range a.Transitions {
		if t.From == from {
			return t.To, false
		}
	}
	return nil, len(a.Transitions) == 0 || from == ""
}

// MayBecome tells whether a value may follow another; one that stays always
// may. The error says what may.
func (a *Attribute) MayBecome(from, to string) error {
	next, any := a.Next(from)
	switch {
	case from == to || any || slices.Contains(next, to):
		return nil
	case len(next) == 0:
		return fmt.Errorf("it is %q, which is the last state: it cannot become %q", from, to)
	case from == "":
		return fmt.Errorf("an item does not begin as %q: want %s", to, stateList(next))
	}
	return fmt.Errorf("it is %q and cannot become %q: want %s", from, to, stateList(next))
}

func stateList(states []string) string {
	quoted := make([]string, len(states))
	for i, s := range states {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(quoted, " or ")
}

// checkTransitions sees that transitions are between values that there are. It
// brings them into canonical form.
func (a *Attribute) checkTransitions() error {
	if len(a.Transitions) == 0 {
		return nil
	}
	if a.Type != Enum || a.Multiple || a.Open {
		return fmt.Errorf("transitions are for an enumeration with one value, which is not open")
	}
	canonical := func(v string) (string, error) {
		if v == "" {
			return "", nil
		}
		return a.Check(v)
	}
	// Those of the document that this attribute was read from stay as they are.
	a.Transitions = slices.Clone(a.Transitions)
	seen := map[string]bool{}
	for i, t := range a.Transitions {
		from, err := canonical(t.From)
		if err != nil {
			return fmt.Errorf("transitions: from: %w", err)
		}
		if seen[from] {
			return fmt.Errorf("transitions: from %q is there twice", from)
		}
		seen[from] = true
		to := make([]string, len(t.To))
		for j, v := range t.To {
			if to[j], err = canonical(v); err != nil {
				return fmt.Errorf("transitions: from %q to: %w", from, err)
			}
		}
		a.Transitions[i] = Transition{from, to}
	}
	if a.Default != "" {
		def, err := a.Check(a.Default)
		if err == nil {
			err = a.MayBecome("", def)
		}
		if err != nil {
			return fmt.Errorf("default: %w", err)
		}
	}
	return nil
}

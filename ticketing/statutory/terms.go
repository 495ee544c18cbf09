// Package statutory keeps the reports of incidents that the law demands: a
// draft that is filled from the incident, the clock by which it is due, the
// approval by somebody else than who wrote it, and the proof that it was sent.
// What is due when is data (terms.yaml) and names its source. The suite sends
// nothing to an authority by itself.
package statutory

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

// Terms is what has to be reported, to whom, by when.
type Terms struct {
	Source    string     `yaml:"source" json:"source"`
	InForce   string     `yaml:"in_force" json:"in_force"`
	Levels    []Level    `yaml:"levels" json:"levels" nullable:"false" doc:"The lightest first"`
	Operators []Operator `yaml:"operators" json:"operators" nullable:"false"`
	Fields    []Field    `yaml:"fields" json:"fields" nullable:"false"`

	SummaryWithin time.Duration `yaml:"summary_within" json:"summary_within"`
}

// Level is how grave an incident is before the law.
type Level struct {
	Key    string `yaml:"key" json:"key"`
	ZH     string `yaml:"zh" json:"zh"`
	EN     string `yaml:"en" json:"en"`
	Report bool   `yaml:"report" json:"report" doc:"Whether it has to be reported"`
}

// Operator is whose network it is.
type Operator struct {
	Key    string        `yaml:"key" json:"key"`
	ZH     string        `yaml:"zh" json:"zh"`
	EN     string        `yaml:"en" json:"en"`
	Within time.Duration `yaml:"within" json:"within" doc:"Nanoseconds"`
	To     string        `yaml:"to" json:"to" doc:"Who gets the report"`
}

// Field is a part of a report.
type Field struct {
	Key   string `yaml:"key" json:"key"`
	ZH    string `yaml:"zh" json:"zh"`
	EN    string `yaml:"en" json:"en"`
	First bool   `yaml:"first" json:"first" doc:"Must be in the first report; the others may follow"`
	Asks  string `yaml:"asks" json:"asks"`
}

//go:embed terms.yaml
var shipped []byte

// Shipped are the terms in force.
var Shipped = sync.OnceValue(func() *Terms {
	t, err := ReadTerms(shipped)
	if err != nil {
		panic(fmt.Sprintf("statutory: the terms that are built in: %v", err))
	}
	return t
})

// ReadTerms reads terms from YAML.
func ReadTerms(data []byte) (*Terms, error) {
	t := &Terms{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(t); err != nil {
		return nil, fmt.Errorf("statutory: terms: %w", err)
	}
	if len(t.Levels) == 0 || len(t.Operators) == 0 || len(t.Fields) == 0 || t.SummaryWithin <= 0 {
		return nil, fmt.Errorf("statutory: terms: want levels, operators, fields and summary_within")
	}
	for _, o := range t.Operators {
		if o.Within <= 0 {
			return nil, fmt.Errorf("statutory: terms: operators: %s: within %s: want a duration such as 1h", o.Key, o.Within)
		}
	}
	return t, nil
}

func (t *Terms) level(key string) (Level, error) {
	if i := slices.IndexFunc(t.Levels, func(l Level) bool { return l.Key == key }); i >= 0 {
		return t.Levels[i], nil
	}
	return Level{}, fmt.Errorf("%w: level %q: want one of %v", ErrInvalid, key, keys(t.Levels, func(l Level) string { return l.Key }))
}

func (t *Terms) operator(key string) (Operator, error) {
	if i := slices.IndexFunc(t.Operators, func(o Operator) bool { return o.Key == key }); i >= 0 {
		return t.Operators[i], nil
	}
	return Operator{}, fmt.Errorf("%w: operator %q: want one of %v", ErrInvalid, key, keys(t.Operators, func(o Operator) string { return o.Key }))
}

func keys[T any](list []T, key func(T) string) (out []string) {
	for _, x := range list {
		out = append(out, key(x))
	}
	return out
}

// due is by when a report is to be sent; zero where none is.
func (t *Terms) due(kind string, l Level, o Operator, from time.Time) time.Time {
	switch {
	case !l.Report:
		return time.Time{}
	case kind == KindSummary:
		return from.Add(t.SummaryWithin)
	}
	return from.Add(o.Within)
}

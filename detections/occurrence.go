// Package detections holds what all engines below it share: the occurrence,
// a rule's single firing, as it leaves detection for ticketing.
package detections

import "time"

// Level is a rule's severity as Sigma names it.
type Level string

// Sigma's levels, least to most.
const (
	Informational Level = "informational"
	Low           Level = "low"
	Medium        Level = "medium"
	High          Level = "high"
	Critical      Level = "critical"
)

// Levels lists the levels from least to most severe.
var Levels = []Level{Informational, Low, Medium, High, Critical}

// Text is a text in the suite's two languages.
type Text struct {
	ZH string `json:"zh,omitempty" yaml:"zh,omitempty"`
	EN string `json:"en,omitempty" yaml:"en,omitempty"`
}

// RuleRef is what an alert keeps of the rule that raised it.
type RuleRef struct {
	ID         string   `json:"id"`
	Title      Text     `json:"title"`
	Sentence   Text     `json:"sentence"` // template with {field.name} places, already filled in an Occurrence
	Advice     Text     `json:"advice"`
	Level      Level    `json:"level"`
	Kind       string   `json:"kind"` // "sigma" or "correlation"
	Tactics    []string `json:"tactics,omitempty"`
	Techniques []string `json:"techniques,omitempty"`
	Tags       []string `json:"tags,omitempty"`
	Version    string   `json:"version,omitempty"` // the rule's date of change as it gives it, YYYY-MM-DD
	Hash       string   `json:"hash,omitempty"`    // of the rule's text, filters that narrow it included: 128 bits in hex
}

// Match is one piece of evidence: the selection and the field value that met it.
type Match struct {
	Selection string `json:"selection"`
	Field     string `json:"field"`
	Value     string `json:"value"`
}

// Pair is a field name and a value.
type Pair struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// Occurrence is one firing of one rule. ID is derived (rule, event or window,
// group), so that a replay raises the same one again and not another. Key is
// derived from rule, tenant and group: occurrences with the same Key merge
// into one alert.
type Occurrence struct {
	ID       string            `json:"id"`
	Key      string            `json:"key"`
	Rule     RuleRef           `json:"rule"`
	Tenant   string            `json:"tenant"`
	Time     time.Time         `json:"time"`           // event time of the last event that counts
	From     time.Time         `json:"from"`           // event time of the first
	Count    int               `json:"count"`          // events behind this firing, at least 1
	Held     int               `json:"held,omitempty"` // matches in Count that were held back while their rule was throttled; the fields are of the first
	Group    []Pair            `json:"group"`          // the fields and values that make Key
	Fields   map[string]string `json:"fields"`         // flat fields of the last event, enrichment included
	Evidence []Match           `json:"evidence"`       // why it fired
	EventIDs []string          `json:"event_ids"`      // the last 100 at most
	Priority string            `json:"priority"`       // P1 (most urgent) to P4, by policy
	Reasons  []Text            `json:"reasons"`        // why that priority
}

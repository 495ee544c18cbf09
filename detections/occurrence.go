// Package detections holds what all engines below it share: the occurrence,
// a rule's single firing, as it leaves detection for ticketing.
package detections

import (
	"slices"
	"time"
)

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
	Version    string   `json:"version,omitempty"` // when it was last changed, as it says itself (Sigma's modified, else date)
	Hash       string   `json:"hash,omitempty"`    // SHA-256 of its source as it stands, in hexadecimal
	Title      Text     `json:"title"`
	Sentence   Text     `json:"sentence"` // template with {field.name} places, already filled in an Occurrence
	Advice     Text     `json:"advice"`
	Level      Level    `json:"level"`
	Kind       string   `json:"kind"` // "sigma" or "correlation"
	Tactics    []string `json:"tactics,omitempty"`
	Techniques []string `json:"techniques,omitempty"`
	Tags       []string `json:"tags,omitempty"`
	Knowledge  string   `json:"knowledge,omitempty"` // article of the knowledge base
	Output     string   `json:"output,omitempty"`    // which of the rule's outputs counts, such as 2.1; its level, texts and tags stand above
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
	Time     time.Time         `json:"time"`              // event time of the last event that counts
	From     time.Time         `json:"from"`              // event time of the first
	Count    int               `json:"count"`             // events behind this firing, at least 1
	Held     int               `json:"held,omitempty"`    // matches in Count that were held back while their rule was throttled; the fields are of the first
	Firings  int               `json:"firings,omitempty"` // of a rule that are joined in this one, where they are more than one; the fields are of the last
	Shared   []string          `json:"shared,omitempty"`  // beside those of Group, fields in which all of Firings agree
	Group    []Pair            `json:"group"`             // the fields and values that make Key
	Fields   map[string]string `json:"fields"`            // flat fields of the last event, enrichment included
	Evidence []Match           `json:"evidence"`          // why it fired
	EventIDs []string          `json:"event_ids"`         // the last 100 at most
	Priority string            `json:"priority"`          // P1 (most urgent) to P4, by policy
	Reasons  []Text            `json:"reasons"`           // why that priority

	Judgement
}

// Verdict says how far an attack got.
type Verdict string

// The verdicts, from the least to the worst. No verdict is the empty text:
// nothing that was logged tells.
const (
	Failed      Verdict = "failed"      // it was stopped or refused
	Attempt     Verdict = "attempt"     // it was tried; that it did anything is not shown
	Success     Verdict = "success"     // it did what it was for
	Compromised Verdict = "compromised" // the victim does what the attacker wants
)

// Verdicts lists the verdicts from the least to the worst.
var Verdicts = []Verdict{Failed, Attempt, Success, Compromised}

// Rank orders verdicts: 0 where there is none, 1 for Failed to 4 for Compromised.
func (v Verdict) Rank() int { return slices.Index(Verdicts, v) + 1 }

// Phases lists the phases of Lockheed Martin's kill chain in their order.
var Phases = []string{"reconnaissance", "weaponization", "delivery", "exploitation", "installation", "command-and-control", "actions-on-objectives"}

// Directions lists where an attack goes, seen from the networks that are ours,
// as ECS names it in network.direction.
var Directions = []string{"inbound", "outbound", "lateral", "internal", "external"}

// Threats lists the classes of threats that analysis asks for.
var Threats = []string{"outbound", "lateral", "external", "tunnel", "website"}

// Party is one side of an attack. What is not known is empty.
type Party struct {
	IP     string `json:"ip,omitempty"`
	Name   string `json:"name,omitempty"`   // of the item, else of the host
	User   string `json:"user,omitempty"`   // the account that acts, or that is acted upon
	Zone   string `json:"zone,omitempty"`   // network zone
	Item   string `json:"item,omitempty"`   // id of the configuration item
	System string `json:"system,omitempty"` // name of the business system
	Tenant string `json:"tenant,omitempty"` // whose it is; empty for an address that is nobody's we know
}

// Risk is a class of GB/Z 20986-2007 by its codes: its seven classes and their
// subclasses, and below them types of our own and the user's.
type Risk struct {
	Class    string `json:"class,omitempty"`
	Subclass string `json:"subclass,omitempty"`
	Type     string `json:"type,omitempty"`
}

// Judgement is what is made of a firing beside its priority: how far the attack
// got, where in the course of an intrusion it stands, who attacks whom, and
// what kind of risk it is.
type Judgement struct {
	Verdict       Verdict `json:"verdict,omitempty"`
	VerdictReason Text    `json:"verdict_reason,omitzero"`
	Phase         string  `json:"phase,omitempty"` // of the kill chain, the furthest; one of Phases
	Attacker      *Party  `json:"attacker,omitempty"`
	Victim        *Party  `json:"victim,omitempty"`
	Direction     string  `json:"direction,omitempty"` // one of Directions
	Threat        string  `json:"threat,omitempty"`    // one of Threats
	Attack        string  `json:"attack,omitempty"`    // type of attack, of the taxonomy
	Risk          Risk    `json:"risk,omitzero"`
}

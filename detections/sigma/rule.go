// Package sigma reads Sigma rules (specification 2.1.0, sigmahq.io): YAML
// documents to rules, selections, values with their modifiers applied, and
// the condition as a tree. It decides what a rule means and rejects, with a
// line and a reason, what it cannot mean; matching lives in
// detections/match, state in detections/correlation.
package sigma

import (
	"fmt"
	"time"

	"icewatch/detections"
)

// Error says where in a rule file something is wrong, and what.
type Error struct {
	Line   int    // 1-based; 0 where it is not known
	RuleID string // id of the rule it is about, if it got that far
	Title  string
	Reason string
}

// Error renders the line and the reason.
func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return e.Reason
}

func errorf(line int, format string, args ...any) *Error {
	return &Error{Line: line, Reason: fmt.Sprintf(format, args...)}
}

// Logsource names the kind of events a rule is for. Empty parts mean any.
type Logsource struct {
	Category string
	Product  string
	Service  string
}

// String renders the parts that are set.
func (l Logsource) String() string {
	s := ""
	for _, p := range []struct{ k, v string }{{"product", l.Product}, {"category", l.Category}, {"service", l.Service}} {
		if p.v != "" {
			if s != "" {
				s += " "
			}
			s += p.k + "=" + p.v
		}
	}
	if s == "" {
		return "any"
	}
	return s
}

// Custom is the block `icewatch:` of a rule, our addition to Sigma: texts in
// two languages and how firings group into one alert.
type Custom struct {
	Title    detections.Text
	Sentence detections.Text // with {field.name} places
	Advice   detections.Text
	GroupBy  []string
	Scope    string             // "tenant" (default) or "city": whether a correlation counts over tenants
	Tenants  []string           // of scope city: the slugs of those over which it counts; none for all
	Counted  bool               // raises no alert of its own, only counts for correlations, even for those with generate
	Absence  bool               // a correlation fires when its events stay away for its timespan
	Travel   *Travel            // a correlation asks whether anybody gets from place to place in the time; nil for others
	Lateness time.Duration      // how late a correlation's events may be; 0 is the engine's default
	Verdict  detections.Verdict // how far an attack got of which the rule tells; "" where the event tells
	Attack   string             // its type, of the taxonomy
	Owner    string             // who answers for the rule: a team or a person
	Attacker string             // which end attacks: source, destination or host; "" where the event tells

	Knowledge string   // id of an article of the knowledge base
	Outputs   []Output // what alerts say where that depends on the event: the first that holds counts
}

// Travel is what a correlation of places holds for possible.
type Travel struct {
	KMH     float64 // kilometres an hour beyond which nobody travels
	LeastKM float64 // distance in kilometres below which nothing is said: a database of places is no more exact
}

// Output is what an alert says where a condition holds. What it leaves empty stays
// as the rule, or the output above it, has it.
type Output struct {
	When      *Detection // searches on what the alert shows; nil holds always
	Level     detections.Level
	Title     detections.Text
	Sentence  detections.Text // with {field.name} places
	Advice    detections.Text
	Tags      []string // beside those of the rule
	Knowledge string
	Fields    []OutputField
	Then      []Output // say more, where the first of them holds
	Line      int
}

// OutputField is a field that an output gives its alert.
type OutputField struct {
	Name  string // without output.FieldPrefix
	Value string // with {field.name} places
}

// Related names a rule that this one has to do with.
type Related struct {
	ID   string
	Type string // derived, obsolete, merged, renamed or similar
}

// Rule is one Sigma document: a detection, a correlation or a filter.
type Rule struct {
	ID             string // the id; where there is none the name, else the title
	Name           string
	Title          string
	Status         string
	Description    string
	Level          detections.Level // medium where the rule gives none
	Tags           []string
	Logsource      Logsource
	Fields         []string
	Taxonomy       string // "" for Sigma's own
	Related        []Related
	License        string // SPDX expression
	Author         string
	References     []string
	Date           string // YYYY-MM-DD, as written
	Modified       string // YYYY-MM-DD, as written
	FalsePositives []string
	Scope          []string
	Custom         Custom
	Line           int
	Source         string // YAML text of the document

	// One of these three is set.
	Detection   *Detection
	Correlation *Correlation
	Filter      *Filter

	// Filters are those that went into the detection.
	Filters []*Rule

	// Warnings are what a linter complains of although the rule works.
	Warnings []*Error
}

// Filter narrows the matches of other rules.
type Filter struct {
	Any       bool     // every rule within the filter's log source
	Rules     []string // else the rules with these ids or names
	Detection *Detection
	Line      int
}

// Detection is the searches of a rule and how they combine.
type Detection struct {
	Selections []*Selection // in the order of the document
	Condition  *Expr
}

// Selection is one named search.
type Selection struct {
	Name string
	Line int
	Root *Group
}

// Group combines items and groups: all of them for a map, any for a list.
type Group struct {
	All    bool
	Items  []*Item
	Groups []*Group
}

// Item is one field with the values it is compared to.
type Item struct {
	Field  string   // "" searches all values of the event
	Also   []string // further names the field has; the values of all of them count as the field's
	Line   int
	Values []Value
	All    bool // every value has to match, by one of the field's values each
	Negate bool // neq: none of the values may match
}

// Op is how a value is compared.
type Op uint8

// The comparisons.
const (
	OpPattern  Op = iota // text with wildcards
	OpNumber             // equal as a number
	OpCompare            // less, greater…
	OpRegex              // regular expression, unanchored
	OpCIDR               // address within a network
	OpExists             // the field is there, or is not
	OpNull               // the field is null or absent
	OpFieldRef           // equal to another field of the event
)

// Relation is the comparison of OpCompare and of time parts.
type Relation uint8

// The relations between the field's number and the rule's.
const (
	EQ Relation = iota
	LT
	LTE
	GT
	GTE
)

// TimePart is what is taken from a date before the comparison.
type TimePart uint8

// The parts of a date.
const (
	NoTime TimePart = iota
	Minute
	Hour
	Day
	Week
	Month
	Year
)

// Affix is how a field reference is compared.
type Affix uint8

// The affixes.
const (
	Whole Affix = iota
	Contains
	StartsWith
	EndsWith
)

// Value is one value of an item with all modifiers applied.
type Value struct {
	Op       Op
	Line     int
	Text     string   // as written in the rule
	Pattern  Pattern  // OpPattern
	Cased    bool     // OpPattern, OpFieldRef: letter case counts
	Dash     bool     // OpPattern: - / and the three long dashes are one character
	Number   Number   // OpNumber, OpCompare
	Relation Relation // OpCompare
	Time     TimePart // OpCompare
	Regex    string   // OpRegex: expression with its flags, in Go's syntax
	CIDR     Prefix   // OpCIDR
	Exists   bool     // OpExists
	Field    string   // OpFieldRef
	Also     []string // OpFieldRef: further names of the field referred to
	Affix    Affix    // OpFieldRef
}

// ExprOp is the operator of a condition's node.
type ExprOp uint8

// The operators.
const (
	ExprSelection ExprOp = iota
	ExprAnd
	ExprOr
	ExprNot
	ExprAtLeast // N of the arguments
)

// Expr is a condition's tree.
type Expr struct {
	Op        ExprOp
	Selection int // index into Detection.Selections
	N         int
	Args      []*Expr
}

// Bound is one comparison of a correlation's count.
type Bound struct {
	Relation string // gt, gte, lt, lte, eq, neq
	Value    float64
}

// Correlation is a document that counts the matches of other rules.
type Correlation struct {
	Type       string   // event_count, value_count, temporal, temporal_ordered, value_sum, value_avg, value_percentile or value_median
	Rules      []string // ids or names of detections and correlations
	GroupBy    []string
	Aliases    map[string]map[string]string // alias → rule name or id → field
	Timespan   time.Duration
	Bounds     []Bound       // all have to hold
	Cases      []Case        // temporal types with an expression: any has to hold
	Fields     []string      // value_…: whose values count
	Percentile float64       // value_percentile: 0 to 100; else below 0
	Generate   bool          // the rules referred to also alert themselves
	Travel     *Travel       // asks whether anybody gets from place to place in the time; nil for others
	Absent     bool          // fires when events stay away for the timespan
	Lateness   time.Duration // how late events may be; 0 is the engine's default
	Line       int
}

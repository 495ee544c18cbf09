// Package rulelint finds what is wrong, or likely wrong, with rules that
// compile: documents that do not fit their schema, fields that no event has,
// conditions that cannot be met or always are, searches that every event pays
// for, and rules that are one with other values.
package rulelint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"icewatch/detections/mutation"
	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
	"icewatch/detections/verdict"
)

// How grave a finding is.
const (
	Error   = "error"   // the rule is rejected, or breaks a demand on our own content
	Warning = "warning" // it works, and is likely not what was meant
	Note    = "note"    // worth a look
)

// The checks, as findings name them.
const (
	Rejected    = "rejected"
	Doubtful    = "doubtful" // what the reader of rules warns of
	Schema      = "schema"
	Mapping     = "mapping" // no tactic of ATT&CK, no category of GB/Z 20986
	Field       = "field"
	Unreachable = "unreachable"
	Slow        = "slow"
	Duplicate   = "duplicate"
)

// Checks says of each check what it finds.
var Checks = map[string]string{
	Rejected:    "The rule or file is not in force",
	Doubtful:    "The rule works and holds a mistake",
	Schema:      "The document does not fit the schema of its kind",
	Mapping:     "The rule is not mapped to ATT&CK or GB/Z 20986",
	Field:       "No event has the field",
	Unreachable: "A condition is never met, always met, or has no effect",
	Slow:        "Every event of the log source pays for a costly search",
	Duplicate:   "Rules are one model with other values",
}

// Finding is one.
type Finding struct {
	Path     string `json:"path"`
	Line     int    `json:"line"`
	Rule     string `json:"rule,omitempty"` // id
	Check    string `json:"check"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

// String renders a finding as compilers do.
func (f Finding) String() string {
	return ruleset.Problem{Path: f.Path, Line: f.Line, Reason: f.Message + " [" + f.Check + "]"}.String()
}

// Options say what is looked for.
type Options struct {
	Strict bool            // the demands on our own content: schema, mapping, models that are distinct
	Fields map[string]bool // names that events can have; nil leaves the check out
	Kinds  map[string]bool // fields whose values say what kind of event it is, see mutation.Shape
}

// Lint judges a set that was compiled of a bundle, with the problems that were
// found then. Findings come in the order of paths and lines.
func Lint(b *ruleset.Bundle, set *ruleset.Set, problems []ruleset.Problem, o Options) ([]Finding, error) {
	l := &linter{o: o, set: set}
	for _, p := range problems {
		l.out = append(l.out, Finding{p.Path, p.Line, p.RuleID, Rejected, Error, p.Reason})
	}
	for _, p := range set.Warnings() {
		l.out = append(l.out, Finding{p.Path, p.Line, p.RuleID, Doubtful, Warning, p.Reason})
	}
	if o.Strict {
		if err := l.documents(b); err != nil {
			return nil, err
		}
	}
	known := suggester(o.Fields)
	for _, r := range set.Detections() {
		written := native(r)
		if o.Fields != nil {
			l.fields(r, known)
		}
		l.logic(r, written)
	}
	for _, r := range set.Detections() {
		if !anchored(r.Detection.Condition, r.Detection.Selections) {
			l.slow(r)
		}
	}
	l.duplicates()
	if o.Strict {
		for _, list := range [][]*ruleset.Rule{set.Detections(), set.Correlations()} {
			for _, r := range list {
				l.mapping(r)
			}
		}
	}
	slices.SortStableFunc(l.out, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line)) })
	return slices.Compact(l.out), nil
}

type linter struct {
	o   Options
	set *ruleset.Set
	out []Finding
}

func (l *linter) add(r *ruleset.Rule, line int, check, severity, format string, args ...any) {
	if line == 0 {
		line = r.Line
	}
	l.out = append(l.out, Finding{r.Info.Path, line, r.ID, check, severity, fmt.Sprintf(format, args...)})
}

// native is the rule as it is written, before pipelines.
func native(r *ruleset.Rule) *sigma.Rule {
	if parsed, _ := sigma.Parse([]byte(r.Source), &sigma.Options{KeepPlaceholders: true}); len(parsed) == 1 {
		return parsed[0]
	}
	return r.Rule
}

// mapping demands tactic, technique and category of what raises alerts.
func (l *linter) mapping(r *ruleset.Rule) {
	if r.Silent && r.Custom.Counted {
		return
	}
	t := l.set.Taxonomy()
	classed := r.Custom.Attack != "" && t.Attack(r.Custom.Attack) != nil
	for _, tag := range r.Tags {
		path, ok := strings.CutPrefix(strings.ToLower(tag), verdict.RiskTag)
		if !ok {
			continue
		}
		if _, found := t.Find(path); found {
			classed = true
		} else {
			l.add(r, 0, Mapping, Error, "tag %s: the taxonomy has no such class, subclass and type", tag)
		}
	}
	if !classed {
		l.add(r, 0, Mapping, Error, "it has no category of GB/Z 20986: a tag such as %snai.vai.sql-injection of taxonomy.yml, or icewatch.attack", verdict.RiskTag)
	}
	tactics, techniques := r.Attack()
	if len(tactics) == 0 {
		l.add(r, 0, Mapping, Error, "it has no tactic of ATT&CK, such as the tag attack.initial-access")
	}
	if len(techniques) == 0 {
		l.add(r, 0, Mapping, Error, "it has no technique of ATT&CK, such as the tag attack.t1190")
	}
}

// duplicates finds models of one shape, and rules that ask the same.
func (l *linter) duplicates() {
	byName := map[string]*ruleset.Rule{}
	lists := [][]*ruleset.Rule{l.set.Detections(), l.set.Correlations()}
	for _, list := range lists {
		for _, r := range list {
			byName[r.ID] = r
			if r.Name != "" {
				byName[r.Name] = r
			}
		}
	}
	var of func(name string, depth int) string
	of = func(name string, depth int) string {
		r := byName[name]
		if r == nil || depth > 16 {
			return name
		}
		return mutation.Shape(native(r), l.o.Kinds, func(below string) string { return of(below, depth+1) })
	}
	same, shapes := map[string]*ruleset.Rule{}, map[string]*ruleset.Rule{}
	for _, list := range lists {
		for _, r := range list {
			if r.Detection != nil {
				meaning := r.Meaning()[len(r.ID):]
				if first := same[meaning]; first != nil {
					l.add(r, 0, Duplicate, Warning, "it asks the same of events as %q in %s", first.Title, first.Info.Path)
					continue
				}
				same[meaning] = r
			}
			if !l.o.Strict || r.Silent {
				continue
			}
			shape := of(r.ID, 0)
			if first := shapes[shape]; first != nil {
				l.add(r, 0, Duplicate, Error, "it is one model with %q in %s: the same fields, joined in the same way, with other values", first.Title, first.Info.Path)
				continue
			}
			shapes[shape] = r
		}
	}
}

// Write prints findings: text as compilers do, json, or sarif for code scanning.
func Write(w io.Writer, format string, list []Finding) error {
	switch format {
	case "json":
		if list == nil {
			list = []Finding{}
		}
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(list)
	case "sarif":
		return sarif(w, list)
	}
	for _, f := range list {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return fmt.Errorf("lint: write findings: %w", err)
		}
	}
	return nil
}

// sarif writes the Static Analysis Results Interchange Format 2.1.0 (OASIS).
func sarif(w io.Writer, list []Finding) error {
	type text struct {
		Text string `json:"text"`
	}
	type rule struct {
		ID    string `json:"id"`
		Short text   `json:"shortDescription"`
	}
	type region struct {
		Line int `json:"startLine"`
	}
	type physical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region region `json:"region"`
	}
	type location struct {
		Physical physical `json:"physicalLocation"`
	}
	type result struct {
		RuleID    string     `json:"ruleId"`
		Level     string     `json:"level"`
		Message   text       `json:"message"`
		Locations []location `json:"locations"`
	}
	rules := []rule{}
	for id, short := range Checks {
		rules = append(rules, rule{id, text{short}})
	}
	slices.SortFunc(rules, func(a, b rule) int { return cmp.Compare(a.ID, b.ID) })
	results := []result{}
	for _, f := range list {
		at := location{}
		at.Physical.Artifact.URI, at.Physical.Region.Line = f.Path, max(f.Line, 1)
		results = append(results, result{f.Check, f.Severity, text{f.Message}, []location{at}})
	}
	type driver struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	}
	type run struct {
		Tool    map[string]driver `json:"tool"`
		Results []result          `json:"results"`
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []run{{map[string]driver{"driver": {"icectl rules lint", rules}}, results}}})
}

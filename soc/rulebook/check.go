package rulebook

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"icewatch/detections"
	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Known is a rule that is there already.
type Known struct {
	Info   ruleset.RuleInfo
	Source string // name of the source it comes from
}

// Surroundings are what a rule is judged among.
type Surroundings struct {
	// Rule finds a rule by its id or name.
	Rule func(ref string) (Known, bool)
	// Support are the files that say how rules and events meet: tables of log
	// sources, pipelines.
	Support []ruleset.File
	// Off are the ids of the rules that are switched off.
	Off []string
}

// The gravity of a finding.
const (
	Fault   = "error"   // the rule cannot be kept
	Caution = "warning" // it works, and is likely not what was meant
)

// Finding is what is wrong with a rule.
type Finding struct {
	Line     int    `json:"line" doc:"From 1; 0 where it is about the whole"`
	Column   int    `json:"column" doc:"From 1; 0 where it is not known"`
	Severity string `json:"severity" enum:"error,warning"`
	Message  string `json:"message"`
	Rule     string `json:"rule,omitempty" doc:"Id"`
}

// Read is one rule of a file as it was understood.
type Read struct {
	ID        string           `json:"id"`
	Title     string           `json:"title"`
	Kind      string           `json:"kind" enum:"sigma,correlation"`
	Level     detections.Level `json:"level"`
	Logsource string           `json:"logsource,omitempty"`
	Line      int              `json:"line"`
	Fields    []string         `json:"fields" nullable:"false" doc:"Names of the fields it looks at"`
	Meaning   detections.Text  `json:"meaning"`
}

// Verdict is what a check found.
type Verdict struct {
	OK       bool      `json:"ok" doc:"There are no errors"`
	Findings []Finding `json:"findings" nullable:"false"`
	Rules    []Read    `json:"rules" nullable:"false"`
	Main     string    `json:"main" doc:"Id of the main rule; empty where it gets one when it is kept"`
}

// Check judges a rule's file among the rules there are, without keeping it. id
// is that of the rule it is to replace, empty for a new one.
func (b *Book) Check(source, id string, with Surroundings) Verdict {
	return b.judge(source, id, with, func(rules []*sigma.Rule) []ruleset.Problem {
		_, problems := ruleset.Compile(draftBundle([]string{source}, rules, with), event.NewRegistry(0))
		return slices.DeleteFunc(problems, func(p ruleset.Problem) bool { return p.Path != draftPath(0) })
	})
}

// judge is Check, with what the compiler says of the file from compiled.
func (b *Book) judge(source, id string, with Surroundings, compiled func([]*sigma.Rule) []ruleset.Problem) Verdict {
	v := Verdict{Findings: []Finding{}, Rules: []Read{}}
	lines := strings.Split(source, "\n")
	add := func(severity string, line int, rule, message string) {
		f := Finding{Line: line, Column: column(lines, line, message), Severity: severity, Message: message, Rule: rule}
		if !slices.Contains(v.Findings, f) {
			v.Findings = append(v.Findings, f)
		}
	}
	if len(source) > MaxSource {
		add(Fault, 0, "", fmt.Sprintf("it has %d bytes, and %d are allowed", len(source), MaxSource))
		return v
	}
	rules, errs := sigma.Parse([]byte(source), nil)
	for _, e := range errs {
		add(Fault, e.Line, e.RuleID, e.Reason)
	}
	seen := map[string]bool{}
	for _, r := range rules {
		unnamed := false
		for _, w := range r.Warnings {
			if w.Reason == "id is missing" { // it gets one when it is kept
				unnamed = true
				continue
			}
			add(Caution, w.Line, r.ID, w.Reason)
		}
		read := Read{ID: r.ID, Title: r.Title, Kind: ruleset.KindSigma, Level: r.Level, Line: r.Line, Fields: fields(r), Meaning: Meaning(r)}
		if r.Correlation != nil {
			read.Kind = ruleset.KindCorrelation
		} else {
			read.Logsource = r.Logsource.String()
		}
		if unnamed {
			read.ID = ""
		} else {
			if seen[r.ID] {
				add(Fault, lineOf(lines, r.Line, r.ID), r.ID, fmt.Sprintf("the id %q stands twice in the file", r.ID))
			}
			seen[r.ID] = true
			b.meets(r, lineOf(lines, r.Line, r.ID), id, with, add)
		}
		if v.Main == "" || r.Correlation != nil {
			v.Main = read.ID
		}
		v.Rules = append(v.Rules, read)
	}
	if id != "" && v.Main != "" && v.Main != id && len(errs) == 0 {
		if own, ok := b.Get(id); !ok || own.ID != v.Main {
			add(Fault, lineOf(lines, 1, v.Main), v.Main, fmt.Sprintf("the id of this rule is %q: a rule of another id is a new rule", id))
		}
	}
	if len(errs) == 0 {
		for _, p := range compiled(rules) {
			add(Fault, p.Line, p.RuleID, p.Reason)
		}
	}
	slices.SortStableFunc(v.Findings, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	v.OK = !slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Severity == Fault })
	return v
}

// meets tells what a rule's id says to the rules there are.
func (b *Book) meets(r *sigma.Rule, line int, id string, with Surroundings, add func(severity string, line int, rule, message string)) {
	if own, ok := b.Get(r.ID); ok {
		if self, is := b.Get(id); id == "" || !is || self.ID != own.ID {
			add(Fault, line, r.ID, fmt.Sprintf("a rule with the id %q is already kept in %s", r.ID, own.File))
		}
		return
	}
	if with.Rule == nil {
		return
	}
	if known, ok := with.Rule(r.ID); ok && known.Info.ID == r.ID && known.Source != SourceName && r.ID != id {
		add(Caution, line, r.ID, fmt.Sprintf("it overrides the rule %q of %s", r.ID, known.Source))
	}
}

const draftSource = "draft"

func draftPath(i int) string { return fmt.Sprintf("%s/%d.yml", draftSource, i) }

// draftBundle is a rule set of files, whose rules are given, and what they
// need: the rules they count and the files that say how rules and events meet.
func draftBundle(sources []string, rules []*sigma.Rule, with Surroundings) *ruleset.Bundle {
	b := &ruleset.Bundle{Files: slices.Clone(with.Support)}
	have := map[string]bool{}
	var wanted []string
	for _, r := range rules {
		have[r.ID], have[r.Name] = true, true
		if r.Correlation != nil {
			wanted = append(wanted, r.Correlation.Rules...)
		}
	}
	for len(wanted) > 0 && with.Rule != nil && len(have) < 1000 {
		ref := wanted[0]
		wanted = wanted[1:]
		if have[ref] {
			continue
		}
		have[ref] = true
		known, ok := with.Rule(ref)
		if !ok {
			continue // the compiler says so
		}
		have[known.Info.ID] = true
		b.Files = append(b.Files, ruleset.File{Source: "known", Path: "known/" + fileName(known.Info.ID) + ".yml", Data: []byte(known.Info.Source)})
		more, _ := sigma.Parse([]byte(known.Info.Source), nil)
		for _, r := range more {
			if r.Correlation != nil {
				wanted = append(wanted, r.Correlation.Rules...)
			}
		}
	}
	for i, source := range sources {
		b.Files = append(b.Files, ruleset.File{Source: draftSource, Path: draftPath(i), Data: []byte(source)})
	}
	off := slices.DeleteFunc(slices.Clone(with.Off), func(id string) bool {
		return slices.ContainsFunc(rules, func(r *sigma.Rule) bool { return r.ID == id }) // a rule that is off can be tried
	})
	b.SetDisabled(off)
	return b
}

// fields are the names a rule looks at, sorted.
func fields(r *sigma.Rule) []string {
	out := []string{}
	add := func(name string) {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	var walk func(g *sigma.Group)
	walk = func(g *sigma.Group) {
		for _, it := range g.Items {
			add(it.Field)
			for i := range it.Values {
				if it.Values[i].Op == sigma.OpFieldRef {
					add(it.Values[i].Field)
				}
			}
		}
		for _, sub := range g.Groups {
			walk(sub)
		}
	}
	if r.Detection != nil {
		for _, s := range r.Detection.Selections {
			walk(s.Root)
		}
	}
	if r.Correlation != nil {
		for _, list := range [][]string{r.Correlation.GroupBy, r.Correlation.Fields} {
			for _, name := range list {
				add(name)
			}
		}
	}
	slices.Sort(out)
	return out
}

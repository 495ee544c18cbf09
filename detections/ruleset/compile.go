package ruleset

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"icewatch/detections"
	"icewatch/detections/correlation"
	"icewatch/detections/logsource"
	"icewatch/detections/match"
	"icewatch/detections/output"
	"icewatch/detections/pipeline"
	"icewatch/detections/policy"
	"icewatch/detections/sigma"
	"icewatch/detections/verdict"
	"icewatch/soc/event"
)

// RuleInfo describes one rule to people: the API's /rules list.
type RuleInfo struct {
	ID         string           `json:"id"`
	Name       string           `json:"name,omitempty"`
	Title      detections.Text  `json:"title"`
	Level      detections.Level `json:"level"`
	Kind       string           `json:"kind"`   // sigma, correlation or filter
	Status     string           `json:"status"` // active, rejected or disabled
	Reason     string           `json:"reason,omitempty"`
	Path       string           `json:"path"`
	Line       int              `json:"line"`
	Tactics    []string         `json:"tactics"`
	Techniques []string         `json:"techniques"`
	Tags       []string         `json:"tags"`
	Filters    []string         `json:"filters,omitempty"`   // ids of the Sigma filters that narrow it
	Counts     []string         `json:"counts,omitempty"`    // of correlations: the rules they count, by name or id as they are written
	Knowledge  string           `json:"knowledge,omitempty"` // article of the knowledge base
	Source     string           `json:"-"`                   // YAML text of the rule's document
}

// The kinds and states of rules.
const (
	KindSigma       = "sigma"
	KindCorrelation = "correlation"
	Active          = "active"
	Rejected        = "rejected"
)

// Rule is one rule in force.
type Rule struct {
	*sigma.Rule
	Info   RuleInfo
	Silent bool   // matches are only counted by correlations
	Feeds  []Feed // detections only

	then  []correlation.Input // correlations only: those that count this one
	bases []*Rule             // correlations only: what it counts, by its list of rules

	native *sigma.Rule // as it was before the pipelines
}

// Set is a compiled bundle: immutable, safe for concurrent use.
type Set struct {
	version      string
	infos        []RuleInfo
	detections   []*Rule
	correlations []*Rule
	program      *match.Program
	policy       *policy.Set
	taxonomy     *verdict.Taxonomy
	warnings     []Problem
	timing       Timing

	classes   sync.Map // by *Rule: a verdict.Rule, see Class
	stateOnce sync.Once
	state     []correlation.Rule // see StateRules
}

// Options change how a bundle is compiled.
type Options struct {
	// Unrouted makes every rule apply to every event, whatever its log source.
	Unrouted bool
	// Lenient lets a rule apply to an event that does not tell where it came
	// from (see Strict of logsource.Table).
	Lenient bool
	// Placeholders are the values of the modifier expand.
	Placeholders map[string][]string
	// Native leaves the field names as rules write them: the bundle's own
	// pipelines are not applied.
	Native bool
	// Pipelines are applied beside the bundle's own, by their priority.
	Pipelines []*pipeline.Pipeline
	// FaultsOnly leaves out the program: the set lists its rules and their
	// faults and has the policies, and cannot match.
	FaultsOnly bool
	// NoPolicies leaves the policies out: whoever asks them prepares them by
	// a policy.Shelf, which knows whose signatures to trust. Otherwise they are
	// prepared with signatures unverified, as authors of rules want it.
	NoPolicies bool
	// Elsewhere are ids and names of rules outside of the bundle: a filter
	// that names one of them is not at fault.
	Elsewhere map[string]bool
}

// Compile compiles every rule of the bundle against the registry's fields.
func Compile(b *Bundle, reg *event.Registry) (*Set, []Problem) {
	return CompileWith(b, reg, Options{})
}

// CompileWith is Compile with options.
func CompileWith(b *Bundle, reg *event.Registry, opts Options) (*Set, []Problem) {
	return new(Cache).Compile(b, reg, opts)
}

func compile(b *Bundle, reg *event.Registry, opts Options, cache *Cache) (*Set, []Problem) {
	c := &compiler{set: &Set{version: b.Version}, cache: cache, opts: opts}
	begun := time.Now()
	c.problems = append(c.problems, b.Problems...)
	// Placeholders without values are the pipelines' to fill.
	c.read(b, &sigma.Options{Placeholders: c.placeholders(b), KeepPlaceholders: true})
	c.set.timing.Parse = time.Since(begun)
	c.dedupe()
	c.switchOff(b.Disabled)
	c.filter()
	c.rewrite(b)

	var table *logsource.Table
	if !opts.Unrouted {
		if table = c.table(b); table != nil {
			table.Strict = !opts.Lenient
		}
	}
	programmed := time.Now()
	c.detections(reg, table)
	c.set.timing.Program = time.Since(programmed)
	c.correlate()
	c.set.taxonomy = c.taxonomy(b)

	if !opts.NoPolicies {
		policies, faults := cache.policy(b)
		for _, f := range faults {
			c.problems = append(c.problems, Problem{Path: f.Path, Line: f.Line, Reason: f.Reason})
		}
		c.set.policy = policies
	}
	slices.SortStableFunc(c.set.infos, func(a, b RuleInfo) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line))
	})
	c.set.timing.Rest = time.Since(begun) - c.set.timing.Parse - c.set.timing.Program
	return c.set, c.problems
}

// Rules lists all rules, rejected ones included, sorted by path and line.
func (s *Set) Rules() []RuleInfo { return s.infos }

// Policy returns the prepared policies of the bundle; nil where they were left
// out.
func (s *Set) Policy() *policy.Set { return s.policy }

// Taxonomy returns how the bundle classes alerts; never nil.
func (s *Set) Taxonomy() *verdict.Taxonomy { return s.taxonomy }

// Class is what is known of a rule's firings before it fires. It is worked out
// once; ref is the rule as its firings name it.
func (s *Set) Class(r *Rule, ref *detections.RuleRef) verdict.Rule {
	if c, ok := s.classes.Load(r); ok {
		return c.(verdict.Rule)
	}
	c := s.taxonomy.Classify(ref, verdict.Claims{Verdict: r.Custom.Verdict, Attack: r.Custom.Attack, Attacker: r.Custom.Attacker})
	s.classes.Store(r, c)
	return c
}

// Detections returns the single-event rules in force, in the program's order.
func (s *Set) Detections() []*Rule { return s.detections }

// Correlations returns the correlation rules in force.
func (s *Set) Correlations() []*Rule { return s.correlations }

// Program returns the compiled single-event rules.
func (s *Set) Program() *match.Program { return s.program }

// Version is the bundle's.
func (s *Set) Version() string { return s.version }

// Timing says how long the set took to compile.
func (s *Set) Timing() Timing { return s.timing }

// Warnings are what a linter complains of in rules that work.
func (s *Set) Warnings() []Problem { return s.warnings }

type compiler struct {
	set      *Set
	problems []Problem
	found    []*Rule
	off      map[string]bool // ids and names of the rules that are switched off
	sources  map[*Rule]string
	cache    *Cache
	chain    pipeline.Chain
	opts     Options
}

// read takes in the rules of the bundle's Sigma files.
func (c *compiler) read(b *Bundle, opts *sigma.Options) {
	results := c.cache.parse(b, opts, &c.set.timing)
	c.sources = map[*Rule]string{}
	for i, f := range b.Files {
		if results[i] == nil {
			continue
		}
		for _, e := range results[i].errs {
			c.reject(Problem{Path: f.Path, Line: e.Line, RuleID: e.RuleID, Title: e.Title, Reason: e.Reason}, nil)
		}
		for _, r := range results[i].rules {
			if _, err := output.Compile(r.Custom.Outputs); err != nil {
				fault := Problem{Path: f.Path, Line: r.Line, RuleID: r.ID, Title: r.Title, Reason: err.Error()}
				var at *sigma.Error
				if errors.As(err, &at) {
					fault.Line, fault.Reason = at.Line, at.Reason
				}
				c.reject(fault, nil)
				continue
			}
			rule := &Rule{Rule: r, Info: info(r, f.Path)}
			c.found = append(c.found, rule)
			c.sources[rule] = f.Source
			for _, w := range r.Warnings {
				c.set.warnings = append(c.set.warnings, Problem{Path: f.Path, Line: w.Line, RuleID: r.ID, Title: r.Title, Reason: w.Reason})
			}
		}
	}
}

func info(r *sigma.Rule, path string) RuleInfo {
	tactics, techniques := r.Attack()
	in := RuleInfo{ID: r.ID, Name: r.Name, Title: r.Custom.Title, Level: r.Level, Kind: KindSigma, Status: Active, Path: path, Line: r.Line,
		Tactics: tactics, Techniques: techniques, Tags: r.Tags, Source: r.Source, Knowledge: r.Custom.Knowledge}
	if in.Title.EN == "" {
		in.Title.EN = r.Title
	}
	if in.Title.ZH == "" {
		in.Title.ZH = in.Title.EN
	}
	switch {
	case r.Correlation != nil:
		in.Kind, in.Counts = KindCorrelation, r.Correlation.Rules
	case r.Filter != nil:
		in.Kind = KindFilter
	}
	return in
}

func (c *compiler) reject(p Problem, r *Rule) {
	c.problems = append(c.problems, p)
	in := RuleInfo{ID: p.RuleID, Title: detections.Text{ZH: p.Title, EN: p.Title}, Kind: KindSigma, Path: p.Path, Line: p.Line}
	if r != nil {
		in = r.Info
	}
	if in.ID == "" {
		in.ID = p.Path
	}
	in.Status, in.Reason = Rejected, p.Reason
	c.set.infos = append(c.set.infos, in)
}

func (c *compiler) rejectRule(r *Rule, line int, format string, args ...any) {
	c.reject(Problem{Path: r.Info.Path, Line: line, RuleID: r.ID, Title: r.Title, Reason: fmt.Sprintf(format, args...)}, r)
}

// dedupe settles rules with the same id: a later source overrides an earlier
// one on purpose, within one source it is a mistake.
func (c *compiler) dedupe() {
	last := map[string]*Rule{}
	for _, r := range c.found {
		if had, ok := last[r.ID]; !ok || c.sources[had] != c.sources[r] {
			last[r.ID] = r
		}
	}
	var kept []*Rule
	for _, r := range c.found {
		switch winner := last[r.ID]; {
		case winner == r:
			kept = append(kept, r)
		case c.sources[winner] == c.sources[r]:
			c.rejectRule(r, r.Line, "id %s is already used by %s:%d", r.ID, winner.Info.Path, winner.Line)
		}
	}
	c.found = kept
}

func (c *compiler) table(b *Bundle) *logsource.Table {
	var table *logsource.Table
	for _, f := range b.Files {
		if path.Base(f.Path) != logsource.FileName {
			continue
		}
		t, err := logsource.Parse(f.Data)
		switch {
		case err != nil:
			c.problems = append(c.problems, fault(f.Path, err))
		case table == nil:
			table = t
		default:
			for _, err := range table.Extend(t) {
				c.problems = append(c.problems, fault(f.Path, err))
			}
		}
	}
	return table
}

// taxonomy is what the bundle's files of that name make together, those of later
// sources upon those of earlier ones.
func (c *compiler) taxonomy(b *Bundle) *verdict.Taxonomy {
	t := &verdict.Taxonomy{}
	for _, f := range b.Files {
		if path.Base(f.Path) != verdict.FileName {
			continue
		}
		more, err := t.With(f.Data)
		if err != nil {
			c.problems = append(c.problems, fault(f.Path, err))
			continue
		}
		t = more
	}
	if len(t.Attacks) > 0 {
		for _, r := range c.found {
			if id := r.Custom.Attack; id != "" && t.Attack(id) == nil {
				c.set.warnings = append(c.set.warnings, Problem{Path: r.Info.Path, Line: r.Line, RuleID: r.ID, Title: r.Title,
					Reason: fmt.Sprintf("icewatch.attack %q is no type of attack of the taxonomy", id)})
			}
		}
	}
	return t
}

func (c *compiler) detections(reg *event.Registry, table *logsource.Table) {
	var candidates []*Rule
	var rules []*sigma.Rule
	for _, r := range c.found {
		if r.Detection != nil {
			candidates = append(candidates, r)
			rules = append(rules, r.Rule)
		}
	}
	var program *match.Program
	var errs []error
	if c.opts.FaultsOnly {
		errs = c.cache.check(rules)
	} else {
		program, errs = match.Compile(rules, reg, table)
	}
	failed := slices.ContainsFunc(errs, func(err error) bool { return err != nil })
	for i, r := range candidates {
		if errs[i] != nil {
			c.rejectRule(r, r.Line, "%v", errs[i])
			continue
		}
		c.set.detections = append(c.set.detections, r)
		c.set.infos = append(c.set.infos, r.Info)
	}
	if failed && program != nil { // the program's order has to be that of the rules in force
		rules = rules[:0]
		for _, r := range c.set.detections {
			rules = append(rules, r.Rule)
		}
		program, _ = match.Compile(rules, reg, table)
	}
	c.set.program = program
}

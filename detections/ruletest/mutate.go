package ruletest

import (
	"cmp"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"icewatch/detections"
	"icewatch/detections/mutation"
	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
	"icewatch/detections/verdict"
)

// Named is a test file with its name.
type Named struct {
	Name string
	*File
}

// Survivor is a mutant of a rule for which no test of the rule fails.
type Survivor struct {
	Path   string `json:"path"`
	Line   int    `json:"line"`
	Rule   string `json:"rule"` // name, else id
	ID     string `json:"id"`
	Item   string `json:"item"`
	Change string `json:"change"`
}

// String renders a survivor as compilers do.
func (s Survivor) String() string {
	return fmt.Sprintf("%s:%d: rule %s: no test fails with %s %s", s.Path, s.Line, s.Rule, s.Item, s.Change)
}

// Mutation is what a mutation test found.
type Mutation struct {
	Rules      int        `json:"rules"`      // that have mutants
	Mutants    int        `json:"mutants"`    // that could be judged
	Killed     int        `json:"killed"`     // for which a test fails
	Equivalent int        `json:"equivalent"` // that the tests declare to mean the same; not among Mutants
	Invalid    int        `json:"invalid"`    // that are no rule any more; not among Mutants
	Survivors  []Survivor `json:"survivors"`
	Faults     []string   `json:"faults"` // declarations that are not true
}

// Share is the part of the mutants that is killed, in percent.
func (m *Mutation) Share() float64 {
	if m.Mutants == 0 {
		return 100
	}
	return 100 * float64(m.Killed) / float64(m.Mutants)
}

// expectation is what a case says of one rule.
type expectation struct {
	at   int    // of the case
	rule string // id
	want int    // firings; some for one at least
}

const some = -1

func (e expectation) met(got int) bool {
	if e.want == some {
		return got > 0
	}
	return got == e.want
}

// expectations are what the cases of a file say of rules in force.
func (r *Runner) expectations(f *File) []expectation {
	mentioned := map[string]bool{}
	for i := range f.Cases {
		if f.Cases[i].Fires != nil {
			for _, name := range *f.Cases[i].Fires {
				mentioned[r.ids[name]] = true
			}
		}
	}
	delete(mentioned, "")
	var out []expectation
	for i := range f.Cases {
		c := &f.Cases[i]
		if id := r.ids[c.Rule]; id != "" {
			switch {
			case c.Occurrences != nil:
				out = append(out, expectation{i, id, *c.Occurrences})
			case c.Match != nil && *c.Match:
				out = append(out, expectation{i, id, some})
			case c.Match != nil:
				out = append(out, expectation{i, id, 0})
			}
		}
		if c.Fires == nil {
			continue
		}
		fires := map[string]bool{}
		for _, name := range *c.Fires {
			fires[r.ids[name]] = true
		}
		for id := range mentioned {
			want := 0
			if fires[id] {
				want = some
			}
			out = append(out, expectation{i, id, want})
		}
	}
	return out
}

// mutant is one of a rule, and what became of it.
type mutant struct {
	mutation.Mutant
	of         *ruleset.Rule
	id         string
	line       int // in the file
	killed     bool
	invalid    bool
	equivalent bool
}

// Mutate makes mutants of each rule and tells which of them no test kills. A
// test of a correlation is one of the rules that it counts, too. files are the
// rules' tests and bundle is what the runner's set was compiled of.
func (r *Runner) Mutate(bundle *ruleset.Bundle, files []Named) (*Mutation, error) {
	m := &mutating{Runner: r, rules: map[string]*ruleset.Rule{}, below: map[string]map[string]bool{}, mutants: map[string][]*mutant{}}
	out := &Mutation{Survivors: []Survivor{}, Faults: []string{}}
	ruleFiles := map[string]bool{}
	for _, info := range r.set.Rules() {
		ruleFiles[info.Path] = true
	}
	for _, f := range bundle.Files {
		// Whether a rule fires depends on neither policies nor classes.
		if !ruleFiles[f.Path] && !strings.HasSuffix(f.Path, ".rego") && path.Base(f.Path) != verdict.FileName {
			m.support = append(m.support, f)
		}
	}
	var order []*ruleset.Rule
	for _, list := range [][]*ruleset.Rule{r.set.Detections(), r.set.Correlations()} {
		for _, rule := range list {
			m.rules[rule.ID] = rule
			order = append(order, rule)
		}
	}
	number := 0
	for _, rule := range order {
		parsed, errs := sigma.Parse([]byte(rule.Source), &sigma.Options{KeepPlaceholders: true})
		if len(parsed) != 1 || len(errs) > 0 {
			return nil, fmt.Errorf("mutants of %s: the rule's own text cannot be read", rule.Info.Path)
		}
		list, err := mutation.Of(parsed[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rule.Info.Path, err)
		}
		for _, one := range list {
			number++
			id := fmt.Sprintf("mutant-%d", number)
			m.mutants[rule.ID] = append(m.mutants[rule.ID], &mutant{Mutant: one, of: rule, id: id, line: one.Line - parsed[0].Line + rule.Line})
		}
		if len(list) > 0 {
			out.Rules++
		}
	}
	out.Faults = append(out.Faults, m.declare(files)...)

	type job struct {
		f     *File
		tests []expectation
		rules int
	}
	var jobs []job
	for _, f := range files {
		tests := r.expectations(f.File)
		about := map[string]bool{}
		for _, t := range tests {
			about[t.rule] = true
		}
		if len(tests) > 0 {
			jobs = append(jobs, job{f.File, tests, len(about)})
		}
	}
	// Those about one rule first: what they kill need not be tried by stories.
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(a.rules, b.rules) })
	next := make(chan job)
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for j := range next {
				if err := m.judge(j.f, j.tests); err != nil {
					once.Do(func() { failed = err })
				}
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	for _, rule := range order {
		for _, one := range m.mutants[rule.ID] {
			switch {
			case one.invalid:
				out.Invalid++
			case one.equivalent && one.killed:
				out.Faults = append(out.Faults, fmt.Sprintf("%s:%d: rule %s: %s %s is declared equivalent, and a test fails with it", rule.Info.Path, one.line, called(rule), one.Item, one.Change))
			case one.equivalent:
				out.Equivalent++
			case one.killed:
				out.Mutants, out.Killed = out.Mutants+1, out.Killed+1
			default:
				out.Mutants++
				out.Survivors = append(out.Survivors, Survivor{Path: rule.Info.Path, Line: one.line, Rule: called(rule), ID: rule.ID, Item: one.Item, Change: one.Change})
			}
		}
	}
	slices.SortStableFunc(out.Survivors, func(a, b Survivor) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line)) })
	return out, nil
}

func called(r *ruleset.Rule) string { return cmp.Or(r.Name, r.ID) }

type mutating struct {
	*Runner
	support []ruleset.File // what rules need beside them: log sources, pipelines, placeholders
	rules   map[string]*ruleset.Rule

	mu      sync.Mutex
	below   map[string]map[string]bool // by rule: what it counts, itself included
	mutants map[string][]*mutant       // by rule
}

// declare takes in what test files declare equivalent, of their rule and of
// those that it counts.
func (m *mutating) declare(files []Named) (faults []string) {
	for _, f := range files {
		for _, item := range f.Equivalent {
			found := false
			for id := range m.closure(m.ids[f.Rule]) {
				for _, one := range m.mutants[id] {
					if one.Item+" "+one.Change == item {
						one.equivalent, found = true, true
					}
					// A selection of one item is dropped and negated with that.
					if name, ok := strings.CutPrefix(item, "condition."); ok && strings.HasPrefix(one.Item, strings.TrimSuffix(name, " "+one.Change)+".") {
						found = true
					}
				}
			}
			if !found {
				faults = append(faults, fmt.Sprintf("%s: equivalent: %q is no item of rule %q or one that it counts, with what is done to it, such as \"selection.user.name dropped\"", f.Name, item, f.Rule))
			}
		}
	}
	return faults
}

// closure is what a rule counts, directly and through correlations, and itself.
func (m *mutating) closure(id string) map[string]bool {
	if had, ok := m.below[id]; ok {
		return had
	}
	out := map[string]bool{id: true}
	m.below[id] = out
	if r := m.rules[id]; r != nil && r.Correlation != nil {
		for _, name := range r.Correlation.Rules {
			for below := range m.closure(m.ids[name]) {
				out[below] = true
			}
		}
	}
	return out
}

// judge plays a file's cases over all mutants that they can tell of.
func (m *mutating) judge(f *File, tests []expectation) error {
	m.mu.Lock()
	inside := map[string]bool{} // rules that the tests are about, and what these count
	for _, t := range tests {
		for id := range m.closure(t.rule) {
			inside[id] = true
		}
	}
	var tried []*mutant
	for id := range inside {
		for _, one := range m.mutants[id] {
			if !one.killed && !one.invalid {
				tried = append(tried, one)
			}
		}
	}
	m.mu.Unlock()
	if len(tried) == 0 {
		return nil
	}
	slices.SortFunc(tried, func(a, b *mutant) int { return cmp.Compare(a.id, b.id) })

	b := &ruleset.Bundle{Files: slices.Clone(m.support)}
	add := func(id, source string) {
		b.Files = append(b.Files, ruleset.File{Source: "mutants", Path: path.Join("mutants", id+".yml"), Data: []byte(source)})
	}
	narrowed := map[*sigma.Rule][]string{} // by filter, the mutants it holds for as well
	for id := range inside {
		rule := m.rules[id]
		add(id, rule.Source)
		for _, f := range rule.Filters {
			narrowed[f] = append(narrowed[f], id)
		}
	}
	shown := make([]map[string]string, len(tried)) // by mutant: the id by which each rule shows it
	for i, one := range tried {
		names := map[string]string{one.of.ID: one.id}
		source, err := sigma.Rename(one.Source, one.id, nil)
		if err != nil {
			return err
		}
		add(one.id, source)
		for _, f := range one.of.Filters {
			narrowed[f] = append(narrowed[f], one.id)
		}
		for id := range inside {
			if id != one.of.ID && m.closure1(id)[one.of.ID] {
				names[id] = one.id + "-" + m.rules[id].ID
			}
		}
		renamed := map[string]string{}
		for id, to := range names {
			renamed[id] = to
			if name := m.rules[id].Name; name != "" {
				renamed[name] = to
			}
		}
		for id, to := range names {
			if id == one.of.ID {
				continue
			}
			source, err := sigma.Rename(m.rules[id].Source, to, renamed)
			if err != nil {
				return err
			}
			add(to, source)
		}
		shown[i] = names
	}
	for f, ids := range narrowed {
		source, err := mutation.Renarrow(f.Source, ids)
		if err != nil {
			return err
		}
		add(f.ID, source)
	}
	set, problems := ruleset.CompileWith(b, m.reg, ruleset.Options{NoPolicies: true})
	broken := map[string]bool{}
	for _, p := range problems {
		broken[p.RuleID] = true
	}
	counts := make([]map[string]int, len(f.Cases))
	for i := range f.Cases {
		if !slices.ContainsFunc(tests, func(t expectation) bool { return t.at == i }) {
			continue
		}
		got := map[string]int{}
		if err := m.over(set, f, &f.Cases[i], func(o detections.Occurrence) { got[o.Rule.ID]++ }); err != nil {
			continue // the plain run says so
		}
		counts[i] = got
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, one := range tried {
		if broken[one.id] {
			one.invalid = true
			continue
		}
		for _, t := range tests {
			id, ok := shown[i][t.rule]
			if ok && counts[t.at] != nil && !t.met(counts[t.at][id]) {
				one.killed = true
				break
			}
		}
	}
	return nil
}

// closure1 is closure once it is known: for readers without the lock.
func (m *mutating) closure1(id string) map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closure(id)
}

package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"icewatch/detections"
)

// The packages that are asked, and the rule in each that answers.
const (
	priorityPackage = "data.icewatch.priority"
	incidentPackage = "data.icewatch.incident"
	answerRule      = ".decision"
)

const (
	evalTimeout  = 500 * time.Millisecond // a policy that takes longer is broken
	cacheEntries = 8192
	cacheFor     = 30 * time.Second // policies may look at the clock
)

// Set holds the prepared queries. It is immutable but for its cache, and safe
// for concurrent use.
type Set struct {
	priority *rego.PreparedEvalQuery
	incident *rego.PreparedEvalQuery
	now      func() time.Time

	mu    sync.Mutex
	cache map[string]cached
}

type cached struct {
	priority string
	reasons  []detections.Text
	until    time.Time
}

// capabilities is what a policy may call: everything but the network and the
// server's environment.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool {
		return b.Name == "opa.runtime" || b.Name == "http.send" || strings.HasPrefix(b.Name, "net.lookup")
	})
	c.AllowNet = []string{}
	return c
}

type module struct {
	file File
	ast  *ast.Module
	pkg  string
}

// New prepares the policies in files. A broken file is named among the
// problems and left out: what it would have replaced stays in force.
func New(files []File) (*Set, []Problem) {
	s := &Set{now: time.Now, cache: map[string]cached{}}
	var problems []Problem
	var modules []module
	for _, f := range files {
		if strings.HasSuffix(f.Path, "_test.rego") {
			continue
		}
		m, err := ast.ParseModuleWithOpts(f.Path, string(f.Data), ast.ParserOptions{Capabilities: capabilities()})
		if err != nil {
			problems = append(problems, explain(f.Path, err)...)
			continue
		}
		modules = append(modules, module{file: f, ast: m, pkg: m.Package.Path.String()})
	}
	for {
		chosen := choose(modules)
		bad, faults := s.prepare(chosen)
		if len(faults) == 0 {
			return s, problems
		}
		problems = append(problems, faults...)
		before := len(modules)
		modules = slices.DeleteFunc(modules, func(m module) bool { return bad(m) })
		if len(modules) == before { // nobody to blame: leave all out
			modules = nil
		}
	}
}

// choose keeps, of each package, the modules of the last source that has it.
func choose(modules []module) []module {
	last := map[string]string{}
	for _, m := range modules {
		last[m.pkg] = m.file.Source
	}
	var out []module
	for _, m := range modules {
		if last[m.pkg] == m.file.Source {
			out = append(out, m)
		}
	}
	return out
}

// prepare compiles the modules and tries them once. It answers which modules
// to leave out where that fails.
func (s *Set) prepare(modules []module) (bad func(module) bool, faults []Problem) {
	byPath := map[string]*ast.Module{}
	for _, m := range modules {
		byPath[m.file.Path] = m.ast.Copy()
	}
	c := ast.NewCompiler().WithCapabilities(capabilities())
	c.Compile(byPath)
	if c.Failed() {
		at := map[string]bool{}
		for _, e := range c.Errors {
			p := Problem{Reason: e.Message}
			if e.Location != nil {
				p.Path, p.Line = e.Location.File, e.Location.Row
				at[e.Location.File] = true
			}
			faults = append(faults, p)
		}
		return func(m module) bool { return at[m.file.Path] }, faults
	}
	s.priority, s.incident = nil, nil
	probe := Alert{Tenant: "probe", Rule: Rule{ID: "probe", Level: detections.Low}}
	for _, q := range []struct {
		pkg  string
		into **rego.PreparedEvalQuery
		try  func() error
	}{
		{priorityPackage, &s.priority, func() error { _, _, err := s.ask(context.Background(), probe); return err }},
		{incidentPackage, &s.incident, func() error {
			_, err := s.Incident(context.Background(), IncidentInput{Alert: probe})
			return err
		}},
	} {
		at := slices.IndexFunc(modules, func(m module) bool { return m.pkg == q.pkg })
		if at < 0 {
			continue
		}
		prepared, err := rego.New(rego.Query(q.pkg+answerRule), rego.Compiler(c)).PrepareForEval(context.Background())
		if err == nil {
			*q.into = &prepared
			err = q.try()
		}
		if err != nil {
			faults = append(faults, Problem{Path: modules[at].file.Path, Reason: err.Error()})
			source, pkg := modules[at].file.Source, q.pkg
			return func(m module) bool { return m.pkg == pkg && m.file.Source == source }, faults
		}
	}
	return nil, nil
}

func explain(path string, err error) []Problem {
	var list ast.Errors
	if !errors.As(err, &list) {
		return []Problem{{Path: path, Reason: err.Error()}}
	}
	var out []Problem
	for _, e := range list {
		p := Problem{Path: path, Reason: e.Message}
		if e.Location != nil {
			p.Line = e.Location.Row
		}
		out = append(out, p)
	}
	return out
}

// normal fills what Rego must never see as null.
func (a Alert) normal() Alert {
	for _, list := range []*[]string{&a.Rule.Tactics, &a.Rule.Techniques, &a.Rule.Tags, &a.Item.Labels, &a.Actor.Labels} {
		if *list == nil {
			*list = []string{}
		}
	}
	return a
}

// eval asks a prepared query and decodes its one answer.
func eval(ctx context.Context, q *rego.PreparedEvalQuery, name string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, evalTimeout)
	defer cancel()
	value, err := ast.InterfaceToValue(in)
	if err != nil {
		return fmt.Errorf("policy %s: input: %w", name, err)
	}
	results, err := q.Eval(ctx, rego.EvalParsedInput(value))
	if err != nil {
		if topdown.IsCancel(err) {
			return fmt.Errorf("policy %s: took longer than %v", name, evalTimeout)
		}
		return fmt.Errorf("policy %s: %w", name, err)
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return fmt.Errorf("policy %s: decision is undefined for this input", name)
	}
	data, err := json.Marshal(results[0].Expressions[0].Value)
	if err != nil {
		return fmt.Errorf("policy %s: answer: %w", name, err)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("policy %s: decision has the wrong shape: %w", name, err)
	}
	return nil
}

// Priority answers P1 (most urgent) to P4 and the reasons. Where the policy
// fails to answer, the error says why and the priority follows the rule's
// level alone.
func (s *Set) Priority(ctx context.Context, a Alert) (priority string, reasons []detections.Text, err error) {
	a.ID, a.Status, a.Priority, a.First, a.Last, a.Count, a.Fields = "", "", "", time.Time{}, time.Time{}, 0, nil
	a = a.normal()
	data, err := json.Marshal(a)
	if err != nil {
		return fallback(a, fmt.Errorf("policy: input: %w", err))
	}
	key, now := string(data), s.now()
	s.mu.Lock()
	hit, ok := s.cache[key]
	s.mu.Unlock()
	if ok && now.Before(hit.until) {
		return hit.priority, hit.reasons, nil
	}
	priority, reasons, err = s.ask(ctx, a)
	if err != nil {
		return fallback(a, err)
	}
	s.mu.Lock()
	if len(s.cache) >= cacheEntries {
		clear(s.cache)
	}
	s.cache[key] = cached{priority, reasons, now.Add(cacheFor)}
	s.mu.Unlock()
	return priority, reasons, nil
}

var errNoPolicy = errors.New("there is none")

func (s *Set) ask(ctx context.Context, a Alert) (string, []detections.Text, error) {
	if s.priority == nil {
		return "", nil, fmt.Errorf("policy icewatch.priority: %w", errNoPolicy)
	}
	var out struct {
		Priority string            `json:"priority"`
		Reasons  []detections.Text `json:"reasons"`
	}
	if err := eval(ctx, s.priority, "icewatch.priority", a.normal(), &out); err != nil {
		return "", nil, err
	}
	switch out.Priority {
	case "P1", "P2", "P3", "P4":
		return out.Priority, out.Reasons, nil
	}
	return "", nil, fmt.Errorf("policy icewatch.priority: priority %q is not P1 to P4", out.Priority)
}

func fallback(a Alert, err error) (string, []detections.Text, error) {
	priority := "P4"
	switch a.Rule.Level {
	case detections.Critical:
		priority = "P1"
	case detections.High:
		priority = "P2"
	case detections.Medium:
		priority = "P3"
	}
	return priority, []detections.Text{{
		ZH: "优先级策略未能给出结果，按规则级别取 " + priority + "。",
		EN: "The priority policy gave no answer; " + priority + " follows from the rule's level.",
	}}, err
}

// Incident answers whether an alert makes an incident. On an error nothing
// opens or joins.
func (s *Set) Incident(ctx context.Context, in IncidentInput) (Decision, error) {
	if s.incident == nil {
		return Decision{}, fmt.Errorf("policy icewatch.incident: %w", errNoPolicy)
	}
	in.Alert = in.Alert.normal()
	related := make([]Alert, len(in.Related))
	for i, r := range in.Related {
		related[i] = r.normal()
	}
	in.Related = related
	var d Decision
	if err := eval(ctx, s.incident, "icewatch.incident", in, &d); err != nil {
		return Decision{}, err
	}
	return d, nil
}

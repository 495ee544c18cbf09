package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
)

// TestResult is how one test of a policy ended: a rule whose name begins with
// test_, as `opa test` runs it.
type TestResult struct {
	Path    string
	Line    int
	Package string // without data
	Name    string
	Skipped bool // its name begins with todo_
	Failed  bool
	Why     string // of an error; empty where it just failed
	Output  string // what it printed
	Took    time.Duration
}

// String renders a result as compilers do.
func (r TestResult) String() string {
	s := fmt.Sprintf("%s:%d: %s.%s", r.Path, r.Line, r.Package, r.Name)
	switch {
	case r.Why != "":
		s += ": " + r.Why
	case r.Failed:
		s += " failed"
	case r.Skipped:
		s += " is still to do"
	}
	if out := strings.TrimSpace(r.Output); out != "" {
		s += "\n    " + strings.ReplaceAll(out, "\n", "\n    ")
	}
	return s
}

// testTimeout bounds one test.
const testTimeout = time.Minute

// Test runs the tests among the files, *_test.rego, by OPA's own runner on the
// policies that New would put in force. Policies may call what they may call in
// force, and print. The results are ordered by path and line; an error says that
// the tests could not be run at all.
func Test(ctx context.Context, files []File, keys Keys) ([]TestResult, error) {
	modules, problems := parse(files, keys)
	if len(problems) > 0 {
		return nil, fmt.Errorf("policy: test: %s: %s", problems[0].Path, problems[0].Reason)
	}
	byName, data := map[string]*ast.Module{}, map[string]any{}
	for _, m := range choose(modules) {
		byName[m.name] = m.ast
		if m.bundle != nil {
			merge(data, m.bundle.data)
		}
	}
	for i := range files {
		f := &files[i]
		if !strings.HasSuffix(f.Path, testSuffix) {
			continue
		}
		m, err := ast.ParseModuleWithOpts(f.Path, string(f.Data), ast.ParserOptions{Capabilities: Capabilities()})
		if err != nil {
			p := explain(f.Path, err)[0]
			return nil, fmt.Errorf("policy: test: %s:%d: %s", p.Path, p.Line, p.Reason)
		}
		byName[f.Path] = m
	}
	store := inmem.NewFromObject(data)
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, fmt.Errorf("policy: test: %w", err)
	}
	defer store.Abort(ctx, txn)
	c := ast.NewCompiler().WithCapabilities(Capabilities()).WithEnablePrintStatements(true)
	found, err := tester.NewRunner().SetCompiler(c).SetStore(store).CapturePrintOutput(true).SetTimeout(testTimeout).SetModules(byName).RunTests(ctx, txn)
	if err != nil {
		return nil, fmt.Errorf("policy: test: %w", err)
	}
	var out []TestResult
	for r := range found {
		t := TestResult{Package: strings.TrimPrefix(r.Package, "data."), Name: r.Name, Skipped: r.Skip, Failed: r.Fail || r.Error != nil, Output: string(r.Output), Took: r.Duration}
		if r.Location != nil {
			t.Path, t.Line = r.Location.File, r.Location.Row
		}
		if r.Error != nil {
			t.Why = r.Error.Error()
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b TestResult) int {
		if d := strings.Compare(a.Path, b.Path); d != 0 {
			return d
		}
		return a.Line - b.Line
	})
	return out, nil
}

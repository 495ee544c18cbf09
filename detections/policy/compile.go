package policy

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"icewatch/detections"
)

// Package is a package of Rego that is in force, and where it comes from.
type Package struct {
	Name     string   `json:"name" doc:"As in Rego, without data: icewatch.priority"`
	Asked    bool     `json:"asked" doc:"The suite asks it; the others serve those that it asks"`
	Source   string   `json:"source" doc:"The rule folder, or the bundle"`
	Paths    []string `json:"paths" nullable:"false"`
	Revision string   `json:"revision" doc:"The bundle's revision; of plain files a digest"`
	SignedBy string   `json:"signed_by,omitempty" doc:"The key that the bundle's signature was verified with"`
	Reads    []string `json:"reads,omitempty" doc:"What of the input an answer depends on"`
}

// Capabilities is what a policy may call: everything but the network and the
// server's environment.
func Capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool {
		return b.Name == "opa.runtime" || b.Name == "http.send" || strings.HasPrefix(b.Name, "net.lookup")
	})
	c.AllowNet = []string{}
	return c
}

// module is one parsed file of Rego. name is unique among all: the file's path,
// in a bundle with the path inside it behind.
type module struct {
	name   string
	pkg    string
	source string
	file   *File
	bundle *opened // nil for a plain file
	ast    *ast.Module
}

// New prepares the policies in files, of which bundles are judged by keys. A
// broken file is named among the problems and left out: what it would have
// replaced stays in force. Tests (*_test.rego) are left out too.
func New(files []File, keys Keys) (*Set, []Problem) {
	modules, problems := parse(files, keys)
	for {
		chosen := choose(modules)
		s, bad, faults := prepare(chosen)
		if len(faults) == 0 {
			return s, problems
		}
		problems = append(problems, faults...)
		before := len(modules)
		modules = slices.DeleteFunc(modules, bad)
		if len(modules) == before { // nobody to blame: leave all out
			modules = nil
		}
	}
}

// parse reads every file; what cannot be is among the problems.
func parse(files []File, keys Keys) (modules []module, problems []Problem) {
	for i := range files {
		f := &files[i]
		if strings.HasSuffix(f.Path, testSuffix) {
			continue
		}
		if !IsBundle(f.Path) {
			if err := keys.admitFile(f); err != nil {
				problems = append(problems, Problem{Path: f.Path, Reason: err.Error()})
				continue
			}
			m, err := ast.ParseModuleWithOpts(f.Path, string(f.Data), ast.ParserOptions{Capabilities: Capabilities()})
			if err != nil {
				problems = append(problems, explain(f.Path, err)...)
				continue
			}
			modules = append(modules, module{name: f.Path, pkg: m.Package.Path.String(), source: f.Source, file: f, ast: m})
			continue
		}
		b, err := open(f, keys)
		if err != nil {
			problems = append(problems, explain(f.Path, err)...)
			continue
		}
		for _, m := range b.modules {
			m.file, m.bundle, m.source = f, b, f.Path
			modules = append(modules, m)
		}
	}
	return modules, problems
}

const testSuffix = "_test.rego"

// choose keeps, of each package, the modules of the last source that has it.
func choose(modules []module) []module {
	last := map[string]string{}
	for _, m := range modules {
		last[m.pkg] = m.source
	}
	var out []module
	for _, m := range modules {
		if last[m.pkg] == m.source {
			out = append(out, m)
		}
	}
	return out
}

// compile makes one program of the modules and one document of their data.
func compile(modules []module) (*ast.Compiler, map[string]any) {
	byName, data := map[string]*ast.Module{}, map[string]any{}
	var last *opened
	for _, m := range modules {
		byName[m.name] = m.ast.Copy()
		if m.bundle != nil && m.bundle != last {
			last = m.bundle
			merge(data, last.data)
		}
	}
	c := ast.NewCompiler().WithCapabilities(Capabilities())
	c.Compile(byName)
	return c, data
}

// merge puts what is in from over what is in to, objects into objects.
func merge(to, from map[string]any) {
	for k, v := range from {
		inner, isObject := v.(map[string]any)
		if old, both := to[k].(map[string]any); both && isObject {
			merge(old, inner)
			continue
		}
		if isObject {
			fresh := make(map[string]any, len(inner))
			merge(fresh, inner)
			v = fresh
		}
		to[k] = v
	}
}

// prepare compiles the modules and tries them once. It answers which modules
// to leave out where that fails.
func prepare(modules []module) (s *Set, bad func(module) bool, faults []Problem) {
	c, data := compile(modules)
	if c.Failed() {
		at := map[*File]bool{}
		for _, e := range c.Errors {
			p := Problem{Reason: e.Message}
			if e.Location != nil {
				p.Path, p.Line = e.Location.File, e.Location.Row
				if i := slices.IndexFunc(modules, func(m module) bool { return m.name == e.Location.File }); i >= 0 {
					at[modules[i].file] = true
					if modules[i].bundle != nil {
						p = Problem{Path: modules[i].file.Path, Reason: fmt.Sprintf("%s:%d: %s", modules[i].within(), e.Location.Row, e.Message)}
					}
				}
			}
			faults = append(faults, p)
		}
		return nil, func(m module) bool { return at[m.file] }, faults
	}
	s = newSet()
	store := inmem.NewFromObject(data)
	for _, q := range []struct {
		pkg  string
		into **query
		try  func() error
	}{
		{priorityPackage, &s.priority, s.tryPriority}, {incidentPackage, &s.incident, s.tryIncident},
	} {
		at := slices.IndexFunc(modules, func(m module) bool { return m.pkg == q.pkg })
		if at < 0 {
			continue
		}
		m := modules[at]
		prepared, err := newQuery(c, store, q.pkg, m.revision())
		if err == nil {
			*q.into = prepared
			err = q.try()
		}
		if err != nil {
			pkg, source := m.pkg, m.source
			return nil, func(m module) bool { return m.pkg == pkg && m.source == source }, []Problem{{Path: m.file.Path, Reason: err.Error()}}
		}
	}
	s.packages = s.describe(modules)
	return s, nil, nil
}

// within is a module's path inside its bundle.
func (m *module) within() string { return strings.TrimPrefix(m.name, m.file.Path+"/") }

func (m *module) revision() string {
	if m.bundle != nil {
		return m.bundle.revision
	}
	return digest(m.file.Data)
}

func (s *Set) describe(modules []module) []Package {
	var out []Package
	for i := range modules {
		m := &modules[i]
		name := strings.TrimPrefix(m.pkg, "data.")
		at := slices.IndexFunc(out, func(p Package) bool { return p.Name == name })
		if at < 0 {
			p := Package{Name: name, Source: m.source, Revision: m.revision()}
			if m.bundle != nil {
				p.SignedBy = m.bundle.signedBy
			}
			switch m.pkg {
			case priorityPackage:
				p.Asked, p.Reads = true, s.priority.reads
			case incidentPackage:
				p.Asked = true
			}
			at, out = len(out), append(out, p)
		}
		out[at].Paths = append(out[at].Paths, m.name)
	}
	slices.SortStableFunc(out, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// explain takes an error of OPA apart, so that each fault has its line.
func explain(file string, err error) []Problem {
	var list ast.Errors
	if !errors.As(err, &list) {
		return []Problem{{Path: file, Reason: err.Error()}}
	}
	var out []Problem
	for _, e := range list {
		p := Problem{Path: file, Reason: e.Message}
		if e.Location != nil {
			if IsBundle(file) {
				p.Reason = fmt.Sprintf("%s:%d: %s", strings.TrimPrefix(path.Clean("/"+e.Location.File), "/"), e.Location.Row, e.Message)
			} else {
				p.Line = e.Location.Row
			}
		}
		out = append(out, p)
	}
	return out
}

// probe is the alert that each policy has to answer before it is in force.
var probe = Alert{Tenant: "probe", Rule: Rule{ID: "probe", Level: detections.Low}}

// query is a question whose way through the policies is compiled.
type query struct {
	path     string // as in decision logs: icewatch/priority/decision
	name     string // of the package
	revision string
	compiler *ast.Compiler
	body     ast.Body
	store    storage.Store
	reads    []string
	shape    *shape
	pure     bool
}

var answerVar = ast.Var("answer")

func newQuery(c *ast.Compiler, store storage.Store, pkg, revision string) (*query, error) {
	ref, err := ast.ParseRef(pkg + answerRule)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", pkg, err)
	}
	body, err := c.QueryCompiler().Compile(ast.NewBody(ast.Equality.Expr(ast.NewTerm(answerVar), ast.NewTerm(ref))))
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", pkg, err)
	}
	q := &query{path: strings.ReplaceAll(strings.TrimPrefix(pkg+answerRule, "data."), ".", "/"), name: strings.TrimPrefix(pkg, "data."),
		revision: revision, compiler: c, body: body, store: store}
	var list []leaf
	list, q.pure = reads(c, ref)
	q.shape = newShape(list)
	for _, l := range list {
		q.reads = append(q.reads, strings.TrimPrefix(l.group+"."+l.name, "."))
	}
	return q, nil
}

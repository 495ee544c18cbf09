package rulecli

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/rulelint"
	"icewatch/detections/ruleschema"
	"icewatch/detections/ruleset"
	"icewatch/detections/suppression"
	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/event/catalogue"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/workshop"
)

// LintOptions say how rules are checked.
type LintOptions struct {
	Format string // text, json or sarif
	// Strict makes the demands on our own content; folders whose rules.yml says
	// strict: true make them of themselves.
	Strict bool
}

// manifest is what a folder says of itself in its rules.yml.
type manifest struct {
	Name       string `yaml:"name"`
	Owner      string `yaml:"owner"`
	Strict     bool   `yaml:"strict"`     // the demands on our own content hold for it
	Foundation bool   `yaml:"foundation"` // it has the table of log sources, pipelines, taxonomy and policies itself
}

// manifests reads those of the folders that have one.
func manifests(dirs []string) (out []manifest, err error) {
	for _, dir := range dirs {
		name := filepath.Join(dir, ruleset.Manifest)
		data, err := os.ReadFile(name)
		if err != nil {
			continue // most folders have none, and files are no folders
		}
		var m manifest
		dec := yaml.NewDecoder(bytes.NewReader(data))
		dec.KnownFields(true)
		if err := dec.Decode(&m); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// strict tells whether one of the folders says so.
func strict(dirs []string) (bool, error) {
	list, err := manifests(dirs)
	return slices.ContainsFunc(list, func(m manifest) bool { return m.Strict }), err
}

func foundation(dirs []string) (bool, error) {
	list, err := manifests(dirs)
	return slices.ContainsFunc(list, func(m manifest) bool { return m.Foundation }), err
}

// Fields are the names that events can have: of the catalogue, of what the
// suite's own code and parser packs write.
func Fields() (map[string]bool, error) {
	reg := event.NewRegistry(0)
	pack.Compile(workshop.Sources(), reg)
	out := map[string]bool{}
	for id := event.FieldID(1); ; id++ {
		name := reg.Name(id)
		if name == "" {
			break
		}
		out[name] = true
	}
	list, err := catalogue.Fields()
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		out[f.Name] = true
	}
	return out, nil
}

// Lint checks the rules in dirs (the built-in ones where dirs is empty) and
// writes the findings. problems counts those that are errors or warnings.
func Lint(w, errw io.Writer, dirs []string, o LintOptions) (problems int, err error) {
	b, err := load(dirs)
	if err != nil {
		return 0, err
	}
	own, err := strict(dirs)
	if err != nil {
		return 0, err
	}
	fields, err := Fields()
	if err != nil {
		return 0, err
	}
	set, found := ruleset.CompileWith(b, event.NewRegistry(0), ruleset.Options{Elsewhere: ownNames()})
	list, err := rulelint.Lint(b, set, found, rulelint.Options{Strict: o.Strict || own, Fields: fields, Kinds: kinds})
	if err != nil {
		return 0, err
	}
	beside, err := besides(dirs)
	if err != nil {
		return 0, err
	}
	list = append(list, beside...)
	if !o.Strict && !own {
		list = slices.DeleteFunc(list, func(f rulelint.Finding) bool { return f.Severity == rulelint.Note })
	}
	for _, f := range list {
		if f.Severity != rulelint.Note {
			problems++
		}
	}
	if err := rulelint.Write(w, o.Format, list); err != nil {
		return problems, err
	}
	out := errw
	if o.Format == "" || o.Format == "text" {
		out = w
	}
	fmt.Fprintf(out, "%d rules, %d findings\n", len(set.Rules()), problems)
	return problems, nil
}

// besides checks what lies beside rules by the schemas: tests, suppressions and
// parser packs.
func besides(dirs []string) (out []rulelint.Finding, err error) {
	each := func(fsys fs.FS, prefix string) error {
		return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			kind := besideKind(name)
			if kind == "" {
				return nil
			}
			data, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			out = append(out, beside(kind, path.Join(prefix, name), data)...)
			return nil
		})
	}
	if len(dirs) == 0 {
		err = each(rules.FS, builtin)
	}
	for _, dir := range dirs {
		if st, statErr := os.Stat(dir); statErr == nil && st.IsDir() && err == nil {
			err = each(os.DirFS(dir), filepath.ToSlash(filepath.Clean(dir)))
		}
	}
	return out, err
}

func besideKind(name string) string {
	top, _, _ := strings.Cut(name, "/")
	switch {
	case strings.HasSuffix(name, ".test.yml"), strings.HasSuffix(name, ".test.yaml"):
		return ruleschema.Test
	case top == "suppressions" && (strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml")):
		return ruleschema.Suppression
	case top == "parsers" && strings.HasSuffix(name, "/pack.yml"):
		return ruleschema.ParserPack
	}
	return ""
}

// beside checks one file by its schema; suppressions also by their own reader.
func beside(kind, name string, data []byte) (out []rulelint.Finding) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return []rulelint.Finding{{Path: name, Check: rulelint.Rejected, Severity: rulelint.Error, Message: err.Error()}}
	}
	if kind == ruleschema.Suppression {
		_, faults := suppression.Parse(name, data)
		for _, f := range faults {
			out = append(out, rulelint.Finding{Path: name, Line: f.Line, Rule: f.ID, Check: rulelint.Rejected, Severity: rulelint.Error, Message: f.Reason})
		}
		return out
	}
	if len(doc.Content) == 0 {
		return nil
	}
	faults, err := ruleschema.Check(kind, doc.Content[0])
	if err != nil {
		return []rulelint.Finding{{Path: name, Check: rulelint.Schema, Severity: rulelint.Error, Message: err.Error()}}
	}
	for _, f := range faults {
		out = append(out, rulelint.Finding{Path: name, Line: f.Line, Check: rulelint.Schema, Severity: rulelint.Error, Message: f.Reason})
	}
	return out
}

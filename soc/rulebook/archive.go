package rulebook

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Bounds of an import.
const (
	maxImportFiles = 20_000
	maxImportBytes = 256 << 20 // unpacked
)

// What became of a file of an import.
const (
	FileCreated = "created"
	FileChanged = "changed"
	FileSame    = "same"    // it is kept as it is already
	FileSkipped = "skipped" // another version of it is kept
	FileInvalid = "invalid"
)

// Imported is what became of one file.
type Imported struct {
	File   string   `json:"file"`
	Result string   `json:"result" enum:"created,changed,same,skipped,invalid"`
	IDs    []string `json:"ids" nullable:"false"`
	Title  string   `json:"title,omitempty"`
	Line   int      `json:"line,omitempty"`
	Reason string   `json:"reason,omitempty"`
}

// Report is what became of an import.
type Report struct {
	Created int        `json:"created"`
	Changed int        `json:"changed"`
	Same    int        `json:"same"`
	Skipped int        `json:"skipped"`
	Invalid int        `json:"invalid"`
	Files   []Imported `json:"files" nullable:"false"`
	DryRun  bool       `json:"dry_run"`
}

// ImportOptions say how an import is done.
type ImportOptions struct {
	By      string
	Note    string
	Name    string // of the file, where it is not an archive
	DryRun  bool
	Replace bool // rules that are there are changed, not skipped
}

// Import takes in a ZIP archive of rules, or one file with any number of
// rules in it. A file that is wrong is named and does not keep the others out.
func (b *Book) Import(data []byte, with Surroundings, o ImportOptions) (Report, error) {
	r := Report{Files: []Imported{}, DryRun: o.DryRun}
	files, err := unpack(data, o.Name)
	if err != nil {
		return r, err
	}
	if !o.DryRun {
		b.importing.Add(1)
		defer b.importing.Add(-1)
	}
	faults := together(files, with)
	with = amid(files, with)
	for i, f := range files {
		done, err := b.takeIn(f, faults[i], with, o)
		if err != nil {
			return r, err
		}
		switch done.Result {
		case FileCreated:
			r.Created++
		case FileChanged:
			r.Changed++
		case FileSame:
			r.Same++
		case FileSkipped:
			r.Skipped++
		default:
			r.Invalid++
		}
		r.Files = append(r.Files, done)
	}
	return r, nil
}

// together compiles the files of an import at once, which takes a fraction of
// what one after the other takes, and returns what is wrong with each.
func together(files []packed, with Surroundings) map[int][]ruleset.Problem {
	sources := make([]string, len(files))
	at := make(map[string]int, len(files))
	var rules []*sigma.Rule
	seen := map[string]bool{}
	for i, f := range files {
		found, errs := sigma.Parse([]byte(f.text), nil)
		if len(errs) > 0 || slices.ContainsFunc(found, func(r *sigma.Rule) bool { return seen[r.ID] }) {
			continue // the first is judged by itself; the other becomes a version of one that is here already
		}
		for _, r := range found {
			seen[r.ID] = true
		}
		sources[i], at[draftPath(i)] = f.text, i
		rules = append(rules, found...)
	}
	bundle := draftBundle(sources, rules, with)
	bundle.Files = slices.DeleteFunc(bundle.Files, func(f ruleset.File) bool { return f.Source == draftSource && len(f.Data) == 0 })
	_, problems := ruleset.Compile(bundle, event.NewRegistry(0))
	out := map[int][]ruleset.Problem{}
	for _, p := range problems {
		if i, ok := at[p.Path]; ok {
			out[i] = append(out[i], p)
		}
	}
	return out
}

// amid lets the rules of an import refer to each other.
func amid(files []packed, with Surroundings) Surroundings {
	among := map[string]Known{}
	for _, f := range files {
		rules, _ := sigma.Parse([]byte(f.text), nil)
		for _, r := range rules {
			known := Known{Info: ruleset.RuleInfo{ID: r.ID, Name: r.Name, Source: r.Source}, Source: SourceName}
			among[r.ID] = known
			if r.Name != "" {
				among[r.Name] = known
			}
		}
	}
	before := with.Rule
	with.Rule = func(ref string) (Known, bool) {
		if before != nil {
			if k, ok := before(ref); ok {
				return k, true
			}
		}
		k, ok := among[ref]
		return k, ok
	}
	return with
}

type packed struct{ name, text string }

func unpack(data []byte, name string) ([]packed, error) {
	if !bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		if len(data) == 0 {
			return nil, fmt.Errorf("%w: the file is empty", ErrInvalid)
		}
		if name == "" {
			name = "rule.yml"
		}
		return []packed{{name, string(data)}}, nil
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("%w: the archive cannot be read: %w", ErrInvalid, err)
	}
	var out []packed
	left := int64(maxImportBytes)
	for _, f := range z.File {
		if f.FileInfo().IsDir() || !isRule(f.Name) || strings.HasPrefix(path.Base(f.Name), ".") || strings.Contains(f.Name, "__MACOSX/") {
			continue
		}
		if len(out) >= maxImportFiles {
			return nil, fmt.Errorf("%w: the archive holds more than %d rules", ErrInvalid, maxImportFiles)
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%w: %s in the archive cannot be read: %w", ErrInvalid, f.Name, err)
		}
		text, err := io.ReadAll(io.LimitReader(r, min(left, MaxSource+1)))
		_ = r.Close()
		if err != nil {
			return nil, fmt.Errorf("%w: %s in the archive cannot be read: %w", ErrInvalid, f.Name, err)
		}
		if left -= int64(len(text)); left <= 0 {
			return nil, fmt.Errorf("%w: the archive holds more than %d MiB", ErrInvalid, maxImportBytes>>20)
		}
		out = append(out, packed{f.Name, string(text)})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: the archive holds no .yml or .yaml files", ErrInvalid)
	}
	slices.SortFunc(out, func(a, b packed) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

func (b *Book) takeIn(f packed, faults []ruleset.Problem, with Surroundings, o ImportOptions) (Imported, error) {
	text, done := f.text, Imported{File: f.name, IDs: []string{}}
	invalid := func(line int, reason string) (Imported, error) {
		done.Result, done.Line, done.Reason = FileInvalid, line, reason
		return done, nil
	}
	ready, err := prepare(text, "")
	if err != nil {
		v := b.Check(text, "", Surroundings{})
		for _, f := range v.Findings {
			if f.Severity == Fault {
				return invalid(f.Line, f.Message)
			}
		}
		return invalid(0, err.Error())
	}
	done.IDs = ready.ids
	had, there := b.Get(ready.main)
	v := b.judge(ready.source, map[bool]string{true: had.ID}[there], with, func([]*sigma.Rule) []ruleset.Problem { return faults })
	if len(v.Rules) > 0 {
		done.Title = v.Rules[0].Title
	}
	for _, f := range v.Findings {
		if f.Severity == Fault {
			return invalid(f.Line, f.Message)
		}
	}
	c := Change{By: o.By, Note: o.Note, Action: ByImport, Revision: had.Revision}
	switch {
	case there && had.Source == ready.source:
		done.Result = FileSame
		return done, nil
	case there && !o.Replace:
		done.Result, done.Reason = FileSkipped, "another version of it is kept"
		return done, nil
	case there:
		done.Result = FileChanged
		if !o.DryRun {
			_, _, err = b.Update(had.ID, ready.source, c)
		}
	default:
		done.Result = FileCreated
		if !o.DryRun {
			_, err = b.Create(ready.source, c)
		}
	}
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrInvalid) {
		return invalid(0, err.Error())
	}
	return done, err
}

// Export packs files into a ZIP archive under their names.
func Export(w io.Writer, files map[string]string, at time.Time) error {
	z := zip.NewWriter(w)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at})
		if err != nil {
			return fmt.Errorf("rulebook: export: %w", err)
		}
		if _, err := io.WriteString(f, files[name]); err != nil {
			return fmt.Errorf("rulebook: export: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("rulebook: export: %w", err)
	}
	return nil
}

package saved

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"go.yaml.in/yaml/v3"
)

// The formats that files say they are in.
const (
	searchesFormat = "icewatch/searches/v1"
	groupsFormat   = "icewatch/log-groups/v1"
)

const (
	// MaxFile bounds a file in bytes.
	MaxFile     = 8 << 20
	maxEntries  = 5000
	maxReported = 200 // errors that a report holds
)

// What an import does with an entry whose name is taken.
const (
	ConflictFail   = "fail"    // reports an error
	ConflictUpdate = "replace" // changes what is there
	ConflictRename = "rename"  // keeps both
)

// EntryError is one mistake in a file. Entry counts from 1; 0 is the file as a
// whole.
type EntryError struct {
	Entry   int    `json:"entry"`
	Name    string `json:"name,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// Report is what an import did, or would do. Where there are errors, nothing
// was imported.
type Report struct {
	Created  int          `json:"created"`
	Updated  int          `json:"updated"`
	Renamed  int          `json:"renamed"`
	DryRun   bool         `json:"dry_run"`
	Rejected int          `json:"rejected" doc:"Errors in all; errors lists the first"`
	Errors   []EntryError `json:"errors" nullable:"false"`
}

func (r *Report) fail(entry int, name, field, format string, args ...any) {
	r.Rejected++
	if len(r.Errors) < maxReported {
		r.Errors = append(r.Errors, EntryError{entry, name, field, fmt.Sprintf(format, args...)})
	}
}

// ImportOptions say how a file is taken in.
type ImportOptions struct {
	YAML     bool // else JSON
	DryRun   bool // check and count, change nothing
	Conflict string
}

// file is what both formats hold; each entry is looked at by itself.
type file struct {
	Format   string            `json:"format"`
	Searches []json.RawMessage `json:"searches,omitempty"`
	Groups   []json.RawMessage `json:"groups,omitempty"`
}

// asJSON turns YAML into JSON, so that there is one way to read entries.
func asJSON(data []byte, isYAML bool) ([]byte, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("the file has %d bytes: %d are the most", len(data), MaxFile)
	}
	if !isYAML {
		return bytes.TrimPrefix(data, []byte("\ufeff")), nil
	}
	var doc any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("it is not valid YAML: %w", err)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("it holds what JSON cannot say: %w", err)
	}
	if len(out) > 8*MaxFile { // aliases can make little text large
		return nil, fmt.Errorf("unfolded it has %d bytes: %d are the most", len(out), 8*MaxFile)
	}
	return out, nil
}

func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind the first value")
	}
	return nil
}

// read takes a file apart into its entries.
func read(data []byte, o ImportOptions, format string, entries func(file) []json.RawMessage, r *Report) []json.RawMessage {
	doc, err := asJSON(data, o.YAML)
	if err != nil {
		r.fail(0, "", "", "%s", err)
		return nil
	}
	var f file
	if err := strict(doc, &f); err != nil {
		r.fail(0, "", "", "the file cannot be read: %s", err)
		return nil
	}
	if f.Format != format {
		r.fail(0, "", "format", "it is %.64q: %s is right", f.Format, format)
		return nil
	}
	list := entries(f)
	if len(list) > maxEntries {
		r.fail(0, "", "", "the file has %d entries: %d are the most", len(list), maxEntries)
		return nil
	}
	return list
}

// write makes a file of a document.
func write(doc any, asYAML bool) ([]byte, error) {
	if !asYAML {
		out, err := json.MarshalIndent(doc, "", "  ")
		return append(out, '\n'), err
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	// JSON is YAML: read as such, the keys keep their order.
	var node yaml.Node
	if err := yaml.Unmarshal(raw, &node); err != nil {
		return nil, err
	}
	block(&node)
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return nil, err
	}
	return buf.Bytes(), enc.Close()
}

// block writes a node as people write YAML: over several lines, and with
// quotes only where the text would read as something else without.
func block(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		var plain yaml.Node
		plain.SetString(n.Value)
		n.Style = plain.Style
	}
	for _, c := range n.Content {
		block(c)
	}
}

// ExportSearches writes the searches of the query that the asker may see.
// Groups stand in it by their path.
func (s *Store) ExportSearches(ctx context.Context, a Asker, q SearchQuery, asYAML bool) ([]byte, error) {
	q.Limit, q.Cursor = 1<<30, ""
	list, _, _, err := s.Searches(ctx, a, q)
	if err != nil {
		return nil, err
	}
	t := s.groups.Load()
	doc := struct {
		Format   string    `json:"format"`
		Searches []Content `json:"searches"`
	}{searchesFormat, []Content{}}
	for _, x := range list {
		c := x.Content()
		if c.Group != "" {
			c.Group = t.path(c.Group)
		}
		doc.Searches = append(doc.Searches, c)
	}
	out, err := write(doc, asYAML)
	if err != nil {
		return nil, fmt.Errorf("saved: write the searches: %w", err)
	}
	return out, nil
}

// errRolledBack ends a transaction that must leave nothing behind.
var errRolledBack = errors.New("nothing is kept")

// ImportSearches takes a file in as searches of the asker's, all or nothing.
// What is wrong stands in the report.
func (s *Store) ImportSearches(ctx context.Context, a Asker, data []byte, o ImportOptions) (Report, error) {
	r := Report{DryRun: o.DryRun, Errors: []EntryError{}}
	entries := read(data, o, searchesFormat, func(f file) []json.RawMessage { return f.Searches }, &r)
	if r.Rejected > 0 {
		return r, nil
	}
	t := s.groups.Load()
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		seen := map[string]int{}
		for i, raw := range entries {
			at := i + 1
			var c Content
			if err := strict(raw, &c); err != nil {
				r.fail(at, c.Name, "", "the entry cannot be read: %s", err)
				continue
			}
			if c.Group != "" {
				if n, ok := t.at(c.Group); ok {
					c.Group = n.ID
				}
			}
			if f := s.check(a, &c); len(f) > 0 {
				for _, x := range f {
					r.fail(at, c.Name, x.field, "%s", x.message)
				}
				continue
			}
			if c.Visibility != Private && !a.Share {
				r.fail(at, c.Name, "visibility", "sharing a search needs the operation share-saved-search; write private")
				continue
			}
			if first := seen[c.Folder+"\x00"+c.Name]; first > 0 && o.Conflict != ConflictRename {
				r.fail(at, c.Name, "name", "the entry %d has the same name in the same folder", first)
				continue
			}
			if err := s.importSearch(ctx, tx, a, c, o.Conflict, at, &r); err != nil {
				return err
			}
			seen[c.Folder+"\x00"+c.Name] = at
		}
		if o.DryRun || r.Rejected > 0 {
			return errRolledBack
		}
		return nil
	})
	if errors.Is(err, errRolledBack) {
		err = nil
	}
	return r, err
}

func (s *Store) importSearch(ctx context.Context, tx bun.Tx, a Asker, c Content, onConflict string, at int, r *Report) error {
	var rows []searchRow
	if err := tx.NewSelect().Model(&rows).Where("s.owner = ?", a.User).Where("s.folder = ?", c.Folder).Scan(ctx); err != nil {
		return fmt.Errorf("saved: read the folder %q: %w", c.Folder, err)
	}
	taken := func(name string) *searchRow {
		if i := slices.IndexFunc(rows, func(x searchRow) bool { return x.Name == name }); i >= 0 {
			return &rows[i]
		}
		return nil
	}
	there := taken(c.Name)
	switch {
	case there == nil:
		r.Created++
	case onConflict == ConflictUpdate:
		if _, err := s.replace(ctx, tx, a, there, c); err != nil {
			return err
		}
		r.Updated++
		return nil
	case onConflict == ConflictRename:
		base := c.Name
		for n := 2; taken(c.Name) != nil; n++ {
			c.Name = fmt.Sprintf("%s (%d)", base, n)
		}
		r.Renamed++
	default:
		r.fail(at, c.Name, "name", "there is a search of this name in the folder %q already: import with on_conflict=replace or rename", c.Folder)
		return nil
	}
	_, err := s.insert(ctx, tx, a, c)
	if errors.Is(err, ErrConflict) {
		r.fail(at, c.Name, "", "%s", strings.TrimPrefix(err.Error(), ErrConflict.Error()+": "))
		return nil
	}
	return err
}

// portableGroup is a node in a file: known by its path, without who may use
// it, which is not the file's business.
type portableGroup struct {
	Path string `json:"path"`
	NodeContent
}

// MarshalJSON leaves out the name, which is the end of the path.
func (p portableGroup) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Path        string   `json:"path"`
		Kind        string   `json:"kind"`
		Description string   `json:"description,omitempty"`
		Filter      string   `json:"filter,omitempty"`
		Tenants     []string `json:"tenants,omitempty"`
		Span        string   `json:"span,omitempty"`
	}{p.Path, p.Kind, p.Description, p.Filter, p.Tenants, p.Span})
}

// ExportGroups writes the groups that the asker may use, parents first.
func (s *Store) ExportGroups(ctx context.Context, a Asker, asYAML bool) ([]byte, error) {
	list, err := s.Groups(ctx, a)
	if err != nil {
		return nil, err
	}
	t := s.groups.Load()
	doc := struct {
		Format string          `json:"format"`
		Groups []portableGroup `json:"groups"`
	}{groupsFormat, []portableGroup{}}
	for _, n := range list {
		doc.Groups = append(doc.Groups, portableGroup{t.path(n.ID), NodeContent{Kind: n.Kind, Description: n.Description, Filter: n.Filter, Tenants: n.Tenants, Span: n.Span}})
	}
	out, err := write(doc, asYAML)
	if err != nil {
		return nil, fmt.Errorf("saved: write the log groups: %w", err)
	}
	return out, nil
}

// ImportGroups takes a file in, all or nothing. A node is known by its path;
// one that is there already is changed, its access stays. secure is as for
// UpdateGroup.
func (s *Store) ImportGroups(ctx context.Context, data []byte, o ImportOptions, secure bool) (Report, error) {
	r := Report{DryRun: o.DryRun, Errors: []EntryError{}}
	entries := read(data, o, groupsFormat, func(f file) []json.RawMessage { return f.Groups }, &r)
	if r.Rejected > 0 {
		return r, nil
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	t := s.groups.Load()
	nodes := slices.Clone(t.ordered)
	var changed []Node
	paths := map[string]Node{}
	last := map[string]int{}
	for _, n := range nodes {
		paths[t.path(n.ID)] = n
		last[n.Parent] = max(last[n.Parent], n.Position+1)
	}
	seen := map[string]int{}
	for i, raw := range entries {
		at := i + 1
		var p portableGroup
		if err := strict(raw, &p); err != nil {
			r.fail(at, p.Path, "", "the entry cannot be read: %s", err)
			continue
		}
		parent, name := "", p.Path
		if cut := strings.LastIndexByte(p.Path, '/'); cut >= 0 {
			parent, name = p.Path[:cut], p.Path[cut+1:]
		}
		p.Name = name
		if f := s.checkNode(&p.NodeContent); len(f) > 0 {
			for _, x := range f {
				r.fail(at, p.Path, x.field, "%s", x.message)
			}
			continue
		}
		if first := seen[p.Path]; first > 0 {
			r.fail(at, p.Path, "path", "the entry %d has the same path", first)
			continue
		}
		seen[p.Path] = at
		above := ""
		if parent != "" {
			dir, ok := paths[parent]
			if !ok || dir.Kind != KindDirectory {
				r.fail(at, p.Path, "path", "there is no directory %q: write it before what lies in it", parent)
				continue
			}
			if strings.Count(p.Path, "/")+1 > maxDepth {
				r.fail(at, p.Path, "path", "the tree would be deeper than %d levels", maxDepth)
				continue
			}
			above = dir.ID
		}
		n, there := paths[p.Path]
		switch {
		case there && n.Kind != p.Kind:
			r.fail(at, p.Path, "kind", "it is a %s already", n.Kind)
			continue
		case there && n.Confines && !secure && (n.Filter != p.Filter || !slices.Equal(n.Tenants, p.Tenants)):
			r.fail(at, p.Path, "filter", "the group confines what people see: only who may do the operation set-log-group-access changes it")
			continue
		case there:
			n.fill(p.NodeContent)
			n.Revision++
			n.UpdatedAt = s.now().UTC()
			r.Updated++
		default:
			n = s.newNode(above, p.NodeContent)
			n.Position = last[above]
			last[above]++
			r.Created++
		}
		paths[p.Path] = n
		changed = append(changed, n)
	}
	if len(t.byID)+r.Created > maxGroups {
		r.fail(0, "", "", "there would be %d directories and groups: %d are the most", len(t.byID)+r.Created, maxGroups)
	}
	if o.DryRun || r.Rejected > 0 {
		return r, nil
	}
	return r, s.keepGroups(ctx, changed...)
}

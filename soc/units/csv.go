package units

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"icewatch/soc/spreadsheet"
)

// The columns of the file that units are imported from and exported to. A unit
// is known by its code; parents and supporting organisations are named by
// theirs.
var columns = []string{"code", "parent_code", "name_zh", "name_en", "region", "industry", "kind", "supports_code", "labels"}

// Report is the outcome of an import. Where Errors is not empty, nothing was
// imported.
type Report struct {
	Created   int        `json:"created"`
	Updated   int        `json:"updated"`
	Unchanged int        `json:"unchanged"`
	DryRun    bool       `json:"dry_run"`
	Errors    []RowError `json:"errors"`
}

// RowError is one mistake in a file; the header is row 1.
type RowError struct {
	Row     int    `json:"row"`
	Column  string `json:"column,omitempty"`
	Message string `json:"message"`
}

// Import takes units from CSV (RFC 4180, UTF-8, with or without a byte order
// mark), all or none. Columns may come in any order; code and name_zh must be
// there. within, if not "", is the unit below which everything must stay.
func (s *Store) Import(ctx context.Context, r io.Reader, within string, dryRun bool) (Report, error) {
	report := Report{DryRun: dryRun, Errors: []RowError{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.Tree()
	fail := func(row int, column, format string, args ...any) {
		if len(report.Errors) < 1000 {
			report.Errors = append(report.Errors, RowError{row, column, fmt.Sprintf(format, args...)})
		}
	}
	rows, at, err := readCSV(r)
	if err != nil {
		fail(1, "", "%s", err)
		return report, nil
	}
	for _, must := range []string{"code", "name_zh"} {
		if _, ok := at[must]; !ok {
			fail(1, must, "the column is missing; the file has the columns %s", strings.Join(columns, ", "))
			return report, nil
		}
	}
	byCode := map[string]string{}
	for _, u := range t.All() {
		if u.Code != "" {
			byCode[u.Code] = u.ID
		}
	}
	list := make([]Unit, len(rows))
	seen := map[string]int{}
	for i, rec := range rows {
		code := rec.get(at, "code")
		switch {
		case code == "":
			fail(rec.line, "code", "it is empty: a unit is known by its code")
		case seen[code] > 0:
			fail(rec.line, "code", "%q stands in row %d already", code, seen[code])
		}
		seen[code] = rec.line
		list[i] = Unit{ID: byCode[code], Code: code}
		if id := byCode[code]; id == "" {
			list[i].ID = "unit_" + strings.ToLower(code)
			if _, taken := t.Get(list[i].ID); taken || !idPattern.MatchString(list[i].ID) {
				list[i].ID = ""
			}
			if list[i].ID != "" {
				byCode[code] = list[i].ID
			} else {
				fail(rec.line, "code", "%q cannot be made an id: 1 to 59 letters, digits and . _ : -", code)
			}
		}
	}
	for i, rec := range rows {
		u := &list[i]
		if old, ok := t.Get(u.ID); ok {
			*u = old
		}
		ref := func(column string, into *string) {
			if _, there := at[column]; !there {
				return
			}
			code := rec.get(at, column)
			id, ok := byCode[code]
			if code != "" && !ok {
				fail(rec.line, column, "there is no unit with the code %q, here or in the file", code)
			}
			*into = id
		}
		ref("parent_code", &u.Parent)
		ref("supports_code", &u.Supports)
		for column, into := range map[string]*string{"name_zh": &u.Name.ZH, "name_en": &u.Name.EN, "region": &u.Region, "industry": &u.Industry, "kind": &u.Kind} {
			if _, there := at[column]; there {
				*into = rec.get(at, column)
			}
		}
		if _, there := at["labels"]; there {
			u.Labels = nil
			for l := range strings.SplitSeq(rec.get(at, "labels"), ";") {
				if l = strings.TrimSpace(l); l != "" {
					u.Labels = append(u.Labels, l)
				}
			}
		}
		if err := u.check(); err != nil && u.ID != "" {
			fail(rec.line, "", "%s", err)
		}
		old, exists := t.Get(u.ID)
		switch {
		case !exists:
			report.Created++
		case same(old, *u):
			report.Unchanged++
		default:
			report.Updated++
		}
		if within != "" && u.ID != "" && !inside(t, list, *u, within) {
			fail(rec.line, "parent_code", "%s would not lie below your own unit", u.Code)
		}
	}
	if len(report.Errors) > 0 {
		return report, nil
	}
	if dryRun {
		if _, err := s.plan(list); err != nil {
			fail(0, "", "%s", err)
		}
		return report, nil
	}
	if _, err := s.apply(ctx, list); errors.Is(err, ErrInvalid) || errors.Is(err, ErrConflict) {
		fail(0, "", "%s", err)
	} else if err != nil {
		return report, err
	}
	return report, nil
}

// inside tells whether u stays below the unit within, by the parents of the
// file and of the tree, and was there before where it existed.
func inside(t *Tree, list []Unit, u Unit, within string) bool {
	if _, exists := t.Get(u.ID); exists && (u.ID == within || !t.Under(u.ID, within)) {
		return false
	}
	parents := map[string]string{}
	for _, x := range list {
		parents[x.ID] = x.Parent
	}
	at := u.Parent
	for range MaxDepth {
		if at == "" {
			return false
		}
		if t.Under(at, within) {
			return true
		}
		at = parents[at]
	}
	return false
}

func same(a, b Unit) bool {
	return a.Parent == b.Parent && a.Name == b.Name && a.Region == b.Region && a.Industry == b.Industry && a.Kind == b.Kind &&
		a.Supports == b.Supports && slices.Equal(a.Labels, b.Labels)
}

type record struct {
	fields []string
	line   int
}

func (r record) get(at map[string]int, column string) string {
	i, ok := at[column]
	if !ok || i >= len(r.fields) {
		return ""
	}
	return strings.TrimSpace(spreadsheet.Unguard(r.fields[i]))
}

func readCSV(r io.Reader) ([]record, map[string]int, error) {
	data, err := io.ReadAll(io.LimitReader(r, 64<<20))
	if err != nil {
		return nil, nil, err
	}
	c := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	header, err := c.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("the first row must name the columns: %w", err)
	}
	at := map[string]int{}
	for i, h := range header {
		h = strings.ToLower(strings.TrimSpace(h))
		if !slices.Contains(columns, h) {
			return nil, nil, fmt.Errorf("the column %.60q is none of %s", h, strings.Join(columns, ", "))
		}
		at[h] = i
	}
	var out []record
	for {
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			return out, at, nil
		}
		if err != nil {
			return nil, nil, err
		}
		line, _ := c.FieldPos(0)
		out = append(out, record{fields, line})
		if len(out) > Max {
			return nil, nil, fmt.Errorf("the file has more than %d rows", Max)
		}
	}
}

// Export writes the units as Import reads them. Units without a code are left
// out, and counted.
func (t *Tree) Export(w io.Writer, under string) (left int, err error) {
	c := csv.NewWriter(w)
	list := t.All()
	if under != "" {
		list = t.Subtree(under)
	}
	code := func(id string) string { u, _ := t.Get(id); return u.Code }
	_ = c.Write(columns) // an error stays until Flush
	for _, u := range list {
		if u.Code == "" {
			left++
			continue
		}
		_ = c.Write(spreadsheet.Row([]string{u.Code, code(u.Parent), u.Name.ZH, u.Name.EN, u.Region, u.Industry, u.Kind, code(u.Supports), strings.Join(u.Labels, ";")}))
	}
	c.Flush()
	return left, c.Error()
}

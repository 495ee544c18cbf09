// Package template makes vulnerability-scan reports of findings by templates: two are
// shipped, others are uploaded, replaced, downloaded and deleted, and one is the default.
//
// A template is a YAML document of sections with texts and tables. Its texts name
// figures in double braces; there is nothing in it that runs.
package template

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
)

var (
	// ErrNotFound says that there is no such template.
	ErrNotFound = errors.New("template: there is no such template")
	// ErrInvalid says that a template cannot be read.
	ErrInvalid = errors.New("template: invalid")
	// ErrShipped says that a template is shipped and cannot be changed.
	ErrShipped = errors.New("template: a shipped template cannot be changed or deleted: download it and upload it as another")
)

// Bounds of a template.
const (
	MaxSize     = 64 << 10
	maxSections = 30
	maxText     = 10_000 // bytes of a section's text
	maxKept     = 100    // uploaded templates
)

// Template says what a report holds.
type Template struct {
	Name     detections.Text `yaml:"name"`
	Title    detections.Text `yaml:"title"`
	Sections []Section       `yaml:"sections"`
}

// Section is a part of a report.
type Section struct {
	Heading detections.Text `yaml:"heading"`
	Text    detections.Text `yaml:"text,omitempty"`
	Table   string          `yaml:"table,omitempty"`   // one of tables
	Columns []string        `yaml:"columns,omitempty"` // of the table findings
}

// tables are what a section can show.
var tables = []string{"findings", "levels", "assets", "units", "solutions"}

// figure names a figure within a text.
var figure = regexp.MustCompile(`\{\{\s*([^{}]*?)\s*\}\}`)

// Parse reads a template. The error says what is wrong, and where.
func Parse(text []byte) (Template, error) {
	var t Template
	if len(text) > MaxSize {
		return t, fmt.Errorf("%w: it has %d bytes; at most %d are read", ErrInvalid, len(text), MaxSize)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&t); errors.Is(err, io.EOF) {
		return t, fmt.Errorf("%w: it is empty", ErrInvalid)
	} else if err != nil {
		return t, fmt.Errorf("%w: %s", ErrInvalid, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	switch {
	case strings.TrimSpace(t.Name.ZH+t.Name.EN) == "":
		return t, fmt.Errorf("%w: name is missing: name: {zh: …, en: …}", ErrInvalid)
	case len(t.Name.ZH) > 200 || len(t.Name.EN) > 200 || len(t.Title.ZH) > 500 || len(t.Title.EN) > 500:
		return t, fmt.Errorf("%w: name or title is too long", ErrInvalid)
	case len(t.Sections) == 0 || len(t.Sections) > maxSections:
		return t, fmt.Errorf("%w: it has %d sections; 1 to %d are expected", ErrInvalid, len(t.Sections), maxSections)
	}
	if err := figuresIn(t.Title); err != nil {
		return t, fmt.Errorf("%w: title: %w", ErrInvalid, err)
	}
	for i, s := range t.Sections {
		at := fmt.Sprintf("section %d", i+1)
		switch {
		case s.Table != "" && !slices.Contains(tables, s.Table):
			return t, fmt.Errorf("%w: %s: there is no table %q: %s", ErrInvalid, at, clip(s.Table, 40), strings.Join(tables, ", "))
		case len(s.Columns) > 0 && s.Table != "findings":
			return t, fmt.Errorf("%w: %s: columns are of the table findings alone", ErrInvalid, at)
		case len(s.Columns) > len(columnNames):
			return t, fmt.Errorf("%w: %s: it has %d columns", ErrInvalid, at, len(s.Columns))
		case len(s.Text.ZH) > maxText || len(s.Text.EN) > maxText || len(s.Heading.ZH) > 500 || len(s.Heading.EN) > 500:
			return t, fmt.Errorf("%w: %s: its text has more than %d bytes, or its heading more than 500", ErrInvalid, at, maxText)
		}
		for _, c := range s.Columns {
			if !slices.Contains(columnNames, c) {
				return t, fmt.Errorf("%w: %s: there is no column %q: %s", ErrInvalid, at, clip(c, 40), strings.Join(columnNames, ", "))
			}
		}
		for _, text := range []detections.Text{s.Heading, s.Text} {
			if err := figuresIn(text); err != nil {
				return t, fmt.Errorf("%w: %s: %w", ErrInvalid, at, err)
			}
		}
	}
	return t, nil
}

// figuresIn tells which figure of a text there is not.
func figuresIn(t detections.Text) error {
	for _, text := range []string{t.ZH, t.EN} {
		for _, m := range figure.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(figureNames, m[1]) {
				return fmt.Errorf("there is no figure %q: %s", clip(m[1], 40), strings.Join(figureNames, ", "))
			}
		}
	}
	return nil
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

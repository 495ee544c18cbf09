// Package exposition writes metrics in the text format of Prometheus as its own
// linter (promtool check metrics) wants them: each family in one piece, with
// what it means and of which type it is.
package exposition

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Type is a metric's type.
type Type string

// The types.
const (
	Counter Type = "counter"
	Gauge   Type = "gauge"
	Summary Type = "summary"
)

// Family says what a metric means.
type Family struct {
	Name string
	Type Type
	Help string
}

// Catalogue knows families by name.
type Catalogue struct {
	byName map[string]Family
	own    string
}

// NewCatalogue makes a catalogue. Metrics whose name begins with own are
// written even where no family says what they mean, for the linter to find;
// others, of libraries, are left out.
func NewCatalogue(own string, families ...[]Family) *Catalogue {
	c := &Catalogue{byName: map[string]Family{}, own: own}
	for _, f := range slices.Concat(families...) {
		c.byName[f.Name] = f
	}
	return c
}

// family returns what a sample's name belongs to.
func (c *Catalogue) family(name string) (Family, bool) {
	f, ok := c.byName[name]
	if ok {
		return f, true
	}
	for _, suffix := range []string{"_sum", "_count"} {
		if base, cut := strings.CutSuffix(name, suffix); cut {
			if f, ok = c.byName[base]; ok && f.Type == Summary {
				return f, true
			}
		}
	}
	return Family{}, false
}

// Write writes the samples of text, lines of the format without comments,
// ordered by family.
func (c *Catalogue) Write(w io.Writer, text []byte) error {
	samples := map[string][]string{}
	for line := range bytes.Lines(text) {
		s := strings.TrimSpace(string(line))
		if s == "" || s[0] == '#' {
			continue
		}
		name := s
		if i := strings.IndexAny(s, "{ "); i >= 0 {
			name = s[:i]
		}
		f, ok := c.family(name)
		switch {
		case ok:
		case c.own != "" && strings.HasPrefix(name, c.own):
			f.Name = name
		default:
			continue
		}
		samples[f.Name] = append(samples[f.Name], s)
	}
	names := make([]string, 0, len(samples))
	for name := range samples {
		names = append(names, name)
	}
	slices.Sort(names)
	out := bufio.NewWriter(w)
	for _, name := range names {
		if f, ok := c.byName[name]; ok {
			fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, f.Help, name, f.Type)
		}
		for _, s := range samples[name] {
			out.WriteString(s)
			out.WriteByte('\n')
		}
	}
	return out.Flush()
}

// Package catalogue describes the fields of events to people: their names in
// both languages, what they hold and of which type they are. The names are
// those of the Elastic Common Schema where it has one; those below icewatch.
// are the suite's own, and those of Windows are as Windows writes them.
package catalogue

import (
	_ "embed"
	"fmt"
	"strings"

	"icewatch/detections"
)

// The types of values.
const (
	Keyword = "keyword" // a word, compared as a whole
	Text    = "text"    // sentences
	Number  = "number"
	IP      = "ip"
	Date    = "date"
	Bool    = "boolean"
)

// Field is one field.
type Field struct {
	Name        string          `json:"name"`
	Type        string          `json:"type" enum:"keyword,text,number,ip,date,boolean"`
	Group       string          `json:"group" doc:"What it is about: event, host, user, process, network, …"`
	Title       detections.Text `json:"title"`
	Description detections.Text `json:"description"`
}

//go:embed fields.tsv
var content string

// Fields returns the catalogue in its order: by group, the usual ones first.
func Fields() ([]Field, error) {
	var out []Field
	seen := map[string]bool{}
	group := ""
	for i, line := range strings.Split(strings.TrimRight(content, "\n"), "\n") {
		if line == "" {
			continue
		}
		if name, ok := strings.CutPrefix(line, "# "); ok {
			group = name
			continue
		}
		c := strings.Split(line, "\t")
		if len(c) != 6 {
			return nil, fmt.Errorf("catalogue: line %d has %d columns, want name, type, title and description in Chinese and English", i+1, len(c))
		}
		f := Field{Name: c[0], Type: c[1], Group: group, Title: detections.Text{ZH: c[2], EN: c[3]}, Description: detections.Text{ZH: c[4], EN: c[5]}}
		switch f.Type {
		case Keyword, Text, Number, IP, Date, Bool:
		default:
			return nil, fmt.Errorf("catalogue: line %d: %q is no type", i+1, f.Type)
		}
		if seen[f.Name] {
			return nil, fmt.Errorf("catalogue: line %d: %s stands there twice", i+1, f.Name)
		}
		seen[f.Name] = true
		out = append(out, f)
	}
	return out, nil
}

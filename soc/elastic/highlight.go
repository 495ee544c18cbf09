package elastic

import (
	"regexp"
	"slices"
	"strings"

	"icewatch/soc/elastic/filterpath"
)

// How a query asks for what a highlight marks.
type markKind uint8

const (
	markWord            markKind = iota // a word of a text
	markPrefix                          // the beginning of a word, or of a value
	markWhole                           // the whole value
	markExpression                      // words of a text, by an expression
	markWholeExpression                 // the whole value, by an expression
)

// mark is something that a query looks for: a whole value, or words of a text.
type mark struct {
	column string
	whole  *regexp.Regexp // nil where words are looked for
	words  string         // an expression
	// bounded tells that the ends of what is found must be ends of words.
	bounded bool
}

// maxMarks bounds what is highlighted of one query.
const maxMarks = 200

// mark notes what is looked for in a column. What must not be found is not
// shown.
func (c *compiler) mark(column string, k kind, how markKind, said string) {
	if c.against || len(c.marks) >= maxMarks || said == "" {
		return
	}
	m := mark{column: column}
	e := said
	if how != markExpression && how != markWholeExpression {
		e = regexp.QuoteMeta(said)
	}
	var err error
	switch {
	case k == text || column == anyField:
		if how == markPrefix {
			e += `[\pL\p{Nd}_]*`
		}
		m.words = "(?:" + e + ")"
		if !unspaced(said) {
			m.bounded = true
		}
		_, err = regexp.Compile(m.words)
	case how == markPrefix:
		m.whole, err = regexp.Compile("(?s)^" + e)
	default:
		m.whole, err = regexp.Compile("(?s)^(?:" + e + ")$")
	}
	if err != nil {
		return // what cannot be read was refused by the query
	}
	c.marks = append(c.marks, m)
}

// highlight is what a request wants marked.
type highlight struct {
	fields    []string // patterns
	pre, post string
	anyField  bool // require_field_match is false: what is looked for in one field is marked in all
}

func readHighlight(v any) (*highlight, error) {
	o, err := asObject("highlight", v)
	if err != nil {
		return nil, err
	}
	o.ignore("fragment_size", "number_of_fragments", "type", "order", "boundary_scanner", "boundary_chars", "encoder", "fragmenter", "no_match_size", "max_analyzed_offset", "tags_schema")
	h := &highlight{pre: "<em>", post: "</em>", anyField: !o.flag("require_field_match", true)}
	if tags := o.texts("pre_tags"); len(tags) > 0 {
		h.pre = tags[0]
	}
	if tags := o.texts("post_tags"); len(tags) > 0 {
		h.post = tags[0]
	}
	if fields, ok := o.has("fields"); ok {
		list, isList := fields.([]any)
		if !isList {
			list = []any{fields}
		}
		for _, f := range list {
			of, err := asObject("highlight.fields", f)
			if err != nil {
				return nil, err
			}
			for name := range of.m {
				h.fields = append(h.fields, name)
			}
		}
	}
	return h, o.done()
}

// of marks a row's values; nil where nothing is found.
func (h *highlight) of(row map[string]string, marks []mark) map[string][]string {
	var out map[string][]string
	for column, value := range row {
		name := column
		if !h.wants(name) || strings.HasPrefix(name, "icewatch.") || name == columnID {
			continue
		}
		if shown := h.mark(column, value, marks); shown != value {
			if out == nil {
				out = map[string][]string{}
			}
			out[name] = []string{shown}
		}
	}
	return out
}

// mark marks one value: all of it, or the words that are looked for, all at
// once, so that what is marked is not looked at again.
func (h *highlight) mark(column, value string, marks []mark) string {
	var words []string
	bounded := true
	for _, m := range marks {
		switch {
		case m.column != column && m.column != anyField && !h.anyField:
		case m.whole != nil && m.whole.MatchString(value):
			return h.pre + value + h.post
		case m.whole == nil && !slices.Contains(words, m.words):
			words = append(words, m.words)
			bounded = bounded && m.bounded
		}
	}
	if len(words) == 0 {
		return value
	}
	before, after := `(^|[^\pL\p{Nd}_])`, `($|[^\pL\p{Nd}_])`
	if !bounded {
		before, after = "()", "()"
	}
	e, err := regexp.Compile("(?is)" + before + "(" + strings.Join(words, "|") + ")" + after)
	if err != nil {
		return value // together they are too long
	}
	return h.words(value, e)
}

func (h *highlight) wants(name string) bool {
	for _, p := range h.fields {
		if filterpath.Glob(p, name) {
			return true
		}
	}
	return false
}

// words marks the second group of each match. Neighbours share the character
// between them, so each search goes on from the end of the word.
func (h *highlight) words(s string, e *regexp.Regexp) string {
	var b strings.Builder
	for {
		at := e.FindStringSubmatchIndex(s)
		if at == nil || at[5] == at[4] {
			break
		}
		b.WriteString(s[:at[4]] + h.pre + s[at[4]:at[5]] + h.post)
		s = s[at[5]:]
	}
	b.WriteString(s)
	return b.String()
}

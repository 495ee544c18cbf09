package hits

import (
	"regexp"
	"slices"
	"strings"

	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/elastic/wire"
)

// highlight is what a request wants marked.
type highlight struct {
	fields    []string // patterns
	pre, post string
	anyField  bool // require_field_match is false: what is looked for in one field is marked in all
}

// readHighlight reads what a request has under "highlight".
func readHighlight(v any) (*highlight, error) {
	o, err := wire.AsObject("highlight", v)
	if err != nil {
		return nil, err
	}
	o.Ignore("fragment_size", "number_of_fragments", "type", "order", "boundary_scanner", "boundary_chars", "encoder", "fragmenter", "no_match_size", "max_analyzed_offset", "tags_schema")
	h := &highlight{pre: "<em>", post: "</em>", anyField: !o.Flag("require_field_match", true)}
	if tags := o.Texts("pre_tags"); len(tags) > 0 {
		h.pre = tags[0]
	}
	if tags := o.Texts("post_tags"); len(tags) > 0 {
		h.post = tags[0]
	}
	if fields, ok := o.Has("fields"); ok {
		list, isList := fields.([]any)
		if !isList {
			list = []any{fields}
		}
		for _, f := range list {
			of, err := wire.AsObject("highlight.fields", f)
			if err != nil {
				return nil, err
			}
			for name := range of.Members {
				h.fields = append(h.fields, name)
			}
		}
	}
	return h, o.Done()
}

// of marks a row's values; nil where nothing is found.
func (h *highlight) of(row map[string]string, marks []dsl.Mark) map[string][]string {
	var out map[string][]string
	for column, value := range row {
		name := column
		if !h.wants(name) || strings.HasPrefix(name, "icewatch.") || name == dsl.ColumnID {
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
func (h *highlight) mark(column, value string, marks []dsl.Mark) string {
	var words []string
	bounded := true
	for _, m := range marks {
		switch {
		case m.Column != column && m.Column != dsl.AnyField && !h.anyField:
		case m.Whole != nil && m.Whole.MatchString(value):
			return h.pre + value + h.post
		case m.Whole == nil && !slices.Contains(words, m.Words):
			words = append(words, m.Words)
			bounded = bounded && m.Bounded
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

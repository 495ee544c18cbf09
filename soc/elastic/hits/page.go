// Package hits answers a search with events: which of them are on a page, in what
// order, how many there are, and what of each is shown. It is what asks the lake
// for rows.
package hits

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/elastic/wire"
)

// Page is which events of a search are shown, and what of them.
type Page struct {
	Compiler   *dsl.Compiler // has compiled the query, and compiles those beside it
	Filter     string        // LogsQL; the rows in question
	from, size int
	sort       []sortKey
	after      []any // search_after
	total      int   // up to how many are counted: -1 counts all, 0 none
	source     picker
	noSource   bool
	fields     []shownField // of "fields"
	docvalues  []shownField
	highlight  *highlight
	version    bool
	seqNo      bool
	asInteger  bool // rest_total_hits_as_int
}

type shownField struct {
	pattern, format string
}

// picker tells which fields are shown.
type picker struct{ in, out []string }

func (p picker) keep(name string) bool {
	under := func(patterns []string) bool {
		for _, pattern := range patterns {
			if filterpath.Glob(pattern, name) || filterpath.Glob(pattern+".*", name) {
				return true
			}
		}
		return false
	}
	return (len(p.in) == 0 || under(p.in)) && !under(p.out)
}

func readTotal(v any) (int, error) {
	s, _ := wire.Plain(v)
	switch s {
	case "true":
		return -1, nil
	case "false":
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < -1 {
		return 0, wire.Invalid("illegal_argument_exception", "[track_total_hits] must be true, false or a whole number, not [%s]", s)
	}
	return n, nil
}

func readSource(v any) (p picker, none bool, err error) {
	switch v := v.(type) {
	case bool:
		return p, !v, nil
	case string:
		return picker{in: []string{v}}, false, nil
	case []any:
		for _, x := range v {
			s, _ := wire.Plain(x)
			p.in = append(p.in, s)
		}
		return p, false, nil
	}
	o, err := wire.AsObject("_source", v)
	if err != nil {
		return p, false, err
	}
	p.in, p.out = append(o.Texts("includes"), o.Texts("include")...), append(o.Texts("excludes"), o.Texts("exclude")...)
	return p, false, o.Done()
}

func readShown(what string, list []any) (out []shownField, err error) {
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, shownField{pattern: s})
			continue
		}
		o, err := wire.AsObject(what, v)
		if err != nil {
			return nil, err
		}
		o.Ignore("include_unmapped")
		f := shownField{pattern: o.Text("field", ""), format: o.Text("format", "")}
		if err := o.Done(); err != nil {
			return nil, err
		}
		if f.format != "" {
			if _, err := dates.Format(Oldest, f.format, time.UTC); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// Hit is a row as a hit.
func (p *Page) Hit(parser *fastjson.Parser, row map[string]string) map[string]any {
	h := map[string]any{"_index": dsl.IndexOf(row), "_id": documentID(row), "_score": nil}
	if len(p.sort) == 0 {
		h["_score"] = json.Number("1.0")
	}
	if p.version {
		h["_version"] = 1
	}
	if p.seqNo {
		h["_seq_no"], h["_primary_term"] = 0, 1
	}
	if !p.noSource {
		h["_source"] = source(row, sent(parser, row), p.source.keep)
	}
	if fields := p.shown(row); len(fields) > 0 {
		h["fields"] = fields
	}
	if len(p.sort) > 0 {
		var values []any
		for _, k := range p.sort {
			values = append(values, k.value(row))
		}
		h["sort"] = values
	}
	if p.highlight != nil {
		if marked := p.highlight.of(row, p.Compiler.Marks); marked != nil {
			h["highlight"] = marked
		}
	}
	return h
}

// documentID is the sender's id of an event, that of the suite where there is
// none.
func documentID(row map[string]string) string {
	if sender := row[dsl.ColumnSender]; sender != "" && row[dsl.ColumnIndex] != "" {
		if id, ok := strings.CutPrefix(sender, row[dsl.ColumnIndex]+"/"); ok && id != "" {
			return id
		}
	}
	return row[dsl.ColumnID]
}

// shown are the values of "fields" and "docvalue_fields".
func (p *Page) shown(row map[string]string) map[string]any {
	out := map[string]any{}
	for i, f := range append(slices.Clone(p.fields), p.docvalues...) {
		for name, v := range row {
			k := dsl.TypeOf(name)
			as := name
			if f.pattern == name+".keyword" {
				as = f.pattern
			} else if !filterpath.Glob(f.pattern, name) {
				continue
			}
			if i >= len(p.fields) && k == dsl.Text {
				continue
			}
			var list []any
			switch val := typed(k, v, nil).(type) {
			case []any:
				list = val
			default:
				list = []any{val}
			}
			if k == dsl.Date {
				if t, ok := dates.Stored(v); ok {
					if s, err := dates.Format(t, f.format, time.UTC); err == nil {
						list = []any{s}
					}
				}
			}
			out[as] = list
		}
	}
	return out
}

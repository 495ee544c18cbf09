package lake

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/search/clause"
	"icewatch/soc/veil"
)

// A veiled query sees what its caller may see: the rows are masked first, and
// then the query's own filter and pipes run on them. So a filter on a masked
// field finds nothing out, negated or not. To the query all that is masked
// looks alike, veil.Hidden. As rows are stored, masked columns are kept aside
// under names that nobody can guess; where the query leaves rows whole these
// come back in the end, for soc/veil to decide how they look.
//
//	safe conditions | copy what will be masked | mask | filter the query's own | its pipes

// asideNames makes the prefix of columns kept aside.
func asideNames() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return "k" + hex.EncodeToString(b) + "."
}

// maxVeiled bounds the columns that a query is masked in.
const maxVeiled = 600

// texts are the columns with an event's text.
var texts = []string{fieldMessage, fieldOriginal, "_msg", "icewatch.overflow"}

// veiled makes a query of p, as read makes it, that sees masked rows only.
func (l *Lake) veiled(q Query, p *logstorage.Query) (*logstorage.Query, error) {
	whole := p.String()
	p.DropAllPipes()
	filter := p.String()
	own := whole[len(filter):]
	if err := l.refuseVeiled(q, whole, own); err != nil {
		return nil, err
	}
	if q.Group != "" {
		read := Query{LogsQL: q.Group, Start: q.Start, End: q.End}
		g, err := l.read(read)
		if err != nil {
			return nil, fmt.Errorf("lake: the filter of a log group: %w", err)
		}
		if group := g.String(); filter == "*" {
			filter = group
		} else if group != "*" {
			filter = "(" + filter + ") (" + group + ")"
		}
	}
	columns := l.columns(q.Veil, whole+" "+filter)
	if at := slices.IndexFunc(columns, func(c string) bool { return strings.HasSuffix(c, "*") }); at >= 0 {
		// It may be a value, or the names of many columns, which would be read as they are.
		return nil, queryError(q.LogsQL, "parts of events are masked for you, so %q is not available: a text in quotes may not end in *", columns[at])
	}
	if len(columns) > maxVeiled {
		return nil, queryError(q.LogsQL, "it names too many fields to be searched through the masking that is in force for you; name fewer, or the fields of bare words")
	}
	var b strings.Builder
	b.WriteString(safeConditions(filter, q.Veil))
	for i, c := range columns {
		if i == 0 {
			b.WriteString(" | copy ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(c) + " as " + strconv.Quote(l.aside+c))
	}
	// where is a further condition on the row.
	hide := func(column, where string) {
		fmt.Fprintf(&b, " | format if (%s%q:*) %q as %q", where, column, veil.Hidden, column)
	}
	patterns := map[string]string{} // by column, all in one
	for _, r := range q.Veil.Rules() {
		if r.Pattern != "" {
			fields := r.Fields
			if len(fields) == 0 {
				fields = columns
			}
			for _, f := range fields {
				if patterns[f] != "" {
					patterns[f] += "|"
				}
				patterns[f] += "(?:" + r.Pattern + ")"
			}
			continue
		}
		for _, f := range r.Fields {
			hide(f, "")
			if r.Strict {
				for _, t := range texts {
					hide(t, strconv.Quote(f)+":* ")
				}
			}
		}
	}
	for _, c := range columns {
		if pattern := patterns[c]; pattern != "" && c != fieldRaw && !q.Veil.Hides(c) {
			fmt.Fprintf(&b, " | replace_regexp (%q, %q) at %q", pattern, veil.Hidden, c)
		}
	}
	hide(fieldRaw, "")
	if filter != "*" { // which would be about the column _msg here
		b.WriteString(" | filter " + filter)
	}
	if own != "" && !keepsRows(pipes(whole)) {
		for i, c := range columns {
			if i == 0 {
				b.WriteString(" | delete ")
			} else {
				b.WriteString(", ")
			}
			b.WriteString(strconv.Quote(l.aside + c))
		}
		b.WriteString(", " + strconv.Quote(fieldRaw))
	}
	b.WriteString(own)
	out, err := logstorage.ParseQuery(b.String())
	if err != nil {
		return nil, fmt.Errorf("lake: the query %q, through a veil: %w", q.LogsQL, err)
	}
	return out, nil
}

// streams are the columns _stream and _stream_id; data_stream.type is another.
var streams = regexp.MustCompile(`(^|[^\w.])_stream`)

// refuseVeiled refuses what reads columns without naming them.
func (l *Lake) refuseVeiled(q Query, whole, own string) error {
	for _, pipe := range pipes(whole) {
		switch {
		case pipe.inner, pipe.name == "join", pipe.name == "union":
			return queryError(q.LogsQL, "parts of events are masked for you, so a query inside of the query is not available; name the values")
		case slices.Contains(blockPipes, pipe.name), slices.Contains([]string{"pack_json", "pack_logfmt", "field_values", "facets", "unpack_words"}, pipe.name):
			return queryError(q.LogsQL, "parts of events are masked for you, so the pipe %s is not available; use stats, top or uniq", pipe.name)
		}
	}
	for i, rest := 0, strings.ReplaceAll(own, "count(*)", ""); i < len(rest); i++ {
		switch rest[i] {
		case '"', '\'', '`':
			i += quoted(rest[i:]) - 1
		case '*':
			return queryError(q.LogsQL, "parts of events are masked for you, so pipes must name each field; * is not available in them")
		}
	}
	if streams.MatchString(whole) {
		return queryError(q.LogsQL, "parts of events are masked for you, so streams are not available; use event.dataset and host.name")
	}
	return nil
}

// columns lists the columns that are masked for a query: those that the rules
// name, and, where a pattern is about every text, those that the query names.
func (l *Lake) columns(v *veil.Veil, query string) []string {
	list := []string{fieldRaw}
	strict, everywhere := false, false
	for _, r := range v.Rules() {
		list = append(list, r.Fields...)
		strict = strict || r.Strict && r.Pattern == ""
		everywhere = everywhere || len(r.Fields) == 0
	}
	if strict || everywhere {
		list = append(list, texts...)
	}
	if everywhere {
		for _, name := range named(query) {
			if v.Touches(name) {
				list = append(list, name)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// named lists everything in a query that may be a column's name: words, quoted
// texts and, as format and extract write them, what stands in angle brackets
// within these.
func named(query string) []string {
	var list []string
	add := func(s string) {
		if s != "" && len(s) <= MaxName {
			list = append(list, s)
		}
	}
	for i := 0; i < len(query); {
		switch c := query[i]; {
		case c == '"' || c == '\'' || c == '`':
			n := quoted(query[i:])
			if s, err := strconv.Unquote(query[i : i+n]); err == nil {
				add(s)
				for part := range strings.SplitSeq(s, "<") {
					if name, _, ok := strings.Cut(part, ">"); ok {
						if _, after, ok := strings.Cut(name, ":"); ok {
							add(after) // <base64decode:name>
						}
						add(name)
					}
				}
			}
			i += n
		case strings.IndexByte(" |():,=<>!~*[]{}", c) >= 0:
			i++
		default:
			n := strings.IndexAny(query[i:], "\"'` |():,=<>!~*[]{}")
			if n < 0 {
				n = len(query) - i
			}
			add(query[i : i+n])
			i += n
		}
	}
	return list
}

// safeConditions are those of a filter that the lake may look at before rows
// are masked, so that not all of them need be: conditions that a row has some
// text, as it is, in a field whose values are not hidden whole. A row that only
// fits unmasked is left out by the query's own filter afterwards.
func safeConditions(filter string, v *veil.Veil) string {
	q, err := clause.Parse(filter)
	if err != nil || q.Filter == nil {
		return "*"
	}
	list := []clause.Clause{*q.Filter}
	if q.Filter.Join == clause.All {
		list = q.Filter.Clauses
	}
	safe := clause.Clause{Join: clause.All}
	for i := range list {
		if isSafe(&list[i], v) {
			safe.Clauses = append(safe.Clauses, list[i])
		}
	}
	s, err := clause.Render(&safe)
	if err != nil {
		return "*"
	}
	return s
}

func isSafe(c *clause.Clause, v *veil.Veil) bool {
	switch {
	case c.Join == clause.Not || c.Text != "":
		return false
	case c.Join != "":
		return !slices.ContainsFunc(c.Clauses, func(x clause.Clause) bool { return !isSafe(&x, v) })
	}
	switch c.Operator {
	case "contains", "contains_prefix", "contains_all", "contains_any", "sequence", "ignore_case", "ignore_case_prefix", "equals", "starts_with", "in", "exists":
	default:
		return !v.Touches(c.Field)
	}
	if v.Hides(c.Field) || c.Field == "" {
		return false
	}
	if !v.Touches(c.Field) {
		return true
	}
	// A text with the sign of what is hidden may fit a masked row only.
	return !slices.ContainsFunc(c.Values, func(s string) bool { return strings.Contains(s, "*") || s == "" })
}

// unveil gives columns that were kept aside their places back.
func (l *Lake) unveil(cols []logstorage.BlockColumn) []logstorage.BlockColumn {
	aside := map[string]bool{}
	for _, c := range cols {
		if name, ok := strings.CutPrefix(c.Name, l.aside); ok {
			aside[name] = true
		}
	}
	if len(aside) == 0 {
		return cols
	}
	out := make([]logstorage.BlockColumn, 0, len(cols))
	for _, c := range cols {
		if name, ok := strings.CutPrefix(c.Name, l.aside); ok {
			c.Name = name
		} else if aside[c.Name] {
			continue
		}
		out = append(out, c)
	}
	return out
}

// column is the name under which a veiled query has a field's own values.
func (l *Lake) column(q Query, p *logstorage.Query, field string) string {
	if q.Veil == nil {
		return field
	}
	text, name := p.String(), l.aside+field
	for _, end := range []string{name + ",", name + " ", strconv.Quote(name)} {
		if strings.Contains(text, " as "+end) {
			return name
		}
	}
	return field
}

// listed is column for a list of the field's values, with the pipes that must
// stand before it. One by one, without the row they belong to, nobody could tell
// which texts hold a value that is hidden whole; so those are hidden.
func (l *Lake) listed(q Query, p *logstorage.Query, field string) (pipes, column string) {
	column = l.column(q, p, field)
	if q.Veil == nil || !slices.Contains(texts, field) {
		return "", column
	}
	var b strings.Builder
	for _, r := range q.Veil.Rules() {
		if r.Pattern != "" {
			continue
		}
		for _, f := range r.Fields {
			fmt.Fprintf(&b, "format if (%q:* %q:*) %q as %q | ", f, column, veil.Hidden, column)
		}
	}
	return b.String(), column
}

// wholeRows tells whether the query's rows come as they are stored.
func (l *Lake) wholeRows(q Query, p *logstorage.Query) bool {
	if q.Veil == nil {
		return keepsRows(pipes(p.String()))
	}
	// Past what hides the raw text the pipes are the query's own.
	text := p.String()
	if at := strings.LastIndex(text, `"`+veil.Hidden+`" as `+fieldRaw); at >= 0 {
		text = text[at:]
	}
	return keepsRows(pipes(text))
}

package elastic

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fastjson"

	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/event"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// Bounds of a search, as Elasticsearch has them.
const (
	maxWindow       = 10_000 // from + size
	maxTrackedTotal = 10_000 // unless the request asks for more
	maxSearches     = 100    // in one _msearch
	maxTopHits      = 100
)

// oldest is where a search begins that says nothing about time.
var oldest = time.Unix(0, 0)

// newest is where it ends: the lake takes events an hour ahead.
func (s *Server) newest() time.Time { return s.Now().Add(25 * time.Hour) }

// param is a part of the path, unescaped.
func param(c *fiber.Ctx, name string) string {
	v, err := url.PathUnescape(c.Params(name))
	if err != nil {
		return strings.Clone(c.Params(name))
	}
	return strings.Clone(v)
}

// rows asks the lake and hands over its rows as maps.
func (s *Server) rows(ctx context.Context, req search.Request, emit func(row map[string]string) error) error {
	var p fastjson.Parser
	return s.Store.Query(ctx, req, func(raw []byte) error {
		v, err := p.ParseBytes(raw)
		if err != nil {
			return fmt.Errorf("elastic: a row of the lake: %w", err)
		}
		o, err := v.Object()
		if err != nil {
			return fmt.Errorf("elastic: a row of the lake: %w", err)
		}
		row := make(map[string]string, o.Len())
		o.Visit(func(name []byte, v *fastjson.Value) { row[string(name)] = string(v.GetStringBytes()) })
		return emit(row)
	})
}

// request is a search as it was asked for.
type request struct {
	c          *compiler
	filter     string
	from, size int
	sort       []sortKey
	after      []any
	total      int // -1 counts all, 0 none
	source     picker
	noSource   bool
	fields     []shownField // of "fields"
	docvalues  []shownField
	highlight  *highlight
	aggs       []*agg
	version    bool
	seqNo      bool
	withScore  bool
	asInteger  bool // rest_total_hits_as_int
	typedKeys  bool
}

type sortKey struct {
	field  string
	column string
	kind   kind
	desc   bool
	first  bool // events without the field come first
	format string
}

// tie tells whether the key tells events of one time apart and no more.
func (k sortKey) tie() bool { return k.column == columnID }

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

// readRequest reads the body of a search and the parameters beside it.
func (s *Server) readRequest(c *fiber.Ctx, body map[string]any, names []string) (*request, error) {
	o := newObject("search", body)
	r := &request{c: &compiler{now: s.Now(), within: true}, size: 10, total: maxTrackedTotal}
	o.ignore("timeout", "preference", "terminate_after", "profile", "stats", "explain", "batched_reduce_size", "track_scores", "min_score", "indices_boost", "allow_partial_search_results")
	r.filter = everything
	if q, ok := o.has("query"); ok {
		if m, isMap := q.(map[string]any); !isMap || len(m) > 0 {
			f, err := r.c.query(q)
			if err != nil {
				return nil, err
			}
			r.filter = f
		}
	}
	if q, ok := o.has("post_filter"); ok {
		return nil, unsupported("[post_filter] of [search] (%s)", kindOf(q))
	}
	r.from, r.size = o.integer("from", 0, 0, maxWindow), o.integer("size", 10, 0, maxWindow)
	r.version, r.seqNo = o.flag("version", false), o.flag("seq_no_primary_term", false)
	for _, name := range []string{"script_fields", "runtime_mappings", "stored_fields", "rescore", "collapse", "suggest", "slice", "pit", "knn", "rank", "ext", "retriever"} {
		v, ok := o.has(name)
		if m, isMap := v.(map[string]any); !ok || isMap && len(m) == 0 {
			continue
		}
		if l, isList := v.([]any); name == "stored_fields" && (v == "*" || v == "_none_" || isList && (len(l) == 0 || len(l) == 1 && l[0] == "*")) {
			r.noSource = r.noSource || v == "_none_"
			continue
		}
		return nil, unsupported("[%s] of [search]", name)
	}
	var err error
	if v, ok := o.has("sort"); ok {
		if r.sort, err = readSort(v); err != nil {
			return nil, err
		}
	}
	if after := o.list("search_after"); after != nil {
		r.after = after
	}
	if v, ok := o.has("track_total_hits"); ok {
		if r.total, err = readTotal(v); err != nil {
			return nil, err
		}
	}
	if v, ok := o.has("_source"); ok {
		if r.source, r.noSource, err = readSource(v); err != nil {
			return nil, err
		}
	}
	if r.fields, err = readShown("fields", o.list("fields")); err != nil {
		return nil, err
	}
	if r.docvalues, err = readShown("docvalue_fields", o.list("docvalue_fields")); err != nil {
		return nil, err
	}
	if v, ok := o.has("highlight"); ok {
		if r.highlight, err = readHighlight(v); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"aggs", "aggregations"} {
		if v, ok := o.has(name); ok {
			read := aggReader{c: r.c}
			if r.aggs, err = read.all(v, 0); err != nil {
				return nil, err
			}
		}
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	if err := r.parameters(c); err != nil {
		return nil, err
	}
	if r.from+r.size > maxWindow {
		return nil, invalid("illegal_argument_exception", "Result window is too large, from + size must be less than or equal to: [%d] but was [%d]. Use search_after for more.", maxWindow, r.from+r.size)
	}
	if r.after != nil {
		if len(r.after) != len(r.sort) {
			return nil, invalid("illegal_argument_exception", "search_after has %d value(s) but sort has %d.", len(r.after), len(r.sort))
		}
		if r.from != 0 {
			return nil, invalid("action_request_validation_exception", "Validation Failed: 1: `from` parameter must be set to 0 when `search_after` is used;")
		}
	}
	r.filter = and(indexFilter(names), r.filter)
	return r, nil
}

// parameters reads what may stand in the URL.
func (r *request) parameters(c *fiber.Ctx) error {
	if c == nil {
		return nil
	}
	args := c.Request().URI().QueryArgs()
	var bad error
	get := func(name string) (string, bool) { return strings.Clone(c.Query(name)), args.Has(name) }
	if q, ok := get("q"); ok && q != "" {
		query := map[string]any{"query": q}
		for _, name := range []string{"default_operator", "df"} {
			if v, ok := get(name); ok {
				query[map[string]string{"df": "default_field"}[name]+map[string]string{"default_operator": name}[name]] = v
			}
		}
		f, err := r.c.query(map[string]any{"query_string": query})
		if err != nil {
			return err
		}
		r.filter = and(r.filter, f)
	}
	for name, to := range map[string]*int{"from": &r.from, "size": &r.size} {
		if v, ok := get(name); ok {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return invalid("illegal_argument_exception", "[%s] must be a whole number from 0, not [%s]", name, v)
			}
			*to = n
		}
	}
	if v, ok := get("sort"); ok {
		var list []any
		for key := range strings.SplitSeq(v, ",") {
			field, order, given := strings.Cut(key, ":")
			if !given {
				list = append(list, field)
				continue
			}
			list = append(list, map[string]any{field: order})
		}
		if r.sort, bad = readSort(list); bad != nil {
			return bad
		}
	}
	if v, ok := get("track_total_hits"); ok {
		if r.total, bad = readTotal(v); bad != nil {
			return bad
		}
	}
	if v, ok := get("_source"); ok {
		if v == "true" || v == "false" {
			r.noSource = v == "false"
		} else {
			r.source.in = strings.Split(v, ",")
		}
	}
	if v, ok := get("_source_includes"); ok {
		r.source.in = strings.Split(v, ",")
	}
	if v, ok := get("_source_excludes"); ok {
		r.source.out = strings.Split(v, ",")
	}
	if _, ok := get("scroll"); ok {
		return unsupported("[scroll]; page with search_after")
	}
	r.asInteger = c.QueryBool("rest_total_hits_as_int")
	r.typedKeys = c.QueryBool("typed_keys")
	return nil
}

func readTotal(v any) (int, error) {
	s, _ := plain(v)
	switch s {
	case "true":
		return -1, nil
	case "false":
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < -1 {
		return 0, invalid("illegal_argument_exception", "[track_total_hits] must be true, false or a whole number, not [%s]", s)
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
			s, _ := plain(x)
			p.in = append(p.in, s)
		}
		return p, false, nil
	}
	o, err := asObject("_source", v)
	if err != nil {
		return p, false, err
	}
	p.in, p.out = append(o.texts("includes"), o.texts("include")...), append(o.texts("excludes"), o.texts("exclude")...)
	return p, false, o.done()
}

func readShown(what string, list []any) (out []shownField, err error) {
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, shownField{pattern: s})
			continue
		}
		o, err := asObject(what, v)
		if err != nil {
			return nil, err
		}
		o.ignore("include_unmapped")
		f := shownField{pattern: o.text("field", ""), format: o.text("format", "")}
		if err := o.done(); err != nil {
			return nil, err
		}
		if f.format != "" {
			if _, err := formatDate(oldest, f.format, time.UTC); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

func readSort(v any) (keys []sortKey, err error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, v := range list {
		field, how := "", any(nil)
		if s, ok := v.(string); ok {
			field = s
		} else if field, how, err = only("sort", v); err != nil {
			return nil, err
		}
		k := sortKey{field: field, desc: field == "_score"}
		if order, ok := how.(string); ok {
			how = map[string]any{"order": order}
		}
		if how != nil {
			o, err := asObject("sort", how)
			if err != nil {
				return nil, err
			}
			o.ignore("unmapped_type", "numeric_type", "mode")
			switch order := o.text("order", map[bool]string{true: "desc", false: "asc"}[k.desc]); strings.ToLower(order) {
			case "asc":
				k.desc = false
			case "desc":
				k.desc = true
			default:
				return nil, invalid("illegal_argument_exception", "Unknown SortOrder [%s]", order)
			}
			switch missing := o.text("missing", "_last"); missing {
			case "_last":
			case "_first":
				k.first = true
			default:
				return nil, unsupported("[missing] %s of [sort]", missing)
			}
			if k.format = o.text("format", ""); k.format != "" {
				if _, err := formatDate(oldest, k.format, time.UTC); err != nil {
					return nil, err
				}
			}
			if err := o.done(); err != nil {
				return nil, err
			}
		}
		switch field {
		case "_score":
			continue // every event has the same
		case "_doc", "_id", "_shard_doc", columnID:
			k.column, k.kind = columnID, keyword
		case fieldIndex:
			k.column, k.kind = columnIndex, keyword
		default:
			if err := oneField(field); err != nil {
				return nil, err
			}
			if strings.HasPrefix(field, "_") {
				return nil, unsupported("[%s] in [sort]", field)
			}
			if k.column, k.kind = resolved(field); k.kind == text {
				return nil, invalid("illegal_argument_exception", "Text fields are not optimised for operations that require per-document field data like aggregations and sorting: [%s]", field)
			}
		}
		keys = append(keys, k)
		if k.tie() {
			break // nothing comes behind what differs always
		}
	}
	return keys, nil
}

// search answers _search.
func (s *Server) search(c *fiber.Ctx) error {
	in, err := s.indices(param(c, "index"))
	if err != nil {
		return err
	}
	body, err := decode(bodyOf(c))
	if err != nil {
		return err
	}
	out, err := s.searchIn(c, in, body)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, out)
}

// bodyOf is the request's JSON, which clients that cannot send a body with a GET
// give as a parameter.
func bodyOf(c *fiber.Ctx) []byte {
	if b := c.Body(); len(b) > 0 {
		return b
	}
	return []byte(c.Query("source"))
}

// searchIn searches events here or passes the search on to another cluster.
func (s *Server) searchIn(c *fiber.Ctx, in indices, body map[string]any) (any, error) {
	start := s.Now()
	r, err := s.readRequest(c, body, in.here)
	if err != nil {
		return nil, err
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return nil, err
	}
	if len(in.cluster) > 0 {
		name := in.cluster[0]
		return s.clusters[name].search(c.UserContext(), within, in.remote[name], body, c.Queries())
	}
	out, err := s.run(c.UserContext(), within, r)
	if err != nil {
		return nil, err
	}
	out["took"], out["timed_out"] = s.Now().Sub(start).Milliseconds(), false
	out["_shards"] = map[string]int{"total": 1, "successful": 1, "skipped": 0, "failed": 0}
	return out, nil
}

// base is the question of a search to the lake, with a query of its own.
func (s *Server) base(within reach.Reach, r *request, query string) search.Request {
	req := search.Request{Reach: within, Query: query, Start: oldest, End: s.newest()}
	if !r.c.start.IsZero() && r.c.start.After(req.Start) {
		req.Start = r.c.start
	}
	if !r.c.end.IsZero() && r.c.end.Before(req.End) {
		req.End = r.c.end
	}
	return req
}

// run answers a search here.
func (s *Server) run(ctx context.Context, within reach.Reach, r *request) (map[string]any, error) {
	out := map[string]any{}
	hits := map[string]any{"max_score": nil, "hits": []any{}}
	out["hits"] = hits
	void := !s.base(within, r, "").End.After(s.base(within, r, "").Start)
	total := uint64(0)
	if r.total != 0 && !void {
		err := s.rows(ctx, s.base(within, r, r.filter+" | stats count() total"), func(row map[string]string) error {
			total, _ = strconv.ParseUint(row["total"], 10, 64)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if r.total != 0 {
		relation := "eq"
		if r.total > 0 && total > uint64(r.total) {
			total, relation = uint64(r.total), "gte"
		}
		hits["total"] = map[string]any{"value": total, "relation": relation}
		if r.asInteger {
			hits["total"] = total
		}
	}
	if r.size > 0 && !void && (r.total == 0 || total > 0) {
		rows, err := s.hits(ctx, within, r)
		if err != nil {
			return nil, err
		}
		list := make([]any, 0, len(rows))
		var p fastjson.Parser
		for _, row := range rows {
			list = append(list, r.hit(&p, row))
		}
		hits["hits"] = list
		if len(list) > 0 && len(r.sort) == 0 {
			hits["max_score"] = json.Number("1.0")
		}
	}
	if len(r.aggs) > 0 {
		a := &aggregation{s: s, ctx: ctx, within: within, r: r, void: void}
		results, err := a.level(scope{filter: r.filter}, r.aggs)
		if err != nil {
			return nil, err
		}
		out["aggregations"] = results("")
	}
	return out, nil
}

var errEnough = errors.New("enough rows")

// hits reads the rows of a page.
func (s *Server) hits(ctx context.Context, within reach.Reach, r *request) ([]map[string]string, error) {
	filter, skip, err := r.afterFilter()
	if err != nil {
		return nil, err
	}
	var list []map[string]string
	take := func(row map[string]string) error {
		if skip != nil && skip(row) {
			return nil
		}
		list = append(list, row)
		if len(list) == r.size {
			return errEnough
		}
		return nil
	}
	newest := len(r.sort) == 0 || len(r.sort) == 1 && r.sort[0].column == "_time" && r.sort[0].desc
	if newest && skip == nil {
		req := s.base(within, r, filter)
		req.Limit, req.Offset = r.size, r.from
		err := s.rows(ctx, req, take)
		return list, ignoreEnough(err)
	}
	order := r.order()
	if skip != nil {
		// Events of the same values up to the last key are told apart here; how
		// many there are is not known before.
		for offset, page := 0, max(2*r.size, 100); ; offset, page = offset+page, min(page*4, maxWindow) {
			seen := 0
			err := s.rows(ctx, s.base(within, r, fmt.Sprintf("%s | sort by (%s) offset %d limit %d", filter, order, offset, page)), func(row map[string]string) error {
				seen++
				return take(row)
			})
			if err != nil || seen < page {
				return list, ignoreEnough(err)
			}
		}
	}
	first := r.sort[0]
	if first.column == "_time" || first.tie() || first.desc && !first.first || !first.desc && first.first {
		// The lake has what is missing come before all values.
		err := s.rows(ctx, s.base(within, r, fmt.Sprintf("%s | sort by (%s) offset %d limit %d", filter, order, r.from, r.size)), take)
		return list, ignoreEnough(err)
	}
	// Otherwise in two parts: those with a value, those without.
	with, without := and(filter, present(first.column)), and(filter, exactly(first.column, ""))
	parts := []string{with, without}
	if first.first {
		parts = []string{without, with}
	}
	from := r.from
	for i, part := range parts {
		err := s.rows(ctx, s.base(within, r, fmt.Sprintf("%s | sort by (%s) offset %d limit %d", part, order, from, r.size-len(list))), take)
		if err != nil || len(list) == r.size || i == 1 {
			return list, ignoreEnough(err)
		}
		if from > 0 {
			var n int
			err := s.rows(ctx, s.base(within, r, part+" | stats count() total"), func(row map[string]string) error {
				n, _ = strconv.Atoi(row["total"])
				return nil
			})
			if err != nil {
				return nil, err
			}
			from = max(0, from-n)
		}
	}
	return list, nil
}

func ignoreEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// order writes the keys for the pipe sort. Events of equal values have the order
// in which they came, so that pages do not overlap.
func (r *request) order() string {
	var parts []string
	tied := false
	keys := r.sort
	if len(keys) == 0 {
		keys = []sortKey{{column: "_time", desc: true}}
	}
	for _, k := range keys {
		p := quote(k.column)
		if k.desc {
			p += " desc"
		}
		parts = append(parts, p)
		tied = tied || k.tie()
	}
	if !tied {
		parts = append(parts, quote(columnID))
	}
	return strings.Join(parts, ", ")
}

// afterFilter is the filter with what search_after leaves. skip tells which rows
// beside it came before, nil where the filter tells all.
func (r *request) afterFilter() (filter string, skip func(row map[string]string) bool, err error) {
	if r.after == nil {
		return r.filter, nil, nil
	}
	var either, equal []string
	for i, k := range r.sort {
		s, simple := plain(r.after[i])
		if none, _ := plain(k.none()); r.after[i] == nil || !simple || s == none {
			return "", nil, unsupported("the value %v of [search_after], of an event without [%s],", r.after[i], k.field)
		}
		var beyond, same string
		switch {
		case k.tie():
			either = append(either, and(equal...))
			desc, keys := k.desc, r.sort[:i]
			last := r.after
			return and(r.filter, or(either...)), func(row map[string]string) bool {
				for at, key := range keys {
					if v, _ := plain(last[at]); !sameKey(key, row, v) {
						return false
					}
				}
				if desc {
					return !laterID(s, row[columnID])
				}
				return !laterID(row[columnID], s)
			}, nil
		case k.kind == date:
			m, err := parseMoment(s, k.format+map[bool]string{true: "||"}[k.format != ""]+"epoch_millis||strict_date_optional_time_nanos", time.UTC, r.c.now)
			if err != nil {
				return "", nil, err
			}
			low, high := m.from, m.to
			if low.Nanosecond()%int(time.Millisecond) != 0 {
				high = low.Add(1)
			}
			if k.column != "_time" {
				op := ">="
				if k.desc {
					op = "<"
					high = low
				}
				beyond, same = quote(k.column)+":"+op+quote(millis(high)), exactly(k.column, millis(low))
				break
			}
			if beyond = timeFilter(high, time.Time{}); k.desc {
				beyond = timeFilter(time.Time{}, low)
			}
			same = timeFilter(low, high)
		default:
			op := ">"
			if k.desc {
				op = "<"
			}
			value := quote(s)
			if isNumber(s) {
				value = s
			}
			beyond, same = and(quote(k.column)+":"+op+value, present(k.column)), exactly(k.column, s)
		}
		either = append(either, and(append(slices.Clone(equal), beyond)...))
		equal = append(equal, same)
	}
	return and(r.filter, or(either...)), nil, nil
}

// sameKey tells whether a row has the value of search_after.
func sameKey(k sortKey, row map[string]string, value string) bool {
	if k.kind != date {
		return row[outside(k.column)] == value
	}
	at, ok := timeOf(row[outside(k.column)])
	m, err := parseMoment(value, k.format+map[bool]string{true: "||"}[k.format != ""]+"epoch_millis||strict_date_optional_time_nanos", time.UTC, time.Now())
	return ok && err == nil && !at.Before(m.from) && at.Before(m.to)
}

// outside is the name that a column has in rows.
func outside(column string) string {
	if column == "_time" {
		return fieldTime
	}
	return column
}

// hit is a row as a hit.
func (r *request) hit(p *fastjson.Parser, row map[string]string) map[string]any {
	h := map[string]any{"_index": indexOf(row), "_id": documentID(row), "_score": nil}
	if len(r.sort) == 0 {
		h["_score"] = json.Number("1.0")
	}
	if r.version {
		h["_version"] = 1
	}
	if r.seqNo {
		h["_seq_no"], h["_primary_term"] = 0, 1
	}
	if !r.noSource {
		h["_source"] = source(row, sent(p, row), r.source.keep)
	}
	if fields := r.shown(row); len(fields) > 0 {
		h["fields"] = fields
	}
	if len(r.sort) > 0 {
		var values []any
		for _, k := range r.sort {
			values = append(values, k.value(row))
		}
		h["sort"] = values
	}
	if r.highlight != nil {
		if marked := r.highlight.of(row, r.c.marks); marked != nil {
			h["highlight"] = marked
		}
	}
	return h
}

// documentID is the sender's id of an event, that of the suite where there is
// none.
func documentID(row map[string]string) string {
	if sender := row[columnSender]; sender != "" && row[columnIndex] != "" {
		if id, ok := strings.CutPrefix(sender, row[columnIndex]+"/"); ok && id != "" {
			return id
		}
	}
	return row[columnID]
}

// none is how the lack of a value is shown: as the number it is sorted as.
func (k sortKey) none() any {
	high := k.desc == k.first
	switch k.kind {
	case long, date, boolean:
		if high {
			return json.Number("9223372036854775807")
		}
		return json.Number("-9223372036854775808")
	case double:
		if high {
			return "Infinity"
		}
		return "-Infinity"
	}
	return nil
}

func (k sortKey) value(row map[string]string) any {
	v := row[outside(k.column)]
	if v == "" {
		return k.none()
	}
	if k.kind == date {
		t, ok := timeOf(v)
		if !ok {
			return v
		}
		if k.format == "" {
			return t.UnixMilli()
		}
		s, _ := formatDate(t, k.format, time.UTC)
		return s
	}
	return typed(k.kind, v, nil)
}

// shown are the values of "fields" and "docvalue_fields".
func (r *request) shown(row map[string]string) map[string]any {
	out := map[string]any{}
	for i, f := range append(slices.Clone(r.fields), r.docvalues...) {
		for name, v := range row {
			k := typeOf(name)
			as := name
			if f.pattern == name+".keyword" {
				as = f.pattern
			} else if !filterpath.Glob(f.pattern, name) {
				continue
			}
			if i >= len(r.fields) && k == text {
				continue
			}
			var list []any
			switch val := typed(k, v, nil).(type) {
			case []any:
				list = val
			default:
				list = []any{val}
			}
			if k == date {
				if t, ok := timeOf(v); ok {
					if s, err := formatDate(t, f.format, time.UTC); err == nil {
						list = []any{s}
					}
				}
			}
			out[as] = list
		}
	}
	return out
}

// multiSearch answers _msearch: lines of a header and a search each.
func (s *Server) multiSearch(c *fiber.Ctx) error {
	start := s.Now()
	body := bytes.TrimSpace(c.Body())
	if len(body) == 0 {
		return invalid("action_request_validation_exception", "Validation Failed: 1: no requests added;")
	}
	var lines [][]byte
	for line := range bytes.SplitSeq(body, []byte{'\n'}) {
		lines = append(lines, bytes.TrimSpace(line))
	}
	if len(lines)%2 != 0 {
		return invalid("illegal_argument_exception", "The msearch request must have a search behind each header; it has %d lines", len(lines))
	}
	if len(lines)/2 > maxSearches {
		return invalid("illegal_argument_exception", "The msearch request has %d searches; %d are the most", len(lines)/2, maxSearches)
	}
	responses := []any{}
	for i := 0; i < len(lines); i += 2 {
		out, err := s.oneOfMany(c, lines[i], lines[i+1])
		if err != nil {
			var f *fault
			var remote *remoteFault
			var wrong *search.QueryError
			switch {
			case errors.As(err, &f):
			case errors.As(err, &remote):
				responses = append(responses, remote.body)
				continue
			case errors.As(err, &wrong):
				f = invalid("query_shard_exception", "failed to create query: %s", wrong.Reason)
			default:
				return err
			}
			responses = append(responses, f.body())
			continue
		}
		responses = append(responses, out)
	}
	return respond(c, http.StatusOK, map[string]any{"took": s.Now().Sub(start).Milliseconds(), "responses": responses})
}

func (s *Server) oneOfMany(c *fiber.Ctx, header, body []byte) (any, error) {
	h, err := decode(header)
	if err != nil {
		return nil, err
	}
	o := newObject("header of msearch", h)
	o.ignore("search_type", "ignore_unavailable", "allow_no_indices", "expand_wildcards", "preference", "routing", "request_cache", "allow_partial_search_results", "ccs_minimize_roundtrips", "max_concurrent_shard_requests", "version")
	names := append(o.texts("index"), o.texts("indices")...)
	if err := o.done(); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = []string{param(c, "index")}
	}
	in, err := s.indices(strings.Join(names, ","))
	if err != nil {
		return nil, err
	}
	b, err := decode(body)
	if err != nil {
		return nil, err
	}
	out, err := s.searchIn(c, in, b)
	if err != nil {
		return nil, err
	}
	if m, ok := out.(map[string]any); ok {
		m["status"] = http.StatusOK
	}
	return out, nil
}

// count answers _count.
func (s *Server) count(c *fiber.Ctx) error {
	in, err := s.indices(param(c, "index"))
	if err != nil {
		return err
	}
	body, err := decode(bodyOf(c))
	if err != nil {
		return err
	}
	o := newObject("count", body)
	o.has("query")
	if err := o.done(); err != nil {
		return err
	}
	body["size"], body["track_total_hits"] = json.Number("0"), true
	out, err := s.searchIn(c, in, body)
	if err != nil {
		return err
	}
	n := any(0)
	if m, ok := out.(map[string]any); ok {
		if hits, ok := m["hits"].(map[string]any); ok {
			if total, ok := hits["total"].(map[string]any); ok {
				n = total["value"]
			}
		}
	}
	return respond(c, http.StatusOK, map[string]any{"count": n, "_shards": map[string]int{"total": 1, "successful": 1, "skipped": 0, "failed": 0}})
}

// document answers GET /{index}/_doc/{id}.
func (s *Server) document(c *fiber.Ctx) error {
	in, err := s.indices(param(c, "index"))
	if err != nil {
		return err
	}
	if len(in.cluster) > 0 {
		return unsupported("[_doc] of another cluster")
	}
	id := param(c, "id")
	r, err := s.readRequest(nil, map[string]any{"size": json.Number("1"), "query": map[string]any{"ids": map[string]any{"values": []any{id}}}}, in.here)
	if err != nil {
		return err
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	rows, err := s.hits(c.UserContext(), within, r)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return respond(c, http.StatusNotFound, map[string]any{"_index": param(c, "index"), "_id": id, "found": false})
	}
	h := r.hit(new(fastjson.Parser), rows[0])
	if strings.Contains(c.Path(), "/_source/") {
		return respond(c, http.StatusOK, h["_source"])
	}
	delete(h, "_score")
	h["found"], h["_version"] = true, 1
	return respond(c, http.StatusOK, h)
}

// laterID tells whether the event a was taken in after the event b. Ids of
// different stretches of the bus have the order of their texts.
func laterID(a, b string) bool {
	x, ok := event.ParseID(a)
	y, ok2 := event.ParseID(b)
	if !ok || !ok2 || x.Epoch != y.Epoch {
		return a > b
	}
	return cmp.Or(cmp.Compare(x.Sequence, y.Sequence), cmp.Compare(x.Index, y.Index)) > 0
}

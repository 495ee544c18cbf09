package hits

import (
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/wire"
)

// Bounds of a page, as Elasticsearch has them.
const (
	maxWindow       = 10_000 // from + size
	maxTrackedTotal = 10_000 // unless the request asks for more
	maxTopHits      = 100
)

// Read reads the members of a search that say which events it shows; now is
// what date math counts from. The members left over are the caller's.
func Read(o *wire.Object, now time.Time) (*Page, error) {
	p := &Page{Compiler: &dsl.Compiler{Now: now, Within: true}, size: 10, total: maxTrackedTotal}
	o.Ignore("timeout", "preference", "terminate_after", "profile", "stats", "explain", "batched_reduce_size", "track_scores", "min_score", "indices_boost", "allow_partial_search_results")
	p.Filter = dsl.Everything
	if q, ok := o.Has("query"); ok {
		if m, isMap := q.(map[string]any); !isMap || len(m) > 0 {
			f, err := p.Compiler.Query(q)
			if err != nil {
				return nil, err
			}
			p.Filter = f
		}
	}
	if q, ok := o.Has("post_filter"); ok {
		return nil, wire.Unsupported("[post_filter] of [search] (%s)", wire.KindOf(q))
	}
	p.from, p.size = o.Integer("from", 0, 0, maxWindow), o.Integer("size", 10, 0, maxWindow)
	p.version, p.seqNo = o.Flag("version", false), o.Flag("seq_no_primary_term", false)
	for _, name := range []string{"script_fields", "runtime_mappings", "stored_fields", "rescore", "collapse", "suggest", "slice", "pit", "knn", "rank", "ext", "retriever"} {
		v, ok := o.Has(name)
		if m, isMap := v.(map[string]any); !ok || isMap && len(m) == 0 {
			continue
		}
		if l, isList := v.([]any); name == "stored_fields" && (v == "*" || v == "_none_" || isList && (len(l) == 0 || len(l) == 1 && l[0] == "*")) {
			p.noSource = p.noSource || v == "_none_"
			continue
		}
		return nil, wire.Unsupported("[%s] of [search]", name)
	}
	var err error
	if v, ok := o.Has("sort"); ok {
		if p.sort, err = readSort(v); err != nil {
			return nil, err
		}
	}
	if after := o.List("search_after"); after != nil {
		p.after = after
	}
	if v, ok := o.Has("track_total_hits"); ok {
		if p.total, err = readTotal(v); err != nil {
			return nil, err
		}
	}
	if err = p.readParts(o); err != nil {
		return nil, err
	}
	if v, ok := o.Has("highlight"); ok {
		if p.highlight, err = readHighlight(v); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// ReadTop reads the members of top_hits, whose events are all counted. The filter
// is set for each bucket.
func ReadTop(c *dsl.Compiler, o *wire.Object) (*Page, error) {
	p := &Page{Compiler: c, size: o.Integer("size", 3, 0, maxTopHits), from: o.Integer("from", 0, 0, maxTopHits), total: -1}
	if v, ok := o.Has("sort"); ok {
		var err error
		if p.sort, err = readSort(v); err != nil {
			return nil, err
		}
	}
	return p, p.readParts(o)
}

// readParts reads which parts of an event are shown.
func (p *Page) readParts(o *wire.Object) (err error) {
	if v, ok := o.Has("_source"); ok {
		if p.source, p.noSource, err = readSource(v); err != nil {
			return err
		}
	}
	if p.fields, err = readShown("fields", o.List("fields")); err != nil {
		return err
	}
	p.docvalues, err = readShown("docvalue_fields", o.List("docvalue_fields"))
	return err
}

// Confine keeps to the rows of indices, names or patterns, and refuses a page that
// lies too far behind the first event.
func (p *Page) Confine(names []string) error {
	if p.from+p.size > maxWindow {
		return wire.Invalid("illegal_argument_exception", "Result window is too large, from + size must be less than or equal to: [%d] but was [%d]. Use search_after for more.", maxWindow, p.from+p.size)
	}
	if p.after != nil {
		if len(p.after) != len(p.sort) {
			return wire.Invalid("illegal_argument_exception", "search_after has %d value(s) but sort has %d.", len(p.after), len(p.sort))
		}
		if p.from != 0 {
			return wire.Invalid("action_request_validation_exception", "Validation Failed: 1: `from` parameter must be set to 0 when `search_after` is used;")
		}
	}
	p.Filter = dsl.And(dsl.IndexFilter(names), p.Filter)
	return nil
}

// Parameters reads what may stand in the URL.
func (p *Page) Parameters(c *fiber.Ctx) error {
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
		f, err := p.Compiler.Query(map[string]any{"query_string": query})
		if err != nil {
			return err
		}
		p.Filter = dsl.And(p.Filter, f)
	}
	for name, to := range map[string]*int{"from": &p.from, "size": &p.size} {
		if v, ok := get(name); ok {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return wire.Invalid("illegal_argument_exception", "[%s] must be a whole number from 0, not [%s]", name, v)
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
		if p.sort, bad = readSort(list); bad != nil {
			return bad
		}
	}
	if v, ok := get("track_total_hits"); ok {
		if p.total, bad = readTotal(v); bad != nil {
			return bad
		}
	}
	if v, ok := get("_source"); ok {
		if v == "true" || v == "false" {
			p.noSource = v == "false"
		} else {
			p.source.in = strings.Split(v, ",")
		}
	}
	if v, ok := get("_source_includes"); ok {
		p.source.in = strings.Split(v, ",")
	}
	if v, ok := get("_source_excludes"); ok {
		p.source.out = strings.Split(v, ",")
	}
	if _, ok := get("scroll"); ok {
		return wire.Unsupported("[scroll]; page with search_after")
	}
	p.asInteger = c.QueryBool("rest_total_hits_as_int")
	return nil
}

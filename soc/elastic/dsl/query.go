// Package dsl compiles the query DSL to filters of LogsQL: its queries, the
// languages for people within query_string and simple_query_string, and the names
// of indices. It knows the types that fields have and the columns that the lake
// keeps them in; what is not among its queries is refused by name.
package dsl

import (
	"math"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/elastic/wire"
)

// FilterOf compiles a query that makes a bucket.
func (c *Compiler) FilterOf(v any) (string, error) {
	against := c.against
	c.against = true // what makes buckets is not highlighted
	defer func() { c.against = against }()
	return c.Apart(func() (string, error) { return c.Query(v) })
}

// maxClauses bounds the conditions of one query, as Elasticsearch does.
const maxClauses = 4096

// Compiler turns queries of the DSL into LogsQL filters.
type Compiler struct {
	Now     time.Time // what date math counts from
	clauses int
	// Start and End are what the query demands of the time of every row; they
	// bound what the lake looks at. End is exclusive, zero values are open.
	Start, End time.Time
	// Marks are what a highlight shows.
	Marks []Mark
	// Within tells that a condition must be met by every row, so that it may
	// bound the time.
	Within bool
	// against tells that a condition must not be met: it is not highlighted.
	against bool
}

func (c *Compiler) clause() error {
	if c.clauses++; c.clauses > maxClauses {
		return wire.Invalid("too_many_clauses", "maxClauseCount is set to %d", maxClauses)
	}
	return nil
}

// Apart compiles a condition, by the queries that f compiles, that need not be met by every row.
func (c *Compiler) Apart(f func() (string, error)) (string, error) {
	within := c.Within
	c.Within = false
	defer func() { c.Within = within }()
	return f()
}

// Query compiles one query: {"term": {…}}.
func (c *Compiler) Query(v any) (string, error) {
	if err := c.clause(); err != nil {
		return "", err
	}
	name, body, err := wire.Only("query", v)
	if err != nil {
		return "", err
	}
	switch name {
	case "match_all", "match_none":
		o, err := wire.AsObject(name, body)
		if err != nil {
			return "", err
		}
		o.Ignore("boost", "_name")
		if name == "match_none" {
			return nothing, o.Done()
		}
		return Everything, o.Done()
	case "bool":
		return c.boolean(body)
	case "constant_score":
		o, err := wire.AsObject(name, body)
		if err != nil {
			return "", err
		}
		o.Ignore("boost", "_name")
		inner, ok := o.Has("filter")
		if err := o.Done(); err != nil {
			return "", err
		}
		if !ok {
			return "", wire.Invalid("parsing_exception", "[constant_score] requires a 'filter' element")
		}
		return c.Query(inner)
	case "term", "match", "match_phrase", "match_phrase_prefix", "prefix", "wildcard", "regexp", "range":
		return c.leaf(name, body)
	case "match_bool_prefix":
		return "", wire.Unsupported("the query [%s]", name)
	case "terms":
		return c.terms(body)
	case "exists":
		o, err := wire.AsObject(name, body)
		if err != nil {
			return "", err
		}
		o.Ignore("boost", "_name")
		field := o.Text("field", "")
		if err := o.Done(); err != nil {
			return "", err
		}
		return c.exists(field)
	case "ids":
		o, err := wire.AsObject(name, body)
		if err != nil {
			return "", err
		}
		o.Ignore("boost", "_name")
		ids := o.Texts("values")
		if err := o.Done(); err != nil {
			return "", err
		}
		var parts []string
		for _, id := range ids {
			if err := c.clause(); err != nil {
				return "", err
			}
			parts = append(parts, idIs(id))
		}
		return Or(parts...), nil
	case "multi_match":
		return c.multiMatch(body)
	case "query_string":
		return c.queryString(body)
	case "simple_query_string":
		return c.simpleQueryString(body)
	}
	return "", wire.Unsupported("the query [%s]", name)
}

func (c *Compiler) boolean(body any) (string, error) {
	o, err := wire.AsObject("bool", body)
	if err != nil {
		return "", err
	}
	o.Ignore("boost", "_name", "adjust_pure_negative")
	must, filter, should, mustNot := o.List("must"), o.List("filter"), o.List("should"), o.List("must_not")
	least, given := o.Has("minimum_should_match")
	if err := o.Done(); err != nil {
		return "", err
	}
	var parts []string
	for _, q := range append(must, filter...) {
		p, err := c.Query(q)
		if err != nil {
			return "", err
		}
		parts = append(parts, p)
	}
	var optional []string
	alone := len(should) == 1 && len(must)+len(filter) == 0 && !given
	for _, q := range should {
		compile := func() (string, error) { return c.Query(q) }
		if !alone {
			compile = func() (string, error) { return c.Apart(func() (string, error) { return c.Query(q) }) }
		}
		p, err := compile()
		if err != nil {
			return "", err
		}
		optional = append(optional, p)
	}
	n := 0
	if len(optional) > 0 && len(must)+len(filter) == 0 {
		n = 1
	}
	if given {
		if n, err = minimum(least, len(optional)); err != nil {
			return "", err
		}
	}
	chosen, err := atLeast(n, optional)
	if err != nil {
		return "", err
	}
	parts = append(parts, chosen)
	against := c.against
	c.against = true
	defer func() { c.against = against }()
	for _, q := range mustNot {
		p, err := c.Apart(func() (string, error) { return c.Query(q) })
		if err != nil {
			return "", err
		}
		parts = append(parts, Not(p))
	}
	return And(parts...), nil
}

// minimum reads minimum_should_match of n clauses: a number or a share, counted
// from the end where it is negative.
func minimum(v any, n int) (int, error) {
	s, _ := wire.Plain(v)
	share, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	k, err := strconv.Atoi(share)
	if err != nil {
		return 0, wire.Unsupported("the minimum_should_match [%s]", s)
	}
	if percent {
		k = int(math.Trunc(float64(k) * float64(n) / 100))
	}
	if k < 0 || percent && strings.HasPrefix(share, "-") {
		k += n
	}
	return max(k, 0), nil
}

// maxCombinations bounds what "at least k of n" is written out to.
const maxCombinations = 500

// atLeast asks for k of the conditions.
func atLeast(k int, of []string) (string, error) {
	switch {
	case k <= 0:
		return Everything, nil
	case k > len(of):
		return nothing, nil
	case k == 1:
		return Or(of...), nil
	case k == len(of):
		return And(of...), nil
	}
	var all []string
	var choose func(from int, chosen []string) error
	choose = func(from int, chosen []string) error {
		if len(chosen) == k {
			if len(all) == maxCombinations {
				return wire.Invalid("too_many_clauses", "minimum_should_match of %d out of %d conditions has more than %d combinations", k, len(of), maxCombinations)
			}
			all = append(all, And(append([]string(nil), chosen...)...))
			return nil
		}
		for i := from; i <= len(of)-(k-len(chosen)); i++ {
			if err := choose(i+1, append(chosen, of[i])); err != nil {
				return err
			}
		}
		return nil
	}
	if err := choose(0, nil); err != nil {
		return "", err
	}
	return Or(all...), nil
}

// leaf compiles a query about one field, {"field": value} or {"field": {…}}.
func (c *Compiler) leaf(name string, body any) (string, error) {
	if m, ok := body.(map[string]any); ok && len(m) > 1 {
		// boost and _name may stand beside the field.
		rest := map[string]any{}
		for k, v := range m {
			if k != "boost" && k != "_name" {
				rest[k] = v
			}
		}
		body = rest
	}
	field, v, err := wire.Only(name, body)
	if err != nil {
		return "", err
	}
	if err := OneField(field); err != nil {
		return "", err
	}
	main := map[string]string{"term": "value", "prefix": "value", "wildcard": "value", "regexp": "value"}[name]
	if main == "" {
		main = "query"
	}
	m, ok := v.(map[string]any)
	if !ok {
		if name == "range" {
			return "", wire.Invalid("parsing_exception", "[range] of [%s] must be an object such as {\"gte\": 1}, not %s", field, wire.KindOf(v))
		}
		m = map[string]any{main: v}
	}
	o := wire.NewObject(name, m)
	o.Ignore("boost", "_name")
	if name == "range" {
		return c.rangeQuery(field, o)
	}
	value, ok := o.Has(main)
	if !ok {
		if value, ok = o.Has("wildcard"); name != "wildcard" || !ok {
			return "", wire.Invalid("parsing_exception", "[%s] of [%s] has no [%s]", name, field, main)
		}
	}
	said, simple := wire.Plain(value)
	if !simple {
		return "", wire.Invalid("parsing_exception", "[%s] of [%s] must be a string, a number or a boolean, not %s", main, field, wire.KindOf(value))
	}
	fold := false
	switch name {
	case "term", "prefix", "wildcard", "regexp":
		fold = o.Flag("case_insensitive", false)
		o.Ignore("rewrite", "max_determinized_states")
		flags := o.Text("flags", "ALL")
		if name != "regexp" && flags != "ALL" {
			return "", wire.Unsupported("[flags] of [%s]", name)
		}
		if err := o.Done(); err != nil {
			return "", err
		}
		switch name {
		case "term":
			return c.term(field, said, fold)
		case "prefix":
			return c.prefix(field, said, fold)
		case "wildcard":
			return c.wildcard(field, said, fold)
		}
		return c.regexp(field, said, flags, fold)
	case "match":
		operator := strings.ToLower(o.Text("operator", "or"))
		least, given := o.Has("minimum_should_match")
		o.Ignore("lenient", "fuzzy_transpositions", "prefix_length", "max_expansions", "auto_generate_synonyms_phrase_query", "zero_terms_query", "cutoff_frequency")
		if err := o.Done(); err != nil {
			return "", err
		}
		if !given {
			least = nil
		}
		return c.match(field, said, operator, least)
	}
	o.Ignore("max_expansions", "zero_terms_query")
	if slop := o.Integer("slop", 0, 0, 1000); slop != 0 {
		return "", wire.Unsupported("[slop] of [%s]", name)
	}
	if err := o.Done(); err != nil {
		return "", err
	}
	return c.phrase(field, said, name == "match_phrase_prefix")
}

// OneField refuses what names several fields, or none.
func OneField(field string) error {
	if field == "" {
		return wire.Invalid("parsing_exception", "field name is null or empty")
	}
	if strings.Contains(field, "*") {
		return wire.Unsupported("the pattern [%s] for names of fields", field)
	}
	return nil
}

func (c *Compiler) terms(body any) (string, error) {
	m, ok := body.(map[string]any)
	if !ok {
		return "", wire.Invalid("parsing_exception", "[terms] must be an object, not %s", wire.KindOf(body))
	}
	rest := map[string]any{}
	for k, v := range m {
		if k != "boost" && k != "_name" {
			rest[k] = v
		}
	}
	field, v, err := wire.Only("terms", rest)
	if err != nil {
		return "", err
	}
	if err := OneField(field); err != nil {
		return "", err
	}
	list, ok := v.([]any)
	if !ok {
		return "", wire.Unsupported("[terms] of [%s] with %s (a look-up of terms)", field, wire.KindOf(v))
	}
	column, k := Resolve(field)
	if plainKeyword := k == Keyword && !IsList(column) && field != FieldID && field != FieldIndex; plainKeyword && len(list) > 1 {
		values := make([]string, 0, len(list))
		var parts []string
		for _, v := range list {
			if err := c.clause(); err != nil {
				return "", err
			}
			s, ok := wire.Plain(v)
			if !ok {
				return "", wire.Invalid("parsing_exception", "[terms] of [%s] must hold strings, numbers or booleans, not %s", field, wire.KindOf(v))
			}
			c.mark(column, k, markWhole, s)
			// A lone star means everything to LogsQL, an empty text what is missing.
			switch s {
			case "":
			case "*":
				parts = append(parts, Exactly(column, s))
			default:
				values = append(values, Quote(s))
			}
		}
		if len(values) > 0 {
			parts = append(parts, Quote(column)+":in("+strings.Join(values, ",")+")")
		}
		return Or(parts...), nil
	}
	var parts []string
	for _, v := range list {
		if err := c.clause(); err != nil {
			return "", err
		}
		s, ok := wire.Plain(v)
		if !ok {
			return "", wire.Invalid("parsing_exception", "[terms] of [%s] must hold strings, numbers or booleans, not %s", field, wire.KindOf(v))
		}
		p, err := c.Apart(func() (string, error) { return c.term(field, s, false) })
		if err != nil {
			return "", err
		}
		parts = append(parts, p)
	}
	return Or(parts...), nil
}

func (c *Compiler) multiMatch(body any) (string, error) {
	o, err := wire.AsObject("multi_match", body)
	if err != nil {
		return "", err
	}
	o.Ignore("boost", "_name", "lenient", "tie_breaker", "max_expansions", "zero_terms_query", "auto_generate_synonyms_phrase_query", "prefix_length")
	said, fields, how := o.Text("query", ""), o.Texts("fields"), o.Text("type", "best_fields")
	operator := strings.ToLower(o.Text("operator", "or"))
	least, given := o.Has("minimum_should_match")
	if err := o.Done(); err != nil {
		return "", err
	}
	if !given {
		least = nil
	}
	var parts []string
	for _, field := range fieldList(fields) {
		var p string
		var err error
		switch how {
		case "best_fields", "most_fields":
			p, err = c.Apart(func() (string, error) { return c.match(field, said, operator, least) })
		case "phrase", "phrase_prefix":
			p, err = c.Apart(func() (string, error) { return c.phrase(field, said, how == "phrase_prefix") })
		default:
			return "", wire.Unsupported("the type [%s] of [multi_match]", how)
		}
		if err != nil {
			return "", err
		}
		parts = append(parts, p)
	}
	return Or(parts...), nil
}

// AnyField stands for every field of a row.
const AnyField = "*"

// fieldList reads a list of fields, which may have boosts behind them; without
// one, every field is meant.
func fieldList(fields []string) (list []string) {
	for _, f := range fields {
		f, _, _ = strings.Cut(f, "^")
		if f == "*" || f == "_all" {
			return []string{AnyField}
		}
		list = append(list, f)
	}
	if len(list) == 0 {
		return []string{AnyField}
	}
	return list
}

package elastic

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Conditions that every row, or none, meets.
const (
	everything = "*"
	nothing    = "!*"
)

// maxClauses bounds the conditions of one query, as Elasticsearch does.
const maxClauses = 4096

// compiler turns queries of the DSL into LogsQL filters.
type compiler struct {
	now     time.Time
	clauses int
	// start and end are what the query demands of the time of every row; they
	// bound what the lake looks at. end is exclusive, zero values are open.
	start, end time.Time
	// marks are what a highlight shows.
	marks []mark
	// within tells that a condition must be met by every row, so that it may
	// bound the time.
	within bool
	// against tells that a condition must not be met: it is not highlighted.
	against bool
}

func (c *compiler) clause() error {
	if c.clauses++; c.clauses > maxClauses {
		return invalid("too_many_clauses", "maxClauseCount is set to %d", maxClauses)
	}
	return nil
}

// apart compiles a condition that need not be met by every row.
func (c *compiler) apart(f func() (string, error)) (string, error) {
	within := c.within
	c.within = false
	defer func() { c.within = within }()
	return f()
}

// and, or and not join filters.
func and(parts ...string) string {
	var kept []string
	for _, p := range parts {
		switch p {
		case everything:
		case nothing:
			return nothing
		default:
			kept = append(kept, p)
		}
	}
	switch len(kept) {
	case 0:
		return everything
	case 1:
		return kept[0]
	}
	return "(" + strings.Join(kept, " ") + ")"
}

func or(parts ...string) string {
	var kept []string
	for _, p := range parts {
		switch p {
		case everything:
			return everything
		case nothing:
		default:
			kept = append(kept, p)
		}
	}
	switch len(kept) {
	case 0:
		return nothing
	case 1:
		return kept[0]
	}
	return "(" + strings.Join(kept, " or ") + ")"
}

func not(part string) string {
	switch part {
	case everything:
		return nothing
	case nothing:
		return everything
	}
	return "!(" + part + ")"
}

// query compiles one query: {"term": {…}}.
func (c *compiler) query(v any) (string, error) {
	if err := c.clause(); err != nil {
		return "", err
	}
	name, body, err := only("query", v)
	if err != nil {
		return "", err
	}
	switch name {
	case "match_all", "match_none":
		o, err := asObject(name, body)
		if err != nil {
			return "", err
		}
		o.ignore("boost", "_name")
		if name == "match_none" {
			return nothing, o.done()
		}
		return everything, o.done()
	case "bool":
		return c.boolean(body)
	case "constant_score":
		o, err := asObject(name, body)
		if err != nil {
			return "", err
		}
		o.ignore("boost", "_name")
		inner, ok := o.has("filter")
		if err := o.done(); err != nil {
			return "", err
		}
		if !ok {
			return "", invalid("parsing_exception", "[constant_score] requires a 'filter' element")
		}
		return c.query(inner)
	case "term", "match", "match_phrase", "match_phrase_prefix", "prefix", "wildcard", "regexp", "range":
		return c.leaf(name, body)
	case "match_bool_prefix":
		return "", unsupported("the query [%s]", name)
	case "terms":
		return c.terms(body)
	case "exists":
		o, err := asObject(name, body)
		if err != nil {
			return "", err
		}
		o.ignore("boost", "_name")
		field := o.text("field", "")
		if err := o.done(); err != nil {
			return "", err
		}
		return c.exists(field)
	case "ids":
		o, err := asObject(name, body)
		if err != nil {
			return "", err
		}
		o.ignore("boost", "_name")
		ids := o.texts("values")
		if err := o.done(); err != nil {
			return "", err
		}
		var parts []string
		for _, id := range ids {
			if err := c.clause(); err != nil {
				return "", err
			}
			parts = append(parts, idIs(id))
		}
		return or(parts...), nil
	case "multi_match":
		return c.multiMatch(body)
	case "query_string":
		return c.queryString(body)
	case "simple_query_string":
		return c.simpleQueryString(body)
	}
	return "", unsupported("the query [%s]", name)
}

func (c *compiler) boolean(body any) (string, error) {
	o, err := asObject("bool", body)
	if err != nil {
		return "", err
	}
	o.ignore("boost", "_name", "adjust_pure_negative")
	must, filter, should, mustNot := o.list("must"), o.list("filter"), o.list("should"), o.list("must_not")
	least, given := o.has("minimum_should_match")
	if err := o.done(); err != nil {
		return "", err
	}
	var parts []string
	for _, q := range append(must, filter...) {
		p, err := c.query(q)
		if err != nil {
			return "", err
		}
		parts = append(parts, p)
	}
	var optional []string
	alone := len(should) == 1 && len(must)+len(filter) == 0 && !given
	for _, q := range should {
		compile := func() (string, error) { return c.query(q) }
		if !alone {
			compile = func() (string, error) { return c.apart(func() (string, error) { return c.query(q) }) }
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
		p, err := c.apart(func() (string, error) { return c.query(q) })
		if err != nil {
			return "", err
		}
		parts = append(parts, not(p))
	}
	return and(parts...), nil
}

// minimum reads minimum_should_match of n clauses: a number or a share, counted
// from the end where it is negative.
func minimum(v any, n int) (int, error) {
	s, _ := plain(v)
	share, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	k, err := strconv.Atoi(share)
	if err != nil {
		return 0, unsupported("the minimum_should_match [%s]", s)
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
		return everything, nil
	case k > len(of):
		return nothing, nil
	case k == 1:
		return or(of...), nil
	case k == len(of):
		return and(of...), nil
	}
	var all []string
	var choose func(from int, chosen []string) error
	choose = func(from int, chosen []string) error {
		if len(chosen) == k {
			if len(all) == maxCombinations {
				return invalid("too_many_clauses", "minimum_should_match of %d out of %d conditions has more than %d combinations", k, len(of), maxCombinations)
			}
			all = append(all, and(append([]string(nil), chosen...)...))
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
	return or(all...), nil
}

// leaf compiles a query about one field, {"field": value} or {"field": {…}}.
func (c *compiler) leaf(name string, body any) (string, error) {
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
	field, v, err := only(name, body)
	if err != nil {
		return "", err
	}
	if err := oneField(field); err != nil {
		return "", err
	}
	main := map[string]string{"term": "value", "prefix": "value", "wildcard": "value", "regexp": "value"}[name]
	if main == "" {
		main = "query"
	}
	m, ok := v.(map[string]any)
	if !ok {
		if name == "range" {
			return "", invalid("parsing_exception", "[range] of [%s] must be an object such as {\"gte\": 1}, not %s", field, kindOf(v))
		}
		m = map[string]any{main: v}
	}
	o := newObject(name, m)
	o.ignore("boost", "_name")
	if name == "range" {
		return c.rangeQuery(field, o)
	}
	value, ok := o.has(main)
	if !ok {
		if value, ok = o.has("wildcard"); name != "wildcard" || !ok {
			return "", invalid("parsing_exception", "[%s] of [%s] has no [%s]", name, field, main)
		}
	}
	said, simple := plain(value)
	if !simple {
		return "", invalid("parsing_exception", "[%s] of [%s] must be a string, a number or a boolean, not %s", main, field, kindOf(value))
	}
	fold := false
	switch name {
	case "term", "prefix", "wildcard", "regexp":
		fold = o.flag("case_insensitive", false)
		o.ignore("rewrite", "max_determinized_states")
		flags := o.text("flags", "ALL")
		if name != "regexp" && flags != "ALL" {
			return "", unsupported("[flags] of [%s]", name)
		}
		if err := o.done(); err != nil {
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
		operator := strings.ToLower(o.text("operator", "or"))
		least, given := o.has("minimum_should_match")
		o.ignore("lenient", "fuzzy_transpositions", "prefix_length", "max_expansions", "auto_generate_synonyms_phrase_query", "zero_terms_query", "cutoff_frequency")
		if err := o.done(); err != nil {
			return "", err
		}
		if !given {
			least = nil
		}
		return c.match(field, said, operator, least)
	}
	o.ignore("max_expansions", "zero_terms_query")
	if slop := o.integer("slop", 0, 0, 1000); slop != 0 {
		return "", unsupported("[slop] of [%s]", name)
	}
	if err := o.done(); err != nil {
		return "", err
	}
	return c.phrase(field, said, name == "match_phrase_prefix")
}

// oneField refuses what names several fields, or none.
func oneField(field string) error {
	if field == "" {
		return invalid("parsing_exception", "field name is null or empty")
	}
	if strings.Contains(field, "*") {
		return unsupported("the pattern [%s] for names of fields", field)
	}
	return nil
}

func (c *compiler) terms(body any) (string, error) {
	m, ok := body.(map[string]any)
	if !ok {
		return "", invalid("parsing_exception", "[terms] must be an object, not %s", kindOf(body))
	}
	rest := map[string]any{}
	for k, v := range m {
		if k != "boost" && k != "_name" {
			rest[k] = v
		}
	}
	field, v, err := only("terms", rest)
	if err != nil {
		return "", err
	}
	if err := oneField(field); err != nil {
		return "", err
	}
	list, ok := v.([]any)
	if !ok {
		return "", unsupported("[terms] of [%s] with %s (a look-up of terms)", field, kindOf(v))
	}
	column, k := resolved(field)
	if plainKeyword := k == keyword && !lists[column] && field != fieldID && field != fieldIndex; plainKeyword && len(list) > 1 {
		values := make([]string, 0, len(list))
		var parts []string
		for _, v := range list {
			if err := c.clause(); err != nil {
				return "", err
			}
			s, ok := plain(v)
			if !ok {
				return "", invalid("parsing_exception", "[terms] of [%s] must hold strings, numbers or booleans, not %s", field, kindOf(v))
			}
			c.mark(column, k, markWhole, s)
			// A lone star means everything to LogsQL, an empty text what is missing.
			switch s {
			case "":
			case "*":
				parts = append(parts, exactly(column, s))
			default:
				values = append(values, quote(s))
			}
		}
		if len(values) > 0 {
			parts = append(parts, quote(column)+":in("+strings.Join(values, ",")+")")
		}
		return or(parts...), nil
	}
	var parts []string
	for _, v := range list {
		if err := c.clause(); err != nil {
			return "", err
		}
		s, ok := plain(v)
		if !ok {
			return "", invalid("parsing_exception", "[terms] of [%s] must hold strings, numbers or booleans, not %s", field, kindOf(v))
		}
		p, err := c.apart(func() (string, error) { return c.term(field, s, false) })
		if err != nil {
			return "", err
		}
		parts = append(parts, p)
	}
	return or(parts...), nil
}

func (c *compiler) multiMatch(body any) (string, error) {
	o, err := asObject("multi_match", body)
	if err != nil {
		return "", err
	}
	o.ignore("boost", "_name", "lenient", "tie_breaker", "max_expansions", "zero_terms_query", "auto_generate_synonyms_phrase_query", "prefix_length")
	said, fields, how := o.text("query", ""), o.texts("fields"), o.text("type", "best_fields")
	operator := strings.ToLower(o.text("operator", "or"))
	least, given := o.has("minimum_should_match")
	if err := o.done(); err != nil {
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
			p, err = c.apart(func() (string, error) { return c.match(field, said, operator, least) })
		case "phrase", "phrase_prefix":
			p, err = c.apart(func() (string, error) { return c.phrase(field, said, how == "phrase_prefix") })
		default:
			return "", unsupported("the type [%s] of [multi_match]", how)
		}
		if err != nil {
			return "", err
		}
		parts = append(parts, p)
	}
	return or(parts...), nil
}

// anyField stands for every field of a row.
const anyField = "*"

// fieldList reads a list of fields, which may have boosts behind them; without
// one, every field is meant.
func fieldList(fields []string) (list []string) {
	for _, f := range fields {
		f, _, _ = strings.Cut(f, "^")
		if f == "*" || f == "_all" {
			return []string{anyField}
		}
		list = append(list, f)
	}
	if len(list) == 0 {
		return []string{anyField}
	}
	return list
}

// rangeQuery compiles the members of a range.
func (c *compiler) rangeQuery(field string, o *object) (string, error) {
	format, zoneName := o.text("format", ""), o.text("time_zone", "")
	if relation := strings.ToUpper(o.text("relation", "INTERSECTS")); relation != "INTERSECTS" && relation != "WITHIN" {
		return "", unsupported("[relation] %s of [range]", relation)
	}
	var b bounds
	read := func(name string, to **string) {
		if v, ok := o.has(name); ok {
			s, simple := plain(v)
			if !simple {
				o.fail(invalid("parsing_exception", "[%s] of [range] must be a string or a number, not %s", name, kindOf(v)))
			}
			*to = &s
		}
	}
	read("gt", &b.gt)
	read("gte", &b.gte)
	read("lt", &b.lt)
	read("lte", &b.lte)
	// The form of old clients.
	lower, upper := o.flag("include_lower", true), o.flag("include_upper", true)
	var from, to *string
	read("from", &from)
	read("to", &to)
	if from != nil && lower {
		b.gte = from
	} else if from != nil {
		b.gt = from
	}
	if to != nil && upper {
		b.lte = to
	} else if to != nil {
		b.lt = to
	}
	if err := o.done(); err != nil {
		return "", err
	}
	zone, ok := parseZone(zoneName)
	if !ok {
		return "", invalid("parsing_exception", "the time zone [%s] is not known: give an offset such as +08:00 or a name such as Asia/Shanghai", zoneName)
	}
	return c.span(field, b, format, zone)
}

// bounds are the ends of a range, nil where it is open.
type bounds struct{ gt, gte, lt, lte *string }

// span compiles a range.
func (c *compiler) span(field string, b bounds, format string, zone *time.Location) (string, error) {
	column, k := resolved(field)
	if field == anyField || field == fieldID || field == fieldIndex {
		return "", unsupported("[range] of [%s]", field)
	}
	switch k {
	case date:
		return c.dateSpan(column, b, format, zone)
	case ip:
		return ipSpan(column, b)
	case long, double:
		for _, s := range []*string{b.gt, b.gte, b.lt, b.lte} {
			if s != nil && !isNumber(*s) {
				return "", invalid("number_format_exception", "For input string: \"%s\", as [%s] is a %s", *s, field, k)
			}
		}
	}
	var parts []string
	for _, end := range []struct {
		op    string
		value *string
	}{{">", b.gt}, {">=", b.gte}, {"<", b.lt}, {"<=", b.lte}} {
		if end.value == nil {
			continue
		}
		value := quote(*end.value)
		if isNumber(*end.value) {
			value = *end.value
		}
		parts = append(parts, quote(column)+":"+end.op+value)
	}
	if len(parts) == 0 {
		return c.exists(field)
	}
	// The lake has the empty text come before all others.
	return and(append(parts, present(column))...), nil
}

// dateSpan compiles a range of times. Ends that say less than a millisecond
// mean all of what they say or none of it, as they include it or not.
func (c *compiler) dateSpan(column string, b bounds, format string, zone *time.Location) (string, error) {
	var from, to time.Time // to is exclusive
	for _, end := range []struct {
		value *string
		take  func(moment)
	}{
		{b.gt, func(m moment) { from = later(from, m.to) }},
		{b.gte, func(m moment) { from = later(from, m.from) }},
		{b.lt, func(m moment) { to = earlier(to, m.from) }},
		{b.lte, func(m moment) { to = earlier(to, m.to) }},
	} {
		if end.value == nil {
			continue
		}
		m, err := parseMoment(*end.value, format, zone, c.now)
		if err != nil {
			return "", err
		}
		end.take(m)
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return nothing, nil
	}
	if column != "_time" {
		// As the suite writes times, texts have the order of times.
		parts := []string{present(column)}
		if !from.IsZero() {
			parts = append(parts, quote(column)+":>="+quote(millis(from)))
		}
		if !to.IsZero() {
			parts = append(parts, quote(column)+":<"+quote(millis(to)))
		}
		return and(parts...), nil
	}
	if c.within && !c.against {
		c.start, c.end = later(c.start, from), earlier(c.end, to)
		return everything, nil
	}
	return timeFilter(from, to), nil
}

// timeFilter is the LogsQL filter for rows of a time; zero values are open.
func timeFilter(from, to time.Time) string {
	if from.IsZero() && to.IsZero() {
		return everything
	}
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }
	if from.IsZero() {
		from = time.Unix(0, 0)
	}
	if to.IsZero() {
		to = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return fmt.Sprintf("_time:[%s,%s)", stamp(from), stamp(to))
}

// later and earlier take the zero value for no bound.
func later(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

package dsl

import (
	"strings"
	"time"
	"unicode"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/wire"
)

// queryString compiles Lucene's query language, as people type it into Grafana
// and Kibana.
func (c *Compiler) queryString(body any) (string, error) {
	if s, ok := body.(string); ok {
		body = map[string]any{"query": s}
	}
	o, err := wire.AsObject("query_string", body)
	if err != nil {
		return "", err
	}
	o.Ignore("boost", "_name", "lenient", "analyze_wildcard", "allow_leading_wildcard", "enable_position_increments", "auto_generate_synonyms_phrase_query",
		"fuzzy_transpositions", "fuzzy_max_expansions", "fuzzy_prefix_length", "max_determinized_states", "tie_breaker", "type", "rewrite", "quote_field_suffix", "escape")
	said, fields, one := o.Text("query", ""), o.Texts("fields"), o.Text("default_field", "")
	operator := strings.ToLower(o.Text("default_operator", "or"))
	least, given := o.Has("minimum_should_match")
	zoneName := o.Text("time_zone", "")
	if err := o.Done(); err != nil {
		return "", err
	}
	zone, ok := dates.Zone(zoneName)
	if !ok {
		return "", wire.Invalid("parsing_exception", "the time zone [%s] is not known", zoneName)
	}
	if operator != "or" && operator != "and" {
		return "", wire.Invalid("illegal_argument_exception", "default_operator needs to be either [or] or [and], but not [%s]", operator)
	}
	if one != "" {
		fields = append(fields, one)
	}
	p := &lucene{c: c, text: []rune(said), fields: fieldList(fields), operator: operator, zone: zone}
	if given {
		p.least = least
	}
	if strings.TrimSpace(said) == "" {
		return nothing, nil
	}
	s, err := c.Apart(func() (string, error) { return p.query(0) })
	if err == nil && p.at < len(p.text) {
		err = p.fault("a closing bracket without one that opens")
	}
	return s, err
}

// lucene reads a query of the language.
type lucene struct {
	c        *Compiler
	text     []rune
	at       int
	fields   []string // that words without a field are looked for in
	operator string
	least    any // minimum_should_match of the outermost level
	zone     *time.Location
}

func (p *lucene) fault(what string) error {
	return wire.Invalid("query_shard_exception", "Failed to parse query [%s]: %s at character %d", string(p.text), what, p.at)
}

func (p *lucene) space() {
	for p.at < len(p.text) && unicode.IsSpace(p.text[p.at]) {
		p.at++
	}
}

// next is the character at the place, 0 at the end.
func (p *lucene) next() rune {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// take takes a word of the language where it stands alone.
func (p *lucene) take(words ...string) bool {
	for _, w := range words {
		end := p.at + len(w)
		if end > len(p.text) || string(p.text[p.at:end]) != w {
			continue
		}
		if unicode.IsLetter(rune(w[0])) && end < len(p.text) && !unicode.IsSpace(p.text[end]) && p.text[end] != '(' {
			continue
		}
		p.at = end
		return true
	}
	return false
}

// part is one condition of a query with how it takes part.
type part struct {
	filter             string
	required, rejected bool
}

// query reads conditions up to the end or a closing bracket. AND makes both its
// sides required, as in Lucene: it binds no tighter than OR.
func (p *lucene) query(depth int) (string, error) {
	if depth > wire.MaxDepth {
		return "", p.fault("too many brackets")
	}
	var parts []part
	for {
		p.space()
		if p.at == len(p.text) || p.next() == ')' {
			break
		}
		joint := ""
		switch {
		case p.take("AND", "&&"):
			joint = "and"
		case p.take("OR", "||"):
			joint = "or"
		}
		if joint != "" && len(parts) == 0 {
			return "", p.fault("an operator with nothing before it")
		}
		p.space()
		sign := rune(0)
		for again := true; again; {
			switch {
			case p.take("NOT"), p.take("!"):
				sign = '-'
				p.space()
			case p.next() == '+' || p.next() == '-':
				sign = p.next()
				p.at++
			default:
				again = false
			}
		}
		if p.at == len(p.text) || p.next() == ')' {
			return "", p.fault("an operator with nothing behind it")
		}
		against := p.c.against
		p.c.against = against || sign == '-'
		filter, err := p.clause(p.fields, depth)
		p.c.against = against
		if err != nil {
			return "", err
		}
		if last := len(parts) - 1; last >= 0 && !parts[last].rejected {
			switch {
			case joint == "and":
				parts[last].required = true
			case joint == "or" && p.operator == "and":
				parts[last].required = false
			}
		}
		n := part{filter: filter, rejected: sign == '-'}
		if !n.rejected {
			n.required = sign == '+' || joint == "and" || p.operator == "and" && joint != "or"
		}
		parts = append(parts, n)
	}
	if len(parts) == 0 {
		return "", p.fault("nothing where a condition must be")
	}
	var must, should []string
	for _, x := range parts {
		switch {
		case x.rejected:
			must = append(must, Not(x.filter))
		case x.required:
			must = append(must, x.filter)
		default:
			should = append(should, x.filter)
		}
	}
	n := 0
	if depth == 0 && p.least != nil {
		var err error
		if n, err = minimum(p.least, len(should)); err != nil {
			return "", err
		}
	}
	if n == 0 && len(should) > 0 && len(must) == 0 {
		n = 1
	}
	// With conditions that reject only, one of the others must be met.
	if n == 0 && len(should) > 0 && !anyRequired(parts) {
		n = 1
	}
	chosen, err := atLeast(n, should)
	if err != nil {
		return "", err
	}
	return And(append(must, chosen)...), nil
}

func anyRequired(parts []part) bool {
	for _, x := range parts {
		if x.required {
			return true
		}
	}
	return false
}

// clause reads one condition, perhaps with the field it is about.
func (p *lucene) clause(fields []string, depth int) (string, error) {
	if err := p.c.clause(); err != nil {
		return "", err
	}
	start := p.at
	switch p.next() {
	case '(':
		return p.group(fields, depth)
	case '"':
		return p.quoted(fields)
	case '/':
		return p.expression(fields)
	case '[', '{':
		return p.span(fields)
	}
	word, wild, err := p.word()
	if err != nil {
		return "", err
	}
	if p.next() == ':' && word != "" {
		p.at++
		if word == "_exists_" {
			field, _, err := p.word()
			if err != nil {
				return "", err
			}
			return p.c.exists(unescaped(field))
		}
		field := unescaped(word)
		if field == "*" {
			return p.clause([]string{AnyField}, depth)
		}
		if wild {
			return "", wire.Unsupported("the pattern [%s] for names of fields", word)
		}
		p.space()
		for _, op := range []string{">=", "<=", ">", "<"} {
			if !p.take(op) {
				continue
			}
			p.space()
			var value string
			if p.next() == '"' {
				value, err = p.literal()
			} else {
				value, _, err = p.word()
				value = unescaped(value)
			}
			if err != nil {
				return "", err
			}
			if value == "" {
				return "", p.fault("no value behind " + op)
			}
			b := map[string]Bounds{">=": {GTE: &value}, "<=": {LTE: &value}, ">": {GT: &value}, "<": {LT: &value}}[op]
			return p.c.Span(field, b, "", p.zone)
		}
		if p.at == len(p.text) || p.next() == ')' {
			return "", p.fault("no value behind the field " + field)
		}
		return p.clause([]string{field}, depth)
	}
	if word == "" {
		p.at = start
		return "", p.fault("a character that must have \\ in front of it: " + string(p.next()))
	}
	if word == "*" {
		if err := p.suffix(false); err != nil {
			return "", err
		}
		return p.each(fields, func(f string) (string, error) { return p.c.exists(f) })
	}
	if err := p.suffix(false); err != nil {
		return "", err
	}
	return p.each(fields, func(f string) (string, error) {
		if wild {
			if head, ok := strings.CutSuffix(word, "*"); ok && !strings.ContainsAny(head, `*?\`) {
				return p.c.prefix(f, head, false)
			}
			return p.c.wildcard(f, word, false)
		}
		return p.c.said(f, unescaped(word), p.operator)
	})
}

// said compiles a word as it stands in a query: its tokens where the field is a
// text, which may be several, else equality.
func (c *Compiler) said(field, value, operator string) (string, error) {
	if field == AnyField {
		return c.phrase(field, value, false)
	}
	return c.match(field, value, operator, nil)
}

// each joins what a condition is for each of several fields.
func (p *lucene) each(fields []string, f func(field string) (string, error)) (string, error) {
	var parts []string
	for _, field := range fields {
		s, err := f(field)
		if err != nil {
			return "", err
		}
		parts = append(parts, s)
	}
	return Or(parts...), nil
}

func (p *lucene) group(fields []string, depth int) (string, error) {
	p.at++
	before := p.fields
	p.fields = fields
	s, err := p.query(depth + 1)
	p.fields = before
	if err != nil {
		return "", err
	}
	if p.next() != ')' {
		return "", p.fault("no closing bracket")
	}
	p.at++
	return s, p.suffix(false)
}

// suffix reads what may stand behind a condition: a boost, which changes nothing
// here, or a distance, which is not known here.
func (p *lucene) suffix(phrase bool) error {
	for {
		switch p.next() {
		case '^':
			p.at++
			for p.at < len(p.text) && (unicode.IsDigit(p.next()) || p.next() == '.') {
				p.at++
			}
		case '~':
			if phrase {
				return wire.Unsupported("the distance [~] of a phrase in a query string")
			}
			return wire.Unsupported("the operator [~] (fuzzy) in a query string")
		default:
			return nil
		}
	}
}

// literal reads a text in quotes.
func (p *lucene) literal() (string, error) {
	p.at++
	var b strings.Builder
	for p.at < len(p.text) {
		r := p.text[p.at]
		p.at++
		switch {
		case r == '"':
			return b.String(), nil
		case r == '\\' && p.at < len(p.text):
			b.WriteRune(p.text[p.at])
			p.at++
		default:
			b.WriteRune(r)
		}
	}
	return "", p.fault("no closing quote")
}

func (p *lucene) quoted(fields []string) (string, error) {
	s, err := p.literal()
	if err != nil {
		return "", err
	}
	if err := p.suffix(true); err != nil {
		return "", err
	}
	return p.each(fields, func(f string) (string, error) { return p.c.phrase(f, s, false) })
}

func (p *lucene) expression(fields []string) (string, error) {
	p.at++
	start := p.at
	for p.at < len(p.text) && p.text[p.at] != '/' {
		if p.text[p.at] == '\\' {
			p.at++
		}
		p.at++
	}
	if p.at >= len(p.text) {
		p.at = len(p.text)
		return "", p.fault("no closing / of a regular expression")
	}
	pattern := strings.ReplaceAll(string(p.text[start:p.at]), `\/`, "/")
	p.at++
	if err := p.suffix(false); err != nil {
		return "", err
	}
	return p.each(fields, func(f string) (string, error) { return p.c.regexp(f, pattern, "ALL", false) })
}

// span reads [a TO b], {a TO b} or a mixture; * is an open end.
func (p *lucene) span(fields []string) (string, error) {
	open := p.next()
	p.at++
	end := func() (*string, error) {
		p.space()
		if p.next() == '"' {
			s, err := p.literal()
			return &s, err
		}
		start := p.at
		for p.at < len(p.text) && !unicode.IsSpace(p.text[p.at]) && !strings.ContainsRune("]}", p.text[p.at]) {
			if p.text[p.at] == '\\' {
				p.at++
			}
			p.at++
		}
		p.at = min(p.at, len(p.text))
		s := unescaped(string(p.text[start:p.at]))
		if s == "" {
			return nil, p.fault("an end of a range is missing")
		}
		if s == "*" {
			return nil, nil
		}
		return &s, nil
	}
	from, err := end()
	if err != nil {
		return "", err
	}
	p.space()
	if !p.take("TO") {
		return "", p.fault("TO is missing in a range")
	}
	to, err := end()
	if err != nil {
		return "", err
	}
	p.space()
	shut := p.next()
	if shut != ']' && shut != '}' {
		return "", p.fault("a range is not closed")
	}
	p.at++
	if err := p.suffix(false); err != nil {
		return "", err
	}
	var b Bounds
	if open == '[' {
		b.GTE = from
	} else {
		b.GT = from
	}
	if shut == ']' {
		b.LTE = to
	} else {
		b.LT = to
	}
	return p.each(fields, func(f string) (string, error) { return p.c.Span(f, b, "", p.zone) })
}

// word reads a word as it stands, escapes included, and whether it has wildcards.
func (p *lucene) word() (s string, wild bool, err error) {
	start := p.at
	for p.at < len(p.text) {
		r := p.text[p.at]
		if r == '\\' {
			if p.at+1 == len(p.text) {
				return "", false, p.fault("a \\ with nothing behind it")
			}
			p.at += 2
			continue
		}
		if unicode.IsSpace(r) || strings.ContainsRune(`:()[]{}"^~`, r) || p.at == start && strings.ContainsRune("+-!<>=/", r) {
			break
		}
		wild = wild || r == '*' || r == '?'
		p.at++
	}
	return string(p.text[start:p.at]), wild, nil
}

// unescaped takes the backslashes out of a word.
func unescaped(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	escaped := false
	for _, r := range s {
		if r == '\\' && !escaped {
			escaped = true
			continue
		}
		escaped = false
		b.WriteRune(r)
	}
	return b.String()
}

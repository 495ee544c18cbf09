package dsl

import (
	"strings"
	"unicode"

	"icewatch/soc/elastic/wire"
)

// simpleQueryString compiles the language that never fails: what cannot be read
// is left out.
func (c *Compiler) simpleQueryString(body any) (string, error) {
	o, err := wire.AsObject("simple_query_string", body)
	if err != nil {
		return "", err
	}
	o.Ignore("boost", "_name", "lenient", "analyze_wildcard", "auto_generate_synonyms_phrase_query", "fuzzy_transpositions", "fuzzy_max_expansions",
		"fuzzy_prefix_length", "quote_field_suffix")
	said, fields := o.Text("query", ""), o.Texts("fields")
	operator, flags := strings.ToLower(o.Text("default_operator", "or")), strings.ToUpper(o.Text("flags", "ALL"))
	if _, given := o.Has("minimum_should_match"); given {
		return "", wire.Unsupported("[minimum_should_match] of [simple_query_string]")
	}
	if err := o.Done(); err != nil {
		return "", err
	}
	if flags != "ALL" && flags != "-1" {
		return "", wire.Unsupported("[flags] of [simple_query_string]")
	}
	p := &simple{c: c, text: []rune(said), fields: fieldList(fields), and: operator == "and"}
	s, err := c.Apart(func() (string, error) { return p.query(0) })
	if s == "" {
		s = nothing
	}
	return s, err
}

// simple reads a query of that language.
type simple struct {
	c      *Compiler
	text   []rune
	at     int
	fields []string
	and    bool
}

// query reads up to the end or a closing bracket; "" is nothing said. Operators
// join from the left.
func (p *simple) query(depth int) (string, error) {
	all, pending := "", rune(0)
	negated := false
	add := func(filter string) {
		if negated {
			filter = Not(filter)
		}
		negated = false
		op := pending
		pending = 0
		switch {
		case all == "":
			all = filter
		case op == '+' || op == 0 && p.and:
			all = And(all, filter)
		default:
			all = Or(all, filter)
		}
	}
	for p.at < len(p.text) {
		r := p.text[p.at]
		switch {
		case unicode.IsSpace(r):
			p.at++
		case r == '+' || r == '|':
			pending = r
			p.at++
		case r == '-':
			negated = !negated
			p.at++
		case r == ')':
			p.at++
			if depth > 0 {
				return all, nil
			}
		case r == '(' && depth < wire.MaxDepth:
			p.at++
			join, no := pending, negated
			inner, err := p.query(depth + 1)
			if err != nil {
				return "", err
			}
			if pending, negated = join, no; inner != "" {
				add(inner)
			}
		default:
			filter, err := p.condition()
			if err != nil {
				return "", err
			}
			if filter != "" {
				add(filter)
			}
		}
	}
	return all, nil
}

func (p *simple) condition() (string, error) {
	if err := p.c.clause(); err != nil {
		return "", err
	}
	var b strings.Builder
	quoted, prefix := p.text[p.at] == '"', false
	if quoted {
		p.at++
	}
	for p.at < len(p.text) {
		r := p.text[p.at]
		if r == '\\' && p.at+1 < len(p.text) {
			b.WriteRune(p.text[p.at+1])
			p.at += 2
			continue
		}
		if quoted && r == '"' || !quoted && (unicode.IsSpace(r) || strings.ContainsRune(`|+()"`, r)) {
			break
		}
		p.at++
		if !quoted && r == '*' && (p.at == len(p.text) || unicode.IsSpace(p.text[p.at]) || strings.ContainsRune(`|+()"`, p.text[p.at])) {
			prefix = true
			break
		}
		b.WriteRune(r)
	}
	if quoted && p.at < len(p.text) {
		p.at++
	}
	said := b.String()
	if said == "" || said == "(" {
		p.at = max(p.at, min(p.at+1, len(p.text)))
		if !prefix {
			return "", nil
		}
	}
	if at := strings.LastIndexByte(said, '~'); at >= 0 && !quoted {
		return "", wire.Unsupported("the operator [~] of [simple_query_string]")
	}
	var parts []string
	for _, f := range p.fields {
		var s string
		var err error
		switch {
		case quoted:
			s, err = p.c.phrase(f, said, false)
		case prefix:
			s, err = p.c.prefix(f, said, false)
		default:
			s, err = p.c.said(f, said, map[bool]string{true: "and", false: "or"}[p.and])
		}
		if err != nil {
			return "", err
		}
		parts = append(parts, s)
	}
	return Or(parts...), nil
}

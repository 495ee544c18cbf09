package dsl

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"icewatch/soc/elastic/wire"
)

// patterned refuses patterns on what is no text, as Elasticsearch does; only of
// addresses people may look for the beginning.
func patterned(how, field string) error {
	switch _, k := Resolve(field); k {
	case Date, Long, Double, Boolean:
		return wire.Invalid("query_shard_exception", "Can only use %s queries on keyword, text and wildcard fields - not on [%s] which is of type [%s]", how, field, k)
	}
	return nil
}

func (c *Compiler) prefix(field, value string, fold bool) (string, error) {
	column, k := Resolve(field)
	if err := patterned("prefix", field); err != nil {
		return "", err
	}
	c.mark(column, k, markPrefix, value)
	switch {
	case field == FieldIndex:
		return IndexFilter([]string{value + "*"}), nil
	case value == "":
		return c.exists(field)
	case k == Text || field == AnyField:
		return word(column, value, true), nil
	case fold || IsList(column):
		flags := "(?s)"
		if fold {
			flags = "(?is)"
		}
		e := regexp.QuoteMeta(value)
		return Or(Matches(column, flags+"^"+e), inList(column, flags, strings.TrimSuffix(regexp.QuoteMeta(JSONText(value)), `"`)+`(?:[^"\\]|\\.)*"`)), nil
	}
	return Quote(column) + ":=" + Quote(value) + "*", nil
}

// inList asks for an element of an array where the field may be one.
func inList(column, flags, element string) string {
	if !IsList(column) {
		return nothing
	}
	return Matches(column, flags+Among(element))
}

func (c *Compiler) wildcard(field, pattern string, fold bool) (string, error) {
	column, k := Resolve(field)
	if pattern == "" {
		return nothing, nil // the lake does not tell an empty text from none
	}
	if strings.Trim(pattern, "*") == "" {
		return c.exists(field)
	}
	if err := patterned("wildcard", field); err != nil {
		return "", err
	}
	if field == FieldIndex {
		return IndexFilter([]string{pattern}), nil
	}
	flags := "(?s)"
	if fold {
		flags = "(?is)"
	}
	if k == Text || field == AnyField {
		e := `(?i)` + edgeBefore + wildcardExpression(pattern, `[\pL\p{Nd}_]`) + edgeAfter
		c.mark(column, k, markExpression, wildcardExpression(pattern, `[\pL\p{Nd}_]`))
		return Matches(column, e), nil
	}
	c.mark(column, k, markWholeExpression, wildcardExpression(pattern, "."))
	return Or(Matches(column, flags+"^"+wildcardExpression(pattern, ".")+"$"), inList(column, flags, `"`+wildcardExpression(pattern, `(?:[^"\\]|\\.)`)+`"`)), nil
}

// wildcardExpression turns * and ? of a pattern into any, or one, of a class of
// characters.
func wildcardExpression(pattern, class string) string {
	var b strings.Builder
	escaped := false
	for _, r := range pattern {
		switch {
		case escaped || r != '*' && r != '?' && r != '\\':
			b.WriteString(regexp.QuoteMeta(string(r)))
			escaped = false
		case r == '\\':
			escaped = true
		case r == '*':
			b.WriteString(class + "*")
		default:
			b.WriteString(class)
		}
	}
	if escaped {
		b.WriteString(`\\`)
	}
	return b.String()
}

func (c *Compiler) regexp(field, pattern, flags string, fold bool) (string, error) {
	column, k := Resolve(field)
	if err := patterned("regexp", field); err != nil {
		return "", err
	}
	e, err := Expression(pattern, flags)
	if err != nil {
		return "", err
	}
	if k == Text || field == AnyField {
		c.mark(column, k, markExpression, e)
		return Matches(column, `(?i)`+edgeBefore+"(?:"+e+")"+edgeAfter), nil
	}
	options := "(?s)"
	if fold {
		options = "(?is)"
	}
	c.mark(column, k, markWholeExpression, e)
	return Or(Matches(column, options+"^(?:"+e+")$"), inList(column, options, `"(?:`+e+`)"`)), nil
}

// Expression turns a regular expression of Lucene, which always matches
// the whole text and knows no anchors, into one of Go.
func Expression(pattern, flags string) (string, error) {
	all := strings.EqualFold(flags, "ALL")
	has := func(flag string) bool { return all || strings.Contains(strings.ToUpper(flags), flag) }
	var b strings.Builder
	class := false
	runes := []rune(pattern)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case r == '\\' && i+1 < len(runes):
			i++
			if strings.ContainsRune("dDwWsS", runes[i]) {
				b.WriteRune('\\')
				b.WriteRune(runes[i])
			} else {
				b.WriteString(regexp.QuoteMeta(string(runes[i])))
			}
		case class:
			if r == ']' {
				class = false
			}
			if r == '[' {
				b.WriteRune('\\')
			}
			b.WriteRune(r)
		case r == '[':
			class = true
			b.WriteRune(r)
			if i+1 < len(runes) && runes[i+1] == '^' {
				b.WriteRune('^')
				i++
			}
		case r == '"':
			end := i + 1
			for end < len(runes) && runes[end] != '"' {
				end++
			}
			if end == len(runes) {
				return "", wire.Invalid("illegal_argument_exception", "expected '\"' in the regular expression [%s]", pattern)
			}
			b.WriteString("(?:" + regexp.QuoteMeta(string(runes[i+1:end])) + ")")
			i = end
		case r == '^' || r == '$':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '@' && has("ANYSTRING"):
			b.WriteString(".*")
		case r == '~' && has("COMPLEMENT"), r == '<' && has("INTERVAL"), r == '&' && has("INTERSECTION"), r == '#' && has("EMPTY"):
			return "", wire.Unsupported("the operator [%c] in the regular expression [%s]; put \\ in front of it where the character is meant", r, pattern)
		case r == '(' && i+1 < len(runes) && runes[i+1] == '?':
			return "", wire.Invalid("illegal_argument_exception", "unexpected [?] behind [(] in the regular expression [%s]", pattern)
		default:
			b.WriteRune(r)
		}
	}
	e := b.String()
	if _, err := syntax.Parse(e, syntax.Perl); err != nil || len(e) > 1000 {
		return "", wire.Invalid("illegal_argument_exception", "the regular expression [%.1000s] is not valid or longer than 1000 characters: %v", pattern, err)
	}
	return e, nil
}

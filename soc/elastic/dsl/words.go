package dsl

import (
	"regexp"
	"strings"
	"unicode"

	"icewatch/soc/elastic/wire"
)

// Ends of a word in a text, as expressions.
const (
	edgeBefore = `(?:^|[^\pL\p{Nd}_])`
	edgeAfter  = `(?:$|[^\pL\p{Nd}_])`
)

func wordRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// unspaced tells whether a script is written without spaces between words: its
// texts are looked for within longer ones.
func unspaced(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai)
	}) >= 0
}

// tokens parts a text into words as the standard analyzer does: at what is no
// letter, digit or underscore; a dot, an apostrophe or a comma between letters
// or digits belongs to the word.
func tokens(s string) (list []string) {
	runes := []rune(s)
	start := -1
	for i, r := range runes {
		inner := i > 0 && i+1 < len(runes) && (r == '.' || r == '\'') && bothAre(unicode.IsLetter, runes[i-1], runes[i+1]) ||
			i > 0 && i+1 < len(runes) && (r == '.' || r == ',') && bothAre(unicode.IsDigit, runes[i-1], runes[i+1])
		if wordRune(r) || inner {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			list = append(list, string(runes[start:i]))
			start = -1
		}
	}
	if start >= 0 {
		list = append(list, string(runes[start:]))
	}
	return list
}

func bothAre(f func(rune) bool, a, b rune) bool { return f(a) && f(b) }

// word asks a text for a word in whatever case, or for one that begins so.
func word(column, value string, open bool) string {
	if value == "" {
		return nothing
	}
	front := ""
	if column != AnyField {
		front = Quote(column) + ":"
	}
	if unspaced(value) {
		return Matches(column, "(?i)"+regexp.QuoteMeta(value))
	}
	if open {
		return front + "i(" + Quote(value) + "*)"
	}
	return front + "i(" + Quote(value) + ")"
}

// match compiles the words of a text for a text field, equality for others.
func (c *Compiler) match(field, value, operator string, least any) (string, error) {
	if operator != "or" && operator != "and" {
		return "", wire.Invalid("illegal_argument_exception", "operator needs to be either [or] or [and], but not [%s]", operator)
	}
	if _, k := Resolve(field); k == Text || field == AnyField {
		return c.words(field, value, operator, least)
	}
	return c.term(field, value, false)
}

func (c *Compiler) words(field, value, operator string, least any) (string, error) {
	column, k := Resolve(field)
	var parts []string
	for _, t := range tokens(value) {
		if err := c.clause(); err != nil {
			return "", err
		}
		c.mark(column, k, markWord, t)
		parts = append(parts, word(column, t, false))
	}
	n := 1
	if operator == "and" {
		n = len(parts)
	} else if least != nil {
		var err error
		if n, err = minimum(least, len(parts)); err != nil {
			return "", err
		}
		n = max(n, 1)
	}
	if len(parts) == 0 {
		return nothing, nil
	}
	return atLeast(n, parts)
}

// phrase compiles words one after the other; of the last only the beginning
// where open is true.
func (c *Compiler) phrase(field, value string, open bool) (string, error) {
	column, k := Resolve(field)
	if k != Text && field != AnyField {
		if open {
			return c.prefix(field, value, false)
		}
		return c.term(field, value, false)
	}
	list := tokens(value)
	if len(list) == 0 {
		return nothing, nil
	}
	if len(list) == 1 {
		how := markWord
		if open {
			how = markPrefix
		}
		c.mark(column, k, how, list[0])
		return word(column, list[0], open), nil
	}
	parts := make([]string, 0, len(list)+1)
	for i, t := range list {
		parts = append(parts, word(column, t, open && i == len(list)-1))
	}
	e := joined(list)
	c.mark(column, k, markExpression, e)
	before, after := edgeBefore, edgeAfter
	if unspaced(list[0]) {
		before = ""
	}
	if open || unspaced(list[len(list)-1]) {
		after = ""
	}
	if field == AnyField {
		// The words may not stand in different fields.
		return Matches(column, before+"(?i:"+e+")"+after), nil
	}
	return And(append(parts, Matches(column, before+"(?i:"+e+")"+after))...), nil
}

// joined is the expression for words one after the other. What stands between
// them has no case: folding all letters of Unicode takes longer than the query.
func joined(list []string) string {
	var e strings.Builder
	for i, t := range list {
		if i > 0 && (unspaced(t) || unspaced(list[i-1])) {
			e.WriteString(`(?-i:[^\pL\p{Nd}_]*)`)
		} else if i > 0 {
			e.WriteString(`(?-i:[^\pL\p{Nd}_]+)`)
		}
		e.WriteString(regexp.QuoteMeta(t))
	}
	return e.String()
}

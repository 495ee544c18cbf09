package elastic

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	"unicode"

	"icewatch/soc/event"
	"icewatch/soc/search/clause"
)

// exactly asks a column for a value.
func exactly(column, value string) string { return quote(column) + ":=" + quote(value) }

// present asks a column for any value.
func present(column string) string {
	if column == "_time" {
		return everything // every row has it, and LogsQL would read a duration
	}
	// Not column:* : in conditions of stats, if (column:*), the library finds no
	// number by it (1.121.0).
	return "!" + exactly(column, "")
}

// matches asks a column for an expression, every column where it is anyField.
func matches(column, expression string) string {
	if column == anyField {
		return "~" + quote(expression)
	}
	return quote(column) + ":~" + quote(expression)
}

// among is the expression for an element of an array as the lake keeps it.
func among(element string) string { return `(?s)^\[(?:.*,)?` + element + `(?:,.*)?\]$` }

// idIs finds the event of an id: that of the suite, or that which the sender
// gave, whatever the index.
func idIs(id string) string {
	return "(" + exactly(columnID, id) + " or " + matches(columnSender, `(?s)^[^/]*/`+regexp.QuoteMeta(id)+"$") + ")"
}

// term compiles the equality with one value.
func (c *compiler) term(field, value string, fold bool) (string, error) {
	column, k := resolved(field)
	c.mark(column, k, markWhole, value)
	switch {
	case field == anyField:
		return c.words(anyField, value, "or", nil)
	case field == fieldID:
		return idIs(value), nil
	case field == fieldIndex:
		return indexFilter([]string{value}), nil
	case value == "":
		// The lake does not tell an empty text from none.
		return nothing, nil
	}
	switch k {
	case text:
		return word(column, value, false), nil
	case date:
		m, err := parseMoment(value, "", time.UTC, c.now)
		if err != nil {
			return "", err
		}
		from, to := millis(m.from), millis(m.to)
		return c.dateSpan(column, bounds{gte: &from, lt: &to}, "", time.UTC)
	case ip:
		return ipTerm(column, value)
	case long, double:
		if !isNumber(value) {
			return "", invalid("number_format_exception", "For input string: \"%s\", as [%s] is a %s", value, field, k)
		}
		return fmt.Sprintf("%s:range[%s,%s]", quote(column), value, value), nil
	case boolean:
		if value != "true" && value != "false" {
			return "", invalid("illegal_argument_exception", "Can't parse boolean value [%s], expected [true] or [false]", value)
		}
		return exactly(column, value), nil
	}
	if fold {
		e := regexp.QuoteMeta(value)
		one := matches(column, "(?is)^"+e+"$")
		if lists[column] {
			return or(one, matches(column, "(?i)"+among(regexp.QuoteMeta(jsonText(value))))), nil
		}
		return one, nil
	}
	if lists[column] {
		return or(exactly(column, value), matches(column, among(regexp.QuoteMeta(jsonText(value))))), nil
	}
	return exactly(column, value), nil
}

// jsonText is a text as it stands in an array.
func jsonText(s string) string { return string(event.AppendJSON(nil, s)) }

// ipTerm compiles the equality with an address, or the membership of a network.
func ipTerm(column, value string) (string, error) {
	list := lists[column]
	if a, err := netip.ParseAddr(value); err == nil {
		if list {
			return or(exactly(column, value), matches(column, among(regexp.QuoteMeta(jsonText(value))))), nil
		}
		if a.Is4() {
			return exactly(column, a.String()), nil
		}
	}
	if _, err := netip.ParsePrefix(value); err != nil {
		if _, err := netip.ParseAddr(value); err != nil {
			return "", invalid("illegal_argument_exception", "'%s' is not an IP string literal.", value)
		}
	}
	s, err := clause.Render(&clause.Clause{Field: column, Operator: "cidr", Values: []string{value}})
	if err != nil {
		return "", invalid("illegal_argument_exception", "[%s]: %s", value, err)
	}
	return s, nil
}

// ipSpan compiles a range of IPv4 addresses.
func ipSpan(column string, b bounds) (string, error) {
	low, high := netip.IPv4Unspecified(), netip.AddrFrom4([4]byte{255, 255, 255, 255})
	for _, end := range []struct {
		value *string
		take  func(netip.Addr)
	}{
		{b.gt, func(a netip.Addr) { low = a.Next() }}, {b.gte, func(a netip.Addr) { low = a }},
		{b.lt, func(a netip.Addr) { high = a.Prev() }}, {b.lte, func(a netip.Addr) { high = a }},
	} {
		if end.value == nil {
			continue
		}
		a, err := netip.ParseAddr(*end.value)
		if err != nil {
			return "", invalid("illegal_argument_exception", "'%s' is not an IP string literal.", *end.value)
		}
		if !a.Is4() {
			return "", unsupported("[range] of IPv6 addresses such as [%s]; ask for a network with [term]", *end.value)
		}
		end.take(a)
	}
	if !low.IsValid() || !high.IsValid() || high.Less(low) {
		return nothing, nil
	}
	return fmt.Sprintf("%s:ipv4_range(%q,%q)", quote(column), low, high), nil
}

// exists compiles the presence of a field.
func (c *compiler) exists(field string) (string, error) {
	if err := oneField(field); err != nil && field != anyField {
		return "", err
	}
	column, _ := resolved(field)
	switch field {
	case anyField, fieldID, fieldIndex, fieldTime:
		return everything, nil
	}
	return present(column), nil
}

// patterned refuses patterns on what is no text, as Elasticsearch does; only of
// addresses people may look for the beginning.
func patterned(how, field string) error {
	switch _, k := resolved(field); k {
	case date, long, double, boolean:
		return invalid("query_shard_exception", "Can only use %s queries on keyword, text and wildcard fields - not on [%s] which is of type [%s]", how, field, k)
	}
	return nil
}

func (c *compiler) prefix(field, value string, fold bool) (string, error) {
	column, k := resolved(field)
	if err := patterned("prefix", field); err != nil {
		return "", err
	}
	c.mark(column, k, markPrefix, value)
	switch {
	case field == fieldIndex:
		return indexFilter([]string{value + "*"}), nil
	case value == "":
		return c.exists(field)
	case k == text || field == anyField:
		return word(column, value, true), nil
	case fold || lists[column]:
		flags := "(?s)"
		if fold {
			flags = "(?is)"
		}
		e := regexp.QuoteMeta(value)
		return or(matches(column, flags+"^"+e), inList(column, flags, strings.TrimSuffix(regexp.QuoteMeta(jsonText(value)), `"`)+`(?:[^"\\]|\\.)*"`)), nil
	}
	return quote(column) + ":=" + quote(value) + "*", nil
}

// inList asks for an element of an array where the field may be one.
func inList(column, flags, element string) string {
	if !lists[column] {
		return nothing
	}
	return matches(column, flags+among(element))
}

func (c *compiler) wildcard(field, pattern string, fold bool) (string, error) {
	column, k := resolved(field)
	if pattern == "" {
		return nothing, nil // the lake does not tell an empty text from none
	}
	if strings.Trim(pattern, "*") == "" {
		return c.exists(field)
	}
	if err := patterned("wildcard", field); err != nil {
		return "", err
	}
	if field == fieldIndex {
		return indexFilter([]string{pattern}), nil
	}
	flags := "(?s)"
	if fold {
		flags = "(?is)"
	}
	if k == text || field == anyField {
		e := `(?i)` + edgeBefore + wildcardExpression(pattern, `[\pL\p{Nd}_]`) + edgeAfter
		c.mark(column, k, markExpression, wildcardExpression(pattern, `[\pL\p{Nd}_]`))
		return matches(column, e), nil
	}
	c.mark(column, k, markWholeExpression, wildcardExpression(pattern, "."))
	return or(matches(column, flags+"^"+wildcardExpression(pattern, ".")+"$"), inList(column, flags, `"`+wildcardExpression(pattern, `(?:[^"\\]|\\.)`)+`"`)), nil
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

func (c *compiler) regexp(field, pattern, flags string, fold bool) (string, error) {
	column, k := resolved(field)
	if err := patterned("regexp", field); err != nil {
		return "", err
	}
	e, err := luceneExpression(pattern, flags)
	if err != nil {
		return "", err
	}
	if k == text || field == anyField {
		c.mark(column, k, markExpression, e)
		return matches(column, `(?i)`+edgeBefore+"(?:"+e+")"+edgeAfter), nil
	}
	options := "(?s)"
	if fold {
		options = "(?is)"
	}
	c.mark(column, k, markWholeExpression, e)
	return or(matches(column, options+"^(?:"+e+")$"), inList(column, options, `"(?:`+e+`)"`)), nil
}

// luceneExpression turns a regular expression of Lucene, which always matches
// the whole text and knows no anchors, into one of Go.
func luceneExpression(pattern, flags string) (string, error) {
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
				return "", invalid("illegal_argument_exception", "expected '\"' in the regular expression [%s]", pattern)
			}
			b.WriteString("(?:" + regexp.QuoteMeta(string(runes[i+1:end])) + ")")
			i = end
		case r == '^' || r == '$':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '@' && has("ANYSTRING"):
			b.WriteString(".*")
		case r == '~' && has("COMPLEMENT"), r == '<' && has("INTERVAL"), r == '&' && has("INTERSECTION"), r == '#' && has("EMPTY"):
			return "", unsupported("the operator [%c] in the regular expression [%s]; put \\ in front of it where the character is meant", r, pattern)
		case r == '(' && i+1 < len(runes) && runes[i+1] == '?':
			return "", invalid("illegal_argument_exception", "unexpected [?] behind [(] in the regular expression [%s]", pattern)
		default:
			b.WriteRune(r)
		}
	}
	e := b.String()
	if _, err := syntax.Parse(e, syntax.Perl); err != nil || len(e) > 1000 {
		return "", invalid("illegal_argument_exception", "the regular expression [%.1000s] is not valid or longer than 1000 characters: %v", pattern, err)
	}
	return e, nil
}

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
	if column != anyField {
		front = quote(column) + ":"
	}
	if unspaced(value) {
		return matches(column, "(?i)"+regexp.QuoteMeta(value))
	}
	if open {
		return front + "i(" + quote(value) + "*)"
	}
	return front + "i(" + quote(value) + ")"
}

// match compiles the words of a text for a text field, equality for others.
func (c *compiler) match(field, value, operator string, least any) (string, error) {
	if operator != "or" && operator != "and" {
		return "", invalid("illegal_argument_exception", "operator needs to be either [or] or [and], but not [%s]", operator)
	}
	if _, k := resolved(field); k == text || field == anyField {
		return c.words(field, value, operator, least)
	}
	return c.term(field, value, false)
}

func (c *compiler) words(field, value, operator string, least any) (string, error) {
	column, k := resolved(field)
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
func (c *compiler) phrase(field, value string, open bool) (string, error) {
	column, k := resolved(field)
	if k != text && field != anyField {
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
	if field == anyField {
		// The words may not stand in different fields.
		return matches(column, "(?i)"+before+e+after), nil
	}
	return and(append(parts, matches(column, "(?i)"+before+e+after))...), nil
}

// joined is the expression for words one after the other.
func joined(list []string) string {
	var e strings.Builder
	for i, t := range list {
		if i > 0 && (unspaced(t) || unspaced(list[i-1])) {
			e.WriteString(`[^\pL\p{Nd}_]*`)
		} else if i > 0 {
			e.WriteString(`[^\pL\p{Nd}_]+`)
		}
		e.WriteString(regexp.QuoteMeta(t))
	}
	return e.String()
}

// number reads a stored or counted value as a finite number.
func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

package clause

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// wordRune tells whether LogsQL takes the character for a part of a word.
func wordRune(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// unspaced tells whether the character belongs to a script that is written
// without spaces between words, of which LogsQL makes one long word.
func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai)
}

func hasUnspaced(s string) bool { return strings.IndexFunc(s, unspaced) >= 0 }

// Widen rewrites the words of a query that are written without spaces, such as
// Chinese, so that they are found within longer text: LogsQL takes all of
// 用户登录失败三次 for one word and would not find 登录失败 in it. Such a word
// becomes an expression that looks for it as it stands; at an end that is a
// Latin letter or digit the word must end there, too, as elsewhere. It touches
// the filter that the query begins with, and comes back as it was where there
// is nothing to widen.
func Widen(query string) string {
	if !hasUnspaced(query) {
		return query
	}
	q, err := logstorage.ParseQuery(query)
	if err != nil {
		return query
	}
	whole := q.String()
	q.DropAllPipes()
	filter := q.String()
	root, ok := read(filter)
	if !ok || !widen(&root) {
		return query
	}
	s, err := Render(&root)
	if err != nil {
		return query
	}
	return s + whole[len(filter):]
}

// widen rewrites the comparisons of a tree and tells whether there were any.
func widen(c *Clause) (changed bool) {
	for i := range c.Clauses {
		changed = widen(&c.Clauses[i]) || changed
	}
	op, not := strings.CutPrefix(c.Operator, "not_")
	var expressions []string
	fold, open := "", false
	switch op {
	case "ignore_case_prefix":
		fold, open = "(?i)", true
	case "ignore_case":
		fold = "(?i)"
	case "contains_prefix":
		open = true
	case "contains", "contains_all", "contains_any", "sequence":
	default:
		return changed
	}
	found := false
	for _, v := range c.Values {
		found = found || hasUnspaced(v)
		expressions = append(expressions, bounded(v, open))
	}
	if !found {
		return changed
	}
	field, out := prefix(c.Field), Clause{Join: All}
	if op == "sequence" {
		expressions = []string{"(?s)" + strings.Join(expressions, ".*?")}
	}
	if op == "contains_any" {
		expressions = []string{"(?:" + strings.Join(expressions, ")|(?:") + ")"}
	}
	for _, e := range expressions {
		out.Clauses = append(out.Clauses, Clause{Text: field + "~" + strconv.Quote(fold+e)})
	}
	if not {
		out = Clause{Join: Not, Clauses: []Clause{out}}
	}
	*c = out
	return true
}

// bounded is the expression for a phrase: its ends are ends of words where they
// are not written without spaces.
func bounded(v string, open bool) string {
	runes := []rune(v)
	if len(runes) == 0 {
		return ""
	}
	e := regexp.QuoteMeta(v)
	edge := func(r rune) bool { return wordRune(r) && !unspaced(r) }
	if edge(runes[0]) {
		e = `(?:^|[^\pL\p{Nd}_]|` + scripts + `)` + e
	}
	if !open && edge(runes[len(runes)-1]) {
		e += `(?:$|[^\pL\p{Nd}_]|` + scripts + `)`
	}
	return e
}

// scripts is a character for which unspaced holds, as an expression.
const scripts = `[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]`

package clause

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// Query is a query of LogsQL taken apart.
type Query struct {
	Filter    *Clause // nil is everything
	Pipes     string  // without the first bar; "" where there are none
	Canonical string  // the query as LogsQL itself prints it
	Whole     bool    // the filter has no text clause in it
}

// ParseError says what is wrong with a query and where.
type ParseError struct {
	Position int // characters before the fault; -1 where it is not known
	Message  string
}

// Error is the message.
func (e *ParseError) Error() string { return e.Message }

// Parse takes a query apart. The tree means exactly what the query does. Errors
// are of the type *ParseError.
func Parse(query string) (Query, error) {
	if strings.TrimSpace(query) == "" {
		query = "*"
	}
	q, err := logstorage.ParseQuery(query)
	if err != nil {
		return Query{}, Fault(query, err)
	}
	out := Query{Canonical: q.String()}
	q.DropAllPipes()
	filter := q.String()
	out.Pipes = strings.TrimPrefix(out.Canonical[len(filter):], " | ")
	out.Whole = true
	if filter == "*" {
		return out, nil
	}
	c, ok := read(filter)
	if !ok {
		c = Clause{Text: filter}
	}
	out.Filter, out.Whole = &c, whole(&c)
	return out, nil
}

func whole(c *Clause) bool {
	for i := range c.Clauses {
		if !whole(&c.Clauses[i]) {
			return false
		}
	}
	return c.Text == ""
}

var faultContext = regexp.MustCompile(`(?s); context: \[(.*?)\](; tail: |; see https:|$)`)

// Fault makes an error of LogsQL's parser say where it is. What the parser adds
// for its own developers is taken away.
func Fault(query string, err error) *ParseError {
	e := &ParseError{Position: -1, Message: err.Error()}
	m := faultContext.FindStringSubmatchIndex(e.Message)
	if m == nil {
		return e
	}
	// The parser shows the last 50 bytes of what it had read.
	read := e.Message[m[2]:m[3]]
	e.Message = e.Message[:m[0]]
	at := len(read)
	if len(read) >= 50 || !strings.HasPrefix(query, read) {
		if at = strings.Index(query, read); at < 0 {
			return e
		}
		at += len(read)
	}
	e.Position = utf8.RuneCountInString(query[:at])
	return e
}

// read makes a tree of a filter as LogsQL prints it, and proves that the tree
// means the same.
func read(filter string) (Clause, bool) {
	r := reader{text: filter}
	if !r.lex() {
		return Clause{}, false
	}
	c, ok := r.anyOf(0)
	if !ok || r.at < len(r.tokens) {
		return Clause{}, false
	}
	back, err := Render(&c)
	if err != nil {
		return Clause{}, false
	}
	q, err := logstorage.ParseFilter(back)
	if err != nil || q.String() != filter {
		return Clause{}, false
	}
	return c, true
}

// token is a word, a quoted text or a single sign.
type token struct {
	from, to int
	value    string // unquoted
	quoted   bool
	spaced   bool // there is a space before it
}

type reader struct {
	text   string
	tokens []token
	at     int
}

func (r *reader) lex() bool {
	s := r.text
	for i := 0; i < len(s); {
		t := token{from: i}
		for i < len(s) && s[i] == ' ' {
			i++
			t.from, t.spaced = i, true
		}
		if i == len(s) {
			break
		}
		c, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == '.' || wordRune(c):
			for i < len(s) && (c == '.' || wordRune(c)) {
				i += size
				c, size = utf8.DecodeRuneInString(s[i:])
			}
			t.value = s[t.from:i]
		case c == '"' || c == '`':
			raw, err := strconv.QuotedPrefix(s[i:])
			if err != nil {
				return false
			}
			if t.value, err = strconv.Unquote(raw); err != nil {
				return false
			}
			i += len(raw)
			t.quoted = true
		case unicode.IsSpace(c) || c == '#' || c == '\'':
			return false // LogsQL prints none of these outside of quotes
		default:
			i += size
			t.value = s[t.from:i]
		}
		t.to = i
		r.tokens = append(r.tokens, t)
	}
	return true
}

func (r *reader) peek() token {
	if r.at < len(r.tokens) {
		return r.tokens[r.at]
	}
	return token{from: len(r.text), to: len(r.text), spaced: true}
}

// is tells whether the next token is one of these signs or words, unquoted.
func (r *reader) is(words ...string) bool {
	if r.at >= len(r.tokens) || r.tokens[r.at].quoted {
		return false
	}
	for _, w := range words {
		if r.tokens[r.at].value == w {
			return true
		}
	}
	return false
}

func (r *reader) take(words ...string) bool {
	if r.is(words...) {
		r.at++
		return true
	}
	return false
}

func (r *reader) end() bool { return r.at >= len(r.tokens) }

func (r *reader) anyOf(depth int) (Clause, bool) {
	if depth > maxDepth {
		return Clause{}, false
	}
	var parts []Clause
	for {
		c, ok := r.allOf(depth)
		if !ok {
			return Clause{}, false
		}
		parts = append(parts, c)
		if !r.take("or") {
			return group(Any, parts), true
		}
	}
}

func (r *reader) allOf(depth int) (Clause, bool) {
	var parts []Clause
	for {
		c, ok := r.one(depth)
		if !ok {
			return Clause{}, false
		}
		parts = append(parts, c)
		if r.end() || r.is("or", ")") {
			return group(All, parts), true
		}
	}
}

func group(join string, parts []Clause) Clause {
	if len(parts) == 1 {
		return parts[0]
	}
	return Clause{Join: join, Clauses: parts}
}

// opposites are the operators that say themselves that another does not hold.
var opposites = map[string]string{"contains": "not_contains", "equals": "not_equals", "matches": "not_matches", "in": "not_in"}

func (r *reader) one(depth int) (Clause, bool) {
	switch {
	case r.take("!"):
		c, ok := r.one(depth + 1)
		if !ok || depth > maxDepth {
			return Clause{}, false
		}
		if to, has := opposites[c.Operator]; has {
			c.Operator = to
			return c, true
		}
		return Clause{Join: Not, Clauses: []Clause{c}}, true
	case r.take("("):
		c, ok := r.anyOf(depth + 1)
		return c, ok && r.take(")")
	}
	start := r.at
	if c, ok := r.comparison(); ok && (r.end() || r.peek().spaced || r.is(")")) {
		return c, true
	}
	// What the tree has no operator for stays as it is, to its end.
	r.at = start
	return r.raw()
}

// raw takes one filter as text: up to a space outside of brackets.
func (r *reader) raw() (Clause, bool) {
	from := r.peek().from
	depth := 0
	for !r.end() {
		t := r.peek()
		if depth == 0 && r.at > 0 && t.from > from && (t.spaced && !r.is("offset") && !r.after("offset") || r.is(")")) {
			break
		}
		if !t.quoted {
			switch t.value {
			case "(", "[", "{":
				depth++
			case ")", "]", "}":
				depth--
			}
		}
		r.at++
	}
	if r.at == 0 || depth != 0 {
		return Clause{}, false
	}
	return Clause{Text: r.text[from:r.tokens[r.at-1].to]}, true
}

func (r *reader) after(word string) bool {
	return r.at > 0 && !r.tokens[r.at-1].quoted && r.tokens[r.at-1].value == word
}

// comparison reads one filter that an operator stands for.
func (r *reader) comparison() (Clause, bool) {
	field := ""
	if r.at+1 < len(r.tokens) {
		name, colon := r.tokens[r.at], r.tokens[r.at+1]
		if (name.quoted || wordsOnly(name.value)) && colon.value == ":" && !colon.quoted && !colon.spaced {
			field = name.value
			r.at += 2
		}
	}
	leaf := func(operator string, values ...string) (Clause, bool) {
		return Clause{Field: field, Operator: operator, Values: values}, true
	}
	if field == "_time" {
		field = "@timestamp"
		return r.clock(leaf)
	}
	if strings.HasPrefix(field, "_") && field != "_msg" {
		return Clause{}, false // streams
	}
	switch {
	case r.take("*"):
		return leaf("exists")
	case r.take("~"):
		v, ok := r.word()
		if !ok {
			return Clause{}, false
		}
		return leaf(expression(v))
	case r.take("="):
		v, ok := r.word()
		if !ok {
			return Clause{}, false
		}
		if r.star() {
			return leaf("starts_with", v)
		}
		return leaf("equals", v)
	case r.is(">", "<"):
		operator := map[string]string{">": "greater", "<": "less"}[r.peek().value]
		r.at++
		if r.take("=") {
			operator += "_equal"
		}
		v, ok := r.compound()
		if !ok {
			return Clause{}, false
		}
		return leaf(operator, v)
	case r.calls("i"):
		v, ok := r.word()
		if !ok {
			return Clause{}, false
		}
		operator := "ignore_case"
		if r.star() {
			operator = "ignore_case_prefix"
		}
		if !r.take(")") {
			return Clause{}, false
		}
		return leaf(operator, v)
	case r.take("range"):
		if !r.take("[") {
			return Clause{}, false
		}
		low, ok := r.compound()
		if !ok || !r.take(",") {
			return Clause{}, false
		}
		high, ok := r.compound()
		if !ok || !r.take("]") {
			return Clause{}, false
		}
		return leaf("range", low, high)
	}
	for name, operator := range functions {
		if !r.calls(name) {
			continue
		}
		values, ok := r.arguments()
		if !ok || len(values) == 0 {
			return Clause{}, false
		}
		if operator == "ip_range" && len(values) == 2 {
			if network, ok := network(values[0], values[1]); ok {
				return leaf("cidr", network)
			}
		}
		return leaf(operator, values...)
	}
	t := r.peek()
	if r.end() || !t.quoted && !wordsOnly(t.value) {
		return Clause{}, false
	}
	r.at++
	switch {
	case t.value == "" && t.quoted && field != "":
		return leaf("missing")
	case r.star():
		return leaf("contains_prefix", t.value)
	}
	return leaf("contains", t.value)
}

// functions are the filters that LogsQL writes like calls.
var functions = map[string]string{"in": "in", "contains_all": "contains_all", "contains_any": "contains_any", "seq": "sequence",
	"ipv4_range": "ip_range", "string_range": "text_range", "len_range": "length", "eq_field": "equals_field", "lt_field": "less_field", "le_field": "less_equal_field"}

func (r *reader) calls(name string) bool {
	if !r.is(name) || r.at+1 >= len(r.tokens) || r.tokens[r.at+1].quoted || r.tokens[r.at+1].value != "(" || r.tokens[r.at+1].spaced {
		return false
	}
	r.at += 2
	return true
}

// clock reads a filter on the time of day or the day of the week.
func (r *reader) clock(leaf func(string, ...string) (Clause, bool)) (Clause, bool) {
	name, closing := r.peek().value, map[string]string{"day_range": ")", "week_range": "]"}
	if !r.take("day_range", "week_range") || !r.take("[") {
		return Clause{}, false
	}
	from, ok := r.compound()
	if !ok || !r.take(",") {
		return Clause{}, false
	}
	to, ok := r.compound()
	if !ok || !r.take(closing[name]) {
		return Clause{}, false
	}
	values := []string{from, to}
	if r.take("offset") {
		offset, ok := r.compound()
		if !ok {
			return Clause{}, false
		}
		values = append(values, opposite(offset))
	}
	return leaf(name, values...)
}

func wordsOnly(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c != '.' && !wordRune(c) })
}

func (r *reader) word() (string, bool) {
	t := r.peek()
	if r.end() || !t.quoted && !wordsOnly(t.value) {
		return "", false
	}
	r.at++
	return t.value, true
}

func (r *reader) star() bool {
	if r.is("*") && !r.peek().spaced {
		r.at++
		return true
	}
	return false
}

// compound reads a value that may be of several tokens, like -1.5e+3 or 08:00.
func (r *reader) compound() (string, bool) {
	first := r.peek()
	if r.end() {
		return "", false
	}
	if first.quoted {
		r.at++
		return first.value, true
	}
	start := r.at
	for !r.end() && !r.is("*", ",", "(", ")", "[", "]", "|") && (r.at == start || !r.peek().spaced) {
		r.at++
	}
	if r.at == start {
		return "", false
	}
	return r.text[first.from:r.tokens[r.at-1].to], true
}

func (r *reader) arguments() ([]string, bool) {
	var values []string
	for {
		v, ok := r.compound()
		if !ok {
			return nil, false
		}
		values = append(values, v)
		if r.take(")") {
			return values, true
		}
		if !r.take(",") {
			return nil, false
		}
	}
}

// expression finds the operator whose regular expression this is.
func expression(e string) (operator, value string) {
	if n, ok := ipv6Network(e); ok {
		return "cidr", n
	}
	if v, ok := unquoteMeta(e); ok {
		return "substring", v
	}
	if body, ok := strings.CutSuffix(e, "$"); ok {
		if v, ok := unquoteMeta(body); ok {
			return "ends_with", v
		}
	}
	if body, ok := strings.CutPrefix(e, "(?s)^"); ok {
		body = strings.TrimSuffix(body, "$")
		var b strings.Builder
		for i := 0; i < len(body); i++ {
			switch {
			case strings.HasPrefix(body[i:], ".*"):
				b.WriteByte('*')
				i++
			case body[i] == '.':
				b.WriteByte('?')
			case body[i] == '\\' && i+1 < len(body):
				i++
				if body[i] == '*' || body[i] == '?' || body[i] == '\\' {
					b.WriteByte('\\')
				}
				b.WriteByte(body[i])
			default:
				b.WriteByte(body[i])
			}
		}
		if v := b.String(); Wildcard(v) == e {
			return "wildcard", v
		}
	}
	return "matches", e
}

// unquoteMeta gives back the text that QuoteMeta made an expression of.
func unquoteMeta(e string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(e); i++ {
		if e[i] == '\\' && i+1 < len(e) {
			i++
		}
		b.WriteByte(e[i])
	}
	v := b.String()
	return v, v != "" && regexp.QuoteMeta(v) == e
}

// network tells whether two addresses are the ends of a network.
func network(low, high string) (string, bool) {
	a, err := netip.ParseAddr(low)
	b, err2 := netip.ParseAddr(high)
	if err != nil || err2 != nil || !a.Is4() || !b.Is4() {
		return "", false
	}
	for bits := 0; bits <= 32; bits++ {
		p := netip.PrefixFrom(a, bits)
		if p.Masked().Addr() == a && lastOf(p) == b {
			return p.String(), true
		}
	}
	return "", false
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := range b {
		free := min(max(8*(i+1)-p.Bits(), 0), 8)
		b[i] |= byte(1<<free - 1)
	}
	return netip.AddrFrom4(b)
}

package lake

import (
	"strconv"
	"strings"
)

// LogsQL looks for a word without a field in the field _msg. Rows here have no
// such field: a word without a field is looked for in every field, as people
// expect who look for an address or a name and do not know where it stands.
// What else stands without a field (comparisons, sequences, sets) is meant for
// the message.
//
// Conditions on event.id are put into the form in which ids are stored. A stream
// selector {…} selects by fields: what is a stream here is the store's business,
// and its index learns of a stream later than there are rows of it.

// explicit says so in a query, which must be as the library prints it: with
// each field's name in front of each condition.
type explicit struct {
	names []string
	fault string // what of the query cannot be said
	// counted says that the conditions are those of a function, if (...). There
	// the library looks for field:* among texts alone and misses numbers.
	counted bool
}

func (x *explicit) query(query string) string {
	parts := split(query, '|')
	var b strings.Builder
	for i, part := range parts {
		if i == 0 {
			b.WriteString(x.conditions(part))
			continue
		}
		b.WriteByte('|')
		b.WriteString(x.pipe(part))
	}
	return b.String()
}

// conditions are those before the first pipe.
func (x *explicit) conditions(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case ' ', '(', ')', '!', ',':
			b.WriteByte(c)
			i++
			continue
		}
		end := conditionLen(s[i:]) + i
		b.WriteString(x.condition(s[i:end]))
		i = end
	}
	return b.String()
}

// conditionLen is the length of the condition, or the operator, that s starts with.
func conditionLen(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"', '\'', '`':
			i += quoted(s[i:]) - 1
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth == 0 {
				return max(i, 1)
			}
			depth--
		case ' ':
			// _time:5m offset 1h is one condition.
			if shifted, ok := strings.CutPrefix(s[i:], " offset "); ok && depth == 0 && strings.HasPrefix(s, "_time:") {
				if end := strings.IndexAny(shifted, " )|"); end >= 0 {
					return len(s) - len(shifted) + end
				}
				return len(s)
			}
			if depth == 0 {
				return i
			}
		}
	}
	return len(s)
}

// unquoted is what a word or a quoted text says.
func unquoted(s string) string {
	if s == "" || !strings.ContainsRune("\"'`", rune(s[0])) {
		return s
	}
	text, err := strconv.Unquote(s)
	if err != nil {
		return s
	}
	return text
}

func quote(s string) string { return strconv.Quote(s) }

// quoted is the length of the quoted text that s starts with.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] != '`':
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return len(s)
}

func (x *explicit) condition(s string) string {
	switch s {
	case "*", "or", "and", "not":
		return s
	}
	word := 0
	if s[0] == '"' {
		word = quoted(s)
	} else {
		for word < len(s) && !strings.ContainsRune(`:("=~<>*{`, rune(s[word])) {
			word++
		}
	}
	rest := s[word:]
	switch {
	case strings.HasPrefix(s, "{"):
		return selector(s)
	case strings.HasPrefix(rest, ":"):
		if field := unquoted(s[:word]); field == fieldID {
			c, ok := idCondition(rest[1:])
			if !ok {
				x.fault = fieldID + " can be compared for being equal only, with = or in(...)"
			}
			return c
		}
		if x.counted && rest == ":*" {
			return "!" + s[:word] + `:=""`
		}
		return s[:word+1] + x.set(rest[1:])
	case s[:word] == "options":
		return s
	case word > 0 && (rest == "" || rest == "*"), s[:word] == "i" && strings.HasPrefix(rest, "("), strings.HasPrefix(s, "~"):
		var b strings.Builder
		b.WriteByte('(')
		for i, name := range x.names {
			if i > 0 {
				b.WriteString(" or ")
			}
			b.WriteString(quote(name))
			b.WriteByte(':')
			b.WriteString(s)
		}
		if text := unquoted(s); isID(text) {
			c, _ := idCondition("=" + quote(text))
			b.WriteString(" or " + c)
		}
		b.WriteByte(')')
		return b.String()
	}
	return fieldMessage + ":" + x.set(s)
}

// selector says by fields what a stream selector says, {name="value",name=~"re"
// or …} as the library prints it.
func selector(s string) string {
	var b strings.Builder
	b.WriteByte('(')
	start := b.Len()
	for rest := strings.TrimSuffix(s[1:], "}"); rest != ""; {
		switch {
		case strings.HasPrefix(rest, " or "):
			b.WriteString(" or ")
			rest = rest[len(" or "):]
			continue
		case rest[0] == ',':
			b.WriteByte(' ')
			rest = rest[1:]
			continue
		}
		name := 0
		if rest[0] == '"' {
			name = quoted(rest)
		} else {
			name = max(strings.IndexAny(rest, "=!"), 0)
		}
		value := name + max(strings.IndexByte(rest[name:], '"'), 0)
		end := value + quoted(rest[value:])
		field, op, text := quote(unquoted(rest[:name])), rest[name:value], unquoted(rest[value:end])
		if op[0] == '!' {
			b.WriteByte('!')
		}
		if strings.HasSuffix(op, "~") {
			// As in Prometheus, the expression is for the whole value.
			b.WriteString(field + ":~" + quote("^(?s:"+text+")$"))
		} else {
			b.WriteString(field + ":=" + quote(text))
		}
		rest = rest[end:]
	}
	if b.Len() == start {
		return "*"
	}
	b.WriteByte(')')
	return b.String()
}

// set is a condition that may hold a query, such as in(...).
func (x *explicit) set(s string) string {
	open := strings.IndexByte(s, '(')
	if open < 0 || !strings.HasSuffix(s, ")") || strings.ContainsAny(s[:open], "\"'`") {
		return s
	}
	inner := s[open+1 : len(s)-1]
	if len(split(inner, '|')) < 2 {
		return s
	}
	return s[:open+1] + x.query(inner) + ")"
}

// pipe may hold conditions and queries.
func (x *explicit) pipe(s string) string {
	trimmed := strings.TrimLeft(s, " ")
	name, rest, _ := strings.Cut(trimmed, " ")
	switch name {
	case "filter", "where":
		return " " + name + " " + x.conditions(rest)
	case "union", "join":
		// The query stands in the last parentheses.
		open := -1
		for i := 0; i < len(s); i++ {
			switch s[i] {
			case '"', '\'', '`':
				i += quoted(s[i:]) - 1
			case '(':
				open = i
				i += conditionLen(s[i:]) - 1
			}
		}
		if open < 0 {
			return s
		}
		end := open + conditionLen(s[open:])
		return s[:open+1] + x.query(s[open+1:end-1]) + ")" + s[end:]
	}
	// Conditions of a pipe or of a function: if (...).
	var b strings.Builder
	for i := 0; i < len(s); {
		switch {
		case s[i] == '"' || s[i] == '\'' || s[i] == '`':
			n := quoted(s[i:])
			b.WriteString(s[i : i+n])
			i += n
		case strings.HasPrefix(s[i:], " if ("):
			open := i + len(" if ")
			end := open + conditionLen(s[open:])
			x.counted = true
			b.WriteString(s[i:open+1] + x.conditions(s[open+1:end-1]) + ")")
			x.counted = false
			i = end
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	return b.String()
}

// split cuts s at each sep outside of quotes and parentheses.
func split(s string, sep byte) []string {
	var parts []string
	start, depth := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\'' || c == '`':
			i += quoted(s[i:]) - 1
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth--
		case c == sep && depth == 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

package clause

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What may stand at a place of a query.
const (
	PlaceField = "field" // a field's name, or a word
	PlaceValue = "value" // a value of Field; an operator, too, where nothing is typed yet
	PlacePipe  = "pipe"  // a pipe's name
)

// Place is what stands at the cursor of a query that is being typed.
type Place struct {
	Kind     string
	Field    string // of PlaceValue
	Typed    string // what is typed of it, without quotes
	Operator bool   // of PlaceValue: an operator may stand here, none is typed
	From, To int    // the characters that it takes the place of
}

// At tells what stands at the cursor, a number of characters into the text.
// The text need not be a query yet.
func At(text string, cursor int) Place {
	runes := []rune(text)
	cursor = min(max(cursor, 0), len(runes))
	var (
		start   = 0 // of the condition at hand
		inside  []string
		piped   bool
		first   = true // nothing stands yet since the bar
		quote   rune
		quoted  int
		inValue = func() string {
			if len(inside) == 0 {
				return ""
			}
			return inside[len(inside)-1]
		}
	)
	for i := 0; i < cursor; i++ {
		c := runes[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '`' || c == '\'':
			quote, quoted = c, i
		case c == '(' || c == '[':
			// field:in( begins a list of values of the field.
			field := ""
			if name, rest, ok := splitField(string(runes[start:i])); ok && rest != "" && !strings.ContainsAny(rest, " =") {
				field = name
			} else if ok && rest == "" {
				field = name
			}
			inside = append(inside, field)
			start = i + 1
		case c == ')' || c == ']':
			if len(inside) > 0 {
				inside = inside[:len(inside)-1]
			}
			start = i + 1
		case c == '|':
			piped, first = true, true
			start = i + 1
		case unicode.IsSpace(c) || c == ',':
			if strings.TrimSpace(string(runes[start:i])) != "" {
				first = false
			}
			start = i + 1
		case c == '!' && start == i, c == '-' && start == i:
			start = i + 1
		}
	}
	p := Place{Kind: PlaceField, From: start, To: cursor, Typed: string(runes[start:cursor])}
	if quote != 0 && quoted >= start {
		p.Typed = string(runes[quoted+1 : cursor])
		p.From = quoted
	}
	// What follows of the same word goes as well.
	for p.To < len(runes) && quote == 0 && (wordRune(runes[p.To]) || runes[p.To] == '.') {
		p.To++
	}
	for ; quote != 0 && p.To < len(runes); p.To++ {
		if runes[p.To] == quote {
			p.To++
			break
		}
	}
	name, rest, ok := splitField(string(runes[start:cursor]))
	switch {
	case ok:
		// field:operator"value
		value := strings.TrimLeft(rest, "=!~<>")
		p.Kind, p.Field, p.Operator = PlaceValue, name, rest == ""
		p.From = cursor - utf8.RuneCountInString(value)
		p.Typed = strings.Trim(value, "\"`'")
	case inValue() != "":
		p.Kind, p.Field = PlaceValue, inValue()
	case piped && first && quote == 0:
		p.Kind = PlacePipe
	}
	return p
}

// splitField takes the field's name off a condition.
func splitField(s string) (name, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		raw, err := strconv.QuotedPrefix(s)
		if err != nil {
			return "", "", false
		}
		if rest, ok = strings.CutPrefix(s[len(raw):], ":"); !ok {
			return "", "", false
		}
		name, err = strconv.Unquote(raw)
		return name, rest, err == nil
	}
	name, rest, ok = strings.Cut(s, ":")
	return name, rest, ok && name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r != '.' && r != '@' && !wordRune(r) })
}

// FieldText writes a field's name as a query needs it, with its colon.
func FieldText(name string) string {
	if name == "@timestamp" {
		return "_time:"
	}
	return prefix(name)
}

// Pipes are the pipes that are suggested, with what they do.
var Pipes = []struct {
	Name   string
	Insert string
	Detail Text
}{
	{"stats", "stats by (", Text{"按字段统计", "Sum up by fields"}},
	{"sort", "sort by (", Text{"排序", "Put in order"}},
	{"limit", "limit ", Text{"只取前几条", "Take the first only"}},
	{"fields", "fields ", Text{"只保留这些字段", "Keep these fields only"}},
	{"top", "top 10 by (", Text{"出现最多的值", "The most frequent values"}},
	{"uniq", "uniq by (", Text{"去重", "Each combination once"}},
	{"filter", "filter ", Text{"再次过滤", "Pick once more"}},
	{"extract", "extract \"", Text{"按模式提取字段", "Take fields out by a pattern"}},
	{"extract_regexp", "extract_regexp \"", Text{"按正则提取字段", "Take fields out by a regular expression"}},
	{"unpack_json", "unpack_json from ", Text{"展开 JSON 字段", "Make fields of JSON"}},
	{"unpack_logfmt", "unpack_logfmt from ", Text{"展开 key=value", "Make fields of key=value"}},
	{"math", "math ", Text{"计算新字段", "Calculate a new field"}},
	{"format", "format \"", Text{"拼出新字段", "Write a new field"}},
	{"replace", "replace (", Text{"替换文本", "Replace text"}},
	{"rename", "rename ", Text{"改字段名", "Rename fields"}},
	{"copy", "copy ", Text{"复制字段", "Copy fields"}},
	{"delete", "delete ", Text{"去掉字段", "Leave fields out"}},
	{"facets", "facets", Text{"各字段的常见值", "Frequent values of every field"}},
	{"sample", "sample ", Text{"抽样", "Take a sample"}},
	{"first", "first 10 by (", Text{"最前的几条", "The first ones"}},
	{"last", "last 10 by (", Text{"最后的几条", "The last ones"}},
	{"unroll", "unroll by (", Text{"把数组展开成多行", "Make rows of an array"}},
	{"join", "join by (", Text{"与另一查询关联", "Join with another query"}},
	{"union", "union (", Text{"并上另一查询", "Add another query's rows"}},
}

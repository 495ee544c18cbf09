package backtest

import (
	"regexp"
	"strconv"
	"strings"

	"icewatch/detections/match"
	"icewatch/soc/event"
)

// maxNeeds bounds a filter made of needs, in texts: one of thousands costs more
// to ask than the blocks it spares.
const maxNeeds = 400

// Filter words what events must have as LogsQL without pipes, "" where nothing can
// be said. It lets through every event that any rule of the program matches, and
// others: stored values are compared without regard to case, and the values of an
// array are one text in the lake.
func Filter(program *match.Program, reg *event.Registry) string {
	if program == nil {
		return ""
	}
	var any []string
	for _, needs := range program.Needs() {
		var all []string
		for _, list := range needs {
			if len(list) > maxNeeds {
				continue
			}
			var b strings.Builder
			for _, n := range list {
				for _, id := range n.Fields {
					name := reg.Name(id)
					if b.Len() > 0 {
						b.WriteString(" or ")
					}
					b.WriteString(condition(name, n))
				}
			}
			all = append(all, "("+b.String()+")")
		}
		if len(all) == 0 {
			return ""
		}
		any = append(any, "("+strings.Join(all, " ")+")")
	}
	return strings.Join(any, " or ")
}

// condition is one need of one field.
func condition(name string, n match.Need) string {
	switch name {
	case "", "event.original", "event.id", "event.created", "@timestamp", "message":
		// Not kept as it is, or left out where the raw text says it.
		return "*"
	}
	field := strconv.Quote(name) + ":"
	kind, text, open, shut := n.Kind, n.Text, false, false
	if part, head, tail := unescaped(text); part != text {
		// Within an array's text such characters are written otherwise.
		kind, text, open, shut = match.NeedContains, part, head, tail
	}
	if text == "" {
		return field + "*"
	}
	words := phrase(kind, text, open, shut)
	switch {
	case n.Cased:
		return field + "~" + strconv.Quote(regexp.QuoteMeta(text))
	case kind == match.NeedPrefix:
		return field + "i(" + strconv.Quote(text) + "*)"
	case words != "":
		return field + "i(" + strconv.Quote(words) + ")"
	}
	// Detection folds İ to i, which regular expressions do not.
	return field + "~" + strconv.Quote("(?i)"+strings.ReplaceAll(regexp.QuoteMeta(text), "i", "[iİ]"))
}

// unescaped is the longest part of a text that JSON writes as it is, and whether
// what stands before and behind it ends a word.
func unescaped(text string) (best string, open, shut bool) {
	escaped := func(c byte) bool { return c < 0x20 || c == '"' || c == '\\' }
	ends := func(at int) bool { return at >= 0 && at < len(text) && text[at] >= 0x20 }
	for from := 0; from < len(text); {
		to := from
		for to < len(text) && !escaped(text[to]) {
			to++
		}
		if to-from > len(best) {
			best, open, shut = text[from:to], ends(from-1), ends(to)
		}
		from = to + 1
	}
	return best, open, shut
}

// phrase is the longest part of a text that begins and ends where a word does,
// wherever the text stands: such parts the lake finds faster than others. "" says
// that there is none of use.
func phrase(kind match.NeedKind, text string, open, shut bool) string {
	word := func(c byte) bool {
		return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
	}
	from, to := 0, len(text)
	for !open && (kind == match.NeedSuffix || kind == match.NeedContains) && from < to && word(text[from]) {
		from++
	}
	for !shut && kind == match.NeedContains && to > from && word(text[to-1]) {
		to--
	}
	part := strings.TrimFunc(text[from:to], func(r rune) bool { return r < 0x80 && !word(byte(r)) })
	if len(part) < 3 && (from > 0 || to < len(text)) {
		return ""
	}
	return part
}

package pack

import (
	"fmt"
	"slices"
	"strings"
)

// Draft is a pattern for lines that no pack knows.
type Draft struct {
	Pattern string   `json:"pattern"`
	Lines   int      `json:"lines" doc:"How many of the lines it reads."`
	Example string   `json:"example"`
	Missing []string `json:"captures" nullable:"false" doc:"Its captures, which wait for the names of fields."`
}

// token is a piece of a line: literal text, or something that changes.
type token struct {
	text string
	kind string // "" for literal text
	name string
	word bool // a word, which may be literal or change
}

// Shape is a line without what changes: lines of one message have one shape.
func Shape(line string) string {
	var b strings.Builder
	for _, t := range tokens(line) {
		switch {
		case t.kind != "":
			b.WriteString("{" + t.kind + "}")
		default:
			b.WriteString(t.text)
		}
	}
	return b.String()
}

// Suggest drafts patterns for lines, the one that reads most lines first. Words
// that differ between lines of one build become captures.
func Suggest(lines []string) []Draft {
	type group struct {
		first  []token
		lines  int
		varies []bool
		sample string
	}
	groups := map[string]*group{}
	var order []string
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		ts := tokens(line)
		var key strings.Builder
		for _, t := range ts {
			switch {
			case t.kind != "":
				key.WriteString("\x00" + t.kind)
			case t.word:
				key.WriteString("\x01")
			default:
				key.WriteString(t.text)
			}
		}
		g := groups[key.String()]
		if g == nil {
			g = &group{first: ts, varies: make([]bool, len(ts)), sample: line}
			groups[key.String()] = g
			order = append(order, key.String())
		}
		g.lines++
		for i, t := range ts {
			g.varies[i] = g.varies[i] || t.word && t.text != g.first[i].text
		}
	}
	out := []Draft{}
	for _, key := range order {
		g := groups[key]
		d := Draft{Lines: g.lines, Example: g.sample, Missing: []string{}}
		used := map[string]int{}
		var b strings.Builder
		for i, t := range g.first {
			kind, name := t.kind, t.name
			if g.varies[i] {
				kind, name = "word", "word"
			}
			if kind == "" {
				b.WriteString(strings.NewReplacer("{", "{{", "}", "}}").Replace(t.text))
				continue
			}
			if kind == "time" && used[timeName] == 0 {
				used[timeName]++
				b.WriteString("{" + timeName + "}")
				continue
			}
			used[name]++
			if used[name] > 1 {
				name = fmt.Sprintf("%s_%d", name, used[name])
			}
			d.Missing = append(d.Missing, name)
			if kind == "text" {
				b.WriteString("{" + name + "}")
			} else {
				b.WriteString("{" + name + ":" + kind + "}")
			}
		}
		d.Pattern = b.String()
		out = append(out, d)
	}
	slices.SortStableFunc(out, func(a, b Draft) int { return b.Lines - a.Lines })
	return out
}

// tokens parts a line into literal text, words and what is typed.
func tokens(s string) []token {
	var out []token
	literal := func(text string, word bool) {
		if n := len(out); !word && n > 0 && out[n-1].kind == "" && !out[n-1].word {
			out[n-1].text += text
			return
		}
		out = append(out, token{text: text, word: word})
	}
	key := ""
	for i := 0; i < len(s) && len(out) < maxCaptures; {
		rest := s[i:]
		if n := timeLen(rest); n > 0 && (i == 0 || !isWord(s[i-1])) {
			out = append(out, token{text: rest[:n], kind: "time", name: "time"})
			i += n
			key = ""
			continue
		}
		if rest[0] == '"' || rest[0] == '\'' {
			if end := strings.IndexByte(rest[1:], rest[0]); end > 0 {
				literal(rest[:1], false)
				out = append(out, token{text: rest[1 : end+1], kind: "text", name: or(key, "text")})
				literal(rest[:1], false)
				i += end + 2
				key = ""
				continue
			}
		}
		if !isWord(rest[0]) && rest[0] != ':' {
			literal(rest[:1], false)
			if rest[0] != '=' {
				key = ""
			}
			i++
			continue
		}
		n := 0
		for n < len(rest) && (isWord(rest[n]) || n > 0 && n+1 < len(rest) && strings.IndexByte(".-:", rest[n]) >= 0 && isWord(rest[n+1])) {
			n++
		}
		if n == 0 {
			literal(rest[:1], false)
			i++
			continue
		}
		w := rest[:n]
		i += n
		switch host, port := split(w); {
		case i < len(s) && s[i] == '=':
			literal(w, false)
			key = strings.Map(func(c rune) rune {
				if c == '.' || c == '-' {
					return '_'
				}
				return c
			}, w)
			continue
		case isIP(w):
			out = append(out, token{text: w, kind: "ip", name: or(key, "ip")})
		case isIP(host) && isPort(port):
			out = append(out, token{text: host, kind: "ip", name: or(key, "ip")}, token{text: ":"}, token{text: port, kind: "port", name: "port"})
		case isInt(w):
			out = append(out, token{text: w, kind: "int", name: or(key, "number")})
		case isNumber(w):
			out = append(out, token{text: w, kind: "number", name: or(key, "number")})
		case strings.HasPrefix(w, "0x") || len(w) >= 8 && allHex(w):
			out = append(out, token{text: w, kind: "hex", name: or(key, "id")})
		case key != "" || strings.ContainsAny(w, "0123456789"):
			out = append(out, token{text: w, kind: "word", name: or(key, "word")})
		default:
			literal(w, true)
		}
		key = ""
	}
	return out
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func isWord(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' || c >= 0x80 }

func allHex(s string) bool {
	digit := false
	for i := 0; i < len(s); i++ {
		if !isHex(s[i]) && s[i] != '-' {
			return false
		}
		digit = digit || isDigit(s[i])
	}
	return digit
}

// timeLen measures a time at the start of s as logs usually write them.
func timeLen(s string) int {
	for _, form := range [...]string{"9999-99-99T99:99:99", "9999-99-99 99:99:99", "9999/99/99 99:99:99", "99/aaa/9999:99:99:99"} {
		if !likeForm(s, form) {
			continue
		}
		n := len(form)
		if n+1 < len(s) && (s[n] == '.' || s[n] == ',') && isDigit(s[n+1]) {
			for n++; n < len(s) && isDigit(s[n]); n++ {
			}
		}
		if n < len(s) && s[n] == 'Z' {
			return n + 1
		}
		for _, zone := range [...]string{"+99:99", "+9999", " +9999"} {
			if len(s) > n && likeForm(strings.Replace(s[n:], "-", "+", 1), zone) {
				return n + len(zone)
			}
		}
		return n
	}
	return 0
}

// likeForm compares with a form in which 9 is a digit and a is a letter.
func likeForm(s, form string) bool {
	if len(s) < len(form) {
		return false
	}
	for i := 0; i < len(form); i++ {
		switch form[i] {
		case '9':
			if !isDigit(s[i]) {
				return false
			}
		case 'a':
			if !isLetter(s[i]) {
				return false
			}
		default:
			if s[i] != form[i] {
				return false
			}
		}
	}
	return true
}

package match

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// naive is a second, slow evaluator that works on the rule's YAML and follows
// the specification's sentences one by one. It shares nothing with the engine
// but the condition's tree.
type naive struct {
	rule      *sigma.Rule
	detection map[string]any
}

func newNaive(r *sigma.Rule) *naive {
	var doc struct {
		Detection map[string]any `yaml:"detection"`
	}
	if err := yaml.Unmarshal([]byte(r.Source), &doc); err != nil {
		panic(err)
	}
	return &naive{rule: r, detection: doc.Detection}
}

// flatEvent is an event as names to values; a value is string, json.Number,
// bool or nil.
type flatEvent map[string][]any

func (n *naive) match(ev flatEvent) bool { return n.expr(n.rule.Detection.Condition, ev) }

func (n *naive) expr(e *sigma.Expr, ev flatEvent) bool {
	switch e.Op {
	case sigma.ExprSelection:
		return n.selection(n.detection[n.rule.Detection.Selections[e.Selection].Name], ev)
	case sigma.ExprNot:
		return !n.expr(e.Args[0], ev)
	}
	count := 0
	for _, a := range e.Args {
		if n.expr(a, ev) {
			count++
		}
	}
	switch e.Op {
	case sigma.ExprAnd:
		return count == len(e.Args)
	case sigma.ExprOr:
		return count > 0
	}
	return count >= e.N
}

// selection: maps are joined with AND, lists with OR, loose texts are keywords.
func (n *naive) selection(v any, ev flatEvent) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, val := range v {
			if !n.item(key, val, ev) {
				return false
			}
		}
		return true
	case []any:
		for _, e := range v {
			if n.selection(e, ev) {
				return true
			}
		}
		return false
	}
	return n.item("", v, ev)
}

func (n *naive) item(key string, val any, ev flatEvent) bool {
	parts := strings.Split(key, "|")
	mods := parts[1:]
	has := func(m string) bool {
		for _, x := range mods {
			if x == m {
				return true
			}
		}
		return false
	}
	list, ok := val.([]any)
	if !ok {
		list = []any{val}
	}
	met := 0
	for _, v := range list {
		if n.value(parts[0], mods, v, ev) {
			met++
		}
	}
	result := met > 0
	if has("all") {
		result = met == len(list)
	}
	if has("neq") {
		return !result
	}
	return result
}

func (n *naive) value(field string, mods []string, want any, ev flatEvent) bool {
	values, there := ev[field]
	if field == "" {
		there = true
		for _, vs := range ev {
			values = append(values, vs...)
		}
	}
	has := map[string]bool{}
	for _, m := range mods {
		has[m] = true
	}
	if has["exists"] {
		return there == want.(bool)
	}
	if want == nil {
		if !there {
			return true
		}
		for _, v := range values {
			if v == nil {
				return true
			}
		}
		return false
	}
	var test func(text string) bool
	switch {
	case has["fieldref"]:
		test = func(text string) bool {
			for _, o := range ev[want.(string)] {
				if o == nil {
					continue
				}
				a, b := text, fmt.Sprint(o)
				if !has["cased"] {
					a, b = strings.Map(unicode.ToLower, a), strings.Map(unicode.ToLower, b)
				}
				switch {
				case has["contains"]:
					if strings.Contains(a, b) {
						return true
					}
				case has["startswith"]:
					if strings.HasPrefix(a, b) {
						return true
					}
				case has["endswith"]:
					if strings.HasSuffix(a, b) {
						return true
					}
				case a == b:
					return true
				}
			}
			return false
		}
	case has["lt"], has["lte"], has["gt"], has["gte"]:
		test = func(text string) bool {
			a, err := strconv.ParseFloat(text, 64)
			if err != nil || !decimal.MatchString(text) {
				return false
			}
			b, _ := strconv.ParseFloat(fmt.Sprint(want), 64)
			return has["lt"] && a < b || has["lte"] && a <= b || has["gt"] && a > b || has["gte"] && a >= b
		}
	case has["cidr"]:
		test = func(text string) bool {
			p, err := netip.ParsePrefix(want.(string))
			if err != nil {
				return false
			}
			a, err := netip.ParseAddr(text)
			return err == nil && (p.Contains(a.WithZone("")) || p.Contains(a.Unmap()))
		}
	case has["re"]:
		flags := ""
		for _, f := range []string{"i", "m", "s"} {
			if has[f] {
				flags += f
			}
		}
		expr := fmt.Sprint(want)
		if plain, ok := strings.CutSuffix(expr, "$"); ok && !has["m"] {
			expr = plain + `(?:\n?\z)` // in PCRE a plain $ also holds before a last newline
		}
		if flags != "" {
			expr = "(?" + flags + ")" + expr
		}
		test = cached(expr).MatchString
	default:
		if !hasText(mods) && field != "" {
			if num, ok := numeric(want); ok {
				test = func(text string) bool {
					a, err := strconv.ParseFloat(text, 64)
					return err == nil && decimal.MatchString(text) && a == num
				}
				break
			}
		}
		exprs := expressions(fmt.Sprint(want), mods, field == "")
		test = func(text string) bool {
			for _, e := range exprs {
				if cached(e).MatchString(asRunes(text, !has["cased"])) {
					return true
				}
			}
			return false
		}
	}
	for _, v := range values {
		if v != nil && test(fmt.Sprint(v)) {
			return true
		}
	}
	return false
}

var decimal = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)

func numeric(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func hasText(mods []string) bool {
	for _, m := range mods {
		switch m {
		case "all", "neq", "cased":
		default:
			return true
		}
	}
	return false
}

var regexCache sync.Map

func cached(expr string) *regexp.Regexp {
	if re, ok := regexCache.Load(expr); ok {
		return re.(*regexp.Regexp)
	}
	re := regexp.MustCompile(expr)
	regexCache.Store(expr, re)
	return re
}

// asRunes makes every byte that is not UTF-8 a character of its own, so that
// a regular expression can speak of it, and lowers letters where asked.
func asRunes(s string, low bool) string {
	var b strings.Builder
	for _, t := range tokens(s) {
		if low && t.r < 0x10FFFF-300 {
			t.r = unicode.ToLower(t.r)
		}
		b.WriteRune(t.r)
	}
	return b.String()
}

type token struct {
	r    rune
	wild bool
}

func tokens(s string) []token {
	var out []token
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		for k := 1; k <= 4 && i+k <= len(s); k++ {
			if x := []rune(s[i : i+k]); len(x) == 1 && x[0] != unicode.ReplacementChar || s[i:i+k] == "\uFFFD" {
				r, n = x[0], k
				break
			}
		}
		if n == 1 && r >= 0x80 {
			r = 0x10FF00 + r - 0x80 // a stray byte
		}
		out = append(out, token{r: r})
		i += n
	}
	return out
}

// expressions turns a text with wildcards and modifiers into anchored regular
// expressions, one for each value it stands for.
func expressions(want string, mods []string, keyword bool) []string {
	type alt []token
	var first alt
	raw := tokens(want)
	for i := 0; i < len(raw); i++ {
		switch {
		case raw[i].r == '\\' && i+1 < len(raw) && strings.ContainsRune(`*?\`, raw[i+1].r):
			i++
			first = append(first, raw[i])
		case raw[i].r == '*' || raw[i].r == '?':
			first = append(first, token{raw[i].r, true})
		default:
			first = append(first, raw[i])
		}
	}
	alts := []alt{first}
	star := token{'*', true}
	text, cased := keyword, false
	plain := func(a alt) string {
		s := ""
		for _, t := range a {
			s += string(t.r)
		}
		return s
	}
	raws := func(s string) alt { return alt(tokens(s)) }
	wide := func(a alt, f func(u uint16) string) alt {
		var out alt
		for _, t := range a {
			if t.wild {
				out = append(out, t)
				continue
			}
			for _, u := range utf16.Encode([]rune{t.r}) {
				out = append(out, raws(f(u))...)
			}
		}
		return out
	}
	for _, m := range mods {
		var next []alt
		for _, a := range alts {
			switch m {
			case "contains":
				next, text = append(next, append(append(alt{star}, a...), star)), false
			case "startswith":
				next, text = append(next, append(append(alt{}, a...), star)), false
			case "endswith":
				next, text = append(next, append(alt{star}, a...)), false
			case "windash":
				made := []alt{{}}
				for _, t := range a {
					options := []rune{t.r}
					if !t.wild && strings.ContainsRune("-/–—―", t.r) {
						options = []rune("-/–—―")
					}
					var grown []alt
					for _, p := range made {
						for _, o := range options {
							grown = append(grown, append(append(alt{}, p...), token{o, t.wild}))
						}
					}
					made = grown
				}
				next = append(next, made...)
			case "wide", "utf16le":
				next = append(next, wide(a, func(u uint16) string { return string([]byte{byte(u), byte(u >> 8)}) }))
			case "utf16be":
				next = append(next, wide(a, func(u uint16) string { return string([]byte{byte(u >> 8), byte(u)}) }))
			case "base64":
				next = append(next, raws(base64.StdEncoding.EncodeToString([]byte(plain(a)))))
			case "base64offset":
				for off := range 3 {
					enc := base64.StdEncoding.EncodeToString(append(make([]byte, off), plain(a)...))
					enc = enc[[]int{0, 2, 3}[off]:]
					if cut := []int{0, 3, 2}[(len(plain(a))+off)%3]; cut < len(enc) {
						next = append(next, raws(enc[:len(enc)-cut]))
					}
				}
			case "cased":
				cased = true
				next = append(next, a)
			default:
				next = append(next, a)
			}
		}
		alts = next
	}
	var out []string
	for _, a := range alts {
		expr := "(?s)^"
		if text {
			expr += ".*"
		}
		for _, t := range a {
			switch {
			case t.wild && t.r == '*':
				expr += ".*"
			case t.wild:
				expr += "."
			case cased || t.r >= 0x10FF00:
				expr += regexp.QuoteMeta(string(t.r))
			default:
				expr += regexp.QuoteMeta(string(unicode.ToLower(t.r)))
			}
		}
		if text {
			expr += ".*"
		}
		out = append(out, expr+"$")
	}
	return out
}

// flatten makes a flat event of decoded JSON; numbers keep their text.
func flatten(prefix string, v any, into flatEvent) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			name := k
			if prefix != "" {
				name = prefix + "." + k
			}
			flatten(name, e, into)
		}
	case []any:
		for _, e := range v {
			flatten(prefix, e, into)
		}
	default:
		into[prefix] = append(into[prefix], v)
	}
}

// toEvent brings a flat event into the engine's form.
func toEvent(ev flatEvent, reg *event.Registry) *event.Event {
	out := &event.Event{}
	names := make([]string, 0, len(ev))
	for name := range ev {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		id, _ := reg.Intern(name)
		for _, v := range ev[name] {
			f := event.Field{ID: id, Value: fmt.Sprint(v)}
			switch v.(type) {
			case nil:
				f.Kind, f.Value = event.Null, ""
			case json.Number:
				f.Kind = event.Number
			case bool:
				f.Kind = event.Bool
			}
			out.Fields = append(out.Fields, f)
		}
	}
	return out
}

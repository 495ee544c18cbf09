package rulebook

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"icewatch/detections"
	"icewatch/detections/sigma"
)

// maxMeaning bounds the words of one rule, in bytes.
const maxMeaning = 16 << 10

// Meaning says in words, in both languages, what a rule looks for, as it was
// understood: modifiers applied, wildcards told from plain text.
func Meaning(r *sigma.Rule) detections.Text {
	return detections.Text{ZH: clip(sentence(r, chinese)), EN: clip(sentence(r, english))}
}

func clip(s string) string {
	if len(s) <= maxMeaning {
		return s
	}
	return strings.ToValidUTF8(s[:maxMeaning], "") + "…"
}

// words are what a meaning is made of in one language.
type words struct {
	events, any, with, and, or, not, all, anyField, null, exists, absent string
	same, within, count, distinct, of, letters, field, silence, travel   string
	numbers                                                              map[string]string // of values, by type
	verbs                                                                map[string]string
	parts                                                                map[sigma.TimePart]string
	span                                                                 func(time.Duration) string
}

var english = words{
	events: "In events of ", any: "In every event", with: ": ", and: " and ", or: " or ", not: "not ", all: " (all of them)",
	anyField: "any value", null: " is null or absent", exists: " is there", absent: " is not there",
	same: "for one ", within: "within ", count: "events", distinct: "distinct values of ", of: " that match ", letters: " (letter case counts)", field: "the field ", silence: "no event comes",
	travel:  "two places in %s at least %g km apart that nobody travels between at %g km/h in the time between",
	numbers: map[string]string{"value_sum": "the sum of ", "value_avg": "the mean of ", "value_median": "the median of ", "value_percentile": "the percentile of "},
	verbs:   map[string]string{"is": " = ", "contains": " contains ", "starts": " starts with ", "ends": " ends with ", "like": " matches ", "re": " matches the expression ", "cidr": " is an address in "},
	parts:   map[sigma.TimePart]string{sigma.Minute: "the minute of ", sigma.Hour: "the hour of ", sigma.Day: "the day of ", sigma.Week: "the week of ", sigma.Month: "the month of ", sigma.Year: "the year of "},
	span:    func(d time.Duration) string { return plainSpan(d, " s", " min", " h", " d") },
}

var chinese = words{
	events: "在以下来源的事件中：", any: "在所有事件中", with: "，", and: " 且 ", or: " 或 ", not: "不满足 ", all: "（全部）",
	anyField: "任意字段", null: " 为空或不存在", exists: " 存在", absent: " 不存在",
	same: "同一 ", within: "", count: "条事件", distinct: "的不同取值数：", of: "，匹配规则 ", letters: "（区分大小写）", field: "字段 ", silence: "没有事件到来",
	travel:  "%s 中有两处相距至少 %g 公里，按 %g 公里/小时也来不及往返其间",
	numbers: map[string]string{"value_sum": "总和：", "value_avg": "平均值：", "value_median": "中位数：", "value_percentile": "百分位数："},
	verbs:   map[string]string{"is": " = ", "contains": " 包含 ", "starts": " 开头为 ", "ends": " 结尾为 ", "like": " 匹配 ", "re": " 匹配正则 ", "cidr": " 属于网段 "},
	parts:   map[sigma.TimePart]string{sigma.Minute: "分钟：", sigma.Hour: "小时：", sigma.Day: "日：", sigma.Week: "周：", sigma.Month: "月：", sigma.Year: "年："},
	span:    func(d time.Duration) string { return plainSpan(d, " 秒", " 分钟", " 小时", " 天") + "内" },
}

func plainSpan(d time.Duration, s, m, h, day string) string {
	switch {
	case d%(24*time.Hour) == 0:
		return strconv.Itoa(int(d/(24*time.Hour))) + day
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + h
	case d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + m
	}
	return strconv.Itoa(int(d/time.Second)) + s
}

func sentence(r *sigma.Rule, w words) string {
	if r.Correlation != nil {
		return counting(r.Correlation, w)
	}
	if r.Detection == nil || r.Detection.Condition == nil {
		return ""
	}
	where := w.any
	if s := r.Logsource.String(); s != "any" {
		where = w.events + s
	}
	m := meaner{w: w, d: r.Detection}
	return where + w.with + m.expr(r.Detection.Condition, false)
}

func counting(c *sigma.Correlation, w words) string {
	var b strings.Builder
	b.WriteString(w.within + w.span(c.Timespan))
	if len(c.GroupBy) > 0 {
		b.WriteString(w.with + w.same + strings.Join(c.GroupBy, " + "))
	}
	b.WriteString(w.of + strings.Join(c.Rules, ", ") + w.with)
	if c.Absent {
		return b.String() + w.silence
	}
	if c.Travel != nil {
		fmt.Fprintf(&b, w.travel, c.Fields[0], c.Travel.LeastKM, c.Travel.KMH)
		return b.String()
	}
	if c.Numeric() {
		b.WriteString(w.numbers[c.Type] + c.Fields[0])
		if c.Type == "value_percentile" {
			fmt.Fprintf(&b, " (%g)", c.Percentile)
		}
	} else if len(c.Fields) > 0 {
		b.WriteString(w.distinct + strings.Join(c.Fields, " + "))
	} else if c.Type == "event_count" {
		b.WriteString(w.count)
	} else {
		b.WriteString(c.Type)
	}
	for i, bound := range c.Bounds {
		if i > 0 {
			b.WriteString(w.and)
		}
		fmt.Fprintf(&b, " %s %s", signs[bound.Relation], bound)
	}
	return b.String()
}

var signs = map[string]string{"gt": ">", "gte": "≥", "lt": "<", "lte": "≤", "eq": "=", "neq": "≠"}

type meaner struct {
	w    words
	d    *sigma.Detection
	size int
}

// join puts parts together; inner ones of several get brackets.
func (m *meaner) join(parts []string, by string, inner bool) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	if len(kept) == 1 {
		return kept[0]
	}
	s := strings.Join(kept, by)
	if inner && len(kept) > 1 {
		return "(" + s + ")"
	}
	return s
}

func (m *meaner) expr(e *sigma.Expr, inner bool) string {
	if m.size > maxMeaning {
		return "…"
	}
	switch e.Op {
	case sigma.ExprSelection:
		return m.group(m.d.Selections[e.Selection].Root, inner)
	case sigma.ExprNot:
		return m.w.not + m.brackets(m.expr(e.Args[0], true))
	}
	var parts []string
	for _, a := range e.Args {
		parts = append(parts, m.expr(a, true))
	}
	switch e.Op {
	case sigma.ExprAnd:
		return m.join(parts, m.w.and, inner)
	case sigma.ExprOr:
		return m.join(parts, m.w.or, inner)
	}
	if e.N <= 1 {
		return m.join(parts, m.w.or, inner)
	}
	return fmt.Sprintf("≥ %d / (%s)", e.N, strings.Join(parts, "; "))
}

// brackets makes sure that what is denied is one thing to the eye.
func (m *meaner) brackets(s string) string {
	if strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") {
		return s
	}
	return "(" + s + ")"
}

func (m *meaner) group(g *sigma.Group, inner bool) string {
	var parts []string
	for _, it := range g.Items {
		parts = append(parts, m.item(it))
	}
	for _, sub := range g.Groups {
		parts = append(parts, m.group(sub, true))
	}
	by := m.w.or
	if g.All {
		by = m.w.and
	}
	return m.join(parts, by, inner)
}

// item says what one field is compared to; values of one kind of comparison
// are listed together.
func (m *meaner) item(it *sigma.Item) string {
	field := it.Field
	if field == "" {
		field = m.w.anyField
	}
	type said struct {
		verb string
		list []string
	}
	var order []*said
	by := map[string]*said{}
	for i := range it.Values {
		verb, value := m.value(&it.Values[i])
		s := by[verb]
		if s == nil {
			s = &said{verb: verb}
			by[verb] = s
			order = append(order, s)
		}
		if value != "" {
			s.list = append(s.list, value)
		}
	}
	var parts []string
	for _, s := range order {
		text := field + s.verb
		if before, ok := strings.CutPrefix(s.verb, "\x00"); ok { // what stands before the field
			at := strings.IndexByte(before, 0)
			text = before[:at] + field + before[at+1:]
		}
		switch {
		case len(s.list) == 1:
			text += s.list[0]
		case len(s.list) > 1:
			text += "[" + strings.Join(s.list, ", ") + "]"
			if it.All {
				text += m.w.all
			}
		}
		parts = append(parts, text)
	}
	join := m.w.or
	if it.All {
		join = m.w.and
	}
	out := m.join(parts, join, true)
	if it.Negate {
		out = m.w.not + m.brackets(out)
	}
	m.size += len(out)
	return out
}

func (m *meaner) value(v *sigma.Value) (verb, value string) {
	w := m.w
	switch v.Op {
	case sigma.OpNull:
		return w.null, ""
	case sigma.OpExists:
		if v.Exists {
			return w.exists, ""
		}
		return w.absent, ""
	case sigma.OpNumber:
		return w.verbs["is"], number(v.Number)
	case sigma.OpCompare:
		sign := map[sigma.Relation]string{sigma.EQ: "=", sigma.LT: "<", sigma.LTE: "≤", sigma.GT: ">", sigma.GTE: "≥"}[v.Relation]
		if part := w.parts[v.Time]; part != "" {
			return "\x00" + part + "\x00 " + sign + " ", number(v.Number)
		}
		return " " + sign + " ", number(v.Number)
	case sigma.OpRegex:
		return w.verbs["re"], "/" + v.Regex + "/"
	case sigma.OpCIDR:
		return w.verbs["cidr"], v.CIDR.String()
	case sigma.OpFieldRef:
		verb := map[sigma.Affix]string{sigma.Whole: "is", sigma.Contains: "contains", sigma.StartsWith: "starts", sigma.EndsWith: "ends"}[v.Affix]
		return w.verbs[verb] + w.field, v.Field
	}
	verb, value = pattern(v.Pattern)
	verb = w.verbs[verb]
	if v.Cased {
		value += w.letters
	}
	return verb, value
}

func number(n sigma.Number) string {
	if n.Integer {
		return strconv.FormatInt(n.Int, 10)
	}
	return strconv.FormatFloat(n.Float, 'g', -1, 64)
}

// pattern tells the plain cases of wildcards by their names.
func pattern(p sigma.Pattern) (verb, value string) {
	if text, ok := p.Plain(); ok {
		return "is", quote(text)
	}
	lead := p[0].Wild == sigma.Star
	tail := p[len(p)-1].Wild == sigma.Star
	switch {
	case len(p) == 3 && lead && tail && p[1].Wild == sigma.Literal:
		return "contains", quote(p[1].Text)
	case len(p) == 2 && lead && p[1].Wild == sigma.Literal:
		return "ends", quote(p[1].Text)
	case len(p) == 2 && tail && p[0].Wild == sigma.Literal:
		return "starts", quote(p[0].Text)
	}
	var b strings.Builder
	for _, part := range p {
		switch part.Wild {
		case sigma.Star:
			b.WriteByte('*')
		case sigma.Single:
			b.WriteByte('?')
		default:
			b.WriteString(part.Text)
		}
	}
	return "like", quote(b.String())
}

// quote shows a text as it is, with what cannot be seen escaped.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		if unicode.IsGraphic(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	b.WriteByte('\'')
	return b.String()
}

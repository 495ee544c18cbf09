package clause

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Text is a text in both languages.
type Text struct {
	ZH string `json:"zh"`
	EN string `json:"en"`
}

// Operator is a way to compare a field, or to join comparisons.
type Operator struct {
	ID         string `json:"id"`
	Name       Text   `json:"name"`
	Explain    Text   `json:"explain"`
	On         string `json:"on" enum:"group,any,text,number,ip,time" doc:"What it is made for"`
	Form       string `json:"form" doc:"How LogsQL writes it"`
	Example    string `json:"example" doc:"A query"`
	Least      int    `json:"least" doc:"Values at least"`
	Most       int    `json:"most" doc:"Values at most; -1 is as many as you like"`
	NeedsField bool   `json:"needs_field"`

	render func(field string, v []string) (string, error)
}

// Operators lists all operators, the joining ones first.
func Operators() []Operator { return slices.Clone(operators) }

func form(f string) func(string, []string) (string, error) {
	return func(field string, v []string) (string, error) {
		args := make([]any, len(v))
		for i := range v {
			args[i] = strconv.Quote(v[i])
		}
		return field + fmt.Sprintf(f, args...), nil
	}
}

// list renders a function of as many values as there are.
func list(f string) func(string, []string) (string, error) {
	return func(field string, v []string) (string, error) {
		quoted := make([]string, len(v))
		for i := range v {
			if v[i] == "*" && f != "seq" {
				// In these LogsQL takes a lone star for everything, quoted or not.
				return "", fmt.Errorf("the value %q would mean any value; compare with equals or wildcard instead", v[i])
			}
			quoted[i] = strconv.Quote(v[i])
		}
		return field + f + "(" + strings.Join(quoted, ",") + ")", nil
	}
}

func negated(render func(string, []string) (string, error)) func(string, []string) (string, error) {
	return func(field string, v []string) (string, error) {
		s, err := render(field, v)
		return "!" + s, err
	}
}

// pattern renders a regular expression made of the one value.
func pattern(of func(value string) string) func(string, []string) (string, error) {
	return func(field string, v []string) (string, error) {
		if v[0] == "" {
			return "", fmt.Errorf("an empty value matches everything; use exists or missing")
		}
		return field + "~" + strconv.Quote(of(v[0])), nil
	}
}

func substring(v string) string { return regexp.QuoteMeta(v) }
func endsWith(v string) string  { return regexp.QuoteMeta(v) + "$" }

// Wildcard makes an expression of a text in which * stands for any characters
// and ? for one; a backslash takes away the meaning of the next.
func Wildcard(v string) string {
	var b strings.Builder
	b.WriteString("(?s)^")
	escaped := false
	for _, r := range v {
		switch {
		case escaped || r != '*' && r != '?' && r != '\\':
			b.WriteString(regexp.QuoteMeta(string(r)))
			escaped = false
		case r == '\\':
			escaped = true
		case r == '*':
			b.WriteString(".*")
		default:
			b.WriteString(".")
		}
	}
	if escaped {
		b.WriteString(`\\`)
	}
	b.WriteString("$")
	return b.String()
}

// Network reads a network, or an address as the network of it alone.
func Network(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, aerr := netip.ParseAddr(text)
		if aerr != nil || a.Zone() != "" {
			return p, fmt.Errorf("%q is no network; write one like 10.0.0.0/8 or 2001:db8::/32", text)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	return p.Masked(), nil
}

// cidr renders a network: a range of numbers for IPv4, and for IPv6, of which
// LogsQL knows nothing, an expression that all ways to write its addresses match.
func cidr(field string, v []string) (string, error) {
	p, err := Network(v[0])
	if err != nil {
		return "", err
	}
	if p.Addr().Is4() {
		return field + "ipv4_range(" + strconv.Quote(p.String()) + ")", nil
	}
	return field + "~" + strconv.Quote(ipv6Pattern(p)), nil
}

// dayTime renders day_range and week_range, whose third value says how far the
// clock meant is ahead of UTC.
func dayTime(name, closing string) func(string, []string) (string, error) {
	word := regexp.MustCompile(`^[0-9A-Za-z:]{1,10}$`)
	return func(field string, v []string) (string, error) {
		if field != "_time:" {
			return "", fmt.Errorf("this operator is about the field @timestamp only")
		}
		for _, s := range v {
			if !word.MatchString(strings.TrimPrefix(s, "-")) {
				return "", fmt.Errorf("%q is no time of day, day of the week or offset; write them like 08:00, Mon and 8h", s)
			}
		}
		s := field + name + "[" + v[0] + ", " + v[1] + closing
		if len(v) == 3 {
			// LogsQL subtracts its offset.
			s += " offset " + opposite(v[2])
		}
		return s, nil
	}
}

// opposite is the duration with the other sign.
func opposite(d string) string {
	if rest, ok := strings.CutPrefix(d, "-"); ok {
		return rest
	}
	return "-" + d
}

var operators = []Operator{
	{ID: All, Name: Text{"并且", "and"}, On: "group", Form: `a and b`, Example: `event.action:="logon" and source.ip:*`, Most: -1, Least: 1,
		Explain: Text{"所有条件都成立；两个条件之间的空格就是并且", "Every condition holds; a space between two conditions means the same"}},
	{ID: Any, Name: Text{"或者", "or"}, On: "group", Form: `a or b`, Example: `event.action:="logon" or event.action:="logoff"`, Most: -1, Least: 1,
		Explain: Text{"至少一个条件成立；并且先于或者，可用括号改变", "At least one condition holds; and binds tighter than or, brackets change that"}},
	{ID: Not, Name: Text{"非", "not"}, On: "group", Form: `!a`, Example: `!user.name:="root"`, Least: 1, Most: 1,
		Explain: Text{"条件不成立，也包括没有该字段的事件", "The condition does not hold; events without the field are among them"}},
	{ID: "contains", Name: Text{"包含", "contains"}, On: "text", Form: `field:"value"`, Example: `message:"login failed"`, Least: 1, Most: 1, render: form("%s"),
		Explain: Text{"包含整个词，或按顺序相连的几个词（短语）；中文按出现即算", "Holds the word, or the words next to each other (a phrase); Chinese is found wherever it stands"}},
	{ID: "not_contains", Name: Text{"不包含", "does not contain"}, On: "text", Form: `!field:"value"`, Example: `!message:"health check"`, Least: 1, Most: 1, render: negated(form("%s")),
		Explain: Text{"不包含该词或短语", "Does not hold the word or phrase"}},
	{ID: "contains_prefix", Name: Text{"包含前缀词", "contains a word that begins with"}, On: "text", Form: `field:"value"*`, Example: `message:"conn"*`, Least: 1, Most: 1, render: form("%s*"),
		Explain: Text{"包含以此开头的词或短语", "Holds a word or phrase that begins like this"}},
	{ID: "contains_all", Name: Text{"包含全部词", "contains all of"}, On: "text", Form: `field:contains_all("a","b")`, Example: `message:contains_all("ssh","failed")`, Least: 1, Most: -1, render: list("contains_all"),
		Explain: Text{"列出的词都包含，顺序不限", "Holds all of these words, in any order"}},
	{ID: "contains_any", Name: Text{"包含任一词", "contains any of"}, On: "text", Form: `field:contains_any("a","b")`, Example: `message:contains_any("denied","refused")`, Least: 1, Most: -1, render: list("contains_any"),
		Explain: Text{"至少包含其中一个词", "Holds at least one of these words"}},
	{ID: "sequence", Name: Text{"依次包含", "contains in this order"}, On: "text", Form: `field:seq("a","b")`, Example: `message:seq("failed","root","ssh2")`, Least: 1, Most: -1, render: list("seq"),
		Explain: Text{"依次出现，中间可以隔着别的词", "Holds these in this order, with anything between"}},
	{ID: "ignore_case", Name: Text{"包含（不分大小写）", "contains, case ignored"}, On: "text", Form: `field:i("value")`, Example: `message:i("ERROR")`, Least: 1, Most: 1, render: form("i(%s)"),
		Explain: Text{"包含该词或短语，不分大小写", "Holds the word or phrase in whatever case"}},
	{ID: "ignore_case_prefix", Name: Text{"包含前缀词（不分大小写）", "contains a word that begins with, case ignored"}, On: "text", Form: `field:i("value"*)`, Example: `message:i("err"*)`, Least: 1, Most: 1, render: form("i(%s*)"),
		Explain: Text{"包含以此开头的词，不分大小写", "Holds a word that begins like this in whatever case"}},
	{ID: "substring", Name: Text{"含有文本", "has the text in it"}, On: "text", Form: `field:~"value"`, Example: `url.path:~"admin"`, Least: 1, Most: 1, render: pattern(substring),
		Explain: Text{"任意位置含有该文本，也包括词的一部分；比按词查找慢", "Has the text anywhere, within words too; slower than words"}},
	{ID: "equals", Name: Text{"等于", "equals"}, On: "any", Form: `field:="value"`, Example: `user.name:="root"`, Least: 1, Most: 1, render: form("=%s"),
		Explain: Text{"字段的值与此完全相同", "The field's whole value is this"}},
	{ID: "not_equals", Name: Text{"不等于", "does not equal"}, On: "any", Form: `!field:="value"`, Example: `!user.name:="root"`, Least: 1, Most: 1, render: negated(form("=%s")),
		Explain: Text{"字段的值不是此值，或没有该字段", "The field's value is another one, or there is none"}},
	{ID: "starts_with", Name: Text{"开头是", "starts with"}, On: "text", Form: `field:="value"*`, Example: `url.path:="/admin"*`, Least: 1, Most: 1, render: form("=%s*"),
		Explain: Text{"字段的值以此开头", "The field's value starts like this"}},
	{ID: "ends_with", Name: Text{"结尾是", "ends with"}, On: "text", Form: `field:~"value$"`, Example: `file.name:~"\\.exe$"`, Least: 1, Most: 1, render: pattern(endsWith),
		Explain: Text{"字段的值以此结尾", "The field's value ends like this"}},
	{ID: "wildcard", Name: Text{"通配符", "wildcard"}, On: "text", Form: `field:~"(?s)^…$"`, Example: `file.path:~"(?s)^C:.*\\.dll$"`, Least: 1, Most: 1, render: pattern(Wildcard),
		Explain: Text{"整个值符合：* 代表任意多个字符，? 代表一个", "The whole value fits: * stands for any characters, ? for one"}},
	{ID: "matches", Name: Text{"匹配正则", "matches"}, On: "text", Form: `field:~"expression"`, Example: `url.path:~"^/api/v[12]/"`, Least: 1, Most: 1, render: pattern(func(v string) string { return v }),
		Explain: Text{"有一部分符合正则表达式（RE2）", "Some part fits the regular expression (RE2)"}},
	{ID: "not_matches", Name: Text{"不匹配正则", "does not match"}, On: "text", Form: `!field:~"expression"`, Example: `!url.path:~"^/static/"`, Least: 1, Most: 1, render: negated(pattern(func(v string) string { return v })),
		Explain: Text{"没有任何部分符合正则表达式", "No part fits the regular expression"}},
	{ID: "in", Name: Text{"属于", "is one of"}, On: "any", Form: `field:in("a","b")`, Example: `destination.port:in("22","3389")`, Least: 1, Most: -1, render: list("in"),
		Explain: Text{"字段的值是列出的其中之一", "The field's value is one of these"}},
	{ID: "not_in", Name: Text{"不属于", "is none of"}, On: "any", Form: `!field:in("a","b")`, Example: `!user.name:in("root","admin")`, Least: 1, Most: -1, render: negated(list("in")),
		Explain: Text{"字段的值不在其中，或没有该字段", "The field's value is none of these, or there is none"}},
	{ID: "greater", Name: Text{"大于", "greater than"}, On: "number", Form: `field:>value`, Example: `destination.port:>1024`, Least: 1, Most: 1, NeedsField: true, render: form(">%s"),
		Explain: Text{"数值大于；可写 10KB、1.5s 这样的单位；不是数的按文本比较", "Greater as a number, units like 10KB and 1.5s included; texts are compared as texts"}},
	{ID: "greater_equal", Name: Text{"大于等于", "at least"}, On: "number", Form: `field:>=value`, Example: `http.response.status_code:>=500`, Least: 1, Most: 1, NeedsField: true, render: form(">=%s"),
		Explain: Text{"数值大于或等于", "Greater or the same as a number"}},
	{ID: "less", Name: Text{"小于", "less than"}, On: "number", Form: `field:<value`, Example: `event.severity:<4`, Least: 1, Most: 1, NeedsField: true, render: form("<%s"),
		Explain: Text{"数值小于", "Less as a number"}},
	{ID: "less_equal", Name: Text{"小于等于", "at most"}, On: "number", Form: `field:<=value`, Example: `event.duration:<=5s`, Least: 1, Most: 1, NeedsField: true, render: form("<=%s"),
		Explain: Text{"数值小于或等于", "Less or the same as a number"}},
	{ID: "range", Name: Text{"数值区间", "between"}, On: "number", Form: `field:range[a, b]`, Example: `destination.port:range[1, 1023]`, Least: 2, Most: 2, NeedsField: true, render: form("range[%s, %s]"),
		Explain: Text{"数值在两者之间，含两端", "As a number between these, both included"}},
	{ID: "text_range", Name: Text{"文本区间", "between texts"}, On: "text", Form: `field:string_range("a","b")`, Example: `user.name:string_range("a","n")`, Least: 2, Most: 2, render: form("string_range(%s, %s)"),
		Explain: Text{"按文本顺序在两者之间，含前者、不含后者", "Between these in the order of texts, the first included, the second not"}},
	{ID: "cidr", Name: Text{"属于网段", "in the network"}, On: "ip", Form: `field:ipv4_range("10.0.0.0/8")`, Example: `source.ip:ipv4_range("10.0.0.0/8")`, Least: 1, Most: 1, NeedsField: true, render: cidr,
		Explain: Text{"地址在网段内，IPv4 与 IPv6 均可；IPv6 写成等价的正则", "The address lies in the network, IPv4 or IPv6; for IPv6 an expression of the same meaning is written"}},
	{ID: "ip_range", Name: Text{"地址区间", "between addresses"}, On: "ip", Form: `field:ipv4_range(a, b)`, Example: `source.ip:ipv4_range("10.0.0.1", "10.0.0.99")`, Least: 2, Most: 2, NeedsField: true, render: form("ipv4_range(%s, %s)"),
		Explain: Text{"IPv4 地址在两者之间，含两端", "The IPv4 address lies between these, both included"}},
	{ID: "exists", Name: Text{"存在", "exists"}, On: "any", Form: `field:*`, Example: `user.name:*`, NeedsField: true, render: form("*"),
		Explain: Text{"事件有该字段", "The event has the field"}},
	{ID: "missing", Name: Text{"不存在", "is missing"}, On: "any", Form: `field:""`, Example: `user.name:""`, NeedsField: true, render: form(`""`),
		Explain: Text{"事件没有该字段", "The event does not have the field"}},
	{ID: "equals_field", Name: Text{"等于另一字段", "equals the field"}, On: "any", Form: `field:eq_field(other)`, Example: `user.name:eq_field("user.target.name")`, Least: 1, Most: 1, NeedsField: true, render: form("eq_field(%s)"),
		Explain: Text{"两个字段的值相同，都没有也算相同", "Both fields have the same value, or both are missing"}},
	{ID: "less_field", Name: Text{"小于另一字段", "less than the field"}, On: "number", Form: `field:lt_field(other)`, Example: `source.bytes:lt_field("destination.bytes")`, Least: 1, Most: 1, NeedsField: true, render: form("lt_field(%s)"),
		Explain: Text{"小于另一个字段的值", "Less than the other field's value"}},
	{ID: "less_equal_field", Name: Text{"不大于另一字段", "at most the field"}, On: "number", Form: `field:le_field(other)`, Example: `source.bytes:le_field("destination.bytes")`, Least: 1, Most: 1, NeedsField: true, render: form("le_field(%s)"),
		Explain: Text{"小于或等于另一个字段的值，都没有也算", "Less or the same as the other field's value, or both are missing"}},
	{ID: "length", Name: Text{"长度", "length"}, On: "text", Form: `field:len_range(a, b)`, Example: `dns.question.name:len_range(60, inf)`, Least: 2, Most: 2, render: form("len_range(%s, %s)"),
		Explain: Text{"字符数在两者之间，含两端；上限可写 inf", "Characters from … to …, both included; the upper one may be inf"}},
	{ID: "day_range", Name: Text{"每天时段", "time of day"}, On: "time", Form: `_time:day_range[08:00, 18:00) offset -8h`, Example: `!_time:day_range[08:00, 18:00) offset -8h`, Least: 2, Most: 3, NeedsField: true, render: dayTime("day_range", ")"),
		Explain: Text{"时刻在两者之间，不含后者；第三个值是时区比 UTC 早多少，北京为 8h", "Clock between these, the second not included; the third value is how far the clock is ahead of UTC, 8h for Beijing"}},
	{ID: "week_range", Name: Text{"每周时段", "day of the week"}, On: "time", Form: `_time:week_range[Mon, Fri] offset -8h`, Example: `_time:week_range[Sat, Sat] offset -8h`, Least: 2, Most: 3, NeedsField: true, render: dayTime("week_range", "]"),
		Explain: Text{"星期在两者之间，含两端（周日为第一天）；第三个值是时区比 UTC 早多少，北京为 8h", "Day between these, both included (the week begins on Sunday); the third value is how far the clock is ahead of UTC, 8h for Beijing"}},
}

var byID = func() map[string]*Operator {
	m := make(map[string]*Operator, len(operators))
	for i := range operators {
		if operators[i].render != nil {
			m[operators[i].ID] = &operators[i]
		}
	}
	return m
}()

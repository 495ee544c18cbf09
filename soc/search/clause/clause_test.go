package clause

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

func leaf(field, operator string, values ...string) Clause {
	return Clause{Field: field, Operator: operator, Values: values}
}

// TestRoundTrip writes trees and reads the same trees back.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Clause{
		`message:"login failed"`:                             leaf("message", "contains", "login failed"),
		`"登录"`:                                               leaf("", "contains", "登录"),
		`!message:"login"`:                                   leaf("message", "not_contains", "login"),
		`message:"conn"*`:                                    leaf("message", "contains_prefix", "conn"),
		`message:contains_all("a","b c")`:                    leaf("message", "contains_all", "a", "b c"),
		`message:contains_any("a","b c")`:                    leaf("message", "contains_any", "a", "b c"),
		`message:seq("a","b","*")`:                           leaf("message", "sequence", "a", "b", "*"),
		`message:i("ERROR")`:                                 leaf("message", "ignore_case", "ERROR"),
		`message:i("Err"*)`:                                  leaf("message", "ignore_case_prefix", "Err"),
		`url.path:~"a\\.b\\(c"`:                              leaf("url.path", "substring", "a.b(c"),
		`user.name:="ro\"ot"`:                                leaf("user.name", "equals", `ro"ot`),
		`!user.name:="root"`:                                 leaf("user.name", "not_equals", "root"),
		`user.name:="*"`:                                     leaf("user.name", "equals", "*"),
		`url.path:="/admin"*`:                                leaf("url.path", "starts_with", "/admin"),
		`file.name:~"\\.exe$"`:                               leaf("file.name", "ends_with", ".exe"),
		`file.path:~"(?s)^C:\\\\a.*\\.d.l$"`:                 leaf("file.path", "wildcard", `C:\\a*.d?l`),
		`file.path:~"(?s)^a\\*b$"`:                           leaf("file.path", "wildcard", `a\*b`),
		`url.path:~"^/v[12]/"`:                               leaf("url.path", "matches", "^/v[12]/"),
		`!url.path:~"^/v[12]/"`:                              leaf("url.path", "not_matches", "^/v[12]/"),
		`"sort":in("a","b,c")`:                               leaf("sort", "in", "a", "b,c"),
		`!"a b":in("a")`:                                     leaf("a b", "not_in", "a"),
		`destination.port:>"1024"`:                           leaf("destination.port", "greater", "1024"),
		`destination.port:>="-1.5e+3"`:                       leaf("destination.port", "greater_equal", "-1.5e+3"),
		`event.duration:<"5s"`:                               leaf("event.duration", "less", "5s"),
		`user.name:<="b c"`:                                  leaf("user.name", "less_equal", "b c"),
		`destination.port:range["1", "1023"]`:                leaf("destination.port", "range", "1", "1023"),
		`user.name:string_range("a", "b c")`:                 leaf("user.name", "text_range", "a", "b c"),
		`source.ip:ipv4_range("10.0.0.0/8")`:                 leaf("source.ip", "cidr", "10.0.0.0/8"),
		`source.ip:ipv4_range("192.0.2.7/32")`:               leaf("source.ip", "cidr", "192.0.2.7/32"),
		`source.ip:ipv4_range("0.0.0.0/0")`:                  leaf("source.ip", "cidr", "0.0.0.0/0"),
		`source.ip:ipv4_range("10.0.0.1", "10.0.0.9")`:       leaf("source.ip", "ip_range", "10.0.0.1", "10.0.0.9"),
		`user.name:*`:                                        leaf("user.name", "exists"),
		`user.name:""`:                                       leaf("user.name", "missing"),
		`a.b:eq_field("c d")`:                                leaf("a.b", "equals_field", "c d"),
		`a.b:lt_field("c")`:                                  leaf("a.b", "less_field", "c"),
		`a.b:le_field("c")`:                                  leaf("a.b", "less_equal_field", "c"),
		`a.b:len_range("5", "inf")`:                          leaf("a.b", "length", "5", "inf"),
		`_time:day_range[08:00, 18:00) offset -8h`:           leaf("@timestamp", "day_range", "08:00", "18:00", "8h"),
		`_time:week_range[Mon, Fri]`:                         leaf("@timestamp", "week_range", "Mon", "Fri"),
		`({app="x"}) and a.b:="1" and (c.d:="2" or !e.f:*)`:  {Join: All, Clauses: []Clause{{Text: `{app="x"}`}, leaf("a.b", "equals", "1"), {Join: Any, Clauses: []Clause{leaf("c.d", "equals", "2"), {Join: Not, Clauses: []Clause{leaf("e.f", "exists")}}}}}},
		`!(a.b:="1" and c.d:="2") or !(e.f:="3" or g.h:"4")`: {Join: Any, Clauses: []Clause{{Join: Not, Clauses: []Clause{{Join: All, Clauses: []Clause{leaf("a.b", "equals", "1"), leaf("c.d", "equals", "2")}}}}, {Join: Not, Clauses: []Clause{{Join: Any, Clauses: []Clause{leaf("e.f", "equals", "3"), leaf("g.h", "contains", "4")}}}}}},
	} {
		got, err := Render(&c)
		if err != nil || got != want {
			t.Errorf("%+v is written\n%s\nwant\n%s (%v)", c, got, want, err)
			continue
		}
		q, err := Parse(got)
		if err != nil || !reflect.DeepEqual(q.Filter, &c) {
			t.Errorf("%s is read %s, want %s (%v)", got, asJSON(q.Filter), asJSON(&c), err)
		}
	}
}

func asJSON(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// TestIPv6 holds networks against addresses however they are written.
func TestIPv6(t *testing.T) {
	t.Parallel()
	for network, addresses := range map[string]string{ // + is in it, - is not
		"2001:db8::/32":     "+2001:db8::1 +2001:DB8:0:0::1 +2001:0db8:ffff:1:2:3:4:5 +2001:db8:: +2001:db8::1:2:3:4%eth0 +2001:db8::192.0.2.1 -2001:db9::1 -2001:db80::1 -::2001:db8 -2001::db8:1 -12001:db8::1 -10.0.0.1",
		"2001:db8:0:8::/61": "+2001:db8:0:8::1 +2001:db8:0:f:1:2:3:4 +2001:db8::f:1:2:3:4 +2001:db8:0:a::%1 -2001:db8:0:7::1 -2001:db8:0:10::1 -2001:db8:1:8::1 -2001:db8::8",
		"::/3":              "+::1 +1fff::1 +0:0::1 +:: +::ffff:1.2.3.4 -2000::1 -fe80::1",
		"fe80::/10":         "+fe80::1%eth0 +febf::1 +FE9A:: -fec0::1 -fe7f::1 -fe8::1",
		"::1/128":           "+::1 +0:0:0:0:0:0:0:1 +0000:0000::0001 +0::1 -::2 -1::1 -::",
		"::/0":              "+::1 +2001:db8::1 +1:2:3:4:5:6:7:8 +::ffff:10.0.0.1 -10.0.0.1 -word",
		"2001:db8:a::/48":   "+2001:db8:a::1 +2001:db8:000a:1::1 -2001:db8:a0::1 -2001:db8:0:a::1",
		"::ffff:0:0/96":     "+::ffff:1.2.3.4 +::ffff:102:304 +0:0:0:0:0:ffff:1.2.3.4 -::fffe:1.2.3.4 -1.2.3.4",
	} {
		s, err := Render(&Clause{Field: "source.ip", Operator: "cidr", Values: []string{network}})
		if err != nil {
			t.Fatal(err)
		}
		q, err := Parse(s)
		if err != nil || q.Filter.Operator != "cidr" || netip.MustParsePrefix(q.Filter.Values[0]) != netip.MustParsePrefix(network) {
			t.Errorf("%s is read back as %s (%v)", network, asJSON(q.Filter), err)
		}
		quoted := strings.TrimPrefix(s, "source.ip:~")
		var e string
		if err := json.Unmarshal([]byte(quoted), &e); err != nil {
			t.Fatal(err)
		}
		re := regexp.MustCompile(e)
		for a := range strings.FieldsSeq(addresses) {
			if re.MatchString(a[1:]) != (a[0] == '+') {
				t.Errorf("%s: %s", network, a)
			}
		}
	}
}

// TestRenderErrors names the part that is wrong.
func TestRenderErrors(t *testing.T) {
	t.Parallel()
	deep := leaf("a", "exists")
	for range maxDepth + 2 {
		deep = Clause{Join: Not, Clauses: []Clause{deep}}
	}
	for path, c := range map[string]Clause{
		"clauses[1]":            {Join: All, Clauses: []Clause{leaf("a", "exists"), leaf("a", "resembles", "b")}},
		"clauses[0].clauses[0]": {Join: Any, Clauses: []Clause{{Join: Not, Clauses: []Clause{leaf("a", "range", "1")}}}},
		"":                      {Join: "none", Clauses: []Clause{leaf("a", "exists")}},
		"clauses[2]":            {Join: All, Clauses: []Clause{leaf("a", "exists"), leaf("a", "exists"), {Text: "a) or (b"}}},
		"clauses[3]":            {Join: All, Clauses: []Clause{leaf("a", "exists"), leaf("a", "exists"), leaf("a", "exists"), leaf("a", "cidr", "10.0.0.0/40")}},
		"clauses[4]":            {Join: All, Clauses: []Clause{leaf("a", "exists"), leaf("a", "exists"), leaf("a", "exists"), leaf("a", "exists"), leaf("a", "matches", "(")}},
		"clauses[5]":            {Join: All, Clauses: []Clause{leaf("a", "exists"), leaf("a", "exists"), leaf("a", "exists"), leaf("a", "exists"), leaf("a", "exists"), leaf("a", "in", "b", "*")}},
		strings.Repeat("clauses[0].", maxDepth) + "clauses[0]": deep,
	} {
		s, err := Render(&c)
		var e *Error
		if !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s gave %q and %v, want an error at %q", asJSON(c), s, err, path)
		}
	}
}

// TestParse takes queries apart that the tree cannot express wholly.
func TestParse(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]struct {
		filter, pipes string
		whole         bool
	}{
		``:                                        {`null`, ``, true},
		`* | stats by (a) count() n`:              {`null`, `stats by (a) count(*) as n`, true},
		`error`:                                   {`{"operator":"contains","values":["error"]}`, ``, true},
		`_time:5m offset 1h error`:                {`{"join":"all","clauses":[{"text":"_time:5m offset 1h"},{"operator":"contains","values":["error"]}]}`, ``, false},
		`a:in(b:c | fields d) e`:                  {`{"join":"all","clauses":[{"text":"a:in(b:c | fields d)"},{"operator":"contains","values":["e"]}]}`, ``, false},
		`a:range(1, 5] or b:value_type(ipv4)`:     {`{"join":"any","clauses":[{"text":"a:range(1, 5]"},{"text":"b:value_type(ipv4)"}]}`, ``, false},
		`_time:[2026-01-01, 2026-01-02) a`:        {`{"join":"all","clauses":[{"text":"_time:[2026-01-01,2026-01-02)"},{"operator":"contains","values":["a"]}]}`, ``, false},
		`a:(b or c) not d | sort by (_time)`:      {`{"join":"all","clauses":[{"join":"any","clauses":[{"field":"a","operator":"contains","values":["b"]},{"field":"a","operator":"contains","values":["c"]}]},{"operator":"not_contains","values":["d"]}]}`, `sort by (_time)`, true},
		`options(concurrency=1) a:b`:              {`{"text":"options(concurrency=1) a:b"}`, ``, false},
		`a:b | filter c:d | fields a`:             {`{"join":"all","clauses":[{"field":"a","operator":"contains","values":["b"]},{"field":"c","operator":"contains","values":["d"]}]}`, `fields a`, true},
		"`a \"b\"`:=`c|d` # and a remark\n x:'y'": {`{"join":"all","clauses":[{"field":"a \"b\"","operator":"equals","values":["c|d"]},{"field":"x","operator":"contains","values":["y"]}]}`, ``, true},
	} {
		q, err := Parse(query)
		if err != nil || asJSON(q.Filter) != want.filter || q.Pipes != want.pipes || q.Whole != want.whole {
			t.Errorf("%s is %s | %s (%v, %v)\nwant %s", query, asJSON(q.Filter), q.Pipes, q.Whole, err, want.filter)
		}
	}
	for query, position := range map[string]int{`a:b and (c:d`: 12, `用户:="x" | limit x`: 17, `"unclosed`: 9, `a:range[1, x]`: 13} {
		_, err := Parse(query)
		var e *ParseError
		if !errors.As(err, &e) || e.Position < position-8 || e.Position > position || strings.Contains(e.Message, "context:") {
			t.Errorf("%s: %#v, want it near %d", query, err, position)
		}
	}
}

// TestWiden finds Chinese words within longer text, and nothing else.
func TestWiden(t *testing.T) {
	t.Parallel()
	for query, same := range map[string]bool{`error`: true, `user:="张三"`: true, `a:in("中文")`: true, `a:~"中文"`: true, `* | stats by (用户) count()`: true,
		`登录失败`: false, `message:"登录失败" | fields a`: false, `!"登录"`: false, `a:登录*`: false, `a:i(admin登录)`: false, `a:seq("用户", "失败")`: false, `a:contains_any("x","失败")`: false} {
		if got := Widen(query); (got == query) != same {
			t.Errorf("%s became %s", query, got)
		}
	}
	for _, c := range []struct {
		phrase, text string
		open, found  bool
	}{
		{"登录失败", "2026-01-01 用户张三登录失败三次", false, true},
		{"登录失败", "登录成功,失败0次", false, false},
		{"admin登录", "用户admin登录失败", false, true},
		{"admin登录", "sysadmin登录失败", false, false},
		{"登录admin", "登录administrator", false, false},
		{"登录admin", "登录administrator", true, true},
		{"失败（密码错误）", "登录失败（密码错误）：x", false, true},
		{"源地址10.0.0.1", "源地址10.0.0.12", false, false},
		{"源地址10.0.0.1", "源地址10.0.0.1，端口", false, true},
	} {
		if got := regexp.MustCompile(bounded(c.phrase, c.open)).MatchString(c.text); got != c.found {
			t.Errorf("%q in %q: %v", c.phrase, c.text, got)
		}
	}
}

// FuzzParse reads whatever there is: no panic, and what is read means the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`a:b and c:=d or !(e:f)`, `{a="b"} x:in(y | fields z)`, "`a`:~\"\\\\d\" | stats count()", `登录:失败 _time:5m`, `a:range(1,2] b:>-5 c:<=10KB d:i(x*)`, `(((`, `a:ipv4_range(10.0.0.0/8) "`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := Parse(query)
		if err != nil || strings.TrimSpace(query) == "" {
			return
		}
		back, err := Render(q.Filter)
		if err != nil {
			t.Fatalf("%q cannot be written back: %v", query, err)
		}
		if q.Pipes != "" {
			back += " | " + q.Pipes
		}
		again, err := Parse(back)
		if err != nil || again.Canonical != q.Canonical {
			t.Fatalf("%q became %q, which is %q and not %q (%v)", query, back, again.Canonical, q.Canonical, err)
		}
		if _, err := logstorage.ParseQuery(Widen(query)); err != nil {
			t.Fatalf("%q widened to %q: %v", query, Widen(query), err)
		}
	})
}

// FuzzRender writes whatever tree there is: what can be written means one
// filter of LogsQL and nothing beside it.
func FuzzRender(f *testing.F) {
	f.Add(`{"join":"all","clauses":[{"field":"a","operator":"equals","values":["b"]},{"text":"c) | d"}]}`)
	f.Add(`{"field":"a:b or","operator":"cidr","values":["::/7"]}`)
	f.Fuzz(func(t *testing.T, doc string) {
		var c Clause
		if json.Unmarshal([]byte(doc), &c) != nil {
			return
		}
		s, err := Render(&c)
		if err != nil {
			return
		}
		if _, err := logstorage.ParseFilter("(" + s + ")"); err != nil {
			t.Fatalf("%s is written %q: %v", doc, s, err)
		}
	})
}

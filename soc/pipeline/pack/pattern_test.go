package pack

import (
	"strings"
	"testing"
)

// readBy compiles a pattern and returns the captures of text, "" where it does
// not match.
func readBy(t *testing.T, pattern, text string) string {
	t.Helper()
	l := &Log{}
	p, err := compilePattern(pattern, kinds(), l.slot)
	if err != nil {
		t.Fatal(err)
	}
	var m Match
	if !p.read(text, &m) {
		return "no match"
	}
	var out []string
	for i, name := range l.names {
		out = append(out, name+"="+m.values[i])
	}
	return strings.Join(out, " | ")
}

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, text, want string }{
		{"Built {dir=inbound|outbound} for {ip:ip}/{port:port}", "Built outbound for 10.0.0.1/443 more", "dir=outbound | ip=10.0.0.1 | port=443"},
		{"from {ip:ip}:{port:port}", "from 2001:db8::1:443", "ip=2001:db8::1 | port=443"},
		{"from {ip:ip}.", "from 10.0.0.1.", "ip=10.0.0.1"},
		{"from {ip:ip}", "from 10.0.0.1.", "ip=10.0.0.1"},
		{"from {ip:ip}", "from 300.0.0.1", "no match"},
		{"user '{user}' did", "user 'o'neil' did", "user=o'neil"},
		{"a {x} b {y}", "a 1 b 2 b 3", "x=1 | y=2 b 3"},
		{"{msg}(? [{id:int}]?)", "it failed [7]", "msg=it failed | id=7"},
		{"{msg}(? [{id:int}]?)", "it failed", "msg=it failed | id="},
		{"{msg}(? [{id:int}]?)", "it [7] failed", "msg=it [7] failed | id="},
		{"(?user {u:word} ?)left", "left", "u="},
		{"(?user {u:word} ?)left", "user bob left", "u=bob"},
		{"a  {x:int} b", "a \t 12   b", "x=12"},
		{"{x:int}", "007", "no match"},
		{"{x:number}s", "1.50s", "x=1.50"},
		{"{{{x}}}", "{12}", "x=12"},
		{"{x:word}: {y}", "a:b: c", "x=a:b | y=c"},
		{"iface {x:interface}", "iface Gi1/0/3.", "x=Gi1/0/3"},
		{"{_} end {x}", "anything end of it", "x=of it"},
		{"", "", "pattern: it is empty"},
		{"{a}{b}", "", "pattern: nothing parts {b} from the text before it"},
		{"{a:nothing}", "", `there is no type "nothing"`},
		{"{a", "", "a } is missing"},
		{"(?a", "", "has no ?)"},
		{"a?)", "", "without a (? before it"},
		{"{x=a||b}", "", "empty word"},
	} {
		if _, err := compilePattern(c.pattern, kinds(), (&Log{}).slot); err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: %v, want %s", c.pattern, err, c.want)
			}
			continue
		}
		if got := readBy(t, c.pattern, c.text); got != c.want {
			t.Errorf("%q on %q:\n got %s\nwant %s", c.pattern, c.text, got, c.want)
		}
	}
}

// TestPatternIsBounded gives a pattern that could go on at many places a text
// with many of them.
func TestPatternIsBounded(t *testing.T) {
	t.Parallel()
	l := &Log{}
	p, err := compilePattern("{a} {b} {c} {d} {e} {f} {g} {h} END", kinds(), l.slot)
	if err != nil {
		t.Fatal(err)
	}
	var m Match
	if p.read(strings.Repeat("x ", 5000), &m) {
		t.Error("it matches a text without its end")
	}
	if m.m.steps > 2*maxSteps {
		t.Errorf("%d steps", m.m.steps)
	}
}

func TestLongestLiteralOfAllLines(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"%ASA-{n:int}-302013: Built {x}":     "-302013:",
		"{a:ip} (?optional and long ?)short": "short",
		"{a} end":                            "end",
	} {
		p, err := compilePattern(pattern, kinds(), (&Log{}).slot)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.longest(); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("a {x:ip}:{y:port}(? b {z}?) {w=c|d}", "a 10.0.0.1:1 b 2 c")
	f.Add("{x}(? [{y:int}]?)", "[1] [2]")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		l := &Log{}
		p, err := compilePattern(pattern, kinds(), l.slot)
		if err != nil || len(text) > 1000 {
			return
		}
		var m Match
		if !p.read(text, &m) {
			return
		}
		for i := range l.names {
			if !strings.Contains(text, m.values[i]) {
				t.Fatalf("%q is not in %q", m.values[i], text)
			}
		}
		if a := p.longest(); !strings.Contains(text, strings.ReplaceAll(a, " ", " ")) && !strings.ContainsAny(a, " ") {
			t.Fatalf("%q matches %q, which has no %q", pattern, text, a)
		}
	})
}

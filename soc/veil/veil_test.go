package veil

import (
	"encoding/json"
	"strings"
	"testing"
)

func mustNew(t testing.TB, rules ...Rule) *Veil {
	t.Helper()
	v, err := New(rules, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRow(t *testing.T) {
	t.Parallel()
	v := mustNew(t,
		Rule{ID: "name", Fields: []string{"user.name"}, Method: Keep, First: 1},
		Rule{ID: "pin", Fields: []string{"user.pin"}, Method: Full},
		Rule{ID: "mail", Fields: []string{"user.email"}, Method: Hash},
		Rule{ID: "phone", Pattern: `\b1[3-9]\d{9}\b`, Method: Keep, First: 3, Last: 4},
		Rule{ID: "card", Pattern: `\b\d{16,19}\b`, Check: Luhn, Method: Keep, Last: 4},
		Rule{ID: "path", Fields: []string{"url.path"}, Pattern: `token=\w+`, Method: Full})
	row := `{"@timestamp":"2026-01-01T00:00:00Z","event.id":"e-13812345678-0","user.name":"张三丰","user.pin":"17","user.email":"a@b.cn",` +
		`"message":"用户张三丰(a@b.cn)电话13812345678, 卡4111111111111111, 单号4111111111111112, 17 次","url.path":"/a?token=abc&x=1","url.query":"token=abc"}`
	var got map[string]string
	shown := string(v.Row([]byte(row)))
	if err := json.Unmarshal([]byte(shown), &got); err != nil {
		t.Fatalf("%s: %v", shown, err)
	}
	mark := got["user.email"]
	for field, want := range map[string]string{"@timestamp": "2026-01-01T00:00:00Z", "event.id": "e-13812345678-0", "user.name": "张***", "user.pin": "***",
		"message": "用户张***(" + mark + ")电话138***5678, 卡***1111, 单号4111111111111112, 17 次", "url.path": "/a?***&x=1", "url.query": "token=abc"} {
		if got[field] != want {
			t.Errorf("%s is %q, want %q", field, got[field], want)
		}
	}
	if len(mark) != 21 || mark != v.Value("user.email", "a@b.cn") || mark == v.Value("user.email", "a@b.com") {
		t.Errorf("the mark of an address is %q", mark)
	}
	if other, _ := New(v.Rules(), []byte("another")); other.Value("user.email", "a@b.cn") == mark {
		t.Error("the mark does not hang on the suite's key")
	}
	if !strings.HasPrefix(shown, `{"@timestamp"`) {
		t.Errorf("the order of fields changed: %s", shown)
	}
	for _, bad := range []string{"", "null", `{"a":1}`, `{"a":"b"`, "[]"} {
		if s := string(v.Row([]byte(bad))); s != `{"message":"***"}` {
			t.Errorf("%q is shown as %s", bad, s)
		}
	}
	var none *Veil
	if s := string(none.Row([]byte(row))); s != row || none.Key() != "" || none.Value("a", "b") != "b" {
		t.Error("no veil hides something")
	}
}

func TestWith(t *testing.T) {
	t.Parallel()
	a, b := mustNew(t, Rule{ID: "1", Fields: []string{"a"}, Method: Full}), mustNew(t, Rule{ID: "2", Fields: []string{"b"}, Method: Full})
	both := a.With(b)
	if !both.Hides("a") || !both.Hides("b") || both.Hides("c") || both.Key() != b.With(a).Key() || both.With(a).Key() != both.Key() {
		t.Errorf("%+v", both)
	}
	if a.With(nil) != a || (*Veil)(nil).With(a) != a || a.Key() == b.Key() {
		t.Error("with nothing")
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"11010519491231002X": true, "11010519491231002x": true, "110105194912310021": false, "11010519491331002X": false, "440524188001010014": true, "1101051949123100": false} {
		if idCard(s) != want {
			t.Errorf("identity number %s: %v", s, !want)
		}
	}
	for s, want := range map[string]bool{"6222 0212 3456 7890 128": luhn("6222021234567890128"), "4111-1111-1111-1111": true, "4111111111111112": false, "18": false, "4111a11111111111": false} {
		if luhn(s) != want {
			t.Errorf("card %s: %v", s, !want)
		}
	}
}

func TestCompile(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Rule{"no method": {Fields: []string{"a"}}, "nothing": {Method: Full}, "matches nothing": {Pattern: "a*", Method: Full}, "broken": {Pattern: "(", Method: Full},
		"whose": {Fields: []string{"icewatch.tenant"}, Method: Full}, "check alone": {Fields: []string{"a"}, Check: Luhn, Method: Full}, "far": {Fields: []string{"a"}, Method: Keep, First: 100}} {
		if _, err := r.Compile(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzRow(f *testing.F) {
	v := mustNew(f, Rule{ID: "name", Fields: []string{"user.name"}, Method: Full}, Rule{ID: "phone", Pattern: `\b1[3-9]\d{9}\b`, Method: Full})
	f.Add(`{"user.name":"wang","message":"wang 13812345678"}`)
	f.Fuzz(func(t *testing.T, row string) {
		var shown map[string]string
		if err := json.Unmarshal(v.Row([]byte(row)), &shown); err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		if s, ok := shown["user.name"]; ok && s != "" && s != Hidden {
			t.Fatalf("%q shows %q", row, s)
		}
	})
}

package lake

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/parse"
)

// parsed is the event that parsing makes of a text.
func parsed(t testing.TB, reg *event.Registry, format intake.Format, text string) *event.Event {
	t.Helper()
	ev := &event.Event{}
	parse.New(reg, parse.Options{Location: time.FixedZone("CST", 8*3600)}).Parse(&intake.Record{Format: format, Received: time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC).UnixNano(), Data: []byte(text)}, ev)
	ev.ID, ev.Tenant = event.ID{Epoch: "e1", Sequence: 7, Index: 3}, "a"
	return ev
}

// backAndForth lays the event out as a row and writes its raw text anew.
func backAndForth(t testing.TB, w *Writer, ev *event.Event) (row []logstorage.Field, original string) {
	t.Helper()
	if err := w.convert(ev); err != nil {
		t.Fatal(err)
	}
	cols := []logstorage.BlockColumn{{Name: "_time", Values: []string{ev.Timestamp().Format(time.RFC3339Nano)}}, {Name: "_stream", Values: []string{"{}"}}}
	for _, f := range w.fields {
		cols = append(cols, logstorage.BlockColumn{Name: f.Name, Values: []string{f.Value}})
	}
	rand.Shuffle(len(cols), func(i, j int) { cols[i], cols[j] = cols[j], cols[i] })
	r := renderer{whole: true}
	r.block(cols)
	var got map[string]string
	if err := json.Unmarshal(r.appendRow(nil, 0), &got); err != nil {
		t.Fatal(err)
	}
	if m := ev.Text(event.Message); m != got["message"] && ev.Has(event.Message) {
		t.Errorf("message %q, want %q", got["message"], m)
	}
	return w.fields, got["event.original"]
}

// most is how many bytes of a text, at most, may be left beside its fields.
func TestRawTextIsKeptByReference(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	l := openLake(t, t.TempDir())
	defer l.Close()
	w := l.NewWriter(reg)
	for _, c := range []struct {
		format intake.Format
		text   string
		most   int
	}{
		{intake.JSON, `{"@timestamp":"2026-03-02T00:59:58.123Z","source.ip":"10.1.2.3","source.port":40123,"user.name":"li","event.outcome":"success"}`, 40},
		{intake.JSON, `{"@timestamp":"2026-03-02T08:59:58.123456+08:00","source":{"ip":"10.1.2.3","port":40123},"user":{"name":"li"},"ok":true,"none":null}`, 100},
		{intake.JSON, `{"timestamp":1772413198123,"message":"登录失败 for li","user":{"name":"li"}}`, 50},
		{intake.JSON, `{"message":"a \"quoted\" text with \\ and 中文\u0001","path":"C:\\Windows\\x.exe"}`, 25},
		{intake.JSON, `{"winlog":{"event_data":{"Image":"C:\\Windows\\x.exe","CommandLine":"\"C:\\Windows\\x.exe\" /a\r\n\t\u001b"},"b\\c":"C:\\d"},"n":["C:\\Windows\\x.exe","\\"],"slash":"\/","wide":"\u4e2d\\"}`, 150},
		{intake.JSON, "{ \"a\" : \"b\",\n\t\"c\" : [1,2, 3], \"d\":{} }", 100},
		{intake.JSON, `not json at all`, 100},
		{intake.Syslog, `<38>1 2026-03-02T00:59:58.123Z web-1 sshd 4242 - - Failed password for root from 198.51.100.7 port 22 ssh2`, 45},
		{intake.Syslog, `<38>Mar  2 08:59:58 web-1 sshd[4242]: Accepted publickey for ops from 10.1.2.3 port 40123 ssh2`, 30},
		{intake.Line, `10.2.3.4 - - [02/Mar/2026:00:59:58 +0000] "GET /page/5 HTTP/1.1" 200 512 "-" "Mozilla/5.0"`, 0},
		{intake.Line, ``, 0},
		{intake.Syslog, "<13>control \x01\x02\x08 bytes", 100},
	} {
		ev := parsed(t, reg, c.format, c.text)
		row, got := backAndForth(t, w, ev)
		if got != ev.Raw {
			t.Errorf("%q came back as %q", c.text, got)
		}
		rest := 0
		for _, f := range row {
			if f.Name == fieldRaw || f.Name == fieldOriginal {
				rest += len(f.Value)
			}
		}
		if rest > c.most {
			t.Errorf("%q takes %d bytes beside its fields, at most %d are wanted: %v", c.text, rest, c.most, row)
		}
	}
}

// TestReferencesOfBefore: texts that were written with one byte over 0x7f for an
// argument are read as ever.
func TestReferencesOfBefore(t *testing.T) {
	t.Parallel()
	fields := []logstorage.Field{{Name: "source.ip", Value: "10.1.2.3"}, {Name: "user.name", Value: `a"b`}}
	at := time.Date(2026, 3, 2, 0, 59, 58, 123e6, time.UTC)
	for text, want := range map[string]string{
		"from \x01\x80!":                  "from 10.1.2.3!",
		"{\x02\x80,\x05\x80}":             `{"source.ip":"10.1.2.3","ip":10.1.2.3}`,
		"{\x08\xff\x81,\x08\xfd\x81}":     `{"a\"b","name":"a\"b"}`,
		"\x06\x83T\xfe \x06\x80 \xff\xdc": "2026-03-02T00:59:58.123Z 2026-03-02 08:59:58",
		"\x07\xdc \x08\x8d \x06\x80T\xdc": "Mar  2 08:59:58 1772413198123 2026-03-02T08:59:58+08:00",
	} {
		if got, ok := resolve(nil, text, fields, at.UnixNano()); !ok || string(got) != want {
			t.Errorf("%q is read as %q, %v; %q is right", text, got, ok, want)
		}
	}
	for _, text := range []string{"\x01", "\x01\x82", "\x010", "\x01\x7f", "\x01\x7fA", "\x08\xff", "\x06\x80", "\x06\x80T", "\x06\x80T\xff", "\x02A", "\x02_"} {
		if got, ok := resolve(nil, text, fields, at.UnixNano()); ok {
			t.Errorf("%q refers to what is not there and is read as %q", text, got)
		}
	}
}

// TestReferencesAreNoWords: what is written in place of a value is ASCII and has no
// byte of a word, and what is written is read.
func TestReferencesAreNoWords(t *testing.T) {
	t.Parallel()
	for n := range maxArgument + 1 {
		b := appendArgument(nil, n)
		for _, c := range b {
			if c > 0x7f || c == '_' || isAlnum(c) {
				t.Errorf("%d is written as %q", n, b)
			}
		}
		if got, size := argumentOf(string(b) + "0"); got != n || size != len(b) {
			t.Errorf("%d is written as %q and read as %d of %d bytes", n, b, got, size)
		}
	}
	reg := event.NewRegistry(0)
	l := openLake(t, t.TempDir())
	defer l.Close()
	w := l.NewWriter(reg)
	doc := map[string]string{}
	for i := range maxEscaped {
		doc[fmt.Sprintf("f%02d.x", i)] = fmt.Sprintf(`C:\%d`, i)
	}
	text, _ := json.Marshal(doc)
	ev := parsed(t, reg, intake.JSON, string(text))
	row, got := backAndForth(t, w, ev)
	if got != ev.Raw {
		t.Errorf("%q came back as %q", ev.Raw, got)
	}
	at := slices.IndexFunc(row, func(f logstorage.Field) bool { return f.Name == fieldRaw })
	if at < 0 || strings.ContainsFunc(row[at].Value, func(r rune) bool { return r > 0x7f || r == '_' || r < 0x80 && isAlnum(byte(r)) }) {
		t.Errorf("what is left beside the fields is no ASCII, or has words: %q", row)
	}
}

// Random events of all shapes, fields taken out and put in after parsing as
// ownership and enrichment do.
func TestRawTextComesBack(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	reg := event.NewRegistry(0)
	l := openLake(t, t.TempDir())
	defer l.Close()
	w := l.NewWriter(reg)
	word := func() string {
		return []string{"a", "web-1", "10.0.0.1", "登录", `"`, `\`, "x=y", "2026-03-02T00:59:58Z", "1772413198", "Mar  2 00:59:58", "{", "}", "\x03", "\x80", "", `C:\a\"b"`, "a\r\n\tb\x1f\b\f", `\\`}[rnd.IntN(18)]
	}
	for range 3000 {
		var text string
		format := intake.Format(rnd.IntN(3))
		if format == intake.JSON {
			doc := map[string]any{}
			for range rnd.IntN(8) {
				doc[fmt.Sprintf("f%d.%s", rnd.IntN(9), word())] = word()
			}
			if rnd.IntN(2) == 0 {
				doc["message"] = word() + " " + word()
			}
			b, _ := json.Marshal(doc)
			text = string(b)
		} else {
			var parts []string
			for range rnd.IntN(12) {
				parts = append(parts, word())
			}
			text = "<38>Mar  2 08:59:58 web-1 sshd[1]: " + strings.Join(parts, " ")
		}
		ev := parsed(t, reg, format, text)
		for range rnd.IntN(3) {
			if n := len(ev.Fields); n > 0 {
				ev.Delete(ev.Fields[rnd.IntN(n)].ID)
			}
		}
		if rnd.IntN(2) == 0 {
			ev.Set(event.CIID, "item-1")
			ev.Set(event.SourceIP, "192.0.2.1")
		}
		if !ev.Has(event.Message) {
			ev.Set(event.Message, "m")
		}
		if _, got := backAndForth(t, w, ev); got != ev.Raw {
			t.Fatalf("seed %d: %q came back as %q", seed, ev.Raw, got)
		}
	}
}

func TestWordsAreLookedForEverywhere(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b.c"}
	for query, want := range map[string]string{
		"*":                                   "*",
		"foo":                                 `("a":foo or "b.c":foo)`,
		`"foo bar" x:y`:                       `("a":"foo bar" or "b.c":"foo bar") x:y`,
		"!foo":                                `!("a":foo or "b.c":foo)`,
		"foo* or x:(a or b)":                  `("a":foo* or "b.c":foo*) or x:a or x:b`,
		`~"f.*o"`:                             `("a":~"f.*o" or "b.c":~"f.*o")`,
		"i(Foo)":                              `("a":i(Foo) or "b.c":i(Foo))`,
		"=foo":                                "message:=foo",
		"seq(a, b)":                           "message:seq(a,b)",
		"x:in(foo | fields x)":                `x:in(("a":foo or "b.c":foo) | fields x)`,
		"* | filter foo":                      `("a":foo or "b.c":foo)`,
		"* | limit 5 | filter foo":            `* | limit 5 | filter ("a":foo or "b.c":foo)`,
		"* | stats count() if (foo) n":        `* | stats count(*) if (("a":foo or "b.c":foo)) as n`,
		"* | union (foo)":                     `* | union (("a":foo or "b.c":foo))`,
		"* | join by (x) (foo | fields x)":    `* | join by (x) (("a":foo or "b.c":foo) | fields x)`,
		`{host.name="x"} foo`:                 `("host.name":="x") ("a":foo or "b.c":foo)`,
		`_time:5m foo`:                        `_time:5m ("a":foo or "b.c":foo)`,
		`x:>5 y:range(1, 7] foo`:              `x:>5 y:range(1, 7] ("a":foo or "b.c":foo)`,
		`x:"a(b | c" "|"`:                     `x:"a(b | c" ("a":"|" or "b.c":"|")`,
		`x:ipv4_range("10.0.0.0/8") "or" "("`: `x:ipv4_range(10.0.0.0, 10.255.255.255) ("a":"or" or "b.c":"or") ("a":"(" or "b.c":"(")`,
	} {
		q, err := logstorage.ParseQuery(query)
		if err != nil {
			t.Errorf("%q: %v", query, err)
			continue
		}
		x := explicit{names: names}
		got := x.query(q.String())
		if got != want {
			t.Errorf("%q became %q, want %q", query, got, want)
		}
		again, err := logstorage.ParseQuery(got)
		if err != nil {
			t.Errorf("%q: %q: %v", query, got, err)
		} else if twice := x.query(again.String()); x.query(twice) != twice || x.fault != "" {
			t.Errorf("%q is changed anew: %q %s", query, twice, x.fault)
		}
	}
}

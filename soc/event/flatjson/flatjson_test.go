package flatjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"icewatch/soc/event"
)

// field is a member as tests write it: name, kind, value.
type field struct {
	name  string
	kind  event.Kind
	value string
}

func read(d *Decoder, text string) ([]field, error) {
	members, err := d.Parse(text)
	var list []field
	for _, m := range members {
		list = append(list, field{m.Name.Text, m.Kind, m.Value})
	}
	return list, err
}

// reference flattens with encoding/json, token by token.
func reference(text string, maxDepth int) ([]field, error) {
	text = strings.TrimPrefix(text, bom)
	if !json.Valid([]byte(text)) {
		return nil, errors.New("invalid")
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var out []field
	// value reads one value; muted within what is too deep.
	var value func(name string, depth int, muted bool) error
	value = func(name string, depth int, muted bool) error {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		add := func(kind event.Kind, text string) {
			if !muted {
				out = append(out, field{name, kind, text})
			}
		}
		switch t := t.(type) {
		case json.Delim:
			deep := depth > 0 && !muted && (depth >= maxDepth || len(name) > MaxName)
			some := false
			for ; dec.More(); some = true {
				child := name
				if t == '{' {
					key, err := dec.Token()
					if err != nil {
						return err
					}
					if child = key.(string); name != "" {
						child = name + "." + child
					}
				}
				if err := value(child, depth+1, muted || deep); err != nil {
					return err
				}
			}
			if deep || !some && depth > 0 {
				add(event.Null, "")
			}
			_, err = dec.Token()
			return err
		case string:
			add(event.String, t)
		case json.Number:
			add(event.Number, t.String())
		case bool:
			add(event.Bool, fmt.Sprint(t))
		default:
			add(event.Null, "")
		}
		return nil
	}
	if first := strings.TrimLeft(text, " \t\r\n"); first[0] != '{' {
		return nil, errors.New("no object")
	}
	if err := value("", 0, false); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return out, nil
}

func TestParse(t *testing.T) {
	t.Parallel()
	s, n, b, null := event.String, event.Number, event.Bool, event.Null
	long := strings.Repeat("n", MaxName+1)
	f := func(name string, opts Options, text string, want ...field) {
		t.Helper()
		d := New(opts)
		for range 3 { // The second and third time the names are known.
			got, err := read(d, text)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
	strict := Options{}
	f("empty", strict, `{}`)
	f("scalars", strict, ` {"a" : "x", "b":-1.50e+2 ,"c":true,"d":false,"e":null }`+"\r\n",
		field{"a", s, "x"}, field{"b", n, "-1.50e+2"}, field{"c", b, "true"}, field{"d", b, "false"}, field{"e", null, ""})
	f("nested", strict, `{"a":{"b":{"c":1}},"d":[1,{"e":"x"},[2,null]],"f":{},"g":[]}`,
		field{"a.b.c", n, "1"}, field{"d", n, "1"}, field{"d.e", s, "x"}, field{"d", n, "2"}, field{"d", null, ""}, field{"f", null, ""}, field{"g", null, ""})
	f("duplicates stay in order", strict, `{"a":1,"b":2,"a":3}`, field{"a", n, "1"}, field{"b", n, "2"}, field{"a", n, "3"})
	f("one name by two paths", strict, `{"a":{"b":1},"a.b":2}`, field{"a.b", n, "1"}, field{"a.b", n, "2"})
	f("empty names", strict, `{"":1,"a":{"":2},"":{"x":3}}`, field{"", n, "1"}, field{"a.", n, "2"}, field{"x", n, "3"})
	f("byte order mark", strict, "\ufeff{\"a\":1}", field{"a", n, "1"})
	f("escapes", strict, `{"a":"\"\\\/\b\f\n\r\t","b":"C:\\Windows\\System32\\cmd.exe","c":"\u00e9\u4e2d\ud83d\ude00"}`,
		field{"a", s, "\"\\/\b\f\n\r\t"}, field{"b", s, `C:\Windows\System32\cmd.exe`}, field{"c", s, "é中😀"})
	f("escapes in names", strict, `{"a\\b":1,"a\tb":2,"a\u0062":3,"ab":4}`,
		field{`a\b`, n, "1"}, field{"a\tb", n, "2"}, field{"ab", n, "3"}, field{"ab", n, "4"})
	f("lone surrogates", strict, `{"a":"\ud800","b":"\udc00x","c":"\ud800\ud83d\ude00","d":"\ud800\u0041"}`,
		field{"a", s, "\ufffd"}, field{"b", s, "\ufffdx"}, field{"c", s, "\ufffd😀"}, field{"d", s, "\ufffdA"})
	f("bytes that are not UTF-8", strict, "{\"a\":\"x\xff\xfey\",\"b\":\"\\n\xe4\\t\",\"k\xff\":1}",
		field{"a", s, "x\ufffd\ufffdy"}, field{"b", s, "\n\ufffd\t"}, field{"k\ufffd", n, "1"})
	f("other scripts", strict, `{"用户":"张三在北京登录系统","é":"ééééééééé"}`, field{"用户", s, "张三在北京登录系统"}, field{"é", s, "ééééééééé"})
	f("a NUL", strict, `{"a":"x\u0000y"}`, field{"a", s, "x\x00y"})
	f("a NUL as text", Options{NULText: true}, `{"a":"x\u0000y","b\u0000":1}`, field{"a", s, `x\u0000y`}, field{`b\u0000`, n, "1"})
	f("control characters", Options{Controls: true}, "{\"a\":\"x\x01\ty\",\"b\":\"\\\\\n\"}", field{"a", s, "x\x01\ty"}, field{"b", s, "\\\n"})
	f("too deep", Options{MaxDepth: 2}, `{"a":{"b":[1,"\u00e9\\"],"c":2},"d":[[1]]}`, field{"a.b", null, ""}, field{"a.c", n, "2"}, field{"d", null, ""})
	f("too deep as text", Options{MaxDepth: 1, DeepText: true}, `{"a":{"b": "\n}"},"c":[ ],"d":1}`, field{"a", s, `{"b": "\n}"}`}, field{"c", s, `[ ]`}, field{"d", n, "1"})
	f("empty ones left out", Options{DropEmpty: true}, `{"a":{},"b":[],"c":[{},1]}`, field{"c", n, "1"})
	f("a name too long to go below", strict, `{"`+long+`":{"x":1},"`+long+`":2}`, field{long, null, ""}, field{long, n, "2"})
}

func TestErrors(t *testing.T) {
	t.Parallel()
	f := func(text string, offset int, reason string) {
		t.Helper()
		d := New(Options{})
		if _, err := d.Parse(`{"a":{"b":1},"c":[]}`); err != nil {
			t.Fatal(err)
		}
		_, err := d.Parse(text)
		for _, err := range []error{err, Valid([]byte(text))} {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset != offset || !strings.Contains(syntax.Reason, reason) {
				t.Errorf("%.40q: %v; want offset %d and %q", text, err, offset, reason)
			}
		}
		if got, err := read(d, `{"a":{"b":2}}`); err != nil || len(got) != 1 {
			t.Errorf("after %.40q: %v, %v", text, got, err)
		}
	}
	f("", 0, "only blanks")
	f("  \n", 3, "only blanks")
	f(`[1]`, 0, `a JSON object was expected, not '['`)
	f(`"a"`, 0, `not '"'`)
	f(`{"a":1}x`, 7, `'x' follows`)
	f(`{"a":1}{}`, 7, `'{' follows`)
	f(`{`, 1, `the name of a member in quotes was expected, not the end`)
	f(`{a:1}`, 1, `not 'a'`)
	f(`{"a"}`, 4, `a colon was expected behind the name of a member, not '}'`)
	f(`{"a":}`, 5, `a value was expected, not '}'`)
	f(`{"a":`, 5, `the text ends where a value`)
	f(`{"a":1`, 6, `the object is not closed`)
	f(`{"a":1 "b":2}`, 7, `a comma or } was expected behind a member, not '"'`)
	f(`{"a":1,}`, 7, `the name of a member in quotes was expected, not '}'`)
	f(`{"a":[1,]}`, 8, `a value was expected, not ']'`)
	f(`{"a":[1`, 7, `the array is not closed`)
	f(`{"a":[1 2]}`, 8, `a comma or ] was expected behind an element, not '2'`)
	f(`{"a":tru}`, 5, `begins like true`)
	f(`{"a":NaN}`, 5, `not 'N'`)
	f(`{"a":01}`, 5, `must not begin with 0`)
	f(`{"a":-}`, 6, `a digit was expected in a number, not '}'`)
	f(`{"a":+1}`, 5, `not '+'`)
	f(`{"a":1.}`, 7, `behind the point of a number`)
	f(`{"a":1e+}`, 8, `in the exponent of a number`)
	f(`{"abcdefghijkl`, 1, `no closing quote`)
	f(`{"a":"é`, 5, `no closing quote`)
	f(`{"a":"\`, 5, `no closing quote`)
	f(`{"a":"\n`, 5, `no closing quote`)
	f(`{"a":"x\x"}`, 7, `a backslash and 'x' are no escape`)
	f(`{"a":"\u12g4"}`, 6, `four hexadecimal digits`)
	f(`{"a":"\u12`, 6, `four hexadecimal digits`)
	f("{\"a\":\"x\ty\"}", 7, "the control character U+0009")
	f("{\"a\":\"\\n\x01\"}", 8, "the control character U+0001")
	f("{\"a\":\"é\x01\"}", 8, "the control character U+0001")
	f(`{"a":`+strings.Repeat("[", 20_000), 5+maxNesting-1, `nested deeper than 10000`)
}

// TestStreams mixes shapes, so that names are guessed right, guessed wrong and
// looked up, and compares every object with encoding/json.
func TestStreams(t *testing.T) {
	t.Parallel()
	shapes := []string{
		`{"Channel":"Security","EventID":4688,"NewProcessName":"C:\\a.exe"}`,
		`{"Channel":"Security","EventID":4624,"TargetUserName":"x","Data":[{"Name":"a","Value":"1"},{"Name":"b"},{"Value":"2","Name":"c"}]}`,
		`{"Channel":"Sysmon","Image":"C:\\b.exe","EventID":1}`,
		`{"EventID":1,"Channel":"Sysmon"}`,
		`{"Channe":1,"Channel":2,"Channel2":{"EventID":{"x":1}}}`,
		`{"Channel" :1, "EventID" : [ 1, 2 ]}`,
		`{}`,
	}
	d := New(Options{})
	for i := range 500 {
		text := shapes[(i*i+i/7)%len(shapes)]
		got, err := read(d, text)
		want, _ := reference(text, defaultDepth)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("object %d, %s: got %q, %v, want %q", i, text, got, err, want)
		}
		d.Rewind()
	}
}

// TestValuesStay keeps the values of many objects, as a batch of events does.
func TestValuesStay(t *testing.T) {
	t.Parallel()
	d := New(Options{})
	var kept []string
	text := func(i int) string { return fmt.Sprintf(`{"a":"%d\\%s","b":"plain"}`, i, strings.Repeat("x", i%700)) }
	for i := range 2000 {
		members, err := d.Parse(text(i))
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, members[0].Value)
	}
	for i, v := range kept {
		if want := fmt.Sprintf(`%d\%s`, i, strings.Repeat("x", i%700)); v != want {
			t.Fatalf("value %d became %.20q", i, v)
		}
	}
}

// TestNamesAreBounded lets a hostile sender invent names without end.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	d := New(Options{})
	most := 0
	for i := range 3 * maxNames {
		if _, err := d.Parse(fmt.Sprintf(`{"known":1,"k%d":2}`, i)); err != nil {
			t.Fatal(err)
		}
		most = max(most, d.names.count)
	}
	if most > maxNames+2 {
		t.Errorf("%d names are kept", most)
	}
	if got, err := read(d, `{"known":1}`); err != nil || got[0].name != "known" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	known, _ := reg.Intern("x.y")
	var ev event.Event
	ev.Add(event.Message, "before")
	d := New(Options{Registry: reg})
	if err := d.Event(`{"x":{"y":[1,2],"z":3}}`, &ev); err != nil {
		t.Fatal(err)
	}
	want := []event.Field{{ID: event.Message, Value: "before"}, {ID: known, Kind: event.Number, Value: "1"}, {ID: known, Kind: event.Number, Value: "2"}, {Kind: event.Number, Value: "3"}}
	if !slices.Equal(ev.Fields, want) {
		t.Errorf("%+v", ev.Fields)
	}
	if err := d.Event(`{"x":{"y":1}, `, &ev); err == nil || len(ev.Fields) != 4 {
		t.Errorf("%v, %+v", err, ev.Fields)
	}
	if _, ok := reg.Lookup("x.z"); ok {
		t.Error("a name was interned unasked")
	}
	if err := New(Options{Registry: reg, Intern: true}).Event(`{"x":{"z":3}}`, &ev); err != nil || reg.Name(ev.Fields[4].ID) != "x.z" {
		t.Errorf("%v, %+v", err, ev.Fields)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	reg := event.NewRegistry(0)
	d := New(Options{Registry: reg, Intern: true})
	line := `{"Channel":"Security","Data":[{"Name":"a\\b","Value":"1"}],"x":{"y":-1.5e3,"z":"中文\n"}}`
	var ev event.Event
	n := testing.AllocsPerRun(100, func() {
		ev.Reset()
		d.Rewind()
		if err := d.Event(line, &ev); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations an event", n)
	}
	bytes := []byte(line)
	if n := testing.AllocsPerRun(100, func() { _ = Valid(bytes) }); n > 0 {
		t.Errorf("%v allocations to validate", n)
	}
}

// FuzzParse compares with encoding/json what is accepted and what comes out,
// and all the options with each other.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":[1,{"b":null}],"c":"\u00e9\ud83d\ude00"}`, `{"a":01}`, `{"a":1e5,"b":-0.5}`, `{"a":1}x`, `{"a" : [ ] }`, `{"a":tru}`,
		`{"a":"\x"}`, `{"a":"\ud800\u0041"}`, "{\"a\xff\":\"\xe4\\n\xb8\"}", `{"a":{"":{"a":[[],{}]}},"a.":1}`, "\ufeff{}", `{"a":"C:\\Windows\\x","a":"\u0000"}`,
		`{"a":` + strings.Repeat(`[`, 70) + strings.Repeat(`]`, 70) + `}`, `{"12345678":"12345678","1234567\\":"1234567\\12345678\""}`, "{\"a\":\"\x7f\x1f\"}",
	} {
		f.Add([]byte(s))
	}
	d := New(Options{})
	intake := New(Options{MaxDepth: 3, DeepText: true, DropEmpty: true, Controls: true, NULText: true})
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		want, wrong := reference(text, defaultDepth)
		for range 2 {
			d.Rewind()
			got, err := read(d, text)
			if (err == nil) != (wrong == nil) {
				t.Fatalf("%q: %v, encoding/json: %v", text, err, wrong)
			}
			if err == nil && !slices.Equal(got, want) {
				t.Fatalf("%q: got %q, want %q", text, got, want)
			}
		}
		if err := Valid(data); (err == nil) != (wrong == nil) {
			t.Fatalf("%q is valid: %v, encoding/json: %v", text, err, wrong)
		}
		loose, err := read(intake, text)
		if wrong == nil && err != nil {
			t.Fatalf("%q: %v with loose options", text, err)
		}
		for _, m := range loose {
			if !utf8.ValidString(m.name) || m.kind == event.String && m.value != "" && m.value[0] != '{' && m.value[0] != '[' && !utf8.ValidString(m.value) {
				t.Fatalf("%q: %q", text, m)
			}
			if m.kind == event.Number && !json.Valid([]byte(m.value)) {
				t.Fatalf("%q: number %q", text, m.value)
			}
		}
		if string(data) != text || !bytes.Equal(data, []byte(text)) {
			t.Fatal("the text was changed")
		}
	})
}

package pack

import (
	"strings"
	"testing"
	"testing/fstest"

	"icewatch/soc/event"
)

const head = "vendor: V\nproduct: P\nmodule: v_p\nclass: security\nreference: https://example.com/logs\n"

func compileText(t *testing.T, text string) (*Set, []Problem) {
	t.Helper()
	return compileWith(text, event.NewRegistry(0))
}

func compileWith(text string, reg *event.Registry) (*Set, []Problem) {
	return Compile([]Source{{Name: "test", FS: fstest.MapFS{"v/p/pack.yml": {Data: []byte(text)}}}}, reg)
}

func TestFaultsAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "the file is empty",
		"vendor: V\n":                "vendor, product and module are wanted",
		head:                         "logs is empty",
		head + "logs: [{}]\n":        `name is wanted`,
		head + "logs: [{name: a}]\n": "one of pattern, regexp, csv, when",
		head + "logs: [{name: a, pattern: '{x}'}]\n":                                            "give anchors or programs",
		head + "logs: [{name: a, regexp: 'x'}]\n":                                               "wants anchors",
		head + "logs: [{name: a, regexp: '(', anchors: abc}]\n":                                 "missing closing )",
		head + "logs: [{name: a, pattern: 'abc {x}', fields: {source.ip: y}}]\n":                `nothing captures "y"`,
		head + "logs: [{name: a, pattern: 'abc {x}', fields: {source.ip: {from: x, as: z}}}]\n": `as "z"`,
		head + "logs: [{name: a, pattern: 'abc {x}', set: {icewatch.zone: dmz}}]\n":             "the suite's own",
		head + "logs: [{name: a, pattern: 'abc {x}', colour: red}]\n":                           "field colour not found",
		head + "logs: [{name: a, when: {x: y}}]\n":                                              `format ""`,
		head + "logs: [{name: a, pattern: 'abc {x}', time: {from: x, layout: zzz}}]\n":          "writes no part of a time",
		head + "logs: [{name: a, pattern: 'abc {x}'}, {name: a, pattern: 'abd {x}'}]\n":         "another log of the pack has this name",
		strings.Replace(head, "security", "cloud", 1) + "logs: [{name: a, pattern: 'abc'}]\n":   `class "cloud"`,
		strings.Replace(head, "https://example.com/logs", "a book", 1) + "logs: []\n":           "logs is empty",
	} {
		_, problems := compileText(t, text)
		if len(problems) != 1 || !strings.Contains(problems[0].Reason, want) || problems[0].Path != "test/v/p/pack.yml" {
			t.Errorf("%s\ngot %+v, want %s", text, problems, want)
		}
	}
}

// TestLaterFoldersGoBefore puts a pack in the place of another, and leaves the
// sound logs of a pack in force beside one that is not.
func TestLaterFoldersGoBefore(t *testing.T) {
	t.Parallel()
	first := fstest.MapFS{"v/p/pack.yml": {Data: []byte(head + "logs: [{name: a, pattern: 'abc {event.action:word}'}]\n")}}
	second := fstest.MapFS{"v/p/pack.yml": {Data: []byte(head + "logs:\n  - {name: b, pattern: 'abc {event.action:word}'}\n  - {name: c}\n")}}
	s, problems := Compile([]Source{{Name: "one", FS: first}, {Name: "two", FS: second}}, event.NewRegistry(0))
	if len(problems) != 1 || problems[0].Line != 8 || !strings.Contains(problems[0].Reason, `log "c"`) {
		t.Errorf("problems %+v", problems)
	}
	var m Match
	if !s.Text("xyz abc done", "", &m) {
		// The pattern begins with the text.
		if !s.Text("abc done", "", &m) || m.Log.ID != "v/p/b" {
			t.Errorf("recognised as %+v", m.Log)
		}
		return
	}
	t.Errorf("a text that only holds the anchor is taken")
}

func TestRecognition(t *testing.T) {
	t.Parallel()
	s, problems := compileText(t, head+`logs:
  - {name: special, pattern: 'login of {user.name:word} failed', priority: 1}
  - {name: general, pattern: 'login of {user.name:word}'}
  - {name: daemon, programs: myd, pattern: '{message:some}'}
  - {name: columns, anchors: [',AUDIT,'], csv: {columns: [a, type, user.name]}, where: {type: AUDIT}}
  - {name: expression, anchors: ['id='], regexp: '^id=(?P<event__code>\d+)$'}
  - {name: record, format: json, when: {kind: audit, 'user.id': '*'}}
`)
	for _, p := range problems {
		t.Fatal(p)
	}
	var m Match
	for _, c := range []struct{ text, program, want string }{
		{"login of eve failed", "", "special"},
		{"login of eve", "", "general"},
		{"whatever", "myd", "daemon"},
		{"login of eve", "myd", "daemon"},
		{"whatever", "other", ""},
		{`1,AUDIT,"a,b"`, "", "columns"},
		{"1,2,,AUDIT,", "", ""},
		{"id=12", "", "expression"},
		{"id=1x", "", ""},
	} {
		got := ""
		if s.Text(c.text, c.program, &m) {
			got = m.Log.Name
		}
		if got != c.want {
			t.Errorf("%q of %q: %q, want %q", c.text, c.program, got, c.want)
		}
	}
	reg := event.NewRegistry(0)
	s, _ = Compile([]Source{{Name: "test", FS: fstest.MapFS{"v/p/pack.yml": {Data: []byte(head + "logs: [{name: record, format: json, when: {kind: [audit, trail], user.id: '*'}}]\n")}}}}, reg)
	kind, _ := reg.Intern("kind")
	user, _ := reg.Intern("user.id")
	if !s.Members(JSON, []event.Field{{ID: user, Value: "7"}, {ID: kind, Value: "trail"}}, &m) || m.Log.Name != "record" {
		t.Error("the record is not recognised")
	}
	if s.Members(JSON, []event.Field{{ID: kind, Value: "trail"}}, &m) || s.Members(KV, []event.Field{{ID: user, Value: "7"}, {ID: kind, Value: "trail"}}, &m) {
		t.Error("another record is taken for it")
	}
}

func TestAutomatonFindsAllThatContains(t *testing.T) {
	t.Parallel()
	words := []string{"he", "she", "his", "hers", "abab", "babb", "%ASA-", "ASA-6"}
	anchors := map[string][]*Log{}
	for _, w := range words {
		anchors[w] = []*Log{{LogInfo: LogInfo{Name: w}}}
	}
	a, ok := newAutomaton(anchors)
	if !ok {
		t.Fatal("too many")
	}
	for _, text := range []string{"ushers", "ababbab", "%ASA-6-302013", "hishe", "", "nothing", "\xffshe\x00"} {
		found := map[string]bool{}
		for _, l := range a.find(text, nil) {
			found[l.Name] = true
		}
		for _, w := range words {
			if found[w] != strings.Contains(text, w) {
				t.Errorf("%q in %q: %v", w, text, found[w])
			}
		}
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	drafts := Suggest([]string{
		`2026-11-23 10:00:01 session opened for alice from 10.1.2.3:5511 id=77 reason="by hand"`,
		`2026-11-23 10:00:02 session closed for bob from 10.1.2.4:5512 id=78 reason="time out"`,
		"something else",
		"",
	})
	if len(drafts) != 2 || drafts[0].Lines != 2 {
		t.Fatalf("%+v", drafts)
	}
	want := `{@timestamp} session {word:word} for {word_2:word} from {ip:ip}:{port:port} id={id:int} reason="{reason}"`
	if drafts[0].Pattern != want {
		t.Errorf("got  %s\nwant %s", drafts[0].Pattern, want)
	}
	for _, line := range []string{drafts[0].Example, drafts[1].Example} {
		matched := false
		for _, d := range drafts {
			matched = matched || readBy(t, d.Pattern, line) != "no match"
		}
		if !matched {
			t.Errorf("no draft reads %q", line)
		}
	}
}

// FuzzSuggest drafts a pattern for a line, which must read that line.
func FuzzSuggest(f *testing.F) {
	f.Add(`2026-11-23 10:00:01 session "a" for alice from 10.1.2.3:5511 {id}=77 'x`)
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 500 {
			return
		}
		for _, d := range Suggest([]string{line}) {
			_, _ = compilePattern(d.Pattern, kinds(), (&Log{}).slot)
		}
		_ = Shape(line)
	})
}

func FuzzPairs(f *testing.F) {
	f.Add(`action:"Accept"; flags:"1;2"; x`, "; ", ":")
	f.Fuzz(func(t *testing.T, text, separator, assign string) {
		if separator == "" || assign == "" || len(text) > 2000 {
			return
		}
		p := Pairs{Separator: separator, Assign: assign}
		p.each(text, counting{})
	})
}

// counting takes pairs and does nothing.
type counting struct{ Writer }

func (counting) Pair(string, string, string) {}

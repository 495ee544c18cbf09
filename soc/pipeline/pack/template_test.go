package pack

import (
	"strings"
	"testing"

	"icewatch/soc/event"
)

// put records what a match writes, by the names of the fields.
type put struct {
	reg *event.Registry
	got map[string]string
}

func (p *put) Put(id event.FieldID, _ event.Kind, value string) {
	if !p.Given(id) {
		p.got[p.reg.Name(id)] = value
	}
}
func (p *put) Add(id event.FieldID, value string) { p.got[p.reg.Name(id)] += "," + value }
func (p *put) Given(id event.FieldID) bool        { _, ok := p.got[p.reg.Name(id)]; return ok }
func (p *put) Named(id event.FieldID) string      { return p.got[p.reg.Name(id)] }
func (p *put) Pair(_, _, _ string)                {}
func (p *put) Request(string)                     {}
func (p *put) Time(_, _ string)                   {}
func (p *put) Invalid(event.FieldID, string)      {}

const catalogue = head + `
prefixes: ['', data.]
templates:
  box:
    head: '%BOX-{event.severity:port}-{event.code=$code}: '
    anchors: ['%BOX-']
    set: {event.category: network, event.type: info}
  record:
    format: json
    when: {Channel|log.channel: Box, ID|log.id: $code}
    fields: {user.name: Who}
logs:
  - {code: [101, 102], name: opened, use: box, pattern: 'opened for {user.name:word}', set: {event.type: start}, risk: NAI.VAI}
  - {code: 1011, name: closed, use: box, pattern: 'closed', level: high}
  - {name: other, priority: -1, pattern: '%BOX-{event.severity:port}-{event.code:digits}: {event.reason}'}
  - {code: 7, name: seven, use: record, switch: {Kind: {a|b: {event.action: one}, '*': {event.action: two}}}, risk: {Kind: {a: MI.CVI.ransomware, '*': MI}}}
  - {name: any, priority: -1, format: json, when: {Channel|log.channel: Box}, set: {event.action: any}}
`

// TestCatalogue finds messages of a catalogue by the code in their head, and
// records by the code in one of two fields, with what templates say.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	s, problems := compileWith(catalogue, reg)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for text, want := range map[string]string{
		"%BOX-4-101: opened for alice": "v/p/opened",
		"%BOX-4-102: opened for alice": "v/p/opened",
		"%BOX-4-1011: closed":          "v/p/closed",
		"%BOX-4-102: shut for alice":   "v/p/other",
		"%BOX-4-103: opened for alice": "v/p/other",
	} {
		var m Match
		if !s.Text(text, "", &m) || m.Log.ID != want {
			t.Errorf("%s: %+v, want %s", text, m.Log, want)
			continue
		}
		w := &put{reg, map[string]string{}}
		m.Apply(w)
		if m.Log.Name == "opened" && (w.got["event.type"] != "start" || w.got["event.category"] != "network" || w.got[RiskSubclass] != "VAI" || w.got["user.name"] != "alice") {
			t.Errorf("%s becomes %v", text, w.got)
		}
		if m.Log.Name == "closed" && w.got[RiskLevel] != "high" {
			t.Errorf("%s becomes %v", text, w.got)
		}
	}
	for _, c := range []struct {
		in            map[string]string
		log, act, typ string
	}{
		{map[string]string{"Channel": "Box", "ID": "7", "Kind": "b", "Who": "bob"}, "seven", "one", ""},
		{map[string]string{"log.channel": "Box", "log.id": "7", "data.Kind": "a", "data.Who": "bob"}, "seven", "one", "ransomware"},
		{map[string]string{"log.channel": "Box", "log.id": "8"}, "any", "any", ""},
	} {
		var fields []event.Field
		w := &put{reg, map[string]string{}}
		for name, v := range c.in {
			id, _ := reg.Intern(name)
			fields = append(fields, event.Field{ID: id, Value: v})
			w.got[name] = v
		}
		var m Match
		if !s.Members(JSON, fields, &m) || m.Log.Name != c.log {
			t.Errorf("%v: %+v, want %s", c.in, m.Log, c.log)
			continue
		}
		m.Apply(w)
		if w.got["event.action"] != c.act || w.got[RiskType] != c.typ || c.log == "seven" && (w.got["user.name"] != "bob" || w.got[RiskClass] != "MI") {
			t.Errorf("%v becomes %v", c.in, w.got)
		}
	}
	if l, _ := s.Log("v/p/seven"); len(l.Risks()) != 2 {
		t.Errorf("risks %v", l.Risks())
	}
}

func TestFaultsOfTemplates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"logs: [{name: a, use: x, pattern: 'abc'}]":                                                       `no template "x"`,
		"templates: {x: {use: y}}\nlogs: [{name: a, use: x, pattern: 'abc'}]":                             "not a template's",
		"templates: {x: {head: 'abc {c=$code} ', anchors: abc}}\nlogs: [{name: a, use: x, pattern: 'd'}]": "code is wanted",
		"logs: [{name: a, code: 1, head: 'abc ', anchors: abc, pattern: 'd'}]":                            "where the code stands",
		"logs: [{name: a, code: 1, head: 'abc {c=$code} ', pattern: 'd'}]":                                "it wants anchors",
		"logs: [{name: a, code: 'a|b', head: 'abc {c=$code} ', anchors: abc, pattern: 'd'}]":              "code",
		"logs: [{name: a, code: 1, head: 'abc {c=$code} ', anchors: abc, format: json, when: {x: y}}]":    "head goes with pattern",
		"logs: [{name: a, pattern: 'abc', level: bad}]":                                                   `level "bad"`,
		"logs: [{name: a, pattern: 'abc', risk: A.B.C.D}]":                                                "one to three tiers",
		"logs: [{name: a, pattern: 'abc', risk: {x: {y: NAI}}}]":                                          `nothing captures "x"`,
	} {
		if _, problems := compileText(t, head+text+"\n"); len(problems) != 1 || !strings.Contains(problems[0].Reason, want) {
			t.Errorf("%s\ngot %+v, want %s", text, problems, want)
		}
	}
}

// FuzzPack reads any text as a pack.yml: it is refused with a reason or
// recognises lines and records without a crash.
func FuzzPack(f *testing.F) {
	f.Add(catalogue)
	f.Add(head + "logs: [{name: a, csv: {columns: [a, b], separator: tab}, anchors: abc, pairs: {of: a}}]\n")
	f.Add(head + "logs: [{name: a, regexp: '^(?P<source__ip>\\S+)', programs: x, where: {source.ip: '*'}, time: {from: source.ip}}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		reg := event.NewRegistry(1000)
		s, problems := compileWith(text, reg)
		for _, p := range problems {
			if p.Reason == "" {
				t.Fatalf("a problem without a reason: %+v", p)
			}
		}
		for _, line := range []string{"", "abc\tx", "%BOX-4-101: opened for alice", "%BOX-4-102: ", "a=b;c=\"d", text} {
			var m Match
			if s.Text(line, "x", &m) {
				m.Apply(&put{reg, map[string]string{}})
			}
		}
		fields := []event.Field{{ID: 1, Value: "x"}}
		for _, name := range []string{"Channel", "ID", "data.Kind"} {
			if id, ok := reg.Intern(name); ok {
				fields = append(fields, event.Field{ID: id, Value: "7"})
			}
		}
		var m Match
		if s.Members(JSON, fields, &m) {
			m.Apply(&put{reg, map[string]string{}})
		}
	})
}

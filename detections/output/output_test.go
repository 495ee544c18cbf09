package output

import (
	"errors"
	"strings"
	"testing"

	"icewatch/detections"
	"icewatch/detections/sigma"
)

// parse reads a rule with these outputs.
func parse(t testing.TB, outputs string) ([]sigma.Output, []*sigma.Error) {
	t.Helper()
	text := "title: T\nid: r\nlogsource: {product: linux}\ndetection: {s: {a: b}, condition: s}\nicewatch:\n  outputs:\n"
	for line := range strings.SplitSeq(strings.TrimRight(outputs, "\n"), "\n") {
		text += "    " + line + "\n"
	}
	rules, errs := sigma.Parse([]byte(text), nil)
	if len(errs) > 0 {
		return nil, errs
	}
	return rules[0].Custom.Outputs, nil
}

const tree = `
- when:
    admin: {user.name: [root, admin]}
    night: {icewatch.hour|gte: 22}
    inside: {source.ip|cidr: 10.0.0.0/8}
    condition: admin and (night or not inside)
  level: critical
  fields: {grade: A}
  then:
    - when: {won: {alert.verdict: success}, condition: won}
      title: {zh: 已失陷, en: Taken}
    - fields: {grade: B}
- when: {admin: {user.name: root}, condition: admin}
  level: high
- level: low
`

func TestChoose(t *testing.T) {
	t.Parallel()
	list, errs := parse(t, tree)
	if errs != nil {
		t.Fatal(errs)
	}
	s, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fields  string
		verdict detections.Verdict
		want    string
		said    string
	}{
		{"user.name=root icewatch.hour=23 source.ip=10.1.1.1", "", "1.2", "critical "},
		{"user.name=root icewatch.hour=12 source.ip=203.0.113.9", "", "1.2", "critical "},
		{"user.name=admin source.ip=203.0.113.9", detections.Success, "1.1", "critical "},
		{"user.name=root icewatch.hour=12 source.ip=10.1.1.1", "", "2", "high"},
		{"user.name=admin icewatch.hour=12 source.ip=10.1.1.1", "", "3", "low"},
		{`user.name=["amy","root"] icewatch.hour=23`, "", "1.2", "critical "},
		{"", "", "3", "low"},
	} {
		o := &detections.Occurrence{Fields: map[string]string{}}
		o.Verdict = c.verdict
		for pair := range strings.FieldsSeq(c.fields) {
			name, value, _ := strings.Cut(pair, "=")
			o.Fields[name] = value
		}
		var said []string
		if got := s.Choose(o, func(out *sigma.Output) { said = append(said, string(out.Level)) }); got != c.want || strings.Join(said, " ") != c.said {
			t.Errorf("%s: %q says %q, want %q, %q", c.fields, got, said, c.want, c.said)
		}
	}
}

// What has no output that always holds may say nothing.
func TestNoneHolds(t *testing.T) {
	t.Parallel()
	list, errs := parse(t, "- when: {a: {user.name: x}, condition: a}\n  level: high")
	if errs != nil {
		t.Fatal(errs)
	}
	s, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Choose(&detections.Occurrence{}, func(*sigma.Output) { t.Error("it is used") }); got != "" {
		t.Errorf("%q", got)
	}
	if s, err := Compile(nil); s != nil || err != nil {
		t.Errorf("no outputs: %v %v", s, err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	deep := "- level: high\n  then:\n    - level: low\n      then:\n        - level: low\n          then:\n            - level: low\n              then:\n                - level: low"
	for want, text := range map[string]string{
		"it says nothing":         "- when: {a: {user.name: x}, condition: a}",
		"is not known; known are": "- levels: high",
		"level \"odd\"":           "- level: odd",
		"never counts":            "- level: high\n- level: low",
		"nested more than 4":      deep,
		"the field \"A b\"":       "- fields: {A b: x}",
		"id of an article":        "- knowledge: 'a b'",
		"list of maps":            "- a",
		"condition":               "- when: {a: {user.name: x}}\n  level: high",
		"more than 50":            strings.Repeat("- when: {a: {user.name: x}, condition: a}\n  level: high\n", 51),
		"at most 1000":            "- fields: {a: " + strings.Repeat("x", 1001) + "}",
	} {
		if _, errs := parse(t, text); len(errs) == 0 || !strings.Contains(errs[0].Error(), want) || errs[0].Line == 0 {
			t.Errorf("%v, want %q with its line", errs, want)
		}
	}
	list, errs := parse(t, "- when: {a: [word], condition: a}\n  level: high")
	if errs != nil {
		t.Fatal(errs)
	}
	var at *sigma.Error
	if _, err := Compile(list); !errors.As(err, &at) || at.Line == 0 || !strings.Contains(err.Error(), "all values") {
		t.Errorf("a search in all values: %v", err)
	}
}

// TestAllocations holds that choosing costs memory for conditions that hold alone.
func TestAllocations(t *testing.T) {
	list, errs := parse(t, tree)
	if errs != nil {
		t.Fatal(errs)
	}
	s, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	use := func(*sigma.Output) { n++ }
	for user, most := range map[string]float64{"amy": 0, "root": 2} {
		o := &detections.Occurrence{Fields: map[string]string{"user.name": user, "icewatch.hour": "23", "source.ip": "10.1.1.1"}}
		s.Choose(o, use)
		if got := testing.AllocsPerRun(100, func() { s.Choose(o, use) }); got > most {
			t.Errorf("%s: %v allocations, want %v", user, got, most)
		}
	}
}

func FuzzOutputs(f *testing.F) {
	f.Add(strings.TrimSpace(tree))
	f.Add("- level: low")
	f.Fuzz(func(t *testing.T, text string) {
		rules, errs := sigma.Parse([]byte("title: T\nid: r\nlogsource: {product: linux}\ndetection: {s: {a: b}, condition: s}\nicewatch:\n  outputs:\n"+text), nil)
		if len(errs) > 0 {
			return
		}
		for _, r := range rules {
			s, err := Compile(r.Custom.Outputs)
			if err != nil || s == nil {
				continue
			}
			s.Choose(&detections.Occurrence{Fields: map[string]string{"a": "b", "user.name": "root"}}, func(*sigma.Output) {})
		}
	})
}

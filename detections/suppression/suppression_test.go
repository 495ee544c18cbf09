package suppression

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
)

var now = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

const backup = `id: backup-reads-shadow
name: The backup reads the shadow file
rules: [read-shadow]
assets: {classes: [server]}
tenants: [alpha]
detection:
  job:
    process.executable|endswith: /borg
    user.name: [backup, borg]
  night:
    event.hour|lt: 6
  version: {process.version: 1.10}
  condition: job and not night
owner: zhang.san
reason: The nightly backup reads every file
expires: 2027-01-31T00:00:00+08:00
`

func occurrence() *detections.Occurrence {
	return &detections.Occurrence{ID: "o", Rule: detections.RuleRef{ID: "read-shadow", Level: detections.High}, Tenant: "alpha", Time: now, Count: 1,
		Group:     []detections.Pair{{Field: "host.name", Value: "web-1"}},
		Fields:    map[string]string{"process.executable": "/usr/bin/borg", "user.name": "backup", "event.hour": "9", "icewatch.ci.id": "ci-1", "icewatch.ci.class": "server"},
		Judgement: detections.Judgement{Attacker: &detections.Party{IP: "203.0.113.9"}, Risk: detections.Risk{Class: "HAI"}}}
}

func parse(t *testing.T, text string) []Suppression {
	t.Helper()
	list, faults := Parse("x.yml", []byte(text))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return list
}

func compile(t *testing.T, list ...Suppression) *Set {
	t.Helper()
	set, faults := Compile(list)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return set
}

func TestMatch(t *testing.T) {
	t.Parallel()
	set := compile(t, parse(t, backup)...)
	for _, c := range []struct {
		name string
		turn func(o *detections.Occurrence)
		at   time.Time
		want string
	}{
		{"all holds", func(*detections.Occurrence) {}, now, "backup-reads-shadow"},
		{"another rule", func(o *detections.Occurrence) { o.Rule.ID = "other" }, now, ""},
		{"another tenant", func(o *detections.Occurrence) { o.Tenant = "beta" }, now, ""},
		{"another class", func(o *detections.Occurrence) { o.Fields["icewatch.ci.class"] = "firewall" }, now, ""},
		{"no class", func(o *detections.Occurrence) { delete(o.Fields, "icewatch.ci.class") }, now, ""},
		{"another user", func(o *detections.Occurrence) { o.Fields["user.name"] = "root" }, now, ""},
		{"one of several users", func(o *detections.Occurrence) { o.Fields["user.name"] = `["root","borg"]` }, now, "backup-reads-shadow"},
		{"by night", func(o *detections.Occurrence) { o.Fields["event.hour"] = "5" }, now, ""},
		{"a moment before the end", func(*detections.Occurrence) {}, time.Date(2027, 1, 30, 15, 59, 59, 0, time.UTC), "backup-reads-shadow"},
		{"at the end", func(*detections.Occurrence) {}, time.Date(2027, 1, 30, 16, 0, 0, 0, time.UTC), ""},
		{"for several firings", func(o *detections.Occurrence) { o.Firings = 2 }, now, ""},
		{"for several that agree", func(o *detections.Occurrence) { o.Firings, o.Shared = 2, set.Fields("read-shadow") }, now, "backup-reads-shadow"},
	} {
		o := occurrence()
		c.turn(o)
		if got := set.Match(o, AssetOf(o), c.at); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := set.Fields("other"); got != nil {
		t.Errorf("fields of a rule without suppressions: %v", got)
	}
}

func TestFactsAndAnyRule(t *testing.T) {
	t.Parallel()
	list := []Suppression{
		{ID: "b", Name: "n", Owner: "o", Reason: "r", Expires: now.Add(time.Hour), Detection: map[string]any{"s": map[string]any{"alert.attacker.ip|cidr": "203.0.113.0/24", "alert.risk.class": "HAI", "host.name": "web-1"}, "condition": "s"}},
		{ID: "a", Name: "n", Owner: "o", Reason: "r", Expires: now.Add(time.Hour), Rules: []string{"read-shadow"}, Assets: Assets{Items: []string{"ci-1"}}},
	}
	o := occurrence()
	if got := compile(t, list...).Match(o, AssetOf(o), now); got != "a" {
		t.Errorf("%q: of several the one with the least id is named", got)
	}
	if got := compile(t, list[0]).Match(o, AssetOf(o), now); got != "b" {
		t.Errorf("%q: attacker, risk and group are known", got)
	}
	o.Attacker.IP = "198.51.100.1"
	if got := compile(t, list[0]).Match(o, AssetOf(o), now); got != "" {
		t.Errorf("%q for another attacker", got)
	}
	list[1].Disabled = true
	if got := compile(t, list...).Match(o, AssetOf(o), now); got != "" {
		t.Errorf("%q although it is disabled", got)
	}
}

func TestFormatIsReadAgain(t *testing.T) {
	t.Parallel()
	list := parse(t, backup+"---\n"+strings.Replace(backup, "backup-reads-shadow", "second", 1))
	text, err := Format(list)
	if err != nil {
		t.Fatal(err)
	}
	again := parse(t, string(text))
	for i := range again {
		if !again[i].Expires.Equal(list[i].Expires) {
			t.Error("the end changed")
		}
		again[i].Expires = list[i].Expires
	}
	if !reflect.DeepEqual(list, again) {
		t.Errorf("%+v\n%+v\n%s", list, again, text)
	}
	if v := list[0].Detection["version"].(map[string]any)["process.version"]; v != "1.10" {
		t.Errorf("version %v", v)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		"reason: The nightly backup reads every file=>":            "reason: want",
		"owner: zhang.san=>":                                       "owner: want",
		"expires: 2027-01-31T00:00:00+08:00=>":                     "expires: it is missing",
		"2027-01-31T00:00:00+08:00=>soon":                          `line 16|expires: "soon": want a day`,
		"condition: job and not night=>condition: job and not day": "detection: ",
		"process.executable|endswith=>process.executable|ends":     "detection: ",
		"classes: [server]=>kinds: [server]":                       "line 4|assets.kinds is not known",
		"name: The=>nmae: The":                                     `line 2|"nmae" is not known`,
		"version: {process.version: 1.10}=>version: [borg]":        "name the field",
		"id: backup-reads-shadow=>id: a b":                         "id: ",
	} {
		from, to, _ := strings.Cut(change, "=>")
		_, faults := Parse("x.yml", []byte(strings.Replace(backup, from, to, 1)))
		if len(faults) != 1 {
			t.Errorf("%s: %v", change, faults)
			continue
		}
		got := fmt.Sprintf("line %d|%s", faults[0].Line, faults[0].Reason)
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", change, got, want)
		}
	}
	s := parse(t, backup)[0]
	for at, want := range map[time.Time]string{now: "", s.Expires: "has passed", now.AddDate(-1, 0, 0): "more than a year"} {
		err := s.Check(at)
		if got := fmt.Sprint(err); (want == "") != (err == nil) || !strings.Contains(got, want) {
			t.Errorf("checked at %s: %v, want %q", at, err, want)
		}
	}
	s.Detection, s.Assets, s.Tenants = nil, Assets{}, nil
	if err := s.Check(now); err == nil || !strings.Contains(err.Error(), "disable the rule") {
		t.Errorf("a whole rule: %v", err)
	}
}

// crowd is as many suppressions as said, each for a rule of its own but one in
// ten, which are for any rule.
func crowd(n int) (list []Suppression) {
	for i := range n {
		s := Suppression{ID: fmt.Sprintf("s%05d", i), Name: "n", Owner: "o", Reason: "r", Expires: now.Add(time.Hour), Rules: []string{fmt.Sprintf("rule-%d", i)},
			Detection: map[string]any{"s": map[string]any{"user.name": fmt.Sprintf("user-%d", i), "process.command_line|contains": fmt.Sprintf("job %d ", i)}, "condition": "s"}}
		if i%10 == 0 {
			s.Rules = nil
		}
		list = append(list, s)
	}
	return list
}

func TestAllocatesNothing(t *testing.T) {
	set := compile(t, crowd(100)...)
	o := occurrence()
	o.Rule.ID = "rule-11"
	a := AssetOf(o)
	if n := testing.AllocsPerRun(1000, func() { set.Match(o, a, now) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		set, _ := Compile(crowd(n))
		o := occurrence()
		o.Fields["process.command_line"] = "/usr/bin/borg create --stats repo::job 11 /srv"
		o.Rule.ID = "rule-1"
		a := AssetOf(o)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.Match(o, a, now)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(backup))
	f.Add([]byte("id: a\nname: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, _ := Parse("x.yml", data)
		if set, faults := Compile(list); len(faults) == 0 {
			o := occurrence()
			set.Match(o, AssetOf(o), now)
		}
	})
}

func TestFormatNone(t *testing.T) {
	t.Parallel()
	if out, err := Format(nil); err != nil || len(out) != 0 {
		t.Fatalf("no suppressions are %q, %v", out, err)
	}
}

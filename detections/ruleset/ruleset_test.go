package ruleset

import (
	"errors"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"icewatch/detections"
	"icewatch/soc/event"
)

func files(list map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range list {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func sigmaRule(id, value string) string {
	return "title: T " + value + "\nid: " + id + "\nlogsource: {product: p}\ndetection:\n  s: {a: " + value + "}\n  condition: s\n"
}

// broken fails on one file.
type broken struct{ fstest.MapFS }

func (b broken) Open(name string) (fs.File, error) {
	if name == "bad.yml" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("disk on fire")}
	}
	return b.MapFS.Open(name)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	b := Load([]Source{
		{Name: "one", FS: broken{files(map[string]string{"a.yml": "x", "bad.yml": "y", "sub/b.yaml": "z", "p.rego": "package p",
			"a.test.yml": "t", "p_test.rego": "t", "README.md": "r", ".hidden.yml": "h", ".git/c.yml": "g"})}},
		{Name: "nothing", FS: nil},
	})
	var got []string
	for _, f := range b.Files {
		got = append(got, f.Path)
	}
	if want := []string{"one/a.yml", "one/p.rego", "one/sub/b.yaml"}; !reflect.DeepEqual(got, want) {
		t.Errorf("files %v", got)
	}
	if len(b.Problems) != 2 || b.Problems[0].Path != "one/bad.yml" || !strings.Contains(b.Problems[0].Reason, "disk on fire") {
		t.Errorf("problems %v", b.Problems)
	}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data)
	if err != nil || !reflect.DeepEqual(back, b) {
		t.Errorf("got %+v, %v", back, err)
	}
	for _, bad := range [][]byte{nil, []byte("x"), data[:len(data)/2]} {
		if _, err := Decode(bad); err == nil {
			t.Errorf("%d bytes of nonsense are taken", len(bad))
		}
	}
}

func TestCompile(t *testing.T) {
	t.Parallel()
	count := "title: C\nid: c\ncorrelation:\n  type: event_count\n  rules: [%]\n  timespan: 1m\n  group-by: [h]\n  condition: {gte: 3}\n"
	b := Load([]Source{
		{Name: "builtin", FS: files(map[string]string{
			"a.yml": sigmaRule("a", "x"), "b.yml": sigmaRule("b", "x"), "twice.yml": sigmaRule("b", "y"), "wrong.yml": "title: W\nid: w\n",
			"c.yml": strings.Replace(count, "%", "a", 1), "d.yml": strings.Replace(strings.Replace(count, "%", "nowhere", 1), "id: c", "id: d", 1),
			"e.yml": strings.Replace(strings.Replace(count, "%", "d", 1), "id: c", "id: e", 1),
		})},
		{Name: "mine", FS: files(map[string]string{"own.yml": sigmaRule("b", "mine")})},
	})
	set, problems := Compile(b, event.NewRegistry(0))
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"builtin/wrong.yml:1: neither", `builtin/d.yml:4: the rule "nowhere" it refers to does not exist`, `builtin/e.yml:4: the rule "d" it refers to is rejected`} {
		if !strings.Contains(text, want) {
			t.Errorf("no problem %q in\n%s", want, text)
		}
	}
	if len(problems) != 3 {
		t.Errorf("problems:\n%s", text)
	}
	status := map[string]string{}
	for _, r := range set.Rules() {
		status[r.Path] = r.Status
	}
	want := map[string]string{"builtin/a.yml": Active, "mine/own.yml": Active, "builtin/c.yml": Active, "builtin/wrong.yml": Rejected, "builtin/d.yml": Rejected, "builtin/e.yml": Rejected}
	if !reflect.DeepEqual(status, want) {
		t.Errorf("rules %v", status)
	}
	for _, r := range set.Detections() {
		if r.Silent != (r.ID == "a") {
			t.Errorf("rule %s: silent %v", r.ID, r.Silent)
		}
	}
}

func TestSameIDInOneFolderIsAMistake(t *testing.T) {
	t.Parallel()
	set, problems := Compile(Load([]Source{{Name: "r", FS: files(map[string]string{"a.yml": sigmaRule("x", "1"), "b.yml": sigmaRule("x", "2")})}}), event.NewRegistry(0))
	if len(problems) != 1 || problems[0].Path != "r/b.yml" || !strings.Contains(problems[0].Reason, "already used by r/a.yml:1") {
		t.Errorf("problems %v", problems)
	}
	if len(set.Detections()) != 1 || set.Detections()[0].Info.Path != "r/a.yml" {
		t.Error("the first rule has to stay")
	}
}

func TestRegistryFull(t *testing.T) {
	t.Parallel()
	set, problems := Compile(Load([]Source{{Name: "r", FS: files(map[string]string{"a.yml": sigmaRule("x", "1"), "b.yml": strings.Replace(sigmaRule("y", "2"), "{a:", "{another:", 1)})}}), event.NewRegistry(1))
	if len(problems) != 1 || !strings.Contains(problems[0].Reason, "registry of field names is full") || len(set.Detections()) != 1 {
		t.Errorf("problems %v", problems)
	}
}

// TestRouting sends events of several origins past rules of several log sources.
func TestRouting(t *testing.T) {
	t.Parallel()
	table := `
unspecific: {event.module: [json]}
named: [zeek]
logsources:
  - {product: linux, trust: true, any: [{event.module: sshd}]}
  - {product: windows, any: [{Channel: '*'}, {event.module: windows}]}
  - {product: windows, category: process_creation, any: [{Channel: Sysmon, EventID: 1}, {Channel: Security, EventID: 4688}]}
  - {category: webserver, any: [{event.module: [nginx, apache]}]}
`
	rule := func(id, source string) string { return strings.Replace(sigmaRule(id, "x"), "{product: p}", source, 1) }
	b := Load([]Source{{Name: "r", FS: files(map[string]string{"logsources.yml": table,
		"a.yml": rule("win", "{product: windows}"), "b.yml": rule("proc", "{product: windows, category: process_creation}"),
		"c.yml": rule("web", "{category: webserver}"), "d.yml": rule("unknown", "{product: toaster, service: x}"), "e.yml": rule("partly", "{product: windows, service: unheard}"), "f.yml": rule("named", "{product: zeek, service: rdp}"), "g.yml": rule("linux", "{product: linux}")})}})
	reg := event.NewRegistry(0)
	lenient, problems := CompileWith(b, reg, Options{Lenient: true})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	strict, _ := Compile(b, reg)
	f := func(fields map[string]string, wantLenient, wantStrict string) {
		t.Helper()
		ev := &event.Event{}
		fields["a"] = "x"
		for name, v := range fields {
			id, _ := reg.Intern(name)
			ev.Add(id, v)
		}
		for set, want := range map[*Set]string{lenient: wantLenient, strict: wantStrict} {
			var got []string
			set.Program().NewMatcher().Match(ev, func(r int, _ func() []detections.Match) { got = append(got, set.Detections()[r].ID) })
			if strings.Join(got, " ") != want {
				t.Errorf("%v, strict %v: got %v, want %v", fields, set == strict, got, want)
			}
		}
	}
	f(map[string]string{"Channel": "sysmon", "EventID": "1"}, "win proc web unknown partly named linux", "win proc unknown partly linux")
	f(map[string]string{"Channel": "Sysmon", "EventID": "3"}, "win web unknown partly named linux", "win unknown partly linux")
	f(map[string]string{"EventID": "4688"}, "win proc web unknown partly named linux", "unknown linux")
	f(map[string]string{"event.module": "nginx"}, "web unknown", "web unknown")
	f(map[string]string{"event.module": "sshd"}, "unknown linux", "unknown linux")
	f(map[string]string{"event.module": "json"}, "win proc web unknown partly named linux", "unknown linux")
	f(map[string]string{"event.module": "zeek"}, "unknown named", "unknown named")
	f(map[string]string{"event.dataset": "zeek.rdp"}, "win proc web unknown partly named linux", "unknown named linux")
	f(map[string]string{}, "win proc web unknown partly named linux", "unknown linux")
}

// TestPublicRulesLoadFast loads the public rule repository as it stands.
func TestPublicRulesLoadFast(t *testing.T) {
	const dir = "../../../shared/corpora/sigma/rules"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the public rules are not here: %v", err)
	}
	start := time.Now()
	b := Load([]Source{{Name: "public", FS: os.DirFS(dir)}})
	set, problems := Compile(b, event.NewRegistry(0))
	t.Logf("%d files, %d rules in %v", len(b.Files), len(set.Detections()), time.Since(start))
	for _, p := range problems {
		t.Errorf("%v", p)
	}
	if len(b.Files) != len(set.Detections()) {
		t.Errorf("%d files make %d rules", len(b.Files), len(set.Detections()))
	}
}

package ruleset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"icewatch/soc/event"
)

// TestCacheReusesWhatDidNotChange compiles a bundle with one file changed, one
// moved and one gone.
func TestCacheReusesWhatDidNotChange(t *testing.T) {
	t.Parallel()
	var c Cache
	reg := event.NewRegistry(0)
	f := func(list map[string]string, parsed, reused, rules int, opts Options) *Set {
		t.Helper()
		set, problems := c.Compile(Load([]Source{{Name: "r", FS: files(list)}}), reg, opts)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := set.Timing(); got.Parsed != parsed || got.Reused != reused || len(set.Detections()) != rules {
			t.Errorf("parsed %d, reused %d, %d rules; want %d, %d, %d", got.Parsed, got.Reused, len(set.Detections()), parsed, reused, rules)
		}
		return set
	}
	a, b, changed := sigmaRule("a", "1"), sigmaRule("b", "2"), sigmaRule("b", "3")
	first := f(map[string]string{"a.yml": a, "b.yml": b}, 2, 0, 2, Options{})
	second := f(map[string]string{"a.yml": a, "b.yml": changed}, 1, 1, 2, Options{})
	if first.Detections()[0].Rule != second.Detections()[0].Rule {
		t.Error("a rule whose file did not change is parsed again")
	}
	if moved := f(map[string]string{"z.yml": a, "b.yml": changed}, 0, 2, 2, Options{}); moved.Detections()[1].Info.Path != "r/z.yml" {
		t.Errorf("a moved file goes by its old path: %+v", moved.Detections()[1].Info)
	}
	f(map[string]string{"b.yml": changed}, 0, 1, 1, Options{})
	if len(c.parsed) != 1 {
		t.Errorf("the cache holds %d files, the last bundle has one", len(c.parsed))
	}
	if set := f(map[string]string{"b.yml": changed}, 0, 1, 1, Options{FaultsOnly: true}); set.Program() != nil {
		t.Error("a program is made although only faults are asked for")
	}
	f(map[string]string{"b.yml": changed}, 1, 0, 1, Options{Placeholders: map[string][]string{"x": {"y"}}})
}

// TestFaultsOnlyNamesTheSameFaults holds the short way against the whole one.
func TestFaultsOnlyNamesTheSameFaults(t *testing.T) {
	t.Parallel()
	list := map[string]string{"a.yml": sigmaRule("a", "1"), "wrong.yml": "title: W\nid: w\n",
		"same.yml": sigmaRule("a", "2"), "regex.yml": strings.Replace(sigmaRule("r", "'(?<x'"), "{a:", "{a|re:", 1)}
	b := Load([]Source{{Name: "r", FS: files(list)}})
	whole, want := Compile(b, event.NewRegistry(0))
	var c Cache
	for range 2 { // the second time by what the first remembers
		short, got := c.Compile(b, event.NewRegistry(0), Options{FaultsOnly: true})
		if fmt.Sprint(got) != fmt.Sprint(want) || len(want) != 3 {
			t.Errorf("got %v\nwant %v", got, want)
		}
		if fmt.Sprint(short.Rules()) != fmt.Sprint(whole.Rules()) {
			t.Errorf("got %v\nwant %v", short.Rules(), whole.Rules())
		}
	}
}

// counting counts what is opened.
type counting struct {
	fstest.MapFS
	opened map[string]int
}

func (c counting) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, ".yml") {
		c.opened[name]++
	}
	return c.MapFS.Open(name)
}

func TestLoaderReadsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	old := time.Now().Add(-time.Hour)
	m := files(map[string]string{"a.yml": "1", "b.yml": "1", "new.yml": "1"})
	m["a.yml"].ModTime, m["b.yml"].ModTime = old, old
	m["new.yml"].ModTime = time.Now()
	fsys := counting{m, map[string]int{}}
	l := NewLoader([]Source{{Name: "r", FS: fsys}})
	first := l.Load(false)
	if !first.Origin.Written.IsZero() {
		t.Error("a first load was not caused by a change")
	}
	l.Load(false)
	if fsys.opened["a.yml"] != 1 || fsys.opened["new.yml"] != 2 {
		t.Errorf("opened %v: a file that may have been written just now has to be read again", fsys.opened)
	}
	m["b.yml"] = &fstest.MapFile{Data: []byte("2"), ModTime: old.Add(time.Minute)}
	changed := l.Load(false)
	if changed.Version == first.Version || fsys.opened["a.yml"] != 1 || fsys.opened["b.yml"] != 2 || !changed.Origin.Written.Equal(m["b.yml"].ModTime) {
		t.Errorf("opened %v, written %v", fsys.opened, changed.Origin.Written)
	}
	delete(m, "b.yml")
	if b := l.Load(false); b.Version == changed.Version || len(b.Files) != 2 {
		t.Errorf("a file that is gone stays: %v", b.Files)
	}
	l.Load(true)
	if fsys.opened["a.yml"] != 2 {
		t.Error("nothing is read anew although it was asked for")
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "a.yml"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link.yml": filepath.Join(other, "a.yml"), "folder.yml": other, "nowhere.yml": filepath.Join(other, "none")} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if b := Load([]Source{{Name: "r", FS: os.DirFS(dir)}}); len(b.Files) != 1 || b.Files[0].Path != "r/link.yml" || len(b.Problems) != 0 {
		t.Errorf("files %v, problems %v", b.Files, b.Problems)
	}
}

// BenchmarkOneRuleMore is what a change of one rule among the public ones
// costs the centre and the engine.
func BenchmarkOneRuleMore(b *testing.B) {
	const dir = "../../../shared/corpora/sigma/rules"
	if _, err := os.Stat(dir); err != nil {
		b.Skipf("the public rules are not here: %v", err)
	}
	mine := files(map[string]string{"a.yml": sigmaRule("mine", "0")})
	l := NewLoader([]Source{{Name: "public", FS: os.DirFS(dir)}, {Name: "mine", FS: mine}})
	var centre, eng Cache
	reg := event.NewRegistry(0)
	steps := map[string]time.Duration{}
	for i := range b.N + 1 { // the first fills the caches
		if i == 1 {
			clear(steps)
			b.ResetTimer()
		}
		lap := time.Now()
		took := func(step string) { steps[step] += time.Since(lap); lap = time.Now() }
		mine["a.yml"].Data = []byte(sigmaRule("mine", fmt.Sprint(i)))
		bundle := l.Load(false)
		took("read")
		centre.Compile(bundle, reg, Options{FaultsOnly: true})
		took("check")
		data, err := bundle.Encode()
		if err != nil {
			b.Fatal(err)
		}
		took("encode")
		if bundle, err = Decode(data); err != nil {
			b.Fatal(err)
		}
		took("decode")
		set, _ := eng.Compile(bundle, reg, Options{})
		took("compile")
		steps["program"] += set.Timing().Program
	}
	for step, d := range steps {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N), step+"-ms")
	}
}

package filetail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/soc/intake"
)

// bench is a folder with a log file, a collector and a sink.
type bench struct {
	t    *testing.T
	dir  string
	sink collecttest.Sink
	tune func(*Config)
	c    *Collector
}

func newBench(t *testing.T, tune func(*Config)) *bench {
	b := &bench{t: t, dir: t.TempDir(), tune: tune}
	t.Cleanup(b.stop)
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) start() {
	b.t.Helper()
	cfg := NewFactory().DefaultConfig().(*Config)
	cfg.Paths = []string{b.path("app.log")}
	cfg.PositionFile = b.path("state/positions.json")
	cfg.PollInterval = 5 * time.Millisecond
	cfg.RotateWait = 100 * time.Millisecond
	cfg.Host = "host-1"
	if b.tune != nil {
		b.tune(cfg)
	}
	c, err := New(*cfg, collectors.Deps{Sink: &b.sink, Aside: &collecttest.Aside{}})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := c.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.c = c
}

func (b *bench) stop() {
	if b.c != nil {
		b.c.Stop(context.Background())
		b.c = nil
	}
}

// kill ends the collector as SIGKILL would: what the sink has taken stays, and
// the position file is put back to what it was before.
func (b *bench) kill(positions []byte) {
	b.t.Helper()
	b.stop()
	if err := os.WriteFile(b.path("state/positions.json"), positions, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	f, err := os.OpenFile(b.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) rename(from, to string) {
	b.t.Helper()
	if err := os.Rename(b.path(from), b.path(to)); err != nil {
		b.t.Fatal(err)
	}
}

// distinct returns the texts without those that repeat an ID, as the pipeline
// stores them.
func (b *bench) distinct() []string {
	var texts []string
	seen := map[string]bool{}
	for _, r := range b.sink.Records() {
		if !seen[r.ID] {
			seen[r.ID] = true
			texts = append(texts, string(r.Data))
		}
	}
	return texts
}

// expect waits until the stored texts are these, in any order, and stay so.
func (b *bench) expect(want ...string) {
	b.t.Helper()
	slices.Sort(want)
	var got []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		got = b.distinct()
		slices.Sort(got)
		if slices.Equal(got, want) {
			time.Sleep(40 * time.Millisecond)
			if got = b.distinct(); len(got) == len(want) {
				return
			}
		}
	}
	b.t.Fatalf("got %q\nwant %q", got, want)
}

// long makes a line that is long enough to tell files apart by.
func long(s string) string { return s + " " + strings.Repeat(".", 100) }

func TestFollows(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("app.log", "one\ntwo\r\n\nthr")
	b.start()
	b.expect("one", "two")
	b.write("app.log", "ee\nfour\n")
	b.expect("one", "two", "three", "four")
	r := b.sink.Records()[2]
	if r.Format != intake.Line || !slices.Contains(r.Attrs, intake.Attr{Name: "log.file.path", Value: b.path("app.log")}) ||
		!slices.Contains(r.Attrs, intake.Attr{Name: "log.offset", Value: "10"}) || !slices.Contains(r.Attrs, intake.Attr{Name: "host.name", Value: "host-1"}) {
		t.Errorf("record %+v", r)
	}
	if h := b.c.Health(); h.Received != 4 || h.State != collectors.StateOK {
		t.Errorf("health %+v", h)
	}
}

func TestRestartNeitherLosesNorDoubles(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("app.log", long("one")+"\nhal")
	b.start()
	b.expect(long("one"))
	b.stop()
	b.write("app.log", "f\ntwo\n")
	b.start()
	b.expect(long("one"), "half", "two")
	if n := len(b.sink.Records()); n != 3 {
		t.Errorf("%d records came for 3 lines", n)
	}
}

func TestKillBetweenAppendAndSave(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("app.log", "")
	b.start()
	var before []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if before, _ = os.ReadFile(b.path("state/positions.json")); strings.Contains(string(before), "app.log") {
			break
		}
	}
	b.write("app.log", "one\ntwo\n")
	b.expect("one", "two")
	b.kill(before)
	b.write("app.log", "three\n")
	b.start()
	b.expect("one", "two", "three")
	if n := len(b.sink.Records()); n != 5 {
		t.Errorf("%d records came: the kill was not simulated", n)
	}
}

func TestRenameRotation(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("app.log", "one\n")
	b.start()
	b.expect("one")
	b.rename("app.log", "app.log.1")
	b.write("app.log.1", "two\n") // The writer has not noticed yet.
	b.write("app.log", "three\n")
	b.write("app.log.1", "unfinished")
	b.expect("one", "two", "three", "unfinished") // The end of a rotated file is final.
	b.write("app.log", "four\n")
	b.expect("one", "two", "three", "unfinished", "four")
}

func TestRenameRotationWithinTheGlob(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Paths = []string{filepath.Join(filepath.Dir(c.Paths[0]), "app.log*")} })
	b.write("app.log", long("one")+"\n")
	b.start()
	b.expect(long("one"))
	b.rename("app.log", "app.log.1")
	b.write("app.log", long("two")+"\n")
	b.expect(long("one"), long("two"))
	b.stop()
	b.rename("app.log.1", "app.log.2")
	b.rename("app.log", "app.log.1")
	b.write("app.log", long("three")+"\n")
	b.write("app.log.2", "late\n")
	b.start()
	b.expect(long("one"), long("two"), long("three"), "late")
}

func TestRenameWhileStopped(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("app.log", long("one")+"\n")
	b.start()
	b.expect(long("one"))
	b.stop()
	b.write("app.log", "two\n")
	b.rename("app.log", "app.log.1")
	b.write("app.log", "three\n")
	b.start()
	b.expect(long("one"), "two", "three")
}

func TestCopyTruncate(t *testing.T) {
	t.Parallel()
	for name, tune := range map[string]func(*Config){
		"copy outside the glob": nil,
		"copy inside the glob":  func(c *Config) { c.Paths = []string{c.Paths[0] + "*"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tune)
			b.write("app.log", long("one")+"\n")
			b.start()
			b.expect(long("one"))
			// A line written between the last read and the truncation is in the
			// copy alone.
			text, _ := os.ReadFile(b.path("app.log"))
			os.WriteFile(b.path("app.log.1"), append(text, "two\n"...), 0o600)
			os.Truncate(b.path("app.log"), 0)
			b.write("app.log", "three\n")
			b.expect(long("one"), "two", "three")
			b.stop()
			b.write("app.log", "four\n")
			b.start()
			b.expect(long("one"), "two", "three", "four")
		})
	}
}

func TestTruncatedAndOvergrown(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("app.log", "one\n")
	b.start()
	b.expect("one")
	// The new content is longer than the old when it is seen first.
	os.WriteFile(b.path("app.log"), []byte("a longer first line\nand more\n"), 0o600)
	b.expect("one", "a longer first line", "and more")
}

func TestTruncatedToTheSameSize(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("app.log", "one\n")
	b.start()
	b.expect("one")
	time.Sleep(20 * time.Millisecond)
	os.WriteFile(b.path("app.log"), []byte("two\n"), 0o600)
	b.expect("one", "two")
}

func TestDeleteAndRecreate(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("app.log", "one\n")
	b.start()
	b.expect("one")
	os.Remove(b.path("app.log"))
	time.Sleep(20 * time.Millisecond)
	b.write("app.log", "two\n")
	b.expect("one", "two")
}

func TestSameBannerIsNoCopy(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Paths = []string{filepath.Join(filepath.Dir(c.Paths[0]), "*.log")} })
	banner := long("banner")
	b.write("a.log", banner+"\n")
	b.start()
	b.expect(banner)
	b.write("b.log", banner+"\nb\n")
	b.expect(banner, banner, "b")
}

func TestReadFromEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) {
		c.ReadFrom = "end"
		c.Paths = []string{filepath.Join(filepath.Dir(c.Paths[0]), "*.log")}
	})
	b.write("app.log", "old\n")
	b.start()
	for b.c.Health().State != collectors.StateOK {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	b.write("app.log", "new\n")
	b.write("later.log", "from the beginning\n")
	b.expect("new", "from the beginning")
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.MaxLine = 2 << 20 })
	giant := strings.Repeat("g", 3<<20)
	b.write("app.log", strings.Repeat("x", 1<<20)+"\n"+giant+"\nafter\n")
	b.start()
	r := b.sink.Wait(t, 3)
	for i, rec := range r[:2] {
		if len(rec.Data) != intake.MaxData || !slices.Equal(rec.Marks, []string{"truncated"}) || rec.Aside == "" {
			t.Errorf("record %d has %d bytes, marks %q, aside %q", i, len(rec.Data), rec.Marks, rec.Aside)
		}
	}
	if string(r[2].Data) != "after" {
		t.Errorf("the line behind is %.40q", r[2].Data)
	}
	b.stop()
	b.write("app.log", "end\n")
	b.start()
	if r := b.sink.Wait(t, 4); string(r[3].Data) != "end" {
		t.Errorf("after the restart %.40q", r[3].Data)
	}
}

func TestPartialTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.PartialTimeout = 30 * time.Millisecond })
	b.write("app.log", "prompt> ")
	b.start()
	b.expect("prompt> ")
	if r := b.sink.Records()[0]; !slices.Equal(r.Marks, []string{"partial"}) {
		t.Errorf("marks %q", r.Marks)
	}
	b.write("app.log", "answer\n")
	b.expect("prompt> ", "answer")
}

func TestFullSinkLosesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.sink.Refuse(intake.ErrFull)
	var want []string
	var text strings.Builder
	for i := range 20_000 {
		want = append(want, fmt.Sprintf("line %d", i))
		text.WriteString(want[i] + "\n")
	}
	b.write("app.log", text.String())
	b.start()
	for end := time.Now().Add(10 * time.Second); b.c.Health().State != collectors.StateError; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("health while full: %+v", b.c.Health())
		}
	}
	b.stop() // It must not hang.
	b.start()
	b.sink.Refuse(nil)
	b.expect(want...)
	if n := len(b.sink.Records()); n != len(want) {
		t.Errorf("%d records", n)
	}
}

func TestExcludesAndPacked(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) {
		c.Paths = []string{filepath.Join(filepath.Dir(c.Paths[0]), "*")}
		c.Exclude = []string{"secret*"}
	})
	b.write("secret.log", "no\n")
	b.write("old.gz", "no\n")
	b.write("app.log", "yes\n")
	b.start()
	b.expect("yes")
}

func TestDamagedPositionFileFailsFast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := NewFactory().DefaultConfig().(*Config)
	cfg.Paths, cfg.PositionFile = []string{filepath.Join(dir, "x")}, filepath.Join(dir, "positions.json")
	os.WriteFile(cfg.PositionFile, []byte("{"), 0o600)
	c, err := New(*cfg, collectors.Deps{Sink: new(collecttest.Sink)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("start: %v", err)
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	f := func(tune func(*Config)) {
		t.Helper()
		cfg := NewFactory().DefaultConfig().(*Config)
		cfg.Paths, cfg.PositionFile = []string{"/var/log/x"}, "/nowhere/p"
		tune(cfg)
		if _, err := NewFactory().New(cfg, collectors.Deps{Sink: new(collecttest.Sink)}); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	f(func(c *Config) { c.ID = "" })
	f(func(c *Config) { c.Paths = nil })
	f(func(c *Config) { c.Paths = []string{"["} })
	f(func(c *Config) { c.PositionFile = "" })
	f(func(c *Config) { c.ReadFrom = "middle" })
	f(func(c *Config) { c.PollInterval = 0 })
}

//go:build linux

package extension

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/influxdata/telegraf"

	pack "icewatch/collectors/fleet/extension/extensiontest"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
)

// shop is a store with the suite's key.
type shop struct {
	*Store
	t   *testing.T
	key ed25519.PrivateKey
}

func open(t *testing.T) *shop {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &shop{NewStore(filepath.Join(t.TempDir(), "extensions"), func() ed25519.PublicKey { return pub }), t, key}
}

func (s *shop) sign(name, version string, data []byte) wire.Extension {
	sum := sha256.Sum256(data)
	e := wire.Extension{Name: name, Version: version, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))}
	e.Signature = ed25519.Sign(s.key, e.Signed())
	return e
}

// give installs an archive.
func (s *shop) give(e wire.Extension, data []byte, keep ...string) error {
	return s.Install(s.t.Context(), e, keep, func(_ context.Context, dir string) (string, error) {
		path := filepath.Join(dir, "got")
		return path, os.WriteFile(path, data, 0o600)
	})
}

func manifest(version, rest string) string { return "name: depth\nversion: " + version + "\n" + rest }

// TestInstall takes what is signed, and refuses by name what is not, what was changed on its way and what was
// changed on the host since.
func TestInstall(t *testing.T) {
	t.Parallel()
	s := open(t)
	one := pack.Script(t, manifest("1.0.0", "format: influx"), "echo depth value=1")
	e := s.sign("depth", "1.0.0", one)

	foreign := e
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	foreign.Signature = ed25519.Sign(other, e.Signed())
	renamed := e
	renamed.Version = "1.0.1"
	for name, c := range map[string]struct {
		e    wire.Extension
		data []byte
		want string
	}{
		"another's signature": {foreign, one, "depth 1.0.0"},
		"another version":     {renamed, one, "not signed"},
		"changed on its way":  {e, append(slices.Clone(one), 0), "changed on its way"},
		"says another name":   {s.sign("width", "1.0.0", one), one, "it says that it is depth"},
		"a path that leads":   {wire.Extension{Name: "../x", Version: "1"}, one, "the name"},
	} {
		if err := s.give(c.e, c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if list := s.Installed(); len(list) != 0 {
		t.Fatalf("%+v is there of what was refused", list)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*", "versions", "*")); len(left) != 0 {
		t.Errorf("%v is left of what was refused", left)
	}
	if err := s.give(e, one); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check("depth", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(s.versions("depth"), "1.0.0", "files", "bin", "run")
	was, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	tampered := func(what, want string) {
		t.Helper()
		if _, err := s.New(Settings{Package: "depth", Version: "1.0.0"}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "depth 1.0.0") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(program, []byte(strings.Replace(string(was), "echo", "curl", 1)), 0o700))
	tampered("a program that was changed", "bin/run was changed")
	must(os.Remove(program))
	must(os.Symlink("/bin/sh", program))
	tampered("a link in its place", "bin/run was changed")
	must(os.Remove(program))
	must(os.WriteFile(program, was, 0o700))
	more := filepath.Join(filepath.Dir(program), "lib.so")
	must(os.WriteFile(more, []byte("x"), 0o600))
	tampered("a file more", "lib.so was changed")
	must(os.Remove(more))
	archive := filepath.Join(s.versions("depth"), "1.0.0", archiveFile)
	must(os.WriteFile(archive, append(slices.Clone(one), 1), 0o600))
	tampered("another archive", "the archive was changed")
	// Installed again it is as it was signed.
	must(s.give(e, one))
	if _, err := s.New(Settings{Package: "depth", Version: "1.0.0"}); err != nil {
		t.Fatal(err)
	}

	two := pack.Script(t, manifest("2.0.0", "format: influx"), "echo depth value=2")
	must(s.give(s.sign("depth", "2.0.0", two), two, "1.0.0"))
	if list := s.Installed(); len(list) != 1 || list[0].Version != "2.0.0" {
		t.Errorf("%+v", list)
	}
	if _, err := s.Check("depth", "1.0.0"); err != nil {
		t.Errorf("the version that is in use went: %v", err)
	}
	must(s.give(e, one, "2.0.0")) // Back again.
	if list := s.Installed(); len(list) != 1 || list[0].Version != "1.0.0" {
		t.Errorf("after going back: %+v", list)
	}
	must(s.give(s.sign("depth", "2.0.0", two), two))
	if _, err := s.Check("depth", "1.0.0"); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("the version that nobody needs stays: %v", err)
	}
	must(s.Remove("depth"))
	if list := s.Installed(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// plugin installs a script and makes its input.
func (s *shop) plugin(version, rest, script string, options map[string]string) *Plugin {
	s.t.Helper()
	data := pack.Script(s.t, manifest(version, rest), script)
	if err := s.give(s.sign("depth", version, data), data); err != nil {
		s.t.Fatal(err)
	}
	p, err := s.New(Settings{Package: "depth", Version: version, Options: options})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Stop)
	return p
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestRuns runs real programs once each time: with options, an environment and a folder of their own;
// what they print arrives, what they complain about is told, and one that hangs is ended.
func TestRuns(t *testing.T) {
	t.Setenv("SECRET_OF_THE_AGENT", "x")
	s := open(t)
	var acc gathered
	p := s.plugin("1.0.0", "format: influx\nargs: [a b, $HOME]\noptions: [{name: queue}, {name: unset, default: d}]",
		`echo "depth,queue=$OPTION_QUEUE,unset=$OPTION_UNSET,secret=x$SECRET_OF_THE_AGENT args=$#i,value=42"; echo "$1|$2" > said; pwd > where`, map[string]string{"queue": "orders"})
	if err := p.Start(&acc); err != nil {
		t.Fatal(err)
	}
	if err := p.Gather(nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := acc.take(); !slices.Equal(got, []string{"depthmap[queue:orders secret:x unset:d] map[args:2 value:42]"}) {
		t.Errorf("%q", got)
	}
	if said, _ := os.ReadFile(filepath.Join(s.dir, "depth", "data", "said")); string(said) != "a b|$HOME\n" {
		t.Errorf("the arguments arrived as %q", said)
	}
	if where, _ := os.ReadFile(filepath.Join(s.dir, "depth", "data", "where")); strings.TrimSpace(string(where)) != filepath.Join(s.dir, "depth", "data") {
		t.Errorf("it ran in %s", where)
	}
	if st := p.State(); st.Starts != 1 || st.Samples != 2 || st.PID != 0 || st.MemoryBytes == 0 {
		t.Errorf("%+v", st)
	}
	if err := os.WriteFile(p.program, []byte("#!/bin/sh\necho depth value=666\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.Gather(nil); err == nil || !strings.Contains(err.Error(), "bin/run was changed") || p.State().Starts != 1 {
		t.Errorf("a program that was changed between two runs: %v", err)
	}
	p.Stop()

	run := func(version, rest, script, want string) {
		t.Helper()
		p := s.plugin(version, rest, script, nil)
		acc.take()
		if err := p.Start(&acc); err != nil {
			t.Fatal(err)
		}
		defer p.Stop()
		err := p.Gather(nil)
		if _, errs := acc.take(); err == nil && len(errs) > 0 {
			err = errs[0]
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
	run("1.1.0", "format: influx", "echo 'no queue' >&2; exit 3", "exit status 3): no queue")
	run("1.2.0", "format: influx", "echo not a line", "is no influx")
	run("1.3.0", "format: influx\ntimeout: 300ms", "sleep 60 & sleep 60", "did not end within 300ms")
	run("1.4.0", "format: influx", "head -c 5000000 /dev/zero", "more than 4 MiB")

	p = s.plugin("1.5.0", "format: json\ntags: [queue]", `echo '[{"queue": "a", "size": {"now": 3}, "text": "no"}, {"queue": "b", "size": {"now": 4}}]'`, nil)
	acc.take()
	if err := p.Start(&acc); err != nil {
		t.Fatal(err)
	}
	if err := p.Gather(nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := acc.take(); !slices.Equal(got, []string{"depthmap[queue:a] map[size_now:3]", "depthmap[queue:b] map[size_now:4]"}) {
		t.Errorf("%q", got)
	}
}

// gathered is what plug-ins gave.
type gathered struct {
	telegraf.Accumulator
	mu      sync.Mutex
	metrics []string
	errors  []error
}

func (g *gathered) AddMetric(m telegraf.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fields := m.Fields()
	g.metrics = append(g.metrics, fmt.Sprint(m.Name(), m.Tags(), fields))
}

func (g *gathered) AddError(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errors = append(g.errors, err)
}

func (g *gathered) take() ([]string, []error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, e := g.metrics, g.errors
	g.metrics, g.errors = nil, nil
	return m, e
}

// lines is a sink that is full at first.
type lines struct {
	mu   sync.Mutex
	full int
	got  []intake.Record
}

func (l *lines) Append(_ context.Context, recs []intake.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full > 0 {
		l.full--
		return intake.ErrFull
	}
	l.got = append(l.got, recs...)
	return nil
}

// TestKeeps keeps a program running: its lines arrive, also those that waited; it is started again after it
// ended, it is ended when the breaker holds it and when it takes too much, and nothing of it is left.
func TestKeeps(t *testing.T) {
	t.Parallel()
	s := open(t)
	var acc gathered
	p := s.plugin("1.0.0", "run: process\nformat: lines\ndataset: depth.log", `for i in $(seq 500); do echo "line $i"; done; sleep 0.3; exit 5`, nil)
	sink := &lines{full: 2}
	p.Sink = sink
	p.Labels = []intake.Attr{{Name: "labels.site", Value: "north"}}
	if err := p.Start(&acc); err != nil {
		t.Fatal(err)
	}
	await(t, "a start after the end", func() bool { return p.State().Starts >= 2 && p.State().Samples >= 1000 })
	if err := p.Gather(nil); err != nil && !strings.Contains(err.Error(), "exit status 5") {
		t.Error(err)
	}
	if st := p.State(); st.Restarts == 0 || st.Errors == 0 {
		t.Errorf("%+v", st)
	}
	p.Stop()
	sink.mu.Lock()
	ids := map[string]bool{}
	for _, r := range sink.got {
		ids[r.ID] = true
	}
	if r := sink.got[0]; len(ids) != len(sink.got) || string(r.Data) != "line 1" || !slices.Contains(r.Attrs, intake.Attr{Name: "event.dataset", Value: "depth.log"}) || !slices.Contains(r.Attrs, intake.Attr{Name: "labels.site", Value: "north"}) {
		t.Errorf("%d ids of %d, %+v", len(ids), len(sink.got), r)
	}
	sink.mu.Unlock()

	// The breaker: a program with a child that eats a processor is ended with it.
	var held atomic.Bool
	p = s.plugin("2.0.0", "run: process\nformat: influx\nlimits: {cpu_percent: 1000}", `trap '' TERM; (while :; do :; done) & echo "depth value=1"; echo $! > child; wait; while :; do sleep 1; done`, nil)
	p.Hold(held.Load)
	if err := p.Start(&acc); err != nil {
		t.Fatal(err)
	}
	await(t, "a figure", func() bool { got, _ := acc.take(); return slices.Contains(got, "depthmap[] map[value:1]") })
	await(t, "its processor time", func() bool { cpu, memory := s.Usage(); return cpu > 0.2 && memory > 0 })
	group := p.State().PID
	held.Store(true)
	await(t, "its end", func() bool { return p.State().PID == 0 })
	time.Sleep(600 * time.Millisecond) // What was measured is kept for half a second.
	if u, ok := measure(group); ok && u.memory > 0 {
		t.Errorf("something of it is left: %+v", u)
	}
	if cpu, _ := s.Usage(); cpu < 0.2 {
		t.Errorf("its processor time is forgotten: %v", cpu)
	}
	held.Store(false)
	await(t, "the start after the breaker", func() bool { return p.State().PID != 0 || p.State().Starts > 1 || !p.notNow.IsZero() })
	p.Stop()

	// Its own limit.
	p = s.plugin("3.0.0", "run: process\nformat: influx\nlimits: {cpu_percent: 5}", `while :; do :; done`, nil)
	p.every = 600 * time.Millisecond
	if err := p.Start(&acc); err != nil {
		t.Fatal(err)
	}
	await(t, "its end by its limit", func() bool {
		err := p.Gather(nil)
		return err != nil && strings.Contains(err.Error(), "5 % are its limit")
	})
	if p.State().PID != 0 {
		t.Error("it runs on")
	}
}

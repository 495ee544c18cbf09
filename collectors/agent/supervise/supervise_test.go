package supervise

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	registered "github.com/influxdata/telegraf/plugins/inputs"

	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/agent/breaker"
	"icewatch/collectors/agent/filewatch"
	"icewatch/collectors/agent/inputs"
	"icewatch/collectors/agent/integrity"
	"icewatch/collectors/agent/queue"
	"icewatch/collectors/fleet/wire"
)

// probe is a plug-in of the tests.
type probe struct {
	Fail    string `toml:"fail"`
	started bool
}

var running atomic.Int64

func (*probe) SampleConfig() string { return "" }

func (p *probe) Init() error {
	if p.Fail == "init" {
		return errors.New("no such server")
	}
	return nil
}

func (p *probe) Start(telegraf.Accumulator) error {
	if p.Fail == "start" {
		return errors.New("the port is taken")
	}
	p.started = true
	running.Add(1)
	return nil
}

func (p *probe) Stop() {
	if p.started {
		running.Add(-1)
	}
	p.started = false
}

func (p *probe) Gather(acc telegraf.Accumulator) error {
	switch p.Fail {
	case "gather":
		return errors.New("refused")
	case "panic":
		panic("broken")
	}
	acc.AddFields("probe", map[string]any{"n": 1}, nil)
	return nil
}

func init() { registered.Add("probe", func() telegraf.Input { return &probe{} }) }

type usage struct {
	r atomic.Pointer[breaker.Reading]
}

func (u *usage) Read() breaker.Reading {
	if r := u.r.Load(); r != nil {
		return *r
	}
	return breaker.Reading{}
}

type bed struct {
	*Supervisor
	usage  *usage
	dir    string
	logs   *queue.Queue
	limits wire.Limits
}

func newBed(t *testing.T, dir string) *bed {
	t.Helper()
	q, err := queue.Open(filepath.Join(dir, "queue"), queue.Options{MaxBytes: 1 << 22})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	b := &bed{usage: &usage{}, dir: dir, logs: q}
	sink := filewatch.NewSink(q, time.Millisecond)
	files, err := filewatch.New(filepath.Join(dir, "positions"), sink, quiet)
	if err != nil {
		t.Fatal(err)
	}
	b.Supervisor = New(Parts{Dir: dir, Writer: inputs.NewWriter(func([]byte, int) error { return nil }, nil), Sink: sink, Files: files,
		Integrity: integrity.New(dir, sink, nil, quiet), Inventory: func(*wire.InventoryPlan) {}, Limits: func(l wire.Limits) { b.limits = l }, Trial: time.Second, Log: quiet})
	b.Breaker = breaker.New(b.usage, wire.Limits{}, func(l breaker.Level, _ []wire.Reason) { b.Pace(l) })
	t.Cleanup(func() { b.Stop(t.Context()); _ = q.Close() })
	return b
}

func names(b *bed) string {
	var out []string
	for _, s := range b.States() {
		out = append(out, s.Name)
	}
	return strings.Join(out, " ")
}

func doc(entries ...string) string { return "inputs:\n  - " + strings.Join(entries, "\n  - ") + "\n" }

const good = "{name: a, plugin: probe, interval: 1s}"

// TestDocuments does not run beside the other tests: they count running inputs.
func TestDocuments(t *testing.T) {
	dir := t.TempDir()
	b := newBed(t, dir)
	log := filepath.Join(dir, "x.log")
	_ = os.WriteFile(log, []byte("line\n"), 0o600)
	if f := b.Start(doc(good)); f != nil {
		t.Fatal(f)
	}
	first, _ := b.InForce()
	kept := b.now.inputs[0]
	start := time.Now()
	full := doc(good, "{name: b, plugin: probe}") + fmt.Sprintf("files: [{name: log, paths: [%s]}]\nintegrity: {paths: [%s]}\nlimits: {memory_mb: 77}\n", log, log)
	if f := b.Apply(full); f != nil {
		t.Fatalf("%+v", f)
	}
	agenttest.Await(t, 3*time.Second, "the line", func() bool { return b.logs.Stats().Items == 1 })
	if d := time.Since(start); d > 3*time.Second || names(b) != "a b log integrity" || b.now.inputs[0] != kept || running.Load() != 2 || b.limits.MemoryMB != 77 {
		t.Fatalf("%s %q %d %+v", d, names(b), running.Load(), b.limits)
	}
	inForce, _ := b.InForce()
	for text, want := range map[string]wire.Fault{
		"inputs: [\n":                                                                                 {Part: "document"},
		doc(good, "{name: c, plugin: nosuch}"):                                                        {Part: "inputs.c", Line: 3, Text: "no plug-in"},
		doc("{name: c, plugin: probe, settings: {fial: x}}"):                                          {Part: "inputs.c", Line: 2, Text: "no setting fial"},
		doc("{name: c, plugin: probe, settings: {fail: init}}"):                                       {Part: "inputs.c", Line: 2, Text: "no such server"},
		doc("{name: d, plugin: probe}", "{name: c, plugin: probe, settings: {fail: start}}"):          {Part: "inputs.c", Line: 3, Text: "the port is taken"},
		doc("{name: c, plugin: exec, settings: {commands: [id]}}"):                                    {Part: "inputs.c", Line: 2},
		doc("{name: e, plugin: probe}") + "files: [{name: log, paths: ['/x'], multiline: '(?!a)'}]\n": {Part: "files.log"},
	} {
		f := b.Apply(text)
		sha, shown := b.InForce()
		if f == nil || f.Part != want.Part || want.Line != 0 && f.Line != want.Line || !strings.Contains(f.Text, want.Text) || f.RolledBack || sha != inForce || shown != f || running.Load() != 2 {
			t.Errorf("%s\n%+v, %d running", text, f, running.Load())
		}
	}
	if err := b.Pause("b", true); err != nil {
		t.Fatal(err)
	}
	if err := b.Pause("zz", true); err == nil || b.States()[1].State != "stopped" {
		t.Fatalf("%v %+v", err, b.States())
	}
	if data, _ := os.ReadFile(filepath.Join(dir, currentFile)); string(data) != full {
		t.Fatalf("%q is kept", data)
	}
	if f := b.Apply(full); f != nil {
		t.Fatal(f)
	}
	if _, f := b.InForce(); f != nil {
		t.Fatalf("%+v", f)
	}
	if f := b.Apply(doc(good)); f != nil || names(b) != "a" || running.Load() != 1 || b.now.sha != first {
		t.Fatalf("%+v %s %d", f, names(b), running.Load())
	}
}

func TestRollsBack(t *testing.T) {
	for name, bad := range map[string]struct {
		document string
		part     string
		usage    *breaker.Reading
	}{
		"breaks down": {doc(good, "{name: c, plugin: probe, settings: {fail: panic}}"), "inputs.c", nil},
		"worked once": {doc("{name: a, plugin: probe, interval: 1s, settings: {fail: gather}}"), "inputs.a", nil},
		"too much":    {doc(good, "{name: c, plugin: probe}"), "limits", &breaker.Reading{CPUPercent: 50}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, t.TempDir())
			b.Trial = 4 * time.Second
			if f := b.Start(doc(good)); f != nil {
				t.Fatal(f)
			}
			agenttest.Await(t, time.Second, "the first gathering", func() bool { return b.now.inputs[0].Outcome().Good > 0 })
			if f := b.Apply(bad.document); f != nil {
				t.Fatal(f)
			}
			if _, err := os.Stat(filepath.Join(b.dir, trialFile)); err != nil {
				t.Fatal(err)
			}
			if bad.usage != nil {
				time.Sleep(50 * time.Millisecond)
				b.usage.r.Store(bad.usage)
				b.Breaker.Step(time.Now())
				b.Breaker.Step(time.Now())
			}
			agenttest.Await(t, 4*time.Second, "the way back", func() bool { _, f := b.InForce(); return f != nil })
			sha, f := b.InForce()
			if !f.RolledBack || f.Part != bad.part || f.SHA256 != SHA(bad.document) || sha != SHA(doc(good)) || names(b) != "a" {
				t.Fatalf("%+v in force %s: %s", f, sha, names(b))
			}
			if _, err := os.Stat(filepath.Join(b.dir, trialFile)); err == nil {
				t.Fatal("the trial goes on")
			}
		})
	}
}

func TestGoesBackWhereItDied(t *testing.T) {
	dir := t.TempDir()
	b := newBed(t, dir)
	b.Start(doc(good))
	if f := b.Apply(doc("{name: killer, plugin: probe}")); f != nil {
		t.Fatal(f)
	}
	// A kill leaves the folder as it is now.
	copyOf := t.TempDir()
	if err := os.CopyFS(copyOf, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	b.Stop(t.Context())
	again := newBed(t, copyOf)
	if f := again.Start(doc("{name: default, plugin: probe}")); f != nil {
		t.Fatal(f)
	}
	if _, f := again.InForce(); f == nil || !f.RolledBack || f.SHA256 != SHA(doc("{name: killer, plugin: probe}")) || names(again) != "a" {
		t.Fatalf("%+v %s", f, names(again))
	}
	// One that ended in order keeps its document.
	again = newBed(t, dir)
	again.Start("")
	if names(again) != "killer" {
		t.Fatal(names(again))
	}
}

func TestLeasesEndByThemselves(t *testing.T) {
	b := newBed(t, t.TempDir())
	b.Start("")
	task := func(name string, ttl time.Duration, document string) wire.Lease {
		return wire.Lease{Task: name, Fence: 1, TTL: ttl.Milliseconds(), Document: document, SHA256: SHA(document)}
	}
	before := running.Load()
	sent := time.Now()
	b.Lease([]wire.Lease{task("one", 300*time.Millisecond, doc(good)), task("two", time.Minute, doc(good)), task("bad", time.Minute, doc("{plugin: nosuch}")), task("late", 0, doc(good))}, sent)
	if running.Load()-before != 2 || len(b.Leases()) != 3 {
		t.Fatalf("%d running, %+v", running.Load()-before, b.Leases())
	}
	for _, l := range b.Leases() {
		if (l.Error != "") != (l.Task == "bad") {
			t.Fatalf("%+v", l)
		}
	}
	agenttest.Await(t, 2*time.Second, "the end of one", func() bool { return running.Load()-before == 1 })
	if d := time.Since(sent); d < 290*time.Millisecond {
		t.Fatalf("after %s", d)
	}
	b.Lease([]wire.Lease{}, time.Now())
	if running.Load() != before || len(b.Leases()) != 0 {
		t.Fatalf("%d running", running.Load()-before)
	}
}

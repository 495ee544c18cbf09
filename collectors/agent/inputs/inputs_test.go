package inputs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	registered "github.com/influxdata/telegraf/plugins/inputs"
	_ "github.com/influxdata/telegraf/plugins/inputs/cpu"
	_ "github.com/influxdata/telegraf/plugins/inputs/mem"
	"github.com/klauspost/compress/s2"

	"icewatch/collectors/agent/config"
)

// probe is a plug-in of the tests: it gives the number of its gatherings.
type probe struct {
	Password string  `toml:"password"`
	Address  string  `toml:"address"`
	Fail     string  `toml:"fail"`
	Ratio    float64 `toml:"ratio"`

	mu sync.Mutex
	n  int64
}

func (*probe) SampleConfig() string { return "" }

func (p *probe) Init() error {
	if p.Fail == "init" {
		return fmt.Errorf("cannot log in with %s at %s", p.Password, p.Address)
	}
	return nil
}

func (p *probe) Gather(acc telegraf.Accumulator) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	switch p.Fail {
	case "gather":
		return errors.New("refused: password " + p.Password)
	case "panic":
		panic("broken")
	case "work":
		for end := threadTime() + 60*time.Millisecond; threadTime() < end; {
		}
	case "wait":
		time.Sleep(60 * time.Millisecond)
	}
	acc.AddFields("probe", map[string]any{"n": p.n, "ok": true, "text": "left out", "bad name": 1.5}, map[string]string{"a": "b", "host": "forged"}, time.UnixMilli(1_700_000_000_123))
	return nil
}

func init() { registered.Add("probe", func() telegraf.Input { return &probe{} }) }

func build(t *testing.T, document string) (*Input, error) {
	t.Helper()
	p, err := config.Read([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return Build(p.Inputs[0], nil)
}

type batches struct {
	mu      sync.Mutex
	bodies  [][]byte
	samples int
	err     error
}

func (b *batches) store(body []byte, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.bodies, b.samples = append(b.bodies, body), b.samples+n
	return nil
}

// TestWhatGatheringTakes tells the work of the processor from waiting, and counts the data.
func TestWhatGatheringTakes(t *testing.T) {
	t.Parallel()
	if threadTime() == 0 {
		t.Skip("the processor time of a thread is known on Linux alone")
	}
	for _, how := range []string{"work", "wait"} {
		in, err := build(t, "inputs:\n  - plugin: probe\n    settings: {fail: "+how+"}\n")
		if err != nil {
			t.Fatal(err)
		}
		b := &batches{}
		w := NewWriter(b.store, map[string]string{"agent_id": "01A"})
		if err := in.Gather(w, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		in.mu.Lock()
		busy, cpu, bytes := in.busy, in.cpu, in.bytes
		in.minute[1] = minute{at: uint64(time.Now().Unix()) - 10}
		in.mu.Unlock()
		if busy < 60*time.Millisecond || (how == "work") != (cpu >= 60*time.Millisecond) || cpu > busy+20*time.Millisecond {
			t.Errorf("%s: busy %s, of the processor %s", how, busy, cpu)
		}
		raw, err := s2.Decode(nil, b.bodies[0])
		if err != nil || int(bytes) != len(raw) {
			t.Errorf("%d bytes counted, %d sent: %v", bytes, len(raw), err)
		}
		// 60 ms or more in ten seconds, or eleven where the clock went on.
		s := in.State()
		if s.Busy < 0.5 || (how == "work") != (s.CPU >= 0.5) || s.KBps != 0.02 && s.KBps != 0.01 && s.KBps != 0.03 || s.Rate == 0 {
			t.Errorf("%s: %+v of %d bytes", how, s, bytes)
		}
	}
}

func TestRefusedByNameAndLine(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		"inputs:\n  - plugin: probe\n    settings:\n      ratio: 1.5\n      pasword: x\n": "inputs.probe, line 5: probe has no setting pasword",
		"inputs:\n  - plugin: probe\n    toml: |\n      # why\n      ratio = \"much\"\n":  "inputs.probe, line 5: ",
		"inputs:\n  - plugin: probe\n    toml: |\n      ratio = 1.0\n      ratio 2\n":     "inputs.probe, line 5: ",
		"inputs:\n  - plugin: nosuch\n": `inputs.nosuch, line 2: this agent has no plug-in "nosuch"; it has cpu, journal, mem, probe, win_eventlog`,
		"inputs:\n  - plugin: probe\n    toml: |\n      ratio = 1.0\n      [processors.x]\n":                                            "line 5: [processors.x] begins another section",
		"inputs:\n  - {plugin: probe, settings: {fail: init, password: 'geheim$1', address: 'http://u:sehr-geheim@h/'}}\n":              "inputs.probe, line 2: cannot log in with *** at http://***@h/",
		"inputs:\n  - plugin: probe\n    toml: \"ratio = 1.0\\n[[inputs . probe]]\\nratio = 2.0\"\n":                                    "inputs.probe, line 2: the settings hold more",
		"inputs:\n  - plugin: probe\n    toml: \"ratio = 1.0\\n['inputs'.exec]\\ncommands = ['id']\"\n":                                 "inputs.probe, line ",
		"inputs:\n  - plugin: probe\n    toml: \"ratio = 1.0\\n[ inputs.\\\"probe\\\".tags ]\\na = 'b'\\n[outputs.file]\\nfiles=[]\"\n": "inputs.probe, line ",
	} {
		var text string
		p, err := config.Read([]byte(document))
		if err == nil {
			_, err = Build(p.Inputs[0], nil)
		}
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, want) || strings.Contains(text, "geheim") {
			t.Errorf("%s\n got %s\nwant %s", document, text, want)
		}
	}
	if _, err := Build(config.Input{Name: "exec", Plugin: "exec"}, nil); err == nil {
		t.Error("exec was built")
	}
}

func TestDollarsAreNoVariables(t *testing.T) {
	t.Setenv("HOME", "/root")
	for _, password := range []string{"a$$b", "$HOME", "${HOME}", "${HOME:-x}", "#no comment", `quote"\d`, "一$2"} {
		in, err := Build(func() config.Input {
			p, err := config.Read([]byte("inputs:\n  - plugin: probe\n    settings:\n      password: '" + password + "'\n"))
			if err != nil {
				t.Fatal(err)
			}
			return p.Inputs[0]
		}(), nil)
		if err != nil {
			t.Errorf("%s: %v", password, err)
			continue
		}
		if got := in.running.Input.(*probe).Password; got != password {
			t.Errorf("%s became %s", password, got)
		}
	}
}

func TestGathersAndEncodes(t *testing.T) {
	t.Parallel()
	in, err := build(t, "inputs:\n  - {plugin: probe, interval: 1s, labels: {role: db}}\n")
	if err != nil {
		t.Fatal(err)
	}
	var got batches
	w := NewWriter(got.store, map[string]string{"env": "test", "a": "agent"})
	pace := new(atomic.Int32)
	if err := in.Start(w, pace, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); in.Outcome().Good < 2 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	in.Stop(t.Context())
	w.Flush()
	if in.Outcome().Good < 2 || in.State().State != "running" || got.samples < 6 {
		t.Fatalf("%+v %+v %d", in.Outcome(), in.State(), got.samples)
	}
	text, err := s2.Decode(nil, got.bodies[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x0a\x13\n\x08__name__\x12\x07probe_n", "\x0a\x06\n\x01a\x12\x01b", "\x0a\x0b\n\x03env\x12\x04test", "\x0a\x0a\n\x04role\x12\x02db", "probe_bad_name"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if strings.Contains(string(text), "forged") || strings.Contains(string(text), "left out") || strings.Contains(string(text), "agent") {
		t.Errorf("%q", text)
	}
}

func TestTroubleIsToldWithoutSecrets(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	for _, how := range []string{"gather", "panic"} {
		in, err := build(t, "inputs:\n  - {plugin: probe, interval: 1s, settings: {fail: "+how+", password: sehr-geheim}}\n")
		if err != nil {
			t.Fatal(err)
		}
		var got batches
		if err := in.Gather(NewWriter(got.store, nil), slog.New(slog.NewTextHandler(&log, nil))); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Fatalf("%v", err)
		}
		if o := in.Outcome(); o.Failed != 1 || (o.Panic != "") != (how == "panic") {
			t.Fatalf("%+v", o)
		}
		if in.State().State != "failing" {
			t.Fatalf("%+v", in.State())
		}
	}
	if strings.Contains(log.String(), "geheim") || !strings.Contains(log.String(), "the input has trouble") {
		t.Fatal(log.String())
	}
}

func TestPaceAndLoss(t *testing.T) {
	t.Parallel()
	in, err := build(t, "inputs:\n  - {plugin: probe, interval: 1s}\n")
	if err != nil {
		t.Fatal(err)
	}
	got := batches{err: errors.New("disk full")}
	w := NewWriter(got.store, nil)
	pace := new(atomic.Int32)
	pace.Store(int32(PaceHeld))
	if err := in.Start(w, pace, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2200 * time.Millisecond)
	if n := in.Outcome().Good; n != 1 || in.State().State != "held" {
		t.Fatalf("%d gatherings while held: %+v", n, in.State())
	}
	in.Stop(context.Background())
	w.Flush()
	if lost, err := w.Lost(); lost != 3 || err == nil {
		t.Fatalf("%d %v", lost, err)
	}
}

func FuzzSanitize(f *testing.F) {
	f.Add("a b:c", "9x")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, s := range []string{metricName(a, b), labelName(a)} {
			for i, r := range s {
				if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == ':' || i > 0 && r >= '0' && r <= '9') {
					t.Fatalf("%q", s)
				}
			}
			if s == "" {
				t.Fatal("empty")
			}
		}
	})
}

package inputs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	registered "github.com/influxdata/telegraf/plugins/inputs"
	_ "github.com/influxdata/telegraf/plugins/inputs/win_eventlog"

	"icewatch/collectors/agent/eventlog"
	"icewatch/soc/intake"
)

// journal stands for Windows' event log: numbered events, of which the plug-in knows the last it read.
type journal struct {
	Log string `toml:"log"`

	at float64
}

var journals sync.Map // how many events there are, by name

func (*journal) SampleConfig() string { return "" }
func (j *journal) GetState() any      { return j.at }
func (j *journal) SetState(s any) error {
	at, ok := s.(float64)
	if !ok {
		return fmt.Errorf("a %T", s)
	}
	j.at = at
	return nil
}
func (j *journal) Gather(acc telegraf.Accumulator) error {
	n, _ := journals.Load(j.Log)
	for end := float64(n.(*atomic.Int64).Load()); j.at < end; {
		j.at++
		acc.AddFields(eventlog.Plugin, map[string]any{"EventRecordID": int64(j.at), "Message": fmt.Sprint("event ", j.at)}, map[string]string{"Channel": "Security", "EventID": "4624"}, time.Unix(int64(j.at), 0))
	}
	return nil
}

// events is a sink that can be shut.
type events struct {
	mu    sync.Mutex
	shut  error
	recs  []string
	tried int
}

func (e *events) Append(_ context.Context, recs []intake.Record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tried++
	if e.shut != nil {
		return e.shut
	}
	for _, r := range recs {
		e.recs = append(e.recs, string(r.Data))
	}
	return nil
}

func (e *events) state(err error) (recs, tried int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shut = err
	return len(e.recs), e.tried
}

func init() {
	registered.Add("journal", func() telegraf.Input { return &journal{} })
	eventsOf["journal"] = eventlog.Record
}

// TestEventsGoOn loses no event and gives none twice, over a sink that is full and over starts.
func TestEventsGoOn(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	journals.Store(t.Name(), &n)
	sink, dir := &events{}, filepath.Join(t.TempDir(), "events")
	out := NewWriter(func([]byte, int) error { t.Error("an event is a figure"); return nil }, nil)
	out.Events = &Events{Sink: sink, Dir: dir}
	begin := func() *Input {
		t.Helper()
		in, err := build(t, fmt.Sprintf("inputs: [{plugin: journal, interval: 1s, labels: {zone: dmz}, settings: {log: %q}}]", t.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Start(out, new(atomic.Int32), slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		return in
	}
	end := func(in *Input) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		in.Stop(ctx)
	}
	await := func(what string, done func() bool) {
		t.Helper()
		for limit := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatal(what)
			}
		}
	}
	count := func() int { sink.mu.Lock(); defer sink.mu.Unlock(); return len(sink.recs) }
	kept := func() string {
		files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		if len(files) != 1 {
			return fmt.Sprint(files)
		}
		text, _ := os.ReadFile(files[0])
		return string(text)
	}

	// Nothing was read: there is nothing to go on from.
	in := begin()
	await("a gathering", func() bool { return in.Outcome().Good > 0 })
	if kept() != "[]" {
		t.Error(kept())
	}
	end(in)
	n.Store(1_200)
	in = begin()
	await("the events", func() bool { return count() == 1_200 && strings.Contains(kept(), `"state":1200`) })
	end(in)

	// A full queue: the input waits and goes on when there is room. One that ends meanwhile has given
	// nothing, and the next one begins where the last durable event was.
	sink.state(intake.ErrFull)
	n.Store(1_300)
	in = begin()
	_, before := sink.state(intake.ErrFull)
	await("an attempt", func() bool { _, tried := sink.state(intake.ErrFull); return tried > before || tried > 3 })
	end(in)
	if !strings.Contains(kept(), `"state":1200`) || count() != 1_200 {
		t.Errorf("%s, %d events", kept(), count())
	}
	in = begin()
	time.Sleep(20 * time.Millisecond)
	sink.state(nil)
	await("the rest", func() bool { return count() == 1_300 && strings.Contains(kept(), `"state":1300`) })
	end(in)
	seen := map[string]bool{}
	for _, r := range sink.recs {
		seen[r] = true
	}
	if len(seen) != 1_300 || !strings.Contains(sink.recs[1_299], `"record_id":"1300"`) {
		t.Errorf("%d events of 1300: %s", len(seen), sink.recs[1_299])
	}

	// A file that is damaged is said by name.
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if err := os.WriteFile(files[0], []byte(`{"state":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := build(t, fmt.Sprintf("inputs: [{plugin: journal, settings: {log: %q}}]", t.Name()))
	if err == nil {
		err = in.Start(out, new(atomic.Int32), slog.New(slog.DiscardHandler))
	}
	if err == nil || !strings.Contains(err.Error(), "begins anew") || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("%v", err)
	}
}

// TestOfWindowsAlone says so where a plug-in for Windows is used elsewhere: telegraf's own is silent
// there, and has none of its settings. The document of a host is not refused for it.
func TestOfWindowsAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("this is Windows")
	}
	in, err := build(t, "inputs: [{name: security, plugin: win_eventlog, settings: {eventlog_name: Security, event_size_limit: 1MiB}}]")
	if err != nil {
		t.Fatal(err)
	}
	out := NewWriter(func([]byte, int) error { return nil }, nil)
	if err := in.Gather(out, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "works on Windows alone") {
		t.Errorf("%v", err)
	}
}

package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"icewatch/soc/bus"
	"icewatch/soc/condition"
	"icewatch/soc/intake"
	"icewatch/soc/lake/scrub"
	"icewatch/soc/reach"
)

func TestASmallStateIsReadWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "checkpoint.json")
	want := checkpoint{Epoch: "abc", Stored: 1234, IDsFloor: 17}
	read := func() (c checkpoint, err error) {
		err = readJSON(path, &c)
		return c, err
	}
	if c, err := read(); err != nil || !reflect.DeepEqual(c, checkpoint{}) {
		t.Fatalf("no file: %+v %v", c, err)
	}
	if err := writeJSON(path, want); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := read(); err != nil || !reflect.DeepEqual(c, want) {
		t.Fatalf("%+v %v", c, err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 4 // a digit stays a digit
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := read(); err == nil && !reflect.DeepEqual(c, want) {
			t.Fatalf("byte %d flipped: read as %+v from %q", i, c, bad)
		}
	}
	// As an earlier version wrote it.
	if err := os.WriteFile(path, []byte(`{"epoch":"abc","stored":1234,"ids_floor":17}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := read(); err != nil || !reflect.DeepEqual(c, want) {
		t.Fatalf("without a sum: %+v %v", c, err)
	}
}

func TestRewoundFitsTheBus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		have checkpoint
		bus  bus.State
		want checkpoint
	}{
		"not put back":           {checkpoint{Stored: 50, IDsFloor: 40}, bus.State{First: 10, Last: 60}, checkpoint{Stored: 50, IDsFloor: 40}},
		"from the first batch":   {checkpoint{Was: 50, IDsFloor: 41}, bus.State{First: 31, Last: 60}, checkpoint{Was: 50, Stored: 30, IDsFloor: 21}},
		"ids from the beginning": {checkpoint{Was: 50, IDsFloor: 1}, bus.State{First: 31, Last: 60}, checkpoint{Was: 50, Stored: 30, IDsFloor: 1}},
		"all are gone":           {checkpoint{Was: 50, IDsFloor: 41}, bus.State{First: 71, Last: 80}, checkpoint{Was: 50, Stored: 50, IDsFloor: 41}},
		"an empty bus":           {checkpoint{Was: 50, IDsFloor: 41}, bus.State{}, checkpoint{Was: 50, Stored: 50, IDsFloor: 41}},
	} {
		c.have.rewound(c.bus)
		if !reflect.DeepEqual(c.have, c.want) {
			t.Errorf("%s: %+v, want %+v", name, c.have, c.want)
		}
	}
}

// TestTheLibrarysLastWordsAreHeeded asks what would be set aside after the
// library died with certain words.
func TestTheLibrarysLastWordsAreHeeded(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i := range 20 {
		s.send(intake.Record{Tenant: "a", Collector: "test", Format: intake.Line, Received: time.Now().UnixNano(), Data: fmt.Appendf(nil, "line %d", i)})
	}
	s.rows(reach.All(), `line`, 20) // parts are made of what was handed over before the stop
	s.stop()
	dir := filepath.Join(s.dir, "engine", "lake")
	parts, err := filepath.Glob(filepath.Join(dir, "*/partitions/*/datadb/????????????????"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("parts %v: %v", parts, err)
	}
	log := slog.New(slog.DiscardHandler)
	store := &scrub.Store{Dir: dir, Sums: filepath.Join(s.dir, "sums"), Damaged: filepath.Join(s.dir, "damaged"), Log: log}
	words := func(format string) string {
		return "an ordinary line\n" + fmt.Sprintf(format, parts[0]) + "\n\ngoroutine 1 [running]:\n"
	}
	ask := func(died string, inRow int) []scrub.Finding {
		t.Helper()
		f, err := inspect(t.Context(), store, died, inRow, log)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	const damaged, full = "panic: FATAL: %s: cannot unmarshal timestamps", "panic: FATAL: cannot write to %s/index.bin: no space left on device"
	if f := ask("", 1); len(f) != 0 {
		t.Errorf("nothing was said: %v", f)
	}
	if f := ask(words(damaged), 1); len(f) != 1 || !strings.Contains(f[0].Why, "cannot unmarshal") || f[0].Rows == 0 {
		t.Errorf("a part without sums that the library names: %v", f)
	}
	if f := ask(words(full), 5); len(f) != 0 {
		t.Errorf("a full disk is no damage: %v", f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		store.Run(ctx, scrub.Options{}, func(f scrub.Finding) { t.Errorf("found %s", f) })
		close(ended)
	}()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, unknown, err := store.Parts(ctx, store.Named(strings.Join(parts, "\n"))); err != nil || time.Now().After(deadline) {
			t.Fatalf("no sums of %q: %v", unknown, err)
		} else if len(unknown) == 0 {
			break
		}
	}
	cancel()
	<-ended
	if f := ask(words(damaged), 1); len(f) != 0 {
		t.Errorf("the sums agree: %v", f)
	}
	if f := ask(words(damaged), 3); len(f) != 1 {
		t.Errorf("the third time the library's word counts: %v", f)
	}
	if f := ask("unexpected fault address 0x7f00\nfatal error: fault\n", 2); len(f) != 0 {
		t.Errorf("all is compared and agrees: %v", f)
	}
}

func TestTheRoomWaitsForAFullDisk(t *testing.T) {
	t.Parallel()
	board := &condition.Board{}
	r := newRoom(t.TempDir(), 1<<60, board, slog.New(slog.DiscardHandler))
	if r.look() || len(board.List()) != 1 || board.List()[0].Kind != condition.DiskFull {
		t.Fatalf("%+v", board.List())
	}
	r.full.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.wait(ctx); err == nil {
		t.Fatal("it did not wait")
	}
	r.need = 1
	if !r.look() || len(board.List()) != 0 {
		t.Fatalf("%+v", board.List())
	}
	r.dirs = append(r.dirs, filepath.Join(r.dirs[0], "missing"))
	if r.look() || board.List()[0].Kind != condition.ReadOnly {
		t.Fatalf("%+v", board.List())
	}
}

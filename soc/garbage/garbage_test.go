package garbage

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestPercent(t *testing.T) {
	b := Bound{Percent: 400, Bytes: 800 << 20}
	for _, c := range []struct {
		used  uint64
		rests bool
		want  int
	}{
		{0, false, 400}, // nothing was collected yet
		{10 << 20, false, 400},
		{200 << 20, false, 400},
		{210 << 20, false, 375}, // 380, in steps of 25
		{400 << 20, false, 200},
		{800 << 20, false, 100},
		{3200 << 20, false, 25},
		{1 << 50, false, 25},
		{10 << 20, true, 50},
		{3200 << 20, true, 25},
	} {
		if got := b.percent(c.used, c.rests); got != c.want {
			t.Errorf("%d MB in use: %d %%; %d %% is right", c.used>>20, got, c.want)
		}
	}
}

// TestKeep: the collector is told, and told anew when more is in use.
func TestKeep(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	told := func(b Bound) int {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it looks once
		Keep(ctx, b)
		percent := debug.SetGCPercent(100)
		return percent
	}
	used := make([]byte, 64<<20)
	runtime.GC()
	if got := told(Bound{Percent: 400, Bytes: 1 << 30}); got != 400 {
		t.Errorf("with room for garbage: %d %%; 400 %% is right", got)
	}
	if got := told(Bound{Percent: 400, Bytes: 32 << 20}); got < 25 || got > 50 {
		t.Errorf("with 64 MB in use and room for 32 MB of garbage: %d %%; 25 to 50 %% is right", got)
	}
	runtime.KeepAlive(used)
	t.Setenv("GOGC", "150")
	if got := told(Bound{Percent: 400}); got != 100 {
		t.Errorf("with GOGC in the environment it was set to %d %%; it must stay", got)
	}
}

func TestMachine(t *testing.T) {
	if m := machine(); m < 64<<20 || m > 1<<50 {
		t.Errorf("the machine has %d bytes of memory", m)
	}
}

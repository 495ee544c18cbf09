package breaker

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/fleet/wire"
)

type script struct{ now Reading }

func (s *script) Read() Reading { return s.now }

var limits = wire.Limits{CPUPercent: 10, MemoryMB: 100, DiskMB: 512, NetworkKBps: 1000, Host: wire.Host{CPUPercent: 95, MemoryPercent: 95, DiskPercent: 95}}

func TestStepsBackAndForward(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for name, harm := range map[string]struct {
		set  func(*Reading)
		most Level
		part string
	}{
		"own cpu":      {func(r *Reading) { r.CPUPercent = 11 }, Held, "cpu"},
		"own memory":   {func(r *Reading) { r.MemoryBytes = 101 * mb }, Held, "memory"},
		"own queue":    {func(r *Reading) { r.DiskBytes = 500 * mb }, Slow, "disk"},
		"network":      {func(r *Reading) { r.NetworkFull = 99 }, Slow, "network"},
		"host cpu":     {func(r *Reading) { r.HostCPU = 100 }, Slow, "cpu"},
		"host memory":  {func(r *Reading) { r.HostMemory = 96 }, Held, "memory"},
		"host disk":    {func(r *Reading) { r.HostDisk = 99 }, Held, "disk"},
		"two together": {func(r *Reading) { r.NetworkFull, r.HostDisk = 99, 99 }, Held, "network"},
	} {
		s := &script{}
		var changes []string
		b := New(s, limits, func(l Level, why []wire.Reason) { changes = append(changes, fmt.Sprint(l, len(why) > 0)) })
		at := time.Unix(1000, 0)
		step := func() Level { at = at.Add(Every); return b.Step(at) }
		if step() != Full {
			t.Fatalf("%s: stepped back for nothing", name)
		}
		harm.set(&s.now)
		if l := step(); l != Slow {
			t.Errorf("%s: level %d after one interval", name, l)
		}
		if l := step(); l != harm.most {
			t.Errorf("%s: level %d after two intervals", name, l)
		}
		_, why, _ := b.State()
		if len(why) == 0 || why[0].Part != harm.part || why[0].Since != 1010 || strings.Contains(why[0].Text, "%!") {
			t.Errorf("%s: %+v", name, why)
		}
		s.now = Reading{}
		for range 2 * int(harm.most) {
			step()
		}
		if l, why, _ := b.State(); l != Full || why != nil {
			t.Errorf("%s: level %d, %v after it was over", name, l, why)
		}
		if want := int(harm.most) * 2; len(changes) != want {
			t.Errorf("%s: changes %v", name, changes)
		}
	}
}

func TestStaysBackNearTheLimit(t *testing.T) {
	t.Parallel()
	s := &script{now: Reading{CPUPercent: 20}}
	b := New(s, limits, nil)
	for i := range 20 {
		b.Step(time.Unix(int64(i), 0))
		if i > 2 {
			s.now.CPUPercent = 9.5 // below the limit, not well below
		}
	}
	if l, _, trips := b.State(); l != Held || trips != 1 {
		t.Fatalf("level %d, %d trips", l, trips)
	}
	b.SetLimits(wire.Limits{}) // no limits at all
	for i := range 4 {
		b.Step(time.Unix(int64(i), 0))
	}
	if l, _, _ := b.State(); l != Full {
		t.Fatalf("level %d", l)
	}
}

// TestRealHog has this process eat a core, and then memory: both are measured as
// they are, and it comes back when they are free again. It does not run beside
// others, whose doing would be measured with it.
func TestRealHog(t *testing.T) {
	h := NewHost(t.TempDir(), func() int64 { return 7 }, nil)
	h.Read()
	time.Sleep(100 * time.Millisecond)
	idle := h.Read()
	if idle.MemoryBytes < 1<<20 || idle.HostMemory <= 0 || idle.HostMemory >= 100 || idle.HostDisk <= 0 || idle.DiskBytes != 7 || idle.HostCPU < 0 || idle.HostCPU > 100.1 {
		t.Fatalf("%+v", idle)
	}
	within := func(what string, want Level, b *Breaker) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); b.Step(time.Now()) != want; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				_, why, _ := b.State()
				t.Fatalf("%s: not at level %d: %v %+v", what, want, why, b.Last())
			}
		}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	b := New(h, wire.Limits{CPUPercent: 8}, nil)
	within("a core is eaten", Held, b)
	close(stop)
	<-done
	within("the core is free again", Full, b)

	b.SetLimits(wire.Limits{MemoryMB: int(b.Last().MemoryBytes)>>20 + 60})
	eaten := make([]byte, 150<<20)
	for i := 0; i < len(eaten); i += 4096 {
		eaten[i] = 1
	}
	within("memory is eaten", Held, b)
	runtime.KeepAlive(eaten)
	eaten = nil
	debug.FreeOSMemory()
	within("the memory is free again", Full, b)
}

// TestProgramsCount has what programs of the agent take count as the agent's own.
func TestProgramsCount(t *testing.T) {
	t.Parallel()
	h := NewHost(t.TempDir(), nil, nil)
	var cpu float64
	h.Programs = func() (float64, uint64) { return cpu, 1 << 40 }
	h.Read()
	cpu += 1000
	if r := h.Read(); r.CPUPercent < 1000 || r.MemoryBytes < 1<<40 {
		t.Errorf("%+v", r)
	}
	// A program that is gone takes nothing back.
	cpu = 0
	if r := h.Read(); r.CPUPercent < 0 {
		t.Errorf("%+v", r)
	}
}

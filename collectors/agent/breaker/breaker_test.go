package breaker

import (
	"fmt"
	"os"
	"os/exec"
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
		"host cpu":     {func(r *Reading) { r.HostCPU = 100 }, Held, "cpu"},
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

// TestRealHog has a process of its own eat a core; the host's and the own
// processor time are measured as they are.
func TestRealHog(t *testing.T) {
	if os.Getenv("ICEWATCH_TEST_HOG") != "" {
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		}
		return
	}
	h := NewHost(t.TempDir(), func() int64 { return 7 }, nil)
	h.Read()
	time.Sleep(150 * time.Millisecond)
	idle := h.Read()
	cmd := exec.Command(os.Args[0], "-test.run=^TestRealHog$")
	cmd.Env = append(os.Environ(), "ICEWATCH_TEST_HOG=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	time.Sleep(100 * time.Millisecond)
	h.Read()
	time.Sleep(500 * time.Millisecond)
	r := h.Read()
	if r.HostCPU < 20 || r.HostCPU > 100.1 || r.MemoryBytes < 1<<20 || r.HostMemory <= 0 || r.HostDisk <= 0 || r.DiskBytes != 7 || r.CPUPercent > 60 {
		t.Fatalf("idle %+v\n hog %+v", idle, r)
	}
	// The limit lies between what was measured without and with the hog.
	b := New(h, wire.Limits{Host: wire.Host{CPUPercent: r.HostCPU / 2}}, nil)
	for range 2 {
		time.Sleep(200 * time.Millisecond)
		b.Step(time.Now())
	}
	if l, why, _ := b.State(); l != Held {
		t.Fatalf("level %d %v: %+v", l, why, b.Last())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	b.SetLimits(wire.Limits{Host: wire.Host{CPUPercent: 100}})
	start := time.Now()
	for end := start.Add(10 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if b.Step(time.Now()) == Full {
			return
		}
	}
	t.Fatalf("it does not come back: %+v", b.Last())
}

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// TestIdleMemory sums the memory that the suite's processes take while nothing
// comes in. It is their proportional share (Pss in proc(5)): centre and engine run
// the same program, whose pages are in memory once, and how many of them a process
// has mapped besides is the machine's readahead.
func TestIdleMemory(t *testing.T) {
	// Alone: what other tests do on the machine does not change another
	// process's memory, but the garbage collector's rest comes with idle time.
	s := newSuite(t, "")
	time.Sleep(8 * time.Second)
	total := 0
	for name, pid := range map[string]int{"centre": s.pid(), "engine": s.enginePID()} {
		rollup, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "smaps_rollup"))
		if err != nil {
			t.Skipf("memory is read from /proc: %v", err)
		}
		m := regexp.MustCompile(`(?m)^Pss:\s+(\d+) kB`).FindSubmatch(rollup)
		if m == nil {
			t.Fatalf("%s: no Pss in its smaps_rollup:\n%s", name, rollup)
		}
		kb, _ := strconv.Atoi(string(m[1]))
		t.Logf("%s: %d MB", name, kb/1000)
		total += kb
	}
	if total > 350_000 {
		t.Errorf("idle, the suite takes %d MB, more than 350", total/1000)
	}
	t.Logf("BENCH idle_memory %d MB", total/1000)
}

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

// TestIdleMemory sums the resident memory of all of the suite's processes
// while nothing comes in.
func TestIdleMemory(t *testing.T) {
	// Alone: what other tests do on the machine does not change another
	// process's memory, but the garbage collector's rest comes with idle time.
	s := newSuite(t, "")
	time.Sleep(8 * time.Second)
	total := 0
	for name, pid := range map[string]int{"centre": s.pid(), "engine": s.enginePID()} {
		status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "status"))
		if err != nil {
			t.Skipf("resident memory is read from /proc: %v", err)
		}
		m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
		if m == nil {
			t.Fatalf("%s: no VmRSS in its status", name)
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

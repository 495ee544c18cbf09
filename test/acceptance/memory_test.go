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
// comes in: what is theirs alone (anonymous, by its proportional share: Pss_Anon in
// proc(5)). The program's own pages are told beside it. Centre and engine share
// them, the machine takes them back when it wants, and how many of them a process
// has mapped is its readahead.
func TestIdleMemory(t *testing.T) {
	// Alone: what other tests do on the machine does not change another
	// process's memory, but the garbage collector's rest comes with idle time.
	s := newSuite(t, "")
	time.Sleep(8 * time.Second)
	total, program := 0, 0
	for name, pid := range map[string]int{"centre": s.pid(), "engine": s.enginePID()} {
		rollup, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "smaps_rollup"))
		if err != nil {
			t.Skipf("memory is read from /proc: %v", err)
		}
		kb := func(what string) int {
			m := regexp.MustCompile(`(?m)^` + what + `:\s+(\d+) kB`).FindSubmatch(rollup)
			if m == nil {
				t.Fatalf("%s: no %s in its smaps_rollup:\n%s", name, what, rollup)
			}
			n, _ := strconv.Atoi(string(m[1]))
			return n
		}
		own, file := kb("Pss_Anon"), kb("Pss_File")
		t.Logf("%s: %d MB, and %d MB of the program's pages", name, own/1000, file/1000)
		total, program = total+own, program+file
	}
	if total > 225_000 {
		t.Errorf("idle, the suite takes %d MB, more than 225", total/1000)
	}
	t.Logf("BENCH idle_memory %d MB, and %d MB of the program's pages", total/1000, program/1000)
}

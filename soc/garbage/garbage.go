// Package garbage bounds the memory that garbage takes in a process.
//
// Go's collector lets the heap grow by a percentage of what is in use. A high one
// costs little time, and much memory once much is in use; a fixed limit of the
// memory has the collector run without end once what is in use comes near it. So
// the percentage follows what is in use: it is high while that is little, and
// falls so that garbage takes no more than some bytes.
package garbage

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/cgroup"
	"golang.org/x/sys/unix"
)

// Bound is how much garbage may lie in the heap before it is collected.
type Bound struct {
	Percent int   // of what is in use
	Bytes   int64 // at most; 0 is a share of the machine's memory
	// After is how long Go's own percentage of 100 stands at first: a start
	// leaves much garbage at once, and the holes between what stays are never
	// given back.
	After time.Duration
}

const (
	// share of the machine's memory, or of the control group's, that is taken
	// for Bytes where none are given: 768 MB of 24 GB.
	share = 32
	least = 64 << 20 // bytes
	// leastPercent keeps the collector from running without end in a process
	// with far more in use than it may have garbage.
	leastPercent = 25
)

// look is how often the percentage is looked at.
const look = time.Second

// Keep keeps to the bound until ctx ends. It leaves the collector alone where the
// environment's GOGC sets it.
func Keep(ctx context.Context, b Bound) {
	if os.Getenv("GOGC") != "" {
		return
	}
	if b.Bytes <= 0 {
		b.Bytes = max(machine()/share, least)
	}
	if b.After > 0 {
		select {
		case <-time.After(b.After):
		case <-ctx.Done():
			return
		}
		debug.FreeOSMemory() // by itself the runtime gives back what the start took in minutes
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for at := 0; ; {
		// Setting it stops the process for a moment.
		if p := b.percent(inUse()); p != at {
			debug.SetGCPercent(p)
			at = p
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// percent is by how much a heap may grow of which some bytes are in use, in
// steps of 25.
func (b Bound) percent(used uint64) int {
	p := b.Percent
	if used > 0 {
		p = int(min(uint64(p), uint64(b.Bytes)*100/used))
	}
	return max(p/leastPercent*leastPercent, leastPercent)
}

// inUse is what the last collection found in use.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// machine is how much memory there is for the process.
func machine() int64 {
	total := int64(0)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		total = int64(info.Totalram) * int64(info.Unit)
	}
	for _, limit := range []int64{cgroup.GetMemoryLimit(), cgroup.GetHierarchicalMemoryLimit()} {
		if limit > 0 && (total == 0 || limit < total) {
			total = limit
		}
	}
	return total
}

// Package garbage bounds the memory that garbage takes in a process.
//
// Go's collector lets the heap grow by a percentage of what is in use. A high one
// costs little time, and much memory once much is in use; a fixed limit of the
// memory has the collector run without end once what is in use comes near it. So
// the percentage follows what is in use: it is high while that is little, and
// falls so that garbage takes no more than some bytes, and while the process is at rest.
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
	// for Bytes where none are given: 1.5 GB of 24 GB.
	share = 16
	least = 64 << 20 // bytes
	// leastPercent keeps the collector from running without end in a process
	// with far more in use than it may have garbage.
	leastPercent = 25
)

// look is how often the percentage is looked at.
const look = time.Second

// A process that makes little garbage is at rest: collecting it often costs
// nothing then, and what a start or a busy time took is given back.
const (
	restBytes   = 8 << 20 // made in a look at most
	restLooks   = 5       // in a row
	restPercent = 50
)

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
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for at, before, quiet := 0, made(), 0; ; {
		now := made()
		if quiet++; now-before > restBytes {
			quiet = 0
		}
		before = now
		if p := b.percent(inUse(), quiet >= restLooks); p != at {
			debug.SetGCPercent(p) // stops the process for a moment
			at = p
			if quiet == restLooks {
				debug.FreeOSMemory()
			}
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
func (b Bound) percent(used uint64, rests bool) int {
	p := b.Percent
	if rests {
		p = min(p, restPercent)
	}
	if used > 0 {
		p = int(min(uint64(p), uint64(b.Bytes)*100/used))
	}
	return max(p/leastPercent*leastPercent, leastPercent)
}

// inUse is what the last collection found in use.
func inUse() uint64 { return figure("/gc/heap/live:bytes") }

// made is how many bytes were allocated since the start.
func made() uint64 { return figure("/gc/heap/allocs:bytes") }

func figure(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
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

// Package breaker keeps the agent from harming the host it watches. It measures
// what the agent takes and how the host fares, and says how much may be done:
// everything, less, or nothing but telling so. It steps back at the first
// measurement beyond a limit and holds everything at the second in a row; two in a
// row that are well below every limit let it come forward one step.
package breaker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"icewatch/collectors/fleet/wire"
)

// Level is how far the agent has stepped back.
type Level int

// Levels.
const (
	Full Level = iota // everything runs
	Slow              // inputs gather seldom, scans and inventory wait
	Held              // nothing is gathered; files keep their lines
)

// Reading is one measurement. A negative value is not known.
type Reading struct {
	CPUPercent  float64 // of one core, the agent's own since the last reading
	MemoryBytes float64 // resident, the agent's own
	DiskBytes   float64 // of the agent's queue
	NetworkFull float64 // percent of the time since the last reading in which sending waited for its limit
	HostCPU     float64 // percent of all cores
	HostMemory  float64 // percent in use
	HostDisk    float64 // percent in use, of the file system of the queue
	HostNetwork float64 // kilobytes a second, in and out, without the loopback; no limit is on it
}

// Source measures.
type Source interface{ Read() Reading }

// Every is how often it is measured.
const Every = 5 * time.Second

// back is below which part of a limit a value counts as well below.
const back = 0.9

// Breaker is the state. Its methods are safe for concurrent use.
type Breaker struct {
	source Source
	change func(Level, []wire.Reason)

	mu      sync.Mutex
	limits  wire.Limits
	level   Level
	good    int
	reasons []wire.Reason
	last    Reading
	trips   uint64
}

// New calls change, never at the same time as another call of it, whenever the
// level changes.
func New(source Source, limits wire.Limits, change func(Level, []wire.Reason)) *Breaker {
	return &Breaker{source: source, limits: limits, change: change}
}

// SetLimits changes the limits from the next measurement on.
func (b *Breaker) SetLimits(l wire.Limits) {
	b.mu.Lock()
	b.limits = l
	b.mu.Unlock()
}

// State is the level with its reasons, and how often it was left for Held.
func (b *Breaker) State() (level Level, reasons []wire.Reason, trips uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.level, slices.Clone(b.reasons), b.trips
}

// Last is the last measurement.
func (b *Breaker) Last() Reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// Run measures until ctx ends.
func (b *Breaker) Run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	b.source.Read() // Rates count from here.
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			b.Step(now)
		}
	}
}

// bound is one limit and what was measured of it.
type bound struct {
	part, text string
	value      float64
	limit      float64
	most       Level // as far as this one alone makes the agent step back
}

func (b *Breaker) bounds(r Reading) []bound {
	l := b.limits
	for _, p := range []*float64{&l.Host.CPUPercent, &l.Host.MemoryPercent, &l.Host.DiskPercent} {
		if *p >= 100 {
			*p = 0 // It cannot be gone beyond: there is no limit.
		}
	}
	const mb = 1 << 20
	return []bound{
		{"cpu", "the agent takes %.0f %% of a core; %.0f %% are its limit", r.CPUPercent, l.CPUPercent, Held},
		{"memory", "the agent takes %.0f MB of memory; %.0f MB are its limit", r.MemoryBytes / mb, float64(l.MemoryMB), Held},
		// A full queue is no harm to the host: fewer figures make it last longer.
		{"disk", "the agent's queue has %.0f MB; at most %.0f MB are wanted", r.DiskBytes / mb, 0.95 * float64(l.DiskMB), Slow},
		{"network", "sending waited for its limit %.0f %% of the time; %.0f %% are bearable", r.NetworkFull, 90, Slow},
		// A busy host is what its figures are for: fewer of them, not none. The agent's
		// own share has a limit of its own.
		{"cpu", "the host's processors are busy %.0f %%; above %.0f %% the agent holds back", r.HostCPU, l.Host.CPUPercent, Slow},
		{"memory", "the host's memory is in use to %.0f %%; above %.0f %% the agent holds back", r.HostMemory, l.Host.MemoryPercent, Held},
		{"disk", "the host's disk is full to %.0f %%; above %.0f %% the agent holds back", r.HostDisk, l.Host.DiskPercent, Held},
	}
}

// Step measures once and decides.
func (b *Breaker) Step(now time.Time) Level {
	r := b.source.Read()
	b.mu.Lock()
	b.last = r
	before := b.level
	var over []wire.Reason
	most, well := Full, true
	for _, x := range b.bounds(r) {
		if x.limit <= 0 || x.value < 0 {
			continue
		}
		if x.value > x.limit {
			over = append(over, wire.Reason{Part: x.part, Text: fmt.Sprintf(x.text, x.value, x.limit), Since: b.since(x.part, now)})
			most = max(most, x.most)
		}
		if x.value > back*x.limit {
			well = false
		}
	}
	switch {
	case len(over) > 0:
		b.good = 0
		b.reasons = over
		b.level = max(b.level, min(b.level+1, most))
		if b.level == Held && before != Held {
			b.trips++
		}
	case well && b.level > Full:
		if b.good++; b.good >= 2 {
			b.good = 0
			b.level--
		}
	default:
		b.good = 0
	}
	if b.level == Full {
		b.reasons = nil
	}
	level, reasons := b.level, slices.Clone(b.reasons)
	b.mu.Unlock()
	if level != before && b.change != nil {
		b.change(level, reasons)
	}
	return level
}

// since keeps the moment from which a part has been a reason.
func (b *Breaker) since(part string, now time.Time) int64 {
	for _, r := range b.reasons {
		if r.Part == part {
			return r.Since
		}
	}
	return now.Unix()
}

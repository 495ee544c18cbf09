package fleet

import (
	"strings"
	"time"

	"icewatch/collectors/fleet/wire"
)

// Figures of an agent that the centre writes down once a minute.
const (
	figCPU = iota
	figMemory
	figNetwork
	figSamples
	figGather
	figQueue
	figDropped
	figures
)

// figureNames are their names and units, in their order.
var figureNames = [figures][2]string{{"cpu", "%"}, {"memory", "MB"}, {"network", "KB/s"}, {"samples", "/s"}, {"gather", "%"}, {"queue", "MB"}, {"dropped", "/min"}}

// Bounds of what is written down.
const (
	keptReadings = 60               // of a version, by agent: the last hour
	readingEvery = 50 * time.Second // at most; agents check in once a minute or more often
	settling     = 90 * time.Second // after a start, of which nothing is written down
)

// reading is what one agent told at one time.
type reading [figures]float32

// series are the last readings of an agent while it was of one version.
type series struct {
	Version  string    `json:"version"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Tripped  int       `json:"tripped,omitempty"` // readings taken while its breaker held it back
	Readings []reading `json:"readings"`
}

// measured is what was written down of an agent.
type measured struct {
	Before *series `json:"before,omitempty"` // of the version before

	now     *series
	process int64     // start of the process by its own word
	seen    time.Time // since when it is known
	queue   wire.Queue
}

// number is the version without the commit behind it.
func number(version string) string {
	n, _, _ := strings.Cut(version, " (")
	return n
}

// measure writes down what an agent tells; m has what it told now. It answers that the agent is
// of another version than before. s.mu is held.
func (m *member) measure(now time.Time) (changed bool) {
	if m.Scans() || m.Version == "" {
		return false
	}
	x := &m.measured
	if v := number(m.Version); x.now == nil || x.now.Version != v {
		if x.now != nil && len(x.now.Readings) > 0 {
			x.Before, changed = x.now, true
		}
		x.now = &series{Version: v}
	}
	if x.process != m.Usage.Started || x.seen.IsZero() {
		x.process, x.seen, x.queue = m.Usage.Started, now, m.Queue
	}
	if now.Sub(x.seen) < settling || now.Sub(x.now.To) < readingEvery {
		return changed
	}
	r := reading{figCPU: float32(m.Usage.CPUPercent), figMemory: float32(float64(m.Usage.MemoryBytes) / (1 << 20)), figNetwork: float32(m.sending), figQueue: float32(float64(m.Queue.Bytes) / (1 << 20))}
	for _, in := range m.Inputs {
		r[figSamples] += float32(in.Rate) / 60
		r[figGather] += float32(in.Busy)
	}
	minutes := 1.0
	if last := x.now.To; !last.IsZero() {
		minutes = max(now.Sub(last).Minutes(), 1)
	}
	lost := func(was, is uint64) float64 {
		if is < was {
			return 0
		}
		return float64(is - was)
	}
	r[figDropped] = float32((lost(x.queue.DroppedLines, m.Queue.DroppedLines) + lost(x.queue.DroppedMetrics, m.Queue.DroppedMetrics)) / minutes)
	x.queue = m.Queue
	if len(x.now.Readings) == 0 {
		x.now.From = now
	}
	if len(x.now.Readings) >= keptReadings {
		copy(x.now.Readings, x.now.Readings[1:])
		x.now.Readings = x.now.Readings[:keptReadings-1]
		x.now.From = x.now.From.Add(now.Sub(x.now.To))
	}
	x.now.Readings = append(x.now.Readings, r)
	x.now.To = now
	if m.State == wire.StateTripped {
		x.now.Tripped++
	}
	return changed
}

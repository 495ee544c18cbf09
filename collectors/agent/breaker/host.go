package breaker

import (
	"os"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
)

// Host measures this process and its host.
type Host struct {
	Dir    string               // of the queue
	Queue  func() int64         // its bytes
	Waited func() time.Duration // how long sending has waited for its limit, since the start
	// Programs is what programs that the agent runs took of processors since the start, in
	// seconds, and take of memory now, in bytes; they count as the agent. It may be nil.
	Programs func() (cpu float64, memory uint64)
	process  *process.Process

	mu        sync.Mutex
	at        time.Time
	own       float64 // seconds of processor time
	busy, all float64 // of the host
	waited    time.Duration
	network   uint64     // bytes
	minute    [13]moment // a ring of a minute of Every
	next      int
}

type moment struct {
	at  time.Time
	own float64
}

// NewHost measures; queue and waited may be nil.
func NewHost(dir string, queue func() int64, waited func() time.Duration) *Host {
	h := &Host{Dir: dir, Queue: queue, Waited: waited}
	h.process, _ = process.NewProcess(int32(os.Getpid())) // It is there.
	return h
}

var _ Source = (*Host)(nil)

// Read implements Source.
func (h *Host) Read() Reading {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := Reading{CPUPercent: -1, MemoryBytes: -1, DiskBytes: -1, NetworkFull: -1, HostCPU: -1, HostMemory: -1, HostDisk: -1, HostNetwork: -1}
	now := time.Now()
	span := now.Sub(h.at).Seconds()
	first := h.at.IsZero()
	h.at = now
	var programs float64
	var memory uint64
	if h.Programs != nil {
		programs, memory = h.Programs()
	}
	if h.process != nil {
		if t, err := h.process.Times(); err == nil {
			own := t.User + t.System + programs
			if !first && span > 0 {
				r.CPUPercent = max(0, 100*(own-h.own)/span)
			}
			h.own = own
			h.minute[h.next] = moment{now, own}
			h.next = (h.next + 1) % len(h.minute)
		}
		if m, err := h.process.MemoryInfo(); err == nil {
			r.MemoryBytes = float64(m.RSS + memory)
		}
	}
	if t, err := cpu.Times(false); err == nil && len(t) == 1 {
		idle := t[0].Idle + t[0].Iowait
		all := t[0].User + t[0].System + t[0].Nice + t[0].Irq + t[0].Softirq + t[0].Steal + idle
		if busy := all - idle; !first && all > h.all {
			r.HostCPU = 100 * (busy - h.busy) / (all - h.all)
		}
		h.busy, h.all = all-idle, all
	}
	if m, err := mem.VirtualMemory(); err == nil && m.Total > 0 {
		r.HostMemory = 100 * (1 - float64(m.Available)/float64(m.Total))
	}
	if d, err := disk.Usage(h.Dir); err == nil {
		r.HostDisk = d.UsedPercent
	}
	if list, err := net.IOCounters(true); err == nil {
		var bytes uint64
		for _, x := range list {
			if x.Name != "lo" && !strings.HasPrefix(x.Name, "Loopback") {
				bytes += x.BytesRecv + x.BytesSent
			}
		}
		if !first && span > 0 && bytes >= h.network { // An interface that went takes its count along.
			r.HostNetwork = float64(bytes-h.network) / 1024 / span
		}
		h.network = bytes
	}
	if h.Queue != nil {
		r.DiskBytes = float64(h.Queue())
	}
	if h.Waited != nil {
		waited := h.Waited()
		if !first && span > 0 {
			r.NetworkFull = 100 * (waited - h.waited).Seconds() / span
		}
		h.waited = waited
	}
	return r
}

// Minute is the agent's own processor time over the last minute, in percent of a core.
func (h *Host) Minute() float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	newest := h.minute[(h.next+len(h.minute)-1)%len(h.minute)]
	oldest := h.minute[h.next]
	for i := 0; oldest.at.IsZero() && i < len(h.minute); i++ {
		oldest = h.minute[(h.next+i)%len(h.minute)]
	}
	if span := newest.at.Sub(oldest.at).Seconds(); span > 0 {
		return 100 * (newest.own - oldest.own) / span
	}
	return 0
}

package backup

import (
	"sync"
	"time"
)

// The phases of a job.
const (
	PhaseWaiting  = "waiting"
	PhaseLake     = "lake"
	PhaseState    = "state"
	PhaseBus      = "bus"
	PhaseCopying  = "copying"
	PhaseChecking = "checking"
	PhasePruning  = "pruning"
	PhaseWriting  = "writing"
	PhaseDone     = "done"
)

// Figures are how far a job is.
type Figures struct {
	Phase       string  `json:"phase" enum:"waiting,lake,state,bus,copying,checking,pruning,writing,done"`
	FilesDone   int     `json:"files_done"`
	FilesTotal  int     `json:"files_total" doc:"0 while it is not known"`
	BytesDone   int64   `json:"bytes_done"`
	BytesTotal  int64   `json:"bytes_total" doc:"0 while it is not known"`
	CopiedBytes int64   `json:"copied_bytes" doc:"Read to be copied; what an earlier backup holds is not"`
	Rate        float64 `json:"rate" doc:"Bytes a second, over the last seconds"`
}

// Progress follows one job. The zero value is ready; its methods are safe for
// concurrent use.
type Progress struct {
	mu   sync.Mutex
	f    Figures
	at   time.Time // of the last measure of the rate
	read int64     // bytes read since then
}

// Figures tells how far it is.
func (p *Progress) Figures() Figures {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.measure()
	return p.f
}

// measure works the rate out anew each second.
func (p *Progress) measure() {
	now := time.Now()
	if p.at.IsZero() {
		p.at = now
		return
	}
	if d := now.Sub(p.at).Seconds(); d >= 1 {
		p.f.Rate = float64(p.read) / d
		p.at, p.read = now, 0
	}
}

func (p *Progress) phase(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.f.Phase = name
	if name == PhaseDone {
		p.f.Rate = 0
	}
}

func (p *Progress) total(files int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.f.FilesDone, p.f.BytesDone = 0, 0
	p.f.FilesTotal, p.f.BytesTotal = files, bytes
}

// bytes counts what was read; copied, what was copied.
func (p *Progress) bytes(n int, copied bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.measure()
	p.f.BytesDone += int64(n)
	p.read += int64(n)
	if copied {
		p.f.CopiedBytes += int64(n)
	}
}

// files counts files that are done; skipped bytes need no reading.
func (p *Progress) files(n int, skipped int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.f.FilesDone += n
	p.f.BytesDone += skipped
}

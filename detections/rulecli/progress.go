package rulecli

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress tells a person at a terminal how far a long run is. The zero value
// stays silent.
type progress struct {
	w           io.Writer
	in          *input
	began, last time.Time
	shown       bool
}

// How long a run is left alone, and how often it then tells.
const (
	progressAfter = 2 * time.Second
	progressEvery = time.Second / 2
)

func newProgress(w io.Writer, in *input) *progress {
	f, ok := w.(*os.File)
	if !ok {
		return &progress{}
	}
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return &progress{}
	}
	return &progress{w: w, in: in, began: time.Now()}
}

func (p *progress) show(events, matches int) {
	if p.w == nil {
		return
	}
	now := time.Now()
	if now.Sub(p.began) < progressAfter || now.Sub(p.last) < progressEvery {
		return
	}
	p.last, p.shown = now, true
	part := ""
	if p.in.size > 0 {
		part = fmt.Sprintf("%3.0f %%, ", 100*float64(p.in.read.Load())/float64(p.in.size))
	}
	fmt.Fprintf(p.w, "\r%s%d events, %d matches, %.0f events/s\x1b[K", part, events, matches, float64(events)/now.Sub(p.began).Seconds())
}

// done removes the line again.
func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

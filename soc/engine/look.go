package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Rows that wait for their block of the lake are not shown, so how long they may
// wait depends on whether anybody looks. While somebody does, it is some two
// seconds. Where nobody has for a while, full blocks are worth more than rows
// that nobody sees, and the first look has all of them handed over.

const (
	lookLately = time.Minute     // who looked so long ago looks again
	lookWait   = 2 * time.Second // a look waits so long for what comes with it
	// handUnseen is how long rows wait for others of their stream while nobody
	// looks; Options.Unseen may say otherwise.
	handUnseen = 10 * time.Second
)

// looks knows when the lake was last looked at.
type looks struct {
	mu    sync.Mutex           // one first look at a time
	last  atomic.Int64         // Unix nanoseconds
	first chan chan<- struct{} // a look after a while, to be closed when the rows that wait were handed over
}

func newLooks() *looks { return &looks{first: make(chan chan<- struct{})} }

// lately tells whether anybody has looked of late.
func (l *looks) lately() bool { return time.Since(time.Unix(0, l.last.Load())) < lookLately }

// look is called before the lake is read for somebody.
func (e *Engine) look(ctx context.Context) {
	l := e.looks
	if l.lately() {
		l.last.Store(time.Now().UnixNano())
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock() // who looks meanwhile waits for the same rows
	if l.lately() {
		return
	}
	defer func() { l.last.Store(time.Now().UnixNano()) }()
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	handed := make(chan struct{})
	select {
	case l.first <- handed:
	case <-ctx.Done():
		return // the lake takes nothing at the moment
	}
	select {
	case <-handed:
		e.lake.Flush()
	case <-ctx.Done():
	}
}

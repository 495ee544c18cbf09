package filewatch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/collectors/agent/queue"
	"icewatch/soc/intake"
)

// Sink makes records durable in the queue, those of several sources with one
// write. It implements intake.Sink. The zero value is not ready; see NewSink.
type Sink struct {
	q      *queue.Queue
	held   atomic.Bool
	labels atomic.Pointer[[]intake.Attr]

	mu     sync.Mutex
	group  *group
	linger time.Duration
}

var _ intake.Sink = (*Sink)(nil)

// group are the records that go into one batch.
type group struct {
	recs []intake.Record
	size int
	done chan struct{}
	err  error
}

// Bounds of a batch; the server holds wire.MaxBody and wire.MaxRecords.
const (
	groupBytes   = 1 << 20
	groupRecords = 8192
)

// NewSink writes to q. Records wait for linger for others to come.
func NewSink(q *queue.Queue, linger time.Duration) *Sink {
	s := &Sink{q: q, linger: linger}
	s.labels.Store(&[]intake.Attr{})
	return s
}

// Hold makes Append refuse until Hold(false): sources wait, files keep their lines.
func (s *Sink) Hold(on bool) { s.held.Store(on) }

// Held tells whether it does.
func (s *Sink) Held() bool { return s.held.Load() }

// SetLabels are put on every record from now on.
func (s *Sink) SetLabels(labels map[string]string) {
	attrs := labelAttrs(labels)
	s.labels.Store(&attrs)
}

func labelAttrs(labels map[string]string) []intake.Attr {
	attrs := make([]intake.Attr, 0, len(labels))
	for k, v := range labels {
		attrs = append(attrs, intake.Attr{Name: "labels." + k, Value: v})
	}
	return attrs
}

// Append implements intake.Sink: it returns nil when the records are durable.
func (s *Sink) Append(ctx context.Context, recs []intake.Record) error {
	if s.held.Load() {
		return intake.ErrFull
	}
	for len(recs) > 0 {
		n, size := 0, 0
		for n < len(recs) && n < groupRecords && (n == 0 || size+len(recs[n].Data) <= groupBytes) {
			size += len(recs[n].Data) + 200
			n++
		}
		if err := s.join(ctx, recs[:n], size); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}

// join puts records to those that wait, and waits with them.
func (s *Sink) join(ctx context.Context, recs []intake.Record, size int) error {
	s.mu.Lock()
	g := s.group
	if g != nil && (g.size+size > groupBytes || len(g.recs)+len(recs) > groupRecords) {
		s.write(g)
		g = nil
	}
	if g == nil {
		g = &group{done: make(chan struct{})}
		s.group = g
		time.AfterFunc(s.linger, func() {
			s.mu.Lock()
			s.write(g)
			s.mu.Unlock()
		})
	}
	labels := *s.labels.Load()
	for _, r := range recs {
		r.Attrs = append(r.Attrs[:len(r.Attrs):len(r.Attrs)], labels...)
		g.recs = append(g.recs, r)
	}
	g.size += size
	if g.size >= groupBytes/2 || len(g.recs) >= groupRecords/2 {
		s.write(g) // Enough: nothing is gained by waiting.
	}
	s.mu.Unlock()
	// The texts belong to the caller, who must not take them back while they are
	// being written: the wait does not end with ctx but with the write, soon.
	<-g.done
	if g.err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return g.err
}

// write makes a group durable, once. The lock is held.
func (s *Sink) write(g *group) {
	if s.group != g {
		return
	}
	s.group = nil
	err := s.q.Append(intake.AppendBatch(nil, g.recs), len(g.recs))
	switch {
	case errors.Is(err, queue.ErrFull):
		err = intake.ErrFull
	case errors.Is(err, queue.ErrClosed):
		err = intake.ErrClosed
	}
	g.err = err
	close(g.done)
}

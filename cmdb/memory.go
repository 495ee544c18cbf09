package cmdb

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// memory is something made of the tables that is kept in memory: it is read
// once, and follows every commit from then on. The tables own the truth: where
// it cannot follow, as after a commit of another process, it is read anew.
type memory[T any] struct {
	read  func(ctx context.Context) (made T, version int64, err error)
	apply func(made T, w *writer)

	mu      sync.Mutex
	made    T
	there   bool
	version int64 // of the tables that made is of
	reading *reading[T]
}

// reading is one reading of the tables, which any number of askers wait for.
type reading[T any] struct {
	done chan struct{} // closed at the end
	made T
	err  error
	late []commit // what was committed meanwhile
}

type commit struct {
	version int64
	w       *writer
}

// get returns what is in memory. The first to ask has it read, which life
// bounds: who asked may go away meanwhile, others wait for it as well.
func (m *memory[T]) get(ctx, life context.Context) (made T, err error) {
	m.mu.Lock()
	if m.there {
		defer m.mu.Unlock()
		return m.made, nil
	}
	r := m.reading
	if r == nil {
		r = &reading[T]{done: make(chan struct{})}
		m.reading = r
		go m.fill(life, r)
	}
	m.mu.Unlock()
	select {
	case <-r.done:
		return r.made, r.err
	case <-ctx.Done():
		return made, fmt.Errorf("cmdb: the items are being read into memory: %w", context.Cause(ctx))
	}
}

func (m *memory[T]) fill(ctx context.Context, r *reading[T]) {
	made, version, err := m.read(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	defer close(r.done)
	m.reading = nil
	if r.err = err; err != nil {
		return
	}
	r.made, m.made, m.version, m.there = made, made, version, true
	for _, c := range r.late {
		m.next(c)
	}
}

// follow makes the changes of a commit. Commits come in their order.
func (m *memory[T]) follow(version int64, w *writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.reading != nil:
		m.reading.late = append(m.reading.late, commit{version, w})
	case m.there:
		m.next(commit{version, w})
	}
}

func (m *memory[T]) next(c commit) {
	switch {
	case !m.there || c.version <= m.version:
	case c.version != m.version+1:
		slog.Warn("cmdb: another process changes the tables: what is in memory is read anew", "version", m.version, "next", c.version)
		m.drop()
	default:
		m.apply(m.made, c.w)
		m.version = c.version
	}
}

// keep gives up what is in memory unless it is of a version, or being read.
func (m *memory[T]) keep(version int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.there && m.version != version {
		slog.Warn("cmdb: another process changes the tables: what is in memory is read anew", "version", m.version, "now", version)
		m.drop()
	}
}

// drop gives up what is in memory; the next to ask has it read again.
func (m *memory[T]) drop() {
	var none T
	m.made, m.there = none, false
}

// forget is drop for who does not hold the lock.
func (m *memory[T]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
}

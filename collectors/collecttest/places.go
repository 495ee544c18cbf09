package collecttest

import (
	"bytes"
	"context"
	"sync"

	"icewatch/collectors"
)

// Places keep places in memory. Its zero value is ready.
type Places struct {
	mu    sync.Mutex
	kept  map[string][]byte
	saves int
	err   error
}

var _ collectors.Places = (*Places)(nil)

// Place returns what Save kept.
func (p *Places) Place(_ context.Context, key string) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.kept[key]), nil
}

// Save keeps a copy, or answers what Refuse set.
func (p *Places) Save(_ context.Context, key string, place []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if p.kept == nil {
		p.kept = map[string][]byte{}
	}
	p.kept[key] = bytes.Clone(place)
	p.saves++
	return nil
}

// Refuse makes Save answer err from now on; nil ends it.
func (p *Places) Refuse(err error) {
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
}

// Saves tells how many places were kept.
func (p *Places) Saves() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.saves
}

// Copy is what a kill at this moment leaves.
func (p *Places) Copy() *Places {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := &Places{kept: map[string][]byte{}}
	for k, v := range p.kept {
		out.kept[k] = bytes.Clone(v)
	}
	return out
}

package reach

import (
	"fmt"
	"strings"
	"sync"
)

// maxCompiled bounds the outcomes that a Compiler keeps; beyond it begins anew.
const maxCompiled = 10_000

// Compiler compiles scopes for the directory in force and keeps the outcomes.
// It is safe for concurrent use; until SetDirectory was called everything but
// All compiles to nothing. The zero value is ready.
type Compiler struct {
	mu       sync.RWMutex
	dir      *Directory
	compiled map[string]Reach
}

// SetDirectory puts other tenants and organisations in force. Whoever asks
// afterwards gets what was compiled for them.
func (c *Compiler) SetDirectory(d *Directory) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dir, c.compiled = d, nil
}

// Directory returns the one in force, nil before the first.
func (c *Compiler) Directory() *Directory {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.dir
}

// Reach is the reach within the tenants named (nil: all of them) on which all
// of the expressions agree. An empty expression is no condition. On an error,
// a *SyntaxError wrapped, the reach is None.
func (c *Compiler) Reach(tenants []string, expressions ...string) (Reach, error) {
	key := "all"
	if tenants != nil {
		key = "of:" + strings.Join(tenants, "\x00")
	}
	key += "\x01" + strings.Join(expressions, "\x00")
	c.mu.RLock()
	r, ok := c.compiled[key]
	dir := c.dir
	c.mu.RUnlock()
	if ok {
		return r, nil
	}
	r = All()
	if tenants != nil {
		r = Tenants(tenants...)
	}
	for _, text := range expressions {
		if strings.TrimSpace(text) == "" {
			continue
		}
		e, err := Parse(text)
		if err != nil {
			return None(), fmt.Errorf("compile %.200q: %w", text, err)
		}
		r = r.And(e.Compile(dir))
	}
	if dir != nil {
		r = r.Without(dir.removed...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == dir { // else it was compiled for what is no longer so
		if c.compiled == nil || len(c.compiled) >= maxCompiled {
			c.compiled = map[string]Reach{}
		}
		c.compiled[key] = r
	}
	return r, nil
}

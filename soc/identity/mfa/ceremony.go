package mfa

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"
)

const (
	// CeremonyLife is how long a ceremony may take.
	CeremonyLife = 5 * time.Minute
	// maxCeremonies bounds those that are open; the oldest goes first.
	maxCeremonies = 20_000
)

// Ceremonies are proofs begun and not finished yet, such as a sign-in whose
// password was right and whose second factor is still to come. They are kept in
// memory: after a restart one begins again. Safe for concurrent use.
type Ceremonies[T any] struct {
	now func() time.Time

	mu    sync.Mutex
	open  map[string]ceremony[T]
	order []string // oldest first; finished ones are left in until they are met
}

type ceremony[T any] struct {
	what    T
	expires time.Time
	taken   bool
}

// NewCeremonies makes an empty set.
func NewCeremonies[T any](now func() time.Time) *Ceremonies[T] {
	return &Ceremonies[T]{now: now, open: map[string]ceremony[T]{}}
}

// Begin opens a ceremony. Its id has 192 random bits: whoever knows it goes on
// with it.
func (c *Ceremonies[T]) Begin(what T) (id string, expires time.Time) {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails since Go 1.24
	id, expires = base64.RawURLEncoding.EncodeToString(b), c.now().Add(CeremonyLife)
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) >= maxCeremonies || len(c.order) > 0 && !c.isOpen(c.order[0]) {
		delete(c.open, c.order[0])
		c.order = c.order[1:]
	}
	c.open[id] = ceremony[T]{what: what, expires: expires}
	c.order = append(c.order, id)
	return id, expires
}

func (c *Ceremonies[T]) isOpen(id string) bool {
	x, ok := c.open[id]
	return ok && c.now().Before(x.expires)
}

// Take returns what a ceremony is about and closes it: of any number who ask at
// once, one goes on.
func (c *Ceremonies[T]) Take(id string) (what T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.open[id]
	if !c.isOpen(id) || x.taken {
		return what, false
	}
	what = x.what
	c.open[id] = ceremony[T]{expires: x.expires, taken: true}
	return what, true
}

// Resume opens a ceremony that was taken again, for another try within the same
// time.
func (c *Ceremonies[T]) Resume(id string, what T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, ok := c.open[id]; ok && x.taken {
		c.open[id] = ceremony[T]{what: what, expires: x.expires}
	}
}

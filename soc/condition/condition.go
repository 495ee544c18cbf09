// Package condition holds what is wrong with the suite at the moment: a full
// disk, a damaged file that was set aside, batches missing on the bus, an
// engine that does not stay up. Each part keeps a board of its own conditions;
// the centre gathers them for /readyz, /metrics and the alarms.
package condition

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// The kinds of conditions.
const (
	DiskFull   = "disk-full"   // too little space is left; the part waits
	ReadOnly   = "read-only"   // a disk cannot be written
	Damage     = "damage"      // stored data was damaged and set aside
	BusGap     = "bus-gap"     // batches are missing on the bus
	EngineDown = "engine-down" // the engine does not stay up
	ColdAway   = "cold-away"   // days of the lake on the second disk cannot be reached
	ServerDown = "server-down" // a server that holds events or metrics does not answer
	Unsaved    = "unsaved"     // a checkpoint or another small state cannot be saved
	// SamplesRefused says that samples of a tenant that were taken in were not
	// stored, such as those that waited until they were too old.
	SamplesRefused = "samples-refused"
	RuleFlood      = "rule-flood"     // a rule fires so much that it is throttled
	RuleSlow       = "rule-slow"      // a rule takes so much time that it is set aside
	RuleFailed     = "rule-failed"    // a rule panicked and is not asked any more
	PolicyRefused  = "policy-refused" // a policy is broken, unsigned or wrongly signed
	// CorrelationFull says that correlations drop groups to stay within their memory.
	CorrelationFull = "correlation-full"
)

// Severity says how grave a condition is, in the words of alerts.
type Severity string

// The severities.
const (
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Text is what a condition says, in both languages of the suite.
type Text struct {
	ZH string `json:"zh"`
	EN string `json:"en"`
}

// Condition is one thing that is wrong from Since on until it is cleared. Kind
// and Key together identify it.
type Condition struct {
	Kind     string    `json:"kind"`
	Key      string    `json:"key"`
	Severity Severity  `json:"severity"`
	Text     Text      `json:"text"`
	Since    time.Time `json:"since"`
}

// Board holds the conditions of one part. The zero Board is empty and ready;
// its methods are safe for concurrent use.
type Board struct {
	mu   sync.Mutex
	held map[[2]string]Condition
}

// Set raises a condition, or says anew what one that stands is about: Since
// stays the time of the first Set unless c names another. It tells whether the
// condition is new.
func (b *Board) Set(c Condition) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := [2]string{c.Kind, c.Key}
	old, stands := b.held[id]
	if c.Since.IsZero() {
		c.Since = time.Now().UTC()
		if stands {
			c.Since = old.Since
		}
	}
	if b.held == nil {
		b.held = map[[2]string]Condition{}
	}
	b.held[id] = c
	return !stands
}

// Clear takes a condition down and tells whether it stood.
func (b *Board) Clear(kind, key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, stood := b.held[[2]string{kind, key}]
	delete(b.held, [2]string{kind, key})
	return stood
}

// List returns what stands, by kind and key.
func (b *Board) List() []Condition {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Condition, 0, len(b.held))
	for _, c := range b.held {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Condition) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key)) })
	return list
}

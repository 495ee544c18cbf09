// Package engine turns events into occurrences: it matches the rules,
// correlates the matches over event time, fills the sentence templates and
// asks the policy for a priority. It is the only door the pipeline uses.
package engine

import (
	"log/slog"
	"time"

	"icewatch/detections"
	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// Options sets the engine's bounds. Zero values take the defaults.
type Options struct {
	Registry  *event.Registry // required
	Log       *slog.Logger    // default: slog.Default()
	MaxGroups int             // live correlation windows of all rules together; default 200,000
	Lateness  time.Duration   // how far behind the newest event time an event still counts; default 5 min
}

// Stats are counters since the start.
type Stats struct {
	Events      uint64            `json:"events"`
	Matches     uint64            `json:"matches"`
	Occurrences uint64            `json:"occurrences"`
	Hits        map[string]uint64 `json:"hits"`     // by rule id
	Disabled    map[string]string `json:"disabled"` // rule id to the panic that disabled it
	Panics      uint64            `json:"panics"`
	Groups      int               `json:"groups"`       // live correlation windows
	Evicted     uint64            `json:"evicted"`      // windows dropped because of MaxGroups
	Late        uint64            `json:"late"`         // events too late to correlate
	PolicyFails uint64            `json:"policy_fails"` // priorities that fell back to the rule's level
}

// Engine is the detection of one pipeline. Process, Swap, Snapshot and
// Restore exclude each other by an internal lock; Stats may be called at any
// time.
type Engine struct{}

// New makes an engine without rules: it emits nothing until Swap.
func New(opts Options) *Engine { return &Engine{} }

// Swap puts a rule set in force between two events. Correlation state of
// rules whose definition did not change is kept.
func (e *Engine) Swap(set *ruleset.Set) {}

// Process matches one enriched event. emit is called for each firing before
// Process returns; the occurrence it gets is its own to keep.
func (e *Engine) Process(ev *event.Event, emit func(detections.Occurrence)) {}

// Snapshot returns the correlation state, to be stored together with the
// detection position.
func (e *Engine) Snapshot() ([]byte, error) { return nil, nil }

// Restore takes a snapshot back. Call it after Swap: windows of rules that are no
// longer there, or have changed, are dropped.
func (e *Engine) Restore(data []byte) error { return nil }

// Stats returns the counters.
func (e *Engine) Stats() Stats { return Stats{} }

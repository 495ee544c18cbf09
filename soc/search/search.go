// Package search holds the questions the centre asks of the lake and the
// answers it gets: types only. The client to the engine implements Store, the
// API and the command line speak it.
package search

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"icewatch/soc/reach"
)

// Request selects events.
type Request struct {
	Reach  reach.Reach // what the caller may see; the zero value is nothing
	Query  string      // LogsQL; "" or "*" for everything
	Start  time.Time   // inclusive
	End    time.Time   // exclusive
	Limit  int         // rows at most; 0 means the store's own limit
	Offset int         // rows to skip, newest first
}

// Bucket is one bar of a histogram.
type Bucket struct {
	Time  time.Time `json:"time"` // start of the bucket
	Count uint64    `json:"count"`
}

// Histogram counts events over time in buckets of equal width, empty ones
// included.
type Histogram struct {
	StepMS  int64    `json:"step_ms"` // width of a bucket in milliseconds
	Buckets []Bucket `json:"buckets"`
	Total   uint64   `json:"total"`
}

// ValueHits is a field name or a field value and in how many events it occurs.
type ValueHits struct {
	Value string `json:"value"`
	Hits  uint64 `json:"hits"`
}

// What the rows around an event have in common with it.
const (
	ByHost   = "host"   // the same host.name
	ByStream = "stream" // the same event.dataset and host.name
	ByTenant = "tenant" // the same tenant only
	ByNone   = "none"   // nothing
)

// Around asks for what happened before and after an event.
type Around struct {
	ID            string        // the event's event.id
	By            string        // ByHost, ByStream, ByTenant or ByNone
	Width         time.Duration // how far to look to either side
	Before, After int           // rows at most
}

// Surroundings are the rows around an event in the order of their time, those
// of one time in the order in which they were taken in.
type Surroundings struct {
	Anchor     json.RawMessage   `json:"anchor"`
	Before     []json.RawMessage `json:"before"` // the last is the one right before the anchor
	After      []json.RawMessage `json:"after"`
	MoreBefore bool              `json:"more_before"` // within the width
	MoreAfter  bool              `json:"more_after"`
	By         string            `json:"by"`    // what the rows have in common: By of Around, or less where the event lacks it
	Value      string            `json:"value"` // which host, stream or tenant
	Start      time.Time         `json:"start"`
	End        time.Time         `json:"end"`
}

// Facet is the most frequent values of one field.
type Facet struct {
	Field  string      `json:"field"`
	Rows   uint64      `json:"rows"` // matching events that have the field
	Values []ValueHits `json:"values"`
	Others uint64      `json:"others"` // events with other values
	Masked bool        `json:"masked"` // the values are not shown as they are
}

// Facets are the most frequent values of several fields.
type Facets struct {
	Total  uint64  `json:"total"` // matching events
	Facets []Facet `json:"facets"`
}

// FieldStats sums up one field over the matching events. The figures beyond
// Numeric hold the values that are numbers; percentiles are estimated from a
// sample where there are very many.
type FieldStats struct {
	Field         string      `json:"field"`
	Total         uint64      `json:"total"` // matching events
	Rows          uint64      `json:"rows"`  // of these, with the field
	Missing       uint64      `json:"missing"`
	Distinct      uint64      `json:"distinct"`
	DistinctExact bool        `json:"distinct_exact"` // false: there are at least so many
	Numeric       bool        `json:"numeric"`        // every value is a number
	Min           string      `json:"min"`            // in the order of numbers, or of texts
	Max           string      `json:"max"`
	Sum           *float64    `json:"sum"`
	Average       *float64    `json:"avg"`
	P50           *float64    `json:"p50"`
	P95           *float64    `json:"p95"`
	P99           *float64    `json:"p99"`
	Values        []ValueHits `json:"values"` // the most frequent
	Masked        bool        `json:"masked"` // the values are not shown as they are
}

// QueryError says that the query itself is wrong, so that asking again will
// not help: bad syntax, an unknown pipe, a limit exceeded by construction.
type QueryError struct {
	Query    string // the query as it was given
	Position int    // byte offset of the fault in Query, -1 where it is not known
	Reason   string // what is wrong and what was expected
}

// Error names the place and the fault.
func (e *QueryError) Error() string {
	if e.Position < 0 {
		return fmt.Sprintf("query %q: %s", e.Query, e.Reason)
	}
	return fmt.Sprintf("query %q: at character %d: %s", e.Query, e.Position, e.Reason)
}

// Store answers searches. All methods honour the context's deadline and
// cancellation. A wrong query comes back as *QueryError, an event that does
// not exist or may not be seen as ErrNotFound.
type Store interface {
	// Query calls emit once for every event, newest first, with one flat JSON
	// object that is valid only during the call. An error of emit stops the
	// query and is returned as it is.
	Query(ctx context.Context, req Request, emit func(row []byte) error) error
	// Histogram counts the matching events in about the given number of buckets.
	Histogram(ctx context.Context, req Request, buckets int) (Histogram, error)
	// Fields lists the names that occur in matching events, most frequent first.
	Fields(ctx context.Context, req Request, limit int) ([]ValueHits, error)
	// Values lists the values of one field, most frequent first.
	Values(ctx context.Context, req Request, field string, limit int) ([]ValueHits, error)
	// Context returns the rows around an event.
	Context(ctx context.Context, within reach.Reach, around Around) (Surroundings, error)
	// Facets lists the values of several fields, at most limit of each. A field
	// that no matching event has is left out.
	Facets(ctx context.Context, req Request, fields []string, limit int) (Facets, error)
	// FieldStats sums up one field, with at most limit of its values.
	FieldStats(ctx context.Context, req Request, field string, limit int) (FieldStats, error)
	// Tail calls emit for what happens in a live tail until ctx ends or emit
	// fails. Where there are as many tails as there may be it is ErrTooMany.
	Tail(ctx context.Context, t Tailing, emit func(Tailed) error) error
	// Event returns one event by its event.id as a flat JSON object.
	Event(ctx context.Context, within reach.Reach, id string) ([]byte, error)
}

// Tailing asks for events as they are stored.
type Tailing struct {
	Reach reach.Reach // what the caller may see
	Query string      // LogsQL without pipes that sort or count
	After string      // event.id of the last event had; "" begins now
}

// Tailed is one thing that happens in a live tail: an event, events left out,
// a gap, or nothing, which is a sign of life. The first one may be any of these
// and says that the query is good.
type Tailed struct {
	ID      string          `json:"id,omitempty"` // of Row: its event.id
	Row     json.RawMessage `json:"row,omitempty"`
	Dropped uint64          `json:"dropped,omitempty"` // events left out since there were too many at a time
	Gap     bool            `json:"gap,omitempty"`     // what was stored since After is no longer remembered
}

// ErrNotFound says that there is no such event within the reach asked.
var ErrNotFound = fmt.Errorf("search: no such event")

// ErrTooMany says that there are as many live tails as there may be.
var ErrTooMany = fmt.Errorf("search: too many live tails are open")

// UnavailableError is ErrUnavailable for a reason that whoever searches may
// know, such as a server of the lake that is down.
type UnavailableError struct{ Reason string }

func (e *UnavailableError) Error() string { return e.Reason }

// Is makes it an ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// ErrUnavailable says that the engine cannot answer at the moment, for example
// because it is restarting; asking again shortly is worth while.
var ErrUnavailable = fmt.Errorf("search: the engine is not available")

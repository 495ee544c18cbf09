// Package search holds the questions the centre asks of the lake and the
// answers it gets: types only. The client to the engine implements Store, the
// API and the command line speak it.
package search

import (
	"context"
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
	// Event returns one event by its event.id as a flat JSON object.
	Event(ctx context.Context, within reach.Reach, id string) ([]byte, error)
}

// ErrNotFound says that there is no such event within the reach asked.
var ErrNotFound = fmt.Errorf("search: no such event")

// ErrUnavailable says that the engine cannot answer at the moment, for example
// because it is restarting; asking again shortly is worth while.
var ErrUnavailable = fmt.Errorf("search: the engine is not available")

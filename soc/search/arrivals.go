package search

import (
	"context"
	"encoding/json"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/reach"
)

// Place is a place in the order in which events came: the first event that lies
// behind it, by the epoch and sequence of its batch on the bus and its index in
// the batch.
type Place struct {
	Epoch    string `json:"epoch"`
	Sequence uint64 `json:"sequence"`
	Index    uint32 `json:"index"`
}

// Before tells whether an event of the same epoch lies before the place.
func (p Place) Before(id event.ID) bool {
	return id.Sequence < p.Sequence || id.Sequence == p.Sequence && id.Index < p.Index
}

// Arriving asks for events in the order in which they came.
type Arriving struct {
	Reach  reach.Reach // what the caller may see
	Query  string      // LogsQL without pipes that sort, count or limit
	From   Place       // where to begin
	Events int         // how many events to look at, about; those that do not pass the query count
}

// Arrived is the answer to Arriving.
type Arrived struct {
	Events []ArrivedEvent // those that pass, in order; of the batch of From all, from its first index on
	Next   Place          // where to go on: everything before it was looked at
	More   bool           // there is more already
	Behind uint64         // events stored from Next on, about, whether they pass or not
	Came   time.Time      // when what lies at Next came; zero where nothing lies there yet
	// Lost is set where the bus has begun anew since From: what was stored
	// before that and not asked for cannot be asked for in order any more.
	Lost bool
}

// ArrivedEvent is one event of Arrived.
type ArrivedEvent struct {
	ID  event.ID
	Row json.RawMessage
}

// The ends of what Locate finds.
const (
	Newest = "newest" // behind the last event
	Oldest = "oldest" // before the first event of which it is known when it came
)

// Arrivals answers about events in the order in which they came.
type Arrivals interface {
	// Arrivals returns the next events after a place. A wrong query comes back
	// as *QueryError, an engine that is away as ErrUnavailable.
	Arrivals(ctx context.Context, a Arriving) (Arrived, error)
	// Locate returns the place that was reached at a time, in RFC 3339, or
	// Newest or Oldest. It lies a few seconds early rather than late.
	Locate(ctx context.Context, when string) (Place, error)
	// Backlog is Arrived without events: how much lies behind a place.
	Backlog(ctx context.Context, from Place) (Arrived, error)
}

package collectors

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Counters are what a source counts. All methods are safe for concurrent use.
type Counters struct {
	received, rejected, dropped, bytes *metrics.Counter
	lastSeen                           atomic.Int64
	failure                            atomic.Pointer[string]
	running                            atomic.Bool
}

// NewCounters registers the counters of the source id with set, which may be
// nil. A second call with the same set and id counts on.
func NewCounters(set *metrics.Set, id string) *Counters {
	if set == nil {
		set = metrics.NewSet()
	}
	name := func(what string) string { return fmt.Sprintf("icewatch_collector_%s_total{collector=%q}", what, id) }
	return &Counters{
		received: set.GetOrCreateCounter(name("received")),
		rejected: set.GetOrCreateCounter(name("rejected")),
		dropped:  set.GetOrCreateCounter(name("dropped")),
		bytes:    set.GetOrCreateCounter(name("bytes")),
	}
}

// Received counts n records of size bytes together.
func (c *Counters) Received(n, size int) {
	c.received.Add(n)
	c.bytes.Add(size)
	c.lastSeen.Store(time.Now().UnixNano())
}

// Rejected counts n inputs that were refused.
func (c *Counters) Rejected(n int) { c.rejected.Add(n) }

// Dropped counts n records that were lost.
func (c *Counters) Dropped(n int) { c.dropped.Add(n) }

// Running notes that the source is open, or closed.
func (c *Counters) Running(on bool) { c.running.Store(on) }

// Failed notes the last error; nil notes that all is well again.
func (c *Counters) Failed(err error) {
	if err == nil {
		if c.failure.Load() != nil {
			c.failure.Store(nil)
		}
		return
	}
	s := err.Error()
	c.failure.Store(&s)
}

// Health renders the counters.
func (c *Counters) Health(id, kind, listen string) Health {
	h := Health{ID: id, Kind: kind, Listen: listen, State: StateOff,
		Received: c.received.Get(), Rejected: c.rejected.Get(), Dropped: c.dropped.Get(), Bytes: c.bytes.Get()}
	if c.running.Load() {
		h.State = StateOK
	}
	if s := c.failure.Load(); s != nil {
		h.State, h.Error = StateError, *s
	}
	if t := c.lastSeen.Load(); t != 0 {
		h.LastSeen = time.Unix(0, t).UTC()
	}
	return h
}

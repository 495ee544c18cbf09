package centre

import (
	"context"
	"encoding/json"
	"time"

	"icewatch/detections"
	"icewatch/soc/bus"
)

// How occurrences are gathered before they become alerts: detection hands its
// firings over many times a second, few at a time, and a transaction costs
// hardly more with many in it than with one.
const (
	// occurrencePace is the least time between the beginnings of two
	// transactions. What comes after a pause waits for nothing.
	occurrencePace = 200 * time.Millisecond
	// occurrenceBytes is how many bytes of messages are enough for one
	// transaction.
	occurrenceBytes = 4 << 20
	// occurrenceQueue is how many messages are at hand before the bus waits.
	occurrenceQueue = 64
)

// takeOccurrences hands over what detection raised, and lets the bus forget it
// once it is in SQL. Whatever is still there at a start is handed over again;
// ticketing knows each occurrence by its id.
func (c *centre) takeOccurrences(ctx context.Context, from uint64) {
	messages := make(chan bus.Message, occurrenceQueue)
	var broken error // why the bus hands over no more; set before messages closes
	go func() {
		defer close(messages)
		broken = c.client.Occurrences(ctx, from, func(m bus.Message) error {
			select {
			case messages <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	trimmed := time.Now()
	in := paced{messages: messages, pace: occurrencePace, enough: occurrenceBytes}
	for batch := in.next(); batch != nil; batch = in.next() {
		if !c.ingest(ctx, batch) {
			return
		}
		if time.Since(trimmed) > 10*time.Second && c.holds.Load() == 0 {
			trimmed = time.Now()
			if err := c.client.TrimOccurrences(ctx, batch[len(batch)-1].Sequence); err != nil && ctx.Err() == nil {
				c.log.Warn("ticketing: trimming the bus", "error", err)
			}
		}
	}
	if broken != nil && ctx.Err() == nil {
		c.log.Error("ticketing: occurrences are not taken any more", "error", broken)
		c.failed <- broken
	}
}

// ingest makes alerts of messages of occurrences, however long SQL takes to
// accept them. It answers false where ctx ended before.
func (c *centre) ingest(ctx context.Context, batch []bus.Message) bool {
	var all []detections.Occurrence
	for _, m := range batch {
		var some []detections.Occurrence
		if err := json.Unmarshal(m.Data, &some); err != nil {
			c.log.Error("ticketing: a message of occurrences is damaged and left out", "sequence", m.Sequence, "error", err)
			continue
		}
		all = append(all, some...)
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := c.tickets.Ingest(ctx, all)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		c.log.Error("ticketing: occurrences wait", "count", len(all), "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false
		}
	}
}

// paced gathers messages into batches.
type paced struct {
	messages <-chan bus.Message
	pace     time.Duration // between the beginnings of two batches' work
	enough   int           // bytes after which a batch waits no longer
	last     time.Time     // when the batch before was handed out
}

// next waits for a message and returns it with those that come until the pace
// allows the next batch. It returns nil once the channel is closed and empty.
func (p *paced) next() []bus.Message {
	m, open := <-p.messages
	if !open {
		return nil
	}
	batch, size := []bus.Message{m}, len(m.Data)
	due := time.NewTimer(time.Until(p.last.Add(p.pace)))
	defer due.Stop()
	for late := false; open && size < p.enough; {
		if late { // take what is there, wait for no more
			select {
			case m, open = <-p.messages:
			default:
				open = false
			}
		} else {
			select {
			case m, open = <-p.messages:
			case <-due.C:
				late = true
				continue
			}
		}
		if open {
			batch, size = append(batch, m), size+len(m.Data)
		}
	}
	p.last = time.Now()
	return batch
}

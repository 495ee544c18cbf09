// Package beat counts events by tenant, source and dataset in spans of five
// minutes, where events pass. What is made of the counts is the rhythm's work.
package beat

import (
	"strings"
	"sync"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// Span is the length of a slot.
const Span = 5 * time.Minute

const (
	kept    = 24     // slots that are remembered: two hours
	maxKeys = 50_000 // sources that are told apart; further ones of a tenant's dataset count as one
	forget  = 3 * 60 * 60
)

// SlotOf is the slot of a time: Unix time in spans.
func SlotOf(t time.Time) int64 { return t.Unix() / int64(Span/time.Second) }

// Key is what is counted apart. Source is the host's or the observer's name,
// else the sender's address, else the way in; empty beyond the bound.
type Key struct {
	Tenant  string `json:"tenant"`
	Dataset string `json:"dataset"`
	Source  string `json:"source"`
}

// Facts are what the first event of a key told of its origin.
type Facts struct {
	Collector  string `json:"collector,omitempty"`
	Zone       string `json:"zone,omitempty"`
	Peer       string `json:"peer,omitempty"`
	Item       string `json:"item,omitempty"` // configuration item
	ItemName   string `json:"item_name,omitempty"`
	Class      string `json:"class,omitempty"`
	System     string `json:"system,omitempty"` // business system
	SystemName string `json:"system_name,omitempty"`
	Owner      string `json:"owner,omitempty"`
	Category   string `json:"category,omitempty"` // event.category
}

// Count is how many events a slot had.
type Count struct {
	Slot   int64  `json:"slot"`
	Events uint64 `json:"events"`
}

// Beat is a key with its latest slots.
type Beat struct {
	Key
	Facts
	Last   int64   `json:"last"` // when its latest event came, in Unix nanoseconds
	Counts []Count `json:"counts"`
}

// Beats are all that a counter tells. Figures of one Run grow; another begins
// anew.
type Beats struct {
	Run   string `json:"run"`
	Beats []Beat `json:"beats"`
}

// Counter counts. It is safe for concurrent use.
type Counter struct {
	run string

	mu    sync.Mutex
	byKey map[Key]*series
	last  Key // of the event before, which events of a batch mostly share
	of    *series
}

type series struct {
	key    Key
	facts  Facts
	last   int64
	slots  [kept]int64
	counts [kept]uint64
}

// NewCounter makes a counter; run names it among those before and after it.
func NewCounter(run string) *Counter { return &Counter{run: run, byKey: map[Key]*series{}} }

// Count counts an event by when it was taken in.
func (c *Counter) Count(ev *event.Event, rec *intake.Record) {
	if rec.Collector == intake.Own {
		return
	}
	k := Key{Tenant: ev.Tenant}
	observer := ""
	for i := range ev.Fields {
		switch f := &ev.Fields[i]; f.ID {
		case event.EventDataset:
			k.Dataset = f.Value
		case event.HostName:
			if k.Source == "" {
				k.Source = f.Value
			}
		case event.ObserverName:
			observer = f.Value
		case event.Peer:
			if k.Source == "" && observer == "" {
				observer = f.Value
			}
		}
	}
	if k.Source == "" {
		k.Source = observer
	}
	if k.Source == "" {
		k.Source = rec.Collector
	}
	slot := rec.Received / int64(Span)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.of
	if s == nil || k != c.last {
		if s = c.byKey[k]; s == nil {
			if len(c.byKey) >= maxKeys {
				k.Source = ""
				s = c.byKey[k]
			}
			if s == nil {
				// The event's own texts are of a batch that will be gone.
				k = Key{strings.Clone(k.Tenant), strings.Clone(k.Dataset), strings.Clone(k.Source)}
				s = &series{key: k, facts: facts(ev, rec)}
				c.byKey[k] = s
			}
		}
		c.last, c.of = s.key, s
	}
	at := int(uint64(slot) % kept)
	if s.slots[at] != slot {
		s.slots[at], s.counts[at] = slot, 0
	}
	s.counts[at]++
	s.last = max(s.last, rec.Received)
}

func facts(ev *event.Event, rec *intake.Record) Facts {
	text := func(id event.FieldID) string { return strings.Clone(ev.Text(id)) }
	f := Facts{Collector: strings.Clone(rec.Collector), Zone: strings.Clone(rec.Zone), Item: text(event.CIID), ItemName: text(event.CIName), Class: text(event.CIClass),
		System: text(event.CISystem), SystemName: text(event.CISystemName), Owner: text(event.CIOwner), Category: text(event.EventCategory)}
	if rec.Peer.IsValid() {
		f.Peer = rec.Peer.Unmap().WithZone("").String()
	}
	return f
}

// Tell returns the counts from the slot on, and forgets keys that have been
// quiet for longer than is kept.
func (c *Counter) Tell(from int64) Beats {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Beats{Run: c.run, Beats: []Beat{}}
	newest := int64(0)
	for _, s := range c.byKey {
		newest = max(newest, s.last)
	}
	for k, s := range c.byKey {
		if newest-s.last > forget*int64(time.Second) {
			delete(c.byKey, k)
			if c.of == s {
				c.of = nil
			}
			continue
		}
		b := Beat{Key: k, Facts: s.facts, Last: s.last}
		for i, slot := range s.slots {
			if s.counts[i] > 0 && slot >= from {
				b.Counts = append(b.Counts, Count{slot, s.counts[i]})
			}
		}
		if len(b.Counts) > 0 {
			out.Beats = append(out.Beats, b)
		}
	}
	return out
}

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

// Beat is a key with its latest slots. Key and Facts are told once: with New, for
// which its Number stands from then on, until another New has it.
type Beat struct {
	Number uint64
	New    bool
	Key
	Facts
	Last   int64 // when its latest event came, in Unix nanoseconds
	Counts []Count
}

// Mark is how far a counter has told.
type Mark struct {
	Run   string
	Round uint64 // 0: nothing of it
}

// Beats are what a counter tells of the keys that were counted since a mark.
// Figures of one run grow; another begins anew, with all of its keys.
type Beats struct {
	Mark  Mark // to be told on from
	Beats []Beat
}

// Counter counts. It is safe for concurrent use.
type Counter struct {
	run string

	mu    sync.Mutex
	round uint64 // of what is counted now
	byKey map[Key]*series
	free  []uint64          // numbers below len(byKey)+len(free) of keys that are forgotten
	words map[string]string // tenants and datasets, one copy of each
	last  Key               // of the event before, which events of a batch mostly share
	of    *series
}

// series is one of tens of thousands, which events touch in no order: what each
// event changes lies together.
type series struct {
	slot   int64 // that is counted at present
	count  uint64
	beaten uint64 // in which round last
	last   int64

	key    Key
	facts  Facts
	number uint64
	made   uint64 // in which round
	slots  [kept]int64
	counts [kept]uint64
}

// turn makes slot the one that is counted.
func (s *series) turn(slot int64) {
	s.settle()
	at := int(uint64(slot) % kept)
	s.slot, s.count = slot, 0
	if s.slots[at] == slot {
		s.count = s.counts[at]
	}
}

// settle writes the count of the present slot to the others.
func (s *series) settle() {
	at := int(uint64(s.slot) % kept)
	s.slots[at], s.counts[at] = s.slot, s.count
}

// NewCounter makes a counter; run names it among those before and after it.
func NewCounter(run string) *Counter {
	return &Counter{run: run, round: 1, byKey: map[Key]*series{}, words: map[string]string{}}
}

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
				k = Key{c.word(k.Tenant), c.word(k.Dataset), strings.Clone(k.Source)}
				s = &series{key: k, facts: facts(ev, rec), number: c.number(), made: c.round}
				c.byKey[k] = s
			}
		}
		c.last, c.of = s.key, s
	}
	if s.slot != slot {
		s.turn(slot)
	}
	s.count++
	s.beaten = c.round
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

// maxWords bounds the texts of which there is one copy.
const maxWords = 10_000

// word returns the copy of a text.
func (c *Counter) word(s string) string {
	w, ok := c.words[s]
	if !ok {
		if len(c.words) >= maxWords {
			clear(c.words)
		}
		w = strings.Clone(s)
		c.words[w] = w
	}
	return w
}

// number finds a number that no key has.
func (c *Counter) number() uint64 {
	if n := len(c.free); n > 0 {
		number := c.free[n-1]
		c.free = c.free[:n-1]
		return number
	}
	return uint64(len(c.byKey))
}

// Tell returns the counts from the slot on of those keys that were counted since
// the mark, all of them where it is of another run. It forgets keys that have been
// quiet for longer than is kept.
func (c *Counter) Tell(since Mark, from int64) Beats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if since.Run != c.run || since.Round >= c.round {
		since.Round = 0
	}
	out := Beats{Mark: Mark{c.run, c.round}}
	c.round++
	newest, beaten := int64(0), 0
	for _, s := range c.byKey {
		newest = max(newest, s.last)
		if s.beaten > since.Round {
			beaten++
		}
	}
	out.Beats = make([]Beat, 0, beaten)
	counts := make([]Count, 0, 2*beaten)
	for k, s := range c.byKey {
		if newest-s.last > forget*int64(time.Second) {
			delete(c.byKey, k)
			c.free = append(c.free, s.number)
			if c.of == s {
				c.of = nil
			}
			continue
		}
		if s.beaten <= since.Round {
			continue
		}
		b := Beat{Number: s.number, Last: s.last}
		if s.made > since.Round {
			b.New, b.Key, b.Facts = true, k, s.facts
		}
		s.settle()
		first := len(counts)
		for i, slot := range s.slots {
			if s.counts[i] > 0 && slot >= from {
				counts = append(counts, Count{slot, s.counts[i]})
			}
		}
		if b.Counts = counts[first:len(counts):len(counts)]; len(b.Counts) > 0 || b.New {
			out.Beats = append(out.Beats, b)
		}
	}
	return out
}

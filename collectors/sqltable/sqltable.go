package sqltable

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/fetch"
	"icewatch/soc/intake"
)

// Collector reads rows.
type Collector struct {
	*fetch.Loop
	s      *settings
	deps   collectors.Deps
	stream string // what is read, in an id
	now    func() time.Time

	loaded  bool
	begun   bool
	settled place  // rows before it cannot appear any more; this place is kept
	reached []mark // places that later looks reached
	seen    map[id]sight
	looks   int
}

var _ collectors.Collector = (*Collector)(nil)

// id is the hash of a row's contents.
type id [16]byte

// sight is when a row was seen last, and its key.
type sight struct {
	look int
	key  string
}

// mark is what a look reached.
type mark struct {
	place place
	at    time.Time
	look  int
}

// kept is how far a source was read, as it is saved.
type kept struct {
	Version int   `json:"version"`
	Place   place `json:"place"`
}

const (
	maxSeen  = 500_000 // rows that are remembered while they may be read again
	maxEqual = 100_000 // rows of one key, where no second one tells them apart
)

// New makes a source of rows.
func New(cfg Config, deps collectors.Deps) (*Collector, error) {
	s, err := cfg.settle()
	if err != nil {
		return nil, err
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	if deps.Places == nil {
		return nil, fmt.Errorf("sqltable: %s: nowhere to keep how far rows were read", cfg.ID)
	}
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q %q %q %q %q %q", s.Database, s.Address, s.Name, s.Schema, s.Table, s.Query)))
	c := &Collector{s: s, deps: deps, stream: hex.EncodeToString(sum[:6]), now: time.Now, seen: map[id]sight{}}
	c.Loop = fetch.NewLoop(s.ID, "sqltable", fmt.Sprintf("%s://%s/%s %s", s.Database, s.Address, s.Name, s.what()), deps, time.Duration(s.IntervalSeconds)*time.Second, c.round)
	return c, nil
}

func (c *Collector) load(ctx context.Context) error {
	data, err := c.deps.Places.Place(ctx, c.s.ID+"/rows")
	if err != nil {
		return fmt.Errorf("how far rows were read: %w", err)
	}
	if data != nil {
		var k kept
		if err := json.Unmarshal(data, &k); err != nil || k.Version != 1 {
			return fmt.Errorf("how far rows were read is damaged or of another version: %v", err)
		}
		c.settled, c.begun = k.Place, true
	}
	c.loaded = true
	return nil
}

func (c *Collector) save() error {
	data, err := json.Marshal(kept{1, c.settled})
	if err != nil {
		return fmt.Errorf("encode how far rows were read: %w", err)
	}
	if err := c.deps.Places.Save(c.Storing(), c.s.ID+"/rows", data); err != nil {
		return fmt.Errorf("keep how far rows were read: %w", err)
	}
	return nil
}

// round looks once.
func (c *Collector) round(ctx context.Context) (more bool, err error) {
	if !c.loaded {
		if err := c.load(ctx); err != nil {
			return false, err
		}
	}
	db, err := c.s.open(c.deps.Dial)
	if err != nil {
		return false, err
	}
	defer db.Close()
	if !c.begun {
		if err := c.begin(ctx, db); err != nil {
			return false, err
		}
	}
	now := c.now()
	c.looks++
	if c.advance(now) {
		if err := c.save(); err != nil {
			return false, err
		}
	}
	at := c.settled
	for ctx.Err() == nil {
		next, ended, err := c.page(ctx, db, at)
		if err != nil {
			return false, err
		}
		at = next
		if ended {
			c.reached = append(c.reached, mark{at, c.now(), c.looks})
			break
		}
		if len(c.seen) > maxSeen { // A long way: what is far behind is old enough.
			c.settled = at
			c.forget()
			if err := c.save(); err != nil {
				return false, err
			}
		}
	}
	return false, ctx.Err()
}

// begin finds where to start the first time.
func (c *Collector) begin(ctx context.Context, db *sql.DB) error {
	if c.s.Start == FromEnd {
		ctx, cancel := context.WithTimeout(ctx, c.s.timeout)
		defer cancel()
		n, err := c.s.begin(ctx, db)
		if err != nil {
			return err
		}
		defer n.end()
		if c.settled, err = n.last(ctx); err != nil {
			return err
		}
		// The rows that are there with the highest key are not new.
		if c.settled.Key != nil {
			same := map[id]int{}
			err = n.each(ctx, c.settled, maxEqual, func(r row) error {
				c.seen[c.id(r, same)] = sight{0, r.key}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	if err := c.save(); err != nil {
		return err
	}
	c.begun = true
	return nil
}

// advance moves the settled place over what was reached long enough ago.
func (c *Collector) advance(now time.Time) (moved bool) {
	n := 0
	for n < len(c.reached) && now.Sub(c.reached[n].at) >= time.Duration(c.s.SettleSeconds)*time.Second {
		n++
	}
	if n == 0 {
		return false
	}
	m := c.reached[n-1]
	c.reached = append(c.reached[:0], c.reached[n:]...)
	moved = m.place.Key != nil && (c.settled.Key == nil || *c.settled.Key != *m.place.Key || c.settled.Second != m.place.Second)
	c.settled = m.place
	for i, s := range c.seen {
		if s.look <= m.look-1 && (c.settled.Key == nil || s.key != *c.settled.Key) {
			delete(c.seen, i)
		}
	}
	return moved
}

// forget drops the rows that were seen before the settled place.
func (c *Collector) forget() {
	c.reached = c.reached[:0]
	for i, s := range c.seen {
		if c.settled.Key == nil || s.key != *c.settled.Key {
			delete(c.seen, i)
		}
	}
}

// page reads the rows from a place on and stores those that are new. ended says
// that there were no more.
func (c *Collector) page(ctx context.Context, db *sql.DB, from place) (at place, ended bool, err error) {
	for limit := c.s.BatchRows; ; limit *= 4 {
		at, count, err := c.rows(ctx, db, from, limit)
		switch {
		case err != nil:
			return from, false, err
		case count < limit:
			return at, true, nil
		case from.Key == nil || at.Key == nil || *at.Key != *from.Key || at.Second != from.Second:
			return at, false, nil
		case limit >= maxEqual:
			return from, false, fmt.Errorf("more than %d rows of %s have the same %s (%s): name a second_key that tells them apart", limit, c.s.what(), c.s.Key, *at.Key)
		}
	}
}

// rows reads at most limit rows in one transaction.
func (c *Collector) rows(ctx context.Context, db *sql.DB, from place, limit int) (at place, count int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.timeout)
	defer cancel()
	n, err := c.s.begin(ctx, db)
	if err != nil {
		return from, 0, err
	}
	defer n.end()
	at = from
	var recs []intake.Record
	var ids []id
	var keys []string
	size := 0
	same := map[id]int{}
	hand := func() error {
		if err := c.Hand(recs); err != nil {
			return err
		}
		for i, one := range ids {
			c.seen[one] = sight{c.looks, keys[i]}
		}
		clear(recs)
		recs, ids, keys, size = recs[:0], ids[:0], keys[:0], 0
		return nil
	}
	err = n.each(ctx, from, limit, func(r row) error {
		count++
		key := r.key
		at = place{&key, r.second}
		one := c.id(r, same)
		if s, ok := c.seen[one]; ok {
			s.look = c.looks
			c.seen[one] = s
			return nil
		}
		recs = append(recs, intake.Record{Tenant: c.s.Tenant, Zone: c.s.Zone, Collector: c.s.ID, Format: intake.JSON, Received: c.now().UnixNano(), Time: r.time,
			ID: c.stream + "-" + hex.EncodeToString(one[:]), Data: append([]byte(nil), r.json...)})
		ids, keys = append(ids, one), append(keys, r.key)
		if size += len(r.json); size >= fetch.BatchBytes || len(recs) >= fetch.BatchRecords {
			return hand()
		}
		return nil
	})
	if err == nil {
		err = hand()
	}
	return at, count, err
}

// id names a row by what it holds; rows that hold the same are numbered in same.
func (c *Collector) id(r row, same map[id]int) id {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q ", r.key, r.second)
	_, _ = h.Write(r.json) // It never fails.
	var out id
	copy(out[:], h.Sum(nil))
	n := same[out]
	same[out] = n + 1
	if n > 0 {
		sum := sha256.Sum256(append(out[:], strconv.Itoa(n)...))
		copy(out[:], sum[:])
	}
	return out
}

// try connects, and tells the columns and the first rows.
func try(ctx context.Context, cfg any, deps collectors.Deps) (collectors.Trial, error) {
	var out collectors.Trial
	c, ok := cfg.(*Config)
	if !ok {
		return out, fmt.Errorf("sqltable: configuration of a source of rows expected, not %T", cfg)
	}
	s, err := c.settle()
	if err != nil {
		return out, err
	}
	if deps.Dial == nil {
		deps.Dial = collectors.PlainDial
	}
	db, err := s.open(deps.Dial)
	if err != nil {
		return out, err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		return out, fmt.Errorf("connect to %s of %s as %s: %w", s.Name, s.Address, s.Username, err)
	}
	secured := ""
	if s.TLS {
		secured = " over TLS"
	}
	out.Steps = append(out.Steps, fmt.Sprintf("connected to %s of %s as %s%s", s.Name, s.Address, s.Username, secured))
	n, err := s.begin(ctx, db)
	if err != nil {
		return out, err
	}
	defer n.end()
	out.Steps = append(out.Steps, fmt.Sprintf("%s has the columns %s", s.what(), names(n.columns)))
	err = n.each(ctx, place{}, collectors.MaxTrial, func(r row) error {
		out.Records = append(out.Records, string(collectors.Cut(r.json, 4096)))
		return nil
	})
	if err != nil {
		return out, err
	}
	out.Steps = append(out.Steps, fmt.Sprintf("%d rows read, in the order of %s", len(out.Records), s.Key))
	return out, nil
}

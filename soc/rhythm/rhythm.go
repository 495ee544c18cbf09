// Package rhythm learns when each source sends how much, by tenant, source and
// dataset, and tells which are silent or flood beyond it.
//
// A source's time is counted in slots of five minutes in which it should have
// sent: how likely that is, is learnt by hour and weekday. By that clock a source
// that works by day has no nights, and a nightly batch has no days. A source is
// silent once it has missed much more than the longest of its usual gaps, by its
// own clock, or when it has sent on each of the last days and, well after its
// usual time, not yet on this one. New sources are only watched for a day. Slots
// in which the suite itself did not keep up are not counted.
package rhythm

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/rhythm/beat"
	"icewatch/soc/state"
	"icewatch/soc/watch"
)

//go:embed migrations/*.sql
var migrations embed.FS

// keep is how long a silent source stays listed.
const keep = 60 * 24 * time.Hour

// settled is how long a flood must last to be taken for the source's new way.
const settled = 24 * time.Hour

// States of a source.
const (
	New    = "new"    // watched for less than a day, or for too few events
	OK     = "ok"     //
	Silent = "silent" //
	Flood  = "flood"  //
)

// Source is a source of one dataset as it is shown.
type Source struct {
	ID string `json:"id"`
	beat.Key
	beat.Facts
	State     string     `json:"state" enum:"new,ok,silent,flood"`
	Since     *time.Time `json:"since,omitempty" doc:"Since when it is silent, or floods"`
	FirstSeen time.Time  `json:"first_seen"`
	LastSeen  time.Time  `json:"last_seen"`
	Rate      float64    `json:"events_per_second" doc:"In the last five minutes that are over"`
	Usual     float64    `json:"usual_per_second" doc:"At this hour of this weekday; 0 while nothing is known"`
	Expected  float64    `json:"expected_share" doc:"How likely it is that it sends within five minutes at this hour of this weekday"`
	Missed    float64    `json:"missed_spans" doc:"Spans of five minutes in which it should have sent, since it sent last"`
	Patience  float64    `json:"patience_spans" doc:"So many may be missed before it is silent"`
}

// Keeper keeps the rhythms. It is safe for concurrent use.
type Keeper struct {
	db   *state.DB
	zone *time.Location

	mu      sync.Mutex
	sources map[beat.Key]*source
	mark    beat.Mark // how far the counter has told
	told    map[uint64]origin
	closed  int64 // the last slot that was learnt
	gone    []string
}

// origin is what the counter says of a key once.
type origin struct {
	key   beat.Key
	facts beat.Facts
}

type source struct {
	id          string
	key         beat.Key
	facts       beat.Facts
	first, last time.Time
	model       model
	open        map[int64]uint64 // counts of slots that are not learnt yet: of this run
	before      map[int64]uint64 // likewise, of runs before
	rate        uint64           // of the last closed slot
	silent      *time.Time
	flood       *time.Time
	dirty       bool
}

type row struct {
	bun.BaseModel `bun:"table:rhythm_sources,alias:r"`
	ID            string `bun:"id,pk"`
	Tenant        string `bun:"tenant"`
	Dataset       string `bun:"dataset"`
	Source        string `bun:"source"`
	Facts         string `bun:"facts"`
	FirstSeen     int64  `bun:"first_seen"`
	LastSeen      int64  `bun:"last_seen"`
	SilentSince   int64  `bun:"silent_since"`
	FloodSince    int64  `bun:"flood_since"`
	Model         string `bun:"model"`
}

// Open loads what was learnt. zone is that of the hours and weekdays.
func Open(ctx context.Context, db *state.DB, zone *time.Location) (*Keeper, error) {
	if err := db.Migrate(ctx, "rhythm", migrations); err != nil {
		return nil, fmt.Errorf("rhythm: %w", err)
	}
	k := &Keeper{db: db, zone: zone, sources: map[beat.Key]*source{}, told: map[uint64]origin{}}
	var rows []row
	if err := db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("rhythm: read the sources: %w", err)
	}
	for _, r := range rows {
		s := &source{id: r.ID, key: beat.Key{Tenant: r.Tenant, Dataset: r.Dataset, Source: r.Source}, first: time.UnixMilli(r.FirstSeen), last: time.UnixMilli(r.LastSeen),
			open: map[int64]uint64{}, before: map[int64]uint64{}, silent: moment(r.SilentSince), flood: moment(r.FloodSince)}
		// What an older release wrote differently is learnt anew.
		_ = json.Unmarshal([]byte(r.Facts), &s.facts)
		_ = json.Unmarshal([]byte(r.Model), &s.model)
		k.sources[s.key] = s
	}
	return k, nil
}

func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

func millis(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}

func idOf(k beat.Key) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{k.Tenant, k.Dataset, k.Source}, "\x00")))
	return hex.EncodeToString(sum[:10])
}

// From is how far the counts were taken in, and the first slot of which Take still
// wants them.
func (k *Keeper) From() (since beat.Mark, slot int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mark, k.closed + 1
}

// Take takes in what was counted since From. now is the time up to which all events
// that came are counted. least is how long a source must have been quiet in any case
// to be silent; 0 lets none be silent.
func (k *Keeper) Take(b beat.Beats, now time.Time, least time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if b.Mark.Run != k.mark.Run {
		clear(k.told)
		for _, s := range k.sources { // What the run before counted stands.
			for slot, n := range s.open {
				s.before[slot] += n
			}
			clear(s.open)
		}
	}
	k.mark = b.Mark
	for i := range b.Beats {
		x := &b.Beats[i]
		if x.New {
			k.told[x.Number] = origin{x.Key, x.Facts}
		}
		of, ok := k.told[x.Number]
		if !ok {
			k.mark.Round = 0 // All are to be told anew.
			continue
		}
		if len(x.Counts) == 0 {
			continue
		}
		s := k.sources[of.key]
		if s == nil {
			s = &source{id: idOf(of.key), key: of.key, first: time.Unix(0, x.Last).UTC(), open: map[int64]uint64{}, before: map[int64]uint64{}}
			k.sources[of.key] = s
		}
		if s.facts != of.facts {
			s.facts, s.dirty = of.facts, true
		}
		for _, c := range x.Counts {
			if c.Slot > k.closed {
				s.open[c.Slot] = c.Events
			}
		}
		if at := time.Unix(0, x.Last).UTC(); at.After(s.last) {
			s.last, s.dirty = at, true
			if s.silent != nil && at.After(s.silent.Add(time.Second)) {
				s.silent = nil
			}
		}
	}
	over := beat.SlotOf(now) - 1
	if k.closed == 0 || over-k.closed > int64(time.Hour/beat.Span) {
		// After a start, or when nothing was heard of the counts for long: nobody
		// knows whether nothing came.
		k.closed = max(k.closed, over)
	}
	for ; k.closed < over; k.closed++ {
		k.close(k.closed+1, least)
	}
}

// close learns a slot and judges.
func (k *Keeper) close(slot int64, least time.Duration) {
	at := time.Unix(slot*int64(beat.Span/time.Second), 0).In(k.zone)
	end := at.Add(beat.Span)
	for key, s := range k.sources {
		n := s.open[slot] + s.before[slot]
		for old := range s.open {
			if old <= slot {
				delete(s.open, old)
			}
		}
		for old := range s.before {
			if old <= slot {
				delete(s.before, old)
			}
		}
		if end.Sub(s.last) > keep {
			delete(k.sources, key)
			k.gone = append(k.gone, s.id)
			continue
		}
		s.rate, s.dirty = n, true
		known := s.known()
		if limit := s.model.limit(at); known && float64(n) > limit {
			s.model.High, s.model.Low = s.model.High+1, 0
			if s.model.High >= 2 && s.flood == nil {
				since := at.Add(-beat.Span).UTC()
				s.flood = &since
			}
		} else {
			s.model.High, s.model.Low = 0, s.model.Low+1
			if s.model.Low >= 2 {
				s.flood = nil
			}
		}
		if at.Add(beat.Span).Before(s.first) {
			continue
		}
		s.model.learn(at, n, s.silent != nil, s.model.High > 0 && (s.flood == nil || end.Sub(*s.flood) < settled))
		switch {
		case n > 0 || least <= 0:
			s.silent = nil
		case s.silent == nil && known && end.Sub(s.last) >= least && (s.model.Now > s.model.patience() || s.model.late(at)):
			since := s.last
			s.silent, s.model.Missed = &since, true
		}
	}
}

// known tells whether enough is known of a source to judge it.
func (s *source) known() bool { return s.last.Sub(s.first) >= grace && s.model.Active >= learnt }

// Save makes durable what was learnt.
func (k *Keeper) Save(ctx context.Context) error {
	k.mu.Lock()
	var rows []row
	var saved []*source
	for _, s := range k.sources {
		if !s.dirty {
			continue
		}
		facts, err := json.Marshal(s.facts)
		if err == nil {
			var text []byte
			text, err = json.Marshal(&s.model)
			rows = append(rows, row{ID: s.id, Tenant: s.key.Tenant, Dataset: s.key.Dataset, Source: s.key.Source, Facts: string(facts), FirstSeen: s.first.UnixMilli(), LastSeen: s.last.UnixMilli(),
				SilentSince: millis(s.silent), FloodSince: millis(s.flood), Model: string(text)})
			saved = append(saved, s)
		}
		if err != nil {
			k.mu.Unlock()
			return fmt.Errorf("rhythm: encode %s: %w", s.id, err)
		}
		s.dirty = false
	}
	gone := k.gone
	k.gone = nil
	k.mu.Unlock()
	err := k.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for part := range slices.Chunk(rows, 200) {
			_, err := tx.NewInsert().Model(&part).On("CONFLICT (id) DO UPDATE").
				Set("facts = EXCLUDED.facts, last_seen = EXCLUDED.last_seen, silent_since = EXCLUDED.silent_since, flood_since = EXCLUDED.flood_since, model = EXCLUDED.model").Returning("NULL").Exec(ctx)
			if err != nil {
				return fmt.Errorf("rhythm: keep %d sources: %w", len(rows), err)
			}
		}
		for part := range slices.Chunk(gone, 200) {
			if _, err := tx.NewDelete().Model((*row)(nil)).Where("id IN (?)", bun.In(part)).Exec(ctx); err != nil {
				return fmt.Errorf("rhythm: forget %d sources: %w", len(gone), err)
			}
		}
		return nil
	})
	if err != nil {
		k.mu.Lock()
		for _, s := range saved {
			s.dirty = true
		}
		k.gone = append(k.gone, gone...)
		k.mu.Unlock()
	}
	return err
}

// List tells of all sources, by tenant, system, source and dataset.
func (k *Keeper) List(now time.Time) []Source {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := now.In(k.zone)
	out := make([]Source, 0, len(k.sources))
	for _, s := range k.sources {
		v := Source{ID: s.id, Key: s.key, Facts: s.facts, State: OK, FirstSeen: s.first.UTC(), LastSeen: s.last.UTC(), Rate: round(float64(s.rate) / beat.Span.Seconds()),
			Usual: round(s.model.usual(at) / beat.Span.Seconds()), Expected: round(s.model.share(at)), Missed: round(s.model.Now), Patience: round(s.model.patience())}
		switch {
		case s.silent != nil:
			v.State, v.Since = Silent, s.silent
		case s.flood != nil:
			v.State, v.Since = Flood, s.flood
		case !s.known():
			v.State = New
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Source) int {
		for _, c := range []int{strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.SystemName, b.SystemName), strings.Compare(a.Source, b.Source), strings.Compare(a.Dataset, b.Dataset)} {
			if c != 0 {
				return c
			}
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Alarms say which sources are silent or flood, as Alarms does of List.
func (k *Keeper) Alarms(now time.Time) []watch.Alarm {
	k.mu.Lock()
	found := false
	for _, s := range k.sources {
		if found = s.silent != nil || s.flood != nil; found {
			break
		}
	}
	k.mu.Unlock()
	if !found {
		return nil
	}
	return Alarms(k.List(now))
}

// ErrNoSource says that there is no source with the id.
var ErrNoSource = errors.New("rhythm: there is no such source")

// Get returns one source.
func (k *Keeper) Get(id string, now time.Time) (Source, error) {
	for _, s := range k.List(now) {
		if s.ID == id {
			return s, nil
		}
	}
	return Source{}, fmt.Errorf("%w: %q", ErrNoSource, id)
}

// Forget takes a source off the list; what it sends from now on is learnt anew.
func (k *Keeper) Forget(ctx context.Context, id string) error {
	k.mu.Lock()
	found := false
	for key, s := range k.sources {
		if s.id == id {
			delete(k.sources, key)
			found = true
		}
	}
	k.mu.Unlock()
	if !found {
		return fmt.Errorf("%w: %q", ErrNoSource, id)
	}
	if _, err := k.db.NewDelete().Model((*row)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("rhythm: forget the source %s: %w", id, err)
	}
	return nil
}

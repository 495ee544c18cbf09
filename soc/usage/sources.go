package usage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/intake"
	"icewatch/soc/state"
)

const (
	// slot is the span by which sources are watched.
	slot = 10 * time.Second
	// slotsOfRate is how many spans the rate is the mean of: a minute.
	slotsOfRate = 6
	// maxSources bounds who is told apart; further senders count as one for
	// each way in.
	maxSources = 50_000
	// regular is how many spans a source must have sent in before its silence
	// means anything.
	regular = 6
	// patience is how many of its usual gaps a source may be silent.
	patience = 10
	// forget is how long a silent source stays listed.
	forget = 30 * 24 * time.Hour
)

// Owner tells whose the device at an address is, and what it is called in the
// CMDB; "" where nobody knows.
type Owner func(zone string, peer netip.Addr) (tenant, item, name string)

// Sources knows who sends: each way in, network zone and address apart. It is
// safe for concurrent use.
type Sources struct {
	db    *state.DB
	owned Owner

	mu    sync.RWMutex
	byKey map[sourceKey]*source
	gone  []string // ids to delete from the table
}

type sourceKey struct {
	tenant, collector, zone string
	peer                    netip.Addr
}

type source struct {
	key           sourceKey
	id            string
	events, bytes atomic.Uint64
	last          atomic.Int64 // Unix nanoseconds

	// What follows belongs to Tick alone, under the lock.
	first  time.Time
	slots  int64                   // spans with events
	before [slotsOfRate + 1]uint64 // counts at the ends of the last spans
	at     int
	saved  uint64
	seen   uint64
}

// Source is one sender as it is shown.
type Source struct {
	ID          string     `json:"id"`
	Tenant      string     `json:"tenant" doc:"Empty where nobody knows whose it is"`
	Collector   string     `json:"collector"`
	Zone        string     `json:"zone"`
	Peer        string     `json:"peer" doc:"Address of the other end; empty for files and for senders beyond the first 50,000"`
	Item        string     `json:"ci_id" doc:"Configuration item with the address"`
	Name        string     `json:"name"`
	Rate        float64    `json:"events_per_second" doc:"Over the last minute"`
	Events      uint64     `json:"events_total"`
	Bytes       uint64     `json:"bytes_total"`
	FirstSeen   time.Time  `json:"first_seen"`
	LastSeen    time.Time  `json:"last_seen"`
	UsualGap    float64    `json:"usual_gap_seconds" doc:"Mean time between spans of ten seconds in which it sent"`
	SilentSince *time.Time `json:"silent_since" doc:"When it last sent, if it has been silent for unusually long"`
}

type sourceRow struct {
	bun.BaseModel `bun:"table:usage_sources,alias:s"`
	ID            string `bun:"id,pk"`
	Tenant        string `bun:"tenant"`
	Collector     string `bun:"collector"`
	Zone          string `bun:"zone"`
	Peer          string `bun:"peer"`
	Events        int64  `bun:"events"`
	Bytes         int64  `bun:"bytes"`
	Slots         int64  `bun:"slots"`
	FirstSeen     int64  `bun:"first_seen"`
	LastSeen      int64  `bun:"last_seen"`
}

// OpenSources loads who has sent before.
func OpenSources(ctx context.Context, db *state.DB, owned Owner) (*Sources, error) {
	s := &Sources{db: db, owned: owned, byKey: map[sourceKey]*source{}}
	var rows []sourceRow
	if err := db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("usage: read the sources: %w", err)
	}
	for _, r := range rows {
		peer, err := netip.ParseAddr(r.Peer)
		if err != nil && r.Peer != "" {
			return nil, fmt.Errorf("usage: the stored source %s: %w", r.ID, err)
		}
		x := newSource(sourceKey{r.Tenant, r.Collector, r.Zone, peer}, time.UnixMilli(r.FirstSeen))
		x.events.Store(uint64(r.Events))
		x.bytes.Store(uint64(r.Bytes))
		x.last.Store(time.UnixMilli(r.LastSeen).UnixNano())
		x.slots, x.saved, x.seen = r.Slots, uint64(r.Events), uint64(r.Events)
		for i := range x.before {
			x.before[i] = x.seen
		}
		s.byKey[x.key] = x
	}
	return s, nil
}

func newSource(k sourceKey, first time.Time) *source {
	sum := sha256.Sum256([]byte(strings.Join([]string{k.tenant, k.collector, k.zone, k.text()}, "\x00")))
	return &source{key: k, id: hex.EncodeToString(sum[:10]), first: first}
}

// text is the address, "" where there is none.
func (k sourceKey) text() string {
	if !k.peer.IsValid() {
		return ""
	}
	return k.peer.String()
}

func keyOf(r *intake.Record) sourceKey {
	return sourceKey{r.Tenant, r.Collector, r.Zone, r.Peer.Unmap().WithZone("")}
}

// observe counts records that were taken in.
func (s *Sources) observe(recs []intake.Record, now time.Time) {
	for i := 0; i < len(recs); {
		k := keyOf(&recs[i])
		n, size := uint64(0), uint64(0)
		for ; i < len(recs) && keyOf(&recs[i]) == k; i++ {
			n++
			size += uint64(len(recs[i].Data))
		}
		x := s.source(k, now)
		x.events.Add(n)
		x.bytes.Add(size)
		x.last.Store(now.UnixNano())
	}
}

func (s *Sources) source(k sourceKey, now time.Time) *source {
	s.mu.RLock()
	x := s.byKey[k]
	s.mu.RUnlock()
	if x != nil {
		return x
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byKey) >= maxSources {
		k.peer = netip.Addr{}
	}
	if x = s.byKey[k]; x == nil {
		// The texts may point into a request that is reused.
		k.tenant, k.collector, k.zone = strings.Clone(k.tenant), strings.Clone(k.collector), strings.Clone(k.zone)
		x = newSource(k, now)
		s.byKey[k] = x
	}
	return x
}

// owner is whose a record without a tenant is, by its sender's address.
func (s *Sources) owner(r *intake.Record) string {
	tenant, _, _ := s.owned(r.Zone, r.Peer)
	return tenant
}

// Tick closes a span: it is called every ten seconds.
func (s *Sources) Tick(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, x := range s.byKey {
		n := x.events.Load()
		if n != x.seen {
			x.slots++
			x.seen = n
		}
		x.before[x.at] = n
		x.at = (x.at + 1) % len(x.before)
		if now.Sub(time.Unix(0, x.last.Load())) > forget {
			delete(s.byKey, k)
			s.gone = append(s.gone, x.id)
		}
	}
}

// Save makes durable what changed.
func (s *Sources) Save(ctx context.Context) error {
	s.mu.Lock()
	var rows []sourceRow
	for _, x := range s.byKey {
		if n := x.events.Load(); n != x.saved {
			x.saved = n
			rows = append(rows, sourceRow{ID: x.id, Tenant: x.key.tenant, Collector: x.key.collector, Zone: x.key.zone, Peer: x.key.text(), Events: int64(n),
				Bytes: int64(x.bytes.Load()), Slots: x.slots, FirstSeen: x.first.UnixMilli(), LastSeen: x.last.Load() / int64(time.Millisecond)})
		}
	}
	gone := s.gone
	s.gone = nil
	s.mu.Unlock()
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for part := range slices.Chunk(rows, rowsPerStatement) {
			_, err := tx.NewInsert().Model(&part).On("CONFLICT (id) DO UPDATE").
				Set("events = EXCLUDED.events, bytes = EXCLUDED.bytes, slots = EXCLUDED.slots, last_seen = EXCLUDED.last_seen").Returning("NULL").Exec(ctx)
			if err != nil {
				return fmt.Errorf("usage: keep %d sources: %w", len(rows), err)
			}
		}
		for part := range slices.Chunk(gone, rowsPerStatement) {
			if _, err := tx.NewDelete().Model((*sourceRow)(nil)).Where("id IN (?)", bun.In(part)).Exec(ctx); err != nil {
				return fmt.Errorf("usage: forget %d sources: %w", len(gone), err)
			}
		}
		return nil
	})
}

// List tells of all sources, by tenant, way in, zone and address. One is silent
// when it has sent nothing for longer than threshold and than ten of its usual
// gaps; threshold 0 finds none silent.
func (s *Sources) List(now time.Time, threshold time.Duration) []Source {
	s.mu.RLock()
	out := make([]Source, 0, len(s.byKey))
	for _, x := range s.byKey {
		v := Source{ID: x.id, Tenant: x.key.tenant, Collector: x.key.collector, Zone: x.key.zone, Peer: x.key.text(), Events: x.events.Load(), Bytes: x.bytes.Load(),
			FirstSeen: x.first.UTC(), LastSeen: time.Unix(0, x.last.Load()).UTC()}
		v.Rate = float64(x.seen-x.before[x.at]) / (slotsOfRate * slot).Seconds()
		gap := slot
		if x.slots > 1 {
			gap = max(slot, v.LastSeen.Sub(v.FirstSeen)/time.Duration(x.slots-1))
		}
		v.UsualGap = gap.Seconds()
		if quiet := now.Sub(v.LastSeen); threshold > 0 && x.slots >= regular && quiet > threshold && quiet > patience*gap && x.key.collector != intake.Own {
			at := v.LastSeen
			v.SilentSince = &at
		}
		out = append(out, v)
	}
	s.mu.RUnlock()
	for i := range out {
		v := &out[i]
		peer, _ := netip.ParseAddr(v.Peer)
		tenant, item, name := s.owned(v.Zone, peer)
		v.Item, v.Name = item, name
		if v.Tenant == "" {
			v.Tenant = tenant
		}
	}
	slices.SortFunc(out, func(a, b Source) int {
		return cmpStrings(a.Tenant, b.Tenant, a.Collector, b.Collector, a.Zone, b.Zone, a.Peer, b.Peer, a.ID, b.ID)
	})
	return out
}

// cmpStrings compares pairs until one differs.
func cmpStrings(pairs ...string) int {
	for i := 0; i+1 < len(pairs); i += 2 {
		if c := strings.Compare(pairs[i], pairs[i+1]); c != 0 {
			return c
		}
	}
	return 0
}

// ErrNoSource says that there is no source with the id.
var ErrNoSource = errors.New("usage: there is no such source")

// Forget takes a source off the list, until it sends again.
func (s *Sources) Forget(ctx context.Context, id string) error {
	s.mu.Lock()
	found := false
	for k, x := range s.byKey {
		if x.id == id {
			delete(s.byKey, k)
			found = true
		}
	}
	s.mu.Unlock()
	if !found {
		return fmt.Errorf("%w: %q", ErrNoSource, id)
	}
	if _, err := s.db.NewDelete().Model((*sourceRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("usage: forget the source %s: %w", id, err)
	}
	return nil
}

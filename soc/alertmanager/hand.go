package alertmanager

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/absent"
)

// Whoever watches sends what fires again and again, once a minute as a rule, and
// all that changes is until when it is taken to fire. That is kept at hand, and
// written down only before what SQL has runs out: so a crash loses nothing that
// its sender does not say again in time.
const (
	maxHand   = 200_000          // rows at hand; with more all are read again
	writeSoon = time.Minute      // how long before its written end an alert is written again
	placedFor = 10 * time.Second // how long the place of an alert is remembered
)

// hand is what is at hand of the alerts that were sent.
type hand struct {
	taking  sync.Mutex      // one request at a time decides what becomes of what it brings
	writing map[string]bool // by rowKey: rows that a request writes down at the moment
	written *sync.Cond      // of taking: some of them are

	mu     sync.Mutex
	rows   map[string]*row   // by rowKey, as they are; none is changed in place
	ends   map[string]int64  // by rowKey: the end that SQL has, of those that SQL has another of
	places map[string]placed // by sender's tenant and fingerprint

	known absent.Set // rowKeys that SQL has, and perhaps others
	asked bool       // for those that SQL has; of taking
	knows bool       // known has all of them; of taking
}

// placed is whose an alert is.
type placed struct {
	tenant string
	until  time.Time
}

func newHand() *hand {
	h := &hand{writing: map[string]bool{}, rows: map[string]*row{}, ends: map[string]int64{}, places: map[string]placed{}}
	h.written = sync.NewCond(&h.taking)
	return h
}

// maxKnown is how many rows SQL may have for it to be read once, after a start,
// which there are: it takes about a second for so many.
const maxKnown = 1_000_000

// know reads which alerts SQL has, unless they are too many. taking is held.
func (s *Service) know(ctx context.Context) error {
	h := s.hand
	if h.asked {
		return nil
	}
	rows, err := s.db.Read.QueryContext(ctx, "SELECT tenant, fingerprint FROM alertmanager_pushed LIMIT ?", maxKnown+1)
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var tenant, print string
		if err := rows.Scan(&tenant, &print); err != nil {
			return err
		}
		h.known.Add(rowKey(tenant, print))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	h.asked, h.knows = true, n <= maxKnown
	return nil
}

func (h *hand) get(key string) *row {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rows[key]
}

// put takes rows as SQL has them.
func (h *hand) put(rows ...row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range rows {
		k := rowKey(r.Tenant, r.Fingerprint)
		if was := h.rows[k]; was != nil { // ticketing may have learnt of it in the meantime
			r.Told, r.Over = max(r.Told, was.Told), max(r.Over, was.Over)
		}
		h.rows[k] = &r
		delete(h.ends, k)
	}
}

// drop lets go of rows that were written.
func (h *hand) drop(rows []row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range rows {
		k := rowKey(r.Tenant, r.Fingerprint)
		delete(h.rows, k)
		delete(h.ends, k)
	}
}

// extend takes rows that fire on: SQL has an older end of them.
func (h *hand) extend(rows []row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range rows {
		k := rowKey(r.Tenant, r.Fingerprint)
		if _, has := h.ends[k]; !has && h.rows[k] != nil {
			h.ends[k] = h.rows[k].EndsAt
		}
		h.rows[k] = &r
	}
}

// told notes what ticketing knows of an alert.
func (h *hand) told(key string, told, over int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.rows[key]; r != nil {
		next := *r
		next.Told, next.Over = max(next.Told, told), max(next.Over, over)
		h.rows[key] = &next
	}
}

// newer tells whether one of the rows that are over by SQL fires longer.
func (h *hand) newer(rows []row, now int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(rows, func(r row) bool {
		_, has := h.ends[rowKey(r.Tenant, r.Fingerprint)]
		return has && r.EndsAt <= now
	})
}

// bound lets go of all where there is too much; what SQL lacks was written.
func (h *hand) bound() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rows) > maxHand && len(h.ends) == 0 {
		h.rows = map[string]*row{}
	}
	if len(h.places) > maxHand {
		h.places = map[string]placed{}
	}
}

// place tells whose an alert is, asking find where it is not remembered.
func (h *hand) place(sender, fingerprint string, now time.Time, find func() string) string {
	k := rowKey(sender, fingerprint)
	h.mu.Lock()
	p, known := h.places[k]
	h.mu.Unlock()
	if known && now.Before(p.until) {
		return p.tenant
	}
	p = placed{find(), now.Add(placedFor)}
	h.mu.Lock()
	h.places[k] = p
	h.mu.Unlock()
	return p.tenant
}

// extension tells whether a row only fires on: it says nothing new but until
// when.
func extension(have, next *row) bool {
	return have != nil && have.Firing == next.Firing && have.EndsAt < next.EndsAt && have.StartsAt == next.StartsAt && have.Since == next.Since &&
		have.URL == next.URL && have.Annotations == next.Annotations && have.Labels == next.Labels
}

// flush writes down the ends that SQL has other ones of, all of them or those
// that run out soon.
func (s *Service) flush(ctx context.Context, all bool) error {
	h := s.hand
	soon := s.Clock().Add(writeSoon).UnixMilli()
	var rows []row
	h.mu.Lock()
	for k, end := range h.ends {
		if all || end < soon {
			rows = append(rows, *h.rows[k])
		}
	}
	h.mu.Unlock()
	for part := range slices.Chunk(rows, perStatement) {
		err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			stmt, err := tx.Tx.PrepareContext(ctx, "UPDATE alertmanager_pushed SET ends_at = ?, updated_at = ? WHERE tenant = ? AND fingerprint = ? AND firing = ? AND ends_at < ?")
			if err != nil {
				return err
			}
			defer stmt.Close()
			for _, r := range part {
				if _, err := stmt.ExecContext(ctx, r.EndsAt, r.UpdatedAt, r.Tenant, r.Fingerprint, r.Firing, r.EndsAt); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("alertmanager: write down until when %d alerts fire: %w", len(part), err)
		}
		h.mu.Lock()
		for _, r := range part {
			k := rowKey(r.Tenant, r.Fingerprint)
			if now := h.rows[k]; now != nil && now.EndsAt == r.EndsAt {
				delete(h.ends, k)
			} else if _, has := h.ends[k]; has {
				h.ends[k] = r.EndsAt
			}
		}
		h.mu.Unlock()
	}
	h.bound()
	return nil
}

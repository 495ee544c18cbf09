package ticketing

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/enrich"
)

// rowsPerStatement bounds how many rows one statement reads or writes.
const (
	idsPerStatement  = 500
	rowsPerStatement = 50
)

// Ingest takes in what detection raised, all of it or nothing, in one
// transaction. It may be called again with the same occurrences, in any order
// and any cut: each counts once, by its ID.
func (s *Service) Ingest(ctx context.Context, occs []detections.Occurrence) error {
	if len(occs) == 0 {
		return nil
	}
	now := s.now()
	batch := make([]*detections.Occurrence, 0, len(occs))
	hashes := make(map[string]*detections.Occurrence, len(occs))
	duplicates := 0
	for i := range occs {
		o := occs[i] // a copy: the caller's stay as they are
		complete(&o, now)
		atHome(&o)
		s.classed(&o)
		discreet(&o)
		sum := sha256.Sum256([]byte(o.ID))
		h := string(sum[:16])
		if _, twice := hashes[h]; twice {
			duplicates++
			continue
		}
		hashes[h] = &o
		batch = append(batch, &o)
	}
	subjects, err := s.subjects(ctx, batch)
	if err != nil {
		return err
	}
	var changes []Change
	var st Stats
	told := false
	err = s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		changes, st, told = nil, Stats{Duplicates: uint64(duplicates)}, false
		known, err := takeIn(ctx, tx, hashes, now)
		if err != nil {
			return err
		}
		st.Duplicates += uint64(len(known))
		fresh := make([]*detections.Occurrence, 0, len(batch))
		for _, o := range batch {
			if !known[o.ID] {
				fresh = append(fresh, o)
			}
		}
		st.Occurrences = uint64(len(fresh))
		if len(fresh) == 0 {
			return nil
		}
		touched, err := s.live.mergeAll(ctx, tx, fresh, subjects, now)
		if err != nil {
			return err
		}
		for _, a := range touched {
			if a.fresh {
				st.AlertsOpened++
			}
		}
		c, err := s.correlate(ctx, tx, touched, now, false)
		if err != nil {
			return err
		}
		changes, st.Incidents, st.PolicyErrors = c.changes, uint64(c.opened), uint64(c.failed)
		told = len(c.dirty) > 0
		return nil
	})
	if err != nil {
		return fmt.Errorf("ticketing: take in %d occurrences: %w", len(occs), err)
	}
	s.count(func(all *Stats) {
		all.Occurrences += st.Occurrences
		all.Duplicates += st.Duplicates
		all.AlertsOpened += st.AlertsOpened
		all.Incidents += st.Incidents
		all.PolicyErrors += st.PolicyErrors
	})
	s.note(ctx, changes...)
	if told { // else no due time has come nearer, and nobody is told of anything
		s.nudge()
		s.out.Wake()
	}
	return nil
}

// subjects works out who and what each occurrence is about. It reads the CMDB,
// so it runs before the transaction.
func (s *Service) subjects(ctx context.Context, batch []*detections.Occurrence) (map[*detections.Occurrence]subject, error) {
	out := make(map[*detections.Occurrence]subject, len(batch))
	cache := map[string]*enrich.Item{}
	for _, o := range batch {
		var other *enrich.Item
		if id := victim(o); id != "" && s.items != nil {
			item, cached := cache[id]
			if !cached {
				found, ok, err := s.items.Item(ctx, id)
				if err != nil {
					return nil, fmt.Errorf("ticketing: read item %s: %w", id, err)
				}
				if ok {
					item = &found
				}
				cache[id] = item
			}
			// An item of another tenant stays out of this tenant's alert.
			if item != nil && item.Tenant == o.Tenant {
				other = item
			}
		}
		out[o] = subjectOf(o, other, s.ignore)
	}
	return out, nil
}

// takeIn writes down the occurrences and returns the ids of those that were
// there before.
func takeIn(ctx context.Context, tx bun.Tx, hashes map[string]*detections.Occurrence, now time.Time) (map[string]bool, error) {
	known := map[string]bool{}
	keys := make([]string, 0, len(hashes))
	for h := range hashes {
		keys = append(keys, h)
	}
	// Sorted, the rows land page by page.
	slices.Sort(keys)
	for part := range slices.Chunk(keys, idsPerStatement) {
		blobs := make([][]byte, len(part))
		for i, h := range part {
			blobs[i] = []byte(h)
		}
		var there [][]byte
		if err := tx.NewSelect().Model((*occurrenceRow)(nil)).Column("id").Where("id IN (?)", bun.In(blobs)).Scan(ctx, &there); err != nil {
			return nil, fmt.Errorf("look up %d occurrences: %w", len(part), err)
		}
		for _, id := range there {
			known[hashes[string(id)].ID] = true
		}
		rows := make([]occurrenceRow, 0, len(part))
		for _, h := range part {
			if !known[hashes[h].ID] {
				rows = append(rows, occurrenceRow{ID: []byte(h), TakenAt: now.UnixMilli()})
			}
		}
		if len(rows) == 0 {
			continue
		}
		if _, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(ctx); err != nil {
			return nil, fmt.Errorf("write down %d occurrences: %w", len(rows), err)
		}
	}
	return known, nil
}

// mergeAll merges occurrences into the alerts that are open, and opens alerts
// for the rest. The alerts are not written back yet. They come ordered by id.
func (l *live) mergeAll(ctx context.Context, tx bun.Tx, fresh []*detections.Occurrence, subjects map[*detections.Occurrence]subject, now time.Time) ([]*alert, error) {
	keys := make([]string, 0, len(fresh))
	for _, o := range fresh {
		keys = append(keys, keyOf(o))
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if err := l.loadKeys(ctx, tx, keys); err != nil {
		return nil, err
	}
	for _, o := range fresh {
		k := keyOf(o)
		a := l.open[k]
		if a == nil {
			a = newAlert(k, l.last[k]+1, o, now)
			l.keep(a)
		}
		a.merge(o, subjects[o])
		if a.fresh {
			a.before = a.Verdict // opened with it
		}
	}
	out := make([]*alert, 0, len(keys))
	for _, k := range keys {
		out = append(out, l.open[k])
	}
	slices.SortFunc(out, func(a, b *alert) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

package ticketing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/enrich"
)

// How many rows one statement reads or writes at most.
const (
	idsPerStatement         = 500  // by ids that stand in its text
	rowsPerStatement        = 50   // whose values stand in its text
	occurrencesPerStatement = 5000 // as one JSON list
)

// Ingest takes in what detection raised, all of it or nothing, in one
// transaction. It may be called again with the same occurrences, in any order
// and any cut: each counts once, by its ID.
func (s *Service) Ingest(ctx context.Context, occs []detections.Occurrence) error {
	return s.IngestBeside(ctx, occs, false, nil)
}

// IngestBeside is Ingest with what somebody writes of the same occurrences in the
// same transaction: either all of it is there afterwards, or nothing. With once he
// vouches that none of them was ever handed over before nor will be again, which
// he knows by what he writes: then no note is kept of each.
func (s *Service) IngestBeside(ctx context.Context, occs []detections.Occurrence, once bool, beside func(ctx context.Context, tx bun.Tx) error) error {
	if len(occs) == 0 && beside == nil {
		return nil
	}
	now := s.now()
	batch := make([]*detections.Occurrence, 0, len(occs))
	ids := make(map[string]bool, len(occs))
	faulty := make(map[*detections.Occurrence]bool)
	for i := range occs {
		o := occs[i] // a copy: the caller's stay as they are
		complete(&o, now)
		atHome(&o)
		fault := s.faults != nil && !s.merges.faultsOff.Load() && s.faults.names.faultOf(&o) // by what it says itself, before it is classed
		s.classed(&o)
		discreet(&o)
		if !ids[o.ID] {
			ids[o.ID], faulty[&o] = true, fault
			batch = append(batch, &o)
		}
	}
	subjects, err := s.subjects(ctx, batch)
	if err != nil {
		return err
	}
	for o, about := range subjects {
		about.fault = faulty[o] && about.ci != nil && about.ci.ID != "" && !standsIn(o, about.ci)
		subjects[o] = about
	}
	var changes []Change
	var st Stats
	told := false
	var stirred []*alert
	err = s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		changes, st, told = nil, Stats{}, false
		// Alerts are raised in the order in which they are written: who follows
		// them by the time at which they were raised misses none that waited long.
		now = s.now()
		if beside != nil {
			if err := beside(ctx, tx); err != nil {
				return err
			}
		}
		fresh := batch
		if !once {
			var err error
			if fresh, err = takeIn(ctx, tx, batch, now); err != nil {
				return err
			}
		}
		st.Occurrences, st.Duplicates = uint64(len(fresh)), uint64(len(occs)-len(fresh))
		fresh, err := s.withoutDropped(ctx, tx, fresh, subjects, now)
		if err != nil {
			return err
		}
		if len(fresh) == 0 {
			return nil
		}
		hidden, err := s.suppress(ctx, tx, &fresh, subjects, now)
		if err != nil {
			return err
		}
		if st.Suppressed = uint64(hidden); len(fresh) == 0 {
			return nil
		}
		fresh, over := s.storm.split(fresh, now)
		touched, err := s.live.mergeAll(ctx, tx, fresh, subjects, now)
		if err != nil {
			return err
		}
		var raised []*alert // that only counted
		var entries []timelineRow
		if len(over) > 0 {
			var opened []*alert
			if raised, opened, entries, err = s.live.count(ctx, tx, over, now); err != nil {
				return err
			}
			touched = append(touched, opened...)
			slices.SortFunc(touched, func(a, b *alert) int { return strings.Compare(a.ID, b.ID) })
			st.Counted = uint64(len(over))
		}
		flapping, err := s.flapReopened(ctx, tx, touched, now)
		if err != nil {
			return err
		}
		entries = append(entries, flapping...)
		s.rule(ctx, touched)
		for _, a := range touched {
			if a.fresh {
				st.AlertsOpened++
				s.live.sighted = append(s.live.sighted, a.sighted())
			}
		}
		c, err := s.correlate(ctx, tx, touched, now, false)
		if err != nil {
			return err
		}
		if err := saveCounted(ctx, tx, raised); err != nil {
			return err
		}
		if err := saveTimeline(ctx, tx, entries); err != nil {
			return err
		}
		if err := s.routeRaised(ctx, tx, touched, now); err != nil {
			return err
		}
		changes, st.Incidents, st.PolicyErrors = c.changes, uint64(c.opened), uint64(c.failed)
		told, stirred = len(c.dirty) > 0, touched
		return nil
	})
	if err != nil {
		return fmt.Errorf("ticketing: take in %d occurrences: %w", len(occs), err)
	}
	s.count(func(all *Stats) {
		all.Occurrences += st.Occurrences
		if st.Occurrences > 0 {
			all.LastAt = now
		}
		all.Duplicates += st.Duplicates
		all.AlertsOpened += st.AlertsOpened
		all.Incidents += st.Incidents
		all.Counted += st.Counted
		all.Suppressed += st.Suppressed
		all.PolicyErrors += st.PolicyErrors
	})
	s.note(ctx, changes...)
	s.firesInhibition(stirred)
	if s.noteFaults(stirred, now) {
		if *s.faults.options.Wait == 0 {
			// They are taken in: what fails here is tried again by Run.
			s.must(ctx, "group what fails", s.settleFaults(ctx, now))
		}
		s.nudge()
	}
	if s.noteMerges(stirred) {
		s.nudge()
	}
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

// hash stands for an occurrence's id.
type hash [16]byte

func hashOf(id string) hash {
	sum := sha256.Sum256([]byte(id))
	return hash(sum[:])
}

// takeIn writes down the occurrences and returns those that were not there
// before, in the order of the batch.
func takeIn(ctx context.Context, tx bun.Tx, batch []*detections.Occurrence, now time.Time) ([]*detections.Occurrence, error) {
	ids := make([]hash, len(batch))
	for i, o := range batch {
		ids[i] = hashOf(o.ID)
	}
	// Sorted, the rows land page by page.
	sorted := slices.SortedFunc(slices.Values(ids), func(a, b hash) int { return bytes.Compare(a[:], b[:]) })
	fresh := make(map[hash]bool, len(ids))
	for part := range slices.Chunk(sorted, occurrencesPerStatement) {
		list := []byte{'['}
		for _, h := range part {
			list = append(hex.AppendEncode(append(list, '"'), h[:]), `",`...)
		}
		list[len(list)-1] = ']'
		// OR IGNORE: with ON CONFLICT DO NOTHING SQLite would keep a copy of each
		// page, to undo this statement alone.
		rows, err := tx.Tx.QueryContext(ctx, `INSERT OR IGNORE INTO ticketing_occurrences (id, taken_at) SELECT unhex(value), ? FROM json_each(?) RETURNING id`, now.UnixMilli(), string(list))
		if err != nil {
			return nil, fmt.Errorf("write down %d occurrences: %w", len(part), err)
		}
		for rows.Next() {
			var id sql.RawBytes
			if err = rows.Scan(&id); err == nil && len(id) == len(hash{}) {
				fresh[hash(id)] = true
			}
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return nil, fmt.Errorf("write down %d occurrences: %w", len(part), err)
		}
	}
	out := make([]*detections.Occurrence, 0, len(fresh))
	for i, o := range batch {
		if fresh[ids[i]] {
			out = append(out, o)
		}
	}
	return out, nil
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
		if f := a.doc.Flapping; f != nil && f.Recovered {
			a.doc.Flapping = f.changed(now, false)
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

// withoutDropped leaves out what silences without data collection mute, and
// counts it with them.
func (s *Service) withoutDropped(ctx context.Context, tx bun.Tx, fresh []*detections.Occurrence, subjects map[*detections.Occurrence]subject, now time.Time) ([]*detections.Occurrence, error) {
	if !s.muting.AnyDrops() {
		return fresh, nil
	}
	dropped := map[string]int{}
	kept := make([]*detections.Occurrence, 0, len(fresh))
	for _, o := range fresh {
		a := newAlert(keyOf(o), 1, o, now) // as it would be
		a.merge(o, subjects[o])
		by := s.muting.Drops(a.labels(), a.FactsOf(a.Tenant))
		for _, id := range by {
			dropped[id]++
		}
		if len(by) == 0 {
			kept = append(kept, o)
		}
	}
	return kept, s.muting.CountDropped(ctx, tx, dropped)
}

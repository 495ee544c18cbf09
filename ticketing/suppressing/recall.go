package suppressing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/suppression"
	"icewatch/soc/reach"
)

// What is remembered of firings.
const (
	RecallDays  = 30
	maxRecall   = 1 << 30 // bytes; beyond it the oldest are forgotten
	eachMinute  = 300     // firings of a rule for a tenant that are remembered one by one
	oneIn       = 20      // of those beyond it
	sweepEvery  = 10 * time.Minute
	maxUnpacked = 256 << 20 // bytes of one row
)

// Firing is a firing as it is remembered.
type Firing struct {
	Occurrence  detections.Occurrence `json:"o"`
	Asset       suppression.Asset     `json:"a"`
	Criticality int                   `json:"c,omitempty"`
	Key         string                `json:"k"`           // of the alert that it would become part of
	By          string                `json:"s,omitempty"` // the suppression that met it
	Facts       reach.Facts           `json:"r"`
	Weight      int                   `json:"w,omitempty"` // so many it stands for, where they are more than one
}

// meter says which firings are remembered. It is used within transactions alone,
// of which one is open at a time.
type meter struct {
	minute int64
	seen   map[string]int
	swept  time.Time
}

// weight is how many firings this one stands for: 0 for one that is not remembered.
func (m *meter) weight(o *detections.Occurrence, now time.Time) int {
	if at := now.Unix() / 60; at != m.minute || m.seen == nil {
		m.minute, m.seen = at, map[string]int{}
	}
	key := o.Tenant + "\x00" + o.Rule.ID
	n := m.seen[key]
	m.seen[key] = n + 1
	switch {
	case n < eachMinute:
		return 1
	case (n-eachMinute)%oneIn == 0:
		return oneIn
	}
	return 0
}

// Taken remembers firings and counts those that were suppressed, within the
// transaction that takes them in.
func (s *Store) Taken(ctx context.Context, tx bun.Tx, firings []Firing, now time.Time) error {
	if len(firings) == 0 {
		return nil
	}
	rules := map[string]bool{}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	type slot struct {
		id, rule string
		day      int64
	}
	effects := map[slot][2]int{}
	for i := range firings {
		f := &firings[i]
		if f.By != "" {
			at := slot{f.By, f.Occurrence.Rule.ID, now.Truncate(day).UnixMilli()}
			n := effects[at]
			effects[at] = [2]int{n[0] + 1, n[1] + f.Occurrence.Count}
		}
		if f.Weight = s.meter.weight(&f.Occurrence, now); f.Weight == 0 {
			continue
		}
		if err := enc.Encode(f.bare()); err != nil {
			return fmt.Errorf("suppressing: remember a firing of rule %s: %w", f.Occurrence.Rule.ID, err)
		}
		rules[f.Occurrence.Rule.ID] = true
	}
	for at, n := range effects {
		if _, err := tx.ExecContext(ctx, `INSERT INTO suppressing_effects (id, day, rule, firings, events) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (id, day, rule) DO UPDATE SET firings = firings + EXCLUDED.firings, events = events + EXCLUDED.events`, at.id, at.day, at.rule, n[0], n[1]); err != nil {
			return fmt.Errorf("suppressing: count what %s suppressed: %w", at.id, err)
		}
	}
	if lines.Len() > 0 {
		if _, err := tx.ExecContext(ctx, `INSERT INTO suppressing_recall (at, rules, doc) VALUES (?, ?, ?)`, now.UnixMilli(),
			" "+strings.Join(slices.Sorted(maps.Keys(rules)), " ")+" ", s.pack.EncodeAll(lines.Bytes(), nil)); err != nil {
			return fmt.Errorf("suppressing: remember %d firings: %w", len(firings), err)
		}
	}
	return s.sweep(ctx, tx, now)
}

// bare leaves out what no suppression looks at.
func (f *Firing) bare() *Firing {
	b := *f
	o := &b.Occurrence
	o.Rule = detections.RuleRef{ID: o.Rule.ID, Title: o.Rule.Title, Level: o.Rule.Level, Kind: o.Rule.Kind}
	o.Evidence, o.Reasons, o.VerdictReason = nil, nil, detections.Text{}
	o.EventIDs = o.EventIDs[max(0, len(o.EventIDs)-1):]
	if b.Weight == 1 {
		b.Weight = 0
	}
	return &b
}

// sweep forgets firings that are old, and the oldest where they take too much.
func (s *Store) sweep(ctx context.Context, tx bun.Tx, now time.Time) error {
	if now.Sub(s.meter.swept) < sweepEvery {
		return nil
	}
	s.meter.swept = now
	if _, err := tx.ExecContext(ctx, `DELETE FROM suppressing_recall WHERE at < ?`, now.Add(-RecallDays*day).UnixMilli()); err != nil {
		return fmt.Errorf("suppressing: forget old firings: %w", err)
	}
	var size int64
	if err := tx.NewRaw(`SELECT coalesce(sum(length(doc)), 0) FROM suppressing_recall`).Scan(ctx, &size); err != nil {
		return fmt.Errorf("suppressing: measure the firings: %w", err)
	}
	if size > maxRecall {
		if _, err := tx.ExecContext(ctx, `DELETE FROM suppressing_recall WHERE seq <= (SELECT min(seq) + (max(seq) - min(seq)) / 10 FROM suppressing_recall)`); err != nil {
			return fmt.Errorf("suppressing: forget the oldest firings: %w", err)
		}
	}
	return nil
}

// Recall calls f with the remembered firings since a time, the oldest first, until
// it answers false; with rules, of these alone. first is when the oldest of all was
// taken in, zero where there is none.
func (s *Store) Recall(ctx context.Context, since time.Time, rules []string, f func(at time.Time, one *Firing) bool) (first time.Time, err error) {
	var oldest int64
	if err := s.db.NewRaw(`SELECT coalesce(min(at), 0) FROM suppressing_recall`).Scan(ctx, &oldest); err != nil {
		return first, fmt.Errorf("suppressing: look for remembered firings: %w", err)
	}
	if oldest == 0 {
		return first, nil
	}
	first = time.UnixMilli(oldest).UTC()
	open, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return first, fmt.Errorf("suppressing: %w", err)
	}
	defer open.Close()
	named := map[string]bool{}
	for _, r := range rules {
		named[r] = true
	}
	last := int64(0)
	for {
		var rows []struct {
			Seq int64  `bun:"seq"`
			At  int64  `bun:"at"`
			Doc []byte `bun:"doc"`
		}
		q := s.db.NewSelect().Table("suppressing_recall").Column("seq", "at", "doc").Where("seq > ?", last).Where("at >= ?", since.UnixMilli()).Order("seq").Limit(200)
		if len(rules) > 0 {
			q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
				for _, r := range rules {
					q = q.WhereOr("instr(rules, ?) > 0", " "+r+" ")
				}
				return q
			})
		}
		if err := q.Scan(ctx, &rows); err != nil {
			return first, fmt.Errorf("suppressing: read remembered firings: %w", err)
		}
		for _, r := range rows {
			last = r.Seq
			lines, err := open.DecodeAll(r.Doc, nil)
			if err != nil {
				return first, fmt.Errorf("suppressing: unpack remembered firings %d: %w", r.Seq, err)
			}
			dec := json.NewDecoder(bytes.NewReader(lines))
			for {
				var one Firing
				if err := dec.Decode(&one); err == io.EOF {
					break
				} else if err != nil {
					return first, fmt.Errorf("suppressing: read remembered firings %d: %w", r.Seq, err)
				}
				if len(named) > 0 && !named[one.Occurrence.Rule.ID] {
					continue
				}
				one.Weight = max(1, one.Weight)
				if !f(time.UnixMilli(r.At).UTC(), &one) {
					return first, nil
				}
			}
		}
		if len(rows) < 200 {
			return first, nil
		}
	}
}

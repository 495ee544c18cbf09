package suppressing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/suppression"
	"icewatch/soc/event"
	"icewatch/soc/reach"
)

// What is remembered of firings.
const (
	RecallDays  = 30
	maxRecall   = 1 << 30 // bytes; beyond it the oldest are forgotten
	eachMinute  = 300     // firings of a rule for a tenant that are remembered one by one
	oneIn       = 20      // of those beyond it
	sweepEvery  = 10 * time.Minute
	maxLines    = 4 << 20   // bytes that wait for the next time
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
	lines := s.lines[:0]
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
		var err error
		if lines, err = f.append(lines); err != nil {
			return fmt.Errorf("suppressing: remember a firing of rule %s: %w", f.Occurrence.Rule.ID, err)
		}
		rules[f.Occurrence.Rule.ID] = true
	}
	for at, n := range effects {
		if _, err := tx.Tx.ExecContext(ctx, `INSERT INTO suppressing_effects (id, day, rule, firings, events) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (id, day, rule) DO UPDATE SET firings = firings + EXCLUDED.firings, events = events + EXCLUDED.events`, at.id, at.day, at.rule, n[0], n[1]); err != nil {
			return fmt.Errorf("suppressing: count what %s suppressed: %w", at.id, err)
		}
	}
	if s.lines = lines; cap(lines) > maxLines {
		s.lines = nil
	}
	if len(lines) > 0 {
		if _, err := tx.Tx.ExecContext(ctx, `INSERT INTO suppressing_recall (at, rules, doc) VALUES (?, ?, ?)`, now.UnixMilli(),
			" "+strings.Join(slices.Sorted(maps.Keys(rules)), " ")+" ", s.pack.EncodeAll(lines, nil)); err != nil {
			return fmt.Errorf("suppressing: remember %d firings: %w", len(firings), err)
		}
	}
	return s.sweep(ctx, tx, now)
}

// append writes a firing as a line of JSON, without what no suppression looks at. It
// is what encoding/json reads; by that alone it would take twice the time.
func (f *Firing) append(b []byte) ([]byte, error) {
	o := &f.Occurrence
	text := func(key, v string) {
		b = append(b, key...)
		b = event.AppendJSON(b, v)
	}
	text(`{"k":`, f.Key)
	if f.By != "" {
		text(`,"s":`, f.By)
	}
	if f.Weight > 1 {
		b = strconv.AppendInt(append(b, `,"w":`...), int64(f.Weight), 10)
	}
	if f.Criticality != 0 {
		b = strconv.AppendInt(append(b, `,"c":`...), int64(f.Criticality), 10)
	}
	text(`,"a":{"ID":`, f.Asset.ID)
	text(`,"Name":`, f.Asset.Name)
	text(`,"Class":`, f.Asset.Class)
	text(`,"SystemID":`, f.Asset.SystemID)
	text(`,"SystemName":`, f.Asset.SystemName)
	text(`},"r":{"Tenant":`, f.Facts.Tenant)
	text(`,"Unit":`, f.Facts.Unit)
	text(`,"Region":`, f.Facts.Region)
	text(`,"Industry":`, f.Facts.Industry)
	b = appendList(b, `,"Labels":`, f.Facts.Labels)
	text(`},"o":{"rule":{"id":`, o.Rule.ID)
	text(`,"level":`, string(o.Rule.Level))
	text(`,"kind":`, o.Rule.Kind)
	text(`,"title":{"zh":`, o.Rule.Title.ZH)
	text(`,"en":`, o.Rule.Title.EN)
	text(`}},"tenant":`, o.Tenant)
	b = strconv.AppendInt(append(b, `,"count":`...), int64(o.Count), 10)
	if o.Firings > 1 {
		b = strconv.AppendInt(append(b, `,"firings":`...), int64(o.Firings), 10)
		b = appendList(b, `,"shared":`, o.Shared)
	}
	b = appendList(b, `,"event_ids":`, o.EventIDs[max(0, len(o.EventIDs)-1):])
	b = append(b, `,"group":[`...)
	for i, g := range o.Group {
		if i > 0 {
			b = append(b, ',')
		}
		text(`{"field":`, g.Field)
		text(`,"value":`, g.Value)
		b = append(b, '}')
	}
	b = append(b, `],"fields":{`...)
	first := true
	for name, v := range o.Fields {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(event.AppendJSON(b, name), ':')
		b = event.AppendJSON(b, v)
	}
	b = append(b, '}')
	j := o.Judgement
	j.VerdictReason = detections.Text{}
	if j.Attacker != nil || j.Victim != nil || j != (detections.Judgement{}) {
		more, err := json.Marshal(j)
		if err != nil {
			return b, err
		}
		if len(more) > 2 { // its members beside the others
			b = append(append(b, ','), more[1:len(more)-1]...)
		}
	}
	return append(b, "}}\n"...), nil
}

func appendList(b []byte, key string, list []string) []byte {
	b = append(append(b, key...), '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = event.AppendJSON(b, v)
	}
	return append(b, ']')
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

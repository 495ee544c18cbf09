package cmdb

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

// Bounds of the preview of a relation rule.
const (
	maxRuleItems   = 20_000
	maxRuleSamples = 100
)

// RulePreview is what a relation rule would make of the items there are.
type RulePreview struct {
	Items   int        `json:"items" doc:"First items that were looked at"`
	Made    int        `json:"made" doc:"Relations that it wants and that it has not made yet"`
	Kept    int        `json:"kept" doc:"Relations that it wants and has made"`
	Dropped int        `json:"dropped" doc:"Relations that it has made and does not want any more"`
	Samples []RulePair `json:"samples" nullable:"false" doc:"Of what it would make and drop, the first 100"`
	More    bool       `json:"more,omitempty" doc:"There are more first items than were looked at"`
}

// RulePair is a relation that a rule would make, or drop.
type RulePair struct {
	From    Ref  `json:"from"`
	To      Ref  `json:"to"`
	Dropped bool `json:"dropped,omitempty"`
}

// PreviewRule tells what a relation rule of a document, laid over what the
// suite brings, would make of the items there are. It changes nothing.
func (s *Service) PreviewRule(ctx context.Context, d model.Document, name string) (RulePreview, error) {
	out := RulePreview{Samples: []RulePair{}}
	m, err := compileModel(s.shipped.Over(d))
	if err != nil {
		return out, err
	}
	var rule *model.Rule
	for i := range m.Rules {
		if m.Rules[i].Name == name {
			rule = &m.Rules[i]
		}
	}
	if rule == nil {
		return out, fmt.Errorf("%w: the document has no relation rule %q", ErrInvalid, name)
	}
	find := (*writer).equalFrom
	if rule.Where[0].Op == model.Within {
		find = (*writer).withinFrom
	}
	type sample struct {
		pair
		dropped bool
	}
	var samples []sample
	err = s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		w := &writer{s: s, tx: tx}
		for after := int32(0); ; {
			var seqs []int32
			err := tx.NewSelect().Model((*itemRow)(nil)).Column("i.seq").Where("i.seq > ?", after).Where(anyClass("i")+" IN (?)", bun.In(m.Concrete(rule.From...))).Order("i.seq").Limit(chunk).Scan(ctx, &seqs)
			if err != nil {
				return fmt.Errorf("cmdb: preview relation rule %q: %w", name, err)
			}
			if len(seqs) == 0 {
				return nil
			}
			if out.Items+len(seqs) > maxRuleItems {
				out.More = true
				return nil
			}
			after = seqs[len(seqs)-1]
			out.Items += len(seqs)
			wanted, err := find(w, ctx, m, rule, seqs)
			if err != nil {
				return fmt.Errorf("cmdb: preview relation rule %q: %w", name, err)
			}
			var rows []relationRow
			if err := tx.NewSelect().Model(&rows).Where("r.origin = ? AND r.from_seq IN (?)", originRule+name, bun.In(seqs)).Scan(ctx); err != nil {
				return fmt.Errorf("cmdb: preview relation rule %q: %w", name, err)
			}
			have := make(map[pair]bool, len(rows))
			for _, r := range rows {
				// Of another type it is another relation.
				have[pair{r.From, r.To}] = r.Type == rule.Type
			}
			want := make(map[pair]bool, len(wanted))
			for _, p := range wanted {
				if p.From == p.To || want[p] {
					continue
				}
				want[p] = !rule.Off
				switch {
				case rule.Off:
				case have[p]:
					out.Kept++
				default:
					out.Made++
					samples = append(samples[:min(len(samples), maxRuleSamples)], sample{p, false})
				}
			}
			for _, p := range slices.SortedFunc(maps.Keys(have), func(a, b pair) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) }) {
				if !want[p] || !have[p] {
					out.Dropped++
					samples = append(samples[:min(len(samples), maxRuleSamples)], sample{p, true})
				}
			}
		}
	})
	if err != nil {
		return RulePreview{}, err
	}
	samples = samples[:min(len(samples), maxRuleSamples)]
	var seqs []int32
	for _, x := range samples {
		seqs = append(seqs, x.From, x.To)
	}
	refs, err := s.refs(ctx, reach.All(), seqs)
	if err != nil {
		return RulePreview{}, err
	}
	for _, x := range samples {
		from, ok := refs[x.From]
		to, known := refs[x.To]
		if ok && known {
			out.Samples = append(out.Samples, RulePair{from, to, x.dropped})
		}
	}
	return out, nil
}

// equalFrom and withinFrom find the pairs of a rule whose first items are among
// seqs.
func (w *writer) equalFrom(ctx context.Context, m *model.Model, rule *model.Rule, seqs []int32) ([]pair, error) {
	return w.joined(ctx, m, rule, "f", seqs)
}

func (w *writer) withinFrom(ctx context.Context, m *model.Model, rule *model.Rule, seqs []int32) ([]pair, error) {
	pairs, _, err := w.withinPairs(ctx, m, rule, seqs)
	if err != nil {
		return nil, err
	}
	asked := make(map[int32]bool, len(seqs))
	for _, seq := range seqs {
		asked[seq] = true
	}
	out := pairs[:0]
	for _, p := range pairs {
		if asked[p.From] {
			out = append(out, p)
		}
	}
	return out, nil
}

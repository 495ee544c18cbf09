package ticketing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"
)

// AttackOn is an alert as those see it who follow the weaknesses of its asset.
type AttackOn struct {
	Alert, Item, Rule string
	Techniques        []string // of ATT&CK
	LastSeen          time.Time
}

// maxAttacksOn is how many alerts AttacksOn lists.
const maxAttacksOn = 5_000

// AttacksOn lists the alerts about items last seen since then that some rules raised,
// or that name a technique that begins with one of some; the latest first. Alerts
// closed as false are left out.
func (s *Service) AttacksOn(ctx context.Context, rules, techniques []string, since time.Time) ([]AttackOn, error) {
	seen := map[string]bool{}
	var out []AttackOn
	add := func(where string, args ...any) error {
		var rows []alertRow
		if err := s.db.NewSelect().Model(&rows).Column("id", "ci_id", "rule_id", "techniques", "last_seen").Where("a.last_seen >= ? AND a.ci_id <> ''", since.UnixMilli()).Where("a.resolution <> 'false_positive'").
			Where(where, args...).Order("a.last_seen DESC").Limit(maxAttacksOn).Scan(ctx); err != nil {
			return fmt.Errorf("ticketing: attacks on items: %w", err)
		}
		for i := range rows {
			if r := &rows[i]; !seen[r.ID] {
				seen[r.ID] = true
				out = append(out, AttackOn{Alert: r.ID, Item: r.CIID, Rule: r.RuleID, Techniques: splitList(r.Techniques), LastSeen: when(r.LastSeen)})
			}
		}
		return nil
	}
	for part := range slices.Chunk(rules, 500) {
		if err := add("a.rule_id IN (?)", bun.In(part)); err != nil {
			return nil, err
		}
	}
	for _, t := range techniques {
		if err := add("a.techniques LIKE ?", "%"+t+"%"); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b AttackOn) int { return b.LastSeen.Compare(a.LastSeen) })
	return out[:min(len(out), maxAttacksOn)], nil
}

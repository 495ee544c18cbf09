package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// Threat is what an alert tells of what it is about, for whoever weighs risks.
type Threat struct {
	ID       string
	CI       string // id of the item; "" where the CMDB does not know it
	System   string // id of the business system
	Rule     detections.Text
	Severity detections.Level
	Verdict  detections.Verdict
	LastSeen time.Time
	Status   Status
	Closed   string // resolution
	Incident string // id
}

// maxThreats is how many alerts about one set of items are told, the latest.
const maxThreats = 20_000

// ThreatsTo lists the alerts last seen since then that are about any of some
// items or business systems, the latest first.
func (s *Service) ThreatsTo(ctx context.Context, ids []string, since time.Time) ([]Threat, error) {
	seen := map[string]bool{}
	var out []Threat
	for part := range slices.Chunk(ids, idsPerStatement) {
		for _, column := range []string{"ci_id", "system_id"} {
			var rows []alertRow
			err := s.db.NewSelect().Model(&rows).Column("id", "ci_id", "system_id", "rule_title", "severity", "verdict", "last_seen", "status", "resolution", "incident_id").
				Where("? IN (?)", bun.Ident("a."+column), bun.In(part)).Where("a.? <> ''", bun.Ident(column)).Where("a.last_seen >= ?", since.UnixMilli()).
				Order("a.last_seen DESC").Limit(maxThreats).Scan(ctx)
			if err != nil {
				return nil, fmt.Errorf("ticketing: alerts about %d items: %w", len(part), err)
			}
			for i := range rows {
				r := &rows[i]
				if seen[r.ID] {
					continue
				}
				seen[r.ID] = true
				t := Threat{ID: r.ID, CI: r.CIID, System: r.SystemID, Severity: severityOf(r.Severity), Verdict: verdictOf(r.Verdict), LastSeen: when(r.LastSeen),
					Status: r.Status, Closed: r.Resolution, Incident: r.IncidentID}
				if err := json.Unmarshal([]byte(r.RuleTitle), &t.Rule); err != nil {
					return nil, fmt.Errorf("ticketing: title of the rule of alert %s: %w", r.ID, err)
				}
				out = append(out, t)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Threat) int { return b.LastSeen.Compare(a.LastSeen) })
	return out, nil
}

// maxStirred is how many entries of timelines Stirred looks at in one call.
const maxStirred = 2000

// Stirred names the items and business systems whose alerts something happened
// to: entries of timelines after a mark, and firings seen since then. It returns
// the mark for the next call; call again while it grows.
func (s *Service) Stirred(ctx context.Context, after int64, seen time.Time) (ids []string, next int64, err error) {
	fail := func(err error) ([]string, int64, error) {
		return nil, after, fmt.Errorf("ticketing: what alerts changed: %w", err)
	}
	var entries []struct {
		Seq    int64  `bun:"seq"`
		Object string `bun:"object"`
	}
	err = s.db.NewSelect().Table("ticketing_timeline").Column("seq", "object").Where("seq > ?", after).Order("seq").Limit(maxStirred).Scan(ctx, &entries)
	if err != nil {
		return fail(err)
	}
	next = after
	objects := map[string]bool{}
	for _, e := range entries {
		objects[e.Object], next = true, e.Seq
	}
	found := map[string]bool{}
	add := func(where string, args ...any) error {
		var rows []struct {
			CIID     string `bun:"ci_id"`
			SystemID string `bun:"system_id"`
		}
		if err := s.db.NewSelect().Model((*alertRow)(nil)).Column("a.ci_id", "a.system_id").Distinct().Where(where, args...).Scan(ctx, &rows); err != nil {
			return err
		}
		for _, r := range rows {
			found[r.CIID], found[r.SystemID] = true, true
		}
		return nil
	}
	list := make([]string, 0, len(objects))
	for id := range objects {
		list = append(list, id)
	}
	for part := range slices.Chunk(list, idsPerStatement) {
		if err := add("a.id IN (?)", bun.In(part)); err != nil {
			return fail(err)
		}
		if err := add("a.incident_id IN (?) AND a.incident_id <> ''", bun.In(part)); err != nil {
			return fail(err)
		}
	}
	if !seen.IsZero() {
		if err := add("a.last_seen >= ?", seen.UnixMilli()); err != nil {
			return fail(err)
		}
	}
	delete(found, "")
	for id := range found {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, next, nil
}

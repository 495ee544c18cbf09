package cmdb

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// The attributes, of any class, that data scopes look at.
const (
	attrUnit     = "unit" // id of an organisation of the suite's own tree
	attrRegion   = "region"
	attrIndustry = "industry"
	attrLine     = "business_line"
)

// What labels start with that say of an item, to data scopes only, which
// business line and which resource zone it is of.
const (
	LineLabel = "line:"
	ZoneLabel = "zone:"
)

// settle works out the facts of the items named, and of all that take theirs
// from them: an item's own attributes count first, then those of its business
// system, then those of its organisation; its labels and its system's add up.
// It names the items whose facts changed.
func settle(ctx context.Context, tx bun.Tx, ids []string) ([]string, error) {
	var all []string
	for len(ids) > 0 {
		var changed []string
		for part := range slices.Chunk(ids, chunk) {
			some, err := settlePart(ctx, tx, part)
			if err != nil {
				return nil, fmt.Errorf("cmdb: work out what data scopes see: %w", err)
			}
			changed = append(changed, some...)
		}
		all = append(all, changed...)
		// What belongs to an item that changed may change with it. Nothing
		// belongs to itself, so this ends.
		ids = nil
		for part := range slices.Chunk(changed, chunk) {
			var members []string
			err := tx.NewSelect().Model((*itemRow)(nil)).Column("id").Where("i.system_id IN (?) OR i.organisation_id IN (?)", bun.In(part), bun.In(part)).Scan(ctx, &members)
			if err != nil {
				return nil, fmt.Errorf("cmdb: work out what data scopes see: %w", err)
			}
			ids = append(ids, members...)
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	return all, nil
}

// settlePart does so for some items, whose superiors are as stored, and names
// those that changed.
func settlePart(ctx context.Context, tx bun.Tx, ids []string) ([]string, error) {
	var rows []itemRow
	if err := tx.NewSelect().Model(&rows).Where("i.id IN (?)", bun.In(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	above := map[string]reach.Kept{}
	for i := range rows {
		above[rows[i].SystemID], above[rows[i].OrganisationID] = reach.Kept{}, reach.Kept{}
	}
	delete(above, "")
	for part := range slices.Chunk(slices.Sorted(maps.Keys(above)), chunk) {
		var superiors []itemRow
		if err := tx.NewSelect().Model(&superiors).Where("i.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, err
		}
		for i := range superiors {
			above[superiors[i].ID] = superiors[i].Kept
		}
	}
	// Most of a file's items share their facts: one statement sets them all.
	same := map[reach.Kept][]string{}
	var changed []string
	for i := range rows {
		r := &rows[i]
		facts, err := r.work(above[r.SystemID], above[r.OrganisationID])
		if err != nil {
			return nil, err
		}
		if facts != r.Kept {
			same[facts] = append(same[facts], r.ID)
			changed = append(changed, r.ID)
		}
	}
	for facts, ids := range same {
		_, err := tx.NewUpdate().Model((*itemRow)(nil)).Where("id IN (?)", bun.In(ids)).
			Set("reach_unit = ?, reach_region = ?, reach_industry = ?, reach_labels = ?", facts.Unit, facts.Region, facts.Industry, facts.Labels).Exec(ctx)
		if err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// work makes a stored item's facts of its own values and its superiors' facts.
func (r *itemRow) work(system, organisation reach.Kept) (reach.Kept, error) {
	var own map[string]string
	var labels []string
	if err := json.Unmarshal([]byte(r.Attributes), &own); err != nil {
		return reach.Kept{}, fmt.Errorf("item %s: stored attributes: %w", r.ID, err)
	}
	if err := json.Unmarshal([]byte(r.Labels), &labels); err != nil {
		return reach.Kept{}, fmt.Errorf("item %s: stored labels: %w", r.ID, err)
	}
	return workOut(own, labels, r.Zone, system, organisation), nil
}

// workOut makes an item's facts of its own attributes, labels and network zone
// and of its superiors' facts.
func workOut(own map[string]string, labels []string, zone string, system, organisation reach.Kept) reach.Kept {
	labels = slices.Clip(labels)
	// Who may administer a business line or a resource zone is a matter of
	// data scopes, which look at labels.
	if line := own[attrLine]; line != "" {
		labels = append(labels, LineLabel+line)
	}
	if zone != "" && zone != DefaultZone {
		labels = append(labels, ZoneLabel+zone)
	}
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	return reach.Kept{
		Unit:     first(own[attrUnit], system.Unit, organisation.Unit),
		Region:   first(own[attrRegion], system.Region, organisation.Region),
		Industry: first(own[attrIndustry], system.Industry, organisation.Industry),
		Labels:   reach.JoinLabels(append(labels, reach.SplitLabels(system.Labels)...)),
	}
}

// factsOfNew works out the facts of items that are about to be created, so that
// each is written once: by id. What they belong to is among them or stored.
func factsOfNew(ctx context.Context, tx bun.Tx, created []*Item) (map[string]reach.Kept, error) {
	fresh := make(map[string]*Item, len(created))
	for _, it := range created {
		fresh[it.ID] = it
	}
	stored := map[string]bool{}
	for _, it := range created {
		for _, id := range []string{it.System, it.Organisation} {
			if id != "" && fresh[id] == nil {
				stored[id] = true
			}
		}
	}
	above, err := keptOf(ctx, tx, slices.Sorted(maps.Keys(stored)))
	if err != nil {
		return nil, err
	}
	out := make(map[string]reach.Kept, len(created))
	var settle func(id string) reach.Kept
	settle = func(id string) reach.Kept {
		it := fresh[id]
		if it == nil {
			return above[id]
		}
		if facts, known := out[id]; known {
			return facts
		}
		out[id] = reach.Kept{} // nothing belongs to itself; were it so, this ends all the same
		out[id] = workOut(it.Attributes, it.Labels, it.Zone, settle(it.System), settle(it.Organisation))
		return out[id]
	}
	for _, it := range created {
		settle(it.ID)
	}
	return out, nil
}

// settleAll works out the facts of the items that a migration left without.
func (s *Service) settleAll(ctx context.Context) error {
	var ids []string
	if err := s.db.NewSelect().Table("cmdb_unsettled").Column("item_id").Scan(ctx, &ids); err != nil {
		return fmt.Errorf("cmdb: read what to work out: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	return s.write(ctx, shippedActor, func(ctx context.Context, w *writer) error {
		if _, err := settle(ctx, w.tx, ids); err != nil {
			return err
		}
		if _, err := w.tx.ExecContext(ctx, "DELETE FROM cmdb_unsettled"); err != nil {
			return fmt.Errorf("cmdb: note what was worked out: %w", err)
		}
		w.dirty = true
		return nil
	})
}

// outside names, of items just written, those that a reach does not hold: who
// changes an item may not move it out of sight.
func outside(ctx context.Context, tx bun.Tx, r reach.Reach, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	if r.Everything() {
		return out, nil
	}
	for part := range slices.Chunk(ids, chunk) {
		var seen []string
		if err := r.Within(tx.NewSelect().Model((*itemRow)(nil)).Column("id").Where("i.id IN (?)", bun.In(part)), "i").Scan(ctx, &seen); err != nil {
			return nil, fmt.Errorf("cmdb: check what may be changed: %w", err)
		}
		for _, id := range part {
			if !slices.Contains(seen, id) {
				out[id] = true
			}
		}
	}
	return out, nil
}

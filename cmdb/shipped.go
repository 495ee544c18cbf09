package cmdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/soc/tenancy"
)

type shippedRow struct {
	bun.BaseModel `bun:"table:cmdb_shipped,alias:s"`
	ItemID        string `bun:"item_id,pk"`
	Item          string `bun:"item"`
}

// shippedActor is who the history names for changes a release brings.
const shippedActor = "icewatch"

// SystemID is the id of the business system that stands for a tenant itself.
func SystemID(slug string) string { return "bs-" + slug }

// shipped is the business system of a tenant as its catalogue entry has it.
func shipped(t tenancy.Tenant) Item {
	subsystems := make([]string, len(t.Subsystems))
	for i, s := range t.Subsystems {
		subsystems[i] = s.ZH + " / " + s.EN
	}
	it := Item{
		ID: SystemID(t.Slug), Class: BusinessSystem, Name: t.Name.ZH, Tenant: t.Slug,
		Criticality: t.Criticality(),
		Attributes:  map[string]string{"name_en": t.Name.EN, "domain": t.Domain},
	}
	if t.ProtectionLevel > 0 {
		it.Attributes["protection_level"] = fmt.Sprint(t.ProtectionLevel)
	}
	if len(subsystems) > 0 {
		it.Attributes["subsystems"] = cutText(strings.Join(subsystems, "\n"), maxAttrValue)
	}
	return it
}

// cutText shortens s to at most limit characters.
func cutText(s string, limit int) string {
	r := []rune(s)
	if len(r) <= limit {
		return s
	}
	return string(r[:limit-1]) + "…"
}

// syncTenants brings each catalogue tenant's business system in on the first
// start. Later starts merge three ways: what the catalogue changed since it was
// last merged is taken over, but a field a user edited stays the user's, and an
// item a user deleted stays deleted.
func (s *Service) syncTenants(ctx context.Context) error {
	if s.busy(BusinessSystem) != nil {
		return nil // the next start does it
	}
	var rows []shippedRow
	if err := s.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return fmt.Errorf("cmdb: read the shipped items: %w", err)
	}
	base := make(map[string]Item, len(rows))
	for _, r := range rows {
		var it Item
		if err := json.Unmarshal([]byte(r.Item), &it); err != nil {
			return fmt.Errorf("cmdb: shipped item %q: %w", r.ItemID, err)
		}
		base[r.ItemID] = it
	}
	var drafts []*draft
	var keep []shippedRow
	for _, t := range s.tenants.List() {
		if t.BuiltIn {
			continue
		}
		want := shipped(t)
		last, known := base[want.ID]
		if known && reflect.DeepEqual(last, want) {
			continue
		}
		d, err := s.shippedDraft(ctx, want, last, known)
		if err != nil {
			return fmt.Errorf("cmdb: business system of tenant %q: %w", t.Slug, err)
		}
		if d != nil {
			drafts = append(drafts, d)
		}
		text, err := json.Marshal(want)
		if err != nil {
			return fmt.Errorf("cmdb: business system of tenant %q: %w", t.Slug, err)
		}
		keep = append(keep, shippedRow{ItemID: want.ID, Item: string(text)})
	}
	if len(drafts) > 0 {
		opts := ImportOptions{Within: reach.All(), Actor: shippedActor}
		report, err := s.change(ctx, drafts, errorList{}, opts)
		if err != nil {
			return fmt.Errorf("cmdb: bring in the tenants' business systems: %w", err)
		}
		if len(report.Errors) > 0 {
			// A user's item may stand in the way of one of them, by its
			// name. That must not keep the others out or stop the start.
			for _, d := range drafts {
				fresh := &draft{want: d.want, given: d.given, attrs: d.attrs}
				report, err := s.change(ctx, []*draft{fresh}, errorList{}, opts)
				if err != nil {
					return fmt.Errorf("cmdb: bring in business system %q: %w", d.want.ID, err)
				}
				if len(report.Errors) > 0 {
					slog.WarnContext(ctx, "a tenant's business system could not be brought in or up to date",
						"item", d.want.ID, "error", report.Errors[0].Error())
					// What was not taken over is tried again at the next start.
					keep = slices.DeleteFunc(keep, func(r shippedRow) bool { return r.ItemID == d.want.ID })
				}
			}
		}
	}
	for part := range slices.Chunk(keep, chunk) {
		if _, err := s.db.NewInsert().Model(&part).On("CONFLICT (item_id) DO UPDATE").Set("item = EXCLUDED.item").Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: keep what was shipped: %w", err)
		}
	}
	return nil
}

// shippedDraft is what the catalogue changes on a tenant's business system, or
// nil where a user deleted it. last is the item as last shipped, where known.
func (s *Service) shippedDraft(ctx context.Context, want, last Item, known bool) (*draft, error) {
	d := &draft{want: Item{ID: want.ID, Class: want.Class}, given: map[string]bool{}, attrs: map[string]string{}}
	if !known {
		d.want, d.attrs = want, maps.Clone(want.Attributes)
		for _, c := range []string{colName, colTenant, colCriticality} {
			d.given[c] = true
		}
		return d, nil
	}
	now, err := s.Get(ctx, reach.All(), want.ID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if now.Name == last.Name && want.Name != last.Name {
		d.given[colName], d.want.Name = true, want.Name
	}
	if now.Criticality == last.Criticality {
		d.want.Criticality = want.Criticality
	}
	for k := range last.Attributes {
		if _, still := want.Attributes[k]; !still && now.Attributes[k] == last.Attributes[k] {
			d.attrs[k] = ""
		}
	}
	for k, v := range want.Attributes {
		if now.Attributes[k] == last.Attributes[k] {
			d.attrs[k] = v
		}
	}
	return d, nil
}

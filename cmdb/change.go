package cmdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// What a history entry says was done.
const (
	actionCreated = "created"
	actionUpdated = "updated"
	actionDeleted = "deleted"
)

// InvalidError is what Upsert returns for an item that cannot be taken. It is
// ErrInvalid.
type InvalidError struct{ Errors []RowError }

// Error implements error.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("cmdb: invalid item")
	for _, x := range e.Errors {
		b.WriteString(": ")
		b.WriteString(x.Error())
	}
	return b.String()
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// errRejected rolls a transaction back where the drafts have mistakes.
var errRejected = errors.New("cmdb: rejected")

// change plans the drafts against the tables and, unless dry, writes them, all
// in one transaction. mistakes are those found while reading the drafts. Mistakes
// are in the report, and where there is one nothing is written.
func (s *Service) change(ctx context.Context, drafts []*draft, mistakes errorList, opts ImportOptions) (Report, error) {
	var report Report
	run := func(ctx context.Context, tx bun.Tx) error {
		p := &planner{
			db: tx, classes: s.classes, tenants: s.tenants, within: opts.Within, tenant: opts.Tenant,
			now: s.now(), drafts: drafts, errs: mistakes,
		}
		if err := p.run(ctx); err != nil {
			return err
		}
		if p.errs.total > 0 {
			slices.SortStableFunc(p.errs.list, func(a, b RowError) int { return a.Row - b.Row })
			report = Report{DryRun: opts.DryRun, Errors: p.errs.list, Rejected: p.errs.total}
			return errRejected
		}
		var todo []*draft
		for _, d := range drafts {
			switch {
			case d.old == nil:
				report.Created++
			case len(diff(d.old, &d.final)) > 0:
				report.Updated++
			default:
				d.final = *d.old
				report.Unchanged++
				continue
			}
			d.final.UpdatedAt = p.now
			todo = append(todo, d)
		}
		report.DryRun = opts.DryRun
		if opts.DryRun || len(todo) == 0 {
			return nil
		}
		if err := write(ctx, tx, todo, opts.Actor, p.now); err != nil {
			return err
		}
		ids := make([]string, len(todo))
		for i, d := range todo {
			ids[i] = d.final.ID
		}
		hidden, err := outside(ctx, tx, opts.Within, ids)
		if err != nil || len(hidden) == 0 {
			return err
		}
		for _, d := range todo {
			if hidden[d.final.ID] {
				p.fail(d, "", "the item would lie outside of your reach, by its tenant, organisation, region, industry or labels")
			}
		}
		report = Report{Errors: p.errs.list, Rejected: p.errs.total}
		return errRejected
	}
	var err error
	if opts.DryRun {
		// A dry run only reads: it need not keep writers waiting.
		err = s.db.Read.RunInTx(ctx, nil, run)
	} else {
		err = s.db.RunInTx(ctx, nil, run)
	}
	if err != nil && !errors.Is(err, errRejected) {
		return Report{}, err
	}
	if !opts.DryRun && report.Created+report.Updated > 0 {
		s.notify()
	}
	return report, nil
}

// write stores new and changed items with addresses, labels and history.
func write(ctx context.Context, tx bun.Tx, drafts []*draft, actor string, now time.Time) error {
	var created, updated []itemRow
	var changedIDs, renamed, ids []string
	var addresses []addressRow
	var labels []labelRow
	var history []historyRow
	for _, d := range drafts {
		row := toRow(&d.final)
		ids = append(ids, row.ID)
		action := actionUpdated
		if d.old == nil {
			action = actionCreated
			created = append(created, row)
		} else {
			updated = append(updated, row)
			changedIDs = append(changedIDs, row.ID)
			if d.old.Name != row.Name || d.old.Tenant != row.Tenant {
				renamed = append(renamed, row.ID)
			}
		}
		for _, a := range d.final.Addresses {
			addresses = append(addresses, addressRow{Zone: d.final.Zone, Address: a, ItemID: row.ID})
		}
		for _, l := range d.final.Labels {
			labels = append(labels, labelRow{Label: l, ItemID: row.ID})
		}
		history = append(history, historyOf(d.old, &d.final, actor, action, now))
	}
	// Give up old names and addresses first, so that two items may swap them.
	for part := range slices.Chunk(renamed, chunk) {
		_, err := tx.NewUpdate().Model((*itemRow)(nil)).Set("name = '~renamed ' || id").Where("id IN (?)", bun.In(part)).Exec(ctx)
		if err != nil {
			return fmt.Errorf("cmdb: give up old names: %w", err)
		}
	}
	for part := range slices.Chunk(changedIDs, chunk) {
		if _, err := tx.NewDelete().Model((*addressRow)(nil)).Where("item_id IN (?)", bun.In(part)).Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: give up old addresses: %w", err)
		}
		if _, err := tx.NewDelete().Model((*labelRow)(nil)).Where("item_id IN (?)", bun.In(part)).Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: take off old labels: %w", err)
		}
	}
	for i := range updated {
		if _, err := tx.NewUpdate().Model(&updated[i]).ExcludeColumn("reach_unit", "reach_region", "reach_industry", "reach_labels").WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: update item %q: %w", updated[i].ID, err)
		}
	}
	if err := insertAll(ctx, tx, created); err != nil {
		return fmt.Errorf("cmdb: create items: %w", err)
	}
	if err := insertAll(ctx, tx, addresses); err != nil {
		return fmt.Errorf("cmdb: store addresses: %w", err)
	}
	if err := insertAll(ctx, tx, labels); err != nil {
		return fmt.Errorf("cmdb: store labels: %w", err)
	}
	if err := settle(ctx, tx, ids); err != nil {
		return err
	}
	if err := keepHistory(ctx, tx, history); err != nil {
		return fmt.Errorf("cmdb: store history: %w", err)
	}
	return bump(ctx, tx)
}

// keepHistory stores entries with the facts that their items have now.
func keepHistory(ctx context.Context, tx bun.Tx, entries []historyRow) error {
	for part := range slices.Chunk(entries, chunk) {
		ids := make([]string, len(part))
		for i := range part {
			ids[i] = part[i].ItemID
		}
		var rows []itemRow
		if err := tx.NewSelect().Model(&rows).Where("i.id IN (?)", bun.In(ids)).Scan(ctx); err != nil {
			return err
		}
		facts := make(map[string]reach.Kept, len(rows))
		for i := range rows {
			facts[rows[i].ID] = rows[i].Kept
		}
		for i := range part {
			part[i].Kept = facts[part[i].ItemID]
		}
	}
	return insertAll(ctx, tx, entries)
}

func insertAll[T any](ctx context.Context, tx bun.Tx, rows []T) error {
	for part := range slices.Chunk(rows, chunk) {
		if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// bump counts a change, which makes the next snapshot a new version.
func bump(ctx context.Context, tx bun.Tx) error {
	if _, err := tx.ExecContext(ctx, "UPDATE cmdb_version SET version = version + 1 WHERE id = 1"); err != nil {
		return fmt.Errorf("cmdb: count the change: %w", err)
	}
	return nil
}

func historyOf(before, after *Item, actor, action string, now time.Time) historyRow {
	b, _ := json.Marshal(diff(before, after)) // strings always encode
	of := after
	if of == nil {
		of = before
	}
	return historyRow{
		ItemID: of.ID, Class: of.Class, Tenant: of.Tenant, Name: of.Name,
		Time: now.UnixMilli(), Actor: actor, Action: action, Changes: string(b),
	}
}

// diff lists the fields that differ. nil stands for an item that is not there.
func diff(before, after *Item) []Change {
	if before == nil {
		before = &Item{}
	}
	if after == nil {
		after = &Item{}
	}
	changes := []Change{}
	add := func(field, b, a string) {
		if b != a {
			changes = append(changes, Change{Field: field, Before: b, After: a})
		}
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	add(colName, before.Name, after.Name)
	add(colTenant, before.Tenant, after.Tenant)
	add(colZone, before.Zone, after.Zone)
	add(colAddresses, joinList(before.Addresses), joinList(after.Addresses))
	add(colHostnames, joinList(before.Hostnames), joinList(after.Hostnames))
	add(colCriticality, number(before.Criticality), number(after.Criticality))
	add(colOwner, before.Owner, after.Owner)
	add(colLabels, joinList(before.Labels), joinList(after.Labels))
	add(colSystem, before.System, after.System)
	add(colOrganisation, before.Organisation, after.Organisation)
	if len(before.Attributes)+len(after.Attributes) > 0 {
		names := slices.AppendSeq(slices.Collect(maps.Keys(before.Attributes)), maps.Keys(after.Attributes))
		slices.Sort(names)
		for _, k := range slices.Compact(names) {
			add(attrPrefix+k, before.Attributes[k], after.Attributes[k])
		}
	}
	return changes
}

func joinList(l []string) string { return strings.Join(l, ";") }

// Upsert creates one item, or replaces the one with the same id (else the same
// class, tenant and name) as a whole. A Criticality of 0 keeps the old one, or
// takes the system's, or 3. A rejected item is an *InvalidError.
func (s *Service) Upsert(ctx context.Context, r reach.Reach, actor string, it Item) (Item, error) {
	d := &draft{want: it, attrs: maps.Clone(it.Attributes), wholeAttrs: true, given: map[string]bool{}}
	for _, c := range []string{colName, colTenant, colZone, colAddresses, colHostnames, colCriticality, colOwner, colLabels, colSystem, colOrganisation} {
		d.given[c] = true
	}
	report, err := s.change(ctx, []*draft{d}, errorList{}, ImportOptions{Within: r, Actor: actor})
	if err != nil {
		return Item{}, err
	}
	if len(report.Errors) > 0 {
		return Item{}, &InvalidError{Errors: report.Errors}
	}
	return d.final, nil
}

// Delete removes one item in reach. One that others still belong to, in reach
// or not, is ErrConflict.
func (s *Service) Delete(ctx context.Context, r reach.Reach, actor, id string) error {
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		row, err := getRow(ctx, tx, r, id)
		if err != nil {
			return err
		}
		it, err := row.item()
		if err != nil {
			return err
		}
		members := func(of reach.Reach) (int, error) {
			n, err := of.Within(tx.NewSelect().Model((*itemRow)(nil)).Where("i.system_id = ? OR i.organisation_id = ?", id, id), "i").Count(ctx)
			if err != nil {
				return 0, fmt.Errorf("cmdb: members of %q: %w", id, err)
			}
			return int(n), nil
		}
		all, err := members(reach.All())
		if err != nil {
			return err
		}
		seen, err := members(r)
		switch {
		case err != nil:
			return err
		case seen > 0:
			return fmt.Errorf("%w: %d items belong to %s %q: move or delete them first", ErrConflict, seen, it.Class, it.Name)
		case all > 0:
			return fmt.Errorf("%w: items outside of your reach belong to %s %q", ErrConflict, it.Class, it.Name)
		}
		if _, err := tx.NewDelete().Model((*itemRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: delete item %q: %w", id, err)
		}
		h := historyOf(&it, nil, actor, actionDeleted, s.now())
		h.Kept = row.Kept
		if _, err := tx.NewInsert().Model(&h).Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: history of %q: %w", id, err)
		}
		return bump(ctx, tx)
	})
	if err != nil {
		return err
	}
	s.notify()
	return nil
}

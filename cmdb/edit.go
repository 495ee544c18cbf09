package cmdb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// StaleError says that somebody changed an item, or deleted it, after the
// caller read it. It is ErrStale.
type StaleError struct {
	ID       string         `json:"id"`
	Seen     int64          `json:"seen"`     // the revision that the caller read
	Revision int64          `json:"revision"` // the one there is; 0 where the item is gone
	Since    []HistoryEntry `json:"since"`    // what others changed since, newest first
}

// Error implements error.
func (e *StaleError) Error() string {
	text := fmt.Sprintf("cmdb: item %q is at revision %d, not %d", e.ID, e.Revision, e.Seen)
	if e.Revision == 0 {
		text = fmt.Sprintf("cmdb: item %q is gone", e.ID)
	}
	for _, h := range e.Since {
		fields := make([]string, len(h.Changes))
		for i, c := range h.Changes {
			fields[i] = c.Field
		}
		text += fmt.Sprintf("; %s %s %s at %s", h.Actor, h.Action, strings.Join(fields, ", "), h.Time.Format("2006-01-02 15:04:05"))
	}
	return text
}

// Is makes errors.Is(err, ErrStale) true.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// staleError tells what happened to a draft's item since its author read it.
func staleError(ctx context.Context, tx bun.Tx, r reach.Reach, d *draft) error {
	e := &StaleError{ID: d.want.ID, Seen: d.want.Revision, Since: []HistoryEntry{}}
	if d.old != nil {
		e.ID, e.Revision = d.old.ID, d.old.Revision
	}
	var rows []historyRow
	q := r.Within(tx.NewSelect().Model(&rows), "h").Where("h.item_id = ? AND h.revision > ? AND h.other_id = ''", e.ID, e.Seen)
	if err := q.Order("h.id DESC").Limit(defaultLimit).Scan(ctx); err != nil {
		return fmt.Errorf("cmdb: what changed item %q: %w", e.ID, err)
	}
	var err error
	if e.Since, err = entries(rows); err != nil {
		return err
	}
	return e
}

// Upsert creates one item, or replaces the one with the same id (else the same
// class, tenant and name) as a whole. A Criticality of 0 keeps the old one, or
// takes the system's, or 3. A Revision other than 0 is the one the caller read:
// where the item has another one now, nothing is changed and the error is a
// *StaleError. A rejected item is an *InvalidError.
func (s *Service) Upsert(ctx context.Context, r reach.Reach, actor string, it Item) (Item, error) {
	return s.upsert(ctx, it, ImportOptions{Within: r, Actor: actor})
}

func (s *Service) upsert(ctx context.Context, it Item, opts ImportOptions) (Item, error) {
	d := &draft{want: it, attrs: maps.Clone(it.Attributes), wholeAttrs: true, given: map[string]bool{}}
	for _, c := range []string{colName, colTenant, colZone, colAddresses, colHostnames, colCriticality, colOwner, colLabels, colSystem, colOrganisation} {
		d.given[c] = true
	}
	report, err := s.change(ctx, []*draft{d}, errorList{}, opts)
	if err != nil {
		return Item{}, err
	}
	if len(report.Errors) > 0 {
		return Item{}, &InvalidError{Errors: report.Errors}
	}
	return d.final, nil
}

// UpsertAll creates or changes many items by their keys, all or nothing: what
// an item does not give stays as it is.
func (s *Service) UpsertAll(ctx context.Context, list []Fields, opts ImportOptions) (Report, error) {
	if len(list) > maxRows {
		return Report{}, fmt.Errorf("%w: more than %d items", ErrTooLarge, maxRows)
	}
	drafts := make([]*draft, len(list))
	var mistakes errorList
	for i, f := range list {
		drafts[i] = f.draft(i+1, opts.Class, &mistakes)
	}
	report, err := s.change(ctx, drafts, mistakes, opts)
	for _, d := range drafts {
		report.IDs = append(report.IDs, d.final.ID)
	}
	return report, err
}

// Fields are what is given of an item: a nil one stays as it is.
type Fields struct {
	ID           *string            `json:"id,omitempty"`
	Class        *string            `json:"class,omitempty"`
	Name         *string            `json:"name,omitempty"`
	Tenant       *string            `json:"tenant,omitempty"`
	Zone         *string            `json:"zone,omitempty"`
	Addresses    *[]string          `json:"addresses,omitempty"`
	Hostnames    *[]string          `json:"hostnames,omitempty"`
	Criticality  *int               `json:"criticality,omitempty"`
	Owner        *string            `json:"owner,omitempty"`
	Labels       *[]string          `json:"labels,omitempty"`
	System       *string            `json:"system,omitempty" doc:"Id or name"`
	Organisation *string            `json:"organisation,omitempty" doc:"Id or name"`
	Attributes   map[string]*string `json:"attributes,omitempty" doc:"Those given; null takes one away"`
	Revision     int64              `json:"revision,omitempty" doc:"The one that the caller read: another one now is a conflict"`
}

func (f *Fields) draft(row int, class string, mistakes *errorList) *draft {
	d := &draft{row: row, given: map[string]bool{}, attrs: map[string]string{}}
	d.want.Class, d.want.Revision = class, f.Revision
	text := func(column string, from, to *string) {
		if from != nil {
			d.given[column] = true
			*to = *from
		}
	}
	text(colID, f.ID, &d.want.ID)
	text(colClass, f.Class, &d.want.Class)
	text(colName, f.Name, &d.want.Name)
	text(colTenant, f.Tenant, &d.want.Tenant)
	text(colZone, f.Zone, &d.want.Zone)
	text(colOwner, f.Owner, &d.want.Owner)
	text(colSystem, f.System, &d.want.System)
	text(colOrganisation, f.Organisation, &d.want.Organisation)
	list := func(column string, from, to *[]string) {
		if from != nil {
			d.given[column] = true
			*to = slices.Clone(*from)
		}
	}
	list(colAddresses, f.Addresses, &d.want.Addresses)
	list(colHostnames, f.Hostnames, &d.want.Hostnames)
	list(colLabels, f.Labels, &d.want.Labels)
	if f.Criticality != nil {
		n, err := checkCriticality(strconv.Itoa(*f.Criticality))
		if err != nil {
			d.bad = true
			mistakes.add(row, colCriticality, "%v", err)
		}
		d.want.Criticality = n
	}
	for k, v := range f.Attributes {
		if v == nil {
			d.attrs[k] = ""
		} else {
			d.attrs[k] = *v
		}
	}
	return d
}

// Restore gives an item the values it had right after an entry of its history,
// a deleted item too; it then goes by its old id. What it belongs to and refers
// to must still be there. The way back is a change like any other and can be
// restored from.
func (s *Service) Restore(ctx context.Context, r reach.Reach, actor, id string, entry int64) (Item, error) {
	var rows []historyRow
	// All entries are needed to go back, those too that were made while the
	// item was out of the caller's reach; what he gets is the one he may see.
	if err := s.db.NewSelect().Model(&rows).Where("h.item_id = ? AND h.id >= ?", id, entry).Order("h.id DESC").Scan(ctx); err != nil {
		return Item{}, fmt.Errorf("cmdb: history of %q: %w", id, err)
	}
	if n := len(rows); n == 0 || rows[n-1].ID != entry || !r.Match(rows[n-1].FactsOf(rows[n-1].Tenant)) {
		return Item{}, fmt.Errorf("%w: %q has no entry %d in its history", ErrNotFound, id, entry)
	}
	list, err := entries(rows)
	if err != nil {
		return Item{}, err
	}
	now, err := s.Get(ctx, r, id)
	if err != nil {
		// A deleted item begins from nothing: its last entry says what it was.
		now = Item{ID: id, Class: list[0].Class}
		if list[0].Action != actionDeleted {
			return Item{}, err
		}
	}
	for _, h := range list[:len(list)-1] {
		if err := now.undo(h.Changes); err != nil {
			return Item{}, fmt.Errorf("cmdb: history entry %d of %q: %w", h.ID, id, err)
		}
	}
	if last := list[len(list)-1]; last.Action == actionDeleted {
		// What was deleted is what there was before.
		if err := now.undo(last.Changes); err != nil {
			return Item{}, fmt.Errorf("cmdb: history entry %d of %q: %w", last.ID, id, err)
		}
	}
	return s.upsert(ctx, now, ImportOptions{Within: r, Actor: actor, back: true})
}

// undo puts the values back that changes replaced.
func (it *Item) undo(changes []Change) error {
	for _, c := range changes {
		if err := it.set(c.Field, c.Before); err != nil {
			return err
		}
	}
	return nil
}

// set gives a field the value that a history entry has of it.
func (it *Item) set(field, value string) error {
	split := func() []string { return strings.FieldsFunc(value, func(r rune) bool { return r == ';' }) }
	switch field {
	case colName:
		it.Name = value
	case colTenant:
		it.Tenant = value
	case colZone:
		it.Zone = value
	case colAddresses:
		it.Addresses = split()
	case colHostnames:
		it.Hostnames = split()
	case colLabels:
		it.Labels = split()
	case colOwner:
		it.Owner = value
	case colSystem:
		it.System = value
	case colOrganisation:
		it.Organisation = value
	case colCriticality:
		it.Criticality = 0
		if value != "" {
			n, err := checkCriticality(value)
			if err != nil {
				return err
			}
			it.Criticality = n
		}
	default:
		name, isAttribute := strings.CutPrefix(field, attrPrefix)
		if !isAttribute {
			return nil // a relation, which is none of the item's fields
		}
		it.Attributes = maps.Clone(it.Attributes)
		if it.Attributes == nil {
			it.Attributes = map[string]string{}
		}
		if value == "" {
			delete(it.Attributes, name)
		} else {
			it.Attributes[name] = value
		}
	}
	return nil
}

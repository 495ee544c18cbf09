package cmdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
	run := func(ctx context.Context, w *writer) error {
		tx := w.tx
		for _, d := range drafts {
			if err := s.busy(d.want.Class); err != nil {
				return err
			}
		}
		opts.step(Step{Phase: "checking", Rows: len(drafts), Done: 20})
		p := &planner{
			db: tx, model: s.Model(), tenants: s.tenants, within: opts.Within, tenant: opts.Tenant, back: opts.back,
			now: s.now(), drafts: drafts, errs: mistakes,
		}
		if err := p.run(ctx); err != nil {
			return err
		}
		if len(p.stale) > 0 {
			return staleError(ctx, tx, opts.Within, p.stale[0])
		}
		if p.errs.total > 0 {
			inOrder(p.errs.list, drafts)
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
		if opts.proposing == nil && !opts.approved && opts.Actor != shippedActor {
			refs := make([]Ref, len(todo))
			for i, d := range todo {
				refs[i] = Ref{ID: d.final.ID, Class: d.final.Class, Name: d.final.Name}
			}
			err := s.guard(refs)
			if e, ok := errors.AsType[*ProtectedError](err); ok && opts.DryRun {
				report.Protected = e.Total
			} else if err != nil {
				return err
			}
		}
		if opts.DryRun || len(todo) == 0 && opts.proposing == nil && len(opts.remove) == 0 {
			return nil
		}
		var before map[string]reach.Kept
		if opts.proposing != nil {
			var ids []string
			for _, d := range todo {
				if d.old != nil {
					ids = append(ids, d.old.ID)
				}
			}
			var err error
			if before, err = keptOf(ctx, tx, ids); err != nil {
				return err
			}
		}
		w.step = func(phase string, done int) { opts.step(Step{phase, len(drafts), done}) }
		if opts.Source != "" {
			if err := w.record(ctx, &report, opts); err != nil {
				return err
			}
		}
		if len(todo) > 0 {
			if err := w.store(ctx, todo, p); err != nil {
				return err
			}
		}
		for _, x := range opts.remove {
			if err := w.removeSeen(ctx, opts.Within, x); err != nil {
				return err
			}
		}
		ids := make([]string, len(todo))
		for i, d := range todo {
			ids[i] = d.final.ID
		}
		hidden, err := outside(ctx, tx, opts.Within, ids)
		if err == nil && len(hidden) == 0 && opts.proposing != nil {
			if err = opts.proposing.note(ctx, w, opts.Within, todo, before); err == nil {
				err = errProposed
			}
		}
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
		err = s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error { return run(ctx, &writer{s: s, tx: tx}) })
	} else {
		if len(drafts) >= bulkRows {
			if err := s.db.room(ctx, true); err != nil {
				return Report{}, fmt.Errorf("cmdb: make room for a large change: %w", err)
			}
			defer func() {
				if err := s.db.room(context.WithoutCancel(ctx), false); err != nil {
					slog.Warn("cmdb: the memory for a large change is not given back yet", "error", err)
				}
			}()
		}
		err = s.write(ctx, opts.Actor, run)
	}
	if err != nil && !errors.Is(err, errRejected) && !errors.Is(err, errProposed) {
		return Report{}, err
	}
	return report, nil
}

// inOrder sorts mistakes as their places come in the file.
func inOrder(list []RowError, drafts []*draft) {
	sheets := map[string]int{}
	for _, d := range drafts {
		if _, known := sheets[d.sheet]; !known {
			sheets[d.sheet] = len(sheets)
		}
	}
	slices.SortStableFunc(list, func(a, b RowError) int {
		if a.Sheet != b.Sheet {
			return sheets[a.Sheet] - sheets[b.Sheet]
		}
		return a.Row - b.Row
	})
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

// Delete removes one item in reach. One that others still belong to or refer
// to, in reach or not, is ErrConflict.
func (s *Service) Delete(ctx context.Context, r reach.Reach, actor, id string) error {
	return s.write(ctx, actor, func(ctx context.Context, w *writer) error {
		it, err := get(ctx, w.tx, r, id)
		if err != nil {
			return err
		}
		if err := s.guard([]Ref{{ID: it.ID, Class: it.Class, Name: it.Name}}); err != nil {
			return err
		}
		return w.deleteOne(ctx, r, id)
	})
}

// deleteOne removes one item that nothing else belongs to or refers to.
func (w *writer) deleteOne(ctx context.Context, r reach.Reach, id string) error {
	row, err := getRow(ctx, w.tx, r, id)
	if err != nil {
		return err
	}
	it, err := row.item()
	if err != nil {
		return err
	}
	if err := w.s.busy(it.Class); err != nil {
		return err
	}
	all, err := w.dependents(ctx, reach.All(), it.seq)
	if err != nil {
		return err
	}
	seen, err := w.dependents(ctx, r, it.seq)
	switch {
	case err != nil:
		return err
	case seen > 0:
		return fmt.Errorf("%w: %d items belong to %s %q or refer to it: move or delete them first", ErrConflict, seen, it.Class, it.Name)
	case all > 0:
		return fmt.Errorf("%w: items outside of your reach belong to %s %q or refer to it", ErrConflict, it.Class, it.Name)
	}
	return w.remove(ctx, &it, row.Kept)
}

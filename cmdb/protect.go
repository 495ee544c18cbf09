package cmdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

// ErrProtected says that items of a protected class are changed by approval
// only; see ProtectedError.
var ErrProtected = errors.New("cmdb: protected class")

// ProtectedError names the items that keep a change from being made without
// approval. It is ErrProtected.
type ProtectedError struct {
	Items []Ref // the first 100
	Total int
}

// Error implements error.
func (e *ProtectedError) Error() string {
	first := e.Items[0]
	more := ""
	if e.Total > 1 {
		more = fmt.Sprintf(", and %d more", e.Total-1)
	}
	return fmt.Sprintf("cmdb: %s %q is of a protected class%s: file a change request, which somebody else approves", first.Class, first.Name, more)
}

// Is makes errors.Is(err, ErrProtected) true.
func (e *ProtectedError) Is(target error) bool { return target == ErrProtected }

// Protect names the classes whose items, and those of classes that extend
// them, are changed by approval only. What the suite itself brings and what a
// change of the model moves is changed all the same. Relations made by hand are
// not part of it.
func (s *Service) Protect(classes []string) {
	list := slices.Clone(classes)
	s.protected.Store(&list)
}

// Protected lists the classes in force that are protected.
func (s *Service) Protected() []string {
	list := s.protected.Load()
	if list == nil || len(*list) == 0 {
		return nil
	}
	return s.Model().Concrete(*list...)
}

// guard refuses changes of protected items.
func (s *Service) guard(items []Ref) error {
	classes := s.Protected()
	if len(classes) == 0 {
		return nil
	}
	e := &ProtectedError{}
	for _, it := range items {
		if slices.Contains(classes, it.Class) {
			if e.Total++; len(e.Items) < maxConflicts {
				e.Items = append(e.Items, it)
			}
		}
	}
	if e.Total == 0 {
		return nil
	}
	return e
}

// MaxProposals is how many items one proposal changes at most.
const MaxProposals = 1000

// MustBeNew as the revision that an author saw says that he saw no item.
const MustBeNew = -1

// Proposal is the change of one item that was worked out and not made.
type Proposal struct {
	Action  string   `json:"action"` // "created", "updated" or "deleted"
	Item    Item     `json:"item"`   // as it would be; as it is where it would be deleted
	Seen    int64    `json:"seen"`   // the revision that it is a change of, MustBeNew of a new item
	Changes []Change `json:"changes"`
	// Facts are what data scopes see of the item, before and after.
	Facts []ProposalFacts `json:"facts"`
}

// ProposalFacts decide who may see a proposal.
type ProposalFacts struct {
	Tenant string `json:"tenant"`
	reach.Kept
}

// Match tells whether all that a proposal touches is in reach.
func (p *Proposal) Match(r reach.Reach) bool {
	for _, f := range p.Facts {
		if !r.Match(f.FactsOf(f.Tenant)) {
			return false
		}
	}
	return len(p.Facts) > 0
}

// errProposed rolls back what was done to see what it would do.
var errProposed = errors.New("cmdb: proposed")

// Propose works out what a change would do, on protected items too, and makes
// none of it. Mistakes are in the report.
func (s *Service) Propose(ctx context.Context, list []Fields, remove []string, opts ImportOptions) ([]Proposal, Report, error) {
	if n := len(list) + len(remove); n > MaxProposals {
		return nil, Report{}, fmt.Errorf("%w: %d items: want at most %d", ErrTooLarge, n, MaxProposals)
	}
	p := &proposing{remove: remove}
	opts.proposing, opts.DryRun, opts.Source = p, false, ""
	var mistakes errorList
	drafts := make([]*draft, len(list))
	for i, f := range list {
		drafts[i] = f.draft(i+1, opts.Class, &mistakes)
	}
	report, err := s.change(ctx, drafts, mistakes, opts)
	return p.done, report, err
}

// ProposeFile works out what an import would do, and makes none of it.
func (s *Service) ProposeFile(ctx context.Context, format Format, r io.Reader, opts ImportOptions) ([]Proposal, Report, error) {
	p := &proposing{}
	opts.proposing, opts.DryRun, opts.Source = p, false, ""
	report, err := s.Import(ctx, format, r, opts)
	return p.done, report, err
}

// proposing gathers what a change would do.
type proposing struct {
	remove []string
	done   []Proposal
}

// note keeps what the transaction at hand did to some items, and what it would
// remove besides.
func (p *proposing) note(ctx context.Context, w *writer, within reach.Reach, todo []*draft, before map[string]reach.Kept) error {
	if len(todo)+len(p.remove) > MaxProposals {
		return fmt.Errorf("%w: %d items change: one change request holds at most %d", ErrTooLarge, len(todo)+len(p.remove), MaxProposals)
	}
	ids := make([]string, len(todo))
	for i, d := range todo {
		ids[i] = d.final.ID
	}
	after, err := keptOf(ctx, w.tx, ids)
	if err != nil {
		return err
	}
	for _, d := range todo {
		x := Proposal{Action: actionCreated, Item: d.final, Seen: MustBeNew, Changes: diff(d.old, &d.final)}
		if d.old != nil {
			x.Action, x.Seen = actionUpdated, d.old.Revision
			x.Facts = append(x.Facts, ProposalFacts{d.old.Tenant, before[d.old.ID]})
		}
		x.Facts = append(x.Facts, ProposalFacts{d.final.Tenant, after[d.final.ID]})
		x.Item.fill()
		p.done = append(p.done, x)
	}
	for _, id := range p.remove {
		row, err := getRow(ctx, w.tx, within, id)
		if err != nil {
			return err
		}
		it, err := row.item()
		if err != nil {
			return err
		}
		if err := w.deleteOne(ctx, within, id); err != nil {
			return err
		}
		p.done = append(p.done, Proposal{Action: actionDeleted, Item: it, Seen: it.Revision, Changes: diff(&it, nil), Facts: []ProposalFacts{{it.Tenant, row.Kept}}})
	}
	return nil
}

// keptOf reads what data scopes see of some items.
func keptOf(ctx context.Context, db bun.IDB, ids []string) (map[string]reach.Kept, error) {
	out := make(map[string]reach.Kept, len(ids))
	for part := range slices.Chunk(ids, chunk) {
		var rows []itemRow
		if err := db.NewSelect().Model(&rows).Column(append([]string{"id"}, reach.KeptColumns...)...).Where("i.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: read who may see items: %w", err)
		}
		for i := range rows {
			out[rows[i].ID] = rows[i].Kept
		}
	}
	return out, nil
}

// Apply makes proposals, all or none, on protected items too: who calls it has
// the approval. Where an item is not what the proposal is a change of any more,
// the error is a *StaleError; mistakes that came since are an *InvalidError.
func (s *Service) Apply(ctx context.Context, list []Proposal, opts ImportOptions) (Report, error) {
	opts.approved, opts.DryRun, opts.proposing, opts.Source = true, false, nil, ""
	var drafts []*draft
	for i := range list {
		if p := &list[i]; p.Action == actionDeleted {
			opts.remove = append(opts.remove, p)
		} else {
			d := wholeDraft(p.Item)
			d.row, d.want.Revision = i+1, p.Seen
			d.want.System, d.want.Organisation = p.Item.System, p.Item.Organisation
			drafts = append(drafts, d)
		}
	}
	report, err := s.change(ctx, drafts, errorList{}, opts)
	if err == nil && len(report.Errors) > 0 {
		err = &InvalidError{Errors: report.Errors}
	}
	return report, err
}

// InForce tells whether all of some proposals are what is there already, made
// in whatever way.
func (s *Service) InForce(ctx context.Context, list []Proposal) (bool, error) {
	for i := range list {
		p := &list[i]
		now, err := s.Get(ctx, reach.All(), p.Item.ID)
		switch {
		case errors.Is(err, ErrNotFound):
			if p.Action != actionDeleted {
				return false, nil
			}
		case err != nil:
			return false, err
		case p.Action == actionDeleted || len(diff(&now, &p.Item)) > 0:
			return false, nil
		}
	}
	return true, nil
}

// removeSeen deletes an item that is still as its author saw it.
func (w *writer) removeSeen(ctx context.Context, r reach.Reach, p *Proposal) error {
	row, err := getRow(ctx, w.tx, r, p.Item.ID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err != nil || row.Revision != p.Seen {
		d := &draft{want: Item{ID: p.Item.ID, Revision: p.Seen}}
		if err == nil {
			d.old = &Item{ID: row.ID, Revision: row.Revision}
		}
		return staleError(ctx, w.tx, r, d)
	}
	return w.deleteOne(ctx, r, p.Item.ID)
}

// CheckClasses refuses names of classes that the model does not have.
func CheckClasses(m *model.Model, classes []string) error {
	for _, c := range classes {
		if m.Class(c) == nil {
			return fmt.Errorf("%w: unknown class %q: want some of %s", ErrInvalid, c, classNames(m))
		}
	}
	return nil
}

package cmdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// Import is what one file or one bulk change did.
type Import struct {
	ID        int64      `json:"id"`
	Time      time.Time  `json:"time"`
	Actor     string     `json:"actor"`
	Source    string     `json:"source"` // such as the name of the file
	Created   int        `json:"created"`
	Updated   int        `json:"updated"`
	Unchanged int        `json:"unchanged"`
	UndoneAt  *time.Time `json:"undone_at,omitempty"`
	UndoneBy  string     `json:"undone_by,omitempty"`
}

type importRow struct {
	bun.BaseModel `bun:"table:cmdb_imports,alias:im"`
	ID            int64  `bun:"id,pk,autoincrement"`
	Time          int64  `bun:"time"`
	Actor         string `bun:"actor"`
	Source        string `bun:"source"`
	Created       int    `bun:"created"`
	Updated       int    `bun:"updated"`
	Unchanged     int    `bun:"unchanged"`
	UndoneAt      int64  `bun:"undone_at"`
	UndoneBy      string `bun:"undone_by"`
}

func (r *importRow) told() Import {
	im := Import{
		ID: r.ID, Time: time.UnixMilli(r.Time).UTC(), Actor: r.Actor, Source: r.Source,
		Created: r.Created, Updated: r.Updated, Unchanged: r.Unchanged, UndoneBy: r.UndoneBy,
	}
	if r.UndoneAt > 0 {
		at := time.UnixMilli(r.UndoneAt).UTC()
		im.UndoneAt = &at
	}
	return im
}

// Running is an import that is not done yet.
type Running struct {
	Actor  string    `json:"actor"`
	Source string    `json:"source"`
	DryRun bool      `json:"dry_run"`
	Since  time.Time `json:"since"`
	Step
}

// runs are the imports under way.
type runs struct {
	mu   sync.Mutex
	list []*Running
}

// begin notes an import and follows its steps, until the function that it
// returns is called.
func (l *runs) begin(opts *ImportOptions, now time.Time) func() {
	r := &Running{Actor: opts.Actor, Source: opts.Source, DryRun: opts.DryRun, Since: now, Step: Step{Phase: "waiting"}}
	tell := opts.Step
	opts.Step = func(step Step) {
		l.mu.Lock()
		r.Step = step
		l.mu.Unlock()
		if tell != nil {
			tell(step)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.list = slices.DeleteFunc(l.list, func(o *Running) bool { return o == r })
	}
}

// Running lists the imports under way: all, or where actor is not empty those
// of that user.
func (s *Service) Running(actor string) []Running {
	l := &s.running
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Running{}
	for _, r := range l.list {
		if actor == "" || r.Actor == actor {
			out = append(out, *r)
		}
	}
	return out
}

// record keeps what the change at hand does among Imports.
func (w *writer) record(ctx context.Context, report *Report, opts ImportOptions) error {
	row := importRow{
		Time: w.s.now().UnixMilli(), Actor: opts.Actor, Source: cutText(opts.Source, maxName),
		Created: report.Created, Updated: report.Updated, Unchanged: report.Unchanged,
	}
	if _, err := w.tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return fmt.Errorf("cmdb: keep what is imported: %w", err)
	}
	report.Import, w.imported = row.ID, row.ID
	return nil
}

// Imports lists what was imported, newest first: all of it, or where actor is
// not empty what that user imported. before is the ID of the last one of the
// page before, 0 for the first page.
func (s *Service) Imports(ctx context.Context, actor string, before int64, limit int) ([]Import, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	var rows []importRow
	q := s.db.NewSelect().Model(&rows)
	if actor != "" {
		q = q.Where("actor = ?", actor)
	}
	if before > 0 {
		q = q.Where("id < ?", before)
	}
	if err := q.Order("id DESC").Limit(int64(min(limit, maxLimit))).Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: list imports: %w", err)
	}
	out := make([]Import, len(rows))
	for i := range rows {
		out[i] = rows[i].told()
	}
	return out, nil
}

// ImportByID returns one import, or ErrNotFound.
func (s *Service) ImportByID(ctx context.Context, id int64) (Import, error) {
	row, err := importOf(ctx, s.db, id)
	return row.told(), err
}

func importOf(ctx context.Context, db bun.IDB, id int64) (importRow, error) {
	var rows []importRow
	if err := db.NewSelect().Model(&rows).Where("id = ?", id).Scan(ctx); err != nil {
		return importRow{}, fmt.Errorf("cmdb: read import %d: %w", id, err)
	}
	if len(rows) == 0 {
		return importRow{}, fmt.Errorf("%w: import %d", ErrNotFound, id)
	}
	return rows[0], nil
}

// UndoError says what keeps an import from being taken back. It is ErrConflict.
type UndoError struct {
	Import    int64
	Conflicts []UndoConflict // the first 100
	Total     int
}

// UndoConflict is an item that something newer stands on.
type UndoConflict struct {
	Item   Ref    `json:"item"`
	Reason string `json:"reason"`
}

const maxConflicts = 100

// Error implements error.
func (e *UndoError) Error() string {
	parts := make([]string, 0, 4)
	for _, c := range e.Conflicts[:min(3, len(e.Conflicts))] {
		parts = append(parts, fmt.Sprintf("%s %q: %s", c.Item.Class, c.Item.Name, c.Reason))
	}
	return fmt.Sprintf("cmdb: import %d cannot be taken back: %d of its items have changed since: %s", e.Import, e.Total, strings.Join(parts, "; "))
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *UndoError) Is(target error) bool { return target == ErrConflict }

func (e *UndoError) add(h *historyRow, format string, args ...any) {
	e.Total++
	if len(e.Conflicts) < maxConflicts {
		e.Conflicts = append(e.Conflicts, UndoConflict{Ref{ID: h.ItemID, Class: h.Class, Name: h.Name}, fmt.Sprintf(format, args...)})
	}
}

// UndoImport takes back all that an import did, or nothing: what it made goes,
// what it changed is again what it was. Where somebody changed one of the items
// since, or made another one that hangs on it, the error is a *UndoError that
// names them. All of its items must be in reach.
func (s *Service) UndoImport(ctx context.Context, r reach.Reach, actor string, id int64) (Import, error) {
	var out Import
	err := s.write(ctx, actor, func(ctx context.Context, w *writer) error {
		row, err := importOf(ctx, w.tx, id)
		if err != nil {
			return err
		}
		if row.UndoneAt > 0 {
			return fmt.Errorf("%w: import %d was taken back by %s at %s", ErrConflict, id, row.UndoneBy, time.UnixMilli(row.UndoneAt).UTC().Format(time.RFC3339))
		}
		if err := w.undoImport(ctx, r, id); err != nil {
			return err
		}
		row.UndoneAt, row.UndoneBy = s.now().UnixMilli(), actor
		if _, err := w.tx.NewUpdate().Model(&row).Column("undone_at", "undone_by").WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: note that import %d was taken back: %w", id, err)
		}
		w.dirty = true
		out = row.told()
		return nil
	})
	return out, err
}

func (w *writer) undoImport(ctx context.Context, r reach.Reach, id int64) error {
	var done []historyRow
	if err := w.tx.NewSelect().Model(&done).Where("h.import_id = ?", id).Order("h.id").Scan(ctx); err != nil {
		return fmt.Errorf("cmdb: read what import %d did: %w", id, err)
	}
	stands := &UndoError{Import: id}
	for part := range slices.Chunk(done, chunk) {
		if err := w.changedSince(ctx, part, stands); err != nil {
			return err
		}
	}
	if stands.Total > 0 {
		return stands
	}
	byID := map[string]*historyRow{}
	var ids []string
	for i := range done {
		if err := w.s.busy(done[i].Class); err != nil {
			return err
		}
		byID[done[i].ItemID] = &done[i]
		ids = append(ids, done[i].ItemID)
	}
	refs := make([]Ref, len(done))
	for i := range done {
		refs[i] = Ref{ID: done[i].ItemID, Class: done[i].Class, Name: done[i].Name}
	}
	if err := w.s.guard(refs); err != nil {
		return err
	}
	var gone []removal
	var back []*draft
	for part := range slices.Chunk(ids, chunk) {
		var rows []itemRow
		if err := w.tx.NewSelect().Model(&rows).Where("i.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return fmt.Errorf("cmdb: read what import %d changed: %w", id, err)
		}
		for i := range rows {
			h := byID[rows[i].ID]
			if !r.Match(rows[i].FactsOf(rows[i].Tenant)) {
				return fmt.Errorf("%w: import %d has items outside of your reach", ErrConflict, id)
			}
			it, err := rows[i].item()
			if err != nil {
				return err
			}
			if h.Action == actionCreated {
				gone = append(gone, removal{&it, rows[i].Kept, h})
				continue
			}
			list, err := entries([]historyRow{*h})
			if err == nil {
				err = it.undo(list[0].Changes)
			}
			if err != nil {
				return fmt.Errorf("cmdb: history entry %d of %q: %w", h.ID, h.ItemID, err)
			}
			back = append(back, wholeDraft(it))
		}
	}
	if err := w.removeAll(ctx, gone, ids, stands); err != nil {
		return err
	}
	if stands.Total > 0 {
		return stands
	}
	return w.putBack(ctx, r, back)
}

// changedSince notes the items of some entries that have newer ones.
func (w *writer) changedSince(ctx context.Context, done []historyRow, stands *UndoError) error {
	ids := make([]string, len(done))
	last := make(map[string]*historyRow, len(done))
	for i := range done {
		ids[i], last[done[i].ItemID] = done[i].ItemID, &done[i]
	}
	var newer []historyRow
	err := w.tx.NewSelect().Model(&newer).
		Where("h.id IN (?)", w.tx.NewSelect().Model((*historyRow)(nil)).ModelTableExpr("cmdb_history AS n").ColumnExpr("max(n.id)").
			Where("n.item_id IN (?)", bun.In(ids)).GroupExpr("n.item_id")).
		Order("h.id").Scan(ctx)
	if err != nil {
		return fmt.Errorf("cmdb: what changed since the import: %w", err)
	}
	for i := range newer {
		n := &newer[i]
		if n.ID > last[n.ItemID].ID {
			stands.add(n, "%s %s it at %s", n.Actor, n.Action, time.UnixMilli(n.Time).UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// wholeDraft wants an item to be as it is here.
func wholeDraft(it Item) *draft {
	d := &draft{want: it, attrs: it.Attributes, wholeAttrs: true, given: map[string]bool{}}
	d.want.Revision = 0
	for _, c := range tableColumns {
		if c != colID && c != colClass {
			d.given[c] = true
		}
	}
	return d
}

// putBack stores items as they were before.
func (w *writer) putBack(ctx context.Context, r reach.Reach, drafts []*draft) error {
	if len(drafts) == 0 {
		return nil
	}
	p := &planner{db: w.tx, model: w.s.Model(), tenants: w.s.tenants, within: r, now: w.s.now(), back: true, drafts: drafts}
	if err := p.run(ctx); err != nil {
		return err
	}
	ids := make([]string, len(drafts))
	if p.errs.total == 0 {
		for i, d := range drafts {
			d.final.UpdatedAt, ids[i] = p.now, d.final.ID
		}
		if err := w.store(ctx, drafts, p); err != nil {
			return err
		}
		hidden, err := outside(ctx, w.tx, r, ids)
		if err != nil {
			return err
		}
		for _, d := range drafts {
			if hidden[d.final.ID] {
				p.fail(d, "", "%s %q would lie outside of your reach", d.final.Class, d.final.Name)
			}
		}
	}
	if p.errs.total > 0 {
		return &InvalidError{Errors: p.errs.list}
	}
	return nil
}

// removal is an item that goes.
type removal struct {
	it    *Item
	facts reach.Kept
	made  *historyRow
}

// removeAll deletes items with all that is their own. What others than those
// of ids still hang on is noted and not deleted.
func (w *writer) removeAll(ctx context.Context, list []removal, ids []string, stands *UndoError) error {
	if len(list) == 0 {
		return nil
	}
	w.dirty = true
	known, err := seqsOf(ctx, w.tx, ids)
	if err != nil {
		return err
	}
	own := make(map[int32]bool, len(known))
	for _, seq := range known {
		own[seq] = true
	}
	// In the order of the index.
	slices.SortFunc(list, func(a, b removal) int { return cmp.Compare(a.it.seq, b.it.seq) })
	for part := range slices.Chunk(list, chunk) {
		if err := w.hangsOn(ctx, part, own, stands); err != nil {
			return err
		}
	}
	if stands.Total > 0 {
		return nil
	}
	var ruled []int32
	for part := range slices.Chunk(list, chunk) {
		also, err := w.removePart(ctx, part)
		if err != nil {
			return err
		}
		ruled = append(ruled, also...)
	}
	gone := make(map[int32]bool, len(w.gone))
	for _, seq := range w.gone {
		gone[seq] = true
	}
	ruled = slices.DeleteFunc(ruled, func(seq int32) bool { return gone[seq] })
	slices.Sort(ruled)
	return w.generate(ctx, slices.Compact(ruled), nil)
}

// hangsOn notes which of some items others hang on, by a field or by hand.
func (w *writer) hangsOn(ctx context.Context, part []removal, own map[int32]bool, stands *UndoError) error {
	seqs := make([]int32, len(part))
	bySeq := make(map[int32]removal, len(part))
	for i, x := range part {
		seqs[i], bySeq[x.it.seq] = x.it.seq, x
	}
	var links []relationRow
	err := w.tx.NewSelect().Model(&links).Where("r.to_seq IN (?) OR r.from_seq IN (?)", bun.In(seqs), bun.In(seqs)).
		Where("r.origin LIKE ? OR r.origin IN (?)", originField+"%", bun.In(byHand)).Scan(ctx)
	if err != nil {
		return fmt.Errorf("cmdb: what hangs on the items: %w", err)
	}
	told := map[int32]bool{}
	for _, l := range links {
		x, to := bySeq[l.To]
		switch {
		case to && !own[l.From] && !slices.Contains(byHand, l.Origin):
			if !told[l.To] {
				stands.add(x.made, "other items belong to it or refer to it since")
			}
			told[l.To] = true
		case slices.Contains(byHand, l.Origin):
			if !to {
				x = bySeq[l.From]
			}
			if !told[x.it.seq] {
				stands.add(x.made, "%s related it to another item since", l.Actor)
			}
			told[x.it.seq] = true
		}
	}
	return nil
}

// removePart deletes a chunk of items, and returns those that a rule had
// related to them.
func (w *writer) removePart(ctx context.Context, part []removal) ([]int32, error) {
	seqs, ids := make([]int32, len(part)), make([]string, len(part))
	var values []valueRow
	var history []historyRow
	now := w.s.now()
	for i, x := range part {
		seqs[i], ids[i] = x.it.seq, x.it.ID
		values = slices.AppendSeq(values, maps.Keys(w.s.valuesOf(w.s.Model().Class(x.it.Class), x.it)))
		h := historyOf(x.it, nil, w.actor, actionDeleted, now)
		h.Kept, h.Revision = x.facts, x.it.Revision+1
		history = append(history, h)
	}
	if err := w.reindex(ctx, values, nil); err != nil {
		return nil, err
	}
	var ruled []int32
	err := w.tx.NewSelect().Model((*relationRow)(nil)).Column("from_seq").Where("r.to_seq IN (?) AND r.origin LIKE ?", bun.In(seqs), originRule+"%").Scan(ctx, &ruled)
	if err != nil {
		return nil, fmt.Errorf("cmdb: relations of items that go: %w", err)
	}
	for _, end := range []string{"from_seq IN (?)", "to_seq IN (?)"} {
		if err := w.dropRelations(ctx, end, bun.In(seqs)); err != nil {
			return nil, err
		}
	}
	if _, err := w.tx.NewDelete().Model((*itemRow)(nil)).Where("id IN (?)", bun.In(ids)).Exec(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: delete items: %w", err)
	}
	if err := insertAll(ctx, w.tx, history); err != nil {
		return nil, errors.Join(errors.New("cmdb: history of what goes"), err)
	}
	w.gone = append(w.gone, seqs...)
	return ruled, nil
}

package cmdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
)

// ErrMoving says that items of a class are being moved to another model: they
// can be read, and written again in a moment.
var ErrMoving = errors.New("cmdb: items are being moved to another model")

// moveBatch is how many items one transaction of a move looks at: other writers
// wait no longer than for that.
const moveBatch = 500

// maxFailures is how many cells that fail a preview tells.
const maxFailures = 1000

// The states of a revision of the model.
const (
	stateMoving = "moving"
	stateDone   = "done"
	stateFailed = "failed" // what was moved was moved back
)

type modelRow struct {
	bun.BaseModel `bun:"table:cmdb_models,alias:m"`
	Revision      int64  `bun:"revision,pk"`
	Document      string `bun:"document"`
	State         string `bun:"state"`
	Undoes        int64  `bun:"undoes"`
	Actor         string `bun:"actor"`
	Comment       string `bun:"comment"`
	CreatedAt     int64  `bun:"created_at"`
	EndedAt       int64  `bun:"ended_at"`
	Total         int64  `bun:"total"`
	Moved         int64  `bun:"moved"`
	Changed       int64  `bun:"changed"`
	Place         int32  `bun:"place"`
	Message       string `bun:"message"`
}

// ModelRevision is one change of the model.
type ModelRevision struct {
	Revision  int64          `json:"revision"`
	State     string         `json:"state" enum:"moving,done,failed"`
	Undoes    int64          `json:"undoes,omitempty" doc:"The revision that it takes back"`
	Actor     string         `json:"actor"`
	Comment   string         `json:"comment,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	EndedAt   *time.Time     `json:"ended_at,omitempty"`
	Items     int64          `json:"items" doc:"Items to look at"`
	Moved     int64          `json:"moved" doc:"Items looked at so far"`
	Changed   int64          `json:"changed" doc:"Items that were changed"`
	Message   string         `json:"message,omitempty" doc:"Why it failed"`
	Document  model.Document `json:"document"`
}

func (m *modelRow) revision() (ModelRevision, error) {
	out := ModelRevision{Revision: m.Revision, State: m.State, Undoes: m.Undoes, Actor: m.Actor, Comment: m.Comment,
		CreatedAt: time.UnixMilli(m.CreatedAt).UTC(), Items: m.Total, Moved: m.Moved, Changed: m.Changed, Message: m.Message}
	if m.EndedAt != 0 {
		at := time.UnixMilli(m.EndedAt).UTC()
		out.EndedAt = &at
	}
	if err := json.Unmarshal([]byte(m.Document), &out.Document); err != nil {
		return out, fmt.Errorf("cmdb: revision %d of the model: %w", m.Revision, err)
	}
	return out, nil
}

// ModelChange is what administrators lay over the shipped model, in place of
// what they laid over it before.
type ModelChange struct {
	Document model.Document `json:"document"`
	Revision int64          `json:"revision" doc:"The one in force that the caller saw"`
	// ClearFailing takes values away that the new model does not allow. Items
	// that lack one it wants keep lacking it until somebody edits them.
	ClearFailing bool   `json:"clear_failing,omitempty"`
	Comment      string `json:"comment,omitempty" maxLength:"1000"`
}

// ModelEffect is what a change of the model does to one attribute of a class.
type ModelEffect struct {
	Class     string `json:"class"`
	Attribute string `json:"attribute,omitempty"`
	Items     int    `json:"items" doc:"Items whose value it changes"`
}

// CellFailure is a value that another model does not allow.
type CellFailure struct {
	Item      Ref    `json:"item"`
	Attribute string `json:"attribute"`
	Value     string `json:"value"`
	Message   string `json:"message"`
	Final     bool   `json:"final,omitempty" doc:"Clearing the value does not help"`
}

// ModelPreview is what a change of the model would do.
type ModelPreview struct {
	Items    int           `json:"items" doc:"Items of the classes that change"`
	Changed  int           `json:"changed"`
	Effects  []ModelEffect `json:"effects" nullable:"false"`
	Failed   int           `json:"failed" doc:"Values that the new model does not allow"`
	Failures []CellFailure `json:"failures" nullable:"false" doc:"The first 1000"`
	final    int
}

// FailingError refuses a change of the model that items stand against. It is
// ErrInvalid.
type FailingError struct{ Preview ModelPreview }

// Error implements error.
func (e *FailingError) Error() string {
	f := e.Preview.Failures[0]
	return fmt.Sprintf("cmdb: %d values of %d items stand against the new model, the first: %s of %s %q: %s",
		e.Preview.Failed, e.Preview.Items, f.Attribute, f.Item.Class, f.Item.Name, f.Message)
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e *FailingError) Is(target error) bool { return target == ErrInvalid }

// move is one way from a model to another.
type move struct {
	from, to *model.Model
	classes  []string // whose items have to be looked at
	undoes   int64
	clear    bool
	// keys are the identities that items have after the move, where classes
	// change them.
	keys map[identityKey]string
}

// newMove works out what a change of the model touches.
func newMove(from, to *model.Model, undoes int64, clear bool) *move {
	m := &move{from: from, to: to, undoes: undoes, clear: clear, keys: map[identityKey]string{}}
	changed := map[string]bool{}
	for _, list := range [][]model.Dictionary{from.Dictionaries, to.Dictionaries} {
		for _, d := range list {
			changed[d.Name] = text(from.Dictionary(d.Name)) != text(to.Dictionary(d.Name))
		}
	}
	for _, name := range from.Concrete() {
		old, next := from.Class(name), to.Class(name)
		touched := text(old) != text(next)
		for i := range old.Attributes {
			touched = touched || changed[old.Attributes[i].Dictionary]
		}
		if touched {
			m.classes = append(m.classes, name)
		}
	}
	return m
}

// text is a definition as JSON, to compare it.
func text(v any) string {
	b, _ := json.Marshal(v) // definitions always encode
	return string(b)
}

// convert is an item in the new model, and what stands against it.
func (m *move) convert(it *Item, undo []Change, known map[string]int32) (Item, []CellFailure) {
	out := *it
	out.Attributes = maps.Clone(it.Attributes)
	var failures []CellFailure
	fail := func(attribute, value, message string, final bool) {
		failures = append(failures, CellFailure{*refOf(it), attribute, value, message, final})
	}
	// What is taken back; what somebody changed since stays his.
	back := map[string]string{}
	for _, c := range undo {
		if name, ok := strings.CutPrefix(c.Field, attrPrefix); ok && it.Attributes[name] == c.After {
			back[name] = c.Before
		}
	}
	old, next := m.from.Class(it.Class), m.to.Class(it.Class)
	if next == nil || next.Abstract {
		fail("class", it.Class, "the class would be gone: delete its items first", true)
		return out, failures
	}
	if next.Addresses != old.Addresses && len(it.Addresses) > 0 || !next.Hostnames && len(it.Hostnames) > 0 || !next.System && it.System != "" {
		fail("class", it.Class, "its addresses, host names or system would mean nothing", true)
	}
	renamed := map[string]bool{}
	for i := range next.Attributes {
		a := &next.Attributes[i]
		if v := out.Attributes[a.RenamedFrom]; a.RenamedFrom != "" && v != "" && out.Attributes[a.Name] == "" && next.Attribute(a.RenamedFrom) == nil {
			out.Attributes[a.Name] = v
			renamed[a.RenamedFrom] = true
		}
	}
	for i := range old.Attributes {
		if name := old.Attributes[i].Name; next.Attribute(name) == nil || renamed[name] {
			delete(out.Attributes, name)
		}
	}
	for name, value := range back {
		if out.Attributes[name] = value; value == "" {
			delete(out.Attributes, name)
		}
	}
	for i := range next.Attributes {
		a := &next.Attributes[i]
		value := out.Attributes[a.Name]
		if value == "" {
			switch {
			case !a.Required:
			case a.Default != "":
				out.Attributes[a.Name] = a.Default
			case old.Attribute(a.Name) == nil || !old.Attribute(a.Name).Required:
				fail(a.Name, "", "the new model needs a value, and has no default", false)
			}
			continue
		}
		canonical, err := a.Check(value)
		if err == nil && a.Type == model.Reference {
			for _, id := range a.Each(canonical) {
				if known[id] == 0 {
					err = fmt.Errorf("there is no item %q", id)
				}
			}
		}
		if err != nil {
			fail(a.Name, value, err.Error(), false)
			delete(out.Attributes, a.Name)
			continue
		}
		out.Attributes[a.Name] = canonical
	}
	out.identity = identityOf(next, &out)
	key := identityKey{out.Class, out.Tenant, out.identity}
	if other, taken := m.keys[key]; taken && other != out.ID {
		fail(strings.Join(next.Key, ", "), keyText(next, out.identity), fmt.Sprintf("item %q has the same key", other), true)
	}
	m.keys[key] = out.ID
	return out, failures
}

// moved is one item on its way.
type moved struct {
	old, new Item
	failures []CellFailure
}

// batch converts the next items of the classes that change.
func (m *move) batch(ctx context.Context, db bun.IDB, after int32) ([]moved, error) {
	if len(m.classes) == 0 {
		return nil, nil
	}
	var rows []itemRow
	if err := db.NewSelect().Model(&rows).Where(anyClass("i")+" IN (?) AND i.seq > ?", bun.In(m.classes), after).Order("i.seq").Limit(moveBatch).Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: read the items to move: %w", err)
	}
	list, err := items(rows)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	undo, err := m.undoOf(ctx, db, list)
	if err != nil {
		return nil, err
	}
	var refs []string
	for i := range list {
		if c := m.to.Class(list[i].Class); c != nil {
			refs = append(refs, referencesOf(c, &list[i])...)
		}
		refs = append(refs, referencesOf(m.from.Class(list[i].Class), &list[i])...)
		for _, c := range undo[list[i].ID] {
			refs = append(refs, model.Split(c.Before)...)
		}
	}
	known, err := seqsOf(ctx, db, refs)
	if err != nil {
		return nil, err
	}
	out := make([]moved, len(list))
	for i := range list {
		next, failures := m.convert(&list[i], undo[list[i].ID], known)
		out[i] = moved{list[i], next, failures}
	}
	return out, nil
}

// undoOf reads what the revision that is taken back did to some items.
func (m *move) undoOf(ctx context.Context, db bun.IDB, list []Item) (map[string][]Change, error) {
	if m.undoes == 0 {
		return nil, nil
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	var rows []historyRow
	if err := db.NewSelect().Model(&rows).Where("h.item_id IN (?) AND h.model = ?", bun.In(ids), m.undoes).Order("h.id DESC").Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: read what revision %d of the model did: %w", m.undoes, err)
	}
	out := make(map[string][]Change, len(rows))
	hist, err := entries(rows)
	for _, h := range hist {
		out[h.ItemID] = append(out[h.ItemID], h.Changes...)
	}
	return out, err
}

// preview runs through all items that a move looks at, without a change.
func (s *Service) preview(ctx context.Context, m *move) (ModelPreview, error) {
	out := ModelPreview{Effects: []ModelEffect{}, Failures: []CellFailure{}}
	effects := map[ModelEffect]int{}
	err := s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		for after := int32(0); ; {
			list, err := m.batch(ctx, tx, after)
			if err != nil || len(list) == 0 {
				return err
			}
			for i := range list {
				x := &list[i]
				after = x.old.seq
				out.Items++
				changes := diff(&x.old, &x.new)
				if len(changes) > 0 {
					out.Changed++
				}
				for _, c := range changes {
					effects[ModelEffect{Class: x.old.Class, Attribute: strings.TrimPrefix(c.Field, attrPrefix)}]++
				}
				for _, f := range x.failures {
					if out.Failed++; len(out.Failures) < maxFailures {
						out.Failures = append(out.Failures, f)
					}
					if f.Final {
						out.final++
					}
				}
			}
		}
	})
	clear(m.keys) // the move itself goes through them anew
	for e, n := range effects {
		e.Items = n
		out.Effects = append(out.Effects, e)
	}
	slices.SortFunc(out.Effects, func(a, b ModelEffect) int {
		return strings.Compare(a.Class+"\x00"+a.Attribute, b.Class+"\x00"+b.Attribute)
	})
	return out, err
}

// revisions reads the changes of the model, newest first.
func (s *Service) revisions(ctx context.Context) ([]modelRow, error) {
	var rows []modelRow
	if err := s.db.NewSelect().Model(&rows).Order("m.revision DESC").Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: read the revisions of the model: %w", err)
	}
	return rows, nil
}

// Revisions lists the changes of the model, newest first.
func (s *Service) Revisions(ctx context.Context) ([]ModelRevision, error) {
	rows, err := s.revisions(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]ModelRevision, len(rows))
	for i := range rows {
		if out[i], err = rows[i].revision(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// inForce is the newest revision that is done; its number is 0 and its document
// empty before the first.
func inForce(rows []modelRow) modelRow {
	for _, r := range rows {
		if r.State == stateDone {
			return r
		}
	}
	return modelRow{Document: "{}"}
}

// PreviewModel tells what a change of the model would do to the items. The
// error is a *model.DefinitionError where it is no model.
func (s *Service) PreviewModel(ctx context.Context, d model.Document) (ModelPreview, error) {
	next, err := compileModel(s.shipped.Over(d))
	if err != nil {
		return ModelPreview{}, err
	}
	return s.preview(ctx, newMove(s.Model(), next, 0, false))
}

// ChangeModel puts another model in force. Where values stand against it the
// error is a *FailingError, unless they are to be cleared. The items move in the
// background; Revisions tells how far they are. Until then the old model is in
// force, and items of the classes that change cannot be written.
func (s *Service) ChangeModel(ctx context.Context, actor string, c ModelChange) (ModelRevision, error) {
	return s.startMove(ctx, actor, c, 0)
}

// UndoModel takes the newest change of the model back, with what it did to the
// items; what somebody changed since stays his.
func (s *Service) UndoModel(ctx context.Context, actor string, revision int64, clearFailing bool) (ModelRevision, error) {
	return s.startMove(ctx, actor, ModelChange{Revision: revision, ClearFailing: clearFailing, Comment: fmt.Sprintf("undo of revision %d", revision)}, revision)
}

func (s *Service) startMove(ctx context.Context, actor string, c ModelChange, undoes int64) (ModelRevision, error) {
	s.moves.Lock()
	defer s.moves.Unlock()
	rows, err := s.revisions(ctx)
	if err != nil {
		return ModelRevision{}, err
	}
	if len(rows) > 0 && rows[0].State == stateMoving {
		return ModelRevision{}, fmt.Errorf("%w: revision %d is at %d of %d items: wait for it", ErrConflict, rows[0].Revision, rows[0].Moved, rows[0].Total)
	}
	current := inForce(rows)
	if current.Revision != c.Revision {
		return ModelRevision{}, fmt.Errorf("%w: revision %d of the model is in force, made by %s, not %d: look at it first", ErrConflict, current.Revision, current.Actor, c.Revision)
	}
	if undoes != 0 {
		older := slices.IndexFunc(rows, func(r modelRow) bool { return r.State == stateDone && r.Revision < undoes })
		if older >= 0 {
			err = json.Unmarshal([]byte(rows[older].Document), &c.Document)
		}
		if err != nil {
			return ModelRevision{}, fmt.Errorf("cmdb: revision %d of the model: %w", rows[older].Revision, err)
		}
	}
	next, err := compileModel(s.shipped.Over(c.Document))
	if err != nil {
		return ModelRevision{}, err
	}
	m := newMove(s.Model(), next, undoes, c.ClearFailing)
	// From here on nobody writes what is looked at.
	s.moving.Store(m)
	started := false
	defer func() {
		if !started {
			s.moving.Store(nil)
		}
	}()
	look, err := s.preview(ctx, m)
	if err != nil {
		return ModelRevision{}, err
	}
	if look.final > 0 || look.Failed > 0 && !c.ClearFailing {
		return ModelRevision{}, &FailingError{look}
	}
	row := modelRow{Revision: 1, Document: text(c.Document), State: stateMoving, Undoes: undoes, Actor: actor, Comment: c.Comment,
		CreatedAt: s.now().UnixMilli(), Total: int64(look.Items)}
	if len(rows) > 0 {
		row.Revision = rows[0].Revision + 1
	}
	if _, err := s.db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return ModelRevision{}, fmt.Errorf("cmdb: keep the change of the model: %w", err)
	}
	started = true
	s.background.Go(func() { s.run(m, row) })
	return row.revision()
}

// run moves all items, and puts the new model in force.
func (s *Service) run(m *move, row modelRow) {
	err := s.moveAll(s.life, m, &row)
	if s.life.Err() != nil {
		return // the next start goes on
	}
	if err != nil {
		slog.Error("cmdb: a change of the model failed; it is taken back", "revision", row.Revision, "error", err)
		row.Message = err.Error()
		back := newMove(m.to, m.from, row.Revision, true)
		again := row
		again.Place = 0
		if err := s.moveItems(s.life, back, &again); err != nil {
			slog.Error("cmdb: a change of the model could not be taken back: the next start tries again", "revision", row.Revision, "error", err)
			return
		}
		row.State = stateFailed
		s.model.Store(m.from)
	} else {
		row.State = stateDone
	}
	row.EndedAt = s.now().UnixMilli()
	_, err = s.db.NewUpdate().Model(&row).Column("state", "ended_at", "message").WherePK().Exec(s.life)
	if err != nil {
		slog.Error("cmdb: the end of a change of the model could not be kept: the next start tries again", "revision", row.Revision, "error", err)
	}
	s.moving.Store(nil)
	// What items are to enrichment may have changed with their classes.
	parts, err := s.Parts(s.life)
	if err != nil {
		slog.Error("cmdb: enrichment does not know the new model until the next start", "revision", row.Revision, "error", err)
	}
	all := make([]int32, parts)
	for i := range all {
		all[i] = int32(i)
	}
	s.Retell(all)
}

func (s *Service) moveAll(ctx context.Context, m *move, row *modelRow) error {
	if err := s.moveItems(ctx, m, row); err != nil {
		return err
	}
	s.model.Store(m.to)
	return s.moveRules(ctx, m, row.Actor)
}

// moveItems moves the items after the row's place, batch by batch.
func (s *Service) moveItems(ctx context.Context, m *move, row *modelRow) error {
	for {
		var n int
		err := s.write(ctx, row.Actor, func(ctx context.Context, w *writer) error {
			w.model = row.Revision
			list, err := m.batch(ctx, w.tx, row.Place)
			if n = len(list); err != nil || n == 0 {
				return err
			}
			changed, err := w.moveBatch(ctx, m, list)
			if err != nil {
				return err
			}
			row.Place = list[n-1].old.seq
			row.Moved += int64(n)
			row.Changed += int64(changed)
			_, err = w.tx.NewUpdate().Model(row).Column("moved", "changed", "place").WherePK().Exec(ctx)
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// moveBatch stores what a move changes on some items.
func (w *writer) moveBatch(ctx context.Context, m *move, list []moved) (changed int, err error) {
	now := w.s.now()
	var ids []string
	for i := range list {
		ids = append(ids, referencesOf(m.to.Class(list[i].new.Class), &list[i].new)...)
		ids = append(ids, referencesOf(m.from.Class(list[i].old.Class), &list[i].old)...)
	}
	known, err := seqsOf(ctx, w.tx, ids)
	if err != nil {
		return 0, err
	}
	var changes []itemChange
	for i := range list {
		x := &list[i]
		if !m.clear && len(x.failures) > 0 {
			return 0, fmt.Errorf("%s %q: %s: %s", x.old.Class, x.old.Name, x.failures[0].Attribute, x.failures[0].Message)
		}
		c := itemChange{old: &x.old, new: &x.new, class: m.to.Class(x.old.Class), oldClass: m.from.Class(x.old.Class)}
		if len(diff(&x.old, &x.new)) > 0 || x.old.identity != x.new.identity {
			x.new.Revision, x.new.UpdatedAt = x.old.Revision+1, now
			changed++
		} else {
			c.silent = true
		}
		changes = append(changes, c)
	}
	return changed, w.storeItems(ctx, changes, func(id string) int32 { return known[id] }, now)
}

// moveRules makes the relations of rules that came or changed, and takes those
// of rules that went away.
func (s *Service) moveRules(ctx context.Context, m *move, actor string) error {
	before := map[string]string{}
	for i := range m.from.Rules {
		before[m.from.Rules[i].Name] = text(m.from.Rules[i])
	}
	var fresh []*model.Rule
	for i := range m.to.Rules {
		r := &m.to.Rules[i]
		if before[r.Name] == text(r) {
			delete(before, r.Name)
		} else if !r.Off {
			fresh = append(fresh, r)
		}
	}
	for name := range before {
		err := s.write(ctx, actor, func(ctx context.Context, w *writer) error {
			return w.dropRelations(ctx, "origin = ?", originRule+name)
		})
		if err != nil {
			return err
		}
	}
	if err := s.keepValues(ctx, ruledFields(m.to)); err != nil {
		return err
	}
	for _, r := range fresh {
		for after := int32(0); ; {
			var seqs []int32
			err := s.db.NewSelect().Model((*itemRow)(nil)).Column("seq").Where(anyClass("i")+" IN (?) AND i.seq > ?", bun.In(m.to.Concrete(r.From...)), after).
				Order("i.seq").Limit(chunk).Scan(ctx, &seqs)
			if err != nil {
				return fmt.Errorf("cmdb: read the items of rule %q: %w", r.Name, err)
			}
			if len(seqs) == 0 {
				break
			}
			after = seqs[len(seqs)-1]
			if err := s.write(ctx, actor, func(ctx context.Context, w *writer) error { return w.apply(ctx, m.to, r, seqs) }); err != nil {
				return fmt.Errorf("cmdb: relation rule %q: %w", r.Name, err)
			}
		}
	}
	return nil
}

// loadModel puts the model in force that the last start had, and goes on with a
// change that it did not end.
func (s *Service) loadModel(ctx context.Context) error {
	rows, err := s.revisions(ctx)
	if err != nil {
		return err
	}
	compile := func(row modelRow) (*model.Model, error) {
		var d model.Document
		if err := json.Unmarshal([]byte(row.Document), &d); err != nil {
			return nil, fmt.Errorf("cmdb: revision %d of the model: %w", row.Revision, err)
		}
		m, err := compileModel(s.shipped.Over(d))
		if err != nil {
			return nil, fmt.Errorf("cmdb: revision %d of the model, laid over what this release brings: %w", row.Revision, err)
		}
		return m, nil
	}
	m, err := compile(inForce(rows))
	if err != nil {
		return err
	}
	s.model.Store(m)
	if err := s.startValues(ctx); err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].State != stateMoving {
		return nil
	}
	next, err := compile(rows[0])
	if err != nil {
		return err
	}
	// The first start looked at what stands against it, and was told to go on.
	way := newMove(m, next, rows[0].Undoes, true)
	s.moving.Store(way)
	s.background.Go(func() { s.run(way, rows[0]) })
	return nil
}

// busy refuses to write items of a class that is being moved.
func (s *Service) busy(class string) error {
	if m := s.moving.Load(); m != nil && slices.Contains(m.classes, class) {
		return fmt.Errorf("%w: class %s: try again in a moment", ErrMoving, class)
	}
	return nil
}

// Close ends what runs in the background; a change of the model goes on at the
// next start. The database is its owner's.
func (s *Service) Close() {
	s.end()
	s.background.Wait()
}

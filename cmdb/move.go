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

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
)

// ErrMoving says that items of a class are being moved to another model: they
// can be read, and written again in a moment.
var ErrMoving = errors.New("cmdb: items are being moved to another model")

// moveBatch is how many items one transaction of a move looks at: other writers
// wait no longer than for that.
const moveBatch = 500

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

// busy refuses to write items of a class that is being moved.
func (s *Service) busy(class string) error {
	if m := s.moving.Load(); m != nil && slices.Contains(m.classes, class) {
		return fmt.Errorf("%w: class %s: try again in a moment", ErrMoving, class)
	}
	return nil
}

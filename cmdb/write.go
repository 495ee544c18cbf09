package cmdb

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/cmdb/graph"
	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

// maxValueText is how many characters of a value rules compare.
const maxValueText = 200

// originField marks relations that follow from a field of the first item.
const originField = "field."

type valueRow struct {
	bun.BaseModel `bun:"table:cmdb_values,alias:v"`
	Attribute     string `bun:"attribute,pk"`
	Text          string `bun:"text,pk"`
	Item          int32  `bun:"item,pk"`
}

type relationRow struct {
	bun.BaseModel `bun:"table:cmdb_relations,alias:r"`
	From          int32  `bun:"from_seq,pk"`
	Type          string `bun:"type,pk"`
	To            int32  `bun:"to_seq,pk"`
	Origin        string `bun:"origin,pk"`
	Actor         string `bun:"actor"`
	CreatedAt     int64  `bun:"created_at"`
}

// writer is one write transaction, and what has to be told once it is
// committed.
type writer struct {
	s     *Service
	tx    bun.Tx
	actor string
	model int64 // revision of the model that makes the change, 0 where somebody does
	dirty bool  // something was changed
	// imported is the number among Imports of the change, 0 where it has none.
	imported int64
	step     func(phase string, done int) // tells how far the change is, in percent
	// What is in memory has to follow.
	items   []storedItem
	nodes   []graphNode
	gone    []int32
	members []int32 // see noteMembers
	weighed []*Item // whose criticality is another one now
	added   []relationRow
	removed []relationRow
	lengths map[string][]int // see prefixLengths; the addresses of a change are stored by then
}

// storedItem is an item as it was stored, with what its values mean.
type storedItem struct {
	item  *Item
	class *Class
}

type graphNode struct {
	seq           int32
	class, tenant string
	facts         reach.Kept
}

// write runs fn in one write transaction. Where fn changed something, the
// change is counted, what is in memory follows and the listener is told.
func (s *Service) write(ctx context.Context, actor string, fn func(context.Context, *writer) error) error {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return fmt.Errorf("cmdb: wait for other writers: %w", context.Cause(ctx))
	}
	w := &writer{s: s, actor: actor, step: func(string, int) {}}
	var version int64
	landing := false
	err := s.db.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		w.tx = tx
		if err := fn(ctx, w); err != nil || !w.dirty {
			return err
		}
		err := tx.QueryRowContext(ctx, "UPDATE cmdb_version SET version = version + 1 WHERE id = 1 RETURNING version").Scan(&version)
		if err != nil {
			return fmt.Errorf("cmdb: count the change: %w", err)
		}
		s.landing.Lock()
		landing = true
		return nil
	})
	if landing {
		defer s.landing.Unlock()
	}
	if err != nil || !w.dirty {
		return err
	}
	s.index.follow(version, w)
	s.topology.memory.follow(version, w)
	s.lately.noteWeights(w, s.now())
	s.keys.note(w)
	s.dataLevels.note(w)
	s.tell(w)
	return nil
}

// numbers takes n numbers that no item has had, and returns the first.
func (w *writer) numbers(ctx context.Context, n int) (int32, error) {
	var next int64
	err := w.tx.QueryRowContext(ctx, "UPDATE cmdb_version SET next_seq = next_seq + "+strconv.Itoa(n)+" WHERE id = 1 RETURNING next_seq").Scan(&next)
	if err != nil {
		return 0, fmt.Errorf("cmdb: number the items: %w", err)
	}
	if next > graph.MaxNodes {
		return 0, fmt.Errorf("cmdb: %d items have been made in all: the CMDB numbers at most %d", next, graph.MaxNodes)
	}
	return int32(next) - int32(n), nil
}

// store writes new and changed items with all that goes with them. Their
// references are among the drafts or what the planner has read.
func (w *writer) store(ctx context.Context, drafts []*draft, p *planner) error {
	var fresh int
	for _, d := range drafts {
		if d.old == nil {
			fresh++
		}
	}
	next, err := w.numbers(ctx, fresh)
	if err != nil {
		return err
	}
	for _, d := range drafts {
		if d.old == nil {
			d.final.seq, d.final.Revision = next, 1
			next++
		} else {
			d.final.Revision = d.old.Revision + 1
		}
	}
	changes := make([]itemChange, len(drafts))
	for i, d := range drafts {
		changes[i] = itemChange{old: d.old, new: &d.final, class: d.class}
	}
	return w.storeItems(ctx, changes, p.seqOf, p.now)
}

// itemChange is one item before, nil where it is new, and after a change.
type itemChange struct {
	old, new *Item
	class    *Class
	oldClass *Class // where a change of the model changes what values mean
	silent   bool   // only how the item is found changes, not what it says
}

// storeItems writes items with addresses, labels, values, relations and
// history. seqOf knows the items that they refer to.
func (w *writer) storeItems(ctx context.Context, changes []itemChange, seqOf func(id string) int32, now time.Time) error {
	w.dirty, w.lengths = true, nil
	var created, updated []itemRow
	var fresh []*Item
	var changedIDs, renamed []string
	var seqs []int32
	var addresses []addressRow
	var labels []labelRow
	var history []historyRow
	var values, oldValues []valueRow
	var relations, freshRelations []relationRow
	var relinked []int32
	for _, c := range changes {
		row := toRow(c.new)
		w.items = append(w.items, storedItem{c.new, c.class})
		if c.old != nil {
			seqs = append(seqs, row.Seq)
		}
		oldClass := c.class
		if c.oldClass != nil {
			oldClass = c.oldClass
		}
		action := actionUpdated
		before := map[valueRow]bool{}
		var linksBefore []relationRow
		switch {
		case c.old == nil:
			action = actionCreated
			created, fresh = append(created, row), append(fresh, c.new)
		case !c.silent:
			updated = append(updated, row)
			changedIDs = append(changedIDs, row.ID)
			if c.old.identity != row.Identity || c.old.Tenant != row.Tenant {
				renamed = append(renamed, row.ID)
			}
		}
		if c.old != nil {
			if c.old.Criticality != c.new.Criticality {
				w.weighed = append(w.weighed, c.new)
			}
			before = w.s.valuesOf(oldClass, c.old)
			linksBefore = linksOf(oldClass, c.old, seqOf)
		}
		after := w.s.valuesOf(c.class, c.new)
		for v := range after {
			if !before[v] {
				values = append(values, v)
			}
		}
		for v := range before {
			if !after[v] {
				oldValues = append(oldValues, v)
			}
		}
		links := linksOf(c.class, c.new, seqOf)
		if !slices.Equal(links, linksBefore) {
			if c.old != nil {
				relinked = append(relinked, row.Seq)
			}
			for _, l := range links {
				l.Actor, l.CreatedAt = w.actor, now.UnixMilli()
				if c.old == nil {
					freshRelations = append(freshRelations, l)
				} else {
					relations = append(relations, l)
				}
			}
		}
		if c.silent {
			continue
		}
		for _, a := range c.new.Addresses {
			addresses = append(addresses, addressRow{Zone: c.new.Zone, Address: a, ItemID: row.ID})
		}
		for _, l := range c.new.Labels {
			labels = append(labels, labelRow{Label: l, ItemID: row.ID})
		}
		h := historyOf(c.old, c.new, w.actor, action, now)
		h.Revision, h.Model, h.Import = c.new.Revision, w.model, w.imported
		history = append(history, h)
	}
	w.step("items", 40)
	facts, err := factsOfNew(ctx, w.tx, fresh)
	if err != nil {
		return err
	}
	for i := range created {
		created[i].Kept = facts[created[i].ID]
		w.nodes = append(w.nodes, graphNode{created[i].Seq, created[i].Class, created[i].Tenant, created[i].Kept})
	}
	// Give up old names and addresses first, so that two items may swap them.
	for part := range slices.Chunk(renamed, chunk) {
		_, err := w.tx.NewUpdate().Model((*itemRow)(nil)).Set("identity = '~renamed ' || id").Where("id IN (?)", bun.In(part)).Exec(ctx)
		if err != nil {
			return fmt.Errorf("cmdb: give up old names: %w", err)
		}
	}
	for part := range slices.Chunk(changedIDs, chunk) {
		if _, err := w.tx.NewDelete().Model((*addressRow)(nil)).Where("item_id IN (?)", bun.In(part)).Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: give up old addresses: %w", err)
		}
		if _, err := w.tx.NewDelete().Model((*labelRow)(nil)).Where("item_id IN (?)", bun.In(part)).Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: take off old labels: %w", err)
		}
	}
	for i := range updated {
		if _, err := w.tx.NewUpdate().Model(&updated[i]).ExcludeColumn(reach.KeptColumns...).WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: update item %q: %w", updated[i].ID, err)
		}
	}
	if err := insertAll(ctx, w.tx, created); err != nil {
		return fmt.Errorf("cmdb: create items: %w", err)
	}
	w.step("addresses", 55)
	// In the order of their index, as all that comes in bulk.
	slices.SortFunc(addresses, func(a, b addressRow) int {
		return cmp.Or(strings.Compare(a.Zone, b.Zone), strings.Compare(a.Address, b.Address))
	})
	slices.SortFunc(labels, func(a, b labelRow) int {
		return cmp.Or(strings.Compare(a.Label, b.Label), strings.Compare(a.ItemID, b.ItemID))
	})
	if err := insertAll(ctx, w.tx, addresses); err != nil {
		return fmt.Errorf("cmdb: store addresses: %w", err)
	}
	if err := insertAll(ctx, w.tx, labels); err != nil {
		return fmt.Errorf("cmdb: store labels: %w", err)
	}
	w.step("values", 65)
	if err := w.reindex(ctx, oldValues, values); err != nil {
		return err
	}
	w.step("relations", 75)
	if err := w.relink(ctx, relinked, relations); err != nil {
		return err
	}
	if err := w.addNewRelations(ctx, freshRelations); err != nil {
		return err
	}
	w.step("facts", 80)
	settled, err := settle(ctx, w.tx, changedIDs)
	if err != nil {
		return err
	}
	if err := w.noteNodes(ctx, changedIDs, settled); err != nil {
		return err
	}
	for _, id := range settled {
		delete(facts, id) // what a new item belongs to changed with the same file
	}
	if err := w.noteMembers(ctx, changes); err != nil {
		return err
	}
	w.step("history", 88)
	if err := keepHistory(ctx, w.tx, history, facts); err != nil {
		return fmt.Errorf("cmdb: store history: %w", err)
	}
	w.step("rules", 94)
	return w.generate(ctx, seqs, fresh)
}

// remove deletes one item that nothing refers to, with all that is its own.
func (w *writer) remove(ctx context.Context, it *Item, facts reach.Kept) error {
	w.dirty = true
	if err := w.reindex(ctx, slices.Collect(maps.Keys(w.s.valuesOf(w.s.Model().Class(it.Class), it))), nil); err != nil {
		return err
	}
	var ruled []int32 // what a rule joined to it may have to be joined to another
	err := w.tx.NewSelect().Model((*relationRow)(nil)).Column("from_seq").Where("r.to_seq = ? AND r.origin LIKE ?", it.seq, originRule+"%").Scan(ctx, &ruled)
	if err != nil {
		return fmt.Errorf("cmdb: relations of %q: %w", it.ID, err)
	}
	for _, end := range []string{"from_seq = ?", "to_seq = ?"} {
		if err := w.dropRelations(ctx, end, it.seq); err != nil {
			return err
		}
	}
	if _, err := w.tx.NewDelete().Model((*itemRow)(nil)).Where("id = ?", it.ID).Exec(ctx); err != nil {
		return fmt.Errorf("cmdb: delete item %q: %w", it.ID, err)
	}
	h := historyOf(it, nil, w.actor, actionDeleted, w.s.now())
	h.Kept, h.Revision = facts, it.Revision+1
	if _, err := w.tx.NewInsert().Model(&h).Exec(ctx); err != nil {
		return fmt.Errorf("cmdb: history of %q: %w", it.ID, err)
	}
	w.gone = append(w.gone, it.seq)
	return w.generate(ctx, ruled, nil)
}

// dependents counts the items in reach that belong to an item or refer to it.
func (w *writer) dependents(ctx context.Context, r reach.Reach, seq int32) (int, error) {
	n, err := r.Within(w.tx.NewSelect().Model((*itemRow)(nil)), "i").
		Where("i.seq IN (SELECT from_seq FROM cmdb_relations WHERE to_seq = ? AND from_seq <> ? AND origin LIKE ?)", seq, seq, originField+"%").Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("cmdb: what belongs to the item: %w", err)
	}
	return int(n), nil
}

// valuesOf are an item's rows of the values that rules look at.
func (s *Service) valuesOf(c *Class, it *Item) map[valueRow]bool {
	valued := *s.valued.Load()
	out := map[valueRow]bool{}
	add := func(attribute, value string) {
		out[valueRow{Attribute: attribute, Text: indexText(value), Item: it.seq}] = true
	}
	for name := range valued {
		switch name {
		case colHostname:
			for _, h := range it.Hostnames {
				add(name, h)
			}
			continue
		case colOwner:
			if it.Owner != "" {
				add(name, it.Owner)
			}
			continue
		}
		value, ok := it.Attributes[name]
		if !ok {
			continue
		}
		var a *Attribute
		if c != nil {
			a = c.Attribute(name)
		}
		if a != nil && a.Type == model.Table {
			continue
		}
		for _, v := range a.Each(value) {
			add(name, v)
		}
	}
	return out
}

// indexText is a value as rules compare it.
func indexText(value string) string {
	value = strings.ToLower(value)
	if utf8.RuneCountInString(value) > maxValueText {
		value = string([]rune(value)[:maxValueText])
	}
	return value
}

// linksOf are the relations that follow from an item's fields, in order.
func linksOf(c *Class, it *Item, seqOf func(string) int32) []relationRow {
	var out []relationRow
	add := func(field, relation, id string) {
		if r := (relationRow{From: it.seq, Type: relation, To: seqOf(id), Origin: originField + field}); r.To != 0 && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	if it.System != "" {
		add(colSystem, model.BelongsToSystem, it.System)
	}
	if it.Organisation != "" {
		add(colOrganisation, model.BelongsToOrganisation, it.Organisation)
	}
	if c == nil {
		return out
	}
	for i := range c.Attributes {
		a := &c.Attributes[i]
		if value := it.Attributes[a.Name]; a.Type == model.Reference && value != "" {
			for _, id := range a.Each(value) {
				add(a.Name, a.RelationName(), id)
			}
		}
	}
	return out
}

// reindex takes values that rules look at away and adds others.
func (w *writer) reindex(ctx context.Context, old, fresh []valueRow) error {
	for part := range slices.Chunk(old, chunk) {
		keys := make([][]any, len(part))
		for i, v := range part {
			keys[i] = []any{v.Attribute, v.Text, v.Item}
		}
		if _, err := w.tx.NewDelete().Model((*valueRow)(nil)).Where("(attribute, text, item) IN (?)", bun.In(keys)).Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: take off old values: %w", err)
		}
	}
	// In the order of the index a large import is several times faster.
	slices.SortFunc(fresh, func(a, b valueRow) int {
		if c := strings.Compare(a.Attribute, b.Attribute); c != 0 {
			return c
		}
		return strings.Compare(a.Text, b.Text)
	})
	// What a move left half-way may have some of them already.
	if err := insertNew(ctx, w.tx, fresh); err != nil {
		return fmt.Errorf("cmdb: store values: %w", err)
	}
	return nil
}

// relink replaces the relations that follow from the fields of some items, and
// adds those of new ones.
func (w *writer) relink(ctx context.Context, changed []int32, fresh []relationRow) error {
	for part := range slices.Chunk(changed, chunk) {
		if err := w.dropRelations(ctx, "from_seq IN (?) AND origin LIKE ?", bun.In(part), originField+"%"); err != nil {
			return err
		}
	}
	return w.addRelations(ctx, fresh)
}

// addRelations stores relations that may be there already.
func (w *writer) addRelations(ctx context.Context, rows []relationRow) error {
	return w.keepRelations(rows, insertNew(ctx, w.tx, rows))
}

// addNewRelations stores relations of items that had none, each once: both
// databases are faster where they need not look first.
func (w *writer) addNewRelations(ctx context.Context, rows []relationRow) error {
	return w.keepRelations(rows, insertAll(ctx, w.tx, rows))
}

func (w *writer) keepRelations(rows []relationRow, err error) error {
	if err != nil {
		return fmt.Errorf("cmdb: store relations: %w", err)
	}
	w.added = append(w.added, rows...)
	w.dirty = w.dirty || len(rows) > 0
	return nil
}

// dropRelations deletes the relations that a condition selects.
func (w *writer) dropRelations(ctx context.Context, where string, args ...any) error {
	var rows []relationRow
	if err := w.tx.NewSelect().Model(&rows).Where(where, args...).Scan(ctx); err != nil {
		return fmt.Errorf("cmdb: read old relations: %w", err)
	}
	if len(rows) == 0 {
		return nil
	}
	if _, err := w.tx.NewDelete().Model((*relationRow)(nil)).Where(where, args...).Exec(ctx); err != nil {
		return fmt.Errorf("cmdb: delete old relations: %w", err)
	}
	w.removed = append(w.removed, rows...)
	w.dirty = true
	return nil
}

// noteNodes keeps what the relations in memory must know of items written, and
// of those whose facts changed with them.
func (w *writer) noteNodes(ctx context.Context, lists ...[]string) error {
	ids := slices.Concat(lists...)
	slices.Sort(ids)
	for part := range slices.Chunk(slices.Compact(ids), chunk) {
		var rows []itemRow
		err := w.tx.NewSelect().Model(&rows).Column(append([]string{"seq", "class", "tenant"}, reach.KeptColumns...)...).Where("i.id IN (?)", bun.In(part)).Scan(ctx)
		if err != nil {
			return fmt.Errorf("cmdb: read what was written: %w", err)
		}
		for i := range rows {
			w.nodes = append(w.nodes, graphNode{rows[i].Seq, rows[i].Class, rows[i].Tenant, rows[i].Kept})
		}
	}
	return nil
}

// keepHistory stores entries with the facts that their items have now. Those
// that are known need not be read.
func keepHistory(ctx context.Context, tx bun.Tx, entries []historyRow, known map[string]reach.Kept) error {
	var ids []string
	for i := range entries {
		if _, ok := known[entries[i].ItemID]; !ok {
			ids = append(ids, entries[i].ItemID)
		}
	}
	facts, err := keptOf(ctx, tx, ids)
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		var ok bool
		if e.Kept, ok = known[e.ItemID]; !ok {
			e.Kept = facts[e.ItemID]
		}
	}
	return insertAll(ctx, tx, entries)
}

package cmdb

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

// Bounds of a merge.
const (
	maxMergeRelations = 20_000
	maxMergeReferring = 2_000
	maxMergeReason    = 500
)

// How much the sources of a value are worth: what a person, a file or another system
// wrote, what an agent measured on the host, what a discovery saw from outside.
const (
	bySomebody  = 3
	byAgent     = 2
	byDiscovery = 1
)

// worth tells how much a source is worth by who made the change.
func worth(actor string) int {
	switch {
	case strings.HasPrefix(actor, "scan "):
		return byDiscovery
	case strings.HasPrefix(actor, "agent "):
		return byAgent
	}
	return bySomebody
}

// MergeOptions say how two items become one.
type MergeOptions struct {
	Within reach.Reach // both must be in it, and all that refers to the one that goes
	Actor  string
	Reason string
	// Choose names fields whose value a person chose: "keep" is that of the item that
	// stays, "gone" that of the other.
	Choose map[string]string
	DryRun bool
}

// MergeField is a field in which two items differ.
type MergeField struct {
	Field      string `json:"field" doc:"Such as owner or attr.os"`
	Keep       string `json:"keep,omitempty" doc:"Value of the item that stays"`
	Gone       string `json:"gone,omitempty" doc:"Value of the other"`
	Value      string `json:"value,omitempty" doc:"What it is after the merge"`
	KeepSource string `json:"keep_source,omitempty" doc:"Who wrote the first value"`
	GoneSource string `json:"gone_source,omitempty" doc:"Who wrote the second"`
	Conflict   bool   `json:"conflict,omitempty" doc:"Both have one, of sources that are worth the same: that of the item that stays is kept unless another is chosen"`
}

// Merge is two items that became one.
type Merge struct {
	ID        string       `json:"id,omitempty" doc:"Absent of a dry run"`
	Time      time.Time    `json:"time"`
	Actor     string       `json:"actor"`
	Reason    string       `json:"reason,omitempty"`
	Tenant    string       `json:"tenant"`
	Keep      Ref          `json:"keep" doc:"The item that stays"`
	Gone      Ref          `json:"gone" doc:"The one that went"`
	Fields    []MergeField `json:"fields" nullable:"false" doc:"In which they differed"`
	Relations int          `json:"relations" doc:"Made by hand, that are the other item's now"`
	Dropped   int          `json:"dropped,omitempty" doc:"Made by hand, that the item which stays cannot have; an undo brings them back"`
	Referring []Ref        `json:"referring" nullable:"false" doc:"Items that referred to the one that went and refer to the other now"`
	UndoneAt  *time.Time   `json:"undone_at,omitempty"`
	UndoneBy  string       `json:"undone_by,omitempty"`
}

// keptRelation is a relation by the ids of its ends.
type keptRelation struct {
	From      string `json:"from"`
	Type      string `json:"type"`
	To        string `json:"to"`
	Origin    string `json:"origin"`
	Actor     string `json:"actor"`
	CreatedAt int64  `json:"created_at"`
}

// mergeDoc is what an undo needs.
type mergeDoc struct {
	Merge
	Before    []Item         `json:"before"` // the item that stays, the one that went, those that referred to it
	After     []Item         `json:"after"`  // without the one that went
	Held      []keptRelation `json:"held"`   // all relations of these, before
	Moved     []keptRelation `json:"moved"`  // that the item which stays was given
	GoneFacts reach.Kept     `json:"gone_facts"`
}

type mergeRow struct {
	bun.BaseModel `bun:"table:cmdb_merges,alias:m"`
	ID            string `bun:"id,pk"`
	Time          int64  `bun:"time"`
	Actor         string `bun:"actor"`
	Tenant        string `bun:"tenant"`
	KeepID        string `bun:"keep_id"`
	GoneID        string `bun:"gone_id"`
	Reason        string `bun:"reason"`
	Doc           string `bun:"doc"`
	UndoneAt      int64  `bun:"undone_at"`
	UndoneBy      string `bun:"undone_by"`
}

func (r *mergeRow) told() (*mergeDoc, error) {
	d := &mergeDoc{}
	if err := json.Unmarshal([]byte(r.Doc), d); err != nil {
		return nil, fmt.Errorf("cmdb: the merge %s cannot be read: %w", r.ID, err)
	}
	if r.UndoneAt > 0 {
		at := time.UnixMilli(r.UndoneAt).UTC()
		d.UndoneAt, d.UndoneBy = &at, r.UndoneBy
	}
	return d, nil
}

// errTried rolls a dry run back.
var errTried = fmt.Errorf("cmdb: tried")

// MergeItems makes one of two items, all or nothing: the one that stays gets what it
// does not have and what is of a better source, the addresses, names, labels and
// relations of the other, and what referred to that one refers to it. UndoMerge takes it
// back.
func (s *Service) MergeItems(ctx context.Context, keepID, goneID string, opts MergeOptions) (Merge, error) {
	if keepID == goneID {
		return Merge{}, fmt.Errorf("%w: an item cannot be merged with itself", ErrInvalid)
	}
	if utf8.RuneCountInString(opts.Reason) > maxMergeReason {
		return Merge{}, fmt.Errorf("%w: the reason has more than %d characters", ErrInvalid, maxMergeReason)
	}
	var doc *mergeDoc
	err := s.write(ctx, opts.Actor, func(ctx context.Context, w *writer) (err error) {
		doc, err = w.mergeItems(ctx, keepID, goneID, &opts)
		if err == nil && opts.DryRun {
			err = errTried
		}
		return err
	})
	if err != nil && err != errTried { //nolint:errorlint // it is ours and comes as it is
		return Merge{}, err
	}
	if opts.DryRun {
		doc.ID = ""
	}
	return doc.Merge, nil
}

// mergeable reads the two items and says why they cannot be one.
func (w *writer) mergeable(ctx context.Context, r reach.Reach, keepID, goneID string) (keep, gone Item, facts reach.Kept, err error) {
	for _, x := range []struct {
		id string
		it *Item
	}{{keepID, &keep}, {goneID, &gone}} {
		row, err := getRow(ctx, w.tx, r, x.id)
		if err != nil {
			return keep, gone, facts, err
		}
		if *x.it, err = row.item(); err != nil {
			return keep, gone, facts, err
		}
		facts = row.Kept
		if err := w.s.busy(row.Class); err != nil {
			return keep, gone, facts, err
		}
	}
	switch {
	case keep.Tenant != gone.Tenant:
		err = fmt.Errorf("%w: %q is of tenant %q and %q of %q: items of two tenants are not one", ErrInvalid, keep.Name, keep.Tenant, gone.Name, gone.Tenant)
	case keep.Zone != gone.Zone:
		err = fmt.Errorf("%w: %q is in network zone %q and %q in %q: an address in two zones is two hosts", ErrInvalid, keep.Name, keep.Zone, gone.Name, gone.Zone)
	case slices.Contains([]string{BusinessSystem, Organisation}, keep.Class) || slices.Contains([]string{BusinessSystem, Organisation}, gone.Class):
		err = fmt.Errorf("%w: business systems and organisations are not merged: move what belongs to them", ErrInvalid)
	case keep.Class != gone.Class && (w.s.Model().Class(keep.Class).Addresses == model.NoAddresses || w.s.Model().Class(gone.Class).Addresses == model.NoAddresses):
		err = fmt.Errorf("%w: %q is of class %s and %q of %s", ErrInvalid, keep.Name, keep.Class, gone.Name, gone.Class)
	}
	return keep, gone, facts, err
}

func (w *writer) mergeItems(ctx context.Context, keepID, goneID string, opts *MergeOptions) (*mergeDoc, error) {
	keep, gone, facts, err := w.mergeable(ctx, opts.Within, keepID, goneID)
	if err != nil {
		return nil, err
	}
	now := w.s.now()
	doc := &mergeDoc{GoneFacts: facts, Merge: Merge{ID: "mrg-" + strings.ToLower(rand.Text()[:16]), Time: now, Actor: opts.Actor, Reason: opts.Reason, Tenant: keep.Tenant,
		Keep: Ref{ID: keep.ID, Class: keep.Class, Name: keep.Name}, Gone: Ref{ID: gone.ID, Class: gone.Class, Name: gone.Name}, Referring: []Ref{}}}
	referring, err := w.referring(ctx, opts.Within, &keep, &gone)
	if err != nil {
		return nil, err
	}
	touched := append([]Item{keep, gone}, referring...)
	refs := make([]Ref, len(touched))
	for i := range touched {
		refs[i] = Ref{ID: touched[i].ID, Class: touched[i].Class, Name: touched[i].Name}
	}
	if err := w.s.guard(refs); err != nil {
		return nil, err
	}
	doc.Referring = append(doc.Referring, refs[2:]...)
	doc.Before = touched
	rows, err := w.held(ctx, touched)
	if err != nil {
		return nil, err
	}
	if doc.Held, err = w.byIDs(ctx, rows); err != nil {
		return nil, err
	}
	merged, fields, err := w.mergeFields(ctx, &keep, &gone, opts.Choose)
	if err != nil {
		return nil, err
	}
	doc.Fields = fields
	// The one that goes gives its addresses up first.
	ruled, err := w.removePart(ctx, []removal{{it: &gone, facts: facts}})
	if err != nil {
		return nil, err
	}
	w.dirty = true
	var drafts []*draft
	wanted := func(was, it Item) {
		if len(diff(&was, &it)) > 0 {
			drafts = append(drafts, wholeDraft(it))
		}
	}
	wanted(keep, merged)
	for _, it := range referring {
		wanted(it, w.s.pointed(it, gone.ID, keep.ID))
	}
	if err := w.putBack(ctx, opts.Within, drafts); err != nil {
		var invalid *InvalidError
		if !errors.As(err, &invalid) || !slices.ContainsFunc(invalid.Errors, func(e RowError) bool { return strings.Contains(e.Message, " is taken by ") }) {
			return nil, err
		}
		// Both have something that its key tells to be one once they are one.
		var why []string
		for _, e := range invalid.Errors {
			why = append(why, e.Message)
		}
		return nil, fmt.Errorf("%w: what belongs to %s %q would be the same as what belongs to %s %q already: merge these two first, then this one: %s",
			ErrConflict, gone.Class, gone.Name, keep.Class, keep.Name, strings.Join(why, "; "))
	}
	doc.After = []Item{merged}
	for _, d := range drafts {
		if d.final.ID == keep.ID {
			doc.After[0] = d.final
		} else {
			doc.After = append(doc.After, d.final)
		}
	}
	if err := w.moveRelations(ctx, doc, rows, &keep, &gone); err != nil {
		return nil, err
	}
	if err := w.generate(ctx, slices.DeleteFunc(ruled, func(seq int32) bool { return seq == gone.seq }), nil); err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("cmdb: keep the merge: %w", err)
	}
	row := mergeRow{ID: doc.ID, Time: now.UnixMilli(), Actor: opts.Actor, Tenant: keep.Tenant, KeepID: keep.ID, GoneID: gone.ID, Reason: opts.Reason, Doc: string(text)}
	if _, err := w.tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: keep the merge: %w", err)
	}
	return doc, nil
}

// referring are the other items with a field that names the one that goes.
func (w *writer) referring(ctx context.Context, r reach.Reach, keep, gone *Item) ([]Item, error) {
	var seqs []int32
	err := w.tx.NewSelect().Model((*relationRow)(nil)).ColumnExpr("DISTINCT r.from_seq").Where("r.to_seq = ? AND r.origin LIKE ? AND r.from_seq NOT IN (?, ?)", gone.seq, originField+"%", keep.seq, gone.seq).
		Limit(maxMergeReferring+1).Scan(ctx, &seqs)
	if err != nil {
		return nil, fmt.Errorf("cmdb: what refers to %q: %w", gone.ID, err)
	}
	if len(seqs) > maxMergeReferring {
		return nil, fmt.Errorf("%w: more than %d items refer to %q", ErrTooLarge, maxMergeReferring, gone.Name)
	}
	var out []Item
	for part := range slices.Chunk(seqs, chunk) {
		var rows []itemRow
		if err := w.tx.NewSelect().Model(&rows).Where("i.seq IN (?)", bun.In(part)).Order("i.id").Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: what refers to %q: %w", gone.ID, err)
		}
		for i := range rows {
			if !r.Match(rows[i].FactsOf(rows[i].Tenant)) {
				return nil, fmt.Errorf("%w: items outside of your reach refer to %s %q", ErrConflict, gone.Class, gone.Name)
			}
			if err := w.s.busy(rows[i].Class); err != nil {
				return nil, err
			}
		}
		list, err := items(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// pointed is an item whose fields name one item in place of another.
func (s *Service) pointed(it Item, from, to string) Item {
	c := s.Model().Class(it.Class)
	it.Attributes = maps.Clone(it.Attributes)
	for i := range c.Attributes {
		a := &c.Attributes[i]
		value := it.Attributes[a.Name]
		if a.Type != model.Reference || value == "" {
			continue
		}
		var ids []string
		for _, id := range a.Each(value) {
			if id == from {
				id = to
			}
			if id != "" && id != it.ID && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		if it.Attributes[a.Name] = strings.Join(ids, ";"); len(ids) == 0 {
			delete(it.Attributes, a.Name)
		}
	}
	return it
}

// held are all relations of some items.
func (w *writer) held(ctx context.Context, list []Item) ([]relationRow, error) {
	seqs := make([]int32, len(list))
	for i := range list {
		seqs[i] = list[i].seq
	}
	var out []relationRow
	for _, q := range []struct {
		where string
		seqs  []int32
	}{{"r.from_seq IN (?)", seqs}, {"r.to_seq IN (?)", seqs[:2]}} {
		for part := range slices.Chunk(q.seqs, chunk) {
			var rows []relationRow
			if err := w.tx.NewSelect().Model(&rows).Where(q.where, bun.In(part)).Limit(maxMergeRelations + 1).Scan(ctx); err != nil {
				return nil, fmt.Errorf("cmdb: relations of what is merged: %w", err)
			}
			out = append(out, rows...)
		}
	}
	slices.SortFunc(out, func(a, b relationRow) int {
		return cmp.Or(cmp.Compare(a.From, b.From), strings.Compare(a.Type, b.Type), cmp.Compare(a.To, b.To), strings.Compare(a.Origin, b.Origin))
	})
	out = slices.CompactFunc(out, func(a, b relationRow) bool {
		return a.From == b.From && a.Type == b.Type && a.To == b.To && a.Origin == b.Origin
	})
	if len(out) > maxMergeRelations {
		return nil, fmt.Errorf("%w: the two items have more than %d relations", ErrTooLarge, maxMergeRelations)
	}
	return out, nil
}

// byIDs names the ends of relations by their ids.
func (w *writer) byIDs(ctx context.Context, rows []relationRow) ([]keptRelation, error) {
	ids, err := w.idsOf(ctx, rows)
	if err != nil {
		return nil, err
	}
	out := make([]keptRelation, 0, len(rows))
	for _, r := range rows {
		if from, to := ids[r.From], ids[r.To]; from != nil && to != nil {
			out = append(out, keptRelation{from.ID, r.Type, to.ID, r.Origin, r.Actor, r.CreatedAt})
		}
	}
	return out, nil
}

// idsOf reads the ends of relations.
func (w *writer) idsOf(ctx context.Context, rows []relationRow) (map[int32]*itemRow, error) {
	seqs := make([]int32, 0, 2*len(rows))
	for _, r := range rows {
		seqs = append(seqs, r.From, r.To)
	}
	slices.Sort(seqs)
	out := map[int32]*itemRow{}
	for part := range slices.Chunk(slices.Compact(seqs), chunk) {
		var found []itemRow
		if err := w.tx.NewSelect().Model(&found).Column("id", "class", "tenant", "name", "seq", "revision").Where("i.seq IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: read the items of relations: %w", err)
		}
		for i := range found {
			out[found[i].Seq] = &found[i]
		}
	}
	return out, nil
}

// moveRelations gives the relations that somebody made of the item that went to the one
// that stays. Those that it cannot have are counted, and stay in the merge.
func (w *writer) moveRelations(ctx context.Context, doc *mergeDoc, rows []relationRow, keep, gone *Item) error {
	ends, err := w.idsOf(ctx, rows)
	if err != nil {
		return err
	}
	m, now := w.s.Model(), w.s.now()
	have := map[relationKey]bool{}
	from, to := map[string]int{}, map[string]int{} // relations of the item that stays, by type
	for _, r := range rows {
		if r.From == gone.seq || r.To == gone.seq {
			continue
		}
		have[relationKey{r.From, r.Type, r.To}] = true
		if r.From == keep.seq {
			from[r.Type]++
		}
		if r.To == keep.seq {
			to[r.Type]++
		}
	}
	var add []relationRow
	var history []historyRow
	for _, r := range rows {
		if r.From != gone.seq && r.To != gone.seq || !slices.Contains(byHand, r.Origin) {
			continue
		}
		n, of := r, to
		if n.From == gone.seq {
			n.From, of = keep.seq, from
		} else {
			n.To = keep.seq
		}
		a, b, rel := ends[n.From], ends[n.To], m.Relation(r.Type)
		if n.From == n.To || have[relationKey{n.From, n.Type, n.To}] {
			continue // the two are one now
		}
		single := rel != nil && of[r.Type] > 0 && (rel.Cardinality == model.OneToOne || n.From == keep.seq && rel.Cardinality == model.ManyToOne || n.To == keep.seq && rel.Cardinality == model.OneToMany)
		if a == nil || b == nil || single || checkLink(m, rel, Link{Type: r.Type}, a, b) != nil {
			doc.Dropped++
			continue
		}
		of[r.Type]++
		have[relationKey{n.From, n.Type, n.To}] = true
		add = append(add, n)
		history = append(history, linked(a, relationPrefix+n.Type, "", b.ID, w.actor, now), linked(b, relatedPrefix+n.Type, "", a.ID, w.actor, now))
	}
	if err := w.addRelations(ctx, add); err != nil {
		return err
	}
	if err := keepHistory(ctx, w.tx, history, nil); err != nil {
		return fmt.Errorf("cmdb: store history: %w", err)
	}
	doc.Moved, err = w.byIDs(ctx, add)
	doc.Relations = len(doc.Moved)
	return err
}

// sources tells who wrote the fields of an item last.
func (w *writer) sources(ctx context.Context, id string) (map[string]string, error) {
	var rows []historyRow
	if err := w.tx.NewSelect().Model(&rows).Where("h.item_id = ? AND h.other_id = ''", id).Order("h.id DESC").Limit(maxLimit).Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: history of %q: %w", id, err)
	}
	list, err := entries(rows)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, h := range list {
		for _, c := range h.Changes {
			if _, ok := out[c.Field]; !ok {
				out[c.Field] = h.Actor
			}
		}
	}
	return out, nil
}

// mergeFields is the item that stays with what it gets, and the fields in which the two
// differ. Of two values that of the better source counts, else that of the item that
// stays; lists are joined, and the higher criticality counts.
func (w *writer) mergeFields(ctx context.Context, keep, gone *Item, choose map[string]string) (Item, []MergeField, error) {
	from := map[*Item]map[string]string{}
	for _, it := range []*Item{keep, gone} {
		var err error
		if from[it], err = w.sources(ctx, it.ID); err != nil {
			return Item{}, nil, err
		}
	}
	out := w.s.pointed(*keep, gone.ID, "")
	other := w.s.pointed(*gone, keep.ID, "")
	fields := []MergeField{}
	known := map[string]bool{}
	for _, c := range diff(&out, &other) {
		f := MergeField{Field: c.Field, Keep: c.Before, Gone: c.After, KeepSource: from[keep][c.Field], GoneSource: from[gone][c.Field]}
		chosen := choose[c.Field]
		known[c.Field] = true
		switch {
		case chosen != "" && chosen != "keep" && chosen != "gone":
			return Item{}, nil, fmt.Errorf("%w: %s: %q: choose keep or gone", ErrInvalid, c.Field, cutText(chosen, 40))
		case chosen == "keep":
			f.Value = c.Before
		case chosen == "gone":
			f.Value = c.After
		case c.Field == colName || c.Field == colTenant || c.Field == colZone:
			f.Value = c.Before
		case c.Field == colAddresses || c.Field == colHostnames || c.Field == colLabels:
			f.Value = strings.Trim(joinLists(c.Before, c.After), ";")
		case c.Field == colCriticality:
			f.Value = max(c.Before, c.After) // one digit each
		case c.Before == "":
			f.Value = c.After
		case c.After == "":
			f.Value = c.Before
		default:
			a, b := worth(f.KeepSource), worth(f.GoneSource)
			if f.Value, f.Conflict = c.Before, a == b; b > a {
				f.Value = c.After
			}
		}
		if err := out.set(c.Field, f.Value); err != nil {
			return Item{}, nil, err
		}
		fields = append(fields, f)
	}
	for _, name := range slices.Sorted(maps.Keys(choose)) {
		if !known[name] {
			return Item{}, nil, fmt.Errorf("%w: the two do not differ in the field %q", ErrInvalid, cutText(name, 100))
		}
	}
	return out, fields, nil
}

// joinLists joins two lists as the history has them, each value once.
func joinLists(a, b string) string {
	list := strings.Split(a, ";")
	for v := range strings.SplitSeq(b, ";") {
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return strings.Join(list, ";")
}

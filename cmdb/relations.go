package cmdb

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

// originManual marks relations that somebody made.
const originManual = "manual"

// OriginTraffic marks relations that somebody took over from what traffic shows.
// They are made and taken away as those made by hand.
const OriginTraffic = "traffic"

// byHand are the origins of relations that somebody made.
var byHand = []string{originManual, OriginTraffic}

// maxLinks is how many relations one call makes.
const maxLinks = 100_000

// What the history of the two ends calls a relation that somebody made.
const (
	relationPrefix = "relation." // from the item
	relatedPrefix  = "related."  // to the item
)

// Link is a relation between two items, by their ids.
type Link struct {
	From string `json:"from" maxLength:"128" doc:"Id of the first item"`
	Type string `json:"type" maxLength:"63" doc:"Relation type"`
	To   string `json:"to" maxLength:"128" doc:"Id of the second item"`
}

// LinkError says which of several links cannot be. It is ErrInvalid.
type LinkError struct {
	Row     int // from 1 on
	Message string
}

// Error implements error.
func (e *LinkError) Error() string { return fmt.Sprintf("cmdb: relation %d: %s", e.Row, e.Message) }

// Is makes errors.Is(err, ErrInvalid) true.
func (e *LinkError) Is(target error) bool { return target == ErrInvalid }

// Relate makes relations, all or none, between items in reach. One that is
// there already is left as it is. It returns how many are new; a link that
// cannot be is a *LinkError.
func (s *Service) Relate(ctx context.Context, r reach.Reach, actor string, links []Link) (int, error) {
	return s.relate(ctx, r, actor, links, originManual)
}

// RelateTraffic is Relate for relations that traffic shows. One that somebody
// made by hand stays his.
func (s *Service) RelateTraffic(ctx context.Context, r reach.Reach, actor string, links []Link) (int, error) {
	return s.relate(ctx, r, actor, links, OriginTraffic)
}

func (s *Service) relate(ctx context.Context, r reach.Reach, actor string, links []Link, origin string) (int, error) {
	if len(links) > maxLinks {
		return 0, fmt.Errorf("%w: %d relations: want at most %d", ErrTooLarge, len(links), maxLinks)
	}
	made := 0
	err := s.write(ctx, actor, func(ctx context.Context, w *writer) error {
		ends, err := w.ends(ctx, r, links)
		if err != nil {
			return err
		}
		m, now := s.Model(), s.now()
		var fresh []relationRow
		var history []historyRow
		seen := map[relationKey]bool{}
		for i, l := range links {
			rel, from, to := m.Relation(l.Type), ends[l.From], ends[l.To]
			if err := checkLink(m, rel, l, from, to); err != nil {
				return &LinkError{Row: i + 1, Message: err.Error()}
			}
			if k := (relationKey{from.Seq, l.Type, to.Seq}); !seen[k] {
				seen[k] = true
				fresh = append(fresh, relationRow{From: from.Seq, Type: l.Type, To: to.Seq, Origin: origin, Actor: actor, CreatedAt: now.UnixMilli()})
				history = append(history, linked(from, relationPrefix+l.Type, "", to.ID, actor, now), linked(to, relatedPrefix+l.Type, "", from.ID, actor, now))
			}
		}
		there, err := w.present(ctx, fresh)
		if err != nil {
			return err
		}
		var keep []historyRow
		var add []relationRow
		for i, row := range fresh {
			if !there[relationKey{row.From, row.Type, row.To}] {
				add, keep = append(add, row), append(keep, history[2*i], history[2*i+1])
			}
		}
		if err := w.addRelations(ctx, add); err != nil {
			return err
		}
		if err := w.checkCardinality(ctx, m, links, ends); err != nil {
			return err
		}
		made = len(add)
		if err := keepHistory(ctx, w.tx, keep, nil); err != nil {
			return fmt.Errorf("cmdb: store history: %w", err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return made, nil
}

// Unrelate takes away a relation that somebody made. One that a rule or a field
// makes is ErrConflict: it goes with what makes it.
func (s *Service) Unrelate(ctx context.Context, r reach.Reach, actor string, l Link) error {
	return s.write(ctx, actor, func(ctx context.Context, w *writer) error {
		ends, err := w.ends(ctx, r, []Link{l})
		if err != nil {
			return err
		}
		from, to := ends[l.From], ends[l.To]
		if from == nil || to == nil {
			return fmt.Errorf("%w: %q or %q", ErrNotFound, l.From, l.To)
		}
		var rows []relationRow
		if err := w.tx.NewSelect().Model(&rows).Where("r.from_seq = ? AND r.type = ? AND r.to_seq = ?", from.Seq, l.Type, to.Seq).Scan(ctx); err != nil {
			return fmt.Errorf("cmdb: read the relation: %w", err)
		}
		if len(rows) == 0 {
			return fmt.Errorf("%w: no relation %s from %q to %q", ErrNotFound, l.Type, l.From, l.To)
		}
		if !slices.ContainsFunc(rows, func(r relationRow) bool { return slices.Contains(byHand, r.Origin) }) {
			return fmt.Errorf("%w: the relation %s from %q to %q is made by %s: change that", ErrConflict, l.Type, l.From, l.To, originText(rows[0].Origin))
		}
		err = w.dropRelations(ctx, "from_seq = ? AND type = ? AND to_seq = ? AND origin IN (?)", from.Seq, l.Type, to.Seq, bun.In(byHand))
		if err != nil {
			return err
		}
		now := s.now()
		return keepHistory(ctx, w.tx, []historyRow{
			linked(from, relationPrefix+l.Type, to.ID, "", actor, now), linked(to, relatedPrefix+l.Type, from.ID, "", actor, now)}, nil)
	})
}

type relationKey struct {
	from int32
	typ  string
	to   int32
}

// ends reads the items in reach that links name.
func (w *writer) ends(ctx context.Context, r reach.Reach, links []Link) (map[string]*itemRow, error) {
	ids := make([]string, 0, 2*len(links))
	for _, l := range links {
		ids = append(ids, l.From, l.To)
	}
	slices.Sort(ids)
	out := make(map[string]*itemRow, len(ids))
	for part := range slices.Chunk(slices.Compact(ids), chunk) {
		var rows []itemRow
		q := w.tx.NewSelect().Model(&rows).Column("id", "class", "tenant", "name", "seq", "revision")
		if err := r.Within(q, "i").Where("i.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: read the items of relations: %w", err)
		}
		for i := range rows {
			out[rows[i].ID] = &rows[i]
		}
	}
	return out, nil
}

// checkLink sees that a relation type may join two items.
func checkLink(m *model.Model, rel *model.RelationType, l Link, from, to *itemRow) error {
	switch {
	case rel == nil:
		return fmt.Errorf("unknown relation type %q", l.Type)
	case l.Type == model.BelongsToSystem || l.Type == model.BelongsToOrganisation:
		return fmt.Errorf("relations %s follow from the item's own field: change that", l.Type)
	case from == nil:
		return fmt.Errorf("there is no item %q, or it is not within your reach", l.From)
	case to == nil:
		return fmt.Errorf("there is no item %q, or it is not within your reach", l.To)
	case from.Seq == to.Seq:
		return fmt.Errorf("item %q would be related to itself", l.From)
	case len(rel.From) > 0 && !slices.Contains(m.Concrete(rel.From...), from.Class):
		return fmt.Errorf("%s starts from %v, and %q is of class %s", l.Type, rel.From, l.From, from.Class)
	case len(rel.To) > 0 && !slices.Contains(m.Concrete(rel.To...), to.Class):
		return fmt.Errorf("%s leads to %v, and %q is of class %s", l.Type, rel.To, l.To, to.Class)
	}
	return nil
}

// present tells which relations somebody has made already.
func (w *writer) present(ctx context.Context, rows []relationRow) (map[relationKey]bool, error) {
	out := map[relationKey]bool{}
	for part := range slices.Chunk(rows, chunk) {
		keys := make([][]any, 0, len(byHand)*len(part))
		for _, r := range part {
			for _, origin := range byHand {
				keys = append(keys, []any{r.From, r.Type, r.To, origin})
			}
		}
		var have []relationRow
		if err := w.tx.NewSelect().Model(&have).Where("(from_seq, type, to_seq, origin) IN (?)", bun.In(keys)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: read relations: %w", err)
		}
		for _, r := range have {
			out[relationKey{r.From, r.Type, r.To}] = true
		}
	}
	return out, nil
}

// checkCardinality sees, once the relations are stored, that no item has more
// of a type than it may.
func (w *writer) checkCardinality(ctx context.Context, m *model.Model, links []Link, ends map[string]*itemRow) error {
	for _, end := range []struct {
		column, other string
		single        []string // the cardinalities that allow one
		id            func(Link) string
		what          string
	}{
		{"from_seq", "to_seq", []string{model.ManyToOne, model.OneToOne}, func(l Link) string { return l.From }, "has"},
		{"to_seq", "from_seq", []string{model.OneToMany, model.OneToOne}, func(l Link) string { return l.To }, "is the end of"},
	} {
		rows := map[string]map[int32]int{} // type → item → row
		for i, l := range links {
			if slices.Contains(end.single, m.Relation(l.Type).Cardinality) {
				if rows[l.Type] == nil {
					rows[l.Type] = map[int32]int{}
				}
				rows[l.Type][ends[end.id(l)].Seq] = i
			}
		}
		for typ, of := range rows {
			seqs := make([]int32, 0, len(of))
			for seq := range of {
				seqs = append(seqs, seq)
			}
			for part := range slices.Chunk(seqs, chunk) {
				var crowded []int32
				err := w.tx.NewSelect().Model((*relationRow)(nil)).Column(end.column).Where("type = ? AND ? IN (?)", typ, bun.Ident(end.column), bun.In(part)).
					Group(end.column).Having("count(DISTINCT ?) > 1", bun.Ident(end.other)).Limit(1).Scan(ctx, &crowded)
				if err != nil {
					return fmt.Errorf("cmdb: count relations: %w", err)
				}
				if len(crowded) > 0 {
					row := of[crowded[0]]
					return &LinkError{Row: row + 1, Message: fmt.Sprintf("item %q %s a relation %s already, which is %s: take that away first",
						end.id(links[row]), end.what, typ, m.Relation(typ).Cardinality)}
				}
			}
		}
	}
	return nil
}

// linked is the history entry of one end of a relation.
func linked(it *itemRow, field, before, after, actor string, now time.Time) historyRow {
	b, _ := json.Marshal([]Change{{Field: field, Before: before, After: after}}) // texts always encode
	return historyRow{ItemID: it.ID, Class: it.Class, Tenant: it.Tenant, Name: it.Name, Time: now.UnixMilli(),
		Actor: actor, Action: actionUpdated, Changes: string(b), Revision: it.Revision, OtherID: before + after} // one of them is empty
}

func originText(origin string) string {
	if rule, ok := strings.CutPrefix(origin, originRule); ok {
		return "the rule " + rule
	}
	if field, ok := strings.CutPrefix(origin, originField); ok {
		return "the field " + field
	}
	return "hand"
}

// Relation is a relation as an item's list has it.
type Relation struct {
	Type      string    `json:"type"`
	Forward   bool      `json:"forward" doc:"From the item to the other"`
	Item      Ref       `json:"item" doc:"The other item"`
	Origin    string    `json:"origin" doc:"manual, traffic, rule.NAME or field.NAME"`
	Actor     string    `json:"actor"`
	CreatedAt time.Time `json:"created_at"`
}

// RelationFilter narrows a list of relations.
type RelationFilter struct {
	Type      string // relation type; "" is all
	Direction string // "forward" from the item, "backward" to it, "" both
	Class     string // of the other item; "" is all
	Limit     int    // relations a page: 50 where 0, at most 1000
	Cursor    string // Next of the page before
}

// RelationPage is one page of an item's relations.
type RelationPage struct {
	Relations []Relation
	Next      string
}

// RelationsOf lists the relations between an item in reach and others in reach:
// those from it first, by type and the age of the other item.
func (s *Service) RelationsOf(ctx context.Context, r reach.Reach, id string, f RelationFilter) (RelationPage, error) {
	it, err := s.Get(ctx, r, id)
	if err != nil {
		return RelationPage{}, err
	}
	at := relationPlace{Forward: f.Direction != "backward"}
	if f.Cursor != "" {
		if at, err = decodePlace(f.Cursor); err != nil {
			return RelationPage{}, err
		}
	}
	switch f.Direction {
	case "", "forward", "backward":
	default:
		return RelationPage{}, fmt.Errorf("%w: direction %q: want forward or backward", ErrQuery, f.Direction)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	out := RelationPage{Relations: []Relation{}}
	for {
		rows, err := s.relationRows(ctx, r, it.seq, &f, at, limit+1-len(out.Relations))
		if err != nil {
			return RelationPage{}, err
		}
		for i := range rows {
			if len(out.Relations) == limit {
				out.Next = at.encode()
				return out, nil
			}
			x := &rows[i]
			out.Relations = append(out.Relations, Relation{Type: x.Type, Forward: at.Forward, Origin: x.Origin, Actor: x.Actor, CreatedAt: time.UnixMilli(x.CreatedAt).UTC(),
				Item: Ref{ID: x.ID, Class: x.Class, Name: x.Name, Criticality: x.Criticality, Owner: x.Owner}})
			at.Type, at.Other, at.Origin = x.Type, x.Other, x.Origin
		}
		if !at.Forward || f.Direction == "forward" {
			return out, nil
		}
		at = relationPlace{}
	}
}

// relationPlace is where a page ends.
type relationPlace struct {
	Forward bool
	Type    string
	Other   int32
	Origin  string
}

func (p relationPlace) encode() string {
	b, _ := json.Marshal(p) // it always encodes
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodePlace(s string) (p relationPlace, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, fmt.Errorf("%w: %q", ErrCursor, s)
	}
	return p, nil
}

type relationLine struct {
	Type        string `bun:"type"`
	Other       int32  `bun:"other"`
	Origin      string `bun:"origin"`
	Actor       string `bun:"actor"`
	CreatedAt   int64  `bun:"created_at"`
	ID          string `bun:"id"`
	Class       string `bun:"class"`
	Name        string `bun:"name"`
	Criticality int    `bun:"criticality"`
	Owner       string `bun:"owner"`
}

func (s *Service) relationRows(ctx context.Context, r reach.Reach, seq int32, f *RelationFilter, after relationPlace, limit int) ([]relationLine, error) {
	own, other := bun.Ident("r.from_seq"), bun.Ident("r.to_seq")
	if !after.Forward {
		own, other = other, own
	}
	var rows []relationLine
	q := s.db.NewSelect().TableExpr("cmdb_relations AS r").Join("JOIN cmdb_items AS i ON i.seq = ?", other).
		ColumnExpr("r.type, ? AS other, r.origin, r.actor, r.created_at, i.id, i.class, i.name, i.criticality, i.owner", other).
		Where("? = ?", own, seq).Where("(r.type, ?, r.origin) > (?, ?, ?)", other, after.Type, after.Other, after.Origin)
	if f.Type != "" {
		q = q.Where("r.type = ?", f.Type)
	}
	if f.Class != "" {
		q = q.Where("i.class IN (?)", bun.In(append(s.Model().Concrete(f.Class), f.Class)))
	}
	if err := r.Within(q, "i").OrderExpr("r.type, ?, r.origin", other).Limit(int64(limit)).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("cmdb: list relations: %w", err)
	}
	return rows, nil
}

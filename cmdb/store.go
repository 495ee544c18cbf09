package cmdb

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
	// chunk is how many values one SQL statement carries. It keeps a
	// statement's text small.
	chunk = 400
)

// itemRow is an item as the table has it.
type itemRow struct {
	bun.BaseModel  `bun:"table:cmdb_items,alias:i"`
	ID             string `bun:"id,pk"`
	Class          string `bun:"class"`
	Tenant         string `bun:"tenant"`
	Name           string `bun:"name"`
	Zone           string `bun:"zone"`
	Addresses      string `bun:"addresses"`
	Hostnames      string `bun:"hostnames"`
	Criticality    int    `bun:"criticality"`
	Owner          string `bun:"owner"`
	Labels         string `bun:"labels"`
	SystemID       string `bun:"system_id,nullzero"`
	OrganisationID string `bun:"organisation_id,nullzero"`
	Attributes     string `bun:"attributes"`
	CreatedAt      int64  `bun:"created_at"`
	UpdatedAt      int64  `bun:"updated_at"`
	Seq            int32  `bun:"seq"`
	Identity       string `bun:"identity"`
	Revision       int64  `bun:"revision"`
	reach.Kept
}

type addressRow struct {
	bun.BaseModel `bun:"table:cmdb_addresses,alias:a"`
	Zone          string `bun:"zone,pk"`
	Address       string `bun:"address,pk"`
	ItemID        string `bun:"item_id"`
}

type labelRow struct {
	bun.BaseModel `bun:"table:cmdb_labels,alias:l"`
	Label         string `bun:"label,pk"`
	ItemID        string `bun:"item_id,pk"`
}

type historyRow struct {
	bun.BaseModel `bun:"table:cmdb_history,alias:h"`
	ID            int64  `bun:"id,pk,autoincrement"`
	ItemID        string `bun:"item_id"`
	Class         string `bun:"class"`
	Tenant        string `bun:"tenant"`
	Name          string `bun:"name"`
	Time          int64  `bun:"time"`
	Actor         string `bun:"actor"`
	Action        string `bun:"action"`
	Changes       string `bun:"changes"`
	Revision      int64  `bun:"revision"`
	Model         int64  `bun:"model"`
	OtherID       string `bun:"other_id"` // of a relation that was made or taken away: its other end
	Import        int64  `bun:"import_id"`
	reach.Kept
}

func toRow(it *Item) itemRow {
	return itemRow{
		ID: it.ID, Class: it.Class, Tenant: it.Tenant, Name: it.Name, Zone: it.Zone,
		Addresses: jsonList(it.Addresses), Hostnames: jsonList(it.Hostnames), Criticality: it.Criticality,
		Owner: it.Owner, Labels: jsonList(it.Labels), SystemID: it.System, OrganisationID: it.Organisation,
		Attributes: jsonMap(it.Attributes),
		CreatedAt:  it.CreatedAt.UnixMilli(), UpdatedAt: it.UpdatedAt.UnixMilli(),
		Seq: it.seq, Identity: it.identity, Revision: it.Revision,
	}
}

func (r *itemRow) item() (Item, error) {
	it := Item{
		ID: r.ID, Class: r.Class, Tenant: r.Tenant, Name: r.Name, Zone: r.Zone, Criticality: r.Criticality,
		Owner: r.Owner, System: r.SystemID, Organisation: r.OrganisationID,
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC(),
		Revision: r.Revision, seq: r.Seq, identity: r.Identity,
	}
	for _, f := range []struct {
		text string
		into *[]string
	}{{r.Addresses, &it.Addresses}, {r.Hostnames, &it.Hostnames}, {r.Labels, &it.Labels}} {
		var err error
		if *f.into, err = listOf(f.text); err != nil {
			return Item{}, fmt.Errorf("cmdb: item %s: stored value %q: %w", r.ID, f.text, err)
		}
	}
	var err error
	if it.Attributes, err = mapOf(r.Attributes); err != nil {
		return Item{}, fmt.Errorf("cmdb: item %s: stored value %q: %w", r.ID, r.Attributes, err)
	}
	it.fill()
	return it, nil
}

func items(rows []itemRow) ([]Item, error) {
	out := make([]Item, len(rows))
	for i := range rows {
		it, err := rows[i].item()
		if err != nil {
			return nil, err
		}
		out[i] = it
	}
	return out, nil
}

func jsonList(l []string) string {
	if len(l) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(l) // strings always encode
	return string(b)
}

// listOf reads what jsonList wrote. Where no backslash is in a text no quote is
// in its values, so that cutting it up does for a decoder: at a start a million
// items are read.
func listOf(text string) (list []string, err error) {
	switch {
	case text == "[]":
		return nil, nil
	case strings.HasPrefix(text, `["`) && !strings.Contains(text, `\`):
		return strings.Split(text[2:len(text)-2], `","`), nil
	}
	err = json.Unmarshal([]byte(text), &list)
	return list, err
}

// mapOf reads what jsonMap wrote, as listOf does.
func mapOf(text string) (m map[string]string, err error) {
	switch {
	case text == "{}":
		return nil, nil
	case strings.HasPrefix(text, `{"`) && !strings.Contains(text, `\`):
		inner := text[2 : len(text)-2]
		m = make(map[string]string, 1+strings.Count(inner, `","`))
		for pair := range strings.SplitSeq(inner, `","`) {
			k, v, _ := strings.Cut(pair, `":"`)
			m[k] = v
		}
		return m, nil
	}
	err = json.Unmarshal([]byte(text), &m)
	return m, err
}

func jsonMap(m map[string]string) string {
	if len(m) == 0 {
		return "{}"
	}
	b, _ := json.Marshal(m)
	return string(b)
}

// Get returns one item in reach, or ErrNotFound.
func (s *Service) Get(ctx context.Context, r reach.Reach, id string) (Item, error) {
	return get(ctx, s.db, r, id)
}

func get(ctx context.Context, db bun.IDB, r reach.Reach, id string) (Item, error) {
	row, err := getRow(ctx, db, r, id)
	if err != nil {
		return Item{}, err
	}
	return row.item()
}

func getRow(ctx context.Context, db bun.IDB, r reach.Reach, id string) (*itemRow, error) {
	var rows []itemRow
	if err := r.Within(db.NewSelect().Model(&rows), "i").Where("i.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: get item %q: %w", id, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	return &rows[0], nil
}

// History lists the changes of an item in reach, newest first. before is the ID
// of the last entry of the page before, 0 for the first page. The history of a
// deleted item is still there. Each entry is seen by who could see the item
// right after that change, or before where it was deleted, and one of a relation
// by who sees its other end now.
func (s *Service) History(ctx context.Context, r reach.Reach, id string, before int64, limit int) ([]HistoryEntry, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	var rows []historyRow
	q := s.told(r, s.db.NewSelect().Model(&rows)).Where("h.item_id = ?", id)
	if before > 0 {
		q = q.Where("h.id < ?", before)
	}
	if err := q.Order("h.id DESC").Limit(int64(min(limit, maxLimit))).Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: history of %q: %w", id, err)
	}
	return entries(rows)
}

// told narrows a query of history rows to those that a reach is told of.
func (s *Service) told(r reach.Reach, q *bun.SelectQuery) *bun.SelectQuery {
	q = r.Within(q, "h")
	if r.Everything() {
		return q
	}
	other := s.db.NewSelect().TableExpr("cmdb_items AS i").ColumnExpr("1").Where("i.id = h.other_id")
	return q.Where("(h.other_id = '' OR EXISTS (?))", r.Within(other, "i"))
}

// entries are history rows as they are told.
func entries(rows []historyRow) ([]HistoryEntry, error) {
	out := make([]HistoryEntry, len(rows))
	for i, row := range rows {
		out[i] = HistoryEntry{
			ID: row.ID, ItemID: row.ItemID, Class: row.Class, Name: row.Name, Tenant: row.Tenant,
			Time: time.UnixMilli(row.Time).UTC(), Actor: row.Actor, Action: row.Action,
			Revision: row.Revision, Model: row.Model, Facts: row.Kept,
		}
		if err := json.Unmarshal([]byte(row.Changes), &out[i].Changes); err != nil {
			return nil, fmt.Errorf("cmdb: history entry %d: %w", row.ID, err)
		}
	}
	return out, nil
}

// selectBy reads all items whose column is one of values, in reach or not:
// planning a change must see what is taken, and tells the caller no more.
func selectBy(ctx context.Context, db bun.IDB, column string, values []string, fn func(Item, reach.Facts)) error {
	slices.Sort(values)
	values = slices.Compact(values)
	for part := range slices.Chunk(values, chunk) {
		var rows []itemRow
		if err := db.NewSelect().Model(&rows).Where("? IN (?)", bun.Ident(column), bun.In(part)).Scan(ctx); err != nil {
			return fmt.Errorf("cmdb: look up items by %s: %w", column, err)
		}
		list, err := items(rows)
		if err != nil {
			return err
		}
		for i, it := range list {
			fn(it, rows[i].FactsOf(it.Tenant))
		}
	}
	return nil
}

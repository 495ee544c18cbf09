package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

// Query narrows a list of proposals. Empty fields do not narrow.
type Query struct {
	State  string // one of the states
	Item   string // id of one of the two items
	System string // id of the business system of one of the two items
	Zone   string
	Silent bool // accepted ones without traffic for long
	Limit  int
	Cursor string // Next of the page before
}

// Page is one page of proposals.
type Page struct {
	Proposals []Proposal
	Total     int
	Next      string
}

// lineRow is a proposal with its ends as they are called now.
type lineRow struct {
	row       `bun:",extend"`
	FromClass string `bun:"from_class"`
	FromName  string `bun:"from_name"`
	ToClass   string `bun:"to_class"`
	ToName    string `bun:"to_name"`
}

// between narrows proposals to those both of whose items are in reach.
func between(r reach.Reach, q *bun.SelectQuery) *bun.SelectQuery {
	q = q.Join("JOIN cmdb_items AS a ON a.id = p.from_item").Join("JOIN cmdb_items AS b ON b.id = p.to_item")
	return r.Within(r.Within(q, "a"), "b")
}

func (w *Watch) silentSince() int64 {
	return w.deps.Now().AddDate(0, 0, -w.deps.Policy().SilentDays).UnixMilli()
}

// List lists proposals between items in reach, the newest first.
func (w *Watch) List(ctx context.Context, r reach.Reach, q Query) (Page, error) {
	out := Page{Proposals: []Proposal{}}
	narrow := func(s *bun.SelectQuery) *bun.SelectQuery {
		s = between(r, s)
		if q.State != "" {
			s = s.Where("p.state = ?", q.State)
		}
		s = s.Where("(p.state <> ? OR p.flows >= ?)", Waiting, w.deps.Policy().MinFlows)
		if q.Item != "" {
			s = s.Where("(p.from_item = ? OR p.to_item = ?)", q.Item, q.Item)
		}
		if q.System != "" {
			s = s.Where("(a.system_id = ? OR b.system_id = ?)", q.System, q.System)
		}
		if q.Zone != "" {
			s = s.Where("p.zone = ?", q.Zone)
		}
		if q.Silent {
			s = s.Where("p.state = ? AND p.last_seen < ?", Accepted, w.silentSince())
		}
		return s
	}
	n, err := narrow(w.db.NewSelect().Model((*row)(nil))).Count(ctx)
	if err != nil {
		return out, fmt.Errorf("traffic: count proposals: %w", err)
	}
	out.Total = int(n)
	var rows []lineRow
	s := narrow(w.db.NewSelect().Model(&rows).ColumnExpr("p.*, a.class AS from_class, a.name AS from_name, b.class AS to_class, b.name AS to_name"))
	if q.Cursor != "" {
		before, err := strconv.ParseInt(q.Cursor, 10, 64)
		if err != nil {
			return out, fmt.Errorf("%w: cursor %q", ErrInvalid, q.Cursor)
		}
		s = s.Where("p.id < ?", before)
	}
	if err := s.OrderExpr("p.id DESC").Limit(int64(q.Limit) + 1).Scan(ctx); err != nil {
		return out, fmt.Errorf("traffic: list proposals: %w", err)
	}
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		out.Next = strconv.FormatInt(rows[q.Limit-1].ID, 10)
	}
	for i := range rows {
		p, err := w.told(&rows[i])
		if err != nil {
			return out, err
		}
		out.Proposals = append(out.Proposals, p)
	}
	return out, nil
}

func (w *Watch) told(r *lineRow) (Proposal, error) {
	p := Proposal{ID: r.ID, From: cmdb.Ref{ID: r.From, Class: r.FromClass, Name: r.FromName}, To: cmdb.Ref{ID: r.To, Class: r.ToClass, Name: r.ToName}, Zone: r.Zone,
		FirstSeen: time.UnixMilli(r.FirstSeen).UTC(), LastSeen: time.UnixMilli(r.LastSeen).UTC(), Flows: r.Flows, Bytes: r.Bytes,
		State: r.State, Type: r.Type, DecidedBy: r.DecidedBy, Note: r.Note, Silent: r.State == Accepted && r.LastSeen < w.silentSince()}
	if r.DecidedAt > 0 {
		at := time.UnixMilli(r.DecidedAt).UTC()
		p.DecidedAt = &at
	}
	if err := json.Unmarshal([]byte(r.Services), &p.Services); err != nil {
		return p, fmt.Errorf("traffic: proposal %d: %w", r.ID, err)
	}
	return p, nil
}

// chosen reads some proposals between items in reach, all of them or none.
func (w *Watch) chosen(ctx context.Context, r reach.Reach, ids []int64) ([]row, error) {
	if len(ids) == 0 || len(ids) > maxChosen {
		return nil, fmt.Errorf("%w: %d proposals: want 1 to %d", ErrInvalid, len(ids), maxChosen)
	}
	var rows []row
	if err := between(r, w.db.NewSelect().Model(&rows).ColumnExpr("p.*")).Where("p.id IN (?)", bun.In(ids)).OrderExpr("p.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("traffic: read proposals: %w", err)
	}
	found := make(map[int64]bool, len(rows))
	for _, row := range rows {
		found[row.ID] = true
	}
	for _, id := range ids {
		if !found[id] {
			return nil, fmt.Errorf("%w: %d", ErrNotFound, id)
		}
	}
	return rows, nil
}

const maxNote = 500

func checkNote(note string) error {
	if n := utf8.RuneCountInString(note); n > maxNote {
		return fmt.Errorf("%w: the note has %d characters: want at most %d", ErrInvalid, n, maxNote)
	}
	return nil
}

// Accept makes relations of a type of some proposals, all or none, from the item
// that asks to the one that serves. It returns how many are new: one that is
// there already stays whose it is.
func (w *Watch) Accept(ctx context.Context, r reach.Reach, actor string, ids []int64, kind, note string) (made int, err error) {
	if err := checkNote(note); err != nil {
		return 0, err
	}
	rows, err := w.chosen(ctx, r, ids)
	if err != nil {
		return 0, err
	}
	links := make([]cmdb.Link, len(rows))
	for i, row := range rows {
		if row.State == Accepted {
			return 0, fmt.Errorf("%w: proposal %d was accepted already, as %s", ErrInvalid, row.ID, row.Type)
		}
		links[i] = cmdb.Link{From: row.From, Type: kind, To: row.To}
	}
	if made, err = w.deps.Items.RelateTraffic(ctx, r, actor, links); err != nil {
		return 0, err
	}
	return made, w.decide(ctx, rows, Accepted, kind, actor, note)
}

// Reject says no to some proposals; they are not proposed again.
func (w *Watch) Reject(ctx context.Context, r reach.Reach, actor string, ids []int64, note string) error {
	if err := checkNote(note); err != nil {
		return err
	}
	rows, err := w.chosen(ctx, r, ids)
	if err != nil {
		return err
	}
	if err := w.takeBack(ctx, r, actor, rows); err != nil {
		return err
	}
	return w.decide(ctx, rows, Rejected, "", actor, note)
}

// Reopen has some proposals wait again. Relations that were made of them are
// taken away.
func (w *Watch) Reopen(ctx context.Context, r reach.Reach, actor string, ids []int64) error {
	rows, err := w.chosen(ctx, r, ids)
	if err != nil {
		return err
	}
	if err := w.takeBack(ctx, r, actor, rows); err != nil {
		return err
	}
	return w.decide(ctx, rows, Waiting, "", "", "")
}

// takeBack takes away the relations of accepted proposals. One that somebody
// has taken away himself is fine.
func (w *Watch) takeBack(ctx context.Context, r reach.Reach, actor string, rows []row) error {
	for _, row := range rows {
		if row.State != Accepted {
			continue
		}
		err := w.deps.Items.Unrelate(ctx, r, actor, cmdb.Link{From: row.From, Type: row.Type, To: row.To})
		if err != nil && !errors.Is(err, cmdb.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (w *Watch) decide(ctx context.Context, rows []row, state, kind, actor, note string) error {
	ids := make([]int64, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	at := int64(0)
	if state != Waiting {
		at = w.deps.Now().UnixMilli()
	}
	_, err := w.db.NewUpdate().Model((*row)(nil)).Set("state = ?", state).Set("type = ?", kind).Set("decided_by = ?", actor).Set("decided_at = ?", at).Set("note = ?", note).
		Where("id IN (?)", bun.In(ids)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("traffic: note the decision: %w", err)
	}
	return nil
}

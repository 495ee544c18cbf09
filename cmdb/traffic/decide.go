package traffic

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

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

// Annotate writes beside some edges between items in reach what somebody knows of
// them; an empty text takes that away. Decisions stay as they are.
func (w *Watch) Annotate(ctx context.Context, r reach.Reach, actor string, ids []int64, text string) error {
	text = strings.TrimSpace(text)
	if err := checkNote(text); err != nil {
		return err
	}
	if _, err := w.chosen(ctx, r, ids); err != nil {
		return err
	}
	at := w.deps.Now().UnixMilli()
	if text == "" {
		actor, at = "", 0
	}
	_, err := w.db.NewUpdate().Model((*row)(nil)).Set("annotation = ?", text).Set("annotated_by = ?", actor).Set("annotated_at = ?", at).Where("id IN (?)", bun.In(ids)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("traffic: annotate: %w", err)
	}
	return nil
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

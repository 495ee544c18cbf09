package duty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/ticketing"
)

// SwapState is where a swap stands.
type SwapState string

// The states of a swap. It holds while it is agreed, and while undoing it is
// only proposed.
const (
	Proposed     SwapState = "proposed"
	Agreed       SwapState = "agreed"
	Declined     SwapState = "declined"
	Withdrawn    SwapState = "withdrawn"
	UndoProposed SwapState = "undo_proposed"
	Undone       SwapState = "undone"
)

// Period is a time on a line.
type Period struct {
	Line string    `json:"line"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Swap is an agreement of two that one does the other's duty. Both have to
// consent: to it, and to undoing it.
type Swap struct {
	ID        string    `json:"id"`
	Team      string    `json:"team"`
	Giver     string    `json:"giver" doc:"Whose duty it is by the roster"`
	Taker     string    `json:"taker" doc:"Who does it instead"`
	Give      Period    `json:"give"`
	Back      *Period   `json:"back,omitempty" doc:"What the giver does for the taker in return"`
	Note      string    `json:"note,omitempty"`
	State     SwapState `json:"state" enum:"proposed,agreed,declined,withdrawn,undo_proposed,undone"`
	UndoBy    string    `json:"undo_by,omitempty" doc:"Who asks for undoing it"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

type swapRow struct {
	bun.BaseModel `bun:"table:duty_swaps,alias:w"`
	ID            string    `bun:"id,pk"`
	Team          string    `bun:"team"`
	Giver         string    `bun:"giver"`
	Taker         string    `bun:"taker"`
	State         SwapState `bun:"state"`
	CreatedAt     int64     `bun:"created_at"`
	Doc           string    `bun:"doc"`
}

func (r *swapRow) swap() (w Swap, err error) {
	if err = json.Unmarshal([]byte(r.Doc), &w); err != nil {
		err = fmt.Errorf("duty: read the swap %s: %w", r.ID, err)
	}
	return w, err
}

func writeSwap(ctx context.Context, tx bun.Tx, w Swap) error {
	doc, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("duty: encode a swap: %w", err)
	}
	row := swapRow{ID: w.ID, Team: w.Team, Giver: w.Giver, Taker: w.Taker, State: w.State, CreatedAt: w.CreatedAt.UnixMilli(), Doc: string(doc)}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Set("state = EXCLUDED.state, doc = EXCLUDED.doc").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("duty: write the swap %s: %w", w.ID, err)
	}
	return nil
}

// Propose asks somebody to take over the asker's duty, perhaps in return for
// some of his.
func (s *Store) Propose(ctx context.Context, by ticketing.Actor, w Swap) (Swap, error) {
	t, err := s.Team(by, w.Team)
	if err != nil {
		return w, err
	}
	now := s.now()
	w.ID, w.Giver, w.State, w.UndoBy, w.CreatedAt, w.UpdatedAt = newID(), by.Name, Proposed, "", now, now
	if err := s.checkSwap(&t, &w, now); err != nil {
		return w, err
	}
	return w, s.change(ctx, func(ctx context.Context, tx bun.Tx) error { return writeSwap(ctx, tx, w) })
}

func (s *Store) checkSwap(t *Team, w *Swap, now time.Time) error {
	if w.Taker == "" || w.Taker == w.Giver || !s.deps.Known(w.Taker) {
		return fmt.Errorf("%w: taker: %q: want another user's name", ErrInvalid, w.Taker)
	}
	if len(w.Note) > 1000 {
		return fmt.Errorf("%w: note: want at most 1000 bytes", ErrInvalid)
	}
	periods := []*Period{&w.Give}
	if w.Back != nil {
		periods = append(periods, w.Back)
	}
	for i, p := range periods {
		whose, at := w.Giver, "give"
		if i == 1 {
			whose, at = w.Taker, "back"
		}
		p.From, p.To = p.From.UTC().Truncate(time.Millisecond), p.To.UTC().Truncate(time.Millisecond)
		if err := s.hasDuty(t, *p, whose); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if !p.From.After(now) {
			return fmt.Errorf("%w: %s.from: %s has begun: what is past cannot be swapped", ErrConflict, at, p.From.Format(time.RFC3339))
		}
	}
	return nil
}

// hasDuty is an error unless the person is on duty all the time.
func (s *Store) hasDuty(t *Team, p Period, person string) error {
	l, ok := t.Line(p.Line)
	if !ok {
		return fmt.Errorf("%w: the team has no line %q", ErrInvalid, p.Line)
	}
	if !p.To.After(p.From) || p.To.Sub(p.From) > maxDuration {
		return fmt.Errorf("%w: it is from %s to %s: want an end after the beginning, by at most 400 days", ErrInvalid, p.From.Format(time.RFC3339), p.To.Format(time.RFC3339))
	}
	for _, st := range s.Roster().Stretches(t, l, p.From, p.To) {
		if !slices.Contains(st.People, person) {
			return fmt.Errorf("%w: %s is not on duty on line %s from %s to %s", ErrConflict, person, p.Line, st.From.Format(time.RFC3339), st.To.Format(time.RFC3339))
		}
	}
	return nil
}

// SwapActions are what can be done to a swap.
var SwapActions = []string{"accept", "decline", "withdraw", "undo", "keep"}

// Swap acts on a swap. The taker accepts or declines it, the giver withdraws it
// before that. Afterwards either may ask for undoing it, while nothing of it
// has begun, and the other one's "undo" does so; "keep", of either, takes that
// back.
func (s *Store) Swap(ctx context.Context, by ticketing.Actor, id, action string) (Swap, error) {
	var w Swap
	err := s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		row := swapRow{ID: id}
		if err := tx.NewSelect().Model(&row).WherePK().Scan(ctx); err != nil {
			return fmt.Errorf("%w: there is no swap %.40q of yours", ErrNotFound, id)
		}
		var err error
		if w, err = row.swap(); err != nil {
			return err
		}
		if by.Name != w.Giver && by.Name != w.Taker {
			return fmt.Errorf("%w: there is no swap %.40q of yours", ErrNotFound, id)
		}
		t, ok := s.roster.Load().Team(w.Team)
		if !ok {
			return fmt.Errorf("%w: the team of the swap is gone", ErrNotFound)
		}
		if err := s.step(ctx, tx, t, &w, by.Name, action); err != nil {
			return err
		}
		w.UpdatedAt = s.now()
		return writeSwap(ctx, tx, w)
	})
	return w, err
}

func (s *Store) step(ctx context.Context, tx bun.Tx, t *Team, w *Swap, who, action string) error {
	not := func(why string) error {
		return fmt.Errorf("%w: the swap is %s: %s", ErrConflict, w.State, why)
	}
	switch action {
	case "accept":
		if w.State != Proposed || who != w.Taker {
			return not("only the taker accepts it, while it is proposed")
		}
		if err := s.checkSwap(t, w, s.now()); err != nil {
			return err
		}
		w.State = Agreed
		made := []Override{{Line: w.Give.Line, From: w.Give.From, To: w.Give.To, Replaces: w.Giver, People: []string{w.Taker}}}
		if w.Back != nil {
			made = append(made, Override{Line: w.Back.Line, From: w.Back.From, To: w.Back.To, Replaces: w.Taker, People: []string{w.Giver}})
		}
		for _, o := range made {
			o.ID, o.Team, o.By, o.Swap, o.Note = newID(), w.Team, w.Giver, w.ID, w.Note
			if err := writeOverride(ctx, tx, o); err != nil {
				return err
			}
		}
	case "decline":
		if w.State != Proposed || who != w.Taker {
			return not("only the taker declines it, while it is proposed")
		}
		w.State = Declined
	case "withdraw":
		if w.State != Proposed || who != w.Giver {
			return not("only the giver withdraws it, while it is proposed")
		}
		w.State = Withdrawn
	case "undo":
		if w.State != Agreed && w.State != UndoProposed {
			return not("only one that is agreed can be undone")
		}
		if now := s.now(); !w.Give.From.After(now) || w.Back != nil && !w.Back.From.After(now) {
			return not("a part of it has begun, so it cannot be undone: agree on another swap")
		}
		if w.State == Agreed {
			w.State, w.UndoBy = UndoProposed, who
			return nil
		}
		if w.UndoBy == who {
			return not("the other one has to consent to undoing it")
		}
		w.State = Undone
		if _, err := tx.NewDelete().Model((*overrideRow)(nil)).Where("swap = ?", w.ID).Exec(ctx); err != nil {
			return fmt.Errorf("duty: undo the swap %s: %w", w.ID, err)
		}
	case "keep":
		if w.State != UndoProposed {
			return not("nobody asks for undoing it")
		}
		w.State, w.UndoBy = Agreed, ""
	default:
		return fmt.Errorf("%w: action %.40q: want one of accept, decline, withdraw, undo, keep", ErrInvalid, action)
	}
	return nil
}

// maxSwaps is how many swaps a list holds.
const maxSwaps = 500

// Swaps lists the latest swaps of teams that the actor sees, and his own.
func (s *Store) Swaps(ctx context.Context, by ticketing.Actor, team string) ([]Swap, error) {
	teams := s.Teams(by)
	ids := []string{}
	for _, t := range teams {
		if team == "" || t.ID == team {
			ids = append(ids, t.ID)
		}
	}
	q := s.db.NewSelect().Model((*swapRow)(nil)).OrderExpr("created_at DESC, id").Limit(maxSwaps)
	if team == "" {
		q = q.Where("team IN (?) OR giver = ? OR taker = ?", bun.In(orNone(ids)), by.Name, by.Name)
	} else {
		q = q.Where("team IN (?)", bun.In(orNone(ids)))
	}
	var rows []swapRow
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("duty: read the swaps: %w", err)
	}
	out := []Swap{}
	var wrong error
	for _, r := range rows {
		w, err := r.swap()
		wrong = errors.Join(wrong, err)
		out = append(out, w)
	}
	return out, wrong
}

// orNone keeps IN () from being empty.
func orNone(ids []string) []string {
	if len(ids) == 0 {
		return []string{""}
	}
	return ids
}

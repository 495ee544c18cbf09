package duty

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/ticketing"
)

// Note is something that whoever comes next has to know, until it is done.
type Note struct {
	ID       string     `json:"id" bun:"id,pk"`
	Team     string     `json:"team" bun:"team"`
	Text     string     `json:"text" bun:"text"`
	By       string     `json:"by" bun:"by"`
	At       time.Time  `json:"at" bun:"-"`
	ClosedBy string     `json:"closed_by,omitempty" bun:"closed_by"`
	ClosedAt *time.Time `json:"closed_at,omitempty" bun:"-"`
}

type noteRow struct {
	bun.BaseModel `bun:"table:duty_notes,alias:n"`
	Note
	AtMS     int64 `bun:"at"`
	ClosedMS int64 `bun:"closed_at"`
}

func (r *noteRow) note() Note {
	n := r.Note
	n.At = time.UnixMilli(r.AtMS).UTC()
	if r.ClosedMS > 0 {
		at := time.UnixMilli(r.ClosedMS).UTC()
		n.ClosedAt = &at
	}
	return n
}

// maxNote is how long what people write may be, in characters.
const maxNote = 10_000

func checkNote(what, text string, required bool) error {
	if required && strings.TrimSpace(text) == "" {
		return fmt.Errorf("%w: %s: it is empty", ErrInvalid, what)
	}
	if n := utf8.RuneCountInString(text); n > maxNote {
		return fmt.Errorf("%w: %s: %d characters, at most %d", ErrInvalid, what, n, maxNote)
	}
	return nil
}

// Notes lists the notes of a team that are open, and those closed since a time, for
// whom Team.Told says.
func (s *Store) Notes(ctx context.Context, by ticketing.Actor, team string, since time.Time) ([]Note, error) {
	if _, err := s.told(by, team); err != nil {
		return nil, err
	}
	return s.notes(ctx, team, since)
}

func (s *Store) notes(ctx context.Context, team string, since time.Time) ([]Note, error) {
	var rows []noteRow
	if err := s.db.NewSelect().Model(&rows).Where("team = ? AND (closed_at = 0 OR closed_at >= ?)", team, since.UnixMilli()).OrderExpr("at, id").Limit(2000).Scan(ctx); err != nil {
		return nil, fmt.Errorf("duty: read the notes of %s: %w", team, err)
	}
	out := []Note{}
	for i := range rows {
		out = append(out, rows[i].note())
	}
	return out, nil
}

// AddNote writes a note.
func (s *Store) AddNote(ctx context.Context, by ticketing.Actor, team, text string) (Note, error) {
	if _, err := s.Team(by, team); err != nil {
		return Note{}, err
	}
	if err := checkNote("text", text, true); err != nil {
		return Note{}, err
	}
	r := noteRow{Note: Note{ID: newID(), Team: team, Text: text, By: by.Name}, AtMS: s.now().UnixMilli()}
	if _, err := s.db.NewInsert().Model(&r).Returning("NULL").Exec(ctx); err != nil {
		return Note{}, fmt.Errorf("duty: write a note: %w", err)
	}
	return r.note(), nil
}

// CloseNote says that a note is done.
func (s *Store) CloseNote(ctx context.Context, by ticketing.Actor, id string) (Note, error) {
	var rows []noteRow
	if err := s.db.NewSelect().Model(&rows).Where("id = ?", id).Scan(ctx); err != nil {
		return Note{}, fmt.Errorf("duty: read the note %s: %w", id, err)
	}
	if len(rows) == 0 {
		return Note{}, fmt.Errorf("%w: there is no note %.40q", ErrNotFound, id)
	}
	if _, err := s.told(by, rows[0].Team); err != nil {
		return Note{}, fmt.Errorf("%w: there is no note %.40q", ErrNotFound, id)
	}
	r := rows[0]
	r.ClosedBy, r.ClosedMS = by.Name, s.now().UnixMilli()
	res, err := s.db.NewUpdate().Model(&r).Column("closed_by", "closed_at").WherePK().Where("closed_at = 0").Exec(ctx)
	if err != nil {
		return Note{}, fmt.Errorf("duty: close the note %s: %w", id, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return Note{}, fmt.Errorf("%w: %s closed the note already", ErrConflict, rows[0].ClosedBy)
	}
	return r.note(), nil
}

// Handover is what one shift hands to the next, signed by both.
type Handover struct {
	ID         string     `json:"id"`
	SignedAt   *time.Time `json:"signed_at,omitempty" doc:"When the outgoing signed it; absent from a draft"`
	AcceptedAt *time.Time `json:"accepted_at,omitempty" doc:"When the incoming signed it"`
	Remark     string     `json:"remark,omitempty" doc:"Of the incoming"`
	Digest     string     `json:"digest,omitempty" doc:"SHA-256 of what both signed, hex"`
	Record
}

// Record is the part of a hand-over that both sign: it is never changed.
type Record struct {
	Team     string            `json:"team"`
	Name     Text              `json:"name" doc:"Of the team, as it was"`
	Line     string            `json:"line"`
	From     time.Time         `json:"from" doc:"When the shift began"`
	To       time.Time         `json:"to"`
	Outgoing string            `json:"outgoing"`
	Incoming string            `json:"incoming"`
	Text     string            `json:"text"`
	Opened   []ticketing.Brief `json:"opened" nullable:"false" doc:"Incidents that opened in the shift"`
	Closed   []ticketing.Brief `json:"closed" nullable:"false"`
	Open     []ticketing.Brief `json:"open" nullable:"false" doc:"Incidents that are open, with who has them"`
	Notes    []Note            `json:"notes" nullable:"false" doc:"Open notes"`
	Calls    int               `json:"calls" doc:"How often somebody was called in the shift"`
}

type handoverRow struct {
	bun.BaseModel `bun:"table:duty_handovers,alias:h"`
	ID            string `bun:"id,pk"`
	Team          string `bun:"team"`
	Outgoing      string `bun:"outgoing"`
	Incoming      string `bun:"incoming"`
	SignedAt      int64  `bun:"signed_at"`
	AcceptedAt    int64  `bun:"accepted_at"`
	Digest        string `bun:"digest"`
	Remark        string `bun:"remark"`
	Doc           string `bun:"doc"`
}

// Book is what a hand-over asks of ticketing.
type Book interface {
	TeamIncidents(ctx context.Context, within reach.Reach, team string, since time.Time) (opened, closed, open []ticketing.Brief, err error)
}

// maxShift is how far back a shift is looked for: a line on which the same
// person is on duty for ever has no beginning.
const maxShift = 31 * 24 * time.Hour

// Draft works out what the caller has to hand over now: his shift on the line,
// or the one that ended last, what happened in it and who comes next.
func (s *Store) Draft(ctx context.Context, by ticketing.Actor, book Book, team, line string) (Handover, error) {
	t, err := s.Team(by, team)
	if err != nil {
		return Handover{}, err
	}
	l, ok := t.Line(line)
	if !ok {
		return Handover{}, fmt.Errorf("%w: line: the team has no line %q", ErrInvalid, line)
	}
	now := s.now()
	list := s.Roster().Stretches(&t, l, now.Add(-maxShift), now.Add(maxShift))
	at := -1
	for i, st := range list {
		if slices.Contains(st.People, by.Name) && !st.From.After(now) {
			at = i
		}
	}
	if at < 0 {
		return Handover{}, fmt.Errorf("%w: %s was not on duty on this line within a month: there is nothing to hand over", ErrConflict, by.Name)
	}
	d := Handover{Record: Record{Team: t.ID, Name: t.Name, Line: line, From: list[at].From, To: list[at].To, Outgoing: by.Name}}
	for at > 0 && list[at].From.Equal(list[at-1].To) && slices.Contains(list[at-1].People, by.Name) {
		at-- // a swap or a colleague's change cuts a shift in parts
		d.From = list[at].From
	}
	for _, st := range list {
		if i := slices.IndexFunc(st.People, func(p string) bool { return p != by.Name }); i >= 0 && !st.From.Before(d.To) && d.Incoming == "" {
			d.Incoming = st.People[i]
		}
	}
	if d.Opened, d.Closed, d.Open, err = book.TeamIncidents(ctx, by.Reach, t.ID, d.From); err != nil {
		return Handover{}, err
	}
	if d.Notes, err = s.notes(ctx, t.ID, now.Add(time.Hour)); err != nil {
		return Handover{}, err
	}
	calls, err := s.db.NewSelect().Model((*callRow)(nil)).Where("team = ? AND at >= ?", t.ID, d.From.UnixMilli()).Count(ctx)
	if err != nil {
		return Handover{}, fmt.Errorf("duty: count the calls of %s: %w", t.ID, err)
	}
	d.Calls = int(calls)
	return d, nil
}

// Sign makes the caller's hand-over of what Draft says now, with his words, to
// somebody.
func (s *Store) Sign(ctx context.Context, by ticketing.Actor, book Book, team, line, incoming, text string) (Handover, error) {
	h, err := s.Draft(ctx, by, book, team, line)
	if err != nil {
		return h, err
	}
	if err := checkNote("text", text, false); err != nil {
		return h, err
	}
	if incoming == "" || incoming == by.Name || !s.deps.Known(incoming) {
		return h, fmt.Errorf("%w: incoming: %q: want another user's name", ErrInvalid, incoming)
	}
	h.Incoming, h.Text = incoming, text
	doc, err := json.Marshal(h.Record)
	if err != nil {
		return h, fmt.Errorf("duty: encode a hand-over: %w", err)
	}
	sum, now := sha256.Sum256(doc), s.now()
	r := handoverRow{ID: newID(), Team: team, Outgoing: by.Name, Incoming: incoming, SignedAt: now.UnixMilli(), Digest: hex.EncodeToString(sum[:]), Doc: string(doc)}
	if _, err := s.db.NewInsert().Model(&r).Returning("NULL").Exec(ctx); err != nil {
		return h, fmt.Errorf("duty: write a hand-over: %w", err)
	}
	return r.handover(by)
}

// Accept has the incoming sign. Only he may, once.
func (s *Store) Accept(ctx context.Context, by ticketing.Actor, id, remark string) (Handover, error) {
	if err := checkNote("remark", remark, false); err != nil {
		return Handover{}, err
	}
	var rows []handoverRow
	if err := s.db.NewSelect().Model(&rows).Where("id = ? AND (incoming = ? OR outgoing = ?)", id, by.Name, by.Name).Scan(ctx); err != nil {
		return Handover{}, fmt.Errorf("duty: read the hand-over %s: %w", id, err)
	}
	switch {
	case len(rows) == 0:
		return Handover{}, fmt.Errorf("%w: there is no hand-over %.40q to you", ErrNotFound, id)
	case rows[0].Incoming != by.Name:
		return Handover{}, fmt.Errorf("%w: %s has to accept it", ErrForbidden, rows[0].Incoming)
	}
	r := rows[0]
	r.AcceptedAt, r.Remark = s.now().UnixMilli(), remark
	res, err := s.db.NewUpdate().Model(&r).Column("accepted_at", "remark").WherePK().Where("accepted_at = 0").Exec(ctx)
	if err != nil {
		return Handover{}, fmt.Errorf("duty: accept the hand-over %s: %w", id, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return Handover{}, fmt.Errorf("%w: you accepted it already", ErrConflict)
	}
	return r.handover(by)
}

// Handovers lists the latest hand-overs of a team, for whom Team.Told says, or,
// where none is named, the actor's own.
func (s *Store) Handovers(ctx context.Context, by ticketing.Actor, team string) ([]Handover, error) {
	var rows []handoverRow
	q := s.db.NewSelect().Model(&rows).OrderExpr("signed_at DESC, id").Limit(200)
	if team == "" {
		q = q.Where("incoming = ? OR outgoing = ?", by.Name, by.Name)
	} else {
		if _, err := s.told(by, team); err != nil {
			return nil, err
		}
		q = q.Where("team = ?", team)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("duty: read the hand-overs: %w", err)
	}
	out := []Handover{}
	for i := range rows {
		h, err := rows[i].handover(by)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// handover reads a row for somebody: incidents beyond his reach are not told
// him of, though they are part of what was signed.
func (r *handoverRow) handover(by ticketing.Actor) (Handover, error) {
	h := Handover{ID: r.ID, Remark: r.Remark, Digest: r.Digest}
	if err := json.Unmarshal([]byte(r.Doc), &h.Record); err != nil {
		return h, fmt.Errorf("duty: read the hand-over %s: %w", r.ID, err)
	}
	signed := time.UnixMilli(r.SignedAt).UTC()
	h.SignedAt = &signed
	if r.AcceptedAt > 0 {
		at := time.UnixMilli(r.AcceptedAt).UTC()
		h.AcceptedAt = &at
	}
	for _, list := range []*[]ticketing.Brief{&h.Opened, &h.Closed, &h.Open} {
		*list = slices.DeleteFunc(orEmpty(*list), func(b ticketing.Brief) bool { return !by.Reach.Match(b.Facts) })
	}
	return h, nil
}

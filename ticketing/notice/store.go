package notice

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/ticketing/transition"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Deps is what the room needs.
type Deps struct {
	// May refuses whoever acts in ctx a move, Move says whether it has to be made
	// by another person than the one before. Required.
	May  func(ctx context.Context, from, to string) error
	Move func(from, to string) (transition.Move, bool)
	// Tell notifies the contact points of a tenant within the transaction that
	// publishes a notice; only "" are those that are told of everything. It
	// returns how many are told. Optional.
	Tell func(ctx context.Context, tx bun.Tx, n *Notice, tenant, only string) (int, error)
	// Told has what Tell wrote be sent at once. Optional.
	Told func()
	// Belongs tells to which unit and industry a tenant belongs; the zero value
	// where that is not known. Optional.
	Belongs func(tenant string) (unit, industry RankedGroup)
	Clock   func() time.Time // default time.Now
}

// Store keeps notices. It is safe for concurrent use.
type Store struct {
	db   *state.DB
	deps Deps
}

// Open brings the tables up to date.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Store, error) {
	if deps.May == nil || deps.Move == nil {
		return nil, errors.New("notice: open: Deps.May or Deps.Move is nil")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Belongs == nil {
		deps.Belongs = func(string) (unit, industry RankedGroup) { return unit, industry }
	}
	return &Store{db, deps}, db.Migrate(ctx, "notice", migrations)
}

func (s *Store) now() int64 { return s.deps.Clock().UnixMilli() }

// Notice is a notice as it is kept.
type Notice struct {
	ID    string `json:"id"`
	State string `json:"state" enum:"draft,review,approved,published,closed"`
	Content
	Revision    int64       `json:"revision"`
	Origin      string      `json:"origin,omitempty" doc:"Id of the disposal rule that drafted it"`
	MadeBy      string      `json:"made_by"`
	MadeAt      int64       `json:"made_at" doc:"Unix milliseconds"`
	MovedBy     string      `json:"moved_by" doc:"Who brought it into its state"`
	MovedAt     int64       `json:"moved_at" doc:"Unix milliseconds"`
	PublishedAt int64       `json:"published_at,omitempty" doc:"Unix milliseconds"`
	DeletedAt   int64       `json:"deleted_at,omitempty" doc:"Unix milliseconds"`
	DeletedBy   string      `json:"deleted_by,omitempty"`
	Recipients  []Recipient `json:"recipients" nullable:"false" doc:"Those within the caller's reach"`
	Read        bool        `json:"read" doc:"The caller has read it"`
	Favourite   bool        `json:"favourite" doc:"The caller keeps it in view"`
}

// Recipient is a tenant that a notice is for.
type Recipient struct {
	bun.BaseModel `bun:"table:notice_recipients,alias:r" json:"-"`
	Notice        string `bun:"notice,pk" json:"-"`
	Tenant        string `bun:"tenant,pk" json:"tenant"`
	ReadAt        int64  `bun:"read_at" json:"read_at,omitempty" doc:"When the first of it read the notice, Unix milliseconds"`
	ReadBy        string `bun:"read_by" json:"read_by,omitempty"`
	RepliedAt     int64  `bun:"replied_at" json:"replied_at,omitempty" doc:"Unix milliseconds"`
	RepliedBy     string `bun:"replied_by" json:"replied_by,omitempty"`
	Reply         string `bun:"reply" json:"reply,omitempty"`
}

// Step is one thing that happened to a notice.
type Step struct {
	bun.BaseModel `bun:"table:notice_history" json:"-"`
	Seq           int64  `bun:"seq,pk,autoincrement" json:"-"`
	Notice        string `bun:"notice" json:"-"`
	At            int64  `bun:"at" json:"at" doc:"Unix milliseconds"`
	Actor         string `bun:"actor" json:"actor"`
	Action        string `bun:"action" json:"action" doc:"made, written, draft, review, approved, published, closed, deleted, restored, read, replied"`
	Tenant        string `bun:"tenant" json:"tenant,omitempty"`
	Comment       string `bun:"comment" json:"comment,omitempty"`
}

type row struct {
	bun.BaseModel `bun:"table:notice_notices,alias:n"`
	ID            string `bun:"id,pk"`
	Kind          string `bun:"kind"`
	State         string `bun:"state"`
	Name          string `bun:"name"`
	Level         string `bun:"level"`
	Region        string `bun:"region"`
	Due           int64  `bun:"due"`
	Doc           string `bun:"doc"`
	Origin        string `bun:"origin"`
	Revision      int64  `bun:"revision"`
	MadeBy        string `bun:"made_by"`
	MadeAt        int64  `bun:"made_at"`
	MovedBy       string `bun:"moved_by"`
	MovedAt       int64  `bun:"moved_at"`
	PublishedAt   int64  `bun:"published_at"`
	DeletedAt     int64  `bun:"deleted_at"`
	DeletedBy     string `bun:"deleted_by"`
}

func (r *row) put(c *Content) error {
	doc, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("pack a notice: %w", err)
	}
	r.Kind, r.Name, r.Level, r.Region, r.Due, r.Doc = c.Kind, c.Name, c.Level, c.Region, c.Due, string(doc)
	return nil
}

func (r *row) notice() (n Notice, err error) {
	rule, _, _ := strings.Cut(r.Origin, "\x00")
	n = Notice{ID: r.ID, State: r.State, Revision: r.Revision, Origin: rule, MadeBy: r.MadeBy, MadeAt: r.MadeAt, MovedBy: r.MovedBy, MovedAt: r.MovedAt, PublishedAt: r.PublishedAt,
		DeletedAt: r.DeletedAt, DeletedBy: r.DeletedBy, Recipients: []Recipient{}}
	if err := json.Unmarshal([]byte(r.Doc), &n.Content); err != nil {
		return n, fmt.Errorf("notice: read %s: %w", r.ID, err)
	}
	return n, nil
}

// Who acts on notices, or reads them.
type Who struct {
	Name  string
	Reach reach.Reach
}

// Writes tells whether somebody may see and write a notice before it is
// published: who sees all of those it is for. One for nobody yet is its
// author's, and of those who see everything.
func (w Who) Writes(n *Notice) bool {
	if len(n.Tenants) == 0 {
		return n.MadeBy == w.Name || w.Reach.Everything()
	}
	for _, t := range n.Tenants {
		if !w.Reach.CoversWhole(t) {
			return false
		}
	}
	return true
}

// sees tells whether somebody may read a notice.
func (w Who) sees(n *Notice) bool {
	if w.Writes(n) {
		return true
	}
	return (n.State == Published || n.State == Closed && n.PublishedAt > 0) && n.DeletedAt == 0 && slices.ContainsFunc(n.Tenants, w.Reach.CoversTenant)
}

// shown leaves out of a notice what is not for the reader.
func (w Who) shown(n *Notice) {
	if w.Writes(n) {
		return
	}
	n.Tenants = slices.DeleteFunc(slices.Clone(n.Tenants), func(t string) bool { return !w.Reach.CoversTenant(t) })
	n.Recipients = slices.DeleteFunc(n.Recipients, func(r Recipient) bool { return !w.Reach.CoversTenant(r.Tenant) })
	n.Receivers = []string{}
}

func (s *Store) step(ctx context.Context, tx bun.Tx, id, actor, action, tenant, comment string) error {
	_, err := tx.NewInsert().Model(&Step{Notice: id, At: s.now(), Actor: actor, Action: action, Tenant: tenant, Comment: comment}).Returning("NULL").Exec(ctx)
	return err
}

// Make drafts a notice. origin is the rule and the thing that a rule drafts it
// of, which drafts it once; "" where a person does.
func (s *Store) Make(ctx context.Context, by Who, origin string, c Content) (Notice, error) {
	if err := c.check(); err != nil {
		return Notice{}, err
	}
	for _, t := range c.Tenants {
		if !by.Reach.CoversWhole(t) {
			return Notice{}, fmt.Errorf("%w: tenants: you do not see the whole of %q", ErrInvalid, t)
		}
	}
	var id [10]byte
	_, _ = rand.Read(id[:]) // it never fails
	now := s.now()
	r := row{ID: "nt" + hex.EncodeToString(id[:]), State: Draft, Origin: origin, Revision: 1, MadeBy: by.Name, MadeAt: now, MovedBy: by.Name, MovedAt: now}
	if err := r.put(&c); err != nil {
		return Notice{}, err
	}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if origin != "" {
			if there, err := tx.NewSelect().Model((*row)(nil)).Where("origin = ?", origin).Exists(ctx); err != nil || there {
				return errors.Join(err, fmt.Errorf("%w: it is drafted already", ErrConflict))
			}
		}
		if _, err := tx.NewInsert().Model(&r).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		return s.step(ctx, tx, r.ID, by.Name, "made", "", "")
	})
	if err != nil {
		return Notice{}, fmt.Errorf("notice: draft %q: %w", c.Name, err)
	}
	return r.notice()
}

// change lets f change a notice that somebody may write.
func (s *Store) change(ctx context.Context, by Who, id string, f func(ctx context.Context, tx bun.Tx, r *row, n *Notice) error) (Notice, error) {
	var out Notice
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		r := &row{}
		err := tx.NewSelect().Model(r).Where("id = ?", id).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: there is no notice %q", ErrNotFound, id)
		}
		if err != nil {
			return err
		}
		n, err := r.notice()
		if err != nil {
			return err
		}
		if !by.Writes(&n) {
			return fmt.Errorf("%w: there is no notice %q", ErrNotFound, id)
		}
		if err := f(ctx, tx, r, &n); err != nil {
			return err
		}
		r.Revision++
		if _, err := tx.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
			return err
		}
		out, err = r.notice()
		return err
	})
	if err != nil {
		return Notice{}, fmt.Errorf("notice: change %s: %w", id, err)
	}
	if s.deps.Told != nil {
		s.deps.Told()
	}
	return out, nil
}

// Write changes what a draft says. revision is that of what was read, 0 for
// whatever is there.
func (s *Store) Write(ctx context.Context, by Who, id string, revision int64, c Content) (Notice, error) {
	if err := c.check(); err != nil {
		return Notice{}, err
	}
	return s.change(ctx, by, id, func(ctx context.Context, tx bun.Tx, r *row, n *Notice) error {
		switch {
		case r.DeletedAt != 0:
			return fmt.Errorf("%w: the notice was deleted by %s: restore it first", ErrConflict, r.DeletedBy)
		case r.State != Draft:
			return fmt.Errorf("%w: the notice is %s: only a draft can be written; take it back to draft first", ErrConflict, r.State)
		case revision != 0 && revision != r.Revision:
			return fmt.Errorf("%w: somebody has written the notice since (revision %d): read it again", ErrConflict, r.Revision)
		}
		for _, t := range c.Tenants {
			if !by.Reach.CoversWhole(t) {
				return fmt.Errorf("%w: tenants: you do not see the whole of %q", ErrInvalid, t)
			}
		}
		if err := s.step(ctx, tx, id, by.Name, "written", "", ""); err != nil {
			return err
		}
		return r.put(&c)
	})
}

// Move brings a notice into another state. Publishing makes its recipients and
// tells their contact points.
func (s *Store) Move(ctx context.Context, by Who, id, to, comment string) (Notice, error) {
	return s.change(ctx, by, id, func(ctx context.Context, tx bun.Tx, r *row, n *Notice) error {
		if r.DeletedAt != 0 {
			return fmt.Errorf("%w: the notice was deleted by %s: restore it first", ErrConflict, r.DeletedBy)
		}
		if r.State == to {
			return fmt.Errorf("%w: the notice is %s already, by %s", ErrConflict, to, r.MovedBy)
		}
		if err := s.deps.May(ctx, r.State, to); err != nil {
			return err
		}
		if m, ok := s.deps.Move(r.State, to); ok && m.Apart && r.MovedBy == by.Name {
			return fmt.Errorf("%w: you brought the notice to %s yourself: another person has to move it to %s", ErrConflict, r.State, to)
		}
		// Whom no table shuts out passes over no approval: where the table has it
		// given by another person, no way leads round it.
		unapproved := r.State == Draft || r.State == Review || r.State == Closed && r.PublishedAt == 0
		if m, ok := s.deps.Move(Review, Approved); ok && m.Apart && unapproved && (to == Approved || to == Published) && (r.State != Review || r.MovedBy == by.Name) {
			return fmt.Errorf("%w: another person than who submits the notice has to approve it: bring it to %s first", ErrConflict, Review)
		}
		if to != Draft && len(n.Tenants) == 0 {
			return fmt.Errorf("%w: the notice is for nobody: name tenants first", ErrConflict)
		}
		before := r.State
		r.State, r.MovedBy, r.MovedAt = to, by.Name, s.now()
		if err := s.step(ctx, tx, id, by.Name, to, "", comment); err != nil {
			return err
		}
		if to != Published || before == Closed {
			return nil
		}
		r.PublishedAt = r.MovedAt
		return s.publish(ctx, tx, n)
	})
}

func (s *Store) publish(ctx context.Context, tx bun.Tx, n *Notice) error {
	for _, t := range n.Tenants {
		if _, err := tx.NewInsert().Model(&Recipient{Notice: n.ID, Tenant: t}).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		if s.deps.Tell == nil {
			continue
		}
		for _, only := range append([]string{""}, n.Receivers...) {
			if _, err := s.deps.Tell(ctx, tx, n, t, only); err != nil {
				return err
			}
		}
	}
	return nil
}

// Delete takes a draft or a closed notice away; it can be restored.
func (s *Store) Delete(ctx context.Context, by Who, id string) (Notice, error) {
	return s.change(ctx, by, id, func(ctx context.Context, tx bun.Tx, r *row, _ *Notice) error {
		if r.DeletedAt != 0 || r.State != Draft && r.State != Closed {
			return fmt.Errorf("%w: the notice is %s: only a draft or a closed one can be deleted, once", ErrConflict, r.State)
		}
		r.DeletedAt, r.DeletedBy = s.now(), by.Name
		return s.step(ctx, tx, id, by.Name, "deleted", "", "")
	})
}

// Restore brings a deleted notice back as it was.
func (s *Store) Restore(ctx context.Context, by Who, id string) (Notice, error) {
	return s.change(ctx, by, id, func(ctx context.Context, tx bun.Tx, r *row, _ *Notice) error {
		if r.DeletedAt == 0 {
			return fmt.Errorf("%w: the notice is not deleted", ErrConflict)
		}
		r.DeletedAt, r.DeletedBy = 0, ""
		return s.step(ctx, tx, id, by.Name, "restored", "", "")
	})
}

// Get returns a notice with what happened to it.
func (s *Store) Get(ctx context.Context, by Who, id string) (Notice, []Step, error) {
	list, err := s.read(ctx, by, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("n.id = ?", id) })
	if err != nil {
		return Notice{}, nil, err
	}
	if len(list) == 0 {
		return Notice{}, nil, fmt.Errorf("%w: there is no notice %q", ErrNotFound, id)
	}
	steps := []Step{}
	if err := s.db.NewSelect().Model(&steps).Where("notice = ?", id).OrderExpr("seq").Scan(ctx); err != nil {
		return Notice{}, nil, fmt.Errorf("notice: read what happened to %s: %w", id, err)
	}
	if n := &list[0]; !by.Writes(n) {
		steps = slices.DeleteFunc(steps, func(st Step) bool {
			return st.Action != Published && st.Action != Closed && (st.Tenant == "" || !by.Reach.CoversTenant(st.Tenant))
		})
	}
	by.shown(&list[0])
	return list[0], steps, nil
}

// read reads the notices that somebody sees, newest first.
func (s *Store) read(ctx context.Context, by Who, narrow func(q *bun.SelectQuery) *bun.SelectQuery) ([]Notice, error) {
	var rows []row
	if err := narrow(s.db.NewSelect().Model(&rows)).OrderExpr("made_at DESC, id DESC").Limit(maxRead).Scan(ctx); err != nil {
		return nil, fmt.Errorf("notice: list: %w", err)
	}
	out, at, ids := []Notice{}, map[string]int{}, []string{}
	for i := range rows {
		n, err := rows[i].notice()
		if err != nil {
			return nil, err
		}
		if by.sees(&n) {
			at[n.ID] = len(out)
			ids, out = append(ids, n.ID), append(out, n)
		}
	}
	for part := range slices.Chunk(ids, 500) {
		var to []Recipient
		if err := s.db.NewSelect().Model(&to).Where("notice IN (?)", bun.In(part)).OrderExpr("notice, tenant").Scan(ctx); err != nil {
			return nil, fmt.Errorf("notice: read recipients: %w", err)
		}
		for _, r := range to {
			n := &out[at[r.Notice]]
			n.Recipients = append(n.Recipients, r)
		}
		for table, mark := range map[string]func(n *Notice){"notice_reads": func(n *Notice) { n.Read = true }, "notice_favourites": func(n *Notice) { n.Favourite = true }} {
			var of []string
			if err := s.db.NewSelect().TableExpr(table).Column("notice").Where("notice IN (?) AND person = ?", bun.In(part), by.Name).Scan(ctx, &of); err != nil {
				return nil, fmt.Errorf("notice: read %s: %w", table, err)
			}
			for _, id := range of {
				mark(&out[at[id]])
			}
		}
	}
	return out, nil
}

// maxRead bounds what lists and boards look at.
const maxRead = 20_000

// Filter asks for notices.
type Filter struct {
	Kind    string
	States  []string
	Level   string
	Region  string
	Tag     string
	Q       string    // part of the name
	Unread  bool      // only those that the reader has not read
	Kept    bool      // only those that the reader keeps in view
	Deleted bool      // those that were deleted, instead
	From    time.Time // made at or after
	To      time.Time // made before
}

func (f Filter) narrow(q *bun.SelectQuery) *bun.SelectQuery {
	if f.Deleted {
		q = q.Where("deleted_at > 0")
	} else {
		q = q.Where("deleted_at = 0")
	}
	for _, is := range [][2]string{{"kind", f.Kind}, {"level", f.Level}, {"region", f.Region}} {
		if is[1] != "" {
			q = q.Where("? = ?", bun.Ident(is[0]), is[1])
		}
	}
	if len(f.States) > 0 {
		q = q.Where("state IN (?)", bun.In(f.States))
	}
	if f.Q != "" {
		q = q.Where(`lower(name) LIKE ? ESCAPE '\'`, "%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(f.Q))+"%")
	}
	if !f.From.IsZero() {
		q = q.Where("made_at >= ?", f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		q = q.Where("made_at < ?", f.To.UnixMilli())
	}
	return q
}

// leavesOut tells whether a filter leaves out a notice by what only the reader or
// its document knows.
func (f Filter) leavesOut(n *Notice) bool {
	return f.Unread && n.Read || f.Kept && !n.Favourite || f.Tag != "" && !slices.Contains(n.Tags, f.Tag)
}

// List lists the notices that somebody sees, newest first, without their texts.
func (s *Store) List(ctx context.Context, by Who, f Filter) ([]Notice, error) {
	list, err := s.read(ctx, by, f.narrow)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(n Notice) bool { return f.leavesOut(&n) })
	for i := range list {
		list[i].Body = nil
		by.shown(&list[i])
	}
	return list, nil
}

// maxFavourites bounds what one person keeps in view.
const maxFavourites = 1000

// Keep puts a notice that somebody sees among those that he keeps in view, or
// takes it from there. It is nobody else's business: its history says nothing.
func (s *Store) Keep(ctx context.Context, by Who, id string, keep bool) (Notice, error) {
	n, _, err := s.Get(ctx, by, id)
	if err != nil {
		return n, err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if !keep {
			_, err := tx.ExecContext(ctx, "DELETE FROM notice_favourites WHERE person = ? AND notice = ?", by.Name, id)
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO notice_favourites (person, notice, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", by.Name, id, s.now()); err != nil {
			return err
		}
		kept, err := tx.NewSelect().TableExpr("notice_favourites").Where("person = ?", by.Name).Count(ctx)
		if err == nil && kept > maxFavourites {
			err = fmt.Errorf("%w: you keep %d notices in view, the most there may be", ErrConflict, maxFavourites)
		}
		return err
	})
	if err != nil {
		return n, fmt.Errorf("notice: keep %s in view: %w", id, err)
	}
	n.Favourite = keep
	return n, nil
}

// Reading notes that somebody has read a published notice: the receipt of each
// of his tenants.
func (s *Store) Reading(ctx context.Context, by Who, id string) (Notice, error) {
	return s.answer(ctx, by, id, "read", "", func(r *Recipient) bool {
		if r.ReadAt != 0 {
			return false
		}
		r.ReadAt, r.ReadBy = s.now(), by.Name
		return true
	})
}

// Reply answers a circular for the tenants of somebody that have not answered.
func (s *Store) Reply(ctx context.Context, by Who, id, text string) (Notice, error) {
	if n := utf8Len(text); n == 0 || n > 10_000 {
		return Notice{}, fmt.Errorf("%w: text: %d characters, want 1 to 10000", ErrInvalid, n)
	}
	done := false
	n, err := s.answer(ctx, by, id, "replied", text, func(r *Recipient) bool {
		if r.RepliedAt != 0 {
			return false
		}
		if r.ReadAt == 0 {
			r.ReadAt, r.ReadBy = s.now(), by.Name
		}
		r.RepliedAt, r.RepliedBy, r.Reply = s.now(), by.Name, text
		done = true
		return true
	})
	if err == nil && !done {
		return n, fmt.Errorf("%w: your tenants have answered already", ErrConflict)
	}
	return n, err
}

func utf8Len(s string) int { return len([]rune(strings.TrimSpace(s))) }

// answer lets f change the recipients of a published notice that are somebody's
// own: within his reach, and not because he sees everything.
func (s *Store) answer(ctx context.Context, by Who, id, action, comment string, f func(r *Recipient) bool) (Notice, error) {
	n, _, err := s.Get(ctx, by, id)
	if err != nil {
		return n, err
	}
	if n.State != Published {
		return n, fmt.Errorf("%w: the notice is %s, not published", ErrConflict, n.State)
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO notice_reads (notice, person, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", id, by.Name, s.now()); err != nil {
			return err
		}
		var to []Recipient
		if err := tx.NewSelect().Model(&to).Where("notice = ?", id).OrderExpr("tenant").Scan(ctx); err != nil {
			return err
		}
		for i := range to {
			r := &to[i]
			if by.Reach.Everything() || !by.Reach.CoversTenant(r.Tenant) || !f(r) {
				continue
			}
			if _, err := tx.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
				return err
			}
			if err := s.step(ctx, tx, id, by.Name, action, r.Tenant, comment); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("notice: %s %s: %w", action, id, err)
	}
	n, _, err = s.Get(ctx, by, id)
	return n, err
}

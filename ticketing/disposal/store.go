package disposal

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/ticketing/workorder"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Raised is an alert that was raised.
type Raised struct {
	ID string
	At int64 // Unix milliseconds
}

// Tickets is what the room asks of alerts and incidents.
type Tickets interface {
	Subject(ctx context.Context, id string) (workorder.Subject, error)
	Happened(ctx context.Context, after int64, limit int) ([]workorder.Change, error)
	LastHappened(ctx context.Context) (int64, error)
	// RaisedAfter reads the alerts in the order in which they were raised, after
	// the one of that time and id.
	RaisedAfter(ctx context.Context, at int64, id string, limit int) ([]Raised, error)
	// Assign gives an alert or incident to somebody in the name of an actor.
	Assign(ctx context.Context, id, actor, user string) error
	// Close closes an alert or incident that is not closed, in the name of an
	// actor.
	Close(ctx context.Context, id, actor, resolution, comment string) error
	// Tell notifies a contact point of an alert or incident. The same unique is
	// told once.
	Tell(ctx context.Context, receiver string, sub workorder.Subject, kind, unique, why string) error
}

// Deps is what the room needs.
type Deps struct {
	Tickets Tickets // required
	// WorkOrder makes a work order; an order that there is already is no error.
	WorkOrder func(ctx context.Context, connection, object, rule string) error
	// Notice drafts an early warning; one that there is already is no error.
	Notice func(ctx context.Context, sub workorder.Subject, rule string) error
	// Owner finds the user that an owner of the CMDB means, OnDuty who is on duty
	// in a team; "" where there is nobody.
	Owner  func(ctx context.Context, owner string) string
	OnDuty func(team string, at time.Time) string
	Log    *slog.Logger
	Clock  func() time.Time
}

// Service keeps rules and what they did. It is safe for concurrent use.
type Service struct {
	db   *state.DB
	deps Deps
}

// Open brings the tables up to date. Run must run.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if deps.Tickets == nil {
		return nil, errors.New("disposal: open: Deps.Tickets is nil")
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if err := db.Migrate(ctx, "disposal", migrations); err != nil {
		return nil, err
	}
	s := &Service{db: db, deps: deps}
	return s, s.begin(ctx)
}

func (s *Service) now() time.Time { return s.deps.Clock().UTC().Truncate(time.Millisecond) }

type ruleRow struct {
	bun.BaseModel `bun:"table:disposal_rules,alias:r"`
	ID            string `bun:"id,pk"`
	Name          string `bun:"name"`
	Position      int    `bun:"position"`
	Doc           string `bun:"doc"`
	Revision      int64  `bun:"revision"`
	UpdatedAt     int64  `bun:"updated_at"`
	UpdatedBy     string `bun:"updated_by"`
	DeletedAt     int64  `bun:"deleted_at"`
	DeletedBy     string `bun:"deleted_by"`
}

func (r *ruleRow) rule() (out Rule, err error) {
	out = Rule{ID: r.ID, Position: r.Position, Revision: r.Revision, UpdatedAt: r.UpdatedAt, UpdatedBy: r.UpdatedBy, DeletedAt: r.DeletedAt, DeletedBy: r.DeletedBy}
	if err = json.Unmarshal([]byte(r.Doc), &out.Content); err == nil {
		out.test, err = out.compile()
	}
	if err != nil {
		return out, fmt.Errorf("disposal: read rule %s: %w", r.ID, err)
	}
	return out, nil
}

const maxRules = 500

// Rules lists rules in their order, with how often each matched; with deleted,
// those too that were.
func (s *Service) Rules(ctx context.Context, deleted bool) ([]Rule, error) {
	out, err := s.list(ctx, deleted)
	if err != nil {
		return nil, err
	}
	var counts []struct {
		Rule string `bun:"rule"`
		N    int    `bun:"n"`
		Last int64  `bun:"last"`
	}
	if err := s.db.NewSelect().TableExpr("disposal_records").ColumnExpr("rule, count(*) AS n, max(at) AS last").GroupExpr("rule").Scan(ctx, &counts); err != nil {
		return nil, fmt.Errorf("disposal: count what rules did: %w", err)
	}
	for _, n := range counts {
		if i := slices.IndexFunc(out, func(r Rule) bool { return r.ID == n.Rule }); i >= 0 {
			out[i].Matched, out[i].LastAt = n.N, n.Last
		}
	}
	return out, nil
}

func (s *Service) list(ctx context.Context, deleted bool) ([]Rule, error) {
	var rows []ruleRow
	q := s.db.NewSelect().Model(&rows).OrderExpr("position, id")
	if !deleted {
		q = q.Where("deleted_at = 0")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("disposal: list rules: %w", err)
	}
	out := make([]Rule, 0, len(rows))
	for i := range rows {
		r, err := rows[i].rule()
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Rule returns one rule.
func (s *Service) Rule(ctx context.Context, id string) (Rule, error) {
	r, err := s.row(ctx, s.db, id)
	if err != nil {
		return Rule{}, err
	}
	return r.rule()
}

func (s *Service) row(ctx context.Context, db bun.IDB, id string) (r ruleRow, err error) {
	err = db.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("%w: there is no disposal rule %q", ErrNotFound, id)
	}
	if err != nil {
		return r, fmt.Errorf("disposal: read rule %q: %w", id, err)
	}
	return r, nil
}

// Add makes a rule, the last in the order.
func (s *Service) Add(ctx context.Context, by string, c Content) (Rule, error) {
	if _, err := c.compile(); err != nil {
		return Rule{}, err
	}
	var id [10]byte
	_, _ = rand.Read(id[:]) // it never fails
	doc, err := json.Marshal(c)
	if err != nil {
		return Rule{}, fmt.Errorf("disposal: pack rule: %w", err)
	}
	r := ruleRow{ID: "dr" + hex.EncodeToString(id[:]), Name: c.Name, Doc: string(doc), Revision: 1, UpdatedAt: s.now().UnixMilli(), UpdatedBy: by}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var last struct{ N, Position int }
		if err := tx.NewSelect().Model((*ruleRow)(nil)).ColumnExpr("count(*) AS n, coalesce(max(position), 0) AS position").Where("deleted_at = 0").Scan(ctx, &last); err != nil {
			return err
		}
		if last.N >= maxRules {
			return fmt.Errorf("%w: there are %d rules, at most %d", ErrConflict, last.N, maxRules)
		}
		r.Position = last.Position + 1
		_, err := tx.NewInsert().Model(&r).Returning("NULL").Exec(ctx)
		return err
	})
	if err != nil {
		return Rule{}, fmt.Errorf("disposal: add rule %q: %w", c.Name, err)
	}
	return r.rule()
}

func (s *Service) change(ctx context.Context, id string, f func(r *ruleRow) error) (Rule, error) {
	var r ruleRow
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		if r, err = s.row(ctx, tx, id); err != nil {
			return err
		}
		if err := f(&r); err != nil {
			return err
		}
		r.Revision++
		_, err = tx.NewUpdate().Model(&r).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return Rule{}, fmt.Errorf("disposal: change rule %q: %w", id, err)
	}
	return r.rule()
}

// Change replaces what people write of a rule. position 0 leaves it where it
// is; revision is that of what was read, 0 for whatever is there.
func (s *Service) Change(ctx context.Context, by, id string, revision int64, position int, c Content) (Rule, error) {
	if _, err := c.compile(); err != nil {
		return Rule{}, err
	}
	return s.change(ctx, id, func(r *ruleRow) error {
		switch {
		case r.DeletedAt != 0:
			return fmt.Errorf("%w: the rule was deleted by %s: restore it first", ErrConflict, r.DeletedBy)
		case revision != 0 && revision != r.Revision:
			return fmt.Errorf("%w: %s has changed the rule since (revision %d): read it again", ErrConflict, r.UpdatedBy, r.Revision)
		}
		doc, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("pack rule: %w", err)
		}
		r.Name, r.Doc, r.UpdatedAt, r.UpdatedBy = c.Name, string(doc), s.now().UnixMilli(), by
		if position > 0 {
			r.Position = position
		}
		return nil
	})
}

// Delete takes a rule away; it can be restored.
func (s *Service) Delete(ctx context.Context, by, id string) (Rule, error) {
	return s.change(ctx, id, func(r *ruleRow) error {
		if r.DeletedAt != 0 {
			return fmt.Errorf("%w: %s has deleted the rule already", ErrConflict, r.DeletedBy)
		}
		r.DeletedAt, r.DeletedBy = s.now().UnixMilli(), by
		return nil
	})
}

// Restore brings a deleted rule back.
func (s *Service) Restore(ctx context.Context, by, id string) (Rule, error) {
	return s.change(ctx, id, func(r *ruleRow) error {
		if r.DeletedAt == 0 {
			return fmt.Errorf("%w: the rule is not deleted", ErrConflict)
		}
		r.DeletedAt, r.DeletedBy, r.UpdatedAt, r.UpdatedBy = 0, "", s.now().UnixMilli(), by
		return nil
	})
}

// Matches tells which of some things a rule would match at a time, for a
// preview.
func Matches(c Content, subjects []workorder.Subject, at func(sub *workorder.Subject) time.Time) ([]workorder.Subject, error) {
	t, err := c.compile()
	if err != nil {
		return nil, err
	}
	out := []workorder.Subject{}
	for i := range subjects {
		if c.matches(t, &subjects[i], at(&subjects[i])) {
			out = append(out, subjects[i])
		}
	}
	return out, nil
}

// Outcome is what came of one action of a rule.
type Outcome struct {
	Action string `json:"action" enum:"assign,work_order,notice,tell,escalate,recovery,close"`
	To     string `json:"to,omitempty"`
	Error  string `json:"error,omitempty" doc:"Why it could not be done"`
	At     int64  `json:"at" doc:"Unix milliseconds"`
}

// Record is what a rule did about a thing.
type Record struct {
	bun.BaseModel `bun:"table:disposal_records,alias:d" json:"-"`
	Seq           int64     `bun:"seq,pk,autoincrement" json:"seq"`
	Rule          string    `bun:"rule" json:"rule"`
	RuleName      string    `bun:"rule_name" json:"rule_name"`
	Object        string    `bun:"object" json:"object"`
	Title         string    `bun:"title" json:"title"`
	Tenant        string    `bun:"tenant" json:"tenant"`
	At            int64     `bun:"at" json:"at" doc:"Unix milliseconds"`
	Doc           string    `bun:"done" json:"-"`
	Done          []Outcome `bun:"-" json:"done" nullable:"false"`
	EscalateAt    int64     `bun:"escalate_at" json:"escalate_at,omitempty" doc:"When it goes on unless somebody acknowledges, Unix milliseconds"`
	ToldRecovery  bool      `bun:"told_recovery" json:"-"`
	reach.Kept    `json:"-"`
}

// RecordQuery asks for records.
type RecordQuery struct {
	Reach  reach.Reach // the zero value shows nothing
	Rule   string
	Object string
	Failed bool // only those of which something could not be done
	Limit  int  // 0 for 50, at most 1000
	Cursor string
}

// Records lists what rules did, the latest first: the page, how many there are
// in all, and the cursor of the next page or "".
func (s *Service) Records(ctx context.Context, q RecordQuery) (list []Record, total int, next string, err error) {
	list = []Record{}
	sel := q.Reach.Within(s.db.NewSelect().Model(&list), "d")
	if q.Rule != "" {
		sel = sel.Where("rule = ?", q.Rule)
	}
	if q.Object != "" {
		sel = sel.Where("object = ?", q.Object)
	}
	if q.Failed {
		sel = sel.Where(`instr(done, '"error":') > 0`)
	}
	n, err := sel.Count(ctx)
	if err != nil {
		return nil, 0, "", fmt.Errorf("disposal: count records: %w", err)
	}
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, 1000)
	if q.Cursor != "" {
		before, err := strconv.ParseInt(q.Cursor, 10, 64)
		if err != nil {
			return nil, 0, "", fmt.Errorf("%w: cursor: it is not one that this list gave", ErrInvalid)
		}
		sel = sel.Where("seq < ?", before)
	}
	if err := sel.OrderExpr("seq DESC").Limit(int64(q.Limit) + 1).Scan(ctx); err != nil {
		return nil, 0, "", fmt.Errorf("disposal: list records: %w", err)
	}
	if len(list) > q.Limit {
		list = slices.Delete(list, q.Limit, len(list))
		next = strconv.FormatInt(list[q.Limit-1].Seq, 10)
	}
	for i := range list {
		if err := json.Unmarshal([]byte(list[i].Doc), &list[i].Done); err != nil {
			return nil, 0, "", fmt.Errorf("disposal: read record %d: %w", list[i].Seq, err)
		}
	}
	return list, int(n), next, nil
}

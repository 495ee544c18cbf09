// Package approval keeps changes of protected items until somebody else says
// yes. Whoever wants such a change files a request, which holds what would
// change, item by item. A second person approves it, and the change is made as
// it was shown, or rejects it. Where an item was changed meanwhile the request
// is in conflict and nothing is made; a request that nobody decides expires.
package approval

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// The states of a request. Only a pending one can be decided.
const (
	Pending   = "pending"
	Approved  = "approved"
	Rejected  = "rejected"
	Withdrawn = "withdrawn" // by who filed it
	Conflict  = "conflict"  // approved, but an item had changed meanwhile
	Expired   = "expired"
)

var (
	// ErrNotFound says that there is no such request, or none within reach.
	ErrNotFound = errors.New("approval: no such change request")
	// ErrDecided says that a request is not pending any more.
	ErrDecided = errors.New("approval: the change request is decided")
	// ErrOwn says that somebody wanted to decide on his own request, or to
	// withdraw another's.
	ErrOwn = errors.New("approval: four eyes")
	// ErrInvalid says that a request cannot be filed as it is.
	ErrInvalid = errors.New("approval: invalid change request")
)

const maxComment = 1000 // characters

// Policy says what needs approval. It is a setting.
type Policy struct {
	Classes []string `json:"classes" doc:"Classes whose items, and those of classes that extend them, are changed by approval only"`
	Days    int      `json:"days" minimum:"1" maximum:"90" doc:"After so many days without a decision a request expires"`
}

// DefaultPolicy protects nothing.
var DefaultPolicy = Policy{Classes: []string{}, Days: 7}

// Check refuses a policy that makes no sense whatever the model.
func (p Policy) Check() error {
	if p.Days < 1 || p.Days > 90 {
		return fmt.Errorf("days: %d: want 1 to 90", p.Days)
	}
	seen := map[string]bool{}
	for _, c := range p.Classes {
		if c == "" || seen[c] {
			return fmt.Errorf("classes: %q is empty or there twice", c)
		}
		seen[c] = true
	}
	return nil
}

// Person is who files or decides.
type Person struct {
	ID   string // the same for all of a person's sessions and tokens
	Name string
}

// Request is one change request.
type Request struct {
	ID        int64           `json:"id"`
	State     string          `json:"state" enum:"pending,approved,rejected,withdrawn,conflict,expired"`
	Requester string          `json:"requester"`
	Mine      bool            `json:"mine" doc:"The caller filed it, and cannot decide on it"`
	Comment   string          `json:"comment" doc:"Why the change is wanted"`
	CreatedAt time.Time       `json:"created_at"`
	ExpiresAt time.Time       `json:"expires_at"`
	Decider   string          `json:"decider,omitempty"`
	DecidedAt *time.Time      `json:"decided_at,omitempty"`
	Decision  string          `json:"decision,omitempty" doc:"What the decider said, or what the conflict is"`
	Items     int             `json:"items"`
	Proposals []cmdb.Proposal `json:"proposals,omitempty" doc:"Of a single request: what would change"`
}

type row struct {
	bun.BaseModel `bun:"table:cmdb_requests,alias:q"`
	ID            int64  `bun:"id,pk,autoincrement"`
	State         string `bun:"state"`
	RequesterID   string `bun:"requester_id"`
	Requester     string `bun:"requester"`
	Comment       string `bun:"comment"`
	CreatedAt     int64  `bun:"created_at"`
	ExpiresAt     int64  `bun:"expires_at"`
	Decider       string `bun:"decider"`
	DecidedAt     int64  `bun:"decided_at"`
	Decision      string `bun:"decision"`
	Items         int    `bun:"items"`
	Proposals     string `bun:"proposals"` // JSON
}

// Items is what the room needs of the CMDB.
type Items interface {
	Apply(ctx context.Context, list []cmdb.Proposal, opts cmdb.ImportOptions) (cmdb.Report, error)
	InForce(ctx context.Context, list []cmdb.Proposal) (bool, error)
}

// Desk keeps the requests. It is safe for concurrent use.
type Desk struct {
	db    *cmdb.Database
	items Items
	now   func() time.Time
}

// Open brings the tables up to date. The CMDB's own must be there already.
func Open(ctx context.Context, db *cmdb.Database, items Items, now func() time.Time) (*Desk, error) {
	if err := db.Migrate(ctx, "cmdb_approval", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("approval: %w", err)
	}
	if now == nil {
		now = time.Now
	}
	return &Desk{db: db, items: items, now: now}, nil
}

func comment(text string, needed bool) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" && needed {
		return "", fmt.Errorf("%w: the comment is missing: say why", ErrInvalid)
	}
	if n := utf8.RuneCountInString(text); n > maxComment {
		return "", fmt.Errorf("%w: the comment has %d characters: want at most %d", ErrInvalid, n, maxComment)
	}
	return text, nil
}

// File files a request for some proposals, which expires after so long.
func (d *Desk) File(ctx context.Context, by Person, why string, list []cmdb.Proposal, lasts time.Duration) (Request, error) {
	why, err := comment(why, true)
	if err != nil {
		return Request{}, err
	}
	if len(list) == 0 {
		return Request{}, fmt.Errorf("%w: nothing would change", ErrInvalid)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return Request{}, fmt.Errorf("approval: file a request: %w", err)
	}
	now := d.now()
	r := row{
		State: Pending, RequesterID: by.ID, Requester: by.Name, Comment: why, Items: len(list), Proposals: string(text),
		CreatedAt: now.UnixMilli(), ExpiresAt: now.Add(lasts).UnixMilli(),
	}
	if _, err := d.db.NewInsert().Model(&r).Exec(ctx); err != nil {
		return Request{}, fmt.Errorf("approval: file a request: %w", err)
	}
	return d.told(&r, by, list), nil
}

// state is that of a request now: one that nobody decided in time is expired.
func (d *Desk) state(r *row) string {
	if r.State == Pending && r.ExpiresAt <= d.now().UnixMilli() {
		return Expired
	}
	return r.State
}

func (d *Desk) told(r *row, who Person, list []cmdb.Proposal) Request {
	out := Request{
		ID: r.ID, State: d.state(r), Requester: r.Requester, Mine: r.RequesterID == who.ID, Comment: r.Comment, Items: r.Items,
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), ExpiresAt: time.UnixMilli(r.ExpiresAt).UTC(),
		Decider: r.Decider, Decision: r.Decision, Proposals: list,
	}
	if r.DecidedAt > 0 {
		at := time.UnixMilli(r.DecidedAt).UTC()
		out.DecidedAt = &at
	}
	return out
}

// proposals reads what a request wants, where all of it is in reach.
func (r *row) proposals(within reach.Reach) (list []cmdb.Proposal, visible bool, err error) {
	if err := json.Unmarshal([]byte(r.Proposals), &list); err != nil {
		return nil, false, fmt.Errorf("approval: request %d: %w", r.ID, err)
	}
	for i := range list {
		if !list[i].Match(within) {
			return nil, false, nil
		}
	}
	return list, true, nil
}

// page is how many requests are read at a time.
const page = 100

// List lists requests whose items are all in reach, newest first, without their
// proposals: those of one state, or all where it is empty. before is the ID of
// the last one of the page before, 0 for the first page.
func (d *Desk) List(ctx context.Context, within reach.Reach, who Person, state string, before int64, limit int) ([]Request, error) {
	out := []Request{}
	for {
		var rows []row
		q := d.db.NewSelect().Model(&rows).Order("id DESC").Limit(page)
		if before > 0 {
			q = q.Where("id < ?", before)
		}
		switch state {
		case "":
		case Expired, Pending:
			q = q.Where("state = ?", Pending)
		default:
			q = q.Where("state = ?", state)
		}
		if err := q.Scan(ctx); err != nil {
			return nil, fmt.Errorf("approval: list requests: %w", err)
		}
		for i := range rows {
			before = rows[i].ID
			if state != "" && d.state(&rows[i]) != state {
				continue
			}
			_, visible, err := rows[i].proposals(within)
			if err != nil {
				return nil, err
			}
			if !visible {
				continue
			}
			if out = append(out, d.told(&rows[i], who, nil)); len(out) == limit {
				return out, nil
			}
		}
		if len(rows) < page {
			return out, nil
		}
	}
}

// Get returns one request with what would change.
func (d *Desk) Get(ctx context.Context, within reach.Reach, who Person, id int64) (Request, error) {
	r, list, err := d.find(ctx, d.db, within, id)
	if err != nil {
		return Request{}, err
	}
	return d.told(r, who, list), nil
}

func (d *Desk) find(ctx context.Context, db bun.IDB, within reach.Reach, id int64) (*row, []cmdb.Proposal, error) {
	var rows []row
	if err := db.NewSelect().Model(&rows).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, nil, fmt.Errorf("approval: read request %d: %w", id, err)
	}
	if len(rows) == 0 {
		return nil, nil, fmt.Errorf("%w: %d", ErrNotFound, id)
	}
	list, visible, err := rows[0].proposals(within)
	if err == nil && !visible {
		err = fmt.Errorf("%w: %d", ErrNotFound, id)
	}
	return &rows[0], list, err
}

// decide moves a pending request to another state, once.
func (d *Desk) decide(ctx context.Context, within reach.Reach, by Person, id int64, to, why string, own bool) (*row, []cmdb.Proposal, error) {
	r, list, err := d.find(ctx, d.db, within, id)
	if err != nil {
		return nil, nil, err
	}
	if (r.RequesterID == by.ID) != own {
		if own {
			return nil, nil, fmt.Errorf("%w: request %d is %s's: only who filed it withdraws it", ErrOwn, id, r.Requester)
		}
		return nil, nil, fmt.Errorf("%w: you filed request %d yourself: somebody else has to decide on it", ErrOwn, id)
	}
	if state := d.state(r); state != Pending {
		return nil, nil, fmt.Errorf("%w: request %d is %s", ErrDecided, id, state)
	}
	r.State, r.Decider, r.DecidedAt, r.Decision = to, by.Name, d.now().UnixMilli(), why
	done, err := d.db.NewUpdate().Model(r).Column("state", "decider", "decided_at", "decision").Where("id = ? AND state = ?", id, Pending).Exec(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("approval: decide on request %d: %w", id, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return nil, nil, fmt.Errorf("%w: somebody else decided on request %d at this moment", ErrDecided, id)
	}
	return r, list, nil
}

// Reject says no to a request of somebody else.
func (d *Desk) Reject(ctx context.Context, within reach.Reach, by Person, id int64, why string) (Request, error) {
	why, err := comment(why, true)
	if err != nil {
		return Request{}, err
	}
	r, list, err := d.decide(ctx, within, by, id, Rejected, why, false)
	if err != nil {
		return Request{}, err
	}
	return d.told(r, by, list), nil
}

// Withdraw takes one's own request back.
func (d *Desk) Withdraw(ctx context.Context, within reach.Reach, by Person, id int64) (Request, error) {
	r, list, err := d.decide(ctx, within, by, id, Withdrawn, "", true)
	if err != nil {
		return Request{}, err
	}
	return d.told(r, by, list), nil
}

// Approve says yes to a request of somebody else and makes the change, in the
// requester's name. Where an item changed since the request was filed, nothing
// is made: the request is in conflict, and the error says with what.
func (d *Desk) Approve(ctx context.Context, within reach.Reach, by Person, id int64, why string) (Request, error) {
	why, err := comment(why, false)
	if err != nil {
		return Request{}, err
	}
	r, list, err := d.find(ctx, d.db, within, id)
	if err != nil {
		return Request{}, err
	}
	switch state := d.state(r); {
	case r.RequesterID == by.ID:
		return Request{}, fmt.Errorf("%w: you filed request %d yourself: somebody else has to decide on it", ErrOwn, id)
	case state != Pending:
		return Request{}, fmt.Errorf("%w: request %d is %s", ErrDecided, id, state)
	}
	actor := fmt.Sprintf("%s (approved by %s)", r.Requester, by.Name)
	_, failed := d.items.Apply(ctx, list, cmdb.ImportOptions{Within: within, Actor: actor})
	if failed != nil {
		// A change that was made and not noted, since the suite was stopped
		// between the two, is no conflict.
		if there, err := d.items.InForce(ctx, list); err == nil && there {
			failed = nil
		}
	}
	if failed != nil {
		if !errors.Is(failed, cmdb.ErrStale) && !errors.Is(failed, cmdb.ErrInvalid) && !errors.Is(failed, cmdb.ErrConflict) {
			return Request{}, failed // of the suite, or a model on the move: it can be tried again
		}
		if _, _, err := d.decide(ctx, within, by, id, Conflict, failed.Error(), false); err != nil {
			return Request{}, err
		}
		return Request{}, failed
	}
	if r, list, err = d.decide(ctx, within, by, id, Approved, why, false); err != nil {
		return Request{}, err
	}
	return d.told(r, by, list), nil
}

package subscription

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Service keeps the subscriptions. It is safe for concurrent use.
type Service struct {
	db   *state.DB
	deps Deps
	wake chan struct{}
}

// Open brings the tables up to date.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if err := db.Migrate(ctx, "cmdb_subscriptions", migrations); err != nil {
		return nil, fmt.Errorf("subscription: %w", err)
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	return &Service{db: db, deps: deps, wake: make(chan struct{}, 1)}, nil
}

type row struct {
	bun.BaseModel `bun:"table:cmdb_subscriptions,alias:s"`
	ID            string `bun:"id,pk"`
	Owner         string `bun:"owner"`
	OwnerName     string `bun:"owner_name"`
	Name          string `bun:"name"`
	Enabled       bool   `bun:"enabled"`
	Wants         string `bun:"wants"`
	At            int64  `bun:"at"`
	Told          int64  `bun:"told"`
	ToldAt        int64  `bun:"told_at"`
	Trouble       string `bun:"trouble"`
	Revision      int64  `bun:"revision"`
	CreatedAt     int64  `bun:"created_at"`
	UpdatedAt     int64  `bun:"updated_at"`
}

func (r *row) wants() (w Wants, err error) {
	if err := json.Unmarshal([]byte(r.Wants), &w); err != nil {
		return w, fmt.Errorf("subscription: read %s: %w", r.ID, err)
	}
	return w, nil
}

// Asker is who asks for subscriptions.
type Asker struct {
	User string // id
	Name string
	// Manage tells that he may see, switch off and delete those of others.
	Manage bool
}

func (r *row) told(a Asker) (Subscription, error) {
	w, err := r.wants()
	out := Subscription{ID: r.ID, Name: r.Name, Owner: r.OwnerName, Mine: r.Owner == a.User, Enabled: r.Enabled, Wants: w,
		Told: r.Told, Trouble: r.Trouble, Revision: r.Revision, Created: time.UnixMilli(r.CreatedAt).UTC(), Updated: time.UnixMilli(r.UpdatedAt).UTC()}
	if r.ToldAt > 0 {
		at := time.UnixMilli(r.ToldAt).UTC()
		out.ToldAt = &at
	}
	return out, err
}

// List lists the asker's subscriptions by name; with all, where he manages
// them, everybody's.
func (s *Service) List(ctx context.Context, a Asker, all bool) ([]Subscription, error) {
	var rows []row
	q := s.db.NewSelect().Model(&rows).OrderExpr("name, id")
	if !all || !a.Manage {
		q = q.Where("owner = ?", a.User)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("subscription: list: %w", err)
	}
	out := make([]Subscription, 0, len(rows))
	for i := range rows {
		t, err := rows[i].told(a)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (s *Service) find(ctx context.Context, db bun.IDB, a Asker, id string) (*row, error) {
	r := &row{}
	err := db.NewSelect().Model(r).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && r.Owner != a.User && !a.Manage {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("subscription: read %s: %w", id, err)
	}
	return r, nil
}

// Get returns one subscription.
func (s *Service) Get(ctx context.Context, a Asker, id string) (Subscription, error) {
	r, err := s.find(ctx, s.db, a, id)
	if err != nil {
		return Subscription{}, err
	}
	return r.told(a)
}

// Create makes a subscription of the asker, who hears of changes from now on.
// Whether he may name the contact point is for the caller to decide.
func (s *Service) Create(ctx context.Context, a Asker, name string, w Wants) (Subscription, error) {
	name, err := checkName(name)
	if err == nil {
		err = s.check(ctx, &w)
	}
	if err != nil {
		return Subscription{}, err
	}
	text, err := json.Marshal(w)
	if err != nil {
		return Subscription{}, fmt.Errorf("subscription: write %q: %w", name, err)
	}
	last, err := s.deps.Items.LastChange(ctx)
	if err != nil {
		return Subscription{}, err
	}
	now := s.deps.Clock().UnixMilli()
	r := &row{ID: "sub-" + strings.ToLower(rand.Text()), Owner: a.User, OwnerName: a.Name, Name: name, Enabled: true, Wants: string(text), At: last, Revision: 1, CreatedAt: now, UpdatedAt: now}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		all, err := tx.NewSelect().Model((*row)(nil)).Count(ctx)
		if err != nil {
			return fmt.Errorf("subscription: count: %w", err)
		}
		own, err := tx.NewSelect().Model((*row)(nil)).Where("owner = ?", a.User).Count(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("subscription: count: %w", err)
		case own >= maxOwn:
			return fmt.Errorf("%w: you have %d subscriptions, the most a person may have: delete one, or widen another", ErrInvalid, own)
		case all >= maxAll:
			return fmt.Errorf("%w: there are %d subscriptions, the most there may be", ErrInvalid, all)
		}
		if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
			return fmt.Errorf("subscription: make %q: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return Subscription{}, err
	}
	return r.told(a)
}

// Edit is what a subscription is to be.
type Edit struct {
	Revision int64 // the one that was read
	Name     string
	Enabled  bool
	Wants    Wants
}

// Change changes a subscription. Who manages those of others may switch them
// off and nothing else: what is told is told by its owner's reach. One that is
// switched on again hears of changes from then on.
func (s *Service) Change(ctx context.Context, a Asker, id string, e Edit) (Subscription, error) {
	old, err := s.find(ctx, s.db, a, id)
	if err != nil {
		return Subscription{}, err
	}
	fresh := *old
	fresh.Enabled = e.Enabled
	if old.Owner == a.User {
		if fresh.Name, err = checkName(e.Name); err == nil {
			err = s.check(ctx, &e.Wants)
		}
		if err != nil {
			return Subscription{}, err
		}
		text, err := json.Marshal(e.Wants)
		if err != nil {
			return Subscription{}, fmt.Errorf("subscription: write %s: %w", id, err)
		}
		fresh.Wants = string(text)
	} else if e.Enabled {
		return Subscription{}, fmt.Errorf("%w: it is %s's: only its owner changes what it says; you may switch it off or delete it", ErrInvalid, old.OwnerName)
	}
	if e.Enabled && !old.Enabled {
		if fresh.At, err = s.deps.Items.LastChange(ctx); err != nil {
			return Subscription{}, err
		}
	}
	fresh.Trouble, fresh.Revision, fresh.UpdatedAt = "", e.Revision+1, s.deps.Clock().UnixMilli()
	columns := []string{"name", "enabled", "wants", "trouble", "revision", "updated_at"}
	if fresh.At != old.At {
		columns = append(columns, "at")
	}
	done, err := s.db.NewUpdate().Model(&fresh).Column(columns...).Where("id = ? AND revision = ?", id, e.Revision).Exec(ctx)
	if err != nil {
		return Subscription{}, fmt.Errorf("subscription: change %s: %w", id, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return Subscription{}, fmt.Errorf("%w: it is at revision %d, not %d", ErrConflict, old.Revision, e.Revision)
	}
	s.Wake()
	return fresh.told(a)
}

// Delete removes a subscription. What waits in the outbox is given up.
func (s *Service) Delete(ctx context.Context, a Asker, id string) error {
	if _, err := s.find(ctx, s.db, a, id); err != nil {
		return err
	}
	if _, err := s.db.NewDelete().Model((*row)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("subscription: delete %s: %w", id, err)
	}
	return nil
}

// Preview returns those of the newest changes in reach that would have been
// told, newest first, and how many were looked at.
func (s *Service) Preview(ctx context.Context, within reach.Reach, w Wants) (list []cmdb.HistoryEntry, looked int, err error) {
	if w.Contact == "" {
		w.Notices = true // where to is not what is asked
	}
	if err := s.check(ctx, &w); err != nil {
		return nil, 0, err
	}
	recent, err := s.deps.Items.Changes(ctx, within, cmdb.ChangeFilter{Limit: 2 * look})
	if err != nil {
		return nil, 0, err
	}
	list, err = s.chosen(ctx, within, &w, recent)
	return list, len(recent), err
}

package saved

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// maxHistory is how many different searches a user's history holds.
const maxHistory = 200

// Past is a search that a user ran.
type Past struct {
	ID     int64      `json:"id"`
	Query  string     `json:"query"`
	Tenant string     `json:"tenant"`
	Group  string     `json:"group"`
	Since  string     `json:"since,omitempty"`
	Start  *time.Time `json:"start,omitempty"`
	End    *time.Time `json:"end,omitempty"`
	Count  int        `json:"count" doc:"How often it ran"`
	LastAt time.Time  `json:"last_at"`
	Rows   int        `json:"rows" doc:"Of the first page when it last ran"`
	TookMS int64      `json:"took_ms" doc:"How long it took then"`
}

type pastRow struct {
	bun.BaseModel `bun:"table:saved_history,alias:h"`

	ID      int64  `bun:"id,pk,autoincrement"`
	Owner   string `bun:"owner"`
	Digest  string `bun:"digest"`
	Query   string `bun:"query"`
	Tenant  string `bun:"tenant"`
	Group   string `bun:"log_group"`
	Since   string `bun:"since"`
	StartAt int64  `bun:"start_at"`
	EndAt   int64  `bun:"end_at"`
	Count   int    `bun:"count"`
	LastAt  int64  `bun:"last_at"`
	Rows    int    `bun:"rows"`
	TookMS  int64  `bun:"took_ms"`
}

type note struct {
	owner string
	past  Past
}

// Note has a search written into its user's history soon. It never waits:
// where the disk is behind, a search is missing there.
func (s *Store) Note(user string, p Past) {
	p.LastAt = s.now()
	select {
	case s.notes <- note{user, p}:
	default:
		s.log.Warn("saved: a search is not in its user's history: the state is behind", "user", user)
	}
}

// Run writes the histories until ctx ends.
func (s *Store) Run(ctx context.Context) {
	for {
		var batch []note
		select {
		case n := <-s.notes:
			batch = append(batch, n)
		case <-ctx.Done():
			// What is waiting is written; nobody else will.
			for len(s.notes) > 0 {
				batch = append(batch, <-s.notes)
			}
			flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			s.write(flush, batch)
			return
		}
		for len(s.notes) > 0 && len(batch) < 200 {
			batch = append(batch, <-s.notes)
		}
		s.write(context.WithoutCancel(ctx), batch) // a start is not given up half way
	}
}

func (s *Store) write(ctx context.Context, batch []note) {
	if len(batch) == 0 {
		return
	}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		owners := map[string]bool{}
		for _, n := range batch {
			p := n.past
			row := &pastRow{Owner: n.owner, Query: p.Query, Tenant: p.Tenant, Group: p.Group, Since: p.Since, StartAt: millis(p.Start), EndAt: millis(p.End),
				Count: 1, LastAt: p.LastAt.UnixMilli(), Rows: p.Rows, TookMS: p.TookMS}
			sum := sha256.Sum256([]byte(strings.Join([]string{p.Query, p.Tenant, p.Group, p.Since, strconv.FormatInt(row.StartAt, 10), strconv.FormatInt(row.EndAt, 10)}, "\x00")))
			row.Digest = hex.EncodeToString(sum[:16])
			_, err := tx.NewInsert().Model(row).On("CONFLICT (owner, digest) DO UPDATE").Set("count = h.count + 1").
				Set("last_at = EXCLUDED.last_at").Set("rows = EXCLUDED.rows").Set("took_ms = EXCLUDED.took_ms").Returning("NULL").Exec(ctx)
			if err != nil {
				return err
			}
			owners[n.owner] = true
		}
		for owner := range owners {
			if _, err := tx.NewRaw(`DELETE FROM saved_history WHERE owner = ? AND id NOT IN
				(SELECT id FROM saved_history WHERE owner = ? ORDER BY last_at DESC, id DESC LIMIT ?)`, owner, owner, maxHistory).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		s.log.Error("saved: searches are not in their users' history", "count", len(batch), "error", err)
	}
}

// History lists what the user searched for, newest first.
func (s *Store) History(ctx context.Context, user, text string, limit int, cursor string) (items []Past, total int, next string, err error) {
	var rows []pastRow
	if err := s.db.NewSelect().Model(&rows).Where("h.owner = ?", user).Order("h.last_at DESC", "h.id DESC").Scan(ctx); err != nil {
		return nil, 0, "", fmt.Errorf("saved: read the history of %s: %w", user, err)
	}
	text = strings.ToLower(text)
	var found []Past
	for _, r := range rows {
		if text == "" || strings.Contains(strings.ToLower(r.Query), text) {
			found = append(found, Past{ID: r.ID, Query: r.Query, Tenant: r.Tenant, Group: r.Group, Since: r.Since, Start: fromMillis(r.StartAt), End: fromMillis(r.EndAt),
				Count: r.Count, LastAt: time.UnixMilli(r.LastAt).UTC(), Rows: r.Rows, TookMS: r.TookMS})
		}
	}
	items, next, err = page(found, limit, cursor)
	return items, len(found), next, err
}

// ForgetHistory removes one search of the user's history, or with id 0 all.
func (s *Store) ForgetHistory(ctx context.Context, user string, id int64) error {
	q := s.db.NewDelete().Model((*pastRow)(nil)).Where("owner = ?", user)
	if id != 0 {
		q = q.Where("id = ?", id)
	}
	res, err := q.Exec(ctx)
	if err != nil {
		return fmt.Errorf("saved: clear the history of %s: %w", user, err)
	}
	if n, err := res.RowsAffected(); id != 0 && err == nil && n == 0 {
		return fmt.Errorf("%w: search %d in your history", ErrNotFound, id)
	}
	return nil
}

// Preferences are how a user likes search results shown.
type Preferences struct {
	Followed []string `json:"followed_fields" nullable:"false" doc:"Shown first in the list of fields"`
	Columns  []string `json:"columns" nullable:"false" doc:"Of the table of results; none for the console's own"`
	Pinned   []string `json:"pinned_columns,omitempty" nullable:"false" doc:"Columns that stand still at the left while the others are scrolled"`
}

type preferenceRow struct {
	bun.BaseModel `bun:"table:saved_preferences,alias:p"`

	Owner    string `bun:"owner,pk"`
	Followed string `bun:"followed"`
	Columns  string `bun:"columns"`
	Pinned   string `bun:"pinned"`
}

// Preferences reads a user's preferences.
func (s *Store) Preferences(ctx context.Context, user string) (Preferences, error) {
	row := new(preferenceRow)
	err := s.db.NewSelect().Model(row).Where("p.owner = ?", user).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Preferences{Followed: []string{}, Columns: []string{}}, nil
	}
	if err != nil {
		return Preferences{}, fmt.Errorf("saved: read the preferences of %s: %w", user, err)
	}
	return Preferences{decode(row.Followed), decode(row.Columns), decode(row.Pinned)}, nil
}

// SetPreferences replaces a user's preferences.
func (s *Store) SetPreferences(ctx context.Context, user string, p Preferences) (Preferences, error) {
	var f faults
	p.Followed, p.Columns = f.list("followed_fields", p.Followed, maxColumns), f.list("columns", p.Columns, maxColumns)
	p.Pinned = f.list("pinned_columns", p.Pinned, maxColumns)
	if err := f.err(); err != nil {
		return p, err
	}
	row := &preferenceRow{Owner: user, Followed: encode(p.Followed), Columns: encode(p.Columns), Pinned: encode(p.Pinned)}
	if _, err := s.db.NewInsert().Model(row).On("CONFLICT (owner) DO UPDATE").Set("followed = EXCLUDED.followed").Set("columns = EXCLUDED.columns").
		Set("pinned = EXCLUDED.pinned").Returning("NULL").Exec(ctx); err != nil {
		return p, fmt.Errorf("saved: keep the preferences of %s: %w", user, err)
	}
	return p, nil
}

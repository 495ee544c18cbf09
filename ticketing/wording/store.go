package wording

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The errors of stored wordings.
var (
	ErrNotFound = errors.New("no such wording")
	ErrInvalid  = errors.New("invalid wording")
)

var wordingName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Kept is a stored wording: for a language, and for one kind of channel or all.
type Kept struct {
	Version  int64     `json:"version"`
	Name     string    `json:"name"`
	Language string    `json:"language" enum:"zh,en"`
	Kind     string    `json:"kind" doc:"Of channel; empty for all that have none of their own"`
	Text     Text      `json:"text"`
	Removed  bool      `json:"removed"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`
}

type row struct {
	bun.BaseModel `bun:"table:wordings,alias:w"`
	Version       int64  `bun:"version,pk,autoincrement"`
	Name          string `bun:"name"`
	Language      string `bun:"language"`
	Kind          string `bun:"kind"`
	Body          string `bun:"body"`
	At            int64  `bun:"at"`
	By            string `bun:"by"`
}

func (r row) kept() (Kept, error) {
	k := Kept{Version: r.Version, Name: r.Name, Language: r.Language, Kind: r.Kind, Removed: r.Body == "", At: time.UnixMilli(r.At).UTC(), By: r.By}
	if r.Body != "" {
		if err := json.Unmarshal([]byte(r.Body), &k.Text); err != nil {
			return k, fmt.Errorf("wording: read version %d: %w", r.Version, err)
		}
	}
	return k, nil
}

// Store keeps wordings with all their versions. It is safe for concurrent use.
type Store struct {
	db    *state.DB
	clock func() time.Time

	mu   sync.Mutex
	made map[[3]string]*Wording // compiled, by name, language and kind; dropped on each change
}

// Open brings the table up to date. clock is time.Now where it is nil.
func Open(ctx context.Context, db *state.DB, clock func() time.Time) (*Store, error) {
	if clock == nil {
		clock = time.Now
	}
	return &Store{db: db, clock: clock, made: map[[3]string]*Wording{}}, db.Migrate(ctx, "wording", migrations)
}

const inForce = "version IN (SELECT max(version) FROM wordings GROUP BY name, language, kind)"

// List lists the wordings in force by name, language and kind.
func (s *Store) List(ctx context.Context) ([]Kept, error) {
	return s.read(ctx, s.db.NewSelect().Where(inForce).Where("body <> ''").OrderExpr("name, language, kind"))
}

// Versions lists all versions of one wording, newest first, a hundred at most.
func (s *Store) Versions(ctx context.Context, name, language, kind string) ([]Kept, error) {
	return s.read(ctx, s.db.NewSelect().Where("name = ? AND language = ? AND kind = ?", name, language, kind).OrderExpr("version DESC").Limit(100))
}

func (s *Store) read(ctx context.Context, q *bun.SelectQuery) ([]Kept, error) {
	var rows []row
	if err := q.Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("wording: read the wordings: %w", err)
	}
	out := make([]Kept, 0, len(rows))
	for _, r := range rows {
		k, err := r.kept()
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// Put puts a wording in force. A template that cannot work is a *PartError.
func (s *Store) Put(ctx context.Context, by string, k Kept) (Kept, error) {
	if !wordingName.MatchString(k.Name) {
		return k, fmt.Errorf("%w: name: %q: want letters, digits, '.', '_' or '-', at most 64", ErrInvalid, k.Name)
	}
	if k.Language != "zh" && k.Language != "en" {
		return k, fmt.Errorf("%w: language: %q: want zh or en", ErrInvalid, k.Language)
	}
	if _, err := New(k.Language, k.Text); err != nil {
		return k, err
	}
	body, err := json.Marshal(k.Text)
	if err != nil {
		return k, fmt.Errorf("wording: write %s: %w", k.Name, err)
	}
	return s.write(ctx, row{Name: k.Name, Language: k.Language, Kind: k.Kind, Body: string(body), By: by})
}

// Remove takes a wording out of force; its versions stay.
func (s *Store) Remove(ctx context.Context, by, name, language, kind string) error {
	list, err := s.Versions(ctx, name, language, kind)
	if err != nil {
		return err
	}
	if len(list) == 0 || list[0].Removed {
		return fmt.Errorf("%s (%s, %s): %w", name, language, kind, ErrNotFound)
	}
	_, err = s.write(ctx, row{Name: name, Language: language, Kind: kind, By: by})
	return err
}

func (s *Store) write(ctx context.Context, r row) (Kept, error) {
	r.At = s.clock().UnixMilli()
	if _, err := s.db.NewInsert().Model(&r).Exec(ctx); err != nil {
		return Kept{}, fmt.Errorf("wording: write %s: %w", r.Name, err)
	}
	s.mu.Lock()
	clear(s.made)
	s.mu.Unlock()
	return r.kept()
}

// Wording finds the wording of a name for a language and a kind of channel: the
// one of the kind, else that of all kinds, else the default of the language.
func (s *Store) Wording(ctx context.Context, name, language, kind string) (*Wording, error) {
	key := [3]string{name, language, kind}
	s.mu.Lock()
	w := s.made[key]
	s.mu.Unlock()
	if w != nil {
		return w, nil
	}
	list, err := s.read(ctx, s.db.NewSelect().Where(inForce).Where("body <> '' AND name = ? AND language = ? AND kind IN (?, '')", name, language, kind).OrderExpr("kind DESC").Limit(1))
	if err != nil {
		return nil, err
	}
	var text Text
	if len(list) > 0 {
		text = list[0].Text
	}
	if w, err = New(language, text); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.made[key] = w
	s.mu.Unlock()
	return w, nil
}

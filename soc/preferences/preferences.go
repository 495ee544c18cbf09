// Package preferences keeps how people want to see a page of the console: how
// often it refreshes, which search items and columns it shows, and searches
// under a name. It is a person's own; nobody else reads it.
package preferences

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrInvalid is answered for preferences that cannot be kept; its text says why.
var ErrInvalid = errors.New("preferences: invalid")

// Page is how somebody wants to see one page.
type Page struct {
	Refresh int      `json:"refresh_seconds" minimum:"0" maximum:"3600" doc:"How often the page refreshes by itself; 0 for never, 5 at least"`
	Items   []string `json:"search_items" required:"false" maxItems:"50" nullable:"false" doc:"Which search items it shows, in their order; none: its own"`
	Columns []string `json:"columns" required:"false" maxItems:"100" nullable:"false" doc:"Which columns it shows, in their order; none: its own"`
	Saved   []Search `json:"saved" required:"false" maxItems:"50" nullable:"false"`
}

// Search is a search under a name.
type Search struct {
	Name  string `json:"name" minLength:"1" maxLength:"80"`
	Query string `json:"query" maxLength:"4000" doc:"Query of the page's address, such as status=open&mine=true"`
}

// Default is that of a page of which nobody said anything.
func Default() Page {
	return Page{Refresh: 60, Items: []string{}, Columns: []string{}, Saved: []Search{}}
}

// maxPages bounds the pages of one person.
const maxPages = 100

var pageName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func (p *Page) check() error {
	if p.Refresh != 0 && (p.Refresh < 5 || p.Refresh > 3600) {
		return fmt.Errorf("%w: refresh_seconds: %d, want 0 for never, or 5 to 3600", ErrInvalid, p.Refresh)
	}
	for _, l := range []struct {
		name string
		list []string
		most int
	}{{"search_items", p.Items, 50}, {"columns", p.Columns, 100}} {
		if len(l.list) > l.most {
			return fmt.Errorf("%w: %s: %d, at most %d", ErrInvalid, l.name, len(l.list), l.most)
		}
		for i, v := range l.list {
			if v == "" || len(v) > 200 {
				return fmt.Errorf("%w: %s[%d]: %d bytes, want 1 to 200", ErrInvalid, l.name, i, len(v))
			}
		}
	}
	if len(p.Saved) > 50 {
		return fmt.Errorf("%w: saved: %d searches, at most 50", ErrInvalid, len(p.Saved))
	}
	seen := map[string]bool{}
	for i, v := range p.Saved {
		switch n := utf8.RuneCountInString(v.Name); {
		case n == 0 || n > 80:
			return fmt.Errorf("%w: saved[%d].name: %d characters, want 1 to 80", ErrInvalid, i, n)
		case seen[v.Name]:
			return fmt.Errorf("%w: saved[%d].name: there is a search %q already", ErrInvalid, i, v.Name)
		case len(v.Query) > 4000:
			return fmt.Errorf("%w: saved[%d].query: %d bytes, at most 4000", ErrInvalid, i, len(v.Query))
		}
		seen[v.Name] = true
	}
	return nil
}

// Store keeps preferences. It is safe for concurrent use.
type Store struct{ db *state.DB }

// Open brings the table up to date.
func Open(ctx context.Context, db *state.DB) (*Store, error) {
	return &Store{db}, db.Migrate(ctx, "preferences", migrations)
}

func checkPage(page string) error {
	if !pageName.MatchString(page) {
		return fmt.Errorf("%w: page %.64q: want small letters, digits and -", ErrInvalid, page)
	}
	return nil
}

// Get returns how a person wants to see a page.
func (s *Store) Get(ctx context.Context, person, page string) (Page, error) {
	p := Default()
	if err := checkPage(page); err != nil {
		return p, err
	}
	var doc string
	err := s.db.QueryRowContext(ctx, "SELECT doc FROM preferences_pages WHERE person = ? AND page = ?", person, page).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(doc), &p)
	}
	if err != nil {
		return p, fmt.Errorf("preferences: read those of the page %s: %w", page, err)
	}
	return p, nil
}

// Set keeps how a person wants to see a page.
func (s *Store) Set(ctx context.Context, person, page string, p Page) (Page, error) {
	if err := checkPage(page); err != nil {
		return p, err
	}
	if err := p.check(); err != nil {
		return p, err
	}
	doc, err := json.Marshal(p)
	if err != nil {
		return p, fmt.Errorf("preferences: pack: %w", err)
	}
	r, err := s.db.ExecContext(ctx, `INSERT INTO preferences_pages (person, page, doc, at)
		SELECT ?, ?, ?, ? WHERE (SELECT count(*) FROM preferences_pages WHERE person = ? AND page <> ?) < ?
		ON CONFLICT (person, page) DO UPDATE SET doc = EXCLUDED.doc, at = EXCLUDED.at`,
		person, page, string(doc), time.Now().UnixMilli(), person, page, maxPages)
	if err != nil {
		return p, fmt.Errorf("preferences: keep those of the page %s: %w", page, err)
	}
	if n, err := r.RowsAffected(); err == nil && n == 0 {
		return p, fmt.Errorf("%w: you have preferences of %d pages already", ErrInvalid, maxPages)
	}
	return s.Get(ctx, person, page)
}

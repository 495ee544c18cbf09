// Package editions keeps documents that people change in SQL, with every version
// of each, upon those that are shipped: what is shipped can be changed, and be as it
// was shipped again, but not be deleted; what people made can be deleted, and be
// restored. The last version of an id is the one that counts.
//
// A room that keeps documents brings a table of its own, with the columns version
// (its key, growing), id, doc, at and by, and says what a valid document is.
package editions

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

// maxVersions is how many versions of a document are listed.
const maxVersions = 100

// Kept is a document with what is known of its text.
type Kept[T any] struct {
	ID        string
	Content   T
	Shipped   bool
	Version   int64 // 0 is what was shipped
	UpdatedAt time.Time
	UpdatedBy string
	Deleted   bool // of versions: it was deleted then; the content is as it was before
}

// Kind says what the documents are.
type Kind[T any] struct {
	Table    string           // its name
	Noun     string           // what people call one, for errors
	Shipped  func() []Kept[T] // id and content of those that are shipped, in their order
	Check    func(*T) error   // says what is wrong with one, and puts its defaults in; an error that wraps Invalid
	Name     func(*T) string  // what those that people made are ordered by
	Most     int              // documents at most
	NotFound error
	Invalid  error
	// ID makes the id of a new document of the one that was asked for; where it is
	// nil, one is made that nobody else has.
	ID func(asked string) (string, error)
}

// Store keeps the documents of a kind. It is safe for concurrent use.
type Store[T any] struct {
	db    *state.DB
	clock func() time.Time
	kind  Kind[T]
}

// Open makes a store; the room has brought its table up to date.
func Open[T any](db *state.DB, clock func() time.Time, kind Kind[T]) *Store[T] {
	return &Store[T]{db, clock, kind}
}

type row struct {
	Version int64  `bun:"version"`
	ID      string `bun:"id"`
	Doc     string `bun:"doc"`
	At      int64  `bun:"at"`
	By      string `bun:"by"`
}

func (s *Store[T]) shipped(id string) (Kept[T], bool) {
	for _, k := range s.kind.Shipped() {
		if k.ID == id {
			k.Shipped = true
			return k, true
		}
	}
	return Kept[T]{}, false
}

func (s *Store[T]) read(r *row) (k Kept[T], err error) {
	if err := json.Unmarshal([]byte(r.Doc), &k.Content); err != nil {
		return k, fmt.Errorf("%s: read version %d of %s: %w", s.kind.Table, r.Version, r.ID, err)
	}
	k.ID, k.Version, k.UpdatedAt, k.UpdatedBy = r.ID, r.Version, time.UnixMilli(r.At).UTC(), r.By
	_, k.Shipped = s.shipped(r.ID)
	return k, nil
}

func (s *Store[T]) unknown(id string) error {
	return fmt.Errorf("%s %.64q: %w", s.kind.Noun, id, s.kind.NotFound)
}

// List reads the documents: those that are shipped in their order, then the others
// by name.
func (s *Store[T]) List(ctx context.Context) ([]Kept[T], error) { return s.list(ctx, s.db) }

func (s *Store[T]) list(ctx context.Context, db bun.IDB) ([]Kept[T], error) {
	var rows []row
	err := db.NewSelect().TableExpr("?", bun.Ident(s.kind.Table)).Column("version", "id", "doc", "at", "by").
		Where("version IN (SELECT max(version) FROM ? GROUP BY id)", bun.Ident(s.kind.Table)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("%s: read them: %w", s.kind.Table, err)
	}
	changed := map[string]Kept[T]{}
	for i := range rows {
		if rows[i].Doc == "" {
			continue
		}
		k, err := s.read(&rows[i])
		if err != nil {
			return nil, err
		}
		changed[k.ID] = k
	}
	var out []Kept[T]
	for _, sh := range s.kind.Shipped() {
		k, there := changed[sh.ID]
		if !there {
			k, k.Shipped = sh, true
		}
		delete(changed, sh.ID)
		out = append(out, k)
	}
	own := make([]Kept[T], 0, len(changed))
	for _, k := range changed {
		own = append(own, k)
	}
	slices.SortFunc(own, func(a, b Kept[T]) int {
		return strings.Compare(s.kind.Name(&a.Content)+"\x00"+a.ID, s.kind.Name(&b.Content)+"\x00"+b.ID)
	})
	return append(out, own...), nil
}

// Get reads a document that is there.
func (s *Store[T]) Get(ctx context.Context, id string) (Kept[T], error) { return s.get(ctx, s.db, id) }

func (s *Store[T]) get(ctx context.Context, db bun.IDB, id string) (Kept[T], error) {
	all, err := s.list(ctx, db)
	if err != nil {
		return Kept[T]{}, err
	}
	if i := slices.IndexFunc(all, func(k Kept[T]) bool { return k.ID == id }); i >= 0 {
		return all[i], nil
	}
	return Kept[T]{}, s.unknown(id)
}

// Put makes documents, all or none: one whose id is there is changed, another is
// made. Of each only id and content are looked at. may, which may be nil, is asked
// about each that is changed as it was before.
func (s *Store[T]) Put(ctx context.Context, actor string, docs []Kept[T], may func(old *Kept[T]) error) (out []Kept[T], err error) {
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		out = nil
		all, err := s.list(ctx, tx)
		if err != nil {
			return err
		}
		count := len(all)
		for _, d := range docs {
			if err := s.kind.Check(&d.Content); err != nil {
				return err
			}
			if at := slices.IndexFunc(all, func(k Kept[T]) bool { return d.ID != "" && k.ID == d.ID }); at >= 0 {
				if may != nil {
					if err := may(&all[at]); err != nil {
						return err
					}
				}
			} else {
				if count++; count > s.kind.Most {
					return fmt.Errorf("%w: there would be %d, at most %d: delete some that are not needed", s.kind.Invalid, count, s.kind.Most)
				}
				if d.ID, err = s.fresh(d.ID); err != nil {
					return err
				}
			}
			k, err := s.write(ctx, tx, actor, d.ID, d.Content, false)
			if err != nil {
				return err
			}
			out = append(out, k)
		}
		return nil
	})
	return out, err
}

// fresh is the id of a new document. One from elsewhere may be another's here, that
// is deleted or beyond reach.
func (s *Store[T]) fresh(asked string) (string, error) {
	if s.kind.ID != nil {
		return s.kind.ID(asked)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("%s: make an id: %w", s.kind.Table, err)
	}
	return id.String(), nil
}

func (s *Store[T]) write(ctx context.Context, tx bun.Tx, actor, id string, content T, deleted bool) (Kept[T], error) {
	now := s.clock().UTC().Truncate(time.Millisecond)
	k := Kept[T]{ID: id, Content: content, UpdatedAt: now, UpdatedBy: actor, Deleted: deleted}
	doc := ""
	if !deleted {
		data, err := json.Marshal(content)
		if err != nil {
			return k, fmt.Errorf("%s: encode %s: %w", s.kind.Table, id, err)
		}
		doc = string(data)
	}
	err := tx.NewRaw("INSERT INTO ? (id, doc, at, by) VALUES (?, ?, ?, ?) RETURNING version", bun.Ident(s.kind.Table), id, doc, now.UnixMilli(), actor).Scan(ctx, &k.Version)
	if err != nil {
		return k, fmt.Errorf("%s: write %s: %w", s.kind.Table, id, err)
	}
	_, k.Shipped = s.shipped(id)
	return k, nil
}

// Delete takes a document away; Restore brings it back.
func (s *Store[T]) Delete(ctx context.Context, actor, id string, may func(old *Kept[T]) error) error {
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		k, err := s.get(ctx, tx, id)
		if err != nil {
			return err
		}
		if may != nil {
			if err := may(&k); err != nil {
				return err
			}
		}
		if k.Shipped {
			return fmt.Errorf("%w: the %s %s is shipped and cannot be deleted; it can be made again what was shipped", s.kind.Invalid, s.kind.Noun, id)
		}
		_, err = s.write(ctx, tx, actor, id, k.Content, true)
		return err
	})
}

// Versions lists the versions of a document, the newest first, maxVersions at most;
// the last is what was shipped. One that was deleted has them still.
func (s *Store[T]) Versions(ctx context.Context, id string) ([]Kept[T], error) {
	var rows []row
	err := s.db.NewSelect().TableExpr("?", bun.Ident(s.kind.Table)).Column("version", "id", "doc", "at", "by").Where("id = ?", id).OrderExpr("version DESC").Limit(maxVersions+1).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("%s: read the versions of %.64q: %w", s.kind.Table, id, err)
	}
	out := []Kept[T]{}
	for i := range rows[:min(len(rows), maxVersions)] {
		r := rows[i]
		deleted := r.Doc == ""
		if deleted && i+1 < len(rows) {
			r.Doc = rows[i+1].Doc
		}
		if r.Doc == "" {
			continue
		}
		k, err := s.read(&r)
		if err != nil {
			return nil, err
		}
		k.Deleted = deleted
		out = append(out, k)
	}
	if k, ok := s.shipped(id); ok && len(rows) <= maxVersions {
		out = append(out, k)
	}
	if len(out) == 0 {
		return nil, s.unknown(id)
	}
	return out, nil
}

// Restore makes a document again what a version of it was, a deleted one too;
// version 0 is what was shipped. may is asked about what is there and what is to be.
func (s *Store[T]) Restore(ctx context.Context, actor, id string, version int64, may func(old *Kept[T]) error) (out Kept[T], err error) {
	versions, err := s.Versions(ctx, id)
	if err != nil {
		return Kept[T]{}, err
	}
	i := slices.IndexFunc(versions, func(k Kept[T]) bool { return k.Version == version })
	if i < 0 {
		return Kept[T]{}, fmt.Errorf("version %d of the %s %.64q: %w", version, s.kind.Noun, id, s.kind.NotFound)
	}
	if may != nil {
		for _, k := range []*Kept[T]{&versions[0], &versions[i]} {
			if err := may(k); err != nil {
				return Kept[T]{}, err
			}
		}
	}
	content := versions[i].Content
	if err := s.kind.Check(&content); err != nil {
		return Kept[T]{}, err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		out, err = s.write(ctx, tx, actor, id, content, false)
		return err
	})
	return out, err
}

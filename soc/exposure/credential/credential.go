// Package credential keeps, sealed, by what scans log in to hosts and to engines. It is
// in the suite's own state, where the seal's keys are rotated.
package credential

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/uptrace/bun"

	"icewatch/soc/seal"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const kind = "exposure-secret"

// Sealed is where the secrets are.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column(kind, "exposure_secrets", "id", "sealed")}
}

// Store keeps secrets by the id of what they belong to. It is safe for concurrent use.
type Store struct {
	db  *state.DB
	box *seal.Box

	mu   sync.Mutex
	open map[string][]byte // JSON
}

// Open brings the table up to date and reads what is there.
func Open(ctx context.Context, db *state.DB, box *seal.Box) (*Store, error) {
	if err := db.Migrate(ctx, "exposure_secrets", migrations); err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	s := &Store{db: db, box: box, open: map[string][]byte{}}
	var rows []struct{ ID, Sealed string }
	if err := db.NewRaw("SELECT id, sealed FROM exposure_secrets").Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("credential: read secrets: %w", err)
	}
	for _, r := range rows {
		text, err := box.OpenString(r.Sealed, kind+":"+r.ID)
		if err != nil {
			return nil, fmt.Errorf("credential: the secrets of %s: %w", r.ID, err)
		}
		s.open[r.ID] = []byte(text)
	}
	return s, nil
}

// Set replaces the secrets of an id by v, as JSON; nil takes them away.
func (s *Store) Set(ctx context.Context, id string, v any) error {
	if v == nil {
		if _, err := s.db.NewRaw("DELETE FROM exposure_secrets WHERE id = ?", id).Exec(ctx); err != nil {
			return fmt.Errorf("credential: delete secrets: %w", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, id)
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("credential: %w", err)
	}
	sealed, err := s.box.SealString(string(data), kind+":"+id)
	if err != nil {
		return err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewRaw("INSERT INTO exposure_secrets (id, sealed) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed", id, sealed).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("credential: keep secrets: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[id] = data
	return nil
}

// Get reads the secrets of an id into v, and tells whether there are any.
func (s *Store) Get(id string, v any) (bool, error) {
	s.mu.Lock()
	data, ok := s.open[id]
	s.mu.Unlock()
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("credential: the secrets of %s are damaged", id)
	}
	return true, nil
}

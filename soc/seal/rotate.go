package seal

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrInUse says that a key cannot be dropped since values are sealed with it.
var ErrInUse = errors.New("values are still sealed with an older key")

// Key is a master key as it is shown: never its secret.
type Key struct {
	ID      string         `json:"id"`
	Created time.Time      `json:"created"`
	Current bool           `json:"current" doc:"New secrets are sealed with this one"`
	Sealed  map[string]int `json:"sealed" doc:"How many values are sealed with it, by kind"`
}

// Keys lists the keys, oldest first, with what is sealed with each.
func (b *Box) Keys(ctx context.Context) ([]Key, error) {
	counts := map[string]map[string]int{}
	err := b.each(ctx, func(value, context string) (string, error) {
		id, _, err := split(value)
		if err != nil {
			return "", fmt.Errorf("seal: %s: %w", context, err)
		}
		if counts[id] == nil {
			counts[id] = map[string]int{}
		}
		kind, _, _ := strings.Cut(context, ":")
		counts[id][kind]++
		return value, nil
	})
	if err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]Key, 0, len(b.keys))
	for i, k := range b.keys {
		sealed := counts[k.id]
		if sealed == nil {
			sealed = map[string]int{}
		}
		out = append(out, Key{ID: k.id, Created: k.made, Current: i == len(b.keys)-1, Sealed: sealed})
	}
	return out, nil
}

// Rotate makes a new master key and seals every value anew with it. The new
// key is durable before the first value is sealed with it, and the values
// change in one transaction: whenever the process dies, each value opens with
// a key of the file, and the next Open ends what was begun. Older keys stay in
// the file until DropOld, for the sake of backups.
func (b *Box) Rotate(ctx context.Context) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	next := append(slices.Clone(b.keys), newKey(time.Now()))
	if err := writeKeys(b.file, next); err != nil {
		return err
	}
	b.mu.Lock()
	b.keys = next
	b.mu.Unlock()
	return b.reseal(ctx)
}

// DropOld removes all keys but the newest from the file. Backups of the state
// from before the last rotation then no longer open. Where a value is sealed
// with an older key it is ErrInUse, and nothing is dropped.
func (b *Box) DropOld(ctx context.Context) (dropped int, err error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	now := b.current()
	err = b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := b.eachIn(ctx, tx, func(value, context string) (string, error) {
			if id, _, err := split(value); err != nil || id != now.id {
				return "", fmt.Errorf("seal: %s: %w: rotate again first", context, ErrInUse)
			}
			return value, nil
		})
		if err != nil {
			return err
		}
		// First the list, then the file: a key too many in the file harms
		// nothing, one too few would count as lost.
		if _, err := tx.ExecContext(ctx, "DELETE FROM seal_keys WHERE id <> ?", now.id); err != nil {
			return fmt.Errorf("seal: forget the older keys: %w", err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	dropped = len(b.keys) - 1
	if err := writeKeys(b.file, []key{now}); err != nil {
		return 0, err
	}
	b.mu.Lock()
	b.keys = []key{now}
	b.mu.Unlock()
	return dropped, nil
}

// reseal brings every value under the newest key, sealing what was not sealed,
// and notes that all is under it.
func (b *Box) reseal(ctx context.Context) error {
	now := b.current()
	return b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := b.eachIn(ctx, tx, func(value, context string) (string, error) {
			id, _, err := split(value)
			if id == now.id {
				return value, nil
			}
			plain := []byte(value)
			if !errors.Is(err, ErrNotSealed) {
				if plain, err = b.Open([]byte(value), []byte(context)); err != nil {
					return "", err
				}
			}
			return string(now.seal(plain, []byte(context))), nil
		})
		if err != nil {
			return err
		}
		b.mu.RLock()
		defer b.mu.RUnlock()
		for _, k := range b.keys {
			kinds := ""
			if k.id == now.id {
				kinds = strings.Join(b.kinds, ",")
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO seal_keys (id, kinds) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET kinds = excluded.kinds", k.id, kinds); err != nil {
				return fmt.Errorf("seal: note the key %s: %w", k.id, err)
			}
		}
		return nil
	})
}

func (b *Box) each(ctx context.Context, f func(value, context string) (string, error)) error {
	if b.db == nil {
		return nil
	}
	return b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return b.eachIn(ctx, tx, f) })
}

func (b *Box) eachIn(ctx context.Context, tx bun.Tx, f func(value, context string) (string, error)) error {
	for _, p := range b.places {
		if err := p.Each(ctx, tx, f); err != nil {
			return err
		}
	}
	return nil
}

// known returns the keys that the state's values may be sealed with, and the
// kinds whose values all are.
func (b *Box) known(ctx context.Context) (map[string]string, error) {
	rows, err := b.db.Read.QueryContext(ctx, "SELECT id, kinds FROM seal_keys")
	if err != nil {
		return nil, fmt.Errorf("seal: read which keys are in use: %w", err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var id, kinds string
		if err := rows.Scan(&id, &kinds); err != nil {
			return nil, fmt.Errorf("seal: read which keys are in use: %w", err)
		}
		out[id] = kinds
	}
	return out, rows.Err()
}

func sortedIDs(known map[string]string) []string { return slices.Sorted(maps.Keys(known)) }

package inputs

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/collectors"
	"icewatch/soc/state"
)

type placeRow struct {
	bun.BaseModel `bun:"table:input_places"`

	Input   string `bun:"input,pk"`
	Key     string `bun:"key,pk"`
	Place   []byte `bun:"place"`
	SavedAt int64  `bun:"saved_at"`
}

// places are those of one input.
type places struct {
	db    *state.DB
	input string
}

var _ collectors.Places = places{}

func (s *Service) places(input string) collectors.Places { return places{s.db, input} }

// PlacesOf are those of a source that the configuration file names.
func (s *Service) PlacesOf(source string) collectors.Places { return places{s.db, "config:" + source} }

// Place implements collectors.Places.
func (p places) Place(ctx context.Context, key string) ([]byte, error) {
	var list []placeRow
	if err := p.db.NewSelect().Model(&list).Where("input = ?", p.input).Where("key = ?", key).Scan(ctx); err != nil {
		return nil, fmt.Errorf("inputs: read the place %.100q of %s: %w", key, p.input, err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list[0].Place, nil
}

// Save implements collectors.Places. The commit is synchronous: what is saved
// is on disk.
func (p places) Save(ctx context.Context, key string, place []byte) error {
	if len(place) > maxPlace || len(key) > maxPlaceName {
		return fmt.Errorf("inputs: the place %.100q of %s has %d bytes, and its key %d: %d and %d are the most", key, p.input, len(place), len(key), maxPlace, maxPlaceName)
	}
	if place == nil {
		place = []byte{}
	}
	return p.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		r := placeRow{Input: p.input, Key: key, Place: place, SavedAt: time.Now().UnixMilli()}
		res, err := tx.NewUpdate().Model(&r).WherePK().Exec(ctx)
		if err != nil {
			return fmt.Errorf("inputs: save the place %.100q of %s: %w", key, p.input, err)
		}
		if n, err := res.RowsAffected(); err == nil && n > 0 {
			return nil
		}
		// The oldest places make room: of files that were gone long ago.
		n, err := tx.NewSelect().Model((*placeRow)(nil)).Where("input = ?", p.input).Count(ctx)
		if err == nil && n >= maxPlaces {
			_, err = tx.NewRaw("DELETE FROM input_places WHERE input = ? AND key IN (SELECT key FROM input_places WHERE input = ? ORDER BY saved_at LIMIT ?)", p.input, p.input, n-maxPlaces+1).Exec(ctx)
		}
		if err == nil {
			_, err = tx.NewInsert().Model(&r).Exec(ctx)
		}
		if err != nil {
			return fmt.Errorf("inputs: save the place %.100q of %s: %w", key, p.input, err)
		}
		return nil
	})
}

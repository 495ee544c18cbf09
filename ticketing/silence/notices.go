package silence

import (
	"context"
	"fmt"
	"time"
)

// Notice is that a silence ends soon, or has ended, for whoever owns it.
type Notice struct {
	Silence
	Over bool
}

// Notices lists what owners have to be told: of silences that end within a time
// and last longer than that, and of such as have ended. Told notes that they
// were.
func (s *Store) Notices(ctx context.Context, within time.Duration) ([]Notice, error) {
	now := s.now()
	list, err := s.read(ctx, s.db.NewSelect().Where("receiver <> ''").
		Where("noticed = '' AND ends_at > ? AND ends_at <= ? AND ends_at - starts_at > ? OR noticed <> 'over' AND ends_at <= ?",
			now.UnixMilli(), now.Add(within).UnixMilli(), within.Milliseconds(), now.UnixMilli()))
	if err != nil {
		return nil, err
	}
	var out []Notice
	for _, l := range list {
		out = append(out, Notice{*l, !l.EndsAt.After(now)})
	}
	return out, nil
}

// Told notes that the owner was told.
func (s *Store) Told(ctx context.Context, n *Notice) error {
	word := "soon"
	if n.Over {
		word = "over"
	}
	if _, err := s.db.NewUpdate().Model((*row)(nil)).Set("noticed = ?", word).Where("id = ?", n.ID).Exec(ctx); err != nil {
		return fmt.Errorf("silence: note that the owner of %s was told: %w", n.ID, err)
	}
	return nil
}

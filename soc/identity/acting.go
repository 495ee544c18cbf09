package identity

import (
	"context"
	"fmt"
)

// ActingAs returns the user as he would be if he asked now, for what runs in
// his name while he is away: scheduled searches, exports. A user who is
// disabled, locked, outside of the time his account is valid for, or gone is
// ErrUnauthenticated. "local" is the machine's own account.
func (s *Service) ActingAs(ctx context.Context, userID string) (*Principal, error) {
	if userID == local.UserID {
		return Local(), nil
	}
	row, err := s.userRow(ctx, "u.id = ?", userID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	if !row.usable(s.now()) || s.locks.check(row.Username, nil) != nil {
		return nil, ErrUnauthenticated
	}
	u, err := row.user()
	if err != nil {
		return nil, err
	}
	return s.principal(ctx, &u, "")
}

package ticketing

import "context"

// mayMove asks whether whoever acts in ctx may move a thing from state to state.
// What the suite does by itself is not asked.
func (s *Service) mayMove(ctx context.Context, of string, from, to Status) error {
	if s.moves == nil || from == to {
		return nil
	}
	return s.moves(ctx, of, string(from), string(to))
}

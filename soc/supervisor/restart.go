package supervisor

import "context"

// Restart ends the child in order and starts it at once with the options as
// they are then. It does not wait for either. Where no child runs, the next
// start takes the new options anyway.
func (s *Supervisor) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		s.asked = true
		s.end()
	}
}

// life is the context of one run of the child: it ends with ctx or at a Restart.
func (s *Supervisor) life(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = end
	return ctx, func() {
		end()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.end = nil
	}
}

// wasAsked tells whether the child ended because of a Restart.
func (s *Supervisor) wasAsked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = false
	return asked
}

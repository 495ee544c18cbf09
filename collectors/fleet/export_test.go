package fleet

import "context"

// StepReports makes the reports that are due now, in place of within five seconds.
func (s *Service) StepReports(ctx context.Context) { s.stepReports(ctx) }

// Package stepping has a room do its work again and again: a step now and then,
// or when it is woken, and once an hour what keeps its tables small.
package stepping

import (
	"context"
	"log/slog"
	"time"
)

// Work is what is done.
type Work struct {
	Name  string        // in the log
	Every time.Duration // at the least
	// Wake has it step at once; nil never does.
	Wake <-chan struct{}
	Step func(ctx context.Context) error
	// Hourly is done after a step that went well: at the beginning, and an hour
	// after it was done last.
	Hourly func(ctx context.Context, now time.Time) error
	Clock  func() time.Time
	Log    *slog.Logger
}

// Run does the work until ctx ends. What fails is logged and done again.
func (w Work) Run(ctx context.Context) {
	var hourly time.Time
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for {
		err := w.Step(ctx)
		if now := w.Clock(); err == nil && now.Sub(hourly) > time.Hour {
			hourly, err = now, w.Hourly(ctx, now)
		}
		if err != nil && ctx.Err() == nil {
			w.Log.Error(w.Name, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.Wake:
		}
	}
}

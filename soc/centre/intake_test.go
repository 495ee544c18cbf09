package centre

import (
	"testing"
	"time"

	"icewatch/soc/engine"
)

// What waits for the engine cannot be older than the last moment at which nothing did.
func TestLagIsOfWhatWaits(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for name, c := range map[string]struct {
		caught time.Time
		st     engine.Status
		want   time.Duration
	}{
		"nothing was worked yet":           {ago(time.Hour), engine.Status{}, 0},
		"nothing came for ten minutes":     {ago(3 * time.Second), engine.Status{LastBatch: 5, LastTime: ago(10 * time.Minute)}, 3 * time.Second},
		"it has been behind for an hour":   {ago(time.Hour), engine.Status{LastBatch: 5, LastTime: ago(20 * time.Second)}, 20 * time.Second},
		"it was never seen to have caught": {time.Time{}, engine.Status{LastBatch: 5, LastTime: ago(7 * time.Second)}, 7 * time.Second},
	} {
		g := &gauge{caught: c.caught}
		if got := g.lag(c.st); got < c.want || got > c.want+time.Second {
			t.Errorf("%s: a lag of %v, want %v", name, got, c.want)
		}
	}
}

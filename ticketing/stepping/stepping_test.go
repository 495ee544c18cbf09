package stepping

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// It steps when it is time and when it is woken, tidies up once an hour and not
// after a step that failed, says what failed, and ends.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wake, steps, tidied := make(chan struct{}), 0, 0
		var log bytes.Buffer
		done := make(chan struct{})
		go func() {
			defer close(done)
			Work{Name: "the room", Every: 10 * time.Minute, Wake: wake, Clock: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil)),
				Step: func(context.Context) error {
					if steps++; steps == 1 {
						return errors.New("no disk")
					}
					return nil
				},
				Hourly: func(context.Context, time.Time) error { tidied++; return nil }}.Run(ctx)
		}()
		synctest.Wait()
		if steps != 1 || tidied != 0 || !strings.Contains(log.String(), `"the room" error="no disk"`) {
			t.Errorf("%d steps, tidied %d times, log %s", steps, tidied, &log)
		}
		wake <- struct{}{}
		synctest.Wait()
		if steps != 2 || tidied != 1 {
			t.Errorf("woken: %d steps, tidied %d times", steps, tidied)
		}
		time.Sleep(3*time.Hour + time.Minute)
		synctest.Wait()
		if steps != 20 || tidied < 3 || tidied > 4 {
			t.Errorf("after three hours: %d steps, tidied %d times", steps, tidied)
		}
		cancel()
		<-done
	})
}

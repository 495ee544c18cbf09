package backup

import (
	"context"
	"runtime"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// pace bounds how fast is read; nil is unbounded.
type pace struct{ limit *rate.Limiter }

// paceBurst is how many bytes may be read at once, at least what pack and the
// check of an object read at a time.
const paceBurst = 1 << 20

func newPace(bytesPerSecond int64) *pace {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &pace{rate.NewLimiter(rate.Limit(bytesPerSecond), paceBurst)}
}

func (p *pace) wait(ctx context.Context, n int) error {
	if p == nil {
		return ctx.Err()
	}
	return p.limit.WaitN(ctx, n)
}

// Values of ioprio_set(2): the lowest level of the class best effort.
const (
	ioprioWhoProcess = 1
	ioprioLowest     = 2<<13 | 7
)

// behindOthers runs f on a thread of its own with the least priority on disk
// and processor that still makes progress: intake and searches come first.
func behindOthers(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is never unlocked, so that it ends with the goroutine and
		// its priority serves nobody else.
		runtime.LockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, ioprioLowest)
		done <- f()
	}()
	return <-done
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"icewatch/soc/condition"
)

// leastFree is what the lake's library needs to finish a write it has begun.
// It ends the process where it cannot, so that below it nothing is begun.
const leastFree = 16 << 20

// room watches the disks of the lake. While one is full or cannot be written the
// engine waits: what comes in stays on the bus meanwhile. An event that comes
// late is written to where its day lies, so that every disk counts.
type room struct {
	dirs  []string
	need  int64
	board *condition.Board
	log   *slog.Logger
	full  atomic.Bool
}

// newRoom watches dir. The bus stops taking in at minFree; the lake goes on
// down to half of it, since what it stores sets space free on the bus.
func newRoom(dir string, minFree int64, board *condition.Board, log *slog.Logger) *room {
	return &room{dirs: []string{dir}, need: max(minFree/2, leastFree), board: board, log: log}
}

// look tells whether the lake may write, and keeps the conditions by that.
func (r *room) look() bool {
	good := true
	for _, dir := range r.dirs {
		good = r.lookAt(dir) && good
	}
	return good
}

func (r *room) lookAt(dir string) bool {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		r.tell(dir, condition.ReadOnly, fmt.Sprintf("日志库磁盘无法访问（%s）：%v，引擎等待中", dir, err), fmt.Sprintf("the lake's disk cannot be reached (%s): %v; the engine waits", dir, err))
		return false
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < r.need {
		r.tell(dir, condition.DiskFull, fmt.Sprintf("日志库磁盘空间不足（%s 仅剩 %d MiB，至少需要 %d MiB）：引擎暂停写入，数据保留在总线上，腾出空间后自动继续", dir, free>>20, r.need>>20),
			fmt.Sprintf("the lake's disk is full: %d MiB are free on %s and %d MiB are needed; the engine waits, what comes in stays on the bus, and it goes on by itself once there is space", free>>20, dir, r.need>>20))
		return false
	}
	if r.board.Clear(condition.DiskFull, dir) {
		r.log.Info("engine: the lake's disk has space again", "dir", dir)
	}
	if err := writable(dir); err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			r.tell(dir, condition.DiskFull, fmt.Sprintf("日志库磁盘已满（%s）：%v", dir, err), fmt.Sprintf("the lake's disk is full (%s): %v; the engine waits", dir, err))
			return false
		}
		r.tell(dir, condition.ReadOnly, fmt.Sprintf("日志库目录不可写（%s）：%v。请检查磁盘与挂载选项；引擎等待中，数据保留在总线上", dir, err),
			fmt.Sprintf("the lake's folder %s cannot be written: %v; look at the disk and how it is mounted; the engine waits, what comes in stays on the bus", dir, err))
		return false
	}
	if r.board.Clear(condition.ReadOnly, dir) {
		r.log.Info("engine: the lake's folder can be written again", "dir", dir)
	}
	return true
}

func (r *room) tell(dir, kind, zh, en string) {
	if r.board.Set(condition.Condition{Kind: kind, Key: dir, Severity: condition.Critical, Text: condition.Text{ZH: zh, EN: en}}) {
		r.log.Error("engine: " + en)
	}
}

// writable writes and removes a small file.
func writable(dir string) error {
	probe := filepath.Join(dir, ".writable")
	if err := os.WriteFile(probe, []byte("probe\n"), 0o600); err != nil {
		_ = os.Remove(probe)
		return err
	}
	return os.Remove(probe)
}

// watch looks every second until ctx ends.
func (r *room) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		r.full.Store(!r.look())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// wait returns once the lake may write, by what watch saw last.
func (r *room) wait(ctx context.Context) error {
	for r.full.Load() {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

package centre

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"icewatch/soc/backup"
)

// maxSocketPath is what a unix socket's address holds on Linux, less the end.
const maxSocketPath = 107

func (c *centre) folder(context.Context) error {
	c.failed, c.relays = make(chan error, 4), c.Config.RelayPrefixes()
	if err := os.MkdirAll(c.run, 0o700); err != nil {
		return fmt.Errorf("the data folder cannot be used: %w", err)
	}
	if n := len(filepath.Join(c.run, "icewatch.sock")); n > maxSocketPath {
		return fmt.Errorf("the path of the data folder is %d characters too long for the sockets in it: %s", n-maxSocketPath, c.Config.Data)
	}
	if backup.Interrupted(c.Config.Data) {
		return fmt.Errorf("a restore into the data folder %s did not end: run icewatch restore again", c.Config.Data)
	}
	lock, err := lockFolder(c.Config.Data)
	if err != nil {
		return err
	}
	c.later(lock.Close)
	return nil
}

// ErrRunning says that a suite runs on the data folder.
var ErrRunning = errors.New("another icewatch runs on the data folder")

// lockFolder takes the data folder for this process until the lock is closed.
func lockFolder(dir string) (io.Closer, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data folder cannot be used: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%w %s", ErrRunning, dir)
	}
	return lock, nil
}

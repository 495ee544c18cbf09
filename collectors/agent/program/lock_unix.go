//go:build unix

package program

import (
	"fmt"
	"os"
	"syscall"
)

// Lock makes sure that one process of a kind (what: agent, scanner) alone uses a folder.
func Lock(path, what string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the %s's folder: %w", what, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another %s runs with the folder of %s", what, path)
	}
	return func() { _ = f.Close() }, nil
}

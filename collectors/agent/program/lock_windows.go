package program

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// Lock makes sure that one process of a kind (what: agent, scanner) alone uses a folder.
func Lock(path, what string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the %s's folder: %w", what, err)
	}
	if err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &windows.Overlapped{}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another %s runs with the folder of %s", what, path)
	}
	return func() { _ = f.Close() }, nil
}

package agent

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// lock makes sure that one agent alone uses a folder.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the agent's folder: %w", err)
	}
	if err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &windows.Overlapped{}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another agent runs with the folder of %s", path)
	}
	return func() { _ = f.Close() }, nil
}

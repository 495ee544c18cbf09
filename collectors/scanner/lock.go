package scanner

import (
	"fmt"
	"os"
	"syscall"
)

// lock makes sure that one scanner alone uses a folder.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the scanner's folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another scanner runs with the folder of %s", path)
	}
	return func() { _ = f.Close() }, nil
}

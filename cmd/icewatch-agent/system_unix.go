//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// service tells whether the system runs this as a service of its own kind.
func service() bool { return false }

// restart makes this process the program that lies in its place by now.
func restart() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		// An upgrade renamed the file that runs; what it was called has the new one.
		if program, err = filepath.Abs(os.Args[0]); err != nil {
			return err
		}
	}
	return fmt.Errorf("restart %s: %w", program, syscall.Exec(program, os.Args, os.Environ()))
}

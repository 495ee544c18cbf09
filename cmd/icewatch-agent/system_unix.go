//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// service tells whether the system runs this as a service of its own kind.
func service() bool { return false }

// executable is where this program lay when it began: an upgrade moves the file that runs, and
// the system's answer moves with it.
var executable, errExecutable = os.Executable()

// restart makes this process the program that lies in its place by now.
func restart() error {
	if errExecutable != nil {
		return errExecutable
	}
	return fmt.Errorf("restart %s: %w", executable, syscall.Exec(executable, os.Args, os.Environ()))
}

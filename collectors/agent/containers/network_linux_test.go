package containers

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// ownNetwork has a program begin in a network namespace of its own.
func ownNetwork(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a network of its own is made by root")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
}

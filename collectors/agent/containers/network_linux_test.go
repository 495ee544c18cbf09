package containers

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"icewatch/test/peers"
)

// ownNetwork has a program begin in a network namespace of its own.
func ownNetwork(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		peers.Missing(t, "root, who makes network namespaces")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
}

// noNetwork ends the test where the namespace could not be made.
func noNetwork(t *testing.T, err error) {
	t.Helper()
	peers.Missing(t, "a network namespace of the test's own: "+err.Error())
}

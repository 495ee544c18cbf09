//go:build !linux

package containers

import (
	"os/exec"
	"testing"
)

func ownNetwork(t *testing.T, _ *exec.Cmd) { t.Skip("networks of their own are Linux's") }

func noNetwork(t *testing.T, err error) { t.Fatal(err) }

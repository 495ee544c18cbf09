//go:build !linux

package extension

import (
	"os"
	"os/exec"

	"github.com/shirou/gopsutil/v4/process"
)

func apart(*exec.Cmd) {}

func askToEnd(cmd *exec.Cmd) { kill(cmd) } // There is no way to ask that all programs understand.

func kill(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

func peak(*os.ProcessState) uint64 { return 0 }

// measure is of the process alone.
func measure(pid int) (u usage, ok bool) {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return u, false
	}
	t, err := p.Times()
	if err != nil {
		return u, false
	}
	u.cpu = t.User + t.System
	if m, err := p.MemoryInfo(); err == nil {
		u.memory = m.RSS
	}
	return u, true
}

func touched(os.FileInfo) string { return "" }

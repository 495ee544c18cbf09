package extension

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// apart gives a program a group of its own, which ends with the agent.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func askToEnd(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }

func kill(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// peak is the most memory that a process and its children had, in bytes.
func peak(s *os.ProcessState) uint64 {
	if r, ok := s.SysUsage().(*syscall.Rusage); ok {
		return uint64(r.Maxrss) << 10
	}
	return 0
}

// groups are what all groups of processes take, read at most twice a second.
var groups struct {
	mu sync.Mutex
	at time.Time
	of map[int]usage
}

const ticks = 100 // USER_HZ, which is 100 on all systems that Go has

// measure sums up a group of processes, with children of theirs that ended.
func measure(group int) (usage, bool) {
	groups.mu.Lock()
	defer groups.mu.Unlock()
	if time.Since(groups.at) > 500*time.Millisecond {
		groups.at, groups.of = time.Now(), readGroups()
	}
	u, ok := groups.of[group]
	return u, ok
}

func readGroups() map[int]usage {
	out := map[int]usage{}
	dir, err := os.Open("/proc")
	if err != nil {
		return out
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	page := uint64(os.Getpagesize())
	for _, n := range names {
		if n[0] < '0' || n[0] > '9' {
			continue
		}
		data, err := os.ReadFile("/proc/" + n + "/stat")
		if err != nil {
			continue
		}
		i := bytes.LastIndexByte(data, ')') // The name before may hold anything.
		if i < 0 {
			continue
		}
		f := bytes.Fields(data[i+1:])
		if len(f) < 22 {
			continue
		}
		number := func(i int) uint64 { v, _ := strconv.ParseUint(string(f[i]), 10, 64); return v }
		group := int(number(2))
		u := out[group]
		u.cpu += float64(number(11)+number(12)+number(13)+number(14)) / ticks // utime, stime, cutime, cstime
		u.memory += number(21) * page
		out[group] = u
	}
	return out
}

// touched tells when a file's content or owner, mode or place changed last; no program can set it.
func touched(info os.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(st.Ino, 10) + " " + strconv.FormatInt(st.Ctim.Nano(), 10)
	}
	return ""
}

package inventory

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	psnet "github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"

	"icewatch/collectors/agent/containers"
	"icewatch/collectors/fleet/wire"
)

func processes(ctx context.Context) (out []wire.Process, err error) {
	list, err := process.ProcessesWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, p := range list {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if len(out) >= maxProcesses {
			return out, fmt.Errorf("more than %d processes; the first are told", maxProcesses)
		}
		w := wire.Process{PID: int(p.Pid)}
		if w.Name, err = p.NameWithContext(ctx); err != nil {
			continue // It ended meanwhile.
		}
		parent, _ := p.PpidWithContext(ctx)
		w.Parent = int(parent)
		w.Path, _ = p.ExeWithContext(ctx)
		if args, err := p.CmdlineSliceWithContext(ctx); err == nil {
			w.Command = cut(Command(args))
		}
		w.User, _ = p.UsernameWithContext(ctx)
		if ms, err := p.CreateTimeWithContext(ctx); err == nil {
			w.Started = ms / 1000
		}
		w.CPU, _ = p.CPUPercentWithContext(ctx)
		if m, err := p.MemoryInfoWithContext(ctx); err == nil {
			w.Memory = m.RSS
		}
		out = append(out, w)
	}
	return out, nil
}

var (
	secretName = regexp.MustCompile(`(?i)pass|pwd|secret|token|api.?key|access.?key|private.?key|credential|auth`)
	userInfo   = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*):[^/\s@]+@`)
)

const hidden = "***"

// Command joins arguments and hides those that look like secrets: the value behind
// a name like password, and passwords within addresses.
func Command(args []string) string {
	out := make([]string, 0, len(args))
	next := false
	for i, a := range args {
		if next {
			next = false
			if !strings.HasPrefix(a, "-") {
				out = append(out, hidden)
				continue
			}
		}
		name, _, assigned := strings.Cut(a, "=")
		switch {
		case i > 0 && assigned && secretName.MatchString(name):
			a = name + "=" + hidden
		case i > 0 && strings.HasPrefix(a, "-") && secretName.MatchString(a):
			next = true
		case i > 0 && len(a) > 2 && strings.HasPrefix(a, "-p") && strings.Contains(args[0], "mysql"):
			a = "-p" + hidden
		case i > 0 && a == "-a" && strings.Contains(args[0], "redis"):
			next = true
		}
		out = append(out, userInfo.ReplaceAllString(a, "$1:"+hidden+"@"))
	}
	return strings.Join(out, " ")
}

func ports(ctx context.Context) (out []wire.Port, err error) {
	list, err := psnet.ConnectionsWithoutUidsWithContext(ctx, "inet")
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	names := map[int32]string{}
	seen := map[string]bool{}
	for _, c := range list {
		w := wire.Port{Address: c.Laddr.IP, Port: int(c.Laddr.Port), PID: int(c.Pid)}
		switch {
		case c.Type == syscall.SOCK_STREAM && c.Status == "LISTEN":
			w.Protocol = "tcp"
		case c.Type == syscall.SOCK_DGRAM && c.Raddr.Port == 0 && c.Laddr.Port != 0:
			w.Protocol = "udp"
		default:
			continue
		}
		key := w.Protocol + w.Address + " " + strconv.Itoa(w.Port) + " " + strconv.Itoa(w.PID)
		if seen[key] || len(out) >= maxPorts {
			continue
		}
		seen[key] = true
		if c.Pid > 0 {
			name, ok := names[c.Pid]
			if !ok {
				if p, err := process.NewProcessWithContext(ctx, c.Pid); err == nil {
					name, _ = p.NameWithContext(ctx)
				}
				names[c.Pid] = name
			}
			w.Process, w.Service = name, containers.ServiceOf(name, nil)
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b wire.Port) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Address, b.Address), cmp.Compare(a.PID, b.PID))
	})
	return out, nil
}

package containers

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"icewatch/collectors/fleet/wire"
)

// Bounds of what is looked at of /proc.
const (
	maxProcesses = 100_000
	maxFiles     = 65_536 // open files of a process
	ephemeral    = 32_768 // UDP sockets from this port on are clients', unless they are known
)

// processes are those of the host, by container and by parent.
type processes struct {
	containers map[string][]int
	children   map[int][]int
}

// idPattern is a container's id in a control group's path, whatever the engine and driver.
var idPattern = regexp.MustCompile(`[0-9a-f]{64}`)

// processes looks which container each process is of.
func (p Places) processes() processes {
	out := processes{map[string][]int{}, map[int][]int{}}
	dir, err := os.Open(p.Proc)
	if err != nil {
		return out
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxProcesses)
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if group, err := os.ReadFile(filepath.Join(p.Proc, n, "cgroup")); err == nil {
			// The last id is the innermost: a container within a container.
			if all := idPattern.FindAll(group[:min(len(group), 64<<10)], -1); len(all) > 0 {
				id := string(all[len(all)-1])
				out.containers[id] = append(out.containers[id], pid)
			}
		}
		if stat, err := os.ReadFile(filepath.Join(p.Proc, n, "stat")); err == nil {
			if f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]); len(f) > 1 {
				if parent, err := strconv.Atoi(string(f[1])); err == nil {
					out.children[parent] = append(out.children[parent], pid)
				}
			}
		}
	}
	return out
}

// of are the processes of a container: those in its control group, its first and what that began.
func (x processes) of(c *wire.Container) []int {
	out := slices.Clone(x.containers[c.ID])
	if c.PID > 0 {
		all := []int{c.PID}
		for i := 0; i < len(all) && len(all) < maxProcesses; i++ {
			all = append(all, x.children[all[i]]...)
		}
		out = append(out, all...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// socket is one that listens.
type socket struct {
	protocol string
	local    netip.AddrPort
}

// listening tells on which ports processes listen, in whatever network namespaces they are.
func (p Places) listening(pids []int) (out []wire.ContainerService) {
	spaces := map[string]map[uint64]socket{}
	for _, pid := range pids {
		dir := filepath.Join(p.Proc, strconv.Itoa(pid))
		space, err := os.Readlink(filepath.Join(dir, "ns", "net"))
		if err != nil {
			continue // It ended, or is not ours to see.
		}
		sockets, known := spaces[space]
		if !known {
			sockets = map[uint64]socket{}
			for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
				if f, err := os.Open(filepath.Join(dir, "net", file)); err == nil {
					readSockets(bufio.NewScanner(f), file[:3], sockets)
					_ = f.Close()
				}
			}
			spaces[space] = sockets
		}
		if len(sockets) == 0 {
			continue
		}
		name, service, read := "", "", false
		for _, inode := range openSockets(filepath.Join(dir, "fd")) {
			s, listens := sockets[inode]
			if !listens {
				continue
			}
			if !read {
				name, service = p.name(dir)
				read = true
			}
			w := wire.ContainerService{Protocol: s.protocol, Address: s.local.Addr().Unmap().String(), Port: int(s.local.Port()), PID: pid, Process: name, Service: service, Listening: true}
			if w.Protocol == "udp" && w.Port >= ephemeral && w.Service == "" || len(out) >= maxServices {
				continue
			}
			// One that its children have, too, or that listens on IPv4 and IPv6, is one; the first process stands for all.
			if at := slices.IndexFunc(out, func(o wire.ContainerService) bool { return o.Protocol == w.Protocol && o.Port == w.Port }); at < 0 {
				out = append(out, w)
			} else if !slices.Contains(strings.Split(out[at].Address, ", "), w.Address) {
				out[at].Address += ", " + w.Address
			}
		}
	}
	slices.SortFunc(out, func(a, b wire.ContainerService) int {
		if a.Port != b.Port {
			return a.Port - b.Port
		}
		return strings.Compare(a.Protocol, b.Protocol)
	})
	return out
}

// name is a process's name, and what it is known as.
func (p Places) name(dir string) (name, service string) {
	comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
	name = cut(strings.TrimSpace(string(comm)))
	var args []string
	if name == "java" {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		args = strings.Split(string(line[:min(len(line), 64<<10)]), "\x00")
	}
	return name, ServiceOf(name, args)
}

// openSockets are the inodes of a process's sockets.
func openSockets(dir string) (out []uint64) {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxFiles)
	for _, n := range names {
		to, err := os.Readlink(filepath.Join(dir, n))
		if err != nil {
			continue
		}
		if text, is := strings.CutPrefix(to, "socket:["); is {
			if inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64); err == nil {
				out = append(out, inode)
			}
		}
	}
	slices.Sort(out)
	return out
}

// States of sockets in /proc/net (include/net/tcp_states.h).
const (
	stateListen = "0A"
	stateClose  = "07" // a UDP socket without a peer
)

// readSockets reads a table of /proc/PID/net for what listens, by inode.
func readSockets(lines *bufio.Scanner, protocol string, into map[uint64]socket) {
	for lines.Scan() && len(into) < 100_000 {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || protocol == "tcp" && f[3] != stateListen || protocol == "udp" && f[3] != stateClose {
			continue
		}
		local, good := parseLocal(f[1])
		inode, err := strconv.ParseUint(f[9], 10, 64)
		if !good || err != nil || local.Port() == 0 || inode == 0 {
			continue
		}
		into[inode] = socket{protocol, local}
	}
}

// parseLocal reads ADDRESS:PORT in hexadecimal: the address in words of 32 bits in the host's order,
// which is little-endian on all platforms that the agent is for.
func parseLocal(text string) (netip.AddrPort, bool) {
	address, port, found := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	n, bad := strconv.ParseUint(port, 16, 16)
	if !found || err != nil || bad != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a, uint16(n)), true
}

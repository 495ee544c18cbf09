package harden

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// kernel looks at the settings of the kernel that make an attacker's work
// harder. One that is not there (another kernel, a container) is passed over.
func (r *report) kernel() {
	for _, k := range []struct {
		path, want string
		severity   Severity
		why        string
	}{
		{"kernel/randomize_va_space", "2", Medium, "addresses are not random, which makes faults easier to use"},
		{"kernel/yama/ptrace_scope", "1 2 3", Medium, "any process may read the memory of another of the same account, keys included"},
		{"kernel/kptr_restrict", "1 2", Low, "the kernel shows its addresses"},
		{"kernel/dmesg_restrict", "1", Low, "everybody reads the kernel's log"},
		{"fs/suid_dumpable", "0", Medium, "programs with rights of their own leave memory dumps"},
		{"fs/protected_symlinks", "1", Medium, "links in shared folders lead programs astray"},
		{"fs/protected_hardlinks", "1", Medium, "links in shared folders lead programs astray"},
		{"net/ipv4/tcp_syncookies", "1 2", Medium, "a flood of half-open connections closes the listeners"},
		{"net/ipv4/conf/all/accept_redirects", "0", Low, "others on the network may redirect this machine's traffic"},
		{"net/ipv4/conf/all/accept_source_route", "0", Low, "senders may choose the way past a firewall"},
	} {
		got := r.read("/proc/sys/" + k.path)
		if got == "" || slices.Contains(strings.Fields(k.want), got) {
			continue
		}
		name := strings.ReplaceAll(k.path, "/", ".")
		want, _, _ := strings.Cut(k.want, " ")
		r.add(k.severity, "sysctl-"+name, name+" = "+got, fmt.Sprintf("echo '%s = %s' > /etc/sysctl.d/60-icewatch.conf, then sysctl --system", name, want), "%s", k.why)
	}
}

// risky are services that should not be reached from outside on a machine that
// runs the suite, by port.
var risky = map[uint16]string{21: "FTP", 23: "telnet", 69: "TFTP", 111: "RPC", 139: "NetBIOS", 445: "SMB", 512: "rexec", 513: "rlogin", 514: "rsh or plain syslog",
	873: "rsync", 2049: "NFS", 2375: "Docker without TLS", 2379: "etcd", 3306: "MySQL", 3389: "RDP", 5432: "PostgreSQL", 5900: "VNC", 6379: "Redis",
	8086: "InfluxDB", 9200: "Elasticsearch", 10250: "kubelet", 11211: "memcached", 27017: "MongoDB"}

// ports looks at what else listens on this machine for others.
func (r *report) ports() {
	own := map[string]bool{}
	listeners := [][2]string{{"tcp", r.Config.HTTP.Listen}, {"tcp", r.Config.Syslog.TCP}, {"udp", r.Config.Syslog.UDP},
		{"udp", r.Config.Flows.NetFlow}, {"udp", r.Config.Flows.SFlow}}
	for _, l := range r.Config.Syslog.Listeners {
		listeners = append(listeners, [2]string{"tcp", l.TCP}, [2]string{"udp", l.UDP})
	}
	for _, l := range listeners {
		if _, port, err := net.SplitHostPort(l[1]); err == nil {
			own[l[0]+"/"+port] = true
		}
	}
	open := map[string]uint16{}
	seen := false
	for file, network := range map[string]string{"tcp": "tcp", "tcp6": "tcp", "udp": "udp", "udp6": "udp"} {
		text, err := os.ReadFile(r.path("/proc/net/" + file))
		if err != nil {
			continue
		}
		seen = true
		for _, ap := range listening(string(text), network) {
			if key := fmt.Sprintf("%s/%d", network, ap.Port()); !ap.Addr().IsLoopback() && !own[key] {
				open[key] = ap.Port()
			}
		}
	}
	if !seen {
		r.add(Low, "ports-unseen", "/proc/net", "run the check on the machine itself", "the open ports of this machine cannot be listed")
	}
	for _, key := range slices.Sorted(maps.Keys(open)) {
		if name, ok := risky[open[key]]; ok {
			r.add(High, "port-risky", key, "stop the service, bind it to 127.0.0.1, or let only its clients through the firewall", "%s is open to the network", name)
		} else if open[key] != 22 {
			r.add(Low, "port-open", key, "stop the service if it is not needed, or let only its clients through the firewall", "a port that is not icewatch's is open to the network")
		}
	}
}

// listening reads a table of sockets of /proc/net (proc_net_tcp(5)) and returns
// those that listen. Lines that are none are passed over.
func listening(table, network string) []netip.AddrPort {
	state := "0A" // TCP_LISTEN
	if network == "udp" {
		state = "07" // unconnected
	}
	var out []netip.AddrPort
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != state {
			continue
		}
		host, port, ok := strings.Cut(f[1], ":")
		raw, err := hex.DecodeString(host)
		n, perr := strconv.ParseUint(port, 16, 16)
		if !ok || err != nil || perr != nil || len(raw) != 4 && len(raw) != 16 {
			continue
		}
		// Words of four bytes in the machine's order, which is little-endian on
		// every platform of the suite.
		for i := 0; i < len(raw); i += 4 {
			slices.Reverse(raw[i : i+4])
		}
		addr, _ := netip.AddrFromSlice(raw)
		out = append(out, netip.AddrPortFrom(addr.Unmap(), uint16(n)))
	}
	return out
}

// remoteLogin looks at the configuration of the SSH server (sshd_config(5)):
// the first value of an option counts.
func (r *report) remoteLogin() {
	const file = "/etc/ssh/sshd_config"
	text := r.read(file)
	if text == "" {
		return
	}
	got := map[string]string{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) >= 1 && strings.EqualFold(f[0], "Match") {
			break // what follows holds for some only
		}
		if len(f) >= 2 && !strings.HasPrefix(f[0], "#") {
			if key := strings.ToLower(f[0]); got[key] == "" {
				got[key] = strings.ToLower(f[1])
			}
		}
	}
	if got["permitrootlogin"] == "yes" {
		r.add(High, "ssh-root", file, "PermitRootLogin no", "root signs in from the network with a password")
	}
	if v := got["passwordauthentication"]; v == "" || v == "yes" {
		r.add(Medium, "ssh-password", file, "PasswordAuthentication no, and sign in with keys", "the machine can be reached by guessing a password")
	}
	if got["permitemptypasswords"] == "yes" {
		r.add(Critical, "ssh-empty", file, "PermitEmptyPasswords no", "accounts without a password are open to the network")
	}
}

// clock looks whether the clock is kept by a time server: certificates, second
// factors, audit and the order of events need it.
func (r *report) clock() {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err == nil && (state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0) {
		r.add(Medium, "clock", "system clock", "run chrony or systemd-timesyncd with the city's time server", "the clock is not synchronised: second factors, certificates and the order of events depend on it")
	}
}

package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	fleet "icewatch/collectors/fleet/wire"
	"icewatch/collectors/scanner/discover"
	"icewatch/collectors/scanner/wire"
)

// readings are commands that only read, by the attribute that they give. Their
// paths are the system's own.
var readings = []struct{ name, command string }{
	{"hostname", "hostname"},
	{"os", `. /etc/os-release && printf %s "$PRETTY_NAME"`},
	{"os_version", `. /etc/os-release && printf %s "$VERSION_ID"`},
	{"kernel", "uname -r"},
	{"arch", "uname -m"},
	{"cores", "getconf _NPROCESSORS_ONLN"},
	{"memory", `awk '/^MemTotal:/{printf "%d", $2*1024}' /proc/meminfo`},
	{"serial", "cat /sys/class/dmi/id/product_serial 2>/dev/null"},
	{"model", "cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name 2>/dev/null | tr '\\n' ' '"},
	{wire.AttributeMachine, "cat /etc/machine-id /var/lib/dbus/machine-id 2>/dev/null | head -n 1"},
	{wire.AttributeMACs, `for f in /sys/class/net/*; do [ -e "$f/device" ] && cat "$f/address"; done 2>/dev/null`},
	{"disk", `df -P -x tmpfs -x devtmpfs -x overlay -x squashfs 2>/dev/null | awk 'NR>1 && !seen[$1]++ {n+=$2} END {printf "%.0f", n*1024}'`},
	{wire.AttributeMetrics, `awk '{print "uptime_seconds", $1}' /proc/uptime; awk '{print "load1", $1; print "load5", $2; print "load15", $3}' /proc/loadavg
awk '/^MemTotal:/{printf "memory_total_bytes %.0f\n", $2*1024} /^MemAvailable:/{printf "memory_available_bytes %.0f\n", $2*1024} /^SwapFree:/{printf "swap_free_bytes %.0f\n", $2*1024}' /proc/meminfo
df -P / | awk 'NR==2{printf "root_size_bytes %.0f\nroot_used_bytes %.0f\n", $2*1024, $3*1024}'
set -- /proc/[0-9]*; echo processes $#; awk '/^TCP: inuse/{print "tcp_sockets", $3}' /proc/net/sockstat`},
	{"services", services},
	{"software", `if command -v dpkg-query >/dev/null; then dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n'; else rpm -qa --qf '%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t\n'; fi`},
}

// services lists what listens by TCP, with the program and, of those that are known, the
// version that it tells: address, port, program, version.
const services = `ss -Hltnp 2>/dev/null | awk '{p=$4; sub(/.*:/, "", p); a=$4; sub(/:[0-9]+$/, "", a); n=""; if (match($0, /\(\("[^"]+"/)) n=substr($0, RSTART+3, RLENGTH-4); print a "\t" p "\t" n}' | while IFS="$(printf '\t')" read -r a p n; do
v=; case "$n" in nginx) v=$(nginx -v 2>&1);; redis-server) v=$(redis-server --version 2>&1);; mysqld|mariadbd) v=$("$n" --version 2>&1);; postgres) v=$(postgres --version 2>&1);; sshd) v=$(ssh -V 2>&1);; httpd|apache2) v=$("$n" -v 2>&1);; mongod) v=$(mongod --version 2>&1);; dockerd) v=$(dockerd --version 2>&1);; esac
printf '%s\t%s\t%s\t%s\n' "$a" "$p" "$n" "$(printf %s "$v" | head -n 1)"; done`

// maxReading bounds what is read of one command, and what one attribute holds.
const (
	maxReading   = 4 << 20
	maxAttribute = 48 << 10
)

// deep reads of a host what credentials let read.
func (j *Job) deep(ctx context.Context, a netip.Addr, f *discover.Found) {
	for _, s := range f.Services {
		if s.Name != "ssh" {
			continue
		}
		for _, cred := range j.run.Credentials {
			if cred.Kind != wire.CredentialSSH || cred.Host != "" && cred.Host != a.String() || cred.Port != 0 && cred.Port != s.Port {
				continue
			}
			err := j.read(ctx, a, s.Port, cred)
			if err == nil {
				return
			}
			j.note(wire.Note{Level: wire.LevelWarn, Target: a.String(), Text: cred.String() + ": " + err.Error()})
			break // One credential, one attempt: the next one may be of the same account.
		}
	}
}

func (j *Job) read(ctx context.Context, a netip.Addr, port int, cred wire.Credential) error {
	address := net.JoinHostPort(a.String(), strconv.Itoa(port))
	c, err := j.dialer.DialBy(ctx, "deep", "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	asked := false // One password goes one way: a second refusal may lock the account.
	methods := []ssh.AuthMethod{
		ssh.PasswordCallback(func() (string, error) { asked = true; return cred.Secret, nil }),
		ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			if len(questions) == 0 {
				return nil, nil
			}
			if asked || len(questions) != 1 || echos[0] {
				return nil, errors.New("the password is refused, or more than it is asked for")
			}
			asked = true
			return []string{cred.Secret}, nil
		}),
	}
	if cred.Key != "" {
		signer, err := ssh.ParsePrivateKey([]byte(cred.Key))
		if err != nil {
			return fmt.Errorf("the private key cannot be read")
		}
		methods = []ssh.AuthMethod{ssh.PublicKeys(signer)}
	}
	conn, chans, reqs, err := ssh.NewClientConn(c, address, &ssh.ClientConfig{User: cred.User, Auth: methods, HostKeyCallback: ssh.InsecureIgnoreHostKey()}) //nolint:gosec // Addresses of discovery have no keys that are known beforehand.
	if err != nil {
		return err
	}
	client := ssh.NewClient(conn, chans, reqs)
	defer client.Close()
	for _, r := range readings {
		out, err := command(client, r.command)
		if err != nil || len(out) == 0 {
			continue
		}
		switch r.name {
		case wire.AttributeMachine:
			if id := strings.TrimSpace(out); id != "" {
				j.attribute(a, r.name, fleet.Machine(id))
			}
			continue
		case wire.AttributeMACs:
			j.attribute(a, r.name, strings.Join(slices.Compact(slices.Sorted(strings.FieldsSeq(out))), ";"))
			continue
		case wire.AttributeMetrics:
			if m := metrics(out); len(m) > 0 {
				j.attribute(a, r.name, m)
			}
			continue
		case "services":
			if list := listening(out); len(list) > 0 {
				j.attribute(a, r.name, list)
			}
			continue
		case "software":
		default:
			j.attribute(a, r.name, strings.TrimSpace(out))
			continue
		}
		var part []map[string]string
		size := 0
		for line := range strings.Lines(out) {
			if w := strings.Split(strings.TrimRight(line, "\n"), "\t"); len(w) >= 5 {
				p := map[string]string{"name": w[0], "version": w[1], "arch": w[2], "source_package": w[3], "source_version": w[4]}
				part = append(part, p)
				if size += len(line) + 90; size > maxAttribute {
					j.attribute(a, r.name, part)
					part, size = nil, 0
				}
			}
		}
		if len(part) > 0 {
			j.attribute(a, r.name, part)
		}
	}
	return nil
}

// metrics reads lines of a name and a number.
func metrics(out string) map[string]float64 {
	m := map[string]float64{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil && len(m) < wire.MaxMetrics && wire.IsMetric(name) && n == n && n-n == 0 {
			m[name] = n
		}
	}
	return m
}

// maxListening bounds what listens on a host.
const maxListening = 200

// listening reads lines of address, port, program and version.
func listening(out string) []map[string]string {
	var list []map[string]string
	for line := range strings.Lines(out) {
		w := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(w) != 4 || len(list) >= maxListening {
			continue
		}
		if port, err := strconv.Atoi(w[1]); err != nil || port < 1 || port > 65535 {
			continue
		}
		x := map[string]string{"address": clip(w[0], 64), "port": w[1]}
		for name, value := range map[string]string{"program": clip(w[2], 64), "version": clip(w[3], 120)} {
			if value != "" {
				x[name] = value
			}
		}
		list = append(list, x)
	}
	return list
}

func clip(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

func (j *Job) attribute(a netip.Addr, name string, value any) {
	data, err := json.Marshal(value)
	if err != nil || len(data) > maxAttribute+4096 {
		return
	}
	j.add(wire.Result{Kind: wire.KindAttribute, Attribute: &wire.Attribute{Address: a.String(), Name: name, Value: data, Source: "ssh"}})
}

// limited keeps the beginning of what is written.
type limited struct{ b strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxReading - l.b.Len(); room > 0 {
		l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func command(client *ssh.Client, text string) (string, error) {
	s, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	var out limited
	s.Stdout = &out
	err = s.Run(text)
	return out.b.String(), err
}

package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

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
	{"software", `if command -v dpkg-query >/dev/null; then dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n'; else rpm -qa --qf '%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t\n'; fi`},
}

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
		if r.name != "software" {
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

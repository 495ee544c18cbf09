package inventory

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"icewatch/collectors/fleet/wire"
)

// users reads the accounts of a Unix system.
func users(root string) ([]wire.User, error) {
	f, err := os.Open(filepath.Join(root, "etc/passwd"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errAbsent
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []wire.User
	lines := bufio.NewScanner(f)
	for lines.Scan() && len(out) < maxUsers {
		p := strings.Split(lines.Text(), ":")
		if len(p) < 7 || strings.HasPrefix(p[0], "#") {
			continue
		}
		shell := p[6]
		out = append(out, wire.User{Name: cut(p[0]), ID: cut(p[2]), Home: cut(p[5]), Shell: cut(shell),
			Login: shell != "" && !strings.HasSuffix(shell, "nologin") && !strings.HasSuffix(shell, "/false") && !strings.HasSuffix(shell, "/sync")})
	}
	if err := lines.Err(); err != nil {
		return out, err
	}
	g, err := os.Open(filepath.Join(root, "etc/group"))
	if err != nil {
		return out, nil //nolint:nilerr // Accounts without groups are better than none.
	}
	defer g.Close()
	lines = bufio.NewScanner(g)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p := strings.Split(lines.Text(), ":")
		if len(p) < 4 {
			continue
		}
		for member := range strings.SplitSeq(p[3], ",") {
			if i := slices.IndexFunc(out, func(u wire.User) bool { return u.Name == member }); i >= 0 && len(out[i].Groups) < 100 {
				out[i].Groups = append(out[i].Groups, cut(p[0]))
			}
		}
	}
	return out, nil
}

// certificatePlaces are where servers have their certificates. The authorities that
// the system trusts are not looked at.
var certificatePlaces = []string{"/etc/nginx", "/etc/apache2", "/etc/httpd", "/etc/ssl/private", "/etc/ssl/local", "/etc/pki/tls/certs", "/etc/pki/nginx", "/etc/letsencrypt/live", "/etc/kubernetes/pki",
	"/etc/etcd", "/etc/mysql", "/etc/postgresql", "/var/lib/postgresql", "/etc/redis", "/etc/haproxy", "/etc/docker", "/etc/rabbitmq", "/etc/tomcat9", "/etc/tomcat10", "/opt/certs", "/usr/local/nginx/conf"}

func certificates(ctx context.Context, places []string) (out []wire.Certificate, err error) {
	files := 0
	seen := map[string]bool{}
	for _, root := range places {
		walk := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // What cannot be read is not there for us.
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if d.IsDir() {
				if strings.Count(strings.TrimPrefix(path, root), string(filepath.Separator)) > 4 {
					return filepath.SkipDir
				}
				return nil
			}
			switch strings.ToLower(filepath.Ext(path)) {
			case ".pem", ".crt", ".cer", ".cert":
			default:
				return nil
			}
			if files++; files > 5000 || len(out) >= maxCertificates {
				return filepath.SkipAll
			}
			for _, c := range readCertificates(path) {
				if !seen[path+c.SHA256] {
					seen[path+c.SHA256] = true
					out = append(out, c)
				}
			}
			return nil
		})
		err = errors.Join(err, walk)
	}
	return out[:min(len(out), maxCertificates)], err
}

// readCertificates reads the first certificate of each chain of a file; a bundle of
// authorities has none.
func readCertificates(path string) (out []wire.Certificate) {
	info, err := os.Stat(path) // Links are followed: live certificates are links.
	if err != nil || !info.Mode().IsRegular() || info.Size() > 256<<10 {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	add := func(der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil || c.IsCA && !bytes.Equal(c.RawIssuer, c.RawSubject) {
			return
		}
		sum := sha256.Sum256(der)
		out = append(out, wire.Certificate{Path: path, Subject: cut(c.Subject.String()), Issuer: cut(c.Issuer.String()), Serial: hex.EncodeToString(c.SerialNumber.Bytes()), SHA256: hex.EncodeToString(sum[:]), NotAfter: c.NotAfter.Unix()})
	}
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		add(data)
		return out
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			add(block.Bytes)
		}
	}
	if len(out) > 10 {
		return nil // a bundle of authorities
	}
	return out
}

// unitStates asks systemd for its services.
func unitStates(ctx context.Context) ([]wire.Service, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil, errAbsent // It does not run here.
	}
	path, err := exec.LookPath("systemctl")
	if err != nil {
		return nil, errAbsent
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C"}
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("systemctl %s: %w", args[0], err)
		}
		return out, nil
	}
	files, err := run("list-unit-files", "--type=service", "--no-legend", "--no-pager", "--plain")
	if err != nil {
		return nil, err
	}
	units, err := run("list-units", "--type=service", "--all", "--no-legend", "--no-pager", "--plain")
	if err != nil {
		return nil, err
	}
	return mergeUnits(files, units), nil
}

// mergeUnits puts the two lists of systemctl together.
func mergeUnits(files, units []byte) (out []wire.Service) {
	start := map[string]string{}
	for line := range bytes.Lines(files) {
		if f := strings.Fields(string(line)); len(f) >= 2 {
			start[f[0]] = f[1]
		}
	}
	for line := range bytes.Lines(units) {
		f := strings.Fields(strings.TrimLeft(string(line), " ●*"))
		if len(f) >= 4 && f[1] == "loaded" && len(out) < maxServices {
			out = append(out, wire.Service{Name: cut(f[0]), State: cut(f[2]), Start: cut(start[f[0]])})
		}
	}
	return out
}

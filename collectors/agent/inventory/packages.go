package inventory

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"icewatch/collectors/fleet/wire"
)

// packages reads the databases of dpkg, apk and rpm, whichever are there.
func packages(ctx context.Context, root string) (out []wire.Installed, err error) {
	found := false
	for _, db := range []struct {
		path string
		read func(io.Reader) ([]wire.Installed, error)
	}{{"var/lib/dpkg/status", dpkg}, {"lib/apk/db/installed", apk}} {
		f, err := os.Open(filepath.Join(root, db.path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return out, err
		}
		list, err := db.read(f)
		_ = f.Close()
		if err != nil {
			return out, fmt.Errorf("%s: %w", f.Name(), err)
		}
		found = true
		out = append(out, list...)
	}
	if _, err := os.Stat(filepath.Join(root, "var/lib/rpm")); err == nil {
		if path, err := exec.LookPath("rpm"); err == nil {
			found = true
			cmd := exec.CommandContext(ctx, path, "--root", root, "-qa", "--qf", `%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\n`)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C"}
			text, err := cmd.Output()
			if err != nil {
				return out, fmt.Errorf("rpm -qa: %w", err)
			}
			out = append(out, rpm(text)...)
		}
	}
	if list, err := registered(); err == nil {
		found = true
		out = append(out, list...)
	}
	if !found {
		return nil, errAbsent
	}
	return out[:min(len(out), maxPackages)], nil
}

// stanzas calls f with the fields of each paragraph of a text.
func stanzas(r io.Reader, f func(map[string]string)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 4<<20)
	fields := map[string]string{}
	flush := func() {
		if len(fields) > 0 {
			f(fields)
			clear(fields)
		}
	}
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			flush()
			continue
		}
		if name, value, ok := strings.Cut(line, ":"); ok && line[0] != ' ' && line[0] != '\t' {
			fields[name] = strings.TrimSpace(value)
		}
	}
	flush()
	return lines.Err()
}

func dpkg(r io.Reader) (out []wire.Installed, err error) {
	err = stanzas(r, func(f map[string]string) {
		if strings.HasSuffix(f["Status"], " installed") && f["Package"] != "" && len(out) < maxPackages {
			p := wire.Installed{Name: cut(f["Package"]), Version: cut(f["Version"]), Arch: cut(f["Architecture"]), Source: "dpkg"}
			// Source: openssl (3.0.1-1+b1), the version only where it is another.
			name, version, _ := strings.Cut(f["Source"], " ")
			p.SourcePackage, p.SourceVersion = cut(name), cut(strings.Trim(version, "()"))
			out = append(out, p)
		}
	})
	return out, err
}

func apk(r io.Reader) (out []wire.Installed, err error) {
	err = stanzas(r, func(f map[string]string) {
		if f["P"] != "" && len(out) < maxPackages {
			p := wire.Installed{Name: cut(f["P"]), Version: cut(f["V"]), Arch: cut(f["A"]), Source: "apk"}
			if f["o"] != f["P"] {
				p.SourcePackage = cut(f["o"])
			}
			out = append(out, p)
		}
	})
	return out, err
}

func rpm(text []byte) (out []wire.Installed) {
	for line := range bytes.Lines(text) {
		f := strings.Split(strings.TrimSpace(string(line)), "\t")
		if len(f) != 4 || f[0] == "" || f[0] == "gpg-pubkey" || len(out) >= maxPackages {
			continue
		}
		p := wire.Installed{Name: cut(f[0]), Version: cut(strings.TrimPrefix(f[1], "0:")), Arch: cut(f[2]), Source: "rpm"}
		// openssl-3.0.7-27.el9.src.rpm: the name stands before the last two parts.
		parts := strings.Split(strings.TrimSuffix(strings.TrimSuffix(f[3], ".rpm"), ".src"), "-")
		if n := len(parts); n > 2 {
			if name := strings.Join(parts[:n-2], "-"); name != p.Name {
				p.SourcePackage = cut(name)
			}
		}
		out = append(out, p)
	}
	return out
}

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
			cmd := exec.CommandContext(ctx, path, "--root", root, "-qa", "--qf", `%{NAME}\t%{VERSION}-%{RELEASE}\t%{ARCH}\n`)
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
			out = append(out, wire.Installed{Name: cut(f["Package"]), Version: cut(f["Version"]), Arch: cut(f["Architecture"]), Source: "dpkg"})
		}
	})
	return out, err
}

func apk(r io.Reader) (out []wire.Installed, err error) {
	err = stanzas(r, func(f map[string]string) {
		if f["P"] != "" && len(out) < maxPackages {
			out = append(out, wire.Installed{Name: cut(f["P"]), Version: cut(f["V"]), Arch: cut(f["A"]), Source: "apk"})
		}
	})
	return out, err
}

func rpm(text []byte) (out []wire.Installed) {
	for line := range bytes.Lines(text) {
		f := strings.Split(strings.TrimSpace(string(line)), "\t")
		if len(f) == 3 && f[0] != "gpg-pubkey" && len(out) < maxPackages {
			out = append(out, wire.Installed{Name: cut(f[0]), Version: cut(f[1]), Arch: cut(f[2]), Source: "rpm"})
		}
	}
	return out
}

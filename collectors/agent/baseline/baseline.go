// Package baseline holds the configuration of a host and of what runs there against
// the items of soc/exposure/baseline: Linux with its SSH server, Nginx, MySQL,
// PostgreSQL, Redis and Docker. It reads files and what sshd -T prints, and changes
// nothing. Of a password it tells that it is missing or short, never what it is.
package baseline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/wire"
)

// Bounds of what is read.
const (
	maxFile    = 1 << 20 // bytes of one file
	maxFiles   = 200     // of one product, with what it includes
	maxResults = 500
	maxFound   = 300 // bytes of what was found
	patience   = 5 * time.Second
)

// host is where things are read.
type host struct {
	root string
	sshd func(ctx context.Context) ([]byte, error) // what sshd -T prints; nil where it is not to be run
	out  []wire.BaselineCheck
}

// Run checks the host below root. What is not there is not checked.
func Run(ctx context.Context, root string) []wire.BaselineCheck {
	if runtime.GOOS != "linux" {
		return nil
	}
	return run(ctx, &host{root: root, sshd: sshdT})
}

func run(ctx context.Context, h *host) []wire.BaselineCheck {
	for _, part := range []func(context.Context, *host){linux, ssh, nginx, mysql, postgresql, redis, docker} {
		if ctx.Err() != nil {
			break
		}
		part(ctx, h)
	}
	slices.SortStableFunc(h.out, func(a, b wire.BaselineCheck) int {
		return strings.Compare(a.ID+"\x00"+a.Where, b.ID+"\x00"+b.Where)
	})
	return h.out[:min(len(h.out), maxResults)]
}

// sshdT asks the SSH server for the configuration that is in force.
func sshdT(ctx context.Context) ([]byte, error) {
	path, err := exec.LookPath("sshd")
	if err != nil {
		path = "/usr/sbin/sshd"
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-T")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}
	cmd.WaitDelay = time.Second
	return cmd.Output()
}

// is notes whether an item holds, and what was found.
func (h *host) is(id, where string, ok bool, found string) {
	state := wire.BaselineFail
	if ok {
		state = wire.BaselinePass
	}
	h.note(id, where, state, found)
}

// cannot notes that an item could not be looked at.
func (h *host) cannot(id, where string, err error) {
	h.note(id, where, wire.BaselineUnknown, err.Error())
}

func (h *host) note(id, where, state, found string) {
	if len(found) > maxFound {
		found = found[:maxFound]
	}
	h.out = append(h.out, wire.BaselineCheck{ID: id, State: state, Where: where, Found: strings.ToValidUTF8(found, "")})
}

// read reads a whole file, if it is one and not too large.
func (h *host) read(path string) ([]byte, error) {
	full := filepath.Join(h.root, path)
	info, err := os.Stat(full)
	if err != nil {
		return nil, h.said(path, err)
	}
	if !info.Mode().IsRegular() && info.Mode()&os.ModeType != 0 {
		return nil, fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(full)
	if err != nil {
		return nil, h.said(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, h.said(path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// said tells an error by the path as the host has it.
func (h *host) said(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", path, p.Err)
	}
	return err
}

// glob lists the files of a pattern, as the host has them, in order.
func (h *host) glob(pattern string) []string {
	list, err := filepath.Glob(filepath.Join(h.root, pattern))
	if err != nil {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, p := range list[:min(len(list), maxFiles)] {
		if rel, err := filepath.Rel(h.root, p); err == nil {
			out = append(out, "/"+rel)
		}
	}
	return out
}

// lines calls f with each line that is no comment, cut of spaces.
func lines(data []byte, f func(string)) {
	for line := range bytes.Lines(data) {
		s := strings.TrimSpace(string(line))
		if s != "" && s[0] != '#' {
			f(s)
		}
	}
}

func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

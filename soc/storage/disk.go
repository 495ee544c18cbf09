// Package storage looks after the disks that the suite lives on: what lies
// where, how fast it grows, for how many days it will fit, and which of the
// oldest data goes when a disk runs full and the policy says so.
package storage

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Disk is a mounted file system that holds parts of the suite.
type Disk struct {
	Mount   string   `json:"mount"`
	Holds   []string `json:"holds" nullable:"false" doc:"Parts of the suite on it"`
	Total   int64    `json:"total_bytes"`
	Used    int64    `json:"used_bytes" doc:"By everything on it, not only the suite"`
	Free    int64    `json:"free_bytes" doc:"What the suite may still use"`
	Reserve int64    `json:"reserve_bytes" doc:"Of the free bytes, what is left free: below it intake stops"`
	Percent float64  `json:"free_percent" doc:"Of what is used and free together, as df tells it: file systems keep blocks for root"`
	device  uint64
}

// usable is how many bytes users other than root share.
func (d Disk) usable() int64 { return d.Used + d.Free }

// Disks tells of the file systems that the parts lie on; parts is folder by
// name. A folder that is not there yet lies where it will be made.
func Disks(parts map[string]string, reserve int64) ([]Disk, error) {
	var out []Disk
	mounts := mountPoints()
	for name, dir := range parts {
		dir, st, err := existing(dir)
		if err != nil {
			return nil, fmt.Errorf("storage: the disk of %s: %w", name, err)
		}
		i := slices.IndexFunc(out, func(d Disk) bool { return d.device == st.Dev })
		if i < 0 {
			var vfs syscall.Statfs_t
			if err := syscall.Statfs(dir, &vfs); err != nil {
				return nil, fmt.Errorf("storage: the disk of %s at %s: %w", name, dir, err)
			}
			size := int64(vfs.Bsize)
			d := Disk{Mount: mountOf(dir, mounts), Total: int64(vfs.Blocks) * size, Free: int64(vfs.Bavail) * size, Reserve: reserve, device: st.Dev}
			d.Used = d.Total - int64(vfs.Bfree)*size
			if d.usable() > 0 {
				d.Percent = 100 * float64(d.Free) / float64(d.usable())
			}
			out, i = append(out, d), len(out)
		}
		out[i].Holds = append(out[i].Holds, name)
	}
	for i := range out {
		slices.Sort(out[i].Holds)
	}
	slices.SortFunc(out, func(a, b Disk) int { return strings.Compare(a.Mount, b.Mount) })
	return out, nil
}

// existing returns the folder, or the nearest above it that is there.
func existing(dir string) (string, *syscall.Stat_t, error) {
	for {
		fi, err := os.Stat(dir)
		if err == nil {
			return dir, fi.Sys().(*syscall.Stat_t), nil
		}
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || up == dir {
			return "", nil, err
		}
		dir = up
	}
}

// mountPoints reads where file systems are mounted; none where the system does
// not tell.
func mountPoints() []string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 4 {
			// Blanks in a path are written as \040 (proc(5)).
			out = append(out, strings.ReplaceAll(words[4], `\040`, " "))
		}
	}
	return out
}

// mountOf is the mount point that a folder lies below.
func mountOf(dir string, mounts []string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	best := "/"
	for _, m := range mounts {
		if len(m) >= len(best) && (dir == m || strings.HasPrefix(dir, strings.TrimSuffix(m, "/")+"/")) {
			best = m
		}
	}
	return best
}

// Package partition knows the lake's folders on this machine: which days there
// are of which retention class, how large each is, and how one is dropped while
// the engine, which would hold it open, is down.
package partition

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Partition is one day of one retention class, a folder of the lake.
type Partition struct {
	Class string `json:"class"`
	Day   string `json:"day" doc:"UTC, such as 2026-11-25"`
	Rows  uint64 `json:"rows" doc:"On the disk; those of the last seconds may be missing"`
	Bytes int64  `json:"bytes"`
	Cold  bool   `json:"cold" doc:"It lies in the cold folder"`
}

// The lake's library keeps a day in partitions/YYYYMMDD of its folder, and its
// parts in datadb below that, each with the number of its rows in metadata.json.
const (
	partitionsFolder = "partitions"
	dayLayout        = "20060102"
	goneSuffix       = ".gone"
)

var dayFolder = regexp.MustCompile(`^[0-9]{8}$`)

// List lists what lies in the lake's folder, the oldest first.
func List(lake string) ([]Partition, error) {
	folders, err := filepath.Glob(filepath.Join(lake, "*", partitionsFolder, "*"))
	if err != nil {
		return nil, fmt.Errorf("partition: list the partitions below %s: %w", lake, err)
	}
	out := []Partition{}
	for _, dir := range folders {
		day, err := time.Parse(dayLayout, filepath.Base(dir))
		if err != nil || !dayFolder.MatchString(filepath.Base(dir)) {
			continue
		}
		p := Partition{Class: filepath.Base(filepath.Dir(filepath.Dir(dir))), Day: day.Format(time.DateOnly), Cold: isLink(dir)}
		if p.Cold {
			if dir, err = filepath.EvalSymlinks(dir); err != nil {
				continue // the cold folder cannot be reached
			}
		}
		if p.Bytes, err = Size(dir); err != nil {
			return nil, err
		}
		p.Rows = rowsIn(filepath.Join(dir, "datadb"))
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Partition) int {
		if c := strings.Compare(a.Day, b.Day); c != 0 {
			return c
		}
		return strings.Compare(a.Class, b.Class)
	})
	return out, nil
}

// rowsIn sums up the rows of the parts in a folder. Parts come and go while it
// looks.
func rowsIn(datadb string) (rows uint64) {
	parts, _ := filepath.Glob(filepath.Join(datadb, "*", "metadata.json"))
	for _, name := range parts {
		data, err := os.ReadFile(name)
		var meta struct{ RowsCount uint64 }
		if err == nil && json.Unmarshal(data, &meta) == nil {
			rows += meta.RowsCount
		}
	}
	return rows
}

// clearingFile is an order to the engine to drop partitions before it opens the
// lake: the library cannot drop a day that it holds open.
const clearingFile = "clear.json"

// OrderClear leaves the order to drop the days in the engine's folder, for its
// next start.
func OrderClear(engine string, days []Partition) error { return order(engine, clearingFile, days) }

// ClearOrdered tells whether an order to drop days still waits for the engine.
func ClearOrdered(engine string) bool {
	_, err := os.Stat(filepath.Join(engine, clearingFile))
	return err == nil
}

// orders is what lies in the file of an order.
type orders struct {
	Partitions []Partition `json:"partitions"`
}

func order(engine, name string, days []Partition) error {
	data, err := json.Marshal(orders{days})
	if err != nil {
		return fmt.Errorf("partition: order %s: %w", name, err)
	}
	return replaceFile(filepath.Join(engine, name), data)
}

// ordered reads an order, none where there is none. What cannot be read is
// removed.
func ordered(engine, name string) ([]Partition, error) {
	path := filepath.Join(engine, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var o orders
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("partition: the order %s is not readable and is dropped: %w", path, err), remove(path))
	}
	return o.Partitions, nil
}

// Clear carries out what was ordered, before the lake in the engine's folder is
// opened, and returns the partitions that are gone. What a crash left half
// done is finished. A partition is renamed before it is removed, so that the
// library never meets half of one.
func Clear(engine, lake string) ([]Partition, error) {
	left, _ := filepath.Glob(filepath.Join(lake, "*", "*"+goneSuffix))
	for _, dir := range left {
		if err := discard(dir); err != nil {
			return nil, fmt.Errorf("partition: clear: %w", err)
		}
	}
	days, err := ordered(engine, clearingFile)
	if err != nil {
		return nil, err
	}
	var gone []Partition
	var errs []error
	for _, p := range days {
		from, _, err := Cold{Lake: lake}.place(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		to := beside(from, goneSuffix)
		if err := os.Rename(from, to); err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("partition: clear: %w", err))
			}
			continue
		}
		gone = append(gone, p)
		if err := discard(to); err != nil {
			errs = append(errs, fmt.Errorf("partition: clear: %w", err))
		}
	}
	return gone, errors.Join(append(errs, remove(filepath.Join(engine, clearingFile)))...)
}

// discard removes a day, and what it is a link to.
func discard(path string) error {
	if isLink(path) {
		cold, err := os.Readlink(path)
		if err == nil {
			err = os.RemoveAll(cold)
		}
		if err != nil {
			return err
		}
	}
	return os.RemoveAll(path)
}

// Size is how many bytes the files below a folder take up on the disk. Files
// that go while it counts are left out; a folder that is not there holds none.
func Size(dir string) (bytes int64, err error) {
	seen := map[uint64]bool{} // hard links count once
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var fi fs.FileInfo
			if fi, err = e.Info(); err == nil {
				st := fi.Sys().(*syscall.Stat_t)
				if st.Nlink > 1 && seen[st.Ino] {
					return nil
				}
				if st.Nlink > 1 {
					seen[st.Ino] = true
				}
				bytes += st.Blocks * 512
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("partition: size of %s: %w", dir, err)
	}
	return bytes, nil
}

// Classes lists the retention classes that hold at least a day.
func Classes(lake string) []string {
	var out []string
	days, _ := filepath.Glob(filepath.Join(lake, "*", partitionsFolder, "[0-9]*"))
	for _, dir := range days {
		name := filepath.Base(filepath.Dir(filepath.Dir(dir)))
		if dayFolder.MatchString(filepath.Base(dir)) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

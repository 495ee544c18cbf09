package partition

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Cold is a second place for the lake's days: a folder on a larger and slower
// disk, in which old days lie. In the lake a link stands for such a day, so
// that the library opens it like any other; nothing that asks knows the
// difference. A day is copied while the lake is open (Copy) and swapped for its
// copy at a start of the engine (Settle), which takes no longer than a rename.
//
// A folder belongs to one lake: account ids mean nothing in another.
type Cold struct {
	Dir    string // the cold folder
	Engine string // the engine's folder
	Lake   string // the lake's, below it
}

// Names in the lake beside those of the library. Links and folders on their way
// lie beside the folder of partitions, in which the library bears no others.
const (
	linkSuffix  = ".cold" // a link about to take its day's place
	awaySuffix  = ".away" // a link whose day cannot be reached
	newSuffix   = ".new"  // a copy that is not whole
	ownerFile   = "cold-owner"
	coolingFile = "cool.json"
	partsFile   = "parts.json"
	// settleAtMost bounds the bytes that Settle copies of one day: the engine
	// waits meanwhile. A day that was changed more since it was copied stays.
	settleAtMost = 256 << 20
)

// ErrForeign says that a cold folder belongs to another lake.
var ErrForeign = errors.New("the cold folder belongs to another lake")

// Claim makes the folder where it is missing and marks it as this lake's. It is
// ErrForeign where another lake's mark is in it, and an error where the mark is
// gone: then the folder is the mount point of a disk that is not there.
func (c Cold) Claim() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("partition: the cold folder: %w", err)
	}
	mark, other := filepath.Join(c.Engine, ownerFile), filepath.Join(c.Dir, ownerFile)
	mine, err := os.ReadFile(mark)
	known := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		mine, err = []byte(rand.Text()+"\n"), nil
	}
	if err != nil {
		return fmt.Errorf("partition: the mark of the cold folder: %w", err)
	}
	theirs, err := os.ReadFile(other)
	switch {
	case err == nil && bytes.Equal(mine, theirs):
		return nil
	case err == nil && !known && c.empty():
		return replaceFile(mark, theirs) // a crash came between the two marks
	case err == nil:
		return fmt.Errorf("partition: %w: %s differs from %s; name an empty folder", ErrForeign, other, mark)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("partition: the mark of the cold folder: %w", err)
	case known:
		return fmt.Errorf("partition: the cold folder has no %s, as before its disk is mounted; to begin with an empty one, remove %s", ownerFile, mark)
	}
	// The lake's own mark comes last: without it the folder is claimed anew.
	if err := replaceFile(other, mine); err != nil {
		return err
	}
	return replaceFile(mark, mine)
}

// empty tells whether nothing but the mark is in the cold folder.
func (c Cold) empty() bool {
	entries, err := os.ReadDir(c.Dir)
	return err == nil && len(entries) == 1
}

// place is where a day lies: in the lake, and in the cold folder.
func (c Cold) place(p Partition) (hot, cold string, err error) {
	day, err := time.Parse(time.DateOnly, p.Day)
	if err != nil || p.Class != filepath.Base(p.Class) || strings.HasPrefix(p.Class, ".") {
		return "", "", fmt.Errorf("partition: %s of %q is no partition", p.Day, p.Class)
	}
	folder := day.Format(dayLayout)
	return filepath.Join(c.Lake, p.Class, partitionsFolder, folder), filepath.Join(c.Dir, p.Class, folder), nil
}

// target is where the copy of a day is made: where it was made already, or
// under a name that says that it is not whole.
func target(cold string) string {
	if _, err := os.Stat(cold); err == nil {
		return cold
	}
	return cold + newSuffix
}

// Copy copies a day into the cold folder, or what of it has changed since. The
// lake may be open: its files are written once and never changed.
func (c Cold) Copy(ctx context.Context, p Partition) error {
	hot, cold, err := c.place(p)
	if err != nil {
		return err
	}
	if err := mirror(ctx, hot, target(cold)); err != nil {
		return fmt.Errorf("partition: copy %s of the class %s to the cold folder: %w", p.Day, p.Class, err)
	}
	return nil
}

// Order makes the engine swap the days for their copies at its next start.
func (c Cold) Order(days []Partition) error { return order(c.Engine, coolingFile, days) }

// Ordered tells whether an order waits.
func (c Cold) Ordered() bool {
	_, err := os.Stat(filepath.Join(c.Engine, coolingFile))
	return err == nil
}

// Settled is what Settle did and found.
type Settled struct {
	Moved []Partition // now in the cold folder
	Back  []Partition // could not be reached before, and can now
	Away  []Partition // cannot be reached: the lake opens without them
}

// Settle brings the days to where they belong. Without Dir none moves and the
// order waits. The lake must be closed. What a
// crash left half-way is finished; what cannot be reached is left out, so that
// the lake opens with the rest.
func (c Cold) Settle(ctx context.Context) (s Settled, err error) {
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, p := range c.links(linkSuffix) {
		note(c.swap(p))
	}
	if c.Dir != "" {
		days, err := ordered(c.Engine, coolingFile)
		note(err)
		for _, p := range days {
			if moved, err := c.move(ctx, p); err != nil {
				note(err)
			} else if moved {
				s.Moved = append(s.Moved, p)
			}
		}
		note(remove(filepath.Join(c.Engine, coolingFile)))
	}
	for _, p := range c.links(awaySuffix) {
		hot, _, err := c.place(p)
		note(err)
		cold, err := os.Readlink(beside(hot, awaySuffix))
		if _, lost := os.Stat(filepath.Join(cold, "datadb")); err != nil || lost != nil {
			s.Away = append(s.Away, p)
			continue
		}
		if err := c.back(ctx, p, cold); err != nil {
			note(err)
			s.Away = append(s.Away, p)
			continue
		}
		s.Back = append(s.Back, p)
	}
	for _, p := range c.dangling() {
		hot, _, _ := c.place(p)
		note(os.Rename(hot, beside(hot, awaySuffix)))
		s.Away = append(s.Away, p)
	}
	if c.Dir != "" {
		note(c.adopt())
	}
	return s, errors.Join(errs...)
}

// beside is the name of a day beside the folder of partitions.
func beside(hot, suffix string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(hot)), filepath.Base(hot)+suffix)
}

// links lists the days that have a link with the suffix beside the partitions.
func (c Cold) links(suffix string) (days []Partition) {
	found, _ := filepath.Glob(filepath.Join(c.Lake, "*", "*"+suffix))
	for _, name := range found {
		if day, err := time.Parse(dayLayout, strings.TrimSuffix(filepath.Base(name), suffix)); err == nil {
			days = append(days, Partition{Class: filepath.Base(filepath.Dir(name)), Day: day.Format(time.DateOnly)})
		}
	}
	return days
}

// dangling lists the days that are links to what is not there.
func (c Cold) dangling() (days []Partition) {
	found, _ := filepath.Glob(filepath.Join(c.Lake, "*", partitionsFolder, "*"))
	for _, name := range found {
		day, err := time.Parse(dayLayout, filepath.Base(name))
		if err != nil || !isLink(name) {
			continue
		}
		if _, err := os.Stat(filepath.Join(name, "datadb")); err != nil {
			days = append(days, Partition{Class: filepath.Base(filepath.Dir(filepath.Dir(name))), Day: day.Format(time.DateOnly)})
		}
	}
	return days
}

func isLink(name string) bool {
	fi, err := os.Lstat(name)
	return err == nil && fi.Mode()&fs.ModeSymlink != 0
}

// move finishes the copy of a day and swaps the day for it. It tells whether it
// did: not where the day has changed much since it was copied.
func (c Cold) move(ctx context.Context, p Partition) (moved bool, err error) {
	hot, cold, err := c.place(p)
	if err != nil {
		return false, err
	}
	if _, err := os.Stat(hot); err != nil || isLink(hot) {
		return false, nil // dropped, or moved
	}
	to := target(cold)
	if n, err := lacks(hot, to); err != nil || n > settleAtMost {
		return false, err
	}
	if err := mirror(ctx, hot, to); err != nil {
		return false, fmt.Errorf("partition: copy %s of the class %s to the cold folder: %w", p.Day, p.Class, err)
	}
	if to != cold {
		if err := os.Rename(to, cold); err != nil {
			return false, fmt.Errorf("partition: %w", err)
		}
		if err := syncPath(filepath.Dir(cold)); err != nil {
			return false, err
		}
	}
	if err := c.link(p, linkSuffix); err != nil {
		return false, err
	}
	return true, c.swap(p)
}

// link makes the link of a day beside the partitions.
func (c Cold) link(p Partition, suffix string) error {
	hot, cold, err := c.place(p)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(cold)
	if err == nil {
		err = os.Symlink(abs, beside(hot, suffix))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("partition: link %s: %w", cold, err)
	}
	return syncPath(filepath.Dir(beside(hot, suffix)))
}

// swap puts the link in the day's place. Begun, it can be done again.
func (c Cold) swap(p Partition) error {
	hot, _, err := c.place(p)
	if err != nil {
		return err
	}
	link, gone := beside(hot, linkSuffix), beside(hot, goneSuffix)
	if _, err := os.Lstat(hot); err == nil {
		if err := os.RemoveAll(gone); err != nil {
			return fmt.Errorf("partition: %w", err)
		}
		if err := os.Rename(hot, gone); err != nil {
			return fmt.Errorf("partition: %w", err)
		}
	}
	if err := os.Rename(link, hot); err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	for _, dir := range []string{filepath.Dir(hot), filepath.Dir(link)} {
		if err := syncPath(dir); err != nil {
			return err
		}
	}
	return os.RemoveAll(gone)
}

// back puts a day in its place that could not be reached for a while. What the
// lake has stored of the day meanwhile is added to it.
func (c Cold) back(ctx context.Context, p Partition, cold string) error {
	hot, _, err := c.place(p)
	if err != nil {
		return err
	}
	if _, err := os.Stat(hot); err == nil {
		for _, table := range []string{"indexdb", "datadb"} { // rows without their stream are not found, so streams come first
			if err := merge(ctx, filepath.Join(hot, table), filepath.Join(cold, table)); err != nil {
				return fmt.Errorf("partition: add what came in to %s of the class %s: %w", p.Day, p.Class, err)
			}
		}
	}
	if err := os.Rename(beside(hot, awaySuffix), beside(hot, linkSuffix)); err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	return c.swap(p)
}

// adopt links the days in the cold folder of which the lake knows nothing: its
// own disk was lost.
func (c Cold) adopt() error {
	var errs []error
	found, _ := filepath.Glob(filepath.Join(c.Dir, "*", "[0-9]*"))
	for _, cold := range found {
		day, err := time.Parse(dayLayout, filepath.Base(cold))
		if err != nil {
			continue
		}
		p := Partition{Class: filepath.Base(filepath.Dir(cold)), Day: day.Format(time.DateOnly)}
		hot, _, err := c.place(p)
		if err != nil {
			continue
		}
		known := false
		for _, name := range []string{hot, beside(hot, linkSuffix), beside(hot, awaySuffix)} {
			if _, err := os.Lstat(name); err == nil {
				known = true
			}
		}
		if known {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(hot), 0o700); err != nil {
			errs = append(errs, fmt.Errorf("partition: %w", err))
			continue
		}
		if err := c.link(p, linkSuffix); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, c.swap(p))
	}
	return errors.Join(errs...)
}

// Sweep removes from the cold folder the days before a time, by class, that the
// lake has let go of: retention removes the link alone.
func (c Cold) Sweep(before func(class string) time.Time) (gone []Partition, err error) {
	found, _ := filepath.Glob(filepath.Join(c.Dir, "*", "[0-9]*"))
	for _, cold := range found {
		day, err := time.Parse(dayLayout, strings.TrimSuffix(filepath.Base(cold), newSuffix))
		if err != nil {
			continue
		}
		p := Partition{Class: filepath.Base(filepath.Dir(cold)), Day: day.Format(time.DateOnly)}
		hot, _, err := c.place(p)
		if err != nil || !day.Before(before(p.Class)) {
			continue
		}
		if _, err := os.Lstat(hot); err == nil {
			continue
		}
		if err := os.RemoveAll(cold); err != nil {
			return gone, fmt.Errorf("partition: sweep: %w", err)
		}
		gone = append(gone, p)
	}
	return gone, nil
}

// merge adds the parts of one of the library's tables to another. A part's name
// is the time of its making in nanoseconds: the same name is the same part.
func merge(ctx context.Context, from, to string) error {
	mine, err := partsOf(from)
	if err != nil || len(mine) == 0 {
		return err
	}
	theirs, err := partsOf(to)
	if err != nil {
		return err
	}
	for _, name := range mine {
		if slices.Contains(theirs, name) {
			continue
		}
		if err := mirror(ctx, filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
		theirs = append(theirs, name)
	}
	slices.Sort(theirs)
	list, err := json.Marshal(theirs)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(to, partsFile), list)
}

// partsOf reads which parts of a table count.
func partsOf(table string) (names []string, err error) {
	raw, err := os.ReadFile(filepath.Join(table, partsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(table, partsFile), err)
	}
	return names, nil
}

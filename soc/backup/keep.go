package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// check is what the last check of a backup found.
type check struct {
	At      time.Time `json:"at,omitzero"` // of the last check of everything
	Damaged []string  `json:"damaged"`
}

// maxDamaged bounds how many damages are named.
const maxDamaged = 100

// Verify reads every file that a backup needs and holds it against the
// checksum it was written with; no key is needed for that. It returns what is
// damaged, by file, and keeps the outcome with the backup. bytesPerSecond
// bounds the reading; 0 does not. The error is of the check itself.
func (r *Repository) Verify(ctx context.Context, name string, bytesPerSecond int64, p *Progress) ([]string, error) {
	return r.verifyThose(ctx, name, bytesPerSecond, p, func(Summary, *object) bool { return true })
}

// shares is in how many parts VerifyNew reads what a backup shares with
// earlier ones.
const shares = 30

// VerifyNew does as Verify with what a backup copied anew, and with a thirtieth
// of the rest, another one each day: in a month all is read, and no day reads
// a whole lake.
func (r *Repository) VerifyNew(ctx context.Context, name string, bytesPerSecond int64, p *Progress) ([]string, error) {
	today := uint32(time.Now().Unix() / (24 * 60 * 60) % shares)
	return r.verifyThose(ctx, name, bytesPerSecond, p, func(s Summary, o *object) bool {
		return o.From == s.Name || crc32.ChecksumIEEE([]byte(o.Name))%shares == today
	})
}

func (r *Repository) verifyThose(ctx context.Context, name string, bytesPerSecond int64, p *Progress, those func(Summary, *object) bool) ([]string, error) {
	unlock, err := r.lock(true)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := r.Get(name)
	if err != nil {
		return nil, err
	}
	p.phase(PhaseChecking)
	var damaged []string
	whole := true
	err = behindOthers(func() error {
		damaged, err = r.verify(ctx, s, newPace(bytesPerSecond), p, func(o *object) bool {
			ok := those(s, o)
			whole = whole && ok
			return ok
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	c := check{At: s.Verified, Damaged: damaged}
	if whole {
		c.At = time.Now().UTC()
	} else if len(damaged) == 0 {
		// A part that is whole says nothing about what was found in the others.
		c.Damaged = s.Damaged
	}
	data, err := json.Marshal(c)
	if err != nil {
		return damaged, fmt.Errorf("backup: %w", err)
	}
	if err := replace(r.backupPath(s.Name)+checkSuffix, data); err != nil && !errors.Is(err, fs.ErrPermission) {
		return damaged, full(r.dir, fmt.Errorf("backup: keep what the check found: %w", err))
	}
	p.phase(PhaseDone)
	return damaged, nil
}

func (r *Repository) verify(ctx context.Context, s Summary, limit *pace, p *Progress, those func(*object) bool) ([]string, error) {
	objects, err := r.list(s)
	if errors.Is(err, ErrDamaged) {
		return []string{err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	objects = slices.DeleteFunc(objects, func(o object) bool { return !those(&o) })
	files, size := 0, int64(0)
	for i := range objects {
		files += len(objects[i].Files)
		size += objects[i].Stored
	}
	p.total(files, size)
	damaged := []string{}
	buf := make([]byte, 256<<10)
	for i := range objects {
		o := &objects[i]
		fault, err := r.faultOf(ctx, o, buf, limit, p)
		if err != nil {
			return nil, err
		}
		if fault != "" && len(damaged) < maxDamaged {
			damaged = append(damaged, fault)
		}
		p.files(len(o.Files), 0)
	}
	return damaged, nil
}

// faultOf tells what is wrong with the file of an object; "" is nothing.
func (r *Repository) faultOf(ctx context.Context, o *object, buf []byte, limit *pace, p *Progress) (string, error) {
	path := r.objectPath(o.Name)
	in := fmt.Sprintf("%s (%s)", path, o.Files[0].Path)
	if n := len(o.Files); n > 1 {
		in = fmt.Sprintf("%s (%s and %d more)", path, o.Files[0].Path, n-1)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return in + " is missing", nil
	}
	if err != nil {
		return in + " cannot be read: " + err.Error(), nil
	}
	defer f.Close()
	sum, size := sha256.New(), int64(0)
	for {
		if err := limit.wait(ctx, len(buf)); err != nil {
			return "", fmt.Errorf("backup: the check was broken off: %w", err)
		}
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		size += int64(n)
		p.bytes(n, false)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return in + " cannot be read: " + err.Error(), nil
		}
	}
	switch {
	case size != o.Stored:
		return fmt.Sprintf("%s has %d bytes; %d were written", in, size, o.Stored), nil
	case hex.EncodeToString(sum.Sum(nil)) != o.Sum:
		return in + " does not have the checksum it was written with", nil
	}
	return "", nil
}

// Pruned is what pruning removed.
type Pruned struct {
	Backups []string `json:"backups"`
	Files   int      `json:"files"` // of the repository
	Bytes   int64    `json:"bytes"`
}

// Prune removes all but the newest backups and then whatever none of the
// remaining ones needs. At least one is kept.
func (r *Repository) Prune(ctx context.Context, keep int, p *Progress) (Pruned, error) {
	if keep < 1 {
		return Pruned{}, fmt.Errorf("backup: %d backups would be kept; 1 is the least", keep)
	}
	unlock, err := r.lock(false)
	if err != nil {
		return Pruned{}, err
	}
	defer unlock()
	names, err := r.names()
	if err != nil {
		return Pruned{}, err
	}
	return r.remove(ctx, names[min(keep, len(names)):], p)
}

// Delete removes one backup and whatever no other one needs.
func (r *Repository) Delete(ctx context.Context, name string, p *Progress) (Pruned, error) {
	if err := checkName(name); err != nil {
		return Pruned{}, fmt.Errorf("backup: %w", err)
	}
	unlock, err := r.lock(false)
	if err != nil {
		return Pruned{}, err
	}
	defer unlock()
	if _, err := os.Stat(r.backupPath(name)); err != nil {
		return Pruned{}, fmt.Errorf("backup: %w in %s: %s", ErrNotFound, r.dir, name)
	}
	return r.remove(ctx, []string{name}, p)
}

func (r *Repository) remove(ctx context.Context, names []string, p *Progress) (Pruned, error) {
	p.phase(PhasePruning)
	out := Pruned{Backups: []string{}}
	for _, name := range names {
		// The description goes first: without it there is no backup.
		for _, suffix := range []string{"", listSuffix, checkSuffix} {
			if err := ignoreMissing(os.Remove(r.backupPath(name) + suffix)); err != nil {
				return out, fmt.Errorf("backup: %w", err)
			}
		}
		out.Backups = append(out.Backups, name)
	}
	needed, err := r.needed()
	if err != nil {
		return out, err
	}
	err = filepath.WalkDir(filepath.Join(r.dir, objectsDir), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		if _, ok := needed[e.Name()]; ok {
			return nil
		}
		st, err := e.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		out.Files++
		out.Bytes += st.Size()
		p.files(1, st.Size())
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("backup: remove what no backup needs: %w", err)
	}
	p.phase(PhaseDone)
	return out, r.sweep()
}

// needed lists the objects of all backups. Where one of them cannot be read it
// is an error: what it needs must not be taken for useless.
func (r *Repository) needed() (map[string]struct{}, error) {
	names, err := r.names()
	if err != nil {
		return nil, err
	}
	out := map[string]struct{}{}
	add := func(objects []object) {
		for i := range objects {
			out[objects[i].Name] = struct{}{}
		}
	}
	for _, name := range names {
		s, err := r.Get(name)
		if err != nil {
			return nil, fmt.Errorf("%w: nothing more is removed, since what this backup needs is not known; delete it (icewatch backup delete %s) to go on", err, name)
		}
		objects, err := r.list(s)
		if err != nil {
			return nil, fmt.Errorf("%w: nothing more is removed, since what this backup needs is not known; delete it (icewatch backup delete %s) to go on", err, name)
		}
		add(objects)
	}
	objects, _, err := readList(filepath.Join(r.dir, unfinishedFile))
	if err == nil {
		add(objects)
	}
	return out, nil
}

// sweep removes files beside the descriptions that belong to none.
func (r *Repository) sweep() error {
	dir := filepath.Join(r.dir, backupsDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	for _, e := range entries {
		name, _, extra := strings.Cut(e.Name(), ".")
		if !extra {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, name)); name != "" && err == nil {
			continue
		}
		if err := ignoreMissing(os.Remove(filepath.Join(dir, e.Name()))); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	return nil
}

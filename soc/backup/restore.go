package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"icewatch/soc/state"
)

// ErrNotEmpty says that the folder to restore into holds something.
var ErrNotEmpty = errors.New("the folder is not empty")

// Restore puts a backup into a data folder that is missing or empty. First
// every file is held against its checksum; where one is damaged the folder is
// not touched. keyFile, where it is not empty, is put in place as the file of
// the master keys, for a backup that holds none. An interrupted restore leaves
// a folder that no suite starts on, and can be run again.
func (r *Repository) Restore(ctx context.Context, name, dir, keyFile string, p *Progress) (Summary, error) {
	unlock, err := r.lock(true)
	if err != nil {
		return Summary{}, err
	}
	defer unlock()
	s, err := r.Get(name)
	if err != nil {
		return Summary{}, err
	}
	if r.Encrypted() && r.identity == nil {
		return Summary{}, fmt.Errorf("backup: %w: give its passphrase or private key", ErrLocked)
	}
	var keys []byte
	if keyFile != "" {
		if keys, err = readAtMost(keyFile, 1<<20); err != nil {
			return Summary{}, fmt.Errorf("backup: the master keys to put in place: %w", err)
		}
	}
	if err := empty(dir); err != nil {
		return Summary{}, err
	}
	held, err := os.Open(dir)
	if err != nil {
		return Summary{}, fmt.Errorf("backup: %w", err)
	}
	defer held.Close()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return Summary{}, fmt.Errorf("backup: another restore into %s is at work: %w", dir, err)
	}
	p.phase(PhaseChecking)
	damaged, err := r.verify(ctx, s, nil, p, func(*object) bool { return true })
	if err != nil {
		return Summary{}, err
	}
	if len(damaged) > 0 {
		return Summary{}, fmt.Errorf("backup: %w, and nothing is restored from it:\n  %s", ErrDamaged, strings.Join(damaged, "\n  "))
	}
	objects, err := r.list(s)
	if err != nil {
		return Summary{}, err
	}
	if free, _ := Space(parent(dir)); free > 0 && free < s.Bytes {
		return Summary{}, fmt.Errorf("backup: the disk of %s has %d MiB free; the backup needs %d MiB", dir, free>>20, s.Bytes>>20)
	}
	p.phase(PhaseWriting)
	p.total(s.Files, s.Bytes)
	to := filepath.Join(dir, restoringDir)
	if err := errors.Join(os.RemoveAll(to), os.MkdirAll(to, 0o700)); err != nil {
		return Summary{}, fmt.Errorf("backup: %w", err)
	}
	for i := range objects {
		if err := r.unpack(&objects[i], func(f *file, in io.Reader) error { return write(ctx, to, f, in, p) }); err != nil {
			return Summary{}, fmt.Errorf("%w\nthe restore is not complete: run it again, or remove %s", err, to)
		}
		p.files(len(objects[i].Files), 0)
	}
	if len(keys) > 0 {
		path := filepath.Join(to, filepath.FromSlash(keysFile))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, keys, 0o600)); err != nil {
			return Summary{}, fmt.Errorf("backup: put the master keys in place: %w", err)
		}
	}
	for _, file := range []string{stateFile, ledgerFile} {
		at := filepath.Join(to, filepath.FromSlash(file))
		if _, err := os.Stat(at); file == ledgerFile && errors.Is(err, os.ErrNotExist) {
			continue // of a release before, or the items are on PostgreSQL
		}
		if err := state.Check(ctx, at); err != nil {
			return Summary{}, fmt.Errorf("backup: %w", err)
		}
	}
	if err := settle(to, dir); err != nil {
		return Summary{}, fmt.Errorf("backup: %w", err)
	}
	p.phase(PhaseDone)
	return s, nil
}

// parent is the nearest folder that exists.
func parent(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return dir
		}
		dir = up
	}
}

// empty refuses a folder that holds anything but an interrupted restore.
func empty(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("backup: the folder to restore into: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("backup: the folder to restore into: %w", err)
	}
	if Interrupted(dir) {
		return nil
	}
	for _, e := range entries {
		// A disk of its own has this at its top.
		if e.Name() != "lost+found" {
			return fmt.Errorf("backup: %w: %s holds %s, and a restore never overwrites: give an empty folder, and start the suite on that", ErrNotEmpty, dir, e.Name())
		}
	}
	return nil
}

// Interrupted tells whether a restore into a data folder began and did not
// end: no suite may start on it.
func Interrupted(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, restoringDir))
	return err == nil
}

func write(ctx context.Context, dir string, f *file, in io.Reader, p *Progress) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("backup: the restore was broken off: %w", err)
	}
	path := filepath.Join(dir, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	_, err = io.Copy(out, io.TeeReader(in, counted{p}))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("backup: restore %s: %w", f.Path, err)
	}
	return nil
}

type counted struct{ p *Progress }

func (c counted) Write(b []byte) (int, error) {
	c.p.bytes(len(b), false)
	return len(b), nil
}

// settle moves what was restored to its place. The folder it is moved out of
// goes last, and with it the mark that the restore is not complete. Where that
// broke off between two moves, the restore is run again from the start.
func settle(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(to, e.Name())); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	if err := syncDir(to); err != nil {
		return err
	}
	if err := os.Remove(from); err != nil {
		return err
	}
	return syncDir(to)
}

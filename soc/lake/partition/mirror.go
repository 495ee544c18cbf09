package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// mirror makes dst the same as src: what has another size or time is copied,
// what src does not have is removed, and all of it is on the disk when mirror
// returns. What vanishes from src meanwhile is left out.
func mirror(ctx context.Context, src, dst string) error {
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dst, 0o700); err != nil {
		return err
	}
	held := map[string]bool{}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		from, to := filepath.Join(src, e.Name()), filepath.Join(dst, e.Name())
		switch {
		case e.IsDir():
			err = mirror(ctx, from, to)
		case e.Type().IsRegular():
			err = copyFile(ctx, from, to)
		default:
			err = fmt.Errorf("%s is neither a file nor a folder", from)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		held[e.Name()] = true
	}
	there, err := os.ReadDir(dst)
	if err != nil {
		return err
	}
	for _, e := range there {
		if !held[e.Name()] {
			if err := os.RemoveAll(filepath.Join(dst, e.Name())); err != nil {
				return err
			}
		}
	}
	return syncPath(dst)
}

// same tells whether a file was copied already, by its time in seconds: some
// file systems keep no more. The list of parts is small and replaced at will, so
// it never counts as copied.
func same(from, to fs.FileInfo) bool {
	return from.Size() == to.Size() && from.ModTime().Unix() == to.ModTime().Unix() && from.Name() != partsFile
}

func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	fi, err := in.Stat()
	if err != nil {
		return err
	}
	if st, err := os.Stat(to); err == nil && same(fi, st) {
		return nil
	}
	out, err := os.OpenFile(to+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, reader{ctx, in})
	err = errors.Join(err, out.Sync(), out.Close())
	if err == nil {
		err = os.Chtimes(to+newSuffix, fi.ModTime(), fi.ModTime())
	}
	if err == nil {
		err = os.Rename(to+newSuffix, to)
	}
	if err != nil {
		return errors.Join(err, remove(to+newSuffix))
	}
	return nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// lacks is how many bytes mirror would copy.
func lacks(src, dst string) (bytes int64, err error) {
	err = filepath.WalkDir(src, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		if st, err := os.Stat(filepath.Join(dst, rel)); err != nil || !same(fi, st) {
			bytes += fi.Size()
		}
		return nil
	})
	return bytes, err
}

// replaceFile writes a small file whole or not at all.
func replaceFile(name string, data []byte) error {
	f, err := os.OpenFile(name+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(name+newSuffix, name)
	}
	if err != nil {
		return fmt.Errorf("partition: %w", errors.Join(err, remove(name+newSuffix)))
	}
	return syncPath(filepath.Dir(name))
}

// remove removes a file that may not be there.
func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncPath brings the names in a folder to the disk.
func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

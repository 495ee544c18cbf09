// Package places keeps in the files of a folder how far sources were read, for
// sources of the configuration file. Those that administrators add at run time
// have their places in the suite's database.
package places

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"icewatch/collectors"
)

// Dir is a folder of places. It must exist.
type Dir string

var _ collectors.Places = Dir("")

// path is the file of a key, whatever characters the key has.
func (d Dir) path(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(string(d), hex.EncodeToString(sum[:16])+".place")
}

// Place implements collectors.Places.
func (d Dir) Place(_ context.Context, key string) ([]byte, error) {
	place, err := os.ReadFile(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("place of %s: %w", key, err)
	}
	return place, nil
}

// Save implements collectors.Places: whatever happens, the old or the new place
// is there whole.
func (d Dir) Save(_ context.Context, key string, place []byte) error {
	if err := d.save(d.path(key), place); err != nil {
		return fmt.Errorf("place of %s: %w", key, err)
	}
	return nil
}

func (d Dir) save(path string, place []byte) error {
	f, err := os.CreateTemp(string(d), ".place-*")
	if err != nil {
		return err
	}
	_, err = f.Write(place)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(string(d))
}

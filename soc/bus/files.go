package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/minio/highwayhash"
)

// metaAgrees tells whether a stream's description in dir agrees with its
// checksum, which is JetStream's own.
func metaAgrees(name, dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, "meta.inf"))
	if err != nil {
		return false
	}
	sum, err := os.ReadFile(filepath.Join(dir, "meta.sum"))
	if err != nil {
		return false
	}
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return false
	}
	_, _ = h.Write(raw)
	return hex.EncodeToString(h.Sum(nil)) == string(sum)
}

// replaceFile replaces a file so that a crash leaves the old or the new one.
func replaceFile(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("bus: write %s: %w", path, err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	return nil
}

// readAround reads a file of which some sectors cannot be read; they read as
// zeroes.
func readAround(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	const sector = 4096
	for at := 0; at < len(data); at += sector {
		if _, err := f.ReadAt(data[at:min(at+sector, len(data))], int64(at)); err != nil && !errors.Is(err, io.EOF) {
			clear(data[at:min(at+sector, len(data))])
		}
	}
	return data, nil
}

// Package aside keeps the whole of texts that are too long for an event, as
// files named by their SHA-256, apart by tenant. The event carries the sum in
// icewatch.aside, so the text can be fetched and proven unaltered.
package aside

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"icewatch/soc/condition"
	"icewatch/soc/damage"
	"icewatch/soc/intake"
)

// Store keeps texts below a folder.
type Store struct {
	// Damaged is the folder in which a damaged text gets one of its own; ""
	// leaves it where it is.
	Damaged string

	dir     string
	minFree int64
}

var _ intake.AsideStore = (*Store)(nil)

// Open makes the folder. Texts are refused while less than minFree bytes are
// free on its disk.
func Open(dir string, minFree int64) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("aside: %w", err)
	}
	return &Store{dir: dir, minFree: minFree}, nil
}

// path places a text: by tenant, whose slug can name a folder, and by the
// first byte of its sum.
func (s *Store) path(tenant, sum string) string {
	if tenant == "" {
		tenant = "_"
	}
	return filepath.Join(s.dir, filepath.Base(tenant), sum[:2], sum)
}

// Put implements intake.AsideStore: the text is on the disk when it returns.
func (s *Store) Put(tenant string, text []byte) (string, error) {
	hash := sha256.Sum256(text)
	sum := hex.EncodeToString(hash[:])
	path := s.path(tenant, sum)
	if old, err := os.ReadFile(path); err == nil {
		if bytes.Equal(old, text) {
			return sum, nil // the same text is there already
		}
		s.setAside(tenant, sum) // and the good one takes its place
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &st); err == nil && int64(st.Bavail)*int64(st.Bsize) < s.minFree+int64(len(text)) {
		return "", fmt.Errorf("%w: the disk of the texts kept aside is full", intake.ErrFull)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("aside: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return "", fmt.Errorf("aside: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("aside: keep %d bytes: %w", len(text), err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", fmt.Errorf("aside: %w", err)
	}
	return sum, errors.Join(dir.Sync(), dir.Close())
}

// ErrDamaged says that a kept text no longer has the sum it is named by.
var ErrDamaged = errors.New("aside: the text is damaged")

// Get implements intake.AsideStore.
func (s *Store) Get(tenant, sum string) ([]byte, error) {
	if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size {
		return nil, fmt.Errorf("aside: %q is not a SHA-256", sum)
	}
	text, err := os.ReadFile(s.path(tenant, sum))
	if errors.Is(err, fs.ErrNotExist) && s.was(tenant, sum) {
		return nil, fmt.Errorf("%w and was set aside: %s", ErrDamaged, sum)
	}
	if err != nil {
		return nil, fmt.Errorf("aside: %w", err)
	}
	if hash := sha256.Sum256(text); hex.EncodeToString(hash[:]) != sum {
		s.setAside(tenant, sum)
		return nil, fmt.Errorf("%w: %s", ErrDamaged, sum)
	}
	return text, nil
}

// setAside moves a damaged text away with a note. Where that fails the text
// stays, and is found damaged again.
func (s *Store) setAside(tenant, sum string) {
	if s.Damaged == "" {
		return
	}
	folder, err := damage.New(s.Damaged, "aside")
	if err != nil {
		return
	}
	path := s.path(tenant, sum)
	folder.Note.Text = condition.Text{
		ZH: fmt.Sprintf("单独存放的超长原文 %s（租户 %q）损坏，已隔离到 %s；事件本身的开头部分完好，完整原文请从备份恢复到 %s", sum, tenant, folder.Path, path),
		EN: fmt.Sprintf("the text kept aside as %s (tenant %q) is damaged and set aside in %s; the event's own beginning of it is whole, and the rest can come from a backup to %s", sum, tenant, folder.Path, path),
	}
	folder.Note.Severity = condition.Medium
	folder.Note.Items = []damage.Item{{Path: path, Why: "the content does not agree with its SHA-256", Kept: sum}}
	if folder.Save() == nil {
		_ = folder.Move(path, sum)
	}
}

// was tells whether a text was found damaged and set aside.
func (s *Store) was(tenant, sum string) bool {
	notes, err := damage.Notes(s.Damaged)
	if err != nil || s.Damaged == "" {
		return false
	}
	path := s.path(tenant, sum)
	for _, n := range notes {
		for _, it := range n.Items {
			if it.Path == path {
				return true
			}
		}
	}
	return false
}

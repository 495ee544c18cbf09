// Package release keeps upgrade packages of the agent as files named by their
// SHA-256. What they are of and who signed them the fleet keeps in SQL.
package release

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// MaxSize is the largest package in bytes.
const MaxSize = 512 << 20

// ErrTooLarge says that a package exceeds MaxSize, ErrAbsent that there is none.
var (
	ErrTooLarge = fmt.Errorf("the package exceeds %d MiB", MaxSize>>20)
	ErrAbsent   = errors.New("there is no such package")
)

// Shelf is the folder.
type Shelf struct{ dir string }

// File is an opened package.
type File struct {
	*os.File
	Size int64
}

// Open makes the folder where it is not there and removes what an upload left.
func Open(dir string) (*Shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("fleet: the folder of packages: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".upload-*"))
	for _, f := range left {
		err = errors.Join(err, os.Remove(f))
	}
	return &Shelf{dir}, err
}

var name = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Open opens a package by its hex SHA-256.
func (s *Shelf) Open(sum string) (*File, error) {
	if !name.MatchString(sum) {
		return nil, ErrAbsent
	}
	f, err := os.Open(filepath.Join(s.dir, sum))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &File{f, st.Size()}, nil
}

// Put keeps a package durably.
func (s *Shelf) Put(r io.Reader) (sum string, size int64, head []byte, err error) {
	f, err := os.CreateTemp(s.dir, ".upload-*")
	if err != nil {
		return "", 0, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(r, MaxSize+1))
	if err != nil {
		return "", 0, nil, err
	}
	if size > MaxSize {
		return "", 0, nil, ErrTooLarge
	}
	head = make([]byte, min(size, 4096))
	if _, err = f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", 0, nil, err
	}
	if err = f.Sync(); err != nil {
		return "", 0, nil, err
	}
	sum = hex.EncodeToString(h.Sum(nil))
	if err = os.Rename(f.Name(), filepath.Join(s.dir, sum)); err != nil {
		return "", 0, nil, err
	}
	if err = f.Close(); err != nil {
		return sum, size, head, nil // it is synced
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return "", 0, nil, err
	}
	return sum, size, head, errors.Join(d.Sync(), d.Close())
}

// Remove takes a package away.
func (s *Shelf) Remove(sum string) error {
	if !name.MatchString(sum) {
		return ErrAbsent
	}
	if err := os.Remove(filepath.Join(s.dir, sum)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Platform tells by the first bytes of an executable what it runs on: ELF or PE.
func Platform(head []byte) (os, arch string, err error) {
	switch {
	case len(head) > 20 && string(head[:4]) == "\x7fELF":
		if head[4] != 2 || head[5] != 1 {
			return "", "", errors.New("the ELF file is not of 64 bits and little-endian")
		}
		switch m := uint16(head[18]) | uint16(head[19])<<8; m {
		case 62:
			return "linux", "amd64", nil
		case 183:
			return "linux", "arm64", nil
		case 258:
			return "linux", "loong64", nil
		default:
			return "", "", fmt.Errorf("the ELF file is of machine %d; amd64, arm64 and loong64 are known", m)
		}
	case len(head) > 0x40 && string(head[:2]) == "MZ":
		at := int(uint32(head[0x3c]) | uint32(head[0x3d])<<8 | uint32(head[0x3e])<<16 | uint32(head[0x3f])<<24)
		if at < 0 || at+6 > len(head) || string(head[at:at+4]) != "PE\x00\x00" {
			return "", "", errors.New("it begins as a Windows executable and is none")
		}
		switch m := uint16(head[at+4]) | uint16(head[at+5])<<8; m {
		case 0x8664:
			return "windows", "amd64", nil
		case 0xaa64:
			return "windows", "arm64", nil
		default:
			return "", "", fmt.Errorf("the executable is of machine %#x; amd64 and arm64 are known", m)
		}
	}
	return "", "", errors.New("it is no executable: want the file icewatch-agent (Linux, ELF) or icewatch-agent.exe (Windows)")
}

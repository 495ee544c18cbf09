package seal

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// key is one master key.
type key struct {
	id     string // follows from the key itself, so that a damaged file shows
	made   time.Time
	secret [chacha20poly1305.KeySize]byte
	aead   cipher.AEAD
}

// maxKeyFile bounds a key file in bytes: some thousand keys.
const maxKeyFile = 256 << 10

const keyFileHead = "# icewatch master keys, the newest last. Without this file the suite's sealed\n" +
	"# secrets cannot be read: keep a copy of it, and never beside a copy of the data.\n"

var errNoFile = errors.New("there is no key file")

func newKey(now time.Time) key {
	var secret [chacha20poly1305.KeySize]byte
	_, _ = rand.Read(secret[:]) // never fails since Go 1.24
	return keyOf(secret, now.UTC().Truncate(time.Second))
}

func keyOf(secret [chacha20poly1305.KeySize]byte, made time.Time) key {
	sum := sha256.Sum256(append([]byte("icewatch master key id\x00"), secret[:]...))
	aead, err := chacha20poly1305.NewX(secret[:])
	if err != nil {
		panic(err) // the only error is a wrong length
	}
	return key{id: hex.EncodeToString(sum[:6]), made: made, secret: secret, aead: aead}
}

// readKeys reads a key file: a line a key, "ID TIME SECRET", oldest first.
// Files that others can read are refused.
func readKeys(file string) ([]key, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoFile
	}
	if err != nil {
		return nil, fmt.Errorf("seal: read the master keys: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("seal: read the master keys: %w", err)
	}
	switch {
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("seal: the key file %s is no regular file", file)
	case st.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("seal: the key file %s has the mode %04o, so everybody on this machine can read it: chmod 600 it, then rotate the keys", file, st.Mode().Perm())
	case st.Size() > maxKeyFile:
		return nil, fmt.Errorf("seal: the key file %s has %d bytes; at most %d are read", file, st.Size(), maxKeyFile)
	}
	data := make([]byte, st.Size())
	n, err := f.Read(data)
	if err != nil && st.Size() > 0 {
		return nil, fmt.Errorf("seal: read the master keys: %w", err)
	}
	keys, err := parseKeys(data[:n])
	if err != nil {
		return nil, fmt.Errorf("seal: the key file %s: %w", file, err)
	}
	return keys, nil
}

// parseKeys reads the text of a key file. Its errors never quote it.
func parseKeys(data []byte) ([]key, error) {
	var keys []key
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %d has %d words; want the key's id, time and secret", n, len(fields))
		}
		made, err := time.Parse(time.RFC3339, fields[1])
		if err != nil {
			return nil, fmt.Errorf("line %d: the time is none like 2026-01-02T15:04:05Z", n)
		}
		raw, err := base64.StdEncoding.DecodeString(fields[2])
		if err != nil || len(raw) != chacha20poly1305.KeySize {
			return nil, fmt.Errorf("line %d is damaged: the secret is not %d bytes in base64", n, chacha20poly1305.KeySize)
		}
		k := keyOf([chacha20poly1305.KeySize]byte(raw), made)
		if k.id != fields[0] {
			return nil, fmt.Errorf("line %d is damaged: the secret does not belong to the id %.12q", n, fields[0])
		}
		keys = append(keys, k)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no key")
	}
	return keys, nil
}

// writeKeys replaces a key file in one step: after a crash there is the old
// one or the new one, whole.
func writeKeys(file string, keys []key) error {
	var b bytes.Buffer
	b.WriteString(keyFileHead)
	for _, k := range keys {
		fmt.Fprintf(&b, "%s %s %s\n", k.id, k.made.Format(time.RFC3339), base64.StdEncoding.EncodeToString(k.secret[:]))
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("seal: make the folder of the master keys: %w", err)
	}
	f, err := os.CreateTemp(dir, ".master-*") // mode 0600
	if err != nil {
		return fmt.Errorf("seal: write the master keys: %w", err)
	}
	_, err = f.Write(b.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("seal: write the master keys to %s: %w", file, err), os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("seal: make the master keys durable: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("seal: make the master keys durable: %w", err)
	}
	return nil
}

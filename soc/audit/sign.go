package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/seal"
)

// The kinds of Checkpoint.
const (
	checkHead   = "head"       // the end of the chain after a transaction; not numbered
	checkPoint  = "checkpoint" // what the chain was at a time
	checkAnchor = "anchor"     // the last record that retention removed
	checkBreak  = "break"      // the log did not end where the signed head said
	checkExport = "export"     // the end of an exported range; not numbered
)

// Checkpoint is a signed statement: at that time record Seq had that Hash, and
// so, since the hashes chain, every record before it was what it is.
type Checkpoint struct {
	N         int64     `json:"n"`    // its number, from 1 without gaps; 0 for kinds that are not kept
	Kind      string    `json:"kind"` //
	Seq       int64     `json:"seq"`  //
	Hash      string    `json:"hash"` //
	Time      time.Time `json:"time"` //
	Note      string    `json:"note,omitempty"`
	Key       string    `json:"key"`       // the id of the key that signed
	Signature string    `json:"signature"` // Ed25519 over message, base64
}

// message is what is signed: the fields as lines of text, so that anybody can
// build it again. The note is last and its length stands before it.
func (c *Checkpoint) message() []byte {
	return fmt.Appendf(nil, "icewatch audit 1\n%s\n%d\n%d\n%s\n%d\n%d\n%s\n", c.Kind, c.N, c.Seq, c.Hash, c.Time.UnixMilli(), len(c.Note), c.Note)
}

// Key is a public key that signs or signed checkpoints.
type Key struct {
	ID        string    `json:"id"`         // first 16 hex digits of the SHA-256 of the key
	PublicKey string    `json:"public_key"` // Ed25519, 32 bytes, base64
	CreatedAt time.Time `json:"created_at"`
}

// decode checks that the id is the key's own.
func (k *Key) decode() (ed25519.PublicKey, error) {
	raw, err := base64.StdEncoding.DecodeString(k.PublicKey)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("the public key %q of %q is not 32 bytes in base64", k.PublicKey, k.ID)
	}
	if id := keyID(raw); id != k.ID {
		return nil, fmt.Errorf("the public key of %q has the id %s", k.ID, id)
	}
	return raw, nil
}

func keyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// keyring verifies signatures of the keys it holds.
type keyring map[string]ed25519.PublicKey

// check says what is wrong with a checkpoint's signature; "" for nothing.
func (r keyring) check(c *Checkpoint) string {
	key, ok := r[c.Key]
	if !ok {
		return fmt.Sprintf("it is signed by the key %q, which is none of the log's", c.Key)
	}
	sig, err := base64.StdEncoding.DecodeString(c.Signature)
	if err != nil || !ed25519.Verify(key, c.message(), sig) {
		return "its signature is not valid"
	}
	return ""
}

func ringOf(keys []Key) (keyring, error) {
	ring := keyring{}
	for i := range keys {
		public, err := keys[i].decode()
		if err != nil {
			return nil, err
		}
		ring[keys[i].ID] = public
	}
	return ring, nil
}

// Sealer keeps a secret unreadable on the disk; soc/seal's Box is one.
type Sealer interface {
	SealString(plain, context string) (string, error)
	OpenString(sealed, context string) (string, error)
}

// sealContext is what the signing key is sealed for.
const (
	sealKind    = "audit-key"
	sealContext = sealKind + ":signing"
)

// Sealed is the place of the signing key in the folder dir, for the rotation
// of the master keys.
func Sealed(dir string) seal.Place { return place{filepath.Join(dir, fileKey)} }

type place struct{ path string }

// Kinds implements seal.Place.
func (place) Kinds() []string { return []string{sealKind} }

// Each implements seal.Place. A file has no part in the transaction: where that
// fails the key is sealed by the newer master key already, which is kept.
func (p place) Each(_ context.Context, _ bun.Tx, f func(value, context string) (string, error)) error {
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit: the signing key: %w", err)
	}
	fresh, err := f(string(text), sealContext)
	if err != nil || fresh == string(text) {
		return err
	}
	return replaceFile(p.path, []byte(fresh))
}

// The files in the log's folder.
const (
	fileKey         = "signing.key" // the private key: PKCS #8 in PEM, or that sealed
	fileKeys        = "keys"        // public keys, one JSON object a line, oldest first
	fileCheckpoints = "checkpoints" // one JSON object a line
)

// signer holds the private key and the folder beside the database.
type signer struct {
	dir     string
	private ed25519.PrivateKey
	id      string
	keys    []Key
	ring    keyring
	fresh   bool // the key was made by this start
}

// openSigner reads the key in dir, or makes one.
func openSigner(dir string, box Sealer) (*signer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: the folder of the signing key: %w", err)
	}
	s := &signer{dir: dir}
	var err error
	if s.private, err = readKey(filepath.Join(dir, fileKey), box); errors.Is(err, fs.ErrNotExist) {
		s.fresh = true
		s.private, err = makeKey(filepath.Join(dir, fileKey), box)
	}
	if err != nil {
		return nil, err
	}
	public := s.private.Public().(ed25519.PublicKey)
	s.id = keyID(public)
	lines, err := readLines[Key](filepath.Join(dir, fileKeys))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s.keys = lines
	if s.ring, err = ringOf(s.keys); err != nil {
		return nil, fmt.Errorf("audit: %s: %w", filepath.Join(dir, fileKeys), err)
	}
	if _, known := s.ring[s.id]; !known {
		k := Key{ID: s.id, PublicKey: base64.StdEncoding.EncodeToString(public), CreatedAt: time.Now().UTC().Truncate(time.Millisecond)}
		if err := appendLine(filepath.Join(dir, fileKeys), k); err != nil {
			return nil, err
		}
		s.keys = append(s.keys, k)
		s.ring[s.id] = public
	}
	return s, nil
}

func readKey(path string, box Sealer) (ed25519.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("audit: the signing key: %w", err)
	}
	text := string(data)
	if !strings.HasPrefix(text, "-----BEGIN ") {
		if box == nil {
			return nil, fmt.Errorf("audit: the signing key: %s is not in PEM, and there is no master key to unseal it", path)
		}
		if text, err = box.OpenString(text, sealContext); err != nil {
			return nil, fmt.Errorf("audit: the signing key: %s: %w: put the file back from a backup, or take it away to begin a new key", path, err)
		}
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("audit: the signing key: %s holds no PEM block: put the file back from a backup, or take it away to begin a new key", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("audit: the signing key: %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("audit: the signing key: %s holds a %T, want an Ed25519 key", path, parsed)
	}
	return key, nil
}

func makeKey(path string, box Sealer) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("audit: make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("audit: make a signing key: %w", err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if box != nil {
		if text, err = box.SealString(text, sealContext); err != nil {
			return nil, fmt.Errorf("audit: seal the signing key: %w", err)
		}
	}
	return key, replaceFile(path, []byte(text))
}

// sign fills in time, key and signature.
func (s *signer) sign(c Checkpoint) Checkpoint {
	c.Time, c.Key = time.Now().UTC().Truncate(time.Millisecond), s.id
	c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(s.private, c.message()))
	return c
}

func (s *signer) path() string { return filepath.Join(s.dir, fileCheckpoints) }

// appendLine adds one JSON line to a file and makes it durable.
func appendLine(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("audit: %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("audit: write %s: %w", path, err)
	}
	return nil
}

// readLines reads a file of JSON lines. What follows the last line end was cut
// short by a crash and is left out.
func readLines[T any](path string) ([]T, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	var out []T
	sc := bufio.NewScanner(bytes.NewReader(data[:bytes.LastIndexByte(data, '\n')+1]))
	sc.Buffer(nil, maxLine)
	for n := 1; sc.Scan(); n++ {
		var v T
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			return out, &lineError{path, n, err}
		}
		out = append(out, v)
	}
	if err := sc.Err(); err != nil {
		return out, &lineError{path, len(out) + 1, err}
	}
	return out, nil
}

// lineError says that a line of a file is none of ours.
type lineError struct {
	path string
	line int
	err  error
}

func (e *lineError) Error() string {
	return fmt.Sprintf("audit: %s: line %d: %v", e.path, e.line, e.err)
}

func (e *lineError) Unwrap() error { return e.err }

// replaceFile writes a file of mode 0600 so that after a crash it is the old
// one or the new one.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("audit: write %s: %w", path, err)
	}
	return nil
}

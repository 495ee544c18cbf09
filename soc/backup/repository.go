package backup

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// A repository is a folder:
//
//	repository.json     what this is and for whom it is encrypted
//	identity.age        the key that opens it, encrypted with the passphrase
//	backups/NAME        description of a backup; once it is there, the backup is
//	backups/NAME.list   everything in it
//	backups/NAME.check  what the last check found
//	objects/ab/NAME     packed files
//	unfinished          what an interrupted backup had copied already
//	lock
const (
	repositoryFile = "repository.json"
	identityFile   = "identity.age"
	backupsDir     = "backups"
	objectsDir     = "objects"
	unfinishedFile = "unfinished"
	lockFile       = "lock"
	listSuffix     = ".list"
	checkSuffix    = ".check"
	newPrefix      = ".new-"
)

// maxDescription bounds what is read as the description of a backup in bytes.
const maxDescription = 16 << 20

// Repository is a folder of backups.
type Repository struct {
	dir       string
	info      info
	recipient age.Recipient // nil: not encrypted
	identity  age.Identity  // nil: nothing encrypted can be read
}

type info struct {
	Format    int       `json:"format"`
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	Recipient string    `json:"recipient,omitempty"` // of age, for whom backups are encrypted
}

// InitOptions say how the backups of a new repository are encrypted. At most
// one is given; without any they are not.
type InitOptions struct {
	Passphrase string // a key is made and kept in the repository, locked with this
	Recipient  string // public key of age (age1…), whose private key is kept elsewhere
}

// MinPassphrase is how many characters a passphrase has at least.
const MinPassphrase = 12

// Init makes an empty repository in a folder that is missing or empty.
func Init(dir string, o InitOptions) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, repositoryFile)); err == nil {
			return fmt.Errorf("backup: %s holds backups already; how they are encrypted is decided once", dir)
		}
		return fmt.Errorf("backup: %s is not empty and holds no backups: give an empty folder", dir)
	}
	in := info{Format: Format, ID: random(), Created: time.Now().UTC().Truncate(time.Second), Recipient: o.Recipient}
	var locked bytes.Buffer
	switch {
	case o.Passphrase != "" && o.Recipient != "":
		return errors.New("backup: a passphrase and a recipient are given; one of them decides who can open the backups")
	case o.Recipient != "":
		if _, err := age.ParseX25519Recipient(o.Recipient); err != nil {
			return fmt.Errorf("backup: the recipient %.80q is no public key of age such as age1…: %w", o.Recipient, err)
		}
	case o.Passphrase != "":
		if n := len([]rune(o.Passphrase)); n < MinPassphrase {
			return fmt.Errorf("backup: the passphrase has %d characters; %d is the least, since whoever copies the folder can guess at leisure", n, MinPassphrase)
		}
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return fmt.Errorf("backup: make a key: %w", err)
		}
		in.Recipient = id.Recipient().String()
		if err := lockIdentity(&locked, id, o.Passphrase); err != nil {
			return fmt.Errorf("backup: lock the key: %w", err)
		}
	}
	for _, d := range []string{dir, filepath.Join(dir, backupsDir), filepath.Join(dir, objectsDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("backup: make the backup folder: %w", err)
		}
	}
	if locked.Len() > 0 {
		if err := replace(filepath.Join(dir, identityFile), locked.Bytes()); err != nil {
			return full(dir, err)
		}
	}
	data, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return full(dir, replace(filepath.Join(dir, repositoryFile), append(data, '\n')))
}

func lockIdentity(w io.Writer, id *age.X25519Identity, passphrase string) error {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return err
	}
	enc, err := age.Encrypt(w, to)
	if err != nil {
		return err
	}
	_, err = io.WriteString(enc, id.String()+"\n")
	return errors.Join(err, enc.Close())
}

// Open opens the repository in a folder.
func Open(dir string) (*Repository, error) {
	data, err := os.ReadFile(filepath.Join(dir, repositoryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("backup: %w in %s", ErrNoRepository, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	r := &Repository{dir: dir}
	if err := json.Unmarshal(data, &r.info); err != nil {
		return nil, fmt.Errorf("backup: %w: %s: %w", ErrDamaged, filepath.Join(dir, repositoryFile), err)
	}
	if r.info.Format != Format {
		return nil, fmt.Errorf("backup: %s has the format %d; this release reads %d", dir, r.info.Format, Format)
	}
	if r.info.Recipient != "" {
		if r.recipient, err = age.ParseX25519Recipient(r.info.Recipient); err != nil {
			return nil, fmt.Errorf("backup: %w: %s: the recipient: %w", ErrDamaged, filepath.Join(dir, repositoryFile), err)
		}
	}
	return r, nil
}

// Dir is the folder.
func (r *Repository) Dir() string { return r.dir }

// Encrypted tells whether backups are encrypted.
func (r *Repository) Encrypted() bool { return r.recipient != nil }

// Unlock opens the repository's own key with the passphrase.
func (r *Repository) Unlock(passphrase string) error {
	f, err := os.Open(filepath.Join(r.dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: no passphrase opens %s: it is encrypted for %s, whose private key is kept elsewhere; give that", r.dir, r.info.Recipient)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer f.Close()
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	plain, err := age.Decrypt(f, id)
	if err != nil {
		return fmt.Errorf("backup: %w: the passphrase does not open it", ErrLocked)
	}
	return r.UnlockWith(plain)
}

// UnlockWith reads the private key (AGE-SECRET-KEY-1…) that opens the backups.
func (r *Repository) UnlockWith(key io.Reader) error {
	ids, err := age.ParseIdentities(io.LimitReader(key, 64<<10))
	if err != nil {
		return fmt.Errorf("backup: the private key is not read: %w", err)
	}
	for _, id := range ids {
		if x, ok := id.(*age.X25519Identity); ok && x.Recipient().String() == r.info.Recipient {
			r.identity = x
			return nil
		}
	}
	return fmt.Errorf("backup: %w for %s, and that private key is another's", ErrLocked, r.info.Recipient)
}

// lock takes the repository for this process; shared, others may read too.
func (r *Repository) lock(shared bool) (unlock func(), err error) {
	flag, how := os.O_CREATE|os.O_RDWR, syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	f, err := os.OpenFile(filepath.Join(r.dir, lockFile), flag, 0o600)
	if shared && (errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)) {
		return func() {}, nil // nobody writes to a folder that cannot be written
	}
	if err != nil {
		return nil, full(r.dir, fmt.Errorf("backup: %w", err))
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("backup: %w in %s", ErrBusy, r.dir)
		}
		return nil, fmt.Errorf("backup: lock %s: %w", r.dir, err)
	}
	return func() { _ = f.Close() }, nil
}

func (r *Repository) backupPath(name string) string {
	return filepath.Join(r.dir, backupsDir, name)
}

// objectPath is where an object lies; spread, since some file systems are slow
// with many files in a folder.
func (r *Repository) objectPath(name string) string {
	return filepath.Join(r.dir, objectsDir, name[:2], name)
}

// names lists the backups, the newest first.
func (r *Repository) names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(r.dir, backupsDir))
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	var out []string
	for _, e := range entries {
		if checkName(e.Name()) == nil {
			out = append(out, e.Name())
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(b, a) })
	return out, nil
}

// List describes the backups, the newest first. One whose description cannot
// be read has only its name and a fault.
func (r *Repository) List() ([]Summary, error) {
	names, err := r.names()
	if err != nil {
		return nil, err
	}
	out := make([]Summary, 0, len(names))
	for _, name := range names {
		s, err := r.Get(name)
		if errors.Is(err, ErrNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			s = Summary{Name: name, Fault: err.Error(), LeftOut: []string{}, Classes: []Class{}, Tenants: []Tenant{}}
			s.Started, _ = time.Parse(nameLayout, name)
		}
		out = append(out, s)
	}
	return out, nil
}

// Get describes one backup; "" and "latest" are the newest.
func (r *Repository) Get(name string) (Summary, error) {
	if name == "" || name == "latest" {
		names, err := r.names()
		if err != nil {
			return Summary{}, err
		}
		if len(names) == 0 {
			return Summary{}, fmt.Errorf("backup: %w in %s", ErrNotFound, r.dir)
		}
		name = names[0]
	}
	if err := checkName(name); err != nil {
		return Summary{}, fmt.Errorf("backup: %w", err)
	}
	path := r.backupPath(name)
	data, err := readAtMost(path, maxDescription)
	if errors.Is(err, fs.ErrNotExist) {
		return Summary{}, fmt.Errorf("backup: %w in %s: %s", ErrNotFound, r.dir, name)
	}
	if err != nil {
		return Summary{}, fmt.Errorf("backup: %w", err)
	}
	s, err := parseDescription(data)
	if err == nil && s.Name != name {
		err = fmt.Errorf("it describes the backup %.40q", s.Name)
	}
	if err != nil {
		return Summary{}, fmt.Errorf("backup: %w: %s: %w", ErrDamaged, path, err)
	}
	var c check
	if data, err := readAtMost(path+checkSuffix, maxDescription); err == nil && json.Unmarshal(data, &c) == nil {
		s.Verified, s.Damaged = c.At, c.Damaged
	}
	return s, nil
}

// head stands before a description; the SHA-256 of what follows it ends the
// line.
const head = "icewatch backup 1 "

func parseDescription(data []byte) (Summary, error) {
	line, body, ok := bytes.Cut(data, []byte("\n"))
	sum, is := strings.CutPrefix(string(line), head)
	if !ok || !is {
		return Summary{}, errors.New("it is no description of a backup")
	}
	if got := sha256.Sum256(body); hex.EncodeToString(got[:]) != sum {
		return Summary{}, errors.New("it does not have the checksum it was written with")
	}
	var s Summary
	if err := json.Unmarshal(body, &s); err != nil {
		return Summary{}, err
	}
	if s.Format != Format {
		return Summary{}, fmt.Errorf("it has the format %d; this release reads %d", s.Format, Format)
	}
	return s, nil
}

func formatDescription(s Summary) ([]byte, error) {
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return append([]byte(head+hex.EncodeToString(sum[:])+"\n"), body...), nil
}

// list reads what is in a backup.
func (r *Repository) list(s Summary) ([]object, error) {
	path := r.backupPath(s.Name) + listSuffix
	objects, sum, err := readList(path)
	if err == nil && sum != s.ListSum {
		err = errors.New("it does not have the checksum it was written with")
	}
	if err != nil {
		return nil, fmt.Errorf("backup: %w: %s: %w", ErrDamaged, path, err)
	}
	return objects, nil
}

// readList reads a list of objects, a line of JSON each, and the SHA-256 of
// the file.
func readList(path string) ([]object, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	sum := sha256.New()
	objects, err := decodeList(io.TeeReader(f, sum))
	if err != nil {
		return nil, "", err
	}
	// What follows the compressed stream counts too.
	if _, err := io.Copy(sum, f); err != nil {
		return nil, "", err
	}
	return objects, hex.EncodeToString(sum.Sum(nil)), nil
}

func decodeList(r io.Reader) ([]object, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var out []object
	for d := json.NewDecoder(z); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if err := o.check(); err != nil {
			return nil, err
		}
		out = append(out, o)
	}
}

// check refuses names that lead out of the folders they belong in: a list may
// come from a disk that others wrote to.
func (o *object) check() error {
	if len(o.Name) < 3 || strings.Trim(o.Name, "0123456789abcdef-") != "" {
		return fmt.Errorf("%.80q names no object", o.Name)
	}
	if len(o.Files) == 0 {
		return fmt.Errorf("the object %.80q holds no file", o.Name)
	}
	for i := range o.Files {
		if p := o.Files[i].Path; !fs.ValidPath(p) || p == "." {
			return fmt.Errorf("%.80q is no path below the data folder", p)
		}
	}
	return nil
}

// writeList writes a list of objects and returns the SHA-256 of the file.
func writeList(path string, objects []object) (string, error) {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return "", err
	}
	e := json.NewEncoder(z)
	for i := range objects {
		if err := e.Encode(&objects[i]); err != nil {
			return "", err
		}
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:]), replace(path, b.Bytes())
}

// replace writes a file so that after a crash there is the old or the new one.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), newPrefix+"*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(f.Name())))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, err
}

// full says of an error that it is the backup folder's disk that is full.
func full(dir string, err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	free, _ := Space(dir)
	return fmt.Errorf("backup: %w: %s has %d MiB free; make room there or prune older backups: %w", ErrFull, dir, free>>20, err)
}

// Space tells how many bytes the disk of a folder has free and in all.
func Space(dir string) (free, total int64) {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return 0, 0
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize)
}

func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

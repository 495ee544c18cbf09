package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// packer writes objects: tar, compressed, encrypted where the repository is.
type packer struct {
	repo *Repository
	zstd *zstd.Encoder
	pace *pace
	buf  []byte
}

func (r *Repository) packer(p *pace) (*packer, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return &packer{repo: r, zstd: z, pace: p, buf: make([]byte, 256<<10)}, nil
}

// entry is a file to be packed.
type entry struct {
	path     string // in the backup
	size     int64
	modified int64 // Unix nanoseconds; only of files that never change
	open     func() (io.ReadCloser, error)
}

// pack writes one object, which is durable when it returns. An error of the
// source names the source's file; progress is told of the bytes read.
func (p *packer) pack(ctx context.Context, entries []entry, read func(n int)) (object, error) {
	o := object{Name: random() + "-" + random()}
	path := p.repo.objectPath(o.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return object{}, full(p.repo.dir, fmt.Errorf("backup: %w", err))
	}
	f, err := os.CreateTemp(filepath.Dir(path), newPrefix+"*")
	if err != nil {
		return object{}, full(p.repo.dir, fmt.Errorf("backup: %w", err))
	}
	err = p.write(ctx, f, entries, read, &o)
	if err == nil {
		err = full(p.repo.dir, f.Sync())
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return object{}, errors.Join(err, ignoreMissing(os.Remove(f.Name())))
	}
	return o, nil
}

// sink counts and sums what goes to the disk.
type sink struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.sum.Write(b[:n])
	s.n += int64(n)
	return n, err
}

func (p *packer) write(ctx context.Context, f *os.File, entries []entry, read func(n int), o *object) error {
	target := func(err error) error {
		if err == nil {
			return nil
		}
		return full(p.repo.dir, fmt.Errorf("backup: write to %s: %w", p.repo.dir, err))
	}
	stored := &sink{w: f, sum: sha256.New()}
	var out io.Writer = stored
	var enc io.WriteCloser
	if p.repo.recipient != nil {
		var err error
		if enc, err = age.Encrypt(stored, p.repo.recipient); err != nil {
			return target(err)
		}
		out = enc
	}
	p.zstd.Reset(out)
	plain := &sink{w: p.zstd, sum: sha256.New()}
	archive := tar.NewWriter(plain)
	for i := range entries {
		sum, err := p.add(ctx, archive, &entries[i], read, target)
		if err != nil {
			return err
		}
		o.Files = append(o.Files, file{Path: entries[i].path, Size: entries[i].size, Sum: sum, Modified: entries[i].modified})
	}
	if err := archive.Close(); err != nil {
		return target(err)
	}
	if err := p.zstd.Close(); err != nil {
		return target(err)
	}
	if enc != nil {
		if err := enc.Close(); err != nil {
			return target(err)
		}
	}
	o.ID, o.Sum, o.Stored = hex.EncodeToString(plain.sum.Sum(nil)), hex.EncodeToString(stored.sum.Sum(nil)), stored.n
	return nil
}

func (p *packer) add(ctx context.Context, archive *tar.Writer, e *entry, read func(n int), target func(error) error) (string, error) {
	in, err := e.open()
	if err != nil {
		return "", fmt.Errorf("backup: %w", err)
	}
	defer in.Close()
	if err := archive.WriteHeader(&tar.Header{Name: e.path, Mode: 0o600, Size: e.size, Format: tar.FormatPAX}); err != nil {
		return "", target(err)
	}
	sum := sha256.New()
	for left := e.size; left > 0; {
		b := p.buf[:min(int64(len(p.buf)), left)]
		if err := p.pace.wait(ctx, len(b)); err != nil {
			return "", err
		}
		n, err := io.ReadFull(in, b)
		if err != nil {
			return "", fmt.Errorf("backup: read %s: %d bytes are missing of %d: %w", e.path, left-int64(n), e.size, err)
		}
		sum.Write(b)
		if _, err := archive.Write(b); err != nil {
			return "", target(err)
		}
		left -= int64(n)
		read(n)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// unpack hands over the files of an object and checks each against its sum.
// each must read what it is given to the end.
func (r *Repository) unpack(o *object, each func(f *file, in io.Reader) error) error {
	path := r.objectPath(o.Name)
	bad := func(err error) error { return fmt.Errorf("backup: %w: %s: %w", ErrDamaged, path, err) }
	f, err := os.Open(path)
	if err != nil {
		return bad(err)
	}
	defer f.Close()
	var in io.Reader = f
	if r.recipient != nil {
		if r.identity == nil {
			return fmt.Errorf("backup: %w: give its passphrase or private key", ErrLocked)
		}
		if in, err = age.Decrypt(f, r.identity); err != nil {
			return bad(err)
		}
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return bad(err)
	}
	defer z.Close()
	archive := tar.NewReader(z)
	for i := range o.Files {
		want := &o.Files[i]
		h, err := archive.Next()
		if err != nil {
			return bad(err)
		}
		if h.Name != want.Path || h.Size != want.Size {
			return bad(fmt.Errorf("it holds %.80q of %d bytes where %.80q of %d is expected", h.Name, h.Size, want.Path, want.Size))
		}
		sum := sha256.New()
		from := &reader{r: io.TeeReader(archive, sum)}
		if err := each(want, from); err != nil {
			if from.err != nil {
				return bad(from.err)
			}
			return err
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != want.Sum {
			return bad(fmt.Errorf("%s does not have the checksum it was written with", want.Path))
		}
	}
	if _, err := archive.Next(); !errors.Is(err, io.EOF) {
		return bad(errors.New("it holds more than its list says"))
	}
	return nil
}

// reader remembers that it was the reading that failed.
type reader struct {
	r   io.Reader
	err error
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

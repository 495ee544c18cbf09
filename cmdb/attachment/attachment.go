// Package attachment keeps files of the CMDB's items: contracts, drawings of
// racks, configurations. What a file holds is stored once, under its SHA-256,
// in a folder of the suite's data, which backups take along; the table knows
// whose it is. What is removed can be brought back for thirty days.
package attachment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// Bounds of what is kept.
const (
	MaxFile  = 20 << 20            // bytes of one file
	MaxItem  = 50                  // files of one item
	MaxTotal = int64(20) << 30     // bytes of all files that are there
	keep     = 30 * 24 * time.Hour // how long what is removed can be brought back
	maxName  = 200                 // characters
)

var (
	// ErrNotFound says that an item has no such file.
	ErrNotFound = errors.New("attachment: no such file")
	// ErrInvalid says that a file cannot be kept as it is.
	ErrInvalid = errors.New("attachment: invalid file")
	// ErrFull says that there is no room for a file.
	ErrFull = errors.New("attachment: no room")
)

// types are the files that are kept, by ending, and the media types that what
// they hold may look like, as net/http guesses; none for those that
// have no mark of their own and only must not look like something else.
var types = map[string]struct {
	media string
	looks []string
}{
	".pdf": {"application/pdf", []string{"application/pdf"}},
	".png": {"image/png", []string{"image/png"}}, ".jpg": {"image/jpeg", []string{"image/jpeg"}}, ".jpeg": {"image/jpeg", []string{"image/jpeg"}},
	".gif": {"image/gif", []string{"image/gif"}}, ".webp": {"image/webp", []string{"image/webp"}}, ".bmp": {"image/bmp", []string{"image/bmp"}},
	".zip": {"application/zip", zipped}, ".docx": {office + "wordprocessingml.document", zipped}, ".xlsx": {office + "spreadsheetml.sheet", zipped},
	".pptx": {office + "presentationml.presentation", zipped}, ".vsdx": {"application/vnd.ms-visio.drawing", zipped}, ".ofd": {"application/ofd", zipped},
	".odt": {"application/vnd.oasis.opendocument.text", zipped}, ".ods": {"application/vnd.oasis.opendocument.spreadsheet", zipped},
	".gz":  {"application/gzip", []string{"application/x-gzip"}},
	".txt": {plain, text}, ".log": {plain, text}, ".md": {plain, text}, ".csv": {"text/csv", text}, ".conf": {plain, text}, ".cfg": {plain, text}, ".ini": {plain, text},
	".json": {"application/json", text}, ".yaml": {"application/yaml", text}, ".yml": {"application/yaml", text}, ".pem": {"application/x-pem-file", text}, ".crt": {"application/x-x509-ca-cert", nil},
}

const (
	office = "application/vnd.openxmlformats-officedocument."
	plain  = "text/plain"
)

var (
	zipped = []string{"application/zip"}
	text   = []string{plain}
)

// File is one file of an item.
type File struct {
	ID        int64      `json:"id"`
	Name      string     `json:"name"`
	SHA256    string     `json:"sha256"`
	Size      int64      `json:"size" doc:"Bytes"`
	Type      string     `json:"type" doc:"Media type"`
	AddedBy   string     `json:"added_by"`
	AddedAt   time.Time  `json:"added_at"`
	RemovedBy string     `json:"removed_by,omitempty"`
	RemovedAt *time.Time `json:"removed_at,omitempty" doc:"Until thirty days after it can be brought back"`
}

type row struct {
	bun.BaseModel `bun:"table:cmdb_attachments,alias:a"`
	ID            int64  `bun:"id,pk,autoincrement"`
	ItemID        string `bun:"item_id"`
	Name          string `bun:"name"`
	SHA256        string `bun:"sha256"`
	Size          int64  `bun:"size"`
	Type          string `bun:"type"`
	AddedBy       string `bun:"added_by"`
	AddedAt       int64  `bun:"added_at"`
	RemovedBy     string `bun:"removed_by"`
	RemovedAt     int64  `bun:"removed_at"`
}

func (r *row) told() File {
	f := File{ID: r.ID, Name: r.Name, SHA256: r.SHA256, Size: r.Size, Type: r.Type, AddedBy: r.AddedBy, AddedAt: time.UnixMilli(r.AddedAt).UTC(), RemovedBy: r.RemovedBy}
	if r.RemovedAt > 0 {
		at := time.UnixMilli(r.RemovedAt).UTC()
		f.RemovedAt = &at
	}
	return f
}

// Shelf keeps the files. Who may see an item is for the caller to check. It is
// safe for concurrent use.
type Shelf struct {
	db  *cmdb.Database
	dir string
	now func() time.Time
	mu  sync.Mutex // of the folder: a file that comes must not be swept away
}

// Open brings the tables up to date and keeps files below dir. now is nil for
// time.Now.
func Open(ctx context.Context, db *cmdb.Database, dir string, now func() time.Time) (*Shelf, error) {
	if err := db.Migrate(ctx, "cmdb_attachments", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("attachment: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("attachment: the folder of files: %w", err)
	}
	if now == nil {
		now = time.Now
	}
	return &Shelf{db: db, dir: dir, now: now}, nil
}

// check says what is wrong with a file, or its clean name and media type.
func check(name string, data []byte) (string, string, error) {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || strings.ContainsRune(`<>:"|?*`, r) {
			return '_'
		}
		return r
	}, name))
	ending := strings.ToLower(filepath.Ext(name))
	kind, known := types[ending]
	switch n := utf8.RuneCountInString(name); {
	case n == 0 || n > maxName || name == ending:
		return "", "", fmt.Errorf("%w: the name %q: want 1 to %d characters before its ending", ErrInvalid, name, maxName)
	case !known:
		return "", "", fmt.Errorf("%w: %q: files of the kind %q are not kept; documents, pictures, texts and archives are", ErrInvalid, name, ending)
	case len(data) == 0:
		return "", "", fmt.Errorf("%w: %q is empty", ErrInvalid, name)
	case len(data) > MaxFile:
		return "", "", fmt.Errorf("%w: %q has more than %d MiB", ErrInvalid, name, MaxFile>>20)
	}
	looks, _, _ := strings.Cut(http.DetectContentType(data), ";")
	if bytes.HasPrefix(data, []byte("MZ")) || bytes.HasPrefix(data, []byte("\x7fELF")) || bytes.HasPrefix(data, []byte("#!")) {
		looks = "a program"
	}
	right := len(kind.looks) == 0 && (looks == plain || looks == "application/octet-stream")
	for _, l := range kind.looks {
		right = right || l == looks
	}
	if !right {
		return "", "", fmt.Errorf("%w: %q holds %s, which is not what its ending says", ErrInvalid, name, looks)
	}
	return name, kind.media, nil
}

func (s *Shelf) path(sum string) string { return filepath.Join(s.dir, sum[:2], sum) }

// write stores what a file holds, under its hash.
func (s *Shelf) write(sum string, data []byte) error {
	if st, err := os.Stat(s.path(sum)); err == nil && st.Size() == int64(len(data)) {
		return nil
	}
	dir := filepath.Dir(s.path(sum))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing where it was renamed
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path(sum))
}

// Add keeps a file of an item.
func (s *Shelf) Add(ctx context.Context, item, actor, name string, data []byte) (File, error) {
	name, media, err := check(name, data)
	if err != nil {
		return File{}, err
	}
	hash := sha256.Sum256(data)
	r := row{ItemID: item, Name: name, SHA256: hex.EncodeToString(hash[:]), Size: int64(len(data)), Type: media, AddedBy: actor, AddedAt: s.now().UnixMilli()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(r.SHA256, data); err != nil {
		return File{}, fmt.Errorf("attachment: store %q: %w", name, err)
	}
	err = s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.room(ctx, tx, item, r.Size); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&r).Exec(ctx)
		return err
	})
	if err != nil {
		return File{}, fmt.Errorf("attachment: keep %q: %w", name, err)
	}
	return r.told(), nil
}

// room refuses one file more where the item or the shelf has its fill.
func (s *Shelf) room(ctx context.Context, tx bun.Tx, item string, size int64) error {
	n, err := tx.NewSelect().Model((*row)(nil)).Where("item_id = ? AND removed_at = 0", item).Count(ctx)
	if err != nil {
		return err
	}
	if n >= MaxItem {
		return fmt.Errorf("%w: the item has %d files already: remove one first", ErrFull, n)
	}
	var total int64
	if err := tx.NewSelect().Model((*row)(nil)).ColumnExpr("CAST(coalesce(sum(size), 0) AS BIGINT)").Where("removed_at = 0").Scan(ctx, &total); err != nil {
		return err
	}
	if total+size > MaxTotal {
		return fmt.Errorf("%w: all files together have %d MiB: want at most %d", ErrFull, total>>20, MaxTotal>>20)
	}
	return nil
}

// List lists the files of an item, the removed ones too, newest first.
func (s *Shelf) List(ctx context.Context, item string) ([]File, error) {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Where("item_id = ?", item).Order("id DESC").Limit(1000).Scan(ctx); err != nil {
		return nil, fmt.Errorf("attachment: files of %q: %w", item, err)
	}
	out := make([]File, len(rows))
	for i := range rows {
		out[i] = rows[i].told()
	}
	return out, nil
}

func (s *Shelf) find(ctx context.Context, db bun.IDB, item string, id int64) (*row, error) {
	var rows []row
	if err := db.NewSelect().Model(&rows).Where("id = ? AND item_id = ?", id, item).Scan(ctx); err != nil {
		return nil, fmt.Errorf("attachment: file %d of %q: %w", id, item, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: %d of item %q", ErrNotFound, id, item)
	}
	return &rows[0], nil
}

// Read returns a file and what it holds. What was damaged on the disk is an
// error.
func (s *Shelf) Read(ctx context.Context, item string, id int64) (File, []byte, error) {
	r, err := s.find(ctx, s.db, item, id)
	if err != nil {
		return File{}, nil, err
	}
	data, err := os.ReadFile(s.path(r.SHA256))
	if err != nil {
		return File{}, nil, fmt.Errorf("attachment: read %q of %q: %w", r.Name, item, err)
	}
	if hash := sha256.Sum256(data); hex.EncodeToString(hash[:]) != r.SHA256 {
		return File{}, nil, fmt.Errorf("attachment: %q of %q is damaged on the disk: its hash is another one", r.Name, item)
	}
	return r.told(), data, nil
}

// Remove takes a file away; Restore brings it back.
func (s *Shelf) Remove(ctx context.Context, item, actor string, id int64) (File, error) {
	return s.mark(ctx, item, id, actor, s.now().UnixMilli())
}

// Restore brings a removed file back.
func (s *Shelf) Restore(ctx context.Context, item string, id int64) (File, error) {
	return s.mark(ctx, item, id, "", 0)
}

func (s *Shelf) mark(ctx context.Context, item string, id int64, by string, at int64) (out File, err error) {
	err = s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		r, err := s.find(ctx, tx, item, id)
		if err != nil {
			return err
		}
		if at == 0 && r.RemovedAt > 0 {
			if err := s.room(ctx, tx, item, r.Size); err != nil {
				return err
			}
		}
		if (r.RemovedAt > 0) != (at > 0) {
			r.RemovedBy, r.RemovedAt = by, at
			if _, err := tx.NewUpdate().Model(r).Column("removed_by", "removed_at").WherePK().Exec(ctx); err != nil {
				return fmt.Errorf("attachment: file %d of %q: %w", id, item, err)
			}
		}
		out = r.told()
		return nil
	})
	return out, err
}

// Run sweeps once a day until ctx ends.
func (s *Shelf) Run(ctx context.Context) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "removed attachments could not be cleared away; it is tried again tomorrow", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Sweep forgets what was removed thirty days ago, and deletes what no file
// holds any more.
func (s *Shelf) Sweep(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now().Add(-keep).UnixMilli()
	if _, err := s.db.NewDelete().Model((*row)(nil)).Where("removed_at > 0 AND removed_at <= ?", before).Exec(ctx); err != nil {
		return fmt.Errorf("attachment: forget what was removed: %w", err)
	}
	return filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var n int64
		if sum := d.Name(); !strings.HasPrefix(sum, ".new-") {
			if n, err = s.db.NewSelect().Model((*row)(nil)).Where("sha256 = ?", sum).Count(ctx); err != nil {
				return fmt.Errorf("attachment: whose file %s is: %w", sum, err)
			}
		}
		if n > 0 {
			return nil
		}
		return os.Remove(path)
	})
}

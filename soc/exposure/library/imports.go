package library

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"
)

// The states of an import.
const (
	Uploading = "uploading"
	Queued    = "queued"
	Checking  = "checking"
	Importing = "importing"
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// Bounds of imports.
const (
	MaxFile    = 4 << 30  // bytes of a file as it is uploaded
	MaxPiece   = 16 << 20 // bytes of one piece of it
	maxWaiting = 20       // that are uploaded or wait
	maxKept    = 200      // that ended
	batch      = 400      // records of one transaction
	idle       = 24 * time.Hour
)

// VulnImport is a file that is imported, or was.
type VulnImport struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Format   string    `json:"format,omitempty" enum:"nvd,cnnvd,osv,csaf,epss,kev,debian" doc:"Found out by the content where it is absent"`
	State    string    `json:"state" enum:"uploading,queued,checking,importing,done,failed,cancelled"`
	Error    string    `json:"error,omitempty" doc:"What is wrong, and where in the file"`
	Size     int64     `json:"size" doc:"Bytes"`
	Received int64     `json:"received" doc:"Bytes that are here: an upload goes on from there"`
	Checked  int       `json:"checked" doc:"Vulnerabilities found in the file"`
	Written  int       `json:"written" doc:"Of these, written"`
	Added    int       `json:"added" doc:"Of these, new to the library"`
	Actor    string    `json:"actor"`
	Created  time.Time `json:"created_at"`
	Ended    time.Time `json:"ended_at,omitzero"`
}

type importRow struct {
	bun.BaseModel `bun:"table:exposure_imports,alias:i"`
	ID            string `bun:"id,pk"`
	Name          string `bun:"name"`
	Format        string `bun:"format"`
	State         string `bun:"state"`
	Error         string `bun:"error"`
	Size          int64  `bun:"size"`
	Received      int64  `bun:"received"`
	Checked       int    `bun:"checked"`
	Written       int    `bun:"written"`
	Added         int    `bun:"added"`
	Actor         string `bun:"actor"`
	CreatedAt     int64  `bun:"created_at"`
	EndedAt       int64  `bun:"ended_at"`
}

func (r *importRow) public() VulnImport {
	out := VulnImport{ID: r.ID, Name: r.Name, Format: r.Format, State: r.State, Error: r.Error, Size: r.Size, Received: r.Received, Checked: r.Checked, Written: r.Written, Added: r.Added, Actor: r.Actor, Created: time.UnixMilli(r.CreatedAt).UTC()}
	if r.EndedAt > 0 {
		out.Ended = time.UnixMilli(r.EndedAt).UTC()
	}
	return out
}

// Start begins the upload of a file of a size.
func (l *Library) Start(ctx context.Context, actor, name, format string, size int64) (VulnImport, error) {
	if format != Auto && !slices.Contains(Formats, format) {
		return VulnImport{}, fmt.Errorf("%w: there is no format %q: %s", ErrInvalid, clip(format, 40), strings.Join(Formats, ", "))
	}
	if size <= 0 || size > MaxFile {
		return VulnImport{}, fmt.Errorf("%w: a file has 1 byte to %d GiB; this one has %d bytes", ErrInvalid, MaxFile>>30, size)
	}
	name = clip(strings.TrimSpace(name), 200)
	if name == "" || !utf8.ValidString(name) {
		return VulnImport{}, fmt.Errorf("%w: the file has no name", ErrInvalid)
	}
	n, err := l.db.NewSelect().Model((*importRow)(nil)).Where("i.state IN (?)", bun.In([]string{Uploading, Queued, Checking, Importing})).Count(ctx)
	if err != nil {
		return VulnImport{}, fmt.Errorf("library: count imports: %w", err)
	}
	if n >= maxWaiting {
		return VulnImport{}, ErrBusy
	}
	row := importRow{ID: rand.Text(), Name: name, Format: format, State: Uploading, Size: size, Actor: actor, CreatedAt: l.now().UnixMilli()}
	if err := os.MkdirAll(l.opt.Dir, 0o700); err != nil {
		return VulnImport{}, fmt.Errorf("library: %w", err)
	}
	if _, err := l.db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return VulnImport{}, fmt.Errorf("library: keep the import: %w", err)
	}
	return row.public(), nil
}

func (l *Library) file(id string) string { return filepath.Join(l.opt.Dir, id+".upload") }

// Piece takes in a piece of the file, which begins at an offset that has to be
// what is received so far. With the last one the import waits for its turn.
func (l *Library) Piece(ctx context.Context, id string, offset int64, data []byte) (VulnImport, error) {
	l.writes.Lock()
	defer l.writes.Unlock()
	row, err := l.row(ctx, id)
	if err != nil {
		return VulnImport{}, err
	}
	switch {
	case row.State != Uploading:
		return row.public(), fmt.Errorf("%w: the file is uploaded already; the import is %s", ErrInvalid, row.State)
	case offset != row.Received:
		return row.public(), fmt.Errorf("%w: the piece begins at byte %d; byte %d is the next that is missing", ErrInvalid, offset, row.Received)
	case len(data) == 0 || offset+int64(len(data)) > row.Size:
		return row.public(), fmt.Errorf("%w: the piece of %d bytes at %d does not fit into a file of %d bytes", ErrInvalid, len(data), offset, row.Size)
	}
	f, err := os.OpenFile(l.file(id), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return VulnImport{}, fmt.Errorf("library: keep the upload: %w", err)
	}
	if _, err = f.WriteAt(data, offset); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return VulnImport{}, fmt.Errorf("library: keep the upload: %w", err)
	}
	row.Received += int64(len(data))
	if row.Received == row.Size {
		row.State = Queued
	}
	if _, err := l.db.NewUpdate().Model(&row).Column("received", "state").WherePK().Exec(ctx); err != nil {
		return VulnImport{}, fmt.Errorf("library: keep the import: %w", err)
	}
	if row.State == Queued {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return row.public(), nil
}

func (l *Library) row(ctx context.Context, id string) (importRow, error) {
	var row importRow
	err := l.db.NewSelect().Model(&row).Where("i.id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, ErrNotFound
	}
	return row, err
}

// Import is one import.
func (l *Library) Import(ctx context.Context, id string) (VulnImport, error) {
	row, err := l.row(ctx, id)
	return row.public(), err
}

// Imports lists imports, the newest first.
func (l *Library) Imports(ctx context.Context, limit int) ([]VulnImport, error) {
	var rows []importRow
	if err := l.db.NewSelect().Model(&rows).Order("i.created_at DESC", "i.id").Limit(int64(min(max(limit, 1), maxKept))).Scan(ctx); err != nil {
		return nil, fmt.Errorf("library: list imports: %w", err)
	}
	out := make([]VulnImport, len(rows))
	for i := range rows {
		out[i] = rows[i].public()
	}
	return out, nil
}

// Cancel ends an import. What it has written stays: each vulnerability is whole.
func (l *Library) Cancel(ctx context.Context, id string) (VulnImport, error) {
	row, err := l.row(ctx, id)
	if err != nil {
		return VulnImport{}, err
	}
	if row.EndedAt > 0 {
		return row.public(), fmt.Errorf("%w: the import has ended: %s", ErrInvalid, row.State)
	}
	l.mu.Lock()
	cancel := l.cancel[id]
	l.mu.Unlock()
	row.State = Cancelled
	if err := l.end(ctx, &row); err != nil {
		return VulnImport{}, err
	}
	if cancel != nil {
		cancel()
	}
	return row.public(), nil
}

// end writes that an import has ended, once.
func (l *Library) end(ctx context.Context, row *importRow) error {
	row.EndedAt = l.now().UnixMilli()
	row.Error = strings.ToValidUTF8(clip(row.Error, 1000), "\uFFFD")
	if _, err := l.db.NewUpdate().Model(row).Column("state", "error", "ended_at", "checked").WherePK().Where("ended_at = 0").Exec(ctx); err != nil {
		return fmt.Errorf("library: keep the import: %w", err)
	}
	if err := os.Remove(l.file(row.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.opt.Log.Warn("library: an upload is not removed", "file", l.file(row.ID), "error", err)
	}
	return nil
}

// Run does the imports one after the other until ctx ends; one that was
// interrupted goes on where it was.
func (l *Library) Run(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		for ctx.Err() == nil {
			more, err := l.Next(ctx)
			if err != nil && ctx.Err() == nil {
				l.opt.Log.Error("library: an import does not go on; it is tried again", "error", err)
				break
			}
			if !more {
				break
			}
		}
		if err := l.tidy(ctx); err != nil && ctx.Err() == nil {
			l.opt.Log.Warn("library: old imports are not removed", "error", err)
		}
		select {
		case <-l.wake:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tidy gives up uploads that nobody goes on with, and forgets old imports.
func (l *Library) tidy(ctx context.Context) error {
	var rows []importRow
	if err := l.db.NewSelect().Model(&rows).Where("i.state = ? AND i.created_at < ?", Uploading, l.now().Add(-idle).UnixMilli()).Scan(ctx); err != nil {
		return err
	}
	for i := range rows {
		rows[i].State, rows[i].Error = Failed, "the upload was not completed within a day"
		if err := l.end(ctx, &rows[i]); err != nil {
			return err
		}
	}
	_, err := l.db.NewDelete().Table("exposure_imports").Where("ended_at > 0 AND id NOT IN (SELECT i.id FROM exposure_imports AS i ORDER BY i.created_at DESC LIMIT ?)", maxKept).Exec(ctx)
	return err
}

// Next does the import whose turn it is. It tells whether there was one.
func (l *Library) Next(ctx context.Context) (bool, error) {
	var row importRow
	err := l.db.NewSelect().Model(&row).Where("i.state IN (?)", bun.In([]string{Queued, Checking, Importing})).Order("i.created_at", "i.id").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("library: the next import: %w", err)
	}
	job, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.cancel[row.ID] = cancel
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.cancel, row.ID)
		l.mu.Unlock()
	}()
	err = l.run(job, &row)
	if ctx.Err() != nil {
		return false, ctx.Err() // it goes on at the next start
	}
	if errors.Is(err, context.Canceled) {
		return true, nil // somebody cancelled it
	}
	var fault *Fault
	switch {
	case err == nil:
		row.State = Done
	case errors.As(err, &fault), errors.Is(err, ErrInvalid), errors.Is(err, fs.ErrNotExist):
		row.State, row.Error = Failed, err.Error()
	default:
		return true, err
	}
	l.opt.Log.Info("library: an import has ended", "file", row.Name, "state", row.State, "vulnerabilities", row.Written, "new", row.Added, "error", row.Error)
	return true, l.end(ctx, &row)
}

// run reads the file through once to see that it is whole, and writes it then.
func (l *Library) run(ctx context.Context, row *importRow) error {
	told := time.Now()
	move := func(columns ...string) error {
		res, err := l.db.NewUpdate().Model(row).Column(columns...).WherePK().Where("ended_at = 0").Exec(ctx)
		if err != nil {
			return fmt.Errorf("library: keep the import: %w", err)
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return context.Canceled
		}
		return nil
	}
	if row.State != Importing {
		row.State, row.Checked = Checking, 0
		if err := move("state", "checked"); err != nil {
			return err
		}
		err := ReadFile(ctx, l.file(row.ID), row.Format, func(*Record) error {
			if row.Checked++; row.Checked%1000 == 0 && time.Since(told) > time.Second {
				told = time.Now()
				return move("checked")
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
		row.State = Importing
		if err := move("state", "checked"); err != nil {
			return err
		}
	}
	skip := row.Written
	var list []*Record
	flush := func() error {
		began := time.Now()
		err := l.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
			added, err := l.write(ctx, tx, list)
			if err != nil {
				return err
			}
			row.Written, row.Added = row.Written+len(list), row.Added+added
			if _, err := tx.NewUpdate().Model(row).Column("written", "added").WherePK().Exec(ctx); err != nil {
				return fmt.Errorf("library: keep the import: %w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		list = list[:0]
		// The CMDB's own writers have their turn in between.
		select {
		case <-time.After(min(time.Since(began)/4, time.Second)):
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	n := 0
	err := ReadFile(ctx, l.file(row.ID), row.Format, func(r *Record) error {
		if n++; n <= skip {
			return nil
		}
		if list = append(list, r); len(list) >= batch {
			return flush()
		}
		return nil
	}, nil)
	if err == nil && len(list) > 0 {
		err = flush()
	}
	return err
}

// Add imports what a reader holds at once, for programs that have it at hand. A
// broken file imports nothing.
func (l *Library) Add(ctx context.Context, actor, name, format string, r io.Reader) (VulnImport, error) {
	tmp, err := os.CreateTemp("", "icewatch-vulnerabilities-")
	if err != nil {
		return VulnImport{}, err
	}
	defer os.Remove(tmp.Name())
	size, err := io.Copy(tmp, io.LimitReader(r, MaxFile+1))
	if err = errors.Join(err, tmp.Close()); err != nil {
		return VulnImport{}, err
	}
	at, err := l.Start(ctx, actor, name, format, size)
	if err != nil {
		return VulnImport{}, err
	}
	f, err := os.Open(tmp.Name())
	if err != nil {
		return VulnImport{}, err
	}
	defer f.Close()
	piece := make([]byte, MaxPiece)
	for at.Received < size {
		n, err := io.ReadFull(f, piece)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return VulnImport{}, err
		}
		if at, err = l.Piece(ctx, at.ID, at.Received, piece[:n]); err != nil {
			return VulnImport{}, err
		}
	}
	if _, err := l.Next(ctx); err != nil {
		return VulnImport{}, err
	}
	return l.Import(ctx, at.ID)
}

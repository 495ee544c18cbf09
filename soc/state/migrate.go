package state

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/pressly/goose/v3"
)

var roomName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

// Migrate brings the tables of one room up to its newest migration. name is
// the room's and names its version table, goose_<name>, so that rooms move at
// their own pace. fsys holds the goose files (00001_first.sql, …) at its top or
// in a folder "migrations", as an embed.FS of a room has it. A database that a
// newer release has already moved on is refused: running on it could damage it.
func (db *DB) Migrate(ctx context.Context, name string, fsys fs.FS) error {
	if !roomName.MatchString(name) {
		return fmt.Errorf("state: migrate %q: the name must match %s", name, roomName)
	}
	if st, err := fs.Stat(fsys, "migrations"); err == nil && st.IsDir() {
		sub, err := fs.Sub(fsys, "migrations")
		if err != nil {
			return fmt.Errorf("state: migrate %s: %w", name, err)
		}
		fsys = sub
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db.DB.DB, fsys,
		goose.WithTableName("goose_"+name),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("state: migrate %s in %s: %w", name, db.path, err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("state: migrate %s in %s: read the version: %w", name, db.path, err)
	}
	if current > target {
		return fmt.Errorf("state: migrate %s in %s: the data is at version %d, this release knows up to %d: start the newer release or restore an older backup",
			name, db.path, current, target)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("state: migrate %s in %s from version %d to %d: %w", name, db.path, current, target, err)
	}
	return nil
}

// Package cmdbtest opens CMDBs for the tests of rooms beside it.
package cmdbtest

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"icewatch/cmdb"
	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
	"icewatch/test/peers"
)

// OnBoth runs a test on a CMDB in the suite's own state and on one in
// PostgreSQL, each with the tenants "a" and "b".
func OnBoth(t *testing.T, test func(t *testing.T, s *cmdb.Service)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, cmdb.OnState))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, func(*state.DB) *cmdb.Database {
			d, err := cmdb.OpenPostgres(context.Background(), peers.StartPostgres(t, "-c", "fsync=off"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			return d
		}))
	})
}

func open(t *testing.T, on func(*state.DB) *cmdb.Database) *cmdb.Service {
	t.Helper()
	ctx := context.Background()
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	catalogue := fstest.MapFS{}
	for _, slug := range []string{"a", "b"} {
		catalogue[slug+"/tenant.yaml"] = &fstest.MapFile{Data: []byte("slug: " + slug + "\nname: {zh: 应用, en: App}\ndomain: test\nprotection_level: 3\nsubsystems:\n  - {zh: 子, en: Sub}\n")}
	}
	tenants, err := tenancy.Open(ctx, db, catalogue)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cmdb.Open(ctx, on(db), tenants)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Import imports items, written as JSON, one a line.
func Import(t *testing.T, s *cmdb.Service, items string) {
	t.Helper()
	r, err := s.Import(t.Context(), cmdb.NDJSON, strings.NewReader(items), cmdb.ImportOptions{Within: reach.All(), Actor: "importer"})
	if err != nil || len(r.Errors) > 0 {
		t.Fatal(err, r.Errors)
	}
}

package cmdb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"os"
	"os/exec"
	"testing"

	"icewatch/soc/state"
	"icewatch/test/peers"
)

// postgresEnv holds the URL of a PostgreSQL database that the tests of this
// process use in place of SQLite.
const postgresEnv = "ICEWATCH_CMDB_TEST_POSTGRES"

// TestOnPostgreSQL runs the tests of this package once more, on a PostgreSQL
// server of their own.
func TestOnPostgreSQL(t *testing.T) {
	if os.Getenv(postgresEnv) != "" {
		t.Skip("this is the run on PostgreSQL")
	}
	t.Parallel()
	url := peers.StartPostgres(t, "-c", "fsync=off", "-c", "max_connections=500")
	cmd := exec.Command(os.Args[0], "-test.run=.", "-test.parallel=4")
	cmd.Env = append(os.Environ(), postgresEnv+"="+url)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("on PostgreSQL: %v\n%s", err, out)
	}
}

// database is where a test keeps the CMDB whose state is at path: in it, or on
// PostgreSQL in a schema that goes by the path.
func database(t testing.TB, db *state.DB, path string) *Database {
	t.Helper()
	url := os.Getenv(postgresEnv)
	if url == "" {
		return OnState(db)
	}
	sum := sha256.Sum256([]byte(path))
	schema := "t" + hex.EncodeToString(sum[:8])
	admin, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.Exec("CREATE SCHEMA IF NOT EXISTS " + schema); err != nil {
		t.Fatal(err)
	}
	d, err := OpenPostgres(context.Background(), url+"&search_path="+schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

package peers

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver of database/sql
)

// StartPostgres starts a PostgreSQL server of Debian's package and returns the
// URL of an empty database. settings are added to its command line, such as
// "-c", "fsync=off".
func StartPostgres(t testing.TB, settings ...string) string {
	t.Helper()
	initdb, server := postgresProgram(t, "initdb"), postgresProgram(t, "postgres")
	dir, err := os.MkdirTemp("", "icewatch-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data := filepath.Join(dir, "data")
	as := postgresUser(t, dir)
	run(t, "", as[0], append(as[1:], initdb, "--pgdata="+data, "--username=icewatch", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")...)
	port := FreePort(t)
	args := append(as[1:], server, "-D", data, "-p", port, "-h", "127.0.0.1", "-k", dir)
	log, exited := start(t, exec.Command(as[0], append(args, settings...)...))
	url := fmt.Sprintf("postgres://icewatch@127.0.0.1:%s/postgres?sslmode=disable", port)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	await(t, 2*time.Minute, "PostgreSQL", log, exited, db.Ping)
	return url
}

// postgresProgram finds a program of the server's newest version: Debian keeps
// them out of the path.
func postgresProgram(t testing.TB, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is a good one
	slices.SortFunc(found, func(a, b string) int { return postgresVersion(a) - postgresVersion(b) })
	if len(found) > 0 {
		return found[len(found)-1]
	}
	return Program(t, name)
}

func postgresVersion(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// postgresUser is how to start the server, which refuses to be root: as the
// user of the package, to whom the folder is given.
func postgresUser(t testing.TB, dir string) []string {
	t.Helper()
	if os.Getuid() != 0 {
		return []string{Program(t, "env")}
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		Missing(t, "there is no user postgres, whom the package postgresql makes")
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	return []string{Program(t, "setpriv"), "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups", "--"}
}

package peers

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"
)

// MariaDB is a MariaDB server with a user who may do everything in the database
// "test".
type MariaDB struct {
	Address, User, Password string
}

// StartMariaDB starts one. settings are added to its command line, such as
// "--require-secure-transport=ON".
func StartMariaDB(t testing.TB, settings ...string) *MariaDB {
	t.Helper()
	install, server := Program(t, "mariadb-install-db"), Program(t, "mariadbd")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "icewatch-mariadb-") // The path of a socket may not be long.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data, port := filepath.Join(dir, "data"), FreePort(t)
	// A server that starts clears its folder for temporary tables: each has its own.
	temporary := "--tmpdir=" + dir
	run(t, "", install, "--no-defaults", temporary, "--datadir="+data, "--user="+me.Username, "--skip-test-db", "--auth-root-authentication-method=normal")
	m := &MariaDB{Address: "127.0.0.1:" + port, User: "icewatch", Password: "hush-hush"}
	begin := filepath.Join(dir, "begin.sql")
	write(t, begin, fmt.Sprintf("CREATE DATABASE test CHARACTER SET utf8mb4;\nCREATE USER %[1]s@'%%' IDENTIFIED BY '%[2]s';\nCREATE USER %[1]s@localhost IDENTIFIED BY '%[2]s';\n"+
		"GRANT ALL ON test.* TO %[1]s@'%%';\nGRANT ALL ON test.* TO %[1]s@localhost;\n", m.User, m.Password))
	args := append([]string{"--no-defaults", temporary, "--datadir=" + data, "--user=" + me.Username, "--bind-address=127.0.0.1", "--port=" + port, "--socket=" + filepath.Join(dir, "s"),
		"--pid-file=" + filepath.Join(dir, "pid"), "--init-file=" + begin, "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--skip-log-bin"}, settings...)
	log, exited := start(t, exec.Command(server, args...))
	await(t, 2*time.Minute, "MariaDB", log, exited, reachable(m.Address))
	return m
}

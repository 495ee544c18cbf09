package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// StartRsyslog starts an rsyslogd that takes syslog by TCP at the port and
// appends each message to the file, as "MSGID TEXT" on a line. stop ends it
// before the test does.
func StartRsyslog(t testing.TB, port, file string) (stop func()) {
	t.Helper()
	binary := Program(t, "rsyslogd")
	dir := t.TempDir()
	config := filepath.Join(dir, "rsyslog.conf")
	text := fmt.Sprintf(`global(workDirectory=%q maxMessageSize="64k")
module(load="imtcp")
template(name="line" type="string" string="%%msgid%% %%msg%%\n")
ruleset(name="keep") { action(type="omfile" file=%q template="line") }
input(type="imtcp" address="127.0.0.1" port=%q ruleset="keep")
`, dir, file, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
	cmd.Dir = dir
	log, exited := start(t, cmd)
	await(t, 20*time.Second, "rsyslogd", log, exited, func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
	}
}

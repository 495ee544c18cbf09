package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FTPServer is a vsftpd. Its user is "anonymous".
type FTPServer struct {
	Address  string
	Dir      string // the folder that one is in after signing in; the user may write to it
	Password string
}

// StartVsftpd starts a vsftpd. settings are lines of its configuration, such as
// "implicit_ssl=YES"; with a certificate it wants TLS for everything.
func StartVsftpd(t testing.TB, certFile, keyFile string, settings ...string) *FTPServer {
	t.Helper()
	server := Program(t, "vsftpd")
	dir, err := os.MkdirTemp("", "icewatch-vsftpd-") // t.TempDir is for root alone.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port := FreePort(t)
	s := &FTPServer{Address: "127.0.0.1:" + port, Dir: filepath.Join(dir, "files"), Password: "hush-hush"}
	lines := []string{"listen=YES", "listen_address=127.0.0.1", "listen_port=" + port, "background=NO", "run_as_launching_user=YES", "seccomp_sandbox=NO",
		"anonymous_enable=YES", "local_enable=NO", "write_enable=YES", "anon_upload_enable=YES", "anon_mkdir_write_enable=YES", "anon_other_write_enable=YES",
		"anon_world_readable_only=NO", "allow_writeable_chroot=YES", "anon_root=" + s.Dir, "secure_email_list_enable=YES",
		"email_password_file=" + filepath.Join(dir, "passwords"), "use_localtime=NO", "xferlog_enable=NO", "secure_chroot_dir=" + filepath.Join(dir, "empty")}
	if certFile != "" {
		lines = append(lines, "ssl_enable=YES", "allow_anon_ssl=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES", "rsa_cert_file="+filepath.Join(dir, "server.crt"),
			"rsa_private_key_file="+filepath.Join(dir, "server.key"), "require_ssl_reuse=YES")
		for from, to := range map[string]string{certFile: "server.crt", keyFile: "server.key"} {
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, to), string(text))
		}
	}
	config := filepath.Join(dir, "vsftpd.conf")
	write(t, config, strings.Join(append(lines, settings...), "\n")+"\n")
	write(t, filepath.Join(dir, "passwords"), s.Password+"\n")
	for _, d := range []string{s.Dir, filepath.Join(dir, "empty")} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	as := []string{Program(t, "env")}
	if os.Getuid() == 0 { // It refuses to launch as root what is to run as who launches it.
		u, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(path, uid, -1)
		})
		if err != nil {
			t.Fatal(err)
		}
		as = []string{Program(t, "setpriv"), "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups", "--"}
	}
	log, exited := start(t, exec.Command(as[0], append(as[1:], server, config)...))
	await(t, 20*time.Second, "vsftpd", log, exited, reachable(s.Address))
	return s
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func reachable(address string) func() error {
	return func() error {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return fmt.Errorf("reach %s: %w", address, err)
		}
		return c.Close()
	}
}

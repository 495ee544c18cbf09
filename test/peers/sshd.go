package peers

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// SSHServer is an OpenSSH server with SFTP.
type SSHServer struct {
	Address string
	User    string
	KeyPEM  string // the user's private key
	HostKey string // the server's public key, as in authorized_keys
	Dir     string // an empty folder for files
}

// StartSSHD starts an OpenSSH server for the user of the test that gives files alone.
func StartSSHD(t testing.TB) *SSHServer {
	t.Helper()
	return startSSHD(t, "ForceCommand internal-sftp")
}

// StartShell starts an OpenSSH server on which the user of the test runs commands, with
// environment variables (NAME=VALUE) set for them.
func StartShell(t testing.TB, environment ...string) *SSHServer {
	t.Helper()
	return startSSHD(t, "SetEnv "+strings.Join(environment, " "))
}

func startSSHD(t testing.TB, more string) *SSHServer {
	t.Helper()
	server := Program(t, "sshd")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it separates its privileges
			t.Fatal(err)
		}
	}
	dir, files, port := t.TempDir(), t.TempDir(), FreePort(t)
	hostKey, hostPublic := sshKey(t)
	userKey, userPublic := sshKey(t)
	s := &SSHServer{Address: "127.0.0.1:" + port, User: me.Username, KeyPEM: userKey, HostKey: hostPublic, Dir: files}
	write(t, filepath.Join(dir, "host"), hostKey)
	write(t, filepath.Join(dir, "authorized"), userPublic+"\n")
	config := filepath.Join(dir, "sshd_config")
	write(t, config, strings.Join([]string{"ListenAddress 127.0.0.1", "Port " + port, "HostKey " + filepath.Join(dir, "host"), "AuthorizedKeysFile " + filepath.Join(dir, "authorized"),
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin prohibit-password", "PidFile none", "Subsystem sftp internal-sftp", "MaxStartups 200", more}, "\n")+"\n")
	log, exited := start(t, exec.Command(server, "-D", "-e", "-f", config))
	await(t, 20*time.Second, "sshd", log, exited, reachable(s.Address))
	return s
}

// sshKey makes a key: the private part in PEM, the public one as a line.
func sshKey(t testing.TB) (private, public string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

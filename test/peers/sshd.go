package peers

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// Account is an account of the system's own, with a password.
type Account struct {
	Name, Password string
	ID             uint32
}

// Ways in which an OpenSSH server asks for passwords.
const (
	PlainPassword = "UsePAM no\nPasswordAuthentication yes\nKbdInteractiveAuthentication no"
	AskedPassword = "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes" // keyboard-interactive
	PAMPassword   = "UsePAM yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no"
)

// accounts keeps tests of one process from changing the list of accounts at once; others wait by the system's lock.
var accounts sync.Mutex

// AddAccount makes an account of the system that goes with the test, whose password is for
// sudo, too. sudoers are lines of sudo's rules in which %s is its name; none is no sudo. It needs root.
func AddAccount(t testing.TB, sudoers ...string) Account {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("accounts are made by root")
	}
	Program(t, "sudo")
	secret := make([]byte, 12)
	_, _ = rand.Read(secret) // It never fails.
	a := Account{Name: "iwt" + hex.EncodeToString(secret[:5]), Password: "p-" + hex.EncodeToString(secret)}
	system := func(input, name string, args ...string) error {
		accounts.Lock()
		defer accounts.Unlock()
		c := exec.Command(Program(t, name), args...)
		c.Stdin = strings.NewReader(input)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
		return nil
	}
	t.Cleanup(func() {
		if err := system("", "userdel", "--force", a.Name); err != nil && !strings.Contains(err.Error(), "does not exist") {
			t.Log(err)
		}
	})
	if err := system("", "useradd", "--no-create-home", "--home-dir", "/", "--shell", "/bin/sh", a.Name); err != nil {
		t.Fatal(err)
	}
	made, err := user.Lookup(a.Name)
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.ParseUint(made.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	a.ID = uint32(id)
	if err := system(a.Name+":"+a.Password+"\n", "chpasswd"); err != nil {
		t.Fatal(err)
	}
	if len(sudoers) > 0 {
		rules := filepath.Join("/etc/sudoers.d", a.Name)
		t.Cleanup(func() { _ = os.Remove(rules) })
		var b strings.Builder
		for _, line := range sudoers {
			b.WriteString(strings.ReplaceAll(line, "%s", a.Name) + "\n")
		}
		if err := os.WriteFile(rules, []byte(b.String()), 0o440); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// Expire has the account's password be one that is to be changed at once.
func (a Account) Expire(t testing.TB) {
	t.Helper()
	accounts.Lock()
	defer accounts.Unlock()
	if out, err := exec.Command(Program(t, "chage"), "-d", "0", a.Name).CombinedOutput(); err != nil {
		t.Fatalf("chage: %v: %s", err, out)
	}
}

// StartAccounts starts an OpenSSH server on which accounts of the system run commands, who are
// asked for passwords in a way (PlainPassword, AskedPassword, PAMPassword); more are lines of its configuration.
// The key of the answer is good for each account. It needs root.
func StartAccounts(t testing.TB, way string, more ...string) *SSHServer {
	t.Helper()
	return startSSHD(t, way, more...)
}

// StartHosts starts an OpenSSH server that stands for many hosts: each has an address of the
// loopback network of its own, where the user of the test runs commands with environment
// variables (NAME=VALUE) of that host. The answer's Address is that of the first.
func StartHosts(t testing.TB, environments []string) (s *SSHServer, addresses []string) {
	t.Helper()
	var hosts []string
	for i, e := range environments {
		host := fmt.Sprintf("127.1.%d.%d", i/250, i%250+1)
		hosts = append(hosts, "Match LocalAddress "+host+"\nSetEnv "+e)
		addresses = append(addresses, host)
	}
	s = startSSHD(t, "ListenAddress 0.0.0.0", hosts...)
	_, port, _ := strings.Cut(s.Address, ":")
	for i := range addresses {
		addresses[i] += ":" + port
	}
	s.Address = addresses[0]
	return s, addresses
}

// startSSHD starts a server; first stands above the settings of all servers here, of which
// the first of a name counts, and last below them.
func startSSHD(t testing.TB, first string, last ...string) *SSHServer {
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
	// The server reads it as whoever signs in.
	for path := filepath.Join(dir, "authorized"); path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "sshd_config")
	if !strings.Contains(first, "ListenAddress") {
		first += "\nListenAddress 127.0.0.1"
	}
	write(t, config, strings.Join(append([]string{first, "Port " + port, "HostKey " + filepath.Join(dir, "host"), "AuthorizedKeysFile " + filepath.Join(dir, "authorized"),
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin prohibit-password", "PidFile none", "Subsystem sftp internal-sftp", "MaxStartups 500"}, last...), "\n")+"\n")
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

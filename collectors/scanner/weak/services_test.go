package weak

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
	sshlib "golang.org/x/crypto/ssh"

	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
	"icewatch/test/peers"
)

// strong is the password of the hardened twins.
const strong = "d0-not-guess-this-one-7f3a"

// Of crypt(3), SHA-512: "test", "admin123", "root" and strong.
var hashes = map[string]string{
	"test":     "$6$icewatch$2eVGf5nxAxqKNpPo.VLuWQzvDXrWErpid.ylRDYPc6PdJNUrbOT126D4vNrTIuiIbVx0b8B09fDg/C80/swpe1",
	"admin123": "$6$icewatch$xInGuPLtFlp.F5f9ih6C28ip/BMiEYX1YciLK9sdvQaSqW7A1TLu5FjaovaQiO9JQ/68AKJ7VqmFXBPECh0I30",
	"root":     "$6$icewatch$BiU8OgyDuEXPCvZ9.n0riWV2Ku41z.wHomWTTCUtvhSi6tCHwr7SfRdK3NpeyTCzcYXCaRWXifUbsF.YBUHUx/",
	strong:     "$6$icewatch$1DLZ94eqJwHXmitoF2.yB.aOZ3vym0/ZgoFrCTOjqpmzyYQuU2vpIYpJbZe18.4hta1.hspXNSXyDHB2YqKtN.",
}

// outcome is what attempts on one service came to.
type outcome struct {
	found    []string // evidence, its first line
	attempts map[string]wire.Attempts
	notes    []string
}

// attempt tries the passwords of a service at a port of the loopback address.
func attempt(t testing.TB, name, protocol, port string, answer time.Duration) outcome {
	t.Helper()
	return attemptAt(t, name, answer, wire.Service{Port: portOf(t, port), Protocol: protocol, Name: name})
}

func portOf(t testing.TB, port string) int {
	t.Helper()
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func attemptAt(t testing.TB, name string, answer time.Duration, service wire.Service) outcome {
	t.Helper()
	e, out := trying(t, name, answer)
	e.Service(context.Background(), check.Target{Address: netip.MustParseAddr("127.0.0.1"), Service: &service})
	return *out
}

// trying is what attempts are made with, and what came of them.
func trying(t testing.TB, name string, answer time.Duration) (*Env, *outcome) {
	t.Helper()
	s, err := scope.New(wire.Scope{Ranges: []string{"127.0.0.1"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := OpenLedger("")
	if err != nil {
		t.Fatal(err)
	}
	out := &outcome{attempts: map[string]wire.Attempts{}}
	e := &Env{Dialer: scope.NewDialer(s, nil, time.Second), Ledger: ledger, Answer: answer, Attempts: func(a wire.Attempts) {
		if a.Count > wire.DefaultAttempts {
			t.Errorf("%s: an account could have been locked: %+v", name, a)
		}
		out.attempts[a.Account] = a
	}, Note: func(n wire.Note) { out.notes = append(out.notes, n.Text) }, Found: func(w wire.Weakness) {
		if w.Check != "weak-password-"+name || w.TitleZH == "" || w.SolutionZH == "" || w.Item == "" {
			t.Errorf("%+v lacks what people are told", w)
		}
		line, _, _ := strings.Cut(w.Evidence, "\n")
		out.found = append(out.found, line)
	}}
	return e, out
}

// program is one that a test runs.
type program struct {
	log  string
	done chan struct{}
}

func (p *program) said() string {
	text, _ := os.ReadFile(p.log)
	return string(text)
}

// serve runs a program until the test ends, and waits until ready.
func serve(t testing.TB, ready func() error, name string, args ...string) *program {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{log: log.Name(), done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // It has nothing to save.
		<-p.done
		_ = log.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.said())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ready()
		if err == nil {
			return p
		}
		select {
		case <-p.done:
			t.Fatalf("%s ended: %s", name, p.said())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v\n%s", name, err, p.said())
		}
	}
}

func listens(port string) func() error {
	return func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
}

func write(t testing.TB, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// withAccounts is what a program is run by that sees throw-away accounts with their
// passwords, and PAM's file of a service: in a mount namespace of its own, so that the
// system's own files stay as they are.
func withAccounts(t testing.TB, passwords map[string]string, pamService string) []string {
	t.Helper()
	unshare := peers.Program(t, "unshare")
	if err := exec.Command(unshare, "--mount", "true").Run(); os.Getuid() != 0 || err != nil {
		peers.Missing(t, "throw-away accounts need root and mount namespaces")
	}
	dir := t.TempDir()
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	var users, shadow strings.Builder
	users.Write(passwd)
	for line := range strings.Lines(string(passwd)) {
		if name, _, _ := strings.Cut(line, ":"); passwords[name] == "" {
			fmt.Fprintf(&shadow, "%s:*:19000:0:99999:7:::\n", name)
		}
	}
	uid := 64100
	for name, password := range passwords {
		if !strings.HasPrefix(string(passwd), name+":") && !strings.Contains(string(passwd), "\n"+name+":") {
			uid++
			fmt.Fprintf(&users, "%s:x:%d:65534::/:/bin/sh\n", name, uid)
		}
		fmt.Fprintf(&shadow, "%s:%s:19000:0:99999:7:::\n", name, hashes[password])
	}
	script := fmt.Sprintf("mount --bind '%s' /etc/passwd && mount --bind '%s' /etc/shadow", write(t, filepath.Join(dir, "passwd"), users.String(), 0o644), write(t, filepath.Join(dir, "shadow"), shadow.String(), 0o600))
	if pamService != "" {
		file := "/etc/pam.d/" + pamService
		if _, err := os.Stat(file); err != nil {
			peers.Missing(t, file+" is not there")
		}
		script += fmt.Sprintf(" && mount --bind '%s' %s", write(t, filepath.Join(dir, "pam"), "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n", 0o644), file)
	}
	return []string{unshare, "--mount", "sh", "-c", script + ` && exec "$@"`, "sh"}
}

// sshd runs an OpenSSH server whose accounts have passwords.
func sshd(t testing.TB, passwords map[string]string, settings ...string) (port string, p *program) {
	t.Helper()
	server := peers.Program(t, "sshd")
	pam := ""
	if strings.Contains(strings.Join(settings, "\n"), "UsePAM yes") {
		pam = "sshd"
	}
	as := withAccounts(t, passwords, pam)
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it separates its privileges
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := sshlib.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), peers.FreePort(t)
	host := write(t, filepath.Join(dir, "host"), string(pem.EncodeToMemory(block)), 0o600)
	lines := append(settings, "ListenAddress 127.0.0.1", "Port "+port, "HostKey "+host, "PidFile none", "PermitRootLogin yes", "MaxStartups 200", "LogLevel VERBOSE", "UsePAM no", "PasswordAuthentication yes", "KbdInteractiveAuthentication no") // The first of a name is the one that counts.
	config := write(t, filepath.Join(dir, "sshd_config"), strings.Join(lines, "\n")+"\n", 0o600)
	if newer := write(t, filepath.Join(dir, "newer"), strings.Join(lines, "\n")+"\nPerSourcePenalties no\n", 0o600); exec.Command(server, "-t", "-f", newer).Run() == nil {
		config = newer // OpenSSH 9.8 and later drop who fails: that is for TestASilentServerIsLeftAlone.
	}
	return port, serve(t, listens(port), as[0], append(as[1:], server, "-D", "-e", "-f", config)...)
}

// refusals counts by account the passwords that sshd says it refused.
func refusals(said string) map[string]int {
	out := map[string]int{}
	for line := range strings.Lines(said) {
		if _, after, ok := strings.Cut(line, "Failed password for "); ok {
			name, _, _ := strings.Cut(strings.TrimPrefix(after, "invalid user "), " ")
			out[name]++
		}
	}
	return out
}

func TestSSH(t *testing.T) {
	t.Parallel()
	port, p := sshd(t, map[string]string{"root": strong, "admin": "admin123", "test": "test"})
	got := attempt(t, "ssh", "tcp", port, 0)
	if fmt.Sprint(got.found) != "[account admin, password: a*** (a default) account test, password: as the account's name]" {
		t.Errorf("found %q, attempts %v, notes %q", got.found, got.attempts, got.notes)
	}
	for account, n := range refusals(p.said()) {
		a := got.attempts[account]
		if a.Stopped == "found" {
			a.Count-- // The last was accepted.
		}
		if a.Count != n {
			t.Errorf("sshd refused %d passwords of %s, the scanner tells of %+v", n, account, a)
		}
	}
	port, p = sshd(t, map[string]string{"root": strong, "admin": strong, "test": strong})
	got = attempt(t, "ssh", "tcp", port, 0)
	if refused := refusals(p.said()); len(got.found) != 0 || refused["root"] != 3 || refused["admin"] != 3 || refused["test"] != 1 || len(got.notes) != 0 {
		t.Errorf("at the twin: found %q, sshd refused %v, notes %q", got.found, refused, got.notes)
	}
	port, p = sshd(t, map[string]string{"root": "root"}, "PasswordAuthentication no")
	if got = attempt(t, "ssh", "tcp", port, 0); len(got.found)+len(got.attempts)+len(refusals(p.said())) != 0 {
		t.Errorf("keys alone: %+v", got)
	}
}

// Servers that ask by keyboard-interactive, as PAM does, are tried that way, and one
// password goes one way alone.
func TestSSHKeyboardInteractive(t *testing.T) {
	t.Parallel()
	port, _ := sshd(t, map[string]string{"root": "root"}, "UsePAM yes", "PasswordAuthentication no", "KbdInteractiveAuthentication yes")
	got := attempt(t, "ssh", "tcp", port, 0)
	if len(got.found) != 1 || got.attempts["root"].Count != 1 || got.attempts["admin"].Count != 3 {
		t.Errorf("%+v", got)
	}
	port, p := sshd(t, map[string]string{"root": strong, "admin": strong}, "UsePAM yes", "PasswordAuthentication yes", "KbdInteractiveAuthentication yes")
	got = attempt(t, "ssh", "tcp", port, 0)
	if refused := refusals(p.said()); len(got.found) != 0 || refused["root"] != 3 || strings.Contains(p.said(), "keyboard-interactive/pam for") {
		t.Errorf("at the twin with both ways: %+v, sshd refused %v", got, refused)
	}
}

// OpenSSH 9.8 and later, and firewalls, drop connections of who fails too often.
func TestASilentServerIsLeftAlone(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := sshlib.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	refused, dropped := 0, 0
	cfg := &sshlib.ServerConfig{PasswordCallback: func(sshlib.ConnMetadata, []byte) (*sshlib.Permissions, error) {
		mu.Lock()
		defer mu.Unlock()
		refused++
		return nil, fmt.Errorf("no")
	}}
	cfg.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			drop := refused >= 2
			if drop {
				dropped++
			}
			mu.Unlock()
			if drop {
				_, _ = c.Write([]byte("Not allowed at this time\r\n"))
			} else {
				_, _, _, _ = sshlib.NewServerConn(c, cfg)
			}
			_ = c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	got := attempt(t, "ssh", "tcp", port, 0)
	if len(got.found) != 0 || refused != 2 || dropped != 1 || len(got.notes) != 1 {
		t.Errorf("%+v; %d passwords refused, then %d connections", got, refused, dropped)
	}
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := peers.NewAuthority(t).Issue(t, dir)
	m := peers.StartMariaDB(t, "--ssl-cert="+cert, "--ssl-key="+key)
	_, port, _ := net.SplitHostPort(m.Address)
	db, err := sql.Open("mysql", "root@tcp("+m.Address+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	do := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(s, err)
			}
		}
	}
	// An account that is let in over TLS alone: without, its right password is refused.
	do("CREATE USER admin@localhost IDENTIFIED BY 'admin' REQUIRE SSL")
	got := attempt(t, "mysql", "tcp", port, 0)
	if fmt.Sprint(got.found) != "[account root, password: (empty) account admin, password: as the account's name]" || got.attempts["root"].Count != 1 {
		t.Errorf("%+v", got)
	}
	// Its hardened twin is the same server, repaired.
	do("ALTER USER root@localhost IDENTIFIED BY '"+strong+"'", "ALTER USER admin@localhost IDENTIFIED BY '"+strong+"'")
	got = attempt(t, "mysql", "tcp", port, 0)
	if len(got.found) != 0 || got.attempts["root"].Count != 3 || got.attempts["admin"].Count != 1 || len(got.notes) != 0 {
		t.Errorf("at the twin: %+v", got)
	}
	do("ALTER USER admin@localhost IDENTIFIED BY 'admin' ACCOUNT LOCK")
	if got = attempt(t, "mysql", "tcp", port, 0); len(got.found) != 0 || got.attempts["admin"].Stopped != "locked" || len(got.notes) != 1 {
		t.Errorf("a locked account: %+v", got)
	}
}

func vsftpd(t testing.TB, passwords map[string]string, settings ...string) string {
	t.Helper()
	server := peers.Program(t, "vsftpd")
	as := withAccounts(t, passwords, "vsftpd")
	dir, port := t.TempDir(), peers.FreePort(t)
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	lines := append([]string{"listen=YES", "listen_address=127.0.0.1", "listen_port=" + port, "background=NO", "seccomp_sandbox=NO", "anonymous_enable=NO", "local_enable=YES", "xferlog_enable=NO",
		"delay_failed_login=0", "pam_service_name=vsftpd", "secure_chroot_dir=" + empty}, settings...)
	config := write(t, filepath.Join(dir, "vsftpd.conf"), strings.Join(lines, "\n")+"\n", 0o600)
	serve(t, listens(port), as[0], append(as[1:], server, config)...)
	return port
}

func TestFTP(t *testing.T) {
	t.Parallel()
	port := vsftpd(t, map[string]string{"root": strong, "test": "test", "admin": strong})
	if got := attempt(t, "ftp", "tcp", port, 0); fmt.Sprint(got.found) != "[account test, password: as the account's name]" || got.attempts["admin"].Count != 2 {
		t.Errorf("%+v", got)
	}
	port = vsftpd(t, map[string]string{"root": strong, "test": strong, "admin": strong})
	if got := attempt(t, "ftp", "tcp", port, 0); len(got.found) != 0 || got.attempts["test"].Count != 1 || len(got.notes) != 0 {
		t.Errorf("at the twin: %+v", got)
	}
	// Accounts that are on a list are refused before a password is asked for: the others are tried all the same.
	list := write(t, filepath.Join(t.TempDir(), "list"), "admin\nroot\n", 0o644)
	cert, key := peers.NewAuthority(t).Issue(t, t.TempDir())
	port = vsftpd(t, map[string]string{"test": "test", "admin": "test"}, "userlist_enable=YES", "userlist_file="+list, "ssl_enable=YES", "rsa_cert_file="+cert, "rsa_private_key_file="+key)
	if got := attempt(t, "ftp", "tcp", port, 0); len(got.found) != 1 || got.attempts["admin"].Count != 0 || got.attempts["root"].Count != 0 {
		t.Errorf("passwords over TLS alone, two accounts on a list: %+v", got)
	}
	// TLS from the first byte on, as at port 990.
	implicit := []string{"ssl_enable=YES", "implicit_ssl=YES", "rsa_cert_file=" + cert, "rsa_private_key_file=" + key}
	port = vsftpd(t, map[string]string{"test": "test", "root": strong, "admin": strong}, implicit...)
	if got := attemptAt(t, "ftp", 0, wire.Service{Port: portOf(t, port), Protocol: "tcp", Name: "ftp", TLS: &wire.TLS{}}); fmt.Sprint(got.found) != "[account test, password: as the account's name]" || got.attempts["test"].Count != 1 {
		t.Errorf("implicit TLS: %+v", got)
	}
	port = vsftpd(t, map[string]string{"test": strong, "root": strong, "admin": strong}, implicit...)
	if got := attemptAt(t, "ftp", 0, wire.Service{Port: portOf(t, port), Protocol: "tcp", Name: "ftp", TLS: &wire.TLS{}}); len(got.found) != 0 || got.attempts["test"].Count != 1 || len(got.notes) != 0 {
		t.Errorf("at the twin with implicit TLS: %+v", got)
	}
	// The account that lets anyone in has no weak password, it has none: ftp-anonymous tells of that.
	port = vsftpd(t, map[string]string{"ftp": strong}, "anonymous_enable=YES", "local_enable=NO", "anon_root="+t.TempDir())
	if got := attempt(t, "ftp", "tcp", port, 0); len(got.found) != 0 || len(got.notes) != 0 {
		t.Errorf("anonymous: %+v", got)
	}
}

func snmpd(t testing.TB, community string) string {
	t.Helper()
	dir, port := t.TempDir(), peers.FreePort(t)
	conf := write(t, filepath.Join(dir, "snmpd.conf"), "agentaddress udp:127.0.0.1:"+port+"\nrocommunity "+community+" 127.0.0.1\nsysDescr core switch\n", 0o600)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	x := &gosnmp.GoSNMP{Target: "127.0.0.1", Port: uint16(n), Community: community, Version: gosnmp.Version2c, Timeout: 100 * time.Millisecond, Transport: "udp"}
	t.Setenv("SNMP_PERSISTENT_DIR", dir)
	t.Setenv("MIBS", "")
	serve(t, func() error {
		if err := x.Connect(); err != nil {
			return err
		}
		defer x.Conn.Close()
		_, err := x.Get([]string{".1.3.6.1.2.1.1.1.0"})
		return err
	}, peers.Program(t, "snmpd"), "-f", "-C", "-c", conf, "-Lo", "-p", filepath.Join(dir, "pid"))
	return port
}

func TestSNMP(t *testing.T) { // t.Setenv: not parallel.
	if got := attempt(t, "snmp", "udp", snmpd(t, "public"), time.Second); len(got.found) != 1 || got.attempts[""].Count != 1 {
		t.Errorf("%+v", got)
	}
	if got := attempt(t, "snmp", "udp", snmpd(t, strong), 400*time.Millisecond); len(got.found) != 0 || got.attempts[""].Count != 2 {
		t.Errorf("at the twin: %+v", got)
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()
	server := peers.Program(t, "redis-server")
	for password, found := range map[string]int{"foobared": 1, strong: 0, "": 0} {
		port := peers.FreePort(t)
		serve(t, listens(port), server, "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir(), "--requirepass", password)
		if got := attempt(t, "redis", "tcp", port, 0); len(got.found) != found {
			t.Errorf("%q: %+v", password, got)
		}
	}
}

func basic(user, password string, status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="switch"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.WriteHeader(status)
	})
}

func TestBasicAuthentication(t *testing.T) {
	t.Parallel()
	found, attempts := try(t, basic("admin", "password", http.StatusOK), wire.Lockout{})
	if len(found) != 1 || attempts[0].Count != 3 || strings.Contains(found[0].Evidence, "password:password") {
		t.Errorf("%+v, %+v", found, attempts)
	}
	if found, attempts = try(t, basic("admin", strong, http.StatusOK), wire.Lockout{}); len(found) != 0 || len(attempts) != 3 {
		t.Errorf("at the twin: %+v, %+v", found, attempts)
	}
}

// A form that sends its own accounts elsewhere than strangers, though not in: to a
// captcha, and back to the form.
func TestElsewhereIsNotInside(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]string{"back at the form": `<form method=post><input name=u><input type=password name=p></form>`, "a captcha": `<form>请输入验证码 <input name=code></form>`} {
		found, attempts := try(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost && r.FormValue("u") == "admin":
				http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
				http.Redirect(w, r, "/again", http.StatusFound)
			case r.URL.Path == "/again":
				fmt.Fprint(w, there)
			default:
				fmt.Fprint(w, `<form method=post action=/in><input name=u><input type=password name=p></form>`)
			}
		}), wire.Lockout{})
		if len(found) != 0 || name == "a captcha" && attempts[0].Stopped != "locked" {
			t.Errorf("%s: %+v, %+v", name, found, attempts)
		}
	}
}

// oldAgent is a device of SNMP's first version: of others and of other communities it
// says nothing.
func oldAgent(t testing.TB, community string) (port int, asked *atomic.Int64) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	asked = &atomic.Int64{}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			asked.Add(1)
			g := &gosnmp.GoSNMP{Version: gosnmp.Version1}
			q, err := g.SnmpDecodePacket(buf[:n])
			if err != nil || q.Version != gosnmp.Version1 || q.Community != community || len(q.Variables) != 1 {
				continue
			}
			answer := &gosnmp.SnmpPacket{Version: gosnmp.Version1, Community: community, PDUType: gosnmp.GetResponse, RequestID: q.RequestID, Variables: []gosnmp.SnmpPDU{{Name: q.Variables[0].Name, Type: gosnmp.OctetString, Value: "Old UPS \xff"}}}
			if out, err := answer.MarshalMsg(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	return portOf(t, pc.LocalAddr().String()[len("127.0.0.1:"):]), asked
}

// A device of the first version that no other question finds is found by the community
// that it came with, and its twin is not; each community is tried once.
func TestSNMPOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	quiet := func(port int) (*wire.Service, outcome) {
		e, out := trying(t, "snmp", time.Second)
		s, whole := e.Silent(t.Context(), check.Target{Address: netip.MustParseAddr("127.0.0.1"), Service: &wire.Service{Port: port, Protocol: "udp"}})
		if !whole {
			t.Error("not all of them were tried")
		}
		return s, *out
	}
	port, asked := oldAgent(t, "private")
	s, got := quiet(port)
	if s == nil || s.Name != "snmp" || s.Banner != "Old UPS " || fmt.Sprint(got.found) != "[password: p*** (a default)]" || got.attempts[""].Count != 2 || got.attempts[""].Stopped != "found" || asked.Load() != 4 {
		t.Errorf("%+v, %+v, asked %d times", s, got, asked.Load())
	}
	twin, asked := oldAgent(t, strong)
	if s, got := quiet(twin); s != nil || len(got.found)+len(got.attempts) != 0 || asked.Load() != 4 {
		t.Errorf("at the twin: %+v, %+v", s, got)
	}
	// Where it is known to be SNMP, the usual attempts find it, too.
	if got := attemptAt(t, "snmp", 2*time.Second, wire.Service{Port: port, Protocol: "udp", Name: "snmp"}); len(got.found) != 1 || got.attempts[""].Count != 2 {
		t.Errorf("%+v", got)
	}
	// The limit on attempts holds here as well.
	e, out := trying(t, "snmp", time.Second)
	e.Lockout.Attempts = 1
	if s, whole := e.Silent(t.Context(), check.Target{Address: netip.MustParseAddr("127.0.0.1"), Service: &wire.Service{Port: port, Protocol: "udp"}}); s != nil || whole || len(out.found) != 0 {
		t.Errorf("beyond the limit: %+v, %v, %+v", s, whole, out)
	}
}

// FuzzCommunity reads what may come for an answer of an agent.
func FuzzCommunity(f *testing.F) {
	answer := &gosnmp.SnmpPacket{Version: gosnmp.Version1, Community: "public", PDUType: gosnmp.GetResponse, Variables: []gosnmp.SnmpPDU{{Name: sysDescr, Type: gosnmp.OctetString, Value: "x"}}}
	if b, err := answer.MarshalMsg(); err == nil {
		f.Add(b)
	}
	f.Add([]byte{0x30, 0x82, 0xff, 0xff, 2, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := answered(b, []string{"public"}); ok && h.community != "public" {
			t.Errorf("%+v", h)
		}
	})
}

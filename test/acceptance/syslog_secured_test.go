package acceptance

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/test/peers"
)

// TestSyslogSecured has a real rsyslogd send the same lines three ways: by RELP,
// by RELP over TLS and by syslog over TLS, each time with a certificate of its
// own, while the suite is killed in the middle. What RELP sent is all there.
// Who shows no certificate is refused.
func TestSyslogSecured(t *testing.T) {
	t.Parallel()
	rsyslogd := peer(t, "rsyslogd")
	for _, module := range []string{"omrelp", "lmnsd_gtls"} {
		if found, _ := filepath.Glob("/usr/lib/*/rsyslog/" + module + ".so"); len(found) == 0 {
			missing(t, "rsyslog's "+module+" is not installed (Debian: rsyslog-relp, rsyslog-gnutls)")
		}
	}
	ca := peers.NewAuthority(t)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, []byte(ca.PEM), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue(t, t.TempDir())
	s := prepare(t, "")
	ports := map[string]string{"tls": peers.FreePort(t), "relp": peers.FreePort(t), "relp_tls": peers.FreePort(t)}
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("syslog:\n"), fmt.Appendf(nil, "syslog:\n  tls: 127.0.0.1:%s\n  relp: 127.0.0.1:%s\n  relp_tls: 127.0.0.1:%s\n  client_ca: %s\n",
		ports["tls"], ports["relp"], ports["relp_tls"], caFile), 1)
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.signIn()

	own := filepath.Join(s.data, "tls", "self-signed.pem") // the suite's certificate
	dir := t.TempDir()
	input, conf := filepath.Join(dir, "in.log"), filepath.Join(dir, "rsyslog.conf")
	retry := `action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="LinkedList"`
	if err := os.WriteFile(conf, fmt.Appendf(nil, `
global(workDirectory=%q defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q)
module(load="imfile" mode="inotify")
module(load="omrelp" tls.tlslib="openssl")
template(name="relp" type="string" string="<134>1 %%timereported:::date-rfc3339%% sender numbers - - - way=relp %%msg%%")
template(name="relptls" type="string" string="<134>1 %%timereported:::date-rfc3339%% sender numbers - - - way=relptls %%msg%%")
template(name="tls" type="string" string="<134>1 %%timereported:::date-rfc3339%% sender numbers - - - way=tls %%msg%%")
input(type="imfile" File=%q Tag="numbers:" ruleset="out" freshStartTail="off")
ruleset(name="out") {
  action(type="omrelp" target="127.0.0.1" port=%q template="relp" %s)
  action(type="omrelp" target="127.0.0.1" port=%q template="relptls" tls="on" tls.caCert=%q tls.myCert=%q tls.myPrivKey=%q tls.authMode="certvalid" %s)
  action(type="omfwd" target="127.0.0.1" port=%q protocol="tcp" TCP_Framing="octet-counted" template="tls" StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/certvalid" %s)
}
`, dir, own, cert, key, input, ports["relp"], retry, ports["relp_tls"], own, cert, key, retry, ports["tls"], retry), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(input)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var said bytes.Buffer
	cmd := exec.Command(rsyslogd, "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("rsyslogd: %s", said.String())
		}
	})
	const n = 2000
	feed := func(from, to int) {
		for i := from; i < to; i++ {
			fmt.Fprintf(file, "number=%d\n", i)
		}
	}
	count := func(way string) int {
		rows := s.find(fmt.Sprintf(`way:=%q | stats count_uniq(number) n`, way))
		var found int
		fmt.Sscan(fmt.Sprint(rows[0]["n"]), &found)
		return found
	}
	feed(0, n/2)
	eventually(t, 60*time.Second, "lines came every way", func() error {
		for _, way := range []string{"relp", "relptls", "tls"} {
			if count(way) == 0 {
				return fmt.Errorf("none came by %s", way)
			}
		}
		return nil
	})
	feed(n/2, n-1)
	s.kill()
	s.launch()
	s.ready(90 * time.Second)
	s.signIn()
	feed(n-1, n)
	for _, way := range []string{"relp", "relptls"} {
		eventually(t, 90*time.Second, "all lines came by "+way, func() error {
			if found := count(way); found != n {
				time.Sleep(300 * time.Millisecond)
				return fmt.Errorf("%d of %d are there", found, n)
			}
			return nil
		})
	}
	// Syslog acknowledges nothing: a sender loses lines on a connection whose end
	// it has not noticed yet.
	next := n
	eventually(t, 90*time.Second, "lines come by TLS again", func() error {
		feed(next, next+1)
		next++
		if len(s.find(fmt.Sprintf(`way:=tls number:>=%d`, n))) == 0 {
			time.Sleep(300 * time.Millisecond)
			return fmt.Errorf("none of %d did", next-n)
		}
		return nil
	})

	// Who shows no certificate, and who shows one of another authority.
	stranger, strangerKey := peers.NewAuthority(t).Issue(t, t.TempDir())
	pair, err := tls.LoadX509KeyPair(stranger, strangerKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, certs := range map[string][]tls.Certificate{"no certificate": nil, "a stranger's": {pair}} {
		for _, port := range []string{ports["tls"], ports["relp_tls"]} {
			conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", port), &tls.Config{InsecureSkipVerify: true, Certificates: certs})
			if err == nil {
				// TLS 1.3 tells the client with its first read.
				_, _ = conn.Write([]byte("<134>1 - - - - - - unsigned\n"))
				_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
				_, err = conn.Read(make([]byte, 1))
				conn.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "tls: ") {
				t.Errorf("with %s, port %s: %v, want the server's refusal", name, port, err)
			}
		}
	}
	if rows := s.find("unsigned"); len(rows) > 0 {
		t.Errorf("lines of who showed no certificate were taken: %v", rows)
	}
}

package syslog

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"icewatch/collectors/collecttest"
	"icewatch/test/peers"
)

// A real syslog-ng sends the lines of a file three ways: as RFC 3164 with line
// ends over TCP, as RFC 5424 counted over TCP, and so over TLS, where both sides
// show certificates.
func TestSyslogNG(t *testing.T) {
	t.Parallel()
	ca := peers.NewAuthority(t)
	dir := t.TempDir()
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, []byte(ca.PEM), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue(t, dir)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ca.PEM))
	var sinks [3]collecttest.Sink
	var ports [3]string
	for i := range sinks {
		c := startTCP(t, &sinks[i], func(cfg *TCPConfig) {
			if i == 2 {
				cfg.Open = func() (net.Listener, error) {
					return tls.Listen("tcp", cfg.Listen, &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
				}
			}
		})
		_, ports[i], _ = net.SplitHostPort(c.Addr().String())
	}
	input := filepath.Join(dir, "in.log")
	var want []string
	var text strings.Builder
	for i := range 500 {
		want = append(want, fmt.Sprintf("line %d 登录失败", i))
		fmt.Fprintln(&text, want[i])
	}
	if err := os.WriteFile(input, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	peers.SyslogNG(t, fmt.Sprintf(`
source s { file(%q flags(no-parse) program-override("numbers")); };
destination plain { network("127.0.0.1" port(%s) transport("tcp")); };
destination counted { syslog("127.0.0.1" port(%s) transport("tcp")); };
destination secured { syslog("127.0.0.1" port(%s) transport("tls") tls(ca-file(%q) cert-file(%q) key-file(%q) peer-verify(required-trusted))); };
log { source(s); destination(plain); destination(counted); destination(secured); };
`, input, ports[0], ports[1], ports[2], caFile, cert, key))
	for i := range sinks {
		var got []string
		for _, r := range sinks[i].Wait(t, len(want)) {
			head, message, ok := strings.Cut(string(r.Data), "line ")
			if !ok || len(r.Marks) > 0 || !strings.Contains(head, " numbers") || !strings.HasPrefix(head, "<13>") || strings.HasPrefix(head, "<13>1 ") != (i > 0) {
				t.Fatalf("way %d: %q, marks %q", i, r.Data, r.Marks)
			}
			got = append(got, "line "+message)
		}
		if !slices.Equal(got, want) {
			t.Errorf("way %d: %d lines, the first %q", i, len(got), got[:min(len(got), 3)])
		}
	}
}

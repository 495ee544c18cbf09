package transport

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// serve opens a listener behind the suite's kind of server and returns it with
// its address.
func serve(t *testing.T, o Options) (*Listener, string) {
	t.Helper()
	o.Listen, o.Log = "127.0.0.1:0", slog.New(slog.NewTextHandler(io.Discard, nil))
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	l, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := &fasthttp.Server{ReadTimeout: 10 * time.Second, Logger: quiet{}, Handler: func(ctx *fasthttp.RequestCtx) {
		fmt.Fprintf(ctx, "secure %v %s", ctx.IsTLS(), ctx.Path())
	}}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = l.Close() })
	return l, l.Addr().String()
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// peerCert returns the certificate that the address shows now.
func peerCert(t *testing.T, addr string) []byte {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Raw
}

func TestWhatIsSpoken(t *testing.T) {
	t.Parallel()
	l, addr := serve(t, Options{})
	if l.Scheme != "https" || !strings.Contains(l.Notice, "self-signed") {
		t.Errorf("%s, %q", l.Scheme, l.Notice)
	}
	f := func(cfg *tls.Config, ok bool) {
		t.Helper()
		cfg.InsecureSkipVerify = true
		c, err := tls.Dial("tcp", addr, cfg)
		if (err == nil) != ok {
			t.Errorf("versions %x to %x, suites %x: %v", cfg.MinVersion, cfg.MaxVersion, cfg.CipherSuites, err)
		}
		if err == nil {
			c.Close()
		}
	}
	f(&tls.Config{MinVersion: tls.VersionTLS13}, true)
	f(&tls.Config{MaxVersion: tls.VersionTLS12}, true)
	f(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false)
	f(&tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, false)
	f(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false)
	f(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}, true)
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if st := c.ConnectionState(); st.Version != tls.VersionTLS13 || st.CurveID != tls.X25519MLKEM768 || st.NegotiatedProtocol != "http/1.1" {
		t.Errorf("version %x, curve %v, protocol %q", st.Version, st.CurveID, st.NegotiatedProtocol)
	}
	c.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Get("https://" + addr + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "secure true /x" {
		t.Errorf("the server does not know that it is asked by TLS: %s", body)
	}
}

// TestPlainHTTP: plain HTTP on the secured port is sent to HTTPS; what is
// neither gets nothing, and nothing hangs.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, Options{})
	f := func(send string, want ...string) {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(8 * time.Second))
		_, _ = io.WriteString(c, send)
		if tcp, ok := c.(*net.TCPConn); ok && !strings.HasSuffix(send, "\r\n\r\n") {
			_ = tcp.CloseWrite()
		}
		got, _ := io.ReadAll(c)
		for _, w := range want {
			if !strings.Contains(string(got), w) {
				t.Errorf("%.40q: got %q, want %q in it", send, got, w)
			}
		}
		if len(want) == 0 && bytes.HasPrefix(got, []byte("HTTP")) {
			t.Errorf("%.40q: got %q", send, got)
		}
	}
	f("GET /alerts?x=1 HTTP/1.1\r\nHost: soc.example:8443\r\n\r\n", "308", "Location: https://soc.example:8443/alerts?x=1\r\n", "speaks HTTPS")
	f("POST / HTTP/1.1\r\nHost: soc.example\r\nContent-Length: 0\r\n\r\n", "400", "speaks HTTPS")
	f("GET / HTTP/1.1\r\n\r\n")
	f("SSH-2.0-OpenSSH_9.6\r\n")
	f("\x00\x01\x02\x03\x04\x05\x06\x07")
	f("GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: h\r\n")
}

// TestSupplied: a supplied certificate that changes on disk is taken up; one
// that cannot be used is not, and the old one stays.
func TestSupplied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "c.key")
	if err := selfSign(dir, cert, key); err != nil {
		t.Fatal(err)
	}
	l, addr := serve(t, Options{Cert: cert, Key: key})
	if l.Notice != "" {
		t.Errorf("notice %q", l.Notice)
	}
	first := peerCert(t, addr)
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.refresh(false); err == nil {
		t.Error("a damaged certificate is no error")
	}
	if !bytes.Equal(first, peerCert(t, addr)) {
		t.Error("the old certificate did not stay")
	}
	if err := selfSign(dir, cert, key); err != nil {
		t.Fatal(err)
	}
	if err := l.refresh(false); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, peerCert(t, addr)) {
		t.Error("the new certificate is not in use")
	}
	if _, err := Listen(Options{Listen: "127.0.0.1:0", Cert: filepath.Join(dir, "none.pem"), Key: key}); err == nil || !strings.Contains(err.Error(), "http.tls_cert") {
		t.Errorf("a certificate that is not there: %v", err)
	}
	if _, err := Listen(Options{Listen: "127.0.0.1:0", Provider: "tlcp"}); err == nil || !strings.Contains(err.Error(), "standard") {
		t.Errorf("a provider that is not there: %v", err)
	}
}

func TestSelfSignedIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, one := serve(t, Options{Dir: dir})
	l, two := serve(t, Options{Dir: dir})
	if !bytes.Equal(peerCert(t, one), peerCert(t, two)) {
		t.Error("a restart made another certificate")
	}
	if err := os.Remove(filepath.Join(dir, "self-signed.pem")); err != nil {
		t.Fatal(err)
	}
	if err := l.refresh(false); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(peerCert(t, one), peerCert(t, two)) {
		t.Error("no new certificate was made")
	}
	st, err := os.Stat(filepath.Join(dir, "self-signed.key"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", st.Mode(), err)
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	l, addr := serve(t, Options{Plain: true})
	resp, err := http.Get("http://" + addr + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); l.Scheme != "http" || string(body) != "secure false /x" {
		t.Errorf("%s %s", l.Scheme, body)
	}
}

package transport

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	selfSignedFor = 365 * 24 * time.Hour
	renewBefore   = 30 * 24 * time.Hour // before a self-signed certificate ends
)

// configuration is what TLS clients of the last ten years speak, less what has
// fallen into disrepute: TLS 1.3, and of TLS 1.2 only the suites with forward
// secrecy and authenticated encryption. The first curve resists quantum
// computers (ML-KEM).
func configuration() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		NextProtos:       []string{"http/1.1"},
	}
}

// standard is the provider Standard.
func standard(ln net.Listener, o Options) (Secured, error) {
	k := &keeper{o: o, cert: o.Cert, key: o.Key}
	if o.Cert == "" {
		k.cert, k.key = filepath.Join(o.Dir, "self-signed.pem"), filepath.Join(o.Dir, "self-signed.key")
	}
	if err := k.refresh(true); err != nil {
		return Secured{}, err
	}
	cfg := configuration()
	if o.HTTP2 {
		cfg.NextProtos = []string{"h2"}
	}
	if o.Raw {
		cfg.NextProtos = nil
	}
	if o.ClientCA != "" {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
		cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := cfg.Clone()
			c.GetConfigForClient, c.ClientCAs = nil, k.clients.Load()
			return c, nil
		}
	}
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.now.Load(), nil }
	s := Secured{Listener: listener{ln, cfg, o.Raw}, Refresh: k.refresh}
	if o.Cert == "" {
		sum := sha256.Sum256(k.now.Load().Certificate[0])
		s.Notice = fmt.Sprintf("the certificate is self-signed, SHA-256 %s; give http.tls_cert and http.tls_key for one that browsers trust", hex.EncodeToString(sum[:]))
	}
	return s, nil
}

// keeper keeps the certificate in use.
type keeper struct {
	o         Options
	cert, key string
	now       atomic.Pointer[tls.Certificate]
	clients   atomic.Pointer[x509.CertPool] // the authorities of clients

	mu   sync.Mutex
	seen string // the files as last read
}

// refresh reads the certificate where its files changed. A self-signed one is
// made where there is none, or where it is about to end.
func (k *keeper) refresh(always bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.o.Cert == "" {
		cert, err := tls.LoadX509KeyPair(k.cert, k.key)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && time.Until(cert.Leaf.NotAfter) < renewBefore:
			if err := selfSign(k.o.Dir, k.cert, k.key); err != nil {
				return fmt.Errorf("self-signed certificate: %w", err)
			}
		case err != nil:
			return fmt.Errorf("self-signed certificate: %w; remove %s and a new one is made", err, k.cert)
		}
	}
	seen := stamp(k.cert) + stamp(k.key)
	if k.o.ClientCA != "" {
		seen += stamp(k.o.ClientCA)
	}
	if !always && seen == k.seen {
		return nil
	}
	if k.o.ClientCA != "" {
		text, err := os.ReadFile(k.o.ClientCA)
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(text) {
			err = fmt.Errorf("%s holds no certificate in PEM", k.o.ClientCA)
		}
		if err != nil {
			return fmt.Errorf("%s: authorities of clients: %w", k.o.Option, err)
		}
		k.clients.Store(pool)
	}
	cert, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return fmt.Errorf("http.tls_cert: %w", err)
	}
	if now := time.Now(); now.After(cert.Leaf.NotAfter) {
		return fmt.Errorf("http.tls_cert: the certificate in %s ended on %s", k.cert, cert.Leaf.NotAfter.Format(time.DateOnly))
	}
	if old := k.now.Swap(&cert); old != nil && !bytes.Equal(old.Certificate[0], cert.Certificate[0]) {
		k.o.Log.Info("a new certificate is in use", "file", k.cert, "until", cert.Leaf.NotAfter.Format(time.DateOnly))
	}
	k.seen = seen
	return nil
}

// stamp tells one state of a file from another.
func stamp(file string) string {
	st, err := os.Stat(file)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.Size(), st.ModTime().UnixNano(), "/")
}

// selfSign makes a certificate for this machine's names and addresses.
func selfSign(dir, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "icewatch"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(selfSignedFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	if host, err := os.Hostname(); err == nil {
		t.DNSNames = append(t.DNSNames, host)
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				t.IPAddresses = append(t.IPAddresses, n.IP)
			}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600),
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}

// listener speaks TLS on every connection and, where that is HTTP's, plain HTTP
// long enough to send the client to HTTPS.
type listener struct {
	net.Listener
	cfg *tls.Config
	raw bool
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.raw {
		return tls.Server(c, l.cfg), nil
	}
	first := &beginning{Conn: c}
	return &conn{Conn: tls.Server(first, l.cfg), first: first}, nil
}

// beginning remembers what came first on a connection, for as long as it may
// turn out to be plain HTTP.
type beginning struct {
	net.Conn
	data []byte
	over atomic.Bool
}

// maxPlain is how much of a plain request is read, in bytes.
const maxPlain = 16 << 10

// Read implements net.Conn.
func (f *beginning) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if !f.over.Load() {
		f.data = append(f.data, p[:min(n, maxPlain-len(f.data))]...)
	}
	return n, err
}

// conn is a TLS connection that notices plain HTTP.
type conn struct {
	*tls.Conn
	first *beginning
	told  sync.Once
}

// Handshake runs the TLS handshake.
func (c *conn) Handshake() error { return c.notice(c.Conn.Handshake()) }

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.notice(err)
}

// notice looks at the outcome of the handshake, once.
func (c *conn) notice(err error) error {
	c.told.Do(func() {
		c.first.over.Store(true)
		var re tls.RecordHeaderError
		if errors.As(err, &re) && re.Conn != nil {
			redirect(c.first.Conn, c.first.data)
		}
		c.first.data = nil
	})
	return err
}

// redirect answers a plain HTTP request, of which begun was read. What is no
// HTTP gets no answer.
func redirect(c net.Conn, begun []byte) {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	req, err := http.ReadRequest(bufio.NewReaderSize(io.LimitReader(io.MultiReader(bytes.NewReader(begun), c), maxPlain), 4<<10))
	if err != nil || req.Host == "" {
		return
	}
	to := "https://" + req.Host + req.URL.RequestURI()
	text := "This port speaks HTTPS: " + to + "\n"
	status := "400 Bad Request"
	head := ""
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		// 308 keeps the method; browsers follow it, and it may be kept.
		status, head = "308 Permanent Redirect", "Location: "+to+"\r\n"
	}
	fmt.Fprintf(c, "HTTP/1.1 %s\r\n%sContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, head, len(text))
	if req.Method != http.MethodHead {
		_, _ = io.WriteString(c, text)
	}
	// An end without a reset, so that the answer arrives.
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		_, _ = io.CopyN(io.Discard, c, maxPlain)
	}
}

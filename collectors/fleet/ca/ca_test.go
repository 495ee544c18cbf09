package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"testing"

	"icewatch/collectors/fleet/wire"
	"icewatch/soc/seal"
	"icewatch/soc/state"
)

func request(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestAuthorityIsKept(t *testing.T) {
	t.Parallel()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	box := seal.Ephemeral(Sealed()...)
	a, err := Open(t.Context(), db, box)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), db, box)
	if err != nil || a.Fingerprint() != b.Fingerprint() || !a.ReleaseKey().Equal(b.ReleaseKey()) {
		t.Fatal("the keys changed by opening again", err)
	}
	var stored string
	if err := db.NewRaw("SELECT secret FROM fleet_keys WHERE id = 'authority'").Scan(t.Context(), &stored); err != nil || stored[:4] != "iw1." {
		t.Fatalf("the key is not sealed: %.8s, %v", stored, err)
	}
	if _, err := Open(t.Context(), db, seal.Ephemeral(Sealed()...)); !errors.Is(err, seal.ErrKeyLost) {
		t.Fatalf("opened without the master key: %v", err)
	}

	_, key, _ := ed25519.GenerateKey(rand.Reader)
	r, err := ParseRequest(request(t, key))
	if err != nil {
		t.Fatal(err)
	}
	i, err := a.Issue("01AGENT", "agent", r)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(i.DER)
	if err != nil || cert.Subject.CommonName != "01AGENT" || SerialText(cert.SerialNumber) != i.Serial {
		t.Fatal(cert, err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: b.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: b.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Fatal("an agent's certificate serves as a server's")
	}
	s, err := a.Server(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: ServerName}); err != nil {
		t.Fatal(err)
	}
	p := wire.Package{Version: "1.2.3", OS: "linux", Arch: "amd64", SHA256: "ab"}
	sig := a.Sign(p)
	if !ed25519.Verify(a.ReleaseKey(), p.Signed(), sig) {
		t.Fatal("the signature does not verify")
	}
	p.Arch = "arm64"
	if ed25519.Verify(a.ReleaseKey(), p.Signed(), sig) {
		t.Fatal("the signature holds for another platform")
	}
}

func TestRequestsAreChecked(t *testing.T) {
	t.Parallel()
	large, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if _, err := ParseRequest(request(t, large)); !errors.Is(err, ErrRequest) {
		t.Fatal(err)
	}
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	der := request(t, key)
	der[len(der)-1] ^= 1
	if _, err := ParseRequest(der); !errors.Is(err, ErrRequest) {
		t.Fatal("a request with a wrong signature was taken", err)
	}
	if _, err := ParseRequest([]byte("x")); !errors.Is(err, ErrRequest) {
		t.Fatal(err)
	}
}

func FuzzRequest(f *testing.F) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	f.Add(request(f, key))
	f.Fuzz(func(t *testing.T, der []byte) {
		if r, err := ParseRequest(der); (err == nil) == (r.Key == "") {
			t.Fatal(r, err)
		}
	})
}

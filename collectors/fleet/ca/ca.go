// Package ca is the suite's own certificate authority for agents: it makes the
// listener's certificate, signs those of agents over keys that were made on the
// host, and signs upgrade packages by a key of its own. Both keys are sealed at rest.
// Which certificates still count is not decided here but by the roster, which
// knows one serial number an agent.
package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/collectors/fleet/wire"
	"icewatch/soc/seal"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ServerName is what the listener's certificate is made out to, whatever its
// address: agents know it from their enrolment.
const ServerName = "agents.icewatch.internal"

// How long certificates are valid. An agent renews after two thirds.
const (
	AgentValidity  = 90 * 24 * time.Hour
	serverValidity = 30 * 24 * time.Hour
	rootValidity   = 20 * 365 * 24 * time.Hour
	backdated      = time.Hour // clocks of hosts are not exact
)

const sealKind = "fleet-key"

// ErrRequest says that a certificate request cannot be signed.
var ErrRequest = errors.New("the certificate request cannot be signed")

// Sealed are the places of the room's sealed values.
func Sealed() []seal.Place { return []seal.Place{seal.Column(sealKind, "fleet_keys", "id", "secret")} }

// Authority signs. It is safe for concurrent use.
type Authority struct {
	cert    *x509.Certificate
	key     crypto.Signer
	release ed25519.PrivateKey
	now     func() time.Time

	mu     sync.Mutex
	server *tls.Certificate
}

// Open opens the authority, and makes its keys where there are none.
func Open(ctx context.Context, db *state.DB, box *seal.Box) (*Authority, error) {
	if err := db.Migrate(ctx, "fleet_ca", migrations); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	a := &Authority{now: time.Now}
	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		public, key, err := keep(ctx, tx, box, "authority", a.makeRoot)
		if err != nil {
			return err
		}
		if a.cert, err = x509.ParseCertificate(public); err != nil {
			return fmt.Errorf("fleet: the stored certificate of the authority: %w", err)
		}
		a.key = key
		_, key, err = keep(ctx, tx, box, "release", func() ([]byte, crypto.Signer, error) {
			pub, priv, err := ed25519.GenerateKey(rand.Reader)
			return pub, priv, err
		})
		if err != nil {
			return err
		}
		var ok bool
		if a.release, ok = key.(ed25519.PrivateKey); !ok {
			return fmt.Errorf("fleet: the stored release key is a %T", key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// keep reads a key, or makes and stores it.
func keep(ctx context.Context, tx bun.Tx, box *seal.Box, id string, make func() ([]byte, crypto.Signer, error)) ([]byte, crypto.Signer, error) {
	var rows []struct {
		Public []byte
		Secret string
	}
	if err := tx.NewRaw("SELECT public, secret FROM fleet_keys WHERE id = ?", id).Scan(ctx, &rows); err != nil {
		return nil, nil, fmt.Errorf("fleet: read the key %s: %w", id, err)
	}
	if len(rows) == 1 {
		text, err := box.OpenString(rows[0].Secret, sealKind+":"+id)
		if err != nil {
			return nil, nil, fmt.Errorf("fleet: the key %s: %w", id, err)
		}
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, nil, fmt.Errorf("fleet: the stored key %s is damaged", id)
		}
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, nil, fmt.Errorf("fleet: the stored key %s is damaged", id)
		}
		return rows[0].Public, key.(crypto.Signer), nil
	}
	public, key, err := make()
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	sealed, err := box.SealString(base64.StdEncoding.EncodeToString(der), sealKind+":"+id)
	if err != nil {
		return nil, nil, err
	}
	_, err = tx.NewRaw("INSERT INTO fleet_keys (id, public, secret, made_at) VALUES (?, ?, ?, ?)", id, public, sealed, time.Now().UnixMilli()).Exec(ctx)
	return public, key, err
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	b[0] &= 0x7f
	b[0] |= 0x40 // never short, so that its text has one length
	return new(big.Int).SetBytes(b[:])
}

func (a *Authority) makeRoot() ([]byte, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := a.now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "icewatch agents"},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(rootValidity),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "icewatch agents"}}, key.Public(), key)
	return der, key, err
}

// Certificate is the authority's own, in DER.
func (a *Authority) Certificate() []byte { return a.cert.Raw }

// Fingerprint is the hex SHA-256 of Certificate, as tokens have it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Pool holds the authority, for checking clients.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// Server gives the listener's certificate, fresh enough; it is for
// tls.Config.GetCertificate. The chain holds the authority, so that a host that
// knows nothing but its hash can check it.
func (a *Authority) Server(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.server != nil && now.Before(a.server.Leaf.NotAfter.Add(-serverValidity/3)) {
		return a.server, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: ServerName}, DNSNames: []string{ServerName},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(serverValidity),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a.server = &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}
	return a.server, nil
}

// Request is a certificate request that was checked.
type Request struct {
	public crypto.PublicKey
	Key    string // hex SHA-256 of the public key
}

// ParseRequest checks a PKCS#10 request: the signature proves that the sender
// holds the key. Its subject is ignored. The error is an ErrRequest.
func ParseRequest(der []byte) (Request, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return Request{}, fmt.Errorf("%w: it is no PKCS#10 in DER: %v", ErrRequest, err)
	}
	switch k := csr.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return Request{}, fmt.Errorf("%w: the curve of its key is %s; want P-256", ErrRequest, k.Curve.Params().Name)
		}
	default:
		return Request{}, fmt.Errorf("%w: its key is a %s; want Ed25519 or ECDSA on P-256", ErrRequest, csr.PublicKeyAlgorithm)
	}
	if err := csr.CheckSignature(); err != nil {
		return Request{}, fmt.Errorf("%w: its signature is not by its key", ErrRequest)
	}
	spki, err := x509.MarshalPKIXPublicKey(csr.PublicKey)
	if err != nil {
		return Request{}, fmt.Errorf("%w: %v", ErrRequest, err)
	}
	sum := sha256.Sum256(spki)
	return Request{csr.PublicKey, hex.EncodeToString(sum[:])}, nil
}

// Issued is a certificate of an agent.
type Issued struct {
	DER      []byte
	Serial   string // hex
	NotAfter time.Time
}

// Issue signs a certificate for an agent. kind is what it is, the certificate's OU.
func (a *Authority) Issue(agent, kind string, r Request) (Issued, error) {
	now := a.now()
	n := serial()
	until := now.Add(AgentValidity).Truncate(time.Second)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: n, Subject: pkix.Name{CommonName: agent, Organization: []string{"icewatch agent"}, OrganizationalUnit: []string{kind}},
		NotBefore: now.Add(-backdated), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, r.public, a.key)
	if err != nil {
		return Issued{}, fmt.Errorf("fleet: sign the certificate of %s: %w", agent, err)
	}
	return Issued{der, SerialText(n), until}, nil
}

// SerialText writes a serial number as Issued has it.
func SerialText(n *big.Int) string { return hex.EncodeToString(n.Bytes()) }

// ReleaseKey is the public key by which packages are signed.
func (a *Authority) ReleaseKey() ed25519.PublicKey { return a.release.Public().(ed25519.PublicKey) }

// SignText signs what is no package of the agent by the release key.
func (a *Authority) SignText(text []byte) []byte { return ed25519.Sign(a.release, text) }

// Sign signs a package.
func (a *Authority) Sign(p wire.Package) []byte { return ed25519.Sign(a.release, p.Signed()) }

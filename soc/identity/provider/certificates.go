package provider

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	maxKeys         = 10
	maxOverlap      = 90 * 24 * time.Hour
	certificateLife = 2 * 365 * 24 * time.Hour // of one we make
)

// NewKey is how an application gets a new key: its public half or certificate
// as PEM, or a pair made here.
type NewKey struct {
	PEM      string
	Generate string        // "RS256" or "ES256"; "" takes PEM
	Overlap  time.Duration // how long the keys before stay good
}

// MadeKey is what AddKey did. PrivateKey is there where the pair was made here
// and is kept nowhere.
type MadeKey struct {
	Key         Key    `json:"key"`
	PrivateKey  string `json:"private_key,omitempty" doc:"PKCS #8, shown this once"`
	Certificate string `json:"certificate,omitempty"`
}

// AddKey gives an application a key to prove itself with. Those before retire
// when the overlap is over, so that the application can be switched in between.
func (s *Service) AddKey(ctx context.Context, id string, n NewKey) (MadeKey, error) {
	if n.Overlap < 0 || n.Overlap > maxOverlap {
		return MadeKey{}, invalid("the overlap must be 0 to 90 days")
	}
	var made MadeKey
	if n.Generate != "" {
		var err error
		if made.PrivateKey, made.Certificate, err = s.generate(n.Generate, id); err != nil {
			return MadeKey{}, err
		}
		n.PEM = made.Certificate
	}
	key, err := parseKey(n.PEM)
	if err != nil {
		return MadeKey{}, err
	}
	now := s.Now().UTC().Truncate(time.Millisecond)
	if key.NotAfter != nil && !now.Before(*key.NotAfter) {
		return MadeKey{}, invalid("the certificate ended on %s", key.NotAfter.Format(time.DateOnly))
	}
	key.CreatedAt, made.Key = now, key
	retires := now.Add(n.Overlap)
	_, err = s.change(ctx, id, func(a *registered) error {
		a.Keys = slices.DeleteFunc(a.Keys, func(k Key) bool { return !k.good(now) })
		for i := range a.Keys {
			if a.Keys[i].ID == key.ID {
				return invalid("the application has this key already")
			}
			if at := a.Keys[i].RetiresAt; at == nil || at.After(retires) {
				a.Keys[i].RetiresAt = &retires
			}
		}
		if len(a.Keys) >= maxKeys {
			return invalid("the application has %d keys in force, which is as many as there may be: delete one", len(a.Keys))
		}
		a.Keys = append(a.Keys, key)
		return nil
	})
	if err != nil {
		return MadeKey{}, err
	}
	return made, nil
}

// DeleteKey takes a key out of force at once.
func (s *Service) DeleteKey(ctx context.Context, id, kid string) error {
	_, err := s.change(ctx, id, func(a *registered) error {
		n := len(a.Keys)
		if a.Keys = slices.DeleteFunc(a.Keys, func(k Key) bool { return k.ID == kid }); len(a.Keys) == n {
			return notFound(id + "/keys/" + kid)
		}
		return nil
	})
	return err
}

// good tells whether the key is in force at the time.
func (k *Key) good(at time.Time) bool {
	return (k.NotAfter == nil || at.Before(*k.NotAfter)) && (k.RetiresAt == nil || at.Before(*k.RetiresAt))
}

// verifies tells whether the key signed the token, and reads its claims.
func (k *Key) verifies(t *jwt.JSONWebToken, claims *jwt.Claims) bool {
	if len(t.Headers) != 1 || t.Headers[0].Algorithm != k.Algorithm || t.Headers[0].KeyID != "" && t.Headers[0].KeyID != k.ID {
		return false
	}
	public, _, err := publicKey(k.PEM)
	return err == nil && t.Claims(public, claims) == nil
}

// publicKey reads one PEM block: a certificate or a public key.
func publicKey(text string) (crypto.PublicKey, *x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(text) > 32<<10 {
		return nil, nil, invalid("pem: there is no PEM block of at most 32 KiB in it")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, nil, invalid("pem: give one block alone, the application's own certificate or public key")
	}
	switch block.Type {
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, invalid("pem: the certificate cannot be read: %s", err)
		}
		return c.PublicKey, c, nil
	case "PUBLIC KEY":
		k, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, nil, invalid("pem: the public key cannot be read: %s", err)
		}
		return k, nil, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return nil, nil, invalid("pem: this is a private key, which must not leave the application: give its public half")
	}
	return nil, nil, invalid("pem: a block of the type %.40q is neither CERTIFICATE nor PUBLIC KEY", block.Type)
}

// parseKey takes RSA of 2048 to 8192 bits, and P-256.
func parseKey(text string) (Key, error) {
	public, cert, err := publicKey(text)
	if err != nil {
		return Key{}, err
	}
	k := Key{PEM: text}
	switch p := public.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < 2048 || n > 8192 {
			return Key{}, invalid("pem: the RSA key has %d bits, it must have 2048 to 8192", n)
		}
		k.Algorithm = string(jose.RS256)
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return Key{}, invalid("pem: the elliptic curve is %s, it must be P-256", p.Curve.Params().Name)
		}
		k.Algorithm = string(jose.ES256)
	default:
		return Key{}, invalid("pem: a %T is neither RSA nor an elliptic curve P-256", public)
	}
	if k.ID, err = thumbprint(public); err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, invalid("pem: the public key cannot be read: %s", err)
	}
	sum := sha256.Sum256(der)
	k.Fingerprint = hex.EncodeToString(sum[:])
	if cert != nil {
		at := cert.NotAfter.UTC()
		k.Subject, k.NotAfter = cert.Subject.String(), &at
	}
	return k, nil
}

// generate makes a pair and a certificate for it.
func (s *Service) generate(alg, name string) (private, certificate string, err error) {
	var signer crypto.Signer
	switch alg {
	case string(jose.RS256):
		signer, err = rsa.GenerateKey(rand.Reader, keyBits)
	case string(jose.ES256):
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return "", "", invalid("generate: %.20q is neither RS256 nor ES256", alg)
	}
	if err != nil {
		return "", "", fmt.Errorf("oidc: make a key for %s: %w", name, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return "", "", fmt.Errorf("oidc: make a certificate for %s: %w", name, err)
	}
	now := s.Now()
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"icewatch"}},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(certificateLife), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, t, t, signer.Public(), signer)
	if err != nil {
		return "", "", fmt.Errorf("oidc: make a certificate for %s: %w", name, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return "", "", fmt.Errorf("oidc: make a key for %s: %w", name, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

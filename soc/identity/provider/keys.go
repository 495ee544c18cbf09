package provider

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/uptrace/bun"
	oidccrypto "github.com/zitadel/oidc/v3/pkg/crypto"
)

// algorithm of the signatures: the one that every OpenID client must know
// (OpenID Connect Core 1.0, 15.1).
const algorithm = jose.RS256

// keyBits is the length of an RSA key; 3072 are worth 128 bits (NIST SP
// 800-57 part 1, table 2).
const keyBits = 3072

// sealContext ties a sealed key to its row.
func sealContext(id string) []byte { return []byte(sealKind + ":" + id) }

const sealKind = "oidc-signing-key"

// signingKey is a key that signs or once did.
type signingKey struct {
	id        string
	private   crypto.Signer
	created   time.Time
	published time.Time // until then; zero while it signs
}

// keyring holds the keys, the one that signs last.
type keyring struct {
	mu   sync.Mutex
	keys []signingKey
}

// SigningKey is a signing key as administrators see it.
type SigningKey struct {
	ID             string     `json:"kid"`
	Algorithm      string     `json:"algorithm"`
	CreatedAt      time.Time  `json:"created_at"`
	RenewedAt      *time.Time `json:"renewed_at,omitempty" doc:"When another one takes over by itself"`
	PublishedUntil *time.Time `json:"published_until,omitempty" doc:"Until then clients may still check its signatures"`
	Current        bool       `json:"current" doc:"It signs"`
}

// loadKeys reads the keys. The first is made when it is needed.
func (s *Service) loadKeys(ctx context.Context) error {
	rows, err := s.DB.QueryContext(ctx, "SELECT id, private, created_at, published_until FROM provider_signing_keys ORDER BY created_at, id")
	if err != nil {
		return fmt.Errorf("oidc: read the signing keys: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, sealed string
		var created int64
		var published *int64
		if err := rows.Scan(&id, &sealed, &created, &published); err != nil {
			return fmt.Errorf("oidc: read the signing keys: %w", err)
		}
		der, err := s.Seal.Open([]byte(sealed), sealContext(id))
		if err != nil {
			return fmt.Errorf("oidc: open the signing key %s: %w", id, err)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return fmt.Errorf("oidc: the signing key %s: %w", id, err)
		}
		signer, ok := parsed.(crypto.Signer)
		if !ok {
			return fmt.Errorf("oidc: the signing key %s is a %T and cannot sign", id, parsed)
		}
		k := signingKey{id: id, private: signer, created: time.UnixMilli(created).UTC()}
		if published != nil {
			k.published = time.UnixMilli(*published).UTC()
		}
		s.keys.keys = append(s.keys.keys, k)
	}
	return rows.Err()
}

// current returns the key that signs, and makes it where there is none.
func (s *Service) current(ctx context.Context) (signingKey, error) {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	if n := len(s.keys.keys); n > 0 && s.keys.keys[n-1].published.IsZero() {
		return s.keys.keys[n-1], nil
	}
	return s.newKey(ctx, false)
}

// newKey makes the key that signs from now on. The one before stays published
// for the policy's overlap, so that what it signed can still be checked, unless
// it is withdrawn. The keyring is locked.
func (s *Service) newKey(ctx context.Context, withdraw bool) (signingKey, error) {
	private, err := s.makeKey()
	if err != nil {
		return signingKey{}, fmt.Errorf("oidc: make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return signingKey{}, fmt.Errorf("oidc: make a signing key: %w", err)
	}
	id, err := thumbprint(private.Public())
	if err != nil {
		return signingKey{}, err
	}
	sealed, err := s.Seal.Seal(der, sealContext(id))
	if err != nil {
		return signingKey{}, fmt.Errorf("oidc: seal the signing key: %w", err)
	}
	now := s.Now().UTC().Truncate(time.Millisecond)
	until := now.AddDate(0, 0, s.policy.Get().KeyOverlapDays)
	keys := []signingKey{}
	for _, k := range s.keys.keys {
		if k.published.IsZero() {
			k.published = until
		}
		if !withdraw && k.published.After(now) {
			keys = append(keys, k)
		}
	}
	k := signingKey{id: id, private: private, created: now}
	keys = append(keys, k)
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE provider_signing_keys SET published_until = ? WHERE published_until IS NULL", until.UnixMilli()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM provider_signing_keys WHERE published_until <= ? OR ?", now.UnixMilli(), withdraw); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO provider_signing_keys (id, algorithm, private, created_at) VALUES (?, ?, ?, ?)",
			id, string(algorithm), string(sealed), now.UnixMilli())
		return err
	})
	if err != nil {
		return signingKey{}, fmt.Errorf("oidc: keep the signing key: %w", err)
	}
	s.keys.keys = keys
	return k, nil
}

// renewKey makes a new key when the one that signs has done so for long
// enough, and drops those whose overlap is over.
func (s *Service) renewKey(ctx context.Context) error {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	n := len(s.keys.keys)
	if n == 0 {
		return nil // nobody has asked for a signature yet
	}
	now := s.Now()
	if !now.Before(s.keys.keys[n-1].created.AddDate(0, 0, s.policy.Get().KeyDays)) {
		k, err := s.newKey(ctx, false)
		if err == nil {
			s.Log.Info("oidc: a new key signs from now on", "kid", k.id)
		}
		return err
	}
	s.keys.keys = slices.DeleteFunc(s.keys.keys, func(k signingKey) bool { return !k.published.IsZero() && !k.published.After(now) })
	if _, err := s.DB.ExecContext(ctx, "DELETE FROM provider_signing_keys WHERE published_until <= ?", now.UnixMilli()); err != nil {
		return fmt.Errorf("oidc: remove old signing keys: %w", err)
	}
	return nil
}

// RotateKey lets a new key sign from now on. With withdraw the old ones are
// published no longer, so that nothing they signed is good any more: for a key
// that leaked.
func (s *Service) RotateKey(ctx context.Context, withdraw bool) error {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	_, err := s.newKey(ctx, withdraw)
	return err
}

// SigningKeys lists the keys, the one that signs first.
func (s *Service) SigningKeys() []SigningKey {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	out := []SigningKey{}
	for _, k := range slices.Backward(s.keys.keys) {
		v := SigningKey{ID: k.id, Algorithm: string(algorithm), CreatedAt: k.created, Current: k.published.IsZero()}
		if v.Current {
			at := k.created.AddDate(0, 0, s.policy.Get().KeyDays)
			v.RenewedAt = &at
		} else {
			v.PublishedUntil = &k.published
		}
		out = append(out, v)
	}
	return out
}

// publicKeys is the JSON Web Key Set that clients check signatures by.
func (s *Service) publicKeys(ctx context.Context) (*jose.JSONWebKeySet, error) {
	if _, err := s.current(ctx); err != nil {
		return nil, err
	}
	now := s.Now()
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	set := &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range slices.Backward(s.keys.keys) {
		if k.published.IsZero() || k.published.After(now) {
			set.Keys = append(set.Keys, jose.JSONWebKey{KeyID: k.id, Algorithm: string(algorithm), Use: "sig", Key: k.private.Public()})
		}
	}
	return set, nil
}

// sign makes a JWT of the claims.
func (s *Service) sign(ctx context.Context, claims any) (string, error) {
	k, err := s.current(ctx)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: k.private, KeyID: k.id}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("oidc: sign with %s: %w", k.id, err)
	}
	return oidccrypto.Sign(claims, signer)
}

// verify returns the payload of a JWT that one of our published keys signed.
func (s *Service) verify(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return nil, fmt.Errorf("oidc: read a token: %w", err)
	}
	set, err := s.publicKeys(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range set.Key(jws.Signatures[0].Header.KeyID) {
		if payload, err := jws.Verify(k); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("oidc: the token is not signed by a key of ours")
}

// thumbprint is the id of a key: SHA-256 over its public half (RFC 7638).
func thumbprint(public crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("oidc: the key's thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2]), nil
}

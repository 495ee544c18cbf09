package federation

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// flowLife is how long somebody may take to sign in at the provider.
const flowLife = 10 * time.Minute

// flow is a sign-in that has begun. It lies, encrypted, in a cookie of the
// browser that began it: the server remembers nothing, so a stranger who begins
// many fills no memory, and no other browser can end it.
type flow struct {
	Provider string `json:"p"`
	State    string `json:"s,omitempty"` // OIDC
	Nonce    string `json:"n,omitempty"` // OIDC
	Verifier string `json:"v,omitempty"` // OIDC: PKCE
	Request  string `json:"r,omitempty"` // SAML: the AuthnRequest's ID
	Return   string `json:"t"`
	Expires  int64  `json:"e"` // Unix seconds
}

// newFlows makes the cipher of the cookies. Its key lives as long as the
// process: whoever is on the way when the server restarts begins again.
func newFlows() (cipher.AEAD, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails since Go 1.24
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	return aead, nil
}

// sealFlow makes the cookie's value.
func (s *Service) sealFlow(f flow) (string, error) {
	f.Expires = s.now().Add(flowLife).Unix()
	plain, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("federation: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.flows.Seal(nil, nil, plain, nil)), nil
}

// openFlow reads the cookie. A flow of another provider, an old one and none at
// all are ErrExpired: begin again.
func (s *Service) openFlow(cookie, provider string) (flow, error) {
	var f flow
	if cookie == "" {
		return f, fmt.Errorf("%w: the browser shows no cookie of a sign-in that it began", ErrExpired)
	}
	raw, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil {
		return f, fmt.Errorf("%w: the cookie is not ours", ErrExpired)
	}
	plain, err := s.flows.Open(nil, nil, raw, nil)
	if err != nil {
		return f, fmt.Errorf("%w: the cookie is not ours, or from before a restart", ErrExpired)
	}
	if err := json.Unmarshal(plain, &f); err != nil {
		return f, fmt.Errorf("%w: the cookie: %w", ErrExpired, err)
	}
	if f.Provider != provider {
		return f, fmt.Errorf("%w: the browser began to sign in at %s, and comes from %s", ErrExpired, f.Provider, provider)
	}
	if s.now().Unix() > f.Expires {
		return f, fmt.Errorf("%w: it took longer than %s", ErrExpired, flowLife)
	}
	return f, nil
}

// localPath returns where to go after signing in: a path of ours, or "/" for
// anything that a browser could take for somewhere else.
func localPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || len(to) > 1024 || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || u.Host != "" || u.Scheme != "" ||
		strings.ContainsFunc(to, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) || strings.HasPrefix(u.Path, "/api/") {
		return "/"
	}
	return to
}

// Package oidc signs people in at an OpenID Connect provider: authorization
// code flow with PKCE (RFC 7636), state and nonce, the provider's keys by
// discovery, sign-out at the provider and by it (RP-initiated and back-channel
// logout).
package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"icewatch/soc/identity/federation/peer"
)

// Config says which provider, and who we are to it.
type Config struct {
	Issuer       string // as the provider's discovery document spells it
	ClientID     string
	ClientSecret string // "" for a public client
	Scopes       []string
	UserInfo     bool   // ask the UserInfo endpoint for what the ID token lacks
	RedirectURL  string // where the provider sends browsers back to
	HTTP         *http.Client
	Now          func() time.Time // nil: time.Now
}

// Client speaks to one provider. It is safe for concurrent use; it keeps the
// provider's keys and asks for new ones when a token names one it lacks.
type Client struct {
	cfg      Config
	provider *oidc.Provider
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	meta     metadata
}

// metadata is what we read of the discovery document beside what the library
// does (OpenID Connect Discovery 1.0, section 3; RP-Initiated Logout 1.0; RFC
// 9207).
type metadata struct {
	EndSession    string   `json:"end_session_endpoint"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	PKCE          []string `json:"code_challenge_methods_supported"`
	NamesIssuer   bool     `json:"authorization_response_iss_parameter_supported"`
	BackChannel   bool     `json:"backchannel_logout_supported"`
	TokenEndpoint string   `json:"token_endpoint"`
	JWKS          string   `json:"jwks_uri"`
}

// signatures are the algorithms we take: asymmetric ones only. "none", and
// HS256 with the client's secret as key, never count.
var signatures = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Discover reads the provider's discovery document. A provider that does not
// answer, or answers under another issuer, is peer.ErrUnavailable.
func Discover(ctx context.Context, cfg Config) (*Client, error) {
	// The library keeps the context for later reads of the keys, so it must
	// outlive this call; the request itself is bounded by the client's timeout.
	keep := oidc.ClientContext(context.WithoutCancel(ctx), cfg.HTTP)
	p, err := oidc.NewProvider(keep, cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: discovery of %s: %w", peer.ErrUnavailable, cfg.Issuer, err)
	}
	c := &Client{cfg: cfg, provider: p}
	if err := p.Claims(&c.meta); err != nil {
		return nil, fmt.Errorf("%w: the discovery document of %s: %w", peer.ErrUnavailable, cfg.Issuer, err)
	}
	algorithms := slices.DeleteFunc(slices.Clone(c.meta.Algorithms), func(a string) bool { return !slices.Contains(signatures, a) })
	if len(algorithms) == 0 {
		algorithms = []string{"RS256"} // the one every provider must have
	}
	c.verifier = p.VerifierContext(keep, &oidc.Config{ClientID: cfg.ClientID, SupportedSigningAlgs: algorithms, Now: cfg.Now})
	c.oauth = oauth2.Config{ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, RedirectURL: cfg.RedirectURL,
		Endpoint: p.Endpoint(), Scopes: withOpenID(cfg.Scopes)}
	return c, nil
}

func withOpenID(scopes []string) []string {
	if slices.Contains(scopes, oidc.ScopeOpenID) {
		return scopes
	}
	return append([]string{oidc.ScopeOpenID}, scopes...)
}

// AuthURL is where the browser goes to sign in. verifier is the PKCE code
// verifier, which stays with us until Exchange.
func (c *Client) AuthURL(state, nonce, verifier string) string {
	return c.oauth.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
}

// Answer reads the query the browser comes back with and returns the code. The
// caller has compared the state.
func (c *Client) Answer(q url.Values) (code string, err error) {
	if e := q.Get("error"); e != "" {
		return "", fmt.Errorf("%w: %s %s", peer.ErrRefused, clip(e), clip(q.Get("error_description")))
	}
	// RFC 9207: the issuer in the answer keeps one provider's code from being
	// handed to another.
	if iss := q.Get("iss"); iss != "" && iss != c.cfg.Issuer || iss == "" && c.meta.NamesIssuer {
		return "", fmt.Errorf("%w: the answer names the issuer %q, want %q", peer.ErrInvalid, clip(iss), c.cfg.Issuer)
	}
	if code = q.Get("code"); code == "" {
		return "", fmt.Errorf("%w: it holds no code", peer.ErrInvalid)
	}
	return code, nil
}

// Exchange turns the code into the identity it stands for. It verifies the ID
// token's signature, issuer, audience, time and nonce.
func (c *Client) Exchange(ctx context.Context, code, nonce, verifier string) (peer.Identity, error) {
	ctx = oidc.ClientContext(ctx, c.cfg.HTTP)
	token, err := c.oauth.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		var re *oauth2.RetrieveError
		if errors.As(err, &re) && re.ErrorCode != "" {
			return peer.Identity{}, fmt.Errorf("%w the code: %s %s", peer.ErrRefused, clip(re.ErrorCode), clip(re.ErrorDescription))
		}
		return peer.Identity{}, fmt.Errorf("%w: the token endpoint: %w", peer.ErrUnavailable, err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return peer.Identity{}, fmt.Errorf("%w: the token endpoint gave no ID token", peer.ErrInvalid)
	}
	id, err := c.verifier.Verify(ctx, raw)
	if err != nil {
		return peer.Identity{}, fmt.Errorf("%w: the ID token: %w", peer.ErrInvalid, err)
	}
	switch {
	case id.Subject == "":
		return peer.Identity{}, fmt.Errorf("%w: the ID token names no subject", peer.ErrInvalid)
	case nonce == "" || id.Nonce != nonce:
		return peer.Identity{}, fmt.Errorf("%w: the ID token's nonce is not ours", peer.ErrInvalid)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return peer.Identity{}, fmt.Errorf("%w: the access token: %w", peer.ErrInvalid, err)
		}
	}
	claims := peer.Claims{}
	if err := id.Claims(&claims); err != nil {
		return peer.Identity{}, fmt.Errorf("%w: the ID token's claims: %w", peer.ErrInvalid, err)
	}
	// OpenID Connect Core 3.1.3.7: an audience beside us needs azp, and azp is us.
	if azp := claims.String("azp"); azp != "" && azp != c.cfg.ClientID || azp == "" && len(id.Audience) > 1 {
		return peer.Identity{}, fmt.Errorf("%w: the ID token was made for %q", peer.ErrInvalid, clip(azp))
	}
	if c.cfg.UserInfo && c.provider.UserInfoEndpoint() != "" {
		more, err := c.userInfo(ctx, token, id.Subject)
		if err != nil {
			return peer.Identity{}, err
		}
		// What is signed outweighs what is not.
		maps.Copy(more, claims)
		claims = more
	}
	return peer.Identity{Subject: id.Subject, Claims: claims, Session: claims.String("sid"), Hint: raw,
		Methods: append(claims.Strings("amr"), claims.Strings("acr")...)}, nil
}

func (c *Client) userInfo(ctx context.Context, token *oauth2.Token, subject string) (peer.Claims, error) {
	info, err := c.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("%w: the UserInfo endpoint: %w", peer.ErrUnavailable, err)
	}
	if info.Subject != subject {
		return nil, fmt.Errorf("%w: UserInfo speaks of another subject than the ID token", peer.ErrInvalid)
	}
	claims := peer.Claims{}
	if err := info.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: UserInfo: %w", peer.ErrInvalid, err)
	}
	return claims, nil
}

// LogoutURL is where the browser goes to sign out at the provider, coming back
// to returnTo; "" where the provider knows no such thing.
func (c *Client) LogoutURL(idToken, returnTo string) string {
	u, err := url.Parse(c.meta.EndSession)
	if err != nil || c.meta.EndSession == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	q := u.Query()
	q.Set("client_id", c.cfg.ClientID)
	if idToken != "" {
		q.Set("id_token_hint", idToken)
	}
	if returnTo != "" {
		q.Set("post_logout_redirect_uri", returnTo)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Logout is a provider's word that a session of it is over, or all of a
// subject's where Session is "".
type Logout struct {
	ID      string // the token's, to be taken once
	Subject string
	Session string
	Expires time.Time
}

// VerifyLogout verifies a logout token (OpenID Connect Back-Channel Logout 1.0,
// section 2.6). That it comes once only is the caller's to see to.
func (c *Client) VerifyLogout(ctx context.Context, raw string) (Logout, error) {
	t, err := c.verifier.VerifyLogout(oidc.ClientContext(ctx, c.cfg.HTTP), raw)
	if err != nil {
		return Logout{}, fmt.Errorf("%w: the logout token: %w", peer.ErrInvalid, err)
	}
	return Logout{ID: t.TokenID, Subject: t.Subject, Session: t.SessionID, Expires: t.Expiry}, nil
}

// Test connects to the provider and says what is wrong. It needs no user.
func Test(ctx context.Context, cfg Config) []peer.Check {
	c, err := Discover(ctx, cfg)
	if err != nil {
		return []peer.Check{peer.Failed("discovery", err)}
	}
	checks := []peer.Check{peer.Passed("discovery", "the provider answers as "+cfg.Issuer)}
	if n, err := c.countKeys(ctx); err != nil {
		checks = append(checks, peer.Failed("keys", err))
	} else {
		checks = append(checks, peer.Passed("keys", fmt.Sprintf("%d keys for signatures at %s", n, c.meta.JWKS)))
	}
	if len(c.meta.PKCE) > 0 && !slices.Contains(c.meta.PKCE, "S256") {
		checks = append(checks, peer.Failed("pkce", fmt.Errorf("the provider supports the code challenges %s, S256 is needed", strings.Join(c.meta.PKCE, ", "))))
	} else {
		checks = append(checks, peer.Passed("pkce", "S256"))
	}
	checks = append(checks, c.checkClient(ctx))
	if c.meta.EndSession == "" {
		checks = append(checks, peer.Passed("logout", "the provider offers no sign-out: it ends here only"))
	} else {
		checks = append(checks, peer.Passed("logout", c.meta.EndSession))
	}
	return checks
}

// countKeys reads the provider's key set.
func (c *Client) countKeys(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.meta.JWKS, nil)
	if err != nil {
		return 0, fmt.Errorf("the key set's address %q: %w", c.meta.JWKS, err)
	}
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return 0, fmt.Errorf("read the key set: %w", err)
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct {
			Use string `json:"use"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(&set); err != nil || resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the key set at %s answers %s and is not one: %v", c.meta.JWKS, resp.Status, err)
	}
	n := 0
	for _, k := range set.Keys {
		if k.Use == "" || k.Use == "sig" {
			n++
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("the key set at %s holds no key for signatures", c.meta.JWKS)
	}
	return n, nil
}

// checkClient offers the token endpoint a code that cannot be: a provider that
// knows the client complains of the code (invalid_grant), one that does not of
// the client.
func (c *Client) checkClient(ctx context.Context) peer.Check {
	_, err := c.oauth.Exchange(oidc.ClientContext(ctx, c.cfg.HTTP), "icewatch-connection-test", oauth2.VerifierOption(oauth2.GenerateVerifier()))
	var re *oauth2.RetrieveError
	switch {
	case errors.As(err, &re) && re.ErrorCode == "invalid_grant":
		return peer.Passed("client", "the provider knows the client "+c.cfg.ClientID)
	case errors.As(err, &re):
		return peer.Failed("client", fmt.Errorf("the provider does not accept the client %q with its secret: %s %s", c.cfg.ClientID, clip(re.ErrorCode), clip(re.ErrorDescription)))
	case err != nil:
		return peer.Failed("client", fmt.Errorf("the token endpoint: %w", err))
	}
	return peer.Failed("client", errors.New("the token endpoint gave a token for a code that was never issued"))
}

// clip cuts what the provider wrote to what a log can bear.
func clip(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s), "")
}

package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"icewatch/soc/identity/federation/peer"
)

// provider is an OpenID provider whose tokens a test bends. That a real one is
// understood is shown against Keycloak in test/acceptance.
type provider struct {
	*httptest.Server
	key      *ecdsa.PrivateKey
	claims   map[string]any // of the next ID token
	userInfo map[string]any
	signWith any // key of the next ID token; nil: the provider's
	alg      jose.SignatureAlgorithm
	verifier string // PKCE, as last shown at the token endpoint
	meta     map[string]any
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, alg: jose.ES256, meta: map[string]any{}}
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		doc := map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"userinfo_endpoint": p.URL + "/userinfo", "end_session_endpoint": p.URL + "/logout", "id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"}}
		maps.Copy(doc, p.meta)
		reply(w, doc)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		p.verifier = r.PostFormValue("code_verifier")
		if r.PostFormValue("code") != "good" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			reply(w, map[string]string{"error": "invalid_grant", "error_description": "no such code"})
			return
		}
		reply(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": p.token(t, p.claims)})
	})
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.userInfo) })
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	key := p.signWith
	if key == nil {
		key = p.key
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.alg, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (p *provider) good() map[string]any {
	return map[string]any{"iss": p.URL, "aud": "icewatch", "sub": "u-1", "nonce": "n-1", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(),
		"preferred_username": "li.wei", "groups": []string{"analysts"}, "sid": "s-1", "amr": []string{"pwd", "mfa"}, "acr": "2"}
}

func (p *provider) config() Config {
	return Config{Issuer: p.URL, ClientID: "icewatch", ClientSecret: "secret", RedirectURL: "https://soc.test/callback", HTTP: p.Client()}
}

func discover(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := Discover(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	cfg := p.config()
	cfg.UserInfo = true
	c := discover(t, cfg)
	verifier := oauth2.GenerateVerifier()
	u, err := url.Parse(c.AuthURL("st-1", "n-1", verifier))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("state") != "st-1" || q.Get("nonce") != "n-1" || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" ||
		q.Get("code_challenge") != oauth2.S256ChallengeFromVerifier(verifier) || q.Get("redirect_uri") != cfg.RedirectURL || q.Get("scope") != "openid" {
		t.Errorf("%v", q)
	}
	p.claims = p.good()
	p.userInfo = map[string]any{"sub": "u-1", "email": "li@city.test", "preferred_username": "somebody.else"}
	who, err := c.Exchange(t.Context(), "good", "n-1", verifier)
	if err != nil {
		t.Fatal(err)
	}
	if p.verifier != verifier {
		t.Error("the provider was not shown the code verifier")
	}
	if who.Subject != "u-1" || who.Session != "s-1" || who.Claims.String("email") != "li@city.test" || who.Claims.String("preferred_username") != "li.wei" ||
		!slices.Equal(who.Methods, []string{"pwd", "mfa", "2"}) || who.Hint == "" {
		t.Errorf("%+v", who)
	}
	p.userInfo["sub"] = "u-2"
	if _, err := c.Exchange(t.Context(), "good", "n-1", verifier); !errors.Is(err, peer.ErrInvalid) || !strings.Contains(err.Error(), "another subject") {
		t.Errorf("UserInfo of another subject: %v", err)
	}
	if out := c.LogoutURL("hint", "https://soc.test/login"); !strings.HasPrefix(out, p.URL+"/logout?") || !strings.Contains(out, "id_token_hint=hint") {
		t.Errorf("%s", out)
	}
}

func TestIDTokenRefused(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	c := discover(t, p.config())
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what, says string, change func(map[string]any)) {
		t.Helper()
		p.claims, p.signWith, p.alg = p.good(), nil, jose.ES256
		change(p.claims)
		if _, err := c.Exchange(t.Context(), "good", "n-1", "v"); !errors.Is(err, peer.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("another nonce", "nonce", func(m map[string]any) { m["nonce"] = "n-2" })
	f("no nonce", "nonce", func(m map[string]any) { delete(m, "nonce") })
	f("another audience", "audience", func(m map[string]any) { m["aud"] = "other" })
	f("an audience beside us without azp", "made for", func(m map[string]any) { m["aud"] = []string{"icewatch", "other"} })
	f("made for another", "made for", func(m map[string]any) { m["azp"] = "other" })
	f("another issuer", "different provider", func(m map[string]any) { m["iss"] = "https://other.test" })
	f("expired", "expired", func(m map[string]any) { m["exp"] = time.Now().Add(-time.Minute).Unix() })
	f("no subject", "subject", func(m map[string]any) { delete(m, "sub") })
	f("a stranger's key", "signature", func(map[string]any) { p.signWith = stranger })
	f("the client's secret as key", "", func(map[string]any) { p.signWith, p.alg = []byte("secret-secret-secret-secret-secret"), jose.HS256 })
	f("a wrong access token hash", "access token", func(m map[string]any) { m["at_hash"] = "nonsense" })

	if _, err := c.Exchange(t.Context(), "bad", "n-1", "v"); !errors.Is(err, peer.ErrRefused) || !strings.Contains(err.Error(), "no such code") {
		t.Errorf("a wrong code: %v", err)
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	c := discover(t, p.config())
	p.meta["authorization_response_iss_parameter_supported"] = true
	named := discover(t, p.config())
	f := func(c *Client, query string, want error) {
		t.Helper()
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if code, err := c.Answer(q); !errors.Is(err, want) || err == nil && code != "x" {
			t.Errorf("%s: %q %v", query, code, err)
		}
	}
	f(c, "code=x", nil)
	f(c, "code=x&iss="+url.QueryEscape(p.URL), nil)
	f(c, "code=x&iss=https://other.test", peer.ErrInvalid)
	f(named, "code=x", peer.ErrInvalid)
	f(named, "code=x&iss="+url.QueryEscape(p.URL), nil)
	f(c, "", peer.ErrInvalid)
	f(c, "error=access_denied&error_description=no", peer.ErrRefused)
}

func TestVerifyLogout(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	c := discover(t, p.config())
	good := func() map[string]any {
		return map[string]any{"iss": p.URL, "aud": "icewatch", "sub": "u-1", "sid": "s-1", "jti": "j-1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
	}
	out, err := c.VerifyLogout(t.Context(), p.token(t, good()))
	if err != nil || out.Subject != "u-1" || out.Session != "s-1" || out.ID != "j-1" {
		t.Fatalf("%+v %v", out, err)
	}
	for what, change := range map[string]func(map[string]any){
		"an ID token":      func(m map[string]any) { delete(m, "events") },
		"with a nonce":     func(m map[string]any) { m["nonce"] = "n" },
		"another audience": func(m map[string]any) { m["aud"] = "other" },
		"nobody's":         func(m map[string]any) { delete(m, "sub"); delete(m, "sid") },
		"without id":       func(m map[string]any) { delete(m, "jti") },
		"expired":          func(m map[string]any) { m["exp"] = time.Now().Add(-time.Hour).Unix() },
	} {
		m := good()
		change(m)
		if _, err := c.VerifyLogout(t.Context(), p.token(t, m)); !errors.Is(err, peer.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTest(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	for _, check := range Test(t.Context(), p.config()) {
		if !check.OK {
			t.Errorf("%+v", check)
		}
	}
	wrong := p.config()
	wrong.Issuer += "/other"
	if got := Test(t.Context(), wrong); got[0].OK || got[0].Name != "discovery" {
		t.Errorf("%+v", got)
	}
	p.meta["issuer"] = "https://other.test"
	if got := Test(t.Context(), p.config()); got[0].OK || !strings.Contains(got[0].Detail, "other.test") {
		t.Errorf("another issuer: %+v", got)
	}
}

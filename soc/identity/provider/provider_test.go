package provider

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"icewatch/soc/identity"
	"icewatch/soc/seal"
	"icewatch/soc/settings"
	"icewatch/soc/state"
)

// people is an Identity whose sessions a test opens and ends.
type people struct {
	mu        sync.Mutex
	sessions  map[string]identity.SessionState
	users     map[string]identity.Standing
	forgotten []string
}

func (p *people) Session(_ context.Context, id string) (identity.SessionState, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st, ok := p.sessions[id]
	if !ok || p.users[st.Principal.UserID].Disabled {
		return identity.SessionState{}, identity.ErrUnauthenticated
	}
	return st, nil
}

func (p *people) Standing(_ context.Context, id string) (identity.Standing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.users[id]
	if !ok {
		return u, identity.ErrNotFound
	}
	return u, nil
}

func (p *people) Logout(_ context.Context, who *identity.Principal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, who.SessionID)
	return nil
}

func (p *people) ForgetApplication(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgotten = append(p.forgotten, id)
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// house is a provider behind a real HTTP server, with one user signed in.
type house struct {
	*Service
	t      testing.TB
	people *people
	clock  *clock
	made   int // signing keys
	server *httptest.Server
	db     *state.DB

	mu     sync.Mutex
	events []Event
}

const (
	anna        = "usr_anna"
	annaSession = "ses_anna"
	callback    = "https://grafana.example/login/generic_oauth"
)

func newHouse(t testing.TB) *house {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{t: t, db: db, clock: &clock{t: time.Now()}}
	h.people = &people{
		sessions: map[string]identity.SessionState{annaSession: {
			Principal: &identity.Principal{UserID: anna, Username: "anna", Roles: []string{"analyst"}, Tenants: []string{"e-seal"}, Via: identity.ViaSession, SessionID: annaSession},
			CreatedAt: h.clock.now().Add(-time.Minute), ExpiresAt: h.clock.now().Add(24 * time.Hour)}},
		users: map[string]identity.Standing{anna: {User: identity.User{ID: anna, Username: "anna", DisplayName: "安娜", Email: "anna@city.test", Unit: "unt_seal",
			Tenants: []string{"e-seal"}, UpdatedAt: h.clock.now()}, InForce: []string{"analyst"}, Groups: []string{"grp_duty"}}},
	}
	mux := http.NewServeMux()
	h.server = httptest.NewServer(mux)
	t.Cleanup(h.server.Close)
	h.open()
	mux.HandleFunc(Path+"/", func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.TrimPrefix(r.URL.Path, Path)
		h.ServeHTTP(w, r)
	})
	return h
}

// sealer is the same in all of a test's lives of the service.
var sealer = seal.Ephemeral(Sealed()...)

func (h *house) open() {
	h.t.Helper()
	store, err := settings.Open(h.t.Context(), h.db)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Service, err = Open(h.t.Context(), Deps{DB: h.db, Settings: store, Identity: h.people, Seal: sealer, Issuer: h.server.URL + Path,
		Record: h.record, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: h.clock.now})
	if err != nil {
		h.t.Fatal(err)
	}
	h.makeKey = func() (*rsa.PrivateKey, error) {
		h.made++
		return keyStore[h.made%len(keyStore)](), nil
	}
}

// keyStore is the keys of all tests: making one takes long.
var keyStore [3]func() *rsa.PrivateKey

func init() {
	for i := range keyStore {
		keyStore[i] = sync.OnceValue(func() *rsa.PrivateKey {
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			return k
		})
	}
}

func (h *house) record(_ context.Context, e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// application makes an open application with the client, for everyone.
func (h *house) application(c Client) (id, secret string) {
	h.t.Helper()
	yes := true
	a, err := h.Create(h.t.Context(), Application{Card: Card{Name: Text{ZH: "看板", EN: "Dashboards"}, URL: "https://grafana.example/"}}, "admin")
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.Update(h.t.Context(), a.ID, Change{Open: &yes, Audience: &Audience{Everyone: true}, Client: &c}); err != nil {
		h.t.Fatal(err)
	}
	if c.hasSecret() {
		if secret, err = h.NewSecret(h.t.Context(), a.ID); err != nil {
			h.t.Fatal(err)
		}
	}
	return a.ID, secret
}

// grafana is a client as Grafana is one.
func grafana() Client {
	return Client{Type: ClientConfidential, AuthMethod: AuthBasic, RedirectURIs: []string{callback}, PostLogoutRedirectURIs: []string{"https://grafana.example/login"},
		GrantTypes: []string{"authorization_code", "refresh_token"}, Scopes: Scopes}
}

func (h *house) config(id, secret string) (*oauth2.Config, *oidc.Provider) {
	h.t.Helper()
	p, err := oidc.NewProvider(h.t.Context(), h.Issuer)
	if err != nil {
		h.t.Fatal(err)
	}
	return &oauth2.Config{ClientID: id, ClientSecret: secret, RedirectURL: callback, Endpoint: p.Endpoint(), Scopes: Scopes}, p
}

// ask sends an authorization request with anna's session and returns what the
// client gets.
func (h *house) ask(address, session string) (Answer, url.Values) {
	h.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		h.t.Fatal(err)
	}
	a, err := h.Authorize(h.t.Context(), u.Query(), session, "en")
	if err != nil {
		h.t.Fatal(err)
	}
	back, err := url.Parse(a.Redirect)
	if err != nil {
		h.t.Fatal(err)
	}
	return a, back.Query()
}

// code signs anna in and returns the code.
func (h *house) code(c *oauth2.Config, opts ...oauth2.AuthCodeOption) string {
	h.t.Helper()
	a, q := h.ask(c.AuthCodeURL("st4te", opts...), annaSession)
	if q.Get("code") == "" || q.Get("state") != "st4te" || q.Get("iss") != h.Issuer || !strings.HasPrefix(a.Redirect, callback+"?") {
		h.t.Fatalf("the answer is %+v", a)
	}
	return q.Get("code")
}

// post sends a form and returns the answer's status and JSON.
func (h *house) post(path string, form url.Values, user, password string) (int, map[string]any) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	doc := map[string]any{}
	_ = json.NewDecoder(resp.Body).Decode(&doc)
	return resp.StatusCode, doc
}

// refused fails unless the answer is the protocol's error.
func (h *house) refused(status int, doc map[string]any, code, text string) {
	h.t.Helper()
	said, _ := doc["error_description"].(string)
	if status < 400 || status >= 500 || doc["error"] != code || !strings.Contains(said, text) {
		h.t.Errorf("%d %v, want the error %s about %q", status, doc, code, text)
	}
}

// active asks about a token by introspection.
func (h *house) active(token, id, secret string) bool {
	h.t.Helper()
	status, doc := h.post(PathIntrospect, url.Values{"token": {token}}, id, secret)
	if status != 200 {
		h.t.Fatalf("introspection: %d %v", status, doc)
	}
	return doc["active"] == true
}

func (h *house) userinfo(token string) (int, map[string]any) {
	h.t.Helper()
	req, _ := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.Issuer+PathUserinfo, nil)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	doc := map[string]any{}
	_ = json.NewDecoder(resp.Body).Decode(&doc)
	if resp.StatusCode == 401 && !strings.Contains(resp.Header.Get("WWW-Authenticate"), "Bearer") {
		h.t.Error("a 401 of userinfo lacks the Bearer challenge")
	}
	return resp.StatusCode, doc
}

func TestSignIn(t *testing.T) {
	h := newHouse(t)
	id, secret := h.application(grafana())
	c, p := h.config(id, secret)
	for name, style := range map[string]oauth2.AuthStyle{"basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams} {
		t.Run(name, func(t *testing.T) {
			c := *c
			c.Endpoint.AuthStyle = style
			verifier := oauth2.GenerateVerifier()
			code := h.code(&c, oauth2.S256ChallengeOption(verifier), oidc.Nonce("n0nce"))
			tokens, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			idToken, err := p.Verifier(&oidc.Config{ClientID: id}).Verify(t.Context(), tokens.Extra("id_token").(string))
			if err != nil {
				t.Fatal(err)
			}
			if err := idToken.VerifyAccessToken(tokens.AccessToken); err != nil {
				t.Error(err)
			}
			var claims map[string]any
			if err := idToken.Claims(&claims); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"sub": anna, "preferred_username": "anna", "name": "安娜", "nonce": "n0nce", "sid": annaSession, "azp": id, "email": "anna@city.test", "unit": "unt_seal"}
			for k, v := range want {
				if claims[k] != v {
					t.Errorf("the claim %s is %v, want %v", k, claims[k], v)
				}
			}
			for k, v := range map[string]string{"roles": `["analyst"]`, "tenants": `["e-seal"]`, "groups": `["grp_duty"]`} {
				if got, _ := json.Marshal(claims[k]); string(got) != v {
					t.Errorf("the claim %s is %s, want %s", k, got, v)
				}
			}
			info, err := p.UserInfo(t.Context(), oauth2.StaticTokenSource(tokens))
			if err != nil {
				t.Fatal(err)
			}
			if info.Subject != anna {
				t.Errorf("userinfo is about %s", info.Subject)
			}
			// Rotation: a refresh token is another one each time.
			fresh, err := c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
			if err != nil {
				t.Fatal(err)
			}
			if fresh.RefreshToken == tokens.RefreshToken || fresh.AccessToken == tokens.AccessToken {
				t.Error("the tokens are the old ones")
			}
			if !h.active(fresh.AccessToken, id, secret) {
				t.Error("the fresh access token is not active")
			}
		})
	}
	if len(h.events) != 2 || h.events[0].User != "anna" || h.events[0].Application != id || h.events[0].Denied {
		t.Errorf("events: %+v", h.events)
	}
}

func TestDiscoveryTellsTheTruth(t *testing.T) {
	h := newHouse(t)
	resp, err := http.Get(h.Issuer + PathDiscovery)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{
		"issuer": `"` + h.Issuer + `"`, "response_types_supported": `["code"]`, "grant_types_supported": `["authorization_code","refresh_token","client_credentials"]`,
		"id_token_signing_alg_values_supported": `["RS256"]`, "code_challenge_methods_supported": `["S256"]`, "subject_types_supported": `["public"]`,
		"authorization_response_iss_parameter_supported": `true`,
	} {
		if got, _ := json.Marshal(doc[k]); string(got) != want {
			t.Errorf("%s is %s, want %s", k, got, want)
		}
	}
	// What is named answers, and nothing that is not there is named.
	for k, v := range doc {
		address, ok := v.(string)
		if !ok || !strings.HasSuffix(k, "_endpoint") && k != "jwks_uri" {
			continue
		}
		if k == "authorization_endpoint" || k == "end_session_endpoint" {
			continue // pages, which the API's gate serves
		}
		r, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode == 404 {
			t.Errorf("%s leads nowhere", k)
		}
	}
	if doc["device_authorization_endpoint"] != nil || doc["registration_endpoint"] != nil {
		t.Error("endpoints are named that do not exist")
	}
	set, err := h.publicKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := set.Keys[0]
	if len(set.Keys) != 1 || k.KeyID == "" || k.Algorithm != "RS256" || k.Use != "sig" || !k.IsPublic() {
		t.Errorf("the key set is %+v", set)
	}
}

func TestWrongRequests(t *testing.T) {
	h := newHouse(t)
	id, secret := h.application(grafana())
	public, _ := h.application(Client{Type: ClientPublic, AuthMethod: AuthNone, RedirectURIs: []string{"http://127.0.0.1:7000/cb"}, GrantTypes: []string{"authorization_code"}, Scopes: []string{"openid"}})
	c, _ := h.config(id, secret)
	good, _ := url.Parse(c.AuthCodeURL("st4te"))
	challenge := base64.RawURLEncoding.EncodeToString(make([]byte, sha256.Size))
	for name, tc := range map[string]struct {
		change map[string]string // "" removes
		page   bool              // nothing is sent to the client
		code   string
	}{
		"unknown client":        {map[string]string{"client_id": "app_none"}, true, ""},
		"no client":             {map[string]string{"client_id": ""}, true, ""},
		"foreign redirect":      {map[string]string{"redirect_uri": "https://evil.example/"}, true, ""},
		"longer redirect":       {map[string]string{"redirect_uri": callback + "/../x"}, true, ""},
		"redirect with a query": {map[string]string{"redirect_uri": callback + "?a=b"}, true, ""},
		"another's redirect":    {map[string]string{"redirect_uri": "http://127.0.0.1:7000/cb"}, true, ""},
		"encoded redirect":      {map[string]string{"redirect_uri": url.QueryEscape(callback)}, true, ""},
		"no redirect":           {map[string]string{"redirect_uri": ""}, true, ""},
		"too long a state":      {map[string]string{"state": strings.Repeat("x", 5000)}, true, ""},
		"implicit":              {map[string]string{"response_type": "id_token"}, false, "unsupported_response_type"},
		"fragment":              {map[string]string{"response_mode": "fragment"}, false, "invalid_request"},
		"no openid":             {map[string]string{"scope": "profile"}, false, "invalid_scope"},
		"plain PKCE":            {map[string]string{"code_challenge": challenge, "code_challenge_method": "plain"}, false, "invalid_request"},
		"PKCE without method":   {map[string]string{"code_challenge": challenge}, false, "invalid_request"},
		"broken challenge":      {map[string]string{"code_challenge": "abc", "code_challenge_method": "S256"}, false, "invalid_request"},
		"public without PKCE":   {map[string]string{"client_id": public, "redirect_uri": "http://127.0.0.1:7000/cb"}, false, "invalid_request"},
		"request object":        {map[string]string{"request": "eyJ"}, false, "request_not_supported"},
		"prompt none and login": {map[string]string{"prompt": "none login"}, false, "invalid_request"},
		"broken max_age":        {map[string]string{"max_age": "-1"}, false, "invalid_request"},
		"foreign hint":          {map[string]string{"id_token_hint": "e30.e30.x"}, false, "login_required"},
	} {
		t.Run(name, func(t *testing.T) {
			q := good.Query()
			for k, v := range tc.change {
				if v == "" {
					q.Del(k)
				} else {
					q.Set(k, v)
				}
			}
			a, back := h.ask("https://x/?"+q.Encode(), annaSession)
			switch {
			case tc.page && (a.Redirect != "" || a.Status != 400 || len(a.Page) == 0):
				t.Errorf("the answer is %+v, want a page", a)
			case !tc.page && (back.Get("error") != tc.code || back.Get("code") != "" || back.Get("error_description") == "" || back.Get("iss") != h.Issuer):
				t.Errorf("the client gets %v, want the error %s", back, tc.code)
			}
		})
	}
	if a, _ := h.ask("https://x/?"+good.RawQuery+"&client_id="+public, annaSession); a.Status != 400 {
		t.Errorf("a parameter given twice is answered by %+v", a)
	}
}

func TestCodeWorksOnce(t *testing.T) {
	h := newHouse(t)
	id, secret := h.application(grafana())
	other, otherSecret := h.application(grafana())
	c, _ := h.config(id, secret)
	form := func(code string) url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}}
	}

	t.Run("replay ends what it brought", func(t *testing.T) {
		code := h.code(c)
		status, first := h.post(PathToken, form(code), id, secret)
		if status != 200 || !h.active(first["access_token"].(string), id, secret) {
			t.Fatalf("%d %v", status, first)
		}
		status, doc := h.post(PathToken, form(code), id, secret)
		h.refused(status, doc, "invalid_grant", "used before")
		if h.active(first["access_token"].(string), id, secret) {
			t.Error("the access token outlived the replay of its code")
		}
		status, doc = h.post(PathToken, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first["refresh_token"].(string)}}, id, secret)
		h.refused(status, doc, "invalid_grant", "")
	})
	t.Run("another client", func(t *testing.T) {
		code := h.code(c)
		status, doc := h.post(PathToken, form(code), other, otherSecret)
		h.refused(status, doc, "invalid_grant", "another client")
		status, doc = h.post(PathToken, form(code), id, secret)
		h.refused(status, doc, "invalid_grant", "")
	})
	t.Run("at once", func(t *testing.T) {
		code := h.code(c)
		var wait sync.WaitGroup
		good := make(chan int, 8)
		for range 8 {
			wait.Go(func() {
				if status, _ := h.post(PathToken, form(code), id, secret); status == 200 {
					good <- 1
				}
			})
		}
		wait.Wait()
		if len(good) > 1 {
			t.Errorf("a code was taken %d times", len(good))
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		status, doc := h.post(PathToken, form(h.code(c)), id, secret+"x")
		h.refused(status, doc, "invalid_client", "")
		if status != 401 {
			t.Errorf("the status is %d, want 401", status)
		}
		status, doc = h.post(PathToken, form(h.code(c)), "", "")
		h.refused(status, doc, "invalid_request", "client_id")
		bare := form(h.code(c))
		bare.Set("client_id", id)
		status, doc = h.post(PathToken, bare, "", "")
		h.refused(status, doc, "invalid_client", "")
	})
	t.Run("secret in the address", func(t *testing.T) {
		status, doc := h.post(PathToken+"?client_id="+id+"&client_secret="+url.QueryEscape(secret), form(h.code(c)), "", "")
		h.refused(status, doc, "invalid_request", "client_id")
	})
	t.Run("too late", func(t *testing.T) {
		code := h.code(c)
		h.clock.move(61 * time.Second)
		status, doc := h.post(PathToken, form(code), id, secret)
		h.refused(status, doc, "invalid_grant", "60 seconds")
	})
	t.Run("another redirect", func(t *testing.T) {
		f := form(h.code(c))
		f.Set("redirect_uri", callback+"x")
		status, doc := h.post(PathToken, f, id, secret)
		h.refused(status, doc, "invalid_grant", "redirect_uri")
	})
	t.Run("PKCE", func(t *testing.T) {
		verifier := oauth2.GenerateVerifier()
		status, doc := h.post(PathToken, form(h.code(c, oauth2.S256ChallengeOption(verifier))), id, secret)
		h.refused(status, doc, "invalid_grant", "code_verifier")
		f := form(h.code(c, oauth2.S256ChallengeOption(verifier)))
		f.Set("code_verifier", oauth2.GenerateVerifier())
		status, doc = h.post(PathToken, f, id, secret)
		h.refused(status, doc, "invalid_grant", "code_verifier")
		// A verifier without a challenge is a challenge that was taken away.
		f = form(h.code(c))
		f.Set("code_verifier", verifier)
		status, doc = h.post(PathToken, f, id, secret)
		h.refused(status, doc, "invalid_grant", "without code_challenge")
	})
}

func TestRefreshReuseEndsEverything(t *testing.T) {
	h := newHouse(t)
	id, secret := h.application(grafana())
	other, otherSecret := h.application(grafana())
	c, _ := h.config(id, secret)
	tokens, err := c.Exchange(t.Context(), h.code(c))
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.RefreshToken}}
	status, doc := h.post(PathToken, form, other, otherSecret)
	h.refused(status, doc, "invalid_grant", "unknown")
	status, second := h.post(PathToken, form, id, secret)
	if status != 200 {
		t.Fatalf("%d %v", status, second)
	}
	status, doc = h.post(PathToken, form, id, secret)
	h.refused(status, doc, "invalid_grant", "used before")
	for _, access := range []string{tokens.AccessToken, second["access_token"].(string)} {
		if h.active(access, id, secret) {
			t.Error("an access token outlived the reuse of its refresh token")
		}
	}
	status, doc = h.post(PathToken, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {second["refresh_token"].(string)}}, id, secret)
	h.refused(status, doc, "invalid_grant", "")
	if last := h.events[len(h.events)-1]; last.Action != "application-token-reused" || !last.Denied {
		t.Errorf("the last event is %+v", last)
	}
}

// Every way in which a sign-in can lose its ground ends its tokens at once.
func TestTokensDieWithTheirGround(t *testing.T) {
	no := false
	for name, end := range map[string]func(h *house, app string){
		"session ended": func(h *house, _ string) { delete(h.people.sessions, annaSession) },
		"user disabled": func(h *house, _ string) {
			u := h.people.users[anna]
			u.Disabled = true
			h.people.users[anna] = u
		},
		"application closed": func(h *house, app string) {
			if _, err := h.Update(h.t.Context(), app, Change{Open: &no}); err != nil {
				h.t.Fatal(err)
			}
		},
		"user left the audience": func(h *house, app string) {
			if _, err := h.Update(h.t.Context(), app, Change{Audience: &Audience{Roles: []string{"viewer"}}}); err != nil {
				h.t.Fatal(err)
			}
		},
		"application deleted": func(h *house, app string) {
			if _, _, err := h.Delete(h.t.Context(), []string{app}); err != nil {
				h.t.Fatal(err)
			}
		},
		"token over": func(h *house, _ string) { h.clock.move(16 * time.Minute) },
		"grant ended": func(h *house, app string) {
			list, err := h.Grants(h.t.Context(), anna, app)
			if err != nil || len(list) != 1 {
				h.t.Fatalf("%v %v", list, err)
			}
			if err := h.EndGrant(h.t.Context(), list[0].ID); err != nil {
				h.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			id, secret := h.application(grafana())
			c, _ := h.config(id, secret)
			tokens, err := c.Exchange(t.Context(), h.code(c))
			if err != nil {
				t.Fatal(err)
			}
			if status, _ := h.userinfo(tokens.AccessToken); status != 200 {
				t.Fatalf("userinfo answers %d before", status)
			}
			end(h, id)
			if status, _ := h.userinfo(tokens.AccessToken); status != 401 {
				t.Errorf("userinfo answers %d after", status)
			}
			if name == "token over" {
				return // the refresh token goes on
			}
			status, doc := h.post(PathToken, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.RefreshToken}}, id, secret)
			if status == 200 || doc["access_token"] != nil {
				t.Errorf("a refresh brought %v", doc)
			}
		})
	}
}

func TestWhoMayUseIt(t *testing.T) {
	h := newHouse(t)
	id, secret := h.application(grafana())
	c, _ := h.config(id, secret)
	for name, tc := range map[string]struct {
		audience Audience
		in       bool
	}{
		"everyone":      {Audience{Everyone: true}, true},
		"nobody":        {Audience{}, false},
		"her role":      {Audience{Roles: []string{"viewer", "analyst"}}, true},
		"another role":  {Audience{Roles: []string{"admin"}}, false},
		"her group":     {Audience{Groups: []string{"grp_duty"}}, true},
		"another group": {Audience{Groups: []string{"grp_else"}}, false},
		"herself":       {Audience{Users: []string{anna}}, true},
		"another user":  {Audience{Users: []string{"usr_bob"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := h.Update(t.Context(), id, Change{Audience: &tc.audience}); err != nil {
				t.Fatal(err)
			}
			_, q := h.ask(c.AuthCodeURL("x"), annaSession)
			if got := q.Get("code") != ""; got != tc.in || !got && q.Get("error") != "access_denied" {
				t.Errorf("the client gets %v", q)
			}
			if got := len(h.Usable(PersonOf(h.people.users[anna]), Filter{})) == 1; got != tc.in {
				t.Errorf("the portal shows it: %t", got)
			}
		})
	}
}

func TestPrompts(t *testing.T) {
	h := newHouse(t)
	id, secret := h.application(grafana())
	c, _ := h.config(id, secret)
	opt := oauth2.SetAuthURLParam

	if _, q := h.ask(c.AuthCodeURL("x", opt("prompt", "none")), ""); q.Get("error") != "login_required" {
		t.Errorf("without a session prompt=none brings %v", q)
	}
	if _, q := h.ask(c.AuthCodeURL("x", opt("prompt", "none")), annaSession); q.Get("code") == "" {
		t.Errorf("with a session prompt=none brings %v", q)
	}
	a, q := h.ask(c.AuthCodeURL("x"), "")
	if !strings.HasPrefix(a.Redirect, "/login?") || !strings.HasPrefix(q.Get("return"), Path+PathAuthorize+"?") || q.Get("reauthenticate") != "" {
		t.Errorf("without a session the browser goes to %s", a.Redirect)
	}
	// She must sign in again; the old session does not do, a fresh one does.
	for _, how := range []oauth2.AuthCodeOption{opt("prompt", "login"), opt("max_age", "30")} {
		a, q := h.ask(c.AuthCodeURL("x", how), annaSession)
		if !strings.HasPrefix(a.Redirect, "/login?") || q.Get("reauthenticate") != "1" {
			t.Fatalf("the browser goes to %s", a.Redirect)
		}
		again := q.Get("return")
		if a, _ := h.ask(again, annaSession); !strings.HasPrefix(a.Redirect, "/login?") {
			t.Errorf("the old session does: %s", a.Redirect)
		}
		h.clock.move(time.Second)
		fresh := h.people.sessions[annaSession]
		fresh.CreatedAt = h.clock.now()
		h.people.sessions["ses_fresh"] = fresh
		if _, q := h.ask(again, "ses_fresh"); q.Get("code") == "" {
			t.Errorf("the fresh session does not: %v", q)
		}
	}
	h.people.sessions[annaSession].Principal.Pending = identity.PendingPassword
	if a, _ := h.ask(c.AuthCodeURL("x"), annaSession); !strings.HasPrefix(a.Redirect, "/login?") {
		t.Errorf("who must change the password goes to %s", a.Redirect)
	}
}

func TestConsent(t *testing.T) {
	h := newHouse(t)
	cl := grafana()
	cl.Consent = true
	id, secret := h.application(cl)
	c, _ := h.config(id, secret)
	address := c.AuthCodeURL("x<script>")
	a, _ := h.ask(address, annaSession)
	if a.Status != 200 || a.FormTarget != "https://grafana.example" || strings.Contains(string(a.Page), "<script") || !strings.Contains(string(a.Page), "Dashboards") {
		t.Fatalf("the page is %s", a.Page)
	}
	if _, q := h.ask(address+"&prompt=none", annaSession); q.Get("error") != "consent_required" {
		t.Errorf("prompt=none brings %v", q)
	}
	u, _ := url.Parse(address)
	say := func(word, session string) url.Values {
		form := u.Query()
		form.Set("consent", word)
		a, err := h.Consent(t.Context(), form, session, "en")
		if err != nil {
			t.Fatal(err)
		}
		back, _ := url.Parse(a.Redirect)
		return back.Query()
	}
	if q := say("yes", ""); q.Get("code") != "" {
		t.Error("consent without a session brought a code")
	}
	if q := say("no", annaSession); q.Get("error") != "access_denied" {
		t.Errorf("a refusal brings %v", q)
	}
	if q := say("yes", annaSession); q.Get("code") == "" {
		t.Errorf("consent brings %v", q)
	}
	if _, q := h.ask(address, annaSession); q.Get("code") == "" {
		t.Errorf("she is asked again: %v", q)
	}
}

func TestEndSession(t *testing.T) {
	h := newHouse(t)
	id, secret := h.application(grafana())
	c, _ := h.config(id, secret)
	tokens, err := c.Exchange(t.Context(), h.code(c))
	if err != nil {
		t.Fatal(err)
	}
	end := func(q url.Values, session string, confirmed bool) Answer {
		t.Helper()
		a, err := h.EndSession(t.Context(), q, session, confirmed, "en")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	idToken := tokens.Extra("id_token").(string)
	if a := end(url.Values{"id_token_hint": {idToken}, "post_logout_redirect_uri": {"https://evil.example/"}}, annaSession, false); a.Status != 400 {
		t.Errorf("a foreign address after the logout is answered by %+v", a)
	}
	if a := end(url.Values{"id_token_hint": {idToken[:len(idToken)-8] + "AAAAAAAA"}}, annaSession, false); a.Status != 400 {
		t.Errorf("a forged hint is answered by %+v", a)
	}
	if a := end(url.Values{}, annaSession, false); a.Status != 200 || !strings.Contains(string(a.Page), "anna") {
		t.Errorf("without a hint the user is not asked: %+v", a)
	}
	if _, ok := h.people.sessions[annaSession]; !ok {
		t.Fatal("the session is over too early")
	}
	// An ID token that is over is still good for this.
	h.clock.move(time.Hour)
	a := end(url.Values{"id_token_hint": {idToken}, "post_logout_redirect_uri": {"https://grafana.example/login"}, "state": {"s"}}, annaSession, false)
	if a.Redirect != "https://grafana.example/login?state=s" || !a.SignedOut {
		t.Errorf("the browser goes to %+v", a)
	}
	if _, ok := h.people.sessions[annaSession]; ok {
		t.Error("the session goes on")
	}
	status, doc := h.post(PathToken, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.RefreshToken}}, id, secret)
	h.refused(status, doc, "invalid_grant", "")
}

func TestRevocation(t *testing.T) {
	h := newHouse(t)
	id, secret := h.application(grafana())
	other, otherSecret := h.application(grafana())
	c, _ := h.config(id, secret)
	tokens, err := c.Exchange(t.Context(), h.code(c))
	if err != nil {
		t.Fatal(err)
	}
	if h.active(tokens.AccessToken, other, otherSecret) {
		t.Error("another client learns of the token")
	}
	if status, _ := h.post(PathRevoke, url.Values{"token": {tokens.AccessToken}}, other, otherSecret); status != 200 || !h.active(tokens.AccessToken, id, secret) {
		t.Errorf("another client revoked the token, or was told: %d", status)
	}
	if status, _ := h.post(PathRevoke, url.Values{"token": {tokens.AccessToken}}, id, secret); status != 200 || h.active(tokens.AccessToken, id, secret) {
		t.Errorf("the access token goes on: %d", status)
	}
	if !h.active(tokens.RefreshToken, id, secret) {
		t.Error("the refresh token went with it")
	}
	if status, _ := h.post(PathRevoke, url.Values{"token": {tokens.RefreshToken}, "token_type_hint": {"access_token"}}, id, secret); status != 200 || h.active(tokens.RefreshToken, id, secret) {
		t.Errorf("the refresh token goes on: %d", status)
	}
	if status, doc := h.post(PathIntrospect, url.Values{"token": {"x"}}, id, "wrong"); status != 401 {
		t.Errorf("introspection with a wrong secret: %d %v", status, doc)
	}
}

func TestKeysRotate(t *testing.T) {
	h := newHouse(t)
	id, secret := h.application(grafana())
	c, _ := h.config(id, secret)
	tokens, err := c.Exchange(t.Context(), h.code(c))
	if err != nil {
		t.Fatal(err)
	}
	raw := tokens.Extra("id_token").(string)
	check := func(name, raw string, want bool) {
		t.Helper()
		// A fresh key set each time: what the provider publishes now.
		v := oidc.NewVerifier(h.Issuer, oidc.NewRemoteKeySet(t.Context(), h.Issuer+PathKeys), &oidc.Config{ClientID: id, SkipExpiryCheck: true})
		if _, err := v.Verify(t.Context(), raw); (err == nil) != want {
			t.Errorf("%s: %v, want good %t", name, err, want)
		}
	}
	check("before", raw, true)
	if err := h.RotateKey(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if list := h.SigningKeys(); len(list) != 2 || !list[0].Current || list[1].Current || list[1].PublishedUntil == nil {
		t.Errorf("the keys are %+v", list)
	}
	check("in the overlap", raw, true)
	// Another life reads both from SQL, where they are sealed.
	h.open()
	check("after a start", raw, true)
	var stored string
	if err := h.db.QueryRowContext(t.Context(), "SELECT private FROM provider_signing_keys LIMIT 1").Scan(&stored); err != nil || !strings.HasPrefix(stored, "iw1.") {
		t.Errorf("the key is stored as %.20q, %v", stored, err)
	}
	h.clock.move(8 * 24 * time.Hour)
	if err := h.renewKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after the overlap", raw, false)
	// By schedule.
	was := h.SigningKeys()[0].ID
	h.clock.move(83 * 24 * time.Hour)
	if err := h.renewKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := h.SigningKeys(); list[0].ID == was || len(list) != 2 {
		t.Errorf("the schedule brought %+v", list)
	}
	// For a leak.
	if err := h.RotateKey(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if list := h.SigningKeys(); len(list) != 1 {
		t.Errorf("withdrawn keys are left: %+v", list)
	}
}

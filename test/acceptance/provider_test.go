package acceptance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmespath/go-jmespath"
	"golang.org/x/oauth2"

	"icewatch/soc/client"
	"icewatch/test/peers"
)

// dashboard is a client as Grafana's generic_oauth is one, configured by the
// very snippet of docs/oidc-provider.md: state and PKCE in cookies, the secret
// in whichever way the provider takes, claims from the ID token and then from
// userinfo, the role by the JMESPath expression, refresh tokens, and the ID
// token as hint at the logout.
type dashboard struct {
	t    *testing.T
	cfg  map[string]string
	url  string
	auth *oauth2.Config

	mu      sync.Mutex
	tokens  *oauth2.Token
	user    string
	role    string
	lastURL string // of the authorization request
	code    string
}

// documented reads the snippet that the documentation gives people.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/oidc-provider.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "[auth.generic_oauth]\n")
	snippet, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the documentation has no [auth.generic_oauth]")
	}
	cfg := map[string]string{}
	for line := range strings.Lines(snippet) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
			cfg[k] = v
		}
	}
	return cfg
}

// newDashboard starts one. Its client is registered afterwards, by register.
func newDashboard(t *testing.T, s *suite) *dashboard {
	t.Helper()
	d := &dashboard{t: t, cfg: documented(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("/login/generic_oauth", d.login)
	mux.HandleFunc("/logout", d.logout)
	mux.HandleFunc("/login", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "signed out") })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	d.url = server.URL
	for k, v := range d.cfg {
		v = strings.ReplaceAll(v, "https://soc.example.gov.cn", s.url)
		d.cfg[k] = strings.ReplaceAll(v, url.QueryEscape("https://grafana.example.gov.cn"), url.QueryEscape(d.url))
	}
	return d
}

// use gives the dashboard its client.
func (d *dashboard) use(id, secret string) {
	d.auth = &oauth2.Config{ClientID: id, ClientSecret: secret, RedirectURL: d.url + "/login/generic_oauth", Scopes: strings.Fields(d.cfg["scopes"]),
		Endpoint: oauth2.Endpoint{AuthURL: d.cfg["auth_url"], TokenURL: d.cfg["token_url"]}}
}

func (d *dashboard) login(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := r.URL.Query()
	if e := q.Get("error"); e != "" {
		http.Error(w, e+": "+q.Get("error_description"), http.StatusForbidden)
		return
	}
	if q.Get("code") == "" {
		verifier, state := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
		http.SetCookie(w, &http.Cookie{Name: "oauth_state", Value: state, Path: "/", HttpOnly: true})
		http.SetCookie(w, &http.Cookie{Name: "oauth_code_verifier", Value: verifier, Path: "/", HttpOnly: true})
		d.lastURL = d.auth.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))
		http.Redirect(w, r, d.lastURL, http.StatusFound)
		return
	}
	state, err := r.Cookie("oauth_state")
	verifier, err2 := r.Cookie("oauth_code_verifier")
	if err != nil || err2 != nil || state.Value != q.Get("state") {
		http.Error(w, "the state does not match", http.StatusBadRequest)
		return
	}
	d.code = q.Get("code")
	d.tokens, err = d.auth.Exchange(r.Context(), d.code, oauth2.VerifierOption(verifier.Value))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if d.user, d.role, err = d.profile(d.tokens); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "user=%s role=%s", d.user, d.role)
}

// profile reads who it is and which role that brings, as Grafana does.
func (d *dashboard) profile(t *oauth2.Token) (user, role string, err error) {
	parts := strings.Split(t.Extra("id_token").(string), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", "", err
	}
	resp, err := d.auth.Client(context.Background(), t).Get(d.cfg["api_url"])
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	info, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		return "", "", fmt.Errorf("userinfo: %d %s %v", resp.StatusCode, info, err)
	}
	search := func(expression string) string {
		for _, doc := range [][]byte{payload, info} {
			var claims any
			if json.Unmarshal(doc, &claims) != nil {
				continue
			}
			found, err := jmespath.Search(expression, claims)
			if s, ok := found.(string); err == nil && ok && s != "" {
				return s
			}
		}
		return ""
	}
	user, role = search(d.cfg["login_attribute_path"]), search(d.cfg["role_attribute_path"])
	if search(d.cfg["email_attribute_path"]) == "" || search(d.cfg["name_attribute_path"]) == "" || user == "" || role == "" {
		return "", "", fmt.Errorf("something is missing in %s and %s", payload, info)
	}
	return user, role, nil
}

func (d *dashboard) logout(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u, _ := url.Parse(d.cfg["signout_redirect_url"])
	q := u.Query()
	q.Set("id_token_hint", d.tokens.Extra("id_token").(string))
	u.RawQuery = q.Encode()
	http.Redirect(w, r, u.String(), http.StatusFound)
}

// refresh asks for new tokens, as Grafana does when they are over.
func (d *dashboard) refresh() (*oauth2.Token, error) {
	return d.auth.TokenSource(context.Background(), &oauth2.Token{RefreshToken: d.tokens.RefreshToken}).Token()
}

// application adds an open application for the roles and returns its client's
// id and secret.
func (s *suite) application(name string, roles []string, oidcClient map[string]any) (id, secret string) {
	s.t.Helper()
	ctx := context.Background()
	do := func(method, path string, in, out any) {
		s.t.Helper()
		if err := s.admin.JSON(ctx, method, "/api/v1/applications"+path, nil, in, out); err != nil {
			s.t.Fatalf("%s /applications%s: %v", method, path, err)
		}
	}
	var app struct {
		ID   string `json:"id"`
		Open bool   `json:"open"`
	}
	do("POST", "", map[string]any{"name": map[string]string{"zh": name}, "url": "https://grafana.example.gov.cn/"}, &app)
	if app.Open {
		s.t.Error("a new application is open")
	}
	do("PUT", "/"+app.ID+"/audience", map[string]any{"everyone": len(roles) == 0, "roles": append([]string{}, roles...), "groups": []string{}, "users": []string{}}, nil)
	for _, field := range []string{"redirect_uris", "post_logout_redirect_uris", "grant_types", "scopes"} {
		if oidcClient[field] == nil {
			oidcClient[field] = []string{}
		}
	}
	if oidcClient["consent"] == nil {
		oidcClient["consent"] = false
	}
	do("PUT", "/"+app.ID+"/client", oidcClient, nil)
	if oidcClient["auth_method"] == "client_secret_basic" {
		var fresh struct {
			ClientSecret string `json:"client_secret"`
		}
		do("POST", "/"+app.ID+"/secret", nil, &fresh)
		secret = fresh.ClientSecret
	}
	do("POST", "/"+app.ID+"/open", nil, nil)
	return app.ID, secret
}

func grafanaClient(redirect, after string) map[string]any {
	return map[string]any{"type": "confidential", "auth_method": "client_secret_basic", "redirect_uris": []string{redirect}, "post_logout_redirect_uris": []string{after},
		"grant_types": []string{"authorization_code", "refresh_token"}, "scopes": []string{"openid", "profile", "email", "groups", "roles", "offline_access"}}
}

// person makes a user who has changed the first password, and returns the id.
func (s *suite) person(name, role string) (id string) {
	s.t.Helper()
	ctx := context.Background()
	var u struct {
		ID string `json:"id"`
	}
	in := map[string]any{"username": name, "password": "First-Word-2026-x", "roles": []string{role}, "tenants": []string{"*"}}
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/users", nil, in, &u); err != nil {
		s.t.Fatal(err)
	}
	sess, err := s.admin.Login(ctx, name, "First-Word-2026-x")
	if err != nil {
		s.t.Fatal(err)
	}
	change := map[string]string{"current": "First-Word-2026-x", "new": "Own-Word-2026-" + name}
	if err := s.admin.With(sess.Token, "").JSON(ctx, http.MethodPost, "/api/v1/me/password", nil, change, nil); err != nil {
		s.t.Fatal(err)
	}
	return u.ID
}

// surfer is a person at a browser: it keeps cookies, follows redirects and
// signs in where the console's sign-in page comes up, as the page itself does.
type surfer struct {
	t              *testing.T
	s              *suite
	http           *http.Client
	name, password string
	signIns        int
}

func (s *suite) surfer(name, password string) *surfer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &surfer{t: s.t, s: s, name: name, password: password, http: &http.Client{Jar: jar, Timeout: time.Minute}}
}

// open opens a page and returns where the browser ends up.
func (b *surfer) open(address string) (at *url.URL, status int, text string) {
	b.t.Helper()
	for range 3 {
		req, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html,application/xhtml+xml")
		resp, err := b.http.Do(req)
		if err != nil {
			b.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		at = resp.Request.URL
		back := at.Query().Get("return")
		if !strings.HasPrefix(at.String(), b.s.url+"/login?") || back == "" {
			return at, resp.StatusCode, string(body)
		}
		if !strings.HasPrefix(back, "/oidc/") {
			b.t.Fatalf("the way back is %s", back)
		}
		b.signIns++
		b.signIn()
		address = b.s.url + back
	}
	b.t.Fatal("it asks to sign in for ever")
	return nil, 0, ""
}

func (b *surfer) signIn() {
	b.t.Helper()
	in, _ := json.Marshal(map[string]string{"username": b.name, "password": b.password})
	req, _ := http.NewRequest(http.MethodPost, b.s.url+"/api/v1/auth/login", strings.NewReader(string(in)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", b.s.url)
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		body, _ := io.ReadAll(resp.Body)
		b.t.Fatalf("sign-in as %s: %d %s", b.name, resp.StatusCode, body)
	}
}

// token posts to the token endpoint.
func (s *suite) oidcToken(form url.Values, id, secret string, header ...string) (int, map[string]any) {
	s.t.Helper()
	req, _ := http.NewRequest(http.MethodPost, s.url+"/oidc/token", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.SetBasicAuth(id, secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	doc := map[string]any{}
	_ = json.NewDecoder(resp.Body).Decode(&doc)
	return resp.StatusCode, doc
}

// TestProviderSignsGrafanaIn holds the suite's OpenID provider against a client
// as Grafana is one, over the built binary.
func TestProviderSignsGrafanaIn(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	ctx := context.Background()
	d := newDashboard(t, s)
	id, secret := s.application("看板", []string{"admin", "analyst"}, grafanaClient(d.url+"/login/generic_oauth", d.url+"/login"))
	d.use(id, secret)
	linID := s.person("lin", "analyst")
	s.person("guest", "viewer")
	lin := s.surfer("lin", "Own-Word-2026-lin")

	// One sign-in serves: the second application asks for none.
	if _, status, text := lin.open(d.url + "/login/generic_oauth"); status != 200 || text != "user=lin role=Editor" {
		t.Fatalf("lin gets %d %s", status, text)
	}
	first := d.code
	e := newDashboard(t, s)
	id2, secret2 := s.application("另一看板", nil, grafanaClient(e.url+"/login/generic_oauth", e.url+"/login"))
	e.use(id2, secret2)
	if _, status, text := lin.open(e.url + "/login/generic_oauth"); status != 200 || text != "user=lin role=Editor" || lin.signIns != 1 {
		t.Errorf("the second application shows %d %s after %d sign-ins", status, text, lin.signIns)
	}
	if _, status, text := s.surfer("admin", password).open(e.url + "/login/generic_oauth"); status != 200 || text != "user=admin role=Admin" {
		t.Errorf("admin gets %d %s", status, text)
	}
	// Who has none of the roles is sent back with a reason, and has no card.
	guest := s.surfer("guest", "Own-Word-2026-guest")
	if _, status, text := guest.open(d.url + "/login/generic_oauth"); status != 403 || !strings.Contains(text, "access_denied") {
		t.Errorf("guest gets %d %s", status, text)
	}
	if cards := s.cards("guest", "Own-Word-2026-guest"); fmt.Sprint(cards) != fmt.Sprint([]string{id2}) {
		t.Errorf("guest's portal shows %v", cards)
	}

	// lin again, since others came between.
	if _, status, _ := lin.open(d.url + "/login/generic_oauth"); status != 200 || d.user != "lin" {
		t.Fatal("lin cannot come back")
	}
	was := d.tokens
	fresh, err := d.refresh()
	if err != nil {
		t.Fatal(err)
	}
	if user, role, err := d.profile(fresh); err != nil || user != "lin" || role != "Editor" {
		t.Errorf("after the refresh: %s %s %v", user, role, err)
	}
	// Mixed-up clients: the one's code and refresh token are worth nothing to
	// the other.
	if status, doc := s.oidcToken(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {fresh.RefreshToken}}, id2, secret2); status != 400 || doc["error"] != "invalid_grant" {
		t.Errorf("another client's refresh token brings %d %v", status, doc)
	}
	// A refresh token used twice ends the sign-in.
	if status, doc := s.oidcToken(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {was.RefreshToken}}, id, secret); status != 400 || doc["error"] != "invalid_grant" {
		t.Errorf("a refresh token used twice brings %d %v", status, doc)
	}
	if _, _, err := d.profile(fresh); err == nil {
		t.Error("the access token outlived the reuse of its refresh token")
	}

	t.Run("wrong requests", func(t *testing.T) {
		good, _ := url.Parse(d.lastURL)
		with := func(k, v string) string {
			q := good.Query()
			q.Set(k, v)
			return d.cfg["auth_url"] + "?" + q.Encode()
		}
		at, status, text := lin.open(with("redirect_uri", "https://evil.example/take"))
		if at.Host != strings.TrimPrefix(s.url, "http://") || status != 400 || !strings.Contains(text, "redirect_uri") {
			t.Errorf("a foreign redirect URI leads to %s: %d %s", at, status, text)
		}
		if _, status, text := lin.open(with("client_id", id2)); status != 400 || !strings.Contains(text, "redirect_uri") {
			t.Errorf("another client's redirect URI: %d %s", status, text)
		}
		if _, status, text := lin.open(with("code_challenge_method", "plain")); status != 403 || !strings.Contains(text, "S256") {
			t.Errorf("plain PKCE: %d %s", status, text)
		}
		form := url.Values{"grant_type": {"authorization_code"}, "code": {first}, "redirect_uri": {d.auth.RedirectURL}, "code_verifier": {oauth2.GenerateVerifier()}}
		if status, doc := s.oidcToken(form, id, secret); status != 400 || doc["error"] != "invalid_grant" {
			t.Errorf("a code used before brings %d %v", status, doc)
		}
		if status, doc := s.oidcToken(form, id, secret+"x"); status != 401 || doc["error"] != "invalid_client" {
			t.Errorf("a wrong secret brings %d %v", status, doc)
		}
		if status, _ := s.oidcToken(form, id, secret, "Origin", "https://evil.example"); status != 403 {
			t.Errorf("a foreign page may use the token endpoint: %d", status)
		}
		resp, err := http.Post(s.url+"/oidc/token", "application/x-www-form-urlencoded", strings.NewReader("x="+strings.Repeat("y", 200<<10)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a large body is answered %d", resp.StatusCode)
		}
		if resp, err = http.PostForm(s.url+"/oidc/authorize", good.Query()); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Request.URL.Path != "/login" {
			t.Errorf("an authorization request by POST leads to %s", resp.Request.URL)
		}
	})

	t.Run("disabled user", func(t *testing.T) {
		if _, status, _ := lin.open(d.url + "/login/generic_oauth"); status != 200 {
			t.Fatal("lin cannot come back")
		}
		if err := s.admin.JSON(ctx, http.MethodPatch, "/api/v1/users/"+linID, nil, map[string]bool{"disabled": true}, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.profile(d.tokens); err == nil {
			t.Error("the access token of a disabled user is good")
		}
		if _, err := d.refresh(); err == nil {
			t.Error("the refresh token of a disabled user is good")
		}
		if err := s.admin.JSON(ctx, http.MethodPatch, "/api/v1/users/"+linID, nil, map[string]bool{"disabled": false}, nil); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("logout", func(t *testing.T) {
		if _, status, text := lin.open(d.url + "/login/generic_oauth"); status != 200 {
			t.Fatal(text)
		}
		at, _, text := lin.open(d.url + "/logout")
		if text != "signed out" || at.Host != strings.TrimPrefix(d.url, "http://") {
			t.Errorf("the logout leads to %s: %.200s", at, text)
		}
		if _, _, err := d.profile(d.tokens); err == nil {
			t.Error("the access token outlived the logout")
		}
		before := lin.signIns
		lin.open(d.url + "/login/generic_oauth")
		if lin.signIns != before+1 {
			t.Error("the session at the suite outlived the logout")
		}
	})

	t.Run("closed application", func(t *testing.T) {
		if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/applications/"+id+"/close", nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.profile(d.tokens); err == nil {
			t.Error("an access token of a closed application is good")
		}
		if _, status, text := lin.open(d.url + "/login/generic_oauth"); status != 403 || !strings.Contains(text, "closed") {
			t.Errorf("a closed application: %d %s", status, text)
		}
	})

	// What happened is in the audit log.
	for _, want := range []struct{ action, actor, result string }{
		{"application-sign-in", "lin", "ok"}, {"application-sign-in", "guest", "denied"}, {"application-token-reused", "application:" + id, "denied"},
		{"application-sign-out", "lin", "ok"}, {"close-application", "admin", "ok"},
	} {
		var page struct {
			Total int `json:"total"`
		}
		q := url.Values{"action": {want.action}, "actor": {want.actor}, "result": {want.result}}
		if err := s.admin.Get(ctx, "/api/v1/audit", q, &page); err != nil || page.Total == 0 {
			t.Errorf("the audit log has no %+v: %v", want, err)
		}
	}
}

// cards lists the ids of the cards that a person's portal shows.
func (s *suite) cards(name, password string) []string {
	s.t.Helper()
	sess, err := s.admin.Login(context.Background(), name, password)
	if err != nil {
		s.t.Fatal(err)
	}
	var page struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if err := s.admin.With(sess.Token, "").Get(context.Background(), "/api/v1/applications", nil, &page); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, c := range page.Items {
		out = append(out, c.ID)
	}
	return out
}

// TestProviderInABrowser signs in with real Chromium at an application of
// another site, from where the session's cookie is not sent along.
func TestProviderInABrowser(t *testing.T) {
	t.Parallel()
	node, chromium := peer(t, "node"), headless(t)
	dir, err := filepath.Abs("../../soc/console")
	if err != nil {
		t.Fatal(err)
	}
	for _, needed := range []string{"node_modules/playwright-core", "dist/index.html"} {
		if _, err := os.Stat(filepath.Join(dir, needed)); err != nil {
			missing(t, needed+" is not there: run make console")
		}
	}
	s := newSuite(t, "")
	d := newDashboard(t, s)
	// To a browser localhost is another site than 127.0.0.1, where the suite is.
	numbers, name := url.QueryEscape(d.url), strings.Replace(d.url, "127.0.0.1", "localhost", 1)
	d.cfg["signout_redirect_url"] = strings.Replace(d.cfg["signout_redirect_url"], numbers, url.QueryEscape(name), 1)
	d.url = name
	c := grafanaClient(d.url+"/login/generic_oauth", d.url+"/login")
	c["consent"] = true
	d.use(s.application("看板", nil, c))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec", "e2e/provider.test.mjs")
	cmd.WaitDelay = 5 * time.Second // the browser holds the output open
	cmd.Dir = dir
	cmd.Env = append(cleanEnv(), "START="+d.url+"/login/generic_oauth", "LOGOUT="+d.url+"/logout", "WANT=user=admin role=Admin",
		"ICEWATCH_USERNAME=admin", "ICEWATCH_PASSWORD="+password, "CHROMIUM="+chromium, "HOME="+s.dir, "WAIT_MS=20000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestProviderSignsApacheIn holds the provider against mod_auth_openidc, a
// relying party that OpenID certified: discovery, keys, ID token, userinfo.
func TestProviderSignsApacheIn(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	s.person("lin", "analyst")
	port := peers.FreePort(t)
	id, secret := s.application("Apache", nil, grafanaClient("http://127.0.0.1:"+port+peers.ApacheCallback, "http://127.0.0.1:"+port+"/"))
	a := peers.StartApache(t, port, s.url+"/oidc/.well-known/openid-configuration", id, secret, "admin")
	lin := s.surfer("lin", "Own-Word-2026-lin")
	if _, status, text := lin.open(a.URL + "/protected/"); status != 200 || !strings.Contains(text, "user=lin name=lin roles=analyst") {
		t.Errorf("lin gets %d %s", status, text)
	}
	if _, status, _ := lin.open(a.URL + "/protected/role/"); status != 401 && status != 403 {
		t.Errorf("what is for administrators is shown to lin: %d", status)
	}
	if _, status, text := s.surfer("admin", password).open(a.URL + "/protected/role/"); status != 200 || !strings.Contains(text, "user=admin") {
		t.Errorf("admin gets %d %s", status, text)
	}
	// Keys that nobody has seen yet are fetched when they are met.
	if err := s.admin.JSON(context.Background(), http.MethodPost, "/api/v1/provider/keys/rotate", nil, map[string]bool{"withdraw": true}, nil); err != nil {
		t.Fatal(err)
	}
	if _, status, text := s.surfer("lin", "Own-Word-2026-lin").open(a.URL + "/protected/"); status != 200 || !strings.Contains(text, "user=lin") {
		t.Errorf("after the keys were changed lin gets %d %s", status, text)
	}
}

// TestApplicationCallsTheAPI gives an application a token of its own.
func TestApplicationCallsTheAPI(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "security:\n  egress:\n    allow: [127.0.0.0/8]\n")
	ctx := context.Background()
	id, secret := s.application("模块", nil, map[string]any{"type": "confidential", "auth_method": "client_secret_basic", "grant_types": []string{"client_credentials"}})
	grant := url.Values{"grant_type": {"client_credentials"}}
	if status, doc := s.oidcToken(grant, id, secret); status != 400 || doc["error"] != "unauthorized_client" {
		t.Errorf("without permissions it gets %d %v", status, doc)
	}
	permit := func(operations ...string) error {
		return s.admin.JSON(ctx, http.MethodPut, "/api/v1/applications/"+id+"/permissions", nil, map[string]any{"operations": operations, "tenants": []string{"*"}}, nil)
	}
	if err := permit("list-alerts", "no-such-thing"); client.Status(err) != http.StatusUnprocessableEntity {
		t.Errorf("an unknown operation: %v", err)
	}
	if err := permit("list-alerts"); err != nil {
		t.Fatal(err)
	}
	status, doc := s.oidcToken(grant, id, secret)
	if status != 200 || doc["refresh_token"] != nil || doc["id_token"] != nil {
		t.Fatalf("%d %v", status, doc)
	}
	module := s.admin.With(doc["access_token"].(string), "")
	if err := module.Get(ctx, "/api/v1/alerts", nil, nil); err != nil {
		t.Errorf("what it may call: %v", err)
	}
	for _, path := range []string{"/api/v1/users", "/api/v1/incidents", "/api/v1/audit", "/api/v1/applications/all", "/metrics"} {
		if err := module.Get(ctx, path, nil, nil); client.Status(err) != http.StatusForbidden {
			t.Errorf("%s: %v", path, err)
		}
	}
	if status, doc := s.oidcToken(grant, id, secret); status != 200 || doc["access_token"] == nil {
		t.Errorf("a second token: %d %v", status, doc)
	}

	// Menus: the module asks for one of its users.
	menu := func(key, kind string, roles []string, children ...any) map[string]any {
		return map[string]any{"key": key, "title": map[string]string{"zh": key}, "path": "/" + key, "kind": kind, "roles": append([]string{}, roles...), "children": append([]any{}, children...)}
	}
	tree := map[string]any{"items": []any{menu("cases", "menu", nil, menu("delete", "button", []string{"admin"}), menu("comment", "button", []string{"analyst"})), menu("settings", "menu", []string{"admin"})}}
	if err := s.admin.JSON(ctx, http.MethodPut, "/api/v1/applications/"+id+"/menus/all", nil, tree, nil); err != nil {
		t.Fatal(err)
	}
	lin := s.person("lin", "analyst")
	var menus struct {
		Items []struct {
			Key      string `json:"key"`
			Children []struct {
				Key string `json:"key"`
			} `json:"children"`
		} `json:"items"`
	}
	if err := module.Get(ctx, "/api/v1/applications/"+id+"/menus", url.Values{"user": {lin}}, &menus); err != nil {
		t.Fatal(err)
	}
	if len(menus.Items) != 1 || menus.Items[0].Key != "cases" || len(menus.Items[0].Children) != 1 || menus.Items[0].Children[0].Key != "comment" {
		t.Errorf("lin's menus are %+v", menus.Items)
	}

	// Its version is fetched from itself.
	teller := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"database":"ok","version":"11.2.0"}`) }))
	defer teller.Close()
	if err := s.admin.JSON(ctx, http.MethodPatch, "/api/v1/applications/"+id, nil, map[string]string{"version_url": teller.URL + "/api/health"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.admin.JSON(ctx, http.MethodPatch, "/api/v1/applications/"+id, nil, map[string]string{"version_url": "http://169.254.169.254/"}, nil); client.Status(err) != http.StatusUnprocessableEntity {
		t.Errorf("a version from the metadata address: %v", err)
	}
	var versions struct {
		Items []struct{ ID, Version, Source string } `json:"items"`
	}
	if err := s.admin.Get(ctx, "/api/v1/applications/versions", nil, &versions); err != nil || len(versions.Items) != 1 || versions.Items[0].Version != "11.2.0" || versions.Items[0].Source != "fetched" {
		t.Errorf("the versions are %+v, %v", versions.Items, err)
	}

	// What it may call can be taken away, and so can everything: at once.
	if err := permit("list-incidents"); err != nil {
		t.Fatal(err)
	}
	if err := module.Get(ctx, "/api/v1/alerts", nil, nil); client.Status(err) != http.StatusForbidden {
		t.Errorf("after the permission was taken away: %v", err)
	}
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/applications/delete", nil, map[string]any{"ids": []string{id, "app_none"}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := module.Get(ctx, "/api/v1/incidents", nil, nil); client.Status(err) != http.StatusUnauthorized {
		t.Errorf("after the application was deleted: %v", err)
	}
}

// TestProviderNeedsAnAddress: on all addresses at once nobody can say what the
// provider is called, and a Host header must not.
func TestProviderNeedsAnAddress(t *testing.T) {
	t.Parallel()
	s := prepare(t, "")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.url, "http://"))
	text = []byte(strings.Replace(string(text), "listen: 127.0.0.1:"+port, "insecure: true\n  listen: 0.0.0.0:"+port, 1))
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	resp, err := http.Get(s.url + "/oidc/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "http.external_url") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

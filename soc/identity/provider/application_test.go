package provider

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"icewatch/soc/egress"
	"icewatch/soc/identity"
	"icewatch/soc/identity/policy"
)

func TestCheckRedirect(t *testing.T) {
	for raw, good := range map[string]bool{
		"https://grafana.example/login/generic_oauth": true,
		"https://grafana.example:3000/cb?x=1":         true,
		"http://127.0.0.1:3000/cb":                    true,
		"http://[::1]:3000/cb":                        true,
		"http://localhost/cb":                         true,
		"http://grafana.example/cb":                   false,
		"http://10.1.2.3/cb":                          false,
		"http://127.0.0.1.evil.example/cb":            false,
		"http://localhost.evil.example/cb":            false,
		"https://grafana.example/cb#x":                false,
		"https://grafana.example/cb#":                 false,
		"https://*.example/cb":                        false,
		"https://user@grafana.example/cb":             false,
		"https://grafana.example\\@evil.example/":     false,
		"https:///cb":                                 false,
		"//grafana.example/cb":                        false,
		"javascript:alert(1)":                         false,
		"myapp:/cb":                                   false,
		"":                                            false,
	} {
		if err := checkRedirect(raw); (err == nil) != good {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestCheckClient(t *testing.T) {
	good := grafana()
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *Client){
		"unknown type":               func(c *Client) { c.Type = "web" },
		"public with a secret":       func(c *Client) { c.Type = ClientPublic },
		"confidential without proof": func(c *Client) { c.AuthMethod = AuthNone },
		"no grants":                  func(c *Client) { c.GrantTypes = nil },
		"implicit":                   func(c *Client) { c.GrantTypes = append(c.GrantTypes, "implicit") },
		"refresh alone":              func(c *Client) { c.GrantTypes = []string{"refresh_token"} },
		"public for itself": func(c *Client) {
			c.Type, c.AuthMethod, c.GrantTypes = ClientPublic, AuthNone, []string{"client_credentials"}
		},
		"code without redirect": func(c *Client) { c.RedirectURIs = nil },
		"code without openid":   func(c *Client) { c.Scopes = []string{"profile"} },
		"unknown scope":         func(c *Client) { c.Scopes = append(c.Scopes, "admin") },
		"foreign logout":        func(c *Client) { c.PostLogoutRedirectURIs = []string{"http://x.example/"} },
		"none with a redirect":  func(c *Client) { c.Type, c.AuthMethod = ClientNone, AuthNone },
	} {
		c := grafana()
		c.GrantTypes, c.Scopes = slices.Clone(c.GrantTypes), slices.Clone(c.Scopes)
		change(&c)
		if err := c.check(); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckMenus(t *testing.T) {
	entry := func(key, kind string, children ...Menu) Menu {
		return Menu{Key: key, Kind: kind, Title: Text{ZH: key}, Path: "/" + key, Children: children}
	}
	deep := entry("d0", "menu")
	for i := range maxDepth {
		deep = entry(fmt.Sprintf("d%d", i+1), "menu", deep)
	}
	for name, list := range map[string][]Menu{
		"twice the same key":     {entry("a", "menu", entry("b", "button")), entry("b", "menu")},
		"below a button":         {entry("a", "button", entry("b", "menu"))},
		"unknown kind":           {entry("a", "tab")},
		"no key":                 {entry("", "menu")},
		"key with a blank":       {entry("a b", "menu")},
		"no title":               {{Key: "a", Kind: "menu"}},
		"script for a path":      {{Key: "a", Kind: "menu", Title: Text{EN: "A"}, Path: " JavaScript:alert(1)"}},
		"deeper than it may":     {deep},
		"more than there may be": slices.Repeat([]Menu{entry("a", "menu")}, maxMenus+1),
	} {
		n := 0
		if err := checkMenus(list, map[string]bool{}, &n, 1); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tree := []Menu{
		entry("cases", "menu", entry("open", "button"), Menu{Key: "delete", Kind: "button", Roles: []string{"admin"}}),
		{Key: "settings", Kind: "menu", Roles: []string{"admin"}, Children: []Menu{entry("all", "menu")}},
	}
	keys := func(list []Menu) string {
		b, _ := json.Marshal(list)
		var out []string
		for _, k := range []string{"cases", "open", "delete", "settings", "all"} {
			if bytes.Contains(b, []byte(`"key":"`+k+`"`)) {
				out = append(out, k)
			}
		}
		return strings.Join(out, " ")
	}
	if got := keys(MenusFor(tree, []string{"viewer"})); got != "cases open" {
		t.Errorf("a viewer gets %s", got)
	}
	if got := keys(MenusFor(tree, []string{"viewer", "admin"})); got != "cases open delete settings all" {
		t.Errorf("an administrator gets %s", got)
	}
}

func TestManageApplications(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	add := func(name, category string, position int) Application {
		a, err := h.Create(ctx, Application{Card: Card{Name: Text{ZH: name}, Category: category, Position: position}}, "admin")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	b, a, c := add("乙", "数据", 2), add("甲", "数据", 1), add("丙", "证照", 2)
	ids := func(list []Application) (out []string) {
		for _, x := range list {
			out = append(out, x.ID)
		}
		return out
	}
	if got := ids(h.List(Filter{})); !slices.Equal(got, []string{a.ID, c.ID, b.ID}) {
		t.Errorf("the order is %v", got) // by position, then by the name's code points
	}
	if got := ids(h.List(Filter{Text: "乙"})); !slices.Equal(got, []string{b.ID}) {
		t.Errorf("the search found %v", got)
	}
	if got := ids(h.List(Filter{Category: "证照"})); !slices.Equal(got, []string{c.ID}) {
		t.Errorf("the category has %v", got)
	}
	yes := true
	if _, err := h.Update(ctx, b.ID, Change{Open: &yes}); err != nil {
		t.Fatal(err)
	}
	if got := ids(h.List(Filter{Open: &yes})); !slices.Equal(got, []string{b.ID}) {
		t.Errorf("open are %v", got)
	}
	if _, err := h.Create(ctx, Application{}, "admin"); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("without a name: %v", err)
	}
	bad := "javascript:alert(1)"
	if _, err := h.Update(ctx, a.ID, Change{URL: &bad}); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a script for an address: %v", err)
	}
	if _, err := h.Update(ctx, "app_none", Change{}); !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("an application that does not exist: %v", err)
	}
	if _, err := h.NewSecret(ctx, a.ID); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a secret for no client: %v", err)
	}

	// An icon is an image, and nothing but one.
	var icon bytes.Buffer
	if err := png.Encode(&icon, image.NewGray(image.Rect(0, 0, 64, 64))); err != nil {
		t.Fatal(err)
	}
	if err := h.SetIcon(ctx, a.ID, icon.Bytes()); err != nil {
		t.Fatal(err)
	}
	if data, kind, err := h.Icon(ctx, a.ID); err != nil || kind != "image/png" || !bytes.Equal(data, icon.Bytes()) {
		t.Errorf("the icon is %d bytes of %s, %v", len(data), kind, err)
	}
	var wide bytes.Buffer
	if err := png.Encode(&wide, image.NewGray(image.Rect(0, 0, maxIconSide+1, 1))); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"a page": []byte("<svg onload=alert(1)>"), "too wide": wide.Bytes(), "nothing": {}} {
		if err := h.SetIcon(ctx, a.ID, data); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := h.SetIcon(ctx, a.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Icon(ctx, a.ID); !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("the icon is still there: %v", err)
	}

	// Another life knows the same.
	before := h.List(Filter{})
	h.open()
	if after := h.List(Filter{}); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("after a start\n%+v, before\n%+v", after, before)
	}
	deleted, missing, err := h.Delete(ctx, []string{a.ID, "app_none", b.ID, a.ID})
	if err != nil || !slices.Equal(deleted, []string{a.ID, b.ID}) || !slices.Equal(missing, []string{"app_none"}) {
		t.Errorf("deleted %v, missing %v, %v", deleted, missing, err)
	}
	if got := ids(h.List(Filter{})); !slices.Equal(got, []string{c.ID}) {
		t.Errorf("left are %v", got)
	}
}

func TestOwnToken(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	id, secret := h.application(Client{Type: ClientConfidential, AuthMethod: AuthBasic, GrantTypes: []string{"client_credentials"}})
	grant := url.Values{"grant_type": {"client_credentials"}}
	status, doc := h.post(PathToken, grant, id, secret)
	h.refused(status, doc, "unauthorized_client", "permissions")
	p := Permissions{Operations: []string{"list-alerts"}, Tenants: []string{"e-seal"}}
	if _, err := h.Update(ctx, id, Change{Permissions: &p}); err != nil {
		t.Fatal(err)
	}
	status, doc = h.post(PathToken, grant, id, secret)
	if status != 200 {
		t.Fatalf("%d %v", status, doc)
	}
	access := doc["access_token"].(string)
	who, expires, err := h.ApplicationToken(ctx, identity.HashSecret(access))
	if err != nil || who.UserID != id || who.Via != identity.ViaApplication || who.AllTenants || !slices.Equal(who.Tenants, p.Tenants) ||
		len(who.Roles) > 0 || !expires.After(h.clock.now()) {
		t.Errorf("%+v until %s, %v", who, expires, err)
	}
	engine := policy.New()
	if err := engine.SetData(ctx, policy.Data{Operations: []policy.Operation{{ID: "list-alerts", Scope: "read"}, {ID: "list-incidents", Scope: "read"}}}); err != nil {
		t.Fatal(err)
	}
	for operation, may := range map[string]bool{"list-alerts": true, "list-incidents": false} {
		d, err := engine.Decide(ctx, policy.Request{Subject: who.Subject, Operation: operation, Everywhere: who.AllTenants, Time: h.clock.now()})
		if err != nil || d.Allow != may {
			t.Errorf("%s: %+v, %v", operation, d, err)
		}
	}
	if !h.active(access, id, secret) {
		t.Error("it is not active")
	}
	if status, _ := h.userinfo(access); status != 401 {
		t.Errorf("userinfo of an application answers %d", status)
	}
	// A user's token is not the application's: the API must not take it.
	gid, gsecret := h.application(grafana())
	c, _ := h.config(gid, gsecret)
	tokens, err := c.Exchange(ctx, h.code(c))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.ApplicationToken(ctx, identity.HashSecret(tokens.AccessToken)); !errors.Is(err, identity.ErrUnauthenticated) {
		t.Errorf("a user's token passes for the application: %v", err)
	}
	h.people.forgotten = nil
	if err := h.endTokens(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.ApplicationToken(ctx, identity.HashSecret(access)); !errors.Is(err, identity.ErrUnauthenticated) || !slices.Contains(h.people.forgotten, id) {
		t.Errorf("an ended token: %v, forgotten %v", err, h.people.forgotten)
	}
	status, doc = h.post(PathToken, grant, gid, gsecret)
	h.refused(status, doc, "unauthorized_client", "client_credentials")
}

// TestPrivateKeyJWT lets an application prove itself by its own key, and keys
// overlap when they are changed.
func TestPrivateKeyJWT(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	id, _ := h.application(Client{Type: ClientConfidential, AuthMethod: AuthKey, GrantTypes: []string{"client_credentials"}})
	if _, err := h.Update(ctx, id, Change{Permissions: &Permissions{Operations: []string{"list-alerts"}}}); err != nil {
		t.Fatal(err)
	}
	type pair struct {
		key Key
		crypto.Signer
	}
	make := func(alg string, overlap time.Duration) pair {
		made, err := h.AddKey(ctx, id, NewKey{Generate: alg, Overlap: overlap})
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(made.PrivateKey))
		k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return pair{made.Key, k.(crypto.Signer)}
	}
	n := 0
	claims := func() jwt.Claims {
		n++
		return jwt.Claims{Issuer: id, Subject: id, Audience: jwt.Audience{h.Issuer}, ID: fmt.Sprint("jti", n),
			IssuedAt: jwt.NewNumericDate(h.clock.now()), Expiry: jwt.NewNumericDate(h.clock.now().Add(time.Minute))}
	}
	ask := func(p pair, c jwt.Claims) (int, map[string]any) {
		t.Helper()
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.key.Algorithm), Key: jose.JSONWebKey{Key: p.Signer, KeyID: p.key.ID}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jwt.Signed(signer).Claims(c).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return h.post(PathToken, url.Values{"grant_type": {"client_credentials"}, "client_assertion": {raw},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}, "", "")
	}
	es := make("ES256", 0)
	if es.key.Subject == "" || es.key.NotAfter == nil || len(es.key.Fingerprint) != 64 {
		t.Errorf("the key is %+v", es.key)
	}
	c := claims()
	if status, doc := ask(es, c); status != 200 {
		t.Fatalf("%d %v", status, doc)
	}
	status, doc := ask(es, c)
	h.refused(status, doc, "invalid_client", "used before")
	for name, change := range map[string]func(c *jwt.Claims){
		"for another":     func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://else.example"} },
		"another's":       func(c *jwt.Claims) { c.Subject = "app_else" },
		"over":            func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(h.clock.now().Add(-time.Second)) },
		"for ever":        func(c *jwt.Claims) { c.Expiry = nil },
		"for too long":    func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(h.clock.now().Add(time.Hour)) },
		"not yet":         func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(h.clock.now().Add(time.Hour)) },
		"without an id":   func(c *jwt.Claims) { c.ID = "" },
		"from a stranger": func(c *jwt.Claims) { c.Issuer = "app_none" },
	} {
		c := claims()
		change(&c)
		status, doc := ask(es, c)
		if status != 401 || doc["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, doc)
		}
	}
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	status, doc = ask(pair{es.key, foreign}, claims())
	h.refused(status, doc, "invalid_client", "no key")

	// The next key; the one before stays good for a day.
	rs := make("RS256", 24*time.Hour)
	for _, p := range []pair{es, rs} {
		if status, doc := ask(p, claims()); status != 200 {
			t.Errorf("%s in the overlap: %d %v", p.key.Algorithm, status, doc)
		}
	}
	h.clock.move(25 * time.Hour)
	if status, _ := ask(es, claims()); status != 401 {
		t.Errorf("the key before, after the overlap: %d", status)
	}
	if status, doc := ask(rs, claims()); status != 200 {
		t.Errorf("the new key, after the overlap: %d %v", status, doc)
	}
	if err := h.DeleteKey(ctx, id, rs.key.ID); err != nil {
		t.Fatal(err)
	}
	if status, _ := ask(rs, claims()); status != 401 {
		t.Errorf("a deleted key: %d", status)
	}
	if err := h.DeleteKey(ctx, id, rs.key.ID); !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("a key that is gone: %v", err)
	}
}

func TestParseKey(t *testing.T) {
	block := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	public := func(k any) string {
		der, err := x509.MarshalPKIXPublicKey(k)
		return block("PUBLIC KEY", der, err)
	}
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	wide, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, _ := ed25519.GenerateKey(rand.Reader)
	secret, err := x509.MarshalPKCS8PrivateKey(ec)
	good := public(ec.Public())
	if k, err := parseKey(good); err != nil || k.Algorithm != "ES256" || k.ID == "" {
		t.Errorf("%+v, %v", k, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no PEM": "hello", "P-384": public(wide.Public()), "short RSA": public(short.Public()), "Ed25519": public(ed),
		"two blocks": good + good, "a private key": block("PRIVATE KEY", secret, err), "a broken certificate": block("CERTIFICATE", []byte("x"), nil),
		"another block": block("CERTIFICATE REQUEST", []byte("x"), nil),
	} {
		if _, err := parseKey(text); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersions(t *testing.T) {
	h := newHouse(t)
	guard, err := egress.New(egress.Options{Allow: []string{"127.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	h.Fetch = guard
	asked := 0
	answer := `{"version":"11.2.0"}`
	teller := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, answer)
	}))
	defer teller.Close()
	list := []Application{
		{Card: Card{ID: "stated", Version: "1.0"}},
		{Card: Card{ID: "unknown"}},
		{Card: Card{ID: "fetched", Version: "0.9"}, VersionURL: teller.URL},
	}
	got := h.Versions(t.Context(), list)
	if got[0].Source != "stated" || got[1].Source != "unknown" || got[2].Source != "fetched" || got[2].Version != "11.2.0" || got[2].FetchedAt == nil {
		t.Errorf("%+v", got)
	}
	h.Versions(t.Context(), list)
	if asked != 1 {
		t.Errorf("it was asked %d times within ten minutes", asked)
	}
	h.clock.move(versionKept)
	answer = `{"version":7}`
	// What was known is not given out as fresh; what was stated remains.
	if got := h.Versions(t.Context(), list); got[2].Version != "0.9" || got[2].Source != "stated" || got[2].Error == "" {
		t.Errorf("%+v", got[2])
	}
	metadata := "http://169.254.169.254/"
	if _, err := h.Create(t.Context(), Application{Card: Card{Name: Text{EN: "x"}}, VersionURL: metadata}, "admin"); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("the metadata address is taken: %v", err)
	}
}

func TestParseVersion(t *testing.T) {
	for body, want := range map[string]string{
		`{"commit":"x","database":"ok","version":"11.2.0"}`: "11.2.0",
		`{"data":{"version":"v2.53.1"}}`:                    "v2.53.1",
		"v1.2.3-rc.1+build7\n":                              "v1.2.3-rc.1+build7",
		`{"version":7,"data":{"version":"3"}}`:              "3",
		`{"version":7}`:                                     "",
		`{"version":""}`:                                    "",
		`{`:                                                 "",
		``:                                                  "",
		`<!doctype html><title>Sign in</title>`:             "",
		strings.Repeat("1", 101):                            "",
		"1\x00":                                             "",
		"\xff":                                              "",
	} {
		got, err := parseVersion([]byte(body))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.60q is %q, %v; want %q", body, got, err, want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add([]byte(`{"version":"11.2.0"}`))
	f.Add([]byte("v1.2.3"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if v, err := parseVersion(body); err == nil && (len(v) == 0 || len(v) > 100 || strings.ContainsAny(v, "<>&\"'\n\x00")) {
			t.Errorf("%q is taken for a version", v)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, _ := x509.MarshalPKIXPublicKey(ec.Public())
	f.Add(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	f.Add("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := parseKey(text); err == nil && (k.ID == "" || k.Algorithm == "" || len(k.Fingerprint) != 64) {
			t.Errorf("%+v", k)
		}
	})
}

// FuzzAuthorize sends requests of any kind: whatever they are, nothing leads
// to an address that is not registered.
func FuzzAuthorize(f *testing.F) {
	h := newHouse(f)
	id, _ := h.application(grafana())
	f.Add("response_type=code&scope=openid&state=x&redirect_uri=" + url.QueryEscape(callback))
	f.Add("response_type=code&scope=openid&redirect_uri=https://evil.example&prompt=none&max_age=1&id_token_hint=a.b.c")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if q.Get("client_id") == "" {
			q.Set("client_id", id)
		}
		a, err := h.Authorize(t.Context(), q, annaSession, "")
		if err != nil {
			t.Fatal(err)
		}
		if a.Redirect != "" && !strings.HasPrefix(a.Redirect, callback+"?") && !strings.HasPrefix(a.Redirect, "/login?") {
			t.Errorf("%q leads to %s", query, a.Redirect)
		}
	})
}

package acceptance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"icewatch/soc/client"
	"icewatch/test/peers"
)

// loopback lets the suite reach peers on the machine of the tests.
const loopback = "security:\n  egress:\n    allow: [127.0.0.0/8]\n"

// call calls the API as a client and returns status and answer.
func call(t *testing.T, c *client.Client, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	path, rawQuery, _ := strings.Cut(path, "?")
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(ctx, method, path, query, http.Header{"Content-Type": {"application/json"}}, reader)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	out := map[string]any{}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, data, err)
		}
	}
	return resp.StatusCode, out
}

// must calls the API and wants a success.
func must(t *testing.T, c *client.Client, method, path string, body any) map[string]any {
	t.Helper()
	status, out := call(t, c, method, path, body)
	if status >= 300 {
		t.Fatalf("%s %s: %d %v", method, path, status, out)
	}
	return out
}

// whoami asks the suite whom a browser is signed in as; nil is nobody.
func whoami(t *testing.T, s *suite, b *peers.Browser) map[string]any {
	t.Helper()
	token := b.Cookie(s.url, "icewatch_session")
	if token == "" {
		return nil
	}
	status, me := call(t, s.admin.With(token, ""), http.MethodGet, "/api/v1/me", nil)
	if status != http.StatusOK {
		return nil
	}
	return me
}

// home tells that a browser is back at the suite's own pages.
func home(s *suite) func(*url.URL) bool {
	return func(u *url.URL) bool {
		return strings.HasPrefix(u.String(), s.url) && !strings.HasPrefix(u.Path, "/api/")
	}
}

// landed is where the browser goes on to: the path, or the word for why not.
func landed(t *testing.T, p peers.Page) (path, reason string) {
	t.Helper()
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return u.Path, u.Query().Get("sso")
}

// signIn goes the whole way in a browser: start, the provider's page, back.
func signIn(t *testing.T, s *suite, b *peers.Browser, start, user, password string) peers.Page {
	t.Helper()
	page := b.Get(s.url+start, home(s))
	if page.Status != http.StatusOK {
		return page
	}
	if form := page.Form(t); form.Fields.Has("password") {
		form.Fields.Set("username", user)
		form.Fields.Set("password", password)
		page = b.Post(page, form, home(s))
	}
	// SAML comes back by a form that the page sends by itself.
	if page.Status == http.StatusOK && strings.Contains(page.Text, "SAMLResponse") {
		page = b.Post(page, page.Form(t), home(s))
	}
	return page
}

// TestKeycloak signs people in at a real Keycloak, by OpenID Connect and by
// SAML 2.0, and tries what must not work.
func TestKeycloak(t *testing.T) {
	t.Parallel()
	kc := peers.StartKeycloak(t)
	kc.User("li.wei", "analysts")
	kc.User("boss", "analysts", "chiefs")
	kc.User("guest")
	s := newSuite(t, loopback)
	kc.Admin(http.MethodPost, "/admin/realms/city/clients", map[string]any{
		"clientId": "icewatch", "secret": "client-secret", "redirectUris": []string{s.url + "/api/v1/auth/oidc/corp/callback"},
		"attributes": map[string]string{"pkce.code.challenge.method": "S256", "post.logout.redirect.uris": s.url + "/login",
			"backchannel.logout.url": s.url + "/api/v1/auth/oidc/corp/backchannel", "backchannel.logout.session.required": "true"},
		"protocolMappers": []map[string]any{{"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper",
			"config": map[string]string{"claim.name": "groups", "full.path": "false", "id.token.claim": "true"}}}}, nil)

	mapping := map[string]any{"create": true, "rules": []map[string]any{
		{"value": "analysts", "roles": []string{"analyst"}, "tenants": []string{"*"}}, {"value": "chiefs", "roles": []string{"viewer"}}}}
	made := must(t, s.admin, http.MethodPost, "/api/v1/identity-providers", map[string]any{
		"id": "corp", "kind": "oidc", "name": map[string]string{"zh": "城市统一身份", "en": "City identity"}, "enabled": true, "base_url": s.url,
		"oidc": map[string]any{"issuer": kc.Realm, "client_id": "icewatch", "client_secret": "client-secret"}, "mapping": mapping})
	if oidc := made["oidc"].(map[string]any); oidc["client_secret"] != nil || oidc["client_secret_set"] != true || oidc["redirect_uri"] != s.url+"/api/v1/auth/oidc/corp/callback" {
		t.Errorf("%v", oidc)
	}
	if test := must(t, s.admin, http.MethodPost, "/api/v1/identity-providers/corp/test", nil); test["ok"] != true {
		t.Errorf("%v", test)
	}
	must(t, s.admin, http.MethodPatch, "/api/v1/identity-providers/corp", map[string]any{"oidc": map[string]any{"client_secret": "wrong"}})
	if test := must(t, s.admin, http.MethodPost, "/api/v1/identity-providers/corp/test", nil); test["ok"] != false || !strings.Contains(fmt.Sprint(test), "does not accept the client") {
		t.Errorf("a wrong secret: %v", test)
	}
	must(t, s.admin, http.MethodPatch, "/api/v1/identity-providers/corp", map[string]any{"oidc": map[string]any{"client_secret": "client-secret"}})

	start := "/api/v1/auth/oidc/corp/start"
	t.Run("OpenID Connect", func(t *testing.T) {
		b := peers.NewBrowser(t)
		path, reason := landed(t, signIn(t, s, b, start+"?return="+url.QueryEscape("/alerts?x=1"), "li.wei", "pw-of-li.wei"))
		if path != "/alerts" || reason != "" {
			t.Fatalf("landed at %s, %s", path, reason)
		}
		me := whoami(t, s, b)
		if me["username"] != "li.wei" || fmt.Sprint(me["roles"]) != "[analyst]" || me["all_tenants"] != true || me["display_name"] != "li.wei of the City" {
			t.Errorf("%v", me)
		}
		// Back at Keycloak the sign-in holds: a second browser window needs no password.
		if path, reason := landed(t, b.Get(s.url+start, home(s))); path != "/" || reason != "" {
			t.Errorf("%s %s", path, reason)
		}
		log := must(t, s.admin, http.MethodGet, "/api/v1/audit?action=sign-in-external&actor=li.wei", nil)
		if log["total"].(float64) < 2 || !strings.Contains(fmt.Sprint(log["items"]), "oidc") {
			t.Errorf("the audit log: %v", log)
		}
	})
	t.Run("roles follow the groups", func(t *testing.T) {
		b := peers.NewBrowser(t)
		signIn(t, s, b, start, "boss", "pw-of-boss")
		if me := whoami(t, s, b); fmt.Sprint(me["roles"]) != "[analyst viewer]" {
			t.Fatalf("%v", me)
		}
		var groups []struct{ ID, Name string }
		kc.Admin(http.MethodGet, "/admin/realms/city/users/"+kc.UserID("boss")+"/groups", nil, &groups)
		for _, g := range groups {
			if g.Name == "analysts" {
				kc.Admin(http.MethodDelete, "/admin/realms/city/users/"+kc.UserID("boss")+"/groups/"+g.ID, nil, nil)
			}
		}
		b.Get(s.url+start, home(s))
		if me := whoami(t, s, b); fmt.Sprint(me["roles"]) != "[viewer]" || me["all_tenants"] != false {
			t.Errorf("after leaving the group: %v", me)
		}
	})
	t.Run("who has no role does not get in", func(t *testing.T) {
		b := peers.NewBrowser(t)
		if path, reason := landed(t, signIn(t, s, b, start, "guest", "pw-of-guest")); path != "/login" || reason != "unmapped" || whoami(t, s, b) != nil {
			t.Errorf("%s %s", path, reason)
		}
	})
	t.Run("a disabled account stays out", func(t *testing.T) {
		b := peers.NewBrowser(t)
		signIn(t, s, b, start, "li.wei", "pw-of-li.wei")
		id := whoami(t, s, b)["id"].(string)
		must(t, s.admin, http.MethodPatch, "/api/v1/users/"+id, map[string]any{"disabled": true})
		if whoami(t, s, b) != nil {
			t.Error("the session outlives the account")
		}
		if _, reason := landed(t, b.Get(s.url+start, home(s))); reason != "disabled" {
			t.Errorf("%s", reason)
		}
		must(t, s.admin, http.MethodPatch, "/api/v1/users/"+id, map[string]any{"disabled": false})
	})
	t.Run("a name that is taken is not taken over", func(t *testing.T) {
		kc.User("admin", "analysts")
		b := peers.NewBrowser(t)
		if _, reason := landed(t, signIn(t, s, b, start, "admin", "pw-of-admin")); reason != "conflict" || whoami(t, s, b) != nil {
			t.Errorf("%s", reason)
		}
	})
	t.Run("state, cookie and return are ours", func(t *testing.T) {
		for bad, want := range map[string]string{"https://evil.test/": "/", "//evil.test": "/", `/\evil.test`: "/", "/api/v1/users": "/", "/ok": "/ok"} {
			b := peers.NewBrowser(t)
			if path, reason := landed(t, signIn(t, s, b, start+"?return="+url.QueryEscape(bad), "li.wei", "pw-of-li.wei")); path != want || reason != "" {
				t.Errorf("return=%s lands at %s %s", bad, path, reason)
			}
		}
		// The attacker's own answer in the victim's browser (login CSRF).
		attacker, victim := peers.NewBrowser(t), peers.NewBrowser(t)
		atCallback := func(u *url.URL) bool { return strings.HasSuffix(u.Path, "/callback") }
		page := attacker.Get(s.url+start, nil)
		form := page.Form(t)
		form.Fields.Set("username", "li.wei")
		form.Fields.Set("password", "pw-of-li.wei")
		callback := attacker.Post(page, form, atCallback).Header.Get("Location")
		if _, reason := landed(t, victim.Get(callback, home(s))); reason != "expired" || whoami(t, s, victim) != nil {
			t.Errorf("without a cookie: %s", reason)
		}
		victim.Get(s.url+start, func(u *url.URL) bool { return strings.HasPrefix(u.String(), kc.URL) })
		if _, reason := landed(t, victim.Get(callback, home(s))); reason != "invalid" || whoami(t, s, victim) != nil {
			t.Errorf("with a cookie of another flow: %s", reason)
		}
		if _, reason := landed(t, attacker.Get(callback, home(s))); reason != "" {
			t.Errorf("the attacker himself: %s", reason)
		}
		if _, reason := landed(t, attacker.Get(callback, home(s))); reason != "expired" {
			t.Errorf("the same answer again: %s", reason)
		}
	})
	t.Run("signing out at the provider, and by it", func(t *testing.T) {
		b := peers.NewBrowser(t)
		signIn(t, s, b, start, "li.wei", "pw-of-li.wei")
		session := s.admin.With(b.Cookie(s.url, "icewatch_session"), "")
		out := must(t, session, http.MethodPost, "/api/v1/auth/logout/external", nil)
		if whoami(t, s, b) != nil {
			t.Error("still signed in here")
		}
		page := b.Get(out["redirect"].(string), home(s))
		if to, err := url.Parse(page.Header.Get("Location")); err != nil || to.Path != "/login" {
			t.Errorf("%d %v", page.Status, page.Header)
		}
		if page := b.Get(s.url+start, home(s)); page.Status != http.StatusOK || !page.Form(t).Fields.Has("password") {
			t.Error("Keycloak does not ask for the password again")
		}
		// Keycloak's administrator ends a user's session: it tells the suite.
		kc.User("leaver", "analysts")
		b = peers.NewBrowser(t)
		signIn(t, s, b, start, "leaver", "pw-of-leaver")
		if whoami(t, s, b) == nil {
			t.Fatal("not signed in")
		}
		kc.Admin(http.MethodPost, "/admin/realms/city/users/"+kc.UserID("leaver")+"/logout", nil, nil)
		eventually(t, 10*time.Second, "the session is over", func() error {
			if whoami(t, s, b) != nil {
				return fmt.Errorf("still signed in; the audit log: %v", must(t, s.admin, http.MethodGet, "/api/v1/audit?action=logout-by-provider", nil)["items"])
			}
			return nil
		})
		if status, _ := call(t, s.admin.With("", ""), http.MethodPost, "/api/v1/auth/oidc/corp/backchannel", nil); status != http.StatusBadRequest {
			t.Errorf("no logout token: %d", status)
		}
	})

	t.Run("a second factor of ours, or the provider's word for one", func(t *testing.T) {
		kc.User("careful", "analysts")
		b := peers.NewBrowser(t)
		signIn(t, s, b, start, "careful", "pw-of-careful")
		me := s.admin.With(b.Cookie(s.url, "icewatch_session"), "")
		begun := must(t, me, http.MethodPost, "/api/v1/me/factors/totp", nil)
		secret := begun["secret"].(string)
		code := func(at time.Time) string {
			c, err := totp.GenerateCode(secret, at)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		must(t, me, http.MethodPost, "/api/v1/me/factors/totp/confirm", map[string]any{"id": begun["id"], "code": code(time.Now())})

		b = peers.NewBrowser(t)
		page := signIn(t, s, b, start, "careful", "pw-of-careful")
		if _, reason := landed(t, page); reason != "mfa" || whoami(t, s, b) != nil {
			t.Fatalf("%s", reason)
		}
		at, err := url.Parse(page.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		// The code that confirmed cannot be used again, so the next one is.
		body, err := json.Marshal(map[string]string{"challenge": at.Query().Get("challenge"), "code": code(time.Now().Add(30 * time.Second))})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(s.url+"/api/v1/auth/login/totp", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s %v", resp.Status, answer, err)
		}

		must(t, s.admin, http.MethodPatch, "/api/v1/identity-providers/corp", map[string]any{"oidc": map[string]any{"second_factor": []string{"1"}}}) // Keycloak's acr
		b = peers.NewBrowser(t)
		if _, reason := landed(t, signIn(t, s, b, start, "careful", "pw-of-careful")); reason != "" || whoami(t, s, b) == nil {
			t.Errorf("the provider's word is not taken: %s", reason)
		}
		must(t, s.admin, http.MethodPatch, "/api/v1/identity-providers/corp", map[string]any{"oidc": map[string]any{"second_factor": []string{"mfa"}}})
	})

	t.Run("SAML", func(t *testing.T) { keycloakSAML(t, s, kc, mapping) })

	t.Run("without the provider nobody gets in", func(t *testing.T) {
		must(t, s.admin, http.MethodPatch, "/api/v1/identity-providers/corp", map[string]any{"enabled": false})
		if page := peers.NewBrowser(t).Get(s.url+start, nil); page.Status != http.StatusNotFound {
			t.Errorf("%d", page.Status)
		}
		if status, _ := call(t, s.admin, http.MethodDelete, "/api/v1/identity-providers/corp", nil); status != http.StatusNoContent {
			t.Errorf("%d", status)
		}
		users := fmt.Sprint(must(t, s.admin, http.MethodGet, "/api/v1/users?limit=1000", nil)["items"])
		if !strings.Contains(users, "li.wei") {
			t.Error("the accounts went with the provider")
		}
	})
}

func keycloakSAML(t *testing.T, s *suite, kc *peers.Keycloak, mapping map[string]any) {
	// The user names are those of the OIDC accounts, which must not be taken over.
	kc.User("saml.user", "analysts")
	provider := map[string]any{"id": "gov", "kind": "saml", "name": map[string]string{"en": "SAML"}, "enabled": true, "base_url": s.url,
		"saml": map[string]any{"metadata_url": kc.Realm + "/protocol/saml/descriptor"}, "attributes": map[string]string{"username": "username"}, "mapping": mapping}
	made := must(t, s.admin, http.MethodPost, "/api/v1/identity-providers", provider)
	if made["saml"].(map[string]any)["idp_entity_id"] != kc.Realm {
		t.Errorf("%v", made["saml"])
	}
	if test := must(t, s.admin, http.MethodPost, "/api/v1/identity-providers/gov/test", nil); test["ok"] != true {
		t.Errorf("%v", test)
	}
	resp, err := http.Get(s.url + "/api/v1/auth/saml/gov/metadata")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metadata, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	// Keycloak makes its client from our metadata.
	var description map[string]any
	kc.Admin(http.MethodPost, "/admin/realms/city/client-description-converter", metadata, &description)
	description["protocolMappers"] = []map[string]any{
		{"name": "username", "protocol": "saml", "protocolMapper": "saml-user-property-mapper",
			"config": map[string]string{"user.attribute": "username", "attribute.name": "username", "attribute.nameformat": "Basic"}},
		{"name": "groups", "protocol": "saml", "protocolMapper": "saml-group-membership-mapper",
			"config": map[string]string{"attribute.name": "groups", "single": "true", "full.path": "false", "attribute.nameformat": "Basic"}}}
	attributes := description["attributes"].(map[string]any)
	if attributes["saml.client.signature"] != "true" {
		t.Errorf("Keycloak would take unsigned requests: %v", attributes)
	}
	attributes["saml.assertion.signature"], attributes["saml.server.signature"], attributes["saml.encrypt"] = "true", "true", "true"
	description["defaultClientScopes"] = []string{}
	kc.Admin(http.MethodPost, "/admin/realms/city/clients", description, nil)

	start := "/api/v1/auth/saml/gov/start"
	b := peers.NewBrowser(t)
	path, reason := landed(t, signIn(t, s, b, start+"?return=/incidents", "saml.user", "pw-of-saml.user"))
	if path != "/incidents" || reason != "" {
		t.Fatalf("landed at %s %s: %v", path, reason, must(t, s.admin, http.MethodGet, "/api/v1/audit?action=sign-in-external&limit=1", nil)["items"])
	}
	if me := whoami(t, s, b); me["username"] != "saml.user" || fmt.Sprint(me["roles"]) != "[analyst]" {
		t.Errorf("%v", me)
	}

	// The attacker's assertion in the victim's browser; a used one; a bent one.
	toHome := home(s)
	answer := func(b *peers.Browser) (peers.Page, peers.Form) {
		t.Helper()
		page := b.Get(s.url+start, toHome)
		if form := page.Form(t); form.Fields.Has("password") {
			form.Fields.Set("username", "saml.user")
			form.Fields.Set("password", "pw-of-saml.user")
			page = b.Post(page, form, toHome)
		}
		return page, page.Form(t)
	}
	attacker, victim := peers.NewBrowser(t), peers.NewBrowser(t)
	page, form := answer(attacker)
	if _, reason := landed(t, victim.Post(page, form, toHome)); reason != "expired" || whoami(t, s, victim) != nil {
		t.Errorf("another browser: %s", reason)
	}
	if _, reason := landed(t, attacker.Post(page, form, toHome)); reason != "invalid" || whoami(t, s, attacker) != nil {
		t.Errorf("the same assertion again: %s", reason)
	}
	page, form = answer(attacker)
	raw, err := base64.StdEncoding.DecodeString(form.Fields.Get("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	bent := strings.Replace(string(raw), "Destination=\"", "Destination=\"https://other.test/", 1)
	form.Fields.Set("SAMLResponse", base64.StdEncoding.EncodeToString([]byte(bent)))
	if _, reason := landed(t, attacker.Post(page, form, toHome)); reason != "invalid" || whoami(t, s, attacker) != nil {
		t.Errorf("a bent answer: %s", reason)
	}
	form.Fields.Set("SAMLResponse", strings.Repeat("A", 2<<20))
	if got := attacker.Post(page, form, toHome); got.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("two megabytes: %d", got.Status)
	}
	log := fmt.Sprint(must(t, s.admin, http.MethodGet, "/api/v1/audit?action=sign-in-external&result=denied", nil)["items"])
	if !strings.Contains(log, "already been used") {
		t.Errorf("the audit log does not say why: %s", log)
	}
}

// directory is an LDAP provider for a slapd.
func directory(s *suite, d *peers.Slapd, extra map[string]any) map[string]any {
	p := map[string]any{"id": "dir", "kind": "ldap", "name": map[string]string{"zh": "目录", "en": "Directory"}, "enabled": true,
		"ldap": map[string]any{"url": d.LDAPS, "ca": d.Authority.PEM, "bind_dn": peers.BindDN, "bind_password": peers.BindPass, "base_dn": peers.BaseDN,
			"group_base_dn": "ou=groups," + peers.BaseDN, "nested_groups": true},
		"mapping": map[string]any{"create": true, "rules": []map[string]any{{"value": "soc", "roles": []string{"analyst"}, "tenants": []string{"*"}}}}}
	for k, v := range extra {
		p[k] = v
	}
	return p
}

// synced runs a sync to its end.
func synced(t *testing.T, s *suite, provider string, body map[string]any) map[string]any {
	t.Helper()
	run := must(t, s.admin, http.MethodPost, "/api/v1/identity-providers/"+provider+"/sync", body)
	eventually(t, 2*time.Minute, "the sync ends", func() error {
		run = must(t, s.admin, http.MethodGet, "/api/v1/identity-providers/"+provider+"/syncs/"+run["id"].(string), nil)
		if run["state"] == "running" {
			return fmt.Errorf("%v", run["progress"])
		}
		return nil
	})
	return run
}

func report(run map[string]any, field string) int {
	n, _ := run["report"].(map[string]any)[field].(float64)
	return int(n)
}

// TestDirectory signs people in whose passwords a real OpenLDAP keeps, and takes
// users and units over from it.
func TestDirectory(t *testing.T) {
	t.Parallel()
	people, groups := "ou=people,"+peers.BaseDN, "ou=groups,"+peers.BaseDN
	ldif := peers.OU("people", peers.BaseDN) + peers.OU("IT", people) + peers.OU("groups", peers.BaseDN) +
		peers.Person("li.wei", "Li Wei", "ou=IT,"+people) + peers.Person("wang", "Wang Fang", people) + peers.Person("guest", "Guest", people) +
		peers.Person("admin", "Not the admin", people)
	var members []string
	for i := range 18 {
		ldif += peers.Person(fmt.Sprintf("staff%d", i), "Staff", people)
		members = append(members, fmt.Sprintf("uid=staff%d,%s", i, people))
	}
	d := peers.StartSlapd(t, ldif+peers.Group("analysts", groups, append(members, "uid=li.wei,ou=IT,"+people, "uid=wang,"+people, "uid=admin,"+people)...)+
		peers.Group("soc", groups, "cn=analysts,"+groups))
	s := newSuite(t, loopback)
	login := func(user, password string) (int, map[string]any) {
		return call(t, s.admin.With("", ""), http.MethodPost, "/api/v1/auth/login", map[string]string{"username": user, "password": password})
	}
	if status, _ := login("li.wei", "pw-of-li.wei"); status != http.StatusUnauthorized {
		t.Fatalf("without a directory: %d", status)
	}
	must(t, s.admin, http.MethodPost, "/api/v1/identity-providers", directory(s, d, nil))
	if test := must(t, s.admin, http.MethodPost, "/api/v1/identity-providers/dir/test", nil); test["ok"] != true {
		t.Errorf("%v", test)
	}

	status, in := login("Li.Wei", "pw-of-li.wei")
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, in)
	}
	user := in["user"].(map[string]any)
	if user["username"] != "li.wei" || fmt.Sprint(user["roles"]) != "[analyst]" || user["must_change_password"] != false {
		t.Errorf("%v", user)
	}
	for _, wrong := range [][2]string{{"li.wei", "wrong"}, {"li.wei", ""}, {"*", "pw-of-li.wei"}, {"li.wei)(uid=*", "pw-of-li.wei"}, {"nobody", "x"}} {
		if status, out := login(wrong[0], wrong[1]); status != http.StatusUnauthorized {
			t.Errorf("%q: %d %v", wrong, status, out)
		}
	}
	if status, out := login("guest", "pw-of-guest"); status != http.StatusForbidden || !strings.Contains(fmt.Sprint(out["detail"]), "role") {
		t.Errorf("who has no role: %d %v", status, out)
	}
	// The local administrator stays who he is.
	if status, _ := login("admin", "pw-of-admin"); status != http.StatusUnauthorized {
		t.Errorf("the directory's admin: %d", status)
	}
	if status, _ := login("admin", password); status != http.StatusOK {
		t.Errorf("our admin: %d", status)
	}
	// The password is nowhere in what the suite keeps.
	for _, file := range []string{"state/icewatch.db", "state/icewatch.db-wal"} {
		data, err := os.ReadFile(filepath.Join(s.data, file))
		if err == nil && (bytes.Contains(data, []byte("pw-of-li.wei")) || bytes.Contains(data, []byte(peers.BindPass))) {
			t.Errorf("%s holds a password", file)
		}
	}

	// A trial run changes nothing.
	run := synced(t, s, "dir", map[string]any{"dry_run": true})
	if run["state"] != "ok" || report(run, "users_created") != 19 || len(run["changes"].([]any)) < 19 {
		t.Errorf("%v", run)
	}
	if strings.Contains(fmt.Sprint(must(t, s.admin, http.MethodGet, "/api/v1/users?limit=1000", nil)), "staff0") {
		t.Error("the trial run made accounts")
	}
	// wang and staff0 to 17 are made; admin's name is taken, guest has no role.
	must(t, s.admin, http.MethodPatch, "/api/v1/identity-providers/dir", map[string]any{"sync": map[string]any{"units": "ou", "max_vanished_percent": 10}})
	run = synced(t, s, "dir", map[string]any{})
	if run["state"] != "ok" || report(run, "users_created") != 19 || report(run, "units_created") != 3 || report(run, "users_skipped") != 2 || len(run["problems"].([]any)) != 1 {
		t.Errorf("%v", run)
	}
	eventually(t, time.Minute, "the audit log tells of the run", func() error {
		if log := fmt.Sprint(must(t, s.admin, http.MethodGet, "/api/v1/audit?action=sync-accounts", nil)["items"]); !strings.Contains(log, "created 19") {
			return fmt.Errorf("it tells %s", log)
		}
		return nil
	})
	if run = synced(t, s, "dir", map[string]any{}); report(run, "users_unchanged") != 20 || report(run, "users_changed") != 0 || report(run, "units_created") != 0 {
		t.Errorf("again: %v", run)
	}

	// Who leaves loses account and session; who leaves the group, too.
	_, in = login("wang", "pw-of-wang")
	session := s.admin.With(in["token"].(string), "")
	d.Modify("dn: uid=wang," + people + "\nchangetype: delete\n")
	run = synced(t, s, "dir", map[string]any{})
	if run["state"] != "ok" || report(run, "users_disabled") != 1 {
		t.Errorf("%v", run)
	}
	if status, _ := call(t, session, http.MethodGet, "/api/v1/me", nil); status != http.StatusUnauthorized {
		t.Errorf("the session of one who left: %d", status)
	}
	d.Modify("dn: cn=analysts," + groups + "\nchangetype: modify\ndelete: member\nmember: uid=staff1," + people + "\n")
	if run = synced(t, s, "dir", map[string]any{}); report(run, "users_disabled") != 1 {
		t.Errorf("%v", run)
	}
	d.Modify("dn: cn=analysts," + groups + "\nchangetype: modify\nadd: member\nmember: uid=staff1," + people + "\n")
	if run = synced(t, s, "dir", map[string]any{}); report(run, "users_enabled") != 1 {
		t.Errorf("%v", run)
	}

	// An account that an administrator disabled stays disabled.
	id := user["id"].(string)
	must(t, s.admin, http.MethodPatch, "/api/v1/users/"+id, map[string]any{"disabled": true})
	synced(t, s, "dir", map[string]any{})
	if status, out := login("li.wei", "pw-of-li.wei"); status != http.StatusForbidden && status != http.StatusUnauthorized {
		t.Errorf("a disabled account: %d %v", status, out)
	}

	// A directory that suddenly shows nobody locks nobody out.
	must(t, s.admin, http.MethodPatch, "/api/v1/identity-providers/dir", map[string]any{"ldap": map[string]any{"user_filter": "(&(objectClass=inetOrgPerson)(uid=staff0))"}})
	run = synced(t, s, "dir", map[string]any{})
	if run["state"] != "refused" || report(run, "users_disabled") != 0 || !strings.Contains(fmt.Sprint(run["detail"]), "no account was disabled") {
		t.Errorf("%v", run)
	}
	if status, _ := login("staff0", "pw-of-staff0"); status != http.StatusOK {
		t.Errorf("%d", status)
	}

	// A directory whose certificate nobody vouches for is not believed.
	must(t, s.admin, http.MethodPatch, "/api/v1/identity-providers/dir", map[string]any{"ldap": map[string]any{"ca": peers.NewAuthority(t).PEM}})
	if status, out := login("staff2", "pw-of-staff2"); status != http.StatusServiceUnavailable {
		t.Errorf("%d %v", status, out)
	}
	if test := must(t, s.admin, http.MethodPost, "/api/v1/identity-providers/dir/test", nil); test["ok"] != false || !strings.Contains(fmt.Sprint(test), "certificate") {
		t.Errorf("%v", test)
	}
	// Another server does not get the password that is kept for this one.
	if status, out := call(t, s.admin, http.MethodPatch, "/api/v1/identity-providers/dir", map[string]any{"ldap": map[string]any{"url": "ldaps://127.0.0.1:1"}}); status != http.StatusUnprocessableEntity {
		t.Errorf("%d %v", status, out)
	}
}

// TestDirectoryOfACity takes 10,000 users in 1,000 units over.
func TestDirectoryOfACity(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(peers.OU("city", peers.BaseDN) + peers.OU("groups", peers.BaseDN))
	var members []string
	for bureau := range 100 {
		at := fmt.Sprintf("ou=bureau%d,ou=city,%s", bureau, peers.BaseDN)
		b.WriteString(peers.OU(fmt.Sprintf("bureau%d", bureau), "ou=city,"+peers.BaseDN))
		for office := range 9 {
			where := fmt.Sprintf("ou=office%d,%s", office, at)
			b.WriteString(peers.OU(fmt.Sprintf("office%d", office), at))
			for i := range 11 {
				uid := fmt.Sprintf("u%d.%d.%d", bureau, office, i)
				b.WriteString(peers.Person(uid, "User", where))
				members = append(members, "uid="+uid+","+where)
			}
		}
		for i := range 1 {
			uid := fmt.Sprintf("head%d.%d", bureau, i)
			b.WriteString(peers.Person(uid, "Head", at))
			members = append(members, "uid="+uid+","+at)
		}
	}
	slices.Sort(members)
	b.WriteString(peers.Group("soc", "ou=groups,"+peers.BaseDN, members...))
	d := peers.StartSlapd(t, b.String())
	s := newSuite(t, loopback)
	must(t, s.admin, http.MethodPost, "/api/v1/identity-providers", directory(s, d, map[string]any{"sync": map[string]any{"units": "ou"}}))
	began := time.Now()
	run := synced(t, s, "dir", map[string]any{})
	if run["state"] != "ok" || report(run, "users_created") != len(members) || report(run, "units_created") != 1002 {
		t.Fatalf("%v", run)
	}
	t.Logf("%d users and %d units in %s", len(members), report(run, "units_created"), time.Since(began).Round(time.Millisecond))
	began = time.Now()
	if run = synced(t, s, "dir", map[string]any{}); report(run, "users_unchanged") != len(members) {
		t.Errorf("%v", run)
	}
	t.Logf("again, nothing changed: %s", time.Since(began).Round(time.Millisecond))
	if status, in := call(t, s.admin.With("", ""), http.MethodPost, "/api/v1/auth/login", map[string]string{"username": "u42.3.7", "password": "pw-of-u42.3.7"}); status != http.StatusOK {
		t.Errorf("%d %v", status, in)
	}
}

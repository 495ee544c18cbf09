package api

import (
	"net/http"
	"strings"
	"testing"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

func TestLoginAndSession(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	f := func(body string, want int) {
		t.Helper()
		if a := s.call("POST", "/api/v1/auth/login", body); a.status != want {
			t.Errorf("%s: got %d, want %d: %s", body, a.status, want, a.body)
		} else if want >= 400 && a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: a problem of type %q", body, a.header.Get("Content-Type"))
		}
	}
	f(`{"username":"admin","password":"wrong"}`, 401)
	f(`{"username":"nobody","password":"wrong"}`, 401)
	f(`{"username":"","password":""}`, 401)
	f(`{"username":"admin"}`, 422)
	f(`{"username":"admin","password":7}`, 422)
	f(`{`, 400)
	f(``, 400)
	f(`{"username":"admin","password":"`+strings.Repeat("x", 70<<10)+`"}`, 413)

	// A wrong name and a wrong password read the same, and no input is echoed.
	a := s.call("POST", "/api/v1/auth/login", `{"username":"admin","password":"wrong-password-1"}`)
	b := s.call("POST", "/api/v1/auth/login", `{"username":"nobody","password":"wrong-password-1"}`)
	if a.json(t)["detail"] != b.json(t)["detail"] || strings.Contains(string(a.body), "wrong-password-1") {
		t.Errorf("answers differ or echo: %s, %s", a.body, b.body)
	}
	if c := s.call("POST", "/api/v1/auth/login", `{"username":"admin","password":["hunter-hunter-2"]}`); strings.Contains(string(c.body), "hunter") {
		t.Errorf("the password is echoed: %s", c.body)
	}

	ok := s.call("POST", "/api/v1/auth/login", `{"username":"  ADMIN ","password":"`+adminPassword+`"}`)
	if ok.status != 200 {
		t.Fatalf("%d %s", ok.status, ok.body)
	}
	for _, media := range []string{"application/x-www-form-urlencoded", "text/plain;charset=UTF-8", "application/json; charset=utf-8", "application/octet-stream"} {
		if a := s.call("POST", "/api/v1/auth/login", `{"username":"admin","password":"`+adminPassword+`"}`, "Content-Type", media); a.status != 200 {
			t.Errorf("a body called %s: %d %s", media, a.status, a.body)
		}
	}
	cookie := ok.header.Get("Set-Cookie")
	for _, attr := range []string{cookieName + "=iws_", "HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, attr) {
			t.Errorf("the cookie %q lacks %q", cookie, attr)
		}
	}
	token := ok.json(t)["token"].(string)
	user := ok.json(t)["user"].(map[string]any)
	if user["username"] != "admin" || user["all_tenants"] != true || ok.json(t)["expires_at"] == "" {
		t.Errorf("the user: %v", user)
	}
	if a := s.call("POST", "/api/v1/auth/logout", "", bearer(token)...); a.status != 204 || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signing out: %d %q", a.status, a.header.Get("Set-Cookie"))
	}
	if a := s.call("GET", "/api/v1/me", "", bearer(token)...); a.status != 401 {
		t.Errorf("after signing out: %d", a.status)
	}
}

func TestLockOut(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	for i := range 10 {
		if a := s.call("POST", "/api/v1/auth/login", `{"username":"admin","password":"wrong"}`); a.status != 401 {
			t.Fatalf("attempt %d: %d", i, a.status)
		}
	}
	for _, password := range []string{"wrong", adminPassword} {
		a := s.call("POST", "/api/v1/auth/login", `{"username":"admin","password":"`+password+`"}`)
		if a.status != 429 || a.header.Get("Retry-After") == "" {
			t.Fatalf("after ten failures: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
		}
	}
	if a := s.call("POST", "/api/v1/auth/login", `{"username":"other","password":"wrong"}`); a.status != 401 {
		t.Fatalf("another account from the same address: %d", a.status)
	}
}

func TestUsersAndTokens(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := bearer(s.login("admin", adminPassword))
	create := func(body string, want int) map[string]any {
		t.Helper()
		a := s.call("POST", "/api/v1/users", body, admin...)
		if a.status != want {
			t.Errorf("%s: got %d, want %d: %s", body, a.status, want, a.body)
		}
		return a.json(t)
	}
	li := create(`{"username":"Li.Wei","display_name":"李伟","password":"moon-river-harbour","roles":["analyst"],"tenants":["a"]}`, 201)
	create(`{"username":"li.wei","password":"moon-river-harbour","roles":["viewer"],"tenants":["a"]}`, 409)
	create(`{"username":"w1","password":"short","roles":["viewer"]}`, 422)
	create(`{"username":"w2","password":"123456789012345","roles":["viewer"]}`, 422)
	create(`{"username":"w3","password":"moon-river-harbour","roles":["root"]}`, 422)
	create(`{"username":"w5","password":"moon-river-harbour","roles":["viewer"],"tenants":["ghost"]}`, 422)
	create(`{"username":"w6","password":"moon-river-harbour","roles":["viewer"],"tenants":["*","a"]}`, 422)
	create(`{"username":"a b","password":"moon-river-harbour","roles":["viewer"]}`, 422)
	create(`{"username":"local","password":"moon-river-harbour","roles":["viewer"]}`, 422)

	token := s.login("li.wei", "moon-river-harbour")
	me := s.call("GET", "/api/v1/me", "", bearer(token)...).json(t)
	if me["must_change_password"] != true || me["all_tenants"] != false {
		t.Errorf("me: %v", me)
	}
	f := func(method, path, body string, want int) {
		t.Helper()
		if a := s.call(method, path, body, bearer(token)...); a.status != want {
			t.Errorf("%s %s %s: got %d, want %d: %s", method, path, body, a.status, want, a.body)
		}
	}
	f("POST", "/api/v1/me/password", `{"current":"wrong","new":"harbour-moon-river"}`, 422)
	f("POST", "/api/v1/me/password", `{"current":"moon-river-harbour","new":"short"}`, 422)
	f("POST", "/api/v1/me/password", `{"current":"moon-river-harbour","new":"harbour-moon-river"}`, 204)
	f("PATCH", "/api/v1/me", `{"locale":"en"}`, 200)
	f("PATCH", "/api/v1/me", `{"locale":"klingon"}`, 422)
	f("GET", "/api/v1/users", "", 403)
	f("PATCH", "/api/v1/users/"+li["id"].(string), `{"roles":["admin"]}`, 403)
	f("GET", "/api/v1/search", "", 200)
	f("POST", "/elastic/_bulk", "x", 403)
	if req := s.search.last(t); req.Reach.Key() != reach.Tenants("a").Key() {
		t.Errorf("the user's reach: %v", req.Reach.LogsQL())
	}

	// A change of rights holds from the next request on; disabling ends all.
	patch := func(id, body string, want int) {
		t.Helper()
		if a := s.call("PATCH", "/api/v1/users/"+id, body, admin...); a.status != want {
			t.Errorf("PATCH %s %s: got %d, want %d: %s", id, body, a.status, want, a.body)
		}
	}
	patch(li["id"].(string), `{"tenants":[]}`, 200)
	asked := len(s.search.asked)
	a := s.call("GET", "/api/v1/search", "", bearer(token)...)
	if len(a.json(t)["items"].([]any)) != 0 || len(s.search.asked) != asked {
		t.Errorf("a user without tenants: %s", a.body)
	}
	patch(li["id"].(string), `{"tenants":["b"]}`, 200)
	f("GET", "/api/v1/search", "", 200)
	if req := s.search.last(t); req.Reach.Key() != reach.Tenants("b").Key() {
		t.Errorf("the user's new reach: %v", req.Reach.LogsQL())
	}
	patch(li["id"].(string), `{"disabled":true}`, 200)
	f("GET", "/api/v1/me", "", 401)
	patch("nobody", `{"disabled":true}`, 404)
	me = s.call("GET", "/api/v1/me", "", admin...).json(t)
	patch(me["id"].(string), `{"disabled":true}`, 422)
	patch(me["id"].(string), `{"roles":["viewer"]}`, 422)
	patch(me["id"].(string), `{"tenants":["a"]}`, 422)

	// Tokens: shown once, revoked at once.
	made := func(body string, want int) map[string]any {
		t.Helper()
		a := s.call("POST", "/api/v1/tokens", body, admin...)
		if a.status != want {
			t.Errorf("%s: got %d, want %d: %s", body, a.status, want, a.body)
		}
		return a.json(t)
	}
	made(`{"name":"","scopes":["ingest"]}`, 422)
	made(`{"name":"x","scopes":[]}`, 422)
	made(`{"name":"x","scopes":["root"]}`, 422)
	made(`{"name":"x","tenant":"ghost","scopes":["read"]}`, 422)
	made(`{"name":"x","tenant":"a","scopes":["admin"]}`, 422)
	made(`{"name":"x","scopes":["read"],"expires_in":"soon"}`, 422)
	tok := made(`{"name":"shipper","tenant":"a","scopes":["ingest"],"expires_in":"90d"}`, 201)
	if a := s.call("POST", "/elastic/_bulk", "x", bearer(tok["token"].(string))...); a.status != 200 {
		t.Errorf("the token: %d", a.status)
	}
	list := s.call("GET", "/api/v1/tokens", "", admin...)
	if strings.Contains(string(list.body), tok["token"].(string)) || !strings.Contains(string(list.body), "last_used_at") {
		t.Errorf("the list of tokens: %s", list.body)
	}
	if a := s.call("DELETE", "/api/v1/tokens/"+tok["id"].(string), "", admin...); a.status != 204 {
		t.Errorf("revoking: %d %s", a.status, a.body)
	}
	if a := s.call("POST", "/elastic/_bulk", "x", bearer(tok["token"].(string))...); a.status != 401 {
		t.Errorf("after revoking: %d", a.status)
	}
	if a := s.call("DELETE", "/api/v1/tokens/"+tok["id"].(string), "", admin...); a.status != 404 {
		t.Errorf("revoking twice: %d", a.status)
	}
}

func TestAdminOfSomeTenantsCannotWiden(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	if _, err := s.identity.CreateUser(t.Context(), identity.NewUser{
		Username: "bureau", Password: "moon-river-harbour", Roles: []string{identity.RoleAdmin}, Tenants: []string{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	h := bearer(s.login("bureau", "moon-river-harbour"))
	if a := s.call("GET", "/api/v1/users", "", h...); a.status != http.StatusForbidden || a.json(t)["code"] != codeMustChange {
		t.Errorf("before the first password is changed: %d %s", a.status, a.body)
	}
	if a := s.call("POST", "/api/v1/me/password", `{"current":"moon-river-harbour","new":"harbour-moon-river"}`, h...); a.status != http.StatusNoContent {
		t.Fatalf("changing the password: %d %s", a.status, a.body)
	}
	for _, r := range [][3]string{
		{"GET", "/api/v1/users", ""}, {"GET", "/api/v1/tokens", ""}, {"GET", "/api/v1/audit", ""}, {"POST", "/api/v1/rules/reload", ""},
		{"POST", "/api/v1/users", `{"username":"x","password":"moon-river-harbour","roles":["admin"],"tenants":["*"]}`},
		{"POST", "/api/v1/tokens", `{"name":"x","scopes":["admin"]}`},
		{"PATCH", "/api/v1/users/x", `{"roles":["admin"]}`},
		{"DELETE", "/api/v1/tokens/x", ""},
		{"POST", "/elastic/_bulk", "x"}, // undecided whose: might become a third tenant's
	} {
		if a := s.call(r[0], r[1], r[2], h...); a.status != http.StatusForbidden {
			t.Errorf("%s %s: got %d, want 403: %s", r[0], r[1], a.status, a.body)
		}
	}
	if a := s.call("POST", "/elastic/_bulk", "x", append(h, headerTenant, "b")...); a.status != 200 {
		t.Errorf("writing to a tenant of his: %d", a.status)
	}
}

package api

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/audit"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

// A route without credential answers 401, whichever it is, whatever is sent
// along; only the few public ones do not.
func TestEveryRouteDeniesStrangers(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	public := map[string]bool{}
	for _, r := range publicRoutes {
		public[r], public[strings.Replace(r, "GET ", "HEAD ", 1)] = true, true
	}
	routes := 0
	for _, r := range s.srv.App().GetRoutes(true) {
		routes++
		path := strings.NewReplacer(":id", "x", ":index", "logs", "*", "x").Replace(r.Path)
		for _, headers := range [][]string{
			nil,
			bearer("nonsense"),
			{"Authorization", "Basic YTpi"},
			{"Authorization", "Negotiate x"},
			{"Cookie", cookieName + "=nonsense"},
			{"X-Forwarded-For", "127.0.0.1", "X-Scope-OrgID", "a"},
		} {
			a := s.call(r.Method, path, "", headers...)
			if public[strings.Replace(r.Method, "HEAD", "GET", 1)+" "+r.Path] {
				if a.status == 401 && r.Path != orderHookPath { // which looks at its key itself
					t.Errorf("%s %s with %q: a public route answered 401", r.Method, path, headers)
				}
				continue
			}
			if a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s with %q: got %d %q, want 401 with a challenge", r.Method, path, headers, a.status, a.header.Get("WWW-Authenticate"))
			}
		}
	}
	if routes < 30 {
		t.Fatalf("only %d routes: the list must be wrong", routes)
	}
	// What no route serves but lies where routes are is no different.
	for _, path := range []string{"/api/v1/nothing", "/api", "/elastic/x/y", "/prometheus/api/v1/query", "/metrics/x"} {
		if a := s.call("GET", path, ""); a.status != 401 {
			t.Errorf("GET %s: got %d, want 401", path, a.status)
		}
	}
	if a := s.call("POST", "/alerts", ""); a.status != 401 {
		t.Errorf("POST to a page of the console: got %d, want 401", a.status)
	}
}

func TestCheckFindsUndeclaredRoutes(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	if err := s.srv.Check(); err != nil {
		t.Fatal(err)
	}
	s.srv.App().Get("/api/v1/forgotten", func(c *fiber.Ctx) error { return nil })
	if err := s.srv.Check(); err == nil || !strings.Contains(err.Error(), "/api/v1/forgotten") {
		t.Fatalf("an undeclared route must be named, got %v", err)
	}
	f := func(name string, add func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: want a panic", name)
			}
		}()
		add()
	}
	ok := func(c *fiber.Ctx) error { return nil }
	f("a public route outside the list", func() { s.srv.handle("GET", "/open", "x", scopePublic, ok) })
	f("an unknown scope", func() { s.srv.handle("GET", "/open", "x", "reader", ok) })
	type unread struct {
		ID string `path:"id"`
	}
	f("an input that huma would not read", func() {
		Register(s.srv, huma.Operation{OperationID: "x", Method: "GET", Path: "/x/{id}"}, ScopeAny,
			func(context.Context, *struct{ unread }) (*Empty, error) { return nil, nil })
	})
	f("a listed route that is not public", func() { s.srv.handle("GET", "/healthz", "x", ScopeAny, ok) })
}

func TestTenantTokenStaysInItsTenant(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	a := s.token("a", identity.ScopeRead, identity.ScopeIngest, identity.ScopeRespond)
	city := s.token("", identity.ScopeRead, identity.ScopeIngest)

	// Asking for another tenant, or for one that does not exist, is refused.
	for _, other := range []string{"b", "a|b", "ghost", "unassigned", "a,b", "A"} {
		for _, r := range [][2]string{{"GET", "/api/v1/search"}, {"GET", "/api/v1/overview"}, {"POST", "/elastic/_bulk"}, {"POST", "/loki/api/v1/push"}} {
			if got := s.call(r[0], r[1], "{}", append(bearer(a), headerTenant, other)...); got.status != 403 {
				t.Errorf("%s %s as %q: got %d, want 403", r[0], r[1], other, got.status)
			}
		}
	}
	for _, q := range []string{"/api/v1/search?tenant=b", "/api/v1/search?tenant=a,b", "/api/v1/search/values?field=x&tenant=b", "/api/v1/search/fields?tenant=b",
		"/api/v1/search/histogram?tenant=b", "/api/v1/cmdb/items?tenant=b", "/api/v1/cmdb/export?tenant=b",
		"/api/v1/alerts?tenant=b", "/api/v1/incidents?tenant=b", "/api/v1/notifications?tenant=b"} {
		if got := s.call("GET", q, "", bearer(a)...); got.status != 403 {
			t.Errorf("GET %s: got %d, want 403", q, got.status)
		}
	}
	if len(s.ingest.took) != 0 {
		t.Fatalf("events were taken in for %q", s.ingest.took)
	}

	// Without asking it is its own tenant's, on every path to the store.
	for _, q := range []string{"/api/v1/search", "/api/v1/search?tenant=a", "/api/v1/search/histogram", "/api/v1/search/fields", "/api/v1/search/values?field=x", "/api/v1/overview"} {
		if got := s.call("GET", q, "", bearer(a)...); got.status != 200 {
			t.Errorf("GET %s: %d %s", q, got.status, got.body)
		}
		if req := s.search.last(t); req.Reach.Key() != reach.Tenants("a").Key() {
			t.Errorf("GET %s asked the store for another reach than its tenant", q)
		}
	}
	for _, q := range []string{"/api/v1/cmdb/items", "/api/v1/cmdb/items/sys_1", "/api/v1/cmdb/export"} {
		s.call("GET", q, "", bearer(a)...)
		if sc := s.cmdb.scopes[len(s.cmdb.scopes)-1]; sc.Key() != reach.Tenants("a").Key() {
			t.Errorf("GET %s asked the CMDB with another reach than its tenant", q)
		}
	}
	b := s.token("b", identity.ScopeRead)
	for _, path := range []string{"/api/v1/events/e-1-0", "/api/v1/events/e-1-0/original"} {
		if got := s.call("GET", path, "", bearer(b)...); got.status != 404 {
			t.Errorf("another tenant's %s: got %d, want 404", path, got.status)
		}
	}
	if got := s.call("GET", "/metrics", "", bearer(a)...); got.status != 403 {
		t.Errorf("the whole suite's metrics with a tenant's token: got %d, want 403", got.status)
	}
	if got := s.call("GET", "/api/v1/sources", "", bearer(a)...); strings.Contains(string(got.body), "syslog") {
		t.Errorf("the whole suite's sources with a tenant's token: %s", got.body)
	}

	// Writing: the token's tenant; the header's for a city-level token; the
	// Basic user's where it is a tenant; else nobody's yet.
	f := func(want string, headers ...string) {
		t.Helper()
		s.ingest.took = nil
		if got := s.call("POST", "/elastic/_bulk", "x", headers...); got.status != 200 || len(s.ingest.took) != 1 || s.ingest.took[0] != want+":x" {
			t.Errorf("%q: got %d, took %q, want tenant %q", headers, got.status, s.ingest.took, want)
		}
	}
	f("a", bearer(a)...)
	f("a", append(bearer(a), headerTenant, "a")...)
	f("", bearer(city)...)
	f("b", append(bearer(city), headerTenant, "b")...)
	f("b", "Authorization", basic("b", city))
	f("", "Authorization", basic("filebeat", city))
	f("a", "Authorization", basic("filebeat", a))
	f("a", "Authorization", "ApiKey "+strings.TrimPrefix(basic("some-id", a), "Basic "))
	if got := s.call("POST", "/elastic/_bulk", "x", "Authorization", basic("b", a)); got.status != 403 {
		t.Errorf("another tenant as Basic user: got %d, want 403", got.status)
	}
	if got := s.call("POST", "/elastic/_bulk", "x", append(bearer(city), headerTenant, "a|b")...); got.status != 403 {
		t.Errorf("writing to two tenants: got %d, want 403", got.status)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	f := func(token, method, path string, want int) {
		t.Helper()
		if got := s.call(method, path, "{}", bearer(token)...); got.status != want {
			t.Errorf("%s %s: got %d, want %d: %s", method, path, got.status, want, got.body)
		}
	}
	ingest, read := s.token("", identity.ScopeIngest), s.token("", identity.ScopeRead)
	f(ingest, "POST", "/elastic/_bulk", 200)
	f(ingest, "POST", "/elastic/logs-app/_bulk", 200)
	f(ingest, "GET", "/api/v1/search", 403)
	f(ingest, "GET", "/api/v1/me", 200)
	f(ingest, "GET", "/api/v1/openapi.json", 200)
	f(ingest, "GET", "/metrics", 403)
	f(read, "POST", "/elastic/_bulk", 403)
	f(read, "POST", "/loki/api/v1/push", 403)
	f(read, "GET", "/api/v1/search", 200)
	f(read, "GET", "/metrics", 200)
	f(read, "GET", "/api/v1/users", 403)
	f(read, "GET", "/api/v1/audit", 403)
	f(read, "POST", "/api/v1/tokens", 403)
	f(read, "POST", "/api/v1/rules/reload", 403)
	f(read, "GET", "/api/v1/nothing", 404)
	f(read, "DELETE", "/api/v1/search", 405)
}

func TestLocalSocketIsAdmin(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	dir, err := os.MkdirTemp("", "iw") // t.TempDir may be longer than a socket's name can be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	sock := filepath.Join(dir, "s.sock")
	ln, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.srv.Serve(ln) }()
	client := &http.Client{Transport: &http.Transport{Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", sock) }}}
	a := s.with(client, "http://local", "GET", "/api/v1/me", nil)
	if me := a.json(t); a.status != 200 || me["username"] != "local" || me["all_tenants"] != true {
		t.Fatalf("on the socket: %d %s", a.status, a.body)
	}
	if a := s.with(client, "http://local", "GET", "/api/v1/users", nil); a.status != 200 {
		t.Fatalf("users on the socket: %d", a.status)
	}
	if a := s.with(client, "http://local", "GET", "/api/v1/me", nil, bearer("wrong")...); a.status != 401 {
		t.Fatalf("a wrong token on the socket must not become admin: %d", a.status)
	}
	if a := s.with(client, "http://local", "GET", "/api/v1/users", nil, bearer(s.token("a", identity.ScopeRead))...); a.status != 403 {
		t.Fatalf("a token on the socket acts as itself: %d", a.status)
	}
}

func TestCSRF(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	cookie := cookieName + "=" + s.login("admin", adminPassword)
	host := strings.TrimPrefix(s.url, "http://")
	f := func(want int, headers ...string) {
		t.Helper()
		if a := s.call("PATCH", "/api/v1/me", `{"locale":"en"}`, append([]string{"Cookie", cookie}, headers...)...); a.status != want {
			t.Errorf("with %q: got %d, want %d", headers, a.status, want)
		}
	}
	f(403)
	f(403, "Origin", "https://evil.example")
	f(403, "Origin", "https://evil.example", "X-Requested-With", "XMLHttpRequest")
	f(403, "Origin", "null")
	f(200, "X-Requested-With", "XMLHttpRequest")
	f(200, "X-Requested-With", "XMLHttpRequest", "Sec-Fetch-Site", "same-origin")
	f(403, "X-Requested-With", "XMLHttpRequest", "Sec-Fetch-Site", "cross-site")
	f(403, "X-Requested-With", "XMLHttpRequest", "Sec-Fetch-Site", "same-site")
	f(403, "Origin", s.url, "Sec-Fetch-Site", "cross-site")
	f(403, "Origin", "null")
	f(403, "Sec-Fetch-Site", "none")
	f(200, "Origin", "http://"+host)
	if a := s.call("GET", "/api/v1/me", "", "Cookie", cookie); a.status != 200 {
		t.Errorf("reading by cookie: %d", a.status)
	}
	if a := s.call("POST", "/api/v1/auth/login", `{"username":"admin","password":"x"}`, "Origin", "https://evil.example"); a.status != 403 {
		t.Errorf("signing in from a foreign page: %d", a.status)
	}
}

func TestAuditTrail(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := s.login("admin", adminPassword)
	s.call("POST", "/api/v1/auth/login", `{"username":"admin","password":"guess-one-two"}`)
	a := s.call("POST", "/api/v1/tokens", `{"name":"shipper","tenant":"a","scopes":["ingest"]}`, bearer(admin)...)
	if a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	secret := a.json(t)["token"].(string)
	s.call("GET", "/api/v1/users", "", bearer(secret)...)
	s.call("GET", "/api/v1/users", "")
	s.call("POST", "/api/v1/users", `{"username":"li","password":"short","roles":["viewer"]}`, bearer(admin)...)

	want := map[string]bool{
		"admin login ok": false, "admin login denied": false, "admin create-token ok": false,
		"token:shipper list-users denied": false, " access denied": false, "admin create-user failed": false,
	}
	deadline := time.Now().Add(time.Minute)
	var page audit.Page
	for missing := true; missing && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var err error
		if page, err = s.audit.List(t.Context(), audit.Query{}); err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Items {
			want[r.Actor+" "+r.Action+" "+r.Result] = true
		}
		missing = false
		for _, seen := range want {
			missing = missing || !seen
		}
	}
	for w, seen := range want {
		if !seen {
			t.Errorf("not in the audit log: %q", w)
		}
	}
	for _, r := range page.Items {
		for _, text := range []string{r.Actor, r.Object, r.Detail, string(r.Changes)} {
			if strings.Contains(text, "guess-one-two") || strings.Contains(text, secret) || strings.Contains(text, adminPassword) {
				t.Errorf("a secret in the audit log: %+v", r)
			}
		}
	}
	if r, err := s.audit.Verify(t.Context()); err != nil || !r.OK || r.Records < int64(len(want)) {
		t.Fatalf("the chain: %+v, %v", r, err)
	}
	list := s.call("GET", "/api/v1/audit?result=ok&actor=admin&limit=1", "", bearer(admin)...).json(t)
	if items := list["items"].([]any); len(items) != 1 || list["next"] == "" {
		t.Errorf("a page of one: %v", list)
	}
}

func basic(user, password string) string {
	req, _ := http.NewRequest("GET", "http://x", nil)
	req.SetBasicAuth(user, password)
	return req.Header.Get("Authorization")
}

// withPrincipal makes the context of a request by one who may see the tenants.
func withPrincipal(ctx context.Context, tenants []string) context.Context {
	within := reach.Tenants(tenants...)
	return context.WithValue(ctx, stateKey{}, &reqState{own: within, reach: within, principal: &identity.Principal{
		Username: "x", Tenants: tenants, Via: identity.ViaSession}})
}

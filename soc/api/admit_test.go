package api

import (
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/audit"
	"icewatch/soc/identity"
	"icewatch/soc/protocol"
)

// TestBothWaysInAreOneGate shows the same credentials over HTTP and as an Entry:
// status, reason and tenant are the same, and so is the note in the audit log.
func TestBothWaysInAreOneGate(t *testing.T) {
	t.Parallel()
	var caller ProtocolCaller
	s := newSuite(t, func(d *Deps) {
		d.Protocols = []protocol.Protocol{{Prefix: "/otlp",
			Refuse: func(c *fiber.Ctx, status int, why string) error { return c.Status(status).SendString(why) },
			Routes: []protocol.Route{{Method: "POST", Path: "/otlp/v1/logs", Operation: "ingest", Scope: identity.ScopeIngest,
				Handler: func(c *fiber.Ctx) error { return c.SendString(caller.Tenant(c)) }}}}}
	})
	_, elsewhere, err := s.identity.CreateToken(t.Context(), identity.NewToken{Name: "bound", Tenant: "a", Scopes: []string{identity.ScopeIngest}, Addresses: []string{"192.0.2.0/24"}})
	if err != nil {
		t.Fatal(err)
	}
	one, all, read := s.token("a", identity.ScopeIngest), s.token("", identity.ScopeIngest), s.token("a", identity.ScopeRead)
	basic := func(user, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret))
	}
	refused := map[string]bool{}
	for _, c := range []struct {
		authorization, tenant string
		status                int
		says                  string // the reason, or whose events it brings
	}{
		{"", "", 401, "needs a token"},
		{"Bearer nonsense", "", 401, "not valid"},
		{"Negotiate x", "", 401, "none of Bearer, Basic, ApiKey"},
		{"Bearer " + strings.Repeat("x", 2*maxCredential), "", 401, "too long"},
		{"Bearer " + elsewhere, "", 401, "not valid from this address"},
		{"Bearer " + read, "", 403, "scope ingest"},
		{"Bearer " + one, "b", 403, "not within your reach"},
		{"Bearer " + one, "a", 200, "a"},
		{"Bearer " + one, "", 200, "a"},
		{"Bearer " + all, "a|b", 403, "one tenant"},
		{"Bearer " + all, "b", 200, "b"},
		{"Bearer " + all, "", 200, ""},
		{"Bearer " + all, "fake", 200, ""}, // a Loki without tenants
		{"Bearer " + one, "fake", 200, "a"},
		{basic("b", all), "fake", 200, "b"},
		{"Bearer " + all, "faker", 403, "not within your reach"},
		{basic("b", all), "", 200, "b"},
		{basic("whoever", one), "", 200, "a"},
		{"Bearer " + s.login("admin", adminPassword), "a", 200, "a"}, // a session
	} {
		h := s.call("POST", "/otlp/v1/logs", "", "Authorization", c.authorization, headerTenant, c.tenant)
		tenant, status, why := s.srv.AdmitIngest(t.Context(), Entry{Authorization: c.authorization, Tenant: c.tenant, Object: "/Export", Peer: netip.MustParseAddr("127.0.0.1")})
		if h.status != status || status != c.status || string(h.body) != tenant+why || !strings.Contains(tenant+why, c.says) {
			t.Errorf("%.30s as %q: %d %q over HTTP, %d %q%q otherwise; want %d %q", c.authorization, c.tenant, h.status, h.body, status, tenant, why, c.status, c.says)
		}
		if status != http.StatusOK {
			refused[why] = true
		}
	}
	for range 100 { // it is written soon, not at once
		page, err := s.audit.List(t.Context(), audit.Query{Action: "access", Result: audit.Denied, Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Items {
			if r.Object == "/Export" {
				delete(refused, r.Detail)
			}
		}
		if len(refused) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("not in the audit log: %v", refused)
}

// TestAPortOfItsOwnLeadsNowhereElse asks a protocol's own port for its paths and
// for others.
func TestAPortOfItsOwnLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	s := newSuite(t, func(d *Deps) {
		d.Protocols = []protocol.Protocol{{Prefix: "/otlp",
			Refuse: func(c *fiber.Ctx, status int, why string) error { return c.Status(status).SendString("otlp: " + why) },
			Routes: []protocol.Route{{Method: "POST", Path: "/otlp/v1/logs", Operation: "ingest", Scope: identity.ScopeIngest,
				Handler: func(c *fiber.Ctx) error { return c.SendString(c.Path() + " " + c.Query("q")) }}}}}
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.srv.Below("/otlp")(ln) }()
	t.Cleanup(func() { _ = ln.Close() })
	token := s.token("a", identity.ScopeIngest)
	f := func(method, path string, status int, want string, headers ...string) {
		t.Helper()
		a := s.with(http.DefaultClient, "http://"+ln.Addr().String(), method, path, http.NoBody, headers...)
		if a.status != status || !strings.Contains(string(a.body), want) {
			t.Errorf("%s %s: %d %.200s, want %d %s", method, path, a.status, a.body, status, want)
		}
	}
	f("POST", "/v1/logs?q=x%3F", 200, "/otlp/v1/logs x?", bearer(token)...)
	f("POST", "//v1/logs", 200, "/otlp/v1/logs", bearer(token)...)
	f("POST", "/v1/logs", 401, "otlp: ")
	for _, path := range []string{"/", "/healthz", "/../healthz", "/%2e%2e/healthz", "/api/v1/auth/policy", "/../api/v1/auth/policy", "/index.html", "/v1/logs%3F"} {
		f("GET", path, 401, "otlp: ")
	}
	f("GET", "/../api/v1/me", 404, "otlp: ", bearer(token)...)
}

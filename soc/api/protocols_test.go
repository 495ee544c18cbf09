package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/identity"
	"icewatch/soc/protocol"
	"icewatch/soc/search"
)

// TestProtocolsAreServedByTheFrame serves an API of another product: who is not
// known, what fails and what does not exist are answered in its own form.
func TestProtocolsAreServedByTheFrame(t *testing.T) {
	t.Parallel()
	var caller ProtocolCaller
	s := newSuite(t, func(d *Deps) {
		d.Protocols = []protocol.Protocol{{Prefix: "/jaeger",
			Refuse: func(c *fiber.Ctx, status int, why string) error { return c.Status(status).SendString("jaeger: " + why) },
			Routes: []protocol.Route{
				{Method: "POST", Path: "/jaeger/api/:kind/query", Operation: "jaeger-query", Scope: identity.ScopeRead, Kind: protocol.Search, Handler: func(c *fiber.Ctx) error {
					within, err := caller.Reach(c)
					if err != nil {
						return err
					}
					_, timed := c.UserContext().Deadline()
					return c.JSON(fiber.Map{"a": within.CoversTenant("a"), "b": within.CoversTenant("b"), "timed": timed, "body": string(c.Body())})
				}},
				{Method: "GET", Path: "/jaeger/api/wrong", Operation: "jaeger-query", Scope: identity.ScopeRead, Kind: protocol.Read, Handler: func(*fiber.Ctx) error {
					return &search.QueryError{Query: "x", Position: -1, Reason: "no such service"}
				}},
				{Method: "GET", Path: "/jaeger/api/broken", Operation: "jaeger-query", Scope: identity.ScopeRead, Kind: protocol.Read, Handler: func(*fiber.Ctx) error {
					return errors.New("the password is secret")
				}},
				{Method: "POST", Path: "/jaeger/api/:kind/spans", Operation: "ingest", Scope: identity.ScopeIngest, Handler: func(c *fiber.Ctx) error {
					return c.SendString(caller.Tenant(c) + ":" + string(c.Request().Body()))
				}},
			}}}
	})
	read, ingest := s.token("a", identity.ScopeRead), s.token("a", identity.ScopeIngest)
	f := func(method, path, body string, status int, want string, headers ...string) {
		t.Helper()
		a := s.call(method, path, body, headers...)
		if a.status != status || !strings.Contains(string(a.body), want) {
			t.Errorf("%s %s: %d %s, want %d %s", method, path, a.status, a.body, status, want)
		}
		if status == http.StatusUnauthorized && !strings.Contains(strings.Join(a.header.Values("WWW-Authenticate"), " "), "Basic") {
			t.Errorf("%s %s: no challenge for a password", method, path)
		}
	}
	f("POST", "/jaeger/api/x/query", "", 401, "jaeger: ")
	f("POST", "/jaeger/api/x/query", "", 403, "jaeger: ", bearer(ingest)...)
	f("POST", "/jaeger/api/x/spans", "", 403, "jaeger: ", bearer(read)...)
	f("POST", "/jaeger/api/x/query", "q", 200, `{"a":true,"b":false,"body":"q","timed":true}`, bearer(read)...)
	f("POST", "/jaeger/api/x/query", "q", 403, "jaeger: ", append(bearer(read), headerTenant, "b")...)
	f("POST", "/jaeger/api/x/spans", "s", 200, "a:s", bearer(ingest)...)
	f("GET", "/jaeger/api/wrong", "", 400, "jaeger: ", bearer(read)...)
	f("GET", "/jaeger/api/wrong", "", 400, "no such service", bearer(read)...)
	f("GET", "/jaeger/api/broken", "", 500, "jaeger: something went wrong", bearer(read)...)
	f("GET", "/jaeger/api/nothing", "", 404, "jaeger: there is nothing", bearer(read)...)
	f("GET", "/jaeger/api/x/spans", "", 405, "jaeger: ", bearer(read)...)
	f("GET", "/api/v1/nothing", "", 404, `"title"`, bearer(read)...)
}

func TestAnIntakeRouteMatchesAsTheRouterDoes(t *testing.T) {
	t.Parallel()
	r := intakeRoute{"POST", strings.Split("/elastic/:index/_bulk", "/")}
	for path, want := range map[string]bool{"/elastic/a/_bulk": true, "/elastic//_bulk": false, "/elastic/_bulk": false, "/elastic/a/_bulk/": false,
		"/elastic/a/b/_bulk": false, "/elastic/a": false, "": false, "/": false, "x/elastic/a/_bulk": false} {
		if got := r.matches(path); got != want {
			t.Errorf("%q: %v, want %v", path, got, want)
		}
	}
}

package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"icewatch/collectors/fleet/extension"
)

// cookieName is the session cookie of the console.
const cookieName = "icewatch_session"

// headerTenant chooses a tenant, as Loki and Grafana Mimir spell it.
const headerTenant = "X-Scope-OrgID"

// noOrgID is what a Loki without tenants (auth_enabled: false) calls its only
// one: its ruler names it in headerTenant with all that it sends.
const noOrgID = "fake"

// maxCredential bounds a credential in bytes before anything is done with it.
const maxCredential = 4096

// credential is what a request shows to prove who it is.
type credential struct {
	secret string // the token; "" where there is none
	user   string // the user name beside it in Basic authentication
	cookie bool   // it came in the session cookie
	bad    string // what is wrong where one was tried that cannot be read
}

// parseCredential reads the Authorization header and, only where that is
// missing, the session cookie. Understood are "Bearer TOKEN", "Basic" with the
// token as password (RFC 7617), and "ApiKey" as Elasticsearch's clients send
// it: base64 of id:token.
func parseCredential(authorization, cookie string) credential {
	if authorization == "" {
		if len(cookie) > maxCredential {
			return credential{bad: "the session cookie is too long"}
		}
		return credential{secret: cookie, cookie: cookie != ""}
	}
	if len(authorization) > maxCredential {
		return credential{bad: "the Authorization header is too long"}
	}
	scheme, value, _ := strings.Cut(authorization, " ")
	value = strings.TrimSpace(value)
	if value == "" {
		return credential{bad: "the Authorization header holds no credential"}
	}
	switch strings.ToLower(scheme) {
	case "bearer":
		return credential{secret: value}
	case "basic", "apikey":
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return credential{bad: "the Authorization header is not valid base64"}
		}
		user, secret, found := strings.Cut(string(raw), ":")
		if !found || secret == "" {
			return credential{bad: "the Authorization header holds no token after the colon"}
		}
		if strings.EqualFold(scheme, "apikey") {
			user = "" // the id of a key names no tenant
		}
		return credential{secret: secret, user: user}
	default:
		return credential{bad: "the Authorization scheme is none of Bearer, Basic, ApiKey"}
	}
}

// authenticate is the one gate before the router. Without a valid credential
// nothing gets past it but the public routes; the console's files are served
// from here and reach no route.
func (s *Server) authenticate(c *fiber.Ctx) error {
	ctx := c.UserContext()
	st := stateOf(ctx)
	if key, ok := hookKey(c); ok {
		return s.admitHook(c, st, key)
	}
	if c.Method() == http.MethodPost && matchesPublic(orderHookPath, c.Path()) {
		return s.admitOrderHook(c, st, strings.Clone(strings.Split(c.Path(), "/")[2]))
	}
	if s.isPublic(c) {
		// A foreign page must not sign its visitor in as somebody else.
		if (c.Get(fiber.HeaderOrigin) != "" || c.Get("Sec-Fetch-Site") != "") && !safeMethod(c.Method()) && !sameOrigin(c) && !takesForeignForms(c.Path()) && !isAssertion(c) {
			return s.refuse(c, "the request comes from a page of another origin")
		}
		if answered, err := s.limit(c, st); answered {
			return err
		}
		if isAssertion(c) {
			return s.admit(c, maxAssertion)
		}
		return s.admit(c, maxPublicBody)
	}
	if s.isConsole(c) {
		return s.serveConsole(c)
	}

	cred := parseCredential(c.Get(fiber.HeaderAuthorization), c.Cookies(cookieName))
	why, err := s.identify(ctx, st, cred)
	if err != nil {
		s.discardBody(c)
		return s.fiberError(c, err)
	}
	if why != "" {
		return s.deny(c, why)
	}
	if answered, err := s.limit(c, st); answered {
		return err
	}
	st.own = s.reachOf(st.principal)

	if cred.cookie && !safeMethod(c.Method()) && !sameOrigin(c) {
		return s.refuse(c, "a change by session cookie needs the header X-Requested-With or an Origin of this server")
	}
	if code, why := obligation(st.principal, c.Method(), c.Path()); code != "" {
		s.discardBody(c)
		return s.fiberError(c, coded(http.StatusForbidden, code, why))
	}
	if err := s.seeAs(c, st); err != nil {
		s.discardBody(c)
		return s.fiberError(c, err)
	}
	if why := s.selectTenants(st, c.Get(headerTenant), cred.user); why != "" {
		return s.refuse(c, why)
	}
	if st.intake {
		if why := mayWrite(ctx, st); why != "" {
			return s.refuse(c, why)
		}
	}
	limit := int64(maxAPIBody)
	switch {
	case st.intake:
		limit = s.deps.MaxBody
	case c.Method() == http.MethodPost && c.Path() == prefix+fleetPlugins:
		limit = extension.MaxSize + 1
	case c.Method() == http.MethodPost && (c.Path() == prefix+fleetPackages || c.Path() == prefix+fleetPackages+"/batch"):
		limit = maxUpgrade
	}
	return s.admit(c, limit)
}

// admit reads the body within limit, runs the route and records what it did.
func (s *Server) admit(c *fiber.Ctx, limit int64) error {
	release, err := s.readBody(c, limit)
	if err != nil {
		return s.fiberError(c, err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(c.UserContext(), s.requestTimeout())
	defer cancel()
	c.SetUserContext(ctx)
	if err := c.Next(); err != nil {
		if answer := s.fiberError(c, err); answer != nil {
			return answer
		}
	}
	if st := stateOf(c.UserContext()); st.cookie != "" {
		c.Response().Header.Add(fiber.HeaderSetCookie, st.cookie)
	}
	s.record(c)
	return nil
}

// isPublic tells whether the request is for one of the public routes. The
// router is strict and case-sensitive, so an exact comparison is the same that
// the router makes.
func (s *Server) isPublic(c *fiber.Ctx) bool {
	method := c.Method()
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return slices.ContainsFunc(publicRoutes, func(route string) bool {
		m, pattern, _ := cutKey(route)
		return m == method && matchesPublic(pattern, c.Path())
	})
}

// isAssertion tells whether the request brings the answer of a SAML provider:
// the one post that rightly comes from another site's page. It signs nobody in;
// only the browser that asked for it is, where it is sent next.
func isAssertion(c *fiber.Ctx) bool {
	return c.Method() == http.MethodPost && matchesPublic(prefix+"/auth/saml/:provider/acs", c.Path())
}

// matchesPublic tells whether a path is one of a public pattern: each :name
// stands for one segment of letters, digits and - , which is less than the
// router would take.
func matchesPublic(pattern, path string) bool {
	if !strings.Contains(pattern, ":") {
		return pattern == path
	}
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !strings.HasPrefix(want[i], ":") {
			if want[i] != got[i] {
				return false
			}
			continue
		}
		if got[i] == "" || len(got[i]) > 64 || strings.ContainsFunc(got[i], func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
		}) {
			return false
		}
	}
	return true
}

func safeMethod(m string) bool {
	return m == http.MethodGet || m == http.MethodHead || m == http.MethodOptions
}

// sameOrigin tells whether a browser's request provably comes from our own
// pages. Browsers of today say so themselves (Sec-Fetch-Site); of older ones,
// a foreign page can forge neither Origin nor set X-Requested-With, which would
// need our consent by CORS that is never given.
func sameOrigin(c *fiber.Ctx) bool {
	switch c.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return false
	}
	if origin := c.Get(fiber.HeaderOrigin); origin != "" {
		u, err := url.Parse(origin)
		return err == nil && u.Host != "" && strings.EqualFold(u.Host, string(c.Request().Host()))
	}
	return c.Get(fiber.HeaderXRequestedWith) != ""
}

// selectTenants applies the tenant that the header, or the user name of Basic
// authentication, names. It returns why it may not be chosen, or "". Loki's
// "a|b" chooses several for reading.
func (s *Server) selectTenants(st *reqState, header, basicUser string) string {
	st.reach = st.own
	if header == noOrgID && !s.tenantExists(noOrgID) {
		header = ""
	}
	if header == "" {
		// Shippers that cannot send headers name the tenant as their user. Any
		// other user name means nothing.
		if basicUser == "" || s.deps.Tenants == nil || !s.tenantExists(basicUser) {
			return ""
		}
		header = basicUser
	}
	if len(header) > maxCredential {
		return "the header " + headerTenant + " is too long"
	}
	for slug := range strings.SplitSeq(header, "|") {
		slug = strings.TrimSpace(slug)
		// A tenant that does not exist and one out of reach get the same answer.
		if slug == "" || !st.own.CoversTenant(slug) || !s.tenantExists(slug) {
			return "the tenant chosen is not within your reach"
		}
		if !slices.Contains(st.selected, slug) {
			st.selected = append(st.selected, slug)
		}
	}
	st.reach = st.own.Narrow(st.selected)
	if len(st.selected) == 1 {
		st.tenant = st.selected[0]
	}
	return ""
}

// tenantExists tells whether there is such a tenant, as far as is known.
func (s *Server) tenantExists(slug string) bool {
	if s.deps.Tenants == nil {
		return true
	}
	_, ok := s.deps.Tenants.Get(slug)
	return ok
}

// deny answers 401 to who is not known.
func (s *Server) deny(c *fiber.Ctx, why string) error {
	if answered, err := s.limit(c, stateOf(c.UserContext())); answered {
		return err
	}
	c.Append(fiber.HeaderWWWAuthenticate, `Bearer realm="icewatch"`)
	if isForeign(c.Path()) {
		// Shippers wait for this challenge before they send a password; a
		// browser would pop up a dialogue, so the API itself does not offer it.
		c.Append(fiber.HeaderWWWAuthenticate, `Basic realm="icewatch", charset="UTF-8"`)
	}
	return s.turnAway(c, http.StatusUnauthorized, why)
}

// refuse answers 403 to who is known.
func (s *Server) refuse(c *fiber.Ctx, why string) error {
	return s.turnAway(c, http.StatusForbidden, why)
}

// turnAway answers without reading the body, notes it, and closes the
// connection where a body would otherwise be taken for the next request.
func (s *Server) turnAway(c *fiber.Ctx, status int, why string) error {
	s.discardBody(c)
	s.noteRefusal(stateOf(c.UserContext()), c.Method()+" "+clip(c.Path(), 200), why)
	return writeProblem(c, status, why)
}

// clip cuts what a stranger sent to a length that a log can bear.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

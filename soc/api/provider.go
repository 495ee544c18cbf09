package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/audit"
	"icewatch/soc/identity"
	"icewatch/soc/identity/policy"
	"icewatch/soc/identity/provider"
)

// Provider is what the API asks of soc/identity/provider.
type Provider interface {
	http.Handler // the endpoints for programs; the path is the one below provider.Path

	Authorize(ctx context.Context, q url.Values, sessionID, language string) (provider.Answer, error)
	Consent(ctx context.Context, form url.Values, sessionID, language string) (provider.Answer, error)
	EndSession(ctx context.Context, q url.Values, sessionID string, confirmed bool, language string) (provider.Answer, error)

	SigningKeys() []provider.SigningKey
	RotateKey(ctx context.Context, withdraw bool) error
	Grants(ctx context.Context, user, application string) ([]provider.Grant, error)
	EndGrant(ctx context.Context, id string) error
	Origin() (issuer, warning string)

	Get(id string) (provider.Application, error)
	List(f provider.Filter) []provider.Application
	Person(ctx context.Context, p *identity.Principal) (provider.Person, error)
	Usable(p provider.Person, f provider.Filter) []provider.Application
	Create(ctx context.Context, a provider.Application, by string) (provider.Application, error)
	Update(ctx context.Context, id string, ch provider.Change) (provider.Application, error)
	Delete(ctx context.Context, ids []string) (deleted, missing []string, err error)
	NewSecret(ctx context.Context, id string) (string, error)
	AddKey(ctx context.Context, id string, n provider.NewKey) (provider.MadeKey, error)
	DeleteKey(ctx context.Context, id, kid string) error
	SetIcon(ctx context.Context, id string, data []byte) error
	Icon(ctx context.Context, id string) (data []byte, kind string, err error)
	Versions(ctx context.Context, apps []provider.Application) []provider.Version
}

// takesForeignForms tells which public POSTs a page of another origin may
// send a browser to: those that do nothing a GET would not. The session's
// cookie does not come with them.
func takesForeignForms(path string) bool {
	return path == provider.Path+provider.PathAuthorize || path == provider.Path+provider.PathEndSession
}

// oidcRoutes registers the OpenID endpoints. They stand outside of huma, since
// their forms and errors are those of OAuth 2.0.
func (s *Server) oidcRoutes() {
	if s.deps.Provider == nil {
		return
	}
	at := func(method, path, action string, h fiber.Handler) {
		s.handle(method, provider.Path+path, action, scopePublic, h)
	}
	for path, action := range map[string]string{
		provider.PathToken: "oidc-token", provider.PathIntrospect: "oidc-introspect", provider.PathRevoke: "oidc-revoke", provider.PathUserinfo: "oidc-userinfo",
	} {
		at(http.MethodPost, path, action, s.oidcProgram)
	}
	at(http.MethodGet, provider.PathUserinfo, "oidc-userinfo", s.oidcProgram)
	at(http.MethodGet, provider.PathDiscovery, "oidc-discovery", s.oidcProgram)
	at(http.MethodGet, provider.PathKeys, "oidc-keys", s.oidcProgram)

	at(http.MethodGet, provider.PathAuthorize, "oidc-authorize", func(c *fiber.Ctx) error {
		return s.oidcAnswer(c, func(ctx context.Context, q url.Values, session, language string) (provider.Answer, error) {
			return s.deps.Provider.Authorize(ctx, q, session, language)
		})
	})
	at(http.MethodPost, provider.PathAuthorize, "oidc-authorize", func(c *fiber.Ctx) error {
		form, err := url.ParseQuery(string(c.Body()))
		if err != nil {
			return writeProblem(c, http.StatusBadRequest, "the body is no form")
		}
		stateOf(c.UserContext()).skipAudit = true
		return c.Redirect(provider.Path+provider.PathAuthorize+"?"+form.Encode(), http.StatusSeeOther)
	})
	at(http.MethodPost, provider.PathConsent, "oidc-consent", func(c *fiber.Ctx) error {
		if !sameOrigin(c) {
			return writeProblem(c, http.StatusForbidden, "the form is not of our own page")
		}
		return s.oidcAnswer(c, s.deps.Provider.Consent)
	})
	end := func(c *fiber.Ctx) error {
		return s.oidcAnswer(c, func(ctx context.Context, q url.Values, session, language string) (provider.Answer, error) {
			said := q.Get("confirm")
			q.Del("confirm")
			if said == "no" {
				return provider.Answer{Redirect: "/"}, nil
			}
			confirmed := said == "yes" && c.Method() == http.MethodPost && sameOrigin(c)
			return s.deps.Provider.EndSession(ctx, q, session, confirmed, language)
		})
	}
	at(http.MethodGet, provider.PathEndSession, "oidc-end-session", end)
	at(http.MethodPost, provider.PathEndSession, "oidc-end-session", end)
}

// oidcAnswer lets the provider answer a browser, with the session that the
// browser has by its cookie.
func (s *Server) oidcAnswer(c *fiber.Ctx, f func(ctx context.Context, q url.Values, session, language string) (provider.Answer, error)) error {
	ctx := c.UserContext()
	st := stateOf(ctx)
	// What happened is noted by the provider, which knows the user and the
	// application.
	st.skipAudit = true
	q, err := url.ParseQuery(string(c.Request().URI().QueryString()))
	if err == nil && c.Method() == http.MethodPost {
		q, err = url.ParseQuery(string(c.Body()))
	}
	if err != nil {
		return writeProblem(c, http.StatusBadRequest, "the request's parameters cannot be read")
	}
	session := ""
	if secret := c.Cookies(cookieName); secret != "" && len(secret) <= maxCredential {
		switch p, err := s.deps.Identity.Authenticate(ctx, secret, st.address); {
		case err == nil && p.Via == identity.ViaSession:
			session, st.actor = p.SessionID, p.Username
		case err != nil && !isUnauthenticated(err):
			return err
		}
	}
	answer, err := f(ctx, q, session, clip(c.Get(fiber.HeaderAcceptLanguage), 200))
	if err != nil {
		return err
	}
	if answer.SignedOut {
		gone := cookie(ctx, cookieName, "", time.Unix(1, 0))
		c.Response().Header.Add(fiber.HeaderSetCookie, gone.String())
	}
	if answer.Redirect != "" {
		return c.Redirect(answer.Redirect, http.StatusSeeOther)
	}
	c.Set(fiber.HeaderContentSecurityPolicy, provider.PagePolicy(answer.FormTarget))
	// Without it the browser would hide even from us where the form comes from.
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	return c.Status(answer.Status).Send(answer.Page)
}

// oidcProgram hands a request to the provider's handler for programs and
// copies its answer. What the provider is shown are copies: the server uses its
// own memory again.
func (s *Server) oidcProgram(c *fiber.Ctx) error {
	ctx := c.UserContext()
	r, err := http.NewRequestWithContext(ctx, c.Method(), "http://provider"+strings.TrimPrefix(c.Path(), provider.Path), io.NopCloser(bytes.NewReader(c.Body())))
	if err != nil {
		return writeProblem(c, http.StatusBadRequest, "the request cannot be read")
	}
	for _, h := range []string{fiber.HeaderAuthorization, fiber.HeaderContentType} {
		if v := c.Get(h); v != "" {
			r.Header.Set(h, v)
		}
	}
	st := stateOf(ctx)
	st.actor = "application:" + clip(clientOf(r, c), 64)
	w := &recorded{header: http.Header{}, status: http.StatusOK}
	s.deps.Provider.ServeHTTP(w, r)
	st.skipAudit = w.status < 400 // the provider notes what it did
	for name, values := range w.header {
		for i, v := range values {
			if i == 0 {
				c.Set(name, v)
			} else {
				c.Append(name, v)
			}
		}
	}
	if w.status >= 400 {
		st.detail = clip(strings.TrimSpace(w.body.String()), 300)
	}
	return c.Status(w.status).Send(w.body.Bytes())
}

// clientOf is the client_id that a request names, for the audit log.
func clientOf(r *http.Request, c *fiber.Ctx) string {
	if id, _, ok := r.BasicAuth(); ok {
		return id
	}
	return string(c.Request().PostArgs().Peek("client_id"))
}

// recorded gathers what an http.Handler writes.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorded) Header() http.Header         { return a.header }
func (a *recorded) WriteHeader(status int)      { a.status = status }
func (a *recorded) Write(b []byte) (int, error) { return a.body.Write(b) }

// ProviderEvents notes in the audit log what the provider did.
func ProviderEvents(log Audit, fallback *slog.Logger) func(ctx context.Context, e provider.Event) {
	return func(ctx context.Context, e provider.Event) {
		rec := audit.Record{Time: time.Now(), Kind: audit.KindAccess, Actor: e.User, Action: e.Action, Object: "application:" + e.Application,
			Result: audit.OK, Session: e.Session, Detail: e.Detail}
		switch {
		case e.Denied: // no failed sign-in: who it is was proved
		case e.Action == provider.EventSignOut:
			rec.Kind = audit.KindSignOut
		default:
			rec.Kind = audit.KindSignIn
		}
		if e.User == "" && e.Application != "" {
			rec.Actor = "application:" + e.Application
		}
		if e.Application == "" {
			rec.Object = "session"
		}
		if st := stateOf(ctx); st != nil {
			rec.Address, rec.RequestID, rec.Client = st.address, st.requestID, st.userAgent
		}
		if e.Denied {
			rec.Result = audit.Denied
			log.Note(rec)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := log.Append(ctx, rec); err != nil {
			fallback.Error("a sign-in to an application could not be written to the audit log", "error", err, "actor", rec.Actor, "object", rec.Object)
		}
	}
}

// providerView is the provider as administrators see it.
type providerView struct {
	Issuer    string                `json:"issuer" doc:"Its name to the world; empty where http.external_url is needed and not set"`
	Discovery string                `json:"discovery"`
	Warning   string                `json:"warning" doc:"What should be set, in words"`
	Keys      []provider.SigningKey `json:"keys" nullable:"false"`
}

func (s *Server) providerView() providerView {
	v := providerView{Keys: s.deps.Provider.SigningKeys()}
	if v.Issuer, v.Warning = s.deps.Provider.Origin(); v.Issuer != "" {
		v.Discovery = v.Issuer + provider.PathDiscovery
	}
	return v
}

// providerRoutes registers what administrators see and do of the provider
// itself.
func (s *Server) providerRoutes() {
	Register(s, huma.Operation{OperationID: "get-provider", Method: http.MethodGet, Path: "/provider", Tags: []string{"applications"},
		Summary: "The OpenID provider: its address and its signing keys"}, identity.ScopeSecurity,
		func(ctx context.Context, _ *Empty) (*Body[providerView], error) {
			return Reply(s.providerView()), cityOnly(ctx)
		})
	Register(s, huma.Operation{OperationID: "rotate-provider-key", Method: http.MethodPost, Path: "/provider/keys/rotate", Tags: []string{"applications"},
		Summary: "Let a new key sign from now on; withdraw takes the old ones away at once, for a key that leaked", MaxBodyBytes: maxPublicBody}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			Body struct {
				Withdraw bool `json:"withdraw,omitempty"`
			}
		}) (*Body[providerView], error) {
			AuditObject(ctx, "oidc signing keys", "", "")
			if in.Body.Withdraw {
				AuditObject(ctx, "oidc signing keys", "", "the old ones are withdrawn")
			}
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if err := s.deps.Provider.RotateKey(ctx, in.Body.Withdraw); err != nil {
				return nil, err
			}
			return Reply(s.providerView()), nil
		})
	Register(s, huma.Operation{OperationID: "list-application-sign-ins", Method: http.MethodGet, Path: "/provider/grants", Tags: []string{"applications"},
		Summary: "Who is signed in to which application"}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			User        string `query:"user" maxLength:"64"`
			Application string `query:"application" maxLength:"64"`
		}) (*Body[Page[provider.Grant]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list, err := s.deps.Provider.Grants(ctx, in.User, in.Application)
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, huma.Operation{OperationID: "end-application-sign-in", Method: http.MethodDelete, Path: "/provider/grants/{id}", Tags: []string{"applications"},
		Summary: "End a sign-in to an application, with its tokens", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*struct{}, error) {
			AuditObject(ctx, "application-sign-in:"+in.ID, "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return nil, s.deps.Provider.EndGrant(ctx, in.ID)
		})
}

// checkPermissions refuses to give an application what the caller may not
// give: of the three powers only what he exercises himself, as with tokens.
// What belongs to none of them is the security administrator's to give.
func (s *Server) checkPermissions(ctx context.Context, p provider.Permissions) error {
	for i, id := range p.Operations {
		at := slices.IndexFunc(s.operations, func(o policy.Operation) bool { return o.ID == id })
		switch {
		case at < 0 || s.operations[at].Scope == scopePublic:
			return Problem(http.StatusUnprocessableEntity, "there is no operation %q that needs a permission", clip(id, 64))
		case slices.Contains(policy.Powers, s.operations[at].Scope) && !s.may(ctx, id):
			return Problem(http.StatusForbidden, "you may not do %s yourself, so you cannot let an application do it", id)
		case slices.Contains(p.Operations[:i], id):
			return Problem(http.StatusUnprocessableEntity, "the operation %s is there twice", id)
		}
	}
	if slices.Contains(p.Tenants, "*") && len(p.Tenants) > 1 {
		return Problem(http.StatusUnprocessableEntity, "give either * for all tenants or their names, not both")
	}
	// Who may change an application at all (cityOnly) reaches every tenant.
	return s.checkTenants(p.Tenants)
}

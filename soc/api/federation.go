package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/audit"
	"icewatch/soc/identity"
	"icewatch/soc/identity/federation"
	"icewatch/soc/identity/federation/peer"
	"icewatch/soc/identity/federation/saml"
)

// flowCookie holds a sign-in at a provider that has begun. It goes to the
// routes of signing in only, and is Lax, not Strict: the browser comes back
// from the provider's page.
const flowCookie = "icewatch_flow"

// maxAssertion bounds the form a SAML provider lets a browser post: base64 and
// form encoding make it longer than the XML.
const maxAssertion = saml.MaxResponse*2 + 16<<10

// Federation is what the API asks of soc/identity/federation.
type Federation interface {
	Choices() []federation.Choice
	Start(ctx context.Context, kind, id, returnTo string) (location, cookie string, err error)
	FinishOIDC(ctx context.Context, id string, q url.Values, b federation.Browser) (federation.SignedIn, error)
	ConsumeSAML(id, response string) (ticket string, err error)
	FinishSAML(ctx context.Context, id, ticket string, b federation.Browser) (federation.SignedIn, error)
	Metadata(id string) ([]byte, error)
	Logout(ctx context.Context, sessionID string) (redirect string, err error)
	BackChannel(ctx context.Context, id, token string) (ended int, err error)

	Providers(ctx context.Context) ([]federation.Provider, error)
	Provider(ctx context.Context, id string) (federation.Provider, error)
	Create(ctx context.Context, p federation.Provider) (federation.Provider, error)
	Update(ctx context.Context, id string, patch []byte) (federation.Provider, error)
	Delete(ctx context.Context, id string) (disabled int, err error)
	Test(ctx context.Context, id string) ([]peer.Check, error)
	StartSync(ctx context.Context, provider, by string, full, dryRun bool) (federation.Run, error)
	Syncs(ctx context.Context, provider string, limit int) ([]federation.Run, error)
	Sync(ctx context.Context, provider, id string) (federation.Run, error)
}

// federationRoutes registers signing in by identity providers, and their
// administration.
func (s *Server) federationRoutes() {
	if s.deps.Federation == nil {
		return
	}
	Register(s, huma.Operation{OperationID: "list-sign-in-providers", Method: http.MethodGet, Path: "/auth/providers", Tags: []string{"sign-in"},
		Summary: "The identity providers that people can sign in by"}, scopePublic,
		func(context.Context, *Empty) (*Body[Page[federation.Choice]], error) {
			list := s.deps.Federation.Choices()
			return Reply(PageOf(list, len(list), "")), nil
		})
	s.handle(http.MethodGet, prefix+"/auth/oidc/:provider/start", "sign-in-external", scopePublic, s.startExternal(federation.KindOIDC))
	s.handle(http.MethodGet, prefix+"/auth/oidc/:provider/callback", "sign-in-external", scopePublic, s.oidcCallback)
	s.handle(http.MethodPost, prefix+"/auth/oidc/:provider/backchannel", "logout-by-provider", scopePublic, s.backChannel)
	s.handle(http.MethodGet, prefix+"/auth/saml/:provider/start", "sign-in-external", scopePublic, s.startExternal(federation.KindSAML))
	s.handle(http.MethodPost, prefix+"/auth/saml/:provider/acs", "sign-in-external", scopePublic, s.samlConsumer)
	s.handle(http.MethodGet, prefix+"/auth/saml/:provider/finish", "sign-in-external", scopePublic, s.samlFinish)
	s.handle(http.MethodGet, prefix+"/auth/saml/:provider/metadata", "saml-metadata", scopePublic, s.samlMetadata)

	Register(s, huma.Operation{OperationID: "logout-external", Method: http.MethodPost, Path: "/auth/logout/external", Tags: []string{"sign-in"},
		Summary: "End the session, and say where the browser goes on to sign out at the identity provider"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*struct {
			SetCookie http.Cookie `header:"Set-Cookie"`
			Body      struct {
				Redirect string `json:"redirect" doc:"Empty: nowhere, the session is over"`
			}
		}, error) {
			p := PrincipalFrom(ctx)
			stateOf(ctx).object, stateOf(ctx).kind = "session", audit.KindSignOut
			if err := s.deps.Identity.Logout(ctx, p); err != nil {
				return nil, err
			}
			to, err := s.deps.Federation.Logout(ctx, p.SessionID)
			if err != nil {
				return nil, err
			}
			out := &struct {
				SetCookie http.Cookie `header:"Set-Cookie"`
				Body      struct {
					Redirect string `json:"redirect" doc:"Empty: nowhere, the session is over"`
				}
			}{SetCookie: cookie(ctx, cookieName, "", time.Unix(1, 0))}
			out.Body.Redirect = to
			return out, nil
		})
	s.identityProviderRoutes()
	s.syncRoutes()
}

// browser is who is signing in.
func browser(c *fiber.Ctx) federation.Browser {
	return federation.Browser{Entrance: entrance(c.UserContext()), Cookie: c.Cookies(flowCookie)}
}

// setFlow keeps a flow in the browser, or forgets it where the value is empty.
func setFlow(c *fiber.Ctx, value string) {
	f := http.Cookie{Name: flowCookie, Value: value, Path: prefix + "/auth/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: stateOf(c.UserContext()).secure, MaxAge: 600}
	if value == "" {
		f.MaxAge = -1
	}
	c.Response().Header.Add(fiber.HeaderSetCookie, f.String())
}

// startExternal sends the browser to a provider.
func (s *Server) startExternal(kind string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		id := c.Params("provider")
		to, flow, err := s.deps.Federation.Start(c.UserContext(), kind, id, c.Query("return"))
		if err != nil {
			return s.externalFailed(c, kind, id, "", err)
		}
		setFlow(c, flow)
		return c.Redirect(to, http.StatusSeeOther)
	}
}

// oidcCallback takes a browser back from an OpenID provider.
func (s *Server) oidcCallback(c *fiber.Ctx) error {
	id := c.Params("provider")
	q, err := url.ParseQuery(string(c.Request().URI().QueryString()))
	if err != nil {
		q = url.Values{}
	}
	in, err := s.deps.Federation.FinishOIDC(c.UserContext(), id, q, browser(c))
	if err != nil {
		return s.externalFailed(c, federation.KindOIDC, id, in.Return, err)
	}
	return s.externalSignedIn(c, id, in)
}

// samlConsumer takes the answer a browser posts from a SAML provider's page.
// The post comes from another site, so no cookie of ours comes with it; where
// the browser is sent next, one does.
func (s *Server) samlConsumer(c *fiber.Ctx) error {
	id := c.Params("provider")
	ticket, err := s.deps.Federation.ConsumeSAML(id, c.FormValue("SAMLResponse"))
	if err != nil {
		return s.externalFailed(c, federation.KindSAML, id, "", err)
	}
	stateOf(c.UserContext()).skipAudit = true // samlFinish tells
	return c.Redirect(prefix+"/auth/saml/"+url.PathEscape(id)+"/finish?ticket="+url.QueryEscape(ticket), http.StatusSeeOther)
}

// samlFinish signs in the browser that began.
func (s *Server) samlFinish(c *fiber.Ctx) error {
	id := c.Params("provider")
	in, err := s.deps.Federation.FinishSAML(c.UserContext(), id, c.Query("ticket"), browser(c))
	if err != nil {
		return s.externalFailed(c, federation.KindSAML, id, in.Return, err)
	}
	return s.externalSignedIn(c, id, in)
}

func (s *Server) samlMetadata(c *fiber.Ctx) error {
	data, err := s.deps.Federation.Metadata(c.Params("provider"))
	if err != nil {
		return federationProblem(err)
	}
	c.Set(fiber.HeaderContentType, "application/samlmetadata+xml")
	return c.Send(data)
}

// externalSignedIn gives the browser its session and sends it where it wanted
// to go.
func (s *Server) externalSignedIn(c *fiber.Ctx, id string, in federation.SignedIn) error {
	ctx := c.UserContext()
	st := stateOf(ctx)
	AuditSignIn(ctx, in.Session.User.Username, in.Session.Channel, in.Session.ID)
	AuditFindings(ctx, in.Session.Alarming...)
	st.detail = "by the identity provider " + id
	setFlow(c, "")
	session := signedIn(ctx, in.Session).SetCookie // the gate adds that of the device
	c.Response().Header.Add(fiber.HeaderSetCookie, session.String())
	return c.Redirect(in.Return, http.StatusSeeOther)
}

// externalFailed sends the browser back to the sign-in page with a word for
// what is wrong; the audit log says exactly.
func (s *Server) externalFailed(c *fiber.Ctx, kind, id, returnTo string, err error) error {
	if errors.Is(err, federation.ErrNotFound) {
		return federationProblem(err)
	}
	st := stateOf(c.UserContext())
	reason := federation.Reason(err)
	rec := st.auditRecord()
	rec.Kind, rec.Channel, rec.Object, rec.Result, rec.Detail = audit.KindSignIn, kind, "identity-provider:"+clip(id, 64), audit.Denied, reason+": "+clip(err.Error(), 1000)
	st.skipAudit = true
	s.deps.Audit.Note(rec)
	if reason == "unavailable" {
		s.log.Warn("a sign-in by an identity provider did not work", "provider", id, "request_id", st.requestID, "error", err)
	}
	setFlow(c, "")
	q := url.Values{"sso": {reason}, "provider": {id}, "request": {st.requestID}}
	var factor *identity.FactorError
	if errors.As(err, &factor) {
		// The sign-in page goes on with the user's own second factor. What is in
		// the address opens nothing without it, nor in another browser.
		q.Set("challenge", factor.Challenge)
		q.Set("factors", strings.Join(factor.Factors, ","))
		q.Set("return", returnTo)
	}
	return c.Redirect("/login?"+q.Encode(), http.StatusSeeOther)
}

// backChannel ends sessions at a provider's word (OpenID Connect Back-Channel
// Logout 1.0).
func (s *Server) backChannel(c *fiber.Ctx) error {
	ctx := c.UserContext()
	st := stateOf(ctx)
	id := c.Params("provider")
	st.actor, st.object, st.kind = "provider:"+clip(id, 64), "sessions", audit.KindSignOut
	n, err := s.deps.Federation.BackChannel(ctx, id, c.FormValue("logout_token"))
	switch {
	case errors.Is(err, federation.ErrNotFound):
		return federationProblem(err)
	case errors.Is(err, peer.ErrInvalid):
		st.detail = clip(err.Error(), 1000)
		return Problem(http.StatusBadRequest, "the logout token is not valid")
	case err != nil:
		return err
	}
	st.detail = "sessions ended: " + strconv.Itoa(n)
	return nil
}

// federationProblem gives the room's errors a status.
func federationProblem(err error) error {
	switch {
	case errors.Is(err, federation.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", err.Error())
	case errors.Is(err, federation.ErrExists), errors.Is(err, federation.ErrRunning):
		return Problem(http.StatusConflict, "%s", err.Error())
	case errors.Is(err, federation.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	}
	return err
}

// identityProviderRoutes registers the administration of identity providers. They
// decide who gets in, so all of it needs the reach over all tenants.
func (s *Server) identityProviderRoutes() {
	f := s.deps.Federation
	op := func(id, method, path, summary string, errs ...int) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/identity-providers" + path, Tags: []string{"identity providers"}, Summary: summary, Errors: errs}
	}
	Register(s, op("list-identity-providers", http.MethodGet, "", "All identity providers, without their secrets"), identity.ScopeSecurity,
		func(ctx context.Context, _ *Empty) (*Body[Page[federation.Provider]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list, err := f.Providers(ctx)
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, op("get-identity-provider", http.MethodGet, "/{id}", "One identity provider", 404), identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Body[federation.Provider], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			p, err := f.Provider(ctx, in.ID)
			return Reply(p), federationProblem(err)
		})
	create := op("create-identity-provider", http.MethodPost, "", "Add an identity provider", 409, 422)
	create.DefaultStatus, create.MaxBodyBytes = http.StatusCreated, 2<<20
	Register(s, create, identity.ScopeSecurity,
		func(ctx context.Context, in *struct{ Body federation.Provider }) (*Body[federation.Provider], error) {
			AuditObject(ctx, "identity-provider:"+clip(in.Body.ID, 64), "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			p, err := f.Create(ctx, in.Body)
			if err != nil {
				return nil, federationProblem(err)
			}
			AuditChange(ctx, nil, p)
			p, err = f.Provider(ctx, p.ID)
			return Reply(p), err
		})
	update := op("update-identity-provider", http.MethodPatch, "/{id}", "Change an identity provider: what is given changes, the rest stays; lists are replaced as a whole", 404, 422)
	update.MaxBodyBytes = 2 << 20
	Register(s, update, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ID      string `path:"id" maxLength:"64"`
			Body    federation.Provider
			RawBody []byte
		}) (*Body[federation.Provider], error) {
			AuditObject(ctx, "identity-provider:"+in.ID, "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			before, err := f.Provider(ctx, in.ID)
			if err != nil {
				return nil, federationProblem(err)
			}
			if _, err := f.Update(ctx, in.ID, in.RawBody); err != nil {
				return nil, federationProblem(err)
			}
			after, err := f.Provider(ctx, in.ID)
			AuditChange(ctx, before, after)
			return Reply(after), err
		})
	remove := op("delete-identity-provider", http.MethodDelete, "/{id}", "Remove an identity provider; its accounts stay, disabled", 404)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*struct{}, error) {
			AuditObject(ctx, "identity-provider:"+in.ID, "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			n, err := f.Delete(ctx, in.ID)
			if err == nil {
				AuditObject(ctx, "identity-provider:"+in.ID, "", "accounts disabled: "+strconv.Itoa(n))
			}
			return nil, federationProblem(err)
		})
	Register(s, op("test-identity-provider", http.MethodPost, "/{id}/test", "Connect to an identity provider and say what is wrong", 404), identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Body[providerTest], error) {
			AuditObject(ctx, "identity-provider:"+in.ID, "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			checks, err := f.Test(ctx, in.ID)
			if err != nil {
				return nil, federationProblem(err)
			}
			return Reply(providerTest{OK: !slices.ContainsFunc(checks, func(c peer.Check) bool { return !c.OK }), Checks: checks}), nil
		})
}

// providerTest is what connecting to a provider found.
type providerTest struct {
	OK     bool         `json:"ok"`
	Checks []peer.Check `json:"checks" nullable:"false"`
}

// syncRoutes registers taking users and units over from directories.
func (s *Server) syncRoutes() {
	f := s.deps.Federation
	Register(s, huma.Operation{OperationID: "start-sync", Method: http.MethodPost, Path: "/identity-providers/{id}/sync", Tags: []string{"identity providers"},
		Summary: "Take users and units over from a directory; it runs on after the answer", DefaultStatus: http.StatusAccepted, Errors: []int{404, 409, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"64"`
			Body struct {
				DryRun bool  `json:"dry_run,omitempty" doc:"Change nothing, say what would be changed"`
				Full   *bool `json:"full,omitempty" doc:"All entries, not only those changed since the last run; true if absent"`
			}
		}) (*Body[federation.Run], error) {
			AuditObject(ctx, "identity-provider:"+in.ID, "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			run, err := f.StartSync(ctx, in.ID, Actor(ctx), in.Body.Full == nil || *in.Body.Full, in.Body.DryRun)
			if err != nil {
				return nil, federationProblem(err)
			}
			AuditObject(ctx, "identity-provider:"+in.ID, "", "run "+run.ID)
			return Reply(run), nil
		})
	Register(s, huma.Operation{OperationID: "list-syncs", Method: http.MethodGet, Path: "/identity-providers/{id}/syncs", Tags: []string{"identity providers"},
		Summary: "The runs of a directory's sync, newest first", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ID    string `path:"id" maxLength:"64"`
			Limit int    `query:"limit" minimum:"1" maximum:"200" default:"20"`
		}) (*Body[Page[federation.Run]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list, err := f.Syncs(ctx, in.ID, in.Limit)
			return Reply(PageOf(list, len(list), "")), federationProblem(err)
		})
	Register(s, huma.Operation{OperationID: "get-sync", Method: http.MethodGet, Path: "/identity-providers/{id}/syncs/{run}", Tags: []string{"identity providers"},
		Summary: "One run of a directory's sync, with its progress", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ID  string `path:"id" maxLength:"64"`
			Run string `path:"run" maxLength:"64"`
		}) (*Body[federation.Run], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			run, err := f.Sync(ctx, in.ID, in.Run)
			return Reply(run), federationProblem(err)
		})
}

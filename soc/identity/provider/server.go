package provider

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"icewatch/soc/identity"
)

// The endpoints, below Path.
const (
	PathDiscovery  = "/.well-known/openid-configuration"
	PathAuthorize  = "/authorize"
	PathConsent    = "/consent"
	PathToken      = "/token"
	PathUserinfo   = "/userinfo"
	PathKeys       = "/keys"
	PathIntrospect = "/introspect"
	PathRevoke     = "/revoke"
	PathEndSession = "/end_session"
)

// maxParameter bounds one parameter of a request in bytes.
const maxParameter = 4096

// handler answers what programs ask: everything but the pages that a browser
// is sent to. Requests and answers are zitadel's to read and write.
func (s *Service) handler() http.Handler {
	endpoints := op.Endpoints{
		Token: op.NewEndpoint(PathToken), Introspection: op.NewEndpoint(PathIntrospect), Userinfo: op.NewEndpoint(PathUserinfo),
		Revocation: op.NewEndpoint(PathRevoke), JwksURI: op.NewEndpoint(PathKeys),
	}
	// Foreign pages get no answer they can read: the portal's applications are
	// servers, and programs that are not pages do not ask for it.
	return op.RegisterServer(&server{s: s}, endpoints, op.WithFallbackLogger(s.quiet), op.WithServerCORSOptions(nil))
}

// ServeHTTP answers the endpoints for programs. The path is the one below
// Path, and the body was read within the bounds of the API's gate.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Issuer == "" {
		http.Error(w, s.Warning, http.StatusServiceUnavailable)
		return
	}
	// Credentials and tokens in an address end up in logs (RFC 6749, 2.3.1; RFC
	// 6750, 2.3), so only the body counts.
	r.URL.RawQuery = ""
	if err := r.ParseForm(); err != nil {
		op.WriteError(w, r, refusal(oidc.ErrInvalidRequest(), "the body is no form"), s.quiet)
		return
	}
	if err := checkParameters(r.Form); err != nil {
		op.WriteError(w, r, err, s.quiet)
		return
	}
	if r.Method == http.MethodGet && r.URL.Path != PathDiscovery && r.URL.Path != PathKeys && r.URL.Path != PathUserinfo {
		w.Header().Set("Allow", http.MethodPost)
		op.WriteError(w, r, op.NewStatusError(refusal(oidc.ErrInvalidRequest(), "this endpoint takes POST"), http.StatusMethodNotAllowed), s.quiet)
		return
	}
	s.http.ServeHTTP(&challenger{w, r.URL.Path}, r)
}

// checkParameters refuses what is too long and what is there twice, as one
// reader would take the first and another the last (RFC 6749, 3.1 and 3.2).
func checkParameters(form url.Values) error {
	for name, values := range form {
		if len(values) > 1 {
			return refusal(oidc.ErrInvalidRequest(), "the parameter %.40s is there %d times", name, len(values))
		}
		if len(name)+len(values[0]) > maxParameter {
			return refusal(oidc.ErrInvalidRequest(), "the parameter %.40s is longer than %d bytes", name, maxParameter)
		}
	}
	return nil
}

// challenger adds the challenge that belongs to a 401 (RFC 9110, 15.5.2).
type challenger struct {
	http.ResponseWriter
	path string
}

func (c *challenger) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		challenge := `Basic realm="icewatch", charset="UTF-8"`
		if c.path == PathUserinfo {
			challenge = `Bearer realm="icewatch", error="invalid_token"`
		}
		c.Header().Set("WWW-Authenticate", challenge)
	}
	c.ResponseWriter.WriteHeader(status)
}

// server implements op.Server. What it leaves to the embedded one is not
// offered: no device flow, no JWT profile, no token exchange.
type server struct {
	op.UnimplementedServer
	s *Service
}

// discovery is the metadata with what zitadel's type lacks.
type discovery struct {
	*oidc.DiscoveryConfiguration
	IssInResponse bool `json:"authorization_response_iss_parameter_supported"` // RFC 9207
}

// Discovery tells clients where everything is, and nothing that is not there.
func (v *server) Discovery(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	at := func(path string) string { return v.s.Issuer + path }
	methods := []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost, oidc.AuthMethodPrivateKeyJWT}
	grants := make([]oidc.GrantType, len(GrantTypes))
	for i, g := range GrantTypes {
		grants[i] = oidc.GrantType(g)
	}
	algorithms := []string{string(jose.RS256), string(jose.ES256)}
	return op.NewResponse(discovery{&oidc.DiscoveryConfiguration{
		Issuer:                                     v.s.Issuer,
		AuthorizationEndpoint:                      at(PathAuthorize),
		TokenEndpoint:                              at(PathToken),
		UserinfoEndpoint:                           at(PathUserinfo),
		JwksURI:                                    at(PathKeys),
		IntrospectionEndpoint:                      at(PathIntrospect),
		RevocationEndpoint:                         at(PathRevoke),
		EndSessionEndpoint:                         at(PathEndSession),
		ScopesSupported:                            Scopes,
		ClaimsSupported:                            claimNames,
		ResponseTypesSupported:                     []string{string(oidc.ResponseTypeCode)},
		ResponseModesSupported:                     []string{string(oidc.ResponseModeQuery)},
		GrantTypesSupported:                        grants,
		SubjectTypesSupported:                      []string{"public"},
		IDTokenSigningAlgValuesSupported:           []string{string(algorithm)},
		CodeChallengeMethodsSupported:              []oidc.CodeChallengeMethod{oidc.CodeChallengeMethodS256},
		TokenEndpointAuthMethodsSupported:          append(slices.Clone(methods), oidc.AuthMethodNone),
		TokenEndpointAuthSigningAlgValuesSupported: algorithms,
		IntrospectionEndpointAuthMethodsSupported:  methods,
		IntrospectionEndpointAuthSigningAlgValuesSupported: algorithms,
		RevocationEndpointAuthMethodsSupported:             append(slices.Clone(methods), oidc.AuthMethodNone),
		RevocationEndpointAuthSigningAlgValuesSupported:    algorithms,
	}, true}), nil
}

// Keys publishes the public keys.
func (v *server) Keys(ctx context.Context, _ *op.Request[struct{}]) (*op.Response, error) {
	set, err := v.s.publicKeys(ctx)
	if err != nil {
		return nil, err
	}
	return op.NewResponse(set), nil
}

// client is an application as zitadel's frame sees it; what the frame would
// ask further is decided by the Service.
type client struct{ *registered }

func (c client) GetID() string                       { return c.ID }
func (c client) RedirectURIs() []string              { return c.Client.RedirectURIs }
func (c client) PostLogoutRedirectURIs() []string    { return c.Client.PostLogoutRedirectURIs }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) LoginURL(string) string                                       { return "" }
func (c client) AccessTokenType() op.AccessTokenType                          { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration                               { return 0 }
func (c client) DevMode() bool                                                { return false }
func (c client) IsScopeAllowed(scope string) bool                             { return slices.Contains(c.Client.Scopes, scope) }
func (c client) IDTokenUserinfoClaimsAssertion() bool                         { return true }
func (c client) ClockSkew() time.Duration                                     { return 0 }
func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string     { return identical }
func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string { return identical }
func identical(s []string) []string                                           { return s }

func (c client) AuthMethod() oidc.AuthMethod {
	switch c.Client.AuthMethod {
	case AuthKey:
		return oidc.AuthMethodPrivateKeyJWT
	case AuthBasic:
		return oidc.AuthMethodBasic
	case AuthPost:
		return oidc.AuthMethodPost
	}
	return oidc.AuthMethodNone
}

func (c client) GrantTypes() []oidc.GrantType {
	out := make([]oidc.GrantType, len(c.Client.GrantTypes))
	for i, g := range c.Client.GrantTypes {
		out[i] = oidc.GrantType(g)
	}
	return out
}

// errClient is the one answer to every client that did not prove who it is.
func errClient() error {
	return op.NewStatusError(refusal(oidc.ErrInvalidClient(), "the client is unknown or closed, or did not prove who it is in the way it is registered for"), http.StatusUnauthorized)
}

// VerifyClient finds out which application asks.
func (v *server) VerifyClient(ctx context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	app, err := v.s.authenticate(ctx, r.Data)
	if err != nil {
		return nil, err
	}
	return client{app}, nil
}

func (s *Service) authenticate(ctx context.Context, c *op.ClientCredentials) (*registered, error) {
	if c.ClientAssertion != "" {
		return s.authenticateByKey(ctx, c)
	}
	app, ok := s.application(c.ClientID)
	if !ok || !app.Open {
		return nil, errClient()
	}
	switch {
	case app.Client.Type == ClientPublic && c.ClientSecret == "":
		return app, nil
	case app.Client.hasSecret() && app.secretHash != "" &&
		subtle.ConstantTimeCompare([]byte(identity.HashSecret(c.ClientSecret)), []byte(app.secretHash)) == 1:
		return app, nil
	}
	return nil, errClient()
}

// longestAssertion is how far ahead an assertion may end; that long its id is
// remembered.
const longestAssertion = 10 * time.Minute

// authenticateByKey checks a client assertion (RFC 7523, 3): signed by a key of
// the application, meant for us, fresh, and never seen before.
func (s *Service) authenticateByKey(ctx context.Context, c *op.ClientCredentials) (*registered, error) {
	refuse := func(format string, args ...any) (*registered, error) {
		return nil, op.NewStatusError(refusal(oidc.ErrInvalidClient(), "client_assertion: "+format, args...), http.StatusUnauthorized)
	}
	signed, err := jwt.ParseSigned(c.ClientAssertion, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return refuse("it is no JWT signed with RS256 or ES256")
	}
	var claims jwt.Claims
	if err := signed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return refuse("its claims cannot be read")
	}
	app, ok := s.application(claims.Issuer)
	if !ok || !app.Open || app.Client.AuthMethod != AuthKey || c.ClientID != "" && c.ClientID != app.ID {
		return nil, errClient()
	}
	if !slices.ContainsFunc(app.Keys, func(k Key) bool { return k.good(s.Now()) && k.verifies(signed, &claims) }) {
		return refuse("no key of the application that is in force signed it")
	}
	now := s.Now()
	switch {
	case claims.Subject != app.ID:
		return refuse("iss and sub must both be the client_id")
	case !claims.Audience.Contains(s.Issuer) && !claims.Audience.Contains(s.Issuer+PathToken):
		return refuse("aud must be %s", s.Issuer)
	case claims.Expiry == nil || !now.Before(claims.Expiry.Time()) || claims.Expiry.Time().After(now.Add(longestAssertion)):
		return refuse("exp must lie within the next %d minutes", int(longestAssertion.Minutes()))
	case claims.NotBefore != nil && now.Add(time.Minute).Before(claims.NotBefore.Time()):
		return refuse("nbf lies ahead")
	case claims.ID == "":
		return refuse("jti is missing")
	}
	res, err := s.DB.ExecContext(ctx, "INSERT INTO provider_assertions (hash, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
		identity.HashSecret(app.ID+"\x00"+claims.ID), claims.Expiry.Time().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("oidc: remember an assertion: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return refuse("its jti was used before")
	}
	return app, nil
}

// answer makes the response that brings tokens; no cache may keep it (RFC 6749,
// 5.1).
func (s *Service) answer(t issued, idToken string, scopes []string) *op.Response {
	resp := op.NewResponse(&oidc.AccessTokenResponse{
		AccessToken: t.access, TokenType: oidc.BearerToken, RefreshToken: t.refresh, IDToken: idToken,
		ExpiresIn: uint64(max(0, t.expires.Sub(s.Now()).Seconds())), Scope: scopes,
	})
	resp.Header.Set("Cache-Control", "no-store")
	return resp
}

// CodeExchange gives tokens for a code.
func (v *server) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	app := r.Client.(client).registered
	a, err := v.s.redeem(ctx, app, r.Data.Code, r.Data.RedirectURI, r.Data.CodeVerifier)
	if err != nil {
		return nil, err
	}
	scopes := a.scopes()
	return v.s.tokens(ctx, a, scopes, slices.Contains(scopes, oidc.ScopeOfflineAccess) && app.grants(oidc.GrantTypeRefreshToken))
}

// RefreshToken gives new tokens for a refresh token, which is spent.
func (v *server) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	a, err := v.s.exchange(ctx, r.Client.(client).registered, r.Data.RefreshToken)
	if err != nil {
		return nil, err
	}
	scopes := a.scopes()
	if len(r.Data.Scopes) > 0 {
		if wider := slices.DeleteFunc(slices.Clone(r.Data.Scopes), func(x string) bool { return slices.Contains(scopes, x) }); len(wider) > 0 {
			return nil, errors.Join(refusal(oidc.ErrInvalidScope(), "the sign-in did not bring %s", strings.Join(wider, " ")), v.s.endGrant(ctx, a.ID))
		}
		scopes = r.Data.Scopes
	}
	return v.s.tokens(ctx, a, scopes, true)
}

func (s *Service) tokens(ctx context.Context, a *alive, scopes []string, refresh bool) (*op.Response, error) {
	t, err := s.issue(ctx, s.DB, a, scopes, refresh)
	if err != nil {
		return nil, err
	}
	id := ""
	if slices.Contains(scopes, oidc.ScopeOpenID) {
		if id, err = s.idToken(ctx, a, scopes, t); err != nil {
			return nil, err
		}
	}
	return s.answer(t, id, scopes), nil
}

// ClientCredentialsExchange gives an application a token of its own.
func (v *server) ClientCredentialsExchange(ctx context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest]) (*op.Response, error) {
	app := r.Client.(client).registered
	t, err := v.s.ownToken(ctx, app)
	if err != nil {
		return nil, err
	}
	v.s.Record(ctx, Event{Application: app.ID, Action: EventOwnToken})
	return v.s.answer(t, "", nil), nil
}

// Introspect tells a client about a token of its own (RFC 7662). Of a token
// that does not hold, or is another's, it says nothing but that.
func (v *server) Introspect(ctx context.Context, r *op.Request[op.IntrospectionRequest]) (*op.Response, error) {
	app, err := v.s.authenticate(ctx, r.Data.ClientCredentials)
	if err != nil {
		return nil, err
	}
	if app.Client.Type == ClientPublic {
		return nil, errClient()
	}
	out := new(oidc.IntrospectionResponse)
	t, a, err := v.s.lookUp(ctx, r.Data.Token)
	if err != nil {
		return nil, err
	}
	if t == nil || t.Application != app.ID {
		return op.NewResponse(out), nil
	}
	out.Active, out.ClientID, out.Issuer, out.TokenType = true, app.ID, v.s.Issuer, oidc.BearerToken
	out.IssuedAt, out.Expiration = oidc.FromTime(time.UnixMilli(t.IssuedAt)), oidc.FromTime(time.UnixMilli(t.ExpiresAt))
	out.Audience, out.Subject = oidc.Audience{app.ID}, app.ID
	if a != nil {
		scopes := strings.Fields(t.Scopes)
		out.Scope, out.AuthTime = scopes, oidc.FromTime(time.UnixMilli(a.AuthTime))
		out.SetUserInfo(userInfo(a, scopes))
	}
	return op.NewResponse(out), nil
}

// UserInfo tells about the user whose access token it is.
func (v *server) UserInfo(ctx context.Context, r *op.Request[oidc.UserInfoRequest]) (*op.Response, error) {
	t, a, err := v.s.lookUp(ctx, r.Data.AccessToken)
	if err != nil {
		return nil, err
	}
	if t == nil || a == nil || t.Kind != kindAccess || !slices.Contains(strings.Fields(t.Scopes), oidc.ScopeOpenID) {
		return nil, op.NewStatusError(refusal(oidc.ErrAccessDenied(), "the access token does not hold, or is no user's"), http.StatusUnauthorized)
	}
	return op.NewResponse(userInfo(a, strings.Fields(t.Scopes))), nil
}

// Revocation ends a token.
func (v *server) Revocation(ctx context.Context, r *op.ClientRequest[oidc.RevocationRequest]) (*op.Response, error) {
	if err := v.s.revoke(ctx, r.Client.(client).registered, r.Data.Token); err != nil {
		return nil, err
	}
	return op.NewResponse(nil), nil
}

// hint is what of an ID token that comes back counts.
type hint struct {
	Issuer    string        `json:"iss"`
	Subject   string        `json:"sub"`
	Audience  oidc.Audience `json:"aud"`
	SessionID string        `json:"sid"`
}

// readHint reads an ID token that we once gave out; that it is over does not
// matter (OpenID Connect RP-Initiated Logout 1.0, 4).
func (s *Service) readHint(ctx context.Context, raw string) (hint, error) {
	var h hint
	payload, err := s.verify(ctx, raw)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(payload, &h); err != nil {
		return h, fmt.Errorf("oidc: read an ID token: %w", err)
	}
	if h.Issuer != s.Issuer || len(h.Audience) == 0 {
		return h, errors.New("oidc: the ID token is none of ours")
	}
	return h, nil
}

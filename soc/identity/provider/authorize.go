package provider

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"icewatch/soc/identity"
)

// authAfter is our own parameter on the way back from the sign-in page: the
// user must have signed in since then (Unix seconds). It stands for a
// prompt=login that was obeyed.
const authAfter = "icewatch_auth_after"

// challengePattern is a SHA-256 in base64url (RFC 7636, 4.2).
var challengePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// Answer is what a browser gets: it is sent elsewhere, or shown a page.
type Answer struct {
	Redirect string
	Status   int    // of the page
	Page     []byte // HTML
	// FormTarget is an origin beside our own that the page's form leads to.
	FormTarget string
	// SignedOut says that the browser's session is over and its cookie to be
	// removed.
	SignedOut bool
}

// authorization is a request to sign a user in to an application.
type authorization struct {
	app         *registered
	redirectURI string
	state       string
	scopes      []string
	nonce       string
	challenge   string
	prompt      []string
	maxAge      time.Duration // negative: any
	after       time.Time     // the user must have signed in since
}

// protocolError is one of the error codes that a client is told by way of the
// browser (RFC 6749, 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.6).
type protocolError struct{ code, description string }

func (e *protocolError) Error() string { return e.code + ": " + e.description }

// back sends the browser back to the client. Every answer says who it is from,
// so that a client of several providers is not confused (RFC 9207).
func (s *Service) back(a *authorization, params url.Values) Answer {
	u, err := url.Parse(a.redirectURI)
	if err != nil {
		return s.problem(400, "", "the redirect URI cannot be read") // it was checked when registered
	}
	q := u.Query()
	for k, v := range params {
		q[k] = v
	}
	if a.state != "" {
		q.Set("state", a.state)
	}
	q.Set("iss", s.Issuer)
	u.RawQuery = q.Encode()
	return Answer{Redirect: u.String()}
}

// session is the browser's session: nil where the id is empty, the session is
// over, or its user has to do something else first, such as change the
// password.
func (s *Service) session(ctx context.Context, id string) (*session, error) {
	if id == "" {
		return nil, nil
	}
	st, err := s.Identity.Session(ctx, id)
	if errors.Is(err, identity.ErrUnauthenticated) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if st.Principal.Pending != "" {
		return nil, nil
	}
	user, err := s.Identity.Standing(ctx, st.Principal.UserID)
	if err != nil {
		return nil, err
	}
	return &session{st, user, id}, nil
}

type session struct {
	identity.SessionState
	user identity.Standing
	id   string
}

// Authorize answers the authorization endpoint. sessionID is the browser's
// session, empty where it has none; language is the browser's Accept-Language.
func (s *Service) Authorize(ctx context.Context, q url.Values, sessionID, language string) (Answer, error) {
	if s.Issuer == "" {
		return s.problem(503, language, s.Warning), nil
	}
	a, page := s.client(q, language)
	if a == nil {
		return page, nil
	}
	sess, err := s.session(ctx, sessionID)
	if err != nil {
		return Answer{}, err
	}
	answer, err := s.decide(ctx, a, q, sess, language)
	var pe *protocolError
	if errors.As(err, &pe) {
		if pe.code == "access_denied" && sess != nil {
			s.Record(ctx, Event{User: sess.Principal.Username, Session: sess.id, Application: a.app.ID, Action: EventSignIn, Denied: true, Detail: pe.description})
		}
		return s.back(a, url.Values{"error": {pe.code}, "error_description": {pe.description}}), nil
	}
	return answer, err
}

// client finds out whom the answer may go to. Until that is sure nothing is
// sent there (RFC 9700, 4.11): the user sees a page instead.
func (s *Service) client(q url.Values, language string) (*authorization, Answer) {
	if err := checkParameters(q); err != nil {
		var e *oidc.Error
		errors.As(err, &e)
		return nil, s.problem(400, language, e.Description)
	}
	app, ok := s.application(q.Get("client_id"))
	if !ok || !app.grants(oidc.GrantTypeCode) {
		return nil, s.problem(400, language, fmt.Sprintf("there is no application with the client_id %.64q that signs users in", q.Get("client_id")))
	}
	if !slices.Contains(app.Client.RedirectURIs, q.Get("redirect_uri")) {
		return nil, s.problem(400, language, fmt.Sprintf("the redirect_uri %.200q is not one that %s is registered with; they are compared byte by byte", q.Get("redirect_uri"), app.ID))
	}
	return &authorization{app: app, redirectURI: q.Get("redirect_uri"), state: q.Get("state"), maxAge: -1}, Answer{}
}

// read takes the rest of the request in.
func (a *authorization) read(q url.Values) error {
	bad := func(code, format string, args ...any) error {
		return &protocolError{code, fmt.Sprintf(format, args...)}
	}
	switch {
	case !a.app.Open:
		return bad("access_denied", "the application is closed")
	case q.Has("request"):
		return bad("request_not_supported", "request objects are not supported")
	case q.Has("request_uri"):
		return bad("request_uri_not_supported", "request objects are not supported")
	case q.Get("response_type") != string(oidc.ResponseTypeCode):
		return bad("unsupported_response_type", "response_type is %.40q, only code is supported", q.Get("response_type"))
	case q.Get("response_mode") != "" && q.Get("response_mode") != string(oidc.ResponseModeQuery):
		return bad("invalid_request", "response_mode is %.40q, only query is supported", q.Get("response_mode"))
	}
	asked := strings.Fields(q.Get("scope"))
	if !slices.Contains(asked, oidc.ScopeOpenID) {
		return bad("invalid_scope", "scope must hold openid")
	}
	for _, sc := range asked {
		// What the client may not have is left out; the token's answer says so.
		if slices.Contains(a.app.Client.Scopes, sc) && !slices.Contains(a.scopes, sc) {
			a.scopes = append(a.scopes, sc)
		}
	}
	a.nonce, a.challenge = q.Get("nonce"), q.Get("code_challenge")
	switch {
	case a.challenge == "" && q.Get("code_challenge_method") != "":
		return bad("invalid_request", "code_challenge is missing")
	case a.challenge == "" && a.app.Client.Type == ClientPublic:
		return bad("invalid_request", "a public client must use PKCE: code_challenge is missing")
	case a.challenge != "" && q.Get("code_challenge_method") != string(oidc.CodeChallengeMethodS256):
		return bad("invalid_request", "code_challenge_method must be S256")
	case a.challenge != "" && !challengePattern.MatchString(a.challenge):
		return bad("invalid_request", "code_challenge is no SHA-256 in base64url")
	}
	a.prompt = strings.Fields(q.Get("prompt"))
	for _, p := range a.prompt {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, p) {
			return bad("invalid_request", "prompt is %.40q, known are none, login, consent, select_account", p)
		}
		if p == "none" && len(a.prompt) > 1 {
			return bad("invalid_request", "prompt=none must stand alone")
		}
	}
	if raw := q.Get("max_age"); raw != "" {
		n, err := strconv.ParseUint(raw, 10, 31)
		if err != nil {
			return bad("invalid_request", "max_age is %.40q, it must be a number of seconds", raw)
		}
		a.maxAge = time.Duration(n) * time.Second
	}
	if raw := q.Get(authAfter); raw != "" {
		if n, err := strconv.ParseInt(raw, 10, 63); err == nil {
			a.after = time.Unix(n, 0)
		}
	}
	return nil
}

// decide answers a request whose client is known.
func (s *Service) decide(ctx context.Context, a *authorization, q url.Values, sess *session, language string) (Answer, error) {
	if err := a.read(q); err != nil {
		return Answer{}, err
	}
	silent := slices.Contains(a.prompt, "none")
	again := slices.Contains(a.prompt, "login") || slices.Contains(a.prompt, "select_account") ||
		sess != nil && (a.maxAge >= 0 && s.Now().Sub(sess.CreatedAt) > a.maxAge || sess.CreatedAt.Before(a.after))
	if sess == nil || again {
		if silent {
			return Answer{}, &protocolError{"login_required", "the user is not signed in, or not freshly enough"}
		}
		return Answer{Redirect: s.signIn(q, again)}, nil
	}
	p := sess.Principal
	if raw := q.Get("id_token_hint"); raw != "" {
		if h, err := s.readHint(ctx, raw); err != nil || h.Subject != p.UserID {
			return Answer{}, &protocolError{"login_required", "another user is signed in than the id_token_hint says"}
		}
	}
	if !a.app.Admits(PersonOf(sess.user)) {
		return Answer{}, &protocolError{"access_denied", "the user may not use this application"}
	}
	if a.app.Client.Consent {
		given, err := s.consented(ctx, p.UserID, a)
		if err != nil {
			return Answer{}, err
		}
		if !given || slices.Contains(a.prompt, "consent") {
			if silent {
				return Answer{}, &protocolError{"consent_required", "the user has not agreed yet"}
			}
			return s.consentPage(a, q, p, language), nil
		}
	}
	return s.grant(ctx, a, sess)
}

// grant sends the code.
func (s *Service) grant(ctx context.Context, a *authorization, sess *session) (Answer, error) {
	code, err := s.newCode(ctx, grant{Application: a.app.ID, UserID: sess.Principal.UserID, SessionID: sess.id, Scopes: strings.Join(a.scopes, " "),
		Nonce: a.nonce, RedirectURI: a.redirectURI, Challenge: a.challenge, AuthTime: sess.CreatedAt.UnixMilli(), ExpiresAt: sess.ExpiresAt.UnixMilli()})
	if err != nil {
		return Answer{}, err
	}
	s.Record(ctx, Event{User: sess.Principal.Username, Session: sess.id, Application: a.app.ID, Action: EventSignIn, Detail: "scopes: " + strings.Join(a.scopes, " ")})
	return s.back(a, url.Values{"code": {code}}), nil
}

// signIn is the console's sign-in page, from where the browser comes back. Our
// cookie is not sent along when a foreign page sends the browser here, so the
// page also serves one who is signed in already: it sends him straight back.
func (s *Service) signIn(q url.Values, again bool) string {
	back := url.Values{}
	for k, v := range q {
		if k != authAfter {
			back[k] = v
		}
	}
	page := url.Values{}
	if again {
		// On the way back the fresh sign-in must count, and not be asked for anew.
		prompt := slices.DeleteFunc(strings.Fields(q.Get("prompt")), func(p string) bool { return p == "login" || p == "select_account" })
		back.Del("prompt")
		if len(prompt) > 0 {
			back.Set("prompt", strings.Join(prompt, " "))
		}
		back.Set(authAfter, strconv.FormatInt(s.Now().Unix(), 10))
		page.Set("reauthenticate", "1")
	}
	page.Set("return", Path+PathAuthorize+"?"+back.Encode())
	return "/login?" + page.Encode()
}

// consented tells whether the user has agreed to all that is asked.
func (s *Service) consented(ctx context.Context, user string, a *authorization) (bool, error) {
	var scopes string
	err := s.DB.QueryRowContext(ctx, "SELECT scopes FROM provider_consents WHERE user_id = ? AND application = ?", user, a.app.ID).Scan(&scopes)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("oidc: read a consent: %w", err)
	}
	given := strings.Fields(scopes)
	return !slices.ContainsFunc(a.scopes, func(sc string) bool { return !slices.Contains(given, sc) }), nil
}

// Consent takes in what the user said on the consent page, whose form carries
// the request on. The caller has made sure that the form is our own page's.
func (s *Service) Consent(ctx context.Context, form url.Values, sessionID, language string) (Answer, error) {
	said := form.Get("consent")
	form.Del("consent")
	a, page := s.client(form, language)
	if a == nil {
		return page, nil
	}
	sess, err := s.session(ctx, sessionID)
	if err != nil {
		return Answer{}, err
	}
	if sess == nil {
		return Answer{Redirect: s.signIn(form, false)}, nil
	}
	err = a.read(form)
	var pe *protocolError
	switch {
	case errors.As(err, &pe):
	case err != nil:
		return Answer{}, err
	case !a.app.Admits(PersonOf(sess.user)):
		pe = &protocolError{"access_denied", "the user may not use this application"}
	case said != "yes":
		pe = &protocolError{"access_denied", "the user did not agree"}
	}
	if pe != nil {
		return s.back(a, url.Values{"error": {pe.code}, "error_description": {pe.description}}), nil
	}
	if _, err := s.DB.ExecContext(ctx, `INSERT INTO provider_consents (user_id, application, scopes, given_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (user_id, application) DO UPDATE SET scopes = excluded.scopes, given_at = excluded.given_at`,
		sess.Principal.UserID, a.app.ID, strings.Join(a.scopes, " "), s.Now().UnixMilli()); err != nil {
		return Answer{}, fmt.Errorf("oidc: keep a consent: %w", err)
	}
	return s.grant(ctx, a, sess)
}

// EndSession signs the user out at a client's wish (OpenID Connect
// RP-Initiated Logout 1.0). An ID token of the session is proof enough that
// the wish is real; without one the user is asked first, which confirmed says
// he was.
func (s *Service) EndSession(ctx context.Context, q url.Values, sessionID string, confirmed bool, language string) (Answer, error) {
	if err := checkParameters(q); err != nil {
		var e *oidc.Error
		errors.As(err, &e)
		return s.problem(400, language, e.Description), nil
	}
	sess, err := s.session(ctx, sessionID)
	if err != nil {
		return Answer{}, err
	}
	app, known := s.application(q.Get("client_id"))
	ends := ""
	if raw := q.Get("id_token_hint"); raw != "" {
		h, err := s.readHint(ctx, raw)
		if err != nil || q.Get("client_id") != "" && !slices.Contains(h.Audience, q.Get("client_id")) {
			return s.problem(400, language, "the id_token_hint is none that this provider gave to this client"), nil
		}
		app, known = s.application(h.Audience[0])
		ends = h.SessionID
	}
	target := "/login"
	if uri := q.Get("post_logout_redirect_uri"); uri != "" {
		if !known || !slices.Contains(app.Client.PostLogoutRedirectURIs, uri) {
			return s.problem(400, language, fmt.Sprintf("the post_logout_redirect_uri %.200q is not one that the client is registered with", uri)), nil
		}
		u, err := url.Parse(uri)
		if err != nil {
			return s.problem(400, language, "the post_logout_redirect_uri cannot be read"), nil
		}
		if st := q.Get("state"); st != "" {
			p := u.Query()
			p.Set("state", st)
			u.RawQuery = p.Encode()
		}
		target = u.String()
	}
	if ends == "" {
		if sess == nil {
			return Answer{Redirect: target}, nil
		}
		if !confirmed {
			return s.signOutPage(q, sess.Principal, target, language), nil
		}
		ends = sess.id
	}
	if _, err := s.DB.ExecContext(ctx, "DELETE FROM provider_grants WHERE session_id = ?", ends); err != nil {
		return Answer{}, fmt.Errorf("oidc: end the grants of a session: %w", err)
	}
	if err := s.Identity.Logout(ctx, &identity.Principal{SessionID: ends}); err != nil {
		return Answer{}, err
	}
	who := ""
	if sess != nil {
		who = sess.Principal.Username
	}
	e := Event{User: who, Session: ends, Action: EventSignOut}
	if known {
		e.Application = app.ID
	}
	s.Record(ctx, e)
	return Answer{Redirect: target, SignedOut: sess != nil && sess.id == ends}, nil
}

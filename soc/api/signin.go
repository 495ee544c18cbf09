package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/identity"
	"icewatch/soc/identity/captcha"
	"icewatch/soc/identity/mfa"
	"icewatch/soc/identity/password"
)

// deviceCookie remembers a browser that its user has signed in with.
const deviceCookie = "icewatch_device"

// The codes by which a program tells problems of the same status apart.
const (
	codeCredentials = "wrong_credentials"
	codeCaptcha     = "captcha_required"
	codeCaptchaBad  = "captcha_wrong"
	codeLocked      = "locked"
	codeHeld        = "account_locked"
	codeBusy        = "busy"
	codePassword    = "password_rule"
	codeMustChange  = "password_change_required"
	codeMustEnrol   = "factor_enrolment_required"
	codeConfirm     = "confirmation_required"
	codeFactor      = "factor_required"
	codeWrong       = "wrong_code"
	codeOver        = "challenge_over"
	codeAbnormal    = "unusual_access"
)

// SignInProblem is a problem (RFC 9457) of signing in or of one's own account,
// with members of our own that say what to do next.
type SignInProblem struct {
	huma.ErrorModel
	Code            string `json:"code" doc:"What is the matter, for programs"`
	CaptchaRequired bool   `json:"captcha_required,omitempty" doc:"The next try must answer a CAPTCHA"`
	RetryAfter      int    `json:"retry_after,omitempty" doc:"Seconds to wait"`

	Challenge string     `json:"challenge,omitempty" doc:"Names the sign-in in its second step"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Until when the second step can be done"`
	Factors   []string   `json:"factors,omitempty" doc:"Second factors that would do: totp, webauthn, recovery"`

	Rule string `json:"rule,omitempty" doc:"Of the password policy: text, length, classes, name, breached, strength, history or age"`
}

// coded makes a SignInProblem.
func coded(status int, code, detail string) *SignInProblem {
	return &SignInProblem{ErrorModel: huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail}, Code: code}
}

// write answers outside of huma.
func (p *SignInProblem) write(c *fiber.Ctx) error {
	if st := stateOf(c.UserContext()); st != nil {
		p.Instance = instance(st.requestID)
	}
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the problem %q: %w", p.Detail, err)
	}
	c.Set(fiber.HeaderContentType, "application/problem+json")
	return c.Status(p.Status).Send(body)
}

// signInProblem turns the errors of proving who one is into problems; ok is
// false for any other.
func signInProblem(err error) (problem error, ok bool) {
	var locked *identity.LockedError
	var weak *identity.PolicyError
	switch {
	case errors.As(err, &locked) && locked.Held:
		return coded(http.StatusForbidden, codeHeld, "the account is locked: an administrator must unlock it"), true
	case errors.As(err, &locked):
		after := max(1, int((locked.After+time.Second-1)/time.Second))
		p := coded(http.StatusTooManyRequests, codeLocked, "too many failed attempts: try again in "+strconv.Itoa(after)+" seconds")
		p.RetryAfter = after
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(after)}}), true
	case errors.Is(err, identity.ErrBusy), errors.Is(err, captcha.ErrBusy):
		p := coded(http.StatusTooManyRequests, codeBusy, "too many sign-ins at once: try again shortly")
		p.RetryAfter = 2
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {"2"}}), true
	case errors.As(err, &weak):
		p := coded(http.StatusUnprocessableEntity, codePassword, weak.Error())
		p.Rule = weak.Rule
		return p, true
	case errors.Is(err, identity.ErrConfirm):
		return coded(http.StatusForbidden, codeConfirm, "confirm with the password first (POST /api/v1/me/confirm), or sign in afresh"), true
	case errors.Is(err, identity.ErrWrongCode):
		return coded(http.StatusUnprocessableEntity, codeWrong, "the code, or the security key's answer, is wrong"), true
	case errors.Is(err, identity.ErrOver):
		return coded(http.StatusUnprocessableEntity, codeOver, "this was not begun here, or is over: begin again"), true
	case errors.Is(err, mfa.ErrName):
		return Problem(http.StatusUnprocessableEntity, "%s", strings.TrimPrefix(err.Error(), "mfa: ")), true
	case errors.Is(err, captcha.ErrGone):
		return Problem(http.StatusNotFound, "there is no such CAPTCHA, or no longer"), true
	}
	return nil, false
}

// loginAnswer carries the session twice: in the body for programs, in a cookie
// that no script can read for the console. The second cookie remembers the
// browser.
type loginAnswer struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
	Body      struct {
		Token           string        `json:"token"`
		ExpiresAt       time.Time     `json:"expires_at"`
		User            identity.User `json:"user"`
		PasswordExpires *time.Time    `json:"password_expires_at,omitempty" doc:"When the password must be changed"`
		PasswordWarning bool          `json:"password_warning,omitempty" doc:"That this is soon"`
		Findings        []string      `json:"findings,omitempty" doc:"What is unusual about this access"`
		CodesLeft       *int          `json:"recovery_codes_left,omitempty" doc:"Where one was used"`
	}
}

type logoutAnswer struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

func cookie(ctx context.Context, name, value string, expires time.Time) http.Cookie {
	c := http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: stateOf(ctx).secure, Expires: expires,
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// entrance is where the request's sign-in comes from.
func entrance(ctx context.Context) identity.Entrance {
	st := stateOf(ctx)
	return identity.Entrance{Address: st.address, UserAgent: st.userAgent, Device: st.device}
}

// signedIn answers a fresh session and says in the audit log whose it is.
func signedIn(ctx context.Context, sess identity.Session) *loginAnswer {
	AuditSignIn(ctx, sess.User.Username, sess.Channel, sess.ID)
	AuditFindings(ctx, sess.Alarming...)
	if len(sess.Findings) > 0 {
		stateOf(ctx).detail = "unusual: " + strings.Join(sess.Findings, ", ")
	}
	out := &loginAnswer{SetCookie: cookie(ctx, cookieName, sess.Token, sess.ExpiresAt)}
	if sess.Device != "" {
		// Fiber would join two headers of a name by a comma, which cookies do
		// not survive; so the gate adds this one to the answer.
		second := cookie(ctx, deviceCookie, sess.Device, sess.DeviceExpires)
		stateOf(ctx).cookie = second.String()
	}
	b := &out.Body
	b.Token, b.ExpiresAt, b.User, b.Findings = sess.Token, sess.ExpiresAt, sess.User, sess.Findings
	b.PasswordExpires, b.PasswordWarning = sess.PasswordExpires, sess.PasswordWarning
	if sess.CodesLeft >= 0 {
		b.CodesLeft = &sess.CodesLeft
	}
	return out
}

// refusedSignIn answers a failed sign-in and says in the audit log why.
func refusedSignIn(ctx context.Context, err error) error {
	st := stateOf(ctx)
	var denied *identity.DeniedError
	var locked *identity.LockedError
	var factor *identity.FactorError
	var abnormal *identity.AbnormalError
	var p *SignInProblem
	switch {
	case errors.As(err, &denied) && denied.CaptchaWrong:
		st.detail = "the CAPTCHA was answered wrongly"
		p = coded(http.StatusUnauthorized, codeCaptchaBad, "the answer to the CAPTCHA is wrong, or it is over: ask for another one")
		p.CaptchaRequired = true
	case errors.As(err, &denied) && denied.CaptchaMissing:
		st.detail = "the CAPTCHA was not answered"
		p = coded(http.StatusUnauthorized, codeCaptcha, "answer the CAPTCHA (POST /api/v1/auth/captcha) and send captcha_id and captcha with the sign-in")
		p.CaptchaRequired = true
	case errors.Is(err, identity.ErrUnauthenticated):
		st.detail = "wrong user name or password"
		p = coded(http.StatusUnauthorized, codeCredentials, "wrong user name or password")
		p.CaptchaRequired = denied != nil && denied.CaptchaRequired
	case errors.As(err, &locked) && len(locked.Findings) > 0:
		AuditFindings(ctx, locked.Findings...)
		st.detail = "the proof was good, but the access unusual: the account is locked"
		return err
	case errors.As(err, &locked):
		st.detail = "locked after too many failures"
		return err
	case errors.As(err, &abnormal):
		AuditFindings(ctx, abnormal.Findings...)
		st.detail = "the proof was good, but the access unusual and without a second factor"
		return coded(http.StatusForbidden, codeAbnormal, "this access is unusual for the account ("+strings.Join(abnormal.Findings, ", ")+
			"): sign in from where you usually do and enrol a second factor, or ask an administrator")
	case errors.As(err, &factor):
		AuditFactorAsked(ctx)
		p = coded(http.StatusUnauthorized, codeFactor, "a second factor is needed")
		p.Challenge, p.ExpiresAt, p.Factors = factor.Challenge, &factor.ExpiresAt, factor.Factors
	case errors.Is(err, identity.ErrWrongCode):
		var code *identity.CodeError
		if errors.As(err, &code) {
			st.actor = code.Username
		}
		st.detail = "wrong second factor"
		p = coded(http.StatusUnauthorized, codeWrong, "the code, or the security key's answer, is wrong or was used before")
	case errors.Is(err, identity.ErrOver):
		st.detail = "the sign-in was not begun here, or is over"
		p = coded(http.StatusUnauthorized, codeOver, "this sign-in was not begun here, or is over: sign in again")
	default:
		return err
	}
	return huma.ErrorWithHeaders(p, http.Header{"WWW-Authenticate": {`Bearer realm="icewatch"`}})
}

// obligation answers who must do something before anything else is open to
// him; it returns "" where the request may go on. What he needs to do it stays
// open.
func obligation(p *identity.Principal, method, path string) (code, why string) {
	if p == nil || p.Pending == "" || slices.Contains(openToPending, method+" "+path) {
		return "", ""
	}
	if p.Pending == identity.PendingPassword {
		return codeMustChange, "change the password first (POST /api/v1/me/password)"
	}
	return codeMustEnrol, "enrol a second factor first (POST /api/v1/me/factors/totp or /api/v1/me/factors/webauthn/begin)"
}

// openToPending lists what is open to who must change the password or enrol a
// second factor.
var openToPending = []string{
	"GET /api/v1/me", "POST /api/v1/me/password", "POST /api/v1/me/confirm", "POST /api/v1/auth/logout", "GET /api/v1/ui",
	"GET /api/v1/me/factors", "POST /api/v1/me/factors/totp", "POST /api/v1/me/factors/totp/confirm",
	"POST /api/v1/me/factors/webauthn/begin", "POST /api/v1/me/factors/webauthn/finish",
}

// captchaQuestion is an open question.
type captchaQuestion struct {
	ID        string    `json:"id"`
	ImageURL  string    `json:"image_url" doc:"A PNG"`
	AudioURL  string    `json:"audio_url" doc:"A WAV; add lang=en for English"`
	Digits    int       `json:"digits" doc:"How many digits the answer has"`
	ExpiresAt time.Time `json:"expires_at"`
}

// passwordFacts is what a form must know of the password policy.
type passwordFacts struct {
	password.Policy
	MaxLength int `json:"max_length" doc:"Bytes"`
}

// media is an answer that is no JSON.
type media struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// signInRoutes registers signing in and out and the caller's own password.
func (s *Server) signInRoutes() {
	Register(s, huma.Operation{OperationID: "auth-policy", Method: http.MethodGet, Path: "/auth/policy", Tags: []string{"sign-in"},
		Summary: "What the forms for signing in and for passwords must know"}, scopePublic,
		func(context.Context, *Empty) (*Body[struct {
			Password     passwordFacts `json:"password"`
			Passwordless bool          `json:"passwordless" doc:"A WebAuthn key alone signs in"`
			PageTimeout  int           `json:"page_timeout_seconds" doc:"The console locks itself when nobody touches it for so long; 0 is never"`
			CaptchaAudio []string      `json:"captcha_audio" doc:"Languages a CAPTCHA can be read aloud in"`
		}], error) {
			p := s.deps.Identity.Policies()
			var out Body[struct {
				Password     passwordFacts `json:"password"`
				Passwordless bool          `json:"passwordless" doc:"A WebAuthn key alone signs in"`
				PageTimeout  int           `json:"page_timeout_seconds" doc:"The console locks itself when nobody touches it for so long; 0 is never"`
				CaptchaAudio []string      `json:"captcha_audio" doc:"Languages a CAPTCHA can be read aloud in"`
			}]
			out.Body.Password = passwordFacts{p.Password, p.MaxLength}
			out.Body.Passwordless, out.Body.PageTimeout, out.Body.CaptchaAudio = p.Passwordless, int(p.PageTimeout/time.Second), captcha.Languages
			return &out, nil
		})

	Register(s, huma.Operation{OperationID: "ask-captcha", Method: http.MethodPost, Path: "/auth/captcha", Tags: []string{"sign-in"},
		Summary: "Ask for a CAPTCHA: good for one answer"}, scopePublic,
		func(ctx context.Context, _ *Empty) (*Body[captchaQuestion], error) {
			stateOf(ctx).skipAudit = true
			id, expires := s.deps.Identity.Captcha()
			return Reply(captchaQuestion{ID: id, ImageURL: prefix + "/auth/captcha/image?id=" + id, AudioURL: prefix + "/auth/captcha/audio?id=" + id,
				Digits: captcha.Digits, ExpiresAt: expires}), nil
		})

	Register(s, huma.Operation{OperationID: "captcha-image", Method: http.MethodGet, Path: "/auth/captcha/image", Tags: []string{"sign-in"},
		Summary: "The picture of an open CAPTCHA, PNG", Errors: []int{404, 429}}, scopePublic,
		func(_ context.Context, in *struct {
			ID string `query:"id" required:"true" maxLength:"64"`
		}) (*media, error) {
			png, err := s.deps.Identity.CaptchaImage(in.ID)
			return &media{"image/png", png}, err
		})

	Register(s, huma.Operation{OperationID: "captcha-audio", Method: http.MethodGet, Path: "/auth/captcha/audio", Tags: []string{"sign-in"},
		Summary: "An open CAPTCHA read aloud, WAV", Errors: []int{404, 429}}, scopePublic,
		func(_ context.Context, in *struct {
			ID   string `query:"id" required:"true" maxLength:"64"`
			Lang string `query:"lang" enum:"zh,en" default:"zh"`
		}) (*media, error) {
			wav, err := s.deps.Identity.CaptchaAudio(in.ID, in.Lang)
			return &media{"audio/wav", wav}, err
		})

	Register(s, huma.Operation{OperationID: "login", Method: http.MethodPost, Path: "/auth/login", Tags: []string{"sign-in"},
		Summary: "Sign in with user name and password", Errors: []int{401, 429}}, scopePublic,
		func(ctx context.Context, in *struct {
			Body struct {
				Username  string `json:"username" maxLength:"256"`
				Password  string `json:"password" maxLength:"1024"`
				CaptchaID string `json:"captcha_id,omitempty" maxLength:"64"`
				Captcha   string `json:"captcha,omitempty" maxLength:"16" doc:"The digits of the CAPTCHA"`
			}
		}) (*loginAnswer, error) {
			from := entrance(ctx)
			AuditSignIn(ctx, clip(in.Body.Username, 64), identity.ChannelPassword, "")
			sess, err := s.deps.Identity.Login(ctx, identity.LoginRequest{
				Username: in.Body.Username, Password: in.Body.Password, CaptchaID: in.Body.CaptchaID, Captcha: in.Body.Captcha,
				Address: from.Address, UserAgent: from.UserAgent, Device: from.Device})
			if err != nil {
				return nil, refusedSignIn(ctx, err)
			}
			return signedIn(ctx, sess), nil
		})

	Register(s, huma.Operation{OperationID: "logout", Method: http.MethodPost, Path: "/auth/logout", Tags: []string{"sign-in"},
		Summary: "End the session", DefaultStatus: http.StatusNoContent}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*logoutAnswer, error) {
			if err := s.deps.Identity.Logout(ctx, PrincipalFrom(ctx)); err != nil {
				return nil, err
			}
			stateOf(ctx).object = "session"
			return &logoutAnswer{SetCookie: cookie(ctx, cookieName, "", time.Unix(1, 0))}, nil
		})

	Register(s, huma.Operation{OperationID: "change-password", Method: http.MethodPost, Path: "/me/password", Tags: []string{"sign-in"},
		Summary: "Change my own password: ends my other sessions", DefaultStatus: http.StatusNoContent, Errors: []int{422, 429}}, ScopeAny,
		func(ctx context.Context, in *struct {
			Body struct {
				Current string `json:"current" maxLength:"1024"`
				New     string `json:"new" maxLength:"1024"`
			}
		}) (*struct{}, error) {
			stateOf(ctx).object = "own password"
			return nil, currentPassword(s.deps.Identity.ChangePassword(ctx, PrincipalFrom(ctx), in.Body.Current, in.Body.New))
		})

	Register(s, huma.Operation{OperationID: "confirm", Method: http.MethodPost, Path: "/me/confirm", Tags: []string{"sign-in"},
		Summary: "Prove again to be there: for ten minutes, what the account hangs on can be changed", DefaultStatus: http.StatusNoContent, Errors: []int{422, 429}}, ScopeAny,
		func(ctx context.Context, in *struct {
			Body struct {
				Password string `json:"password" maxLength:"1024"`
			}
		}) (*struct{}, error) {
			stateOf(ctx).object = "session"
			return nil, currentPassword(s.deps.Identity.Confirm(ctx, PrincipalFrom(ctx), in.Body.Password))
		})
}

// currentPassword answers a wrong current password. It is no 401: the session
// is good, and the console must not sign out.
func currentPassword(err error) error {
	if errors.Is(err, identity.ErrUnauthenticated) {
		return coded(http.StatusUnprocessableEntity, codeCredentials, "the current password is wrong")
	}
	return err
}

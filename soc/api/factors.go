package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/identity"
)

// origin is the site that the page which asks belongs to; security keys are
// bound to it. The browser's own word is better than ours, since a proxy may
// have ended TLS; that it is a page of ours the gate has seen to.
func origin(c *fiber.Ctx) string {
	if o := c.Get(fiber.HeaderOrigin); o != "" && sameOrigin(c) {
		return clip(o, 300)
	}
	scheme := "http"
	if c.Secure() {
		scheme = "https"
	}
	return scheme + "://" + clip(string(c.Request().Host()), 300)
}

// ChallengeBody is the second step of a sign-in.
type ChallengeBody struct {
	Challenge string `json:"challenge" maxLength:"64" doc:"From the answer to the password"`
	Code      string `json:"code" maxLength:"64"`
}

// keyOptions is what the browser is asked for.
type keyOptions struct {
	ID        string          `json:"id,omitempty" doc:"Names the enrolment"`
	Challenge string          `json:"challenge,omitempty" doc:"Names the sign-in"`
	Options   json.RawMessage `json:"options" doc:"For navigator.credentials; binary values are base64url"`
}

// totpEnrolment is what an authenticator app needs.
type totpEnrolment struct {
	ID     string `json:"id" doc:"Names the enrolment"`
	Secret string `json:"secret" doc:"Base32, for typing in"`
	URI    string `json:"uri" doc:"otpauth://, for the QR code"`
}

// enrolled answers the recovery codes that came with the first factor.
type enrolled struct {
	Key           *identity.SecurityKey `json:"key,omitempty"`
	RecoveryCodes []string              `json:"recovery_codes" nullable:"false" doc:"Shown this once; empty where the user has some already"`
}

// factorRoutes registers the second step of signing in and the enrolment of
// second factors.
func (s *Server) factorRoutes() {
	s.secondStepRoutes()
	s.ownFactorRoutes()

	tags := []string{"sessions"}
	Register(s, huma.Operation{OperationID: "get-user-factors", Method: http.MethodGet, Path: "/users/{id}/factors", Tags: tags,
		Summary: "A user's second factors", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*Body[identity.Factors], error) {
			u, err := s.named(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			f, err := s.deps.Identity.Factors(ctx, u.ID)
			return Reply(f), err
		})
	Register(s, huma.Operation{OperationID: "reset-user-factors", Method: http.MethodDelete, Path: "/users/{id}/factors", Tags: tags,
		Summary: "Remove all second factors of a user who has lost them: ends the user's sessions", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			u, err := s.named(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return nil, s.deps.Identity.ResetFactors(ctx, u.ID)
		})
}

func (s *Server) secondStepRoutes() {
	tags := []string{"sign-in"}
	step := func(id, path, channel, summary string, login func(ctx context.Context, challenge, code string, from identity.Entrance) (identity.Session, error)) {
		Register(s, huma.Operation{OperationID: id, Method: http.MethodPost, Path: path, Tags: tags, Summary: summary, Errors: []int{401, 429}}, scopePublic,
			func(ctx context.Context, in *struct{ Body ChallengeBody }) (*loginAnswer, error) {
				AuditSignIn(ctx, "", channel, "")
				sess, err := login(ctx, in.Body.Challenge, in.Body.Code, entrance(ctx))
				if err != nil {
					return nil, refusedSignIn(ctx, err)
				}
				return signedIn(ctx, sess), nil
			})
	}
	step("login-totp", "/auth/login/totp", identity.FactorTOTP, "Sign in, second step: a time-based code", s.deps.Identity.LoginTOTP)
	step("login-recovery", "/auth/login/recovery", identity.FactorRecovery, "Sign in, second step: a recovery code, which is used up", s.deps.Identity.LoginRecovery)

	Register(s, huma.Operation{OperationID: "login-webauthn-begin", Method: http.MethodPost, Path: "/auth/login/webauthn/begin", Tags: tags,
		Summary: "Sign in with a security key: the second step, or, without a challenge, the whole", Errors: []int{401, 422, 429}}, scopePublic,
		func(ctx context.Context, in *struct {
			Body *struct {
				Challenge string `json:"challenge,omitempty" maxLength:"64"`
			}
		}) (*Body[keyOptions], error) {
			st := stateOf(ctx)
			st.skipAudit = true
			begun := ""
			if in.Body != nil {
				begun = in.Body.Challenge
			}
			challenge, options, err := s.deps.Identity.BeginWebAuthn(ctx, begun, st.origin, entrance(ctx))
			if err != nil {
				return nil, refusedSignIn(ctx, err)
			}
			return Reply(keyOptions{Challenge: challenge, Options: options}), nil
		})

	Register(s, huma.Operation{OperationID: "login-webauthn-finish", Method: http.MethodPost, Path: "/auth/login/webauthn/finish", Tags: tags,
		Summary: "Sign in with a security key: its answer", Errors: []int{401, 429}}, scopePublic,
		func(ctx context.Context, in *struct {
			Body struct {
				Challenge  string          `json:"challenge" maxLength:"64"`
				Credential json.RawMessage `json:"credential" doc:"PublicKeyCredential.toJSON()"`
			}
		}) (*loginAnswer, error) {
			AuditSignIn(ctx, "", identity.FactorWebAuthn, "")
			sess, err := s.deps.Identity.FinishWebAuthn(ctx, in.Body.Challenge, in.Body.Credential, entrance(ctx))
			if err != nil {
				return nil, refusedSignIn(ctx, err)
			}
			return signedIn(ctx, sess), nil
		})
}

func (s *Server) ownFactorRoutes() {
	tags := []string{"own account"}
	Register(s, huma.Operation{OperationID: "my-factors", Method: http.MethodGet, Path: "/me/factors", Tags: tags,
		Summary: "My second factors"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[identity.Factors], error) {
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			f, err := s.deps.Identity.Factors(ctx, p.UserID)
			return Reply(f), err
		})

	Register(s, huma.Operation{OperationID: "enrol-totp", Method: http.MethodPost, Path: "/me/factors/totp", Tags: tags,
		Summary: "Make a secret for an authenticator app; it is in force once a code of it was confirmed"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[totpEnrolment], error) {
			stateOf(ctx).object = "own totp"
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			e, err := s.deps.Identity.BeginTOTP(ctx, p)
			return Reply(totpEnrolment{e.ID, e.Secret, e.URI}), err
		})

	Register(s, huma.Operation{OperationID: "confirm-totp", Method: http.MethodPost, Path: "/me/factors/totp/confirm", Tags: tags,
		Summary: "Show a code of the new secret: it is in force", Errors: []int{422}}, ScopeAny,
		func(ctx context.Context, in *struct {
			Body struct {
				ID   string `json:"id" maxLength:"64"`
				Code string `json:"code" maxLength:"16"`
			}
		}) (*Body[enrolled], error) {
			stateOf(ctx).object = "own totp"
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			codes, err := s.deps.Identity.FinishTOTP(ctx, p, in.Body.ID, in.Body.Code)
			return Reply(enrolled{RecoveryCodes: codes}), err
		})

	Register(s, huma.Operation{OperationID: "remove-totp", Method: http.MethodDelete, Path: "/me/factors/totp", Tags: tags,
		Summary: "Remove my authenticator app", DefaultStatus: http.StatusNoContent, Errors: []int{404, 422}}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*struct{}, error) {
			stateOf(ctx).object = "own totp"
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			return nil, s.deps.Identity.RemoveFactor(ctx, p, "")
		})

	Register(s, huma.Operation{OperationID: "enrol-key", Method: http.MethodPost, Path: "/me/factors/webauthn/begin", Tags: tags,
		Summary: "Begin to add a security key", Errors: []int{422}}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[keyOptions], error) {
			st := stateOf(ctx)
			st.object = "own key"
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			e, err := s.deps.Identity.BeginKey(ctx, p, st.origin)
			return Reply(keyOptions{ID: e.ID, Options: e.Options}), err
		})

	Register(s, huma.Operation{OperationID: "confirm-key", Method: http.MethodPost, Path: "/me/factors/webauthn/finish", Tags: tags,
		Summary: "Add the security key that answered", Errors: []int{422}}, ScopeAny,
		func(ctx context.Context, in *struct {
			Body struct {
				ID         string          `json:"id" maxLength:"64"`
				Name       string          `json:"name" maxLength:"100"`
				Credential json.RawMessage `json:"credential" doc:"PublicKeyCredential.toJSON()"`
			}
		}) (*Body[enrolled], error) {
			st := stateOf(ctx)
			st.object = "own key"
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			key, codes, err := s.deps.Identity.FinishKey(ctx, p, in.Body.ID, in.Body.Name, in.Body.Credential)
			if err != nil {
				return nil, err
			}
			st.object = "key:" + key.ID
			return Reply(enrolled{Key: &key, RecoveryCodes: codes}), nil
		})

	Register(s, huma.Operation{OperationID: "rename-key", Method: http.MethodPatch, Path: "/me/factors/webauthn/{id}", Tags: tags,
		Summary: "Rename a security key of mine", Errors: []int{404, 422}}, ScopeAny,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				Name string `json:"name" maxLength:"100"`
			}
		}) (*Body[identity.SecurityKey], error) {
			stateOf(ctx).object = "key:" + in.ID
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			key, err := s.deps.Identity.RenameKey(ctx, p, in.ID, in.Body.Name)
			return Reply(key), err
		})

	Register(s, huma.Operation{OperationID: "remove-key", Method: http.MethodDelete, Path: "/me/factors/webauthn/{id}", Tags: tags,
		Summary: "Remove a security key of mine", DefaultStatus: http.StatusNoContent, Errors: []int{404, 422}}, ScopeAny,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			stateOf(ctx).object = "key:" + in.ID
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			return nil, s.deps.Identity.RemoveFactor(ctx, p, in.ID)
		})

	Register(s, huma.Operation{OperationID: "renew-recovery-codes", Method: http.MethodPost, Path: "/me/factors/recovery", Tags: tags,
		Summary: "Replace my recovery codes", Errors: []int{422}}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[enrolled], error) {
			stateOf(ctx).object = "own recovery codes"
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			codes, err := s.deps.Identity.NewRecoveryCodes(ctx, p)
			return Reply(enrolled{RecoveryCodes: codes}), err
		})
}

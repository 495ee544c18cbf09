package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/audit"
	"icewatch/soc/identity"
)

// defaultTokenLife is how long an API token lives where nothing is said.
const defaultTokenLife = 365 * 24 * time.Hour

// freshToken is a token with its secret.
type freshToken struct {
	identity.Token
	Secret string `json:"token" doc:"Shown this once"`
}

// ended counts what was ended.
type ended struct {
	Ended int `json:"ended"`
}

// ByID names one thing by its id.
type ByID struct {
	ID string `path:"id" maxLength:"512"`
}

// own returns the user who asks, who must be signed in: a token has no
// sessions or devices.
func own(ctx context.Context) (*identity.Principal, error) {
	p := PrincipalFrom(ctx)
	if p.Via != identity.ViaSession {
		return nil, Problem(http.StatusForbidden, "only a user who is signed in has this")
	}
	return p, nil
}

// sessionRoutes registers sessions, devices, locks and API tokens: one's own
// and, for those who look after security, everybody's.
func (s *Server) sessionRoutes() {
	s.ownSessionRoutes()
	s.allSessionRoutes()
	s.ownTokenRoutes()
	s.tokenRoutes()
}

func (s *Server) ownSessionRoutes() {
	tags := []string{"own account"}
	Register(s, huma.Operation{OperationID: "my-accesses", Method: http.MethodGet, Path: "/me/accesses", Tags: tags,
		Summary: "How, when and from where I sign in: habits and the last accesses"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[identity.Accesses], error) {
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			a, err := s.deps.Identity.Accesses(ctx, p.UserID)
			return Reply(a), err
		})

	Register(s, huma.Operation{OperationID: "my-sessions", Method: http.MethodGet, Path: "/me/sessions", Tags: tags,
		Summary: "Where I am signed in, the last used first"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[Page[identity.OpenSession]], error) {
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			list, total, err := s.deps.Identity.Sessions(ctx, p.UserID, 1000, 0)
			for i := range list {
				list[i].Current = list[i].ID == p.SessionID
			}
			return Reply(PageOf(list, total, "")), err
		})

	Register(s, huma.Operation{OperationID: "end-my-session", Method: http.MethodDelete, Path: "/me/sessions/{id}", Tags: tags,
		Summary: "Sign one of my sessions out", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, ScopeAny,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			stateOf(ctx).object = "session:" + in.ID
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			return nil, s.deps.Identity.EndSession(ctx, p.UserID, in.ID)
		})

	Register(s, huma.Operation{OperationID: "end-my-other-sessions", Method: http.MethodDelete, Path: "/me/sessions", Tags: tags,
		Summary: "Sign me out everywhere but here"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[ended], error) {
			stateOf(ctx).object = "own sessions"
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			n, err := s.deps.Identity.EndSessions(ctx, p.UserID, p.SessionID)
			return Reply(ended{n}), err
		})

	Register(s, huma.Operation{OperationID: "my-devices", Method: http.MethodGet, Path: "/me/devices", Tags: tags,
		Summary: "The browsers I have signed in with"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[Page[identity.Device]], error) {
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			list, err := s.deps.Identity.Devices(ctx, p.UserID, stateOf(ctx).device)
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, huma.Operation{OperationID: "forget-my-device", Method: http.MethodDelete, Path: "/me/devices/{id}", Tags: tags,
		Summary: "Forget a browser of mine: it is a stranger's again", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, ScopeAny,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			stateOf(ctx).object = "device:" + in.ID
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			_, err = s.deps.Identity.ForgetDevice(ctx, p.UserID, in.ID)
			return nil, err
		})
}

func (s *Server) allSessionRoutes() {
	tags := []string{"sessions"}
	Register(s, huma.Operation{OperationID: "list-user-accesses", Method: http.MethodGet, Path: "/users/{id}/accesses", Tags: tags,
		Summary: "How, when and from where a user signs in: habits and the last accesses", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*Body[identity.Accesses], error) {
			u, err := s.named(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			a, err := s.deps.Identity.Accesses(ctx, u.ID)
			return Reply(a), err
		})

	Register(s, huma.Operation{OperationID: "list-sessions", Method: http.MethodGet, Path: "/sessions", Tags: tags,
		Summary: "Who is signed in, the last used first"}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			PageInput
			User string `query:"user" maxLength:"64" doc:"Id of a user"`
		}) (*Body[Page[identity.OpenSession]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			offset, err := offsetOf(in.Cursor)
			if err != nil {
				return nil, err
			}
			list, total, err := s.deps.Identity.Sessions(ctx, in.User, in.Limit, offset)
			if err != nil {
				return nil, err
			}
			next := ""
			if end := offset + len(list); len(list) > 0 && end < total {
				next = strconv.Itoa(end)
			}
			for i := range list {
				list[i].Current = list[i].ID == PrincipalFrom(ctx).SessionID
			}
			return Reply(PageOf(list, total, next)), nil
		})

	Register(s, huma.Operation{OperationID: "end-session", Method: http.MethodDelete, Path: "/sessions/{id}", Tags: tags,
		Summary: "Sign a session out, at once", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			stateOf(ctx).object = "session:" + in.ID
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return nil, s.deps.Identity.EndSession(ctx, "", in.ID)
		})

	Register(s, huma.Operation{OperationID: "end-user-sessions", Method: http.MethodDelete, Path: "/users/{id}/sessions", Tags: tags,
		Summary: "Sign a user out everywhere, at once", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*Body[ended], error) {
			u, err := s.named(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			n, err := s.deps.Identity.EndSessions(ctx, u.ID, "")
			return Reply(ended{n}), err
		})

	Register(s, huma.Operation{OperationID: "list-user-devices", Method: http.MethodGet, Path: "/users/{id}/devices", Tags: tags,
		Summary: "The browsers a user has signed in with", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*Body[Page[identity.Device]], error) {
			u, err := s.named(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			list, err := s.deps.Identity.Devices(ctx, u.ID, "")
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, huma.Operation{OperationID: "forget-user-devices", Method: http.MethodDelete, Path: "/users/{id}/devices", Tags: tags,
		Summary: "Forget all browsers of a user", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*Body[ended], error) {
			u, err := s.named(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			n, err := s.deps.Identity.ForgetDevice(ctx, u.ID, "")
			return Reply(ended{n}), err
		})

	Register(s, huma.Operation{OperationID: "unlock-user", Method: http.MethodPost, Path: "/users/{id}/unlock", Tags: tags,
		Summary: "Let a user in again who is locked", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			stateOf(ctx).object = "user:" + in.ID
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			u, err := s.deps.Identity.Unlock(ctx, in.ID)
			if err == nil {
				stateOf(ctx).object = "user:" + u.Username
			}
			return nil, err
		})

	Register(s, huma.Operation{OperationID: "list-locks", Method: http.MethodGet, Path: "/locks", Tags: tags,
		Summary: "Accounts, networks and devices that are locked at the moment, the latest first"}, identity.ScopeSecurity,
		func(ctx context.Context, _ *Empty) (*Body[Page[identity.Lock]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list := s.deps.Identity.Locks()
			return Reply(PageOf(list, len(list), "")), nil
		})

	Register(s, huma.Operation{OperationID: "remove-lock", Method: http.MethodDelete, Path: "/locks/{id}", Tags: tags,
		Summary: "Remove one lock", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			lock, err := s.deps.Identity.RemoveLock(ctx, in.ID)
			stateOf(ctx).object = "lock:" + clip(lock.Kind+" "+lock.Account+" "+lock.Network, 128)
			return nil, err
		})
}

// noteAbnormal writes what a session did that its user does not usually do to
// the audit log, from where it goes to detection.
func (s *Server) noteAbnormal(_ context.Context, a identity.Abnormal) {
	result := audit.OK
	if a.Action == identity.ActFactor || a.Action == identity.ActLock {
		result = audit.Denied
	}
	rec := audit.Record{Time: time.Now(), Kind: audit.KindSignIn, Actor: a.Principal.Username, Action: "abnormal-access", Object: "session:" + a.Principal.SessionID,
		Result: result, Address: a.Address, Session: a.Principal.SessionID, Channel: a.Principal.Channel, Unit: a.Principal.Unit,
		Detail: "the session turned up in another network within a minute; done about it: " + a.Action}
	if a.Action != identity.ActRecord {
		rec.Findings = a.Findings
	}
	s.deps.Audit.Note(rec)
}

// named finds the user a route is about and names him in the audit log.
func (s *Server) named(ctx context.Context, id string) (identity.User, error) {
	stateOf(ctx).object = "user:" + id
	if err := cityOnly(ctx); err != nil {
		return identity.User{}, err
	}
	u, err := s.deps.Identity.User(ctx, id)
	if err == nil {
		stateOf(ctx).object = "user:" + u.Username
	}
	return u, err
}

// TokenBody is what a new API token is made of.
type TokenBody struct {
	Name      string   `json:"name" maxLength:"100"`
	Tenant    string   `json:"tenant,omitempty" maxLength:"128" doc:"The one tenant it acts for; empty for all"`
	Scopes    []string `json:"scopes" doc:"ingest, read, respond, configure, system, security, audit, admin" nullable:"false"`
	Addresses []string `json:"addresses,omitempty" doc:"Networks (CIDR) or addresses it may be used from; none is anywhere"`
	ExpiresIn string   `json:"expires_in,omitempty" doc:"Like 720h or 90d; never for no expiry; a year by default"`
}

// createToken makes a token; of the caller's own where owner is not nil.
func (s *Server) createToken(ctx context.Context, b TokenBody, owner *identity.Principal) (*Body[freshToken], error) {
	st := stateOf(ctx)
	st.object, st.tenant = "token:"+clip(b.Name, 100), b.Tenant
	if b.Tenant != "" {
		if err := s.checkTenants([]string{b.Tenant}); err != nil {
			return nil, err
		}
	}
	life := defaultTokenLife
	switch b.ExpiresIn {
	case "":
	case "never", "0":
		life = 0
	default:
		var err error
		if life, err = ParseDuration(b.ExpiresIn); err != nil || life <= 0 {
			return nil, Problem(http.StatusUnprocessableEntity, "expires_in: %q is no duration like 720h or 90d, nor never", clip(b.ExpiresIn, 64))
		}
	}
	t, secret, err := s.deps.Identity.CreateToken(ctx, identity.NewToken{Name: b.Name, Tenant: b.Tenant, Scopes: b.Scopes, Addresses: b.Addresses,
		ExpiresIn: life, CreatedBy: Actor(ctx), Owner: owner})
	if err != nil {
		return nil, err
	}
	st.object, st.detail = "token:"+t.ID, "name "+strconv.Quote(t.Name)
	return Reply(freshToken{t, secret}), nil
}

func (s *Server) rotateToken(ctx context.Context, owner *identity.Principal, id string) (*Body[freshToken], error) {
	stateOf(ctx).object = "token:" + id
	t, secret, err := s.deps.Identity.RotateToken(ctx, owner, id)
	return Reply(freshToken{t, secret}), err
}

func (s *Server) ownTokenRoutes() {
	tags := []string{"own account"}
	Register(s, huma.Operation{OperationID: "my-tokens", Method: http.MethodGet, Path: "/me/tokens", Tags: tags,
		Summary: "My API tokens, without their secrets"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[Page[identity.Token]], error) {
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			tokens, err := s.deps.Identity.Tokens(ctx, p.UserID)
			return Reply(PageOf(tokens, len(tokens), "")), err
		})

	Register(s, huma.Operation{OperationID: "create-my-token", Method: http.MethodPost, Path: "/me/tokens", Tags: tags,
		Summary: "Create an API token that may do no more than I may", DefaultStatus: http.StatusCreated, Errors: []int{422}}, ScopeAny,
		func(ctx context.Context, in *struct{ Body TokenBody }) (*Body[freshToken], error) {
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			return s.createToken(ctx, in.Body, p)
		})

	Register(s, huma.Operation{OperationID: "rotate-my-token", Method: http.MethodPost, Path: "/me/tokens/{id}/rotate", Tags: tags,
		Summary: "Give a token of mine a new secret: the old one is void at once", Errors: []int{404}}, ScopeAny,
		func(ctx context.Context, in *ByID) (*Body[freshToken], error) {
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			return s.rotateToken(ctx, p, in.ID)
		})

	Register(s, huma.Operation{OperationID: "revoke-my-token", Method: http.MethodDelete, Path: "/me/tokens/{id}", Tags: tags,
		Summary: "Revoke an API token of mine, at once", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, ScopeAny,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			stateOf(ctx).object = "token:" + in.ID
			p, err := own(ctx)
			if err != nil {
				return nil, err
			}
			return nil, s.deps.Identity.RevokeToken(ctx, p.UserID, in.ID)
		})
}

func (s *Server) tokenRoutes() {
	tags := []string{"tokens"}
	Register(s, huma.Operation{OperationID: "list-tokens", Method: http.MethodGet, Path: "/tokens", Tags: tags,
		Summary: "All API tokens, without their secrets"}, identity.ScopeSecurity,
		func(ctx context.Context, _ *Empty) (*Body[Page[identity.Token]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			tokens, err := s.deps.Identity.Tokens(ctx, "")
			return Reply(PageOf(tokens, len(tokens), "")), err
		})

	Register(s, huma.Operation{OperationID: "create-token", Method: http.MethodPost, Path: "/tokens", Tags: tags,
		Summary: "Create an API token for a service", DefaultStatus: http.StatusCreated, Errors: []int{422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct{ Body TokenBody }) (*Body[freshToken], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if err := s.mayMint(ctx, in.Body.Scopes); err != nil {
				return nil, err
			}
			return s.createToken(ctx, in.Body, nil)
		})

	Register(s, huma.Operation{OperationID: "rotate-token", Method: http.MethodPost, Path: "/tokens/{id}/rotate", Tags: tags,
		Summary: "Give an API token a new secret: the old one is void at once", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*Body[freshToken], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			tokens, err := s.deps.Identity.Tokens(ctx, "")
			if err != nil {
				return nil, err
			}
			for _, t := range tokens {
				if t.ID != in.ID {
					continue
				}
				if t.Owner != "" {
					return nil, Problem(http.StatusForbidden, "the token is a user's own: he rotates it himself; you can revoke it")
				}
				if err := s.mayMint(ctx, t.Scopes); err != nil {
					return nil, err
				}
			}
			return s.rotateToken(ctx, nil, in.ID)
		})

	Register(s, huma.Operation{OperationID: "revoke-token", Method: http.MethodDelete, Path: "/tokens/{id}", Tags: tags,
		Summary: "Revoke an API token, at once", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			stateOf(ctx).object = "token:" + in.ID
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return nil, s.deps.Identity.RevokeToken(ctx, "", in.ID)
		})
}

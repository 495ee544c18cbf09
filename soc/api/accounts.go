package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
)

// accountRoutes registers the caller's own account and users.
func (s *Server) accountRoutes() {
	Register(s, huma.Operation{OperationID: "me", Method: http.MethodGet, Path: "/me", Tags: []string{"account"},
		Summary: "Who I am and what I may do"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[identity.User], error) {
			u, err := s.me(ctx)
			if err != nil {
				return nil, err
			}
			return Reply(u), nil
		})

	Register(s, huma.Operation{OperationID: "update-me", Method: http.MethodPatch, Path: "/me", Tags: []string{"account"},
		Summary: "Change my own settings"}, ScopeAny,
		func(ctx context.Context, in *struct {
			Body struct {
				Locale *string `json:"locale,omitempty" doc:"zh-CN or en; empty follows the browser"`
			}
		}) (*Body[identity.User], error) {
			p := PrincipalFrom(ctx)
			if p.Via != identity.ViaSession {
				return nil, Problem(http.StatusForbidden, "only a user who is signed in has settings")
			}
			u, err := s.deps.Identity.UpdateUser(ctx, p.UserID, identity.UserChange{Locale: in.Body.Locale})
			if err != nil {
				return nil, err
			}
			return Reply(u), nil
		})

	s.userRoutes()
}

// me describes the caller, who need not be a user of ours.
func (s *Server) me(ctx context.Context) (identity.User, error) {
	p := PrincipalFrom(ctx)
	if p.Via == identity.ViaSession {
		return s.deps.Identity.User(ctx, p.UserID)
	}
	u := identity.User{ID: p.UserID, Username: p.Username, DisplayName: p.DisplayName, Roles: p.Roles, Scopes: p.Scopes,
		AllTenants: p.AllTenants, Tenants: p.Tenants}
	if u.Roles == nil {
		u.Roles = []string{}
	}
	if u.Tenants == nil {
		u.Tenants = []string{}
	}
	return u, nil
}

// checkTenants refuses names of tenants that do not exist.
func (s *Server) checkTenants(slugs []string) error {
	for _, slug := range slugs {
		if slug != "*" && !s.tenantExists(slug) {
			return Problem(http.StatusUnprocessableEntity, "there is no tenant %q", clip(slug, 64))
		}
	}
	return nil
}

func (s *Server) userRoutes() {
	Register(s, huma.Operation{OperationID: "list-users", Method: http.MethodGet, Path: "/users", Tags: []string{"account"},
		Summary: "All users"}, identity.ScopeSystem,
		func(ctx context.Context, _ *Empty) (*Body[Page[identity.User]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			users, err := s.deps.Identity.Users(ctx)
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(users, len(users), "")), nil
		})

	Register(s, huma.Operation{OperationID: "create-user", Method: http.MethodPost, Path: "/users", Tags: []string{"account"},
		Summary: "Create a user", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Body struct {
				Username    string   `json:"username" maxLength:"64"`
				DisplayName string   `json:"display_name,omitempty" maxLength:"200"`
				Password    string   `json:"password" maxLength:"1024" doc:"At least 12 characters; to be changed at the first sign-in"`
				Roles       []string `json:"roles" doc:"admin, analyst or viewer" nullable:"false"`
				Tenants     []string `json:"tenants,omitempty" doc:"Names of tenants, or * alone for all" nullable:"false"`
				Locale      string   `json:"locale,omitempty"`
			}
		}) (*Body[identity.User], error) {
			st := stateOf(ctx)
			st.object = "user:" + clip(in.Body.Username, 64)
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if err := s.checkTenants(in.Body.Tenants); err != nil {
				return nil, err
			}
			u, err := s.deps.Identity.CreateUser(ctx, identity.NewUser{
				Username: in.Body.Username, DisplayName: in.Body.DisplayName, Password: in.Body.Password,
				Roles: in.Body.Roles, Tenants: in.Body.Tenants, Locale: in.Body.Locale})
			if err != nil {
				return nil, err
			}
			return Reply(u), nil
		})

	Register(s, huma.Operation{OperationID: "update-user", Method: http.MethodPatch, Path: "/users/{id}", Tags: []string{"account"},
		Summary: "Change a user: what is given changes, the rest stays", Errors: []int{404, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"64"`
			Body struct {
				DisplayName *string   `json:"display_name,omitempty" maxLength:"200"`
				Roles       *[]string `json:"roles,omitempty"`
				Tenants     *[]string `json:"tenants,omitempty"`
				Locale      *string   `json:"locale,omitempty"`
				Disabled    *bool     `json:"disabled,omitempty"`
				Password    *string   `json:"password,omitempty" maxLength:"1024" doc:"Ends the user's sessions"`
			}
		}) (*Body[identity.User], error) {
			st := stateOf(ctx)
			st.object = "user:" + in.ID
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if in.Body.Tenants != nil {
				if err := s.checkTenants(*in.Body.Tenants); err != nil {
					return nil, err
				}
			}
			u, err := s.deps.Identity.UpdateUser(ctx, in.ID, identity.UserChange{
				DisplayName: in.Body.DisplayName, Roles: in.Body.Roles, Tenants: in.Body.Tenants,
				Locale: in.Body.Locale, Disabled: in.Body.Disabled, Password: in.Body.Password})
			if err != nil {
				return nil, err
			}
			st.object = "user:" + u.Username
			st.detail = changed(map[string]bool{"display_name": in.Body.DisplayName != nil, "roles": in.Body.Roles != nil,
				"tenants": in.Body.Tenants != nil, "locale": in.Body.Locale != nil, "disabled": in.Body.Disabled != nil,
				"password": in.Body.Password != nil})
			return Reply(u), nil
		})
}

// changed lists the names of what was changed, not the values.
func changed(what map[string]bool) string {
	var names []string
	for name, yes := range what {
		if yes {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	text := "changed:"
	for _, n := range names {
		text += " " + n
	}
	return text
}

package api

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/identity/access"
	"icewatch/soc/reach"
)

// Profile is what a user record says of a person.
type Profile struct {
	DisplayName *string   `json:"display_name,omitempty" maxLength:"200" doc:"Real name"`
	Email       *string   `json:"email,omitempty" maxLength:"254"`
	Phone       *string   `json:"phone,omitempty" maxLength:"40"`
	Tags        *[]string `json:"tags,omitempty"`
	Locale      *string   `json:"locale,omitempty" doc:"zh-CN or en; empty follows the browser"`
}

// meAnswer is who asks, with what he may do at the moment.
type meAnswer struct {
	identity.User
	Scopes      []string       `json:"scopes" nullable:"false" doc:"Kinds of operation of which the caller may do all"`
	Permissions []string       `json:"permissions" nullable:"false" doc:"Operations the caller may do now, from where he is"`
	Groups      []access.Group `json:"groups" nullable:"false"`
	Separation  bool           `json:"separation" doc:"The three powers are apart"`
	SetupNeeded bool           `json:"setup_needed" doc:"The first sign-in wizard is still to be gone through, by the caller"`
}

// meRoutes registers the caller's own account.
func (s *Server) meRoutes() {
	Register(s, huma.Operation{OperationID: "me", Method: http.MethodGet, Path: "/me", Tags: []string{"account"},
		Summary: "Who I am and what I may do"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[meAnswer], error) {
			u, err := s.me(ctx)
			if err != nil {
				return nil, err
			}
			out := meAnswer{User: u, Permissions: s.operationsOf(ctx), Groups: []access.Group{}, Separation: s.deps.Identity.Access().Separated()}
			out.Scopes = s.scopesOf(out.Permissions)
			if PrincipalFrom(ctx).Via == identity.ViaSession {
				if out.Groups, err = s.deps.Identity.Access().Groups(ctx, access.GroupQuery{User: u.ID}); err != nil {
					return nil, err
				}
				out.SetupNeeded = s.setupNeeded(ctx)
			}
			return Reply(out), nil
		})

	Register(s, huma.Operation{OperationID: "update-me", Method: http.MethodPatch, Path: "/me", Tags: []string{"account"},
		Summary: "Change my own details and settings", Errors: []int{422}}, ScopeAny,
		func(ctx context.Context, in *struct{ Body Profile }) (*Body[identity.User], error) {
			p := PrincipalFrom(ctx)
			if p.Via != identity.ViaSession {
				return nil, Problem(http.StatusForbidden, "only a user who is signed in has settings")
			}
			b := in.Body
			AuditObject(ctx, "user:"+p.Username, "", "own details")
			u, err := s.deps.Identity.UpdateUser(ctx, p.UserID, identity.UserChange{DisplayName: b.DisplayName, Email: b.Email, Phone: b.Phone, Tags: b.Tags, Locale: b.Locale})
			return Reply(u), err
		})

	avatar := func(id, method, path, summary, scope string, of func(ctx context.Context, user string) (string, error)) {
		if method == http.MethodDelete {
			Register(s, huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"account"}, Summary: summary, DefaultStatus: http.StatusNoContent}, scope,
				func(ctx context.Context, in *Empty) (*struct{}, error) {
					user, err := of(ctx, "")
					if err != nil {
						return nil, err
					}
					return nil, s.deps.Identity.SetAvatar(ctx, user, nil)
				})
			return
		}
		Register(s, huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"account"}, Summary: summary, DefaultStatus: http.StatusNoContent,
			MaxBodyBytes: maxPicture, Errors: []int{413, 422}}, scope,
			func(ctx context.Context, in *struct {
				RawBody []byte `contentType:"image/png"`
			}) (*struct{}, error) {
				user, err := of(ctx, "")
				if err != nil {
					return nil, err
				}
				png, err := thumbnail(in.RawBody, avatarSize)
				if err != nil {
					return nil, Problem(http.StatusUnprocessableEntity, "%s", err)
				}
				return nil, s.deps.Identity.SetAvatar(ctx, user, png)
			})
	}
	own := func(ctx context.Context, _ string) (string, error) {
		p := PrincipalFrom(ctx)
		if p.Via != identity.ViaSession {
			return "", Problem(http.StatusForbidden, "only a user who is signed in has a picture")
		}
		AuditObject(ctx, "user:"+p.Username, "", "own picture")
		return p.UserID, nil
	}
	avatar("set-my-avatar", http.MethodPut, "/me/avatar", "Set my picture: PNG or JPEG", ScopeAny, own)
	avatar("remove-my-avatar", http.MethodDelete, "/me/avatar", "Remove my picture", ScopeAny, own)

	Register(s, huma.Operation{OperationID: "get-avatar", Method: http.MethodGet, Path: "/users/{id}/avatar", Tags: []string{"account"},
		Summary: "A user's picture, 128 by 128 pixels", Errors: []int{404}, Responses: map[string]*huma.Response{"200": {Description: "OK",
			Content: map[string]*huma.MediaType{"image/png": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}}, ScopeAny,
		func(ctx context.Context, in *IDInput) (*huma.StreamResponse, error) {
			image, err := s.deps.Identity.Avatar(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return bodyAnswer("image/png", image), nil
		})
}

// me describes the caller, who need not be a user of ours.
func (s *Server) me(ctx context.Context) (identity.User, error) {
	p := PrincipalFrom(ctx)
	if p.Via == identity.ViaSession {
		return s.deps.Identity.User(ctx, p.UserID)
	}
	u := identity.User{ID: p.UserID, Username: p.Username, DisplayName: p.DisplayName, Roles: p.Roles,
		AllTenants: p.AllTenants, Tenants: p.Tenants}
	if u.Roles == nil {
		u.Roles = []string{}
	}
	if u.Tenants == nil {
		u.Tenants = []string{}
	}
	u.Tags = []string{}
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

// userDetail is a user with what he is given beside his own roles.
type userDetail struct {
	identity.User
	Groups []access.Group `json:"groups" nullable:"false"`
	Grants []access.Grant `json:"grants" nullable:"false" doc:"His own and those by his groups"`
}

// AccountBody is the part of a user's record that administrators keep.
type AccountBody struct {
	Profile
	Unit       *string    `json:"unit,omitempty" maxLength:"64" doc:"Id of a unit"`
	ValidFrom  *time.Time `json:"valid_from,omitempty" doc:"Before it the account cannot be used"`
	ValidUntil *time.Time `json:"valid_until,omitempty" doc:"From then on the account cannot be used"`
}

// AccessBody is what a user is given: how that is changed is a power of its own.
type AccessBody struct {
	Roles   *[]string `json:"roles,omitempty" doc:"Ids of roles"`
	Tenants *[]string `json:"tenants,omitempty" doc:"Names of tenants, or * alone for all"`
	Reach   *string   `json:"reach,omitempty" maxLength:"10000" doc:"Data scope within the tenants, such as region in (\"道里区\", \"南岗区\"); empty does not narrow"`
}

func (b AccessBody) given() bool { return b.Roles != nil || b.Tenants != nil || b.Reach != nil }

func valueOf[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// mayGiveAccess refuses who may keep accounts but not say what they may do.
// What a delegated administrator gives is narrowed to his own reach: b comes
// back changed.
func (s *Server) mayGiveAccess(ctx context.Context, unit string, b *AccessBody) error {
	if !b.given() {
		return nil
	}
	d := s.decide(ctx, "set-user-access")
	if !d.Allow {
		return Problem(http.StatusForbidden, "roles and tenants are given by who may do the operation set-user-access: make the account without them")
	}
	st := stateOf(ctx)
	was := st.confined
	st.confined = was || d.Confined
	defer func() { st.confined = was }()
	if err := s.mayGive(ctx, unit, valueOf(b.Roles)...); err != nil {
		return err
	}
	if own := st.principal.Conditions; st.confined && len(own) > 0 && (b.Tenants != nil || b.Reach != nil) {
		// The unit's ceilings hold for him anyway; the giver's own bounds must too.
		bounds := slices.Clone(own)
		if r := valueOf(b.Reach); r != "" {
			if _, err := reach.Parse(r); err != nil {
				return Problem(http.StatusUnprocessableEntity, "reach: %s", err)
			}
			bounds = append(bounds, r)
		}
		joined := "(" + strings.Join(bounds, ") and (") + ")"
		b.Reach = &joined
	}
	if b.Tenants == nil {
		return nil
	}
	if err := s.checkTenants(*b.Tenants); err != nil {
		return err
	}
	for _, slug := range *b.Tenants {
		if st.confined && (slug == "*" && !st.principal.AllTenants || slug != "*" && !st.own.CoversTenant(slug)) {
			return Problem(http.StatusForbidden, "the tenant %q is not within your own reach", clip(slug, 64))
		}
	}
	return nil
}

func (s *Server) userRoutes() {
	s.userFileRoutes() // before those of one user: the router takes the first that fits

	Register(s, huma.Operation{OperationID: "list-users", Method: http.MethodGet, Path: "/users", Tags: []string{"users"},
		Summary: "Users by name"}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			PageInput
			UserFilter
		}) (*Body[Page[identity.User]], error) {
			q, err := s.userQuery(ctx, in.UserFilter)
			if err != nil {
				return nil, err
			}
			q.Limit, q.Cursor = in.Limit, in.Cursor
			page, err := s.deps.Identity.Users(ctx, q)
			return Reply(PageOf(page.Items, page.Total, page.Next)), err
		})

	Register(s, huma.Operation{OperationID: "get-user", Method: http.MethodGet, Path: "/users/{id}", Tags: []string{"users"},
		Summary: "One user with groups and grants", Errors: []int{404}}, identity.ScopeSystem,
		func(ctx context.Context, in *IDInput) (*Body[userDetail], error) {
			u, err := s.userWithin(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			out := userDetail{User: u}
			store := s.deps.Identity.Access()
			if out.Groups, err = store.Groups(ctx, access.GroupQuery{User: u.ID}); err != nil {
				return nil, err
			}
			out.Grants, err = store.Grants(ctx, access.GrantQuery{User: u.ID, Via: true})
			return Reply(out), err
		})

	Register(s, huma.Operation{OperationID: "create-user", Method: http.MethodPost, Path: "/users", Tags: []string{"users"},
		Summary: "Create a user", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Body struct {
				Username string `json:"username" maxLength:"64"`
				Password string `json:"password" maxLength:"1024" doc:"To be changed at the first sign-in"`
				AccountBody
				AccessBody
			}
		}) (*Body[identity.User], error) {
			b := in.Body
			AuditObject(ctx, "user:"+clip(b.Username, 64), "", "")
			unit := valueOf(b.Unit)
			if err := s.checkUnit(ctx, unit); err != nil {
				return nil, err
			}
			if err := s.mayGiveAccess(ctx, unit, &b.AccessBody); err != nil {
				return nil, err
			}
			u, err := s.deps.Identity.CreateUser(ctx, identity.NewUser{Username: b.Username, Password: b.Password,
				DisplayName: valueOf(b.DisplayName), Email: valueOf(b.Email), Phone: valueOf(b.Phone), Tags: valueOf(b.Tags), Locale: valueOf(b.Locale),
				Unit: unit, ValidFrom: b.ValidFrom, ValidUntil: b.ValidUntil, Roles: valueOf(b.Roles), Tenants: valueOf(b.Tenants), Reach: valueOf(b.Reach)})
			return Reply(u), err
		})

	Register(s, huma.Operation{OperationID: "update-user", Method: http.MethodPatch, Path: "/users/{id}", Tags: []string{"users"},
		Summary: "Change a user: what is given changes, the rest stays", Errors: []int{404, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				AccountBody
				AccessBody
				Disabled *bool   `json:"disabled,omitempty"`
				Password *string `json:"password,omitempty" maxLength:"1024" doc:"Ends the user's sessions"`
				Unbound  bool    `json:"unbound,omitempty" doc:"Take the bounds valid_from and valid_until away"`
			}
		}) (*Body[identity.User], error) {
			b := in.Body
			AuditObject(ctx, "user:"+in.ID, "", "")
			u, err := s.userManaged(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			unit := u.Unit
			if b.Unit != nil {
				unit = *b.Unit
				if err := s.checkUnit(ctx, unit); err != nil {
					return nil, err
				}
			}
			if err := s.mayGiveAccess(ctx, unit, &b.AccessBody); err != nil {
				return nil, err
			}
			ch := identity.UserChange{DisplayName: b.DisplayName, Email: b.Email, Phone: b.Phone, Tags: b.Tags, Locale: b.Locale, Unit: b.Unit,
				Roles: b.Roles, Tenants: b.Tenants, Reach: b.Reach, Disabled: b.Disabled, Password: b.Password}
			if b.ValidFrom != nil || b.Unbound {
				ch.ValidFrom = &b.ValidFrom
			}
			if b.ValidUntil != nil || b.Unbound {
				ch.ValidUntil = &b.ValidUntil
			}
			before := u
			u, err = s.deps.Identity.UpdateUser(ctx, in.ID, ch)
			if err != nil {
				return nil, err
			}
			AuditChange(ctx, before, u)
			AuditObject(ctx, "user:"+u.Username, "", changed(map[string]bool{"display_name": b.DisplayName != nil, "email": b.Email != nil, "phone": b.Phone != nil,
				"tags": b.Tags != nil, "unit": b.Unit != nil, "valid": ch.ValidFrom != nil || ch.ValidUntil != nil, "roles": b.Roles != nil,
				"tenants": b.Tenants != nil, "reach": b.Reach != nil, "locale": b.Locale != nil, "disabled": b.Disabled != nil, "password": b.Password != nil}))
			return Reply(u), nil
		})

	Register(s, huma.Operation{OperationID: "set-user-access", Method: http.MethodPut, Path: "/users/{id}/access", Tags: []string{"users"},
		Summary: "Say what a user may do and which data he reaches", Errors: []int{404, 409, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			IDInput
			Body AccessBody
		}) (*Body[identity.User], error) {
			AuditObject(ctx, "user:"+in.ID, "", "access")
			u, err := s.userManaged(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if err := s.mayGiveAccess(ctx, u.Unit, &in.Body); err != nil {
				return nil, err
			}
			before := u
			u, err = s.deps.Identity.UpdateUser(ctx, in.ID, identity.UserChange{Roles: in.Body.Roles, Tenants: in.Body.Tenants, Reach: in.Body.Reach})
			if err == nil {
				AuditChange(ctx, before, u)
				AuditObject(ctx, "user:"+u.Username, "", changed(map[string]bool{"roles": in.Body.Roles != nil, "tenants": in.Body.Tenants != nil, "reach": in.Body.Reach != nil}))
			}
			return Reply(u), err
		})

	Register(s, huma.Operation{OperationID: "copy-user-access", Method: http.MethodPost, Path: "/users/{id}/access/copy", Tags: []string{"users"},
		Summary: "Give a user what another one has: roles, tenants, data scope and groups, in place of his own", Errors: []int{404, 409, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				From string `json:"from" maxLength:"64" doc:"Id of the other user"`
			}
		}) (*Body[identity.User], error) {
			AuditObject(ctx, "user:"+in.ID, "", "access copied from "+in.Body.From)
			u, err := s.copyAccess(ctx, in.ID, in.Body.From)
			return Reply(u), err
		})

	Register(s, huma.Operation{OperationID: "delete-user", Method: http.MethodDelete, Path: "/users/{id}", Tags: []string{"users"},
		Summary: "Remove an account with its sessions; what it did stays in the audit log", DefaultStatus: http.StatusNoContent, Errors: []int{404, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *IDInput) (*struct{}, error) {
			AuditObject(ctx, "user:"+in.ID, "", "")
			u, err := s.userManaged(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if u.ID == PrincipalFrom(ctx).UserID {
				return nil, Problem(http.StatusUnprocessableEntity, "you cannot remove your own account")
			}
			u, err = s.deps.Identity.DeleteUser(ctx, in.ID)
			if err == nil {
				AuditObject(ctx, "user:"+u.Username, "", "")
				AuditChange(ctx, u, nil)
			}
			return nil, err
		})

	Register(s, huma.Operation{OperationID: "batch-users", Method: http.MethodPost, Path: "/users/batch", Tags: []string{"users"},
		Summary: "One action on several users; those that do not allow it are named and the rest is done", Errors: []int{422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs    []string `json:"ids" minItems:"1" maxItems:"500" nullable:"false"`
				Action string   `json:"action" enum:"enable,disable,delete,set_unit"`
				Unit   string   `json:"unit,omitempty" maxLength:"64" doc:"Of set_unit"`
			}
		}) (*Body[userBatch], error) {
			AuditObject(ctx, "users", "", in.Body.Action)
			out, err := s.batchUsers(ctx, in.Body.IDs, in.Body.Action, in.Body.Unit)
			if err == nil {
				AuditObject(ctx, "users", "", clip(in.Body.Action+": "+strings.Join(out.Done, " "), 4096))
			}
			return Reply(out), err
		})

}

// UserFilter narrows a list of users.
type UserFilter struct {
	Q        string `query:"q" maxLength:"200" doc:"Part of the name, e-mail or telephone"`
	Under    string `query:"under" maxLength:"64" doc:"Id of a unit: users of it and below"`
	Unit     string `query:"unit" maxLength:"64" doc:"Id of a unit: users of just it"`
	Region   string `query:"region" maxLength:"200" doc:"Users of units in the region, given or inherited"`
	Supports string `query:"supports" maxLength:"64" doc:"Id of a unit: users of the units it supports"`
	Role     string `query:"role" maxLength:"64" doc:"Held directly or by grant"`
	Group    string `query:"group" maxLength:"64"`
	Tag      string `query:"tag" maxLength:"100"`
	Disabled string `query:"disabled" enum:"true,false"`
}

func (s *Server) userQuery(ctx context.Context, f UserFilter) (identity.UserQuery, error) {
	q := identity.UserQuery{Query: f.Q, Role: f.Role, Group: f.Group, Tag: f.Tag}
	var err error
	if q.Units, err = s.unitsWithin(ctx, f.Under); err != nil {
		return q, err
	}
	if f.Unit != "" {
		if q.Units != nil && !slices.Contains(q.Units, f.Unit) {
			return q, NotFound("unit", f.Unit)
		}
		q.Units = []string{f.Unit}
	}
	if f.Region != "" || f.Supports != "" {
		tree := s.deps.Units.Tree()
		ids := []string{}
		for _, u := range tree.All() {
			if (f.Region == "" || tree.Region(u.ID) == f.Region) && (f.Supports == "" || u.Supports == f.Supports) && (q.Units == nil || slices.Contains(q.Units, u.ID)) {
				ids = append(ids, u.ID)
			}
		}
		q.Units = ids
	}
	if f.Disabled != "" {
		disabled := f.Disabled == "true"
		q.Disabled = &disabled
	}
	return q, nil
}

// copyAccess gives one user what another has.
func (s *Server) copyAccess(ctx context.Context, id, from string) (identity.User, error) {
	to, err := s.userManaged(ctx, id)
	if err != nil {
		return to, err
	}
	model, err := s.userWithin(ctx, from)
	if err != nil {
		return to, err
	}
	tenants := model.Tenants
	if model.AllTenants {
		tenants = []string{"*"}
	}
	give := AccessBody{Roles: &model.Roles, Tenants: &tenants, Reach: &model.Reach}
	if err := s.mayGiveAccess(ctx, to.Unit, &give); err != nil {
		return to, err
	}
	store := s.deps.Identity.Access()
	want, err := store.Groups(ctx, access.GroupQuery{User: model.ID})
	if err != nil {
		return to, err
	}
	for _, g := range want {
		if err := s.mayGrantGroup(ctx, g.ID, to.Unit); err != nil {
			return to, err
		}
	}
	have, err := store.Groups(ctx, access.GroupQuery{User: to.ID})
	if err != nil {
		return to, err
	}
	in := func(list []access.Group, id string) bool {
		return slices.ContainsFunc(list, func(g access.Group) bool { return g.ID == id })
	}
	// What is taken comes first, so that two powers never meet on the way.
	for _, g := range have {
		if !in(want, g.ID) {
			if err := store.RemoveMember(ctx, g.ID, to.ID); err != nil {
				return to, err
			}
		}
	}
	if to, err = s.deps.Identity.UpdateUser(ctx, id, identity.UserChange{Roles: give.Roles, Tenants: give.Tenants, Reach: give.Reach}); err != nil {
		return to, err
	}
	for _, g := range want {
		if !in(have, g.ID) {
			if err := store.AddMember(ctx, g.ID, to.ID); err != nil {
				return to, err
			}
		}
	}
	return to, nil
}

type userBatch struct {
	Done   []string       `json:"done" nullable:"false"`
	Failed []batchFailure `json:"failed" nullable:"false"`
}

func (s *Server) batchUsers(ctx context.Context, ids []string, action, unit string) (userBatch, error) {
	out := userBatch{Done: []string{}, Failed: []batchFailure{}}
	if action == "set_unit" {
		if err := s.checkUnit(ctx, unit); err != nil {
			return out, err
		}
	}
	if action == "delete" && !s.may(ctx, "delete-user") {
		return out, Problem(http.StatusForbidden, "%s", missing("delete-user", identity.ScopeSystem))
	}
	for _, id := range ids {
		u, err := s.userManaged(ctx, id)
		if err == nil && u.ID == PrincipalFrom(ctx).UserID && action != "set_unit" {
			err = Problem(http.StatusUnprocessableEntity, "you cannot %s your own account", action)
		}
		if err == nil {
			yes, no := true, false
			switch action {
			case "enable":
				_, err = s.deps.Identity.UpdateUser(ctx, id, identity.UserChange{Disabled: &no})
			case "disable":
				_, err = s.deps.Identity.UpdateUser(ctx, id, identity.UserChange{Disabled: &yes})
			case "delete":
				_, err = s.deps.Identity.DeleteUser(ctx, id)
			case "set_unit":
				_, err = s.deps.Identity.UpdateUser(ctx, id, identity.UserChange{Unit: &unit})
			}
		}
		if err == nil {
			out.Done = append(out.Done, id)
			continue
		}
		out.Failed = append(out.Failed, failureOf(id, s.toProblem(ctx, err)))
	}
	return out, nil
}

func (s *Server) userFileRoutes() {
	Register(s, huma.Operation{OperationID: "import-users", Method: http.MethodPost, Path: "/users/import", Tags: []string{"users"},
		Summary: "Create users and change their details from CSV, all or nothing", MaxBodyBytes: maxAPIBody, BodyReadTimeout: 2 * time.Minute, Errors: []int{413, 422},
		Description: "Columns: username, display_name, email, phone, unit_code, roles and tags (separated by ;), locale, password. New users without a password get one made, which is shown this once."},
		identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			DryRun  bool   `query:"dry_run" doc:"Check and count, change nothing"`
			RawBody []byte `contentType:"text/csv"`
		}) (*Body[userImport], error) {
			st := stateOf(ctx)
			st.object, st.skipAudit = "users", in.DryRun
			report, err := s.importUsers(ctx, bytes.NewReader(in.RawBody), in.DryRun)
			if err == nil {
				st.detail = report.detail()
			}
			return Reply(report), err
		})

	Register(s, huma.Operation{OperationID: "export-users", Method: http.MethodGet, Path: "/users/export", Tags: []string{"users"},
		Summary: "The users as CSV, without secrets", Responses: map[string]*huma.Response{"200": {Description: "OK",
			Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: "string"}}}}}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct{ UserFilter }) (*huma.StreamResponse, error) {
			q, err := s.userQuery(ctx, in.UserFilter)
			if err != nil {
				return nil, err
			}
			var buf bytes.Buffer
			if err := s.exportUsers(ctx, q, &buf); err != nil {
				return nil, err
			}
			return bodyAnswer("text/csv; charset=utf-8", buf.Bytes()), nil
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

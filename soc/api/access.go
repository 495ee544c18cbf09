package api

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/identity/access"
	"icewatch/soc/identity/policy"
	"icewatch/soc/reach"
)

// decide asks the policy whether the caller may do the operation now, from
// where he is.
func (s *Server) decide(ctx context.Context, operation string) policy.Decision {
	st := stateOf(ctx)
	if st == nil || st.principal == nil || st.principal.Subject == nil {
		return policy.Decision{}
	}
	d, err := s.deps.Identity.Access().Engine().Decide(ctx, policy.Request{
		Subject: st.principal.Subject, Operation: operation, Everywhere: st.own.Everything(), Address: st.address, Time: time.Now()})
	if err != nil {
		s.log.Error("a decision failed, and refuses", "operation", operation, "request_id", st.requestID, "error", err)
		return policy.Decision{}
	}
	return d
}

// mayAs tells whether a principal with this reach may do an operation now,
// without a request of his: roles bound to a place are out of force.
func (s *Server) mayAs(ctx context.Context, p *identity.Principal, r reach.Reach, operation string) bool {
	d, err := s.deps.Identity.Access().Engine().Decide(ctx, policy.Request{Subject: p.Subject, Operation: operation, Everywhere: r.Everything(), Time: time.Now()})
	if err != nil {
		s.log.Error("a decision failed, and refuses", "operation", operation, "user", p.Username, "error", err)
	}
	return err == nil && d.Allow
}

// permitted decides on the operation of the request itself and notes whether
// the permission holds in the caller's part of the tree only.
func (s *Server) permitted(ctx context.Context, operation, scope string) bool {
	if scope == scopePublic {
		return true
	}
	d := s.decide(ctx, operation)
	st := stateOf(ctx)
	if st != nil {
		st.confined = d.Confined
	}
	if s.deps.Decisions != nil && (!d.Allow || scope != identity.ScopeRead && scope != identity.ScopeIngest && scope != ScopeAny) {
		s.deps.Decisions.Log(policy.Record{ID: st.requestID, Time: time.Now(), Actor: st.principal.Actor(), Operation: operation, Address: st.address, Decision: d})
	}
	return d.Allow
}

// may tells whether the caller may do another operation too.
func (s *Server) may(ctx context.Context, operation string) bool {
	return s.decide(ctx, operation).Allow
}

// missing says what a refused caller lacks.
func missing(operation, scope string) string {
	return "you may not do this: it needs a role or token with the scope " + scope + ", or with the operation " + operation
}

// operationsOf lists what the caller may do, by id.
func (s *Server) operationsOf(ctx context.Context) []string {
	out := []string{}
	for _, o := range s.operations {
		if o.Scope != scopePublic && s.decide(ctx, o.ID).Allow {
			out = append(out, o.ID)
		}
	}
	slices.Sort(out)
	return out
}

// scopesOf lists the scopes of which the caller may do every operation; admin
// where that is all of them.
func (s *Server) scopesOf(allowed []string) []string {
	out := []string{}
	for _, sc := range policy.AllScopes {
		if !slices.ContainsFunc(s.operations, func(o policy.Operation) bool {
			return o.Scope == sc && !slices.Contains(allowed, o.ID)
		}) {
			out = append(out, sc)
		}
	}
	if len(out) == len(policy.AllScopes) {
		out = append(out, policy.ScopeAdmin)
	}
	return out
}

// mayMint refuses to make a token with a power that its maker does not hold:
// whoever has the token has the power.
func (s *Server) mayMint(ctx context.Context, scopes []string) error {
	for _, p := range policy.Powers {
		if (slices.Contains(scopes, p) || slices.Contains(scopes, policy.ScopeAdmin)) && !s.holdsPower(ctx, p) {
			return Problem(http.StatusForbidden, "you do not hold %s administration yourself, so you cannot make a token with it", p)
		}
	}
	return nil
}

// explanation is why somebody may, or may not, do something.
type explanation struct {
	policy.Decision
	Operation string          `json:"operation"`
	Scope     string          `json:"scope"`
	Reasons   []policy.Reason `json:"reasons" nullable:"false"`
}

// GrantBody is what binds a grant. It is exported because inputs embed it.
type GrantBody struct {
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	Weekdays  []int      `json:"weekdays,omitempty" doc:"1 is Monday, 7 Sunday"`
	From      string     `json:"from,omitempty" maxLength:"5" doc:"Time of day such as 08:00, in the server's time zone; with to"`
	To        string     `json:"to,omitempty" maxLength:"5" doc:"Exclusive; earlier than from: over midnight"`
	Networks  []string   `json:"networks,omitempty" doc:"Networks the request must come from"`
	Reason    string     `json:"reason,omitempty" maxLength:"2000"`
}

func (b GrantBody) grant() access.Grant {
	return access.Grant{NotBefore: b.NotBefore, NotAfter: b.NotAfter, Weekdays: b.Weekdays, From: b.From, To: b.To, Networks: b.Networks, Reason: b.Reason}
}

// accessRoutes registers what there is to be done, roles, groups and grants.
func (s *Server) accessRoutes() {
	Register(s, huma.Operation{OperationID: "list-operations", Method: http.MethodGet, Path: "/access/operations", Tags: []string{"access"},
		Summary: "Every operation that a role can permit"}, ScopeAny,
		func(_ context.Context, in *struct {
			Routes bool `query:"routes" doc:"Every route instead, public ones among them: an operation may have several"`
		}) (*Body[Page[policy.Operation]], error) {
			list := slices.DeleteFunc(slices.Clone(s.operations), func(o policy.Operation) bool { return o.Scope == scopePublic })
			if in.Routes {
				list = slices.SortedFunc(maps.Values(s.declared), func(a, b policy.Operation) int {
					return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
				})
			}
			return Reply(PageOf(list, len(list), "")), nil
		})

	Register(s, huma.Operation{OperationID: "explain-access", Method: http.MethodGet, Path: "/access/explain", Tags: []string{"access"},
		Summary: "Why I, or another user, may or may not do something", Errors: []int{404}}, ScopeAny,
		func(ctx context.Context, in *struct {
			Operation string    `query:"operation" required:"true" maxLength:"100"`
			User      string    `query:"user" maxLength:"64" doc:"Id of a user; without one: oneself"`
			Address   string    `query:"address" maxLength:"64" doc:"As if the request came from there"`
			At        time.Time `query:"at" doc:"As if it were then"`
		}) (*Body[explanation], error) {
			st := stateOf(ctx)
			req := policy.Request{Subject: st.principal.Subject, Operation: in.Operation, Everywhere: st.own.Everything(), Address: st.address, Time: time.Now()}
			if in.User != "" && in.User != st.principal.UserID {
				d := s.decide(ctx, "set-user-access")
				st.confined = d.Confined
				if !d.Allow {
					return nil, Problem(http.StatusForbidden, "you may ask this for yourself only")
				}
				if _, err := s.userWithin(ctx, in.User); err != nil {
					return nil, err
				}
				other, err := s.deps.Identity.PrincipalOf(ctx, in.User)
				if err != nil {
					return nil, err
				}
				req.Subject, req.Everywhere, req.Address = other.Subject, s.reachOf(other).Everything(), ""
			}
			if in.Address != "" {
				req.Address = in.Address
			}
			if !in.At.IsZero() {
				req.Time = in.At
			}
			out := explanation{Operation: in.Operation}
			for _, o := range s.operations {
				if o.ID == in.Operation {
					out.Scope = o.Scope
				}
			}
			if out.Scope == "" {
				return nil, NotFound("operation", clip(in.Operation, 100))
			}
			var err error
			out.Decision, out.Reasons, err = s.deps.Identity.Access().Engine().Explain(ctx, req)
			return Reply(out), err
		})

	s.roleRoutes()
	s.groupRoutes()
	s.grantRoutes()
}

// roleView is a role with how many have it, for who may change roles.
type roleView struct {
	access.Role
	Holders int `json:"holders" doc:"Users who have it directly, and grants of it; 0 for who may not change roles"`
}

func (s *Server) roleRoutes() {
	store := s.deps.Identity.Access()
	Register(s, huma.Operation{OperationID: "list-roles", Method: http.MethodGet, Path: "/roles", Tags: []string{"access"},
		Summary: "The roles"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[Page[roleView]], error) {
			roles := store.Roles()
			list := make([]roleView, len(roles))
			holders := map[string]int{}
			if s.may(ctx, "create-role") {
				var err error
				if holders, err = store.Holders(ctx); err != nil {
					return nil, err
				}
			}
			for i, r := range roles {
				list[i] = roleView{r, holders[r.ID]}
			}
			return Reply(PageOf(list, len(list), "")), nil
		})

	Register(s, huma.Operation{OperationID: "get-role", Method: http.MethodGet, Path: "/roles/{id}", Tags: []string{"access"},
		Summary: "One role", Errors: []int{404}}, ScopeAny,
		func(ctx context.Context, in *IDInput) (*Body[roleView], error) {
			r, err := store.Role(in.ID)
			if err != nil {
				return nil, err
			}
			out := roleView{Role: r}
			if s.may(ctx, "create-role") {
				out.Holders, err = store.HoldersOf(ctx, in.ID)
			}
			return Reply(out), err
		})

	Register(s, huma.Operation{OperationID: "create-role", Method: http.MethodPost, Path: "/roles", Tags: []string{"access"},
		Summary: "Make a role", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			Body struct {
				ID          string      `json:"id" maxLength:"63" doc:"a-z, 0-9 and -"`
				Name        access.Text `json:"name"`
				Description access.Text `json:"description,omitempty"`
				Scopes      []string    `json:"scopes,omitempty"`
				Operations  []string    `json:"operations,omitempty" doc:"Beyond those of the scopes"`
				Delegated   bool        `json:"delegated,omitempty" doc:"Holds in the holder's own unit and below only"`
			}
		}) (*Body[access.Role], error) {
			b := in.Body
			AuditObject(ctx, "role:"+clip(b.ID, 63), "", "")
			r, err := store.CreateRole(ctx, access.Role{ID: b.ID, Name: b.Name, Description: b.Description, Scopes: b.Scopes, Operations: b.Operations, Delegated: b.Delegated})
			return Reply(r), err
		})

	Register(s, huma.Operation{OperationID: "update-role", Method: http.MethodPatch, Path: "/roles/{id}", Tags: []string{"access"},
		Summary: "Change a role: what is given changes; who holds it is bound by it from the next request on", Errors: []int{404, 409, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Name        *access.Text `json:"name,omitempty"`
				Description *access.Text `json:"description,omitempty"`
				Scopes      *[]string    `json:"scopes,omitempty"`
				Operations  *[]string    `json:"operations,omitempty"`
				Delegated   *bool        `json:"delegated,omitempty"`
			}
		}) (*Body[access.Role], error) {
			AuditObject(ctx, "role:"+in.ID, "", "")
			b := in.Body
			before, err := store.Role(in.ID)
			if err != nil {
				return nil, err
			}
			r, err := store.UpdateRole(ctx, in.ID, access.RoleChange{Name: b.Name, Description: b.Description, Scopes: b.Scopes, Operations: b.Operations, Delegated: b.Delegated})
			AuditChange(ctx, before, r)
			return Reply(r), err
		})

	Register(s, huma.Operation{OperationID: "delete-role", Method: http.MethodDelete, Path: "/roles/{id}", Tags: []string{"access"},
		Summary: "Remove a role that nobody holds", DefaultStatus: http.StatusNoContent, Errors: []int{404, 409}}, identity.ScopeSecurity,
		func(ctx context.Context, in *IDInput) (*struct{}, error) {
			AuditObject(ctx, "role:"+in.ID, "", "")
			return nil, store.DeleteRole(ctx, in.ID)
		})
}

func (s *Server) groupRoutes() {
	store := s.deps.Identity.Access()
	Register(s, huma.Operation{OperationID: "list-groups", Method: http.MethodGet, Path: "/groups", Tags: []string{"access"},
		Summary: "Groups, posts and projects"}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Kind  string `query:"kind" enum:"group,post,project"`
			Q     string `query:"q" maxLength:"200"`
			Under string `query:"under" maxLength:"64" doc:"Id of a unit: those of it and below"`
			User  string `query:"user" maxLength:"64" doc:"Id of a user: those he is in"`
		}) (*Body[Page[access.Group]], error) {
			within, err := s.unitsWithin(ctx, in.Under)
			if err != nil {
				return nil, err
			}
			list, err := store.Groups(ctx, access.GroupQuery{Kind: in.Kind, Query: in.Q, Units: within, User: in.User})
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, huma.Operation{OperationID: "get-group", Method: http.MethodGet, Path: "/groups/{id}", Tags: []string{"access"},
		Summary: "One group, post or project", Errors: []int{404}}, identity.ScopeSystem,
		func(ctx context.Context, in *IDInput) (*Body[access.Group], error) {
			g, err := s.groupWithin(ctx, in.ID)
			return Reply(g), err
		})

	Register(s, huma.Operation{OperationID: "create-group", Method: http.MethodPost, Path: "/groups", Tags: []string{"access"},
		Summary: "Make a group, post or project", DefaultStatus: http.StatusCreated, Errors: []int{422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Body struct {
				Kind        string      `json:"kind" enum:"group,post,project"`
				Name        access.Text `json:"name"`
				Description string      `json:"description,omitempty" maxLength:"2000"`
				Unit        string      `json:"unit,omitempty" maxLength:"64" doc:"Id of a unit; empty is the whole city's"`
			}
		}) (*Body[access.Group], error) {
			b := in.Body
			AuditObject(ctx, b.Kind+":"+clip(b.Name.ZH+b.Name.EN, 100), "", "")
			if err := s.checkUnit(ctx, b.Unit); err != nil {
				return nil, err
			}
			g, err := store.CreateGroup(ctx, access.Group{Kind: b.Kind, Name: b.Name, Description: b.Description, Unit: b.Unit})
			return Reply(g), err
		})

	Register(s, huma.Operation{OperationID: "update-group", Method: http.MethodPatch, Path: "/groups/{id}", Tags: []string{"access"},
		Summary: "Change a group: what is given changes", Errors: []int{404, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Name        *access.Text `json:"name,omitempty"`
				Description *string      `json:"description,omitempty" maxLength:"2000"`
				Unit        *string      `json:"unit,omitempty" maxLength:"64"`
			}
		}) (*Body[access.Group], error) {
			AuditObject(ctx, "group:"+in.ID, "", "")
			before, err := s.groupWithin(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if in.Body.Unit != nil {
				if err := s.checkUnit(ctx, *in.Body.Unit); err != nil {
					return nil, err
				}
			}
			g, err := store.UpdateGroup(ctx, in.ID, access.GroupChange{Name: in.Body.Name, Description: in.Body.Description, Unit: in.Body.Unit})
			AuditChange(ctx, before, g)
			return Reply(g), err
		})

	Register(s, huma.Operation{OperationID: "delete-group", Method: http.MethodDelete, Path: "/groups/{id}", Tags: []string{"access"},
		Summary: "Remove a group with its grants: its members lose what it gave", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSystem,
		func(ctx context.Context, in *IDInput) (*struct{}, error) {
			AuditObject(ctx, "group:"+in.ID, "", "")
			before, err := s.groupWithin(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			AuditChange(ctx, before, nil)
			return nil, store.DeleteGroup(ctx, in.ID)
		})

	Register(s, huma.Operation{OperationID: "list-members", Method: http.MethodGet, Path: "/groups/{id}/members", Tags: []string{"access"},
		Summary: "Who is in a group", Errors: []int{404}}, identity.ScopeSystem,
		func(ctx context.Context, in *IDInput) (*Body[Page[access.Member]], error) {
			if _, err := s.groupWithin(ctx, in.ID); err != nil {
				return nil, err
			}
			list, err := store.Members(ctx, in.ID)
			return Reply(PageOf(list, len(list), "")), err
		})

	member := func(id, method, summary string, do func(ctx context.Context, group, user string) error) {
		Register(s, huma.Operation{OperationID: id, Method: method, Path: "/groups/{id}/members/{user}", Tags: []string{"access"},
			Summary: summary, DefaultStatus: http.StatusNoContent, Errors: []int{404, 409}}, identity.ScopeSystem,
			func(ctx context.Context, in *struct {
				IDInput
				User string `path:"user" maxLength:"64"`
			}) (*struct{}, error) {
				AuditObject(ctx, "group:"+in.ID, "", "member "+in.User)
				if _, err := s.groupWithin(ctx, in.ID); err != nil {
					return nil, err
				}
				u, err := s.userManaged(ctx, in.User)
				if err != nil {
					return nil, err
				}
				if err := s.mayGrantGroup(ctx, in.ID, u.Unit); err != nil {
					return nil, err
				}
				return nil, do(ctx, in.ID, in.User)
			})
	}
	member("add-member", http.MethodPut, "Put a user into a group", store.AddMember)
	member("remove-member", http.MethodDelete, "Take a user out of a group", store.RemoveMember)
}

func (s *Server) grantRoutes() {
	store := s.deps.Identity.Access()
	type grantView struct {
		access.Grant
		InForce bool `json:"in_force" doc:"Now, for requests from the holder's places"`
	}
	view := func(g access.Grant) grantView { return grantView{g, g.InForce(time.Now())} }

	Register(s, huma.Operation{OperationID: "list-grants", Method: http.MethodGet, Path: "/grants", Tags: []string{"access"},
		Summary: "Which roles are given to whom, when and where"}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			User  string `query:"user" maxLength:"64"`
			Group string `query:"group" maxLength:"64"`
			Role  string `query:"role" maxLength:"64"`
			Via   bool   `query:"via" doc:"With user: also those by the user's groups"`
		}) (*Body[Page[grantView]], error) {
			if stateOf(ctx).confined {
				switch {
				case in.User != "":
					if _, err := s.userWithin(ctx, in.User); err != nil {
						return nil, err
					}
				case in.Group != "":
					if _, err := s.groupWithin(ctx, in.Group); err != nil {
						return nil, err
					}
				default:
					return nil, Problem(http.StatusForbidden, "name a user or a group of your own unit")
				}
			}
			list, err := store.Grants(ctx, access.GrantQuery{User: in.User, Group: in.Group, Role: in.Role, Via: in.Via})
			items := make([]grantView, len(list))
			for i := range list {
				items[i] = view(list[i])
			}
			return Reply(PageOf(items, len(items), "")), err
		})

	Register(s, huma.Operation{OperationID: "create-grant", Method: http.MethodPost, Path: "/grants", Tags: []string{"access"},
		Summary: "Give a role to a user or a group, perhaps at times and in places only", DefaultStatus: http.StatusCreated, Errors: []int{404, 409, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			Body struct {
				Role  string `json:"role" maxLength:"63"`
				User  string `json:"user,omitempty" maxLength:"64" doc:"Id of a user, or"`
				Group string `json:"group,omitempty" maxLength:"64" doc:"of a group"`
				GrantBody
			}
		}) (*Body[grantView], error) {
			b := in.Body
			AuditObject(ctx, "grant", "", "role "+b.Role+" to "+b.User+b.Group)
			g := b.grant()
			g.Role, g.User, g.Group, g.GrantedBy = b.Role, b.User, b.Group, Actor(ctx)
			if err := s.mayTouchGrant(ctx, g); err != nil {
				return nil, err
			}
			g, err := store.CreateGrant(ctx, g)
			return Reply(view(g)), err
		})

	Register(s, huma.Operation{OperationID: "update-grant", Method: http.MethodPut, Path: "/grants/{id}", Tags: []string{"access"},
		Summary: "Replace what binds a grant", Errors: []int{404, 409, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			IDInput
			Body GrantBody
		}) (*Body[grantView], error) {
			AuditObject(ctx, "grant:"+in.ID, "", "")
			g, err := store.Grant(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if err := s.mayTouchGrant(ctx, g); err != nil {
				return nil, err
			}
			before := g
			g, err = store.UpdateGrant(ctx, in.ID, in.Body.grant())
			AuditChange(ctx, before, g)
			return Reply(view(g)), err
		})

	Register(s, huma.Operation{OperationID: "delete-grant", Method: http.MethodDelete, Path: "/grants/{id}", Tags: []string{"access"},
		Summary: "Take a role back", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *IDInput) (*struct{}, error) {
			AuditObject(ctx, "grant:"+in.ID, "", "")
			g, err := store.Grant(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if err := s.mayTouchGrant(ctx, g); err != nil {
				return nil, err
			}
			AuditChange(ctx, g, nil)
			return nil, store.DeleteGrant(ctx, in.ID)
		})
}

package api

import (
	"context"
	"net/http"
	"slices"

	"icewatch/soc/identity"
	"icewatch/soc/identity/access"
	"icewatch/soc/identity/policy"
)

// A delegated administrator looks after his own unit and those below it. What
// follows keeps him there: he sees and changes people, groups and units of his
// part of the tree only, gives nobody more than he may give, and touches
// nobody who holds more than that.

// unitsWithin returns the ids of the units the caller may look at, narrowed to
// those below under where it is given; nil is all of them.
func (s *Server) unitsWithin(ctx context.Context, under string) ([]string, error) {
	tree := s.deps.Units.Tree()
	st := stateOf(ctx)
	if under != "" {
		if _, ok := tree.Get(under); !ok || st.confined && !tree.Under(under, st.principal.Unit) {
			return nil, NotFound("unit", clip(under, 64))
		}
		return tree.IDs(under), nil
	}
	if !st.confined {
		return nil, nil
	}
	return append([]string{}, tree.IDs(st.principal.Unit)...), nil
}

// checkUnit refuses a unit that does not exist or that the caller may not put
// anything into.
func (s *Server) checkUnit(ctx context.Context, unit string) error {
	st := stateOf(ctx)
	if unit == "" {
		if st.confined {
			return Problem(http.StatusUnprocessableEntity, "unit: name your own unit or one below it")
		}
		return nil
	}
	tree := s.deps.Units.Tree()
	if _, ok := tree.Get(unit); !ok || st.confined && !tree.Under(unit, st.principal.Unit) {
		return Problem(http.StatusUnprocessableEntity, "unit: there is no unit %q, or it is not within your reach", clip(unit, 64))
	}
	return nil
}

// userWithin reads a user the caller may look at.
func (s *Server) userWithin(ctx context.Context, id string) (identity.User, error) {
	u, err := s.deps.Identity.User(ctx, id)
	if err != nil {
		return u, err
	}
	if st := stateOf(ctx); st.confined && !s.deps.Units.Tree().Under(u.Unit, st.principal.Unit) {
		return identity.User{}, identity.ErrNotFound
	}
	return u, nil
}

// userManaged reads a user the caller may change. A delegated administrator
// may change nobody who holds more than he himself may give, and not himself.
// Where the powers are apart, the holder of one is out of the hands of the
// others: who could set his password could act as him.
func (s *Server) userManaged(ctx context.Context, id string) (identity.User, error) {
	u, err := s.userWithin(ctx, id)
	if err != nil {
		return u, err
	}
	st := stateOf(ctx)
	if st.confined {
		if u.ID == st.principal.UserID {
			return u, Problem(http.StatusForbidden, "what concerns yourself is for the administrator above you, or under your own settings")
		}
		roles, err := s.rolesOf(ctx, u)
		if err != nil {
			return u, err
		}
		return u, s.mayGive(ctx, u.Unit, roles...)
	}
	store := s.deps.Identity.Access()
	if !store.Separated() || st.principal.Via == identity.ViaLocal {
		return u, nil
	}
	roles, err := s.rolesOf(ctx, u)
	if err != nil {
		return u, err
	}
	for _, p := range store.PowersOf(roles) {
		if !s.holdsPower(ctx, p) {
			return u, Problem(http.StatusForbidden, "the three powers are apart: %s administration belongs to another: only who holds it too, or the machine's own account on the local socket, may change %s", p, u.Username)
		}
	}
	return u, nil
}

// holdsPower tells whether the caller may do anything of one of the three powers.
func (s *Server) holdsPower(ctx context.Context, power string) bool {
	return slices.ContainsFunc(s.operations, func(o policy.Operation) bool {
		if o.Scope != power || len(o.Also) > 0 { // to look at what a power keeps is not to hold it
			return false
		}
		d := s.decide(ctx, o.ID)
		return d.Allow && !d.Confined
	})
}

// rolesOf lists what a user holds, directly and by grant.
func (s *Server) rolesOf(ctx context.Context, u identity.User) ([]string, error) {
	grants, err := s.deps.Identity.Access().Of(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	roles := slices.Clone(u.Roles)
	for _, g := range grants {
		roles = append(roles, g.Role)
	}
	return roles, nil
}

// mayGive refuses a delegated administrator who would give, within the unit,
// more than he may: reading and responding, what he holds himself, and
// delegated roles to units below his own.
func (s *Server) mayGive(ctx context.Context, unit string, roles ...string) error {
	st := stateOf(ctx)
	if !st.confined {
		return nil
	}
	for _, id := range roles {
		r, err := s.deps.Identity.Access().Role(id)
		if err != nil {
			return Problem(http.StatusUnprocessableEntity, "there is no role %q", clip(id, 63))
		}
		if r.Delegated && (unit == st.principal.Unit || !s.deps.Units.Tree().Under(unit, st.principal.Unit)) {
			return Problem(http.StatusForbidden, "the role %q may be given to units below your own only", id)
		}
		for _, o := range s.operations {
			if !covers(r, o) || o.Scope == identity.ScopeRead || o.Scope == identity.ScopeRespond {
				continue
			}
			if !s.decide(ctx, o.ID).Allow {
				return Problem(http.StatusForbidden, "the role %q permits %s, which you may not do yourself: ask the administrator above you", id, o.ID)
			}
		}
	}
	return nil
}

func covers(r access.Role, o policy.Operation) bool {
	if o.Scope == scopePublic || o.Scope == ScopeAny {
		return false
	}
	return slices.Contains(r.Scopes, o.Scope) || slices.Contains(r.Scopes, identity.ScopeAdmin) || slices.Contains(r.Operations, o.ID)
}

// groupWithin reads a group of the caller's part of the tree.
func (s *Server) groupWithin(ctx context.Context, id string) (access.Group, error) {
	g, err := s.deps.Identity.Access().Group(ctx, id)
	if err != nil {
		return g, err
	}
	if st := stateOf(ctx); st.confined && !s.deps.Units.Tree().Under(g.Unit, st.principal.Unit) {
		return access.Group{}, NotFound("group", clip(id, 64))
	}
	return g, nil
}

// mayGrantGroup refuses who would give by a group's membership what he may not
// give by itself.
func (s *Server) mayGrantGroup(ctx context.Context, id, unit string) error {
	if !stateOf(ctx).confined {
		// To put somebody into a group is to give him its roles.
		if s.may(ctx, "create-grant") {
			return nil
		}
		if list, err := s.deps.Identity.Access().Grants(ctx, access.GrantQuery{Group: id}); err != nil || len(list) == 0 {
			return err
		}
		return Problem(http.StatusForbidden, "the group gives roles to its members: only who may give roles can change who is in it")
	}
	list, err := s.deps.Identity.Access().Grants(ctx, access.GrantQuery{Group: id})
	if err != nil {
		return err
	}
	for _, g := range list {
		if err := s.mayGive(ctx, unit, g.Role); err != nil {
			return err
		}
	}
	return nil
}

// mayTouchGrant refuses a grant outside of the caller's part of the tree, or
// of a role he may not give.
func (s *Server) mayTouchGrant(ctx context.Context, g access.Grant) error {
	unit := ""
	switch {
	case g.User != "":
		u, err := s.userManaged(ctx, g.User)
		if err != nil {
			return err
		}
		unit = u.Unit
	case g.Group != "":
		group, err := s.groupWithin(ctx, g.Group)
		if err != nil {
			return err
		}
		unit = group.Unit
	}
	return s.mayGive(ctx, unit, g.Role)
}

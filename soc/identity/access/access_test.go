package access_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/soc/identity"
	"icewatch/soc/identity/access"
	"icewatch/soc/identity/policy"
	"icewatch/soc/settings"
	"icewatch/soc/state"
)

const pass = "moon-river-harbour"

type fixture struct {
	*access.Store
	t     *testing.T
	users *identity.Service
	set   *settings.Store
}

func open(t *testing.T, path string) *fixture {
	t.Helper()
	ctx := t.Context()
	db, err := state.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	set, err := settings.Open(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := identity.Open(ctx, db, set, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{ids.Access(), t, ids, set}
	err = f.SetOperations(ctx, []policy.Operation{{ID: "search", Scope: "read"}, {ID: "close-alert", Scope: "respond"}, {ID: "create-user", Scope: "system", Confinable: true},
		{ID: "set-tls", Scope: "system"}, {ID: "create-role", Scope: "security"}, {ID: "list-audit", Scope: "audit"}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func fresh(t *testing.T) *fixture { return open(t, filepath.Join(t.TempDir(), "s.db")) }

func (f *fixture) user(name string, roles ...string) string {
	f.t.Helper()
	u, err := f.users.CreateUser(f.t.Context(), identity.NewUser{Username: name, Password: pass, Roles: roles, Tenants: []string{"*"}})
	if err != nil {
		f.t.Fatal(err)
	}
	return u.ID
}

func (f *fixture) may(user, operation string) bool {
	f.t.Helper()
	p, err := f.users.PrincipalOf(f.t.Context(), user)
	if err != nil {
		f.t.Fatal(err)
	}
	d, err := f.Engine().Decide(f.t.Context(), policy.Request{Subject: p.Subject, Operation: operation, Everywhere: true, Address: "10.1.2.3", Time: time.Now()})
	if err != nil {
		f.t.Fatal(err)
	}
	return d.Allow
}

func want(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v, want %v", what, err, kind)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	f := open(t, path)
	ctx := t.Context()
	name := access.Text{ZH: "关单员"}
	for what, r := range map[string]access.Role{
		"a bad id":                    {ID: "关单员", Name: name, Scopes: []string{"read"}},
		"a reserved id":               {ID: "local", Name: name, Scopes: []string{"read"}},
		"no name":                     {ID: "x", Scopes: []string{"read"}},
		"nothing":                     {ID: "x", Name: name},
		"an unknown scope":            {ID: "x", Name: name, Scopes: []string{"write"}},
		"an unknown operation":        {ID: "x", Name: name, Operations: []string{"fly"}},
		"delegated, the whole suite":  {ID: "x", Name: name, Scopes: []string{"system"}, Delegated: true},
		"delegated, not confinable":   {ID: "x", Name: name, Operations: []string{"set-tls"}, Delegated: true},
		"delegated, everything there": {ID: "x", Name: name, Scopes: []string{"admin"}, Delegated: true},
	} {
		_, err := f.CreateRole(ctx, r)
		want(t, what, err, access.ErrInvalid)
	}
	if _, err := f.CreateRole(ctx, access.Role{ID: "closer", Name: name, Operations: []string{"close-alert"}}); err != nil {
		t.Fatal(err)
	}
	_, err := f.CreateRole(ctx, access.Role{ID: "viewer", Name: name, Scopes: []string{"read"}})
	want(t, "an id taken", err, access.ErrConflict)
	li := f.user("li", "closer")
	if !f.may(li, "close-alert") || f.may(li, "search") {
		t.Error("a role of one operation permits it, and nothing else")
	}
	scopes, none := []string{"read"}, []string{}
	if _, err := f.UpdateRole(ctx, "closer", access.RoleChange{Scopes: &scopes, Operations: &none}); err != nil {
		t.Fatal(err)
	}
	if f.may(li, "close-alert") || !f.may(li, "search") {
		t.Error("a changed role binds at once")
	}
	want(t, "removing a role in use", f.DeleteRole(ctx, "closer"), access.ErrConflict)
	want(t, "removing what is built in", f.DeleteRole(ctx, "viewer"), access.ErrInvalid)
	_, err = f.UpdateRole(ctx, "viewer", access.RoleChange{Scopes: &scopes})
	want(t, "changing what is built in", err, access.ErrInvalid)
	if r, err := open(t, path).Role("closer"); err != nil || len(r.Scopes) != 1 {
		t.Errorf("after a restart: %+v, %v", r, err)
	}
	if _, err := f.users.DeleteUser(ctx, li); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteRole(ctx, "closer"); err != nil {
		t.Error(err)
	}
}

func TestGrantsAndGroups(t *testing.T) {
	t.Parallel()
	f := fresh(t)
	ctx := t.Context()
	li := f.user("li")
	post, err := f.CreateGroup(ctx, access.Group{Kind: "post", Name: access.Text{ZH: "值班长"}})
	if err != nil {
		t.Fatal(err)
	}
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for what, g := range map[string]access.Grant{
		"nobody":           {Role: "viewer"},
		"both":             {Role: "viewer", User: li, Group: post.ID},
		"an unknown role":  {Role: "ghost", User: li},
		"times turned":     {Role: "viewer", User: li, NotBefore: &future, NotAfter: &past},
		"a ninth day":      {Role: "viewer", User: li, Weekdays: []int{9}},
		"half a time span": {Role: "viewer", User: li, From: "08:00"},
		"no time":          {Role: "viewer", User: li, From: "8 o'clock", To: "09:00"},
		"no network":       {Role: "viewer", User: li, Networks: []string{"here"}},
	} {
		_, err := f.CreateGrant(ctx, g)
		want(t, what, err, access.ErrInvalid)
	}
	_, err = f.CreateGrant(ctx, access.Grant{Role: "viewer", User: "usr_ghost"})
	want(t, "an unknown user", err, access.ErrNotFound)

	g, err := f.CreateGrant(ctx, access.Grant{Role: "viewer", Group: post.ID, Networks: []string{"10.1.2.9/16"}, GrantedBy: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	if g.Networks[0] != "10.1.0.0/16" {
		t.Errorf("the network is kept as %s", g.Networks[0])
	}
	if f.may(li, "search") {
		t.Error("a grant to a group he is not in")
	}
	if err := f.AddMember(ctx, post.ID, li); err != nil {
		t.Fatal(err)
	}
	if !f.may(li, "search") {
		t.Error("a member has what the group is given")
	}
	if _, err := f.UpdateGrant(ctx, g.ID, access.Grant{NotAfter: &past}); err != nil {
		t.Fatal(err)
	}
	if f.may(li, "search") {
		t.Error("a grant that is over")
	}
	if _, err := f.UpdateGrant(ctx, g.ID, access.Grant{NotAfter: &future}); err != nil {
		t.Fatal(err)
	}
	if !f.may(li, "search") {
		t.Error("a grant in force")
	}
	if err := f.RemoveMember(ctx, post.ID, li); err != nil {
		t.Fatal(err)
	}
	if f.may(li, "search") {
		t.Error("who has left has lost it")
	}
	want(t, "leaving twice", f.RemoveMember(ctx, post.ID, li), access.ErrNotFound)
	if err := f.DeleteGroup(ctx, post.ID); err != nil {
		t.Fatal(err)
	}
	if list, err := f.Grants(ctx, access.GrantQuery{}); err != nil || len(list) != 0 {
		t.Errorf("the group's grants are left: %+v, %v", list, err)
	}
}

// Nobody comes to hold two powers while they are apart, whichever way.
func TestPowersStayApart(t *testing.T) {
	t.Parallel()
	f := fresh(t)
	ctx := t.Context()
	if err := f.Separate(ctx, true, "test"); !errors.Is(err, settings.ErrInvalid) || !strings.Contains(err.Error(), "nobody holds") {
		t.Fatalf("apart without administrators: %v", err)
	}
	f.user("admin", "admin")
	sec := f.user("sec", "security-admin")
	both := f.user("both", "security-admin", "audit-admin")
	if err := f.Separate(ctx, true, "test"); !errors.Is(err, settings.ErrInvalid) || !strings.Contains(err.Error(), "both") {
		t.Fatalf("apart while one holds two: %v", err)
	}
	roles := []string{"audit-admin"}
	if _, err := f.users.UpdateUser(ctx, both, identity.UserChange{Roles: &roles}); err != nil {
		t.Fatal(err)
	}
	if err := f.Separate(ctx, true, "test"); err != nil {
		t.Fatal(err)
	}
	roles = []string{"security-admin", "system-admin"}
	_, err := f.users.UpdateUser(ctx, sec, identity.UserChange{Roles: &roles})
	want(t, "a second role", err, access.ErrPowers)
	roles = []string{"security-admin", "admin"}
	_, err = f.users.UpdateUser(ctx, sec, identity.UserChange{Roles: &roles})
	want(t, "the role admin", err, access.ErrPowers)
	_, err = f.users.CreateUser(ctx, identity.NewUser{Username: "new", Password: pass, Roles: roles, Tenants: []string{"*"}})
	want(t, "a new user with two", err, access.ErrPowers)
	_, err = f.CreateGrant(ctx, access.Grant{Role: "audit-admin", User: sec})
	want(t, "a grant", err, access.ErrPowers)
	tomorrow := time.Now().Add(24 * time.Hour)
	_, err = f.CreateGrant(ctx, access.Grant{Role: "audit-admin", User: sec, NotBefore: &tomorrow})
	want(t, "a grant for tomorrow", err, access.ErrPowers)
	group, err := f.CreateGroup(ctx, access.Group{Kind: "group", Name: access.Text{EN: "auditors"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.CreateGrant(ctx, access.Grant{Role: "audit-admin", Group: group.ID}); err != nil {
		t.Fatal(err)
	}
	want(t, "by way of a group", f.AddMember(ctx, group.ID, sec), access.ErrPowers)
	if _, err := f.CreateRole(ctx, access.Role{ID: "helper", Name: access.Text{EN: "Helper"}, Scopes: []string{"read"}}); err != nil {
		t.Fatal(err)
	}
	roles = []string{"security-admin", "helper"}
	if _, err := f.users.UpdateUser(ctx, sec, identity.UserChange{Roles: &roles}); err != nil {
		t.Fatal(err)
	}
	ops := []string{"list-audit"}
	_, err = f.UpdateRole(ctx, "helper", access.RoleChange{Operations: &ops})
	want(t, "a role that grows", err, access.ErrPowers)
	if f.may(sec, "list-audit") || !f.may(sec, "create-role") {
		t.Error("what was refused must not be in force")
	}
	yes := true
	_, err = f.users.UpdateUser(ctx, sec, identity.UserChange{Disabled: &yes})
	want(t, "disabling the last of a power", err, access.ErrInvalid)
	_, err = f.users.DeleteUser(ctx, sec)
	want(t, "removing the last of a power", err, access.ErrInvalid)
	if err := f.Separate(context.Background(), false, "test"); err != nil {
		t.Fatal(err)
	}
}

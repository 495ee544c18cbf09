package api

import (
	"fmt"
	"strings"
	"testing"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/units"
)

// reachTown puts the fakes' tenants and a small tree in force: a belongs to the
// bureau, b to the office below it.
func reachTown(c *reach.Compiler) {
	c.SetDirectory(reach.NewDirectory([]reach.Tenant{{Slug: "a", Unit: "bureau", Region: "north"}, {Slug: "b", Unit: "office"}, {Slug: "unassigned"}},
		[]reach.Unit{{ID: "bureau", Code: "gaj"}, {ID: "office", Parent: "bureau"}}))
}

func newReachSuite(t *testing.T) *suite {
	t.Helper()
	var c reach.Compiler
	reachTown(&c)
	s := newSuite(t, func(d *Deps) { d.Reach = &c })
	for _, u := range []units.Unit{{ID: "bureau", Name: units.Text{ZH: "局", EN: "Bureau"}, Code: "gaj"}, {ID: "office", Parent: "bureau", Name: units.Text{ZH: "处", EN: "Office"}}} {
		if _, err := s.units.Create(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// person makes a user with a password of their own and returns the session.
func (s *suite) person(n identity.NewUser) string {
	s.t.Helper()
	n.Password = "moon-river-harbour"
	if _, err := s.identity.CreateUser(s.t.Context(), n); err != nil {
		s.t.Fatal(err)
	}
	first := s.login(n.Username, n.Password)
	if a := s.call("POST", "/api/v1/me/password", `{"current":"moon-river-harbour","new":"harbour-moon-river-7"}`, bearer(first)...); a.status != 204 {
		s.t.Fatalf("%d %s", a.status, a.body)
	}
	return s.login(n.Username, "harbour-moon-river-7")
}

func TestCheckReach(t *testing.T) {
	t.Parallel()
	s := newReachSuite(t)
	admin, b := s.login("admin", adminPassword), s.token("b", identity.ScopeRead)
	f := func(token, expression string, want map[string]any) {
		t.Helper()
		a := s.call("POST", "/api/v1/reach/check", fmt.Sprintf(`{"expression":%q}`, expression), bearer(token)...)
		if a.status != 200 {
			t.Errorf("%s: %d %s", expression, a.status, a.body)
			return
		}
		got := a.json(t)
		var slugs []string
		for _, x := range got["tenants"].([]any) {
			c := x.(map[string]any)
			slugs = append(slugs, fmt.Sprint(c["slug"], ":", c["coverage"]))
		}
		got["tenants"] = strings.Join(slugs, " ")
		for k, v := range want {
			if fmt.Sprint(got[k]) != fmt.Sprint(v) {
				t.Errorf("%s: %s is %v, want %v", expression, k, got[k], v)
			}
		}
	}
	f(admin, "organisation  UNDER gaj", map[string]any{"valid": true, "canonical": `organisation under "gaj"`, "error": nil, "unknown": "[]", "tenants": "a:part b:part unassigned:part", "whole": 0, "part": 3, "units": 2})
	f(admin, `tenant in (b, nobody) and organisation != "nowhere"`, map[string]any{"unknown": "[nobody nowhere]", "tenants": "b:part", "units": 0})
	f(admin, `tenant = a or tenant = b and label = x`, map[string]any{"tenants": "a:whole b:part", "whole": 1, "part": 1})
	f(admin, `地区 = "福田"`, map[string]any{"valid": false, "canonical": "", "tenants": ""})
	a := s.call("POST", "/api/v1/reach/check", `{"expression":"region = "}`, bearer(admin)...).json(t)
	if e := a["error"].(map[string]any); e["position"] != float64(9) || !strings.Contains(e["message"].(string), "want a value") {
		t.Errorf("%v", a)
	}
	// Others' tenants are nobody's business.
	f(b, "tenant exists", map[string]any{"tenants": "b:whole", "whole": 1})
}

func TestUsersReachBindsEveryRead(t *testing.T) {
	t.Parallel()
	s := newReachSuite(t)
	token := s.person(identity.NewUser{Username: "li", Roles: []string{identity.RoleViewer}, Tenants: []string{"*"}, Reach: `region = "north" or tenant = b`})
	e, err := reach.Parse(`region = "north" or tenant = b`)
	if err != nil {
		t.Fatal(err)
	}
	var c reach.Compiler
	reachTown(&c)
	want := e.Compile(c.Directory())
	for _, q := range []string{"/api/v1/search", "/api/v1/search/histogram", "/api/v1/search/fields", "/api/v1/search/values?field=x", "/api/v1/overview", "/api/v1/search?tenant=a,b,unassigned"} {
		if got := s.call("GET", q, "", bearer(token)...); got.status != 200 {
			t.Errorf("GET %s: %d %s", q, got.status, got.body)
		}
		r := s.search.last(t).Reach
		if strings.Contains(q, "tenant=") && r.Key() != want.Narrow([]string{"a", "b", "unassigned"}).Key() || !strings.Contains(q, "tenant=") && r.Key() != want.Key() {
			t.Errorf("GET %s asks with %s", q, r.LogsQL())
		}
	}
	for _, q := range []string{"/api/v1/cmdb/items", "/api/v1/cmdb/items/sys_1", "/api/v1/cmdb/export", "/api/v1/tenants"} {
		s.call("GET", q, "", bearer(token)...)
		if got := s.cmdb.scopes[len(s.cmdb.scopes)-1]; got.Key() != want.Key() {
			t.Errorf("GET %s asks the CMDB with %s", q, got.LogsQL())
		}
	}
	// All tenants under a condition is not the whole suite.
	if got := s.call("GET", "/metrics", "", bearer(token)...); got.status != 403 {
		t.Errorf("/metrics: %d", got.status)
	}
	if n := s.call("GET", "/api/v1/sources", "", bearer(token)...).json(t)["total"]; n != float64(0) {
		t.Errorf("%v sources", n)
	}
	// The change counts with the next request, a personal token's too.
	u, err := s.identity.UserByName(t.Context(), "li")
	if err != nil {
		t.Fatal(err)
	}
	only := `tenant = "b"`
	if _, err := s.identity.UpdateUser(t.Context(), u.ID, identity.UserChange{Reach: &only}); err != nil {
		t.Fatal(err)
	}
	s.call("GET", "/api/v1/search", "", bearer(token)...)
	if r := s.search.last(t).Reach; r.Key() != reach.Tenants("b").Key() {
		t.Errorf("after the change: %s", r.LogsQL())
	}
	if got := s.call("GET", "/api/v1/search?tenant=a", "", bearer(token)...); got.status != 403 {
		t.Errorf("out of reach: %d", got.status)
	}
}

func TestCeilingsBind(t *testing.T) {
	t.Parallel()
	s := newReachSuite(t)
	if _, err := s.units.SetCeiling(t.Context(), "bureau", `region = "north"`); err != nil {
		t.Fatal(err)
	}
	token := s.person(identity.NewUser{Username: "li", Roles: []string{identity.RoleViewer}, Tenants: []string{"*"}, Reach: `tenant != "b"`})
	u, err := s.identity.UserByName(t.Context(), "li")
	if err != nil {
		t.Fatal(err)
	}
	office := "office"
	if _, err := s.identity.UpdateUser(t.Context(), u.ID, identity.UserChange{Unit: &office}); err != nil {
		t.Fatal(err)
	}
	s.call("GET", "/api/v1/search", "", bearer(token)...)
	r := s.search.last(t).Reach
	if !r.Match(reach.Facts{Tenant: "a"}) || r.Match(reach.Facts{Tenant: "a", Region: "south"}) || r.Match(reach.Facts{Tenant: "b", Region: "north"}) || !r.Match(reach.Facts{Tenant: "unassigned", Region: "north"}) {
		t.Errorf("the ceiling of the unit above does not bind: %s", r.LogsQL())
	}
	admin := s.login("admin", adminPassword)
	p := s.call("GET", "/api/v1/reach/preview?user=li", "", bearer(admin)...).json(t)
	if fmt.Sprint(p["ceilings"]) != `[map[expression:region = "north" name:map[en:Bureau zh:局] unit:bureau]]` || p["expression"] != `tenant != "b"` || p["part"] != float64(2) || p["everything"] != false {
		t.Errorf("preview: %v", p)
	}
	if got := s.call("GET", "/api/v1/reach/preview?user=nobody", "", bearer(admin)...); got.status != 404 {
		t.Errorf("preview of nobody: %d", got.status)
	}
	if got := s.call("GET", "/api/v1/reach/preview?user=li", "", bearer(token)...); got.status != 403 {
		t.Errorf("preview by a viewer: %d", got.status)
	}
}

func TestSeeAs(t *testing.T) {
	t.Parallel()
	s := newReachSuite(t)
	admin := s.login("admin", adminPassword)
	li := s.person(identity.NewUser{Username: "li", Roles: []string{identity.RoleViewer}, Tenants: []string{"*"}, Reach: `tenant = "a"`})
	as := func(token, method, path, user string) answer {
		return s.call(method, path, "{}", append(bearer(token), "X-Icewatch-See-As", user, "X-Requested-With", "x")...)
	}
	if a := as(admin, "GET", "/api/v1/search", "li"); a.status != 200 || a.header.Get("X-Icewatch-See-As") != "li" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if r := s.search.last(t).Reach; r.Key() != reach.Tenants("a").Key() {
		t.Errorf("sees %s", r.LogsQL())
	}
	if a := as(admin, "GET", "/api/v1/search?tenant=b", "li"); a.status != 403 {
		t.Errorf("out of the user's reach: %d", a.status)
	}
	if a := as(admin, "GET", "/api/v1/search", "nobody"); a.status != 404 {
		t.Errorf("nobody: %d", a.status)
	}
	if a := as(admin, "POST", "/api/v1/alerts/batch", "li"); a.status != 400 {
		t.Errorf("acting as another: %d", a.status)
	}
	for _, path := range []string{"/api/v1/graph/neighbours", "/api/v1/graph/trace"} {
		if a := as(admin, "POST", path, "li"); strings.Contains(string(a.body), "is for reading") {
			t.Errorf("%s, which reads, takes no other eyes: %d %s", path, a.status, a.body)
		}
	}
	if a := as(li, "GET", "/api/v1/search", "admin"); a.status != 403 {
		t.Errorf("a viewer as the administrator: %d", a.status)
	}
	// Who administers a part of the suite only has no such eyes.
	chief := s.person(identity.NewUser{Username: "zhao", Roles: []string{identity.RoleAdmin}, Tenants: []string{"*"}, Reach: `tenant = "b"`})
	if a := as(chief, "GET", "/api/v1/search", "li"); a.status != 403 {
		t.Errorf("an administrator of a part: %d %s", a.status, a.body)
	}
}

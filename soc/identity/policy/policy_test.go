package policy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

func testEngine(t testing.TB, separation bool) *Engine {
	t.Helper()
	all := []string{"ingest", "read", "respond", "configure", "system", "security", "audit"}
	d := Data{
		Operations: []Operation{
			{ID: "me", Scope: "any"}, {ID: "list-units", Scope: "any"}, {ID: "search", Scope: "read"}, {ID: "close-alert", Scope: "respond"},
			{ID: "create-user", Scope: "system", Confinable: true}, {ID: "set-tls", Scope: "system"},
			{ID: "create-role", Scope: "security"}, {ID: "list-audit", Scope: "audit"}, {ID: "bulk", Scope: "ingest"}, {ID: "list-users", Scope: "system", Also: []string{"security"}},
		},
		Roles: map[string]Role{
			"admin": {Scopes: []string{"admin"}}, "system-admin": {Scopes: []string{"system"}}, "security-admin": {Scopes: []string{"security"}},
			"audit-admin": {Scopes: []string{"audit"}}, "viewer": {Scopes: []string{"read"}}, "closer": {Operations: []string{"close-alert"}},
			"unit-admin": {Operations: []string{"create-user", "set-tls", "search"}, Delegated: true},
		},
		Separation: separation, Admin: all,
	}
	if separation {
		d.Admin = []string{"system"}
	}
	e := New()
	if err := e.SetData(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	return e
}

func minute(h, m int) *int { n := 60*h + m; return &n }

func TestDecisions(t *testing.T) {
	t.Parallel()
	monday := time.Date(2026, 11, 23, 10, 30, 0, 0, time.Local)
	user := func(roles ...string) Subject { return Subject{Roles: roles} }
	granted := func(g Grant) Subject { return Subject{Grants: []Grant{g}} }
	token := func(scopes ...string) Subject {
		return Subject{Service: true, Limit: &Limit{Scopes: scopes}}
	}
	together, apart := testEngine(t, false), testEngine(t, true)
	everywhere := true
	f := func(name string, e *Engine, s Subject, op, address string, allow, confined bool, codes ...string) {
		t.Helper()
		p, err := s.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		d, reasons, err := e.Explain(t.Context(), Request{Subject: p, Operation: op, Everywhere: everywhere, Address: address, Time: monday})
		if err != nil {
			t.Fatal(err)
		}
		if d.Allow != allow || d.Confined != confined {
			t.Errorf("%s: %s: got %+v, want allow %v, confined %v; reasons %+v", name, op, d, allow, confined, reasons)
		}
		for _, c := range codes {
			if !slices.ContainsFunc(reasons, func(r Reason) bool { return r.Code == c }) {
				t.Errorf("%s: %s: the reasons %+v lack %s", name, op, reasons, c)
			}
		}
	}
	for _, op := range []string{"me", "search", "close-alert", "create-user", "set-tls", "create-role", "list-audit", "bulk"} {
		f("admin", together, user("admin"), op, "", true, false)
		f("admin, apart", apart, user("admin"), op, "", op == "me" || op == "create-user" || op == "set-tls", false)
		f("viewer", together, user("viewer"), op, "", op == "me" || op == "search", false)
		f("nobody", together, user(), op, "", op == "me", false)
		f("an unknown role", together, user("ghost"), op, "", op == "me", false)
		f("delegated", together, user("unit-admin"), op, "", op == "me" || op == "search" || op == "create-user", op == "search" || op == "create-user")
		f("ingest token", together, token("ingest"), op, "", op == "me" || op == "bulk", false)
		f("admin token, apart", apart, token("admin"), op, "", op == "me" || op == "create-user" || op == "set-tls", false)
		f("a user's own token", together, Subject{Roles: []string{"viewer"}, Limit: &Limit{Scopes: []string{"read", "respond"}}}, op, "", op == "me" || op == "search", false)
	}
	everywhere = false
	f("admin of some tenants", together, Subject{Roles: []string{"admin"}}, "create-role", "", false, false, "reach")
	f("admin of some tenants", together, Subject{Roles: []string{"admin"}}, "search", "", true, false)
	f("delegated, of some tenants", together, Subject{Roles: []string{"unit-admin"}}, "create-user", "", true, true)
	everywhere = true
	f("one operation", together, user("closer"), "close-alert", "", true, false, "role_allows")
	f("no role", together, user("viewer"), "close-alert", "", false, false, "no_role")
	f("not delegable", together, user("unit-admin"), "set-tls", "", false, false, "not_delegable")
	f("a limit", together, Subject{Roles: []string{"admin"}, Limit: &Limit{Scopes: []string{"read"}}}, "close-alert", "", false, false, "token_limit")
	f("what another power keeps", apart, user("security-admin"), "list-users", "", true, false)
	f("what another power keeps", apart, user("audit-admin"), "list-users", "", false, false)
	f("what another power keeps, by token", apart, token("security"), "list-users", "", true, false)
	// Two powers cancel each other, however they were come by.
	f("two powers", apart, user("system-admin", "security-admin"), "create-role", "", false, false, "powers_conflict")
	f("two powers, together", together, user("system-admin", "security-admin"), "create-role", "", true, false)
	f("two powers by grant", apart, Subject{Roles: []string{"audit-admin"}, Grants: []Grant{{ID: "g", Role: "admin"}}}, "list-audit", "", false, false, "powers_conflict")
	f("two powers in a token", apart, token("system", "audit"), "list-audit", "", false, false, "powers_conflict")
	f("a power and a unit's", apart, user("security-admin", "unit-admin"), "create-role", "", true, false)
	f("other work is free of it", apart, user("system-admin", "security-admin", "viewer"), "search", "", true, false)

	// Grants bound in time and place.
	at := monday.UnixMilli()
	f("unbound", together, granted(Grant{ID: "g", Role: "viewer"}), "search", "", true, false)
	f("not yet", together, granted(Grant{ID: "g", Role: "viewer", NotBefore: at + 1}), "search", "", false, false, "grant_not_yet")
	f("from now", together, granted(Grant{ID: "g", Role: "viewer", NotBefore: at}), "search", "", true, false)
	f("over", together, granted(Grant{ID: "g", Role: "viewer", NotAfter: at}), "search", "", false, false, "grant_over")
	f("its day", together, granted(Grant{ID: "g", Role: "viewer", Weekdays: []int{1}}), "search", "", true, false)
	f("another day", together, granted(Grant{ID: "g", Role: "viewer", Weekdays: []int{6, 7}}), "search", "", false, false, "grant_day")
	f("its hours", together, granted(Grant{ID: "g", Role: "viewer", From: minute(8, 0), To: minute(18, 0)}), "search", "", true, false)
	f("other hours", together, granted(Grant{ID: "g", Role: "viewer", From: minute(0, 0), To: minute(8, 0)}), "search", "", false, false, "grant_hours")
	f("night shift, by day", together, granted(Grant{ID: "g", Role: "viewer", From: minute(20, 0), To: minute(8, 0)}), "search", "", false, false, "grant_hours")
	f("over midnight", together, granted(Grant{ID: "g", Role: "viewer", From: minute(10, 0), To: minute(8, 0)}), "search", "", true, false)
	place := Grant{ID: "g", Role: "viewer", Networks: []string{"10.1.0.0/16", "fd00::/8"}}
	f("its place", together, granted(place), "search", "10.1.2.3", true, false)
	f("its place, IPv6", together, granted(place), "search", "fd00::1", true, false)
	f("another place", together, granted(place), "search", "10.2.0.1", false, false, "grant_place")
	f("no place", together, granted(place), "search", "local", false, false)
	f("nowhere", together, granted(place), "search", "", false, false)
}

func TestUnknownOperation(t *testing.T) {
	t.Parallel()
	p, err := Subject{Roles: []string{"admin"}}.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	d, err := testEngine(t, false).Decide(t.Context(), Request{Subject: p, Operation: "forgotten"})
	if !errors.Is(err, ErrUnknownOperation) || d.Allow {
		t.Errorf("got %+v, %v", d, err)
	}
	if d, err := New().Decide(t.Context(), Request{Subject: p, Operation: "me"}); err == nil || d.Allow {
		t.Errorf("without data: got %+v, %v", d, err)
	}
}

// What is remembered of a subject holds for the data it was decided on alone, and
// for the reach.
func TestAnswersFollowTheData(t *testing.T) {
	t.Parallel()
	e, other := testEngine(t, false), testEngine(t, true)
	p, err := Subject{Roles: []string{"system-admin", "security-admin"}}.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(when string, e *Engine, op string, everywhere, want bool) {
		t.Helper()
		for range 2 { // worked out, and remembered
			d, err := e.Decide(t.Context(), Request{Subject: p, Operation: op, Everywhere: everywhere, Time: time.Now()})
			if err != nil || d.Allow != want {
				t.Errorf("%s: %s everywhere %v: %+v, %v; want %v", when, op, everywhere, d, err, want)
			}
		}
	}
	for range 2 {
		ask("together", e, "set-tls", true, true)
		ask("together, in a part", e, "set-tls", false, false)
		ask("apart", other, "set-tls", true, false)
		ask("nobody's", e, "search", true, false)
	}
	d := Data{Operations: []Operation{{ID: "set-tls", Scope: "system"}, {ID: "search", Scope: "read"}, {ID: "new", Scope: "system"}}, Roles: map[string]Role{"system-admin": {Scopes: []string{"read"}}}}
	if err := e.SetData(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	ask("after a change of the role", e, "set-tls", true, false)
	ask("after a change of the role", e, "search", false, true)
	ask("an operation that was not there before", e, "new", true, false)
	ask("the other engine", other, "set-tls", true, false)
}

// Decisions on a subject without grants are remembered, whenever and from wherever
// it asks: so the policy may look at both in what judges a grant, nowhere else.
func TestTimeAndPlaceBindGrantsAlone(t *testing.T) {
	t.Parallel()
	m, err := ast.ParseModule("access.rego", module)
	if err != nil {
		t.Fatal(err)
	}
	ofGrants := map[string]bool{"unmet": true, "within_hours": true, "within_place": true}
	found := map[string]bool{}
	for _, r := range m.Rules {
		ast.WalkRefs(r, func(ref ast.Ref) bool {
			if !ref.HasPrefix(ast.InputRootRef) {
				return false
			}
			if len(ref) < 2 {
				t.Errorf("%s looks at the input as a whole", r.Head.Name)
				return false
			}
			name := strings.Trim(ref[1].String(), `"`)
			found[name] = true
			if slices.Contains([]string{"subject", "operation", "everywhere"}, name) {
				return false
			}
			if fn := string(r.Head.Name); !ofGrants[fn] || len(r.Head.Args) != 1 {
				t.Errorf("%s looks at input.%s, which is no part of what is remembered", fn, name)
			}
			return false
		})
	}
	for _, name := range []string{"subject", "operation", "everywhere", "now", "weekday", "minute", "address"} {
		if !found[name] {
			t.Errorf("nothing looks at input.%s: %v", name, found)
		}
	}
	for fn := range ofGrants { // and these are asked of grants
		for _, r := range m.Rules {
			ast.WalkTerms(r, func(x *ast.Term) bool {
				call, ok := x.Value.(ast.Call)
				if ok && call[0].String() == fn && call[1].String() != "g" {
					t.Errorf("%s asks %s of %s", r.Head.Name, fn, call[1])
				}
				return false
			})
		}
	}
}

// BenchmarkDecide decides on a subject with a grant, whose time and place are
// looked at each time, and on one without.
func BenchmarkDecide(b *testing.B) {
	e := testEngine(b, true)
	f := func(name string, s Subject) {
		b.Run(name, func(b *testing.B) {
			p, err := s.Prepare()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if d, err := e.Decide(context.Background(), Request{Subject: p, Operation: "search", Address: "10.1.1.1", Time: time.Now()}); err != nil || !d.Allow {
					b.Fatal(d, err)
				}
			}
		})
	}
	f("granted", Subject{Roles: []string{"viewer", "closer"}, Grants: []Grant{{ID: "g", Role: "unit-admin", From: minute(0, 0), To: minute(24, 0), Networks: []string{"10.0.0.0/8"}}}})
	f("constant", Subject{Roles: []string{"viewer", "closer"}})
}

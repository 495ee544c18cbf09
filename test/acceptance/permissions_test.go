package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// route is one route as the suite lists it.
type route struct {
	ID, Scope, Method, Path string
	Also                    []string // other scopes that do
}

// caller is somebody who tries every route, and what he may do by scope.
type caller struct {
	name    string
	headers map[string]string
	may     []string // scopes
	only    []string // single operations beside them
}

var placeholder = regexp.MustCompile(`\{[^}]+\}|:[a-z]+|\*`)

// Every route of every protocol, tried by everybody: who lacks the permission
// is refused, who has it is not. What the routes are comes from the suite, what
// each needs from a list that is reviewed: a route that is not on it fails.
func TestPermissionMatrix(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	ctx := context.Background()
	var list struct{ Items []route }
	get(t, s, "/api/v1/access/operations?routes=true", &list)
	checkRoutes(t, list.Items)

	// There are more routes than a stranger may ask for in a row.
	ordered(t, s, "PUT", "/api/v1/settings/rate-limits", `{"enabled":false}`)

	// A unit, and somebody for each part.
	ordered(t, s, "POST", "/api/v1/units", `{"id":"bureau","name":{"zh":"数据局"}}`)
	as := func(name, body string) map[string]string {
		ordered(t, s, "POST", "/api/v1/users", fmt.Sprintf(`{"username":%q,"password":"first-Harbour-19",%s}`, name, body))
		return map[string]string{"Authorization": "Bearer " + s.newcomer(name, "first-Harbour-19", "second-Harbour-20")}
	}
	viewer := as("kan", `"roles":["viewer"],"tenants":["*"]`)
	operator := as("yun", `"roles":["operator"],"tenants":["*"]`)
	unit := as("dan", `"roles":["unit-admin"],"tenants":["*"],"unit":"bureau"`)
	system := as("xi", `"roles":["system-admin"],"tenants":["*"]`)
	security := as("an", `"roles":["security-admin"],"tenants":["*"]`)
	auditor := as("shen", `"roles":["audit-admin"],"tenants":["*"]`)
	tenant := map[string]string{"Authorization": "Bearer " + s.token("e-seal", "ingest", "read", "respond").Options().Token, "X-Scope-OrgID": "one-id-service"}
	shipper := map[string]string{"Authorization": "Bearer " + s.token("e-seal", "ingest").Options().Token}
	delegated := []string{"list-users", "get-user", "create-user", "update-user", "delete-user", "batch-users", "import-users", "export-users", "set-user-access",
		"copy-user-access", "create-unit", "update-unit", "delete-unit", "import-units", "export-units", "list-groups", "get-group",
		"create-group", "update-group", "delete-group", "list-members", "add-member", "remove-member", "list-grants", "create-grant", "update-grant", "delete-grant"}
	admin := map[string]string{"Authorization": "Bearer " + s.admin.Options().Token}

	try := func(stage string, callers []caller) {
		for _, c := range callers {
			for _, r := range list.Items {
				if c.headers != nil && (strings.Contains(r.ID, "logout") || r.ID == "end-my-sessions" || r.ID == "complete-setup") {
					continue // would end what the next route is tried with
				}
				status, body := s.try(ctx, r, c.headers)
				// A handler may refuse for its own reasons, and says so in other words.
				refused := status == 403 && (strings.Contains(body, "you may not do this: it needs") || strings.Contains(body, "not within your reach"))
				switch {
				case status >= 500 && status != 503 && status != 501:
					t.Errorf("%s: %s: %s %s: %d %s", stage, c.name, r.Method, r.Path, status, body)
				case r.Scope == "public":
					if status == 403 && c.headers == nil && strings.Contains(body, "you may not do this") {
						t.Errorf("%s: %s: %s %s is public and answers %d %s", stage, c.name, r.Method, r.Path, status, body)
					}
				case c.headers == nil:
					if status != 401 {
						t.Errorf("%s: a stranger: %s %s answers %d %s, want 401", stage, r.Method, r.Path, status, body)
					}
				case slices.Contains(c.may, r.Scope) || slices.ContainsFunc(r.Also, func(s string) bool { return slices.Contains(c.may, s) }) || slices.Contains(c.only, r.ID) || r.Scope == "any" && c.may != nil:
					if status == 401 || refused {
						t.Errorf("%s: %s may do %s (%s), and %s %s answers %d %s", stage, c.name, r.ID, r.Scope, r.Method, r.Path, status, body)
					}
				default:
					if !refused {
						t.Errorf("%s: %s may not do %s (%s), and %s %s answers %d %s", stage, c.name, r.ID, r.Scope, r.Method, r.Path, status, body)
					}
				}
			}
		}
	}
	try("together", []caller{
		{name: "a stranger"},
		{name: "another tenant", headers: tenant},
		{name: "a shipper", headers: shipper, may: []string{"ingest"}},
		{name: "read-only", headers: viewer, may: []string{"read"}},
		{name: "operator", headers: operator, may: []string{"read", "respond", "configure"}},
		{name: "unit administrator", headers: unit, may: []string{}, only: delegated},
		{name: "admin", headers: admin, may: []string{"ingest", "read", "respond", "configure", "system", "security", "audit"}},
	})

	ordered(t, s, "PUT", "/api/v1/settings/separation", `{"enabled":true}`)
	try("apart", []caller{
		{name: "system administrator", headers: system, may: []string{"system"}},
		{name: "security administrator", headers: security, may: []string{"security"}},
		{name: "audit administrator", headers: auditor, may: []string{"audit"}},
		{name: "admin", headers: admin, may: []string{"system"}},
		{name: "unit administrator", headers: unit, may: []string{}, only: delegated},
	})
}

// checkRoutes holds the routes against the reviewed list. ICEWATCH_UPDATE=1
// writes it anew, for review.
func checkRoutes(t *testing.T, routes []route) {
	t.Helper()
	const file = "testdata/permissions.tsv"
	var b strings.Builder
	for _, r := range routes {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", strings.Join(append([]string{r.Scope}, r.Also...), "+"), r.ID, r.Method, r.Path)
	}
	if os.Getenv("ICEWATCH_UPDATE") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	reviewed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	have, want := strings.Split(b.String(), "\n"), strings.Split(string(reviewed), "\n")
	for _, l := range have {
		if !slices.Contains(want, l) {
			t.Errorf("the route %q is not in %s: review what it needs, then write the list with ICEWATCH_UPDATE=1", l, file)
		}
	}
	for _, l := range want {
		if !slices.Contains(have, l) {
			t.Errorf("%s lists the route %q, which does not exist", file, l)
		}
	}
	if len(routes) < 100 {
		t.Errorf("only %d routes: the list must be wrong", len(routes))
	}
}

// try calls a route with nothing sensible in it and returns status and body.
func (s *suite) try(ctx context.Context, r route, headers map[string]string) (int, string) {
	s.t.Helper()
	var body io.Reader
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		body = strings.NewReader(`{"_":1}`)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, s.url+placeholder.ReplaceAllString(r.Path, "x"), body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	client := http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.Path, err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return resp.StatusCode, string(text)
}

// newcomer signs a new user in, changes the password and returns the session.
func (s *suite) newcomer(name, first, next string) string {
	s.t.Helper()
	var session struct{ Token string }
	s.call("", "POST", "/api/v1/auth/login", fmt.Sprintf(`{"username":%q,"password":%q}`, name, first), 200, &session)
	s.call(session.Token, "POST", "/api/v1/me/password", fmt.Sprintf(`{"current":%q,"new":%q}`, first, next), 204, nil)
	return session.Token
}

// call makes a request as who has the token and decodes the answer.
func (s *suite) call(token, method, path, body string, want int, into any) []byte {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != want {
		s.t.Fatalf("%s %s: %d %s, want %d", method, path, resp.StatusCode, text, want)
	}
	if into != nil {
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(into); err != nil {
			s.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
	return text
}

func get(t *testing.T, s *suite, path string, into any) {
	t.Helper()
	s.call(s.admin.Options().Token, "GET", path, "", 200, into)
}

// ordered makes a change as the administrator.
func ordered(t *testing.T, s *suite, method, path, body string) {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.admin.Options().Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
}

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"icewatch/soc/client"
)

// TestSignIn refuses wrong passwords, slows down whoever guesses, and lets the
// right one in over the command line.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	nobody := s.admin.With("", "")
	if _, err := nobody.Login(context.Background(), "admin", "wrong"); client.Status(err) != 401 {
		t.Fatalf("wrong password: %v", err)
	}
	if _, err := nobody.Login(context.Background(), "nobody", password); client.Status(err) != 401 {
		t.Fatalf("unknown user: %v", err)
	}
	login := func(secret string) (string, error) {
		cmd := exec.Command(filepath.Join(bin, "icectl"), "--url", s.url, "login", "--password-stdin")
		cmd.Env = append(cleanEnv(), "HOME="+s.dir)
		cmd.Stdin = strings.NewReader(secret + "\n")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := login("wrong"); err == nil || !strings.Contains(out, "wrong user name or password") {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := login(password); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// The kept sign-in serves without a token in the environment.
	cmd := exec.Command(filepath.Join(bin, "icectl"), "whoami")
	cmd.Env = append(cleanEnv(), "HOME="+s.dir)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "admin at "+s.url) {
		t.Fatalf("%v: %s", err, out)
	}
	slowed := false
	for range 30 {
		_, err := nobody.Login(context.Background(), "analyst", "guess")
		slowed = slowed || client.Status(err) == http.StatusTooManyRequests
	}
	if !slowed {
		t.Error("thirty guesses in a row were never slowed down")
	}
}

// TestEveryRouteNeedsACredential asks every route of the API's own description,
// and those beside it, without a token and with a wrong one.
func TestEveryRouteNeedsACredential(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	// Asked one after the other, all routes are more than an address may ask for.
	if err := s.admin.JSON(context.Background(), http.MethodPut, "/api/v1/settings/rate-limits", nil, map[string]any{"enabled": false}, nil); err != nil {
		t.Fatal(err)
	}
	var api struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := s.admin.Get(context.Background(), "/api/v1/openapi.json", nil, &api); err != nil {
		t.Fatal(err)
	}
	routes := map[string]bool{}
	for _, r := range []string{"GET /metrics", "GET /api/v1/openapi.json", "POST /elastic/_bulk", "POST /elastic/app/_bulk", "PUT /elastic/_bulk",
		"GET /elastic/", "GET /elastic", "POST /loki/api/v1/push", "POST /api/v1/auth/logout", "GET /api/v1/me", "GET /api/v1/nothing-here", "GET /api/v1/", "DELETE /api/v1/tokens/x"} {
		routes[r] = true
	}
	param := regexp.MustCompile(`\{[^}]+\}`)
	for path, methods := range api.Paths {
		if !strings.HasPrefix(path, "/api/v1") && path != "/healthz" && path != "/readyz" && path != "/metrics" && !strings.HasPrefix(path, "/elastic") && !strings.HasPrefix(path, "/loki") {
			path = "/api/v1" + path
		}
		for method := range methods {
			routes[strings.ToUpper(method)+" "+param.ReplaceAllString(path, "x")] = true
		}
	}
	if len(routes) < 40 {
		t.Errorf("only %d routes are described", len(routes))
	}
	open := map[string]bool{"GET /healthz": true, "GET /readyz": true,
		"POST /api/v1/auth/login": true, "GET /api/v1/auth/policy": true, "POST /api/v1/auth/captcha": true,
		"GET /api/v1/auth/captcha/image": true, "GET /api/v1/auth/captcha/audio": true,
		"POST /api/v1/auth/login/totp": true, "POST /api/v1/auth/login/recovery": true,
		"POST /api/v1/auth/login/webauthn/begin": true, "POST /api/v1/auth/login/webauthn/finish": true,
		"GET /api/v1/auth/providers": true, "GET /api/v1/branding": true, "GET /api/v1/branding/logo": true}
	for route := range routes {
		method, path, _ := strings.Cut(route, " ")
		for _, credential := range []string{"", "not-a-token"} {
			resp, err := s.admin.With(credential, "").Do(context.Background(), method, path, nil, nil, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if open[route] {
				if resp.StatusCode == 401 && !strings.HasPrefix(path, "/api/v1/auth/login") {
					t.Errorf("%s answers 401", route)
				}
				continue
			}
			if resp.StatusCode != 401 {
				t.Errorf("%s with the token %q answers %d, want 401", route, credential, resp.StatusCode)
			}
		}
	}
	t.Logf("%d routes asked", len(routes))
}

// TestTenantsAreApart writes as one tenant and tries every way to read it, and
// to write there, as another.
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	seal, licence := s.token("e-seal", "ingest", "read"), s.token("e-licence", "ingest", "read")
	bulk := map[string]string{"Content-Type": "application/x-ndjson"}
	doc := func(c *client.Client, tenant, marker string) (int, string) {
		return post(t, c.With(c.Options().Token, tenant), "/elastic/app/_bulk", bulk, []byte("{\"create\":{}}\n{\"message\":\""+marker+"\"}\n"))
	}
	push := func(c *client.Client, tenant, marker string) (int, string) {
		return post(t, c.With(c.Options().Token, tenant), "/loki/api/v1/push", map[string]string{"Content-Type": "application/json"},
			fmt.Appendf(nil, `{"streams":[{"stream":{"app":"x"},"values":[["%d","%s"]]}]}`, time.Now().UnixNano(), marker))
	}
	want := func(what string, status int, answer string, code int) {
		t.Helper()
		if status != code {
			t.Errorf("%s: %d %s, want %d", what, status, answer, code)
		}
	}
	st, answer := doc(seal, "", "sealed secret")
	want("own tenant by token", st, answer, 200)
	st, answer = doc(seal, "e-seal", "sealed secret")
	want("own tenant by header", st, answer, 200)
	st, answer = push(seal, "", "sealed secret")
	want("Loki push", st, answer, 204)
	st, answer = doc(seal, "e-licence", "smuggled")
	want("_bulk into another tenant", st, answer, 403)
	st, answer = push(seal, "e-licence", "smuggled")
	want("Loki push into another tenant", st, answer, 403)
	st, answer = push(seal, "e-seal|e-licence", "smuggled")
	want("Loki push into two tenants", st, answer, 403)
	st, answer = doc(seal, "no-such-tenant", "smuggled")
	want("_bulk into a tenant that is not there", st, answer, 403)
	// What a document says of itself decides nothing.
	st, answer = post(t, seal, "/elastic/e-licence/_bulk", bulk, []byte("{\"create\":{\"_index\":\"e-licence\"}}\n{\"message\":\"self-styled\",\"icewatch.tenant\":\"e-licence\",\"icewatch\":{\"tenant\":\"e-licence\"}}\n"))
	want("a document that names another tenant", st, answer, 200)
	st, answer = doc(licence, "", "own word")
	want("the other tenant", st, answer, 200)

	s.expect(`"sealed secret"`, 3, 10*time.Second)
	for _, row := range s.expect(`"self-styled"`, 1, 10*time.Second) {
		if text(row, "icewatch.tenant") != "e-seal" {
			t.Errorf("stored as %s", text(row, "icewatch.tenant"))
		}
	}
	s.expect(`"own word"`, 1, 10*time.Second)
	if rows := s.find("smuggled"); len(rows) != 0 {
		t.Errorf("smuggled: %v", rows)
	}

	ctx := context.Background()
	for _, query := range []string{"*", `"sealed secret"`, `icewatch.tenant:="e-seal"`, `icewatch.tenant:in("e-seal")`,
		`* | union ("sealed secret")`, `message:in("sealed secret" | fields message)`, `* | join by (message) ("sealed secret" | fields message, event.id)`,
		`"own word" | stream_context before 100 after 100`, `"own word" or _stream:{tenant="e-seal"}`, `* | fields event.original, message`, `* options(global_filter="*")`} {
		rows, err := licence.Search(ctx, always(query))
		if err != nil && client.Status(err) != 400 {
			t.Errorf("query %s: %v", query, err)
		}
		data, _ := json.Marshal(rows)
		if strings.Contains(string(data), "sealed secret") || strings.Contains(string(data), "e-seal") {
			t.Errorf("query %s shows the other tenant: %s", query, data)
		}
	}
	// Counting is reading too.
	counted, err := licence.Search(ctx, always("* | stats count() n"))
	if err != nil || len(counted) != 1 || fmt.Sprint(counted[0]["n"]) != "1" {
		t.Errorf("counted %v, %v", counted, err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if c := client.Status(err); c != 403 && c != 404 {
			t.Errorf("%s: %v, want 403 or 404", what, err)
		}
	}
	_, err = licence.With(licence.Options().Token, "e-seal").Search(ctx, always("*"))
	refused("the other tenant by header", err)
	q := always("*")
	q.Set("tenant", "e-seal")
	if rows, err := licence.Search(ctx, q); err == nil && len(rows) > 0 {
		t.Errorf("the other tenant by parameter: %v", rows)
	}
	id := text(s.find(`"sealed secret"`)[0], "event.id")
	refused("one event by id", licence.Get(ctx, "/api/v1/events/"+id, nil, nil))
	for _, path := range []string{"/api/v1/search/values", "/api/v1/search/fields", "/api/v1/search/histogram"} {
		q := always("*")
		q.Del("limit")
		q.Set("field", "message")
		if path != "/api/v1/search/values" {
			q.Del("field")
		}
		var raw []byte
		if err := licence.Get(ctx, path, q, &raw); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if strings.Contains(string(raw), "sealed") {
			t.Errorf("%s shows the other tenant: %s", path, raw)
		}
	}
	items, err := licence.Raw(ctx, "/api/v1/cmdb/items", url.Values{}, 0)
	if err != nil {
		t.Error(err)
	}
	for _, it := range items {
		if strings.Contains(string(it), `"tenant":"e-seal"`) {
			t.Errorf("the other tenant's item: %s", it)
		}
	}

	// A token does no more than its scopes say.
	writer, reader := s.token("e-seal", "ingest"), s.token("e-seal", "read")
	_, err = writer.Search(ctx, always("*"))
	refused("reading with a writer's token", err)
	st, answer = doc(reader, "", "smuggled")
	want("writing with a reader's token", st, answer, 403)
	_, err = writer.CreateToken(ctx, "more", "", []string{"admin"}, time.Hour)
	refused("making a token with a writer's token", err)
	refused("the suite's metrics with a tenant's token", reader.Get(ctx, "/metrics", nil, nil))
}

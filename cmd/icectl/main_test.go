package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// call runs icectl against a server with a home of its own.
func call(t *testing.T, server string, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	full := map[string]string{"XDG_CONFIG_HOME": t.TempDir(), "LANG": "en_GB.UTF-8"}
	if server != "" {
		full["ICEWATCH_TOKEN"] = "secret"
		args = append([]string{"--url", server}, args...)
	}
	for k, v := range env {
		full[k] = v
	}
	var out, errs bytes.Buffer
	code = run(context.Background(), args, func(k string) string { return full[k] }, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// api serves canned answers by "METHOD path" and keeps what was asked.
type api struct {
	*httptest.Server
	asked []string
	body  []string
}

func serve(t *testing.T, answers map[string]string) *api {
	t.Helper()
	s := &api{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			return
		}
		body, _ := io.ReadAll(r.Body)
		s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
		s.body = append(s.body, string(body))
		answer, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(404)
			io.WriteString(w, `{"title":"Not Found","status":404,"detail":"there is no such alert"}`)
			return
		}
		if status, rest, found := strings.Cut(answer, "|"); found && len(status) == 3 {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(map[string]int{"401": 401, "403": 403, "422": 422}[status])
			answer = rest
		}
		io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestQueryPrintsLinesAsTheyCame(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"GET /api/v1/search": "{\"@timestamp\":\"2026-11-23T08:00:00.000Z\",\"message\":\"a\"}\n{\"message\":\"b\"}\n"})
	code, out, errs := call(t, s.URL, nil, "", "query", "event.outcome:failure", "--since", "5m", "--tenant", "e-seal", "--limit", "2")
	if code != 0 || out != "{\"@timestamp\":\"2026-11-23T08:00:00.000Z\",\"message\":\"a\"}\n{\"message\":\"b\"}\n" {
		t.Fatalf("exit %d, %q", code, out)
	}
	if !strings.Contains(errs, "stopped at --limit 2") {
		t.Fatalf("stderr %q", errs)
	}
	if want := "GET /api/v1/search?limit=2&query=event.outcome%3Afailure&since=5m0s&tenant=e-seal"; s.asked[0] != want {
		t.Fatalf("asked %s\nwant  %s", s.asked[0], want)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"GET /api/v1/search":      `422|{"title":"Query","status":422,"detail":"at character 3: missing value"}`,
		"GET /api/v1/tokens":      `403|{"title":"Forbidden","status":403,"detail":"scope admin is missing"}`,
		"GET /api/v1/me":          `401|{"title":"Unauthorized","status":401}`,
		"POST /api/v1/auth/login": `401|{"title":"Unauthorized","status":401}`,
		"GET /api/v1/tenants":     `{"items":[],"total":0,"next":""}`,
	})
	f := func(name string, want int, says string, env map[string]string, server string, args ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, errs := call(t, server, env, "", args...)
			if code != want || !strings.Contains(errs, says) {
				t.Fatalf("exit %d, want %d; stderr %q, want %q in it", code, want, errs, says)
			}
			if strings.Contains(errs, "goroutine") {
				t.Fatalf("stack trace: %s", errs)
			}
		})
	}
	f("wrong query", exitFailed, "missing value", nil, s.URL, "query", "x:")
	f("not permitted", exitDenied, "scope admin is missing", nil, s.URL, "tokens", "list")
	f("token refused", exitDenied, "icectl login", nil, s.URL, "whoami")
	f("nothing there", exitOK, "Nothing matches.", nil, s.URL, "tenants", "list")
	f("unknown alert", exitFailed, "there is no such alert", nil, s.URL, "alerts", "get", "nope")
	f("no server", exitNoReach, "cannot reach the server at http://127.0.0.1:1", nil, "http://127.0.0.1:1", "sources")
	f("not signed in", exitDenied, "Run \"icectl login\"", map[string]string{}, "", "--data", t.TempDir(), "sources")
	f("unknown flag", exitUsage, "Run \"icectl alerts list --help\"", nil, s.URL, "alerts", "list", "--colour")
	f("bad status", exitUsage, "open", nil, s.URL, "alerts", "list", "--status", "shut")
	f("bad duration", exitUsage, "want a length of time", nil, s.URL, "query", "*", "--since", "yesterday")
	f("since and start", exitUsage, "exclude each other", nil, s.URL, "query", "*", "--since", "1h", "--start", "2026-01-01")
	f("bad address", exitUsage, "want http://HOST:PORT", nil, "gopher://x", "sources")
	f("wrong password", exitDenied, "wrong user name or password", map[string]string{"ICEWATCH_PASSWORD": "x"}, s.URL, "login")
	f("no terminal", exitUsage, "--password-stdin", nil, s.URL, "login")
	f("no threads", exitUsage, "--threads=0: a number from 1 to 256 was expected", nil, s.URL, "rules", "match", "--rules", ".", "--events", "x", "--threads", "0")
	f("too many threads", exitUsage, "--threads=257: a number from 1 to 256 was expected", nil, s.URL, "rules", "match", "--rules", ".", "--events", "x", "--threads", "257")
	f("routing is on or off", exitUsage, "--routing must be one of", nil, s.URL, "rules", "match", "--rules", ".", "--events", "x", "--routing", "maybe")
	f("no time to measure", exitUsage, "--bench-time=0s: a duration above 0", nil, s.URL, "rules", "match", "--rules", ".", "--events", "x", "--bench", "--bench-time", "0s")
	f("a time without bench", exitUsage, "--bench-time goes with --bench", nil, s.URL, "rules", "match", "--rules", ".", "--events", "x", "--bench-time", "1s")
	f("close needs a resolution", exitUsage, "--resolution", nil, s.URL, "incidents", "close", "INC-1")
}

func TestLoginKeepsTheSignIn(t *testing.T) {
	t.Parallel()
	ends := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	s := serve(t, map[string]string{
		"POST /api/v1/auth/login":  `{"token":"session-1","expires_at":"` + ends + `","user":{"username":"li"}}`,
		"POST /api/v1/auth/logout": "",
		"GET /api/v1/me":           `{"username":"li","roles":["analyst"],"all_tenants":true}`,
	})
	home := t.TempDir()
	env := map[string]string{"XDG_CONFIG_HOME": home}
	code, out, errs := call(t, "", env, "pass word\n", "--url", s.URL, "login", "-u", "li", "--password-stdin")
	if code != 0 || !strings.Contains(out, "as li until") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	var sent map[string]string
	if err := json.Unmarshal([]byte(s.body[0]), &sent); err != nil || sent["password"] != "pass word" {
		t.Fatalf("sent %q", s.body[0])
	}
	info, err := os.Stat(filepath.Join(home, "icewatch", "credentials"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	// The server need not be named any more.
	code, out, errs = call(t, "", env, "", "whoami")
	if code != 0 || !strings.Contains(out, "li at "+s.URL) || !strings.Contains(out, "tenants: all") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if code, out, _ = call(t, "", env, "", "logout"); code != 0 || !strings.Contains(out, "Signed out") {
		t.Fatalf("exit %d: %s", code, out)
	}
	if code, _, _ = call(t, "", env, "", "--data", t.TempDir(), "whoami"); code != exitDenied {
		t.Fatalf("still signed in: exit %d", code)
	}
}

func TestActsGoOnAfterARefusal(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"POST /api/v1/incidents/INC-1/close": `{"id":"INC-1"}`,
		"POST /api/v1/incidents/INC-3/close": `{"id":"INC-3"}`,
	})
	code, out, errs := call(t, s.URL, nil, "", "incidents", "close", "INC-1", "INC-2", "INC-3", "--resolution", "benign", "-m", "backup job")
	if code != exitFailed || out != "incident INC-1 closed\nincident INC-3 closed\n" || !strings.Contains(errs, "incident INC-2: Not Found") {
		t.Fatalf("exit %d: %q %q", code, out, errs)
	}
	if s.body[0] != `{"comment":"backup job","resolution":"benign"}` {
		t.Fatalf("sent %s", s.body[0])
	}
}

func TestListsShowHostileTextHarmlessly(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"GET /api/v1/alerts": `{"items":[{"id":"a1","severity":"high","status":"open","count":3,"tenant":"e-seal",
		"ci":{"name":"web\u001b[2J-01"},"title":{"zh":"口令爆破","en":"Guessing of \u202epasswords\n"}}],"total":1,"next":""}`})
	code, out, _ := call(t, s.URL, nil, "", "alerts", "list", "--status", "open,acknowledged")
	if code != 0 || strings.ContainsAny(out, "\x1b\u202e") || !strings.Contains(out, `web\x1b[2J-01`) {
		t.Fatalf("exit %d: %q", code, out)
	}
	if s.asked[0] != "GET /api/v1/alerts?limit=50&status=open%2Cacknowledged" {
		t.Fatalf("asked %s", s.asked[0])
	}
	_, out, _ = call(t, s.URL, map[string]string{"LANG": "zh_CN.UTF-8"}, "", "alerts", "list")
	if !strings.Contains(out, "口令爆破") {
		t.Fatalf("%q", out)
	}
	_, out, _ = call(t, s.URL, nil, "", "-o", "json", "alerts", "list")
	var one map[string]any
	if err := json.Unmarshal([]byte(out), &one); err != nil || one["id"] != "a1" {
		t.Fatalf("%q: %v", out, err)
	}
}

func TestImportTellsFaultsByRow(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"POST /api/v1/cmdb/import": `422|{"title":"Nothing was imported","status":422,"errors":[{"row":2,"column":"addresses","message":"not an address"}]}`})
	file := filepath.Join(t.TempDir(), "hosts.csv")
	if err := os.WriteFile(file, []byte("name,addresses\nweb,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := call(t, s.URL, nil, "", "cmdb", "import", file, "--class", "host", "--dry-run")
	if code != exitFailed || !strings.Contains(errs, "row 2, addresses: not an address") {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if s.asked[0] != "POST /api/v1/cmdb/import?class=host&dry_run=true&format=csv" || s.body[0] != "name,addresses\nweb,x\n" {
		t.Fatalf("%s %q", s.asked[0], s.body[0])
	}
	if code, _, errs = call(t, s.URL, nil, "", "cmdb", "import", "hosts.xls"); code != exitUsage || !strings.Contains(errs, "give --format") {
		t.Fatalf("exit %d: %s", code, errs)
	}
}

func TestTokensCreatePrintsTheSecretAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"POST /api/v1/tokens": `{"id":"t1","name":"hall","token":"iw_abc","tenant":"e-seal","scopes":["ingest"],"expires_at":"2027-01-01T00:00:00Z"}`})
	code, out, errs := call(t, s.URL, nil, "", "tokens", "create", "hall", "--tenant", "e-seal", "--expires", "90d")
	if code != 0 || out != "iw_abc\n" || !strings.Contains(errs, "not shown again") {
		t.Fatalf("exit %d: %q %q", code, out, errs)
	}
	if s.body[0] != `{"expires_in":"2160h0m0s","name":"hall","scopes":["ingest"],"tenant":"e-seal"}` {
		t.Fatalf("sent %s", s.body[0])
	}
}

func TestGetForPeople(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"GET /api/v1/alerts/a1":       `{"id":"a1","title":{"en":"203.0.113.7 guessed a password"},"severity":"high","priority":"P1","status":"open","count":12,"occurrences":[{"id":"o1"}],"reasons":[{"en":"criticality 5"}],"evidence":[{"selection":"s","field":"user.name","value":"root"}],"fields":{"source.ip":"203.0.113.7"}}`,
		"GET /api/v1/incidents/INC-1": `{"id":"INC-1","title":{"en":"Intrusion on web-01"},"status":"open","alerts":[{"id":"a1","title":{"en":"guessing"}}],"timeline":[{"kind":"opened","actor":"policy","text":{"en":"opened"}}]}`,
	})
	f := func(want []string, args ...string) {
		t.Helper()
		code, out, errs := call(t, s.URL, nil, "", args...)
		for _, w := range want {
			if code != 0 || !strings.Contains(out, w) {
				t.Fatalf("exit %d, no %q in %s%s", code, w, out, errs)
			}
		}
	}
	f([]string{"203.0.113.7 guessed a password", "criticality 5", "s: user.name = root", "source.ip = 203.0.113.7"}, "alerts", "get", "a1")
	f([]string{"Intrusion on web-01", "guessing  [a1]", "Timeline", "policy  opened"}, "incidents", "get", "INC-1")
}

func TestTimes(t *testing.T) {
	t.Parallel()
	f := func(in string, want time.Duration, ok bool) {
		got, err := parseDuration(in)
		if got != want || (err == nil) != ok {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	f("30s", 30*time.Second, true)
	f("7d", 7*24*time.Hour, true)
	f("1.5d", 36*time.Hour, true)
	f("2w", 14*24*time.Hour, true)
	f("-5m", 0, false)
	f("d", 0, false)
	f("NaNd", 0, false)
	f("", 0, false)
	for _, s := range []string{"2026-11-23T08:00:00Z", "2026-11-23 16:00:00", "2026-11-23 16:00", "2026-11-23"} {
		if _, err := parseTime(s); err != nil {
			t.Error(err)
		}
	}
	if _, err := parseTime("23.11."); err == nil {
		t.Error("23.11. was read")
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	code, out, _ := call(t, "", nil, "", "--help")
	if code != 0 || !strings.Contains(out, "Exit codes") || !strings.Contains(out, "incidents") {
		t.Fatalf("exit %d: %s", code, out)
	}
	code, out, _ = call(t, "", nil, "", "version")
	if code != 0 || !strings.HasPrefix(out, "icectl ") {
		t.Fatalf("exit %d: %s", code, out)
	}
	if code, out, _ = call(t, "", nil, ""); code != 0 || !strings.Contains(out, "Usage") {
		t.Fatalf("exit %d: %s", code, out)
	}
}

package api

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

func notReady(context.Context) []PartHealth {
	return []PartHealth{{Name: "bus", Ready: true}, {Name: "engine", State: "starting"}}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	token := bearer(s.token("", identity.ScopeRead))
	f := func(query string, want int, parts ...string) {
		t.Helper()
		a := s.call("GET", "/api/v1/"+query, "", token...)
		if a.status != want {
			t.Errorf("%s: got %d, want %d: %s", query, a.status, want, a.body)
		}
		for _, p := range parts {
			if !strings.Contains(string(a.body), p) {
				t.Errorf("%s: %q is not in %s", query, p, a.body)
			}
		}
	}
	f("search", 200, `"items":[{`, `"truncated":false`, `"took_ms":`)
	if req := s.search.last(t); !req.Reach.Everything() || req.Query != "*" || req.End.Sub(req.Start) != searchBack+aheadOfClock {
		t.Errorf("the defaults: %+v", req)
	}
	f("search?limit=1", 200, `"truncated":true`)
	f("search?limit=10001", 400, "x-ndjson")
	f("search?limit=0", 422)
	f("search?query=%7C%7C%7C", 400, "a pipe's name is missing", `"position":3`, "urn:icewatch:request:")
	f("search?query=panic", 500)
	f("search?query=secret-fault", 500)
	if a := s.call("GET", "/api/v1/search?query=secret-fault", "", token...); strings.Contains(string(a.body), "sock") {
		t.Errorf("an internal cause is shown: %s", a.body)
	}
	f("search?tenant=a,b", 200)
	if req := s.search.last(t); req.Reach.Key() != reach.Tenants("a", "b").Key() {
		t.Errorf("chosen tenants: %v", req.Reach.LogsQL())
	}
	f("search?start=yesterday", 400, "start: ")
	f("search?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", 400, "not before the end")
	f("search?start=2026-01-02T00:00:00Z&since=5m", 400)
	f("search?start=1767225600&end=1767225660000", 200)
	if req := s.search.last(t); req.Start.Format(time.RFC3339) != "2026-01-01T00:00:00Z" || req.End.Sub(req.Start) != time.Minute {
		t.Errorf("Unix times: %v to %v", req.Start, req.End)
	}
	f("search/histogram?since=1h&buckets=60", 200, `"step_ms":60000`, `"buckets":[]`)
	f("search/fields", 200, `"name":"message"`)
	f("search/values?field=user.name", 200, `"value":"a"`)
	f("search/values", 422)
	f("events/e-1-0", 200, `"event.id":"e-1-0"`)
	f("events/e-9-9", 404)
	f("overview", 200, `"events_total":7`, `"by_severity":{"critical":0`, `"incidents":[]`, `"tenants_with_events_24h":1`, `"syslog-tcp"`)
	f("tenants", 200, `"slug":"a"`, `"systems":1`)
	f("rules", 200, `"tags":[]`)
	f("rules/r1", 200, `"source":"title: x"`)
	f("rules/r2", 404)
	f("sources", 200, "syslog-tcp")
	f("openapi.json", 200, `"/api/v1/search"`, `"3.1.0"`)
	f("cmdb/classes", 200, `"host"`)
	f("cmdb/items/none", 404)
	f("cmdb/export?format=xml", 422)

	admin := bearer(s.login("admin", adminPassword))
	if a := s.call("POST", "/api/v1/cmdb/import?format=csv", "bad", admin...); a.status != 422 || !strings.Contains(string(a.body), `"row":3`) ||
		a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a wrong import: %d %s", a.status, a.body)
	}
	if a := s.call("POST", "/api/v1/cmdb/import?format=csv&dry_run=true", "class,name", append(admin, "Content-Type", "text/csv")...); a.status != 200 || !strings.Contains(string(a.body), `"created":2`) {
		t.Errorf("an import: %d %s", a.status, a.body)
	}
}

func TestSearchWithoutTheEngine(t *testing.T) {
	t.Parallel()
	s := newSuite(t, func(d *Deps) { d.Search, d.Rules, d.CMDB, d.Intake = nil, nil, nil, nil })
	token := bearer(s.token("", identity.ScopeRead))
	for _, path := range []string{"search", "search/histogram", "search/fields", "search/values?field=x", "events/x", "rules", "rules/x", "cmdb/items", "cmdb/classes"} {
		if a := s.call("GET", "/api/v1/"+path, "", token...); a.status != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := s.call("GET", "/api/v1/overview", "", token...); a.status != 200 {
		t.Errorf("the overview: %d %s", a.status, a.body)
	}
}

func stream(t *testing.T, s *suite, query string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/api/v1/search?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token("", identity.ScopeRead))
	req.Header.Set("Accept", typeNDJSON)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestStreamedSearch(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	s.search.rows = 25_000
	res := stream(t, s, "limit=20000")
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != typeNDJSON {
		t.Fatalf("%d %q", res.StatusCode, res.Header.Get("Content-Type"))
	}
	lines := 0
	sc := bufio.NewScanner(res.Body)
	for sc.Scan() {
		if !strings.HasPrefix(sc.Text(), `{"event.id"`) {
			t.Fatalf("line %d: %s", lines, sc.Text())
		}
		lines++
	}
	if lines != 20_000 || sc.Err() != nil {
		t.Fatalf("%d lines, %v", lines, sc.Err())
	}
	bad := stream(t, s, "query=%7C%7C%7C")
	defer bad.Body.Close()
	if bad.StatusCode != 400 || bad.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("a wrong query: %d %q", bad.StatusCode, bad.Header.Get("Content-Type"))
	}
	broken := stream(t, s, "query=panic")
	defer broken.Body.Close()
	if broken.StatusCode != 500 {
		t.Fatalf("a panic in the store: %d", broken.StatusCode)
	}
}

// Rows arrive while the query is still running, and a client that goes away
// ends the query.
func TestStreamFlushesAndEndsWithTheClient(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	s.search.block, s.search.ended = make(chan struct{}), make(chan error, 1)
	res := stream(t, s, "limit=5")
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil || !strings.Contains(line, "event.id") {
		t.Fatalf("the first row did not come while the query ran: %q, %v", line, err)
	}
	select {
	case err := <-s.search.ended:
		t.Fatalf("the query ended early: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	_ = res.Body.Close()
	select {
	case err := <-s.search.ended:
		if err == nil {
			t.Fatal("the query ended as if whole")
		}
	case <-time.After(time.Minute):
		t.Fatal("the query goes on without its client")
	}
}

func TestListSearchEndsWithTheClient(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	s.search.block, s.search.ended = make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+"/api/v1/search", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token("", identity.ScopeRead))
	if res, err := http.DefaultClient.Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatal("want the client to give up")
	}
	select {
	case <-s.search.ended:
	case <-time.After(time.Minute):
		t.Fatal("the query goes on without its client")
	}
}

package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
)

// span is a span as the tests of traces send it.
type span struct {
	id, parent, name, service string
	kind                      int
	start, length             time.Duration // from the test's base
	failed                    bool
}

// exportSpans is an export request of OTLP/JSON.
func exportSpans(trace string, base time.Time, spans ...span) string {
	var parts []string
	for _, s := range spans {
		status := ""
		if s.failed {
			status = `,"status":{"code":2,"message":"declined"}`
		}
		parts = append(parts, fmt.Sprintf(`{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}},{"key":"host.name","value":{"stringValue":"node-1"}}]},"scopeSpans":[{"scope":{"name":"otelhttp"},"spans":[{"traceId":%q,"spanId":%q,"parentSpanId":%q,"name":%q,"kind":%d,"startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"http.response.status_code","value":{"intValue":"200"}}]%s}]}]}`,
			s.service, trace, s.id, s.parent, s.name, s.kind, base.Add(s.start).UnixNano(), base.Add(s.start+s.length).UnixNano(), status))
	}
	return `{"resourceSpans":[` + strings.Join(parts, ",") + `]}`
}

// TestTraces sends spans by OTLP and reads them as Grafana's Jaeger data source
// and as the console do.
func TestTraces(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	base := time.Now().Add(-10 * time.Minute).Truncate(time.Microsecond)
	const trace, other = "4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000f1e2d3c4b5a6978"
	send := func(tenant, path, kind, body string) {
		t.Helper()
		if status, answer := post(t, s.token(tenant, "ingest"), path, map[string]string{"Content-Type": kind}, []byte(body)); status != 200 {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
	}
	send("e-seal", "/otlp/v1/traces", "application/json", exportSpans(trace, base,
		span{"00f067aa0ba902b7", "", "GET /seals", "gateway", 2, 0, 90 * time.Millisecond, false},
		span{"00f067aa0ba902b8", "00f067aa0ba902b7", "list seals", "seals", 2, 10 * time.Millisecond, 60 * time.Millisecond, true},
		span{"00f067aa0ba902b9", "00f067aa0ba902b8", "SELECT", "seals", 3, 20 * time.Millisecond, 30 * time.Millisecond, false}))
	send("e-licence", "/otlp/v1/traces", "application/json", exportSpans(other, base, span{"00f067aa0ba902c1", "", "GET /hall", "hall", 2, time.Second, time.Millisecond, false}))
	send("e-seal", "/elastic/app/_bulk", "application/x-ndjson", "{\"create\":{}}\n"+fmt.Sprintf(`{"@timestamp":%q,"message":"no such seal","trace.id":%q,"span.id":"00f067aa0ba902b8"}`, base.Format(time.RFC3339Nano), trace)+"\n")
	s.expect(`trace.id:*`, 5, time.Minute)

	// Grafana sends a name and a password.
	ask := func(tenant, path string, want int) []byte {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(tenant, s.token(tenant, "read").Options().Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s as %s: status %d, want %d: %.500s %v", path, tenant, resp.StatusCode, want, body, err)
		}
		return body
	}
	same := func(what string, got []byte, want string) {
		t.Helper()
		var a, b any
		if err := json.Unmarshal(got, &a); err != nil {
			t.Fatalf("%s: %v: %.300s", what, err, got)
		}
		if err := json.Unmarshal([]byte(want), &b); err != nil {
			t.Fatal(err)
		}
		x, _ := json.MarshalIndent(a, "", " ")
		y, _ := json.MarshalIndent(b, "", " ")
		if !bytes.Equal(x, y) {
			t.Errorf("%s:\n%s\nwant\n%s", what, x, y)
		}
	}
	micro := func(d time.Duration) string { return strconv.FormatInt(base.Add(d).UnixMicro(), 10) }
	tag := func(key, value string) string {
		return fmt.Sprintf(`{"key":%q,"type":"string","value":%q}`, key, value)
	}
	common := tag("http.request.method", "GET") + `,{"key":"http.response.status_code","type":"int64","value":200},`
	whole := `{"data":[{"traceID":"` + trace + `","warnings":null,"processes":{"p1":{"serviceName":"gateway","tags":[` + tag("host.name", "node-1") + `]},"p2":{"serviceName":"seals","tags":[` + tag("host.name", "node-1") + `]}},"spans":[` +
		`{"traceID":"` + trace + `","spanID":"00f067aa0ba902b7","operationName":"GET /seals","references":[],"startTime":` + micro(0) + `,"duration":90000,"tags":[` + common + tag("otel.scope.name", "otelhttp") + `,` + tag("span.kind", "server") + `],"logs":[],"processID":"p1","warnings":null},` +
		`{"traceID":"` + trace + `","spanID":"00f067aa0ba902b8","operationName":"list seals","references":[{"refType":"CHILD_OF","traceID":"` + trace + `","spanID":"00f067aa0ba902b7"}],"startTime":` + micro(10*time.Millisecond) + `,"duration":60000,"tags":[{"key":"error","type":"bool","value":true},` + common + tag("otel.scope.name", "otelhttp") + `,` + tag("otel.status_code", "ERROR") + `,` + tag("otel.status_description", "declined") + `,` + tag("span.kind", "server") + `],"logs":[],"processID":"p2","warnings":null},` +
		`{"traceID":"` + trace + `","spanID":"00f067aa0ba902b9","operationName":"SELECT","references":[{"refType":"CHILD_OF","traceID":"` + trace + `","spanID":"00f067aa0ba902b8"}],"startTime":` + micro(20*time.Millisecond) + `,"duration":30000,"tags":[` + common + tag("otel.scope.name", "otelhttp") + `,` + tag("span.kind", "client") + `],"logs":[],"processID":"p2","warnings":null}` +
		`]}],"total":0,"limit":0,"offset":0,"errors":null}`
	list := func(data string, total int) string {
		return fmt.Sprintf(`{"data":%s,"total":%d,"limit":0,"offset":0,"errors":null}`, data, total)
	}
	window := "&start=" + micro(-time.Hour) + "&end=" + micro(time.Hour)
	for _, x := range []struct{ path, want string }{
		{"/jaeger/api/services", list(`["gateway","seals"]`, 2)},
		{"/jaeger/api/services/seals/operations", list(`["SELECT","list seals"]`, 2)},
		{"/jaeger/api/services/no%2Fbody/operations", list(`null`, 0)},
		{"/jaeger/api/operations?service=seals", list(`[{"name":"SELECT","spanKind":"client"},{"name":"list seals","spanKind":"server"}]`, 2)},
		{"/jaeger/api/traces/" + trace, whole},
		{"/jaeger/api/traces/" + trace + "?x=y" + window, whole},
		{"/jaeger/api/traces?service=seals&operation=SELECT&minDuration=20ms&maxDuration=1s&limit=20&lookback=custom" + window, whole},
		{"/jaeger/api/traces?service=seals&tags=" + url.QueryEscape(`{"error":"true","http.request.method":"GET"}`) + window, whole},
		{"/jaeger/api/traces?service=gateway&tags=" + url.QueryEscape(`{"error":"true"}`) + window, list(`[]`, 0)},
		{"/jaeger/api/traces?service=hall" + window, list(`[]`, 0)},
		{fmt.Sprintf("/jaeger/api/dependencies?endTs=%d&lookback=3600000", time.Now().UnixMilli()), list(`[{"parent":"gateway","child":"seals","callCount":1}]`, 0)},
		{"/jaeger/api/v3/services", `{"services":["gateway","seals"]}`},
		{"/jaeger/api/v3/operations?service=gateway", `{"operations":[{"name":"GET /seals","spanKind":"server"}]}`},
	} {
		same(x.path, ask("e-seal", x.path, 200), x.want)
	}
	missing := `{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]}`
	same("another tenant's trace", ask("e-seal", "/jaeger/api/traces/"+other, 404), missing)
	same("the same for its own tenant", ask("e-licence", "/jaeger/api/services", 200), list(`["hall"]`, 1))
	if b := ask("e-licence", "/jaeger/api/traces/0f1e2d3c4b5a6978", 200); !bytes.Contains(b, []byte(`"traceID":"0f1e2d3c4b5a6978"`)) {
		t.Errorf("a 64-bit id: %s", b)
	}
	same("version 3", ask("e-seal", "/jaeger/api/v3/traces/"+other, 404), `{"error":{"httpCode":404,"message":"No traces found"}}`)
	if b := ask("e-seal", "/jaeger/api/v3/traces/"+trace, 200); bytes.Count(b, []byte(`"spanId"`)) != 3 || !bytes.HasPrefix(b, []byte(`{"result":{"resourceSpans":[`)) {
		t.Errorf("version 3: %s", b)
	}
	// Refused in Jaeger's form, also by the frame.
	if b := ask("e-seal", "/jaeger/api/traces?limit=0", 400); !bytes.Contains(b, []byte(`"errors":[{"code":400,`)) {
		t.Errorf("a wrong search: %s", b)
	}
	if b := ask("e-seal", "/jaeger/api/nothing", 404); !bytes.Contains(b, []byte(`"errors":[{"code":404,`)) {
		t.Errorf("no such path: %s", b)
	}
	resp, err := http.Get(s.url + "/jaeger/api/services")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("without a password: %d %s", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
	}

	// The suite's own API, as the administrator, who sees all tenants.
	admin := s.admin.Options().Token
	var found struct {
		Items []struct {
			TraceID  string `json:"trace_id"`
			Duration int64  `json:"duration_ns"`
			Spans    int
			Errors   int
			Matched  int
			Root     *struct{ Service, Operation string }
			Tenants  []string
		}
		Truncated bool
	}
	s.call(admin, "GET", "/api/v1/traces?since=1h", "", 200, &found)
	if len(found.Items) != 2 || found.Items[0].TraceID != other || found.Items[1].Spans != 3 || found.Items[1].Errors != 1 || found.Items[1].Duration != 90e6 ||
		found.Items[1].Root == nil || found.Items[1].Root.Operation != "GET /seals" || !slices.Equal(found.Items[1].Tenants, []string{"e-seal"}) || found.Truncated {
		t.Errorf("search: %+v", found)
	}
	s.call(admin, "GET", "/api/v1/traces?since=1h&tenant=e-seal&service=seals&errors=true&min_duration=50ms&kind=server&tags="+url.QueryEscape(`http.request.method=GET host.name="node-1"`), "", 200, &found)
	if len(found.Items) != 1 || found.Items[0].Matched != 1 {
		t.Errorf("search with all conditions: %+v", found)
	}
	for wrong, status := range map[string]int{"tags=a": 400, "min_duration=5": 400, "min_duration=2s&max_duration=1s": 400, "query=" + url.QueryEscape("a | fields b"): 400, "limit=0": 422, "kind=other": 422} {
		s.call(admin, "GET", "/api/v1/traces?"+wrong, "", status, nil)
	}
	var one struct {
		Depth int
		Spans []struct {
			SpanID string `json:"span_id"`
			Depth  int
			Status string
			Tenant string
			Self   int64 `json:"self_ns"`
		}
		Logs struct {
			Count int
			Query string
		}
	}
	s.call(admin, "GET", "/api/v1/traces/"+trace, "", 200, &one)
	if one.Depth != 3 || len(one.Spans) != 3 || one.Spans[1].Status != "error" || one.Spans[1].Self != 30e6 || one.Spans[2].Tenant != "e-seal" || one.Logs.Count != 1 {
		t.Errorf("one trace: %+v", one)
	}
	if rows := s.find(one.Logs.Query); len(rows) != 1 || text(rows[0], "message") != "no such seal" {
		t.Errorf("the logs of the trace: %v", rows)
	}
	s.call(s.token("e-licence", "read").Options().Token, "GET", "/api/v1/traces/"+trace, "", 404, nil)
	s.call(admin, "GET", "/api/v1/traces/xyz", "", 400, nil)
	var graph struct {
		Nodes []struct{ Service string }
		Edges []struct {
			Parent, Child string
			Calls, Errors int
		}
	}
	s.call(admin, "GET", "/api/v1/traces/map?since=1h", "", 200, &graph)
	if len(graph.Nodes) != 3 || len(graph.Edges) != 1 || graph.Edges[0].Calls != 1 || graph.Edges[0].Errors != 1 {
		t.Errorf("the service map: %+v", graph)
	}
}

// compareTraces reads the events of the isolation test as the spans that they
// also are: spans of one trace lie at many tenants.
func (c *city) compareTraces(rnd *rand.Rand, token string, shows func(reach.Facts) bool, wrong func(what string, got, want any)) {
	c.t.Helper()
	services, perTrace := map[string]int{}, map[string]int{}
	for _, r := range c.rows {
		if shows(r.facts) {
			services["svc-"+r.user]++
			perTrace[isolationTrace(r.n)]++
		}
	}
	var page struct {
		Items []struct {
			Name  string
			Spans int
		}
	}
	c.call(token, "GET", "/api/v1/traces/services?since=1h", "", 200, &page)
	got := map[string]int{}
	for _, i := range page.Items {
		got[i.Name] = i.Spans
	}
	if !maps.Equal(got, services) {
		wrong("services of traces", got, services)
	}
	var names struct{ Data []string }
	c.call(token, "GET", "/jaeger/api/services", "", 200, &names)
	if want := slices.Sorted(maps.Keys(services)); !slices.Equal(names.Data, want) {
		wrong("Jaeger's services", names.Data, want)
	}
	var found struct {
		Items []struct {
			TraceID string `json:"trace_id"`
			Spans   int
		}
	}
	c.call(token, "GET", "/api/v1/traces?since=1h&limit=500", "", 200, &found)
	got = map[string]int{}
	for _, i := range found.Items {
		got[i.TraceID] = i.Spans
	}
	if !maps.Equal(got, perTrace) {
		wrong("traces", got, perTrace)
	}
	for range 3 {
		id := isolationTrace(rnd.IntN(len(c.rows)))
		status, spans := 200, perTrace[id]
		if spans == 0 {
			status = 404
		}
		var own struct{ Spans []struct{} }
		var jaeger struct {
			Data []struct{ Spans []struct{} }
		}
		c.call(token, "GET", "/api/v1/traces/"+id, "", status, &own)
		c.call(token, "GET", "/jaeger/api/traces/"+id, "", status, &jaeger)
		if status == 200 && (len(own.Spans) != spans || len(jaeger.Data) != 1 || len(jaeger.Data[0].Spans) != spans) {
			wrong("the trace "+id, len(own.Spans), spans)
		}
	}
}

// isolationTrace is the trace of the nth event of the isolation test.
func isolationTrace(n int) string { return fmt.Sprintf("%032x", 0xc0ffee0000000000+uint64(n%100)) }

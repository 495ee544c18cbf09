package jaeger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/lake"
	"icewatch/soc/pipeline"
	"icewatch/soc/reach"
	"icewatch/soc/retention"
	"icewatch/soc/search"
	"icewatch/soc/traces"
	"icewatch/test/peers"
)

var update = flag.Bool("update", false, "write down what Jaeger answers; needs ICEWATCH_JAEGER")

// house is a real lake, fed by the real pipeline, with Jaeger's API over it.
type house struct {
	lake *lake.Lake
	app  *fiber.App
	to   reach.Reach
}

const (
	keep    = 50 * 365 * 24 * time.Hour
	account = 7
)

func newHouse(t testing.TB, parts []part) *house {
	t.Helper()
	lk, err := lake.Open(lake.Options{Dir: filepath.Join(t.TempDir(), "lake"), Classes: []lake.Class{{Name: retention.Standard, Retention: keep}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lk.Close() })
	reg := event.NewRegistry(0)
	pipe := pipeline.New(pipeline.Options{Registry: reg, Keeping: &retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: keep}}}, Future: time.Hour})
	index, err := enrich.NewIndex(enrich.Snapshot{})
	if err != nil {
		t.Fatal(err)
	}
	pipe.SetIndex(index)
	pipe.SetDirectory(pipeline.Directory{"unassigned": pipeline.Place{Account: 1}, "seal": pipeline.Place{Account: account}})
	w := lk.NewWriter(reg)
	for i, p := range parts {
		text, err := json.Marshal(object{"resource": p.resource, "scope": p.scope, "span": p.span})
		if err != nil {
			t.Fatal(err)
		}
		rec := intake.Record{Tenant: "seal", Format: intake.OTLPSpan, Collector: "otlp", Received: time.Now().UnixNano(), Data: text}
		var ev event.Event
		place := pipe.Fill(&rec, event.ID{Epoch: "e", Sequence: uint64(i + 1)}, &ev)
		if err := w.Add(&ev, lake.Space{Account: place.Account, Class: place.Class}, ""); err != nil {
			t.Fatal(err)
		}
		if w.Size() > 8<<20 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	lk.Flush()
	h := &house{lake: lk, app: fiber.New(fiber.Config{DisableStartupMessage: true}), to: reach.Tenants("seal")}
	at := &handler{traces.New(h), h, func() time.Time { return epoch.Add(2 * time.Hour) }}
	for _, r := range at.protocol().Routes {
		h.app.Add(r.Method, r.Path, func(c *fiber.Ctx) error {
			err := r.Handler(c)
			var q *search.QueryError
			if errors.As(err, &q) {
				t.Errorf("%s: %v", c.OriginalURL(), err)
			}
			return err
		})
	}
	return h
}

// Query implements traces.Searcher.
func (h *house) Query(ctx context.Context, req search.Request, emit func([]byte) error) error {
	if slugs, _ := req.Reach.TenantSlugs(); !slices.Contains(slugs, "seal") {
		return nil
	}
	return h.lake.Rows(ctx, lake.Query{Accounts: []uint32{account}, Filter: req.Reach.LogsQL(), LogsQL: req.Query, Start: req.Start, End: req.End.Add(-1), Limit: req.Limit}, emit)
}

// Reach implements protocol.Caller.
func (h *house) Reach(*fiber.Ctx) (reach.Reach, error) { return h.to, nil }

// Tenant implements protocol.Caller.
func (h *house) Tenant(*fiber.Ctx) string { return "" }

func (h *house) get(t testing.TB, path string) (int, []byte) {
	t.Helper()
	resp, err := h.app.Test(httptest.NewRequest(http.MethodGet, prefix+path, nil), -1)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// Answer is what was asked and what came, in an order of its own.
type Answer struct {
	Request string          `json:"request"`
	Status  int             `json:"status"`
	Body    json.RawMessage `json:"body"`
}

// requests are what Grafana's Jaeger data source asks (its versions 11 to 12.3:
// the JSON API, and version 3 of the API behind a feature flag), then what
// Jaeger's own user interface asks, then what is wrong.
func requests(parts []part) []string {
	start, end := fmt.Sprint(epoch.UnixMicro()), fmt.Sprint(epoch.Add(time.Hour).UnixMicro())
	find := func(pairs ...string) string {
		v := url.Values{"start": {start}, "end": {end}, "limit": {"1000"}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return "/api/traces?" + v.Encode()
	}
	trace := func(i int) string { return fmt.Sprint(parts[i].span["traceId"]) }
	min, max := url.QueryEscape(epoch.Format(time.RFC3339Nano)), url.QueryEscape(epoch.Add(time.Hour).Format(time.RFC3339Nano))
	list := []string{
		"/api/services",
		"/api/services/gateway/operations",
		"/api/services/" + url.PathEscape("户籍服务") + "/operations",
		"/api/services/mail%20relay/operations",
		"/api/services/team%2Fledger/operations",
		"/api/services/nobody/operations",
		find("service", "gateway"),
		find("service", "gateway", "lookback", "custom", "tags", "{}"),
		find("service", "户籍服务"),
		find("service", "team/ledger"),
		find("service", "nobody"),
		find("service", "gateway", "operation", "GET /orders"),
		find("service", "orders", "operation", "GET /orders"),
		find("service", "gateway", "tags", `{"http.request.method":"GET"}`),
		find("service", "gateway", "tags", `{"http.request.method":"POST","region":"south shore"}`),
		find("service", "gateway", "tags", `{"http.response.status_code":"300"}`),
		find("service", "gateway", "tags", `{"error":"true"}`),
		find("service", "payment", "tags", `{"otel.status_code":"ERROR"}`),
		find("service", "payment", "tags", `{"otel.status_description":"connection refused"}`),
		find("service", "payment", "tags", `{"span.kind":"client"}`),
		find("service", "payment", "tags", `{"otel.scope.name":"otelhttp"}`),
		find("service", "payment", "tags", `{"exception.type":"net.OpError"}`),
		find("service", "payment", "tags", `{"host.name":"node-1"}`),
		find("service", "payment", "tags", `{"service.version":"1.0","process.pid":"1000"}`),
		find("service", "payment", "tags", `{"service.instance.id":"payment-1"}`),
		find("service", "payment", "tags", `{"telemetry.sdk.language":"go"}`),
		find("service", "payment", "tags", `{"a.bool":"true"}`),
		find("service", "payment", "tags", `{"a.big":"9007199254740993"}`),
		find("service", "payment", "tags", `{"no such":"tag"}`),
		find("service", "gateway", "tag", "region:north"),
		find("service", "gateway", "minDuration", "400ms"),
		find("service", "gateway", "maxDuration", "50ms"),
		find("service", "gateway", "minDuration", "100ms", "maxDuration", "1.5s"),
		find("service", "orders", "operation", "place order", "tags", `{"error":"true"}`, "minDuration", "10ms"),
		find("service", "gateway", "start", fmt.Sprint(epoch.Add(10*time.Minute).UnixMicro()), "end", fmt.Sprint(epoch.Add(20*time.Minute).UnixMicro())),
		"/api/traces?traceID=" + trace(0) + "&traceID=" + trace(len(parts)/2) + "&traceID=ffffffffffffffffffffffffffffffff",
		"/api/traces/" + trace(5),
		"/api/traces/" + trace(0),                // a 64-bit id in full
		"/api/traces/" + shortID(trace(0)),       // the same in 16 digits
		"/api/traces/" + trace(len(parts)/2),     // without times
		"/api/traces/" + trace(len(parts)-3),     //
		"/api/traces/" + trace(17),               // with a span that came twice
		"/api/traces/0000000000000000000000001f", // there is none
		"/api/traces/ffffffffffffffffffffffffffffffff",
		"/api/traces/" + trace(30) + "?start=" + start + "&end=" + end,
		"/api/traces/" + trace(30) + "?raw=true&prettyPrint=true",
		"/api/traces/not-hex",
		"/api/traces/" + strings.Repeat("f", 33),
		"/api/dependencies?endTs=" + fmt.Sprint(epoch.Add(2*time.Hour).UnixMilli()) + "&lookback=" + fmt.Sprint((4 * time.Hour).Milliseconds()),
		"/api/dependencies?service=gateway&endTs=" + fmt.Sprint(epoch.Add(2*time.Hour).UnixMilli()) + "&lookback=" + fmt.Sprint((4 * time.Hour).Milliseconds()),
		"/api/dependencies?endTs=" + fmt.Sprint(epoch.Add(-time.Hour).UnixMilli()) + "&lookback=60000",
		"/api/operations?service=gateway",
		"/api/operations?service=gateway&spanKind=server",
		"/api/operations",
		"/api/traces?start=" + start + "&end=" + end,
		find("service", "gateway", "limit", "many"),
		find("service", "gateway", "minDuration", "7"),
		find("service", "gateway", "minDuration", "2s", "maxDuration", "1s"),
		find("service", "gateway", "tags", "{"),
		find("service", "gateway", "tag", "nothing"),
		"/api/v3/services",
		"/api/v3/operations?service=orders",
		"/api/v3/operations?service=orders&span_kind=client",
		"/api/v3/traces/" + trace(5),
		"/api/v3/traces/ffffffffffffffffffffffffffffffff",
		"/api/v3/traces?query.service_name=payment&query.num_traces=1000&query.start_time_min=" + min + "&query.start_time_max=" + max,
		"/api/v3/traces?query.service_name=payment&query.operation_name=pay&query.num_traces=1000&query.duration_min=20ms&query.start_time_min=" + min + "&query.start_time_max=" + max,
		"/api/v3/traces?query.service_name=nobody&query.start_time_min=" + min + "&query.start_time_max=" + max,
		"/api/v3/traces?query.service_name=payment",
	}
	return list
}

// canonical puts an answer into an order of its own: neither Jaeger nor the
// suite promises one for traces, spans and tags. The words of errors are left
// out but for those that clients know, and so are warnings, which Jaeger has
// about its correction of clocks and the suite about itself.
// Of the traces that a search finds there is a digest, since those that are
// asked for by their ids show what traces look like.
func canonical(t testing.TB, path string, status int, body []byte) json.RawMessage {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("no JSON (status %d): %v: %.300s", status, err, body)
	}
	if m, ok := v.(object); ok && status >= 400 && status != 404 {
		if list, ok := m["errors"].([]any); ok {
			for _, e := range list {
				e.(object)["msg"] = "…"
			}
		}
		if e, ok := m["error"].(object); ok {
			e["message"] = "…"
		}
	}
	v = sorted(v)
	if m, ok := v.(object); ok && strings.Contains(path, "/traces?") {
		for _, name := range []string{"data", "result"} {
			list, _ := m[name].([]any)
			for i, x := range list {
				list[i] = digest(x.(object))
			}
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// digest tells which trace, or span, this is and whether it is as another.
func digest(of object) string {
	b, _ := json.Marshal(of)
	id := of["traceID"]
	if span, ok := of["span"].(object); ok {
		id = span["spanId"]
	}
	return fmt.Sprintf("%s %.4x", id, sha256.Sum256(b))
}

func sorted(v any) any {
	switch v := v.(type) {
	case object:
		for _, name := range []string{"warnings", "prettyPrint"} {
			delete(v, name)
		}
		if processes, ok := v["processes"].(object); ok { // their ids are any
			for _, s := range v["spans"].([]any) {
				s := s.(object)
				s["process"] = processes[s["processID"].(string)]
				delete(s, "processID")
			}
			delete(v, "processes")
		}
		if _, ok := v["resourceSpans"]; ok {
			return flat(v)
		}
		for name, x := range v {
			v[name] = sorted(x)
		}
	case []any:
		texts := make([]string, len(v))
		order := make([]int, len(v))
		for i, x := range v {
			v[i] = sorted(x)
			b, _ := json.Marshal(v[i])
			texts[i], order[i] = string(b), i
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(texts[a], texts[b]) })
		out := make([]any, len(v))
		for i, at := range order {
			out[i] = v[at]
		}
		return out
	}
	return v
}

// flat lists the spans of OTLP, each with its resource and scope, in the form
// that the fields which a sender leaves out have by default.
func flat(v object) any {
	var list []any
	for _, r := range v["resourceSpans"].([]any) {
		r := r.(object)
		scopes, _ := r["scopeSpans"].([]any)
		for _, s := range scopes {
			s := s.(object)
			spans, _ := s["spans"].([]any)
			for _, x := range spans {
				span := x.(object)
				for _, name := range []string{"flags", "droppedAttributesCount", "droppedEventsCount", "droppedLinksCount"} {
					delete(span, name)
				}
				if links, ok := span["links"].([]any); ok { // Jaeger's model has the parent but once
					span["links"] = slices.DeleteFunc(links, func(l any) bool { return l.(object)["spanId"] == span["parentSpanId"] })
				}
				for name, of := range span {
					if empty(of) {
						delete(span, name)
					}
				}
				for _, list := range []string{"events", "links"} {
					of, _ := span[list].([]any)
					for _, e := range of {
						for name, x := range e.(object) {
							if empty(x) {
								delete(e.(object), name)
							}
						}
					}
				}
				if of, ok := span["attributes"].([]any); ok { // Jaeger's warnings come as one
					span["attributes"] = slices.DeleteFunc(of, func(a any) bool { return a.(object)["key"] == "@jaeger@warnings" })
					for _, a := range span["attributes"].([]any) {
						asJaegerKeeps(a.(object))
					}
				}
				list = append(list, sorted(object{"resource": r["resource"], "scope": s["scope"], "span": span}))
			}
		}
	}
	return sorted(list)
}

// asJaegerKeeps makes a text of a list or a map, as which Jaeger's storage in
// memory keeps them; the suite gives them back as they were sent.
func asJaegerKeeps(a object) {
	v := a["value"].(object)
	if v["arrayValue"] == nil && v["kvlistValue"] == nil {
		return
	}
	var plain func(v object) any
	plain = func(v object) any {
		if m, ok := v["arrayValue"].(object); ok {
			list := []any{}
			for _, x := range m["values"].([]any) {
				list = append(list, plain(x.(object)))
			}
			return list
		}
		if m, ok := v["kvlistValue"].(object); ok {
			out := object{}
			for _, x := range m["values"].([]any) {
				out[x.(object)["key"].(string)] = plain(x.(object)["value"].(object))
			}
			return out
		}
		for kind, x := range v {
			if kind == "intValue" {
				return json.Number(x.(string))
			}
			return x
		}
		return nil
	}
	b, _ := json.Marshal(plain(v))
	a["value"] = object{"stringValue": string(b)}
}

func empty(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case json.Number:
		return v == "0"
	case []any:
		return len(v) == 0
	case object:
		return len(v) == 0
	}
	return v == nil
}

const golden = "testdata/jaeger-1.76.0.json"

// TestGolden holds the suite's answers against those that Jaeger 1.76.0 gave to
// the same requests over the same spans.
func TestGolden(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var want []Answer
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	parts := corpus()
	h := newHouse(t, parts)
	asked := requests(parts)
	if len(want) != len(asked) {
		t.Fatalf("%d answers are written down, %d requests made: run with -update", len(want), len(asked))
	}
	for i, path := range asked {
		status, body := h.get(t, path)
		if want[i].Request != path {
			t.Fatalf("the answer written down is to %s, not to %s: run with -update", want[i].Request, path)
		}
		compare(t, path, Answer{path, status, canonical(t, path, status, body)}, want[i])
	}
}

func compare(t testing.TB, path string, got, want Answer) {
	t.Helper()
	var a, b bytes.Buffer
	if json.Indent(&a, got.Body, "", " ") != nil || json.Indent(&b, want.Body, "", " ") != nil {
		t.Fatal("no JSON")
	}
	if got.Status == want.Status && a.String() == b.String() {
		return
	}
	x, y := strings.Split(a.String(), "\n"), strings.Split(b.String(), "\n")
	at := 0
	for at < min(len(x), len(y)) && x[at] == y[at] {
		at++
	}
	part := func(s []string) string { return strings.Join(s[max(0, min(len(s), at)-15):min(len(s), at+8)], "\n") }
	t.Errorf("%s: status %d, Jaeger %d; %d lines, Jaeger %d; from line %d on, icewatch:\n%s\nJaeger:\n%s", path, got.Status, want.Status, len(x), len(y), at, part(x), part(y))
}

// TestJaeger asks a real Jaeger, the program that ICEWATCH_JAEGER names (see
// test/peers/jaeger.sh), the same as TestGolden, so that what is written down
// of it stays true.
func TestJaeger(t *testing.T) {
	program := os.Getenv("ICEWATCH_JAEGER")
	if program == "" {
		t.Skip("ICEWATCH_JAEGER names no Jaeger")
	}
	query, otlp := peers.FreePort(t), peers.FreePort(t)
	free := func() string { return "127.0.0.1:" + peers.FreePort(t) }
	cmd := exec.Command(program, "--query.http-server.host-port=127.0.0.1:"+query, "--query.grpc-server.host-port="+free(), "--admin.http.host-port="+free(),
		"--collector.otlp.http.host-port=127.0.0.1:"+otlp, "--collector.otlp.grpc.host-port="+free(), "--collector.http-server.host-port="+free(), "--collector.grpc-server.host-port="+free())
	cmd.Env = append(os.Environ(), "SPAN_STORAGE_TYPE=memory")
	cmd.Dir = t.TempDir()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Jaeger's log ends:\n%s", log.String()[max(0, log.Len()-2000):])
		}
	})
	parts := corpus()
	var batch []object
	for _, p := range parts {
		batch = append(batch, p.resourceSpans())
	}
	body, err := json.Marshal(object{"resourceSpans": batch})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string) (int, []byte, error) {
		resp, err := http.Get("http://127.0.0.1:" + query + path)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, b, err
	}
	within(t, 30*time.Second, func() error {
		resp, err := http.Post("http://127.0.0.1:"+otlp+"/v1/traces", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
	within(t, 30*time.Second, func() error { // what it took it stores a moment later
		_, b, err := ask("/api/traces/" + fmt.Sprint(parts[len(parts)-3].span["traceId"]))
		if err == nil && !bytes.Contains(b, []byte(`"processes"`)) {
			err = fmt.Errorf("the last trace is not there: %.200s", b)
		}
		return err
	})
	time.Sleep(time.Second)
	var list []Answer
	for _, path := range requests(parts) {
		status, body, err := ask(path)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Answer{path, status, canonical(t, path, status, body)})
	}
	text := []byte("[\n")
	for i, a := range list {
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			text = append(text, ",\n"...)
		}
		text = append(text, b...)
	}
	text = append(text, "\n]\n"...)
	if *update {
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, text) {
		t.Errorf("Jaeger answers otherwise than is written down in %s; run with -update and look at the difference", golden)
	}
}

func within(t *testing.T, d time.Duration, try func() error) {
	t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(100 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

package otlp

import (
	stdbytes "bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/zstd"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"icewatch/collectors/collecttest"
	"icewatch/collectors/webbody"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
	"icewatch/soc/protocol"
)

// server is a Handler behind a router of its own.
type server struct {
	app     *fiber.App
	h       *Handler
	sink    collecttest.Sink
	aside   collecttest.Aside
	samples sampleSink
	tenant  string
}

// sampleSink keeps samples. It implements metrics.Sink.
type sampleSink struct {
	series []metrics.Series
	err    error
}

func (s *sampleSink) Append(_ context.Context, _ string, series []metrics.Series) error {
	if s.err == nil {
		s.series = append(s.series, series...)
	}
	return s.err
}

type caller struct {
	protocol.Caller
	s *server
}

func (c caller) Tenant(*fiber.Ctx) string { return c.s.tenant }

func newServer(opts Options) *server {
	s := &server{app: fiber.New(fiber.Config{BodyLimit: 256 << 20}), tenant: "tax"}
	if opts.Samples.Retention == 0 {
		opts.Samples.Retention = 100 * 365 * 24 * time.Hour
	}
	s.h = New(&s.sink, &s.aside, &s.samples, opts)
	for _, r := range s.h.Protocol(caller{s: s}).Routes {
		s.app.Add(r.Method, r.Path, r.Handler)
	}
	return s
}

type answer struct {
	status int
	body   []byte
	header http.Header
}

func (s *server) post(t testing.TB, signal string, body []byte, contentType string, header ...string) answer {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/otlp/v1/"+signal, stdbytes.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, text, res.Header}
}

func str(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func attr(key string, v *commonpb.AnyValue) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: v}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	traceOf = []byte{0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c}
	spanOf  = []byte{0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74}
)

// everyValue is a request with a value of each kind.
func everyValue() *tracepb.TracesData {
	values := []*commonpb.KeyValue{
		attr("s", str("a\n\"市\"")),
		attr("b", &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}),
		attr("i", &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: math.MinInt64}}),
		attr("d", &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 1.5e-9}}),
		attr("nan", &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: math.NaN()}}),
		attr("inf", &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: math.Inf(-1)}}),
		attr("x", &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{1, 2, 255}}}),
		attr("l", &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{str("one"), {}}}}}),
		attr("m", &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{attr("k", str("v"))}}}}),
		attr("none", nil),
	}
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attr("service.name", str("permits"))}}, SchemaUrl: "https://opentelemetry.io/schemas/1.38.0",
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "n", Version: "1"}, SchemaUrl: "u", Spans: []*tracepb.Span{{
			TraceId: traceOf, SpanId: spanOf, TraceState: "a=b", Name: "GET /", Kind: tracepb.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1795395600000000001, EndTimeUnixNano: math.MaxUint64,
			Attributes: values, DroppedAttributesCount: math.MaxUint32, Flags: 257,
			Events: []*tracepb.Span_Event{{TimeUnixNano: 7, Name: "e", Attributes: []*commonpb.KeyValue{attr("a", str("b"))}}},
			Links:  []*tracepb.Span_Link{{TraceId: traceOf, SpanId: spanOf}},
			Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "no"},
		}}}}}}}
}

const everyValueJSON = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"permits"}}]},"scopeSpans":[{"scope":{"name":"n","version":"1"},"spans":[` +
	`{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","trace_state":"a=b","name":"GET /","kind":2,"startTimeUnixNano":"1795395600000000001","endTimeUnixNano":18446744073709551615,` +
	`"attributes":[{"key":"s","value":{"stringValue":"a\n\"市\""}},{"key":"b","value":{"boolValue":true}},{"key":"i","value":{"intValue":"-9223372036854775808"}},{"key":"d","value":{"doubleValue":1.5e-9}},{"key":"nan","value":{"doubleValue":"NaN"}},` +
	`{"key":"inf","value":{"doubleValue":"-Infinity"}},{"key":"x","value":{"bytesValue":"AQL_"}},{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"one"},{}]}}},{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}},{"key":"none","value":null}],` +
	`"droppedAttributesCount":4294967295,"flags":257,"events":[{"timeUnixNano":"7","name":"e","attributes":[{"key":"a","value":{"stringValue":"b"}}]}],"links":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}],` +
	`"status":{"code":2,"message":"no"},"ofTheFuture":{"a":[1]}}],"schemaUrl":"u"}],"schemaUrl":"https://opentelemetry.io/schemas/1.38.0"}],"ofTheFuture":1}`

// TestBothEncodingsAreOne sends the same span in protobuf and as JSON: what is
// kept is the same, and says all that was sent.
func TestBothEncodingsAreOne(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	for _, a := range []answer{s.post(t, "traces", marshal(t, everyValue()), typeProto), s.post(t, "traces", []byte(everyValueJSON), typeJSON+"; charset=utf-8")} {
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	recs := s.sink.Records()
	if len(recs) != 2 || string(recs[0].Data) != string(recs[1].Data) {
		t.Fatalf("%d records:\n%s\n%s", len(recs), recs[0].Data, recs[1].Data)
	}
	r := recs[0]
	if r.Format != intake.OTLPSpan || r.Collector != ID || r.Tenant != "tax" || r.Time != 1795395600000000001 || r.ID != "5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174" || r.ID != recs[1].ID {
		t.Errorf("%+v", r)
	}
	var kept struct {
		ResourceSchemaURL string `json:"resourceSchemaUrl"`
		ScopeSchemaURL    string `json:"scopeSchemaUrl"`
		Span              struct {
			Attributes             []any
			DroppedAttributesCount int64
			EndTimeUnixNano        string
			Links                  []map[string]string
		}
	}
	if err := json.Unmarshal(r.Data, &kept); err != nil {
		t.Fatalf("%v: %s", err, r.Data)
	}
	if len(kept.Span.Attributes) != 10 || kept.Span.EndTimeUnixNano != "18446744073709551615" || len(kept.Span.Links) != 1 || kept.Span.Links[0]["spanId"] != "eee19b7ec3c1b174" || kept.ScopeSchemaURL != "u" || kept.ResourceSchemaURL == "" {
		t.Errorf("%+v", kept)
	}
	if h := s.h.Health(""); h.Received != 2 || h.Rejected != 0 || h.State != "ok" {
		t.Errorf("health %+v", h)
	}
}

// TestFieldsOutOfOrder reads what protobuf allows and no encoder writes: the
// values of a list apart from each other, a field several times, unknown fields.
func TestFieldsOutOfOrder(t *testing.T) {
	t.Parallel()
	one, two := marshal(t, attr("one", str("1"))), marshal(t, attr("two", str("2")))
	var b []byte
	add := func(number protowire.Number, v []byte) {
		b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
	}
	add(9, one)
	add(5, []byte("first name"))
	add(1, traceOf)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 99, protowire.Fixed32Type), 5)
	add(9, two)
	add(2, spanOf)
	add(5, []byte("name"))
	group := func(inner []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), inner)
	}
	body := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), group(group(b)))
	s := newServer(Options{})
	if a := s.post(t, "traces", body, typeProto); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	want := `{"resource":{},"scope":{},"span":{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"name","attributes":[{"key":"one","value":{"stringValue":"1"}},{"key":"two","value":{"stringValue":"2"}}]}}`
	if got := string(s.sink.Records()[0].Data); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func logRequest(bodies ...string) *logspb.LogsData {
	scope := &logspb.ScopeLogs{}
	for _, b := range bodies {
		scope.LogRecords = append(scope.LogRecords, &logspb.LogRecord{TimeUnixNano: 5, Body: str(b)})
	}
	return &logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{ScopeLogs: []*logspb.ScopeLogs{scope}}}}
}

// TestARequestSentAgainHasTheSameIDs is what makes a retry harmless.
func TestARequestSentAgainHasTheSameIDs(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	req := logRequest("a", "a", "b")
	req.ResourceLogs[0].ScopeLogs[0].LogRecords = append(req.ResourceLogs[0].ScopeLogs[0].LogRecords,
		&logspb.LogRecord{ObservedTimeUnixNano: 6, Body: str("a")}, &logspb.LogRecord{Body: str("a")})
	for range 2 {
		if a := s.post(t, "logs", marshal(t, req), typeProto); a.status != 200 || len(a.body) != 0 {
			t.Fatalf("%d %q", a.status, a.body)
		}
	}
	recs := s.sink.Records()
	if len(recs) != 10 {
		t.Fatalf("%d records", len(recs))
	}
	seen := map[string]bool{}
	for i := range 5 {
		id := recs[i].ID
		if id != recs[i+5].ID {
			t.Errorf("record %d: %q, then %q", i, id, recs[i+5].ID)
		}
		if (id == "") != (i == 4) || id != "" && seen[id] {
			t.Errorf("record %d has the id %q", i, id)
		}
		seen[id] = true
	}
	if recs[0].Time != 5 || recs[3].Time != 6 || recs[4].Time != 0 {
		t.Errorf("times %d, %d, %d", recs[0].Time, recs[3].Time, recs[4].Time)
	}
}

// TestPartialSuccess stores the good spans and tells of the others.
func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	req := everyValue()
	spans := &req.ResourceSpans[0].ScopeSpans[0].Spans
	deep := str("x")
	for range maxDepth {
		deep = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{deep}}}}
	}
	*spans = append(*spans, &tracepb.Span{TraceId: traceOf, SpanId: make([]byte, 8)}, &tracepb.Span{TraceId: traceOf[:3], SpanId: spanOf},
		&tracepb.Span{TraceId: traceOf, SpanId: spanOf, Attributes: []*commonpb.KeyValue{attr("deep", deep)}})
	a := s.post(t, "traces", marshal(t, req), typeProto)
	if a.status != 200 || !strings.Contains(string(a.body), `3 of 4 were not stored; the first: span[1]: spanId "0000000000000000"`) {
		t.Errorf("%d %q", a.status, a.body)
	}
	a = s.post(t, "traces", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"x"}]}]}]}`), typeJSON)
	var got struct {
		PartialSuccess struct{ RejectedSpans, ErrorMessage string }
	}
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 || got.PartialSuccess.RejectedSpans != "1" || !strings.Contains(got.PartialSuccess.ErrorMessage, "traceId") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if n, h := len(s.sink.Records()), s.h.Health(""); n != 1 || h.Received != 1 || h.Rejected != 4 {
		t.Errorf("%d records, health %+v", n, h)
	}
	if a := s.post(t, "traces", []byte(`{}`), typeJSON); a.status != 200 || string(a.body) != "{}" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestRefusals are answered with a google.rpc.Status in the encoding of the
// request.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(Options{Limits: webbody.Limits{MaxBody: 4096, MaxDecoded: 8192}})
	f := func(signal, body, contentType string, status, code int, reason string, header ...string) {
		t.Helper()
		a := s.post(t, signal, []byte(body), contentType, header...)
		var st rpcstatus.Status
		var err error
		if contentType == typeProto {
			err = proto.Unmarshal(a.body, &st)
		} else {
			err = json.Unmarshal(a.body, &st)
		}
		if err != nil || a.status != status || int(st.GetCode()) != code || !strings.Contains(st.GetMessage(), reason) {
			t.Errorf("%.60q: %d %q (%v), want %d, code %d, %q", body, a.status, a.body, err, status, code, reason)
		}
		if want := map[bool]string{true: typeProto, false: typeJSON}[contentType == typeProto]; a.header.Get("Content-Type") != want {
			t.Errorf("%.60q: answered as %s", body, a.header.Get("Content-Type"))
		}
	}
	f("logs", "x", "text/plain", 415, 3, `"text/plain" is neither application/x-protobuf nor application/json`)
	f("logs", "\x0a\xff", typeProto, 400, 3, "not valid protobuf")
	f("traces", string(protowire.AppendBytes([]byte{0x0a}, []byte{0x12, 0x7f})), typeProto, 400, 3, "not valid protobuf")
	f("metrics", "\x0a\x03\x12\x01\xff", typeProto, 400, 3, "not valid protobuf")
	f("metrics", `{"resourceMetrics":5}`, typeJSON, 400, 3, "not valid JSON of OTLP")
	f("logs", "{", typeJSON, 400, 3, "not valid JSON")
	f("logs", "[]", typeJSON, 400, 3, "must be a JSON object, not array")
	f("logs", `{"resourceLogs":{}}`, typeJSON, 400, 3, "resourceLogs: must be an array, not object")
	f("logs", `{"resourceLogs":[{"scopeLogs":[{},{"logRecords":[{},{"timeUnixNano":"x"}]}]}]}`, typeJSON, 400, 3, "resourceLogs[0].scopeLogs[1].logRecords[1].timeUnixNano: x is not a number of 64 bits")
	f("logs", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":1.5}}]}]}]}`, typeJSON, 400, 3, "logRecords[0].body.intValue: 1.5 is not a whole number of 64 bits")
	f("logs", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":1,"boolValue":true}}]}]}]}`, typeJSON, 400, 3, "more than one value")
	f("logs", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"xyz"}]}]}]}`, typeJSON, 400, 3, `traceId: "xyz" is not an id in hex digits`)
	f("logs", `{"resourceLogs":[{"resource":{"attributes":[{"key":5}]},"scopeLogs":[{"logRecords":[{}]}]}]}`, typeJSON, 400, 3, "resource.attributes[0].key: must be a string, not number")
	f("logs", strings.Repeat(" ", 5000), typeJSON, 413, 8, "exceeds the limit of 4096")
	f("logs", "x", typeProto, 400, 3, "gzip", "Content-Encoding", "gzip")
	f("logs", "x", typeProto, 415, 3, "br", "Content-Encoding", "br")
	var packed stdbytes.Buffer
	zw := gzip.NewWriter(&packed)
	fmt.Fprint(zw, strings.Repeat(" ", 10_000))
	zw.Close()
	f("logs", packed.String(), typeProto, 413, 8, "limit of 8192", "Content-Encoding", "gzip")

	good := string(marshal(t, logRequest("a")))
	s.sink.Refuse(fmt.Errorf("bus: %w", intake.ErrFull))
	f("logs", good, typeProto, 503, 14, "full")
	if a := s.post(t, "logs", []byte(good), typeProto); a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	s.sink.Refuse(&intake.OverQuota{Tenant: "tax", Limit: "1 event a day", Until: time.Now().Add(time.Minute)})
	f("logs", good, typeProto, 429, 8, "quota")
	s.sink.Refuse(errors.New("the disk is gone"))
	f("logs", good, typeProto, 503, 14, "the disk is gone")
	if h := s.h.Health(""); h.State != "error" {
		t.Errorf("health %+v", h)
	}
	s.sink.Refuse(nil)
	for _, encoding := range []string{"gzip", "zstd"} {
		body := []byte(good)
		if encoding == "gzip" {
			packed.Reset()
			zw.Reset(&packed)
			zw.Write(body)
			zw.Close()
			body = packed.Bytes()
		} else {
			e, _ := zstd.NewWriter(nil)
			body = e.EncodeAll(body, nil)
		}
		if a := s.post(t, "logs", body, typeProto, "Content-Encoding", encoding); a.status != 200 {
			t.Errorf("%s: %d %s", encoding, a.status, a.body)
		}
	}
	if n, h := len(s.sink.Records()), s.h.Health(""); n != 2 || h.State != "ok" {
		t.Errorf("%d records, health %+v", n, h)
	}
	s.tenant = ""
	f("metrics", "", typeProto, 400, 3, "X-Scope-OrgID")
}

// TestLongRecords are cut in their texts, marked, and kept whole aside; a text
// that is not UTF-8 is repaired and marked.
func TestLongRecords(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	long := strings.Repeat("市", intake.MaxData/3)
	req := logRequest(long, "short")
	req.ResourceLogs[0].ScopeLogs[0].LogRecords[1].Attributes = []*commonpb.KeyValue{attr("a", &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte("\xff")}})}
	body := marshal(t, req)
	body = stdbytes.Replace(body, []byte("short"), []byte("sho\xfft"), 1)
	if a := s.post(t, "logs", body, typeProto); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	recs := s.sink.Records()
	if len(recs[0].Data) > intake.MaxData || !json.Valid(recs[0].Data) || !slices.Contains(recs[0].Marks, "truncated") || recs[0].Aside == "" {
		t.Errorf("%d bytes, marks %q, aside %q", len(recs[0].Data), recs[0].Marks, recs[0].Aside)
	}
	whole, err := s.aside.Get("tax", recs[0].Aside)
	if err != nil || !strings.Contains(string(whole), long) || !json.Valid(whole) {
		t.Errorf("%d bytes are kept whole: %v", len(whole), err)
	}
	if !strings.Contains(string(recs[1].Data), "sho\ufffdt") || !slices.Equal(recs[1].Marks, []string{"invalid_utf8"}) {
		t.Errorf("%s, marks %q", recs[1].Data, recs[1].Marks)
	}
	// More names than can be kept, which no cut of texts makes short.
	many := make([]*commonpb.KeyValue, 60_000)
	for i := range many {
		many[i] = attr(fmt.Sprintf("attribute.%020d", i), str("x"))
	}
	req = logRequest("a", "b")
	req.ResourceLogs[0].ScopeLogs[0].LogRecords[0].Attributes = many
	if a := s.post(t, "logs", marshal(t, req), typeProto); a.status != 200 || !strings.Contains(string(a.body), "even with every text cut") {
		t.Errorf("%d %.300q", a.status, a.body)
	}
	if n := len(s.sink.Records()); n != 3 {
		t.Errorf("%d records", n)
	}
}

// TestExpansionIsBounded sends a large resource with many small records.
func TestExpansionIsBounded(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	req := logRequest(slices.Repeat([]string{""}, 1000)...)
	req.ResourceLogs[0].Resource = &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attr("a", str(strings.Repeat("x", 500<<10)))}}
	if a := s.post(t, "logs", marshal(t, req), typeProto); a.status != 413 || len(s.sink.Records()) != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func BenchmarkSpans(b *testing.B) {
	req := everyValue()
	req.ResourceSpans[0].ScopeSpans[0].Spans = slices.Repeat(req.ResourceSpans[0].ScopeSpans[0].Spans, 1000)
	body := marshal(b, req)
	var batch batch
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		batch.reset(traces, intake.Record{}, nil)
		if err := batch.readWire(body); err != nil || len(batch.records) != 1000 {
			b.Fatal(err)
		}
		batch.finish()
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "spans/s")
}

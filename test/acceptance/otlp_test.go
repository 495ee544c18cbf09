package acceptance

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"icewatch/test/peers"
)

// otlpSuite is a suite that listens on OpenTelemetry's ports.
type otlpSuite struct {
	*suite
	grpc, http string
}

func newOTLPSuite(t *testing.T, host string) *otlpSuite {
	t.Helper()
	o := &otlpSuite{grpc: host + ":" + peers.FreePort(t), http: host + ":" + peers.FreePort(t)}
	o.suite = newSuite(t, fmt.Sprintf("otlp: {grpc: %q, http: %q, max_message: 1MiB}\n", o.grpc, o.http))
	return o
}

// sdk is OpenTelemetry's Go SDK with the exporters of one way.
type sdk struct {
	logs    sdklog.Exporter
	traces  *otlptrace.Exporter
	metrics sdkmetric.Exporter
}

// openTelemetry makes the exporters as an application does that is given an
// endpoint and the header of a token.
func (o *otlpSuite) openTelemetry(way, token string) sdk {
	t := o.t
	t.Helper()
	ctx := context.Background()
	headers := map[string]string{"Authorization": "Bearer " + token}
	var s sdk
	var err [3]error
	switch way {
	case "grpc":
		s.logs, err[0] = otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(o.grpc), otlploggrpc.WithInsecure(), otlploggrpc.WithHeaders(headers))
		s.traces, err[1] = otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(o.grpc), otlptracegrpc.WithInsecure(), otlptracegrpc.WithHeaders(headers), otlptracegrpc.WithCompressor("gzip"))
		s.metrics, err[2] = otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(o.grpc), otlpmetricgrpc.WithInsecure(), otlpmetricgrpc.WithHeaders(headers))
	case "http":
		s.logs, err[0] = otlploghttp.New(ctx, otlploghttp.WithEndpoint(o.http), otlploghttp.WithInsecure(), otlploghttp.WithHeaders(headers))
		s.traces, err[1] = otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(o.http), otlptracehttp.WithInsecure(), otlptracehttp.WithHeaders(headers), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		s.metrics, err[2] = otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(o.http), otlpmetrichttp.WithInsecure(), otlpmetrichttp.WithHeaders(headers))
	case "main": // the suite's own address
		base := o.url + "/otlp/v1/"
		s.logs, err[0] = otlploghttp.New(ctx, otlploghttp.WithEndpointURL(base+"logs"), otlploghttp.WithHeaders(headers))
		s.traces, err[1] = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(base+"traces"), otlptracehttp.WithHeaders(headers))
		s.metrics, err[2] = otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(base+"metrics"), otlpmetrichttp.WithHeaders(headers))
	}
	if err := errors.Join(err[:]...); err != nil {
		t.Fatal(err)
	}
	return s
}

// twice exports everything two times, as after an answer that was lost.
type twice struct{ sdktrace.SpanExporter }

func (e twice) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return errors.Join(e.SpanExporter.ExportSpans(ctx, spans), e.SpanExporter.ExportSpans(ctx, spans))
}

type logsTwice struct{ sdklog.Exporter }

func (e logsTwice) Export(ctx context.Context, records []sdklog.Record) error {
	return errors.Join(e.Exporter.Export(ctx, records), e.Exporter.Export(ctx, records))
}

// TestOpenTelemetrySDK lets OpenTelemetry's own SDK send logs, traces and
// metrics by every way, each request of logs and traces twice: what is asked for
// afterwards is what was recorded.
func TestOpenTelemetrySDK(t *testing.T) {
	t.Parallel()
	o := newOTLPSuite(t, "127.0.0.1")
	token := o.token("e-seal", "ingest").Options().Token
	const each = 500
	var sending sync.WaitGroup
	ways := []string{"grpc", "http", "main"}
	for _, way := range ways {
		s := o.openTelemetry(way, token)
		sending.Go(func() { runApplication(t, s, "permits-"+way, each) })
	}
	sending.Wait()
	if t.Failed() {
		return
	}
	for _, way := range ways {
		service := "service.name:=permits-" + way
		logs := o.expect(service+" event.dataset:=otlp.log", each, 20*time.Second)
		spans := o.expect(service+" data_stream.type:=traces", each, 20*time.Second)
		numbers := map[string]bool{}
		for _, r := range logs {
			numbers[text(r, "message")] = true
			if text(r, "log.level") != "warn" || text(r, "icewatch.tenant") != "e-seal" || len(text(r, "trace.id")) != 32 || text(r, "labels.way") != way || text(r, "log.logger") != "test" {
				t.Fatalf("%s: a log record became %v", way, r)
			}
		}
		if len(numbers) != each {
			t.Errorf("%s: %d messages differ", way, len(numbers))
		}
		ids, failures, children := map[string]bool{}, 0, 0
		for _, r := range spans {
			ids[text(r, "span.id")] = true
			if text(r, "event.outcome") == "failure" {
				failures++
			}
			if text(r, "parent.id") != "" {
				children++
			}
			if text(r, "http.request.method") != "GET" || text(r, "service.version") != "1.2" || text(r, "event.duration") == "" {
				t.Fatalf("%s: a span became %v", way, r)
			}
		}
		if len(ids) != each || failures != each/10 || children != each/2 {
			t.Errorf("%s: %d spans differ, %d failed, %d have a parent", way, len(ids), failures, children)
		}
		eventually(t, 20*time.Second, "the metrics of "+way, func() error {
			for query, want := range map[string]float64{
				`http_requests_total{job="permits-` + way + `",kind="a"}`:                      each,
				`queue_size_bytes{job="permits-` + way + `"}`:                                  42,
				`http_duration_seconds_count{job="permits-` + way + `"}`:                       each,
				`http_duration_seconds_bucket{job="permits-` + way + `",le="0.5"}`:             each / 2,
				`size_bytes_count{job="permits-` + way + `"}`:                                  each,
				`target_info{job="permits-` + way + `",service_version="1.2"}`:                 1,
				`round(histogram_quantile(0.5, size_bytes_bucket{job="permits-` + way + `"}))`: 250,
			} {
				got, err := askMetrics(o.admin, query, "")
				if err != nil {
					return err
				}
				if v := got[""]; v != want && (want != 250 || v < 240 || v > 260) {
					return fmt.Errorf("%s is %v (%d series), want %v", query, v, len(got), want)
				}
			}
			return nil
		})
	}
	o.balance()
	for _, h := range o.sources() {
		if strings.HasPrefix(h.ID, "otlp") && (h.Received == 0 || h.State != "ok" || h.Rejected != 0) {
			t.Errorf("source %+v", h)
		}
	}
}

// runApplication lets an application of n requests run with the SDK.
func runApplication(t *testing.T, s sdk, service string, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	res := resource.NewSchemaless(attribute.String("service.name", service), attribute.String("service.version", "1.2"))
	tracing := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(twice{s.traces}))
	logging := sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(sdklog.NewBatchProcessor(logsTwice{s.logs})))
	metering := sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(s.metrics, sdkmetric.WithInterval(time.Hour))),
		sdkmetric.WithView(sdkmetric.NewView(sdkmetric.Instrument{Name: "size"}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})))
	tracer, logger, meter := tracing.Tracer("test"), logging.Logger("test"), metering.Meter("test")
	requests, err1 := meter.Int64Counter("http.requests", metric.WithUnit("{request}"))
	queue, err2 := meter.Int64Gauge("queue.size", metric.WithUnit("By"))
	duration, err3 := meter.Float64Histogram("http.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.1, 0.5, 1))
	size, err4 := meter.Int64Histogram("size", metric.WithUnit("By"))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Error(err)
		return
	}
	within := ctx
	for i := range n {
		if i%2 == 0 {
			within = ctx
		}
		spanCtx, span := tracer.Start(within, fmt.Sprintf("GET /%d", i), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("http.request.method", "GET")))
		if i%10 == 0 {
			span.SetStatus(codes.Error, "broken")
		}
		var r log.Record
		r.SetTimestamp(time.Now())
		r.SetSeverity(log.SeverityWarn)
		r.SetBody(attribute.StringValue(fmt.Sprintf("request %d of %s", i, service)))
		r.AddAttributes(attribute.String("way", service[strings.LastIndexByte(service, '-')+1:]))
		logger.Emit(spanCtx, r)
		span.End()
		if i%2 == 0 {
			within = spanCtx
		}
		requests.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", "a")))
		duration.Record(ctx, map[bool]float64{true: 0.2, false: 2}[i%2 == 0])
		size.Record(ctx, int64(i)+1)
	}
	queue.Record(ctx, 42)
	if err := errors.Join(tracing.Shutdown(ctx), logging.Shutdown(ctx), metering.Shutdown(ctx)); err != nil {
		t.Errorf("%s: %v", service, err)
	}
}

// source is one of the ways in, as the API shows it.
type otlpSource struct {
	ID, State          string
	Received, Rejected uint64
}

func (o *otlpSuite) sources() []otlpSource {
	o.t.Helper()
	var list struct{ Items []otlpSource }
	if err := o.admin.Get(context.Background(), "/api/v1/sources", nil, &list); err != nil {
		o.t.Fatal(err)
	}
	return list.Items
}

// dial connects to the gRPC port.
func (o *otlpSuite) dial(creds credentials.TransportCredentials) *grpc.ClientConn {
	o.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+o.grpc, grpc.WithTransportCredentials(creds))
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as is the context of a call with a token.
func as(token string, pairs ...string) context.Context {
	if token != "" {
		pairs = append(pairs, "authorization", "Bearer "+token)
	}
	return metadata.AppendToOutgoingContext(context.Background(), pairs...)
}

func logLine(text string) *collogspb.ExportLogsServiceRequest {
	return &collogspb.ExportLogsServiceRequest{ResourceLogs: []*logspb.ResourceLogs{{ScopeLogs: []*logspb.ScopeLogs{{LogRecords: []*logspb.LogRecord{
		{TimeUnixNano: uint64(time.Now().UnixNano()), Body: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: text}}}}}}}}}
}

// TestOTLPRefusals: who is not let in, and what is not taken, is told so in the
// protocol's own terms, over gRPC and over HTTP, and what is good beside it is
// stored.
func TestOTLPRefusals(t *testing.T) {
	t.Parallel()
	o := newOTLPSuite(t, "127.0.0.1")
	ingest, read := o.token("e-seal", "ingest").Options().Token, o.token("e-seal", "read").Options().Token
	conn := o.dial(insecure.NewCredentials())
	logs, traces := collogspb.NewLogsServiceClient(conn), coltracepb.NewTraceServiceClient(conn)

	refused := func(ctx context.Context, req *collogspb.ExportLogsServiceRequest, code grpccodes.Code, why string, opts ...grpc.CallOption) {
		t.Helper()
		_, err := logs.Export(ctx, req, append(opts, grpc.MaxCallSendMsgSize(64<<20))...)
		if status.Code(err) != code || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %s with %q", err, code, why)
		}
	}
	refused(as(""), logLine("a"), grpccodes.Unauthenticated, "needs a token")
	refused(as("wrong"), logLine("a"), grpccodes.Unauthenticated, "not valid")
	refused(as(read), logLine("a"), grpccodes.PermissionDenied, "scope ingest")
	refused(as(ingest, "x-scope-orgid", "smart-city"), logLine("a"), grpccodes.PermissionDenied, "not within your reach")
	refused(as(ingest), logLine(strings.Repeat("x", 2<<20)), grpccodes.ResourceExhausted, "larger than max")
	refused(as(ingest), logLine(strings.Repeat("x", 2<<20)), grpccodes.ResourceExhausted, "larger than max", grpc.UseCompressor(gzip.Name))
	var none []byte
	if err := conn.Invoke(as(ingest), "/opentelemetry.proto.collector.logs.v1.LogsService/Export", []byte("\xff\xff"), &none, grpc.ForceCodec(rawBytes{})); status.Code(err) != grpccodes.InvalidArgument {
		t.Errorf("rubbish: %v", err)
	}
	if err := conn.Invoke(as(ingest), "/opentelemetry.proto.collector.profiles.v1.Profiles/Export", []byte{}, &none, grpc.ForceCodec(rawBytes{})); status.Code(err) != grpccodes.Unimplemented {
		t.Errorf("an unknown service: %v", err)
	}

	// A span without an id beside a good one.
	id := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	now := uint64(time.Now().UnixNano())
	answer, err := traces.Export(as(ingest), &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{
		{TraceId: id, SpanId: id[:8], Name: "good", StartTimeUnixNano: now, EndTimeUnixNano: now + 5}, {TraceId: id, Name: "bad"}}}}}}})
	if err != nil || answer.GetPartialSuccess().GetRejectedSpans() != 1 || !strings.Contains(answer.GetPartialSuccess().GetErrorMessage(), "spanId") {
		t.Errorf("%v, %v", answer, err)
	}
	for _, name := range []string{"", gzip.Name, zstdPacking{}.Name()} {
		encoding.RegisterCompressor(zstdPacking{})
		if _, err := logs.Export(as(ingest), logLine("packed by "+name), grpc.UseCompressor(name)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	o.expect(`span.name:=good`, 1, 20*time.Second)
	o.expect(`message:"packed by" icewatch.tenant:=e-seal`, 3, 20*time.Second)

	// The same over HTTP, as JSON.
	call := func(path, token, contentType, body string, header ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, "http://"+o.http+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	f := func(path, token, body string, want int, why string, header ...string) {
		t.Helper()
		if code, got := call(path, token, "application/json", body, header...); code != want || !strings.Contains(got, why) {
			t.Errorf("%s: %d %s, want %d %s", path, code, got, want, why)
		}
	}
	good := fmt.Sprintf(`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"curl"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"%d","severityText":"Info","body":{"stringValue":"by curl"}}]}]}]}`, now)
	f("/v1/logs", "", good, 401, `"code":16`)
	f("/v1/logs", read, good, 403, `"code":7`)
	f("/v1/logs", ingest, good, 403, `"code":7`, "X-Scope-OrgID", "smart-city")
	f("/v1/logs", ingest, `{"resourceLogs":5}`, 400, `"code":3`)
	f("/v1/traces", ingest, `{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"no ids"}]}]}]}`, 200, `"rejectedSpans":"1"`)
	f("/api/v1/events", ingest, `{}`, 404, `"code":5`) // nothing but OTLP is on this port
	f("/v1/logs", ingest, good, 200, `{}`, "X-Scope-OrgID", "e-seal")
	o.expect(`service.name:=curl message:="by curl" log.level:=info`, 1, 20*time.Second)
	if code, body := call("/v1/logs", "", "application/x-protobuf", ""); code != 401 || !bytes.HasPrefix([]byte(body), []byte{8, 16, 18}) {
		t.Errorf("protobuf: %d %q", code, body)
	}

	// Who was turned away is in the audit log.
	var audit struct {
		Items []struct{ Object, Detail, Result string }
	}
	eventually(t, 10*time.Second, "the refusals are in the audit log", func() error {
		if err := o.admin.Get(context.Background(), "/api/v1/audit", url.Values{"limit": {"200"}}, &audit); err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, r := range audit.Items {
			if r.Object == "/opentelemetry.proto.collector.logs.v1.LogsService/Export" {
				seen[r.Detail] = true
			}
		}
		if len(seen) < 4 {
			return fmt.Errorf("%v", seen)
		}
		return nil
	})
}

// rawBytes sends messages as the bytes they are.
type rawBytes struct{}

func (rawBytes) Name() string                       { return "proto" }
func (rawBytes) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (rawBytes) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }

// zstdPacking is the compression zstd of gRPC, as a Collector has it.
type zstdPacking struct{}

func (zstdPacking) Name() string { return "zstd" }
func (zstdPacking) Compress(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w)
}
func (zstdPacking) Decompress(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) }

// TestOTLPOverTLS listens where others can listen in: only TLS is spoken there,
// with the suite's certificate.
func TestOTLPOverTLS(t *testing.T) {
	t.Parallel()
	o := newOTLPSuite(t, "")
	port := func(addr string) string { return addr[strings.LastIndexByte(addr, ':'):] }
	o.grpc, o.http = "localhost"+port(o.grpc), "localhost"+port(o.http)
	token := o.token("e-seal", "ingest").Options().Token
	pem, err := os.ReadFile(filepath.Join(o.data, "tls", "self-signed.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("the certificate cannot be read")
	}
	config := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	logs := collogspb.NewLogsServiceClient(o.dial(credentials.NewTLS(config)))
	if _, err := logs.Export(as(token), logLine("by gRPC and TLS")); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(as(token), 5*time.Second)
	defer cancel()
	if _, err := collogspb.NewLogsServiceClient(o.dial(insecure.NewCredentials())).Export(ctx, logLine("in clear")); err == nil {
		t.Error("a request in clear was taken")
	}
	body, err := proto.Marshal(logLine("by HTTPS"))
	if err != nil {
		t.Fatal(err)
	}
	send := func(scheme string) (int, error) {
		req, err := http.NewRequest(http.MethodPost, scheme+"://"+o.http+"/v1/logs", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-protobuf")
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: config}}).Do(req)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	if code, err := send("https"); code != 200 {
		t.Errorf("https: %d %v", code, err)
	}
	if code, err := send("http"); code != 400 {
		t.Errorf("http: %d %v", code, err)
	}
	o.expect(`message:in("by gRPC and TLS","by HTTPS","in clear")`, 2, 20*time.Second)
}

// TestOTLPAcrossKills sends numbered logs and spans over gRPC without pause,
// each request again until it is acknowledged, while the engine and then the
// whole suite is killed: each is stored once.
func TestOTLPAcrossKills(t *testing.T) {
	t.Parallel()
	o := newOTLPSuite(t, "127.0.0.1")
	token := o.token("e-seal", "ingest").Options().Token
	conn := o.dial(insecure.NewCredentials())
	logs, traces := collogspb.NewLogsServiceClient(conn), coltracepb.NewTraceServiceClient(conn)
	const perRequest = 50
	stop := make(chan struct{})
	var sent, again atomic.Int64
	var sending sync.WaitGroup
	for sender := range 3 {
		sending.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				now := uint64(time.Now().UnixNano())
				inner, spans := &logspb.ScopeLogs{}, &tracepb.ScopeSpans{}
				for i := range perRequest {
					inner.LogRecords = append(inner.LogRecords, &logspb.LogRecord{TimeUnixNano: now, Body: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: fmt.Sprintf("kill log %d-%d-%d", sender, n, i)}}})
					id := fmt.Appendf(nil, "%016x", sender<<56|n<<16|i+1)
					spans.Spans = append(spans.Spans, &tracepb.Span{TraceId: id, SpanId: id[8:], Name: "kill span", StartTimeUnixNano: now, EndTimeUnixNano: now})
				}
				for _, export := range []func() error{
					func() error {
						_, err := logs.Export(as(token), &collogspb.ExportLogsServiceRequest{ResourceLogs: []*logspb.ResourceLogs{{ScopeLogs: []*logspb.ScopeLogs{inner}}}})
						return err
					},
					func() error {
						_, err := traces.Export(as(token), &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{spans}}}})
						return err
					},
				} {
					times := 1
					if n%5 == 0 {
						times = 2 // an answer that was lost
					}
					for times > 0 {
						err := export()
						if err == nil {
							times--
							continue
						}
						if c := status.Code(err); c != grpccodes.Unavailable && (c != grpccodes.ResourceExhausted || !hasRetry(err)) {
							t.Errorf("export: %v", err)
							return
						}
						again.Add(1)
						time.Sleep(50 * time.Millisecond)
					}
					sent.Add(perRequest)
				}
			}
		})
	}
	for range 2 {
		time.Sleep(time.Second)
		if err := syscall.Kill(o.enginePID(), syscall.SIGKILL); err != nil {
			t.Errorf("kill: %v", err)
		}
		time.Sleep(1200 * time.Millisecond) // until it is noticed: what is said of the engine is a second old at most
		o.ready(60 * time.Second)
	}
	o.kill() // all of it
	o.start()
	time.Sleep(time.Second)
	close(stop)
	sending.Wait()
	o.settled()
	for _, query := range []string{`message:"kill log"`, `span.name:="kill span"`} {
		eventually(t, 30*time.Second, "each record is there once", func() error {
			rows := o.find(query + ` | stats count() n, count_uniq(icewatch.sender_id) ids`)
			if len(rows) != 1 || text(rows[0], "n") != fmt.Sprint(sent.Load()/2) || text(rows[0], "ids") != text(rows[0], "n") {
				return fmt.Errorf("%s: %v, sent %d", query, rows, sent.Load()/2)
			}
			return nil
		})
	}
	if again.Load() == 0 {
		t.Error("nothing had to be sent again: the kill hit no request")
	}
	t.Logf("%d records of each kind, %d requests were sent again", sent.Load()/2, again.Load())
}

// hasRetry tells whether a refusal says that the request may be sent again.
func hasRetry(err error) bool {
	for _, d := range status.Convert(err).Details() {
		if _, ok := d.(*errdetails.RetryInfo); ok {
			return true
		}
	}
	return false
}

package remotewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"icewatch/collectors/webbody"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
)

// sink remembers what it is given, or refuses.
type sink struct {
	err    error
	tenant string
	held   map[string]float64 // by labels and time
	stale  int
}

func (s *sink) Append(_ context.Context, tenant string, series []metrics.Series) error {
	if s.err != nil {
		return s.err
	}
	s.tenant = tenant
	for _, one := range series {
		var labels []string
		for _, l := range one.Labels {
			labels = append(labels, l.Name+"="+l.Value)
		}
		for _, x := range one.Samples {
			if math.Float64bits(x.Value) == 0x7ff0000000000002 {
				s.stale++
			}
			// The texts must not lie in the request afterwards: cloned by Sprint.
			s.held[fmt.Sprint(labels, x.Time)] = x.Value
		}
	}
	return nil
}

// server is a handler over a sink, for the tenant a.
func server(t testing.TB) (*sink, *metrics.Catalogue, *fiber.App) {
	t.Helper()
	s, c := &sink{held: map[string]float64{}}, &metrics.Catalogue{}
	app := fiber.New()
	New(s, c, func(*fiber.Ctx) string { return "a" }, Options{Held: metrics.Limits{Retention: 24 * time.Hour}, MaxSamples: 100, Limits: webbody.Limits{MaxDecoded: 1 << 20}}).Mount(app)
	return s, c, app
}

const (
	type1 = "application/x-protobuf"
	type2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

// post sends a body and returns status, headers and text of the answer.
func post(t testing.TB, app *fiber.App, body []byte, headers ...string) (*http.Response, string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	return resp, string(text)
}

// marshaler is a message of gogo's protobuf.
type marshaler interface{ Marshal() ([]byte, error) }

func packed(t testing.TB, m marshaler) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

func labels(pairs ...string) (list []prompb.Label) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return list
}

func TestVersion1(t *testing.T) {
	t.Parallel()
	s, c, app := server(t)
	now := time.Now().UnixMilli()
	stale := math.Float64frombits(0x7ff0000000000002)
	resp, text := post(t, app, packed(t, &prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{
			{Labels: labels("__name__", "up", "job", "水务"), Samples: []prompb.Sample{{Value: 1, Timestamp: now}, {Value: 0, Timestamp: now - 1}, {Value: stale, Timestamp: now - 2}},
				Exemplars: []prompb.Exemplar{{Value: 1}}},
			{Labels: labels("__name__", "inf"), Samples: []prompb.Sample{{Value: math.Inf(-1), Timestamp: now}}},
		},
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_GAUGE, MetricFamilyName: "up", Help: "Whether it answers.", Unit: "one"}},
	}), "Content-Type", type1, "Content-Encoding", "snappy")
	if resp.StatusCode != http.StatusNoContent || resp.Header.Get(headerSamples) != "4" {
		t.Fatalf("%d %s %v", resp.StatusCode, text, resp.Header)
	}
	up := fmt.Sprint([]string{"__name__=up", "job=水务"}, now)
	if v, ok := s.held[up]; !ok || v != 1 || len(s.held) != 4 || s.stale != 1 || s.tenant != "a" {
		t.Errorf("%v, %d stale, tenant %q", s.held, s.stale, s.tenant)
	}
	if got := c.List(nil, true, ""); !slices.Equal(got, []metrics.Description{{Metric: "up", Type: "gauge", Help: "Whether it answers.", Unit: "one"}}) {
		t.Errorf("metadata: %v", got)
	}
}

// series2 puts a series of version 2 together.
func series2(table *writev2.SymbolsTable, now int64, n int, pairs ...string) writev2.TimeSeries {
	ts := writev2.TimeSeries{}
	for _, p := range pairs {
		ts.LabelsRefs = append(ts.LabelsRefs, table.Symbolize(p))
	}
	for i := range n {
		ts.Samples = append(ts.Samples, writev2.Sample{Value: float64(i), Timestamp: now + int64(i)})
	}
	return ts
}

func TestVersion2TellsWhatItWrote(t *testing.T) {
	t.Parallel()
	s, c, app := server(t)
	now := time.Now().UnixMilli()
	table := writev2.NewSymbolTable()
	good := series2(&table, now, 3, "__name__", "requests_total", "path", "/a")
	good.Metadata = writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: table.Symbolize("How many."), UnitRef: table.Symbolize("")}
	good.Exemplars = []writev2.Exemplar{{Value: 1, Timestamp: now}}
	native := series2(&table, now, 0, "__name__", "latency")
	native.Histograms = []writev2.Histogram{{Timestamp: now}, {Timestamp: now + 1}}
	old := series2(&table, now-48*3600_000, 2, "__name__", "old")
	resp, text := post(t, app, packed(t, &writev2.Request{Symbols: table.Symbols(), Timeseries: []writev2.TimeSeries{good, native, old}}),
		"Content-Type", type2, "Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "2.0.0")
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(text, "stored 3 samples, refused 2 and 2 histograms") || !strings.Contains(text, "latency: native histograms are not stored") || !strings.Contains(text, "old: the time") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	for h, want := range map[string]string{headerSamples: "3", headerHistograms: "0", headerExemplars: "0"} {
		if got := resp.Header.Get(h); got != want {
			t.Errorf("%s: %q, want %q", h, got, want)
		}
	}
	if len(s.held) != 3 {
		t.Errorf("held: %v", slices.Sorted(maps.Keys(s.held)))
	}
	if got := c.List(nil, true, "requests_total"); len(got) != 1 || got[0].Type != "counter" || got[0].Help != "How many." {
		t.Errorf("metadata: %v", got)
	}
	resp, text = post(t, app, packed(t, &writev2.Request{Symbols: table.Symbols(), Timeseries: []writev2.TimeSeries{good}}), "Content-Type", type2, "Content-Encoding", "snappy")
	if resp.StatusCode != http.StatusNoContent || resp.Header.Get(headerSamples) != "3" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

func TestWhatIsNotOfTheProtocolIsRefusedByName(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixMilli()
	one := packed(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: labels("__name__", "up"), Samples: []prompb.Sample{{Value: 1, Timestamp: now}}}}})
	table := writev2.NewSymbolTable()
	odd := series2(&table, now, 1, "__name__", "x")
	odd.LabelsRefs = odd.LabelsRefs[:1]
	far := series2(&table, now, 1, "__name__", "x")
	far.LabelsRefs[1] = 77
	many := prompb.TimeSeries{Labels: labels("__name__", "many")}
	for i := range 101 {
		many.Samples = append(many.Samples, prompb.Sample{Timestamp: now + int64(i)})
	}
	for name, c := range map[string]struct {
		body              []byte
		kind, packing, in string
		status            int
	}{
		"another type":     {one, "application/json", "snappy", `"application/json" is not supported`, 415},
		"no type":          {one, "", "snappy", `"" is not supported`, 415},
		"another message":  {one, "application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy", "v3", 415},
		"not packed":       {one, type1, "", "packed as a snappy block", 415},
		"gzip":             {one, type1, "gzip", "packed as a snappy block", 415},
		"no block":         {[]byte("\xff\xff\xff\xff\xff\xff"), type1, "snappy", "not a snappy block", 400},
		"too large":        {snappy.Encode(nil, make([]byte, 2<<20)), type1, "snappy", "exceeds the limit", 413},
		"no protobuf":      {snappy.Encode(nil, []byte("\x0a\xff hello")), type1, "snappy", "protobuf", 400},
		"too many samples": {packed(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{many}}), type1, "snappy", "more than 100", 413},
		"odd references":   {packed(t, &writev2.Request{Symbols: table.Symbols(), Timeseries: []writev2.TimeSeries{odd}}), type2, "snappy", "come in pairs", 400},
		"far reference":    {packed(t, &writev2.Request{Symbols: table.Symbols(), Timeseries: []writev2.TimeSeries{far}}), type2, "snappy", "symbol 77 of", 400},
		"first symbol":     {packed(t, &writev2.Request{Symbols: []string{"x"}}), type2, "snappy", "must be empty", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, app := server(t)
			resp, text := post(t, app, c.body, "Content-Type", c.kind, "Content-Encoding", c.packing)
			if resp.StatusCode != c.status || !strings.Contains(text, c.in) || len(s.held) != 0 || resp.Header.Get(headerSamples) != "0" {
				t.Errorf("%d %q, want %d with %q; held %v", resp.StatusCode, text, c.status, c.in, s.held)
			}
		})
	}
}

func TestWhatCannotBeKeptNowIsSentAgain(t *testing.T) {
	t.Parallel()
	body := packed(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: labels("__name__", "up"), Samples: []prompb.Sample{{Value: 1, Timestamp: time.Now().UnixMilli()}}}}})
	for _, c := range []struct {
		err    error
		status int
		retry  bool
	}{
		{fmt.Errorf("%w: the disk is full", intake.ErrFull), 503, true},
		{&intake.OverQuota{Tenant: "a", Limit: "bytes", Until: time.Now().Add(time.Hour)}, 429, true},
		{metrics.ErrNoTenant, 400, false},
		{errors.New("the bus went away"), 503, false},
	} {
		s, _, app := server(t)
		s.err = c.err
		resp, text := post(t, app, body, "Content-Type", type1, "Content-Encoding", "snappy")
		if resp.StatusCode != c.status || (resp.Header.Get("Retry-After") != "") != c.retry || resp.Header.Get(headerSamples) != "0" {
			t.Errorf("%v: %d %s %v", c.err, resp.StatusCode, text, resp.Header)
		}
	}
}

// large is a request as Prometheus sends it: two thousand series with twelve
// labels.
func large() (v1Body, v2Body []byte) {
	var r prompb.WriteRequest
	table := writev2.NewSymbolTable()
	var r2 writev2.Request
	now := time.Now().UnixMilli()
	for i := range 2000 {
		pairs := []string{"__name__", fmt.Sprint("http_requests_total_", i%50)}
		for j := range 11 {
			pairs = append(pairs, fmt.Sprint("label_", j), fmt.Sprint("value ", i*j%97))
		}
		r.Timeseries = append(r.Timeseries, prompb.TimeSeries{Labels: labels(pairs...), Samples: []prompb.Sample{{Value: float64(i), Timestamp: now}}})
		r2.Timeseries = append(r2.Timeseries, series2(&table, now, 1, pairs...))
	}
	r2.Symbols = table.Symbols()
	v1Body, _ = r.Marshal()
	v2Body, _ = r2.Marshal()
	return v1Body, v2Body
}

func BenchmarkDecode(b *testing.B) {
	one, two := large()
	for name, read := range map[string]func(*request) error{
		"1.0": func(r *request) error { return r.readV1(one, 1e6) },
		"2.0": func(r *request) error { return r.readV2(two, 1e6) },
	} {
		b.Run(name, func(b *testing.B) {
			r := new(request)
			b.ReportAllocs()
			for b.Loop() {
				r.reset()
				if err := read(r); err != nil || len(r.series) != 2000 {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*2000), "ns/sample")
		})
	}
}

func FuzzRead(f *testing.F) {
	now := time.Now().UnixMilli()
	table := writev2.NewSymbolTable()
	first, _ := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: labels("__name__", "up"), Samples: []prompb.Sample{{Value: 1, Timestamp: now}}}},
		Metadata: []prompb.MetricMetadata{{MetricFamilyName: "up", Help: "x"}}}).Marshal()
	second := &writev2.Request{Timeseries: []writev2.TimeSeries{series2(&table, now, 2, "__name__", "up", "a", "b")}}
	second.Symbols = table.Symbols()
	other, _ := second.Marshal()
	f.Add(first)
	f.Add(other)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, read := range []func(*request) error{
			func(r *request) error { return r.readV1(body, 1000) }, func(r *request) error { return r.readV2(body, 1000) },
		} {
			r := new(request)
			if err := read(r); err != nil {
				continue
			}
			for i := range r.series {
				if len(r.series[i].Samples) == 0 || len(r.samples) > 1000 {
					t.Errorf("%d series, %d samples", len(r.series), len(r.samples))
				}
			}
			metrics.Limits{Retention: time.Hour}.Screen(r.series, time.Now())
		}
	})
}

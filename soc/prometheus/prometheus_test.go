package prometheus

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"icewatch/soc/metrics"
	"icewatch/soc/reach"
)

// lake answers every read with the same, and remembers it.
type lake struct {
	asked  metrics.Read
	answer metrics.Answer
	err    error
}

func (l *lake) ReadMetrics(_ context.Context, _ reach.Reach, r metrics.Read) (metrics.Answer, error) {
	l.asked = r
	return l.answer, l.err
}

type caller struct{ reach reach.Reach }

func (c caller) Reach(*fiber.Ctx) (reach.Reach, error) { return c.reach, nil }
func (caller) Tenant(*fiber.Ctx) string                { return "" }

var now = time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC)

// serve mounts the room over a lake.
func serve(l *lake) *fiber.App {
	catalogue := &metrics.Catalogue{}
	catalogue.Add("a", []metrics.Description{{Metric: "up", Type: "gauge", Help: "Whether it answers."}, {Metric: "requests_total", Type: "counter"}})
	catalogue.Add("b", []metrics.Description{{Metric: "up", Type: "gauge", Help: "Whether it is up."}})
	app := fiber.New(fiber.Config{ErrorHandler: func(c *fiber.Ctx, err error) error { return refuse(c, 500, err.Error()) }})
	p := New(caller{reach.All()}, Options{Lake: l, Catalogue: catalogue, Retention: 24 * time.Hour, Version: "test"})
	for _, r := range p.Routes {
		app.Add(r.Method, r.Path, r.Handler)
	}
	return app
}

// ask sends a request; a body makes it a POST of a form.
func ask(t *testing.T, app *fiber.App, path, form string) (int, string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, Prefix+"/api/v1/"+path, nil)
	if form != "" {
		req = httptest.NewRequest(http.MethodPost, Prefix+"/api/v1/"+path, strings.NewReader(form))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func TestAnswersHavePrometheusForm(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_123).UTC()
	vector := metrics.Answer{ResultType: "vector", Result: []metrics.Row{{Metric: map[string]string{"__name__": "up", "job": "x"}, Value: &metrics.Point{Time: at, Value: 0.00001}}}}
	one := metrics.Answer{ResultType: "vector", Result: []metrics.Row{{Metric: map[string]string{}, Value: &metrics.Point{Time: at, Value: 2}}}}
	raw := metrics.Answer{ResultType: "matrix", Result: []metrics.Row{{Metric: map[string]string{"__name__": "up"}, Values: []metrics.Point{{Time: at, Value: 1}, {Time: at.Add(time.Second), Value: math.NaN()}}}}}
	for _, c := range []struct {
		path, form string
		answer     metrics.Answer
		code       int
		want       string // the whole answer, or a part where it begins with …
	}{
		{"query?query=up&time=1700000000.123", "", vector, 200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"x"},"value":[1700000000.123,"0.00001"]}]}}`},
		{"query", "query=1%2B1&time=1700000000.123", one, 200, `{"status":"success","data":{"resultType":"scalar","result":[1700000000.123,"2"]}}`},
		{"query?query=1%2F0%2D1%2F0&time=1700000000", "", metrics.Answer{}, 200, `{"status":"success","data":{"resultType":"scalar","result":[1700000000,"NaN"]}}`},
		{"query?query=%22text%22&time=1700000000", "", metrics.Answer{}, 200, `{"status":"success","data":{"resultType":"string","result":[1700000000,"text"]}}`},
		{"query?query=up[1m]&time=1700000000", "", raw, 200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up"},"values":[[1700000000.123,"1"]]}]}}`},
		{"query?query=ceil(up)&time=1700000000.123", "", vector, 200, `…"metric":{"job":"x"}`},
		{"query?query=up&limit=1", "", metrics.Answer{ResultType: "vector", Result: append(slices.Clone(vector.Result), vector.Result...)}, 200, `…"warnings":["results truncated due to limit"]`},
		{"query?query=nothing", "", metrics.Answer{}, 200, `…"result":[]`},
		{"query", "", vector, 400, `{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": it is missing"}`},
		{"query?query=sum(", "", vector, 400, `…"errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error`},
		{"query?query=up&time=noon", "", vector, 400, `…cannot parse \"noon\" to a valid timestamp`},
		{"query?query=up&timeout=soon", "", vector, 400, `…\"soon\" is no duration`},
		{"query?query=up&limit=-1", "", vector, 400, `…\"-1\" is no whole number`},
		{"query_range?query=up&start=1&end=2&step=0", "", vector, 400, `…zero or negative query resolution step`},
		{"query_range?query=up&start=2&end=1&step=1", "", vector, 400, `…end timestamp must not be before start time`},
		{"query_range?query=up&start=0&end=11001&step=1", "", vector, 400, `…exceeded maximum resolution of 11,000 points`},
		{"query_range?query=up[1m]&start=1&end=2&step=1", "", vector, 400, `…must be Scalar or instant Vector`},
		{"query_range", "query=up&start=2026-11-26T03:00:00Z&end=1795665600&step=1m", metrics.Answer{ResultType: "matrix"}, 200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`},
		{"series", "match[]=up", metrics.Answer{Series: []map[string]string{{"__name__": "up", "job": "b"}, {"__name__": "up", "job": "a"}}}, 200, `{"status":"success","data":[{"__name__":"up","job":"a"},{"__name__":"up","job":"b"}]}`},
		{"series?start=1", "", metrics.Answer{}, 400, `…no match[] parameter provided`},
		{"series?match[]=sum(up)", "", metrics.Answer{}, 400, `…is not a selector of series`},
		{"labels", "match[]=up", metrics.Answer{Items: []string{"job", "__name__"}}, 200, `{"status":"success","data":["__name__","job"]}`},
		{"label/job/values?limit=1", "", metrics.Answer{Items: []string{"b", "a"}}, 200, `{"status":"success","data":["a"],"warnings":["results truncated due to limit"]}`},
		{"metadata?metric=up", "", metrics.Answer{}, 200, `{"status":"success","data":{"up":[{"type":"gauge","help":"Whether it answers.","unit":""},{"type":"gauge","help":"Whether it is up.","unit":""}]}}`},
		{"metadata?limit=1&limit_per_metric=1", "", metrics.Answer{}, 200, `{"status":"success","data":{"requests_total":[{"type":"counter","help":"","unit":""}]}}`},
		{"metadata?limit=x", "", metrics.Answer{}, 400, `…\"x\" is no whole number`},
		{"query_exemplars?query=up", "", metrics.Answer{}, 200, `{"status":"success","data":[]}`},
		{"format_query", "query=sum(up)by(job)", metrics.Answer{}, 200, `{"status":"success","data":"sum by (job) (up)"}`},
		{"format_query?query=rate(up)", "", metrics.Answer{}, 200, `{"status":"success","data":"rate(up)"}`},
		{"rules", "", metrics.Answer{}, 200, `{"status":"success","data":{"groups":[]}}`},
		{"alerts", "", metrics.Answer{}, 200, `{"status":"success","data":{"alerts":[]}}`},
		{"status/buildinfo", "", metrics.Answer{}, 200, `…"application":"icewatch"`},
	} {
		code, body := ask(t, serve(&lake{answer: c.answer}), c.path, c.form)
		part, has := strings.CutPrefix(c.want, "…")
		if code != c.code || has && !strings.Contains(body, part) || !has && body != c.want || !json.Valid([]byte(body)) {
			t.Errorf("%s %s: %d %s\nwant %d %s", c.path, c.form, code, body, c.code, c.want)
		}
	}
	code, body := ask(t, serve(&lake{err: &metrics.QueryError{Query: "up", Reason: "too many series"}}), "query?query=up", "")
	if code != 422 || body != `{"status":"error","errorType":"execution","error":"the query \"up\": too many series"}` {
		t.Errorf("%d %s", code, body)
	}
}

func TestTheEndsOfTimeAreThoseOfWhatIsKept(t *testing.T) {
	t.Parallel()
	l := &lake{}
	if code, body := ask(t, serve(l), "labels?start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z", ""); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	if age := time.Since(l.asked.Start); age < 24*time.Hour-time.Minute || age > 24*time.Hour+time.Minute || time.Since(l.asked.End) > time.Minute {
		t.Errorf("asked from %s to %s", l.asked.Start, l.asked.End)
	}
}

func TestWithLookback(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		`up`:                                `default_rollup(up[300s])`,
		`up offset 5m`:                      `default_rollup(up[300s] offset 5m)`,
		`sum by (job) (up{a="b"})`:          `sum(default_rollup(up{a="b"}[300s])) by(job)`,
		`rate(up[1m])`:                      `rate(up[1m])`,
		`max_over_time(up[10m:1m])`:         `max_over_time(default_rollup(up[300s])[10m:1m])`,
		`timestamp(up)`:                     `timestamp(up)`,
		`absent(up{job="x"})`:               `absent(up{job="x"})`,
		`a / on (x) group_left (y) b + 1`:   `(default_rollup(a[300s]) / on(x) group_left(y) default_rollup(b[300s])) + 1`,
		`histogram_quantile(0.9, x_bucket)`: `histogram_quantile(0.9, default_rollup(x_bucket[300s]))`,
		`sum(`:                              `sum(`,
	} {
		if got := withLookback(query); got != want {
			t.Errorf("%s became %s, want %s", query, got, want)
		}
	}
}

// readBody is a remote read's request.
func readBody(t *testing.T, kinds ...prompb.ReadRequest_ResponseType) []byte {
	t.Helper()
	end := time.Now().UnixMilli()
	b, err := (&prompb.ReadRequest{AcceptedResponseTypes: kinds, Queries: []*prompb.Query{{StartTimestampMs: end - 60_000, EndTimestampMs: end,
		Matchers: []*prompb.LabelMatcher{{Name: "__name__", Value: "up"}, {Type: prompb.LabelMatcher_NRE, Name: "job", Value: `a"b.*`}}}}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

func post(t *testing.T, app *fiber.App, body []byte) (*http.Response, []byte) {
	t.Helper()
	resp, err := app.Test(httptest.NewRequest(http.MethodPost, Prefix+"/api/v1/read", bytes.NewReader(body)), -1)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := io.ReadAll(resp.Body)
	return resp, raw
}

func TestRemoteReadInBothForms(t *testing.T) {
	t.Parallel()
	row := func(job string, n int) metrics.Row {
		r := metrics.Row{Metric: map[string]string{"__name__": "up", "job": job}}
		for i := range n {
			v := float64(i)
			if i == n-1 {
				v = math.NaN()
			}
			r.Values = append(r.Values, metrics.Point{Time: now.Add(time.Duration(i) * time.Second), Value: v})
		}
		return r
	}
	l := &lake{answer: metrics.Answer{ResultType: "matrix", Result: []metrics.Row{row("z", 2), row("a", 300)}}}
	app := serve(l)
	resp, raw := post(t, app, readBody(t))
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-protobuf" || resp.Header.Get("Content-Encoding") != "snappy" {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, raw)
	}
	if l.asked.Query != `{__name__="up",job!~"a\"b.*"}[60001ms]` {
		t.Errorf("asked %s", l.asked.Query)
	}
	plain, err := snappy.Decode(nil, raw)
	var answer prompb.ReadResponse
	if err != nil || answer.Unmarshal(plain) != nil || len(answer.Results) != 1 || len(answer.Results[0].Timeseries) != 2 {
		t.Fatalf("%v %v", err, answer)
	}
	first := answer.Results[0].Timeseries[0]
	if first.Labels[1].Value != "a" || len(first.Samples) != 300 || !value.IsStaleNaN(first.Samples[299].Value) || first.Samples[7].Value != 7 {
		t.Errorf("labels %v, %d samples", first.Labels, len(first.Samples))
	}

	resp, raw = post(t, app, readBody(t, prompb.ReadRequest_STREAMED_XOR_CHUNKS, prompb.ReadRequest_SAMPLES))
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	var got []string
	for len(raw) > 0 {
		n, size := binary.Uvarint(raw)
		sum, frame := raw[size:size+4], raw[size+4:size+4+int(n)]
		raw = raw[size+4+int(n):]
		if binary.BigEndian.Uint32(sum) != crc32.Checksum(frame, castagnoli) {
			t.Fatal("the checksum of a frame is wrong")
		}
		var part prompb.ChunkedReadResponse
		if err := part.Unmarshal(frame); err != nil {
			t.Fatal(err)
		}
		for _, s := range part.ChunkedSeries {
			samples := 0
			for _, ch := range s.Chunks {
				x, err := chunkenc.FromData(chunkenc.EncXOR, ch.Data)
				if err != nil {
					t.Fatal(err)
				}
				it := x.Iterator(nil)
				for it.Next() == chunkenc.ValFloat {
					samples++
				}
			}
			got = append(got, fmt.Sprintf("%s %d chunks %d samples", s.Labels[1].Value, len(s.Chunks), samples))
		}
	}
	if !slices.Equal(got, []string{"a 3 chunks 300 samples", "z 1 chunks 2 samples"}) {
		t.Error(got)
	}
	for name, body := range map[string][]byte{"no block": []byte("\xff\xff\xff\xff\xff"), "no message": snappy.Encode(nil, []byte("\x0a\xff")), "no matcher": snappy.Encode(nil, func() []byte {
		b, _ := (&prompb.ReadRequest{Queries: []*prompb.Query{{EndTimestampMs: 1}}}).Marshal()
		return b
	}()), "another kind": readBody(t, 7)} {
		if resp, raw := post(t, app, body); resp.StatusCode != 400 || !strings.Contains(string(raw), `"errorType":"bad_data"`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, raw)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	b, _ := (&prompb.ReadRequest{Queries: []*prompb.Query{{StartTimestampMs: 1, EndTimestampMs: 2, Matchers: []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_RE, Name: "a", Value: "b\\"}}}}}).Marshal()
	f.Add(snappy.Encode(nil, b))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := readRequest(body)
		if err != nil {
			return
		}
		for _, q := range req.Queries {
			s, err := selector(q.Matchers)
			if err == nil && (s[0] != '{' || s[len(s)-1] != '}') {
				t.Errorf("the selector %s is none", s)
			}
			withLookback(s)
		}
	})
}

func FuzzParameters(f *testing.F) {
	f.Add("1700000000.5", "5m", "up")
	f.Add("2026-11-26T00:00:00Z", "1e9", "rate(up[5m])")
	app := serve(&lake{})
	f.Fuzz(func(t *testing.T, at, step, query string) {
		form := url.Values{"query": {query}, "start": {at}, "end": {at}, "step": {step}, "time": {at}}.Encode()
		for _, path := range []string{"query", "query_range", "format_query", "labels"} {
			if code, body := ask(t, app, path, form); code >= 500 || !json.Valid([]byte(body)) {
				t.Errorf("%s %s: %d %s", path, form, code, body)
			}
		}
	})
}

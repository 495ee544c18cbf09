package lokipush

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"
	"github.com/valyala/fastjson"

	"icewatch/collectors/collecttest"
	"icewatch/collectors/webbody"
	"icewatch/soc/intake"
)

type server struct {
	app   *fiber.App
	h     *Handler
	sink  collecttest.Sink
	aside collecttest.Aside
}

func newServer(opts Options) *server {
	s := &server{app: fiber.New(fiber.Config{BodyLimit: 256 << 20})}
	s.h = New(&s.sink, &s.aside, func(*fiber.Ctx) string { return "tax" }, opts)
	s.h.Mount(s.app)
	return s
}

func (s *server) post(t *testing.T, body []byte, contentType string, header ...string) (int, string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/loki/api/v1/push", bytes.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

const (
	jsonType  = "application/json"
	protoType = "application/x-protobuf"
)

func encode(t testing.TB, req push.PushRequest) []byte {
	t.Helper()
	plain, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, plain)
}

func checkEntries(t *testing.T, s *server) {
	t.Helper()
	recs := s.sink.Records()
	if len(recs) != 3 || s.sink.Calls() != 1 {
		t.Fatalf("%d records in %d calls", len(recs), s.sink.Calls())
	}
	if recs[0].Time != 1795395600000000001 || string(recs[0].Data) != "one" || recs[0].Tenant != "tax" || recs[0].Format != intake.Line ||
		!reflect.DeepEqual(recs[0].Attrs, []intake.Attr{{Name: "job", Value: `a"b`}, {Name: "env", Value: "p"}, {Name: intake.MetadataMark}}) {
		t.Errorf("first record %+v", recs[0])
	}
	if !reflect.DeepEqual(recs[1].Attrs, []intake.Attr{{Name: "job", Value: `a"b`}, {Name: "env", Value: "p"}, {Name: intake.MetadataMark}, {Name: "trace_id", Value: "7"}}) {
		t.Errorf("second record %+v", recs[1])
	}
	if len(recs[0].Attrs) != 3 || string(recs[2].Data) != `{"x":1}` || recs[2].Attrs[0].Value != "other" {
		t.Errorf("third record %+v", recs[2])
	}
	if h := s.h.Health(); h.Received != 3 || h.Rejected != 0 {
		t.Errorf("health %+v", h)
	}
}

func TestProtobuf(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	at := time.Unix(1795395600, 1)
	body := encode(t, push.PushRequest{Streams: []push.Stream{
		{Labels: `{job="a\"b", env="p"}`, Entries: []push.Entry{
			{Timestamp: at, Line: "one"},
			{Timestamp: at, Line: "two", StructuredMetadata: push.LabelsAdapter{{Name: "trace_id", Value: "7"}}}}},
		{Labels: `{job="other"}`, Entries: []push.Entry{{Timestamp: at, Line: `{"x":1}`}}},
	}})
	if status, text := s.post(t, body, protoType); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	checkEntries(t, s)
}

const sample = `{"streams":[{"stream":{"job":"a\"b","env":"p"},"values":[["1795395600000000001","one"],["1795395600000000001","two",{"trace_id":"7"}]]},
{"stream":{"job":"other"},"values":[["1795395600000000001","{\"x\":1}"]]}]}`

func TestJSON(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	if status, text := s.post(t, []byte(sample), jsonType+"; charset=utf-8"); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	checkEntries(t, s)
}

func TestJSONGzip(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	var gz bytes.Buffer
	zw := gzip.NewWriter(&gz)
	io.WriteString(zw, sample)
	zw.Close()
	if status, text := s.post(t, gz.Bytes(), jsonType, "Content-Encoding", "gzip"); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	checkEntries(t, s)
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	s := newServer(Options{MaxEntries: 2, MaxLabels: 2, Limits: webbody.Limits{MaxDecoded: 1 << 20}})
	f := func(body, contentType string, status int, reason string) {
		t.Helper()
		got, text := s.post(t, []byte(body), contentType)
		if got != status || !strings.Contains(text, reason) {
			t.Errorf("%.80q: %d %q", body, got, text)
		}
	}
	f(`{"streams":[`, jsonType, 400, "not valid JSON")
	f(`[]`, jsonType, 400, "object")
	f(`{}`, jsonType, 400, "streams")
	f(`{"streams":{}}`, jsonType, 400, "array")
	f(`{"streams":[1]}`, jsonType, 400, "streams[0]")
	f(`{"streams":[{"stream":{},"values":[]}]}`, jsonType, 400, "at least one label")
	f(`{"streams":[{"stream":{"a b":"c"},"values":[]}]}`, jsonType, 400, "label name")
	f(`{"streams":[{"stream":{"a":1},"values":[]}]}`, jsonType, 400, "streams[0].stream.a")
	f(`{"streams":[{"stream":{"a":"1","b":"2","c":"3"},"values":[]}]}`, jsonType, 400, "limit of 2")
	f(`{"streams":[{"stream":{"a":"b"},"values":[["x","y"]]}]}`, jsonType, 400, "nanoseconds")
	f(`{"streams":[{"stream":{"a":"b"},"values":[[1,"y"]]}]}`, jsonType, 400, "values[0][0]")
	f(`{"streams":[{"stream":{"a":"b"},"values":[["1",2]]}]}`, jsonType, 400, "values[0][1]")
	f(`{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}`, jsonType, 400, "values[0]")
	f(`{"streams":[{"stream":{"a":"b"},"values":[["1","y",{"m":2}]]}]}`, jsonType, 400, "values[0][2].m")
	f(`{"streams":[{"stream":{"a":"b"},"values":[["1","x"],["2","x"],["3","x"]]}]}`, jsonType, 413, "more than 2")
	f("rubbish", protoType, 400, "snappy")
	f(string(snappy.Encode(nil, []byte("rubbish"))), protoType, 400, "protobuf")
	f(string(snappy.Encode(nil, make([]byte, 2<<20))), protoType, 413, "limit")
	f(string(encode(t, push.PushRequest{Streams: []push.Stream{{Labels: `{a=}`}}})), protoType, 400, "error parsing labels")
	f(string(encode(t, push.PushRequest{Streams: []push.Stream{{Labels: `{}`}}})), protoType, 400, "at least one label")
	if n := len(s.sink.Records()); n != 0 {
		t.Errorf("%d records were stored", n)
	}
	f(`{"streams":[]}`, jsonType, 204, "")
}

func TestFullSink(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	s.sink.Refuse(fmt.Errorf("bus: %w", intake.ErrFull))
	if status, _ := s.post(t, []byte(sample), jsonType); status != 429 {
		t.Errorf("status %d", status)
	}
	s.sink.Refuse(intake.ErrClosed)
	if status, _ := s.post(t, []byte(sample), jsonType); status != 503 {
		t.Errorf("status %d", status)
	}
}

func TestLongLine(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	line := strings.Repeat("x", 10<<20)
	body := encode(t, push.PushRequest{Streams: []push.Stream{{Labels: `{a="b"}`, Entries: []push.Entry{{Timestamp: time.Unix(1, 0), Line: line}}}}})
	if status, text := s.post(t, body, protoType); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	rec := s.sink.Records()[0]
	if len(rec.Data) != intake.MaxData || !slices.Equal(rec.Marks, []string{"truncated"}) {
		t.Errorf("%d bytes, %q", len(rec.Data), rec.Marks)
	}
	if whole, err := s.aside.Get("tax", rec.Aside); err != nil || string(whole) != line {
		t.Errorf("aside: %d bytes, %v", len(whole), err)
	}
}

func TestParseLabels(t *testing.T) {
	t.Parallel()
	f := func(s string, want ...string) {
		t.Helper()
		got, err := parseLabels(s)
		if want == nil {
			if err == nil {
				t.Errorf("%s was taken: %v", s, got)
			}
			return
		}
		var flat []string
		for _, a := range got {
			flat = append(flat, a.Name, a.Value)
		}
		if err != nil || !slices.Equal(flat, want) && len(flat)+len(want) > 0 {
			t.Errorf("%s gave %q, %v", s, flat, err)
		}
	}
	f(`{a="b"}`, "a", "b")
	f(` { a = "b" , _c="d\n\"e\u00e9", } `, "a", "b", "_c", "d\n\"eé")
	f("{a=`b\\c`}", "a", `b\c`)
	f(`{}`, []string{}...)
	for _, bad := range []string{``, `a="b"`, `{a="b"`, `{a="b" c="d"}`, `{1a="b"}`, `{a='b'}`, `{a="b"} x`, `{a}`, `{a=b}`, `{="b"}`} {
		f(bad)
	}
}

func FuzzParseLabels(f *testing.F) {
	f.Add(`{a="b",c="d\"e"}`)
	f.Add("{a=`b`}")
	f.Fuzz(func(t *testing.T, s string) {
		labels, err := parseLabels(s)
		if err != nil {
			return
		}
		var b strings.Builder
		b.WriteByte('{')
		for _, l := range labels {
			fmt.Fprintf(&b, "%s=%q,", l.Name, l.Value)
		}
		b.WriteByte('}')
		again, err := parseLabels(b.String())
		if err != nil || !reflect.DeepEqual(again, labels) {
			t.Fatalf("%q became %q: %v", labels, again, err)
		}
	})
}

func FuzzPush(f *testing.F) {
	f.Add([]byte(sample), true)
	f.Add(encode(f, push.PushRequest{Streams: []push.Stream{{Labels: `{a="b"}`, Entries: []push.Entry{{Line: "x"}}}}}), false)
	h := New(new(collecttest.Sink), nil, nil, Options{Limits: webbody.Limits{MaxDecoded: 1 << 20}})
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		b := &batch{limit: 100}
		if asJSON {
			var p fastjson.Parser
			h.readJSON(b, &p, body)
		} else {
			h.readProto(b, body)
		}
		if len(b.records) > 100 {
			t.Fatalf("%d records", len(b.records))
		}
	})
}

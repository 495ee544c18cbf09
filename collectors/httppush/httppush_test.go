package httppush

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"icewatch/collectors/collecttest"
	"icewatch/collectors/webbody"
	"icewatch/soc/intake"
)

type bench struct {
	*testing.T
	sink *collecttest.Sink
	app  *fiber.App
}

func newBench(t *testing.T, opts Options) *bench {
	b := &bench{T: t, sink: &collecttest.Sink{}, app: fiber.New(fiber.Config{BodyLimit: 64 << 20})}
	New(b.sink, &collecttest.Aside{}, func(*fiber.Ctx) string { return "egov" }, opts).Mount(b.app)
	return b
}

func (b *bench) post(path, kind, body string, headers ...string) (int, Answer) {
	b.Helper()
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.app.Test(req, -1)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	var a Answer
	if err := json.Unmarshal(text, &a); err != nil {
		b.Fatalf("status %d, %q: %v", resp.StatusCode, text, err)
	}
	return resp.StatusCode, a
}

// takes expects that all of a body is stored, as these texts.
func (b *bench) takes(kind, body string, want ...string) []intake.Record {
	b.Helper()
	before := len(b.sink.Records())
	status, a := b.post("/ingest/v1/app.orders", kind, body)
	recs := b.sink.Records()[before:]
	var got []string
	for _, r := range recs {
		got = append(got, string(r.Data))
	}
	if status != 200 || a.Accepted != len(want) || a.Refused != 0 || !slices.Equal(got, want) {
		b.Errorf("%s %q: %d %+v, stored %q", kind, body, status, a, got)
	}
	return recs
}

func TestPlain(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Zone: "dmz"})
	r := b.takes("application/json", `{"a":1}`, `{"a":1}`)[0]
	if r.Tenant != "egov" || r.Zone != "dmz" || r.Collector != ID || r.Format != intake.JSON || r.ID != "" || !slices.Equal(r.Attrs, []intake.Attr{{Name: "event.dataset", Value: "app.orders"}}) {
		t.Errorf("%+v", r)
	}
	b.takes("", "\ufeff [ {\"a\": 1 } ,\n{\"b\":[2]}]\n", `{"a": 1 }`, `{"b":[2]}`)
	b.takes("application/json; charset=utf-8", "{\"a\":1}\n{\"b\":2}", `{"a":1}`, `{"b":2}`)
	b.takes("application/x-ndjson", "{\"a\":1}\r\n\n{\"b\":2}", `{"a":1}`, `{"b":2}`)
	r = b.takes("text/plain; charset=UTF-8", "one\r\n\n two\nthree", "one", " two", "three")[0]
	if r.Format != intake.Line {
		t.Errorf("a line has format %d", r.Format)
	}
	b.takes("application/xml", "\ufeff<?xml version='1.0'?><Events><Event>1</Event><Event>2</Event></Events>", "<Event>1</Event>", "<Event>2</Event>")
	b.takes("text/xml", "\xff\xfe<\x00E\x00v\x00e\x00n\x00t\x00>\x00-N<\x00/\x00E\x00v\x00e\x00n\x00t\x00>\x00", "<Event>中</Event>")
}

// What is wrong is named with its place, and costs nothing but itself.
func TestFaults(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{MaxEvents: 5})
	for _, c := range []struct {
		kind, body       string
		status, accepted int
		errors           string
	}{
		{"application/x-ndjson", "{\"a\":1}\n{\"a\":\nnull\n{\"b\":2}", 400, 2, `[{"event":1,"line":2,"reason":"offset 5: the text ends where a value was expected"},{"event":2,"line":3,"reason":"an event is a JSON object, not null"}]`},
		{"application/json", `[{"a":1},7,{"b":2}]`, 400, 2, `[{"event":1,"offset":9,"reason":"an event is a JSON object, not 7"}]`},
		{"application/json", `[{"a":1},{"b":}]`, 400, 1, `[{"event":1,"offset":14,"reason":"this is not JSON, and what follows is not read: invalid character '}' looking for beginning of value"}]`},
		{"application/json", `[{"a":1}`, 400, 1, `[{"event":1,"offset":8,"reason":"this is not JSON, and what follows is not read: the body ends within a value"}]`},
		{"application/json", `[{"a":1}] x`, 400, 1, `[{"event":1,"offset":9,"reason":"something follows the array; it is not read"}]`},
		{"application/json", `hello`, 400, 0, `[{"offset":0,"reason":"byte 0: this is not JSON: invalid character 'h' looking for beginning of value"}]`},
		{"application/json", ` `, 400, 0, `[{"reason":"the body has no event"}]`},
		{"text/plain", "1\n2\n3\n4\n5\n6", 413, 0, `[{"reason":"the request has more than 5 events: send fewer at a time"}]`},
		{"text/plain; charset=gbk", "x", 415, 0, `[{"reason":"the charset \"gbk\" is not read here: send UTF-8"}]`},
		{"application/protobuf", "x", 415, 0, `[{"reason":"the Content-Type \"application/protobuf\" is not read here: use application/json, application/x-ndjson, text/plain, application/xml (Windows events) or application/cloudevents+json"}]`},
		{"application/xml", "<Event>1</Event><Event>", 400, 1, `[{"event":1,"offset":16,"reason":"the event that begins here does not end; what follows is not read"}]`},
		{"application/xml", "<a/>", 400, 0, `[{"reason":"the document has no Event element of the Windows event schema"}]`},
	} {
		before := len(b.sink.Records())
		status, a := b.post("/ingest/v1", c.kind, c.body)
		text, _ := json.Marshal(a.Errors)
		if stored := len(b.sink.Records()) - before; status != c.status || a.Accepted != c.accepted || stored != c.accepted || unescaped(string(text)) != c.errors {
			t.Errorf("%s %q: %d, accepted %d, stored %d, %s", c.kind, c.body, status, a.Accepted, stored, text)
		}
	}
	if status, a := b.post("/ingest/v1/icewatch.audit", "text/plain", "x"); status != 400 || a.Accepted != 0 {
		t.Errorf("a dataset of the suite's own: %d %+v", status, a)
	}
}

func unescaped(s string) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(s)
}

func TestManyFaultsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	if status, a := b.post("/ingest/v1", "application/x-ndjson", strings.Repeat("x\n", 50)); status != 400 || a.Refused != 50 || len(a.Errors) != maxFaults || a.ErrorsLeftOut != 30 {
		t.Errorf("%d %+v", status, a)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	for range 2 {
		b.post("/ingest/v1", "application/x-ndjson", "{\"a\":1}\nbad\n{\"b\":2}", "Idempotency-Key", "batch-7")
	}
	var ids []string
	for _, r := range b.sink.Records() {
		ids = append(ids, r.ID)
	}
	if want := []string{"key/batch-7/0", "key/batch-7/2", "key/batch-7/0", "key/batch-7/2"}; !slices.Equal(ids, want) {
		t.Errorf("%q", ids)
	}
	if status, _ := b.post("/ingest/v1", "text/plain", "x", "Idempotency-Key", strings.Repeat("k", 300)); status != 400 {
		t.Errorf("a long key: %d", status)
	}
}

func TestPacked(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Limits: webbody.Limits{MaxDecoded: 1 << 20}})
	var gz, zs bytes.Buffer
	g := gzip.NewWriter(&gz)
	io.WriteString(g, `{"a":1}`)
	g.Close()
	z, _ := zstd.NewWriter(&zs)
	io.WriteString(z, `{"b":2}`)
	z.Close()
	for encoding, body := range map[string]string{"gzip": gz.String(), "zstd": zs.String()} {
		if status, a := b.post("/ingest/v1", "application/json", body, "Content-Encoding", encoding); status != 200 || a.Accepted != 1 {
			t.Errorf("%s: %d %+v", encoding, status, a)
		}
	}
	if status, _ := b.post("/ingest/v1", "application/json", gz.String()[:10], "Content-Encoding", "gzip"); status != 400 {
		t.Errorf("damaged gzip: %d", status)
	}
	gz.Reset()
	g.Reset(&gz)
	g.Write(make([]byte, 2<<20))
	g.Close()
	if status, _ := b.post("/ingest/v1", "application/json", gz.String(), "Content-Encoding", "gzip"); status != 413 {
		t.Errorf("a bomb: %d", status)
	}
}

func TestStoreRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	for _, c := range []struct {
		err    error
		status int
	}{{intake.ErrFull, 429}, {&intake.OverQuota{Tenant: "egov", Until: time.Now().Add(time.Hour)}, 429}, {errors.New("the disk is gone"), 503}} {
		b.sink.Refuse(c.err)
		if status, a := b.post("/ingest/v1", "text/plain", "x"); status != c.status || a.Accepted != 0 || len(a.Errors) != 1 {
			t.Errorf("%v: %d %+v", c.err, status, a)
		}
	}
}

func TestLongEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	if status, a := b.post("/ingest/v1", "application/json", `{"a":"`+strings.Repeat("x", intake.MaxData)+`"}`); status != 200 || a.Accepted != 1 {
		t.Fatalf("%d %+v", status, a)
	}
	if r := b.sink.Records()[0]; r.Format != intake.Line || r.Aside == "" || len(r.Data) != intake.MaxData {
		t.Errorf("format %d, aside %q, %d bytes", r.Format, r.Aside, len(r.Data))
	}
}

const event = `{"specversion":"1.0","id":"A234","source":"/orders","type":"gov.example.order","subject":null,"time":"2026-11-26T08:00:00.5+08:00","datacontenttype":"application/json","trace1":7`

func TestCloudEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	attrs := []intake.Attr{{Name: "cloudevents.datacontenttype", Value: "application/json"}, {Name: "cloudevents.id", Value: "A234"}, {Name: "cloudevents.source", Value: "/orders"},
		{Name: "cloudevents.time", Value: "2026-11-26T08:00:00.5+08:00"}, {Name: "cloudevents.trace1", Value: "7"}, {Name: "cloudevents.type", Value: "gov.example.order"}}
	check := func(name, kind, body string, headers []string, format intake.Format, data string, attrs []intake.Attr) {
		t.Helper()
		before := len(b.sink.Records())
		status, a := b.post("/ingest/v1", kind, body, headers...)
		if status != 200 || a.Accepted != 1 {
			t.Errorf("%s: %d %+v", name, status, a)
			return
		}
		r := b.sink.Records()[before]
		if r.Format != format || string(r.Data) != data || r.ID != "ce//orders/A234" || r.Time != time.Date(2026, 11, 26, 0, 0, 0, 5e8, time.UTC).UnixNano() || !slices.Equal(r.Attrs, attrs) {
			t.Errorf("%s: %q, %+v", name, r.Data, r)
		}
	}
	const structured, batch = "application/cloudevents+json; charset=UTF-8", "application/cloudevents-batch+json"
	check("object", structured, event+`,"data":{"order": 1}}`, nil, intake.JSON, `{"order": 1}`, attrs)
	check("batch", batch, "["+event+`,"data":{"order": 1}}]`, nil, intake.JSON, `{"order": 1}`, attrs)
	check("text", structured, event+`,"data":"a \"line\""}`, nil, intake.Line, `a "line"`, attrs)
	check("packed", structured, event+`,"data_base64":"eyJhIjoxfQ=="}`, nil, intake.JSON, `{"a":1}`, attrs)
	check("array", structured, event+`,"data":[1]}`, nil, intake.Line, `[1]`, attrs)
	check("no data", structured, event+`}`, nil, intake.JSON, event+`}`, attrs)
	check("bytes", structured, event+`,"data_base64":"/wA="}`, nil, intake.Line, `/wA=`, slices.Insert(slices.Clone(attrs), 0, intake.Attr{Name: "cloudevents.data_encoding", Value: "base64"}))
	headers := []string{"ce-specversion", "1.0", "ce-id", "A234", "ce-source", "/orders", "ce-type", "gov.example.order", "ce-time", "2026-11-26T08:00:00.5+08:00", "ce-trace1", "7"}
	check("binary", "application/json", `{"order": 1}`, headers, intake.JSON, `{"order": 1}`, attrs)
	// Beyond ASCII, values travel percent-encoded.
	_, _ = b.post("/ingest/v1", "text/plain", `x`, append(headers, "ce-subject", "%E5%8D%97%E4%BA%AC")...)
	if r := b.sink.Records(); !slices.Contains(r[len(r)-1].Attrs, intake.Attr{Name: "cloudevents.subject", Value: "南京"}) {
		t.Errorf("%+v", r[len(r)-1].Attrs)
	}
	for body, want := range map[string]string{
		`{"specversion":"0.3","id":"1","source":"s","type":"t"}`:                           "specversion is 0.3; 1.0 is read",
		`{"id":"1","source":"s","type":"t"}`:                                               "specversion is missing; 1.0 is expected",
		`{"specversion":"1.0","id":"","source":"s","type":"t"}`:                            "id is missing or empty",
		`{"specversion":"1.0","id":"1","type":"t"}`:                                        "source is missing or empty",
		`{"specversion":"1.0","id":"1","source":"s"}`:                                      "type is missing or empty",
		`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"now"}`:              "time is now; one as 2026-11-26T08:00:00Z (RFC 3339) is expected",
		`{"specversion":"1.0","id":"1","source":"s","type":"t","Upper":"x"}`:               "the attribute Upper has a name of other characters than a to z and 0 to 9",
		`{"specversion":"1.0","id":"1","source":"s","type":"t","ext":{}}`:                  "the attribute ext is an object; attributes are texts, numbers or true and false",
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"?"}`:         "data_base64 is not base64: illegal base64 data at input byte 0",
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":""}`: "data and data_base64 exclude each other",
		`{"specversion":"1.0","id":"1","source":"s","type":"t"}{"specversion":"1.0"}`:      "one event is expected; many go as application/cloudevents-batch+json",
		`[]`: "byte 0: one event is expected; an array goes as application/cloudevents-batch+json",
	} {
		if status, a := b.post("/ingest/v1", structured, body); status != 400 || len(a.Errors) != 1 || a.Errors[0].Reason != want {
			t.Errorf("%s: %d %+v", body, status, a)
		}
	}
	if status, a := b.post("/ingest/v1", batch, "["+event+`},{"id":"1"},`+event+`,"data":1}]`); status != 400 || a.Accepted != 2 || a.Refused != 1 || *a.Errors[0].Event != 1 || *a.Errors[0].Offset != int64(len(event))+3 {
		t.Errorf("%d %+v", status, a)
	}
	if status, a := b.post("/ingest/v1", "application/json", "{", headers...); status != 400 || a.Accepted != 0 {
		t.Errorf("JSON that is none: %d %+v", status, a)
	}
	if status, a := b.post("/ingest/v1", "application/json", "{}", headers[:len(headers)-10]...); status != 400 || a.Errors[0].Reason != "id is missing or empty" {
		t.Errorf("no id: %d %+v", status, a)
	}
}

func FuzzPush(f *testing.F) {
	for i, body := range []string{`[{"a":1},{"b":2}]`, "{\"a\":1}\n{}", "x\ny", event + `,"data":"x"}`, "[" + event + `,"data_base64":"eyJhIjoxfQ=="}]`, "<Events><Event>1</Event></Events>"} {
		f.Add(i, []byte(body))
	}
	readers := []func(*work, []byte) error{documents, objectLines, textLines, structured, batched, windowsEvents}
	f.Fuzz(func(t *testing.T, which int, body []byte) {
		w := &work{limit: 100, key: strconv.Itoa(which)}
		err := readers[uint(which)%uint(len(readers))](w, body)
		if err == nil && len(w.records)+w.answer.Refused != w.events {
			t.Fatalf("%d stored and %d refused of %d", len(w.records), w.answer.Refused, w.events)
		}
		for _, r := range w.records {
			if r.ID == "" || r.Format == intake.JSON && !json.Valid(r.Data) {
				t.Fatalf("%+v", r)
			}
		}
	})
}

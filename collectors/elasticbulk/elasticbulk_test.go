package elasticbulk

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esutil"
	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/zstd"

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
	s := &server{app: fiber.New(fiber.Config{BodyLimit: 256 << 20, DisableStartupMessage: true})}
	s.h = New(&s.sink, &s.aside, func(*fiber.Ctx) string { return "tax" }, opts)
	s.h.Mount(s.app)
	return s
}

type response struct {
	Errors bool
	Items  []map[string]struct {
		Index  string `json:"_index"`
		ID     string `json:"_id"`
		Status int
		Result string
		Error  struct{ Type, Reason string }
	}
	Error struct {
		Type, Reason string
		RootCause    []struct{ Type, Reason string } `json:"root_cause"`
	}
	Status int
}

func (s *server) post(t *testing.T, path string, body []byte, header ...string) (int, response) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/x-ndjson")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("X-Elastic-Product") != "Elasticsearch" {
		t.Errorf("no product header on %d", res.StatusCode)
	}
	text, _ := io.ReadAll(res.Body)
	var r response
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("answer %q: %v", text, err)
	}
	return res.StatusCode, r
}

func TestBulk(t *testing.T) {
	t.Parallel()
	s := newServer(Options{Zone: "gov"})
	status, r := s.post(t, "/elastic/_bulk", []byte(`{"create":{"_index":"logs-app","_id":"1"}}
{"message":"one"}
{"index":{"_index":"logs-app"}}
{"message":"two"}

{"create":{"_index":"logs-app","_id":7}}
{"message": truncated
{"delete":{"_index":"logs-app","_id":"1"}}
{"update":{"_index":"logs-app","_id":"1"}}
{"doc":{"a":1}}
{"create":{"_index":"Bad Name"}}
{"message":"three"}
{"index":{"_index":"logs-app"}}
["not","an object"]
{"index":{"_index":"logs-app"}}
{"message":"last, without a line end"}`))
	if status != 200 || !r.Errors || len(r.Items) != 8 {
		t.Fatalf("status %d, %+v", status, r)
	}
	type verdict struct {
		action string
		status int
		kind   string
	}
	want := []verdict{{"create", 201, ""}, {"index", 201, ""}, {"create", 400, "document_parsing_exception"}, {"delete", 400, "illegal_argument_exception"},
		{"update", 400, "illegal_argument_exception"}, {"create", 400, "invalid_index_name_exception"}, {"index", 400, "document_parsing_exception"}, {"index", 201, ""}}
	for i, w := range want {
		it, ok := r.Items[i][w.action]
		if !ok || it.Status != w.status || it.Error.Type != w.kind || it.ID == "" || w.status == 201 && it.Result != "created" || w.status == 400 && it.Error.Reason == "" {
			t.Errorf("item %d: %+v, want %+v", i, r.Items[i], w)
		}
	}
	if r.Items[2]["create"].ID != "7" {
		t.Errorf("a numeric _id became %q", r.Items[2]["create"].ID)
	}
	recs := s.sink.Records()
	if got := s.sink.Texts(); s.sink.Calls() != 1 || !slices.Equal(got, []string{`{"message":"one"}`, `{"message":"two"}`, `{"message":"last, without a line end"}`}) {
		t.Fatalf("stored %q in %d calls", got, s.sink.Calls())
	}
	if recs[0].ID != "logs-app/1" || recs[1].ID != "" || recs[0].Tenant != "tax" || recs[0].Zone != "gov" || recs[0].Format != intake.JSON ||
		!slices.Equal(recs[0].Attrs, []intake.Attr{{Name: "icewatch.index", Value: "logs-app"}}) {
		t.Errorf("records %+v", recs)
	}
	if h := s.h.Health(); h.Received != 3 || h.Rejected != 5 {
		t.Errorf("health %+v", h)
	}
}

func TestIndexFromThePath(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	if status, r := s.post(t, "/elastic/logs-web/_bulk", []byte("{\"index\":{}}\r\n{\"a\":1}\r\n{\"index\":{\"_index\":\"other\"}}\r\n{\"a\":2}\r\n")); status != 200 || r.Errors {
		t.Fatalf("%d %+v", status, r)
	}
	recs := s.sink.Records()
	if recs[0].Attrs[0].Value != "logs-web" || recs[1].Attrs[0].Value != "other" || string(recs[0].Data) != `{"a":1}` {
		t.Errorf("records %+v", recs)
	}
}

// TestFilterPath asks as Beats do: for what went wrong only.
func TestFilterPath(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	req := httptest.NewRequest(http.MethodPost, "/elastic/_bulk?filter_path=errors%2Citems.%2A.error%2Citems.%2A.status&refresh=true&pipeline=none",
		strings.NewReader("{\"create\":{\"_index\":\"a\"}}\n{\"x\":1}\n{\"delete\":{\"_index\":\"a\",\"_id\":\"1\"}}\n"))
	res, err := s.app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	want := `{"errors":true,"items":[{"create":{"status":201}},{"delete":{"error":{"reason":"delete is not supported: stored events cannot be changed","type":"illegal_argument_exception"},"status":400}}]}`
	if string(text) != want {
		t.Errorf("got %s\nwant %s", text, want)
	}
}

// TestARepeatedCreateIsTaken: the copy is left out later, by its id, so that a
// shipper that sends again after a broken connection is not told of an error.
func TestARepeatedCreateIsTaken(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	for range 2 {
		if status, r := s.post(t, "/elastic/_bulk", []byte("{\"create\":{\"_index\":\"a\",\"_id\":\"7\"}}\n{\"x\":1}\n")); status != 200 || r.Errors || r.Items[0]["create"].Status != 201 {
			t.Fatalf("%d %+v", status, r)
		}
	}
	if recs := s.sink.Records(); len(recs) != 2 || recs[0].ID != "a/7" || recs[1].ID != "a/7" {
		t.Errorf("records %+v", recs)
	}
}

func TestADocumentWithoutAnIndexIsTaken(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	status, r := s.post(t, "/elastic/_bulk", []byte("{\"create\":{\"_id\":\"7\"}}\n{\"message\":\"x\"}\n"))
	if status != 200 || r.Errors || len(r.Items) != 1 || r.Items[0]["create"].Index != "logs" || r.Items[0]["create"].ID != "7" {
		t.Fatalf("status %d, %+v", status, r)
	}
}

func TestMalformedRequestsStoreNothing(t *testing.T) {
	t.Parallel()
	s := newServer(Options{Limits: webbody.Limits{MaxBody: 4096, MaxDecoded: 8192}, MaxItems: 3})
	good := "{\"index\":{\"_index\":\"a\"}}\n{\"x\":1}\n"
	f := func(body string, status int, reason string, header ...string) {
		t.Helper()
		got, r := s.post(t, "/elastic/_bulk", []byte(body), header...)
		if got != status || !strings.Contains(r.Error.Reason, reason) || r.Status != status || len(r.Error.RootCause) != 1 || r.Error.Type == "" {
			t.Errorf("%.60q: status %d, %+v", body, got, r)
		}
	}
	f(good+"{\"index\":{\"_index\":\n{}\n", 400, "line [3]")
	f(good+"not json\n{}\n", 400, "line [3]")
	f(good+"[]\n{}\n", 400, "line [3]")
	f(good+"{\"insert\":{}}\n{}\n", 400, "[insert]")
	f(good+"{\"index\":{},\"create\":{}}\n{}\n", 400, "exactly one action")
	f(good+"{\"index\":1}\n{}\n", 400, "START_OBJECT")
	f(good+"{\"index\":{\"_index\":\"a\"}}\n", 400, "document")
	f(good+"{\"index\":{\"_index\":\"a\"}}\n\n"+good, 400, "document")
	f("", 400, "required")
	f("\n\n", 400, "required")
	f(strings.Repeat(good, 4), 413, "3 actions")
	f(strings.Repeat("x", 5000), 413, "4096")
	f("xx", 400, "gzip", "Content-Encoding", "gzip")
	f("xx", 415, "br", "Content-Encoding", "br")
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	zw.Write(make([]byte, 1<<20))
	zw.Close()
	f(bomb.String(), 413, "8192", "Content-Encoding", "gzip")
	enc, _ := zstd.NewWriter(nil)
	f(string(enc.EncodeAll(make([]byte, 1<<20), nil)), 413, "8192", "Content-Encoding", "zstd")
	if n := len(s.sink.Records()); n != 0 {
		t.Errorf("%d records were stored", n)
	}
	if status, _ := s.post(t, "/elastic/_bulk", []byte(good)); status != 200 {
		t.Errorf("the server does not go on: %d", status)
	}
}

func TestCompressed(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	body := []byte("{\"index\":{\"_index\":\"a\"}}\n{\"x\":1}\n")
	var gz bytes.Buffer
	zw := gzip.NewWriter(&gz)
	zw.Write(body)
	zw.Close()
	enc, _ := zstd.NewWriter(nil)
	for range 3 { // Readers are reused.
		for encoding, data := range map[string][]byte{"gzip": gz.Bytes(), "zstd": enc.EncodeAll(body, nil), "identity": body} {
			if status, r := s.post(t, "/elastic/_bulk", data, "Content-Encoding", encoding); status != 200 || r.Errors {
				t.Errorf("%s: %d %+v", encoding, status, r)
			}
		}
	}
}

func TestFullAndFailingSink(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	body := []byte("{\"index\":{\"_index\":\"a\"}}\n{\"x\":1}\n")
	s.sink.Refuse(fmt.Errorf("bus: %w", intake.ErrFull))
	if status, r := s.post(t, "/elastic/_bulk", body); status != 429 || r.Error.Type != "es_rejected_execution_exception" {
		t.Errorf("full: %d %+v", status, r)
	}
	s.sink.Refuse(errors.New("disk broken"))
	if status, _ := s.post(t, "/elastic/_bulk", body); status != 503 {
		t.Errorf("failing: %d", status)
	}
	s.sink.Refuse(nil)
	if status, _ := s.post(t, "/elastic/_bulk", body); status != 200 {
		t.Errorf("well again: %d", status)
	}
}

func TestLongDocument(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	doc := `{"message":"` + strings.Repeat("中", 4<<20) + `"}`
	if status, r := s.post(t, "/elastic/_bulk", []byte("{\"index\":{\"_index\":\"a\"}}\n"+doc+"\n")); status != 200 || r.Errors {
		t.Fatalf("%d %+v", status, r)
	}
	rec := s.sink.Records()[0]
	if rec.Format != intake.Line || !slices.Equal(rec.Marks, []string{"truncated"}) || len(rec.Data) > intake.MaxData || !bytes.HasPrefix([]byte(doc), rec.Data) {
		t.Errorf("%d bytes, %q", len(rec.Data), rec.Marks)
	}
	if whole, err := s.aside.Get("tax", rec.Aside); err != nil || string(whole) != doc {
		t.Errorf("aside: %d bytes, %v", len(whole), err)
	}
}

// listen serves over a real socket for real clients.
func listen(t *testing.T, s *server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.app.Listener(l)
	t.Cleanup(func() { s.app.ShutdownWithTimeout(5 * time.Second) })
	return "http://" + l.Addr().String()
}

func TestOfficialClient(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	url := listen(t, s)
	es, err := elasticsearch.NewClient(elasticsearch.Config{Addresses: []string{url + "/elastic"}})
	if err != nil {
		t.Fatal(err)
	}
	indexer, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{Client: es, Index: "logs-test", NumWorkers: 2, FlushBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	const n = 1000
	for i := range n {
		item := esutil.BulkIndexerItem{Action: "create", DocumentID: fmt.Sprint(i), Body: strings.NewReader(fmt.Sprintf(`{"n":%d}`, i))}
		if i == 500 {
			item.Body = strings.NewReader(`{"n":`)
		}
		if err := indexer.Add(context.Background(), item); err != nil {
			t.Fatal(err)
		}
	}
	if err := indexer.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if st := indexer.Stats(); st.NumFailed != 1 || st.NumCreated != n-1 {
		t.Errorf("stats %+v", st)
	}
	if got := len(s.sink.Records()); got != n-1 {
		t.Errorf("%d records", got)
	}
}

// TestAnswersDoNotMix has many clients at once: each must get the verdicts on
// its own documents.
func TestAnswersDoNotMix(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	url := listen(t, s)
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			for round := range 50 {
				var body bytes.Buffer
				for i := range 20 {
					fmt.Fprintf(&body, "{\"create\":{\"_index\":\"a\",\"_id\":\"%d-%d-%d\"}}\n{\"x\":1}\n", client, round, i)
				}
				res, err := http.Post(url+"/elastic/_bulk", "application/x-ndjson", &body)
				if err != nil {
					t.Error(err)
					return
				}
				var r response
				err = json.NewDecoder(res.Body).Decode(&r)
				res.Body.Close()
				if err != nil || len(r.Items) != 20 {
					t.Errorf("%d items, %v", len(r.Items), err)
					return
				}
				for i, it := range r.Items {
					if want := fmt.Sprintf("%d-%d-%d", client, round, i); it["create"].ID != want {
						t.Errorf("got the verdict on %s, want %s", it["create"].ID, want)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// FuzzRead checks that a request is either refused or has a verdict on each
// action, with a record for each success.
func FuzzRead(f *testing.F) {
	f.Add([]byte("{\"index\":{\"_index\":\"a\"}}\n{\"x\":1}\n"))
	f.Add([]byte("{\"delete\":{\"_index\":\"a\",\"_id\":1}}\n\r\n{\"create\":{\"_index\":\"B\"}}\n{"))
	f.Add([]byte("{\"create\":{\"_index\":\"b\",\"_id\":null}}\n[]"))
	h := New(new(collecttest.Sink), nil, nil, Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		var w work
		if r := h.read(&w, body, "", intake.Record{}); r != nil {
			return
		}
		good := 0
		for _, it := range w.items {
			if it.errType == "" {
				good++
			}
		}
		if good != len(w.records) {
			t.Fatalf("%d successes, %d records", good, len(w.records))
		}
		if out := answer(nil, w.items, 0); !json.Valid(out) {
			t.Fatalf("answer %q", out)
		}
	})
}

func BenchmarkBulk(b *testing.B) {
	h := New(new(collecttest.Sink), nil, nil, Options{})
	var body bytes.Buffer
	for i := range 500 {
		fmt.Fprintf(&body, "{\"create\":{\"_index\":\"logs-app\",\"_id\":\"%d\"}}\n{\"@timestamp\":\"2026-11-23T01:00:00Z\",\"message\":\"user logged in\",\"host\":{\"name\":\"web-01\"},\"n\":%d}\n", i, i)
	}
	var w work
	b.ReportAllocs()
	b.SetBytes(int64(body.Len()))
	for b.Loop() {
		w.items, w.records = w.items[:0], w.records[:0]
		if r := h.read(&w, body.Bytes(), "", intake.Record{}); r != nil {
			b.Fatal(r)
		}
		w.out = answer(w.out[:0], w.items, 0)
	}
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "docs/s")
}

package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/elastic/cluster"
	"icewatch/soc/elastic/hits"
	"icewatch/soc/elastic/wire"
	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/veil"
)

// TestWhatIsNotSpokenIsNamed asks for what is not supported, or wrong: each is
// refused in Elasticsearch's form, with what it was in the reason.
func TestWhatIsNotSpokenIsNamed(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	for body, want := range map[string]string{
		`{"query":{"fuzzy":{"user.name":"rot"}}}`:                                                                  "the query [fuzzy]",
		`{"query":{"nested":{"path":"a","query":{"match_all":{}}}}}`:                                               "the query [nested]",
		`{"query":{"script_score":{}}}`:                                                                            "the query [script_score]",
		`{"query":{"term":{"a":1,"b":2}}}`:                                                                         "exactly one",
		`{"query":{"term":{"a":{"value":1,"fuzz":2}}}}`:                                                            "[fuzz] of [term]",
		`{"query":{"term":{"a":{"b":{}}}}}`:                                                                        "no [value]",
		`{"query":{"term":{"host.*":"x"}}}`:                                                                        "the pattern [host.*]",
		`{"query":{"range":{"event.duration":{"gte":"fast"}}}}`:                                                    "fast",
		`{"query":{"range":{"@timestamp":{"gte":"yesterday"}}}}`:                                                   "[yesterday]",
		`{"query":{"range":{"@timestamp":{"gte":"now-1q"}}}}`:                                                      "[now-1q]",
		`{"query":{"range":{"@timestamp":{"gte":"2024-01-01","format":"dd/MM/yyyy"}}}}`:                            "dd/MM/yyyy",
		`{"query":{"range":{"@timestamp":{"gte":"2024-01-01","time_zone":"Mars/Base"}}}}`:                          "Mars/Base",
		`{"query":{"term":{"source.ip":"ten"}}}`:                                                                   "'ten' is not an IP",
		`{"query":{"regexp":{"user.name":"a~b"}}}`:                                                                 "[~]",
		`{"query":{"regexp":{"user.name":"a(b"}}}`:                                                                 "a(b",
		`{"query":{"query_string":{"query":"a:(b"}}}`:                                                              "no closing bracket",
		`{"query":{"query_string":{"query":"a:b)"}}}`:                                                              "closing bracket",
		`{"query":{"query_string":{"query":"roam~1"}}}`:                                                            "[~]",
		`{"query":{"query_string":{"query":"AND a"}}}`:                                                             "nothing before",
		`{"query":{"query_string":{"query":"a:[1 2]"}}}`:                                                           "TO",
		`{"query":{"query_string":{"query":"\"open"}}}`:                                                            "no closing quote",
		`{"query":{"match":{"message":{"query":"a","fuzziness":"AUTO"}}}}`:                                         "[fuzziness] of [match]",
		`{"query":{"match_phrase":{"message":{"query":"a b","slop":2}}}}`:                                          "[slop]",
		`{"query":{"terms":{"user.name":{"index":"x"}}}}`:                                                          "look-up",
		`{"sort":[{"_script":{}}]}`:                                                                                "[_script]",
		`{"sort":["message"]}`:                                                                                     "[message]",
		`{"sort":[{"host.name":"up"}]}`:                                                                            "[up]",
		`{"from":9000,"size":2000}`:                                                                                "Result window",
		`{"size":-1}`:                                                                                              "[size]",
		`{"search_after":[1]}`:                                                                                     "search_after",
		`{"collapse":{"field":"host.name"}}`:                                                                       "[collapse]",
		`{"pit":{"id":"x"}}`:                                                                                       "[pit]",
		`{"colour":1}`:                                                                                             "[colour] of [search]",
		`{"script_fields":{"a":{"script":"1"}}}`:                                                                   "[script_fields]",
		`{"aggs":{"a":{"significant_terms":{"field":"host.name"}}}}`:                                               "[significant_terms]",
		`{"aggs":{"a":{"avg":{"script":"1"}}}}`:                                                                    "[script] of [avg]",
		`{"aggs":{"a":{"avg":{}}}}`:                                                                                "Required one of fields",
		`{"aggs":{"a":{"terms":{"field":"message"}}}}`:                                                             "[message]",
		`{"aggs":{"a":{"terms":{"field":"host.name","order":{"b":"asc"}}}}}`:                                       "[b]",
		`{"aggs":{"a":{"date_histogram":{"field":"@timestamp","calendar_interval":"quarter"}}}}`:                   "[quarter]",
		`{"aggs":{"a":{"date_histogram":{"field":"@timestamp","fixed_interval":"1M"}}}}`:                           "[1M]",
		`{"aggs":{"a":{"date_histogram":{"field":"@timestamp"}}}}`:                                                 "calendar_interval",
		`{"aggs":{"a":{"histogram":{"field":"event.duration","interval":0}}}}`:                                     "[interval]",
		`{"aggs":{"a":{"terms":{"field":"host.name"},"aggs":{"b":{"derivative":{}}}}}}`:                            "[derivative]",
		`{"aggs":{"a":{"avg":{"field":"source.ip"}}}}`:                                                             "[source.ip]",
		`{"aggs":{"a":{"max":{"field":"event.duration"},"aggs":{"b":{"sum":{"field":"x"}}}}}}`:                     "sub-aggregations",
		`{"query":` + strings.Repeat(`{"bool":{"must":`, 40) + `{"match_all":{}}` + strings.Repeat("}}", 40) + `}`: "deeper",
		`{"query":`:   "no JSON object",
		`{} {}`:       "follows",
		`[1,2]`:       "no JSON object",
		`{"query":7}`: "[query] must be an object",
	} {
		status, out := c.call(http.MethodPost, "/_search", body)
		e, _ := out["error"].(map[string]any)
		reason, _ := e["reason"].(string)
		kind, _ := e["type"].(string)
		if causes, _ := e["root_cause"].([]any); status != http.StatusBadRequest || !strings.Contains(reason, want) || kind == "" || out["status"] != 400.0 || len(causes) != 1 {
			t.Errorf("%.120s\n is answered %d %s; want 400 with %q", body, status, brief(out), want)
		}
	}
	for path, want := range map[string]int{"/other:logs/_search": 404, "/%3Clogs-%7Bsoon%7D%3E/_search": 400, "/_search?scroll=1m": 400, "/_nothing": 400, "/none": 404, "/_index_template/none": 404} {
		if status, out := c.call(http.MethodGet, path, ""); status != want || out["error"] == nil {
			t.Errorf("%s: %d %s", path, status, brief(out))
		}
	}
}

// TestReachAndVeil: an answer holds what the caller may see.
func TestReachAndVeil(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	c.send("tax", "logs-a", "1", `{"@timestamp":"2024-03-01T00:00:00Z","message":"hello","user":{"name":"li"},"n":7,"ok":true}`)
	c.send("hall", "logs-a", "2", `{"@timestamp":"2024-03-01T00:00:01Z","message":"hello","user":{"name":"wang"}}`)
	c.send("hall", "", "", `{"@timestamp":"2024-03-01T00:00:02Z","message":"hello","event":{"dataset":"nginx.access"}}`)
	c.settle()
	count := func(path, body string) any {
		t.Helper()
		status, out := c.call(http.MethodPost, path+"/_count", body)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, brief(out))
		}
		return out["count"]
	}
	for path, want := range map[string]float64{"": 3, "/logs-a": 2, "/logs-*": 3, "/logs-nginx.access-hall": 1, "/logs-nginx.*": 1, "/logs-*-hall": 1, "/*,-logs-a": 1, "/filebeat-*": 0, "/_all": 3} {
		if got := count(path, `{}`); got != want {
			t.Errorf("%s: %v events, want %v", path, got, want)
		}
	}
	_, out := c.call(http.MethodGet, "/_cat/indices?format=json", "")
	_ = out
	if status, out := c.call(http.MethodGet, "/_resolve/index/logs-*", ""); status != 200 || len(out["indices"].([]any)) != 2 {
		t.Errorf("resolve: %d %s", status, brief(out))
	}
	status, hit := c.call(http.MethodGet, "/logs-a/_doc/1", "")
	source, _ := hit["_source"].(map[string]any)
	if status != 200 || hit["_id"] != "1" || hit["_index"] != "logs-a" || source["n"] != 7.0 || source["ok"] != true {
		t.Errorf("the document: %d %s", status, brief(hit))
	}
	status, caps := c.call(http.MethodGet, "/logs-*/_field_caps?fields=user.*,@timestamp,message", "")
	fields, _ := caps["fields"].(map[string]any)
	if status != 200 || fields["user.name"] == nil || fields["@timestamp"] == nil || fields["event.dataset"] != nil {
		t.Errorf("field caps: %d %s", status, brief(caps))
	}
	if status, out := c.call(http.MethodGet, "/logs-a/_mapping", ""); status != 200 || !strings.Contains(brief(out), `"name":{"type":"keyword"}`) || !strings.Contains(brief(out), `"@timestamp":{"type":"date"}`) {
		t.Errorf("mapping: %d %s", status, brief(out))
	}
	c.reach = reach.Tenants("tax")
	if got := count("", `{"query":{"match":{"message":"hello"}}}`); got != 1.0 {
		t.Errorf("a tenant's reach counts %v", got)
	}
	if status, _ := c.call(http.MethodGet, "/logs-a/_doc/2", ""); status != http.StatusNotFound {
		t.Errorf("another tenant's document: %d", status)
	}
	_, out = c.call(http.MethodPost, "/_search", `{"size":0,"aggs":{"u":{"terms":{"field":"user.name"}}}}`)
	if text := brief(out); strings.Contains(text, "wang") || !strings.Contains(text, `"li"`) {
		t.Errorf("terms within a tenant: %s", text)
	}
	hidden, err := veil.New([]veil.Rule{{Fields: []string{"user.name"}, Method: veil.Full}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.reach = reach.Tenants("tax").WithVeil(hidden)
	if got := count("", `{"query":{"term":{"user.name":"li"}}}`); got != 0.0 {
		t.Errorf("a masked value is found %v times", got)
	}
	_, out = c.call(http.MethodPost, "/_search", `{"size":0,"aggs":{"u":{"terms":{"field":"user.name"}}}}`)
	if text := brief(out); strings.Contains(text, `"li"`) {
		t.Errorf("a masked value is counted by its name: %s", text)
	}
	c.reach = reach.None()
	if got := count("", "{}"); got != 0.0 {
		t.Errorf("nothing may be seen, yet %v are", got)
	}
}

// TestPagesDoNotOverlap pages by time and id through events of one time.
func TestPagesDoNotOverlap(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	for i := range 25 {
		c.send("tax", "logs-a", fmt.Sprint(i), fmt.Sprintf(`{"@timestamp":"2024-03-01T00:00:0%dZ","message":"m"}`, i/10))
	}
	c.settle()
	for _, order := range []string{"asc", "desc"} {
		seen := map[string]bool{}
		after := ""
		for range 20 {
			_, out := c.call(http.MethodPost, "/_search", fmt.Sprintf(`{"size":4,"_source":false,"sort":[{"@timestamp":%q},{"_doc":%q}]%s}`, order, order, after))
			hits, _ := out["hits"].(map[string]any)["hits"].([]any)
			if len(hits) == 0 {
				break
			}
			for _, h := range hits {
				id, _ := h.(map[string]any)["_id"].(string)
				if seen[id] {
					t.Fatalf("%s: %s comes twice", order, id)
				}
				seen[id] = true
				last, _ := json.Marshal(h.(map[string]any)["sort"])
				after = `,"search_after":` + string(last)
			}
		}
		if len(seen) != 25 {
			t.Errorf("%s: %d of 25 events", order, len(seen))
		}
	}
}

// TestHighlightMarksOnce: what is marked is not looked at again.
func TestHighlightMarksOnce(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	c.send("tax", "logs-a", "1", `{"@timestamp":"2024-03-01T00:00:00Z","message":"em login login","user":{"name":"em"}}`)
	c.settle()
	_, out := c.call(http.MethodPost, "/_search", `{"query":{"match":{"message":"login em"}},"highlight":{"fields":{"*":{}}}}`)
	if text := fmt.Sprint(out); !strings.Contains(text, "highlight:map[message:[<em>em</em> <em>login</em> <em>login</em>]]") {
		t.Errorf("got %s", text)
	}
}

// TestClusterKeepsToTheScope: another cluster is asked for what the caller may
// see, or not at all.
func TestClusterKeepsToTheScope(t *testing.T) {
	t.Parallel()
	var asked []map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		if user, password, _ := r.BasicAuth(); user != "reader" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":{"type":"security_exception","reason":"who"},"status":401}`))
			return
		}
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		asked = append(asked, body)
		_, _ = w.Write([]byte(`{"took":1,"hits":{"total":{"value":1,"relation":"eq"},"hits":[{"_index":"logs-x","_id":"1"}]}}`))
	}))
	t.Cleanup(server.Close)
	c := newCity(t, cluster.Config{Name: "old", URLs: []string{server.URL}, Username: "reader", Password: "secret", Indices: []string{"logs-*"}, TenantField: "org.tenant"},
		cluster.Config{Name: "wild", URLs: []string{server.URL}, Username: "reader", Password: "secret"},
		cluster.Config{Name: "shut", URLs: []string{server.URL}, Username: "reader", Password: "wrong"},
		cluster.Config{Name: "down", URLs: []string{"http://127.0.0.1:1"}})
	status, out := c.call(http.MethodPost, "/old:logs-x/_search", `{"query":{"term":{"a":"b"}}}`)
	if status != 200 || !strings.Contains(brief(out), `"_index":"old:logs-x"`) || brief(asked[0]["query"]) != `{"bool":{"must":[{"term":{"a":"b"}}]}}` {
		t.Errorf("%d %s, asked %s", status, brief(out), brief(asked))
	}
	c.reach = reach.Tenants("hall", "tax")
	if status, _ = c.call(http.MethodPost, "/old:logs-x/_search", `{}`); status != 200 || brief(asked[1]["query"]) != `{"bool":{"filter":{"terms":{"org.tenant":["hall","tax"]}}}}` {
		t.Errorf("%d, asked %s", status, brief(asked))
	}
	expect := func(path string, want int) {
		t.Helper()
		if status, out := c.call(http.MethodPost, path, "{}"); status != want || out["error"] == nil {
			t.Errorf("%s: %d %s, want %d", path, status, brief(out), want)
		}
	}
	expect("/wild:logs-x/_search", 403)
	expect("/old:other/_search", 403)
	expect("/old:logs-x,here/_search", 400)
	c.reach = reach.Tenants("tax").WithLogs(`log.level:error`)
	expect("/old:logs-x/_search", 403)
	c.reach = reach.None()
	expect("/old:logs-x/_search", 403)
	c.reach = reach.All()
	expect("/shut:logs-x/_search", 401)
	expect("/down:logs-x/_search", 502)
	if len(asked) != 2 {
		t.Errorf("asked %d times", len(asked))
	}
}

// TestShippersReadBack: what is put is there until it is deleted, within bounds.
func TestShippersReadBack(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	for _, step := range []struct {
		method, path, body string
		want               int
		holds              string
	}{
		{"HEAD", "/_index_template/a", "", 404, ""},
		{"PUT", "/_index_template/a", `{"index_patterns":["a-*"]}`, 200, `"acknowledged":true`},
		{"HEAD", "/_index_template/a", "", 200, ""},
		{"GET", "/_index_template/a", "", 200, `{"index_templates":[{"index_template":{"index_patterns":["a-*"]},"name":"a"}]}`},
		{"PUT", "/_index_template/a?create=true", `{}`, 400, "already exists"},
		{"PUT", "/_index_template/b", `{`, 400, "no JSON object"},
		{"PUT", "/_index_template/b", `{"x":"` + strings.Repeat("x", 512<<10) + `"}`, 413, "512 KiB"},
		{"PUT", "/_ilm/policy/p", `{"policy":{"phases":{}}}`, 200, `"acknowledged":true`},
		{"GET", "/_ilm/policy/p", "", 200, `"policy":{"phases":{}}`},
		{"PUT", "/_ingest/pipeline/filebeat-x", `{"processors":[]}`, 200, ""},
		{"GET", "/_ingest/pipeline/filebeat-*", "", 200, `{"filebeat-x":{"processors":[]}}`},
		{"DELETE", "/_ingest/pipeline/filebeat-x", "", 200, ""},
		{"DELETE", "/_ingest/pipeline/filebeat-x", "", 404, ""},
		{"HEAD", "/logstash-000001", "", 404, ""},
		{"PUT", "/logstash-000001", `{"aliases":{"logstash":{"is_write_index":true}}}`, 200, `"index":"logstash-000001"`},
		{"HEAD", "/logstash-000001", "", 200, ""},
		{"PUT", "/logstash-000001", `{}`, 400, "resource_already_exists_exception"},
		{"GET", "/_alias/logstash", "", 200, `{"logstash-000001":{"aliases":{"logstash":{"is_write_index":true}}}}`},
		{"HEAD", "/_alias/none", "", 404, ""},
		{"HEAD", "/logstash", "", 200, ""},
		{"PUT", "/%3Cfilebeat-%7Bnow%2Fd%7Byyyy%7D%7D-000001%3E", "{}", 200, `"index":"filebeat-` + time.Now().UTC().Format("2006") + `-000001"`},
		{"PUT", "/%3Cfilebeat-%7Bnow%2Fd-000001%3E", "{}", 400, "invalid_index_name_exception"},
		{"PUT", "/_data_stream/filebeat-8.19.0", "", 200, ""},
		{"GET", "/_data_stream/filebeat-8.19.0", "", 200, `"name":"filebeat-8.19.0"`},
		{"PUT", "/a*b", "{}", 400, "invalid_index_name_exception"},
	} {
		status, out := c.call(step.method, step.path, step.body)
		if status != step.want || step.holds != "" && !strings.Contains(brief(out), step.holds) {
			t.Errorf("%s %s: %d %s, want %d with %s", step.method, step.path, status, brief(out), step.want, step.holds)
		}
	}
}

// FuzzSearch checks that no request makes the compiler panic, or give LogsQL
// that the lake cannot read.
func FuzzSearch(f *testing.F) {
	for _, g := range readGolden(f, "searches.json") {
		if b, err := json.Marshal(g.Body); err == nil {
			f.Add(b)
		}
	}
	clock := func() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) } // one that moves on looks like new coverage
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := wire.Decode(body)
		if err != nil {
			return
		}
		asked := reader{t: t}
		s := &Server{Options: Options{Store: asked, Now: clock}, lake: &hits.Lake{Store: asked, Now: clock}}
		r, err := s.readRequest(nil, m, []string{"logs-*"})
		if err != nil {
			return
		}
		if _, err := logstorage.ParseFilter(r.Filter); err != nil {
			t.Fatalf("%q is no filter: %v", r.Filter, err)
		}
		_, _ = s.lake.Hits(context.Background(), reach.All(), r.Page)
	})
}

// reader is a store without rows that checks that it is asked in LogsQL.
type reader struct {
	t *testing.T
	search.Store
}

// Query implements search.Store.
func (r reader) Query(_ context.Context, req search.Request, _ func([]byte) error) error {
	if _, err := logstorage.ParseQuery(req.Query); err != nil {
		r.t.Fatalf("%q is no query: %v", req.Query, err)
	}
	return nil
}

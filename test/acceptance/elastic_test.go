package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/typedapi/types"

	"icewatch/soc/client"
	"icewatch/soc/reach/reachtest"
)

// said is one request of a recorded conversation with what its client goes by in
// the answer.
type said struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
	Lines   []json.RawMessage `json:"lines"` // a body of lines
	Status  int               `json:"status"`
	Answer  any               `json:"answer"` // what must be in it
}

// TestShippersStart replays what shippers say to Elasticsearch from their start
// to their first documents, twice: they start again and find what they set up.
func TestShippersStart(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	// Each ships for a tenant of its own: what one sets up is not there for others.
	for shipper, tenant := range map[string]string{"filebeat-7.17": "e-licence", "filebeat-8.19": "e-seal", "logstash-8.19": "one-id-service", "vector-0.40": "grid-management", "fluent-bit-3.1": "handling-centre"} {
		key := s.token(tenant, "ingest").Options().Token
		b, err := os.ReadFile("testdata/elastic/" + shipper + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var conversation []said
		if err := json.Unmarshal(b, &conversation); err != nil {
			t.Fatalf("%s: %v", shipper, err)
		}
		for _, x := range conversation {
			body := []byte(x.Body)
			for _, l := range x.Lines {
				body = append(append(body, l...), '\n')
			}
			req, err := http.NewRequest(x.Method, s.url+"/elastic"+x.Path, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth(tenant, key)
			req.Header.Set("Content-Type", "application/json")
			for name, v := range x.Headers {
				req.Header.Set(name, v)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != x.Status || resp.Header.Get("X-Elastic-Product") != "Elasticsearch" {
				t.Errorf("%s: %s %s: %d %s, want %d", shipper, x.Method, x.Path, resp.StatusCode, text, x.Status)
			}
			if x.Answer == nil {
				continue
			}
			var answer any
			if err := json.Unmarshal(text, &answer); err != nil || !holds(answer, x.Answer) {
				t.Errorf("%s: %s %s: %s, want %v in it", shipper, x.Method, x.Path, text, x.Answer)
			}
		}
		s.expect(`"said by `+shipper+`"`, 2, 20*time.Second)
	}
}

// holds tells whether an answer has all that is wanted of it.
func holds(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		for name, v := range want {
			ok = ok && holds(m[name], v)
		}
		return ok
	case []any:
		l, ok := got.([]any)
		ok = ok && len(l) >= len(want)
		for i := range want {
			ok = ok && holds(l[i], want[i])
		}
		return ok
	}
	return got == want
}

// TestElasticsearchsOwnClientSearches uses the official client, typed, as
// scripts do.
func TestElasticsearchsOwnClientSearches(t *testing.T) {
	t.Parallel()
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"failed":0},"hits":{"total":{"value":1,"relation":"eq"},"hits":[{"_index":"old-1","_id":%q}]}}`, body)
	}))
	t.Cleanup(cluster.Close)
	s := newSuite(t, fmt.Sprintf("elastic:\n  clusters:\n    - name: old\n      urls: [%s]\n      tenant_field: org.tenant\n", cluster.URL))
	ctx := context.Background()
	var docs []map[string]any
	at := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
	for i := range 120 {
		docs = append(docs, map[string]any{"@timestamp": at.Add(time.Duration(i) * time.Minute).Format(time.RFC3339Nano), "message": fmt.Sprintf("request %d failed", i),
			"host": map[string]any{"name": []string{"a", "b", "c"}[i%3]}, "event": map[string]any{"duration": i * 1000, "dataset": "app.web"}})
	}
	s.bulk("e-licence", docs...)
	s.bulk("e-seal", docs[:7]...)
	s.expect("request failed", 127, 20*time.Second)
	es, err := elasticsearch.NewTypedClient(elasticsearch.Config{Addresses: []string{s.url + "/elastic"}, Username: "e-licence", Password: s.token("e-licence", "read").Options().Token})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := es.Info().Do(ctx); err != nil || info.Tagline != "You Know, for Search" {
		t.Fatalf("info: %+v %v", info, err)
	}
	terms, interval := "host.name", "1h"
	field, duration := "@timestamp", "event.duration"
	out, err := es.Search().Index("app").Query(&types.Query{Match: map[string]types.MatchQuery{"message": {Query: "failed"}}}).Size(3).
		Aggregations(map[string]types.Aggregations{
			"hosts": {Terms: &types.TermsAggregation{Field: &terms}, Aggregations: map[string]types.Aggregations{"d": {Max: &types.MaxAggregation{Field: &duration}}}},
			"time":  {DateHistogram: &types.DateHistogramAggregation{Field: &field, FixedInterval: interval}},
		}).Do(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if out.Hits.Total.Value != 120 || len(out.Hits.Hits) != 3 || !strings.Contains(string(out.Hits.Hits[0].Source_), "request 119 failed") || out.Hits.Hits[0].Index_ != "app" {
		t.Errorf("hits %+v", out.Hits)
	}
	hosts, ok := out.Aggregations["hosts"].(*types.StringTermsAggregate)
	if !ok {
		t.Fatalf("hosts: %T", out.Aggregations["hosts"])
	}
	buckets, _ := hosts.Buckets.([]types.StringTermsBucket)
	if len(buckets) != 3 || buckets[0].DocCount != 40 {
		t.Fatalf("hosts %+v", buckets)
	}
	if most, ok := buckets[2].Aggregations["d"].(*types.MaxAggregate); !ok || most.Value == nil || *most.Value != 119000 {
		b, _ := json.Marshal(out.Aggregations)
		t.Errorf("hosts %s", b)
	}
	hours, _ := out.Aggregations["time"].(*types.DateHistogramAggregate).Buckets.([]types.DateHistogramBucket)
	if len(hours) != 2 || hours[0].DocCount != 60 {
		t.Errorf("hours %+v", hours)
	}
	if n, err := es.Count().Do(ctx); err != nil || n.Count < 120 {
		t.Errorf("count: %+v %v", n, err)
	}
	caps, err := es.FieldCaps().Fields("host.*", "event.duration").Do(ctx)
	if err != nil || len(caps.Fields["event.duration"]) != 1 || caps.Fields["host.name"]["keyword"].Aggregatable != true {
		t.Errorf("field caps: %+v %v", caps, err)
	}
	_, err = es.Search().Query(&types.Query{Fuzzy: map[string]types.FuzzyQuery{"host.name": {Value: "a"}}}).Do(ctx)
	if e, ok := err.(*types.ElasticsearchError); !ok || e.Status != 400 || e.ErrorCause.Reason == nil || !strings.Contains(*e.ErrorCause.Reason, "[fuzzy]") {
		t.Errorf("a query that is not spoken: %v", err)
	}
	ask := func(token, path string, want int) string {
		t.Helper()
		return string(s.call(token, http.MethodPost, "/elastic"+path, `{"size":1}`, want, nil))
	}
	ask("", "/_search", 401)
	ask(s.token("e-licence", "ingest").Options().Token, "/_search", 403)
	s.call(s.token("e-licence", "read").Options().Token, http.MethodPut, "/elastic/_index_template/x", "{}", 403, nil)
	s.call(s.token("e-licence", "read").Options().Token, http.MethodGet, "/elastic/_license", "", 200, nil)
	if got := ask(s.token("e-seal", "read").Options().Token, "/app/_search", 200); !strings.Contains(got, `"value":7`) {
		t.Errorf("another tenant finds %s", got)
	}
	if got := ask(s.token("e-licence", "read").Options().Token, "/old:old-*/_search", 200); !strings.Contains(got, `terms`) || !strings.Contains(got, `e-licence`) || !strings.Contains(got, `"_index":"old:old-1"`) {
		t.Errorf("a cluster is asked %s", got)
	}
}

// elastic compares what Elasticsearch's API shows of a scope with what there is.
func (c *city) elastic(viewer *client.Client, x *reachtest.Term, query string, numbers map[int]bool, users map[string]int) {
	c.t.Helper()
	body, _ := json.Marshal(map[string]any{"size": 10000, "track_total_hits": true, "_source": []string{"test.n"}, "query": map[string]any{"query_string": map[string]any{"query": query}},
		"aggs": map[string]any{"users": map[string]any{"terms": map[string]any{"field": "user.name", "size": 1000}}}})
	var out struct {
		Hits struct {
			Total struct{ Value int }
			Hits  []struct {
				Source struct{ Test struct{ N any } } `json:"_source"`
			}
		}
		Aggregations struct {
			Users struct {
				Buckets []struct {
					Key      string
					DocCount int `json:"doc_count"`
				}
			}
		}
	}
	c.call(viewer.Options().Token, http.MethodPost, "/elastic/_search", string(body), 200, &out)
	found := map[int]bool{}
	for _, h := range out.Hits.Hits {
		n, err := strconv.Atoi(fmt.Sprint(h.Source.Test.N))
		if err != nil {
			c.t.Fatalf("an event without its number: %v", h)
		}
		found[n] = true
	}
	counts := map[string]int{}
	for _, b := range out.Aggregations.Users.Buckets {
		counts[b.Key] = b.DocCount
	}
	if !maps.Equal(found, numbers) || out.Hits.Total.Value != len(numbers) || !maps.Equal(counts, users) {
		c.t.Errorf("scope %s\nElasticsearch's API shows of %s %d events, %d in all, users %v\nwant %d, %v", x.Text(), query, len(found), out.Hits.Total.Value, counts, len(numbers), users)
	}
}

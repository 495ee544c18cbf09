package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"icewatch/soc/elastic/cluster"
	"icewatch/soc/elastic/dsl"
	"icewatch/soc/reach"
	"icewatch/test/peers"
)

// TestAnswersAreThoseOfElasticsearch asks what testdata/searches.json holds of
// the documents beside it. The answers in testdata/answers.json are those of a
// real Elasticsearch: TestPeer proves them.
func TestAnswersAreThoseOfElasticsearch(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	c.shop()
	searches := readGolden(t, "searches.json")
	answers := map[string]any{}
	for _, g := range readGolden(t, "answers.json") {
		answers[g.Name] = g.Answer
	}
	for _, g := range searches {
		t.Run(g.Name, func(t *testing.T) {
			body := g.text()
			status, out := c.call(http.MethodPost, "/"+g.Path, body)
			if status != http.StatusOK {
				t.Fatalf("status %d: %s\n%s", status, brief(out), body)
			}
			if d := difference("", settled(out), answers[g.Name]); d != "" {
				t.Errorf("%s\n%s", d, body)
			}
		})
	}
	if len(searches) < 40 {
		t.Errorf("only %d searches", len(searches))
	}
}

// TestPeer asks a real Elasticsearch the same. With ICEWATCH_UPDATE=1 it writes
// the answers down.
func TestPeer(t *testing.T) {
	es := peers.StartElasticsearch(t)
	p := &peer{t, es.URL}
	p.shop()
	var answers []golden
	committed := map[string]any{}
	if b, err := os.ReadFile("testdata/answers.json"); err == nil && len(b) > 0 {
		for _, g := range readGolden(t, "answers.json") {
			committed[g.Name] = g.Answer
		}
	}
	update := os.Getenv("ICEWATCH_UPDATE") == "1"
	for _, g := range readGolden(t, "searches.json") {
		status, out := p.call(http.MethodPost, "/"+g.Path, g.text())
		if status != http.StatusOK {
			t.Errorf("%s: status %d: %s", g.Name, status, brief(out))
			continue
		}
		answer, _ := settled(out).(map[string]any)
		answers = append(answers, golden{Name: g.Name, Path: g.Path, Answer: answer})
		if d := difference("", answer, committed[g.Name]); d != "" && !update {
			t.Errorf("%s: %s", g.Name, d)
		}
	}
	if !update {
		clusterOf(t, p)
		return
	}
	var b bytes.Buffer
	b.WriteString("[\n")
	for i, g := range answers {
		line, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		if i+1 < len(answers) {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n")
	if err := os.WriteFile("testdata/answers.json", b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// text is the body as it is sent: an array is lines of JSON.
func (g golden) text() string {
	lines, ok := g.Body.([]any)
	if !ok {
		lines = []any{g.Body}
	}
	var b strings.Builder
	for _, l := range lines {
		line, _ := json.Marshal(l)
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// peer is a real Elasticsearch.
type peer struct {
	t   testing.TB
	url string
}

func (p *peer) call(method, path, body string) (int, map[string]any) {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, out
}

// shop makes the index with the types that fields have here, and fills it.
func (p *peer) shop() {
	p.t.Helper()
	properties := map[string]any{}
	for _, name := range []string{"@timestamp", "message", "event.duration", "event.severity", "source.ip", "source.port", "http.response.status_code"} {
		at := properties
		parts := strings.Split(name, ".")
		for _, part := range parts[:len(parts)-1] {
			inner, ok := at[part].(map[string]any)
			if !ok {
				inner = map[string]any{"properties": map[string]any{}}
				at[part] = inner
			}
			at = inner["properties"].(map[string]any)
		}
		k := string(dsl.TypeOf(name))
		if k == string(dsl.Text) {
			k = "text" // match_only_text is a module that is not published
		}
		at[parts[len(parts)-1]] = map[string]any{"type": k}
	}
	mapping, _ := json.Marshal(map[string]any{"settings": map[string]any{"number_of_shards": 1, "number_of_replicas": 0}, "mappings": map[string]any{"properties": properties,
		"dynamic_templates": []any{map[string]any{"texts": map[string]any{"match_mapping_type": "string", "mapping": map[string]any{"type": "keyword"}}}}}})
	if status, out := p.call(http.MethodPut, "/logs-shop", string(mapping)); status != http.StatusOK {
		p.t.Fatalf("the index: %d %s", status, brief(out))
	}
	var bulk strings.Builder
	for _, d := range documents(p.t) {
		fmt.Fprintf(&bulk, "{\"create\":{\"_id\":%q}}\n%s\n", d.id, d.text)
	}
	if status, out := p.call(http.MethodPost, "/logs-shop/_bulk?refresh=true", bulk.String()); status != http.StatusOK || out["errors"] != false {
		p.t.Fatalf("the documents: %d %s", status, brief(out))
	}
}

// clusterOf asks the real Elasticsearch by way of the suite's API: the answers
// are those that it gives itself, within what the caller may see.
func clusterOf(t *testing.T, p *peer) {
	c := newCity(t, cluster.Config{Name: "old", URLs: []string{p.url}, Indices: []string{"logs-*"}, TenantField: "host.name"})
	for _, g := range readGolden(t, "searches.json") {
		if !strings.HasPrefix(g.Path, "logs-shop/_search") {
			continue
		}
		_, direct := p.call(http.MethodPost, "/"+g.Path, g.text())
		status, out := c.call(http.MethodPost, "/old:"+g.Path, g.text())
		text, _ := json.Marshal(settled(out))
		var plain map[string]any
		if err := json.Unmarshal(bytes.ReplaceAll(text, []byte("old:logs-shop"), []byte("logs-shop")), &plain); err != nil {
			t.Fatal(err)
		}
		if d := difference("", plain, settled(direct)); status != http.StatusOK || d != "" {
			t.Errorf("%s by way of the cluster: %d %s", g.Name, status, d)
		}
	}
	c.reach = reach.Tenants("web-01", "db-01")
	all, one := 0.0, 0.0
	for _, host := range []string{"web-01", "db-01", "web-02"} {
		_, out := c.call(http.MethodPost, "/old:logs-shop/_count", fmt.Sprintf(`{"query":{"term":{"host.name":%q}}}`, host))
		n, _ := out["count"].(float64)
		if all += n; host == "web-02" {
			one = n
		}
	}
	_, out := c.call(http.MethodPost, "/old:logs-shop/_count", "{}")
	if one != 0 || all == 0 || out["count"] != all {
		t.Errorf("confined to two values: %v of all, %v of another; %v", all, one, out)
	}
	if status, out := c.call(http.MethodGet, "/old:logs-shop/_mapping", ""); status != http.StatusOK || out["logs-shop"] == nil {
		t.Errorf("mapping: %d %v", status, out)
	}
	if status, out := c.call(http.MethodPost, "/old:secret/_search", "{}"); status != http.StatusForbidden {
		t.Errorf("an index that is not open: %d %v", status, out)
	}
}

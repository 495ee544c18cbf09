package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

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
			body, _ := json.Marshal(g.Body)
			status, out := c.call(http.MethodPost, "/"+g.Path, string(body))
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
		body, _ := json.Marshal(g.Body)
		status, out := p.call(http.MethodPost, "/"+g.Path, string(body))
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
		k := string(typeOf(name))
		if k == string(text) {
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

package acceptance

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var updateGrafana = flag.Bool("update-grafana-loki", false, "write down what the suite answers to Grafana's requests to Loki")

// grafanaRequests are what Grafana's Loki data source, Explore and Logs
// Drilldown send; START and END are the panel's times in nanoseconds.
var grafanaRequests = []struct{ what, path, query string }{
	{"save and test", "query", "direction=backward&query=vector(1)%2Bvector(1)&time=END"},
	{"build", "status/buildinfo", ""},
	{"names of labels", "labels", "start=START&end=END"},
	{"names of labels of a selector", "labels", "start=START&end=END&query={app=\"shop\"}"},
	{"values of a label", "label/app/values", "start=START&end=END&query={env=\"prod\"}"},
	{"series", "series", "match[]={app=\"shop\"}&start=START&end=END"},
	{"lines of Explore", "query_range", "direction=backward&end=END&limit=1000&query={app=\"shop\"} |= ``&start=START&step=5000ms"},
	{"lines with a parser", "query_range", "direction=backward&end=END&limit=3&query={app=\"shop\"} | json | level=`error`&start=START&step=5000ms"},
	{"context of a line", "query_range", "direction=forward&end=END&limit=2&query={app=\"shop\",env=\"prod\"}&start=START&step=1s"},
	{"volume of logs", "query_range", "direction=backward&end=END&query=sum by (level, detected_level) (count_over_time({app=\"shop\"} |= ``[5m]))&start=START&step=300000ms"},
	{"volume with drop", "query_range", "direction=backward&end=END&query=sum by (level, detected_level) (count_over_time({app=~`.+`} | drop __error__[5m]))&start=START&step=300000ms"},
	{"an instant panel", "query", "direction=backward&limit=1000&query=topk(1, sum by (app) (count_over_time({app=~\".+\"}[30m])))&time=END"},
	{"size of a query", "index/stats", "query={app=\"shop\"}&start=START&end=END"},
	{"volume of the explorer", "index/volume", "query={app=~`.+`}&start=START&end=END&limit=5000&targetLabels=app"},
	{"volume by labels", "index/volume", "query={app=~`.+`}&start=START&end=END&limit=5000&aggregateBy=labels"},
	{"volume over time", "index/volume_range", "query={app=~`.+`}&start=START&end=END&step=900&limit=5000&targetLabels=app"},
	{"detected fields", "detected_fields", "query={app=\"shop\"}&start=START&end=END&line_limit=1000&limit=1000"},
	{"values of a detected field", "detected_field/level/values", "query={app=\"shop\"}&start=START&end=END&limit=100"},
	{"detected labels", "detected_labels", "query={app=~`.+`}&start=START&end=END"},
	{"limits of the explorer", "drilldown-limits", ""},
	{"a query being typed", "query_range", "direction=backward&end=END&limit=1000&query={app=\"shop\"&start=START&step=5000ms"},
	{"formatting", "format_query", "query={app=\"shop\"}|json|level=\"error\""},
}

// TestGrafanaLoki replays Grafana's requests and compares the answers with
// those written down; times are told from the beginning of the data.
func TestGrafanaLoki(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	base := time.Now().Add(-time.Hour).Truncate(time.Hour)
	var values [][]any
	for i := range 12 {
		line := fmt.Sprintf(`{"level":%q,"msg":"order %d","took":"%dms","ok":%t}`, []string{"info", "error", "warn"}[i%3], i, i*10, i%2 == 0)
		values = append(values, []any{strconv.FormatInt(base.Add(time.Duration(i)*150*time.Second+1).UnixNano(), 10), line, map[string]string{"trace_id": fmt.Sprint("t", i%2)}})
	}
	body, _ := json.Marshal(map[string]any{"streams": []any{
		map[string]any{"stream": map[string]string{"app": "shop", "env": "prod"}, "values": values},
		map[string]any{"stream": map[string]string{"app": "cron", "env": "test"}, "values": [][]any{{strconv.FormatInt(base.Add(20*time.Minute).UnixNano(), 10), "nightly job done"}}},
	}})
	if status, answer := post(t, s.token("", "ingest"), "/loki/api/v1/push", map[string]string{"Content-Type": "application/json"}, body); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, answer)
	}
	s.expect(`"icewatch.labels":*`, 13, 20*time.Second)
	reader := s.token("", "read")
	times := strings.NewReplacer("START", strconv.FormatInt(base.UnixNano(), 10), "END", strconv.FormatInt(base.Add(30*time.Minute).UnixNano(), 10))
	var out bytes.Buffer
	for _, x := range grafanaRequests {
		form := url.Values{}
		for pair := range strings.SplitSeq(times.Replace(x.query), "&") {
			name, value, _ := strings.Cut(pair, "=")
			if value, err := url.PathUnescape(value); err == nil && name != "" {
				form.Add(name, value)
			}
		}
		req, err := http.NewRequest(http.MethodGet, s.url+"/loki/api/v1/"+x.path+"?"+form.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+reader.Options().Token)
		req.Header.Set("X-Loki-Response-Encoding-Flags", "categorize-labels")
		req.Header.Set("X-Query-Tags", "Source=grafana")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "# %s\nGET /loki/api/v1/%s?%s\n%d %s\n%s\n\n", x.what, x.path, x.query, resp.StatusCode, resp.Header.Get("Content-Type"), relative(b, base))
	}
	const golden = "testdata/grafana-loki.txt"
	if *updateGrafana {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	a, b := strings.Split(out.String(), "\n\n"), strings.Split(string(want), "\n\n")
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			t.Errorf("no answer for\n%s", b[i])
		case i >= len(b):
			t.Errorf("not written down:\n%s", a[i])
		case a[i] != b[i]:
			t.Errorf("got\n%s\nwant\n%s", a[i], b[i])
		}
	}
}

var timesInAnswers = regexp.MustCompile(`\b1[789]\d{8}(\d{9})?\b`)

// relative is an answer in one order of members, without what no two answers
// share, its times told from base.
func relative(b []byte, base time.Time) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&v) == nil {
		if m, ok := v.(map[string]any); ok {
			for _, name := range []string{"revision", "goVersion"} {
				delete(m, name)
			}
			if data, ok := m["data"].(map[string]any); ok {
				delete(data, "stats")
			}
		}
		var buf bytes.Buffer
		e := json.NewEncoder(&buf)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		_ = e.Encode(v)
		b = buf.Bytes()
	}
	return timesInAnswers.ReplaceAllStringFunc(strings.TrimSpace(string(b)), func(s string) string {
		n, _ := strconv.ParseInt(s, 10, 64)
		if len(s) == 10 {
			n *= 1e9
		}
		return "T+" + time.Unix(0, n).Sub(base).String()
	})
}

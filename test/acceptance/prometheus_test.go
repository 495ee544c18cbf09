package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"icewatch/soc/metrics"
	"icewatch/test/peers"
)

// TestPrometheusScrapesWritesAndReads has a real Prometheus scrape the suite and
// write back to it, a second one read from the suite, and promtool ask it.
func TestPrometheusScrapesWritesAndReads(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	host := strings.TrimPrefix(s.url, "http://")
	reader := s.secret("e-seal", "read")
	writing := peers.StartPrometheus(t, fmt.Sprintf(`global: {scrape_interval: 1s}
scrape_configs:
  - job_name: suite
    authorization: {credentials: %q}
    static_configs: [{targets: [%q]}]
remote_write:
  - url: %s/prometheus/api/v1/write
    authorization: {credentials: %q}
    metadata_config: {send_interval: 1s}
`, s.secret("", "read"), host, s.url, s.secret("e-seal", "ingest")))
	reading := peers.StartPrometheus(t, fmt.Sprintf(`remote_read:
  - url: %s/prometheus/api/v1/read
    read_recent: true
    authorization: {credentials: %q}
`, s.url, reader))

	// The newest samples are on their way still.
	var at string
	raw := func(base, token, query string) map[string]float64 {
		return promAPI(t, base, token, "query", url.Values{"query": {query}, "time": {at}}).values(t)
	}
	const window = `{__name__=~"up|icewatch_bus_records_total|scrape_samples_scraped",job="suite"}[5m]`
	eventually(t, 60*time.Second, "the suite holds what Prometheus scraped", func() error {
		at = fmt.Sprint(time.Now().Unix() - 4)
		theirs := raw(writing.URL, "", window)
		if len(theirs) < 15 {
			time.Sleep(500 * time.Millisecond)
			return fmt.Errorf("%d samples were scraped", len(theirs))
		}
		if d := differ(raw(s.url+"/prometheus", reader, window), theirs); d != "" {
			time.Sleep(500 * time.Millisecond)
			return errors.New(d)
		}
		return nil
	})
	if got := raw(s.url+"/prometheus", reader, `min_over_time(up{job="suite"}[1m])`); len(got) != 1 {
		t.Errorf("up: %v", got)
	}
	// The second Prometheus has nothing of its own.
	for _, query := range []string{window, `count_over_time(up{job="suite"}[5m])`, `sum by (job) (rate(icewatch_bus_records_total{job="suite",instance=~".*:.*"}[1m]))`, `up{job!~"x.*"}`} {
		if d := differ(raw(reading.URL, "", query), raw(writing.URL, "", query)); d != "" {
			t.Errorf("read from the suite, %s:\n\t%s", query, d)
		}
	}
	var described map[string][]struct{ Type, Help string }
	eventually(t, 30*time.Second, "the suite knows the metrics' meaning", func() error {
		a := promAPI(t, s.url+"/prometheus", reader, "metadata", url.Values{"metric": {"icewatch_engine_up"}})
		if err := json.Unmarshal(a.Data, &described); err != nil {
			return err
		}
		if d := described["icewatch_engine_up"]; len(d) != 1 || d[0].Type != "gauge" || d[0].Help == "" {
			return fmt.Errorf("%s", a.Data)
		}
		return nil
	})

	promtool := peer(t, "promtool")
	run := func(base string, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		cmd := exec.Command(promtool, append([]string{"query", args[0]}, append(args[1:len(args)-1:len(args)-1], base, args[len(args)-1])...)...)
		if args[0] == "series" {
			cmd = exec.Command(promtool, append([]string{"query", args[0]}, append(args[1:], base)...)...)
		}
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Errorf("promtool %v: %v %s", args, err, errs.String())
		}
		return out.String()
	}
	ours := fmt.Sprintf("http://e-seal:%s@%s/prometheus", reader, host)
	end := time.Now().Unix() - 4
	for _, args := range [][]string{
		{"instant", "--time=" + at, `up{job="suite"}`}, {"instant", "--time=" + at, "-o", "json", `sum by (job) (up)`}, {"instant", "--time=" + at, `1 + 1`},
		{"range", fmt.Sprint("--start=", end-5), fmt.Sprint("--end=", end), "--step=1s", `up{job="suite"}`},
		{"series", `--match=up`, `--match=icewatch_engine_up`}, {"labels", "job"}, {"labels", "__name__"},
	} {
		a, b := run(ours, args...), run(writing.URL, args...)
		if a != b || a == "" {
			t.Errorf("promtool %v says\n%s\nof Prometheus\n%s", args, a, b)
		}
	}
	// Another tenant sees nothing of it, by any road.
	other := s.secret("alipay-mini-program", "read")
	for _, path := range []string{"series", "labels", "label/__name__/values"} {
		if a := promAPI(t, s.url+"/prometheus", other, path, url.Values{"match[]": {`{__name__!=""}`}}); string(a.Data) != "[]" {
			t.Errorf("another tenant lists %s: %s", path, a.Data)
		}
	}
	if got := raw(s.url+"/prometheus", other, `{__name__!=""}`); len(got) != 0 {
		t.Errorf("another tenant sees %v", got)
	}
	if a := promAPI(t, s.url+"/prometheus", other, "metadata", nil); string(a.Data) != "{}" {
		t.Errorf("another tenant learns %s", a.Data)
	}
}

// numberSamples writes numbered samples, each the value and the time of its
// number, and remembers which were acknowledged.
type numberSamples struct {
	stream string
	acked  []int
	tries  int
}

func (n *numberSamples) run(t *testing.T, s *suite, token string, start time.Time, stop *atomic.Bool) {
	const each = 50
	for first := 0; !stop.Load(); first += each {
		one := metrics.Series{Labels: []metrics.Label{{Name: "__name__", Value: "numbers"}, {Name: "stream", Value: n.stream}}}
		for i := range each {
			one.Samples = append(one.Samples, metrics.Sample{Time: start.UnixMilli() + int64(first+i), Value: float64(first + i)})
		}
		for {
			n.tries++
			code, text := remoteWrite(t, s.url+"/prometheus", token, []metrics.Series{one})
			if code == http.StatusNoContent {
				break
			}
			if code/100 == 4 && code != http.StatusTooManyRequests && code != http.StatusUnauthorized {
				t.Errorf("%s from %d: %d %s", n.stream, first, code, text)
				return
			}
			if stop.Load() {
				return // not acknowledged: it may be there or not
			}
			time.Sleep(50 * time.Millisecond)
		}
		for i := range each {
			n.acked = append(n.acked, first+i)
		}
		if first%(10*each) == 0 { // an acknowledged one comes again
			remoteWrite(t, s.url+"/prometheus", token, []metrics.Series{one})
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestSamplesOutliveKills kills the engine and the suite with SIGKILL while
// numbered samples come in: each that was acknowledged is there once.
func TestSamplesOutliveKills(t *testing.T) {
	t.Parallel()
	rnd := random(t)
	s := newSuite(t, "")
	token, reader := s.secret("e-seal", "ingest"), s.secret("e-seal", "read")
	start := time.Now().Add(-30 * time.Minute).Truncate(time.Second)
	var stop atomic.Bool
	var wg sync.WaitGroup
	streams := []*numberSamples{{stream: "a"}, {stream: "b"}, {stream: "c"}}
	for _, n := range streams {
		wg.Go(func() { n.run(t, s, token, start, &stop) })
	}
	for i := range 6 {
		time.Sleep(time.Second + time.Duration(rnd.Int64N(int64(1500*time.Millisecond))))
		if i == 2 || i == 4 {
			s.kill()
			s.launch()
			s.ready(60 * time.Second)
			continue
		}
		if pid := s.enginePID(); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	time.Sleep(time.Second)
	stop.Store(true)
	wg.Wait()
	s.ready(60 * time.Second)
	s.signIn()
	for _, n := range streams {
		if len(n.acked) < 500 {
			t.Errorf("only %d numbers of %s were acknowledged, of %d requests", len(n.acked), n.stream, n.tries)
		}
		eventually(t, 60*time.Second, "all acknowledged numbers of "+n.stream+" are there, once each", func() error {
			req, err := http.NewRequest(http.MethodGet, s.url+"/prometheus/api/v1/query?"+url.Values{"query": {fmt.Sprintf(`numbers{stream=%q}[2h]`, n.stream)}}.Encode(), nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+reader)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			raw, _ := io.ReadAll(resp.Body)
			var a struct {
				Data struct{ Result []metrics.Row }
			}
			if err := json.Unmarshal(raw, &a); err != nil || len(a.Data.Result) != 1 {
				return fmt.Errorf("%d %.200s", resp.StatusCode, raw)
			}
			seen := map[int]int{}
			for _, p := range a.Data.Result[0].Values {
				seen[int(p.Value)]++
				if want := start.UnixMilli() + int64(p.Value); p.Time.UnixMilli() != want {
					return fmt.Errorf("number %v is at %d, not %d", p.Value, p.Time.UnixMilli(), want)
				}
			}
			lost, doubled := 0, 0
			for _, number := range n.acked {
				if seen[number] == 0 {
					lost++
				}
			}
			for _, count := range seen {
				if count > 1 {
					doubled++
				}
			}
			if lost+doubled > 0 {
				time.Sleep(300 * time.Millisecond)
				return fmt.Errorf("%d of %d are lost, %d doubled", lost, len(n.acked), doubled)
			}
			t.Logf("stream %s: %d acknowledged in %d requests, 0 lost, 0 doubled", n.stream, len(n.acked), n.tries)
			return nil
		})
	}
}

// TestGrafanaAsksPrometheus replays what Grafana's Prometheus data source asks,
// written from the source of its client, and compares the answers word by word.
func TestGrafanaAsksPrometheus(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	token, reader := s.secret("e-seal", "ingest"), s.secret("e-seal", "read")
	base := time.Now().Add(-time.Hour).Truncate(time.Hour)
	var series []metrics.Series
	for _, instance := range []string{"a:80", "b:80"} {
		one := metrics.Series{Labels: []metrics.Label{{Name: "__name__", Value: "up"}, {Name: "job", Value: "门户"}, {Name: "instance", Value: instance}}}
		for i := range 41 {
			one.Samples = append(one.Samples, metrics.Sample{Time: base.UnixMilli() + int64(i)*15_000, Value: float64(i % 2)})
		}
		series = append(series, one)
	}
	if code, text := remoteWrite(t, s.url+"/prometheus", token, series); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, text)
	}
	// {n} in a request or an answer is n seconds after the first sample.
	times := func(text string) string {
		for n := -600; n <= 900; n += 15 {
			text = strings.ReplaceAll(text, fmt.Sprintf("{%d}", n), fmt.Sprint(base.Unix()+int64(n)))
		}
		return text
	}
	ask := func(path, form string) (int, string) {
		req, err := http.NewRequest(http.MethodGet, s.url+"/prometheus/api/v1/"+times(path), nil)
		if form != "" {
			req, err = http.NewRequest(http.MethodPost, s.url+"/prometheus/api/v1/"+times(path), strings.NewReader(times(form)))
		}
		if err != nil {
			t.Fatal(err)
		}
		if form != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		req.Header.Set("User-Agent", "Grafana/11.2.0")
		req.Header.Set("Authorization", "Bearer "+reader)
		req.Header.Set("X-Grafana-Org-Id", "1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	eventually(t, 30*time.Second, "the samples are shown", func() error {
		if _, body := ask("query?query=count(up)&time={600}", ""); !strings.Contains(body, `"2"`) {
			return errors.New(body)
		}
		return nil
	})
	for name, c := range map[string]struct {
		path, form string
		code       int
		want       string
	}{
		"health":                  {"query", "query=1%2B1&time={600}", 200, `{"status":"success","data":{"resultType":"scalar","result":[{600},"2"]}}`},
		"panel":                   {"query_range", "end={60}&query=sum+by+%28job%29+%28up%29&start={0}&step=30", 200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"门户"},"values":[[{0},"0"],[{30},"0"],[{60},"0"]]}]}}`},
		"table":                   {"query", "query=up&time={15}", 200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:80","job":"门户"},"value":[{15},"1"]},{"metric":{"__name__":"up","instance":"b:80","job":"门户"},"value":[{15},"1"]}]}}`},
		"metric names":            {"label/__name__/values?start={0}&end={600}", "", 200, `{"status":"success","data":["up"]}`},
		"label names":             {"labels", "start={0}&end={600}&match%5B%5D=up", 200, `{"status":"success","data":["__name__","instance","job"]}`},
		"variable":                {"label/instance/values?match%5B%5D=up%7Bjob%3D%22%E9%97%A8%E6%88%B7%22%7D&start={0}&end={600}", "", 200, `{"status":"success","data":["a:80","b:80"]}`},
		"series":                  {"series", "match%5B%5D=up%7Binstance%3D%22a%3A80%22%7D&start={0}&end={600}", 200, `{"status":"success","data":[{"__name__":"up","instance":"a:80","job":"门户"}]}`},
		"metadata":                {"metadata?limit=1000", "", 200, `{"status":"success","data":{}}`},
		"exemplars":               {"query_exemplars", "query=up&start={0}&end={600}", 200, `{"status":"success","data":[]}`},
		"rules":                   {"rules", "", 200, `{"status":"success","data":{"groups":[]}}`},
		"a query that is wrong":   {"query_range", "query=sum%28&start={0}&end={600}&step=15", 400, `{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}`},
		"more points than may be": {"query_range", "query=up&start=0&end={600}&step=15", 400, `{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}`},
		"a path that is not":      {"status/walreplay", "", 404, ""},
	} {
		code, body := ask(c.path, c.form)
		if want := times(c.want); code != c.code || want != "" && body != want || !strings.Contains(body, `"status":`) {
			t.Errorf("%s: %d %s\nwant %d %s", name, code, body, c.code, want)
		}
	}
	var info struct{ Data map[string]string }
	if code, body := ask("status/buildinfo", ""); code != 200 || json.Unmarshal([]byte(body), &info) != nil || info.Data["version"] == "" || info.Data["application"] != "icewatch" {
		t.Errorf("buildinfo: %d %s", code, body)
	}
	// Without a credential the refusal is Prometheus', too.
	resp, err := http.Get(s.url + "/prometheus/api/v1/query?query=up")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 401 || !strings.Contains(string(text), `"errorType":"unauthorized"`) {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

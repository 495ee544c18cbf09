package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"

	"icewatch/soc/metrics"
	"icewatch/test/peers"
)

// remoteWrite sends series by remote write 1.0 and returns status and text.
func remoteWrite(t *testing.T, base, token string, series []metrics.Series) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, base+"/api/v1/write", bytes.NewReader(snappy.Encode(nil, metrics.Encode(series))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// promAPI asks a Prometheus API and returns the answer's data and status.
func promAPI(t *testing.T, base, token, path string, form url.Values) (answer promAnswer) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, base+"/api/v1/"+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(path, "label/") || strings.HasPrefix(path, "metadata") || strings.HasPrefix(path, "status") {
		req.Method, req.Body, req.ContentLength, req.URL.RawQuery = http.MethodGet, nil, 0, form.Encode()
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer.code = resp.StatusCode
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s %s answers %d %.300s: %v", path, form.Encode(), resp.StatusCode, raw, err)
	}
	return answer
}

// promAnswer is an answer of the Prometheus API.
type promAnswer struct {
	code      int
	Status    string
	Data      json.RawMessage
	ErrorType string
	Error     string
	Warnings  []string
}

// values are a query's values by series and time.
func (a promAnswer) values(t *testing.T) map[string]float64 {
	t.Helper()
	var data struct {
		ResultType string
		Result     json.RawMessage
	}
	if err := json.Unmarshal(a.Data, &data); err != nil {
		t.Fatalf("%s: %v", a.Data, err)
	}
	out := map[string]float64{}
	add := func(labels map[string]string, point [2]any) {
		var name strings.Builder
		for _, l := range slices.Sorted(maps.Keys(labels)) {
			fmt.Fprintf(&name, "%s=%q,", l, labels[l])
		}
		v, err := strconv.ParseFloat(fmt.Sprint(point[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		out[fmt.Sprintf("%s{%s}@%.3f", data.ResultType, name.String(), point[0])] = v
	}
	switch data.ResultType {
	case "scalar":
		var p [2]any
		_ = json.Unmarshal(data.Result, &p)
		add(nil, p)
	case "string":
		out["string "+string(data.Result)] = 0
	default:
		var rows []struct {
			Metric map[string]string
			Value  [2]any
			Values [][2]any
		}
		if err := json.Unmarshal(data.Result, &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Value[0] != nil {
				add(r.Metric, r.Value)
			}
			for _, p := range r.Values {
				add(r.Metric, p)
			}
		}
	}
	return out
}

// differ tells how two answers differ; "" where they do not.
func differ(ours, theirs map[string]float64) string {
	var lines []string
	for key, want := range theirs {
		got, ok := ours[key]
		switch {
		case !ok:
			lines = append(lines, fmt.Sprintf("missing %s %v", key, want))
		case got != want && !(math.IsNaN(got) && math.IsNaN(want)) && math.Abs(got-want) > 1e-9*math.Max(math.Abs(got), math.Abs(want)):
			lines = append(lines, fmt.Sprintf("%s is %v, Prometheus says %v", key, got, want))
		}
	}
	for key, got := range ours {
		if _, ok := theirs[key]; !ok {
			lines = append(lines, fmt.Sprintf("too much: %s %v", key, got))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines[:min(len(lines), 6)], "\n\t")
}

// promData are series of an hour, a sample each 15 seconds: counters with a
// reset, gauges, a histogram, series that end with and without a mark, gaps and
// numbers that are none.
func promData(base time.Time) []metrics.Series {
	const every, samples = 15 * time.Second, 240
	var out []metrics.Series
	add := func(value func(i int) (float64, bool), pairs ...string) {
		s := metrics.Series{}
		for i := 0; i < len(pairs); i += 2 {
			s.Labels = append(s.Labels, metrics.Label{Name: pairs[i], Value: pairs[i+1]})
		}
		slices.SortFunc(s.Labels, func(a, b metrics.Label) int { return strings.Compare(a.Name, b.Name) })
		for i := range samples {
			if v, ok := value(i); ok {
				s.Samples = append(s.Samples, metrics.Sample{Time: base.Add(time.Duration(i) * every).UnixMilli(), Value: v})
			}
		}
		out = append(out, s)
	}
	n := 0.0
	for _, job := range []string{"gateway", "portal"} {
		for _, instance := range []string{"a:80", "b:80", "c:80"} {
			for _, code := range []string{"200", "404", "500"} {
				n++
				step, reset := n, job == "portal" && instance == "b:80"
				add(func(i int) (float64, bool) {
					if reset && i >= 130 {
						i -= 130
					}
					return float64(i) * step * 3, true
				}, "__name__", "http_requests_total", "job", job, "instance", instance, "code", code)
			}
			up := 1.0
			if job == "portal" && instance == "c:80" {
				up = 0
			}
			add(func(int) (float64, bool) { return up, true }, "__name__", "up", "job", job, "instance", instance)
			add(func(int) (float64, bool) { return 1, true }, "__name__", "build_info", "job", job, "instance", instance, "version", "1."+instance[:1])
			m := n
			add(func(i int) (float64, bool) { return 1e6*m + 1000*math.Sin(float64(i)/10)*m, true }, "__name__", "memory_bytes", "job", job, "instance", instance)
		}
	}
	for k, le := range []string{"0.1", "0.5", "1", "5", "+Inf"} {
		add(func(i int) (float64, bool) { return float64(i * (k + 1) * 2), true }, "__name__", "latency_bucket", "le", le, "path", "/login")
		add(func(i int) (float64, bool) { return float64(i * (k + 2) * (k + 1)), true }, "__name__", "latency_bucket", "le", le, "path", "/pay")
	}
	for path, f := range map[string]float64{"/login": 10, "/pay": 30} {
		add(func(i int) (float64, bool) { return float64(i) * f, true }, "__name__", "latency_count", "path", path)
		add(func(i int) (float64, bool) { return float64(i) * f * 0.4, true }, "__name__", "latency_sum", "path", path)
	}
	for k, room := range []string{"hall", "server", "roof"} {
		add(func(i int) (float64, bool) { return 20 + float64(k)*5 + float64((i*7+k*3)%11)/4, true }, "__name__", "temperature_celsius", "room", room)
	}
	add(func(i int) (float64, bool) { return float64(i * i), true }, "__name__", "jumps_total", "of", "squares")
	stale := math.Float64frombits(0x7ff0000000000002)
	add(func(i int) (float64, bool) {
		if i == 100 {
			return stale, true
		}
		return float64(i), i < 100
	}, "__name__", "ended", "how", "marked")
	add(func(i int) (float64, bool) { return float64(i), i < 155 }, "__name__", "ended", "how", "silent")
	add(func(i int) (float64, bool) { return float64(i), i < 100 || i >= 150 }, "__name__", "gap")
	add(func(i int) (float64, bool) { return math.Inf(1 - 2*(i%2)), true }, "__name__", "infinite")
	add(func(i int) (float64, bool) { return float64(i % 5), true }, "__name__", "水位_metres", "station", "三号泵站")
	return out
}

// promSame are queries that give what Prometheus gives.
var promSame = []string{
	`up`, `up{job="gateway"}`, `up{job!="gateway",instance=~"a.*|b.*"}`, `{__name__="up",instance!~"a.*"}`, `up == 0`, `up == bool 1`, `nothing`,
	`{__name__=~"up|build_info"}`, `1 + 1`, `2 ^ 10 % 7`, `-up`, `time()`, `vector(3)`, `scalar(up{job="portal",instance="c:80"})`, `"text"`, `pi()`, `sum(up)`,
	`sum by (job) (up)`, `sum without (instance) (up)`, `avg by (job) (memory_bytes)`, `min(memory_bytes)`, `max by (job) (memory_bytes)`, `count(up == 1)`,
	`count by (job, code) (http_requests_total)`, `stddev(memory_bytes)`, `stdvar by (job) (memory_bytes)`, `group by (job) (up)`, `topk(2, memory_bytes)`,
	`bottomk(1, memory_bytes)`, `quantile(0.5, memory_bytes)`, `quantile by (job) (0.9, memory_bytes)`, `count_values("value", up)`, `memory_bytes / 1024`,
	`memory_bytes > 5e6`, `up * on (job, instance) group_left (version) build_info`, `sum by (job) (http_requests_total) / on (job) count by (job) (up)`,
	`up and on (instance) memory_bytes > 1e6`, `up or nothing`, `up unless on (job, instance) (up == 0)`, `up * on (instance, job) memory_bytes`,
	`abs(-temperature_celsius)`, `ceil(temperature_celsius)`, `floor(temperature_celsius)`, `round(temperature_celsius)`, `round(temperature_celsius, 5)`,
	`clamp(temperature_celsius, 21, 27)`, `clamp_min(temperature_celsius, 23)`, `clamp_max(temperature_celsius, 23)`, `sqrt(memory_bytes)`, `ln(memory_bytes)`,
	`log2(memory_bytes)`, `log10(memory_bytes)`, `exp(up)`, `sgn(temperature_celsius - 24)`, `deg(up)`, `rad(up)`, `sort(memory_bytes)`, `sort_desc(memory_bytes)`,
	`timestamp(up)`, `absent(nothing{job="x"})`, `absent(up)`, `absent_over_time(nothing[5m])`, `absent_over_time(up[5m])`,
	`label_replace(up, "host", "$1", "instance", "(.*):.*")`, `label_join(up, "where", "-", "job", "instance")`, `day_of_month(vector(1700000000))`,
	`day_of_week(vector(1700000000))`, `days_in_month(vector(1700000000))`, `hour(vector(1700000000))`, `minute(vector(1700000000))`, `month(vector(1700000000))`,
	`year(vector(1700000000))`, `day_of_year(vector(1700000000))`, `avg_over_time(temperature_celsius[5m])`, `min_over_time(temperature_celsius[5m])`,
	`max_over_time(temperature_celsius[5m])`, `sum_over_time(temperature_celsius[5m])`, `count_over_time(temperature_celsius[5m])`,
	`quantile_over_time(0.9, temperature_celsius[5m])`, `stddev_over_time(temperature_celsius[5m])`, `stdvar_over_time(temperature_celsius[5m])`,
	`last_over_time(temperature_celsius[5m])`, `present_over_time(temperature_celsius[5m])`, `resets(http_requests_total[30m])`, `deriv(temperature_celsius[5m])`,
	`predict_linear(memory_bytes[5m], 600)`, `idelta(temperature_celsius[5m])`, `irate(http_requests_total[5m])`, `histogram_quantile(0.9, latency_bucket)`,
	`histogram_quantile(0.5, sum by (le) (latency_bucket))`, `histogram_quantile(0.9, rate(latency_bucket[5m]))`, `latency_sum / latency_count`, `up offset 5m`,
	`http_requests_total offset 10m`, `sum(http_requests_total @ 1)`, `http_requests_total @ end()`, `max_over_time(temperature_celsius[10m:1m])`,
	`max_over_time(sum by (room) (temperature_celsius)[10m:1m])`, `avg_over_time(rate(http_requests_total[5m])[10m:1m])`, `ended`, `gap`, `infinite`, `{station="三号泵站"}`,
	`sum(ended)`, `count(infinite == Inf)`, `count(http_requests_total) by (code) > 5`, `avg(temperature_celsius) by (room) > 24`,
	`topk(1, sum by (code) (http_requests_total))`, `atan2(up, up)`, `sin(up)`, `sum(up) by (job) == on () group_right sum(up)`, `temperature_celsius > bool 24`,
	`count(count by (job) (up))`, `max(temperature_celsius) - min(temperature_celsius)`, `temperature_celsius[1m]`, `temperature_celsius[1m] offset 3m`,
	`sum_over_time(gap[20m])`, `rate(http_requests_total{job="gateway"}[5m])`, `increase(latency_count[5m])`, `sum by (job) (rate(http_requests_total{job="gateway"}[5m]))`,
	`ended offset 3m`, `count_over_time(ended[10m])`,
}

// promDifferent are queries that give something else, and why; docs/prometheus.md
// lists them. Each gives what Prometheus gives for another query.
var promDifferent = []struct {
	why, query, like string
	aligned          bool // asked at the very time of samples
	instant          bool // asked at one time only
}{
	{why: "a function over a window that compares samples counts from the last one before the window, and extrapolates nothing", query: `increase(jumps_total[5m])`, like: `label_replace(jumps_total - jumps_total offset 5m, "__name__", "", "", "")`},
	{why: "the same", query: `rate(jumps_total[5m])`, like: `(jumps_total - jumps_total offset 5m) / 300`},
	{why: "the same", query: `sum(increase(jumps_total[5m]))`, like: `sum(jumps_total - jumps_total offset 5m)`},
	{why: "the same", query: `delta(temperature_celsius[5m])`, like: `temperature_celsius - temperature_celsius offset 5m`},
	{why: "the same, over a reset", query: `increase(http_requests_total{job="portal",instance="b:80"}[8m])`, like: `http_requests_total{job="portal",instance="b:80"} - http_requests_total offset 8m + max_over_time(http_requests_total[8m])`, instant: true},
	{why: "the same", query: `changes(temperature_celsius[5m])`, like: `changes(temperature_celsius[5m15s])`},
	{why: "rate divides by the time between the samples, not by the window, where a series ends", query: `rate(ended{how="silent"}[5m])`, like: `deriv(ended{how="silent"}[5m])`},
	{why: "what is not a number is left out", query: `up / 0`, like: `(up / 0) == (up / 0)`},
	{why: "the same", query: `infinite * 0`, like: `(infinite * 0) == (infinite * 0)`},
	{why: "arithmetic takes the name away, as in Prometheus 3", query: `up atan2 up`, like: `label_replace(up atan2 up, "__name__", "", "", "")`},
	{why: "holt_winters, which Prometheus 3 has no more, keeps the name; in ranges it begins with the sample before", query: `holt_winters(temperature_celsius[5m], 0.5, 0.5)`, like: `label_replace(holt_winters(temperature_celsius[5m], 0.5, 0.5), "__name__", "temperature_celsius", "", "")`, instant: true},
	{why: "a window does not hold its beginning, as in Prometheus 3", query: `count_over_time(up[1m])`, like: `count_over_time(up[59s])`, aligned: true},
	{why: "the same", query: `sum_over_time(temperature_celsius[5m])`, like: `sum_over_time(temperature_celsius[299s])`, aligned: true},
}

// metricsQL are queries that only MetricsQL knows.
var metricsQL = []struct{ query, like string }{
	{`rate(http_requests_total{job="gateway"})`, ``},
	{`rate(latency_count[5m]) keep_metric_names`, ``},
	{`median(memory_bytes)`, `quantile(0.5, memory_bytes)`},
	{`up if (up == 1)`, `up == 1`},
	{`sum by (job) (up) default 7`, `sum by (job) (up)`},
	{`with (x = up{job="gateway"}) sum(x)`, `sum(up{job="gateway"})`},
	{`increase_pure(latency_count[5m])`, ``},
}

// TestPromQL asks the suite what it asks a real Prometheus that holds the same.
func TestPromQL(t *testing.T) {
	t.Parallel()
	theirs := peers.StartPrometheus(t, "global: {}\n", "--web.enable-remote-write-receiver")
	s := newSuite(t, "")
	writer, reader := s.secret("e-seal", "ingest"), s.secret("e-seal", "read")
	ours := s.url + "/prometheus"
	base := time.Now().Add(-100 * time.Minute).Truncate(time.Minute)
	data := promData(base)
	for url, token := range map[string]string{theirs.URL: "", ours: writer} {
		if code, text := remoteWrite(t, url, token, data); code != http.StatusNoContent {
			t.Fatalf("%s answers %d %s", url, code, text)
		}
	}
	at := base.Add(40 * time.Minute)
	all := url.Values{"query": {`count({__name__!=""})`}, "time": {fmt.Sprint(at.Unix())}}
	eventually(t, 30*time.Second, "the suite shows all series", func() error {
		if d := differ(promAPI(t, ours, reader, "query", all).values(t), promAPI(t, theirs.URL, "", "query", all).values(t)); d != "" {
			return errors.New(d)
		}
		return nil
	})
	type question struct {
		path string
		form url.Values
	}
	// Samples are a quarter of a minute apart, so that they stand on no edge.
	ask := func(query string, aligned bool) []question {
		at := at
		if !aligned {
			at = at.Add(7 * time.Second)
		}
		end := fmt.Sprint(at.Unix())
		list := []question{{"query", url.Values{"query": {query}, "time": {end}}}}
		for _, span := range []struct{ length, step int64 }{{1200, 60}, {1500, 15}} {
			list = append(list, question{"query_range", url.Values{"query": {query}, "start": {fmt.Sprint(at.Unix() - span.length)}, "end": {end}, "step": {fmt.Sprint(span.step)}}})
		}
		return list
	}
	compare := func(query, like string, aligned, instant bool) {
		mine, other := ask(query, aligned), ask(like, aligned)
		if instant {
			mine = mine[:1]
		}
		for i := range mine {
			a, b := promAPI(t, ours, reader, mine[i].path, mine[i].form), promAPI(t, theirs.URL, "", other[i].path, other[i].form)
			switch {
			case a.code != b.code:
				t.Errorf("%s %v: %d %s, Prometheus %d %s", mine[i].path, mine[i].form, a.code, a.Error, b.code, b.Error)
				return
			case a.code != http.StatusOK:
				continue
			}
			if d := differ(a.values(t), b.values(t)); d != "" {
				t.Errorf("%s %s is not what Prometheus says to %s:\n\t%s", mine[i].path, query, like, d)
				return
			}
		}
	}
	for _, query := range promSame {
		compare(query, query, false, false)
	}
	for _, c := range promDifferent {
		compare(c.query, c.like, c.aligned, c.instant)
		// The difference is there: Prometheus itself says something else.
		q := ask(c.query, c.aligned)
		found := false
		for i, other := range ask(c.like, c.aligned) {
			found = found || differ(promAPI(t, theirs.URL, "", q[i].path, q[i].form).values(t), promAPI(t, theirs.URL, "", other.path, other.form).values(t)) != ""
		}
		if !found {
			t.Errorf("%s is no difference: %s", c.query, c.why)
		}
	}
	for _, c := range metricsQL {
		q := ask(c.query, false)[0]
		a := promAPI(t, ours, reader, q.path, q.form)
		if a.code != http.StatusOK || len(a.values(t)) == 0 {
			t.Errorf("%s: %d %s %s", c.query, a.code, a.Error, a.Data)
		}
		if b := promAPI(t, theirs.URL, "", q.path, q.form); b.code != http.StatusBadRequest && c.like == "" {
			t.Errorf("Prometheus knows %s: %s", c.query, b.Data)
		}
		if c.like != "" {
			compare(c.query, c.like, false, false)
		}
	}
	lists(t, ours, reader, theirs.URL, base)
	t.Logf("%d queries are the same, %d differ as stated", len(promSame), len(promDifferent))
}

// lists compares lists of series, names and values.
func lists(t *testing.T, ours, reader, theirs string, base time.Time) {
	t.Helper()
	whole := url.Values{"start": {fmt.Sprint(base.Unix())}, "end": {fmt.Sprint(base.Add(time.Hour).Unix())}}
	with := func(pairs ...string) url.Values {
		form := maps.Clone(whole)
		for i := 0; i < len(pairs); i += 2 {
			form[pairs[i]] = append(slices.Clone(form[pairs[i]]), pairs[i+1])
		}
		return form
	}
	for _, c := range []struct {
		path string
		form url.Values
	}{
		{"series", with("match[]", "up")}, {"series", with("match[]", `{__name__=~"up|build_info",job="portal"}`, "match[]", "gap")}, {"series", with("match[]", "nothing")},
		{"labels", whole}, {"labels", with("match[]", "up")}, {"labels", with("match[]", `{station="三号泵站"}`)},
		{"label/__name__/values", whole}, {"label/job/values", whole}, {"label/instance/values", with("match[]", `up{job="portal"}`)}, {"label/nothing/values", whole},
	} {
		a, b := promAPI(t, ours, reader, c.path, c.form), promAPI(t, theirs, "", c.path, c.form)
		var x, y []any
		if a.code != 200 || b.code != 200 || json.Unmarshal(a.Data, &x) != nil || json.Unmarshal(b.Data, &y) != nil {
			t.Errorf("%s %v: %d %s, Prometheus %d %s", c.path, c.form, a.code, a.Error, b.code, b.Error)
			continue
		}
		order := func(list []any) string {
			texts := make([]string, len(list))
			for i, v := range list {
				b, _ := json.Marshal(v)
				texts[i] = string(b)
			}
			slices.Sort(texts)
			return strings.Join(texts, "\n")
		}
		if order(x) != order(y) {
			t.Errorf("%s %v:\n%s\nPrometheus says\n%s", c.path, c.form, order(x), order(y))
		}
	}
}

// secret makes an access token and returns its text.
func (s *suite) secret(tenant string, scopes ...string) string {
	s.t.Helper()
	made, err := s.admin.CreateToken(s.t.Context(), "acceptance "+tenant, tenant, scopes, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return made.Secret
}

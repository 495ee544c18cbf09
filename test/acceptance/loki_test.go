package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/test/peers"
)

// lokiLines are lines of every shape that LogQL has a parser for, pushed with
// labels and structured metadata: half an hour, ending at until.
func lokiLines(until time.Time) []byte {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][]any           `json:"values"`
	}
	const count = 180
	levels := []string{"info", "warn", "error", "debug"}
	at := func(i, offset int) string {
		return strconv.FormatInt(until.Add(-time.Duration(count-i)*10*time.Second+time.Duration(offset)*1_000_003).UnixNano(), 10)
	}
	make := func(offset int, labels map[string]string, line func(i int) (string, map[string]string)) stream {
		s := stream{Stream: labels}
		for i := range count {
			text, metadata := line(i)
			value := []any{at(i, offset), text}
			if metadata != nil {
				value = append(value, metadata)
			}
			s.Values = append(s.Values, value)
		}
		return s
	}
	streams := []stream{
		make(1, map[string]string{"app": "web", "env": "prod", "host": "w1"}, func(i int) (string, map[string]string) {
			return fmt.Sprintf(`{"level":%q,"msg":"request %d done","latency":"%dms","size":"%d.5KB","http":{"status":%d,"path":"/a/%d"},"user":"u%d","ok":%t}`,
				levels[i%4], i, i*7%900, i%40+1, 200+i%3*100, i%5, i%7, i%2 == 0), nil
		}),
		make(2, map[string]string{"app": "web", "env": "dev", "host": "w2"}, func(i int) (string, map[string]string) {
			return fmt.Sprintf(`{"level":%q,"msg":"dev %d","latency":"%dms","n":%d}`, levels[i%3], i, i%100, i), map[string]string{"trace_id": fmt.Sprintf("t%d", i%4), "user": "meta"}
		}),
		make(3, map[string]string{"app": "api", "env": "prod"}, func(i int) (string, map[string]string) {
			return fmt.Sprintf(`level=%s method=%s path="/v1/items/%d" status=%d duration=%d.5ms bytes=%d client=10.0.%d.%d msg="handled \"it\" %d"`,
				levels[i%4], []string{"GET", "POST"}[i%2], i%6, 200+i%5*75, i%300, i*131, i%3, i%250, i), nil
		}),
		make(4, map[string]string{"app": "nginx", "env": "prod", "host": "n1"}, func(i int) (string, map[string]string) {
			return fmt.Sprintf(`192.168.%d.%d - - [10/Oct/2026:13:55:36 +0000] "GET /p/%d HTTP/1.1" %d %d "-" "agent/%d"`, i%4, i%200, i%9, 200+i%4*100, i*17, i%3), nil
		}),
		make(5, map[string]string{"app": "packed", "env": "dev"}, func(i int) (string, map[string]string) {
			return fmt.Sprintf(`{"_entry":"inner line %d","pod":"p%d","namespace":"ns%d"}`, i, i%3, i%2), nil
		}),
		make(6, map[string]string{"app": "colour", "env": "dev", "quote": `a"b\c`}, func(i int) (string, map[string]string) {
			return fmt.Sprintf("\x1b[31mred %d\x1b[0m plain\ttext Ünïcödé %d", i, i), nil
		}),
		make(7, map[string]string{"app": "plain", "env": "prod"}, func(i int) (string, map[string]string) {
			return fmt.Sprintf("job %d of queue-%d finished: took %d ms, rate=%d.25", i, i%3, i*3, i%11), nil
		}),
	}
	b, _ := json.Marshal(map[string]any{"streams": streams})
	return b
}

// lokiQueries are asked of both; those with an @ in front as they stand at one
// time.
var lokiQueries = []string{
	// Selectors.
	`{app="web"}`, `{app=~"web|api"}`, `{app!="web",env="prod"}`, `{env=~"p.+",app!~"n.*"}`, `{app="colour",quote="a\"b\\c"}`, `{app=~".+"}`, `{app="web",host=""}`, `{app="api",host=""}`, `{app="nothing"}`,
	// Line filters.
	`{app="web"} |= "error"`, `{app="web"} != "error"`, `{app="web"} |~ "request 1[0-5] done"`, `{app="web"} !~ "dev|warn"`, `{app="plain"} |= "queue-1" != "job 4"`,
	`{env="prod"} |= "GET" or "POST"`, `{app="plain"} |~ "(?i)JOB 1\\d of"`, `{app="plain"} |= "finished: took"`, `{app="colour"} |= "Ünïcödé"`, `{app="nginx"} |= ip("192.168.1.0/24")`, `{app="nginx"} |> "<_> - - <_> /p/3 <_>"`,
	`{app="plain"} != "job 1" |~ "took \\d+ ms"`, `{app="api"} |= "\"it\""`, "{app=\"api\"} |= `client=10.0.1`",
	// Parsers and label filters.
	`{app="web",env="prod"} | json`, `{app="web"} | json | level="error"`, `{app="web"} | json | latency > 100ms`, `{app="web",env="prod"} | json | size >= 20KB and http_status!=300`, `{app="web"} | json lvl="level", st="http.status" | lvl="warn"`,
	`{app="api"} | logfmt`, `{app="api"} | logfmt | status >= 400 or duration > 250ms`, `{app="api"} | logfmt --strict m="method" | m="POST"`, `{app="api"} | logfmt | client = ip("10.0.2.0/24")`,
	"{app=\"nginx\"} | pattern `<ip> - - [<_>] \"<method> <path> <_>\" <status> <size> <_>` | status=~\"4..\"", "{app=\"plain\"} | regexp `job (?P<job>\\d+) of queue-(?P<queue>\\d)` | queue=\"2\"",
	`{app="packed"} | unpack`, `{app="packed"} | unpack | pod="p1" |= "inner"`, `{app="plain"} | json`, `{app="plain"} | json | __error__=""`, `{app="web"} | trace_id="t1"`, `{app="web"} | trace_id=~"t[12]" | json | n > 20`,
	// Formats.
	`{app="web"} | json | line_format "{{.level}} {{.msg | ToUpper}} {{.app}}"`, `{app="api"} | logfmt | label_format took=duration, app="x-{{.method}}" | line_format "{{.took}}"`, `{app="colour"} | decolorize`,
	`{app="api"} | logfmt | drop msg, path, client, bytes, duration`, `{app="api"} | logfmt | keep level, method, status`, `{app="web"} | json | drop level="error", user`, `{app="plain"} | line_format "{{ __line__ | trunc 6 }} {{ __timestamp__ | date \"2006\" }}"`,
	// Range aggregations, those that the lake does and those that it cannot.
	`count_over_time({app="web"}[1m])`, `count_over_time({app="plain"}[5m])`, `rate({env="prod"}[2m])`, `bytes_over_time({app="plain"}[1m])`, `bytes_rate({app=~"plain|web|api"}[3m])`, `sum(count_over_time({env="prod"}[1m]))`,
	`sum by (app) (count_over_time({env=~".+"}[5m]))`, `sum by (app, env) (rate({app=~".+"} |= "1" [1m]))`, `sum without (host) (count_over_time({app="web"}[2m]))`, `sum by (trace_id) (count_over_time({app="web"}[5m]))`,
	`count_over_time({app="web"} | trace_id="t2" [2m])`, `sum by (app) (count_over_time({app=~".+"} != "request" [90s]))`, `sum by (host) (bytes_over_time({app=~"web|nginx"} |= "1" [2m]))`, `count_over_time({app="plain"} |~ "queue-[12]" [2m] offset 3m)`,
	`sum by (level) (count_over_time({app="web"} | json [1m]))`, `sum by (level, detected) (count_over_time({app="api"} | logfmt | status>=400 [2m]))`, `absent_over_time({app="nothing"}[1m])`, `absent_over_time({app="web"}[1m])`,
	`avg_over_time({app="web"} | json | unwrap duration(latency) [2m])`, `max_over_time({app="api"} | logfmt | unwrap bytes [2m]) by (method)`, `min_over_time({app="api"} | logfmt | unwrap duration(duration) | __error__="" [2m]) by (level)`,
	`quantile_over_time(0.95, {app="api"} | logfmt | unwrap bytes [5m]) by (method)`, `stddev_over_time({app="web",env="dev"} | json | unwrap n [5m]) by (level)`, `sum_over_time({app="web",env="prod"} | json | unwrap bytes(size) [3m]) by (user)`,
	`first_over_time({app="web",env="dev"} | json | unwrap n [3m]) by (app)`, `last_over_time({app="web",env="dev"} | json | unwrap n [3m]) by (app)`, `rate({app="api"} | logfmt | unwrap bytes [2m])`, `rate_counter({app="web",env="dev"} | json | unwrap n [3m]) by (app)`,
	// Vectors.
	`topk(2, sum by (app) (bytes_over_time({env=~".+"} |= "1" [5m])))`, `bottomk(1, sum by (method) (sum_over_time({app="api"} | logfmt | unwrap bytes [5m])))`, `avg by (env) (count_over_time({app=~".+"}[2m]))`, `max(rate({app=~".+"}[2m]))`, `count(count_over_time({app=~".+"}[2m])) by (env)`,
	`sum(count_over_time({app="web"}[2m])) / sum(count_over_time({app=~".+"}[2m])) * 100`, `sum by (app) (rate({env="prod"}[2m])) > 0.05`, `count_over_time({app="plain"}[2m]) + on(env) group_left sum by (env) (count_over_time({app="api"}[2m]))`,
	`sum by (app) (count_over_time({app=~"web|api"}[2m])) and sum by (app) (count_over_time({app="api"}[2m]))`, `sum by (app) (count_over_time({app="web"}[2m])) or vector(0)`, `label_replace(sum by (app) (count_over_time({env="prod"}[5m])), "first", "$1", "app", "(.).*")`,
	`count_over_time({app="web"}[2m]) + bytes_over_time({app="web"}[2m])`, `-1 * sum(rate({app="web"}[2m]))`, `sum(count_over_time({app="web"}[2m])) unless sum(count_over_time({app="nothing"}[2m]))`, `sort_desc(sum by (app) (count_over_time({env=~".+"}[5m])))`,
	// At one time.
	`@count_over_time({app=~".+"}[10m])`, `@sum by (app) (rate({env="prod"} |= "1" [15m]))`, `@topk(3, sum by (level) (sum_over_time({app="api"} | logfmt | unwrap bytes [20m])))`, `@vector(1)+vector(1)`, `@sort(sum by (app) (bytes_over_time({app=~"plain|nginx"}[10m])))`, `@1 + 2`,
	`@quantile_over_time(0.5, {app="api"} | logfmt | unwrap duration(duration) [20m]) by (method)`, `@count_over_time({app="plain"}[7m] offset 5m)`, `@sum(count_over_time({app="web"} | json | level="error" [30m]))`,
	// Errors.
	`{app="web"`, `{}`, `{app="web"} | json | latency > `, `sum(count_over_time({app="web"}))`, `{app=~"("}`, `rate({app="web"} | unwrap x)`, `@{app="web"}`, `sum by (app) (sum_over_time({app="plain"} | unwrap job [5m]))`, `sum_over_time({app="web"} | json | unwrap msg [5m])`,
}

// TestLogQLAgainstLoki pushes the same to the suite and to a real Loki, and
// expects the same answers of both.
func TestLogQLAgainstLoki(t *testing.T) {
	t.Parallel()
	theirs := peers.StartLoki(t)
	s := newSuite(t, "")
	until := time.Now().Add(-time.Minute).Truncate(time.Minute)
	body := lokiLines(until)
	if resp, err := http.Post(theirs+"/loki/api/v1/push", "application/json", bytes.NewReader(body)); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("Loki does not take the lines: %v %v", resp, err)
	}
	if status, answer := post(t, s.token("", "ingest"), "/loki/api/v1/push", map[string]string{"Content-Type": "application/json"}, body); status != http.StatusNoContent {
		t.Fatalf("the suite does not take the lines: %d %s", status, answer)
	}
	s.expect(`"icewatch.labels":* | stats count() n | filter n:=1260`, 1, 20*time.Second)
	start := until.Add(-30 * time.Minute)
	ask := func(base, path string, form url.Values, header http.Header) (int, []byte) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+path+"?"+form.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			req.Header[k] = v
		}
		if base == s.url {
			req.Header.Set("Authorization", "Bearer "+s.admin.Options().Token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b
	}
	compare := func(what, path string, form url.Values, header http.Header) {
		t.Helper()
		wantStatus, want := ask(theirs, path, form, header)
		status, got := ask(s.url, path, form, header)
		if status != wantStatus {
			t.Errorf("%s: %d %.300s, Loki %d %.300s", what, status, got, wantStatus, want)
			return
		}
		if status != http.StatusOK {
			// Which of several series an error of a line names is up to chance.
			if a, b := strings.TrimSpace(string(got)), strings.TrimSpace(string(want)); a != b &&
				(!strings.HasPrefix(b, "pipeline error: 'SampleExtractionErr' for series") || !strings.HasPrefix(a, "pipeline error: 'SampleExtractionErr' for series")) {
				t.Errorf("%s: %q, Loki %q", what, got, want)
			}
			return
		}
		a, b := readLoki(t, got), readLoki(t, want)
		if diff := a.differs(b); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	categorize := http.Header{"X-Loki-Response-Encoding-Flags": {"categorize-labels"}}
	for _, q := range lokiQueries {
		if at, ok := strings.CutPrefix(q, "@"); ok {
			compare(q, "/loki/api/v1/query", url.Values{"query": {at}, "time": {strconv.FormatInt(until.UnixNano(), 10)}}, nil)
			continue
		}
		form := url.Values{"query": {q}, "start": {strconv.FormatInt(start.UnixNano(), 10)}, "end": {strconv.FormatInt(until.UnixNano(), 10)}, "step": {"60"}, "limit": {"2000"}}
		compare(q, "/loki/api/v1/query_range", form, nil)
		if strings.HasPrefix(q, "{") {
			for _, direction := range []string{"forward", "backward"} {
				form.Set("direction", direction)
				form.Set("limit", "17")
				compare(q+" "+direction, "/loki/api/v1/query_range", form, categorize)
			}
		} else {
			form.Set("step", "7m")
			compare(q+" by 7m", "/loki/api/v1/query_range", form, nil)
		}
	}
	span := url.Values{"start": {strconv.FormatInt(start.UnixNano(), 10)}, "end": {strconv.FormatInt(until.UnixNano(), 10)}}
	with := func(pairs ...string) url.Values {
		form := url.Values{}
		for k, v := range span {
			form[k] = v
		}
		for i := 0; i < len(pairs); i += 2 {
			form.Add(pairs[i], pairs[i+1])
		}
		return form
	}
	for _, x := range []struct {
		path string
		form url.Values
	}{
		{"labels", with("query", `{app="web"}`)}, {"label/app/values", with("query", `{env="prod"}`)}, {"label/host/values", with("query", `{app=~"web|nginx"}`)}, {"label/nothing/values", with()},
		{"series", with("match[]", `{app=~"web|api"}`)}, {"series", with("match[]", `{app="plain"}`, "match[]", `{env="dev"}`)}, {"series", with("match[]", `{app=`)},
		{"detected_labels", with("query", `{app="web"}`)}, {"format_query", url.Values{"query": {`sum by(app)(count_over_time({app="web"}|="x"|json|level="error"[5m]))`}}},
	} {
		wantStatus, want := ask(theirs, "/loki/api/v1/"+x.path, x.form, nil)
		status, got := ask(s.url, "/loki/api/v1/"+x.path, x.form, nil)
		if a, b := canonical(got), canonical(want); status != wantStatus || a != b {
			t.Errorf("%s?%s: %d %s, Loki %d %s", x.path, x.form.Encode(), status, a, wantStatus, b)
		}
	}
	if len(lokiQueries) < 60 {
		t.Errorf("%d queries are too few", len(lokiQueries))
	}
}

// canonical is JSON in an order that does not depend on who wrote it.
func canonical(b []byte) string {
	var v any
	if json.Unmarshal(b, &v) != nil {
		return strings.TrimSpace(string(b))
	}
	var walk func(any) string
	walk = func(v any) string {
		switch x := v.(type) {
		case []any:
			var parts []string
			for _, e := range x {
				parts = append(parts, walk(e))
			}
			slices.Sort(parts)
			return "[" + strings.Join(parts, ",") + "]"
		case map[string]any:
			var parts []string
			for k, e := range x {
				parts = append(parts, k+":"+walk(e))
			}
			slices.Sort(parts)
			return "{" + strings.Join(parts, ",") + "}"
		}
		text, _ := json.Marshal(v)
		return string(text)
	}
	return walk(v)
}

// lokiAnswer is an answer to a query, its series by their labels.
type lokiAnswer struct {
	kind   string
	order  []string // of the series
	series map[string][][]any
	scalar []any
}

func readLoki(t *testing.T, b []byte) lokiAnswer {
	t.Helper()
	var v struct {
		Data struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %.300s", err, b)
	}
	a := lokiAnswer{kind: v.Data.ResultType, series: map[string][][]any{}}
	if a.kind == "scalar" {
		// Loki tells a time of its own making beside a scalar.
		if json.Unmarshal(v.Data.Result, &a.scalar) == nil && len(a.scalar) == 2 {
			a.scalar[0] = nil
		}
		return a
	}
	var list []struct {
		Stream, Metric map[string]string
		Values         [][]any
		Value          []any
	}
	if err := json.Unmarshal(v.Data.Result, &list); err != nil {
		t.Fatalf("%v in %.300s", err, b)
	}
	for _, x := range list {
		labels, _ := json.Marshal(x.Stream)
		if x.Stream == nil {
			labels, _ = json.Marshal(x.Metric)
		}
		if x.Value != nil {
			x.Values = [][]any{x.Value}
		}
		a.order = append(a.order, string(labels))
		a.series[string(labels)] = x.Values
	}
	return a
}

// differs says in what an answer is another than b.
func (a lokiAnswer) differs(b lokiAnswer) string {
	if a.kind != b.kind {
		return fmt.Sprintf("a %s, Loki a %s", a.kind, b.kind)
	}
	if len(a.series) != len(b.series) {
		return fmt.Sprintf("%d series, Loki %d: %.600s, Loki %.600s", len(a.series), len(b.series), a.order, b.order)
	}
	for labels, want := range b.series {
		got, ok := a.series[labels]
		if !ok {
			return fmt.Sprintf("no series %s but %.600s", labels, a.order)
		}
		if len(got) != len(want) {
			return fmt.Sprintf("%s: %d values, Loki %d: %.300s, Loki %.300s", labels, len(got), len(want), fmt.Sprint(got), fmt.Sprint(want))
		}
		for i := range want {
			if !sameValue(got[i], want[i]) {
				return fmt.Sprintf("%s: value %d is %v, Loki %v", labels, i, got[i], want[i])
			}
		}
	}
	if !sameValue(a.scalar, b.scalar) {
		return fmt.Sprintf("%v, Loki %v", a.scalar, b.scalar)
	}
	return ""
}

// sameValue compares a point or an entry. Sums of floats depend on their order.
func sameValue(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, isText := a[i].(string)
		y, _ := b[i].(string)
		if isText && i == 1 && x != y {
			f, errF := strconv.ParseFloat(x, 64)
			g, errG := strconv.ParseFloat(y, 64)
			if errF != nil || errG != nil || math.Abs(f-g) > 1e-9*math.Max(math.Abs(f), math.Abs(g)) {
				return false
			}
			continue
		}
		p, _ := json.Marshal(a[i])
		q, _ := json.Marshal(b[i])
		if !bytes.Equal(p, q) {
			return false
		}
	}
	return true
}

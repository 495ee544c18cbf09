// Package boards asks the queries of Grafana's dashboards of a running suite, as
// Grafana does, and holds the answers against what known data that was driven
// through the suite's sockets has to give.
//
// World drives the data and keeps a ledger of it; expectations.go says of each
// panel what it must show, computed from the ledger; Run compares.
package boards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// step is the distance of the points that are asked for. The times asked are
// multiples of it, as Grafana aligns them.
const step = 10 * time.Second

// asker asks data sources as Grafana's proxy does.
type asker struct {
	url, token string
	from, to   time.Time
}

// board is what is read of a dashboard's JSON.
type board struct {
	UID        string
	Title      string
	Panels     []shown
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
			Datasource *struct{ Type string }
		}
	}
}

// shown is a panel of a dashboard.
type shown struct {
	ID      int
	Type    string
	Title   string
	Targets []target
}

// target is a query of a panel, of whichever data source.
type target struct {
	RefID      string
	Datasource struct{ Type, UID string }
	Expr       string
	Instant    bool
	Range      bool
	Format     string
	QueryType  string // Loki and Jaeger
	Query      string // Elasticsearch
	Service    string // Jaeger
	TimeField  string
	Metrics    []figure
	BucketAggs []buckets
}

// figure is what a query of Elasticsearch counts.
type figure struct {
	ID, Type, Field string
	Settings        struct {
		Limit    string
		Percents []string
	}
}

// buckets are what it counts by.
type buckets struct {
	ID, Type, Field string
	Settings        struct{ Size, Order, OrderBy string }
}

// values are a variable's chosen values. One that is all has the value that
// stands for it.
type values map[string][]string

var (
	variable = regexp.MustCompile(`\$\{?(\w+)\}?`)
	special  = regexp.MustCompile(`[-+.*?^${}()|[\]\\/]`)
	lucene   = regexp.MustCompile(`([-+!(){}\[\]^"~*?:\\/&|= ])`)
)

// interpolate puts values in place of variables, as Grafana formats them for a
// data source: a regular expression for Prometheus and Loki, Lucene for
// Elasticsearch.
func (a *asker) interpolate(text, kind string, v values) string {
	return variable.ReplaceAllStringFunc(text, func(name string) string {
		switch name = strings.Trim(name, "${}"); name {
		case "__interval":
			return fmt.Sprint(int(step.Seconds()), "s")
		case "__range", "__rate_interval": // of a panel of one point
			return fmt.Sprint(int(a.to.Sub(a.from).Seconds()), "s")
		}
		list, ok := v[name]
		switch {
		case !ok:
			return "$" + name
		case kind == "elasticsearch" && len(list) == 1:
			return lucene.ReplaceAllString(list[0], `\$1`)
		case kind == "elasticsearch":
			quoted := make([]string, len(list))
			for i, x := range list {
				quoted[i] = strconv.Quote(x)
			}
			return "(" + strings.Join(quoted, " OR ") + ")"
		case len(list) == 1:
			return list[0] // a single value or what stands for all, as it is
		}
		escaped := make([]string, len(list))
		for i, x := range list {
			escaped[i] = special.ReplaceAllString(x, `\\$0`)
		}
		return "(" + strings.Join(escaped, "|") + ")"
	})
}

func (a *asker) do(method, path string, form url.Values, kind, body string) ([]byte, error) {
	var r io.Reader
	if method == http.MethodPost && kind == "" {
		kind, body = "application/x-www-form-urlencoded", form.Encode()
	} else if len(form) > 0 {
		path += "?" + form.Encode()
	}
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, a.url+path, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("User-Agent", "Grafana/12.2.0")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s %s: %d %.400s", method, path, body, resp.StatusCode, text)
	}
	return text, err
}

// ask asks a target. The answer is a figure by what tells it from the others:
// labels as name=value, or values of buckets with strokes between.
func (a *asker) ask(q *target, v values) (map[string]float64, error) {
	switch q.Datasource.Type {
	case "prometheus":
		return a.prometheus(q, v)
	case "loki":
		return a.loki(q, v)
	case "elasticsearch":
		return a.elasticsearch(q, v)
	case "jaeger":
		return a.jaeger(q, v)
	}
	return nil, fmt.Errorf("a data source of type %q", q.Datasource.Type)
}

// rows are the series of an answer of Prometheus or Loki.
type rows []struct {
	Metric map[string]string
	Stream map[string]string
	Value  [2]any
	Values [][2]any
}

// key names a series by its labels, without those that say where a sample is of.
func key(labels map[string]string) string {
	var parts []string
	for name, value := range labels {
		if name != "__name__" && name != "job" && name != "instance" && name != "icewatch_tenant" {
			parts = append(parts, name+"="+value)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func number(v any) (float64, error) { return strconv.ParseFloat(fmt.Sprint(v), 64) }

// prometheus gives the newest value of each series.
func (a *asker) prometheus(q *target, v values) (map[string]float64, error) {
	form := url.Values{"query": {a.interpolate(q.Expr, "prometheus", v)}}
	path := "/prometheus/api/v1/query_range"
	if q.Instant {
		path = "/prometheus/api/v1/query"
		form.Set("time", fmt.Sprint(a.to.Unix()))
	} else {
		form.Set("start", fmt.Sprint(a.from.Unix()))
		form.Set("end", fmt.Sprint(a.to.Unix()))
		form.Set("step", fmt.Sprint(int(step.Seconds())))
	}
	text, err := a.do(http.MethodPost, path, form, "", "")
	if err != nil {
		return nil, err
	}
	var answer struct{ Data struct{ Result rows } }
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w: %.200s", form.Get("query"), err, text)
	}
	out := map[string]float64{}
	for _, r := range answer.Data.Result {
		point := r.Value
		if n := len(r.Values); n > 0 {
			if point = r.Values[n-1]; fmt.Sprintf("%.0f", point[0]) != fmt.Sprint(a.to.Unix()) {
				continue // it ended before
			}
		}
		k := key(r.Metric)
		if _, twice := out[k]; twice {
			return nil, fmt.Errorf("%s: two series are %q", form.Get("query"), k)
		}
		if out[k], err = number(point[1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// loki gives the sum of the points of each series, or the number of lines.
func (a *asker) loki(q *target, v values) (map[string]float64, error) {
	form := url.Values{"query": {a.interpolate(q.Expr, "loki", v)}, "direction": {"backward"}, "limit": {"1000"},
		"start": {fmt.Sprint(a.from.UnixNano())}, "end": {fmt.Sprint(a.to.UnixNano())}, "step": {fmt.Sprint(step.Milliseconds(), "ms")}}
	text, err := a.do(http.MethodGet, "/loki/api/v1/query_range", form, "", "")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			ResultType string
			Result     rows
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w: %.200s", form.Get("query"), err, text)
	}
	out := map[string]float64{}
	for _, r := range answer.Data.Result {
		if answer.Data.ResultType == "streams" {
			out[""] += float64(len(r.Values))
			continue
		}
		for _, point := range r.Values {
			n, err := number(point[1])
			if err != nil {
				return nil, err
			}
			out[key(r.Metric)] += n
		}
	}
	return out, nil
}

type object = map[string]any

// elasticsearch asks as Grafana's backend does. It gives the sum over time of
// counts and sums, the greatest percentile, or the number of hits.
func (a *asker) elasticsearch(q *target, v values) (map[string]float64, error) {
	between := object{"gte": a.from.UnixMilli(), "lte": a.to.UnixMilli(), "format": "epoch_millis"}
	body := object{"size": 0, "query": object{"bool": object{"filter": []any{object{"range": object{q.TimeField: between}},
		object{"query_string": object{"analyze_wildcard": true, "query": a.interpolate(q.Query, "elasticsearch", v)}}}}}}
	metric := q.Metrics[0]
	if metric.Type == "logs" {
		limit, err := strconv.Atoi(metric.Settings.Limit)
		if err != nil {
			return nil, err
		}
		body["size"] = limit
		body["sort"] = []any{object{q.TimeField: object{"order": "desc", "unmapped_type": "boolean"}}, object{"_doc": object{"order": "desc"}}}
		body["highlight"] = object{"fields": object{"*": object{}}, "pre_tags": []string{"@HIGHLIGHT@"}, "post_tags": []string{"@/HIGHLIGHT@"}, "fragment_size": 2147483647}
	}
	sums := object{}
	switch metric.Type {
	case "sum", "cardinality":
		sums[metric.ID] = object{metric.Type: object{"field": metric.Field}}
	case "percentiles":
		sums[metric.ID] = object{"percentiles": object{"field": metric.Field, "percents": metric.Settings.Percents}}
	}
	aggs := sums
	for i := len(q.BucketAggs) - 1; i >= 0; i-- {
		b := q.BucketAggs[i]
		var one object
		switch b.Type {
		case "terms":
			size, err := strconv.Atoi(b.Settings.Size)
			if err != nil {
				return nil, err
			}
			// What a bucket is ordered by has to stand within it.
			if b.Settings.OrderBy == metric.ID && i < len(q.BucketAggs)-1 {
				for k, x := range sums {
					aggs[k] = x
				}
			}
			one = object{"terms": object{"field": b.Field, "size": size, "min_doc_count": 1, "order": object{b.Settings.OrderBy: b.Settings.Order}}}
		case "date_histogram":
			one = object{"date_histogram": object{"field": b.Field, "min_doc_count": 0, "fixed_interval": fmt.Sprint(step.Milliseconds(), "ms"), "format": "epoch_millis",
				"extended_bounds": object{"min": a.from.UnixMilli(), "max": a.to.UnixMilli()}}}
		default:
			return nil, fmt.Errorf("buckets of type %q", b.Type)
		}
		if len(aggs) > 0 {
			one["aggs"] = aggs
		}
		aggs = object{b.ID: one}
	}
	if len(q.BucketAggs) > 0 {
		body["aggs"] = aggs
	}
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	_ = e.Encode(object{"ignore_unavailable": true, "index": "*"})
	_ = e.Encode(body)
	text, err := a.do(http.MethodPost, "/elastic/_msearch", url.Values{"max_concurrent_shard_requests": {"5"}}, "application/x-ndjson", lines.String())
	if err != nil {
		return nil, err
	}
	var answer struct {
		Responses []struct {
			Status       int
			Error        json.RawMessage
			Hits         struct{ Hits []json.RawMessage }
			Aggregations object
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Responses) != 1 || answer.Responses[0].Status != http.StatusOK {
		return nil, fmt.Errorf("%s: %v: %.400s", lines.String(), err, text)
	}
	r := answer.Responses[0]
	out := map[string]float64{}
	if metric.Type == "logs" {
		out[""] = float64(len(r.Hits.Hits))
		return out, nil
	}
	depth := len(q.BucketAggs)
	var walk func(at object, level int, path []string)
	walk = func(at object, level int, path []string) {
		if level < depth {
			within, _ := at[q.BucketAggs[level].ID].(object)["buckets"].([]any)
			for _, x := range within {
				b, next := x.(object), path
				if q.BucketAggs[level].Type == "terms" {
					k := fmt.Sprint(b["key"])
					if f, ok := b["key"].(float64); ok {
						k = strconv.FormatFloat(f, 'f', -1, 64)
					}
					next = append(slices.Clone(path), k)
				}
				walk(b, level+1, next)
			}
			return
		}
		k := strings.Join(path, "/")
		switch metric.Type {
		case "count":
			out[k] += at["doc_count"].(float64)
		case "percentiles":
			for _, x := range at[metric.ID].(object)["values"].(object) {
				if f, ok := x.(float64); ok {
					out[k] = max(out[k], f)
				}
			}
		default:
			f, _ := at[metric.ID].(object)["value"].(float64)
			out[k] += f
		}
	}
	walk(r.Aggregations, 0, nil)
	return out, nil
}

// jaeger gives the number of traces.
func (a *asker) jaeger(q *target, v values) (map[string]float64, error) {
	form := url.Values{"service": {a.interpolate(q.Service, "jaeger", v)}, "limit": {"20"},
		"start": {fmt.Sprint(a.from.UnixMicro())}, "end": {fmt.Sprint(a.to.UnixMicro())}}
	text, err := a.do(http.MethodGet, "/jaeger/api/traces", form, "", "")
	if err != nil {
		return nil, err
	}
	var answer struct{ Data []json.RawMessage }
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	return map[string]float64{"": float64(len(answer.Data))}, nil
}

// alerts gives the alerts that fire by severity, as Grafana's panel of groups
// reads them; one is in the groups of several receivers.
func (a *asker) alerts() (map[string]float64, error) {
	text, err := a.do(http.MethodGet, "/alertmanager/api/v2/alerts/groups", url.Values{"active": {"true"}, "silenced": {"true"}, "inhibited": {"true"}}, "", "")
	if err != nil {
		return nil, err
	}
	var groups []struct {
		Alerts []struct {
			Fingerprint string
			Labels      map[string]string
		}
	}
	if err := json.Unmarshal(text, &groups); err != nil {
		return nil, err
	}
	seen, out := map[string]bool{}, map[string]float64{}
	for _, g := range groups {
		for _, x := range g.Alerts {
			if !seen[x.Fingerprint] {
				seen[x.Fingerprint] = true
				out["severity="+x.Labels["severity"]]++
			}
		}
	}
	return out, nil
}

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// options asks for what a variable offers.
func (a *asker) options(kind, query string, v values) (list []string, err error) {
	switch kind {
	case "prometheus":
		m := labelValues.FindStringSubmatch(a.interpolate(query, kind, v))
		if m == nil {
			return nil, fmt.Errorf("a variable by %q", query)
		}
		text, err := a.do(http.MethodGet, "/prometheus/api/v1/label/"+m[2]+"/values", url.Values{"match[]": {m[1]},
			"start": {fmt.Sprint(a.from.Unix())}, "end": {fmt.Sprint(a.to.Unix())}}, "", "")
		if err != nil {
			return nil, err
		}
		var answer struct{ Data []string }
		err = json.Unmarshal(text, &answer)
		return answer.Data, err
	case "elasticsearch":
		var q struct{ Find, Field, Query string }
		if err := json.Unmarshal([]byte(query), &q); err != nil || q.Find != "terms" {
			return nil, fmt.Errorf("a variable by %q: %v", query, err)
		}
		by := buckets{ID: "1", Type: "terms", Field: q.Field}
		by.Settings.Size, by.Settings.Order, by.Settings.OrderBy = "500", "asc", "_key"
		x := &target{TimeField: "@timestamp", Query: q.Query, Metrics: []figure{{ID: "1", Type: "count"}}, BucketAggs: []buckets{by}}
		found, err := a.elasticsearch(x, v)
		if err != nil {
			return nil, err
		}
		for k := range found {
			list = append(list, k)
		}
		slices.Sort(list)
		return list, nil
	}
	return nil, fmt.Errorf("a variable of %q", kind)
}

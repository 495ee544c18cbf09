package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/soc/metrics"
	"icewatch/soc/metrics/embedded"
	"icewatch/soc/metrics/remote"
	"icewatch/soc/node"
	"icewatch/test/peers"
)

const keep = 90 * 24 * time.Hour

// driver is a metric lake under test.
type driver struct {
	t     *testing.T
	store *metrics.Store
	// crash ends the engine as a power cut would and starts it again; nil where
	// that cannot be done from here.
	crash func()
	// reopen ends it in order and starts it again.
	reopen func()
}

// TestDrivers runs the same table against every driver: in this process,
// against a real VictoriaMetrics server, and against one behind URLs as a
// cluster has them.
func TestDrivers(t *testing.T) {
	drivers := []struct {
		name string
		open func(t *testing.T) *driver
	}{
		{"embedded", openEmbedded},
		{"server", openServer},
		{"cluster", openCluster},
	}
	table := []struct {
		name string
		run  func(d *driver)
	}{
		{"what is written is read", (*driver).readsWhatWasWritten},
		{"tenants are apart in every query", (*driver).keepsTenantsApart},
		{"caches do not leak between tenants", (*driver).cachesApart},
		{"lists are of the tenants asked for", (*driver).listsApart},
		{"functions of MetricsQL and PromQL", (*driver).functions},
		{"a replay does not double", (*driver).replay},
		{"what cannot be held is refused", (*driver).refusals},
		{"wrong queries are named", (*driver).wrongQueries},
		{"what was written survives a restart", (*driver).restart},
	}
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			open := d.open(t)
			for _, row := range table {
				t.Run(row.name, func(t *testing.T) {
					open.t = t
					row.run(open)
				})
			}
		})
	}
}

func openEmbedded(t *testing.T) *driver {
	dir := t.TempDir()
	d := &driver{t: t}
	open := func() {
		b, err := embedded.Open(embedded.Options{Dir: dir, Retention: keep, FlushInterval: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		d.store = metrics.New(b, keep)
	}
	open()
	d.reopen = func() {
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
		open()
	}
	t.Cleanup(func() { _ = d.store.Close() })
	return d
}

func openServer(t *testing.T) *driver {
	t.Parallel()
	s := peers.StartVictoriaMetrics(t)
	b, err := remote.Open(t.Context(), remote.Options{Write: node.Options{URL: s.URL}, Read: node.Options{URL: s.URL}}, keep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return &driver{t: t, store: metrics.New(b, keep), crash: func() { s.Kill(); s.Start() }, reopen: func() { s.Stop(); s.Start() }}
}

// openCluster puts a router before a single server that takes the URLs of a
// cluster's vminsert and vmselect apart as these do: what is written for an
// account gets its label, what is read is confined to it.
func openCluster(t *testing.T) *driver {
	t.Parallel()
	s := peers.StartVictoriaMetrics(t, "-maxLabelsPerTimeseries=41") // a cluster does not count its tenant as a label
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`^/(insert|select)/([0-9]+|multitenant)/prometheus(/api/v1/.*)$`)
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		m := pattern.FindStringSubmatch(p.In.URL.EscapedPath())
		p.SetURL(target)
		p.Out.URL.Path, p.Out.URL.RawPath = m[3], ""
		if plain, err := url.PathUnescape(m[3]); err == nil {
			p.Out.URL.Path, p.Out.URL.RawPath = plain, m[3]
		}
		q := url.Values{}
		if m[2] != "multitenant" {
			q.Set("extra_label", "vm_account_id="+m[2])
		}
		p.Out.URL.RawQuery = q.Encode()
	}}
	router := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := pattern.FindStringSubmatch(r.URL.EscapedPath())
		if m == nil || (m[1] == "insert") != strings.HasSuffix(m[3], "/write") {
			http.Error(w, "unsupported path "+r.URL.Path, http.StatusBadRequest)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(router.Close)
	b, err := remote.Open(t.Context(), remote.Options{Write: node.Options{URL: router.URL + "/insert/{account}/prometheus"},
		Read: node.Options{URL: router.URL + "/select/{account}/prometheus"}}, keep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return &driver{t: t, store: metrics.New(flushing{b, s.URL}, keep), reopen: func() { s.Stop(); s.Start() }}
}

// flushing makes the server behind the router show what was written at once; a
// cluster cannot be told to.
type flushing struct {
	metrics.Backend
	server string
}

func (f flushing) Flush(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.server+"/internal/force_flush", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// start is a time of the whole minute an hour ago, where tests put samples.
func start() time.Time { return time.Now().Add(-time.Hour).Truncate(time.Minute) }

func labels(pairs ...string) (list []metrics.Label) {
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, metrics.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return list
}

// line is a series with a value every 15 s from start on.
func line(from time.Time, values []float64, pairs ...string) metrics.Series {
	s := metrics.Series{Labels: labels(pairs...)}
	for i, v := range values {
		s.Samples = append(s.Samples, metrics.Sample{Time: from.Add(time.Duration(i) * 15 * time.Second).UnixMilli(), Value: v})
	}
	return s
}

func (d *driver) write(account uint32, series ...metrics.Series) metrics.Written {
	d.t.Helper()
	w, err := d.store.Write(d.t.Context(), metrics.Tenant{Account: account, Slug: "t" + strconv.Itoa(int(account))}, series)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.store.Flush(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	return w
}

func (d *driver) read(accounts []uint32, r metrics.Read) metrics.Answer {
	d.t.Helper()
	a, err := d.store.Read(d.t.Context(), accounts, r)
	if err != nil {
		d.t.Fatalf("%+v: %v", r, err)
	}
	return a
}

// values asks at one time and gives the answer as "labels value" lines.
func (d *driver) values(accounts []uint32, at time.Time, query string) []string {
	d.t.Helper()
	lines := []string{}
	for _, row := range d.read(accounts, metrics.Read{Kind: metrics.KindQuery, Query: query, Time: at}).Result {
		lines = append(lines, fmt.Sprint(row.Metric, " ", row.Value.Value))
	}
	slices.Sort(lines)
	return lines
}

func (d *driver) expect(got any, want any, what string) {
	d.t.Helper()
	if !reflect.DeepEqual(got, want) {
		d.t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func (d *driver) readsWhatWasWritten() {
	from := start()
	d.write(1, line(from, []float64{1, 2, 3, math.Inf(1), 0.1}, "__name__", "first", "job", "防火墙", "quote", `a"b\c`))
	a := d.read([]uint32{1}, metrics.Read{Kind: metrics.KindQueryRange, Query: "first", Start: from, End: from.Add(time.Minute), Step: 15 * time.Second})
	want := metrics.Row{Metric: map[string]string{"__name__": "first", "job": "防火墙", "quote": `a"b\c`}}
	for i, v := range []float64{1, 2, 3, math.Inf(1), 0.1} {
		want.Values = append(want.Values, metrics.Point{Time: from.Add(time.Duration(i) * 15 * time.Second).UTC(), Value: v})
	}
	d.expect(a.Result, []metrics.Row{want}, "a range")
	d.expect(d.values([]uint32{1}, from.Add(30*time.Second), `first{job="防火墙"}`), []string{`map[__name__:first job:防火墙 quote:a"b\c] 3`}, "at one time")
	raw := d.read([]uint32{1}, metrics.Read{Kind: metrics.KindQuery, Query: "first[30s]", Time: from.Add(30 * time.Second)})
	if raw.ResultType != "matrix" || len(raw.Result) != 1 || len(raw.Result[0].Values) != 2 {
		d.t.Errorf("the samples themselves: %+v", raw)
	}
	st, err := d.store.Stats(d.t.Context())
	if err != nil || st.Dropped != 0 {
		d.t.Errorf("stats: %+v %v", st, err)
	}
}

func (d *driver) keepsTenantsApart() {
	from := start()
	d.write(10, line(from, []float64{1, 1, 1}, "__name__", "apart", "secret", "of-ten"))
	d.write(11, line(from, []float64{2, 2, 2}, "__name__", "apart", "secret", "of-eleven"),
		// A sender may try to pass for another tenant.
		line(from, []float64{3, 3, 3}, "__name__", "apart", "icewatch_account", "10", "icewatch_tenant", "t10", "vm_account_id", "10", "secret", "forged"))
	at := from.Add(30 * time.Second)
	for _, query := range []string{
		`apart`, `{__name__="apart"}`, `{__name__=~".+"}`, `apart{icewatch_account="11"}`, `apart{icewatch_account!="10"}`, `apart{icewatch_account=~".*"}`,
		`apart{icewatch_tenant="t11" or secret="of-eleven"}`, `{__graphite__="apart"}`, `sum(apart) by (secret)`, `label_replace(apart, "secret", "$1", "icewatch_account", "(.*)")`,
		`apart or apart{secret="of-eleven"}`, `max_over_time(apart[5m])`, `union(apart, apart{icewatch_account="11"})`, `WITH (f = {icewatch_account="11"}) apart{f}`,
		`count_values("secret", apart)`, `topk(10, apart)`, `apart offset 15s`, `apart @ end()`, `max_over_time(sum(apart) by (secret)[1m:15s])`,
		`absent(apart{secret="of-eleven"})`, `apart{secret="of-ten"} * on() group_right() apart`, `label_set(apart, "icewatch_account", "11")`, `rollup(apart[1m])`,
	} {
		for _, line := range d.values([]uint32{10}, at, query) {
			if strings.Contains(line, "eleven") && !strings.HasPrefix(query, "absent") || strings.Contains(line, "forged") || strings.Contains(line, "icewatch_account") && !strings.Contains(query, "label_") {
				d.t.Errorf("%s shows tenant 10: %s", query, line)
			}
		}
	}
	d.expect(d.values([]uint32{10}, at, "sum(apart)"), []string{"map[] 1"}, "the sum of tenant 10")
	d.expect(d.values([]uint32{11}, at, "sum(apart)"), []string{"map[] 5"}, "the sum of tenant 11")
	d.expect(d.values([]uint32{11, 10, 11}, at, "sum(apart)"), []string{"map[] 6"}, "the sum of both")
	d.expect(d.values([]uint32{11, 10}, at, "sum(apart) by (icewatch_tenant)"), []string{"map[icewatch_tenant:t10] 1", "map[icewatch_tenant:t11] 5"}, "by tenant")
	d.expect(d.values([]uint32{1000}, at, "apart"), []string{}, "a tenant without samples")
	d.expect(d.values(nil, at, "apart"), []string{}, "no tenant")
	d.expect(d.values([]uint32{10}, at, "apart"), []string{"map[__name__:apart secret:of-ten] 1"}, "labels of the store are left out")
	d.expect(d.values([]uint32{1, 0}, at, "apart"), []string{}, "accounts whose numbers begin alike")
}

func (d *driver) cachesApart() {
	from := start().Add(-30 * time.Minute)
	for account := uint32(20); account < 24; account++ {
		d.write(account, line(from, []float64{float64(account), float64(account), float64(account)}, "__name__", "cached"))
	}
	// Twice each, in turns: the second answer is from the cache where there is one.
	for range 2 {
		for account := uint32(20); account < 24; account++ {
			for _, query := range []string{"cached", "sum(cached)", "max_over_time(cached[1m])", "avg_over_time(cached[1h])"} {
				a := d.read([]uint32{account}, metrics.Read{Kind: metrics.KindQueryRange, Query: query, Start: from, End: from.Add(30 * time.Second), Step: 15 * time.Second})
				if len(a.Result) != 1 {
					d.t.Fatalf("%s of account %d: %+v", query, account, a)
				}
				for _, p := range a.Result[0].Values {
					if p.Value != float64(account) {
						d.t.Fatalf("%s of account %d: the value %v is another tenant's", query, account, p.Value)
					}
				}
				d.expect(d.values([]uint32{account}, from.Add(30*time.Second), "sum("+query+")"), []string{fmt.Sprintf("map[] %d", account)}, query)
			}
		}
	}
}

func (d *driver) listsApart() {
	from := start()
	d.write(30, line(from, []float64{1}, "__name__", "only_thirty", "mine", "a"))
	d.write(31, line(from, []float64{1}, "__name__", "only_thirty_one", "theirs", "b", "job", "x/y"))
	list := func(accounts []uint32, r metrics.Read) []string {
		r.Start, r.End = from.Add(-time.Minute), from.Add(time.Minute)
		return d.read(accounts, r).Items
	}
	d.expect(list([]uint32{30}, metrics.Read{Kind: metrics.KindLabels}), []string{"__name__", "mine"}, "label names")
	d.expect(list([]uint32{30}, metrics.Read{Kind: metrics.KindLabels, Match: []string{`{__name__!=""}`}}), []string{"__name__", "mine"}, "label names that match")
	d.expect(list([]uint32{30, 31}, metrics.Read{Kind: metrics.KindLabels}), []string{"__name__", "icewatch_tenant", "job", "mine", "theirs"}, "label names of both")
	d.expect(list([]uint32{30}, metrics.Read{Kind: metrics.KindLabelValues, Label: "__name__"}), []string{"only_thirty"}, "names of metrics")
	d.expect(list([]uint32{31}, metrics.Read{Kind: metrics.KindLabelValues, Label: "job"}), []string{"x/y"}, "values")
	d.expect(list([]uint32{30}, metrics.Read{Kind: metrics.KindLabelValues, Label: "theirs"}), []string{}, "values of another's label")
	d.expect(list([]uint32{30}, metrics.Read{Kind: metrics.KindLabelValues, Label: "theirs", Match: []string{`{icewatch_account="31"}`}}), []string{}, "values by another's account")
	d.expect(list([]uint32{30, 31}, metrics.Read{Kind: metrics.KindLabelValues, Label: metrics.LabelAccount}), []string{}, "accounts")
	d.expect(list([]uint32{30, 31}, metrics.Read{Kind: metrics.KindLabelValues, Label: metrics.LabelTenant}), []string{"t30", "t31"}, "tenants")
	d.expect(list([]uint32{30}, metrics.Read{Kind: metrics.KindLabelValues, Label: metrics.LabelTenant}), []string{}, "the one tenant")
	series := func(accounts []uint32, match ...string) []map[string]string {
		return d.read(accounts, metrics.Read{Kind: metrics.KindSeries, Match: match, Start: from.Add(-time.Minute), End: from.Add(time.Minute)}).Series
	}
	d.expect(series([]uint32{30}), []map[string]string{{"__name__": "only_thirty", "mine": "a"}}, "series")
	d.expect(series([]uint32{30}, `only_thirty_one`, `{job="x/y"}`), []map[string]string{}, "series of another")
	d.expect(len(series([]uint32{30, 31}, `{__name__=~"only.*"}`)), 2, "series of both")
	d.expect(len(d.read([]uint32{30, 31}, metrics.Read{Kind: metrics.KindLabels, Limit: 2, Start: from.Add(-time.Minute), End: from.Add(time.Minute)}).Items) <= 2, true, "a limit")
	d.expect(d.read(nil, metrics.Read{Kind: metrics.KindLabels}).Items, []string{}, "no tenant")
}

func (d *driver) functions() {
	from := start().Add(-10 * time.Minute)
	var counter, gauge []float64
	for i := range 41 {
		counter = append(counter, float64(i*30))
		gauge = append(gauge, float64(i%10))
	}
	d.write(40, line(from, counter, "__name__", "requests_total", "code", "200"), line(from, counter, "__name__", "requests_total", "code", "500"), line(from, gauge, "__name__", "depth"),
		line(from, []float64{10}, "__name__", "latency_bucket", "le", "0.1"), line(from, []float64{20}, "__name__", "latency_bucket", "le", "1"), line(from, []float64{20}, "__name__", "latency_bucket", "le", "+Inf"))
	at := from.Add(10 * time.Minute)
	for query, want := range map[string][]string{
		`sum(rate(requests_total[5m]))`:                                             {"map[] 4"},
		`increase(requests_total{code="500"}[5m])`:                                  {"map[code:500] 600"},
		`sum by (code) (requests_total)`:                                            {"map[code:200] 1200", "map[code:500] 1200"},
		`quantile_over_time(0.5, depth[10m])`:                                       {"map[] 4.5"},
		`histogram_quantile(0.5, latency_bucket @ ` + fmt.Sprint(from.Unix()) + `)`: {"map[] 0.1"},
		`requests_total{code="200"} / ignoring(code) requests_total{code="500"}`:    {"map[] 1"},
		`range_max(depth[10m])`:                                                     nil, // MetricsQL; over a range only, see below
		`max_over_time(depth[10m])`:                                                 {"map[__name__:depth] 9"},
		`count(count by (code) (requests_total))`:                                   {"map[] 2"},
		`vector(42) > 41`:                                                           {"map[] 42"},
		`clamp_max(max_over_time(depth[10m]), 5)`:                                   {"map[__name__:depth] 5"},
	} {
		if want == nil {
			continue
		}
		if strings.Contains(query, "quantile_over_time") {
			if got := d.values([]uint32{40}, at, query); len(got) != 1 {
				d.t.Errorf("%s: %v", query, got)
			}
			continue
		}
		d.expect(d.values([]uint32{40}, at, query), want, query)
	}
	for _, query := range []string{"range_max(depth)", "running_sum(depth)", "interpolate(depth)", "rollup_rate(requests_total[1m])", "median(depth)", "sort_by_label(requests_total, \"code\")"} {
		a := d.read([]uint32{40}, metrics.Read{Kind: metrics.KindQueryRange, Query: query, Start: from, End: at, Step: time.Minute})
		if a.ResultType != "matrix" || len(a.Result) == 0 || len(a.Result[0].Values) == 0 {
			d.t.Errorf("%s: %+v", query, a)
		}
	}
}

func (d *driver) replay() {
	from := start()
	s := line(from, []float64{1, 2, 3}, "__name__", "replayed")
	for range 3 {
		d.write(50, s)
	}
	d.expect(d.values([]uint32{50}, from.Add(30*time.Second), "count_over_time(replayed[10m])"), []string{"map[] 3"}, "samples after three writes")
	d.expect(d.values([]uint32{50}, from.Add(30*time.Second), "sum_over_time(replayed[10m])"), []string{"map[] 6"}, "their sum")
}

func (d *driver) refusals() {
	now := time.Now()
	one := func(at time.Time, pairs ...string) metrics.Series {
		return metrics.Series{Labels: labels(pairs...), Samples: []metrics.Sample{{Time: at.UnixMilli(), Value: 1}}}
	}
	var many []string
	for i := range metrics.MaxLabels {
		many = append(many, fmt.Sprint("label", i), "x")
	}
	full := append([]string{"__name__", "held"}, many[:2*(metrics.MaxLabels-1)]...)
	long := strings.Repeat("长", metrics.MaxLabelValue/3)
	half := one(now.Add(-time.Minute), "__name__", "half")
	half.Samples = append(half.Samples, metrics.Sample{Time: now.Add(-keep - time.Hour).UnixMilli()}, metrics.Sample{Time: now.Add(2 * time.Hour).UnixMilli()})
	w := d.write(60, one(now.Add(-time.Minute), full...), one(now.Add(-time.Minute), "__name__", "held_long", "text", long), half,
		one(now.Add(-time.Minute), append([]string{"__name__", "too_many"}, many...)...),
		one(now.Add(-time.Minute), "__name__", "too_long", "text", long+"xxxx"),
		one(now.Add(-time.Minute), "__name__", "twice", "a", "1", "a", "2"),
		one(now.Add(-time.Minute), "nameless", "1"), one(now.Add(-time.Minute), "__name__", "not_utf8", "a", "\xff"),
		one(now.Add(-keep-time.Hour), "__name__", "too_old"), one(now.Add(2*time.Hour), "__name__", "too_early"))
	if w.Samples != 3 || w.Dropped != 9 || len(w.Refused) != 8 {
		d.t.Errorf("%d stored, %d dropped, refused: %+v", w.Samples, w.Dropped, w.Refused)
	}
	for _, r := range w.Refused {
		if r.Reason == "" {
			d.t.Errorf("%s was refused without a reason", r.Metric)
		}
	}
	d.expect(d.values([]uint32{60}, now, "count({__name__=~\".+\"})"), []string{"map[] 3"}, "what is held")
	if st, err := d.store.Stats(d.t.Context()); err != nil || st.Dropped != 0 {
		d.t.Errorf("the engine dropped samples by itself: %+v %v", st, err)
	}
}

func (d *driver) wrongQueries() {
	for _, r := range []metrics.Read{
		{Kind: metrics.KindQuery, Query: "sum("}, {Kind: metrics.KindQuery, Query: " "}, {Kind: metrics.KindQuery, Query: "nosuchfunction(up)"},
		{Kind: metrics.KindQuery, Query: `up{a=~"("}`}, {Kind: metrics.KindQuery, Query: strings.Repeat("a", metrics.MaxQuery+1)},
		{Kind: metrics.KindQueryRange, Query: "up", Start: start(), End: start().Add(time.Hour)},
		{Kind: metrics.KindQueryRange, Query: "up", Start: start(), End: start().Add(-time.Hour), Step: time.Second},
		{Kind: metrics.KindQueryRange, Query: "up", Start: start().Add(-100 * time.Hour), End: start(), Step: time.Second},
		{Kind: metrics.KindSeries, Match: []string{"{"}}, {Kind: metrics.KindLabelValues}, {Kind: "delete_series"},
	} {
		_, err := d.store.Read(d.t.Context(), []uint32{1}, r)
		var qe *metrics.QueryError
		if !errors.As(err, &qe) || qe.Reason == "" {
			d.t.Errorf("%.60v: %v", r, err)
		}
	}
}

func (d *driver) restart() {
	from := start()
	w := d.write(70, line(from, []float64{7, 7, 7}, "__name__", "kept"))
	time.Sleep(1100 * time.Millisecond) // a server tells its start to a second
	d.reopen()
	d.expect(d.values([]uint32{70}, from.Add(30*time.Second), "kept"), []string{"map[__name__:kept] 7"}, "after a restart")
	again := d.write(70, line(from.Add(time.Minute), []float64{8}, "__name__", "kept"))
	if w.Boot != "" && w.Boot == again.Boot {
		d.t.Errorf("the restart does not show: %q", w.Boot)
	}
	if d.crash == nil {
		return
	}
	time.Sleep(1100 * time.Millisecond)
	d.crash()
	// What was not on the disk yet is written again, as the restart shows.
	third := d.write(70, line(from.Add(2*time.Minute), []float64{9}, "__name__", "kept"))
	if third.Boot == again.Boot {
		d.t.Fatalf("the crash does not show: %q", third.Boot)
	}
	d.write(70, line(from.Add(time.Minute), []float64{8}, "__name__", "kept"))
	d.expect(d.values([]uint32{70}, from.Add(2*time.Minute), "sum_over_time(kept[1h])"), []string{"map[] 38"}, "after a crash and a replay")
}

func TestSnapshotIsAStore(t *testing.T) {
	dir := t.TempDir()
	open := func(dir string) *metrics.Store {
		t.Helper()
		b, err := embedded.Open(embedded.Options{Dir: dir, Retention: keep})
		if err != nil {
			t.Fatal(err)
		}
		return metrics.New(b, keep)
	}
	d := &driver{t: t, store: open(filepath.Join(dir, "a"))}
	from := start()
	d.write(1, line(from, []float64{1}, "__name__", "before"))
	snap, release, err := d.store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.write(1, line(from, []float64{1}, "__name__", "after"))
	if _, err := embedded.Open(embedded.Options{Dir: filepath.Join(dir, "b"), Retention: keep}); err == nil {
		t.Error("a second store opened beside the first")
	}
	copied := filepath.Join(dir, "copy")
	for _, part := range []string{"data/small", "data/big", "indexdb", "metadata"} {
		from, err := filepath.EvalSymlinks(filepath.Join(snap, part))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(copied, part), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(snap); err == nil {
		t.Error("the snapshot is still there")
	}
	_ = d.store.Close()
	d.store = open(copied)
	defer d.store.Close()
	d.expect(d.read([]uint32{1}, metrics.Read{Kind: metrics.KindLabelValues, Label: "__name__", Start: from.Add(-time.Minute), End: from.Add(time.Minute)}).Items, []string{"before"}, "what the copy holds")
}

func TestWhatACrashLeavesOpens(t *testing.T) {
	dir := t.TempDir()
	open := func() *metrics.Store {
		t.Helper()
		b, err := embedded.Open(embedded.Options{Dir: dir, Retention: keep})
		if err != nil {
			t.Fatal(err)
		}
		return metrics.New(b, keep)
	}
	d := &driver{t: t, store: open()}
	from := start()
	d.write(1, line(from, []float64{1}, "__name__", "left"))
	if _, _, err := d.store.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = d.store.Close()
	lists, err := filepath.Glob(filepath.Join(dir, "data", "small", "*", "parts.json"))
	if err != nil || len(lists) == 0 {
		t.Fatalf("%v %v", lists, err)
	}
	for _, list := range lists {
		if err := os.Remove(list); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(filepath.Dir(list), "187ABCDEF0123456"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.store = open()
	defer d.store.Close()
	d.expect(d.values([]uint32{1}, from, "left"), []string{"map[__name__:left] 1"}, "after a crash before the list of parts was written")
	if held, err := os.ReadDir(filepath.Join(dir, "snapshots")); err != nil || len(held) != 0 {
		t.Errorf("snapshots of before: %v %v", held, err)
	}
}

func TestServersThatWouldLoseSamplesAreRefused(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{"-dedup.minScrapeInterval=0s": "-dedup.minScrapeInterval=1ms", "-retentionPeriod=3d": "-retentionPeriod=2160h"} {
		s := peers.StartVictoriaMetrics(t, flag)
		_, err := remote.Open(t.Context(), remote.Options{Write: node.Options{URL: s.URL}, Read: node.Options{URL: s.URL}}, keep)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), strings.TrimPrefix(s.URL, "http://")) {
			t.Errorf("%s: %v", flag, err)
		}
		s.Stop()
		_, err = remote.Open(t.Context(), remote.Options{Write: node.Options{URL: s.URL}, Read: node.Options{URL: s.URL}}, keep)
		if err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("without a server: %v", err)
		}
		s.Start()
	}
}

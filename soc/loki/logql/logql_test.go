package logql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/dskit/user"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/lake"
	"icewatch/soc/pipeline"
	"icewatch/soc/reach"
	"icewatch/soc/retention"
	"icewatch/soc/search"
)

// house is a real lake that the real pipeline fills.
type house struct {
	search.Store // nothing else is asked
	lake         *lake.Lake
	asked        []string // LogsQL
}

const (
	keep    = 50 * 365 * 24 * time.Hour
	account = 7
)

// Query implements search.Store for one tenant.
func (h *house) Query(ctx context.Context, r search.Request, emit func([]byte) error) error {
	h.asked = append(h.asked, r.Query)
	if !r.Reach.CoversTenant("seal") {
		return nil
	}
	return h.lake.Rows(ctx, lake.Query{Accounts: []uint32{account}, Filter: r.Reach.LogsQL(), LogsQL: r.Query, Start: r.Start, End: r.End.Add(-1), Limit: r.Limit}, emit)
}

func newHouse(t testing.TB, records []intake.Record) *house {
	t.Helper()
	lk, err := lake.Open(lake.Options{Dir: filepath.Join(t.TempDir(), "lake"), Classes: []lake.Class{{Name: retention.Standard, Retention: keep}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lk.Close() })
	reg := event.NewRegistry(0)
	pipe := pipeline.New(pipeline.Options{Registry: reg, Keeping: &retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: keep}}}, Future: time.Hour})
	index, err := enrich.NewIndex(enrich.Snapshot{})
	if err != nil {
		t.Fatal(err)
	}
	pipe.SetIndex(index)
	pipe.SetDirectory(pipeline.Directory{"unassigned": pipeline.Place{Account: 1}, "seal": pipeline.Place{Account: account}})
	w := lk.NewWriter(reg)
	for i, rec := range records {
		rec.Tenant, rec.Received = "seal", epoch.UnixNano()
		var ev event.Event
		place := pipe.Fill(&rec, event.ID{Epoch: "e", Sequence: uint64(i + 1)}, &ev)
		if err := w.Add(&ev, lake.Space{Account: place.Account, Class: place.Class}, ""); err != nil {
			t.Fatal(err)
		}
		if w.Size() > 8<<20 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	lk.Flush()
	return &house{lake: lk}
}

var epoch = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// pushed is a record as Loki's clients bring it.
func pushed(at time.Time, line string, pairs ...string) intake.Record {
	rec := intake.Record{Collector: "loki-push", Format: intake.Line, Time: at.UnixNano(), Data: []byte(line)}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == "" { // structured metadata from here on
			rec.Attrs = append(rec.Attrs, intake.Attr{Name: intake.MetadataMark})
			i--
			continue
		}
		rec.Attrs = append(rec.Attrs, intake.Attr{Name: pairs[i], Value: pairs[i+1]})
	}
	if !slices.ContainsFunc(rec.Attrs, func(a intake.Attr) bool { return a.Name == intake.MetadataMark }) {
		rec.Attrs = append(rec.Attrs, intake.Attr{Name: intake.MetadataMark})
	}
	return rec
}

// mixed are pushed lines and events of other ways, an hour of them.
func mixed(n int) []intake.Record {
	var list []intake.Record
	for i := range n {
		at := epoch.Add(-time.Hour + time.Duration(i)*time.Hour/time.Duration(n) + time.Duration(i%7))
		switch i % 5 {
		case 0:
			list = append(list, pushed(at, fmt.Sprintf(`{"level":"%s","n":%d,"msg":"took %d ms"}`, []string{"info", "error"}[i%2], i, i%50), "app", "web", "env", "prod"))
		case 1:
			list = append(list, pushed(at, fmt.Sprintf("plain line %d of queue-%d", i, i%3), "app", "plain", "env", "test", "", "trace_id", fmt.Sprint("t", i%4)))
		case 2:
			list = append(list, pushed(at, fmt.Sprintf("level=warn user=u%d took=%dms", i%6, i), "app", "api", "env", "prod"))
		case 3:
			list = append(list, intake.Record{Collector: "syslog-udp", Format: intake.Syslog, Time: at.UnixNano(),
				Data: []byte(fmt.Sprintf("<86>1 %s web-%d sshd 7 - - Failed password for user%d from 203.0.113.%d port 4022 ssh2", at.Format(time.RFC3339Nano), i%3, i%4, i%9))})
		default:
			list = append(list, intake.Record{Collector: "elastic-bulk", Format: intake.JSON, Time: at.UnixNano(),
				Data: []byte(fmt.Sprintf(`{"@timestamp":%q,"host":{"name":"db-%d"},"service":{"name":"shop"},"log":{"level":"warning"},"user":{"name":"u%d"},"message":"query %d done"}`, at.Format(time.RFC3339Nano), i%2, i%3, i))})
		}
	}
	return list
}

func (h *house) run(t testing.TB, query string, step time.Duration, push bool) (logqlmodel.Result, error) {
	t.Helper()
	start, end := epoch.Add(-time.Hour), epoch
	if step == 0 {
		start = end
	}
	p, err := Params(query, start, end, step, 0, logproto.BACKWARD, 1000)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	e := New(h, Limits{})
	if push {
		return e.Query(t.Context(), reach.Tenants("seal"), p)
	}
	q := e.question(reach.Tenants("seal"), p.GetExpression())
	return logql.NewEngine(logql.EngineOpts{}, q, engineLimits{e.limits}, nil).Query(p).Exec(user.InjectOrgID(t.Context(), "x"))
}

// TestTheLakeCountsAsLokiDoes asks with and without having the lake count: the
// answers are the same, and where it counts no row is read.
func TestTheLakeCountsAsLokiDoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, mixed(600))
	counts, reads := 0, 0
	for _, query := range []string{
		`count_over_time({app="web"}[5m])`, `rate({app=~"web|api"}[7m])`, `bytes_over_time({env="prod"}[5m])`, `bytes_rate({app="plain"}[10m])`, `count_over_time({app="plain"}[5m])`,
		`sum by (app) (count_over_time({env=~".+"}[5m]))`, `sum(count_over_time({env=~".+"}[5m]))`, `sum by (trace_id) (count_over_time({app="plain"}[10m]))`, `sum without (env) (rate({app!="web",env=~".+"}[5m]))`,
		`count_over_time({app="plain"} | trace_id="t1" [5m])`, `sum by (app) (count_over_time({env=~".+"} |= "queue-1" [5m]))`, `sum by (app) (count_over_time({env=~".+"} |= "took" != "warn" [5m]))`, `sum(bytes_over_time({app="web"} |= "info" [5m]))`,
		`count_over_time({app="api"} |~ "user=u[0-3] " [5m] offset 10m)`, `sum by (host) (count_over_time({dataset=~".+"}[5m]))`, `count_over_time({tenant="seal"}[10m])`, `rate({host="web-1"}[5m])`, `sum by (user_name) (count_over_time({source=~"syslog-udp|elastic-bulk"}[10m]))`,
		`sum by (user_name) (count_over_time({service="shop"} | user_name!="u1" [10m]))`, `sum by (level) (count_over_time({source="elastic-bulk"} |= "query" [10m]))`, `sum by (level, detected_level) (count_over_time({app=~".+"}[5m]))`,
		`sum by (detected_level) (count_over_time({tenant="seal"}[5m]))`, `sum by (source) (bytes_over_time({tenant="seal"} |= "password" [10m]))`, `absent_over_time({app="nothing"}[5m])`, `absent_over_time({app="web"} |= "info" [2m])`,
		`topk(1, sum by (app) (bytes_over_time({env="prod"}[10m])))`, `sum(count_over_time({app="web"}[5m])) / sum(bytes_over_time({app="web"}[5m]))`, `max by (env) (count_over_time({app=~".+"}[3m]))`, `count_over_time({app="web",host=""}[5m])`, "sum by (level, detected_level) (count_over_time({app=~`.+`} |= `` [5m]))",
	} {
		for _, step := range []time.Duration{0, time.Minute, 7 * time.Minute} {
			h.asked = nil
			got, err := h.run(t, query, step, true)
			if err != nil {
				t.Errorf("%s: %v", query, err)
				continue
			}
			for _, q := range h.asked {
				if strings.Contains(q, "| stats by (") {
					counts++
				} else if !strings.Contains(q, `"icewatch.raw":*`) {
					t.Errorf("%s reads rows: %s", query, q)
				} else {
					reads++
				}
			}
			want, err := h.run(t, query, step, false)
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			if a, b := show(got), show(want); a != b {
				t.Errorf("%s by %s: the lake counts\n%.900s\nLoki\n%.900s\nasked %q", query, step, a, b, h.asked)
			}
		}
	}
	if counts == 0 {
		t.Error("the lake counted nothing")
	}
}

// show writes an answer so that equal ones are equal texts.
func show(r logqlmodel.Result) string {
	var list []string
	add := func(set labels.Labels, points []promql.FPoint) {
		text := set.String()
		for _, p := range points {
			text += fmt.Sprintf(" %d=%s", p.T, strconv.FormatFloat(math.Round(p.F*1e9)/1e9, 'g', -1, 64))
		}
		list = append(list, text)
	}
	switch x := r.Data.(type) {
	case promql.Matrix:
		for _, s := range x {
			add(s.Metric, s.Floats)
		}
	case promql.Vector:
		for _, s := range x {
			add(s.Metric, []promql.FPoint{{T: s.T, F: s.F}})
		}
	default:
		return fmt.Sprintf("%T", r.Data)
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// TestPages reads lines by pages whose ends lie amid lines of one time, both
// ways: each comes once.
func TestPages(t *testing.T) {
	t.Parallel()
	var records []intake.Record
	for i := range 2600 {
		at := epoch.Add(-time.Minute + time.Duration(i/700)*time.Second)
		if i >= 2100 {
			at = epoch.Add(-time.Minute + time.Duration(i)*time.Millisecond)
		}
		records = append(records, pushed(at, fmt.Sprint("line ", i), "app", "a", "n", fmt.Sprint(i%3)))
	}
	h := newHouse(t, records)
	for _, direction := range []logproto.Direction{logproto.FORWARD, logproto.BACKWARD} {
		for _, query := range []string{`{app="a"}`, `{app="a"} |= "7"`, `{app=~"a|b",n!="1"}`} {
			p, err := Params(query, epoch.Add(-time.Hour), epoch, 0, 0, direction, 5000)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			e := New(h, Limits{})
			q := e.question(reach.Tenants("seal"), p.GetExpression())
			params := logql.SelectLogParams{QueryRequest: &logproto.QueryRequest{Start: p.Start(), End: p.End(), Limit: 1, Direction: direction}}
			params.Plan = planOf(p.GetExpression())
			it, err := q.lines(t.Context(), params)
			if err != nil {
				t.Fatal(err)
			}
			last := time.Time{}
			for it.Next() {
				x := it.line()
				seen[x.Text]++
				if !last.IsZero() && (direction == logproto.FORWARD && x.Time.Before(last) || direction == logproto.BACKWARD && x.Time.After(last)) {
					t.Fatalf("%s %s: %s after %s", query, direction, x.Time, last)
				}
				last = x.Time
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
			want := 0
			for i := range records {
				line := fmt.Sprint("line ", i)
				holds := !strings.Contains(query, `|= "7"`) || strings.Contains(line, "7")
				if holds = holds && (!strings.Contains(query, "n!=") || i%3 != 1); holds {
					want++
				}
				if (seen[line] == 1) != holds {
					t.Fatalf("%s %s: %q came %d times", query, direction, line, seen[line])
				}
			}
			if len(seen) != want {
				t.Errorf("%s %s: %d lines, want %d", query, direction, len(seen), want)
			}
		}
	}
}

// TestEvents shows an event that did not come by Loki's API.
func TestEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t, mixed(20))
	res, err := h.run(t, `{source="elastic-bulk",service="shop"} | user_name="u1" | line_format "{{.user_name}}: {{.event_id}}"`, time.Minute, true)
	if err != nil {
		t.Fatal(err)
	}
	streams := res.Data.(logqlmodel.Streams)
	if len(streams) == 0 {
		t.Fatal("no lines")
	}
	for _, s := range streams {
		if !strings.Contains(s.Labels, `level="warning"`) || !strings.Contains(s.Labels, `tenant="seal"`) || !strings.HasPrefix(s.Entries[0].Line, "u1: e-") {
			t.Errorf("%s %q", s.Labels, s.Entries[0].Line)
		}
	}
}

// TestLimits are refused as Loki does.
func TestLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t, mixed(200))
	e := New(h, Limits{Entries: 10, Series: 3, Range: 2 * time.Hour, Scanned: 50})
	for _, x := range []struct {
		query string
		back  time.Duration
		limit uint32
		want  string
	}{
		{`{app="web"}`, time.Hour, 11, "max entries limit per query exceeded, limit > max_entries_limit_per_query (11 > 10)"},
		{`{app="web"}`, 3 * time.Hour, 10, "the query time range exceeds the limit (query length: 3h0m0s, limit: 2h0m0s)"},
		{`sum by (n) (count_over_time({app="web"} | json [1h]))`, time.Hour, 10, "maximum number of series (3) reached for a single query"},
		{`sum(count_over_time({tenant=~".*",app=~".+"} | json [1h]))`, time.Hour, 10, "the query reads more than 50 lines"},
		{`count_over_time({app="web"}[5h])`, time.Hour, 10, "[interval] value exceeds limit"},
	} {
		p, err := Params(x.query, epoch.Add(-x.back), epoch, time.Minute, 0, logproto.BACKWARD, x.limit)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Query(t.Context(), reach.Tenants("seal"), p)
		if err == nil || !strings.Contains(err.Error(), x.want) || !errors.Is(err, logqlmodel.ErrLimit) && !errors.Is(err, logqlmodel.ErrIntervalLimit) {
			t.Errorf("%s: %v, want %s", x.query, err, x.want)
		}
	}
	p, _ := Params(`{tenant=~".+"}`, epoch.Add(-time.Hour), epoch, time.Minute, 0, logproto.BACKWARD, 10)
	res, err := e.Query(t.Context(), reach.None(), p)
	if err != nil || len(res.Data.(logqlmodel.Streams)) != 0 {
		t.Errorf("who sees nothing sees %v %v", res.Data, err)
	}
}

// TestSieves writes selectors as LogsQL.
func TestSieves(t *testing.T) {
	t.Parallel()
	f := func(query, pushed, events, line string) {
		t.Helper()
		e, err := syntax.ParseLogSelector(query, true)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := pushedSieve(e.Matchers()); got != pushed {
			t.Errorf("%s: pushed %s", query, got)
		}
		if got, _ := eventSieve(e.Matchers()); got != events {
			t.Errorf("%s: events %s", query, got)
		}
		if got := lineSieve(stagesOf(e)); got != line {
			t.Errorf("%s: line %s", query, got)
		}
	}
	f(`{app="a\"b"}`, `"icewatch.labels":* "icewatch.labels":~"\"app\":\"a\\\\\"b\""`, "", "")
	f(`{host="web",level!=""}`, `"icewatch.labels":* "icewatch.labels":~"\"host\":\"web\""`, `"icewatch.labels":"" "host.name":="web" "log.level":*`, "")
	f(`{host=~"w.+",app!="x"} |= "a.b"`, `"icewatch.labels":*`, `"icewatch.labels":"" "host.name":~"^(?:w.+)$"`,
		`(("icewatch.raw":*) or ((("event.original":* (("event.original":~"a\\.b"))) or ("event.original":"" (("message":~"a\\.b"))))))`)
	f(`{host="w"} | line_format "x" |= "y"`, `"icewatch.labels":* "icewatch.labels":~"\"host\":\"w\""`, `"icewatch.labels":"" "host.name":="w"`, "")
	f(`{host="w"} |~ "a.*b"`, `"icewatch.labels":* "icewatch.labels":~"\"host\":\"w\""`, `"icewatch.labels":"" "host.name":="w"`, "")
}

// TestFieldsOf lists what a label may be.
func TestFieldsOf(t *testing.T) {
	t.Parallel()
	got := fieldsOf("user_effective_name")
	slices.Sort(got)
	if want := []string{"user.effective.name", "user.effective_name", "user_effective.name", "user_effective_name"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// FuzzQuery has any text parsed and written as LogsQL.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{`{app="a"} |= "b" or "c" | json | d > 5 | line_format "{{.e}}"`, `sum by (a) (rate({b=~"c.*"} != "d" [5m] offset 1m)) / 2`, `{a!~"("}`, "{a=`\\`}"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Params(text, epoch.Add(-time.Hour), epoch, time.Minute, 0, logproto.BACKWARD, 100)
		if err != nil {
			return
		}
		named(p.GetExpression())
		if sample, ok := p.GetExpression().(syntax.SampleExpr); ok {
			q := &question{}
			sample.Walk(func(e syntax.Expr) bool {
				if r, ok := e.(*syntax.RangeAggregationExpr); ok {
					q.push(r, p.Start(), p.End(), p.Step())
				}
				return true
			})
			return
		}
		e := p.GetExpression().(syntax.LogSelectorExpr)
		pushedSieve(e.Matchers())
		eventSieve(e.Matchers())
		lineSieve(stagesOf(e))
	})
}

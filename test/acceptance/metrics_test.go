package acceptance

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"syscall"
	"testing"
	"time"

	"icewatch/soc/client"
)

// askMetrics asks the metric lake at one time and gives the values by the
// label named.
func askMetrics(c *client.Client, query, label string) (map[string]float64, error) {
	var a struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"`
		} `json:"result"`
	}
	if err := c.Get(context.Background(), "/api/v1/metrics/query", url.Values{"query": {query}}, &a); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, row := range a.Result {
		var v float64
		if _, err := fmt.Sscan(fmt.Sprint(row.Value[1]), &v); err != nil {
			return nil, err
		}
		out[row.Metric[label]] = v
	}
	return out, nil
}

// TestTheSuiteKeepsAHistoryOfItself reads its own figures back from the metric
// lake, over a crash of the engine, and not with another tenant's token.
func TestTheSuiteKeepsAHistoryOfItself(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "metrics: {interval: 1s}\n")
	s.sendTCP([]byte("<13>1 2026-01-01T00:00:00Z h a - - - one\n"))
	samples := func(c *client.Client) float64 {
		got, err := askMetrics(c, `sum(count_over_time(icewatch_bus_records_total[10m]))`, "")
		if err != nil {
			t.Fatal(err)
		}
		return got[""]
	}
	eventually(t, 20*time.Second, "five samples of the suite's own figures", func() error {
		if n := samples(s.admin); n < 5 {
			return fmt.Errorf("%v samples", n)
		}
		return nil
	})
	before := samples(s.admin)
	if err := syscall.Kill(s.enginePID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	s.ready(30 * time.Second)
	// One sample for each second, those of the engine's absence included.
	began := time.Now()
	eventually(t, 30*time.Second, "the history has no gap", func() error {
		got, err := askMetrics(s.admin, `max(timestamp(icewatch_bus_records_total)) - min(tfirst_over_time(icewatch_bus_records_total[10m])) + 1 - sum(count_over_time(icewatch_bus_records_total[10m]))`, "")
		if err != nil {
			return err
		}
		if missing, ok := got[""]; !ok || missing != 0 {
			return fmt.Errorf("%v samples are missing (%v)", missing, got)
		}
		if n := samples(s.admin); n < before+5 {
			return fmt.Errorf("%v samples", n)
		}
		return nil
	})
	t.Logf("%v samples before the crash, %v after, whole after %s", before, samples(s.admin), time.Since(began).Round(time.Millisecond))

	other := s.token("alipay-mini-program", "read")
	for _, query := range []string{"icewatch_bus_records_total", `{__name__=~".+"}`, `{icewatch_tenant="city"}`, `count({__name__!=""})`} {
		if got, err := askMetrics(other, query, "__name__"); err != nil || len(got) != 0 {
			t.Errorf("another tenant's token sees by %s: %v %v", query, got, err)
		}
	}
	list := func(c *client.Client, path string, q url.Values) (items []any) {
		t.Helper()
		var a struct{ Items []any }
		if err := c.Get(context.Background(), "/api/v1/metrics/"+path, q, &a); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return a.Items
	}
	names := url.Values{"label": {"__name__"}}
	if n := len(list(s.admin, "label-values", names)); n < 30 {
		t.Errorf("%d metrics of the suite", n)
	}
	if n := len(list(s.admin, "series", url.Values{"match": {"icewatch_engine_up"}})); n != 1 {
		t.Errorf("%d series of icewatch_engine_up", n)
	}
	for path, q := range map[string]url.Values{"labels": nil, "label-values": names, "series": nil} {
		if items := list(other, path, q); len(items) != 0 {
			t.Errorf("another tenant's token lists %s: %v", path, items)
		}
	}
	if labels := list(s.admin, "labels", url.Values{"tenant": {"city"}}); !slices.Contains(labels, any("__name__")) || slices.Contains(labels, any("icewatch_tenant")) {
		t.Errorf("labels: %v", labels)
	}
	var curve struct {
		ResultType string
		Result     []struct{ Values [][2]any }
	}
	if err := s.admin.Get(context.Background(), "/api/v1/metrics/query_range", url.Values{"query": {"icewatch_engine_up"}, "since": {"1m"}, "step": {"1s"}}, &curve); err != nil ||
		curve.ResultType != "matrix" || len(curve.Result) != 1 || len(curve.Result[0].Values) < 5 {
		t.Errorf("a curve: %+v %v", curve, err)
	}
	if _, err := askMetrics(s.admin, "sum(", ""); err == nil {
		t.Error("a wrong query is answered")
	}
}

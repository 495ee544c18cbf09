package otlp

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"icewatch/soc/metrics"
)

const pointTime = 1795395600_000_000_000

// everyMetric is a request with a metric of each kind.
func everyMetric() *metricspb.MetricsData {
	number := func(v float64, attrs ...*commonpb.KeyValue) *metricspb.NumberDataPoint {
		return &metricspb.NumberDataPoint{TimeUnixNano: pointTime, Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: v}, Attributes: attrs}
	}
	return &metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			attr("service.name", str("permits")), attr("service.namespace", str("housing")), attr("service.instance.id", str("p-1")), attr("host.name", str("node-3")),
			attr("process.command_args", &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{str("a"), {Value: &commonpb.AnyValue_IntValue{IntValue: 1}}}}}})}},
		ScopeMetrics: []*metricspb.ScopeMetrics{{Metrics: []*metricspb.Metric{
			{Name: "system.memory.usage", Unit: "By", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{
				number(5, attr("state.of", str("b")), attr("state_of", str("c"))), {TimeUnixNano: pointTime, Flags: 1}}}}},
			{Name: "http.requests", Unit: "{request}", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{IsMonotonic: true, AggregationTemporality: cumulative, DataPoints: []*metricspb.NumberDataPoint{
				{TimeUnixNano: pointTime, Value: &metricspb.NumberDataPoint_AsInt{AsInt: 7}}}}}},
			{Name: "queue.size", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{AggregationTemporality: cumulative, DataPoints: []*metricspb.NumberDataPoint{number(3)}}}},
			{Name: "http.server.duration", Unit: "s", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{AggregationTemporality: cumulative, DataPoints: []*metricspb.HistogramDataPoint{
				{TimeUnixNano: pointTime, Count: 6, Sum: proto.Float64(2.5), ExplicitBounds: []float64{0.1, 1}, BucketCounts: []uint64{1, 2, 3}}}}}},
			{Name: "size", Unit: "By", Data: &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{AggregationTemporality: cumulative, DataPoints: []*metricspb.ExponentialHistogramDataPoint{
				{TimeUnixNano: pointTime, Count: 10, Sum: proto.Float64(20), ZeroCount: 1,
					Positive: &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: 1, BucketCounts: []uint64{3, 0, 4, 0}},
					Negative: &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: 0, BucketCounts: []uint64{1, 1, 0}}}}}}},
			{Name: "rpc.latency", Unit: "ms", Data: &metricspb.Metric_Summary{Summary: &metricspb.Summary{DataPoints: []*metricspb.SummaryDataPoint{
				{TimeUnixNano: pointTime, Count: 2, Sum: 9, QuantileValues: []*metricspb.SummaryDataPoint_ValueAtQuantile{{Quantile: 0.5, Value: 4}}}}}}},
			{Name: "delta", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA, DataPoints: []*metricspb.NumberDataPoint{number(1), number(2)}}}},
			{Name: "odd", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{AggregationTemporality: cumulative, DataPoints: []*metricspb.HistogramDataPoint{
				{TimeUnixNano: pointTime, ExplicitBounds: []float64{1}, BucketCounts: []uint64{1}}}}}},
			{Name: "timeless", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{{Value: &metricspb.NumberDataPoint_AsInt{AsInt: 7}}}}}},
		}}}}}}
}

// everySeries is what becomes of it: names, labels and values as Prometheus
// makes them of the same request.
const everySeries = `system_memory_usage_bytes{job="housing/permits",instance="p-1",host_name="node-3",state_of="b;c"} 5
system_memory_usage_bytes{job="housing/permits",instance="p-1",host_name="node-3"} stale
http_requests_total{job="housing/permits",instance="p-1",host_name="node-3"} 7
queue_size{job="housing/permits",instance="p-1",host_name="node-3"} 3
http_server_duration_seconds_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="0.1"} 1
http_server_duration_seconds_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="1"} 3
http_server_duration_seconds_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="+Inf"} 6
http_server_duration_seconds_sum{job="housing/permits",instance="p-1",host_name="node-3"} 2.5
http_server_duration_seconds_count{job="housing/permits",instance="p-1",host_name="node-3"} 6
size_bytes_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="-2"} 1
size_bytes_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="-1"} 2
size_bytes_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="0"} 3
size_bytes_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="4"} 6
size_bytes_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="8"} 6
size_bytes_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="16"} 10
size_bytes_bucket{job="housing/permits",instance="p-1",host_name="node-3",le="+Inf"} 10
size_bytes_sum{job="housing/permits",instance="p-1",host_name="node-3"} 20
size_bytes_count{job="housing/permits",instance="p-1",host_name="node-3"} 10
rpc_latency_milliseconds{job="housing/permits",instance="p-1",host_name="node-3",quantile="0.5"} 4
rpc_latency_milliseconds_sum{job="housing/permits",instance="p-1",host_name="node-3"} 9
rpc_latency_milliseconds_count{job="housing/permits",instance="p-1",host_name="node-3"} 2
target_info{host_name="node-3",process_command_args="[\"a\",1]",job="housing/permits",instance="p-1"} 1
`

func render(list []metrics.Series) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString(s.Name() + "{")
		sep := ""
		for _, l := range s.Labels {
			if l.Name != metrics.LabelName {
				fmt.Fprintf(&b, "%s%s=%q", sep, l.Name, l.Value)
				sep = ","
			}
		}
		if math.Float64bits(s.Samples[0].Value) == math.Float64bits(staleNaN) {
			b.WriteString("} stale\n")
		} else {
			fmt.Fprintf(&b, "} %g\n", s.Samples[0].Value)
		}
	}
	return b.String()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newServer(Options{Promote: []string{"host.name", "absent"}})
	a := s.post(t, "metrics", marshal(t, everyMetric()), typeProto)
	if a.status != 200 || !strings.Contains(string(a.body), `4 of 11 data points were not stored; the first: "delta": its temporality is delta`) {
		t.Errorf("%d %q", a.status, a.body)
	}
	got, want := strings.Split(render(s.samples.series), "\n"), strings.Split(everySeries, "\n")
	for i := range max(len(got), len(want)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("got  %s\nwant %s", g, w)
		}
	}
	if h := s.h.Health(""); h.Received != 7 || h.Rejected != 4 {
		t.Errorf("health %+v", h)
	}
}

func TestMetricsAsJSON(t *testing.T) {
	t.Parallel()
	s := newServer(Options{})
	body := `{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},"scopeMetrics":[{"metrics":[{"name":"x.y","unit":"1","futureField":1,
		"gauge":{"dataPoints":[{"asInt":"5","timeUnixNano":"1795395600000000000","exemplars":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","asDouble":1}]},{"asDouble":1,"timeUnixNano":"1000000"}]}}]}]}]}`
	a := s.post(t, "metrics", []byte(body), typeJSON)
	var got struct {
		PartialSuccess struct{ RejectedDataPoints, ErrorMessage string }
	}
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if r := render(s.samples.series); r != "x_y_ratio{job=\"a\"} 5\nx_y_ratio{job=\"a\"} 1\n" {
		t.Errorf("%s", r)
	}
}

// TestWhatTheLakeDoesNotHold is refused by data point, not by series.
func TestWhatTheLakeDoesNotHold(t *testing.T) {
	t.Parallel()
	s := newServer(Options{Samples: metrics.Limits{Retention: 1}}) // all of it is too old, or too far ahead
	a := s.post(t, "metrics", marshal(t, everyMetric()), typeProto)
	if a.status != 200 || !strings.Contains(string(a.body), "11 of 11 data points") || len(s.samples.series) != 0 {
		t.Errorf("%d %q, %d series", a.status, a.body, len(s.samples.series))
	}
}

// TestExponentialBounds: a bucket's bounds are those that the
// specification gives it, at every scale.
func TestExponentialBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scale, offset int32
		le            string
	}{{0, 0, "2"}, {1, 0, "1.4142135623730951"}, {-1, 0, "4"}, {0, -1, "1"}, {3, -1, "1"}, {0, 99, "1.2676506002282294e+30"}, {-10, 5, "+Inf"}, {0, -1075, "5e-324"}} {
		tr := newTranslation(nil)
		b := builder{t: tr, name: "x", time: 1}
		err := tr.exponential(&b, &metricspb.ExponentialHistogramDataPoint{Scale: c.scale, Count: 1, Positive: &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: c.offset, BucketCounts: []uint64{1}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := render(tr.series); !strings.Contains(got, `x_bucket{le="`+c.le+`"} 1`) {
			t.Errorf("scale %d, offset %d: %s", c.scale, c.offset, got)
		}
	}
	tr := newTranslation(nil)
	if err := tr.exponential(&builder{t: tr}, &metricspb.ExponentialHistogramDataPoint{Scale: 21}); err == nil {
		t.Error("a scale of 21 was read")
	}
}

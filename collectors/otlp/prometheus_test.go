package otlp

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pmetric"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// prometheusAppender notes what Prometheus would store. It implements
// storage.AppenderV2.
type prometheusAppender struct{ lines []string }

func (a *prometheusAppender) Append(_ storage.SeriesRef, ls labels.Labels, _, t int64, v float64, _ *histogram.Histogram, _ *histogram.FloatHistogram, _ storage.AppendV2Options) (storage.SeriesRef, error) {
	var pairs []string
	ls.Range(func(l labels.Label) { pairs = append(pairs, fmt.Sprintf("%s=%q", l.Name, l.Value)) })
	a.lines = append(a.lines, line(pairs, t, v))
	return 0, nil
}

func (*prometheusAppender) Commit() error   { return nil }
func (*prometheusAppender) Rollback() error { return nil }

func line(pairs []string, t int64, v float64) string {
	slices.Sort(pairs)
	return fmt.Sprintf("%s @%d %x", strings.Join(pairs, ","), t, math.Float64bits(v))
}

// TestSeriesAreThoseOfPrometheus gives requests at random to Prometheus' own
// intake of OTLP and to ours: names, labels, times and values are the same.
// Exponential histograms are not compared, which Prometheus keeps in a form of
// its own.
func TestSeriesAreThoseOfPrometheus(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	promote := []string{"host.name", "k8s.pod.name", "1st", "absent"}
	compared := 0
	for range 300 {
		body := marshal(t, randomMetrics(rnd))
		md, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(body)
		if err != nil {
			t.Fatal(err)
		}
		var theirs prometheusAppender
		_, err = prometheusremotewrite.NewPrometheusConverter(&theirs).FromMetrics(context.Background(), md, prometheusremotewrite.Settings{
			AddMetricSuffixes: true, LookbackDelta: 5 * time.Minute,
			PromoteResourceAttributes:            prometheusremotewrite.NewPromoteResourceAttributes(config.OTLPConfig{PromoteResourceAttributes: promote}),
			LabelNameUnderscoreSanitization:      config.DefaultOTLPConfig.LabelNameUnderscoreSanitization,
			LabelNamePreserveMultipleUnderscores: config.DefaultOTLPConfig.LabelNamePreserveMultipleUnderscores,
		})
		if err != nil {
			t.Fatal(err)
		}
		tr := newTranslation(promote)
		if err := tr.read(body); err != nil || tr.rejected > 0 {
			t.Fatal(err, tr.why)
		}
		var ours []string
		for _, s := range tr.series {
			var pairs []string
			for _, l := range s.Labels {
				pairs = append(pairs, fmt.Sprintf("%s=%q", l.Name, l.Value))
			}
			ours = append(ours, line(pairs, s.Samples[0].Time, s.Samples[0].Value))
		}
		slices.Sort(ours)
		slices.Sort(theirs.lines)
		compared += len(ours)
		for i := range max(len(ours), len(theirs.lines)) {
			if i >= len(ours) || i >= len(theirs.lines) || ours[i] != theirs.lines[i] {
				t.Fatalf("ours\n%s\nPrometheus'\n%s", strings.Join(ours, "\n"), strings.Join(theirs.lines, "\n"))
			}
		}
	}
	t.Logf("%d samples are the same", compared)
}

func randomMetrics(rnd *rand.Rand) *metricspb.MetricsData {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	attributes := func(names ...string) (list []*commonpb.KeyValue) {
		for _, name := range names {
			var v *commonpb.AnyValue
			switch rnd.IntN(8) {
			case 0, 1, 2:
				continue
			case 3:
				v = &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: rnd.Int64N(1e9) - 5e8}}
			case 4:
				v = &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: rnd.Float64() * 100}}
			case 5:
				v = &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}
			case 6:
				v = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{str("a"), {Value: &commonpb.AnyValue_IntValue{IntValue: 1}}}}}}
			default:
				v = str(pick("x", "市", `a "b"`, "a\nb"))
			}
			list = append(list, attr(name, v))
		}
		rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list
	}
	const at = 1795395600_000_000_000
	data := &metricspb.MetricsData{}
	for range 1 + rnd.IntN(2) {
		res := attributes("service.name", "service.namespace", "service.instance.id", "host.name", "k8s.pod.name", "process.command_args", "_a", "1st", "x y")
		group := &metricspb.ResourceMetrics{Resource: &resourcepb.Resource{Attributes: res}}
		inner := &metricspb.ScopeMetrics{Scope: &commonpb.InstrumentationScope{Name: "n", Version: "1"}}
		for i := range 4 {
			point := func() []*commonpb.KeyValue {
				return attributes("http.method", "http_method", "le.x", "a-b", "_under", "__two__three", "9nine", "job", "instance", "名")
			}
			m := &metricspb.Metric{Name: pick("http.server.duration", "system.cpu.time", "a__b", "9lives", "requests_total", "x/y z", "queue.total.size", "ratio") + fmt.Sprintf(".m%d", i),
				Unit: pick("", "s", "By", "1", "{request}", "By/s", "ms", "%", "Cel", "m/h", "{a}/s", "weird unit")}
			number := &metricspb.NumberDataPoint{TimeUnixNano: at, Attributes: point(), Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: rnd.NormFloat64()}}
			if rnd.IntN(2) == 0 {
				number.Value = &metricspb.NumberDataPoint_AsInt{AsInt: rnd.Int64N(1000)}
			}
			if rnd.IntN(10) == 0 {
				number.Flags = 1
			}
			switch rnd.IntN(5) {
			case 0:
				m.Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{number}}}
			case 1, 2:
				m.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{IsMonotonic: rnd.IntN(2) == 0, AggregationTemporality: cumulative, DataPoints: []*metricspb.NumberDataPoint{number}}}
			case 3:
				p := &metricspb.HistogramDataPoint{TimeUnixNano: at, Attributes: point(), Count: 6, ExplicitBounds: []float64{-1, 0.005, 1, 1e6}, BucketCounts: []uint64{1, 2, 3, 0, 0}}
				if rnd.IntN(2) == 0 {
					p.Sum = proto.Float64(rnd.Float64())
				}
				m.Data = &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{AggregationTemporality: cumulative, DataPoints: []*metricspb.HistogramDataPoint{p}}}
			default:
				m.Data = &metricspb.Metric_Summary{Summary: &metricspb.Summary{DataPoints: []*metricspb.SummaryDataPoint{{TimeUnixNano: at, Attributes: point(), Count: 2, Sum: 9,
					QuantileValues: []*metricspb.SummaryDataPoint_ValueAtQuantile{{Quantile: 0.5, Value: 4}, {Quantile: 0.999, Value: 5}}}}}}
			}
			inner.Metrics = append(inner.Metrics, m)
		}
		group.ScopeMetrics = []*metricspb.ScopeMetrics{inner}
		data.ResourceMetrics = append(data.ResourceMetrics, group)
	}
	return data
}

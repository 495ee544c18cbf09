package otlp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/otlptranslator"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"icewatch/collectors/webbody"
	"icewatch/soc/metrics"
)

// maxSeries bounds the series that become of a request: a bucket of a few bytes
// is a series with all its labels.
const maxSeries = 200_000

// staleNaN is the value by which Prometheus notes that a series has ended.
var staleNaN = math.Float64frombits(0x7ff0000000000002)

// translation makes samples of data points as Prometheus' own intake of OTLP
// does: names and labels by its translator with unit and type as suffixes, the
// service as job and instance, the resource's attributes as target_info and
// those promoted as labels of every series.
type translation struct {
	namer   otlptranslator.MetricNamer
	labeler otlptranslator.LabelNamer
	promote []string

	// Of the resource that is read.
	shared []metrics.Label // labels of all its series
	info   []metrics.Label // labels of its target_info; nil where it has none
	latest int64           // Unix milliseconds of its latest data point

	points   []point // in order; what lies between one's first and the next's is its series
	series   []metrics.Series
	seen     int // data points of the request
	rejected int
	why      error
}

// point is a data point's place among the series.
type point struct {
	first  int
	metric string
}

func newTranslation(promote []string) *translation {
	return &translation{namer: otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes),
		// As Prometheus has it where nobody has chosen otherwise.
		labeler: otlptranslator.LabelNamer{UnderscoreLabelSanitization: true, PreserveMultipleUnderscores: true}, promote: promote}
}

// takeMetrics stores data points.
func (h *Handler) takeMetrics(ctx context.Context, body []byte, isJSON bool, from origin) (outcome, error) {
	if from.tenant == "" {
		return outcome{}, metrics.ErrNoTenant
	}
	if isJSON {
		var data metricspb.MetricsData
		// Ids of exemplars are hex, which reads as base64 too; they are not kept.
		err := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, &data)
		if err == nil {
			body, err = proto.Marshal(&data)
		}
		if err != nil {
			return outcome{}, webbody.Refuse(http.StatusBadRequest, "the body is not valid JSON of OTLP: %s", clip(strings.ReplaceAll(err.Error(), "\u00a0", " ")))
		}
	}
	t := newTranslation(h.opts.Promote)
	if err := t.read(body); err != nil {
		return outcome{}, err
	}
	good, refused := h.opts.Samples.Screen(t.series, time.Now())
	if refused.Dropped > 0 {
		good = t.screen(h.opts.Samples)
	}
	out := outcome{stored: t.seen - t.rejected, rejected: t.rejected}
	if t.why != nil {
		out.why = fmt.Sprintf("%d of %d data points were not stored; the first: %s", t.rejected, t.seen, t.why)
	}
	if len(good) == 0 {
		return out, nil
	}
	for i := range good {
		out.size += good[i].Size()
	}
	if err := h.samples.Append(ctx, from.tenant, good); err != nil {
		if errors.Is(err, metrics.ErrNoTenant) {
			return outcome{}, err
		}
		return outcome{}, fmt.Errorf("%w: %w", errStore, err)
	}
	return out, nil
}

// screen takes out the data points of which the lake does not hold a series:
// half a histogram would tell something wrong.
func (t *translation) screen(limits metrics.Limits) []metrics.Series {
	now := time.Now()
	var good []metrics.Series
	for i, p := range t.points {
		end := len(t.series)
		if i+1 < len(t.points) {
			end = t.points[i+1].first
		}
		kept, w := limits.Screen(t.series[p.first:end], now)
		switch {
		case w.Dropped == 0:
			good = append(good, kept...)
		case p.metric != targetInfo:
			t.reject(p.metric, errors.New(w.Refused[0].Reason))
		}
	}
	return good
}

func (t *translation) reject(metric string, err error) {
	t.rejected++
	if t.why == nil {
		t.why = fmt.Errorf("%s: %w", strconv.Quote(clip(metric)), err)
	}
}

// read reads a MetricsData, which is an ExportMetricsServiceRequest too.
func (t *translation) read(body []byte) error {
	return eachBytes(body, 1, func(_ int, group []byte) error {
		var res resourcepb.Resource
		if err := eachBytes(group, 1, func(_ int, v []byte) error { return decode(v, &res) }); err != nil {
			return err
		}
		t.enter(&res)
		err := eachBytes(group, 2, func(_ int, inner []byte) error {
			return eachBytes(inner, 2, func(_ int, metric []byte) error { return t.metric(metric) })
		})
		t.leave()
		return err
	})
}

func decode(b []byte, m proto.Message) error {
	if err := (proto.UnmarshalOptions{DiscardUnknown: true, Merge: true}).Unmarshal(b, m); err != nil {
		return errMalformed
	}
	return nil
}

const targetInfo = "target_info"

// enter makes the labels of a resource's series.
func (t *translation) enter(res *resourcepb.Resource) {
	t.shared, t.info, t.latest = nil, nil, 0
	text := map[string]string{}
	var rest []*commonpb.KeyValue
	for _, kv := range res.GetAttributes() {
		text[kv.GetKey()] = valueText(kv.GetValue())
		switch kv.GetKey() {
		case "service.name", "service.namespace", "service.instance.id":
		default:
			if _, err := t.labeler.Build(kv.GetKey()); err == nil {
				rest = append(rest, kv)
			}
		}
	}
	job := text["service.name"]
	if ns := text["service.namespace"]; ns != "" && job != "" {
		job = ns + "/" + job
	}
	add := func(name, value string) {
		if value != "" {
			t.shared = append(t.shared, metrics.Label{Name: name, Value: value})
		}
	}
	add("job", job)
	add("instance", text["service.instance.id"])
	for _, name := range t.promote {
		if label, err := t.labeler.Build(name); err == nil && !has(t.shared, label) {
			add(label, text[name])
		}
	}
	if !has(t.shared, "job") && !has(t.shared, "instance") {
		return // It could be joined with nothing.
	}
	info, err := t.labels(nil, rest)
	if err != nil || len(info) == 0 {
		return
	}
	t.info = append(info, metrics.Label{Name: metrics.LabelName, Value: targetInfo})
	for _, l := range t.shared {
		if (l.Name == "job" || l.Name == "instance") && !has(info, l.Name) {
			t.info = append(t.info, l)
		}
	}
}

// leave writes what a resource says of itself at the time of its latest point.
func (t *translation) leave() {
	if t.info == nil || t.latest == 0 {
		return
	}
	t.points = append(t.points, point{len(t.series), targetInfo})
	t.series = append(t.series, metrics.Series{Labels: t.info, Samples: []metrics.Sample{{Time: t.latest, Value: 1}}})
}

func has(labels []metrics.Label, name string) bool {
	return slices.ContainsFunc(labels, func(l metrics.Label) bool { return l.Name == name })
}

// metric makes series of one metric.
func (t *translation) metric(b []byte) error {
	// A data point may have two bytes and becomes a structure of a hundred: what
	// is too many is not decoded.
	for _, data := range []protowire.Number{5, 7, 9, 10, 11} {
		err := eachBytes(b, data, func(_ int, v []byte) error {
			return eachBytes(v, 1, func(int, []byte) error { t.seen++; return nil })
		})
		if err != nil {
			return err
		}
	}
	if t.seen > maxSeries {
		return tooLarge("the request has more than %d data points", maxSeries)
	}
	var m metricspb.Metric
	if err := decode(b, &m); err != nil {
		return err
	}
	switch data := m.GetData().(type) {
	case *metricspb.Metric_Gauge:
		return t.numbers(&m, otlptranslator.MetricTypeGauge, cumulative, data.Gauge.GetDataPoints())
	case *metricspb.Metric_Sum:
		as := otlptranslator.MetricType(otlptranslator.MetricTypeNonMonotonicCounter)
		if data.Sum.GetIsMonotonic() {
			as = otlptranslator.MetricTypeMonotonicCounter
		}
		return t.numbers(&m, as, data.Sum.GetAggregationTemporality(), data.Sum.GetDataPoints())
	case *metricspb.Metric_Histogram:
		return each(t, &m, otlptranslator.MetricTypeHistogram, data.Histogram.GetAggregationTemporality(), data.Histogram.GetDataPoints(), t.histogram)
	case *metricspb.Metric_ExponentialHistogram:
		return each(t, &m, otlptranslator.MetricTypeHistogram, data.ExponentialHistogram.GetAggregationTemporality(), data.ExponentialHistogram.GetDataPoints(), t.exponential)
	case *metricspb.Metric_Summary:
		return each(t, &m, otlptranslator.MetricTypeSummary, cumulative, data.Summary.GetDataPoints(), t.summary)
	}
	return nil
}

const cumulative = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE

// errDelta is why a delta is refused: to add up what comes, its receiver would
// have to know that nothing was lost or came twice.
var errDelta = errors.New("its temporality is delta or not given, and cumulative is needed: set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative in the SDK, or put the processor deltatocumulative into the Collector")

// dataPoint is what data points have in common.
type dataPoint interface {
	GetTimeUnixNano() uint64
	GetFlags() uint32
	GetAttributes() []*commonpb.KeyValue
}

// builder writes the series of one data point.
type builder struct {
	t      *translation
	name   string
	labels []metrics.Label // without the name
	time   int64
	stale  bool
}

// add adds a series; extra are one label and its value, or nothing.
func (b *builder) add(suffix string, value float64, extra ...string) {
	labels := make([]metrics.Label, 0, len(b.labels)+2)
	labels = append(labels, metrics.Label{Name: metrics.LabelName, Value: b.name + suffix})
	for _, l := range b.labels {
		if len(extra) == 0 || l.Name != extra[0] {
			labels = append(labels, l)
		}
	}
	if len(extra) > 0 {
		labels = append(labels, metrics.Label{Name: extra[0], Value: extra[1]})
	}
	if b.stale {
		value = staleNaN
	}
	b.t.series = append(b.t.series, metrics.Series{Labels: labels, Samples: []metrics.Sample{{Time: b.time, Value: value}}})
}

// each writes the data points of a metric.
func each[P dataPoint](t *translation, m *metricspb.Metric, as otlptranslator.MetricType, temporality metricspb.AggregationTemporality, points []P, write func(b *builder, p P) error) error {
	name, err := t.namer.Build(otlptranslator.Metric{Name: m.GetName(), Unit: m.GetUnit(), Type: as})
	if err == nil && temporality != cumulative {
		err = errDelta
	}
	for _, p := range points {
		if err != nil {
			t.reject(m.GetName(), err)
			continue
		}
		first := len(t.series)
		b := builder{t: t, name: name, time: int64(p.GetTimeUnixNano() / 1e6),
			stale: p.GetFlags()&uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK) != 0}
		if b.time == 0 {
			t.reject(m.GetName(), errors.New("a data point has no timeUnixNano"))
			continue
		}
		var bad error
		if b.labels, bad = t.labels(t.shared, p.GetAttributes()); bad == nil {
			bad = write(&b, p)
		}
		if len(t.series) > maxSeries {
			return tooLarge("the data points of the request are more than %d series", maxSeries)
		}
		if bad != nil {
			t.series = t.series[:first]
			t.reject(m.GetName(), bad)
			continue
		}
		t.latest = max(t.latest, b.time)
		t.points = append(t.points, point{first, m.GetName()})
	}
	return nil
}

// numbers writes gauges and sums.
func (t *translation) numbers(m *metricspb.Metric, as otlptranslator.MetricType, temporality metricspb.AggregationTemporality, points []*metricspb.NumberDataPoint) error {
	return each(t, m, as, temporality, points, func(b *builder, p *metricspb.NumberDataPoint) error {
		switch v := p.GetValue().(type) {
		case *metricspb.NumberDataPoint_AsDouble:
			b.add("", v.AsDouble)
		case *metricspb.NumberDataPoint_AsInt:
			b.add("", float64(v.AsInt))
		default:
			if !b.stale {
				return errors.New("a data point has no value")
			}
			b.add("", 0)
		}
		return nil
	})
}

// histogram writes classic buckets, each with what is at most its bound.
func (t *translation) histogram(b *builder, p *metricspb.HistogramDataPoint) error {
	counts, bounds := p.GetBucketCounts(), p.GetExplicitBounds()
	if len(counts) > 0 && len(counts) != len(bounds)+1 {
		return fmt.Errorf("a histogram has %d counts for %d bounds; one more than the bounds is right", len(counts), len(bounds))
	}
	sum := uint64(0)
	for i, bound := range bounds[:max(0, len(counts)-1)] {
		if math.IsInf(bound, 1) {
			break
		}
		sum += counts[i]
		b.add("_bucket", float64(sum), "le", bucketBound(bound))
	}
	b.totals(p.GetCount(), p.Sum)
	return nil
}

// totals writes what all histograms end with.
func (b *builder) totals(count uint64, sum *float64) {
	b.add("_bucket", float64(count), "le", "+Inf")
	if sum != nil {
		b.add("_sum", *sum)
	}
	b.add("_count", float64(count))
}

// exponential writes the buckets of an exponential histogram as classic ones:
// base = 2^(2^-scale), and bucket i holds what is over base^i and up to
// base^(i+1). Of empty buckets at the ends none are written.
func (t *translation) exponential(b *builder, p *metricspb.ExponentialHistogramDataPoint) error {
	if s := p.GetScale(); s < -10 || s > 20 {
		return fmt.Errorf("an exponential histogram has the scale %d; -10 to 20 are read", s)
	}
	power := func(i int64) float64 { return math.Pow(2, math.Ldexp(float64(i), -int(p.GetScale()))) }
	sum := uint64(0)
	negative, positive := p.GetNegative(), p.GetPositive()
	for i, n := range slices.Backward(negative.GetBucketCounts()) {
		if sum += n; sum > 0 {
			b.add("_bucket", float64(sum), "le", bucketBound(-power(int64(negative.GetOffset())+int64(i))))
		}
	}
	if p.GetZeroCount() > 0 || sum > 0 {
		sum += p.GetZeroCount()
		b.add("_bucket", float64(sum), "le", bucketBound(p.GetZeroThreshold()))
	}
	counts := positive.GetBucketCounts()
	for len(counts) > 0 && counts[len(counts)-1] == 0 {
		counts = counts[:len(counts)-1]
	}
	for i, n := range counts {
		bound := power(int64(positive.GetOffset()) + int64(i) + 1)
		if math.IsInf(bound, 1) {
			break
		}
		if sum += n; sum > 0 {
			b.add("_bucket", float64(sum), "le", bucketBound(bound))
		}
	}
	b.totals(p.GetCount(), p.Sum)
	return nil
}

// bucketBound is a bound as a label's value, as Prometheus writes it.
func bucketBound(v float64) string {
	if a := math.Abs(v); a != 0 && (a >= 1e21 || a < 1e-9) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// summary writes quantiles.
func (t *translation) summary(b *builder, p *metricspb.SummaryDataPoint) error {
	for _, q := range p.GetQuantileValues() {
		b.add("", q.GetValue(), "quantile", bucketBound(q.GetQuantile()))
	}
	b.add("_sum", p.GetSum())
	b.add("_count", float64(p.GetCount()))
	return nil
}

// labels puts attributes to the labels given. Names that become the same have
// their values joined by semicolons, in the order of the names, as the
// specification wants of exporters to Prometheus; those given stay as they are.
func (t *translation) labels(given []metrics.Label, attributes []*commonpb.KeyValue) ([]metrics.Label, error) {
	out := append(make([]metrics.Label, 0, len(given)+len(attributes)), given...)
	sorted := slices.IsSortedFunc(attributes, byKey)
	if !sorted {
		attributes = slices.SortedStableFunc(slices.Values(attributes), byKey)
	}
	for _, kv := range attributes {
		value := valueText(kv.GetValue())
		if value == "" {
			continue
		}
		name, err := t.labeler.Build(kv.GetKey())
		if err != nil {
			return nil, fmt.Errorf("the attribute %q cannot be a label: %w", clip(kv.GetKey()), err)
		}
		if i := slices.IndexFunc(out, func(l metrics.Label) bool { return l.Name == name }); i >= len(given) {
			out[i].Value += ";" + value
		} else if i < 0 {
			out = append(out, metrics.Label{Name: name, Value: value})
		}
	}
	return out, nil
}

func byKey(a, b *commonpb.KeyValue) int { return strings.Compare(a.GetKey(), b.GetKey()) }

// valueText is an attribute's value as text: a list or a map as JSON.
func valueText(any *commonpb.AnyValue) string {
	switch v := any.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'f', -1, 64)
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue)
	case nil:
		return ""
	}
	b, err := json.Marshal(plain(any, 1))
	if err != nil {
		return "" // NaN, deep within
	}
	return string(b)
}

// plain is a value as encoding/json writes it. What lies too deep is left out:
// a label has no room for it.
func plain(v *commonpb.AnyValue, depth int) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return v.BytesValue
	case *commonpb.AnyValue_ArrayValue:
		list := []any{}
		for _, one := range v.ArrayValue.GetValues() {
			if depth < 16 {
				list = append(list, plain(one, depth+1))
			}
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		object := map[string]any{}
		for _, kv := range v.KvlistValue.GetValues() {
			if depth < 16 {
				object[kv.GetKey()] = plain(kv.GetValue(), depth+1)
			}
		}
		return object
	}
	return nil
}

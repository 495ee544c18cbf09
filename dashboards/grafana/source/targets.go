package source

import (
	"fmt"
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/elasticsearch"
	"github.com/grafana/grafana-foundation-sdk/go/loki"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// termsSize is how many values of a field are told apart.
const termsSize = 10

// timeField is the field of the time of events.
const timeField = "@timestamp"

func (q *Target) build(p *Panel, l Language, id string) (cog.Builder[variants.Dataquery], error) {
	switch q.Source {
	case Prometheus:
		b := prometheus.NewDataqueryBuilder().RefId(id).Datasource(ref(Prometheus)).Expr(q.Expr).LegendFormat(q.Legend.In(l)).EditorMode(prometheus.QueryEditorModeCode)
		if p.Kind == Table {
			b = b.Format(prometheus.PromQueryFormatTable)
		}
		if q.Instant {
			return b.Instant(), nil
		}
		return b.Range(), nil
	case Loki:
		kind := "range"
		if q.Instant {
			kind = "instant"
		}
		return loki.NewDataqueryBuilder().RefId(id).Datasource(ref(Loki)).Expr(q.Expr).LegendFormat(q.Legend.In(l)).QueryType(kind).
			EditorMode(loki.QueryEditorModeCode).Range(!q.Instant).Instant(q.Instant), nil
	case Elasticsearch:
		return q.lucene(id, l)
	case Jaeger:
		return &jaegerQuery{RefID: id, Source: ref(Jaeger), Kind: "search", Service: q.Service, Limit: 20}, nil
	}
	return nil, fmt.Errorf("a query of %q", q.Source)
}

// lucene is a query of Grafana's Elasticsearch data source.
func (q *Target) lucene(id string, l Language) (cog.Builder[variants.Dataquery], error) {
	b := elasticsearch.NewDataqueryBuilder().RefId(id).Datasource(ref(Elasticsearch)).Query(q.Expr).TimeField(timeField)
	if q.Legend.EN != "" {
		b = b.Alias(q.Legend.In(l))
	}
	var m elasticsearch.MetricAggregation
	field, order := q.Field, "1"
	switch q.Figure {
	case "count":
		m.Count, order = &elasticsearch.Count{Type: elasticsearch.MetricAggregationTypeCount, Id: "1"}, "_count"
	case "sum":
		m.Sum = &elasticsearch.Sum{Type: elasticsearch.MetricAggregationTypeSum, Id: "1", Field: &field}
	case "cardinality":
		m.UniqueCount = &elasticsearch.UniqueCount{Type: elasticsearch.MetricAggregationTypeCardinality, Id: "1", Field: &field}
	case "p95":
		order = "_count"
		m.Percentiles = &elasticsearch.Percentiles{Type: elasticsearch.MetricAggregationTypePercentiles, Id: "1", Field: &field,
			Settings: &elasticsearch.ElasticsearchPercentilesSettings{Percents: []string{"95"}}}
	case "logs":
		limit := "200"
		m.Logs = &elasticsearch.Logs{Type: elasticsearch.MetricAggregationTypeLogs, Id: "1", Settings: &elasticsearch.ElasticsearchLogsSettings{Limit: &limit}}
		return b.Metrics([]elasticsearch.MetricAggregation{m}).BucketAggs([]elasticsearch.BucketAggregation{}), nil
	default:
		return nil, fmt.Errorf("a figure %q of Elasticsearch", q.Figure)
	}
	var buckets []elasticsearch.BucketAggregation
	for i, by := range q.By {
		desc, size, least := elasticsearch.TermsOrderDesc, strconv.Itoa(termsSize), "1"
		buckets = append(buckets, elasticsearch.BucketAggregation{Terms: &elasticsearch.Terms{Id: strconv.Itoa(i + 2), Field: &by, Type: elasticsearch.BucketAggregationTypeTerms,
			Settings: &elasticsearch.ElasticsearchTermsSettings{Order: &desc, Size: &size, MinDocCount: &least, OrderBy: &order}}})
	}
	if !q.Overall {
		field, every, least, edges := timeField, "auto", "0", "0"
		buckets = append(buckets, elasticsearch.BucketAggregation{DateHistogram: &elasticsearch.DateHistogram{Id: strconv.Itoa(len(q.By) + 2), Field: &field,
			Type: elasticsearch.BucketAggregationTypeDateHistogram, Settings: &elasticsearch.ElasticsearchDateHistogramSettings{Interval: &every, MinDocCount: &least, TrimEdges: &edges}}})
	}
	return b.Metrics([]elasticsearch.MetricAggregation{m}).BucketAggs(buckets), nil
}

// jaegerQuery is a query of Grafana's Jaeger data source, which the SDK does not
// know. It is its own builder.
type jaegerQuery struct {
	RefID   string               `json:"refId"`
	Source  common.DataSourceRef `json:"datasource"`
	Kind    string               `json:"queryType"`
	Service string               `json:"service"`
	Limit   int                  `json:"limit"`
}

var _ variants.Dataquery = jaegerQuery{}

// Build implements cog.Builder.
func (q *jaegerQuery) Build() (variants.Dataquery, error) { return *q, nil }

// ImplementsDataqueryVariant implements variants.Dataquery.
func (jaegerQuery) ImplementsDataqueryVariant() {}

// DataqueryType implements variants.Dataquery.
func (jaegerQuery) DataqueryType() string { return string(Jaeger) }

// Validate implements variants.Dataquery.
func (jaegerQuery) Validate() error { return nil }

// Equals implements variants.Dataquery.
func (q jaegerQuery) Equals(other variants.Dataquery) bool {
	o, ok := other.(jaegerQuery)
	return ok && o.RefID == q.RefID && o.Service == q.Service && o.Limit == q.Limit && o.Source.Equals(q.Source)
}

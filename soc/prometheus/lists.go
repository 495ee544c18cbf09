package prometheus

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/common/model"

	"icewatch/soc/metrics"
)

// list reads the parameters that all lists share.
func (r *room) list(c *fiber.Ctx, kind string) (q metrics.Read, most int, err error) {
	q = metrics.Read{Kind: kind, Match: all(c, "match[]")}
	for _, m := range q.Match {
		e, err := metricsql.Parse(m)
		if err != nil {
			return q, 0, bad("match[]", "%q: %v", m, err)
		}
		if _, is := e.(*metricsql.MetricExpr); !is {
			return q, 0, bad("match[]", "%q is not a selector of series such as up{job=\"x\"}", m)
		}
	}
	if q.Start, q.End, err = r.span(c, r.oldest()); err != nil {
		return q, 0, err
	}
	if most, err = limit(c); err != nil {
		return q, 0, err
	}
	// One more than the limit tells whether there are more.
	if q.Limit = most + 1; most == 0 || most >= metrics.MaxItems {
		q.Limit = metrics.MaxItems
	}
	return q, most, nil
}

// full warns of a list that has as many items as any may have.
func full[T any](list []T, warnings []string) []string {
	if len(list) >= metrics.MaxItems {
		return append(warnings, truncated)
	}
	return warnings
}

// series answers /series.
func (r *room) series(c *fiber.Ctx) error {
	q, most, err := r.list(c, metrics.KindSeries)
	if err != nil {
		return r.fail(c, err)
	}
	if len(q.Match) == 0 {
		return r.fail(c, &failure{http.StatusBadRequest, badData, "no match[] parameter provided"})
	}
	a, warnings, err := r.read(c, c.UserContext(), q)
	if err != nil {
		return r.fail(c, err)
	}
	warnings = full(a.Series, warnings)
	slices.SortFunc(a.Series, compare)
	list, warnings := shorten(a.Series, most, warnings)
	if list == nil {
		list = []map[string]string{}
	}
	return ok(c, list, warnings...)
}

// compare orders sets of labels by their names and values, as Prometheus does.
func compare(a, b map[string]string) int {
	x, y := slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))
	for i := range min(len(x), len(y)) {
		if n := strings.Compare(x[i], y[i]); n != 0 {
			return n
		}
		if n := strings.Compare(a[x[i]], b[y[i]]); n != 0 {
			return n
		}
	}
	return len(x) - len(y)
}

// labels answers /labels.
func (r *room) labels(c *fiber.Ctx) error {
	q, most, err := r.list(c, metrics.KindLabels)
	if err != nil {
		return r.fail(c, err)
	}
	return r.items(c, q, most)
}

// values answers /label/:name/values.
func (r *room) values(c *fiber.Ctx) error {
	name, err := url.PathUnescape(c.Params("name"))
	if err != nil || name == "" {
		return r.fail(c, bad("name", "%q is no name of a label", c.Params("name")))
	}
	q, most, err := r.list(c, metrics.KindLabelValues)
	if err != nil {
		return r.fail(c, err)
	}
	// Names that hold more than letters come escaped.
	q.Label = strings.Clone(model.UnescapeName(name, model.ValueEncodingEscaping))
	return r.items(c, q, most)
}

// items answers with a list of texts.
func (r *room) items(c *fiber.Ctx, q metrics.Read, most int) error {
	a, warnings, err := r.read(c, c.UserContext(), q)
	if err != nil {
		return r.fail(c, err)
	}
	warnings = full(a.Items, warnings)
	slices.Sort(a.Items)
	list, warnings := shorten(a.Items, most, warnings)
	if list == nil {
		list = []string{}
	}
	return ok(c, list, warnings...)
}

// described is what /metadata says of a metric.
type described struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// metadata answers /metadata.
func (r *room) metadata(c *fiber.Ctx) error {
	bounds := map[string]int{"limit": -1, "limit_per_metric": -1}
	for name := range bounds {
		if v := one(c, name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				return r.fail(c, bad(name, "%q is no whole number", v))
			}
			bounds[name] = n
		}
	}
	within, err := r.caller.Reach(c)
	if err != nil {
		return err
	}
	slugs, all := metrics.Visible(within)
	out := map[string][]described{}
	for _, d := range r.Catalogue.List(slugs, all, one(c, "metric")) {
		known, is := out[d.Metric]
		if !is && bounds["limit"] >= 0 && len(out) >= bounds["limit"] || bounds["limit_per_metric"] > 0 && len(known) >= bounds["limit_per_metric"] {
			continue
		}
		out[d.Metric] = append(known, described{d.Type, d.Help, d.Unit})
	}
	return ok(c, out, hidden(within)...)
}

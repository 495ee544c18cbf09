package acceptance

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"icewatch/soc/client"
	"icewatch/soc/metrics"
	"icewatch/soc/reach"
	"icewatch/soc/reach/reachtest"
)

// sample writes a metric of each tenant, labelled with whose it is.
func (c *city) sample(slugs []string) {
	c.t.Helper()
	for _, slug := range slugs {
		one := metrics.Series{Labels: []metrics.Label{{Name: "__name__", Value: "isolation_test"}, {Name: "whose", Value: slug}},
			Samples: []metrics.Sample{{Time: time.Now().UnixMilli(), Value: 1}}}
		if code, answer := remoteWrite(c.t, c.url+"/prometheus", c.secret(slug, "ingest"), []metrics.Series{one}); code != http.StatusNoContent {
			c.t.Fatalf("%d %s", code, answer)
		}
	}
	eventually(c.t, time.Minute, "the samples of all tenants are there", func() error {
		if got := c.samplesSeen(c.admin); len(got) != len(slugs) {
			return fmt.Errorf("of %v", slices.Sorted(maps.Keys(got)))
		}
		return nil
	})
}

// samplesSeen is whose metrics a caller sees by any of the calls of Prometheus'
// API.
func (c *city) samplesSeen(who *client.Client) map[string]bool {
	c.t.Helper()
	seen := map[string]bool{}
	type labels = map[string]string
	var vector struct {
		Data struct{ Result []struct{ Metric labels } }
	}
	var series struct{ Data []labels }
	var values struct{ Data []string }
	span := url.Values{"start": {"0"}, "end": {"9999999999"}}
	for path, into := range map[string]any{
		"/prometheus/api/v1/query?query=last_over_time(isolation_test%5B1h%5D)":                                        &vector,
		"/prometheus/api/v1/query?query=count+by+(whose)(last_over_time(%7B__name__%3D~%22isolation.*%22%7D%5B1h%5D))": &vector,
		"/prometheus/api/v1/series?match[]=isolation_test&" + span.Encode():                                            &series,
		"/prometheus/api/v1/label/whose/values?" + span.Encode():                                                       &values,
	} {
		vector.Data.Result, series.Data, values.Data = nil, nil, nil
		c.call(who.Options().Token, http.MethodGet, path, "", http.StatusOK, into)
		for _, r := range vector.Data.Result {
			seen[r.Metric["whose"]] = true
		}
		for _, s := range series.Data {
			seen[s["whose"]] = true
		}
		for _, v := range values.Data {
			seen[v] = true
		}
	}
	return seen
}

// metrics holds what a scope shows of the metrics against it: a tenant's are
// seen only where nothing of the tenant is hidden.
func (c *city) metrics(viewer *client.Client, x *reachtest.Term, shows func(reach.Facts) bool) {
	c.t.Helper()
	seen := c.samplesSeen(viewer)
	for _, r := range c.rows {
		if seen[r.facts.Tenant] && !shows(r.facts) {
			c.t.Errorf("scope %s: metrics of %s are seen, of which an event of %+v is hidden", x.Text(), r.facts.Tenant, r.facts)
			return
		}
	}
}

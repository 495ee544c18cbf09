package acceptance

import (
	"maps"
	"net/url"
	"strconv"
	"time"

	"icewatch/soc/reach"
)

// compareLoki reads all that is in a scope by Loki's API: lines, counts that
// the lake makes and counts that are made of lines, and labels.
func (c *city) compareLoki(get func(string, url.Values, any), shows func(reach.Facts) bool, wrong func(what string, got, want any)) {
	numbers, users, tenants := map[int]bool{}, map[string]int{}, map[string]int{}
	for _, r := range c.rows {
		if shows(r.facts) {
			numbers[r.n] = true
			users[r.user]++
			tenants[r.facts.Tenant]++
		}
	}
	now := time.Now().Add(time.Minute)
	at := strconv.FormatInt(now.UnixNano(), 10)
	var lines struct {
		Data struct {
			Result []struct{ Stream map[string]string }
		}
	}
	const query = `{tenant=~".+"} | test_n=~".+"`
	get("/loki/api/v1/query_range", url.Values{"query": {query}, "start": {strconv.FormatInt(now.Add(-2*time.Hour).UnixNano(), 10)}, "end": {at}, "limit": {"5000"}}, &lines)
	got := map[int]bool{}
	for _, x := range lines.Data.Result {
		n, _ := strconv.Atoi(x.Stream["test_n"])
		got[n] = true
	}
	if !maps.Equal(got, numbers) {
		wrong(query, sorted(got), sorted(numbers))
	}
	counted := func(query, by string, want map[string]int) {
		var counts struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		get("/loki/api/v1/query", url.Values{"query": {query}, "time": {at}}, &counts)
		got := map[string]int{}
		for _, x := range counts.Data.Result {
			text, _ := x.Value[1].(string)
			got[x.Metric[by]], _ = strconv.Atoi(text)
		}
		if !maps.Equal(got, want) {
			wrong(query, got, want)
		}
	}
	counted(`sum by (user_name) (count_over_time({tenant=~".+"} | test_n=~".+" [2h]))`, "user_name", users)
	counted(`sum by (tenant) (count_over_time({tenant=~".+"} | test_n=~".+" | line_format "x" [2h]))`, "tenant", tenants)
	var values struct{ Data []string }
	get("/loki/api/v1/label/tenant/values", url.Values{"start": {strconv.FormatInt(now.Add(-2*time.Hour).UnixNano(), 10)}, "end": {at}}, &values)
	for _, slug := range values.Data {
		if _, ok := tenants[slug]; !ok && !c.showsSome(slug, shows) {
			wrong("values of the label tenant", values.Data, tenants)
		}
	}
}

// showsSome tells whether a scope may show something of a tenant beside the
// rows that the test sent.
func (c *city) showsSome(slug string, shows func(reach.Facts) bool) bool {
	if shows(reach.Facts{Tenant: slug}) {
		return true
	}
	for _, f := range c.items {
		if f.Tenant == slug && shows(f) {
			return true
		}
	}
	return false
}

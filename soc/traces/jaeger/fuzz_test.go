package jaeger

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
)

// FuzzRequest asks with parameters that anybody may write. Whatever comes, the
// answer is in the form of the API asked, and no fault of the suite.
func FuzzRequest(f *testing.F) {
	h := newHouse(f, corpus()[:20])
	routes := []string{"/api/services", "/api/services/", "/api/operations", "/api/traces", "/api/traces/", "/api/dependencies", "/api/v3/services", "/api/v3/operations", "/api/v3/traces", "/api/v3/traces/"}
	f.Add(uint8(3), "", "service=gateway&limit=20&lookback=1h&maxDuration=1s&minDuration=10ms&start=1&end=1736935200000000&tags=%7B%22error%22%3A%22true%22%7D&tag=a:b")
	f.Add(uint8(4), "1f", "start=9223372036854775807&end=-1&raw=maybe")
	f.Add(uint8(3), "", "traceID=1&traceID=zz&service=%00&operation=%22%60%5C")
	f.Add(uint8(5), "", "endTs=1e9&lookback=99999999999999999999&service=a")
	f.Add(uint8(8), "", "query.service_name=a&query.start_time_min=2025-01-15T10:00:00+00:00&query.start_time_max=2025-01-15T11:00:00Z&query.attributes={}&query.search_depth=-1")
	f.Add(uint8(8), "", "query.start_time_min=0001-01-01T00:00:00Z&query.start_time_max=9999-01-01T00:00:00Z")
	f.Add(uint8(9), "1f", "start_time=9998-01-01T00:00:00Z&end_time=9999-01-01T00:00:00Z")
	f.Add(uint8(1), "%zz/operations", "")
	f.Fuzz(func(t *testing.T, route uint8, rest, query string) {
		path := routes[int(route)%len(routes)]
		if path[len(path)-1] == '/' {
			path += url.PathEscape(rest)
			if path == "/api/services/"+url.PathEscape(rest) {
				path += "/operations"
			}
		}
		u, err := url.Parse(path + "?" + query)
		if err != nil || u.Fragment != "" {
			return
		}
		if _, err := http.NewRequest(http.MethodGet, u.String(), nil); err != nil {
			return
		}
		u.RawQuery = u.Query().Encode()
		status, body := h.get(t, u.String())
		switch {
		case status == http.StatusNotFound && !json.Valid(body):
			return // no route: the router's own words
		case status != http.StatusOK && status != http.StatusBadRequest && status != http.StatusNotFound:
			t.Fatalf("%s: status %d: %.300s", u, status, body)
		}
		var answer map[string]json.RawMessage
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%s: status %d: %v: %.300s", u, status, err, body)
		}
	})
}

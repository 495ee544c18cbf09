package loki

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/loghttp"
)

// TestAligned has points lie on multiples of the step, as Loki's front end does.
func TestAligned(t *testing.T) {
	t.Parallel()
	f := func(start, end, step, from, to int64) {
		t.Helper()
		a, b := aligned(time.Unix(start, 0), time.Unix(end, 0), time.Duration(step)*time.Second)
		if a.Unix() != from || b.Unix() != to {
			t.Errorf("%d to %d by %d: %d to %d, want %d to %d", start, end, step, a.Unix(), b.Unix(), from, to)
		}
	}
	f(120, 240, 60, 120, 240)
	f(121, 239, 60, 120, 240)
	f(-3598, 0, 14, -3598, 0)
	f(-3590, -1, 14, -3598, 0)
	f(1795664640, 1795666080, 420, 1795664640, 1795666320)
}

// FuzzParameters has any text read as the parameters of every route.
func FuzzParameters(f *testing.F) {
	for _, q := range []string{`query={a="b"}&start=1&end=2&step=5m&limit=10&direction=forward`, "since=1h&end=now", "start=1e400&end=-1&interval=-5", "match[]={a=~\"b\"}&match={}", "delay_for=9&query={", "targetLabels=a,b&aggregateBy=labels&limit=0", "line_limit=5&field_limit=-1"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		read := func() *http.Request { return newRequest(http.MethodGet, "/loki/api/v1/query_range", values) }
		if in, err := loghttp.ParseRangeQuery(read()); err == nil && in.Step > 0 {
			if a, b := aligned(in.Start, in.End, in.Step); a.After(in.Start) || b.Before(in.End) {
				t.Errorf("%s: %s to %s is not within %s to %s", text, in.Start, in.End, a, b)
			}
		}
		_, _ = loghttp.ParseInstantQuery(read())
		_, _ = loghttp.ParseLabelQuery(read())
		_, _ = loghttp.ParseSeriesQuery(read())
		_, _ = loghttp.ParseTailQuery(read())
		_, _ = loghttp.ParseVolumeInstantQuery(read())
		_, _ = loghttp.ParseVolumeRangeQuery(read())
		_, _ = loghttp.ParseDetectedFieldsQuery(read())
		_, _ = matchers(values.Get("query"))
	})
}

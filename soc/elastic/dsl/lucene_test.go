package dsl

import (
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// FuzzQueryString checks that nothing typed in the languages for people makes the
// compiler panic, or give LogsQL that the lake cannot read.
func FuzzQueryString(f *testing.F) {
	for _, q := range []string{`message:failed AND (host.name:web-01 OR log.level:[warn TO error])`, `a:"b c" -d +e !f || g && NOT h`, `url.path:\/a\ b /re.*x/ _exists_:y`, `x:>=5 y:{* TO 3] "登录 失败"`, `(a | b) + "c d" -e*`, `\`, `a:`, `*:* ?*`} {
		f.Add(q)
	}
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) // a clock that moves on looks like new coverage
	f.Fuzz(func(t *testing.T, q string) {
		for _, body := range []map[string]any{{"query": q}, {"query": q, "fields": []any{"message", "host.name", "source.ip", "@timestamp", "tags", "event.duration"}, "default_operator": "and"}} {
			c := &Compiler{Now: now, Within: true}
			if s, err := c.queryString(body); err == nil {
				readable(t, s)
			}
			if s, err := c.simpleQueryString(body); err == nil {
				readable(t, s)
			}
		}
	})
}

// readable checks that a filter is LogsQL.
func readable(t *testing.T, filter string) {
	t.Helper()
	if _, err := logstorage.ParseFilter(filter); err != nil {
		t.Fatalf("%q is no filter: %v", filter, err)
	}
}

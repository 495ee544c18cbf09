package rulebook

import (
	"strings"
	"testing"
	"time"

	"icewatch/detections/sigma"
)

// TestWhatACorrelationMeans says in both languages what a correlation compares.
func TestWhatACorrelationMeans(t *testing.T) {
	t.Parallel()
	bound := []sigma.Bound{{Relation: "gte", Value: 5}}
	for name, c := range map[string]struct {
		rule   sigma.Correlation
		en, zh string
	}{
		"events":     {sigma.Correlation{Type: "event_count", Bounds: bound}, "events ", "条事件"},
		"values":     {sigma.Correlation{Type: "value_count", Fields: []string{"user"}, Bounds: bound}, "distinct values of user ", "的不同取值数：user"},
		"a sum":      {sigma.Correlation{Type: "value_sum", Fields: []string{"bytes"}, Bounds: bound}, "the sum of bytes ", "总和：bytes"},
		"percentile": {sigma.Correlation{Type: "value_percentile", Fields: []string{"ms"}, Percentile: 95, Bounds: bound}, "the percentile of ms (95) ", "百分位数：ms (95)"},
		"travel":     {sigma.Correlation{Type: "value_count", Fields: []string{"source.geo.location"}, Travel: &sigma.Travel{KMH: 900, LeastKM: 500}, Bounds: []sigma.Bound{{Relation: "gte", Value: 2}}}, "at least 500 km apart", "来不及"},
		"absence":    {sigma.Correlation{Type: "event_count", Absent: true, Bounds: []sigma.Bound{{Relation: "eq"}}}, "no event comes", "没有事件到来"},
	} {
		c.rule.Rules, c.rule.Timespan = []string{"r"}, time.Minute
		if en, zh := counting(&c.rule, english), counting(&c.rule, chinese); !strings.Contains(en, c.en) || !strings.Contains(zh, c.zh) {
			t.Errorf("%s: %q, %q", name, en, zh)
		}
	}
}

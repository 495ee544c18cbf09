package logql

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// BenchmarkCount counts 200,000 lines by label over an hour in minutes, with
// and without having the lake count.
func BenchmarkCount(b *testing.B) {
	const rows = 200_000
	h := newHouse(b, mixed(rows))
	for name, push := range map[string]bool{"by the lake": true, "by reading lines": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				res, err := h.run(b, `sum by (app) (count_over_time({env=~".+"}[1m]))`, time.Minute, push)
				if err != nil {
					b.Fatal(err)
				}
				if n := len(res.Data.(promql.Matrix)); n != 3 {
					b.Fatalf("%d series", n)
				}
			}
			b.ReportMetric(rows/(b.Elapsed().Seconds()/float64(b.N)), "rows/s")
		})
	}
}

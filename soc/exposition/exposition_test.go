package exposition

import (
	"bytes"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	c := NewCatalogue("own_", []Family{{"b_total", Counter, "How many b."}, {"a", Gauge, "What a is."}, {"s_seconds", Summary, "How long s took."}})
	var out bytes.Buffer
	err := c.Write(&out, []byte("own_x 9\nb_total{x=\"a b\"} 1\na 2\n# noise\ns_seconds{quantile=\"0.5\"} 3\n\nb_total{x=\"}\"} 4\ns_seconds_sum 5\ns_seconds_count 6\nodd_count 7\nodd_count 8\n"))
	want := "# HELP a What a is.\n# TYPE a gauge\na 2\n# HELP b_total How many b.\n# TYPE b_total counter\nb_total{x=\"a b\"} 1\nb_total{x=\"}\"} 4\n" +
		"# HELP s_seconds How long s took.\n# TYPE s_seconds summary\ns_seconds{quantile=\"0.5\"} 3\ns_seconds_sum 5\ns_seconds_count 6\n"
	want = strings.Replace(want, "# HELP s_", "own_x 9\n# HELP s_", 1)
	if err != nil || out.String() != want {
		t.Errorf("%v:\n%s\nwant\n%s", err, out.String(), want)
	}
}

// TestRuntimeIsClean holds what the library gives of a process against
// Prometheus' own linter.
func TestRuntimeIsClean(t *testing.T) {
	t.Parallel()
	var raw, out bytes.Buffer
	metrics.WriteProcessMetrics(&raw)
	if err := NewCatalogue("", Runtime).Write(&out, raw.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go_goroutines ", "process_cpu_seconds_total ", "process_resident_memory_bytes ", "go_gc_duration_seconds_sum "} {
		if !strings.Contains(out.String(), "\n"+name) {
			t.Errorf("%s is missing", name)
		}
	}
	problems, err := promlint.New(strings.NewReader(out.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

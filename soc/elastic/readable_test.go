package elastic

import (
	"testing"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// readable checks that a filter is LogsQL.
func readable(t *testing.T, filter string) {
	t.Helper()
	if _, err := logstorage.ParseFilter(filter); err != nil {
		t.Fatalf("%q is no filter: %v", filter, err)
	}
}

package centre

import (
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestTrendCountsByTheHourAndOutlivesRestarts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trend.json")
	at := time.Unix(1_800_000_000, 0).Truncate(time.Hour)
	tr := openTrend(path)
	tr.look(map[string]uint64{"a": 100}, at) // before the first look nobody counted
	tr.look(map[string]uint64{"a": 103, "b": 2}, at.Add(time.Minute))
	tr.look(map[string]uint64{"a": 4, "b": 2}, at.Add(2*time.Hour)) // the engine began anew
	if got := tr.of("a", at.Add(2*time.Hour)); len(got) != trendHours || !slices.Equal(got[trendHours-3:], []int{3, 0, 4}) {
		t.Errorf("a: %v", got)
	}
	if err := tr.save(); err != nil {
		t.Fatal(err)
	}
	again := openTrend(path)
	if got := again.of("b", at.Add(3*time.Hour)); len(got) != trendHours || !slices.Equal(got[trendHours-4:], []int{2, 0, 0, 0}) {
		t.Errorf("b after a restart: %v", got)
	}
	if got := again.of("a", at.Add(48*time.Hour)); len(got) != 0 {
		t.Errorf("a after two days: %v", got)
	}
}

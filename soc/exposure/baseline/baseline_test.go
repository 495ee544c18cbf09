package baseline

import (
	"regexp"
	"slices"
	"testing"

	"icewatch/detections"
)

// TestItems holds each item to what people need of it.
func TestItems(t *testing.T) {
	t.Parallel()
	clause := regexp.MustCompile(`^8\.1\.4\.[1-9] [a-g]\)$`)
	seen := map[string]bool{}
	for _, x := range Items() {
		if seen[x.ID] || !slices.Contains(detections.Levels, x.Level) || x.Product == "" || x.Title.ZH == "" || x.Title.EN == "" || x.Fix.ZH == "" || x.Fix.EN == "" || x.MLPS == "" && x.CIS == "" || x.MLPS != "" && !clause.MatchString(x.MLPS) {
			t.Errorf("%+v", x)
		}
		seen[x.ID] = true
	}
	if len(seen) < 40 {
		t.Errorf("%d items", len(seen))
	}
}

package graph

import "testing"

func TestCount(t *testing.T) {
	// 1 → 2 → 3, of which 3 is of others, and 4 is no item.
	g := New([]Node{{}, {1, 1}, {1, 1}, {1, 2}, {}}, []Edge{{1, 2, 1}, {2, 3, 1}, {3, 1, 2}, {1, 4, 1}})
	g.Apply(Changes{Added: []Edge{{2, 1, 1}}, Removed: []Edge{{3, 1, 2}}})
	for name, c := range map[string]struct {
		visible func(uint32) bool
		want    int
	}{
		"all":  {func(uint32) bool { return true }, 3},
		"some": {func(f uint32) bool { return f == 1 }, 2},
		"none": {func(uint32) bool { return false }, 0},
	} {
		if got := g.Count(c.visible); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

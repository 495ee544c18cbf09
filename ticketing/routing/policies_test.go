package routing

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"icewatch/soc/state"
)

// Each line says what its route has from those above it, and by whom it became
// what it is, whatever else was changed since.
func TestPolicies(t *testing.T) {
	t.Parallel()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), db, Deps{Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := s.Policies(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("of no tree: %v, %v", list, err)
	}
	yes := true
	tree := Tree{Root: Route{ID: "root", Receivers: []string{"a"}, Routes: []Route{
		{ID: "net", Name: "网络", Direct: &yes, GroupBy: []string{"alertname"}, Matchers: []string{"category=network"}, Routes: []Route{{ID: "core", Receivers: []string{"b"}}}},
		{ID: "off", Disabled: true, Routes: []Route{{ID: "below"}}}}}}
	save := func(by string, base int64) {
		t.Helper()
		if _, err := s.Save(t.Context(), "", by, "", base, tree); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	save("li", 0)
	tree.Root.Routes[0].Description = "网络设备"
	save("wang", 1)
	tree.Root.Routes[1].Routes[0].Name = "下级"
	save("zhao", 2)
	list, err := s.Policies(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		id, kind string
		on       bool
		by       string
		hour     int
	}
	var got []line
	for _, p := range list {
		got = append(got, line{p.ID, p.Type, p.Enabled, p.UpdatedBy, p.UpdatedAt.Hour()})
	}
	if want := []line{{"root", "incident", true, "li", 8}, {"net", "direct", true, "wang", 9}, {"core", "direct", true, "li", 8}, {"off", "incident", false, "li", 8}, {"below", "incident", false, "zhao", 10}}; !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	if core := list[2]; !slices.Equal(core.MergeBy, []string{"alertname"}) || !slices.Equal(core.Receivers, []string{"b"}) || !slices.Equal(list[1].Receivers, []string{"a"}) {
		t.Errorf("%+v", core)
	}
}

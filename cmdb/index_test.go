package cmdb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"icewatch/soc/reach"
)

// TestListsAreSorted goes through the pages of lists in many orders.
func TestListsAreSorted(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a")
	mustImport(t, s, CSV, "class,id,name,tenant,criticality,owner,attr.cpu_cores\n"+
		"host,h1,b,a,5,Wang,8\nhost,h2,a,a,3,,16\nhost,h3,d,a,4,li,\nvm,v1,c,a,5,Li,128\n")
	for sort, want := range map[string]string{
		"name":              "h2 h1 v1 h3",
		"-name":             "h3 v1 h1 h2",
		"class":             "h1 h2 h3 v1",
		"-criticality":      "h1 v1 h3 h2",
		"cpu_cores":         "h1 h2 v1 h3",
		"-cpu_cores":        "v1 h2 h1 h3",
		"-attr.cpu_cores":   "v1 h2 h1 h3",
		"owner":             "h3 v1 h1 h2",
		"-owner":            "h1 h3 v1 h2",
		"":                  "h2 h1 h3 v1",
		"revision":          "h1 h2 h3 v1",
		"-protection_level": "h1 h2 h3 v1", // none has one
	} {
		var got []string
		f := Filter{Classes: []string{"host", "vm"}, Sort: sort, Limit: 1}
		for {
			p, err := s.Items(t.Context(), reach.All(), f)
			if err != nil || p.Total != 4 || len(p.Items) != 1 {
				t.Fatalf("%q: %+v, %v", sort, p, err)
			}
			got = append(got, p.Items[0].ID)
			if f.Cursor = p.Next; f.Cursor == "" {
				break
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("by %q: %v, want %s", sort, got, want)
		}
	}
	if _, err := s.Items(t.Context(), reach.All(), Filter{Sort: "weight"}); !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), `sort by "weight"`) {
		t.Errorf("by what no item has: %v", err)
	}
}

// TestTheIndexFollows changes items in all ways there are and asks for them by
// what they were and what they are.
func TestTheIndexFollows(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	ask := func(expression, want string) {
		t.Helper()
		if got := strings.Join(found(t, s, reach.All(), expression), " "); got != want {
			t.Errorf("%s: %s, want %s", expression, got, want)
		}
	}
	change := func(it Item) {
		t.Helper()
		if _, err := s.Upsert(t.Context(), reach.All(), "t", it); err != nil {
			t.Fatal(err)
		}
	}
	change(Item{ID: "h3", Class: "host", Name: "h3", Tenant: "a", Zone: "z"})
	ask("os = openeuler", "v1")
	change(Item{ID: "v1", Class: "vm", Name: "v1", Tenant: "a", Zone: "z", Attributes: map[string]string{"os": "Debian 13", "hypervisor": "h3"}, Labels: []string{"Core"}})
	ask("os = openeuler", "")
	ask("os ~ DEBIAN and label = Core and revision = 2", "v1")
	ask("label ~ core", "v1")
	ask("has -runs_on-> host[id = h3]", "v1")
	change(Item{ID: "new", Class: "vm", Name: "new", Tenant: "a", Zone: "z", Attributes: map[string]string{"hypervisor": "h3"}})
	ask("has -runs_on-> host[id = h3]", "new v1")
	if err := s.Delete(t.Context(), reach.All(), "t", "new"); err != nil {
		t.Fatal(err)
	}
	ask("has -runs_on-> host[id = h3]", "v1")
	ask("name = new", "")
	ask("owner ^= new or not name exists", "")
	// A scope follows what an item's system says of it.
	e, err := reach.Parse(`label = "line:tax"`)
	if err != nil {
		t.Fatal(err)
	}
	tax := e.Compile(reach.NewDirectory([]reach.Tenant{{Slug: "a"}, {Slug: "b"}}, nil))
	if got := found(t, s, tax, "name exists"); len(got) != 0 {
		t.Errorf("before: %v", got)
	}
	app, err := s.Get(t.Context(), reach.All(), "app")
	if err != nil {
		t.Fatal(err)
	}
	system, err := s.Get(t.Context(), reach.All(), app.System)
	if err != nil {
		t.Fatal(err)
	}
	system.Attributes["business_line"] = "tax"
	change(system)
	if got := strings.Join(found(t, s, tax, "class = application"), " "); got != "app" {
		t.Errorf("after: %s, want app", got)
	}
	// Whatever came, what is in memory is what would be read anew.
	before := found(t, s, reach.All(), "name exists")
	kept, err := s.IndexStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.index.forget()
	if after := found(t, s, reach.All(), "name exists"); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("in memory %v, in the tables %v", before, after)
	}
	if anew, err := s.IndexStats(t.Context()); err != nil || anew.Items != kept.Items {
		t.Errorf("%+v, %v; want the items of %+v", anew, err, kept)
	}
}

// TestAnotherProcessIsSeen changes the tables behind the service's back, as a
// second process on one PostgreSQL database would.
func TestAnotherProcessIsSeen(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	if got := found(t, s, reach.All(), "name = h1"); len(got) != 1 {
		t.Fatal(got)
	}
	for _, q := range []string{"UPDATE cmdb_items SET name = 'elsewhere' WHERE id = 'h1'", "UPDATE cmdb_version SET version = version + 1"} {
		if _, err := s.db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if got := found(t, s, reach.All(), "name = h1"); len(got) != 0 {
		t.Errorf("%v is still found by its old name", got)
	}
	if got := found(t, s, reach.All(), "name = elsewhere"); len(got) != 1 {
		t.Errorf("%v by the new name", got)
	}
}

// TestCellsOfTablesAreFound looks for what stands in an attribute of rows.
func TestCellsOfTablesAreFound(t *testing.T) {
	t.Parallel()
	if got := strings.Join(cells(`[{"port":"443","name":"TLS"},{"port":"80"}]`), " "); len(strings.Fields(got)) != 3 || !strings.Contains(got, "TLS") {
		t.Error(got)
	}
	if got := cells("no table"); len(got) != 1 || got[0] != "no table" {
		t.Error(got)
	}
}

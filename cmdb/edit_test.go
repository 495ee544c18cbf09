package cmdb

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"icewatch/soc/reach"
)

func TestConcurrentEditsConflict(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	seen := mustGet(t, s, "h1")
	mine, theirs := seen, seen
	theirs.Owner, theirs.Criticality = "王芳", 5
	if _, err := s.Upsert(t.Context(), reach.All(), "wang", theirs); err != nil {
		t.Fatal(err)
	}
	mine.Owner = "李强"
	_, err := s.Upsert(t.Context(), reach.All(), "li", mine)
	var stale *StaleError
	if !errors.As(err, &stale) || !errors.Is(err, ErrStale) {
		t.Fatalf("%v", err)
	}
	if stale.Seen != seen.Revision || stale.Revision != seen.Revision+1 || len(stale.Since) != 1 || stale.Since[0].Actor != "wang" || len(stale.Since[0].Changes) != 2 {
		t.Errorf("%+v", stale)
	}
	if text := err.Error(); !strings.Contains(text, "wang updated criticality, owner") {
		t.Error(text)
	}
	if now := mustGet(t, s, "h1"); now.Owner != "王芳" {
		t.Errorf("the edit that came too late was made: %+v", now)
	}
	mine.Revision = stale.Revision
	if it, err := s.Upsert(t.Context(), reach.All(), "li", mine); err != nil || it.Revision != stale.Revision+1 {
		t.Errorf("%+v, %v", it, err)
	}
	if err := s.Delete(t.Context(), reach.All(), "wang", "h2"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upsert(t.Context(), reach.All(), "li", Item{ID: "h2", Class: "host", Name: "h2", Tenant: "b", Revision: 1}); !errors.As(err, &stale) || stale.Revision != 0 {
		t.Errorf("an edit of a deleted item: %v", err)
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	first := mustGet(t, s, "v1")
	change := func(f func(*Item)) {
		t.Helper()
		it := mustGet(t, s, "v1")
		f(&it)
		if _, err := s.Upsert(t.Context(), reach.All(), "t", it); err != nil {
			t.Fatal(err)
		}
	}
	change(func(it *Item) { it.Labels, it.Addresses = []string{"一", "b"}, []string{"10.9.0.1", "10.9.0.2"} })
	change(func(it *Item) { it.Name, it.Attributes = "renamed", map[string]string{"os": "x\ny"} })
	if err := s.Delete(t.Context(), reach.All(), "t", "v1"); err != nil {
		t.Fatal(err)
	}
	h, err := s.History(t.Context(), reach.All(), "v1", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	restored := func(entry int64) Item {
		t.Helper()
		it, err := s.Restore(t.Context(), reach.All(), "t", "v1", entry)
		if err != nil {
			t.Fatal(err)
		}
		return it
	}
	// From the last to the first: the deletion itself brings back what it took.
	if it := restored(h[0].ID); it.Name != "renamed" || it.Attributes["os"] != "x\ny" {
		t.Errorf("%+v", it)
	}
	it := restored(h[len(h)-1].ID)
	it.Revision, it.UpdatedAt, it.CreatedAt, it.seq = first.Revision, first.UpdatedAt, first.CreatedAt, first.seq
	if !reflect.DeepEqual(it, first) {
		t.Errorf("%+v, want %+v", it, first)
	}
	if got := related(t, s, reach.All(), "v1"); len(got) != 3 {
		t.Errorf("relations of the restored item: %v", got)
	}
	if _, err := s.Restore(t.Context(), reach.All(), "t", "v1", 1<<40); !errors.Is(err, ErrNotFound) {
		t.Errorf("an entry there is not: %v", err)
	}
	if _, err := s.Restore(t.Context(), reach.Tenants("b"), "t", "v1", h[0].ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("an entry out of reach: %v", err)
	}
}

func TestUpsertAll(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	p := func(v string) *string { return &v }
	opts := ImportOptions{Within: reach.All(), Actor: "t", Class: "host"}
	r, err := s.UpsertAll(t.Context(), []Fields{
		{Name: p("h1"), Tenant: p("a"), Owner: p("周"), Attributes: map[string]*string{"cpu_cores": p("128"), "os": nil}},
		{Class: p("supplier"), Name: p("供应商甲")},
		{Name: p("new"), Tenant: p("a"), Attributes: map[string]*string{"supplier": p("供应商甲")}},
	}, opts)
	if err != nil || r.Created != 2 || r.Updated != 1 || len(r.Errors) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if it := mustGet(t, s, "h1"); it.Owner != "周" || it.Attributes["cpu_cores"] != "128" || it.Attributes["os"] != "" || it.Attributes["cabinet"] != "cab" || it.Addresses[0] != "10.1.0.1" {
		t.Errorf("%+v", it)
	}
	r, err = s.UpsertAll(t.Context(), []Fields{
		{Name: p("fine"), Tenant: p("a")},
		{Name: p("bad"), Tenant: p("a"), Attributes: map[string]*string{"cpu_cores": p("many"), "lifecycle": p("在用"), "warranty_until": p("soon")}},
	}, opts)
	if err != nil || len(r.Errors) != 2 || r.Created != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, e := range r.Errors {
		if e.Row != 2 {
			t.Errorf("%+v", e)
		}
	}
	if page, err := s.Items(t.Context(), reach.All(), Filter{Query: "fine"}); err != nil || page.Total != 0 {
		t.Errorf("half of the items were taken in: %+v, %v", page, err)
	}
}

// TestMistakesInOneOrder is told of the same item again and again in the same
// words.
func TestMistakesInOneOrder(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a")
	const want = `unknown cabinet "c" unknown contract "d" unknown supplier "e"`
	for range 40 {
		_, err := s.Upsert(t.Context(), reach.All(), "tester", Item{Class: "host", Name: "x", Tenant: "a", Attributes: map[string]string{"supplier": "e", "cabinet": "c", "contract": "d"}})
		var invalid *InvalidError
		if !errors.As(err, &invalid) {
			t.Fatal(err)
		}
		var got []string
		for _, e := range invalid.Errors {
			got = append(got, e.Message)
		}
		if strings.Join(got, " ") != want {
			t.Fatalf("%q, want %s", got, want)
		}
	}
}

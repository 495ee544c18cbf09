package cmdb

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	at := s.now()
	s.now = func() time.Time { return at.Add(time.Hour) }
	if err := s.Delete(t.Context(), reach.All(), "li", "svc"); err != nil {
		t.Fatal(err)
	}
	list := func(r reach.Reach, f ChangeFilter) string {
		t.Helper()
		var out []string
		for {
			page, err := s.Changes(t.Context(), r, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range page {
				out = append(out, h.Action+" "+h.ItemID)
			}
			if len(page) < f.Limit || f.Limit == 0 {
				return strings.Join(out, ", ")
			}
			f.Before = page[len(page)-1].ID
		}
	}
	later := at.Add(time.Minute)
	for name, c := range map[string]struct {
		r    reach.Reach
		f    ChangeFilter
		want string
	}{
		"since":        {reach.All(), ChangeFilter{Since: later}, "deleted svc"},
		"by actor":     {reach.All(), ChangeFilter{Actor: "li"}, "deleted svc"},
		"out of reach": {reach.Tenants("b"), ChangeFilter{Since: later}, ""},
		"until":        {reach.All(), ChangeFilter{Until: later, Class: "host", Action: "created", Limit: 1}, "created h2, created h1"},
		"in reach":     {reach.Tenants("b"), ChangeFilter{Class: "host"}, "created h2"},
	} {
		if got := list(c.r, c.f); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	mustImport(t, s, YAML, `
- {class: host, name: h1, tenant: a, labels: [核心, x]}
- {class: host, name: h2, tenant: b, labels: [核心]}
`)
	for _, c := range []struct {
		r    reach.Reach
		want []LabelCount
	}{
		{reach.All(), []LabelCount{{"核心", 2}, {"x", 1}}},
		{reach.Tenants("b"), []LabelCount{{"核心", 1}}},
		{reach.None(), nil},
	} {
		if got, err := s.Labels(t.Context(), c.r); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v, want %v: %v", got, c.want, err)
		}
	}
}

// TestChangesWait: a program that reads the changes one after the other gets
// each once, and one that waits hears of the first within its reach.
func TestChangesWait(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	ctx := t.Context()
	last, err := s.LastChange(ctx)
	if err != nil {
		t.Fatal(err)
	}
	put := func(id, tenant string) {
		t.Helper()
		mustImport(t, s, NDJSON, fmt.Sprintf(`{"id":%q,"class":"host","name":%q,"tenant":%q}`, id, id, tenant))
	}
	var want []string
	for n := range 5 {
		id := fmt.Sprint("h", n)
		want = append(want, id)
		put(id, "a")
	}
	var got []string
	for after := last; ; {
		list, err := s.Changes(ctx, reach.All(), ChangeFilter{After: after, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range list {
			got, after = append(got, h.ItemID), h.ID
		}
		if len(list) == 0 {
			last = after
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
	if list, err := s.ChangesWait(ctx, reach.All(), ChangeFilter{After: last}, time.Millisecond); err != nil || len(list) != 0 {
		t.Errorf("nothing came, and yet %v, %v", list, err)
	}
	heard := make(chan string, 1)
	go func() {
		list, err := s.ChangesWait(ctx, reach.Tenants("b"), ChangeFilter{After: last}, time.Hour)
		if err != nil || len(list) != 1 {
			heard <- fmt.Sprint(list, err)
			return
		}
		heard <- list[0].ItemID
	}()
	put("not-his", "a")
	put("his", "b")
	if got := <-heard; got != "his" {
		t.Errorf("who waits hears of %s", got)
	}
}

package drawing

import (
	"errors"
	"math"
	"strings"
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/reach"
)

const ledger = `
- {id: h1, class: host, name: h1, tenant: a}
- {id: h2, class: host, name: h2, tenant: b}
- {id: h3, class: host, name: h3, tenant: a}
`

// onBoth runs a test on both kinds of databases.
func onBoth(t *testing.T, test func(t *testing.T, s *Store, items *cmdb.Service)) {
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		if r, err := items.Import(t.Context(), cmdb.YAML, strings.NewReader(ledger), cmdb.ImportOptions{Within: reach.All(), Actor: "t"}); err != nil || len(r.Errors) > 0 {
			t.Fatal(err, r.Errors)
		}
		s, err := Open(t.Context(), items.Database())
		if err != nil {
			t.Fatal(err)
		}
		test(t, s, items)
	})
}

// nodes names the items of a drawing.
func nodes(d Drawing) string { return strings.Join(d.items(), " ") }

func TestDrawings(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store, items *cmdb.Service) {
		ctx := t.Context()
		owner := Asker{User: "u1", Name: "wang", Within: reach.All()}
		other := Asker{User: "u2", Name: "li", Within: reach.Tenants("a")}
		stranger := Asker{User: "u3", Name: "zhao", Within: reach.Tenants("c")}
		manager := Asker{User: "u4", Name: "admin", Manage: true, Within: reach.All()}
		must := func(d Drawing, err error) Drawing {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		want := func(of error, err error) {
			t.Helper()
			if !errors.Is(err, of) {
				t.Fatalf("error %v, want %v", err, of)
			}
		}

		d := must(s.Create(ctx, owner, Content{Name: " 医保 ", Scenario: "演练", Nodes: []Node{{Item: "h1", X: 1, Y: 2, Note: "主"}, {Item: "h2"}}}))
		if d.Name != "医保" || d.Layout != Free || nodes(d) != "h1 h2" || d.Revision != 1 || !d.Mine || d.Owner != "wang" {
			t.Fatalf("drawing %+v", d)
		}
		_, err := s.Get(ctx, other, d.ID)
		want(ErrNotFound, err) // it is not shared

		c := d.Content
		c.Shared = true
		d = must(s.Save(ctx, owner, d.ID, 1, c))
		_, err = s.Save(ctx, owner, d.ID, 1, c)
		want(ErrConflict, err)
		seen := must(s.Get(ctx, other, d.ID))
		if nodes(seen) != "h1" || seen.Items != 1 || seen.Editable || seen.Mine {
			t.Errorf("another sees %+v", seen)
		}
		_, err = s.Get(ctx, stranger, d.ID)
		want(ErrNotFound, err) // none of its items is within his reach
		_, err = s.Save(ctx, other, d.ID, 2, c)
		want(ErrForbidden, err)
		want(ErrForbidden, s.Delete(ctx, other, d.ID))
		for who, n := range map[*Asker]int{&owner: 1, &other: 1, &stranger: 0, &manager: 1} {
			p, err := s.List(ctx, *who, Query{Text: "演 医"})
			if err != nil || len(p.Drawings) != n || p.Total != n {
				t.Errorf("%s finds %d of %d: %v", who.Name, len(p.Drawings), p.Total, err)
			}
		}
		for name, q := range map[string]Query{"other word": {Text: "x"}, "other scenario": {Scenario: "x"}, "other item": {Item: "h3"}, "deleted": {Deleted: true}} {
			if p, err := s.List(ctx, owner, q); err != nil || p.Total != 0 {
				t.Errorf("%s finds %d: %v", name, p.Total, err)
			}
		}
		if p, err := s.List(ctx, other, Query{Item: "h2"}); err != nil || p.Total != 0 {
			t.Errorf("an item out of reach finds %d: %v", p.Total, err)
		}

		// Who sees less, saves less, and loses nothing of what others see.
		narrow := manager
		narrow.Within = reach.Tenants("a")
		c.Nodes = []Node{{Item: "h3", X: 5}}
		d = must(s.Save(ctx, narrow, d.ID, 2, c))
		if nodes(d) != "h3" {
			t.Errorf("the narrow one sees %q", nodes(d))
		}
		if d = must(s.Get(ctx, owner, d.ID)); nodes(d) != "h3 h2" || d.UpdatedBy != "admin" {
			t.Errorf("the owner sees %q of %s", nodes(d), d.UpdatedBy)
		}
		c.Nodes = []Node{{Item: "h2"}}
		_, err = s.Save(ctx, Asker{User: "u1", Within: reach.Tenants("c")}, d.ID, 3, Content{Name: "x", Nodes: []Node{{Item: "h1"}}})
		want(ErrInvalid, err) // an item out of reach cannot be added

		// An item that goes, goes from the drawing.
		if err := items.Delete(ctx, reach.All(), "t", "h3"); err != nil {
			t.Fatal(err)
		}
		if d = must(s.Get(ctx, owner, d.ID)); nodes(d) != "h2" {
			t.Errorf("after a deletion %q", nodes(d))
		}
		d = must(s.Save(ctx, owner, d.ID, 3, Content{Name: "医保", Shared: true, Nodes: []Node{{Item: "h3"}, {Item: "h2"}}}))
		if nodes(d) != "h2" {
			t.Errorf("saved %q", nodes(d))
		}

		// Every change has its way back, also that a drawing is gone.
		if err := s.Delete(ctx, owner, d.ID); err != nil {
			t.Fatal(err)
		}
		_, err = s.Get(ctx, other, d.ID)
		want(ErrNotFound, err)
		if p, err := s.List(ctx, owner, Query{Deleted: true}); err != nil || p.Total != 1 {
			t.Errorf("%d deleted: %v", p.Total, err)
		}
		_, err = s.Save(ctx, owner, d.ID, 5, c)
		want(ErrConflict, err)
		d = must(s.Restore(ctx, owner, d.ID, 1))
		if nodes(d) != "h1 h2" || d.Shared || d.Deleted || d.Revision != 6 {
			t.Errorf("restored %+v", d)
		}
		versions, err := s.Versions(ctx, owner, d.ID)
		if err != nil || len(versions) != 6 || versions[0].Action != actionRestored || versions[1].Action != actionDeleted {
			t.Errorf("versions %+v: %v", versions, err)
		}
		_, err = s.Restore(ctx, owner, d.ID, 99)
		want(ErrNotFound, err)
		for range maxKept {
			d = must(s.Save(ctx, owner, d.ID, d.Revision, d.Content))
		}
		if versions, err = s.Versions(ctx, owner, d.ID); err != nil || len(versions) != maxKept {
			t.Errorf("%d versions are kept: %v", len(versions), err)
		}
	})
}

func TestPages(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store, _ *cmdb.Service) {
		a := Asker{User: "u", Name: "n", Within: reach.All()}
		for _, name := range []string{"a", "b", "c"} {
			if _, err := s.Create(t.Context(), a, Content{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]bool{}
		q := Query{Limit: 2}
		for {
			p, err := s.List(t.Context(), a, q)
			if err != nil || p.Total != 3 {
				t.Fatalf("total %d: %v", p.Total, err)
			}
			for _, d := range p.Drawings {
				seen[d.Name] = true
			}
			if q.Cursor = p.Next; q.Cursor == "" {
				break
			}
		}
		if len(seen) != 3 {
			t.Errorf("saw %v", seen)
		}
		if _, err := s.List(t.Context(), a, Query{Cursor: "-1"}); !errors.Is(err, cmdb.ErrCursor) {
			t.Errorf("a made-up cursor: %v", err)
		}
	})
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]Content{
		"no name":       {Name: "  "},
		"long name":     {Name: strings.Repeat("名", MaxName+1)},
		"layout":        {Name: "x", Layout: "round"},
		"filter":        {Name: "x", Filter: "name ="},
		"twice":         {Name: "x", Nodes: []Node{{Item: "a"}, {Item: "a"}}},
		"no item":       {Name: "x", Nodes: []Node{{}}},
		"nowhere":       {Name: "x", Nodes: []Node{{Item: "a", X: math.NaN()}}},
		"far away":      {Name: "x", Nodes: []Node{{Item: "a", Y: -maxPlace - 1}}},
		"many nodes":    {Name: "x", Nodes: make([]Node, MaxNodes+1)},
		"empty note":    {Name: "x", Notes: []Note{{}}},
		"endless note":  {Name: "x", Notes: []Note{{Text: "x", Y: math.Inf(1)}}},
		"long note":     {Name: "x", Nodes: []Node{{Item: "a", Note: strings.Repeat("n", MaxText+1)}}},
		"many notes":    {Name: "x", Notes: make([]Note, MaxNotes+1)},
		"many types":    {Name: "x", HiddenTypes: make([]string, maxNames+1)},
		"long scenario": {Name: "x", Scenario: strings.Repeat("s", MaxName+1)},
	} {
		if err := c.check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := Content{Name: "x", Filter: " class = host ", Nodes: []Node{{Item: "a"}}, Notes: []Note{{Text: "n"}}}
	if err := c.check(); err != nil || c.Filter != "class = host" || c.Layout != Free {
		t.Errorf("%+v: %v", c, err)
	}
}

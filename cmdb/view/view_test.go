package view

import (
	"errors"
	"strings"
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/reach"
)

func onBoth(t *testing.T, test func(t *testing.T, s *Store, items *cmdb.Service)) {
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		cmdbtest.Import(t, items, `{"id":"sys","class":"business_system","name":"pay","tenant":"a","attributes":{"business_line":"medical"}}
{"id":"h1","class":"host","name":"h1","tenant":"a","zone":"office","system":"sys"}
{"id":"h2","class":"host","name":"h2","tenant":"b","zone":"office"}
{"id":"h3","class":"host","name":"h3","tenant":"b","zone":"secret"}`)
		s, err := Open(t.Context(), items)
		if err != nil {
			t.Fatal(err)
		}
		test(t, s, items)
	})
}

var (
	owner    = Asker{User: "u1", Name: "wang", Within: reach.All()}
	ofA      = Asker{User: "u2", Name: "li", Within: reach.Tenants("a")}
	ofB      = Asker{User: "u3", Name: "zhao", Within: reach.Tenants("b")}
	manager  = Asker{User: "u4", Name: "admin", Within: reach.All(), Manage: true}
	nobodyIn = Asker{Within: reach.All()} // a token of no person
)

func TestViews(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store, _ *cmdb.Service) {
		ctx := t.Context()
		want := func(of, err error) {
			t.Helper()
			if !errors.Is(err, of) {
				t.Errorf("error %v, want %v", err, of)
			}
		}
		listed := func(a Asker, deleted bool) string {
			t.Helper()
			list, err := s.List(ctx, a, deleted)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, v := range list {
				names = append(names, v.Name)
			}
			return strings.Join(names, " ")
		}
		for name, e := range map[string]Edit{
			"no name":         {Name: " "},
			"unknown class":   {Name: "x", Query: List{Filter: "class = spaceship"}},
			"broken filter":   {Name: "x", Query: List{Filter: "name ="}},
			"unknown sort":    {Name: "x", Query: List{Sort: "colour"}},
			"no such tenant":  {Name: "x", Share: "c"},
			"another's share": {Name: "x", Share: "b"},
		} {
			if _, err := s.Create(ctx, ofA, e); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		}
		own, err := s.Create(ctx, owner, Edit{Name: " own ", Query: List{Class: "host", Filter: "criticality >= 4", Sort: "-criticality", Columns: []string{"name", "os"}}})
		if err != nil || own.Name != "own" || !own.Mine || !own.Editable || own.Revision != 1 || own.Query.Columns[1] != "os" {
			t.Fatalf("%+v, %v", own, err)
		}
		all, err := s.Create(ctx, owner, Edit{Name: "all", Share: Everybody})
		want(nil, err)
		_, err = s.Create(ctx, owner, Edit{Name: "forA", Share: "a"})
		want(nil, err)
		for _, x := range []struct {
			who  Asker
			list string
		}{{owner, "all forA own"}, {ofA, "all forA"}, {ofB, "all"}, {manager, "all forA"}, {nobodyIn, "all forA"}} {
			if got := listed(x.who, false); got != x.list {
				t.Errorf("%q sees %q, want %q", x.who.Name, got, x.list)
			}
		}
		_, err = s.Change(ctx, ofA, own.ID, 1, Edit{Name: "y"})
		want(ErrNotFound, err)
		_, err = s.Change(ctx, ofA, all.ID, 1, Edit{Name: "y"})
		want(ErrForbidden, err)
		want(ErrForbidden, s.Delete(ctx, nobodyIn, all.ID))
		changed, err := s.Change(ctx, manager, all.ID, 1, Edit{Name: "everybody", Share: Everybody})
		if err != nil || changed.Owner != "wang" || changed.Revision != 2 {
			t.Errorf("%+v, %v", changed, err)
		}
		_, err = s.Change(ctx, owner, all.ID, 1, Edit{Name: "late"})
		want(ErrConflict, err)
		want(nil, s.Delete(ctx, owner, all.ID))
		if got := listed(ofA, false) + "|" + listed(owner, true) + "|" + listed(ofA, true); got != "forA|everybody|" {
			t.Errorf("after deleting one: %q", got)
		}
		back, err := s.Restore(ctx, owner, all.ID)
		if err != nil || back.Deleted || listed(ofA, false) != "everybody forA" {
			t.Errorf("restored: %+v, %v", back, err)
		}
	})
}

func TestFollowing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store, items *cmdb.Service) {
		ctx := t.Context()
		follow := func(a Asker, kind, name string, of error) {
			t.Helper()
			if err := s.Follow(ctx, a, kind, name, true); !errors.Is(err, of) {
				t.Errorf("%s follows %s %q: %v, want %v", a.Name, kind, name, err, of)
			}
		}
		follow(ofA, Line, "medical", nil)
		follow(ofA, Line, "medical", nil) // once more changes nothing
		follow(ofA, Zone, "office", nil)
		follow(ofA, Item, "sys", nil)
		follow(ofA, Zone, "secret", ErrInvalid) // as one that there is not
		follow(ofA, Zone, "nowhere", ErrInvalid)
		follow(ofA, Item, "h2", cmdb.ErrNotFound)
		follow(ofA, "star", "x", ErrInvalid)
		seen := func(a Asker) string {
			t.Helper()
			list, err := s.Following(ctx, a)
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]int{}
			for _, f := range list {
				found[f.Kind+" "+f.Name] = f.Items
			}
			var out []string
			for _, k := range []string{"line medical", "zone office", "item pay"} {
				if n, ok := found[k]; ok {
					out = append(out, k+strings.Repeat("+", n))
				}
			}
			return strings.Join(out, ", ")
		}
		if got := seen(ofA); got != "line medical++, zone office+, item pay+" {
			t.Errorf("followed: %q", got)
		}
		narrowed := ofA
		narrowed.Within = reach.Tenants("b")
		if got := seen(narrowed); got != "zone office+" {
			t.Errorf("followed with another reach: %q", got)
		}
		if err := s.Follow(ctx, ofA, Line, "medical", false); err != nil {
			t.Error(err)
		}
		if got := seen(ofA); got != "zone office+, item pay+" {
			t.Errorf("still followed: %q", got)
		}
	})
}

package cmdb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"icewatch/soc/reach"
)

// scope compiles an expression for tenants a (unit u1, region north) and b.
func scope(t *testing.T, expression string) reach.Reach {
	t.Helper()
	e, err := reach.Parse(expression)
	if err != nil {
		t.Fatal(err)
	}
	return e.Compile(reach.NewDirectory([]reach.Tenant{{Slug: "a", Unit: "u1", Region: "north"}, {Slug: "b"}}, []reach.Unit{{ID: "u1"}, {ID: "u2", Parent: "u1"}}))
}

func facts(t *testing.T, s *Service, id string) string {
	t.Helper()
	row, err := getRow(t.Context(), s.db, reach.All(), id)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join([]string{row.Unit, row.Region, row.Industry, row.Kept.Labels}, "|")
}

// An item's facts are its own, else its system's, else its organisation's, and
// follow whatever changes among those.
func TestFactsFollow(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	check := func(want map[string]string) {
		t.Helper()
		for id, w := range want {
			if got := facts(t, s, id); got != w {
				t.Errorf("%s: %s, want %s", id, got, w)
			}
		}
	}
	// The superiors stand further down in the file.
	mustImport(t, s, YAML, `
- {id: h, class: host, name: h, tenant: a, system: s, labels: [own], attributes: {industry: finance}}
- {id: g, class: host, name: g, tenant: a, system: s, organisation: other}
- {id: s, class: business_system, name: s, tenant: a, organisation: bureau, labels: [core], attributes: {region: south}}
- {id: bureau, class: organisation, name: bureau, organisation: top, attributes: {unit: u2}}
- {id: other, class: organisation, name: other, attributes: {unit: u1, industry: health}}
- {id: top, class: organisation, name: top, attributes: {region: west, industry: public}}
`)
	check(map[string]string{"top": "|west|public|", "bureau": "u2|west|public|", "s": "u2|south|public|;core;", "h": "u2|south|finance|;core;own;", "g": "u2|south|public|;core;"})
	mustImport(t, s, YAML, `
- {id: top, class: organisation, name: top, attributes: {region: east, industry: ""}}
- {id: s, class: business_system, name: s, labels: [], attributes: {region: ""}}
`)
	check(map[string]string{"top": "|east||", "s": "u2|east||", "h": "u2|east|finance|;own;", "g": "u2|east|health|"})
	mustImport(t, s, YAML, `- {id: s, class: business_system, name: s, organisation: ""}`)
	check(map[string]string{"s": "|||", "h": "||finance|;own;", "g": "u1||health|"})
}

// Reading, changing and deleting keep to the reach row by row, and nobody moves
// an item out of sight.
func TestReachInPart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := openNew(t, "a", "b")
	mustImport(t, s, YAML, `
- {id: s, class: business_system, name: s, tenant: a, attributes: {region: south}}
- {id: north1, class: host, name: n1, tenant: a}
- {id: north2, class: host, name: n2, tenant: a, attributes: {unit: u2}}
- {id: south1, class: host, name: s1, tenant: a, system: s, addresses: [10.0.0.1]}
- {id: south2, class: host, name: s2, tenant: a, attributes: {region: south}, labels: [vip]}
- {id: elsewhere, class: host, name: e, tenant: b}
`)
	f := func(expression, want string) {
		t.Helper()
		r := scope(t, expression)
		p, err := s.Items(ctx, r, Filter{Classes: []string{Host}, Limit: 2})
		var got []string
		total := p.Total
		for {
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range p.Items {
				got = append(got, it.ID)
			}
			if p.Next == "" {
				break
			}
			p, err = s.Items(ctx, r, Filter{Classes: []string{Host}, Limit: 2, Cursor: p.Next})
		}
		if strings.Join(got, " ") != want || total != len(got) {
			t.Errorf("%s: %v of %d, want %s", expression, got, total, want)
		}
		out := export(t, s, CSV, r, Filter{Classes: []string{Host}})
		if lines := strings.Count(out, "\n") - 1; lines != len(got) {
			t.Errorf("%s: exports %d items, lists %d", expression, lines, len(got))
		}
		for _, id := range []string{"north1", "north2", "south1", "south2", "elsewhere"} {
			_, err := s.Get(ctx, r, id)
			h, herr := s.History(ctx, r, id, 0, 0)
			if visible := strings.Contains(want, id); (err == nil) != visible || herr != nil || (len(h) == 1) != visible {
				t.Errorf("%s: %s: %v, history %v %v", expression, id, err, h, herr)
			}
		}
	}
	f(`region = "north"`, "north1 north2")
	f(`region = "south"`, "south1 south2")
	f(`region = "south" and label not exists`, "south1")
	f(`organisation under u1 and region != "south"`, "north1 north2")
	f(`organisation = u2 or label = vip`, "north2 south2")
	f(`region not exists`, "elsewhere")

	south := scope(t, `region = "south"`)
	rel, err := s.Relations(ctx, scope(t, `region = "south" and label not exists or label = "vip"`), "s")
	if err != nil || fmt.Sprint(rel.Counts) != "map[host:1]" || len(rel.Members) != 1 {
		t.Errorf("relations: %+v %v", rel, err)
	}
	refused := func(what, text, want string) {
		t.Helper()
		before := export(t, s, YAML, reach.All(), Filter{})
		r := doImport(t, s, YAML, text, ImportOptions{Within: south})
		if len(r.Errors) == 0 || !strings.Contains(r.Errors[0].Message, want) {
			t.Errorf("%s: %+v, want %q", what, r, want)
		}
		if after := export(t, s, YAML, reach.All(), Filter{}); after != before {
			t.Errorf("%s changed something", what)
		}
	}
	refused("an item out of reach, by id", "- {id: north1, class: host, name: n1, owner: me}", "not available")
	refused("an item out of reach, by name", "- {class: host, name: n1, tenant: a, owner: me}", "outside of your reach")
	refused("moving out of sight", `- {id: south2, class: host, name: s2, attributes: {region: north}}`, "outside of your reach")
	refused("making one out of sight", `- {class: host, name: new, tenant: a}`, "outside of your reach")
	refused("one row of two", `
- {id: south2, class: host, name: s2, owner: me}
- {class: host, name: new, tenant: a}`, "outside of your reach")
	refused("an address that is taken out of sight", `- {class: host, name: new, tenant: a, attributes: {region: south}, system: north}`, "unknown")
	if r := doImport(t, s, YAML, "- {class: host, name: new, tenant: a, system: s}", ImportOptions{Within: south}); r.Created != 1 {
		t.Errorf("one in sight by its system: %+v", r)
	}
	if err := s.Delete(ctx, south, "me", "north1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete out of reach: %v", err)
	}
	onlySystem := scope(t, `region = "south" and label = "none"`)
	if err := s.Delete(ctx, onlySystem, "me", "s"); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete: %v", err)
	}
}

// What a release before kept of an item is worked out at the first start.
func TestFactsOfOldItems(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a")
	mustImport(t, s, YAML, `
- {id: h, class: host, name: h, tenant: a, system: s, labels: [own]}
- {id: s, class: business_system, name: s, tenant: a, labels: [core], attributes: {region: south}}
`)
	ctx := t.Context()
	for _, stmt := range []string{"UPDATE cmdb_items SET reach_region = '', reach_labels = ''", "INSERT INTO cmdb_unsettled SELECT id FROM cmdb_items"} {
		if _, err := s.db.ExecContext(ctx, stmt); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.settleAll(ctx); err != nil {
		t.Fatal(err)
	}
	if got := facts(t, s, "h"); got != "|south||;core;own;" {
		t.Error(got)
	}
	snap, err := s.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range snap.Items {
		if it.ID == "h" && (it.Region != "south" || it.ReachLabels != ";core;own;") {
			t.Errorf("the snapshot has %+v", it)
		}
	}
}

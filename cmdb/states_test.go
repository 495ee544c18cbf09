package cmdb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"icewatch/soc/reach"
)

// TestLifeCycle: an item goes from state to state as its class says, by form and
// by file, and back to what it was in any case.
func TestLifeCycle(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	ctx := t.Context()
	put := func(state string) error {
		_, err := s.UpsertAll(ctx, []Fields{{Class: new("host"), Name: new("h1"), Tenant: new("a"), Attributes: map[string]*string{"lifecycle": &state}}}, ImportOptions{Within: reach.All(), Actor: "wang"})
		return err
	}
	report := func(state string) string {
		r, err := s.Import(ctx, NDJSON, strings.NewReader(fmt.Sprintf(`{"class":"host","name":"h1","tenant":"a","attributes":{"lifecycle":%q}}`, state)), ImportOptions{Within: reach.All(), Actor: "wang"})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Errors) == 0 {
			return ""
		}
		return r.Errors[0].Column + ": " + r.Errors[0].Message
	}
	if err := put("在用"); err != nil { // by a name of the dictionary
		t.Fatal(err)
	}
	if got := report("scrapped"); !strings.HasPrefix(got, "attr.lifecycle: ") || !strings.Contains(got, `"retired"`) {
		t.Errorf("from service to scrap: %q", got)
	}
	for _, state := range []string{"retired", "retired", "scrapped"} {
		if got := report(state); got != "" {
			t.Errorf("to %s: %s", state, got)
		}
	}
	if got := report("in_service"); !strings.Contains(got, "last state") {
		t.Errorf("out of the last state: %q", got)
	}
	if got := report(""); !strings.Contains(got, "last state") {
		t.Errorf("out of the last state to none: %q", got)
	}
	id := itemNamed(t, s, "h1").ID
	states, err := s.States(ctx, reach.All(), id)
	if err != nil || len(states) != 1 || states[0].Value != "scrapped" || states[0].Any || len(states[0].Next) != 0 {
		t.Fatalf("states %+v, %v", states, err)
	}
	var was []string
	for i, p := range states[0].Periods {
		was = append(was, p.Value)
		if last := i == len(states[0].Periods)-1; (p.Until == nil) != last || p.Actor != "wang" {
			t.Errorf("period %+v", p)
		}
	}
	if got := strings.Join(was, " "); got != "in_service retired scrapped" {
		t.Errorf("it was %s", got)
	}
	if _, err := s.States(ctx, reach.Tenants("b"), id); !errors.Is(err, ErrNotFound) {
		t.Errorf("another tenant asks: %v", err)
	}
	// Who goes back to what an item was may.
	h, err := s.History(ctx, reach.All(), id, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	it, err := s.Restore(ctx, reach.All(), "li", id, h[len(h)-1].ID)
	if err != nil || it.Attributes["lifecycle"] != "in_service" {
		t.Errorf("restored: %+v, %v", it, err)
	}
	if p, err := s.Items(ctx, reach.All(), Filter{Expression: "lifecycle = in_service"}); err != nil || p.Total != 1 {
		t.Errorf("filtered: %d, %v", p.Total, err)
	}
}

func itemNamed(t *testing.T, s *Service, name string) Item {
	t.Helper()
	p, err := s.Items(t.Context(), reach.All(), Filter{Expression: fmt.Sprintf("name = %q", name)})
	if err != nil || len(p.Items) != 1 {
		t.Fatalf("items called %q: %+v, %v", name, p.Items, err)
	}
	return p.Items[0]
}

// TestReferenceInKey: a port is one by its switch and its number, whether the
// switch is named, given by its id, or new in the same file.
func TestReferenceInKey(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	ctx := t.Context()
	ports := document(t, `
classes:
  - {class: port, name: {en: Port}, rank: 2, key: [of, number], attributes: [{name: of, title: {en: Device}, type: reference, class: network_device, relation: part_of}, {name: number, title: {en: Number}, type: integer}]}
  - {class: lane, name: {en: Lane}, rank: 2, key: [on_port, name], attributes: [{name: on_port, title: {en: Port}, type: reference, class: port, relation: part_of}]}
`)
	mustChange(t, s, ModelChange{Document: ports})
	load := func(file string) Report {
		t.Helper()
		r, err := s.Import(ctx, NDJSON, strings.NewReader(file), ImportOptions{Within: reach.All(), Actor: "t"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	counts := func(what string, r Report, created, updated, unchanged int) {
		t.Helper()
		if len(r.Errors) > 0 || r.Created != created || r.Updated != updated || r.Unchanged != unchanged {
			t.Errorf("%s: created %d, updated %d, unchanged %d, errors %v; want %d, %d, %d", what, r.Created, r.Updated, r.Unchanged, r.Errors, created, updated, unchanged)
		}
	}
	// What a key refers to may stand behind it in the file.
	file := `{"class":"lane","name":"l","tenant":"a","attributes":{"on_port":"p-core"}}
{"class":"port","name":"p-core","tenant":"a","attributes":{"of":"core","number":"1"}}
{"class":"port","name":"p-edge","tenant":"a","attributes":{"of":"edge","number":"1"}}
{"id":"sw-core","class":"network_device","name":"core","tenant":"a"}
{"class":"network_device","name":"edge","tenant":"a"}
{"class":"network_device","name":"core","tenant":"b"}`
	counts("new", load(file), 6, 0, 0)
	counts("once more", load(file), 0, 0, 6)
	counts("by id", load(`{"class":"port","name":"renamed","tenant":"a","attributes":{"of":"sw-core","number":"1"}}`), 0, 1, 0)
	counts("another number", load(`{"class":"port","name":"p2","tenant":"a","attributes":{"of":"core","number":"2"}}`), 1, 0, 0)
	counts("of another tenant's device of that name", load(`{"class":"port","name":"p2","tenant":"b","attributes":{"of":"core","number":"2"}}`), 1, 0, 0)
	for name, x := range map[string]struct{ row, column string }{
		"unknown":      {`{"class":"port","name":"p","tenant":"a","attributes":{"of":"nowhere","number":"3"}}`, "attr.of"},
		"missing":      {`{"class":"port","name":"p","tenant":"a","attributes":{"number":"3"}}`, "attr.of"},
		"taken by key": {fmt.Sprintf(`{"id":%q,"class":"port","name":"p2","tenant":"a","attributes":{"of":"core","number":"1"}}`, portOf(t, s, "sw-core", "2")), "name"},
	} {
		if r := load(x.row); len(r.Errors) == 0 || r.Errors[0].Column != x.column {
			t.Errorf("%s: %+v", name, r.Errors)
		}
	}
	for _, x := range []struct{ class, says string }{
		{`key: [of], rank: 2, attributes: [{name: of, title: {en: Of}, type: reference, class: x, relation: part_of}]`, "own class"},
		{`key: [of], attributes: [{name: of, title: {en: Of}, type: reference, class: host, relation: part_of}]`, "rank"},
		{`attributes: [{name: step, title: {en: Step}, type: text, transitions: [{from: "", to: [a]}]}]`, "enumeration"},
		{`attributes: [{name: step, title: {en: Step}, type: enum, values: [a], transitions: [{from: a, to: [b]}]}]`, "from \"a\" to"},
		{`attributes: [{name: step, title: {en: Step}, type: enum, values: [a], transitions: [{from: a, to: []}, {from: a, to: []}]}]`, "twice"},
		{`attributes: [{name: step, title: {en: Step}, type: enum, values: [a, b], default: b, transitions: [{from: "", to: [a]}]}]`, "default"},
	} {
		_, err := s.PreviewModel(ctx, document(t, "classes:\n  - {class: x, name: {en: X}, "+x.class+"}"))
		if err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want one that says %q", x.class, err, x.says)
		}
	}
}

func portOf(t *testing.T, s *Service, device, number string) string {
	t.Helper()
	p, err := s.Items(t.Context(), reach.All(), Filter{Expression: fmt.Sprintf("class = port and of = %q and number = %s", device, number)})
	if err != nil || len(p.Items) != 1 {
		t.Fatalf("port %s of %s: %+v, %v", number, device, p.Items, err)
	}
	return p.Items[0].ID
}

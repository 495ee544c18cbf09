package cmdb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

func document(t testing.TB, text string) model.Document {
	t.Helper()
	d, err := model.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// settled waits until no items move.
func settled(t testing.TB, s *Service) []ModelRevision {
	t.Helper()
	s.background.Wait()
	list, err := s.Revisions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func mustChange(t testing.TB, s *Service, c ModelChange) ModelRevision {
	t.Helper()
	if _, err := s.ChangeModel(t.Context(), "admin", c); err != nil {
		t.Fatal(err)
	}
	list := settled(t, s)
	if list[0].State != stateDone {
		t.Fatalf("%+v", list[0])
	}
	return list[0]
}

// everything is all items as a file, to compare before and after.
func everything(t testing.TB, s *Service) string {
	t.Helper()
	var b strings.Builder
	if err := s.Export(t.Context(), reach.All(), YAML, &b, Filter{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestModelChange adds a class and attributes, renames one, makes numbers of
// texts, and takes all of it back.
func TestModelChange(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	mustImport(t, s, YAML, `
- {id: n1, class: host, name: n1, tenant: a, attributes: {rack: "07", note: keep, role: web}}
- {id: n2, class: host, name: n2, tenant: a, attributes: {rack: x9, location: 三楼}}
`)
	before := everything(t, s)
	d := document(t, `
dictionaries: [{name: grade, title: {zh: 等级, en: Grade}, values: [[a, 甲, A], [b, 乙, B]]}]
classes:
  - {class: camera, name: {zh: 摄像机, en: Camera}, extends: device}
  - class: host
    remove: [role]
    attributes:
      - {name: rack, type: integer, min: 1}
      - {name: grade, type: enum, dictionary: grade, required: true, default: 乙}
      - {name: place, type: text, renamed_from: location}
    `)
	// Only the suite's own attribute may be replaced by another name.
	d.Classes[1].Remove = append(d.Classes[1].Remove, "location")
	look, err := s.PreviewModel(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if look.Items != 4 || look.Failed != 1 || look.Failures[0].Item.ID != "n2" || look.Failures[0].Attribute != "rack" || look.Failures[0].Value != "x9" {
		t.Errorf("%+v", look)
	}
	if !slices.Contains(look.Effects, ModelEffect{"host", "grade", 4}) || !slices.Contains(look.Effects, ModelEffect{"host", "place", 1}) {
		t.Errorf("%+v", look.Effects)
	}
	var failing *FailingError
	if _, err := s.ChangeModel(t.Context(), "admin", ModelChange{Document: d}); !errors.As(err, &failing) {
		t.Fatalf("a change that items stand against: %v", err)
	}
	if _, err := s.ChangeModel(t.Context(), "admin", ModelChange{Document: d, Revision: 3}); !errors.Is(err, ErrConflict) {
		t.Fatalf("a change of a model that is not in force: %v", err)
	}
	if everything(t, s) != before {
		t.Fatal("a refused change changed items")
	}
	r := mustChange(t, s, ModelChange{Document: d, ClearFailing: true})
	if r.Revision != 1 || r.Items != 4 || r.Moved != 4 || r.Changed != 4 || r.EndedAt == nil {
		t.Errorf("%+v", r)
	}
	if it := mustGet(t, s, "n1"); it.Attributes["rack"] != "7" || it.Attributes["grade"] != "b" || it.Attributes["note"] != "keep" || it.Attributes["role"] != "" {
		t.Errorf("%+v", it)
	}
	if it := mustGet(t, s, "n2"); it.Attributes["rack"] != "" || it.Attributes["place"] != "三楼" || it.Attributes["location"] != "" {
		t.Errorf("%+v", it)
	}
	if got := found(t, s, reach.All(), "rack >= 7 and grade = 乙"); !slices.Equal(got, []string{"n1"}) {
		t.Errorf("%v", got)
	}
	mustImport(t, s, YAML, "- {id: cam, class: camera, name: cam, tenant: a}")
	h, err := s.History(t.Context(), reach.All(), "n1", 0, 1)
	if err != nil || h[0].Model != 1 || h[0].Actor != "admin" {
		t.Errorf("%+v, %v", h, err)
	}

	// A class that has items cannot go; without them everything is as before,
	// but for what somebody changed since.
	if _, err := s.UndoModel(t.Context(), "admin", 1, true); !errors.As(err, &failing) || failing.Preview.Failures[0].Item.ID != "cam" {
		t.Fatalf("a class was taken from its items: %v", err)
	}
	if err := s.Delete(t.Context(), reach.All(), "t", "cam"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UndoModel(t.Context(), "admin", 1, false); err != nil {
		t.Fatal(err)
	}
	if list := settled(t, s); list[0].Revision != 2 || list[0].Undoes != 1 || list[0].State != stateDone {
		t.Fatalf("%+v", list[0])
	}
	if after := everything(t, s); after != before {
		t.Errorf("undone:\n%s\nbefore:\n%s", after, before)
	}
	if s.Model().Class("camera") != nil || s.Model().Class("host").Attribute("role") == nil {
		t.Error("the model is not the one before")
	}
	if got := found(t, s, reach.All(), `rack = x9`); !slices.Equal(got, []string{"n2"}) {
		t.Errorf("the index after the way back: %v", got)
	}
	// The way back can be taken back.
	if _, err := s.UndoModel(t.Context(), "admin", 2, true); err != nil {
		t.Fatal(err)
	}
	settled(t, s)
	if it := mustGet(t, s, "n1"); it.Attributes["rack"] != "7" || s.Model().Class("camera") == nil {
		t.Errorf("%+v", it)
	}
}

func TestUndoKeepsLaterEdits(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	mustChange(t, s, ModelChange{Document: document(t, "classes: [{class: host, attributes: [{name: tier, type: integer, required: true, default: '3'}]}]")})
	it := mustGet(t, s, "h1")
	it.Attributes["tier"], it.Owner = "1", "周"
	if _, err := s.Upsert(t.Context(), reach.All(), "zhou", it); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UndoModel(t.Context(), "admin", 1, false); err != nil {
		t.Fatal(err)
	}
	settled(t, s)
	if it := mustGet(t, s, "h1"); it.Owner != "周" {
		t.Errorf("%+v", it)
	}
	if it := mustGet(t, s, "h2"); it.Attributes["tier"] != "" {
		t.Errorf("%+v", it)
	}
}

func TestKeyChange(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	byNumber := document(t, "classes: [{class: host, key: [serial_number]}]")
	var failing *FailingError
	// Two hosts without one would be the same.
	if _, err := s.ChangeModel(t.Context(), "admin", ModelChange{Document: document(t, "classes: [{class: vm, key: [environment]}]"), ClearFailing: true}); !errors.As(err, &failing) || !failing.Preview.Failures[0].Final {
		t.Fatalf("two items of one key: %v", err)
	}
	mustImport(t, s, YAML, "- {id: h1, class: host, attributes: {serial_number: S1}}\n- {id: h2, class: host, attributes: {serial_number: S2}}")
	mustChange(t, s, ModelChange{Document: byNumber})
	mustImport(t, s, CSV, "class,name,tenant,owner,attr.serial_number\nhost,new name,a,钱,S1\nhost,new name,a,孙,S3\n")
	if it := mustGet(t, s, "h1"); it.Name != "new name" || it.Owner != "钱" {
		t.Errorf("%+v", it)
	}
	r := doImport(t, s, CSV, "class,name,tenant\nhost,nameless,a\n", ImportOptions{Actor: "t"})
	if len(r.Errors) != 1 || r.Errors[0].Column != "attr.serial_number" {
		t.Errorf("%+v", r)
	}
}

// TestOneAddressInTwoZones keys hosts by zone and name: one name and one
// address in two zones are two items.
func TestOneAddressInTwoZones(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	mustChange(t, s, ModelChange{Document: document(t, "classes: [{class: host, key: [zone, name]}]")})
	mustImport(t, s, CSV, "class,name,tenant,zone,addresses,system\nhost,web,a,east,10.0.0.1,bs-a\nhost,web,a,west,10.0.0.1,\n")
	if got := found(t, s, reach.All(), "address = 10.0.0.1"); len(got) != 2 {
		t.Errorf("%v", got)
	}
	mustImport(t, s, CSV, "class,name,tenant,zone,owner\nhost,web,a,west,西\n")
	if got := found(t, s, reach.All(), "owner = 西 and zone = west"); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestRuleChange(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	d := document(t, `
rules:
  - {name: addresses_in_networks, type: in_network, from: [computer], to: [network], off: true, where: [{from: address, op: within, to: address}]}
  - {name: same_os, type: connects_to, from: [vm], to: [host], where: [{from: os, op: equal, to: os}]}
`)
	mustImport(t, s, YAML, "- {id: v1, class: vm, attributes: {os: KYLIN V10}}")
	mustChange(t, s, ModelChange{Document: d})
	if got := related(t, s, reach.All(), "v1"); slices.Contains(got, ">in_network n24") || !slices.Contains(got, ">connects_to h1") {
		t.Errorf("%v", got)
	}
	if _, err := s.UndoModel(t.Context(), "admin", 1, false); err != nil {
		t.Fatal(err)
	}
	settled(t, s)
	if got := related(t, s, reach.All(), "v1"); !slices.Contains(got, ">in_network n24") || slices.Contains(got, ">connects_to h1") {
		t.Errorf("%v", got)
	}
}

// TestMoveGoesOn stops a change of the model after each batch: items of its
// classes cannot be written meanwhile, and the next start ends it.
func TestMoveGoesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path, catalogue("a"))
	var b strings.Builder
	b.WriteString("class,name,tenant,attr.rack\n")
	for i := range 3 * moveBatch {
		fmt.Fprintf(&b, "host,h%d,a,0%d\n", i, i)
	}
	mustImport(t, s, CSV, b.String())
	next, err := compileModel(s.shipped.Over(document(t, "classes: [{class: host, attributes: [{name: rack, type: integer}]}]")))
	if err != nil {
		t.Fatal(err)
	}
	m := newMove(s.Model(), next, 0, false)
	row := modelRow{Revision: 1, State: stateMoving, Total: 3 * moveBatch, Document: text(document(t, "classes: [{class: host, attributes: [{name: rack, type: integer}]}]"))}
	if _, err := s.db.NewInsert().Model(&row).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.moving.Store(m)
	if _, err := s.Upsert(t.Context(), reach.All(), "t", Item{Class: "host", Name: "h0", Tenant: "a"}); !errors.Is(err, ErrMoving) {
		t.Errorf("a write in between: %v", err)
	}
	if _, err := s.Upsert(t.Context(), reach.All(), "t", Item{Class: "room", Name: "r"}); err != nil {
		t.Errorf("a write of another class: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if list, err := s.revisions(ctx); err == nil && list[0].Moved > 0 {
				cancel()
			}
		}
	}()
	if err := s.moveItems(ctx, m, &row); err == nil {
		t.Log("the move was faster than its end")
	}
	cancel()
	s.Close()
	s = open(t, path, catalogue("a"))
	if list := settled(t, s); list[0].State != stateDone || list[0].Moved != 3*moveBatch {
		t.Errorf("%+v", list[0])
	}
	if it, err := s.Items(t.Context(), reach.All(), Filter{Expression: "rack >= 0", Limit: 1}); err != nil || it.Total != 3*moveBatch || it.Items[0].Attributes["rack"] != "0" {
		t.Errorf("%d of %d items moved: %v", it.Total, 3*moveBatch, err)
	}
}

func TestModelRefuses(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	var wrong *model.DefinitionError
	if _, err := s.PreviewModel(t.Context(), document(t, "classes: [{class: x, name: {en: X}, extends: nothing}]")); !errors.As(err, &wrong) || wrong.Name != "x" {
		t.Errorf("%v", err)
	}
	if _, err := s.UndoModel(t.Context(), "admin", 4, false); !errors.Is(err, ErrConflict) {
		t.Errorf("%v", err)
	}
}

package rulestore

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"icewatch/soc/pipeline/processing"
	"icewatch/soc/search/clause"
	"icewatch/soc/state"
)

func TestRulesAreKept(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var told []processing.Rule
	s, err := Open(ctx, db, func(_ context.Context, rules []processing.Rule) error {
		told = rules
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	when := &clause.Clause{Field: "event.dataset", Operator: "equals", Values: []string{"x"}}
	a, err := s.Create(ctx, processing.Rule{Name: " a ", When: when, Tags: []string{"t"}}, "li")
	if err != nil || a.Name != "a" || a.Revision != 1 || a.UpdatedBy != "li" || len(told) != 1 {
		t.Fatalf("%+v %v", a, err)
	}
	b, err := s.Create(ctx, processing.Rule{Name: "b", Tenant: "harbin", When: when, Drop: true, Enabled: true}, "li")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []processing.Rule{{}, {Name: "x", When: &clause.Clause{Text: "x"}, Drop: true}} {
		if _, err := s.Create(ctx, bad, "li"); !errors.Is(err, processing.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
		if _, err := s.Update(ctx, a.ID, 1, bad, "li"); !errors.Is(err, processing.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	changed := a.Rule
	changed.Tags = []string{"u"}
	if a, err = s.Update(ctx, a.ID, 1, changed, "wang"); err != nil || a.Revision != 2 || told[0].Tags[0] != "u" {
		t.Fatalf("%+v %v", a, err)
	}
	if _, err := s.Update(ctx, a.ID, 1, changed, "zhao"); !errors.Is(err, ErrStale) {
		t.Error(err)
	}
	if _, err := s.Update(ctx, "nothing", 1, changed, "zhao"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.Order(ctx, []string{b.ID}); !errors.Is(err, processing.ErrInvalid) {
		t.Error(err)
	}
	if err := s.Order(ctx, []string{b.ID, a.ID}); err != nil || told[0].ID != b.ID || told[0].Tenant != "harbin" {
		t.Error(err, told)
	}
	if got, err := s.Get(ctx, b.ID); err != nil || !got.Drop {
		t.Error(got, err)
	}
	if err := s.Delete(ctx, b.ID); err != nil || len(told) != 1 {
		t.Error(err)
	}
	if err := s.Delete(ctx, b.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if list, err := s.List(ctx); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
}

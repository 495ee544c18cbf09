package wording

import (
	"errors"
	"path/filepath"
	"testing"

	"icewatch/soc/state"
)

func TestStore(t *testing.T) {
	t.Parallel()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := Open(t.Context(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	title := func(kind string) string {
		t.Helper()
		w, err := s.Wording(ctx, "city", "zh", kind)
		if err != nil {
			t.Fatal(err)
		}
		said, err := w.Say(sample(1))
		if err != nil {
			t.Fatal(err)
		}
		return said.Title
	}
	def := title("sms")
	put := func(kind, text string) error {
		_, err := s.Put(ctx, "wang", Kept{Name: "city", Language: "zh", Kind: kind, Text: Text{Title: text}})
		return err
	}
	for kind, text := range map[string]string{"": "all {{.Kind}}", "sms": "sms"} {
		if err := put(kind, text); err != nil {
			t.Fatal(err)
		}
	}
	if title("sms") != "sms" || title("email") != "all opened" {
		t.Errorf("sms %q, email %q", title("sms"), title("email"))
	}
	var part *PartError
	if err := put("", "a\n{{nope}}"); !errors.As(err, &part) || part.Part != "title" || part.Line != 2 {
		t.Errorf("a broken one: %v", err)
	}
	for _, kind := range []string{"sms", ""} {
		if err := s.Remove(ctx, "wang", "city", "zh", kind); err != nil {
			t.Fatal(err)
		}
	}
	if got := title("sms"); got != def {
		t.Errorf("removed: %q, want the default", got)
	}
	if err := s.Remove(ctx, "wang", "city", "zh", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if list, err := s.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	versions, err := s.Versions(ctx, "city", "zh", "")
	if err != nil || len(versions) != 2 || !versions[0].Removed || versions[1].Text.Title != "all {{.Kind}}" {
		t.Errorf("%+v, %v", versions, err)
	}
}

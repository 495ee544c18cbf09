package settings

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"icewatch/soc/state"
)

type policy struct {
	Length int      `json:"length"`
	Words  []string `json:"words"`
}

func open(t *testing.T, path string, changed ...func(policy)) (*Store, *Setting[policy]) {
	t.Helper()
	db, err := state.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := Open(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Declare(context.Background(), s, "policy", "security", policy{Length: 12, Words: []string{"a", "b"}}, func(p policy) error {
		if p.Length < 8 {
			return errors.New("length: at least 8")
		}
		return nil
	}, changed...)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func TestSettingsOutliveARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	told := 0
	s, v := open(t, path, func(policy) { told++ })
	if got := v.Get(); got.Length != 12 || len(got.Words) != 2 {
		t.Fatalf("the default: got %+v", got)
	}
	if err := s.Set(t.Context(), "policy", []byte(`{"words":["z"]}`), "sec"); err != nil {
		t.Fatal(err)
	}
	if got := v.Get(); got.Length != 12 || got.Words[0] != "z" || v.def.Words[0] != "a" || told != 1 {
		t.Fatalf("got %+v, default %+v, told %d times", got, v.def, told)
	}
	for doc, want := range map[string]error{`{"length":3}`: ErrInvalid, `{"lenght":30}`: ErrInvalid, `{} {}`: ErrInvalid, `[`: ErrInvalid} {
		if err := s.Set(t.Context(), "policy", []byte(doc), "sec"); !errors.Is(err, want) {
			t.Errorf("%s: got %v", doc, err)
		}
	}
	if err := s.Set(t.Context(), "other", []byte(`{}`), "sec"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown setting: got %v", err)
	}
	_, again := open(t, path)
	if got := again.Get(); got.Words[0] != "z" {
		t.Errorf("after a restart: got %+v", got)
	}
	h, err := s.History(t.Context(), "policy", 10)
	if err != nil || len(h) != 1 || h[0].By != "sec" {
		t.Errorf("history: %+v, %v", h, err)
	}
}

package preferences

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"icewatch/soc/state"
)

func TestPreferences(t *testing.T) {
	ctx := t.Context()
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := Open(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := s.Get(ctx, "u1", "my-incidents"); err != nil || p.Refresh != 60 || p.Saved == nil {
		t.Errorf("of nobody: %+v %v", p, err)
	}
	want := Page{Refresh: 15, Items: []string{"status", "system"}, Saved: []Search{{"mine", "mine=true"}}}
	if p, err := s.Set(ctx, "u1", "my-incidents", want); err != nil || p.Refresh != 15 || p.Saved[0].Query != "mine=true" {
		t.Errorf("kept: %+v %v", p, err)
	}
	if p, err := s.Get(ctx, "u2", "my-incidents"); err != nil || p.Refresh != 60 {
		t.Errorf("of somebody else: %+v %v", p, err)
	}
	for want, change := range map[string]func(p *Page){
		"refresh_seconds": func(p *Page) { p.Refresh = 2 },
		"search_items[0]": func(p *Page) { p.Items = []string{""} },
		"saved[0].name":   func(p *Page) { p.Saved = []Search{{}} },
		"saved[1].name":   func(p *Page) { p.Saved = []Search{{Name: "a"}, {Name: "a"}} },
		"saved[0].query":  func(p *Page) { p.Saved = []Search{{"a", strings.Repeat("x", 4001)}} },
	} {
		p := Default()
		change(&p)
		if _, err := s.Set(ctx, "u1", "incidents", p); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := s.Set(ctx, "u1", "../x", Default()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a page of no name: %v", err)
	}
	for n := range maxPages {
		_, err = s.Set(ctx, "u3", fmt.Sprint("p", n), Default())
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err = s.Set(ctx, "u3", "one-more", Default()); !errors.Is(err, ErrInvalid) {
		t.Errorf("too many pages: %v", err)
	}
	if _, err = s.Set(ctx, "u3", "p1", want); err != nil {
		t.Errorf("one of them again: %v", err)
	}
}

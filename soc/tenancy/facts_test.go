package tenancy

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	catalogue := fstest.MapFS{"a/tenant.yaml": entryFile("a"), "b/tenant.yaml": entryFile("b")}
	db := openState(t, path)
	r, err := Open(t.Context(), db, catalogue)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	r.OnChange(func() { told++ })
	p := func(s string) *string { return &s }
	first, _ := r.Get("a")
	if !reflect.DeepEqual(first.Facts, Facts{Labels: []string{}}) {
		t.Errorf("a new tenant has %+v", first.Facts)
	}
	list := r.List()
	got, err := r.Describe(t.Context(), "a", Change{Unit: p("u1"), Region: p(" 福田 "), Labels: &[]string{"b", "a", "b"}})
	want := Facts{Unit: "u1", Region: "福田", Labels: []string{"a", "b"}}
	if err != nil || !reflect.DeepEqual(got.Facts, want) || told != 1 {
		t.Fatalf("%+v %v, told %d times", got.Facts, err, told)
	}
	if list[0].Region != "" {
		t.Error("a list that was handed out changed")
	}
	if got, err = r.Describe(t.Context(), "a", Change{Region: p("")}); err != nil || got.Region != "" || got.Unit != "u1" {
		t.Errorf("%+v %v", got.Facts, err)
	}
	want.Region = ""
	f := func(slug string, c Change, kind error, text string) {
		t.Helper()
		if _, err := r.Describe(t.Context(), slug, c); !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %v with %q", err, kind, text)
		}
	}
	f("nobody", Change{Unit: p("x")}, ErrNotFound, `"nobody"`)
	f("a", Change{Region: p(strings.Repeat("长", 65))}, ErrInvalid, "region: ")
	f("a", Change{Industry: p("a\nb")}, ErrInvalid, "control")
	f("a", Change{Unit: p("a\xff")}, ErrInvalid, "UTF-8")
	f("a", Change{Labels: &[]string{"x;y"}}, ErrInvalid, "separates labels")
	f("a", Change{Labels: &[]string{" "}}, ErrInvalid, "empty")
	many := make([]string, 33)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	f("a", Change{Labels: &many}, ErrInvalid, "33 of them")

	db.Close()
	again, err := Open(t.Context(), openState(t, path), catalogue)
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := again.Get("a"); !reflect.DeepEqual(a.Facts, want) {
		t.Errorf("after a restart: %+v", a.Facts)
	}
	if b, _ := again.Get("b"); b.Unit != "" || len(b.Labels) != 0 {
		t.Errorf("another tenant: %+v", b.Facts)
	}
}

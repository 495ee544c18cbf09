package tenancy

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestRemoval: a removed tenant is not there for anybody, through restarts and
// reloads of its catalogue entry, until it is restored; its id stays its own.
func TestRemoval(t *testing.T) {
	t.Parallel()
	entry := func(slug string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("slug: " + slug + "\nname: {zh: 名, en: Name}\ndomain: x\nprotection_level: 3\nretention: short\n")}
	}
	files := fstest.MapFS{"tax/tenant.yaml": entry("tax"), "hall/tenant.yaml": entry("hall")}
	db := openState(t, filepath.Join(t.TempDir(), "state.db"))
	ctx := t.Context()
	open := func() *Registry {
		t.Helper()
		r, err := Open(ctx, db, files)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open()
	before, _ := r.Get("tax")
	told := 0
	r.OnChange(func() {
		told++
		if _, there := r.Get("tax"); there == (told == 1) {
			t.Errorf("at change %d the tenant is there: %v", told, there)
		}
	})
	for reason, want := range map[string]string{"": "1 to 500", strings.Repeat("x", 501): "1 to 500"} {
		if _, err := r.Remove(ctx, "tax", "li", reason); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("the reason %.10q: %v", reason, err)
		}
	}
	if _, err := r.Remove(ctx, City, "li", "no"); !errors.Is(err, ErrBuiltIn) {
		t.Errorf("the city is removed: %v", err)
	}
	if _, err := r.Remove(ctx, "nobody", "li", "no"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody is removed: %v", err)
	}
	if _, err := r.Remove(ctx, "tax", "li", " dissolved "); err != nil || told != 1 {
		t.Fatalf("%v, told %d times", err, told)
	}
	gone := func(r *Registry) {
		t.Helper()
		if _, ok := r.Get("tax"); ok {
			t.Error("it is there by its slug")
		}
		if _, ok := r.ByAccount(before.AccountID); ok {
			t.Error("it is there by its account")
		}
		if n := len(r.List()); n != 3 {
			t.Errorf("%d tenants are listed, want hall and the two built in", n)
		}
		list := r.Removed()
		if len(list) != 1 || list[0].Slug != "tax" || list[0].By != "li" || list[0].Removal.Reason != "dissolved" || list[0].AccountID != before.AccountID || list[0].Name.ZH != "名" {
			t.Errorf("removed are %+v", list)
		}
	}
	gone(r)
	gone(open())
	if _, err := r.Describe(ctx, "tax", Change{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is described: %v", err)
	}

	// Its entry goes and comes back, and another tenant comes: nobody gets the id.
	kept := files["tax/tenant.yaml"]
	delete(files, "tax/tenant.yaml")
	files["new/tenant.yaml"] = entry("new")
	r2 := open()
	if n, _ := r2.Get("new"); n.AccountID == before.AccountID {
		t.Error("the id is given to another")
	}
	delete(files, "new/tenant.yaml")
	files["tax/tenant.yaml"] = kept
	r = open()
	gone(r)

	if _, err := r.Restore(ctx, "tax", -time.Hour); !errors.Is(err, ErrTooLate) {
		t.Errorf("restored too late: %v", err)
	}
	if _, err := r.Restore(ctx, "hall", time.Hour); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is there is restored: %v", err)
	}
	after, err := r.Restore(ctx, "tax", time.Hour)
	if err != nil || after.AccountID != before.AccountID || !after.CreatedAt.Equal(before.CreatedAt) {
		t.Errorf("restored %+v, %v", after, err)
	}
	if again, ok := open().Get("tax"); !ok || again.AccountID != before.AccountID {
		t.Error("after a restart it is gone again")
	}
}

func TestSetClass(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"tax/tenant.yaml": {Data: []byte("slug: tax\nname: {zh: 名, en: Name}\ndomain: x\nprotection_level: 3\n")}}
	db := openState(t, filepath.Join(t.TempDir(), "state.db"))
	r, err := Open(t.Context(), db, files)
	if err != nil {
		t.Fatal(err)
	}
	if x, _ := r.Get("tax"); x.Retention != "standard" {
		t.Errorf("the class is %q", x.Retention)
	}
	if x, err := r.SetClass(t.Context(), "tax", "long"); err != nil || x.Retention != "long" {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := r.SetClass(t.Context(), "nobody", "long"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if r, err = Open(t.Context(), db, files); err != nil {
		t.Fatal(err)
	}
	if x, _ := r.Get("tax"); x.Retention != "long" {
		t.Errorf("after a restart the class is %q", x.Retention)
	}
}

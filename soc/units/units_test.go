package units

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"icewatch/soc/state"
)

func open(t testing.TB) *Store {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func add(t testing.TB, s *Store, id, parent string) {
	t.Helper()
	if _, err := s.Create(t.Context(), Unit{ID: id, Parent: parent, Name: Text{ZH: id}, Code: strings.ToUpper(id)}); err != nil {
		t.Fatal(err)
	}
}

func TestTheTreeStaysATree(t *testing.T) {
	t.Parallel()
	s := open(t)
	add(t, s, "city", "")
	add(t, s, "bureau", "city")
	add(t, s, "office", "bureau")
	add(t, s, "district", "city")
	move := func(id, to string) error {
		_, err := s.Update(t.Context(), id, Change{Parent: &to})
		return err
	}
	for _, c := range [][2]string{{"city", "office"}, {"bureau", "bureau"}, {"bureau", "ghost"}} {
		if err := move(c[0], c[1]); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s below %s: got %v", c[0], c[1], err)
		}
	}
	tr := s.Tree()
	if !tr.Under("office", "city") || !tr.Under("city", "city") || tr.Under("city", "office") || tr.Under("district", "bureau") || tr.Under("ghost", "city") {
		t.Error("Under does not follow the tree")
	}
	if err := move("bureau", "district"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Tree().Path("office"), "/"); got != "city/district/bureau/office" {
		t.Errorf("after the move the office is at %s", got)
	}
	if err := s.Delete(t.Context(), "bureau"); !errors.Is(err, ErrConflict) {
		t.Errorf("removing a unit with units below: got %v", err)
	}
	s.KeepWhile(func(_ context.Context, id string) (string, error) {
		if id == "office" {
			return "3 users belong to it", nil
		}
		return "", nil
	})
	if err := s.Delete(t.Context(), "office"); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "3 users") {
		t.Errorf("removing a unit in use: got %v", err)
	}
	if _, err := s.Create(t.Context(), Unit{Name: Text{ZH: "x"}, Code: "BUREAU"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a code taken: got %v", err)
	}
	if _, err := s.SetCeiling(t.Context(), "district", `region = "a"`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetCeiling(t.Context(), "office", `tenant = "b"`); err != nil {
		t.Fatal(err)
	}
	if got := s.Tree().Ceilings("office"); len(got) != 2 || got[0] != `region = "a"` {
		t.Errorf("ceilings: %q", got)
	}
	deep := "office"
	var err error
	for i := 0; err == nil && i < MaxDepth+2; i++ {
		id := fmt.Sprintf("d%d", i)
		_, err = s.Create(t.Context(), Unit{ID: id, Parent: deep, Name: Text{ZH: id}})
		deep = id
	}
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("a tree without bound: %v", err)
	}
}

func TestInheritance(t *testing.T) {
	t.Parallel()
	s := open(t)
	add(t, s, "city", "")
	add(t, s, "bureau", "city")
	region := "哈尔滨"
	if _, err := s.Update(t.Context(), "city", Change{Region: &region}); err != nil {
		t.Fatal(err)
	}
	if got := s.Tree().Region("bureau"); got != region {
		t.Errorf("the region is %q", got)
	}
	if got := s.Tree().Industry("bureau"); got != "" {
		t.Errorf("the industry is %q", got)
	}
}

func TestImportAndExport(t *testing.T) {
	t.Parallel()
	s := open(t)
	file := "\xef\xbb\xbfcode,parent_code,name_zh,region,labels\nH1,H0,道里区,道里,district;core\nH2,H0,'=1+1,,\nH0,,哈尔滨市,,\n"
	r, err := s.Import(t.Context(), strings.NewReader(file), "", true)
	if err != nil || len(r.Errors) > 0 || r.Created != 3 || s.Tree().Len() != 0 {
		t.Fatalf("a dry run: %+v, %v", r, err)
	}
	if r, err = s.Import(t.Context(), strings.NewReader(file), "", false); err != nil || len(r.Errors) > 0 || r.Created != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = s.Import(t.Context(), strings.NewReader(file), "", false); err != nil || r.Unchanged != 3 {
		t.Errorf("again: %+v, %v", r, err)
	}
	var out bytes.Buffer
	if _, err := s.Tree().Export(&out, ""); err != nil {
		t.Fatal(err)
	}
	if u, _ := s.Tree().ByCode("H2"); u.Name.ZH != "=1+1" || strings.Contains(out.String(), ",=1+1") {
		t.Errorf("a name like a formula: kept as %q, written as %s", u.Name.ZH, out.String())
	}
	if r, err = s.Import(t.Context(), &out, "", false); err != nil || r.Unchanged != 3 || len(r.Errors) > 0 {
		t.Errorf("what was exported: %+v, %v", r, err)
	}
	f := func(name, file, within, want string) {
		t.Helper()
		r, err := s.Import(t.Context(), strings.NewReader(file), within, false)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Errors) == 0 || !strings.Contains(fmt.Sprint(r.Errors), want) {
			t.Errorf("%s: got %+v, want %q", name, r.Errors, want)
		}
		if s.Tree().Len() != 3 {
			t.Fatalf("%s: something was imported", name)
		}
	}
	f("no header", "", "", "columns")
	f("an unknown column", "code,colour\n", "", "colour")
	f("no name", "code,name_zh\nX,\n", "", "no name")
	f("twice", "code,name_zh\nX,a\nX,b\n", "", "row 2 already")
	f("an unknown parent", "code,name_zh,parent_code\nX,a,Y\n", "", `"Y"`)
	f("a circle", "code,name_zh,parent_code\nX,a,Y\nY,b,X\n", "", "below itself")
	f("a broken quote", "code,name_zh\n\"X,a\n", "", "quote")
	f("outside", "code,name_zh,parent_code\nX,a,H0\n", "unit_h1", "below your own unit")
	f("oneself", "code,name_zh,parent_code\nH1,a,H0\n", "unit_h1", "below your own unit")
	f("a top", "code,name_zh,parent_code\nX,a,\n", "unit_h1", "below your own unit")
}

func FuzzImport(f *testing.F) {
	f.Add("code,name_zh,parent_code\nX,a,Y\nY,b,X\n", "unit_x")
	f.Add("code,parent_code,name_zh,name_en,region,industry,kind,supports_code,labels\nH0,,市,,,,,,a;b\n", "")
	s := open(f)
	f.Fuzz(func(t *testing.T, file, within string) {
		if _, err := s.Import(t.Context(), strings.NewReader(file), within, true); err != nil {
			t.Error(err)
		}
	})
}

package tenancy

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"icewatch/soc/state"
	"icewatch/tenants"
)

func openState(t *testing.T, path string) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func entryFile(slug string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("slug: " + slug + "\nname:\n  zh: 甲\n  en: A\ndomain: test\nprotection_level: 2\n")}
}

func TestShippedCatalogue(t *testing.T) {
	t.Parallel()
	db := openState(t, filepath.Join(t.TempDir(), "a.db"))
	r, err := Open(t.Context(), db, tenants.FS)
	if err != nil {
		t.Fatal(err)
	}
	list := r.List()
	if len(list) != 46+2 {
		t.Fatalf("%d tenants, want 46 and the two built-in ones", len(list))
	}
	accounts := map[uint32]string{}
	for _, x := range list {
		if other, ok := accounts[x.AccountID]; ok || x.AccountID == 0 {
			t.Errorf("%s: account id %d is of %q too", x.Slug, x.AccountID, other)
		}
		accounts[x.AccountID] = x.Slug
		if x.Name.ZH == "" || x.Name.EN == "" || x.Retention == "" || x.CreatedAt.IsZero() {
			t.Errorf("%s: incomplete: %+v", x.Slug, x)
		}
		if !x.BuiltIn && len(x.Subsystems) == 0 {
			t.Errorf("%s: no subsystems", x.Slug)
		}
		if got, ok := r.ByAccount(x.AccountID); !ok || got.Slug != x.Slug {
			t.Errorf("account %d is %q, want %q", x.AccountID, got.Slug, x.Slug)
		}
	}
	f := func(slug string, account uint32, criticality int) {
		t.Helper()
		x, ok := r.Get(slug)
		if !ok || account != 0 && x.AccountID != account || x.Criticality() != criticality {
			t.Errorf("%s: %v, account %d, criticality %d; want %d, %d", slug, ok, x.AccountID, x.Criticality(), account, criticality)
		}
	}
	f(Unassigned, 1, 3)
	f(City, 2, 3)
	f("e-seal", 0, 4)
	f("video-conference", 0, 3)
	if _, ok := r.Get("nobody"); ok {
		t.Error("an unknown slug was found")
	}
}

// The lake files a tenant's data under its account id: the id must outlive
// restarts, removal and the arrival of others, and never change hands.
func TestAccountIDsAreForEver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	var db *state.DB
	open := func(slugs ...string) *Registry {
		t.Helper()
		if db != nil {
			db.Close()
		}
		db = openState(t, path)
		m := fstest.MapFS{}
		for _, s := range slugs {
			m[s+"/tenant.yaml"] = entryFile(s)
		}
		r, err := Open(t.Context(), db, m)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	account := func(r *Registry, slug string) uint32 {
		t.Helper()
		x, ok := r.Get(slug)
		if !ok {
			t.Fatalf("%s is not there", slug)
		}
		return x.AccountID
	}
	r := open("m", "n")
	m, n := account(r, "m"), account(r, "n")
	r = open("a", "n") // m is removed, a is new and sorts first
	if account(r, "n") != n {
		t.Error("n changed its account id")
	}
	a := account(r, "a")
	if a == m || a == n {
		t.Errorf("a got the account id %d of another tenant", a)
	}
	if _, ok := r.Get("m"); ok {
		t.Error("a removed tenant is still shown")
	}
	if _, ok := r.ByAccount(m); ok {
		t.Error("a removed tenant is still shown by account")
	}
	r = open("a", "m", "n", "z")
	if account(r, "m") != m || account(r, "a") != a || account(r, "z") == m {
		t.Error("the ids moved when m came back")
	}
	created, _ := r.Get("m")
	r = open("m")
	if again, _ := r.Get("m"); !again.CreatedAt.Equal(created.CreatedAt) {
		t.Errorf("created_at moved from %v to %v", created.CreatedAt, again.CreatedAt)
	}
	// A bad reload leaves everything as it was.
	if err := r.Reload(t.Context(), fstest.MapFS{"x/tenant.yaml": {Data: []byte("slug: y\n")}}); err == nil {
		t.Error("a bad catalogue was taken")
	}
	if account(r, "m") != m || len(r.List()) != 3 {
		t.Error("a failed reload changed the registry")
	}
}

func TestCatalogueMistakes(t *testing.T) {
	t.Parallel()
	good := string(entryFile("a").Data)
	f := func(name string, files fstest.MapFS, want ...string) {
		t.Helper()
		db := openState(t, filepath.Join(t.TempDir(), "a.db"))
		_, err := Open(t.Context(), db, files)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", name, err, w)
			}
		}
	}
	one := func(s string) fstest.MapFS { return fstest.MapFS{"a/tenant.yaml": {Data: []byte(s)}} }
	f("unknown key", one(good+"colour: red\n"), `a/tenant.yaml:7: unknown key "colour"`)
	f("unknown key below", one(strings.Replace(good, "  en: A", "  en: A\n  fr: A", 1)), `a/tenant.yaml:5: unknown key "fr"`)
	f("wrong type", one(strings.Replace(good, "level: 2", "level: two", 1)), "a/tenant.yaml:6: ", "want a whole number")
	f("level", one(strings.Replace(good, "level: 2", "level: 6", 1)), "a/tenant.yaml:6: protection_level: 6: want 1 to 5")
	f("slug", one(strings.Replace(good, "slug: a", "slug: A_b", 1)), `a/tenant.yaml:1: slug: slug "A_b"`)
	f("reserved", one(strings.Replace(good, "slug: a", "slug: city", 1)), "built-in")
	f("folder", one(strings.Replace(good, "slug: a", "slug: b", 1)), `the folder is "a"`)
	f("two mistakes", one("slug: a\nname: {zh: 甲}\ndomain: X\nprotection_level: 1\n"), "a/tenant.yaml:2: name: en is missing", "a/tenant.yaml:3: domain")
	f("syntax", one("slug: a\n  name: [\n"), "a/tenant.yaml:2:")
	f("empty", one(""), "the file is empty")
	f("two documents", one(good+"---\n"+good), "one YAML document")
	f("no entry", fstest.MapFS{"a/README.md": {Data: []byte("x")}}, "a/tenant.yaml")
	f("too long", one(good+"# "+strings.Repeat("x", maxEntry)), "longer than")
	f("both files named", fstest.MapFS{"a/tenant.yaml": {Data: []byte("x: 1")}, "b/tenant.yaml": {Data: []byte("y: 1")}}, "a/tenant.yaml:1", "b/tenant.yaml:1")

	db := openState(t, filepath.Join(t.TempDir(), "a.db"))
	if _, err := Open(t.Context(), db, one(good), one(good)); err == nil || !strings.Contains(err.Error(), `"a" is taken by catalogue 1`) {
		t.Errorf("two catalogues with one slug: %v", err)
	}
}

func TestCatalogueIgnoresFilesAndHiddenFolders(t *testing.T) {
	t.Parallel()
	got, err := loadCatalogue(fstest.MapFS{
		"README.md":     {Data: []byte("hello")},
		".git/config":   {Data: []byte("x")},
		"a/tenant.yaml": entryFile("a"),
		"a/rules/x.yml": {Data: []byte("x")},
	})
	if err != nil || len(got) != 1 || got[0].Slug != "a" || got[0].Retention != "standard" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestValidSlug(t *testing.T) {
	t.Parallel()
	f := func(s string, ok bool) {
		t.Helper()
		if err := ValidSlug(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
	f("a", true)
	f("e-seal", true)
	f("12345", true)
	f(strings.Repeat("a", 63), true)
	f(strings.Repeat("a", 64), false)
	f("", false)
	f("-a", false)
	f("a-", false)
	f("A", false)
	f("a.b", false)
	f("a/b", false)
	f("数据", false)
	f("a\n", false)
}

func FuzzParseEntry(f *testing.F) {
	_ = fs.WalkDir(tenants.FS, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && len(p)%7 == 0 {
			data, _ := fs.ReadFile(tenants.FS, p)
			f.Add(data)
		}
		return nil
	})
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? [x]\n: y\n"))
	f.Add([]byte("slug: 1\nname: [\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := ParseEntry("x/tenant.yaml", data)
		if err != nil {
			if !strings.Contains(err.Error(), "x/tenant.yaml") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		if ValidSlug(x.Slug) != nil || x.ProtectionLevel < 1 || x.ProtectionLevel > 5 || x.Name.ZH == "" {
			t.Errorf("taken: %+v", x)
		}
	})
}

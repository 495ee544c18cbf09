package suppressing

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"icewatch/detections/suppression"
)

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const inFile = `id: %ID
name: backups
rules: [r1]
detection: {s: {user.name: backup}, condition: s}
owner: o
reason: r
expires: 2027-03-01T00:00:00Z
`

// TestFolder: what a folder holds is made, changed and taken away with its files;
// what people made stays, and a folder that is not there says nothing.
func TestFolder(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), start
	s := open(t, &now)
	of := func(id string) string { return strings.ReplaceAll(inFile, "%ID", id) }
	apply := func() (put []suppression.Suppression, gone []string) {
		t.Helper()
		list, faults, found, err := ReadFolders([]string{filepath.Join(dir, "none"), filepath.Join(dir, "a"), filepath.Join(dir, "b")})
		if err != nil || len(faults) > 0 || !found {
			t.Fatalf("%v, %v, found %v", err, faults, found)
		}
		kept, err := s.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		put, gone = Differing(kept, list)
		if _, err := s.Put(t.Context(), FromFolder, put, func(*Kept) error { return nil }); err != nil {
			t.Fatal(err)
		}
		for _, id := range gone {
			if err := s.Delete(t.Context(), FromFolder, id); err != nil {
				t.Fatal(err)
			}
		}
		return put, gone
	}
	if _, err := s.Put(t.Context(), "li", []suppression.Suppression{backups()}, func(*Kept) error { return nil }); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "a/one.yml"), of("one")+"---\n"+of("two"))
	writeFile(t, filepath.Join(dir, "a/deep/.git/x.yml"), "not: read")
	writeFile(t, filepath.Join(dir, "a/readme.md"), "no suppression")
	writeFile(t, filepath.Join(dir, "b/one.yaml"), strings.ReplaceAll(of("one"), "reason: r", "reason: another"))
	if put, gone := apply(); len(put) != 2 || len(gone) != 0 || put[0].Reason != "another" {
		t.Fatalf("made %+v, gone %v", put, gone)
	}
	if put, gone := apply(); len(put)+len(gone) != 0 {
		t.Errorf("nothing has changed, and %v %v did", put, gone)
	}
	writeFile(t, filepath.Join(dir, "a/one.yml"), strings.ReplaceAll(of("one"), "2027-03", "2027-04"))
	if put, gone := apply(); len(put) != 0 || !slices.Equal(gone, []string{"two"}) { // the later folder's counts
		t.Errorf("two is gone: %v, %v", put, gone)
	}
	if err := os.Remove(filepath.Join(dir, "b/one.yaml")); err != nil {
		t.Fatal(err)
	}
	if put, gone := apply(); len(put) != 1 || len(gone) != 0 || put[0].Expires.Month() != 4 {
		t.Errorf("the former folder's counts again: %v, %v", put, gone)
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 2 {
		t.Errorf("with that of li: %+v, %v", list, err)
	}
	if _, _, found, err := ReadFolders([]string{filepath.Join(dir, "none")}); found || err != nil {
		t.Errorf("no folder: %v, %v", found, err)
	}
	writeFile(t, filepath.Join(dir, "b/bad.yml"), strings.ReplaceAll(of("x"), "id: x\n", ""))
	writeFile(t, filepath.Join(dir, "b/twice.yml"), of("y")+"---\n"+of("y"))
	writeFile(t, filepath.Join(dir, "b/wrong.yml"), "id: [")
	_, faults, _, err := ReadFolders([]string{filepath.Join(dir, "b")})
	var said []string
	for _, f := range faults {
		said = append(said, filepath.Base(f.Path)+": "+f.Reason)
	}
	if err != nil || len(said) != 3 || !strings.Contains(said[0], "want 1 to 100 letters") || !strings.Contains(said[1], "the id is that of") || !strings.Contains(said[2], "not valid YAML") {
		t.Errorf("faults: %q, %v", said, err)
	}
}

package damage

import (
	"os"
	"path/filepath"
	"testing"

	"icewatch/soc/condition"
)

func TestWhatIsSetAsideIsKeptWithANote(t *testing.T) {
	t.Parallel()
	dir, from := filepath.Join(t.TempDir(), "damaged"), t.TempDir()
	for _, name := range []string{"part/values.bin", "single"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var folders []*Folder
	for range 2 { // within one millisecond, too
		f, err := New(dir, "lake")
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, f)
	}
	f := folders[0]
	if err := f.Move(filepath.Join(from, "part"), "a/b/part"); err != nil {
		t.Fatal(err)
	}
	if err := f.Copy(filepath.Join(from, "single"), "single"); err != nil {
		t.Fatal(err)
	}
	if err := f.Move(filepath.Join(from, "single"), "../out"); err == nil {
		t.Fatal("something was moved out of the folder")
	}
	f.Note.Text = condition.Text{ZH: "坏了", EN: "broken"}
	f.Note.Items = []Item{{Path: "part", Why: "test", Kept: "a/b/part", Lost: 3}}
	if err := f.Save(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(f.Path, "a/b/part/values.bin")); err != nil || string(b) != "part/values.bin" {
		t.Fatalf("%q %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(from, "part")); !os.IsNotExist(err) {
		t.Fatal("the part was not moved but copied")
	}
	if _, err := os.Stat(filepath.Join(from, "single")); err != nil {
		t.Fatal("the single file was not copied but moved")
	}
	notes, err := Notes(dir)
	if err != nil || len(notes) != 2 || notes[0].Items[0].Lost != 3 || notes[0].Folder != f.Path {
		t.Fatalf("%+v %v", notes, err)
	}
	list := Conditions(dir)
	if len(list) != 2 || list[0].Text.EN != "broken" || list[0].Kind != condition.Damage || list[1].Text.ZH == "" || list[1].Since.IsZero() {
		t.Fatalf("%+v", list)
	}
	if err := os.RemoveAll(f.Path); err != nil {
		t.Fatal(err)
	}
	if list := Conditions(dir); len(list) != 1 {
		t.Fatalf("%d conditions stand after a folder was removed", len(list))
	}
}

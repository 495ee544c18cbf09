package places

import (
	"os"
	"testing"
)

func TestPlaces(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	if p, err := d.Place(t.Context(), "a/../b"); p != nil || err != nil {
		t.Fatalf("%q, %v", p, err)
	}
	for _, place := range []string{"1", "22", ""} {
		if err := d.Save(t.Context(), "a/../b", []byte(place)); err != nil {
			t.Fatal(err)
		}
		if p, err := Dir(string(d)).Place(t.Context(), "a/../b"); string(p) != place || err != nil {
			t.Fatalf("%q, %v", p, err)
		}
	}
	if entries, _ := os.ReadDir(string(d)); len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
	if err := Dir("/nowhere").Save(t.Context(), "a", nil); err == nil {
		t.Error("a folder that is not there keeps places")
	}
}

package aside

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"icewatch/soc/damage"
	"icewatch/soc/intake"
)

func TestPutAndGet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("long "), 1<<20)
	sum, err := s.Put("a", text)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Put("a", text); err != nil || again != sum {
		t.Fatalf("the same text again: %s %v", again, err)
	}
	if got, err := s.Get("a", sum); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%d bytes back: %v", len(got), err)
	}
	for _, tenant := range []string{"b", ""} {
		if _, err := s.Get(tenant, sum); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("tenant %q: %v", tenant, err)
		}
	}
	for _, sum := range []string{"", "../../etc/passwd", "zz"} {
		if _, err := s.Get("a", sum); err == nil {
			t.Fatalf("%q was answered", sum)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a", sum[:2], sum), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Damaged = filepath.Join(dir, "damaged")
	for range 2 { // as found, and as set aside
		if _, err := s.Get("a", sum); !errors.Is(err, ErrDamaged) {
			t.Fatalf("a damaged text: %v", err)
		}
	}
	if notes, err := damage.Notes(s.Damaged); err != nil || len(notes) != 1 || notes[0].Items[0].Kept != sum {
		t.Fatalf("notes %+v %v", notes, err)
	}
	// The same text comes again and is kept anew, also over a damaged one.
	for range 2 {
		if _, err := s.Put("a", text); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get("a", sum); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%d bytes back: %v", len(got), err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a", sum[:2], sum), []byte("other"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskRefuses(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir(), 1<<60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put("a", []byte("x")); !errors.Is(err, intake.ErrFull) {
		t.Fatal(err)
	}
}

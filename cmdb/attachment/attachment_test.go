package attachment

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
)

func TestShelf(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		ctx := t.Context()
		now := time.Now()
		dir := filepath.Join(t.TempDir(), "attachments")
		s, err := Open(ctx, items.Database(), dir, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		add := func(item, name, data string) File {
			t.Helper()
			f, err := s.Add(ctx, item, "zhang", name, []byte(data))
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		stored := func() int {
			n, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
			return len(n)
		}
		a, b := add("h1", `C:\x\..\合同.txt`, "the same"), add("h2", "b.txt", "the same")
		if a.Name != "合同.txt" || a.Type != "text/plain" || a.SHA256 != b.SHA256 || stored() != 1 {
			t.Errorf("%+v %+v, %d stored", a, b, stored())
		}
		if f, data, err := s.Read(ctx, "h1", a.ID); err != nil || string(data) != "the same" || f.AddedBy != "zhang" {
			t.Errorf("%+v %q %v", f, data, err)
		}
		if _, _, err := s.Read(ctx, "h2", a.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("another item's file: %v", err)
		}
		// Removed, back, removed, and swept away once nobody holds it.
		if f, err := s.Remove(ctx, "h1", "li", a.ID); err != nil || f.RemovedBy != "li" {
			t.Errorf("%+v %v", f, err)
		}
		if f, err := s.Restore(ctx, "h1", a.ID); err != nil || f.RemovedAt != nil {
			t.Errorf("%+v %v", f, err)
		}
		for item, f := range map[string]File{"h1": a, "h2": b} {
			if _, err := s.Remove(ctx, item, "li", f.ID); err != nil {
				t.Error(err)
			}
			now = now.Add(keep)
			if err := s.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := s.List(ctx, "h1"); err != nil || len(list) != 0 || stored() != 0 {
			t.Errorf("%+v %v, %d stored", list, err, stored())
		}
		// Damage is told, not delivered.
		c := add("h1", "c.csv", "a,b\n")
		if err := os.WriteFile(s.path(c.SHA256), []byte("a,c\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Read(ctx, "h1", c.ID); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%v", err)
		}
		for range MaxItem - 1 {
			add("h1", "d.txt", "d")
		}
		if _, err := s.Add(ctx, "h1", "zhang", "one-more.txt", []byte("e")); !errors.Is(err, ErrFull) {
			t.Errorf("%v", err)
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"a.exe": "MZ", "a.txt": "", "": "x", ".txt": "x", "a": "x", "page.html": "<html>", "a.png": "<html><script>", "b.txt": "<!DOCTYPE html><html>", "c.txt": "#!/bin/sh\n",
		"d.txt": "MZ\x90\x00", "e.pdf": "PK\x03\x04", "f.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>", strings.Repeat("n", 300) + ".txt": "x",
		"big.txt": strings.Repeat("x", MaxFile+1),
	} {
		if _, _, err := check(name, []byte(data)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.40q was taken: %v", name, err)
		}
	}
	for name, data := range map[string]string{"a.PDF": "%PDF-1.7", "b.docx": "PK\x03\x04", "c.png": "\x89PNG\x0d\x0a\x1a\x0a", "d.json": "{}", "e.crt": "\x30\x82\x03\x01\x00"} {
		if _, _, err := check(name, []byte(data)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

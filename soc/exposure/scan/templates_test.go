package scan

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"icewatch/collectors/fleet"
	"icewatch/collectors/scanner/wire"
)

// pack makes a package of files by name and text.
func pack(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const oneTemplate = "id: x\ninfo:\n  name: X\n"

// Packages are checked, signed, kept over a restart, told to scanners and replaced by name.
func TestPackagesOfTemplates(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx, t := w.t.Context(), w.t
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		deps := w.Deps
		deps.Packages, deps.Sign = t.TempDir(), func(text []byte) []byte { return ed25519.Sign(private, text) }
		s, err := Open(ctx, deps)
		if err != nil {
			t.Fatal(err)
		}
		good := pack(t, "a/x.yaml", oneTemplate, "README.md", "left out", "y.yml", oneTemplate)
		for why, data := range map[string][]byte{
			"no gzip":             []byte("x"),
			"no *.yaml":           pack(t, "README.md", "x"),
			"breaks off":          good[:len(good)/2],
			"lacks id":            pack(t, "x.yaml", "info: {name: X}\n"),
			"lacks info.name":     pack(t, "x.yaml", "id: x\n"),
			`"x.yaml" is no YAML`: pack(t, "x.yaml", "id: [\n"),
			"at most 524288":      pack(t, "x.yaml", strings.Repeat("#", maxTemplate+1)),
		} {
			if _, err := s.AddTemplates(ctx, "li", "p", "", data); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), why) && why != "breaks off" {
				t.Errorf("%s: %v", why, err)
			}
		}
		if _, err := s.AddTemplates(ctx, "li", "../p", "", good); !errors.Is(err, ErrInvalid) {
			t.Errorf("a name that is a path: %v", err)
		}
		first, err := s.AddTemplates(ctx, "li", "p", "note", good)
		if err != nil || first.Count != 2 {
			t.Fatalf("%+v, %v", first, err)
		}
		if _, err := s.AddTemplates(ctx, "li", "q", "", good); !errors.Is(err, ErrConflict) {
			t.Errorf("the same under another name: %v", err)
		}
		second, err := s.AddTemplates(ctx, "li", "p", "", pack(t, "x.yaml", oneTemplate))
		if err != nil {
			t.Fatal(err)
		}
		if s, err = Open(ctx, deps); err != nil {
			t.Fatal(err)
		}
		o, _, err := s.orders(ctx, fleet.Agent{ID: "s", Tenant: "a"}, &wire.Checkin{})
		if err != nil || len(o.Templates) != 1 {
			t.Fatalf("%+v, %v", o, err)
		}
		if x := o.Templates[0]; x.SHA256 != second.SHA256 || x.Name != "p" || x.Size != second.Size || !ed25519.Verify(public, x.Signed(), x.Signature) {
			t.Errorf("%+v", x)
		}
		f, err := s.Templates(second.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil || int64(len(data)) != second.Size {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		if _, err := s.Templates(first.SHA256); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the former one: %v", err)
		}
		if _, err := s.RemoveTemplates(ctx, second.SHA256); err != nil || len(s.TemplatePackages()) != 0 {
			t.Errorf("removed: %v", err)
		}
		if _, err := s.Templates(second.SHA256); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("one that was removed: %v", err)
		}
		if _, err := s.RemoveTemplates(ctx, second.SHA256); !errors.Is(err, ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
	})
}

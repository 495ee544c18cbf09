package templates

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"icewatch/collectors/scanner/wire"
)

func pack(files map[string]string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		_ = w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(text)), Mode: 0o600})
		_, _ = w.Write([]byte(text))
	}
	_, _ = w.Close(), z.Close()
	return b.Bytes()
}

func TestOnlySignedPackagesAreTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	public, private, _ := ed25519.GenerateKey(nil)
	data := pack(map[string]string{"../../escape.yaml": "id: a", "b.yaml": "id: b", "run.sh": "rm"})
	sum := sha256.Sum256(data)
	p := wire.TemplatesFile{Name: "city", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))}
	p.Signature = ed25519.Sign(private, p.Signed())
	give := func(_ context.Context, _ string, w io.Writer, _ int64) error { _, err := w.Write(data); return err }
	other := p
	other.Name = "town"
	if _, err := Install(context.Background(), dir, other, public, give); !errors.Is(err, ErrPackage) {
		t.Errorf("a package with another's signature was taken: %v", err)
	}
	if new, err := Install(context.Background(), dir, p, public, give); err != nil || !new {
		t.Fatal(new, err)
	}
	if new, err := Install(context.Background(), dir, p, public, give); err != nil || new {
		t.Errorf("it is installed twice: %v, %v", new, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "..", "escape.yaml")); err == nil {
		t.Error("a file left its folder")
	}
	sources, err := Updates(dir)
	if err != nil || len(sources) != 1 {
		t.Fatal(sources, err)
	}
	if d, err := sources[0].Describe(); err != nil || d.Count != 2 || d.Name != "city" {
		t.Errorf("%+v, %v", d, err)
	}
	if removed, err := Retain(dir, []wire.TemplatesFile{p}); err != nil || removed {
		t.Errorf("a package that is named was removed: %v, %v", removed, err)
	}
	if removed, err := Retain(dir, nil); err != nil || !removed {
		t.Errorf("a package that is not named any more stays: %v, %v", removed, err)
	}
	if sources, err := Updates(dir); err != nil || len(sources) != 0 {
		t.Errorf("%v, %v", sources, err)
	}
	p.SHA256 = hex.EncodeToString(make([]byte, 32))
	p.Signature = ed25519.Sign(private, p.Signed())
	if _, err := Install(context.Background(), dir, p, public, give); !errors.Is(err, ErrPackage) {
		t.Errorf("a package that was changed was taken: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack(map[string]string{"a.yaml": "id: a"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = unpack(data, func(name string, text []byte) error {
			if filepath.Base(name) != name || len(text) > maxTemplate {
				t.Fatalf("%q, %d bytes", name, len(text))
			}
			return nil
		})
	})
}

// Package extensiontest makes packages of extension plug-ins for tests.
package extensiontest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"testing"
)

// Entry is one entry of an archive.
type Entry struct {
	Name string
	Body string
	Type byte // tar.TypeReg where it is 0
	Link string
}

// Pack makes an archive.
func Pack(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.Name, Typeflag: e.Type, Linkname: e.Link, Mode: 0o644}
		if e.Type == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(e.Body))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(e.Body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Script makes a package of a manifest and a shell script bin/run for every Linux.
func Script(t testing.TB, manifest, script string) []byte {
	t.Helper()
	return Pack(t, Entry{Name: "plugin.yaml", Body: manifest + "\nprograms: {linux: bin/run}\n"}, Entry{Name: "bin/run", Body: "#!/bin/sh\n" + script})
}

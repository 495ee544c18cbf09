package webbody

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"
)

func pack(t testing.TB, text string, f func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var b bytes.Buffer
	w := f(&b)
	io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func bareDeflate(w io.Writer) io.WriteCloser { fw, _ := flate.NewWriter(w, 6); return fw }
func zlibWriter(w io.Writer) io.WriteCloser  { return zlib.NewWriter(w) }
func gzipWriter(w io.Writer) io.WriteCloser  { return gzip.NewWriter(w) }

func TestDecode(t *testing.T) {
	t.Parallel()
	limits := Limits{MaxDecoded: 1000}
	f := func(encoding string, raw []byte, want string, status int) {
		t.Helper()
		b, err := decode(raw, encoding, limits)
		var r *Refusal
		if errors.As(err, &r) != (status != 0) || r != nil && r.Status != status || string(b.Bytes) != want {
			t.Errorf("%s: %q, %v", encoding, b.Bytes, err)
		}
		b.Release()
	}
	f("", []byte("x"), "x", 0)
	f("gzip", pack(t, "hello", gzipWriter), "hello", 0)
	f("deflate", pack(t, "hello", zlibWriter), "hello", 0)
	f("deflate", pack(t, "hello", bareDeflate), "hello", 0)
	f("gzip", pack(t, strings.Repeat("x", 1000), gzipWriter), strings.Repeat("x", 1000), 0)
	f("gzip", pack(t, strings.Repeat("x", 1001), gzipWriter), "", 413)
	f("deflate", pack(t, strings.Repeat("x", 1001), zlibWriter), "", 413)
	f("gzip", pack(t, "hello", gzipWriter)[:12], "", 400)
	f("zstd", []byte("rubbish"), "", 400)
	f("br", nil, "", 415)
}

func FuzzDecode(f *testing.F) {
	f.Add(pack(f, "hello", gzipWriter), uint8(0))
	f.Add(pack(f, "hello", zlibWriter), uint8(1))
	f.Add([]byte("(\xb5/\xfd\x04\x00"), uint8(2))
	encodings := []string{"gzip", "deflate", "zstd"}
	f.Fuzz(func(t *testing.T, raw []byte, which uint8) {
		b, err := decode(raw, encodings[which%3], Limits{MaxDecoded: 4096})
		if err == nil && len(b.Bytes) > 4096 {
			t.Fatalf("%d bytes came out", len(b.Bytes))
		}
		b.Release()
	})
}

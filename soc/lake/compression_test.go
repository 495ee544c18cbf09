//go:build !cgo

package lake

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	library "github.com/VictoriaMetrics/VictoriaMetrics/lib/encoding/zstd"
	"github.com/klauspost/compress/zstd"
)

// columns are as blocks of logs have them: about a thousand values of a field.
func columns() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]func(b []byte) []byte{
		"host":  func(b []byte) []byte { return fmt.Appendf(b, "web-%d", r.IntN(800)) },
		"path":  func(b []byte) []byte { return fmt.Appendf(b, "/service/%d/item/%d", r.IntN(40), r.IntN(5000)) },
		"trace": func(b []byte) []byte { return fmt.Appendf(b, "%016x", r.Uint64()) },
		"level": func(b []byte) []byte { return append(b, byte(r.IntN(4))) },
		"message": func(b []byte) []byte {
			return fmt.Appendf(b, "Accepted publickey for user%d from 10.%d.%d.%d port %d ssh2: ED25519", r.IntN(300), r.IntN(4), r.IntN(256), r.IntN(256), 1024+r.IntN(60_000))
		},
	}
	out := map[string][]byte{}
	for name, value := range kinds {
		for range 1200 {
			out[name] = value(out[name])
		}
	}
	return out
}

// TestCompression: the library compresses by the encoder it was given, what it
// wrote before is read as ever, and nothing takes more room for it.
func TestCompression(t *testing.T) {
	openLake(t, t.TempDir()).Close()
	level := func(l zstd.EncoderLevel) *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(l))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	fast, slow := level(zstd.SpeedFastest), level(zstd.SpeedDefault)
	was, is := 0, 0
	for name, column := range columns() {
		got, before := library.CompressLevel(nil, column, 3), slow.EncodeAll(column, nil)
		if want := fast.EncodeAll(column, nil); !bytes.Equal(got, want) {
			t.Errorf("%s: the library makes %d bytes; the %d of level 1 are right", name, len(got), len(want))
		}
		for _, packed := range [][]byte{got, before} {
			if b, err := library.Decompress(nil, packed); err != nil || !bytes.Equal(b, column) {
				t.Errorf("%s: it does not come back: %v", name, err)
			}
		}
		was, is = was+len(before), is+len(got)
	}
	if is > was+was/50 {
		t.Errorf("the columns take %d bytes, %d at level 3", is, was)
	}
}

func BenchmarkCompression(b *testing.B) {
	if err := compressFast(); err != nil {
		b.Fatal(err)
	}
	for name, column := range columns() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(column)))
			var dst []byte
			for b.Loop() {
				dst = library.CompressLevel(dst[:0], column, 3)
			}
		})
	}
}

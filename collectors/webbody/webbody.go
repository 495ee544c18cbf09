// Package webbody reads the bodies of HTTP intake requests: bounded before and
// after decompression, so that a small request cannot grow without limit in
// memory.
package webbody

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Limits bound a request's body.
type Limits struct {
	MaxBody    int // bytes as sent; 0 is 32 MiB
	MaxDecoded int // bytes after decompression; 0 is 128 MiB
}

// Fill puts the defaults in place of zeros.
func (l *Limits) Fill() {
	if l.MaxBody <= 0 {
		l.MaxBody = 32 << 20
	}
	if l.MaxDecoded <= 0 {
		l.MaxDecoded = 128 << 20
	}
}

// Refusal is an error that has a status of HTTP.
type Refusal struct {
	Status int
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }

// Refuse makes a Refusal with a formatted reason.
func Refuse(status int, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Reason: fmt.Sprintf(format, args...)}
}

// Body is a request's decoded body. Its bytes are valid until Release.
type Body struct {
	Bytes []byte
	buf   *bytes.Buffer
}

// Release gives the memory back. Bytes must not be used afterwards.
func (b *Body) Release() {
	if b.buf != nil && b.buf.Cap() <= maxPooled {
		b.buf.Reset()
		buffers.Put(b.buf)
	}
	b.buf, b.Bytes = nil, nil
}

// maxPooled bounds the buffers that wait for reuse, in bytes.
const maxPooled = 4 << 20

var (
	buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
	gzips   sync.Pool
	zstds   sync.Pool
)

// Read returns the request's body, decoded by its Content-Encoding (identity,
// gzip, deflate, zstd). The error is a *Refusal: 413 where a limit is
// exceeded, 415 for an unknown encoding, 400 for damaged data.
func Read(c *fiber.Ctx, l Limits) (Body, error) {
	l.Fill()
	// Ctx.Body would decompress without a bound.
	raw := c.Request().Body()
	if len(raw) > l.MaxBody {
		return Body{}, Refuse(http.StatusRequestEntityTooLarge, "the body of %d bytes exceeds the limit of %d", len(raw), l.MaxBody)
	}
	encoding := strings.ToLower(strings.TrimSpace(c.Get(fiber.HeaderContentEncoding)))
	return decode(raw, encoding, l)
}

// Decode is Read for bytes at hand.
func decode(raw []byte, encoding string, l Limits) (Body, error) {
	var src io.Reader
	switch encoding {
	case "", "identity", "snappy": // Loki's clients name snappy for the protobuf block; it is no transfer encoding.
		return Body{Bytes: raw}, nil
	case "gzip", "x-gzip":
		zr, _ := gzips.Get().(*gzip.Reader)
		if zr == nil {
			zr = new(gzip.Reader)
		}
		if err := zr.Reset(bytes.NewReader(raw)); err != nil {
			return Body{}, Refuse(http.StatusBadRequest, "the body is not valid gzip: %v", err)
		}
		defer gzips.Put(zr)
		src = zr
	case "deflate":
		// RFC 9110 means zlib; some clients send the bare deflate stream.
		if zr, err := zlib.NewReader(bytes.NewReader(raw)); err == nil {
			src = zr
		} else {
			src = flate.NewReader(bytes.NewReader(raw))
		}
	case "zstd":
		zr, _ := zstds.Get().(*zstd.Decoder)
		if zr == nil {
			var err error
			// The window is what a small frame can make us allocate.
			zr, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(16<<20), zstd.WithDecoderLowmem(true))
			if err != nil {
				return Body{}, Refuse(http.StatusInternalServerError, "zstd: %v", err)
			}
		}
		if err := zr.Reset(bytes.NewReader(raw)); err != nil {
			return Body{}, Refuse(http.StatusBadRequest, "the body is not valid zstd: %v", err)
		}
		defer zstds.Put(zr)
		src = zr
	default:
		return Body{}, Refuse(http.StatusUnsupportedMediaType, "Content-Encoding %q is not supported: use gzip, deflate or zstd", encoding)
	}
	buf := buffers.Get().(*bytes.Buffer)
	n, err := io.Copy(buf, io.LimitReader(src, int64(l.MaxDecoded)+1))
	b := Body{Bytes: buf.Bytes(), buf: buf}
	switch {
	case n > int64(l.MaxDecoded), errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		b.Release()
		return Body{}, Refuse(http.StatusRequestEntityTooLarge, "the decompressed body exceeds the limit of %d bytes", l.MaxDecoded)
	case err != nil:
		b.Release()
		return Body{}, Refuse(http.StatusBadRequest, "the body is not valid %s: %v", encoding, err)
	}
	return b, nil
}

// Peer returns the address of the connection's other end; it is invalid over a
// unix socket.
func Peer(c *fiber.Ctx) netip.Addr {
	ip := c.Context().RemoteIP()
	addr, ok := netip.AddrFromSlice(ip)
	addr = addr.Unmap()
	if !ok || addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr
}

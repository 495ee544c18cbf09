package api

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	maxPublicBody = 64 << 10        // a sign-in needs no more
	maxAPIBody    = 32 << 20        // an import; each operation has a smaller limit of its own
	drainLimit    = 256 << 20       // what is read at most to be thrown away
	drainTime     = 3 * time.Second // and for how long
)

// readBody reads the whole body into memory, within limit bytes before and
// after unpacking and within the memory all bodies share. The server hands
// bodies over as streams, so that nothing was read before the caller was
// known. The body of an intake request stays packed: its handler unpacks it,
// counts what it refuses and words the refusal as its clients expect.
// release must be called when the body is no longer used.
func (s *Server) readBody(c *fiber.Ctx, limit int64) (release func(), err error) {
	req := c.Request()
	stream := req.BodyStream()
	length := int64(req.Header.ContentLength())
	if stream == nil {
		raw := req.Body() // fiber's test transport reads bodies itself
		if len(raw) == 0 {
			return func() {}, nil
		}
		stream, length = bytes.NewReader(raw), int64(len(raw))
	}
	if length == 0 {
		return func() {}, nil
	}
	packed := &limitedReader{r: stream, left: limit}
	share := &memoryShare{pool: s.bodies}
	fail := func(err error) (func(), error) {
		share.release()
		if req.BodyStream() != nil {
			s.drain(c, packed, int(length))
		}
		return nil, err
	}
	if length > limit {
		return fail(tooLarge(limit))
	}
	encoding := strings.ToLower(strings.TrimSpace(c.Get(fiber.HeaderContentEncoding)))
	intake := stateOf(c.UserContext()).intake
	if intake {
		encoding = ""
	}
	plain, closePlain, err := unpack(packed, encoding, limit)
	if err != nil {
		return fail(err)
	}
	defer closePlain()
	hint := length
	if hint < 0 || encoding != "" && encoding != "identity" {
		hint = 0
	}
	body, err := readAll(c.UserContext(), &limitedReader{r: plain, left: limit}, hint, share)
	if err != nil {
		if errors.Is(err, errTooLarge) {
			err = tooLarge(limit)
		}
		return fail(bodyError(err))
	}
	if req.BodyStream() != nil && !packed.eof {
		// The unpacker may stop before the end of the stream, and what is left
		// would be read as the next request.
		s.drain(c, packed, int(length))
	}
	if !intake {
		req.Header.Del(fiber.HeaderContentEncoding)
	} else if packing := c.Get(fiber.HeaderContentEncoding); packing != "" && packing != "identity" {
		// Logs pack to about an eighth; the handler holds both at once.
		if err := share.take(c.UserContext(), min(8*int64(len(body)), s.deps.MaxUnpacked)); err != nil {
			return fail(err)
		}
	}
	req.SetBodyRaw(body)
	return share.release, nil
}

// discardBody gets rid of the body of a request that is turned away. It is
// read and thrown away, for as long as that is cheap: a client that is still
// sending when the connection closes would see a reset and not the answer.
// Where it is not read to its end the connection closes after the answer, lest
// the rest be taken for the next request.
func (s *Server) discardBody(c *fiber.Ctx) {
	stream := c.Request().BodyStream()
	if stream == nil {
		return
	}
	n := c.Request().Header.ContentLength()
	if n == 0 {
		return
	}
	s.drain(c, &limitedReader{r: stream, left: drainLimit}, n)
}

// drain reads the rest of a body. The reader must be the one and only that was
// used on the stream, since it remembers its end.
func (s *Server) drain(c *fiber.Ctx, r *limitedReader, length int) {
	c.Set(fiber.HeaderConnection, "close")
	r.left = drainLimit
	if length > drainLimit {
		return
	}
	conn := c.Context().Conn()
	if err := conn.SetReadDeadline(time.Now().Add(drainTime)); err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, r); err == nil && length > 0 {
		c.Response().Header.Del(fiber.HeaderConnection)
	}
}

// unpack returns a reader of the body without its Content-Encoding.
func unpack(r io.Reader, encoding string, limit int64) (io.Reader, func(), error) {
	bad := func(err error) (io.Reader, func(), error) {
		return nil, nil, bodyError(fmt.Errorf("the body is no valid %s: %w", encoding, err))
	}
	switch encoding {
	case "", "identity", "snappy": // a block of snappy is for the handler: Prometheus' remote read
		return r, func() {}, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return bad(err)
		}
		return z, func() { _ = z.Close() }, nil
	case "deflate":
		// RFC 9110 means zlib's format, but many clients send bare deflate.
		head := make([]byte, 2)
		n, err := io.ReadFull(r, head)
		if err != nil {
			return bad(err)
		}
		whole := io.MultiReader(bytes.NewReader(head[:n]), r)
		if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
			z, err := zlib.NewReader(whole)
			if err != nil {
				return bad(err)
			}
			return z, func() { _ = z.Close() }, nil
		}
		z := flate.NewReader(whole)
		return z, func() { _ = z.Close() }, nil
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(max(limit, 1<<20))), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return bad(err)
		}
		return z, z.Close, nil
	default:
		return nil, nil, Problem(http.StatusUnsupportedMediaType,
			"the Content-Encoding %q is none of gzip, deflate, zstd", clip(encoding, 64))
	}
}

// readAll reads r to its end in memory taken from share.
func readAll(ctx context.Context, r io.Reader, hint int64, share *memoryShare) ([]byte, error) {
	size := max(hint+1, 32<<10)
	if err := share.take(ctx, size); err != nil {
		return nil, err
	}
	buf := make([]byte, 0, size)
	for {
		if len(buf) == cap(buf) {
			next := int64(cap(buf)) * 2
			// The old buffer is garbage from here on, so only the growth counts.
			if err := share.take(ctx, next-int64(cap(buf))); err != nil {
				return nil, err
			}
			grown := make([]byte, len(buf), next)
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

var errTooLarge = errors.New("the body is too large")

func tooLarge(limit int64) error {
	return Problem(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", limit)
}

// bodyError says what went wrong while a body was read: the client's fault,
// unless it already is a problem of its own.
func bodyError(err error) error {
	var se interface{ GetStatus() int }
	if errors.As(err, &se) {
		return err
	}
	if errors.Is(err, errTooLarge) {
		return Problem(http.StatusRequestEntityTooLarge, "the body is too large")
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return Problem(http.StatusRequestTimeout, "the body did not come in time")
	}
	return Problem(http.StatusBadRequest, "the body could not be read: %s", clip(err.Error(), 200))
}

// limitedReader fails, where io.LimitReader would feign the end. It also
// remembers the end: a chunked stream must not be read beyond it.
type limitedReader struct {
	r    io.Reader
	left int64
	eof  bool
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.eof {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	if err == io.EOF {
		l.eof = true
	}
	if l.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// memoryPool is the memory all request bodies share, in bytes.
type memoryPool struct {
	mu   chan struct{} // a mutex that can be waited for with a deadline
	left int64
	free chan struct{} // closed and replaced whenever memory comes back
}

func newMemoryPool(size int64) *memoryPool {
	return &memoryPool{mu: make(chan struct{}, 1), left: size, free: make(chan struct{})}
}

// memoryShare is what one request holds of the pool.
type memoryShare struct {
	pool *memoryPool
	held int64
}

// bodyWait is how long a request waits for memory before it is sent away.
const bodyWait = 10 * time.Second

// take waits until n more bytes are free. Two that wait for each other are
// parted by the time-out, and their clients send again.
func (m *memoryShare) take(ctx context.Context, n int64) error {
	timer := time.NewTimer(bodyWait)
	defer timer.Stop()
	for {
		m.pool.mu <- struct{}{}
		if m.pool.left >= n {
			m.pool.left -= n
			m.held += n
			<-m.pool.mu
			return nil
		}
		free := m.pool.free
		<-m.pool.mu
		select {
		case <-free:
		case <-timer.C:
			return unavailable("memory for so many requests at once")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *memoryShare) release() {
	if m.held == 0 {
		return
	}
	m.pool.mu <- struct{}{}
	m.pool.left += m.held
	m.held = 0
	close(m.pool.free)
	m.pool.free = make(chan struct{})
	<-m.pool.mu
}

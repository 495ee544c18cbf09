package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/gzip"
)

// notBuilt is what a browser sees where the binary holds no console.
const notBuilt = `icewatch is running, but this binary was built without the web console.
Build it with "make build" (it needs Node.js) and start again. The REST API answers under /api/v1.
`

// console serves the files of the single-page application.
type console struct {
	files fs.FS // nil where there is no index.html
	kept  sync.Map
}

// file is one file as it is sent.
type file struct {
	body, gzip, br []byte // gzip and br are nil where they would not pay
	contentType    string
	etag           string
}

func newConsole(files fs.FS) (*console, error) {
	if files == nil {
		return &console{}, nil
	}
	if _, err := fs.Stat(files, "index.html"); errors.Is(err, fs.ErrNotExist) {
		return &console{}, nil
	} else if err != nil {
		return nil, err
	}
	return &console{files: files}, nil
}

// isConsole tells whether the request is for the console: a read of a path
// whose first segment belongs to no route. A route that is added anywhere
// makes its first segment unreachable here, so no route can be taken for a
// file and be served without a credential.
func (s *Server) isConsole(c *fiber.Ctx) bool {
	if m := c.Method(); m != http.MethodGet && m != http.MethodHead {
		return false
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(c.Path(), "/"), "/")
	_, taken := s.reserved[first]
	return !taken
}

// serveConsole answers with a file, or with index.html for any page of the
// application, each time with a nonce of its own and therefore kept nowhere.
// A missing file under assets/ is a 404: a browser that holds an
// old page must notice that the build changed.
func (s *Server) serveConsole(c *fiber.Ctx) error {
	s.discardBody(c)
	if s.console.files == nil {
		c.Set(fiber.HeaderContentType, "text/plain; charset=utf-8")
		return c.Status(http.StatusServiceUnavailable).SendString(notBuilt)
	}
	name := strings.TrimPrefix(path.Clean("/"+c.Path()), "/")
	f, err := s.console.load(name)
	if errors.Is(err, fs.ErrNotExist) {
		if strings.HasPrefix(name, "assets/") {
			return writeProblem(c, http.StatusNotFound, "the console has no such file: reload the page")
		}
		name = ""
		f, err = s.console.load(name)
	}
	if err != nil {
		return s.fiberError(c, err)
	}
	if name == "" || name == "index.html" {
		nonce := newNonce()
		c.Set(fiber.HeaderContentSecurityPolicy, consolePolicy(nonce))
		c.Set(fiber.HeaderContentType, f.contentType)
		return c.Send(bytes.ReplaceAll(f.body, []byte(noncePlace), []byte(nonce)))
	}
	c.Set(fiber.HeaderContentType, f.contentType)
	c.Set(fiber.HeaderETag, f.etag)
	c.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	if strings.HasPrefix(name, "assets/") {
		// Names under assets/ carry a hash of the content.
		c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	}
	if c.Get(fiber.HeaderIfNoneMatch) == f.etag {
		return c.SendStatus(http.StatusNotModified)
	}
	accept := c.Get(fiber.HeaderAcceptEncoding)
	switch {
	case f.br != nil && accepts(accept, "br"):
		c.Set(fiber.HeaderContentEncoding, "br")
		return c.Send(f.br)
	case f.gzip != nil && accepts(accept, "gzip"):
		c.Set(fiber.HeaderContentEncoding, "gzip")
		return c.Send(f.gzip)
	}
	return c.Send(f.body)
}

// accepts reads an Accept-Encoding header: the coding is named, and not with
// the weight zero.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			w := strings.ReplaceAll(weight, " ", "")
			return w != "q=0" && !strings.HasPrefix(w, "q=0.000")
		}
	}
	return false
}

// load reads a file once and keeps it: the console is a few megabytes.
func (k *console) load(name string) (*file, error) {
	if name == "" {
		name = "index.html"
	}
	if f, ok := k.kept.Load(name); ok {
		return f.(*file), nil
	}
	// Hidden files and the compressed twins are no addresses of their own.
	if !fs.ValidPath(name) || strings.HasPrefix(path.Base(name), ".") {
		return nil, fs.ErrNotExist
	}
	if st, err := fs.Stat(k.files, name); err != nil {
		return nil, err
	} else if st.IsDir() {
		return nil, fs.ErrNotExist
	}
	body, err := fs.ReadFile(k.files, name)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	f := &file{body: body, contentType: contentType(name), etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	if gz, err := fs.ReadFile(k.files, name+".gz"); err == nil {
		f.gzip = gz
	} else if len(body) > 1<<10 && compressible(f.contentType) {
		f.gzip = compress(body)
	}
	if br, err := fs.ReadFile(k.files, name+".br"); err == nil {
		f.br = br
	}
	k.kept.Store(name, f)
	return f, nil
}

// compress returns nil where gzip would not pay.
func compress(body []byte) []byte {
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := z.Write(body); err != nil || z.Close() != nil || buf.Len() >= len(body) {
		return nil
	}
	return buf.Bytes()
}

func compressible(contentType string) bool {
	return strings.HasPrefix(contentType, "text/") || strings.HasPrefix(contentType, "application/json") ||
		strings.HasPrefix(contentType, "image/svg") || strings.HasPrefix(contentType, "application/manifest")
}

// contentType goes by the extension. Our own table comes before the machine's,
// which differs between installations.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".json", ".map":
		return "application/json"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".webmanifest":
		return "application/manifest+json"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

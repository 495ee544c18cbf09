// Package console is the suite's web console: a single-page application that
// is built by Vite into dist and embedded into the binary, so that an
// installation needs no network and no second server.
//
// Building it takes Node: `npm ci && npm run build` in this folder (`make`
// does it). A checkout in which that has not been done still compiles; Built
// says so, and Lookup then answers every page with a text that names the
// command.
package console

import (
	"embed"
	"errors"
	"io/fs"
	"mime"
	"path"
	"strings"
)

//go:embed all:dist
var embedded embed.FS

// ErrNotBuilt is the reason why Lookup answers with a notice in place of the
// console: the binary was compiled before the console was built.
var ErrNotBuilt = errors.New("the console is not in this binary: run `npm ci && npm run build` in soc/console (or `make build`), then compile again")

// FS holds the built console: index.html, favicon.svg and assets/. It holds
// nothing but .gitkeep where the console was not built.
var FS fs.FS = sub()

func sub() fs.FS {
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		// fs.Sub fails only for a malformed name, and this one is a constant.
		panic(err)
	}
	return dist
}

// ContentSecurityPolicy is the policy the console is written for: its own
// origin alone. Ant Design writes its styles into the page at run time, hence
// inline styles; scripts are never inline.
const ContentSecurityPolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Built tells whether the console is in this binary.
func Built() bool {
	_, err := fs.Stat(FS, "index.html")
	return err == nil
}

// Asset is one answer to a browser: a file of the console and how it may be
// kept.
type Asset struct {
	Status       int // HTTP status
	Body         []byte
	ContentType  string
	CacheControl string
}

// Lookup finds what a browser gets for a URL path that no route of the API
// answers. Files answer as themselves; every other path is a page of the
// application and answers index.html, which routes in the browser. A missing
// file under /assets/ is a 404 and not a page: a browser that holds an old
// page must notice that the build changed. ok is false for it and for paths
// of the API.
func Lookup(urlPath string) (asset Asset, ok bool) {
	name := strings.TrimPrefix(path.Clean("/"+urlPath), "/")
	if name == "api" || strings.HasPrefix(name, "api/") {
		return Asset{}, false
	}
	if name != "" && name != "index.html" && !strings.HasPrefix(path.Base(name), ".") {
		if body, err := fs.ReadFile(FS, name); err == nil {
			cache := "no-cache"
			if strings.HasPrefix(name, "assets/") {
				// Names under assets/ carry a hash of the content.
				cache = "public, max-age=31536000, immutable"
			}
			return Asset{Status: 200, Body: body, ContentType: contentType(name), CacheControl: cache}, true
		}
		if strings.HasPrefix(name, "assets/") {
			return Asset{}, false
		}
	}
	body, err := fs.ReadFile(FS, "index.html")
	if err != nil {
		return Asset{
			Status: 503, Body: []byte(ErrNotBuilt.Error() + "\n"),
			ContentType: "text/plain; charset=utf-8", CacheControl: "no-store",
		}, true
	}
	return Asset{Status: 200, Body: body, ContentType: "text/html; charset=utf-8", CacheControl: "no-cache"}, true
}

// contentType names the type of a file by its extension. The table comes
// before the machine's own, which differs between installations and knows
// .js as text/plain on some.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".html":
		return "text/html; charset=utf-8"
	case ".json":
		return "application/json"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

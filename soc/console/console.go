// Package console is the suite's web console: a single-page application that
// is built by Vite into dist and embedded into the binary, so that an
// installation needs no network and no second server.
//
// Building it takes Node: `npm ci && npm run build` in this folder (`make`
// does it). A checkout in which that has not been done still compiles; FS then
// holds no index.html, and Check says what to do. soc/api serves FS.
//
// The application loads from its own origin alone: no inline scripts, no
// data: addresses, no fonts from elsewhere. Ant Design writes its styles into
// the page at run time; they carry the nonce that soc/api puts into index.html
// in place of __ICEWATCH_NONCE__, so the content security policy allows no
// inline style either.
package console

import (
	"embed"
	"errors"
	"io/fs"
)

//go:embed all:dist
var embedded embed.FS

// FS holds the built console: index.html, favicon.svg and assets/, whose names
// carry a hash of their content. It holds nothing but .gitkeep where the
// console was not built.
var FS fs.FS = sub()

func sub() fs.FS {
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		// fs.Sub fails only for a malformed name, and this one is a constant.
		panic(err)
	}
	return dist
}

// ErrNotBuilt says that the binary was compiled before the console was built.
var ErrNotBuilt = errors.New("the console is not in this binary: run `npm ci && npm run build` in soc/console (or `make build`), then compile again")

// Check returns ErrNotBuilt where this binary holds no console.
func Check() error {
	if _, err := fs.Stat(FS, "index.html"); errors.Is(err, fs.ErrNotExist) {
		return ErrNotBuilt
	} else if err != nil {
		return err
	}
	return nil
}

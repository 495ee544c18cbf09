package console

import (
	"net/http"
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	f := func(path string, wantOK bool) {
		t.Helper()
		asset, ok := Lookup(path)
		if ok != wantOK {
			t.Fatalf("Lookup(%q): got ok %v, want %v", path, ok, wantOK)
		}
		if !ok {
			return
		}
		if len(asset.Body) == 0 || asset.ContentType == "" || asset.CacheControl == "" {
			t.Fatalf("Lookup(%q): incomplete answer %+v", path, asset)
		}
		if Built() {
			if asset.Status != http.StatusOK {
				t.Fatalf("Lookup(%q): status %d with the console built", path, asset.Status)
			}
		} else if asset.Status != http.StatusServiceUnavailable || !strings.Contains(string(asset.Body), "npm run build") {
			t.Fatalf("Lookup(%q): a binary without the console must say how to build it, got %d %q", path, asset.Status, asset.Body)
		}
	}
	f("/", true)
	f("/index.html", true)
	f("/alerts/al_1", true)
	f("/cmdb/web-01.gov.example", true) // a dot in an id makes no file of it
	f("/../../etc/passwd", true)        // a page of the application, never a file outside
	f("/.gitkeep", true)
	f("/assets/gone-12345678.js", false)
	f("/api/v1/nothing", false)
	f("/api", false)
}

package console

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// TestBuilt looks at the console as it was embedded. A checkout in which it
// was not built must say so; a built one must be whole and load from its own
// origin alone.
func TestBuilt(t *testing.T) {
	t.Parallel()
	if err := Check(); errors.Is(err, ErrNotBuilt) {
		if !strings.Contains(err.Error(), "npm run build") {
			t.Fatalf("the error must say how to build the console, got %q", err)
		}
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	page, err := fs.ReadFile(FS, "index.html")
	if err != nil {
		t.Fatal(err)
	}
	references := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllSubmatch(page, -1)
	if len(references) == 0 {
		t.Fatal("index.html refers to nothing")
	}
	for _, m := range references {
		name := string(m[1])
		if !strings.HasPrefix(name, "/") || strings.HasPrefix(name, "//") {
			t.Errorf("index.html loads %q, which is not of its own origin", name)
			continue
		}
		if _, err := fs.Stat(FS, name[1:]); err != nil {
			t.Errorf("index.html loads %q, which is not in the build: %v", name, err)
		}
	}
	if regexp.MustCompile(`<script[^>]*>[^<]`).Match(page) {
		t.Error("index.html has an inline script, which the content security policy forbids")
	}
}

package cmdb

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"icewatch/tenants"
)

// The files in the documentation must be ones the suite takes.
func TestDocumentedFiles(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/cmdb.md")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(t.TempDir(), "s.db"), tenants.FS)
	blocks := regexp.MustCompile("(?s)```(csv|yaml)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d files in the page, want 2", len(blocks))
	}
	for _, b := range blocks {
		mustImport(t, s, Format(b[1]), b[2])
	}
}

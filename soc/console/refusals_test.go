package console

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// told are packages whose every refusal the console tells in Chinese, and the
// calls that make one.
var told = map[string][]string{
	"collectors/fleet/release":   {"Errorf", "New"},
	"collectors/fleet/extension": {"Errorf", "New"},
	"cmdb/sheet":                 {"damaged"},
	"cmdb/columns":               {"Errorf", "New"},
	"soc/pipeline/pack":          {"Errorf", "New"},
	"soc/exposure/report":        {"Errorf", "New"},
	"detections/sigma":           {"errorf", "fail"},
}

// untold are what no file can be refused for.
var untold = []string{
	"there is no such package",          // of a package asked for
	"fleet: the folder of packages: %w", // at the start
}

// verb is a value's place in a format.
var verb = regexp.MustCompile(`%[#+.\d]*[a-z]`)

// TestRefusals holds the catalogue of refusals against the server's sources:
// a sentence that was changed there must not fall back to English unseen.
func TestRefusals(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("src/locales/refusals.json")
	if err != nil {
		t.Fatal(err)
	}
	var groups map[string]map[string]string
	if err := json.Unmarshal(data, &groups); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, group := range groups {
		for format := range group {
			known[format] = true
		}
	}
	said := map[string]bool{}
	for _, top := range []string{"soc", "cmdb", "collectors", "detections", "ticketing"} {
		root := filepath.Join("..", "..", top)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata"):
				return filepath.SkipDir
			case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			room := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../")
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if text, ok := text(n); ok {
						said[text] = true
					}
				case *ast.CallExpr:
					if !slices.Contains(told[room], called(n)) {
						return true
					}
					for _, arg := range n.Args {
						// Formats without words of their own, such as "%s: %w", say only where.
						if format, ok := text(arg); ok && strings.ContainsAny(verb.ReplaceAllString(format, ""), "abcdefghijklmnopqrstuvwxyz") &&
							strings.Contains(format, " ") && !known[format] && !slices.Contains(untold, format) && !where(format) {
							t.Errorf("%s: the catalogue of refusals lacks %q", path, format)
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, group := range groups {
		for format := range group {
			if name != "libraries" && !said[format] {
				t.Errorf("the catalogue has %q, which the server says nowhere", format)
			}
		}
	}
}

// where tells whether a format names a place and then another refusal alone,
// such as "fields: %s: %w".
func where(format string) bool {
	parts := strings.Split(format, ": ")
	return len(parts) > 1 && parts[len(parts)-1] == "%w" && !slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(p, " ") })
}

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func text(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

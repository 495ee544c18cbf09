// Command platform checks that the suite's programs fit other platforms without
// compiling them: it reads every package that go list names for the platform and
// checks its types, ours whole and those of others without the bodies of their
// functions. That takes seconds where a cold build for one more architecture
// takes minutes. What it cannot see is what only an assembler or a linker finds
// in a library; `make release` does.
//
//	go run ./test/supply/platform -platforms linux/loong64 ./cmd/...
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// listed is what go list tells of a package (go help list).
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	ImportMap  map[string]string
	Module     *struct{ Main bool }
}

func main() {
	platforms := flag.String("platforms", "linux/loong64", "what to check for, GOOS/GOARCH, with commas between")
	flag.Parse()
	failed := false
	for _, platform := range strings.Split(*platforms, ",") {
		n, err := check(platform, flag.Args())
		if err != nil {
			fmt.Fprintf(os.Stderr, "platform %s: %v\n", platform, err)
			failed = true
			continue
		}
		fmt.Printf("==> %s: the types of %d packages fit\n", platform, n)
	}
	if failed {
		os.Exit(1)
	}
}

// check reports how many packages the patterns need on the platform, and what
// is wrong with our own or missing in those of others.
func check(platform string, patterns []string) (int, error) {
	system, arch, ok := strings.Cut(platform, "/")
	sizes := types.SizesFor("gc", arch)
	if !ok || sizes == nil {
		return 0, errors.New("want GOOS/GOARCH as `go tool dist list` prints them")
	}
	packages, err := list(system, arch, patterns)
	if err != nil {
		return 0, err
	}
	files := token.NewFileSet()
	known := map[string]*types.Package{"unsafe": types.Unsafe}
	var faults []error
	for _, p := range packages {
		if p.ImportPath == "unsafe" {
			continue
		}
		ours := p.Module != nil && p.Module.Main
		var syntax []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				faults = append(faults, err)
				continue
			}
			syntax = append(syntax, file)
		}
		config := types.Config{
			IgnoreFuncBodies: !ours,
			FakeImportC:      true,
			Sizes:            sizes,
			Importer: importer(func(path string) (*types.Package, error) {
				if mapped, ok := p.ImportMap[path]; ok {
					path = mapped
				}
				if found := known[path]; found != nil {
					return found, nil
				}
				return nil, fmt.Errorf("%s is not built for %s", path, platform)
			}),
			Error: func(err error) { faults = append(faults, err) },
		}
		known[p.ImportPath], _ = config.Check(p.ImportPath, files, syntax, nil)
	}
	return len(packages), errors.Join(faults...)
}

// list asks the go command for the packages and all that they import, each
// after what it imports.
func list(system, arch string, patterns []string) ([]listed, error) {
	args := append([]string{"list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Module"}, patterns...)
	command := exec.Command("go", args...)
	command.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
}

type importer func(path string) (*types.Package, error)

func (f importer) Import(path string) (*types.Package, error) { return f(path) }

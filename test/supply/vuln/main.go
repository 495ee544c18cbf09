// Command vuln runs govulncheck over the suite's programs and fails where they
// call code with a known vulnerability that nobody has looked at. It is run by
// `make vuln`.
//
// The database is Go's own (vuln.go.dev). Where that cannot be reached, the
// same reports are taken from the module golang.org/x/vulndb, which any module
// proxy has, as of the date below; where that fails too it says that nothing
// was checked and does not fail, since then the code is not to blame.
//
// accepted.txt lists what was looked at and is borne for a time, with reason
// and end; one that has ended fails again.
package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	scanner  = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
	database = "https://vuln.go.dev"
	snapshot = "v0.0.0-20261105234957-e22db6528018" // of golang.org/x/vulndb
)

//go:embed accepted.txt
var acceptedText string

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "vuln: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	accepted, err := parseAccepted(acceptedText)
	if err != nil {
		return err
	}
	db, err := source(ctx)
	if err != nil {
		fmt.Printf("vuln: NOT CHECKED: neither %s nor the module golang.org/x/vulndb can be reached: %v\n", database, err)
		return nil
	}
	programs, err := goTool(ctx, "list", "./cmd/...")
	if err != nil {
		return err
	}
	// One after the other: what may call what in all of them at once takes more
	// memory than a small machine has.
	found := map[string]finding{}
	for _, program := range strings.Fields(string(programs)) {
		out, err := goTool(ctx, "run", scanner, "-db", db, "-format", "json", program)
		if err != nil {
			return fmt.Errorf("govulncheck of %s: %w", program, err)
		}
		of, err := called(bytes.NewReader(out))
		if err != nil {
			return err
		}
		maps.Copy(found, of)
	}
	fmt.Printf("vuln: checked against %s: %d vulnerabilities in code that is called, %d accepted\n", db, len(found), len(accepted))
	return judge(found, accepted, time.Now())
}

// source returns the database to ask.
func source(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	if reachable(ctx) {
		return database, nil
	}
	out, err := goTool(ctx, "mod", "download", "-json", "golang.org/x/vulndb@"+snapshot)
	var module struct{ Dir, Error string }
	if jerr := json.Unmarshal(out, &module); err != nil || jerr != nil || module.Dir == "" {
		return "", fmt.Errorf("download golang.org/x/vulndb: %s %w", module.Error, errors.Join(err, jerr))
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "icewatch-vulndb", snapshot)
	if _, err := os.Stat(filepath.Join(dir, "index", "modules.json")); err != nil {
		if _, err := goTool(ctx, "run", "golang.org/x/vulndb/cmd/indexdb@"+snapshot, "-vulns", filepath.Join(module.Dir, "data", "osv"), "-out", dir); err != nil {
			return "", fmt.Errorf("index the reports: %w", err)
		}
	}
	return "file://" + filepath.ToSlash(dir), nil
}

func reachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, database+"/index/db.json", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var index struct {
		Modified time.Time `json:"modified"`
	}
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(&index) == nil && !index.Modified.IsZero()
}

// goTool runs the go command and returns what it printed.
func goTool(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(errs.String())
		return out.Bytes(), fmt.Errorf("go %s: %w: %s", args[0], err, text[max(0, len(text)-1000):])
	}
	return out.Bytes(), nil
}

// finding is a vulnerability in code that the suite's programs call.
type finding struct{ module, version, fixed, summary string }

// called reads govulncheck's stream of JSON messages. Vulnerabilities in code
// that is only imported or required are left out.
func called(r io.Reader) (map[string]finding, error) {
	found, summaries := map[string]finding{}, map[string]string{}
	dec := json.NewDecoder(r)
	for {
		var m struct {
			OSV struct {
				ID      string `json:"id"`
				Summary string `json:"summary"`
			} `json:"osv"`
			Finding struct {
				OSV   string `json:"osv"`
				Fixed string `json:"fixed_version"`
				Trace []struct {
					Module   string `json:"module"`
					Version  string `json:"version"`
					Function string `json:"function"`
				} `json:"trace"`
			} `json:"finding"`
		}
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read govulncheck's report: %w", err)
		}
		if m.OSV.ID != "" {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		if t := m.Finding.Trace; len(t) > 0 && t[0].Function != "" {
			found[m.Finding.OSV] = finding{module: t[0].Module, version: t[0].Version, fixed: m.Finding.Fixed}
		}
	}
	for id, f := range found {
		f.summary = summaries[id]
		found[id] = f
	}
	return found, nil
}

// acceptance is one line of accepted.txt.
type acceptance struct {
	until  time.Time
	reason string
}

// parseAccepted reads lines of "ID DATE REASON".
func parseAccepted(text string) (map[string]acceptance, error) {
	out := map[string]acceptance{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.SplitN(line, " ", 3)
		if len(f) != 3 {
			return nil, fmt.Errorf("accepted.txt:%d: want an id, the date until which it is borne, and why", n)
		}
		until, err := time.Parse(time.DateOnly, f[1])
		if err != nil {
			return nil, fmt.Errorf("accepted.txt:%d: the date %q: want one like 2026-12-31", n, f[1])
		}
		out[f[0]] = acceptance{until, f[2]}
	}
	return out, lines.Err()
}

// judge says what is neither fixed nor accepted.
func judge(found map[string]finding, accepted map[string]acceptance, now time.Time) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(found)) {
		f := found[id]
		what := fmt.Sprintf("%s in %s %s, fixed in %s: %s", id, f.module, f.version, f.fixed, f.summary)
		a, ok := accepted[id]
		switch {
		case !ok:
			errs = append(errs, errors.New(what))
		case now.After(a.until.Add(24 * time.Hour)):
			errs = append(errs, fmt.Errorf("%s (accepted until %s)", what, a.until.Format(time.DateOnly)))
		default:
			fmt.Printf("vuln: accepted until %s: %s (%s)\n", a.until.Format(time.DateOnly), what, a.reason)
		}
	}
	return errors.Join(errs...)
}

// Package rulecli is what stands behind `icectl rules`: lint, test and match
// for rule authors, on plain files and without a server.
package rulecli

import (
	"io"
)

// MatchOptions are the flags of `icectl rules match`.
type MatchOptions struct {
	Rules   []string // --rules DIR or FILE, repeatable
	Events  string   // --events FILE.jsonl or .jsonl.gz; "-" is standard input
	Routing bool     // --routing on|off, default off
}

// Lint checks the rules in dirs (the built-in ones where dirs is empty) and
// writes one line a finding, path:line: reason. problems counts the findings.
func Lint(w io.Writer, dirs []string) (problems int, err error) { return 0, nil }

// Test runs the *.test.yml files beside the rules in dirs (the built-in ones
// where dirs is empty) and writes one line a case that failed and a summary.
func Test(w io.Writer, dirs []string) (failed int, err error) { return 0, nil }

// Match writes one JSON line a match to out and the summary to errw.
func Match(out, errw io.Writer, opts MatchOptions) error { return nil }

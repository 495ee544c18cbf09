package rulecli

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// Lint checks the rules in dirs (the built-in ones where dirs is empty) and
// writes one line a finding, path:line: reason. problems counts the findings:
// rules that are rejected, and rules that work but hold a mistake.
func Lint(w io.Writer, dirs []string) (problems int, err error) {
	b, err := load(dirs)
	if err != nil {
		return 0, err
	}
	set, found := ruleset.CompileWith(b, event.NewRegistry(0), ruleset.Options{Elsewhere: ownNames()})
	found = append(found, set.Warnings()...)
	slices.SortStableFunc(found, func(a, b ruleset.Problem) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line))
	})
	for _, p := range found {
		if _, err := fmt.Fprintln(w, p); err != nil {
			return len(found), fmt.Errorf("lint: write findings: %w", err)
		}
	}
	fmt.Fprintf(w, "%d rules, %d findings\n", len(set.Rules()), len(found))
	return len(found), nil
}

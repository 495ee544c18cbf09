package rulecli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"icewatch/detections/policy"
	"icewatch/detections/ruleset"
	"icewatch/detections/ruletest"
	"icewatch/rules"
	"icewatch/soc/event"
)

// Test runs the *.test.yml files beside the rules in dirs (the built-in ones
// where dirs is empty) and the tests of policies, *_test.rego, as opa test does.
// It writes one line a case that failed, one a rule without a positive or
// negative case, what the gates find, and a summary. failed counts the lines.
func Test(w io.Writer, dirs []string, gates Gates) (failed int, err error) {
	b, err := load(dirs)
	if err != nil {
		return 0, err
	}
	reg := event.NewRegistry(0)
	set, problems := ruleset.CompileWith(b, reg, ruleset.Options{Elsewhere: ownNames()})
	for _, p := range problems {
		fmt.Fprintf(w, "%s\n", p)
	}
	failed = len(problems)

	runner := ruletest.New(set, reg)
	files, cases := 0, 0
	var parsed []ruletest.Named
	policies := b.Policies()
	run := func(name string, data []byte) {
		if strings.HasSuffix(name, ".rego") {
			policies = append(policies, policy.File{Source: builtin, Path: name, Data: data})
			return
		}
		files++
		n, failures := runner.File(name, data)
		cases += n
		failed += len(failures)
		for _, f := range failures {
			fmt.Fprintln(w, f)
		}
		if f, err := ruletest.Parse(data); err == nil {
			parsed = append(parsed, ruletest.Named{Name: name, File: f})
		}
	}
	if len(dirs) == 0 {
		err = walk(rules.FS, builtin, run)
	}
	for _, dir := range dirs {
		st, statErr := os.Stat(dir)
		if statErr != nil {
			return failed, fmt.Errorf("rules %s: %w", dir, statErr)
		}
		if st.IsDir() {
			if err = walk(os.DirFS(dir), filepath.ToSlash(filepath.Clean(dir)), run); err != nil {
				break
			}
		}
	}
	if err == nil {
		var results []policy.TestResult
		// Policies that cannot be in force are among the problems already.
		if results, err = policy.Test(context.Background(), sound(policies, problems), policy.Keys{Unverified: true}); err == nil {
			for _, r := range results {
				if cases++; r.Failed {
					failed++
					fmt.Fprintln(w, r)
				}
			}
		}
	}
	if err != nil {
		return failed, fmt.Errorf("rules test: %w", err)
	}
	untested := runner.Untested()
	slices.SortFunc(untested, func(a, b string) int { return cmp.Compare(a, b) })
	for _, u := range untested {
		fmt.Fprintln(w, u)
	}
	failed += len(untested)
	numbers, more, err := gates.gate(w, b, set, runner, parsed)
	if err != nil {
		return failed, err
	}
	failed += more
	fmt.Fprintf(w, "%d rules, %d test files, %d cases, %d failures\n", len(set.Rules()), files, cases, failed)
	numbers.Cases, numbers.Failures = cases, failed
	return failed, numbers.print(w, gates.JSON)
}

// sound leaves out the files that are at fault.
func sound(files []policy.File, faults []ruleset.Problem) []policy.File {
	return slices.DeleteFunc(slices.Clone(files), func(f policy.File) bool {
		return slices.ContainsFunc(faults, func(p ruleset.Problem) bool { return p.Path == f.Path })
	})
}

func walk(fsys fs.FS, prefix string, run func(string, []byte)) error {
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || !strings.HasSuffix(name, ".test.yml") && !strings.HasSuffix(name, ".test.yaml") && !strings.HasSuffix(name, "_test.rego") {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		run(path.Join(prefix, name), data)
		return nil
	})
}

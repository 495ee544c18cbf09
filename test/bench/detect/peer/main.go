// Command peer runs the Sigma libraries of other projects over the rules and
// events that it is given, for the comparison in make bench-detect. It is a
// module of its own, so that the suite does not depend on its peers.
//
//	peer sigma-go|go-sigma-rule-engine DIR EVENTS MATCHES
//
// MATCHES becomes a file of lines "<0-based event>\t<rule id>". Standard output
// is one line: rules loaded, rules refused, and seconds for the events alone,
// which are decoded before.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	sigmago "github.com/bradleyjkemp/sigma-go"
	"github.com/bradleyjkemp/sigma-go/evaluator"
	engine "github.com/markuskont/go-sigma-rule-engine"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: peer sigma-go|go-sigma-rule-engine DIR EVENTS MATCHES")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// evaluate calls emit with the id of each rule that matches.
type evaluate func(ev map[string]any, emit func(rule string))

func run(name, rules, events, matches string) error {
	var (
		eval            evaluate
		loaded, refused int
		err             error
	)
	switch name {
	case "sigma-go":
		eval, loaded, refused, err = loadSigmaGo(rules)
	case "go-sigma-rule-engine":
		eval, loaded, refused, err = loadEngine(rules)
	default:
		return fmt.Errorf("no peer is named %q", name)
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", rules, err)
	}
	list, err := decode(events)
	if err != nil {
		return fmt.Errorf("events %s: %w", events, err)
	}
	var found strings.Builder
	began := time.Now()
	for i, ev := range list {
		one(eval, ev, func(rule string) { fmt.Fprintf(&found, "%d\t%s\n", i, rule) })
	}
	took := time.Since(began)
	fmt.Println(loaded, refused, took.Seconds())
	return os.WriteFile(matches, []byte(found.String()), 0o600)
}

// one survives the panics that these libraries know.
func one(eval evaluate, ev map[string]any, emit func(string)) {
	defer func() { _ = recover() }()
	eval(ev, emit)
}

func decode(path string) (list []map[string]any, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		ev := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			return nil, fmt.Errorf("event %d: %w", len(list), err)
		}
		list = append(list, ev)
	}
	return list, lines.Err()
}

func loadSigmaGo(dir string) (evaluate, int, int, error) {
	var rules []*evaluator.RuleEvaluator
	refused := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rule, err := sigmago.ParseRule(text)
		if err != nil {
			refused++
			return nil
		}
		rules = append(rules, evaluator.ForRule(rule))
		return nil
	})
	ctx := context.Background()
	return func(ev map[string]any, emit func(string)) {
		for _, r := range rules {
			// A rule whose modifiers the library does not know is an error with
			// each event: a match that it misses.
			if result, err := r.Matches(ctx, ev); err == nil && result.Match {
				emit(r.ID)
			}
		}
	}, len(rules), refused, err
}

func loadEngine(dir string) (evaluate, int, int, error) {
	set, err := engine.NewRuleset(engine.Config{Directory: []string{dir}})
	if err != nil {
		return nil, 0, 0, err
	}
	return func(ev map[string]any, emit func(string)) {
		results, _ := set.EvalAll(document(ev))
		for _, r := range results {
			emit(r.ID)
		}
	}, set.Ok, set.Total - set.Ok, nil
}

// document is an event as go-sigma-rule-engine asks for one.
type document map[string]any

// Keywords gives all texts.
func (d document) Keywords() ([]string, bool) {
	var list []string
	for _, v := range d {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list, len(list) > 0
}

// Select gives the value of a field.
func (d document) Select(name string) (any, bool) {
	v, ok := d[name]
	return v, ok
}

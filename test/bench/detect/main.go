// Command detect measures how many events a second the rules take: the built
// icectl on one core, routed and not, from decoded events and from their JSON
// lines, and on two cores; beside it the naive evaluator of the tests and a
// library of other people's, whose matches are counted against the naive ones.
// It prints BENCH lines; make bench-detect runs it.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-detect:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	dir    string // for temporary files
	icectl string
	peer   string
	least  time.Duration
	rounds int
	sample int
	corpus corpus
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("detect", flag.ExitOnError)
	b := bench{}
	flags.StringVar(&b.icectl, "icectl", "bin/icectl", "the program that is measured")
	flags.StringVar(&b.peer, "peer", "bin/bench-detect-peer", "test/bench/detect/peer, built")
	peers := flags.String("peers", "go-sigma-rule-engine", "libraries to compare with, with commas: sigma-go, go-sigma-rule-engine; empty leaves them out")
	rules := flags.String("rules", "", "folder of Sigma rules; its subfolder windows where it has one")
	events := flags.String("events", "", "file of events, JSON lines, .gz allowed")
	flags.DurationVar(&b.least, "time", 5*time.Second, "how long to loop for a figure")
	flags.IntVar(&b.rounds, "rounds", 3, "measure so often in turn; figures are medians")
	flags.IntVar(&b.sample, "sample", 1000, "events that the naive evaluator and the peers take")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.rounds < 1 || b.sample < 1 || b.least <= 0 {
		return fmt.Errorf("-rounds %d, -sample %d and -time %v: all must be above 0", b.rounds, b.sample, b.least)
	}
	dir, err := os.MkdirTemp("", "icewatch-bench-detect-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	if b.corpus, err = find(*rules, *events, dir); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, b.icectl, "version").Output()
	if err != nil {
		return fmt.Errorf("%s version: %w; make bench-detect builds it", b.icectl, err)
	}
	fmt.Printf("%s, %s, %d cores\nrules:  %s\nevents: %s\n\n", strings.TrimSpace(string(out)), runtime.Version(), runtime.NumCPU(), b.corpus.rulesFrom, b.corpus.eventsFrom)

	own, err := b.icewatch(ctx)
	if err != nil {
		return err
	}
	truth, err := b.compare(ctx, own, *peers)
	if err != nil {
		return err
	}
	own.print()
	truth.print(own)
	return nil
}

// figures are the medians of icectl's runs.
type figures struct {
	routed, unrouted, routedJSON float64 // events/s
	memory                       float64 // MB
	scaling                      float64 // two threads against one
}

// icewatch runs icectl as separate processes in turn, so that what else the
// machine does meets all figures alike.
func (b *bench) icewatch(ctx context.Context) (figures, error) {
	var routed, unrouted, routedJSON, memory, scaling []float64
	for round := range b.rounds {
		one, err := b.measure(ctx, "on", 1)
		if err != nil {
			return figures{}, err
		}
		two, err := b.measure(ctx, "on", 2)
		if err != nil {
			return figures{}, err
		}
		all, err := b.measure(ctx, "off", 1)
		if err != nil {
			return figures{}, err
		}
		fmt.Printf("round %d: routed %.0f events/s, with JSON %.0f, on two threads %.0f, unrouted %.0f, peak memory %.1f and %.1f MB; had %.0f %% of its CPUs\n",
			round+1, one.decoded, one.undecoded, two.decoded, all.decoded, one.memory, all.memory, 100*min(one.share, two.share/2, all.share))
		routed, routedJSON, unrouted = append(routed, one.decoded), append(routedJSON, one.undecoded), append(unrouted, all.decoded)
		memory = append(memory, max(one.memory, all.memory))
		scaling = append(scaling, two.decoded/one.decoded)
	}
	return figures{median(routed), median(unrouted), median(routedJSON), median(memory), median(scaling)}, nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

func (f figures) print() {
	fmt.Println()
	fmt.Printf("BENCH detect.routed %.0f events/s\n", f.routed)
	fmt.Printf("BENCH detect.unrouted %.0f events/s\n", f.unrouted)
	fmt.Printf("BENCH detect.routed_json %.0f events/s\n", f.routedJSON)
	fmt.Printf("BENCH detect.memory %.1f MB\n", f.memory)
	fmt.Printf("BENCH detect.scaling2 %.2f ratio\n", f.scaling)
}

// measured is what one run of icectl says.
type measured struct {
	decoded, undecoded float64 // events/s
	memory             float64 // MB
	share              float64 // CPUs that it had while it measured
}

func (b *bench) measure(ctx context.Context, routing string, threads int) (m measured, err error) {
	out, err := b.match(ctx, b.corpus.events, "--routing", routing, "--threads", fmt.Sprint(threads), "--bench", "--bench-time", b.least.String())
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "without JSON decoding":
			var bytes, passes, took, cpu float64
			_, err = fmt.Sscanf(value, "%f events/s, %f bytes/s (%f passes in %f s, %f s of CPU", &m.decoded, &bytes, &passes, &took, &cpu)
			m.share = cpu / took
		case "with JSON decoding":
			_, err = fmt.Sscanf(value, "%f events/s", &m.undecoded)
		case "peak memory":
			_, err = fmt.Sscanf(value, "%f MB", &m.memory)
		}
		if err != nil {
			return m, fmt.Errorf("icectl says %q: %w", line, err)
		}
	}
	if m.decoded == 0 || m.undecoded == 0 || m.memory == 0 {
		return m, fmt.Errorf("icectl's figures are not whole:\n%s", out)
	}
	return m, nil
}

// match runs `icectl rules match` and returns its standard output.
func (b *bench) match(ctx context.Context, events string, flags ...string) (string, error) {
	cmd := exec.CommandContext(ctx, b.icectl, append([]string{"rules", "match", "--rules", b.corpus.rules, "--events", events}, flags...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, said.String())
	}
	return string(out), nil
}

// corpus is what is measured with.
type corpus struct {
	rules, events         string
	rulesFrom, eventsFrom string // what people are told of them
}

// find takes the folders that are there, else the suite's own rules and events
// made of their pieces.
func find(rules, events, dir string) (corpus, error) {
	_, noRules := os.Stat(rules)
	_, noEvents := os.Stat(events)
	if noRules == nil && noEvents == nil {
		if windows := filepath.Join(rules, "windows"); isDir(windows) {
			rules = windows
		}
		return corpus{rules: rules, events: events, rulesFrom: rules, eventsFrom: events}, nil
	}
	fmt.Printf("%s: not found. The suite's own rules and events made of their pieces stand in; for public ones set SIGMA_RULES and SIGMA_EVENTS.\n",
		cmp.Or(missing(rules, noRules), missing(events, noEvents)))
	return generate("rules", dir)
}

func missing(name string, err error) string {
	if err == nil {
		return ""
	}
	return cmp.Or(name, "rules or events given")
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}

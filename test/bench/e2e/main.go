// Command e2e measures the suite with everything on, from the senders' sockets
// to the store and the alert: syslog over TCP and Elasticsearch's _bulk come
// in, are fsynced on the bus, parsed, enriched from a CMDB of some thousand
// items, held against three thousand rules, and stored. It prints BENCH lines;
// make bench-e2e runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"icewatch/test/bench/suite"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-e2e:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	dir     string
	binary  string        // the suite
	rules   string        // folder of Sigma rules
	windows string        // file of Windows events
	items   int           // of the CMDB
	pool    int           // events that are rendered beforehand
	firing  float64       // part of the Windows events that single rules fire on
	warm    time.Duration // before the measurement
	measure time.Duration
	window  time.Duration // of work that may be on its way
	rate    float64       // events a second; 0 is as many as the suite takes
	seed    uint64
	profile string // files for perf's record of the suite's processes begin so; "" is none

	stagesTo string // as the flag stages
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("e2e", flag.ExitOnError)
	b := bench{}
	flags.StringVar(&b.binary, "icewatch", "bin/icewatch", "the suite")
	flags.StringVar(&b.rules, "rules", "../shared/corpora/sigma/rules", "folder of Sigma rules; where it is absent, rules are made of those that come with the suite")
	flags.StringVar(&b.windows, "windows", "../shared/corpora/windows/events.jsonl.gz", "Windows events, one flat JSON object a line; where the file is absent, events are made")
	flags.IntVar(&b.items, "items", 5000, "configuration items")
	flags.IntVar(&b.pool, "pool", 200_000, "distinct events, sent round and round with the time of sending")
	flags.Float64Var(&b.firing, "firing", 0.005, "part of the Windows events that rules fire on")
	flags.DurationVar(&b.warm, "warm", 20*time.Second, "time before the measurement")
	flags.DurationVar(&b.measure, "measure", 100*time.Second, "time of the measurement")
	flags.DurationVar(&b.window, "window", 500*time.Millisecond, "with more on its way than the suite works in this time the generator waits")
	flags.Float64Var(&b.rate, "rate", 0, "events a second at most; 0 is as many as the suite takes")
	flags.Uint64Var(&b.seed, "seed", 1, "of what is drawn")
	flags.StringVar(&b.profile, "profile", "", "beginning of the names of the files to which perf records the suite's processes while they are measured")
	flags.StringVar(&b.stagesTo, "stages", "", "file to which a CPU profile of the engine's stages goes, which run in this process instead; - is none")
	keep := flags.Bool("keep", false, "leave the suite's folder")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "icewatch-bench-e2e-")
	if err != nil {
		return err
	}
	if *keep {
		fmt.Println("the suite's folder:", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	b.dir = dir
	return b.run(ctx)
}

func (b *bench) run(ctx context.Context) error {
	if _, err := os.Stat(b.binary); err != nil {
		return fmt.Errorf("the suite is missing: %w; make build makes it", err)
	}
	folder, said, err := b.ruleFolder()
	if err != nil {
		return err
	}
	version, _ := exec.Command(b.binary, "version").Output()
	fmt.Printf("%s, %s, %d cores\n", strings.TrimSpace(string(version)), runtime.Version(), runtime.NumCPU())
	fmt.Println("rules:", said)
	city := newCity(b.items, b.seed)
	corpus, err := b.render(city, folder)
	if err != nil {
		return err
	}
	fmt.Println("rules:", corpus.rules)
	fmt.Println("events:", corpus.said)

	if b.stagesTo != "" {
		return b.stages(corpus, city, folder, strings.TrimPrefix(b.stagesTo, "-"))
	}
	marks := filepath.Join(b.dir, "marks")
	if err := os.MkdirAll(marks, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(marks, "mark.yml"), []byte(markRule), 0o600); err != nil {
		return err
	}
	syslog, err := suite.FreeAddress()
	if err != nil {
		return err
	}
	s, err := suite.Start(ctx, b.binary, b.dir, fmt.Sprintf(
		"syslog: {udp: off, tcp: %q}\nflows: {netflow: off, sflow: off}\notlp: {grpc: off, http: off}\nrules: {dirs: [%q, %q]}\n", syslog, folder, marks))
	if err != nil {
		return err
	}
	defer s.Stop()
	if _, err := s.Admin.Import(ctx, "yaml", "", false, city.yaml()); err != nil {
		return fmt.Errorf("the CMDB: %w", err)
	}
	m, err := b.measured(ctx, s, corpus, city, syslog)
	if err != nil {
		return fmt.Errorf("%w; the suite's log ends with\n%s", err, tail(s.Log, 20))
	}
	m.print()
	return m.verdict()
}

// tail is the end of a text file.
func tail(file string, lines int) string {
	text, _ := os.ReadFile(file)
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

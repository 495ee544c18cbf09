// Command collectors measures the ways in, each beside a real peer that takes
// the same bytes in the same run: syslog over TCP until it is durable on the bus
// beside rsyslog writing to a file, NetFlow v9 beside goflow2, and parsing on one
// core. What UDP loses must be counted to the last datagram. It prints BENCH
// lines; make bench-collectors runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "take" {
		err = take(os.Args[2:], os.Stdin, os.Stdout)
	} else {
		err = run(context.Background(), os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-collectors:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	dir      string
	rsyslog  string
	goflow2  string
	rounds   int
	messages int // of syslog, a round
	flows    int // a round
	seed     int64

	faults []string // what did not come out as it should
}

// The figures that are aimed at.
const (
	aimSyslog  = 200_000 // messages a second
	aimParse   = 250_000 // lines a second on one core
	aimUnknown = 100_000
	aimFlows   = 300_000 // a second
)

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("collectors", flag.ExitOnError)
	b := bench{}
	flags.StringVar(&b.rsyslog, "rsyslog", "rsyslogd", "the program beside syslog")
	flags.StringVar(&b.goflow2, "goflow2", "", "the program beside NetFlow, as test/peers/goflow2.sh builds it")
	flags.IntVar(&b.rounds, "rounds", 5, "rounds of each, in turn; the figures are medians")
	flags.IntVar(&b.messages, "messages", 600_000, "messages of syslog a round")
	flags.IntVar(&b.flows, "flows", 1_200_000, "flows a round")
	flags.Int64Var(&b.seed, "seed", 1, "of what is sent")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "icewatch-bench-collectors-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	fmt.Printf("%s, %d cores\n", runtime.Version(), runtime.NumCPU())
	for _, step := range []func(context.Context) error{b.syslog, b.netflow, b.drops, b.parsing} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if len(b.faults) > 0 {
		return fmt.Errorf("not reached: %s", strings.Join(b.faults, "; "))
	}
	return nil
}

// aim notes a figure that is below what is aimed at.
func (b *bench) aim(what string, got, want float64, unit string) {
	if got < want {
		b.faults = append(b.faults, fmt.Sprintf("%s %.0f of %.0f %s", what, got, want, unit))
	}
}

// folder makes a fresh folder of the run.
func (b *bench) folder(name string) (string, error) {
	return os.MkdirTemp(b.dir, filepath.Base(name)+"-")
}

// median is the middle of some figures.
func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// round is what one round of a taker came to.
type round struct {
	rate float64 // a second
	cpu  float64 // microseconds each
}

// tell prints the rounds of a taker and returns the medians.
func tell(name, what string, rounds []round) (rate, cpu float64) {
	var rates, cpus []float64
	var said []string
	for _, r := range rounds {
		rates, cpus = append(rates, r.rate), append(cpus, r.cpu)
		said = append(said, fmt.Sprintf("%.0f", r.rate))
	}
	rate, cpu = median(rates), median(cpus)
	fmt.Printf("%s: %s %s a second; %.2f µs of CPU each in the middle\n", name, strings.Join(said, ", "), what, cpu)
	return rate, cpu
}

// patience is how long a round may take.
const patience = 2 * time.Minute

// Command lake measures the store of events beside the bare storage library and
// a real Loki: how fast events of 20 fields come in, all processes counted, what
// room they take, and how soon questions are answered. It prints BENCH lines;
// make bench-lake runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-lake:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	dir     string
	corpus  corpus
	compare uint64 // events that all three take
	total   uint64 // events that the suite takes in the end
	binary  string // the suite
	loki    string // its binary
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return child(ctx, args)
	}
	flags := flag.NewFlagSet("lake", flag.ExitOnError)
	b := bench{}
	flags.Uint64Var(&b.compare, "compare", 10_000_000, "events that the suite, the bare library and Loki take")
	flags.Uint64Var(&b.total, "total", 100_000_000, "events that the suite takes in the end, for the figures of a large store")
	flags.StringVar(&b.binary, "icewatch", "bin/icewatch", "the suite")
	flags.StringVar(&b.loki, "loki", "", "Loki's single binary (test/peers/loki.sh builds it)")
	only := flags.Bool("only-icewatch", false, "leave out the peers, and with them the ratios")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if _, err := os.Stat(b.loki); err != nil && !*only {
		return fmt.Errorf("the peer Loki is missing: %w; test/peers/loki.sh builds it", err)
	}
	dir, err := os.MkdirTemp("", "icewatch-bench-lake-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	// The events end about now and lie as close as those of a busy city.
	const span = 20 * time.Hour
	b.corpus = corpus{step: int64(span) / int64(b.total)}
	b.corpus.from = time.Now().Add(-span).Truncate(time.Second).UnixNano()
	b.print()

	own, err := b.icewatch(ctx, !*only)
	if err != nil {
		return fmt.Errorf("icewatch: %w", err)
	}
	if *only {
		own.print(b)
		return nil
	}
	library, err := b.bare(ctx)
	if err != nil {
		return fmt.Errorf("bare library: %w", err)
	}
	peer, err := b.lokiRun(ctx)
	if err != nil {
		return fmt.Errorf("loki: %w", err)
	}
	compare(b, own, library, peer)
	return nil
}

// child is one of the processes that the benchmark starts of itself.
func child(ctx context.Context, args []string) error {
	number := func(i int) uint64 {
		n, err := strconv.ParseUint(args[i], 10, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	switch {
	case args[0] == "load" && len(args) == 8:
		return load(ctx, corpus{int64(number(1)), int64(number(2))}, args[3], args[4], args[5], number(6), number(7))
	case args[0] == "bare" && len(args) == 5:
		return bare(corpus{int64(number(1)), int64(number(2))}, args[3], number(4))
	}
	return fmt.Errorf("unknown command %q", args)
}

// again starts this program as one of its children and returns its output and
// its CPU seconds.
func (b *bench) again(ctx context.Context, args ...any) (out string, cpu float64, err error) {
	text := make([]string, len(args))
	for i, a := range args {
		text[i] = fmt.Sprint(a)
	}
	cmd := exec.CommandContext(ctx, os.Args[0], text...)
	cmd.Stderr = os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", args[0], err)
	}
	use := cmd.ProcessState
	return strings.TrimSpace(string(answer)), use.UserTime().Seconds() + use.SystemTime().Seconds(), nil
}

// intake is what taking events in took.
type intake struct {
	rate float64 // events a second, until the last is stored
	cpu  float64 // seconds of the store's processes
	load float64 // seconds of the load generator
	disk float64 // bytes an event
}

func (i intake) String() string {
	return fmt.Sprintf("%.0f events/s, %.1f CPU s (load generator %.1f apart), %.1f B/event", i.rate, i.cpu, i.load, i.disk)
}

func (b *bench) bare(ctx context.Context) (intake, error) {
	out, cpu, err := b.again(ctx, "bare", b.corpus.from, b.corpus.step, b.dir, b.compare)
	if err != nil {
		return intake{}, err
	}
	took, err := strconv.ParseFloat(out, 64)
	if err != nil {
		return intake{}, err
	}
	folder := filepath.Join(b.dir, "bare")
	i := intake{rate: float64(b.compare) / took, cpu: cpu, disk: size(folder) / float64(b.compare)}
	fmt.Println("bare library:", i)
	return i, os.RemoveAll(folder)
}

func (b *bench) print() {
	version := func(path string) string {
		info, _ := debug.ReadBuildInfo()
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
		return "?"
	}
	out, _ := exec.Command(b.binary, "version").CombinedOutput()
	loki, _ := exec.Command(b.loki, "--version").CombinedOutput()
	fmt.Printf("icewatch %s, VictoriaMetrics %s, %.60s, %s, %d cores\n", strings.TrimSpace(string(out)), version("github.com/VictoriaMetrics/VictoriaMetrics"),
		strings.SplitN(string(loki), "\n", 2)[0], runtime.Version(), runtime.NumCPU())
	fmt.Printf("%d events of %d fields over 20 h, %d hosts, %d connections of %d events a request; %d in the end\n", b.compare, fieldCount, hosts, senders, perChunk, b.total)
}

func compare(b bench, own *ours, library intake, peer *theirs) {
	fmt.Println()
	fmt.Printf("%-34s %12s %12s %10s\n", "query over the events of all three", "icewatch ms", "Loki ms", "ratio")
	product := 0.0
	for i, q := range queries {
		ratio := peer.took[i] / own.took[i]
		product += math.Log(ratio)
		fmt.Printf("%-34s %12.1f %12.1f %10.1f\n", q.name, own.took[i]*1000, peer.took[i]*1000, ratio)
	}
	fmt.Println()
	fmt.Println("icewatch, first part:", own.first)
	fmt.Println("bare library        :", library)
	fmt.Println("Loki                :", peer.intake)
	own.print(b)
	fmt.Printf("BENCH lake.intake_vs_bare %.2f ratio\n", own.first.rate/library.rate)
	fmt.Printf("BENCH lake.intake_vs_loki %.2f ratio\n", own.first.rate/peer.rate)
	fmt.Printf("BENCH lake.disk_vs_loki %.2f ratio\n", own.first.disk/peer.disk)
	fmt.Printf("BENCH lake.query_vs_loki %.1f ratio\n", math.Exp(product/float64(len(queries))))
}

// size is what the files below a folder hold.
func size(folder string) float64 {
	sum := int64(0)
	_ = filepath.Walk(folder, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return float64(sum)
}

// settled waits until a folder has kept its size for a while.
func settled(ctx context.Context, folder string) float64 {
	last, since := size(folder), time.Now()
	for time.Since(since) < 8*time.Second && ctx.Err() == nil {
		time.Sleep(time.Second)
		if now := size(folder); now != last {
			last, since = now, time.Now()
		}
	}
	return last
}

// median runs f several times and returns the median of its seconds.
func median(f func() error) (float64, error) {
	var took [5]float64
	for i := range took {
		began := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began).Seconds()
		if i == 0 && took[0] > 3 {
			return took[0], nil // slow enough to be told by one
		}
	}
	for i := range took {
		for j := i; j > 0 && took[j] < took[j-1]; j-- {
			took[j], took[j-1] = took[j-1], took[j]
		}
	}
	return took[len(took)/2], nil
}

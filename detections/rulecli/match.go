package rulecli

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// MatchOptions are the flags of `icectl rules match`.
type MatchOptions struct {
	Rules   []string // --rules DIR or FILE, repeatable
	Events  string   // --events FILE.jsonl or .jsonl.gz; "-" is standard input
	Routing bool     // --routing on|off, default off
	// Pipelines are the values of --pipeline, repeatable: none (the default), ecs
	// for the suite's own, or a file.
	Pipelines []string
	Threads   int // --threads N: matchers that share the events; 0 is 1
	// Bench is how long Match loops over the events for each figure that it then
	// prints in place of the matches; 0 is a plain run.
	Bench time.Duration
}

// MaxThreads bounds MatchOptions.Threads: each has a matcher of its own.
const MaxThreads = 256

func (o *MatchOptions) check() error {
	o.Threads = cmp.Or(o.Threads, 1)
	if o.Threads < 1 || o.Threads > MaxThreads {
		return fmt.Errorf("--threads %d: a number from 1 to %d was expected", o.Threads, MaxThreads)
	}
	if o.Bench < 0 || o.Bench > time.Hour {
		return fmt.Errorf("--bench-time %v: a duration up to 1h was expected, such as 5s", o.Bench)
	}
	return nil
}

// Match writes one JSON line a match to out, {"event":<0-based line>,
// "rule":"<id>","title":"…"}, and the summary to errw. Field names are matched
// as they stand in the events; nested objects are flat with dots. Without
// routing every rule is asked about every event, as an evaluator does that
// knows rules and events only. The lines are in the order of the events, and
// the same for any number of threads.
func Match(out, errw io.Writer, opts MatchOptions) error {
	start := time.Now()
	if err := opts.check(); err != nil {
		return err
	}
	// Rules are compiled once, from much that is thrown away then: to collect it
	// earlier costs little and keeps the peak of memory low.
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	bundle, err := load(opts.Rules)
	if err != nil {
		return err
	}
	pipelines, err := readPipelines(opts.Pipelines)
	if err != nil {
		return err
	}
	reg := event.NewRegistry(0)
	set, problems := ruleset.CompileWith(bundle, reg, ruleset.Options{Unrouted: !opts.Routing, Lenient: true, Native: true, Pipelines: pipelines})
	bundle = nil // The texts of the rules are as large as the program.
	compiled := time.Since(start)
	in, err := open(opts.Events)
	if err != nil {
		return err
	}
	defer in.Close()

	r := newRun(set, reg, opts.Threads)
	if opts.Bench > 0 {
		return r.bench(out, errw, in, benchmark{opts: opts, compiled: compiled, rejected: problems})
	}
	w := bufio.NewWriterSize(out, 1<<16)
	r.out, r.errw, r.progress = w, errw, newProgress(errw, in)
	err = r.all(newLines(in))
	r.progress.done()
	if err == nil {
		err = r.finish()
	}
	if flushErr := w.Flush(); flushErr != nil && err == nil {
		err = fmt.Errorf("write matches: %w", flushErr)
	}
	if err != nil {
		return fmt.Errorf("match events of %s: %w", opts.Events, err)
	}
	fmt.Fprintf(errw, "events: %d\n", r.events)
	if r.broken > 0 {
		fmt.Fprintf(errw, "events that are not JSON objects: %d\n", r.broken)
	}
	r.summary(errw, problems)
	fmt.Fprintf(errw, "matches: %d\n", r.matches)
	fmt.Fprintf(errw, "seconds: %.2f\n", time.Since(start).Seconds())
	return nil
}

// summary tells which rules took part.
func (r *run) summary(errw io.Writer, problems []ruleset.Problem) {
	fmt.Fprintf(errw, "rules loaded: %d\n", len(r.set.Detections())+len(r.set.Correlations()))
	fmt.Fprintf(errw, "rules rejected: %d\n", len(problems))
	for _, p := range problems {
		fmt.Fprintf(errw, "  %s\n", p)
	}
	disabled := map[int32]string{}
	for _, w := range r.workers {
		maps.Copy(disabled, w.matcher.Disabled())
	}
	for _, at := range slices.Sorted(maps.Keys(disabled)) {
		fmt.Fprintf(errw, "rule disabled: %s: %s\n", r.set.Detections()[at].ID, disabled[at])
	}
}

// Command backtest measures backtests: it makes 30 days of a city's events, stores
// them through the lake's own writer in the order in which they came while the live
// engine of detection judges them, and runs rules over what is stored. What is
// raised from the lake must be what was raised live, id by id.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/soc/backtest"
	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/lake/arrivals"
	"icewatch/test/bench/backtest/city"
)

func main() {
	events := flag.Int("events", 50_000_000, "events of the stream")
	days := flag.Int("days", 30, "days over which they came")
	dir := flag.String("dir", "", "where the lake is made, and removed afterwards; default: a temporary folder")
	flag.Parse()
	if err := run(*events, *days, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench-backtest:", err)
		os.Exit(1)
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func run(events, days int, dir string) (err error) {
	ctx := context.Background()
	dir, err = os.MkdirTemp(dir, "icewatch-backtest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	keep := time.Duration(days+30) * 24 * time.Hour
	l, err := lake.Open(lake.Options{Dir: filepath.Join(dir, "lake"), Classes: []lake.Class{{Name: lake.Standard, Retention: keep}}, Memory: 1 << 30})
	if err != nil {
		return err
	}
	defer l.Close()
	a, err := arrivals.Open(ctx, filepath.Join(dir, "arrivals.db"), city.Epoch, 0, keep)
	if err != nil {
		return err
	}
	defer a.Close()
	span := time.Duration(days) * 24 * time.Hour
	start := time.Now().Add(-span - 2*time.Hour).Truncate(time.Hour)
	flood := engine.Flood{Rate: 200, Window: 10 * time.Second, Interval: 10 * time.Second} // the suite's defaults
	s := city.New(events, start, span, event.NewRegistry(0))
	store := city.NewStore(l, a, s.Reg)
	begun, used, last := time.Now(), cpu(), uint64(0)
	live, err := city.Live(s, flood, func(seq uint64, came time.Time, evs []event.Event) error {
		if last = seq; seq%10_000 == 0 {
			fmt.Fprintf(os.Stderr, "%d events stored and judged live, %s\n", seq*city.Batch, time.Since(begun).Round(time.Second))
		}
		return store.Take(ctx, seq, came, evs)
	})
	if err == nil {
		err = store.Finish(ctx)
	}
	if err != nil {
		return err
	}
	st := l.Stats()
	fmt.Printf("%d events of %d days stored in %s (%.1f µs CPU each), %.2f GB on disk\n", events, days, time.Since(begun).Round(time.Second), float64((cpu()-used).Microseconds())/float64(events), float64(st.DiskBytes)/1e9)
	if st.Stored+st.Unflushed != uint64(events) || st.Dropped > 0 {
		return fmt.Errorf("%d events stored, %d dropped, of %d", st.Stored+st.Unflushed, st.Dropped, events)
	}
	var prunes float64
	for _, x := range []struct{ name, rule string }{{"rule", city.Tool}, {"correlation", city.Guessed}, {"flood", city.Floods}} {
		b := city.Bundle()
		if x.rule == city.Tool {
			b.SetDisabled([]string{city.Many, city.Guessed, city.Floods, "7a1d2c9e-0001-4c1e-9d55-000000000001", "7a1d2c9e-0001-4c1e-9d55-000000000002"})
		} else if x.rule == city.Guessed {
			b.SetDisabled([]string{city.Tool, city.Floods})
		}
		var ids []string
		j, err := backtest.NewJudge(backtest.Options{Bundle: b, Rules: []string{x.rule}, From: start, To: start.Add(span + time.Hour), Each: func(o *detections.Occurrence) { ids = append(ids, o.ID) }, Engine: engine.Options{Flood: flood}})
		if err != nil {
			return err
		}
		r := &backtest.Reader{Lake: l, Arrivals: a, Epoch: city.Epoch, Last: last, Accounts: city.Accounts, Everyone: city.Accounts, Low: true}
		used := cpu()
		out, err := r.Run(ctx, j, nil)
		if err != nil {
			return err
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Printf("%s: %d events, %d read, %d occurrences, %d alerts, %d held; %.1f s, %.1f s CPU, %.0f events/s; heap %d MB\n", x.name, out.Events, out.Read, out.Occurrences, out.Alerts, out.Held,
			out.Cost.Seconds, (cpu() - used).Seconds(), out.Cost.PerSecond, m.HeapInuse>>20)
		got, want := slices.Sorted(slices.Values(ids)), slices.Sorted(slices.Values(live[x.rule]))
		if len(want) == 0 {
			return fmt.Errorf("%s: so few events make nothing fire; more are right, such as 10000000", x.name)
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s: %d occurrences from the lake, %d live: the ids differ", x.name, len(got), len(want))
		}
		fmt.Printf("%s: %d ids equal those of the live engine\n", x.name, len(got))
		fmt.Printf("BENCH backtest.rate.%s %.0f events/s\n", x.name, out.Cost.PerSecond)
		if x.rule == city.Tool {
			prunes = out.Cost.PerSecond
		}
	}
	fmt.Printf("BENCH backtest.rate %.0f events/s\n", prunes)
	if prunes < 300_000 {
		return fmt.Errorf("%.0f events/s, want 300,000", prunes)
	}
	return nil
}

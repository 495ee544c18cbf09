package alertmanager

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"icewatch/detections/policy"
	"icewatch/rules"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
)

// BenchmarkNew takes in requests of 500 new alerts, of 1,000 rules on 20 hosts
// that the CMDB does not know, under the suite's own policies and on a database
// whose every commit is fsynced. Its figure beside the time is the CPU time of the
// whole process for an alert.
func BenchmarkNew(b *testing.B) {
	var files []policy.File
	err := fs.WalkDir(rules.FS, "policy", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(p) != ".rego" {
			return err
		}
		data, err := fs.ReadFile(rules.FS, p)
		files = append(files, policy.File{Path: p, Data: data})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	set, problems := policy.New(files, policy.Keys{})
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	db, err := state.Open(b.Context(), filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	tickets, err := ticketing.Open(b.Context(), db, ticketing.Deps{Policy: set, Judge: set, Seal: seal.Ephemeral(outbox.Sealed()...), Log: log})
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(b.Context(), db, Deps{Tickets: tickets, Log: log, Place: func(tenant string, _ map[string]string) string { return tenant }})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	request := func() []sentAlert {
		now, list := time.Now(), make([]sentAlert, 500)
		for i := range list {
			rule := n % 1000
			list[i] = sentAlert{Labels: map[string]string{"alertname": fmt.Sprint("Rule", rule), "instance": fmt.Sprintf("node-%d:9100", n/1000%20), "job": "node", "severity": []string{"low", "medium"}[n%2],
				"group": fmt.Sprint("g", rule%500), "zone": "z", "round": fmt.Sprint(n / 20_000)},
				Annotations: map[string]string{"summary": fmt.Sprintf("Rule %d fires", rule), "description": "A value is above what is usual for this instance at this time of the day."},
				StartsAt:    now.Truncate(time.Hour), EndsAt: now.Add(5 * time.Minute)}
			n++
		}
		return list
	}
	spent := cpuTime()
	for b.Loop() {
		if news, err := s.take(b.Context(), "tax", request(), time.Now()); err != nil || news {
			b.Fatal(news, err)
		}
	}
	b.ReportMetric(float64((cpuTime()-spent).Microseconds())/float64(n), "cpu-µs/alert")
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "alerts/s")
}

// cpuTime is what the process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

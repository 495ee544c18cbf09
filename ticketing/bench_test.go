package ticketing

import (
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// BenchmarkIngest takes occurrences in on a database whose every commit is
// fsynced, under the suite's own incident policy. Its figures are the CPU time
// of the whole process for a firing, garbage collection included, and how many
// firings a second that makes on one core.
//
//   - existing: firings of 200 alerts that no incident holds, eight at a time,
//     which is what the bus hands over several times a second;
//   - new: every firing opens an alert on an item of its own;
//   - kinds: every firing opens an alert, of one of 1,000 rules on one of 20
//     items, 500 at a time;
//   - incident: firings of 500 alerts that one open incident holds, eight at a
//     time;
//   - joining: every firing opens an alert that joins an incident of 4,000
//     alerts and more, a hundred at a time;
//   - grouped: batches of 500 firings of 100 alerts;
//   - storm: 10,000 firings at once, of 10,000 attackers on 20 items.
func BenchmarkIngest(b *testing.B) {
	for _, bench := range []struct {
		name  string
		batch int
		made  func(n int) detections.Occurrence // the nth firing
		ready int                               // firings before the measurement
	}{
		{"existing", 8, func(n int) detections.Occurrence {
			return onHost(ruleGuess, n, n%200, n%200)
		}, 200},
		{"new", 8, func(n int) detections.Occurrence {
			return onHost(ruleGuess, n, n, n)
		}, 0},
		{"kinds", 500, func(n int) detections.Occurrence {
			r := ruleOutbound // by nobody
			r.id, r.tactic, r.tech = fmt.Sprint("rule-", n%1000+n/20_000*1000), "", ""
			if r.priority = "P3"; n%2 == 0 {
				r.level, r.priority = detections.Low, "P4"
			}
			return onHost(r, n, n/1000%20, 0)
		}, 0},
		{"incident", 8, func(n int) detections.Occurrence {
			if n < 4 {
				return intrusion(sealWeb, "198.18.0.1", 0)[[]int{0, 3, 7, 8}[n]]
			}
			return fire(ruleGuess, sealWeb, address(n%500), time.Duration(n)*time.Millisecond, nil)
		}, 504},
		{"joining", 100, func(n int) detections.Occurrence {
			if n < 4 {
				return intrusion(sealWeb, "198.18.0.1", 0)[[]int{0, 3, 7, 8}[n]]
			}
			return fire(ruleGuess, sealWeb, address(n), time.Duration(n)*time.Millisecond, nil)
		}, 4000},
		{"grouped", 500, func(n int) detections.Occurrence {
			return onHost(ruleGuess, n, n%100, n%100)
		}, 100},
		{"storm", 10_000, func(n int) detections.Occurrence {
			return onHost(ruleGuess, n, n%20, n)
		}, 0},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s, c := newService(b, realPolicy())
			n := 0
			take := func(size int) {
				batch := make([]detections.Occurrence, size)
				for i := range batch {
					batch[i] = bench.made(n)
					n++
				}
				if err := s.Ingest(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				c.forward(10 * time.Millisecond)
			}
			for n < bench.ready {
				take(bench.batch)
			}
			ready, spent := n, cpuTime()
			for b.Loop() {
				take(bench.batch)
			}
			spent, fired := cpuTime()-spent, float64(n-ready)
			b.ReportMetric(float64(spent.Microseconds())/fired, "cpu-µs/firing")
			b.ReportMetric(fired/spent.Seconds(), "firings/cpu-s")
		})
	}
}

// onHost is the nth firing of a rule, on one of many hosts by one of many
// actors.
func onHost(r rule, n, host, actor int) detections.Occurrence {
	h := sealWeb
	h.id, h.name = fmt.Sprint("ci-", host), fmt.Sprint("web-", host)
	return fire(r, h, address(actor), time.Duration(n)*time.Millisecond, nil)
}

func address(n int) string { return fmt.Sprintf("198.18.%d.%d", n/250%250, n%250) }

// cpuTime is what the process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAlerts lists the thirty latest alerts of a rule, of 3,000 alerts of ten
// rules, as who waits for them does again and again, on a database that is written
// between two looks. Its figure is the CPU time of a look.
func BenchmarkAlerts(b *testing.B) {
	s, n := standingMany(b, 3000)
	query := AlertQuery{Reach: reach.All(), Rule: "rule-3", Page: Page{Sort: "-created_at", Limit: 30}}
	var spent time.Duration
	for b.Loop() {
		ingest(b, s, onHost(ruleGuess, n, n%100, n%100))
		n++
		spent -= cpuTime()
		list, total, _, err := s.Alerts(b.Context(), query)
		spent += cpuTime()
		if err != nil || len(list) != 30 || total < 300 {
			b.Fatal(len(list), total, err)
		}
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/look")
}

// BenchmarkStanding writes how alerts and incidents stand, of 3,000 alerts, each
// time after a firing and a new alert. Its figure is the CPU time of a look.
func BenchmarkStanding(b *testing.B) {
	s, n := standingMany(b, 3000)
	var spent time.Duration
	for b.Loop() {
		ingest(b, s, onHost(ruleGuess, n, n%100, n%100), onHost(ruleScan, n, n, n))
		n++
		spent -= cpuTime()
		if err := s.WriteStanding(b.Context(), io.Discard); err != nil {
			b.Fatal(err)
		}
		spent += cpuTime()
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/look")
}

// standingMany is a service of n alerts of ten rules, and of some incidents; the
// number is that of firings it has taken in.
func standingMany(b *testing.B, n int) (*Service, int) {
	b.Helper()
	s, _ := newService(b, realPolicy())
	var batch []detections.Occurrence
	for i := range n {
		r := ruleGuess
		if r.id = fmt.Sprint("rule-", i%10); i%100 < 4 {
			batch = append(batch, intrusion(sealWeb, address(i), time.Duration(i)*time.Millisecond)...)
		}
		batch = append(batch, onHost(r, i, i, i))
	}
	ingest(b, s, batch...)
	return s, n
}

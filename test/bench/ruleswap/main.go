// Command ruleswap measures how soon a rule that is written into a folder of
// 3,000 is in force, on the built suite under load: from the write of the file
// until the alert it raises can be seen over the API. It holds every event to
// account: none is lost, and each is judged by exactly one rule set. It prints
// BENCH lines; make bench-ruleswap runs it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"icewatch/detections/engine"
	"icewatch/test/bench/suite"
)

// limit is within how many seconds a rule must be in force.
const limit = 2.0

// madeRules is how many rules are made where no folder of Sigma rules is.
const madeRules = 3000

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ruleswap:", err)
		os.Exit(1)
	}
}

type bench struct {
	binary, rules string
	rate, swaps   int
	each          bool // tell of each rule

	folder string // where rules are added
	mark   atomic.Int64
	sent   atomic.Int64
}

func run(ctx context.Context, args []string) error {
	var b bench
	f := flag.NewFlagSet("ruleswap", flag.ContinueOnError)
	f.StringVar(&b.binary, "icewatch", "bin/icewatch", "the suite's `program`")
	f.StringVar(&b.rules, "rules", "", "`folder` of Sigma rules; 3,000 are made where it is absent")
	f.IntVar(&b.rate, "rate", 10_000, "events a second that come in meanwhile, half over syslog TCP and half over _bulk")
	f.IntVar(&b.swaps, "swaps", 15, "rules to add, one after the other")
	f.BoolVar(&b.each, "each", false, "tell of each rule that is added")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ruleswap-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.folder = filepath.Join(dir, "added")
	if err := os.Mkdir(b.folder, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(b.rules); err != nil {
		b.rules = filepath.Join(dir, "rules")
		if err := makeRules(b.rules, madeRules); err != nil {
			return err
		}
	}
	if b.rules, err = filepath.Abs(b.rules); err != nil {
		return err
	}
	syslog, err := suite.FreeAddress()
	if err != nil {
		return err
	}
	s, err := suite.Start(ctx, b.binary, dir, fmt.Sprintf(
		"syslog: {udp: off, tcp: %q}\nflows: {netflow: off, sflow: off}\notlp: {grpc: off, http: off}\nrules: {dirs: [%q, %q]}\n", syslog, b.rules, b.folder))
	if err != nil {
		return err
	}
	defer s.Stop()
	if err := b.measure(ctx, s, syslog); err != nil {
		log, _ := os.ReadFile(s.Log)
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		return fmt.Errorf("%w; the suite's log ends with\n%s", err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	return nil
}

// ruleSet is what is read of the answer of /api/v1/rule-set.
type ruleSet struct {
	InForce bool `json:"in_force"`
	Rules   int
	Program int `json:"program_bytes"`
	Events  uint64
	Swaps   uint64
	Phases  engine.Phases
	Sets    []engine.SetUse
}

func (b *bench) measure(ctx context.Context, s *suite.Suite, syslog string) error {
	token, err := s.Token(ctx, "e-seal")
	if err != nil {
		return err
	}
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var load errgroup.Group
	load.Go(func() error { return b.overSyslog(loading, syslog) })
	load.Go(func() error { return b.overBulk(loading, s.URL+"/elastic/bench/_bulk", token) })
	if err := rest(ctx, 3*time.Second); err != nil {
		return err
	}
	var set ruleSet
	if err := s.Admin.Get(ctx, "/api/v1/rule-set", nil, &set); err != nil {
		return err
	}
	fmt.Printf("%d rules are in force, a program of %.1f MB; %d events a second come in; %d cores\n", set.Rules, float64(set.Program)/1e6, b.rate, runtime.NumCPU())
	began, cpu, memory := time.Now(), s.CPU(), s.RSS()
	var whole, inForce []float64
	var sum engine.Phases
	for n := range b.swaps {
		took, err := b.add(ctx, s, n+1)
		if err != nil {
			return err
		}
		whole = append(whole, took.Seconds())
		if err := b.settled(ctx, s, &set); err != nil {
			return err
		}
		p := &set.Phases
		if b.each {
			fmt.Printf("rule %d: the alert after %.3f s, in force after %.3f s; resident in MB ", n+1, took.Seconds(), p.Total)
			fmt.Println(megabytes(s.RSS()))
		}
		inForce = append(inForce, p.Total)
		for _, x := range []struct {
			to *float64
			v  float64
		}{{&sum.Notice, p.Notice}, {&sum.Read, p.Read}, {&sum.Check, p.Check}, {&sum.Send, p.Send}, {&sum.Decode, p.Decode}, {&sum.Parse, p.Parse}, {&sum.Compile, p.Compile}, {&sum.Rest, p.Rest}, {&sum.Swap, p.Swap}} {
			*x.to += x.v / float64(b.swaps)
		}
	}
	used := (s.CPU() - cpu) / time.Since(began).Seconds()
	after := s.RSS()
	stop()
	if err := load.Wait(); err != nil {
		return err
	}
	if err := b.accounts(ctx, s, &set); err != nil {
		return err
	}
	slices.Sort(whole)
	slices.Sort(inForce)
	worst := whole[len(whole)-1]
	fmt.Printf("%d rules were added one by one; the suite used %.2f cores meanwhile, and the memory of its processes went from %s MB to %s MB\n", b.swaps, used, megabytes(memory), megabytes(after))
	fmt.Printf("from the write to the alert over the API: median %.3f s, most %.3f s; until in force: median %.3f s, most %.3f s\n", whole[len(whole)/2], worst, inForce[len(inForce)/2], inForce[len(inForce)-1])
	fmt.Printf("of it on average, in ms: notice %.0f, read %.0f, check %.0f, send %.0f, decode %.0f, parse %.0f, compile %.0f, rest %.0f, swap %.0f\n",
		1e3*sum.Notice, 1e3*sum.Read, 1e3*sum.Check, 1e3*sum.Send, 1e3*sum.Decode, 1e3*sum.Parse, 1e3*sum.Compile, 1e3*sum.Rest, 1e3*sum.Swap)
	fmt.Printf("BENCH detect.swap %.2f s\n", worst)
	fmt.Printf("BENCH detect.swap_median %.2f s\n", whole[len(whole)/2])
	if worst > limit {
		return fmt.Errorf("a rule took %.2f s to be in force; %.0f s are allowed", worst, limit)
	}
	return nil
}

// add writes a rule and waits for its first alert.
func (b *bench) add(ctx context.Context, s *suite.Suite, n int) (time.Duration, error) {
	b.mark.Store(int64(n))
	if err := rest(ctx, 500*time.Millisecond); err != nil { // events with the mark are under way
		return 0, err
	}
	title := fmt.Sprintf("Added Rule %d", n)
	text := fmt.Sprintf("title: %s\nid: added-%d\nlogsource: {}\ndetection:\n  mark: {message|contains: 'swapmark-%d.'}\n  condition: mark\nlevel: low\nicewatch:\n  group_by: [host.name]\n", title, n, n)
	began := time.Now()
	if err := os.WriteFile(filepath.Join(b.folder, fmt.Sprintf("added-%d.yml", n)), []byte(text), 0o600); err != nil {
		return 0, err
	}
	for {
		list, err := s.Admin.Alerts(ctx, url.Values{"q": {title}}, 50)
		if err != nil {
			return 0, err
		}
		for _, a := range list {
			if a.Rule.ID == fmt.Sprintf("added-%d", n) {
				return time.Since(began), nil
			}
		}
		if time.Since(began) > 30*time.Second {
			return 0, fmt.Errorf("%s raised no alert within 30 s", title)
		}
		if err := rest(ctx, 25*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// settled waits until what was read is in force.
func (b *bench) settled(ctx context.Context, s *suite.Suite, set *ruleSet) error {
	for end := time.Now().Add(30 * time.Second); ; {
		*set = ruleSet{}
		if err := s.Admin.Get(ctx, "/api/v1/rule-set", nil, set); err != nil {
			return err
		}
		if set.InForce {
			return nil
		}
		if time.Now().After(end) {
			return errors.New("what was read is not in force within 30 s")
		}
		if err := rest(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// accounts holds what was sent against what is stored and what was judged.
func (b *bench) accounts(ctx context.Context, s *suite.Suite, set *ruleSet) error {
	want := float64(b.sent.Load())
	var stored, came float64
	for end := time.Now().Add(time.Minute); ; {
		v, err := s.Metrics("icewatch_bus_records_total", "icewatch_lake_rows_total", "icewatch_engine_events_total")
		if err != nil {
			return err
		}
		if err := b.settled(ctx, s, set); err != nil {
			return err
		}
		came, stored = v[0], v[1]
		if came >= want && stored == came && v[2] == came && float64(set.Events) == came {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%.0f events were sent, %.0f came in, %.0f are stored, %d were judged", want, came, stored, set.Events)
		}
		if err := rest(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	fmt.Printf("%.0f events were sent: all are stored, and each was judged by one of %d rule sets (the suite's own %.0f too)\n", want, set.Swaps, came-want)
	return nil
}

// batch is how many events are sent at once.
const batch = 250

// paced calls send with the numbers of a batch, so often that the rate is kept.
func (b *bench) paced(ctx context.Context, send func(from int64) error) error {
	every := time.Duration(float64(batch) / float64(b.rate/2) * float64(time.Second))
	for next := time.Now(); ; next = next.Add(every) {
		if err := rest(ctx, time.Until(next)); err != nil {
			return nil // it is over
		}
		if err := send(b.sent.Load()); err != nil {
			return err
		}
		b.sent.Add(batch)
	}
}

func (b *bench) overSyslog(ctx context.Context, address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	var text bytes.Buffer
	return b.paced(ctx, func(from int64) error {
		text.Reset()
		now := time.Now().UTC().Format(time.RFC3339Nano)
		for i := range int64(batch) {
			mark := ""
			if i == 0 {
				mark = fmt.Sprintf(" swapmark-%d.", b.mark.Load())
			}
			// Nothing that the rules raise alerts about: what is measured is the
			// way of one rule, not ticketing.
			fmt.Fprintf(&text, "<134>1 %s gate-%d licensing %d - - request %d of desk %d served in %d ms%s\n", now, i%7, i, from+i, i%250, 3+i%90, mark)
		}
		_, err := conn.Write(text.Bytes())
		return err
	})
}

func (b *bench) overBulk(ctx context.Context, address, token string) error {
	var text bytes.Buffer
	return b.paced(ctx, func(from int64) error {
		text.Reset()
		now := time.Now().UTC().Format(time.RFC3339Nano)
		for i := range int64(batch) {
			n := from + i
			fmt.Fprintf(&text, "{\"create\":{}}\n{\"@timestamp\":%q,\"host.name\":\"win-%d\",\"Channel\":\"Microsoft-Windows-Sysmon/Operational\",\"EventID\":1,\"Image\":\"C:\\\\Windows\\\\System32\\\\tool%d.exe\",\"CommandLine\":\"tool%d.exe -option%d value%d --file C:\\\\Users\\\\u%d\\\\report.txt\",\"ParentImage\":\"C:\\\\Windows\\\\explorer.exe\",\"User\":\"CITY\\\\u%d\"}\n",
				now, n%500, n%5000, n%5000, n%97, n%5000, n%300, n%300)
		}
		// What was taken must be counted, so that the last call is not cut off.
		req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, address, bytes.NewReader(text.Bytes()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"errors":false`))) {
			err = fmt.Errorf("_bulk: %s %.200s", resp.Status, answer)
		}
		return err
	})
}

// makeRules writes n distinct rules, shaped as the public ones are.
func makeRules(folder string, n int) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for i := range n {
		text := fmt.Sprintf("title: Made Rule %d\nid: made-%d\nstatus: test\nlogsource: {category: process_creation, product: windows}\ndetection:\n  image:\n    Image|endswith: ['\\tool%d.exe', '\\helper%d.exe']\n  line:\n    CommandLine|contains|all: [' -option%d ', 'value%d', '--%s']\n  other:\n    ParentImage|startswith: 'C:\\Program Files\\Vendor %d\\'\n  condition: image and line and not other\nlevel: medium\n",
			i, i, i, i, i%89, i, strings.Repeat("x", 1+i%7), i)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("made-%d.yml", i)), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// megabytes writes down the bytes of the suite's processes, the centre first.
func megabytes(bytes []float64) string {
	var list []string
	for _, n := range bytes {
		list = append(list, fmt.Sprintf("%.0f", n/1e6))
	}
	return strings.Join(list, "+")
}

// rest waits, but not beyond ctx.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

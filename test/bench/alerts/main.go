// Command alerts measures how many alerts a second the suite takes in through
// the Alertmanager API, beside a real Alertmanager that gets the same ones in the
// same run: alerts of 1,000 rules that fire on and are sent again and again, as
// Prometheus does, with 500 silences and 100 inhibitions in force on both. Then,
// with nobody waiting for others, how long a notification takes from the
// sending of its alert to the receiver. It prints BENCH lines; make bench-alerts
// runs it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/test/bench/suite"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-alerts:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	icewatch, alertmanager string
	dir                    string
	rules, each            int // alerts: so many of each rule
	silences, inhibitions  int
	batch, senders         int
	measure                time.Duration
	notices                int
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("alerts", flag.ExitOnError)
	b := bench{silences: 500, inhibitions: 100}
	flags.StringVar(&b.icewatch, "icewatch", "bin/icewatch", "the program that is measured")
	flags.StringVar(&b.alertmanager, "alertmanager", "prometheus-alertmanager", "the program beside it; empty leaves it out")
	flags.IntVar(&b.rules, "rules", 1000, "rules that fire")
	flags.IntVar(&b.each, "each", 20, "alerts of each rule")
	flags.IntVar(&b.batch, "batch", 500, "alerts in a request")
	flags.IntVar(&b.senders, "senders", 2, "connections that send at a time")
	flags.DurationVar(&b.measure, "measure", 10*time.Second, "how long to send")
	flags.IntVar(&b.notices, "notices", 200, "alerts whose notification is timed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.rules < 1 || b.each < 1 || b.batch < 1 || b.senders < 1 || b.notices < 1 || b.measure <= 0 {
		return errors.New("-rules, -each, -batch, -senders, -measure and -notices must be above 0")
	}
	dir, err := os.MkdirTemp("", "icewatch-bench-alerts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	own, err := b.own(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("BENCH alerts.rate %.0f alerts/s (fire on, %d of %d rules)\n", own.rate, b.rules*b.each, b.rules)
	fmt.Printf("BENCH alerts.new %.0f alerts/s (raised, merged and grouped)\n", own.fresh)
	fmt.Printf("BENCH alerts.new_cpu %.1f µs (of the suite for a new alert; firing on %.1f µs)\n", own.freshCPU, own.rateCPU)
	fmt.Printf("BENCH alerts.notify_p99 %.3f s (of %d, median %.3f s)\n", own.p99.Seconds(), b.notices, own.p50.Seconds())
	if b.alertmanager == "" {
		return nil
	}
	other, err := b.other(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("Alertmanager: %.0f alerts/s, new ones %.0f alerts/s\n", other.rate, other.fresh)
	fmt.Printf("BENCH alerts.vs_alertmanager %.2f (ratio of the rates)\n", own.rate/other.rate)
	return nil
}

// figures are what one side takes.
type figures struct {
	fresh, rate       float64
	freshCPU, rateCPU float64 // µs of processor time for an alert
	p50, p99          time.Duration
}

// own measures the suite.
func (b *bench) own(ctx context.Context) (f figures, err error) {
	hook := newReceiver()
	defer hook.Close()
	s, err := suite.Start(ctx, b.icewatch, b.dir, fmt.Sprintf("flows: {netflow: off, sflow: off}\notlp: {grpc: off, http: off}\nsyslog: {udp: off, tcp: off}\n"+
		"alerts:\n  faults: {wait: 0s}\nnotify:\n  webhooks:\n    - {name: bench, url: %q}\n", hook.URL))
	if err != nil {
		return f, err
	}
	defer s.Stop()
	for n := range b.silences {
		body := map[string]any{"matchers": matchers("group", fmt.Sprintf("quiet-%d", n), "zone", "z"), "ends_at": time.Now().Add(24 * time.Hour), "comment": "bench"}
		if err := s.Admin.JSON(ctx, http.MethodPost, "/api/v1/silences", nil, body, nil); err != nil {
			return f, fmt.Errorf("silence %d: %w", n, err)
		}
	}
	for n := range b.inhibitions {
		body := map[string]any{"name": fmt.Sprint("bench ", n), "source": matchers("alertname", fmt.Sprintf("Root%d", n)), "target": matchers("severity", "low", "group", fmt.Sprintf("g%d", n)), "equal": []string{"zone"}}
		if err := s.Admin.JSON(ctx, http.MethodPost, "/api/v1/inhibitions", nil, body, nil); err != nil {
			return f, fmt.Errorf("inhibition %d: %w", n, err)
		}
	}
	var items strings.Builder
	for n := range b.notices {
		fmt.Fprintf(&items, "- {id: notice-%d, class: host, name: notice-%d, tenant: e-seal}\n", n, n)
	}
	if _, err := s.Admin.Import(ctx, "yaml", "", false, []byte(items.String())); err != nil {
		return f, err
	}
	token, err := s.Token(ctx, "e-seal")
	if err != nil {
		return f, err
	}
	t := target{url: s.URL + "/alertmanager/api/v2/alerts", token: token, process: s.Processes()[0]}
	if f, err = b.rates(ctx, t); err != nil {
		return f, err
	}
	// Each is a fault of an item of its own, which opens an incident at once.
	var took []time.Duration
	for n := range b.notices {
		id := fmt.Sprintf("notice-%d", n)
		sent := time.Now()
		if err := t.post(ctx, []alert{{Labels: map[string]string{"alertname": "HostDown", "host": id, "severity": "critical", "notice": id}, StartsAt: sent, EndsAt: sent.Add(time.Hour)}}); err != nil {
			return f, err
		}
		at, err := hook.await(ctx, id)
		if err != nil {
			return f, err
		}
		took = append(took, at.Sub(sent))
	}
	slices.Sort(took)
	f.p50, f.p99 = took[len(took)/2], took[len(took)*99/100]
	return f, nil
}

// other measures a real Alertmanager with the same silences and inhibitions.
func (b *bench) other(ctx context.Context) (f figures, err error) {
	var config strings.Builder
	config.WriteString("route: {receiver: none, group_by: [alertname]}\nreceivers: [{name: none}]\ninhibit_rules:\n")
	for n := range b.inhibitions {
		fmt.Fprintf(&config, "- {source_matchers: [alertname=Root%d], target_matchers: [severity=low, group=g%d], equal: [zone]}\n", n, n)
	}
	file := filepath.Join(b.dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		return f, err
	}
	address, err := suite.FreeAddress()
	if err != nil {
		return f, err
	}
	cmd := exec.Command(b.alertmanager, "--config.file="+file, "--storage.path="+filepath.Join(b.dir, "am"), "--web.listen-address="+address, "--cluster.listen-address=")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return f, fmt.Errorf("start %s (Debian's package prometheus-alertmanager): %w", b.alertmanager, err)
	}
	defer suite.Stop(cmd)
	base := "http://" + address
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(base + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(end) {
			return f, fmt.Errorf("%s is not ready within a minute: %s", b.alertmanager, log.String())
		}
	}
	for n := range b.silences {
		body := map[string]any{"matchers": matchers("group", fmt.Sprintf("quiet-%d", n), "zone", "z"), "startsAt": time.Now(), "endsAt": time.Now().Add(24 * time.Hour), "createdBy": "bench", "comment": "bench"}
		if err := (target{url: base + "/api/v2/silences"}).send(ctx, body); err != nil {
			return f, fmt.Errorf("silence %d: %w", n, err)
		}
	}
	return b.rates(ctx, target{url: base + "/api/v2/alerts", process: cmd.Process.Pid})
}

func matchers(pairs ...string) (out []map[string]any) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, map[string]any{"name": pairs[i], "value": pairs[i+1], "isRegex": false, "isEqual": true})
	}
	return out
}

type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// rates sends all alerts once, and then again and again for a time.
func (b *bench) rates(ctx context.Context, t target) (f figures, err error) {
	began := time.Now()
	total := b.rules * b.each
	spent := t.cpu()
	batches := (total + b.batch - 1) / b.batch
	if err := b.parallel(batches, func(n int) error { return t.post(ctx, b.alerts(n, began)) }); err != nil {
		return f, err
	}
	f.fresh = float64(total) / time.Since(began).Seconds()
	f.freshCPU = (t.cpu() - spent) / float64(total) * 1e6
	// The bodies of the rounds differ in their end, as a sender's do; they are
	// made before, since the senders share the machine with what is measured.
	const rounds = 4
	var bodies [][]byte
	for r := range rounds {
		for n := range batches {
			body, err := json.Marshal(b.alerts(n, began.Add(time.Duration(r+1)*time.Minute)))
			if err != nil {
				return f, err
			}
			bodies = append(bodies, body)
		}
	}
	var sent atomic.Int64
	began, spent = time.Now(), t.cpu()
	err = b.parallel(1<<30, func(n int) error {
		if time.Since(began) > b.measure {
			return io.EOF
		}
		sent.Add(int64(min(b.batch, total-(n%batches)*b.batch)))
		return t.raw(ctx, bodies[n%len(bodies)])
	})
	f.rate = float64(sent.Load()) / time.Since(began).Seconds()
	f.rateCPU = (t.cpu() - spent) / float64(sent.Load()) * 1e6
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return f, err
}

// alerts makes the nth request.
func (b *bench) alerts(n int, now time.Time) []alert {
	var out []alert
	for i := n * b.batch; i < min((n+1)*b.batch, b.rules*b.each); i++ {
		rule := i % b.rules
		out = append(out, alert{
			Labels: map[string]string{"alertname": fmt.Sprintf("Rule%d", rule), "instance": fmt.Sprintf("node-%d:9100", i/b.rules), "job": "node", "severity": []string{"low", "medium"}[i%2],
				"group": fmt.Sprintf("g%d", rule%500), "zone": "z"},
			Annotations: map[string]string{"summary": fmt.Sprintf("Rule %d fires", rule), "description": "A value is above what is usual for this instance at this time of the day."},
			StartsAt:    now.Truncate(time.Hour), EndsAt: now.Add(5 * time.Minute)})
	}
	return out
}

// parallel calls f with 0, 1, … until one fails or n is reached.
func (b *bench) parallel(n int, f func(int) error) error {
	var next atomic.Int64
	failed := make(chan error, b.senders)
	var wait sync.WaitGroup
	var stop atomic.Bool
	for range b.senders {
		wait.Go(func() {
			for !stop.Load() {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					stop.Store(true)
					failed <- err
					return
				}
			}
		})
	}
	wait.Wait()
	close(failed)
	var first error
	for err := range failed {
		if first == nil || !errors.Is(err, io.EOF) {
			first = err
		}
	}
	return first
}

// target is where alerts are sent.
type target struct {
	url, token string
	process    int // whose processor time counts, with what it started
}

func (t target) cpu() float64 { return suite.CPU(t.process) }

func (t target) post(ctx context.Context, list []alert) error { return t.send(ctx, list) }

func (t target) send(ctx context.Context, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.raw(ctx, body)
}

func (t target) raw(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if t.token != "" {
		req.Header.Set("Authorization", "Bearer "+t.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("POST %s: %s: %.500s", t.url, resp.Status, answer)
	}
	return err
}

// receiver notes when notifications come.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	came map[string]time.Time
	news chan struct{}
}

func newReceiver() *receiver {
	r := &receiver{came: map[string]time.Time{}, news: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		now := time.Now()
		var p struct {
			Alerts []struct{ Labels map[string]string }
		}
		_ = json.NewDecoder(req.Body).Decode(&p)
		r.mu.Lock()
		for _, a := range p.Alerts {
			id := a.Labels["notice"]
			if _, known := r.came[id]; !known {
				r.came[id] = now
			}
		}
		r.mu.Unlock()
		select {
		case r.news <- struct{}{}:
		default:
		}
	}))
	return r
}

func (r *receiver) await(ctx context.Context, id string) (time.Time, error) {
	for end := time.After(time.Minute); ; {
		r.mu.Lock()
		at, came := r.came[id]
		r.mu.Unlock()
		if came {
			return at, nil
		}
		select {
		case <-ctx.Done():
			return at, ctx.Err()
		case <-end:
			return at, fmt.Errorf("no notification of %s within a minute", id)
		case <-r.news:
		}
	}
}

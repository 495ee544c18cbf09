package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"icewatch/detections/naive"
)

// contender is one who matched the sample.
type contender struct {
	name            string
	loaded, refused int
	rate            float64        // events/s, decoded before, without routing
	found           map[string]int // "event\trule", and how often
	missed, wrong   int            // against the naive evaluator
}

// comparison is the sample as all of them see it.
type comparison struct {
	events int
	all    []contender // the naive evaluator first, then icewatch
}

// compare lets the naive evaluator, icectl and the peers match a sample of the
// events, each on one core.
func (b *bench) compare(ctx context.Context, own figures, peers string) (*comparison, error) {
	sample := filepath.Join(b.dir, "sample.jsonl")
	lines, err := b.draw(sample)
	if err != nil {
		return nil, fmt.Errorf("draw a sample of %s: %w", b.corpus.events, err)
	}
	c := &comparison{events: len(lines)}
	truth, err := evaluate(b.corpus.rules, lines)
	if err != nil {
		return nil, fmt.Errorf("naive evaluator: %w", err)
	}
	icewatch := contender{name: "icewatch", rate: own.unrouted, found: map[string]int{}, loaded: truth.loaded}
	out, err := b.match(ctx, sample, "--routing", "off")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		var m struct {
			Event int    `json:"event"`
			Rule  string `json:"rule"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			return nil, fmt.Errorf("icectl's match %q: %w", line, err)
		}
		icewatch.found[key(m.Event, m.Rule)]++
	}
	c.all = append(c.all, truth, icewatch)
	for name := range strings.SplitSeq(peers, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		p, err := b.askPeer(ctx, name, sample, len(lines))
		if err != nil {
			return nil, fmt.Errorf("peer %s: %w; make bench-detect builds it, -peers '' leaves it out", name, err)
		}
		c.all = append(c.all, p)
	}
	for i := range c.all {
		c.all[i].missed, c.all[i].wrong = less(truth.found, c.all[i].found), less(c.all[i].found, truth.found)
	}
	return c, nil
}

func key(event int, rule string) string { return fmt.Sprintf("%d\t%s", event, rule) }

// less counts what b lacks of a.
func less(a, b map[string]int) (n int) {
	for k, times := range a {
		n += max(0, times-b[k])
	}
	return n
}

// draw writes a sample, evenly spread over the events, to a file.
func (b *bench) draw(to string) (sample [][]byte, err error) {
	f, err := os.Open(b.corpus.events)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = f
	if filepath.Ext(b.corpus.events) == ".gz" {
		if in, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 64<<20)
	var all [][]byte
	for scan.Scan() {
		if line := bytes.TrimSpace(scan.Bytes()); len(line) > 0 {
			all = append(all, bytes.Clone(line))
		}
	}
	if err := scan.Err(); err != nil {
		return nil, err
	}
	step := max(1, len(all)/b.sample)
	for i := 0; i < len(all) && len(sample) < b.sample; i += step {
		sample = append(sample, all[i])
	}
	return sample, os.WriteFile(to, append(bytes.Join(sample, []byte{'\n'}), '\n'), 0o600)
}

// evaluate asks the naive evaluator about every rule and event.
func evaluate(dir string, lines [][]byte) (contender, error) {
	c := contender{name: "naive evaluator", found: map[string]int{}}
	var rules []*naive.Rule
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r, err := naive.Parse(text)
		if err != nil {
			c.refused++
			return nil
		}
		rules = append(rules, r)
		return nil
	})
	if err != nil {
		return c, err
	}
	c.loaded = len(rules)
	var events []*naive.Event
	for i, line := range lines {
		ev, err := naive.FromJSON(line)
		if err != nil {
			return c, fmt.Errorf("event %d of the sample: %w", i, err)
		}
		events = append(events, ev)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	began := time.Now()
	for i, ev := range events {
		for _, r := range rules {
			if r.Match(ev) {
				c.found[key(i, r.ID)]++
			}
		}
	}
	c.rate = float64(len(events)) / time.Since(began).Seconds()
	return c, nil
}

// askPeer runs a peer in a process of its own on one core.
func (b *bench) askPeer(ctx context.Context, name, sample string, events int) (contender, error) {
	c := contender{name: name, found: map[string]int{}}
	matches := filepath.Join(b.dir, name)
	cmd := exec.CommandContext(ctx, b.peer, name, b.corpus.rules, sample, matches)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return c, err
	}
	var took float64
	if _, err := fmt.Sscan(string(out), &c.loaded, &c.refused, &took); err != nil {
		return c, fmt.Errorf("it says %q: %w", out, err)
	}
	c.rate = float64(events) / took
	text, err := os.ReadFile(matches)
	if err != nil {
		return c, err
	}
	for line := range strings.Lines(string(text)) {
		c.found[strings.TrimSpace(line)]++
	}
	return c, nil
}

func (c *comparison) print(own figures) {
	fmt.Printf("\n%d events, evenly drawn, without routing, one core:\n", c.events)
	fmt.Printf("%-22s %8s %8s %8s %8s %8s %12s %8s\n", "", "rules", "refused", "matches", "missed", "wrong", "events/s", "ratio")
	for _, e := range c.all {
		matches := 0
		for _, n := range e.found {
			matches += n
		}
		fmt.Printf("%-22s %8d %8d %8d %8d %8d %12.0f %8.0f\n", e.name, e.loaded, e.refused, matches, e.missed, e.wrong, e.rate, own.unrouted/e.rate)
	}
	fmt.Println()
	for _, e := range c.all {
		name := strings.NewReplacer("-", "_", " evaluator", "").Replace(e.name)
		if name == "icewatch" {
			fmt.Printf("BENCH detect.differences %d matches\n", e.missed+e.wrong)
			continue
		}
		fmt.Printf("BENCH detect.%s %.0f events/s\nBENCH detect.vs_%s %.0f ratio\n", name, e.rate, name, own.unrouted/e.rate)
		if name != "naive" {
			fmt.Printf("BENCH detect.%s_differences %d matches\n", name, e.missed+e.wrong)
		}
	}
}

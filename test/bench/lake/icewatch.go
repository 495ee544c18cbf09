package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/client"
)

// ours are the suite's figures.
type ours struct {
	first  intake    // of the part that all take
	took   []float64 // seconds for each query over that part
	whole  intake
	count  float64 // seconds to count all by a field of 200 values
	needle float64 // seconds to find one event by a field
	word   float64 // seconds to find it by a word, wherever it stands
}

func (o *ours) print(b bench) {
	fmt.Println("icewatch, all       :", o.whole)
	fmt.Printf("BENCH lake.intake %.0f events/s\n", o.whole.rate)
	fmt.Printf("BENCH lake.bytes_per_event %.1f B\n", o.whole.disk)
	fmt.Printf("BENCH lake.count_%dm %.2f s\n", b.total/1_000_000, o.count)
	fmt.Printf("BENCH lake.needle %.0f ms\n", o.needle*1000)
	fmt.Printf("BENCH lake.word_anywhere %.0f ms\n", o.word*1000)
}

// suite is a running icewatch.
type suite struct {
	cmd   *exec.Cmd
	data  string
	url   string
	admin *client.Client
	token string
}

func (b *bench) startSuite(ctx context.Context) (*suite, error) {
	s := &suite{data: filepath.Join(b.dir, "data")}
	config := filepath.Join(b.dir, "icewatch.yaml")
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s.url = "http://" + address
	// Everything is on but detection.
	text := fmt.Sprintf("data: %s\nhttp: {listen: %s}\nsyslog: {udp: off, tcp: off}\nflows: {netflow: off, sflow: off}\notlp: {grpc: off, http: off}\nrules: {built_in: false}\n", s.data, address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(b.binary, "serve", "--config", config)
	const pass = "Bench-mark-2026-harbour"
	s.cmd.Env = append(os.Environ(), "ICEWATCH_ADMIN_PASSWORD="+pass)
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(60 * time.Second); ; {
		resp, err := http.Get(s.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(end) {
			stop(s.cmd)
			return nil, fmt.Errorf("not ready within 60 s; its log is %s: %w", log.Name(), err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	open, err := client.New(client.Options{URL: s.url, Timeout: 10 * time.Minute})
	if err != nil {
		return nil, err
	}
	session, err := open.Login(ctx, "admin", pass)
	if err != nil {
		return nil, err
	}
	s.admin = open.With(session.Token, "")
	made, err := s.admin.CreateToken(ctx, "bench", "city", []string{"ingest"}, 24*time.Hour)
	if err != nil {
		return nil, err
	}
	s.token = made.Secret
	return s, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// metric reads one figure from the private socket.
func (s *suite) metric(name string) (float64, error) {
	c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", filepath.Join(s.data, "run", "icewatch.sock"))
	}, DisableKeepAlives: true}}
	resp, err := c.Get("http://icewatch/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		if v, ok := strings.CutPrefix(in.Text(), name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// take sends events and waits until the lake has them.
func (s *suite) take(ctx context.Context, b *bench, from, to uint64) (intake, error) {
	before, err := s.metric("icewatch_lake_rows")
	if err != nil {
		return intake{}, err
	}
	used, began := cpu(s.cmd.Process.Pid), time.Now()
	_, loading, err := b.again(ctx, "load", b.corpus.from, b.corpus.step, "bulk", s.url+"/elastic/gov/_bulk", s.token, from, to)
	if err != nil {
		return intake{}, err
	}
	acknowledged := time.Since(began)
	for {
		rows, err := s.metric("icewatch_lake_rows")
		if err != nil {
			return intake{}, err
		}
		if rows-before >= float64(to-from) {
			break
		}
		if time.Since(began) > 10*acknowledged+time.Minute {
			return intake{}, fmt.Errorf("%.0f of %d events are stored", rows-before, to-from)
		}
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(began)
	fmt.Printf("icewatch: %d events acknowledged, fsynced, in %.1f s, stored in %.1f s\n", to-from, acknowledged.Seconds(), took.Seconds())
	disk := settled(ctx, filepath.Join(s.data, "engine", "lake"))
	return intake{rate: float64(to-from) / took.Seconds(), cpu: cpu(s.cmd.Process.Pid) - used, load: loading, disk: disk / float64(to)}, nil
}

// ask runs a query over all events and returns how many rows answer.
func (s *suite) ask(ctx context.Context, b *bench, logsql string) (rows []map[string]any, err error) {
	q := map[string][]string{"query": {logsql}, "tenant": {"city"}, "limit": {"1000"},
		"start": {time.Unix(0, b.corpus.from).UTC().Format(time.RFC3339Nano)}, "end": {time.Now().UTC().Format(time.RFC3339Nano)}}
	return s.admin.Search(ctx, q)
}

func (b *bench) icewatch(ctx context.Context, withQueries bool) (*ours, error) {
	s, err := b.startSuite(ctx)
	if err != nil {
		return nil, err
	}
	defer stop(s.cmd)
	o := &ours{}
	if o.first, err = s.take(ctx, b, 0, b.compare); err != nil {
		return nil, err
	}
	if withQueries {
		for _, q := range queries {
			took, err := median(func() error {
				rows, err := s.ask(ctx, b, strings.ReplaceAll(q.logsql, "{needle}", needle(rare/2)))
				if err == nil && len(rows) == 0 {
					err = errors.New("no rows answer")
				}
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.name, err)
			}
			o.took = append(o.took, took)
		}
	}
	o.whole = o.first
	if b.total > b.compare {
		if o.whole, err = s.take(ctx, b, b.compare, b.total); err != nil {
			return nil, err
		}
	}
	count := func(rows []map[string]any) (n uint64) {
		for _, r := range rows {
			v, _ := strconv.ParseUint(fmt.Sprint(r["n"]), 10, 64)
			n += v
		}
		return n
	}
	if o.count, err = median(func() error {
		rows, err := s.ask(ctx, b, `event.dataset:=gov.access | stats by (host.name) count() n`)
		if err == nil && (len(rows) != hosts || count(rows) != b.total) {
			err = fmt.Errorf("%d events of %d hosts are counted, want %d of %d", count(rows), len(rows), b.total, hosts)
		}
		return err
	}); err != nil {
		return nil, err
	}
	one := func(query string) func() error {
		return func() error {
			rows, err := s.ask(ctx, b, query)
			if err == nil && len(rows) != 1 {
				err = fmt.Errorf("%d events answer %s, want 1", len(rows), query)
			}
			return err
		}
	}
	last := needle((b.total-1)/rare*rare - rare/2)
	if b.total <= rare {
		last = needle(rare / 2)
	}
	if o.needle, err = median(one(`url.path:="/export/` + last + `"`)); err != nil {
		return nil, err
	}
	if o.word, err = median(one(last)); err != nil {
		return nil, err
	}
	return o, nil
}

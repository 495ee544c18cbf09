package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"icewatch/test/bench/suite"
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

// store is a running icewatch that takes events with one token.
type store struct {
	*suite.Suite
	token string
}

func (b *bench) startSuite(ctx context.Context) (*store, error) {
	// Everything is on but detection.
	s, err := suite.Start(ctx, b.binary, b.dir, "syslog: {udp: off, tcp: off}\nflows: {netflow: off, sflow: off}\notlp: {grpc: off, http: off}\nrules: {built_in: false}\n")
	if err != nil {
		return nil, err
	}
	token, err := s.Token(ctx, "city")
	if err != nil {
		s.Stop()
		return nil, err
	}
	return &store{s, token}, nil
}

// take sends events and waits until the lake has them.
func (s *store) take(ctx context.Context, b *bench, from, to uint64) (intake, error) {
	before, err := s.Metric("icewatch_lake_rows")
	if err != nil {
		return intake{}, err
	}
	used, began := s.CPU(), time.Now()
	_, loading, err := b.again(ctx, "load", b.corpus.from, b.corpus.step, "bulk", s.URL+"/elastic/gov/_bulk", s.token, from, to)
	if err != nil {
		return intake{}, err
	}
	acknowledged := time.Since(began)
	for {
		rows, err := s.Metric("icewatch_lake_rows")
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
	disk := settled(ctx, filepath.Join(s.Data, "engine", "lake"))
	return intake{rate: float64(to-from) / took.Seconds(), cpu: s.CPU() - used, load: loading, disk: disk / float64(to)}, nil
}

// ask runs a query over all events and returns how many rows answer.
func (s *store) ask(ctx context.Context, b *bench, logsql string) (rows []map[string]any, err error) {
	q := map[string][]string{"query": {logsql}, "tenant": {"city"}, "limit": {"1000"},
		"start": {time.Unix(0, b.corpus.from).UTC().Format(time.RFC3339Nano)}, "end": {time.Now().UTC().Format(time.RFC3339Nano)}}
	return s.Admin.Search(ctx, q)
}

func (b *bench) icewatch(ctx context.Context, withQueries bool) (*ours, error) {
	s, err := b.startSuite(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Stop()
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

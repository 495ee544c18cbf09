package logql

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/v3/pkg/iter"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/grafana/loki/v3/pkg/logqlmodel/stats"
	"github.com/prometheus/prometheus/model/labels"

	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// maxStreams bounds the streams that a sieve lists by name.
const maxStreams = 500

// question is one query on its way: what Loki's engine reads rows through.
type question struct {
	store  search.Store
	within reach.Reach
	limits Limits
	counts []count // see Engine.Query
	named  map[string]bool

	scanned int // rows read so far
}

var _ logql.Querier = (*question)(nil)

// errScanned says that a query reads more rows than one may.
func (q *question) errScanned() error {
	return limitError{fmt.Errorf("the query reads more than %d lines, since the lake cannot count for it by itself; use more label matchers or line filters, or a shorter time range", q.limits.Scanned)}
}

// limitError is an error of a limit, as Loki's own.
type limitError struct{ error }

func (limitError) Is(target error) bool { return target == logqlmodel.ErrLimit }

// page tells of rows that were read.
type page struct {
	rows           int
	oldest, newest int64 // times of rows
}

// read hands over the rows of a query that are of streams asked for, and counts
// all of them.
func (q *question) read(ctx context.Context, req search.Request, d *decoder, emit func(*record) error) (p page, err error) {
	req.Reach = q.within
	if req.Reach.Nothing() || !req.End.After(req.Start) {
		return p, nil
	}
	size := 0
	var rec record
	err = q.store.Query(ctx, req, func(row []byte) error {
		size += len(row)
		if q.scanned+p.rows >= q.limits.Scanned {
			return q.errScanned()
		}
		skip, err := d.decode(row, &rec)
		if err != nil {
			return err
		}
		if p.rows == 0 {
			p.oldest, p.newest = rec.time, rec.time
		}
		p.oldest, p.newest = min(p.oldest, rec.time), max(p.newest, rec.time)
		p.rows++
		if skip {
			return nil
		}
		return emit(&rec)
	})
	q.scanned += p.rows
	found := stats.FromContext(ctx)
	found.AddDecompressedLines(int64(p.rows))
	found.AddDecompressedBytes(int64(size))
	return p, err
}

// sieve is the LogsQL that what a selector picks comes through.
func (q *question) sieve(ctx context.Context, matchers []*labels.Matcher, line string, start, end time.Time) (string, error) {
	var kinds []string
	if q.within.Veil() != nil {
		// What is masked must not be found by looking for it: rows are matched
		// once they are as their reader sees them.
		kinds = append(kinds, has(fieldLabels))
	} else {
		pushed, fine := pushedSieve(matchers)
		if !fine {
			var err error
			if pushed, err = q.listed(ctx, matchers, pushed, start, end); err != nil {
				return "", err
			}
		}
		if pushed != "" {
			kinds = append(kinds, pushed)
		}
	}
	if events, ok := eventSieve(matchers); ok {
		kinds = append(kinds, events)
	}
	if len(kinds) == 0 {
		return "", nil
	}
	return all(oneOf(kinds...), line), nil
}

// listed names the pushed streams that match, where they are few; "" where
// there are none.
func (q *question) listed(ctx context.Context, matchers []*labels.Matcher, sieve string, start, end time.Time) (string, error) {
	var names []string
	d := newDecoder(nil, nil, false)
	err := q.store.Query(ctx, search.Request{Reach: q.within, Start: start, End: end,
		Query: sieve + " | stats by (" + quote(fieldLabels) + ") count() " + fieldCount}, func(row []byte) error {
		v, err := d.parser.ParseBytes(row)
		if err != nil {
			return fmt.Errorf("a row of the lake is no JSON: %w", err)
		}
		text := string(v.GetStringBytes(fieldLabels))
		if matching(matchers)(parseLabels(text)) {
			names = append(names, quote(text))
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", nil
	case len(names) > maxStreams:
		return sieve, nil
	}
	slices.Sort(names)
	return quote(fieldLabels) + ":in(" + strings.Join(names, ",") + ")", nil
}

// SelectLogs reads the lines that a selector picks, in the order asked for.
func (q *question) SelectLogs(ctx context.Context, params logql.SelectLogParams) (iter.EntryIterator, error) {
	it, err := q.lines(ctx, params)
	if err != nil {
		return nil, err
	}
	return it, nil
}

func (q *question) lines(ctx context.Context, params logql.SelectLogParams) (*lines, error) {
	expr, err := params.LogSelector()
	if err != nil {
		return nil, err
	}
	pipeline, err := expr.Pipeline()
	if err != nil {
		return nil, err
	}
	matchers := expr.Matchers()
	sieve, err := q.sieve(ctx, matchers, lineSieve(stagesOf(expr)), params.Start, params.End)
	if err != nil {
		return nil, err
	}
	return &lines{ctx: ctx, q: q, sieve: sieve, pipeline: pipeline, start: params.Start, end: params.End,
		forward: params.Direction == logproto.FORWARD, page: max(100, int(params.Limit)),
		decoder: newDecoder(matching(matchers), q.named, true)}, nil
}

// lines are what a selector picks, a page of rows at a time: the pages become
// larger where few of their rows pass the pipeline.
type lines struct {
	ctx        context.Context
	q          *question
	sieve      string
	pipeline   log.Pipeline
	decoder    *decoder
	start, end time.Time // of what is left
	forward    bool
	page       int  // rows
	events     bool // whether lines bring their rows

	list []*Line
	at   int
	err  error
}

const maxPage = 50_000

// Next goes on to the next line.
func (l *lines) Next() bool {
	l.at++
	for l.at >= len(l.list) {
		if l.err != nil || l.sieve == "" || !l.end.After(l.start) {
			return false
		}
		l.list, l.at = l.list[:0], 0
		l.err = l.turn()
	}
	return true
}

// turn reads the next page.
func (l *lines) turn() error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if l.end.Sub(l.start) <= 1 {
		at := l.start
		l.end = l.start
		return l.readAt(at)
	}
	req := search.Request{Query: l.sieve, Start: l.start, End: l.end, Limit: l.page}
	if l.forward {
		req.Query += " | sort by (_time) limit " + strconv.Itoa(l.page)
	}
	p, err := l.q.read(l.ctx, req, l.decoder, l.add)
	if err != nil {
		return err
	}
	last := time.Unix(0, p.oldest)
	if l.forward {
		last = time.Unix(0, p.newest)
	}
	switch {
	case p.rows < l.page:
		l.end = l.start // there are no more
	case p.oldest == p.newest:
		// The page ends amid rows of one time, and has no others.
		l.list = l.list[:0]
		if err := l.readAt(last); err != nil {
			return err
		}
		l.after(last, 1)
	default:
		// There may be more rows of the last time: all of these are left to the
		// next page.
		l.list = slices.DeleteFunc(l.list, func(x *Line) bool { return x.Time.Equal(last) })
		l.after(last, 0)
	}
	l.page = min(l.page*4, maxPage)
	l.order()
	return nil
}

// after has the next page begin at a time, or so much beyond it.
func (l *lines) after(at time.Time, beyond time.Duration) {
	if l.forward {
		l.start = at.Add(beyond)
	} else {
		l.end = at.Add(1 - beyond)
	}
}

// readAt reads all rows of one time. The lake knows no shorter time than two
// nanoseconds.
func (l *lines) readAt(at time.Time) error {
	_, err := l.q.read(l.ctx, search.Request{Query: l.sieve, Start: at, End: at.Add(2)}, l.decoder, func(rec *record) error {
		if rec.time != at.UnixNano() {
			return nil
		}
		return l.add(rec)
	})
	l.order()
	return err
}

// add runs a row through the pipeline.
func (l *lines) add(rec *record) error {
	s := l.pipeline.ForStream(rec.stream.labels)
	text, set, ok := s.ProcessString(rec.time, rec.line, rec.metadata)
	if !ok {
		return nil
	}
	made := newLine(rec, text, set)
	made.Hash = s.BaseLabels().Hash()
	if l.events {
		made.Event = bytes.Clone(rec.row)
	}
	l.list = append(l.list, made)
	return nil
}

// order puts the page into the order asked for; those of one time by stream, so
// that the answer is the same each time.
func (l *lines) order() {
	slices.SortStableFunc(l.list, func(a, b *Line) int {
		c := a.Time.Compare(b.Time)
		if !l.forward {
			c = -c
		}
		if c == 0 {
			c = strings.Compare(a.Labels, b.Labels)
		}
		return c
	})
}

// At is the present line.
func (l *lines) At() logproto.Entry {
	x := l.line()
	return logproto.Entry{Timestamp: x.Time, Line: x.Text, StructuredMetadata: x.Metadata, Parsed: x.Parsed}
}

// line is the present one.
func (l *lines) line() *Line { return l.list[l.at] }

// Labels are those of the present line, after the pipeline.
func (l *lines) Labels() string { return l.line().Labels }

// StreamHash tells the present line's stream.
func (l *lines) StreamHash() uint64 { return l.line().Hash }

// Err is why there are no more lines, nil at their end.
func (l *lines) Err() error { return l.err }

// Close ends it.
func (l *lines) Close() error { return nil }

var _ iter.EntryIterator = (*lines)(nil)

// SelectSamples reads the samples of a range aggregation in the order of time.
func (q *question) SelectSamples(ctx context.Context, params logql.SelectSampleParams) (iter.SampleIterator, error) {
	expr, err := params.Expr()
	if err != nil {
		return nil, err
	}
	if c := q.counted(expr); c != nil {
		return c.samples(ctx, q, expr, params.Start, params.End)
	}
	selector, err := expr.Selector()
	if err != nil {
		return nil, err
	}
	extractors, err := expr.Extractors()
	if err != nil {
		return nil, err
	}
	if len(extractors) != 1 {
		return nil, errors.New("variants are not supported")
	}
	matchers := selector.Matchers()
	sieve, err := q.sieve(ctx, matchers, lineSieve(stagesOf(selector)), params.Start, params.End)
	if err != nil {
		return nil, err
	}
	return &samples{ctx: ctx, q: q, sieve: sieve, extractor: extractors[0], start: params.Start, end: params.End,
		span: max(params.End.Sub(params.Start)/8, time.Second), decoder: newDecoder(matching(matchers), q.named, false)}, nil
}

// sample is one of samples.
type sample struct {
	time   int64
	value  float64
	labels string
	hash   uint64
}

// samples are what an extractor makes of rows, a stretch of time after the
// other, so that few are held at a time.
type samples struct {
	ctx        context.Context
	q          *question
	sieve      string
	extractor  log.SampleExtractor
	decoder    *decoder
	start, end time.Time // of what is left
	span       time.Duration

	list []sample
	at   int
	err  error
}

// Rows that a stretch should hold.
const (
	fewRows  = 20_000
	manyRows = 200_000
)

// Next goes on to the next sample.
func (s *samples) Next() bool {
	s.at++
	for s.at >= len(s.list) {
		if s.err != nil || s.sieve == "" || !s.end.After(s.start) {
			return false
		}
		s.list, s.at = s.list[:0], 0
		s.err = s.turn()
	}
	return true
}

func (s *samples) turn() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	end := s.end
	if s.end.Sub(s.start) > s.span {
		end = s.start.Add(s.span)
	}
	p, err := s.q.read(s.ctx, search.Request{Query: s.sieve, Start: s.start, End: end}, s.decoder, func(rec *record) error {
		e := s.extractor.ForStream(rec.stream.labels)
		found, ok := e.ProcessString(rec.time, rec.line, rec.metadata)
		if !ok {
			return nil
		}
		for _, x := range found {
			s.list = append(s.list, sample{rec.time, x.Value, x.Labels.String(), e.BaseLabels().Hash()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.start = end
	switch {
	case p.rows > manyRows:
		s.span = max(s.span/4, time.Millisecond)
	case p.rows < fewRows && s.span < math.MaxInt64/8:
		s.span *= 4
	}
	slices.SortStableFunc(s.list, compareSamples)
	return nil
}

func compareSamples(a, b sample) int {
	return cmp.Or(cmp.Compare(a.time, b.time), strings.Compare(a.labels, b.labels))
}

// At is the present sample.
func (s *samples) At() logproto.Sample {
	x := &s.list[s.at]
	return logproto.Sample{Timestamp: x.time, Value: x.value}
}

// Labels are those of the present sample's series.
func (s *samples) Labels() string { return s.list[s.at].labels }

// StreamHash tells the present sample's stream.
func (s *samples) StreamHash() uint64 { return s.list[s.at].hash }

// Err is why there are no more samples, nil at their end.
func (s *samples) Err() error { return s.err }

// Close ends it.
func (s *samples) Close() error { return nil }

var _ iter.SampleIterator = (*samples)(nil)

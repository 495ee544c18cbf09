package logql

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/v3/pkg/iter"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/prometheus/prometheus/model/labels"

	"icewatch/soc/search"
)

// A range aggregation that only counts lines or their bytes, and whose stages
// look at lines by filters that LogsQL has as well, need not read rows: the lake
// counts them by labels and by buckets of time, the greatest that every window
// of the query is made of. Loki's own stages then run once for each set of
// labels, and its engine adds up the buckets.

const (
	fieldCount = "icewatch_count" // columns of counts, out of the way of fields' names
	fieldOwn   = "icewatch_own"
	fieldWith  = "icewatch_with"
	// maxBuckets bounds the buckets of time that the lake counts in.
	maxBuckets = 20_000
	// maxDots bounds the underscores of a label that may be a field's dots.
	maxDots = 4
)

// count is a range aggregation that the lake does.
type count struct {
	bytes  bool
	filter string        // exact, on rows whose line is as it is stored
	plain  bool          // whether the count is the same whatever the lines are
	width  time.Duration // of a bucket
	at     time.Time     // an end of a bucket
}

// push has the lake do a range aggregation where it can: it leaves a mark in
// the aggregation, by which counted finds it again in what the engine makes of
// the expression, and has the engine add up what it gets.
func (q *question) push(e *syntax.RangeAggregationExpr, start, end time.Time, step time.Duration) {
	if q.within.Veil() != nil || e.Params != nil || e.Grouping != nil || e.Left.Unwrap != nil || e.Left.Interval <= 0 {
		return
	}
	c := count{plain: true, width: e.Left.Interval, at: start.Add(-e.Left.Offset)}
	adds := ""
	switch e.Operation {
	case syntax.OpRangeTypeCount:
		adds = syntax.OpRangeTypeBytes
	case syntax.OpRangeTypeRate:
		adds = syntax.OpRangeTypeBytesRate
	case syntax.OpRangeTypeBytes, syntax.OpRangeTypeBytesRate:
		adds, c.bytes, c.plain = e.Operation, true, false
	case syntax.OpRangeTypeAbsent:
		adds = e.Operation
	default:
		return
	}
	var filters []string
	for _, stage := range stagesOf(e.Left.Left) {
		switch s := stage.(type) {
		case *syntax.LabelFilterExpr:
		case *syntax.LineFilterExpr:
			condition, ok := lineCondition(s)
			if !ok {
				return
			}
			filters, c.plain = append(filters, condition), false
		default:
			return
		}
	}
	if step > 0 && end.After(start) {
		c.width = gcd(c.width, step)
	}
	if (end.Sub(start)+e.Left.Interval)/c.width > maxBuckets {
		return
	}
	c.filter = all(filters...)
	q.counts = append(q.counts, c)
	mark := float64(len(q.counts) - 1)
	e.Operation, e.Params = adds, &mark
}

func gcd(a, b time.Duration) time.Duration {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// counted is the count that an expression was marked with, nil where it was not.
func (q *question) counted(e syntax.SampleExpr) *count {
	if v, ok := e.(*syntax.VectorAggregationExpr); ok {
		e = v.Left
	}
	r, ok := e.(*syntax.RangeAggregationExpr)
	if !ok || r.Params == nil || len(q.counts) == 0 {
		return nil
	}
	switch r.Operation {
	case syntax.OpRangeTypeBytes, syntax.OpRangeTypeBytesRate, syntax.OpRangeTypeAbsent:
		return &q.counts[int(*r.Params)]
	}
	return nil
}

// unmarked is an expression as it was before push, but for its line filters
// where without is true, which the lake has applied.
func (c *count) unmarked(e syntax.SampleExpr, without bool) (syntax.SampleExpr, error) {
	e, err := syntax.Clone(e)
	if err != nil {
		return nil, err
	}
	e.Walk(func(x syntax.Expr) bool {
		switch x := x.(type) {
		case *syntax.RangeAggregationExpr:
			x.Params = nil
			switch {
			case c.bytes:
			case x.Operation == syntax.OpRangeTypeBytes:
				x.Operation = syntax.OpRangeTypeCount
			case x.Operation == syntax.OpRangeTypeBytesRate:
				x.Operation = syntax.OpRangeTypeRate
			}
		case *syntax.PipelineExpr:
			if without {
				x.MultiStages = slices.DeleteFunc(x.MultiStages, func(s syntax.StageExpr) bool {
					_, ok := s.(*syntax.LineFilterExpr)
					return ok
				})
			}
		}
		return true
	})
	return e, nil
}

// samples are the counts, one for each bucket and set of labels, at the end of
// the bucket.
func (c *count) samples(ctx context.Context, q *question, marked syntax.SampleExpr, start, end time.Time) (iter.SampleIterator, error) {
	stripped, err := c.unmarked(marked, true)
	if err != nil {
		return nil, err
	}
	whole, err := c.unmarked(marked, false)
	if err != nil {
		return nil, err
	}
	extractors, err := stripped.Extractors()
	if err != nil {
		return nil, err
	}
	selector, err := stripped.Selector()
	if err != nil {
		return nil, err
	}
	sum := &sums{of: c, extractor: extractors[0], list: map[sumKey]float64{}, hashes: map[string]uint64{}}
	matchers := selector.Matchers()
	filter := c.filter
	if !c.plain {
		// The lines of other rows have to be written anew first.
		filter = all(lacks(fieldRaw), filter)
	}
	k := counting{q: q, matchers: matchers, filter: filter, start: start, end: end, bucket: c.width, offset: offsetOf(c.at, c.width),
		bytes: c.bytes, names: q.named, whole: !groups(stripped)}
	if err := k.run(ctx, sum.add); err != nil {
		return nil, err
	}
	if !c.plain {
		if err := c.readRaw(ctx, q, whole, matchers, start, end, sum); err != nil {
			return nil, err
		}
	}
	return sum.samples(ctx, q), nil
}

// groups tells whether an aggregation's result has labels that it names only.
func groups(e syntax.SampleExpr) bool {
	v, ok := e.(*syntax.VectorAggregationExpr)
	return ok && v.Operation == syntax.OpTypeSum && v.Grouping != nil && !v.Grouping.Without
}

// offsetOf is where buckets begin, one of which ends with (and holds) a time.
func offsetOf(end time.Time, width time.Duration) time.Duration {
	n := (end.UnixNano() + 1) % int64(width)
	if n < 0 {
		n += int64(width)
	}
	return time.Duration(n)
}

// readRaw adds the rows whose lines the lake has to write anew.
func (c *count) readRaw(ctx context.Context, q *question, e syntax.SampleExpr, matchers []*labels.Matcher, start, end time.Time, sum *sums) error {
	extractors, err := e.Extractors()
	if err != nil {
		return err
	}
	sieve, err := q.sieve(ctx, matchers, has(fieldRaw), start, end)
	if err != nil || sieve == "" {
		return err
	}
	d := newDecoder(matching(matchers), q.named, false)
	_, err = q.read(ctx, search.Request{Query: sieve, Start: start, End: end}, d, func(rec *record) error {
		s := extractors[0].ForStream(rec.stream.labels)
		found, ok := s.ProcessString(rec.time, rec.line, rec.metadata)
		if !ok {
			return nil
		}
		for _, x := range found {
			sum.put(c.endOf(rec.time), x.Labels.String(), s.BaseLabels().Hash(), x.Value)
		}
		return nil
	})
	return err
}

// endOf is the end of the bucket that holds a time.
func (c *count) endOf(at int64) int64 {
	begin := int64(offsetOf(c.at, c.width))
	n := (at - begin) % int64(c.width)
	if n < 0 {
		n += int64(c.width)
	}
	return at - n + int64(c.width) - 1
}

// sums gather counts.
type sums struct {
	of        *count
	extractor log.SampleExtractor
	list      map[sumKey]float64
	hashes    map[string]uint64 // by labels
}

type sumKey struct {
	time   int64
	labels string
}

func (s *sums) put(at int64, labels string, hash uint64, n float64) {
	s.list[sumKey{at, labels}] += n
	s.hashes[labels] = hash
}

// add takes in one count of the lake: rows with the same labels run through
// Loki's stages as one.
func (s *sums) add(rec *record, n float64) error {
	e := s.extractor.ForStream(rec.stream.labels)
	found, ok := e.ProcessString(rec.time, "", rec.metadata)
	if !ok {
		return nil
	}
	for _, x := range found {
		s.put(rec.time+int64(s.of.width)-1, x.Labels.String(), e.BaseLabels().Hash(), n)
	}
	return nil
}

func (s *sums) samples(ctx context.Context, q *question) *samples {
	list := make([]sample, 0, len(s.list))
	for k, n := range s.list {
		list = append(list, sample{k.time, n, k.labels, s.hashes[k.labels]})
	}
	slices.SortFunc(list, compareSamples)
	return &samples{ctx: ctx, q: q, list: list, at: -1}
}

// counting has the lake count rows by streams.
type counting struct {
	q              *question
	matchers       []*labels.Matcher
	filter         string
	start, end     time.Time
	bucket, offset time.Duration // 0 is one count for the whole time
	bytes          bool          // of lines, instead of lines
	names          map[string]bool
	whole          bool // every label counts, not only those of names
}

// run hands over the counts. The record's time is the beginning of the bucket.
func (k counting) run(ctx context.Context, emit func(*record, float64) error) error {
	if k.q.within.Nothing() {
		return nil
	}
	if err := k.pushed(ctx, emit); err != nil {
		return err
	}
	return k.events(ctx, emit)
}

// stats is the pipe that counts.
func (k *counting) stats(by []string, more string) string {
	var b strings.Builder
	b.WriteString(" | stats by (")
	if k.bucket > 0 {
		fmt.Fprintf(&b, "_time:%dns offset %dns", k.bucket.Nanoseconds(), k.offset.Nanoseconds())
		if len(by) > 0 {
			b.WriteString(", ")
		}
	}
	for i, f := range by {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(f))
	}
	b.WriteString(") ")
	if k.bytes {
		// A line that is the message is not stored a second time.
		fmt.Fprintf(&b, `sum_len(%s) if (%s) %s, sum_len(%s) if (%s) %s`,
			quote(fieldMessage), lacks(fieldLine), fieldCount, quote(fieldLine), has(fieldLine), fieldOwn)
	} else {
		b.WriteString("count() " + fieldCount)
	}
	return b.String() + more
}

// pushed counts what was pushed to Loki's API. Structured metadata are looked at
// where there are some on which the result depends.
func (k *counting) pushed(ctx context.Context, emit func(*record, float64) error) error {
	sieve, _ := pushedSieve(k.matchers)
	by := []string{fieldLabels}
	if k.names[detectedLevel] {
		by = append(by, fieldLevel)
	}
	type found struct {
		rec  record
		n    float64
		with float64
	}
	ask := func(by []string, more string, put func(found) error) error {
		d := newDecoder(matching(k.matchers), k.names, false)
		return k.ask(ctx, all(sieve, k.filter)+k.stats(by, more), d, func(rec *record, n float64) error {
			with, _ := strconv.ParseFloat(string(d.last(fieldWith)), 64)
			return put(found{*rec, n, with})
		})
	}
	var list []found
	depends := false
	err := ask(by, ", count("+quote(fieldMetadata)+") "+fieldWith, func(f found) error {
		depends = depends || f.with > 0 && (k.whole || !hasAll(f.rec.stream.labels, k.names))
		list = append(list, f)
		return nil
	})
	if err != nil {
		return err
	}
	if depends {
		list = list[:0]
		if err := ask(append(by, fieldMetadata), "", func(f found) error {
			list = append(list, f)
			return nil
		}); err != nil {
			return err
		}
	}
	for i := range list {
		if err := emit(&list[i].rec, list[i].n); err != nil {
			return err
		}
	}
	return nil
}

// hasAll tells whether labels have all names.
func hasAll(set labels.Labels, names map[string]bool) bool {
	for n := range names {
		if !set.Has(n) && n != detectedLevel {
			return false
		}
	}
	return true
}

// events counts the events that were not pushed.
func (k *counting) events(ctx context.Context, emit func(*record, float64) error) error {
	sieve, ok := eventSieve(k.matchers)
	if !ok {
		return nil
	}
	by := map[string]bool{}
	for _, f := range Fixed {
		if k.whole || k.names[f.Label] || k.names[detectedLevel] && f.Field == fieldLevel ||
			slices.ContainsFunc(k.matchers, func(m *labels.Matcher) bool { return m.Name == f.Label }) {
			by[f.Field] = true
		}
	}
	for n := range k.names {
		if fixedField(n) == "" && n != detectedLevel {
			for _, f := range fieldsOf(n) {
				by[f] = true
			}
		}
	}
	d := newDecoder(matching(k.matchers), k.names, false)
	return k.ask(ctx, all(sieve, k.filter)+k.stats(slices.Sorted(maps.Keys(by)), ""), d, emit)
}

// fieldsOf lists the fields that a label may show: its underscores may be dots.
func fieldsOf(label string) []string {
	list := []string{label}
	if n := strings.Count(label, "_"); n == 0 || n > maxDots {
		return list
	}
	for i := 0; i < len(label); i++ {
		if label[i] != '_' || i == 0 || i == len(label)-1 {
			continue
		}
		for _, f := range list[:len(list):len(list)] {
			list = append(list, f[:i]+"."+f[i+1:])
		}
	}
	return list
}

func (k *counting) ask(ctx context.Context, query string, d *decoder, emit func(*record, float64) error) error {
	var rec record
	rows := 0
	return k.q.store.Query(ctx, search.Request{Reach: k.q.within, Query: query, Start: k.start, End: k.end}, func(row []byte) error {
		if rows++; rows > k.q.limits.Scanned {
			return limitError{fmt.Errorf("the query counts in more than %d buckets of time and sets of labels; use more label matchers, a longer step or a shorter time range", k.q.limits.Scanned)}
		}
		skip, err := d.decode(row, &rec)
		if err != nil || skip {
			return err
		}
		n, err := strconv.ParseFloat(string(d.last(fieldCount)), 64)
		if err != nil {
			n = 0
		}
		if own, err := strconv.ParseFloat(string(d.last(fieldOwn)), 64); err == nil {
			n += own
		}
		if math.IsNaN(n) {
			n = 0
		}
		return emit(&rec, n)
	})
}

// last is a text of the row that was decoded last.
func (d *decoder) last(name string) []byte {
	if d.row == nil {
		return nil
	}
	return d.row.Get(name).GetStringBytes()
}

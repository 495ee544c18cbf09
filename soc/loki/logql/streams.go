package logql

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// Stream is a set of labels and what has it.
type Stream struct {
	Labels labels.Labels
	Lines  uint64
	Bytes  uint64 // of the lines as they are stored
}

// maxVeiledRows are the newest rows that streams are gathered from for somebody
// from whom parts of rows are hidden.
const maxVeiledRows = 50_000

// Streams lists the streams that meet all matchers of any one group, every
// stream where there are no groups. For somebody from whom parts of rows are
// hidden they are those of the newest 50,000 lines, since labels may hold what
// other fields hide.
func (e *Engine) Streams(ctx context.Context, within reach.Reach, groups [][]*labels.Matcher, start, end time.Time) ([]Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, e.limits.Timeout)
	defer cancel()
	if span := end.Sub(start); span > e.limits.Range {
		start = end.Add(-e.limits.Range)
	}
	q := &question{store: e.store, within: within, limits: e.limits}
	found := map[string]*Stream{}
	if len(groups) == 0 {
		groups = [][]*labels.Matcher{nil}
	}
	for _, matchers := range groups {
		part := map[string]*Stream{}
		var err error
		if within.Veil() != nil {
			err = q.readStreams(ctx, matchers, start, end, part)
		} else {
			err = q.countStreams(ctx, matchers, start, end, part)
		}
		if err != nil {
			return nil, settle(err)
		}
		for key, s := range part {
			found[key] = s
		}
	}
	list := make([]Stream, 0, len(found))
	for _, s := range found {
		list = append(list, *s)
	}
	return list, nil
}

// streamOf is where a stream is gathered.
func streamOf(found map[string]*Stream, set labels.Labels) *Stream {
	key := set.String()
	s, ok := found[key]
	if !ok {
		s = &Stream{Labels: set}
		found[key] = s
	}
	return s
}

func (q *question) readStreams(ctx context.Context, matchers []*labels.Matcher, start, end time.Time, found map[string]*Stream) error {
	sieve, err := q.sieve(ctx, matchers, "", start, end)
	if err != nil || sieve == "" {
		return err
	}
	_, err = q.read(ctx, search.Request{Query: sieve, Start: start, End: end, Limit: maxVeiledRows}, newDecoder(matching(matchers), nil, false), func(rec *record) error {
		s := streamOf(found, rec.stream.labels)
		s.Lines++
		s.Bytes += uint64(len(rec.line))
		return nil
	})
	return err
}

func (q *question) countStreams(ctx context.Context, matchers []*labels.Matcher, start, end time.Time, found map[string]*Stream) error {
	sizes := [...]string{fieldMessage, fieldLine, fieldRaw}
	pipe := ") count() " + fieldCount
	for i, f := range sizes {
		pipe += ", sum_len(" + quote(f) + ") " + fieldWith + strconv.Itoa(i)
	}
	ask := func(sieve string, by []string) error {
		if q.within.Nothing() || !end.After(start) {
			return nil
		}
		for i := range by {
			by[i] = quote(by[i])
		}
		d := newDecoder(matching(matchers), nil, false)
		var rec record
		return q.store.Query(ctx, search.Request{Reach: q.within, Start: start, End: end, Query: sieve + " | stats by (" + strings.Join(by, ", ") + pipe}, func(row []byte) error {
			skip, err := d.decode(row, &rec)
			if err != nil || skip {
				return err
			}
			number := func(name string) uint64 {
				n, _ := strconv.ParseUint(string(d.last(name)), 10, 64)
				return n
			}
			s := streamOf(found, rec.stream.labels)
			s.Lines += number(fieldCount)
			for i := range sizes {
				s.Bytes += number(fieldWith + strconv.Itoa(i))
			}
			return nil
		})
	}
	sieve, _ := pushedSieve(matchers)
	if err := ask(sieve, []string{fieldLabels}); err != nil {
		return err
	}
	sieve, ok := eventSieve(matchers)
	if !ok {
		return nil
	}
	var by []string
	for _, f := range Fixed {
		by = append(by, f.Field)
	}
	return ask(sieve, by)
}

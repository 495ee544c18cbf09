package traces

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"icewatch/soc/reach"
)

// Trace is what is stored of one trace within a reach. It has at least one span.
type Trace struct {
	ID    string  // in full
	Spans []*Span // in order of their beginning
	// Truncated says that there are more spans than could be read: the first in
	// time of each trace, as many as MaxSpans, or fewer where they are large.
	Truncated bool
}

// Start is when the first span began.
func (t *Trace) Start() time.Time { return t.Spans[0].Start }

// Trace reads one trace by its id, ErrNotFound where there is none within the
// reach. It is looked for around the times given, and where it is not there or
// none are given in all that is kept, the youngest first.
func (s *Service) Trace(ctx context.Context, to reach.Reach, id string, start, end time.Time) (*Trace, error) {
	id, err := ParseID(id)
	if err != nil {
		return nil, err
	}
	now := s.now()
	all := Range{to, earliest, now.Add(48 * time.Hour)}
	var stretches []Range
	switch {
	case !start.IsZero() && !end.IsZero() && !end.Before(start):
		stretches = append(stretches, Range{to, start, end}.wider(start, end))
	case !start.IsZero():
		stretches = append(stretches, Range{to, start.Add(-slack), all.End})
	default:
		stretches = append(stretches, Range{to, now.Add(-2 * time.Hour), all.End}, Range{to, now.Add(-48 * time.Hour), all.End})
	}
	for _, r := range append(stretches, all) {
		var first, last time.Time
		err := s.count(ctx, r, within([]string{id})+` | stats min(_time) first, max(_time) last, count() spans`, func(m row) error {
			if m.number("spans") > 0 {
				first, last = m.time("first"), m.time("last")
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if first.IsZero() {
			continue
		}
		list, err := s.read(ctx, r.wider(first, last), []string{id})
		if err != nil || len(list) == 0 {
			return nil, err
		}
		return list[0], nil
	}
	return nil, fmt.Errorf("%w: no span of %s is stored within your reach", ErrNotFound, id)
}

// read reads all spans of the traces in the range. Of a very large trace, and
// of very many, only a part is read; Truncated says so.
func (s *Service) read(ctx context.Context, r Range, ids []string) ([]*Trace, error) {
	sizes := map[string]int64{}
	var total int64
	err := s.count(ctx, r, within(ids)+` | stats by ("trace.id") count() spans`, func(m row) error {
		sizes[full(m.text("trace.id"))] += m.number("spans")
		total += m.number("spans")
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Large traces are read one by one, in order of time, so that their
	// beginning is there; the others all at once.
	var small []string
	left := maxBytes
	var list []*Trace
	for _, id := range ids {
		if sizes[id] <= MaxSpans && total <= 10*MaxSpans {
			small = append(small, id)
			continue
		}
		part, err := s.readPart(ctx, r, []string{id}, fmt.Sprintf(" | sort by (_time) limit %d", MaxSpans), &left)
		if err != nil {
			return nil, err
		}
		for _, t := range part {
			t.Truncated = t.Truncated || sizes[id] > MaxSpans
		}
		list = append(list, part...)
		if left < 0 {
			break
		}
	}
	if len(small) > 0 && left > 0 {
		part, err := s.readPart(ctx, r, small, "", &left)
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
	}
	return list, nil
}

// readPart reads the spans of some traces. Where the bytes left do not suffice,
// all traces read are marked as truncated, since any of them may lack spans.
func (s *Service) readPart(ctx context.Context, r Range, ids []string, pipes string, left *int) ([]*Trace, error) {
	rd := reader{veil: r.Reach.Veil()}
	at := map[string]*Trace{}
	var list []*Trace
	cut, err := s.ask(ctx, r, within(ids)+pipes, left, func(m row) error {
		span := rd.span(m)
		t := at[span.TraceID]
		if t == nil {
			t = &Trace{ID: span.TraceID}
			at[span.TraceID] = t
			list = append(list, t)
		}
		t.Spans = append(t.Spans, span)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		t.Truncated = cut
		t.order()
	}
	return list, nil
}

// order puts the spans in order of time and leaves out those that were sent
// more than once.
func (t *Trace) order() {
	slices.SortStableFunc(t.Spans, func(a, b *Span) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	type identity struct {
		id, parent, name, kind, service, tenant string
		start                                   int64
		duration                                time.Duration
	}
	seen := make(map[identity]bool, len(t.Spans))
	t.Spans = slices.DeleteFunc(t.Spans, func(s *Span) bool {
		i := identity{s.ID, s.Parent, s.Name, s.Kind, s.Resource.Service, s.Tenant, s.Start.UnixNano(), s.Duration}
		if s.ID == "" || !seen[i] {
			seen[i] = true
			return false
		}
		return true
	})
}

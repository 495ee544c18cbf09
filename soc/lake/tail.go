package lake

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// Span is a stretch of event time, both ends included, in Unix nanoseconds.
type Span struct{ From, To int64 }

// Times further apart than SpanGap are separate spans, so that one event with an
// old time does not make a look read all between; MaxSpans are the most of a
// batch and of a look.
const (
	SpanGap  = 5 * time.Minute
	MaxSpans = 16
)

// Join puts stretches in order and makes one of those that overlap or lie near,
// and then of the nearest ones while there are more than MaxSpans.
func Join(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int {
		switch {
		case a.From < b.From:
			return -1
		case a.From > b.From:
			return 1
		}
		return 0
	})
	for within := int64(SpanGap); ; {
		var out []Span
		nearest := int64(math.MaxInt64)
		for _, s := range spans {
			if n := len(out); n > 0 {
				gap := s.From - out[n-1].To
				if gap <= within {
					out[n-1].To = max(out[n-1].To, s.To)
					continue
				}
				nearest = min(nearest, gap)
			}
			out = append(out, s)
		}
		if len(out) <= MaxSpans {
			return out
		}
		spans, within = out, nearest
	}
}

// Arrived is an event of Arrivals.
type Arrived struct {
	ID  event.ID
	Row json.RawMessage
}

// wholeEvents are the pipes after which a row is no longer an event with an id.
var wholeEvents = []string{"fields", "keep", "delete", "del", "rm", "drop", "rename", "mv", "unroll"}

// CheckTail tells whether a query can be followed live. Its Start and End are
// not looked at.
func (l *Lake) CheckTail(q Query) error {
	_, err := l.parseTail(q)
	return err
}

func (l *Lake) parseTail(q Query) (*logstorage.Query, error) {
	q.Start, q.End = time.Unix(0, 0), time.Unix(1, 0)
	p, err := l.read(q)
	if err != nil {
		return nil, err
	}
	for _, pipe := range pipes(p.String()) {
		switch {
		case pipe.inner:
			return nil, queryError(q.LogsQL, "a live tail cannot hold a query inside of the query, such as in(… | …), join and union; name the values")
		case slices.Contains(wholeEvents, pipe.name):
			return nil, queryError(q.LogsQL, "a live tail shows whole events, so the pipe %s is not available; leave it out", pipe.name)
		}
	}
	if !p.CanLiveTail() {
		return nil, queryError(q.LogsQL, "a live tail shows events one by one, so pipes that sort, count or limit are not available; leave them out")
	}
	if q.Veil == nil {
		return p, nil
	}
	return l.veiled(q, p)
}

// Batches hands over the events of the raw batches from one sequence to another
// that pass the query, in no order. Only events whose time lies in one of the
// spans are looked for; Start, End and Limit of the query are not looked at. row
// is valid during the call only.
func (l *Lake) Batches(ctx context.Context, q Query, from, to uint64, spans []Span, emit func(row []byte) error) error {
	p, err := l.parseTail(q)
	if err != nil || len(q.Accounts) == 0 {
		return err
	}
	batches, err := logstorage.ParseFilter(sequences(from, to))
	if err != nil {
		return fmt.Errorf("lake: batches: %w", err)
	}
	text := p.String()
	q.Limit = 0
	for _, s := range spans {
		if p, err = logstorage.ParseQuery(text); err != nil {
			return fmt.Errorf("lake: batches: %w", err)
		}
		p.AddExtraFilters(batches)
		if _, err := l.runRows(ctx, p, q, time.Unix(0, s.From), time.Unix(0, s.To), emit); err != nil {
			return err
		}
	}
	return nil
}

// Arrivals returns the events of the raw batches from one sequence to another
// that pass the query, in the order in which they were taken in, at most
// q.Limit, and how many more there are. Only events whose time lies in one of
// the spans are looked for; Start and End of the query are not looked at.
func (l *Lake) Arrivals(ctx context.Context, q Query, from, to uint64, spans []Span) (list []Arrived, more uint64, err error) {
	p, err := l.parseTail(q)
	if err != nil || len(q.Accounts) == 0 {
		return nil, 0, err
	}
	text := p.String()
	batches, err := logstorage.ParseFilter(sequences(from, to))
	if err != nil {
		return nil, 0, fmt.Errorf("lake: tail: %w", err)
	}
	ask := func(s Span, pipe string, emit func([]byte) error) error {
		p, err := logstorage.ParseQuery(text + " | " + pipe)
		if err != nil {
			return fmt.Errorf("lake: tail: %w", err)
		}
		p.AddExtraFilters(batches)
		part := q
		part.Limit = 0
		_, err = l.runRows(ctx, p, part, time.Unix(0, s.From), time.Unix(0, s.To), emit)
		return err
	}
	for _, s := range spans {
		left, n := q.Limit-len(list), 0
		err := ask(s, fmt.Sprintf("sort by (%q) limit %d", fieldID, left+1), func(b []byte) error {
			if n++; n > left {
				return nil
			}
			var row struct {
				ID string `json:"event.id"`
			}
			if err := json.Unmarshal(b, &row); err != nil {
				return err
			}
			if id, ok := event.ParseID(row.ID); ok {
				list = append(list, Arrived{id, slices.Clone(b)})
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
		if n <= left {
			continue
		}
		var count uint64
		err = ask(s, "stats count() tail_rows", func(b []byte) error {
			var row struct {
				N string `json:"tail_rows"`
			}
			if err := json.Unmarshal(b, &row); err != nil {
				return err
			}
			count, err = strconv.ParseUint(row.N, 10, 64)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		more += count - min(count, uint64(left))
	}
	slices.SortFunc(list, func(a, b Arrived) int {
		if c := strings.Compare(a.ID.Epoch, b.ID.Epoch); c != 0 {
			return c
		}
		if a.ID.Sequence != b.ID.Sequence {
			if a.ID.Sequence < b.ID.Sequence {
				return -1
			}
			return 1
		}
		return int(a.ID.Index) - int(b.ID.Index)
	})
	return list, more, nil
}

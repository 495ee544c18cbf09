package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"icewatch/soc/lake"
	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/veil"
)

// searchHandlers answer what an analyst asks beyond rows and counts.
func (e *Engine) searchHandlers(handle func(name string, answer func(ctx context.Context, q question, w *bufio.Writer) error), lq func(question) lake.Query) {
	one := func(w *bufio.Writer, v any, err error) error {
		if err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(v)
	}
	handle("context", func(ctx context.Context, q question, w *bufio.Writer) error {
		if q.Around == nil {
			return errors.New("engine: a question for context without an event")
		}
		s, err := e.lake.Context(ctx, lq(q), *q.Around)
		return one(w, s, err)
	})
	handle("facets", func(ctx context.Context, q question, w *bufio.Writer) error {
		f, err := e.lake.Facets(ctx, lq(q), q.Fields, q.Limit)
		return one(w, f, err)
	})
	handle("fieldstats", func(ctx context.Context, q question, w *bufio.Writer) error {
		s, err := e.lake.FieldStats(ctx, lq(q), q.Field, q.Limit)
		return one(w, s, err)
	})
}

// Context implements search.Store.
func (c *Client) Context(ctx context.Context, within reach.Reach, around search.Around) (s search.Surroundings, err error) {
	q := c.plainly(within)
	q.Around = &around
	if err = c.ask(ctx, "context", q, into(&s)); err != nil {
		return s, err
	}
	v := within.Veil()
	s.Anchor = v.Row(s.Anchor)
	for _, rows := range [][]json.RawMessage{s.Before, s.After} {
		for i := range rows {
			rows[i] = v.Row(rows[i])
		}
	}
	if v.Touches("host.name") && (s.By == search.ByHost || s.By == search.ByStream) {
		s.Value = veil.Hidden
	}
	return s, nil
}

// Facets implements search.Store.
func (c *Client) Facets(ctx context.Context, r search.Request, fields []string, limit int) (f search.Facets, err error) {
	q := c.question(r)
	q.Fields, q.Limit = fields, limit
	err = c.ask(ctx, "facets", q, into(&f))
	for i := range f.Facets {
		facet := &f.Facets[i]
		facet.Masked = r.Reach.Veil().Touches(facet.Field)
		facet.Values = veiledHits(r.Reach.Veil(), facet.Field, facet.Values)
	}
	return f, err
}

// FieldStats implements search.Store.
func (c *Client) FieldStats(ctx context.Context, r search.Request, field string, limit int) (s search.FieldStats, err error) {
	q := c.question(r)
	q.Field, q.Limit = field, limit
	err = c.ask(ctx, "fieldstats", q, into(&s))
	v := r.Reach.Veil()
	if s.Masked = v.Touches(field); s.Masked {
		s.Values = veiledHits(v, field, s.Values)
		s.Min, s.Max = v.Value(field, s.Min), v.Value(field, s.Max)
		telling := v.Hides(field) || strings.Contains(s.Min+s.Max, veil.Hidden)
		for _, figure := range []*float64{s.Sum, s.Average, s.P50, s.P95, s.P99} {
			if figure != nil {
				// Of one event the sum is the value.
				text := strconv.FormatFloat(*figure, 'f', -1, 64)
				telling = telling || v.Value(field, text) != text
			}
		}
		if telling {
			s.Min, s.Max, s.Numeric, s.Sum, s.Average, s.P50, s.P95, s.P99 = "", "", false, nil, nil, nil, nil, nil
		}
	}
	return s, err
}

// veiledHits masks the values of a field; those that look alike then are
// counted together.
func veiledHits(v *veil.Veil, field string, list []search.ValueHits) []search.ValueHits {
	if !v.Touches(field) {
		return list
	}
	out := list[:0]
	at := map[string]int{}
	for _, h := range list {
		h.Value = v.Value(field, h.Value)
		if i, ok := at[h.Value]; ok {
			out[i].Hits += h.Hits
			continue
		}
		at[h.Value] = len(out)
		out = append(out, h)
	}
	return out
}

// compile makes the veil of the question's rules. A question whose veil cannot
// be made must not be answered.
func (q *question) compile() (err error) {
	q.hidden, err = veil.New(q.Veil, nil)
	return err
}

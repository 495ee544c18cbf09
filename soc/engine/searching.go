package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"

	"icewatch/soc/lake"
	"icewatch/soc/reach"
	"icewatch/soc/search"
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
	q := c.within(within)
	q.Around = &around
	err = c.ask(ctx, "context", q, into(&s))
	return s, err
}

// Facets implements search.Store.
func (c *Client) Facets(ctx context.Context, r search.Request, fields []string, limit int) (f search.Facets, err error) {
	q := c.question(r)
	q.Fields, q.Limit = fields, limit
	err = c.ask(ctx, "facets", q, into(&f))
	return f, err
}

// FieldStats implements search.Store.
func (c *Client) FieldStats(ctx context.Context, r search.Request, field string, limit int) (s search.FieldStats, err error) {
	q := c.question(r)
	q.Field, q.Limit = field, limit
	err = c.ask(ctx, "fieldstats", q, into(&s))
	return s, err
}

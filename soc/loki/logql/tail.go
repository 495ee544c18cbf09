package logql

import (
	"context"
	"fmt"

	"github.com/grafana/loki/v3/pkg/logql/syntax"

	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// Tailed is what happens in a live tail: a line, lines left out since there
// were too many at a time, or neither, which is a sign of life. The first may be
// any of these and says that the query is good.
type Tailed struct {
	Line    *Line
	Dropped uint64
}

// Tail hands over the lines of a log query as they are stored, until ctx ends
// or emit fails.
func (e *Engine) Tail(ctx context.Context, within reach.Reach, expr syntax.LogSelectorExpr, emit func(Tailed) error) error {
	pipeline, err := expr.Pipeline()
	if err != nil {
		return err
	}
	matchers := expr.Matchers()
	kinds := []string{has(fieldLabels)}
	if within.Veil() == nil {
		kinds[0], _ = pushedSieve(matchers)
	}
	if events, ok := eventSieve(matchers); ok {
		kinds = append(kinds, events)
	}
	d := newDecoder(matching(matchers), named(expr), true)
	var rec record
	return settle(e.store.Tail(ctx, search.Tailing{Reach: within, Query: all(oneOf(kinds...), lineSieve(stagesOf(expr)))}, func(t search.Tailed) error {
		if len(t.Row) == 0 {
			return emit(Tailed{Dropped: t.Dropped})
		}
		skip, err := d.decode(t.Row, &rec)
		if err != nil {
			return fmt.Errorf("the live tail: %w", err)
		}
		if skip {
			return emit(Tailed{})
		}
		s := pipeline.ForStream(rec.stream.labels)
		text, set, ok := s.ProcessString(rec.time, rec.line, rec.metadata)
		if !ok {
			return emit(Tailed{})
		}
		return emit(Tailed{Line: newLine(&rec, text, set)})
	}))
}

package hits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fastjson"

	"icewatch/soc/elastic/dsl"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// Oldest is where a search begins that says nothing about time.
var Oldest = time.Unix(0, 0)

// Lake asks the store for rows.
type Lake struct {
	Store search.Store
	Now   func() time.Time // a search that says nothing about time ends a day later
}

// newest is where a search ends that says nothing about time: the lake takes
// events an hour ahead.
func (l *Lake) newest() time.Time { return l.Now().Add(25 * time.Hour) }

// Everywhere is a question about rows of any time.
func (l *Lake) Everywhere(within reach.Reach, query string) search.Request {
	return search.Request{Reach: within, Query: query, Start: Oldest, End: l.newest()}
}

// Rows asks the lake and hands over its rows as maps.
func (l *Lake) Rows(ctx context.Context, req search.Request, emit func(row map[string]string) error) error {
	var p fastjson.Parser
	return l.Store.Query(ctx, req, func(raw []byte) error {
		v, err := p.ParseBytes(raw)
		if err != nil {
			return fmt.Errorf("elastic: a row of the lake: %w", err)
		}
		o, err := v.Object()
		if err != nil {
			return fmt.Errorf("elastic: a row of the lake: %w", err)
		}
		row := make(map[string]string, o.Len())
		o.Visit(func(name []byte, v *fastjson.Value) { row[string(name)] = string(v.GetStringBytes()) })
		return emit(row)
	})
}

// Question is the question of a page to the lake, with a query of its own: it looks
// at the time that the page's query demands.
func (l *Lake) Question(within reach.Reach, p *Page, query string) search.Request {
	req := l.Everywhere(within, query)
	if !p.Compiler.Start.IsZero() && p.Compiler.Start.After(req.Start) {
		req.Start = p.Compiler.Start
	}
	if !p.Compiler.End.IsZero() && p.Compiler.End.Before(req.End) {
		req.End = p.Compiler.End
	}
	return req
}

// Void tells whether the time that the page's query demands is empty.
func (l *Lake) Void(within reach.Reach, p *Page) bool {
	req := l.Question(within, p, "")
	return !req.End.After(req.Start)
}

// Search answers with the page's events and with how many there are.
func (l *Lake) Search(ctx context.Context, within reach.Reach, p *Page) (map[string]any, error) {
	out := map[string]any{}
	hits := map[string]any{"max_score": nil, "hits": []any{}}
	out["hits"] = hits
	void := l.Void(within, p)
	total := uint64(0)
	if p.total != 0 && !void {
		err := l.Rows(ctx, l.Question(within, p, p.Filter+" | stats count() total"), func(row map[string]string) error {
			total, _ = strconv.ParseUint(row["total"], 10, 64)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if p.total != 0 {
		relation := "eq"
		if p.total > 0 && total > uint64(p.total) {
			total, relation = uint64(p.total), "gte"
		}
		hits["total"] = map[string]any{"value": total, "relation": relation}
		if p.asInteger {
			hits["total"] = total
		}
	}
	if p.size > 0 && !void && (p.total == 0 || total > 0) {
		rows, err := l.Hits(ctx, within, p)
		if err != nil {
			return nil, err
		}
		list := make([]any, 0, len(rows))
		var parser fastjson.Parser
		for _, row := range rows {
			list = append(list, p.Hit(&parser, row))
		}
		hits["hits"] = list
		if len(list) > 0 && len(p.sort) == 0 {
			hits["max_score"] = json.Number("1.0")
		}
	}
	return out, nil
}

var errEnough = errors.New("enough rows")

// Hits reads the rows of a page.
func (l *Lake) Hits(ctx context.Context, within reach.Reach, p *Page) ([]map[string]string, error) {
	filter, skip, err := p.afterFilter()
	if err != nil {
		return nil, err
	}
	var list []map[string]string
	take := func(row map[string]string) error {
		if skip != nil && skip(row) {
			return nil
		}
		list = append(list, row)
		if len(list) == p.size {
			return errEnough
		}
		return nil
	}
	newest := len(p.sort) == 0 || len(p.sort) == 1 && p.sort[0].column == "_time" && p.sort[0].desc
	if newest && skip == nil {
		req := l.Question(within, p, filter)
		req.Limit, req.Offset = p.size, p.from
		err := l.Rows(ctx, req, take)
		return list, ignoreEnough(err)
	}
	order := p.order()
	if skip != nil {
		// Events of the same values up to the last key are told apart here; how
		// many there are is not known before.
		for offset, page := 0, max(2*p.size, 100); ; offset, page = offset+page, min(page*4, maxWindow) {
			seen := 0
			err := l.Rows(ctx, l.Question(within, p, fmt.Sprintf("%s | sort by (%s) offset %d limit %d", filter, order, offset, page)), func(row map[string]string) error {
				seen++
				return take(row)
			})
			if err != nil || seen < page {
				return list, ignoreEnough(err)
			}
		}
	}
	first := p.sort[0]
	if first.column == "_time" || first.tie() || first.desc && !first.first || !first.desc && first.first {
		// The lake has what is missing come before all values.
		err := l.Rows(ctx, l.Question(within, p, fmt.Sprintf("%s | sort by (%s) offset %d limit %d", filter, order, p.from, p.size)), take)
		return list, ignoreEnough(err)
	}
	// Otherwise in two parts: those with a value, those without.
	with, without := dsl.And(filter, dsl.Present(first.column)), dsl.And(filter, dsl.Exactly(first.column, ""))
	parts := []string{with, without}
	if first.first {
		parts = []string{without, with}
	}
	from := p.from
	for i, part := range parts {
		err := l.Rows(ctx, l.Question(within, p, fmt.Sprintf("%s | sort by (%s) offset %d limit %d", part, order, from, p.size-len(list))), take)
		if err != nil || len(list) == p.size || i == 1 {
			return list, ignoreEnough(err)
		}
		if from > 0 {
			var n int
			err := l.Rows(ctx, l.Question(within, p, part+" | stats count() total"), func(row map[string]string) error {
				n, _ = strconv.Atoi(row["total"])
				return nil
			})
			if err != nil {
				return nil, err
			}
			from = max(0, from-n)
		}
	}
	return list, nil
}

func ignoreEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

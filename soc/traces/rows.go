package traces

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fastjson"

	"icewatch/soc/search"
)

// row is one row of a query's answer. It is valid during the call only.
type row struct{ *fastjson.Value }

// text is a field's value, "" where the row has none. It may be kept.
func (r row) text(name string) string { return string(r.GetStringBytes(name)) }

func (r row) bytes(name string) []byte { return r.GetStringBytes(name) }

// number is a field's value as a whole number that is not negative, 0 where it is none.
func (r row) number(name string) int64 {
	text := string(r.GetStringBytes(name))
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return max(n, 0)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 && f < 1<<62 {
		return int64(f)
	}
	return 0
}

func (r row) time(name string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, string(r.GetStringBytes(name)))
	return t.UTC()
}

// errFull ends a query whose answer is as large as it may be.
var errFull = errors.New("the answer is full")

// ask runs a query over the range and hands over its rows. cut tells that there
// were more bytes than left, which it counts down.
func (s *Service) ask(ctx context.Context, r Range, query string, left *int, each func(row) error) (cut bool, err error) {
	if r = r.possible(); r.Reach.Nothing() || !r.End.After(r.Start) {
		return false, nil
	}
	var p fastjson.Parser
	err = s.search.Query(ctx, search.Request{Reach: r.Reach, Query: query, Start: r.Start, End: r.End}, func(b []byte) error {
		if *left -= len(b); *left < 0 {
			return errFull
		}
		v, err := p.ParseBytes(b)
		if err != nil {
			return fmt.Errorf("traces: a row of the lake: %w", err)
		}
		return each(row{v})
	})
	if errors.Is(err, errFull) {
		return true, nil
	}
	return false, err
}

// count runs a query that counts, whose answer is small.
func (s *Service) count(ctx context.Context, r Range, query string, each func(row) error) error {
	left := maxBytes
	cut, err := s.ask(ctx, r, query, &left, each)
	if cut {
		return fmt.Errorf("%w: it has more than %d bytes of answer; narrow it down", ErrInvalid, maxBytes)
	}
	return err
}

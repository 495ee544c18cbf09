// Package traces answers questions about distributed traces: which there are,
// how one of them ran, what services and operations they pass, and which
// service calls which.
//
// A span is a row of the lake like any other ("data_stream.type" is traces), so
// everything is asked in the lake's own language and by the ordinary way of
// searches: a reach sees of traces what it sees of events, and masked fields
// are masked in spans too. What can be counted there is counted there; only the
// spans of the traces that are shown, and the edges of the service map, come
// over as rows, each within a bound.
package traces

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/reach"
	"icewatch/soc/search"
)

var (
	// ErrInvalid says that a question cannot be asked like this; the error that
	// wraps it says why.
	ErrInvalid = errors.New("the question about traces is not valid")
	// ErrNotFound says that there is no such trace within the reach asked.
	ErrNotFound = errors.New("trace not found")
)

// Bounds of answers.
const (
	MaxTraces   = 1500     // of a search
	MaxSpans    = 20_000   // of one trace; of a larger one the first in time are read
	maxBytes    = 64 << 20 // of all rows read for one answer
	maxNames    = 10_000   // services, or operations of one
	maxMapSpans = 250_000  // that a service map is made of; beyond it a share of the traces is looked at
)

// slack is how far around the spans that a search finds, or around the times
// given with a trace's id, the other spans of the trace are looked for.
const slack = time.Hour

// Spans is the filter of the rows that are spans.
const Spans = `"data_stream.type":=traces`

// Searcher answers searches; the engine's client does.
type Searcher interface {
	Query(ctx context.Context, req search.Request, emit func(row []byte) error) error
}

// Service answers questions about traces.
type Service struct {
	search Searcher
	now    func() time.Time
}

// New makes a service.
func New(s Searcher) *Service { return &Service{search: s, now: time.Now} }

// Range is what spans a question is about: those that began in [Start, End).
type Range struct {
	Reach      reach.Reach
	Start, End time.Time
}

// wider is the range with the slack to either side.
func (r Range) wider(first, last time.Time) Range {
	r.Start, r.End = first.Add(-slack), last.Add(slack)
	return r
}

// The first and the last time that the lake can be asked for.
var (
	earliest = time.Unix(0, 0)
	latest   = time.Unix(0, math.MaxInt64)
)

// possible is the part of the range that times in nanoseconds can tell.
func (r Range) possible() Range {
	if r.Start.Before(earliest) {
		r.Start = earliest
	}
	if r.End.After(latest) {
		r.End = latest
	}
	return r
}

// Tag is a condition on an attribute of a span or of its resource.
type Tag struct{ Key, Value string }

// Filter picks spans; the zero value picks all.
type Filter struct {
	Service     string
	Operation   string
	Kind        string // internal, server, client, producer or consumer
	Tags        []Tag  // all of them
	MinDuration time.Duration
	MaxDuration time.Duration // 0 is no bound
	Failed      bool          // only spans whose status is an error
	LogsQL      string        // a further filter without pipes
}

// is a condition that a field has exactly this value.
func is(field, value string) string { return strconv.Quote(field) + ":=" + strconv.Quote(value) }

// logsQL is the filter in the lake's language, without pipes.
func (f *Filter) logsQL() (string, error) {
	parts := []string{Spans}
	for _, c := range []struct{ field, value string }{{"service.name", f.Service}, {"span.name", f.Operation}, {"span.kind", f.Kind}} {
		if c.value != "" {
			parts = append(parts, is(c.field, c.value))
		}
	}
	if f.MaxDuration > 0 && f.MaxDuration < f.MinDuration {
		return "", fmt.Errorf("%w: the longest duration %s is shorter than the shortest %s", ErrInvalid, f.MaxDuration, f.MinDuration)
	}
	if f.MinDuration > 0 {
		parts = append(parts, fmt.Sprintf(`"event.duration":>=%d`, f.MinDuration.Nanoseconds()))
	}
	if f.MaxDuration > 0 {
		parts = append(parts, fmt.Sprintf(`"event.duration":<=%d`, f.MaxDuration.Nanoseconds()))
	}
	if f.Failed {
		parts = append(parts, failed)
	}
	for _, t := range f.Tags {
		if t.Key == "" {
			return "", fmt.Errorf("%w: a tag has no name; one like http.request.method=GET is expected", ErrInvalid)
		}
		parts = append(parts, t.logsQL())
	}
	if own := strings.TrimSpace(f.LogsQL); own != "" && own != "*" {
		parsed, err := logstorage.ParseQuery(own)
		if err != nil {
			return "", fmt.Errorf("%w: %q is no LogsQL: %w", ErrInvalid, own, err)
		}
		whole := parsed.String()
		if parsed.DropAllPipes(); parsed.String() != whole {
			return "", fmt.Errorf("%w: %q has pipes; only a filter can narrow the spans", ErrInvalid, own)
		}
		parts = append(parts, "("+whole+")")
	}
	return strings.Join(parts, " "), nil
}

// failed is the filter of spans whose status is an error.
const failed = `"event.outcome":=failure`

// ParseID reads a trace's id as people and programs give it, one to 32
// hexadecimal digits, and returns it in full: lower case and 32 digits.
func ParseID(s string) (string, error) {
	if s == "" || len(s) > 32 {
		return "", fmt.Errorf("%w: the id %q of a trace has %d characters; 1 to 32 hexadecimal digits are expected", ErrInvalid, clip(s), len(s))
	}
	full := strings.ToLower(strings.Repeat("0", 32-len(s)) + s)
	if _, err := hex.DecodeString(full); err != nil {
		return "", fmt.Errorf("%w: the id %q of a trace is not hexadecimal", ErrInvalid, s)
	}
	return full, nil
}

// clip shortens what is quoted in an error.
func clip(s string) string {
	if len(s) <= 64 {
		return s
	}
	return strings.ToValidUTF8(s[:64], "") + "…"
}

// within is the filter of the spans of these traces, whose ids are in full.
// Senders of 64-bit ids may have left the zeros out.
func within(ids []string) string {
	var b strings.Builder
	b.WriteString(Spans + ` "trace.id":in(`)
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(id))
		if short, ok := strings.CutPrefix(id, zeros); ok {
			b.WriteString("," + strconv.Quote(short))
		}
	}
	b.WriteByte(')')
	return b.String()
}

// zeros begin a 64-bit id in full.
const zeros = "0000000000000000"

package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
	"icewatch/soc/search"
	"icewatch/soc/search/clause"
	"icewatch/soc/veil"
)

// Query is one question to the lake. Accounts are the tenants it may see; an
// empty list sees nothing. Where of their rows only some may be seen, Filter
// (LogsQL without pipes) picks them, for the query and for every query inside
// of it; nothing that the query itself says gets around it.
type Query struct {
	Accounts []uint32
	Filter   string
	LogsQL   string
	// Veil is what the caller may not see of rows; nil hides nothing. Group is
	// a filter of his own beside LogsQL that is looked at through it, "" for none.
	Veil  *veil.Veil
	Group string

	Start  time.Time // inclusive
	End    time.Time // inclusive
	Limit  int       // rows at most; 0 means no bound
	Offset int       // rows to skip, where the query does not sort or count for itself
}

var errEnough = errors.New("enough rows")

// parse reads the query and veils it.
func (l *Lake) parse(q Query) (*logstorage.Query, error) {
	p, err := l.read(q)
	if err != nil || q.Veil == nil {
		return p, err
	}
	return l.veiled(q, p)
}

// parseFilter is parse without the query's pipes.
func (l *Lake) parseFilter(q Query) (*logstorage.Query, error) {
	p, err := l.read(q)
	if err != nil {
		return nil, err
	}
	p.DropAllPipes()
	if q.Veil == nil {
		return p, nil
	}
	return l.veiled(q, p)
}

// with adds pipes to a query that was parsed.
func (q Query) with(p *logstorage.Query, pipes string) (*logstorage.Query, error) {
	out, err := logstorage.ParseQuery(p.String() + " | " + pipes)
	if err != nil {
		return nil, fmt.Errorf("lake: the query %q with %q: %w", q.LogsQL, pipes, err)
	}
	return out, nil
}

// read reads the query, has words without a field looked for everywhere, and
// refuses what would get around accounts and filter.
// It leaves the filter to confine, which must be called before the query runs.
func (l *Lake) read(q Query) (*logstorage.Query, error) {
	text := q.LogsQL
	if strings.TrimSpace(text) == "" {
		text = "*"
	}
	p, err := logstorage.ParseQuery(clause.Widen(text))
	if err != nil {
		fault := clause.Fault(text, err)
		return nil, &search.QueryError{Query: q.LogsQL, Position: fault.Position, Reason: "it is not valid LogsQL: " + fault.Message}
	}
	if strings.Contains(p.String(), "ignore_global_time_filter") {
		// A query within the query would read all there is, whatever the time asked for.
		return nil, queryError(q.LogsQL, "the option ignore_global_time_filter is not available; ask for a longer time range")
	}
	for _, pipe := range pipes(p.String()) {
		switch {
		case pipe.name == "stream_context":
			// It reads streams by id, past accounts, filter and time range; it
			// stays shut until there is a context search of our own.
			return nil, queryError(q.LogsQL, "the pipe stream_context is not available; search the time around the event instead")
		case q.Filter != "" && slices.Contains(blockPipes, pipe.name):
			return nil, queryError(q.LogsQL, "the pipe %s tells of whole blocks of storage and so of more than your data scope covers; use the list of fields, stats or pack_json instead", pipe.name)
		}
	}
	x := explicit{names: l.names.all()}
	said := x.query(p.String())
	if x.fault != "" {
		return nil, queryError(q.LogsQL, "%s", x.fault)
	}
	if p, err = logstorage.ParseQuery(said); err != nil {
		return nil, fmt.Errorf("lake: the query %q, with words looked for everywhere: %w", q.LogsQL, err)
	}
	if !q.End.After(q.Start) {
		return nil, queryError(q.LogsQL, "the time range is empty: it starts %s and ends %s", q.Start.Format(time.RFC3339), q.End.Format(time.RFC3339))
	}
	return p, nil
}

// blockPipes look at blocks as they are stored, with the rows that the filters
// left out; pack_logfmt writes the names of their fields.
var blockPipes = []string{"block_stats", "blocks_count", "field_names", "pack_logfmt"}

// confine adds time range and filter to the query and to every query inside of
// it. It comes last: what is printed and parsed again afterwards would have the
// filter as a part of its text only.
func (q Query) confine(p *logstorage.Query, start, end time.Time) error {
	p.AddTimeFilter(start.UnixNano(), end.UnixNano())
	if end.UnixNano()%10 == 0 {
		// The library takes an end that it can write with fewer digits for all of
		// that time: 08:00:02 for 08:00:02.999999999.
		until, err := logstorage.ParseFilter("_time:<" + end.Add(1).UTC().Format(time.RFC3339Nano))
		if err != nil {
			return fmt.Errorf("lake: the end of a query: %w", err)
		}
		p.AddExtraFilters(until)
	}
	if q.Filter == "" {
		return nil
	}
	f, err := logstorage.ParseFilter(q.Filter)
	if err != nil {
		// Ours, not the user's: never answer without it.
		return fmt.Errorf("lake: the filter of a data scope: %w", err)
	}
	p.AddExtraFilters(f)
	return nil
}

// pipe is one pipe of a query.
type pipe struct {
	name  string
	inner bool // it belongs to a query inside of the query
}

// pipes lists the pipes in a query as the library prints it; what stands in
// quotes is none.
func pipes(query string) []pipe {
	var list []pipe
	var quote byte
	depth := 0
	for i := 0; i < len(query); i++ {
		c := query[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|':
			rest := strings.TrimLeft(query[i+1:], " \t\n")
			end := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) })
			if end < 0 {
				end = len(rest)
			}
			list = append(list, pipe{strings.ToLower(rest[:end]), depth > 0})
		}
	}
	return list
}

// Rows hands over the matching rows as flat JSON objects, newest first unless
// the query sorts or counts for itself. row is valid during the call only.
func (l *Lake) Rows(ctx context.Context, q Query, emit func(row []byte) error) error {
	p, err := l.parse(q)
	if err != nil {
		return err
	}
	if len(q.Accounts) == 0 {
		return nil
	}
	if !p.CanReturnLastNResults() || q.Limit <= 0 {
		if q.Limit > 0 {
			p.AddPipeLimit(uint64(q.Limit))
		}
		_, err := l.runRows(ctx, p, q, q.Start, q.End, emit)
		return err
	}
	// Newest first: look at the youngest stretch, then at ever longer ones
	// before it, until there are enough rows. A query inside of the query has
	// to see the whole range each time; then there is one stretch.
	span := 5 * time.Minute
	if slices.ContainsFunc(pipes(p.String()), func(x pipe) bool { return x.inner }) {
		span = q.End.Sub(q.Start)
	}
	left, skip := q.Limit+q.Offset, q.Offset
	emitAfter := func(row []byte) error {
		if skip > 0 {
			skip--
			return nil
		}
		return emit(row)
	}
	end := q.End
	for ; left > 0 && !end.Before(q.Start); span *= 4 {
		start := end.Add(-span)
		if start.Before(q.Start) {
			start = q.Start
		}
		part := q
		pp, err := q.with(p, "sort by (_time desc) limit "+strconv.Itoa(left))
		if err != nil {
			return err
		}
		part.Limit = left
		n, err := l.runRows(ctx, pp, part, start, end, emitAfter)
		if err != nil {
			return err
		}
		left -= n
		end = start.Add(-1)
	}
	return nil
}

func (l *Lake) runRows(ctx context.Context, p *logstorage.Query, q Query, start, end time.Time, emit func([]byte) error) (int, error) {
	out := renderer{whole: l.wholeRows(q, p)}
	// The library leaves out rows whose stream its index does not know yet, or
	// not any more after a crash, where it has to tell the stream.
	p, err := logstorage.ParseQuery(p.String() + " | delete _stream, _stream_id")
	if err != nil {
		return 0, fmt.Errorf("lake: the query %q without streams: %w", q.LogsQL, err)
	}
	if err := q.confine(p, start, end); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu    sync.Mutex
		count int
		buf   []byte
		fail  error
	)
	err = l.run(ctx, q.Accounts, p, func(_ uint, db *logstorage.DataBlock) {
		mu.Lock()
		defer mu.Unlock()
		out.block(l.unveil(db.Columns))
		for i := range db.RowsCount() {
			if fail != nil || (q.Limit > 0 && count >= q.Limit) {
				return
			}
			buf = out.appendRow(buf[:0], i)
			if fail = emit(buf); fail != nil {
				cancel(fail)
				return
			}
			count++
		}
	})
	if fail != nil {
		return count, fail
	}
	if err != nil {
		return count, queryFailed(ctx, q.LogsQL, err)
	}
	return count, nil
}

func queryError(query, format string, args ...any) error {
	return &search.QueryError{Query: query, Position: -1, Reason: fmt.Sprintf(format, args...)}
}

func queryFailed(ctx context.Context, query string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, search.ErrUnavailable) {
		return err
	}
	return queryError(query, "it failed: %s", err)
}

// Histogram counts the matching rows in n bars of equal length over the whole
// range; bars without rows are there with 0. Pipes of the query are left out.
func (l *Lake) Histogram(ctx context.Context, q Query, n int) (search.Histogram, error) {
	p, err := l.parseFilter(q)
	if err != nil {
		return search.Histogram{}, err
	}
	step := search.Step(q.End.Sub(q.Start), n)
	start := q.Start.Truncate(step)
	h := search.Histogram{StepMS: step.Milliseconds()}
	for t := start; !t.After(q.End); t = t.Add(step) {
		h.Buckets = append(h.Buckets, search.Bucket{Time: t})
	}
	if len(q.Accounts) == 0 {
		return h, nil
	}
	p.AddCountByTimePipe(int64(step), 0, nil)
	if err := q.confine(p, q.Start, q.End); err != nil {
		return search.Histogram{}, err
	}
	var mu sync.Mutex
	err = l.run(ctx, q.Accounts, p, func(_ uint, db *logstorage.DataBlock) {
		mu.Lock()
		defer mu.Unlock()
		times, ok := db.GetTimestamps(nil)
		if !ok {
			return
		}
		hits := db.Columns[len(db.Columns)-1].Values
		for i, ts := range times {
			c, err := strconv.ParseUint(hits[i], 10, 64)
			if at := int(time.Unix(0, ts).Sub(start) / step); err == nil && at >= 0 && at < len(h.Buckets) {
				h.Buckets[at].Count += c
				h.Total += c
			}
		}
	})
	if err != nil {
		return search.Histogram{}, queryFailed(ctx, q.LogsQL, err)
	}
	return h, nil
}

// Fields lists the fields of the matching rows, most frequent first. Pipes of
// the query are left out.
func (l *Lake) Fields(ctx context.Context, q Query, limit int) ([]search.ValueHits, error) {
	p, err := l.parseFilter(q)
	if err != nil || len(q.Accounts) == 0 {
		return nil, err
	}
	base := p.Clone(p.GetTimestamp())
	if err := q.confine(p, q.Start, q.End); err != nil {
		return nil, err
	}
	found, err := l.fieldNames(ctx, q.Accounts, p)
	if err != nil {
		return nil, queryFailed(ctx, q.LogsQL, err)
	}
	list := make([]search.ValueHits, 0, len(found))
	for _, v := range found {
		if v.Value != "" && v.Value != "_stream" && v.Value != "_stream_id" && v.Value != fieldRaw && !strings.HasPrefix(v.Value, l.aside) {
			list = append(list, search.ValueHits{Value: strings.Clone(v.Value), Hits: v.Hits})
		}
	}
	if q.Filter != "" || q.Veil != nil {
		// The library counts a field for every row of a block in which one has
		// it: that would tell of rows that may not be seen.
		if list, err = l.countFields(ctx, q, base, list); err != nil {
			return nil, err
		}
	}
	for i := range list {
		list[i].Value = outsideName(list[i].Value)
	}
	return mostFrequent(list, limit), nil
}

// countFields counts in how many matching rows each field has a value, and
// leaves out those that have none.
func (l *Lake) countFields(ctx context.Context, q Query, base *logstorage.Query, fields []search.ValueHits) ([]search.ValueHits, error) {
	const column = "icewatch_rows_with_"
	counted := fields[:0]
	for part := range slices.Chunk(slices.Clone(fields), 200) {
		var b strings.Builder
		b.WriteString("stats ")
		for i, f := range part {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "count(%s) %s%d", strconv.Quote(f.Value), column, i)
		}
		p, err := q.with(base, b.String())
		if err != nil {
			return nil, err
		}
		if err := q.confine(p, q.Start, q.End); err != nil {
			return nil, err
		}
		var mu sync.Mutex
		err = l.run(ctx, q.Accounts, p, func(_ uint, db *logstorage.DataBlock) {
			mu.Lock()
			defer mu.Unlock()
			for _, c := range db.Columns {
				at, err := strconv.Atoi(strings.TrimPrefix(c.Name, column))
				if err != nil || at >= len(part) || len(c.Values) != 1 {
					continue
				}
				if n, err := strconv.ParseUint(c.Values[0], 10, 64); err == nil && n > 0 {
					counted = append(counted, search.ValueHits{Value: part[at].Value, Hits: n})
				}
			}
		})
		if err != nil {
			return nil, queryFailed(ctx, q.LogsQL, err)
		}
	}
	return counted, nil
}

// hitsColumn names the counts of Values, out of the way of fields' names.
const hitsColumn = "icewatch_hits_of_value"

// Values lists the values of one field in the matching rows, most frequent
// first. Pipes of the query are left out.
func (l *Lake) Values(ctx context.Context, q Query, field string, limit int) ([]search.ValueHits, error) {
	switch field {
	case "@timestamp":
		field = "_time"
	case fieldOriginal, "_msg":
		return nil, queryError(q.LogsQL, "the values of %s are not kept as such; ask for those of message", field)
	}
	p, err := l.parseFilter(q)
	if err != nil || len(q.Accounts) == 0 {
		return nil, err
	}
	// Counted by a pipe: the library's own list of values leaves out the
	// counts where there are more values than asked for.
	before, column := l.listed(q, p, field)
	p, err = q.with(p, fmt.Sprintf("%sstats by (%s) count() %s | sort by (%s desc) limit %d", before, strconv.Quote(column), hitsColumn, hitsColumn, max(limit, 1)+1))
	if err != nil {
		return nil, err
	}
	if err := q.confine(p, q.Start, q.End); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var list []search.ValueHits
	err = l.run(ctx, q.Accounts, p, func(_ uint, db *logstorage.DataBlock) {
		mu.Lock()
		defer mu.Unlock()
		// Sorting puts the counts first or last as it pleases: they go by name.
		var values, counts []string
		for _, c := range db.Columns {
			if c.Name == hitsColumn {
				counts = c.Values
			} else {
				values = c.Values
			}
		}
		for i := range min(len(values), len(counts)) {
			v := values[i]
			n, err := strconv.ParseUint(counts[i], 10, 64)
			if err == nil && v != "" {
				list = append(list, search.ValueHits{Value: strings.Clone(v), Hits: n})
			}
		}
	})
	if err != nil {
		return nil, queryFailed(ctx, q.LogsQL, err)
	}
	return mostFrequent(list, limit), nil
}

func mostFrequent(list []search.ValueHits, limit int) []search.ValueHits {
	sort.Slice(list, func(i, j int) bool {
		if list[i].Hits != list[j].Hits {
			return list[i].Hits > list[j].Hits
		}
		return list[i].Value < list[j].Value
	})
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list
}

// Event returns the event with the given id as a flat JSON object, or
// search.ErrNotFound where there is none in the accounts that passes the filter
// (as of Query).
func (l *Lake) Event(ctx context.Context, accounts []uint32, filter, id string) ([]byte, error) {
	at, ok := event.ParseID(id)
	if !ok {
		return nil, search.ErrNotFound
	}
	q := Query{Accounts: accounts, Filter: filter, LogsQL: fmt.Sprintf("%q:=%d %q:=%q", fieldSequence, at.Sequence, fieldID, id),
		Start: time.Unix(0, 0), End: time.Now().Add(2 * FutureLimit), Limit: 1}
	p, err := l.parse(q)
	if err != nil || len(accounts) == 0 {
		return nil, errors.Join(search.ErrNotFound, err)
	}
	var row []byte
	_, err = l.runRows(ctx, p, q, q.Start, q.End, func(b []byte) error {
		row = append([]byte(nil), b...)
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	if row == nil {
		return nil, search.ErrNotFound
	}
	return row, nil
}

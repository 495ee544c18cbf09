package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/soc/condition"
	"icewatch/soc/flows/ledger"
	"icewatch/soc/lake"
	"icewatch/soc/metrics"
	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/veil"
)

// The engine answers on a unix socket that only the suite's own user can
// open. A question is one JSON object; rows come back as lines, of which the
// last is a verdict.

type question struct {
	Accounts []uint32  `json:"accounts"`
	Filter   string    `json:"filter,omitempty"` // of the rows of these accounts, those that may be seen
	Query    string    `json:"query"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	Limit    int       `json:"limit"`
	Offset   int       `json:"offset"`
	Buckets  int       `json:"buckets,omitempty"`
	Field    string    `json:"field,omitempty"`
	ID       string    `json:"id,omitempty"`

	Veil   []veil.Rule    `json:"veil,omitempty"`  // what the query must not see of the rows
	Group  string         `json:"group,omitempty"` // a filter of the caller's own, looked at through the veil
	Fields []string       `json:"fields,omitempty"`
	Around *search.Around `json:"around,omitempty"`
	Aside  bool           `json:"aside,omitempty"` // the suite asks for itself, and may miss the rows that wait for their block

	hidden *veil.Veil // of Veil
}

type verdict struct {
	Done     bool               `json:"done"`
	Query    *search.QueryError `json:"query_error,omitempty"`
	NotFound bool               `json:"not_found,omitempty"`
	Away     string             `json:"away,omitempty"` // why search.ErrUnavailable
	Error    string             `json:"error,omitempty"`
}

// maxQuestion bounds a question in bytes: the filter of a data scope may name
// every organisation of a large city, several times.
const maxQuestion = 64 << 20

// maxQueries is how many searches run at a time; the others wait.
const maxQueries = 4

// queryTimeout bounds one search.
const queryTimeout = 60 * time.Second

// Status is what the engine tells of itself.
type Status struct {
	Ready       bool              `json:"ready"`
	Epoch       string            `json:"epoch"`
	LastBatch   uint64            `json:"last_batch"`  // last batch worked
	LastTime    time.Time         `json:"last_time"`   // when the bus took it
	Looked      time.Time         `json:"looked"`      // when somebody last looked at the lake, 1970 where nobody has
	Events      uint64            `json:"events"`      // events made since the start
	Repeats     uint64            `json:"repeats"`     // dropped: a sender's id came again
	Replayed    uint64            `json:"replayed"`    // met again and already stored
	Altered     uint64            `json:"altered"`     // carry a mark
	Reduced     uint64            `json:"reduced"`     // too large for the lake: raw text only
	Unstored    uint64            `json:"unstored"`    // refused by the lake
	BadBatches  uint64            `json:"bad_batches"` // damaged on the bus, set aside
	Occurrences uint64            `json:"occurrences"` // published
	Lake        lake.Stats        `json:"lake"`        //
	Flows       ledger.Stats      `json:"flows"`       // of the ledger of edges
	Metrics     metrics.Stats     `json:"metrics"`     // of the metric lake, as far as it is open
	Series      MetricIntake      `json:"series"`      // samples from outside, on their way into the metric lake
	Rules       string            `json:"rules"`       // version of the bundle in force
	Problems    []ruleset.Problem `json:"problems"`    // rules that are not in force
	Hits        map[string]uint64 `json:"hits"`        // by rule id
	Disabled    map[string]string `json:"disabled"`    // rules that failed while running
	Tenants     map[string]uint64 `json:"tenants"`     // events by tenant since the start
	Uptime      float64           `json:"uptime"`      // seconds
	Usage       Usage             `json:"usage"`       // what the tenants brought, by day
	Restored    uint64            `json:"restored"`    // put back from the bus after a part of the lake was set aside
	Waiting     bool              `json:"waiting"`     // for its disk or its servers; it has not begun

	Conditions []condition.Condition `json:"conditions"` // what is wrong with the engine
}

func (e *Engine) status() Status {
	d := e.detect.Stats()
	held := e.lake.Stats()
	tellServers(e.health.board, held.Down)
	s := Status{Ready: e.ready.Load(), Epoch: e.epoch, LastBatch: min(e.last.Load(), e.detected.Load()), LastTime: time.Unix(0, e.lastTime.Load()).UTC(), Looked: time.Unix(0, e.looks.last.Load()).UTC(),
		Events: e.events.Load(), Repeats: e.repeats.Load(), Replayed: e.replayed.Load(), Altered: e.pipe.Altered(), Reduced: e.reduced.Load(),
		Unstored: e.unstored.Load(), BadBatches: e.badBatch.Load(), Occurrences: e.raised.Load(), Lake: held, Flows: e.edges.Stats(), Metrics: e.metric.stats(), Series: e.series.told(), Rules: *e.version.Load(),
		Problems: *e.problems.Load(), Hits: d.Hits, Disabled: d.Disabled, Tenants: map[string]uint64{}, Uptime: time.Since(e.started).Seconds(),
		Restored: e.restored.Load(), Conditions: e.health.board.List(), Usage: e.meter.told()}
	for slug, n := range *e.tenants.Load() {
		s.Tenants[slug] = n.Load()
	}
	return s
}

func (e *Engine) serveQueries(path string) (stop func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("engine: %w", err), l.Close())
	}
	slots := make(chan struct{}, maxQueries)
	mux := http.NewServeMux()
	handle := func(name string, answer func(ctx context.Context, q question, w *bufio.Writer) error) {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeoutCause(r.Context(), queryTimeout,
				fmt.Errorf("the search took longer than %s; shorten the time range or narrow the query", queryTimeout))
			defer cancel()
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				return
			}
			var q question
			if err := json.NewDecoder(io.LimitReader(r.Body, maxQuestion)).Decode(&q); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if err := q.compile(); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if !q.Aside {
				e.look(ctx)
			}
			out := bufio.NewWriterSize(flushing{w}, 64<<10)
			v := judge(answer(ctx, q, out))
			if b, err := json.Marshal(v); err == nil {
				_, _ = out.Write(append(b, '\n'))
			}
			_ = out.Flush()
		})
	}
	lq := func(q question) lake.Query {
		return lake.Query{Accounts: q.Accounts, Filter: q.Filter, Veil: q.hidden, Group: q.Group, LogsQL: q.Query, Start: q.Start, End: q.End, Limit: q.Limit, Offset: q.Offset}
	}
	handle("rows", func(ctx context.Context, q question, w *bufio.Writer) error {
		flushed := time.Now()
		return e.lake.Rows(ctx, lq(q), func(row []byte) error {
			if _, err := w.Write(row); err != nil {
				return err
			}
			if err := w.WriteByte('\n'); err != nil {
				return err
			}
			if time.Since(flushed) > 100*time.Millisecond {
				flushed = time.Now()
				return w.Flush()
			}
			return nil
		})
	})
	one := func(w *bufio.Writer, v any, err error) error {
		if err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(v)
	}
	handle("histogram", func(ctx context.Context, q question, w *bufio.Writer) error {
		h, err := e.lake.Histogram(ctx, lq(q), q.Buckets)
		return one(w, h, err)
	})
	handle("fields", func(ctx context.Context, q question, w *bufio.Writer) error {
		list, err := e.lake.Fields(ctx, lq(q), q.Limit)
		return one(w, list, err)
	})
	handle("values", func(ctx context.Context, q question, w *bufio.Writer) error {
		list, err := e.lake.Values(ctx, lq(q), q.Field, q.Limit)
		return one(w, list, err)
	})
	handle("event", func(ctx context.Context, q question, w *bufio.Writer) error {
		row, err := e.lake.Event(ctx, q.Accounts, q.Filter, q.ID)
		if err != nil {
			return err
		}
		_, err = w.Write(append(row, '\n'))
		return err
	})
	e.searchHandlers(handle, lq)
	e.tailHandlers(mux)
	e.arrivalHandlers(mux)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(e.status())
	})
	e.ruleHandlers(mux)
	e.beatHandlers(mux)
	e.backtestHandlers(mux)
	e.packHandlers(mux)
	e.processingHandlers(mux)
	e.holdHandlers(mux)
	e.sampleHoldHandlers(mux)
	e.flowHandlers(mux)
	e.metric.handlers(mux)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	srv.RegisterOnShutdown(e.tails.close)
	go func() { _ = srv.Serve(l) }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	}, nil
}

func judge(err error) verdict {
	var qe *search.QueryError
	var away *search.UnavailableError
	switch {
	case err == nil:
		return verdict{Done: true}
	case errors.As(err, &qe):
		return verdict{Done: true, Query: qe}
	case errors.Is(err, search.ErrNotFound):
		return verdict{Done: true, NotFound: true}
	case errors.As(err, &away):
		return verdict{Done: true, Away: away.Reason}
	}
	return verdict{Done: true, Error: err.Error()}
}

type flushing struct{ http.ResponseWriter }

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	if fl, ok := f.ResponseWriter.(http.Flusher); ok {
		fl.Flush()
	}
	return n, err
}

// Client asks the engine from the centre. It implements search.Store.
type Client struct {
	http     *http.Client
	accounts func(tenants []string) []uint32
}

var _ search.Store = (*Client)(nil)

// NewClient asks the engine that listens at the socket. accounts turns slugs
// into account ids; nil slugs mean all tenants.
func NewClient(socket string, accounts func(tenants []string) []uint32) *Client {
	return &Client{accounts: accounts, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}, MaxIdleConnsPerHost: 8}}}
}

// post sends a question. The answer's body must be closed.
func (c *Client) post(ctx context.Context, what string, q any) (*http.Response, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/"+what, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", search.ErrUnavailable, err)
	}
	return resp, nil
}

// ask posts a question and hands over each line but the verdict.
func (c *Client) ask(ctx context.Context, what string, q any, line func([]byte) error) error {
	resp, err := c.post(ctx, what, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := bufio.NewReaderSize(resp.Body, 256<<10)
	var held []byte // one line is held back, as the last is the verdict
	for {
		b, err := readLine(in)
		if len(b) > 0 {
			if held != nil {
				if err := line(held); err != nil {
					return err
				}
			}
			held = append(held[:0], b...)
		}
		if err != nil {
			break
		}
	}
	var v verdict
	if held == nil || json.Unmarshal(held, &v) != nil || !v.Done {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: the answer broke off", search.ErrUnavailable)
	}
	switch {
	case v.Query != nil:
		return v.Query
	case v.NotFound:
		return search.ErrNotFound
	case v.Away != "":
		return &search.UnavailableError{Reason: v.Away}
	case v.Error != "":
		return errors.New(v.Error)
	}
	return nil
}

// readLine reads one line of any length without its newline.
func readLine(in *bufio.Reader) ([]byte, error) {
	var whole []byte
	for {
		part, err := in.ReadSlice('\n')
		if err == nil && whole == nil {
			return part[:len(part)-1], nil
		}
		whole = append(whole, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(whole, []byte{'\n'}), err
	}
}

func (c *Client) question(r search.Request) question {
	q := c.within(r.Reach)
	q.Query, q.Start, q.End, q.Limit, q.Offset = r.Query, r.Start, r.End.Add(-1), r.Limit, r.Offset
	return q
}

// within is a question about the rows of a reach: tenants become accounts of
// the lake, and what they leave to decide a filter.
func (c *Client) within(r reach.Reach) question {
	slugs, all := r.TenantSlugs()
	if all {
		slugs = nil
	}
	if r.Veil() == nil {
		return question{Accounts: c.accounts(slugs), Filter: r.LogsQL()}
	}
	// A log group's filter may be the caller's own, so it sees masked rows, too.
	return question{Accounts: c.accounts(slugs), Filter: r.WithoutGroup().LogsQL(), Group: r.Group(), Veil: r.Veil().Rules()}
}

// plainly is a question for events by their ids: there is no query that could
// find out what is masked, and they are masked afterwards.
func (c *Client) plainly(r reach.Reach) question {
	q := c.within(r)
	q.Filter, q.Group, q.Veil = r.LogsQL(), "", nil
	return q
}

// Query implements search.Store.
func (c *Client) Query(ctx context.Context, r search.Request, emit func(row []byte) error) error {
	return c.ask(ctx, "rows", c.question(r), func(row []byte) error { return emit(r.Reach.Veil().Row(row)) })
}

// Histogram implements search.Store.
func (c *Client) Histogram(ctx context.Context, r search.Request, buckets int) (h search.Histogram, err error) {
	q := c.question(r)
	q.Buckets = buckets
	err = c.ask(ctx, "histogram", q, into(&h))
	return h, err
}

// Fields implements search.Store.
func (c *Client) Fields(ctx context.Context, r search.Request, limit int) (list []search.ValueHits, err error) {
	q := c.question(r)
	q.Limit = limit
	err = c.ask(ctx, "fields", q, into(&list))
	return list, err
}

// Values implements search.Store.
func (c *Client) Values(ctx context.Context, r search.Request, field string, limit int) (list []search.ValueHits, err error) {
	q := c.question(r)
	q.Limit, q.Field = limit, field
	err = c.ask(ctx, "values", q, into(&list))
	return veiledHits(r.Reach.Veil(), field, list), err
}

// Heard names the configuration items, limit at most, that events of all tenants
// from one time to another are about. Nobody looks at these: rows that wait for
// their block of the lake may be missing, and go on waiting.
func (c *Client) Heard(ctx context.Context, from, to time.Time, limit int) (items []string, err error) {
	q := c.question(search.Request{Reach: reach.All(), Query: "*", Start: from, End: to})
	q.Limit, q.Field, q.Aside = limit, "icewatch.ci.id", true
	var list []search.ValueHits
	err = c.ask(ctx, "values", q, into(&list))
	for _, h := range list {
		items = append(items, h.Value)
	}
	return items, err
}

// Event implements search.Store.
func (c *Client) Event(ctx context.Context, within reach.Reach, id string) (row []byte, err error) {
	q := c.plainly(within)
	q.ID = id
	err = c.ask(ctx, "event", q, func(b []byte) error {
		row = bytes.Clone(within.Veil().Row(b))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return row, nil
}

func into(v any) func([]byte) error {
	return func(b []byte) error { return json.Unmarshal(b, v) }
}

// Status asks the engine about itself.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.get(ctx, "status", &s)
	return s, err
}

// get asks for one thing.
func (c *Client) get(ctx context.Context, what string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/"+what, nil)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", search.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s: the engine is not ready to tell (%s)", search.ErrUnavailable, what, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("engine: %s: %w", what, err)
	}
	return nil
}

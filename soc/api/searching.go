package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/soc/aside"
	"icewatch/soc/identity"
	"icewatch/soc/search"
	"icewatch/soc/veil"
)

const (
	maxRows       = 10_000    // of a JSON answer
	maxStreamRows = 1_000_000 // of a streamed one
	maxAnswer     = 64 << 20  // bytes of a JSON answer; beyond it says "truncated"
	searchBack    = 15 * time.Minute
	typeNDJSON    = "application/x-ndjson"
	// aheadOfClock is how far beyond now a search without an end looks: devices
	// whose clock is a little fast would otherwise seem silent.
	aheadOfClock = time.Minute
	// sendTimeout is how long a client may leave a streamed answer unread.
	sendTimeout = 30 * time.Second
)

// errEnough stops a query whose answer is full.
var errEnough = errors.New("enough rows")

// SearchInput is what all searches take.
type SearchInput struct {
	TimeInput
	Query  string `query:"query" maxLength:"16384" doc:"LogsQL; everything by default"`
	Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
	Group  string `query:"group" maxLength:"64" doc:"Id of a log group to search in"`
}

// request makes a search of the input, within the caller's reach. none is true
// where that is empty; the store must not be asked then.
func (s *Server) searchRequest(ctx context.Context, in SearchInput) (req search.Request, none bool, err error) {
	if s.deps.Search == nil {
		return req, false, unavailable("search")
	}
	if req.Reach, err = Reach(ctx, in.Tenant); err != nil {
		return req, false, err
	}
	now := time.Now()
	if req.Start, req.End, err = in.timeRange(now, searchBack); err != nil {
		return req, false, err
	}
	if req.Reach, req.Start, err = s.inGroup(PrincipalFrom(ctx), req.Reach, in.Group, req.Start, now); err != nil {
		return req, false, err
	}
	if in.End == "" {
		req.End = req.End.Add(aheadOfClock)
	}
	if req.Query = strings.TrimSpace(in.Query); req.Query == "" {
		req.Query = "*"
	}
	return req, req.Reach.Nothing(), nil
}

// enterSearch waits for one of the places and bounds the search in time; it
// ends as well when the client goes away. leave must be called.
func (s *Server) enterSearch(ctx context.Context, longest time.Duration) (context.Context, func(), error) {
	wait := time.NewTimer(10 * time.Second)
	defer wait.Stop()
	select {
	case s.searches <- struct{}{}:
	case <-wait.C:
		return nil, nil, huma.ErrorWithHeaders(Problem(http.StatusTooManyRequests, "too many searches are running: try again shortly"),
			http.Header{"Retry-After": {"5"}})
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	unlink := context.AfterFunc(s.stop, cancel)
	unwatch := func() {}
	if st := stateOf(ctx); st != nil {
		unwatch = watchPeer(st.conn, cancel)
	}
	return ctx, func() {
		unwatch()
		unlink()
		cancel()
		<-s.searches
	}, nil
}

// watchPeer calls gone when the client closes the connection, which nothing
// else would notice before there is something to send.
func watchPeer(conn net.Conn, gone func()) (stop func()) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return func() {}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() {}
	}
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			closed := false
			err := raw.Control(func(fd uintptr) {
				var b [1]byte
				n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
				closed = n == 0 && err == nil || errors.Is(err, syscall.ECONNRESET)
			})
			if err != nil || closed {
				gone()
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// searchAnswer describes the JSON answer; rows are passed through as they come.
type searchAnswer struct {
	Items     []map[string]any `json:"items" nullable:"false" doc:"Flat events, newest first"`
	Truncated bool             `json:"truncated" doc:"There are more than these"`
	TookMS    int64            `json:"took_ms"`
}

func (s *Server) searchRoutes() {
	schema := s.huma.OpenAPI().Components.Schemas
	answer := huma.SchemaFromType(schema, typeOf[searchAnswer]())
	Register(s, huma.Operation{OperationID: "search", Method: http.MethodGet, Path: "/search", Tags: []string{"search"},
		Summary: "Search events with LogsQL", Errors: []int{400, 429, 503, 504},
		Description: "With Accept: application/x-ndjson one event a line is streamed as it is found; a line that holds nothing but \"error\" ends a stream that failed midway.",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"application/json": {Schema: answer}, typeNDJSON: {Schema: &huma.Schema{Type: "string"}}}}}},
		identity.ScopeRead,
		func(ctx context.Context, in *struct {
			SearchInput
			Limit   int    `query:"limit" minimum:"1" maximum:"1000000" default:"100"`
			Offset  int    `query:"offset" minimum:"0" maximum:"1000000"`
			History bool   `query:"history" default:"true" doc:"Whether the search enters the caller's history"`
			Accept  string `header:"Accept"`
		}) (*huma.StreamResponse, error) {
			req, none, err := s.searchRequest(ctx, in.SearchInput)
			if err != nil {
				return nil, err
			}
			req.Limit, req.Offset = in.Limit, in.Offset
			began := time.Now()
			note := func(rows int) {
				if in.History && in.Offset == 0 {
					s.noteSearch(ctx, in.SearchInput, req, rows, time.Since(began))
				}
			}
			if strings.Contains(in.Accept, typeNDJSON) {
				if none {
					return bodyAnswer(typeNDJSON, nil), nil
				}
				req.Limit = min(req.Limit, maxStreamRows)
				answer, err := s.streamSearch(ctx, req)
				if err == nil {
					note(0)
				}
				return answer, err
			}
			if req.Limit > maxRows {
				return nil, Problem(http.StatusBadRequest, "limit: at most %d in one answer; ask with Accept: %s for more", maxRows, typeNDJSON)
			}
			answer, rows, err := s.listSearch(ctx, req, none)
			if err == nil {
				note(rows)
			}
			return answer, err
		})

	Register(s, huma.Operation{OperationID: "search-histogram", Method: http.MethodGet, Path: "/search/histogram", Tags: []string{"search"},
		Summary: "Count events over time", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			SearchInput
			Buckets int `query:"buckets" minimum:"1" maximum:"2000" default:"60"`
		}) (*Body[search.Histogram], error) {
			req, none, err := s.searchRequest(ctx, in.SearchInput)
			if err != nil {
				return nil, err
			}
			if none {
				return Reply(search.Histogram{Buckets: []search.Bucket{}}), nil
			}
			if in.End == "" {
				req.End = req.End.Add(-aheadOfClock) // no empty bars for times to come
			}
			ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
			if err != nil {
				return nil, err
			}
			defer leave()
			h, err := s.deps.Search.Histogram(ctx, req, in.Buckets)
			if err != nil {
				return nil, err
			}
			if h.Buckets == nil {
				h.Buckets = []search.Bucket{}
			}
			return Reply(h), nil
		})

	type nameHits struct {
		Name string `json:"name"`
		Hits uint64 `json:"hits"`
	}
	Register(s, huma.Operation{OperationID: "search-fields", Method: http.MethodGet, Path: "/search/fields", Tags: []string{"search"},
		Summary: "The fields that occur in matching events", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			SearchInput
			Limit int `query:"limit" minimum:"1" maximum:"5000" default:"200"`
		}) (*Body[Page[nameHits]], error) {
			hits, err := s.hits(ctx, in.SearchInput, func(ctx context.Context, req search.Request) ([]search.ValueHits, error) {
				return s.deps.Search.Fields(ctx, req, in.Limit)
			})
			if err != nil {
				return nil, err
			}
			items := make([]nameHits, len(hits))
			for i, h := range hits {
				items[i] = nameHits{h.Value, h.Hits}
			}
			return Reply(PageOf(items, len(items), "")), nil
		})

	Register(s, huma.Operation{OperationID: "search-values", Method: http.MethodGet, Path: "/search/values", Tags: []string{"search"},
		Summary: "The most frequent values of a field in matching events", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			SearchInput
			Field string `query:"field" required:"true" minLength:"1" maxLength:"512"`
			Limit int    `query:"limit" minimum:"1" maximum:"10000" default:"10"`
		}) (*Body[Page[search.ValueHits]], error) {
			hits, err := s.hits(ctx, in.SearchInput, func(ctx context.Context, req search.Request) ([]search.ValueHits, error) {
				return s.deps.Search.Values(ctx, req, in.Field, in.Limit)
			})
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(hits, len(hits), "")), nil
		})

	Register(s, huma.Operation{OperationID: "get-event", Method: http.MethodGet, Path: "/events/{id}", Tags: []string{"search"},
		Summary: "One event by its event.id", Errors: []int{404, 429, 503, 504},
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{Type: "object", AdditionalProperties: true}}}}}},
		identity.ScopeRead,
		func(ctx context.Context, in *eventInput) (*huma.StreamResponse, error) {
			row, err := s.event(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return bodyAnswer("application/json", row), nil
		})

	Register(s, huma.Operation{OperationID: "get-event-original", Method: http.MethodGet, Path: "/events/{id}/original", Tags: []string{"search"},
		Summary: "The whole text of an event as it was sent", Errors: []int{404, 410, 429, 503, 504},
		Description: "A text too long for an event is cut in event.original and kept whole beside it, under the SHA-256 in icewatch.aside.",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}},
		identity.ScopeRead,
		func(ctx context.Context, in *eventInput) (*huma.StreamResponse, error) {
			row, err := s.event(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			var ev struct {
				Original string `json:"event.original"`
				Aside    string `json:"icewatch.aside"`
				Tenant   string `json:"icewatch.tenant"`
			}
			if err := json.Unmarshal(row, &ev); err != nil {
				return nil, fmt.Errorf("event %s: %w", in.ID, err)
			}
			if ev.Aside == "" {
				return bodyAnswer("application/octet-stream", []byte(ev.Original)), nil
			}
			if s.deps.Aside == nil {
				return nil, unavailable("aside")
			}
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			hidden := within.Veil()
			if slices.ContainsFunc(hidden.Rules(), func(r veil.Rule) bool { return r.Pattern == "" }) {
				// The text holds values of fields at places that nobody knows.
				return nil, Problem(http.StatusForbidden, "parts of events are masked for you: of this one, whose text is kept aside since it is very long, only event.original can be shown")
			}
			// Where the sender did not say whose it is, the text was put aside
			// before anybody knew.
			text, err := s.deps.Aside.Get(ev.Tenant, ev.Aside)
			if errors.Is(err, fs.ErrNotExist) {
				text, err = s.deps.Aside.Get("", ev.Aside)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil, NotFound("whole text of event", in.ID)
			}
			if errors.Is(err, aside.ErrDamaged) {
				return nil, Problem(http.StatusGone, "the whole text of the event was kept and is damaged: %s; the beginning in event.original is whole", ev.Aside)
			}
			if err != nil {
				return nil, err
			}
			return bodyAnswer("application/octet-stream", []byte(hidden.Value("event.original", string(text)))), nil
		})
}

type eventInput struct {
	ID string `path:"id" maxLength:"256"`
}

// event reads one event within the caller's reach.
func (s *Server) event(ctx context.Context, id string) ([]byte, error) {
	if s.deps.Search == nil {
		return nil, unavailable("search")
	}
	within, err := Reach(ctx, "")
	if err != nil {
		return nil, err
	}
	if within.Nothing() {
		return nil, NotFound("event", id)
	}
	ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
	if err != nil {
		return nil, err
	}
	defer leave()
	row, err := s.deps.Search.Event(ctx, within, id)
	if errors.Is(err, search.ErrNotFound) {
		return nil, NotFound("event", id)
	}
	return row, err
}

// hits runs a search that answers with names or values and their counts.
func (s *Server) hits(ctx context.Context, in SearchInput, ask func(context.Context, search.Request) ([]search.ValueHits, error)) ([]search.ValueHits, error) {
	req, none, err := s.searchRequest(ctx, in)
	if err != nil || none {
		return nil, err
	}
	ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
	if err != nil {
		return nil, err
	}
	defer leave()
	return ask(ctx, req)
}

// bodyAnswer answers with bytes as they are.
func bodyAnswer(contentType string, body []byte) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(http.StatusOK)
		hc.SetHeader("Content-Type", contentType)
		humafiber.Unwrap(hc).Response().SetBodyRaw(body)
	}}
}

// listSearch answers a search in one JSON document, and says how many rows it
// holds.
func (s *Server) listSearch(ctx context.Context, req search.Request, none bool) (answer *huma.StreamResponse, rows int, err error) {
	began := time.Now()
	var buf bytes.Buffer
	buf.WriteString(`{"items":[`)
	limit, truncated := req.Limit, false
	if !none {
		ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
		if err != nil {
			return nil, 0, err
		}
		defer leave()
		req.Limit++ // one more than wanted tells whether there are more
		err = s.deps.Search.Query(ctx, req, func(row []byte) error {
			if rows == limit || buf.Len()+len(row) > maxAnswer {
				truncated = true
				return errEnough
			}
			if rows > 0 {
				buf.WriteByte(',')
			}
			buf.Write(row)
			rows++
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, 0, err
		}
	}
	buf.WriteString(`],"truncated":` + strconv.FormatBool(truncated))
	buf.WriteString(`,"took_ms":` + strconv.FormatInt(time.Since(began).Milliseconds(), 10) + "}\n")
	return bodyAnswer("application/json", buf.Bytes()), rows, nil
}

// streamSearch answers with one row a line as they come. The status is sent
// with the first row, so that a wrong query is still a 400.
func (s *Server) streamSearch(ctx context.Context, req search.Request) (*huma.StreamResponse, error) {
	// The handler returns before the body is written, and its context ends
	// with it; the stream has its own time.
	ctx, leave, err := s.enterSearch(context.WithoutCancel(ctx), s.deps.StreamTimeout)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	rows := make(chan []byte, 256)
	result := make(chan error, 1)
	go func() {
		defer leave()
		defer close(rows)
		result <- s.feed(ctx, req, rows)
	}()
	first, more := <-rows
	if !more {
		defer cancel()
		if err := <-result; err != nil {
			return nil, err
		}
		return bodyAnswer(typeNDJSON, nil), nil
	}
	conn := stateOf(ctx).conn
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(http.StatusOK)
		hc.SetHeader("Content-Type", typeNDJSON)
		hc.SetHeader("X-Accel-Buffering", "no")
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			defer cancel()
			if err := send(w, conn, first, rows); err != nil {
				cancel()
				for range rows { // let the query end before its place is given back
				}
				return
			}
			if err := <-result; err != nil {
				// The status is gone; the client must still learn that this is not all.
				line, _ := json.Marshal(map[string]string{"error": s.toProblem(ctx, err).Error()})
				_, _ = w.Write(append(line, '\n'))
				_ = w.Flush()
			}
		})
	}}, nil
}

// feed runs the query and hands over its rows, each ending a line.
func (s *Server) feed(ctx context.Context, req search.Request, rows chan<- []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("panic in a search", "request_id", RequestID(ctx), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = errors.New("the search failed")
		}
	}()
	return s.deps.Search.Query(ctx, req, func(row []byte) error {
		line := append(append(make([]byte, 0, len(row)+1), row...), '\n')
		select {
		case rows <- line:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// send writes rows, and flushes whenever no further one is waiting.
func send(w *bufio.Writer, conn net.Conn, first []byte, rows <-chan []byte) error {
	flush := func() error {
		if conn != nil {
			if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
				return err
			}
		}
		return w.Flush()
	}
	line, more := first, true
	for more {
		if w.Available() < len(line) && conn != nil {
			if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
				return err
			}
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
		select {
		case line, more = <-rows:
			continue
		default:
		}
		if err := flush(); err != nil {
			return err
		}
		line, more = <-rows
	}
	return flush()
}

package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

const (
	maxTailsEach = 4                // live tails of one caller
	tailPending  = 2000             // events that wait for a slow client; further ones are left out
	tailPing     = 15 * time.Second // a sign of life, so that proxies keep the connection
	tailCheck    = 10 * time.Second // how soon a tail ends after its caller may no longer see
)

// tailing counts the live tails of each caller.
type tailing struct {
	mu   sync.Mutex
	open map[string]int
}

func (t *tailing) enter(who string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[string]int{}
	}
	if t.open[who] >= maxTailsEach {
		return false
	}
	t.open[who]++
	return true
}

func (t *tailing) leave(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[who]--; t.open[who] <= 0 {
		delete(t.open, who)
	}
}

func (s *Server) tailRoutes() {
	Register(s, huma.Operation{OperationID: "tail-search", Method: http.MethodGet, Path: "/search/tail", Tags: []string{"search"},
		Summary: "Follow matching events as they are stored", Errors: []int{400, 429, 503},
		Description: "Server-sent events: open, event (with event.id as id and the event as data), dropped, gap and end. Last-Event-ID goes on after an event.",
		Responses:   map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}}}}},
		identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Query  string `query:"query" maxLength:"16384" doc:"LogsQL without pipes that sort, count or limit; everything by default"`
			Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
			After  string `header:"Last-Event-ID" maxLength:"256"`
		}) (*huma.StreamResponse, error) {
			req, none, err := s.searchRequest(ctx, SearchInput{Query: in.Query, Tenant: in.Tenant})
			if err != nil {
				return nil, err
			}
			if none {
				return nil, Problem(http.StatusForbidden, "your data scope holds nothing to follow")
			}
			return s.tail(ctx, search.Tailing{Reach: req.Reach, Query: req.Query, After: in.After}, in.Tenant)
		})
}

// tail follows a query until the client goes away, the caller may no longer
// see, or the server stops.
func (s *Server) tail(ctx context.Context, t search.Tailing, requested string) (*huma.StreamResponse, error) {
	st := stateOf(ctx)
	who := st.principal.Via + ":" + st.principal.Actor()
	if !s.tails.enter(who) {
		return nil, Problem(http.StatusTooManyRequests, "you follow %d searches already; close one of them first", maxTailsEach)
	}
	// The handler returns before the body is written, and its context ends
	// with it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(s.stop, cancel)
	var (
		once sync.Once
		sent = make(chan search.Tailed, tailPending)
		lost = make(chan uint64, 1) // events left out since the client is slow
		good = make(chan struct{})
		done = make(chan error, 1)
	)
	go func() {
		defer s.tails.leave(who)
		defer unlink()
		done <- s.follow(ctx, t, func(told search.Tailed) error {
			once.Do(func() { close(good) })
			if told.ID == "" && told.Dropped == 0 && !told.Gap {
				return nil
			}
			select {
			case sent <- told:
			default:
				var n uint64
				select {
				case n = <-lost:
				default:
				}
				lost <- n + max(told.Dropped, 1)
			}
			return nil
		})
	}()
	select {
	case <-good:
	case err := <-done:
		cancel()
		if errors.Is(err, search.ErrTooMany) {
			return nil, Problem(http.StatusTooManyRequests, "as many searches are followed as can be at a time: try again later")
		}
		return nil, err
	case <-time.After(15 * time.Second):
		cancel()
		return nil, unavailable("the live tail")
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(http.StatusOK)
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("Cache-Control", "no-store")
		hc.SetHeader("X-Accel-Buffering", "no")
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			defer cancel()
			unwatch := watchPeer(st.conn, cancel)
			defer unwatch()
			say := func(event, id string, data any) error {
				b, err := json.Marshal(data)
				if err != nil {
					return err
				}
				if st.conn != nil {
					if err := st.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
						return err
					}
				}
				if id != "" {
					fmt.Fprintf(w, "id: %s\n", oneLine(id))
				}
				fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, b)
				return nil
			}
			if say("open", "", map[string]string{"query": t.Query}) != nil || w.Flush() != nil {
				return
			}
			ping, check := time.NewTicker(tailPing), time.NewTicker(tailCheck)
			defer ping.Stop()
			defer check.Stop()
			for {
				var err error
				select {
				case told := <-sent:
					err = s.sayTailed(say, t, told)
					for more := true; more && err == nil; {
						select {
						case told := <-sent:
							err = s.sayTailed(say, t, told)
						default:
							more = false
						}
					}
				case n := <-lost:
					err = say("dropped", "", map[string]any{"count": n, "why": "slow"})
				case <-ping.C:
					if st.conn != nil {
						err = st.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
					}
					if err == nil {
						_, err = w.WriteString(": ping\n\n")
					}
				case <-check.C:
					if code, detail := s.stillSees(ctx, st, "tail-search", t.Reach, requested); code != "" {
						_ = say("end", "", map[string]string{"code": code, "detail": detail})
						_ = w.Flush()
						return
					}
				case err := <-done:
					code, detail := "unavailable", "the live tail broke off; it goes on where it stopped when asked again"
					if s.stop.Err() != nil {
						code, detail = "stopping", "the suite is being stopped"
					}
					if err != nil && ctx.Err() == nil && !errors.Is(err, search.ErrUnavailable) {
						s.log.Warn("a live tail ended", "request_id", st.requestID, "error", err)
					}
					_ = say("end", "", map[string]string{"code": code, "detail": detail})
					_ = w.Flush()
					return
				}
				if err != nil || w.Flush() != nil {
					return
				}
			}
		})
	}}, nil
}

// oneLine keeps a value from becoming a field of its own in a stream of events.
func oneLine(s string) string { return strings.NewReplacer("\n", "", "\r", "", "\x00", "").Replace(s) }

func (s *Server) sayTailed(say func(event, id string, data any) error, t search.Tailing, told search.Tailed) error {
	switch {
	case told.Gap:
		return say("gap", "", map[string]string{"since": t.After})
	case told.Dropped > 0:
		return say("dropped", "", map[string]any{"count": told.Dropped, "why": "many"})
	}
	return say("event", told.ID, told.Row)
}

// follow runs the tail; a panic of the store ends it and no more.
func (s *Server) follow(ctx context.Context, t search.Tailing, emit func(search.Tailed) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("panic in a live tail", "request_id", RequestID(ctx), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = errors.New("the live tail failed")
		}
	}()
	return s.deps.Search.Tail(ctx, t, emit)
}

// stillSees tells whether the caller still holds and sees the same; else it
// says why the tail ends.
func (s *Server) stillSees(ctx context.Context, st *reqState, operation string, saw reach.Reach, requested string) (code, detail string) {
	p := st.principal
	if st.again != nil {
		var err error
		if p, err = st.again(ctx); errors.Is(err, identity.ErrUnauthenticated) {
			return "signed-out", "the token or session is not valid any longer"
		} else if err != nil {
			return "unavailable", "whether the session is still valid cannot be told at the moment"
		}
	}
	now := *st
	now.principal, now.own = p, s.reachOf(p)
	now.reach = now.own
	if st.selected != nil {
		now.reach = now.own.Narrow(st.selected)
	}
	next := context.WithValue(ctx, stateKey{}, &now)
	if !s.permitted(next, operation, identity.ScopeRead) {
		return "signed-out", "you may not follow searches any longer"
	}
	// See-as narrowed what was seen; what is left of it is looked at.
	sees, err := Reach(next, requested)
	if err != nil || sees.Key() != saw.Key() && sees.And(saw).Key() != saw.Key() {
		return "changed", "what you may see has changed; open the tail again"
	}
	return "", ""
}

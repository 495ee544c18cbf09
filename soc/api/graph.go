package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/relation"
	"icewatch/soc/relation/sources"
)

// graphBack is how far questions about relations reach back by default.
const graphBack = 7 * 24 * time.Hour

// GraphFilter narrows a graph, as all questions about relations take it.
type GraphFilter struct {
	Start      string   `json:"start,omitempty" maxLength:"64" doc:"From this time on: RFC 3339, a Unix time, or a duration before now; 7 days by default"`
	End        string   `json:"end,omitempty" maxLength:"64" doc:"Before this time; now by default"`
	Tenant     string   `json:"tenant,omitempty" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
	Kinds      []string `json:"kinds,omitempty" maxItems:"16" doc:"flow, access, request, signin, process, alert, relation, same; all by default"`
	Ports      string   `json:"ports,omitempty" maxLength:"512" doc:"Ports and ranges, like 22,8000-8999"`
	Transports []string `json:"transports,omitempty" maxItems:"16" doc:"Protocols: tcp, udp, icmp …"`
	Abnormal   []string `json:"abnormal,omitempty" maxItems:"16" doc:"Kinds of abnormal access: alerted, refused, failed-signin, first-time, rare, from-outside, to-outside, remote-access, database, sweep, bulk, off-hours"`
	Phases     []string `json:"phases,omitempty" maxItems:"16" doc:"Phases of the kill chain of alerts between the two"`
}

// GraphNeighbours is the answer to what entities met.
type GraphNeighbours struct {
	Asked   []string           `json:"asked" nullable:"false" doc:"Ids of the nodes asked about; an address without a zone stands here in each zone where it was seen, a public one once with * as its zone, and an item or a machine by its address"`
	Nodes   []relation.Node    `json:"nodes" nullable:"false"`
	Edges   []relation.Edge    `json:"edges" nullable:"false"`
	Partial []relation.Partial `json:"partial" nullable:"false" doc:"Sources that could not be asked, and why"`
	TookMS  int64              `json:"took_ms"`
}

func graphProblem(err error) error {
	if errors.Is(err, relation.ErrInvalid) {
		return Problem(http.StatusBadRequest, "%s", err)
	}
	return ticketProblem(err)
}

// question reads a filter: the reach, the range and what narrows the edges.
func (f *GraphFilter) question(ctx context.Context) (q relation.Question, within reach.Reach, err error) {
	if within, err = Reach(ctx, f.Tenant); err != nil {
		return q, within, err
	}
	now := time.Now()
	if q.Start, q.End, err = (TimeInput{Start: f.Start, End: f.End}).timeRange(now, graphBack); err != nil {
		return q, within, err
	}
	if f.End == "" {
		q.End = q.End.Add(aheadOfClock)
	}
	for _, k := range f.Kinds {
		q.Filter.Kinds = append(q.Filter.Kinds, relation.Kind(k))
	}
	q.Filter.Transports, q.Filter.Abnormal, q.Filter.Phases = f.Transports, f.Abnormal, f.Phases
	if q.Filter.Ports, err = relation.ParsePorts(f.Ports); err != nil {
		return q, within, graphProblem(err)
	}
	if err := q.Filter.Check(); err != nil {
		return q, within, graphProblem(err)
	}
	return q, within, nil
}

// rooms are what graphs are drawn from.
func (t *tickets) rooms(s *Server) sources.Rooms {
	r := sources.Rooms{Alerts: t.svc}
	if s.deps.Flows != nil {
		r.Flows = s.deps.Flows
	}
	if s.deps.Search != nil {
		r.Search = s.deps.Search
	}
	if s.deps.CMDB != nil {
		r.Items = s.deps.CMDB
	}
	return r
}

// graphRoutes registers the questions about relations among entities.
func (t *tickets) graphRoutes(s *Server) {
	operation := func(id, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{"graph"}, Summary: summary, Errors: []int{400, 403, 413, 429, 503, 504}, MaxBodyBytes: maxAPIBody}
	}
	Register(s, operation("graph-neighbours", "/graph/neighbours", "What entities met, as flows, events, alerts and the CMDB tell it: one step of a graph"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				GraphFilter
				Nodes []string `json:"nodes" minItems:"1" maxItems:"50" doc:"Ids: ip:zone|address, host:, user:, process:host|name, domain:, item:"`
				Limit int      `json:"limit,omitempty" minimum:"1" maximum:"2000" default:"25" doc:"Neighbours of each node; those that matter most come first, and more of a node says how many were left out"`
			}
		}) (*Body[GraphNeighbours], error) {
			begun := time.Now()
			stateOf(ctx).skipAudit = true
			q, within, err := in.Body.question(ctx)
			if err != nil {
				return nil, err
			}
			ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
			if err != nil {
				return nil, err
			}
			defer leave()
			rooms := t.rooms(s)
			if q.Nodes, err = rooms.Settle(ctx, within, q, in.Body.Nodes); err != nil {
				return nil, graphProblem(err)
			}
			q.Limit = in.Body.Limit
			g, err := relation.Neighbours(ctx, rooms.Sources(within), q, time.Local)
			if err != nil {
				return nil, graphProblem(err)
			}
			out := GraphNeighbours{Asked: []string{}, Nodes: g.Nodes, Edges: g.Edges, Partial: g.Partial, TookMS: time.Since(begun).Milliseconds()}
			for _, r := range q.Nodes {
				out.Asked = append(out.Asked, r.ID())
			}
			return Reply(out), nil
		})

	trace := operation("graph-trace", "/graph/trace", "Grow the threat path of an entity backwards or forwards in time")
	trace.Description = "One JSON object a line: {\"progress\":…} for each node that is looked at, and at last {\"result\":…}, or {\"error\":…} where it failed on the way. " +
		"Backward, only what was there before the fact counts; forward, only what came after it. Alerts, sign-ins and connections that are new, rare or otherwise unusual are preferred to ordinary ones."
	schema := s.huma.OpenAPI().Components.Schemas
	line := huma.SchemaFromType(schema, typeOf[graphLine]())
	trace.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{typeNDJSON: {Schema: line}}}}
	Register(s, trace, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				GraphFilter
				Node      string `json:"node" minLength:"3" maxLength:"600" doc:"Id of the entity"`
				At        string `json:"at,omitempty" maxLength:"64" doc:"When the fact was; the end of the range by default, and forward its beginning"`
				Direction string `json:"direction,omitempty" enum:"backward,forward" default:"backward"`
				Hops      int    `json:"hops,omitempty" minimum:"1" maximum:"32" default:"16" doc:"Of a path, at most"`
				Nodes     int    `json:"nodes,omitempty" minimum:"1" maximum:"300" default:"60" doc:"That are looked at, at most"`
				Paths     int    `json:"paths,omitempty" minimum:"1" maximum:"50" default:"8" doc:"That are told, at most"`
			}
		}) (*huma.StreamResponse, error) {
			stateOf(ctx).skipAudit = true
			q, within, err := in.Body.question(ctx)
			if err != nil {
				return nil, err
			}
			tr := relation.Trace{Direction: relation.Direction(in.Body.Direction), MaxHops: in.Body.Hops, MaxNodes: in.Body.Nodes, MaxPaths: in.Body.Paths}
			tr.At = q.End
			if tr.Direction == relation.Forward {
				tr.At = q.Start
			}
			if in.Body.At != "" {
				if tr.At, err = ParseTime(in.Body.At, time.Now()); err != nil {
					return nil, Problem(http.StatusBadRequest, "at: %s", err)
				}
			}
			if tr.At.Before(q.Start) || tr.At.After(q.End) {
				return nil, Problem(http.StatusBadRequest, "at: %s lies outside of the range from %s to %s", tr.At.Format(time.RFC3339), q.Start.Format(time.RFC3339), q.End.Format(time.RFC3339))
			}
			return t.trace(ctx, s, tr, q, within, in.Body.Node)
		})
}

// graphLine is one line of a trace's answer.
type graphLine struct {
	Progress *relation.Progress `json:"progress,omitempty"`
	Result   *relation.Traced   `json:"result,omitempty"`
	Error    string             `json:"error,omitempty"`
}

// traceNeighbours is how many neighbours of a node a trace considers.
const traceNeighbours = 100

// trace answers with the progress of a trace and its outcome, line by line. It
// ends when the client goes away, the server stops or the time is over.
func (t *tickets) trace(ctx context.Context, s *Server, tr relation.Trace, q relation.Question, within reach.Reach, node string) (*huma.StreamResponse, error) {
	// The handler returns before the body is written, and its context ends
	// with it; the trace has its own time.
	ctx, leave, err := s.enterSearch(context.WithoutCancel(ctx), s.deps.StreamTimeout)
	if err != nil {
		return nil, err
	}
	rooms := t.rooms(s)
	refs, err := rooms.Settle(ctx, within, q, []string{node})
	if err != nil {
		leave()
		return nil, graphProblem(err)
	}
	tr.From = refs[0] // of several zones, that in which it was seen most
	if err := tr.Check(); err != nil {
		leave()
		return nil, graphProblem(err)
	}
	from := rooms.Sources(within)
	expand := func(ctx context.Context, of relation.Ref, at time.Time) (relation.Graph, error) {
		ask := q
		ask.Nodes, ask.Exact, ask.Limit = []relation.Ref{of}, true, traceNeighbours
		if tr.Direction == relation.Backward {
			// What was at the very time of the fact counts.
			ask.End = at.Add(time.Millisecond)
		} else {
			ask.Start = at
		}
		if !ask.Start.Before(ask.End) {
			return relation.Graph{}, nil
		}
		return relation.Neighbours(ctx, from, ask, time.Local)
	}
	conn := stateOf(ctx).conn
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(http.StatusOK)
		hc.SetHeader("Content-Type", typeNDJSON)
		hc.SetHeader("X-Accel-Buffering", "no")
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			defer leave()
			say := func(l graphLine) error {
				data, err := json.Marshal(l)
				if err != nil {
					return err
				}
				if conn != nil {
					if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
						return err
					}
				}
				if _, err := w.Write(append(data, '\n')); err != nil {
					return err
				}
				return w.Flush()
			}
			defer func() {
				if r := recover(); r != nil {
					s.log.Error("panic in a trace", "request_id", RequestID(ctx), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
					_ = say(graphLine{Error: "the trace failed"})
				}
			}()
			out, err := relation.Follow(ctx, tr, expand, func(p relation.Progress) error { return say(graphLine{Progress: &p}) })
			if err != nil {
				// The status is gone; the client must still learn that this is not all.
				_ = say(graphLine{Error: s.toProblem(ctx, graphProblem(err)).Error()})
				return
			}
			_ = say(graphLine{Result: &out})
		})
	}}, nil
}

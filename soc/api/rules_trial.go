package api

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/soc/identity"
	"icewatch/soc/rulebook"
	"icewatch/soc/search"
)

// trialBack is how far a trial looks back where nothing is said.
const trialBack = time.Hour

// ruleTrial asks for a trial.
type ruleTrial struct {
	Source string `json:"source" maxLength:"1048576" doc:"The rule, YAML"`
	Start  string `json:"start,omitempty" doc:"From this time on"`
	End    string `json:"end,omitempty" doc:"Before this time; now by default"`
	Since  string `json:"since,omitempty" doc:"In place of start: a duration before the end, like 15m; 1h by default"`
	Tenant string `json:"tenant,omitempty" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
	Query  string `json:"query,omitempty" maxLength:"16384" doc:"LogsQL that narrows down the events it looks at; everything by default"`
}

func (s *Server) ruleTrialRoutes() {
	tags := []string{"rules"}
	Register(s, huma.Operation{OperationID: "validate-rule", Method: http.MethodPost, Path: "/rules/validate", Tags: tags,
		Summary: "Judge a rule without keeping it: what is wrong and where, and what it means", MaxBodyBytes: 2 << 20}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Source string `json:"source"`
				ID     string `json:"id,omitempty" maxLength:"256" doc:"Of the rule it is to replace"`
			}
		}) (*Body[rulebook.Verdict], error) {
			if s.deps.Rules == nil || s.deps.Rulebook == nil {
				return nil, unavailable("the rule set")
			}
			stateOf(ctx).skipAudit = true // asked while typing, and nothing is changed
			return Reply(s.deps.Rulebook.Check(in.Body.Source, in.Body.ID, s.deps.Rules.Surroundings())), nil
		})

	Register(s, huma.Operation{OperationID: "try-pasted-events", Method: http.MethodPost, Path: "/rules/try-events", Tags: tags,
		Summary: "Run a rule over events that are given, and tell which parts of its condition hold on each", MaxBodyBytes: 4 << 20, Errors: []int{422},
		Description: "One event a line, 200 at most: JSON, or lines of logs, which are read by the packs that the suite comes with. Nothing is kept."}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Source string `json:"source" maxLength:"1048576" doc:"The rule, YAML"`
				Events string `json:"events" maxLength:"1048576" doc:"One a line"`
			}
		}) (*Body[rulebook.Pasted], error) {
			if s.deps.Rules == nil || s.deps.Rulebook == nil {
				return nil, unavailable("the rule set")
			}
			stateOf(ctx).skipAudit = true // asked while writing, and nothing is changed or read
			out, err := s.deps.Rulebook.TryPasted(in.Body.Source, s.deps.Rules.Surroundings(), in.Body.Events)
			if errors.Is(err, rulebook.ErrInvalid) {
				return nil, Problem(http.StatusUnprocessableEntity, "%s", plain(err, rulebook.ErrInvalid, ""))
			}
			return Reply(out), err
		})

	Register(s, huma.Operation{OperationID: "try-rule", Method: http.MethodPost, Path: "/rules/try", Tags: tags,
		Summary: "Run a rule over stored events without keeping it", MaxBodyBytes: 2 << 20, Errors: []int{400, 422, 429},
		Description: "Server-sent events: progress, then result, or failed. It looks at the latest events first, at a million at most, for two minutes at most; closing the connection ends it.",
		Responses:   map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}}}}},
		identity.ScopeRead,
		func(ctx context.Context, in *struct{ Body ruleTrial }) (*huma.StreamResponse, error) {
			if s.deps.Rules == nil || s.deps.Rulebook == nil {
				return nil, unavailable("the rule set")
			}
			from := in.Body
			if from.Start == "" {
				from.Since = cmp.Or(from.Since, trialBack.String())
			}
			req, none, err := s.searchRequest(ctx, SearchInput{TimeInput: TimeInput{Start: from.Start, End: from.End, Since: from.Since}, Query: from.Query, Tenant: from.Tenant})
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "rule", from.Tenant, fmt.Sprintf("%s to %s", req.Start.Format(time.RFC3339), req.End.Format(time.RFC3339)))
			if v := s.deps.Rulebook.Check(from.Source, "", rulebook.Surroundings{}); len(v.Rules) > 0 {
				AuditObject(ctx, "rule:"+clip(cmp.Or(v.Main, v.Rules[0].Title), 200), from.Tenant, fmt.Sprintf("%s to %s", req.Start.Format(time.RFC3339), req.End.Format(time.RFC3339)))
			}
			return s.tryRule(ctx, from.Source, req, none)
		})
}

// tryRule runs a trial while its answer is sent. The handler returns before
// the body is written, so that the trial has a context of its own.
func (s *Server) tryRule(ctx context.Context, source string, req search.Request, none bool) (*huma.StreamResponse, error) {
	st := stateOf(ctx)
	ctx, leave, err := s.enterSearch(context.WithoutCancel(ctx), rulebook.TrialTime)
	if err != nil {
		return nil, err
	}
	with := s.deps.Rules.Surroundings()
	rows := func(ctx context.Context, from, to time.Time, emit func([]byte) error) error {
		if none {
			return nil
		}
		part := req
		part.Start, part.End, part.Limit = from, to, 0
		return s.deps.Search.Query(ctx, part, emit)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(http.StatusOK)
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("Cache-Control", "no-store")
		hc.SetHeader("X-Accel-Buffering", "no")
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			defer leave()
			say := func(event string, data any) error {
				b, err := json.Marshal(data)
				if err != nil {
					return err
				}
				if st.conn != nil {
					if err := st.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
						return err
					}
				}
				fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, b)
				return w.Flush()
			}
			defer func() {
				if r := recover(); r != nil {
					s.log.Error("panic in a trial of a rule", "request_id", st.requestID, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
					_ = say("failed", map[string]string{"detail": "the trial failed; quote the request id to the operator", "request_id": st.requestID})
				}
			}()
			if say("progress", rulebook.Progress{Reached: req.End}) != nil {
				return
			}
			out, err := s.deps.Rulebook.Try(ctx, source, with, req.Start, req.End, rows, func(p rulebook.Progress) error { return say("progress", p) })
			if err != nil {
				_ = say("failed", map[string]string{"detail": s.trialFault(ctx, err), "request_id": st.requestID})
				return
			}
			_ = say("result", out)
		})
	}}, nil
}

// trialFault words what kept a trial from its end.
func (s *Server) trialFault(ctx context.Context, err error) string {
	if errors.Is(err, rulebook.ErrInvalid) {
		return err.Error()
	}
	var known huma.StatusError
	if errors.As(s.toProblem(ctx, err), &known) {
		return strings.TrimSpace(known.Error())
	}
	return "the trial failed"
}

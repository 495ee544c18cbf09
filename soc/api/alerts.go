package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
)

type listAlertsInput struct {
	AlertFilter
	PageInput
	Sort string `query:"sort" maxLength:"64" doc:"last_seen, first_seen, created_at, severity, priority, verdict, count or focus (risks of focus first, then last seen), with - before it for descending; -last_seen by default"`
}

type markedAlerts struct {
	Marked int `json:"marked" doc:"Alerts within reach"`
}

type batchFailure struct {
	ID     string `json:"id"`
	Status int    `json:"status" doc:"As the single action would have answered"`
	Detail string `json:"detail"`
}

// failureOf says why one thing of a batch was not done, as the single action
// would have said it.
func failureOf(id string, problem error) batchFailure {
	f := batchFailure{ID: id, Status: http.StatusInternalServerError, Detail: "something went wrong on the server"}
	var p *huma.ErrorModel
	if errors.As(problem, &p) {
		f.Status, f.Detail = p.Status, p.Detail
	}
	return f
}

type batchResult struct {
	Items  []ticketing.Alert `json:"items" nullable:"false" doc:"The alerts that were changed"`
	Failed []batchFailure    `json:"failed" nullable:"false"`
}

func (t *tickets) alertRoutes(s *Server) {
	Register(s, huma.Operation{OperationID: "list-alerts", Method: http.MethodGet, Path: "/alerts", Tags: []string{"alerts"},
		Summary: "Alerts"}, identity.ScopeRead,
		func(ctx context.Context, in *listAlertsInput) (*Body[Page[ticketing.Alert]], error) {
			query, err := t.query(ctx, s, in.AlertFilter)
			if err != nil {
				return nil, err
			}
			query.Page = ticketing.Page{Sort: in.Sort, Limit: in.Limit, Cursor: in.Cursor}
			items, total, next, err := t.svc.Alerts(ctx, query)
			if err == nil {
				err = t.svc.MarkUnread(ctx, Actor(ctx), items)
			}
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(PageOf(items, total, next)), nil
		})

	Register(s, huma.Operation{OperationID: "mark-alerts", Method: http.MethodPost, Path: "/alerts/read", Tags: []string{"alerts"},
		Summary: "Note that the caller has looked at alerts, or have them as new to him again", Errors: []int{422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs    []string `json:"ids" minItems:"1" maxItems:"1000" nullable:"false"`
				Unread bool     `json:"unread,omitempty" doc:"They are to be as new again"`
			}
		}) (*Body[markedAlerts], error) {
			stateOf(ctx).skipAudit = true // it changes nothing but the caller's own view
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			n, err := t.svc.MarkRead(ctx, by, in.Body.IDs, !in.Body.Unread)
			return Reply(markedAlerts{n}), ticketProblem(err)
		})

	Register(s, huma.Operation{OperationID: "get-alert", Method: http.MethodGet, Path: "/alerts/{id}", Tags: []string{"alerts"},
		Summary: "One alert with its latest firings and its timeline", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[ticketing.AlertDetail], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			a, err := t.svc.Alert(ctx, by.Reach, in.ID)
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(a), nil
		})

	actRoutes[CloseBody](s, acts[ticketing.Alert]{
		noun: "alert", of: func(a ticketing.Alert) (string, string) { return a.ID, a.Tenant },
		acknowledge: t.svc.AcknowledgeAlert, assign: t.svc.AssignAlert, comment: t.svc.CommentAlert,
		close: t.svc.CloseAlert, closing: "Close an alert",
		reopen: t.svc.ReopenAlert, reopening: "Undo closing or acknowledging",
	})

	Register(s, huma.Operation{OperationID: "batch-alerts", Method: http.MethodPost, Path: "/alerts/batch", Tags: []string{"alerts"},
		Summary: "One action on several alerts; those that do not allow it are named and the rest is done", Errors: []int{422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs        []string `json:"ids" minItems:"1" maxItems:"500" nullable:"false"`
				Action     string   `json:"action" enum:"acknowledge,assign,close,reopen,tag,untag"`
				Tag        string   `json:"tag,omitempty" maxLength:"40" doc:"Of tag and untag"`
				Assignee   string   `json:"assignee,omitempty" maxLength:"200" doc:"Of assign"`
				Resolution string   `json:"resolution,omitempty" enum:"true_positive,false_positive,benign,test,duplicate" doc:"Of close"`
				Comment    string   `json:"comment,omitempty" maxLength:"10000" doc:"Of acknowledge and close"`
			}
		}) (*Body[batchResult], error) {
			AuditObject(ctx, "alerts", "", in.Body.Action+" "+strconv.Itoa(len(in.Body.IDs)))
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			done, failed, err := t.svc.BatchAlerts(ctx, by, ticketing.Batch{
				IDs: in.Body.IDs, Action: in.Body.Action, Assignee: in.Body.Assignee, Tag: in.Body.Tag,
				Close: ticketing.Close{Resolution: in.Body.Resolution, Comment: in.Body.Comment}})
			if err != nil {
				return nil, ticketProblem(err)
			}
			out := batchResult{Items: done, Failed: []batchFailure{}}
			if out.Items == nil {
				out.Items = []ticketing.Alert{}
			}
			names := make([]string, 0, len(done))
			for _, a := range done {
				names = append(names, a.ID)
			}
			for _, id := range in.Body.IDs {
				cause, ok := failed[id]
				if !ok {
					continue
				}
				delete(failed, id)
				out.Failed = append(out.Failed, failureOf(id, ticketProblem(cause)))
			}
			detail := in.Body.Action
			if in.Body.Resolution != "" {
				detail += " " + in.Body.Resolution
			}
			AuditObject(ctx, "alerts", "", clip(detail+": "+strings.Join(names, " "), 4096))
			return Reply(out), nil
		})
}

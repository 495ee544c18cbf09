package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
)

type commentBody struct {
	Comment string `json:"comment,omitempty" maxLength:"10000"`
}

type assignBody struct {
	Assignee string `json:"assignee" doc:"A user's name; empty takes the assignment back" maxLength:"200"`
}

type textBody struct {
	Text string `json:"text" minLength:"1" maxLength:"10000"`
}

// CloseBody is how a thing is closed.
type CloseBody struct {
	Resolution string `json:"resolution" enum:"true_positive,false_positive,benign,test,duplicate"`
	Comment    string `json:"comment,omitempty" maxLength:"10000"`
}

func (b CloseBody) how() ticketing.Close {
	return ticketing.Close{Resolution: b.Resolution, Comment: b.Comment}
}

type closeIncidentBody struct {
	CloseBody
	CloseAlerts *bool `json:"close_alerts,omitempty" doc:"Close the incident's alerts with it, with the same resolution; true by default"`
}

func (b closeIncidentBody) how() ticketing.Close {
	c := b.CloseBody.how()
	c.KeepAlerts = b.CloseAlerts != nil && !*b.CloseAlerts
	return c
}

// acts is what can be done to an alert or to an incident: the calls, and the
// summaries of those two that do not mean the same for both.
type acts[T any] struct {
	noun                         string
	of                           func(T) (id, tenant string)
	acknowledge, assign, comment func(ctx context.Context, by ticketing.Actor, id, text string) (T, error)
	close                        func(ctx context.Context, by ticketing.Actor, id string, how ticketing.Close) (T, error)
	reopen                       func(ctx context.Context, by ticketing.Actor, id string) (T, error)
	closing, reopening           string
}

// actRoutes makes the routes of acts, so that analysts and scripts find alerts
// and incidents to behave alike. C is the body that closes.
func actRoutes[C interface{ how() ticketing.Close }, T any](s *Server, a acts[T]) {
	act := func(ctx context.Context, id, detail string, do func(by ticketing.Actor) (T, error)) (*Body[T], error) {
		// Known before it is tried, so that the audit log has failures too.
		AuditObject(ctx, a.noun+":"+clip(id, 64), "", detail)
		by, err := acting(ctx)
		if err != nil {
			return nil, err
		}
		out, err := do(by)
		if err != nil {
			return nil, ticketProblem(err)
		}
		id, tenant := a.of(out)
		AuditObject(ctx, a.noun+":"+id, tenant, detail)
		return Reply(out), nil
	}
	op := func(verb, action, summary string) huma.Operation {
		return huma.Operation{OperationID: verb + "-" + a.noun, Method: http.MethodPost, Path: "/" + a.noun + "s/{id}/" + action,
			Tags: []string{a.noun + "s"}, Summary: summary, Errors: []int{404, 409, 422}}
	}
	Register(s, op("acknowledge", "acknowledge", "Say that somebody looks after an open "+a.noun), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body *commentBody
		}) (*Body[T], error) {
			comment := ""
			if in.Body != nil {
				comment = in.Body.Comment
			}
			return act(ctx, in.ID, "", func(by ticketing.Actor) (T, error) { return a.acknowledge(ctx, by, in.ID, comment) })
		})
	Register(s, op("assign", "assign", "Give an "+a.noun+" to somebody"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body assignBody
		}) (*Body[T], error) {
			return act(ctx, in.ID, "assignee: "+clip(in.Body.Assignee, 200), func(by ticketing.Actor) (T, error) {
				return a.assign(ctx, by, in.ID, in.Body.Assignee)
			})
		})
	Register(s, op("comment", "comments", "Add a comment"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body textBody
		}) (*Body[T], error) {
			return act(ctx, in.ID, "", func(by ticketing.Actor) (T, error) { return a.comment(ctx, by, in.ID, in.Body.Text) })
		})
	Register(s, op("close", "close", a.closing), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body C
		}) (*Body[T], error) {
			how := in.Body.how()
			return act(ctx, in.ID, "resolution: "+how.Resolution, func(by ticketing.Actor) (T, error) { return a.close(ctx, by, in.ID, how) })
		})
	Register(s, op("reopen", "reopen", a.reopening), identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[T], error) {
			return act(ctx, in.ID, "", func(by ticketing.Actor) (T, error) { return a.reopen(ctx, by, in.ID) })
		})
}

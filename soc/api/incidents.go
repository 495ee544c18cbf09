package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
)

type listIncidentsInput struct {
	TicketFilter
	PageInput
	Verdict  string `query:"verdict" maxLength:"200" doc:"Worst verdict: failed, attempt, success, compromised, none; several with commas"`
	Phase    string `query:"phase" maxLength:"400" doc:"Furthest phase of the kill chain; several with commas"`
	Mine     bool   `query:"mine" doc:"Only those assigned to the caller"`
	Archived string `query:"archived" enum:"only,too" doc:"Archived ones alone, or beside the others; left out they are not listed"`
	Sort     string `query:"sort" maxLength:"64" doc:"opened_at, last_seen, first_seen, severity, priority, due or alert_count, with - before it for descending; -opened_at by default"`
}

func (t *tickets) incidentRoutes(s *Server) {
	Register(s, huma.Operation{OperationID: "list-incidents", Method: http.MethodGet, Path: "/incidents", Tags: []string{"incidents"},
		Summary: "Incidents"}, identity.ScopeRead,
		func(ctx context.Context, in *listIncidentsInput) (*Body[Page[ticketing.Incident]], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			since, err := in.since(time.Now())
			if err != nil {
				return nil, err
			}
			levels, err := in.dataLevels()
			if err != nil {
				return nil, err
			}
			assignee := assigneeIn(ctx, in.Assignee)
			if in.Mine {
				assignee = PrincipalFrom(ctx).Username
			}
			items, total, next, err := t.svc.Incidents(ctx, ticketing.IncidentQuery{
				Reach: within, Statuses: words(in.Status), Severities: words(in.Severity), Priorities: words(in.Priority),
				CI: in.CI, System: in.System, Assignee: assignee, Verdicts: words(in.Verdict), Phases: words(in.Phase), Q: in.Q, Since: since, Archived: in.Archived, KeyAsset: in.Key, DataLevels: levels,
				Page: ticketing.Page{Sort: in.Sort, Limit: in.Limit, Cursor: in.Cursor}})
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(PageOf(items, total, next)), nil
		})

	Register(s, huma.Operation{OperationID: "get-incident", Method: http.MethodGet, Path: "/incidents/{id}", Tags: []string{"incidents"},
		Summary: "One incident with its alerts and its timeline", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[ticketing.IncidentDetail], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			i, err := t.svc.Incident(ctx, by.Reach, in.ID)
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(i), nil
		})

	actRoutes[closeIncidentBody](s, acts[ticketing.Incident]{
		noun: "incident", of: func(i ticketing.Incident) (string, string) { return i.ID, i.Tenant },
		acknowledge: t.svc.AcknowledgeIncident, assign: t.svc.AssignIncident, comment: t.svc.CommentIncident,
		close: t.svc.CloseIncident, closing: "Close an incident and, unless told otherwise, its alerts",
		reopen: t.svc.ReopenIncident, reopening: "Undo closing, with the alerts that were closed with it, or acknowledging",
	})
	t.priorityRoutes(s)
	t.regroupRoutes(s)
	t.recordRoutes(s)
}

// priorityRoutes let an analyst set an incident's priority himself, and take
// that back.
func (t *tickets) priorityRoutes(s *Server) {
	reply := func(ctx context.Context, id, detail string, do func(by ticketing.Actor) (ticketing.Incident, error)) (*Body[ticketing.Incident], error) {
		AuditObject(ctx, "incident:"+clip(id, 64), "", detail)
		by, err := acting(ctx)
		if err != nil {
			return nil, err
		}
		i, err := do(by)
		if err != nil {
			return nil, ticketProblem(err)
		}
		AuditObject(ctx, "incident:"+i.ID, i.Tenant, detail)
		return Reply(i), nil
	}
	Register(s, huma.Operation{OperationID: "override-incident-priority", Method: http.MethodPut, Path: "/incidents/{id}/priority", Tags: []string{"incidents"},
		Summary: "Set an incident's priority, whatever its alerts say; its targets of response follow", Errors: []int{404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Priority string `json:"priority" enum:"P1,P2,P3,P4"`
				Reason   string `json:"reason" minLength:"1" maxLength:"10000" doc:"Kept and shown beside the priority"`
			}
		}) (*Body[ticketing.Incident], error) {
			return reply(ctx, in.ID, "priority: "+in.Body.Priority, func(by ticketing.Actor) (ticketing.Incident, error) {
				return t.svc.OverridePriority(ctx, by, in.ID, in.Body.Priority, in.Body.Reason)
			})
		})
	Register(s, huma.Operation{OperationID: "undo-incident-priority", Method: http.MethodDelete, Path: "/incidents/{id}/priority", Tags: []string{"incidents"},
		Summary: "Give an incident back the priority that follows from its alerts", Errors: []int{404, 409}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[ticketing.Incident], error) {
			return reply(ctx, in.ID, "priority: undo", func(by ticketing.Actor) (ticketing.Incident, error) { return t.svc.UndoOverride(ctx, by, in.ID) })
		})
}

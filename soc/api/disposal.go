package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/disposal"
	"icewatch/ticketing/workorder"
)

// DisposalBody is a disposal rule as it is written. It is exported because
// inputs embed it.
type DisposalBody struct {
	disposal.Content
	Position int   `json:"position,omitempty" minimum:"0" doc:"Its place among the rules; left out it stays where it is"`
	Revision int64 `json:"revision,omitempty" doc:"Of what was read before the change; without it whatever is there is replaced"`
}

// matchedThing is an alert or incident that a rule would match.
type matchedThing struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind" enum:"alert,incident"`
	Title    string    `json:"title,omitempty"`
	Tenant   string    `json:"tenant"`
	Severity string    `json:"severity"`
	OpenedAt time.Time `json:"opened_at"`
}

// previewOver is how much of the past a preview looks at.
const previewOver = 200

func (s *Server) disposalRoutes() {
	rules, tags := s.deps.Dispatch.Rules, []string{"disposal rules"}
	// Rules see every tenant's alerts, whoever wrote them.
	one := func(ctx context.Context, id, detail string, do func(by string) (disposal.Rule, error)) (*Body[disposal.Rule], error) {
		AuditObject(ctx, "disposal-rule:"+clip(id, 64), "", clip(detail, 200))
		if err := cityOnly(ctx); err != nil {
			return nil, err
		}
		r, err := do(Actor(ctx))
		return Reply(r), dispatchProblem(err)
	}
	Register(s, huma.Operation{OperationID: "list-disposal-rules", Method: http.MethodGet, Path: "/disposal-rules", Tags: tags, Summary: "Rules by which alerts and incidents are handed on, in their order", Errors: []int{403}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Deleted bool `query:"deleted" doc:"Those that were deleted, too"`
		}) (*Body[Page[disposal.Rule]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list, err := rules.Rules(ctx, in.Deleted)
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, huma.Operation{OperationID: "create-disposal-rule", Method: http.MethodPost, Path: "/disposal-rules", Tags: tags, Summary: "Add a disposal rule", DefaultStatus: http.StatusCreated, Errors: []int{403, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body disposal.Content }) (*Body[disposal.Rule], error) {
			return one(ctx, "", in.Body.Name, func(by string) (disposal.Rule, error) { return rules.Add(ctx, by, in.Body) })
		})
	Register(s, huma.Operation{OperationID: "preview-disposal-rule", Method: http.MethodPost, Path: "/disposal-rules/preview", Tags: tags,
		Summary: "Which of the latest alerts or incidents a rule would have matched, without keeping it", Errors: []int{403, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body disposal.Content }) (*Body[Page[matchedThing]], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			subjects, err := s.latest(ctx, within, in.Body.On)
			if err != nil {
				return nil, err
			}
			list, err := disposal.Matches(in.Body, subjects, func(sub *workorder.Subject) time.Time { return sub.OpenedAt })
			out := []matchedThing{}
			for _, m := range list {
				if within.Veil() != nil {
					m.Title = ""
				}
				out = append(out, matchedThing{m.ID, m.Kind, m.Title, m.Tenant, m.Severity, m.OpenedAt})
			}
			return Reply(PageOf(out, len(out), "")), dispatchProblem(err)
		})
	Register(s, huma.Operation{OperationID: "get-disposal-rule", Method: http.MethodGet, Path: "/disposal-rules/{id}", Tags: tags, Summary: "One disposal rule", Errors: []int{403, 404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[disposal.Rule], error) {
			return one(ctx, in.ID, "", func(string) (disposal.Rule, error) { return rules.Rule(ctx, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "update-disposal-rule", Method: http.MethodPut, Path: "/disposal-rules/{id}", Tags: tags, Summary: "Change a disposal rule", Errors: []int{403, 404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			IDInput
			Body DisposalBody
		}) (*Body[disposal.Rule], error) {
			return one(ctx, in.ID, in.Body.Name, func(by string) (disposal.Rule, error) {
				return rules.Change(ctx, by, in.ID, in.Body.Revision, in.Body.Position, in.Body.Content)
			})
		})
	Register(s, huma.Operation{OperationID: "delete-disposal-rule", Method: http.MethodDelete, Path: "/disposal-rules/{id}", Tags: tags, Summary: "Take a disposal rule away; it can be restored", Errors: []int{403, 404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[disposal.Rule], error) {
			return one(ctx, in.ID, "", func(by string) (disposal.Rule, error) { return rules.Delete(ctx, by, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "restore-disposal-rule", Method: http.MethodPost, Path: "/disposal-rules/{id}/restore", Tags: tags, Summary: "Bring a deleted disposal rule back", Errors: []int{403, 404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[disposal.Rule], error) {
			return one(ctx, in.ID, "", func(by string) (disposal.Rule, error) { return rules.Restore(ctx, by, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "list-disposal-records", Method: http.MethodGet, Path: "/disposal-records", Tags: tags, Summary: "What disposal rules did, the latest first", Errors: []int{403, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Tenant string `query:"tenant" maxLength:"4096"`
			Rule   string `query:"rule" maxLength:"64"`
			Object string `query:"object" maxLength:"64" doc:"Id of an alert or incident"`
			Failed bool   `query:"failed" doc:"Only those of which something could not be done"`
		}) (*Body[Page[disposal.Record]], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			items, total, next, err := rules.Records(ctx, disposal.RecordQuery{Reach: within, Rule: in.Rule, Object: in.Object, Failed: in.Failed, Limit: in.Limit, Cursor: in.Cursor})
			for i := range items {
				if within.Veil() != nil || !within.CoversWhole(items[i].Tenant) {
					items[i].Title = ""
				}
			}
			return Reply(PageOf(items, total, next)), dispatchProblem(err)
		})
}

// latest are the latest alerts or incidents in reach, as rules see them.
func (s *Server) latest(ctx context.Context, within reach.Reach, on string) (out []workorder.Subject, err error) {
	svc := s.deps.Casework.Incidents
	var ids []string
	if on == disposal.OnAlert {
		list, _, _, err := svc.Alerts(ctx, ticketing.AlertQuery{Reach: within, Page: ticketing.Page{Sort: "-created_at", Limit: previewOver}})
		if err != nil {
			return nil, ticketProblem(err)
		}
		for i := range list {
			ids = append(ids, list[i].ID)
		}
	} else {
		list, _, _, err := svc.Incidents(ctx, ticketing.IncidentQuery{Reach: within, Archived: ticketing.ArchivedToo, Page: ticketing.Page{Sort: "-opened_at", Limit: previewOver}})
		if err != nil {
			return nil, ticketProblem(err)
		}
		for i := range list {
			ids = append(ids, list[i].ID)
		}
	}
	desk := ticketing.Desk{Service: svc}
	for _, id := range ids {
		sub, err := desk.Subject(ctx, id)
		if errors.Is(err, workorder.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, sub)
	}
	return out, nil
}

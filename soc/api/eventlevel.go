package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
)

// eventLevelRoutes registers the level of data-security events. The table of
// factors is the setting data-event-levels.
func (t *tickets) eventLevelRoutes(s *Server) {
	Register(s, huma.Operation{OperationID: "get-event-level", Method: http.MethodGet, Path: "/incidents/{id}/event-level", Tags: []string{"incidents"},
		Summary: "The level of an incident as a data-security event, why, and what people may answer", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[ticketing.EventLevel], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			v, err := t.svc.EventLevel(ctx, by.Reach, in.ID)
			return Reply(v), ticketProblem(err)
		})
	Register(s, huma.Operation{OperationID: "answer-event-level", Method: http.MethodPut, Path: "/incidents/{id}/event-level/{factor}", Tags: []string{"incidents"},
		Summary: "Answer a factor of the level of a data-security event; the incident is graded anew", Errors: []int{404, 409, 422},
		Description: "An incident that was none is a data-security event once somebody answers. An empty answer takes the former one back."}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Factor string `path:"factor" maxLength:"40"`
			Body   struct {
				Answer string `json:"answer" maxLength:"40" doc:"Key of one of the factor's answers; empty takes it back"`
			}
		}) (*Body[ticketing.EventLevel], error) {
			AuditObject(ctx, "incident:"+clip(in.ID, 64), "", "level: "+in.Factor+"="+in.Body.Answer)
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			v, err := t.svc.AnswerEvent(ctx, by, in.ID, in.Factor, in.Body.Answer)
			return Reply(v), ticketProblem(err)
		})
}

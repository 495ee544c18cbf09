package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/generation"
)

// generationRoutes registers the trial of the policy by which alerts are raised.
// The policy itself is the setting alert-generation.
func (t *tickets) generationRoutes(s *Server) {
	Register(s, huma.Operation{OperationID: "preview-alert-generation", Method: http.MethodPost, Path: "/alerts/generation/preview", Tags: []string{"alerts"},
		Summary: "What a policy of generation would have made of last week's alerts", Errors: []int{422},
		Description: "Of the alerts within reach. A policy is put in force by set-alert-generation; it holds for alerts that fire from then on."}, identity.ScopeRead,
		func(ctx context.Context, in *struct{ Body generation.RaisingPolicy }) (*Body[ticketing.GenerationPreview], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			p, err := t.svc.PreviewGeneration(ctx, within, in.Body)
			return Reply(p), ticketProblem(err)
		})
}

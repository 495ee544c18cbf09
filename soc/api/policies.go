package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections/policy"
	"icewatch/detections/policy/decisions"
	"icewatch/soc/identity"
)

// PolicyStatus is the policies in force as a whole.
type PolicyStatus struct {
	Since            time.Time        `json:"since" doc:"They are in force since"`
	Packages         []policy.Package `json:"packages" nullable:"false" doc:"In force, by name"`
	Problems         []policy.Problem `json:"problems" nullable:"false" doc:"Files that are refused, and why"`
	RequireSignature bool             `json:"require_signature" doc:"Whether what is not signed is refused"`
	Keys             []string         `json:"keys" nullable:"false" doc:"Names of the keys that verify bundles"`
	Stats            policy.Stats     `json:"stats"`
	Mean             float64          `json:"mean_us" doc:"What a decision took on the average, microseconds"`
	LogDropped       int64            `json:"log_dropped" doc:"Decisions since the start that the decision log did not keep, since there were more a second than it takes"`
}

// Policies is what the API asks of the policies' keeper.
type Policies interface {
	Status() PolicyStatus
	Decisions(ctx context.Context, q decisions.Query) (list []decisions.Decision, more bool, err error)
}

type listDecisionsInput struct {
	PageInput
	Tenant string `query:"tenant" maxLength:"4096"`
	Alert  string `query:"alert" maxLength:"64" doc:"Id of an alert"`
	Path   string `query:"path" maxLength:"256" doc:"What a decision's path begins with, such as icewatch/priority"`
	Failed bool   `query:"failed" doc:"Only those where the policy gave no answer"`
	Q      string `query:"q" maxLength:"256" doc:"A text somewhere in the decision"`
}

func (s *Server) policyRoutes() {
	Register(s, huma.Operation{OperationID: "get-policies", Method: http.MethodGet, Path: "/policies", Tags: []string{"policies"},
		Summary: "The policies in force, with revision and signature, and those that are refused"}, identity.ScopeRead,
		func(context.Context, *Empty) (*Body[PolicyStatus], error) {
			if s.deps.Policies == nil {
				return nil, unavailable("the policies")
			}
			return Reply(s.deps.Policies.Status()), nil
		})

	Register(s, huma.Operation{OperationID: "list-policy-decisions", Method: http.MethodGet, Path: "/policy-decisions", Tags: []string{"policies"},
		Summary: "What policies decided and on what input, newest first, in the format of OPA's decision logs"}, identity.ScopeRead,
		func(ctx context.Context, in *listDecisionsInput) (*Body[Page[decisions.Decision]], error) {
			if s.deps.Policies == nil {
				return nil, unavailable("the policies")
			}
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			q := decisions.Query{Alert: in.Alert, Path: in.Path, Failed: in.Failed, Text: in.Q, Limit: in.Limit}
			if in.Cursor != "" {
				if q.Before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || q.Before <= 0 {
					return nil, Problem(http.StatusBadRequest, "cursor: %q is not the next of a page before", clip(in.Cursor, 64))
				}
			}
			if !within.Everything() {
				// A decision's input tells of an alert as it is; so of a tenant
				// that the caller sees in part only, he sees none.
				q.Tenants = []string{}
				slugs, _ := within.TenantSlugs()
				for _, slug := range slugs {
					if within.CoversWhole(slug) {
						q.Tenants = append(q.Tenants, slug)
					}
				}
			}
			list, more, err := s.deps.Policies.Decisions(ctx, q)
			if err != nil {
				return nil, err
			}
			next := ""
			if more {
				next = strconv.FormatInt(list[len(list)-1].Seq, 10)
			}
			return Reply(PageOf(list, len(list), next)), nil
		})
}

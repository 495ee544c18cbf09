package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
)

// ruleSetRoutes serve the rules in force as a whole.
func (s *Server) ruleSetRoutes() {
	Register(s, huma.Operation{OperationID: "get-rule-set", Method: http.MethodGet, Path: "/rule-set", Tags: []string{"catalogue"},
		Summary: "The rule set in force: its version, how long its last change took step by step, and the rules that do not run freely"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[RuleSet], error) {
			if s.deps.Rules == nil {
				return nil, unavailable("the rule set")
			}
			set, err := s.deps.Rules.RuleSet(ctx)
			if err != nil {
				return nil, err
			}
			return Reply(set), nil
		})
}

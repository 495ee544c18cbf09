package api

import (
	"context"
	"fmt"
	"net/http"

	"icewatch/soc/exposure/finding"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

// findingOrderDetail is a work order of findings with its findings and its history.
type findingOrderDetail struct {
	Order   finding.FindingOrder        `json:"order"`
	Members []finding.Finding           `json:"members" nullable:"false" doc:"Its findings, the most urgent first"`
	History []finding.FindingOrderEvent `json:"history" nullable:"false" doc:"The latest first, at most 500"`
}

// findingOrderRoutes registers the work orders of findings.
func (s *Server) findingOrderRoutes() {
	f := s.deps.Weaknesses
	if f == nil {
		return
	}
	detail := func(ctx context.Context, id string) (*Body[findingOrderDetail], error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return nil, err
		}
		o, members, history, err := f.Order(ctx, within, id)
		return Reply(findingOrderDetail{o, members, history}), findingProblem(err)
	}
	Register(s, exposureOperation("list-finding-orders", http.MethodGet, "/finding-orders", "Work orders of findings, the newest first: those all of whose findings are within reach", 400, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Tenant  string `query:"tenant" maxLength:"4096"`
			Finding string `query:"finding" maxLength:"64" doc:"Id of a finding that they are of"`
			State   string `query:"state" enum:"open,done,withdrawn"`
			Q       string `query:"q" maxLength:"200" doc:"Part of the title, the id or the owner"`
		}) (*Body[Page[finding.FindingOrder]], error) {
			return pageWithin(ctx, in.Tenant, in.PageInput, findingProblem, func(within reach.Reach, from int) ([]finding.FindingOrder, int, error) {
				return f.Orders(ctx, within, finding.OrderQuestion{Finding: in.Finding, State: in.State, Words: in.Q, Limit: in.Limit, Offset: from})
			})
		})
	Register(s, exposureOperation("get-finding-order", http.MethodGet, "/finding-orders/{id}", "A work order of findings, its findings and what happened to it", 404), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[findingOrderDetail], error) { return detail(ctx, in.ID) })
	Register(s, exposureOperation("create-finding-order", http.MethodPost, "/finding-orders", "Make a work order of findings of one tenant that have yet to be repaired. Its deadline is their earliest; they are in repair from then on", 404, 409, 422), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs   []string `json:"ids" minItems:"1" maxItems:"1000" nullable:"false" doc:"Of findings"`
				Title string   `json:"title,omitempty" maxLength:"300" doc:"By the most urgent finding where empty"`
				Owner string   `json:"owner,omitempty" maxLength:"200" doc:"The findings' owners where empty"`
			}
		}) (*Body[finding.FindingOrder], error) {
			AuditObject(ctx, "finding-order", "", fmt.Sprintf("%d findings", len(in.Body.IDs)))
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			o, err := f.MakeOrder(ctx, within, Actor(ctx), in.Body.IDs, in.Body.Title, in.Body.Owner)
			if err != nil {
				return nil, findingProblem(err)
			}
			AuditObject(ctx, "finding-order:"+o.ID, o.Tenant, fmt.Sprintf("%d findings", len(in.Body.IDs)))
			return Reply(o), nil
		})
	for _, a := range []struct{ id, path, state, summary string }{
		{"finish-finding-order", "/done", finding.OrderDone, "Say that a work order is done: its findings become fixed, to be looked at again"},
		{"withdraw-finding-order", "/withdraw", finding.OrderWithdrawn, "Withdraw a work order: its findings in repair are open again"},
	} {
		Register(s, exposureOperation(a.id, http.MethodPost, "/finding-orders/{id}"+a.path, a.summary, 404, 409, 422), identity.ScopeRespond,
			func(ctx context.Context, in *struct {
				IDInput
				Body struct {
					Note string `json:"note,omitempty" maxLength:"2000" doc:"What came out of it"`
				}
			}) (*Body[finding.FindingOrder], error) {
				AuditObject(ctx, "finding-order:"+clip(in.ID, 64), "", a.path[1:])
				within, err := Reach(ctx, "")
				if err != nil {
					return nil, err
				}
				o, err := f.EndOrder(ctx, within, Actor(ctx), in.ID, a.state, in.Body.Note)
				return Reply(o), findingProblem(err)
			})
	}
}

package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
)

// ThreatViewFilter says over which alerts threats are analysed: the span that they
// were last seen in, and whose. It is exported because inputs embed it.
type ThreatViewFilter struct {
	Since  string `query:"since" maxLength:"64" default:"7d" doc:"A time, or a duration before now"`
	Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
	Status string `query:"status" maxLength:"100" doc:"open, acknowledged, closed; several with commas. All by default"`
}

// query is what the filter asks of ticketing, within the caller's reach.
func (f ThreatViewFilter) query(ctx context.Context, now time.Time) (ticketing.AlertQuery, error) {
	within, err := Reach(ctx, f.Tenant)
	if err != nil {
		return ticketing.AlertQuery{}, err
	}
	since, err := ParseTime(f.Since, now)
	if err != nil {
		return ticketing.AlertQuery{}, Problem(http.StatusBadRequest, "since: %s", err)
	}
	return ticketing.AlertQuery{Reach: within, Since: since, Statuses: words(f.Status)}, nil
}

// threatView is a view and what finds its alerts in the list of alerts.
type threatView struct {
	ticketing.ThreatSum
	Filter map[string]string `json:"filter" doc:"Parameters of the list of alerts that choose this view's; empty for attackers, whose alerts are those that name one"`
}

// filterOf are the parameters of list-alerts that choose a view's alerts.
func filterOf(v ticketing.ThreatView) map[string]string {
	out := map[string]string{}
	for name, values := range map[string][]string{"threat": v.Threats, "phase": v.Phases, "attack": v.Attacks, "risk": v.Risks} {
		if len(values) > 0 {
			out[name] = strings.Join(values, ",")
		}
	}
	return out
}

// viewRoutes registers the views that threats are analysed by.
func (t *tickets) viewRoutes(s *Server) {
	Register(s, huma.Operation{OperationID: "list-threat-views", Method: http.MethodGet, Path: "/threats", Tags: []string{"alerts"},
		Summary: "Views that threats are analysed by, and how many alerts each is about", Errors: []int{400, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct{ ThreatViewFilter }) (*Body[Page[threatView]], error) {
			query, err := in.query(ctx, time.Now())
			if err != nil {
				return nil, err
			}
			sums, err := t.svc.ThreatSums(ctx, query)
			if err != nil {
				return nil, ticketProblem(err)
			}
			out := make([]threatView, 0, len(sums))
			for i, sum := range sums {
				out = append(out, threatView{sum, filterOf(ticketing.ThreatViews[i])})
			}
			return Reply(PageOf(out, len(out), "")), nil
		})
	Register(s, huma.Operation{OperationID: "get-threat-view", Method: http.MethodGet, Path: "/threats/{view}", Tags: []string{"alerts"},
		Summary: "What the alerts of a view are made of: by severity, verdict, phase, type of attack, attacker, victim, system, rule, and their course", Errors: []int{400, 404, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ThreatViewFilter
			View string `path:"view" maxLength:"40" doc:"Id of a view"`
		}) (*Body[ticketing.ThreatFigures], error) {
			i := slices.IndexFunc(ticketing.ThreatViews, func(v ticketing.ThreatView) bool { return v.ID == in.View })
			if i < 0 {
				ids := make([]string, 0, len(ticketing.ThreatViews))
				for _, v := range ticketing.ThreatViews {
					ids = append(ids, v.ID)
				}
				return nil, Problem(http.StatusNotFound, "there is no view %q: want one of %s", clip(in.View, 40), strings.Join(ids, ", "))
			}
			now := time.Now()
			query, err := in.query(ctx, now)
			if err != nil {
				return nil, err
			}
			out, err := t.svc.Threats(ctx, ticketing.ThreatViews[i], query, now)
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(out), nil
		})
}

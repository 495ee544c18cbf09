package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/inhibition"
)

// inhibitionView is a rule of inhibition as the console shows it.
type inhibitionView struct {
	InhibitionBody
	ID        string         `json:"id"`
	UpdatedAt ticketing.Time `json:"updated_at" format:"date-time"`
	UpdatedBy string         `json:"updated_by"`
}

// InhibitionBody is a rule of inhibition as it is written. It is exported because
// inputs embed it.
type InhibitionBody struct {
	Name        string           `json:"name" minLength:"1" maxLength:"200"`
	Description string           `json:"description,omitempty" maxLength:"2000"`
	Source      []silenceMatcher `json:"source" minItems:"1" maxItems:"64" nullable:"false" doc:"Of the alerts that mute others"`
	Target      []silenceMatcher `json:"target" minItems:"1" maxItems:"64" nullable:"false" doc:"Of the alerts that are muted"`
	Equal       []string         `json:"equal,omitempty" maxItems:"32" doc:"Labels whose values must be the same on both"`
	Tenants     []string         `json:"tenants,omitempty" maxItems:"1000" doc:"For whose alerts it is; all by default"`
	Off         bool             `json:"off,omitempty" doc:"Kept, and not in force"`
}

func matcherViews(list labels.Matchers) []silenceMatcher {
	out := make([]silenceMatcher, 0, len(list))
	for _, m := range list {
		equal := m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp
		out = append(out, silenceMatcher{Name: m.Name, Value: m.Value, IsRegex: m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp, IsEqual: &equal})
	}
	return out
}

func (b InhibitionBody) rule(id string) (r inhibition.Rule, err error) {
	r = inhibition.Rule{ID: id, Name: strings.TrimSpace(b.Name), Description: b.Description, Equal: b.Equal, Tenants: b.Tenants, Off: b.Off}
	if r.Source, err = matchersOf(b.Source); err != nil {
		return r, err
	}
	r.Target, err = matchersOf(b.Target)
	return r, err
}

func inhibitionProblem(err error, id string) error {
	switch {
	case errors.Is(err, inhibition.ErrNotFound):
		return NotFound("rule of inhibition", clip(id, 64))
	case errors.Is(err, inhibition.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, inhibition.ErrInvalid, ""))
	}
	return err
}

func viewOfInhibition(r inhibition.Rule) inhibitionView {
	return inhibitionView{InhibitionBody: InhibitionBody{Name: r.Name, Description: r.Description, Source: matcherViews(r.Source), Target: matcherViews(r.Target), Equal: r.Equal, Tenants: r.Tenants, Off: r.Off},
		ID: r.ID, UpdatedAt: ticketing.Time{Time: r.UpdatedAt}, UpdatedBy: r.UpdatedBy}
}

func (t *tickets) inhibitionRoutes(s *Server) {
	tags := []string{"inhibitions"}
	Register(s, huma.Operation{OperationID: "list-inhibitions", Method: http.MethodGet, Path: "/inhibitions", Tags: tags,
		Summary: "Rules by which one alert mutes others: those that mute nothing beyond my reach"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[inhibitionView]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, err := t.svc.Inhibitions(ctx, within)
			if err != nil {
				return nil, err
			}
			items := make([]inhibitionView, 0, len(list))
			for _, r := range list {
				items = append(items, viewOfInhibition(r))
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	rules := alertRules[inhibition.Rule, inhibitionView]{s: s, object: "inhibition", set: t.svc.SetInhibition, remove: t.svc.DeleteInhibition,
		named: func(r inhibition.Rule) (string, string) { return r.ID, r.Name }, view: viewOfInhibition, problem: inhibitionProblem}
	Register(s, huma.Operation{OperationID: "create-inhibition", Method: http.MethodPost, Path: "/inhibitions", Tags: tags,
		Summary: "Have alerts mute others while they fire", DefaultStatus: http.StatusCreated, Errors: []int{422},
		Description: "As in Alertmanager: while an alert fires that the source matchers accept, nobody is told of alerts that the target matchers accept and that have the same values of the labels named in equal. Both are of one tenant, or the source is the city's. They are shown as ever, with the reason."},
		identity.ScopeRespond,
		func(ctx context.Context, in *struct{ Body InhibitionBody }) (*Body[inhibitionView], error) {
			return rules.write(ctx, "", in.Body.Name, in.Body.Tenants, in.Body.rule)
		})
	Register(s, huma.Operation{OperationID: "update-inhibition", Method: http.MethodPut, Path: "/inhibitions/{id}", Tags: tags,
		Summary: "Change, pause or resume a rule of inhibition", Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body InhibitionBody
		}) (*Body[inhibitionView], error) {
			return rules.write(ctx, in.ID, in.Body.Name, in.Body.Tenants, in.Body.rule)
		})
	Register(s, huma.Operation{OperationID: "delete-inhibition", Method: http.MethodDelete, Path: "/inhibitions/{id}", Tags: tags,
		Summary: "Delete a rule of inhibition; restore brings it back", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*struct{}, error) { return rules.drop(ctx, in.ID) })
	Register(s, huma.Operation{OperationID: "restore-inhibition", Method: http.MethodPost, Path: "/inhibitions/{id}/restore", Tags: tags,
		Summary: "Bring back a rule of inhibition that was deleted", Errors: []int{404}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[inhibitionView], error) {
			return rules.change(ctx, in.ID, "", func(by ticketing.Actor) (inhibition.Rule, error) {
				return t.svc.RestoreInhibition(ctx, by, in.ID)
			})
		})
	Register(s, huma.Operation{OperationID: "preview-inhibition", Method: http.MethodPost, Path: "/inhibitions/preview", Tags: tags,
		Summary: "The open alerts that a rule of inhibition would mute now", Errors: []int{422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct{ Body InhibitionBody }) (*Body[silencePreview], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			rule, err := in.Body.rule("")
			if err != nil {
				return nil, err
			}
			items, total, err := t.svc.PreviewInhibition(ctx, within, rule, 50)
			if err != nil {
				return nil, inhibitionProblem(err, "")
			}
			return Reply(silencePreview{Items: items, Total: total}), nil
		})
}

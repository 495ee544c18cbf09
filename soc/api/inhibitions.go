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
	set := func(ctx context.Context, id string, b InhibitionBody) (*Body[inhibitionView], error) {
		AuditObject(ctx, "inhibition:"+clip(id, 64), "", b.Name)
		by, err := acting(ctx)
		if err != nil {
			return nil, err
		}
		for _, slug := range b.Tenants {
			if !s.tenantExists(slug) {
				return nil, Problem(http.StatusUnprocessableEntity, "tenants: there is no tenant %q", clip(slug, 64))
			}
		}
		rule, err := b.rule(id)
		if err != nil {
			return nil, err
		}
		made, err := t.svc.SetInhibition(ctx, by, rule)
		if err != nil {
			return nil, inhibitionProblem(err, id)
		}
		AuditObject(ctx, "inhibition:"+made.ID, "", made.Name)
		return Reply(viewOfInhibition(made)), nil
	}
	Register(s, huma.Operation{OperationID: "create-inhibition", Method: http.MethodPost, Path: "/inhibitions", Tags: tags,
		Summary: "Have alerts mute others while they fire", DefaultStatus: http.StatusCreated, Errors: []int{422},
		Description: "As in Alertmanager: while an alert fires that the source matchers accept, nobody is told of alerts that the target matchers accept and that have the same values of the labels named in equal. Both are of one tenant, or the source is the city's. They are shown as ever, with the reason."},
		identity.ScopeRespond,
		func(ctx context.Context, in *struct{ Body InhibitionBody }) (*Body[inhibitionView], error) {
			return set(ctx, "", in.Body)
		})
	Register(s, huma.Operation{OperationID: "update-inhibition", Method: http.MethodPut, Path: "/inhibitions/{id}", Tags: tags,
		Summary: "Change, pause or resume a rule of inhibition", Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body InhibitionBody
		}) (*Body[inhibitionView], error) {
			return set(ctx, in.ID, in.Body)
		})
	Register(s, huma.Operation{OperationID: "delete-inhibition", Method: http.MethodDelete, Path: "/inhibitions/{id}", Tags: tags,
		Summary: "Delete a rule of inhibition; restore brings it back", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*struct{}, error) {
			AuditObject(ctx, "inhibition:"+clip(in.ID, 64), "", "")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			return nil, inhibitionProblem(t.svc.DeleteInhibition(ctx, by, in.ID), in.ID)
		})
	Register(s, huma.Operation{OperationID: "restore-inhibition", Method: http.MethodPost, Path: "/inhibitions/{id}/restore", Tags: tags,
		Summary: "Bring back a rule of inhibition that was deleted", Errors: []int{404}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[inhibitionView], error) {
			AuditObject(ctx, "inhibition:"+clip(in.ID, 64), "", "")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			r, err := t.svc.RestoreInhibition(ctx, by, in.ID)
			if err != nil {
				return nil, inhibitionProblem(err, in.ID)
			}
			return Reply(viewOfInhibition(r)), nil
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

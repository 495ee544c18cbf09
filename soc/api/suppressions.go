package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections/suppression"
	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/suppressing"
)

// SuppressionAssets names what alerts are about.
type SuppressionAssets struct {
	Items   []string `json:"items,omitempty" maxItems:"1000" doc:"Ids or names of configuration items"`
	Classes []string `json:"classes,omitempty" maxItems:"1000" doc:"Classes of configuration items"`
	Systems []string `json:"systems,omitempty" maxItems:"1000" doc:"Ids or names of business systems"`
}

// SuppressionBody is a suppression as it is written. It is exported because inputs
// embed it.
type SuppressionBody struct {
	Name      string             `json:"name" minLength:"1" maxLength:"200"`
	Rules     []string           `json:"rules,omitempty" maxItems:"1000" doc:"Ids of rules; any rule by default"`
	Assets    *SuppressionAssets `json:"assets,omitempty" doc:"What the alerts are about: one of those named is enough; anything by default"`
	Tenants   []string           `json:"tenants,omitempty" maxItems:"1000" doc:"Whose alerts; all by default"`
	Detection map[string]any     `json:"detection,omitempty" doc:"Searches and a condition as under detection in a Sigma rule, on fields of the alert's last event and on alert.attacker.ip and the like; no further condition by default"`
	Owner     string             `json:"owner,omitempty" maxLength:"200" doc:"Who answers for it; the caller by default"`
	Reason    string             `json:"reason" minLength:"1" maxLength:"2000" doc:"Why the alerts are harmless"`
	Expires   time.Time          `json:"expires" doc:"From then on it suppresses nothing; at most a year ahead"`
	Receiver  string             `json:"receiver,omitempty" maxLength:"256" doc:"The contact point that is told a week before it ends, and when it has"`
	Disabled  bool               `json:"disabled,omitempty" doc:"Kept, and not in force"`
}

// SuppressionState is a suppression as the console shows it. It is exported because
// its versions embed it.
type SuppressionState struct {
	SuppressionBody
	ID        string                        `json:"id"`
	State     suppressing.State             `json:"state" enum:"active,disabled,expired"`
	Version   int64                         `json:"version"`
	UpdatedAt ticketing.Time                `json:"updated_at" format:"date-time"`
	UpdatedBy string                        `json:"updated_by"`
	Effect    suppressing.SuppressionEffect `json:"effect" doc:"What it has suppressed"`
	Alerts    int                           `json:"alerts" doc:"Alerts that it suppressed and that are still kept"`
}

type suppressionVersion struct {
	SuppressionBody
	Version   int64          `json:"version"`
	UpdatedAt ticketing.Time `json:"updated_at" format:"date-time"`
	UpdatedBy string         `json:"updated_by"`
	Deleted   bool           `json:"deleted,omitempty" doc:"It was deleted then; the rest is as it was before"`
}

type suppressionImport struct {
	Created int      `json:"created"`
	Updated int      `json:"updated"`
	IDs     []string `json:"ids" nullable:"false"`
}

func (b SuppressionBody) suppression(id, actor string) suppression.Suppression {
	s := suppression.Suppression{ID: id, Name: strings.TrimSpace(b.Name), Rules: b.Rules, Tenants: b.Tenants, Detection: b.Detection, Owner: b.Owner, Reason: b.Reason,
		Expires: b.Expires, Receiver: b.Receiver, Disabled: b.Disabled}
	if b.Assets != nil {
		s.Assets = suppression.Assets(*b.Assets)
	}
	if s.Owner == "" {
		s.Owner = actor
	}
	return s
}

func bodyOfSuppression(s *suppression.Suppression) SuppressionBody {
	b := SuppressionBody{Name: s.Name, Rules: s.Rules, Tenants: s.Tenants, Detection: s.Detection, Owner: s.Owner, Reason: s.Reason, Expires: s.Expires, Receiver: s.Receiver, Disabled: s.Disabled}
	if !s.Assets.Empty() {
		a := SuppressionAssets(s.Assets)
		b.Assets = &a
	}
	return b
}

func viewOfSuppression(v ticketing.SuppressionView) SuppressionState {
	return SuppressionState{SuppressionBody: bodyOfSuppression(&v.Suppression), ID: v.ID, State: v.State, Version: v.Version, UpdatedAt: ticketing.Time{Time: v.UpdatedAt},
		UpdatedBy: v.UpdatedBy, Effect: v.Effect, Alerts: v.Alerts}
}

func suppressionProblem(err error, id string) error {
	switch {
	case errors.Is(err, suppressing.ErrNotFound):
		return NotFound("suppression", clip(id, 100))
	case errors.Is(err, suppressing.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, suppressing.ErrInvalid, ""))
	}
	return ticketProblem(err)
}

// setSuppression makes or changes a suppression.
func (t *tickets) setSuppression(ctx context.Context, s *Server, id string, body SuppressionBody) (*Body[SuppressionState], error) {
	AuditObject(ctx, "suppression:"+clip(id, 100), "", body.Name)
	if err := s.suppressDirectly(); err != nil {
		return nil, err
	}
	by, err := acting(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.suppressionTenants(body.Tenants); err != nil {
		return nil, err
	}
	if id != "" { // one that is not there is not made by its id
		if _, err := t.svc.Suppression(ctx, by.Reach, id); err != nil {
			return nil, suppressionProblem(err, id)
		}
	}
	made, err := t.svc.SetSuppressions(ctx, by, []suppression.Suppression{body.suppression(id, by.Name)})
	if err != nil {
		return nil, suppressionProblem(err, id)
	}
	AuditObject(ctx, "suppression:"+made[0].ID, "", made[0].Name)
	v, err := t.svc.Suppression(ctx, by.Reach, made[0].ID)
	if err != nil {
		return nil, suppressionProblem(err, made[0].ID)
	}
	return Reply(viewOfSuppression(v)), nil
}

func (s *Server) suppressionTenants(tenants []string) error {
	for _, slug := range tenants {
		if !s.tenantExists(slug) {
			return Problem(http.StatusUnprocessableEntity, "tenants: there is no tenant %q", clip(slug, 64))
		}
	}
	return nil
}

func (t *tickets) suppressionRoutes(s *Server) {
	tags := []string{"suppressions"}
	list := func(ctx context.Context, states, q string) ([]ticketing.SuppressionView, error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return nil, err
		}
		of := words(states)
		for _, st := range of {
			if !slices.Contains([]string{"active", "disabled", "expired"}, st) {
				return nil, Problem(http.StatusBadRequest, "state %q: want active, disabled or expired", clip(st, 64))
			}
		}
		all, err := t.svc.Suppressions(ctx, within)
		want := strings.Fields(strings.ToLower(q))
		return slices.DeleteFunc(all, func(v ticketing.SuppressionView) bool {
			text := strings.ToLower(strings.Join([]string{v.ID, v.Name, v.Owner, v.Reason, strings.Join(v.Rules, " "), strings.Join(v.Tenants, " ")}, " "))
			return len(of) > 0 && !slices.Contains(of, string(v.State)) || slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(text, w) })
		}), err
	}
	Register(s, huma.Operation{OperationID: "list-suppressions", Method: http.MethodGet, Path: "/suppressions", Tags: tags,
		Summary: "Suppressions that suppress nothing beyond my reach, and what each has suppressed"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			State string `query:"state" maxLength:"64" doc:"active, disabled, expired; several with commas; all by default"`
			Q     string `query:"q" maxLength:"200" doc:"Words that must all occur in name, owner, reason, rules, tenants or id"`
		}) (*Body[Page[SuppressionState]], error) {
			all, err := list(ctx, in.State, in.Q)
			if err != nil {
				return nil, err
			}
			items := make([]SuppressionState, 0, len(all))
			for _, v := range all {
				items = append(items, viewOfSuppression(v))
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "export-suppressions", Method: http.MethodGet, Path: "/suppressions/export", Tags: tags,
		Summary: "Suppressions as YAML, which import-suppressions reads"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			State string `query:"state" maxLength:"64"`
		}) (*Body[suppressionFile], error) {
			all, err := list(ctx, in.State, "")
			if err != nil {
				return nil, err
			}
			bare := make([]suppression.Suppression, 0, len(all))
			for _, v := range all {
				bare = append(bare, v.Suppression)
			}
			out, err := suppression.Format(bare)
			return Reply(suppressionFile{YAML: string(out), Count: len(bare)}), err
		})
	Register(s, huma.Operation{OperationID: "import-suppressions", Method: http.MethodPost, Path: "/suppressions/import", Tags: tags,
		Summary:      "Make suppressions from YAML, all or nothing",
		Description:  "A document each. One whose id is there is changed, another is made. All that they suppress has to be within the caller's reach.",
		MaxBodyBytes: suppression.MaxFile + 1<<20, Errors: []int{404, 413, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				YAML string `json:"yaml" minLength:"1" doc:"At most 8 MiB"`
			}
		}) (*Body[suppressionImport], error) {
			AuditObject(ctx, "suppressions", "", "import")
			if err := s.suppressDirectly(); err != nil {
				return nil, err
			}
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			given, faults := suppression.Parse("", []byte(in.Body.YAML))
			if len(faults) > 0 {
				var texts []string
				for _, f := range faults[:min(len(faults), 20)] {
					texts = append(texts, f.Error())
				}
				return nil, Problem(http.StatusUnprocessableEntity, "yaml: %s", strings.Join(texts, "\n"))
			}
			for i := range given {
				if err := s.suppressionTenants(given[i].Tenants); err != nil {
					return nil, err
				}
			}
			before, err := t.svc.Suppressions(ctx, by.Reach)
			if err != nil {
				return nil, err
			}
			made, err := t.svc.SetSuppressions(ctx, by, given)
			if err != nil {
				return nil, suppressionProblem(err, "")
			}
			out := suppressionImport{IDs: []string{}}
			for _, k := range made {
				out.IDs = append(out.IDs, k.ID)
				if slices.ContainsFunc(before, func(v ticketing.SuppressionView) bool { return v.ID == k.ID }) {
					out.Updated++
				} else {
					out.Created++
				}
			}
			AuditObject(ctx, "suppressions", "", fmt.Sprintf("import: created %d, updated %d", out.Created, out.Updated))
			return Reply(out), nil
		})
	Register(s, huma.Operation{OperationID: "preview-suppression", Method: http.MethodPost, Path: "/suppressions/preview", Tags: tags,
		Summary: "What a suppression would have suppressed of the last 30 days, and what speaks against it", Errors: []int{422},
		Description: "It looks at the firings of rules that are remembered, within reach. What another suppression has suppressed is counted apart."}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				SuppressionBody
				ID string `json:"id,omitempty" maxLength:"100" doc:"Of a suppression that is there: what it suppressed itself counts"`
			}
		}) (*Body[suppressing.SuppressionPreview], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			p, err := t.svc.PreviewSuppression(ctx, within, in.Body.suppression(in.Body.ID, Actor(ctx)))
			if err != nil {
				return nil, suppressionProblem(err, in.Body.ID)
			}
			return Reply(p), nil
		})
	Register(s, huma.Operation{OperationID: "draft-suppression", Method: http.MethodPost, Path: "/suppressions/draft", Tags: tags,
		Summary: "The narrowest suppression that meets some alerts", Errors: []int{404, 422},
		Description: "Their rules, assets and tenants, and the fields of the rules' conditions and groups with the values of these alerts. It is not kept: preview it, give a reason, and create it."}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Alerts []string `json:"alerts" minItems:"1" maxItems:"500" nullable:"false" doc:"Ids"`
			}
		}) (*Body[SuppressionBody], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			d, err := t.svc.DraftSuppression(ctx, by, in.Body.Alerts)
			if err != nil {
				return nil, suppressionProblem(err, "")
			}
			return Reply(bodyOfSuppression(&d)), nil
		})
	Register(s, huma.Operation{OperationID: "create-suppression", Method: http.MethodPost, Path: "/suppressions", Tags: tags,
		Summary: "Suppress alerts that are known to be harmless", DefaultStatus: http.StatusCreated, Errors: []int{422},
		Description: "Until it ends, what rules raise that meets all it says is kept as alerts that are closed from the start: in no incident, and nobody is told. Try it by preview-suppression before."},
		identity.ScopeRespond,
		func(ctx context.Context, in *struct{ Body SuppressionBody }) (*Body[SuppressionState], error) {
			return t.setSuppression(ctx, s, "", in.Body)
		})
	Register(s, huma.Operation{OperationID: "get-suppression", Method: http.MethodGet, Path: "/suppressions/{id}", Tags: tags,
		Summary: "A suppression and what it has suppressed", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[SuppressionState], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			v, err := t.svc.Suppression(ctx, within, in.ID)
			if err != nil {
				return nil, suppressionProblem(err, in.ID)
			}
			return Reply(viewOfSuppression(v)), nil
		})
	Register(s, huma.Operation{OperationID: "update-suppression", Method: http.MethodPut, Path: "/suppressions/{id}", Tags: tags,
		Summary: "Change, disable, enable or put off a suppression", Errors: []int{404, 422}, Description: "It holds from the next firing on; alerts that it met stay as they are."}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body SuppressionBody
		}) (*Body[SuppressionState], error) {
			return t.setSuppression(ctx, s, in.ID, in.Body)
		})
	Register(s, huma.Operation{OperationID: "delete-suppression", Method: http.MethodDelete, Path: "/suppressions/{id}", Tags: tags,
		Summary: "Delete a suppression: what fires from then on is raised", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*struct{}, error) {
			AuditObject(ctx, "suppression:"+clip(in.ID, 100), "", "")
			if err := s.suppressDirectly(); err != nil {
				return nil, err
			}
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			if err := t.svc.DeleteSuppression(ctx, by, in.ID); err != nil {
				return nil, suppressionProblem(err, in.ID)
			}
			return nil, nil
		})
	Register(s, huma.Operation{OperationID: "list-suppression-versions", Method: http.MethodGet, Path: "/suppressions/{id}/versions", Tags: tags,
		Summary: "The versions of a suppression, the newest first; those of a deleted one too", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[Page[suppressionVersion]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			versions, err := t.svc.SuppressionVersions(ctx, within, in.ID)
			if err != nil {
				return nil, suppressionProblem(err, in.ID)
			}
			items := make([]suppressionVersion, 0, len(versions))
			for i := range versions {
				k := &versions[i]
				items = append(items, suppressionVersion{SuppressionBody: bodyOfSuppression(&k.Suppression), Version: k.Version, UpdatedAt: ticketing.Time{Time: k.UpdatedAt}, UpdatedBy: k.UpdatedBy, Deleted: k.Deleted})
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
}

// suppressionFile is suppressions as a file.
type suppressionFile struct {
	YAML  string `json:"yaml"`
	Count int    `json:"count"`
}

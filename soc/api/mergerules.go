package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/merging"
)

// MergeRuleBody is a merge rule as it is written. It is exported because inputs
// embed it.
type MergeRuleBody struct {
	Name        string           `json:"name" minLength:"1" maxLength:"200"`
	Description string           `json:"description,omitempty" maxLength:"2000"`
	Off         bool             `json:"off,omitempty" doc:"Kept, and not in force"`
	Matchers    []silenceMatcher `json:"matchers,omitempty" maxItems:"64" doc:"Which alerts; all by default"`
	By          []string         `json:"by,omitempty" maxItems:"16" doc:"Labels whose values must be equal; an alert that lacks one is not merged"`
	Window      int64            `json:"window,omitempty" minimum:"1" maximum:"604800" default:"900" doc:"Seconds from the end of one alert to the beginning of the next, at most"`
	Similar     *MergeSimilar    `json:"similar,omitempty" doc:"Asks for texts that are alike"`
	Least       int              `json:"least,omitempty" minimum:"2" maximum:"10000" default:"2" doc:"Alerts that make one incident"`
	Tenants     []string         `json:"tenants,omitempty" maxItems:"1000" doc:"For whose alerts it is; all by default. Alerts of different tenants never become one"`
}

// MergeSimilar asks for texts that are alike.
type MergeSimilar struct {
	On      string  `json:"on" minLength:"1" maxLength:"256" doc:"title, or a label"`
	AtLeast float64 `json:"at_least" minimum:"0.01" maximum:"1" doc:"Jaccard index of the texts' character trigrams, |A∩B| / |A∪B|, digits masked; each alert is compared with the first of its group"`
}

// MergeRuleView is a merge rule as the console shows it. It is exported because
// its versions embed it.
type MergeRuleView struct {
	MergeRuleBody
	ID        string          `json:"id"`
	Kind      merging.Kind    `json:"kind" enum:"attack,fault,alerts" doc:"attack and fault are ways of the suite, of which only off can be changed"`
	Shipped   bool            `json:"shipped"`
	Order     int             `json:"order" doc:"The least comes first"`
	Version   int64           `json:"version" doc:"0 is what was shipped"`
	UpdatedAt *ticketing.Time `json:"updated_at,omitempty" format:"date-time"`
	UpdatedBy string          `json:"updated_by,omitempty"`
}

type mergeRuleVersion struct {
	MergeRuleView
	Deleted bool `json:"deleted,omitempty" doc:"It was deleted then; the rule is as it was before"`
}

func (b MergeRuleBody) rule(id string) (r merging.Rule, err error) {
	r = merging.Rule{ID: id, Name: strings.TrimSpace(b.Name), Description: b.Description, Off: b.Off, By: b.By, Window: time.Duration(b.Window) * time.Second, Least: b.Least, Tenants: b.Tenants}
	if id == "" {
		r.Kind = merging.Alerts
	}
	if b.Similar != nil {
		r.Similar = &merging.Similar{On: b.Similar.On, AtLeast: b.Similar.AtLeast}
	}
	if len(b.Matchers) > 0 {
		r.Matchers, err = anyMatchersOf(b.Matchers)
	}
	return r, err
}

func viewOfMergeRule(r merging.Rule) MergeRuleView {
	v := MergeRuleView{MergeRuleBody: MergeRuleBody{Name: r.Name, Description: r.Description, Off: r.Off, Matchers: matcherViews(r.Matchers), By: r.By,
		Window: int64(r.Window / time.Second), Least: r.Least, Tenants: r.Tenants}, ID: r.ID, Kind: r.Kind, Shipped: r.Shipped, Order: r.Order, Version: r.Version, UpdatedBy: r.UpdatedBy}
	if r.Similar != nil {
		v.Similar = &MergeSimilar{On: r.Similar.On, AtLeast: r.Similar.AtLeast}
	}
	if !r.UpdatedAt.IsZero() {
		v.UpdatedAt = &ticketing.Time{Time: r.UpdatedAt}
	}
	return v
}

func mergeProblem(err error, id string) error {
	switch {
	case errors.Is(err, merging.ErrNotFound):
		return NotFound("merge rule", clip(id, 64))
	case errors.Is(err, merging.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, merging.ErrInvalid, ""))
	}
	return ticketProblem(err)
}

func (t *tickets) mergeRuleRoutes(s *Server) {
	tags := []string{"merge rules"}
	page := func(ctx context.Context) (*Body[Page[MergeRuleView]], error) {
		within, err := Reach(ctx, "")
		if err != nil {
			return nil, err
		}
		list, err := t.svc.MergeRules(ctx, within)
		if err != nil {
			return nil, err
		}
		items := make([]MergeRuleView, 0, len(list))
		for _, r := range list {
			items = append(items, viewOfMergeRule(r))
		}
		return Reply(PageOf(items, len(items), "")), nil
	}
	Register(s, huma.Operation{OperationID: "list-merge-rules", Method: http.MethodGet, Path: "/merge-rules", Tags: tags,
		Summary: "Rules by which alerts become one incident, in their order: those that are shipped, and those that merge nothing beyond my reach"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[MergeRuleView]], error) { return page(ctx) })
	rules := alertRules[merging.Rule, MergeRuleView]{s: s, object: "merge-rule", set: t.svc.SetMergeRule, remove: t.svc.DeleteMergeRule,
		named: func(r merging.Rule) (string, string) { return r.ID, r.Name }, view: viewOfMergeRule, problem: mergeProblem}
	Register(s, huma.Operation{OperationID: "create-merge-rule", Method: http.MethodPost, Path: "/merge-rules", Tags: tags,
		Summary: "Have alerts become one incident", DefaultStatus: http.StatusCreated, Errors: []int{422},
		Description: "A rule looks at alerts that no incident holds: what the incident policy or the topology of faults has put together stays there. Those that the matchers accept, with the same values of the labels named in by, each within window seconds of the end of those before and, where similar asks for it, alike in their texts, become one incident once there are least of them; it takes in what follows. The first rule in the order that accepts an alert has it. Try it by preview-merge-rule before."},
		identity.ScopeRespond,
		func(ctx context.Context, in *struct{ Body MergeRuleBody }) (*Body[MergeRuleView], error) {
			return rules.write(ctx, "", in.Body.Name, in.Body.Tenants, in.Body.rule)
		})
	Register(s, huma.Operation{OperationID: "order-merge-rules", Method: http.MethodPut, Path: "/merge-rules/order", Tags: tags, // before rules by their ids
		Summary: "Put the merge rules into another order", Errors: []int{422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs []string `json:"ids" maxItems:"1000" nullable:"false" doc:"Each rule once"`
			}
		}) (*Body[Page[MergeRuleView]], error) {
			AuditObject(ctx, "merge-rules", "", "")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			if err := t.svc.OrderMergeRules(ctx, by, in.Body.IDs); err != nil {
				return nil, mergeProblem(err, "")
			}
			return page(ctx)
		})
	Register(s, huma.Operation{OperationID: "update-merge-rule", Method: http.MethodPut, Path: "/merge-rules/{id}", Tags: tags,
		Summary: "Change, pause or resume a merge rule", Errors: []int{404, 422}, Description: "Incidents that it made stay as they are. Of the kinds attack and fault only off is looked at."}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body MergeRuleBody
		}) (*Body[MergeRuleView], error) {
			return rules.write(ctx, in.ID, in.Body.Name, in.Body.Tenants, in.Body.rule)
		})
	Register(s, huma.Operation{OperationID: "delete-merge-rule", Method: http.MethodDelete, Path: "/merge-rules/{id}", Tags: tags,
		Summary: "Delete a merge rule; restore brings it back", DefaultStatus: http.StatusNoContent, Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*struct{}, error) { return rules.drop(ctx, in.ID) })
	Register(s, huma.Operation{OperationID: "list-merge-rule-versions", Method: http.MethodGet, Path: "/merge-rules/{id}/versions", Tags: tags,
		Summary: "The versions of a merge rule, the newest first; those of a deleted one too", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[Page[mergeRuleVersion]], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			list, err := t.svc.MergeRuleVersions(ctx, by, in.ID)
			if err != nil {
				return nil, mergeProblem(err, in.ID)
			}
			items := make([]mergeRuleVersion, 0, len(list))
			for _, v := range list {
				items = append(items, mergeRuleVersion{MergeRuleView: viewOfMergeRule(v.Rule), Deleted: v.Deleted})
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "restore-merge-rule", Method: http.MethodPost, Path: "/merge-rules/{id}/restore", Tags: tags,
		Summary: "Make a merge rule again what a version of it was, a deleted one too", Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Version int64 `json:"version" minimum:"0" doc:"Of list-merge-rule-versions"`
			}
		}) (*Body[MergeRuleView], error) {
			return rules.change(ctx, in.ID, "", func(by ticketing.Actor) (merging.Rule, error) {
				return t.svc.RestoreMergeRule(ctx, by, in.ID, in.Body.Version)
			})
		})
	Register(s, huma.Operation{OperationID: "preview-merge-rule", Method: http.MethodPost, Path: "/merge-rules/preview", Tags: tags,
		Summary: "What a merge rule would have made of last week's alerts", Errors: []int{422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				MergeRuleBody
				ID string `json:"id,omitempty" maxLength:"64" doc:"Of a rule that is there: its own incidents are looked at as if they were not"`
			}
		}) (*Body[ticketing.MergePreview], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			rule, err := in.Body.rule(in.Body.ID)
			if err != nil {
				return nil, err
			}
			p, err := t.svc.PreviewMerge(ctx, within, rule)
			if err != nil {
				return nil, mergeProblem(err, in.Body.ID)
			}
			return Reply(p), nil
		})
	Register(s, huma.Operation{OperationID: "get-alert-compression", Method: http.MethodGet, Path: "/alerts/compression", Tags: []string{"alerts"},
		Summary: "How many firings became how many alerts and incidents, by day and by rule", Errors: []int{422}, Description: "Of the alerts within reach that were opened in these days."}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Days   int    `query:"days" minimum:"1" maximum:"92" default:"7" doc:"Today among them"`
			Rule   string `query:"rule" maxLength:"200" doc:"Id of a rule; all by default"`
			Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
		}) (*Body[ticketing.CompressionReport], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			report, err := t.svc.Compression(ctx, within, in.Days, in.Rule)
			if err != nil {
				return nil, mergeProblem(err, "")
			}
			return Reply(report), nil
		})
}

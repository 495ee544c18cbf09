package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/soc/identity"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/routing"
)

// TreeInput says whose routes are meant.
type TreeInput struct {
	Tenant string `query:"tenant" maxLength:"64" doc:"The tenant whose own routes are meant; the city's by default"`
}

// mayRoute refuses routes beyond the caller's reach.
func (n *notifying) mayRoute(ctx context.Context, tenant string) error {
	if tenant == "" {
		return cityOnly(ctx)
	}
	if within, err := Reach(ctx, ""); err != nil || !within.CoversWhole(tenant) || !n.tenantExists(tenant) {
		return Problem(http.StatusForbidden, "the tenant %q is not within your reach", clip(tenant, 64))
	}
	return nil
}

// TreeBody is a tree as it is written. It is exported because inputs embed it.
type TreeBody struct {
	Tree routing.Tree `json:"tree"`
	Base int64        `json:"base" doc:"The version that was read before the change; 0 where there is none"`
	Note string       `json:"note,omitempty" maxLength:"500" doc:"Why"`
}

// whereView is where an alert would go.
type whereView struct {
	Labels map[string]string `json:"labels" doc:"What routes match"`
	Routes []routing.Hit     `json:"routes" nullable:"false"`
	Every  []string          `json:"every" nullable:"false" doc:"Contact points that are told of every incident, without a route"`
	Muted  []string          `json:"muted" nullable:"false" doc:"What mutes it now"`
}

// importView is what a configuration of Alertmanager comes to.
type importView struct {
	Tree     routing.Tree      `json:"tree"`
	Points   []importedPoint   `json:"contact_points" nullable:"false"`
	Problems []routing.Problem `json:"problems" nullable:"false" doc:"What is not taken over"`
	Applied  *routing.Version  `json:"applied,omitempty"`
}

type importedPoint struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	State string `json:"state" enum:"new,exists,invalid" doc:"One that exists stays as it is"`
	Error string `json:"error,omitempty"`
}

func (n *notifying) routingRoutes() {
	s, tags := n.Server, []string{"notifications"}
	Register(s, huma.Operation{OperationID: "get-routing", Method: http.MethodGet, Path: "/routing", Tags: tags,
		Summary: "The routes in force"}, identity.ScopeConfigure,
		func(ctx context.Context, in *TreeInput) (*Body[routing.Version], error) {
			if err := n.mayRoute(ctx, in.Tenant); err != nil {
				return nil, err
			}
			v, err := n.Routes.Tree(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			return Reply(v), nil
		})
	Register(s, huma.Operation{OperationID: "list-routes", Method: http.MethodGet, Path: "/routing/routes", Tags: tags,
		Summary: "The routes in force as a list: name, type, what they take, how it is merged, whether they are on, and when they were changed last"}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			TreeInput
			Type string `query:"type" enum:"direct,incident" doc:"Those alone of the type"`
		}) (*Body[Page[routing.RouteLine]], error) {
			if err := n.mayRoute(ctx, in.Tenant); err != nil {
				return nil, err
			}
			list, err := n.Routes.Policies(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			list = slices.DeleteFunc(list, func(p routing.RouteLine) bool { return in.Type != "" && p.Type != in.Type })
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, huma.Operation{OperationID: "put-routing", Method: http.MethodPut, Path: "/routing", Tags: tags,
		Summary: "Put routes in force, for what comes from now on", Errors: []int{409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			TreeInput
			Body TreeBody
		}) (*Body[routing.Version], error) {
			AuditObject(ctx, "routing", in.Tenant, clip(in.Body.Note, 200))
			if err := n.mayRoute(ctx, in.Tenant); err != nil {
				return nil, err
			}
			v, err := n.Routes.Save(ctx, in.Tenant, Actor(ctx), in.Body.Note, in.Body.Base, in.Body.Tree)
			if err != nil {
				return nil, notifyProblem(err)
			}
			return Reply(v), nil
		})
	Register(s, huma.Operation{OperationID: "list-routing-versions", Method: http.MethodGet, Path: "/routing/versions", Tags: tags,
		Summary: "All versions of the routes, newest first"}, identity.ScopeConfigure,
		func(ctx context.Context, in *TreeInput) (*Body[Page[routing.Version]], error) {
			if err := n.mayRoute(ctx, in.Tenant); err != nil {
				return nil, err
			}
			list, err := n.Routes.Versions(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, huma.Operation{OperationID: "restore-routing", Method: http.MethodPost, Path: "/routing/versions/{version}/restore", Tags: tags,
		Summary: "Put an earlier version in force again, as a new one", Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			TreeInput
			Version int64 `path:"version" minimum:"1"`
		}) (*Body[routing.Version], error) {
			AuditObject(ctx, "routing", in.Tenant, "restore "+strconv.FormatInt(in.Version, 10))
			if err := n.mayRoute(ctx, in.Tenant); err != nil {
				return nil, err
			}
			old, err := n.Routes.Version(ctx, in.Tenant, in.Version)
			if err != nil {
				return nil, notifyProblem(err)
			}
			now, err := n.Routes.Tree(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			v, err := n.Routes.Save(ctx, in.Tenant, Actor(ctx), "= "+strconv.FormatInt(in.Version, 10), now.Version, old.Tree)
			if err != nil {
				return nil, notifyProblem(err)
			}
			return Reply(v), nil
		})
	Register(s, huma.Operation{OperationID: "where-routing", Method: http.MethodPost, Path: "/routing/where", Tags: tags,
		Summary: "Where would an alert go: one that is there, or one with these labels; by the routes in force, or by a draft", Errors: []int{404, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Labels map[string]string `json:"labels,omitempty"`
				Alert  string            `json:"alert,omitempty" maxLength:"64" doc:"Id of an alert, in the place of labels"`
				At     *time.Time        `json:"at,omitempty" doc:"Now by default"`
				Tenant string            `json:"tenant,omitempty" maxLength:"64" doc:"Whose routes the draft stands for; the city's by default"`
				Draft  *routing.Tree     `json:"draft,omitempty"`
			}
		}) (*Body[whereView], error) {
			v, err := n.where(ctx, in.Body.Labels, in.Body.Alert, in.Body.At, in.Body.Tenant, in.Body.Draft)
			if err != nil {
				return nil, err
			}
			return Reply(v), nil
		})
	Register(s, huma.Operation{OperationID: "export-routing", Method: http.MethodGet, Path: "/routing/export", Tags: tags,
		Summary: "The routes as a configuration of Alertmanager, without the settings of receivers"}, identity.ScopeConfigure,
		func(ctx context.Context, in *TreeInput) (*huma.StreamResponse, error) {
			if err := n.mayRoute(ctx, in.Tenant); err != nil {
				return nil, err
			}
			v, err := n.Routes.Tree(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			text, problems, err := routing.ToAlertmanager(v.Tree)
			if err != nil {
				return nil, err
			}
			head := ""
			for _, p := range problems {
				head += "# " + p.What + ": " + p.Reason + "\n"
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				hc.SetHeader("Content-Type", "application/yaml; charset=utf-8")
				hc.SetHeader("Content-Disposition", `attachment; filename="alertmanager.yml"`)
				humafiber.Unwrap(hc).Response().SetBodyRaw(append([]byte(head), text...))
			}}, nil
		})
	Register(s, huma.Operation{OperationID: "import-routing", Method: http.MethodPost, Path: "/routing/import", Tags: tags,
		Summary: "Read a configuration of Alertmanager: what it comes to, and with apply put it in force", Errors: []int{409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			TreeInput
			Body struct {
				Text  string `json:"text" maxLength:"1048576" doc:"YAML"`
				Apply bool   `json:"apply,omitempty"`
			}
		}) (*Body[importView], error) {
			AuditObject(ctx, "routing", in.Tenant, "import")
			if err := n.mayRoute(ctx, in.Tenant); err != nil {
				return nil, err
			}
			v, err := n.importRouting(ctx, in.Tenant, in.Body.Text, in.Body.Apply)
			if err != nil {
				return nil, err
			}
			return Reply(v), nil
		})
}

// where says where an alert would go. Of contact points and routes the caller
// learns names; of other tenants' routes nothing.
func (n *notifying) where(ctx context.Context, set map[string]string, alert string, at *time.Time, tenant string, draft *routing.Tree) (whereView, error) {
	v := whereView{Labels: set, Every: []string{}, Muted: []string{}}
	within, err := Reach(ctx, "")
	if err != nil {
		return v, err
	}
	incident, matched := true, set
	if alert != "" {
		if matched, v.Labels, err = n.Tickets.RoutingLabels(ctx, within, alert); err != nil {
			return v, notifyProblem(err)
		}
		a, err := n.Tickets.Alert(ctx, within, alert)
		if err != nil {
			return v, notifyProblem(err)
		}
		incident = a.IncidentID != ""
		v.Muted = append(v.Muted, a.SilencedBy...)
	}
	if v.Labels == nil {
		v.Labels = map[string]string{}
	}
	whose := v.Labels["tenant"]
	if whose != "" && !within.CoversTenant(whose) {
		return v, Problem(http.StatusForbidden, "the tenant %q is not within your reach", clip(whose, 64))
	}
	when := time.Now()
	if at != nil {
		when = *at
	}
	scopes := routing.ScopesOf(whose)
	var stands *routing.Version
	if draft != nil {
		if err := n.mayRoute(ctx, tenant); err != nil {
			return v, err
		}
		stands = &routing.Version{Scope: tenant, Tree: *draft}
	}
	hits, err := n.Routes.Where(ctx, matched, when, scopes, stands)
	if err != nil {
		return v, notifyProblem(err)
	}
	for _, h := range hits {
		for name := range h.GroupLabels {
			h.GroupLabels[name] = v.Labels[name] // as the reader may see them
		}
	}
	if alert != "" && !incident {
		hits = slices.DeleteFunc(hits, func(h routing.Hit) bool { return !h.Direct })
	}
	v.Routes = hits
	list, err := n.Tickets.Outbox().Receivers(ctx)
	if err != nil {
		return v, err
	}
	for _, r := range list {
		if r.Every && !r.Disabled && incident && (len(r.Tenants) == 0 || slices.Contains(r.Tenants, whose)) {
			v.Every = append(v.Every, r.Name)
		}
	}
	return v, nil
}

func (n *notifying) importRouting(ctx context.Context, tenant, text string, apply bool) (importView, error) {
	got, err := routing.FromAlertmanager([]byte(text))
	if err != nil {
		return importView{}, notifyProblem(err)
	}
	v := importView{Tree: got.Tree, Points: []importedPoint{}, Problems: got.Problems}
	if v.Problems == nil {
		v.Problems = []routing.Problem{}
	}
	box := n.Tickets.Outbox()
	var made []string
	undo := func() {
		for _, name := range made {
			_ = box.RemoveReceiver(ctx, name) // what was made a moment ago; the error that leads here counts
		}
	}
	bound := []string(nil)
	if tenant != "" {
		bound = []string{tenant}
	}
	for _, p := range got.Points {
		view := importedPoint{Name: p.Name, Kind: p.Kind, State: "new"}
		settings, err := json.Marshal(p.Settings)
		if err != nil {
			return v, err
		}
		c := outbox.Contact{Name: p.Name, Kind: p.Kind, Settings: settings, SendResolved: p.Resolved, Tenants: bound, Note: "Alertmanager"}
		if _, err := box.Receiver(ctx, p.Name); err == nil {
			view.State = "exists"
		} else if err := box.CheckContact(ctx, c); err != nil {
			view.State, view.Error = "invalid", plain(err, outbox.ErrInvalid, "")
			if apply {
				undo()
				return v, Problem(http.StatusUnprocessableEntity, "contact point %s: %s", p.Name, view.Error)
			}
		} else if apply {
			if _, err := box.AddContact(ctx, Actor(ctx), c); err != nil {
				undo()
				return v, notifyProblem(err)
			}
			made = append(made, p.Name)
		}
		v.Points = append(v.Points, view)
	}
	if !apply {
		return v, nil
	}
	now, err := n.Routes.Tree(ctx, tenant)
	if err == nil {
		var saved routing.Version
		if saved, err = n.Routes.Save(ctx, tenant, Actor(ctx), "Alertmanager", now.Version, got.Tree); err == nil {
			v.Applied = &saved
			return v, nil
		}
	}
	undo()
	return v, notifyProblem(err)
}

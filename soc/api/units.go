package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/units"
)

// unitInTree refuses a unit that a delegated administrator may not change: his
// own, since its place and bounds are for the one above, and those elsewhere.
func (s *Server) unitInTree(ctx context.Context, id string) (units.Unit, error) {
	tree := s.deps.Units.Tree()
	u, ok := tree.Get(id)
	st := stateOf(ctx)
	if !ok || st.confined && !tree.Under(id, st.principal.Unit) {
		return u, NotFound("unit", clip(id, 64))
	}
	if st.confined && id == st.principal.Unit {
		return u, Problem(http.StatusForbidden, "your own unit is changed by the administrator above you")
	}
	return u, nil
}

// parentInTree refuses a parent outside of the caller's part of the tree.
func (s *Server) parentInTree(ctx context.Context, parent string) error {
	if st := stateOf(ctx); st.confined && !s.deps.Units.Tree().Under(parent, st.principal.Unit) {
		return Problem(http.StatusUnprocessableEntity, "parent: name your own unit or one below it")
	}
	return nil
}

// unitsKnown are the units the caller may know of; nil is all of them, for who
// keeps the people or reaches everything. Others know their own unit with those
// above and below it, and the ones that the tenants within their reach belong
// to: how the rest of the city is organised is no business of theirs.
func (s *Server) unitsKnown(ctx context.Context) map[string]bool {
	if d := s.decide(ctx, "list-users"); seesEverything(ctx) || d.Allow && !d.Confined {
		return nil
	}
	tree, known := s.deps.Units.Tree(), map[string]bool{}
	add := func(ids []string) {
		for _, id := range ids {
			known[id] = true
		}
	}
	own := PrincipalFrom(ctx).Unit
	add(tree.Path(own))
	add(tree.IDs(own))
	if s.deps.Tenants != nil {
		for _, t := range s.deps.Tenants.List() {
			if CanSee(ctx, t.Slug) {
				add(tree.Path(t.Unit))
			}
		}
	}
	return known
}

// UnitBody is a unit as it is written.
type UnitBody struct {
	Parent   *string     `json:"parent,omitempty" maxLength:"64" doc:"Id of the unit above; empty at the top. Changing it moves the unit with all below it"`
	Name     *units.Text `json:"name,omitempty"`
	Code     *string     `json:"code,omitempty" maxLength:"200" doc:"The city's own code, unique where given"`
	Region   *string     `json:"region,omitempty" maxLength:"200" doc:"Administrative division; empty inherits"`
	Industry *string     `json:"industry,omitempty" maxLength:"200" doc:"Empty inherits"`
	Kind     *string     `json:"kind,omitempty" maxLength:"200" doc:"Bureau, district, county, department…"`
	Supports *string     `json:"supports,omitempty" maxLength:"64" doc:"Id of the supporting organisation"`
	Labels   *[]string   `json:"labels,omitempty"`
}

func (b UnitBody) change() units.Change {
	return units.Change{Parent: b.Parent, Name: b.Name, Code: b.Code, Region: b.Region, Industry: b.Industry, Kind: b.Kind, Supports: b.Supports, Labels: b.Labels}
}

// unitRoutes registers the tree of organisations.
func (s *Server) unitRoutes() {
	store := s.deps.Units
	if store == nil {
		return
	}
	Register(s, huma.Operation{OperationID: "list-units", Method: http.MethodGet, Path: "/units", Tags: []string{"units"},
		Summary: "The tree of organisations: a unit, then what is below it", Description: "Without limit all of them are given."}, ScopeAny,
		func(ctx context.Context, in *struct {
			Q     string `query:"q" maxLength:"200" doc:"Part of name or code"`
			Under string `query:"under" maxLength:"64" doc:"Id of a unit: it and those below"`
			Limit int    `query:"limit" minimum:"1" maximum:"100000" default:"20000"`
		}) (*Body[Page[units.Unit]], error) {
			tree := store.Tree()
			list := tree.All()
			if in.Under != "" {
				list = tree.Subtree(in.Under)
			}
			q := strings.ToLower(in.Q)
			out, total := []units.Unit{}, 0
			seesBounds, known := s.may(ctx, "set-unit-ceiling"), s.unitsKnown(ctx)
			for _, u := range list {
				if known != nil && !known[u.ID] {
					continue
				}
				if q != "" && !strings.Contains(strings.ToLower(u.Name.ZH+" "+u.Name.EN+" "+u.Code), q) {
					continue
				}
				if total++; len(out) < in.Limit {
					if !seesBounds {
						u.Ceiling = ""
					}
					out = append(out, u)
				}
			}
			return Reply(PageOf(out, total, "")), nil
		})

	s.unitFileRoutes() // before those of one unit: the router takes the first that fits

	type unitDetail struct {
		units.Unit
		Users int `json:"users" doc:"Of this unit itself"`
	}
	Register(s, huma.Operation{OperationID: "get-unit", Method: http.MethodGet, Path: "/units/{id}", Tags: []string{"units"},
		Summary: "One unit", Errors: []int{404}}, ScopeAny,
		func(ctx context.Context, in *IDInput) (*Body[unitDetail], error) {
			u, ok := store.Tree().Get(in.ID)
			if known := s.unitsKnown(ctx); !ok || known != nil && !known[in.ID] {
				return nil, NotFound("unit", in.ID)
			}
			if !s.may(ctx, "set-unit-ceiling") {
				u.Ceiling = ""
			}
			n, err := s.deps.Identity.CountUsers(ctx, in.ID)
			return Reply(unitDetail{u, n}), err
		})

	Register(s, huma.Operation{OperationID: "create-unit", Method: http.MethodPost, Path: "/units", Tags: []string{"units"},
		Summary: "Add a unit", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Body struct {
				ID string `json:"id,omitempty" maxLength:"64" doc:"Made where it is left out"`
				UnitBody
			}
		}) (*Body[units.Unit], error) {
			b := in.Body
			AuditObject(ctx, "unit:"+clip(b.ID+valueOf(b.Name).ZH, 100), "", "")
			if err := s.parentInTree(ctx, valueOf(b.Parent)); err != nil {
				return nil, err
			}
			if _, taken := store.Tree().Get(b.ID); taken && b.ID != "" {
				return nil, Problem(http.StatusConflict, "there is a unit %q already", clip(b.ID, 64))
			}
			u, err := store.Create(ctx, units.Unit{ID: b.ID, Parent: valueOf(b.Parent), Name: valueOf(b.Name), Code: valueOf(b.Code), Region: valueOf(b.Region),
				Industry: valueOf(b.Industry), Kind: valueOf(b.Kind), Supports: valueOf(b.Supports), Labels: valueOf(b.Labels)})
			return Reply(u), err
		})

	Register(s, huma.Operation{OperationID: "update-unit", Method: http.MethodPatch, Path: "/units/{id}", Tags: []string{"units"},
		Summary: "Change or move a unit: what is given changes", Errors: []int{404, 409, 422}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			IDInput
			Body UnitBody
		}) (*Body[units.Unit], error) {
			AuditObject(ctx, "unit:"+in.ID, "", "")
			before, err := s.unitInTree(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if in.Body.Parent != nil {
				if err := s.parentInTree(ctx, *in.Body.Parent); err != nil {
					return nil, err
				}
			}
			u, err := store.Update(ctx, in.ID, in.Body.change())
			AuditChange(ctx, before, u)
			s.deps.Identity.ForgetUsers() // whose part of the tree is whose has changed
			return Reply(u), err
		})

	Register(s, huma.Operation{OperationID: "set-unit-ceiling", Method: http.MethodPut, Path: "/units/{id}/ceiling", Tags: []string{"units"},
		Summary: "Bound what anybody of a unit and below it can reach", Errors: []int{404, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Ceiling string `json:"ceiling" maxLength:"10000" doc:"Data scope; empty is no bound"`
			}
		}) (*Body[units.Unit], error) {
			AuditObject(ctx, "unit:"+in.ID, "", "ceiling")
			ceiling := strings.TrimSpace(in.Body.Ceiling)
			if ceiling != "" {
				e, err := reach.Parse(ceiling)
				if err != nil {
					return nil, Problem(http.StatusUnprocessableEntity, "ceiling: %s", err)
				}
				ceiling = e.String()
			}
			u, err := store.SetCeiling(ctx, in.ID, ceiling)
			return Reply(u), err
		})

	Register(s, huma.Operation{OperationID: "delete-unit", Method: http.MethodDelete, Path: "/units/{id}", Tags: []string{"units"},
		Summary: "Remove a unit that nothing belongs to", DefaultStatus: http.StatusNoContent, Errors: []int{404, 409}}, identity.ScopeSystem,
		func(ctx context.Context, in *IDInput) (*struct{}, error) {
			AuditObject(ctx, "unit:"+in.ID, "", "")
			before, err := s.unitInTree(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			AuditChange(ctx, before, nil)
			return nil, store.Delete(ctx, in.ID)
		})
}

func (s *Server) unitFileRoutes() {
	store := s.deps.Units
	Register(s, huma.Operation{OperationID: "import-units", Method: http.MethodPost, Path: "/units/import", Tags: []string{"units"},
		Summary: "Add and change units from CSV, all or nothing", MaxBodyBytes: maxAPIBody, BodyReadTimeout: 2 * time.Minute, Errors: []int{413, 422},
		Description: "Columns: code, parent_code, name_zh, name_en, region, industry, kind, supports_code, labels (separated by ;). A unit is known by its code."},
		identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			DryRun  bool   `query:"dry_run" doc:"Check and count, change nothing"`
			RawBody []byte `contentType:"text/csv"`
		}) (*Body[units.Report], error) {
			st := stateOf(ctx)
			st.object, st.skipAudit = "units", in.DryRun
			within := ""
			if st.confined {
				within = st.principal.Unit
			}
			report, err := store.Import(ctx, bytes.NewReader(in.RawBody), within, in.DryRun)
			st.detail = fmt.Sprintf("created %d, updated %d, unchanged %d, errors %d", report.Created, report.Updated, report.Unchanged, len(report.Errors))
			return Reply(report), err
		})

	Register(s, huma.Operation{OperationID: "export-units", Method: http.MethodGet, Path: "/units/export", Tags: []string{"units"},
		Summary: "The units as CSV that can be imported again; units without a code are left out", Responses: map[string]*huma.Response{"200": {Description: "OK",
			Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: "string"}}}}}}, identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Under string `query:"under" maxLength:"64"`
		}) (*huma.StreamResponse, error) {
			under := in.Under
			if st := stateOf(ctx); st.confined && under == "" {
				under = st.principal.Unit
			}
			if _, err := s.unitsWithin(ctx, under); err != nil {
				return nil, err
			}
			var buf bytes.Buffer
			if _, err := store.Tree().Export(&buf, under); err != nil {
				return nil, err
			}
			return bodyAnswer("text/csv; charset=utf-8", buf.Bytes()), nil
		})
}

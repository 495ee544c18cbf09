package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/scenario"
)

func cmdbFilter(expression string) cmdb.Filter {
	return cmdb.Filter{Expression: expression, Limit: 1000}
}

// scenarioRoutes registers scenarios: what there is of each, and their definitions.
func (t *tickets) scenarioRoutes(s *Server) {
	tags := []string{"scenarios"}
	Register(s, huma.Operation{OperationID: "list-scenarios", Method: http.MethodGet, Path: "/scenarios", Tags: tags,
		Summary: "Scenarios with what there is of each: alerts, incidents, hidden risks, systems, units, regions, accounts, days", Errors: []int{400, 403, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ScenarioTime
			Tenant string `query:"tenant" maxLength:"4096"`
			Off    bool   `query:"off" doc:"Those that are off, too"`
		}) (*Body[Page[ScenarioState]], error) {
			all, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			from, to, zone, err := in.read(scenario.DefaultDays, time.Now())
			if err != nil {
				return nil, err
			}
			list, err := t.svc.Scenarios(ctx, all)
			if err != nil {
				return nil, err
			}
			ask, items := t.asking(s, within, from), []ScenarioState{}
			for i := range list {
				if k := &list[i]; !k.Content.Off || in.Off {
					f, notes, err := ask.figures(ctx, &k.Content, ticketing.AlertQuery{Reach: within, Since: from, Until: to, Suppressed: ticketing.SuppressedNone}, zone, false)
					if err != nil {
						return nil, scenarioProblem(fmt.Errorf("scenario %s: %w", k.ID, err), k.ID)
					}
					items = append(items, ScenarioState{ScenarioView: t.viewOfScenario(all, k), Figures: f, Notes: orNone(notes)})
				}
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "export-scenarios", Method: http.MethodGet, Path: "/scenarios/export", Tags: tags, // before scenarios by their ids
		Summary: "Scenarios as YAML, which import-scenarios reads"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `query:"id" maxLength:"4096" doc:"Ids with commas; all that are not shipped, or were changed, by default"`
		}) (*Body[scenarioFile], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, err := t.svc.Scenarios(ctx, within)
			if err != nil {
				return nil, err
			}
			want, bare := words(in.ID), []scenario.Scenario{}
			for _, k := range list {
				if len(want) > 0 && slices.Contains(want, k.ID) || len(want) == 0 && k.Version > 0 {
					bare = append(bare, scenario.Scenario{ID: k.ID, Content: k.Content})
				}
			}
			out, err := scenario.Format(bare)
			return Reply(scenarioFile{YAML: string(out), Count: len(bare)}), err
		})
	Register(s, huma.Operation{OperationID: "import-scenarios", Method: http.MethodPost, Path: "/scenarios/import", Tags: tags,
		Summary:      "Make scenarios from YAML, all or nothing",
		Description:  "A document each. One whose id is there is changed, another is made. All that they look at has to be within the caller's reach.",
		MaxBodyBytes: 2 * scenario.MaxFile, Errors: []int{404, 413, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				YAML string `json:"yaml" minLength:"1" doc:"At most 1 MiB"`
			}
		}) (*Body[scenarioImport], error) {
			AuditObject(ctx, "scenarios", "", "import")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			given, err := scenario.Parse([]byte(in.Body.YAML))
			if err != nil {
				return nil, scenarioProblem(err, "")
			}
			for i := range given {
				if err := t.checkScenario(ctx, s, by, &given[i].Content); err != nil {
					return nil, err
				}
			}
			made, err := t.svc.SetScenarios(ctx, by, given)
			if err != nil {
				return nil, scenarioProblem(err, "")
			}
			out := scenarioImport{IDs: []string{}}
			for i, k := range made {
				if out.IDs = append(out.IDs, k.ID); given[i].ID == k.ID {
					out.Updated++
				} else {
					out.Created++
				}
			}
			AuditObject(ctx, "scenarios", "", fmt.Sprintf("import: created %d, updated %d", out.Created, out.Updated))
			return Reply(out), nil
		})
	Register(s, huma.Operation{OperationID: "preview-scenario", Method: http.MethodPost, Path: "/scenarios/preview", Tags: tags,
		Summary: "What a scenario would hold now, without keeping it", Errors: []int{400, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ScenarioTime
			Body ScenarioBody
		}) (*Body[ScenarioState], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			k := scenario.Kept{Content: scenario.Content(in.Body)}
			if err := k.Content.Check(); err != nil {
				return nil, scenarioProblem(err, "")
			}
			return t.stateOfScenario(ctx, s, by, &k, in.ScenarioTime, AlertFilter{})
		})
	Register(s, huma.Operation{OperationID: "create-scenario", Method: http.MethodPost, Path: "/scenarios", Tags: tags,
		Summary: "Make a scenario", DefaultStatus: http.StatusCreated, Errors: []int{422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct{ Body ScenarioBody }) (*Body[ScenarioView], error) {
			return t.setScenario(ctx, s, "", in.Body)
		})
	Register(s, huma.Operation{OperationID: "get-scenario", Method: http.MethodGet, Path: "/scenarios/{id}", Tags: tags,
		Summary: "One scenario with its systems, units, regions, accounts and items, of all its alerts or of those that a filter chooses", Errors: []int{400, 403, 404, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			IDInput
			ScenarioTime
			AlertFilter
		}) (*Body[ScenarioState], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			k, err := t.svc.Scenario(ctx, by.Reach, in.ID)
			if err != nil {
				return nil, scenarioProblem(err, in.ID)
			}
			return t.stateOfScenario(ctx, s, by, &k, in.ScenarioTime, in.AlertFilter)
		})
	Register(s, huma.Operation{OperationID: "update-scenario", Method: http.MethodPut, Path: "/scenarios/{id}", Tags: tags,
		Summary: "Change a scenario, or switch it off or on", Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body ScenarioBody
		}) (*Body[ScenarioView], error) {
			return t.setScenario(ctx, s, in.ID, in.Body)
		})
	Register(s, huma.Operation{OperationID: "delete-scenario", Method: http.MethodDelete, Path: "/scenarios/{id}", Tags: tags,
		Summary: "Delete a scenario; restore brings it back", DefaultStatus: http.StatusNoContent, Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*struct{}, error) {
			AuditObject(ctx, "scenario:"+clip(in.ID, 64), "", "")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			if err := t.svc.DeleteScenario(ctx, by, in.ID); err != nil {
				return nil, scenarioProblem(err, in.ID)
			}
			return nil, nil
		})
	Register(s, huma.Operation{OperationID: "list-scenario-versions", Method: http.MethodGet, Path: "/scenarios/{id}/versions", Tags: tags,
		Summary: "The versions of a scenario, the newest first; those of a deleted one too", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[Page[scenarioVersion]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, err := t.svc.ScenarioVersions(ctx, within, in.ID)
			if err != nil {
				return nil, scenarioProblem(err, in.ID)
			}
			items := make([]scenarioVersion, 0, len(list))
			for i := range list {
				items = append(items, scenarioVersion{ScenarioView: t.viewOfScenario(within, &list[i]), Deleted: list[i].Deleted})
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "restore-scenario", Method: http.MethodPost, Path: "/scenarios/{id}/restore", Tags: tags,
		Summary: "Make a scenario again what a version of it was, a deleted one too", Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Version int64 `json:"version" minimum:"0" doc:"Of list-scenario-versions; 0 is what was shipped"`
			}
		}) (*Body[ScenarioView], error) {
			AuditObject(ctx, "scenario:"+clip(in.ID, 64), "", fmt.Sprintf("version %d", in.Body.Version))
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			k, err := t.svc.RestoreScenario(ctx, by, in.ID, in.Body.Version)
			if err != nil {
				return nil, scenarioProblem(err, in.ID)
			}
			return Reply(t.viewOfScenario(by.Reach, &k)), nil
		})
}

// checkScenario refuses what only the rest of the suite knows to be wrong.
func (t *tickets) checkScenario(ctx context.Context, s *Server, by ticketing.Actor, c *scenario.Content) error {
	for _, slug := range c.Tenants {
		if !s.tenantExists(slug) {
			return Problem(http.StatusUnprocessableEntity, "tenants: there is no tenant %q", clip(slug, 64))
		}
	}
	if c.Items != "" && s.deps.CMDB != nil {
		f := cmdbFilter(c.Items)
		f.Limit = 1
		if _, err := s.deps.CMDB.Items(ctx, by.Reach, f); err != nil {
			return err
		}
	}
	return nil
}

// setScenario makes or changes a scenario.
func (t *tickets) setScenario(ctx context.Context, s *Server, id string, body ScenarioBody) (*Body[ScenarioView], error) {
	AuditObject(ctx, "scenario:"+clip(id, 64), "", clip(body.Name.ZH+body.Name.EN, 200))
	by, err := acting(ctx)
	if err != nil {
		return nil, err
	}
	sc := body.scenario(id)
	if err := sc.Check(); err != nil {
		return nil, scenarioProblem(err, id)
	}
	if err := t.checkScenario(ctx, s, by, &sc.Content); err != nil {
		return nil, err
	}
	if id != "" { // one that is not there is not made by its id
		if _, err := t.svc.Scenario(ctx, by.Reach, id); err != nil {
			return nil, scenarioProblem(err, id)
		}
	}
	made, err := t.svc.SetScenarios(ctx, by, []scenario.Scenario{sc})
	if err != nil {
		return nil, scenarioProblem(err, id)
	}
	AuditObject(ctx, "scenario:"+made[0].ID, "", clip(made[0].Content.Name.ZH+made[0].Content.Name.EN, 200))
	return Reply(t.viewOfScenario(by.Reach, &made[0])), nil
}

// stateOfScenario is a scenario with all that there is of it.
func (t *tickets) stateOfScenario(ctx context.Context, s *Server, by ticketing.Actor, k *scenario.Kept, span ScenarioTime, f AlertFilter) (*Body[ScenarioState], error) {
	from, to, zone, err := span.read(k.Content.Days, time.Now())
	if err != nil {
		return nil, err
	}
	f.Scenario, f.Since = "", "" // the scenario's own, and the time that is asked for
	q, err := t.query(ctx, s, f)
	if err != nil {
		return nil, err
	}
	q.Since, q.Until = from, to
	if q.Suppressed == "" {
		q.Suppressed = ticketing.SuppressedNone
	}
	figures, notes, err := t.asking(s, q.Reach, from).figures(ctx, &k.Content, q, zone, true)
	if err != nil {
		return nil, scenarioProblem(err, k.ID)
	}
	return Reply(ScenarioState{ScenarioView: t.viewOfScenario(by.Reach, k), Figures: figures, Notes: orNone(notes)}), nil
}

package api

import (
	"context"
	"net/http"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/template"
	"icewatch/soc/identity"
)

// FleetConfiguration is a configuration with its versions.
type FleetConfiguration struct {
	fleet.ConfigurationView
	Versions []configuration.Version `json:"versions" nullable:"false" doc:"The newest first"`
}

// FleetConfigurationUpdate is a configuration as it is changed.
type FleetConfigurationUpdate struct {
	fleet.ConfigurationDraft
	Revision int64 `json:"revision,omitempty" doc:"The one that was read: another one now is a conflict"`
}

func (s *Server) fleetConfigurationRoutes() {
	room := s.deps.Fleet
	const path = "/configurations"
	Register(s, fleetOperation("list-fleet-configurations", http.MethodGet, path, "Configurations of agents, and how far their roll-outs are"), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.ConfigurationView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Configurations(a), *in)
		})
	Register(s, fleetOperation("get-fleet-configuration", http.MethodGet, path+"/{id}", "A configuration with all its versions", 404), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[FleetConfiguration], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, list, err := room.Configuration(a, in.ID)
			return ofFleet(FleetConfiguration{v, list}, err)
		})
	keep := func(ctx context.Context, id string, revision int64, d fleet.ConfigurationDraft) (*Body[fleet.ConfigurationView], error) {
		AuditObject(ctx, "fleet-configuration:"+clip(id, 64), d.Tenant, clip(d.Name, 64))
		a, err := fleetAsker(ctx)
		if err != nil {
			return nil, err
		}
		v, err := room.KeepConfiguration(ctx, a, id, revision, d)
		if err == nil {
			AuditObject(ctx, "fleet-configuration:"+v.ID, v.Tenant, v.Name)
			AuditChange(ctx, nil, d)
		}
		return ofFleet(v, err)
	}
	add := fleetOperation("create-fleet-configuration", http.MethodPost, path, "Add a configuration: for whom it is; its document is published then", 409, 422)
	add.DefaultStatus = http.StatusCreated
	Register(s, add, identity.ScopeConfigure, func(ctx context.Context, in *struct{ Body fleet.ConfigurationDraft }) (*Body[fleet.ConfigurationView], error) {
		return keep(ctx, "", 0, in.Body)
	})
	Register(s, fleetOperation("update-fleet-configuration", http.MethodPut, path+"/{id}", "Change for whom a configuration is", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body FleetConfigurationUpdate
		}) (*Body[fleet.ConfigurationView], error) {
			return keep(ctx, in.ID, in.Body.Revision, in.Body.ConfigurationDraft)
		})
	remove := fleetOperation("delete-fleet-configuration", http.MethodDelete, path+"/{id}", "Delete a configuration with its versions; its hosts get what else is theirs", 404)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "fleet-configuration:"+clip(in.ID, 64), "", "")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			if v, _, err := room.Configuration(a, in.ID); err == nil {
				AuditObject(ctx, "fleet-configuration:"+v.ID, v.Tenant, v.Name)
				AuditChange(ctx, v.Configuration, nil)
			}
			return nil, fleetProblem(room.DeleteConfiguration(ctx, a, in.ID))
		})
	publish := fleetOperation("publish-fleet-configuration", http.MethodPost, path+"/{id}/publish", "Roll a version out: to a tenth of the hosts first, to all when that went well, back by itself when not", 404, 409, 422)
	publish.MaxBodyBytes = 2 << 20
	Register(s, publish, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body fleet.Publication
		}) (*Body[fleet.ConfigurationView], error) {
			AuditObject(ctx, "fleet-configuration:"+clip(in.ID, 64), "", clip(in.Body.Comment, 200))
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.Publish(ctx, a, in.ID, in.Body)
			if err == nil {
				AuditObject(ctx, "fleet-configuration:"+v.ID, v.Tenant, v.Name+" "+clip(in.Body.Comment, 200))
				AuditChange(ctx, nil, v.Rollout)
			}
			return ofFleet(v, err)
		})
	for _, x := range [][3]string{
		{"pause-fleet-rollout", "pause", "Hold a roll-out at the hosts that have it"},
		{"resume-fleet-rollout", "resume", "Go on with a roll-out"},
		{"complete-fleet-rollout", "complete", "Give a version to all hosts now"},
		{"rollback-fleet-rollout", "roll-back", "Give all hosts the version before"},
	} {
		Register(s, fleetOperation(x[0], http.MethodPost, path+"/{id}/"+x[1], x[2], 404, 409), identity.ScopeConfigure,
			func(ctx context.Context, in *ByID) (*Body[fleet.ConfigurationView], error) {
				AuditObject(ctx, "fleet-configuration:"+clip(in.ID, 64), "", x[1])
				a, err := fleetAsker(ctx)
				if err != nil {
					return nil, err
				}
				v, err := room.Steer(ctx, a, in.ID, x[1])
				if err == nil {
					AuditObject(ctx, "fleet-configuration:"+v.ID, v.Tenant, v.Name+": "+x[1])
				}
				return ofFleet(v, err)
			})
	}
	check := fleetOperation("check-fleet-document", http.MethodPost, "/documents/check", "Say what is wrong with a configuration document, with input and line", 422)
	check.MaxBodyBytes, check.DefaultStatus = 2<<20, http.StatusNoContent
	Register(s, check, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body fleetDocument }) (*struct{}, error) {
			stateOf(ctx).skipAudit = true // nothing changes
			return nil, fleetProblem(fleet.CheckDocument(in.Body.Document))
		})
}

// FleetTaskUpdate is a task as it is changed.
type FleetTaskUpdate struct {
	fleet.TaskDraft
	Revision int64 `json:"revision,omitempty" doc:"The one that was read: another one now is a conflict"`
}

func (s *Server) fleetTaskRoutes() {
	room := s.deps.Fleet
	Register(s, fleetOperation("list-fleet-templates", http.MethodGet, "/templates", "Integration templates: what can be collected, with parameters"), identity.ScopeRead,
		func(context.Context, *Empty) (*Body[Page[template.Template]], error) {
			list := room.Templates()
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, fleetOperation("preview-fleet-template", http.MethodPost, "/templates/{id}/preview", "See the document that a template makes of parameters, without keeping it", 404, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				Params map[string]string `json:"params"`
			}
		}) (*Body[fleetDocument], error) {
			stateOf(ctx).skipAudit = true // nothing changes
			text, err := room.Preview(in.ID, in.Body.Params)
			return ofFleet(fleetDocument{text}, err)
		})
	Register(s, fleetOperation("list-fleet-tasks", http.MethodGet, "/tasks", "Collection tasks and how they fare"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Q        string `query:"q" maxLength:"200" doc:"Part of the name or the template"`
			Template string `query:"template" maxLength:"64"`
			Category string `query:"category" maxLength:"64"`
			State    string `query:"state" enum:"running,failing,waiting,off"`
			Group    string `query:"group" maxLength:"64"`
			Host     string `query:"host" maxLength:"64" doc:"That run on this host"`
		}) (*Body[Page[fleet.TaskView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Tasks(a, fleet.TaskQuery{Text: in.Q, Template: in.Template, Category: in.Category, State: in.State, Group: in.Group, Host: in.Host}), in.PageInput)
		})
	Register(s, fleetOperation("get-fleet-task", http.MethodGet, "/tasks/{id}", "One collection task", 404), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[fleet.TaskView], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return ofFleet(room.Task(a, in.ID))
		})
	keep := func(ctx context.Context, id string, revision int64, d fleet.TaskDraft) (*Body[fleet.TaskView], error) {
		AuditObject(ctx, "fleet-task:"+clip(id, 64), d.Tenant, clip(d.Name, 64))
		a, err := fleetAsker(ctx)
		if err != nil {
			return nil, err
		}
		v, err := room.KeepTask(ctx, a, id, revision, d)
		if err == nil {
			AuditObject(ctx, "fleet-task:"+v.ID, v.Tenant, v.Name)
			AuditChange(ctx, nil, v) // holds names of secrets alone
		}
		return ofFleet(v, err)
	}
	add := fleetOperation("create-fleet-task", http.MethodPost, "/tasks", "Apply a template: collect from hosts, or once in a group", 409, 422)
	add.DefaultStatus = http.StatusCreated
	Register(s, add, identity.ScopeConfigure, func(ctx context.Context, in *struct{ Body fleet.TaskDraft }) (*Body[fleet.TaskView], error) {
		return keep(ctx, "", 0, in.Body)
	})
	Register(s, fleetOperation("update-fleet-task", http.MethodPut, "/tasks/{id}", "Change a collection task; secrets that are left out stay where its target is the same", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body FleetTaskUpdate
		}) (*Body[fleet.TaskView], error) {
			return keep(ctx, in.ID, in.Body.Revision, in.Body.TaskDraft)
		})
	for _, x := range []struct {
		id, word, summary string
		on                bool
	}{{"start-fleet-task", "start", "Start a collection task", true}, {"stop-fleet-task", "stop", "Stop a collection task until it is started", false}} {
		Register(s, fleetOperation(x.id, http.MethodPost, "/tasks/{id}/"+x.word, x.summary, 404), identity.ScopeConfigure,
			func(ctx context.Context, in *ByID) (*Body[fleet.TaskView], error) {
				AuditObject(ctx, "fleet-task:"+clip(in.ID, 64), "", x.word)
				a, err := fleetAsker(ctx)
				if err != nil {
					return nil, err
				}
				v, err := room.EnableTask(ctx, a, in.ID, x.on)
				if err == nil {
					AuditObject(ctx, "fleet-task:"+v.ID, v.Tenant, v.Name)
				}
				return ofFleet(v, err)
			})
	}
	remove := fleetOperation("delete-fleet-task", http.MethodDelete, "/tasks/{id}", "Stop a collection task and forget it with its secrets", 404)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "fleet-task:"+clip(in.ID, 64), "", "")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.DeleteTask(ctx, a, in.ID)
			if err == nil {
				AuditObject(ctx, "fleet-task:"+v.ID, v.Tenant, v.Name)
				AuditChange(ctx, v, nil)
			}
			return nil, fleetProblem(err)
		})
}

func (s *Server) fleetGroupRoutes() {
	room := s.deps.Fleet
	Register(s, fleetOperation("list-fleet-groups", http.MethodGet, "/groups", "Groups of agents that share remote tasks, with who runs how much"), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.GroupView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Groups(a), *in)
		})
	keep := func(ctx context.Context, id string, d fleet.GroupDraft) (*Body[fleet.GroupView], error) {
		AuditObject(ctx, "fleet-group:"+clip(id, 64), d.Tenant, clip(d.Name, 64))
		a, err := fleetAsker(ctx)
		if err != nil {
			return nil, err
		}
		v, err := room.KeepGroup(ctx, a, id, d)
		if err == nil {
			AuditObject(ctx, "fleet-group:"+v.ID, v.Tenant, v.Name)
			AuditChange(ctx, nil, v.Group)
		}
		return ofFleet(v, err)
	}
	add := fleetOperation("create-fleet-group", http.MethodPost, "/groups", "Add a group of agents", 409, 422)
	add.DefaultStatus = http.StatusCreated
	Register(s, add, identity.ScopeConfigure, func(ctx context.Context, in *struct{ Body fleet.GroupDraft }) (*Body[fleet.GroupView], error) {
		return keep(ctx, "", in.Body)
	})
	Register(s, fleetOperation("update-fleet-group", http.MethodPut, "/groups/{id}", "Change a group's name and note", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body fleet.GroupDraft
		}) (*Body[fleet.GroupView], error) {
			return keep(ctx, in.ID, in.Body)
		})
	remove := fleetOperation("delete-fleet-group", http.MethodDelete, "/groups/{id}", "Delete a group that has no tasks", 404, 409)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "fleet-group:"+clip(in.ID, 64), "", "")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.DeleteGroup(ctx, a, in.ID)
			if err == nil {
				AuditObject(ctx, "fleet-group:"+v.ID, v.Tenant, v.Name)
			}
			return nil, fleetProblem(err)
		})
}

package api

import (
	"context"
	"net/http"

	"icewatch/collectors/fleet"
	"icewatch/soc/identity"
)

// FleetProfileUpdate is a host profile as it is changed.
type FleetProfileUpdate struct {
	fleet.ProfileDraft
	Revision int64 `json:"revision,omitempty" doc:"The one that was read: another one now is a conflict"`
}

// fleetProfileRoutes registers host profiles, and templates that bring the agent along.
func (s *Server) fleetProfileRoutes() {
	room := s.deps.Fleet
	const path = "/profiles"
	Register(s, fleetOperation("list-fleet-profiles", http.MethodGet, path, "Host profiles: what hosts are that are added by them"), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.ProfileView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Profiles(a), *in)
		})
	Register(s, fleetOperation("get-fleet-profile", http.MethodGet, path+"/{id}", "One host profile", 404), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[fleet.ProfileView], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return ofFleet(room.ProfileOf(a, in.ID))
		})
	keep := func(ctx context.Context, id string, revision int64, d fleet.ProfileDraft) (*Body[fleet.ProfileView], error) {
		AuditObject(ctx, "fleet-profile:"+clip(id, 64), d.Tenant, clip(d.Name, 64))
		a, err := fleetAsker(ctx)
		if err != nil {
			return nil, err
		}
		v, err := room.KeepProfile(ctx, a, id, revision, d)
		if err == nil {
			AuditObject(ctx, "fleet-profile:"+v.ID, v.Tenant, v.Name)
			AuditChange(ctx, nil, v) // holds names of secrets alone
		}
		return ofFleet(v, err)
	}
	add := fleetOperation("create-fleet-profile", http.MethodPost, path, "Add a host profile: labels, group, configuration, plug-ins, templates and version of the agent", 409, 422)
	add.DefaultStatus = http.StatusCreated
	Register(s, add, identity.ScopeConfigure, func(ctx context.Context, in *struct{ Body fleet.ProfileDraft }) (*Body[fleet.ProfileView], error) {
		return keep(ctx, "", 0, in.Body)
	})
	Register(s, fleetOperation("update-fleet-profile", http.MethodPut, path+"/{id}", "Change a host profile; its templates change on its hosts at once, all else is for hosts that are added from now on", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body FleetProfileUpdate
		}) (*Body[fleet.ProfileView], error) {
			return keep(ctx, in.ID, in.Body.Revision, in.Body.ProfileDraft)
		})
	remove := fleetOperation("delete-fleet-profile", http.MethodDelete, path+"/{id}", "Delete a host profile with the tasks of its templates; its hosts stay as they are otherwise", 404, 409)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "fleet-profile:"+clip(in.ID, 64), "", "")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.DeleteProfile(ctx, a, in.ID)
			if err == nil {
				AuditObject(ctx, "fleet-profile:"+v.ID, v.Tenant, v.Name)
				AuditChange(ctx, v, nil)
			}
			return nil, fleetProblem(err)
		})
	Register(s, fleetOperation("export-fleet-profile", http.MethodGet, path+"/{id}/export", "A host profile as YAML, with group and configuration by name and without secrets", 404), identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[fleetDocument], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			text, err := room.ExportProfile(a, in.ID)
			return ofFleet(fleetDocument{text}, err)
		})
	Register(s, fleetOperation("import-fleet-profile", http.MethodPost, path+"/import", "Take a host profile from YAML into a tenant: a new one, or in the place of the one of its name", 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Tenant   string `json:"tenant" minLength:"1" maxLength:"63"`
				Document string `json:"document" maxLength:"262144" doc:"YAML, as the export writes it"`
			}
		}) (*Body[fleet.ProfileView], error) {
			AuditObject(ctx, "fleet-profile", in.Body.Tenant, "import")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.ImportProfile(ctx, a, in.Body.Tenant, in.Body.Document)
			if err == nil {
				AuditObject(ctx, "fleet-profile:"+v.ID, v.Tenant, v.Name)
				AuditChange(ctx, nil, v)
			}
			return ofFleet(v, err)
		})
	install := fleetOperation("install-fleet-template", http.MethodPost, "/templates/install", "Apply a template to hosts that have no agent yet: it is installed over SSH, or by a line, and they collect at once; one task", 409, 422)
	install.DefaultStatus = http.StatusCreated
	Register(s, install, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body fleet.TemplateInstall }) (*Body[fleet.TemplateInstalled], error) {
			AuditObject(ctx, "fleet-task", in.Body.Task.Tenant, clip(in.Body.Task.Name, 64))
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.InstallTemplate(ctx, a, in.Body)
			if err == nil {
				AuditObject(ctx, "fleet-task:"+v.Task.ID, v.Task.Tenant, v.Task.Name)
				AuditChange(ctx, nil, v.Task)
			}
			return ofFleet(v, err)
		})
}

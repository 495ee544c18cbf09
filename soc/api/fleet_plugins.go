package api

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/extension"
	"icewatch/soc/identity"
)

const fleetPlugins = "/fleet/plugins"

// fleetPluginRoutes registers extension plug-ins of the agent. They are installed, started, stopped and
// removed by batch operations (create-fleet-job).
func (s *Server) fleetPluginRoutes() {
	room := s.deps.Fleet
	Register(s, fleetOperation("list-fleet-plugins", http.MethodGet, "/plugins", "Plug-ins of the agent: those that were uploaded and the preset ones, with where they run and how they fare"), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.ExtensionView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Extensions(a), *in)
		})
	Register(s, fleetOperation("get-fleet-plugin", http.MethodGet, "/plugins/{name}", "One uploaded plug-in with its packages and the hosts that have it: state, restarts, samples, errors, processor and memory", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Name string `path:"name" maxLength:"40"`
		}) (*Body[fleet.ExtensionDetail], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return ofFleet(room.ExtensionOf(a, in.Name))
		})
	add := fleetOperation("add-fleet-plugin", http.MethodPost, "/plugins", "Upload a package of an extension plug-in (tar.gz with plugin.yaml); it is checked as a whole and signed", 409, 413, 422)
	add.MaxBodyBytes, add.DefaultStatus, add.BodyReadTimeout = extension.MaxSize+1, http.StatusCreated, 10*time.Minute
	Register(s, add, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Note    string `query:"note" maxLength:"2000"`
			SHA256  string `query:"sha256" maxLength:"64" doc:"As the package is known; another one is refused"`
			RawBody []byte `contentType:"application/octet-stream"`
		}) (*Body[fleet.Extension], error) {
			AuditObject(ctx, "fleet-plugin", "", clip(in.Note, 200))
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			x, err := room.AddExtension(ctx, a, in.Note, in.SHA256, bytes.NewReader(in.RawBody))
			if err == nil || x.Name != "" {
				AuditObject(ctx, "fleet-plugin:"+x.Name, "", x.Name+" "+x.Version)
			}
			if err == nil {
				AuditChange(ctx, nil, x)
			}
			return ofFleet(x, err)
		})
	remove := huma.Operation{OperationID: "delete-fleet-plugin", Method: http.MethodDelete, Path: fleetPlugins + "/{name}/{version}", Tags: []string{"fleet"}, Summary: "Delete a version of an extension plug-in that no host has", Errors: []int{404, 409}, DefaultStatus: http.StatusNoContent}
	Register(s, remove, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Name    string `path:"name" maxLength:"40"`
			Version string `path:"version" maxLength:"64"`
		}) (*struct{}, error) {
			AuditObject(ctx, "fleet-plugin:"+clip(in.Name, 40), "", clip(in.Name+" "+in.Version, 110))
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			_, err = room.DeleteExtension(ctx, a, in.Name, in.Version)
			return nil, fleetProblem(err)
		})
}

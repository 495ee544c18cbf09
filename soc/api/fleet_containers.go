package api

import (
	"context"
	"net/http"

	"icewatch/collectors/fleet"
	"icewatch/soc/identity"
)

// fleetContainerRoutes registers the containers on hosts.
func (s *Server) fleetContainerRoutes() {
	room := s.deps.Fleet
	Register(s, fleetOperation("list-fleet-containers", http.MethodGet, "/containers", "Containers on hosts, with their states and the services found in them"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Q       string `query:"q" maxLength:"200" doc:"Words that all occur in name, image, pod, namespace, host, service, process, address, port or the beginning of the id"`
			State   string `query:"state" maxLength:"32" doc:"running, exited, paused, created, restarting, dead, waiting"`
			Service string `query:"service" maxLength:"64" doc:"That was found in it, or that its image is"`
			Host    string `query:"host" maxLength:"64" doc:"Id"`
			Tenant  string `query:"tenant" maxLength:"63"`
			Engine  string `query:"engine" enum:"docker,podman,kubernetes"`
		}) (*Body[Page[fleet.FleetContainer]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Containers(a, fleet.ContainerQuery{Text: in.Q, State: in.State, Service: in.Service, Agent: in.Host, Tenant: in.Tenant, Engine: in.Engine}), in.PageInput)
		})
	Register(s, fleetOperation("get-fleet-container-figures", http.MethodGet, "/container-figures", "How many containers there are, by state and service"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[fleet.ContainerFigures], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return Reply(room.ContainerFigures(a)), nil
		})
}

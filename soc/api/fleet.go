package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/identity"
)

// fleetAsker is who asks of the fleet of agents.
func fleetAsker(ctx context.Context) (fleet.Asker, error) {
	within, err := Reach(ctx, "")
	return fleet.Asker{Name: Actor(ctx), Within: within}, err
}

// ofFleet makes an answer of what the fleet answered; its refusals are problems.
func ofFleet[T any](v T, err error) (*Body[T], error) {
	if err != nil {
		return nil, fleetProblem(err)
	}
	return Reply(v), nil
}

func fleetProblem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fleet.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, fleet.ErrInvalid, ""))
	case errors.Is(err, fleet.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", fleet.ErrNotFound)
	case errors.Is(err, fleet.ErrForbidden):
		return Problem(http.StatusForbidden, "%s", fleet.ErrForbidden)
	case errors.Is(err, fleet.ErrConflict):
		return Problem(http.StatusConflict, "%s", plain(err, fleet.ErrConflict, ""))
	}
	return err
}

func fleetOperation(id, method, path, summary string, errs ...int) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: "/fleet" + path, Tags: []string{"fleet"}, Summary: summary, Errors: errs}
}

// fleetRoutes registers what administers the agents on hosts.
func (s *Server) fleetRoutes() {
	if s.deps.Fleet == nil {
		return
	}
	s.fleetHostRoutes()
	s.fleetTokenRoutes()
	s.fleetJobRoutes()
	s.fleetConfigurationRoutes()
	s.fleetTaskRoutes()
	s.fleetGroupRoutes()
	s.fleetPackageRoutes()
	s.fleetReportRoutes()
	s.fleetPluginRoutes()
	s.fleetProfileRoutes()
	s.fleetContainerRoutes()
	s.fleetDeploymentRoutes()
	s.fleetThresholdRoutes()
}

// FleetHosts names hosts of a batch operation. It is exported because inputs embed it.
type FleetHosts struct {
	Hosts []string `json:"hosts" nullable:"false" minItems:"1" maxItems:"1000" doc:"Ids"`
}

// FleetHostQuery chooses hosts.
type FleetHostQuery struct {
	Q             string `query:"q" maxLength:"200" doc:"Words that all occur in name, address, label, platform, state or id"`
	Exact         bool   `query:"exact" doc:"Each word is the whole of one of these"`
	State         string `query:"state" enum:"online,degraded,tripped,offline,never,revoked"`
	Tenant        string `query:"tenant" maxLength:"63"`
	Label         string `query:"label" maxLength:"128"`
	Group         string `query:"group" maxLength:"64"`
	OS            string `query:"os" maxLength:"32"`
	Version       string `query:"version" maxLength:"64"`
	Configuration string `query:"configuration" maxLength:"64"`
	Sort          string `query:"sort" enum:"name,-name,seen,-seen,state,-state,version,-version,enrolled,-enrolled"`
}

func (s *Server) fleetHostRoutes() {
	room := s.deps.Fleet
	Register(s, fleetOperation("get-fleet-statistics", http.MethodGet, "/statistics", "How many hosts and agents there are, by state, system, kind, version, label and plug-in"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[fleet.Statistics], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return Reply(room.Statistics(a)), nil
		})
	Register(s, fleetOperation("list-fleet-hosts", http.MethodGet, "/hosts", "Hosts with an agent"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			FleetHostQuery
		}) (*Body[Page[fleet.Host]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Hosts(a, fleet.HostQuery{Text: in.Q, Exact: in.Exact, State: in.State, Tenant: in.Tenant, Label: in.Label, Group: in.Group, OS: in.OS, Version: in.Version, Configuration: in.Configuration, Sort: in.Sort}), in.PageInput)
		})
	Register(s, fleetOperation("get-fleet-host", http.MethodGet, "/hosts/{id}", "One host with all that its agent tells", 404), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[fleet.HostDetail], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return ofFleet(room.Host(a, in.ID))
		})
	Register(s, fleetOperation("get-fleet-inventory", http.MethodGet, "/hosts/{id}/inventory", "The last inventory of a host: hardware, packages, processes, ports, users, certificates", 404), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[wire.Inventory], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			data, err := room.Inventory(ctx, a, in.ID)
			if err != nil {
				return nil, fleetProblem(err)
			}
			var inv wire.Inventory
			if err := json.Unmarshal(data, &inv); err != nil {
				return nil, err
			}
			return Reply(inv), nil
		})
	Register(s, fleetOperation("get-fleet-document", http.MethodGet, "/hosts/{id}/document", "The document that a host is to run, made of its configuration and its tasks, without secrets", 404, 409), identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[fleetDocument], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			text, err := room.Document(a, in.ID)
			if err != nil && !errors.Is(err, fleet.ErrNotFound) {
				return nil, Problem(http.StatusConflict, "%s", err)
			}
			return ofFleet(fleetDocument{text}, err)
		})
	Register(s, fleetOperation("change-fleet-hosts", http.MethodPost, "/hosts/change", "Change labels, group or configuration of up to 1,000 hosts; all of them or none", 404, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				FleetHosts
				Change fleet.HostChange `json:"change"`
			}
		}) (*Body[Page[fleet.Host]], error) {
			AuditObject(ctx, "fleet-hosts", "", strconv.Itoa(len(in.Body.Hosts))+" hosts")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			list, err := room.ChangeHosts(ctx, a, in.Body.Hosts, in.Body.Change)
			if err == nil {
				AuditChange(ctx, nil, in.Body.Change)
			}
			return ofFleet(PageOf(list, len(list), ""), err)
		})
	for _, x := range []struct {
		id, word, summary string
		do                func(context.Context, fleet.Asker, []string, string) error
	}{
		{"revoke-fleet-hosts", "revoke", "Take the identities of up to 1,000 agents away at once: connections are cut, certificates refused", room.Revoke},
		{"delete-fleet-hosts", "delete", "Revoke up to 1,000 agents and forget their hosts; what they sent stays", room.Delete},
	} {
		op := fleetOperation(x.id, http.MethodPost, "/hosts/"+x.word, x.summary, 404, 422)
		op.DefaultStatus = http.StatusNoContent
		Register(s, op, identity.ScopeConfigure,
			func(ctx context.Context, in *struct {
				Body struct {
					FleetHosts
					Reason string `json:"reason,omitempty" maxLength:"500"`
				}
			}) (*struct{}, error) {
				AuditObject(ctx, "fleet-hosts", "", strconv.Itoa(len(in.Body.Hosts))+" hosts: "+clip(in.Body.Reason, 200))
				a, err := fleetAsker(ctx)
				if err != nil {
					return nil, err
				}
				for _, id := range in.Body.Hosts[:min(len(in.Body.Hosts), 1)] {
					if h, err := room.Host(a, id); err == nil && len(in.Body.Hosts) == 1 {
						AuditObject(ctx, "fleet-host:"+id, h.Tenant, h.Name+" "+clip(in.Body.Reason, 200))
					}
				}
				return nil, fleetProblem(x.do(ctx, a, in.Body.Hosts, in.Body.Reason))
			})
	}
	Register(s, fleetOperation("list-fleet-operations", http.MethodGet, "/operations", "The operation log of hosts, tasks and configurations, newest first"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
			Before string `query:"before" maxLength:"26" doc:"Id of the last one of the page before"`
			Host   string `query:"host" maxLength:"64"`
			Object string `query:"object" maxLength:"128" doc:"Such as task:ID, configuration:ID, job:ID"`
			Kind   string `query:"kind" maxLength:"64"`
		}) (*Body[Page[roster.Operation]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			list, err := room.Operations(ctx, a, roster.OperationQuery{Agent: in.Host, Object: in.Object, Kind: in.Kind, Before: in.Before, Limit: in.Limit})
			next := ""
			if len(list) == in.Limit {
				next = list[len(list)-1].ID
			}
			return ofFleet(PageOf(list, len(list), next), err)
		})
}

type fleetDocument struct {
	Document string `json:"document" doc:"YAML"`
}

func (s *Server) fleetTokenRoutes() {
	room := s.deps.Fleet
	Register(s, fleetOperation("list-fleet-tokens", http.MethodGet, "/tokens", "Enrolment tokens, without their secrets"), identity.ScopeConfigure,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.TokenView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Tokens(a), *in)
		})
	op := fleetOperation("create-fleet-token", http.MethodPost, "/tokens", "Make a token by which hosts are enrolled; its text is shown this once", 409, 422)
	op.DefaultStatus = http.StatusCreated
	Register(s, op, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body fleet.TokenDraft }) (*Body[fleet.MadeToken], error) {
			AuditObject(ctx, "fleet-token", in.Body.Tenant, clip(in.Body.Note, 200))
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			t, err := room.CreateToken(ctx, a, in.Body)
			if err == nil {
				AuditObject(ctx, "fleet-token:"+t.ID, t.Tenant, clip(t.Note, 200))
				AuditChange(ctx, nil, t.TokenView)
			}
			return ofFleet(t, err)
		})
	Register(s, fleetOperation("withdraw-fleet-token", http.MethodPost, "/tokens/{id}/withdraw", "Make a token worthless; one that is already is forgotten", 404), identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[fleet.TokenView], error) {
			AuditObject(ctx, "fleet-token:"+clip(in.ID, 64), "", "")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			t, err := room.WithdrawToken(ctx, a, in.ID)
			if err == nil {
				AuditObject(ctx, "fleet-token:"+t.ID, t.Tenant, clip(t.Note, 200))
			}
			return ofFleet(t, err)
		})
}

// FleetJob is a job with its results.
type FleetJob struct {
	fleet.JobView
	Results []fleet.Outcome `json:"results" nullable:"false" doc:"Those that failed first"`
}

func (s *Server) fleetJobRoutes() {
	room := s.deps.Fleet
	Register(s, fleetOperation("list-fleet-jobs", http.MethodGet, "/jobs", "Batch operations on hosts, newest first"), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.JobView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Jobs(a), *in)
		})
	op := fleetOperation("create-fleet-job", http.MethodPost, "/jobs", "Order something of up to 1,000 agents: restart, reload, upgrade, uninstall, inventory, start or stop an input, install, start, stop or remove an extension plug-in", 404, 422)
	op.DefaultStatus = http.StatusCreated
	Register(s, op, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body fleet.JobDraft }) (*Body[Page[fleet.JobView]], error) {
			AuditObject(ctx, "fleet-job", "", in.Body.Kind+" "+clip(strings.TrimSpace(in.Body.Input+in.Body.Plugin+" "+in.Body.Version), 110)+" on "+strconv.Itoa(len(in.Body.Hosts))+" hosts")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			list, err := room.Order(ctx, a, in.Body)
			return ofFleet(PageOf(list, len(list), ""), err)
		})
	Register(s, fleetOperation("get-fleet-job", http.MethodGet, "/jobs/{id}", "A batch operation with the result of each host", 404), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[FleetJob], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, list, err := room.Job(a, in.ID)
			return ofFleet(FleetJob{v, list}, err)
		})
}

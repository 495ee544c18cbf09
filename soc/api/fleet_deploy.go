package api

import (
	"context"
	"net/http"
	"strconv"

	"icewatch/collectors/fleet"
	"icewatch/soc/identity"
)

// FleetDeployment is a deployment with its hosts.
type FleetDeployment struct {
	fleet.DeploymentView
	Targets []fleet.DeploymentHost `json:"targets" nullable:"false" doc:"Without their logs; those that need somebody first"`
}

// fleetDeploymentRoutes registers what installs, upgrades and removes agents over SSH.
func (s *Server) fleetDeploymentRoutes() {
	room := s.deps.Fleet
	const path = "/deployments"
	Register(s, fleetOperation("list-fleet-deployments", http.MethodGet, path, "Installations, upgrades and removals of agents over SSH, newest first"), identity.ScopeConfigure,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.DeploymentView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Deployments(a), *in)
		})
	Register(s, fleetOperation("get-fleet-deployment", http.MethodGet, path+"/{id}", "A deployment with how far each host is", 404), identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[FleetDeployment], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, hosts, err := room.Deployment(a, in.ID)
			return ofFleet(FleetDeployment{v, hosts}, err)
		})
	Register(s, fleetOperation("get-fleet-deployment-log", http.MethodGet, path+"/{id}/log", "What was said on one host of a deployment", 404), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Address string `query:"address" required:"true" maxLength:"270" doc:"HOST:PORT"`
		}) (*Body[fleet.DeploymentHost], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return ofFleet(room.DeploymentLog(a, in.ID, in.Address))
		})
	op := fleetOperation("create-fleet-deployment", http.MethodPost, path, "Install, upgrade or remove the agent on up to 1,000 hosts over SSH; credentials are sealed, used for it alone and forgotten at its end", 409, 422)
	op.DefaultStatus = http.StatusCreated
	Register(s, op, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body fleet.DeploymentDraft }) (*Body[fleet.DeploymentView], error) {
			d := in.Body
			said := d.Kind + " on " + strconv.Itoa(len(d.Hosts)) + " hosts as " + clip(d.User, 64)
			AuditObject(ctx, "fleet-deployment", d.Tenant, said)
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.Deploy(ctx, a, d)
			if err == nil {
				AuditObject(ctx, "fleet-deployment:"+v.ID, v.Tenant, said)
			}
			return ofFleet(v, err)
		})
	Register(s, fleetOperation("cancel-fleet-deployment", http.MethodPost, path+"/{id}/cancel", "Leave hosts that wait alone, and cut the connections to the others", 404, 409), identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[fleet.DeploymentView], error) {
			AuditObject(ctx, "fleet-deployment:"+clip(in.ID, 64), "", "cancel")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.CancelDeployment(a, in.ID)
			if err == nil {
				AuditObject(ctx, "fleet-deployment:"+v.ID, v.Tenant, "cancel")
			}
			return ofFleet(v, err)
		})
	Register(s, fleetOperation("retry-fleet-deployment", http.MethodPost, path+"/{id}/retry", "Try the hosts that failed again: in the deployment while it goes on, else in a new one, for which credentials are given again", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body fleet.DeploymentRetry
		}) (*Body[fleet.DeploymentView], error) {
			AuditObject(ctx, "fleet-deployment:"+clip(in.ID, 64), "", "retry")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.RetryDeployment(ctx, a, in.ID, in.Body)
			if err == nil {
				AuditObject(ctx, "fleet-deployment:"+v.ID, v.Tenant, "retry of what failed in "+clip(in.ID, 64))
			}
			return ofFleet(v, err)
		})
	Register(s, fleetOperation("trust-fleet-host-keys", http.MethodPost, path+"/{id}/trust", "Know hosts from now on by the keys that they showed and somebody looked at, and go on with them", 404, 409), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				Keys []fleet.TrustedKey `json:"keys" nullable:"false" minItems:"1" maxItems:"1000"`
			}
		}) (*Body[fleet.DeploymentView], error) {
			AuditObject(ctx, "fleet-deployment:"+clip(in.ID, 64), "", "trust "+strconv.Itoa(len(in.Body.Keys))+" host keys")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.TrustKeys(ctx, a, in.ID, in.Body.Keys)
			if err == nil {
				AuditObject(ctx, "fleet-deployment:"+v.ID, v.Tenant, "trust "+strconv.Itoa(len(in.Body.Keys))+" host keys")
				AuditChange(ctx, nil, in.Body)
			}
			return ofFleet(v, err)
		})
	Register(s, fleetOperation("list-fleet-host-keys", http.MethodGet, "/host-keys", "Keys of SSH that hosts are known by"), identity.ScopeConfigure,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.HostKey]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.HostKeys(a), *in)
		})
	forget := fleetOperation("forget-fleet-host-key", http.MethodPost, "/host-keys/forget", "Have a host be unknown again, such as one that was set up anew", 404)
	forget.DefaultStatus = http.StatusNoContent
	Register(s, forget, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Tenant  string `json:"tenant" minLength:"1" maxLength:"63"`
				Address string `json:"address" minLength:"1" maxLength:"270"`
			}
		}) (*struct{}, error) {
			AuditObject(ctx, "fleet-host-key", in.Body.Tenant, clip(in.Body.Address, 270))
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			k, err := room.ForgetHostKey(ctx, a, in.Body.Tenant, in.Body.Address)
			if err == nil {
				AuditChange(ctx, k, nil)
			}
			return nil, fleetProblem(err)
		})
}

// fleetThresholdRoutes registers the rules on what hosts, agents and tasks take.
func (s *Server) fleetThresholdRoutes() {
	room := s.deps.Fleet
	const path = "/thresholds"
	Register(s, fleetOperation("list-fleet-thresholds", http.MethodGet, path, "Rules on what hosts, agents and collection tasks take, with who is beyond them"), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.ThresholdView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Thresholds(a), *in)
		})
	keep := func(ctx context.Context, id string, d fleet.ThresholdDraft) (*Body[fleet.ThresholdView], error) {
		AuditObject(ctx, "fleet-threshold:"+clip(id, 64), d.Tenant, clip(d.Name, 64))
		a, err := fleetAsker(ctx)
		if err != nil {
			return nil, err
		}
		v, err := room.KeepThreshold(ctx, a, id, d)
		if err == nil {
			AuditObject(ctx, "fleet-threshold:"+v.ID, v.Tenant, v.Name)
			AuditChange(ctx, nil, v.Threshold)
		}
		return ofFleet(v, err)
	}
	add := fleetOperation("create-fleet-threshold", http.MethodPost, path, "Add a rule: an alarm when a figure stays above a value", 409, 422)
	add.DefaultStatus = http.StatusCreated
	Register(s, add, identity.ScopeConfigure, func(ctx context.Context, in *struct{ Body fleet.ThresholdDraft }) (*Body[fleet.ThresholdView], error) {
		return keep(ctx, "", in.Body)
	})
	Register(s, fleetOperation("update-fleet-threshold", http.MethodPut, path+"/{id}", "Change a rule, or switch it on and off", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body fleet.ThresholdDraft
		}) (*Body[fleet.ThresholdView], error) {
			return keep(ctx, in.ID, in.Body)
		})
	remove := fleetOperation("delete-fleet-threshold", http.MethodDelete, path+"/{id}", "Delete a rule; its alarms end", 404)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "fleet-threshold:"+clip(in.ID, 64), "", "")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			x, err := room.DeleteThreshold(ctx, a, in.ID)
			if err == nil {
				AuditObject(ctx, "fleet-threshold:"+x.ID, x.Tenant, x.Name)
				AuditChange(ctx, x, nil)
			}
			return nil, fleetProblem(err)
		})
}

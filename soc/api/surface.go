package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"icewatch/soc/exposure/surface"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

func surfaceProblem(err error) error {
	switch {
	case errors.Is(err, surface.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", err.Error())
	case errors.Is(err, surface.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	}
	return scanProblem(err)
}

// surfaceRoutes registers what is to be seen of hosts, and how that changed.
func (s *Server) surfaceRoutes() {
	room := s.deps.Surface
	if room == nil {
		return
	}
	Register(s, exposureOperation("list-surface-hosts", http.MethodGet, "/surface/hosts", "Hosts as discoveries saw them, with their services by category, and whether the CMDB knows them", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Q       string `query:"q" maxLength:"300" doc:"Words that all occur: address, name, MAC, port, service, product, title of a site"`
			State   string `query:"state" enum:"present,stale,vanished,"`
			Zone    string `query:"zone" maxLength:"200"`
			Unknown bool   `query:"unknown" doc:"Only those that the CMDB does not know"`
			Tenant  string `query:"tenant" maxLength:"4096"`
		}) (*Body[Page[surface.SurfaceHost]], error) {
			return pageWithin(ctx, in.Tenant, in.PageInput, surfaceProblem, func(within reach.Reach, from int) ([]surface.SurfaceHost, int, error) {
				return room.Hosts(ctx, within, surface.HostQuestion{Words: in.Q, State: in.State, Zone: in.Zone, Unknown: in.Unknown, Limit: in.Limit, Offset: from})
			})
		})
	Register(s, exposureOperation("list-surface-changes", http.MethodGet, "/surface/changes", "What changed of ports, sites, certificates and assets, the latest first", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Kind    string `query:"kind" maxLength:"300" doc:"Kinds, separated by commas"`
			Days    int    `query:"days" minimum:"0" maximum:"3650" doc:"Within so many days; all where 0"`
			Run     string `query:"run" maxLength:"64"`
			Address string `query:"address" maxLength:"64"`
			Open    bool   `query:"open" doc:"Only those that nobody looked at"`
			Tenant  string `query:"tenant" maxLength:"4096"`
		}) (*Body[Page[surface.SurfaceChange]], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			before, err := offsetOf(in.Cursor)
			if err != nil {
				return nil, err
			}
			q := surface.ChangeQuestion{Kinds: words(in.Kind), Run: in.Run, Address: in.Address, Open: in.Open, Limit: in.Limit, Before: int64(before)}
			if in.Days > 0 {
				q.Since = time.Now().AddDate(0, 0, -in.Days)
			}
			list, total, err := room.Changes(ctx, within, q)
			next := ""
			if len(list) == in.Limit && len(list) > 0 {
				next = strconv.FormatInt(list[len(list)-1].ID, 10)
			}
			return Reply(PageOf(list, total, next)), surfaceProblem(err)
		})
	Register(s, exposureOperation("get-surface-figures", http.MethodGet, "/surface/figures", "The surface counted: hosts by state, open ports by kind of service, changes since yesterday", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Tenant string `query:"tenant" maxLength:"4096"`
		}) (*Body[surface.SurfaceFigures], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			x, err := room.Figures(ctx, within)
			return Reply(x), surfaceProblem(err)
		})
	Register(s, exposureOperation("compare-scan-runs", http.MethodGet, "/surface/comparison", "What differs between what two scans saw", 400, 404, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Before string `query:"before" maxLength:"64" required:"true" doc:"Id of the earlier scan"`
			After  string `query:"after" maxLength:"64" required:"true"`
		}) (*Body[Page[surface.SurfaceChange]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			a, err := s.deps.Scans.Get(ctx, within, in.Before)
			if err != nil {
				return nil, scanProblem(err)
			}
			b, err := s.deps.Scans.Get(ctx, within, in.After)
			if err != nil {
				return nil, scanProblem(err)
			}
			if a.Tenant != b.Tenant || a.Zone != b.Zone {
				return nil, Problem(http.StatusUnprocessableEntity, "the scans are of other tenants or zones: their addresses are not the same hosts")
			}
			was, err := s.deps.Scans.Hosts(ctx, a.ID)
			if err != nil {
				return nil, err
			}
			is, err := s.deps.Scans.Hosts(ctx, b.ID)
			if err != nil {
				return nil, err
			}
			list := surface.Compare(&a, &b, was, is, time.Now().UTC(), room.Policy().Certificate)
			return Reply(PageOf(list[:min(len(list), 5000)], len(list), "")), nil
		})
	Register(s, exposureOperation("acknowledge-surface-changes", http.MethodPost, "/surface/changes/acknowledge", "Say that changes were looked at: they are told of no more", 404, 422), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs []int64 `json:"ids" minItems:"1" maxItems:"1000" nullable:"false"`
			}
		}) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "surface-changes", "", fmt.Sprintf("%d changes", len(in.Body.IDs)))
			return nil, surfaceProblem(room.Acknowledge(ctx, within, Actor(ctx), slices.Clone(in.Body.IDs)))
		})
	Register(s, exposureOperation("import-surface-hosts", http.MethodPost, "/surface/import", "Make items of the CMDB of hosts that were discovered, and of the databases and middleware on them; the answer says what came of it", 404, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Hosts    []surface.HostPlace `json:"hosts" minItems:"1" maxItems:"1000" nullable:"false"`
				Services bool                `json:"services,omitempty" doc:"Databases and middleware too"`
			}
		}) (*Body[surface.SurfaceImport], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "surface-hosts", "", fmt.Sprintf("%d hosts", len(in.Body.Hosts)))
			x, err := room.Import(ctx, within, Actor(ctx), in.Body.Hosts, in.Body.Services)
			return Reply(x), surfaceProblem(err)
		})
	Register(s, exposureOperation("list-surface-duplicates", http.MethodGet, "/surface/duplicates", "Items of the CMDB that discoveries hold to be one host, with what became of them, the latest first", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			State  string `query:"state" enum:"open,merged,dismissed,undone," doc:"All of them where empty"`
			Tenant string `query:"tenant" maxLength:"4096"`
		}) (*Body[Page[surface.SurfaceDuplicate]], error) {
			return pageWithin(ctx, in.Tenant, in.PageInput, surfaceProblem, func(within reach.Reach, from int) ([]surface.SurfaceDuplicate, int, error) {
				return room.Duplicates(ctx, within, in.State, in.Limit, from)
			})
		})
	Register(s, exposureOperation("decide-surface-duplicate", http.MethodPost, "/surface/duplicates/{id}", "Merge two items that are one host, say that they are two, or let that wait again. A merge is taken back by the CMDB's undo of merges", 404, 409, 413, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"64"`
			Body surface.DuplicateDecision
		}) (*Body[surface.SurfaceDuplicate], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			x, err := room.Decide(ctx, within, Actor(ctx), in.ID, in.Body)
			AuditObject(ctx, "surface-duplicate:"+clip(in.ID, 64), x.Tenant, in.Body.Action+" "+x.Keep.ID+" "+x.Gone.ID)
			return Reply(x), surfaceProblem(err)
		})
}

package api

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing/maintenance"
)

// maintenanceWindowView is a maintenance window as the API shows it.
type maintenanceWindowView struct {
	maintenance.Window
	Active bool       `json:"active" doc:"In force now"`
	Until  *time.Time `json:"until,omitempty" doc:"Where it is in force: until then"`
}

// maintenanceRoutes serve the maintenance windows. They are one setting; these
// routes let each caller see and change those that are about what is within
// his reach alone.
func (s *Server) maintenanceRoutes() {
	var changing sync.Mutex // of the setting, which is read and written whole
	Register(s, huma.Operation{OperationID: "list-maintenance-windows", Method: http.MethodGet, Path: "/maintenance-windows", Tags: []string{"alerts"},
		Summary: "Maintenance windows: alerts in them are kept and marked, and nobody is told"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[maintenanceWindowView]], error) {
			if s.deps.Maintenance == nil {
				return nil, unavailable("the maintenance windows")
			}
			all := s.deps.Maintenance.Get()
			active := maintenance.Active(all, time.Now())
			items := []maintenanceWindowView{}
			for _, w := range all.Windows {
				if err := s.withinReach(ctx, &w); err != nil {
					continue
				}
				v := maintenanceWindowView{Window: w}
				if until, is := active[w.ID]; is {
					v.Active, v.Until = true, &until
				}
				items = append(items, v)
			}
			return Reply(PageOf(items, len(items), "")), nil
		})

	change := func(ctx context.Context, id string, edit func(list []maintenance.Window, at int) ([]maintenance.Window, error)) error {
		AuditObject(ctx, "maintenance:"+clip(id, 64), "", "")
		if s.deps.Maintenance == nil {
			return unavailable("the maintenance windows")
		}
		changing.Lock()
		defer changing.Unlock()
		list := slices.Clone(s.deps.Maintenance.Get().Windows)
		at := slices.IndexFunc(list, func(w maintenance.Window) bool { return w.ID == id })
		if at >= 0 {
			if err := s.withinReach(ctx, &list[at]); err != nil {
				return ErrNotFound // what he may not see does not exist for him
			}
		}
		list, err := edit(list, at)
		if err != nil {
			return err
		}
		return s.deps.Maintenance.Set(ctx, maintenance.Schedule{Windows: list}, Actor(ctx))
	}
	type WindowID struct { // exported, since what is embedded is read only so
		ID string `path:"id" maxLength:"64" pattern:"^[a-z0-9-]+$"`
	}
	Register(s, huma.Operation{OperationID: "set-maintenance-window", Method: http.MethodPut, Path: "/maintenance-windows/{id}", Tags: []string{"alerts"},
		Summary: "Make or change a maintenance window", Errors: []int{403, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			WindowID
			Body maintenance.Window
		}) (*Body[maintenance.Window], error) {
			w := in.Body
			w.ID = in.ID
			err := change(ctx, in.ID, func(list []maintenance.Window, at int) ([]maintenance.Window, error) {
				if err := s.withinReach(ctx, &w); err != nil {
					return nil, err
				}
				if err := s.checkTenants(w.Tenants); err != nil {
					return nil, err
				}
				if at < 0 {
					AuditChange(ctx, nil, w)
					return append(list, w), nil
				}
				AuditChange(ctx, list[at], w)
				list[at] = w
				return list, nil
			})
			return Reply(w), err
		})
	Register(s, huma.Operation{OperationID: "delete-maintenance-window", Method: http.MethodDelete, Path: "/maintenance-windows/{id}", Tags: []string{"alerts"},
		Summary: "Remove a maintenance window; what it muted stays muted until it fires again", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeRespond,
		func(ctx context.Context, in *WindowID) (*Empty, error) {
			return nil, change(ctx, in.ID, func(list []maintenance.Window, at int) ([]maintenance.Window, error) {
				if at < 0 {
					return nil, ErrNotFound
				}
				AuditChange(ctx, list[at], nil)
				return slices.Delete(list, at, at+1), nil
			})
		})
}

// withinReach says what a window is about that is not within the caller's reach.
func (s *Server) withinReach(ctx context.Context, w *maintenance.Window) error {
	within, err := Reach(ctx, "")
	if err != nil {
		return err
	}
	if within.Everything() {
		return nil
	}
	for _, t := range w.Tenants {
		if !within.CoversWhole(t) {
			return Problem(http.StatusForbidden, "the tenant %q is not within your reach, or only in part", clip(t, 64))
		}
	}
	for _, id := range slices.Concat(w.Items, w.Systems) {
		if s.deps.CMDB == nil {
			return unavailable("the CMDB")
		}
		if _, err := s.deps.CMDB.Get(ctx, within, id); err != nil {
			return Problem(http.StatusForbidden, "the configuration item %q is not within your reach", clip(id, 64))
		}
	}
	return nil
}

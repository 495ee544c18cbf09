package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/soc/tenancy"
)

// removedTenant is a tenant that was removed.
type removedTenant struct {
	Slug       string          `json:"slug"`
	Name       detections.Text `json:"name"`
	AccountID  uint32          `json:"account_id"`
	At         time.Time       `json:"removed_at"`
	By         string          `json:"removed_by"`
	Reason     string          `json:"reason"`
	Until      time.Time       `json:"restorable_until"`
	Restorable bool            `json:"restorable"`
}

func (s *Server) removalRoutes() {
	if s.deps.Holdings == nil {
		return
	}
	until := func(at time.Time) time.Time { return at.Add(s.deps.Holdings.Rules().RestoreWithin()) }
	problem := func(err error, slug string) error {
		switch {
		case errors.Is(err, tenancy.ErrNotFound):
			return NotFound("tenant", slug)
		case errors.Is(err, tenancy.ErrBuiltIn):
			return Problem(http.StatusConflict, "the tenant %s is the suite's own and cannot be removed", slug)
		case errors.Is(err, tenancy.ErrTooLate):
			return Problem(http.StatusGone, "%s", plain(err, tenancy.ErrTooLate, "the time to restore it is over"))
		case errors.Is(err, tenancy.ErrInvalid):
			return Problem(http.StatusUnprocessableEntity, "%s", plain(err, tenancy.ErrInvalid, ""))
		}
		return err
	}
	Register(s, huma.Operation{OperationID: "list-removed-tenants", Method: http.MethodGet, Path: "/tenants/removed", Tags: []string{"catalogue"},
		Summary: "The tenants that were removed, the latest first"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[Page[removedTenant]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			items := []removedTenant{}
			for _, t := range s.deps.Tenants.Removed() {
				end := until(t.At)
				items = append(items, removedTenant{t.Slug, detections.Text(t.Name), t.AccountID, t.At, t.By, t.Removal.Reason, end, time.Now().Before(end)})
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	type gone struct {
		Slug  string    `json:"slug"`
		At    time.Time `json:"removed_at"`
		Until time.Time `json:"restorable_until"`
	}
	Register(s, huma.Operation{OperationID: "remove-tenant", Method: http.MethodDelete, Path: "/tenants/{slug}", Tags: []string{"catalogue"}, Errors: []int{404, 409, 422},
		Summary:     "Remove a tenant",
		Description: "From now on its data is in nobody's reach and its tokens write nothing. What still comes for it is unassigned. It can be restored for as long as the setting tenants says; its data goes with retention. Slug and account id are never given to another."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Slug string `path:"slug" maxLength:"63"`
			Body struct {
				Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why; kept with the removal"`
			}
		}) (*Body[gone], error) {
			AuditObject(ctx, "tenant:"+in.Slug, in.Slug, in.Body.Reason)
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			r, err := s.deps.Tenants.Remove(ctx, in.Slug, Actor(ctx), in.Body.Reason)
			if err != nil {
				return nil, problem(err, in.Slug)
			}
			return Reply(gone{in.Slug, r.At, until(r.At)}), nil
		})
	Register(s, huma.Operation{OperationID: "restore-tenant", Method: http.MethodPost, Path: "/tenants/{slug}/restore", Tags: []string{"catalogue"}, Errors: []int{404, 410},
		Summary: "Bring a removed tenant back, with its data"}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Slug string `path:"slug" maxLength:"63"`
		}) (*Body[tenant], error) {
			AuditObject(ctx, "tenant:"+in.Slug, in.Slug, "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			t, err := s.deps.Tenants.Restore(ctx, in.Slug, s.deps.Holdings.Rules().RestoreWithin())
			if err != nil {
				return nil, problem(err, in.Slug)
			}
			systems, err := s.systemsOf(ctx)
			if err != nil {
				return nil, err
			}
			return Reply(tenantOf(t, systems)), nil
		})
}

package api

import (
	"context"
	"net/http"

	"icewatch/ticketing"
)

// alertRules is what rules about the alerts of tenants share, those of merging and
// those of inhibition: who sets, deletes and restores one, and what the audit log
// says of it.
type alertRules[R, V any] struct {
	s       *Server
	object  string // in the audit log
	set     func(ctx context.Context, by ticketing.Actor, r R) (R, error)
	remove  func(ctx context.Context, by ticketing.Actor, id string) error
	named   func(r R) (id, name string)
	view    func(r R) V
	problem func(err error, id string) error
}

// write sets a rule that was written for some tenants; rule reads it.
func (a alertRules[R, V]) write(ctx context.Context, id, name string, tenants []string, rule func(id string) (R, error)) (*Body[V], error) {
	return a.change(ctx, id, name, func(by ticketing.Actor) (made R, err error) {
		for _, slug := range tenants {
			if !a.s.tenantExists(slug) {
				return made, Problem(http.StatusUnprocessableEntity, "tenants: there is no tenant %q", clip(slug, 64))
			}
		}
		if made, err = rule(id); err != nil {
			return made, err
		}
		return a.set(ctx, by, made)
	})
}

// change has a rule be made or restored.
func (a alertRules[R, V]) change(ctx context.Context, id, name string, do func(by ticketing.Actor) (R, error)) (*Body[V], error) {
	AuditObject(ctx, a.object+":"+clip(id, 64), "", name)
	by, err := acting(ctx)
	if err != nil {
		return nil, err
	}
	made, err := do(by)
	if err != nil {
		return nil, a.problem(err, id)
	}
	madeID, madeName := a.named(made)
	AuditObject(ctx, a.object+":"+madeID, "", madeName)
	return Reply(a.view(made)), nil
}

// drop deletes a rule.
func (a alertRules[R, V]) drop(ctx context.Context, id string) (*struct{}, error) {
	AuditObject(ctx, a.object+":"+clip(id, 64), "", "")
	by, err := acting(ctx)
	if err != nil {
		return nil, err
	}
	return nil, a.problem(a.remove(ctx, by, id), id)
}

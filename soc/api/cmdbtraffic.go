package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/traffic"
	"icewatch/soc/identity"
)

func trafficProblem(err error) error {
	for of, status := range map[error]int{traffic.ErrNotFound: http.StatusNotFound, traffic.ErrInvalid: http.StatusUnprocessableEntity, cmdb.ErrInvalid: http.StatusUnprocessableEntity, cmdb.ErrConflict: http.StatusConflict} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return err
}

// cmdbTrafficRoutes registers the relations that traffic shows, and what people
// decide on them.
func (s *Server) cmdbTrafficRoutes() {
	watch := s.deps.Traffic
	if watch == nil {
		return
	}
	Register(s, cmdbOperation("list-cmdb-traffic", http.MethodGet, "/traffic", "Relations that traffic between items within reach shows, and what was decided on them, newest first", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			State  string `query:"state" enum:"waiting,accepted,rejected,"`
			Item   string `query:"item" maxLength:"128" doc:"Id of one of the two items"`
			System string `query:"system" maxLength:"128" doc:"Id of the business system of one of the two items"`
			Zone   string `query:"zone" maxLength:"64"`
			Silent bool   `query:"silent" doc:"Accepted ones without traffic for longer than the setting cmdb-traffic says"`
		}) (*Body[Page[traffic.Proposal]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			p, err := watch.List(ctx, within, traffic.Query{State: in.State, Item: in.Item, System: in.System, Zone: in.Zone, Silent: in.Silent, Limit: in.Limit, Cursor: in.Cursor})
			return Reply(PageOf(p.Proposals, p.Total, p.Next)), trafficProblem(err)
		})

	Register(s, cmdbOperation("look-cmdb-traffic", http.MethodPost, "/traffic/look", "Look at flows now, not only every five minutes", 503), identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Empty, error) {
			stateOf(ctx).skipAudit = true
			return nil, watch.Look(ctx)
		})

	type trafficChosen struct {
		IDs  []int64 `json:"ids" minItems:"1" maxItems:"1000"`
		Note string  `json:"note,omitempty" maxLength:"2000"`
	}
	decision := func(id, path, summary string) huma.Operation {
		return cmdbOperation(id, http.MethodPost, "/traffic/"+path, summary, 404, 409, 422)
	}
	Register(s, decision("accept-cmdb-traffic", "accept", "Make relations of what traffic shows, all or none"), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs  []int64 `json:"ids" minItems:"1" maxItems:"1000"`
				Note string  `json:"note,omitempty" maxLength:"2000"`
				Type string  `json:"type,omitempty" maxLength:"63" default:"depends_on" doc:"Of the relation from the item that asks to the one that serves"`
			}
		}) (*Body[struct {
			Made int `json:"made" doc:"New relations; those that were there stay whose they are"`
		}], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			var out struct {
				Made int `json:"made" doc:"New relations; those that were there stay whose they are"`
			}
			AuditObject(ctx, "cmdb traffic", "", "accepted as "+in.Body.Type)
			out.Made, err = watch.Accept(ctx, within, Actor(ctx), in.Body.IDs, in.Body.Type, in.Body.Note)
			return Reply(out), trafficProblem(err)
		})
	Register(s, decision("reject-cmdb-traffic", "reject", "Say no to what traffic shows: it is not proposed again; relations made of it are taken away"), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body trafficChosen }) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb traffic", "", "rejected: "+clip(in.Body.Note, 200))
			return nil, trafficProblem(watch.Reject(ctx, within, Actor(ctx), in.Body.IDs, in.Body.Note))
		})
	Register(s, decision("reopen-cmdb-traffic", "reopen", "Take decisions back: relations made of them are taken away"), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body trafficChosen }) (*Empty, error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb traffic", "", "reopened")
			return nil, trafficProblem(watch.Reopen(ctx, within, Actor(ctx), in.Body.IDs))
		})
}

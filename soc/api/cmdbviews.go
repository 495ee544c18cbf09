package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/portrait"
	"icewatch/cmdb/view"
	"icewatch/soc/identity"
)

func viewProblem(err error) error {
	for of, status := range map[error]int{view.ErrNotFound: http.StatusNotFound, cmdb.ErrNotFound: http.StatusNotFound, view.ErrInvalid: http.StatusUnprocessableEntity,
		view.ErrConflict: http.StatusConflict, view.ErrForbidden: http.StatusForbidden} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return err
}

// viewer is who asks for views; keeping some takes a person.
func (s *Server) viewer(ctx context.Context, keeps bool) (view.Asker, error) {
	p := PrincipalFrom(ctx)
	within, err := Reach(ctx, "")
	if err == nil && keeps && p.UserID == "" {
		err = Problem(http.StatusForbidden, "views and what is followed belong to a person: sign in, or use a token of a person")
	}
	return view.Asker{User: p.UserID, Name: p.Username, Within: within, Manage: seesEverything(ctx) && s.may(ctx, "change-cmdb-model")}, err
}

// cmdbStateRoutes registers where items stand in their life cycles, and what
// their portraits show beyond them.
func (s *Server) cmdbStateRoutes() {
	Register(s, cmdbOperation("get-cmdb-item-states", http.MethodGet, "/items/{id}/states", "Where an item stands in its life cycles, what may follow, and since when it is there by whom", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"256"`
		}) (*Body[Page[cmdb.State]], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			list, err := c.States(ctx, within, in.ID)
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, cmdbOperation("get-cmdb-item-portrait", http.MethodGet, "/items/{id}/portrait", "Whom an item, or what belongs to a system or organisation, was bought from, which networks it is in, and its open findings", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"256"`
		}) (*Body[portrait.Portrait], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			p, err := portrait.Of(ctx, c, s.deps.Findings, within, in.ID)
			return Reply(p), err
		})
}

// cmdbKeptRoutes registers what people look at the CMDB by: lists under a name,
// and what they follow.
func (s *Server) cmdbKeptRoutes() {
	store := s.deps.Views
	if store == nil {
		return
	}
	type ViewID struct {
		ID string `path:"id" maxLength:"64"`
	}

	Register(s, cmdbOperation("list-cmdb-views", http.MethodGet, "/views", "Lists of items under a name: mine, everybody's and those of tenants within reach"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Deleted bool `query:"deleted" doc:"My deleted ones, to restore"`
		}) (*Body[Page[view.View]], error) {
			a, err := s.viewer(ctx, false)
			if err != nil {
				return nil, err
			}
			list, err := store.List(ctx, a, in.Deleted)
			return Reply(PageOf(list, len(list), "")), err
		})

	export := cmdbOperation("export-cmdb-views", http.MethodGet, "/views/export", "The same as a table")
	export.Responses = binary("text/csv", cmdbFileTypes[cmdb.XLSX])
	Register(s, export, identity.ScopeRead,
		func(ctx context.Context, in *TableInput) (*huma.StreamResponse, error) {
			a, err := s.viewer(ctx, false)
			if err != nil {
				return nil, err
			}
			list, err := store.List(ctx, a, false)
			if err != nil {
				return nil, err
			}
			rows := make([][]any, len(list))
			for i, v := range list {
				rows[i] = []any{v.ID, v.Name, v.Owner, v.Share, v.Query.Class, v.Query.Text, v.Query.Filter, v.Query.Sort, strings.Join(v.Query.Columns, ";"), v.Updated.Format(time.RFC3339)}
			}
			return tableAnswer("cmdb-views", in.Format, []string{"id", "name", "owner", "share", "class", "q", "filter", "sort", "columns", "updated_at"}, rows)
		})

	create := cmdbOperation("create-cmdb-view", http.MethodPost, "/views", "Keep a list of items under a name", 403, 422)
	create.DefaultStatus = http.StatusCreated
	Register(s, create, identity.ScopeRead,
		func(ctx context.Context, in *struct{ Body view.Edit }) (*Body[view.View], error) {
			a, err := s.viewer(ctx, true)
			if err != nil {
				return nil, err
			}
			v, err := store.Create(ctx, a, in.Body)
			AuditObject(ctx, "cmdb view "+v.ID, "", clip(in.Body.Name, 200))
			return Reply(v), viewProblem(err)
		})

	Register(s, cmdbOperation("change-cmdb-view", http.MethodPut, "/views/{id}", "Change a view of mine", 403, 404, 409, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ViewID
			Body struct {
				Revision int64 `json:"revision" minimum:"1" doc:"The one that was read: another one now is a conflict"`
				view.Edit
			}
		}) (*Body[view.View], error) {
			a, err := s.viewer(ctx, true)
			if err != nil {
				return nil, err
			}
			v, err := store.Change(ctx, a, in.ID, in.Body.Revision, in.Body.Edit)
			AuditObject(ctx, "cmdb view "+in.ID, "", clip(in.Body.Name, 200))
			return Reply(v), viewProblem(err)
		})

	remove := cmdbOperation("delete-cmdb-view", http.MethodDelete, "/views/{id}", "Delete a view of mine; it can be restored", 403, 404)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeRead,
		func(ctx context.Context, in *ViewID) (*Empty, error) {
			a, err := s.viewer(ctx, true)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb view "+in.ID, "", "")
			return nil, viewProblem(store.Delete(ctx, a, in.ID))
		})

	Register(s, cmdbOperation("restore-cmdb-view", http.MethodPost, "/views/{id}/restore", "Bring a deleted view of mine back", 403, 404), identity.ScopeRead,
		func(ctx context.Context, in *ViewID) (*Body[view.View], error) {
			a, err := s.viewer(ctx, true)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb view "+in.ID, "", "restored")
			v, err := store.Restore(ctx, a, in.ID)
			return Reply(v), viewProblem(err)
		})

	Register(s, cmdbOperation("list-cmdb-followed", http.MethodGet, "/followed", "Lines of business, network zones and items that I follow, as far as they are within reach"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[view.Followed]], error) {
			a, err := s.viewer(ctx, false)
			if err != nil {
				return nil, err
			}
			list, err := store.Following(ctx, a)
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, cmdbOperation("follow-cmdb", http.MethodPut, "/followed", "Follow a line of business, a network zone or an item, or no more", 403, 404, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Kind   string `json:"kind" enum:"line,zone,item"`
				Key    string `json:"key" minLength:"1" maxLength:"256" doc:"Name of the line or zone, id of the item"`
				Follow bool   `json:"follow"`
			}
		}) (*Body[Page[view.Followed]], error) {
			stateOf(ctx).skipAudit = true // it is the person's own
			a, err := s.viewer(ctx, true)
			if err != nil {
				return nil, err
			}
			if err := store.Follow(ctx, a, in.Body.Kind, in.Body.Key, in.Body.Follow); err != nil {
				return nil, viewProblem(err)
			}
			list, err := store.Following(ctx, a)
			return Reply(PageOf(list, len(list), "")), err
		})
}

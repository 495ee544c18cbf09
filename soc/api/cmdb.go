package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/model"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

// CMDBModels is what the API asks of the CMDB about its model.
type CMDBModels interface {
	Model() *model.Model
	Shipped() map[string][]string
	Revisions(ctx context.Context) ([]cmdb.ModelRevision, error)
	PreviewModel(ctx context.Context, d model.Document) (cmdb.ModelPreview, error)
	ChangeModel(ctx context.Context, actor string, c cmdb.ModelChange) (cmdb.ModelRevision, error)
	UndoModel(ctx context.Context, actor string, revision int64, clearFailing bool) (cmdb.ModelRevision, error)
}

// CMDBItems is what the API asks of the CMDB about single items.
type CMDBItems interface {
	Upsert(ctx context.Context, r reach.Reach, actor string, it cmdb.Item) (cmdb.Item, error)
	UpsertAll(ctx context.Context, list []cmdb.Fields, opts cmdb.ImportOptions) (cmdb.Report, error)
	Delete(ctx context.Context, r reach.Reach, actor, id string) error
	History(ctx context.Context, r reach.Reach, id string, before int64, limit int) ([]cmdb.HistoryEntry, error)
	Restore(ctx context.Context, r reach.Reach, actor, id string, entry int64) (cmdb.Item, error)
	States(ctx context.Context, r reach.Reach, id string) ([]cmdb.State, error)
	Statistics(ctx context.Context, r reach.Reach) (cmdb.Statistics, error)
	KeyAssets(ctx context.Context, r reach.Reach) (cmdb.KeyAssets, error)
	Merges(ctx context.Context, r reach.Reach, item string, before time.Time, limit int) ([]cmdb.Merge, error)
	MergeItems(ctx context.Context, keep, gone string, opts cmdb.MergeOptions) (cmdb.Merge, error)
	UndoMerge(ctx context.Context, r reach.Reach, actor, id string) (cmdb.Merge, error)
}

// CMDBTopology is what the API asks of the CMDB about how items hang together.
type CMDBTopology interface {
	RelationsOf(ctx context.Context, r reach.Reach, id string, f cmdb.RelationFilter) (cmdb.RelationPage, error)
	Relate(ctx context.Context, r reach.Reach, actor string, links []cmdb.Link) (int, error)
	Unrelate(ctx context.Context, r reach.Reach, actor string, l cmdb.Link) error
	KeyPaths(ctx context.Context, r reach.Reach, from, to string, hops, most int, scope cmdb.Scope) (cmdb.Path, error)
	Walk(ctx context.Context, r reach.Reach, id, kind string, depth int, scope cmdb.Scope) (cmdb.Walk, error)
	Query(ctx context.Context, r reach.Reach, text string) (cmdb.Ends, error)
}

// cmdbOperation is the part that all operations of the CMDB share.
func cmdbOperation(id, method, path, summary string, codes ...int) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: "/cmdb" + path, Tags: []string{"cmdb"}, Summary: summary, Errors: codes}
}

// cmdbFor returns the CMDB and what the caller sees of it.
func (s *Server) cmdbFor(ctx context.Context) (CMDB, reach.Reach, error) {
	if s.deps.CMDB == nil {
		return nil, reach.None(), unavailable("the CMDB")
	}
	within, err := Reach(ctx, "")
	return s.deps.CMDB, within, err
}

// cmdbModelRoutes registers the model of the CMDB: to see it, and for callers
// whose reach is everything, to change it.
func (s *Server) cmdbModelRoutes() {
	type modelAnswer struct {
		Revision int64 `json:"revision" doc:"Of the newest change in force; 0 where there is none"`
		*model.Model
		Moving  *cmdb.ModelRevision `json:"moving,omitempty" doc:"A change whose items are on their way"`
		Shipped map[string][]string `json:"shipped" nullable:"false" doc:"Kind of definition → names of those that the suite brings"`
	}
	Register(s, cmdbOperation("get-cmdb-model", http.MethodGet, "/model", "The model in force: layers, classes, dictionaries, relation types and rules"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[modelAnswer], error) {
			c, _, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			list, err := c.Revisions(ctx)
			if err != nil {
				return nil, err
			}
			out := modelAnswer{Model: c.Model(), Shipped: c.Shipped()}
			for i := range list {
				switch {
				case list[i].State == "moving":
					out.Moving = &list[i]
				case list[i].State == "done" && out.Revision == 0:
					out.Revision = list[i].Revision
				}
			}
			return Reply(out), nil
		})

	Register(s, cmdbOperation("list-cmdb-model-revisions", http.MethodGet, "/model/revisions", "The changes of the model, newest first, and how far their items are"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[cmdb.ModelRevision]], error) {
			c, _, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			list, err := c.Revisions(ctx)
			return Reply(PageOf(list, len(list), "")), err
		})

	// Whoever changes the model changes everybody's items.
	whole := func(ctx context.Context) (CMDB, error) {
		c, _, err := s.cmdbFor(ctx)
		if err == nil && !seesEverything(ctx) {
			err = Problem(http.StatusForbidden, "the model is everybody's: only who sees everything may change it")
		}
		return c, err
	}
	preview := cmdbOperation("preview-cmdb-model", http.MethodPost, "/model/preview", "What a change of the model would do to the items", 403, 422)
	preview.MaxBodyBytes = maxAPIBody
	Register(s, preview, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Document model.Document `json:"document" doc:"Laid over what the suite brings, in place of what was laid over it before"`
			}
		}) (*Body[cmdb.ModelPreview], error) {
			c, err := whole(ctx)
			if err != nil {
				return nil, err
			}
			stateOf(ctx).skipAudit = true
			look, err := c.PreviewModel(ctx, in.Body.Document)
			return Reply(look), err
		})

	change := cmdbOperation("change-cmdb-model", http.MethodPut, "/model", "Put another model in force; the items move in the background", 403, 409, 422)
	change.MaxBodyBytes, change.DefaultStatus = maxAPIBody, http.StatusAccepted
	Register(s, change, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body cmdb.ModelChange }) (*Body[cmdb.ModelRevision], error) {
			c, err := whole(ctx)
			if err != nil {
				return nil, err
			}
			st := stateOf(ctx)
			st.object = "cmdb model"
			r, err := c.ChangeModel(ctx, Actor(ctx), in.Body)
			st.detail = fmt.Sprintf("revision %d: %s", r.Revision, in.Body.Comment)
			return Reply(r), err
		})

	undo := cmdbOperation("undo-cmdb-model", http.MethodPost, "/model/undo", "Take the newest change of the model back, with what it did to items", 403, 409, 422)
	undo.DefaultStatus = http.StatusAccepted
	Register(s, undo, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Revision     int64 `json:"revision" minimum:"1" doc:"The one in force"`
				ClearFailing bool  `json:"clear_failing,omitempty" doc:"Take values away that the model before does not allow"`
			}
		}) (*Body[cmdb.ModelRevision], error) {
			c, err := whole(ctx)
			if err != nil {
				return nil, err
			}
			st := stateOf(ctx)
			st.object, st.detail = "cmdb model", fmt.Sprintf("undo of revision %d", in.Body.Revision)
			r, err := c.UndoModel(ctx, Actor(ctx), in.Body.Revision, in.Body.ClearFailing)
			return Reply(r), err
		})
}

// cmdbItemRoutes registers the changes of single items, and what is told of
// them.
func (s *Server) cmdbItemRoutes() {
	type ItemInput struct {
		ID string `path:"id" maxLength:"256"`
	}
	one := func(f cmdb.Fields, ctx context.Context, c CMDB, within reach.Reach) (*Body[cmdb.Item], error) {
		st := stateOf(ctx)
		if f.ID != nil {
			st.object = "cmdb " + *f.ID
		}
		opts := cmdb.ImportOptions{Within: within, Actor: Actor(ctx), Tenant: SelectedTenant(ctx)}
		report, err := c.UpsertAll(ctx, []cmdb.Fields{f}, opts)
		if err != nil {
			return nil, err
		}
		if len(report.Errors) > 0 {
			return nil, rowsProblem(report)
		}
		st.object = "cmdb " + report.IDs[0]
		it, err := c.Get(ctx, within, report.IDs[0])
		return Reply(it), err
	}

	Register(s, cmdbOperation("create-cmdb-item", http.MethodPost, "/items", "Create an item, or change the one of its key", 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body cmdb.Fields }) (*Body[cmdb.Item], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			return one(in.Body, ctx, c, within)
		})

	Register(s, cmdbOperation("change-cmdb-item", http.MethodPatch, "/items/{id}", "Change an item: what is not given stays; a revision that is not the present one is a conflict", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ItemInput
			Body cmdb.Fields
		}) (*Body[cmdb.Item], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			it, err := c.Get(ctx, within, in.ID)
			if err != nil {
				return nil, err
			}
			in.Body.ID, in.Body.Class = &it.ID, &it.Class
			return one(in.Body, ctx, c, within)
		})

	Register(s, cmdbOperation("delete-cmdb-item", http.MethodDelete, "/items/{id}", "Delete an item that nothing belongs or refers to", 404, 409), identity.ScopeConfigure,
		func(ctx context.Context, in *ItemInput) (*Empty, error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			stateOf(ctx).object = "cmdb " + in.ID
			return nil, c.Delete(ctx, within, Actor(ctx), in.ID)
		})

	upsert := cmdbOperation("upsert-cmdb-items", http.MethodPost, "/items/upsert", "Create or change many items by their keys, all or nothing", 409, 413, 422)
	upsert.MaxBodyBytes = maxAPIBody
	Register(s, upsert, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			DryRun bool   `query:"dry_run" doc:"Check and count, change nothing"`
			Source string `query:"source" maxLength:"200" doc:"What the change is: it is kept under it among the imports and can be taken back"`
			Body   struct {
				Class string        `json:"class,omitempty" maxLength:"64" doc:"Of items that name none"`
				Items []cmdb.Fields `json:"items" minItems:"1"`
			}
		}) (*Body[cmdb.Report], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			st := stateOf(ctx)
			st.object, st.skipAudit = "cmdb", in.DryRun
			report, err := c.UpsertAll(ctx, in.Body.Items, cmdb.ImportOptions{Within: within, Actor: Actor(ctx), Class: in.Body.Class, Tenant: SelectedTenant(ctx), DryRun: in.DryRun, Source: in.Source})
			if err != nil {
				return nil, err
			}
			if len(report.Errors) > 0 {
				return nil, rowsProblem(report)
			}
			st.detail = importDetail(report)
			return Reply(report), nil
		})

	Register(s, cmdbOperation("get-cmdb-history", http.MethodGet, "/items/{id}/history", "What happened to an item, newest first; a deleted one's too"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ItemInput
			Before int64 `query:"before" doc:"Id of the last entry of the page before"`
			Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"50"`
		}) (*Body[Page[cmdb.HistoryEntry]], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			list, err := c.History(ctx, within, in.ID, in.Before, in.Limit)
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, cmdbOperation("restore-cmdb-item", http.MethodPost, "/items/{id}/restore", "Give an item the values it had after an entry of its history", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ItemInput
			Body struct {
				Entry int64 `json:"entry" minimum:"1" doc:"Id of the entry"`
			}
		}) (*Body[cmdb.Item], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			st := stateOf(ctx)
			st.object, st.detail = "cmdb "+in.ID, fmt.Sprintf("restored as of entry %d", in.Body.Entry)
			it, err := c.Restore(ctx, within, Actor(ctx), in.ID, in.Body.Entry)
			return Reply(it), err
		})

	Register(s, cmdbOperation("get-cmdb-statistics", http.MethodGet, "/statistics", "How many items there are of each class and zone, and what changed in the last 7 days"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[cmdb.Statistics], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			out, err := c.Statistics(ctx, within)
			return Reply(out), err
		})
	Register(s, cmdbOperation("get-cmdb-key-assets", http.MethodGet, "/key-assets", "How many key assets there are: marked ones, those that the setting cmdb-key-assets names, and what belongs to key systems"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[cmdb.KeyAssets], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			out, err := c.KeyAssets(ctx, within)
			return Reply(out), err
		})
}

// cmdbTopologyRoutes registers how items hang together.
func (s *Server) cmdbTopologyRoutes() {
	Register(s, cmdbOperation("list-cmdb-relations", http.MethodGet, "/items/{id}/relations", "The relations of an item to others within reach", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			ID        string `path:"id" maxLength:"256"`
			Type      string `query:"type" maxLength:"64" doc:"Relation type"`
			Direction string `query:"direction" enum:"forward,backward," doc:"From the item, or to it"`
			Class     string `query:"class" maxLength:"64" doc:"Of the other item"`
		}) (*Body[Page[cmdb.Relation]], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			page, err := c.RelationsOf(ctx, within, in.ID, cmdb.RelationFilter{Type: in.Type, Direction: in.Direction, Class: in.Class, Limit: in.Limit, Cursor: in.Cursor})
			return Reply(PageOf(page.Relations, len(page.Relations), page.Next)), err
		})

	type made struct {
		Created int `json:"created" doc:"Those that were not there yet"`
	}
	relate := cmdbOperation("relate-cmdb-items", http.MethodPost, "/relations", "Relate items, all or nothing", 413, 422)
	relate.MaxBodyBytes = maxAPIBody
	Register(s, relate, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Relations []cmdb.Link `json:"relations" minItems:"1"`
			}
		}) (*Body[made], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			n, err := c.Relate(ctx, within, Actor(ctx), in.Body.Relations)
			st := stateOf(ctx)
			st.object, st.detail = "cmdb", fmt.Sprintf("%d relations made", n)
			return Reply(made{n}), err
		})

	Register(s, cmdbOperation("unrelate-cmdb-items", http.MethodDelete, "/relations", "Take away a relation that somebody made", 404, 409), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			From string `query:"from" maxLength:"256" required:"true"`
			Type string `query:"type" maxLength:"64" required:"true"`
			To   string `query:"to" maxLength:"256" required:"true"`
		}) (*Empty, error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			st := stateOf(ctx)
			st.object, st.detail = "cmdb "+in.From, in.Type+" "+in.To
			return nil, c.Unrelate(ctx, within, Actor(ctx), cmdb.Link{From: in.From, Type: in.Type, To: in.To})
		})

	type ScopeInput struct {
		Types   string `query:"types" maxLength:"1024" doc:"Relation types to follow, separated by commas; all where empty"`
		Classes string `query:"classes" maxLength:"1024" doc:"Classes of items on the way, separated by commas; all where empty"`
	}
	scope := func(in ScopeInput) cmdb.Scope { return cmdb.Scope{Types: words(in.Types), Classes: words(in.Classes)} }

	Register(s, cmdbOperation("find-cmdb-path", http.MethodGet, "/path", "A shortest path between two items, through items within reach only", 400, 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ScopeInput
			From string `query:"from" maxLength:"256" required:"true"`
			To   string `query:"to" maxLength:"256" required:"true"`
			Hops int    `query:"hops" minimum:"1" maximum:"16" default:"8" doc:"Relations at most"`
			Most int    `query:"paths" minimum:"1" maximum:"20" default:"1" doc:"How many paths of the shortest length to tell of, at most"`
		}) (*Body[cmdb.Path], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			p, err := c.KeyPaths(ctx, within, in.From, in.To, in.Hops, in.Most, scope(in.ScopeInput))
			return Reply(p), err
		})

	Register(s, cmdbOperation("walk-cmdb", http.MethodGet, "/items/{id}/walk", "What an item would take down, what could take it down, or what is near it", 400, 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ScopeInput
			ID    string `path:"id" maxLength:"256"`
			Kind  string `query:"kind" enum:"impact,root_cause,around" default:"impact"`
			Depth int    `query:"depth" minimum:"1" maximum:"16" default:"8" doc:"Relations at most"`
		}) (*Body[cmdb.Walk], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			w, err := c.Walk(ctx, within, in.ID, in.Kind, in.Depth, scope(in.ScopeInput))
			return Reply(w), err
		})

	Register(s, cmdbOperation("query-cmdb", http.MethodGet, "/query", "The items at the end of a path such as business_system[cii = true] <-belongs_to_system- application -runs_on*1..3-> host", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Path string `query:"path" maxLength:"8192" required:"true"`
		}) (*Body[cmdb.Ends], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			out, err := c.Query(ctx, within, in.Path)
			return Reply(out), err
		})
}

// cmdbProblem turns the CMDB's errors that tell more than a sentence into
// problems.
func cmdbProblem(err error) (error, bool) {
	problem := func(status int, details ...*huma.ErrorDetail) (error, bool) {
		return &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: err.Error(), Errors: details}, true
	}
	var filter *cmdb.FilterError
	var stale *cmdb.StaleError
	var failing *cmdb.FailingError
	var definition *model.DefinitionError
	switch {
	case errors.As(err, &filter):
		return problem(http.StatusBadRequest, &huma.ErrorDetail{Message: filter.Reason, Location: "query", Value: Facts{"position": filter.Position}})
	case errors.Is(err, cmdb.ErrQuery):
		return problem(http.StatusBadRequest)
	case errors.As(err, &stale):
		details := []*huma.ErrorDetail{{Message: "the item was changed meanwhile", Location: "body.revision", Value: Facts{"revision": stale.Revision}}}
		for _, h := range stale.Since {
			for _, c := range h.Changes {
				details = append(details, &huma.ErrorDetail{Location: "body." + c.Field, Message: fmt.Sprintf("%s %s it", h.Actor, h.Action),
					Value: Facts{"actor": h.Actor, "time": h.Time, "before": c.Before, "after": c.After}})
			}
		}
		return problem(http.StatusConflict, details...)
	case errors.Is(err, cmdb.ErrMoving):
		return problem(http.StatusConflict)
	case errors.As(err, &failing):
		var details []*huma.ErrorDetail
		for _, f := range failing.Preview.Failures {
			details = append(details, &huma.ErrorDetail{Location: f.Item.ID + "." + f.Attribute, Message: f.Message, Value: Facts{"value": f.Value, "name": f.Item.Name, "class": f.Item.Class}})
		}
		return problem(http.StatusUnprocessableEntity, details...)
	case errors.As(err, &definition):
		return problem(http.StatusUnprocessableEntity, &huma.ErrorDetail{Location: "body.document", Message: definition.Message, Value: Facts{"what": definition.What, "name": definition.Name}})
	}
	return nil, false
}

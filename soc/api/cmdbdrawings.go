package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/drawing"
	"icewatch/cmdb/model"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

// CMDBViews is what the API asks of the CMDB for pictures of it.
type CMDBViews interface {
	Subgraph(ctx context.Context, r reach.Reach, ids []string, expression string) (cmdb.Subgraph, error)
	PreviewRule(ctx context.Context, d model.Document, name string) (cmdb.RulePreview, error)
	Changes(ctx context.Context, r reach.Reach, f cmdb.ChangeFilter) ([]cmdb.HistoryEntry, error)
	ChangesWait(ctx context.Context, r reach.Reach, f cmdb.ChangeFilter, most time.Duration) ([]cmdb.HistoryEntry, error)
	Labels(ctx context.Context, r reach.Reach) ([]cmdb.LabelCount, error)
}

// drawer is who asks for drawings. Whoever may change the model may change what
// others drew.
func (s *Server) drawer(ctx context.Context) (drawing.Asker, error) {
	within, err := Reach(ctx, "")
	a := drawing.Asker{User: PrincipalFrom(ctx).UserID, Name: Actor(ctx), Within: within}
	a.Manage = seesEverything(ctx) && s.may(ctx, "change-cmdb-model")
	return a, err
}

func drawingProblem(err error) error {
	for of, status := range map[error]int{drawing.ErrNotFound: http.StatusNotFound, drawing.ErrInvalid: http.StatusUnprocessableEntity,
		drawing.ErrConflict: http.StatusConflict, drawing.ErrForbidden: http.StatusForbidden} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return err
}

// cmdbViewRoutes registers how some items hang together, what changed of them,
// their labels, and the preview of what a rule would join.
func (s *Server) cmdbViewRoutes() {
	graph := cmdbOperation("view-cmdb-graph", http.MethodPost, "/graph", "Some items within reach and the relations among them", 400, 413)
	graph.MaxBodyBytes = maxAPIBody
	Register(s, graph, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Items  []string `json:"items,omitempty" maxItems:"2000" doc:"Ids; those of nothing within reach are passed over"`
				Filter string   `json:"filter,omitempty" maxLength:"8192" doc:"Items that it selects are there too"`
			}
		}) (*Body[cmdb.Subgraph], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			stateOf(ctx).skipAudit = true
			out, err := c.Subgraph(ctx, within, in.Body.Items, in.Body.Filter)
			return Reply(out), err
		})

	changes := cmdbOperation("list-cmdb-changes", http.MethodGet, "/changes", "What happened to items within reach, newest first", 400)
	changes.Description = "With after, oldest first: a program that gives the next of each answer as after of the next question hears of every change once. " +
		"wait has an answer without changes come only when there is one, or the time is over."
	Register(s, changes, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Since  time.Time `query:"since"`
			Until  time.Time `query:"until" doc:"Before it"`
			Action string    `query:"action" enum:"created,updated,deleted,"`
			Class  string    `query:"class" maxLength:"64"`
			Actor  string    `query:"actor" maxLength:"256"`
			Before int64     `query:"before" minimum:"0" doc:"Id of the last entry of the page before"`
			After  string    `query:"after" maxLength:"20" pattern:"^([0-9]{1,18})?$" doc:"Id of an entry: what follows it, oldest first; 0 is from the beginning. next is there in every answer"`
			Wait   int       `query:"wait" minimum:"0" maximum:"25" doc:"With after: seconds to wait for a change where there is none"`
			Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"50"`
		}) (*Body[Page[cmdb.HistoryEntry]], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			f := cmdb.ChangeFilter{Since: in.Since, Until: in.Until, Action: in.Action, Class: in.Class, Actor: in.Actor, Before: in.Before, Limit: in.Limit}
			if in.After == "" {
				list, err := c.Changes(ctx, within, f)
				return Reply(PageOf(list, len(list), "")), err
			}
			if in.Before > 0 {
				return nil, Problem(http.StatusBadRequest, "before and after are two directions: give one of them")
			}
			f.After, _ = strconv.ParseInt(in.After, 10, 64) // the pattern lets nothing else in
			if f.After == 0 {
				f.After = cmdb.Beginning
			}
			list, err := c.ChangesWait(ctx, within, f, time.Duration(in.Wait)*time.Second)
			next := in.After
			if len(list) > 0 {
				next = strconv.FormatInt(list[len(list)-1].ID, 10)
			}
			return Reply(PageOf(list, len(list), next)), err
		})

	Register(s, cmdbOperation("list-cmdb-labels", http.MethodGet, "/labels", "The labels of items within reach, and how many items carry each"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[cmdb.LabelCount]], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			list, err := c.Labels(ctx, within)
			return Reply(PageOf(list, len(list), "")), err
		})

	preview := cmdbOperation("preview-cmdb-rule", http.MethodPost, "/model/rule-preview", "Which relations a rule would make of the items there are", 403, 422)
	preview.MaxBodyBytes = maxAPIBody
	Register(s, preview, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Document model.Document `json:"document" doc:"Laid over what the suite brings, with the rule"`
				Rule     string         `json:"rule" minLength:"1" maxLength:"64" doc:"Name of the rule"`
			}
		}) (*Body[cmdb.RulePreview], error) {
			c, _, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			if !seesEverything(ctx) {
				return nil, Problem(http.StatusForbidden, "rules join everybody's items: only who sees everything may preview them")
			}
			stateOf(ctx).skipAudit = true
			out, err := c.PreviewRule(ctx, in.Body.Document, in.Body.Rule)
			return Reply(out), err
		})
}

// cmdbDrawingRoutes registers the topologies that people draw. Each belongs to
// who drew it, so that whoever may read may keep some.
func (s *Server) cmdbDrawingRoutes() {
	store := s.deps.Drawings
	if store == nil {
		return
	}
	type DrawingID struct {
		ID string `path:"id" maxLength:"64"`
	}
	operation := func(id, method, path, summary string, status int, codes ...int) huma.Operation {
		op := cmdbOperation(id, method, "/topologies"+path, summary, codes...)
		op.DefaultStatus = status
		return op
	}
	tell := func(ctx context.Context, id, did string, d drawing.Drawing) {
		AuditObject(ctx, "cmdb topology "+id, "", fmt.Sprintf("%s %s: %d items", did, clip(d.Name, 200), d.Items))
	}

	Register(s, operation("list-cmdb-topologies", http.MethodGet, "", "Topologies that people drew: mine and the shared ones with an item within reach", 0, 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Q        string `query:"q" maxLength:"256" doc:"Words that all occur in name, scenario or description"`
			Scenario string `query:"scenario" maxLength:"200"`
			Item     string `query:"item" maxLength:"256" doc:"Id of an item that it shows"`
			Mine     bool   `query:"mine"`
			Deleted  bool   `query:"deleted" doc:"Those that were deleted, to restore"`
		}) (*Body[Page[drawing.Listed]], error) {
			a, err := s.drawer(ctx)
			if err != nil {
				return nil, err
			}
			p, err := store.List(ctx, a, drawing.Query{Text: in.Q, Scenario: in.Scenario, Item: in.Item, Mine: in.Mine, Deleted: in.Deleted, Limit: in.Limit, Cursor: in.Cursor})
			return Reply(PageOf(p.Drawings, p.Total, p.Next)), err
		})

	Register(s, operation("create-cmdb-topology", http.MethodPost, "", "Keep a topology", http.StatusCreated, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct{ Body drawing.Content }) (*Body[drawing.Drawing], error) {
			a, err := s.drawer(ctx)
			if err != nil {
				return nil, err
			}
			d, err := store.Create(ctx, a, in.Body)
			tell(ctx, d.ID, "drew", d)
			return Reply(d), drawingProblem(err)
		})

	Register(s, operation("get-cmdb-topology", http.MethodGet, "/{id}", "A topology with its items within reach", 0, 404), identity.ScopeRead,
		func(ctx context.Context, in *DrawingID) (*Body[drawing.Drawing], error) {
			a, err := s.drawer(ctx)
			if err != nil {
				return nil, err
			}
			d, err := store.Get(ctx, a, in.ID)
			return Reply(d), drawingProblem(err)
		})

	Register(s, operation("change-cmdb-topology", http.MethodPut, "/{id}", "Replace what a topology says; items that the caller does not see stay", 0, 403, 404, 409, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			DrawingID
			Body struct {
				Revision int64           `json:"revision" minimum:"1" doc:"The one that was read: another one now is a conflict"`
				Content  drawing.Content `json:"content"`
			}
		}) (*Body[drawing.Drawing], error) {
			a, err := s.drawer(ctx)
			if err != nil {
				return nil, err
			}
			d, err := store.Save(ctx, a, in.ID, in.Body.Revision, in.Body.Content)
			tell(ctx, in.ID, "changed", d)
			return Reply(d), drawingProblem(err)
		})

	Register(s, operation("delete-cmdb-topology", http.MethodDelete, "/{id}", "Delete a topology; it can be restored", http.StatusNoContent, 403, 404), identity.ScopeRead,
		func(ctx context.Context, in *DrawingID) (*Empty, error) {
			a, err := s.drawer(ctx)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb topology "+in.ID, "", "")
			return nil, drawingProblem(store.Delete(ctx, a, in.ID))
		})

	Register(s, operation("list-cmdb-topology-versions", http.MethodGet, "/{id}/versions", "What a topology was, newest first; the last 50", 0, 404), identity.ScopeRead,
		func(ctx context.Context, in *DrawingID) (*Body[Page[drawing.Version]], error) {
			a, err := s.drawer(ctx)
			if err != nil {
				return nil, err
			}
			list, err := store.Versions(ctx, a, in.ID)
			return Reply(PageOf(list, len(list), "")), drawingProblem(err)
		})

	Register(s, operation("restore-cmdb-topology", http.MethodPost, "/{id}/restore", "Give a topology what an earlier version said; a deleted one is there again", 0, 403, 404, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			DrawingID
			Body struct {
				Revision int64 `json:"revision" minimum:"1" doc:"Of the version"`
			}
		}) (*Body[drawing.Drawing], error) {
			a, err := s.drawer(ctx)
			if err != nil {
				return nil, err
			}
			d, err := store.Restore(ctx, a, in.ID, in.Body.Revision)
			tell(ctx, in.ID, fmt.Sprintf("restored version %d of", in.Body.Revision), d)
			return Reply(d), drawingProblem(err)
		})
}

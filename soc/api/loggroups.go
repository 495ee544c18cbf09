package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/saved"
	"icewatch/soc/search"
)

// maxTrend is how many log groups one answer counts.
const maxTrend = 50

// groupTrend is how many events a log group had over time.
type groupTrend struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Total   uint64   `json:"total"`
	Buckets []uint64 `json:"buckets" nullable:"false" doc:"Events by bucket, from start on"`
}

// trends is the volume of several log groups in the same buckets.
type trends struct {
	Start  time.Time    `json:"start" doc:"Where the first bucket begins"`
	StepMS int64        `json:"step_ms"`
	Groups []groupTrend `json:"groups" nullable:"false"`
}

func (s *Server) logGroupRoutes() {
	store, tags := s.deps.Saved, []string{"log groups"}
	Register(s, huma.Operation{OperationID: "list-log-groups", Method: http.MethodGet, Path: "/log-groups", Tags: tags,
		Summary: "The log groups I may search in and their directories, parents first"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[saved.Node]], error) {
			list, err := store.Groups(ctx, s.asker(ctx))
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, huma.Operation{OperationID: createGroup, Method: http.MethodPost, Path: "/log-groups", Tags: tags,
		Summary: "Add a log group or a directory", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Parent string `json:"parent,omitempty" maxLength:"64" doc:"Id of a directory; empty at the top"`
				saved.NodeContent
			}
		}) (*Body[saved.Node], error) {
			n, err := store.CreateGroup(ctx, in.Body.Parent, in.Body.NodeContent)
			AuditObject(ctx, "log-group:"+n.ID, "", n.Name)
			return Reply(n), err
		})
	Register(s, huma.Operation{OperationID: "update-log-group", Method: http.MethodPut, Path: "/log-groups/{id}", Tags: tags,
		Summary: "Replace what a log group or directory says, where its revision is still the one that was read", Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				saved.NodeContent
				Revision int64 `json:"revision" minimum:"1"`
			}
		}) (*Body[saved.Node], error) {
			before, after, err := store.UpdateGroup(ctx, in.ID, in.Body.Revision, in.Body.NodeContent, s.may(ctx, groupAccess))
			AuditObject(ctx, "log-group:"+in.ID, "", after.Name)
			AuditChange(ctx, before, after)
			return Reply(after), err
		})
	Register(s, huma.Operation{OperationID: "move-log-group", Method: http.MethodPost, Path: "/log-groups/{id}/move", Tags: tags,
		Summary: "Put a log group or directory somewhere else in the tree", Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				Parent   string `json:"parent" maxLength:"64"`
				Position int    `json:"position" minimum:"0" maximum:"100000"`
			}
		}) (*Body[saved.Node], error) {
			before, after, err := store.MoveGroup(ctx, in.ID, in.Body.Parent, in.Body.Position)
			AuditObject(ctx, "log-group:"+in.ID, "", after.Name)
			AuditChange(ctx, before, after)
			return Reply(after), err
		})
	Register(s, huma.Operation{OperationID: groupAccess, Method: http.MethodPut, Path: "/log-groups/{id}/access", Tags: tags,
		Summary: "Say who may use a log group, and whether they see nothing else", Errors: []int{404, 409, 422},
		Description: "Where it names nobody, everybody may use it. Who is named by confining groups sees, of all events, only those of these groups, on every path."},
		identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				Roles    []string `json:"roles"`
				Units    []string `json:"units"`
				Users    []string `json:"users" doc:"Ids or user names"`
				Confines bool     `json:"confines"`
				Revision int64    `json:"revision" minimum:"1"`
			}
		}) (*Body[saved.Node], error) {
			AuditObject(ctx, "log-group:"+in.ID, "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			before, after, err := store.SetAccess(ctx, in.ID, in.Body.Revision, saved.Access{Roles: in.Body.Roles, Units: in.Body.Units, Users: in.Body.Users}, in.Body.Confines)
			AuditChange(ctx, before, after)
			return Reply(after), err
		})
	Register(s, huma.Operation{OperationID: "delete-log-group", Method: http.MethodDelete, Path: "/log-groups/{id}", Tags: tags,
		Summary: "Remove a log group, or a directory that is empty", DefaultStatus: http.StatusNoContent, Errors: []int{404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			before, err := store.DeleteGroup(ctx, in.ID, s.may(ctx, groupAccess))
			AuditObject(ctx, "log-group:"+in.ID, "", before.Name)
			AuditChange(ctx, before, nil)
			return nil, err
		})
	Register(s, huma.Operation{OperationID: "export-log-groups", Method: http.MethodGet, Path: "/log-groups/export", Tags: tags,
		Summary: "The log groups as a file that can be imported again; who may use them is not in it", Responses: fileResponses()}, identity.ScopeRead,
		func(ctx context.Context, in *FileInput) (*huma.StreamResponse, error) {
			out, err := store.ExportGroups(ctx, s.asker(ctx), in.Format == formatYAML)
			if err != nil {
				return nil, err
			}
			return fileAnswer("log-groups", in.Format, out), nil
		})
	Register(s, huma.Operation{OperationID: "import-log-groups", Method: http.MethodPost, Path: "/log-groups/import", Tags: tags,
		Summary: "Add and change log groups from a file, all or nothing", MaxBodyBytes: saved.MaxFile, SkipValidateBody: true, Errors: []int{413, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ImportInput) (*Body[saved.Report], error) {
			r, err := store.ImportGroups(ctx, in.RawBody, in.options(saved.ConflictUpdate), s.may(ctx, groupAccess))
			return imported(ctx, "log-groups", r, err)
		})
	Register(s, huma.Operation{OperationID: "log-group-trends", Method: http.MethodGet, Path: "/log-groups/trend", Tags: tags,
		Summary: "How many events log groups had over time", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TimeInput
			Query   string   `query:"query" maxLength:"16384" doc:"Count only what matches as well"`
			Tenant  string   `query:"tenant" maxLength:"4096"`
			ID      []string `query:"id,explode" maxItems:"50" doc:"These groups; by default the first 50"`
			Buckets int      `query:"buckets" minimum:"1" maximum:"500" default:"48"`
		}) (*Body[trends], error) {
			out, err := s.trends(ctx, SearchInput{TimeInput: in.TimeInput, Query: in.Query, Tenant: in.Tenant}, in.ID, in.Buckets)
			return Reply(out), err
		})
	// The last, since it takes any word for an id.
	Register(s, huma.Operation{OperationID: "get-log-group", Method: http.MethodGet, Path: "/log-groups/{id}", Tags: tags,
		Summary: "One log group or directory", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[saved.Node], error) {
			n, err := store.Group(ctx, s.asker(ctx), in.ID)
			return Reply(n), err
		})
}

// trends counts the events of log groups in the same buckets.
func (s *Server) trends(ctx context.Context, in SearchInput, ids []string, buckets int) (trends, error) {
	out := trends{Groups: []groupTrend{}}
	names := map[string]string{}
	list, err := s.deps.Saved.Groups(ctx, s.asker(ctx))
	if err != nil {
		return out, err
	}
	all := len(ids) == 0
	for _, n := range list {
		if names[n.ID] = n.Name; all && n.Usable && len(ids) < maxTrend {
			ids = append(ids, n.ID)
		}
	}
	if in.End == "" {
		in.End = time.Now().UTC().Format(time.RFC3339Nano) // the same for all
	}
	ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
	if err != nil {
		return out, err
	}
	defer leave()
	whole, _, err := s.searchRequest(ctx, in)
	if err != nil {
		return out, err
	}
	for _, id := range ids {
		in.Group = id
		req, none, err := s.searchRequest(ctx, in)
		if err != nil {
			return out, err
		}
		// The span of a group bounds its search, but not the buckets: those are
		// the same for all.
		g := groupTrend{ID: id, Name: names[id], Buckets: []uint64{}}
		first := req.Start
		req.Start = whole.Start
		var h search.Histogram
		if !none {
			if h, err = s.deps.Search.Histogram(ctx, req, buckets); err != nil {
				return out, err
			}
		}
		if len(h.Buckets) > 0 && out.StepMS == 0 {
			out.Start, out.StepMS = h.Buckets[0].Time, h.StepMS
		}
		for _, b := range h.Buckets {
			if b.Time.Before(first) {
				b.Count = 0
			}
			g.Buckets = append(g.Buckets, b.Count)
			g.Total += b.Count
		}
		out.Groups = append(out.Groups, g)
	}
	return out, nil
}

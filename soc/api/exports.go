package api

import (
	"context"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/soc/export"
	"icewatch/soc/identity"
)

var exportTypes = map[string]string{
	export.CSV: "text/csv; charset=utf-8", export.JSON: "application/json", export.NDJSON: typeNDJSON,
	export.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

// exportOwner is who asks, as the owner of exports: within what his token or
// the header chose.
func (s *Server) exportOwner(ctx context.Context) (export.Owner, error) {
	a, err := s.person(ctx)
	if err != nil {
		return export.Owner{}, err
	}
	o := export.Owner{ID: a.User, Name: a.Name}
	st := stateOf(ctx)
	if st.principal.Via == identity.ViaToken && !st.principal.AllTenants || st.selected != nil {
		o.Bound, _ = st.reach.TenantSlugs()
	}
	return o, nil
}

func (s *Server) exportRoutes() {
	jobs, tags := s.deps.Exports, []string{"exports"}
	Register(s, huma.Operation{OperationID: "create-export", Method: http.MethodPost, Path: "/exports", Tags: tags,
		Summary: "Write search results into a file: a job that runs on its own", DefaultStatus: http.StatusAccepted, Errors: []int{400, 422, 429, 507},
		Description: "It runs with the reach its owner has when it runs. The file is kept for some days, or with kept until it is removed."}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Query  string   `json:"query,omitempty" maxLength:"16384" doc:"LogsQL; everything by default"`
				Start  string   `json:"start,omitempty" doc:"From this time on: RFC 3339, a Unix time, or a duration before now"`
				End    string   `json:"end,omitempty" doc:"Before this time; now by default"`
				Since  string   `json:"since,omitempty" doc:"In place of start: a duration before the end"`
				Tenant string   `json:"tenant,omitempty" maxLength:"4096" doc:"Slugs separated by commas"`
				Group  string   `json:"group,omitempty" maxLength:"64" doc:"Log group"`
				Format string   `json:"format" enum:"csv,xlsx,json,ndjson"`
				Fields []string `json:"fields,omitempty" doc:"Columns in their order; all that occur by default"`
				Rows   int64    `json:"max_rows,omitempty" minimum:"0"`
				Name   string   `json:"name,omitempty"`
				Kept   bool     `json:"kept,omitempty" doc:"Save the results under the name: they do not expire"`
				BOM    bool     `json:"bom,omitempty" doc:"CSV for Excel: begin with a byte order mark"`
			}
		}) (*Body[export.Job], error) {
			b := in.Body
			o, err := s.exportOwner(ctx)
			if err != nil {
				return nil, err
			}
			// What cannot be searched now cannot be exported; the reach itself is
			// that of the time when the job runs.
			req, _, err := s.searchRequest(ctx, SearchInput{TimeInput: TimeInput{b.Start, b.End, b.Since}, Query: b.Query, Tenant: b.Tenant, Group: b.Group})
			if err != nil {
				return nil, err
			}
			j, err := jobs.Create(ctx, o, export.Request{Query: req.Query, Tenant: strings.Join(words(b.Tenant), ","), Group: b.Group, Start: req.Start, End: req.End,
				Format: b.Format, Fields: b.Fields, Rows: b.Rows, Name: b.Name, Kept: b.Kept, BOM: b.BOM, Origin: export.OriginUser})
			AuditObject(ctx, "export:"+j.ID, b.Tenant, "")
			return Reply(j), err
		})
	Register(s, huma.Operation{OperationID: "list-exports", Method: http.MethodGet, Path: "/exports", Tags: tags,
		Summary: "My exports, newest first"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			State  string `query:"state" enum:"queued,running,done,failed,cancelled,expired"`
			Q      string `query:"q" maxLength:"200" doc:"Part of the name or the query"`
			Kept   string `query:"kept" enum:"true,false"`
			Origin string `query:"origin" maxLength:"80"`
		}) (*Body[Page[export.Job]], error) {
			a, err := s.person(ctx)
			if err != nil {
				return nil, err
			}
			q := export.Query{Owner: a.User, State: in.State, Text: in.Q, Origin: in.Origin, Limit: in.Limit, Cursor: in.Cursor}
			if in.Kept != "" {
				kept := in.Kept == "true"
				q.Kept = &kept
			}
			items, total, next, err := jobs.List(ctx, q)
			return Reply(PageOf(items, total, next)), err
		})
	Register(s, huma.Operation{OperationID: "list-all-exports", Method: http.MethodGet, Path: "/exports/all", Tags: tags,
		Summary: "Everybody's exports, without the files"}, identity.ScopeAudit,
		func(ctx context.Context, in *struct {
			PageInput
			State string `query:"state" enum:"queued,running,done,failed,cancelled,expired"`
			Q     string `query:"q" maxLength:"200"`
			Owner string `query:"owner" maxLength:"64" doc:"Id of a user"`
		}) (*Body[Page[export.Job]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			items, total, next, err := jobs.List(ctx, export.Query{Owner: in.Owner, State: in.State, Text: in.Q, Limit: in.Limit, Cursor: in.Cursor})
			return Reply(PageOf(items, total, next)), err
		})
	Register(s, huma.Operation{OperationID: "get-export-room", Method: http.MethodGet, Path: "/exports/limits", Tags: tags,
		Summary: "What exports may take, and what mine do"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[export.Room], error) {
			a, err := s.person(ctx)
			if err != nil {
				return nil, err
			}
			room, err := jobs.Room(ctx, a.User)
			return Reply(room), err
		})
	s.exportJobRoutes()
}

// exportJobRoutes registers what there is to do with one export of one's own.
func (s *Server) exportJobRoutes() {
	jobs, tags := s.deps.Exports, []string{"exports"}
	one := func(ctx context.Context, id string, do func(owner string) (export.Job, error)) (*Body[export.Job], error) {
		AuditObject(ctx, "export:"+id, "", "")
		a, err := s.person(ctx)
		if err != nil {
			return nil, err
		}
		j, err := do(a.User)
		return Reply(j), err
	}
	Register(s, huma.Operation{OperationID: "get-export", Method: http.MethodGet, Path: "/exports/{id}", Tags: tags,
		Summary: "One export of mine, and how far it is", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[export.Job], error) {
			return one(ctx, in.ID, func(owner string) (export.Job, error) { return jobs.Get(ctx, owner, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "update-export", Method: http.MethodPatch, Path: "/exports/{id}", Tags: tags,
		Summary: "Rename an export of mine, or keep it beyond its time", Errors: []int{404, 410, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				Name *string `json:"name,omitempty"`
				Kept *bool   `json:"kept,omitempty"`
			}
		}) (*Body[export.Job], error) {
			return one(ctx, in.ID, func(owner string) (export.Job, error) {
				return jobs.Update(ctx, owner, in.ID, export.Change{Name: in.Body.Name, Kept: in.Body.Kept})
			})
		})
	Register(s, huma.Operation{OperationID: "cancel-export", Method: http.MethodPost, Path: "/exports/{id}/cancel", Tags: tags,
		Summary: "Cancel an export of mine that waits or runs", Errors: []int{404, 409}}, identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[export.Job], error) {
			return one(ctx, in.ID, func(owner string) (export.Job, error) { return jobs.Cancel(ctx, owner, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "delete-export", Method: http.MethodDelete, Path: "/exports/{id}", Tags: tags,
		Summary: "Remove an export of mine with its file", DefaultStatus: http.StatusNoContent, Errors: []int{404, 409}}, identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			_, err := one(ctx, in.ID, func(owner string) (export.Job, error) { return jobs.Delete(ctx, owner, in.ID) })
			return nil, err
		})
	Register(s, huma.Operation{OperationID: "export-file", Method: http.MethodGet, Path: "/exports/{id}/file", Tags: tags,
		Summary: "The file of an export of mine", Errors: []int{404, 409, 410}, Responses: map[string]*huma.Response{"200": {Description: "OK",
			Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}}, identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
			a, err := s.person(ctx)
			if err != nil {
				return nil, err
			}
			j, f, err := jobs.File(ctx, a.User, in.ID)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "export:"+in.ID, j.Tenant, "")
			conn := stateOf(ctx).conn
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				hc.SetStatus(http.StatusOK)
				hc.SetHeader("Content-Type", exportTypes[j.Format])
				name := strings.Map(func(r rune) rune {
					if strings.ContainsRune(`/\:*?"<>|`, r) {
						return '_'
					}
					return r
				}, j.Name)
				if !strings.HasSuffix(strings.ToLower(name), "."+j.Format) {
					name += "." + j.Format
				}
				hc.SetHeader("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
				humafiber.Unwrap(hc).Context().SetBodyStream(paced{f, conn}, int(j.Bytes))
			}}, nil
		})
}

// paced is a file for a client that has a bounded time to take each piece.
type paced struct {
	io.ReadCloser
	conn net.Conn
}

// Read implements io.Reader.
func (p paced) Read(b []byte) (int, error) {
	if p.conn != nil {
		if err := p.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
			return 0, err
		}
	}
	return p.ReadCloser.Read(b)
}

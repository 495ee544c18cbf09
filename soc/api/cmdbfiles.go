package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/cmdb"
	"icewatch/cmdb/approval"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

// CMDBFiles is what the API asks of the CMDB about files of items.
type CMDBFiles interface {
	Import(ctx context.Context, format cmdb.Format, r io.Reader, opts cmdb.ImportOptions) (cmdb.Report, error)
	ProposeFile(ctx context.Context, format cmdb.Format, r io.Reader, opts cmdb.ImportOptions) ([]cmdb.Proposal, cmdb.Report, error)
	Marked(format cmdb.Format, data []byte, report cmdb.Report, w io.Writer) error
	Template(w io.Writer, language string, classes ...string) error
	Export(ctx context.Context, scope reach.Reach, format cmdb.Format, w io.Writer, f cmdb.Filter) error
	Imports(ctx context.Context, actor string, before int64, limit int) ([]cmdb.Import, error)
	ImportByID(ctx context.Context, id int64) (cmdb.Import, error)
	Running(actor string) []cmdb.Running
	UndoImport(ctx context.Context, r reach.Reach, actor string, id int64) (cmdb.Import, error)
}

// cmdbFileTypes are the media types of the formats.
var cmdbFileTypes = map[cmdb.Format]string{
	cmdb.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", cmdb.CSV: "text/csv; charset=utf-8",
	cmdb.JSON: "application/json", cmdb.NDJSON: typeNDJSON, cmdb.YAML: "application/yaml; charset=utf-8",
}

// namedFile is a file to be kept, never to be shown in the page.
func namedFile(contentType, name string, body []byte) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(http.StatusOK)
		hc.SetHeader("Content-Type", contentType)
		hc.SetHeader("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
		humafiber.Unwrap(hc).Response().SetBodyRaw(body)
	}}
}

// binary describes answers that are files.
func binary(types ...string) map[string]*huma.Response {
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}}
	}
	return map[string]*huma.Response{"200": {Description: "OK", Content: content}}
}

// CMDBFileInput is a file of items.
type CMDBFileInput struct {
	Format  string `query:"format" enum:"xlsx,csv,json,ndjson,yaml,yml" default:"yaml"`
	Class   string `query:"class" maxLength:"64" doc:"Class of rows that name none"`
	RawBody []byte `contentType:"application/octet-stream"`
}

func (in *CMDBFileInput) format() cmdb.Format {
	if in.Format == "yml" {
		return cmdb.YAML
	}
	return cmdb.Format(in.Format)
}

// importAnswer is the outcome of an import.
type importAnswer struct {
	cmdb.Report
	Request *approval.Request `json:"change_request,omitempty" doc:"Where the import waits for approval"`
}

// cmdbFileRoutes registers import and export of items.
func (s *Server) cmdbFileRoutes() {
	imports := cmdbOperation("import-cmdb", http.MethodPost, "/import", "Import a file of items, all or nothing", 400, 409, 413, 422)
	imports.MaxBodyBytes, imports.BodyReadTimeout = maxAPIBody, 2*time.Minute
	Register(s, imports, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			CMDBFileInput
			DryRun  bool   `query:"dry_run" doc:"Check and count, change nothing"`
			Source  string `query:"source" maxLength:"200" doc:"Name of the file: the import is kept under it and can be taken back"`
			Request string `query:"request" maxLength:"1000" doc:"File the import as a change request, with this as its reason: for items of protected classes"`
		}) (*Body[importAnswer], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			st := stateOf(ctx)
			st.object, st.skipAudit = "cmdb", in.DryRun
			opts := cmdb.ImportOptions{Within: within, Actor: Actor(ctx), Class: in.Class, Tenant: SelectedTenant(ctx), DryRun: in.DryRun, Source: in.Source}
			var out importAnswer
			var list []cmdb.Proposal
			if in.Request != "" && !in.DryRun {
				list, out.Report, err = c.ProposeFile(ctx, in.format(), bytes.NewReader(in.RawBody), opts)
			} else {
				out.Report, err = c.Import(ctx, in.format(), bytes.NewReader(in.RawBody), opts)
			}
			if err != nil {
				return nil, err
			}
			if len(out.Errors) > 0 {
				return nil, rowsProblem(out.Report)
			}
			st.detail = importDetail(out.Report)
			if in.Request != "" && !in.DryRun {
				r, err := s.fileRequest(ctx, in.Request, list)
				if err != nil {
					return nil, err
				}
				st.detail = fmt.Sprintf("filed as change request %d: %s", r.ID, st.detail)
				r.Proposals, out.Request = nil, &r
			}
			return Reply(out), nil
		})

	marked := cmdbOperation("mark-cmdb-import", http.MethodPost, "/import/marked", "A file that cannot be imported, as a workbook with each wrong cell marked", 400, 413, 422)
	marked.MaxBodyBytes, marked.BodyReadTimeout = maxAPIBody, 2*time.Minute
	marked.Responses = binary(cmdbFileTypes[cmdb.XLSX])
	Register(s, marked, identity.ScopeConfigure,
		func(ctx context.Context, in *CMDBFileInput) (*huma.StreamResponse, error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			stateOf(ctx).skipAudit = true
			report, err := c.Import(ctx, in.format(), bytes.NewReader(in.RawBody),
				cmdb.ImportOptions{Within: within, Actor: Actor(ctx), Class: in.Class, Tenant: SelectedTenant(ctx), DryRun: true})
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			if err := c.Marked(in.format(), in.RawBody, report, &out); err != nil {
				return nil, err
			}
			return namedFile(cmdbFileTypes[cmdb.XLSX], "icewatch-cmdb-errors.xlsx", out.Bytes()), nil
		})

	template := cmdbOperation("get-cmdb-template", http.MethodGet, "/import/template", "An empty workbook to fill in and import", 422)
	template.Responses = binary(cmdbFileTypes[cmdb.XLSX])
	Register(s, template, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Class    string `query:"class" maxLength:"1024" doc:"Classes, separated by commas, a sheet each; all by default"`
			Language string `query:"language" enum:"zh,en" default:"zh" doc:"Of the heads"`
		}) (*huma.StreamResponse, error) {
			c, _, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			if err := c.Template(&out, in.Language, words(in.Class)...); err != nil {
				return nil, err
			}
			return namedFile(cmdbFileTypes[cmdb.XLSX], "icewatch-cmdb-template.xlsx", out.Bytes()), nil
		})

	exports := cmdbOperation("export-cmdb", http.MethodGet, "/export", "The items as a file that can be imported again", 400)
	exports.Responses = binary("application/yaml", "text/csv", "application/json", typeNDJSON, cmdbFileTypes[cmdb.XLSX])
	Register(s, exports, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Format string `query:"format" enum:"xlsx,csv,json,ndjson,yaml,yml" default:"yaml"`
			Class  string `query:"class" maxLength:"1024"`
			Q      string `query:"q" maxLength:"256"`
			System string `query:"system" maxLength:"256"`
			Filter string `query:"filter" maxLength:"8192" doc:"A filter such as criticality >= 4 and has -runs_on-> host[os ~ kylin]"`
			Tenant string `query:"tenant" maxLength:"4096"`
		}) (*huma.StreamResponse, error) {
			if s.deps.CMDB == nil {
				return nil, unavailable("the CMDB")
			}
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			format := (&CMDBFileInput{Format: in.Format}).format()
			var out bytes.Buffer
			if err := s.deps.CMDB.Export(ctx, within, format, &out, cmdb.Filter{Query: in.Q, Classes: words(in.Class), System: in.System, Expression: in.Filter}); err != nil {
				return nil, err
			}
			return namedFile(cmdbFileTypes[format], "icewatch-cmdb."+string(format), out.Bytes()), nil
		})

	type importList struct {
		Items   []cmdb.Import  `json:"items" nullable:"false"`
		Running []cmdb.Running `json:"running" nullable:"false" doc:"Imports that are not done yet"`
		Next    string         `json:"next" doc:"Cursor of the next page, empty on the last"`
	}
	Register(s, cmdbOperation("list-cmdb-imports", http.MethodGet, "/imports", "What was imported, newest first: one's own, or all for who sees everything", 400), identity.ScopeConfigure,
		func(ctx context.Context, in *PageInput) (*Body[importList], error) {
			c, _, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			actor := importsOf(ctx)
			before, err := numberCursor(in.Cursor)
			if err != nil {
				return nil, err
			}
			list, err := c.Imports(ctx, actor, before, in.Limit)
			if err != nil {
				return nil, err
			}
			out := importList{Items: list, Running: c.Running(actor)}
			if len(list) == in.Limit {
				out.Next = strconv.FormatInt(list[len(list)-1].ID, 10)
			}
			return Reply(out), nil
		})

	Register(s, cmdbOperation("undo-cmdb-import", http.MethodPost, "/imports/{id}/undo", "Take an import back as a whole", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *ByNumber) (*Body[cmdb.Import], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "cmdb import "+clip(in.ID, 64), "", "")
			id, err := in.number()
			if err != nil {
				return nil, err
			}
			im, err := c.ImportByID(ctx, id)
			if err != nil {
				return nil, err
			}
			if actor := importsOf(ctx); actor != "" && im.Actor != actor {
				return nil, ErrNotFound
			}
			im, err = c.UndoImport(ctx, within, Actor(ctx), id)
			return Reply(im), err
		})
}

// importsOf is whose imports the caller sees: "" is everybody's.
func importsOf(ctx context.Context) string {
	if seesEverything(ctx) {
		return ""
	}
	return Actor(ctx)
}

// ByNumber names one thing that is numbered.
type ByNumber struct {
	ID string `path:"id" maxLength:"64" doc:"A number"`
}

// number is the id; what is none is not found.
func (in *ByNumber) number() (int64, error) {
	n, err := strconv.ParseInt(in.ID, 10, 64)
	if err != nil || n < 1 {
		return 0, ErrNotFound
	}
	return n, nil
}

// numberCursor reads a cursor that is the id of the last entry.
func numberCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || n < 1 {
		return 0, cmdb.ErrCursor
	}
	return n, nil
}

// cmdbChangeProblem turns what keeps a change from being made into a problem
// that names the items.
func cmdbChangeProblem(err error) error {
	var undo *cmdb.UndoError
	var protected *cmdb.ProtectedError
	p := &huma.ErrorModel{Status: http.StatusConflict, Title: http.StatusText(http.StatusConflict)}
	switch {
	case errors.As(err, &undo):
		for _, c := range undo.Conflicts {
			p.Errors = append(p.Errors, &huma.ErrorDetail{Location: "item", Message: c.Reason, Value: Facts{"id": c.Item.ID, "class": c.Item.Class, "name": c.Item.Name}})
		}
	case errors.As(err, &protected):
		for _, it := range protected.Items {
			p.Errors = append(p.Errors, &huma.ErrorDetail{Location: "class", Message: "protected", Value: Facts{"id": it.ID, "class": it.Class, "name": it.Name}})
		}
	default:
		return nil
	}
	p.Detail = err.Error()
	return p
}

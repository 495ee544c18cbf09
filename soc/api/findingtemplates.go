package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/template"
	"icewatch/soc/identity"
	"icewatch/ticketing/report"
)

func templateProblem(err error) error {
	for of, status := range map[error]int{template.ErrNotFound: http.StatusNotFound, template.ErrInvalid: http.StatusUnprocessableEntity, template.ErrShipped: http.StatusConflict} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return findingProblem(err)
}

// reportFormats are how a report of findings is written.
var reportFormats = map[string]string{"pdf": "application/pdf", "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}

// templateFile answers a file to keep.
func templateFile(kind, name string, data []byte) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", kind)
		hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
		humafiber.Unwrap(hc).Response().SetBodyRaw(data)
	}}
}

// findingTemplateRoutes registers reports of findings and the templates that they are made by.
// Templates are of the whole suite: who changes them reaches everything.
func (s *Server) findingTemplateRoutes() {
	f, shelf := s.deps.Weaknesses, s.deps.FindingTemplates
	if f == nil || shelf == nil {
		return
	}
	Register(s, exposureOperation("make-finding-report", http.MethodGet, "/finding-reports", "A vulnerability-scan report of findings by a template, as PDF, Word or Excel: the 5,000 most urgent of those asked for", 400, 404, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			FindingInput
			Template string `query:"template" maxLength:"64" doc:"Id; the default one where it is absent"`
			Format   string `query:"format" enum:"pdf,docx,xlsx" default:"pdf"`
			Lang     string `query:"lang" enum:"zh,en" default:"zh"`
		}) (*huma.StreamResponse, error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			text, err := shelf.Text(ctx, in.Template)
			if err != nil {
				return nil, templateProblem(err)
			}
			tpl, err := template.Parse(text)
			if err != nil {
				return nil, templateProblem(err)
			}
			q := in.question()
			q.Full, q.Limit = true, 1000
			d := template.Data{Made: time.Now().UTC(), By: Actor(ctx), Chinese: in.Lang == "zh", Zone: time.Local}
			var units []string
			for len(d.Findings) < template.MaxFindings {
				var list []finding.Finding
				if list, d.Total, err = f.List(ctx, within, q); err != nil {
					return nil, findingProblem(err)
				}
				for i := range list {
					if u := list[i].Unit; u != "" && !slices.Contains(units, u) {
						units = append(units, u)
					}
				}
				d.Findings = append(d.Findings, list...)
				if q.Offset += len(list); len(list) == 0 || q.Offset >= d.Total {
					break
				}
			}
			d.Units = f.Names(ctx, units)
			var b bytes.Buffer
			switch in.Format {
			case "xlsx":
				err = tpl.WriteXLSX(&b, &d)
			case "docx":
				err = report.WriteDOCX(&b, tpl.Document(&d))
			default:
				err = report.WritePDF(&b, tpl.Document(&d))
			}
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "findings", "", fmt.Sprintf("report of %d findings, %s", len(d.Findings), in.Format))
			return templateFile(reportFormats[in.Format], "findings-"+d.Made.Format("20060102T150405Z")+"."+in.Format, b.Bytes()), nil
		})
	Register(s, exposureOperation("list-finding-templates", http.MethodGet, "/finding-report-templates", "Templates of vulnerability-scan reports, the shipped ones first"), identity.ScopeRead,
		func(ctx context.Context, _ *struct{}) (*Body[Page[template.FindingTemplate]], error) {
			list, err := shelf.List(ctx)
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, exposureOperation("get-finding-template-file", http.MethodGet, "/finding-report-templates/{id}/file", "A template as a file, to be changed and uploaded again", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*huma.StreamResponse, error) {
			text, err := shelf.Text(ctx, in.ID)
			if err != nil {
				return nil, templateProblem(err)
			}
			return templateFile("application/yaml; charset=utf-8", "finding-report-"+strings.ToLower(in.ID)+".yaml", text), nil
		})
	change := func(ctx context.Context, id, did string) error {
		within, err := Reach(ctx, "")
		if err != nil {
			return err
		}
		AuditObject(ctx, "finding-template:"+clip(id, 64), "", did)
		if !within.Everything() {
			return Problem(http.StatusForbidden, "templates of reports are of the whole suite: only who reaches all tenants may change them")
		}
		return nil
	}
	type findingTemplateBody struct {
		Text string `json:"text" minLength:"1" maxLength:"65536" doc:"YAML: name, title and sections, as a downloaded template shows them"`
	}
	type keptFindingTemplate struct {
		ID string `json:"id"`
	}
	keep := func(ctx context.Context, id, text, did string) (*Body[keptFindingTemplate], error) {
		if err := change(ctx, id, did); err != nil {
			return nil, err
		}
		id, err := shelf.Put(ctx, Actor(ctx), id, []byte(text))
		return Reply(keptFindingTemplate{id}), templateProblem(err)
	}
	Register(s, exposureOperation("create-finding-template", http.MethodPost, "/finding-report-templates", "Upload a template of vulnerability-scan reports", 403, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body findingTemplateBody }) (*Body[keptFindingTemplate], error) {
			return keep(ctx, "", in.Body.Text, "uploaded")
		})
	Register(s, exposureOperation("replace-finding-template", http.MethodPut, "/finding-report-templates/{id}", "Upload a template in place of an uploaded one", 403, 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"64"`
			Body findingTemplateBody
		}) (*Body[keptFindingTemplate], error) {
			return keep(ctx, in.ID, in.Body.Text, "replaced")
		})
	Register(s, exposureOperation("choose-finding-template", http.MethodPost, "/finding-report-templates/{id}/default", "Make a template the default", 403, 404), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Body[keptFindingTemplate], error) {
			if err := change(ctx, in.ID, "made the default"); err != nil {
				return nil, err
			}
			return Reply(keptFindingTemplate{in.ID}), templateProblem(shelf.Choose(ctx, in.ID))
		})
	Register(s, exposureOperation("delete-finding-template", http.MethodDelete, "/finding-report-templates/{id}", "Delete an uploaded template", 403, 404, 409), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*struct{}, error) {
			if err := change(ctx, in.ID, "deleted"); err != nil {
				return nil, err
			}
			return nil, templateProblem(shelf.Delete(ctx, in.ID))
		})
}

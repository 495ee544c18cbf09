package api

import (
	"context"
	"net/http"
	"time"

	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/identity"
)

// scanTemplateRoutes registers the packages of templates that scanners fetch.
func (s *Server) scanTemplateRoutes(room *scan.Service) {
	Register(s, exposureOperation("list-scan-templates", http.MethodGet, "/scan-templates", "Packages of templates that scanners fetch, by name"), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[scan.TemplatesPackage]], error) {
			return pageFrom(room.TemplatePackages(), *in)
		})
	add := exposureOperation("add-scan-templates", http.MethodPost, "/scan-templates", "Upload a package of nuclei templates, a tar of *.yaml files packed by gzip: it is checked, signed, and takes the place of the former one of its name", 403, 409, 413, 422)
	add.MaxBodyBytes, add.DefaultStatus, add.BodyReadTimeout = wire.MaxTemplates+1, http.StatusCreated, 5*time.Minute
	Register(s, add, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Name    string `query:"name" required:"true" minLength:"1" maxLength:"64"`
			Note    string `query:"note" maxLength:"1000"`
			RawBody []byte `contentType:"application/octet-stream"`
		}) (*Body[scan.TemplatesPackage], error) {
			AuditObject(ctx, "scan-templates", "", clip(in.Name, 64))
			// What scanners run is run on everybody's hosts.
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			p, err := room.AddTemplates(ctx, Actor(ctx), in.Name, in.Note, in.RawBody)
			return Reply(p), scanProblem(err)
		})
	remove := exposureOperation("delete-scan-templates", http.MethodDelete, "/scan-templates/{id}", "Remove a package of templates by its SHA-256: no scanner fetches it any more", 403, 404)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "scan-templates:"+clip(in.ID, 64), "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			_, err := room.RemoveTemplates(ctx, in.ID)
			return nil, scanProblem(err)
		})
}

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections"
	"icewatch/soc/exposure/library"
	"icewatch/soc/identity"
)

// exposureOperation describes a route of exposure: vulnerabilities and findings.
func exposureOperation(id, method, path, summary string, codes ...int) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"exposure"}, Summary: summary, Errors: codes}
}

func libraryProblem(err error) error {
	switch {
	case errors.Is(err, library.ErrNotFound):
		return Problem(http.StatusNotFound, "the library knows no such vulnerability or import")
	case errors.Is(err, library.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	case errors.Is(err, library.ErrBusy):
		return Problem(http.StatusTooManyRequests, "%s", err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return Problem(http.StatusServiceUnavailable, "the search took too long: narrow it by an id, a level or a product")
	}
	return err
}

// vulnerabilityRoutes registers the library of vulnerabilities. What it knows is
// published by others and nobody's own, so that it is the same for all tenants.
func (s *Server) vulnerabilityRoutes() {
	lib := s.deps.Vulnerabilities
	if lib == nil {
		return
	}
	Register(s, exposureOperation("list-vulnerabilities", http.MethodGet, "/vulnerabilities", "Search the library of vulnerabilities by id, words, product, level, kind of weakness and whether they are exploited", 400, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Q         string `query:"q" maxLength:"500" doc:"Words that all occur: CVE, CNNVD or CNVD ids, name, class, product, description"`
			Product   string `query:"product" maxLength:"200" doc:"Part of the name of an affected package or product"`
			Level     string `query:"level" maxLength:"100" doc:"Levels, separated by commas: low, medium, high, critical"`
			Weakness  string `query:"weakness" maxLength:"20" doc:"A CWE id"`
			Exploited bool   `query:"exploited" doc:"Only those that attackers are known to use"`
			Rejected  bool   `query:"rejected" doc:"Those too that were taken back"`
			Since     string `query:"since" maxLength:"40" doc:"Published within this time, such as 30d"`
			Sort      string `query:"sort" enum:"published,score,epss,modified" default:"published" doc:"The most first"`
		}) (*Body[Page[library.VulnLine]], error) {
			q := library.Question{Words: in.Q, Product: in.Product, Weakness: in.Weakness, Exploited: in.Exploited, Rejected: in.Rejected, Sort: in.Sort, Limit: in.Limit, Cursor: in.Cursor}
			for _, l := range words(in.Level) {
				q.Levels = append(q.Levels, detections.Level(l))
			}
			if in.Since != "" {
				from, _, err := TimeInput{Since: in.Since}.timeRange(time.Now(), 0)
				if err != nil {
					return nil, err
				}
				q.Since = from
			}
			list, total, next, err := lib.List(ctx, q)
			return Reply(PageOf(list, total, next)), libraryProblem(err)
		})
	Register(s, exposureOperation("get-vulnerability", http.MethodGet, "/vulnerabilities/{id}", "All that is known of a vulnerability, by its CVE, CNNVD, CNVD or other id", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"128"`
		}) (*Body[library.Vulnerability], error) {
			v, err := lib.Get(ctx, in.ID)
			return Reply(v), libraryProblem(err)
		})
	Register(s, exposureOperation("get-vulnerability-figures", http.MethodGet, "/vulnerability-figures", "How much the library knows, by level and source"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[library.LibraryFigures], error) {
			f, err := lib.Figures(ctx)
			return Reply(f), libraryProblem(err)
		})

	type Job struct {
		ID string `path:"id" maxLength:"64"`
	}
	Register(s, exposureOperation("list-vulnerability-imports", http.MethodGet, "/vulnerability-imports", "The files that were imported into the library, newest first"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Limit int `query:"limit" minimum:"1" maximum:"200" default:"50"`
		}) (*Body[Page[library.VulnImport]], error) {
			list, err := lib.Imports(ctx, in.Limit)
			return Reply(PageOf(list, len(list), "")), libraryProblem(err)
		})
	Register(s, exposureOperation("get-vulnerability-import", http.MethodGet, "/vulnerability-imports/{id}", "How far an import is", 404), identity.ScopeRead,
		func(ctx context.Context, in *Job) (*Body[library.VulnImport], error) {
			i, err := lib.Import(ctx, in.ID)
			return Reply(i), libraryProblem(err)
		})
	start := exposureOperation("start-vulnerability-import", http.MethodPost, "/vulnerability-imports", "Begin the upload of a file for the library: NVD JSON 2.0, CNNVD or CNVD XML, OSV, CSAF 2.0, EPSS CSV, KEV JSON, Debian tracker JSON; plain, gzip or ZIP", 422, 429)
	start.DefaultStatus = http.StatusCreated
	Register(s, start, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Name   string `json:"name" minLength:"1" maxLength:"200" doc:"Of the file"`
				Size   int64  `json:"size" minimum:"1" doc:"Bytes, at most 4 GiB"`
				Format string `json:"format,omitempty" enum:"nvd,cnnvd,osv,csaf,epss,kev,debian" doc:"Found out by the content where it is absent"`
			}
		}) (*Body[library.VulnImport], error) {
			AuditObject(ctx, "vulnerability import", "", fmt.Sprintf("%s, %d bytes", clip(in.Body.Name, 200), in.Body.Size))
			i, err := lib.Start(ctx, Actor(ctx), in.Body.Name, in.Body.Format, in.Body.Size)
			return Reply(i), libraryProblem(err)
		})
	piece := exposureOperation("upload-vulnerability-import", http.MethodPut, "/vulnerability-imports/{id}/content", "Upload the next piece of the file, at most 16 MiB. With the last one the import begins: the file is checked as a whole first, and a broken one imports nothing", 404, 413, 422)
	piece.MaxBodyBytes, piece.BodyReadTimeout = library.MaxPiece+1, 2*time.Minute
	Register(s, piece, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Job
			Offset  int64  `query:"offset" minimum:"0" doc:"Of the piece in the file: what is received so far"`
			RawBody []byte `contentType:"application/octet-stream"`
		}) (*Body[library.VulnImport], error) {
			AuditObject(ctx, "vulnerability import "+clip(in.ID, 64), "", "")
			i, err := lib.Piece(ctx, in.ID, in.Offset, in.RawBody)
			return Reply(i), libraryProblem(err)
		})
	Register(s, exposureOperation("cancel-vulnerability-import", http.MethodPost, "/vulnerability-imports/{id}/cancel", "End an import; what it has written stays", 404, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *Job) (*Body[library.VulnImport], error) {
			AuditObject(ctx, "vulnerability import "+clip(in.ID, 64), "", "")
			i, err := lib.Cancel(ctx, in.ID)
			return Reply(i), libraryProblem(err)
		})
}

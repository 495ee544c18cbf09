package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/cmdb"
	"icewatch/soc/export"
	"icewatch/soc/forwarding"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/saved"
	"icewatch/soc/search"
)

// The operations by which somebody may do more with what is kept of searches
// than with his own.
const (
	shareSearch   = "share-saved-search"   // make searches that others see
	createGroup   = "create-log-group"     // see every log group; over all tenants, also change what others keep
	groupAccess   = "set-log-group-access" // say who may use a log group, and confine people to it
	formatJSON    = "json"
	formatYAML    = "yaml"
	typeYAML      = "application/yaml"
	exportPattern = `attachment; filename="icewatch-%s-%s.%s"`
)

// savedProblem answers for what the rooms of kept searches and exports refuse,
// nil for any other error.
func savedProblem(err error) error {
	for _, c := range []struct {
		of     error
		status int
	}{
		{saved.ErrNotFound, http.StatusNotFound}, {saved.ErrInvalid, http.StatusUnprocessableEntity}, {saved.ErrConflict, http.StatusConflict}, {saved.ErrForbidden, http.StatusForbidden},
		{export.ErrNotFound, http.StatusNotFound}, {export.ErrInvalid, http.StatusUnprocessableEntity}, {export.ErrState, http.StatusConflict},
		{forwarding.ErrNotFound, http.StatusNotFound}, {forwarding.ErrInvalid, http.StatusUnprocessableEntity}, {forwarding.ErrConflict, http.StatusConflict},
		{export.ErrLimit, http.StatusTooManyRequests}, {export.ErrRoom, http.StatusInsufficientStorage}, {export.ErrExpired, http.StatusGone},
	} {
		if errors.Is(err, c.of) {
			return Problem(c.status, "%s", err.Error())
		}
	}
	return nil
}

// askerOf is a principal as the room of kept searches knows him, without what
// he may do beyond his own.
func (s *Server) askerOf(p *identity.Principal) saved.Asker {
	a := saved.Asker{User: p.UserID, Name: p.Username, Unit: p.Unit, Roles: append(slices.Clone(p.Roles), p.Granted...)}
	if p.Unit != "" && s.deps.Units != nil {
		a.Units = s.deps.Units.Tree().Path(p.Unit)
	}
	return a
}

// asker is who asks, with what he may do.
func (s *Server) asker(ctx context.Context) saved.Asker {
	a := s.askerOf(PrincipalFrom(ctx))
	a.Share, a.Groups = s.may(ctx, shareSearch), s.may(ctx, createGroup)
	a.Manage = a.Groups && seesEverything(ctx)
	return a
}

// personal tells whether a principal is a person, or acts for one: a service's
// token has no history, no searches and no exports.
func personal(p *identity.Principal) bool {
	return p != nil && !(p.Via == identity.ViaToken && p.UserID == p.TokenID) && p.Via != identity.ViaApplication
}

// person is who asks where only a person can.
func (s *Server) person(ctx context.Context) (saved.Asker, error) {
	if !personal(PrincipalFrom(ctx)) {
		return saved.Asker{}, Problem(http.StatusForbidden, "this belongs to a person: sign in, or use a personal token")
	}
	return s.asker(ctx), nil
}

// inGroup narrows a search to a log group, where one is named.
func (s *Server) inGroup(p *identity.Principal, r reach.Reach, group string, start, now time.Time) (reach.Reach, time.Time, error) {
	if group == "" {
		return r, start, nil
	}
	if s.deps.Saved == nil {
		return r, start, unavailable("the log groups")
	}
	scope, err := s.deps.Saved.Scope(s.askerOf(p), group)
	if err != nil {
		return reach.None(), start, err
	}
	return scope.Within(r), scope.Start(start, now), nil
}

// ReachAs is what a user may read at the moment of the tenants (slugs separated
// by commas) and the log group, for what runs in his name while he is away, and
// where the time of it begins. It is an error, to be shown to him, where he may
// not search any more.
func (s *Server) ReachAs(ctx context.Context, o export.Owner, tenant, group string, start time.Time) (reach.Reach, time.Time, error) {
	fail := func(format string, args ...any) (reach.Reach, time.Time, error) {
		return reach.None(), start, export.Refusal(fmt.Sprintf(format, args...))
	}
	p, err := s.deps.Identity.ActingAs(ctx, o.ID)
	if errors.Is(err, identity.ErrUnauthenticated) {
		return reach.None(), start, export.Away(fmt.Sprintf("the account %s is disabled, locked or gone", o.Name))
	}
	if err != nil {
		return reach.None(), start, err
	}
	r := s.reachOf(p)
	if !s.mayAs(ctx, p, r, "search") {
		return fail("%s may not search at the moment", o.Name)
	}
	for _, slug := range words(tenant) {
		if !r.CoversTenant(slug) {
			return fail("the tenant %s is not within the reach of %s any more", clip(slug, 64), o.Name)
		}
	}
	if tenant != "" {
		r = r.Narrow(words(tenant))
	}
	if o.Bound != nil {
		r = r.Narrow(o.Bound)
	}
	r, start, err = s.inGroup(p, r, group, start, time.Now())
	if savedProblem(err) != nil {
		return fail("the log group of the search: %s", err)
	}
	return r, start, err
}

// noteSearch has a search written into its user's history.
func (s *Server) noteSearch(ctx context.Context, in SearchInput, req search.Request, rows int, took time.Duration) {
	p := PrincipalFrom(ctx)
	if s.deps.Saved == nil || !personal(p) {
		return
	}
	past := saved.Past{Query: req.Query, Tenant: in.Tenant, Group: in.Group, Since: in.Since, Rows: rows, TookMS: took.Milliseconds()}
	if in.Start == "" && in.End == "" {
		if past.Since == "" {
			past.Since = "15m"
		}
	} else {
		past.Since, past.Start, past.End = "", &req.Start, &req.End
	}
	s.deps.Saved.Note(p.UserID, past)
}

// SearchBody is a search as it is written. It is exported because inputs embed
// it.
type SearchBody struct {
	saved.Content
	Revision int64 `json:"revision,omitempty" doc:"Of what was read before the change"`
}

// FileInput asks for a file in one of two formats.
type FileInput struct {
	Format string `query:"format" enum:"json,yaml" default:"json"`
}

// ImportInput is a file to take in.
type ImportInput struct {
	FileInput
	DryRun  bool   `query:"dry_run" doc:"Check and count, change nothing"`
	RawBody []byte `contentType:"application/json"`
}

func (in ImportInput) options(onConflict string) saved.ImportOptions {
	return saved.ImportOptions{YAML: in.Format == formatYAML, DryRun: in.DryRun, Conflict: onConflict}
}

// imported answers with what an import did; where it was refused, with a
// problem for each mistake.
func imported(ctx context.Context, what string, r saved.Report, err error) (*Body[saved.Report], error) {
	st := stateOf(ctx)
	st.object, st.skipAudit = what, r.DryRun
	st.detail = fmt.Sprintf("created %d, updated %d, renamed %d, errors %d", r.Created, r.Updated, r.Renamed, r.Rejected)
	if err != nil || r.DryRun || r.Rejected == 0 {
		return Reply(r), err
	}
	report := cmdb.Report{Rejected: r.Rejected}
	for _, e := range r.Errors {
		report.Errors = append(report.Errors, cmdb.RowError{Row: e.Entry, Column: e.Field, Message: e.Message})
	}
	return nil, rowsProblem(report)
}

// fileAnswer answers with a file to be kept.
func fileAnswer(what, format string, body []byte) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(http.StatusOK)
		hc.SetHeader("Content-Type", map[string]string{formatJSON: "application/json", formatYAML: typeYAML}[format])
		hc.SetHeader("Content-Disposition", fmt.Sprintf(exportPattern, what, time.Now().UTC().Format("20060102T150405Z"), format))
		humafiber.Unwrap(hc).Response().SetBodyRaw(body)
	}}
}

// savedRoutes registers what people keep of their searches.
func (s *Server) savedRoutes() {
	if s.deps.Saved != nil {
		s.savedFileRoutes() // before the routes by id, which take any word
		s.savedSearchRoutes()
		s.historyRoutes()
		s.logGroupRoutes()
	}
	if s.deps.Exports != nil {
		s.exportRoutes()
	}
	if s.deps.Monitors != nil {
		s.monitorRoutes()
	}
}

func (s *Server) savedSearchRoutes() {
	store, tags := s.deps.Saved, []string{"saved searches"}
	Register(s, huma.Operation{OperationID: "list-saved-searches", Method: http.MethodGet, Path: "/saved-searches", Tags: tags,
		Summary: "Searches kept under a name: mine and those I am shown"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Q      string `query:"q" maxLength:"200" doc:"Part of the name, the description or the query"`
			Folder string `query:"folder" maxLength:"800" doc:"This folder and those below it"`
			Tag    string `query:"tag" maxLength:"200"`
			Group  string `query:"group" maxLength:"64" doc:"Common searches of this log group"`
			Mine   bool   `query:"mine"`
		}) (*Body[Page[saved.Search]], error) {
			items, total, next, err := store.Searches(ctx, s.asker(ctx), saved.SearchQuery{Text: in.Q, Folder: in.Folder, Tag: in.Tag, Group: in.Group, Mine: in.Mine, Limit: in.Limit, Cursor: in.Cursor})
			return Reply(PageOf(items, total, next)), err
		})
	Register(s, huma.Operation{OperationID: "list-search-folders", Method: http.MethodGet, Path: "/saved-searches/folders", Tags: tags,
		Summary: "The folders of the saved searches I may see"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[saved.Folder]], error) {
			list, err := store.Folders(ctx, s.asker(ctx))
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, huma.Operation{OperationID: "create-saved-search", Method: http.MethodPost, Path: "/saved-searches", Tags: tags,
		Summary: "Keep a search under a name", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct{ Body SearchBody }) (*Body[saved.Search], error) {
			a, err := s.person(ctx)
			if err != nil {
				return nil, err
			}
			out, err := store.CreateSearch(ctx, a, in.Body.Content)
			AuditObject(ctx, "saved-search:"+out.ID, "", clip(in.Body.Name, 200))
			return Reply(out), err
		})
	Register(s, huma.Operation{OperationID: "get-saved-search", Method: http.MethodGet, Path: "/saved-searches/{id}", Tags: tags,
		Summary: "One saved search", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[saved.Search], error) {
			out, err := store.Search(ctx, s.asker(ctx), in.ID)
			return Reply(out), err
		})
	Register(s, huma.Operation{OperationID: "update-saved-search", Method: http.MethodPut, Path: "/saved-searches/{id}", Tags: tags,
		Summary: "Replace what a saved search says, where its revision is still the one that was read", Errors: []int{404, 409, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ByID
			Body SearchBody
		}) (*Body[saved.Search], error) {
			before, after, err := store.UpdateSearch(ctx, s.asker(ctx), in.ID, in.Body.Revision, in.Body.Content)
			AuditObject(ctx, "saved-search:"+in.ID, "", after.Name)
			AuditChange(ctx, before.Content(), after.Content())
			return Reply(after), err
		})
	Register(s, huma.Operation{OperationID: "delete-saved-search", Method: http.MethodDelete, Path: "/saved-searches/{id}", Tags: tags,
		Summary: "Remove a saved search", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			before, err := store.DeleteSearch(ctx, s.asker(ctx), in.ID)
			AuditObject(ctx, "saved-search:"+in.ID, "", before.Name)
			AuditChange(ctx, before.Content(), nil)
			return nil, err
		})
	Register(s, huma.Operation{OperationID: "copy-saved-search", Method: http.MethodPost, Path: "/saved-searches/{id}/copy", Tags: tags,
		Summary: "Keep a private copy of a saved search", DefaultStatus: http.StatusCreated, Errors: []int{404, 409, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				Name   string `json:"name,omitempty"`
				Folder string `json:"folder,omitempty"`
			}
		}) (*Body[saved.Search], error) {
			a, err := s.person(ctx)
			if err != nil {
				return nil, err
			}
			out, err := store.CopySearch(ctx, a, in.ID, in.Body.Name, in.Body.Folder)
			AuditObject(ctx, "saved-search:"+out.ID, "", "a copy of "+clip(in.ID, 64))
			return Reply(out), err
		})
	Register(s, huma.Operation{OperationID: shareSearch, Method: http.MethodPut, Path: "/saved-searches/{id}/visibility", Tags: tags,
		Summary: "Say who sees a saved search", Errors: []int{404, 409, 422},
		Description: "Who may do this may also make searches that others see."}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				Visibility string `json:"visibility" enum:"private,unit,everybody"`
				Revision   int64  `json:"revision" minimum:"1"`
			}
		}) (*Body[saved.Search], error) {
			a := s.asker(ctx)
			now, err := store.Search(ctx, a, in.ID)
			if err != nil {
				return nil, err
			}
			c := now.Content()
			c.Visibility = in.Body.Visibility
			before, after, err := store.UpdateSearch(ctx, a, in.ID, in.Body.Revision, c)
			AuditObject(ctx, "saved-search:"+in.ID, "", now.Name)
			AuditChange(ctx, before.Content(), after.Content())
			return Reply(after), err
		})
}

func (s *Server) savedFileRoutes() {
	store, tags := s.deps.Saved, []string{"saved searches"}
	Register(s, huma.Operation{OperationID: "export-saved-searches", Method: http.MethodGet, Path: "/saved-searches/export", Tags: tags,
		Summary: "Saved searches as a file that can be imported again", Responses: fileResponses()}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			FileInput
			Folder string   `query:"folder" maxLength:"800"`
			Group  string   `query:"group" maxLength:"64"`
			ID     []string `query:"id,explode" maxItems:"5000" doc:"Only these"`
			Mine   bool     `query:"mine"`
		}) (*huma.StreamResponse, error) {
			out, err := store.ExportSearches(ctx, s.asker(ctx), saved.SearchQuery{Folder: in.Folder, Group: in.Group, IDs: in.ID, Mine: in.Mine}, in.Format == formatYAML)
			if err != nil {
				return nil, err
			}
			return fileAnswer("searches", in.Format, out), nil
		})
	Register(s, huma.Operation{OperationID: "import-saved-searches", Method: http.MethodPost, Path: "/saved-searches/import", Tags: tags,
		Summary: "Take in saved searches from a file, all or nothing", MaxBodyBytes: saved.MaxFile, SkipValidateBody: true, Errors: []int{413, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ImportInput
			Conflict string `query:"on_conflict" enum:"fail,replace,rename" default:"fail" doc:"What to do where the name is taken"`
		}) (*Body[saved.Report], error) {
			a, err := s.person(ctx)
			if err != nil {
				return nil, err
			}
			r, err := store.ImportSearches(ctx, a, in.RawBody, in.options(in.Conflict))
			return imported(ctx, "saved-searches", r, err)
		})
}

func fileResponses() map[string]*huma.Response {
	schema := &huma.Schema{Type: "string"}
	return map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}, typeYAML: {Schema: schema}}}}
}

func (s *Server) historyRoutes() {
	store, tags := s.deps.Saved, []string{"own account"}
	Register(s, huma.Operation{OperationID: "list-my-searches", Method: http.MethodGet, Path: "/me/search-history", Tags: tags,
		Summary: "What I searched for, newest first"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Q string `query:"q" maxLength:"200" doc:"Part of the query"`
		}) (*Body[Page[saved.Past]], error) {
			a, err := s.person(ctx)
			if err != nil {
				return nil, err
			}
			items, total, next, err := store.History(ctx, a.User, in.Q, in.Limit, in.Cursor)
			return Reply(PageOf(items, total, next)), err
		})
	forget := func(ctx context.Context, id int64) (*struct{}, error) {
		AuditObject(ctx, "own search history", "", "")
		a, err := s.person(ctx)
		if err != nil {
			return nil, err
		}
		return nil, store.ForgetHistory(ctx, a.User, id)
	}
	Register(s, huma.Operation{OperationID: "clear-my-searches", Method: http.MethodDelete, Path: "/me/search-history", Tags: tags,
		Summary: "Clear my search history", DefaultStatus: http.StatusNoContent}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*struct{}, error) { return forget(ctx, 0) })
	Register(s, huma.Operation{OperationID: "forget-my-search", Method: http.MethodDelete, Path: "/me/search-history/{id}", Tags: tags,
		Summary: "Remove one search from my history", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID int64 `path:"id" minimum:"1"`
		}) (*struct{}, error) {
			return forget(ctx, in.ID)
		})
	Register(s, huma.Operation{OperationID: "get-my-search-preferences", Method: http.MethodGet, Path: "/me/search-preferences", Tags: tags,
		Summary: "The fields I follow and my columns"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[saved.Preferences], error) {
			a, err := s.person(ctx)
			if err != nil {
				return nil, err
			}
			p, err := store.Preferences(ctx, a.User)
			return Reply(p), err
		})
	Register(s, huma.Operation{OperationID: "set-my-search-preferences", Method: http.MethodPut, Path: "/me/search-preferences", Tags: tags,
		Summary: "Replace the fields I follow and my columns", Errors: []int{422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct{ Body saved.Preferences }) (*Body[saved.Preferences], error) {
			AuditObject(ctx, "own search preferences", "", strings.Join(in.Body.Followed, " "))
			a, err := s.person(ctx)
			if err != nil {
				return nil, err
			}
			p, err := store.SetPreferences(ctx, a.User, in.Body)
			return Reply(p), err
		})
}

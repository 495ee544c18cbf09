package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/saved/monitor"
)

// MonitorBody is a scheduled search as it is written. It is exported because
// inputs embed it.
type MonitorBody struct {
	monitor.Content
	Enabled *bool `json:"enabled,omitempty" doc:"true by default"`
}

func (b MonitorBody) enabled() bool { return b.Enabled == nil || *b.Enabled }

// scheduleCheck is what a schedule means.
type scheduleCheck struct {
	Valid bool        `json:"valid"`
	Error string      `json:"error"`
	Next  []time.Time `json:"next" nullable:"false" doc:"The next five times"`
}

func (s *Server) monitorRoutes() {
	monitors, tags := s.deps.Monitors, []string{"scheduled searches"}
	Register(s, huma.Operation{OperationID: "list-search-monitors", Method: http.MethodGet, Path: "/search-monitors", Tags: tags,
		Summary: "Scheduled searches (log monitoring rules): mine, or all for who looks after them"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Q      string `query:"q" maxLength:"200" doc:"Part of the name, the description or the query"`
			State  string `query:"state" enum:"active,disabled,paused"`
			Health string `query:"health" enum:"new,ok,warning"`
			Tag    string `query:"tag" maxLength:"200"`
			Mine   bool   `query:"mine"`
		}) (*Body[Page[monitor.Monitor]], error) {
			items, total, next, err := monitors.List(ctx, s.asker(ctx), monitor.Query{Text: in.Q, State: in.State, Health: in.Health, Tag: in.Tag, Mine: in.Mine, Limit: in.Limit, Cursor: in.Cursor})
			return Reply(PageOf(items, total, next)), err
		})
	Register(s, huma.Operation{OperationID: "get-search-monitor", Method: http.MethodGet, Path: "/search-monitors/{id}", Tags: tags,
		Summary: "One scheduled search", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[monitor.Monitor], error) {
			m, err := monitors.Get(ctx, s.asker(ctx), in.ID)
			return Reply(m), err
		})
	Register(s, huma.Operation{OperationID: "list-search-monitor-runs", Method: http.MethodGet, Path: "/search-monitors/{id}/runs", Tags: tags,
		Summary: "The runs of a scheduled search, newest first", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ByID
			PageInput
		}) (*Body[Page[monitor.Run]], error) {
			items, total, next, err := monitors.Runs(ctx, s.asker(ctx), in.ID, in.Limit, in.Cursor)
			return Reply(PageOf(items, total, next)), err
		})
	Register(s, huma.Operation{OperationID: "check-search-schedule", Method: http.MethodPost, Path: "/search-monitors/check", Tags: tags,
		Summary: "What a schedule means"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Schedule string `json:"schedule" maxLength:"200"`
				TimeZone string `json:"time_zone,omitempty" maxLength:"64"`
			}
		}) (*Body[scheduleCheck], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			out := scheduleCheck{Next: []time.Time{}}
			now := time.Now()
			schedule, err := monitor.ParseSchedule(in.Body.Schedule, in.Body.TimeZone, now)
			if err != nil {
				out.Error = err.Error()
				return Reply(out), nil
			}
			out.Valid = true
			for t := range schedule.After(now, 5) {
				out.Next = append(out.Next, t)
			}
			return Reply(out), nil
		})
	s.monitorChangeRoutes()
}

func (s *Server) monitorChangeRoutes() {
	monitors, tags := s.deps.Monitors, []string{"scheduled searches"}
	Register(s, huma.Operation{OperationID: "create-search-monitor", Method: http.MethodPost, Path: "/search-monitors", Tags: tags,
		Summary: "Run a search by a schedule, in my name", DefaultStatus: http.StatusCreated, Errors: []int{404, 409, 422},
		Description: "It runs with the reach its owner has when it runs. What is left out is taken from the saved search of search_id; its text is kept as it is then."},
		identity.ScopeRespond,
		func(ctx context.Context, in *struct{ Body MonitorBody }) (*Body[monitor.Monitor], error) {
			o, err := s.exportOwner(ctx)
			if err != nil {
				return nil, err
			}
			if err := s.tenantWithin(ctx, in.Body.Tenant); err != nil {
				return nil, err
			}
			m, err := monitors.Create(ctx, s.asker(ctx), o, in.Body.Content, in.Body.enabled())
			AuditObject(ctx, "search-monitor:"+m.ID, in.Body.Tenant, clip(in.Body.Name, 200))
			return Reply(m), err
		})
	Register(s, huma.Operation{OperationID: "update-search-monitor", Method: http.MethodPut, Path: "/search-monitors/{id}", Tags: tags,
		Summary: "Replace what a scheduled search says, where its revision is still the one that was read", Errors: []int{404, 409, 422},
		Description: "It runs in the name of who changed it last."}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				MonitorBody
				Revision int64 `json:"revision" minimum:"1"`
			}
		}) (*Body[monitor.Monitor], error) {
			AuditObject(ctx, "search-monitor:"+in.ID, in.Body.Tenant, clip(in.Body.Name, 200))
			o, err := s.exportOwner(ctx)
			if err != nil {
				return nil, err
			}
			if err := s.tenantWithin(ctx, in.Body.Tenant); err != nil {
				return nil, err
			}
			before, after, err := monitors.Update(ctx, s.asker(ctx), o, in.ID, in.Body.Revision, in.Body.Content, in.Body.enabled())
			AuditChange(ctx, before.Content(), after.Content())
			return Reply(after), err
		})
	Register(s, huma.Operation{OperationID: "delete-search-monitor", Method: http.MethodDelete, Path: "/search-monitors/{id}", Tags: tags,
		Summary: "Remove a scheduled search with its runs", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeRespond,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "search-monitor:"+in.ID, "", "")
			before, err := monitors.Get(ctx, s.asker(ctx), in.ID)
			if err != nil {
				return nil, err
			}
			AuditChange(ctx, before.Content(), nil)
			_, _, err = monitors.Batch(ctx, s.asker(ctx), []string{in.ID}, monitor.Remove)
			return nil, err
		})
	Register(s, huma.Operation{OperationID: "copy-search-monitor", Method: http.MethodPost, Path: "/search-monitors/{id}/copy", Tags: tags,
		Summary: "Copy a scheduled search; the copy is mine, and disabled", DefaultStatus: http.StatusCreated, Errors: []int{404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				Name string `json:"name,omitempty"`
			}
		}) (*Body[monitor.Monitor], error) {
			o, err := s.exportOwner(ctx)
			if err != nil {
				return nil, err
			}
			m, err := monitors.Copy(ctx, s.asker(ctx), o, in.ID, in.Body.Name)
			AuditObject(ctx, "search-monitor:"+m.ID, "", "a copy of "+clip(in.ID, 64))
			return Reply(m), err
		})
	Register(s, huma.Operation{OperationID: "run-search-monitor", Method: http.MethodPost, Path: "/search-monitors/{id}/run", Tags: tags,
		Summary: "Run a scheduled search now, for the window that ends now", DefaultStatus: http.StatusAccepted, Errors: []int{404, 409, 503}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				DryRun bool `json:"dry_run,omitempty" doc:"Look, and do nothing"`
			}
		}) (*Body[monitor.Run], error) {
			AuditObject(ctx, "search-monitor:"+in.ID, "", "")
			run, err := monitors.RunNow(ctx, s.asker(ctx), in.ID, in.Body.DryRun)
			return Reply(run), err
		})
	type batch struct {
		Done   []string               `json:"done" nullable:"false"`
		Failed []monitor.BatchFailure `json:"failed" nullable:"false"`
	}
	Register(s, huma.Operation{OperationID: "batch-search-monitors", Method: http.MethodPost, Path: "/search-monitors/batch", Tags: tags,
		Summary: "Enable, disable or remove several scheduled searches", Errors: []int{422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs    []string `json:"ids" minItems:"1" maxItems:"1000"`
				Action string   `json:"action" enum:"enable,disable,delete"`
			}
		}) (*Body[batch], error) {
			done, failed, err := monitors.Batch(ctx, s.asker(ctx), in.Body.IDs, in.Body.Action)
			AuditObject(ctx, "search-monitors", "", fmt.Sprintf("%s: %s", in.Body.Action, clip(strings.Join(done, " "), 1000)))
			return Reply(batch{done, failed}), err
		})
}

// tenantWithin refuses a tenant that the caller does not reach.
func (s *Server) tenantWithin(ctx context.Context, tenant string) error {
	if tenant == "" {
		return nil
	}
	_, err := Reach(ctx, tenant)
	return err
}

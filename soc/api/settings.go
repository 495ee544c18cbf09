package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/settings"
)

// settingRoutes registers reading all settings and, for each one, an operation
// of its own that changes it: who may do that differs.
func (s *Server) settingRoutes() {
	if s.deps.Settings == nil {
		return
	}
	Register(s, huma.Operation{OperationID: "list-settings", Method: http.MethodGet, Path: "/settings", Tags: []string{"settings"},
		Summary: "What administrators have decided, and the defaults"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[Page[settings.View]], error) {
			list := []settings.View{}
			for _, v := range s.deps.Settings.List() {
				if v.Scope != "" && s.may(ctx, "get-setting-"+v.Name) {
					list = append(list, v)
				}
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
	for _, v := range s.deps.Settings.List() {
		if v.Scope == "" {
			continue // kept by an operation of its own
		}
		name := v.Name
		Register(s, huma.Operation{OperationID: "get-setting-" + name, Method: http.MethodGet, Path: "/settings/" + name, Tags: []string{"settings"},
			Summary: "The setting " + name}, v.Scope,
			func(context.Context, *Empty) (*Body[settings.View], error) {
				v, err := s.deps.Settings.Get(name)
				return Reply(v), err
			})
		Register(s, huma.Operation{OperationID: "set-" + name, Method: http.MethodPut, Path: "/settings/" + name, Tags: []string{"settings"},
			Summary: "Change the setting " + name + ": what the document leaves out takes its default", MaxBodyBytes: 1 << 20, SkipValidateBody: true, Errors: []int{422}}, v.Scope,
			func(ctx context.Context, in *struct {
				RawBody []byte `contentType:"application/json"`
			}) (*Body[settings.View], error) {
				AuditObject(ctx, "setting:"+name, "", "")
				before, err := s.deps.Settings.Get(name)
				if err != nil {
					return nil, err
				}
				if err := s.deps.Settings.Set(ctx, name, in.RawBody, Actor(ctx)); err != nil {
					return nil, err
				}
				after, err := s.deps.Settings.Get(name)
				AuditChange(ctx, before.Value, after.Value)
				return Reply(after), err
			})
		Register(s, huma.Operation{OperationID: "history-of-setting-" + name, Method: http.MethodGet, Path: "/settings/" + name + "/history", Tags: []string{"settings"},
			Summary: "Who changed the setting " + name + ", newest first"}, v.Scope,
			func(ctx context.Context, _ *Empty) (*Body[Page[settings.Version]], error) {
				list, err := s.deps.Settings.History(ctx, name, 100)
				return Reply(PageOf(list, len(list), "")), err
			})
	}
}

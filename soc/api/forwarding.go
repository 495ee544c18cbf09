package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/forwarding"
	"icewatch/soc/identity"
	"icewatch/soc/search"
)

// TargetBody is a forwarding target as it is written. It is exported because
// inputs embed it.
type TargetBody struct {
	forwarding.Content
	Secrets forwarding.Secrets `json:"secrets,omitempty" doc:"password (password, API key or token) and client_key (PEM); what is left out stays as it is, an empty one is removed"`
}

// forwardingRoutes registers what administers the forwarding of events to
// other systems.
func (s *Server) forwardingRoutes() {
	if s.deps.Forwarding == nil {
		return
	}
	targets, tags := s.deps.Forwarding, []string{"forwarding"}
	Register(s, huma.Operation{OperationID: "list-forward-targets", Method: http.MethodGet, Path: "/forwarding/targets", Tags: tags,
		Summary: "Systems that events are forwarded to, and how that goes"}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			PageInput
			Q     string `query:"q" maxLength:"200" doc:"Part of the name or the description"`
			Kind  string `query:"kind" enum:"elasticsearch,kafka,syslog,loki,remote-write"`
			State string `query:"state" enum:"ok,catching_up,retrying,paused,blocked,away"`
		}) (*Body[Page[forwarding.Target]], error) {
			list, err := targets.List(ctx, s.forwardAsker(ctx), forwarding.Query{Text: in.Q, Kind: in.Kind, State: in.State})
			if err != nil {
				return nil, err
			}
			return pageFrom(list, in.PageInput)
		})
	s.forwardFileRoutes() // before the routes by id
	Register(s, huma.Operation{OperationID: "create-forward-target", Method: http.MethodPost, Path: "/forwarding/targets", Tags: tags,
		Summary: "Forward events to another system, in my name", DefaultStatus: http.StatusCreated, Errors: []int{409, 422},
		Description: "It gets what its filter passes of what its owner may read when it is read: tenants, data scope and masking included."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body TargetBody }) (*Body[forwarding.Target], error) {
			o, err := s.exportOwner(ctx)
			if err != nil {
				return nil, err
			}
			if err := s.tenantWithin(ctx, in.Body.Tenant); err != nil {
				return nil, err
			}
			t, err := targets.Create(ctx, o, in.Body.Content, in.Body.Secrets)
			AuditObject(ctx, "forward-target:"+t.ID, in.Body.Tenant, clip(in.Body.Name, 200))
			if err == nil {
				AuditChange(ctx, nil, t.Content)
			}
			return Reply(t), err
		})
	Register(s, huma.Operation{OperationID: "test-forward-draft", Method: http.MethodPost, Path: "/forwarding/test", Tags: tags,
		Summary: "See whether a target would work, without keeping it", Errors: []int{404, 422},
		Description: "It sends one event that is marked as a test."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				TargetBody
				ID string `json:"id,omitempty" maxLength:"64" doc:"Of a target whose secrets are taken where none are given, if the address is the same"`
			}
		}) (*Body[forwarding.TestResult], error) {
			AuditObject(ctx, "forward-target:"+clip(in.Body.Name, 64), "", "a draft")
			r, err := targets.Test(ctx, s.forwardAsker(ctx), in.Body.ID, &in.Body.Content, in.Body.Secrets)
			return Reply(r), err
		})
	Register(s, huma.Operation{OperationID: "get-forward-target", Method: http.MethodGet, Path: "/forwarding/targets/{id}", Tags: tags,
		Summary: "One system that events are forwarded to", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[forwarding.Target], error) {
			t, err := targets.Get(ctx, s.forwardAsker(ctx), in.ID)
			return Reply(t), err
		})
	Register(s, huma.Operation{OperationID: "update-forward-target", Method: http.MethodPut, Path: "/forwarding/targets/{id}", Tags: tags,
		Summary: "Replace what a target says, where its revision is still the one that was read", Errors: []int{404, 409, 422},
		Description: "It reads in the name of who changed it last. Where the address changes, its secrets have to be given again."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				TargetBody
				Revision int64 `json:"revision" minimum:"1"`
			}
		}) (*Body[forwarding.Target], error) {
			AuditObject(ctx, "forward-target:"+in.ID, in.Body.Tenant, clip(in.Body.Name, 200))
			o, err := s.exportOwner(ctx)
			if err != nil {
				return nil, err
			}
			if err := s.tenantWithin(ctx, in.Body.Tenant); err != nil {
				return nil, err
			}
			before, after, err := targets.Update(ctx, s.forwardAsker(ctx), o, in.ID, in.Body.Revision, in.Body.Content, in.Body.Secrets)
			if err == nil {
				AuditChange(ctx, before, after.Content)
			}
			return Reply(after), err
		})
	Register(s, huma.Operation{OperationID: "delete-forward-target", Method: http.MethodDelete, Path: "/forwarding/targets/{id}", Tags: tags,
		Summary: "Stop forwarding to a system and forget it, with its dead letters", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "forward-target:"+in.ID, "", "")
			before, err := targets.Delete(ctx, s.forwardAsker(ctx), in.ID)
			if err == nil {
				AuditObject(ctx, "forward-target:"+in.ID, before.Tenant, before.Name)
				AuditChange(ctx, before, nil)
			}
			return nil, err
		})
	s.forwardWorkRoutes()
	s.deadLetterRoutes()
}

// forwardAsker is who asks for forwarding targets. Who reaches everything looks
// after everybody's.
func (s *Server) forwardAsker(ctx context.Context) forwarding.Asker {
	a := forwarding.Asker{Manage: seesEverything(ctx)}
	if p := PrincipalFrom(ctx); p != nil {
		a.User = p.UserID
	}
	return a
}

func (s *Server) forwardWorkRoutes() {
	targets, tags := s.deps.Forwarding, []string{"forwarding"}
	for _, x := range []struct {
		id, word, summary string
		on                bool
	}{
		{"pause-forward-target", "pause", "Send nothing to a target until it is resumed; its place stays", false},
		{"resume-forward-target", "resume", "Go on forwarding to a target, from its place on", true},
	} {
		Register(s, huma.Operation{OperationID: x.id, Method: http.MethodPost, Path: "/forwarding/targets/{id}/" + x.word, Tags: tags,
			Summary: x.summary, Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
			func(ctx context.Context, in *ByID) (*Body[forwarding.Target], error) {
				AuditObject(ctx, "forward-target:"+in.ID, "", "")
				t, err := targets.Enable(ctx, s.forwardAsker(ctx), in.ID, x.on)
				AuditObject(ctx, "forward-target:"+in.ID, t.Tenant, t.Name)
				return Reply(t), err
			})
	}
	Register(s, huma.Operation{OperationID: "test-forward-target", Method: http.MethodPost, Path: "/forwarding/targets/{id}/test", Tags: tags,
		Summary: "See whether a target works, by one event that is marked as a test", Errors: []int{404, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[forwarding.TestResult], error) {
			AuditObject(ctx, "forward-target:"+in.ID, "", "")
			r, err := targets.Test(ctx, s.forwardAsker(ctx), in.ID, nil, nil)
			return Reply(r), err
		})
	Register(s, huma.Operation{OperationID: "rewind-forward-target", Method: http.MethodPost, Path: "/forwarding/targets/{id}/rewind", Tags: tags,
		Summary: "Put a target to where events came at a time: what came since is sent again, or what is left out is not sent at all", Errors: []int{404, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				To string `json:"to" maxLength:"64" doc:"RFC 3339, now or beginning"`
			}
		}) (*Body[forwarding.Target], error) {
			AuditObject(ctx, "forward-target:"+in.ID, "", "to "+clip(in.Body.To, 64))
			t, err := targets.Rewind(ctx, s.forwardAsker(ctx), in.ID, in.Body.To)
			return Reply(t), err
		})
}

func (s *Server) forwardFileRoutes() {
	targets, tags := s.deps.Forwarding, []string{"forwarding"}
	Register(s, huma.Operation{OperationID: "export-forward-targets", Method: http.MethodGet, Path: "/forwarding/export", Tags: tags,
		Summary: "Forwarding targets as a file that can be imported again, without their secrets", Responses: fileResponses()}, identity.ScopeConfigure,
		func(ctx context.Context, in *FileInput) (*huma.StreamResponse, error) {
			out, err := targets.Export(ctx, s.forwardAsker(ctx), in.Format == formatYAML)
			if err != nil {
				return nil, err
			}
			return fileAnswer("forwarding", in.Format, out), nil
		})
	Register(s, huma.Operation{OperationID: "import-forward-targets", Method: http.MethodPost, Path: "/forwarding/import", Tags: tags,
		Summary: "Add and change forwarding targets from a file, in my name", MaxBodyBytes: forwarding.MaxFile, SkipValidateBody: true, Errors: []int{413, 422},
		Description: "A target that lacks a secret it needs is disabled until that is given."}, identity.ScopeConfigure,
		func(ctx context.Context, in *ImportInput) (*Body[forwarding.Imported], error) {
			o, err := s.exportOwner(ctx)
			if err != nil {
				return nil, err
			}
			r, err := targets.Import(ctx, s.forwardAsker(ctx), o, in.RawBody, in.Format == formatYAML, in.DryRun)
			AuditObject(ctx, "forward-targets", "", strconv.Itoa(len(r.Created))+" created, "+strconv.Itoa(len(r.Updated))+" updated, "+strconv.Itoa(len(r.Failed))+" refused")
			stateOf(ctx).skipAudit = in.DryRun
			return Reply(r), err
		})
}

func (s *Server) deadLetterRoutes() {
	targets, tags := s.deps.Forwarding, []string{"forwarding"}
	Register(s, huma.Operation{OperationID: "list-forward-dead-letters", Method: http.MethodGet, Path: "/forwarding/targets/{id}/dead-letters", Tags: tags,
		Summary: "Events that a target does not want, and why", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			PageInput
		}) (*Body[Page[forwarding.Letter]], error) {
			list, total, next, err := targets.Letters(ctx, s.forwardAsker(ctx), in.ID, in.Cursor, in.Limit)
			return Reply(PageOf(list, total, next)), err
		})
	for _, x := range []struct {
		id, word, summary string
		do                func(context.Context, forwarding.Asker, string, forwarding.Choice) (forwarding.Done, error)
	}{
		{"retry-forward-dead-letters", "retry", "Send events again that a target did not want", targets.Retry},
		{"discard-forward-dead-letters", "discard", "Give up events that a target does not want; they stay in the lake", targets.Discard},
	} {
		Register(s, huma.Operation{OperationID: x.id, Method: http.MethodPost, Path: "/forwarding/targets/{id}/dead-letters/" + x.word, Tags: tags,
			Summary: x.summary, Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
			func(ctx context.Context, in *struct {
				ByID
				Body forwarding.Choice
			}) (*Body[forwarding.Done], error) {
				done, err := x.do(ctx, s.forwardAsker(ctx), in.ID, in.Body)
				AuditObject(ctx, "forward-target:"+in.ID, "", strconv.Itoa(done.Done)+" done, "+strconv.Itoa(done.Failed)+" failed")
				return Reply(done), err
			})
	}
	Register(s, huma.Operation{OperationID: "export-forward-dead-letters", Method: http.MethodGet, Path: "/forwarding/targets/{id}/dead-letters/export", Tags: tags,
		Summary: "Events that a target does not want, as lines of JSON, with what I may see of them", Errors: []int{404}, Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{typeNDJSON: {Schema: &huma.Schema{Type: "string"}}}}}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			PageInput
		}) (*huma.StreamResponse, error) {
			list, _, _, err := targets.Letters(ctx, s.forwardAsker(ctx), in.ID, in.Cursor, in.Limit)
			if err != nil {
				return nil, err
			}
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			if !s.may(ctx, "search") {
				return nil, Problem(http.StatusForbidden, "the events themselves are for those who may search")
			}
			var out []byte
			for _, l := range list {
				row, err := s.deps.Search.Event(ctx, within, l.Event)
				if err != nil && !errors.Is(err, search.ErrNotFound) {
					return nil, err
				}
				line, err := json.Marshal(struct {
					forwarding.Letter
					Row json.RawMessage `json:"row"` // null where it is gone, or not for the asker
				}{l, row})
				if err != nil {
					return nil, err
				}
				out = append(append(out, line...), '\n')
			}
			return bodyAnswer(typeNDJSON, out), nil
		})
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/collectors/webbody"
	"icewatch/soc/identity"
	"icewatch/ticketing/source"
)

// hookPath is where other systems send their alerts. The key is the source's
// token, or the source's id with the token in the Authorization header: many
// senders can give nothing but a URL.
const hookPath = "/alert-hooks/:key"

// hookKey is the key of a request to an alert source.
func hookKey(c *fiber.Ctx) (key string, ok bool) {
	if c.Method() != http.MethodPost || !matchesPublic(hookPath, c.Path()) && !matchesPublic(hookPath+"/api/v2/alerts", c.Path()) {
		return "", false
	}
	return strings.Clone(strings.Split(c.Path(), "/")[2]), true
}

// admitHook lets in who sends to an alert source. The credential is looked at
// before the body is read, and the key stands in no log.
func (s *Server) admitHook(c *fiber.Ctx, st *reqState, key string) error {
	cred := parseCredential(c.Get(fiber.HeaderAuthorization), "")
	id, ok := "", false
	if s.deps.AlertSources != nil {
		id, ok = s.deps.AlertSources.Known(key, cred.secret)
	}
	if !ok {
		if answered, err := s.limit(c, st); answered {
			return err
		}
		s.discardBody(c)
		s.noteRefusal(st, "POST /alert-hooks", "no alert source has this address and token")
		return writeProblem(c, http.StatusUnauthorized, "no alert source has this address and token")
	}
	st.intake, st.skipAudit, st.object = true, true, "alert-source:"+id
	return s.admit(c, source.MaxMessage)
}

// AlertSourceBody is a source as it is written. It is exported because inputs
// embed it.
type AlertSourceBody struct {
	source.Content
	Secrets source.Secrets `json:"secrets,omitempty" doc:"password; what is left out stays as it is, an empty one is removed"`
}

// newAlertSource is a source with the token that is told once.
type newAlertSource struct {
	Source source.View `json:"source"`
	Token  string      `json:"token" doc:"Told this once: whoever has it can raise alerts here"`
	Path   string      `json:"path" doc:"Where a sender posts to that can give no header: the token is in it"`
	Mail   string      `json:"mail,omitempty" doc:"Where mail for it goes"`
}

// sourceAsker is who asks for alert sources.
func sourceAsker(ctx context.Context) (source.Asker, error) {
	within, err := Reach(ctx, "")
	return source.Asker{Name: Actor(ctx), Within: within}, err
}

// sourceProblem says a refusal as a problem.
func sourceProblem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, source.ErrNotFound):
		return Problem(http.StatusNotFound, "there is no such alert source or template, or it is not within your reach")
	case errors.Is(err, source.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, source.ErrInvalid, ""))
	case errors.Is(err, source.ErrConflict):
		return Problem(http.StatusConflict, "%s", plain(err, source.ErrConflict, ""))
	}
	return err
}

// answered makes an answer of what the room of sources answered.
func answered[T any](v T, err error) (*Body[T], error) {
	if err != nil {
		return nil, sourceProblem(err)
	}
	return Reply(v), nil
}

func (s *Server) madeSource(v source.View, token string, err error) (*Body[newAlertSource], error) {
	out := newAlertSource{Source: v, Token: token, Path: strings.Replace(hookPath, ":key", token, 1)}
	if v.Kind == source.KindMail {
		out.Mail = s.deps.AlertSources.MailAddress(token)
	}
	return answered(out, err)
}

// alertSourceRoutes registers what other systems send to, and what administers
// it.
func (s *Server) alertSourceRoutes() {
	if s.deps.AlertSources == nil {
		return
	}
	s.handle(http.MethodPost, hookPath, "alert-hook", scopePublic, s.takeHook)
	s.handle(http.MethodPost, hookPath+"/api/v2/alerts", "alert-hook", scopePublic, s.takeHook)
	s.alertSourceFiles() // before the routes by id
	s.alertTemplateRoutes()
	s.alertSourceDrafts()
	s.alertSourceCare()
	s.alertMessageRoutes()
}

// takeHook takes in a message. What is answered with 200 or 202 is durable; 202
// says that something of it could not be mapped, and waits to be replayed.
func (s *Server) takeHook(c *fiber.Ctx) error {
	st := stateOf(c.UserContext())
	id := strings.TrimPrefix(st.object, "alert-source:")
	body, err := webbody.Read(c, webbody.Limits{MaxBody: source.MaxMessage, MaxDecoded: source.MaxMessage})
	if err != nil {
		var r *webbody.Refusal
		if errors.As(err, &r) {
			return writeProblem(c, r.Status, r.Reason)
		}
		return err
	}
	defer body.Release()
	msg := source.Message{Body: append([]byte(nil), body.Bytes...), Meta: map[string]string{"peer": st.address, "user_agent": st.userAgent, "content_type": clip(c.Get(fiber.HeaderContentType), 100)}}
	receipt, err := s.deps.AlertSources.Push(c.UserContext(), id, msg)
	switch {
	case errors.Is(err, source.ErrSeal):
		s.noteRefusal(st, st.object, err.Error())
		return writeProblem(c, http.StatusForbidden, err.Error())
	case errors.Is(err, source.ErrDisabled), errors.Is(err, source.ErrNotFound):
		c.Set(fiber.HeaderRetryAfter, "60")
		return writeProblem(c, http.StatusServiceUnavailable, "the alert source is disabled: send it again later")
	case errors.Is(err, source.ErrInvalid):
		return writeProblem(c, http.StatusUnprocessableEntity, plain(err, source.ErrInvalid, ""))
	case err != nil:
		s.log.Error("alert sources: a message is not taken, and its sender is told to send it again", "source", id, "request_id", st.requestID, "error", err)
		c.Set(fiber.HeaderRetryAfter, "5")
		return writeProblem(c, http.StatusServiceUnavailable, "the message cannot be taken now: send it again")
	}
	status := http.StatusOK
	if receipt.Failed > 0 {
		status = http.StatusAccepted
	}
	return c.Status(status).JSON(receipt)
}

func (s *Server) alertSourceFiles() {
	sources, tags := s.deps.AlertSources, []string{"alert-sources"}
	Register(s, huma.Operation{OperationID: "export-alert-sources", Method: http.MethodGet, Path: "/alert-sources/export", Tags: tags,
		Summary:   "Alert sources, and the templates of ours that they go by, as a file that can be imported again, without secrets and tokens",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{typeYAML: {Schema: &huma.Schema{Type: "string"}}}}}}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*huma.StreamResponse, error) {
			a, err := sourceAsker(ctx)
			if err != nil {
				return nil, err
			}
			out, err := sources.Export(ctx, a)
			if err != nil {
				return nil, err
			}
			return bodyAnswer(typeYAML, out), nil
		})
	Register(s, huma.Operation{OperationID: "import-alert-sources", Method: http.MethodPost, Path: "/alert-sources/import", Tags: tags,
		Summary: "Add and change alert sources from a file", MaxBodyBytes: source.MaxFile, SkipValidateBody: true, Errors: []int{413, 422},
		Description: "A source that lacks a secret it needs is disabled until that is given. The tokens of those that are made are told this once."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			DryRun  bool   `query:"dry_run" doc:"Only say what would be done"`
			RawBody []byte `contentType:"application/yaml"`
		}) (*Body[source.Imported], error) {
			a, err := sourceAsker(ctx)
			if err != nil {
				return nil, err
			}
			r, err := sources.Import(ctx, a, in.RawBody, in.DryRun)
			AuditObject(ctx, "alert-sources", "", strconv.Itoa(len(r.Created))+" created, "+strconv.Itoa(len(r.Updated))+" updated, "+strconv.Itoa(len(r.Failed))+" refused")
			stateOf(ctx).skipAudit = in.DryRun
			return answered(r, err)
		})
}

// alertTemplate is a template with its earlier versions.
type alertTemplate struct {
	source.Kept
	Versions []source.Kept `json:"versions" nullable:"false" doc:"Of the operator's, the newest first"`
}

func (s *Server) alertTemplateRoutes() {
	sources, tags := s.deps.AlertSources, []string{"alert-sources"}
	Register(s, huma.Operation{OperationID: "list-alert-templates", Method: http.MethodGet, Path: "/alert-sources/templates", Tags: tags,
		Summary: "Templates by which messages of other systems are read as alerts"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[Page[source.Kept]], error) {
			list, err := sources.Templates(ctx)
			return answered(PageOf(list, len(list), ""), err)
		})
	Register(s, huma.Operation{OperationID: "list-alert-fields", Method: http.MethodGet, Path: "/alert-sources/fields", Tags: tags,
		Summary: "The alert schema: every field that a mapping may fill, those of the operator at the end (setting alert-fields)"}, identity.ScopeConfigure,
		func(context.Context, *Empty) (*Body[Page[source.Field]], error) {
			list := sources.Dictionary().Fields()
			return Reply(PageOf(list, len(list), "")), nil
		})
	Register(s, huma.Operation{OperationID: "get-alert-template", Method: http.MethodGet, Path: "/alert-sources/templates/{id}", Tags: tags,
		Summary: "A template as it is written, and its earlier versions", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[alertTemplate], error) {
			k, versions, err := sources.GetTemplate(ctx, in.ID)
			return answered(alertTemplate{k, versions}, err)
		})
	Register(s, huma.Operation{OperationID: "put-alert-template", Method: http.MethodPut, Path: "/alert-sources/templates", Tags: tags,
		Summary: "Keep a template of our own, as YAML: the next version of its id. Sources that go by it follow at once", MaxBodyBytes: 1 << 20, Errors: []int{403, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				YAML string `json:"yaml" maxLength:"262144"`
			}
		}) (*Body[source.Kept], error) {
			a, err := templateAuthor(ctx)
			if err != nil {
				return nil, err
			}
			k, err := sources.PutTemplate(ctx, a, in.Body.YAML)
			AuditObject(ctx, "alert-template:"+k.ID, "", "version "+strconv.Itoa(k.Version))
			return answered(k, err)
		})
	Register(s, huma.Operation{OperationID: "delete-alert-template", Method: http.MethodDelete, Path: "/alert-sources/templates/{id}", Tags: tags,
		Summary: "Take a template of our own away; its versions stay and can be put again", DefaultStatus: http.StatusNoContent, Errors: []int{403, 404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "alert-template:"+in.ID, "", "")
			a, err := templateAuthor(ctx)
			if err != nil {
				return nil, err
			}
			return nil, sourceProblem(sources.DeleteTemplate(ctx, a, in.ID))
		})
}

// templateAuthor is who changes templates: they are everybody's.
func templateAuthor(ctx context.Context) (source.Asker, error) {
	a, err := sourceAsker(ctx)
	if err == nil && !a.Within.Everything() {
		err = Problem(http.StatusForbidden, "templates are shared by all tenants: this needs the reach over all; a source of yours can say in its mapping what is otherwise")
	}
	return a, err
}

// AlertSourceDraft is a source that is not kept yet. It is exported because
// inputs embed it.
type AlertSourceDraft struct {
	AlertSourceBody
	ID     string `json:"id,omitempty" maxLength:"64" doc:"Of a source whose secrets are taken where none are given, and whose last messages are shown without a sample"`
	Sample string `json:"sample,omitempty" maxLength:"8388608" doc:"A message; by default the source's last ones, or the template's own"`
}

func (s *Server) alertSourceDrafts() {
	sources, tags := s.deps.AlertSources, []string{"alert-sources"}
	Register(s, huma.Operation{OperationID: "preview-alert-source", Method: http.MethodPost, Path: "/alert-sources/preview", Tags: tags,
		Summary: "See what a source would make of a message, with what the CMDB adds, without keeping anything", MaxBodyBytes: 16 << 20, Errors: []int{404, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body AlertSourceDraft }) (*Body[Page[source.Sampled]], error) {
			stateOf(ctx).skipAudit = true
			a, err := sourceAsker(ctx)
			if err != nil {
				return nil, err
			}
			list, err := sources.Preview(ctx, a, in.Body.ID, in.Body.Content, in.Body.Sample)
			return answered(PageOf(list, len(list), ""), err)
		})
	Register(s, huma.Operation{OperationID: "test-alert-source", Method: http.MethodPost, Path: "/alert-sources/test", Tags: tags,
		Summary: "See whether a source would work: the brokers answer, the filter can be read, the mapping makes alerts of the template's sample", MaxBodyBytes: 16 << 20, Errors: []int{404, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body AlertSourceDraft }) (*Body[source.Tested], error) {
			AuditObject(ctx, "alert-source:"+clip(in.Body.Name, 64), in.Body.Tenant, "a draft")
			a, err := sourceAsker(ctx)
			if err != nil {
				return nil, err
			}
			r, err := sources.Test(ctx, a, in.Body.ID, in.Body.Content, in.Body.Secrets)
			return answered(r, err)
		})
}

func (s *Server) alertSourceCare() {
	sources, tags := s.deps.AlertSources, []string{"alert-sources"}
	Register(s, huma.Operation{OperationID: "list-alert-sources", Method: http.MethodGet, Path: "/alert-sources", Tags: tags,
		Summary: "Systems whose alerts are taken in, and how each fares"}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			PageInput
			Q       string `query:"q" maxLength:"200" doc:"Part of the name or the description"`
			Kind    string `query:"kind" enum:"webhook,alertmanager,kafka,mail,events"`
			State   string `query:"state" enum:"ok,idle,silent,error,unmapped,disabled,broken"`
			Removed bool   `query:"removed" doc:"Those that were deleted and can be restored, instead"`
		}) (*Body[Page[source.View]], error) {
			a, err := sourceAsker(ctx)
			if err != nil {
				return nil, err
			}
			list, err := sources.List(ctx, a, source.Query{Text: in.Q, Kind: in.Kind, State: in.State, Removed: in.Removed})
			if err != nil {
				return nil, err
			}
			return pageFrom(list, in.PageInput)
		})
	Register(s, huma.Operation{OperationID: "create-alert-source", Method: http.MethodPost, Path: "/alert-sources", Tags: tags,
		Summary: "Take in the alerts of another system", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body AlertSourceBody }) (*Body[newAlertSource], error) {
			a, err := sourceAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, token, err := sources.Create(ctx, a, in.Body.Content, in.Body.Secrets)
			AuditObject(ctx, "alert-source:"+v.ID, in.Body.Tenant, clip(in.Body.Name, 200))
			if err == nil {
				AuditChange(ctx, nil, v.Content)
			}
			return s.madeSource(v, token, err)
		})
	Register(s, huma.Operation{OperationID: "get-alert-source", Method: http.MethodGet, Path: "/alert-sources/{id}", Tags: tags,
		Summary: "One alert source", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[source.View], error) {
			a, err := sourceAsker(ctx)
			if err != nil {
				return nil, err
			}
			return answered(sources.Get(ctx, a, in.ID))
		})
	Register(s, huma.Operation{OperationID: "update-alert-source", Method: http.MethodPut, Path: "/alert-sources/{id}", Tags: tags,
		Summary: "Replace what a source says, where its revision is still the one that was read", Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body struct {
				AlertSourceBody
				Revision int64 `json:"revision" minimum:"1"`
			}
		}) (*Body[source.View], error) {
			AuditObject(ctx, "alert-source:"+in.ID, in.Body.Tenant, clip(in.Body.Name, 200))
			a, err := sourceAsker(ctx)
			if err != nil {
				return nil, err
			}
			before, after, err := sources.Update(ctx, a, in.ID, in.Body.Revision, in.Body.Content, in.Body.Secrets)
			if err == nil {
				AuditChange(ctx, before.Content, after.Content)
			}
			return answered(after, err)
		})
	for _, x := range []struct {
		id, method, word, summary string
		do                        func(ctx context.Context, a source.Asker, id string) (source.View, error)
	}{
		{"enable-alert-source", http.MethodPost, "/enable", "Take in a source's messages from now on",
			func(ctx context.Context, a source.Asker, id string) (source.View, error) {
				return sources.Enable(ctx, a, id, true)
			}},
		{"disable-alert-source", http.MethodPost, "/disable", "Take in nothing of a source: senders are told to send it again, what is fetched waits where it is",
			func(ctx context.Context, a source.Asker, id string) (source.View, error) {
				return sources.Enable(ctx, a, id, false)
			}},
		{"delete-alert-source", http.MethodDelete, "", "Delete a source; its alerts end. It can be restored for 30 days", sources.Delete},
		{"restore-alert-source", http.MethodPost, "/restore", "Bring a source back that was deleted", sources.Restore},
	} {
		Register(s, huma.Operation{OperationID: x.id, Method: x.method, Path: "/alert-sources/{id}" + x.word, Tags: tags, Summary: x.summary, Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
			func(ctx context.Context, in *ByID) (*Body[source.View], error) {
				AuditObject(ctx, "alert-source:"+in.ID, "", "")
				a, err := sourceAsker(ctx)
				if err != nil {
					return nil, err
				}
				v, err := x.do(ctx, a, in.ID)
				AuditObject(ctx, "alert-source:"+in.ID, v.Tenant, v.Name)
				return answered(v, err)
			})
	}
	Register(s, huma.Operation{OperationID: "renew-alert-source-token", Method: http.MethodPost, Path: "/alert-sources/{id}/token", Tags: tags,
		Summary: "Give a source a new token; the one before is worth nothing at once", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[newAlertSource], error) {
			AuditObject(ctx, "alert-source:"+in.ID, "", "")
			a, err := sourceAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, token, err := sources.Renew(ctx, a, in.ID)
			return s.madeSource(v, token, err)
		})
}

func (s *Server) alertMessageRoutes() {
	sources, tags := s.deps.AlertSources, []string{"alert-sources"}
	type asked struct {
		ByID
		PageInput
		State string `query:"state" enum:"mapped,failed,discarded"`
	}
	list := func(ctx context.Context, in *asked, whole bool) ([]source.Letter, int, string, error) {
		a, err := sourceAsker(ctx)
		if err != nil {
			return nil, 0, "", err
		}
		list, total, next, err := sources.Messages(ctx, a, in.ID, in.State, in.Cursor, in.Limit, whole)
		return list, total, next, sourceProblem(err)
	}
	Register(s, huma.Operation{OperationID: "list-alert-messages", Method: http.MethodGet, Path: "/alert-sources/{id}/messages", Tags: tags,
		Summary: "The last messages of a source as they came, and those that could not be mapped, with the reasons", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			PageInput
			State string `query:"state" enum:"mapped,failed,discarded"`
		}) (*Body[Page[source.Letter]], error) {
			l, total, next, err := list(ctx, &asked{in.ByID, in.PageInput, in.State}, false)
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(l, total, next)), nil
		})
	Register(s, huma.Operation{OperationID: "export-alert-messages", Method: http.MethodGet, Path: "/alert-sources/{id}/messages/export", Tags: tags,
		Summary: "Messages of a source as lines of JSON, whole", Errors: []int{404}, Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{typeNDJSON: {Schema: &huma.Schema{Type: "string"}}}}}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			PageInput
			State string `query:"state" enum:"mapped,failed,discarded"`
		}) (*huma.StreamResponse, error) {
			l, _, _, err := list(ctx, &asked{in.ByID, in.PageInput, in.State}, true)
			if err != nil {
				return nil, err
			}
			var out []byte
			for _, one := range l {
				line, err := json.Marshal(one)
				if err != nil {
					return nil, err
				}
				out = append(append(out, line...), '\n')
			}
			return bodyAnswer(typeNDJSON, out), nil
		})
	for _, x := range []struct {
		id, word, summary string
		do                func(context.Context, source.Asker, string, source.Choice) (source.Handled, error)
	}{
		{"replay-alert-messages", "replay", "Map messages again that could not be mapped, as of when they came", sources.Replay},
		{"discard-alert-messages", "discard", "Give up messages that could not be mapped", sources.Discard},
	} {
		Register(s, huma.Operation{OperationID: x.id, Method: http.MethodPost, Path: "/alert-sources/{id}/messages/" + x.word, Tags: tags,
			Summary: x.summary, Errors: []int{404, 422}}, identity.ScopeConfigure,
			func(ctx context.Context, in *struct {
				ByID
				Body source.Choice
			}) (*Body[source.Handled], error) {
				a, err := sourceAsker(ctx)
				if err != nil {
					return nil, err
				}
				done, err := x.do(ctx, a, in.ID, in.Body)
				AuditObject(ctx, "alert-source:"+in.ID, "", strconv.Itoa(done.Done)+" done, "+strconv.Itoa(done.Failed)+" failed")
				return answered(done, err)
			})
	}
}

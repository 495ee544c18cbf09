package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/inputs"
)

// inputAsker is who asks for inputs.
func inputAsker(ctx context.Context) (inputs.Asker, error) {
	within, err := Reach(ctx, "")
	return inputs.Asker{Name: Actor(ctx), Within: within}, err
}

// inputProblem says a refusal as a problem; what is wrong with an input names
// each field.
func inputProblem(err error) error {
	var bad *inputs.Invalid
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		p := &huma.ErrorModel{Status: http.StatusUnprocessableEntity, Title: http.StatusText(http.StatusUnprocessableEntity), Detail: plain(err, inputs.ErrInvalid, "")}
		for _, f := range bad.Faults {
			p.Errors = append(p.Errors, &huma.ErrorDetail{Location: "body." + f.Field, Message: f.Message})
		}
		return p
	case errors.Is(err, inputs.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", inputs.ErrNotFound)
	case errors.Is(err, inputs.ErrForbidden):
		return Problem(http.StatusForbidden, "%s", plain(err, inputs.ErrForbidden, ""))
	case errors.Is(err, inputs.ErrConflict):
		return Problem(http.StatusConflict, "%s", plain(err, inputs.ErrConflict, ""))
	}
	return err
}

// ofInput makes an answer of what the room of inputs answered.
func ofInput[T any](v T, err error) (*Body[T], error) {
	if err != nil {
		return nil, inputProblem(err)
	}
	return Reply(v), nil
}

// inputRoutes registers the sources that administrators add while the suite
// runs.
func (s *Server) inputRoutes() {
	if s.deps.Inputs == nil {
		return
	}
	room, tags := s.deps.Inputs, []string{"inputs"}
	Register(s, huma.Operation{OperationID: "list-input-kinds", Method: http.MethodGet, Path: "/inputs/kinds", Tags: tags,
		Summary: "The kinds of input that I may have, with the schema of the settings of each"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[Page[inputs.Kind]], error) {
			a, err := inputAsker(ctx)
			if err != nil {
				return nil, err
			}
			list := room.Kinds(a)
			return Reply(PageOf(list, len(list), "")), nil
		})
	s.inputFileRoutes() // before the routes by id
	s.inputTrialRoute()
	Register(s, huma.Operation{OperationID: "list-inputs", Method: http.MethodGet, Path: "/inputs", Tags: tags,
		Summary: "Sources that were added while the suite runs, and how each fares"}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			PageInput
			Q       string `query:"q" maxLength:"200" doc:"Part of the name, the note, the kind or a tag"`
			Kind    string `query:"kind" maxLength:"64"`
			Tenant  string `query:"tenant" maxLength:"63"`
			State   string `query:"state" enum:"ok,error,off"`
			Deleted bool   `query:"deleted" doc:"Those that were deleted and can be restored, instead"`
		}) (*Body[Page[inputs.View]], error) {
			a, err := inputAsker(ctx)
			if err != nil {
				return nil, err
			}
			list, err := room.List(ctx, a, inputs.Query{Text: in.Q, Kind: in.Kind, Tenant: in.Tenant, State: in.State, Deleted: in.Deleted})
			if err != nil {
				return nil, err
			}
			return pageFrom(list, in.PageInput)
		})
	Register(s, huma.Operation{OperationID: "create-input", Method: http.MethodPost, Path: "/inputs", Tags: tags, MaxBodyBytes: 1 << 20,
		Summary: "Add a source, and start it where it is enabled", DefaultStatus: http.StatusCreated, Errors: []int{409, 422},
		Description: "What listens on this machine or reads its files needs the reach over all tenants; what reaches out needs a tenant that lies wholly within reach."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body inputs.Content }) (*Body[inputs.View], error) {
			AuditObject(ctx, "input:"+clip(in.Body.Name, 64), in.Body.Tenant, clip(in.Body.Kind, 64))
			a, err := inputAsker(ctx)
			if err != nil {
				return nil, err
			}
			v, err := room.Create(ctx, a, in.Body)
			if err == nil {
				AuditObject(ctx, "input:"+v.ID, v.Tenant, v.Kind+" "+clip(v.Name, 200))
				AuditChange(ctx, nil, v.Content)
			}
			return ofInput(v, err)
		})
	Register(s, huma.Operation{OperationID: "get-input", Method: http.MethodGet, Path: "/inputs/{id}", Tags: tags,
		Summary: "One source with its settings, without secrets", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*Body[inputs.View], error) {
			a, err := inputAsker(ctx)
			if err != nil {
				return nil, err
			}
			return ofInput(room.Get(ctx, a, in.ID))
		})
	Register(s, huma.Operation{OperationID: "update-input", Method: http.MethodPut, Path: "/inputs/{id}", Tags: tags, MaxBodyBytes: 1 << 20,
		Summary: "Replace what a source says, where its revision is still the one that was read; it alone is restarted", Errors: []int{404, 409, 422},
		Description: "Secrets that are left out stay. Where the address or its protection changes, they have to be given again."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByID
			Body InputUpdate
		}) (*Body[inputs.View], error) {
			AuditObject(ctx, "input:"+in.ID, in.Body.Tenant, clip(in.Body.Name, 200))
			a, err := inputAsker(ctx)
			if err != nil {
				return nil, err
			}
			before, after, err := room.Update(ctx, a, in.ID, in.Body.Revision, in.Body.Content)
			if err == nil {
				AuditChange(ctx, before, after.Content)
			}
			return ofInput(after, err)
		})
	Register(s, huma.Operation{OperationID: "delete-input", Method: http.MethodDelete, Path: "/inputs/{id}", Tags: tags,
		Summary: "Stop a source and take it away; it can be restored for a week", DefaultStatus: http.StatusNoContent, Errors: []int{404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "input:"+in.ID, "", "")
			a, err := inputAsker(ctx)
			if err != nil {
				return nil, err
			}
			before, err := room.Delete(ctx, a, in.ID)
			if err == nil {
				AuditObject(ctx, "input:"+in.ID, before.Tenant, clip(before.Name, 200))
				AuditChange(ctx, before, nil)
			}
			return nil, inputProblem(err)
		})
	for _, x := range []struct {
		id, word, summary string
		do                func(context.Context, inputs.Asker, string) (inputs.View, error)
	}{
		{"pause-input", "pause", "Stop a source until it is resumed; how far it was read stays", func(ctx context.Context, a inputs.Asker, id string) (inputs.View, error) {
			return room.Enable(ctx, a, id, false)
		}},
		{"resume-input", "resume", "Start a source again, from where it was read to", func(ctx context.Context, a inputs.Asker, id string) (inputs.View, error) {
			return room.Enable(ctx, a, id, true)
		}},
		{"restart-input", "restart", "Stop a source and start it at once, without the pause after a failure", room.Restart},
		{"restore-input", "restore", "Bring back a source that was deleted", room.Restore},
	} {
		Register(s, huma.Operation{OperationID: x.id, Method: http.MethodPost, Path: "/inputs/{id}/" + x.word, Tags: tags,
			Summary: x.summary, Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
			func(ctx context.Context, in *ByID) (*Body[inputs.View], error) {
				AuditObject(ctx, "input:"+in.ID, "", "")
				a, err := inputAsker(ctx)
				if err != nil {
					return nil, err
				}
				v, err := x.do(ctx, a, in.ID)
				AuditObject(ctx, "input:"+in.ID, v.Tenant, clip(v.Name, 200))
				return ofInput(v, err)
			})
	}
}

// InputUpdate is an input as it is changed. It is exported because inputs embed
// it.
type InputUpdate struct {
	inputs.Content
	Revision int64 `json:"revision" minimum:"1"`
}

// InputDraft is an input that is not kept yet.
type InputDraft struct {
	inputs.Content
	ID string `json:"id,omitempty" maxLength:"64" doc:"Of an input whose secrets are taken where none are given, if its address is the same"`
}

// triedRecord is a record of a trial with how it would be read.
type triedRecord struct {
	Text string     `json:"text"`
	Read *Explained `json:"read,omitempty" doc:"What the parsers make of it"`
}

// inputTrial is what a test of an input found.
type inputTrial struct {
	inputs.Trial
	Read []triedRecord `json:"read" nullable:"false" doc:"The records with what the parsers make of each"`
}

func (s *Server) inputTrialRoute() {
	room := s.deps.Inputs
	Register(s, huma.Operation{OperationID: "try-input", Method: http.MethodPost, Path: "/inputs/try", Tags: []string{"inputs"}, MaxBodyBytes: 1 << 20,
		Summary: "Test a source without keeping it: reach it, look, and show the first records and how they would be read", Errors: []int{404, 409, 422},
		Description: "Nothing is kept, acknowledged or moved. It takes 20 seconds at most."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body InputDraft }) (*Body[inputTrial], error) {
			AuditObject(ctx, "input:"+clip(in.Body.Name, 64), in.Body.Tenant, "a trial of "+clip(in.Body.Kind, 64))
			a, err := inputAsker(ctx)
			if err != nil {
				return nil, err
			}
			t, err := room.Try(ctx, a, in.Body.ID, in.Body.Content)
			if err != nil {
				return nil, inputProblem(err)
			}
			out := inputTrial{Trial: t, Read: []triedRecord{}}
			for _, r := range t.Records {
				tried := triedRecord{Text: r}
				if s.deps.Parsers != nil && strings.TrimSpace(r) != "" {
					read := s.deps.Parsers.Explain(r)
					tried.Read = &read
				}
				out.Read = append(out.Read, tried)
			}
			return Reply(out), nil
		})
}

func (s *Server) inputFileRoutes() {
	room, tags := s.deps.Inputs, []string{"inputs"}
	Register(s, huma.Operation{OperationID: "export-inputs", Method: http.MethodGet, Path: "/inputs/export", Tags: tags,
		Summary: "Sources as a file that can be imported again, without their secrets", Responses: fileResponses()}, identity.ScopeConfigure,
		func(ctx context.Context, in *FileInput) (*huma.StreamResponse, error) {
			a, err := inputAsker(ctx)
			if err != nil {
				return nil, err
			}
			out, err := room.Export(ctx, a, in.Format == formatYAML)
			if err != nil {
				return nil, inputProblem(err)
			}
			return fileAnswer("inputs", in.Format, out), nil
		})
	Register(s, huma.Operation{OperationID: "import-inputs", Method: http.MethodPost, Path: "/inputs/import", Tags: tags,
		Summary: "Add and change sources from a file", MaxBodyBytes: inputs.MaxFile, SkipValidateBody: true, Errors: []int{413, 422},
		Description: "One of the same name is changed where it differs; none is deleted. One that lacks a secret is paused until that is given; secrets may stand in the settings."}, identity.ScopeConfigure,
		func(ctx context.Context, in *ImportInput) (*Body[inputs.Imported], error) {
			a, err := inputAsker(ctx)
			if err != nil {
				return nil, err
			}
			r, err := room.Import(ctx, a, in.RawBody, in.Format == formatYAML, in.DryRun)
			AuditObject(ctx, "inputs", "", strconv.Itoa(len(r.Created))+" created, "+strconv.Itoa(len(r.Updated))+" updated, "+strconv.Itoa(len(r.Failed))+" refused: "+clip(strings.Join(append(r.Created, r.Updated...), ", "), 1000))
			stateOf(ctx).skipAudit = in.DryRun
			return ofInput(r, err)
		})
}

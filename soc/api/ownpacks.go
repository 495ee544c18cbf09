package api

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/pipeline/packbook"
)

// packText is a pack as it is written.
type packText struct {
	ID      string `json:"id"`
	Origin  string `json:"origin" doc:"builtin, own, or the folder that it comes from"`
	Source  string `json:"source" doc:"pack.yml"`
	Samples string `json:"samples" doc:"Lines as the product writes them"`
}

// ByPack names a pack. It is exported because inputs embed it.
type ByPack struct {
	Vendor  string `path:"vendor" maxLength:"64"`
	Product string `path:"product" maxLength:"64"`
}

func (in ByPack) id() string { return in.Vendor + "/" + in.Product }

// OwnPackDraft is a pack as it is made. It is exported because inputs embed it.
type OwnPackDraft struct {
	Source  string `json:"source" maxLength:"524288" doc:"pack.yml"`
	Samples string `json:"samples" maxLength:"524288" doc:"Lines as the product writes them, one of each type of log at least"`
}

// ownPack is a pack of one's own with its versions.
type ownPack struct {
	packbook.Version
	Versions []packbook.Version `json:"versions" nullable:"false" doc:"The newest first"`
}

// keptPack is a pack that was kept, with what was said of it.
type keptPack struct {
	Pack      packbook.Version   `json:"pack"`
	Judgement packbook.Judgement `json:"judgement"`
}

func packProblem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, packbook.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", packbook.ErrNotFound)
	case errors.Is(err, packbook.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, packbook.ErrInvalid, ""))
	case errors.Is(err, packbook.ErrConflict):
		return Problem(http.StatusConflict, "%s", plain(err, packbook.ErrConflict, ""))
	}
	return err
}

// ownPackRoutes registers the packs that people make. They read everybody's
// lines, so they are for those whose reach is the whole suite.
func (s *Server) ownPackRoutes() {
	p, tags := s.deps.Parsers, []string{"parsers"}
	Register(s, huma.Operation{OperationID: "get-parser-pack", Method: http.MethodGet, Path: "/parsers/packs/{vendor}/{product}", Tags: tags,
		Summary: "A parser pack as it is written, with its samples", Errors: []int{404}}, identity.ScopeRead,
		func(_ context.Context, in *struct{ ByPack }) (*Body[packText], error) {
			source, samples, origin, err := p.Text(in.id())
			if errors.Is(err, fs.ErrNotExist) {
				return nil, NotFound("pack", clip(in.id(), 130))
			}
			return Reply(packText{in.id(), origin, string(source), string(samples)}), err
		})
	book := s.deps.OwnPacks
	if book == nil {
		return
	}
	Register(s, huma.Operation{OperationID: "list-own-packs", Method: http.MethodGet, Path: "/parsers/own", Tags: tags,
		Summary: "The parser packs that were made here"}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Deleted bool `query:"deleted" doc:"Those that were deleted and can be restored, instead"`
		}) (*Body[Page[packbook.Version]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list := book.List
			if in.Deleted {
				list = book.Deleted
			}
			out, err := list(ctx)
			return Reply(PageOf(out, len(out), "")), err
		})
	Register(s, huma.Operation{OperationID: "check-own-pack", Method: http.MethodPost, Path: "/parsers/own/{vendor}/{product}/check", Tags: tags, MaxBodyBytes: 2 << 20,
		Summary:     "Judge a parser pack before it is kept",
		Description: "What is wrong with it and where, what each sample becomes, and whose lines it takes."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByPack
			Body OwnPackDraft
		}) (*Body[packbook.Judgement], error) {
			stateOf(ctx).skipAudit = true
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			j, err := book.Check(ctx, in.id(), in.Body.Source, in.Body.Samples)
			return Reply(j), packProblem(err)
		})
	Register(s, huma.Operation{OperationID: "get-own-pack", Method: http.MethodGet, Path: "/parsers/own/{vendor}/{product}", Tags: tags,
		Summary: "A parser pack that was made here, with its versions", Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ ByPack }) (*Body[ownPack], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			versions, err := book.Versions(ctx, in.id())
			if err != nil {
				return nil, packProblem(err)
			}
			return Reply(ownPack{versions[0], versions}), nil
		})
	Register(s, huma.Operation{OperationID: "put-own-pack", Method: http.MethodPut, Path: "/parsers/own/{vendor}/{product}", Tags: tags, MaxBodyBytes: 2 << 20,
		Summary: "Keep a parser pack, as the next version of its name; it is in force within seconds", Errors: []int{409, 422},
		Description: "It is refused where it does not compile, or where a sample does not fall to it."}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByPack
			Body struct {
				OwnPackDraft
				Revision int    `json:"revision,omitempty" minimum:"0" doc:"That was read; 0 for a new pack"`
				Note     string `json:"note,omitempty" maxLength:"500"`
			}
		}) (*Body[keptPack], error) {
			AuditObject(ctx, "parser-pack:"+clip(in.id(), 130), "", clip(in.Body.Note, 200))
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			v, j, err := book.Put(ctx, in.id(), in.Body.Source, in.Body.Samples, Actor(ctx), in.Body.Note, in.Body.Revision)
			if err != nil {
				return nil, packProblem(err)
			}
			AuditObject(ctx, "parser-pack:"+in.id(), "", "version "+strconv.Itoa(v.Revision))
			p.Reload()
			return Reply(keptPack{v, j}), nil
		})
	Register(s, huma.Operation{OperationID: "delete-own-pack", Method: http.MethodDelete, Path: "/parsers/own/{vendor}/{product}", Tags: tags,
		Summary: "Take a parser pack away that was made here; its versions stay", DefaultStatus: http.StatusNoContent, Errors: []int{404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ ByPack }) (*struct{}, error) {
			AuditObject(ctx, "parser-pack:"+clip(in.id(), 130), "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if _, err := book.Delete(ctx, in.id(), Actor(ctx)); err != nil {
				return nil, packProblem(err)
			}
			p.Reload()
			return nil, nil
		})
	Register(s, huma.Operation{OperationID: "restore-own-pack", Method: http.MethodPost, Path: "/parsers/own/{vendor}/{product}/restore", Tags: tags,
		Summary: "Put an earlier version of a parser pack back in force, as a new version", Errors: []int{404, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ByPack
			Body struct {
				Revision int `json:"revision" minimum:"1"`
			}
		}) (*Body[packbook.Version], error) {
			AuditObject(ctx, "parser-pack:"+clip(in.id(), 130), "", "version "+strconv.Itoa(in.Body.Revision))
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			v, err := book.Restore(ctx, in.id(), in.Body.Revision, Actor(ctx))
			if err != nil {
				return nil, packProblem(err)
			}
			p.Reload()
			return Reply(v), nil
		})
}

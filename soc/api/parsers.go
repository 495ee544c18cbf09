package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/unread"
)

// Parsers is what the API needs of the rooms that read logs.
type Parsers interface {
	// Packs lists the packs in force and what is wrong with others.
	Packs() ([]pack.Info, []pack.Problem)
	// Explain reads a line and stores nothing.
	Explain(line string) Explained
	// Text reads a pack as it is written, with its samples; it is
	// fs.ErrNotExist where there is none.
	Text(id string) (source, samples []byte, origin string, err error)
	// Reload takes in what changed in the folders of packs.
	Reload()
	// Unread lists the sources of lines that no parser could read.
	Unread(ctx context.Context) ([]unread.Report, error)
}

// Explained is how a line is read.
type Explained struct {
	Recognised bool            `json:"recognised"`
	Pack       string          `json:"pack" doc:"<vendor>/<product>; empty where a generic parser reads the line, or none."`
	LogType    string          `json:"log_type" doc:"<vendor>/<product>/<name>"`
	Dataset    string          `json:"dataset"`
	Event      json.RawMessage `json:"event" doc:"The event that the line becomes."`
}

// parserList is the packs in force.
type parserList struct {
	Items    []pack.Info    `json:"items" nullable:"false"`
	Products int            `json:"products"`
	LogTypes int            `json:"log_types"`
	Problems []pack.Problem `json:"problems" nullable:"false" doc:"Packs, or parts of them, that are not in force."`
}

const maxSuggestLines = 1000

// parserRoutes registers what there is to know of the parser packs.
func (s *Server) parserRoutes() {
	p := s.deps.Parsers
	if p == nil {
		return
	}
	tags := []string{"parsers"}
	Register(s, huma.Operation{OperationID: "list-parsers", Method: http.MethodGet, Path: "/parsers", Tags: tags,
		Summary: "The parser packs in force, with the types of log that each reads"}, identity.ScopeRead,
		func(context.Context, *Empty) (*Body[parserList], error) {
			packs, problems := p.Packs()
			out := parserList{Items: packs, Products: len(packs), Problems: append([]pack.Problem{}, problems...)}
			for _, i := range packs {
				out.LogTypes += len(i.Logs)
			}
			return Reply(out), nil
		})
	Register(s, huma.Operation{OperationID: "explain-log", Method: http.MethodPost, Path: "/parsers/explain", Tags: tags,
		Summary: "How a line of log is read: by which pack, into which fields. Nothing is stored."}, identity.ScopeRead,
		func(_ context.Context, in *struct {
			Body struct {
				Line string `json:"line" minLength:"1" maxLength:"65536"`
			}
		}) (*Body[Explained], error) {
			return Reply(p.Explain(in.Body.Line)), nil
		})
	Register(s, huma.Operation{OperationID: "suggest-parser", Method: http.MethodPost, Path: "/parsers/suggest", Tags: tags,
		Summary: "Patterns drafted for lines, the one that reads most of them first"}, identity.ScopeRead,
		func(_ context.Context, in *struct {
			Body struct {
				Lines []string `json:"lines" minItems:"1" maxItems:"1000"`
			}
		}) (*Body[Page[pack.Draft]], error) {
			drafts := pack.Suggest(in.Body.Lines[:min(len(in.Body.Lines), maxSuggestLines)])
			return Reply(PageOf(drafts, len(drafts), "")), nil
		})
	Register(s, huma.Operation{OperationID: "list-unread-logs", Method: http.MethodGet, Path: "/parsers/unread", Tags: tags,
		Summary:     "The lines that no parser could read, by source, with a drafted pattern",
		Description: "Of the tenants that are wholly within reach. Whoever sees events through a mask gets the counts alone."}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[Page[unread.Report]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			all, err := p.Unread(ctx)
			if err != nil {
				return nil, err
			}
			out := []unread.Report{}
			for _, r := range all {
				if !within.CoversWhole(r.Tenant) {
					continue
				}
				if within.Veil() != nil {
					r.Examples, r.Drafts = []string{}, []pack.Draft{}
				}
				out = append(out, r)
			}
			return Reply(PageOf(out, len(out), "")), nil
		})
	s.ownPackRoutes()
}

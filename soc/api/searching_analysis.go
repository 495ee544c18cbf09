package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/search"
	"icewatch/soc/search/clause"
)

// firstFields are the fields an analyst wants to see first.
var firstFields = []string{"icewatch.tenant", "event.dataset", "event.action", "event.outcome", "event.severity", "log.level", "host.name", "source.ip", "destination.ip",
	"destination.port", "user.name", "process.name", "http.response.status_code", "rule.name"}

// maxFacets bounds the fields of one list of facets.
const maxFacets = 20

// quickly bounds what is asked while somebody types.
const quickly = 3 * time.Second

// took is an answer with the time it took.
type took[T any] struct {
	value T
	took  time.Duration
}

// MarshalJSON adds took_ms to the value's own members.
func (t took[T]) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(t.value)
	if err != nil {
		return nil, err
	}
	b = append(b[:len(b)-1], `,"took_ms":`...)
	return append(strconv.AppendInt(b, t.took.Milliseconds(), 10), '}'), nil
}

// Schema implements huma.SchemaProvider.
func (took[T]) Schema(r huma.Registry) *huma.Schema { return r.Schema(typeOf[T](), true, "") }

// selectionAnswer is what a marked text is and what can be done with it.
type selectionAnswer struct {
	Words   []string          `json:"words" nullable:"false"`
	Kind    string            `json:"kind" enum:"text,ip,number,hash,url,email,domain,time"`
	Fields  []selectionField  `json:"fields" nullable:"false" doc:"Fields of the event that hold the text"`
	Options []selectionOption `json:"options" nullable:"false"`
}

type selectionField struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// selectionOption is a filter that a marked text makes.
type selectionOption struct {
	ID    string      `json:"id" enum:"contains,exclude,equals,not_equals"`
	Label clause.Text `json:"label"`
	Query string      `json:"query" doc:"A filter, to be added with and"`
	Hits  *uint64     `json:"hits" doc:"Events that it picks in the time range; null where that was not counted"`
}

func (s *Server) analysisRoutes() {
	Register(s, huma.Operation{OperationID: "get-event-context", Method: http.MethodGet, Path: "/events/{id}/context", Tags: []string{"search"},
		Summary: "What happened before and after an event", Errors: []int{404, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID      string `path:"id" maxLength:"256"`
			Minutes int    `query:"minutes" minimum:"1" maximum:"1440" default:"10" doc:"How far to look to either side"`
			Before  int    `query:"before" minimum:"0" maximum:"1000" default:"50" doc:"Events before it at most"`
			After   int    `query:"after" minimum:"0" maximum:"1000" default:"50" doc:"Events after it at most"`
			By      string `query:"by" enum:"host,stream,tenant,none" default:"host" doc:"What the events have in common with it; the answer says what was possible"`
			Tenant  string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
		}) (*Body[took[search.Surroundings]], error) {
			if s.deps.Search == nil {
				return nil, unavailable("search")
			}
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			if within.Nothing() {
				return nil, NotFound("event", in.ID)
			}
			ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
			if err != nil {
				return nil, err
			}
			defer leave()
			began := time.Now()
			out, err := s.deps.Search.Context(ctx, within, search.Around{ID: in.ID, By: in.By, Width: time.Duration(in.Minutes) * time.Minute, Before: in.Before, After: in.After})
			if errors.Is(err, search.ErrNotFound) {
				return nil, NotFound("event", in.ID)
			}
			return Reply(took[search.Surroundings]{out, time.Since(began)}), err
		})

	Register(s, huma.Operation{OperationID: "search-facets", Method: http.MethodGet, Path: "/search/facets", Tags: []string{"search"},
		Summary: "The most frequent values of several fields in matching events", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			SearchInput
			Fields string `query:"fields" maxLength:"4096" doc:"Fields, separated by commas; those an analyst wants first by default"`
			Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"10" doc:"Values of each field at most"`
		}) (*Body[took[search.Facets]], error) {
			fields := words(in.Fields)
			if len(fields) == 0 {
				fields = firstFields
			}
			if len(fields) > maxFacets {
				return nil, Problem(http.StatusBadRequest, "fields: %d are given; at most %d at a time", len(fields), maxFacets)
			}
			out := took[search.Facets]{value: search.Facets{Facets: []search.Facet{}}}
			err := s.analyse(ctx, in.SearchInput, func(ctx context.Context, req search.Request) (err error) {
				began := time.Now()
				out.value, err = s.deps.Search.Facets(ctx, req, fields, in.Limit)
				out.took = time.Since(began)
				return err
			})
			return Reply(out), err
		})

	Register(s, huma.Operation{OperationID: "search-stats", Method: http.MethodGet, Path: "/search/stats", Tags: []string{"search"},
		Summary: "Statistics of one field in matching events", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			SearchInput
			Field string `query:"field" required:"true" minLength:"1" maxLength:"512"`
			Limit int    `query:"limit" minimum:"0" maximum:"1000" default:"10" doc:"Values at most"`
		}) (*Body[took[search.FieldStats]], error) {
			out := took[search.FieldStats]{value: search.FieldStats{Field: in.Field, Values: []search.ValueHits{}}}
			err := s.analyse(ctx, in.SearchInput, func(ctx context.Context, req search.Request) (err error) {
				began := time.Now()
				out.value, err = s.deps.Search.FieldStats(ctx, req, in.Field, in.Limit)
				out.took = time.Since(began)
				return err
			})
			return Reply(out), err
		})

	Register(s, huma.Operation{OperationID: "search-selection", Method: http.MethodPost, Path: "/search/selection", Tags: []string{"search"},
		Summary: "What a text marked in an event is, and the filters it makes", Errors: []int{429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TimeInput
			Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
			Body   struct {
				Text  string `json:"text" minLength:"1" maxLength:"4096"`
				Event string `json:"event_id,omitempty" maxLength:"256" doc:"The event it is marked in"`
			}
		}) (*Body[selectionAnswer], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			return s.selection(ctx, SearchInput{TimeInput: in.TimeInput, Tenant: in.Tenant}, strings.TrimSpace(in.Body.Text), in.Body.Event)
		})
}

// analyse runs a search of the input within the caller's reach; where that is
// empty it is not run.
func (s *Server) analyse(ctx context.Context, in SearchInput, ask func(context.Context, search.Request) error) error {
	req, none, err := s.searchRequest(ctx, in)
	if err != nil || none {
		return err
	}
	ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
	if err != nil {
		return err
	}
	defer leave()
	return ask(ctx, req)
}

// maxSelectionFields bounds the fields named of one event.
const maxSelectionFields = 12

func (s *Server) selection(ctx context.Context, in SearchInput, text, id string) (*Body[selectionAnswer], error) {
	out := selectionAnswer{Words: clause.Words(text), Kind: clause.KindOf(text), Fields: []selectionField{}, Options: []selectionOption{}}
	if text == "" {
		return Reply(out), nil
	}
	if id != "" {
		row, err := s.event(ctx, id)
		if err != nil {
			return nil, err
		}
		var fields map[string]string
		if err := json.Unmarshal(row, &fields); err != nil {
			return nil, err
		}
		for name, v := range fields {
			if name != "event.original" && name != "message" && v == text {
				out.Fields = append(out.Fields, selectionField{name, v})
			}
		}
		slices.SortFunc(out.Fields, func(a, b selectionField) int { return strings.Compare(a.Field, b.Field) })
		out.Fields = out.Fields[:min(len(out.Fields), maxSelectionFields)]
	}
	option := func(id string, label clause.Text, c clause.Clause, count bool) error {
		query, err := clause.Render(&c)
		if err != nil {
			return nil // such a text cannot be asked for like this
		}
		o := selectionOption{ID: id, Label: label, Query: query}
		if count {
			in.Query = query
			err := s.analyse(ctx, in, func(ctx context.Context, req search.Request) error {
				ctx, cancel := context.WithTimeout(ctx, quickly)
				defer cancel()
				h, err := s.deps.Search.Histogram(ctx, req, 1)
				if err == nil {
					o.Hits = &h.Total
				}
				if ctx.Err() != nil {
					return nil // too slow to be counted while somebody waits
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		out.Options = append(out.Options, o)
		return nil
	}
	if len(out.Words) > 0 {
		if err := option("contains", clause.Text{ZH: "查找该文本", EN: "Look for it"}, clause.Clause{Operator: "contains", Values: []string{text}}, true); err != nil {
			return nil, err
		}
		_ = option("exclude", clause.Text{ZH: "排除该文本", EN: "Leave it out"}, clause.Clause{Operator: "not_contains", Values: []string{text}}, false)
	}
	for _, f := range out.Fields {
		if err := option("equals", clause.Text{ZH: f.Field + " 等于它", EN: f.Field + " equals it"}, clause.Clause{Field: f.Field, Operator: "equals", Values: []string{f.Value}}, true); err != nil {
			return nil, err
		}
		_ = option("not_equals", clause.Text{ZH: f.Field + " 不等于它", EN: f.Field + " does not equal it"}, clause.Clause{Field: f.Field, Operator: "not_equals", Values: []string{f.Value}}, false)
	}
	return Reply(out), nil
}

package api

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/search"
	"icewatch/soc/search/clause"
)

// parsed is a query taken apart.
type parsed struct {
	Clause    *clause.Clause `json:"clause" doc:"null is everything"`
	Pipes     string         `json:"pipes" doc:"Without the first bar; empty where there are none"`
	Canonical string         `json:"canonical"`
	Whole     bool           `json:"whole" doc:"The tree holds all of the filter, nothing of it as text"`
	Error     *queryFault    `json:"error"`
}

// queryFault is what is wrong with a query, and where.
type queryFault struct {
	Position int    `json:"position" doc:"Characters before the fault; -1 where it is not known"`
	Message  string `json:"message"`
}

// rendered is a tree as a query.
type rendered struct {
	Query string       `json:"query"`
	Error *clauseFault `json:"error"`
}

// clauseFault is what is wrong with a tree, and where.
type clauseFault struct {
	Path    string `json:"path" doc:"Of the condition, like clauses[1]; empty is the whole"`
	Message string `json:"message"`
}

// completion is a text that may go on a query.
type completion struct {
	Kind   string       `json:"kind" enum:"field,operator,value,pipe,keyword"`
	Insert string       `json:"insert"`
	Label  string       `json:"label"`
	Detail *clause.Text `json:"detail"`
	Hits   *uint64      `json:"hits" doc:"Events with it, where that is known"`
}

// completions take the place of the characters from one to another.
type completions struct {
	From  int          `json:"from"`
	To    int          `json:"to"`
	Items []completion `json:"items" nullable:"false"`
}

func (s *Server) clauseRoutes() {
	Register(s, huma.Operation{OperationID: "list-search-operators", Method: http.MethodGet, Path: "/search/operators", Tags: []string{"search"},
		Summary: "The operators of search, with how LogsQL writes them"}, identity.ScopeRead,
		func(context.Context, *Empty) (*Body[Page[clause.Operator]], error) {
			list := clause.Operators()
			return Reply(PageOf(list, len(list), "")), nil
		})

	Register(s, huma.Operation{OperationID: "parse-query", Method: http.MethodPost, Path: "/search/parse", Tags: []string{"search"},
		Summary: "Take a query apart into a tree of conditions", Description: "A query that is wrong is answered with where and why."}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Query string `json:"query" maxLength:"16384"`
			}
		}) (*Body[parsed], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			q, err := clause.Parse(in.Body.Query)
			var fault *clause.ParseError
			if errors.As(err, &fault) {
				return Reply(parsed{Error: &queryFault{fault.Position, fault.Message}}), nil
			}
			return Reply(parsed{Clause: q.Filter, Pipes: q.Pipes, Canonical: q.Canonical, Whole: q.Whole}), err
		})

	Register(s, huma.Operation{OperationID: "render-query", Method: http.MethodPost, Path: "/search/render", Tags: []string{"search"},
		Summary: "Write a tree of conditions as a query"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Clause *clause.Clause `json:"clause,omitempty" doc:"Left out it is everything"`
				Pipes  string         `json:"pipes,omitempty" maxLength:"16384"`
			}
		}) (*Body[rendered], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			query, err := clause.Render(in.Body.Clause)
			var fault *clause.Error
			if errors.As(err, &fault) {
				return Reply(rendered{Error: &clauseFault{fault.Path, fault.Message}}), nil
			}
			if pipes := strings.TrimSpace(in.Body.Pipes); pipes != "" {
				query += " | " + pipes
			}
			return Reply(rendered{Query: query}), err
		})

	Register(s, huma.Operation{OperationID: "suggest-query", Method: http.MethodGet, Path: "/search/suggest", Tags: []string{"search"},
		Summary: "What may stand at the cursor of a query that is being typed", Errors: []int{429, 503},
		Description: "Fields and values are those of the time range, within the caller's reach; where the lake is slow they are left out."}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TimeInput
			Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
			Text   string `query:"text" maxLength:"16384"`
			Cursor int    `query:"cursor" minimum:"-1" maximum:"16384" default:"-1" doc:"Characters before the cursor; -1 is the end"`
		}) (*Body[completions], error) {
			if in.Cursor < 0 {
				in.Cursor = len(in.Text)
			}
			out, err := s.suggest(ctx, SearchInput{TimeInput: in.TimeInput, Tenant: in.Tenant}, clause.At(in.Text, in.Cursor))
			return Reply(out), err
		})
}

// maxSuggestions is the most completions of one kind.
const maxSuggestions = 20

func (s *Server) suggest(ctx context.Context, in SearchInput, at clause.Place) (completions, error) {
	out := completions{From: at.From, To: at.To, Items: []completion{}}
	typed := strings.ToLower(at.Typed)
	switch at.Kind {
	case clause.PlacePipe:
		for _, p := range clause.Pipes {
			if strings.HasPrefix(p.Name, typed) {
				out.Items = append(out.Items, completion{Kind: "pipe", Insert: p.Insert, Label: p.Name, Detail: &p.Detail})
			}
		}
		return out, nil
	case clause.PlaceValue:
		if at.Operator {
			for _, o := range startingOperators {
				out.Items = append(out.Items, completion{Kind: "operator", Insert: o.insert, Label: o.insert, Detail: &o.detail})
			}
		}
		if at.Typed != "" {
			filter, err := clause.Render(&clause.Clause{Text: clause.FieldText(at.Field) + "~" + quoteRegexp(at.Typed)})
			if err != nil {
				return out, nil
			}
			in.Query = filter
		}
		values, err := s.quickHits(ctx, in, func(ctx context.Context, req search.Request) ([]search.ValueHits, error) {
			return s.deps.Search.Values(ctx, req, at.Field, maxSuggestions)
		})
		for _, v := range values {
			if len(v.Value) <= 512 {
				out.Items = append(out.Items, completion{Kind: "value", Insert: quoteValue(v.Value), Label: v.Value, Hits: &v.Hits})
			}
		}
		return out, err
	}
	for _, k := range keywords {
		if typed != "" && strings.HasPrefix(k.insert, typed) {
			out.Items = append(out.Items, completion{Kind: "keyword", Insert: k.insert + " ", Label: k.insert, Detail: &k.detail})
		}
	}
	fields, err := s.fieldsOf(ctx, in)
	var within []completion
	n := 0
	for _, f := range fields {
		name := strings.ToLower(f.Value)
		item := completion{Kind: "field", Insert: clause.FieldText(f.Value), Label: f.Value, Hits: &f.Hits}
		switch {
		case n == maxSuggestions:
		case strings.HasPrefix(name, typed):
			out.Items = append(out.Items, item)
			n++
		case strings.Contains(name, typed):
			within = append(within, item)
		}
	}
	out.Items = append(out.Items, within[:min(len(within), maxSuggestions-n)]...)
	return out, err
}

type hint struct {
	insert string
	detail clause.Text
}

var keywords = []hint{
	{"and", clause.Text{ZH: "并且", EN: "and"}},
	{"or", clause.Text{ZH: "或者", EN: "or"}},
	{"not", clause.Text{ZH: "非", EN: "not"}},
}

// startingOperators are the operators that may follow a field's name.
var startingOperators = []hint{
	{`="`, clause.Text{ZH: "等于", EN: "equals"}},
	{`"`, clause.Text{ZH: "包含词或短语", EN: "contains the word or phrase"}},
	{`~"`, clause.Text{ZH: "匹配正则", EN: "matches the regular expression"}},
	{`*`, clause.Text{ZH: "存在", EN: "exists"}},
	{`in(`, clause.Text{ZH: "属于", EN: "is one of"}},
	{`>`, clause.Text{ZH: "大于", EN: "greater than"}},
	{`<`, clause.Text{ZH: "小于", EN: "less than"}},
	{`range[`, clause.Text{ZH: "数值区间", EN: "between numbers"}},
	{`ipv4_range("`, clause.Text{ZH: "属于 IPv4 网段", EN: "in the IPv4 network"}},
	{`i("`, clause.Text{ZH: "包含（不分大小写）", EN: "contains, case ignored"}},
}

// quickHits asks the store for a short while; what takes longer is left out.
func (s *Server) quickHits(ctx context.Context, in SearchInput, ask func(context.Context, search.Request) ([]search.ValueHits, error)) (hits []search.ValueHits, err error) {
	err = s.analyse(ctx, in, func(ctx context.Context, req search.Request) (err error) {
		ctx, cancel := context.WithTimeout(ctx, quickly)
		defer cancel()
		hits, err = ask(ctx, req)
		if ctx.Err() != nil {
			hits, err = nil, nil
		}
		return err
	})
	return hits, err
}

// fieldsKept are the names of fields asked for lately, by reach: while somebody
// types they are asked for at every key.
type fieldsKept struct {
	mu   sync.Mutex
	kept map[string]keptFields
}

type keptFields struct {
	until  time.Time
	fields []search.ValueHits
}

const (
	keepFields = 30 * time.Second
	maxKept    = 200 // reaches
)

// fieldsOf are the fields of the events in the input's time range.
func (s *Server) fieldsOf(ctx context.Context, in SearchInput) ([]search.ValueHits, error) {
	within, err := Reach(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	key := within.Key() + "\x00" + in.Start + "\x00" + in.End
	now := time.Now()
	s.fields.mu.Lock()
	k, ok := s.fields.kept[key]
	s.fields.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.fields, nil
	}
	fields, err := s.quickHits(ctx, in, func(ctx context.Context, req search.Request) ([]search.ValueHits, error) {
		return s.deps.Search.Fields(ctx, req, 1000)
	})
	if err != nil {
		return nil, err
	}
	s.fields.mu.Lock()
	defer s.fields.mu.Unlock()
	if s.fields.kept == nil || len(s.fields.kept) >= maxKept {
		s.fields.kept = map[string]keptFields{}
	}
	s.fields.kept[key] = keptFields{now.Add(keepFields), fields}
	return fields, nil
}

// quoteValue writes a value as a query needs it.
func quoteValue(v string) string { return strconv.Quote(v) }

// quoteRegexp writes the expression for values with the text in them, whatever
// its case.
func quoteRegexp(v string) string { return strconv.Quote("(?i)" + regexp.QuoteMeta(v)) }

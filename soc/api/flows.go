package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/collectors/flow"
	"icewatch/soc/flows"
	"icewatch/soc/flows/ledger"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

// Flows is what the API asks of soc/flows and of the flow listeners.
type Flows interface {
	Top(ctx context.Context, r flows.Range, by, metric string, limit int) (flows.Top, error)
	Series(ctx context.Context, r flows.Range, by, metric string, limit, buckets int) (flows.Series, error)
	Conversations(ctx context.Context, r flows.Range, metric string, limit int, place string) (flows.Conversations, error)
	Map(ctx context.Context, r flows.Range, places []ledger.Place, depth, limit int) (flows.Map, error)
	Profile(ctx context.Context, r flows.Range, place ledger.Place) (flows.Profile, error)
	Edges(ctx context.Context, r flows.Range, places []ledger.Place, exact bool, limit int) (edges []ledger.Edge, ofRows, more bool, err error)
	Names(ctx context.Context, r reach.Reach, peers []*flows.Peer) error
	// Exporters tells who has sent flows since the start.
	Exporters() []FlowExporter
}

// FlowExporter is who sends flows.
type FlowExporter struct {
	Collector string `json:"collector"`
	Zone      string `json:"zone"`
	flow.ExporterStats
}

// FlowInput is what all questions about flows take.
type FlowInput struct {
	TimeInput
	Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
	Zone   string `query:"zone" maxLength:"64" doc:"Network zone; all by default"`
	Query  string `query:"query" maxLength:"16384" doc:"LogsQL without pipes, to narrow the flows further"`
}

// MetricInput chooses what to rank by.
type MetricInput struct {
	Metric string `query:"metric" enum:"bytes,packets,flows" default:"bytes"`
}

// RankInput chooses what to rank.
type RankInput struct {
	MetricInput
	By string `query:"by" enum:"source,destination,host,port,service,protocol,conversation,exporter,interface,as" default:"host" doc:"host counts a flow at both ends"`
}

// How far questions about flows reach back by default.
const (
	flowsBack   = time.Hour
	mapBack     = 30 * 24 * time.Hour
	profileBack = 24 * time.Hour
)

// ask turns the input into a range and answers within the bounds of searches.
// An empty reach gets the answer that nothing gives.
func askFlows[T any](s *Server, ctx context.Context, in FlowInput, back time.Duration, ask func(ctx context.Context, r flows.Range) (T, error)) (*Body[T], error) {
	if s.deps.Flows == nil {
		return nil, unavailable("the analysis of flows")
	}
	within, err := Reach(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	r := flows.Range{Reach: within, Zone: in.Zone, Filter: in.Query}
	if r.Start, r.End, err = in.timeRange(time.Now(), back); err != nil {
		return nil, err
	}
	ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
	if err != nil {
		return nil, err
	}
	defer leave()
	answer, err := ask(ctx, r)
	if errors.Is(err, flows.ErrInvalid) {
		return nil, Problem(http.StatusBadRequest, "%s", err)
	}
	if err != nil {
		return nil, err
	}
	return Reply(answer), nil
}

// places finds the addresses that a text names: an address, zone|address, or
// the id of a configuration item within reach.
func (s *Server) places(ctx context.Context, r flows.Range, text string) ([]ledger.Place, error) {
	if p, ok := flows.ParsePlace(text, r.Zone); ok {
		return []ledger.Place{p}, nil
	}
	if s.deps.CMDB == nil {
		return nil, unavailable("the CMDB")
	}
	item, err := s.deps.CMDB.Get(ctx, r.Reach, text)
	if err != nil {
		return nil, err
	}
	var list []ledger.Place
	for _, a := range item.Addresses {
		if p, ok := flows.ParsePlace(a, item.Zone); ok { // a network's CIDR is none
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil, Problem(http.StatusUnprocessableEntity, "the item %q has no address of its own", clip(text, 64))
	}
	return list, nil
}

// flowRoutes registers the questions about flows.
func (s *Server) flowRoutes() {
	operation := func(id, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"flows"}, Summary: summary, Errors: []int{400, 404, 429, 503, 504}}
	}
	Register(s, operation("flows-top", "/flows/top", "The top talkers: what carries most"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			FlowInput
			RankInput
			Limit int `query:"limit" minimum:"1" maximum:"1000" default:"10"`
		}) (*Body[flows.Top], error) {
			return askFlows(s, ctx, in.FlowInput, flowsBack, func(ctx context.Context, r flows.Range) (flows.Top, error) {
				return s.deps.Flows.Top(ctx, r, in.By, in.Metric, in.Limit)
			})
		})
	Register(s, operation("flows-series", "/flows/series", "The top talkers over time"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			FlowInput
			RankInput
			Limit   int `query:"limit" minimum:"1" maximum:"20" default:"5"`
			Buckets int `query:"buckets" minimum:"1" maximum:"500" default:"60"`
		}) (*Body[flows.Series], error) {
			return askFlows(s, ctx, in.FlowInput, flowsBack, func(ctx context.Context, r flows.Range) (flows.Series, error) {
				return s.deps.Flows.Series(ctx, r, in.By, in.Metric, in.Limit, in.Buckets)
			})
		})
	Register(s, operation("flows-conversations", "/flows/conversations", "Conversations, both directions together"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			FlowInput
			MetricInput
			Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
			Address string `query:"address" maxLength:"128" doc:"One end: an address, or zone|address"`
		}) (*Body[flows.Conversations], error) {
			return askFlows(s, ctx, in.FlowInput, flowsBack, func(ctx context.Context, r flows.Range) (flows.Conversations, error) {
				return s.deps.Flows.Conversations(ctx, r, in.Metric, in.Limit, in.Address)
			})
		})
	Register(s, operation("flows-map", "/flows/map", "An asset's communication map, with first and last seen"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			FlowInput
			Asset string `query:"asset" required:"true" minLength:"1" maxLength:"256" doc:"An address, zone|address, or the id of a configuration item"`
			Depth int    `query:"depth" minimum:"1" maximum:"3" default:"1" doc:"Steps from the asset"`
			Limit int    `query:"limit" minimum:"1" maximum:"2000" default:"300" doc:"Edges at most"`
		}) (*Body[flows.Map], error) {
			return askFlows(s, ctx, in.FlowInput, mapBack, func(ctx context.Context, r flows.Range) (flows.Map, error) {
				places, err := s.places(ctx, r, in.Asset)
				if err != nil {
					return flows.Map{}, err
				}
				return s.deps.Flows.Map(ctx, r, places, in.Depth, in.Limit)
			})
		})
	Register(s, operation("flows-profile", "/flows/profile", "What an address offers and uses, how much by hour, and whom it met lately"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			FlowInput
			Address string `query:"address" required:"true" minLength:"1" maxLength:"256" doc:"An address, zone|address, or the id of a configuration item"`
		}) (*Body[flows.Profile], error) {
			return askFlows(s, ctx, in.FlowInput, profileBack, func(ctx context.Context, r flows.Range) (flows.Profile, error) {
				places, err := s.places(ctx, r, in.Address)
				if err != nil {
					return flows.Profile{}, err
				}
				return s.deps.Flows.Profile(ctx, r, places[0])
			})
		})
	Register(s, operation("flows-exporters", "/flows/exporters", "Who sends flows, and what is lost on the way; for callers whose reach is all tenants"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[FlowExporter]], error) {
			if s.deps.Flows == nil {
				return nil, unavailable("the analysis of flows")
			}
			var list []FlowExporter
			if seesEverything(ctx) {
				list = s.deps.Flows.Exporters()
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
}

package api

import (
	"context"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/collectors"
	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/tenancy"
)

// typeOf is reflect.TypeFor by a shorter name at the place of use.
func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// tenant is a monitored tenant as the API shows it.
type tenant struct {
	Slug            string          `json:"slug"`
	Name            detections.Text `json:"name"`
	Domain          string          `json:"domain"`
	ProtectionLevel int             `json:"protection_level" doc:"Level of the multi-level protection scheme, 1 to 5; 0 where it is not set"`
	AccountID       uint32          `json:"account_id"`
	Systems         int             `json:"systems" doc:"Business systems in the CMDB"`
	tenancy.Facts
}

func tenantOf(t tenancy.Tenant, systems map[string]int) tenant {
	if t.Labels == nil {
		t.Labels = []string{}
	}
	return tenant{t.Slug, detections.Text(t.Name), t.Domain, t.ProtectionLevel, t.AccountID, systems[t.Slug], t.Facts}
}

// systemsOf counts the business systems of each tenant within the caller's
// reach, half a minute behind at most.
func (s *Server) systemsOf(ctx context.Context) (map[string]int, error) {
	within, err := Reach(ctx, "")
	if err != nil {
		return nil, err
	}
	return s.systems.get(within.Key(), 30*time.Second, func() (map[string]int, error) { return s.countSystems(ctx, within) })
}

// overview is what the console's first page shows.
type overview struct {
	TicketingOverview
	Intake  IntakeStats         `json:"intake"`
	Active  int                 `json:"tenants_with_events_24h"`
	Sources []collectors.Health `json:"sources" nullable:"false"`
}

// memo keeps answers that cost a search and need not be of this second.
type memo[T any] struct {
	mu   sync.Mutex
	kept map[string]kept[T]
}

type kept[T any] struct {
	value T
	until time.Time
}

// get returns the kept answer, or makes and keeps one. Callers wait for each
// other, so that many consoles that poll cost one search.
func (m *memo[T]) get(key string, life time.Duration, compute func() (T, error)) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if k, ok := m.kept[key]; ok && now.Before(k.until) {
		return k.value, nil
	}
	v, err := compute()
	if err != nil {
		return v, err
	}
	if m.kept == nil || len(m.kept) > 1000 {
		m.kept = map[string]kept[T]{}
	}
	m.kept[key] = kept[T]{v, now.Add(life)}
	return v, nil
}

// catalogueRoutes registers what there is: tenants, sources, and the overview
// of it all.
func (s *Server) catalogueRoutes() {
	Register(s, huma.Operation{OperationID: "list-tenants", Method: http.MethodGet, Path: "/tenants", Tags: []string{"catalogue"},
		Summary: "The tenants within reach"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[tenant]], error) {
			if s.deps.Tenants == nil {
				return nil, unavailable("the catalogue of tenants")
			}
			systems, err := s.systemsOf(ctx)
			if err != nil {
				return nil, err
			}
			var items []tenant
			for _, t := range s.deps.Tenants.List() {
				if CanSee(ctx, t.Slug) {
					items = append(items, tenantOf(t, systems))
				}
			}
			return Reply(PageOf(items, len(items), "")), nil
		})

	s.registerGrafana()

	Register(s, huma.Operation{OperationID: "list-sources", Method: http.MethodGet, Path: "/sources", Tags: []string{"catalogue"},
		Summary: "How each way in fares: all of them for callers whose reach is all tenants, else the inputs of one's own tenants"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[collectors.Health]], error) {
			items := s.sources(ctx)
			return Reply(PageOf(items, len(items), "")), nil
		})

	Register(s, huma.Operation{OperationID: "overview", Method: http.MethodGet, Path: "/overview", Tags: []string{"catalogue"},
		Summary: "What needs me now"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[overview], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			out := overview{Sources: s.sources(ctx)}
			if s.deps.Ticketing != nil && !within.Nothing() {
				if out.TicketingOverview, err = s.deps.Ticketing.Overview(ctx, within, PrincipalFrom(ctx).Username); err != nil {
					return nil, err
				}
			}
			out.fill()
			if s.deps.Intake != nil && seesEverything(ctx) {
				out.Intake = s.deps.Intake.Stats(ctx)
			}
			out.Active = s.activeTenants(ctx, within)
			return Reply(out), nil
		})
}

// fill makes empty lists of missing ones.
func (o *overview) fill() {
	if o.Incidents == nil {
		o.Incidents = []any{}
	}
	if o.LatestAlerts == nil {
		o.LatestAlerts = []any{}
	}
	if o.Sources == nil {
		o.Sources = []collectors.Health{}
	}
	by := map[string]int{}
	for _, l := range detections.Levels {
		by[string(l)] = o.Alerts.BySeverity[string(l)]
	}
	o.Alerts.BySeverity = by
}

// sources lists the ways in. Of the listeners and doors that all share the
// figures are everybody's: others see the inputs of their own tenants alone.
func (s *Server) sources(ctx context.Context) []collectors.Health {
	if s.deps.Intake == nil {
		return []collectors.Health{}
	}
	all := s.deps.Intake.Sources(ctx)
	if seesEverything(ctx) {
		return all
	}
	within, err := Reach(ctx, "")
	out := []collectors.Health{}
	for _, h := range all {
		if err == nil && h.Input != "" && h.Tenant != "" && within.CoversWhole(h.Tenant) {
			out = append(out, h)
		}
	}
	return out
}

// activeTenants counts the tenants that sent anything in the last day. It is
// worth a minute's staleness, and the overview does not fail for its sake.
func (s *Server) activeTenants(ctx context.Context, within reach.Reach) int {
	if s.deps.Search == nil || within.Nothing() {
		return 0
	}
	n, err := s.active.get(within.Key(), time.Minute, func() (int, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		now := time.Now()
		hits, err := s.deps.Search.Values(ctx, search.Request{Reach: within, Query: "*", Start: now.Add(-24 * time.Hour), End: now.Add(aheadOfClock)},
			"icewatch.tenant", 10_000)
		if err != nil {
			// Not again for every console that polls while the engine is away.
			s.log.Debug("could not count the active tenants", "error", err)
			return 0, nil
		}
		return len(hits), nil
	})
	if err != nil {
		return 0
	}
	return n
}

// countSystems counts the business systems of each tenant within the reach.
func (s *Server) countSystems(ctx context.Context, within reach.Reach) (map[string]int, error) {
	counts := map[string]int{}
	if s.deps.CMDB == nil {
		return counts, nil
	}
	f := cmdb.Filter{Classes: []string{cmdb.BusinessSystem}, Limit: 1000}
	for {
		page, err := s.deps.CMDB.Items(ctx, within, f)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			counts[page.Items[i].Tenant]++
		}
		if page.Next == "" {
			return counts, nil
		}
		f.Cursor = page.Next
	}
}

// ciDetail is a configuration item with what is around it.
type ciDetail struct {
	cmdb.Item
	Relations cmdb.Relations `json:"relations"`
}

func (s *Server) cmdbRoutes() {
	type itemsInput struct {
		PageInput
		Class  string `query:"class" maxLength:"1024" doc:"Classes, separated by commas"`
		Q      string `query:"q" maxLength:"256" doc:"Words that all occur in name, addresses, owner or labels"`
		Tenant string `query:"tenant" maxLength:"4096"`
		System string `query:"system" maxLength:"256" doc:"Id of a business system"`
		Filter string `query:"filter" maxLength:"8192" doc:"A filter such as criticality >= 4 and has -runs_on-> host[os ~ kylin]"`
		Sort   string `query:"sort" maxLength:"128" doc:"Field or attribute to sort by, a minus before it for the largest first"`
	}
	filter := func(class, q string) cmdb.Filter {
		return cmdb.Filter{Query: q, Classes: words(class)}
	}

	Register(s, huma.Operation{OperationID: "list-cmdb-classes", Method: http.MethodGet, Path: "/cmdb/classes", Tags: []string{"cmdb"},
		Summary: "The classes of configuration items"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[cmdb.Class]], error) {
			if s.deps.CMDB == nil {
				return nil, unavailable("the CMDB")
			}
			classes := s.deps.CMDB.Classes()
			return Reply(PageOf(classes, len(classes), "")), nil
		})

	Register(s, huma.Operation{OperationID: "list-cmdb-items", Method: http.MethodGet, Path: "/cmdb/items", Tags: []string{"cmdb"},
		Summary: "Configuration items"}, identity.ScopeRead,
		func(ctx context.Context, in *itemsInput) (*Body[Page[cmdb.Item]], error) {
			if s.deps.CMDB == nil {
				return nil, unavailable("the CMDB")
			}
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			f := filter(in.Class, in.Q)
			f.Limit, f.Cursor, f.System, f.Expression, f.Sort = in.Limit, in.Cursor, in.System, in.Filter, in.Sort
			page, err := s.deps.CMDB.Items(ctx, within, f)
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(page.Items, page.Total, page.Next)), nil
		})

	Register(s, huma.Operation{OperationID: "get-cmdb-item", Method: http.MethodGet, Path: "/cmdb/items/{id}", Tags: []string{"cmdb"},
		Summary: "One configuration item with what is around it", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"256"`
		}) (*Body[ciDetail], error) {
			if s.deps.CMDB == nil {
				return nil, unavailable("the CMDB")
			}
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			var d ciDetail
			if d.Item, err = s.deps.CMDB.Get(ctx, within, in.ID); err != nil {
				return nil, err
			}
			if d.Relations, err = s.deps.CMDB.Relations(ctx, within, in.ID); err != nil {
				return nil, err
			}
			return Reply(d), nil
		})
}

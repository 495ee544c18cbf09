package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/soc/identity"
	"icewatch/ticketing/maintenance"
	"icewatch/ticketing/sla"
)

// AvailabilityInput says over what availability is worked out. It is exported because
// inputs embed it.
type AvailabilityInput struct {
	RangeInput
	Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
}

// systemUptime is how available and stable a system was, and what is agreed on it.
type systemUptime struct {
	System string `json:"system" doc:"Id of the business system"`
	Name   string `json:"name"`
	Tenant string `json:"tenant,omitempty"`
	Level  int    `json:"level,omitempty" doc:"MLPS level; absent where the CMDB has none"`
	sla.Uptime
	Agreed bool    `json:"agreed" doc:"There is a target for it"`
	Target float64 `json:"target,omitempty" doc:"Percent of the service time"`
	Most   int     `json:"outages_per_30_days,omitempty" doc:"Outages at most in 30 days; absent where they are not agreed on"`
	Met    bool    `json:"met" doc:"What is agreed was kept; true where nothing is"`
	Faults int     `json:"incidents" doc:"Incidents of faults that the outages are of"`
}

// systemsUptime is the availability of all systems within reach.
type systemsUptime struct {
	From    time.Time      `json:"from"`
	To      time.Time      `json:"to" doc:"Now at the latest"`
	Systems []systemUptime `json:"systems" nullable:"false" doc:"Those that kept least of what is agreed first, then by availability and name"`
	Missed  int            `json:"missed" doc:"How many of them missed their target"`
}

// maxUptimeSystems bounds how many systems are listed.
const maxUptimeSystems = 20_000

// availability works out how available the business systems within the caller's
// reach were: by faults about them within his reach, and the maintenance windows for
// them as they stand now.
func (s *Server) availability(ctx context.Context, in AvailabilityInput) (out systemsUptime, err error) {
	if s.deps.CMDB == nil {
		return out, unavailable("the CMDB")
	}
	within, err := Reach(ctx, in.Tenant)
	if err != nil {
		return out, err
	}
	now := time.Now()
	if out.From, out.To, err = in.times(now); err != nil {
		return out, err
	}
	out.Systems = []systemUptime{}
	if out.To.After(now) {
		out.To = now
	}
	if !out.From.Before(out.To) {
		return out, nil // all of it is still to come
	}
	down, incidents := map[string][]sla.Span{}, map[string]map[string]bool{}
	faults, err := s.deps.Incidents.Outages(ctx, within, out.From, out.To)
	if err != nil {
		return out, err
	}
	for _, o := range faults {
		down[o.System] = append(down[o.System], sla.Span{From: o.From, To: o.To})
		if incidents[o.System] == nil {
			incidents[o.System] = map[string]bool{}
		}
		incidents[o.System][o.Incident] = true
	}
	calendar := maintenance.New(maintenance.Schedule{})
	if s.deps.Maintenance != nil {
		calendar = maintenance.New(s.deps.Maintenance.Get())
	}
	terms := s.deps.ServiceLevels.Agreement().Terms()
	f := cmdb.Filter{Classes: []string{"business_system"}, Limit: 1000}
	for {
		page, err := s.deps.CMDB.Items(ctx, within, f)
		if err != nil {
			return out, err
		}
		for _, it := range page.Items {
			v := systemUptime{System: it.ID, Name: it.Name, Tenant: it.Tenant, Met: true, Faults: len(incidents[it.ID])}
			v.Level, _ = strconv.Atoi(it.Attributes["protection_level"]) // what is no number says nothing
			var planned []sla.Span
			for _, w := range calendar.Spans(it.ID, it.Tenant, out.From, out.To) {
				planned = append(planned, sla.Span(w))
			}
			v.Uptime = sla.Measure(out.From, out.To, down[it.ID], planned)
			if target, ok := terms.StabilityOf(it.ID, v.Level); ok {
				v.Agreed, v.Target, v.Most, v.Met = true, target.Percent, target.Outages, target.Met(v.Uptime)
			}
			if !v.Met {
				out.Missed++
			}
			out.Systems = append(out.Systems, v)
		}
		if f.Cursor = page.Next; f.Cursor == "" || len(out.Systems) >= maxUptimeSystems {
			break
		}
	}
	slices.SortFunc(out.Systems, func(a, b systemUptime) int {
		switch {
		case a.Met != b.Met && b.Met:
			return -1
		case a.Met != b.Met:
			return 1
		case a.Availability < b.Availability:
			return -1
		case a.Availability > b.Availability:
			return 1
		}
		return strings.Compare(a.Name+"\x00"+a.System, b.Name+"\x00"+b.System)
	})
	return out, nil
}

func (s *Server) availabilityRoutes() {
	tags := []string{"sla"}
	Register(s, huma.Operation{OperationID: "get-sla-availability", Method: http.MethodGet, Path: "/sla/availability", Tags: tags,
		Summary: "How available and stable the business systems were, and whether what is agreed was kept", Errors: []int{400, 403}}, identity.ScopeRead,
		func(ctx context.Context, in *AvailabilityInput) (*Body[systemsUptime], error) {
			out, err := s.availability(ctx, *in)
			return Reply(out), err
		})
	Register(s, huma.Operation{OperationID: "export-sla-availability", Method: http.MethodGet, Path: "/sla/availability/export", Tags: tags,
		Summary: "Availability and stability of the systems as a table", Responses: fileResponses(), Errors: []int{400, 403}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			AvailabilityInput
			TableInput
		}) (*huma.StreamResponse, error) {
			out, err := s.availability(ctx, in.AvailabilityInput)
			if err != nil {
				return nil, err
			}
			rows := [][]any{}
			for _, v := range out.Systems {
				target, met := any(""), "未约定 none"
				if v.Agreed {
					if target, met = v.Target, "未达标 missed"; v.Met {
						met = "达标 met"
					}
				}
				rows = append(rows, []any{v.System, v.Name, v.Tenant, v.Level, v.Availability, target, met, v.Outages, v.Most, v.DownSeconds, v.LongestSeconds, v.MTBFSeconds, v.MTTRSeconds, v.ServiceSeconds, v.PlannedSeconds, v.DownPlanned, v.Faults, v.Down})
			}
			return tableAnswer("availability", in.Format, []string{"系统编号 system", "系统 name", "租户 tenant", "等保级别 level", "可用率% availability", "目标% target", "结论 met", "中断次数 outages", "每30天中断上限 outages_per_30_days", "中断秒 down_seconds",
				"最长中断秒 longest_seconds", "平均无故障秒 mtbf_seconds", "平均恢复秒 mttr_seconds", "服务时间秒 service_seconds", "计划维护秒 planned_seconds", "维护期内中断秒 down_planned_seconds", "故障事件 incidents", "仍在中断 down"}, rows)
		})
}

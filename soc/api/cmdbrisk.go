package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/risk"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing/duty"
)

// RiskInput narrows and orders a list of items by their risk.
type RiskInput struct {
	Kind   string `query:"kind" enum:"asset,system,unit," doc:"All where empty"`
	Class  string `query:"class" maxLength:"64"`
	Level  string `query:"level" maxLength:"64" doc:"Levels, separated by commas: low, medium, high, compromised"`
	System string `query:"system" maxLength:"256" doc:"Id of a business system"`
	Unit   string `query:"unit" maxLength:"256" doc:"Id of an organisation"`
	Q      string `query:"q" maxLength:"256" doc:"Words that all occur in name, addresses, owner or labels"`
	Region string `query:"region" maxLength:"256" doc:"Region of the item or of the organisation it belongs to"`
	Tag    string `query:"tag" enum:"compromised,breached,attacked,exposed,weak,unprotected,silent,cii,key," doc:"Rating tag"`
	Tenant string `query:"tenant" maxLength:"4096"`
	Sort   string `query:"sort" enum:"score,alerts,incidents,findings,criticality" default:"score" doc:"The most first"`
}

func (in *RiskInput) question() risk.Question {
	q := risk.Question{Kind: in.Kind, Class: in.Class, System: in.System, Unit: in.Unit, Words: in.Q, Region: in.Region, Tag: in.Tag, Sort: in.Sort}
	for _, l := range words(in.Level) {
		q.Levels = append(q.Levels, risk.Level(l))
	}
	return q
}

// riskProblem turns the errors of the risk into problems.
func riskProblem(err error) error {
	if errors.Is(err, risk.ErrInvalid) {
		return Problem(http.StatusBadRequest, "%s", err.Error())
	}
	return err
}

// maxRiskRows is how many items a file of risks holds.
const maxRiskRows = 50_000

// cmdbRiskRoutes registers how much items are at risk.
func (s *Server) cmdbRiskRoutes() {
	if s.deps.Risk == nil {
		return
	}
	Register(s, cmdbOperation("list-cmdb-risk", http.MethodGet, "/risk", "Assets, systems and units by their risk, with alerts, incidents and findings counted", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			RiskInput
		}) (*Body[Page[risk.Line]], error) {
			return pageWithin(ctx, in.Tenant, in.PageInput, riskProblem, func(within reach.Reach, from int) ([]risk.Line, int, error) {
				q := in.question()
				q.Limit, q.Offset = in.Limit, from
				return s.deps.Risk.List(ctx, within, q)
			})
		})

	Register(s, cmdbOperation("export-cmdb-risk", http.MethodGet, "/risk/export", "The same as a file, at most 50,000 rows", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TableInput
			RiskInput
		}) (*huma.StreamResponse, error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			q := in.question()
			q.Limit = 1000
			var rows [][]any
			for len(rows) < maxRiskRows {
				list, total, err := s.deps.Risk.List(ctx, within, q)
				if err != nil {
					return nil, riskProblem(err)
				}
				for _, l := range list {
					rows = append(rows, []any{l.ID, l.Name, l.Class, l.Tenant, l.Owner, l.Criticality, l.Score, string(l.Level), l.Alerts, l.Incidents, l.Findings, l.Why.ZH, l.Why.EN})
				}
				q.Offset += len(list)
				if len(list) == 0 || q.Offset >= total {
					break
				}
			}
			return tableAnswer("risk", in.Format, []string{"id", "name", "class", "tenant", "owner", "criticality", "score", "level", "alerts", "incidents", "findings", "why_zh", "why_en"}, rows)
		})

	Register(s, cmdbOperation("get-cmdb-risk-overview", http.MethodGet, "/risk/overview", "How many assets, systems or units are at risk: by level, industry and region, the worst, and the trend of 15 days", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Kind string `query:"kind" enum:"asset,system,unit" default:"system"`
		}) (*Body[risk.Overview], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			out, err := s.deps.Risk.Overview(ctx, within, in.Kind)
			return Reply(out), riskProblem(err)
		})

	Register(s, cmdbOperation("get-cmdb-item-risk", http.MethodGet, "/items/{id}/risk", "An item's risk with its reasons, its trend of 15 days and how it compares with its peers", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"256"`
		}) (*Body[risk.Detail], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			d, err := s.deps.Risk.Of(ctx, within, in.ID)
			return Reply(d), err
		})
}

// contact is somebody to turn to.
type contact struct {
	cmdb.Contact
	OnDuty *bool `json:"on_duty,omitempty" doc:"Is called now for the item; absent where there is no account to tell by"`
}

// cmdbArchiveRoutes registers the archives of units and systems, whom to turn to
// about an item, and the marks that one click sets.
func (s *Server) cmdbArchiveRoutes() {
	if s.deps.CMDB == nil || s.deps.Risk == nil {
		return
	}
	s.archiveRoute("units", "/units", "The archive of units: found by any of their names, labels and numbers together, with their risk", unitArchive)
	s.archiveRoute("systems", "/systems", "The archive of business systems: found by names, labels, addresses, components and units together, with their risk", systemArchive)

	Register(s, cmdbOperation("list-cmdb-contacts", http.MethodGet, "/items/{id}/contacts", "Whom to turn to about an item, and whether they are on duty", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"256"`
		}) (*Body[Page[contact]], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			list, err := c.Contacts(ctx, within, in.ID)
			if err != nil {
				return nil, err
			}
			it, err := c.Get(ctx, within, in.ID)
			if err != nil {
				return nil, err
			}
			var called []string
			if s.deps.Duty != nil {
				system := it.System
				if it.Class == cmdb.BusinessSystem {
					system = it.ID
				}
				called = s.deps.Duty.Roster().OnDuty(duty.Question{Tenant: it.Tenant, System: system, Priority: "P1", Owners: []string{it.Owner}, At: time.Now()}).People
			}
			out := make([]contact, len(list))
			for i, x := range list {
				out[i] = contact{Contact: x}
				if x.Account != "" && s.deps.Duty != nil {
					on := slices.Contains(called, x.Account)
					out[i].OnDuty = &on
				}
			}
			return Reply(PageOf(out, len(out), "")), nil
		})

	Register(s, cmdbOperation("mark-cmdb-item", http.MethodPut, "/items/{id}/marks", "Mark an item as critical information infrastructure or as a key asset, or take a mark away", 404, 409, 422), identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"256"`
			Body struct {
				CII *bool `json:"cii,omitempty"`
				Key *bool `json:"key_asset,omitempty"`
			}
		}) (*Body[cmdb.Item], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			it, err := c.Get(ctx, within, in.ID)
			if err != nil {
				return nil, err
			}
			st := stateOf(ctx)
			st.object = "cmdb " + in.ID
			if in.Body.CII == nil && in.Body.Key == nil {
				return nil, Problem(http.StatusUnprocessableEntity, "neither cii nor key_asset is given; true sets a mark and false takes it away")
			}
			f := cmdb.Fields{ID: &it.ID, Class: &it.Class, Attributes: map[string]*string{}}
			labels := it.Attributes[systemLabels]
			for mark, v := range map[string]*bool{"cii": in.Body.CII, "key_asset": in.Body.Key} {
				if v == nil {
					continue
				}
				f.Attributes[mark] = nil
				if *v {
					yes := "true"
					f.Attributes[mark] = &yes
				}
				labels = withLabel(labels, mark, *v)
			}
			if it.Class == cmdb.BusinessSystem && labels != it.Attributes[systemLabels] {
				f.Attributes[systemLabels] = &labels
			}
			report, err := c.UpsertAll(ctx, []cmdb.Fields{f}, cmdb.ImportOptions{Within: within, Actor: Actor(ctx)})
			if err != nil {
				return nil, err
			}
			if len(report.Errors) > 0 {
				return nil, rowsProblem(report)
			}
			it, err = c.Get(ctx, within, in.ID)
			return Reply(it), err
		})
}

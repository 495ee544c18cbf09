package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/detections"
	"icewatch/soc/exposure/baseline"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/installed"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
)

func findingProblem(err error) error {
	for of, status := range map[error]int{finding.ErrNotFound: http.StatusNotFound, finding.ErrInvalid: http.StatusUnprocessableEntity, finding.ErrConflict: http.StatusConflict} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return err
}

// FindingInput narrows and orders a list of findings.
type FindingInput struct {
	Q         string `query:"q" maxLength:"500" doc:"Words that all occur: CVE, CNNVD and other ids, title, class, host, asset, service, owner"`
	State     string `query:"state" maxLength:"100" doc:"States, separated by commas; those that count where empty, all of them where *"`
	Level     string `query:"level" maxLength:"100" doc:"Levels, separated by commas"`
	Item      string `query:"item" maxLength:"256" doc:"Id of an item of the CMDB"`
	AssetType string `query:"asset_type" maxLength:"300" doc:"Classes of the CMDB, separated by commas, such as host,network_device"`
	Group     string `query:"asset_group" maxLength:"100" doc:"Label of the asset"`
	System    string `query:"system" maxLength:"256"`
	Unit      string `query:"unit" maxLength:"256" doc:"Id of an organisation"`
	Owner     string `query:"owner" maxLength:"200"`
	Engine    string `query:"engine" maxLength:"100"`
	Host      string `query:"host" maxLength:"256" doc:"Address or name of the host or asset"`
	Service   string `query:"service" maxLength:"100" doc:"As engines name it, such as https"`
	Class     string `query:"class" maxLength:"200" doc:"Part of the kind of weakness, or a CWE id"`
	Title     string `query:"title" maxLength:"200" doc:"Part of the title"`
	Port      int    `query:"port" minimum:"0" maximum:"65535"`
	Weakness  string `query:"weakness" maxLength:"300" doc:"CVE, CNNVD or CNVD id, or the id of an engine's check"`
	Overdue   bool   `query:"overdue"`
	Attacked  bool   `query:"attacked" doc:"Only those on which attacks were seen"`
	Exploited bool   `query:"exploited" doc:"Only those that attackers are known to use"`
	Tenant    string `query:"tenant" maxLength:"4096"`
	Sort      string `query:"sort" enum:"priority,level,due,first_seen,last_seen" default:"priority"`
}

func (in *FindingInput) question() finding.Question {
	q := finding.Question{Words: in.Q, Item: in.Item, Classes: words(in.AssetType), Group: in.Group, System: in.System, Unit: in.Unit, Owner: in.Owner, Engine: in.Engine, Host: in.Host, Port: in.Port, Service: in.Service, Class: in.Class, Title: in.Title, Weakness: in.Weakness, Overdue: in.Overdue, Attacked: in.Attacked, Exploited: in.Exploited, Sort: in.Sort}
	switch in.State {
	case "*":
	case "":
		q.States = []finding.State{finding.StateOpen, finding.Verified, finding.Repair, finding.Fixed}
	default:
		for _, s := range words(in.State) {
			q.States = append(q.States, finding.State(s))
		}
	}
	for _, l := range words(in.Level) {
		q.Levels = append(q.Levels, detections.Level(l))
	}
	return q
}

// maxFindingRows is how many findings a file holds.
const maxFindingRows = 50_000

// findingRoutes registers the findings on assets.
func (s *Server) findingRoutes() {
	f := s.deps.Weaknesses
	if f == nil {
		return
	}
	Register(s, exposureOperation("list-findings", http.MethodGet, "/findings", "What is wrong with assets, the most urgent first", 400, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			FindingInput
		}) (*Body[Page[finding.Finding]], error) {
			return pageWithin(ctx, in.Tenant, in.PageInput, findingProblem, func(within reach.Reach, from int) ([]finding.Finding, int, error) {
				q := in.question()
				q.Limit, q.Offset = in.Limit, from
				return f.List(ctx, within, q)
			})
		})
	Register(s, exposureOperation("export-findings", http.MethodGet, "/findings/export", "The same as a file, at most 50,000 rows", 400, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TableInput
			FindingInput
		}) (*huma.StreamResponse, error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			q := in.question()
			q.Limit = 1000
			var rows [][]any
			for len(rows) < maxFindingRows {
				list, total, err := f.List(ctx, within, q)
				if err != nil {
					return nil, findingProblem(err)
				}
				for i := range list {
					x := &list[i]
					due := ""
					if !x.Due.IsZero() {
						due = x.Due.Format(time.RFC3339)
					}
					rows = append(rows, []any{x.ID, x.Weakness, strings.Join(x.Aliases, " "), x.Title.ZH, x.Title.EN, string(x.Level), x.Score, x.Priority, string(x.State), x.Host, x.Port, x.Service, x.Name, x.Item, x.Tenant, x.Unit, x.Owner, strings.Join(x.Engines, " "),
						x.FirstSeen.Format(time.RFC3339), x.LastSeen.Format(time.RFC3339), due, x.Overdue, x.Why.ZH, x.Why.EN})
				}
				q.Offset += len(list)
				if len(list) == 0 || q.Offset >= total {
					break
				}
			}
			return tableAnswer("findings", in.Format, []string{"id", "weakness", "aliases", "title_zh", "title_en", "level", "score", "priority", "state", "host", "port", "service", "asset", "item", "tenant", "unit", "owner", "engines", "first_seen", "last_seen", "due_at", "overdue", "why_zh", "why_en"}, rows)
		})
	Register(s, exposureOperation("get-finding-figures", http.MethodGet, "/finding-figures", "Findings counted by state, level, unit and engine, with their trend of 30 days and how long repairs take", 400), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Tenant string `query:"tenant" maxLength:"4096"`
		}) (*Body[finding.FindingFigures], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			out, err := f.Figures(ctx, within)
			return Reply(out), findingProblem(err)
		})
	Register(s, exposureOperation("list-unit-progress", http.MethodGet, "/finding-figures/units", "How units repair their findings week by week, and how long ago their assets were looked at: at most 500, those with the most findings that count first", 400, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Weeks  int    `query:"weeks" minimum:"1" maximum:"53" default:"12" doc:"So many, this one too"`
			Unit   string `query:"unit" maxLength:"256" doc:"Id of an organisation; - for what has none"`
			Tenant string `query:"tenant" maxLength:"4096"`
		}) (*Body[Page[finding.UnitProgress]], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			var unit *string
			if in.Unit != "" {
				if unit = &in.Unit; in.Unit == "-" {
					unit = new(string)
				}
			}
			list, err := f.Progress(ctx, within, in.Weeks, unit)
			return Reply(PageOf(list, len(list), "")), findingProblem(err)
		})
	Register(s, exposureOperation("list-baseline-items", http.MethodGet, "/baseline-items", "The items of the configuration baseline that agents check, with the clause of MLPS level 3 or the CIS recommendation that asks for each"), identity.ScopeRead,
		func(context.Context, *struct{}) (*Body[Page[baseline.BaselineItem]], error) {
			list := baseline.Items()
			return Reply(PageOf(list, len(list), "")), nil
		})
	if judge := s.deps.Installed; judge != nil {
		Register(s, exposureOperation("get-inventory-judgement", http.MethodGet, "/inventory-judgement", "How far the packages of hosts, and the databases and middleware of the CMDB, are judged by the library of vulnerabilities: those of tenants that are wholly within reach", 400), identity.ScopeRead,
			func(ctx context.Context, in *struct {
				Tenant string `query:"tenant" maxLength:"4096"`
			}) (*Body[installed.InventoryJudgement], error) {
				within, err := Reach(ctx, in.Tenant)
				if err != nil {
					return nil, err
				}
				out, err := judge.Judgement(ctx, within)
				return Reply(out), err
			})
	}
	type findingDetail struct {
		finding.Finding
		History []finding.FindingEvent `json:"history" nullable:"false" doc:"The latest first, at most 200"`
		Orders  []finding.FindingOrder `json:"orders" nullable:"false" doc:"Work orders of it, the newest first, all of whose findings are within reach"`
	}
	Register(s, exposureOperation("get-finding", http.MethodGet, "/findings/{id}", "A finding with its evidence, solution and history", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Body[findingDetail], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			x, history, err := f.Get(ctx, within, in.ID)
			if err != nil {
				return nil, findingProblem(err)
			}
			orders, _, err := f.Orders(ctx, within, finding.OrderQuestion{Finding: in.ID})
			return Reply(findingDetail{x, history, orders}), findingProblem(err)
		})
	type findingsDone struct {
		Change   string `json:"change,omitempty" doc:"What undo names"`
		Findings int    `json:"findings"`
	}
	Register(s, exposureOperation("change-findings", http.MethodPost, "/findings/change", "Move findings to a state, give them an owner, a level or a comment: all or none", 404, 409, 422), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs []string `json:"ids" minItems:"1" maxItems:"1000" nullable:"false"`
				finding.FindingChange
			}
		}) (*Body[findingsDone], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "findings", "", fmt.Sprintf("%d findings: %s %s", len(in.Body.IDs), in.Body.State, clip(in.Body.Comment, 200)))
			change, err := f.Change(ctx, within, Actor(ctx), in.Body.IDs, in.Body.FindingChange)
			return Reply(findingsDone{change, len(in.Body.IDs)}), findingProblem(err)
		})
	Register(s, exposureOperation("undo-finding-change", http.MethodPost, "/finding-changes/{change}/undo", "Take back what was done to findings at once: a change, or a report taken in. Where something happened since, nothing is taken back", 404, 409), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Change string `path:"change" maxLength:"64"`
		}) (*Body[findingsDone], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "findings", "", "undo "+clip(in.Change, 64))
			n, err := f.Undo(ctx, within, Actor(ctx), in.Change)
			return Reply(findingsDone{Findings: n}), findingProblem(err)
		})
}

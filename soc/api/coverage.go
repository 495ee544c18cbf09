package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/rhythm"
	"icewatch/soc/spreadsheet"
)

// maxCovered bounds the assets that are compared with what comes.
const maxCovered = 50_000

// coverageView is what comes of the systems, and what does not.
type coverageView struct {
	At      time.Time     `json:"at"`
	Tenants []rhythm.Part `json:"tenants" nullable:"false" doc:"Every tenant within reach, also those that send nothing"`
	Systems []rhythm.Part `json:"systems" nullable:"false"`
	Gaps    []rhythm.Gap  `json:"gaps" nullable:"false" doc:"Kinds of logs that are expected of the CMDB's assets, and do not come"`
	Partial bool          `json:"partial" doc:"There are more assets than were compared"`
}

// unfedRule is a rule that cannot fire for want of data.
type unfedRule struct {
	ID    string           `json:"id"`
	Title detections.Text  `json:"title"`
	Level detections.Level `json:"level"`
	Path  string           `json:"path"`
}

// unfedView are the rules that cannot fire for want of data.
type unfedView struct {
	Items []unfedRule `json:"items" nullable:"false"`
	Total int         `json:"total" doc:"Such rules in all, on this page and others"`
	Next  string      `json:"next" doc:"Give it as cursor to get the next page; empty on the last"`
	Of    int         `json:"of" doc:"Rules in force, without correlations"`
}

// unfed lists the rules in force of whose log source no event came. Rules are the
// city's, and so is what comes for them.
func (s *Server) unfed(ctx context.Context) (out []unfedRule, of int, err error) {
	list, err := s.deps.Rules.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	out = []unfedRule{}
	for i := range list {
		r := &list[i]
		if r.Cost == nil || r.Kind == "correlation" || r.Stage != "" {
			continue
		}
		if of++; r.Cost.Unfed {
			out = append(out, unfedRule{r.ID, r.Title, r.Level, r.Path})
		}
	}
	slices.SortStableFunc(out, func(a, b unfedRule) int {
		return slices.Index(detections.Levels, b.Level) - slices.Index(detections.Levels, a.Level)
	})
	return out, of, nil
}

// CoverageFilter says which sources are meant.
type CoverageFilter struct {
	State   string `query:"state" enum:"all,ok,silent,flood,new" default:"all"`
	Tenant  string `query:"tenant" maxLength:"4096"`
	System  string `query:"system" maxLength:"256" doc:"Id of a business system"`
	Dataset string `query:"dataset" maxLength:"256"`
	Q       string `query:"q" maxLength:"256" doc:"Part of source, item, system, dataset or address"`
}

// covered lists the sources within a reach: of tenants that it covers whole. What
// is nobody's is for who sees everything.
func (s *Server) covered(ctx context.Context, tenant string) (list []rhythm.Source, within reach.Reach, err error) {
	within, err = Reach(ctx, tenant)
	if err != nil {
		return nil, within, err
	}
	everything := seesEverything(ctx) && tenant == ""
	list = slices.DeleteFunc(s.deps.Holdings.Rhythm.List(time.Now()), func(x rhythm.Source) bool {
		return !(x.Tenant == "" && everything || x.Tenant != "" && within.CoversWhole(x.Tenant))
	})
	return list, within, nil
}

func (s *Server) filtered(ctx context.Context, f CoverageFilter) ([]rhythm.Source, error) {
	list, _, err := s.covered(ctx, f.Tenant)
	q := strings.ToLower(f.Q)
	return slices.DeleteFunc(list, func(x rhythm.Source) bool {
		return f.State != "" && f.State != "all" && x.State != f.State || f.System != "" && x.System != f.System || f.Dataset != "" && x.Dataset != f.Dataset ||
			q != "" && !strings.Contains(strings.ToLower(strings.Join([]string{x.Source, x.ItemName, x.SystemName, x.Dataset, x.Peer}, " ")), q)
	}), err
}

// expectations lists the assets of which a log is expected.
func (s *Server) expectations(ctx context.Context, within reach.Reach) (out []rhythm.Asset, partial bool, err error) {
	if s.deps.CMDB == nil {
		return nil, false, nil
	}
	model := s.deps.CMDB.Model()
	classes := slices.DeleteFunc(rhythm.Classes(), func(c string) bool { return model.Class(c) == nil })
	f := cmdb.Filter{Classes: classes, Limit: 1000}
	for len(classes) > 0 {
		page, err := s.deps.CMDB.Items(ctx, within, f)
		if err != nil {
			return nil, false, err
		}
		for _, it := range page.Items {
			if it.Tenant == "" || !within.CoversWhole(it.Tenant) {
				continue
			}
			a := rhythm.Asset{ID: it.ID, Name: it.Name, Class: it.Class, Tenant: it.Tenant, System: it.System, Names: append([]string{strings.ToLower(it.Name)}, it.Addresses...)}
			a.Names = append(a.Names, it.Hostnames...)
			out = append(out, a)
		}
		if f.Cursor = page.Next; f.Cursor == "" || len(out) >= maxCovered {
			return out, f.Cursor != "", nil
		}
	}
	return out, false, nil
}

func (s *Server) coverageRoutes() {
	Register(s, huma.Operation{OperationID: "get-coverage", Method: http.MethodGet, Path: "/coverage", Tags: []string{"coverage"},
		Summary: "Which tenants and systems send what, who is silent, and which logs are missing"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Tenant string `query:"tenant" maxLength:"4096"`
		}) (*Body[coverageView], error) {
			list, within, err := s.covered(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			var tenants []string
			for _, t := range s.deps.Tenants.List() {
				if within.CoversWhole(t.Slug) {
					tenants = append(tenants, t.Slug)
				}
			}
			assets, partial, err := s.expectations(ctx, within)
			if err != nil {
				return nil, err
			}
			v := coverageView{At: time.Now().UTC(), Partial: partial, Gaps: rhythm.Gaps(list, assets)}
			v.Tenants, v.Systems = rhythm.Parts(list, tenants)
			return Reply(v), nil
		})
	Register(s, huma.Operation{OperationID: "list-coverage-sources", Method: http.MethodGet, Path: "/coverage/sources", Tags: []string{"coverage"},
		Summary: "Sources by dataset: since when, last seen, rate against the learnt rhythm, silent or flooding"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			CoverageFilter
		}) (*Body[Page[rhythm.Source]], error) {
			list, err := s.filtered(ctx, in.CoverageFilter)
			if err != nil {
				return nil, err
			}
			// What needs somebody comes first.
			rank := []string{rhythm.Silent, rhythm.Flood, rhythm.New, rhythm.OK}
			slices.SortStableFunc(list, func(a, b rhythm.Source) int { return slices.Index(rank, a.State) - slices.Index(rank, b.State) })
			page, err := paged(list, in.PageInput)
			return Reply(page), err
		})
	Register(s, huma.Operation{OperationID: "list-coverage-rules", Method: http.MethodGet, Path: "/coverage/rules", Tags: []string{"coverage"},
		Summary: "Rules that cannot fire for want of data: no event of their log source came since the engine started"}, identity.ScopeRead,
		func(ctx context.Context, in *struct{ PageInput }) (*Body[unfedView], error) {
			list, of, err := s.unfed(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(list, in.PageInput)
			return Reply(unfedView{page.Items, page.Total, page.Next, of}), err
		})
	Register(s, huma.Operation{OperationID: "export-coverage", Method: http.MethodGet, Path: "/coverage/export", Tags: []string{"coverage"},
		Summary: "The sources as CSV", Responses: map[string]*huma.Response{"200": {Description: "OK",
			Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: "string"}}}}}}, identity.ScopeRead,
		func(ctx context.Context, in *CoverageFilter) (*huma.StreamResponse, error) {
			list, err := s.filtered(ctx, *in)
			if err != nil {
				return nil, err
			}
			var buf bytes.Buffer
			if err := coverageCSV(&buf, list); err != nil {
				return nil, err
			}
			return bodyAnswer("text/csv; charset=utf-8", buf.Bytes()), nil
		})
	Register(s, huma.Operation{OperationID: "forget-coverage-source", Method: http.MethodDelete, Path: "/coverage/sources/{id}", Tags: []string{"coverage"}, DefaultStatus: http.StatusNoContent, Errors: []int{404},
		Summary: "Take a source off the list that will not send again, and with it its alarm; what it sends from now on is learnt anew"}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*Empty, error) {
			AuditObject(ctx, "coverage:"+in.ID, "", "")
			list, _, err := s.covered(ctx, "")
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(list, func(x rhythm.Source) bool { return x.ID == in.ID }) {
				return nil, NotFound("source", in.ID)
			}
			err = s.deps.Holdings.Rhythm.Forget(ctx, in.ID)
			if errors.Is(err, rhythm.ErrNoSource) {
				return nil, NotFound("source", in.ID)
			}
			return nil, err
		})
}

func coverageCSV(buf *bytes.Buffer, list []rhythm.Source) error {
	w := csv.NewWriter(buf)
	rows := [][]string{{"tenant", "system", "source", "item", "owner", "dataset", "collector", "address", "state", "since", "first_seen", "last_seen", "events_per_second", "usual_per_second"}}
	for _, x := range list {
		since := ""
		if x.Since != nil {
			since = x.Since.Format(time.RFC3339)
		}
		figure := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
		row := []string{x.Tenant, x.SystemName, x.Source, x.ItemName, x.Owner, x.Dataset, x.Collector, x.Peer, x.State, since, x.FirstSeen.Format(time.RFC3339), x.LastSeen.Format(time.RFC3339), figure(x.Rate), figure(x.Usual)}
		rows = append(rows, spreadsheet.Row(row))
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("write the coverage: %w", err)
	}
	return nil
}

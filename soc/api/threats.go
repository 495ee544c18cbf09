package api

import (
	"context"
	"net/http"

	"icewatch/cmdb"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing"
)

// maxBelow is how many items that belong to an organisation are looked at for
// alerts.
const maxBelow = 2000

// threats are what happens to an item, or to what belongs to it.
type threats struct {
	Alerts         []ticketing.Alert    `json:"alerts" nullable:"false" doc:"The latest that are not closed"`
	AlertsTotal    int                  `json:"alerts_total"`
	Incidents      []ticketing.Incident `json:"incidents" nullable:"false" doc:"The latest that are not closed"`
	IncidentsTotal int                  `json:"incidents_total"`
	Items          int                  `json:"items" doc:"Of how many items and systems these are; of an organisation those within reach that belong to it or to an organisation below it"`
	Partial        bool                 `json:"partial,omitempty" doc:"More than 2,000 items belong to it: these alone were looked at"`
}

// threatRoutes registers what an asset's, a system's or a unit's card expands to.
func (t *tickets) threatRoutes(s *Server) {
	Register(s, cmdbOperation("list-cmdb-item-threats", http.MethodGet, "/items/{id}/threats", "Alerts and incidents, not closed, of an item, of a system or of all that belongs to an organisation", 404), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			ID    string `path:"id" maxLength:"256"`
			Limit int    `query:"limit" minimum:"1" maximum:"100" default:"5" doc:"Of each at most"`
		}) (*Body[threats], error) {
			c, within, err := s.cmdbFor(ctx)
			if err != nil {
				return nil, err
			}
			it, err := c.Get(ctx, within, in.ID)
			if err != nil {
				return nil, err
			}
			ids, partial := []string{it.ID}, false
			if it.Class == cmdb.Organisation {
				if ids, partial, err = s.belonging(ctx, c, within, it.ID); err != nil {
					return nil, err
				}
			}
			out := threats{Alerts: []ticketing.Alert{}, Incidents: []ticketing.Incident{}, Items: len(ids), Partial: partial}
			open := []string{string(ticketing.StatusOpen), string(ticketing.StatusAcknowledged)}
			page := ticketing.Page{Limit: in.Limit, Sort: "-last_seen"}
			if out.Alerts, out.AlertsTotal, _, err = t.svc.Alerts(ctx, ticketing.AlertQuery{Reach: within, Statuses: open, About: ids, Page: page}); err != nil {
				return nil, ticketProblem(err)
			}
			if out.Incidents, out.IncidentsTotal, _, err = t.svc.Incidents(ctx, ticketing.IncidentQuery{Reach: within, Statuses: open, About: ids, Page: page}); err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(out), nil
		})
}

// belonging are the ids of what belongs to an organisation, with the organisations
// below it and what belongs to these.
func (s *Server) belonging(ctx context.Context, c CMDB, within reach.Reach, id string) (ids []string, partial bool, err error) {
	seen := map[string]bool{id: true}
	ids = []string{id}
	for next := []string{id}; len(next) > 0; {
		// Systems come first: most alerts name theirs.
		f := cmdb.Filter{Organisation: next[0], Limit: 1000, Sort: "class"}
		next = next[1:]
		for {
			page, err := c.Items(ctx, within, f)
			if err != nil {
				return nil, false, err
			}
			for _, it := range page.Items {
				if seen[it.ID] {
					continue
				}
				if len(ids) >= maxBelow {
					return ids, true, nil
				}
				seen[it.ID] = true
				ids = append(ids, it.ID)
				if it.Class == cmdb.Organisation {
					next = append(next, it.ID)
				}
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
	}
	return ids, false, nil
}

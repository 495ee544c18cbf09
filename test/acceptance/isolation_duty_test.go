package acceptance

import (
	"maps"
	"net/http"
	"net/url"
	"slices"

	"icewatch/soc/client"
	"icewatch/soc/reach"
)

// dutyTeam is a team on duty as the test knows it.
type dutyTeam struct {
	id      string
	tenants []string
}

// dutyTeams makes a team for each tenant, one for two of them and one for all,
// before anything happens. They call nobody for a week, so that nothing is sent
// while the test looks.
func (c *city) dutyTeams() {
	c.t.Helper()
	var of [][]string
	for _, x := range c.town.Tenants {
		of = append(of, []string{x.Slug})
	}
	of = append(of, []string{c.town.Tenants[0].Slug, c.town.Tenants[1].Slug}, []string{})
	for _, tenants := range of {
		var made struct{ ID string }
		c.must(http.MethodPost, "/api/v1/duty/teams", map[string]any{"name": map[string]string{"zh": "值班", "en": "Duty"}, "tenants": tenants,
			"lines":    []map[string]any{{"key": "first", "name": map[string]string{"zh": "一线", "en": "First"}, "layers": []map[string]any{{"from": "2026-01-01", "people": [][]string{{"admin"}}}}}},
			"policies": []map[string]any{{"steps": []map[string]any{{"after_minutes": 10080, "lines": []string{"first"}}}}}}, &made)
		c.teams = append(c.teams, dutyTeam{made.ID, tenants})
	}
}

// handOver has each team's shift be handed to somebody, with a note left.
func (c *city) handOver(to string) {
	c.t.Helper()
	for _, team := range c.teams {
		c.must(http.MethodPost, "/api/v1/duty/notes", map[string]any{"team": team.id, "text": "isolation"}, nil)
		c.must(http.MethodPost, "/api/v1/duty/handovers", map[string]any{"team": team.id, "line": "first", "incoming": to, "text": "isolation"}, nil)
	}
}

// compareDuty holds teams, their calendars and statistics and what their people
// write against what the viewer may see. seen are the incidents that he sees.
func (c *city) compareDuty(viewer *client.Client, shows func(reach.Facts) bool, seen map[string]bool, wrong func(what string, got, want any)) {
	c.t.Helper()
	ctx := c.t.Context()
	get := func(path string, query url.Values, out any) {
		c.t.Helper()
		if err := viewer.Get(ctx, path, query, out); err != nil {
			c.t.Fatalf("GET %s %v: %v", path, query, err)
		}
	}
	want := map[string]bool{}
	for _, team := range c.teams {
		if slices.ContainsFunc(team.tenants, func(t string) bool { return shows(reach.Facts{Tenant: t}) }) {
			want[team.id] = true
		}
	}
	everything := len(seen) > 0
	for _, x := range c.items {
		everything = everything && shows(x)
	}
	var teams struct{ Items []struct{ ID string } }
	get("/api/v1/duty/teams", nil, &teams)
	got := map[string]bool{}
	for _, team := range teams.Items {
		got[team.ID] = true
	}
	last := c.teams[len(c.teams)-1].id // everybody's: for who sees everything alone
	if !everything && got[last] {
		wrong("the teams", "everybody's", "none")
	}
	delete(got, last)
	if !maps.Equal(got, want) {
		wrong("the teams", sorted(got), sorted(want))
	}
	status := func(path string, query url.Values) int {
		resp, err := viewer.Do(ctx, http.MethodGet, path, query, nil, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, team := range c.teams[:len(c.teams)-1] {
		may := map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[want[team.id]]
		for _, part := range []string{"", "/calendar", "/calendar.ics"} {
			if n := status("/api/v1/duty/teams/"+team.id+part, nil); n != may {
				wrong("/duty/teams/{id}"+part+" of "+team.tenants[0], n, may)
			}
		}
		// What people write is for who sees all of all tenants that the team looks after.
		hidden := slices.ContainsFunc(team.tenants, func(t string) bool {
			if !shows(reach.Facts{Tenant: t}) {
				return true
			}
			for _, f := range c.items {
				if f.Tenant == t && !shows(f) {
					return true
				}
			}
			return false
		})
		for _, path := range []string{"/api/v1/duty/notes", "/api/v1/duty/handovers"} {
			if n := status(path, url.Values{"team": {team.id}}); hidden && n == http.StatusOK {
				wrong(path+" of "+team.tenants[0], n, "none")
			}
		}
	}
	type brief struct{ ID string }
	var handed struct {
		Items []struct{ Opened, Closed, Open []brief }
	}
	get("/api/v1/duty/handovers", nil, &handed) // they are all to him
	told := map[string]bool{}
	for _, h := range handed.Items {
		for _, b := range slices.Concat(h.Opened, h.Closed, h.Open) {
			told[b.ID] = true
		}
	}
	if len(handed.Items) != len(c.teams) {
		wrong("the hand-overs to me", len(handed.Items), len(c.teams))
	}
	for id := range told {
		if !seen[id] {
			wrong("an incident in a hand-over", id, sorted(seen))
		}
	}
	var statistics struct {
		Lines []struct {
			Group     string
			Incidents int
		}
		Shares []struct{ Team string }
	}
	get("/api/v1/duty/statistics", url.Values{"by": {"tenant"}, "from": {"72h"}}, &statistics)
	if n := len(statistics.Lines); n == 0 && len(seen) > 0 || n > 0 && statistics.Lines[n-1].Incidents != len(seen) {
		wrong("the statistics of duty", statistics.Lines, len(seen))
	}
	for _, s := range statistics.Shares {
		if !want[s.Team] && !(everything && s.Team == last) {
			wrong("the shares of duty", s.Team, sorted(want))
		}
	}
	want = map[string]bool{}
	for id, f := range c.items {
		if c.class[id] == "business_system" && shows(f) {
			want[id] = true
		}
	}
	var uptime struct {
		Systems []struct{ System string }
	}
	get("/api/v1/sla/availability", url.Values{"from": {"72h"}}, &uptime)
	got = map[string]bool{}
	for _, x := range uptime.Systems {
		got[x.System] = true
	}
	if !maps.Equal(got, want) {
		wrong("the systems whose availability is told", sorted(got), sorted(want))
	}
	var reports struct{ Items []struct{ Tenants []string } }
	get("/api/v1/daily-reports", nil, &reports)
	if !everything && len(reports.Items) > 0 { // they are the city's
		wrong("the daily reports", len(reports.Items), 0)
	}
}

// compareAttackers holds the attackers, with the addresses that they come from,
// against the alerts that the viewer may see.
func (c *city) compareAttackers(alerts []alert, visible map[string]bool, get func(string, url.Values, any), wrong func(string, any, any)) {
	c.t.Helper()
	want := map[string]int{}
	for _, a := range alerts {
		if visible[a.ID] && a.Attacker != nil && a.Attacker.IP != "" {
			want[a.Attacker.IP]++
		}
	}
	var list struct {
		Items []struct {
			Attacker string
			Alerts   int
		}
	}
	get("/api/v1/attackers", url.Values{"limit": {"1000"}}, &list)
	got := map[string]int{}
	for _, a := range list.Items {
		got[a.Attacker] = a.Alerts
	}
	if !maps.Equal(got, want) {
		wrong("the attackers", got, want)
	}
}

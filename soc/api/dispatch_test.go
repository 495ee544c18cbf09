package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/egress"
	"icewatch/soc/identity"
	"icewatch/soc/preferences"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing"
	"icewatch/ticketing/daily"
	"icewatch/ticketing/disposal"
	"icewatch/ticketing/notice"
	"icewatch/ticketing/transition"
	"icewatch/ticketing/workorder"
)

func openDispatch(t *testing.T, db *state.DB, tickets *ticketing.Service) *Dispatch {
	t.Helper()
	guard, err := egress.New(egress.Options{Allow: []string{"127.0.0.1/32"}})
	if err != nil {
		t.Fatal(err)
	}
	log, desk := slog.New(slog.DiscardHandler), ticketing.Desk{Service: tickets}
	d := &Dispatch{Moves: transition.Default}
	if d.Orders, err = workorder.Open(t.Context(), db, workorder.Deps{Tickets: desk, Seal: seal.Ephemeral(workorder.Sealed()...), Egress: guard, Log: log}); err != nil {
		t.Fatal(err)
	}
	if d.Rules, err = disposal.Open(t.Context(), db, disposal.Deps{Tickets: desk, Log: log}); err != nil {
		t.Fatal(err)
	}
	d.Notices, err = notice.Open(t.Context(), db, notice.Deps{May: func(context.Context, string, string) error { return nil },
		Move: func(from, to string) (transition.Move, bool) {
			return transition.Default().Find(transition.Notice, from, to)
		}})
	if err != nil {
		t.Fatal(err)
	}
	d.Daily, err = daily.Open(t.Context(), db, daily.Deps{Tickets: tickets, Plans: daily.Default, Log: log, Reach: func([]string) (reach.Reach, error) { return reach.All(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	if d.Preferences, err = preferences.Open(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDispatch hands an incident to another system and takes its result back,
// by the API alone, and looks at it as others would.
func TestDispatch(t *testing.T) {
	t.Parallel()
	var d *Dispatch
	s := newSuite(t, func(deps *Deps) { d = deps.Dispatch })
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer their-token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"id":"T-1","state":"new"}`)
	}))
	t.Cleanup(peer.Close)
	city := bearer(s.token("", identity.ScopeRead, identity.ScopeRespond, identity.ScopeConfigure))
	mine, others := bearer(s.token("a", identity.ScopeRead, identity.ScopeRespond, identity.ScopeConfigure)), bearer(s.token("b", identity.ScopeRead, identity.ScopeRespond, identity.ScopeConfigure))
	do := func(as []string, method, path, body string, want int, out any) {
		t.Helper()
		a := s.call(method, path, body, as...)
		if a.status != want {
			t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, want, a.body)
		}
		if out != nil {
			if err := json.Unmarshal(a.body, out); err != nil {
				t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
			}
		}
	}
	// A rule of disposal is there before the incident.
	rule := `{"name":"一级","enabled":true,"on":"incident","severities":["high"],"assign":{"to":"user","user":"li"}}`
	do(mine, "POST", "/api/v1/disposal-rules", rule, 403, nil)
	var made struct {
		ID    string
		State string
	}
	do(city, "POST", "/api/v1/disposal-rules", rule, 201, &made)
	do(city, "POST", "/api/v1/disposal-rules", strings.Replace(rule, "high", "worst", 1), 422, nil)
	now := time.Now().UTC()
	for i := range 2 {
		err := s.tickets.Ingest(t.Context(), []detections.Occurrence{{ID: fmt.Sprint("o", i), Key: fmt.Sprint("k", i), Tenant: "a", Time: now, From: now, Count: 1, Priority: "P2",
			Rule:   detections.RuleRef{ID: "guess", Title: detections.Text{EN: "Guessing", ZH: "口令猜测"}, Level: detections.High, Kind: "sigma"},
			Fields: map[string]string{"source.ip": "203.0.113.7", "host.name": "h"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var page struct {
		Total int
		Items []struct{ ID, Assignee, Object, State string }
	}
	do(mine, "GET", "/api/v1/incidents", "", 200, &page)
	if len(page.Items) == 0 {
		t.Fatal("no incident")
	}
	id := page.Items[0].ID
	if err := d.Rules.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	do(mine, "GET", "/api/v1/incidents?assignee=li", "", 200, &page)
	if page.Total == 0 {
		t.Error("the rule assigned nothing")
	}
	do(mine, "GET", "/api/v1/disposal-records?object="+id, "", 200, &page)
	if page.Total != 1 || page.Items[0].Object != id {
		t.Errorf("records: %+v", page)
	}
	do(others, "GET", "/api/v1/disposal-records", "", 200, &page)
	if page.Total != 0 {
		t.Errorf("another tenant sees records: %+v", page)
	}
	do(city, "POST", "/api/v1/disposal-rules/preview", rule, 200, &page)
	if page.Total == 0 {
		t.Error("the preview finds nothing")
	}

	// The connection, its trial, an order, its result.
	content := fmt.Sprintf(`"connection":{"name":"desk","enabled":true,"url":%q,"close":true},"secrets":{"token":"their-token"}`, peer.URL+"/orders")
	do(mine, "POST", "/api/v1/work-order-connections", "{"+content+"}", 403, nil)
	var connection struct {
		Connection struct{ ID string }
		Token      string
		Path       string
	}
	do(city, "POST", "/api/v1/work-order-connections", "{"+content+"}", 201, &connection)
	var trial struct{ ID, Error, Means string }
	do(city, "POST", "/api/v1/work-order-connections/test", `{"send":true,`+content+"}", 200, &trial)
	if trial.ID != "T-1" || trial.Means != "open" || trial.Error != "" {
		t.Errorf("trial: %+v", trial)
	}
	if a := s.call("GET", "/api/v1/work-order-connections", "", city...); strings.Contains(string(a.body), "their-token") {
		t.Errorf("a secret is shown: %s", a.body)
	}
	body := fmt.Sprintf(`{"connection":%q,"object":%q}`, connection.Connection.ID, id)
	do(others, "POST", "/api/v1/work-orders", body, 404, nil)
	do(mine, "POST", "/api/v1/work-orders", body, 201, &made)
	do(mine, "POST", "/api/v1/work-orders", body, 409, nil)
	order := "/api/v1/work-orders/" + made.ID
	if err := d.Orders.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	do(others, "GET", order, "", 404, nil)
	do(others, "POST", order+"/again", "", 404, nil)
	do(mine, "POST", order+"/sync", "", 200, nil)
	do(others, "GET", "/api/v1/work-orders", "", 200, &page)
	if page.Total != 0 {
		t.Errorf("another tenant sees orders: %+v", page)
	}
	if a := s.call("POST", "/work-order-hooks/whstranger", `{"id":"T-1","state":"done"}`); a.status != 401 {
		t.Errorf("a stranger's result: %d", a.status)
	}
	do(nil, "POST", connection.Path, `{"id":"T-9","state":"done"}`, 404, nil)
	do(bearer(connection.Token), "POST", "/work-order-hooks/"+connection.Connection.ID, `{"id":"T-1","state":"done","note":"修好了"}`, 200, nil)
	var incident struct {
		Status     string
		ClosedBy   string `json:"closed_by"`
		ArchivedBy string `json:"archived_by"`
	}
	do(mine, "GET", "/api/v1/incidents/"+id, "", 200, &incident)
	if incident.Status != "closed" || incident.ClosedBy != "work-order:desk" {
		t.Errorf("the incident: %+v", incident)
	}

	// The archive, the moves, the figures.
	do(others, "POST", "/api/v1/incidents/"+id+"/archive", "", 404, nil)
	do(mine, "POST", "/api/v1/incidents/"+id+"/archive", "", 200, &incident)
	do(mine, "GET", "/api/v1/incidents?archived=only", "", 200, &page)
	if page.Total != 1 || incident.ArchivedBy == "" {
		t.Errorf("archived: %+v %+v", page, incident)
	}
	do(mine, "POST", "/api/v1/incidents/"+id+"/restore", "", 200, nil)
	var moves struct{ To []string }
	do(mine, "GET", "/api/v1/incidents/"+id+"/moves", "", 200, &moves)
	if fmt.Sprint(moves.To) != "[open]" {
		t.Errorf("moves: %v", moves.To)
	}
	var figures struct {
		Total struct{ Incidents, Alerts int }
		By    []struct{ By string }
	}
	do(mine, "GET", "/api/v1/incidents/figures?days=14", "", 200, &figures)
	if figures.Total.Incidents == 0 || figures.Total.Alerts != 2 || len(figures.By) != len(ticketing.Dimensions) {
		t.Errorf("figures: %+v", figures)
	}
	do(others, "GET", "/api/v1/incidents/figures", "", 200, &figures)
	if figures.Total.Incidents+figures.Total.Alerts != 0 {
		t.Errorf("another tenant's figures: %+v", figures.Total)
	}
	do(mine, "GET", "/api/v1/incidents/figures?zone=Mars", "", 422, nil)
	do(mine, "GET", "/api/v1/me/preferences/incidents", "", 403, nil) // a token without an owner

	// A notice, from its draft to the receipt; a daily report.
	do(mine, "POST", "/api/v1/notices", `{"kind":"warning","name":"预警","level":"high","tenants":["b"]}`, 422, nil)
	do(city, "POST", "/api/v1/notices", `{"kind":"warning","name":"预警","level":"high","tenants":["a","b"],"body":[{"type":"text","runs":[{"text":"请注意","bold":true}]}]}`, 201, &made)
	path := "/api/v1/notices/" + made.ID
	// Whatever roles they have: what is left is that another person approves.
	d.Moves = func() transition.Table {
		table := transition.Default()
		for i := range table.Moves {
			table.Moves[i].Roles = nil
		}
		return table
	}
	do(mine, "GET", path, "", 404, nil)
	do(city, "POST", path+"/move", `{"to":"review"}`, 200, nil)
	do(city, "POST", path+"/move", `{"to":"approved"}`, 409, nil) // by the same person
	do(city, "GET", path, "", 200, &moves)
	if fmt.Sprint(moves.To) != "[draft]" {
		t.Errorf("moves of who submitted the notice: %v", moves.To)
	}
	_, secret, err := s.identity.CreateToken(t.Context(), identity.NewToken{Name: "officer", Scopes: []string{identity.ScopeRead, identity.ScopeRespond}})
	if err != nil {
		t.Fatal(err)
	}
	officer := bearer(secret)
	do(officer, "GET", path, "", 200, &moves)
	if fmt.Sprint(moves.To) != "[draft approved]" {
		t.Errorf("moves of another officer: %v", moves.To)
	}
	do(officer, "POST", path+"/move", `{"to":"approved"}`, 200, nil)
	do(officer, "POST", path+"/move", `{"to":"published"}`, 200, nil)
	var board struct{ Read, Unread int }
	do(mine, "GET", "/api/v1/notices/board", "", 200, &board)
	if board.Unread != 1 || board.Read != 0 {
		t.Errorf("the board: %+v", board)
	}
	do(mine, "POST", path+"/read", "", 200, nil)
	var detail struct {
		Notice struct {
			Read       bool
			Recipients []struct{ Tenant string }
		}
	}
	do(mine, "GET", path, "", 200, &detail)
	if !detail.Notice.Read || len(detail.Notice.Recipients) != 1 || detail.Notice.Recipients[0].Tenant != "a" {
		t.Errorf("the notice: %+v", detail)
	}
	do(mine, "POST", "/api/v1/daily-reports", `{"plan":"city"}`, 404, nil)
	do(city, "POST", "/api/v1/daily-reports", `{"plan":"city"}`, 201, &made)
	do(mine, "GET", "/api/v1/daily-reports/"+made.ID+"/file", "", 404, nil)
	if a := s.call("GET", "/api/v1/daily-reports/"+made.ID+"/file", "", city...); a.status != 200 || !strings.HasPrefix(string(a.body), "%PDF-") {
		t.Errorf("the report: %d %.20q", a.status, a.body)
	}
}

package api

import (
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/identity"
)

func TestTicketsThroughTheAPI(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	now := time.Now().UTC()
	var occ []detections.Occurrence
	for _, tenant := range []string{"a", "b"} {
		occ = append(occ, detections.Occurrence{ID: "o-" + tenant, Key: "k-" + tenant, Tenant: tenant, Time: now, From: now, Count: 3, Priority: "P2",
			Rule: detections.RuleRef{ID: "r1", Title: detections.Text{EN: "Guessing", ZH: "猜测"}, Level: detections.High, Kind: "sigma"}})
	}
	if err := s.tickets.Ingest(t.Context(), occ); err != nil {
		t.Fatal(err)
	}
	mine := bearer(s.token("a", identity.ScopeRead, identity.ScopeRespond))
	city := bearer(s.token("", identity.ScopeRead, identity.ScopeRespond))
	only := func(path string, headers ...string) map[string]any {
		t.Helper()
		a := s.call("GET", path, "", headers...)
		items, _ := a.json(t)["items"].([]any)
		if a.status != 200 || len(items) != 1 {
			t.Fatalf("%s: %d, %d items: %s", path, a.status, len(items), a.body)
		}
		return items[0].(map[string]any)
	}
	if a := s.call("GET", "/api/v1/alerts", "", city...); len(a.json(t)["items"].([]any)) != 2 {
		t.Fatalf("the city sees %s", a.body)
	}
	alert := only("/api/v1/alerts", mine...)
	other := only("/api/v1/alerts?tenant=b", city...)
	incident := only("/api/v1/incidents?status=open", mine...)
	if alert["tenant"] != "a" || other["tenant"] != "b" || incident["tenant"] != "a" {
		t.Fatalf("%v, %v, %v", alert["tenant"], other["tenant"], incident["tenant"])
	}
	if a := s.call("GET", "/api/v1/alerts?severity=low", "", city...); len(a.json(t)["items"].([]any)) != 0 {
		t.Errorf("a filter that matches nothing: %s", a.body)
	}
	f := func(method, path, body string, want int, parts ...string) {
		t.Helper()
		a := s.call(method, path, body, mine...)
		if a.status != want {
			t.Errorf("%s %s: got %d, want %d: %s", method, path, a.status, want, a.body)
		}
		for _, p := range parts {
			if !strings.Contains(string(a.body), p) {
				t.Errorf("%s %s: %q is not in %s", method, path, p, a.body)
			}
		}
	}
	id, foreign := "/api/v1/alerts/"+alert["id"].(string), "/api/v1/alerts/"+other["id"].(string)
	f("GET", id, "", 200, `"tenant":"a"`)
	f("GET", foreign, "", 404)
	f("POST", foreign+"/acknowledge", "{}", 404)
	f("POST", foreign+"/close", `{"resolution":"benign"}`, 404)
	f("POST", id+"/acknowledge", "", 200, `"acknowledged"`)
	f("POST", id+"/acknowledge", "{}", 409, `"location":"status"`, `"value":{`)
	f("POST", id+"/close", `{"resolution":"whatever"}`, 422)
	f("POST", id+"/close", `{"resolution":"benign","comment":"backup"}`, 200, `"closed"`)
	f("GET", "/api/v1/incidents/"+incident["id"].(string), "", 200, `"timeline"`)
	f("POST", "/api/v1/incidents/"+incident["id"].(string)+"/close", `{"resolution":"benign","close_alerts":false}`, 200, `"closed"`)
	f("GET", "/api/v1/overview", "", 200, `"incidents_open":0`)
}

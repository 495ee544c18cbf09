package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/rules"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing"
	"icewatch/ticketing/duty"
	"icewatch/ticketing/source"
)

// foreignPath writes a route's path with what is another unit's in its places.
func foreignPath(path string, theirs map[string]string) string {
	room := strings.SplitN(strings.TrimPrefix(path, prefix+"/"), "/", 2)[0]
	for {
		start, end := strings.IndexByte(path, '{'), strings.IndexByte(path, '}')
		if start < 0 {
			return path
		}
		name := path[start+1 : end]
		value := theirs[room+" "+name]
		if value == "" {
			value = theirs[name]
		}
		path = path[:start] + url.PathEscape(value) + path[end+1:]
	}
}

// unheard takes the alerts of sources in and keeps none.
type unheard struct{ source.Tickets }

// TestAUnitSeesOnlyItsOwn walks the whole list of routes that read: whatever a
// room hands out, a unit finds nothing in it of another unit's alerts,
// incidents and what people keep of them, and a route about one of them answers
// as if there were none. A new route is in the list as soon as it is registered.
func TestAUnitSeesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	var shifts *duty.Store
	var sources *source.Service
	s := newSuite(t, func(deps *Deps) {
		box := seal.Ephemeral(slices.Concat(duty.Sealed(), source.Sealed())...)
		if shifts, err = duty.Open(t.Context(), db, duty.Deps{Seal: box, Log: deps.Log}); err != nil {
			t.Fatal(err)
		}
		sources, err = source.Open(t.Context(), db, source.Deps{Templates: rules.AlertSources, Dir: "alertsources", Box: box, Log: deps.Log, Client: http.DefaultClient, Tickets: unheard{},
			Place:  func(w source.Where, _ map[string]string) string { return w.Tenant },
			Tenant: func(slug string) bool { return slug == "a" || slug == "b" },
			Reach:  func(tenant string) (reach.Reach, error) { return reach.Tenants(tenant), nil }})
		if err != nil {
			t.Fatal(err)
		}
		deps.Duty, deps.AlertSources = shifts, sources
	})
	now := time.Now().UTC()
	var occurrences []detections.Occurrence
	for tenant, word := range map[string]string{"a": "badger", "b": "zebra"} {
		for i := range 3 {
			occurrences = append(occurrences, detections.Occurrence{ID: fmt.Sprint("o", tenant, i), Key: fmt.Sprint("k", tenant, i), Tenant: tenant, Time: now, From: now, Count: 1, Priority: "P2",
				Judgement: detections.Judgement{Attacker: &detections.Party{IP: "203.0.113.7"}},
				Rule:      detections.RuleRef{ID: "rule-" + word, Title: detections.Text{EN: "Rule " + word, ZH: "规则 " + word}, Level: detections.High, Kind: "sigma", Techniques: []string{"T1110"}},
				Fields:    map[string]string{"source.ip": "203.0.113.7", "host.name": word, "url.full": "http://" + word + ".example/x", "user.name": word}})
		}
	}
	if err := s.tickets.Ingest(t.Context(), occurrences); err != nil {
		t.Fatal(err)
	}
	city := bearer(s.token("", identity.ScopeRead, identity.ScopeRespond, identity.ScopeConfigure))
	unit := bearer(s.token("a", identity.ScopeRead, identity.ScopeRespond, identity.ScopeConfigure))
	make := func(path, body string, headers ...string) string {
		t.Helper()
		a := s.call("POST", path, body, append(headers, city...)...)
		var out struct{ ID string }
		if err := json.Unmarshal(a.body, &out); err != nil || a.status >= 300 {
			t.Fatalf("POST %s: %d %s", path, a.status, a.body)
		}
		return out.ID
	}
	first := func(path string) string {
		t.Helper()
		var page struct{ Items []struct{ ID string } }
		a := s.call("GET", path, "", city...)
		if err := json.Unmarshal(a.body, &page); err != nil || len(page.Items) == 0 {
			t.Fatalf("GET %s: %d %s", path, a.status, a.body)
		}
		return page.Items[0].ID
	}
	alert, incident := first("/api/v1/alerts?tenant=b"), first("/api/v1/incidents?tenant=b")
	theirs := map[string]string{"id": incident, "alerts id": alert, "alert": alert, "incident": incident}
	// A capture of one packet, as libpcap writes it: what shows evidence shows its conversations, too.
	capture := []byte{0xd4, 0xc3, 0xb2, 0xa1}
	capture = append(capture, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0)
	capture = append(capture, 1, 0, 0, 0, 0, 0, 0, 0, 14, 0, 0, 0, 14, 0, 0, 0)
	capture = append(capture, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 7, 0x88, 0xcc)
	theirs["item"] = make("/api/v1/incidents/"+incident+"/evidence?name=zebra.pcap&reason=zebra", string(capture), "Content-Type", "application/octet-stream")
	theirs["task"] = make("/api/v1/incidents/"+incident+"/tasks", `{"title":"zebra"}`)
	theirs["report"] = make("/api/v1/incidents/"+incident+"/statutory", `{"kind":"first","level":"major","operator":"cii","known_at":1,"answers":{"unit":"zebra"}}`)
	theirs["disposal-plans id"] = make("/api/v1/disposal-plans", `{"name":"everybody's","steps":[{"title":"look"}]}`)
	make("/api/v1/incidents/"+incident+"/observables", `{"type":"domain","value":"zebra.example"}`)
	theirs["notices id"] = make("/api/v1/notices", `{"kind":"warning","name":"zebra","level":"high","tenants":["b"]}`)
	theirs["daily-reports id"] = make("/api/v1/daily-reports", `{"plan":"city"}`)
	var connected struct{ Connection struct{ ID string } }
	if a := s.call("POST", "/api/v1/work-order-connections", `{"connection":{"name":"desk","enabled":true,"url":"http://127.0.0.1:1/orders"}}`, city...); json.Unmarshal(a.body, &connected) != nil || a.status != 201 {
		t.Fatalf("connect a work-order system: %d %s", a.status, a.body)
	}
	theirs["work-orders id"] = make("/api/v1/work-orders", fmt.Sprintf(`{"connection":%q,"object":%q}`, connected.Connection.ID, incident))
	make("/api/v1/alerts/"+alert+"/assign", `{"assignee":"zebra"}`)
	make("/api/v1/incidents/"+incident+"/comments", `{"text":"about the zebra"}`)

	// A team that looks after both: the unit sees the team, not what its people write
	// of the other one.
	lead := ticketing.Actor{Name: "lead", Reach: reach.All()}
	line := duty.Line{Key: "first", Name: duty.Text{ZH: "一线", EN: "First"}, Layers: []duty.Layer{{From: "2026-01-01", People: [][]string{{"li"}, {"sun"}}}}}
	team, err := shifts.Put(t.Context(), lead, "", 0, duty.Content{Name: duty.Text{ZH: "值班", EN: "Duty"}, Tenants: []string{"a", "b"}, Lines: []duty.Line{line}})
	if err != nil {
		t.Fatal(err)
	}
	theirs["duty id"], theirs["team"] = team.ID, team.ID
	if _, err := shifts.AddNote(t.Context(), lead, team.ID, "the zebra is loose"); err != nil {
		t.Fatal(err)
	}
	li := ticketing.Actor{Name: "li", Reach: reach.All()}
	if _, err := shifts.Sign(t.Context(), li, s.tickets, team.ID, "first", "sun", "feed the zebra"); err != nil {
		t.Fatal(err)
	}
	other, _, err := sources.Create(t.Context(), source.Asker{Name: "lead", Within: reach.All()}, source.Content{Name: "zebra's UPS", Kind: source.KindWebhook, Enabled: true, Tenant: "b", Template: "generic-json"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sources.Take(t.Context(), other.ID, source.Message{Body: []byte(`{"id":7,"name":"zebra","host":"zebra"}`)}); err != nil {
		t.Fatal(err)
	}
	theirs["alert-sources id"] = other.ID

	about := func(path string) bool {
		return strings.HasPrefix(path, prefix+"/incidents/{id}") || strings.HasPrefix(path, prefix+"/alerts/{id}")
	}
	marks := []string{"zebra", alert, incident, theirs["item"], theirs["work-orders id"], theirs["notices id"], theirs["daily-reports id"], other.ID}
	walked, shown := 0, 0
	for key, op := range s.srv.declared {
		if op.Method != "GET" || op.Scope != identity.ScopeRead && op.Scope != identity.ScopeRespond && op.Scope != identity.ScopeConfigure && op.Scope != ScopeAny || strings.Contains(op.Path, "/tail") {
			continue
		}
		walked++
		path := foreignPath(op.Path, theirs)
		asked := s.call("GET", path, "", unit...)
		body := strings.ReplaceAll(string(asked.body), path, "") // a problem names what was asked for
		for _, mark := range marks {
			if mark != "" && strings.Contains(body, mark) && asked.status == 200 {
				t.Errorf("%s shows a unit %q of another one: %.300s", key, mark, body)
			}
		}
		if about(op.Path) && asked.status != 404 && asked.status != 403 {
			t.Errorf("%s about another unit's: %d %.200s", key, asked.status, asked.body)
		}
		whole := s.call("GET", path, "", city...)
		if about(op.Path) && whole.status != 200 {
			t.Errorf("%s cannot be walked: who sees everything gets %d %.200s", key, whole.status, whole.body)
		}
		if strings.Contains(string(whole.body), "zebra") {
			shown++
		}
	}
	for _, query := range []string{"/duty/notes?team=" + team.ID, "/duty/handovers?team=" + team.ID, "/duty/statistics?by=team", "/attackers", "/attackers.csv", "/daily-reports"} {
		if a := s.call("GET", prefix+query, "", unit...); strings.Contains(string(a.body), "zebra") || a.status != 200 && a.status != 403 {
			t.Errorf("%s shows a unit: %d %.300s", query, a.status, a.body)
		}
		if a := s.call("GET", prefix+query, "", city...); a.status != 200 {
			t.Errorf("%s: who sees everything gets %d %.200s", query, a.status, a.body)
		}
	}
	// The alert of each has one attacker in common: a unit counts its own alone.
	for _, x := range []struct {
		who    []string
		alerts int
	}{{unit, 3}, {city, 6}} {
		var list struct {
			Items []struct {
				Attacker string
				Alerts   int
				Tenants  []string
			}
		}
		a := s.call("GET", prefix+"/attackers", "", x.who...)
		if err := json.Unmarshal(a.body, &list); err != nil || len(list.Items) != 1 || list.Items[0].Alerts != x.alerts || len(list.Items[0].Tenants) != x.alerts/3 {
			t.Errorf("attackers: %d %s, want one of %d alerts", a.status, a.body, x.alerts)
		}
	}
	t.Logf("%d routes read, %d of them show the other unit to who may see it", walked, shown)
	if shown < 6 {
		t.Errorf("of %d routes only %d show anything: the walk proves nothing", walked, shown)
	}
	// The unit sees its own by the same roads.
	if a := s.call("GET", "/api/v1/alerts", "", unit...); a.status != 200 || !strings.Contains(string(a.body), "badger") {
		t.Errorf("its own alerts: %d %s", a.status, a.body)
	}
}

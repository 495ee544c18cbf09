package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/identity"
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

// TestAUnitSeesOnlyItsOwn walks the whole list of routes that read: whatever a
// room hands out, a unit finds nothing in it of another unit's alerts,
// incidents and what people keep of them, and a route about one of them answers
// as if there were none. A new route is in the list as soon as it is registered.
func TestAUnitSeesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	now := time.Now().UTC()
	var occurrences []detections.Occurrence
	for tenant, word := range map[string]string{"a": "badger", "b": "zebra"} {
		for i := range 3 {
			occurrences = append(occurrences, detections.Occurrence{ID: fmt.Sprint("o", tenant, i), Key: fmt.Sprint("k", tenant, i), Tenant: tenant, Time: now, From: now, Count: 1, Priority: "P2",
				Rule:   detections.RuleRef{ID: "rule-" + word, Title: detections.Text{EN: "Rule " + word, ZH: "规则 " + word}, Level: detections.High, Kind: "sigma", Techniques: []string{"T1110"}},
				Fields: map[string]string{"source.ip": "203.0.113.7", "host.name": word, "url.full": "http://" + word + ".example/x", "user.name": word}})
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

	about := func(path string) bool {
		return strings.HasPrefix(path, prefix+"/incidents/{id}") || strings.HasPrefix(path, prefix+"/alerts/{id}")
	}
	marks := []string{"zebra", alert, incident, theirs["item"], theirs["work-orders id"], theirs["notices id"], theirs["daily-reports id"]}
	walked, shown := 0, 0
	for key, op := range s.srv.declared {
		if op.Method != "GET" || op.Scope != identity.ScopeRead && op.Scope != identity.ScopeRespond && op.Scope != ScopeAny || strings.Contains(op.Path, "/tail") {
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
	t.Logf("%d routes read, %d of them show the other unit to who may see it", walked, shown)
	if shown < 6 {
		t.Errorf("of %d routes only %d show anything: the walk proves nothing", walked, shown)
	}
	// The unit sees its own by the same roads.
	if a := s.call("GET", "/api/v1/alerts", "", unit...); a.status != 200 || !strings.Contains(string(a.body), "badger") {
		t.Errorf("its own alerts: %d %s", a.status, a.body)
	}
}

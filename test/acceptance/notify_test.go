package acceptance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNotify sends alerts through a tree of routes to channels: a DingTalk
// robot that answers in its vendor's words, and a webhook; it tries, refuses,
// restores, imports and exports what people would, and asks as a tenant.
func TestNotify(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var robot []string
	broken := true
	ding := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Markdown struct{ Title, Text string } }
		_ = json.NewDecoder(r.Body).Decode(&body)
		mu.Lock()
		defer mu.Unlock()
		if broken && !strings.Contains(body.Markdown.Title, "测试") {
			fmt.Fprint(w, `{"errcode":310000,"errmsg":"keywords not in content"}`)
			return
		}
		robot = append(robot, body.Markdown.Text)
		fmt.Fprint(w, `{"errcode":0,"errmsg":"ok"}`)
	}))
	t.Cleanup(ding.Close)
	s := newSuite(t, loopback)
	admin := s.admin.Options().Token
	settings := fmt.Sprintf(`{"url":"%s/robot/send?access_token=geheim","secret":"SEC-geheim"}`, ding.URL)
	call := func(token, method, path, body string, want int) (answer string) {
		t.Helper()
		status, answer := ask(t, s.url, token, method, path, body)
		if status != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, status, answer, want)
		}
		if strings.Contains(answer, "geheim") {
			t.Fatalf("%s %s shows a secret: %s", method, path, answer)
		}
		return answer
	}
	call(admin, "POST", "/api/v1/contact-points", `{"name":"ding","kind":"dingtalk","settings":`+settings+`}`, 201)
	if a := call(admin, "POST", "/api/v1/contact-points", `{"name":"bad","kind":"dingtalk","settings":{"url":"http://169.254.169.254/?access_token=x"}}`, 422); !strings.Contains(a, "not allowed") {
		t.Errorf("a metadata address: %s", a)
	}
	if a := call(admin, "POST", "/api/v1/contact-points/test", `{"name":"ding","kind":"dingtalk","settings":`+strings.ReplaceAll(strings.ReplaceAll(settings, "access_token=geheim", "access_token=******"), "SEC-geheim", "******")+`}`, 200); !strings.Contains(a, `"ok":true`) {
		t.Errorf("the test: %s", a)
	}

	// A tree, and where an alert would go by it.
	tree := `{"intervals":[{"name":"never","time_intervals":[{"years":["2000"]}]}],"root":{"routes":[
		{"name":"tax","matchers":["tenant=\"e-licence\""],"receivers":["ding"],"direct":true,"group_by":["alertname"],"group_wait":"0s","group_interval":"1s"},
		{"name":"held","matchers":["tenant=\"e-seal\""],"receivers":["ding"],"active_time_intervals":["never"]}]}}`
	if a := call(admin, "PUT", "/api/v1/routing", `{"base":0,"tree":`+strings.Replace(tree, `["ding"]`, `["nobody"]`, 1)+`}`, 422); !strings.Contains(a, `route root / tax: there is no contact point`) {
		t.Errorf("an unknown contact point: %s", a)
	}
	call(admin, "PUT", "/api/v1/routing", `{"base":0,"note":"first","tree":`+tree+`}`, 200)
	call(admin, "PUT", "/api/v1/routing", `{"base":0,"tree":`+tree+`}`, 409)
	for labels, want := range map[string]string{`{"tenant":"e-licence"}`: `"receivers":["ding"]`, `{"tenant":"e-seal"}`: `"held_by":"never"`} {
		if a := call(admin, "POST", "/api/v1/routing/where", `{"labels":`+labels+`}`, 200); !strings.Contains(a, want) {
			t.Errorf("where %s: %s", labels, a)
		}
	}
	if a := call(admin, "DELETE", "/api/v1/contact-points/ding", "", 409); !strings.Contains(a, "routes name") {
		t.Errorf("removing one in use: %s", a)
	}

	// The vendor refuses in an answer of 200: a dead letter with its reason, which is sent again once that is mended.
	post := func(token, name string) {
		t.Helper()
		call(token, "POST", "/alertmanager/api/v2/alerts", fmt.Sprintf(`[{"labels":{"alertname":%q,"severity":"low"}}]`, name), 200)
	}
	taxman, sealer := s.token("e-licence", "ingest", "read", "configure").Options().Token, s.token("e-seal", "ingest", "read", "configure").Options().Token
	post(taxman, "disk full")
	type delivery struct{ ID, State, Error, Title, Receiver, Route, Channel, Tenant string }
	list := func(token, query string) (items []delivery) {
		t.Helper()
		var page struct{ Items []delivery }
		if err := json.Unmarshal([]byte(call(token, "GET", "/api/v1/deliveries?"+query, "", 200)), &page); err != nil {
			t.Fatal(err)
		}
		return page.Items
	}
	var dead delivery
	eventually(t, 60*time.Second, "the dead letter is there", func() error {
		l := list(admin, "state=failed")
		if len(l) == 0 {
			return fmt.Errorf("none of %+v", list(admin, ""))
		}
		dead = l[0]
		return nil
	})
	if !strings.Contains(dead.Error, "DingTalk answered 310000 keywords not in content") || dead.Route != "root / tax" || dead.Channel != "dingtalk" || dead.Tenant != "e-licence" {
		t.Errorf("%+v", dead)
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	call(admin, "POST", "/api/v1/deliveries/"+dead.ID+"/resend", "{}", 200)
	eventually(t, 60*time.Second, "it is delivered", func() error {
		if l := list(admin, "state=delivered"); len(l) != 1 || l[0].ID != dead.ID {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
	mu.Lock()
	if n := len(robot); n != 2 || !strings.Contains(robot[1], "disk full") {
		t.Errorf("the robot said %q", robot)
	}
	mu.Unlock()
	if a := call(admin, "GET", "/api/v1/deliveries/"+dead.ID, "", 200); strings.Count(a, `"attempt":`) != 2 || !strings.Contains(a, "disk full") {
		t.Errorf("its detail: %s", a)
	}
	if a := call(admin, "GET", "/api/v1/deliveries/export?format=csv", "", 200); !strings.Contains(a, dead.ID) {
		t.Errorf("the export: %s", a)
	}

	// A tenant's people: their own notifications, contact points and routes.
	if l := list(taxman, ""); len(l) != 1 {
		t.Errorf("the tenant sees %+v", l)
	}
	if l := list(sealer, ""); len(l) != 0 {
		t.Errorf("another tenant sees %+v", l)
	}
	call(sealer, "GET", "/api/v1/deliveries/"+dead.ID, "", 404)
	call(sealer, "POST", "/api/v1/deliveries/"+dead.ID+"/resend", "{}", 404)
	for _, r := range []struct{ method, path, body string }{{"GET", "/api/v1/routing", ""}, {"GET", "/api/v1/routing?tenant=e-licence", ""}, {"GET", "/api/v1/routing/versions", ""}, {"GET", "/api/v1/routing/export?tenant=e-licence", ""},
		{"POST", "/api/v1/routing/import", `{"text":"route: {receiver: x}"}`}, {"POST", "/api/v1/routing/where", `{"labels":{"tenant":"e-licence"}}`}, {"POST", "/api/v1/contact-points", `{"name":"all","kind":"dingtalk","settings":` + settings + `}`},
		{"POST", "/api/v1/contact-points/test", `{"kind":"dingtalk","settings":` + settings + `}`}, {"PUT", "/api/v1/wordings", `{"name":"x","language":"zh","text":{"title":"","plain":"","markdown":""}}`}} {
		call(sealer, r.method, r.path, r.body, 403)
	}
	if a := call(sealer, "GET", "/api/v1/contact-points", "", 200); strings.Contains(a, "ding") {
		t.Errorf("another's contact points: %s", a)
	}
	call(sealer, "PUT", "/api/v1/contact-points/ding", `{"kind":"dingtalk","settings":`+settings+`}`, 404)
	call(sealer, "DELETE", "/api/v1/contact-points/ding", "", 404)
	call(sealer, "PUT", "/api/v1/routing?tenant=e-seal", `{"base":0,"tree":{"intervals":[],"root":{"receivers":["ding"]}}}`, 422)
	call(sealer, "POST", "/api/v1/contact-points", `{"name":"own","kind":"dingtalk","tenants":["e-seal"],"settings":`+settings+`}`, 201)
	call(sealer, "PUT", "/api/v1/routing?tenant=e-seal", `{"base":0,"tree":{"intervals":[],"root":{"receivers":["own"],"direct":true,"group_wait":"0s"}}}`, 200)
	post(sealer, "seal broken")
	post(taxman, "tax broken")
	eventually(t, 60*time.Second, "both are told", func() error {
		if l := list(admin, "state=delivered"); len(l) < 3 {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
	if l := list(sealer, ""); len(l) != 1 || l[0].Receiver != "own" || !strings.Contains(l[0].Title, "seal broken") {
		t.Errorf("the tenant's route told %+v", l)
	}

	// Words: an error by line, a preview, what is in force.
	if a := call(admin, "POST", "/api/v1/wordings/preview", `{"language":"zh","text":{"title":"","plain":"a\n{{nope}}","markdown":""}}`, 200); !strings.Contains(a, `"part":"plain"`) || !strings.Contains(a, `"line":2`) {
		t.Errorf("a broken template: %s", a)
	}
	if a := call(admin, "POST", "/api/v1/wordings/preview", `{"language":"zh","text":{"title":"X {{.CommonLabels.severity}}","plain":"","markdown":""}}`, 200); !strings.Contains(a, "X high") {
		t.Errorf("a preview: %s", a)
	}
	call(admin, "PUT", "/api/v1/wordings", `{"name":"city","language":"zh","text":{"title":"","plain":"","markdown":"city {{.Summary}}"}}`, 200)
	call(admin, "PUT", "/api/v1/contact-points/ding", `{"kind":"dingtalk","wording":"city","settings":`+settings+`}`, 200)
	post(taxman, "worded")
	eventually(t, 60*time.Second, "it is said in the city's words", func() error {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(robot, "city worded") {
			return fmt.Errorf("%q", robot)
		}
		return nil
	})

	// Alertmanager's configuration, out and in; and the way back.
	exported := call(admin, "GET", "/api/v1/routing/export", "", 200)
	body, _ := json.Marshal(map[string]any{"text": exported})
	if a := call(admin, "POST", "/api/v1/routing/import", string(body), 200); !strings.Contains(a, `tenant=\"e-licence\"`) {
		t.Errorf("the import of what was exported: %s", a)
	}
	text, _ := json.Marshal(map[string]any{"apply": true, "text": "route: {receiver: am, group_by: [alertname]}\nreceivers: [{name: am, webhook_configs: [{url: '" + ding.URL + "'}]}]\n"})
	if a := call(admin, "POST", "/api/v1/routing/import", string(text), 200); !strings.Contains(a, `"applied"`) || !strings.Contains(a, `"state":"new"`) {
		t.Errorf("the import: %s", a)
	}
	call(admin, "POST", "/api/v1/routing/versions/1/restore", "{}", 200)
	if a := call(admin, "POST", "/api/v1/routing/where", `{"labels":{"tenant":"e-licence"}}`, 200); !strings.Contains(a, `"path":["root","tax"]`) {
		t.Errorf("restored: %s", a)
	}
}

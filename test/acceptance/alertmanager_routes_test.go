package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// routed has routes decide whom alerts go to: what groups and receivers show,
// what amtool makes of the configuration, and the links in the notifications.
func (d *desk) routed(t *testing.T) {
	hook := newReceiver(t)
	hook.refused = 2
	admin := d.admin.Options().Token
	for name, how := range map[string]string{"night": "anyone", "net": "signed_in", "deep": "none"} {
		d.call(admin, http.MethodPost, "/api/v1/contact-points", fmt.Sprintf(`{"name":%q,"kind":"webhook","acknowledge":%q,"settings":{"url":"%s/%s","secret":%q}}`, name, how, hook.URL, name, webhookSecret), 201, nil)
	}
	d.call(admin, http.MethodPut, "/api/v1/routing", `{"base":0,"tree":{"intervals":[{"name":"never","time_intervals":[{"years":["2000"]}]}],"root":{"routes":[
		{"name":"routed","matchers":["alertname=~\"Routed.*\""],"receivers":["night","net"],"group_by":["alertname","site"],"group_wait":"0s","group_interval":"1s","direct":true,"routes":[
			{"name":"deep","matchers":["site=\"sz\""],"receivers":["deep"],"continue":true},
			{"name":"held","matchers":["team=held"],"receivers":["net"],"active_time_intervals":["never"]}]}]}}}`, 200, nil)
	alert := func(name, site, team, severity string) map[string]any {
		return map[string]any{"labels": map[string]string{"alertname": name, "site": site, "team": team, "severity": severity, "instance": site + team + ":9100"}}
	}
	d.post(t, alert("RoutedDisk", "bj", "a", "low"), alert("RoutedDisk", "bj", "b", "low"), alert("RoutedDisk", "sz", "a", "low"), alert("RoutedLink", "sh", "held", "low"), alert("ElsewhereDisk", "bj", "a", "low"))

	type group struct {
		Labels   map[string]string
		Receiver struct{ Name string }
		Alerts   []amAlert
	}
	groups := func(query string) (out []string) {
		t.Helper()
		status, answer := d.ask(t, http.MethodGet, "/api/v2/alerts/groups?"+query, "")
		var list []group
		if err := json.Unmarshal([]byte(answer), &list); err != nil || status != 200 {
			t.Fatalf("groups %s: %d %s", query, status, answer)
		}
		for _, g := range list {
			var of []string
			for _, a := range g.Alerts {
				of = append(of, fmt.Sprint(a.Labels["instance"], a.Status.State, a.Status.MutedBy))
			}
			slices.Sort(of)
			out = append(out, fmt.Sprint(g.Receiver.Name, g.Labels, of))
		}
		return out
	}
	const bj, sz = `map[alertname:RoutedDisk site:bj tenant:unassigned] [bja:9100active[] bjb:9100active[]]`, `map[alertname:RoutedDisk site:sz tenant:unassigned]`
	want := []string{`net` + bj, `night` + bj, `deep` + sz + ` [sza:9100active[]]`, `netmap[alertname:RoutedLink site:sh tenant:unassigned] [shheld:9100suppressed[never]]`}
	if got := groups("receiver=night|net|deep"); !slices.Equal(got, want) {
		t.Errorf("groups\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := groups("receiver=net&muted=false"); !slices.Equal(got, want[:1]) {
		t.Errorf("groups that are not muted: %q", got)
	}
	if got := groups("receiver=night&" + filter("site=sz")); len(got) != 0 {
		t.Errorf("groups beyond the filter: %q", got)
	}
	d.post(t, map[string]any{"labels": alert("RoutedDisk", "sz", "a", "low")["labels"], "startsAt": "2026-01-01T00:00:00Z", "endsAt": time.Now().UTC().Format(time.RFC3339)})
	if got := groups("receiver=deep"); len(got) != 0 {
		t.Errorf("groups of what is over: %q", got)
	}

	program := peer(t, "amtool")
	amtool := func(secret string, args ...string) string {
		t.Helper()
		cmd := exec.Command(program, append([]string{"--alertmanager.url=" + strings.Replace(d.url, "http://", "http://any:"+secret+"@", 1) + "/alertmanager"}, args...)...)
		cmd.Env = append(cleanEnv(), "HOME="+d.dir)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("amtool %s: %v: %s%s", strings.Join(args, " "), err, out.String(), errs.String())
		}
		return strings.TrimSpace(out.String())
	}
	if got := amtool(d.secret, "-o", "simple", "alert", "query", "--receiver=night"); !strings.Contains(got, "RoutedDisk") || strings.Contains(got, "Elsewhere") {
		t.Errorf("alerts of a receiver: %s", got)
	}
	config := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(config, []byte(amtool(d.secret, "config", "show")), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := amtool(d.secret, "check-config", config); !strings.Contains(got, "SUCCESS") || !strings.Contains(got, "time interval") && !strings.Contains(got, "route") {
		t.Errorf("check-config: %s", got)
	}
	if got := amtool(d.secret, "config", "routes", "show"); !strings.Contains(got, "night,net") || !strings.Contains(got, `site="sz"`) {
		t.Errorf("routes show: %s", got)
	}
	// Whom amtool finds is whom the suite tells.
	for _, labels := range []map[string]string{{"alertname": "RoutedDisk", "site": "bj"}, {"alertname": "RoutedDisk", "site": "sz"}, {"alertname": "RoutedX", "site": "sz", "team": "held"}, {"alertname": "RoutedX", "team": "held"}} {
		var where struct {
			Every  []string
			Routes []struct{ Receivers []string }
		}
		body, _ := json.Marshal(map[string]any{"labels": labels})
		d.call(admin, http.MethodPost, "/api/v1/routing/where", string(body), 200, &where)
		told := where.Every
		for _, r := range where.Routes {
			told = append(told, r.Receivers...)
		}
		args := []string{"config", "routes", "test", "--verify.receivers=" + strings.Join(told, ",")}
		for name, value := range labels {
			args = append(args, name+"="+value)
		}
		if got := amtool(d.secret, args...); got != strings.Join(told, ",") {
			t.Errorf("routes test of %v says %q, the suite tells %q", labels, got, told)
		}
	}
	if got := amtool(d.secret, "config", "routes", "test", "alertname=Elsewhere"); got != "duty,icewatch" {
		t.Errorf("routes test of what no route takes: %q", got)
	}
	tenant := d.token(d.slugs(1)[0], "read").Options().Token
	if got := amtool(tenant, "config", "show"); strings.Contains(got, "Routed") || strings.Contains(got, "never") {
		t.Errorf("a tenant's people see the city's routes: %s", got)
	}
	d.links(t, hook, alert("RoutedGrave", "gz", "a", "critical"))
}

// links acknowledges by the links in notifications of an alert of its own.
func (d *desk) links(t *testing.T, hook *receiver, grave map[string]any) {
	d.post(t, grave)
	var incident string
	links := map[string]string{}
	eventually(t, 60*time.Second, "both contact points are told of the incident", func() error {
		for _, n := range hook.all() {
			if n.CommonLabels["alertname"] == "RoutedGrave" && n.CommonLabels["incident"] != "" {
				incident, links[n.Receiver] = n.CommonLabels["incident"], n.CommonAnnotations["acknowledge_url"]
			}
		}
		if links["night"] == "" || links["net"] == "" {
			return fmt.Errorf("links %v", links)
		}
		return nil
	})
	open := func(method, link string, header map[string]string) (int, string) {
		t.Helper()
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest(method, d.url+u.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range header {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	admin := d.admin.Options().Token
	var now struct {
		Status string
		By     string `json:"acknowledged_by"`
	}
	read := func() { t.Helper(); d.call(admin, http.MethodGet, "/api/v1/incidents/"+incident, "", 200, &now) }
	own := map[string]string{"Origin": d.url, "Sec-Fetch-Site": "same-origin"}
	// Signing in is asked for, and nothing is shown before.
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if status, body := open(method, links["net"], own); status != 401 || strings.Contains(body, "RoutedGrave") || strings.Contains(body, "<button>") {
			t.Errorf("%s of a link that asks to sign in: %d %s", method, status, body)
		}
	}
	session := map[string]string{"Cookie": "icewatch_session=" + admin, "Origin": d.url}
	if status, body := open(http.MethodGet, links["net"], session); status != 200 || !strings.Contains(body, incident) || !strings.Contains(body, "<button>") {
		t.Errorf("signed in: %d %s", status, body)
	}
	// Looking changes nothing, nor does a form of another site.
	if status, body := open(http.MethodGet, links["night"], nil); status != 200 || !strings.Contains(body, incident) || !strings.Contains(body, "<button>") {
		t.Errorf("the page of the link: %d %s", status, body)
	}
	if status, body := open(http.MethodPost, links["night"], map[string]string{"Origin": "https://elsewhere.example"}); status != 403 {
		t.Errorf("a form of another site: %d %s", status, body)
	}
	if read(); now.Status != "open" {
		t.Fatalf("looking at links made the incident %s", now.Status)
	}
	if status, body := open(http.MethodPost, links["night"], own); status != 200 {
		t.Fatalf("acknowledge: %d %s", status, body)
	}
	if read(); now.Status != "acknowledged" || now.By != "contact-point:night" {
		t.Errorf("after it: %+v", now)
	}
	if status, _ := open(http.MethodPost, links["night"], own); status != http.StatusGone {
		t.Errorf("the second time: %d, want 410", status)
	}
	if status, body := open(http.MethodGet, links["night"], map[string]string{"Accept-Language": "en"}); status != http.StatusGone || !strings.Contains(body, "was used") {
		t.Errorf("the page of a link that was used: %d %s", status, body)
	}
	if status, _ := open(http.MethodPost, links["net"], session); status != http.StatusConflict {
		t.Errorf("another's link after it: %d, want 409", status)
	}
	var records struct {
		Items []struct{ Action, Object, Actor, Detail string }
	}
	if err := d.admin.Get(t.Context(), "/api/v1/audit", url.Values{"object": {"incident:" + incident}}, &records); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(records.Items, func(r struct{ Action, Object, Actor, Detail string }) bool {
		return r.Action == "acknowledge-incident" && r.Actor == "contact-point:night" && strings.Contains(r.Detail, "link")
	}) {
		t.Errorf("audited is %+v", records.Items)
	}
	for _, n := range hook.all() {
		if n.Receiver == "deep" && bytes.Contains([]byte(n.raw), []byte("acknowledge_url")) {
			t.Errorf("a contact point that gets no links got one: %s", n.raw)
		}
	}
}

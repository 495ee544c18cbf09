package acceptance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDuty lets an incident go to who is on duty, kills the suite while people
// are called, and acknowledges from a notification: each call comes once, a
// link that programs open changes nothing, and one use is all it has.
func TestDuty(t *testing.T) {
	t.Parallel()
	rules := t.TempDir()
	if err := os.WriteFile(filepath.Join(rules, "own.yml"), []byte(strings.ReplaceAll(strings.ReplaceAll(ownRule, "WORD", "wombat"), "level: high", "level: critical")), 0o644); err != nil {
		t.Fatal(err)
	}
	hook := newReceiver(t)
	s := newSuite(t, fmt.Sprintf("rules:\n  dirs: [%s]\nnotify:\n  webhooks:\n    - {name: pager, url: %q, secret: %q}\n", rules, hook.URL, webhookSecret))
	ctx := context.Background()
	s.person("qian", "operator")
	s.person("sun", "operator")
	s.person("li", "operator")
	line := func(key, person string) map[string]any {
		return map[string]any{"key": key, "name": map[string]string{"zh": key, "en": key}, "layers": []any{map[string]any{"from": "2026-01-01", "people": [][]string{{person}}}}}
	}
	step := func(lines ...string) map[string]any { return map[string]any{"after_minutes": 0, "lines": lines} }
	team := map[string]any{"name": map[string]string{"zh": "安全运营", "en": "Operations"}, "head": "li", "lines": []any{line("first", "qian"), line("second", "sun")},
		"policies": []any{map[string]any{"steps": []any{step("first"), step("second"), step("first", "second"), map[string]any{"after_minutes": 0, "lines": []string{}, "head": true}}}}}
	var made struct{ ID string }
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/duty/teams", nil, team, &made); err != nil {
		t.Fatal(err)
	}
	var now struct {
		People []string
		Why    []map[string]string
	}
	if err := s.admin.Get(ctx, "/api/v1/duty/now", url.Values{"tenant": {"e-licence"}, "priority": {"P1"}}, &now); err != nil || !slices.Equal(now.People, []string{"qian"}) || len(now.Why) == 0 {
		t.Fatalf("on duty: %+v, %v", now, err)
	}

	s.sendTCP([]byte("<13>Nov 26 00:00:00 zoo app: a wombat was here\n"))
	type incident struct{ ID, Team, Assignee, Status, AcknowledgedBy string }
	read := func() (i incident) {
		var page struct {
			Items []struct {
				ID, Team, Assignee, Status string
				By                         string `json:"acknowledged_by"`
			}
		}
		if err := s.admin.Get(ctx, "/api/v1/incidents", nil, &page); err == nil && len(page.Items) > 0 {
			x := page.Items[0]
			i = incident{x.ID, x.Team, x.Assignee, x.Status, x.By}
		}
		return i
	}
	var in incident
	eventually(t, 60*time.Second, "an incident opens", func() error {
		if in = read(); in.ID == "" {
			return fmt.Errorf("none")
		}
		return nil
	})
	if in.Team != made.ID || in.Assignee != "qian" {
		t.Fatalf("the incident is of %q and has %q", in.Team, in.Assignee)
	}
	type called struct{ People []string }
	calls := func() (out []called) {
		var p struct{ Calls []called }
		if err := s.admin.Get(ctx, "/api/v1/incidents/"+in.ID+"/escalation", nil, &p); err != nil {
			t.Fatal(err)
		}
		return p.Calls
	}
	s.kill() // in the midst of it, or before, or after: wherever it stands
	s.start()
	s.signIn()
	const want = 5 // qian, sun, both of them, li: four calls of five people
	links := func() (out []string) {
		for _, n := range hook.all() {
			if n.CommonLabels["alertname"] == "escalation" && n.CommonLabels["on_call"] == "sun" {
				out = append(out, n.CommonAnnotations["acknowledge_url"])
			}
		}
		return out
	}
	eventually(t, 90*time.Second, "everybody is called", func() error {
		people := map[string]bool{}
		for _, n := range hook.all() {
			if n.CommonLabels["alertname"] == "escalation" {
				people[n.CommonLabels["on_call"]+" "+n.CommonAnnotations["description_en"]] = true
			}
		}
		if len(people) < want {
			return fmt.Errorf("%v", people)
		}
		return nil
	})
	var got []string
	for _, c := range calls() {
		got = append(got, strings.Join(c.People, " "))
	}
	if !slices.Equal(got, []string{"qian", "sun", "qian sun", "li"}) {
		t.Errorf("called %q", got)
	}

	link, err := url.Parse(links()[0])
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method string, header map[string]string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, s.url+link.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	own := map[string]string{"Origin": s.url, "Sec-Fetch-Site": "same-origin"}
	for range 2 { // a chat program looks at the link
		if status, body := ask(http.MethodGet, nil); status != 200 || !strings.Contains(body, in.ID) || !strings.Contains(body, "<button>") {
			t.Fatalf("the page of the link: %d %s", status, body)
		}
	}
	if status, _ := ask(http.MethodHead, nil); status != 200 {
		t.Errorf("HEAD: %d", status)
	}
	if status, body := ask(http.MethodPost, map[string]string{"Origin": "https://elsewhere.example"}); status != 403 {
		t.Errorf("a form of another site: %d %s", status, body)
	}
	if i := read(); i.Status != "open" {
		t.Fatalf("looking at the link made it %s", i.Status)
	}
	if status, body := ask(http.MethodPost, own); status != 200 {
		t.Fatalf("acknowledge: %d %s", status, body)
	}
	if i := read(); i.Status != "acknowledged" || i.AcknowledgedBy != "sun" {
		t.Errorf("after it: %+v", i)
	}
	if status, _ := ask(http.MethodPost, own); status != http.StatusGone {
		t.Errorf("the second time: %d, want 410", status)
	}
	if status, body := ask(http.MethodGet, map[string]string{"Accept-Language": "en"}); status != http.StatusGone || !strings.Contains(body, "was used") {
		t.Errorf("the page of a link that was used: %d %s", status, body)
	}

	// The clock stops while something is waited for.
	ordered(t, s, http.MethodPost, "/api/v1/incidents/"+in.ID+"/pause", `{"reason":"supplier"}`)
	var detail struct {
		SLA struct{ State string }
	}
	get(t, s, "/api/v1/incidents/"+in.ID, &detail)
	if detail.SLA.State != "paused" {
		t.Errorf("the clock is %s", detail.SLA.State)
	}
	ordered(t, s, http.MethodPost, "/api/v1/incidents/"+in.ID+"/resume", `{}`)
	var report struct {
		Lines []struct {
			Group     string
			Incidents int
			AckMet    int `json:"ack_met"`
		}
	}
	get(t, s, "/api/v1/sla/report?by=person", &report)
	if len(report.Lines) != 2 || report.Lines[0].Group != "sun" || report.Lines[0].AckMet != 1 {
		t.Errorf("the report: %+v", report)
	}
	for path, format := range map[string]string{"/api/v1/sla/report/export": "xlsx", "/api/v1/duty/statistics/export": "csv", "/api/v1/duty/teams/" + made.ID + "/calendar.ics": ""} {
		var raw []byte
		if err := s.admin.Get(ctx, path, url.Values{"format": {format}}, &raw); err != nil || len(raw) < 50 {
			t.Errorf("%s: %d bytes, %v", path, len(raw), err)
		}
	}
}

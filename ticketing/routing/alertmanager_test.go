package routing

import (
	"fmt"
	"strings"
	"testing"
)

const configuration = `
global:
  smtp_smarthost: mail.example.gov.cn:587
  smtp_from: soc@example.gov.cn
  smtp_auth_username: soc
  smtp_auth_password: geheim
route:
  receiver: city desk
  group_by: [alertname, tenant]
  group_wait: 10s
  routes:
    - matchers: [severity="critical", tenant=~"tax|e-seal"]
      receiver: night
      continue: true
      active_time_intervals: [night]
    - match: {team: net}
      match_re: {site: "sz-.*"}
      receiver: pager
receivers:
  - name: city desk
    email_configs: [{to: "a@example.gov.cn, b@example.gov.cn"}]
    webhook_configs: [{url: "https://hooks.example.gov.cn/x", send_resolved: false}]
  - name: night
    wechat_configs: [{corp_id: ww1, agent_id: "7", api_secret: s, to_user: wang}]
  - name: pager
    pagerduty_configs: [{routing_key: k}]
inhibit_rules:
  - source_matchers: [severity="critical"]
time_intervals:
  - name: night
    time_intervals: [{times: [{start_time: "18:00", end_time: "24:00"}]}]
`

func TestFromAlertmanager(t *testing.T) {
	t.Parallel()
	got, err := FromAlertmanager([]byte(configuration))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, p := range got.Points {
		points = append(points, fmt.Sprint(p.Name, " ", p.Kind, " ", p.Resolved, " ", p.Settings["to"], p.Settings["url"], p.Settings["to_user"]))
	}
	want := "city-desk email false [a@example.gov.cn b@example.gov.cn] <nil> <nil>|city-desk-2 webhook false <nil>https://hooks.example.gov.cn/x<nil>|night wecom_app false <nil> <nil>wang"
	if s := strings.Join(points, "|"); s != want {
		t.Errorf("contact points\n%s\nwant\n%s", s, want)
	}
	root := got.Tree.Root
	if fmt.Sprintf("%v %v %s", root.Receivers, root.GroupBy, root.GroupWait) != "[city-desk city-desk-2] [alertname tenant] 10s" || len(root.Routes) != 2 {
		t.Errorf("root %+v", root)
	}
	if n := root.Routes[0]; fmt.Sprintf("%q", n.Matchers) != `["severity=\"critical\"" "tenant=~\"tax|e-seal\""]` || !n.Continue || n.ActiveTimes[0] != "night" {
		t.Errorf("night %+v", n)
	}
	if n := root.Routes[1]; fmt.Sprintf("%q", n.Matchers) != `["team=\"net\"" "site=~\"sz-.*\""]` || len(n.Receivers) != 0 || !n.Nobody {
		t.Errorf("pager %+v", n)
	}
	if got.Tree.Intervals[0].Times[0].Location != "UTC" {
		t.Errorf("interval %+v", got.Tree.Intervals)
	}
	var problems []string
	for _, p := range got.Problems {
		problems = append(problems, fmt.Sprint(p.Line, " ", p.What, ": ", p.Reason))
	}
	all := strings.Join(problems, "\n")
	for _, want := range []string{"26 receiver pager: pagerduty_configs: there is no such channel here", "28 inhibit_rules: it is not taken over"} {
		if !strings.Contains(all, want) {
			t.Errorf("problems lack %q:\n%s", want, all)
		}
	}
	if _, err := compile(got.Tree, ids(), nil); err != nil {
		t.Error(err)
	}
	// Written and read again the routes are the same.
	text, _, err := ToAlertmanager(got.Tree)
	if err != nil || strings.Contains(string(text), "geheim") {
		t.Fatalf("%s, %v", text, err)
	}
	back, err := FromAlertmanager(text)
	if err != nil || fmt.Sprint(back.Tree.Root.Routes[0].Matchers) != fmt.Sprint(root.Routes[0].Matchers) || back.Tree.Intervals[0].Times[0].Times[0].Start != "18:00" {
		t.Errorf("%v\n%s", err, text)
	}
	for _, bad := range []string{"", "a: [", "receivers: []", "route: 7"} {
		if _, err := FromAlertmanager([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzFromAlertmanager(f *testing.F) {
	f.Add(configuration)
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := FromAlertmanager([]byte(text)); err == nil {
			if _, err := compile(got.Tree, ids(), nil); err == nil {
				if _, _, err := ToAlertmanager(got.Tree); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

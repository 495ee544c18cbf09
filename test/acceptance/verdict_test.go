package acceptance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"icewatch/ticketing"
)

// TestVerdicts sends real lines of web servers, SSH and packet filters over the
// suite's sockets and asks how far each attack is said to have got and why, who
// attacks whom, and that the verdict of an attack rises by what came of it.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	items := `
- {class: network, name: 政务云 DMZ, zone: default, addresses: [10.77.1.0/24], tenant: e-seal}
- {class: host, name: web-71, zone: default, tenant: e-seal, addresses: [10.77.1.1], hostnames: [web-71]}
- {class: host, name: web-72, zone: default, tenant: e-seal, addresses: [10.77.1.2], hostnames: [web-72]}
- {class: host, name: ssh-73, zone: default, tenant: e-seal, addresses: [10.77.1.3], hostnames: [ssh-73]}
`
	if err := s.imports(items); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "events know the hosts", func() error {
		s.sendTCP([]byte("<13>1 - ssh-73 probe - - - is anybody there\n"))
		if rows := s.find(`"is anybody there" icewatch.ci.name:="ssh-73" | limit 1`); len(rows) == 0 {
			return fmt.Errorf("no event does")
		}
		return nil
	})
	now := time.Now()
	stamp := func(after int) string { return now.Add(time.Duration(after-60) * time.Second).Format(time.Stamp) }
	web := func(after int, host, source, path string, status int) string {
		return fmt.Sprintf("<190>%s %s nginx: %s - - [%s] \"GET %s HTTP/1.1\" %d 5120 \"-\" \"Mozilla/5.0\"",
			stamp(after), host, source, now.Add(time.Duration(after-60)*time.Second).Format("02/Jan/2006:15:04:05 -0700"), path, status)
	}
	const injection = "/news?id=1%27%20UNION%20SELECT%20name,password%20FROM%20users--"
	lines := []string{
		web(0, "web-71", "203.0.113.71", injection, 404), // refused
		web(0, "web-72", "203.0.113.72", injection, 200), // who knows, until …
		fmt.Sprintf("<4>%s web-72 kernel: [12.3] OUTBOUND-ACCEPT: IN= OUT=eth0 SRC=10.77.1.2 DST=198.51.100.72 LEN=60 TTL=64 ID=1 DF PROTO=TCP SPT=40000 DPT=4444 WINDOW=64240 RES=0x00 SYN URGP=0", stamp(20)),
	}
	for n := range 12 {
		lines = append(lines, fmt.Sprintf("<86>%s ssh-73 sshd[4%02d]: Failed password for root from 203.0.113.73 port 4%02d ssh2", stamp(n), n, n))
	}
	lines = append(lines, fmt.Sprintf("<86>%s ssh-73 sshd[499]: Accepted password for root from 203.0.113.73 port 499 ssh2", stamp(30)))
	for n := range 40 {
		lines = append(lines, fmt.Sprintf("<4>%s web-71 kernel: [12.3] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:7a:11:02:52:54:00:e1:9c:01:08:00 SRC=203.0.113.74 DST=10.77.1.1 LEN=44 TTL=241 ID=1 PROTO=TCP SPT=40000 DPT=1%02d WINDOW=1024 RES=0x00 SYN URGP=0", stamp(n), n))
	}
	s.sendTCP([]byte(strings.Join(lines, "\n") + "\n"))

	token := s.admin.Options().Token
	find := func(query string) (list []ticketing.Alert) {
		var page struct{ Items []ticketing.Alert }
		s.call(token, http.MethodGet, "/api/v1/alerts?tenant=e-seal&"+query, "", 200, &page)
		return page.Items
	}
	for _, want := range []struct {
		query, verdict, why, attack, risk, direction, threat, phase, attacker, victim string
	}{
		{"attacker=203.0.113.71", "failed", "404", "sql-injection", "NAI.VAI.sql-injection", "inbound", "website", "exploitation", "203.0.113.71", "web-71"},
		{"attacker=203.0.113.72&attack=sql-injection", "compromised", "outbound", "sql-injection", "NAI.VAI.sql-injection", "inbound", "website", "exploitation", "203.0.113.72", "web-72"},
		{"attacker=198.51.100.72&attack=command-and-control", "compromised", "ACCEPT", "command-and-control", "MI.BI.command-and-control", "outbound", "outbound", "command-and-control", "198.51.100.72", "web-72"},
		{"attacker=203.0.113.73&attack=brute-force", "success", "", "brute-force", "NAI.ONAI.brute-force", "inbound", "external", "exploitation", "203.0.113.73", "ssh-73"},
		{"attacker=203.0.113.74&attack=scan", "failed", "stopped it", "scan", "NAI.NSEI.scan", "inbound", "external", "reconnaissance", "203.0.113.74", "web-71"},
	} {
		var last []ticketing.Alert
		eventually(t, 2*time.Minute, want.query+" is judged "+want.verdict, func() error {
			last = find(want.query)
			for _, a := range last {
				if string(a.Verdict) == want.verdict {
					last = []ticketing.Alert{a}
					return nil
				}
			}
			text, _ := json.Marshal(last)
			return fmt.Errorf("alerts: %.3000s", text)
		})
		a := last[0]
		why := strings.ToLower(a.VerdictReason.EN)
		risk := strings.TrimRight(a.Risk.Class+"."+a.Risk.Subclass+"."+a.Risk.Type, ".")
		if !strings.Contains(why, strings.ToLower(want.why)) && want.verdict != "compromised" || a.VerdictReason.ZH == "" || a.Attack != want.attack || risk != want.risk ||
			a.Direction != want.direction || a.Threat != want.threat || len(a.Phases) != 1 || a.Phases[0] != want.phase {
			t.Errorf("%s: %q, attack %s, risk %s, %s, threat %s, phases %v", want.query, a.VerdictReason.EN, a.Attack, risk, a.Direction, a.Threat, a.Phases)
		}
		if a.Attacker == nil || a.Attacker.IP != want.attacker || a.Victim == nil || a.Victim.Name != want.victim || a.Victim.IP != "" && a.Victim.Zone != "政务云 DMZ" || a.Victim.Tenant != "e-seal" {
			t.Errorf("%s: attacker %+v, victim %+v", want.query, a.Attacker, a.Victim)
		}
		if len(a.Rule.Hash) != 64 || a.Rule.Version == "" {
			t.Errorf("%s: rule version %q, hash %q", want.query, a.Rule.Version, a.Rule.Hash)
		}
	}

	// The rise stands in the timeline, with its reason.
	attacked := find("attacker=203.0.113.72&attack=sql-injection")[0]
	var detail ticketing.AlertDetail
	s.call(token, http.MethodGet, "/api/v1/alerts/"+attacked.ID, "", 200, &detail)
	if text, _ := json.Marshal(detail.Timeline); !strings.Contains(string(text), `"kind":"verdict"`) || !strings.Contains(string(text), "失陷") {
		t.Errorf("the timeline does not tell why: %s", text)
	}

	var stats ticketing.Attacks
	s.call(token, http.MethodGet, "/api/v1/attacks?tenant=e-seal&fields=url.path", "", 200, &stats)
	injections := len(find("tenant=e-seal&attack=sql-injection")) // by as many rules as know the requests
	found := false
	for _, g := range stats.Attacks {
		if g.Attack == "sql-injection" {
			found = injections >= 2 && int(g.Alerts) == injections && len(g.Information) == 1 && g.Information[0].Values[0].Value == "/news" && int(g.Information[0].Values[0].Alerts) == injections
		}
	}
	if !found {
		text, _ := json.Marshal(stats)
		t.Errorf("statistics: %s", text)
	}
	var taxonomy struct{ Risks, Attacks []any }
	s.call(token, http.MethodGet, "/api/v1/taxonomy", "", 200, &taxonomy)
	if len(taxonomy.Risks) != 7 || len(taxonomy.Attacks) < 13 {
		t.Errorf("%d classes of risk, %d types of attack", len(taxonomy.Risks), len(taxonomy.Attacks))
	}
	s.call(token, http.MethodGet, "/api/v1/alerts?verdict=won", "", 422, nil)
}

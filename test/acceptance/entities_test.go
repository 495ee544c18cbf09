package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// entities drives events over the sockets, of which it knows the numbers, and
// compares the pages of the entities in them with the truth. The console's test
// (soc/console/e2e/entity.test.mjs) does the same with what the pages show. It
// returns what waits for an alert that a sighting of a watched entity raises.
func (s *suite) entities(t *testing.T) (sighted func()) {
	t.Helper()
	ctx := t.Context()
	if err := s.imports(`
- {class: network, name: 实体网段, zone: default, addresses: [10.88.1.0/24], tenant: e-seal}
- {class: host, name: ent-ssh-1, zone: default, tenant: e-seal, addresses: [10.88.1.5], hostnames: [ent-ssh-1], owner: 周敏, criticality: 4}
`); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "events know the host", func() error {
		s.sendTCP([]byte("<13>1 - ent-ssh-1 probe - - - is the entity there\n"))
		if len(s.find(`"is the entity there" icewatch.ci.name:="ent-ssh-1" | limit 1`)) == 0 {
			return fmt.Errorf("no event does")
		}
		return nil
	})
	now := time.Now()
	stamp := func(after int) string { return now.Add(time.Duration(after-120) * time.Second).Format(time.Stamp) }
	var lines strings.Builder
	for n := range 12 {
		fmt.Fprintf(&lines, "<86>%s ent-ssh-1 sshd[5%02d]: Failed password for entroot from 203.0.113.88 port 5%02d ssh2\n", stamp(n), n, n)
	}
	fmt.Fprintf(&lines, "<86>%s ent-ssh-1 sshd[599]: Accepted password for entroot from 203.0.113.88 port 599 ssh2\n", stamp(30))
	s.sendTCP([]byte(lines.String()))

	hash := strings.Repeat("5a", 32)
	var docs bytes.Buffer
	send := func(n int, doc map[string]any) {
		for i := range n {
			doc["@timestamp"] = now.Add(time.Duration(i-90) * time.Second).UTC().Format(time.RFC3339)
			b, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			docs.WriteString("{\"create\":{}}\n" + string(b) + "\n")
		}
	}
	send(7, map[string]any{"message": "entity in", "event.category": "network", "source.ip": "203.0.113.88", "destination.ip": "10.88.1.5", "destination.port": 443, "network.transport": "tcp", "source.bytes": 100, "destination.bytes": 50})
	send(3, map[string]any{"message": "entity out", "event.category": "network", "source.ip": "10.88.1.5", "destination.ip": "198.51.100.88", "destination.port": 8443, "network.transport": "tcp"})
	send(4, map[string]any{"message": "entity mail", "event.category": "email", "email.from.address": "evil@entity.example", "email.to.address": []string{"zhang@e-seal.example", "li@e-seal.example"}})
	send(2, map[string]any{"message": "entity file", "event.category": "file", "file.hash.sha256": hash, "file.path": "/tmp/entity.bin"})
	send(5, map[string]any{"message": "entity app", "event.category": "web", "user.id": "u-entity-1", "url.domain": "portal.entity.example"})
	if status, answer := post(t, s.token("e-seal", "ingest"), "/elastic/app/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, docs.Bytes()); status != 200 {
		t.Fatalf("bulk: %d %s", status, answer)
	}
	s.expect(`"entity app"`, 5, 30*time.Second)
	s.expect(`entroot`, 13, 30*time.Second)

	get := func(typ, part, value string, more url.Values, out any) {
		t.Helper()
		q := url.Values{"value": {value}, "since": {"1h"}}
		for k, v := range more {
			q[k] = v
		}
		if part == "head" || part == "judgements" {
			q.Del("since")
		}
		if err := s.admin.Get(ctx, "/api/v1/entities/"+typ+"/"+part, q, out); err != nil {
			t.Fatalf("%s of %s %s: %v", part, typ, value, err)
		}
	}
	type behaviour struct {
		Events  int
		Kinds   []struct{ Events int }
		Signins map[string]int
		Facets  []struct {
			Field  string
			Values []struct {
				Value string
				Hits  int
			}
		}
	}
	var seal struct{ Items []struct{ ID string } }
	if err := s.admin.Get(ctx, "/api/v1/cmdb/items", url.Values{"filter": {`address = "10.88.1.5"`}}, &seal); err != nil || len(seal.Items) != 1 {
		t.Fatalf("the host is in the CMDB %d times: %v", len(seal.Items), err)
	}
	for _, x := range []struct {
		typ, value string
		events     int // -1: at least some
	}{
		{"ip", "203.0.113.88", 20}, {"ip", "::ffff:203.0.113.88", 20}, {"ip", "198.51.100.88", 3}, {"ip", "198.51.100.89", 0}, {"mail", "Evil@Entity.example", 4}, {"mail", "li@e-seal.example", 4},
		{"file", strings.ToUpper(hash), 2}, {"file", "/tmp/entity.bin", 2}, {"app-user", "u-entity-1", 5}, {"website", "https://Portal.entity.example/x", 5}, {"domain", "portal.entity.example.", 5},
		{"system-user", "entroot", 13}, {"device", "ENT-SSH-1", -1}, {"asset", seal.Items[0].ID, -1},
	} {
		var b behaviour
		get(x.typ, "behaviour", x.value, nil, &b)
		sum := 0
		for _, k := range b.Kinds {
			sum += k.Events
		}
		if x.events >= 0 && b.Events != x.events || x.events < 0 && b.Events < 13 || sum != b.Events {
			t.Errorf("%s %s: %d events, %d by kind, want %d", x.typ, x.value, b.Events, sum, x.events)
		}
	}
	var b behaviour
	get("ip", "behaviour", "203.0.113.88", nil, &b)
	if b.Signins["failure"] != 12 || b.Signins["success"] != 1 {
		t.Errorf("sign-ins %v, want 12 that failed and one that did not", b.Signins)
	}
	for _, f := range b.Facets {
		if f.Field == "destination.port" && (len(f.Values) != 1 || f.Values[0].Value != "443" || f.Values[0].Hits != 7) {
			t.Errorf("ports %+v", f.Values)
		}
	}
	var seen struct{ Events int }
	get("mail", "seen", "evil@entity.example", url.Values{"since": nil}, &seen)
	if seen.Events != 4 {
		t.Errorf("ever seen in %d events, want 4", seen.Events)
	}
	type peers struct {
		Items []struct {
			Address          string
			Out, In          int
			Bytes            int
			Services         []string
			Internal, Abroad bool
		}
		Total int
	}
	var p peers
	get("ip", "peers", "10.88.1.5", nil, &p)
	found := map[string]string{}
	for _, x := range p.Items {
		found[x.Address] = fmt.Sprint(x.Out, x.In, x.Bytes, x.Internal, x.Services)
	}
	if !strings.HasPrefix(found["203.0.113.88"], "0 7 1050 false [tcp/443") || !strings.HasPrefix(found["198.51.100.88"], "3 0 0 false [tcp/8443") || p.Total != 2 {
		t.Errorf("peers %v, %d of them", found, p.Total)
	}

	// Alerts: what the list of alerts says by itself is the truth.
	type alert struct {
		ID, Verdict string
		Count       int
		Techniques  []string
	}
	var list struct {
		Items []alert
		Total int
	}
	eventually(t, 2*time.Minute, "the attack succeeds", func() error {
		if err := s.admin.Get(ctx, "/api/v1/alerts", url.Values{"attacker": {"203.0.113.88"}, "limit": {"1000"}}, &list); err != nil {
			return err
		}
		for _, a := range list.Items {
			if a.Verdict == "success" || a.Verdict == "compromised" {
				return nil
			}
		}
		return fmt.Errorf("%+v", list.Items)
	})
	var portrait struct {
		Alerts, Events, Open int
		Techniques           []struct {
			Value  string
			Alerts int
		}
		Chain     []struct{ ID string }
		Suspicion *struct {
			Asset struct{ Name, IP string }
			By    struct{ IP string }
			From  *time.Time
			To    time.Time
		}
	}
	eventually(t, 30*time.Second, "the portrait has all alerts", func() error {
		if err := s.admin.Get(ctx, "/api/v1/alerts", url.Values{"attacker": {"203.0.113.88"}, "limit": {"1000"}}, &list); err != nil {
			return err
		}
		get("ip", "portrait", "203.0.113.88", url.Values{"role": {"attacker"}}, &portrait)
		events, techniques := 0, map[string]int{}
		for _, a := range list.Items {
			events += a.Count
			for _, x := range a.Techniques {
				techniques[x]++
			}
		}
		for _, x := range portrait.Techniques {
			if techniques[x.Value] != x.Alerts {
				return fmt.Errorf("technique %s: %d, want %d", x.Value, x.Alerts, techniques[x.Value])
			}
		}
		if portrait.Alerts != list.Total || portrait.Events != events || len(portrait.Chain) != list.Total || len(portrait.Techniques) != len(techniques) {
			return fmt.Errorf("portrait %+v, want %d alerts of %d events", portrait, list.Total, events)
		}
		return nil
	})
	if x := portrait.Suspicion; x == nil || x.Asset.Name != "ent-ssh-1" || x.By.IP != "203.0.113.88" || x.From != nil && x.From.After(x.To) {
		t.Errorf("broken into first: %+v", x)
	}
	get("ip", "portrait", "203.0.113.88", url.Values{"role": {"victim"}}, &portrait)
	if portrait.Alerts != 0 {
		t.Errorf("the attacker is a victim of %d alerts", portrait.Alerts)
	}
	var head struct {
		Items       []struct{ Name, Owner string }
		Internal    *bool
		AlertsTotal int `json:"alerts_total"`
		Judgement   *struct{ Conclusion string }
	}
	get("ip", "head", "10.88.1.5", nil, &head)
	if len(head.Items) != 1 || head.Items[0].Name != "ent-ssh-1" || head.Items[0].Owner != "周敏" || head.Internal == nil || !*head.Internal || head.AlertsTotal < list.Total {
		t.Errorf("the host is %+v", head)
	}

	// What is judged is in force, and what is watched raises alerts.
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/entities/mail/judgements", nil, map[string]any{"value": "evil@entity.example", "conclusion": "malicious", "risk": "critical", "tags": []string{"钓鱼"}, "watched": true, "note": "known from phishing"}, nil); err != nil {
		t.Fatal(err)
	}
	get("mail", "head", "evil@entity.example", nil, &head)
	if head.Judgement == nil || head.Judgement.Conclusion != "malicious" {
		t.Errorf("judged %+v", head.Judgement)
	}
	for _, path := range []string{"report?format=pdf", "report?format=docx&lang=en", "export?list=alerts&format=csv", "export?list=peers&format=xlsx", "export?list=values", "export?list=names", "export?list=judgements", "export?list=incidents", "export?list=changes"} {
		name, query, _ := strings.Cut(path, "?")
		q, _ := url.ParseQuery(query + "&since=1h&value=203.0.113.88")
		resp, err := s.admin.Do(ctx, http.MethodGet, "/api/v1/entities/ip/"+name, q, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || len(body) < 20 {
			t.Errorf("%s: %s, %d bytes, %v", path, resp.Status, len(body), err)
		}
		if strings.Contains(path, "list=alerts") && bytes.Count(body, []byte("\n")) != list.Total+1 {
			t.Errorf("the file of alerts has %d lines, want %d", bytes.Count(body, []byte("\n")), list.Total+1)
		}
	}
	began := time.Now()
	body := fmt.Sprintf("{\"create\":{}}\n{\"message\":\"entity again\",\"@timestamp\":%q,\"email.from.address\":\"evil@entity.example\"}\n", began.UTC().Format(time.RFC3339Nano))
	if status, answer := post(t, s.token("e-seal", "ingest"), "/elastic/app/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, []byte(body)); status != 200 {
		t.Fatalf("bulk: %d %s", status, answer)
	}
	return func() {
		eventually(t, 4*time.Minute, "a sighting of what is watched raises an alert", func() error {
			var page struct {
				Items []struct {
					Tenant, Severity, Priority string
					Count                      int
				}
			}
			if err := s.admin.Get(ctx, "/api/v1/alerts", url.Values{"rule": {"icewatch-watched-entity"}}, &page); err != nil {
				return err
			}
			if len(page.Items) != 1 || page.Items[0].Tenant != "e-seal" || page.Items[0].Severity != "critical" || page.Items[0].Count != 1 {
				return fmt.Errorf("%+v", page.Items)
			}
			return nil
		})
	}
}

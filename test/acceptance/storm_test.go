package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// rooted is what the storm test reads of an incident.
type rooted struct {
	ID         string `json:"id"`
	Status     string `json:"status"`
	AlertCount int    `json:"alert_count"`
	MergedInto string `json:"merged_into"`
	Title      struct{ EN string }
	Root       *struct {
		ItemID   string  `json:"item_id"`
		Alerted  bool    `json:"alerted"`
		Items    int     `json:"items"`
		Affected int     `json:"affected"`
		Coverage float64 `json:"coverage"`
		Why      string  `json:"why"`
	} `json:"root"`
}

// TestStorm breaks a switch under 200 hosts and 40 systems and sends what their
// monitoring says, 10,000 alerts in no order, through the Alertmanager API, with
// two faults among them that have nothing to do with it: one elsewhere, one on
// a host of a system that the storm hits as well. A restart lies in between.
func TestStorm(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "alerts:\n  faults: {wait: 1s}\n")
	secret := s.token("", "read", "respond", "ingest").Options().Token
	const hosts, systems, raw = 200, 40, 10_000
	var items strings.Builder
	var links []map[string]string
	item := func(id, class, address string) {
		fmt.Fprintf(&items, "- {id: %s, class: %s, name: %s, tenant: e-seal, zone: default, addresses: [%s], hostnames: [%s]}\n", id, class, id, address, id)
	}
	item("switch-1", "network_device", "10.9.0.1")
	for n := range systems {
		fmt.Fprintf(&items, "- {id: system-%d, class: business_system, name: system-%d, tenant: e-seal}\n- {id: app-%d, class: application, name: app-%d, tenant: e-seal, system: system-%d}\n", n, n, n, n, n)
	}
	for n := range hosts {
		host := fmt.Sprintf("host-%d", n)
		item(host, "host", fmt.Sprintf("10.9.1.%d", n))
		links = append(links, map[string]string{"from": host, "type": "connects_to", "to": "switch-1"},
			map[string]string{"from": fmt.Sprintf("app-%d", n%systems), "type": "runs_on", "to": host})
	}
	item("database-1", "host", "10.9.2.1")
	item("report-1", "host", "10.9.2.2")
	item("lonely-1", "host", "10.9.2.3")
	links = append(links, map[string]string{"from": "report-1", "type": "depends_on", "to": "database-1"},
		map[string]string{"from": "app-0", "type": "runs_on", "to": "lonely-1"})
	ctx := context.Background()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if err := s.admin.Send(ctx, http.MethodPost, "/api/v1/cmdb/import", url.Values{"format": {"yaml"}}, header, strings.NewReader(items.String()), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/cmdb/relations", nil, map[string]any{"relations": links}, nil); err != nil {
		t.Fatal(err)
	}

	began := time.Now().UTC().Add(-time.Minute)
	var alerts []map[string]any
	say := func(item, name string, checks int) {
		label := "host"
		if strings.HasPrefix(item, "system-") {
			label = "system"
		}
		for n := range checks {
			alerts = append(alerts, map[string]any{"startsAt": began.Add(time.Duration(len(alerts)%40) * time.Second), "endsAt": began.Add(time.Hour),
				"labels": map[string]string{"alertname": name, label: item, "check": fmt.Sprint(n), "severity": "critical"}})
		}
	}
	say("switch-1", "SwitchDown", 5)
	say("database-1", "InstanceDown", 5)
	say("report-1", "ServiceTimeout", 5)
	say("lonely-1", "NodeUnreachable", 5)
	for n := range systems {
		say(fmt.Sprintf("system-%d", n), "服务不可用", 5)
	}
	each := (raw - len(alerts)) / hosts
	for n := range hosts {
		say(fmt.Sprintf("host-%d", n), "HostUnreachable", each)
	}
	for len(alerts) < raw {
		say("switch-1", "SwitchLinkDown", raw-len(alerts))
	}
	rand.New(rand.NewPCG(seed, 3)).Shuffle(len(alerts), func(i, j int) { alerts[i], alerts[j] = alerts[j], alerts[i] })
	eventually(t, 30*time.Second, "the items are at hand to place alerts by", func() error {
		return placed(ctx, s, secret)
	})
	sent := 0
	for part := range slices.Chunk(alerts, 1000) {
		body, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := ask(t, s.url+"/alertmanager", secret, http.MethodPost, "/api/v2/alerts", string(body)); status != http.StatusOK {
			t.Fatalf("posting alerts: %d %s", status, answer)
		}
		if sent += len(part); sent == raw/2 {
			s.stop()
			s.start()
		}
	}

	var open, closed []rooted
	eventually(t, time.Minute, "the storm is one incident, and two stay apart", func() error {
		var page struct{ Items []rooted }
		if err := s.admin.Get(ctx, "/api/v1/incidents", url.Values{"limit": {"500"}}, &page); err != nil {
			return err
		}
		open, closed = nil, nil
		total := 0
		for _, i := range page.Items {
			if i.Status == "closed" {
				closed = append(closed, i)
			} else {
				open, total = append(open, i), total+i.AlertCount
			}
		}
		if len(open) != 3 || total != raw {
			return fmt.Errorf("%d incidents hold %d alerts: %+v", len(open), total, open)
		}
		return nil
	})
	want := map[string]struct{ items, alerts int }{
		"switch-1": {1 + hosts + systems, raw - 15}, "database-1": {2, 10}, "lonely-1": {1, 5},
	}
	for _, i := range open {
		if i.Root == nil {
			t.Fatalf("%s %q has no root", i.ID, i.Title.EN)
		}
		if w := want[i.Root.ItemID]; !i.Root.Alerted || i.Root.Items != w.items || i.Root.Affected != w.items-1 || i.AlertCount != w.alerts {
			t.Errorf("%s %q: %d alerts, root %+v; want %+v", i.ID, i.Title.EN, i.AlertCount, *i.Root, w)
		}
		delete(want, i.Root.ItemID)
	}
	if len(want) > 0 {
		t.Errorf("no incident with the roots %v", want)
	}
	for _, i := range closed {
		if i.MergedInto == "" {
			t.Errorf("%s %q was closed and not merged", i.ID, i.Title.EN)
		}
	}
	t.Logf("%d incidents of %d alerts; %d merged on the way", len(open), raw, len(closed))
}

// placed tells whether alerts find the items that they name: it sends one and
// takes it back.
func placed(ctx context.Context, s *suite, secret string) error {
	now := time.Now().UTC()
	for _, end := range []time.Time{now.Add(time.Hour), now} {
		body, _ := json.Marshal([]map[string]any{{"labels": map[string]string{"alertname": "Placed", "host": "lonely-1"}, "startsAt": now.Add(-time.Minute), "endsAt": end}})
		if status, answer := ask(s.t, s.url+"/alertmanager", secret, http.MethodPost, "/api/v2/alerts", string(body)); status != http.StatusOK {
			return fmt.Errorf("posting an alert: %d %s", status, answer)
		}
	}
	var page struct {
		Items []struct {
			CI *struct{ ID string } `json:"ci"`
		}
	}
	if err := s.admin.Get(ctx, "/api/v1/alerts", url.Values{"q": {"Placed"}, "limit": {"10"}, "sort": {"-created_at"}}, &page); err != nil {
		return err
	}
	if len(page.Items) == 0 || page.Items[0].CI == nil || page.Items[0].CI.ID != "lonely-1" {
		return fmt.Errorf("no alert is about lonely-1 yet: %+v", page.Items)
	}
	return nil
}

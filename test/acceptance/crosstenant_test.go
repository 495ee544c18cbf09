package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"icewatch/soc/client"
)

// overTenants count refused packets, each tenant's alone and those of all.
const overTenants = `title: Crossing Denied
id: crossing-denied
logsource: {product: crossing}
detection:
  s: {event.outcome: failure}
  condition: s
---
title: Crossing Own
id: crossing-own
correlation: {type: value_count, rules: [crossing-denied], group-by: [source.ip, destination.ip], timespan: 5m, condition: {field: destination.port, gte: 6}}
---
title: Crossing City
id: crossing-city
correlation: {type: value_count, rules: [crossing-denied], group-by: [source.ip, destination.ip], timespan: 5m, condition: {field: destination.port, gte: 6}}
icewatch: {scope: city}
`

// TestAnAttackOverTenants sees one half of a port scan at the city's firewall and
// the other at a bureau's server: together they are a scan, the alert is the
// bureau's, and no other bureau learns of it.
func TestAnAttackOverTenants(t *testing.T) {
	t.Parallel()
	rules := t.TempDir()
	if err := os.WriteFile(filepath.Join(rules, "crossing.yml"), []byte(overTenants), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newSuite(t, fmt.Sprintf("rules:\n  dirs: [%s]\n", rules))
	ctx := context.Background()
	if err := s.imports("- {class: host, name: seal-web, tenant: e-seal, zone: default, addresses: [10.98.7.5]}\n"); err != nil {
		t.Fatal(err)
	}
	begin, n := time.Now().UTC().Add(-time.Minute), 0
	send := func(writer *client.Client, source, destination string, ports ...int) {
		t.Helper()
		var body bytes.Buffer
		for _, port := range ports {
			n++
			fmt.Fprintf(&body, "{\"create\":{}}\n{\"@timestamp\":%q,\"event.module\":\"crossing\",\"event.outcome\":\"failure\",\"source.ip\":%q,\"destination.ip\":%q,\"destination.port\":%d,\"message\":\"refused\"}\n",
				begin.Add(time.Duration(n)*time.Second).Format(time.RFC3339), source, destination, port)
		}
		var answer struct{ Errors bool }
		if err := writer.Send(ctx, http.MethodPost, "/elastic/crossing/_bulk", nil, http.Header{"Content-Type": {"application/x-ndjson"}}, &body, &answer); err != nil || answer.Errors {
			t.Fatalf("error %v, answer %+v", err, answer)
		}
	}
	firewall, server := s.token("city", "ingest"), s.token("e-seal", "ingest")
	// The item comes into force a moment after its import: scans go on, of another
	// source's ports, until the alert is the bureau's.
	var alert client.Alert
	port := 0
	eventually(t, 60*time.Second, "the alert of the scan is the victim's", func() error {
		send(firewall, "203.0.113.77", "10.98.7.5", port+1, port+2, port+3)
		send(server, "203.0.113.77", "10.98.7.5", port+4, port+5, port+6)
		port += 6
		time.Sleep(500 * time.Millisecond)
		alerts, err := s.admin.Alerts(ctx, url.Values{"q": {"Crossing City"}, "tenant": {"e-seal"}}, 0)
		if err != nil {
			return err
		}
		for _, a := range alerts {
			if a.Rule.ID == "crossing-city" {
				alert = a
				return nil
			}
		}
		return fmt.Errorf("%d alerts", len(alerts))
	})
	sees := func(viewer *client.Client) bool {
		t.Helper()
		alerts, err := viewer.Alerts(ctx, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		listed := false
		for _, a := range alerts {
			listed = listed || a.ID == alert.ID
		}
		var raw []byte
		if read := viewer.Get(ctx, "/api/v1/alerts/"+alert.ID, nil, &raw) == nil; read != listed {
			t.Errorf("the alert is listed: %v, and read: %v", listed, read)
		}
		return listed
	}
	victim := s.token("e-seal", "read")
	if !sees(victim) {
		t.Error("the victim does not see its alert")
	}
	if sees(s.token("e-licence", "read")) {
		t.Error("another bureau sees the alert")
	}
	// What the firewall saw is not the bureau's to read.
	reads := func(viewer *client.Client) (n int) {
		for _, id := range alert.EventIDs {
			var raw []byte
			if viewer.Get(ctx, "/api/v1/events/"+url.PathEscape(id), nil, &raw) == nil {
				n++
			}
		}
		return n
	}
	eventually(t, 60*time.Second, "the alert's events are stored", func() error {
		if n := reads(s.admin); n < len(alert.EventIDs) {
			return fmt.Errorf("%d of %d", n, len(alert.EventIDs))
		}
		return nil
	})
	if own := reads(victim); own == 0 || own == len(alert.EventIDs) {
		t.Errorf("of the alert's %d events the bureau reads %d", len(alert.EventIDs), own)
	}

	// Three ports of a second server at each of two bureaus are no scan of either.
	licence := s.token("e-licence", "ingest")
	send(server, "203.0.113.78", "10.98.7.6", 1, 2, 3)
	send(licence, "203.0.113.78", "10.98.7.6", 4, 5, 6)
	eventually(t, 60*time.Second, "the scan over two bureaus", func() error {
		alerts, err := s.admin.Alerts(ctx, url.Values{"q": {"Crossing"}}, 0)
		if err != nil {
			return err
		}
		found := false
		for _, a := range alerts {
			if a.SourceIP != "203.0.113.78" {
				continue
			}
			if a.Rule.ID == "crossing-own" {
				t.Errorf("a tenant's own correlation counted another's events: %+v", a)
			}
			found = true
		}
		if !found {
			return fmt.Errorf("%d alerts", len(alerts))
		}
		return nil
	})
}

package acceptance

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/test/peers"
)

// TestWhatAnAddressIsDecides sends the same line about one address from two
// networks: each is about the host and the system of its own network. Then one
// of the hosts becomes critical, and the very next alert on it is urgent.
func TestWhatAnAddressIsDecides(t *testing.T) {
	t.Parallel()
	rules := t.TempDir()
	if err := os.WriteFile(filepath.Join(rules, "own.yml"), []byte(strings.ReplaceAll(ownRule, "WORD", "bilby")), 0o644); err != nil {
		t.Fatal(err)
	}
	branch := "127.0.0.1:" + peers.FreePort(t)
	s := newSuite(t, fmt.Sprintf("rules:\n  dirs: [%s]\n", rules))
	s.stop()
	// The listeners of the branch stand beside those that every suite has.
	base, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(base), "syslog:\n", fmt.Sprintf("syslog:\n  listeners: [{zone: branch, udp: %q, tcp: %q}]\n", branch, branch), 1)
	if err := os.WriteFile(s.config, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.signIn()
	if err := s.imports(`
- {id: sys-hall, class: business_system, name: Hall, tenant: e-seal}
- {id: sys-yard, class: business_system, name: Yard, tenant: e-licence}
- {id: in-hall, class: host, name: hall-1, tenant: e-seal, zone: default, addresses: [10.77.0.5], system: sys-hall, criticality: 1}
- {id: in-yard, class: host, name: yard-1, tenant: e-licence, zone: branch, addresses: [10.77.0.5], system: sys-yard, criticality: 1}
`); err != nil {
		t.Fatal(err)
	}
	send := func(network, address, line string) {
		t.Helper()
		conn, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(line)); err != nil {
			t.Fatalf("%s %s: %v", network, address, err)
		}
	}
	sent := 0
	line := func(word string) string {
		sent++
		return fmt.Sprintf("<13>1 - 10.77.0.5 app - - - %s %d\n", word, sent)
	}
	for _, x := range []struct{ network, address, zone, item, system, tenant string }{
		{"tcp", s.syslog, "default", "in-hall", "sys-hall", "e-seal"},
		{"udp", s.syslog, "default", "in-hall", "sys-hall", "e-seal"},
		{"tcp", branch, "branch", "in-yard", "sys-yard", "e-licence"},
		{"udp", branch, "branch", "in-yard", "sys-yard", "e-licence"},
	} {
		// The items come into force a moment after their import.
		eventually(t, time.Minute, fmt.Sprintf("a line to %s %s is about %s", x.network, x.address, x.item), func() error {
			word := fmt.Sprintf("numbat%d", sent)
			send(x.network, x.address, line(word))
			e := s.expect(`"`+word+`"`, 1, time.Minute)[0]
			if text(e, "icewatch.ci.id") != x.item || text(e, "icewatch.ci.system.id") != x.system || text(e, "icewatch.zone") != x.zone || text(e, "icewatch.tenant") != x.tenant {
				return fmt.Errorf("%v", e)
			}
			return nil
		})
	}

	type alert struct {
		ID, Tenant, Priority string
		CI                   struct {
			ID          string
			Criticality int
		}
		System struct{ ID string }
	}
	alerts := func(item string) (list []alert) {
		t.Helper()
		var page struct{ Items []alert }
		get(t, s, "/api/v1/alerts?limit=1000&q="+url.QueryEscape(item), &page)
		for _, a := range page.Items {
			if a.CI.ID == item {
				list = append(list, a)
			}
		}
		return list
	}
	first := func(network, address, item string) (a alert) {
		t.Helper()
		send(network, address, line("bilby"))
		eventually(t, time.Minute, "the alert on "+item, func() error {
			list := alerts(item)
			if len(list) != 1 {
				return fmt.Errorf("%d alerts", len(list))
			}
			a = list[0]
			return nil
		})
		return a
	}
	hall, yard := first("tcp", s.syslog, "in-hall"), first("udp", branch, "in-yard")
	if hall.System.ID != "sys-hall" || yard.System.ID != "sys-yard" || hall.Tenant != "e-seal" || yard.Tenant != "e-licence" {
		t.Errorf("alerts on one address in two zones: %+v and %+v", hall, yard)
	}
	if hall.Priority != "P3" || yard.Priority != "P3" {
		t.Errorf("alerts on minor hosts are %s and %s", hall.Priority, yard.Priority)
	}

	// Nothing waits between the change and the line: what is told of the line is
	// right at once, whichever of the two is faster within the suite.
	ordered(t, s, http.MethodPost, "/api/v1/alerts/"+hall.ID+"/close", `{"resolution":"benign","comment":"a drill"}`)
	ordered(t, s, http.MethodPatch, "/api/v1/cmdb/items/in-hall", `{"criticality":5}`)
	send("tcp", s.syslog, line("bilby"))
	var next alert
	eventually(t, time.Minute, "the next alert on in-hall", func() error {
		for _, a := range alerts("in-hall") {
			if a.ID != hall.ID {
				next = a
				return nil
			}
		}
		return fmt.Errorf("only the first")
	})
	if next.Priority != "P1" || next.CI.Criticality != 5 {
		t.Errorf("the next alert on a host that became critical: %+v", next)
	}
	send("udp", branch, line("bilby"))
	if again := alerts("in-yard"); len(again) != 1 || again[0].Priority != "P3" {
		t.Errorf("the other host of that address: %+v", again)
	}
}

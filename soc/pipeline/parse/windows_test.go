package parse

import (
	"testing"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

func TestWindowsDataset(t *testing.T) {
	t.Parallel()
	p := New(event.NewRegistry(0), Options{})
	for text, want := range map[string]string{
		`{"winlog":{"channel":"Microsoft-Windows-Sysmon/Operational","event_id":"1"}}`: "windows.sysmon_operational",
		`{"winlog":{"channel":"Security"}}`:                                            "windows.security",
		`{"Channel":"Windows PowerShell","EventID":400}`:                               "windows.powershell",
		`{"Channel":"DNS Server","EventID":"541"}`:                                     "windows.dns_server",
		`{"Channel":"Security","winlog":{"channel":"System"}}`:                         "windows.system",
		// A channel alone may be anything's.
		`{"Channel":"Security","viewers":12}`: "json.log",
		`{"Channel":"","EventID":1}`:          "json.log",
		// A sender that names the dataset itself knows better.
		`{"winlog":{"channel":"Security"},"event":{"dataset":"system.security"}}`: "system.security",
	} {
		for range 2 { // as it is remembered, too
			var ev event.Event
			p.Parse(&intake.Record{Format: intake.JSON, Data: []byte(text)}, &ev)
			if got := ev.Text(event.EventDataset); got != want {
				t.Errorf("%s: dataset %q, want %q", text, got, want)
			}
			if got := ev.Text(event.EventModule); got != "" && want[:len(got)] != got {
				t.Errorf("%s: module %q beside dataset %q", text, got, want)
			}
		}
	}
}

// Who a Windows event is about shows in the fields that all events have,
// whether the names are Windows' own or winlogbeat's.
func TestWindowsHostAndAddress(t *testing.T) {
	t.Parallel()
	p := New(event.NewRegistry(0), Options{})
	for _, text := range []string{
		`{"Channel":"Security","EventID":4625,"Computer":"dc1.example","IpAddress":"192.0.2.7","IpPort":"50123"}`,
		`{"winlog":{"channel":"Security","event_id":4625,"computer_name":"dc1.example","event_data":{"IpAddress":"192.0.2.7","IpPort":"50123"}}}`,
		`{"winlog":{"channel":"Security","event_id":4625,"computer_name":"other","event_data":{"IpAddress":"-"}},"host":{"name":"dc1.example"},"source":{"ip":"192.0.2.7","port":50123}}`,
	} {
		var ev event.Event
		p.Parse(&intake.Record{Format: intake.JSON, Data: []byte(text)}, &ev)
		if host, ip, port := ev.Text(event.HostName), ev.Text(event.SourceIP), ev.Text(event.SourcePort); host != "dc1.example" || ip != "192.0.2.7" || port != "50123" {
			t.Errorf("%s: host %q, source %q:%q", text, host, ip, port)
		}
	}
}

package parse

import (
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// An entry of the journal is read as its program's line, with what the journal
// knows of the process.
func TestJournald(t *testing.T) {
	t.Parallel()
	p, reg := newParser()
	read := func(text string) func(string) string {
		var ev event.Event
		p.Parse(&intake.Record{Format: intake.JSON, Data: []byte(text), Received: received}, &ev)
		return func(name string) string {
			if name == "@timestamp" {
				return ev.Timestamp().UTC().Format(time.RFC3339Nano)
			}
			id, _ := reg.Lookup(name)
			return ev.Text(id)
		}
	}
	f := read(`{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795654923456789","_SOURCE_REALTIME_TIMESTAMP":"1795654923000001","_BOOT_ID":"b","_TRANSPORT":"syslog","_HOSTNAME":"web-1","PRIORITY":"6","SYSLOG_FACILITY":"10","SYSLOG_IDENTIFIER":"sshd","_PID":"811","_COMM":"sshd","_EXE":"/usr/sbin/sshd","_UID":"0","_SYSTEMD_UNIT":"ssh.service","MESSAGE":"Failed password for root from 192.0.2.7 port 50123 ssh2"}`)
	for name, want := range map[string]string{"@timestamp": "2026-11-26T01:02:03.000001Z", "event.dataset": "sshd.auth", "source.ip": "192.0.2.7", "user.name": "root", "event.outcome": "failure", "host.name": "web-1", "process.name": "sshd", "process.pid": "811",
		"process.executable": "/usr/sbin/sshd", "log.level": "informational", "log.syslog.facility.code": "10", "systemd.unit": "ssh.service", "_SYSTEMD_UNIT": "ssh.service", "message": "Failed password for root from 192.0.2.7 port 50123 ssh2"} {
		if got := f(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	f = read(`{"_TRANSPORT":"stdout","_COMM":"backup","PRIORITY":"9","_PID":"x","MESSAGE":"done"}`)
	for name, want := range map[string]string{"event.dataset": "journald.log", "process.name": "backup", "log.level": "", "process.pid": "", "message": "done"} {
		if got := f(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	// MESSAGE alone may be anybody's.
	if got := read(`{"MESSAGE":"x"}`)("event.dataset"); got != "json.log" {
		t.Errorf("dataset %q", got)
	}
}

package parse

import (
	"testing"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

func TestGELF(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string]string{
		`{"version":"1.1","host":"app-1","short_message":"order 7 failed","full_message":"order 7 failed\nat x","timestamp":1795397400.25,"level":3,"_user":"alice","_src_ip":"203.0.113.9","_order":7}`: {
			"event.dataset": "gelf.log", "event.module": "gelf", "host.name": "app-1", "message": "order 7 failed\nat x", "log.level": "error",
			"log.syslog.severity.code": "3", "user": "alice", "user.name": "alice", "source.ip": "203.0.113.9", "order": "7", "version": "", "short_message": "", "_user": ""},
		// A line of a program within is recognised as such.
		`{"version":"1.1","host":"app-1","short_message":"Nov 23 09:30:00 app-1 sshd[7]: Accepted password for alice from 203.0.113.9 port 40112 ssh2","level":6}`: {
			"event.action": "ssh_login", "user.name": "alice", "source.ip": "203.0.113.9", "host.name": "app-1"},
		// These are none.
		`{"version":"2.0","host":"app-1","short_message":"x"}`: {"event.dataset": "json.log", "version": "2.0"},
		`{"version":"1.1","short_message":"x"}`:                {"event.dataset": "json.log"},
		// No sender forges what the suite says itself.
		`{"version":"1.1","host":"h","short_message":"x","_icewatch.zone":"dmz"}`: {"event.dataset": "gelf.log", "icewatch.zone": ""},
	} {
		p, reg := newParser()
		var ev event.Event
		p.Parse(&intake.Record{Format: intake.JSON, Received: received, Data: []byte(text)}, &ev)
		for name, v := range want {
			id, _ := reg.Lookup(name)
			if have := ev.Text(id); id != 0 && have != v || id == 0 && v != "" {
				t.Errorf("%s\n%s = %q, want %q\n%s", text, name, ev.Text(id), v, render(&ev, reg))
			}
		}
	}
}

func TestContainerLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string]string{
		`2026-11-23T09:30:00.493035218+08:00 stdout F {"level":"warn","msg":"low","src_ip":"203.0.113.9"}`:                 {"log.iostream": "stdout", "source.ip": "203.0.113.9", "message": "low"},
		`2026-11-23T09:30:00.493035218+08:00 stderr F 203.0.113.9 - - [23/Nov/2026:09:30:00 +0800] "GET / HTTP/1.1" 200 1`: {"log.iostream": "stderr", "source.ip": "203.0.113.9", "http.response.status_code": "200"},
		`2026-11-23T09:30:00.493035218+08:00 stdout X nothing of the kind`:                                                 {"log.iostream": ""},
		`2026-11-23T09:30:00Z stdout F`: {"log.iostream": ""},
	} {
		p, reg := newParser()
		var ev event.Event
		p.Parse(&intake.Record{Format: intake.Line, Received: received, Data: []byte(text)}, &ev)
		for name, v := range want {
			id, _ := reg.Lookup(name)
			if ev.Text(id) != v {
				t.Errorf("%s\n%s = %q, want %q\n%s", text, name, ev.Text(id), v, render(&ev, reg))
			}
		}
		if want["log.iostream"] != "" && ev.Timestamp().Format("15:04:05.000000000") != "01:30:00.493035218" && want["http.response.status_code"] == "" {
			t.Errorf("%s: %v", text, ev.Timestamp())
		}
	}
}

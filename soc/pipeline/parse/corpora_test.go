package parse

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// corpora names the folder of published logs that some machines have. It is
// no part of the repository.
func corpora(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ICEWATCH_CORPORA")
	if dir == "" {
		t.Skip("ICEWATCH_CORPORA does not name a folder of published logs")
	}
	return dir
}

// eachLine parses the lines of the files that match pattern.
func eachLine(t *testing.T, pattern string, f func(line string, ev *event.Event, show string)) {
	t.Helper()
	files, _ := filepath.Glob(pattern)
	if len(files) == 0 {
		t.Skipf("no file matches %s", pattern)
	}
	p, reg := newParser()
	var ev event.Event
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			line = bytes.TrimRight(line, "\r\n")
			if len(line) == 0 {
				continue
			}
			ev.Reset()
			rec := intake.Record{Format: intake.Line, Received: received, Data: line}
			p.Parse(&rec, &ev)
			f(string(line), &ev, render(&ev, reg))
		}
	}
}

// address finds the first word of a line that is an address.
func address(line string) string {
	for _, w := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" []()=,;@", r) }) {
		w = strings.TrimSuffix(w, ":")
		if a, err := netip.ParseAddr(w); err == nil {
			return a.String()
		}
	}
	return ""
}

func TestPublishedSSHLogs(t *testing.T) {
	t.Parallel()
	dir := corpora(t)
	lines, acted, addressed, found := 0, 0, 0, 0
	f := func(line string, ev *event.Event, show string) {
		if ev.Text(event.EventDataset) != "sshd.auth" {
			t.Errorf("%s\n%s", line, show)
		}
		lines++
		if ev.Text(event.EventAction) != "" {
			acted++
		}
		if _, message, ok := strings.Cut(line, "]: "); ok && address(message) != "" {
			addressed++
			if ev.Text(event.SourceIP) != "" {
				found++
			} else {
				t.Errorf("no source.ip: %s\n%s", line, show)
			}
		}
	}
	eachLine(t, filepath.Join(dir, "logs/OpenSSH.log"), f)
	eachLine(t, filepath.Join(dir, "devices/sshd*.log"), f)
	if acted*100 < lines*99 || found*100 < addressed*99 {
		t.Errorf("%d of %d lines have an action, %d of %d with an address have source.ip", acted, lines, found, addressed)
	}
}

func TestPublishedDeviceLogs(t *testing.T) {
	t.Parallel()
	dir := corpora(t)
	f := func(pattern string, modules ...string) {
		t.Helper()
		eachLine(t, filepath.Join(dir, pattern), func(line string, ev *event.Event, show string) {
			module := ev.Text(event.EventModule)
			for _, m := range modules {
				if module == m && ev.Has(event.EventCategory) {
					return
				}
			}
			t.Errorf("taken for %q: %s\n%s", module, line, show)
		})
	}
	f("devices/nginx_http*.log", "nginx", "apache")
	f("devices/apache2*.log", "nginx", "apache")
	f("devices/pam*.log", "sudo", "pam")
	f("logs/Apache.log", "apache")
	eachLine(t, filepath.Join(dir, "devices/iptables*.log"), func(line string, ev *event.Event, show string) {
		if strings.Contains(line, " IN=") && ev.Text(event.EventModule) != "iptables" {
			t.Errorf("not taken for a firewall's: %s\n%s", line, show)
		}
	})
}

// TestPublishedLogsAreNotClaimedWrongly runs logs of programs that this
// package has no parser for: they must not be taken for another's.
func TestPublishedLogsAreNotClaimedWrongly(t *testing.T) {
	t.Parallel()
	dir := corpora(t)
	for _, name := range []string{"HDFS", "Hadoop", "OpenStack", "Windows", "Zookeeper"} {
		counts := map[string]int{}
		eachLine(t, filepath.Join(dir, "logs", name+".log"), func(line string, ev *event.Event, show string) {
			counts[ev.Text(event.EventDataset)]++
			switch ev.Text(event.EventModule) {
			case "generic", "kv", "json", "syslog":
			default:
				t.Errorf("%s: %s\n%s", name, line, show)
			}
		})
		t.Logf("%s: %v", name, counts)
	}
	lines, named := 0, 0
	eachLine(t, filepath.Join(dir, "logs/Linux.log"), func(line string, ev *event.Event, show string) {
		lines++
		if ev.Text(event.ProcessName) != "" {
			named++
		}
		if ev.Text(event.HostName) != "combo" {
			t.Errorf("header not read: %s\n%s", line, show)
		}
	})
	if named*100 < lines*99 {
		t.Errorf("%d of %d lines have a program", named, lines)
	}
}

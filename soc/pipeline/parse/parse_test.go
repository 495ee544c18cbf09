package parse

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

func parse(t testing.TB, rec intake.Record) (*event.Event, map[string][]string) {
	t.Helper()
	p, reg := newParser()
	if rec.Received == 0 {
		rec.Received = received
	}
	var ev event.Event
	p.Parse(&rec, &ev)
	fields := map[string][]string{}
	for _, f := range ev.Fields {
		fields[reg.Name(f.ID)] = append(fields[reg.Name(f.ID)], f.Value)
	}
	return &ev, fields
}

func want(t *testing.T, fields map[string][]string, name string, values ...string) {
	t.Helper()
	if got := fields[name]; strings.Join(got, "\n") != strings.Join(values, "\n") {
		t.Errorf("%s is %q, want %q", name, got, values)
	}
}

func TestInvalidUTF8AndNULAreMarked(t *testing.T) {
	t.Parallel()
	ev, fields := parse(t, intake.Record{Format: intake.Syslog, Data: []byte("<13>Nov 23 09:00:00 h t: a\xff\xfeb\x00c")})
	if want := "<13>Nov 23 09:00:00 h t: a\uFFFDb\\u0000c"; ev.Raw != want {
		t.Errorf("raw is %q", ev.Raw)
	}
	want(t, fields, "message", "a\uFFFDb\\u0000c")
	want(t, fields, "icewatch.marks", "invalid_utf8", "nul_bytes")
	want(t, fields, "icewatch.original_base64", "PDEzPk5vdiAyMyAwOTowMDowMCBoIHQ6IGH//mIAYw==")
	want(t, fields, "host.name", "h")
}

func TestFiveThousandFields(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"message":"many"`)
	for i := range 5000 {
		fmt.Fprintf(&b, `,"field_%d":%d`, i, i)
	}
	b.WriteString(`,"list":[1,2,3]}`)
	_, fields := parse(t, intake.Record{Format: intake.JSON, Data: []byte(b.String())})
	want(t, fields, "message", "many")
	want(t, fields, "icewatch.marks", "fields_overflow")
	var over map[string]any
	if err := json.Unmarshal([]byte(fields["icewatch.overflow"][0]), &over); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for name := range fields {
		if strings.HasPrefix(name, "field_") {
			kept++
		}
	}
	if kept+len(over) != 5001 || len(over["list"].([]any)) != 3 {
		t.Errorf("%d fields kept, %d in the overflow, list %v", kept, len(over), over["list"])
	}
}

func TestRegistryLimit(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(200)
	p := New(reg, Options{})
	var ev event.Event
	for i := range 300 {
		ev.Reset()
		p.Parse(&intake.Record{Format: intake.JSON, Received: received, Data: fmt.Appendf(nil, `{"n%d":1}`, i)}, &ev)
	}
	if !strings.Contains(ev.Text(event.Overflow), `"n299":1`) {
		t.Errorf("overflow %q", ev.Text(event.Overflow))
	}
}

func TestBadJSONIsKept(t *testing.T) {
	t.Parallel()
	_, fields := parse(t, intake.Record{Format: intake.JSON, Data: []byte(`{"a":1,"icewatch.x":1,"b":`)})
	want(t, fields, "icewatch.marks", "bad_json")
	want(t, fields, "message", `{"a":1,"icewatch.x":1,"b":`)
	want(t, fields, "a")
}

func TestDeepJSON(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	_, fields := parse(t, intake.Record{Format: intake.JSON, Data: []byte(deep)})
	want(t, fields, strings.Repeat("a.", 15)+"a", strings.Repeat(`{"a":`, 24)+"1"+strings.Repeat("}", 24))
	hostile := strings.Repeat(`{"a":`, 50_000)
	_, fields = parse(t, intake.Record{Format: intake.JSON, Data: []byte(hostile)})
	want(t, fields, "icewatch.marks", "bad_json")
}

func TestJSONSupersedesTheHeader(t *testing.T) {
	t.Parallel()
	ev, fields := parse(t, intake.Record{Format: intake.Syslog, Data: []byte(
		`<13>Nov 23 09:00:00 relay app[7]: {"@timestamp":"2026-11-22T00:00:00Z","host.name":"real","log.level":"error","message":"m"}`)})
	want(t, fields, "host.name", "real")
	want(t, fields, "log.level", "error")
	want(t, fields, "process.pid", "7")
	want(t, fields, "message", "m")
	if got := ev.Timestamp().Format(time.RFC3339); got != "2026-11-22T00:00:00Z" {
		t.Errorf("time %s", got)
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	ev, fields := parse(t, intake.Record{Format: intake.Line, Time: 5, Data: []byte("level=info a=b"), ID: "x",
		Attrs: []intake.Attr{{Name: "job", Value: `we"b`}, {Name: "host", Value: "h1"}, {Name: "log.file.path", Value: "/var/log/x"}}})
	want(t, fields, "icewatch.labels", `{"job":"we\"b","host":"h1"}`)
	want(t, fields, "labels.job", `we"b`)
	want(t, fields, "host.name", "h1")
	want(t, fields, "log.file.path", "/var/log/x")
	want(t, fields, "icewatch.sender_id", "x")
	if ev.Time != 5 {
		t.Errorf("time %d", ev.Time)
	}
}

// TestPushedToLoki is about what the protocol's clients ask for again as they
// sent it: time, labels and structured metadata.
func TestPushedToLoki(t *testing.T) {
	t.Parallel()
	ev, fields := parse(t, intake.Record{Format: intake.Line, Time: 5, Data: []byte(`{"time":"2026-11-23T09:30:01Z","labels":{"x":"y"},"msg":"hello"}`),
		Attrs: []intake.Attr{{Name: "job", Value: "web"}, {Name: intake.MetadataMark}, {Name: "trace_id", Value: "7"}, {Name: "job", Value: "other"}}})
	want(t, fields, "icewatch.labels", `{"job":"web"}`)
	want(t, fields, "icewatch.metadata", `{"trace_id":"7","job":"other"}`)
	want(t, fields, "labels.job", "web")
	want(t, fields, "labels.trace_id", "7")
	want(t, fields, "labels.x", "y")
	if ev.Time != 5 {
		t.Errorf("time %d, want the one it was pushed with", ev.Time)
	}
	_, fields = parse(t, intake.Record{Format: intake.Line, Data: []byte("plain"), Attrs: []intake.Attr{{Name: "job", Value: "web"}, {Name: intake.MetadataMark}}})
	want(t, fields, "icewatch.labels", `{"job":"web"}`)
	want(t, fields, "icewatch.metadata", "")
}

func TestServerByFilePath(t *testing.T) {
	t.Parallel()
	line := `203.0.113.7 - - [23/Nov/2026:09:30:01 +0800] "GET / HTTP/1.1" 200 12 "-" "x"`
	_, fields := parse(t, intake.Record{Format: intake.Line, Attrs: []intake.Attr{{Name: "log.file.path", Value: "/var/log/apache2/access.log"}}, Data: []byte(line)})
	want(t, fields, "event.dataset", "apache.access")
	_, fields = parse(t, intake.Record{Format: intake.Syslog, Data: []byte("<190>Nov 23 09:30:01 web-01 nginx: " + line)})
	want(t, fields, "event.dataset", "nginx.access")
	want(t, fields, "host.name", "web-01")
	want(t, fields, "source.ip", "203.0.113.7")
}

func TestFieldsFitTheRow(t *testing.T) {
	t.Parallel()
	data := []byte(`{"message":"m","a":"` + strings.Repeat("x", 400_000) + `","b":"` + strings.Repeat("y", 400_000) + `"}`)
	ev, fields := parse(t, intake.Record{Format: intake.JSON, Data: data})
	size := len(ev.Raw)
	for _, f := range ev.Fields {
		size += len(f.Value)
	}
	if size > 960<<10 {
		t.Errorf("the row has %d bytes", size)
	}
	want(t, fields, "icewatch.marks", "fields_cut")
	want(t, fields, "message", "m")
}

func TestYearInference(t *testing.T) {
	t.Parallel()
	f := func(at, line, want string) {
		t.Helper()
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		ev, _ := parse(t, intake.Record{Format: intake.Syslog, Received: now.UnixNano(), Data: []byte("<13>" + line + " h t: m")})
		if got := ev.Timestamp().In(shanghai).Format("2006-01-02T15:04:05"); got != want {
			t.Errorf("%s received %s is %s, want %s", line, at, got, want)
		}
	}
	f("2027-01-01T00:00:05+08:00", "Dec 31 23:59:58", "2026-12-31T23:59:58")
	f("2026-12-31T23:59:58+08:00", "Jan  1 00:00:03", "2027-01-01T00:00:03")
	f("2026-06-01T00:00:00+08:00", "Jul  1 00:00:00", "2025-07-01T00:00:00")
	f("2026-06-01T00:00:00+08:00", "Jun  1 12:00:00", "2026-06-01T12:00:00")
	f("2028-03-01T00:00:00+08:00", "Feb 29 12:00:00", "2028-02-29T12:00:00")
	f("2026-06-01T00:00:00+08:00", "1970-01-01T00:00:00Z", "1970-01-01T08:00:00")
	f("2026-06-01T00:00:00+08:00", "2100-01-01T00:00:00Z", "2100-01-01T08:00:00")
}

func TestAnyTime(t *testing.T) {
	t.Parallel()
	f := func(s, want string) {
		t.Helper()
		got, ok := anyTime(s, shanghai, received)
		if show := time.Unix(0, got).UTC().Format(time.RFC3339Nano); !ok && want != "" || ok && show != want {
			t.Errorf("%q is %s %t, want %q", s, show, ok, want)
		}
	}
	f("2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z")
	f("2026-11-23T09:00:00.123456789+08:00", "2026-11-23T01:00:00.123456789Z")
	f("2026-11-23T09:00:00+0800", "2026-11-23T01:00:00Z")
	f("2026-11-23 09:00:00", "2026-11-23T01:00:00Z")
	f("2026-11-23 09:00:00,5 +0800", "2026-11-23T01:00:00.5Z")
	f("1795395600", "2026-11-23T01:00:00Z")
	f("1795395600.25", "2026-11-23T01:00:00.25Z")
	f("1795395600123", "2026-11-23T01:00:00.123Z")
	f("1795395600123456", "2026-11-23T01:00:00.123456Z")
	f("1795395600123456789", "2026-11-23T01:00:00.123456789Z")
	f("Mon, 23 Nov 2026 09:00:00 +0800", "2026-11-23T01:00:00Z")
	f("23/Nov/2026:09:00:00 +0800", "2026-11-23T01:00:00Z")
	f("0", "")
	f("99999999999999999999", "")
	f("yesterday", "")
	f("2026-13-01T00:00:00Z", "")
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name   string
		format intake.Format
		line   string
	}{
		{"sshd3164", intake.Syslog, "<86>Nov 23 10:00:00 web-01 sshd[4242]: Failed password for invalid user oracle from 203.0.113.7 port 40022 ssh2"},
		{"sshd5424", intake.Syslog, "<86>1 2026-11-23T10:00:00.123456+08:00 web-01 sshd 4242 - - Failed password for invalid user oracle from 203.0.113.7 port 40022 ssh2"},
		{"access", intake.Line, `203.0.113.7 - - [23/Nov/2026:09:30:01 +0800] "GET /login?next=%2Fadmin HTTP/1.1" 200 1234 "-" "Mozilla/5.0 (X11; Linux x86_64)"`},
		{"firewall", intake.Syslog, "<4>Nov 23 09:40:01 fw-01 kernel: [50028442.088484] [UFW BLOCK] IN=eth0 OUT= MAC=00:08:a2:0c:1f:12:00:c8:8b:e2:d6:87:08:00 SRC=203.0.113.20 DST=10.0.0.5 LEN=40 TOS=0x00 PREC=0x00 TTL=245 ID=37308 PROTO=TCP SPT=8080 DPT=22 WINDOW=1024 RES=0x00 SYN URGP=0"},
		{"json", intake.JSON, `{"@timestamp":"2026-11-23T01:00:01.5Z","message":"user logged in","host":{"name":"web-01","ip":["10.0.0.1","10.0.0.2"]},"event":{"action":"login","outcome":"success","dataset":"app"},"user":{"name":"alice"},"n":15,"ok":true}`},
		{"keyvalue", intake.Syslog, `<134>Nov 23 09:50:19 fw date=2026-11-23 time=09:50:19 devname="FG-1" logid="0000000013" srcip=10.0.0.3 srcport=1024 dstip=203.0.113.3 dstport=443 action="deny" msg="a b"`},
		{"plain", intake.Syslog, "<13>Nov 23 10:00:00 web-01 app: just a line of text that nobody recognises"},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := New(event.NewRegistry(0), Options{Location: shanghai})
			rec := intake.Record{Format: c.format, Received: received, Peer: netip.MustParseAddr("192.0.2.77"), Data: []byte(c.line)}
			var ev event.Event
			b.ReportAllocs()
			for b.Loop() {
				ev.Reset()
				p.Parse(&rec, &ev)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// What Kafka says beside a message are fields, not labels that somebody pushed.
func TestKafkaAttributes(t *testing.T) {
	t.Parallel()
	_, fields := parse(t, intake.Record{Format: intake.Line, Data: []byte("plain"), Attrs: []intake.Attr{{Name: "kafka.topic", Value: "fw"}, {Name: "kafka.headers.origin", Value: "dc1"}}})
	want(t, fields, "kafka.topic", "fw")
	want(t, fields, "kafka.headers.origin", "dc1")
	want(t, fields, "icewatch.labels")
}

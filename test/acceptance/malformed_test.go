package acceptance

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
)

// oddity is one malformed input: what is sent, and what becomes of it. Every
// input carries its name as a word, by which its event is found.
type oddity struct {
	name   string
	data   []byte
	status int               // of an HTTP intake; 0 for others
	says   string            // part of an HTTP intake's answer
	events int               // how many events are stored that carry the name
	beside int               // how many without it
	marks  string            // mark that each of them carries; "" for none needed
	fields map[string]string // further fields of the event; "*" is any value
}

// TestMalformedInputIsStoredMarkedOrRefused sends every kind of broken input
// to every intake. What comes in is counted out again, and the suite goes on.
func TestMalformedInputIsStoredMarkedOrRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSuite(t, fmt.Sprintf("files:\n  - paths: [%s]\n    tenant: e-seal\n", filepath.Join(dir, "*.log")))
	total := 0
	type sent struct {
		intake string
		oddity
	}
	var all []sent
	check := func(intake string, o oddity) {
		total += o.events + o.beside
		all = append(all, sent{intake, o})
	}
	look := func(intake string, o oddity) {
		t.Helper()
		for _, row := range s.expect(o.name, o.events, 20*time.Second) {
			if o.marks != "" && !strings.Contains(text(row, "icewatch.marks"), o.marks) {
				t.Errorf("%s %s: marks %q, want %q", intake, o.name, text(row, "icewatch.marks"), o.marks)
			}
			for field, want := range o.fields {
				if got := text(row, field); got == "" || want != "*" && !strings.Contains(got, want) {
					t.Errorf("%s %s: %s is %q, want %q", intake, o.name, field, got, want)
				}
			}
			if text(row, "icewatch.aside") != "" {
				// What was cut can be had whole.
				resp, err := s.admin.Do(t.Context(), http.MethodGet, "/api/v1/events/"+text(row, "event.id")+"/original", nil, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				whole, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if sum := sha256.Sum256(whole); err != nil || hex.EncodeToString(sum[:]) != text(row, "icewatch.aside") || !bytes.Contains(o.data, whole) {
					t.Errorf("%s %s: %d bytes were kept aside, %d sent: %v", intake, o.name, len(whole), len(o.data), err)
				}
			}
			if len(text(row, "event.original")) > 1<<20 {
				t.Errorf("%s %s: %d bytes in one event", intake, o.name, len(text(row, "event.original")))
			}
		}
	}

	for _, o := range syslogOddities("tcp") {
		s.sendTCP(o.data)
		check("syslog TCP", o)
	}
	for _, o := range syslogOddities("udp") {
		if len(o.data) > 60_000 || o.marks == "bad_framing" || o.marks == "partial" {
			continue // a datagram is its own frame and holds 64 KiB
		}
		s.sendUDP(bytes.TrimSuffix(o.data, []byte("\n")))
		check("syslog UDP", o)
	}
	s.sendUDP(nil)
	writer := s.token("e-seal", "ingest")
	for _, o := range bulkOddities() {
		header := map[string]string{"Content-Type": "application/x-ndjson"}
		if strings.Contains(o.name, "gzip") {
			header["Content-Encoding"] = "gzip"
		}
		status, answer := post(t, writer, "/elastic/app/_bulk", header, o.data)
		if status != o.status || !strings.Contains(answer, o.says) {
			t.Errorf("_bulk %s: %d %.300s, want %d with %q", o.name, status, answer, o.status, o.says)
		}
		check("_bulk", o)
	}
	for _, o := range lokiOddities(t) {
		header := map[string]string{"Content-Type": "application/json"}
		if strings.HasPrefix(o.name, "proto") {
			header["Content-Type"] = "application/x-protobuf"
		}
		status, answer := post(t, writer, "/loki/api/v1/push", header, o.data)
		if status != o.status || !strings.Contains(answer, o.says) {
			t.Errorf("Loki %s: %d %.300s, want %d with %q", o.name, status, answer, o.status, o.says)
		}
		check("Loki", o)
	}
	for _, o := range lineOddities("file") {
		f, err := os.OpenFile(filepath.Join(dir, "app.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(o.data); err != nil {
			t.Fatal(err)
		}
		f.Close()
		check("file", o)
	}

	// The server goes on: an ordinary line is taken and found.
	s.sendTCP([]byte("<13>1 - host app - - - ordinary-line-afterwards\n"))
	s.expect(`"ordinary-line-afterwards"`, 1, 5*time.Second)
	total++
	s.balance()
	for _, o := range all {
		look(o.intake, o.oddity)
	}
	// What the suite tells of itself did not come in by any of these.
	const foreign = "not icewatch.collector:=icewatch"
	rows := s.find(foreign + " | stats count() n")
	if got, _ := strconv.Atoi(fmt.Sprint(rows[0]["n"])); got != total {
		t.Errorf("%d events are stored, %d were expected of what was sent", got, total)
		for _, row := range s.find(foreign) {
			t.Logf("%s %.200s", text(row, "icewatch.collector"), text(row, "event.original"))
		}
	}
	if m := s.metrics(); m["icewatch_engine_restarts_total"] != 0 {
		t.Errorf("the engine was restarted %v times", m["icewatch_engine_restarts_total"])
	}
	s.ready(5 * time.Second)
}

// lineOddities are those that any line-based intake can meet.
func lineOddities(prefix string) []oddity {
	long := "long" + prefix + " " + strings.Repeat("0123456789abcdef", 10<<20/16)
	return []oddity{
		{name: "nul" + prefix, data: []byte("nul" + prefix + " before\x00after\n"), events: 1, marks: "nul_bytes"},
		{name: "utf" + prefix, data: []byte("utf" + prefix + " \xff\xfe\xc3( end\n"), events: 1, marks: "invalid_utf8"},
		{name: "cut" + prefix, data: []byte("cut" + prefix + ` {"user":"li","action":` + "\n"), events: 1},
		{name: "long" + prefix, data: []byte(long + "\n"), events: 1, marks: "truncated", fields: map[string]string{"icewatch.aside": "*"}},
	}
}

func syslogOddities(prefix string) []oddity {
	header := func(when string) string { return "<13>1 " + when + " host app - - - " }
	var list []oddity
	for _, o := range lineOddities(prefix) {
		o.data = append([]byte(header("-")), o.data...)
		list = append(list, o)
	}
	one := func(name, data string, events int, marks string, fields map[string]string) {
		list = append(list, oddity{name: name + prefix, data: []byte(strings.ReplaceAll(data, "NAME", name+prefix)), events: events, marks: marks, fields: fields})
	}
	one("past", header("1970-01-01T00:00:00Z")+"NAME\n", 1, "time_clamped", map[string]string{"icewatch.time_original": "1970"})
	one("future", header("2100-01-01T00:00:00Z")+"NAME\n", 1, "time_clamped", map[string]string{"icewatch.time_original": "2100"})
	one("garbage", "NAME this is no syslog at all\n", 1, "", nil)
	one("pri", "<999999>1 x NAME\n", 1, "", nil)
	one("open", "<13 NAME\n", 1, "", nil)
	one("old", "<13>Foo 99 99:99:99 host app: NAME\n", 1, "", nil)
	one("badjson", header("-")+`{"name": "NAME", "x":`+"\n", 1, "", nil)
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf(`"%sfield%d":"v"`, prefix, i)
	}
	one("many", header("-")+`{"message":"NAME",`+strings.Join(names, ",")+"}\n", 1, "fields_overflow", map[string]string{"icewatch.overflow": "field"})
	one("huge", "99999999999999999999 <13>1 - host app - - - NAME\n", 1, "", nil)
	// The stream ends within a counted message.
	one("short", "500 <13>1 - host app - - - NAME", 1, "partial", nil)
	// The count is too small: what is beyond it is a line of its own.
	one("count", "5 <13>1 - host app - - - NAME\n", 1, "bad_framing", nil)
	list[len(list)-1].beside = 1
	return list
}

func bulkOddities() []oddity {
	item := func(doc string) []byte { return []byte("{\"create\":{}}\n" + doc + "\n") }
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf(`"bulk%d":%d`, i, i)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(item(`{"message":"gzipbulk"}`))
	w.Close()
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	return []oddity{
		{name: "cutbulk", data: item(`{"message":"cutbulk","x":`), status: 200, says: `"status":400`},
		{name: "goodafter", data: append(item(`{"message":"x",`), item(`{"message":"goodafter"}`)...), status: 200, says: `"status":201`, events: 1},
		{name: "nodoc", data: []byte("{\"create\":{}}\n"), status: 400},
		{name: "noaction", data: []byte("{\"message\":\"noaction\"}\n"), status: 400},
		{name: "emptybulk", data: nil, status: 400},
		{name: "notjson", data: []byte("notjson at all\nnotjson\n"), status: 400},
		{name: "arraybulk", data: item(`["arraybulk"]`), status: 200, says: `"status":400`},
		{name: "gzipcut", data: zipped.Bytes()[:zipped.Len()-12], status: 400},
		{name: "gzipnot", data: []byte("gzipnot"), status: 400},
		{name: "nulbulk", data: item(`{"message":"nulbulk a\u0000b"}`), status: 200, says: `"status":201`, events: 1},
		{name: "utfbulk", data: item("{\"message\":\"utfbulk \xff\xfe\"}"), status: 200, says: `"status":201`, events: 1, marks: "invalid_utf8"},
		{name: "pastbulk", data: item(`{"message":"pastbulk","@timestamp":"1970-01-01T00:00:00Z"}`), status: 200, says: `"status":201`, events: 1, marks: "time_clamped", fields: map[string]string{"icewatch.time_original": "1970"}},
		{name: "futurebulk", data: item(`{"message":"futurebulk","@timestamp":"2100-01-01T00:00:00Z"}`), status: 200, says: `"status":201`, events: 1, marks: "time_clamped", fields: map[string]string{"icewatch.time_original": "2100"}},
		{name: "timebulk", data: item(`{"message":"timebulk","@timestamp":"half past three"}`), status: 200, says: `"status":201`, events: 1, marks: "bad_time"},
		{name: "manybulk", data: item(`{"message":"manybulk",` + strings.Join(names, ",") + `}`), status: 200, says: `"status":201`, events: 1, marks: "fields_overflow"},
		{name: "longbulk", data: item(`{"message":"longbulk ` + strings.Repeat("x", 10<<20) + `"}`), status: 200, says: `"status":201`, events: 1, marks: "truncated", fields: map[string]string{"icewatch.aside": "*"}},
		{name: "deepbulk", data: item(`{"message":"deepbulk","deep":` + deep + `}`), status: 200, says: `"status":201`, events: 1},
	}
}

func lokiOddities(t *testing.T) []oddity {
	now := strconv.FormatInt(time.Now().UnixNano(), 10)
	stream := func(at, line string) []byte {
		quoted, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, `{"streams":[{"stream":{"app":"odd"},"values":[[%q,%s]]}]}`, at, quoted)
	}
	encode := func(line string, at time.Time) []byte {
		req := push.PushRequest{Streams: []push.Stream{{Labels: `{app="odd"}`, Entries: []push.Entry{{Timestamp: at, Line: line}}}}}
		data, err := req.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return s2.EncodeSnappy(nil, data)
	}
	whole := encode("protocut", time.Now())
	return []oddity{
		{name: "cutloki", data: stream(now, "cutloki")[:40], status: 400},
		{name: "shapeloki", data: []byte(`{"streams":"shapeloki"}`), status: 400},
		{name: "tsloki", data: stream("yesterday", "tsloki"), status: 400},
		{name: "labelloki", data: []byte(`{"streams":[{"stream":{"bad label":"x"},"values":[]}]}`), status: 400},
		{name: "protonot", data: []byte("protonot"), status: 400},
		{name: "protocut", data: whole[:len(whole)-3], status: 400},
		// The header promises 4 GiB.
		{name: "protobomb", data: []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0x00}, status: 413},
		{name: "nulloki", data: stream(now, "nulloki a\x00b"), status: 204, events: 1, marks: "nul_bytes"},
		{name: "protoutf", data: encode("protoutf \xff\xfe", time.Now()), status: 204, events: 1, marks: "invalid_utf8"},
		{name: "pastloki", data: stream("1000", "pastloki"), status: 204, events: 1, marks: "time_clamped"},
		{name: "futureloki", data: stream("4102444800000000000", "futureloki"), status: 204, events: 1, marks: "time_clamped"},
		{name: "longloki", data: stream(now, "longloki "+strings.Repeat("y", 10<<20)), status: 204, events: 1, marks: "truncated"},
	}
}

package acceptance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// burden is one event that a store might drop behind our back: VictoriaLogs'
// library passes over rows beyond 2 MiB, 2,000 fields or its retention with no
// more than a line in its log.
type burden struct {
	name  string
	doc   string // JSON object without the braces; "NAME" is the word it is found by
	at    string // its time; "" is now
	marks []string
	names int // fields of names counted up that it brings
}

// burdens are the same for every intake; prefix keeps their field names apart,
// so that each meets the limit of names anew.
func burdens(prefix string) []burden {
	fields := func(n int, name, value string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("%q:%q", fmt.Sprintf(name, i), value)
		}
		return strings.Join(list, ",")
	}
	past, future := "2016-02-29T12:00:00Z", time.Now().Add(72*time.Hour).UTC().Format(time.RFC3339)
	return []burden{
		{name: "thousands", doc: fields(5000, prefix+"t%d", "v"), marks: []string{"fields_overflow"}, names: 5000},
		// Together more names than one tenant may bring.
		{name: "many1", doc: fields(450, prefix+"a%d", "v"), names: 450},
		{name: "many2", doc: fields(450, prefix+"b%d", "v"), names: 450},
		{name: "many3", doc: fields(450, prefix+"c%d", "v"), names: 450},
		{name: "huge", doc: `"blob":"` + strings.Repeat("0123456789abcdef", 3<<20/16) + `"`, marks: []string{"truncated"}},
		{name: "hugefields", doc: fields(40, prefix+"h%d", strings.Repeat("x", 70_000)), marks: []string{"truncated"}},
		{name: "wide", doc: fields(300, prefix+"w%d", strings.Repeat("y", 2_500))},
		{name: "past", at: past, marks: []string{"time_clamped"}},
		{name: "old", at: "1970-01-01T00:00:00Z", marks: []string{"time_clamped"}},
		{name: "future", at: future, marks: []string{"time_clamped"}},
		{name: "far", at: "2200-01-01T00:00:00Z", marks: []string{"time_clamped"}},
		{name: "longname", doc: fmt.Sprintf("%q:1", prefix+strings.Repeat("n", 200)), marks: []string{"fields_overflow"}},
		{name: "twice", doc: `"key":"first","key":"second","nested":{"key":1,"key":2}`},
		{name: "empty", doc: `"a":"","b":null,"c":{},"d":[]`},
		{name: "reserved", doc: `"icewatch.tenant":"other","event.id":"made-up","_time":"2001-01-01","_stream":"{}"`, marks: []string{"reserved_field"}},
	}
}

// line is the event as a line of JSON with a time in it.
func (b burden) line(prefix string) string {
	at := b.at
	if at == "" {
		at = time.Now().UTC().Format(time.RFC3339Nano)
	}
	doc := fmt.Sprintf(`{"@timestamp":%q,"message":"%s%s"`, at, prefix, b.name)
	if b.doc != "" {
		doc += "," + b.doc
	}
	return doc + "}"
}

// TestNothingIsDroppedInSilence sends what a store might drop over every
// intake: what was counted in is counted out again, each alteration is marked
// on the event, and the whole of what was cut can be had.
func TestNothingIsDroppedInSilence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSuite(t, fmt.Sprintf("files:\n  - paths: [%s]\n    tenant: e-licence\n", filepath.Join(dir, "*.log")))
	writer := s.token("e-seal", "ingest")
	sent, lines := 0, map[string]string{}
	routes := map[string]func(b burden, line string){
		"tcp": func(_ burden, line string) {
			s.sendTCP([]byte("<13>1 - host app - - - " + line + "\n"))
		},
		"bulk": func(_ burden, line string) {
			status, answer := post(t, writer, "/elastic/drops/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, []byte("{\"create\":{}}\n"+line+"\n"))
			if status != 200 || !strings.Contains(answer, `"status":201`) {
				t.Errorf("_bulk: %d %.300s", status, answer)
			}
		},
		"loki": func(b burden, line string) {
			at := time.Now()
			if b.at != "" {
				var err error
				if at, err = time.Parse(time.RFC3339, b.at); err != nil {
					t.Fatal(err)
				}
			}
			quoted, err := json.Marshal(line)
			if err != nil {
				t.Fatal(err)
			}
			body := fmt.Appendf(nil, `{"streams":[{"stream":{"app":"drops"},"values":[["%d",%s]]}]}`, at.UnixNano(), quoted)
			if status, answer := post(t, writer, "/loki/api/v1/push", map[string]string{"Content-Type": "application/json"}, body); status != http.StatusNoContent {
				t.Errorf("Loki push: %d %.300s", status, answer)
			}
		},
		"file": func(_ burden, line string) {
			f, err := os.OpenFile(filepath.Join(dir, "drops.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(line + "\n"); err != nil {
				t.Fatal(err)
			}
			f.Close()
		},
	}
	for prefix, route := range routes {
		for _, b := range burdens(prefix) {
			line := b.line(prefix)
			lines[prefix+b.name] = line
			route(b, line)
			sent++
		}
	}
	for prefix := range routes {
		for _, b := range burdens(prefix) {
			row := s.expect(`"`+prefix+b.name+`"`, 1, 30*time.Second)[0]
			marks := text(row, "icewatch.marks")
			for _, m := range b.marks {
				if !strings.Contains(marks, m) {
					t.Errorf("%s %s: marks %q, want %q", prefix, b.name, marks, m)
				}
			}
			if b.at != "" && !strings.HasPrefix(text(row, "icewatch.time_original"), b.at[:10]) {
				t.Errorf("%s %s: its own time %s is kept as %q", prefix, b.name, b.at, text(row, "icewatch.time_original"))
			}
			if strings.Contains(marks, "truncated") {
				s.wholeOf(row, lines[prefix+b.name])
			} else if b.at == "" && b.doc != "" && !strings.Contains(text(row, "event.original"), b.doc) {
				t.Errorf("%s %s: event.original does not hold what was sent: %.200s", prefix, b.name, text(row, "event.original"))
			}
			if got, over := named(row, prefix); got+over != b.names || over > 0 != strings.Contains(marks, "fields_overflow") && b.names > 0 {
				t.Errorf("%s %s: %d fields and %d in icewatch.overflow of the %d that were sent; marks %q", prefix, b.name, got, over, b.names, marks)
			}
			if text(row, "icewatch.tenant") == "other" || text(row, "event.id") == "made-up" {
				t.Errorf("%s %s: a sender chose %s", prefix, b.name, row)
			}
		}
	}
	s.balance()
	const foreign = "not icewatch.collector:=icewatch"
	if got := text(s.find(foreign + " | stats count() n")[0], "n"); got != fmt.Sprint(sent) {
		t.Errorf("%s events are stored, %d were sent", got, sent)
	}
	if m := s.metrics(); m["icewatch_engine_restarts_total"] != 0 || m["icewatch_lake_dropped_rows_total"] != 0 || m["icewatch_engine_unstored_events_total"] != 0 {
		t.Errorf("restarts %v, dropped %v, unstored %v", m["icewatch_engine_restarts_total"], m["icewatch_lake_dropped_rows_total"], m["icewatch_engine_unstored_events_total"])
	}
}

// wholeOf checks that the whole of a cut text can be had.
func (s *suite) wholeOf(row map[string]any, sent string) {
	s.t.Helper()
	whole := string(s.call(s.admin.Options().Token, http.MethodGet, "/api/v1/events/"+text(row, "event.id")+"/original", "", http.StatusOK, nil))
	// Of a syslog message the whole has its header, too.
	if !strings.HasSuffix(whole, sent) && (!strings.Contains(sent, whole) || len(whole) < len(sent)*9/10) {
		s.t.Errorf("event %s: %d bytes can be had of the %d that were sent", text(row, "event.id"), len(whole), len(sent))
	}
}

// named counts an event's fields of one letter and a number behind the prefix,
// and those in icewatch.overflow.
func named(row map[string]any, prefix string) (fields, over int) {
	is := func(name string) bool {
		rest, ok := strings.CutPrefix(name, prefix)
		return ok && len(rest) > 1 && strings.Contains("tabc", rest[:1]) && strings.Trim(rest[1:], "0123456789") == ""
	}
	for name := range row {
		if is(name) {
			fields++
		}
	}
	var m map[string]any
	if json.Unmarshal([]byte(text(row, "icewatch.overflow")), &m) == nil {
		for name := range m {
			if is(name) {
				over++
			}
		}
	}
	return fields, over
}

package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/identity"
	"icewatch/ticketing/evidence"
)

// TestCasework handles an incident by the API from its first task to the
// statutory report and the sealed archive.
func TestCasework(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	now := time.Now().UTC()
	for i, ip := range []string{"203.0.113.7", "203.0.113.7", "198.51.100.9"} {
		err := s.tickets.Ingest(t.Context(), []detections.Occurrence{{ID: fmt.Sprint("o", i), Key: fmt.Sprint("k", i), Tenant: "a", Time: now, From: now, Count: 1, Priority: "P2",
			Rule:   detections.RuleRef{ID: "guess", Title: detections.Text{EN: "Guessing", ZH: "口令猜测"}, Level: detections.High, Kind: "sigma", Techniques: []string{"T1110.001"}},
			Fields: map[string]string{"source.ip": ip, "host.name": fmt.Sprint("h", i), "url.full": "http://evil.example/x"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	first, second := bearer(s.token("a", identity.ScopeRead, identity.ScopeRespond)), bearer(s.token("", identity.ScopeRead, identity.ScopeRespond, identity.ScopeConfigure))
	do := func(as []string, method, path, body string, want int, out any) {
		t.Helper()
		a := s.call(method, path, body, as...)
		if a.status != want {
			t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, want, a.body)
		}
		if out != nil {
			if err := json.Unmarshal(a.body, out); err != nil {
				t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
			}
		}
	}
	var page struct {
		Items []struct{ ID, Value, Owner, State string }
	}
	do(first, "GET", "/api/v1/incidents", "", 200, &page)
	if len(page.Items) < 2 {
		t.Fatalf("%d incidents", len(page.Items))
	}
	one := "/api/v1/incidents/" + page.Items[0].ID
	var made struct {
		ID       string
		Revision int64
		State    string
		Clock    string
		Changed  int
		Left     int
	}

	// A plan makes tasks; the same plan twice is refused.
	do(second, "POST", "/api/v1/disposal-plans", `{"name":"口令爆破","techniques":["T1110"],"steps":[{"title":"封禁来源","within_minutes":30},{"title":"重置口令"}]}`, 201, &made)
	do(first, "GET", one+"/plans", "", 200, &page)
	if len(page.Items) != 1 || page.Items[0].ID != made.ID {
		t.Fatalf("plans that fit: %+v", page.Items)
	}
	choose := fmt.Sprintf(`{"plan":%q}`, made.ID)
	do(first, "POST", one+"/plans", choose, 200, &page)
	task := page.Items[0].ID
	do(first, "POST", one+"/plans", choose, 409, nil)
	do(first, "POST", one+"/tasks/"+task+"/done", `{"outcome":"done"}`, 200, nil)
	do(first, "POST", one+"/tasks/"+task+"/done", `{}`, 409, nil)
	do(first, "POST", one+"/tasks/"+task+"/undone", "", 200, nil)

	do(first, "GET", one+"/observables", "", 200, &page)
	if !strings.Contains(fmt.Sprint(page.Items), "evil.example") {
		t.Errorf("observables: %+v", page.Items)
	}
	do(first, "POST", one+"/observables", `{"type":"ip","value":"nowhere"}`, 422, nil)

	// Evidence and its archive.
	file := s.call("POST", one+"/evidence?name=mem.txt&reason=shows", "content", append([]string{"Content-Type", "application/octet-stream"}, first...)...)
	if file.status != 201 {
		t.Fatalf("evidence: %d %s", file.status, file.body)
	}
	archive := s.call("GET", one+"/archive", "", first...)
	report, err := evidence.Verify(bytes.NewReader(archive.body), int64(len(archive.body)), s.audit.Sign("any", nil).Key)
	if err != nil || len(report.Faults) > 0 || len(report.Files) != 5 {
		t.Fatalf("the archive: %d, %v, %q, %d files", archive.status, err, report.Faults, len(report.Files))
	}

	// A packet capture: one datagram, by the link type of bare IP.
	packet := "\x45\x00\x00\x1c\x00\x00\x00\x00\x40\x11\x00\x00\x0a\x00\x00\x05\xcb\x00\x71\x09" + "\x9c\x40\x00\x35\x00\x08\x00\x00"
	captured := "\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + strings.Repeat("\x00", 8) + "\xff\xff\x00\x00\x65\x00\x00\x00" + "\x00\x00\x00\x60\x00\x00\x00\x00\x1c\x00\x00\x00\x1c\x00\x00\x00" + packet
	var kept evidence.Item
	file = s.call("POST", one+"/evidence?name=a.pcap&reason=shows", captured, append([]string{"Content-Type", "application/octet-stream"}, first...)...)
	if err := json.Unmarshal(file.body, &kept); err != nil || kept.Media != evidence.MediaCapture {
		t.Fatalf("a capture as evidence: %d %s", file.status, file.body)
	}
	if a := s.call("GET", one+"/evidence/"+kept.ID+"/conversations", "", first...); a.status != 200 || !strings.Contains(string(a.body), `"b":{"address":"203.0.113.9","port":53}`) {
		t.Errorf("conversations: %d %s", a.status, a.body)
	}
	if a := s.call("GET", one+"/evidence/"+kept.ID+"/conversations?address=10.9.9.9", "", first...); a.status != 200 || !strings.Contains(string(a.body), `"conversations":[]`) {
		t.Errorf("conversations of nobody: %d %s", a.status, a.body)
	}
	do(first, "GET", one+"/evidence/EV-none/conversations", "", 404, nil)

	// Reports.
	for format, begin := range map[string]string{"pdf": "%PDF-", "docx": "PK"} {
		if a := s.call("GET", one+"/report?format="+format, "", first...); a.status != 200 || !bytes.HasPrefix(a.body, []byte(begin)) {
			t.Errorf("report as %s: %d %.40q", format, a.status, a.body)
		}
	}
	answers := `{"unit":"x","found":"x","impact":"x","measures":"x"}`
	draft := func(more string) string {
		return fmt.Sprintf(`{%s"level":"major","operator":"cii","known_at":%d,"answers":%s}`, more, now.Add(-time.Minute).UnixMilli(), answers)
	}
	do(first, "POST", one+"/statutory", draft(`"kind":"first",`), 201, &made)
	law := one + "/statutory/" + made.ID
	do(first, "PUT", law, draft(`"revision":9,`), 409, nil)
	do(first, "POST", law+"/approve", "", 409, nil)
	do(first, "POST", law+"/submit", "", 200, nil)
	do(first, "POST", law+"/approve", "", 403, nil) // four eyes
	do(second, "POST", law+"/approve", "", 200, nil)
	do(first, "POST", law+"/sent", `{"channel":"portal","receipt":"17","evidence":"EV-none"}`, 404, nil)
	do(first, "POST", law+"/sent", `{"channel":"portal","receipt":"17"}`, 200, &made)
	if made.State != "sent" || made.Clock != "met" {
		t.Errorf("sent: %+v", made)
	}
	if a := s.call("GET", law+"/file", "", first...); a.status != 200 || !bytes.HasPrefix(a.body, []byte("%PDF-")) {
		t.Errorf("its file: %d", a.status)
	}

	// By attacker, at once and back.
	do(first, "POST", "/api/v1/alerts/bulk?source_ip=203.0.113.7", `{"action":"close","resolution":"test","expected":1}`, 409, nil)
	do(first, "POST", "/api/v1/alerts/bulk?source_ip=203.0.113.7", `{"action":"close","resolution":"test","expected":2}`, 200, &made)
	if made.Changed != 2 {
		t.Errorf("changed %d alerts, want 2", made.Changed)
	}
	var rates struct{ Items []struct{ Test int } }
	do(first, "GET", "/api/v1/conclusions?rule=guess", "", 200, &rates)
	if len(rates.Items) != 1 || rates.Items[0].Test != 2 {
		t.Errorf("conclusions: %+v", rates.Items)
	}
	do(first, "POST", "/api/v1/alerts/bulk/"+made.ID+"/undo", "", 200, &made)
	if made.Left != 0 {
		t.Errorf("%d alerts could not be undone", made.Left)
	}
	if a := s.call("GET", "/api/v1/disposals.csv", "", first...); a.status != 200 || !bytes.Contains(a.body, []byte("undone")) {
		t.Errorf("records: %d %s", a.status, a.body)
	}
	var similar struct{ Items []struct{ Score float64 } }
	do(first, "GET", one+"/similar", "", 200, &similar)
	if len(similar.Items) == 0 || similar.Items[0].Score < 0.5 {
		t.Errorf("similar: %+v", similar.Items)
	}
}

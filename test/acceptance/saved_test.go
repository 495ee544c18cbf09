package acceptance

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// exported is an export as the API shows it.
type exported struct {
	ID        string   `json:"id"`
	State     string   `json:"state"`
	Rows      int64    `json:"rows"`
	Estimated *int64   `json:"estimated"`
	Progress  *float64 `json:"progress"`
	Bytes     int64    `json:"bytes"`
	Error     string   `json:"error"`
}

// bulkDocuments sends n numbered documents to a tenant.
func (s *suite) bulkDocuments(tenant, marker string, n int) {
	s.t.Helper()
	sender := s.token(tenant, "ingest")
	for from := 0; from < n; from += 20_000 {
		var body bytes.Buffer
		for i := from; i < min(from+20_000, n); i++ {
			fmt.Fprintf(&body, "{\"create\":{}}\n{\"message\":\"%s %d\",\"user.name\":\"张伟\",\"event.dataset\":\"%s\",\"n\":\"%d\"}\n", marker, i, marker, i)
		}
		if status, answer := post(s.t, sender, "/elastic/app/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, body.Bytes()); status != 200 {
			s.t.Fatalf("_bulk: %d %.300s", status, answer)
		}
	}
	eventually(s.t, 60*time.Second, fmt.Sprintf("%d events of %s are stored", n, marker), func() error {
		rows := s.find("event.dataset:=" + marker + " | stats count() n")
		if len(rows) != 1 || fmt.Sprint(rows[0]["n"]) != fmt.Sprint(n) {
			return fmt.Errorf("%v", rows)
		}
		return nil
	})
}

// signedInUser makes a user who signed in, and returns his id and session.
func (s *suite) signedInUser(name, role string, tenants ...string) (id, token string) {
	s.t.Helper()
	body, _ := json.Marshal(map[string]any{"username": name, "password": "First-Word-2026-" + name, "roles": []string{role}, "tenants": tenants})
	var made struct{ ID string }
	s.call(s.admin.Options().Token, "POST", "/api/v1/users", string(body), 201, &made)
	return made.ID, s.newcomer(name, "First-Word-2026-"+name, "Own-Word-2026-"+name)
}

func (s *suite) beginExport(token, body string) exported {
	s.t.Helper()
	var j exported
	s.call(token, "POST", "/api/v1/exports", body, 202, &j)
	return j
}

// exportOutcome waits until an export has ended, and sees that it only ever moves on.
func (s *suite) exportOutcome(token, id string) exported {
	s.t.Helper()
	var j exported
	last := int64(0)
	eventually(s.t, 90*time.Second, "the export ends", func() error {
		s.call(token, "GET", "/api/v1/exports/"+id, "", 200, &j)
		if j.Rows < last {
			s.t.Fatalf("%d rows after %d", j.Rows, last)
		}
		if last = j.Rows; j.State == "queued" || j.State == "running" {
			return fmt.Errorf("%s, %d rows", j.State, j.Rows)
		}
		return nil
	})
	return j
}

// exportedFile fetches the file of an export that must be done.
func (s *suite) exportedFile(token, id string) []byte {
	s.t.Helper()
	j := s.exportOutcome(token, id)
	if j.State != "done" {
		s.t.Fatalf("the export is %s: %s", j.State, j.Error)
	}
	body := s.call(token, "GET", "/api/v1/exports/"+id+"/file", "", 200, nil)
	if int64(len(body)) != j.Bytes {
		s.t.Errorf("the file has %d bytes, the export says %d", len(body), j.Bytes)
	}
	return body
}

// exportLeftovers lists what lies in the folder of exports beside whole files.
func (s *suite) exportLeftovers() []string {
	var out []string
	entries, _ := os.ReadDir(filepath.Join(s.data, "exports"))
	for _, e := range entries {
		if info, err := e.Info(); err != nil || e.IsDir() || info.Mode().Perm() != 0o600 {
			out = append(out, e.Name())
		}
	}
	return out
}

// TestExports writes 100,000 rows as every format and reads them back with
// other programs' eyes, cancels, kills the suite midway, and looks for what the
// asker may not see.
func TestExports(t *testing.T) {
	t.Parallel()
	const n = 100_000
	s := newSuite(t, "")
	s.bulkDocuments("e-seal", "seals", n)
	s.bulkDocuments("e-licence", "licences", 50)
	id, lin := s.signedInUser("lin", "viewer", "e-seal")
	_, wang := s.signedInUser("wang", "viewer", "e-licence")
	admin := s.admin.Options().Token
	all := `"query":"*","since":"2h"`

	numbers := func(what string, got map[string]bool) {
		t.Helper()
		if len(got) != n || !got["0"] || !got[fmt.Sprint(n-1)] {
			t.Errorf("%s: %d different rows, want %d", what, len(got), n)
		}
	}
	t.Run("ndjson", func(t *testing.T) {
		j := s.beginExport(lin, `{`+all+`,"format":"ndjson"}`)
		got := map[string]bool{}
		in := bufio.NewScanner(bytes.NewReader(s.exportedFile(lin, j.ID)))
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			var doc map[string]string
			if err := json.Unmarshal(in.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			if doc["icewatch.tenant"] != "e-seal" {
				t.Fatalf("a row of %s", doc["icewatch.tenant"])
			}
			got[doc["n"]] = true
		}
		numbers("ndjson", got)
	})
	t.Run("csv for Excel", func(t *testing.T) {
		j := s.beginExport(lin, `{`+all+`,"format":"csv","bom":true,"fields":["@timestamp","user.name","n"]}`)
		body, ok := bytes.CutPrefix(s.exportedFile(lin, j.ID), []byte("\ufeff"))
		if !ok {
			t.Error("the byte order mark is missing")
		}
		rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for i, r := range rows[1:] {
			if r[1] != "张伟" || i > 0 && r[0] > rows[i][0] {
				t.Fatalf("row %d is %q after %q", i, r, rows[i])
			}
			got[r[2]] = true
		}
		numbers("csv", got)
	})
	t.Run("xlsx", func(t *testing.T) {
		j := s.beginExport(lin, `{`+all+`,"format":"xlsx","fields":["n","user.name","message"]}`)
		book, err := excelize.OpenReader(bytes.NewReader(s.exportedFile(lin, j.ID)))
		if err != nil {
			t.Fatal(err)
		}
		defer book.Close()
		rows, err := book.Rows("Sheet1")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for rows.Next() {
			if cells, err := rows.Columns(); err != nil {
				t.Fatal(err)
			} else if cells[0] != "n" {
				got[cells[0]] = true
			}
		}
		numbers("xlsx", got)
	})
	t.Run("json of figures", func(t *testing.T) {
		j := s.beginExport(lin, `{"query":"* | stats by (event.dataset) count() rows","since":"2h","format":"json"}`)
		var docs []map[string]string
		if err := json.Unmarshal(s.exportedFile(lin, j.ID), &docs); err != nil {
			t.Fatal(err)
		}
		if len(docs) != 1 || docs[0]["rows"] != fmt.Sprint(n) || docs[0]["event.dataset"] != "seals" {
			t.Errorf("figures: %v", docs)
		}
	})
	t.Run("a query that tries to leave", func(t *testing.T) {
		for _, q := range []string{"* | union (event.dataset:=licences)", "icewatch.tenant:=\"e-licence\" or *", "event.dataset:in(* | fields event.dataset)"} {
			body, _ := json.Marshal(map[string]any{"query": q, "since": "2h", "format": "ndjson", "max_rows": 200_000})
			j := s.beginExport(lin, string(body))
			if end := s.exportOutcome(lin, j.ID); end.State == "done" && bytes.Contains(s.exportedFile(lin, j.ID), []byte("licences")) {
				t.Errorf("%s shows another tenant's rows", q)
			}
		}
		s.call(lin, "POST", "/api/v1/exports", `{`+all+`,"format":"ndjson","tenant":"e-licence"}`, 403, nil)
		s.call(lin, "POST", "/api/v1/exports", `{"query":"* | stats (","format":"ndjson"}`, 400, nil)
	})
	t.Run("whose it is", func(t *testing.T) {
		j := s.beginExport(lin, `{`+all+`,"format":"csv","name":"证据/../x","kept":true,"max_rows":10}`)
		s.exportOutcome(lin, j.ID)
		for _, path := range []string{"", "/file"} {
			s.call(wang, "GET", "/api/v1/exports/"+j.ID+path, "", 404, nil)
			s.call(admin, "GET", "/api/v1/exports/"+j.ID+path, "", 404, nil)
		}
		s.call(wang, "DELETE", "/api/v1/exports/"+j.ID, "", 404, nil)
		s.call(wang, "POST", "/api/v1/exports/"+j.ID+"/cancel", "{}", 404, nil)
		s.call(lin, "GET", "/api/v1/exports/all", "", 403, nil)
		if list := s.call(admin, "GET", "/api/v1/exports/all?q="+`%E8%AF%81%E6%8D%AE`, "", 200, nil); !bytes.Contains(list, []byte(j.ID)) {
			t.Errorf("who audits does not see it: %s", list)
		}
		req, _ := http.NewRequest("GET", s.url+"/api/v1/exports/"+j.ID+"/file", nil)
		req.Header.Set("Authorization", "Bearer "+lin)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Disposition"); got != "attachment; filename*=utf-8''%E8%AF%81%E6%8D%AE_.._x.csv" {
			t.Errorf("Content-Disposition %q", got)
		}
		if log := s.call(admin, "GET", "/api/v1/audit?action=run-export&limit=1", "", 200, nil); !bytes.Contains(log, []byte(`"actor":"lin"`)) || !bytes.Contains(log, []byte("done, 10 rows")) {
			t.Errorf("the audit log: %s", log)
		}
	})
	t.Run("masked", func(t *testing.T) {
		var rule struct{ ID string }
		s.call(admin, "POST", "/api/v1/masking/rules", `{"name":{"zh":"姓名","en":"names"},"description":"","enabled":true,"fields":["user.name"],"pattern":"","check":"","method":"full","first":0,"last":0,"exempt_roles":["admin"]}`, 201, &rule)
		for _, format := range []string{"csv", "ndjson", "json"} {
			j := s.beginExport(lin, `{`+all+`,"format":"`+format+`","fields":["n","user.name"],"max_rows":100}`)
			if body := s.exportedFile(lin, j.ID); bytes.Contains(body, []byte("张伟")) || !bytes.Contains(body, []byte("user.name")) {
				t.Errorf("%s: names are shown, or missing: %.200s", format, body)
			}
		}
		s.call(admin, "DELETE", "/api/v1/masking/rules/"+rule.ID, "", 204, nil)
	})
	t.Run("cancelled", func(t *testing.T) {
		j := s.beginExport(lin, `{`+all+`,"format":"xlsx"}`)
		s.call(lin, "POST", "/api/v1/exports/"+j.ID+"/cancel", "{}", 200, nil)
		if end := s.exportOutcome(lin, j.ID); end.State != "cancelled" {
			t.Errorf("it is %s", end.State)
		}
		s.call(lin, "GET", "/api/v1/exports/"+j.ID+"/file", "", 409, nil)
		eventually(t, 10*time.Second, "nothing is left", func() error {
			if left := s.exportLeftovers(); len(left) > 0 {
				return fmt.Errorf("%v", left)
			}
			return nil
		})
	})
	t.Run("killed midway", func(t *testing.T) {
		j := s.beginExport(lin, `{`+all+`,"format":"xlsx"}`)
		eventually(t, 20*time.Second, "it runs", func() error {
			var now exported
			s.call(lin, "GET", "/api/v1/exports/"+j.ID, "", 200, &now)
			if now.Rows == 0 {
				return errors.New(now.State)
			}
			if now.State == "running" && (now.Progress == nil || now.Estimated == nil || *now.Estimated != n) {
				t.Errorf("while it runs: %+v", now)
			}
			return nil
		})
		s.kill()
		s.start()
		if left := s.exportLeftovers(); len(left) > 1 { // the one that runs again
			t.Errorf("left over: %v", left)
		}
		if end := s.exportOutcome(lin, j.ID); end.State != "done" || end.Rows != n {
			t.Fatalf("after the kill it is %s with %d rows: %s", end.State, end.Rows, end.Error)
		}
		book, err := excelize.OpenReader(bytes.NewReader(s.exportedFile(lin, j.ID)))
		if err != nil {
			t.Fatalf("the workbook is not whole: %v", err)
		}
		book.Close()
	})
	t.Run("the reach is that of the time when it runs", func(t *testing.T) {
		var token struct{ Secret, ID string }
		s.call(lin, "POST", "/api/v1/me/tokens", `{"name":"own","scopes":["read"],"expires_in":"1h"}`, 201, &token)
		s.call(admin, "PUT", "/api/v1/users/"+id+"/access", `{"tenants":["e-licence"]}`, 200, nil)
		j := s.beginExport(lin, `{`+all+`,"format":"ndjson"}`)
		if body := s.exportedFile(lin, j.ID); bytes.Contains(body, []byte("seals")) || bytes.Count(body, []byte("licences")) < 50 {
			t.Errorf("%d bytes of what he reaches no more", len(body))
		}
	})
}

// TestScheduledSearch lets a search run by its schedule until its alert shows,
// tells a webhook of an export, and takes the owner's account away.
func TestScheduledSearch(t *testing.T) {
	t.Parallel()
	told := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	defer hook.Close()
	s := newSuite(t, fmt.Sprintf("notify:\n  webhooks:\n    - name: hook\n      url: %s\n", hook.URL))
	admin := s.admin.Options().Token
	id, lin := s.signedInUser("lin", "analyst", "e-seal")
	_, wang := s.signedInUser("wang", "analyst", "e-licence")
	s.bulkDocuments("e-seal", "seals", 30)
	s.bulkDocuments("e-licence", "licences", 30)

	var search struct{ ID string }
	s.call(lin, "POST", "/api/v1/saved-searches", `{"name":"印章","query":"event.dataset:in(seals,licences)","time":{"since":"30m"},"click":{"op":"and","of":[1,"x"]}}`, 201, &search)
	type monitor struct {
		ID       string `json:"id"`
		State    string `json:"state"`
		Revision int    `json:"revision"`
		Reason   string `json:"paused_reason"`
		LastRun  *struct {
			Outcome string `json:"outcome"`
			Rows    int    `json:"rows"`
			Error   string `json:"error"`
			Manual  bool   `json:"manual"`
			Export  string `json:"export_id"`
		} `json:"last_run"`
	}
	var m monitor
	s.call(lin, "POST", "/api/v1/search-monitors", `{"name":"印章过多","search_id":"`+search.ID+`","tenant":"e-seal","schedule":"* * * * *","time_zone":"Asia/Shanghai",
		"condition":{"kind":"rows","op":">","value":29},"action":{"kind":"alert","severity":"high","title":{"zh":"印章使用过多","en":"Too many seals"}}}`, 201, &m)
	s.call(lin, "POST", "/api/v1/search-monitors", `{"name":"x","query":"*","tenant":"e-licence","schedule":"* * * * *","window":"5m","condition":{"kind":"rows","op":">","value":1},"action":{"kind":"alert"}}`, 403, nil)
	s.call(wang, "GET", "/api/v1/search-monitors/"+m.ID, "", 404, nil)

	began := time.Now()
	eventually(t, 90*time.Second, "it ran by its schedule", func() error {
		s.call(lin, "GET", "/api/v1/search-monitors/"+m.ID, "", 200, &m)
		if m.LastRun == nil || m.LastRun.Outcome == "running" {
			return errors.New("no run yet")
		}
		return nil
	})
	if m.LastRun.Outcome != "met" || m.LastRun.Rows != 30 || m.LastRun.Manual {
		t.Fatalf("after %s: %+v", time.Since(began), m.LastRun)
	}
	alerts := func(token string) string { return string(s.call(token, "GET", "/api/v1/alerts", "", 200, nil)) }
	eventually(t, 20*time.Second, "the alert shows", func() error {
		if list := alerts(lin); !strings.Contains(list, "印章使用过多") || !strings.Contains(list, `"tenant":"e-seal"`) {
			return errors.New(list)
		}
		return nil
	})
	if strings.Contains(alerts(wang), "印章") {
		t.Error("another tenant's people see the alert")
	}

	// Copied, changed, listed, disabled and removed.
	var c monitor
	s.call(lin, "POST", "/api/v1/search-monitors/"+m.ID+"/copy", `{}`, 201, &c)
	s.call(lin, "PUT", "/api/v1/search-monitors/"+c.ID, `{"name":"印章副本","query":"seals","tenant":"e-seal","schedule":"0 8 * * 1-5","time_zone":"Asia/Shanghai","window":"1d","revision":1,
		"condition":{"kind":"rows","op":"=","value":0},"action":{"kind":"alert","severity":"low"},"enabled":true}`, 200, &c)
	s.call(lin, "PUT", "/api/v1/search-monitors/"+c.ID, `{"name":"x","query":"seals","schedule":"@daily","window":"1d","revision":1,
		"condition":{"kind":"rows","op":"=","value":0},"action":{"kind":"alert"}}`, 409, nil)
	if list := string(s.call(lin, "GET", "/api/v1/search-monitors?q=%E5%89%AF%E6%9C%AC&state=active", "", 200, nil)); c.State != "active" || !strings.Contains(list, `"total":1,`) || !strings.Contains(list, c.ID) {
		t.Errorf("%+v, found %s", c, list)
	}
	s.call(lin, "POST", "/api/v1/search-monitors/batch", `{"ids":["`+c.ID+`"],"action":"disable"}`, 200, nil)
	if s.call(lin, "GET", "/api/v1/search-monitors/"+c.ID, "", 200, &c); c.State != "disabled" {
		t.Errorf("disabled it is %s", c.State)
	}
	s.call(lin, "DELETE", "/api/v1/search-monitors/"+c.ID, "", 204, nil)
	s.call(lin, "GET", "/api/v1/search-monitors/"+c.ID, "", 404, nil)

	// An export of what another tenant has not, and the receiver is told.
	var x monitor
	s.call(lin, "POST", "/api/v1/search-monitors", `{"name":"导出","query":"*","schedule":"@yearly","window":"30m","condition":{"kind":"rows","op":">","value":0},
		"action":{"kind":"export","format":"csv","fields":["n","event.dataset"],"receiver":"hook"}}`, 201, &x)
	s.call(lin, "POST", "/api/v1/search-monitors/"+x.ID+"/run", `{}`, 202, nil)
	for {
		select {
		case body := <-told:
			if !strings.Contains(body, x.ID) {
				continue // of the alert's incident
			}
			var doc struct {
				Content string   `json:"content"`
				Export  exported `json:"export"`
			}
			if err := json.Unmarshal([]byte(body), &doc); err != nil || doc.Export.State != "done" || strings.Count(doc.Content, "seals") != 30 || strings.Contains(doc.Content, "licences") {
				t.Errorf("%v: the receiver was told %s", err, body)
			}
		case <-time.After(30 * time.Second):
			s.call(lin, "GET", "/api/v1/search-monitors/"+x.ID, "", 200, &x)
			t.Fatalf("the receiver was not told: %+v", x.LastRun)
		}
		break
	}

	// The account is disabled: what runs in its name stops, and says why.
	s.call(admin, "PATCH", "/api/v1/users/"+id, `{"disabled":true}`, 200, nil)
	s.call(admin, "POST", "/api/v1/search-monitors/"+m.ID+"/run", `{}`, 202, nil)
	eventually(t, 20*time.Second, "it is paused", func() error {
		s.call(admin, "GET", "/api/v1/search-monitors/"+m.ID, "", 200, &m)
		if m.State != "paused" || !strings.Contains(m.Reason, "lin is disabled") {
			return fmt.Errorf("%+v %+v", m, m.LastRun)
		}
		return nil
	})
}

// TestLogGroups confines a user to a log group and reads by every road there
// is; then it searches in groups, and looks at the history.
func TestLogGroups(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	admin := s.admin.Options().Token
	id, lin := s.signedInUser("lin", "analyst", "e-seal")
	s.bulkDocuments("e-seal", "seals", 20)
	s.bulkDocuments("e-seal", "secrets", 7)
	secret := text(s.expect("event.dataset:=secrets", 7, 20*time.Second)[0], "event.id")
	type node struct {
		ID       string
		Revision int
	}
	var seals, secrets node
	s.call(lin, "POST", "/api/v1/log-groups", `{"kind":"group","name":"x"}`, 403, nil)
	s.call(admin, "POST", "/api/v1/log-groups", `{"kind":"group","name":"印章","filter":"event.dataset:=seals","span":"30d"}`, 201, &seals)
	s.call(admin, "POST", "/api/v1/log-groups", `{"kind":"group","name":"机密","filter":"event.dataset:=secrets"}`, 201, &secrets)
	count := func(query string) int {
		var got struct{ Total int }
		s.call(lin, "GET", "/api/v1/search/histogram?since=1h&"+query, "", 200, &got)
		return got.Total
	}
	if a, b := count("group="+seals.ID), count("group="+secrets.ID+"&query=secrets"); a != 20 || b != 7 {
		t.Errorf("in the groups there are %d and %d", a, b)
	}
	var trend struct {
		Groups []struct {
			Name  string
			Total int
		}
	}
	s.call(lin, "GET", "/api/v1/log-groups/trend?since=1h&buckets=12", "", 200, &trend)
	if fmt.Sprint(trend.Groups) != "[{印章 20} {机密 7}]" {
		t.Errorf("the trend: %v", trend.Groups)
	}
	s.call(lin, "GET", "/api/v1/search?query=seals&since=1h&group="+seals.ID, "", 200, nil)
	s.call(lin, "GET", "/api/v1/search?query=kept-out&since=1h&history=false", "", 200, nil)
	eventually(t, 5*time.Second, "the search is in the history", func() error {
		list := string(s.call(lin, "GET", "/api/v1/me/search-history", "", 200, nil))
		if !strings.Contains(list, `"query":"seals"`) || strings.Contains(list, "kept-out") {
			return errors.New(list)
		}
		return nil
	})

	// Only who is named may use the group of secrets.
	_, wang := s.signedInUser("wang", "analyst", "e-seal")
	s.call(admin, "PUT", "/api/v1/log-groups/"+secrets.ID+"/access", `{"roles":[],"units":[],"users":["wang"],"confines":false,"revision":1}`, 200, nil)
	s.call(lin, "GET", "/api/v1/search?group="+secrets.ID, "", 403, nil)
	s.call(wang, "GET", "/api/v1/search?group="+secrets.ID, "", 200, nil)

	// Confined to the seals, lin sees nothing else, whatever he asks.
	s.call(admin, "PUT", "/api/v1/log-groups/"+seals.ID+"/access", `{"roles":[],"units":[],"users":["`+id+`"],"confines":true,"revision":1}`, 200, nil)
	if n := count("query=*"); n != 20 {
		t.Errorf("confined he counts %d", n)
	}
	for _, path := range []string{
		"/api/v1/search?since=1h&limit=1000", "/api/v1/search?since=1h&query=*%20%7C%20union%20(event.dataset:=secrets)", "/api/v1/search?since=1h&query=event.dataset:=secrets%20or%20*",
		"/api/v1/search/values?since=1h&field=event.dataset", "/api/v1/search?since=1h&query=*%20%7C%20stats%20by%20(event.dataset)%20count()",
	} {
		if body := s.call(lin, "GET", path, "", 200, nil); bytes.Contains(body, []byte("secrets")) || !bytes.Contains(body, []byte("seals")) {
			t.Errorf("%s: %.300s", path, body)
		}
	}
	s.call(lin, "GET", "/api/v1/events/"+secret, "", 404, nil)
	s.call(wang, "GET", "/api/v1/events/"+secret, "", 200, nil)
	j := s.beginExport(lin, `{"query":"*","since":"1h","format":"ndjson"}`)
	if body := s.exportedFile(lin, j.ID); bytes.Contains(body, []byte("secrets")) || bytes.Count(body, []byte("\n")) != 20 {
		t.Errorf("his export: %.300s", body)
	}

	// Files of groups and searches, there and back.
	file := s.call(admin, "GET", "/api/v1/log-groups/export?format=yaml", "", 200, nil)
	var report struct{ Created, Updated, Rejected int }
	s.call(admin, "POST", "/api/v1/log-groups/import?format=yaml&dry_run=true", string(file), 200, &report)
	if report.Updated != 2 || report.Rejected != 0 {
		t.Errorf("the groups again: %+v\n%s", report, file)
	}
	s.call(admin, "POST", "/api/v1/saved-searches", `{"name":"a","query":"seals","group":"`+seals.ID+`"}`, 201, nil)
	file = s.call(admin, "GET", "/api/v1/saved-searches/export?format=json", "", 200, nil)
	if answer := s.call(admin, "POST", "/api/v1/saved-searches/import", string(file), 422, nil); !bytes.Contains(answer, []byte("on_conflict")) {
		t.Errorf("%s", answer)
	}
	s.call(admin, "POST", "/api/v1/saved-searches/import?on_conflict=rename", string(file), 200, nil)
	if list := s.call(admin, "GET", "/api/v1/saved-searches?group="+seals.ID, "", 200, nil); !bytes.Contains(list, []byte(`"a (2)"`)) {
		t.Errorf("%s", list)
	}
}

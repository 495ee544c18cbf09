package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/audit"
)

// newest returns the newest record of an action.
func (s *suite) newest(action string) audit.Record {
	s.t.Helper()
	page, err := s.audit.List(s.t.Context(), audit.Query{Action: action, Limit: 1})
	if err != nil || len(page.Items) != 1 {
		s.t.Fatalf("%s: %d records, %v", action, len(page.Items), err)
	}
	return page.Items[0]
}

// A change is recorded with what it changed, from where, by which session and
// how that began; secrets are not in it.
func TestAuditOfChanges(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := s.login("admin", adminPassword)
	in := s.newest("login")
	if in.Kind != audit.KindSignIn || in.Channel != "password" || in.Session == "" || in.Changes != nil {
		t.Errorf("sign-in: %+v", in)
	}
	const secret = "Correct-Horse-77-staple"
	a := s.call("POST", "/api/v1/users", `{"username":"li","display_name":"李","password":"`+secret+`","roles":["viewer"]}`, append(bearer(admin), "User-Agent", "console/1")...)
	if a.status != http.StatusCreated {
		t.Fatal(a.status, a.body)
	}
	r := s.newest("create-user")
	if r.Kind != audit.KindChange || r.Session != in.Session || r.Channel != "password" || r.Client != "console/1" || r.Result != audit.OK {
		t.Errorf("create-user: %+v", r)
	}
	if text := string(r.Changes); strings.Contains(text, secret) || !strings.Contains(text, `"field":"username","after":"li"`) || !strings.Contains(text, `"(secret)"`) {
		t.Errorf("changes: %s", text)
	}
	a = s.call("POST", "/api/v1/users", `{"username":"li","password":"`+secret+`","roles":["viewer"]}`, bearer(admin)...)
	if a.status != http.StatusConflict {
		t.Fatal(a.status, a.body)
	}
	for range 3000 { // what failed is written soon, not at once
		if r = s.newest("create-user"); r.Result == audit.Failed {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if r.Result != audit.Failed || r.Detail == "" || r.Detail == "Conflict" || r.Changes != nil {
		t.Errorf("a failed create-user: %+v", r)
	}
	a = s.call("POST", "/api/v1/me/password", `{"current":"`+adminPassword+`","new":"`+secret+`"}`, bearer(admin)...)
	if r = s.newest("change-password"); a.status != http.StatusNoContent || r.Changes != nil {
		t.Errorf("change-password: %d, %+v", a.status, r)
	}
}

// Reads of sensitive data are recorded with what was asked, others are not.
func TestAuditOfReads(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := s.login("admin", adminPassword)
	for range 3 {
		s.call("GET", "/api/v1/search?query=user.name%3Ali&since=1h&limit=5", "", bearer(admin)...)
	}
	s.call("GET", "/api/v1/cmdb/classes", "", bearer(admin)...)
	s.call("GET", "/api/v1/nowhere", "", bearer(admin)...)
	page, err := s.audit.List(t.Context(), audit.Query{Actor: "admin"})
	if err != nil || page.Total != 2 {
		t.Fatalf("%+v, %v", page, err)
	}
	if r := page.Items[0]; r.Kind != audit.KindRead || r.Action != "search" || r.Detail != `query="user.name:li" since="1h"` {
		t.Errorf("%+v", r)
	}
	// The list names operations that there are.
	var have []string
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(s.call("GET", "/api/v1/openapi.json", "", bearer(admin)...).body), &doc); err != nil {
		t.Fatal(err)
	}
	for _, path := range doc.Paths {
		have = append(have, path["get"].OperationID)
	}
	for _, op := range sensitiveReads {
		if !slices.Contains(have, op) {
			t.Errorf("there is no operation %q to read with", op)
		}
	}
}

func TestAuditRoutes(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := s.login("admin", adminPassword)
	s.call("POST", "/api/v1/auth/login", `{"username":"admin","password":"wrong-wrong-wrong"}`)
	s.call("POST", "/api/v1/users", `{"username":"li","password":"Correct-Horse-77-staple","roles":["viewer"]}`, bearer(admin)...)
	viewer := s.login("li", "Correct-Horse-77-staple")
	for _, path := range []string{"", "/actions", "/verify", "/export", "/track?user=admin"} {
		if a := s.call("GET", "/api/v1/audit"+path, "", bearer(viewer)...); a.status != http.StatusForbidden {
			t.Errorf("GET /audit%s as a viewer: %d", path, a.status)
		}
	}
	report := s.call("GET", "/api/v1/audit/verify", "", bearer(admin)...).json(t)
	if report["ok"] != true || report["records"].(float64) < 3 || len(report["breaks"].([]any)) != 0 || len(report["keys"].([]any)) != 1 {
		t.Errorf("verify: %v", report)
	}
	actions := s.call("GET", "/api/v1/audit/actions", "", bearer(admin)...).json(t)
	if items := actions["items"].([]any); !slices.Contains(items, any("login")) || !slices.Contains(items, any("create-user")) {
		t.Errorf("actions: %v", items)
	}
	track := s.call("GET", "/api/v1/audit/track?user=admin", "", bearer(admin)...).json(t)
	if sessions := track["sessions"].([]any); len(sessions) < 1 || track["total"].(float64) < 2 {
		t.Errorf("track: %v", track)
	}
	if a := s.call("GET", "/api/v1/audit/track", "", bearer(admin)...); a.status != http.StatusUnprocessableEntity {
		t.Errorf("track of nobody: %d", a.status)
	}
	found := s.call("GET", "/api/v1/audit?q=create+LI&kind=change", "", bearer(admin)...).json(t)
	if found["total"].(float64) != 1 {
		t.Errorf("q: %v", found)
	}
	export := s.call("GET", "/api/v1/audit/export", "", bearer(admin)...)
	keys, _ := json.Marshal(report["keys"])
	var list []audit.Key
	if err := json.Unmarshal(keys, &list); err != nil {
		t.Fatal(err)
	}
	if r, err := audit.VerifyExport(strings.NewReader(string(export.body)), list[0].ID); err != nil || !r.OK || r.Records < 5 {
		t.Errorf("export: %+v, %v", r, err)
	}
}

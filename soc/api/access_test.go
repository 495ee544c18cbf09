package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"strings"
	"testing"

	"icewatch/soc/units"
)

const firstPassword, nextPassword = "moon-river-harbour", "harbour-moon-river"

// newcomer makes a user, changes the password that somebody else knows, and
// returns id and session.
func (s *suite) newcomer(admin []string, name, rest string) (id string, session []string) {
	s.t.Helper()
	a := s.call("POST", "/api/v1/users", fmt.Sprintf(`{"username":%q,"password":%q%s}`, name, firstPassword, rest), admin...)
	if a.status != 201 {
		s.t.Fatalf("create %s: %d %s", name, a.status, a.body)
	}
	return a.json(s.t)["id"].(string), s.settle(name)
}

// settle signs in for the first time and changes the password.
func (s *suite) settle(name string) []string {
	s.t.Helper()
	session := bearer(s.login(name, firstPassword))
	if a := s.call("POST", "/api/v1/me/password", fmt.Sprintf(`{"current":%q,"new":%q}`, firstPassword, nextPassword), session...); a.status != 204 {
		s.t.Fatalf("%s: %d %s", name, a.status, a.body)
	}
	return session
}

func (s *suite) want(as []string, method, path, body string, status int) answer {
	s.t.Helper()
	a := s.call(method, path, body, as...)
	if a.status != status {
		s.t.Errorf("%s %s %s: got %d, want %d: %s", method, path, body, a.status, status, a.body)
	}
	return a
}

// The administrator of a unit looks after it and what is below it, and can
// neither look elsewhere nor give, or take over, more than he has.
func TestDelegatedAdministration(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := bearer(s.login("admin", adminPassword))
	for _, u := range [][2]string{{"city", ""}, {"bureau", "city"}, {"office", "bureau"}, {"other", "city"}} {
		if _, err := s.units.Create(t.Context(), units.Unit{ID: u[0], Parent: u[1], Name: units.Text{ZH: u[0]}, Code: strings.ToUpper(u[0])}); err != nil {
			t.Fatal(err)
		}
	}
	_, dan := s.newcomer(admin, "dan", `,"roles":["unit-admin"],"tenants":["a"],"unit":"bureau"`)
	foreign, _ := s.newcomer(admin, "foreign", `,"roles":["viewer"],"tenants":["b"],"unit":"other"`)
	boss, _ := s.newcomer(admin, "boss", `,"roles":["admin"],"tenants":["*"],"unit":"office"`)

	// Within.
	li := s.want(dan, "POST", "/api/v1/users", `{"username":"li","password":"`+firstPassword+`","unit":"office","roles":["analyst"],"tenants":["a"]}`, 201).json(t)["id"].(string)
	s.want(dan, "POST", "/api/v1/users", `{"username":"deputy","password":"`+firstPassword+`","unit":"office","roles":["unit-admin"]}`, 201)
	s.want(dan, "PATCH", "/api/v1/users/"+li, `{"display_name":"李","phone":"+86 451 8888","email":"li@example.gov.cn","tags":["夜班"]}`, 200)
	s.want(dan, "PUT", "/api/v1/users/"+li+"/access", `{"roles":["viewer"]}`, 200)
	s.want(dan, "POST", "/api/v1/units", `{"id":"desk","parent":"office","name":{"zh":"窗口"}}`, 201)
	s.want(dan, "POST", "/api/v1/grants", `{"role":"analyst","user":"`+li+`","weekdays":[1,2,3],"from":"20:00","to":"08:00","reason":"夜班"}`, 201)
	region, supports := "道里区", "other"
	if _, err := s.units.Update(t.Context(), "office", units.Change{Region: &region, Supports: &supports}); err != nil {
		t.Fatal(err)
	}
	for query, n := range map[string]float64{"region=" + url.QueryEscape(region): 3, "region=x": 0, "supports=other": 3, "unit=bureau&supports=other": 0} {
		if got := s.want(dan, "GET", "/api/v1/users?"+query, "", 200).json(t)["total"]; got != n {
			t.Errorf("%s: %v users, want %v", query, got, n)
		}
	}
	users := s.want(dan, "GET", "/api/v1/users", "", 200)
	for name, there := range map[string]bool{"li": true, "deputy": true, "dan": true, "foreign": false, `"admin"`: false} {
		if strings.Contains(string(users.body), `"username":"`+strings.Trim(name, `"`)+`"`) != there {
			t.Errorf("the list of users: %s listed %v, want %v", name, !there, there)
		}
	}

	// Of the tree he knows his own part and the way up.
	if got := s.want(dan, "GET", "/api/v1/units", "", 200).json(t)["total"]; got != 4.0 {
		t.Errorf("he knows %v units, want city, bureau, office, desk", got)
	}
	if got := s.want(admin, "GET", "/api/v1/units", "", 200).json(t)["total"]; got != 5.0 {
		t.Errorf("the administrator knows %v units, want 5", got)
	}
	s.want(dan, "GET", "/api/v1/units/other", "", 404)

	// Elsewhere and above.
	for _, r := range [][3]string{
		{"GET", "/api/v1/users/" + foreign, ""}, {"PATCH", "/api/v1/users/" + foreign, `{"disabled":true}`}, {"DELETE", "/api/v1/users/" + foreign, ""},
		{"PUT", "/api/v1/users/" + foreign + "/access", `{"roles":[]}`}, {"GET", "/api/v1/users?under=other", ""}, {"GET", "/api/v1/users?unit=city", ""},
		{"POST", "/api/v1/grants", `{"role":"viewer","user":"` + foreign + `"}`}, {"PATCH", "/api/v1/units/other", `{"code":"X"}`}, {"DELETE", "/api/v1/units/other", ""},
		{"POST", "/api/v1/users/" + li + "/access/copy", `{"from":"` + foreign + `"}`}, {"GET", "/api/v1/access/explain?operation=search&user=" + foreign, ""},
	} {
		s.want(dan, r[0], r[1], r[2], 404)
	}
	for _, r := range [][3]string{
		{"POST", "/api/v1/users", `{"username":"x1","password":"` + firstPassword + `","unit":"other"}`},
		{"POST", "/api/v1/users", `{"username":"x2","password":"` + firstPassword + `"}`},
		{"PATCH", "/api/v1/users/" + li, `{"unit":"other"}`},
		{"POST", "/api/v1/units", `{"parent":"city","name":{"zh":"新"}}`}, {"POST", "/api/v1/units", `{"name":{"zh":"顶"}}`},
		{"PATCH", "/api/v1/units/office", `{"parent":"other"}`},
	} {
		s.want(dan, r[0], r[1], r[2], 422)
	}
	// More than he has; himself; and who holds more.
	me := s.want(dan, "GET", "/api/v1/me", "", 200).json(t)
	for _, r := range [][3]string{
		{"PUT", "/api/v1/users/" + li + "/access", `{"roles":["admin"]}`}, {"PUT", "/api/v1/users/" + li + "/access", `{"roles":["security-admin"]}`},
		{"PUT", "/api/v1/users/" + li + "/access", `{"roles":["operator"]}`}, {"PUT", "/api/v1/users/" + li + "/access", `{"tenants":["b"]}`},
		{"PUT", "/api/v1/users/" + li + "/access", `{"tenants":["*"]}`}, {"POST", "/api/v1/grants", `{"role":"audit-admin","user":"` + li + `"}`},
		{"POST", "/api/v1/users", `{"username":"x3","password":"` + firstPassword + `","unit":"bureau","roles":["unit-admin"]}`},
		{"PATCH", "/api/v1/users/" + me["id"].(string), `{"disabled":false}`}, {"PUT", "/api/v1/users/" + me["id"].(string) + "/access", `{"roles":["unit-admin","analyst"]}`},
		{"PATCH", "/api/v1/users/" + boss, `{"password":"` + nextPassword + `"}`}, {"DELETE", "/api/v1/users/" + boss, ""},
		{"PATCH", "/api/v1/units/bureau", `{"parent":""}`}, {"POST", "/api/v1/roles", `{"id":"x","name":{"en":"x"},"scopes":["admin"]}`},
		{"PUT", "/api/v1/units/office/ceiling", `{"ceiling":""}`},
	} {
		s.want(dan, r[0], r[1], r[2], 403)
	}
	batch := s.want(dan, "POST", "/api/v1/users/batch", `{"ids":["`+li+`","`+boss+`","`+foreign+`"],"action":"disable"}`, 200).json(t)
	if done, failed := batch["done"].([]any), batch["failed"].([]any); len(done) != 1 || done[0] != li || len(failed) != 2 {
		t.Errorf("a batch: %v", batch)
	}
	// A group of his cannot carry a role he may not give.
	group := s.want(dan, "POST", "/api/v1/groups", `{"kind":"post","name":{"zh":"值班长"},"unit":"office"}`, 201).json(t)["id"].(string)
	s.want(admin, "POST", "/api/v1/grants", `{"role":"security-admin","group":"`+group+`"}`, 201)
	s.want(dan, "PUT", "/api/v1/groups/"+group+"/members/"+li, "", 403)
	// When the unit moves away from under him, so do its people.
	s.want(admin, "PATCH", "/api/v1/units/office", `{"parent":"other"}`, 200)
	s.want(dan, "GET", "/api/v1/users/"+li, "", 404)
}

// A unit's ceiling bounds whoever belongs to it, and who is made by a bounded
// administrator is bounded like him.
func TestCeilings(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := bearer(s.login("admin", adminPassword))
	for _, u := range [][2]string{{"city", ""}, {"bureau", "city"}} {
		s.want(admin, "POST", "/api/v1/units", fmt.Sprintf(`{"id":%q,"parent":%q,"name":{"zh":%q}}`, u[0], u[1], u[0]), 201)
	}
	_, li := s.newcomer(admin, "li", `,"roles":["viewer"],"tenants":["*"],"unit":"bureau"`)
	sees := func(as []string) string {
		t.Helper()
		var page struct{ Items []struct{ Slug string } }
		if err := json.Unmarshal(s.want(as, "GET", "/api/v1/tenants", "", 200).body, &page); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, i := range page.Items {
			out = append(out, i.Slug)
		}
		return strings.Join(out, " ")
	}
	if got := sees(li); got != "a b unassigned" {
		t.Errorf("without a ceiling: %q", got)
	}
	s.want(admin, "PUT", "/api/v1/units/city/ceiling", `{"ceiling":"tenant in (\"a\", \"b\")"}`, 200)
	s.want(admin, "PUT", "/api/v1/units/bureau/ceiling", `{"ceiling":"not tenant = \"b\""}`, 200)
	if got := sees(li); got != "a" {
		t.Errorf("under two ceilings: %q", got)
	}
	s.want(admin, "PUT", "/api/v1/units/bureau/ceiling", `{"ceiling":"tenant ="}`, 422)
	_, dan := s.newcomer(admin, "dan", `,"roles":["unit-admin","viewer"],"tenants":["*"],"unit":"city","reach":"tenant = \"b\""`)
	s.want(dan, "POST", "/api/v1/users", `{"username":"wang","password":"`+firstPassword+`","unit":"city","roles":["viewer"],"tenants":["*"]}`, 201)
	if got := sees(s.settle("wang")); got != "b" {
		t.Errorf("made by who sees b alone: %q", got)
	}
}

// The wizard makes the administrators and separates the powers, or changes
// nothing; after it each power keeps out of the others' hands.
func TestSetupSeparatesThePowers(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := bearer(s.login("admin", adminPassword))
	if me := s.want(admin, "GET", "/api/v1/me", "", 200).json(t); me["setup_needed"] != true {
		t.Errorf("before the wizard: %v", me)
	}
	person := func(name, password string) string {
		return fmt.Sprintf(`{"username":%q,"password":%q}`, name, password)
	}
	s.want(admin, "POST", "/api/v1/setup", `{}`, 422)
	s.want(admin, "POST", "/api/v1/setup", `{"security_admin":`+person("an", firstPassword)+`,"audit_admin":`+person("shen", "short")+`}`, 422)
	s.want(admin, "POST", "/api/v1/setup", `{"security_admin":`+person("an", firstPassword)+`,"audit_admin":`+person("an", firstPassword)+`}`, 409)
	if n := s.want(admin, "GET", "/api/v1/users", "", 200).json(t)["total"]; n != 1.0 {
		t.Errorf("a failed wizard leaves %v users", n)
	}
	s.want(admin, "POST", "/api/v1/setup", `{"security_admin":`+person("an", firstPassword)+`,"audit_admin":`+person("shen", firstPassword)+`}`, 200)
	s.want(admin, "POST", "/api/v1/setup", `{"separation":false}`, 409)
	an, shen := s.settle("an"), s.settle("shen")

	id := func(name string) string {
		return s.want(admin, "GET", "/api/v1/users?q="+name, "", 200).json(t)["items"].([]any)[0].(map[string]any)["id"].(string)
	}
	anID, shenID, adminID := id("an"), id("shen"), id("admin")
	for _, r := range []struct {
		as                 []string
		method, path, body string
		status             int
	}{
		{admin, "GET", "/api/v1/search", "", 403}, {admin, "GET", "/api/v1/audit", "", 403}, {an, "GET", "/api/v1/audit", "", 403},
		{shen, "GET", "/api/v1/audit", "", 200}, {shen, "GET", "/api/v1/users", "", 403}, {an, "POST", "/api/v1/users", person("x", firstPassword), 403},
		// The system administrator makes accounts, and cannot say what they may do.
		{admin, "POST", "/api/v1/users", person("li", firstPassword), 201},
		{admin, "POST", "/api/v1/users", `{"username":"y","password":"` + firstPassword + `","roles":["audit-admin"]}`, 403},
		// Nobody takes over another power's account.
		{admin, "PATCH", "/api/v1/users/" + anID, `{"password":"taken-Over-2026-x"}`, 403}, {admin, "PATCH", "/api/v1/users/" + shenID, `{"disabled":true}`, 403},
		{admin, "DELETE", "/api/v1/users/" + shenID, "", 403},
		{an, "PUT", "/api/v1/users/" + anID + "/access", `{"roles":["security-admin","audit-admin"]}`, 409},
		{an, "PUT", "/api/v1/users/" + shenID + "/access", `{"roles":[]}`, 403}, {an, "PUT", "/api/v1/users/" + adminID + "/access", `{"roles":[]}`, 403},
		{an, "POST", "/api/v1/grants", `{"role":"audit-admin","user":"` + anID + `"}`, 409},
		{an, "POST", "/api/v1/tokens", `{"name":"t","scopes":["audit"]}`, 403}, {an, "POST", "/api/v1/tokens", `{"name":"t","scopes":["admin"]}`, 403},
		{an, "POST", "/api/v1/tokens", `{"name":"t","scopes":["ingest"]}`, 201},
	} {
		s.want(r.as, r.method, r.path, r.body, r.status)
	}
	li := id("li")
	s.want(an, "PUT", "/api/v1/users/"+li+"/access", `{"roles":["analyst"],"tenants":["a"]}`, 200)
	why := s.want(an, "GET", "/api/v1/access/explain?operation=list-audit&user="+li, "", 200).json(t)
	if why["allow"] != false || !strings.Contains(fmt.Sprint(why["reasons"]), "audit-admin") {
		t.Errorf("why not: %v", why)
	}
	s.want(s.settle("li"), "GET", "/api/v1/access/explain?operation=list-audit&user="+anID, "", 403)
	// What was asked is in the audit log, the passwords that came with it are not.
	log := string(s.want(shen, "GET", "/api/v1/audit?limit=1000", "", 200).body)
	if !strings.Contains(log, "complete-setup") || strings.Contains(log, firstPassword) || strings.Contains(log, nextPassword) || strings.Contains(log, "taken-Over") {
		t.Errorf("the audit log: %s", log)
	}
}

// Files of users and units: checked whole, taken whole, given back as taken.
func TestUserFiles(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := bearer(s.login("admin", adminPassword))
	s.want(admin, "POST", "/api/v1/units/import", "code,name_zh\nH1,道里区\n", 200)
	file := "\xef\xbb\xbfusername,display_name,email,unit_code,roles,tags\nli,李伟,li@example.gov.cn,H1,viewer;analyst,夜班\nwang,=1+1,,H1,viewer,\n"
	dry := s.want(admin, "POST", "/api/v1/users/import?dry_run=true", file, 200).json(t)
	if dry["created"] != 2.0 || len(dry["passwords"].([]any)) != 0 {
		t.Errorf("a dry run: %v", dry)
	}
	done := s.want(admin, "POST", "/api/v1/users/import", file, 200).json(t)
	if len(done["errors"].([]any)) != 0 || len(done["passwords"].([]any)) != 2 {
		t.Fatalf("%v", done)
	}
	first := done["passwords"].([]any)[0].(map[string]any)
	s.login("li", first["password"].(string))
	out := s.want(admin, "GET", "/api/v1/users/export", "", 200)
	if !strings.Contains(string(out.body), "'=1+1") || strings.Contains(string(out.body), "argon2") {
		t.Errorf("the export: %s", out.body)
	}
	again := s.want(admin, "POST", "/api/v1/users/import", string(out.body), 200).json(t)
	if again["unchanged"] != 3.0 || again["created"] != 0.0 {
		t.Errorf("what was exported: %v", again)
	}
	for _, f := range [][2]string{
		{"username\nx\nx\n", "row 2 already"}, {"username,colour\nx,red\n", "colour"}, {"name\nx\n", "name"}, {"username,unit_code\nx,GHOST\n", "GHOST"},
		{"username,roles\nx,root\n", "root"}, {"username,email\nx,nowhere\n", "nowhere"}, {"username,password\nli,new-password-2026\n", "one at a time"}, {"username\n\"x\n", "quote"},
	} {
		got := s.want(admin, "POST", "/api/v1/users/import", f[0], 200)
		if !strings.Contains(string(got.body), f[1]) || got.json(t)["created"] == 1.0 && len(got.json(t)["errors"].([]any)) == 0 {
			t.Errorf("%q: %s", f[0], got.body)
		}
	}
	if n := s.want(admin, "GET", "/api/v1/users", "", 200).json(t)["total"]; n != 3.0 {
		t.Errorf("there are %v users", n)
	}
}

func TestPictures(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	admin := bearer(s.login("admin", adminPassword))
	img := image.NewRGBA(image.Rect(0, 0, 300, 200))
	img.Set(10, 10, color.RGBA{255, 0, 0, 255})
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	s.want(admin, "PUT", "/api/v1/me/avatar", buf.String(), 204)
	url := s.want(admin, "GET", "/api/v1/me", "", 200).json(t)["avatar_url"].(string)
	got := s.want(admin, "GET", url, "", 200)
	if cfg, err := png.DecodeConfig(bytes.NewReader(got.body)); err != nil || cfg.Width != avatarSize || cfg.Height != avatarSize {
		t.Errorf("the picture: %+v, %v", cfg, err)
	}
	for name, body := range map[string]string{"markup": "<svg onload=alert(1)>", "cut": buf.String()[:100], "nothing": "", "gif": "GIF89a\x01\x00\x01\x00\x00\x00\x00;",
		"a bomb": "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x01\x00\x00\x00\x01\x00\x00\x08\x02\x00\x00\x00"} {
		if a := s.call("PUT", "/api/v1/me/avatar", body, admin...); a.status != 422 && a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	s.want(admin, "DELETE", "/api/v1/me/avatar", "", 204)
	s.want(admin, "GET", url, "", 404)
	logo := base64.StdEncoding.EncodeToString(buf.Bytes())
	s.want(admin, "PUT", "/api/v1/settings/branding", `{"name":{"zh":"冰城安全"},"logo":"`+logo+`"}`, 200)
	s.want(nil, "GET", "/api/v1/branding/logo", "", 200)
	s.want(admin, "PUT", "/api/v1/settings/branding", `{"logo":"PHN2Zz4="}`, 422)
	if b := s.want(nil, "GET", "/api/v1/branding", "", 200).json(t); b["logo_url"] == "" || !strings.Contains(fmt.Sprint(b["name"]), "冰城") {
		t.Errorf("branding: %v", b)
	}
}

package api

import (
	"bytes"
	"encoding/json"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"

	"icewatch/soc/audit"
	"icewatch/soc/identity/mfa/mfatest"
)

// member returns one member of a JSON answer as it was sent.
func (a answer) member(t *testing.T, name string) string {
	t.Helper()
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &doc); err != nil || doc[name] == nil {
		t.Fatalf("the answer %d has no %s: %v: %s", a.status, name, err, a.body)
	}
	return string(doc[name])
}

// TestBrowser signs in as a browser does: by cookies, with a second factor,
// and is remembered.
func TestBrowser(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	jar := map[string]string{}
	site := strings.Replace(s.url, "127.0.0.1", "localhost", 1)
	ask := func(method, path, body string, want int) map[string]any {
		t.Helper()
		var pairs []string
		for name, value := range jar {
			pairs = append(pairs, name+"="+value)
		}
		a := s.with(http.DefaultClient, site, method, "/api/v1"+path, strings.NewReader(body), "User-Agent", agent, "Origin", site, "Cookie", strings.Join(pairs, "; "))
		if a.status != want {
			t.Fatalf("%s %s %s: got %d, want %d: %s", method, path, body, a.status, want, a.body)
		}
		for _, line := range a.header.Values("Set-Cookie") {
			c, err := http.ParseSetCookie(line)
			if err != nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
				t.Errorf("the cookie %q: %v", line, err)
			}
			if jar[c.Name] = c.Value; c.MaxAge < 0 {
				delete(jar, c.Name)
			}
		}
		if len(a.body) == 0 {
			return nil
		}
		return a.json(t)
	}
	login := `{"username":"admin","password":"` + adminPassword + `"}`
	ask("POST", "/auth/login", login, 200)
	if !strings.HasPrefix(jar[cookieName], "iws_") || !strings.HasPrefix(jar[deviceCookie], "iwd_") {
		t.Fatalf("the cookies: %v", jar)
	}
	devices := ask("GET", "/me/devices", "", 200)["items"].([]any)
	if len(devices) != 1 || devices[0].(map[string]any)["current"] != true || devices[0].(map[string]any)["client"] != "Firefox 140, Linux" {
		t.Errorf("the devices: %v", devices)
	}

	e := ask("POST", "/me/factors/totp", "", 200)
	now := time.Now()
	code, err := totp.GenerateCode(e["secret"].(string), now)
	if err != nil {
		t.Fatal(err)
	}
	ask("POST", "/me/factors/totp/confirm", `{"id":"`+e["id"].(string)+`","code":"0"}`, 422)
	codes := ask("POST", "/me/factors/totp/confirm", `{"id":"`+e["id"].(string)+`","code":"`+code+`"}`, 200)["recovery_codes"].([]any)
	if len(codes) != 10 {
		t.Fatalf("the codes: %v", codes)
	}
	ask("POST", "/auth/logout", "", 204)
	if _, in := jar[cookieName]; in || jar[deviceCookie] == "" {
		t.Errorf("after signing out: %v", jar)
	}

	step := func() string {
		t.Helper()
		p := ask("POST", "/auth/login", login, 401)
		if p["code"] != codeFactor || p["expires_at"] == "" || len(p["factors"].([]any)) < 2 {
			t.Fatalf("%v", p)
		}
		return p["challenge"].(string)
	}
	challenge := step()
	if p := ask("POST", "/auth/login/totp", `{"challenge":"`+challenge+`","code":"`+code+`"}`, 401); p["code"] != codeWrong {
		t.Errorf("a code that was used: %v", p)
	}
	next, err := totp.GenerateCode(e["secret"].(string), now.Add(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ask("POST", "/auth/login/totp", `{"challenge":"`+challenge+`","code":"`+next+`"}`, 200)
	if p := ask("POST", "/auth/login/totp", `{"challenge":"`+challenge+`","code":"`+next+`"}`, 401); p["code"] != codeOver {
		t.Errorf("a challenge that is over: %v", p)
	}
	if in := ask("POST", "/auth/login/recovery", `{"challenge":"`+step()+`","code":"`+codes[0].(string)+`"}`, 200); in["recovery_codes_left"] != 9.0 {
		t.Errorf("%v", in)
	}

	// A security key, made and used at the site the browser is at.
	me := ask("GET", "/me", "", 200)
	party := virtualwebauthn.RelyingParty{ID: "localhost", Name: "icewatch", Origin: site}
	device := virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(me["id"].(string))})
	key := mfatest.SecurityKey(t)
	begun := s.with(http.DefaultClient, site, "POST", "/api/v1/me/factors/webauthn/begin", nil, "User-Agent", agent, "Origin", site, "Cookie", cookieName+"="+jar[cookieName])
	registration := begun.json(t)["id"].(string)
	made, err := virtualwebauthn.ParseAttestationOptions(begun.member(t, "options"))
	if err != nil {
		t.Fatal(err)
	}
	answer := virtualwebauthn.CreateAttestationResponse(party, device, key, *made)
	out := ask("POST", "/me/factors/webauthn/finish", `{"id":"`+registration+`","name":"my key","credential":`+answer+`}`, 200)
	if out["key"].(map[string]any)["name"] != "my key" || len(out["recovery_codes"].([]any)) != 0 {
		t.Errorf("%v", out)
	}
	key.Counter++
	begun = s.with(http.DefaultClient, site, "POST", "/api/v1/auth/login/webauthn/begin", strings.NewReader("{}"), "User-Agent", agent, "Origin", site)
	asked, err := virtualwebauthn.ParseAssertionOptions(begun.member(t, "options"))
	if err != nil {
		t.Fatalf("%v: %s", err, begun.body)
	}
	in := ask("POST", "/auth/login/webauthn/finish", `{"challenge":`+begun.member(t, "challenge")+`,"credential":`+virtualwebauthn.CreateAssertionResponse(party, device, key, *asked)+`}`, 200)
	if in["user"].(map[string]any)["username"] != "admin" {
		t.Errorf("by the key alone: %v", in)
	}
	list := ask("GET", "/me/sessions", "", 200)["items"].([]any)
	channels := map[string]bool{}
	for _, x := range list {
		channels[x.(map[string]any)["channel"].(string)] = true
	}
	if !channels["webauthn"] || !channels["password+totp"] || !channels["password+recovery"] {
		t.Errorf("the channels: %v", channels)
	}
	if a := ask("GET", "/me/accesses", "", 200); len(a["recent"].([]any)) != 4 {
		t.Errorf("the accesses: %v", a["recent"])
	}

	// An administrator ends it all.
	admin := bearer(jar[cookieName])
	if a := s.call("DELETE", "/api/v1/users/"+me["id"].(string)+"/factors", "", admin...); a.status != 204 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := s.call("GET", "/api/v1/me", "", admin...); a.status != 401 {
		t.Errorf("the session outlives the reset: %d", a.status)
	}
	ask("POST", "/auth/login", login, 200)

	// What failed is in the audit log under the user's name.
	page, err := s.audit.List(t.Context(), audit.Query{Actor: "admin", Action: "login-totp", Result: audit.Denied})
	if err != nil || page.Total == 0 {
		t.Errorf("the wrong code: %+v, %v", page, err)
	}
}

func TestCaptchaOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSuite(t, nil)
	wrong := `{"username":"admin","password":"wrong"}`
	for range 3 {
		s.call("POST", "/api/v1/auth/login", wrong)
	}
	a := s.call("POST", "/api/v1/auth/login", `{"username":"admin","password":"`+adminPassword+`"}`)
	if a.status != 401 || a.json(t)["code"] != codeCaptcha || a.json(t)["captcha_required"] != true {
		t.Fatalf("after three failures: %d %s", a.status, a.body)
	}
	q := s.call("POST", "/api/v1/auth/captcha", "").json(t)
	img := s.call("GET", q["image_url"].(string), "")
	if _, err := png.Decode(bytes.NewReader(img.body)); err != nil || img.header.Get("Content-Type") != "image/png" {
		t.Errorf("the picture, %s: %v", img.header.Get("Content-Type"), err)
	}
	if wav := s.call("GET", q["audio_url"].(string)+"&lang=en", ""); wav.status != 200 || !bytes.HasPrefix(wav.body, []byte("RIFF")) {
		t.Errorf("read aloud: %d", wav.status)
	}
	body := `{"username":"admin","password":"` + adminPassword + `","captcha_id":"` + q["id"].(string) + `","captcha":"12345"}`
	if a := s.call("POST", "/api/v1/auth/login", body); a.status != 401 || a.json(t)["code"] != codeCaptchaBad {
		t.Errorf("a wrong answer: %d %s", a.status, a.body)
	}
	if a := s.call("GET", q["image_url"].(string), ""); a.status != 404 {
		t.Errorf("the picture after the one try: %d", a.status)
	}
}

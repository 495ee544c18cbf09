package channel

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/soc/egress"
	"icewatch/ticketing/webhook"
)

var at = time.UnixMilli(1_700_000_000_000)

func via(t testing.TB, clock func() time.Time) *Via {
	t.Helper()
	guard, err := egress.New(egress.Options{Allow: []string{"127.0.0.0/8", "[::1]:0"}[:1]})
	if err != nil {
		t.Fatal(err)
	}
	if clock == nil {
		clock = func() time.Time { return at }
	}
	return NewVia(guard, 10*time.Second, clock)
}

// notice is one as the outbox makes it.
func notice(kind string) *Notice {
	alerts := []webhook.Alert{{Status: webhook.Firing, Labels: map[string]string{"alertname": "SSH brute force", "severity": "high", "tenant": "tax"}, StartsAt: at}}
	return &Notice{Delivery: "0123456789abcdef", Kind: kind, Thread: "INC-1", At: at, Title: "新事件 “税务”", Text: "文本", Markdown: "### 新事件\n- 级别：高", HTML: "<p>新事件</p>",
		Link: "https://soc.example/incidents/INC-1", Acknowledge: "https://soc.example/ack", Payload: webhook.New("r", "https://soc.example", map[string]string{"incident": "INC-1"}, alerts, 50)}
}

// mac is HMAC-SHA256 written out by RFC 2104, so that no code of ours checks
// itself.
func mac(key, message string) []byte {
	k := []byte(key)
	if len(k) > 64 {
		sum := sha256.Sum256(k)
		k = sum[:]
	}
	k = append(k, make([]byte, 64-len(k))...)
	inner, outer := make([]byte, 64), make([]byte, 64)
	for i := range k {
		inner[i], outer[i] = k[i]^0x36, k[i]^0x5c
	}
	in := sha256.Sum256(append(inner, message...))
	out := sha256.Sum256(append(outer, in[:]...))
	return out[:]
}

// service is a vendor's: it answers what its function says and keeps what came.
type service struct {
	mu     sync.Mutex
	bodies []map[string]any
	*httptest.Server
}

func serve(t testing.TB, answer func(r *http.Request, body map[string]any) string) *service {
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		data, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(data, &body)
		s.mu.Lock()
		s.bodies = append(s.bodies, body)
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, answer(r, body))
	}))
	t.Cleanup(s.Close)
	return s
}

// TestSignaturesGolden holds the signatures to what openssl dgst -hmac makes.
func TestSignaturesGolden(t *testing.T) {
	t.Parallel()
	if got := (&DingTalk{Secret: "SECtest"}).signature(1_700_000_000_000); got != "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g=" {
		t.Errorf("DingTalk: %s", got)
	}
	if got := (&Feishu{Secret: "SECtest"}).signature(1_700_000_000); got != "G7XpBpG8NgG02fJOAhX6FRAObIljmFoxVReo8I62pEk=" {
		t.Errorf("Feishu: %s", got)
	}
}

// TestDingTalk talks to a service that checks as DingTalk does: the signature
// and that its time is not an hour off.
func TestDingTalk(t *testing.T) {
	t.Parallel()
	const secret = "SEC0123456789"
	s := serve(t, func(r *http.Request, body map[string]any) string {
		q := r.URL.Query()
		ms, _ := strconv.ParseInt(q.Get("timestamp"), 10, 64)
		switch {
		case q.Get("access_token") != "tok":
			return `{"errcode":300001,"errmsg":"token is not exist"}`
		case at.Sub(time.UnixMilli(ms)).Abs() > time.Hour:
			return `{"errcode":310000,"errmsg":"invalid timestamp"}`
		case q.Get("sign") != base64.StdEncoding.EncodeToString(mac(secret, q.Get("timestamp")+"\n"+secret)):
			return `{"errcode":310000,"errmsg":"sign not match"}`
		case body["msgtype"] != "markdown":
			return `{"errcode":-1,"errmsg":"system busy"}`
		}
		return `{"errcode":0,"errmsg":"ok"}`
	})
	ctx := t.Context()
	d := &DingTalk{URL: s.URL + "/robot/send?access_token=tok", Secret: secret, AtMobiles: []string{"13900000000"}, OnCall: true}
	n := notice("opened")
	n.People = []Person{{Name: "wang", Phone: "13800000000"}, {Name: "li"}}
	if r := d.Send(ctx, via(t, nil), n); r.Err != nil {
		t.Fatal(r.Err)
	}
	body := s.bodies[0]
	if mobiles := fmt.Sprint(body["at"].(map[string]any)["atMobiles"]); mobiles != "[13900000000 13800000000]" {
		t.Errorf("mentions %s", mobiles)
	}
	if text := body["markdown"].(map[string]any)["text"].(string); !strings.Contains(text, "@13800000000") || !strings.Contains(text, "新事件") {
		t.Errorf("text %q", text)
	}
	wrong := *d
	wrong.Secret = "other"
	if r := wrong.Send(ctx, via(t, nil), n); r.Err == nil || r.Retry || !strings.Contains(r.Err.Error(), "310000 sign not match") {
		t.Errorf("wrong secret: %+v", r.Result)
	}
	gone := *d
	gone.URL = s.URL + "/robot/send?access_token=gone"
	if r := gone.Send(ctx, via(t, nil), n); r.Err == nil || r.Retry || !strings.Contains(r.Err.Error(), "no such robot") {
		t.Errorf("gone robot: %+v", r.Result)
	}
	limited := serve(t, func(*http.Request, map[string]any) string { return `{"errcode":130101,"errmsg":"send too fast"}` })
	d.URL = limited.URL + "/?access_token=tok"
	if r := d.Send(ctx, via(t, nil), n); !r.Retry || r.RetryAfter != 10*time.Minute {
		t.Errorf("too fast: %+v", r.Result)
	}
	page := serve(t, func(*http.Request, map[string]any) string { return "<html>sign in</html>" })
	d.URL = page.URL + "/?access_token=tok"
	if r := d.Send(ctx, via(t, nil), n); r.Err == nil || !r.Retry {
		t.Errorf("a proxy's page: %+v", r.Result)
	}
}

func TestWeCom(t *testing.T) {
	t.Parallel()
	s := serve(t, func(r *http.Request, body map[string]any) string {
		if r.URL.Query().Get("key") != "k" {
			return `{"errcode":93000,"errmsg":"invalid webhook url"}`
		}
		if body["msgtype"] == "text" {
			return `{"errcode":45009,"errmsg":"api freq out of limit"}`
		}
		return `{"errcode":0,"errmsg":"ok"}`
	})
	ctx, n := t.Context(), notice("opened")
	n.Markdown = strings.Repeat("税", 3000)
	w := &WeCom{URL: s.URL + "/cgi-bin/webhook/send?key=k"}
	if r := w.Send(ctx, via(t, nil), n); r.Err != nil {
		t.Fatal(r.Err)
	}
	if text := s.bodies[0]["markdown"].(map[string]any)["content"].(string); len(text) > 4096 || !strings.HasSuffix(text, "税…") {
		t.Errorf("content of %d bytes ends in %q", len(text), text[len(text)-6:])
	}
	w.AtAll = true
	if r := w.Send(ctx, via(t, nil), n); !r.Retry || r.RetryAfter != time.Minute {
		t.Errorf("too fast: %+v", r.Result)
	}
	w.URL = s.URL + "/?key=other"
	if r := w.Send(ctx, via(t, nil), n); r.Err == nil || r.Retry {
		t.Errorf("gone robot: %+v", r.Result)
	}
}

// TestWeComApp: the token is made once, and anew where it expires early.
func TestWeComApp(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	tokens, valid := 0, ""
	s := serve(t, func(r *http.Request, body map[string]any) string {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/cgi-bin/gettoken" {
			if r.URL.Query().Get("corpsecret") != "geheim" {
				return `{"errcode":40001,"errmsg":"invalid credential"}`
			}
			tokens++
			valid = fmt.Sprint("T", tokens)
			return fmt.Sprintf(`{"errcode":0,"errmsg":"ok","access_token":%q,"expires_in":7200}`, valid)
		}
		if r.URL.Query().Get("access_token") != valid {
			return `{"errcode":42001,"errmsg":"access_token expired"}`
		}
		if body["agentid"] != 7.0 || body["touser"] != "wang|li" || body["enable_duplicate_check"] != 1.0 {
			return `{"errcode":40035,"errmsg":"invalid parameter"}`
		}
		return `{"errcode":0,"errmsg":"ok"}`
	})
	now := at
	v := via(t, func() time.Time { return now })
	w := &WeComApp{CorpID: "ww1", AgentID: 7, Secret: "geheim", ToUser: "wang|li", API: s.URL}
	send := func(want int) {
		t.Helper()
		if r := w.Send(t.Context(), v, notice("opened")); r.Err != nil {
			t.Fatal(r.Err)
		}
		if tokens != want {
			t.Fatalf("%d tokens, want %d", tokens, want)
		}
	}
	send(1)
	send(1)
	mu.Lock()
	valid = "revoked"
	mu.Unlock()
	send(2)
	now = now.Add(3 * time.Hour)
	send(3)
	w.Secret = "wrong"
	if r := w.Send(t.Context(), v, notice("opened")); r.Err == nil || r.Retry || strings.Contains(r.Err.Error(), "wrong") {
		t.Errorf("wrong secret: %+v", r.Result)
	}
}

func TestFeishu(t *testing.T) {
	t.Parallel()
	const secret = "feishu-secret"
	s := serve(t, func(r *http.Request, body map[string]any) string {
		ts, _ := body["timestamp"].(string)
		sec, _ := strconv.ParseInt(ts, 10, 64)
		if at.Sub(time.Unix(sec, 0)).Abs() > time.Hour || body["sign"] != base64.StdEncoding.EncodeToString(mac(ts+"\n"+secret, "")) {
			return `{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}`
		}
		return `{"code":0,"msg":"success"}`
	})
	f := &Feishu{URL: s.URL + "/open-apis/bot/v2/hook/abc", Secret: secret}
	if r := f.Send(t.Context(), via(t, nil), notice("opened")); r.Err != nil {
		t.Fatal(r.Err)
	}
	card := fmt.Sprint(s.bodies[0]["card"])
	for _, want := range []string{"template:red", "https://soc.example/ack", "https://soc.example/incidents/INC-1", "新事件"} {
		if !strings.Contains(card, want) {
			t.Errorf("the card lacks %s: %s", want, card)
		}
	}
	late := via(t, func() time.Time { return at.Add(2 * time.Hour) })
	if r := f.Send(t.Context(), late, notice("opened")); r.Err == nil || r.Retry || !strings.Contains(r.Err.Error(), "clock") {
		t.Errorf("a clock that is off: %+v", r.Result)
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	type got struct {
		header http.Header
		body   string
	}
	var last got
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		last = got{r.Header.Clone(), string(data)}
	}))
	t.Cleanup(s.Close)
	send := func(format string) got {
		t.Helper()
		w := &Webhook{URL: s.URL + "/in?token=geheim", Secret: "s3cret", Format: format, Headers: map[string]string{"Authorization": "Bearer x"}}
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
		if r := w.Send(t.Context(), via(t, nil), notice("opened")); r.Err != nil {
			t.Fatal(r.Err)
		}
		if want := "sha256=" + hex.EncodeToString(mac("s3cret", last.body)); last.header.Get("X-Icewatch-Signature") != want {
			t.Errorf("%s: signature %q, want %q", format, last.header.Get("X-Icewatch-Signature"), want)
		}
		if last.header.Get("X-Icewatch-Delivery") != "0123456789abcdef" || last.header.Get("Idempotency-Key") != `"0123456789abcdef"` || last.header.Get("Authorization") != "Bearer x" {
			t.Errorf("%s: headers %v", format, last.header)
		}
		return last
	}
	var p webhook.Payload
	if err := json.Unmarshal([]byte(send("").body), &p); err != nil || p.Version != "4" || len(p.Alerts) != 1 {
		t.Errorf("Alertmanager's form: %+v, %v", p, err)
	}
	g := send(FormatCloudEvents)
	var event struct {
		SpecVersion, ID, Source, Type, Subject, Time string
		Data                                         webhook.Payload
	}
	if err := json.Unmarshal([]byte(g.body), &event); err != nil || !strings.HasPrefix(g.header.Get("Content-Type"), "application/cloudevents+json") ||
		event.SpecVersion != "1.0" || event.ID != "0123456789abcdef" || event.Source != "https://soc.example" || event.Type != EventType+"opened" || event.Subject != "INC-1" ||
		event.Time != "2023-11-14T22:13:20Z" || event.Data.Version != "4" {
		t.Errorf("structured: %s, %v", g.body, err)
	}
	g = send(FormatCloudEventsBinary)
	for name, want := range map[string]string{"ce-specversion": "1.0", "ce-id": "0123456789abcdef", "ce-source": "https://soc.example", "ce-type": EventType + "opened", "Content-Type": "application/json"} {
		if got := g.header.Get(name); got != want {
			t.Errorf("binary: %s is %q, want %q", name, got, want)
		}
	}
	if got, want := percent(`a"税 %`), "a%22%E7%A8%8E%20%25"; got != want {
		t.Errorf("percent: %q, want %q", got, want)
	}
}

// TestSMS: a gateway that refuses one of three numbers is asked for that one
// alone the next time.
func TestSMS(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked, refuse := []string(nil), "13800000002"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_ = r.ParseForm()
		asked = append(asked, r.Form.Get("mobile"))
		switch {
		case r.Form.Get("apikey") != `k&"y`:
			fmt.Fprint(w, `{"code":-1,"msg":"bad key"}`)
		case r.Form.Get("mobile") == refuse:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.Form.Get("text") != `【税务】a&b="1"`:
			fmt.Fprint(w, `{"code":5,"msg":"template mismatch"}`)
		default:
			fmt.Fprint(w, `{"code":0,"msg":"sent","count":1}`)
		}
	}))
	t.Cleanup(s.Close)
	m := &SMS{Preset: "yunpian", URL: s.URL, Vars: map[string]string{"apikey": `k&"y`, "sign": "【税务】"}, To: []string{"13800000001", "13800000002"}, OnCall: true}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	n := notice("escalation")
	n.Text, n.People = `a&b="1"`, []Person{{Name: "wang", Phone: "13800000003"}}
	r := m.Send(t.Context(), via(t, nil), n)
	if r.Err == nil || !r.Retry || strings.Join(r.Done, " ") != "13800000001 13800000003" || strings.Contains(r.Err.Error(), "13800000002") {
		t.Fatalf("%+v", r)
	}
	n.Done, refuse, asked = r.Done, "", nil
	if r = m.Send(t.Context(), via(t, nil), n); r.Err != nil || strings.Join(asked, " ") != "13800000002" {
		t.Fatalf("the second time %v was asked for: %v", asked, r.Err)
	}
	m.Vars["apikey"] = "wrong"
	n.Done = nil
	if r = m.Send(t.Context(), via(t, nil), n); r.Err == nil || r.Retry {
		t.Errorf("a refusal within an answer of 200: %+v", r.Result)
	}
	n.People, m.To = []Person{{Name: "li"}}, nil
	if r = m.Send(t.Context(), via(t, nil), n); r.Err == nil || !strings.Contains(r.Err.Error(), "li has no telephone number") {
		t.Errorf("nobody: %v", r.Err)
	}
}

// TestGateways: each preset makes a request once its parameters are given, and
// says which are missing.
func TestGateways(t *testing.T) {
	t.Parallel()
	list, err := Gateways()
	if err != nil || len(list) < 5 {
		t.Fatal(len(list), err)
	}
	for _, g := range list {
		m := &SMS{Preset: g.Key, To: []string{"+8613800000000"}, Vars: map[string]string{}}
		if err := m.Check(); err == nil || !strings.HasPrefix(err.Error(), "vars: ") {
			t.Errorf("%s without parameters: %v", g.Key, err)
		}
		for _, v := range g.Vars {
			m.Vars[v] = "v&" + v
		}
		if g.Vars[0] == "url" {
			m.Vars["url"] = "https://sms.example/send"
		}
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", g.Key, err)
			continue
		}
		u, err := url.Parse(m.URLs()[0])
		if err != nil || u.Host == "" {
			t.Errorf("%s goes to %q: %v", g.Key, m.URLs(), err)
		}
	}
}

// TestGuarded: no channel reaches this machine unless the operator says so.
func TestGuarded(t *testing.T) {
	t.Parallel()
	guard, err := egress.New(egress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := NewVia(guard, 5*time.Second, nil)
	asked := false
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(s.Close)
	host, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	number, _ := strconv.Atoi(port)
	for _, c := range []Channel{
		&Webhook{URL: s.URL}, &DingTalk{URL: s.URL + "?access_token=x"}, &WeCom{URL: s.URL + "?key=x"}, &Feishu{URL: s.URL},
		&WeComApp{CorpID: "c", AgentID: 1, Secret: "s", ToUser: "u", API: s.URL},
		&SMS{URL: s.URL + "/{{.Mobile}}", To: []string{"13800000000"}},
		&Email{Host: host, Port: number, Security: SecurityNone, From: "a@b.cn", To: []string{"c@d.cn"}},
	} {
		if err := c.Check(); err != nil {
			t.Errorf("%T: %v", c, err)
		}
		if r := c.Send(context.Background(), v, notice("test")); r.Err == nil || r.Retry || !strings.Contains(r.Err.Error(), "loopback") {
			t.Errorf("%T: %+v", c, r.Result)
		}
	}
	if asked {
		t.Error("a request got through")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	old := []byte(`{"url":"https://oapi.dingtalk.com/robot/send?access_token=tok","secret":"SEC1"}`)
	shown, err := Shown("dingtalk", old)
	if err != nil || strings.Contains(string(shown), "tok\"") || strings.Contains(string(shown), "SEC1") {
		t.Fatalf("%s, %v", shown, err)
	}
	kept, err := Keep("dingtalk", shown, old)
	if err != nil || string(kept) != string(old) {
		t.Errorf("kept %s, %v", kept, err)
	}
	feishu := []byte(`{"url":"https://open.feishu.cn/open-apis/bot/v2/hook/abc"}`)
	if shown, err = Shown("feishu", feishu); err != nil || strings.Contains(string(shown), "abc") {
		t.Errorf("%s, %v", shown, err)
	}
	hook := []byte(`{"url":"https://h/","headers":{"A":"1","B":"2"}}`)
	shown, err = Shown("webhook", hook)
	if err != nil || strings.Contains(string(shown), `"1"`) {
		t.Errorf("%s, %v", shown, err)
	}
	if kept, err = Keep("webhook", []byte(`{"url":"https://h/","headers":{"A":"******","C":"3"}}`), hook); err != nil || string(kept) != `{"url":"https://h/","headers":{"A":"1","C":"3"}}` {
		t.Errorf("%s, %v", kept, err)
	}
	for kind, c := range map[string]string{
		`kind: "pager"`:   `pager {}`,
		"settings":        `webhook {"nope":1}`,
		"url":             `dingtalk {"url":"https://oapi.dingtalk.com/robot/send"}`,
		"format":          `webhook {"url":"https://h/","format":"xml"}`,
		"headers":         `webhook {"url":"https://h/","headers":{"Host":"x"}}`,
		"security":        `email {"host":"h","security":"none","password":"p","from":"a@b.cn","to":["c@d.cn"]}`,
		"from":            `email {"host":"h","from":"a","to":["c@d.cn"]}`,
		"to":              `sms {"url":"https://h/"}`,
		"agent_id":        `wecom_app {"corp_id":"c"}`,
		"body: line 1":    `sms {"url":"https://h/","to":["13800000000"],"body":"{{.Nope}}"}`,
		"success":         `sms {"url":"https://h/","to":["13800000000"],"success":"("}`,
		"url: scheme \"f": `feishu {"url":"ftp://h/"}`,
	} {
		name, settings, _ := strings.Cut(c, " ")
		ch, err := Read(name, []byte(settings))
		if err == nil {
			err = ch.Check()
		}
		if err == nil || !strings.HasPrefix(err.Error(), kind) {
			t.Errorf("%s: %v, want %s", c, err, kind)
		}
	}
	for _, k := range Kinds() {
		for _, f := range k.Fields() {
			if f.Name == "" || f.Type == "" || f.ZH == "" || f.EN == "" {
				t.Errorf("%s: %+v is not described", k.Name, f)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, k := range Kinds() {
		f.Add(k.Name, `{"url":"https://h/?key=1","vars":{"a":"{{.}}"},"body":"{{range 9}}{{end}}"}`)
	}
	f.Fuzz(func(t *testing.T, kind, settings string) {
		c, err := Read(kind, []byte(settings))
		if err != nil {
			return
		}
		_ = c.Check()
		shown, err := Shown(kind, []byte(settings))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Keep(kind, shown, []byte(settings)); err != nil {
			t.Fatal(err)
		}
	})
}

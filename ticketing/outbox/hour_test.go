package outbox

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"icewatch/ticketing/channel"
)

// vendors are the other ends of all channels. They are down until they are up,
// and keep in which order they were told of what.
type vendors struct {
	up atomic.Bool

	mu  sync.Mutex
	got map[string][]string // by channel: "alert 0", …
}

var alertNumber = regexp.MustCompile(`alert \d+`)

func (v *vendors) take(channel, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.got[channel] = append(v.got[channel], alertNumber.FindString(text))
}

func (v *vendors) of(channel string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.got[channel])
}

// ServeHTTP answers as every vendor does on success; the path names the channel.
func (v *vendors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !v.up.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	body, _ := io.ReadAll(r.Body)
	if !strings.HasSuffix(r.URL.Path, "/gettoken") {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		v.take(name, string(body))
	}
	fmt.Fprint(w, `{"errcode":0,"errmsg":"ok","code":0,"msg":"success","access_token":"t","expires_in":7200}`)
}

// NewSession implements smtp.Backend.
func (v *vendors) NewSession(*smtp.Conn) (smtp.Session, error) { return letters{v}, nil }

type letters struct{ v *vendors }

func (l letters) Mail(string, *smtp.MailOptions) error {
	if !l.v.up.Load() {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "not now"}
	}
	return nil
}
func (letters) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (letters) Reset()                               {}
func (letters) Logout() error                        { return nil }

func (l letters) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	l.v.take("email", subject)
	return err
}

// TestEveryChannelDownForAnHour: whatever the channel, what is down for an hour
// gets each notification once and in order, over restarts of the suite.
func TestEveryChannelDownForAnHour(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	hour := f.now().Add(time.Hour)
	v := &vendors{got: map[string][]string{}}
	web := httptest.NewServer(v)
	t.Cleanup(web.Close)
	post := smtp.NewServer(v)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = post.Serve(l) }()
	t.Cleanup(func() { _ = post.Close() })
	settings := map[string]any{
		"webhook":   channel.Webhook{URL: web.URL + "/webhook"},
		"dingtalk":  channel.DingTalk{URL: web.URL + "/dingtalk?access_token=x", Secret: "SEC"},
		"wecom":     channel.WeCom{URL: web.URL + "/wecom?key=x"},
		"wecom_app": channel.WeComApp{CorpID: "ww", AgentID: 7, Secret: "s", ToUser: "@all", API: web.URL + "/wecom_app"},
		"feishu":    channel.Feishu{URL: web.URL + "/feishu", Secret: "s"},
		"sms":       channel.SMS{URL: web.URL + "/sms", Body: `{{json .Text}}`, Success: `"errcode":0`, To: []string{"13800000000"}},
		"email":     channel.Email{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Security: "none", From: "soc@example.gov.cn", To: []string{"duty@example.gov.cn"}},
	}
	var names []string
	for _, k := range channel.Kinds() {
		names = append(names, k.Name)
		if settings[k.Name] == nil {
			t.Fatalf("the channel %s is not tried", k.Name)
		}
	}
	b := f.open()
	for _, name := range names {
		text, err := json.Marshal(settings[name])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.AddContact(t.Context(), "wang", Contact{Name: name, Kind: name, Settings: text, SendResolved: true, Every: true}); err != nil {
			t.Fatal(err)
		}
	}
	stop := f.run(b)
	var want []string
	tried := func(at time.Time) bool { // each has been tried since
		for _, name := range names {
			if !slices.ContainsFunc(f.log(b), func(a Attempt) bool { return a.Receiver == name && a.At >= at.UnixMilli() }) {
				return false
			}
		}
		return true
	}
	for n := range 4 {
		want = append(want, fmt.Sprint("alert ", n))
		f.tell(b, Message{Unique: fmt.Sprint(n)}, body(n))
		at := f.now()
		f.until("each channel is tried", func() bool { b.Wake(); f.forward(time.Second); return tried(at) })
		f.forward(5 * time.Minute)
		stop() // the suite is started anew in between
		b = f.open()
		stop = f.run(b)
	}
	for _, name := range names {
		if got := v.of(name); len(got) > 0 {
			t.Fatalf("%s took %q while down", name, got)
		}
	}
	for f.now().Before(hour) {
		f.forward(time.Minute)
	}
	v.up.Store(true)
	f.until("all is told", func() bool { f.forward(time.Second); b.Wake(); return f.settled(b) })
	for _, name := range names {
		if got := v.of(name); !slices.Equal(got, want) {
			t.Errorf("%s was told of %q, want %q", name, got, want)
		}
	}
}
